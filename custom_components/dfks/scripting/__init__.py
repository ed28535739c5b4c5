"""Home Assistant scripts as hooks of the event package."""
