"""The script that may decide about calls, as callers and phones notice it."""

import asyncio
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import entity_registry as er
from homeassistant.util.yaml import parse_yaml
import pytest

from custom_components.dfks.features.calls import CallAnswer
from custom_components.dfks.features.hooks import HookError
from custom_components.dfks.scripting import call_script
from custom_components.dfks.scripting.call_script import CallScript, read_answer
from custom_components.dfks.sip import PROCEED, IncomingCall, Redirect, Reject
from tests.pbx import SimulatedPbx
from tests.phone import PATIENCE
from tests.phone.calls import CallState

from .common import (
    DND,
    MockConfigEntry,
    complaints,
    device_of,
    line,
    listener_entry,
    runtime,
    turn,
)
from .pbx import House, at_pbx, house, line_at_pbx, pbx, pbx_data
from .scripts import answer, load_scripts, script

__all__ = ["at_pbx", "house", "pbx"]

CALLS = (Path(__file__).parents[2] / "docs/calls.md").read_text()

ASK = {"action": "test.seen", "data": {"seen": "{{ [from, to, line, kind] }}"}}


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx) -> MockConfigEntry:
    """Return a listener with a PBX and the line Reception there, whose calls it treats."""
    lines = (pbx_data(pbx.address[1]), line_at_pbx(treat_calls=True))
    return listener_entry(port, lines)


@pytest.fixture
def seen(hass: HomeAssistant) -> list[Any]:
    """Return what the script has been told, each time that it ran."""
    seen: list[Any] = []

    async def note(call: ServiceCall) -> None:
        seen.append(call.data["seen"])

    hass.services.async_register("test", "seen", note)
    return seen


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the script until it has answered, however slow the machine is."""
    monkeypatch.setattr(call_script, "CALL_TIMEOUT", PATIENCE)


async def test_is_told_of_the_call(
    hass: HomeAssistant, house: House, seen: list[Any]
) -> None:
    """Who calls whom, on which line."""
    await load_scripts(hass, dfks_call=script(ASK))
    assert await house.rings()
    assert seen == [["202", "201", device_of(hass).id, "call"]]


async def test_is_told_text_that_can_be_recorded(
    hass: HomeAssistant, entry: MockConfigEntry, house: House, seen: list[Any]
) -> None:
    """Whatever octets a caller escapes in a number."""
    await load_scripts(hass, dfks_call=script(ASK))
    call = IncomingCall(
        "", "201", "", caller="20\udcff2" + 200 * "0", called="\r\udcff"
    )
    answers: list[CallAnswer | None] = []
    asker = CallScript(hass, entry, lambda _: None)
    assert asker.ask(line(entry), call, answers.append)
    while not answers:
        await asyncio.sleep(0)
    ((caller, called, *_),) = seen
    assert (caller, called) == ("202" + 125 * "0", "")


async def test_the_example_of_the_docs_rejects_a_stranger_at_night(
    hass: HomeAssistant, house: House
) -> None:
    """And leaves whom it names to the features."""
    blocks = re.findall(r"```yaml\n(dfks_call:.*?)```", CALLS, re.DOTALL)
    (example,) = [block.replace("now().hour < 7", "true") for block in blocks]
    assert 'if: "{{ true and' in example
    scripts = parse_yaml(example)
    assert isinstance(scripts, dict)
    await load_scripts(hass, **scripts)
    assert await house.rings()
    call = await house.target.dial("201")
    await house.target.until(call, CallState.REFUSED)
    assert call.response is not None
    assert call.response.status == 486


async def test_is_asked_once_about_a_call_to_several_phones(
    hass: HomeAssistant, entry: MockConfigEntry, house: House, seen: list[Any]
) -> None:
    """The second phone does not wait for a second run, and gets the same answer."""
    await load_scripts(hass, dfks_call=script(ASK, *answer(treatment="reject")))
    asker = CallScript(hass, entry, lambda _: None)
    call = IncomingCall("", "201", "", caller="202", called="201")
    answers: list[CallAnswer | None] = []
    for leg in (call, call, call._replace(caller="203")):
        assert asker.ask(line(entry), leg, answers.append)
    while len(answers) < 3:
        await asyncio.sleep(0)
    assert answers == [CallAnswer(Reject(486))] * 3
    assert [caller for caller, *_ in seen] == ["202", "203"]


async def test_rejects_a_call(hass: HomeAssistant, house: House) -> None:
    """With what do not disturb answers."""
    await load_scripts(hass, dfks_call=script(*answer(treatment="reject")))
    assert await house.status() == 486
    assert house.reception.calls == []


async def test_sends_a_call_elsewhere(hass: HomeAssistant, house: House) -> None:
    """The target rings, and not the phone."""
    await load_scripts(hass, dfks_call=script(*answer(forwardTo="20-3")))
    await house.call()
    await house.target.incoming_call()
    assert house.reception.calls == []


async def test_lets_a_call_ring_whatever_is_on(
    hass: HomeAssistant, house: House
) -> None:
    """Do not disturb, here."""
    await turn(hass, DND, "on")
    await load_scripts(hass, dfks_call=script(*answer(treatment="proceed")))
    assert await house.rings()


@pytest.mark.parametrize(
    "steps",
    [
        [],
        answer(),
        answer(treatment="maybe"),
        answer(forwardTo="a b"),
        [{"action": "test.not_there"}],
        [{"condition": "template", "value_template": "{{ false }}"}],
    ],
    ids=["nothing", "empty", "unknown", "no number", "broken", "condition"],
)
async def test_leaves_a_call_to_the_features(
    hass: HomeAssistant, house: House, steps: list[dict[str, Any]]
) -> None:
    """Where it says nothing, or nothing that makes sense."""
    await turn(hass, DND, "on")
    await load_scripts(hass, dfks_call=script(*steps))
    assert await house.status() == 486
    await turn(hass, DND, "off")
    assert await house.rings()


async def test_is_not_waited_for_when_it_is_late(
    hass: HomeAssistant,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The call rings, and the log says it once, without a number."""
    monkeypatch.setattr(call_script, "CALL_TIMEOUT", 0.05)
    await load_scripts(hass, dfks_call=script({"delay": 60}))
    for _ in range(2):
        assert await house.rings()
    (complaint,) = complaints(caplog)
    assert complaint == (
        "script.dfks_call does not decide about calls, so the features do"
        " (hook_too_slow)"
    )


async def test_says_when_it_works_again(
    hass: HomeAssistant, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, too."""
    await load_scripts(hass, dfks_call=script(*answer(treatment="maybe")))
    assert await house.rings()
    await load_scripts(hass, dfks_call=script(*answer(treatment="proceed")))
    assert await house.rings()
    assert "script.dfks_call decides about calls again" in caplog.text


async def test_is_asked_about_one_call_at_a_time(
    hass: HomeAssistant, entry: MockConfigEntry, house: House
) -> None:
    """The second waits for its turn, and both ring then."""
    running, release = [], asyncio.Event()

    async def hold(call: ServiceCall) -> None:
        running.append(call)
        await release.wait()

    hass.services.async_register("test", "hold", hold)
    await load_scripts(hass, dfks_call=script({"action": "test.hold"}, mode="parallel"))
    for caller in (house.caller, house.target):
        await caller.dial("201")
    async with asyncio.timeout(5):
        while len(runtime(entry).server.proxy.treated.kept) < 2 or not running:
            await asyncio.sleep(0)
    assert len(running) == 1
    release.set()
    for _ in range(2):
        await house.reception.incoming_call()
    assert len(running) == 2


async def test_a_script_that_is_gone_is_not_asked(
    hass: HomeAssistant, house: House, seen: list[Any]
) -> None:
    """The features decide at once."""
    await load_scripts(hass, dfks_call=script(ASK))
    await load_scripts(hass)
    assert await house.rings()
    assert seen == []


async def test_a_script_that_is_chosen_is_asked(
    hass: HomeAssistant, entry: MockConfigEntry, house: House, seen: list[Any]
) -> None:
    """By its key, in the place of the default."""
    await load_scripts(hass, mine=script(ASK), dfks_call=script())
    hass.config_entries.async_update_entry(entry, options={"call_script": "mine"})
    await hass.async_block_till_done()
    assert await house.rings()
    assert len(seen) == 1
    assert er.async_get(hass).async_get("script.mine") is not None


async def test_nobody_asks_about_an_emergency_call(
    hass: HomeAssistant, house: House, seen: list[Any], pbx: SimulatedPbx
) -> None:
    """It rings, whatever the script would say."""
    await load_scripts(hass, dfks_call=script(ASK, *answer(treatment="reject")))
    pbx.priority = "psap-callback"
    assert await house.rings()
    assert seen == []


async def test_more_than_a_few_calls_at_a_time_are_left_to_the_features(
    hass: HomeAssistant,
    house: House,
    seen: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of calls waits for no script."""
    monkeypatch.setattr(call_script, "MAX_ASKED", 0)
    await load_scripts(hass, dfks_call=script(ASK))
    assert await house.rings()
    await asyncio.sleep(0)
    assert seen == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, None),
        ({"treatment": None, "forwardTo": ""}, None),
        ({"treatment": "proceed"}, CallAnswer(PROCEED)),
        ({"treatment": "reject"}, CallAnswer(Reject(486))),
        ({"forwardTo": 203}, CallAnswer(Redirect("203", "unconditional"))),
        (
            {"treatment": "proceed", "forwardTo": "203"},
            CallAnswer(Redirect("203", "unconditional")),
        ),
    ],
)
def test_answers_are_read(said: dict[str, Any], expected: CallAnswer | None) -> None:
    """A target is one, whatever else is said."""
    assert read_answer(said) == expected


@pytest.mark.parametrize("said", [{"treatment": 1}, {"forwardTo": "x y"}])
def test_answers_that_make_no_sense_are_none(said: dict[str, Any]) -> None:
    """The features decide."""
    with pytest.raises(HookError):
        read_answer(said)
