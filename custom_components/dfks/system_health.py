"""What *Settings > System > Repairs > System information* says of the listener."""

from typing import Any

from homeassistant.components import system_health
from homeassistant.core import HomeAssistant, callback

from .const import CONF_TLS, DOMAIN
from .listener import DfksConfigEntry, DfksListener, running_listener
from .sip import bracketed, split_hosts


@callback
def async_register(
    hass: HomeAssistant, register: system_health.SystemHealthRegistration
) -> None:
    """Say who can tell, and where to go from there."""
    register.async_register_info(
        system_health_info, f"/config/integrations/integration/{DOMAIN}"
    )


async def system_health_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return a few facts; the keys are translated."""
    entries: list[DfksConfigEntry] = hass.config_entries.async_entries(DOMAIN)
    if not entries:
        return {"listener": _failed("there is none")}
    (entry,) = entries
    if (listener := running_listener(entry)) is None:
        return {"listener": _failed(entry.reason or entry.state.value)}
    return _running(entry, listener)


def _failed(reason: str) -> dict[str, str]:
    return {"type": "failed", "error": reason}


def _running(entry: DfksConfigEntry, listener: DfksListener) -> dict[str, Any]:
    server, lines = listener.server, listener.sync.lines.values()
    info: dict[str, Any] = {
        "listener": f"{_addresses(listener, server.port)} (UDP, TCP)",
    }
    if CONF_TLS in entry.data:
        info["tls"] = (
            _addresses(listener, server.tls_port)
            if server.tls_port
            else _failed("the certificate cannot be used")
        )
    received = dict(listener.trace.received_totals)
    del received["responses"], received["others"]
    return info | {
        "lines": len(lines),
        "lines_with_phone": sum(line.connected for line in lines),
        "requests": sum(received.values()),
        "sources_blocked": server.counters()["sources_blocked"],
    }


def _addresses(listener: DfksListener, port: int) -> str:
    hosts = split_hosts(listener.config.host)
    return ", ".join(f"{bracketed(host)}:{port}" for host in hosts)
