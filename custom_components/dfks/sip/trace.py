"""What goes over the wire, for people: the last messages, totals, a readable log."""

from collections import deque
from collections.abc import Iterator, Mapping
import logging
from typing import NamedTuple

from .clock import Clock
from .headers import HeaderError, bracketed, parse_address, parse_uri
from .message import NotSip, Request, Response, SipError, parse
from .transport import Flow

_LOGGER = logging.getLogger(__name__)

# Messages that are kept, and octets of each.
KEPT = 50
MAX_KEPT = 8 * 1024

# Characters of a body in the log.
MAX_LOGGED = 2000

# What is counted of what comes in, by its first octets.
_RECEIVED = {
    b"REGI": "REGISTER",
    b"SUBS": "SUBSCRIBE",
    b"OPTI": "OPTIONS",
    b"SIP/": "responses",
    b"": "others",
}


class Traced(NamedTuple):
    """One message as it was on the wire. `at` is in seconds since the epoch."""

    at: float
    sent: bool
    transport: str
    remote: tuple[str, int]
    data: bytes


class Trace:
    """Keeps the last messages and counts all of them.

    It is always on, so it copies nothing and leaves all understanding for later.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with nothing seen."""
        self._clock = clock
        self._messages: deque[Traced] = deque(maxlen=KEPT)
        self._received = dict.fromkeys(_RECEIVED, 0)
        self._sent: dict[bytes, int] = {}

    def __iter__(self) -> Iterator[Traced]:
        """Iterate over the last messages, the oldest first."""
        return iter(tuple(self._messages))

    @property
    def received_totals(self) -> Mapping[str, int]:
        """How many messages came in: requests by method, and responses."""
        return {name: self._received[key] for key, name in _RECEIVED.items()}

    @property
    def sent_totals(self) -> Mapping[str, int]:
        """How many messages went out: NOTIFY, and responses by status."""
        return {key.decode(): self._sent[key] for key in sorted(self._sent)}

    def received(self, data: bytes, flow: Flow) -> None:
        """Take note of a message that came in."""
        key = data[:4]
        self._received[key if key in self._received else b""] += 1
        self._keep(data, flow, sent=False)

    def sent(self, data: bytes, flow: Flow) -> None:
        """Take note of a message that went out."""
        key = data[8:11] if data.startswith(b"SIP/2.0 ") else b"NOTIFY"
        self._sent[key] = self._sent.get(key, 0) + 1
        self._keep(data, flow, sent=True)

    def _keep(self, data: bytes, flow: Flow, *, sent: bool) -> None:
        if len(data) > MAX_KEPT:
            data = data[:MAX_KEPT]
        self._messages.append(
            Traced(self._clock.time(), sent, flow.transport, flow.remote, data)
        )
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _log(data, flow, sent=sent)


def _log(data: bytes, flow: Flow, *, sent: bool) -> None:
    """Log a message in one line, and its body in another."""
    host, port = flow.remote
    peer = f"{'->' if sent else '<-'} {flow.transport} {bracketed(host)}:{port}"
    line, body = describe(data)
    _LOGGER.debug("%s %s", peer, line)
    if body:
        _LOGGER.debug("%s body: %s", peer, body)


def describe(data: bytes) -> tuple[str, str]:
    """Return a message in one line, and its body in one line, without secrets.

    Credentials and challenges are left out; whatever else it says, control
    characters are not taken over.
    """
    try:
        message = parse(data)
    except SipError as err:
        if err.request is None:
            return f"not understood: {err.reason}", ""
        message = err.request
    except NotSip as err:
        return f"not SIP: {err}", ""
    return _line(message), _in_one_line(message.body)


def _line(message: Request | Response) -> str:
    if isinstance(message, Request):
        title = message.method
    else:
        title = f"{message.status} {message.reason} to {message.method}"
    count = (message.get("cseq") or "?").partition(" ")[0]
    details = [f"line {_user(message)}", f"CSeq {count}"]
    for name, label in _DETAILS:
        if value := message.text(name):
            details.append(f"{label} {value}")
    return _printable(", ".join((title, *details)))


_DETAILS = (
    ("event", "event"),
    ("expires", "expires"),
    ("subscription-state", "state"),
    ("warning", "warning"),
    ("retry-after", "retry after"),
    ("user-agent", "by"),
)


def _user(message: Request | Response) -> str:
    """Return the user part of To, which names the line in both directions."""
    try:
        return parse_uri(parse_address(message.get("to") or "").uri).user or "?"
    except HeaderError:
        return "?"


def _in_one_line(body: bytes) -> str:
    text = body[:MAX_LOGGED].decode("latin-1")
    return _printable(" ".join(text.split()))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
