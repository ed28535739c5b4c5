"""Requests and responses, and the answers to requests.

Header fields are kept as they came. Answers echo the raw text of Via, From, To,
Call-ID and CSeq and never write them anew (RFC 3261 8.2.6.2).

Fields of one name that stand on several lines are kept in one string, separated by a
line feed, which no field value can hold.
"""

from collections.abc import Iterable
import re

from .headers import (
    HeaderError,
    Uri,
    Via,
    parse_address,
    parse_cseq,
    parse_uri,
    parse_via,
    split_list,
)

# Via values of one request: as many as there may be hops (RFC 3261 8.1.1.6). RFC 4475
# has a valid request with 34.
MAX_VIAS = 70
# Contact and Record-Route values of one request.
MAX_VALUES = 32

REASONS = {
    100: "Trying",
    200: "OK",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    489: "Bad Event",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
}

# Stands in a request until its own is read.
_NO_VIA = Via("", "", None, {})


# What a header line can do without, and quoted strings, which stay. MD5 is the
# algorithm of a challenge that names none (RFC 7616 3.3).
_SPARE = re.compile(r'("[^"]*")|(?<=[,:]) |, algorithm=MD5(?=,)')


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
        "size",
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
        # Octets of the whole message, where it was taken from the network.
        self.size = 0
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

    def short_answer(self, status: int, fields: Iterable[str] = ()) -> bytes:
        """Return the same in as few octets as SIP allows.

        Compact names (RFC 3261 7.3.3), no reason, no white space that may be left out,
        and no parameter that says what goes without saying.
        """
        echoed = self.fields
        lines = [
            f"SIP/2.0 {status} ",
            *[f"v:{via}" for via in self.via_text.split("\n")],
            f"f:{echoed.get('from', '')}",
            f"t:{self.to_text}",
            f"i:{self.call_id}",
            f"CSeq:{echoed.get('cseq', '')}",
            *[_SPARE.sub(r"\1", field) for field in fields],
            "l:0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


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
