"""What the forms of the listener, its lines and its PBXs share."""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
import re
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.components import network
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowHandler, section
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import voluptuous as vol

from .const import (
    CONF_FEATURES,
    CONF_FINGERPRINT,
    CONF_TRANSPORT,
    CONF_VENDOR,
    FEATURE_KEYS,
)
from .phones.vendors import OTHER, VENDORS
from .settings import listener_ports
from .sip import default_port, read_fingerprint, split_hosts, unbracketed

if TYPE_CHECKING:
    from probatio import Schema

# What is wrong, by field, and the words that the messages leave open.
type Errors = dict[str, str]
type Words = dict[str, str]

# The fields of each section of a form. What is stored has no sections.
type Sections = Mapping[str, Collection[str]]

# What messages go to a PBX over, whatever its phones speak.
TRANSPORTS: Final = ("UDP", "TCP", "TLS")

# The field of a password that is not shown.
PASSWORD: Final = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="new-password")
)

# A host name as a SIP URI may hold it (RFC 3261 section 25.1): the last label starts
# with a letter, so that a mistyped address is no name.
HOST_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*"
    r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
)


def form_section(schema: dict[vol.Marker, Any], *, collapsed: bool = True) -> section:
    """Return a part of a form that is folded up, unless something in it is wrong.

    Home Assistant's page shows what is wrong in it under the section's own name. Its key
    must have no default, or the page fills in that and not what is stored.
    """
    # A type checker sees another schema here than Home Assistant does.
    return section(cast("Schema", vol.Schema(schema)), {"collapsed": collapsed})


def in_sections(values: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """Return what is stored as a form with these sections shows it."""
    inside = {field for fields in sections.values() for field in fields}
    return {
        **{field: value for field, value in values.items() if field not in inside},
        **{
            name: {field: values[field] for field in fields if field in values}
            for name, fields in sections.items()
        },
    }


def without_sections(
    user_input: Mapping[str, Any], sections: Sections, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all fields of a filled form side by side, as they are stored.

    A section that was not sent leaves its fields as they were before, while a field
    that is missing in one that was sent has been emptied.
    """
    values = {
        field: value for field, value in user_input.items() if field not in sections
    }
    for name, fields in sections.items():
        source = user_input.get(name, before)
        values |= {field: source[field] for field in fields if field in source}
    return values


def errors_in_sections(errors: Errors, sections: Sections) -> Errors:
    """Return the errors by what Home Assistant's page can show one under.

    Of a field in a section, that is the section.
    """
    section_of = {field: name for name, fields in sections.items() for field in fields}
    return {section_of.get(field, field): error for field, error in errors.items()}


def filled(
    flow: FlowHandler[Any, Any, Any], schema: vol.Schema, values: Mapping[str, Any]
) -> Schema:
    """Return the schema of a form that opens with these values."""
    # Home Assistant puts probatio in the place of voluptuous: only a type checker
    # sees two.
    return flow.add_suggested_values_to_schema(cast("Schema", schema), values)


def choice(
    key: str,
    options: Sequence[str] | Sequence[SelectOptionDict],
    mode: SelectSelectorMode = SelectSelectorMode.LIST,
) -> SelectSelector:
    """Return the field of one of some options, which are translated under `key`."""
    return SelectSelector(
        SelectSelectorConfig(options=options, mode=mode, translation_key=key)
    )


def proposals(
    options: Sequence[str] | Sequence[SelectOptionDict],
) -> TextSelector | SelectSelector:
    """Return a field to type into, which offers some options if there are any."""
    if not options:
        return TextSelector()
    return SelectSelector(
        SelectSelectorConfig(
            options=options, custom_value=True, mode=SelectSelectorMode.DROPDOWN
        )
    )


def transport_choice() -> SelectSelector:
    """Return the field of what messages go to a PBX over."""
    return SelectSelector(
        SelectSelectorConfig(options=list(TRANSPORTS), mode=SelectSelectorMode.DROPDOWN)
    )


def vendor_choice() -> SelectSelector:
    """Return the field of who has made the phone of a line."""
    options = [
        SelectOptionDict(value=key, label=vendor.name)
        for key, vendor in VENDORS.items()
    ]
    options.append(SelectOptionDict(value=OTHER, label=OTHER))
    return choice(CONF_VENDOR, options, SelectSelectorMode.DROPDOWN)


def feature_choice() -> SelectSelector:
    """Return the field of the features of a line."""
    return SelectSelector(
        SelectSelectorConfig(
            options=list(FEATURE_KEYS.values()),
            multiple=True,
            mode=SelectSelectorMode.LIST,
            translation_key=CONF_FEATURES,
        )
    )


def chosen_features(values: Mapping[str, Any]) -> list[str]:
    """Return the features that are chosen in a form, in the order of documents."""
    return [key for key in FEATURE_KEYS.values() if key in values[CONF_FEATURES]]


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


async def async_is_ourselves(
    hass: HomeAssistant,
    entry: ConfigEntry[Any],
    host: str,
    port: int | None,
    transport: str,
) -> bool:
    """Whether a PBX is the listener of an entry itself, by address and port."""
    if (port or default_port(transport)) not in listener_ports(entry):
        return False
    host = unbracketed(host)
    address = address_of("127.0.0.1" if host == "localhost" else host)
    if address is None:
        return False
    hosts = [ip_address(host) for host in split_hosts(entry.data[CONF_HOST])]
    if address in hosts:
        return True
    own = await network.async_get_enabled_source_ips(hass)
    return (address.is_loopback or address in own) and any(
        host.is_unspecified and host.version == address.version for host in hosts
    )


def check_fingerprint(fields: Mapping[str, Any]) -> tuple[str | None, Errors]:
    """Return the fingerprint of a form, None without one, and what is wrong with it.

    Without TLS there is no certificate.
    """
    text = fields.get(CONF_FINGERPRINT, "").strip()
    if not text:
        return None, {}
    try:
        fingerprint = read_fingerprint(text)
    except ValueError:
        return None, {CONF_FINGERPRINT: "invalid_fingerprint"}
    return fingerprint if fields[CONF_TRANSPORT] == "TLS" else None, {}


def is_host(host: str) -> bool:
    """Whether phones could send to the host: a name, or an address of one machine."""
    if (address := address_of(host)) is None:
        return HOST_NAME.fullmatch(host) is not None
    return not address.is_unspecified and not address.is_multicast
