"""Tools for the developers of the integration; nothing here is installed."""
