"""Log lines about sources, few enough that nobody can fill the log."""

import logging

from ..clock import Clock

_LOGGER = logging.getLogger(__name__)

# Seconds between two log lines about one source, and sources remembered for that.
LOG_INTERVAL = 60.0
MAX_LOG_SOURCES = 1000


class SourceLog:
    """Logs at most one line a minute about each source."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing logged."""
        self._clock = clock
        self._logged: dict[str, float] = {}

    def info(self, source: str, text: str, *details: object) -> None:
        """Log `text` about a source, unless something was logged a moment ago."""
        now = self._clock.monotonic()
        if now - self._logged.get(source, -LOG_INTERVAL) < LOG_INTERVAL:
            return
        if len(self._logged) >= MAX_LOG_SOURCES:
            self._logged.clear()
        self._logged[source] = now
        _LOGGER.info("%s: %s", source, text % details)
