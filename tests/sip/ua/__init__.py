"""Tests of the user agents of the SIP floor."""
