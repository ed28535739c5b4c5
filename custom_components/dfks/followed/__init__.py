"""Lines at PBXs that synchronize keys, where Home Assistant is one more phone."""
