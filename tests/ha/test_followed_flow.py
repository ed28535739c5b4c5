"""The forms of lines at a PBX that synchronizes keys; the PBX is asked each time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.dfks import followed_flow
from custom_components.dfks.followed import trial
from custom_components.dfks.followed.form import MAX_LINES
from custom_components.dfks.followed_flow import AT_A_TIME
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.pbx import certificates
from tests.pbx import KeyPbx
from tests.phone import Phone
from tests.sip.certificates import client_context, server_context, write_certificate
from tests.sip.proxy.peers import StreamPbx

from .common import MockConfigEntry, listener_entry, set_up, state_of
from .followed import (
    DND,
    OFFICE,
    PASSWORD,
    STATUS,
    USERS,
    Submit,
    add_line,
    add_office,
    key_pbx,
    office,
    office_data,
    office_form,
    pbx_port,
    wait_for,
)
from .forms import placeholders, show_form, submit, suggested

__all__ = ["add_office", "key_pbx", "pbx_port"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a PBX that is silent."""
    monkeypatch.setattr(trial, "PATIENCE", 0.3)
    monkeypatch.setattr(trial, "GOODBYE", 0.1)


@pytest.fixture
async def other_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a certificate that Home Assistant does not know, and have it know another.

    It is expected that a PBX of the test is cut off in the midst of its handshake.
    """
    loop = asyncio.get_running_loop()
    handle = loop.get_exception_handler()

    def handle_others(at: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
        if not isinstance(what.get("exception"), ConnectionResetError) and handle:
            handle(at, what)

    loop.set_exception_handler(handle_others)
    good = write_certificate(tmp_path, "good")
    monkeypatch.setattr(certificates, "client_context", lambda: client_context(good))
    return write_certificate(tmp_path, "other")


def list_form(port: int, *lines: str, **changes: object) -> dict[str, Any]:
    """Return the filled form of several lines."""
    form = office_form(port, name=None, user=None, password=None, **changes)
    return {**form, "lines": "\n".join(lines)}


@asynccontextmanager
async def phone_at(key_pbx: KeyPbx, user: str = "501") -> AsyncIterator[None]:
    """Have a phone registered at the PBX meanwhile."""
    async with Phone(
        user, USERS[user], key_pbx.address, registrar=key_pbx.domain
    ) as phone:
        assert (await phone.register()).status == 200
        yield


async def resubmit(
    hass: HomeAssistant, entry: MockConfigEntry, form: dict[str, Any]
) -> Any:
    """Submit the form of the line Office."""
    shown = await entry.start_subentry_reconfigure_flow(hass, OFFICE)
    return await submit(hass, shown, form)


class TestOne:
    """The form of one line."""

    async def test_stores_a_line_that_the_pbx_has_told_the_state_of(
        self, hass: HomeAssistant, add_office: Submit, pbx_port: int
    ) -> None:
        """And follows it from then on."""
        result = await add_office(name=" Office ")

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["title"] == "Office"
        assert result["unique_id"] == f"501@pbx.example:{pbx_port}"
        assert result["data"] == office_data(pbx_port)
        await wait_for(hass, DND, "off")

    async def test_leaves_nothing_of_the_trial_behind(
        self,
        hass: HomeAssistant,
        add_office: Submit,
        listener: DfksListener,
        key_pbx: KeyPbx,
    ) -> None:
        """One subscription is left, that of the line."""
        await add_office()
        await wait_for(hass, DND, "off")

        assert len(key_pbx.watchers) == 1
        assert len(listener.server.following.lines) == 1

    @pytest.mark.parametrize(
        ("refuses", "error"),
        [
            (403, "pbx_forbidden"),
            (404, "pbx_not_found"),
            (489, "pbx_not_supported"),
            (500, "pbx_refused"),
        ],
    )
    async def test_says_what_the_pbx_answers(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        add_office: Submit,
        key_pbx: KeyPbx,
        pbx_port: int,
        refuses: int,
        error: str,
    ) -> None:
        """With what to do; the form keeps what was entered, and the line is not there."""
        key_pbx.refuses = refuses
        result = await add_office()

        assert result["errors"] == {"base": error}
        assert placeholders(result)["code"] == str(refuses)
        assert suggested(result)["user"] == "501"
        assert len(entry.subentries) == 2
        key_pbx.refuses = None
        result = await submit(hass, result, office_form(pbx_port))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_says_that_the_password_is_wrong(self, add_office: Submit) -> None:
        """At its field."""
        result = await add_office(password="wrong")

        assert result["errors"] == {"password": "pbx_wrong_password"}

    @pytest.mark.usefixtures("impatient")
    async def test_says_that_nothing_came_back(
        self, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """After some seconds."""
        key_pbx.silent = True
        result = await add_office()

        assert result["errors"] == {"base": "pbx_no_answer"}

    async def test_says_that_a_certificate_is_not_good(
        self, hass: HomeAssistant, add_office: Submit, other_certificate: Path
    ) -> None:
        """With the reason, and the fingerprint that would let it in."""
        tls = server_context(other_certificate)
        async with await StreamPbx.serve(tls=tls) as pbx:
            result = await add_office(port=pbx.port, transport="TLS")
            assert result["errors"] == {"host": "pbx_certificate"}
            words = placeholders(result)
            assert words["reason"]

            form = office_form(
                pbx.port, transport="TLS", fingerprint=words["fingerprint"].lower()
            )
            pending = asyncio.create_task(submit(hass, result, form))
            first = await pbx.next_request()
            pbx.answer(first, 489)
            result = await pending

        assert first.method == "SUBSCRIBE"
        assert result["errors"] == {"base": "pbx_not_supported"}

    async def test_says_that_it_is_not_the_certificate_that_was_entered(
        self, add_office: Submit, other_certificate: Path
    ) -> None:
        """And which it is."""
        tls = server_context(other_certificate)
        async with await StreamPbx.serve(tls=tls) as pbx:
            result = await add_office(
                port=pbx.port, transport="TLS", fingerprint="ab" * 32
            )

        assert result["errors"] == {"advanced": "pbx_other_certificate"}
        assert len(placeholders(result)["fingerprint"]) == 95

    async def test_says_that_it_is_home_assistant_itself(
        self, add_office: Submit, port: int
    ) -> None:
        """By address and port: nobody is another phone of himself."""
        result = await add_office(port=port)
        assert result["errors"] == {"host": "pbx_is_home_assistant"}

        proxy = f"localhost:{port}"
        result = await add_office(port=5999, host="pbx.example", outbound_proxy=proxy)
        assert result["errors"] == {"host": "pbx_is_home_assistant"}

    @pytest.mark.parametrize(
        ("change", "errors"),
        [
            ({"name": " "}, {"name": "invalid_name"}),
            ({"host": "not a host"}, {"host": "invalid_host"}),
            ({"user": "501@pbx"}, {"user": "invalid_user"}),
            ({"password": "a\tb"}, {"password": "invalid_password"}),
            ({"auth_name": 'a"b'}, {"advanced": "invalid_auth_name"}),
            ({"domain": "a b"}, {"advanced": "invalid_domain"}),
            ({"outbound_proxy": "a b"}, {"advanced": "invalid_proxy"}),
            ({"outbound_proxy": "proxy:0"}, {"advanced": "invalid_proxy"}),
            ({"fingerprint": "ab:cd"}, {"advanced": "invalid_fingerprint"}),
            ({"features": []}, {"advanced": "no_feature"}),
        ],
    )
    async def test_says_what_cannot_be(
        self,
        add_office: Submit,
        key_pbx: KeyPbx,
        change: dict[str, object],
        errors: dict[str, str],
    ) -> None:
        """Before the PBX is asked."""
        result = await add_office(**change)

        assert result["errors"] == errors
        assert key_pbx.requests == []

    async def test_takes_authentication_name_and_outbound_proxy(
        self, add_office: Submit, key_pbx: KeyPbx, pbx_port: int
    ) -> None:
        """Everything goes to the proxy, for the domain."""
        result = await add_office(
            port=None,
            host="sip.example",
            auth_name="501",
            outbound_proxy=f"127.0.0.1:{pbx_port}",
        )

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["unique_id"] == "501@pbx.example:5060"
        assert key_pbx.requests[0].uri == "sip:501@pbx.example"

    async def test_says_that_the_line_has_come_meanwhile(
        self, add_office: Submit
    ) -> None:
        """By another form, which was sent while the PBX was asked."""
        results = await asyncio.gather(add_office(), add_office(name="Again"))

        types = [result["type"] for result in results]
        assert sorted(types) == [FlowResultType.CREATE_ENTRY, FlowResultType.FORM]
        (form,) = (one for one in results if one["type"] is FlowResultType.FORM)
        assert form["errors"] == {"user": "line_in_use"}

    async def test_says_that_the_line_is_there(self, add_office: Submit) -> None:
        """By its name."""
        await add_office()
        result = await add_office(name="Again")

        assert result["errors"] == {"user": "line_in_use"}
        assert placeholders(result)["line"] == "Office"

    async def test_needs_room_for_its_entities(
        self, add_office: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As other lines do."""
        monkeypatch.setattr("custom_components.dfks.capacity.MAX_ENTITIES", 30)
        result = await add_office()

        assert result["errors"] == {"base": "too_many_entities"}

    async def test_needs_the_listener(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Without it, nothing can be tried."""
        entry.add_to_hass(hass)
        result = await show_form(hass, entry, "followed_line")

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "not_loaded"


class TestRegister:
    """A line that registers as well."""

    async def test_registers_where_no_phone_is(
        self, hass: HomeAssistant, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """And is registered afterwards."""
        result = await add_office(register=True)
        assert result["type"] is FlowResultType.CREATE_ENTRY
        await wait_for(hass, DND, "off")

        assert len(key_pbx.contacts["501"]) == 1

    async def test_warns_where_a_phone_is_and_leaves_it_there(
        self, hass: HomeAssistant, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """Where the PBX keeps both."""
        async with phone_at(key_pbx):
            result = await add_office(register=True)
            assert result["step_id"] == "register"
            assert placeholders(result)["lines"] == "Office: 1"
            result = await submit(hass, result, {})

        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_takes_its_own_away_where_it_throws_a_phone_out(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        add_office: Submit,
        key_pbx: KeyPbx,
    ) -> None:
        """And says so."""
        key_pbx.keeps_one = True
        async with phone_at(key_pbx):
            result = await add_office(register=True)
            result = await submit(hass, result, {})

            assert result["errors"] == {"advanced": "register_replaced"}
            assert key_pbx.contacts["501"] == []
            assert len(entry.subentries) == 2

    async def test_tries_a_wrong_password_once(
        self, add_office: Submit, key_pbx: KeyPbx
    ) -> None:
        """PBXs block who guesses: what was wrong with one request is with the next."""
        result = await add_office(register=True, password="wrong")

        assert result["errors"] == {"password": "pbx_wrong_password"}
        tried = [
            request
            for request in key_pbx.requests
            if "Authorization" in dict(request.headers)
        ]
        assert len(tried) == 1


class TestSeveral:
    """A pasted list of lines."""

    @pytest.fixture
    def add_list(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        pbx_port: int,
    ) -> Submit:
        """Return what adds lines by their list; the listener runs."""

        async def add_list(*lines: str, **changes: object) -> Any:
            form = list_form(pbx_port, *lines, **changes)
            return await add_line(hass, entry, form, "several")

        return add_list

    @pytest.mark.usefixtures("impatient")
    async def test_does_not_try_all_lines_at_a_pbx_that_is_not_there(
        self, add_list: Submit, listener: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """Hundreds would take minutes: a few are enough to say so."""
        key_pbx.silent = True
        lines = [f"Line {number}, 7{number:03}, x" for number in range(30)]
        result = await add_list(*lines)

        assert result["errors"] == {"base": "pbx_no_answer"}
        sent = {message.data.split(b" ", 2)[1] for message in listener.trace}
        assert len(sent) < 2 * AT_A_TIME

    @pytest.mark.usefixtures("impatient")
    async def test_does_not_ask_a_silent_pbx_for_the_phones_of_all_lines(
        self, add_list: Submit, listener: DfksListener, key_pbx: KeyPbx
    ) -> None:
        """Before it registers it asks for them, which takes as long where nobody is."""
        key_pbx.silent = True
        lines = [f"Line {number}, 7{number:03}, x" for number in range(30)]
        result = await add_list(*lines, register=True)

        assert result["errors"] == {"base": "pbx_no_answer"}
        asked = {
            message.data.partition(b"Call-ID: ")[2].partition(b"\r")[0]
            for message in listener.trace
        }
        assert len(asked) < 2 * AT_A_TIME

    async def test_ends_where_a_pbx_answers_no_more(
        self, add_list: Submit, key_pbx: KeyPbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After as many lines without an answer as are tried at a time."""
        monkeypatch.setattr(trial, "PATIENCE", 3.0)
        key_pbx.ignores = {f"7{number:03}" for number in range(40)}
        good = [f"Line {user}, {user}, {password}" for user, password in USERS.items()]
        bad = [f"Line {user}, {user}, x" for user in sorted(key_pbx.ignores)]
        result = await add_list(*good, *bad)

        assert result["errors"] == {"lines": "lines_not_accepted"}
        assert "Line 7039 (408)" in placeholders(result)["lines"]
        asked = {request.get("To") for request in key_pbx.requests}
        assert len(asked) < len(USERS) + 3 * AT_A_TIME

    async def test_ends_where_a_pbx_is_slow(
        self, add_list: Submit, key_pbx: KeyPbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody waits in front of a form for a quarter of an hour."""
        monkeypatch.setattr(followed_flow, "MAX_SECONDS", -1.0)
        result = await add_list(f"Office,501,{PASSWORD}")

        assert result["errors"] == {"base": "pbx_no_answer"}
        assert key_pbx.requests == []

    async def test_says_that_registering_throws_a_phone_out(
        self, hass: HomeAssistant, add_list: Submit, key_pbx: KeyPbx
    ) -> None:
        """It is no line that the PBX does not take."""
        key_pbx.keeps_one = True
        async with phone_at(key_pbx):
            result = await add_list(f"Office,501,{PASSWORD}", register=True)
            result = await submit(hass, result, {})

        assert result["errors"] == {"advanced": "register_replaced"}

    async def test_stores_all_lines_of_a_list(
        self, hass: HomeAssistant, entry: MockConfigEntry, add_list: Submit
    ) -> None:
        """Separated by whatever the list has."""
        result = await add_list(
            f"Office, 501, 501, {PASSWORD}",
            "",
            "Hall;502;secret-502",
            "Kitchen\t503\t\tsecret-503",
        )

        assert result["type"] is FlowResultType.CREATE_ENTRY
        for name in ("office", "hall", "kitchen"):
            await wait_for(hass, f"switch.{name}_do_not_disturb", "off")
        titles = [item.title for item in entry.subentries.values()]
        assert titles == ["Reception", "Workshop", "Office", "Hall", "Kitchen"]

    @pytest.mark.parametrize(
        ("lines", "error", "words"),
        [
            (["Office, 501, x, y, z"], "invalid_list", {"number": "1"}),
            (["Office, 501, x", "Hall"], "invalid_list", {"number": "2"}),
            (["Office, a@b, x"], "invalid_list", {"number": "1"}),
            (["", " "], "empty_list", {}),
            (["a, 501, x", "b, 501, x"], "line_in_use", {"line": "a"}),
            (
                [f"n{number}, {number}, x" for number in range(MAX_LINES + 1)],
                "too_many_lines",
                {"max": str(MAX_LINES)},
            ),
        ],
    )
    async def test_says_which_line_is_wrong(
        self, add_list: Submit, lines: list[str], error: str, words: dict[str, str]
    ) -> None:
        """Before the PBX is asked."""
        result = await add_list(*lines)

        assert result["errors"] == {"lines": error}
        assert placeholders(result).items() >= words.items()

    async def test_says_which_lines_the_pbx_does_not_take(
        self, entry: MockConfigEntry, add_list: Submit
    ) -> None:
        """And stores none."""
        result = await add_list(f"Office,501,{PASSWORD}", "Hall,502,wrong")

        assert result["errors"] == {"lines": "lines_not_accepted"}
        assert placeholders(result)["lines"] == "Hall (401)"
        assert len(entry.subentries) == 2


class TestReconfigure:
    """The form of a line that is there."""

    @pytest.fixture
    def entry(self, port: int, pbx_port: int) -> MockConfigEntry:
        """Return a listener with the line Office."""
        return listener_entry(port, [office(pbx_port)])

    @pytest.fixture
    async def registering(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        pbx_port: int,
    ) -> dict[str, Any]:
        """Return the form with which the line registers, which has been submitted."""
        form = office_form(pbx_port, register=True, password=None)
        await resubmit(hass, entry, form)
        await wait_for(hass, DND, "off")
        return form

    async def test_keeps_the_password(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        pbx_port: int,
    ) -> None:
        """It is not shown, and need not be typed again."""
        shown = await entry.start_subentry_reconfigure_flow(hass, OFFICE)
        assert "password" not in suggested(shown)
        form = office_form(pbx_port, name="Back office", password=None)
        result = await submit(hass, shown, form)

        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[OFFICE].title == "Back office"
        assert entry.subentries[OFFICE].data == office_data(pbx_port)

    async def test_leaves_a_line_as_it_is_that_the_pbx_does_not_take(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        pbx_port: int,
    ) -> None:
        """The one that works goes on."""
        await wait_for(hass, DND, "off")
        form = office_form(pbx_port, password="wrong")
        result = await resubmit(hass, entry, form)

        assert result["errors"] == {"password": "pbx_wrong_password"}
        assert entry.subentries[OFFICE].data["password"] == PASSWORD
        assert state_of(hass, DND) == "off"

    async def test_takes_another_line(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        key_pbx: KeyPbx,
        pbx_port: int,
    ) -> None:
        """With the same entities."""
        key_pbx.set("502", "DoNotDisturb", on=True)
        form = office_form(pbx_port, user="502", password="secret-502")
        await resubmit(hass, entry, form)

        await wait_for(hass, DND, "on")

    async def test_a_line_that_registers_is_not_warned_of_its_own_binding(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        registering: dict[str, Any],
    ) -> None:
        """Its binding is there before, and there afterwards."""
        form = {**registering, "features": ["do_not_disturb"]}
        result = await resubmit(hass, entry, form)

        assert result["reason"] == "reconfigure_successful"

    async def test_another_line_that_registers_is_asked_for_its_phones(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        registering: dict[str, Any],
    ) -> None:
        """The binding of the line before says nothing of them."""
        async with phone_at(key_pbx, "502"):
            form = {**registering, "user": "502", "password": "secret-502"}
            result = await resubmit(hass, entry, form)

        assert result["step_id"] == "register"

    async def test_a_line_that_registers_stays_registered(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        registering: dict[str, Any],
    ) -> None:
        """What is tried has the same Contact."""
        await resubmit(hass, entry, {**registering, "name": "Back"})

        assert len(key_pbx.contacts["501"]) == 1

    async def test_tries_again_with_what_the_pbx_takes_by_now(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        key_pbx: KeyPbx,
        pbx_port: int,
    ) -> None:
        """The password was set at the PBX, and the form is submitted as it is."""
        key_pbx.users["501"] = "another"
        await set_up(hass, entry)
        await wait_for(hass, STATUS, "pbx_wrong_password")
        key_pbx.users["501"] = PASSWORD
        await resubmit(hass, entry, office_form(pbx_port, password=None))

        await wait_for(hass, DND, "off")

    async def test_needs_the_listener(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Without it, nothing can be tried."""
        entry.add_to_hass(hass)
        result = await entry.start_subentry_reconfigure_flow(hass, OFFICE)

        assert result["reason"] == "not_loaded"
