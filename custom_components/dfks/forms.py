"""What the forms of the listener, its lines and its PBXs share."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
import re
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.data_entry_flow import FlowHandler, section
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
import voluptuous as vol

if TYPE_CHECKING:
    from probatio import Schema

# What is wrong, by field, and the words that the messages leave open.
type Errors = dict[str, str]
type Words = dict[str, str]

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


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_host(host: str) -> bool:
    """Whether phones could send to the host: a name, or an address of one machine."""
    if (address := address_of(host)) is None:
        return HOST_NAME.fullmatch(host) is not None
    return not address.is_unspecified and not address.is_multicast
