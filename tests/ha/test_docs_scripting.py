"""The examples of docs/scripting.md and docs/actions.md, each run as it stands there."""

import asyncio
from datetime import timedelta
import logging
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    label_registry as lr,
)
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import parse_yaml
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.services import (
    SERVICE_GET_FEATURES,
    SERVICE_RELEASE,
    SERVICE_SET_FEATURE,
)
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
    WORKSHOP_DATA,
    WORKSHOP_DND,
    device_of,
    line_data,
    listener_entry,
    set_up,
    state_of,
    turn,
    write_text,
)
from .conftest import OpenPhone
from .scripts import lamps_after, load_scripts, nothing_told, script

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> dict[str, Any]:
    """Return the YAML of a page, by the heading that it stands under."""
    found: dict[str, Any] = {}
    heading = ""
    text = (DOCS / page).read_text()
    for match in re.finditer(
        r"^#+ ([^\n]+)$|^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if match[1]:
            heading = match[1]
        else:
            assert heading not in found, f"a second example under {heading}"
            found[heading] = parse_yaml(match[2])
    return found


SCRIPTING = blocks("scripting.md")
ACTIONS = blocks("actions.md")


async def run(hass: HomeAssistant, heading: str) -> None:
    """Run the actions of an example."""
    assert await async_setup_component(hass, "persistent_notification", {})
    await load_scripts(hass, example=script(*ACTIONS[heading]))
    await hass.services.async_call("script", "example", blocking=True)


def shown(hass: HomeAssistant) -> str:
    """Return the text of the notification that an example has made."""
    notifications: dict[str, Any] = hass.data["persistent_notification"]
    (notification,) = notifications.values()
    message: str = notification["message"]
    return message


class TestScripting:
    """docs/scripting.md."""

    async def test_forbid_call_forwarding_always(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """On the phone, at the switch; all else goes."""
        await load_scripts(hass, **SCRIPTING["Forbid call forwarding always"])
        phone = await open_phone()
        told = await lamps_after(phone, phone.set_forward("always", True, "2424"))
        assert told.features == {desk.ALWAYS: desk.Lamp(False)}
        told = await lamps_after(phone, phone.set_forward("busy", True, "2424"))
        assert told.features == {desk.BUSY: desk.Lamp(True, "2424")}

        await write_text(hass, ALWAYS_TARGET, "2424")
        with pytest.raises(ServiceValidationError, match="are not forwarded always"):
            await turn(hass, ALWAYS, "on")
        assert state_of(hass, ALWAYS) == "off"

    async def test_forward_only_to_internal_numbers(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Whichever way a number comes in; off is always possible."""
        phone = await open_phone()
        await lamps_after(phone, phone.set_forward("busy", True, "0900123456"))
        await load_scripts(hass, **SCRIPTING["Forward only to internal numbers"])
        told = await lamps_after(phone, phone.set_forward("busy", False))
        assert told.features == {desk.BUSY: desk.Lamp(False, "0900123456")}
        told = await lamps_after(phone, phone.set_forward("busy", True))
        assert told.features == {desk.BUSY: desk.Lamp(False, "0900123456")}
        told = await lamps_after(phone, phone.set_forward("busy", True, "303"))
        assert told.features == {desk.BUSY: desk.Lamp(True, "303")}

        target = ALWAYS_TARGET.replace("always", "busy")
        with pytest.raises(ServiceValidationError, match="3030 is not an internal"):
            await write_text(hass, target, "3030")
        with pytest.raises(ServiceValidationError, match=r"pbx\.example is not"):
            await write_text(hass, target, "sip:303@pbx.example")
        await write_text(hass, target, "304")
        assert (await phone.notification()).features == {
            desk.BUSY: desk.Lamp(True, "304")
        }
        await lamps_after(phone, phone.set_dnd(True))
        assert state_of(hass, DND) == "on"

    async def test_the_pair_of_the_opensips_manual(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What the routes of the manual do."""
        assert await async_setup_component(hass, "system_log", {})
        caplog.set_level(logging.INFO)
        await load_scripts(hass, **SCRIPTING["The pair of the OpenSIPS manual"])
        phone = await open_phone()
        assert phone.features == {
            desk.DND: desk.Lamp(False),
            desk.BUSY: desk.Lamp(False),
            desk.NO_ANSWER: desk.Lamp(True, "sip:bob@10.0.0.11", 3),
        }
        assert (state_of(hass, NO_ANSWER), state_of(hass, RINGS)) == ("on", "3")
        assert state_of(hass, NO_ANSWER_TARGET) == "sip:bob@10.0.0.11"

        told = await lamps_after(phone, phone.set_forward("always", True, "2424"))
        assert told.features == {desk.ALWAYS: desk.Lamp(False, "2424")}
        assert (
            "New status: False for feature 'CallForwardingAlways' of user "
            "'sip:201@homeassistant'"
        ) in caplog.text
        told = await lamps_after(phone, phone.set_dnd(True))
        assert told.features == {desk.DND: desk.Lamp(True)}

        await lamps_after(phone, phone.set_forward("no-answer", False))
        told = await lamps_after(phone, phone.refresh())
        assert told.features[desk.NO_ANSWER].on

    async def test_do_not_disturb_for_a_whole_group(
        self, hass: HomeAssistant, port: int, open_phone: OpenPhone
    ) -> None:
        """Reception and Workshop are of the team, Gate is not."""
        gate = {**WORKSHOP_DATA, "user": "203"}
        listener = await set_up(
            hass,
            listener_entry(
                port,
                [
                    line_data("reception", "Reception", {**WORKSHOP_DATA, **RECEPTION}),
                    line_data(WORKSHOP, "Workshop", WORKSHOP_DATA),
                    line_data("gate", "Gate", gate),
                ],
            ),
        )
        label = lr.async_get(hass).async_create("Sales")
        devices = dr.async_get(hass)
        for line_id in ("reception", WORKSHOP):
            device = device_of(hass, line_id)
            devices.async_update_device(device.id, labels={label.label_id})
        name = "Do not disturb for a whole group"
        await load_scripts(hass, **SCRIPTING[name])
        reception, workshop = await open_phone(), await open_phone(WORKSHOP)

        for pressing, other, on in (
            (reception, workshop, True),
            (workshop, reception, False),
        ):
            told = await lamps_after(pressing, pressing.set_dnd(on))
            assert told.features == {desk.DND: desk.Lamp(on)}
            assert (await other.notification()).features == told.features
            await nothing_told(listener, pressing)
            await nothing_told(listener, other)
        await turn(hass, DND, "on")
        assert state_of(hass, WORKSHOP_DND) == "on"
        assert state_of(hass, "switch.gate_do_not_disturb") == "off"

        await turn(hass, "switch.gate_do_not_disturb", "on")
        await turn(hass, DND, "off")
        assert state_of(hass, "switch.gate_do_not_disturb") == "on"
        await lamps_after(reception, reception.set_forward("busy", True, "1"))


RECEPTION = {"user": "201", "password": "reception-201"}


class TestActions:
    """docs/actions.md."""

    async def test_one_step_for_target_and_status(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The phone hears of both at once."""
        phone = await open_phone()
        await run(hass, "One step for target and status")

        lamp = desk.Lamp(True, "2424", 4)
        assert (await phone.notification()).features == {desk.NO_ANSWER: lamp}

    async def test_as_in_opensips(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The example of the manual."""
        phone = await open_phone()
        await run(hass, "As in OpenSIPS")

        lamp = desk.Lamp(True, "sip:bob@10.0.0.11", 4)
        assert (await phone.notification()).features == {desk.NO_ANSWER: lamp}

    async def test_quiet_for_several_lines_and_who_heard_of_it(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The response counts phones."""
        await open_phone()
        await run(hass, "Quiet for several lines, and who heard of it")

        assert state_of(hass, DND) == state_of(hass, WORKSHOP_DND) == "on"
        assert shown(hass) == "Phones that heard of it: 1"

    @pytest.mark.parametrize("quiet", [True, False])
    async def test_who_does_not_want_to_be_disturbed(
        self, hass: HomeAssistant, listener: DfksListener, quiet: bool
    ) -> None:
        """By the names of the lines."""
        if quiet:
            await turn(hass, WORKSHOP_DND, "on")
        await run(hass, "Who does not want to be disturbed")

        assert shown(hass) == ("Workshop" if quiet else "Nobody")

    async def test_for_an_hour_or_until_a_time(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """For the lines of an area; the switch says until when."""
        office = ar.async_get(hass).async_create("Office")
        dr.async_get(hass).async_update_device(device_of(hass).id, area_id=office.id)
        before = dt_util.utcnow()
        await run(hass, "For an hour, or until a time")

        state = hass.states.get(DND)
        assert state is not None
        assert state.state == "on"
        until = dt_util.parse_datetime(state.attributes["until"])
        assert until is not None
        assert timedelta(hours=1) <= until - before < timedelta(hours=1, minutes=1)
        assert state_of(hass, WORKSHOP_DND) == "off"

    async def test_claims(self, hass: HomeAssistant, listener: DfksListener) -> None:
        """An unset target comes back as well."""
        hass.states.async_set("binary_sensor.meeting", "on")
        running = asyncio.create_task(run(hass, "Claims"))
        always = listener.sync.lines["reception"]
        forwarded = asyncio.Event()
        always.subscribe(lambda _: forwarded.set())
        async with asyncio.timeout(PATIENCE):
            await forwarded.wait()
        assert always.state(Feature.CALL_FORWARDING_ALWAYS).forward_to == "300"

        hass.states.async_set("binary_sensor.meeting", "off")
        await running
        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("off", "")


def slug(heading: str) -> str:
    """Return the name of the test of an example."""
    return "test_" + re.sub(r"\W+", "_", heading.lower()).strip("_")


@pytest.mark.parametrize(
    ("examples", "tests"), [(SCRIPTING, TestScripting), (ACTIONS, TestActions)]
)
def test_every_example_is_run(examples: dict[str, Any], tests: type) -> None:
    """None without a test, no test without its example."""
    assert {slug(heading) for heading in examples} == {
        name for name in vars(tests) if name.startswith("test_")
    }


def test_names_are_those_of_the_code() -> None:
    """Every feature, action, variable and key has its place in the pages."""
    scripting = (DOCS / "scripting.md").read_text()
    actions = (DOCS / "actions.md").read_text()
    for name in ("presentity", "feature", "status", "value", "param", "origin"):
        assert f"| `{name}` |" in scripting
    for feature in Feature:
        assert f"`{feature}`" in scripting
        assert f"`{feature}`" in actions
    for action in (SERVICE_SET_FEATURE, SERVICE_GET_FEATURES, SERVICE_RELEASE):
        assert f"## `{DOMAIN}.{action}`" in actions
