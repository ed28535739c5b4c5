"""The event of a line: who changed what, from what to what."""

from contextlib import AsyncExitStack
from typing import Any

from homeassistant.auth.models import User
from homeassistant.core import Context, HomeAssistant
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from tests.phone import Phone

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    FEATURE_CHANGE,
    LOCALHOST,
    NO_ANSWER_TARGET,
    RECEPTION,
    RECEPTION_DATA,
    RINGS,
    MockConfigEntry,
    change_line,
    line_data,
    listener_entry,
    press,
    runtime,
    set_up,
    state_of,
    turn,
    write_number,
    write_text,
)


def last_event(hass: HomeAssistant) -> dict[str, Any]:
    """Return the attributes of the line's last event, without what never changes."""
    state = hass.states.get(FEATURE_CHANGE)
    assert state is not None
    fixed = ("event_types", "friendly_name")
    return {key: val for key, val in state.attributes.items() if key not in fixed}


async def test_key_of_a_phone(hass: HomeAssistant, listener: DfksListener) -> None:
    """Says who it was, and where the phone is."""
    async with AsyncExitStack() as stack:
        phone = Phone("201", "reception-201", (LOCALHOST, listener.server.port))
        await stack.enter_async_context(phone)
        await phone.subscribe()
        await phone.notification()
        await phone.set_dnd(True)
        await phone.notification()
        host, port = phone.link.local[:2]

    assert last_event(hass) == {
        "event_type": "do_not_disturb_on",
        "feature": "do_not_disturb",
        "from": {"status": False},
        "to": {"status": True},
        "who": "phone",
        "source": f"{host}:{port}",
    }


async def test_switch_in_home_assistant(
    hass: HomeAssistant, listener: DfksListener, hass_owner_user: User
) -> None:
    """Is Home Assistant's doing, with the context of whoever did it."""
    context = Context(user_id=hass_owner_user.id)
    await hass.services.async_call(
        "switch", "turn_on", {"entity_id": DND}, blocking=True, context=context
    )

    assert last_event(hass) == {
        "event_type": "do_not_disturb_on",
        "feature": "do_not_disturb",
        "from": {"status": False},
        "to": {"status": True},
        "who": "home_assistant",
        "source": None,
    }
    state = hass.states.get(FEATURE_CHANGE)
    assert state is not None
    assert state.context.user_id == hass_owner_user.id


async def test_target_and_rings_are_told(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Before and after."""
    await press(
        entry,
        Feature.CALL_FORWARDING_NO_ANSWER,
        status=True,
        forward_to="2424",
        ring_count=5,
    )

    event = last_event(hass)
    assert event["event_type"] == "call_forwarding_no_answer_on"
    assert event["from"] == {"status": False, "forward_to": "", "ring_count": 3}
    assert event["to"] == {"status": True, "forward_to": "2424", "ring_count": 5}


async def test_each_kind_of_change_has_its_type(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """On, off, and what changes while it stays as it is."""
    seen = []
    await write_text(hass, ALWAYS_TARGET, "300")
    seen.append(last_event(hass)["event_type"])
    await turn(hass, ALWAYS, "on")
    seen.append(last_event(hass)["event_type"])
    await turn(hass, ALWAYS, "off")
    seen.append(last_event(hass)["event_type"])
    await write_number(hass, RINGS, 7)
    seen.append(last_event(hass)["event_type"])
    await write_text(hass, NO_ANSWER_TARGET, "300")
    seen.append(last_event(hass)["event_type"])

    assert seen == [
        "call_forwarding_always_changed",
        "call_forwarding_always_on",
        "call_forwarding_always_off",
        "call_forwarding_no_answer_changed",
        "call_forwarding_no_answer_changed",
    ]


async def test_what_changes_nothing_is_no_event(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Neither the same again, nor what the feature does not have, nor a phone coming."""
    await turn(hass, DND, "off")
    await press(entry, Feature.DO_NOT_DISTURB, forward_to="2424")
    async with Phone(
        "201", "reception-201", (LOCALHOST, listener.server.port)
    ) as phone:
        await phone.subscribe()
        await phone.notification()

    assert state_of(hass, FEATURE_CHANGE) == "unknown"


@pytest.mark.parametrize(
    ("features", "types"),
    [
        (["do_not_disturb"], ["do_not_disturb_on", "do_not_disturb_off"]),
        (
            ["call_forwarding_busy"],
            [
                "call_forwarding_busy_on",
                "call_forwarding_busy_off",
                "call_forwarding_busy_changed",
            ],
        ),
    ],
)
async def test_types_are_those_of_the_features(
    hass: HomeAssistant, port: int, features: list[str], types: list[str]
) -> None:
    """What cannot happen is not offered to automations, and never happens."""
    data = {**RECEPTION_DATA, "features": features}
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", data)])
    await set_up(hass, entry)
    await press(entry, Feature.CALL_FORWARDING_ALWAYS, status=True, forward_to="2424")

    state = hass.states.get(FEATURE_CHANGE)
    assert state is not None
    assert state.attributes["event_types"] == types
    assert state.state == "unknown"


async def test_types_follow_the_features(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """When the line gets another one, its first change is told already."""
    for features in (["do_not_disturb"], ["call_forwarding_busy"]):
        await change_line(hass, entry, features=features)
    assert runtime(entry).sync.lines[RECEPTION].assigned == (
        Feature.CALL_FORWARDING_BUSY,
    )
    await press(entry, Feature.CALL_FORWARDING_BUSY, status=True, forward_to="1")

    assert last_event(hass)["event_type"] == "call_forwarding_busy_on"


async def test_last_event_outlives_a_reload(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """So that a dashboard still shows who it was."""
    await press(entry, Feature.DO_NOT_DISTURB, status=True)
    before = hass.states.get(FEATURE_CHANGE)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    after = hass.states.get(FEATURE_CHANGE)
    assert before is not None
    assert after is not None
    assert (after.state, after.attributes) == (before.state, before.attributes)
