"""The forms: the listener, its options, and its phone lines.

Adding and reconfiguring are one form each, so both ways check the same things.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
import re
from typing import TYPE_CHECKING, Any, Final, cast, override

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentry,
    ConfigSubentryFlow,
    FlowType,
    OptionsFlow,
    SubentryFlowContext,
    SubentryFlowResult,
)
from homeassistant.const import CONF_HOST, CONF_NAME, CONF_PASSWORD, CONF_PORT
from homeassistant.core import callback
from homeassistant.data_entry_flow import FlowHandler, section
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import (
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import voluptuous as vol

from .const import (
    CONF_ADVERTISED_HOST,
    CONF_ADVERTISED_PORT,
    CONF_AUTH_NAME,
    CONF_DIGEST,
    CONF_FEATURES,
    CONF_GET_SCRIPT,
    CONF_MAX_EXPIRES,
    CONF_REALM,
    CONF_SCRIPTS,
    CONF_SET_SCRIPT,
    CONF_STYLE,
    CONF_USER,
    DEFAULT_DIGEST,
    DEFAULT_HOST,
    DEFAULT_MAX_EXPIRES,
    DEFAULT_PORT,
    DEFAULT_REALM,
    DEFAULT_STYLE,
    DIGEST_ALGORITHMS,
    DOMAIN,
    FEATURE_KEYS,
    MAX_MAX_EXPIRES,
    MIN_MAX_EXPIRES,
    SCRIPT_DOMAIN,
    SUBENTRY_TYPE_LINE,
)
from .features.model import NotifyStyle
from .hooks import script_entity_id, script_key
from .listener import DfksConfigEntry, bind_problem, bind_reason, line_subentries
from .sip.transport import probe

if TYPE_CHECKING:
    from probatio import Schema

LISTENER_TITLE: Final = "SIP listener"

# Where 5060 is taken, the next even ports are tried: 5061 is the port of SIP over TLS.
PORTS_TRIED: Final = range(DEFAULT_PORT, DEFAULT_PORT + 40, 2)

# A host name as a SIP URI may hold it (RFC 3261 section 25.1): the last label starts
# with a letter, so that a mistyped address is no name.
_HOST_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*"
    r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
)

# What ends the user part of a SIP URI or starts an escape in it (RFC 3261 section
# 25.1), beside white space and control characters.
_NOT_IN_USER: Final = frozenset('@:%<>"\\')

# What ends the user name of digest credentials or quotes in them (RFC 7616).
_NOT_IN_AUTH_NAME: Final = frozenset(':"\\')

# Characters; longer than any name that a person gives.
MAX_LENGTH: Final = 128

# The field under which a bind's failure is shown.
_BIND_FIELDS: Final = {
    "address_not_available": CONF_HOST,
    "port_in_use": CONF_PORT,
    "port_privileged": CONF_PORT,
}

OPTIONS_SCHEMA: Final = vol.Schema(
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
        vol.Required(CONF_DIGEST, default=DEFAULT_DIGEST): SelectSelector(
            SelectSelectorConfig(
                options=list(DIGEST_ALGORITHMS),
                mode=SelectSelectorMode.LIST,
                translation_key=CONF_DIGEST,
            )
        ),
        vol.Required(CONF_SCRIPTS, default=dict): section(
            # A type checker sees another schema here than Home Assistant does.
            cast(
                "Schema",
                vol.Schema(
                    {
                        vol.Optional(option): EntitySelector(
                            EntitySelectorConfig(domain=SCRIPT_DOMAIN)
                        )
                        for option in (CONF_GET_SCRIPT, CONF_SET_SCRIPT)
                    }
                ),
            ),
            {"collapsed": True},
        ),
    }
)


def _listener_schema(port: int) -> vol.Schema:
    return vol.Schema(
        {
            vol.Required(CONF_HOST, default=DEFAULT_HOST): TextSelector(),
            vol.Required(CONF_PORT, default=port): cv.port,
            vol.Required(CONF_REALM, default=DEFAULT_REALM): TextSelector(),
            vol.Optional(CONF_ADVERTISED_HOST): TextSelector(),
            vol.Optional(CONF_ADVERTISED_PORT): cv.port,
        }
    )


def _line_schema(*, password_known: bool) -> vol.Schema:
    password = vol.Optional if password_known else vol.Required
    return vol.Schema(
        {
            vol.Required(CONF_NAME): TextSelector(),
            vol.Required(CONF_USER): TextSelector(),
            password(CONF_PASSWORD): TextSelector(
                TextSelectorConfig(
                    type=TextSelectorType.PASSWORD, autocomplete="new-password"
                )
            ),
            vol.Optional(CONF_AUTH_NAME): TextSelector(),
            vol.Required(
                CONF_FEATURES, default=list(FEATURE_KEYS.values())
            ): SelectSelector(
                SelectSelectorConfig(
                    options=list(FEATURE_KEYS.values()),
                    multiple=True,
                    mode=SelectSelectorMode.LIST,
                    translation_key=CONF_FEATURES,
                )
            ),
            vol.Required(CONF_STYLE, default=DEFAULT_STYLE.value): SelectSelector(
                SelectSelectorConfig(
                    options=[style.value for style in NotifyStyle],
                    mode=SelectSelectorMode.LIST,
                    translation_key=CONF_STYLE,
                )
            ),
        }
    )


def _filled(
    flow: FlowHandler[Any, Any, Any], schema: vol.Schema, values: Mapping[str, Any]
) -> Schema:
    """Return the schema of a form that opens with these values."""
    # Home Assistant puts probatio in the place of voluptuous: only a type checker
    # sees two.
    return flow.add_suggested_values_to_schema(cast("Schema", schema), values)


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
        """Return what can be added below the listener: lines."""
        return {SUBENTRY_TYPE_LINE: LineSubentryFlow}

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
        errors: dict[str, str] = {}
        placeholders: dict[str, str] = {}
        if user_input is not None:
            values = user_input
            data, errors = _check_listener(user_input)
            if not errors:
                errors, placeholders = await _async_test_bind(entry, data)
            if not errors:
                return self._finish(entry, data)
        elif entry is not None:
            values = entry.data
        else:
            values = {CONF_PORT: await _async_free_port()}
        return self.async_show_form(
            step_id=step_id,
            data_schema=_filled(self, _listener_schema(values[CONF_PORT]), values),
            errors=errors,
            description_placeholders=placeholders,
        )

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
        """Show the options, or take them; scripts are stored by their keys."""
        if user_input is not None:
            options = dict(user_input)
            for option, entity_id in options.pop(CONF_SCRIPTS).items():
                options[option] = script_key(self.hass, entity_id)
            return self.async_create_entry(data=options)
        options = dict(self.config_entry.options)
        options[CONF_SCRIPTS] = {
            option: script_entity_id(self.hass, options[option])
            for option in (CONF_GET_SCRIPT, CONF_SET_SCRIPT)
            if option in options
        }
        return self.async_show_form(
            step_id="init", data_schema=_filled(self, OPTIONS_SCHEMA, options)
        )


class LineSubentryFlow(ConfigSubentryFlow):
    """Adds and reconfigures a phone line."""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add a line."""
        return self._line_form("user", user_input, stored=None)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Change a line."""
        return self._line_form(
            "reconfigure", user_input, stored=self._get_reconfigure_subentry()
        )

    def _line_form(
        self,
        step_id: str,
        user_input: dict[str, Any] | None,
        *,
        stored: ConfigSubentry | None,
    ) -> SubentryFlowResult:
        """Show the form, or take it; the stored password never leaves it again."""
        values = user_input or {}
        errors: dict[str, str] = {}
        placeholders: dict[str, str] = {}
        if user_input is not None:
            data, errors = _check_line(user_input, stored)
            if not errors:
                errors, placeholders = self._find_duplicate(data, stored)
            if not errors:
                return self._finish(user_input[CONF_NAME].strip(), data, stored)
        elif stored is not None:
            values = {**stored.data, CONF_NAME: stored.title}
            del values[CONF_PASSWORD]
        return self.async_show_form(
            step_id=step_id,
            data_schema=_filled(
                self, _line_schema(password_known=stored is not None), values
            ),
            errors=errors,
            description_placeholders=placeholders,
        )

    def _find_duplicate(
        self, data: Mapping[str, Any], stored: ConfigSubentry | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the error, and the line's name for it, if another line is in the way."""
        for other in line_subentries(self._get_entry()).values():
            if stored is not None and other.subentry_id == stored.subentry_id:
                continue
            if other.data[CONF_USER] == data[CONF_USER]:
                return {CONF_USER: "user_in_use"}, {"line": other.title}
            if _auth_name(other.data) == _auth_name(data):
                return {CONF_AUTH_NAME: "auth_name_in_use"}, {"line": other.title}
        return {}, {}

    def _finish(
        self, name: str, data: dict[str, Any], stored: ConfigSubentry | None
    ) -> SubentryFlowResult:
        user: str = data[CONF_USER]
        if stored is None:
            return self.async_create_entry(title=name, data=data, unique_id=user)
        return self.async_update_and_abort(
            self._get_entry(), stored, title=name, data=data, unique_id=user
        )


def _check_listener(
    user_input: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entry data of a filled form, and what is wrong with which field."""
    host = user_input[CONF_HOST].strip()
    realm = user_input[CONF_REALM].strip()
    advertised_host = user_input.get(CONF_ADVERTISED_HOST, "").strip()
    data = {CONF_HOST: host, CONF_PORT: user_input[CONF_PORT], CONF_REALM: realm}
    errors: dict[str, str] = {}
    if _address(host) is None:
        errors[CONF_HOST] = "invalid_host"
    if not _HOST_NAME.fullmatch(realm) and not isinstance(_address(realm), IPv4Address):
        errors[CONF_REALM] = "invalid_realm"
    if advertised_host:
        data[CONF_ADVERTISED_HOST] = advertised_host
        if not _is_reachable(advertised_host):
            errors[CONF_ADVERTISED_HOST] = "invalid_advertised_host"
    if advertised_port := user_input.get(CONF_ADVERTISED_PORT):
        data[CONF_ADVERTISED_PORT] = advertised_port
    return data, errors


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_reachable(host: str) -> bool:
    """Whether phones could send to the host: a name, or an address of one machine."""
    if (address := _address(host)) is None:
        return _HOST_NAME.fullmatch(host) is not None
    return not address.is_unspecified and not address.is_multicast


async def _async_test_bind(
    entry: DfksConfigEntry | None, data: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Bind for a test what the running listener does not already prove to be free."""
    host, port = data[CONF_HOST], data[CONF_PORT]
    if entry is None or entry.state is not ConfigEntryState.LOADED:
        return await _async_bind(host, port)
    if port != entry.data[CONF_PORT]:
        return await _async_bind(host, port)
    if host == entry.data[CONF_HOST]:
        return {}, {}
    # The listener itself holds the port; any port tells whether the address is one
    # of this machine.
    return await _async_bind(host, 0)


async def _async_bind(host: str, port: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the error, and the words for it, if the address cannot be bound."""
    try:
        await probe(host, port)
    except OSError as err:
        problem = bind_problem(err)
        return (
            {_BIND_FIELDS.get(problem, "base"): problem},
            {"host": host, "port": str(port), "reason": bind_reason(err)},
        )
    return {}, {}


async def _async_free_port() -> int:
    """Return the first port that is free on all addresses."""
    for port in PORTS_TRIED:
        errors, _ = await _async_bind(DEFAULT_HOST, port)
        if not errors:
            return port
    return DEFAULT_PORT


def _check_line(
    user_input: Mapping[str, Any], stored: ConfigSubentry | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the subentry data of a filled form, and what is wrong with which field."""
    user = user_input[CONF_USER].strip()
    auth_name = user_input.get(CONF_AUTH_NAME, "").strip()
    password = user_input.get(CONF_PASSWORD, "")
    features = user_input[CONF_FEATURES]
    errors: dict[str, str] = {}
    if not _is_plain(user_input[CONF_NAME].strip()):
        errors[CONF_NAME] = "invalid_name"
    if not _is_plain(user) or " " in user or not _NOT_IN_USER.isdisjoint(user):
        errors[CONF_USER] = "invalid_user"
    if not password and stored is not None:
        password = stored.data[CONF_PASSWORD]
    if not _is_plain(password):
        errors[CONF_PASSWORD] = "invalid_password"
    if auth_name and (
        not _is_plain(auth_name) or not _NOT_IN_AUTH_NAME.isdisjoint(auth_name)
    ):
        errors[CONF_AUTH_NAME] = "invalid_auth_name"
    if not features:
        errors[CONF_FEATURES] = "no_feature"
    data = {
        CONF_USER: user,
        CONF_PASSWORD: password,
        CONF_FEATURES: [key for key in FEATURE_KEYS.values() if key in features],
        CONF_STYLE: user_input[CONF_STYLE],
    }
    if auth_name:
        data[CONF_AUTH_NAME] = auth_name
    return data, errors


def _is_plain(text: str) -> bool:
    """Whether the text is there, of a sane length, and all of it can be seen."""
    return 0 < len(text) <= MAX_LENGTH and text.isprintable()


def _auth_name(data: Mapping[str, Any]) -> str:
    """Return the user name of the line's digest credentials."""
    name: str = data.get(CONF_AUTH_NAME) or data[CONF_USER]
    return name
