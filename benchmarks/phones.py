"""Simulated phones by the thousand: the load generator.

All phones share one UDP socket and one thread. An exchange is a SUBSCRIBE of a phone
with the NOTIFY that follows; it is complete when the 200 and the NOTIFY have come (for
a change: the NOTIFY with the new value). A SUBSCRIBE that is not complete is sent again
as timer E would (RFC 3261 17.1.2.2) and has failed after PATIENCE.

Load comes in two forms: `closed` keeps a number of exchanges under way, so that the
server is always busy and shows what an exchange costs it; `open` starts exchanges at a
rate, as real phones do, and shows how long they take.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import count, cycle, islice
import select
import socket
import time
from typing import Final, Self

from .messages import (
    CONTENT_TYPE,
    Challenge,
    answer,
    authorization,
    call_id_of,
    challenge_of,
    dialog_of,
    do_not_disturb,
    forwarding,
    publish,
    subscribe,
)
from .processes import HOST

# Seconds: timer T1, until an exchange has failed, and between looks at both.
T1: Final = 0.5
PATIENCE: Final = 4.0
LOOK: Final = 0.1

# Seconds between two changes of a line: servers damp what goes to and fro.
REST: Final = 1.0

# Datagrams taken in one go.
BURST: Final = 256

# Octets, for the answers to a thousand NOTIFYs at once; the option is Linux's, for root.
BUFFER: Final = 8 * 1024 * 1024
SO_RCVBUFFORCE: Final = 33

EXPIRES: Final = 3600

_DOCUMENTS: Final = {value: do_not_disturb(value) for value in (b"true", b"false")}
_TYPE_LINE: Final = b"Content-Type: " + CONTENT_TYPE + b"\r\n"


class Phone:
    """A phone with its dialog, and its exchange under way."""

    __slots__ = (
        "answered",
        "call_id",
        "challenged",
        "cseq",
        "expires",
        "last_notify",
        "notified",
        "request",
        "sendings",
        "sent_at",
        "target",
        "to_tag",
        "told_at",
        "user",
        "value",
        "wanted",
    )

    def __init__(self, call_id: bytes, user: bytes) -> None:
        """Make a phone that has not subscribed."""
        self.call_id = call_id
        self.user = user
        self.to_tag: bytes | None = None
        self.target: bytes | None = None
        self.cseq = 0
        # The CSeq line of the last NOTIFY: one with the same is a repetition.
        self.last_notify = b""
        # What its lamp shows.
        self.value = b"false"
        # When it was last told something.
        self.told_at = 0.0
        self.request = b""
        self.sendings = 0
        self.sent_at = 0.0
        self.expires = EXPIRES
        # The part of a document that completes the exchange.
        self.wanted = b""
        self.answered = self.notified = self.challenged = False


class Load:
    """What came of a load."""

    def __init__(self) -> None:
        """Start with nothing."""
        # Exchanges that were completed and that were not, and the seconds of them all.
        self.exchanges = 0
        self.failures = 0
        self.seconds = 0.0
        # SUBSCRIBEs that the phones, and NOTIFYs that the server sent again.
        self.repeated = 0
        self.repeats = 0
        # Seconds from SUBSCRIBE to NOTIFY.
        self.latencies: list[float] = []
        # User part and time of each exchange that was started.
        self.started: list[tuple[bytes, float]] = []

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that a share of the exchanges keeps."""
        return percentile(self.latencies, share)


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Phones:
    """All phones of one socket."""

    def __init__(
        self,
        port: int,
        *,
        password: str | None = None,
        event: bytes = b"as-feature-event",
    ) -> None:
        """Call a server on this machine; with a password its digest is answered."""
        self._socket = _open_socket(port)
        self._here = b"%b:%d" % (HOST.encode(), self._socket.getsockname()[1])
        self._server = b"%b:%d" % (HOST.encode(), port)
        self._password = None if password is None else password.encode()
        self._event = event
        # Whether to sleep while nothing comes. Else the core is kept awake, so that the
        # time that the generator takes to wake up is not measured along.
        self.patient = False
        # Another prefix with each generator, so that Call-IDs do not come again.
        self._prefix = b"%x" % time.monotonic_ns()
        self._count = 0
        self._numbers = count(200_000_000)
        self._phones: dict[bytes, Phone] = {}
        self._waiting: dict[bytes, Phone] = {}
        self._challenge: Challenge | None = None
        self._nonce_count = 0
        self._load = Load()

    def __enter__(self) -> Self:
        """Leave the socket open while in the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._socket.close()

    # What phones do

    def new(self, user: bytes | None = None) -> Phone:
        """Return a new phone; without a user part it has a line of its own."""
        self._count += 1
        call_id = b"%b-%d" % (self._prefix, self._count)
        phone = Phone(call_id, user or b"u" + call_id)
        self._phones[call_id] = phone
        return phone

    def subscribe(self, phone: Phone) -> None:
        """Subscribe, or refresh the subscription."""
        phone.wanted = b""
        phone.expires = EXPIRES
        self._start(phone, b"")

    def unsubscribe(self, phone: Phone) -> None:
        """End the subscription."""
        phone.wanted = b""
        phone.expires = 0
        self._start(phone, b"")

    def press(self, phone: Phone) -> None:
        """Press the DND key: what was off is on, what was on is off."""
        phone.value = b"false" if phone.value == b"true" else b"true"
        phone.wanted = b"doNotDisturbOn>" + phone.value
        self._start(phone, _DOCUMENTS[phone.value])

    def forward(self, phone: Phone) -> None:
        """Forward all calls to a number that no phone has forwarded to before."""
        number = b"%d" % next(self._numbers)
        phone.wanted = b"forwardTo>" + number
        self._start(phone, forwarding(number))

    def publish(self, user: bytes) -> None:
        """Have a server without our package tell the watchers of a user something."""
        self._count += 1
        self._send(
            publish(here=self._here, server=self._server, user=user, count=self._count)
        )

    def _start(self, phone: Phone, body: bytes) -> None:
        phone.answered = phone.notified = phone.challenged = False
        phone.sendings = 1
        self._write(phone, body)
        self._waiting[phone.call_id] = phone
        phone.sent_at = time.monotonic()
        self._load.started.append((phone.user, phone.sent_at))
        self._send(phone.request)

    def _write(self, phone: Phone, body: bytes) -> None:
        phone.cseq += 1
        uri = phone.target or b"sip:%b@%b" % (phone.user, self._server)
        more = _TYPE_LINE if body else b""
        if self._challenge is not None and self._password is not None:
            self._nonce_count += 1
            more += authorization(
                self._challenge, phone.user, self._password, uri, self._nonce_count
            )
        phone.request = subscribe(
            uri=uri,
            here=self._here,
            server=self._server,
            user=phone.user,
            call_id=phone.call_id,
            from_tag=b"f" + phone.call_id,
            to_tag=phone.to_tag,
            cseq=phone.cseq,
            event=self._event,
            expires=phone.expires,
            more=more,
            body=body,
        )

    # Loads

    def closed(
        self,
        start: Callable[[], None],
        *,
        window: int = 24,
        seconds: float = 3600.0,
        exchanges: int = 1 << 60,
    ) -> Load:
        """Keep a number of exchanges under way, for some seconds or some of them."""
        load = self._load = Load()
        began = now = time.monotonic()
        end = began + seconds
        look_at = began + LOOK
        left = exchanges
        while now < end and (left or self._waiting):
            for _ in range(min(window - len(self._waiting), left)):
                start()
                left -= 1
            if not self._receive_burst():
                self._sleep(0.01)
            now = time.monotonic()
            if now > look_at:
                self._look(now)
                look_at = now + LOOK
        load.seconds = time.monotonic() - began
        self._finish()
        return load

    def open(self, start: Callable[[], None], *, rate: float, seconds: float) -> Load:
        """Start exchanges at a rate per second."""
        load = self._load = Load()
        began = time.monotonic()
        total = int(rate * seconds)
        look_at = began + LOOK
        for number in range(total):
            due = began + number / rate
            while (now := time.monotonic()) < due:
                if not self._receive_burst():
                    self._sleep(due - now)
                if now > look_at:
                    self._look(now)
                    look_at = now + LOOK
            start()
        self._finish()
        load.seconds = time.monotonic() - began
        return load

    def _finish(self) -> None:
        """Bring what is under way to its end."""
        while self._waiting:
            if not self._receive_burst():
                self._sleep(0.01)
            self._look(time.monotonic())

    def listen(self, seconds: float, until: Callable[[], bool] | None = None) -> Load:
        """Answer what comes for some seconds, or until something is so."""
        load = self._load = Load()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until and until()):
            if not self._receive_burst():
                self._sleep(0.01)
        return load

    def fill(
        self, number: int, user: Callable[[int], bytes] | None = None
    ) -> list[Phone]:
        """Return new phones that have subscribed. Raises RuntimeError."""
        phones = [self.new(user and user(index)) for index in range(number)]
        todo = iter(phones)
        load = self.closed(lambda: self.subscribe(next(todo)), exchanges=number)
        if load.failures:
            raise RuntimeError(f"{load.failures} of {number} phones cannot subscribe")
        return phones

    def pick(self, phones: list[Phone], *, rest: float = 0.0) -> Callable[[], Phone]:
        """Return what returns one phone after the other that has nothing under way.

        One that was told of its last change `rest` seconds ago, at least: the server
        may have taken it that late.
        """
        in_turn = cycle(phones)

        def next_phone() -> Phone:
            while True:
                rested = time.monotonic() - rest
                for phone in islice(in_turn, len(phones)):
                    if phone.call_id not in self._waiting and phone.told_at <= rested:
                        return phone
                # Where the server stalls, phones stall: nobody presses a key twice.
                self._receive_burst()
                self._look(time.monotonic())

        return next_phone

    # Going out and coming in

    def _send(self, data: bytes) -> None:
        """Send; what the kernel does not take is lost, as in a network."""
        with suppress(BlockingIOError, ConnectionRefusedError):
            self._socket.send(data)

    def _sleep(self, seconds: float) -> None:
        if self.patient:
            select.select([self._socket], [], [], seconds)

    def _receive_burst(self) -> int:
        """Take what is there; return how many datagrams it was."""
        taken = 0
        with suppress(BlockingIOError, ConnectionRefusedError):
            while taken < BURST:
                self._receive(self._socket.recv(65_535))
                taken += 1
        return taken

    def _receive(self, data: bytes) -> None:
        """Take one datagram."""
        if data.startswith(b"SIP/2.0 "):
            phone = self._waiting.get(call_id_of(data))
            if phone is None or data[8:9] == b"1":
                return
            if data[8:9] != b"2":
                self._refused(phone, data)
                return
            if phone.to_tag is None:
                phone.to_tag, phone.target = dialog_of(data)
            phone.answered = True
        else:
            ok, call_id, cseq = answer(data)
            self._send(ok)
            phone = self._phones.get(call_id)
            if phone is None:
                return
            if cseq == phone.last_notify:
                self._load.repeats += 1
                return
            phone.last_notify = cseq
            phone.told_at = time.monotonic()
            if (
                phone.notified
                or call_id not in self._waiting
                or phone.wanted not in data
            ):
                return
            phone.notified = True
            self._load.latencies.append(phone.told_at - phone.sent_at)
        if phone.answered and phone.notified:
            del self._waiting[phone.call_id]
            self._load.exchanges += 1

    def _refused(self, phone: Phone, response: bytes) -> None:
        """Answer a challenge; any other refusal is a failure, and the end."""
        challenge = challenge_of(response)
        if challenge is None or self._password is None or phone.challenged:
            self._fail(phone)
            return
        if challenge != self._challenge:
            self._challenge, self._nonce_count = challenge, 0
        phone.challenged = True
        self._write(phone, phone.request.partition(b"\r\n\r\n")[2])
        self._send(phone.request)

    def _fail(self, phone: Phone) -> None:
        self._load.failures += 1
        del self._waiting[phone.call_id]

    def _look(self, now: float) -> None:
        """Send again what has no answer, give up what is too old."""
        for phone in list(self._waiting.values()):
            age = now - phone.sent_at
            if age > PATIENCE:
                self._fail(phone)
            elif age > T1 * (2**phone.sendings - 1):
                phone.sendings += 1
                self._load.repeated += 1
                self._send(phone.request)


def _open_socket(port: int) -> socket.socket:
    """Return a socket for one server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.connect((HOST, port))
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    return sock
