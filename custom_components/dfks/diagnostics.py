"""What a user hands on when something does not work: all that helps, nobody's secrets.

It is built from what is known to be harmless, not by striking out what is not: a
setting or a header field that is new here comes out redacted. Users, numbers and
addresses have aliases that are the same in the configuration and in the messages.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import CONF_DOMAIN, CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant
from homeassistant.helpers.device_registry import AnyDeviceEntry
from homeassistant.util import dt as dt_util

from .const import (
    CONF_ADD_LINES,
    CONF_ADVERTISED_HOST,
    CONF_ADVERTISED_PORT,
    CONF_ALLOWED_NETWORKS,
    CONF_AUTH_NAME,
    CONF_BUSY_STATUS,
    CONF_CONTACT,
    CONF_DIGEST,
    CONF_DOMAINS,
    CONF_FEATURES,
    CONF_KEYS,
    CONF_MAX_EXPIRES,
    CONF_MAX_FAILURES,
    CONF_OUTBOUND_PROXY,
    CONF_PBX,
    CONF_REALM,
    CONF_REGISTER,
    CONF_REJECT_RINGING,
    CONF_RING_SECONDS,
    CONF_SEE_CALLS,
    CONF_STYLE,
    CONF_TLS,
    CONF_TRANSPORT,
    CONF_TREAT_CALLS,
    CONF_TRUSTED_PROXIES,
    CONF_USER,
    CONF_VENDOR,
    DEFAULT_ALLOWED_NETWORKS,
    DOMAIN,
    FEATURE_KEYS,
)
from .features.model import FORWARDINGS, Feature, Line
from .features.redaction import redact_body
from .listener import DfksConfigEntry, DfksListener, running_listener
from .phones.monitor import LineContact
from .settings import (
    followed_subentries,
    line_auth_name,
    line_subentries,
    line_unique_id,
    pbx_subentries,
    split_host_port,
)
from .sip import (
    REDACTED,
    Aliases,
    Binding,
    NotSip,
    Request,
    Response,
    SipError,
    Subscription,
    Traced,
    parse,
    parse_networks,
    redact_addresses,
    redact_message,
    redact_product,
    redact_uri,
    split_hosts,
)

# Lines that are written before other callbacks of the event loop get their turn.
SLICE: Final = 50


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: DfksConfigEntry
) -> dict[str, Any]:
    """Return what there is to know of the listener and all its lines."""
    return await _async_diagnostics(
        hass,
        entry,
        line_subentries(entry),
        pbx_subentries(entry),
        followed_subentries(entry),
    )


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: DfksConfigEntry, device: AnyDeviceEntry
) -> dict[str, Any]:
    """Return what there is to know of one line, and the messages of its phones.

    Or of one PBX, without messages: they are the lines'.
    """
    lines, pbxs, followed = (
        {
            subentry_id: subentry
            for subentry_id, subentry in subentries.items()
            if (DOMAIN, line_unique_id(entry, subentry_id)) in device.identifiers
        }
        for subentries in (
            line_subentries(entry),
            pbx_subentries(entry),
            followed_subentries(entry),
        )
    )
    return await _async_diagnostics(hass, entry, lines, pbxs, followed, only_these=True)


async def _async_diagnostics(
    hass: HomeAssistant,
    entry: DfksConfigEntry,
    subentries: Mapping[str, ConfigSubentry],
    pbxs: Mapping[str, ConfigSubentry],
    followed: Mapping[str, ConfigSubentry],
    *,
    only_these: bool = False,
) -> dict[str, Any]:
    aliases = Aliases()
    # Before all else, so that a name is known wherever it comes up.
    for subentry in subentries.values():
        _name(subentry, aliases)
    for pbx in pbxs.values():
        aliases.name(pbx.title)
    for subentry in followed.values():
        _name(subentry, aliases)
    listener = running_listener(entry)
    messages: list[Traced] = list(listener.trace) if listener else []
    if only_these:
        users = {
            subentry.data[CONF_USER]
            for subentry in (*subentries.values(), *followed.values())
        }
        messages = [message for message in messages if _user_of(message.data) in users]
    # Whatever comes up in any message is left out of what phones call themselves.
    await hass.async_add_executor_job(_messages, messages, aliases)
    lines = {}
    for count, (line_id, subentry) in enumerate(subentries.items()):
        line = listener and listener.sync.lines.get(line_id)
        lines[aliases.of("line", line_id)] = {
            **_settings(subentry.data, aliases),
            **(_line(listener, line, aliases) if listener and line else {}),
        }
        if not count % SLICE:
            await asyncio.sleep(0)
    return {
        "entry": {
            "state": entry.state.value,
            "reason": entry.error_reason_translation_key,
            "data": _settings(entry.data, aliases),
            "options": _settings(entry.options, aliases),
        },
        "listener": _listener(listener) if listener else None,
        "lines": lines,
        "pbxs": {
            aliases.of("pbx", pbx_id): {
                **_settings(pbx.data, aliases),
                **(_pbx(listener, pbx_id) if listener else {}),
            }
            for pbx_id, pbx in pbxs.items()
        },
        "followed": {
            aliases.of("line", line_id): {
                **_settings(subentry.data, aliases),
                **(_followed(listener, line_id, aliases) if listener else {}),
            }
            for line_id, subentry in followed.items()
        },
        "messages": await hass.async_add_executor_job(_messages, messages, aliases),
        "addresses": aliases.addresses,
    }


def _name(subentry: ConfigSubentry, aliases: Aliases) -> None:
    """Give a line's names their aliases."""
    aliases.user(subentry.data[CONF_USER])
    aliases.user(line_auth_name(subentry.data))
    aliases.name(subentry.title)


# Settings


def _settings(data: Mapping[str, Any], aliases: Aliases) -> dict[str, Any]:
    return {key: _setting(key, value, aliases) for key, value in data.items()}


def _setting(key: str, value: Any, aliases: Aliases) -> Any:
    if value is None or value == "":
        return value
    if key in _HARMLESS:
        return value
    rule = _RULES.get(key)
    return REDACTED if rule is None else rule(value, aliases)


def _hosts(value: str, aliases: Aliases) -> str:
    return ", ".join(aliases.host(host) for host in split_hosts(value))


def _networks(value: str, aliases: Aliases) -> str | list[str]:
    if value == DEFAULT_ALLOWED_NETWORKS:
        return "default"
    return [
        f"{aliases.host(str(network.network_address))}/{network.prefixlen}"
        for network in parse_networks(value)
    ]


_HARMLESS: Final = frozenset(
    {
        CONF_ADD_LINES,
        CONF_ADVERTISED_PORT,
        CONF_BUSY_STATUS,
        CONF_CONTACT,
        CONF_DIGEST,
        CONF_FEATURES,
        CONF_KEYS,
        CONF_MAX_EXPIRES,
        CONF_MAX_FAILURES,
        CONF_PORT,
        CONF_REGISTER,
        CONF_REJECT_RINGING,
        CONF_RING_SECONDS,
        CONF_SEE_CALLS,
        CONF_STYLE,
        CONF_TRANSPORT,
        CONF_TREAT_CALLS,
        CONF_VENDOR,
    }
)

_RULES: Final[Mapping[str, Callable[[Any, Aliases], Any]]] = {
    CONF_ADVERTISED_HOST: _hosts,
    CONF_ALLOWED_NETWORKS: _networks,
    CONF_AUTH_NAME: lambda value, aliases: aliases.user(value),
    CONF_DOMAIN: _hosts,
    CONF_DOMAINS: _hosts,
    CONF_HOST: _hosts,
    CONF_OUTBOUND_PROXY: lambda value, aliases: aliases.host(split_host_port(value)[0]),
    CONF_PBX: lambda value, aliases: aliases.of("pbx", value),
    CONF_REALM: lambda value, aliases: aliases.realm(value),
    CONF_TLS: _settings,
    CONF_TRUSTED_PROXIES: _networks,
    CONF_USER: lambda value, aliases: aliases.user(value),
}


# What runs


def _listener(listener: DfksListener) -> dict[str, Any]:
    server, monitor = listener.server, listener.monitor
    return {
        "port": server.port,
        "tls_port": server.tls_port or None,
        "set_script": listener.hooks.has_set_hook,
        "get_script": listener.hooks.has_get_hook,
        "unknown_phones": len(monitor.unknown_phones),
        "received": dict(listener.trace.received_totals),
        "sent": dict(listener.trace.sent_totals),
        **server.counters(),
    }


def _pbx(listener: DfksListener, pbx_id: str) -> dict[str, Any]:
    pbx = listener.pbxs.pbxs.get(pbx_id)
    return {
        "reachable": pbx and pbx.reachable,
        "phones": len(listener.passed_phones.at(pbx_id)),
    }


def _followed(listener: DfksListener, line_id: str, aliases: Aliases) -> dict[str, Any]:
    follower = listener.followed.follower(line_id)
    if follower is None:
        return {}
    line = follower.line
    phones = _phones(listener, line, aliases) if line.served else {}
    return {
        **phones,
        **_contact(listener.contact(line)),
        "answer": follower.code or None,
        "unknown": sorted(FEATURE_KEYS[feature] for feature in line.unknown),
        "states": _states(line, aliases),
    }


def _line(listener: DfksListener, line: Line, aliases: Aliases) -> dict[str, Any]:
    return {
        **_phones(listener, line, aliases),
        "states": _states(line, aliases),
    }


def _phones(listener: DfksListener, line: Line, aliases: Aliases) -> dict[str, Any]:
    """Return what is to be known of the phones that log in here for a line."""
    phone = listener.monitor.phone(line)
    now = asyncio.get_running_loop().time()
    return {
        **_contact(phone),
        "user_agent": _product(phone.user_agent, aliases),
        "style_in_use": listener.sync.style_in_use(line),
        "hidden": sorted(FEATURE_KEYS[feature] for feature in line.hidden),
        "watchers": [
            _watcher(subscription, now, aliases)
            for subscription in listener.server.notifier.of(line)
        ],
        "bindings": [
            _binding(binding, now, aliases)
            for binding in listener.server.bindings(line)
        ],
    }


def _contact(contact: LineContact) -> dict[str, Any]:
    heard = contact.last_contact
    return {"sync_status": contact.status, "last_contact": heard and heard.isoformat()}


def _states(line: Line, aliases: Aliases) -> dict[str, Any]:
    return {
        FEATURE_KEYS[feature]: _state(line, feature, aliases)
        for feature in line.assigned
    }


def _state(line: Line, feature: Feature, aliases: Aliases) -> dict[str, Any]:
    state = line.state(feature)
    shown: dict[str, Any] = {"status": state.status}
    if feature in FORWARDINGS:
        shown["forward_to"] = state.forward_to and aliases.number(state.forward_to)
    if feature is Feature.CALL_FORWARDING_NO_ANSWER:
        shown["ring_count"] = state.ring_count
    return shown


def _watcher(
    subscription: Subscription, now: float, aliases: Aliases
) -> dict[str, Any]:
    dialog = subscription.dialog
    return {
        "call": aliases.of("call", dialog.call_id),
        "contact": redact_uri(dialog.target, aliases),
        "transport": dialog.flow.transport,
        "remote": aliases.end(dialog.flow.remote),
        "connection_lost": dialog.flow.closed,
        "routes": len(dialog.routes),
        "expires_at": _at(subscription.expires_at - now),
        "suspended": subscription.suspended,
        "ending": subscription.ending,
        "paused": subscription.hold is not None,
        "notify_cseq": dialog.cseq,
        "notify_in_flight": subscription.in_flight is not None,
        "user_agent": _product(subscription.user_agent, aliases),
    }


def _binding(binding: Binding, now: float, aliases: Aliases) -> dict[str, Any]:
    return {
        "contact": redact_addresses(binding.text, aliases),
        "transport": binding.flow.transport,
        "remote": aliases.end(binding.flow.remote),
        "path": len(binding.path),
        "expires_at": _at(binding.expires_at - now),
        "user_agent": _product(binding.user_agent, aliases),
    }


def _product(text: str | None, aliases: Aliases) -> str | None:
    return text and redact_product(text, aliases)


def _at(seconds: float) -> str:
    when = dt_util.utcnow() + timedelta(seconds=seconds)
    return when.replace(microsecond=0).isoformat()


# Messages


def _messages(messages: Iterable[Traced], aliases: Aliases) -> list[dict[str, Any]]:
    """Redact messages; for a thread, because 50 hostile ones take a while."""
    return [_message(message, aliases) for message in messages]


def _message(message: Traced, aliases: Aliases) -> dict[str, Any]:
    return {
        "at": dt_util.utc_from_timestamp(message.at).isoformat(timespec="milliseconds"),
        "direction": "sent" if message.sent else "received",
        "transport": message.transport,
        "remote": aliases.end(message.remote),
        "message": redact_message(
            message.data, aliases, redact_body, sent=message.sent
        ),
    }


def _user_of(data: bytes) -> str | None:
    """Return the user of the line that a message is about."""
    message: Request | Response | None
    try:
        message = parse(data)
    except SipError as err:
        message = err.request
    except NotSip:
        return None
    return message.to_user if message else None
