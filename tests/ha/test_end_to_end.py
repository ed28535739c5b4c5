"""A phone and a user at the same line, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.event import async_track_state_change_event
import pytest

from custom_components.dfks.listener import DfksListener
from tests import phone as desk
from tests.phone import PATIENCE, Phone

from .common import (
    CONNECTED,
    DND,
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    line_data,
    listener_entry,
    set_up,
    state_of,
    turn,
    write_number,
    write_text,
)
from .forms import add_gate

KINDS = {
    "always": ("call_forwarding_always", desk.ALWAYS),
    "busy": ("call_forwarding_busy", desk.BUSY),
    "no-answer": ("call_forwarding_no_answer", desk.NO_ANSWER),
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close phones at the end of a test."""
    async with AsyncExitStack() as stack:
        yield stack


async def connect(
    stack: AsyncExitStack, listener: DfksListener, transport: str = "udp"
) -> Phone:
    """Return a phone of the line Reception that has the full state."""
    phone = Phone(
        "201", "reception-201", (LOCALHOST, listener.server.port), transport=transport
    )
    await stack.enter_async_context(phone)
    assert (await phone.register()).status == 200
    assert (await phone.subscribe()).status == 200
    await phone.notification()
    return phone


async def until_state(hass: HomeAssistant, entity_id: str, state: str) -> None:
    """Wait until an entity has a state."""
    there = asyncio.Event()

    @callback
    def look(_event: Event[EventStateChangedData] | None = None) -> None:
        if state_of(hass, entity_id) == state:
            there.set()

    untrack = async_track_state_change_event(hass, entity_id, look)
    look()
    try:
        async with asyncio.timeout(PATIENCE):
            await there.wait()
    finally:
        untrack()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_dnd_key_and_switch_move_together(
    hass: HomeAssistant, listener: DfksListener, stack: AsyncExitStack, transport: str
) -> None:
    """The key lights the switch; the switch puts the lamp out."""
    phone = await connect(stack, listener, transport)
    assert not phone.features[desk.DND].on

    await phone.set_dnd(True)
    await phone.until(lambda lamps: lamps[desk.DND].on)
    assert state_of(hass, DND) == "on"

    await turn(hass, DND, "off")
    await phone.until(lambda lamps: not lamps[desk.DND].on)
    assert phone.violations == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("kind", KINDS)
async def test_forwardings_move_together(
    hass: HomeAssistant,
    listener: DfksListener,
    stack: AsyncExitStack,
    transport: str,
    kind: str,
) -> None:
    """With target, and rings where there are any."""
    key, feature = KINDS[kind]
    rings = 5 if kind == "no-answer" else None
    phone = await connect(stack, listener, transport)

    await phone.set_forward(kind, True, "2424", rings)
    await phone.until(lambda lamps: lamps[feature].on)
    assert state_of(hass, f"switch.reception_{key}") == "on"
    assert state_of(hass, f"text.reception_{key}_target") == "2424"
    if rings:
        assert state_of(hass, f"number.reception_{key}_rings") == "5"
        await write_number(hass, f"number.reception_{key}_rings", 7)
        await phone.until(lambda lamps: lamps[feature].rings == 7)

    await write_text(hass, f"text.reception_{key}_target", "300")
    await phone.until(lambda lamps: lamps[feature].target == "300")
    await turn(hass, f"switch.reception_{key}", "off")
    await phone.until(lambda lamps: not lamps[feature].on)
    assert phone.violations == []


async def test_two_phones_of_a_line_see_each_other(
    hass: HomeAssistant, listener: DfksListener, stack: AsyncExitStack
) -> None:
    """A desk phone by UDP and a cordless one by TCP."""
    desk_phone = await connect(stack, listener, "udp")
    cordless = await connect(stack, listener, "tcp")

    await desk_phone.set_dnd(True)
    await cordless.until(lambda lamps: lamps[desk.DND].on)
    await turn(hass, DND, "off")
    await desk_phone.until(lambda lamps: not lamps[desk.DND].on)
    await cordless.until(lambda lamps: not lamps[desk.DND].on)
    assert desk_phone.violations == cordless.violations == []


async def test_connected_while_subscribed(
    hass: HomeAssistant, listener: DfksListener, stack: AsyncExitStack
) -> None:
    """From the first to the last subscription."""
    assert state_of(hass, CONNECTED) == "off"
    phone = await connect(stack, listener)
    await until_state(hass, CONNECTED, "on")

    await phone.unsubscribe()
    await until_state(hass, CONNECTED, "off")


async def test_connected_ends_with_the_connection(
    hass: HomeAssistant, listener: DfksListener, stack: AsyncExitStack
) -> None:
    """A TCP phone whose plug is pulled is not there any more."""
    phone = await connect(stack, listener, "tcp")
    await until_state(hass, CONNECTED, "on")

    await phone.close()
    await until_state(hass, CONNECTED, "off")


async def test_rename_and_other_lines_leave_the_dialog_alone(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    stack: AsyncExitStack,
) -> None:
    """The phone notices nothing and goes on."""
    phone = await connect(stack, listener)
    reception = entry.subentries[RECEPTION]
    hass.config_entries.async_update_subentry(entry, reception, title="Front desk")
    hass.config_entries.async_remove_subentry(entry, "workshop")
    await add_gate(hass, entry)
    await phone.quiet()

    await phone.set_dnd(True)
    await phone.until(lambda lamps: lamps[desk.DND].on)
    assert state_of(hass, DND) == "on"
    assert phone.violations == []


async def test_phone_of_a_removed_line_is_told(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    stack: AsyncExitStack,
) -> None:
    """Its subscription ends with a word."""
    phone = await connect(stack, listener)
    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()

    last = await phone.notification()
    assert (last.state, last.reason) == ("terminated", "noresource")


async def test_added_line_serves_its_phone(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    stack: AsyncExitStack,
) -> None:
    """At once, without a reload."""
    await add_gate(hass, entry)

    phone = Phone("203", "gate-203", (LOCALHOST, listener.server.port))
    await stack.enter_async_context(phone)
    assert (await phone.subscribe()).status == 200
    await phone.notification()
    await turn(hass, "switch.gate_do_not_disturb", "on")
    await phone.until(lambda lamps: lamps[desk.DND].on)


async def test_unassigned_features_are_not_told(
    hass: HomeAssistant, port: int, stack: AsyncExitStack
) -> None:
    """The phone hears of the others only."""
    data = {
        **RECEPTION_DATA,
        "features": ["do_not_disturb", "call_forwarding_busy"],
        "notify_style": "separate",
    }
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
    listener = await set_up(hass, entry)
    phone = await connect(stack, listener)

    await phone.until(lambda lamps: len(lamps) == 2)
    assert set(phone.features) == {desk.DND, desk.BUSY}
    assert phone.violations == []


@pytest.mark.parametrize(
    ("options", "seconds"), [({}, 3600), ({"max_expires": 300}, 300)]
)
async def test_subscription_time_is_capped(
    hass: HomeAssistant,
    port: int,
    stack: AsyncExitStack,
    options: dict[str, int],
    seconds: int,
) -> None:
    """As the option says."""
    entry = listener_entry(
        port,
        [line_data(RECEPTION, "Reception", RECEPTION_DATA)],
        options=options,
    )
    listener = await set_up(hass, entry)
    phone = Phone("201", "reception-201", (LOCALHOST, listener.server.port))
    await stack.enter_async_context(phone)

    response = await phone.subscribe(expires=86400)
    assert response.get("Expires") == str(seconds)


@pytest.mark.parametrize(
    ("digest", "phone_has", "status"),
    [
        ("both", "MD5", 200),
        ("both", "SHA-256", 200),
        ("md5", "MD5", 200),
        ("md5", "SHA-256", 401),
        ("sha256", "SHA-256", 200),
        ("sha256", "MD5", 401),
    ],
)
async def test_algorithms_are_those_of_the_option(
    hass: HomeAssistant,
    port: int,
    stack: AsyncExitStack,
    digest: str,
    phone_has: str,
    status: int,
) -> None:
    """A phone gets in with an algorithm that is offered, and with no other."""
    entry = listener_entry(
        port,
        [line_data(RECEPTION, "Reception", RECEPTION_DATA)],
        options={"digest": digest},
    )
    listener = await set_up(hass, entry)
    phone = Phone(
        "201",
        "reception-201",
        (LOCALHOST, listener.server.port),
        algorithm=phone_has,
    )
    await stack.enter_async_context(phone)

    assert (await phone.register()).status == status


async def test_restart_keeps_the_state(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    stack: AsyncExitStack,
) -> None:
    """A phone that subscribes after it is told what was set before it."""
    phone = await connect(stack, listener)
    await phone.set_forward("no-answer", True, "2424", 4)
    await phone.set_dnd(True)
    await phone.close()

    assert await hass.config_entries.async_unload(entry.entry_id)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    phone = await connect(stack, entry.runtime_data)
    assert phone.features[desk.DND].on
    assert phone.features[desk.NO_ANSWER] == desk.Lamp(on=True, target="2424", rings=4)
