"""What the certificates of PBXs are checked by: the authorities that Home Assistant knows."""

from collections.abc import Iterable
import ssl

from homeassistant.core import HomeAssistant
from homeassistant.util.ssl import client_context


async def async_prepare_tls(hass: HomeAssistant, transports: Iterable[str]) -> None:
    """Load it where one of the transports needs it; it reads files, and once."""
    if "TLS" in transports:
        await hass.async_add_executor_job(client_context)


def tls_of(transport: str) -> ssl.SSLContext | None:
    """Return it for a transport, None where that is not TLS; it is loaded by now."""
    return client_context() if transport == "TLS" else None
