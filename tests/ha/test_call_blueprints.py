"""The blueprints about calls, run by Home Assistant."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
import shutil
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, ServiceCall, State, callback
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.features.seen import CallReason, Leg, Party, SeenCalls

from .common import (
    CALL,
    CALL_EVENT,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    async_fire_time_changed,
    line_data,
    listener_entry,
    runtime,
    set_up,
    state_of,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "blueprints" / "automation" / "dfks"

RADIO = "media_player.radio"
SPEAKER = "media_player.speaker"
VOICE = "tts.voice"

DESK = Leg("desk", "1")
ANNA = Party("202", "Anna")

# What a player must be able to do: PAUSE and PLAY; the other has STOP only.
ABLE = 1 | 16384
UNABLE = 4096

# Turns of the event loop in which an automation gets as far as it can.
TURNS = 50


class House:
    """A line whose calls are seen, and players that do as they are told."""

    def __init__(
        self, hass: HomeAssistant, calls: SeenCalls, freezer: FrozenDateTimeFactory
    ) -> None:
        """Use `house`."""
        self.hass = hass
        self.calls = calls
        self.freezer = freezer
        self.done: list[tuple[str, list[str]]] = []
        self.said: list[dict[str, Any]] = []
        # Whether the automation waits for the end of the call.
        self.waits = False
        for name, state in (("media_pause", "paused"), ("media_play", "playing")):
            self._serve(name, state)

        @callback
        def speak(call: ServiceCall) -> None:
            self.said.append(dict(call.data))

        hass.services.async_register("tts", "speak", speak)

    def _serve(self, name: str, state: str) -> None:
        @callback
        def serve(call: ServiceCall) -> None:
            entity_ids = call.data["entity_id"]
            self.done.append((name, list(entity_ids)))
            for entity_id in entity_ids:
                self.play(entity_id, state)

        self.hass.services.async_register("media_player", name, serve)

    def play(self, entity_id: str, state: str, features: int | None = ABLE) -> None:
        """Give a player a state."""
        shown = {} if features is None else {"supported_features": features}
        self.hass.states.async_set(entity_id, state, shown)

    async def automate(self, blueprint: str, **inputs: object) -> None:
        """Make an automation of a blueprint."""
        use = {"path": f"dfks/{blueprint}.yaml", "input": inputs}
        config = {"id": "1", "alias": "Blueprint", "use_blueprint": use}
        assert await async_setup_component(
            self.hass, "automation", {"automation": [config]}
        )
        await self.settle()
        assert state_of(self.hass, "automation.blueprint") == "on"
        self.waits = blueprint == "pause_during_calls"

    async def settle(self) -> None:
        """Let the automation do what it does at once; it may wait for the call's end."""
        if not self.waits:
            await self.hass.async_block_till_done()
            return
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def ring(self, party: Party = ANNA) -> None:
        """Have the phone ring."""
        self.calls.incoming(DESK, party)
        await self.settle()

    async def pick_up(self) -> None:
        """Take the call."""
        self.calls.answered(DESK)
        await self.settle()

    async def hang_up(self) -> None:
        """End the call."""
        self.calls.ended(DESK, CallReason.HUNG_UP)
        await self.settle()

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.freezer.tick(timedelta(seconds=seconds))
        async_fire_time_changed(self.hass, dt_util.utcnow())
        await self.settle()


@pytest.fixture
def entry(port: int) -> MockConfigEntry:
    """Return a listener with a line whose calls are seen."""
    data = {**RECEPTION_DATA, "see_calls": True}
    return listener_entry(port, [line_data(RECEPTION, "Reception", data)])


@pytest.fixture
async def house(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    tmp_path: Path,
    freezer: FrozenDateTimeFactory,
) -> AsyncIterator[House]:
    """Return a house whose configuration folder has the blueprints."""
    shutil.copytree(FOLDER, tmp_path / "blueprints" / "automation" / "dfks")
    hass.config.config_dir = str(tmp_path)
    await set_up(hass, entry)
    yield House(hass, runtime(entry).calls.of(RECEPTION).seen, freezer)
    await hass.services.async_call(
        "automation", "turn_off", {"entity_id": "all"}, blocking=True
    )


class TestPause:
    """pause_during_calls.yaml."""

    @pytest.fixture
    async def pausing(self, house: House) -> House:
        """Return a house whose radio plays, and is to be quiet during calls."""
        house.play(RADIO, "playing")
        house.play(SPEAKER, "idle")
        await house.automate(
            "pause_during_calls", calls=[CALL], players=[RADIO, SPEAKER]
        )
        return house

    async def test_pauses_and_goes_on(
        self, hass: HomeAssistant, pausing: House
    ) -> None:
        """From the answer on, until some seconds after the end."""
        await pausing.ring()
        assert state_of(hass, RADIO) == "playing"
        await pausing.pick_up()
        assert state_of(hass, RADIO) == "paused"
        await pausing.hang_up()
        assert state_of(hass, RADIO) == "paused"
        await pausing.wait(4)
        assert state_of(hass, RADIO) == "playing"
        assert pausing.done == [("media_pause", [RADIO]), ("media_play", [RADIO])]

    async def test_an_outgoing_call_too(
        self, hass: HomeAssistant, pausing: House
    ) -> None:
        """Before it is answered: somebody listens."""
        pausing.calls.outgoing(DESK, ANNA)
        await pausing.settle()
        assert state_of(hass, RADIO) == "paused"

    async def test_a_call_on_hold_is_a_call(
        self, hass: HomeAssistant, pausing: House
    ) -> None:
        """The other side hears the room as soon as it goes on."""
        await pausing.ring()
        await pausing.pick_up()
        pausing.calls.held(DESK)
        await pausing.wait(10)
        assert state_of(hass, RADIO) == "paused"

    async def test_a_call_that_nobody_takes(self, pausing: House) -> None:
        """Changes nothing."""
        await pausing.ring()
        await pausing.hang_up()
        await pausing.wait(10)
        assert pausing.done == []

    async def test_a_second_call_at_once(
        self, hass: HomeAssistant, pausing: House
    ) -> None:
        """Keeps the room quiet."""
        await pausing.ring()
        await pausing.pick_up()
        await pausing.hang_up()
        pausing.calls.incoming(Leg("desk", "2"), ANNA)
        pausing.calls.answered(Leg("desk", "2"))
        await pausing.settle()
        await pausing.wait(4)
        assert state_of(hass, RADIO) == "paused"
        pausing.calls.ended(Leg("desk", "2"), CallReason.HUNG_UP)
        await pausing.settle()
        await pausing.wait(4)
        assert state_of(hass, RADIO) == "playing"

    @pytest.mark.parametrize("meanwhile", ["off", "playing"])
    async def test_whoever_changes_a_player_has_the_last_word(
        self, pausing: House, meanwhile: str
    ) -> None:
        """It is not started once more."""
        await pausing.ring()
        await pausing.pick_up()
        pausing.play(RADIO, meanwhile)
        await pausing.hang_up()
        await pausing.wait(4)
        assert [name for name, _ in pausing.done] == ["media_pause"]

    async def test_a_sensor_that_is_away(
        self, hass: HomeAssistant, entry: MockConfigEntry, pausing: House
    ) -> None:
        """Does not say that the call is over."""
        await pausing.ring()
        await pausing.pick_up()
        hass.states.async_set(CALL, "unavailable")
        await pausing.settle()
        await pausing.wait(10)
        assert state_of(hass, RADIO) == "paused"

    @pytest.mark.parametrize("features", [UNABLE, None])
    async def test_a_player_that_cannot_pause(
        self, house: House, features: int | None
    ) -> None:
        """Is left alone."""
        house.play(RADIO, "playing", features)
        await house.automate("pause_during_calls", calls=[CALL], players=[RADIO])
        await house.ring()
        await house.pick_up()
        assert house.done == []

    async def test_while_it_rings(self, hass: HomeAssistant, house: House) -> None:
        """Where that is wanted; then a call that nobody takes pauses as well."""
        house.play(RADIO, "playing")
        await house.automate(
            "pause_during_calls", calls=[CALL], players=[RADIO], ringing=True, rest=0
        )
        await house.ring()
        assert state_of(hass, RADIO) == "paused"
        await house.hang_up()
        await house.wait(1)
        assert state_of(hass, RADIO) == "playing"


class TestAnnounce:
    """announce_caller.yaml."""

    async def announce(self, house: House, **inputs: object) -> None:
        """Make the automation."""
        await house.automate(
            "announce_caller",
            calls=[CALL_EVENT],
            players=[SPEAKER],
            voice=VOICE,
            **inputs,
        )

    async def test_says_who_calls(self, house: House) -> None:
        """On the players, with the voice, and no sound of it stays."""
        await self.announce(house)
        await house.ring()
        assert house.said == [
            {
                "entity_id": [VOICE],
                "media_player_entity_id": [SPEAKER],
                "message": "Call from Anna",
                "cache": False,
            }
        ]

    @pytest.mark.parametrize(
        ("party", "said"),
        [
            (Party("202", ""), "Call from 2 0 2"),
            (Party("+49", ""), "Call from + 4 9"),
            (Party(), "Call from somebody unknown"),
            (Party("203", "Ben"), "Call from the workshop"),
        ],
    )
    async def test_who_it_is(self, house: House, party: Party, said: str) -> None:
        """A name of one's own, else the PBX's, else the number."""
        await self.announce(house, names=["204 = x", " 203=the workshop", "203 = y"])
        await house.ring(party)
        assert [speech["message"] for speech in house.said] == [said]

    async def test_in_words_of_ones_own(self, house: House) -> None:
        """With caller and line."""
        await self.announce(house, message="{line}: {caller} ruft an")
        await house.ring()
        assert house.said[0]["message"] == "Reception: Anna ruft an"

    async def test_only_when_a_call_comes(self, house: House) -> None:
        """Not at its end, nor for calls that go out."""
        await self.announce(house)
        house.calls.outgoing(Leg("desk", "2"), ANNA)
        await house.ring()
        await house.pick_up()
        await house.hang_up()
        assert len(house.said) == 1

    async def test_not_what_was_before_a_restart(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """The last event comes back, with its old time."""
        await house.ring()
        state = hass.states.get(CALL_EVENT)
        assert isinstance(state, State)
        await self.announce(house)
        hass.states.async_set(CALL_EVENT, "unavailable")
        await house.wait(60)
        hass.states.async_set(CALL_EVENT, state.state, state.attributes)
        await house.settle()
        assert house.said == []
