"""Who may come in and by which way: TLS, several addresses, networks, blocks."""

from datetime import timedelta
from functools import partial
from pathlib import Path
import socket
from typing import Any
from unittest.mock import patch

from homeassistant.components.repairs import DOMAIN as REPAIRS
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import config_validation as cv, issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import probatio
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.repairs import ReadmitFlow, async_create_fix_flow
from dev.ports import free_port
from tests.phone import Phone

from .common import LOCALHOST, MockConfigEntry, async_fire_time_changed, runtime
from .conftest import OpenPhone
from .forms import placeholders
from .pem import write_pem
from .test_config_flow import add_listener, listener_form, resubmit

SOURCE = LOCALHOST


def blocked(hass: HomeAssistant, source: str) -> ir.IssueEntry:
    """Return the issue of a blocked source; its id does not name the source."""
    (issue,) = (
        issue
        for issue in ir.async_get(hass).issues.values()
        if (issue.data or {}).get("source") == source
    )
    assert source not in issue.issue_id
    return issue


def tls_form(files: Any, port: int) -> dict[str, Any]:
    """Return the filled section of TLS."""
    return {"certificate": files.certificate, "private_key": files.key, "port": port}


def is_open(result: Any, part: str) -> bool:
    """Whether a section of a shown form is not folded up."""
    collapsed: bool = result["data_schema"].schema[part].options["collapsed"]
    return not collapsed


class TestTlsForm:
    """The section of TLS in the listener's form."""

    async def test_files_and_port_are_kept(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """A phone can come by TLS then."""
        files = await hass.async_add_executor_job(write_pem, tmp_path, "good")
        tls = tls_form(files, free_port())
        result = await add_listener(hass, listener_form(port, tls=tls))
        await hass.async_block_till_done()

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["data"]["tls"] == tls
        assert runtime(result["result"]).server.tls_port == tls["port"]

    async def test_section_with_nothing_but_a_port_is_none(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """The port alone is no wish for TLS."""
        result = await add_listener(hass, listener_form(port, tls={"port": 5061}))

        assert "tls" not in result["data"]

    @pytest.mark.parametrize(
        ("spoilt", "error"),
        [
            ({"private_key": ""}, "no_certificate_or_key"),
            ({"certificate": "/nowhere.pem"}, "tls_file_not_found"),
            ({"certificate": ""}, "no_certificate_or_key"),
        ],
    )
    async def test_what_is_wrong_is_said_and_can_be_mended(
        self,
        hass: HomeAssistant,
        port: int,
        tmp_path: Path,
        spoilt: dict[str, str],
        error: str,
    ) -> None:
        """The form comes back with the section's error, and takes good files then."""
        files = await hass.async_add_executor_job(write_pem, tmp_path, "good")
        tls = tls_form(files, free_port())
        result = await add_listener(hass, listener_form(port, tls=tls | spoilt))

        assert result["type"] is FlowResultType.FORM
        assert result["errors"] == {"tls": error}
        assert is_open(result, "tls")
        result = await resubmit(hass, result, listener_form(port, tls=tls))
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_certificate_that_has_expired_is_refused(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """Here it can be said; one that expires later is served all the same."""
        files = await hass.async_add_executor_job(
            partial(write_pem, tmp_path, "old", valid_for=timedelta(days=-1))
        )
        form = listener_form(port, tls=tls_form(files, free_port()))
        result = await add_listener(hass, form)

        assert result["errors"] == {"tls": "tls_certificate_expired"}
        assert placeholders(result)["path"] == files.certificate

    async def test_port_must_differ(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """TLS cannot share the port of TCP."""
        files = await hass.async_add_executor_job(write_pem, tmp_path, "good")
        form = listener_form(port, tls=tls_form(files, port))
        result = await add_listener(hass, form)

        assert result["errors"] == {"tls": "port_of_tls_is_the_other"}

    async def test_taken_port_is_named(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """Another program holds the port of TLS."""
        files = await hass.async_add_executor_job(write_pem, tmp_path, "good")
        with socket.socket() as other:
            other.bind((LOCALHOST, 0))
            other.listen()
            taken = other.getsockname()[1]
            form = listener_form(port, tls=tls_form(files, taken))
            result = await add_listener(hass, form)

        assert result["errors"] == {"tls": "port_in_use"}
        assert placeholders(result)["port"] == str(taken)

    async def test_reconfigured_without_a_look_at_its_own_ports(
        self, hass: HomeAssistant, port: int, tmp_path: Path
    ) -> None:
        """The running listener's ports, TLS included, count as free for itself."""
        files = await hass.async_add_executor_job(write_pem, tmp_path, "good")
        form = listener_form(port, tls=tls_form(files, free_port()))
        entry = (await add_listener(hass, form))["result"]
        await hass.async_block_till_done()
        shown = await hass.config_entries.flow.async_init(
            DOMAIN,
            context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id},
        )
        result = await resubmit(hass, shown, form | {"realm": "office"})
        await hass.async_block_till_done()

        assert result["reason"] == "reconfigure_successful"
        assert entry.state is ConfigEntryState.LOADED


class TestAddresses:
    """Several addresses in one field."""

    async def test_several_are_taken(self, hass: HomeAssistant, port: int) -> None:
        """They are kept in one form of writing."""
        with patch("custom_components.dfks.config_flow.probe"):
            result = await add_listener(
                hass, listener_form(port, host=f"{LOCALHOST},::1")
            )

        assert result["data"]["host"] == f"{LOCALHOST}, ::1"

    @pytest.mark.parametrize(
        ("host", "error"),
        [
            (f"{LOCALHOST}, {LOCALHOST}", "address_twice"),
            (f"0.0.0.0, {LOCALHOST}", "address_twice"),
            (f"{LOCALHOST}, phone.example", "invalid_host"),
        ],
    )
    async def test_what_does_not_go_together_is_refused(
        self, hass: HomeAssistant, port: int, host: str, error: str
    ) -> None:
        """Each address once, and none beside all addresses."""
        result = await add_listener(hass, listener_form(port, host=host))

        assert result["errors"] == {"host": error}


class TestAccessOptions:
    """The section of the options that says who may come in."""

    @staticmethod
    async def choose(
        hass: HomeAssistant, entry: MockConfigEntry, **access: object
    ) -> Any:
        """Submit the options with this section."""
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        result = await hass.config_entries.options.async_configure(
            shown["flow_id"], {"access": {"max_failures": 20, **access}}
        )
        await hass.async_block_till_done()
        return result

    async def test_foreign_network_gets_no_answer(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Loopback is not among the networks that are left."""
        await self.choose(hass, entry, allowed_networks="192.0.2.0/24")
        config = runtime(entry).server.config
        address = (LOCALHOST, runtime(entry).server.port)

        assert [str(network) for network in config.allowed_networks] == ["192.0.2.0/24"]
        async with Phone("201", "x", address, timeout=0.2, retransmit=False) as phone:
            with pytest.raises(TimeoutError):
                await phone.options()

    async def test_trusted_proxy_needs_no_password(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """What comes from a trusted address has been checked there."""
        await self.choose(
            hass, entry, allowed_networks=LOCALHOST, trusted_proxies=LOCALHOST
        )
        address = (LOCALHOST, runtime(entry).server.port)

        async with Phone("201", "wrong", address) as phone:
            assert (await phone.subscribe()).status == 200

    @pytest.mark.parametrize("field", ["allowed_networks", "trusted_proxies"])
    async def test_bad_network_is_named_and_can_be_mended(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        field: str,
    ) -> None:
        """The message says which of the items is none."""
        result = await self.choose(hass, entry, **{field: "10.0.0.0/8, 10.0.0.0/99"})

        assert result["errors"] == {"access": "invalid_network"}
        assert placeholders(result)["item"] == "10.0.0.0/99"
        assert is_open(result, "access")
        result = await hass.config_entries.options.async_configure(
            result["flow_id"], {"access": {"max_failures": 20, field: "127.0.0.0/8"}}
        )
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_phone_of_another_domain_is_told_404(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """One that has a domain of the list as its server is served."""
        await self.choose(
            hass,
            entry,
            allowed_networks=LOCALHOST,
            domains="pbx.example.com, [2001:db8::7]",
        )
        server = runtime(entry).server
        before = server.config.domains
        async with Phone("201", "reception-201", (LOCALHOST, server.port)) as phone:
            refused = await phone.register()
        await self.choose(
            hass,
            entry,
            allowed_networks=LOCALHOST,
            domains=f"pbx.example.com, {LOCALHOST}",
        )
        address = (LOCALHOST, runtime(entry).server.port)
        async with Phone("201", "reception-201", address) as phone:
            accepted = await phone.register()

        assert before == ("pbx.example.com", "[2001:db8::7]")
        assert (refused.status, refused.reason) == (404, "No such domain")
        assert accepted.status == 200

    @pytest.mark.parametrize(
        "domain", ["pbx.example.com:5060", "192.168.1", "sip:pbx", "0.0.0.0", "a b"]
    )
    async def test_bad_domain_is_named_and_can_be_mended(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        domain: str,
    ) -> None:
        """The message says which of the items is none."""
        result = await self.choose(hass, entry, domains=f"pbx.example.com, {domain}")

        assert result["errors"] == {"access": "invalid_domain"}
        assert placeholders(result)["item"] == domain
        assert is_open(result, "access")
        result = await hass.config_entries.options.async_configure(
            result["flow_id"],
            {"access": {"max_failures": 20, "domains": "pbx.example.com"}},
        )
        assert result["type"] is FlowResultType.CREATE_ENTRY

    async def test_emptied_domains_accept_any(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """As they do that were never set."""
        before = listener.server.config.domains
        await self.choose(hass, entry, domains="pbx.example.com")
        chosen = runtime(entry).server.config.domains
        await self.choose(hass, entry)

        assert (before, chosen) == ((), ("pbx.example.com",))
        assert runtime(entry).server.config.domains == ()

    async def test_emptied_networks_let_everybody_in(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The page leaves a field out that has been emptied."""
        await self.choose(hass, entry, trusted_proxies=LOCALHOST)
        await self.choose(hass, entry)

        config = runtime(entry).server.config
        assert config.allowed_networks == config.trusted_proxies == ()

    async def test_section_that_is_not_sent_stays_as_it_is(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """So does one that nobody has touched ever."""
        before = listener.server.config
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        await hass.config_entries.options.async_configure(shown["flow_id"], {})
        assert runtime(entry).server.config == before

        await self.choose(hass, entry, allowed_networks="127.0.0.0/8", max_failures=7)
        chosen = dict(entry.options)
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        await hass.config_entries.options.async_configure(shown["flow_id"], {})
        assert entry.options == chosen

    async def test_sections_open_with_what_is_stored(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A default of the section would hide it from the page."""
        await self.choose(hass, entry, allowed_networks="127.0.0.0/8", max_failures=7)
        shown = await hass.config_entries.options.async_init(entry.entry_id)
        assert not is_open(shown, "access")
        sent: Any = probatio.to_field_list(
            shown["data_schema"], custom_serializer=cv.custom_serializer
        )
        fields = {field["name"]: field for field in sent}

        assert not any("default" in fields[name] for name in ("scripts", "access"))
        assert {
            field["name"]: field["description"]["suggested_value"]
            for field in fields["access"]["schema"]
        } == {
            "allowed_networks": "127.0.0.0/8",
            "trusted_proxies": "",
            "max_failures": 7,
            "domains": "",
        }


class TestBlock:
    """A source that gave wrong passwords too often."""

    @staticmethod
    async def guess(hass: HomeAssistant, entry: MockConfigEntry) -> str:
        """Guess passwords until there is no answer; return the id of the issue."""
        server = (LOCALHOST, runtime(entry).server.port)
        async with Phone("201", "wrong", server, retransmit=False) as guesser:
            for _ in range(runtime(entry).config.max_failures - 1):
                assert (await guesser.register()).status == 401
            guesser.timeout = 0.3
            with pytest.raises(TimeoutError):
                await guesser.register()
        return blocked(hass, LOCALHOST).issue_id

    async def test_guesser_is_shown_and_let_in_by_its_repair(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        open_phone: OpenPhone,
    ) -> None:
        """As a click on the page does."""
        assert await async_setup_component(hass, REPAIRS, {})
        await TestAccessOptions.choose(
            hass, entry, allowed_networks=LOCALHOST, max_failures=3
        )
        issue_id = await self.guess(hass, entry)
        issue = ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
        assert issue is not None
        assert issue.translation_placeholders == {
            "source": LOCALHOST,
            "failures": "3",
            "minutes": "15",
        }

        repairs = hass.data[REPAIRS]["flow_manager"]
        shown = await repairs.async_init(DOMAIN, context={"issue_id": issue_id})
        assert shown["description_placeholders"] == issue.translation_placeholders
        done = await repairs.async_configure(shown["flow_id"], {})

        assert done["type"] is FlowResultType.CREATE_ENTRY
        assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is None
        await open_phone()

    async def test_is_no_longer_shown_when_its_time_is_over(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Nobody has to tidy up."""
        await TestAccessOptions.choose(
            hass, entry, allowed_networks=LOCALHOST, max_failures=3
        )
        issue_id = await self.guess(hass, entry)
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=15))
        await hass.async_block_till_done()

        assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is None

    async def test_is_shown_and_let_in_again(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The issue names it; its fix lets it in and takes the issue away."""
        assert await async_setup_component(hass, REPAIRS, {})
        guard = listener.server._guard
        for attempt in range(listener.config.max_failures):
            guard.failed(SOURCE, "201", f"attempt {attempt}")
        issue = blocked(hass, SOURCE)
        assert (issue.translation_placeholders or {})["source"] == SOURCE
        assert not guard.judges(SOURCE, "201", known=True)

        flow = await async_create_fix_flow(hass, issue.issue_id, issue.data)
        assert isinstance(flow, ReadmitFlow)
        flow.hass = hass
        flow.handler, flow.issue_id, flow.flow_id = DOMAIN, issue.issue_id, "fix"
        assert (await flow.async_step_init())["type"] is FlowResultType.FORM
        assert (await flow.async_step_confirm({}))["type"] is (
            FlowResultType.CREATE_ENTRY
        )

        assert ir.async_get(hass).async_get_issue(DOMAIN, issue.issue_id) is None
        phone = await open_phone()
        assert phone.features["DoNotDisturb"].on is False

    async def test_line_that_is_guessed_from_many_addresses_is_shown(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """By its name, as long as it is so; other user names are for the log."""
        guard = listener.server._guard
        for username in ("201", "nobody"):
            for host in range(60):
                guard.failed(f"127.0.1.{host}", username, "guess")
        (issue,) = ir.async_get(hass).issues.values()
        assert issue.translation_key == "password_guessed"
        assert not issue.is_fixable
        assert issue.translation_placeholders == {
            "line": "Reception",
            "failures": "60",
            "minutes": "15",
        }

        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=15))
        await hass.async_block_till_done()
        assert not ir.async_get(hass).issues

    async def test_many_at_once_are_for_the_log(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Twenty issues are shown, and gone with the listener."""
        guard = listener.server._guard
        for host in range(25):
            for attempt in range(listener.config.max_failures):
                guard.failed(f"127.0.1.{host}", f"{host}", f"attempt {attempt}")
        issues = ir.async_get(hass).issues
        shown = [key for key in issues if key[1].startswith("blocked_")]
        assert len(shown) == 20

        await listener.async_stop()
        assert not any(key[1].startswith("blocked_") for key in issues)
