"""The timers of transactions, in seconds (RFC 3261 table 4)."""

T1 = 0.5
T2 = 4.0
# Timers F and J.
TIMEOUT = 64 * T1
