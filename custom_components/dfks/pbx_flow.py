"""The form of a PBX that phones are registered at, with Home Assistant in between."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigSubentry,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_DOMAIN, CONF_HOST, CONF_NAME, CONF_PORT
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import BooleanSelector, TextSelector
import voluptuous as vol

from .const import (
    CONF_ADD_LINES,
    CONF_CONTACT,
    CONF_FINGERPRINT,
    CONF_KEYS,
    CONF_TRANSPORT,
    KEYS_AT_PBX,
    KEYS_HERE,
    PBX_URL,
)
from .forms import (
    TRANSPORTS,
    Errors,
    Words,
    async_is_ourselves,
    check_fingerprint,
    choice,
    filled,
    is_host,
    proposals,
    transport_choice,
)
from .listener import running_listener
from .pbx.certificates import async_prepare_tls
from .phones.identifiers import is_plain
from .settings import pbx_subentries
from .sip import ContactMode, default_port, plain_host, split_hosts, unbracketed


class PbxSubentryFlow(ConfigSubentryFlow):
    """Adds and reconfigures a PBX."""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add a PBX."""
        return await self.async_step_pbx(user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Change a PBX."""
        return await self.async_step_pbx(user_input)

    async def async_step_pbx(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show the form, or take it."""
        stored = None
        if self.source == SOURCE_RECONFIGURE:
            stored = self._get_reconfigure_subentry()
        errors: Errors = {}
        words: Words = {}
        if user_input is not None:
            data, errors = _check_pbx(user_input)
            if not errors and await async_is_ourselves(
                self.hass,
                self._get_entry(),
                data[CONF_HOST],
                data.get(CONF_PORT),
                data[CONF_TRANSPORT],
            ):
                errors = {CONF_HOST: "pbx_is_home_assistant"}
            if not errors:
                errors, words = self._find_duplicate(data, stored)
            if not errors:
                await async_prepare_tls(self.hass, (data[CONF_TRANSPORT],))
                return self._finish(user_input[CONF_NAME].strip(), data, stored)
        values: Mapping[str, Any] = user_input or {}
        if user_input is None and stored is not None:
            values = {**stored.data, CONF_NAME: stored.title}
        return self.async_show_form(
            step_id="pbx",
            data_schema=filled(self, _schema(self._seen_domains()), values),
            errors=errors,
            description_placeholders={**words, "pbx_url": PBX_URL},
        )

    def _seen_domains(self) -> list[str]:
        """Return the hosts that phones register at and that are no PBX's yet."""
        listener = running_listener(self._get_entry())
        return [] if listener is None else list(listener.server.seen_domains())

    def _find_duplicate(
        self, data: Mapping[str, Any], stored: ConfigSubentry | None
    ) -> tuple[Errors, Words]:
        """Return the error, and the name of the PBX that is the same."""
        for other in pbx_subentries(self._get_entry()).values():
            if stored is not None and other.subentry_id == stored.subentry_id:
                continue
            if _unique_id(other.data) == _unique_id(data):
                return {CONF_HOST: "pbx_in_use"}, {"pbx": other.title}
        return {}, {}

    def _finish(
        self, name: str, data: dict[str, Any], stored: ConfigSubentry | None
    ) -> SubentryFlowResult:
        unique_id = _unique_id(data)
        if stored is None:
            return self.async_create_entry(
                title=name,
                data=data,
                unique_id=unique_id,
                description_placeholders={"pbx_url": PBX_URL},
            )
        self.hass.config_entries.async_update_subentry(
            self._get_entry(), stored, title=name, data=data, unique_id=unique_id
        )
        return self.async_abort(reason="reconfigure_successful")


def _schema(domains: list[str]) -> vol.Schema:
    host = proposals(domains)
    return vol.Schema(
        {
            vol.Required(CONF_NAME): TextSelector(),
            vol.Required(CONF_HOST): host,
            vol.Optional(CONF_PORT): cv.port,
            vol.Required(CONF_TRANSPORT, default=TRANSPORTS[0]): transport_choice(),
            vol.Optional(CONF_FINGERPRINT): TextSelector(),
            vol.Required(CONF_ADD_LINES, default=False): BooleanSelector(),
            vol.Optional(CONF_DOMAIN): host,
            vol.Required(CONF_KEYS, default=KEYS_HERE): choice(
                CONF_KEYS, [KEYS_HERE, KEYS_AT_PBX]
            ),
            vol.Required(CONF_CONTACT, default=ContactMode.MIRROR.value): choice(
                CONF_CONTACT, [mode.value for mode in ContactMode]
            ),
        }
    )


def _check_pbx(user_input: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Return the data of a filled form, and what is wrong with which field."""
    host = user_input[CONF_HOST].strip()
    domains = split_hosts(user_input.get(CONF_DOMAIN, ""))
    fingerprint, errors = check_fingerprint(user_input)
    if not is_plain(user_input[CONF_NAME].strip()):
        errors[CONF_NAME] = "invalid_name"
    if not is_host(unbracketed(host)):
        errors[CONF_HOST] = "invalid_host"
    if not all(is_host(unbracketed(domain)) for domain in domains):
        errors[CONF_DOMAIN] = "invalid_domain"
    data = {
        CONF_HOST: unbracketed(host),
        CONF_TRANSPORT: user_input[CONF_TRANSPORT],
        CONF_CONTACT: user_input[CONF_CONTACT],
        CONF_KEYS: user_input[CONF_KEYS],
        CONF_ADD_LINES: user_input[CONF_ADD_LINES],
    }
    if port := user_input.get(CONF_PORT):
        data[CONF_PORT] = port
    if domains:
        data[CONF_DOMAIN] = ", ".join(domains)
    if fingerprint:
        data[CONF_FINGERPRINT] = fingerprint
    return data, errors


def _unique_id(data: Mapping[str, Any]) -> str:
    """Return what tells PBXs apart; no line has a colon in its id."""
    port = data.get(CONF_PORT) or default_port(data[CONF_TRANSPORT])
    return f"{plain_host(data[CONF_HOST])}:{port}"
