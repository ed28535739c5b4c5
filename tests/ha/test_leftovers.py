"""What goes away leaves nothing behind: sockets, tasks, timers, entries, files, memory.

The listener is kept busy before it goes: a NOTIFY is in flight, another is held until a
feature comes to rest, a connection is open, a change is not written yet, a source is
blocked, and TLS is served.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
import errno
from functools import partial
import gc
import logging
from pathlib import Path
import socket
from typing import Any, NamedTuple
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HassJob, HomeAssistant
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util
from homeassistant.util.async_ import get_scheduled_timer_handles
import pytest

import custom_components.dfks
from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature, Line
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.monitor import LinePhone
from custom_components.dfks.sip.access.accounts import Binding
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transaction.client import ClientTransaction
from custom_components.dfks.sip.transport.flow import Flow
from custom_components.dfks.sip.ua.dialog import Dialog, Subscription
from dev.ports import free_port
from tests import phone as desk
from tests.phone import Phone

from .common import (
    BOTH_LINES,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    WORKSHOP_DATA,
    MockConfigEntry,
    async_fire_time_changed,
    entry_state,
    listener_entry,
    press,
    runtime,
    set_up,
)
from .pem import write_pem

# What there is only while a listener runs.
ALIVE = (
    *(DfksListener, SipServer, Line, LinePhone, Binding, Dialog),
    *(Subscription, ClientTransaction, Flow),
)

TESTS = Path(__file__).parents[1]
INTEGRATION = custom_components.dfks.__name__
FOLDER = Path(custom_components.dfks.__file__).parent

# How deep a timer's function may be wrapped: a job, in it a partial, in it a method.
WRAPPINGS = 6

type KeepBusy = Callable[[], Awaitable[None]]
type Leave = Callable[[HomeAssistant, MockConfigEntry], Awaitable[None]]


class Traces(NamedTuple):
    """What a listener may leave in the process; in words, to keep nothing alive."""

    sockets: list[str]
    tasks: list[str]
    timers: list[str]
    listeners: Mapping[Any, int]
    data: set[str]


def traces(hass: HomeAssistant, entry: MockConfigEntry) -> Traces:
    """Return what there is now."""
    ports = {entry.data["port"], entry.data["tls"]["port"]}
    gc.collect()
    return Traces(
        sockets=[
            repr(item)
            for item in gc.get_objects()
            if type(item) is socket.socket
            and item.fileno() >= 0
            and item.getsockname()[1] in ports
        ],
        tasks=[repr(task) for task in asyncio.all_tasks() if not _is_tests(task)],
        timers=[
            repr(handle)
            for handle in get_scheduled_timer_handles(hass.loop)
            if not handle.cancelled() and _is_ours(handle)
        ],
        listeners=hass.bus.async_listeners(),
        data={str(key) for key in hass.data},
    )


def _is_tests(task: asyncio.Task[Any]) -> bool:
    """Whether a task is that of a simulated phone, or this test."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and TESTS in Path(code.co_filename).parents


def _is_ours(handle: asyncio.TimerHandle) -> bool:
    """Whether a timer is the listener's, or one of Home Assistant's made for it."""
    parts: list[Any] = [handle._callback, *(handle._args or ())]  # type: ignore[attr-defined]
    for _ in range(WRAPPINGS):
        if any(_is_integrations(part) for part in parts):
            return True
        parts = [inner for part in parts for inner in _unwrap(part)]
    return False


def _unwrap(part: object) -> list[object]:
    """Return what a method, a partial, a closure, or a job of Home Assistant's calls."""
    names = "__self__", "__func__", "__wrapped__", "func", "target", "action"
    inner = [getattr(part, name, None) for name in names]
    inner += [cell.cell_contents for cell in getattr(part, "__closure__", None) or ()]
    return [item for item in inner if item is not None]


def _is_integrations(part: object) -> bool:
    """Whether a function or an object comes from the integration's modules or files."""
    module = getattr(part, "__module__", None) or ""
    code = getattr(part, "__code__", None)
    return f"{module}.".startswith(f"{INTEGRATION}.") or (
        code is not None and FOLDER in Path(code.co_filename).parents
    )


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Log nothing: pytest keeps the records, and they hold servers and tracebacks."""
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def entry(port: int, tmp_path: Path) -> MockConfigEntry:
    """Return a listener with TLS and the lines Reception and Workshop."""
    files = write_pem(tmp_path, "server")
    tls = {
        "certificate": files.certificate,
        "private_key": files.key,
        "port": free_port(),
    }
    return listener_entry(port, BOTH_LINES, settings={"tls": tls})


@pytest.fixture
async def keep_busy(entry: MockConfigEntry, port: int) -> AsyncIterator[KeepBusy]:
    """Return what gives the listener that runs something to do."""
    async with AsyncExitStack() as stack:

        async def keep_busy() -> None:
            server = LOCALHOST, port
            for data, transport in ((RECEPTION_DATA, "udp"), (WORKSHOP_DATA, "tcp")):
                phone = Phone(
                    data["user"], data["password"], server, transport=transport
                )
                await stack.enter_async_context(phone)
                assert (await phone.register()).status == 200
                assert (await phone.subscribe()).status == 200
                await phone.notification()
                phone.answer_next(desk.SILENCE)
            guard = runtime(entry).server._guard
            for attempt in range(runtime(entry).config.max_failures):
                guard.failed("192.0.2.1", "201", str(attempt))
            for line_id in (RECEPTION, WORKSHOP):
                for status in (True, False):
                    await press(
                        entry, Feature.DO_NOT_DISTURB, line_id=line_id, status=status
                    )

        yield keep_busy
        await stack.aclose()


async def unload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Turn the entry off."""
    assert await hass.config_entries.async_unload(entry.entry_id)


async def remove(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Remove the entry."""
    await hass.config_entries.async_remove(entry.entry_id)


async def stop(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Stop Home Assistant, as far as integrations hear of it."""
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)


async def fail(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Turn the entry off, and on again when that cannot be done."""
    await unload(hass, entry)
    no_luck = OSError(errno.EADDRINUSE, "Address already in use")
    with patch(
        "custom_components.dfks.sip.transport.layer.Transports.listen",
        side_effect=no_luck,
    ):
        assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry_state(entry) is ConfigEntryState.SETUP_RETRY
    await unload(hass, entry)


async def test_timer_of_others_is_none_of_the_listeners(
    hass: HomeAssistant, tmp_path: Path
) -> None:
    """Even where the domain is in a path, as in a checkout called ha-dfks."""
    handle = hass.loop.call_later(60, print, tmp_path / "ha-dfks")

    assert DOMAIN in repr(handle)
    assert not _is_ours(handle)
    handle.cancel()


async def test_timer_that_calls_the_listener_is_its_own(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """However deep Home Assistant and functools have wrapped what is called."""
    listener = await set_up(hass, entry)
    before = len(traces(hass, entry).timers)

    cancel = async_call_later(hass, 60, HassJob(partial(listener.async_stop)))

    assert len(traces(hass, entry).timers) == before + 1
    cancel()


@pytest.mark.parametrize("leave", [unload, stop, fail, remove])
async def test_listener_that_goes_leaves_nothing_at_work(
    hass: HomeAssistant, entry: MockConfigEntry, keep_busy: KeepBusy, leave: Leave
) -> None:
    """No socket, task or timer, however it goes and whatever it was at."""
    await set_up(hass, entry)
    # Home Assistant stops while none of its own imports are at work.
    await hass.async_block_till_done(wait_background_tasks=True)
    await keep_busy()
    busy = traces(hass, entry)
    # UDP, TCP, TLS and a connection; NOTIFYs, the block, the files.
    assert len(busy.sockets) == 4
    assert len(busy.timers) >= 4

    await leave(hass, entry)
    await hass.async_block_till_done()
    after = traces(hass, entry)
    assert after.sockets == []
    assert after.timers == []
    assert after.tasks == []
    assert not block_issues(hass)


@pytest.mark.parametrize("leave", [unload, fail, remove])
async def test_listener_that_goes_is_forgotten(
    hass: HomeAssistant, entry: MockConfigEntry, keep_busy: KeepBusy, leave: Leave
) -> None:
    """Nothing holds on to it, its lines or its phones."""
    await set_up(hass, entry)
    await keep_busy()
    assert {type(item) for item in living()} >= set(ALIVE) - {Flow}

    await leave(hass, entry)
    await hass.async_block_till_done()
    assert living() == []


async def test_reloads_do_not_add_up(
    hass: HomeAssistant, entry: MockConfigEntry, keep_busy: KeepBusy
) -> None:
    """After five of them there is as much of everything as after one."""
    await set_up(hass, entry)
    await keep_busy()
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    once, alive = traces(hass, entry), Counter(type(item) for item in living())

    for _ in range(5):
        assert await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
    often = traces(hass, entry)
    assert len(often.sockets) == len(once.sockets)
    assert len(often.timers) == len(once.timers)
    assert len(often.tasks) == len(once.tasks)
    # Home Assistant's web server has written its own settings meanwhile.
    assert not Counter(often.listeners) - Counter(once.listeners)
    assert often.data == once.data
    assert Counter(type(item) for item in living()) == alive


async def test_removed_listener_leaves_nothing_stored(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    keep_busy: KeepBusy,
    hass_storage: dict[str, Any],
) -> None:
    """No entity, device, issue, file or key; the actions stay, and say so if used.

    So does what is served of the dashboard, as long as the web server runs.
    """
    await set_up(hass, entry)
    await keep_busy()
    await hass.config_entries.async_reload(entry.entry_id)
    assert {key for key in hass_storage if DOMAIN in key} == {
        "dfks.dfks_entry",
        "dfks.dfks_entry.phones",
    }

    await remove(hass, entry)
    await hass.async_block_till_done()
    assert not [key for key in hass_storage if DOMAIN in key]
    assert not er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert not dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert not [key for key in ir.async_get(hass).issues if key[0] == DOMAIN]
    assert hass.states.async_all() == []
    kept = [str(key) for key in hass.data if DOMAIN in str(key)]
    assert kept == ["dfks_strategy_module"]
    assert hass.services.has_service(DOMAIN, "set_feature")


async def test_removed_line_leaves_nothing(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    keep_busy: KeepBusy,
    hass_storage: dict[str, Any],
) -> None:
    """No entity, device, state, subscription or phone of it, while the other goes on."""
    listener = await set_up(hass, entry)
    await keep_busy()
    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()
    give_up_on_notifies(listener)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=2))
    await hass.async_block_till_done()

    assert {item.id for item in living() if isinstance(item, Line)} == {WORKSHOP}
    for kind in (LinePhone, Subscription, Dialog, Binding):
        assert len([item for item in living() if isinstance(item, kind)]) == 1
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert {entity.config_subentry_id for entity in entities} == {WORKSHOP}
    (device,) = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert device.name == "Workshop"
    assert not [item for item in hass.states.async_all() if RECEPTION in item.entity_id]
    assert RECEPTION not in str(hass_storage["dfks.dfks_entry"])
    assert RECEPTION not in str(hass_storage["dfks.dfks_entry.phones"])


def give_up_on_notifies(listener: DfksListener) -> None:
    """Let the time pass in which phones may answer NOTIFYs."""
    requests = listener.server.notifier.requests
    for subscription in list(listener.server.notifier):
        if subscription.in_flight is not None:
            requests.fail(subscription.in_flight)


def living() -> list[Any]:
    """Return what there is only while a listener runs."""
    gc.collect()
    return [item for item in gc.get_objects() if isinstance(item, ALIVE)]


def block_issues(hass: HomeAssistant) -> list[str]:
    """Return the issues of addresses that are blocked."""
    issues = ir.async_get(hass).issues
    return [key for domain, key in issues if domain == DOMAIN]
