"""What it costs to pass messages between a phone and its PBX, beside a bare forwarder.

The phone and the PBX are here, a socket each; what is measured is the process between
them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
import re
import socket
import time
from typing import Final, override

from . import kamailio
from .headless import Cost, Effort, Figures, take_turns
from .phones import percentile
from .processes import HOST, Server, bare, headless

DOMAIN: Final = "pbx.example"

# Messages a second of the latency.
RATE: Final = 100

# Seconds until a message counts as lost.
PATIENCE: Final = 5.0

_ECHOED: Final = re.compile(
    rb"(?:Via|Record-Route|From|To|Call-ID|CSeq|Contact): [^\r]*\r\n"
)
RECORD_ROUTE: Final = re.compile(rb"Record-Route: ([^\r]*)\r\n")
SDP: Final = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
_CHALLENGE: Final = (
    b'WWW-Authenticate: Digest realm="asterisk", nonce="1764280000/abcdef0123456789", '
    b'opaque="5ccc069c403ebaf9", algorithm=MD5, qop="auth"\r\n'
)
_CREDENTIALS: Final = (
    b'Authorization: Digest username="201", realm="asterisk", '
    b'nonce="1764280000/abcdef0123456789", uri="sip:pbx.example", '
    b'response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, '
    b'nc=00000001, cnonce="0123456789abcdef"\r\n'
)


class Conversation(ABC):
    """What a phone and its PBX say to each other."""

    def __init__(self, phone: bytes) -> None:
        """Begin with nothing said; `phone` is the phone's host and port."""
        self._local = phone
        # Each takes two: a request that comes again has another branch.
        self._numbers = count(1, 2)

    @abstractmethod
    def _from_phone(self, data: bytes) -> bytes:
        """Have a message of the phone passed; return what comes to the PBX."""

    @abstractmethod
    def _from_pbx(self, data: bytes) -> bytes:
        """Have a message of the PBX passed; return what comes to the phone."""

    def register(self) -> None:
        """Register once, by way of a challenge: four messages."""
        number = next(self._numbers)
        request = self._from_phone(self._register(number, b""))
        self._from_pbx(response(request, b"401 Unauthorized", _CHALLENGE))
        request = self._from_phone(self._register(number + 1, _CREDENTIALS))
        self._from_pbx(response(request, b"200 OK", b"Expires: 3600\r\n"))

    def call(self) -> None:
        """Make a call that is taken and ended: seven messages."""
        number = next(self._numbers)
        invite = self._from_phone(self._request(b"INVITE", number, b"", SDP))
        self._from_pbx(response(invite, b"100 Trying"))
        self._from_pbx(response(invite, b"180 Ringing"))
        answer = self._from_pbx(response(invite, b"200 OK", body=SDP))
        routes = b"".join(
            b"Route: %b\r\n" % route for route in RECORD_ROUTE.findall(answer)
        )
        self._from_phone(self._request(b"ACK", number, routes))
        bye = self._from_phone(self._request(b"BYE", number + 1, routes))
        self._from_pbx(response(bye, b"200 OK"))

    def _register(self, number: int, credentials: bytes) -> bytes:
        return (
            b"REGISTER sip:%b SIP/2.0\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bKr%d;rport\r\n"
            b"Max-Forwards: 70\r\nFrom: <sip:201@%b>;tag=r\r\nTo: <sip:201@%b>\r\n"
            b"Call-ID: register\r\nCSeq: %d REGISTER\r\nContact: <sip:201@%b>\r\n"
            b"User-Agent: Benchmark 1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, NOTIFY\r\n"
            b"Expires: 3600\r\n%bContent-Length: 0\r\n\r\n"
            % (
                *(DOMAIN.encode(), self._local, number, DOMAIN.encode()),
                *(DOMAIN.encode(), number, self._local, credentials),
            )
        )

    def _request(
        self, method: bytes, number: int, routes: bytes, body: bytes = b""
    ) -> bytes:
        kind = b"Content-Type: application/sdp\r\n" if body else b""
        domain = DOMAIN.encode()
        return (
            b"%b sip:202@%b SIP/2.0\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bK%d;rport\r\n"
            b"%bMax-Forwards: 70\r\nFrom: <sip:201@%b>;tag=c%d\r\nTo: <sip:202@%b>\r\n"
            b"Call-ID: call-%d\r\nCSeq: 1 %b\r\nContact: <sip:201@%b>\r\n"
            b"User-Agent: Benchmark 1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, NOTIFY\r\n"
            b"Supported: replaces, timer\r\n%bContent-Length: %d\r\n\r\n%b"
            % (
                *(method, domain, self._local, number, routes, domain, number, domain),
                *(number, method, self._local, kind, len(body), body),
            )
        )


class Ends(Conversation):
    """A phone and a PBX with a socket each."""

    def __init__(self) -> None:
        """Bind both sockets."""
        self.phone = _socket()
        self.pbx = _socket()
        self.pbx_port: int = self.pbx.getsockname()[1]
        super().__init__("{}:{}".format(*self.phone.getsockname()).encode())
        self._between = HOST, 0

    def towards(self, port: int) -> None:
        """Have a process between them from now on."""
        self._between = HOST, port

    def close(self) -> None:
        """Close both."""
        self.phone.close()
        self.pbx.close()

    def ring(self) -> float:
        """Pass one INVITE; return the seconds that it took."""
        data = self._request(b"INVITE", next(self._numbers), b"", SDP)
        began = time.perf_counter()
        self._from_phone(data)
        return time.perf_counter() - began

    def passes(self, seconds: float) -> bool:
        """Whether the PBX gets what the phone sends it, within some seconds."""
        data = self._request(b"OPTIONS", next(self._numbers), b"")
        try:
            self.phone.sendto(data, self._between)
            self.pbx.settimeout(seconds)
            while self.pbx.recv(65_535) == b"":
                pass
        except OSError:
            return False
        return True

    @override
    def _from_phone(self, data: bytes) -> bytes:
        self.phone.sendto(data, self._between)
        return self.pbx.recv(65_535)

    @override
    def _from_pbx(self, data: bytes) -> bytes:
        self.pbx.sendto(data, self._between)
        return self.phone.recv(65_535)


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.settimeout(PATIENCE)
    return sock


def response(
    request: bytes, status: bytes, fields: bytes = b"", body: bytes = b""
) -> bytes:
    """Write the answer to a request."""
    head = request.partition(b"\r\n\r\n")[0] + b"\r\n"
    return b"SIP/2.0 %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        *(status, b"".join(_ECHOED.findall(head)), fields, len(body), body),
    )


def measure(effort: Effort) -> Figures:
    """Measure REGISTERs, calls, and the latency of single messages."""
    figures: Figures = {}
    with ExitStack() as stack:
        here, there = _started(stack, passing=True), _started(stack, passing=False)
        costs = {
            "pass_register": Cost(here[0], _repeating(here[1].register)),
            "pass_register_bare": Cost(there[0], _repeating(there[1].register)),
            "pass_call": Cost(here[0], _repeating(here[1].call)),
            "pass_call_bare": Cost(there[0], _repeating(there[1].call)),
        }
        ways = {"pass_p{}": here[1], "pass_p{}_bare": there[1]}
        if kamailio.is_installed():
            server, ends = _by_kamailio(stack)
            costs["kamailio_pass_register"] = Cost(server, _repeating(ends.register))
            costs["kamailio_pass_call"] = Cost(server, _repeating(ends.call))
            ways["kamailio_pass_p{}"] = ends
        figures |= take_turns(costs, effort)
        times: dict[str, list[float]] = {key: [] for key in ways}
        for _ in range(round(effort.latency)):
            for key, ends in ways.items():
                times[key] += paced(ends)
        for key, taken in times.items():
            figures[key.format(50)] = percentile(taken, 0.5)
            figures[key.format(99)] = percentile(taken, 0.99)
    return figures


def _started(stack: ExitStack, *, passing: bool) -> tuple[Server, Ends]:
    """Start a process between a phone and a PBX; the phone is registered."""
    ends = Ends()
    stack.callback(ends.close)
    if passing:
        pbx = f"--pbx=udp:{HOST}:{ends.pbx_port}"
        server, port = headless(pbx, f"--pbx-domain={DOMAIN}", host=HOST)
    else:
        server, port = bare("forward", f"--to={ends.pbx_port}")
    stack.enter_context(server)
    ends.towards(port)
    ends.register()
    return server, ends


def _by_kamailio(stack: ExitStack) -> tuple[Server, Ends]:
    """Start a kamailio between a phone and a PBX."""
    ends = Ends()
    stack.callback(ends.close)
    server, port = stack.enter_context(kamailio.proxy(ends.pbx_port))
    ends.towards(port)
    return server, ends


def _repeating(do: Callable[[], None]) -> Callable[[float], int]:
    """Return what does something for some seconds, and returns how often."""

    def load(seconds: float) -> int:
        end = time.monotonic() + seconds
        done = 0
        while time.monotonic() < end:
            do()
            done += 1
        return done

    return load


def paced(ends: Ends) -> Iterator[float]:
    """Pass messages for a second at RATE; return the seconds of each."""
    began = time.monotonic()
    for number in range(RATE):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        yield ends.ring()
