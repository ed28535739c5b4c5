"""Octets in and out, and where they came from (RFC 3261 18)."""
