"""The two scripts, with real scripts, real sockets and the simulated phone."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
import logging
import re
from typing import Any
from unittest.mock import patch

from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import Context, CoreState, Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_set_domains_to_be_loaded, async_setup_component
from homeassistant.util import dt as dt_util
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features import hooks as floor_hooks, sync
from custom_components.dfks.features.hooks import Ruling
from custom_components.dfks.features.model import ChangeRequest, Feature, Origin
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.scripting import script_hooks
from tests import phone as desk
from tests.phone import PATIENCE

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    NO_ANSWER,
    NO_ANSWER_TARGET,
    RINGS,
    WORKSHOP,
    WORKSHOP_DND,
    MockConfigEntry,
    async_fire_time_changed,
    complaints,
    device_of,
    line,
    runtime,
    said,
    set_up,
    state_of,
    turn,
    write_text,
)
from .conftest import OpenPhone
from .scripts import (
    ASK,
    Script,
    Step,
    answer,
    lamps_after,
    load_scripts,
    nothing_told,
    script,
)

# A step that waits until `let_go`.
WAIT: Step = {"wait_template": "{{ is_state('test.gate', 'open') }}"}


def let_go(hass: HomeAssistant) -> None:
    """End all waiting of scripts."""
    hass.states.async_set("test.gate", "open")


async def until_running(hass: HomeAssistant, entity_id: str) -> None:
    """Wait until a script runs."""
    running = asyncio.Event()

    @callback
    def look(_event: object = None) -> None:
        if state_of(hass, entity_id) == "on":
            running.set()

    untrack = async_track_state_change_event(hass, entity_id, look)
    look()
    async with asyncio.timeout(PATIENCE):
        await running.wait()
    untrack()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for scripts until they have answered, however slow the machine is."""
    monkeypatch.setattr(sync, "HOOK_TIMEOUT", PATIENCE)


@pytest.fixture
def asked(hass: HomeAssistant) -> list[dict[str, Any]]:
    """Return what scripts with the step ASK were told, a mapping a call."""
    asked: list[dict[str, Any]] = []

    @callback
    def take(event: Event) -> None:
        asked.append(dict(event.data))

    hass.bus.async_listen("asked", take)
    return asked


def issue(hass: HomeAssistant) -> str | None:
    """Return which repair issue there is about the set script."""
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "set_script")
    return issue.translation_key if issue else None


def shown(hass: HomeAssistant) -> str:
    """Return what that issue says besides its text."""
    issue = ir.async_get(hass).async_get_issue(DOMAIN, "set_script")
    assert issue is not None
    assert issue.translation_placeholders is not None
    return " ".join(issue.translation_placeholders.values())


async def choose(hass: HomeAssistant, entry: MockConfigEntry, **chosen: str) -> None:
    """Choose scripts in the options form."""
    form = await hass.config_entries.options.async_init(entry.entry_id)
    await hass.config_entries.options.async_configure(
        form["flow_id"], {"max_expires": 3600, "digest": "both", "scripts": chosen}
    )
    await hass.async_block_till_done()


class TestWhichScript:
    """The option, and the default."""

    async def test_the_default_is_asked_where_there_is_one(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """And the change is made where it answers nothing."""
        await load_scripts(hass, dfks_set=script(ASK))
        await turn(hass, DND, "on")

        assert [call["feature"] for call in asked] == ["DoNotDisturb"]
        assert state_of(hass, DND) == "on"

    async def test_without_scripts_all_is_as_ever(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """A default script that does not exist is no error."""
        await load_scripts(hass, other=script(ASK))
        await turn(hass, DND, "on")

        assert (state_of(hass, DND), asked, issue(hass)) == ("on", [], None)

    async def test_a_choice_goes_before_the_default(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """It holds at once, without a reload that would cost the phones' dialogs."""
        refusing = script(*answer(refuse="no"))
        await load_scripts(hass, dfks_set=refusing, dfks_get=refusing, mine=script(ASK))
        phone = await open_phone()
        await choose(hass, entry, set_script="script.mine", get_script="script.mine")
        pressed = await lamps_after(phone, phone.set_dnd(True))
        await lamps_after(phone, phone.refresh())

        assert pressed.features[desk.DND].on
        assert [call["feature"] for call in asked] == ["DoNotDisturb", *desk.FEATURES]
        assert runtime(entry) is listener

    async def test_the_form_shows_the_choice(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """By the entity id that the script has now; empty again is the default."""
        await load_scripts(hass, mine=script(ASK))
        await choose(hass, entry, set_script="script.mine")
        er.async_get(hass).async_update_entity(
            "script.mine", new_entity_id="script.yours"
        )
        await hass.async_block_till_done()

        form = await hass.config_entries.options.async_init(entry.entry_id)
        assert form["data_schema"] is not None
        section = form["data_schema"].schema["scripts"]
        suggested = {
            str(key): key.description["suggested_value"]
            for key in section.schema.schema
            if key.description
        }
        assert suggested == {"set_script": "script.yours"}

        await choose(hass, entry)
        assert set(entry.options) == {"max_expires", "digest"}

    async def test_scripts_come_and_go_at_any_time(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """The default is looked up at each change."""
        await turn(hass, DND, "on")
        await load_scripts(hass, dfks_set=script(ASK))
        await turn(hass, DND, "off")
        await load_scripts(hass)
        er.async_get(hass).async_remove("script.dfks_set")
        await turn(hass, DND, "on")

        assert [call["status"] for call in asked] == [False]
        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_a_script_removed_by_hand_is_gone(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Although the entity registry goes on to know it."""
        await load_scripts(hass, dfks_set=script(ASK))
        await load_scripts(hass)
        with patch("custom_components.dfks.scripting.script_hooks.RELOAD_TIMEOUT", 0):
            await turn(hass, DND, "on")

        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_a_default_that_does_not_come_back_is_gone(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Just after its end it is waited for."""
        await load_scripts(hass, dfks_set=script(*answer(refuse="no")))
        await load_scripts(hass)
        with (
            patch("custom_components.dfks.scripting.script_hooks.RELOAD_TIMEOUT", 0.02),
            patch.object(dt_util, "utcnow", return_value=dt_util.utcnow()),
        ):
            await turn(hass, DND, "on")

        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_a_script_removed_long_ago_is_not_waited_for(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
    ) -> None:
        """It was waited for just after its end; keys must not wait for it ever after."""
        await load_scripts(hass, mine=script())
        await choose(hass, entry, set_script="script.mine")
        await load_scripts(hass, other=script())
        later = dt_util.utcnow() + timedelta(seconds=61)
        with (
            patch("custom_components.dfks.scripting.script_hooks.RELOAD_TIMEOUT", 60),
            patch.object(dt_util, "utcnow", return_value=later),
        ):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(HomeAssistantError, match="missing"):
                    await turn(hass, DND, "on")

    async def test_a_script_that_vanishes_before_its_call_says_nothing(
        self, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """It was there when the change was put in line."""
        change = ChangeRequest(
            feature=Feature.DO_NOT_DISTURB, status=True, origin=Origin.ENTITY
        )
        assert await listener.hooks.rule(line(entry), change) == Ruling()

    async def test_a_disabled_default_is_none(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """Its user has turned it off."""
        await load_scripts(hass, dfks_set=script(ASK))
        er.async_get(hass).async_update_entity(
            "script.dfks_set", disabled_by=er.RegistryEntryDisabler.USER
        )
        await hass.async_block_till_done()
        await turn(hass, DND, "on")

        assert (state_of(hass, DND), asked) == ("on", [])

    async def test_a_chosen_script_may_be_renamed(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        asked: list[dict[str, Any]],
    ) -> None:
        """It is the same script."""
        await load_scripts(hass, mine=script(ASK))
        await choose(hass, entry, set_script="script.mine")
        er.async_get(hass).async_update_entity(
            "script.mine", new_entity_id="script.yours"
        )
        await hass.async_block_till_done()
        await turn(hass, DND, "on")

        assert len(asked) == 1

    async def test_a_script_is_waited_for_while_it_is_renamed(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Until 2026.10 Home Assistant removes it and adds it anew."""
        monkeypatch.setattr(script_hooks, "RELOAD_TIMEOUT", PATIENCE)
        await load_scripts(hass, mine=script(*answer(refuse="no")))
        await choose(hass, entry, set_script="script.mine")
        turning: list[asyncio.Task[None]] = []

        @callback
        def press(_event: Event | None = None) -> None:
            turning.append(asyncio.create_task(turn(hass, DND, "on")))

        hass.bus.async_listen("service_removed", press)
        er.async_get(hass).async_update_entity(
            "script.mine", new_entity_id="script.yours"
        )
        press()
        await hass.async_block_till_done()
        press()

        for each in turning:
            with pytest.raises(ServiceValidationError, match="refused: no"):
                await each

    async def test_an_edited_script_is_waited_for(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A key that is pressed while it is replaced does not slip past it."""
        monkeypatch.setattr(script_hooks, "RELOAD_TIMEOUT", PATIENCE)
        await load_scripts(hass, dfks_set=script(*answer(refuse="old")))
        turning: list[asyncio.Task[None]] = []

        @callback
        def press_between(_event: Event) -> None:
            turning.append(hass.async_create_task(turn(hass, DND, "on")))

        hass.bus.async_listen("service_removed", press_between)
        await load_scripts(hass, dfks_set=script(*answer(refuse="new")))

        with pytest.raises(ServiceValidationError, match="refused: new"):
            await turning[0]


class TestVariables:
    """What a script is told."""

    async def test_of_a_phones_change(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """Who, what, and from where."""
        await load_scripts(hass, dfks_set=script(ASK))
        phone = await open_phone()
        await lamps_after(phone, phone.set_forward("no-answer", True, "2424", 4))

        host, port = phone.link.local
        assert asked == [
            {
                "presentity": "sip:201@homeassistant",
                "feature": "CallForwardingNoAnswer",
                "status": True,
                "value": {"forwardTo": "2424", "ringCount": 4},
                "param": None,
                "origin": "phone",
                "source": f"{host}:{port}",
                "line": device_of(hass).id,
            }
        ]

    async def test_of_an_entitys_change(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """What is not asked for stands as it would be stored."""
        await load_scripts(hass, dfks_set=script(ASK))
        await write_text(hass, ALWAYS_TARGET, "300")
        await turn(hass, ALWAYS, "on")
        await turn(hass, DND, "on")

        assert [call["origin"] for call in asked] == ["home_assistant"] * 3
        assert [call["source"] for call in asked] == [None] * 3
        assert [call["status"] for call in asked] == [False, True, True]
        target = {"forwardTo": "300", "ringCount": None}
        nothing = {"forwardTo": None, "ringCount": None}
        # A template makes a number of a lone number: scripts see the text.
        assert [call["value"] for call in asked] == [target, target, nothing]

    async def test_of_an_action(
        self, hass: HomeAssistant, listener: DfksListener, asked: list[dict[str, Any]]
    ) -> None:
        """With the action's own parameter, whatever that is."""
        await load_scripts(hass, dfks_set=script(ASK))
        await hass.services.async_call(
            DOMAIN,
            "set_feature",
            {
                "presentity": "sip:201@homeassistant",
                "feature": "DoNotDisturb",
                "status": 1,
                "route_param": {"shift": "night"},
            },
            blocking=True,
        )

        assert [call["param"] for call in asked] == [{"shift": "night"}]
        assert [call["origin"] for call in asked] == ["home_assistant"]

    async def test_of_a_question(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """Once a feature, in their order, with what is stored."""
        await write_text(hass, ALWAYS_TARGET, "300")
        await load_scripts(hass, dfks_get=script(ASK))
        phone = await open_phone()

        host, port = phone.link.local
        assert [call["feature"] for call in asked] == list(desk.FEATURES)
        assert {call["source"] for call in asked} == {f"{host}:{port}"}
        assert {call["origin"] for call in asked} == {"phone"}
        assert {call["line"] for call in asked} == {device_of(hass).id}
        assert {call["param"] for call in asked} == {None}
        assert asked[1]["value"] == {"forwardTo": "300", "ringCount": None}
        assert asked[3]["value"] == {"forwardTo": "", "ringCount": 3}

    async def test_a_click_is_the_cause_of_the_run(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """But the script may do what the user may not."""
        await load_scripts(hass, dfks_set=script(ASK))
        contexts: list[Context] = []
        hass.bus.async_listen("asked", callback(lambda e: contexts.append(e.context)))
        click = Context(user_id=None)
        await hass.services.async_call(
            "switch", "turn_on", {"entity_id": DND}, blocking=True, context=click
        )

        assert [context.parent_id for context in contexts] == [click.id]
        state = hass.states.get(DND)
        assert state is not None
        assert state.context is click


class TestSetAnswers:
    """What the set script's answer does."""

    async def test_nothing_is_consent(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The phone hears what it asked for."""
        await load_scripts(hass, dfks_set=script(ASK))
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_forward("busy", True, "2424"))

        assert told.features == {desk.BUSY: desk.Lamp(True, "2424")}

    async def test_a_condition_that_is_not_met_is_consent(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The way of a script to have nothing to say about a feature."""
        only_always = {
            "condition": "template",
            "value_template": "{{ feature == 'CallForwardingAlways' }}",
        }
        await load_scripts(
            hass, dfks_set=script(only_always, *answer(refuse="no forwarding"))
        )
        await turn(hass, DND, "on")
        assert state_of(hass, DND) == "on"

        with pytest.raises(ServiceValidationError, match="no forwarding"):
            await write_text(hass, ALWAYS_TARGET, "300")

    async def test_status_and_values_replace_what_was_asked_for(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Before anything is stored or told."""
        await load_scripts(
            hass,
            dfks_set=script(
                *answer(
                    status=False,
                    value={"forwardTo": "sip:bob@pbx.example", "ringCount": 7},
                )
            ),
        )
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_forward("no-answer", True, "1", 1))

        lamp = desk.Lamp(False, "sip:bob@pbx.example", 7)
        assert told.features == {desk.NO_ANSWER: lamp}
        assert state_of(hass, NO_ANSWER) == "off"
        assert state_of(hass, NO_ANSWER_TARGET) == "sip:bob@pbx.example"
        assert state_of(hass, RINGS) == "7"

    async def test_it_may_supply_the_target_for_the_switch(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """After the second in which a scene may still set one."""
        await load_scripts(hass, dfks_set=script(*answer(value={"forwardTo": "300"})))
        turning = hass.async_create_task(turn(hass, ALWAYS, "on"))
        await asyncio.sleep(0)
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=1))
        await turning

        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("on", "300")

    @pytest.mark.parametrize("status", [1, 7, "on", "true", True, "{{ 2 }}", "1"])
    async def test_anything_but_zero_is_on(
        self, hass: HomeAssistant, listener: DfksListener, status: object
    ) -> None:
        """As in OpenSIPS."""
        await load_scripts(hass, dfks_set=script(*answer(status=status)))
        await turn(hass, DND, "off")

        assert state_of(hass, DND) == "on"

    async def test_fields_that_are_not_known_are_passed_over(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """And so are those of other features, and those that are null."""
        await load_scripts(
            hass,
            dfks_set=script(
                *answer(
                    value={"ringCount": "many", "colour": "red", "forwardTo": None},
                    more="whatever",
                )
            ),
        )
        await write_text(hass, ALWAYS_TARGET, "300")

        assert state_of(hass, ALWAYS_TARGET) == "300"
        assert issue(hass) is None

    async def test_handing_everything_back_changes_nothing(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Neither a target that is not there nor one with leading zeros."""
        await load_scripts(
            hass,
            dfks_set=script(*answer(status="{{ status }}", value="{{ value }}")),
        )
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_forward("always", False))
        assert told.features == {desk.ALWAYS: desk.Lamp(False)}

        told = await lamps_after(phone, phone.set_forward("no-answer", True, "0301", 4))
        assert told.features == {desk.NO_ANSWER: desk.Lamp(True, "0301", 4)}

    async def test_notify_false_tells_nobody(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Whoever asked; entities follow all the same."""
        await load_scripts(hass, dfks_set=script(*answer(notify=False)))
        phone, other = await open_phone(), await open_phone()
        assert (await phone.set_dnd(True)).status == 200
        await nothing_told(listener, phone)
        await nothing_told(listener, other)
        assert state_of(hass, DND) == "on"

        await turn(hass, DND, "off")
        await nothing_told(listener, phone)

    async def test_the_last_notify_is_sent_all_the_same(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """A change that comes with the end of the subscription."""
        await load_scripts(hass, dfks_set=script(*answer(notify=False)))
        phone = await open_phone()
        told = await lamps_after(phone, phone.refresh(0, desk.set_dnd(True)))

        assert (told.state, told.reason) == ("terminated", "timeout")
        assert told.features[desk.DND].on

    async def test_assigned_false_leaves_the_feature_out_for_phones(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """They get the full state without it, which asks the get script."""
        await load_scripts(
            hass, dfks_set=script(*answer(assigned=0)), dfks_get=script(ASK)
        )
        phone, other = await open_phone(), await open_phone()
        asked.clear()
        told = await lamps_after(phone, phone.set_dnd(True))

        assert list(told.features) == [desk.ALWAYS, desk.BUSY, desk.NO_ANSWER]
        assert told.features == (await other.notification()).features
        assert len(asked) == 4
        assert state_of(hass, DND) == "on"

        # Pressed once more it changes nothing, and only its phone is told.
        told = await lamps_after(phone, phone.set_dnd(True))
        assert list(told.features) == [desk.ALWAYS, desk.BUSY, desk.NO_ANSWER]
        await nothing_told(listener, other)

    async def test_assigned_false_answers_an_action_with_the_document(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """As OpenSIPS does."""
        await load_scripts(hass, dfks_set=script(*answer(assigned=False)))
        phone = await open_phone()
        await hass.services.async_call(
            DOMAIN,
            "set_feature",
            {"device_id": device_of(hass).id, "feature": "DoNotDisturb", "status": 1},
            blocking=True,
        )

        told = await phone.notification()
        assert told.features == {desk.DND: desk.Lamp(True)}

    async def test_refusal_shows_its_reason(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """To the user at the switch."""
        await load_scripts(
            hass,
            dfks_set=script(*answer(refuse="{{ feature }} is not for\n you")),
        )
        with pytest.raises(ServiceValidationError) as error:
            await turn(hass, DND, "on")

        assert str(error.value) == (
            "The change of Reception was refused: DoNotDisturb is not for you"
        )
        assert (state_of(hass, DND), issue(hass)) == ("off", None)

    async def test_refusal_restores_the_lamp(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Of the phone whose key was pressed; nobody else hears of it."""
        caplog.set_level(logging.INFO, "custom_components.dfks.scripting.script_hooks")
        await load_scripts(hass, dfks_set=script(*answer(refuse="no")))
        phone, other = await open_phone(), await open_phone()
        told = await lamps_after(phone, phone.set_forward("always", True, "0900"))

        assert told.features == {desk.ALWAYS: desk.Lamp(False)}
        await nothing_told(listener, other)
        assert line(entry).states() == {}
        refused = "script.dfks_set refused CallForwardingAlways of Reception"
        assert refused in caplog.text
        assert not [text for text in said(caplog) if re.search(r"\b201\b", text)]
        assert complaints(caplog) == []

    @pytest.mark.parametrize(
        ("refuse", "message"),
        [
            (True, "The change of Reception was refused"),
            (["a", "b"], "The change of Reception was refused: ['a', 'b']"),
        ],
    )
    async def test_refusal_without_a_reason(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        refuse: object,
        message: str,
    ) -> None:
        """Is one as well."""
        await load_scripts(hass, dfks_set=script(*answer(refuse=refuse)))
        with pytest.raises(ServiceValidationError) as error:
            await turn(hass, DND, "on")

        assert str(error.value) == message

    @pytest.mark.parametrize("refuse", ["", "  ", False, None, "{{ 'x' if false }}"])
    async def test_empty_reason_is_no_refusal(
        self, hass: HomeAssistant, listener: DfksListener, refuse: object
    ) -> None:
        """A template may leave it empty."""
        await load_scripts(hass, dfks_set=script(*answer(refuse=refuse)))
        await turn(hass, DND, "on")

        assert state_of(hass, DND) == "on"


class TestGetAnswers:
    """What the get script's answer does."""

    async def test_what_it_supplies_is_stored(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """So that the phone, the entities and other phones agree."""
        other = await open_phone()
        await load_scripts(
            hass,
            dfks_get=script(
                *answer(
                    status="{{ feature == 'CallForwardingNoAnswer' }}",
                    value={"forwardTo": "sip:bob@10.0.0.11", "ringCount": "5"},
                )
            ),
        )
        phone = await open_phone()

        lamp = desk.Lamp(True, "sip:bob@10.0.0.11", 5)
        assert phone.features[desk.NO_ANSWER] == lamp
        assert phone.features[desk.DND] == desk.Lamp(False)
        assert state_of(hass, NO_ANSWER) == "on"
        assert state_of(hass, RINGS) == "5"
        changes = await other.notification()
        assert list(changes.features) == [desk.ALWAYS, desk.BUSY, desk.NO_ANSWER]

    @pytest.mark.parametrize("key", ["assigned", "notify"])
    @pytest.mark.parametrize("hidden", desk.FEATURES)
    async def test_each_feature_is_hidden_for_itself(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        hidden: str,
        key: str,
    ) -> None:
        """The last one too, without OpenSIPS' quirk; it stays hidden at the end."""
        await load_scripts(
            hass,
            dfks_get=script(*answer(**{key: f"{{{{ feature != '{hidden}' }}}}"})),
        )
        phone = await open_phone()
        rest = [feature for feature in desk.FEATURES if feature != hidden]
        assert list(phone.notifications[0].features) == rest

        last = await lamps_after(phone, phone.unsubscribe())
        assert list(last.features) == rest

    async def test_all_hidden_is_an_empty_notify(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """A SUBSCRIBE is never left without a NOTIFY."""
        await load_scripts(hass, dfks_get=script(*answer(assigned=False)))
        phone = await open_phone()

        assert phone.notifications[0].request.body == b""

    async def test_hidden_feature_shows_again_without_the_script(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Nothing of it lasts."""
        await load_scripts(hass, dfks_get=script(*answer(assigned=False)))
        phone = await open_phone()
        await load_scripts(hass)
        er.async_get(hass).async_remove("script.dfks_get")
        told = await lamps_after(phone, phone.refresh())

        assert list(told.features) == list(desk.FEATURES)

    async def test_failing_script_leaves_the_model_as_it_is(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is logged once, and once more when it works again."""
        await turn(hass, DND, "on")
        await load_scripts(hass, dfks_get=script({"action": "test.not_there"}))
        phone = await open_phone()
        assert phone.features[desk.DND].on
        assert len(phone.features) == 4
        (complaint,) = complaints(caplog)
        assert complaint.startswith("script.dfks_get does not supply states")
        assert issue(hass) is None

        caplog.set_level(logging.INFO)
        await load_scripts(hass, dfks_get=script(*answer(status=False)))
        told = await lamps_after(phone, phone.refresh())
        assert not told.features[desk.DND].on
        assert "script.dfks_get supplies states again" in caplog.text

    async def test_slow_script_is_not_waited_for_four_times(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """Changes stand behind it in the queue."""
        listener.sync.hook_timeout = 1.0
        await load_scripts(hass, dfks_get=script(ASK, WAIT))
        phone = await open_phone()

        assert len(phone.features) == 4
        assert len(asked) == 1


FAILURES: dict[str, tuple[Script, str, str]] = {
    "unknown action": (
        script({"action": "test.not_there"}),
        "set_script_failed",
        "test.not_there",
    ),
    "template": (
        script(*answer(status="{{ 1 / 0 }}")),
        "set_script_failed",
        "ZeroDivisionError",
    ),
    "variables": (
        script(variables={"x": "{{ 1 / 0 }}"}),
        "set_script_failed",
        "ZeroDivisionError",
    ),
    "stop with an error": (
        script({"if": "{{ true }}", "then": [{"stop": "Oh no", "error": True}]}),
        "set_script_failed",
        "Oh no",
    ),
    "undefined answer": (
        script({"stop": "done", "response_variable": "nothing"}),
        "set_script_failed",
        "'nothing'",
    ),
    "stops itself": (
        script(
            {"action": "script.turn_off", "target": {"entity_id": "script.dfks_set"}}
        ),
        "set_script_stopped",
        "stopped",
    ),
    "status": (
        script(*answer(status="perhaps")),
        "set_script_bad_answer",
        "status",
    ),
    "value": (script(*answer(value=["x"])), "set_script_bad_answer", "value"),
    "target": (
        script(*answer(value={"forwardTo": "unavailable"})),
        "set_script_bad_answer",
        "forwardTo",
    ),
    "target of another kind": (
        script(*answer(value={"forwardTo": [1]})),
        "set_script_bad_answer",
        "forwardTo",
    ),
    "rings": (
        script(*answer(value={"ringCount": 101})),
        "set_script_bad_answer",
        "ringCount",
    ),
    "notify": (script(*answer(notify="loudly")), "set_script_bad_answer", "notify"),
}


class TestFailures:
    """A veto does not fail open."""

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_failing_script_refuses(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        caplog: pytest.LogCaptureFixture,
        failure: str,
    ) -> None:
        """State kept, lamp corrected, one log line, a repair issue while it lasts."""
        failing, problem, words = FAILURES[failure]
        await load_scripts(hass, dfks_set=failing)
        phone = await open_phone()
        for _ in range(2):
            told = await lamps_after(
                phone, phone.set_forward("no-answer", True, "2424", 4)
            )
            assert told.features == {desk.NO_ANSWER: desk.Lamp(False, "", 3)}
        with pytest.raises(HomeAssistantError, match="Reception was not changed"):
            await write_text(hass, NO_ANSWER_TARGET, "2424")

        assert (state_of(hass, NO_ANSWER), state_of(hass, NO_ANSWER_TARGET)) == (
            "off",
            "",
        )
        assert issue(hass) == problem
        (complaint,) = complaints(caplog)
        assert complaint.startswith("script.dfks_set does not decide about changes")
        assert words in complaint
        if problem != "set_script_stopped":
            assert words in shown(hass)

        await load_scripts(hass, dfks_set=script())
        await turn(hass, DND, "on")
        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_failing_script_keeps_nothing_on(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Neither for a phone nor for a switch; that it fails is shown all the same."""
        await write_text(hass, ALWAYS_TARGET, "0900")
        await turn(hass, ALWAYS, "on")
        await turn(hass, DND, "on")
        phone = await open_phone()
        await load_scripts(hass, dfks_set=script({"action": "test.not_there"}))
        told = await lamps_after(phone, phone.set_forward("always", False, "0900"))
        assert told.features == {desk.ALWAYS: desk.Lamp(False, "0900")}
        await turn(hass, DND, "off")

        assert (state_of(hass, ALWAYS), state_of(hass, DND)) == ("off", "off")
        assert issue(hass) == "set_script_failed"
        with pytest.raises(HomeAssistantError, match="Reception was not changed"):
            await turn(hass, ALWAYS, "on")

    async def test_slow_script_refuses(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The answer to the phone does not wait for it."""
        listener.sync.hook_timeout = 0.05
        await load_scripts(hass, dfks_set=script(WAIT))
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_dnd(True))

        assert not told.features[desk.DND].on
        with pytest.raises(HomeAssistantError, match="took too long"):
            await turn(hass, DND, "on")
        assert state_of(hass, "script.dfks_set") == "off"
        assert issue(hass) == "set_script_too_slow"
        assert len(complaints(caplog)) == 1

    async def test_the_answer_comes_before_the_scripts(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """And changes are made one at a time: lines in turn, a line's in their order."""
        await load_scripts(hass, dfks_set=script(ASK, WAIT))
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        assert (await phone.set_dnd(True)).status == 200
        assert (await phone.set_dnd(False)).status == 200
        assert (await workshop.set_dnd(True)).status == 200
        assert state_of(hass, DND) == "off"
        assert len(asked) == 1

        let_go(hass)
        assert (await phone.notification()).features[desk.DND].on
        assert not (await phone.notification()).features[desk.DND].on
        assert (await workshop.notification()).features[desk.DND].on
        lines = [device_of(hass).id, device_of(hass, WORKSHOP).id, device_of(hass).id]
        assert [call["line"] for call in asked] == lines
        assert [call["status"] for call in asked] == [True, True, False]

    @pytest.mark.parametrize(
        ("more", "runs"), [({"mode": "single"}, 1), ({"mode": "parallel", "max": 2}, 2)]
    )
    async def test_busy_script_refuses(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        more: dict[str, object],
        runs: int,
    ) -> None:
        """Whoever runs it: its empty answer is no consent."""
        await load_scripts(hass, dfks_set=script(WAIT, **more))
        for _ in range(runs):
            await hass.services.async_call(
                "script", "turn_on", {"entity_id": "script.dfks_set"}, blocking=True
            )
        with pytest.raises(HomeAssistantError, match="already running"):
            await turn(hass, DND, "on")
        assert (state_of(hass, DND), issue(hass)) == ("off", "set_script_busy")

        let_go(hass)
        await hass.async_block_till_done()
        await turn(hass, DND, "on")
        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_restarted_script_refuses(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Somebody else's run has cut ours short."""
        await load_scripts(
            hass, dfks_set=script(WAIT, *answer(refuse="no"), mode="restart")
        )
        turning = asyncio.create_task(turn(hass, DND, "on"))
        await until_running(hass, "script.dfks_set")
        await hass.services.async_call(
            "script", "turn_on", {"entity_id": "script.dfks_set"}, blocking=True
        )
        with pytest.raises(HomeAssistantError, match="failed"):
            await turning

        assert (state_of(hass, DND), issue(hass)) == ("off", "set_script_stopped")

    async def test_missing_chosen_script_refuses(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
    ) -> None:
        """Unlike a missing default. Another choice is the way out."""
        await load_scripts(hass, mine=script())
        await choose(hass, entry, set_script="script.mine")
        er.async_get(hass).async_remove("script.mine")
        await hass.async_block_till_done()
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_dnd(True))
        assert not told.features[desk.DND].on
        with pytest.raises(HomeAssistantError, match="missing"):
            await turn(hass, DND, "on")
        assert issue(hass) == "set_script_missing"

        await choose(hass, entry)
        assert issue(hass) is None
        await turn(hass, DND, "on")
        assert state_of(hass, DND) == "on"

    @pytest.mark.parametrize("chosen", [{}, {"set_script": "script.dfks_set"}])
    async def test_script_that_is_not_loaded_refuses(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        chosen: dict[str, str],
    ) -> None:
        """Home Assistant knows it, but its scripts do not come up."""
        er.async_get(hass).async_get_or_create(
            "script", "script", "dfks_set", suggested_object_id="dfks_set"
        )
        await choose(hass, entry, **chosen)
        with (
            patch("custom_components.dfks.scripting.script_hooks.RELOAD_TIMEOUT", 0.02),
            pytest.raises(HomeAssistantError, match="missing"),
        ):
            await turn(hass, DND, "on")

        assert issue(hass) == "set_script_missing"

    async def test_script_with_errors_refuses(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """One that Home Assistant could not load is there all the same."""
        await load_scripts(hass, dfks_set=script({"nonsense": True}))
        with pytest.raises(HomeAssistantError, match="missing or has errors"):
            await turn(hass, DND, "on")

        assert issue(hass) == "set_script_missing"

    async def test_removed_failing_script_leaves_no_issue(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Nobody is refused any more."""
        await load_scripts(hass, dfks_set=script({"action": "test.not_there"}))
        with pytest.raises(HomeAssistantError):
            await turn(hass, DND, "on")
        await load_scripts(hass, other=script())
        er.async_get(hass).async_remove("script.dfks_set")
        await hass.async_block_till_done()

        assert issue(hass) is None

    async def test_unload_leaves_no_issue(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Where nothing listens nothing is refused."""
        await load_scripts(hass, dfks_set=script({"action": "test.not_there"}))
        with pytest.raises(HomeAssistantError):
            await turn(hass, DND, "on")
        await hass.config_entries.async_unload(entry.entry_id)

        assert issue(hass) is None

    async def test_unload_refuses_what_waits(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """And stops the script that runs."""
        await load_scripts(hass, dfks_set=script(WAIT))
        turning = asyncio.create_task(turn(hass, DND, "on"))
        await until_running(hass, "script.dfks_set")
        await hass.config_entries.async_unload(entry.entry_id)

        with pytest.raises(HomeAssistantError, match="stopping"):
            await turning
        assert state_of(hass, "script.dfks_set") == "off"


SET_DND_OFF: Step = {
    "action": "dfks.set_feature",
    "data": {"device_id": "{{ line }}", "feature": "DoNotDisturb", "status": 0},
}
TURN_DND_OFF: Step = {"action": "switch.turn_off", "target": {"entity_id": DND}}
TURN_DND_ON: Step = {"action": "switch.turn_on", "target": {"entity_id": DND}}

# Ways in which a script changes the feature that it is asked about.
OWN_CHANGES: dict[str, Step] = {
    "action": SET_DND_OFF,
    "switch": TURN_DND_OFF,
    "with a delay": {
        "sequence": [{"delay": {"milliseconds": 10}}, TURN_DND_OFF],
    },
    "in parallel": {"parallel": [TURN_DND_OFF, SET_DND_OFF, TURN_DND_OFF]},
    "again and again": {"repeat": {"count": 3, "sequence": [SET_DND_OFF]}},
    "past errors": {
        "sequence": [
            {"action": "test.not_there", "continue_on_error": True},
            {**SET_DND_OFF, "continue_on_error": True},
        ]
    },
    "by another script": {"action": "script.helper"},
}


class TestOwnChanges:
    """A script that changes features does not ask itself."""

    @pytest.mark.parametrize("way", OWN_CHANGES)
    async def test_of_the_same_feature_do_not_loop(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
        way: str,
    ) -> None:
        """Nor wait for their own turn; what was asked for comes after them."""
        hass.services.async_register("test", "not_there", lambda _: fail())
        await load_scripts(
            hass, dfks_set=script(ASK, OWN_CHANGES[way]), helper=script(TURN_DND_OFF)
        )
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_dnd(True))
        while not told.features[desk.DND].on:
            told = await phone.notification()
        await nothing_told(listener, phone)

        assert len(asked) == 1
        assert (state_of(hass, DND), issue(hass)) == ("on", None)

    async def test_of_other_features_and_lines_are_made_at_once(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """Without asking, before the script ends."""
        await load_scripts(
            hass,
            dfks_set=script(
                ASK,
                {"action": "switch.turn_on", "target": {"entity_id": WORKSHOP_DND}},
                {"variables": {"seen": f"{{{{ states('{WORKSHOP_DND}') }}}}"}},
                *answer(status="{{ seen == 'on' }}"),
            ),
        )
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_dnd(False))

        assert told.features[desk.DND].on
        assert len(asked) == 1

    async def test_in_a_get_script_do_not_loop(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        asked: list[dict[str, Any]],
    ) -> None:
        """The phone is told what comes of it."""
        await load_scripts(
            hass, dfks_get=script(ASK, TURN_DND_ON), dfks_set=script(ASK)
        )
        phone = await open_phone(told=False)
        await phone.until(lambda lamps: lamps[desk.DND].on and len(lamps) == 4)

        assert len(asked) == 4

    async def test_started_in_passing_do_not_loop(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        asked: list[dict[str, Any]],
    ) -> None:
        """What the script has only started may change the feature a little later."""
        await load_scripts(
            hass,
            dfks_set=script(
                ASK,
                {"action": "script.turn_on", "target": {"entity_id": "script.helper"}},
            ),
            helper=script(WAIT, TURN_DND_OFF, {"event": "turned"}),
        )
        await turn(hass, DND, "on")
        turned = asyncio.Event()
        hass.bus.async_listen("turned", callback(lambda _: turned.set()))
        let_go(hass)
        async with asyncio.timeout(PATIENCE):
            await turned.wait()

        assert state_of(hass, DND) == "off"
        assert len(asked) == 1

    async def test_much_later_or_of_other_features_ask_again(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        asked: list[dict[str, Any]],
    ) -> None:
        """Nobody escapes the script for good by being started by it."""
        await load_scripts(
            hass,
            dfks_set=script(
                ASK,
                {
                    "if": "{{ line == starter and status }}",
                    "then": [
                        {
                            "action": "script.turn_on",
                            "target": {"entity_id": "script.helper"},
                        }
                    ],
                },
                variables={"starter": device_of(hass).id},
            ),
            helper=script(
                WAIT,
                {"action": "switch.turn_on", "target": {"entity_id": WORKSHOP_DND}},
                TURN_DND_OFF,
                {"event": "turned"},
            ),
        )
        await turn(hass, DND, "on")
        turned = asyncio.Event()
        hass.bus.async_listen("turned", callback(lambda _: turned.set()))
        with patch.object(floor_hooks, "AFTERMATH", 0):
            let_go(hass)
            async with asyncio.timeout(PATIENCE):
                await turned.wait()

        assert [call["line"] for call in asked] == [
            device_of(hass).id,
            device_of(hass, WORKSHOP).id,
            device_of(hass).id,
        ]

    async def test_automation_on_the_change_is_asked(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        asked: list[dict[str, Any]],
    ) -> None:
        """It is triggered by the change, not by the script."""
        await load_scripts(hass, dfks_set=script(ASK))
        assert await async_setup_component(
            hass,
            "automation",
            {
                "automation": {
                    "triggers": [{"trigger": "state", "entity_id": DND, "to": "on"}],
                    "actions": [TURN_DND_OFF, {"event": "turned"}],
                }
            },
        )
        turned = asyncio.Event()
        hass.bus.async_listen("turned", callback(lambda _: turned.set()))
        await turn(hass, DND, "on")
        async with asyncio.timeout(PATIENCE):
            await turned.wait()

        assert [call["status"] for call in asked] == [True, False]
        assert state_of(hass, DND) == "off"

    async def test_running_the_set_script_by_hand_refuses_its_changes(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """It is not a hook then, and busy for the change that it makes."""
        await load_scripts(hass, dfks_set=script(TURN_DND_ON))
        with pytest.raises(HomeAssistantError, match="already running"):
            await hass.services.async_call("script", "dfks_set", blocking=True)

        assert state_of(hass, DND) == "off"


def fail() -> None:
    """Fail as an action may."""
    raise HomeAssistantError("no")


async def start(hass: HomeAssistant) -> None:
    """Let Home Assistant have started."""
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await hass.async_block_till_done()


class TestStart:
    """While scripts are not loaded yet."""

    @pytest.fixture(autouse=True)
    def starting(self, hass: HomeAssistant) -> Iterator[None]:
        """Let Home Assistant start, with scripts configured."""
        hass.set_state(CoreState.not_running)
        async_set_domains_to_be_loaded(hass, {"script"})
        yield
        hass.set_state(CoreState.running)

    async def test_state_and_changes_wait_for_scripts(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        open_phone: OpenPhone,
    ) -> None:
        """The SUBSCRIBEs get their 200; the NOTIFYs come when all has started."""
        listener = await set_up(hass, entry)
        phone = await open_phone(told=False)
        assert (await phone.set_dnd(True)).status == 200
        turning = asyncio.create_task(turn(hass, WORKSHOP_DND, "on"))
        await load_scripts(
            hass,
            dfks_set=script(*answer(refuse="no")),
            dfks_get=script(
                *answer(
                    status="{{ feature == 'CallForwardingAlways' }}",
                    value={"forwardTo": "300"},
                )
            ),
        )
        assert (await phone.options()).status == 200
        assert phone.notifications == []
        assert not turning.done()

        await start(hass)
        told = await phone.notification()
        assert told.features[desk.ALWAYS].on
        assert not (await phone.notification()).features[desk.DND].on
        with pytest.raises(ServiceValidationError, match="refused: no"):
            await turning
        assert listener.sync.queue.idle

    async def test_without_scripts_nothing_waits_longer_than_for_them(
        self, hass: HomeAssistant, entry: MockConfigEntry, open_phone: OpenPhone
    ) -> None:
        """As soon as it is known that there are none."""
        await set_up(hass, entry)
        phone = await open_phone(told=False)
        assert (await phone.options()).status == 200
        assert phone.notifications == []

        await load_scripts(hass, other=script())
        assert len((await phone.notification()).features) == 4
        assert hass.state is CoreState.not_running

    async def test_waits_thirty_seconds_at_most(
        self, hass: HomeAssistant, entry: MockConfigEntry, open_phone: OpenPhone
    ) -> None:
        """Then changes are refused, because the script that was chosen is missing."""
        entry.add_to_hass(hass)
        hass.config_entries.async_update_entry(entry, options={"set_script": "mine"})
        await set_up(hass, entry)
        phone = await open_phone(told=False)
        assert (await phone.set_dnd(True)).status == 200
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=20))
        assert (await phone.options()).status == 200
        assert phone.notifications == []

        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
        assert len((await phone.notification()).features) == 4
        assert not (await phone.notification()).features[desk.DND].on
        assert issue(hass) == "set_script_missing"
