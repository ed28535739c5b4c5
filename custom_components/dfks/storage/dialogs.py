"""What outlives a restart: the phones' dialogs and bindings.

They lie in a second file beside the feature states, because they change at other
times. New, ended and moved ones are written within a second; plain refreshes, of which
ten thousand phones make three a second, at most every five minutes and at a stop. The
file says whether it was written at a stop: if not, refreshes may be missing, and what
is in it is allowed as much more time.

The file is written as a whole, and that of ten thousand phones has 14 MB: a write of
many phones is followed by a pause. What comes in a pause and is lost in a crash
subscribes anew.

A dialog's count of NOTIFYs must never fall. So the file is put one reserve ahead before
the dialogs go on, as high as the server begins; see sip/snapshot.py.
"""

from collections.abc import Awaitable, Callable, Mapping
import logging
from typing import Any, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..const import DOMAIN
from ..sip import BindingRecord, DialogRecord, Snapshot, resumed_cseq
from .file import StoredFile
from .records import of_kind
from .writer import DelayedWriter

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION: Final = 1

# Seconds from the first refresh that is not written yet to the write.
REFRESH_DELAY: Final = 300.0

# Seconds that what a crash has left is valid longer.
CRASH_GRACE: Final = REFRESH_DELAY


class PhoneStore:
    """The file of dialogs and bindings of one listener."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; nothing is read yet."""
        self._hass = hass
        self._file = StoredFile(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}.phones")
        self._writer = DelayedWriter(
            hass, self._file, "dfks write phones", REFRESH_DELAY
        )

    async def async_load(self) -> tuple[Snapshot | None, float]:
        """Return what is remembered, and the seconds by which it is valid longer.

        Whatever the file holds, it does not hinder the start: phones that are not
        remembered subscribe anew.
        """
        try:
            data = await self._file.async_read()
            if data is None:
                return None, 0.0
            memory = await self._hass.async_add_executor_job(_understood, data)
            return memory, 0.0 if data.get("clean") is True else CRASH_GRACE
        except Exception:
            _LOGGER.exception("What is remembered of the phones cannot be read")
            return None, 0.0

    async def async_begin(self, memory: Snapshot | None) -> None:
        """Get the file ready for a run that goes on with `memory`."""
        if memory is None or not (memory["dialogs"] or memory["bindings"]):
            return
        # Each goes on from there, and so must a run after this one, should it be short.
        now = dt_util.utcnow().timestamp()
        ahead = [
            {**dialog, "cseq": resumed_cseq(dialog["cseq"], now)}
            for dialog in memory["dialogs"]
        ]
        await self._file.async_save({"clean": False, **memory, "dialogs": ahead})

    @callback
    def async_follow(self, records: Callable[[], Awaitable[Snapshot]]) -> None:
        """Write what `records` returns whenever something has changed from now on."""
        self._writer.async_follow(records)

    @callback
    def async_changed(self, *, urgent: bool) -> None:
        """Take note of a change. Called for every refresh, so it does next to nothing."""
        self._writer.async_changed(urgent=urgent)

    async def async_finish(self) -> None:
        """Write a last time, with what comes in meanwhile, and then no more."""
        await self._writer.async_finish()

    async def async_remove(self) -> None:
        """Delete the file."""
        await self._file.async_remove()


def _understood(data: Mapping[str, Any]) -> Snapshot:
    """Return the records of a file that are what they should be."""
    dialogs = of_kind(data["dialogs"], DialogRecord)
    bindings = of_kind(data["bindings"], BindingRecord)
    left_out = len(data["dialogs"]) + len(data["bindings"])
    left_out -= len(dialogs) + len(bindings)
    if left_out:
        _LOGGER.warning("%s remembered phones are left out", left_out)
    return Snapshot(dialogs=dialogs, bindings=bindings)
