"""The calls of a line whose SIP passes: its sensor, its event, and who may know what."""

import asyncio
import re
from typing import Any

from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.dfks.features.seen import CallEventType, CallReason, CallState
from custom_components.dfks.phones.calls import EVENT_CALL
from tests.clock import ManualClock
from tests.pbx import SimulatedPbx
from tests.phone import PATIENCE
from tests.phone.calls import Bell, Call, CallState as Progress

from .common import (
    CALL,
    CALL_EVENT,
    RECEPTION,
    MockConfigEntry,
    change_line,
    get_diagnostics_for_config_entry,
    listener_entry,
    said,
    set_up,
    state_of,
)
from .forms import submit
from .pbx import OpenPhone, at_pbx, bell_at, line_at_pbx, pbx, pbx_data
from .test_files import ENGLISH

__all__ = ["at_pbx", "pbx"]


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx) -> MockConfigEntry:
    """Return a listener with a PBX and the line Reception there, whose calls are seen."""
    lines = (pbx_data(pbx.address[1]), line_at_pbx(see_calls=True))
    return listener_entry(port, lines)


class Told:
    """The events of the line's calls."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Listen from now on."""
        self.events: list[dict[str, Any]] = []
        self.fired: list[Event[Any]] = []
        hass.bus.async_listen("state_changed", self._changed)
        hass.bus.async_listen(EVENT_CALL, self._fired)

    @callback
    def _fired(self, event: Event[Any]) -> None:
        self.fired.append(event)

    @callback
    def _changed(self, event: Event[Any]) -> None:
        state = event.data["new_state"]
        if event.data["entity_id"] == CALL_EVENT and state is not None:
            fixed = ("event_types", "friendly_name")
            shown = {k: v for k, v in state.attributes.items() if k not in fixed}
            if shown.get("event_type") is not None:
                self.events.append(shown)

    @property
    def types(self) -> list[str]:
        """What has happened, in order."""
        return [event["event_type"] for event in self.events]


class House:
    """The reception's phone at the PBX, and another one there."""

    def __init__(self, hass: HomeAssistant, reception: Bell, caller: Bell) -> None:
        """Use `house`."""
        self.hass = hass
        self.reception = reception
        self.caller = caller
        self.told = Told(hass)

    async def ring(self) -> tuple[Call, Call]:
        """Call the reception; return both ends of the call, which rings."""
        outgoing = await self.caller.dial("201")
        incoming = await self.reception.incoming_call()
        await self.settle()
        return outgoing, incoming

    async def talk(self) -> tuple[Call, Call]:
        """Call the reception, which picks up."""
        outgoing, incoming = await self.ring()
        self.reception.pick_up(incoming)
        await self.caller.until(outgoing, Progress.ESTABLISHED)
        await self.settle()
        return outgoing, incoming

    async def settle(self) -> None:
        """Wait until Home Assistant has taken all that the phones have sent."""
        await self.reception.phone.register()
        await self.hass.async_block_till_done()


@pytest.fixture
async def house(
    hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
) -> House:
    """Return phones at the PBX that are registered."""
    await set_up(hass, entry)
    return House(hass, await bell_at(at_pbx), await bell_at(at_pbx, "202"))


def attributes(hass: HomeAssistant) -> tuple[object, ...]:
    """Return number, name and count of the sensor."""
    state = hass.states.get(CALL)
    assert state is not None
    return tuple(state.attributes[key] for key in ("number", "name", "calls"))


async def see_calls(hass: HomeAssistant, entry: MockConfigEntry, *, on: bool) -> None:
    """Turn the option of the line on or off."""
    subentry = entry.subentries[RECEPTION]
    data = {key: val for key, val in subentry.data.items() if key != "see_calls"}
    if on:
        data["see_calls"] = True
    hass.config_entries.async_update_subentry(entry, subentry, data=data)
    await hass.async_block_till_done()


class TestEntities:
    """What a user sees of a call."""

    async def test_a_call_comes_is_taken_and_ends(
        self, hass: HomeAssistant, clock: ManualClock, house: House
    ) -> None:
        """By sensor and event."""
        assert state_of(hass, CALL) == "idle"
        assert attributes(hass) == (None, None, 0)
        outgoing, incoming = await house.ring()
        assert state_of(hass, CALL) == "ringing"
        assert attributes(hass) == ("202", None, 1)
        house.reception.pick_up(incoming)
        await house.caller.until(outgoing, Progress.ESTABLISHED)
        await house.settle()
        assert state_of(hass, CALL) == "in_call"
        await house.caller.hang_up(outgoing)
        await house.reception.until(incoming, Progress.ENDED)
        await house.settle()
        assert state_of(hass, CALL) == "idle"
        assert attributes(hass) == (None, None, 0)
        assert house.told.types == ["incoming", "answered", "ended"]
        assert house.told.events[-1] == {
            "event_type": "ended",
            "number": "202",
            "name": None,
            "reason": "hung_up",
            "duration": 0,
        }

    async def test_a_call_of_the_phone(self, hass: HomeAssistant, house: House) -> None:
        """Goes out, with whom it calls."""
        outgoing = await house.reception.dial("202")
        incoming = await house.caller.incoming_call()
        await house.settle()
        assert state_of(hass, CALL) == "calling"
        assert attributes(hass) == ("202", None, 1)
        house.caller.pick_up(incoming)
        await house.reception.until(outgoing, Progress.ESTABLISHED)
        await house.settle()
        assert state_of(hass, CALL) == "in_call"
        assert house.told.types == ["outgoing", "answered"]

    async def test_two_phones_of_the_line_are_one_call(
        self, hass: HomeAssistant, house: House, at_pbx: OpenPhone
    ) -> None:
        """The PBX calls each of them by itself; one takes the call."""
        second = await bell_at(at_pbx)
        outgoing, incoming = await house.ring()
        await second.incoming_call()
        await house.settle()
        assert attributes(hass)[-1] == 1
        house.reception.pick_up(incoming)
        await house.caller.until(outgoing, Progress.ESTABLISHED)
        await second.until(second.calls[0], Progress.CANCELLED)
        await house.settle()
        assert (state_of(hass, CALL), attributes(hass)[-1]) == ("in_call", 1)
        await house.caller.hang_up(outgoing)
        await house.reception.until(incoming, Progress.ENDED)
        await house.settle()
        assert state_of(hass, CALL) == "idle"
        assert house.told.types == ["incoming", "answered", "ended"]

    async def test_a_phone_that_is_switched_off(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Has no call any more."""
        await house.talk()
        await house.reception.phone.register(0)
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "idle"

    async def test_a_phone_whose_connection_is_lost_while_it_rings(
        self, hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
    ) -> None:
        """Is said to ring no longer, and why."""
        await set_up(hass, entry)
        reception = await bell_at(at_pbx, transport="tcp")
        house = House(hass, reception, await bell_at(at_pbx, "202"))
        await house.ring()
        assert state_of(hass, CALL) == "ringing"
        ended = asyncio.Event()
        hass.bus.async_listen(EVENT_CALL, callback(lambda _event: ended.set()))
        await reception.phone.close()
        await asyncio.wait_for(ended.wait(), PATIENCE)
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "idle"
        assert house.told.events[-1]["event_type"] == "missed"
        assert house.told.events[-1]["reason"] == "not_reachable"

    async def test_states_events_and_reasons_are_translated(self) -> None:
        """All of them."""
        entity = ENGLISH["entity"]
        shown = entity["event"]["call"]["state_attributes"]
        assert list(entity["sensor"]["call"]["state"]) == list(CallState)
        assert list(shown["event_type"]["state"]) == list(CallEventType)
        assert list(shown["reason"]["state"]) == list(CallReason)


class TestAutomations:
    """What an automation can tell."""

    async def test_one_context_for_all_that_an_event_changes(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """So that a trace, and Activity, know the call as the cause."""
        await house.ring()
        sensor, event = hass.states.get(CALL), hass.states.get(CALL_EVENT)
        assert sensor is not None
        assert event is not None
        (fired,) = house.told.fired
        assert sensor.context is event.context is fired.context
        assert fired.data | {"line": None} == {
            "line": None,
            "name": "Reception",
            "type": "incoming",
            "reason": None,
            "duration": None,
        }

    async def test_each_event_has_a_context_of_its_own(self, house: House) -> None:
        """An answer is not caused by the ringing."""
        await house.talk()
        first, second = house.told.fired
        assert first.context is not second.context


class TestPrivacy:
    """A call is about people."""

    async def test_numbers_and_names_are_not_recorded(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Neither of the sensor nor of the event, and the bus never has them."""
        await house.ring()
        for entity_id in (CALL, CALL_EVENT):
            state = hass.states.get(entity_id)
            assert state is not None
            assert state.state_info is not None
            unrecorded = state.state_info["unrecorded_attributes"]
            assert {"number", "name"} <= unrecorded
        assert all("number" not in fired.data for fired in house.told.fired)

    async def test_numbers_are_in_no_log(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The one for debugging has messages with the users of lines."""
        caplog.set_level("INFO", "custom_components.dfks")
        outgoing, _ = await house.talk()
        await house.caller.hang_up(outgoing)
        await house.settle()
        assert house.told.types[-1] == "ended"
        assert not [text for text in said(caplog) if re.search(r"\b202\b", text)]

    async def test_numbers_are_in_no_diagnostics(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        hass_client: Any,
        house: House,
    ) -> None:
        """Only that the calls are seen."""
        await house.ring()
        diagnostics = await get_diagnostics_for_config_entry(hass, hass_client, entry)
        (line,) = diagnostics["lines"].values()
        assert line["see_calls"] is True
        assert "sip:202@" not in str(diagnostics)


class TestOption:
    """Calls are seen where the user wants it."""

    async def test_off_at_first(
        self, hass: HomeAssistant, port: int, pbx: SimulatedPbx
    ) -> None:
        """There are no such entities, and nothing is followed."""
        entry = listener_entry(port, (pbx_data(pbx.address[1]), line_at_pbx()))
        await set_up(hass, entry)
        assert hass.states.get(CALL) is None
        assert hass.states.get(CALL_EVENT) is None

    async def test_on_and_off_while_the_listener_runs(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """The entities go with it, and what was known of calls."""
        await house.talk()
        server = entry.runtime_data.server
        assert len(server.calls) == 1
        await see_calls(hass, entry, on=False)
        registry = er.async_get(hass)
        assert hass.states.get(CALL) is None
        assert registry.async_get(CALL) is None
        assert registry.async_get(CALL_EVENT) is None
        assert len(server.calls) == 0
        await see_calls(hass, entry, on=True)
        assert state_of(hass, CALL) == "idle"
        assert entry.runtime_data.server is server
        await house.ring()
        assert state_of(hass, CALL) == "ringing"

    async def test_a_line_that_is_added(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """With the option set in its form."""
        result = await hass.config_entries.subentries.async_init(
            (entry.entry_id, "line"), context={"source": "user"}
        )
        assert result["step_id"] == "phone"
        result = await submit(hass, result, {"phone": "another"})
        form = {
            "name": "Workshop",
            "user": "202",
            "vendor": "other",
            "pbx": "pbx1",
            "calls": {"see_calls": True},
        }
        await submit(hass, result, form)
        assert state_of(hass, "sensor.workshop_call") == "idle"
        await house.ring()
        assert state_of(hass, "sensor.workshop_call") == "calling"

    async def test_a_line_that_is_removed(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Its calls are not followed any more."""
        await house.talk()
        hass.config_entries.async_remove_subentry(entry, RECEPTION)
        await hass.async_block_till_done()
        assert len(entry.runtime_data.server.calls) == 0

    async def test_a_line_that_moves(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Another user has other calls."""
        await house.talk()
        await change_line(hass, entry, user="203")
        assert state_of(hass, CALL) == "idle"

    async def test_a_listener_that_stops(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Leaves no call behind when it starts again."""
        await house.talk()
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "idle"


async def test_ringing_is_forgotten(
    hass: HomeAssistant, clock: ManualClock, house: House
) -> None:
    """Where nobody tells its end."""
    await house.ring()
    clock.advance(200)
    await hass.async_block_till_done()
    assert state_of(hass, CALL) == "idle"
