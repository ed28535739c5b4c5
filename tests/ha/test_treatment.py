"""The calls of a line at a PBX that follow its features, as its phones notice it."""

import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.dfks.features.calls import LineCalls
from tests.clock import ManualClock
from tests.pbx import SimulatedPbx
from tests.phone.calls import CallState

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    BOTH_LINES,
    DND,
    RECEPTION,
    MockConfigEntry,
    change_line,
    get_diagnostics_for_config_entry,
    line,
    listener_entry,
    reception_form,
    runtime,
    set_up,
    turn,
    write_text,
)
from .forms import sections, show_settings, submit, suggested
from .pbx import AT_PBX_DATA, House, at_pbx, house, line_at_pbx, pbx, pbx_data

__all__ = ["at_pbx", "house", "pbx"]

BUSY = "switch.reception_call_forwarding_busy"
BUSY_TARGET = "text.reception_call_forwarding_busy_target"


@pytest.fixture
def treatment() -> dict[str, Any]:
    """Return what is stored of the treatment of the line's calls."""
    return {"treat_calls": True}


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx, treatment: dict[str, Any]) -> MockConfigEntry:
    """Return a listener with a PBX and the line Reception there."""
    lines = (pbx_data(pbx.address[1]), line_at_pbx(**treatment))
    return listener_entry(port, lines)


async def forward(hass: HomeAssistant, switch: str, target: str) -> None:
    """Turn a forwarding to 203 on."""
    await write_text(hass, target, "203")
    await turn(hass, switch, "on")


class TestCalls:
    """What a caller hears, and which phone rings."""

    async def test_do_not_disturb_is_busy_and_silent(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """By the switch; off, the phone rings again."""
        await turn(hass, DND, "on")
        assert await house.status() == 486
        assert house.reception.calls == []
        await turn(hass, DND, "off")
        assert await house.rings()

    @pytest.mark.parametrize(
        "treatment", [{"treat_calls": True, "do_not_disturb_answer": "480"}]
    )
    async def test_do_not_disturb_may_be_not_available(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """By option."""
        await turn(hass, DND, "on")
        assert await house.status() == 480

    async def test_forwarding_always_rings_the_target(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """The PBX calls it, and the call says who has forwarded it."""
        await forward(hass, ALWAYS, ALWAYS_TARGET)
        call = await house.call()
        incoming = await house.target.incoming_call()
        diversion = "<sip:201@pbx.example>;reason=unconditional"
        assert incoming.invite.get("Diversion") == diversion
        house.target.pick_up(incoming)
        await house.caller.until(call, CallState.ESTABLISHED)
        assert house.reception.calls == []

    async def test_forwarding_busy_rings_the_target_when_the_phone_is_busy(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Its phone rings first, until somebody rejects the call."""
        await forward(hass, BUSY, BUSY_TARGET)
        await house.call()
        house.reception.refuse(await house.reception.incoming_call())
        await house.target.incoming_call()

    @pytest.mark.parametrize(
        "treatment",
        [{"treat_calls": True, "always_ring": ["20-2"]}],
    )
    async def test_a_caller_who_always_rings(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Do not disturb does not stop 202."""
        await turn(hass, DND, "on")
        assert await house.rings()

    @pytest.mark.parametrize(
        "treatment", [{"treat_calls": True, "emergency_numbers": ["203"]}]
    )
    async def test_a_line_that_has_called_an_emergency_number_rings(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Here it is 203."""
        await turn(hass, DND, "on")
        await house.reception.dial("203")
        await house.target.incoming_call()
        assert await house.rings()

    @pytest.mark.parametrize(
        "treatment", [{"treat_calls": True, "reject_ringing": True}]
    )
    async def test_do_not_disturb_ends_a_call_that_rings_by_option(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """The caller hears that it is busy."""
        call = await house.call()
        incoming = await house.reception.incoming_call()
        await turn(hass, DND, "on")
        await house.reception.until(incoming, CallState.CANCELLED)
        await house.caller.until(call, CallState.REFUSED)
        assert call.response is not None
        assert call.response.status == 486

    async def test_do_not_disturb_ends_no_call_that_rings(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """It counts from the next call on."""
        call = await house.call()
        incoming = await house.reception.incoming_call()
        await turn(hass, DND, "on")
        house.reception.pick_up(incoming)
        await house.caller.until(call, CallState.ESTABLISHED)

    @pytest.mark.parametrize("treatment", [{}])
    async def test_calls_pass_without_the_option(
        self, hass: HomeAssistant, house: House
    ) -> None:
        """Whatever is on: the phone itself may act on it."""
        await turn(hass, DND, "on")
        await forward(hass, ALWAYS, ALWAYS_TARGET)
        assert await house.rings()


def stored_line(hass_storage: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored of the line."""
    line: dict[str, Any] = hass_storage["dfks.dfks_entry"]["data"]["lines"][RECEPTION]
    return line


async def restart(hass: HomeAssistant, entry: MockConfigEntry, house: House) -> None:
    """Have another listener go on; phones find it again."""
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    for bell in (house.reception, house.caller, house.target):
        assert (await bell.phone.register()).status == 200


class TestOptions:
    """Options that change while the line is served."""

    async def test_are_taken_without_a_reload(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Phones stay where they are."""
        await turn(hass, DND, "on")
        await change_line(hass, entry, do_not_disturb_answer="480")
        assert await house.status() == 480
        await change_line(hass, entry, treat_calls=False)
        assert await house.rings()
        await change_line(hass, entry, treat_calls=True)
        assert await house.status() == 480

    async def test_the_hour_after_an_emergency_call_goes_on(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """A change of the options does not end it."""
        await turn(hass, DND, "on")
        await change_line(hass, entry, emergency_numbers=["203"])
        await house.reception.dial("203")
        await house.target.incoming_call()
        await change_line(hass, entry, do_not_disturb_answer="480")
        assert await house.rings()

    async def test_the_hour_after_an_emergency_call_outlives_a_restart(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        entry: MockConfigEntry,
        house: House,
        hass_storage: dict[str, Any],
    ) -> None:
        """And the option, which is turned off and on. Nothing of it stays."""
        await turn(hass, DND, "on")
        await change_line(hass, entry, emergency_numbers=["203"])
        await house.reception.dial("203")
        await house.target.incoming_call()
        await hass.async_block_till_done()
        assert "emergency_at" in stored_line(hass_storage)
        await change_line(hass, entry, treat_calls=False)
        await change_line(hass, entry, treat_calls=True)
        assert await house.rings()
        await restart(hass, entry, house)
        assert await house.rings()
        clock.advance(3600)
        await restart(hass, entry, house)
        assert await house.status() == 486
        await turn(hass, DND, "off")
        await hass.async_block_till_done()
        assert "emergency_at" not in stored_line(hass_storage)

    async def test_a_line_that_moves_or_goes_is_not_treated(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Nor when it comes back without the option."""
        treated = runtime(entry).server.proxy.treated.lines
        await change_line(hass, entry, user="204")
        assert list(treated) == [("pbx1", "204")]
        hass.config_entries.async_remove_subentry(entry, RECEPTION)
        await hass.async_block_till_done()
        assert not treated

    async def test_a_stop_lets_all_calls_pass(
        self, hass: HomeAssistant, entry: MockConfigEntry, house: House
    ) -> None:
        """Nothing is left of them."""
        treated = runtime(entry).server.proxy.treated.lines
        assert await hass.config_entries.async_unload(entry.entry_id)
        assert not treated


class TestForm:
    """The section of the line's form."""

    @pytest.mark.parametrize("treatment", [{}])
    async def test_offers_the_treatment_of_a_line_at_a_pbx(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Off, with what goes with it; a list of the usual emergency numbers."""
        await set_up(hass, entry)
        shown = await show_settings(hass, entry, RECEPTION)
        assert suggested(shown) | {
            "treat_calls": False,
            "do_not_disturb_answer": "486",
            "ring_seconds": "6",
            "reject_ringing": False,
            "always_ring": [],
        } == suggested(shown)
        assert "112" in suggested(shown)["emergency_numbers"]

    @pytest.mark.parametrize("treatment", [{}])
    async def test_stores_what_is_not_as_at_first(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Numbers without blanks, each once; a list that is emptied is empty."""
        await set_up(hass, entry)
        shown = await show_settings(hass, entry, RECEPTION)
        section = {
            "treat_calls": True,
            "do_not_disturb_answer": "480",
            "ring_seconds": "5",
            "reject_ringing": True,
            "always_ring": [" +49 30 1", "+49 30 1", "ann", ""],
        }
        result = await submit(hass, shown, form(treatment=section))
        assert result["type"] is FlowResultType.ABORT
        stored = {
            **AT_PBX_DATA,
            **section,
            "always_ring": ["+49 30 1", "ann"],
            "emergency_numbers": [],
        }
        assert entry.subentries[RECEPTION].data == stored
        policy = runtime(entry).server.proxy.treated.lines["pbx1", "201"].policy
        assert isinstance(policy, LineCalls)
        assert policy.options.always_ring == {"+49301", "ann"}
        assert policy.options.ring_seconds == 5

    @pytest.mark.parametrize(
        "treatment",
        [{"treat_calls": True, "ring_seconds": "5", "emergency_numbers": []}],
    )
    async def test_keeps_a_section_that_is_not_opened(
        self, hass: HomeAssistant, entry: MockConfigEntry, treatment: dict[str, Any]
    ) -> None:
        """And shows what is stored."""
        await set_up(hass, entry)
        shown = await show_settings(hass, entry, RECEPTION)
        assert suggested(shown)["emergency_numbers"] == []
        await submit(hass, shown, form())
        assert entry.subentries[RECEPTION].data == {**AT_PBX_DATA, **treatment}

    @pytest.mark.parametrize("treatment", [{}])
    @pytest.mark.parametrize(
        ("numbers", "error"),
        [
            (["112 or 911"], "invalid_number"),
            (["112"], None),
            ([str(number) for number in range(101)], "too_many_numbers"),
        ],
    )
    async def test_says_what_is_no_number(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        numbers: list[str],
        error: str | None,
    ) -> None:
        """In the section, which is open then."""
        await set_up(hass, entry)
        shown = await show_settings(hass, entry, RECEPTION)
        section = {"treat_calls": True, "emergency_numbers": numbers}
        result = await submit(hass, shown, form(treatment=section))
        assert (result.get("errors") or {}).get("treatment") == error
        if error is not None:
            assert sections(result)["treatment"].options["collapsed"] is False

    async def test_is_not_offered_for_a_line_here(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """Its calls do not come through Home Assistant."""
        entry = listener_entry(port, BOTH_LINES)
        await set_up(hass, entry)
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        assert "treatment" not in sections(shown)

    async def test_forgets_the_treatment_of_a_line_that_comes_here(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """There is nothing to treat."""
        await set_up(hass, entry)
        shown = await show_settings(hass, entry, RECEPTION)
        await submit(hass, shown, form(pbx="here"))
        assert "treat_calls" not in entry.subentries[RECEPTION].data
        assert not runtime(entry).server.proxy.treated.lines
        assert line(entry).pbx is None


def form(**changes: object) -> dict[str, Any]:
    """Return the filled form of the line at the PBX."""
    filled = {**reception_form(pbx="pbx1"), **changes}
    filled.pop("password", None)
    return filled


async def test_diagnostics_say_how_calls_are_treated_and_hold_no_number(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    hass_client: Any,
) -> None:
    """Whether and how, but nobody's number."""
    await set_up(hass, entry)
    await change_line(
        hass,
        entry,
        always_ring=["+4930777"],
        emergency_numbers=["555"],
        ring_seconds="5",
    )
    text = json.dumps(await get_diagnostics_for_config_entry(hass, hass_client, entry))
    assert '"treat_calls": true' in text
    assert '"ring_seconds": "5"' in text
    assert "4930777" not in text
    assert '"555"' not in text
