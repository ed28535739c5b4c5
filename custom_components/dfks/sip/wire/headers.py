"""The grammar inside header fields: URIs, addresses, Via, parameters, lists.

Text is `str` decoded as Latin-1: one character is one octet, so what goes back out
is what came in, and no character above 0x7F turns into an ASCII one by changing its
case. Every function here takes time linear in its input: delimiters are found by
hand or by a regular expression without nested repetition.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

# RFC 3261 25.1: host is a name, an IPv4 address or an IPv6 reference. The underscore
# is not in the grammar; names with one are in use all the same.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"
_TOKEN = re.compile(TOKEN)
# What most addresses begin with, and the URI in their <>.
PLAIN_NAME = r'(?:"[ !#-\[\]-~\x80-\xff]*+"[ \t]*+|(?! )[ !#-;=-~\x80-\xff]*+)'
PLAIN_SPEC = r"[ -=?-~\x80-\xff]*+"
# What most URIs look like: nothing in them is escaped, quoted or optional.
PLAIN_WORD = r"[A-Za-z0-9._-]++"
PLAIN_PORT = (
    r"[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
    r"|[1-9][0-9]{0,3}"
)
_PLAIN_URI = re.compile(rf"sip:({PLAIN_WORD})@({PLAIN_WORD})(?::({PLAIN_PORT}))?+")
# What most Contacts look like: such a URI in <>.
_PLAIN_CONTACT = re.compile(
    rf"<(sip:{PLAIN_WORD}@{PLAIN_WORD}(?::(?:{PLAIN_PORT}))?+)>"
)
# What most Vias look like: nothing in them is quoted or optional.
_PLAIN_VIA = re.compile(
    rf"SIP/2\.0/([A-Z]++) ({PLAIN_WORD})(?::({PLAIN_PORT}))?+"
    r"((?:;[a-z]++(?:=[A-Za-z0-9.:_*-]++)?+)*+)"
)
_PLAIN_CSEQ = re.compile(r"([0-9]{1,9}+) ([A-Z]++)")
_LIST_MARKS = re.compile(r'["<>,]')
_URI_MARKS = re.compile(r'[\s<>"\x00-\x1f\x7f]')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# RFC 3261 7.3.3, RFC 3265 7.2 (o, u), RFC 3515 (r), RFC 3892 (b), RFC 3841 (a, d, j),
# RFC 4028 (x).
COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}

# What a branch begins with that is unique to its transaction (RFC 3261 8.1.1.7).
MAGIC_COOKIE = "z9hG4bK"

# The ports where SIP is by default (RFC 3261 19.1.2).
DEFAULT_PORT = 5060
DEFAULT_TLS_PORT = 5061

# Parameters that must be equal if either URI has them (RFC 3261 19.1.4).
_DECISIVE_PARAMETERS = ("transport", "user", "ttl", "method", "maddr")

# What may stand unescaped in the user part (RFC 3261 25.1).
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_SAFE_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]*+")


# Characters of a text whose parts are remembered; longer ones would take much memory.
MAX_KNOWN = 256


class HeaderError(ValueError):
    """A header field does not follow its grammar; the text says in which way."""


type Parameters = dict[str, str | None]


class Uri(NamedTuple):
    """A URI as in RFC 3261 19.1, or one of another scheme, of which only that is known.

    `user` is decoded, `host` in lower case with an IPv6 reference in its brackets.
    """

    scheme: str
    user: str
    host: str
    port: int | None
    parameters: Parameters
    headers: str
    text: str
    # Behind the user (RFC 3261 19.1.1): deprecated, and needed for comparison alone.
    password: str | None = None

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is sip or sips."""
        return self.scheme in ("sip", "sips")

    @property
    def user_or_number(self) -> str:
        """The user, or what a URI of another scheme has in its place, as in tel."""
        return self.user if self.is_sip else self.text.partition(":")[2]

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case."""
        value = self.parameters.get("transport")
        return value.lower() if value else None


class Address(NamedTuple):
    """A name-addr or addr-spec with the parameters behind it (RFC 3261 20.10)."""

    display_name: str
    uri: str
    parameters: Parameters


# Neither frozen nor a tuple: one is made with every request.
@dataclass(slots=True)
class Via:
    """One Via value (RFC 3261 20.42)."""

    transport: str
    host: str
    port: int | None
    parameters: Parameters

    @property
    def branch(self) -> str:
        """The branch parameter, empty where there is none."""
        return self.parameters.get("branch") or ""


def is_token(text: str) -> bool:
    """Whether `text` is a token (RFC 3261 25.1)."""
    return _TOKEN.fullmatch(text) is not None


def number(text: str, limit: int) -> int | None:
    """Return the decimal number `text` up to and including `limit`, else None."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        value = int(text)
        if value <= limit:
            return value
    return None


def unquote(text: str) -> str:
    """Return the content of a quoted string, or `text` itself where it is a token."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
        return _ESCAPE.sub(r"\1", text) if "\\" in text else text
    return text


def skip_quoted(text: str, start: int) -> int:
    """Return the index behind the quoted string that opens at `start`.

    Raises HeaderError where it does not end.
    """
    position = start + 1
    while True:
        end = text.find('"', position)
        if end < 0:
            raise HeaderError("A quoted string does not end")
        escapes = 0
        while text[end - 1 - escapes] == "\\" and end - 1 - escapes > start:
            escapes += 1
        if escapes % 2 == 0:
            return end + 1
        position = end + 1


def split_list(text: str) -> list[str]:
    """Split a comma-separated list; commas in quotes and in <> do not count."""
    if "," not in text:
        return [text]
    if '"' not in text and "<" not in text:
        return [item.strip(" \t") for item in text.split(",")]
    items = []
    start = position = 0
    in_brackets = False
    while mark := _LIST_MARKS.search(text, position):
        found = mark.group()
        position = mark.end()
        if found == '"':
            position = skip_quoted(text, mark.start())
        elif found == "<":
            in_brackets = True
        elif found == ">":
            in_brackets = False
        elif not in_brackets:
            items.append(text[start : mark.start()].strip(" \t"))
            start = position
    items.append(text[start:].strip(" \t"))
    return items


def _split_parameters(text: str) -> list[str]:
    if '"' not in text:
        return text.split(";")
    pieces = []
    start = position = 0
    while True:
        semicolon = text.find(";", position)
        opening = text.find('"', position)
        if 0 <= opening < semicolon or (opening >= 0 > semicolon):
            position = skip_quoted(text, opening)
        elif semicolon >= 0:
            pieces.append(text[start:semicolon])
            start = position = semicolon + 1
        else:
            pieces.append(text[start:])
            return pieces


def parse_parameters(text: str) -> Parameters:
    """Parse `;name=value;flag` (the first semicolon may be left out).

    Names come in lower case, quoted values without their quotes, flags as None. Of a
    name that stands twice the first counts.
    """
    parameters: Parameters = {}
    for piece in _split_parameters(text):
        name, equals, value = piece.partition("=")
        name = name.strip(" \t").lower()
        if name and name not in parameters:
            parameters[name] = unquote(value.strip(" \t")) if equals else None
    return parameters


def _parse_port(text: str) -> int:
    port = number(text, 65535)
    if not port:
        raise HeaderError("A port is not a number from 1 to 65535")
    return port


def _parse_host_port(text: str) -> tuple[str, int | None]:
    match = _HOST.match(text)
    if match is None:
        raise HeaderError("A host is missing or malformed")
    host, rest = match.group().lower(), text[match.end() :].strip(" \t")
    if not rest:
        return host, None
    if rest[0] != ":":
        raise HeaderError("A host is malformed")
    return host, _parse_port(rest[1:].strip(" \t"))


def decode_user(text: str) -> str:
    """Decode the escapes of a user part, once (RFC 3261 19.1.2)."""
    if "%" not in text and text.isascii():
        return text
    octets = unquote_to_bytes(text.encode("latin-1"))
    return octets.decode("utf-8", "surrogateescape")


def encode_user(user: str) -> str:
    """Encode a user part for use in a URI (RFC 3261 19.1.2)."""
    if (user.isalnum() and user.isascii()) or _SAFE_USER.fullmatch(user):
        return user
    return quote(user.encode("utf-8", "surrogateescape"), safe=_USER_SAFE)


def uri_of_plain_contact(text: str) -> str | None:
    """Return the URI of what most Contacts look like; nothing in it is special."""
    plain = _PLAIN_CONTACT.fullmatch(text)
    return None if plain is None else plain[1]


def known_uri(text: str) -> Uri:
    """Parse a URI that may come again and again. Raises HeaderError."""
    return _parse_uri_once(text) if len(text) <= MAX_KNOWN else parse_uri(text)


@lru_cache(maxsize=1024)
def _parse_uri_once(text: str) -> Uri:
    return parse_uri(text)


def parse_uri(text: str) -> Uri:
    """Parse a SIP or SIPS URI; of another scheme only the scheme is looked at.

    Raises HeaderError.
    """
    if plain := _PLAIN_URI.fullmatch(text):
        user, host, digits = plain.groups()
        port = int(digits) if digits else None
        return Uri("sip", user, host.lower(), port, {}, "", text)
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or not is_token(scheme):
        raise HeaderError("A URI has no scheme")
    if _URI_MARKS.search(rest):
        raise HeaderError("A URI holds a character that must be escaped")
    if scheme not in ("sip", "sips"):
        return Uri(scheme, "", "", None, {}, "", text)
    user, at, address = rest.rpartition("@")
    if "@" in user or (at and not user):
        raise HeaderError("The user part of a URI is malformed")
    address, _, headers = address.partition("?")
    host_port, semicolon, raw_parameters = address.partition(";")
    host, port = _parse_host_port(host_port)
    parameters = parse_parameters(raw_parameters) if semicolon else {}
    user, colon, secret = user.partition(":")
    password = decode_user(secret) if colon else None
    return Uri(
        scheme, decode_user(user), host, port, parameters, headers, text, password
    )


def same_uri(one: Uri, other: Uri) -> bool:
    """Whether two URIs are equivalent by RFC 3261 19.1.4."""
    if one.text == other.text:
        return True
    if not (one.is_sip and other.is_sip):
        return False
    if one[:4] != other[:4] or one.password != other.password:
        return False
    if one.headers != other.headers and _fields(one) != _fields(other):
        return False
    for name in one.parameters.keys() | other.parameters.keys():
        if name not in one.parameters or name not in other.parameters:
            if name in _DECISIVE_PARAMETERS:
                return False
        elif (one.parameters[name] or "").lower() != (
            other.parameters[name] or ""
        ).lower():
            return False
    return True


def _fields(uri: Uri) -> list[tuple[str, str]]:
    """Return the header fields of a URI, for comparison: their order does not count."""
    pairs = (field.partition("=") for field in uri.headers.split("&"))
    return sorted(
        (decode_user(name).lower(), decode_user(value)) for name, _, value in pairs
    )


def parse_address(text: str) -> Address:
    """Parse From, To, one Contact, one Route: name-addr or addr-spec, parameters.

    Raises HeaderError.
    """
    start = 0
    if text.startswith('"'):
        start = skip_quoted(text, 0)
    opening = text.find("<", start)
    if opening < 0:
        if start:
            raise HeaderError("A quoted name without an address in <>")
        uri, _, rest = text.partition(";")
        if "?" in uri:
            # Whether the header fields are the URI's, nobody can tell (20.10).
            raise HeaderError("A URI with header fields that is not in <>")
        return Address("", uri.strip(" \t"), parse_parameters(rest))
    closing = text.find(">", opening)
    if closing < 0:
        raise HeaderError("An address does not end with >")
    if start and text[start:opening].strip(" \t"):
        raise HeaderError("Text between a quoted name and its address")
    name = text[:opening].strip(" \t")
    if not start and '"' in name:
        raise HeaderError("A quoted string does not end")
    rest = text[closing + 1 :].strip(" \t")
    if rest and rest[0] != ";":
        raise HeaderError("Text behind an address that is no parameter")
    parameters = parse_parameters(rest) if rest else {}
    return Address(unquote(name), text[opening + 1 : closing].strip(" \t"), parameters)


def parse_via(text: str) -> Via:
    """Parse one Via value. Raises HeaderError."""
    if plain := _PLAIN_VIA.fullmatch(text):
        transport, host, digits, behind = plain.groups()
        parameters: Parameters = {}
        for piece in behind.split(";")[1:]:
            name, equals, value = piece.partition("=")
            if name not in parameters:
                parameters[name] = value if equals else None
        return Via(transport, host.lower(), int(digits) if digits else None, parameters)
    protocol, _, rest = text.partition(" ")
    if not rest or protocol[:8].upper() != "SIP/2.0/":
        return _parse_spaced_via(text)
    return _make_via(protocol[8:], rest)


def _parse_spaced_via(text: str) -> Via:
    """Parse a Via with white space around its slashes (RFC 3261 25.1).

    Its version may be any: the start line decides about that.
    """
    name, version, rest = (*text.split("/", 2), "", "")[:3]
    pieces = rest.strip(" \t").split(None, 1)
    known = name.strip().upper() == "SIP" and is_token(version.strip(" \t"))
    if not known or len(pieces) < 2:
        raise HeaderError("A Via is malformed")
    return _make_via(pieces[0], pieces[1])


def _make_via(transport: str, rest: str) -> Via:
    if not is_token(transport):
        raise HeaderError("A Via names no transport")
    sent_by, semicolon, raw_parameters = rest.partition(";")
    host, port = _parse_host_port(sent_by.strip(" \t"))
    parameters = parse_parameters(raw_parameters) if semicolon else {}
    return Via(transport.upper(), host, port, parameters)


def parse_cseq(text: str) -> tuple[int, str]:
    """Parse CSeq: a number below 2**31 and a method (RFC 3261 8.1.1.5).

    Raises HeaderError.
    """
    if plain := _PLAIN_CSEQ.fullmatch(text):
        return int(plain[1]), plain[2]
    digits, _, method = text.partition(" ")
    value = number(digits.strip(" \t"), 2**31 - 1)
    method = method.strip(" \t")
    if value is None or not is_token(method):
        raise HeaderError("CSeq is not a number below 2**31 and a method")
    return value, method


def bracketed(host: str) -> str:
    """Return an IP address as it stands in a URI: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def plain_host(host: str) -> str:
    """Return a host in the one spelling in which two can be compared.

    A name in lower case, an IPv6 address without brackets and as short as it may be.
    """
    if ":" not in host:
        return host.lower()
    host = unbracketed(host).lower()
    try:
        return str(IPv6Address(host))
    except ValueError:
        return host


def default_port(transport: str) -> int:
    """Return the port of a transport where none is named (RFC 3261 19.1.2)."""
    return DEFAULT_TLS_PORT if transport == "TLS" else DEFAULT_PORT


def unbracketed(host: str) -> str:
    """Return a host of a URI as the socket functions take it."""
    return host[1:-1] if host.startswith("[") else host
