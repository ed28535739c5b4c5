"""Phones that report their calls: what they are told to call, and what comes of it."""

from typing import Any

from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request
from homeassistant.components import webhook
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
from homeassistant.util.aiohttp import MockRequest
import pytest

from custom_components.dfks.listener import DfksListener
from tests.clock import ManualClock
from tests.phone.action_urls import MAKES, ReportingPhone, get

from .common import (
    CALL,
    CALL_EVENT,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    get_diagnostics_for_config_entry,
    line_data,
    listener_entry,
    said,
    set_up,
    state_of,
)
from .forms import placeholders, show_line_form, submit
from .test_files import ENGLISH

HOOK = "0123456789abcdef0123456789abcdef"

SEEN = {**RECEPTION_DATA, "see_calls": True, "webhook_id": HOOK}


@pytest.fixture
def entry(port: int) -> MockConfigEntry:
    """Return a listener with the line Reception, whose phones report their calls."""
    return listener_entry(port, [line_data(RECEPTION, "Reception", SEEN)])


@pytest.fixture
async def diagnostics(hass: HomeAssistant) -> None:
    """Load what hands diagnostics out, before the web server starts."""
    assert await async_setup_component(hass, "diagnostics", {})


async def report(hass: HomeAssistant, web: str, query: str, hook: str = HOOK) -> int:
    """Call the webhook as a phone does; return the status of the answer."""
    status = await get(f"{web}/api/webhook/{hook}?{query}")
    await hass.async_block_till_done()
    return status


async def get_report(web: str, query: str) -> int:
    """Call the webhook and wait for nothing but the answer."""
    return await get(f"{web}/api/webhook/{HOOK}?{query}")


async def pages_of(
    hass: HomeAssistant, entry: MockConfigEntry, **changes: object
) -> tuple[str, dict[str, str]]:
    """Submit the form of the line; return which page comes and what it is filled with."""
    result = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
    form = {
        "name": "Reception",
        "user": "201",
        "vendor": "other",
        "calls": {"see_calls": True},
    }
    result = await submit(hass, result, {**form, **changes})
    assert result["type"] is FlowResultType.ABORT
    return result["reason"], placeholders(result)


def settings_of(words: dict[str, str]) -> str:
    """Return the settings on a page, as they are copied into a file."""
    return words["action_urls"].replace("```", "")


async def configured(
    hass: HomeAssistant, entry: MockConfigEntry, vendor: str
) -> ReportingPhone:
    """Return a vendor's phone that has been given what its page says."""
    _, words = await pages_of(hass, entry, vendor=vendor)
    return ReportingPhone(MAKES[vendor], settings_of(words))


class TestPhones:
    """A phone that has been given what the page says."""

    @pytest.mark.parametrize("vendor", MAKES)
    async def test_a_call_comes_is_held_and_ends(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str, vendor: str
    ) -> None:
        """Each vendor's, by its own settings and variables."""
        phone = await configured(hass, entry, vendor)
        assert phone.has_urls
        seen = []

        async def see() -> None:
            await hass.async_block_till_done()
            seen.append(state_of(hass, CALL))

        await phone.rings("+4930123")
        await see()
        state = hass.states.get(CALL)
        assert state is not None
        assert state.attributes["number"] == "+4930123"
        await phone.picks_up()
        await see()
        await phone.holds()
        await see()
        await phone.goes_on()
        await see()
        await phone.hangs_up()
        await see()
        assert seen == ["ringing", "in_call", "on_hold", "in_call", "idle"]
        assert set(phone.answers) == {200}
        event = hass.states.get(CALL_EVENT)
        assert event is not None
        assert event.attributes["event_type"] == "ended"
        assert event.attributes["reason"] == "hung_up"

    @pytest.mark.parametrize("vendor", MAKES)
    async def test_a_call_that_nobody_takes(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str, vendor: str
    ) -> None:
        """Is missed once, though the phone says that it has ended as well."""
        phone = await configured(hass, entry, vendor)
        await phone.rings("202")
        await phone.hangs_up()
        await hass.async_block_till_done()
        event = hass.states.get(CALL_EVENT)
        assert event is not None
        assert event.attributes["event_type"] == "missed"
        assert event.attributes["number"] == "202"

    @pytest.mark.parametrize("vendor", MAKES)
    async def test_a_phone_that_starts_anew(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str, vendor: str
    ) -> None:
        """Has no call any more."""
        phone = await configured(hass, entry, vendor)
        await phone.dials("202")
        await phone.picks_up()
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "in_call"
        await phone.boots()
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "idle"

    @pytest.mark.parametrize(
        ("key", "event"), [("rejects", "rejected"), ("forwards", "forwarded")]
    )
    async def test_a_phone_that_does_not_want_it(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        web: str,
        key: str,
        event: str,
    ) -> None:
        """And has a URL for that."""
        phone = await configured(hass, entry, "yealink")
        await phone.rings("202")
        await getattr(phone, key)()
        await hass.async_block_till_done()
        state = hass.states.get(CALL_EVENT)
        assert state is not None
        assert state.attributes["event_type"] == event

    async def test_a_poly_posts_xml(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """To the address that its page has."""
        _, words = await pages_of(hass, entry, vendor="poly")
        address = words["action_urls"].partition('URL="')[2].partition('"')[0]
        body = (
            '<CallStateChangeEvent CallReference="1" CallState="Offering">'
            "<CallInfo><CallingPartyDirNum>202</CallingPartyDirNum></CallInfo>"
            "</CallStateChangeEvent>"
        )
        assert await get(address, body=body.encode()) == 200
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "ringing"


class TestWebhook:
    """What is taken, and from whom."""

    async def test_a_form(self, hass: HomeAssistant, web: str) -> None:
        """The same fields, posted."""
        address = f"{web}/api/webhook/{HOOK}"
        assert await get(address, body=b"event=incoming&number=202") == 200
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "ringing"

    @pytest.mark.parametrize(
        "query", ["", "event=reboot", "event=incoming%20", "EVENT=incoming"]
    )
    async def test_nothing_but_known_events(
        self, hass: HomeAssistant, web: str, query: str
    ) -> None:
        """The phone is told nothing else."""
        assert await report(hass, web, query) == 200
        assert state_of(hass, CALL) == "idle"

    async def test_a_body_without_end(self, hass: HomeAssistant, web: str) -> None:
        """Is not read to its end."""
        address = f"{web}/api/webhook/{HOOK}"
        body = b"event=incoming&name=" + b"x" * 20_000
        assert await get(address, body=body) == 200
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "idle"

    async def test_a_flood_changes_nothing_and_is_logged_once(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        web: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """As many reports as twenty phones make are taken, then one a second."""
        for number in range(120):
            assert await get_report(web, f"event=incoming&call={number}") == 200
        await hass.async_block_till_done()
        before = state_of(hass, CALL_EVENT)
        for _ in range(3):
            assert await report(hass, web, "event=incoming&call=x") == 429
        assert state_of(hass, CALL_EVENT) == before
        told = "Too many reports of the calls of Reception"
        assert caplog.text.count(told) == 1
        clock.advance(1)
        assert await report(hass, web, "event=incoming&call=y") == 200
        assert state_of(hass, CALL_EVENT) != before
        clock.advance(3600)
        for _ in range(125):
            await get_report(web, "event=idle")
        assert caplog.text.count(told) == 2

    async def test_another_address(self, hass: HomeAssistant, web: str) -> None:
        """Leads nowhere."""
        assert await report(hass, web, "event=incoming", hook="0" * 32) == 200
        assert state_of(hass, CALL) == "idle"

    async def test_numbers_are_in_no_log_and_no_diagnostics(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        diagnostics: None,
        web: str,
        hass_client: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nor is the address, which is a secret."""
        caplog.set_level("DEBUG", "custom_components.dfks")
        await report(hass, web, "event=incoming&number=+4930123")
        await report(hass, web, "event=unknown&number=+4930123")
        shown = await get_diagnostics_for_config_entry(hass, hass_client, entry)
        texts = [*said(caplog), str(shown)]
        assert not [text for text in texts if "4930123" in text]
        assert not [text for text in texts if HOOK in text]
        (line,) = shown["lines"].values()
        assert line["webhook_id"] == "**REDACTED**"


class TestNetworks:
    """Where a call of the webhook may come from."""

    @pytest.fixture
    def entry(self, port: int, networks: str) -> MockConfigEntry:
        """Return a listener for some networks, with the line Reception."""
        return listener_entry(
            port,
            [line_data(RECEPTION, "Reception", SEEN)],
            options={"allowed_networks": networks},
        )

    @pytest.mark.parametrize(
        ("networks", "state"),
        [
            ("192.0.2.0/24", "idle"),
            ("127.0.0.0/8", "ringing"),
            ("", "ringing"),
        ],
    )
    async def test_from_the_networks_of_the_listener(
        self, hass: HomeAssistant, web: str, state: str
    ) -> None:
        """As for SIP: those are set by the user."""
        assert await report(hass, web, "event=incoming") == 200
        assert state_of(hass, CALL) == state

    @pytest.mark.parametrize("networks", ["192.0.2.0/24, fe80::/10"])
    @pytest.mark.parametrize(
        ("source", "taken"),
        [
            ("192.0.2.7", True),
            ("::ffff:192.0.2.7", True),
            ("fe80::7%eth0", True),
            ("198.51.100.7", False),
            ("2001:db8::7", False),
            ("nowhere", False),
            (None, False),
        ],
    )
    async def test_whose_addresses_are_what_they_are(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        source: str | None,
        taken: bool,
    ) -> None:
        """An IPv4 address in IPv6, one with a zone; and the cloud has none."""
        request: Request | MockRequest = MockRequest(b"", "cloud")
        if source is not None:
            path = f"/api/webhook/{HOOK}?event=incoming"
            request = make_mocked_request("GET", path).clone(remote=source)
        await webhook.async_handle_webhook(hass, HOOK, request)
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == ("ringing" if taken else "idle")

    @pytest.mark.parametrize("networks", ["192.0.2.0/24"])
    async def test_what_is_turned_away_uses_nothing_up(
        self, hass: HomeAssistant, clock: ManualClock, listener: DfksListener
    ) -> None:
        """Somebody from elsewhere cannot silence the phones."""
        path = f"/api/webhook/{HOOK}?event=incoming"
        for source in ["198.51.100.7"] * 130 + ["192.0.2.7"]:
            request = make_mocked_request("GET", path).clone(remote=source)
            await webhook.async_handle_webhook(hass, HOOK, request)
        await hass.async_block_till_done()
        assert state_of(hass, CALL) == "ringing"


class TestOption:
    """When there is a webhook, and when there is none."""

    def hooks(self, hass: HomeAssistant) -> set[str]:
        """Return the webhooks that there are."""
        return set(hass.data.get("webhook", {}))

    async def test_goes_when_the_option_is_turned_off(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """And the entities with it."""
        assert self.hooks(hass) == {HOOK}
        await pages_of(hass, entry, calls={"see_calls": False})
        assert self.hooks(hass) == set()
        assert hass.states.get(CALL) is None
        assert "webhook_id" not in entry.subentries[RECEPTION].data

    async def test_is_another_one_when_it_is_turned_on_again(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """An address that was given away is worth nothing any more."""
        await pages_of(hass, entry, calls={"see_calls": False})
        await pages_of(hass, entry)
        (hook,) = self.hooks(hass)
        assert hook == entry.subentries[RECEPTION].data["webhook_id"]
        assert hook != HOOK
        assert len(hook) == 32

    async def test_stays_when_something_else_is_changed(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """It is typed into the phones."""
        await pages_of(hass, entry, user="209")
        assert self.hooks(hass) == {HOOK}

    async def test_goes_with_the_entry(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """And comes back with it."""
        await hass.config_entries.async_unload(entry.entry_id)
        assert self.hooks(hass) == set()
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert self.hooks(hass) == {HOOK}

    async def test_is_none_for_a_line_at_a_pbx(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """Its SIP passes: one source a line."""
        data = {key: val for key, val in SEEN.items() if key != "password"}
        entry = listener_entry(
            port, [line_data(RECEPTION, "Reception", {**data, "pbx": "gone"})]
        )
        await set_up(hass, entry)
        assert self.hooks(hass) == set()
        assert state_of(hass, CALL) == "idle"


class TestPage:
    """What a user is told to enter on the phone."""

    @pytest.mark.parametrize("vendor", MAKES)
    async def test_a_new_line(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str, vendor: str
    ) -> None:
        """Has its own address at once."""
        shown = await show_line_form(hass, entry)
        form = {
            "name": "Gate",
            "user": "203",
            "vendor": vendor,
            "calls": {"see_calls": True},
        }
        result = await submit(hass, shown, form)
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["description"] == "calls"
        phone = ReportingPhone(MAKES[vendor], settings_of(placeholders(result)))
        await phone.rings("202")
        await hass.async_block_till_done()
        assert state_of(hass, "sensor.gate_call") == "ringing"
        assert state_of(hass, CALL) == "idle"

    @pytest.mark.parametrize("vendor", ["other", "fanvil"])
    async def test_a_phone_whose_variables_are_not_documented(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str, vendor: str
    ) -> None:
        """Gets the bare address, and no guess."""
        _, words = await pages_of(hass, entry, vendor=vendor)
        assert words["action_urls"] == ENGLISH["common"]["page_undocumented"]
        assert words["webhook"] == f"`{web}/api/webhook/{HOOK}`"

    async def test_https(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """Comes with a warning."""
        hass.config.internal_url = "https://house.example:8123"
        page, words = await pages_of(hass, entry)
        assert page == "reconfigured_calls_https"
        assert words["webhook"].startswith("`https://house.example:8123/api/webhook/")

    async def test_without_an_internal_address(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """It is the listener's, with the port of the web server."""
        hass.config.internal_url = None
        page, words = await pages_of(hass, entry)
        assert page == "reconfigured_calls"
        port = hass.config.api.port if hass.config.api else 8123
        assert words["webhook"] == f"`http://127.0.0.1:{port}/api/webhook/{HOOK}`"

    async def test_a_line_whose_calls_are_not_seen(
        self, hass: HomeAssistant, entry: MockConfigEntry, web: str
    ) -> None:
        """Has nothing of it on its page."""
        page, words = await pages_of(hass, entry, calls={"see_calls": False})
        assert page == "reconfigure_successful"
        assert "webhook" not in words


def test_the_path_is_home_assistants() -> None:
    """As it stands in the documentation."""
    assert webhook.async_generate_path("ID") == "/api/webhook/ID"
