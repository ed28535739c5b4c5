"""When a file is written whose content changes again and again.

What is urgent is written within a second, all else a while later. A large file is
written as a whole, and must not be written again and again while things come one after
the other. So a write of many records is followed by a pause; a few never notice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from .file import RETRY_DELAY, StoredFile

# Seconds from the first urgent change to the write.
WRITE_DELAY: Final = 0.5

# Seconds of pause after a write, for each record in it: on the average less than a
# megabyte a second is written.
PAUSE: Final = 0.001

# Writes at a stop; what comes in during the last of them has bad luck.
LAST_WRITES: Final = 3

# Returns what is to be written, by name; each value that is a list holds records.
type Records = Callable[[], Awaitable[Mapping[str, Any]]]


class DelayedWriter:
    """Writes a file some time after its content has changed."""

    def __init__(
        self, hass: HomeAssistant, file: StoredFile, task: str, delay: float
    ) -> None:
        """Write `file`, what is not urgent after `delay` seconds.

        `task` is what Home Assistant calls it where it shows what it does.
        """
        self._hass = hass
        self._file = file
        self._task = task
        self._delay = delay
        self._records: Records | None = None
        self._writing = asyncio.Lock()
        self._unsaved = False
        self._urgent = False
        self._cancel_write: CALLBACK_TYPE | None = None
        # When the pause after the last write ends, by the loop's clock.
        self._pause_ends = 0.0

    @callback
    def async_follow(self, records: Records) -> None:
        """Write what `records` returns whenever something has changed from now on."""
        self._records = records
        if self._unsaved and self._cancel_write is None:
            self._schedule_write()

    @callback
    def async_changed(self, *, urgent: bool) -> None:
        """Take note of a change. Called for every refresh, so it does next to nothing."""
        self._unsaved = True
        if urgent and not self._urgent:
            self._urgent = True
            self._cancel_due_write()
        if self._cancel_write is None:
            self._schedule_write()

    async def async_finish(self) -> None:
        """Write a last time, with what comes in meanwhile, and then no more."""
        if self._records is None:
            return
        for _ in range(LAST_WRITES):
            await self._async_write(clean=True)
            if not self._urgent:
                break
        self.async_stop()

    @callback
    def async_stop(self) -> None:
        """Write no more."""
        self._records = None
        self._cancel_due_write()

    def _schedule_write(self) -> None:
        if self._records is None or self._writing.locked():
            return
        delay = WRITE_DELAY if self._urgent else self._delay
        self._cancel_write = async_call_later(
            self._hass,
            max(delay, self._pause_ends - self._hass.loop.time()),
            HassJob(self._async_write_due, self._task, cancel_on_shutdown=True),
        )

    def _cancel_due_write(self) -> None:
        if self._cancel_write is not None:
            self._cancel_write()
            self._cancel_write = None

    async def _async_write_due(self, _now: object) -> None:
        self._cancel_write = None
        await self._async_write(clean=False)
        # What changed during the write.
        if self._unsaved:
            self._schedule_write()

    async def _async_write(self, *, clean: bool) -> None:
        assert self._records is not None
        async with self._writing:
            self._cancel_due_write()
            self._unsaved = self._urgent = False
            records = await self._records()
            await self._file.async_save({"clean": clean, **records})
            pause = PAUSE * sum(
                len(value) for value in records.values() if isinstance(value, list)
            )
            if self._file.is_failing:
                self._unsaved = self._urgent = True
                pause = RETRY_DELAY
            self._pause_ends = self._hass.loop.time() + pause
