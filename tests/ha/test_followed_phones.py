"""Phones that log in here for a line at a PBX that synchronizes keys."""

from typing import Any

from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.dfks.const import DOMAIN, PHONE_KEYS
from custom_components.dfks.listener import DfksListener
from tests.pbx import KeyPbx
from tests.phone import DND as KEY, Phone

from .common import (
    BOTH_LINES,
    LOCALHOST,
    MockConfigEntry,
    device_of,
    get_diagnostics_for_config_entry,
    listener_entry,
    set_up,
    state_of,
    turn,
)
from .followed import (
    CHANGE,
    DND,
    OFFICE,
    STATUS,
    Submit,
    add_office,
    key_pbx,
    names_user,
    office,
    office_data,
    office_form,
    pbx_port,
    wait_for,
)
from .forms import placeholders, show_form, submit, suggested

__all__ = ["add_office", "key_pbx", "pbx_port"]

OURS = "a password of ours"
CONNECTED = "binary_sensor.office_phone_connected"


def desk(port: int, password: str = OURS) -> Phone:
    """Return a phone that has Home Assistant as its server."""
    return Phone("501", password, (LOCALHOST, port), user_agent="Yealink SIP-T46U 1.2")


async def watch(phone: Phone) -> None:
    """Register and subscribe."""
    assert (await phone.register()).status == 200
    assert (await phone.subscribe()).status == 200
    await phone.notification()


class TestPhones:
    """What a user sees of them."""

    @pytest.fixture
    def entry(self, port: int, pbx_port: int) -> MockConfigEntry:
        """Return a listener with two lines here, and Office that phones log in for."""
        line = office(pbx_port, phone_password=OURS)
        return listener_entry(port, [*BOTH_LINES, line])

    @pytest.fixture
    async def ready(self, hass: HomeAssistant, listener: DfksListener) -> DfksListener:
        """Return the listener once the PBX has told the state."""
        await wait_for(hass, DND, "off")
        return listener

    async def test_a_key_goes_to_the_pbx_and_moves_the_switch(
        self, hass: HomeAssistant, ready: DfksListener, key_pbx: KeyPbx, port: int
    ) -> None:
        """And its author is the phone, once."""
        authors: list[str] = []

        @callback
        def keep(event: Event[Any]) -> None:
            authors.append(event.data["author"])

        hass.bus.async_listen("dfks_feature_changed", keep)
        async with desk(port) as phone:
            await watch(phone)
            assert (await phone.set_dnd(True)).status == 200
            await phone.until(lambda lamps: lamps[KEY].on)
            await wait_for(hass, DND, "on")
            await hass.async_block_till_done()

        assert key_pbx.states["501"]["DoNotDisturb"].on
        change = hass.states.get(CHANGE)
        assert change is not None
        assert change.attributes["who"] == "phone"
        assert len(authors) == 1

    async def test_a_switch_and_the_pbx_light_the_lamp(
        self, hass: HomeAssistant, ready: DfksListener, key_pbx: KeyPbx, port: int
    ) -> None:
        """Either way it is the PBX that says so."""
        async with desk(port) as phone:
            await watch(phone)
            await turn(hass, DND, "on")
            await phone.until(lambda lamps: lamps[KEY].on)
            key_pbx.set("501", "CallForwardingAlways", on=True, target="24")
            lamps = await phone.until(lambda lamps: lamps["CallForwardingAlways"].on)

        assert lamps["CallForwardingAlways"].target == "24"

    async def test_its_entities_are_those_of_any_line(
        self, hass: HomeAssistant, ready: DfksListener, port: int
    ) -> None:
        """The status says what the phone lacks, once the PBX tells its state."""
        assert state_of(hass, STATUS) == "waiting"
        assert state_of(hass, CONNECTED) == "off"
        async with desk(port) as phone:
            await watch(phone)
            await wait_for(hass, CONNECTED, "on")
            await wait_for(hass, STATUS, "synchronized")

            assert state_of(hass, "sensor.office_user_agent") == "Yealink SIP-T46U 1.2"
            device = device_of(hass, OFFICE)
            assert (device.manufacturer, device.model) == ("Yealink", "SIP-T46U")

    async def test_the_status_says_that_a_phone_has_a_wrong_password(
        self, hass: HomeAssistant, ready: DfksListener, port: int
    ) -> None:
        """As of any line."""
        async with desk(port, "wrong") as phone:
            await phone.register()

        await wait_for(hass, STATUS, "wrong_password")

    async def test_the_status_says_what_keeps_the_pbx_first(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        port: int,
    ) -> None:
        """A key is refused with a reason then, and the subscription stays."""
        key_pbx.refuses = 403
        await set_up(hass, entry)
        async with desk(port) as phone:
            await watch(phone)
            await wait_for(hass, STATUS, "pbx_refused")
            response = await phone.set_dnd(True)

        assert response.status == 503
        assert state_of(hass, DND) == "unavailable"
        assert state_of(hass, CONNECTED) == "on"

    async def test_phones_go_on_after_a_restart(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        ready: DfksListener,
        key_pbx: KeyPbx,
        port: int,
    ) -> None:
        """With their subscription; they are told what has changed meanwhile."""
        async with desk(port) as phone:
            await watch(phone)
            await hass.config_entries.async_unload(entry.entry_id)
            key_pbx.set("501", "DoNotDisturb", on=True)
            await hass.config_entries.async_setup(entry.entry_id)
            await phone.until(lambda lamps: lamps[KEY].on)
            await wait_for(hass, CONNECTED, "on")

            assert state_of(hass, "sensor.office_user_agent") == "Yealink SIP-T46U 1.2"

    async def test_diagnostics_show_them_without_a_secret(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        ready: DfksListener,
        hass_client: Any,
        port: int,
    ) -> None:
        """Neither password nor user."""
        async with desk(port) as phone:
            await watch(phone)
            found = await get_diagnostics_for_config_entry(hass, hass_client, entry)

        (line,) = found["followed"].values()
        assert line["sync_status"] == "synchronized"
        assert len(line["watchers"]) == 1
        assert line["phone_password"] == "**REDACTED**"
        assert OURS not in str(found)
        assert not names_user(found["followed"])


class TestForm:
    """The section of the form."""

    async def test_shows_what_to_type_into_a_phone(
        self, hass: HomeAssistant, add_office: Submit, port: int
    ) -> None:
        """With a password that is made up where none is entered."""
        result = await add_office(serve=True)

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["description"] == "phones"
        password = result["data"]["phone_password"]
        assert len(password) == 16
        words = placeholders(result)
        assert words["password"] == f"`{password}`"
        assert words["user"] == "`501`"
        assert str(port) in words["port"]
        await wait_for(hass, DND, "off")
        async with desk(port, password) as phone:
            await watch(phone)

    async def test_a_line_that_nobody_logs_in_for_has_no_password_of_ours(
        self, add_office: Submit, pbx_port: int
    ) -> None:
        """Whatever was typed."""
        result = await add_office(serve=False, phone_password=OURS)

        assert result["data"] == office_data(pbx_port)
        assert result["description"] is None

    async def test_says_that_the_password_cannot_be(
        self, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """Before the PBX is asked."""
        result = await add_office(serve=True, phone_password="a\tb")

        assert result["errors"] == {"phones": "invalid_password"}
        assert key_pbx.requests == []

    async def test_refuses_a_user_that_phones_of_another_line_have(
        self, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """That line has a state of its own. Without phones here there is no harm."""
        key_pbx.users["201"] = "secret-201"
        key_pbx.states["201"] = dict(key_pbx.states["501"])
        result = await add_office(user="201", password="secret-201", serve=True)
        assert result["errors"] == {"user": "user_in_use"}
        assert placeholders(result)["line"] == "Reception"

        result = await add_office(user="201", password="secret-201")
        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.parametrize(
        ("change", "errors"),
        [
            ({"user": "501"}, {"user": "user_in_use"}),
            ({"user": "301", "auth_name": "501"}, {"login": "auth_name_in_use"}),
        ],
    )
    async def test_another_line_cannot_take_the_user(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        add_office: Submit,
        change: dict[str, str],
        errors: dict[str, str],
    ) -> None:
        """Neither as user nor as authentication name."""
        await add_office(serve=True)
        shown = await show_form(hass, entry, "line")
        form = {"name": "Hall", "vendor": "other", **change}
        result = await submit(hass, shown, form)

        assert result["errors"] == errors
        assert placeholders(result)["line"] == "Office"

    async def test_phones_may_log_in_later_or_no_more(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        add_office: Submit,
        pbx_port: int,
        port: int,
        entity_registry: er.EntityRegistry,
    ) -> None:
        """Their entities come and go; the password is kept where none is typed."""
        await add_office()
        await wait_for(hass, DND, "off")
        (line_id,) = entry.subentries.keys() - {"reception", "workshop"}

        async def change(**fields: object) -> Any:
            shown = await entry.start_subentry_reconfigure_flow(hass, line_id)
            assert "phone_password" not in suggested(shown)
            form = office_form(pbx_port, password=None, **fields)
            result = await submit(hass, shown, form)
            await hass.async_block_till_done()
            return result

        result = await change(serve=True, phone_password=OURS)
        assert result["reason"] == "reconfigured_phones"
        async with desk(port) as phone:
            await watch(phone)
            await wait_for(hass, CONNECTED, "on")
            result = await change(serve=True)
            assert placeholders(result)["password"] == f"`{OURS}`"
            assert hass.states.get(CONNECTED) is not None

            result = await change(serve=False)
            told = await phone.notification()

        assert result["reason"] == "reconfigure_successful"
        assert told.state == "terminated"
        assert hass.states.get(CONNECTED) is None
        assert not any(
            entity.unique_id.endswith(PHONE_KEYS)
            for entity in er.async_entries_for_config_entry(
                entity_registry, entry.entry_id
            )
            if entity.config_subentry_id == line_id
        )
        assert hass.config_entries.async_entries(DOMAIN) == [entry]
