"""Tests of the integration, floor by floor."""
