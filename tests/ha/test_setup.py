"""The listener comes up, goes down, and says why it cannot come up."""

import asyncio
from dataclasses import replace
from datetime import timedelta
import errno
import socket
from types import ModuleType
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.loader import Integration
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.sip.server import SipServer

from .common import (
    DND,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    async_fire_time_changed,
    entry_state,
    line_data,
    listener_entry,
    runtime,
    set_up,
    state_of,
    turn,
)
from .conftest import OpenPhone

START = "custom_components.dfks.listener.SipServer.start"


def can_listen(kind: socket.SocketKind, port: int) -> bool:
    """Whether the port is free."""
    with socket.socket(socket.AF_INET, kind) as sock:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOCALHOST, port))
        except OSError:
            return False
        return True


async def test_issues_that_a_killed_run_has_left_are_dropped(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Those whose ids no other run knows; what the user has ignored stays so."""
    registry = ir.async_get(hass)
    for issue_id in ("pbx_password_refused_pbx-1_201", "pbx_unreachable_pbx-1"):
        left = registry.async_get_or_create(
            DOMAIN,
            issue_id,
            is_fixable=False,
            is_persistent=False,
            severity=ir.IssueSeverity.WARNING,
            translation_key="pbx_unreachable",
        )
        registry.issues[DOMAIN, issue_id] = replace(left, active=False)
    await set_up(hass, entry)

    ours = [issue_id for domain, issue_id in registry.issues if domain == DOMAIN]
    assert ours == ["pbx_unreachable_pbx-1"]


async def test_does_without_scenes(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """A Home Assistant that cannot apply scenes to an entity is no reason to fail."""
    load = Integration.async_get_platform

    async def load_all_but_scenes(self: Integration, name: str) -> ModuleType:
        if name == "reproduce_state":
            raise ModuleNotFoundError(f"No module named '{name}'")
        return await load(self, name)

    with patch.object(Integration, "async_get_platform", load_all_but_scenes):
        await set_up(hass, entry)
        await hass.async_block_till_done(wait_background_tasks=True)
    assert state_of(hass, DND) == "off"


async def test_phones_do_not_wait_for_scenes_to_be_prepared(
    hass: HomeAssistant, entry: MockConfigEntry, open_phone: OpenPhone
) -> None:
    """Home Assistant imports one module after the other, for seconds while it starts."""
    load = Integration.async_get_platform
    imported = asyncio.Event()

    async def load_scenes_late(self: Integration, name: str) -> ModuleType:
        if name == "reproduce_state":
            await imported.wait()
        return await load(self, name)

    with patch.object(Integration, "async_get_platform", load_scenes_late):
        async with asyncio.timeout(10):
            await set_up(hass, entry)
        phone = await open_phone()
        await phone.set_dnd(True)
        assert state_of(hass, DND) == "on"

        imported.set()
        await hass.async_block_till_done(wait_background_tasks=True)


async def test_listens_on_udp_and_tcp_while_loaded(
    hass: HomeAssistant, entry: MockConfigEntry, port: int, listener: DfksListener
) -> None:
    """The port is taken while the entry is loaded, and free after it."""
    assert not can_listen(socket.SOCK_DGRAM, port)
    assert not can_listen(socket.SOCK_STREAM, port)

    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()

    assert entry_state(entry) is ConfigEntryState.NOT_LOADED
    assert can_listen(socket.SOCK_DGRAM, port)
    assert can_listen(socket.SOCK_STREAM, port)


async def test_unload_leaves_no_live_entity(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """After an unload the entities are unavailable and follow nothing."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()

    assert state_of(hass, DND) == "unavailable"


async def test_failed_unload_keeps_the_listener(
    hass: HomeAssistant, entry: MockConfigEntry, port: int, listener: DfksListener
) -> None:
    """A platform that cannot be unloaded must not be left without its lines."""
    with patch.object(
        hass.config_entries, "async_unload_platforms", return_value=False
    ):
        assert not await hass.config_entries.async_unload(entry.entry_id)
    assert not can_listen(socket.SOCK_DGRAM, port)

    # Let the end of the test tidy up.
    entry.mock_state(hass, ConfigEntryState.LOADED)


async def test_reload_brings_everything_back(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """A reload opens the sockets anew and keeps the state."""
    await turn(hass, DND, "on")

    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    assert entry_state(entry) is ConfigEntryState.LOADED
    assert runtime(entry) is not listener
    assert state_of(hass, DND) == "on"


async def test_home_assistant_stop_closes_the_listener(
    hass: HomeAssistant, port: int, listener: DfksListener
) -> None:
    """Entries are not unloaded at a stop; the sockets are closed all the same."""
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()

    assert can_listen(socket.SOCK_DGRAM, port)
    assert can_listen(socket.SOCK_STREAM, port)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_taken_port_is_not_ready_and_tried_again(
    hass: HomeAssistant, entry: MockConfigEntry, port: int, kind: socket.SocketKind
) -> None:
    """The message names the port and what may hold it; later the entry comes up."""
    entry.add_to_hass(hass)
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((LOCALHOST, port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        assert not await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()

    assert entry_state(entry) is ConfigEntryState.SETUP_RETRY
    assert entry.reason is not None
    assert f"Port {port} is already in use" in entry.reason
    assert "Voice over IP" in entry.reason
    assert entry.error_reason_translation_key == "port_in_use"

    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done(wait_background_tasks=True)

    assert entry_state(entry) is ConfigEntryState.LOADED
    assert state_of(hass, DND) == "off"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.EADDRNOTAVAIL, "127.0.0.1 is not an address of this machine"),
        (errno.EACCES, "not allowed to use port"),
        (errno.ENOBUFS, "No buffer space available"),
    ],
)
async def test_other_failures_say_what_is_wrong(
    hass: HomeAssistant, entry: MockConfigEntry, error: int, reason: str
) -> None:
    """Each is not ready with plain words."""
    entry.add_to_hass(hass)
    with patch(START, side_effect=OSError(error, "bind failed")):
        assert not await hass.config_entries.async_setup(entry.entry_id)

    assert entry_state(entry) is ConfigEntryState.SETUP_RETRY
    assert entry.reason is not None
    assert reason in entry.reason


async def test_failure_without_errno_is_told_in_its_own_words(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """An error that the operating system has no number for is shown as it is."""
    entry.add_to_hass(hass)
    with patch(START, side_effect=OSError("no luck")):
        assert not await hass.config_entries.async_setup(entry.entry_id)

    assert entry.reason is not None
    assert "no luck" in entry.reason


async def test_state_is_there_before_the_sockets_open(
    hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """The first SUBSCRIBE must already be answered with the stored state."""
    hass_storage["dfks.dfks_entry"] = {
        "version": 1,
        "data": {"lines": {"reception": {"DoNotDisturb": {"status": True}}}},
    }
    at_start: list[bool] = []
    sync_of = FeatureSync.__init__
    syncs: list[FeatureSync] = []

    def remember(sync: FeatureSync, server: SipServer, *rest: Any) -> None:
        syncs.append(sync)
        sync_of(sync, server, *rest)

    async def look(server: SipServer, *_: object, **__: object) -> None:
        state = syncs[0].lines[RECEPTION].state(Feature.DO_NOT_DISTURB)
        at_start.append(state.status)

    with (
        patch.object(FeatureSync, "__init__", remember),
        patch(START, autospec=True, side_effect=look),
    ):
        await set_up(hass, entry)

    assert at_start == [True]


async def test_line_added_while_the_sockets_open(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """A line that appears in the middle of the setup is there after it."""
    opening, go_on = asyncio.Event(), asyncio.Event()

    async def slow_start(server: SipServer, *_: object, **__: object) -> None:
        opening.set()
        await go_on.wait()

    entry.add_to_hass(hass)
    with patch(START, autospec=True, side_effect=slow_start):
        setup = hass.async_create_task(hass.config_entries.async_setup(entry.entry_id))
        await opening.wait()
        flow = await hass.config_entries.subentries.async_init(
            (entry.entry_id, "line"), context={"source": "user"}
        )
        await hass.config_entries.subentries.async_configure(
            flow["flow_id"], {"name": "Gate", "user": "203"}
        )
        go_on.set()
        assert await setup
    await hass.async_block_till_done()

    assert state_of(hass, "switch.gate_do_not_disturb") == "off"


async def test_removal_deletes_the_stored_state(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
) -> None:
    """Removing the listener leaves no file behind."""
    await turn(hass, DND, "on")
    await hass.config_entries.async_reload(entry.entry_id)
    assert "dfks.dfks_entry" in hass_storage

    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()

    assert "dfks.dfks_entry" not in hass_storage
    assert hass.states.async_all() == []


async def test_entities_of_a_feature_unassigned_while_away_are_removed(
    hass: HomeAssistant, port: int, entity_registry: er.EntityRegistry
) -> None:
    """A line can be changed while its listener does not run."""
    data = {**RECEPTION_DATA, "features": ["do_not_disturb"]}
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
    entry.add_to_hass(hass)
    stale = entity_registry.async_get_or_create(
        "switch",
        "dfks",
        "dfks_entry_reception_call_forwarding_busy",
        config_entry=entry,
        config_subentry_id=RECEPTION,
    )
    await set_up(hass, entry)

    assert entity_registry.async_get(stale.entity_id) is None
