"""A file of the listener in Home Assistant's storage, which bad times do not end.

Nobody but Home Assistant's own user may read it: it holds where phones are and where
calls go. A write that fails is shown in Settings > Repairs until one works. A file that
cannot be used as it is, is kept beside the one that takes its place.
"""

from contextlib import suppress
import logging
import os
from pathlib import Path
import shutil
import sys
from typing import Any, Final, override

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from ..const import DOMAIN, STORAGE_HELP_URL

_LOGGER = logging.getLogger(__name__)

# Seconds after which a write that failed is tried again; Home Assistant logs each try.
RETRY_DELAY: Final = 30.0

# Read and written by the owner alone.
MODE: Final = 0o600

# A write that failed: the text of the issue, whose id has the key of the file behind it.
ISSUE_NOT_WRITTEN: Final = "not_written"


class StoredFile(Store[dict[str, Any]]):
    """A file whose content is a JSON object.

    What it is given to write is nobody else's, so a thread may serialise it.
    """

    def __init__(self, hass: HomeAssistant, version: int, key: str) -> None:
        """Name the file; nothing is read yet."""
        super().__init__(
            hass,
            version,
            key,
            private=True,
            atomic_writes=True,
            serialize_in_event_loop=False,
            max_readable_version=sys.maxsize,
        )
        self.is_failing = False
        """Whether the last write has failed."""
        self.copy_of_newer: str | None = None
        """Where what a newer version has written is kept, if that was read."""

    async def async_read(self) -> dict[str, Any] | None:
        """Return what is in the file, None without one.

        Raises whatever a file raises that is not one of ours.
        """
        await self.hass.async_add_executor_job(self._protect)
        return await self.async_load()

    async def async_keep_copy(self) -> str:
        """Keep the file as it is now under another name, and return its path.

        Where that is not possible it is the path of the file itself.
        """
        return await self.hass.async_add_executor_job(self._keep_copy)

    @override
    async def async_remove(self) -> None:
        """Delete the file, and what is shown about it."""
        await super().async_remove()
        ir.async_delete_issue(self.hass, DOMAIN, self._issue_id)

    def _protect(self) -> None:
        # Versions before this one let everybody read it.
        with suppress(OSError):
            Path(self.path).chmod(MODE)

    def _keep_copy(self) -> str:
        path: str = self.path
        copy = f"{path}.corrupt.{dt_util.utcnow().isoformat()}"
        try:
            try:
                # Needs no space, and the next write replaces the file itself.
                os.link(path, copy)
            except OSError:
                shutil.copy2(path, copy)
        except OSError as err:
            _LOGGER.warning("%s cannot be copied: %s", path, err.strerror)
            return path
        return copy

    @override
    async def _async_migrate_func(
        self, old_major_version: int, old_minor_version: int, old_data: Any
    ) -> Any:
        """Take what a newer version has written as far as it can be understood."""
        if old_major_version > self.version:
            # The data are written back as of this version.
            self.copy_of_newer = await self.async_keep_copy()
        return old_data

    @property
    def _issue_id(self) -> str:
        return f"{ISSUE_NOT_WRITTEN}_{self.key}"

    @override
    async def _async_write_data(self, data: dict[str, Any]) -> None:
        """Write, and take note whether it works: Store itself only logs an error."""
        try:
            await super()._async_write_data(data)
        except (HomeAssistantError, OSError) as err:
            self._failed(err)
        else:
            if self.is_failing:
                _LOGGER.info("%s is written again", self.path)
            self.is_failing = False
            ir.async_delete_issue(self.hass, DOMAIN, self._issue_id)

    def _failed(self, err: Exception) -> None:
        cause = err if isinstance(err, OSError) else err.__cause__
        reason = (isinstance(cause, OSError) and cause.strerror) or str(err)
        if not self.is_failing:
            _LOGGER.error(
                "%s cannot be written, and is tried again every %s seconds: %s",
                self.path,
                round(RETRY_DELAY),
                reason,
            )
        self.is_failing = True
        ir.async_create_issue(
            self.hass,
            DOMAIN,
            self._issue_id,
            is_fixable=False,
            learn_more_url=STORAGE_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_NOT_WRITTEN,
            translation_placeholders={"path": self.path, "reason": reason},
        )
