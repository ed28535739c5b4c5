"""What outlives a restart of what phones have registered at PBXs, through here.

The tokens that stand in Contacts and Record-Routes at a PBX are keyed by a secret. With
another secret, calls would not find their phones before these register anew. So secret
and bindings lie in a file of their own, which is there only while a PBX is configured.
New and ended bindings are written within a second, refreshed ones within ten.
"""

from collections.abc import Callable
import logging
import secrets
from typing import Any, Final, NamedTuple

from homeassistant.core import HomeAssistant, callback

from ..const import DOMAIN
from ..sip import SECRET_SIZE, ProxyBindingRecord
from .file import StoredFile
from .records import of_kind
from .writer import DelayedWriter

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION: Final = 1

# Seconds from a refresh to the write.
REFRESH_DELAY: Final = 10.0


class PassedMemory(NamedTuple):
    """The secret of the tokens, and the bindings that they name."""

    secret: bytes
    bindings: list[ProxyBindingRecord]


class BindingStore:
    """The file of the bindings that phones of one listener have at PBXs."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; nothing is read yet."""
        self._hass = hass
        self._file = StoredFile(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}.bindings")
        self._writer = self._new_writer()
        self._secret = b""

    def _new_writer(self) -> DelayedWriter:
        return DelayedWriter(
            self._hass, self._file, "dfks write bindings", REFRESH_DELAY
        )

    async def async_load(self) -> PassedMemory:
        """Return what is remembered. The secret is a new one where there is none.

        Whatever the file holds, it does not hinder the start: phones that are not
        remembered register anew.
        """
        memory = PassedMemory(self.async_renew(), [])
        try:
            data = await self._file.async_read()
            if data is not None:
                memory = _understood(data)
        except Exception as err:  # noqa: BLE001
            # Without a traceback: it could show the secret.
            _LOGGER.warning(
                "What is remembered of phones at PBXs cannot be read: %s",
                type(err).__name__,
            )
        self._secret = memory.secret
        return memory

    @callback
    def async_renew(self) -> bytes:
        """Take a new secret, and return it."""
        self._secret = secrets.token_bytes(SECRET_SIZE)
        return self._secret

    @callback
    def async_follow(self, records: Callable[[], list[ProxyBindingRecord]]) -> None:
        """Write what `records` returns whenever something has changed from now on."""

        async def all_records() -> dict[str, Any]:
            return {"secret": self._secret.hex(), "bindings": records()}

        self._writer.async_follow(all_records)

    @callback
    def async_changed(self, *, urgent: bool) -> None:
        """Take note of a change. Called for every refresh, so it does next to nothing."""
        self._writer.async_changed(urgent=urgent)

    async def async_finish(self) -> None:
        """Write a last time, and then no more."""
        await self._writer.async_finish()

    async def async_remove(self) -> None:
        """Delete the file; it is written again where it is followed again."""
        self._writer.async_stop()
        self._writer = self._new_writer()
        await self._file.async_remove()


def _understood(data: dict[str, Any]) -> PassedMemory:
    """Return what of a file is what it should be. Raises where there is no secret."""
    secret = bytes.fromhex(data["secret"])
    if len(secret) != SECRET_SIZE:
        raise ValueError("No secret")
    bindings = of_kind(data["bindings"], ProxyBindingRecord)
    if len(bindings) < len(data["bindings"]):
        _LOGGER.warning(
            "%s remembered phones at PBXs are left out",
            len(data["bindings"]) - len(bindings),
        )
    return PassedMemory(secret, bindings)
