"""SIP messages as a desk phone reads and writes them (RFC 3261 section 7).

This parser is for the other side of the wire: it takes apart whatever a server sends
and lists every breach of the rules in `violations`, so that a test can assert that
there are none. It shares no code with the server that it is used against.

Header fields stay what they were: a list of (name, value) pairs in their order. Bytes
that are no UTF-8 survive as surrogate escapes, so `Message.raw` and `encode` agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
import re

Headers = list[tuple[str, str]]

# RFC 3261 section 7.3.3 and the registrations that real phones use.
_COMPACT = {
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
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

_SINGLE = ("from", "to", "call-id", "cseq", "content-length", "content-type", "event")
_SINGLE_TOO = ("max-forwards", "expires", "subscription-state", "min-expires")
_MANDATORY = ("via", "from", "to", "call-id", "cseq")

_REQUEST_LINE = re.compile(r"([A-Za-z0-9.!%*_+`'~-]+) (\S+) SIP/2\.0")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) ([^\r\n]*)")
_CSEQ = re.compile(r"([0-9]{1,10})[ \t]+([A-Za-z0-9.!%*_+`'~-]+)")
_VIA = re.compile(r"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*(UDP|TCP|TLS)[ \t]+([^\s;]+)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class WireError(ValueError):
    """The bytes are no SIP message at all."""


def canonical(name: str) -> str:
    """Return a header field's name in lower case, a compact form in full."""
    lower = name.strip().lower()
    return _COMPACT.get(lower, lower)


@dataclass(kw_only=True)
class Message:
    """What requests and responses share."""

    headers: Headers = field(default_factory=list)
    body: bytes = b""
    raw: bytes = b""
    violations: list[str] = field(default_factory=list)
    start_line: str = field(init=False, default="")
    """The first line, without its line end."""

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a header field, `default` without one."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Return the value of every header line of that name, in order."""
        wanted = canonical(name)
        return [value for key, value in self.headers if canonical(key) == wanted]

    def values(self, name: str) -> list[str]:
        """Return the values of a list header, comma lists taken apart."""
        lines = self.get_all(name)
        return [value for line in lines for value in split_list(line)]

    def has(self, name: str) -> bool:
        """Tell whether a header field is there."""
        return bool(self.get_all(name))

    def number(self, name: str) -> int | None:
        """Return a header field as a number, None where it is none."""
        text = self.get(name).partition(";")[0].strip()
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def cseq(self) -> tuple[int, str]:
        """Sequence number and method of CSeq, (0, "") where it is garbled."""
        match = _CSEQ.fullmatch(self.get("CSeq"))
        return (int(match[1]), match[2]) if match else (0, "")

    @property
    def call_id(self) -> str:
        """The Call-ID as it stands."""
        return self.get("Call-ID")

    @property
    def from_tag(self) -> str:
        """The tag of From, empty without one."""
        return parameter(self.get("From"), "tag")

    @property
    def to_tag(self) -> str:
        """The tag of To, empty without one."""
        return parameter(self.get("To"), "tag")

    @property
    def branch(self) -> str:
        """The branch of the top Via."""
        return parameter(next(iter(self.values("Via")), ""), "branch")

    def encode(self) -> bytes:
        """Build the bytes; a Content-Length is added where there is none."""
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        if not self.has("Content-Length"):
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + self.body

    @property
    def title(self) -> str:
        """Start line and CSeq, for error messages."""
        number, method = self.cseq
        return f"{self.start_line} (CSeq {number} {method})"


_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    410: "Gone",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    480: "Temporarily Unavailable",
    481: "Subscription Does Not Exist",
    488: "Not Acceptable Here",
    489: "Bad Event",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    604: "Does Not Exist Anywhere",
}


@dataclass(kw_only=True)
class Response(Message):
    """A SIP response."""

    status: int
    reason: str

    def __post_init__(self) -> None:
        """Write the Status-Line."""
        self.start_line = f"SIP/2.0 {self.status} {self.reason}"

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(kw_only=True)
class Request(Message):
    """A SIP request."""

    method: str
    uri: str

    def __post_init__(self) -> None:
        """Write the Request-Line."""
        self.start_line = f"{self.method} {self.uri} SIP/2.0"

    def response(
        self, status: int, *, reason: str = "", extra: Iterable[tuple[str, str]] = ()
    ) -> Response:
        """Build the answer to this request (RFC 3261 section 8.2.6)."""
        copied = ("via", "from", "to", "call-id", "cseq", "record-route")
        kept = [pair for pair in self.headers if canonical(pair[0]) in copied]
        return Response(
            status=status,
            reason=reason or _REASONS.get(status, "Answer"),
            headers=[*kept, *extra],
        )


# --- Header field values ---


def split_list(value: str) -> list[str]:
    """Split at the commas outside quotes and angle brackets (section 7.3.1)."""
    return [part.strip() for part in _split(value, ",") if part.strip()]


def parameter(value: str, name: str, default: str = "") -> str:
    """Return a `;name=value` parameter of a header value, quotes removed.

    Parameters inside the angle brackets belong to the URI and are passed over.
    """
    for part in _split(value, ";")[1:]:
        key, _, text = part.partition("=")
        if key.strip().lower() == name.lower():
            return unquote(text.strip())
    return default


def has_parameter(value: str, name: str) -> bool:
    """Tell whether a parameter stands there, with or without a value."""
    keys = (part.partition("=")[0].strip() for part in _split(value, ";")[1:])
    return any(key.lower() == name.lower() for key in keys)


def address(value: str) -> str:
    """Return the URI of a From, To, Contact or Route value."""
    bare = _QUOTED.sub("", value)
    match = re.search(r"<([^<>]*)>", bare)
    return match[1] if match else bare.partition(";")[0].strip()


def unquote(text: str) -> str:
    """Take the quotes and their escapes off a quoted string."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def host_port(uri: str) -> tuple[str, int | None]:
    """Return host and port of a SIP URI, the port None where there is none."""
    rest = uri.partition(":")[2].rpartition("@")[2]
    rest = re.split(r"[;?]", rest, maxsplit=1)[0]
    return split_host(rest)


def split_host(text: str) -> tuple[str, int | None]:
    """Split `host:port`, with or without a port, IPv6 in brackets."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text)
    if match is None:
        return text, None
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def _split(value: str, separator: str) -> list[str]:
    parts, start, quoted, angle, skip = [], 0, False, False, False
    for index, char in enumerate(value):
        if skip:
            skip = False
        elif quoted:
            skip = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            angle = char == "<"
        elif char == separator and not angle:
            parts.append(value[start:index])
            start = index + 1
    return [*parts, value[start:]]


# --- Parsing ---


def parse(data: bytes) -> Request | Response:
    """Take a whole message apart and note what is wrong with it.

    Raises WireError where there is no start line to go by.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    violations: list[str] = []
    if not separator:
        violations.append("no empty line with CR LF ends the header fields")
        head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    text = head.decode("utf-8", "surrogateescape")
    if re.search(r"(?<!\r)\n|\r(?!\n)", text):
        violations.append("a header line does not end in CR LF")
    first, *lines = re.split(r"\r\n|\n", text)
    headers = _parse_headers(lines, violations)
    if match := _STATUS_LINE.fullmatch(first):
        message: Request | Response = Response(status=int(match[1]), reason=match[2])
    elif match := _REQUEST_LINE.fullmatch(first):
        message = Request(method=match[1], uri=match[2])
    else:
        raise WireError(f"no SIP start line: {first[:80]!r}")
    message.headers, message.body, message.raw = headers, body, data
    message.violations = violations
    _check(message)
    return message


def content_length(head: bytes) -> int | None:
    """Return the Content-Length of a stream's message head (section 18.3)."""
    match = re.search(rb"\n(?:content-length|l)[ \t]*:[ \t]*([0-9]+)", head.lower())
    return int(match[1]) if match else None


def _parse_headers(lines: list[str], violations: list[str]) -> Headers:
    headers: Headers = []
    for line in lines:
        if line[:1] in (" ", "\t") and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+[ \t]*", name):
            violations.append(f"no header field: {line[:60]!r}")
            continue
        if _CONTROL.search(value):
            violations.append(f"control character in {name}")
        headers.append((name.strip(), value.strip()))
    return headers


def _check(message: Request | Response) -> None:
    """Check what every message must have, whatever it is for."""
    note = message.violations.append
    for name in _MANDATORY:
        if not message.has(name):
            note(f"{name} is missing")
    for name in (*_SINGLE, *_SINGLE_TOO):
        if len(message.get_all(name)) > 1:
            note(f"{name} stands there more than once")
    _check_content(message)
    for via in message.values("Via"):
        if not _VIA.match(via):
            note(f"malformed Via: {via!r}")
    method = message.cseq[1]
    if not method:
        note(f"malformed CSeq: {message.get('CSeq')!r}")
    if not message.from_tag:
        note("From has no tag")
    if isinstance(message, Response):
        if message.status > 100 and not message.to_tag:
            note("To has no tag")
        return
    if method != message.method:
        note(f"CSeq names {method}, the request is {message.method}")
    if not message.branch.startswith("z9hG4bK") or len(message.branch) < 8:
        note(f"branch without magic cookie: {message.branch!r}")
    if message.number("Max-Forwards") is None:
        note("Max-Forwards is missing or no number")


def _check_content(message: Message) -> None:
    note = message.violations.append
    length = message.number("Content-Length")
    if length is None:
        note("Content-Length is missing or no number")
    elif length != len(message.body):
        note(f"Content-Length is {length}, the body has {len(message.body)} bytes")
    if message.body and not message.has("Content-Type"):
        note("a body without Content-Type")
    if not message.body and message.has("Content-Type"):
        note("a Content-Type without a body")


# --- multipart/mixed (RFC 2046 section 5.1) ---


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a multipart body."""

    headers: Headers
    body: bytes

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a part's header field."""
        wanted = name.lower()
        return next((v for k, v in self.headers if k.lower() == wanted), default)


def parse_multipart(content_type: str, body: bytes) -> tuple[list[Part], list[str]]:
    """Split a multipart body; returns its parts and the violations found."""
    violations: list[str] = []
    if not re.search(r';\s*boundary="[^"]+"', content_type, re.IGNORECASE):
        violations.append(f"boundary is missing or not quoted: {content_type!r}")
    boundary = parameter(content_type, "boundary").encode()
    if not boundary:
        return [], violations
    if re.search(rb"(?<!\r)\n--" + re.escape(boundary), body):
        violations.append("a boundary line is not led in by CR LF")
    preamble, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if preamble.strip():
        violations.append("text before the first boundary")
    if not pieces or not pieces[-1].startswith(b"--"):
        violations.append("no closing boundary")
    elif pieces.pop()[2:].strip():
        violations.append("text after the closing boundary")
    parts = [_parse_part(piece, violations) for piece in pieces]
    _check_ids(parts, violations)
    return parts, violations


def _parse_part(piece: bytes, violations: list[str]) -> Part:
    if not piece.startswith(b"\r\n"):
        violations.append("a boundary line does not end in CR LF")
    head, separator, body = piece[2:].partition(b"\r\n\r\n")
    if not separator:
        violations.append("a part without an empty line after its header fields")
    headers = _parse_headers(head.decode("latin-1").split("\r\n"), violations)
    part = Part(headers=headers, body=body)
    if not part.get("Content-Type"):
        violations.append("a part without Content-Type")
    if part.get("Content-Length") != str(len(body)):
        stated = part.get("Content-Length") or "none"
        violations.append(f"a part's Content-Length is {stated}, not {len(body)}")
    return part


def _check_ids(parts: list[Part], violations: list[str]) -> None:
    ids = [part.get("Content-ID") for part in parts]
    violations += [
        f"Content-ID is missing or malformed: {content_id!r}"
        for content_id in ids
        if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", content_id)
    ]
    if len(set(ids)) != len(ids):
        violations.append("a Content-ID is used twice")
