"""What the system information says of the listener."""

import errno
from pathlib import Path
import socket
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from dev.ports import free_port

from .common import (
    LOCALHOST,
    MockConfigEntry,
    get_system_health_info,
    listener_entry,
    set_up,
)
from .conftest import OpenPhone
from .pem import write_pem
from .test_files import ENGLISH


@pytest.fixture(autouse=True)
async def system_health(hass: HomeAssistant) -> None:
    """Set the system information up."""
    assert await async_setup_component(hass, "system_health", {})


async def info_of(hass: HomeAssistant) -> dict[str, Any]:
    """Return what the page says; each line of it has a name in English."""
    info: dict[str, Any] = await get_system_health_info(hass, DOMAIN)
    assert set(info) <= set(ENGLISH["system_health"]["info"])
    return info


async def test_running_listener(
    hass: HomeAssistant,
    port: int,
    listener: DfksListener,
    open_phone: OpenPhone,
) -> None:
    """Where it listens, how many phones are there, how much they say."""
    await open_phone()
    for attempt in range(listener.config.max_failures):
        listener.server._guard.failed("192.0.2.1", "201", f"attempt {attempt}")

    assert await info_of(hass) == {
        "listener": f"{LOCALHOST}:{port} (UDP, TCP)",
        "lines": 2,
        "lines_with_phone": 1,
        "requests": 2,
        "sources_blocked": 1,
    }


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_several_addresses(hass: HomeAssistant, port: int) -> None:
    """Each with the port."""
    entry = listener_entry(port, [], settings={"host": f"{LOCALHOST}, ::1"})
    await set_up(hass, entry)

    assert (await info_of(hass))["listener"] == (
        f"{LOCALHOST}:{port}, [::1]:{port} (UDP, TCP)"
    )


async def test_tls(hass: HomeAssistant, port: int, tmp_path: Path) -> None:
    """Where phones find it, or that they do not."""
    files = write_pem(tmp_path, "server")
    tls = {"certificate": files.certificate, "private_key": files.key}
    tls_port = free_port()
    entry = listener_entry(port, [], settings={"tls": {**tls, "port": tls_port}})
    await set_up(hass, entry)
    info = await info_of(hass)
    assert info["tls"] == f"{LOCALHOST}:{tls_port}"
    # This is all that can be said, so no name is left over.
    assert set(info) == set(ENGLISH["system_health"]["info"])

    await hass.async_add_executor_job(Path(files.key).unlink)
    await hass.config_entries.async_reload(entry.entry_id)
    assert (await info_of(hass))["tls"] == {
        "type": "failed",
        "error": "the certificate cannot be used",
    }


async def test_taken_port(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The reason why the listener does not listen."""
    entry.add_to_hass(hass)
    in_use = OSError(errno.EADDRINUSE, "Address already in use")
    with patch("custom_components.dfks.listener.probe", side_effect=in_use):
        assert not await hass.config_entries.async_setup(entry.entry_id)

    failure = (await info_of(hass))["listener"]
    assert failure["type"] == "failed"
    assert "is already in use" in failure["error"]


async def test_listener_that_is_turned_off(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Without a reason of its own."""
    await hass.config_entries.async_unload(entry.entry_id)

    assert await info_of(hass) == {
        "listener": {"type": "failed", "error": "not_loaded"}
    }


async def test_removed_listener(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """The integration stays loaded until the next start."""
    await hass.config_entries.async_remove(entry.entry_id)

    assert await info_of(hass) == {
        "listener": {"type": "failed", "error": "there is none"}
    }
