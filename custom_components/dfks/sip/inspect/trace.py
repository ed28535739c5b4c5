"""What goes over the wire, for people: the last messages, totals, a readable log."""

from collections import deque
from collections.abc import Iterator, Mapping
import logging
from typing import NamedTuple

from ..access.digest import parse_digest, read_answer
from ..clock import Clock
from ..transport.flow import Flow
from ..wire.headers import bracketed
from ..wire.message import NotSip, Request, Response, SipError
from ..wire.parser import parse

_LOGGER = logging.getLogger(__name__)

# Messages that are kept, and octets of each.
KEPT = 50
MAX_KEPT = 8 * 1024

# Characters of one header field in the log.
MAX_SHOWN = 120

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
        """How many messages went out: NOTIFY, responses by status, passed requests."""
        return {key.decode(): self._sent[key] for key in sorted(self._sent)}

    def received(self, data: bytes, flow: Flow) -> None:
        """Take note of a message that came in."""
        key = data[:4]
        self._received[key if key in self._received else b""] += 1
        self._keep(data, flow, sent=False)

    def sent(self, data: bytes, flow: Flow) -> None:
        """Take note of a message that went out."""
        if data.startswith(b"SIP/2.0 "):
            key = data[8:11]
        else:
            key = b"NOTIFY" if data.startswith(b"NOTIFY ") else b"passed"
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
    """Log a message in one line."""
    host, port = flow.remote
    _LOGGER.debug(
        "%s %s %s:%s %s",
        "->" if sent else "<-",
        flow.transport,
        bracketed(host),
        port,
        describe(data),
    )


def describe(data: bytes) -> str:
    """Return a message in one line, without secrets.

    Of credentials it says whose they are, of a body its length and type: what it asks
    for is logged by the event package, which understands it. Whatever else the message
    says, control characters are not taken over.
    """
    try:
        message = parse(data)
    except SipError as err:
        if err.request is None:
            return f"not understood: {err.reason}"
        message = err.request
    except NotSip as err:
        return f"not SIP: {err}"
    return _printable(", ".join(_details(message)))


def _details(message: Request | Response) -> Iterator[str]:
    if isinstance(message, Request):
        yield message.method
    else:
        yield f"{message.status} {message.reason} to {message.method}"
    yield f"line {message.to_user or '?'}"
    yield f"CSeq {(message.get('cseq') or '?').partition(' ')[0]}"
    for name, label in _FIELDS:
        if value := message.text(name):
            yield f"{label} {value[:MAX_SHOWN]}"
    if credentials := message.get("authorization"):
        answer = read_answer(credentials)
        username = answer.username if answer is not None else ""
        yield f"credentials of {username[:MAX_SHOWN] or '?'}"
    if challenge := message.get("www-authenticate"):
        # Its grammar is that of credentials.
        parameters = parse_digest(challenge) or {}
        stale = parameters.get("stale", "").lower() == "true"
        realm = parameters.get("realm", "?")[:MAX_SHOWN]
        yield "nonce too old" if stale else f"realm {realm}"
    if message.body:
        content_type = message.text("content-type") or "no type"
        yield f"{len(message.body)} octets of {content_type.partition(';')[0]}"


_FIELDS = (
    ("call-id", "Call-ID"),
    ("event", "event"),
    ("expires", "expires"),
    ("min-expires", "at least"),
    ("subscription-state", "state"),
    ("warning", "warning"),
    ("unsupported", "unsupported"),
    ("retry-after", "retry after"),
    ("user-agent", "by"),
)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
