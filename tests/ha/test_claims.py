"""Ends and claims, as automations and people use them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.features.claims import MAX_CLAIMS
from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from tests import phone as desk
from tests.clock import ManualClock
from tests.phone import Lamp, Phone

from .common import (
    A_WHILE,
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    DND_UNTIL,
    FEATURE_CHANGE,
    LOCALHOST,
    RECEPTION,
    WORKSHOP_DND,
    MockConfigEntry,
    async_fire_time_changed_exact,
    press,
    set_up,
    state_of,
    turn,
    write_text,
)
from .conftest import OpenPhone
from .scripts import answer, load_scripts, script
from .test_actions import get_features, set_feature
from .test_logbook import Activity
from .test_states import FILE, store

NOON = "2026-11-25 12:00:00-08:00"


@pytest.fixture(autouse=True)
def noon(freezer: FrozenDateTimeFactory, clock: ManualClock) -> None:
    """Begin at noon of a Wednesday. No subscription expires: SIP's clock stands still."""
    freezer.move_to(NOON)


async def wait(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, **time: float
) -> None:
    """Let time pass."""
    freezer.tick(timedelta(**time))
    async_fire_time_changed_exact(hass, datetime.now(UTC))
    await hass.async_block_till_done(wait_background_tasks=True)


async def release(hass: HomeAssistant, **data: object) -> list[dict[str, Any]]:
    """Call the action that ends a claim."""
    response = await hass.services.async_call(
        "dfks", "release", data, blocking=True, return_response=True
    )
    assert isinstance(response, dict)
    lines: Any = response["lines"]
    return list(lines)


def attributes(hass: HomeAssistant, entity_id: str = DND) -> tuple[object, object]:
    """Return until when a switch is on, and what claims it."""
    state = hass.states.get(entity_id)
    assert state is not None
    return state.attributes["until"], state.attributes["claims"]


@pytest.mark.parametrize(
    "how",
    [{"duration": {"hours": 1}}, {"until": "13:00"}, {"until": "2026-11-25 13:00"}],
)
async def test_do_not_disturb_for_an_hour(
    hass: HomeAssistant,
    listener: DfksListener,
    open_phone: OpenPhone,
    freezer: FrozenDateTimeFactory,
    clock: ManualClock,
    how: dict[str, object],
) -> None:
    """The lamp goes off at the end; switch and response say when that is."""
    phone = await open_phone()
    (line,) = await set_feature(hass, entity_id=DND, status=True, **how)
    assert line["until"] == "2026-11-25T13:00:00-08:00"
    assert attributes(hass) == ("2026-11-25T13:00:00-08:00", [])
    assert (await phone.notification()).features == {desk.DND: Lamp(True)}

    await wait(hass, freezer, minutes=59, seconds=59)
    assert state_of(hass, DND) == "on"
    clock.advance(A_WHILE)
    await wait(hass, freezer, seconds=1)
    assert state_of(hass, DND) == "off"
    assert attributes(hass) == (None, [])
    assert (await phone.notification()).features == {desk.DND: Lamp(False)}


async def test_every_feature_may_have_an_end(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """The old target comes back."""
    await write_text(hass, ALWAYS_TARGET, "300")
    await set_feature(
        hass, entity_id=ALWAYS, status=True, forward_to="400", duration=60
    )
    assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("on", "400")
    await wait(hass, freezer, minutes=1)
    assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("off", "300")


async def test_ends_that_come_one_after_the_other(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """Of several lines and features, whichever was set first."""
    await set_feature(hass, entity_id=DND, status=True, duration="02:00:00")
    await set_feature(hass, entity_id=WORKSHOP_DND, status=True, duration="01:00:00")
    await set_feature(
        hass, entity_id=ALWAYS, status=True, forward_to="1", duration="03:00:00"
    )
    seen = []
    for _ in range(3):
        await wait(hass, freezer, hours=1)
        states = (WORKSHOP_DND, DND, ALWAYS)
        seen.append([state_of(hass, entity_id) for entity_id in states])
    assert seen == [["off", "on", "on"], ["off", "off", "on"], ["off", "off", "off"]]


async def test_an_end_that_comes_before_another(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """To the second, though it was set later."""
    await set_feature(hass, entity_id=DND, status=True, duration="02:00:00")
    await set_feature(hass, entity_id=WORKSHOP_DND, status=True, duration=10)
    await wait(hass, freezer, seconds=10)
    assert (state_of(hass, DND), state_of(hass, WORKSHOP_DND)) == ("on", "off")


async def test_clock_that_jumps(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """What is over by the new time ends within a minute, though nobody waited so long."""
    await set_feature(hass, entity_id=DND, status=True, duration={"days": 2})
    jumped = dt_util.utcnow() + timedelta(days=3)
    with patch.object(dt_util, "utcnow", return_value=jumped):
        await wait(hass, freezer, seconds=59)
        assert state_of(hass, DND) == "on"
        await wait(hass, freezer, seconds=1)
    assert state_of(hass, DND) == "off"


async def test_response_has_the_state_before(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """Of setting and of releasing."""
    await write_text(hass, ALWAYS_TARGET, "300")
    call = {"entity_id": ALWAYS, "status": True, "forward_to": "400", "claim": "away"}
    (line,) = await set_feature(hass, **call)
    assert line["before"] == {"status": False, "value": {"forwardTo": "300"}}
    assert line["claims"] == ["away"]
    (line,) = await release(hass, entity_id=ALWAYS, claim="away")
    assert line["before"] == {"status": True, "value": {"forwardTo": "400"}}
    assert (line["status"], line["value"]) == (False, {"forwardTo": "300"})
    assert line["claims"] == []


async def test_two_claims_overlap(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """The last one ends it; features tell who holds them, and until when."""
    await set_feature(hass, entity_id=DND, status=True, claim="a", until="14:00")
    await set_feature(hass, entity_id=DND, status=True, claim="b", until="13:00")
    assert attributes(hass) == ("2026-11-25T14:00:00-08:00", ["a", "b"])
    (line,) = await get_features(hass, entity_id=DND)
    assert line["features"]["DoNotDisturb"]["claims"] == ["a", "b"]

    await wait(hass, freezer, hours=1)
    assert attributes(hass) == ("2026-11-25T14:00:00-08:00", ["a"])
    await wait(hass, freezer, hours=1)
    assert state_of(hass, DND) == "off"


async def test_a_person_ends_both(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    freezer: FrozenDateTimeFactory,
) -> None:
    """At the phone; what is released or over later changes nothing."""
    await set_feature(hass, entity_id=DND, status=True, claim="a", until="13:00")
    await set_feature(hass, entity_id=DND, status=True, claim="b")
    await press(entry, Feature.DO_NOT_DISTURB, status=False)
    await press(entry, Feature.DO_NOT_DISTURB, status=True)
    assert attributes(hass) == (None, [])
    await wait(hass, freezer, hours=1)
    assert await release(hass, entity_id=DND, claim="b") == []
    assert state_of(hass, DND) == "on"


async def test_release_on_all_features_of_a_line(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """Where none is named."""
    await set_feature(hass, entity_id=DND, status=True, claim="away")
    await set_feature(hass, entity_id=ALWAYS, status=True, forward_to="1", claim="away")
    await set_feature(hass, entity_id=WORKSHOP_DND, status=True, claim="away")
    lines = await release(hass, presentity="sip:201@homeassistant", claim="away")
    assert [line["feature"] for line in lines] == [
        "DoNotDisturb",
        "CallForwardingAlways",
    ]
    assert state_of(hass, DND) == state_of(hass, ALWAYS) == "off"
    assert state_of(hass, WORKSHOP_DND) == "on"


async def test_release_of_one_feature(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """Named by its entity or by its name."""
    await set_feature(hass, entity_id=DND, status=True, claim="away")
    await set_feature(hass, entity_id=ALWAYS, status=True, forward_to="1", claim="away")
    await release(hass, entity_id=DND, claim="away")
    assert (state_of(hass, DND), state_of(hass, ALWAYS)) == ("off", "on")
    await release(hass, entity_id=DND, feature="call_forwarding_always", claim=" away ")
    assert state_of(hass, ALWAYS) == "off"


async def test_too_many_claims_are_refused(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """The message says what to do."""
    for number in range(MAX_CLAIMS):
        await set_feature(hass, entity_id=DND, status=True, claim=number)
    with pytest.raises(HomeAssistantError, match="too many claims are held"):
        await set_feature(hass, entity_id=DND, status=True, claim="one more")


async def test_the_timer_is_the_author_of_an_end(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """In the event of the line and in Activity."""
    await set_feature(hass, entity_id=DND, status=True, claim="a", until="13:00")
    activity = Activity(hass)
    await wait(hass, freezer, hours=1)
    state = hass.states.get(FEATURE_CHANGE)
    assert state is not None
    assert state.attributes["event_type"] == "do_not_disturb_off"
    assert state.attributes["who"] == "timer"
    assert await activity.cause(DND) == "Timer"
    activity.close()


async def test_end_that_a_script_refuses(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """The feature stays on, and nothing ends it any more."""
    await set_feature(hass, entity_id=DND, status=True, duration=60)
    await load_scripts(hass, dfks_set=script(*answer(refuse="no")))
    await wait(hass, freezer, minutes=1)
    assert state_of(hass, DND) == "on"
    assert attributes(hass) == (None, [])


async def test_end_for_which_there_is_no_room_is_tried_again(
    hass: HomeAssistant,
    listener: DfksListener,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As long as too many changes of the line wait for the script."""
    await set_feature(hass, entity_id=DND, status=True, duration=60)
    await load_scripts(hass, dfks_set=script({"event": "asked"}))
    monkeypatch.setattr("custom_components.dfks.features.sync.MAX_WAITING", 0)
    await wait(hass, freezer, minutes=1)
    assert state_of(hass, DND) == "on"
    monkeypatch.undo()
    await wait(hass, freezer, seconds=9)
    assert state_of(hass, DND) == "on"
    await wait(hass, freezer, seconds=1)
    assert state_of(hass, DND) == "off"


async def test_line_that_is_removed_with_a_claim(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    """Nothing of it is left; other lines' claims end in time."""
    await set_feature(hass, entity_id=DND, status=True, duration=60)
    await set_feature(hass, entity_id=WORKSHOP_DND, status=True, duration=90)
    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()
    await wait(hass, freezer, seconds=90)
    assert state_of(hass, WORKSHOP_DND) == "off"
    assert RECEPTION not in hass_storage[FILE]["data"]["lines"]


@pytest.mark.parametrize("asks", [False, True])
async def test_two_automations_at_once(
    hass: HomeAssistant, listener: DfksListener, asks: bool
) -> None:
    """Both hold the feature, whether a script has to be asked or not."""
    if asks:
        await load_scripts(hass, dfks_set=script({"event": "asked"}))
    await asyncio.gather(
        *(
            set_feature(hass, entity_id=DND, status=True, claim=claim)
            for claim in ("a", "b")
        )
    )
    assert attributes(hass) == (None, ["a", "b"])
    await asyncio.gather(*(release(hass, entity_id=DND, claim=c) for c in ("a", "b")))
    assert (state_of(hass, DND), attributes(hass)) == ("off", (None, []))


async def test_broken_script_leaves_no_call_forwarded(
    hass: HomeAssistant, listener: DfksListener, freezer: FrozenDateTimeFactory
) -> None:
    """At the end it cannot say where calls went before: they go nowhere."""
    await write_text(hass, ALWAYS_TARGET, "300")
    await turn(hass, ALWAYS, "on")
    await set_feature(
        hass, entity_id=ALWAYS, status=True, forward_to="400", duration=60
    )
    await load_scripts(hass, dfks_set=script({"action": "test.not_there"}))
    await wait(hass, freezer, minutes=1)
    assert (state_of(hass, ALWAYS), attributes(hass, ALWAYS)) == ("off", (None, []))


class TestRestart:
    """Claims that outlive a restart, however Home Assistant ended."""

    @staticmethod
    def left(hass_storage: dict[str, Any], *, until: str | None) -> None:
        """Leave a claim on Do not disturb in the file."""
        end = until and dt_util.parse_datetime(until)
        state = {"status": True, "forward_to": "", "ring_count": 3}
        claim = {"name": "a", "until": end and end.timestamp(), **state}
        claims = {"before": {**state, "status": False}, "held": [claim]}
        store(hass_storage, {RECEPTION: {"DoNotDisturb": {**state, "claims": claims}}})

    async def test_a_claim_is_in_the_file_when_the_call_is_through(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        hass_storage: dict[str, Any],
    ) -> None:
        """Home Assistant may be killed at any time; so is its release."""
        await set_feature(hass, entity_id=DND, status=True, claim="a", until="13:00")
        await hass.async_block_till_done()
        stored = hass_storage[FILE]["data"]["lines"][RECEPTION]["DoNotDisturb"]
        end = dt_util.parse_datetime("2026-11-25 13:00:00-08:00")
        assert end is not None
        assert stored == {
            "status": True,
            "forward_to": "",
            "ring_count": 3,
            "claims": {
                "before": {"status": False, "forward_to": "", "ring_count": 3},
                "held": [
                    {
                        "name": "a",
                        "until": end.timestamp(),
                        "status": True,
                        "forward_to": "",
                        "ring_count": 3,
                    }
                ],
            },
        }
        await set_feature(hass, entity_id=DND, status=True, claim="a", until="14:00")
        await hass.async_block_till_done()
        stored = hass_storage[FILE]["data"]["lines"][RECEPTION]["DoNotDisturb"]
        assert stored["claims"]["held"][0]["until"] == end.timestamp() + 3600
        await release(hass, entity_id=DND, claim="a")
        await hass.async_block_till_done()
        stored = hass_storage[FILE]["data"]["lines"][RECEPTION]["DoNotDisturb"]
        assert stored == {"status": False, "forward_to": "", "ring_count": 3}

    async def test_a_claim_goes_on(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        hass_storage: dict[str, Any],
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """Until its end."""
        self.left(hass_storage, until="2026-11-25 13:00:00-08:00")
        await set_up(hass, entry)
        assert attributes(hass) == ("2026-11-25T13:00:00-08:00", ["a"])
        assert state_of(hass, DND_UNTIL) == "2026-11-25T21:00:00+00:00"
        await wait(hass, freezer, hours=1)
        assert state_of(hass, DND) == "off"

    async def test_an_open_claim_is_released(
        self, hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
    ) -> None:
        """The state before it is still known."""
        self.left(hass_storage, until=None)
        await set_up(hass, entry)
        assert (state_of(hass, DND), attributes(hass)) == ("on", (None, ["a"]))
        await release(hass, entity_id=DND, claim="a")
        assert state_of(hass, DND) == "off"

    async def test_a_missed_end_is_made_before_the_first_phone_is_told(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        hass_storage: dict[str, Any],
    ) -> None:
        """It is in the file as well, and the event says that it was the timer."""
        self.left(hass_storage, until="2026-11-25 11:59:59-08:00")
        await set_up(hass, entry)
        async with AsyncExitStack() as stack:
            phone = Phone("201", "reception-201", (LOCALHOST, port))
            await stack.enter_async_context(phone)
            await phone.subscribe()
            first = await phone.notification()
        assert first.features[desk.DND] == Lamp(False)
        assert attributes(hass) == (None, [])
        state = hass.states.get(FEATURE_CHANGE)
        assert state is not None
        assert state.attributes["event_type"] == "do_not_disturb_off"
        assert state.attributes["who"] == "timer"
        assert hass_storage[FILE]["data"]["lines"][RECEPTION]["DoNotDisturb"] == {
            "status": False,
            "forward_to": "",
            "ring_count": 3,
        }

    async def test_a_reload_keeps_the_claim(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """And its end."""
        await set_feature(hass, entity_id=DND, status=True, claim="a", until="13:00")
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        assert attributes(hass) == ("2026-11-25T13:00:00-08:00", ["a"])
        await wait(hass, freezer, hours=1)
        assert state_of(hass, DND) == "off"

    async def test_the_version_before_has_no_claims(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        hass_storage: dict[str, Any],
    ) -> None:
        """Its file is read as it is, without a complaint, and claims can be made."""
        state = {"status": True, "forward_to": "300", "ring_count": 5}
        store(hass_storage, {RECEPTION: {"CallForwardingAlways": state}})
        await set_up(hass, entry)
        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("on", "300")
        assert attributes(hass, ALWAYS) == (None, [])
        assert ir.async_get(hass).issues == {}
        await set_feature(hass, entity_id=ALWAYS, status=True, claim="a")
        await release(hass, entity_id=ALWAYS, claim="a")
        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("on", "300")

    async def test_a_target_of_the_version_before_stays(
        self, hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
    ) -> None:
        """Though it would be refused today; it comes back after a claim, too."""
        state = {"status": True, "forward_to": "front desk", "ring_count": 3}
        store(hass_storage, {RECEPTION: {"CallForwardingAlways": state}})
        await set_up(hass, entry)
        call = {"status": True, "forward_to": "1", "claim": "a"}
        await set_feature(hass, entity_id=ALWAYS, **call)
        await release(hass, entity_id=ALWAYS, claim="a")
        assert state_of(hass, ALWAYS_TARGET) == "front desk"
        assert state_of(hass, ALWAYS) == "on"

    @pytest.mark.parametrize(
        "claims",
        [
            None,
            {"before": {}, "held": 5},
            {"held": []},
            {"before": {}, "held": [{"name": 5}]},
            {"before": {}, "held": [{"name": "a", "until": "soon"}]},
            {"before": {}, "held": [{"name": "a", "until": True}]},
            {"before": {}, "held": [{"name": "a", "until": float("nan")}]},
            {"before": {}, "held": [{"name": "a", "until": 1e11}]},
        ],
    )
    async def test_claims_that_cannot_be_read_are_not_held(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        hass_storage: dict[str, Any],
        claims: object,
    ) -> None:
        """The state is what it was, and Repairs says that something is wrong."""
        dnd = {"status": True, "forward_to": "", "ring_count": 3, "claims": claims}
        store(hass_storage, {RECEPTION: {"DoNotDisturb": dnd}})
        await set_up(hass, entry)
        assert (state_of(hass, DND), attributes(hass)) == ("on", (None, []))
        assert ir.async_get(hass).async_get_issue("dfks", "states_damaged")


@pytest.fixture(autouse=True)
async def closed(hass: HomeAssistant) -> AsyncIterator[None]:
    """Unload what is loaded at the end, so that no timer is left."""
    yield
    for entry in hass.config_entries.async_loaded_entries("dfks"):
        await hass.config_entries.async_unload(entry.entry_id)
