"""The PBXs that phones keep their accounts at, while Home Assistant is in between."""
