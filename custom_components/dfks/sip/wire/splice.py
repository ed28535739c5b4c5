"""A message on its way through: what a proxy reads and changes, and nothing else.

A proxy passes the octets of a message as they came (RFC 3261 16.6, 16.7): bodies,
unknown header fields, their order, case and spelling. So a message that is passed is
not parsed into fields and written anew. It is a list of lines, of which the few that a
proxy needs are found by name, and single values of these are put in, taken out or
replaced.

A folded line keeps its form as long as its value is not changed.
"""

from functools import lru_cache
import re

from .headers import (
    COMPACT,
    MAX_KNOWN,
    PLAIN_NAME,
    PLAIN_SPEC,
    TOKEN,
    HeaderError,
    Uri,
    Via,
    is_token,
    known_uri,
    number,
    parse_address,
    parse_cseq,
    parse_via,
    split_list,
)
from .sources import with_source

# The largest head and the number of header lines that are passed, in octets and lines.
MAX_HEAD = 64 * 1024
MAX_LINES = 256

# The fields that a proxy looks at, by what they are called here.
_FIELDS = (
    "authorization",
    "call-id",
    "contact",
    "content-length",
    "cseq",
    "event",
    "expires",
    "from",
    "max-forwards",
    "path",
    "proxy-require",
    "reason",
    "record-route",
    "require",
    "route",
    "session-expires",
    "supported",
    "to",
    "user-agent",
    "via",
    "www-authenticate",
)
_NAMES = {name: name for name in _FIELDS} | {
    short: name for short, name in COMPACT.items() if name in _FIELDS
}

# What most From and To look like: a URI in <> and at most the tag.
_PLAIN_ADDRESS = re.compile(rf"{PLAIN_NAME}<({PLAIN_SPEC})>(?:;tag=({TOKEN}))?+")

# Spellings of names that have been seen, and what they stand for; peers repeat theirs.
_spellings: dict[str, str | None] = {}
MAX_SPELLINGS = 1024


def _name_of(spelling: str) -> str | None:
    """Return the field that a line is of, None where a proxy does not look at it."""
    name = _NAMES.get(spelling.strip(" \t").lower())
    if len(_spellings) >= MAX_SPELLINGS:
        _spellings.clear()
    _spellings[spelling] = name
    return name


class PassedMessage:
    """A request or a response that is passed, as lines.

    An octet of the head is a character of Latin-1 here, whatever it means.

    `method` is empty for a response, `status` is 0 for a request.
    """

    __slots__ = (
        "_at",
        "_firsts",
        "_lines",
        "_top",
        "_via",
        "body",
        "head",
        "method",
        "status",
        "uri",
    )

    def __init__(self, data: bytes) -> None:
        """Read a message.

        Raises HeaderError for what cannot be split into lines or is no SIP.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0:
            end = data.find(b"\n\n")
            start_of_body = len(data) if end < 0 else end + 2
            head = data.rstrip(b"\r\n") if end < 0 else data[:end]
        else:
            head, start_of_body = data[:end], end + 4
        if len(head) > MAX_HEAD:
            raise HeaderError("Header Too Large")
        # As it came, to look for something in.
        self.head = head.decode("latin-1")
        self._lines = lines = _split(self.head)
        if len(lines) > MAX_LINES:
            raise HeaderError("Too many header fields")
        self.body = data[start_of_body:]
        # Lines to put in behind the start line, the top one first.
        self._top: list[str] = []
        self.method = ""
        self.uri = ""
        self.status = 0
        self._read_start(lines[0])
        self._at: dict[str, list[int]] = {}
        # First values that have been read, and the top Via.
        self._firsts: dict[str, str] = {}
        self._via: Via | None = None
        self._find_fields(lines)

    def trim(self) -> None:
        """Drop octets behind Content-Length (18.3). Raises HeaderError where it lies."""
        length = self.first("content-length")
        if length is None or length == str(len(self.body)):
            return
        size = number(length, len(self.body))
        if size is None:
            raise HeaderError("Content-Length does not fit")
        if size != len(self.body):
            self.body = self.body[:size]

    def _read_start(self, text: str) -> None:
        if text[:8] == "SIP/2.0 ":
            status = number(text[8:11], 699)
            if status is None or status < 100 or text[11:12] not in ("", " "):
                raise HeaderError("Malformed Status-Line")
            self.status = status
            return
        pieces = text.split(" ")
        if len(pieces) != 3 or pieces[2] != "SIP/2.0" or not is_token(pieces[0]):
            raise HeaderError("Malformed Request-Line")
        self.method, self.uri, _ = pieces
        if not self.uri:
            raise HeaderError("Malformed Request-Line")

    def _find_fields(self, lines: list[str]) -> None:
        at = self._at
        spellings = _spellings
        for index in range(1, len(lines)):
            line = lines[index]
            spelling = line[: line.find(":")]
            try:
                name = spellings[spelling]
            except KeyError:
                name = _name_of(spelling)
            if name is not None:
                if name in at:
                    at[name].append(index)
                else:
                    at[name] = [index]

    # Reading

    def _value(self, index: int) -> str:
        line = self._lines[index]
        value = line[line.find(":") + 1 :].strip(" \t")
        if "\n" in value:
            value = " ".join(piece.strip(" \t") for piece in value.split("\r\n"))
        return value

    def has(self, name: str) -> bool:
        """Whether there is a field of a name (one of those a proxy looks at)."""
        return name in self._at

    def count(self, name: str) -> int:
        """How many lines there are of a field."""
        return len(self._at.get(name, ()))

    def first(self, name: str) -> str | None:
        """Return the value of the first line of a field, None where there is none."""
        value = self._firsts.get(name)
        if value is None and (indexes := self._at.get(name)) is not None:
            value = self._firsts[name] = self._value(indexes[0])
        return value

    def lines(self, name: str) -> list[str]:
        """Return the values of all lines of a field, as they stand."""
        return [self._value(index) for index in self._at.get(name, ())]

    def values(self, name: str) -> list[str]:
        """Return all values of a list field, by line and by comma. Raises HeaderError."""
        return [
            item
            for index in self._at.get(name, ())
            for item in split_list(self._value(index))
            if item
        ]

    def first_value(self, name: str) -> str | None:
        """Return the first value of a list field. Raises HeaderError."""
        text = self.first(name)
        if text is None or "," not in text:
            return text
        return split_list(text)[0]

    def look_for(self, name: str) -> list[str]:
        """Return the values of all lines of a field that a proxy passes unread.

        `name` is in lower case; such fields have no compact form.
        """
        return [
            self._value(index)
            for index, line in enumerate(self._lines)
            if line[: line.find(":")].strip(" \t").lower() == name
        ]

    @property
    def is_response(self) -> bool:
        """Whether this is a response."""
        return not self.method

    @property
    def target(self) -> Uri:
        """The Request-URI. Raises HeaderError."""
        return known_uri(self.uri)

    @property
    def via(self) -> Via:
        """The top Via. Raises HeaderError."""
        if self._via is None:
            text = self.first_value("via")
            if not text:
                raise HeaderError("Missing Via")
            self._via = parse_via(text)
        return self._via

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of CSeq. Raises HeaderError."""
        return parse_cseq(self.first("cseq") or "")

    def tag(self, name: str) -> str | None:
        """Return the tag of From or To. Raises HeaderError."""
        return _address_of(self.first(name) or "")[1]

    def uri_of(self, name: str) -> Uri:
        """Return the URI of From or To. Raises HeaderError."""
        return known_uri(_address_of(self.first(name) or "")[0])

    def event(self) -> str:
        """Return the event package of a SUBSCRIBE or NOTIFY in lower case."""
        return (self.first("event") or "").partition(";")[0].strip(" \t").lower()

    # Changing

    def mark_source(self, host: str, port: int) -> None:
        """Write into the top Via where the request came from. Raises HeaderError."""
        via = self.via
        text = self.first_value("via") or ""
        self.replace_first("via", with_source(text, via, host, port))
        if "rport" in via.parameters:
            via.parameters["rport"] = str(port)
            via.parameters["received"] = host
        elif via.host.strip("[]") != host:
            via.parameters["received"] = host
        self._via = via

    def set_status(self, status: int, reason: str) -> None:
        """Replace the status of a response."""
        self.status = status
        self._lines[0] = f"SIP/2.0 {status} {reason}"

    def set_uri(self, uri: str) -> None:
        """Replace the Request-URI."""
        self.uri = uri
        self._lines[0] = f"{self.method} {uri} SIP/2.0"

    def put_on_top(self, line: str) -> None:
        """Put a line in front of all that is there; the one put in last is on top."""
        self._top.insert(0, line)

    def add(self, line: str) -> None:
        """Add a line at the end of the head."""
        self._lines.append(line)

    def replace_value(self, name: str, old: str, new: str) -> None:
        """Replace a value of a list field by another, the first that is `old`."""
        self._forget(name)
        for index in self._at.get(name, ()):
            text = self._value(index)
            values = split_list(text) if "," in text else [text]
            if old in values:
                values[values.index(old)] = new
                self._set(index, ", ".join(values))
                return

    def replace_first(self, name: str, new: str) -> None:
        """Replace the first value of a list field. Raises HeaderError."""
        self._forget(name)
        index = self._at[name][0]
        text = self._value(index)
        if "," in text:
            new = ", ".join([new, *split_list(text)[1:]])
        self._set(index, new)

    def remove_first(self, name: str) -> None:
        """Take the first value of a list field out. Raises HeaderError."""
        self._forget(name)
        index = self._at[name][0]
        text = self._value(index)
        rest = split_list(text)[1:] if "," in text else []
        if rest:
            self._set(index, ", ".join(rest))
            return
        self._lines[index] = ""
        if len(self._at[name]) == 1:
            del self._at[name]
        else:
            self._at[name] = self._at[name][1:]

    def remove_last(self, name: str) -> str:
        """Take the last value of a list field out and return it. Raises HeaderError."""
        self._forget(name)
        index = self._at[name][-1]
        values = split_list(self._value(index))
        last = values.pop()
        if values:
            self._set(index, ", ".join(values))
        else:
            self._lines[index] = ""
            if len(self._at[name]) == 1:
                del self._at[name]
            else:
                self._at[name] = self._at[name][:-1]
        return last

    def set(self, name: str, value: str, line_name: str) -> None:
        """Replace the value of a field, or put it in as `line_name`."""
        self._forget(name)
        indexes = self._at.get(name)
        if indexes:
            self._set(indexes[0], value)
        else:
            self.put_on_top(f"{line_name}: {value}")

    def _forget(self, name: str) -> None:
        """Forget what was read of a field that changes."""
        self._firsts.pop(name, None)
        if name == "via":
            self._via = None

    def _set(self, index: int, value: str) -> None:
        line = self._lines[index]
        start = line.find(":") + 1
        while line[start : start + 1] in (" ", "\t"):
            start += 1
        self._lines[index] = line[:start] + value

    def octets(self) -> bytes:
        """Return the message as it is to be sent."""
        lines = self._lines
        if self._top:
            lines = [lines[0], *self._top, *lines[1:]]
        head = "\r\n".join([line for line in lines if line])
        return b"%b\r\n\r\n%b" % (head.encode("latin-1"), self.body)


def _address_of(text: str) -> tuple[str, str | None]:
    """Return URI and tag of a From or To; those of a dialog come again and again.

    Raises HeaderError.
    """
    return _read_once(text) if len(text) <= MAX_KNOWN else _read_address(text)


@lru_cache(maxsize=1024)
def _read_once(text: str) -> tuple[str, str | None]:
    return _read_address(text)


def _read_address(text: str) -> tuple[str, str | None]:
    plain = _PLAIN_ADDRESS.fullmatch(text)
    if plain is not None:
        return plain[1], plain[2]
    address = parse_address(text)
    return address.uri, address.parameters.get("tag")


def _split(head: str) -> list[str]:
    """Split a head into lines; one that is folded stays one (RFC 3261 7.3.1)."""
    lines = head.split("\r\n")
    if head.count("\n") != len(lines) - 1 or "\r" in lines[-1]:
        lines = head.replace("\r\n", "\n").split("\n")
    if "\n " not in head and "\n\t" not in head:
        return lines
    joined: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and joined:
            joined[-1] += "\r\n" + line
        else:
            joined.append(line)
    return joined
