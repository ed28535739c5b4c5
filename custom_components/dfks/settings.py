"""What is configured, as the floors below take it.

Entry and subentry data to configuration, the ids that go with them, and the words for
an address that cannot be listened on.
"""

from collections.abc import Mapping
import errno
import os
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.const import (
    CONF_DOMAIN,
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_WEBHOOK_ID,
)

from .const import (
    CONF_ADVERTISED_HOST,
    CONF_ADVERTISED_PORT,
    CONF_ALLOWED_NETWORKS,
    CONF_ALWAYS_RING,
    CONF_AUTH_NAME,
    CONF_BUSY_STATUS,
    CONF_CONTACT,
    CONF_DIGEST,
    CONF_DOMAINS,
    CONF_EMERGENCY,
    CONF_FEATURES,
    CONF_FINGERPRINT,
    CONF_KEYS,
    CONF_MAX_EXPIRES,
    CONF_MAX_FAILURES,
    CONF_OUTBOUND_PROXY,
    CONF_PBX,
    CONF_PHONE_PASSWORD,
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
    DEFAULT_ALLOWED_NETWORKS,
    DEFAULT_DIGEST,
    DEFAULT_MAX_EXPIRES,
    DIGEST_ALGORITHMS,
    FEATURE_KEYS,
    KEYS_HERE,
    SUBENTRY_TYPE_FOLLOWED,
    SUBENTRY_TYPE_LINE,
    SUBENTRY_TYPE_PBX,
    LineOption,
)
from .features.calls import (
    BUSY,
    EMERGENCY_NUMBERS,
    RING_SECONDS,
    CallOptions,
    plain_number,
)
from .features.follow import FollowedConfig
from .features.model import Feature, LineConfig, NotifyStyle
from .sip import (
    DEFAULT_MAX_FAILURES,
    DEFAULT_TLS_PORT,
    ContactMode,
    PbxConfig,
    ServerConfig,
    SubscriberConfig,
    parse_networks,
    split_hosts,
    unbracketed,
)

# Why an address and port cannot be listened on, as the key of the message that says
# so; whatever is not here is told in the operating system's words.
_BIND_PROBLEMS: Final = {
    errno.EADDRINUSE: "port_in_use",
    errno.EADDRNOTAVAIL: "address_not_available",
    errno.EAFNOSUPPORT: "address_not_available",
    errno.EACCES: "port_privileged",
    errno.EPERM: "port_privileged",
}


def bind_problem(err: OSError) -> str:
    """Return the translation key of the message for a failed bind."""
    return _BIND_PROBLEMS.get(err.errno or 0, "cannot_bind")


def bind_reason(err: OSError) -> str:
    """Return the operating system's own words, without address or traceback."""
    return os.strerror(err.errno) if err.errno and err.errno > 0 else str(err)


def server_config(entry: ConfigEntry[Any]) -> ServerConfig:
    """Return the listener's settings as the SIP floor takes them."""
    data, options = entry.data, entry.options
    return ServerConfig(
        host=data[CONF_HOST],
        port=data[CONF_PORT],
        tls_port=data.get(CONF_TLS, {}).get(CONF_PORT, DEFAULT_TLS_PORT),
        realm=data[CONF_REALM],
        advertised_host=data.get(CONF_ADVERTISED_HOST),
        advertised_port=data.get(CONF_ADVERTISED_PORT),
        algorithms=DIGEST_ALGORITHMS[options.get(CONF_DIGEST, DEFAULT_DIGEST)],
        allowed_networks=parse_networks(
            options.get(CONF_ALLOWED_NETWORKS, DEFAULT_ALLOWED_NETWORKS)
        ),
        trusted_proxies=parse_networks(options.get(CONF_TRUSTED_PROXIES, "")),
        domains=tuple(split_hosts(options.get(CONF_DOMAINS, ""))),
        max_failures=options.get(CONF_MAX_FAILURES, DEFAULT_MAX_FAILURES),
        max_expires=options.get(CONF_MAX_EXPIRES, DEFAULT_MAX_EXPIRES),
    )


def listener_ports(entry: ConfigEntry[Any]) -> set[int]:
    """Return the ports that the listener is set to listen on."""
    ports: set[int] = {entry.data[CONF_PORT]}
    if CONF_TLS in entry.data:
        ports.add(entry.data[CONF_TLS][CONF_PORT])
    return ports


def line_auth_name(line: Mapping[str, Any]) -> str:
    """Return the user name of the digest credentials of a line, given its data."""
    name: str = line.get(CONF_AUTH_NAME) or line[CONF_USER]
    return name


def assigned_features(line: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Return the features of a line, given its data."""
    return tuple(
        feature for feature, key in FEATURE_KEYS.items() if key in line[CONF_FEATURES]
    )


def sees_calls(line: Mapping[str, Any]) -> bool:
    """Whether the calls of a line are to be seen, given its data."""
    return bool(line.get(CONF_SEE_CALLS))


def is_reported(line: Mapping[str, Any]) -> bool:
    """Whether phones of a line report its calls, given its data.

    The SIP of one at a PBX passes through here, and says more.
    """
    return sees_calls(line) and CONF_WEBHOOK_ID in line and CONF_PBX not in line


def call_options(line: Mapping[str, Any]) -> CallOptions | None:
    """Return how the calls of a line are treated, given its data; None: they pass."""
    if CONF_PBX not in line or not line.get(CONF_TREAT_CALLS):
        return None
    return CallOptions(
        busy_status=int(line.get(CONF_BUSY_STATUS, BUSY)),
        ring_seconds=int(line.get(CONF_RING_SECONDS, RING_SECONDS)),
        always_ring=frozenset(map(plain_number, line.get(CONF_ALWAYS_RING, ()))),
        emergency=frozenset(
            map(plain_number, line.get(CONF_EMERGENCY, EMERGENCY_NUMBERS))
        ),
        reject_ringing=bool(line.get(CONF_REJECT_RINGING)),
    )


def line_parts(line: Mapping[str, Any]) -> tuple[Feature | LineOption, ...]:
    """Return all that a line has entities for, given its data."""
    return (LineOption.PHONES, *assigned_features(line), *_calls_part(line))


def _calls_part(line: Mapping[str, Any]) -> tuple[LineOption, ...]:
    return (LineOption.CALLS,) if sees_calls(line) else ()


def line_config(subentry: ConfigSubentry) -> LineConfig:
    """Return a subentry's line as the feature floor takes it."""
    data = subentry.data
    return LineConfig(
        id=subentry.subentry_id,
        user=data[CONF_USER],
        # The PBX asks for the password of a line that is registered there.
        password=data.get(CONF_PASSWORD, ""),
        auth_name="" if CONF_PBX in data else line_auth_name(data),
        assigned=assigned_features(data),
        style=NotifyStyle(data[CONF_STYLE]),
        pbx=data.get(CONF_PBX),
    )


def pbx_config(subentry: ConfigSubentry) -> PbxConfig:
    """Return a subentry's PBX as the SIP floor takes it."""
    data = subentry.data
    return PbxConfig(
        id=subentry.subentry_id,
        host=data[CONF_HOST],
        port=data.get(CONF_PORT),
        transport=data[CONF_TRANSPORT],
        domains=tuple(split_hosts(data.get(CONF_DOMAIN, ""))),
        contact_mode=ContactMode(data[CONF_CONTACT]),
        keys_here=data[CONF_KEYS] == KEYS_HERE,
        fingerprint=data.get(CONF_FINGERPRINT),
    )


def followed_config(subentry: ConfigSubentry) -> FollowedConfig:
    """Return a subentry's followed line as the feature floor takes it."""
    return FollowedConfig(
        subscriber=subscriber_config(subentry.subentry_id, subentry.data),
        assigned=assigned_features(subentry.data),
        password=subentry.data.get(CONF_PHONE_PASSWORD),
    )


def followed_parts(line: Mapping[str, Any]) -> tuple[Feature | LineOption, ...]:
    """Return all that a followed line has entities for, given its data.

    It has those of its phones where phones log in here for it, and those of its calls
    where phones report them.
    """
    phones = (LineOption.PHONES,) if CONF_PHONE_PASSWORD in line else ()
    return (*phones, *assigned_features(line), *_calls_part(line))


def subscriber_config(line_id: str, data: Mapping[str, Any]) -> SubscriberConfig:
    """Return where a followed line is, given its data, as the SIP floor takes it."""
    proxy = None
    if CONF_OUTBOUND_PROXY in data:
        proxy = split_host_port(data[CONF_OUTBOUND_PROXY])
    return SubscriberConfig(
        id=line_id,
        user=data[CONF_USER],
        username=line_auth_name(data),
        password=data[CONF_PASSWORD],
        host=data[CONF_HOST],
        port=data.get(CONF_PORT),
        transport=data[CONF_TRANSPORT],
        domain=data.get(CONF_DOMAIN),
        proxy=proxy,
        register=data[CONF_REGISTER],
        fingerprint=data.get(CONF_FINGERPRINT),
    )


def split_host_port(text: str) -> tuple[str, int | None]:
    """Return host and port of "host" or "host:port". Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        return unbracketed(text), None
    number = int(port)
    if not 0 < number < 65_536:
        raise ValueError(f"{port} is no port")
    return unbracketed(host), number


def followed_subentries(entry: ConfigEntry[Any]) -> dict[str, ConfigSubentry]:
    """Return the subentries that are lines at PBXs that synchronize keys, by id."""
    return _subentries(entry, SUBENTRY_TYPE_FOLLOWED)


def line_subentries(entry: ConfigEntry[Any]) -> dict[str, ConfigSubentry]:
    """Return the subentries that are phone lines, by id."""
    return _subentries(entry, SUBENTRY_TYPE_LINE)


def pbx_subentries(entry: ConfigEntry[Any]) -> dict[str, ConfigSubentry]:
    """Return the subentries that are PBXs, by id."""
    return _subentries(entry, SUBENTRY_TYPE_PBX)


def _subentries(entry: ConfigEntry[Any], kind: str) -> dict[str, ConfigSubentry]:
    return {
        subentry_id: subentry
        for subentry_id, subentry in entry.subentries.items()
        if subentry.subentry_type == kind
    }


def stored_unique_id(line: Mapping[str, Any]) -> str:
    """Return the unique id of a line's subentry, given its data.

    The same user may be registered here and at any number of PBXs.
    """
    user: str = line[CONF_USER]
    return f"{user}@{line[CONF_PBX]}" if CONF_PBX in line else user


def login_names(line: Mapping[str, Any]) -> set[str]:
    """Return the names by which phones log in here for a line, given its data.

    Those of a line at a PBX do so there, but through here. For a line that is followed
    none may log in.
    """
    if CONF_PBX in line or CONF_PHONE_PASSWORD in line:
        return {line[CONF_USER]}
    return set() if CONF_REGISTER in line else {line[CONF_USER], line_auth_name(line)}


def line_in_the_way(
    lines: Mapping[str, ConfigSubentry], data: Mapping[str, Any], line_id: str | None
) -> ConfigSubentry | None:
    """Return one of some lines whose phones log in by a name of another line's phones.

    `data` is that of the other line, and `line_id` its id, None while it is new.
    """
    names = login_names(data)
    for other_id, other in lines.items():
        if other_id != line_id and names & login_names(other.data):
            return other
    return None


def line_unique_id(entry: ConfigEntry[Any], line_id: str) -> str:
    """Return what identifies a device, and starts its entities' unique ids.

    The device is a line's or a PBX's.
    """
    return f"{entry.entry_id}_{line_id}"
