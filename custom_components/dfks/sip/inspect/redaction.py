"""Messages for third parties to read: the way they go stays, who sends them does not.

People put diagnostics on the web. So a message is written anew from what is known to be
harmless: names of header fields, words of SIP, small numbers. Whatever identifies
somebody becomes an *alias* that stays the same throughout (the same user is always
user-1), so that a dialog can still be followed. All else is left out, and so is a
header field that cannot be understood.
"""

from collections.abc import Callable, Mapping
import ipaddress
import re

from ..wire.headers import (
    COMPACT,
    HeaderError,
    decode_user,
    parse_address,
    parse_cseq,
    parse_parameters,
    parse_uri,
    parse_via,
    split_list,
    unbracketed,
    unquote,
)
from ..wire.message import REASONS
from .vocabulary import FIELDS, WORDS

REDACTED = "**REDACTED**"

# The realm of everybody who has not chosen one.
DEFAULT_REALM = "homeassistant"

# Characters of what a phone calls itself; a longer one is no name.
MAX_PRODUCT = 200

# Characters from which on a word of a name counts as personal wherever it stands.
MIN_PERSONAL = 3

_SHARED_NETWORK = ipaddress.ip_network("100.64.0.0/10")

_MESSAGE_END = re.compile(rb"\r\n\r\n|\n\n")
_FOLD = re.compile(r"(?:\r\n|\n)[ \t]+")
_LINE_END = re.compile(r"\r\n|\n|\r")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
_OWN_TEXT = re.compile(r"[A-Za-z0-9 ,.:;*+<>/'-]{0,80}")
_SECONDS = re.compile(r"[0-9]{1,7}|4294967295")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT", re.ASCII
)
_WARNING = re.compile(r'([0-9]{3}) ([^ "]+) "([^"]*)"')

# What a phone calls itself may hold its MAC address, its serial number or its address.
_COMMENT = re.compile(r"\([^()]*\)")
_MAC = re.compile(
    r"[0-9A-Fa-f]{12}|\b[0-9A-Fa-f]{6,}\b"
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{2}(?:[:._/ -][0-9A-Fa-f]{2}){5,}"
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{4}(?:[:._/ -][0-9A-Fa-f]{4}){2,}"
)
# Telephone and serial numbers in groups, and addresses as host names write them; a
# version has dots.
_GROUPS = re.compile(r"(?<![0-9A-Za-z.])[0-9]{2,}(?:[_/ -][0-9]+){2,}(?![0-9A-Za-z.])")
_COLONS = re.compile(r"[0-9A-Za-z.%]*:[0-9A-Za-z.%]*:[0-9A-Za-z.:%]*")
_HOST_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)+")
_FOUR_NUMBERS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_WORD = re.compile(r"[A-Za-z0-9]+")
# Yealink, T46S, SPA525G2, 6731i, 66, 4rc1: no serial number is built like that.
_MODEL = re.compile(r"[A-Za-z]{1,20}|[A-Za-z]{0,12}[0-9]{1,4}(?:[A-Za-z]{1,3}[0-9]?)?")
_PRODUCT = re.compile(r"[A-Za-z0-9 /._+;,!:~*…-]*")


class Aliases:
    """The names that stand for users, addresses and the like, as they come up."""

    def __init__(self) -> None:
        """Start with none."""
        self._aliases: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._personal: set[str] = set()
        self._networks: dict[str, str] = {}

    def of(self, kind: str, value: str) -> str:
        """Return the alias of a value, `kind-1` for the first one of its kind."""
        key = kind, value
        if (alias := self._aliases.get(key)) is None:
            self._counts[kind] = count = self._counts.get(kind, 0) + 1
            alias = self._aliases[key] = f"{kind}-{count}"
        return alias

    def user(self, user: str) -> str:
        """Return the alias of a user, be it in a URI, credentials or a document."""
        self._note_personal(user)
        return self.of("user", user)

    def number(self, number: str) -> str:
        """Return the alias of a number that calls go to: a line's user, or another."""
        if (alias := self._aliases.get(("user", number))) is not None:
            return alias
        self._note_personal(number)
        return self.of("number", number)

    def name(self, name: str) -> str:
        """Return the alias of what somebody or something is called."""
        self._note_personal(name)
        return self.of("name", name)

    def realm(self, realm: str) -> str:
        """Return the alias of a realm; the usual one tells nothing."""
        if realm == DEFAULT_REALM:
            return realm
        self._note_personal(realm)
        return self.of("realm", realm)

    def host(self, host: str) -> str:
        """Return the alias of an address or a host name; 0.0.0.0 and :: tell nothing."""
        try:
            address = ipaddress.ip_address(unbracketed(host).partition("%")[0])
        except ValueError:
            return self.of("host", host.lower())
        if address.is_unspecified:
            return str(address)
        alias = self.of("address", str(address))
        self._networks[alias] = _network_of(address)
        return alias

    def end(self, remote: tuple[str, int]) -> str:
        """Return the alias of an address with its port."""
        return f"{self.host(remote[0])}:{remote[1]}"

    @property
    def addresses(self) -> Mapping[str, str]:
        """What kind of address each alias stands for."""
        return dict(self._networks)

    def is_personal(self, word: str) -> bool:
        """Whether a word is a user, or part of somebody's name, as Annas is of Anna."""
        word = word.casefold()
        if word in self._personal:
            return True
        ends = range(MIN_PERSONAL + 1, len(word))
        return word.isalpha() and any(word[:end] in self._personal for end in ends)

    def is_address(self, text: str) -> bool:
        """Whether an address has come up."""
        return ("address", text) in self._aliases

    def _note_personal(self, text: str) -> None:
        for word in (text, *_WORD.findall(text)):
            if len(word) >= MIN_PERSONAL:
                self._personal.add(word.casefold())


def _network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Say where an address is from, which is what NAT and routing depend on."""
    if address.is_loopback:
        network = "this machine"
    elif address.is_link_local:
        network = "link-local"
    elif address in _SHARED_NETWORK:
        network = "carrier or VPN"
    elif address.is_private:
        network = "private"
    else:
        network = "public"
    return f"IPv{address.version}, {network}"


# Writes a body, of the Content-Type given, line by line.
type BodyRedactor = Callable[[str, bytes, Aliases], list[str]]


def redact_message(
    data: bytes, aliases: Aliases, redact_body: BodyRedactor, *, sent: bool
) -> list[str]:
    """Return the lines of a message as everybody may read them.

    Of what this server has `sent` its own words are kept.
    """
    end = _MESSAGE_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    text = head.decode("latin-1").rstrip("\r\n")
    lines = _LINE_END.split(_FOLD.sub(" ", text))
    start = _start_line(lines[0], aliases, sent=sent)
    if start is None:
        return [f"({len(data)} octets that are no SIP message)"]
    redacted = [start]
    content_type = ""
    for line in lines[1:]:
        name, value = _split_field(line)
        redacted.append(redact_field(name, value, aliases, sent=sent))
        if _long_name(name) == "content-type":
            content_type = value
    if body:
        redacted += ["", *redact_body(content_type, body, aliases)]
    return redacted


def _start_line(line: str, aliases: Aliases, *, sent: bool) -> str | None:
    if status := _STATUS_LINE.fullmatch(line.rstrip(" \t")):
        reason = status[2] or ""
        if not (sent and _OWN_TEXT.fullmatch(reason)):
            reason = REDACTED if reason not in REASONS.values() else reason
        return f"SIP/2.0 {status[1]} {reason}"
    method, _, rest = line.rstrip(" \t").partition(" ")
    uri, _, version = rest.rpartition(" ")
    if version.upper() != "SIP/2.0":
        return None
    return f"{_word(method)} {redact_uri(uri, aliases)} SIP/2.0"


def _split_field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(" \t"), value.strip(" \t")


def _long_name(name: str) -> str:
    name = name.lower()
    return COMPACT.get(name, name)


def redact_field(name: str, value: str, aliases: Aliases, *, sent: bool) -> str:
    """Return a header field as everybody may read it."""
    known = FIELDS.get(_long_name(name))
    if known is None:
        return f"(unknown header field): {REDACTED}"
    try:
        return f"{name}: {_redact_value(known, value, aliases, sent=sent)}"
    except HeaderError as err:
        # These texts never repeat what they are about.
        return f"{name}: {REDACTED} (malformed: {err})"


def _redact_value(kind: str, value: str, aliases: Aliases, *, sent: bool) -> str:
    if kind == "warning" and sent:
        return _own_warning(value)
    if (redactor := _REDACTORS.get(kind)) is not None:
        return redactor(value, aliases)
    return REDACTED


def redact_uri(text: str, aliases: Aliases) -> str:
    """Return a URI as everybody may read it, with its port and transport."""
    try:
        uri = parse_uri(text)
    except HeaderError:
        return REDACTED
    if uri.scheme == "tel":
        return f"tel:{aliases.number(text[4:])}"
    if not uri.is_sip:
        return REDACTED
    user = f"{aliases.user(uri.user)}@" if uri.user else ""
    port = f":{uri.port}" if uri.port else ""
    parameters = _parameters(uri.parameters, aliases)
    headers = f"?{REDACTED}" if uri.headers else ""
    return f"{uri.scheme}:{user}{aliases.host(uri.host)}{port}{parameters}{headers}"


def redact_addresses(text: str, aliases: Aliases) -> str:
    """Return From, To, Contact, Route and the like as everybody may read them."""
    return ", ".join(_address(item, aliases) for item in split_list(text))


def _address(text: str, aliases: Aliases) -> str:
    if text in ("", "*"):
        return text
    address = parse_address(text)
    name = f'"{aliases.name(address.display_name)}" ' if address.display_name else ""
    uri = redact_uri(address.uri, aliases)
    return f"{name}<{uri}>{_parameters(address.parameters, aliases)}"


def _vias(text: str, aliases: Aliases) -> str:
    return ", ".join(_via(item, aliases) for item in split_list(text))


def _via(text: str, aliases: Aliases) -> str:
    via = parse_via(text)
    port = f":{via.port}" if via.port else ""
    return (
        f"SIP/2.0/{_word(via.transport)} {aliases.host(via.host)}{port}"
        f"{_parameters(via.parameters, aliases)}"
    )


def redact_words(text: str, aliases: Aliases) -> str:
    """Return a list of words of SIP, each with parameters; others are left out."""
    return ", ".join(_word_with_parameters(item, aliases) for item in split_list(text))


def _word_with_parameters(text: str, aliases: Aliases) -> str:
    word, semicolon, parameters = text.partition(";")
    word = word.strip(" \t")
    if not semicolon:
        return _word(word)
    return f"{_word(word)}{_parameters(parse_parameters(parameters), aliases)}"


def _word(text: str) -> str:
    return text if text.lower() in WORDS or not text else REDACTED


def _parameters(parameters: Mapping[str, str | None], aliases: Aliases) -> str:
    return "".join(
        f";{_parameter(name, value, aliases)}" for name, value in parameters.items()
    )


def _parameter(name: str, value: str | None, aliases: Aliases) -> str:
    rule = _PARAMETERS.get(name)
    if rule is None:
        return REDACTED
    return name if value is None else f"{name}={rule(value, aliases)}"


def _alias(kind: str) -> Callable[[str, Aliases], str]:
    return lambda value, aliases: aliases.of(kind, value)


def like(pattern: re.Pattern[str]) -> Callable[[str, Aliases], str]:
    """Return what keeps a value that is like the pattern, and redacts others."""
    return lambda value, _: value if pattern.fullmatch(value) else REDACTED


def _never(_value: str, _aliases: Aliases) -> str:
    return REDACTED


def _each_word(value: str, _aliases: Aliases) -> str:
    return ",".join(_word(item.strip(" \t")) for item in value.split(","))


def _host(value: str, aliases: Aliases) -> str:
    return aliases.host(value)


_PARAMETERS: Mapping[str, Callable[[str, Aliases], str]] = {
    "+sip.instance": _alias("instance"),
    "alias": _never,
    "boundary": _alias("boundary"),
    "branch": _alias("branch"),
    "call-id": _alias("call"),
    "cause": like(re.compile(r"[0-9]{3}")),
    "charset": _each_word,
    "comp": _each_word,
    "duration": like(_SECONDS),
    "expires": like(_SECONDS),
    "from-tag": _alias("tag"),
    "handling": _each_word,
    "id": _alias("id"),
    "keep": _never,
    "lr": _each_word,
    "maddr": _host,
    "method": _each_word,
    "methods": _each_word,
    "ob": _each_word,
    "q": like(re.compile(r"[01](?:\.[0-9]{0,3})?")),
    "reason": _each_word,
    "received": _host,
    "reg-id": like(re.compile(r"[0-9]{1,3}")),
    "retry-after": like(_SECONDS),
    "rport": like(re.compile(r"[0-9]{1,5}")),
    "tag": _alias("tag"),
    "text": _never,
    "to-tag": _alias("tag"),
    "transport": _each_word,
    "ttl": like(re.compile(r"[0-9]{1,3}")),
    "user": _each_word,
}

_CREDENTIALS: Mapping[str, Callable[[str, Aliases], str]] = {
    "algorithm": _each_word,
    "cnonce": _never,
    "domain": _never,
    "nc": like(re.compile(r"[0-9A-Fa-f]{8}")),
    "nonce": _alias("nonce"),
    "opaque": _never,
    "qop": _each_word,
    "realm": lambda value, aliases: aliases.realm(value),
    "response": _never,
    "stale": _each_word,
    "uri": redact_uri,
    "userhash": _each_word,
    "username": lambda value, aliases: aliases.user(_as_unicode(value)),
}


def _as_unicode(text: str) -> str:
    """Return text off the wire as it stands in the configuration."""
    return decode_user(text.replace("%", "%25"))


def _digest(text: str, aliases: Aliases) -> str:
    """Return credentials or a challenge with nothing that could be tried out."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "digest":
        return REDACTED
    items = [item.partition("=") for item in split_list(rest.strip(" \t"))]
    return "Digest " + ", ".join(
        _credential(name.strip(" \t").lower(), value.strip(" \t"), aliases)
        for name, _, value in items
    )


def _credential(name: str, value: str, aliases: Aliases) -> str:
    rule = _CREDENTIALS.get(name)
    return REDACTED if rule is None else f'{name}="{rule(unquote(value), aliases)}"'


def _cseq(text: str, _aliases: Aliases) -> str:
    count, method = parse_cseq(text)
    return f"{count} {_word(method)}"


def _seconds(text: str, _aliases: Aliases) -> str:
    digits = re.match(r"[0-9]*", text)
    count = digits.group() if digits else ""
    if not _SECONDS.fullmatch(count):
        return REDACTED
    return count if count == text else f"{count} {REDACTED}"


def _own_warning(text: str) -> str:
    warning = _WARNING.fullmatch(text)
    if warning is None or not _OWN_TEXT.fullmatch(warning[3]):
        return REDACTED
    return f'{warning[1]} dfks "{warning[3]}"'


def _warning(text: str, aliases: Aliases) -> str:
    warning = _WARNING.fullmatch(text)
    if warning is None:
        return REDACTED
    return f'{warning[1]} {aliases.of("host", warning[2].lower())} "{REDACTED}"'


def redact_product(text: str, aliases: Aliases) -> str:
    """Return what a phone calls itself: make, model and firmware.

    MAC addresses, serial numbers, addresses, and comments, in which softphones put
    the names of their owners, are left out.
    """
    if len(text) > MAX_PRODUCT:
        return REDACTED
    while (found := _COMMENT.search(text)) is not None:
        text = f"{text[: found.start()]}…{text[found.end() :]}"
    if not _PRODUCT.fullmatch(text):
        return REDACTED
    for pattern in (_MAC, _COLONS, _HOST_NAME, _GROUPS):
        text = pattern.sub("…", text)
    text = _FOUR_NUMBERS.sub(lambda found: _version(found.group(), aliases), text)
    return _WORD.sub(lambda found: _model(found.group(), aliases), text)


def _version(text: str, aliases: Aliases) -> str:
    """Return a version of four numbers, unless it is an address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if aliases.is_address(text) or not address.is_global:
        return "…"
    return text


def _model(word: str, aliases: Aliases) -> str:
    return word if _MODEL.fullmatch(word) and not aliases.is_personal(word) else "…"


_REDACTORS: Mapping[str, Callable[[str, Aliases], str]] = {
    "addresses": redact_addresses,
    "call": lambda value, aliases: aliases.of("call", value),
    "cseq": _cseq,
    "date": like(_DATE),
    "digest": _digest,
    "number": _seconds,
    "product": redact_product,
    "vias": _vias,
    "warning": _warning,
    "words": redact_words,
}
