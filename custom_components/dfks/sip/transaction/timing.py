"""The timers of transactions, in seconds (RFC 3261 table 4)."""

T1 = 0.5
T2 = 4.0
T4 = 5.0
# Timers B, D, F, H, J, L and M.
TIMEOUT = 64 * T1
