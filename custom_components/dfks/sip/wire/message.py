"""Octets to requests and responses, and back.

A message is split once. Header fields are kept as they came; what is inside them is
parsed when somebody asks. Answers echo the raw text of Via, From, To, Call-ID and
CSeq and never write them anew (RFC 3261 8.2.6.2).

Fields of one name that stand on several lines are kept in one string, separated by a
line feed, which no field value can hold.
"""

from collections.abc import Iterable
from contextlib import suppress
import re

from .headers import (
    PLAIN_PORT,
    PLAIN_WORD,
    TOKEN,
    HeaderError,
    Parameters,
    Uri,
    Via,
    is_token,
    number,
    parse_address,
    parse_cseq,
    parse_uri,
    parse_via,
    split_list,
)

# Start line and header fields, in octets. The field's largest requests (four Vias,
# Record-Routes, credentials) stay below 3 KiB.
MAX_HEAD = 16 * 1024
MAX_FIELDS = 128
# Via and Contact values of one request.
MAX_VALUES = 32

REASONS = {
    100: "Trying",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    489: "Bad Event",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
}

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

# Names as peers spell them, so that most lines need neither strip nor lower.
_NAMES = {
    spelling: name.lower()
    for name in (
        "Accept",
        "Allow",
        "Allow-Events",
        "Authorization",
        "Call-ID",
        "Contact",
        "Content-Length",
        "Content-Type",
        "CSeq",
        "Event",
        "Expires",
        "From",
        "Max-Forwards",
        "Record-Route",
        "Retry-After",
        "Route",
        "Server",
        "Supported",
        "To",
        "User-Agent",
        "Via",
    )
    for spelling in (name, name.lower())
} | COMPACT

# Fields of which a message has one (RFC 3261 7.3.1, table 2).
_SINGLE = (
    "call-id",
    "content-length",
    "content-type",
    "cseq",
    "event",
    "expires",
    "from",
    "max-forwards",
    "to",
)

# Stands in a request until its own is read.
_NO_VIA = Via("", "", None, {})

# The grammar of a plain request's head. An address has maybe a name, a URI in <>, at
# most the tag; a Via a branch, and rport before or behind.
_VALUE = r"[!-~\x80-\xff][ -~\t\x80-\xff]*+(?<![ \t])"
_ADDRESS = (
    r'(?:"[ !#-\[\]-~\x80-\xff]*+"[ \t]*+|(?! )[ !#-;=-~\x80-\xff]*+)'
    rf"<[ -=?-~\x80-\xff]*+>(?:;tag=({TOKEN}))?+"
)
_VIA = (
    rf"SIP/2\.0/(UDP|TCP|TLS) ({PLAIN_WORD})(?::({PLAIN_PORT}))?+"
    rf"(;rport)?+;branch=({TOKEN})(;rport)?+"
)
_READ = {
    "Via": _VIA,
    "From": _ADDRESS,
    "To": _ADDRESS,
    "Call-ID": _VALUE,
    "CSeq": r"([0-9]{1,9}+) ([A-Z]++)",
    "Contact": _VALUE,
    "Event": _VALUE,
    "Expires": _VALUE,
    "User-Agent": _VALUE,
    "Authorization": _VALUE,
    "Content-Type": _VALUE,
    "Content-Length": _VALUE,
    "Supported": _VALUE,
}
# Nobody asks a request for these.
_UNREAD = ("Max-Forwards", "Accept", "Accept-Language", "Allow", "Allow-Events")
# The fields that a plain request may have or not, in the order of their groups.
_OPTIONAL = tuple(name.lower() for name in _READ)[5:]


def _write_plain_request() -> re.Pattern[str]:
    """Write the expression of what most requests look like.

    In the Request-URI there is nothing but a user, a host and maybe a port. Behind it
    come lines that are known and spelled as in the RFC, in any order, each at most
    once: none matches where its group has done so before.
    """
    start = (
        rf"([A-Z]++) (sip:({PLAIN_WORD})@{PLAIN_WORD}(?::(?:{PLAIN_PORT}))?+) SIP/2\.0"
    )
    group = re.compile(start).groups
    lines = []
    for name, value in (_READ | dict.fromkeys(_UNREAD, "")).items():
        group += 1
        lines.append(f"{name}: (?({group})(?!))({value}){'' if value else _VALUE}")
        group += re.compile(value).groups
    return re.compile(rf"{start}(?:\r\n(?:{'|'.join(lines)}))++")


_PLAIN_REQUEST = _write_plain_request()

# A field of a response that says nothing about where it belongs or where it ends.
_OTHER_FIELDS = (
    rb"(?:(?!(?i:Call-ID|i|CSeq|Content-Length|l)\b)[A-Za-z\-]++: [ -~]*+\r\n)*+"
)
# What most responses to a NOTIFY look like.
_PLAIN_OK = re.compile(
    rb"SIP/2\.0 200 [ -~]*+\r\n"
    rb'Via: SIP/2\.0/[A-Z]++ [^;,"\s]++;branch=([A-Za-z0-9]++)(?:;[^;,"\s]++)*+\r\n'
    rb"%b"
    rb"Call-ID: ([!-~]++)\r\n"
    rb"%b"
    rb"CSeq: [0-9]{1,9}+ NOTIFY\r\n"
    rb"%b"
    rb"Content-Length: 0\r\n"
    rb"%b\r\n" % ((_OTHER_FIELDS,) * 4)
)

_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)


class NotSip(ValueError):
    """The octets are no SIP message, or one that must not be answered."""


class SipError(Exception):
    """A request that gets an error answer.

    `status` and `reason` are for the status line, `fields` for further header lines
    of the answer, `request` is as much of the request as could be parsed.
    """

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        fields: tuple[str, ...] = (),
        *,
        request: Request | None = None,
    ) -> None:
        """Describe the answer."""
        self.status = status
        self.reason = reason or REASONS[status]
        self.fields = fields
        self.request = request
        super().__init__(f"{status} {self.reason}")


class Message:
    """What requests and responses share: header fields and a body."""

    __slots__ = ("body", "fields")

    def __init__(self, fields: dict[str, str], body: bytes) -> None:
        """Keep fields (lower-case names) and body."""
        self.fields = fields
        self.body = body

    def get(self, name: str) -> str | None:
        """Return the first value line of a field, by its lower-case name."""
        value = self.fields.get(name)
        if value is not None and "\n" in value:
            return value[: value.index("\n")]
        return value

    def lines(self, name: str) -> list[str]:
        """Return the value lines of a field, as they came."""
        value = self.fields.get(name)
        return [] if value is None else value.split("\n")

    def values(self, name: str) -> list[str]:
        """Return all values of a list field: by line and by comma (RFC 3261 7.3.1).

        Raises HeaderError.
        """
        value = self.fields.get(name)
        if value is None:
            return []
        if "\n" not in value and "," not in value:
            return [value] if value else []
        return [item for line in value.split("\n") for item in split_list(line) if item]

    def tokens(self, name: str) -> list[str]:
        """Return the values of a list field in lower case; none where it is malformed."""
        try:
            return [value.lower() for value in self.values(name)]
        except HeaderError:
            return []

    @property
    def to_user(self) -> str | None:
        """The user part of To, which names the line in both directions."""
        try:
            return parse_uri(parse_address(self.get("to") or "").uri).user or None
        except HeaderError:
            return None

    def text(self, name: str) -> str | None:
        """Return a value to show to a person: as UTF-8, without control characters."""
        value = self.get(name)
        if value is None or (value.isascii() and value.isprintable()):
            return value
        shown = value.encode("latin-1").decode("utf-8", "replace")
        return "".join(char for char in shown if char.isprintable())


class Request(Message):
    """A request whose mandatory fields were found and understood.

    `via` is the top Via; `via_text` is what an answer echoes for all of them, and
    `to_text` for To (the transport and the dialog may add to both).
    """

    __slots__ = (
        "_target",
        "call_id",
        "cseq",
        "from_tag",
        "method",
        "plain_user",
        "to_tag",
        "to_text",
        "uri",
        "via",
        "via_text",
    )

    def __init__(
        self,
        method: str,
        uri: str,
        fields: dict[str, str],
        body: bytes,
        plain_user: str | None = None,
    ) -> None:
        """Keep what stands in the start line; the rest is filled in by `parse`.

        `plain_user` is the user part of a Request-URI in which nothing is special.
        """
        self.fields = fields
        self.body = body
        self.method = method
        self.uri = uri
        self.plain_user = plain_user
        self.via = _NO_VIA
        self.via_text = fields.get("via", "")
        self.to_text = fields.get("to", "")
        self.call_id = fields.get("call-id", "")
        self.cseq = 0
        self.from_tag: str | None = None
        self.to_tag: str | None = None
        self._target: Uri | None = None

    @property
    def target(self) -> Uri:
        """The Request-URI. Raises HeaderError."""
        if self._target is None:
            self._target = parse_uri(self.uri)
        return self._target

    def answer(
        self,
        status: int,
        fields: Iterable[str] = (),
        *,
        reason: str | None = None,
    ) -> bytes:
        """Return a response to this request, without a body.

        `fields` are whole header lines. The request's To must carry its tag by now.
        """
        echoed = self.fields
        via = self.via_text
        if "\n" in via:
            via = via.replace("\n", "\r\nVia: ")
        more = "\r\n".join((*fields, "Content-Length: 0"))
        return (
            f"SIP/2.0 {status} {reason or REASONS[status]}\r\n"
            f"Via: {via}\r\n"
            f"From: {echoed.get('from', '')}\r\n"
            f"To: {self.to_text}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {echoed.get('cseq', '')}\r\n"
            f"{more}\r\n\r\n"
        ).encode("latin-1")


class Response(Message):
    """A response, with what finds its client transaction (RFC 3261 17.1.3)."""

    __slots__ = ("branch", "method", "reason", "status")

    def __init__(
        self, status: int, reason: str, fields: dict[str, str], body: bytes
    ) -> None:
        """Keep the status line; raises NotSip where Via or CSeq is unusable."""
        super().__init__(fields, body)
        self.status = status
        self.reason = reason
        try:
            self.branch = _read_branch(self.get("via") or "")
            self.method = parse_cseq(self.get("cseq") or "")[1]
        except HeaderError as err:
            raise NotSip(f"Response: {err}") from err


def _read_branch(via: str) -> str:
    """Return the branch of the top Via of a line. Raises HeaderError."""
    if "," not in via and '"' not in via:
        # The usual case by hand: what we sent comes back as it was.
        start = via.find(";branch=") + 8
        if start > 7:
            end = via.find(";", start)
            return via[start:] if end < 0 else via[start:end]
    return parse_via(split_list(via)[0]).branch


def parse_plain_ok(data: bytes) -> tuple[str, str] | None:
    """Return branch and Call-ID of a plain 200 to a NOTIFY, None for all else.

    Half of all messages are such; there is nothing else in them for us.
    """
    plain = _PLAIN_OK.fullmatch(data)
    return (
        None if plain is None else (plain[1].decode("ascii"), plain[2].decode("ascii"))
    )


def parse(data: bytes) -> Request | Response:
    """Parse one message; octets behind its Content-Length are dropped (18.3).

    Raises SipError for a request that deserves an answer, NotSip for anything else.
    """
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        if end <= MAX_HEAD and (request := _read_plain(data, end)) is not None:
            return request
        head, start_of_body = data[:end], end + 4
    else:
        head, start_of_body = _find_loose_end(data)
    text = head[: MAX_HEAD + 1].decode("latin-1")
    if "\n " in text or "\n\t" in text:
        text = _unfold(text)
    lines = text.split("\r\n")
    breaks = len(lines) - 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\x00" in text:
        lines = _split_odd_lines(text)
    start_line = lines[0]
    fields, broken, repeated = _parse_fields(lines)
    if start_line[:8].upper() == "SIP/2.0 ":
        return _make_response(start_line, fields, data[start_of_body:], broken)
    if repeated:
        broken = _merge_repeated(fields) or broken
    return _make_request(
        start_line, fields, data[start_of_body:], broken, len(head) > MAX_HEAD
    )


def _read_plain(data: bytes, end: int) -> Request | None:
    """Read what most requests look like, None for whatever else it is.

    The hot path: what comes out is what `parse` would make of it line by line.
    """
    text = data[:end].decode("latin-1")
    plain = _PLAIN_REQUEST.fullmatch(text)
    if plain is None:
        return None
    groups = plain.groups()
    method, uri, user, via, transport, host, port, before, branch, behind = groups[:10]
    from_, from_tag, to, to_tag, call_id, cseq, count, cseq_method = groups[10:18]
    if None in (via, from_, to, call_id) or cseq_method != method:
        return None
    fields = {
        name: value
        for name, value in zip(_OPTIONAL, groups[18:26], strict=True)
        if value is not None
    }
    fields |= {"via": via, "from": from_, "to": to, "call-id": call_id, "cseq": cseq}
    body = data[end + 4 :]
    if fields.get("content-length", str(len(body))) != str(len(body)):
        return None
    request = Request(method, uri, fields, body, user)
    parameters: Parameters = {"branch": branch}
    if before or behind:
        parameters["rport"] = None
    request.via = Via(transport, host.lower(), int(port) if port else None, parameters)
    request.from_tag = from_tag
    request.to_tag = to_tag
    request.cseq = int(count)
    return request


def _find_loose_end(data: bytes) -> tuple[bytes, int]:
    """Find the end of a head whose lines end in a bare line feed, or of all."""
    end = data.find(b"\n\n")
    if end >= 0:
        return data[:end], end + 2
    return data.rstrip(b"\r\n"), len(data)


def _unfold(text: str) -> str:
    """Join continuation lines with one space (RFC 3261 7.3.1)."""
    text = text.replace("\r\n", "\n")
    return re.sub(r"\n[ \t]+", " ", text).replace("\n", "\r\n")


def _split_odd_lines(text: str) -> list[str]:
    """Split a head with bare line feeds: some phones send nothing else.

    Raises NotSip for other control characters: an answer would echo them, and they
    end a line for some readers. A NUL may stand in a quoted string, escaped (25.1).
    """
    text = text.replace("\r\n", "\n")
    if "\r" in text or "\x00" in text.replace("\\\x00", ""):
        raise NotSip("A control character in a header field")
    return text.split("\n")


def _parse_fields(lines: list[str]) -> tuple[dict[str, str], str | None, bool]:
    """Return the fields behind the start line, what is wrong, and whether one repeats."""
    fields: dict[str, str] = {}
    broken = None
    repeated = False
    names = _NAMES
    if len(lines) > MAX_FIELDS + 1:
        broken = "Too many header fields"
        del lines[MAX_FIELDS + 1 :]
    for line in lines[1:]:
        raw, colon, value = line.partition(": ")
        name = names.get(raw)
        if name is None or not colon:
            raw, colon, value = line.partition(":")
            name = raw.strip(" \t").lower()
            if not is_token(name):
                broken = broken or "A header field has no name"
                continue
            if not colon:
                broken = broken or "A header field has no colon"
                continue
            name = COMPACT.get(name, name)
        value = value.strip(" \t")
        if name in fields:
            fields[name] += "\n" + value
            repeated = True
        else:
            fields[name] = value
    return fields, broken, repeated


def _make_response(
    start_line: str, fields: dict[str, str], rest: bytes, broken: str | None
) -> Response:
    code, _, reason = start_line[8:].partition(" ")
    status = number(code, 699)
    if status is None or status < 100 or broken:
        raise NotSip("Malformed response")
    length = fields.get("content-length")
    if length is not None and number(length, len(rest)) is None:
        raise NotSip("Response shorter than its Content-Length")
    return Response(status, reason, fields, rest)


def _make_request(
    start_line: str,
    fields: dict[str, str],
    rest: bytes,
    broken: str | None,
    too_long: bool,
) -> Request:
    method, uri = _split_start(start_line)
    request = Request(method, uri, fields, rest)
    _read_via(request)
    if too_long:
        raise _refusal(request, 413, "Header Too Large")
    _check_start(request, start_line)
    if broken:
        raise _refusal(request, 400, broken)
    _read_mandatory(request)
    length = fields.get("content-length")
    if length is not None and length != str(len(rest)):
        size = number(length, len(rest))
        if size is None:
            raise SipError(400, "Content-Length does not fit", request=request)
        request.body = rest[:size]
    return request


def _split_start(line: str) -> tuple[str, str]:
    """Return method and Request-URI of a start line. Raises NotSip."""
    method, _, remainder = line.partition(" ")
    uri, _, version = remainder.rstrip(" \t").rpartition(" ")
    if version != "SIP/2.0" and not _VERSION.fullmatch(version):
        raise NotSip("No SIP version in the start line")
    return method, uri


def _check_start(request: Request, line: str) -> None:
    """Check what is left to check of a start line. Raises SipError."""
    if line.rstrip(" \t")[-8:].upper() != " SIP/2.0":
        raise _refusal(request, 505)
    if (
        not is_token(request.method)
        or _is_bad_uri_text(request.uri)
        or line[-1] in " \t"
    ):
        raise _refusal(request, 400, "Malformed Request-Line")


def _refusal(request: Request, status: int, reason: str | None = None) -> SipError:
    """Return the error for a request that was not read to its end.

    A To tag counts all the same: the answer must not add another one.
    """
    with suppress(HeaderError):
        request.to_tag = read_tag(request.to_text)
    return SipError(status, reason, request=request)


def _is_bad_uri_text(uri: str) -> bool:
    return not uri or " " in uri or "\t" in uri or "<" in uri or '"' in uri


def _read_via(request: Request) -> None:
    """Find where answers go. Without a usable Via there is nowhere: NotSip."""
    line = request.via_text
    if "\n" in line:
        line = line[: line.index("\n")]
    try:
        request.via = parse_via(split_list(line)[0] if "," in line else line)
    except HeaderError as err:
        raise NotSip(f"Request: {err}") from err


def _merge_repeated(fields: dict[str, str]) -> str | None:
    """Keep one of each repeated single field; return what differs, if anything."""
    differing = None
    for name in _SINGLE:
        value = fields.get(name)
        if value is not None and "\n" in value:
            first, *others = value.split("\n")
            fields[name] = first
            if any(other != first for other in others):
                differing = f"Two different {name.title()} fields"
    return differing


def _read_mandatory(request: Request) -> None:
    """Fill in what every request must say (RFC 3261 8.1.1). Raises SipError."""
    fields = request.fields
    via = request.via_text
    try:
        if "\n" in via or "," in via:
            _check_vias(request)
        request.from_tag = read_tag(fields["from"])
        request.to_tag = read_tag(fields["to"])
        request.cseq, method = parse_cseq(fields["cseq"])
    except KeyError as err:
        raise _refusal(request, 400, f"Missing {err.args[0].title()}") from None
    except HeaderError as err:
        raise _refusal(request, 400, str(err)) from err
    if not request.call_id:
        raise SipError(400, "Missing Call-ID", request=request)
    if method != request.method:
        raise SipError(400, "CSeq names another method", request=request)


def _check_vias(request: Request) -> None:
    """Look at the Vias of a request that came by proxies. Raises HeaderError."""
    text = request.via_text
    if text.count("\n") + text.count(",") >= MAX_VALUES:
        raise HeaderError("Too many Via values")
    if "," in text and not all(all(split_list(line)) for line in request.lines("via")):
        raise HeaderError("A Via is empty")


def read_tag(value: str) -> str | None:
    """Return the tag parameter of From or To, None where there is none.

    Raises HeaderError.
    """
    return parse_address(value).parameters.get("tag")
