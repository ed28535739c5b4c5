"""Feature keys of phones behind the proxy."""
