"""The form of lines at a PBX that synchronizes keys: its fields, and what they mean."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from homeassistant.const import (
    CONF_DOMAIN,
    CONF_HOST,
    CONF_NAME,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_WEBHOOK_ID,
)
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import (
    BooleanSelector,
    TextSelector,
    TextSelectorConfig,
)
import voluptuous as vol

from ..const import (
    CONF_ADVANCED,
    CONF_AUTH_NAME,
    CONF_CALLS,
    CONF_FEATURES,
    CONF_FINGERPRINT,
    CONF_OUTBOUND_PROXY,
    CONF_PHONE_PASSWORD,
    CONF_PHONES,
    CONF_REGISTER,
    CONF_SEE_CALLS,
    CONF_SERVE,
    CONF_TRANSPORT,
    CONF_USER,
    CONF_VENDOR,
    FEATURE_KEYS,
)
from ..forms import (
    PASSWORD,
    TRANSPORTS,
    Errors,
    Words,
    check_fingerprint,
    chosen_features,
    feature_choice,
    form_section,
    is_host,
    transport_choice,
    vendor_choice,
)
from ..phones.action_urls import new_webhook_id
from ..phones.identifiers import is_auth_name, is_plain, is_user
from ..phones.provisioning import propose_password
from ..phones.vendors import OTHER
from ..settings import split_host_port
from ..sip import default_port, plain_host, unbracketed

# The field of a pasted list, and how many lines it may have.
CONF_LINES: Final = "lines"
MAX_LINES: Final = 500

SECTIONS: Final = {
    CONF_ADVANCED: (
        CONF_AUTH_NAME,
        CONF_DOMAIN,
        CONF_OUTBOUND_PROXY,
        CONF_FINGERPRINT,
        CONF_REGISTER,
        CONF_FEATURES,
    ),
    CONF_PHONES: (CONF_SERVE, CONF_PHONE_PASSWORD),
    CONF_CALLS: (CONF_SEE_CALLS, CONF_VENDOR),
}
DEFAULTS: Final[Mapping[str, Any]] = {
    CONF_REGISTER: False,
    CONF_SERVE: False,
    CONF_SEE_CALLS: False,
    CONF_VENDOR: OTHER,
    CONF_FEATURES: list(FEATURE_KEYS.values()),
}


class WantedLine(NamedTuple):
    """A line that is to be stored, once it was tried."""

    name: str
    data: dict[str, Any]


def followed_schema(step_id: str, errors: Errors) -> vol.Schema:
    """Return the form of a step; sections with errors are unfolded."""
    name: dict[vol.Marker, Any] = {}
    auth_name: dict[vol.Marker, Any] = {}
    phones: dict[str, dict[vol.Marker, Any]] = {}
    line: dict[vol.Marker, Any]
    if step_id == "several":
        line = {
            vol.Required(CONF_LINES): TextSelector(TextSelectorConfig(multiline=True))
        }
    else:
        needed = vol.Optional if step_id == "reconfigure" else vol.Required
        name = {vol.Required(CONF_NAME): TextSelector()}
        auth_name = {vol.Optional(CONF_AUTH_NAME): TextSelector()}
        line = {
            vol.Required(CONF_USER): TextSelector(),
            needed(CONF_PASSWORD): PASSWORD,
        }
        phones = {
            CONF_PHONES: {
                _required(CONF_SERVE): BooleanSelector(),
                vol.Optional(CONF_PHONE_PASSWORD): PASSWORD,
            },
            CONF_CALLS: {
                _required(CONF_SEE_CALLS): BooleanSelector(),
                _required(CONF_VENDOR): vendor_choice(),
            },
        }
    sections: dict[str, dict[vol.Marker, Any]] = {
        CONF_ADVANCED: {
            **auth_name,
            vol.Optional(CONF_DOMAIN): TextSelector(),
            vol.Optional(CONF_OUTBOUND_PROXY): TextSelector(),
            vol.Optional(CONF_FINGERPRINT): TextSelector(),
            _required(CONF_REGISTER): BooleanSelector(),
            _required(CONF_FEATURES): feature_choice(),
        },
        **phones,
    }
    folded: dict[vol.Marker, Any] = {
        vol.Optional(key): form_section(fields, collapsed=key not in errors)
        for key, fields in sections.items()
    }
    return vol.Schema(
        {
            **name,
            vol.Required(CONF_HOST): TextSelector(),
            vol.Optional(CONF_PORT): cv.port,
            vol.Required(CONF_TRANSPORT, default=TRANSPORTS[0]): transport_choice(),
            **line,
            **folded,
        }
    )


def _required(field: str) -> vol.Marker:
    return vol.Required(field, default=DEFAULTS[field])


def read_form(
    fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[list[WantedLine], Errors, Words]:
    """Return the lines of a filled form, and what is wrong with it.

    `before` is what is stored: the passwords that are not typed again, and the address
    that is typed into phones.
    """
    shared, errors = _check_server(fields)
    if errors:
        return [], errors, {}
    if CONF_LINES in fields:
        return _read_list(fields[CONF_LINES], shared)
    line, errors = _check_line(
        fields[CONF_NAME],
        fields[CONF_USER],
        fields.get(CONF_AUTH_NAME, ""),
        fields.get(CONF_PASSWORD) or before.get(CONF_PASSWORD, ""),
        shared,
    )
    if fields[CONF_SERVE]:
        password = fields.get(CONF_PHONE_PASSWORD) or before.get(CONF_PHONE_PASSWORD)
        # A new one is shown once the line is stored.
        line.data[CONF_PHONE_PASSWORD] = password or propose_password()
        if not is_plain(line.data[CONF_PHONE_PASSWORD]):
            errors[CONF_PHONE_PASSWORD] = "invalid_password"
    if fields[CONF_SEE_CALLS]:
        # The calls do not pass here: its phones report them.
        line.data[CONF_SEE_CALLS] = True
        line.data[CONF_WEBHOOK_ID] = before.get(CONF_WEBHOOK_ID) or new_webhook_id()
    if fields[CONF_VENDOR] != OTHER:
        line.data[CONF_VENDOR] = fields[CONF_VENDOR]
    return [line], errors, {}


def _check_server(fields: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Return the data that all lines of a form have, and what is wrong with it."""
    host = unbracketed(fields[CONF_HOST].strip())
    domain = fields.get(CONF_DOMAIN, "").strip()
    proxy = fields.get(CONF_OUTBOUND_PROXY, "").strip()
    fingerprint, errors = check_fingerprint(fields)
    if not is_host(host):
        errors[CONF_HOST] = "invalid_host"
    if domain and not is_host(unbracketed(domain)):
        errors[CONF_DOMAIN] = "invalid_domain"
    if proxy and not _is_proxy(proxy):
        errors[CONF_OUTBOUND_PROXY] = "invalid_proxy"
    if not fields[CONF_FEATURES]:
        errors[CONF_FEATURES] = "no_feature"
    data = {
        CONF_HOST: host,
        CONF_TRANSPORT: fields[CONF_TRANSPORT],
        CONF_REGISTER: fields[CONF_REGISTER],
        CONF_FEATURES: chosen_features(fields),
    }
    if port := fields.get(CONF_PORT):
        data[CONF_PORT] = port
    if domain:
        data[CONF_DOMAIN] = unbracketed(domain)
    if proxy:
        data[CONF_OUTBOUND_PROXY] = proxy
    if fingerprint:
        data[CONF_FINGERPRINT] = fingerprint
    return data, errors


def _is_proxy(text: str) -> bool:
    try:
        host, _ = split_host_port(text)
    except ValueError:
        return False
    return is_host(host)


def _check_line(
    name: str, user: str, auth_name: str, password: str, shared: Mapping[str, Any]
) -> tuple[WantedLine, Errors]:
    """Return one line, and what is wrong with which field of it."""
    name, user, auth_name = name.strip(), user.strip(), auth_name.strip()
    errors: Errors = {}
    if not is_plain(name):
        errors[CONF_NAME] = "invalid_name"
    if not is_user(user):
        errors[CONF_USER] = "invalid_user"
    if auth_name and not is_auth_name(auth_name):
        errors[CONF_AUTH_NAME] = "invalid_auth_name"
    if not is_plain(password):
        errors[CONF_PASSWORD] = "invalid_password"
    data = {**shared, CONF_USER: user, CONF_PASSWORD: password}
    if auth_name:
        data[CONF_AUTH_NAME] = auth_name
    return WantedLine(name, data), errors


def _read_list(
    text: str, shared: Mapping[str, Any]
) -> tuple[list[WantedLine], Errors, Words]:
    """Return the lines of a pasted list: name, user, authentication name, password.

    Separated by tabs, semicolons or commas; without the authentication name there are
    three. Empty lines are passed over.
    """
    wanted: list[WantedLine] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        separator = next((mark for mark in "\t;," if mark in line), ",")
        fields = [field.strip() for field in line.split(separator)]
        if len(fields) == 3:
            fields.insert(2, "")
        if len(fields) != 4:
            return [], {CONF_LINES: "invalid_list"}, {"number": str(number)}
        name, user, auth_name, password = fields
        found, errors = _check_line(name, user, auth_name, password, shared)
        if errors:
            return [], {CONF_LINES: "invalid_list"}, {"number": str(number)}
        wanted.append(found)
    if not wanted:
        return [], {CONF_LINES: "empty_list"}, {}
    if len(wanted) > MAX_LINES:
        return [], {CONF_LINES: "too_many_lines"}, {"max": str(MAX_LINES)}
    return wanted, {}, {}


def unique_id_of(data: Mapping[str, Any]) -> str:
    """Return what tells followed lines apart; PBXs have no @, other lines no colon."""
    port = data.get(CONF_PORT) or default_port(data[CONF_TRANSPORT])
    where = plain_host(data.get(CONF_DOMAIN) or data[CONF_HOST])
    return f"{data[CONF_USER]}@{where}:{port}"
