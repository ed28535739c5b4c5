"""The feature floor above the SIP floor, packet by packet."""
