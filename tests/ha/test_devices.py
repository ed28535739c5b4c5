"""The page of a line's device: what its phone is, and where its web page is."""

import logging
from typing import Any

from homeassistant.core import HomeAssistant, State
import pytest
from pytest_homeassistant_custom_component.common import mock_restore_cache  # type: ignore[import-untyped]

from custom_components.dfks.devices import DevicePage
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.description import describe

from .common import (
    RECEPTION,
    RECEPTION_DATA,
    SYNC_STATUS,
    YEALINK,
    MockConfigEntry,
    device_of,
    line,
    line_data,
    listener_entry,
    set_up,
    state_of,
)
from .conftest import Plug
from .forms import add_gate, submit

GENERIC = DevicePage("DFKS", "SIP phone line")
HERE = "http://127.0.0.1"
PROXY = "<sip:127.0.0.1:5099;lr>"


def page(hass: HomeAssistant) -> DevicePage:
    """Return what the page of the line's device says."""
    device = device_of(hass)
    return DevicePage(*(getattr(device, field) for field in DevicePage._fields))


async def plug_in(plug: Plug, user_agent: str = YEALINK, **how: Any) -> None:
    """Plug a phone in that registers, and wait until the listener has seen it."""
    phone = await plug(user_agent=user_agent, **how)
    await phone.register()
    await phone.options()


@pytest.mark.parametrize(
    ("user_agent", "manufacturer", "model", "firmware"),
    [
        ("Yealink SIP-T46S 66.85.0.5", "Yealink", "SIP-T46S", "66.85.0.5"),
        (
            "Yealink SIP-T53W 96.87.0.16 805ec0112233",
            "Yealink",
            "SIP-T53W",
            "96.87.0.16",
        ),
        ("PolycomVVX-VVX_450-UA/6.4.3.5018", "Poly", "VVX 450", "6.4.3.5018"),
        (
            "PolyEdge-Edge_E350-UA/8.3.1.0614_64167f112233",
            "Poly",
            "Edge E350",
            "8.3.1.0614",
        ),
        ("Grandstream GXP2140 1.0.7.97", "Grandstream", "GXP2140", "1.0.7.97"),
        ("Cisco-CP-8865-3PCC/12.0.3", "Cisco", "CP-8865-3PCC", "12.0.3"),
        ("Cisco-CP7975G/9.4.2", "Cisco", "CP7975G", "9.4.2"),
        ("Cisco/SPA504G-7.6.2c", "Cisco", "SPA504G", "7.6.2c"),
        ("Fanvil X303 2.12.18.9 0c383e000000", "Fanvil", "X303", "2.12.18.9"),
        ("snomD785/10.1.84.12", "Snom", "D785", "10.1.84.12"),
        ("snom821/873_19_20130321", "Snom", "821", "873_19_20130321"),
        ("Mitel-6920-SIP/6.4.0.140", "Mitel", "6920", "6.4.0.140"),
        ("Gigaset N870 IP PRO/83.V2.11.0", "Gigaset", "N870 IP PRO", "83.V2.11.0"),
        ("N610 IP PRO/83.1", "Gigaset", "N610 IP PRO", "83.1"),
        ("Htek UC924E V3.0.4.5", "Htek", "UC924E", "3.0.4.5"),
        ("Desk/1.0", None, "Desk", "1.0"),
        ("Something else", None, "Something else", None),
    ],
)
def test_phones_say_what_they_are(
    user_agent: str, manufacturer: str | None, model: str, firmware: str | None
) -> None:
    """Each in its own way."""
    assert describe(user_agent) == (manufacturer, model, firmware)


@pytest.mark.parametrize("user_agent", [None, "", "\u202e\n"])
def test_phone_that_says_nothing_is_not_described(user_agent: str | None) -> None:
    """Nor one whose name cannot be shown."""
    assert describe(user_agent) is None


class TestPage:
    """What stands under the name of the device."""

    async def test_before_a_phone_came(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """There is nothing to visit."""
        assert page(hass) == GENERIC

    async def test_in_german(self, hass: HomeAssistant, entry: MockConfigEntry) -> None:
        """What is no phone's own name is translated."""
        hass.config.language = "de"
        await set_up(hass, entry)

        assert page(hass).model == "SIP-Telefonleitung"

    async def test_names_the_phone(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """With its firmware and a link to its web page."""
        await plug_in(plug)

        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", HERE)

    async def test_follows_a_new_firmware(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """Once the phone says so."""
        phone = await plug(user_agent=YEALINK)
        await phone.register()
        phone.user_agent = "Yealink SIP-T46U 108.87.0.1"
        await phone.register()
        await phone.options()

        assert page(hass).sw_version == "108.87.0.1"

    async def test_of_a_line_that_came_later(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Without a reload."""
        await add_gate(hass, entry)
        await plug_in(plug, user="203", password="gate-203")
        (gate,) = (one for one in entry.subentries.values() if one.title == "Gate")

        assert device_of(hass, gate.subentry_id).model == "SIP-T46U"

    async def test_phone_that_went_has_no_address(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """It is still the line's phone; its address may be another's by then."""
        phone = await plug(user_agent=YEALINK)
        await phone.register()
        await phone.unregister()
        await phone.options()

        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", None)

    async def test_outlives_a_restart(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """With what is remembered of the phone."""
        phone = await plug(user_agent=YEALINK)
        await phone.register()
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", HERE)

        await phone.unregister()
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", None)

    async def test_of_several_phones_is_that_of_the_line(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """There is no saying which to visit."""
        for user_agent in (YEALINK, "snomD785/10.1.84.12"):
            await plug_in(plug, user_agent)

        assert page(hass) == GENERIC

    async def test_of_two_of_a_kind_is_that_of_the_line(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """At two addresses."""
        for address in ("127.0.0.1", "127.0.0.2"):
            await plug_in(plug, local=(address, 0))

        assert page(hass) == GENERIC

    async def test_proxy_is_nothing_to_visit(
        self, hass: HomeAssistant, port: int, plug: Plug
    ) -> None:
        """Phones behind it are shown without an address."""
        lines = [line_data(RECEPTION, "Reception", RECEPTION_DATA)]
        options = {"trusted_proxies": "127.0.0.1"}
        await set_up(hass, listener_entry(port, lines, options=options))
        await plug_in(plug)

        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", None)

    async def test_proxy_that_registers_itself_is_nothing_to_visit(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """One that nobody has named is between where it is on the way back (Path)."""
        phone = await plug(user_agent=YEALINK)
        way = [("Supported", "path"), ("Path", PROXY)]
        contact = [("Contact", phone.contact), ("Expires", "600")]
        response = await phone.request(
            "REGISTER",
            uri=phone.server_uri,
            dialog=phone.registration,
            headers=way + contact,
        )
        await phone.options()

        assert response.status == 200
        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", None)

    async def test_proxy_of_a_subscription_is_nothing_to_visit(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """Nor is one that stays on the way of the notifications (Record-Route)."""
        phone = await plug(user_agent=YEALINK)
        response = await phone.subscribe(headers=[("Record-Route", PROXY)])
        await phone.options()

        assert response.status == 200
        assert page(hass) == ("Yealink", "SIP-T46U", "108.86.0.20", None)

    async def test_is_not_written_for_nothing(
        self, hass: HomeAssistant, listener: DfksListener, plug: Plug
    ) -> None:
        """A phone speaks far more often than it is another one."""
        phone = await plug(user_agent=YEALINK)
        await phone.register()
        written = device_of(hass).modified_at
        await phone.register()
        await phone.options()

        assert device_of(hass).modified_at == written


class TestWrongPassword:
    """What keeps a phone away is not forgotten by a restart."""

    async def test_is_remembered(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Until the phone says something."""
        mock_restore_cache(hass, [State(SYNC_STATUS, "wrong_password")])
        await set_up(hass, entry)

        assert state_of(hass, SYNC_STATUS) == "wrong_password"

    async def test_ends_with_the_right_one(
        self, hass: HomeAssistant, entry: MockConfigEntry, plug: Plug
    ) -> None:
        """As if there had been no restart."""
        mock_restore_cache(hass, [State(SYNC_STATUS, "wrong_password")])
        await set_up(hass, entry)
        phone = await plug()
        await phone.register()
        await phone.subscribe()
        await phone.options()

        assert state_of(hass, SYNC_STATUS) == "synchronized"

    async def test_ends_with_another_in_the_form(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """The phone may have that one."""
        mock_restore_cache(hass, [State(SYNC_STATUS, "wrong_password")])
        await set_up(hass, entry)
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        form = {"name": "Reception", "user": "201", "password": "another"}
        await submit(hass, shown, form)

        assert state_of(hass, SYNC_STATUS) == "waiting"

    async def test_is_not_recalled_once_the_phone_was_heard(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """It may come before the sensor is there."""
        await plug_in(plug, "Desk/1.0")
        listener.monitor.phone(line(entry)).recall_refusal()

        assert state_of(hass, SYNC_STATUS) == "waiting"

    async def test_another_status_is_found_anew(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """It follows from what is remembered of the phone."""
        mock_restore_cache(hass, [State(SYNC_STATUS, "synchronized")])
        await set_up(hass, entry)

        assert state_of(hass, SYNC_STATUS) == "waiting"


class TestLog:
    """One line when the last phone of a line goes, and one when a phone comes."""

    async def test_says_when_a_phone_comes_and_goes(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        plug: Plug,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """By the name of the line; a second phone is nothing new."""
        caplog.set_level(logging.INFO, "custom_components.dfks")
        phones = [await plug() for _ in range(2)]
        for phone in phones:
            await phone.register()
            await phone.subscribe()
        for phone in phones:
            await phone.unsubscribe()
            await phone.options()

        said = [
            record.getMessage()
            for record in caplog.records
            if record.name == "custom_components.dfks.listener"
            and record.levelno == logging.INFO
        ]
        assert said == [
            "The phone of Reception is there",
            "The phone of Reception is gone",
        ]
