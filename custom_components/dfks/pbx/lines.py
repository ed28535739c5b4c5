"""Lines of phones that a PBX has accepted: added with what the phone says of itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from homeassistant.config_entries import ConfigSubentry

from ..const import (
    CONF_FEATURES,
    CONF_PBX,
    CONF_STYLE,
    CONF_USER,
    CONF_VENDOR,
    DEFAULT_STYLE,
    FEATURE_KEYS,
    SUBENTRY_TYPE_LINE,
)
from ..features.display import decoded, printable
from ..phones.identifiers import MAX_LENGTH
from ..phones.unknown import shown_user_agent
from ..phones.vendors import OTHER, vendor_of
from ..settings import stored_unique_id
from ..sip import ProxyBinding


def line_name(binding: ProxyBinding) -> str:
    """Return what a phone calls its line, the user where it does not say."""
    return _shown_name(binding) or binding.user


def _shown_name(binding: ProxyBinding) -> str:
    return printable(decoded(binding.name), MAX_LENGTH)


def line_data(binding: ProxyBinding) -> dict[str, Any]:
    """Return the data of the line of a phone at a PBX, with all features."""
    data: dict[str, Any] = {
        CONF_USER: binding.user,
        CONF_PBX: binding.pbx,
        CONF_FEATURES: list(FEATURE_KEYS.values()),
        CONF_STYLE: DEFAULT_STYLE.value,
    }
    if (vendor := vendor_of(binding.user_agent)) != OTHER:
        data[CONF_VENDOR] = vendor
    return data


def new_line(binding: ProxyBinding) -> ConfigSubentry:
    """Return the subentry of the line of a phone at a PBX."""
    data: Mapping[str, Any] = line_data(binding)
    return ConfigSubentry(
        subentry_type=SUBENTRY_TYPE_LINE,
        title=line_name(binding),
        unique_id=stored_unique_id(data),
        data=MappingProxyType(data),
    )


def label(binding: ProxyBinding, pbx: str) -> str:
    """Return how a phone at a PBX is offered: name, user, PBX, what it is and where."""
    name = _shown_name(binding)
    words = [
        name if name != binding.user else "",
        f"{binding.user} @ {pbx}",
        shown_user_agent(binding.user_agent),
        binding.flow.remote[0],
    ]
    return ", ".join(filter(None, words))
