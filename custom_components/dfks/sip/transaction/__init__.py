"""Transactions: what belongs to one request and its answers (RFC 3261 17)."""
