"""Tests of the Home Assistant floor."""
