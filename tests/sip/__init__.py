"""Tests of the SIP floor: packets from outside, and units where packets are coarse."""
