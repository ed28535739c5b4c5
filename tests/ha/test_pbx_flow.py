"""The forms of PBXs, and of lines that are registered there."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import SelectSelector
import pytest

from custom_components.dfks.listener import DfksListener
from tests.pbx import SimulatedPbx
from tests.phone import Phone

from .common import (
    ALL_FEATURES,
    DND,
    LOCALHOST,
    RECEPTION,
    SYNC_STATUS,
    WORKSHOP,
    WORKSHOP_DATA,
    MockConfigEntry,
    line,
    line_data,
    listener_entry,
    runtime,
    set_up,
    state_of,
    turn,
)
from .followed import office
from .forms import (
    add_gate,
    fields,
    gate_form,
    placeholders,
    show_form,
    show_line_form,
    show_settings,
    submit,
    suggested,
)
from .pbx import (
    AT_PBX_DATA,
    PBX,
    OpenPhone,
    add_pbx,
    at_pbx,
    line_at_pbx,
    pbx,
    pbx_data,
    pbx_form,
)

__all__ = ["at_pbx", "pbx"]


@pytest.fixture
def entry(port: int, pbx: SimulatedPbx) -> MockConfigEntry:
    """Return a listener with a PBX and the line Workshop here."""
    lines = pbx_data(pbx.address[1]), line_data(WORKSHOP, "Workshop", WORKSHOP_DATA)
    return listener_entry(port, lines)


def options(result: Any, field: str) -> list[Any]:
    """Return the choices of a field of a shown form."""
    assert result["data_schema"] is not None
    selector = result["data_schema"].schema[field]
    assert isinstance(selector, SelectSelector)
    return list(selector.config["options"])


def offered(result: Any, field: str) -> list[tuple[str, str]]:
    """Return value and label of the choices of a field of a shown form."""
    return [(one["value"], one["label"]) for one in options(result, field)]


def unique_ids(registry: er.EntityRegistry, entry: MockConfigEntry) -> dict[str, str]:
    """Return the unique ids of all entities, by entity id."""
    return {
        entity.entity_id: entity.unique_id
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
    }


class TestAddPbx:
    """The form of a PBX."""

    async def test_stores_what_is_entered(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Address and port tell PBXs apart."""
        form = pbx_form(5060, name=" FRITZ!Box ", host=" fritz.box ", domain="")
        result = await add_pbx(hass, entry, form)

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["title"] == "FRITZ!Box"
        assert result["unique_id"] == "fritz.box:5060"
        assert result["data"] == {
            "host": "fritz.box",
            "port": 5060,
            "transport": "UDP",
            "contact": "mirror",
            "keys": "home_assistant",
            "add_lines": False,
        }

    async def test_needs_name_and_address_alone(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """All else has a default: the usual port, UDP, mirrored Contacts."""
        result = await add_pbx(hass, entry, {"name": "B", "host": "192.0.2.1"})

        assert result["unique_id"] == "192.0.2.1:5060"
        assert "port" not in result["data"]
        assert result["data"]["contact"] == "mirror"
        assert result["data"]["add_lines"] is False

    async def test_usual_port_of_tls_is_another(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """5061; so a PBX may be there twice, by two transports."""
        form = {"name": "B", "host": LOCALHOST}
        await add_pbx(hass, entry, form)
        result = await add_pbx(hass, entry, {**form, "transport": "TLS"})

        assert result["unique_id"] == "127.0.0.1:5061"
        assert len(listener.pbxs.pbxs) == 3

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("name", " ", "invalid_name"),
            ("host", "0.0.0.0", "invalid_host"),
            ("host", "sip:pbx.example", "invalid_host"),
            ("host", "192.168.1.300", "invalid_host"),
            ("domain", "pbx.example:5060", "invalid_domain"),
            ("domain", "pbx.example, a b", "invalid_domain"),
            ("fingerprint", "AB:CD", "invalid_fingerprint"),
            ("fingerprint", "no hexadecimal digits", "invalid_fingerprint"),
        ],
    )
    async def test_invalid_input_is_said_and_mended(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        field: str,
        value: str,
        message: str,
    ) -> None:
        """The form keeps what was typed."""
        form = pbx_form(5070, host="192.0.2.1")
        result = await add_pbx(hass, entry, {**form, field: value})
        assert result["errors"] == {field: message}
        assert suggested(result)[field] == value

        result = await submit(hass, result, form)
        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.parametrize(("transport", "pinned"), [("TLS", True), ("TCP", False)])
    @pytest.mark.requirement("P75")
    async def test_fingerprint_is_stored_for_tls(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        transport: str,
        pinned: bool,
    ) -> None:
        """As the form shows it again: pairs of digits with colons."""
        typed = " ".join(["ab", "CD"] * 16)
        form = pbx_form(5070, transport=transport, fingerprint=typed)
        result = await add_pbx(hass, entry, form)

        stored = result["data"].get("fingerprint")
        assert stored == (":".join(["AB", "CD"] * 16) if pinned else None)

    async def test_same_pbx_is_refused(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        pbx: SimulatedPbx,
    ) -> None:
        """And the one that is there is named."""
        result = await add_pbx(hass, entry, pbx_form(pbx.address[1]))

        assert result["errors"] == {"host": "pbx_in_use"}
        assert placeholders(result)["pbx"] == "Office"

    @pytest.mark.parametrize("host", [LOCALHOST, "localhost"])
    @pytest.mark.requirement("P71")
    async def test_home_assistant_itself_is_no_pbx(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        port: int,
        host: str,
    ) -> None:
        """P71."""
        result = await add_pbx(hass, entry, pbx_form(port, host=host))

        assert result["errors"] == {"host": "pbx_is_home_assistant"}

    @pytest.mark.parametrize(
        ("listens_on", "host", "refused"),
        [
            ("0.0.0.0", "127.0.0.9", True),
            ("0.0.0.0", "10.10.10.10", True),
            ("0.0.0.0", "10.10.10.11", False),
            ("0.0.0.0", "::1", False),
            ("127.0.0.1", "10.10.10.10", False),
            ("0.0.0.0", "pbx.example", False),
        ],
    )
    async def test_address_of_this_machine(
        self,
        hass: HomeAssistant,
        port: int,
        listens_on: str,
        host: str,
        refused: bool,
    ) -> None:
        """It is Home Assistant's own where it listens there."""
        entry = listener_entry(port, (), settings={"host": listens_on})
        await set_up(hass, entry)
        result = await add_pbx(hass, entry, pbx_form(port, host=host))

        assert (result.get("errors") == {"host": "pbx_is_home_assistant"}) is refused

    async def test_port_of_tls_is_home_assistants_too(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """Where it serves TLS."""
        tls = {"certificate": "/no", "private_key": "/no", "port": 5097}
        entry = listener_entry(port, (), settings={"tls": tls})
        entry.add_to_hass(hass)
        result = await add_pbx(hass, entry, pbx_form(5097))
        assert result["errors"] == {"host": "pbx_is_home_assistant"}

    @pytest.mark.requirement("P71")
    async def test_another_port_of_this_machine_is_fine(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """An Asterisk beside Home Assistant (P71)."""
        result = await add_pbx(hass, entry, pbx_form(5099))

        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.requirement("P113")
    async def test_domain_that_phones_have_named_is_offered(
        self,
        hass: HomeAssistant,
        port: int,
        at_pbx: OpenPhone,
        pbx: SimulatedPbx,
    ) -> None:
        """As address and as domain; once it is chosen phones come through (P113)."""
        entry = listener_entry(port, ())
        await set_up(hass, entry)
        phone = await at_pbx(registered=False)
        assert (await phone.register()).status == 401

        result = await show_form(hass, entry, "pbx")
        assert options(result, "host") == ["pbx.example"]
        assert options(result, "domain") == ["pbx.example"]
        await submit(hass, result, pbx_form(pbx.address[1]))

        assert (await phone.register()).status == 200

    @pytest.mark.requirement("P103")
    async def test_says_that_calls_stop_with_home_assistant(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """By a text that leaves nothing open but where more is said (P103)."""
        result = await show_form(hass, entry, "pbx")
        assert placeholders(result)["pbx_url"].endswith("/in-front-of-a-pbx.md")

    async def test_can_be_added_while_nothing_runs(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Nothing is offered then."""
        entry.add_to_hass(hass)
        result = await add_pbx(hass, entry, pbx_form(5099))

        assert result["type"] is FlowResultType.CREATE_ENTRY


class TestReconfigurePbx:
    """Changing a PBX."""

    async def test_shows_and_keeps_what_is_set(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Submitted as it is, nothing changes."""
        result = await entry.start_subentry_reconfigure_flow(hass, PBX)
        assert result["step_id"] == "pbx"
        shown = suggested(result)
        assert shown == {**entry.subentries[PBX].data, "name": "Office"}
        before = listener.pbxs.pbxs[PBX].config
        result = await submit(hass, result, shown)

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "reconfigure_successful"
        assert listener.pbxs.pbxs[PBX].config is before

    async def test_changes_what_is_passed(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """The next REGISTER goes to the new address."""
        async with SimulatedPbx({"201": "secret-one"}) as other:
            shown = await entry.start_subentry_reconfigure_flow(hass, PBX)
            form = pbx_form(other.address[1], name="Elsewhere")
            await submit(hass, shown, form)
            await at_pbx()

            assert len(other.contacts["201"]) == 1
        assert entry.subentries[PBX].title == "Elsewhere"
        assert entry.subentries[PBX].unique_id == f"127.0.0.1:{other.address[1]}"


class TestOfferedPhones:
    """Phones that a PBX has accepted and whose lines are not there."""

    @pytest.mark.requirement("P63")
    async def test_are_added_by_choosing_one(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """With what the phone says of itself, and no password (P63)."""
        phone = await at_pbx()
        shown = await show_form(hass, entry, "line")
        assert shown["step_id"] == "phone"
        assert offered(shown, "phone") == [
            (f"201@{PBX}", "201 @ Office, Yealink SIP-T54W 96.86.0.1, 127.0.0.1"),
            ("another", "another"),
        ]
        result = await submit(hass, shown, {"phone": f"201@{PBX}"})

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["title"] == "201"
        assert result["unique_id"] == f"201@{PBX}"
        assert result["data"] == {
            "user": "201",
            "pbx": PBX,
            "features": ALL_FEATURES,
            "notify_style": "multipart",
            "vendor": "yealink",
        }
        assert result["description"] == "at_pbx"
        words = placeholders(result)
        assert words["pbx"] == "Office"
        assert "password" not in words
        assert "account.X.outbound_proxy.1.address" in words["outbound_proxy"]
        assert "account.X.outbound_proxy.2.address" in words["second_way"]
        assert (await phone.subscribe()).status == 200

    async def test_name_of_the_phone_is_the_lines(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        port: int,
        pbx: SimulatedPbx,
    ) -> None:
        """As it stands in From, in UTF-8, and what cannot be shown is left out."""
        async with Phone(
            "201",
            "secret-one",
            (LOCALHOST, port),
            registrar=pbx.domain,
            display_name="Bür\u202eo",
            user_agent="",
        ) as phone:
            assert (await phone.register()).status == 200
            shown = await show_form(hass, entry, "line")
            assert offered(shown, "phone")[0] == (
                f"201@{PBX}",
                "Büro, 201 @ Office, 127.0.0.1",
            )
            result = await submit(hass, shown, {"phone": f"201@{PBX}"})

        assert result["title"] == "Büro"
        assert "vendor" not in result["data"]

    async def test_another_line_has_the_whole_form(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """It may be registered here, or at the PBX."""
        await at_pbx()
        shown = await show_form(hass, entry, "line")
        shown = await submit(hass, shown, {"phone": "another"})
        assert shown["step_id"] == "user"
        assert offered(shown, "pbx") == [("here", "here"), (PBX, "Office")]
        result = await submit(hass, shown, gate_form())

        assert result["unique_id"] == "203"
        assert "pbx" not in result["data"]

    async def test_phone_that_has_gone_meanwhile_is_not_added(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """The others are shown again."""
        phone, _ = await at_pbx(), await at_pbx("203")
        shown = await show_form(hass, entry, "line")
        assert [value for value, _ in offered(shown, "phone")] == [
            f"203@{PBX}",
            f"201@{PBX}",
            "another",
        ]
        await phone.unregister()
        shown = await submit(hass, shown, {"phone": f"201@{PBX}"})

        assert shown["step_id"] == "phone"
        assert [value for value, _ in offered(shown, "phone")] == [
            f"203@{PBX}",
            "another",
        ]

    async def test_one_that_was_added_meanwhile_is_not_added_twice(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """In another window."""
        await at_pbx()
        one, other = [await show_form(hass, entry, "line") for _ in range(2)]
        await submit(hass, one, {"phone": f"201@{PBX}"})
        result = await submit(hass, other, {"phone": f"201@{PBX}"})

        assert result["step_id"] == "phone"
        assert [value for value, _ in offered(result, "phone")] == ["another"]

    async def test_there_may_be_no_room(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Then it is said, and nothing added."""
        await at_pbx()
        shown = await show_form(hass, entry, "line")
        monkeypatch.setattr("custom_components.dfks.capacity.MAX_ENTITIES", 20)
        result = await submit(hass, shown, {"phone": f"201@{PBX}"})

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "too_many_entities"

    async def test_none_is_offered_where_the_pbx_synchronizes_the_keys(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """A line here would be of no use."""
        await at_pbx()
        shown = await entry.start_subentry_reconfigure_flow(hass, PBX)
        await submit(hass, shown, {**suggested(shown), "keys": "pbx"})

        await show_line_form(hass, entry)

    async def test_user_of_a_line_here_is_offered_at_the_pbx(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """Both may be there (P63)."""
        await at_pbx("202")
        shown = await show_form(hass, entry, "line")
        result = await submit(hass, shown, {"phone": f"202@{PBX}"})

        assert result["unique_id"] == f"202@{PBX}"
        assert {line.pbx for line in listener.sync.lines.values()} == {None, PBX}

    async def test_user_whose_phones_log_in_for_a_followed_line_is_not_added(
        self,
        hass: HomeAssistant,
        port: int,
        pbx: SimulatedPbx,
        at_pbx: OpenPhone,
    ) -> None:
        """There would be two states of it."""
        followed = office(pbx.address[1], user="201", phone_password="ours")
        entry = listener_entry(port, [pbx_data(pbx.address[1]), followed])
        await set_up(hass, entry)
        await at_pbx()
        shown = await show_form(hass, entry, "line")
        result = await submit(hass, shown, {"phone": f"201@{PBX}"})

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "already_configured"


class TestAutomaticLines:
    """A PBX whose phones' lines are added at once."""

    @pytest.fixture
    def entry(self, port: int, pbx: SimulatedPbx) -> MockConfigEntry:
        """Return a listener with such a PBX."""
        return listener_entry(port, [pbx_data(pbx.address[1], add_lines=True)])

    @pytest.mark.requirement("P63")
    async def test_line_is_there_when_the_phone_has_registered(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
    ) -> None:
        """Once, and its keys work."""
        phone = await at_pbx()
        await phone.register()
        await hass.async_block_till_done()

        (added,) = listener.sync.lines.values()
        assert (added.user, added.pbx) == ("201", PBX)
        assert (await phone.subscribe()).status == 200
        await phone.notification()
        await phone.set_dnd(True)
        await phone.register()
        assert state_of(hass, "switch.201_do_not_disturb") == "on"

    async def test_phones_that_are_there_get_theirs_when_it_is_chosen(
        self, hass: HomeAssistant, port: int, pbx: SimulatedPbx, at_pbx: OpenPhone
    ) -> None:
        """They need not register anew."""
        entry = listener_entry(port, [pbx_data(pbx.address[1])])
        listener = await set_up(hass, entry)
        await at_pbx()
        assert not listener.sync.lines

        shown = await entry.start_subentry_reconfigure_flow(hass, PBX)
        await submit(hass, shown, {**suggested(shown), "add_lines": True})

        assert [line.user for line in listener.sync.lines.values()] == ["201"]

    async def test_line_without_room_is_not_added_again_and_again(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It is shown once as one that is not served."""
        monkeypatch.setattr("custom_components.dfks.capacity.MAX_ENTITIES", 1)
        phone = await at_pbx()
        await phone.register()
        await hass.async_block_till_done()

        assert len(entry.subentries) == 2
        assert not listener.sync.lines


class TestLineForm:
    """The form of a line that has a choice of where it is registered."""

    async def test_line_at_a_pbx_is_added_by_hand(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Before its phone registers; what was proposed as password is not stored."""
        result = await add_gate(hass, entry, pbx=PBX, auth_name="x")

        assert result["unique_id"] == f"203@{PBX}"
        assert result["data"]["pbx"] == PBX
        assert not {"password", "auth_name"} & result["data"].keys()

    async def test_without_a_pbx_there_is_no_such_field(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """The form is what it was."""
        entry = listener_entry(port, ())
        await set_up(hass, entry)
        shown = await show_line_form(hass, entry)

        assert "pbx" not in fields(shown)

    @pytest.mark.requirement("P63")
    async def test_duplicates_are_checked_by_kind_and_pbx(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """202 is here; at the PBX it is free, and then taken there too."""
        result = await add_gate(hass, entry, user="202", pbx=PBX)
        assert result["type"] is FlowResultType.CREATE_ENTRY

        result = await add_gate(hass, entry, user="202", pbx=PBX)
        assert result["errors"] == {"user": "user_in_use"}
        assert placeholders(result)["line"] == "Gate"

    async def test_auth_names_of_lines_here_are_still_checked(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Beside a line at the PBX, which has none."""
        await add_gate(hass, entry, pbx=PBX)
        result = await add_gate(hass, entry, auth_name="202")

        assert result["errors"] == {"login": "auth_name_in_use"}

    async def test_unknown_phone_of_the_same_user_is_not_the_lines(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        port: int,
    ) -> None:
        """It wants to register here: its vendor says nothing of a phone at the PBX."""
        async with Phone(
            "203", "secret", (LOCALHOST, port), user_agent="snomD785/10.1"
        ) as phone:
            await phone.register()
        result = await add_gate(hass, entry, pbx=PBX)

        assert "vendor" not in result["data"]
        assert listener.monitor.unknown_phones.of("203") is not None


class TestMoveLine:
    """A line moves from here to a PBX and back."""

    async def test_to_the_pbx_and_back(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        at_pbx: OpenPhone,
        port: int,
        entity_registry: er.EntityRegistry,
    ) -> None:
        """Entities, ids, state and the line itself stay; the phone moves."""
        before = unique_ids(entity_registry, entry)
        running = line(entry, WORKSHOP)
        await turn(hass, "switch.workshop_do_not_disturb", "on")

        shown = await entry.start_subentry_reconfigure_flow(hass, WORKSHOP)
        assert suggested(shown)["pbx"] == "here"
        form = {**suggested(shown), "pbx": PBX}
        result = await submit(hass, shown, form)
        assert result["reason"] == "reconfigured_at_pbx"
        assert entry.subentries[WORKSHOP].unique_id == f"202@{PBX}"
        assert "password" not in entry.subentries[WORKSHOP].data
        assert state_of(hass, "sensor.workshop_sync_status") == "not_registered"

        phone = await at_pbx("202")
        assert (await phone.subscribe()).status == 200
        told = await phone.notification()
        assert next(iter(told.features.values())).on
        await phone.register()
        assert state_of(hass, "sensor.workshop_sync_status") == "synchronized"

        assert "synchronized" in fields(await show_settings(hass, entry, WORKSHOP))
        await phone.unregister()
        shown = await show_settings(hass, entry, WORKSHOP)
        assert "not_registered" in fields(shown)
        assert suggested(shown)["pbx"] == PBX
        form = {**suggested(shown), "pbx": "here"}
        result = await submit(hass, shown, form)
        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[WORKSHOP].unique_id == "202"
        password = entry.subentries[WORKSHOP].data["password"]
        assert len(password) == 16
        assert f"`{password}`" in placeholders(result)["password"]
        async with Phone("202", password, (LOCALHOST, port)) as here:
            assert (await here.register()).status == 200

        assert line(entry, WORKSHOP) is running
        assert runtime(entry) is listener
        assert state_of(hass, "switch.workshop_do_not_disturb") == "on"
        assert unique_ids(entity_registry, entry) == before

    async def test_line_whose_pbx_is_gone_comes_home(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """The form proposes it."""
        entry = listener_entry(port, [line_at_pbx(pbx="gone")])
        await set_up(hass, entry)
        assert state_of(hass, SYNC_STATUS) == "not_registered"
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        assert suggested(shown)["pbx"] == "here"
        result = await submit(hass, shown, {**suggested(shown), "password": "new-one"})

        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[RECEPTION].data == {
            **{key: value for key, value in AT_PBX_DATA.items() if key != "pbx"},
            "password": "new-one",
        }
        assert state_of(hass, SYNC_STATUS) == "waiting"
        assert state_of(hass, DND) == "off"
