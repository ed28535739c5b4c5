"""Octets to requests and responses, line by line.

A message is split once. Header fields are kept as they came; what is inside them is
parsed when somebody asks.
"""

from contextlib import suppress
import re

from .headers import (
    COMPACT,
    HeaderError,
    is_token,
    number,
    parse_address,
    parse_cseq,
    parse_via,
    split_list,
)
from .message import MAX_VIAS, NotSip, Request, Response, SipError
from .plain import read_plain_request

# Start line and header fields, in octets. The field's largest requests (four Vias,
# Record-Routes, credentials) stay below 3 KiB.
MAX_HEAD = 16 * 1024

MAX_FIELDS = 128

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

_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)


def parse(data: bytes) -> Request | Response:
    """Parse one message; octets behind its Content-Length are dropped (18.3).

    Raises SipError for a request that deserves an answer, NotSip for anything else.
    """
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        if end <= MAX_HEAD and (request := read_plain_request(data, end)) is not None:
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
    if text.count("\n") + text.count(",") >= MAX_VIAS:
        raise HeaderError("Too many Via values")
    if "," in text and not all(all(split_list(line)) for line in request.lines("via")):
        raise HeaderError("A Via is empty")


def read_tag(value: str) -> str | None:
    """Return the tag parameter of From or To, None where there is none.

    Raises HeaderError.
    """
    return parse_address(value).parameters.get("tag")
