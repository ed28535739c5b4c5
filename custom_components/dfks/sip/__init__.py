"""A SIP server for REGISTER, SUBSCRIBE/NOTIFY and OPTIONS.

The lowest floor: the standard library only, no event package, no Home Assistant.
"""
