"""What a user sees of a line, and what happens when the user touches it."""

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.auth.models import User
from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED, Platform
from homeassistant.core import (
    Context,
    Event,
    EventStateChangedData,
    HomeAssistant,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.dfks import PLATFORMS, switch
from custom_components.dfks.features.model import ChangeRefused, Feature
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.listener import DfksListener
from tests.phone import PATIENCE

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    ALWAYS_UNTIL,
    CONNECTED,
    DND,
    DND_UNTIL,
    FEATURE_CHANGE,
    INCOMING_CALLS,
    NO_ANSWER,
    NO_ANSWER_TARGET,
    RECEPTION,
    RECEPTION_DATA,
    RINGS,
    SYNC_STATUS,
    USER_AGENT,
    MockConfigEntry,
    async_fire_time_changed,
    async_fire_time_changed_exact,
    line,
    line_data,
    listener_entry,
    press,
    set_up,
    snapshot_platform,
    state_of,
    turn,
    write_number,
    write_text,
)

FORWARDINGS = ["always", "busy", "no_answer"]


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_entities(
    hass: HomeAssistant,
    port: int,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    platform: Platform,
) -> None:
    """Ids, names, categories and first states of a line's entities."""
    entry = listener_entry(port, [line_data(RECEPTION, "Reception", RECEPTION_DATA)])
    with patch("custom_components.dfks.PLATFORMS", [platform]):
        await set_up(hass, entry)
        await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)
        assert await hass.config_entries.async_unload(entry.entry_id)


async def test_ids_are_those_of_the_documentation(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """In English, with no area."""
    reception = {s.entity_id for s in hass.states.async_all() if "recep" in s.entity_id}
    assert reception == {
        "switch.reception_do_not_disturb",
        "switch.reception_call_forwarding_always",
        "switch.reception_call_forwarding_busy",
        "switch.reception_call_forwarding_no_answer",
        "text.reception_call_forwarding_always_target",
        "text.reception_call_forwarding_busy_target",
        "text.reception_call_forwarding_no_answer_target",
        "number.reception_call_forwarding_no_answer_rings",
        "datetime.reception_do_not_disturb_until",
        "binary_sensor.reception_phone_connected",
        "event.reception_feature_change",
        "sensor.reception_incoming_calls",
        "sensor.reception_sync_status",
        "sensor.reception_user_agent",
    }


async def test_unassigned_features_have_no_entities(
    hass: HomeAssistant, port: int
) -> None:
    """From the start."""
    data = {**RECEPTION_DATA, "features": ["do_not_disturb"]}
    await set_up(hass, listener_entry(port, [line_data(RECEPTION, "Reception", data)]))

    assert {state.entity_id for state in hass.states.async_all()} == {
        DND,
        DND_UNTIL,
        CONNECTED,
        FEATURE_CHANGE,
        INCOMING_CALLS,
        SYNC_STATUS,
        USER_AGENT,
    }


async def test_the_feature_is_an_attribute_and_not_recorded(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """By it templates find entities; it never changes."""
    for entity_id in (NO_ANSWER, NO_ANSWER_TARGET, RINGS):
        state = hass.states.get(entity_id)
        assert state is not None
        assert state.attributes["feature"] == "call_forwarding_no_answer"
        assert state.state_info is not None
        assert "feature" in state.state_info["unrecorded_attributes"]


async def test_what_stays_as_it_is_is_not_written(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Texts, numbers and ends are told of when they change, not with their switch."""
    written: list[str] = []

    @callback
    def note(event: Event[Any]) -> None:
        written.append(event.data["entity_id"])

    @callback
    def all_of_them(_: object) -> bool:
        return True

    for kind in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
        hass.bus.async_listen(kind, note, event_filter=all_of_them)
    feature = Feature.CALL_FORWARDING_NO_ANSWER
    await press(entry, feature, status=True, forward_to="24")
    await hass.async_block_till_done()
    written.clear()

    await press(entry, feature, status=False)
    await hass.async_block_till_done()
    assert sorted(written) == [FEATURE_CHANGE, NO_ANSWER]
    written.clear()

    await press(entry, feature, status=True, forward_to="25")
    await hass.async_block_till_done()
    assert sorted(written) == [FEATURE_CHANGE, NO_ANSWER, NO_ANSWER_TARGET]
    written.clear()

    await press(entry, Feature.DO_NOT_DISTURB, status=True)
    await hass.async_block_till_done()
    await press(entry, Feature.DO_NOT_DISTURB, status=False)
    await hass.async_block_till_done()
    assert written.count(INCOMING_CALLS) == 2
    assert written.count(DND_UNTIL) <= 1


class TestSwitch:
    """Do not disturb and the forwardings."""

    async def test_do_not_disturb_moves_both_ways(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The switch changes the line, the phone's key the switch."""
        await turn(hass, DND, "on")
        assert line(entry).state(Feature.DO_NOT_DISTURB).status
        assert state_of(hass, DND) == "on"

        await press(entry, Feature.DO_NOT_DISTURB, status=False)
        assert state_of(hass, DND) == "off"

    @pytest.mark.parametrize("kind", FORWARDINGS)
    async def test_forwarding_with_a_target(
        self, hass: HomeAssistant, listener: DfksListener, kind: str
    ) -> None:
        """Is turned on and off, and keeps its target."""
        switch = f"switch.reception_call_forwarding_{kind}"
        target = f"text.reception_call_forwarding_{kind}_target"
        await write_text(hass, target, "2424")
        await turn(hass, switch, "on")
        assert state_of(hass, switch) == "on"
        await turn(hass, switch, "off")
        assert state_of(hass, switch) == "off"
        assert state_of(hass, target) == "2424"

    async def test_only_its_own_switch_moves(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Neither another feature nor another line."""
        await press(entry, Feature.CALL_FORWARDING_BUSY, status=True, forward_to="1")

        on = [s.entity_id for s in hass.states.async_all("switch") if s.state == "on"]
        assert on == ["switch.reception_call_forwarding_busy"]

    async def test_forwarding_without_a_target_is_refused_after_a_second(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The message says what to do, in the words of the page."""
        turning = hass.async_create_task(turn(hass, ALWAYS, "on"))
        await asyncio.sleep(0)
        assert not turning.done()

        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=1))
        with pytest.raises(ServiceValidationError) as error:
            await turning

        assert error.value.translation_key == "target_missing"
        assert str(error.value) == (
            "Call forwarding always of Reception has no target yet. Enter a number or a "
            "SIP address in its target field, then turn it on"
        )
        assert state_of(hass, ALWAYS) == "off"

    async def test_target_within_the_second_is_waited_for(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whichever comes first."""
        monkeypatch.setattr(switch, "TARGET_WAIT", PATIENCE)
        turning = hass.async_create_task(turn(hass, ALWAYS, "on"))
        await asyncio.sleep(0)
        await turn(hass, DND, "on")
        assert not turning.done()
        await write_text(hass, ALWAYS_TARGET, "300")
        await turning

        assert state_of(hass, ALWAYS) == "on"

    async def test_scene_sets_target_and_switch_together(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """In whatever order Home Assistant applies them."""
        monkeypatch.setattr(switch, "TARGET_WAIT", PATIENCE)
        assert await async_setup_component(hass, "scene", {})
        await hass.async_block_till_done()
        await hass.services.async_call(
            "scene",
            "apply",
            {
                "entities": {
                    NO_ANSWER: "on",
                    RINGS: "7",
                    NO_ANSWER_TARGET: "2424",
                    DND: "on",
                }
            },
            blocking=True,
        )

        assert state_of(hass, NO_ANSWER) == "on"
        assert state_of(hass, NO_ANSWER_TARGET) == "2424"
        assert state_of(hass, RINGS) == "7"
        assert state_of(hass, DND) == "on"

    async def test_scene_snapshot_undoes_it(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The empty target included."""
        assert await async_setup_component(hass, "scene", {})
        await hass.async_block_till_done()
        await hass.services.async_call(
            "scene",
            "create",
            {"scene_id": "before", "snapshot_entities": [ALWAYS, ALWAYS_TARGET]},
            blocking=True,
        )
        await write_text(hass, ALWAYS_TARGET, "300")
        await turn(hass, ALWAYS, "on")

        await hass.services.async_call(
            "scene", "turn_on", {"entity_id": "scene.before"}, blocking=True
        )

        assert state_of(hass, ALWAYS) == "off"
        assert state_of(hass, ALWAYS_TARGET) == ""

    async def test_phones_forwarding_without_a_target_is_off(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """As its own switch would have it."""
        await press(entry, Feature.CALL_FORWARDING_ALWAYS, status=True)

        assert state_of(hass, ALWAYS) == "off"

    async def test_refusal_is_shown(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """With the reason that was given."""
        refusal = ChangeRefused("no forwarding at night")
        with (
            patch.object(FeatureSync, "change", side_effect=refusal),
            pytest.raises(HomeAssistantError) as error,
        ):
            await turn(hass, DND, "on")

        assert str(error.value) == (
            "The change of Reception was refused: no forwarding at night"
        )
        assert state_of(hass, DND) == "off"

    async def test_click_is_its_users_and_a_key_press_nobodys(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Also when the key is pressed just after the click."""
        context = Context()
        await hass.services.async_call(
            "switch", "turn_on", {"entity_id": DND}, blocking=True, context=context
        )
        state = hass.states.get(DND)
        assert state is not None
        assert state.context is context

        await press(entry, Feature.DO_NOT_DISTURB, status=False)
        state = hass.states.get(DND)
        assert state is not None
        assert state.context is not context


async def set_in_vain(
    hass: HomeAssistant, user: User, entity_id: str, **value: str
) -> None:
    """Set what is refused, as a user does at the page."""
    with (
        patch("custom_components.dfks.entity.BLANK", 0),
        pytest.raises(ServiceValidationError),
    ):
        await hass.services.async_call(
            entity_id.partition(".")[0],
            "set_value",
            {"entity_id": entity_id, **value},
            blocking=True,
            context=Context(user_id=user.id),
        )


class TestText:
    """Where forwardings go."""

    async def test_unset_is_the_empty_text(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Never unknown."""
        assert state_of(hass, ALWAYS_TARGET) == ""

    @pytest.mark.parametrize("target", ["2424", "*21#", "+4930123456", "sip:201@pbx"])
    async def test_takes_numbers_and_addresses(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        target: str,
    ) -> None:
        """Without the white space around them."""
        await write_text(hass, ALWAYS_TARGET, f" {target}\n")

        assert state_of(hass, ALWAYS_TARGET) == target
        state = line(entry).state(Feature.CALL_FORWARDING_ALWAYS)
        assert (state.forward_to, state.status) == (target, False)

    async def test_follows_the_phone(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Target and switch come with one key."""
        await press(entry, Feature.CALL_FORWARDING_ALWAYS, status=True, forward_to="5")

        assert state_of(hass, ALWAYS_TARGET) == "5"
        assert state_of(hass, ALWAYS) == "on"

    @pytest.mark.parametrize("empty", ["", "  "])
    async def test_clearing_turns_the_forwarding_off(
        self, hass: HomeAssistant, listener: DfksListener, empty: str
    ) -> None:
        """A forwarding to nowhere is none."""
        await write_text(hass, ALWAYS_TARGET, "300")
        await turn(hass, ALWAYS, "on")
        await write_text(hass, ALWAYS_TARGET, empty)

        assert state_of(hass, ALWAYS_TARGET) == ""
        assert state_of(hass, ALWAYS) == "off"

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("hello world", "hello world"),
            ("unknown", "unknown"),
            ("unavailable", "unavailable"),
            ("30\x000", r"'30\x000'"),
            ("30\u202c0", r"'30\u202c0'"),
        ],
    )
    async def test_refuses_what_is_no_target(
        self, hass: HomeAssistant, listener: DfksListener, value: str, shown: str
    ) -> None:
        """And keeps what was there."""
        await write_text(hass, ALWAYS_TARGET, "300")
        with pytest.raises(ServiceValidationError) as error:
            await write_text(hass, ALWAYS_TARGET, value)

        assert str(error.value) == (
            f'"{shown}" is not a target for calls to Reception. Enter a number (digits, '
            "+, * and #) or a SIP address such as sip:201@homeassistant"
        )
        assert state_of(hass, ALWAYS_TARGET) == "300"

    async def test_separators_of_a_number_are_left_out(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Nobody dials them."""
        await write_text(hass, ALWAYS_TARGET, "+49 (30) 12-34.56")

        assert state_of(hass, ALWAYS_TARGET) == "+4930123456"

    async def test_what_a_user_typed_does_not_stay_where_it_is_refused(
        self, hass: HomeAssistant, listener: DfksListener, hass_owner_user: User
    ) -> None:
        """The page shows the stored one again, as it hears of a state in between."""
        await write_text(hass, ALWAYS_TARGET, "300")
        seen = states_seen(hass, ALWAYS_TARGET)
        await set_in_vain(hass, hass_owner_user, ALWAYS_TARGET, value="hello")

        assert seen == ["unknown", "300"]

    async def test_what_an_automation_sets_in_vain_changes_no_state(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Nobody looks at a field there."""
        seen = states_seen(hass, ALWAYS_TARGET)
        with pytest.raises(ServiceValidationError):
            await write_text(hass, ALWAYS_TARGET, "hello")

        assert seen == []

    async def test_shows_the_start_of_a_very_long_target(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A phone may store more than a state can hold."""
        long = "sip:" + "9" * 4000
        await press(entry, Feature.CALL_FORWARDING_ALWAYS, status=True, forward_to=long)

        assert state_of(hass, ALWAYS_TARGET) == long[:255]
        assert line(entry).state(Feature.CALL_FORWARDING_ALWAYS).forward_to == long


def states_seen(hass: HomeAssistant, entity_id: str) -> list[str]:
    """Return the list to which each new state of an entity is added."""
    seen: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == entity_id and event.data["new_state"]:
            seen.append(event.data["new_state"].state)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    return seen


class TestUntil:
    """When a feature ends."""

    async def test_is_unknown_until_there_is_an_end(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Also while the feature is on for good."""
        assert state_of(hass, DND_UNTIL) == "unknown"
        await turn(hass, DND, "on")
        assert state_of(hass, DND_UNTIL) == "unknown"

    async def test_turns_the_feature_on_until_then(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """The switch says so as well; both forget it in the end."""
        freezer.move_to("2026-11-25 12:00:00+00:00")
        await pick(hass, DND_UNTIL, "2026-11-25T13:00:00+00:00")
        state = hass.states.get(DND)
        assert state is not None
        assert state.state == "on"
        assert state.attributes["until"] == "2026-11-25T05:00:00-08:00"
        assert state_of(hass, DND_UNTIL) == "2026-11-25T13:00:00+00:00"

        freezer.move_to("2026-11-25 13:00:00+00:00")
        async_fire_time_changed_exact(hass, dt_util.utcnow())
        await hass.async_block_till_done()
        state = hass.states.get(DND)
        assert state is not None
        assert (state.state, state.attributes["until"]) == ("off", None)
        assert state_of(hass, DND_UNTIL) == "unknown"

    async def test_can_be_moved(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """And any switch takes it away."""
        freezer.move_to("2026-11-25 12:00:00+00:00")
        await pick(hass, DND_UNTIL, "2026-11-25T13:00:00+00:00")
        await pick(hass, DND_UNTIL, "2026-11-25T14:00:00+00:00")
        assert state_of(hass, DND_UNTIL) == "2026-11-25T14:00:00+00:00"
        await turn(hass, DND, "on")
        assert state_of(hass, DND_UNTIL) == "unknown"

    async def test_refuses_what_is_over(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """And changes nothing."""
        with pytest.raises(ServiceValidationError, match="is already over"):
            await pick(hass, DND_UNTIL, "2020-01-01T00:00:00+00:00")
        assert state_of(hass, DND) == "off"

    async def test_what_a_user_picked_does_not_stay_where_it_is_refused(
        self, hass: HomeAssistant, listener: DfksListener, hass_owner_user: User
    ) -> None:
        """The page shows the end that there is."""
        tomorrow = (dt_util.utcnow() + timedelta(days=1)).isoformat(timespec="seconds")
        await pick(hass, DND_UNTIL, tomorrow)
        seen = states_seen(hass, DND_UNTIL)
        past = "2020-01-01T00:00:00+00:00"
        await set_in_vain(hass, hass_owner_user, DND_UNTIL, datetime=past)

        assert seen == ["unknown", tomorrow]

    async def test_follows_while_a_refusal_is_shown(
        self, hass: HomeAssistant, listener: DfksListener, hass_owner_user: User
    ) -> None:
        """A change of that moment is no less shown, nor is the next one."""
        past = "2020-01-01T00:00:00+00:00"
        tomorrow = (dt_util.utcnow() + timedelta(days=1)).isoformat(timespec="seconds")
        seen = states_seen(hass, DND_UNTIL)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                set_in_vain(hass, hass_owner_user, DND_UNTIL, datetime=past)
            )
            await asyncio.sleep(0)
            await pick(hass, DND_UNTIL, tomorrow)
        assert seen[-1] == tomorrow

        await turn(hass, DND, "off")
        assert state_of(hass, DND_UNTIL) == "unknown"

    async def test_refuses_what_is_too_far_away(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Where calendars end, so do time zones."""
        with pytest.raises(
            ServiceValidationError, match="is not a valid value for until"
        ):
            await pick(hass, DND_UNTIL, "9999-12-31T23:59:59+00:00")
        assert state_of(hass, DND) == "off"

    @pytest.mark.usefixtures("all_entities_enabled")
    async def test_needs_a_target_as_the_switch_does(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """A forwarding leads somewhere."""
        await set_up(hass, entry)
        tomorrow = (dt_util.utcnow() + timedelta(days=1)).isoformat()
        with pytest.raises(ServiceValidationError, match="has no target yet"):
            await pick(hass, ALWAYS_UNTIL, tomorrow)
        await write_text(hass, ALWAYS_TARGET, "300")
        await pick(hass, ALWAYS_UNTIL, tomorrow)
        assert state_of(hass, ALWAYS) == "on"


async def pick(hass: HomeAssistant, entity_id: str, when: str) -> None:
    """Pick a date and time."""
    await hass.services.async_call(
        "datetime",
        "set_value",
        {"entity_id": entity_id, "datetime": when},
        blocking=True,
    )


class TestNumber:
    """The rings."""

    async def test_are_three_until_set(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As phones have it."""
        assert state_of(hass, RINGS) == "3"

    @pytest.mark.parametrize("rings", [0, 100])
    async def test_move_both_ways(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        rings: int,
    ) -> None:
        """From the entity to the line, from the phone to the entity."""
        await write_number(hass, RINGS, rings)
        state = line(entry).state(Feature.CALL_FORWARDING_NO_ANSWER)
        assert state.ring_count == rings
        assert state_of(hass, RINGS) == str(rings)

        await press(entry, Feature.CALL_FORWARDING_NO_ANSWER, ring_count=6)
        assert state_of(hass, RINGS) == "6"

    @pytest.mark.parametrize("value", [-1, 101, 2.5])
    async def test_refuse_what_no_phone_can_ring(
        self, hass: HomeAssistant, listener: DfksListener, value: float
    ) -> None:
        """Whole rings from 0 to 100."""
        with pytest.raises(ServiceValidationError):
            await write_number(hass, RINGS, value)

        assert state_of(hass, RINGS) == "3"


class TestConnected:
    """Whether a phone is there."""

    async def test_is_off_until_a_phone_subscribes(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """But the other entities are available: Home Assistant owns the state."""
        assert state_of(hass, CONNECTED) == "off"
        assert state_of(hass, DND) == "off"
