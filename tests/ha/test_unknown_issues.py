"""Phones that are not known are shown in Repairs, from where their lines are added."""

from datetime import timedelta
from typing import Any

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.unknown_issues import MAX_ISSUES, SHOWN

from .common import MockConfigEntry, async_fire_time_changed
from .conftest import Plug, try_to_register
from .forms import add_gate, submit, suggested


def issues(hass: HomeAssistant) -> list[ir.IssueEntry]:
    """Return the issues of unknown phones."""
    return [
        issue
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN and issue.translation_key == "unknown_phone"
    ]


async def open_fix(hass: HomeAssistant) -> tuple[Any, Any]:
    """Open the fix of the only issue; returns what runs fixes, and what is shown."""
    await async_setup_component(hass, REPAIRS, {})
    await hass.async_block_till_done()
    (issue,) = issues(hass)
    repairs = hass.data[REPAIRS]["flow_manager"]
    context = {"issue_id": issue.issue_id}
    return repairs, await repairs.async_init(DOMAIN, context=context)


class TestIssue:
    """What is shown."""

    async def test_says_who_wants_in(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """By maker, model, address and user."""
        await try_to_register(plug, "203")

        (issue,) = issues(hass)
        assert issue.is_fixable
        assert issue.translation_placeholders == {
            "phone": "Yealink SIP-T46U",
            "source": "127.0.0.1",
            "user": "203",
        }

    async def test_phone_without_a_name_is_a_phone(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """In Home Assistant's language."""
        await try_to_register(plug, "203", "")

        (issue,) = issues(hass)
        assert issue.translation_placeholders is not None
        assert issue.translation_placeholders["phone"] == "Phone"

    async def test_has_neither_user_nor_address_in_its_id(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """Diagnostics list the ids."""
        await try_to_register(plug, "98765")

        (issue,) = issues(hass)
        assert "98765" not in issue.issue_id
        assert "127" not in issue.issue_id.split("_")[0]

    async def test_phone_that_has_no_password_is_not_shown(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """Its address may be made up."""
        phone = await plug(user="203", password="")
        await phone.register(authenticate=False)

        assert issues(hass) == []

    async def test_is_one_for_each_user_and_address(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """However often it is tried."""
        for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
            await try_to_register(plug, "203", address=address)

        assert len(issues(hass)) == 2

    async def test_are_few(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """The first stay; whoever tries many users does not fill the page."""
        for number in range(MAX_ISSUES + 2):
            await try_to_register(plug, f"30{number}", address=f"127.0.0.{number + 1}")

        users = {
            str((issue.translation_placeholders or {})["user"])
            for issue in issues(hass)
        }
        assert users == {f"30{number}" for number in range(MAX_ISSUES)}

    async def test_goes_when_the_line_is_there(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """At whatever address its phone is, and whoever added it."""
        await try_to_register(plug, "203")
        await try_to_register(plug, "203", address="127.0.0.2")
        await try_to_register(plug, "300")
        await add_gate(hass, entry)

        (left,) = issues(hass)
        assert (left.translation_placeholders or {})["user"] == "300"

    async def test_goes_by_itself(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """And makes room; a phone that still tries is shown anew."""
        await try_to_register(plug, "203")
        later = dt_util.utcnow() + timedelta(seconds=SHOWN + 1)
        async_fire_time_changed(hass, later)
        await hass.async_block_till_done()
        assert issues(hass) == []

        await try_to_register(plug, "203")
        assert len(issues(hass)) == 1

    async def test_goes_with_the_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """There is nothing to add a line to."""
        await try_to_register(plug, "203")
        await hass.config_entries.async_unload(entry.entry_id)

        assert issues(hass) == []


class TestFix:
    """What Repairs does about it."""

    async def test_goes_on_with_the_form_filled_in(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """User and vendor; name and area are the user's to say."""
        await try_to_register(plug, "203")
        repairs, shown = await open_fix(hass)
        assert (shown["type"], shown["step_id"]) == (FlowResultType.FORM, "confirm")
        done = await repairs.async_configure(shown["flow_id"], {})

        assert (done["type"], done["reason"]) == (FlowResultType.ABORT, "add_line")
        kind, flow_id = done["next_flow"]
        assert kind == "config_subentries_flow"
        form = hass.config_entries.subentries.async_get(flow_id)
        assert form["step_id"] == "user"
        form = await hass.config_entries.subentries.async_configure(flow_id)
        assert suggested(form)["user"] == "203"
        assert suggested(form)["vendor"] == "yealink"
        assert "name" not in suggested(form)
        assert len(issues(hass)) == 1

        result = await submit(hass, form, {"name": "Gate", "user": "203"})
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert issues(hass) == []

    async def test_has_the_user_though_the_phone_fell_off_the_list(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """Its vendor is not known then."""
        await try_to_register(plug, "203")
        listener.monitor.unknown_phones._unknown_phones.clear()
        repairs, shown = await open_fix(hass)
        done = await repairs.async_configure(shown["flow_id"], {})
        form = await hass.config_entries.subentries.async_configure(
            done["next_flow"][1]
        )

        assert suggested(form)["user"] == "203"
        assert "vendor" not in suggested(form)

    async def test_says_when_the_listener_is_off(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """It was unloaded while the dialog was open."""
        await try_to_register(plug, "203")
        repairs, shown = await open_fix(hass)
        await hass.config_entries.async_unload(entry.entry_id)
        done = await repairs.async_configure(shown["flow_id"], {})

        assert (done["type"], done["reason"]) == (FlowResultType.ABORT, "not_loaded")
