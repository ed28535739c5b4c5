"""The calls of a line at a PBX that synchronizes keys, as its phones report them."""

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
import pytest

from tests.pbx import KeyPbx
from tests.phone.action_urls import MAKES, ReportingPhone, get

from .common import MockConfigEntry, state_of
from .followed import DND, OFFICE, entry, key_pbx, office_form, wait_for
from .forms import placeholders, submit, suggested

__all__ = ["entry", "key_pbx"]

CALL = "sensor.office_call"
CALL_EVENT = "event.office_call"


@pytest.fixture
async def web(hass: HomeAssistant, web: str) -> str:
    """Return where Home Assistant's web server is, once the line is followed."""
    await wait_for(hass, DND, "off")
    return web


async def reconfigure(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    key_pbx: KeyPbx,
    vendor: str = "yealink",
    *,
    on: bool = True,
    **changes: object,
) -> tuple[str, dict[str, str]]:
    """Turn the option on or off; return which page comes and what it is filled with."""
    shown = await entry.start_subentry_reconfigure_flow(hass, OFFICE)
    form = office_form(
        key_pbx.address[1], calls={"see_calls": on, "vendor": vendor}, **changes
    )
    result = await submit(hass, shown, form)
    assert result["type"] is FlowResultType.ABORT, result.get("errors")
    await hass.async_block_till_done()
    return result["reason"], placeholders(result)


def entities(hass: HomeAssistant) -> set[str]:
    """Return the entities of calls that there are."""
    registry = er.async_get(hass)
    return {name for name in (CALL, CALL_EVENT) if registry.async_get(name)}


@pytest.mark.parametrize("vendor", MAKES)
async def test_a_phone_of_the_line_reports_a_call(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx, vendor: str
) -> None:
    """By what its page has said; nothing of the call passes here."""
    page, words = await reconfigure(hass, entry, key_pbx, vendor)
    assert page == "reconfigured_calls"
    settings = words["action_urls"].replace("```", "")
    phone = ReportingPhone(MAKES[vendor], settings)
    await phone.rings("+4930123")
    await hass.async_block_till_done()
    state = hass.states.get(CALL)
    assert state is not None
    assert (state.state, state.attributes["number"]) == ("ringing", "+4930123")
    await phone.picks_up()
    await phone.hangs_up()
    await hass.async_block_till_done()
    event = hass.states.get(CALL_EVENT)
    assert event is not None
    assert event.attributes["event_type"] == "ended"


async def test_calls_are_not_seen_at_first(
    hass: HomeAssistant, entry: MockConfigEntry, web: str
) -> None:
    """The form says so, and there is no entity."""
    shown = await entry.start_subentry_reconfigure_flow(hass, OFFICE)
    assert suggested(shown)["see_calls"] is False
    assert entities(hass) == set()


async def test_entities_come_and_go_with_the_option(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx
) -> None:
    """And the address goes with them: the next one is another."""
    _, first = await reconfigure(hass, entry, key_pbx)
    assert entities(hass) == {CALL, CALL_EVENT}
    assert state_of(hass, CALL) == "idle"
    page, words = await reconfigure(hass, entry, key_pbx, on=False)
    assert (page, words) == ("reconfigure_successful", {})
    assert entities(hass) == set()
    address = first["webhook"].strip("`")
    assert await get(f"{address}?event=incoming") == 200
    _, second = await reconfigure(hass, entry, key_pbx)
    assert second["webhook"] != first["webhook"]


async def test_the_address_stays_with_another_change(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx
) -> None:
    """It is typed into the phones by then."""
    _, first = await reconfigure(hass, entry, key_pbx)
    _, second = await reconfigure(hass, entry, key_pbx, name="Reception")
    assert second["webhook"] == first["webhook"]


async def test_the_page_warns_of_a_certificate_and_has_what_phones_log_in_with(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx
) -> None:
    """Where both are wanted."""
    hass.config.internal_url = "https://house.example:8123"
    phones = {"serve": True, "phone_password": "secret"}
    page, words = await reconfigure(hass, entry, key_pbx, phones=phones)
    assert page == "reconfigured_phones_calls_https"
    assert words["password"] == "`secret`"
    page, _ = await reconfigure(hass, entry, key_pbx, phones={"serve": False})
    assert page == "reconfigured_calls_https"


async def test_calls_are_seen_after_a_restart(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx
) -> None:
    """At the same address; a call of before is forgotten."""
    _, words = await reconfigure(hass, entry, key_pbx)
    address = words["webhook"].strip("`")
    assert await get(f"{address}?event=incoming&number=202") == 200
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert state_of(hass, CALL) == "idle"
    assert await get(f"{address}?event=incoming&number=202") == 200
    await hass.async_block_till_done()
    assert state_of(hass, CALL) == "ringing"


async def test_a_line_that_is_removed_takes_its_address_along(
    hass: HomeAssistant, entry: MockConfigEntry, web: str, key_pbx: KeyPbx
) -> None:
    """A phone that goes on reporting is told nothing."""
    await reconfigure(hass, entry, key_pbx)
    assert hass.data["webhook"]
    hass.config_entries.async_remove_subentry(entry, OFFICE)
    await hass.async_block_till_done()
    assert not hass.data["webhook"]
    assert entities(hass) == set()
