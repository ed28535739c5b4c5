"""Ends claims when their time is over, by the clock on the wall."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.util import dt as dt_util

from .features.claims import due, next_end
from .features.model import (
    ChangeRefused,
    ChangeRequest,
    ClaimsChanged,
    Feature,
    FeatureChanged,
    Line,
    LineEvent,
    Origin,
)
from .features.sync import FeatureSync

# Seconds from one look at the clock to the next. It may jump: a computer without a clock
# of its own is told the time some while after Home Assistant has started.
LOOK: Final = 60.0

# Seconds after which an end that could not be made is tried again: too many changes of
# the line may wait for the set script.
RETRY: Final = 10.0


class ClaimTimer:
    """One timer for all claims of a listener, set for the next one to end.

    It runs only while a claim has an end.
    """

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], sync: FeatureSync
    ) -> None:
        """End claims on the lines of `sync`."""
        self._hass = hass
        self._entry = entry
        self._sync = sync
        self._missed: list[FeatureChanged] = []
        # When the clock is looked at again, in epoch seconds.
        self._due: float | None = None
        self._cancel: CALLBACK_TYPE | None = None

    @callback
    def async_start(self) -> bool:
        """End what was over before the start; return whether there was anything."""
        now = dt_util.utcnow().timestamp()
        was_due = any(
            due(claims, now)
            for line in self._sync.lines.values()
            for claims in line.claimed.values()
        )
        self._missed = self._sync.end_missed(now)
        self._set_for_next()
        return was_due

    @callback
    def async_announce(self) -> None:
        """Publish what has changed before the start: there are entities now."""
        self._sync.announce(self._missed)
        self._missed = []

    @callback
    def async_stop(self) -> None:
        """End no more claims; the next start makes up for it."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        self._due = None

    @callback
    def handle_event(self, event: LineEvent) -> None:
        """Set the timer for an earlier time where a claim ends before all others."""
        if not isinstance(event, FeatureChanged | ClaimsChanged):
            return
        claims = event.line.claims(event.change.feature)
        end = None if claims is None else next_end(claims)
        if end is not None and (self._due is None or end < self._due):
            self._set_for(end)

    @callback
    def _end(self, _now: datetime) -> None:
        moment = max(dt_util.utcnow().timestamp(), self._due or 0.0)
        self._cancel = self._due = None
        for line in self._sync.lines.values():
            for feature, claims in line.claimed.items():
                if due(claims, moment):
                    self._entry.async_create_background_task(
                        self._hass,
                        self._async_end(line, feature, moment),
                        "dfks end of a claim",
                    )
        self._set_for_next(moment)

    async def _async_end(self, line: Line, feature: Feature, moment: float) -> None:
        end = ChangeRequest(feature=feature, origin=Origin.END, ended_at=moment)
        # Where it cannot be made now, the timer comes back to it.
        with suppress(ChangeRefused):
            await self._sync.change(line.id, end)

    def _set_for_next(self, moment: float = 0.0) -> None:
        """Set the timer for what ends next; what was due at a moment is tried again."""
        ends = [
            end if end > moment else moment + RETRY
            for line in self._sync.lines.values()
            for claims in line.claimed.values()
            if (end := next_end(claims)) is not None
        ]
        if ends:
            self._set_for(min(ends))

    def _set_for(self, end: float) -> None:
        self.async_stop()
        self._due = min(end, dt_util.utcnow().timestamp() + LOOK)
        self._cancel = async_track_point_in_utc_time(
            self._hass,
            HassJob(self._end, "dfks end of claims", cancel_on_shutdown=True),
            dt_util.utc_from_timestamp(self._due),
        )
