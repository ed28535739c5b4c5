"""The forms of the listener and of its options.

Those of its lines and PBXs are in line_flow and pbx_flow.

Adding and reconfiguring are one form, so both ways check the same things.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any, Final, override

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentryFlow,
    FlowType,
    OptionsFlow,
    SubentryFlowContext,
)
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.core import callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import (
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    TextSelector,
)
import voluptuous as vol

from .const import (
    CONF_ACCESS,
    CONF_ADVANCED,
    CONF_ADVERTISED_HOST,
    CONF_ADVERTISED_PORT,
    CONF_ALLOWED_NETWORKS,
    CONF_CALL_SCRIPT,
    CONF_CERTIFICATE,
    CONF_CLIENT_AUTHORITY,
    CONF_DIGEST,
    CONF_DOMAINS,
    CONF_GET_SCRIPT,
    CONF_MAX_EXPIRES,
    CONF_MAX_FAILURES,
    CONF_PRIVATE_KEY,
    CONF_REALM,
    CONF_SCRIPTS,
    CONF_SET_SCRIPT,
    CONF_TLS,
    CONF_TRUSTED_PROXIES,
    DEFAULT_ALLOWED_NETWORKS,
    DEFAULT_DIGEST,
    DEFAULT_HOST,
    DEFAULT_MAX_EXPIRES,
    DIGEST_ALGORITHMS,
    DOMAIN,
    MAX_MAX_EXPIRES,
    MAX_MAX_FAILURES,
    MIN_MAX_EXPIRES,
    MIN_MAX_FAILURES,
    SCRIPT_DOMAIN,
    SUBENTRY_TYPE_FOLLOWED,
    SUBENTRY_TYPE_LINE,
    SUBENTRY_TYPE_PBX,
)
from .followed_flow import FollowedLineSubentryFlow
from .forms import (
    HOST_NAME,
    Errors,
    Words,
    address_of,
    choice,
    errors_in_sections,
    filled,
    form_section,
    in_sections,
    is_host,
    without_sections,
)
from .line_flow import LineSubentryFlow
from .listener import DfksConfigEntry
from .pbx_flow import PbxSubentryFlow
from .scripting.script_hooks import script_entity_id, script_key
from .settings import bind_problem, bind_reason, listener_ports
from .sip import (
    DEFAULT_MAX_FAILURES,
    DEFAULT_PORT,
    DEFAULT_REALM,
    DEFAULT_TLS_PORT,
    parse_networks,
    probe,
    probe_tls,
    split_hosts,
    unbracketed,
)
from .tls import TlsError, check_files, tls_files

LISTENER_TITLE: Final = "SIP listener"

# Where 5060 is taken, the next even ports are tried: 5061 is the port of SIP over TLS.
PORTS_TRIED: Final = range(DEFAULT_PORT, DEFAULT_PORT + 40, 2)

# The field under which a bind's failure is shown.
_BIND_FIELDS: Final = {
    "address_not_available": CONF_HOST,
    "port_in_use": CONF_PORT,
    "port_privileged": CONF_PORT,
}

# What the form of the listener has in a section and its entry beside the rest.
LISTENER_SECTIONS: Final = {
    CONF_ADVANCED: (CONF_REALM, CONF_ADVERTISED_HOST, CONF_ADVERTISED_PORT)
}

# The options that name a script.
_SCRIPTS: Final = (CONF_GET_SCRIPT, CONF_SET_SCRIPT, CONF_CALL_SCRIPT)

# The options that say who may come in.
NETWORKS: Final = (CONF_ALLOWED_NETWORKS, CONF_TRUSTED_PROXIES)
ACCESS: Final = (*NETWORKS, CONF_MAX_FAILURES, CONF_DOMAINS)


def _options_schema(errors: Errors) -> vol.Schema:
    return vol.Schema(
        {
            vol.Required(CONF_MAX_EXPIRES, default=DEFAULT_MAX_EXPIRES): vol.All(
                NumberSelector(
                    NumberSelectorConfig(
                        min=MIN_MAX_EXPIRES,
                        max=MAX_MAX_EXPIRES,
                        mode=NumberSelectorMode.BOX,
                        unit_of_measurement="s",
                    )
                ),
                vol.Coerce(int),
            ),
            vol.Required(CONF_DIGEST, default=DEFAULT_DIGEST): choice(
                CONF_DIGEST, list(DIGEST_ALGORITHMS)
            ),
            vol.Optional(CONF_SCRIPTS): form_section(
                {
                    vol.Optional(option): EntitySelector(
                        EntitySelectorConfig(domain=SCRIPT_DOMAIN)
                    )
                    for option in _SCRIPTS
                }
            ),
            vol.Optional(CONF_ACCESS): form_section(
                {
                    vol.Optional(CONF_ALLOWED_NETWORKS): TextSelector(),
                    vol.Optional(CONF_TRUSTED_PROXIES): TextSelector(),
                    vol.Required(
                        CONF_MAX_FAILURES, default=DEFAULT_MAX_FAILURES
                    ): vol.All(
                        NumberSelector(
                            NumberSelectorConfig(
                                min=MIN_MAX_FAILURES,
                                max=MAX_MAX_FAILURES,
                                mode=NumberSelectorMode.BOX,
                            )
                        ),
                        vol.Coerce(int),
                    ),
                    vol.Optional(CONF_DOMAINS): TextSelector(),
                },
                collapsed=CONF_ACCESS not in errors,
            ),
        }
    )


def _listener_schema(port: int, errors: Errors) -> vol.Schema:
    return vol.Schema(
        {
            vol.Required(CONF_HOST, default=DEFAULT_HOST): TextSelector(),
            vol.Required(CONF_PORT, default=port): cv.port,
            vol.Optional(CONF_ADVANCED): form_section(
                {
                    vol.Required(CONF_REALM, default=DEFAULT_REALM): TextSelector(),
                    vol.Optional(CONF_ADVERTISED_HOST): TextSelector(),
                    vol.Optional(CONF_ADVERTISED_PORT): cv.port,
                },
                collapsed=CONF_ADVANCED not in errors,
            ),
            vol.Optional(CONF_TLS): form_section(
                {
                    vol.Optional(CONF_CERTIFICATE): TextSelector(),
                    vol.Optional(CONF_PRIVATE_KEY): TextSelector(),
                    vol.Required(CONF_PORT, default=DEFAULT_TLS_PORT): cv.port,
                    vol.Optional(CONF_CLIENT_AUTHORITY): TextSelector(),
                },
                collapsed=CONF_TLS not in errors,
            ),
        }
    )


class DfksConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds and reconfigures the listener."""

    VERSION = 1
    MINOR_VERSION = 1

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: DfksConfigEntry) -> OptionsFlow:
        """Return the form of the options."""
        return DfksOptionsFlow()

    @classmethod
    @callback
    @override
    def async_get_supported_subentry_types(
        cls, config_entry: ConfigEntry[Any]
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return what can be added below the listener: lines of two kinds, and PBXs."""
        return {
            SUBENTRY_TYPE_LINE: LineSubentryFlow,
            SUBENTRY_TYPE_PBX: PbxSubentryFlow,
            SUBENTRY_TYPE_FOLLOWED: FollowedLineSubentryFlow,
        }

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Add the listener."""
        return await self._async_listener_form("user", user_input, entry=None)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Change the listener's settings."""
        return await self._async_listener_form(
            "reconfigure", user_input, entry=self._get_reconfigure_entry()
        )

    @override
    async def async_on_create_entry(self, result: ConfigFlowResult) -> ConfigFlowResult:
        """Go on with the form of the first line: a listener alone does nothing."""
        line_flow = await self.hass.config_entries.subentries.async_init(
            (result["result"].entry_id, SUBENTRY_TYPE_LINE),
            context=SubentryFlowContext(source=SOURCE_USER),
        )
        result["next_flow"] = (FlowType.CONFIG_SUBENTRIES_FLOW, line_flow["flow_id"])
        return result

    async def _async_listener_form(
        self,
        step_id: str,
        user_input: dict[str, Any] | None,
        *,
        entry: DfksConfigEntry | None,
    ) -> ConfigFlowResult:
        """Show the form, or take it and test whether the listener could listen."""
        values: Mapping[str, Any]
        errors: Errors = {}
        words: Words = {}
        if user_input is not None:
            values = user_input
            before = entry.data if entry else {CONF_REALM: DEFAULT_REALM}
            data, errors = _check_listener(
                without_sections(user_input, LISTENER_SECTIONS, before)
            )
            errors = errors_in_sections(errors, LISTENER_SECTIONS)
            if not errors:
                errors, words = await self._async_check_tls(data)
            if not errors:
                errors, words = await _async_test_bind(entry, data)
            if not errors:
                return self._finish(entry, data)
        elif entry is not None:
            values = in_sections(entry.data, LISTENER_SECTIONS)
        else:
            values = {CONF_PORT: await _async_free_port()}
        return self.async_show_form(
            step_id=step_id,
            data_schema=filled(
                self, _listener_schema(values[CONF_PORT], errors), values
            ),
            errors=errors,
            description_placeholders=words,
        )

    async def _async_check_tls(self, data: Mapping[str, Any]) -> tuple[Errors, Words]:
        """Return what is wrong with the files that TLS needs, and the words for it."""
        if (files := tls_files(self.hass, data)) is None:
            return {}, {}
        try:
            await self.hass.async_add_executor_job(check_files, files)
        except TlsError as err:
            return {CONF_TLS: err.problem.value}, err.words
        return {}, {}

    def _finish(
        self, entry: DfksConfigEntry | None, data: dict[str, Any]
    ) -> ConfigFlowResult:
        if entry is None:
            return self.async_create_entry(title=LISTENER_TITLE, data=data)
        if entry.update_listeners:
            return self.async_update_and_abort(entry, data=data)
        # An entry that could not be set up has nobody who follows its updates.
        return self.async_update_reload_and_abort(entry, data=data)


class DfksOptionsFlow(OptionsFlow):
    """Changes what the listener grants and asks of phones."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show the options, or take them."""
        errors: Errors = {}
        words: Words = {}
        if user_input is not None:
            errors, words = _check_access(user_input.get(CONF_ACCESS, {}))
            if not errors:
                return self.async_create_entry(data=self._options(user_input))
        return self.async_show_form(
            step_id="init",
            data_schema=filled(
                self, _options_schema(errors), user_input or self._values()
            ),
            errors=errors,
            description_placeholders=words,
        )

    def _values(self) -> dict[str, Any]:
        """Return what the form opens with: the options, sorted into its sections."""
        options = self.config_entry.options
        scripts = {
            option: script_entity_id(self.hass, options[option])
            for option in _SCRIPTS
            if option in options
        }
        access = {
            CONF_ALLOWED_NETWORKS: DEFAULT_ALLOWED_NETWORKS,
            **{option: options[option] for option in ACCESS if option in options},
        }
        return {**options, CONF_SCRIPTS: scripts, CONF_ACCESS: access}

    def _options(self, user_input: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a filled form; scripts are stored by their keys.

        A section that was not sent leaves its options as they are, while a field that
        is missing in one that was sent has been emptied.
        """
        options = {**self.config_entry.options, **user_input}
        if (scripts := options.pop(CONF_SCRIPTS, None)) is not None:
            for option in _SCRIPTS:
                options.pop(option, None)
                if option in scripts:
                    options[option] = script_key(self.hass, scripts[option])
        if (access := options.pop(CONF_ACCESS, None)) is not None:
            for option in (*NETWORKS, CONF_DOMAINS):
                options[option] = access.get(option, "").strip()
            options[CONF_MAX_FAILURES] = access[CONF_MAX_FAILURES]
        return options


def _check_listener(
    user_input: Mapping[str, Any],
) -> tuple[dict[str, Any], Errors]:
    """Return the entry data of a filled form, and what is wrong with which field."""
    hosts = split_hosts(user_input[CONF_HOST])
    realm = user_input[CONF_REALM].strip()
    advertised_host = user_input.get(CONF_ADVERTISED_HOST, "").strip()
    data = {
        CONF_HOST: ", ".join(hosts),
        CONF_PORT: user_input[CONF_PORT],
        CONF_REALM: realm,
    }
    errors: Errors = {}
    if (problem := _problem_of(hosts)) is not None:
        errors[CONF_HOST] = problem
    if not HOST_NAME.fullmatch(realm) and not isinstance(
        address_of(realm), IPv4Address
    ):
        errors[CONF_REALM] = "invalid_realm"
    if advertised_host:
        data[CONF_ADVERTISED_HOST] = advertised_host
        if not is_host(advertised_host):
            errors[CONF_ADVERTISED_HOST] = "invalid_advertised_host"
    if advertised_port := user_input.get(CONF_ADVERTISED_PORT):
        data[CONF_ADVERTISED_PORT] = advertised_port
    tls = _filled_in(user_input.get(CONF_TLS, {}))
    if tls.keys() - {CONF_PORT}:
        data[CONF_TLS] = tls
        if not {CONF_CERTIFICATE, CONF_PRIVATE_KEY} <= tls.keys():
            errors[CONF_TLS] = "no_certificate_or_key"
        elif tls[CONF_PORT] == data[CONF_PORT]:
            errors[CONF_TLS] = "port_of_tls_is_the_other"
    return data, errors


def _filled_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that hold something, without white space around it."""
    stripped = {
        name: value.strip() if isinstance(value, str) else value
        for name, value in fields.items()
    }
    return {name: value for name, value in stripped.items() if value != ""}


def _problem_of(hosts: list[str]) -> str | None:
    """Return what is wrong with the addresses to listen on."""
    addresses = [address for host in hosts if (address := address_of(host)) is not None]
    if not addresses or len(addresses) < len(hosts):
        return "invalid_host"
    for address in addresses:
        others = [other for other in addresses if other.version == address.version]
        if addresses.count(address) > 1 or (address.is_unspecified and len(others) > 1):
            return "address_twice"
    return None


def _check_access(access: Mapping[str, Any]) -> tuple[Errors, Words]:
    """Return the error, and the words for it, of networks or domains that are none."""
    for option in NETWORKS:
        for item in access.get(option, "").replace(",", " ").split():
            try:
                parse_networks(item)
            except ValueError:
                return {CONF_ACCESS: "invalid_network"}, {"item": item}
    for item in split_hosts(access.get(CONF_DOMAINS, "")):
        if not is_host(unbracketed(item)):
            return {CONF_ACCESS: "invalid_domain"}, {"item": item}
    return {}, {}


async def _async_test_bind(
    entry: DfksConfigEntry | None, data: Mapping[str, Any]
) -> tuple[Errors, Words]:
    """Bind for a test what the running listener does not already prove to be free."""
    hosts, port = split_hosts(data[CONF_HOST]), data[CONF_PORT]
    held_hosts, held_ports = _held(entry)
    tests = [(host, port) for host in hosts]
    if port in held_ports:
        # The listener itself holds the port; any port tells whether the address is one
        # of this machine.
        tests = [(host, 0) for host in hosts if host not in held_hosts]
    for host, number in tests:
        errors, words = await _async_bind(host, number)
        if errors:
            return errors, words
    tls_port = data[CONF_TLS][CONF_PORT] if CONF_TLS in data else None
    if tls_port is None or tls_port in held_ports:
        return {}, {}
    for host in hosts:
        try:
            await probe_tls(host, tls_port)
        except OSError as err:
            return {CONF_TLS: bind_problem(err)}, _bind_words(host, tls_port, err)
    return {}, {}


def _held(entry: DfksConfigEntry | None) -> tuple[list[str], set[int]]:
    """Return the addresses and ports that a running listener holds."""
    if entry is None or entry.state is not ConfigEntryState.LOADED:
        return [], set()
    return split_hosts(entry.data[CONF_HOST]), listener_ports(entry)


async def _async_bind(host: str, port: int) -> tuple[Errors, Words]:
    """Return the error, and the words for it, if the address cannot be bound."""
    try:
        await probe(host, port)
    except OSError as err:
        problem = bind_problem(err)
        return (
            {_BIND_FIELDS.get(problem, "base"): problem},
            _bind_words(host, port, err),
        )
    return {}, {}


def _bind_words(host: str, port: int, err: OSError) -> Words:
    return {"host": host, "port": str(port), "reason": bind_reason(err)}


async def _async_free_port() -> int:
    """Return the first port that is free on all addresses."""
    for port in PORTS_TRIED:
        errors, _ = await _async_bind(DEFAULT_HOST, port)
        if not errors:
            return port
    return DEFAULT_PORT
