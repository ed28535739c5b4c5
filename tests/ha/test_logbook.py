"""Who made a change, as Activity tells it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from homeassistant.components.logbook.const import DOMAIN as LOGBOOK
from homeassistant.components.logbook.models import LogbookConfig, async_event_to_row
from homeassistant.components.logbook.processor import EventProcessor
from homeassistant.const import EVENT_CALL_SERVICE, EVENT_STATE_CHANGED
from homeassistant.core import Context, Event, HomeAssistant, callback
import pytest

from custom_components.dfks.changes import EVENT_FEATURE_CHANGED, phone_name
from custom_components.dfks.features.model import ChangeRequest, Feature, Origin
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.logbook import async_describe_events
from custom_components.dfks.phones.calls import EVENT_CALL

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    FEATURE_CHANGE,
    RECEPTION,
    MockConfigEntry,
    runtime,
    set_up,
    turn,
)
from .conftest import Plug
from .scripts import answer, hooks_done, load_scripts, script

YEALINK = "Yealink SIP-T54W 96.86.0.70"


class Activity:
    """What Activity makes of all that happens from now on."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Listen to what the page reads."""
        self._hass = hass
        self._events: list[Event[Any]] = []

        @callback
        def listen(event: Event[Any]) -> None:
            self._events.append(event)

        self._stop = [
            hass.bus.async_listen(event, listen)
            for event in (
                EVENT_STATE_CHANGED,
                EVENT_CALL_SERVICE,
                EVENT_FEATURE_CHANGED,
            )
        ]

    def close(self) -> None:
        """Listen no more."""
        for stop in self._stop:
            stop()

    async def entries(self) -> list[dict[str, Any]]:
        """Return the page's entries, the oldest first."""
        await self._hass.async_block_till_done()
        described: dict[Any, tuple[str, Any]] = {}

        def describe(
            domain: str, event: str, how: Callable[[Any], dict[str, Any]]
        ) -> None:
            described[event] = (domain, how)

        async_describe_events(self._hass, describe)
        self._hass.data[LOGBOOK] = LogbookConfig(described, None, None)
        processor = EventProcessor(self._hass, (EVENT_FEATURE_CHANGED,))
        rows = (async_event_to_row(event) for event in self._events)
        return processor.humanify(row for row in rows if row is not None)

    async def cause(self, entity_id: str) -> str | None:
        """Return what the page names as the cause of an entity's last change."""
        *_, last = (
            entry
            for entry in await self.entries()
            if entry.get("entity_id") == entity_id
        )
        assert last.get("context_entity_id") is None
        name: str | None = last.get("context_name")
        return name


@pytest.fixture
async def activity(
    hass: HomeAssistant, listener: DfksListener
) -> AsyncIterator[Activity]:
    """Return the page, with a listener that runs."""
    activity = Activity(hass)
    yield activity
    activity.close()


async def press_on(plug: Plug, user_agent: str) -> None:
    """Press Do not disturb on a phone."""
    phone = await plug(user_agent=user_agent)
    await phone.subscribe()
    await phone.notification()
    await phone.set_dnd(True)
    await phone.notification()


async def test_key_of_a_phone_is_the_phones(activity: Activity, plug: Plug) -> None:
    """The switch and the event of the line have the same author."""
    await press_on(plug, YEALINK)

    assert await activity.cause(DND) == "Phone Yealink SIP-T54W"
    assert await activity.cause(FEATURE_CHANGE) == "Phone Yealink SIP-T54W"


async def test_the_key_itself_has_an_entry(activity: Activity, plug: Plug) -> None:
    """It says who, where and what; it comes before what follows from it."""
    await press_on(plug, YEALINK)

    entry, *others = [
        entry
        for entry in await activity.entries()
        if entry.get("entity_id") in (None, DND, FEATURE_CHANGE)
    ]
    assert entry["name"] == "Phone Yealink SIP-T54W"
    assert entry["message"] == "Reception: Do not disturb turned on"
    assert {other["entity_id"] for other in others} == {DND, FEATURE_CHANGE}


async def test_phone_that_does_not_say_what_it_is(
    activity: Activity, plug: Plug
) -> None:
    """Is a phone."""
    await press_on(plug, "")

    assert await activity.cause(DND) == "Phone"


async def test_in_the_language_of_the_house(
    hass: HomeAssistant, entry: MockConfigEntry, plug: Plug
) -> None:
    """Author and change."""
    hass.config.language = "de"
    await set_up(hass, entry)
    activity = Activity(hass)
    await press_on(plug, YEALINK)

    first, *_ = [e for e in await activity.entries() if "message" in e]
    assert first["name"] == "Telefon Yealink SIP-T54W"
    assert first["message"] == "Reception: Nicht stören eingeschaltet"
    activity.close()


async def test_all_entities_of_a_change_share_its_context(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Switch, target and event; the next change has another one."""
    seen: list[set[str]] = []
    for target in ("300", "301"):
        await runtime(entry).sync.change(
            RECEPTION,
            ChangeRequest(
                feature=Feature.CALL_FORWARDING_ALWAYS,
                status=target == "300",
                forward_to=target,
                origin=Origin.PHONE,
            ),
        )
        states = [hass.states.get(e) for e in (ALWAYS, ALWAYS_TARGET, FEATURE_CHANGE)]
        seen.append({state.context.id for state in states if state is not None})

    assert [len(ids) for ids in seen] == [1, 1]
    assert seen[0] != seen[1]


async def test_what_a_user_does_fires_no_event(
    hass: HomeAssistant, activity: Activity
) -> None:
    """The user's call names the author already."""
    await turn(hass, DND, "on")

    assert [e for e in await activity.entries() if "message" in e] == []


async def test_what_changes_nothing_fires_no_event(
    hass: HomeAssistant, activity: Activity, plug: Plug
) -> None:
    """A phone that repeats itself."""
    await turn(hass, DND, "on")
    await press_on(plug, YEALINK)

    assert [e for e in await activity.entries() if "message" in e] == []


async def test_the_set_script_runs_on_behalf_of_the_phone(
    hass: HomeAssistant, listener: DfksListener, plug: Plug
) -> None:
    """Its context is a child of that of the change."""
    parents: list[str | None] = []
    hass.bus.async_listen(
        "asked", callback(lambda event: parents.append(event.context.parent_id))
    )
    await load_scripts(hass, dfks_set=script({"event": "asked"}))
    await press_on(plug, YEALINK)
    await hooks_done(listener)
    await hass.async_block_till_done()

    state = hass.states.get(DND)
    assert state is not None
    assert parents == [state.context.id]


async def test_what_the_get_script_supplies_is_its_doing(
    hass: HomeAssistant, activity: Activity, listener: DfksListener, plug: Plug
) -> None:
    """Not the phone's that asked."""
    await load_scripts(
        hass, dfks_get=script(*answer(status="{{ feature == 'DoNotDisturb' }}"))
    )
    phone = await plug(user_agent=YEALINK)
    await phone.subscribe()
    await phone.notification()
    await hooks_done(listener)

    assert await activity.cause(DND) == "Script that supplies states"


async def test_a_context_that_was_given_is_kept(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """Whoever brings one is the author."""
    context = Context()
    await hass.services.async_call(
        "switch", "turn_on", {"entity_id": DND}, blocking=True, context=context
    )

    for entity_id in (DND, FEATURE_CHANGE):
        state = hass.states.get(entity_id)
        assert state is not None
        assert state.context is context


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Yealink SIP-T54W 96.86.0.70", "Yealink SIP-T54W"),
        ("PolycomVVX-VVX_410-UA/5.9.0.9373", "PolycomVVX-VVX_410-UA"),
        ("Grandstream GRP2614 1.0.5.15", "Grandstream GRP2614"),
        ("Cisco/SPA504G-7.6.2", "Cisco/SPA504G"),
        ("snom320/8.7.5.35", "snom320"),
        ("Fanvil X4 2.4.5 0c383e000000", "Fanvil X4"),
        ("Panasonic_KX-HDV230/06.001 (0080f0000000)", "Panasonic_KX-HDV230"),
        ("Desk", "Desk"),
        ("4.2", "4.2"),
        ("\x07Desk\u202e", "Desk"),
        (None, ""),
    ],
)
def test_name_of_a_phone(user_agent: str | None, name: str) -> None:
    """Without firmware, MAC address and what cannot be shown."""
    assert phone_name(user_agent) == name


@pytest.mark.usefixtures("listener")
async def test_a_call_has_an_entry(hass: HomeAssistant) -> None:
    """It says whose call, and what has happened to it; no number."""
    described: dict[str, Callable[[Any], dict[str, Any]]] = {}

    def describe(_: str, event: str, how: Callable[[Any], dict[str, Any]]) -> None:
        described[event] = how

    async_describe_events(hass, describe)
    fired: Event[Any] = Event(EVENT_CALL, {"name": "Reception", "type": "incoming"})
    assert described[EVENT_CALL](fired) == {
        "name": "Reception",
        "message": "Incoming call",
    }
