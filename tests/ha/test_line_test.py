"""*Test with a call*: what a user learns of the way that calls take."""

import asyncio
from typing import Any

from homeassistant.config_entries import ConfigEntryState, SubentryFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.dfks.features import call_test
from tests.pbx import SimulatedPbx
from tests.phone.calls import Bell

from .common import (
    RECEPTION,
    MockConfigEntry,
    change_line,
    listener_entry,
    runtime,
    set_up,
    turn,
)
from .forms import choose, field, placeholders, submit
from .pbx import OpenPhone, at_pbx, bell_at, line_at_pbx, pbx, pbx_data

__all__ = ["at_pbx", "pbx"]


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx) -> MockConfigEntry:
    """Return a listener with a PBX and the line Reception there."""
    return listener_entry(port, (pbx_data(pbx.address[1]), line_at_pbx()))


class Trial:
    """The phones, and the test as a user goes through it."""

    def __init__(
        self, hass: HomeAssistant, entry: MockConfigEntry, bells: list[Bell]
    ) -> None:
        """Use `trial`."""
        self.hass = hass
        self.entry = entry
        self.reception, self.caller, self.target = bells

    async def begin(self, target: str = "") -> SubentryFlowResult:
        """Start to wait for a call."""
        shown = await choose(self.hass, self.entry, RECEPTION, "test")
        assert shown["step_id"] == "test"
        assert placeholders(shown)["user"] == "201"
        form = {"target": target} if target else {}
        waiting = await self.hass.config_entries.subentries.async_configure(
            shown["flow_id"], form
        )
        assert waiting["type"] is FlowResultType.SHOW_PROGRESS
        assert waiting["progress_action"] == "waiting_for_call"
        return waiting

    async def result(self, waiting: SubentryFlowResult) -> str:
        """Return why the test has ended, in the words of the translation's key."""
        await self.hass.async_block_till_done()
        ended = await self.hass.config_entries.subentries.async_configure(
            waiting["flow_id"]
        )
        assert ended["type"] is FlowResultType.ABORT
        return str(ended["reason"])

    @property
    def treated(self) -> dict[Any, Any]:
        """The lines whose calls do not just pass."""
        return dict(runtime(self.entry).server.proxy.treated.lines)


@pytest.fixture
async def trial(
    hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
) -> Trial:
    """Return three phones at the PBX that are registered."""
    await set_up(hass, entry)
    bells = [await bell_at(at_pbx, user) for user in ("201", "202", "203")]
    return Trial(hass, entry, bells)


@pytest.mark.requirement("P90")
async def test_a_call_that_comes_is_seen_and_rings(trial: Trial) -> None:
    """Whatever its line does with it."""
    waiting = await trial.begin()
    await trial.caller.dial("201")
    await trial.reception.incoming_call()
    assert await trial.result(waiting) == "test_came"
    assert not trial.treated


@pytest.mark.requirement("P90")
async def test_a_pbx_that_calls_the_target(trial: Trial) -> None:
    """The phone of the line does not ring."""
    waiting = await trial.begin("203")
    await trial.caller.dial("201")
    await trial.target.incoming_call()
    assert await trial.result(waiting) == "test_followed"
    assert trial.reception.calls == []
    assert not trial.treated


@pytest.mark.requirement("P90")
async def test_a_pbx_that_does_not(
    trial: Trial, pbx: SimulatedPbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has some seconds for that."""
    monkeypatch.setattr(call_test, "TARGET_SECONDS", 0.1)
    pbx.follows = False
    waiting = await trial.begin("203")
    await trial.caller.dial("201")
    assert await trial.result(waiting) == "test_not_followed"
    assert not trial.treated


@pytest.mark.requirement("P90")
async def test_a_target_that_nobody_here_can_see(trial: Trial) -> None:
    """The user knows whether it rang."""
    waiting = await trial.begin("+49 30 123")
    await trial.caller.dial("201")
    assert await trial.result(waiting) == "test_unseen"


@pytest.mark.requirement("P90")
async def test_a_call_that_does_not_come(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went past Home Assistant, or nobody has called."""
    monkeypatch.setattr(call_test, "CALL_SECONDS", 0.1)
    waiting = await trial.begin()
    assert await trial.result(waiting) == "test_no_call"
    assert not trial.treated


async def test_only_one_call_is_redirected(trial: Trial, hass: HomeAssistant) -> None:
    """The next one rings."""
    waiting = await trial.begin("203")
    await trial.caller.dial("201")
    await trial.target.incoming_call()
    await trial.result(waiting)
    await trial.target.dial("201")
    await trial.reception.incoming_call()


async def test_the_treatment_goes_on_afterwards(
    trial: Trial, hass: HomeAssistant
) -> None:
    """The test stands in its place only as long as it waits."""
    await change_line(hass, trial.entry, treat_calls=True)
    before = trial.treated
    await turn(hass, "switch.reception_do_not_disturb", "on")
    waiting = await trial.begin("203")
    await trial.caller.dial("201")
    await trial.target.incoming_call()
    await trial.result(waiting)
    assert trial.treated == before


async def test_a_page_that_is_closed_waits_no_more(
    trial: Trial, hass: HomeAssistant
) -> None:
    """Calls pass again."""
    waiting = await trial.begin("203")
    assert trial.treated
    hass.config_entries.subentries.async_abort(waiting["flow_id"])
    await asyncio.sleep(0)
    await hass.async_block_till_done()
    assert not trial.treated


async def test_offers_the_phones_at_the_pbx(trial: Trial) -> None:
    """But not the line itself; a target must be one that can be called."""
    shown = await choose(trial.hass, trial.entry, RECEPTION, "test")
    selector = field(shown, "target")
    assert selector.config["options"] == ["202", "203"]
    shown = await submit(trial.hass, shown, {"target": "a b"})
    assert shown["errors"] == {"target": "invalid_target"}
    for target in ("20-1", "sip:201@pbx.example"):
        shown = await submit(trial.hass, shown, {"target": target})
        assert shown["errors"] == {"target": "cannot_forward_to_line"}


@pytest.mark.parametrize("step", ["test", "test_call"])
async def test_a_listener_that_stops_meanwhile(
    trial: Trial, hass: HomeAssistant, step: str
) -> None:
    """There is nothing to test."""
    if step == "test":
        shown = await trial.entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        form: dict[str, Any] = {"next_step_id": "test"}
    else:
        shown = await choose(hass, trial.entry, RECEPTION, "test")
        form = {}
    assert await hass.config_entries.async_unload(trial.entry.entry_id)
    assert trial.entry.state is ConfigEntryState.NOT_LOADED
    result = await hass.config_entries.subentries.async_configure(
        shown["flow_id"], form
    )
    assert result["reason"] == "not_running"


async def test_the_form_opens_at_once_where_nothing_can_be_tested(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The listener does not run."""
    entry.add_to_hass(hass)
    shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
    assert shown["step_id"] == "reconfigure"
