"""Every form, every error in it, and the way out of each error."""

import errno
import socket
from typing import Any
from unittest.mock import AsyncMock, patch

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
import pytest
import voluptuous as vol

from custom_components.dfks import config_flow
from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from dev.ports import free_port

from .common import (
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    MockConfigEntry,
    device_of,
    entry_state,
    line,
    reception_form,
    runtime,
)
from .forms import (
    ShownForm,
    add_gate,
    as_sent,
    fields,
    gate_form,
    placeholders,
    sections,
    show_line_form,
    submit,
    suggested,
)

PROBE = "custom_components.dfks.config_flow.probe"


def listener_form(port: int, **changes: object) -> dict[str, Any]:
    """Return the fields of the filled form of the listener, as its entry has them."""
    return {"host": LOCALHOST, "port": port, "realm": "homeassistant", **changes}


def defaults(result: ShownForm) -> dict[str, Any]:
    """Return what a field of a shown form is taken to be where nothing is entered."""
    return {
        str(key): key.default()
        for key in fields(result)
        if isinstance(key, vol.Required) and callable(key.default)
    }


def shown_at(result: ShownForm, field: str) -> str:
    """Return where a form shows what is wrong with a field: a section is opened then."""
    for name, part in sections(result).items():
        if field in part.schema.schema:
            assert not part.options["collapsed"]
            return name
    return field


async def open_listener_form(hass: HomeAssistant) -> ConfigFlowResult:
    """Open the form that adds the listener, which looks for a free port first."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    return result


async def show_listener_form(hass: HomeAssistant) -> ConfigFlowResult:
    """Open the form that adds the listener without a look at this machine's ports."""
    with patch(PROBE):
        return await open_listener_form(hass)


async def add_listener(hass: HomeAssistant, form: dict[str, Any]) -> ConfigFlowResult:
    """Open the form that adds the listener and submit it."""
    return await resubmit(hass, await show_listener_form(hass), form)


async def resubmit(
    hass: HomeAssistant, result: ConfigFlowResult, form: dict[str, Any]
) -> ConfigFlowResult:
    """Submit a form of the listener once more."""
    return await hass.config_entries.flow.async_configure(
        result["flow_id"], as_sent(result, form)
    )


class TestListener:
    """Adding the listener."""

    async def test_is_added_with_its_defaults(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """Only the port is given; the listener runs."""
        result = await add_listener(hass, {"host": LOCALHOST, "port": port})
        await hass.async_block_till_done()

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["title"] == "SIP listener"
        assert result["data"] == listener_form(port)
        assert result["result"].state is ConfigEntryState.LOADED

    async def test_goes_on_with_the_first_line(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """The next form is that of a line of the new listener."""
        result = await add_listener(hass, listener_form(port))
        await hass.async_block_till_done()

        kind, flow_id = result["next_flow"]
        assert kind == "config_subentries_flow"
        line_result = await hass.config_entries.subentries.async_configure(
            flow_id, {"name": "Reception", "user": "201"}
        )
        await hass.async_block_till_done()

        assert line_result["type"] is FlowResultType.CREATE_ENTRY
        assert hass.states.get("switch.reception_do_not_disturb") is not None

    async def test_advertised_address_and_port_are_kept(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """Both are optional, and white space around what is typed does not matter."""
        form = listener_form(
            port, advertised_host=" phones.example.com ", advertised_port=5070
        )
        result = await add_listener(hass, form)

        assert result["data"]["advertised_host"] == "phones.example.com"
        assert result["data"]["advertised_port"] == 5070

    async def test_proposes_all_addresses_and_the_usual_port(
        self, hass: HomeAssistant
    ) -> None:
        """Where 5060 is free it is proposed."""
        with patch(PROBE):
            result = await open_listener_form(hass)

        assert defaults(result) == {"host": "0.0.0.0", "port": 5060}

    async def test_proposes_the_next_free_port(self, hass: HomeAssistant) -> None:
        """Where 5060 and 5062 are taken, 5064 is proposed."""
        taken = OSError(errno.EADDRINUSE, "in use")
        with patch(PROBE, side_effect=[taken, taken, None]) as probe:
            result = await open_listener_form(hass)

        assert defaults(result)["port"] == 5064
        assert [call.args for call in probe.call_args_list] == [
            ("0.0.0.0", 5060),
            ("0.0.0.0", 5062),
            ("0.0.0.0", 5064),
        ]

    async def test_proposes_the_usual_port_where_none_is_free(
        self, hass: HomeAssistant
    ) -> None:
        """The search ends."""
        with patch(PROBE, side_effect=OSError(errno.EADDRINUSE, "in use")):
            result = await open_listener_form(hass)

        assert defaults(result)["port"] == 5060

    @pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
    async def test_taken_port_is_said_and_another_taken(
        self, hass: HomeAssistant, port: int, kind: socket.SocketKind
    ) -> None:
        """UDP and TCP are both tested, on the real machine."""
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind((LOCALHOST, port))
            if kind is socket.SOCK_STREAM:
                other.listen()
            result = await add_listener(hass, listener_form(port))

            assert result["type"] is FlowResultType.FORM
            assert result["errors"] == {"port": "port_in_use"}
            assert placeholders(result)["port"] == str(port)
            assert suggested(result)["port"] == port

            result = await resubmit(hass, result, listener_form(free_port()))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_address_of_another_machine_is_refused(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """192.0.2.0/24 is nobody's (RFC 5737)."""
        result = await add_listener(hass, listener_form(port, host="192.0.2.1"))

        assert result["errors"] == {"host": "address_not_available"}
        assert placeholders(result)["host"] == "192.0.2.1"
        result = await resubmit(hass, result, listener_form(port))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.parametrize(
        ("error", "field", "message"),
        [
            (errno.EACCES, "port", "port_privileged"),
            (errno.EPERM, "port", "port_privileged"),
            (errno.EAFNOSUPPORT, "host", "address_not_available"),
            (errno.ENOBUFS, "base", "cannot_bind"),
        ],
    )
    async def test_other_failures_of_the_test_bind(
        self, hass: HomeAssistant, port: int, error: int, field: str, message: str
    ) -> None:
        """Each is shown where it belongs, and can be mended."""
        shown = await show_listener_form(hass)
        with patch(PROBE, side_effect=OSError(error, "no")):
            result = await resubmit(hass, shown, listener_form(port))

        assert result["errors"] == {field: message}
        result = await resubmit(hass, result, listener_form(port))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("host", "", "invalid_host"),
            ("host", "homeassistant.local", "invalid_host"),
            ("host", "192.168.1.300", "invalid_host"),
            ("realm", "", "invalid_realm"),
            ("realm", "my home", "invalid_realm"),
            ("realm", 'a"b', "invalid_realm"),
            ("realm", "::1", "invalid_realm"),
            ("advertised_host", "0.0.0.0", "invalid_advertised_host"),
            ("advertised_host", "::", "invalid_advertised_host"),
            ("advertised_host", "224.0.1.75", "invalid_advertised_host"),
            ("advertised_host", "192.168.1.300", "invalid_advertised_host"),
            ("advertised_host", "sip:pbx.example", "invalid_advertised_host"),
        ],
    )
    async def test_invalid_input_is_said_and_mended(
        self, hass: HomeAssistant, port: int, field: str, value: str, message: str
    ) -> None:
        """Nothing is bound for a form that cannot be right."""
        shown = await show_listener_form(hass)
        with patch(PROBE) as probe:
            result = await resubmit(hass, shown, listener_form(port, **{field: value}))

        probe.assert_not_called()
        assert result["errors"] == {shown_at(result, field): message}
        assert suggested(result)[field] == value
        result = await resubmit(hass, result, listener_form(port))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    @pytest.mark.parametrize("realm", ["homeassistant", "sip.example.com", "10.0.0.1"])
    async def test_realms_that_a_sip_address_can_hold(
        self, hass: HomeAssistant, port: int, realm: str
    ) -> None:
        """The presentity is sip:USER@REALM."""
        result = await add_listener(hass, listener_form(port, realm=realm))

        assert result["data"]["realm"] == realm

    async def test_there_is_only_one(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """A second listener is not offered."""
        result = await hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_USER}
        )

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "single_instance_allowed"


class TestSections:
    """What most users leave folded up."""

    async def test_listener_asks_for_address_and_port_alone(
        self, hass: HomeAssistant
    ) -> None:
        """Both are filled in, and all else is in sections that are folded up."""
        result = await show_listener_form(hass)

        assert [field for field in fields(result) if field not in sections(result)] == [
            "host",
            "port",
        ]
        assert all(part.options["collapsed"] for part in sections(result).values())

    async def test_listener_that_is_only_submitted_runs(
        self, hass: HomeAssistant, port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With what the form proposes."""
        # Whatever else runs on this machine may have the usual one.
        monkeypatch.setattr(config_flow, "PORTS_TRIED", (port,))
        result = await add_listener(hass, {})

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["result"].state is ConfigEntryState.LOADED
        assert result["data"] == {
            "host": "0.0.0.0",
            "port": port,
            "realm": "homeassistant",
        }

    async def test_line_asks_for_name_user_vendor_and_area(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """All else is in sections that are folded up."""
        result = await show_line_form(hass, entry)

        assert [field for field in fields(result) if field not in sections(result)] == [
            "name",
            "user",
            "vendor",
            "area",
        ]
        assert all(part.options["collapsed"] for part in sections(result).values())

    async def test_section_that_is_not_sent_leaves_the_listener_as_it_is(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        listener: DfksListener,
    ) -> None:
        """Its realm and the address that is advertised."""
        shown = await entry.start_reconfigure_flow(hass)
        form = listener_form(port, realm="example.com", advertised_host="192.0.2.7")
        await resubmit(hass, shown, form)
        await hass.async_block_till_done()
        shown = await entry.start_reconfigure_flow(hass)
        await resubmit(hass, shown, {"host": LOCALHOST, "port": port})
        await hass.async_block_till_done()

        assert entry.data == form

    async def test_section_that_is_not_sent_leaves_the_line_as_it_is(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Its authentication name, features and notifications."""
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        changes = {
            "auth_name": "desk",
            "features": ["do_not_disturb"],
            "notify_style": "separate",
        }
        await submit(hass, shown, reception_form(**changes))
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        await submit(hass, shown, {"name": "Front desk", "user": "201"})

        assert entry.subentries[RECEPTION].title == "Front desk"
        assert entry.subentries[RECEPTION].data == {**RECEPTION_DATA, **changes}


class TestArea:
    """The area of a new line."""

    async def added(
        self, hass: HomeAssistant, entry: MockConfigEntry, area: str
    ) -> dr.DeviceEntry:
        """Add the line Gate in an area, and return its device."""
        await add_gate(hass, entry, area=area)
        (gate,) = (one for one in entry.subentries.values() if one.title == "Gate")
        return device_of(hass, gate.subentry_id)

    async def test_device_is_made_there(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """And it is the device of the line's entities."""
        area = ar.async_get(hass).async_create("Garden").id
        device = await self.added(hass, entry, area)

        assert device.area_id == area
        entities = er.async_entries_for_device(er.async_get(hass), device.id)
        assert "switch" in {entity.domain for entity in entities}

    async def test_device_that_was_moved_stays(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Also when the listener starts anew."""
        area = ar.async_get(hass).async_create("Garden").id
        device = await self.added(hass, entry, area)
        dr.async_get(hass).async_update_device(device.id, area_id=None)
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()

        moved = dr.async_get(hass).async_get(device.id)
        assert moved is not None
        assert moved.area_id is None

    async def test_area_that_is_gone_is_none(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The line is added all the same."""
        device = await self.added(hass, entry, "no_such_area")

        assert device.area_id is None


class TestReconfigureListener:
    """Changing the listener."""

    async def test_shows_what_is_set(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The form opens with the stored values."""
        result = await entry.start_reconfigure_flow(hass)

        assert result["step_id"] == "reconfigure"
        assert suggested(result) == dict(entry.data)

    async def test_unchanged_keeps_the_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        listener: DfksListener,
    ) -> None:
        """Its own port is not tested against itself, and nothing is reloaded."""
        shown = await entry.start_reconfigure_flow(hass)
        result = await resubmit(hass, shown, listener_form(port))
        await hass.async_block_till_done()

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "reconfigure_successful"
        assert runtime(entry) is listener

    @pytest.mark.parametrize(
        "changes",
        [
            {"realm": "sip.example.com"},
            {"advertised_host": "192.0.2.7"},
            {"advertised_port": 5070},
        ],
    )
    async def test_changed_settings_start_a_new_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        listener: DfksListener,
        changes: dict[str, Any],
    ) -> None:
        """On the same address and port, which is not tested then."""
        shown = await entry.start_reconfigure_flow(hass)
        with patch(PROBE) as probe:
            await resubmit(hass, shown, listener_form(port, **changes))
            await hass.async_block_till_done()

        probe.assert_not_called()
        assert entry_state(entry) is ConfigEntryState.LOADED
        assert runtime(entry) is not listener
        assert entry.data == listener_form(port, **changes)

    async def test_advertised_address_can_be_taken_back(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        listener: DfksListener,
    ) -> None:
        """What is left empty is gone."""
        shown = await entry.start_reconfigure_flow(hass)
        form = listener_form(port, advertised_host="192.0.2.7")
        await resubmit(hass, shown, form)
        await hass.async_block_till_done()

        shown = await entry.start_reconfigure_flow(hass)
        await resubmit(hass, shown, listener_form(port))
        await hass.async_block_till_done()

        assert "advertised_host" not in entry.data

    async def test_another_port(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The new port is listened on."""
        new_port = free_port()
        shown = await entry.start_reconfigure_flow(hass)
        await resubmit(hass, shown, listener_form(new_port))
        await hass.async_block_till_done()

        assert runtime(entry).server.port == new_port

    async def test_taken_port_is_said_and_another_taken(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The running listener stays until there is something better."""
        shown = await entry.start_reconfigure_flow(hass)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((LOCALHOST, 0))
            taken = other.getsockname()[1]
            result = await resubmit(hass, shown, listener_form(taken))
        assert result["step_id"] == "reconfigure"
        assert result["errors"] == {"port": "port_in_use"}
        assert runtime(entry) is listener

        result = await resubmit(hass, result, listener_form(free_port()))
        await hass.async_block_till_done()
        assert result["reason"] == "reconfigure_successful"
        assert runtime(entry) is not listener

    async def test_another_address_on_the_same_port(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        port: int,
        listener: DfksListener,
    ) -> None:
        """The listener's own hold on the port is not in its way."""
        shown = await entry.start_reconfigure_flow(hass)
        result = await resubmit(hass, shown, listener_form(port, host="192.0.2.1"))
        assert result["errors"] == {"host": "address_not_available"}

        result = await resubmit(hass, result, listener_form(port, host="127.0.0.2"))
        await hass.async_block_till_done()

        assert result["reason"] == "reconfigure_successful"
        assert entry_state(entry) is ConfigEntryState.LOADED
        assert entry.data["host"] == "127.0.0.2"

    async def test_helps_an_entry_that_could_not_listen(
        self, hass: HomeAssistant, entry: MockConfigEntry, port: int
    ) -> None:
        """While its port is taken it is tested again, then reloaded at once."""
        entry.add_to_hass(hass)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((LOCALHOST, port))
            await hass.config_entries.async_setup(entry.entry_id)
            assert entry_state(entry) is ConfigEntryState.SETUP_RETRY

            shown = await entry.start_reconfigure_flow(hass)
            result = await resubmit(hass, shown, listener_form(port))
            assert result["errors"] == {"port": "port_in_use"}

            result = await resubmit(hass, result, listener_form(free_port()))
            await hass.async_block_till_done()

        assert result["reason"] == "reconfigure_successful"
        assert entry_state(entry) is ConfigEntryState.LOADED


class TestOptions:
    """The options of the listener."""

    async def test_defaults(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """An hour, and both algorithms with MD5 first; nothing is reloaded for them."""
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        assert shown["type"] is FlowResultType.FORM
        assert shown["step_id"] == "init"
        result = await hass.config_entries.options.async_configure(shown["flow_id"], {})
        await hass.async_block_till_done()

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert entry.options == {"max_expires": 3600, "digest": "both"}
        assert runtime(entry) is listener
        assert listener.config.algorithms == ("MD5", "SHA-256")
        assert listener.config.max_expires == 3600

    @pytest.mark.parametrize(
        ("digest", "algorithms"), [("md5", ("MD5",)), ("sha256", ("SHA-256",))]
    )
    async def test_changed_options_start_a_new_listener(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        digest: str,
        algorithms: tuple[str, ...],
    ) -> None:
        """They are in force at once, and shown the next time."""
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        await hass.config_entries.options.async_configure(
            shown["flow_id"], {"max_expires": 300.0, "digest": digest}
        )
        await hass.async_block_till_done()

        assert runtime(entry).config.algorithms == algorithms
        assert runtime(entry).config.max_expires == 300
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        assert (
            suggested(shown).items() >= {"max_expires": 300, "digest": digest}.items()
        )

    @pytest.mark.parametrize("seconds", [299, 3601])
    async def test_subscription_time_has_bounds(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        seconds: int,
    ) -> None:
        """Below, phones would be busy renewing; above, dead ones linger."""
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        with pytest.raises(InvalidData):
            await hass.config_entries.options.async_configure(
                shown["flow_id"], {"max_expires": seconds, "digest": "both"}
            )
        result = await hass.config_entries.options.async_configure(
            shown["flow_id"], {"max_expires": 600, "digest": "both"}
        )
        assert result["type"] is FlowResultType.CREATE_ENTRY


LINE_ERRORS = [
    ("name", " ", "invalid_name"),
    ("name", "x" * 129, "invalid_name"),
    ("user", "", "invalid_user"),
    ("user", "2 01", "invalid_user"),
    ("user", "201@homeassistant", "invalid_user"),
    ("user", "sip:201", "invalid_user"),
    ("user", "%32", "invalid_user"),
    ("user", "20\x001", "invalid_user"),
    ("user", "2\u00a001", "invalid_user"),
    ("password", "tab\tinside", "invalid_password"),
    ("password", "x" * 129, "invalid_password"),
    ("auth_name", 'a"b', "invalid_auth_name"),
    ("auth_name", "a:b", "invalid_auth_name"),
    ("auth_name", "a\nb", "invalid_auth_name"),
    ("features", [], "no_feature"),
    ("user", "202", "user_in_use"),
    ("auth_name", "202", "auth_name_in_use"),
]


class TestLine:
    """Adding a line."""

    async def test_is_added(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """With all features and one notification for all, unless said otherwise."""
        shown = await show_line_form(hass, entry)
        form = {"name": " Gate ", "user": " 203 ", "password": "gate-203"}
        result = await submit(hass, shown, form)

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["title"] == "Gate"
        assert result["data"] == {
            **RECEPTION_DATA,
            "user": "203",
            "password": "gate-203",
        }
        assert result["unique_id"] == "203"

    @pytest.mark.parametrize("left_empty", [{}, {"password": ""}])
    async def test_password_left_empty_is_a_new_one(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        left_empty: dict[str, str],
    ) -> None:
        """Which the next page shows."""
        shown = await show_line_form(hass, entry)
        result = await submit(
            hass, shown, {"name": "Gate", "user": "203", **left_empty}
        )

        assert len(result["data"]["password"]) == 16
        assert result["data"]["password"] in placeholders(result)["password"]

    async def test_takes_an_authentication_name_of_its_own(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The digest user name may differ from the user."""
        result = await add_gate(hass, entry, auth_name="gate@home")

        assert result["data"]["auth_name"] == "gate@home"
        added = next(li for li in listener.sync.lines.values() if li.user == "203")
        assert added.username == "gate@home"

    @pytest.mark.parametrize("user", ["201a", "*21", "j.doe+desk", "0049-30", "büro"])
    async def test_users_that_a_sip_address_can_hold(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        user: str,
    ) -> None:
        """Not only digits."""
        result = await add_gate(hass, entry, user=user)

        assert result["data"]["user"] == user

    @pytest.mark.parametrize(("field", "value", "message"), LINE_ERRORS)
    async def test_invalid_input_is_said_and_mended(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        field: str,
        value: object,
        message: str,
    ) -> None:
        """The form keeps what was typed."""
        result = await add_gate(hass, entry, **{field: value})

        assert result["type"] is FlowResultType.FORM
        assert result["errors"] == {shown_at(result, field): message}
        assert suggested(result)[field] == value
        result = await submit(hass, result, gate_form())
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_duplicates_name_the_line_that_is_in_the_way(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """So that the user knows where to look."""
        result = await add_gate(hass, entry, user="202")

        assert placeholders(result)["line"] == "Workshop"

    async def test_user_must_not_be_the_authentication_name_of_another(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A user is the authentication name too where none is given."""
        await add_gate(hass, entry, auth_name="204")

        result = await add_gate(hass, entry, user="204")
        assert result["errors"] == {"login": "auth_name_in_use"}


class TestReconfigureLine:
    """Changing a line."""

    async def test_shows_all_but_the_password(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The stored password does not leave the store."""
        result = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)

        assert result["step_id"] == "reconfigure"
        expected = reception_form(vendor="other")
        del expected["password"]
        assert suggested(result) == expected
        assert "reception-201" not in repr(
            [field.description for field in fields(result)]
        )

    @pytest.mark.parametrize("left_empty", [{}, {"password": ""}])
    async def test_password_left_empty_is_kept(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        left_empty: dict[str, str],
    ) -> None:
        """Whether the field is missing or empty."""
        form = reception_form(name="Front desk")
        del form["password"]
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        result = await submit(hass, shown, {**form, **left_empty})

        assert result["type"] is FlowResultType.ABORT
        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[RECEPTION].title == "Front desk"
        assert entry.subentries[RECEPTION].data == RECEPTION_DATA

    async def test_everything_can_be_changed(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """And the running line has it."""
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        form = {
            "name": "Front desk",
            "user": "301",
            "password": "new",
            "auth_name": "desk",
            "features": ["call_forwarding_busy", "do_not_disturb"],
            "notify_style": "separate",
        }
        await submit(hass, shown, form)

        assert entry.subentries[RECEPTION].unique_id == "301"
        changed = line(entry)
        assert (changed.user, changed.username, changed.style) == (
            "301",
            "desk",
            "separate",
        )
        assert changed.hashes == runtime(entry).server.hash_password("desk", "new")
        assert changed.assigned == ("DoNotDisturb", "CallForwardingBusy")

    @pytest.mark.parametrize(("field", "value", "message"), LINE_ERRORS)
    async def test_invalid_input_is_said_and_mended(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        field: str,
        value: object,
        message: str,
    ) -> None:
        """As when the line is added; the line's own user is not in its own way."""
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        result = await submit(hass, shown, reception_form(**{field: value}))

        assert result["step_id"] == "reconfigure"
        assert result["errors"] == {shown_at(result, field): message}
        result = await submit(hass, result, reception_form())
        assert result["reason"] == "reconfigure_successful"

    async def test_works_while_the_listener_does_not_run(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """Lines can be changed while the port is taken."""
        entry.add_to_hass(hass)
        start = AsyncMock(side_effect=OSError(errno.EADDRINUSE, "in use"))
        with patch("custom_components.dfks.listener.SipServer.start", start):
            await hass.config_entries.async_setup(entry.entry_id)
        assert entry_state(entry) is ConfigEntryState.SETUP_RETRY

        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        result = await submit(hass, shown, reception_form(name="Front desk"))

        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[RECEPTION].title == "Front desk"
