"""A PBX comes, changes and goes while the listener runs on, and survives a restart."""

import asyncio
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
import socket
import ssl
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, issue_registry as ir
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener
from tests.clock import ManualClock
from tests.pbx import SimulatedPbx
from tests.phone import DND as DND_LAMP, PATIENCE, Phone
from tests.phone.calls import CallState
from tests.sip.certificates import openssl_fingerprint

from .common import (
    DND,
    LOCALHOST,
    RECEPTION,
    SYNC_STATUS,
    WORKSHOP,
    MockConfigEntry,
    async_fire_time_changed,
    complaints,
    find_device,
    get_diagnostics_for_config_entry,
    line,
    line_data,
    listener_entry,
    set_up,
    state_of,
    stop,
    turn,
)
from .pbx import (
    PBX,
    REACHABLE,
    USERS,
    OpenPhone,
    add_pbx,
    at_pbx,
    bell_at,
    change_pbx,
    line_at_pbx,
    pbx,
    pbx_data,
    pbx_form,
)
from .pem import write_pem

__all__ = ["at_pbx", "pbx"]

type Storage = dict[str, Any]

FILE = "dfks.dfks_entry.bindings"


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx) -> MockConfigEntry:
    """Return a listener with a PBX, the line Reception there and Workshop here."""
    lines = (
        pbx_data(pbx.address[1]),
        line_at_pbx(),
        line_data(
            WORKSHOP,
            "Workshop",
            {
                "user": "202",
                "password": "workshop-202",
                "features": ["do_not_disturb"],
                "notify_style": "multipart",
            },
        ),
    )
    return listener_entry(port, lines)


async def settle(phone: Phone) -> None:
    """Wait until the listener has seen all that the phone has sent."""
    await phone.register()


def issue(hass: HomeAssistant, issue_id: str) -> ir.IssueEntry | None:
    """Return a repair issue, None where there is no such."""
    return ir.async_get(hass).async_get_issue("dfks", issue_id)


def words_of(hass: HomeAssistant, issue_id: str) -> dict[str, str]:
    """Return what a repair issue that must be there fills into its text."""
    shown = issue(hass, issue_id)
    assert shown is not None
    return shown.translation_placeholders or {}


def refused_passwords(hass: HomeAssistant) -> list[dict[str, str]]:
    """Return what the repair issues about phones' passwords fill into their text."""
    return [
        shown.translation_placeholders or {}
        for shown in ir.async_get(hass).issues.values()
        if shown.translation_key == "pbx_password_refused"
    ]


class TestPassing:
    """A phone whose outbound proxy is Home Assistant."""

    @pytest.mark.usefixtures("listener")
    async def test_registers_at_the_pbx_without_a_password_here(
        self, at_pbx: OpenPhone, pbx: SimulatedPbx
    ) -> None:
        """The PBX asks for it, and has it."""
        phone = await at_pbx()

        assert [request.method for request in pbx.requests] == ["REGISTER", "REGISTER"]
        assert len(pbx.contacts["201"]) == 1
        assert phone.violations == []

    @pytest.mark.usefixtures("listener")
    async def test_key_and_switch_move_together(
        self, hass: HomeAssistant, at_pbx: OpenPhone, pbx: SimulatedPbx
    ) -> None:
        """Both ways, and the PBX hears nothing of it."""
        phone = await at_pbx()
        assert (await phone.subscribe()).status == 200
        await phone.notification()
        await phone.set_dnd(True)
        await phone.until(lambda lamps: lamps[DND_LAMP].on)
        assert state_of(hass, DND) == "on"

        await turn(hass, DND, "off")
        await phone.until(lambda lamps: not lamps[DND_LAMP].on)
        assert {request.method for request in pbx.requests} == {"REGISTER"}
        assert phone.violations == []

    @pytest.mark.usefixtures("listener")
    async def test_call_passes_in_both_directions(
        self, at_pbx: OpenPhone, pbx: SimulatedPbx
    ) -> None:
        """It rings with the Contact that the phone wrote, and ends at both sides."""
        caller, called = await bell_at(at_pbx), await bell_at(at_pbx, "202")
        dialled = await caller.dial("202")
        ringing = await called.incoming_call()
        called.pick_up(ringing)
        await called.until(ringing, CallState.ESTABLISHED)
        await caller.until(dialled, CallState.ESTABLISHED)
        await caller.hang_up(dialled)
        await called.until(ringing, CallState.ENDED)

        assert caller.phone.violations == called.phone.violations == []
        assert pbx.calls == []

    @pytest.mark.requirement("P102")
    async def test_nothing_is_passed_without_a_pbx(
        self,
        hass: HomeAssistant,
        port: int,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
        hass_storage: Storage,
    ) -> None:
        """Not an octet, and there is no file."""
        entry = listener_entry(port, [line_at_pbx(pbx="gone")])
        await set_up(hass, entry)
        phone = await at_pbx(registered=False)
        assert (await phone.register()).status == 401
        await stop(hass)

        assert pbx.requests == []
        assert FILE not in hass_storage

    @pytest.mark.usefixtures("listener")
    @pytest.mark.requirement("P102")
    async def test_user_may_be_registered_here_and_at_the_pbx(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        at_pbx: OpenPhone,
    ) -> None:
        """202 here is another line than 202 at the PBX."""
        await at_pbx("202")
        async with Phone("202", "workshop-202", ("127.0.0.1", port)) as here:
            assert (await here.register()).status == 200
            assert (await here.subscribe()).status == 200
            await here.notification()
            await here.set_dnd(True)
            await here.until(lambda lamps: lamps[DND_LAMP].on)

        assert state_of(hass, "switch.workshop_do_not_disturb") == "on"
        assert state_of(hass, DND) == "off"


@pytest.mark.usefixtures("listener_stays")
class TestComeAndGo:
    """PBXs are added, changed and removed without a reload."""

    async def test_first_pbx_of_a_running_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
        hass_storage: Storage,
    ) -> None:
        """Passes at once."""
        hass.config_entries.async_remove_subentry(entry, PBX)
        await hass.async_block_till_done()
        await hass.async_block_till_done(wait_background_tasks=True)
        assert FILE not in hass_storage

        await add_pbx(hass, entry, pbx_form(pbx.address[1]))
        await at_pbx()

        assert len(pbx.contacts["201"]) == 1
        assert state_of(hass, REACHABLE) == "on"

    @pytest.mark.requirement("P112")
    async def test_new_pbx_is_asked_once_who_synchronizes_the_keys(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
    ) -> None:
        """It does not know them: Home Assistant (P112)."""
        hass.config_entries.async_remove_subentry(entry, PBX)
        await hass.async_block_till_done()
        result = await add_pbx(hass, entry, pbx_form(pbx.address[1]))
        pbx_id = next(
            subentry.subentry_id
            for subentry in entry.subentries.values()
            if subentry.unique_id == result["unique_id"]
        )
        phone = await at_pbx()
        assert (await phone.subscribe()).get("Retry-After") == "1"
        await phone.subscribe()

        asked = [request for request in pbx.requests if request.method == "SUBSCRIBE"]
        assert len(asked) == 1
        assert issue(hass, f"pbx_synchronizes_keys_{pbx_id}") is None

    @pytest.mark.requirement("P112")
    async def test_pbx_that_has_moved_is_asked_anew(
        self, hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
    ) -> None:
        """And says that it synchronizes the keys itself (P112)."""
        async with SimulatedPbx({"201": "secret-one"}) as other:
            other.knows_keys = True
            await change_pbx(hass, entry, port=other.address[1])
            phone = await at_pbx()
            await phone.subscribe()

        assert issue(hass, f"pbx_synchronizes_keys_{PBX}") is not None

    async def test_removed_pbx_leaves_nothing_but_its_lines(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
        hass_storage: Storage,
    ) -> None:
        """No device, no entity, no file; phones are refused, lines say what is missing."""
        phone = await at_pbx()
        hass.config_entries.async_remove_subentry(entry, PBX)
        await hass.async_block_till_done(wait_background_tasks=True)

        assert find_device(hass, PBX) is None
        assert hass.states.get(REACHABLE) is None
        assert FILE not in hass_storage
        assert (await phone.register()).status == 401
        assert state_of(hass, SYNC_STATUS) == "not_registered"
        assert words_of(hass, "lines_without_pbx") == {"lines": "Reception"}

        hass.config_entries.async_remove_subentry(entry, RECEPTION)
        await hass.async_block_till_done()
        assert issue(hass, "lines_without_pbx") is None

    async def test_changed_pbx_keeps_its_phones(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        at_pbx: OpenPhone,
    ) -> None:
        """A new name and another domain cost nobody a registration."""
        phone = await at_pbx()
        await change_pbx(
            hass, entry, title="Head office", domain="pbx.example, voice.example"
        )

        device = find_device(hass, PBX)
        assert device is not None
        assert device.name == "Head office"
        assert (await phone.subscribe()).status == 200

    async def test_pbx_elsewhere_is_not_known_to_be_reachable(
        self, hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
    ) -> None:
        """Until a phone has tried."""
        await at_pbx()
        await change_pbx(hass, entry, host="127.0.0.2")

        assert state_of(hass, REACHABLE) == "unknown"

    async def test_two_pbxs_have_the_same_user(
        self, hass: HomeAssistant, entry: MockConfigEntry, port: int, at_pbx: OpenPhone
    ) -> None:
        """Each phone goes to its own, and only one of them is the line."""
        async with SimulatedPbx({"201": "other"}, domain="b.example") as second:
            await add_pbx(
                hass,
                entry,
                pbx_form(second.address[1], name="B", domain="b.example"),
            )
            phone = await at_pbx(password="other", registrar="b.example")
            assert len(second.contacts["201"]) == 1
            # The first one is passed, to find out who synchronizes the keys there.
            assert (await phone.subscribe()).get("Retry-After") == "1"
            response = await phone.subscribe()
            assert response.status == 480
            assert response.get("Retry-After") == "30"


class TestRestart:
    """What phones have registered outlives the listener."""

    @pytest.mark.requirement("P41")
    async def test_phone_subscribes_without_registering_anew(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """The flow is still proven after a reload."""
        phone = await at_pbx()
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()

        assert (await phone.subscribe()).status == 200

    @pytest.mark.requirement("P41")
    async def test_call_after_a_kill_rings(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
        hass_storage: Storage,
    ) -> None:
        """A file of the moment is all that is left; the PBX's Contact is good."""
        called, caller = await bell_at(at_pbx), await bell_at(at_pbx, "202")
        async_fire_time_changed(hass, fire_all=True)
        await hass.async_block_till_done()
        disk = deepcopy(hass_storage)
        await hass.config_entries.async_unload(entry.entry_id)
        hass_storage.clear()
        hass_storage.update(disk)
        assert hass_storage[FILE]["data"]["clean"] is False
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()

        await caller.dial("201")
        ringing = await called.incoming_call()
        called.pick_up(ringing)
        await called.until(ringing, CallState.ESTABLISHED)
        assert (await called.phone.subscribe()).status == 200
        assert called.phone.violations == []

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {"secret": "zz", "bindings": []},
            {"secret": "00", "bindings": []},
            {"secret": None, "bindings": []},
            [],
        ],
    )
    async def test_file_that_cannot_be_read_hinders_nobody(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        at_pbx: OpenPhone,
        hass_storage: Storage,
        content: object,
    ) -> None:
        """Phones register anew."""
        hass_storage[FILE] = {"version": 1, "key": FILE, "data": content}
        await set_up(hass, entry)
        phone = await at_pbx()

        assert (await phone.subscribe()).status == 200

    async def test_record_that_is_no_good_is_left_out(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        hass_storage: Storage,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The others stay."""
        phone, other = await at_pbx(), await at_pbx("202")
        await hass.config_entries.async_unload(entry.entry_id)
        bindings = hass_storage[FILE]["data"]["bindings"]
        (spoiled,) = (one for one in bindings if one["user"] == "202")
        spoiled["flow"] = "nowhere"
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()

        assert (await phone.subscribe()).status == 200
        assert (await other.subscribe()).status != 200
        assert "1 remembered phones at PBXs are left out" in complaints(caplog)

    async def test_phones_of_a_pbx_that_is_gone_are_forgotten(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        hass_storage: Storage,
    ) -> None:
        """It was removed while the listener did not run: nothing is left behind."""
        await at_pbx()
        await hass.config_entries.async_unload(entry.entry_id)
        assert FILE in hass_storage
        hass.config_entries.async_remove_subentry(entry, PBX)
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()

        assert FILE not in hass_storage

    @pytest.mark.parametrize("loaded", [True, False])
    async def test_phones_of_one_pbx_are_forgotten_and_those_of_another_stay(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        hass_storage: Storage,
        loaded: bool,
    ) -> None:
        """Whether the listener runs when the PBX is removed, or not."""
        await at_pbx()
        async with SimulatedPbx({"201": "other"}, domain="b.example") as second:
            form = pbx_form(second.address[1], name="B", domain="b.example")
            await add_pbx(hass, entry, form)
            await at_pbx(password="other", registrar="b.example")
            if not loaded:
                await hass.config_entries.async_unload(entry.entry_id)
            hass.config_entries.async_remove_subentry(entry, PBX)
            await hass.async_block_till_done()
            if not loaded:
                assert await hass.config_entries.async_setup(entry.entry_id)
            await hass.config_entries.async_unload(entry.entry_id)

        bindings = hass_storage[FILE]["data"]["bindings"]
        assert [binding["domain"] for binding in bindings] == ["b.example"]

    async def test_removed_entry_leaves_no_file(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        hass_storage: Storage,
    ) -> None:
        """Nor a secret."""
        await at_pbx()
        await hass.config_entries.async_remove(entry.entry_id)
        await hass.async_block_till_done()

        assert not [key for key in hass_storage if key.startswith("dfks.")]


class TestReachable:
    """Whether the PBX answers (P105)."""

    async def test_is_unknown_at_first(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Nobody has tried."""
        assert state_of(hass, REACHABLE) == "unknown"

    async def test_is_unknown_after_a_restart(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """What is remembered says nothing about now."""
        await at_pbx()
        assert state_of(hass, REACHABLE) == "on"
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()

        assert state_of(hass, REACHABLE) == "unknown"

    @pytest.mark.requirement("P105")
    async def test_silent_pbx_is_told_and_told_no_more(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        listener: DfksListener,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
    ) -> None:
        """After three REGISTERs without an answer, until the next one has one."""
        phone = await at_pbx()
        phone.timeout = 0.05
        phone.retransmit = False
        pbx.silent = True
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await phone.register()
            clock.advance(62)
        assert state_of(hass, REACHABLE) == "off"
        assert words_of(hass, f"pbx_unreachable_{PBX}") == {"pbx": "Office"}

        pbx.silent = False
        phone.timeout = 8.0
        await phone.register()
        assert state_of(hass, REACHABLE) == "on"
        assert issue(hass, f"pbx_unreachable_{PBX}") is None

    async def test_is_on_a_device_of_its_own(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        entity_registry: er.EntityRegistry,
    ) -> None:
        """Of the PBX's subentry."""
        device = find_device(hass, PBX)
        registered = entity_registry.async_get(REACHABLE)
        assert device is not None
        assert registered is not None
        assert registered.unique_id == f"dfks_entry_{PBX}_pbx_reachable"
        assert (device.config_subentry_id, device.name) == (PBX, "Office")
        assert registered.device_id == device.id


def hear_first(server: socket.socket, context: ssl.SSLContext) -> bytes:
    """Take TLS connections until somebody says something over one; return that."""
    for _ in range(10):
        connection, _ = server.accept()
        with connection, suppress(OSError):
            heard = context.wrap_socket(connection, server_side=True).recv(65_535)
            if heard:
                return heard
    raise AssertionError("nobody said anything")


class TestRepairs:
    """What is not as it should be."""

    @pytest.mark.requirement("P69")
    async def test_phone_with_a_wrong_password_is_named(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
    ) -> None:
        """By its line (P69); with the right one the message goes away."""
        wrong = await at_pbx(password="wrong", registered=False)
        for _ in range(7):
            await wrong.register()
        assert refused_passwords(hass) == [
            {"pbx": "Office", "line": "Reception", "source": "127.0.0.1"}
        ]
        # A phone of nobody is named by its user.
        listener.pbxs.password_refused(PBX, "299", "127.0.0.9")
        assert refused_passwords(hass)[1]["line"] == "299"

    async def test_no_id_has_a_user(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Diagnostics list the ids of issues."""
        listener.pbxs.password_refused(PBX, "reception", "127.0.0.1")

        assert [
            issue_id
            for _, issue_id in ir.async_get(hass).issues
            if "reception" in issue_id
        ] == []
        assert len(refused_passwords(hass)) == 1

    async def test_phone_is_named_once(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """However often its password is refused."""
        listener.pbxs.password_refused(PBX, "201", "127.0.0.1")
        listener.pbxs.password_refused(PBX, "201", "127.0.0.9")

        assert [words["source"] for words in refused_passwords(hass)] == ["127.0.0.9"]

    async def test_right_password_ends_that(
        self, hass: HomeAssistant, listener: DfksListener, at_pbx: OpenPhone
    ) -> None:
        """When the PBX accepts the phone."""
        listener.pbxs.password_refused(PBX, "201", "127.0.0.1")
        await at_pbx()

        assert refused_passwords(hass) == []

    async def test_guesser_does_not_fill_the_repairs(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """A few are enough."""
        for number in range(40):
            listener.pbxs.password_refused(PBX, str(number), "127.0.0.1")

        assert len(ir.async_get(hass).issues) == 20

    async def test_pbx_that_synchronizes_keys_is_told_until_it_is_set_so(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """P112."""
        listener.pbxs.synchronizes_keys(PBX)
        assert issue(hass, f"pbx_synchronizes_keys_{PBX}") is not None

        await change_pbx(hass, entry, keys="pbx")
        assert issue(hass, f"pbx_synchronizes_keys_{PBX}") is None

    async def test_certificate_that_is_not_good_is_told_until_it_answers(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """With what is wrong with it (P75)."""
        listener.pbxs.certificate_refused(PBX, "certificate has expired", "AB:CD")
        assert words_of(hass, f"pbx_certificate_refused_{PBX}") == {
            "pbx": "Office",
            "reason": "certificate has expired",
            "fingerprint": "AB:CD",
        }
        listener.pbxs.reachable_changed(PBX, reachable=True)
        assert issue(hass, f"pbx_certificate_refused_{PBX}") is None

    @pytest.mark.requirement("P75")
    async def test_pbx_whose_certificate_nobody_has_signed_is_reached_once_pinned(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """Home Assistant's own authorities decide, until the fingerprint is entered."""
        files = write_pem(tmp_path, "pbx")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        told = asyncio.Event()
        hass.bus.async_listen(
            ir.EVENT_REPAIRS_ISSUE_REGISTRY_UPDATED, callback(lambda _: told.set())
        )
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(PATIENCE)
            heard = asyncio.create_task(asyncio.to_thread(hear_first, server, context))
            pbx_port = server.getsockname()[1]
            entry = listener_entry(port, [pbx_data(pbx_port, transport="TLS")])
            await set_up(hass, entry)
            async with asyncio.timeout(PATIENCE):
                await told.wait()
            words = words_of(hass, f"pbx_certificate_refused_{PBX}")
            assert "self-signed" in words["reason"]
            assert words["fingerprint"] == openssl_fingerprint(Path(files.certificate))

            await change_pbx(
                hass, entry, transport="TLS", fingerprint=words["fingerprint"]
            )
            assert issue(hass, f"pbx_certificate_refused_{PBX}") is None
            phone = Phone("201", "any", (LOCALHOST, port), registrar="pbx.example")
            async with phone:
                registering = asyncio.create_task(phone.register())
                assert (await heard).startswith(b"REGISTER sip:pbx.example SIP/2.0\r\n")
                registering.cancel()

    @pytest.mark.requirement("P75")
    async def test_pbx_with_another_certificate_than_the_pinned_one_is_told(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """In words of its own, for somebody may have taken its place."""
        listener.pbxs.certificate_refused(PBX, None, "AB:CD")
        shown = issue(hass, f"pbx_certificate_refused_{PBX}")
        assert shown is not None
        assert shown.translation_key == "pbx_other_certificate"
        assert shown.translation_placeholders == {
            "pbx": "Office",
            "fingerprint": "AB:CD",
        }

    @pytest.mark.requirement("P27")
    async def test_line_that_nothing_comes_for_is_told_until_something_does(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        listener: DfksListener,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
    ) -> None:
        """A day of REGISTERs without a request of the PBX (P27)."""
        called = await bell_at(at_pbx)
        for _ in range(23):
            clock.advance(3600 - 1)
            await called.phone.register()
        listener.pbxs.issues.async_look()
        assert issue(hass, f"pbx_calls_go_past_{PBX}") is None

        clock.advance(3600 - 1)
        await called.phone.register()
        clock.advance(100)
        listener.pbxs.issues.async_look()
        assert words_of(hass, f"pbx_calls_go_past_{PBX}") == {
            "pbx": "Office",
            "lines": "Reception",
        }

        caller = await bell_at(at_pbx, "202")
        await caller.dial("201")
        await called.incoming_call()
        assert issue(hass, f"pbx_calls_go_past_{PBX}") is None

    async def test_all_are_taken_back_at_a_stop(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A new run starts without grudges."""
        listener.pbxs.reachable_changed(PBX, reachable=False)
        listener.pbxs.synchronizes_keys(PBX)
        listener.pbxs.password_refused(PBX, "201", "127.0.0.1")
        assert len(ir.async_get(hass).issues) == 3
        await hass.config_entries.async_unload(entry.entry_id)

        assert not ir.async_get(hass).issues

    async def test_nothing_is_told_of_a_pbx_that_has_just_been_removed(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Its last messages may still come."""
        hass.config_entries.async_remove_subentry(entry, PBX)
        listener.pbxs.password_refused(PBX, "201", "127.0.0.1")
        await hass.async_block_till_done()
        listener.pbxs.reachable_changed(PBX, reachable=False)

        assert {issue.issue_id for issue in ir.async_get(hass).issues.values()} == {
            "lines_without_pbx"
        }


@pytest.mark.requirement("P104")
async def test_status_of_a_line_at_the_pbx(
    hass: HomeAssistant,
    clock: ManualClock,
    listener: DfksListener,
    at_pbx: OpenPhone,
    pbx: SimulatedPbx,
) -> None:
    """Not registered, waiting, synchronized, and not registered again (P104)."""
    assert state_of(hass, SYNC_STATUS) == "not_registered"
    pbx.max_expires = 600
    phone = await at_pbx()
    assert state_of(hass, SYNC_STATUS) == "waiting"
    clock.advance(30)
    assert state_of(hass, SYNC_STATUS) == "key_sync_off"
    await phone.subscribe()
    await settle(phone)
    assert state_of(hass, SYNC_STATUS) == "synchronized"

    # It goes to the PBX by its second way from here on.
    clock.advance(600)
    assert state_of(hass, SYNC_STATUS) == "not_registered"

    await settle(phone)
    assert state_of(hass, SYNC_STATUS) == "synchronized"
    await phone.unregister()
    assert state_of(hass, SYNC_STATUS) == "not_registered"


async def test_user_agent_is_known_from_the_registration(
    hass: HomeAssistant, listener: DfksListener, at_pbx: OpenPhone
) -> None:
    """Before the phone subscribes."""
    await at_pbx()
    assert state_of(hass, "sensor.reception_user_agent") == "Yealink SIP-T54W 96.86.0.1"


@pytest.mark.requirement("P72", "P73")
async def test_diagnostics_hold_no_secret_number_or_address(
    hass: HomeAssistant,
    hass_client: Any,
    entry: MockConfigEntry,
    listener: DfksListener,
    at_pbx: OpenPhone,
    hass_storage: Storage,
) -> None:
    """A call has passed; the PBX is there with what helps (P72, P73)."""
    caller, called = await bell_at(at_pbx), await bell_at(at_pbx, "202")
    await caller.dial("202")
    await called.incoming_call()
    async_fire_time_changed(hass, fire_all=True)
    await hass.async_block_till_done()
    secret = hass_storage[FILE]["data"]["secret"]
    found = await get_diagnostics_for_config_entry(hass, hass_client, entry)

    assert found["pbxs"] == {
        "pbx-1": {
            "host": found["pbxs"]["pbx-1"]["host"],
            "port": entry.subentries[PBX].data["port"],
            "transport": "UDP",
            "contact": "mirror",
            "keys": "home_assistant",
            "add_lines": False,
            "domain": found["pbxs"]["pbx-1"]["domain"],
            "reachable": True,
            "phones": 2,
        }
    }
    text = str(found)
    assert secret not in text
    for word in ("pbx.example", "m=audio", *USERS.values()):
        assert word not in text
    assert line(entry).state(Feature.DO_NOT_DISTURB).status is False
