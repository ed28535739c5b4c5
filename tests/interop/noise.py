"""A hundred thousand mutated datagrams through a live listener, and streams of them.

Three senders: one of noise, that must never get an answer; a stranger, whose mutated
requests may get errors and nothing else; and a phone that knows its password, whose
requests get through and must do no harm. The server is in a process of its own: what
it logs as an error is a failure, and its memory must not grow.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
import contextlib
from pathlib import Path
import random
import socket
import struct
import sys
from typing import Final

from tests.loopback import HOST
from tests.phone import (
    DND,
    Digest,
    Phone,
    PhoneTimeout,
    RawPeer,
    Request,
    Response,
    WireError,
    parse,
    set_dnd,
    set_forwarding,
)
from tests.phone.link import MAX_DATAGRAM, Address
from tests.sip import torture

from .checks import Check, CheckFailed
from .crowd import Served, served
from .house import require, sign_on

HOSTILE: Final = Path(__file__).parents[2] / "benchmarks" / "hostile.py"

SEED: Final = 20_261_006
USER: Final = "201"
PASSWORD: Final = "reception-201"

# Datagrams of each sender.
NOISE: Final = 25_000
MUTATED: Final = 70_000
SIGNED: Final = 5_000

# Connections that get a few mutated messages, cut at random.
STREAMS: Final = 200

# Datagrams sent before the server is asked whether it has read all of them.
BATCH: Final = 32

# Octets of a datagram: larger ones only make the same paths take longer.
MAX_SIZE: Final = 20_000

# Megabytes that the server may hold more in the end than after a fifth of the mutated
# datagrams. A leak of a hundred octets a datagram would be more than twice that.
GROWTH: Final = 3.0

# What a stranger's requests may be answered with: 200 is for OPTIONS.
STRANGERS: Final = frozenset(
    {200, 400, 401, 404, 405, 413, 415, 416, 420, 481, 489, 501, 505}
)

# Pieces that parsers trip over.
SPICES: Final = (
    *(b",", b";", b'"', b"<", b">", b"=", b"@", b":", b"\\", b'\\"', b"%", b"%00"),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\r\n ",
        b"\t",
        b"\x00",
        b"\xff",
        b"\xc3\x28",
    ),
    *(
        b"[::1]",
        b"sips:",
        b"tel:1",
        b"*",
        b"z9hG4bK",
        b";lr",
        b";rport",
        b";tag=x",
        b"-1",
    ),
    *(b"4294967296", b"99999999999999999999", b"SIP/2.0", b"Content-Length: 99999\r\n"),
    *(
        b"<!DOCTYPE a>",
        b"]]>",
        b"&#0;",
        b"&a;",
        b"Via: SIP/2.0/UDP h\r\n",
        b"Route: <>\r\n",
    ),
)


# The seeds


def _message(start: str, cseq: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [
        start,
        "Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKseed;rport",
        "Max-Forwards: 70",
        f"From: <sip:{USER}@{HOST}>;tag=seed",
        f"To: <sip:{USER}@{HOST}>",
        "Call-ID: seed@127.0.0.1",
        f"CSeq: {cseq}",
        *fields,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def seeds() -> list[bytes]:
    """Return messages to mutate: each method, answers, and torture messages."""
    aor = f"sip:{USER}@{HOST}"
    contact = f"Contact: <sip:{USER}@127.0.0.1:PORT>"
    digest = (
        f'Authorization: Digest username="{USER}", realm="homeassistant", '
        f'nonce="{"0" * 48}", uri="{aor}", qop=auth, nc=00000001, cnonce="c", '
        f'response="{"0" * 32}"'
    )
    event = "Event: as-feature-event"
    xml = "Content-Type: application/x-as-feature-event+xml"
    subscribe = f"SUBSCRIBE {aor} SIP/2.0"
    forwarding = set_forwarding("busy", True, "2424", 4)
    return [
        _message(f"REGISTER sip:{HOST} SIP/2.0", "1 REGISTER", contact, "Expires: 60"),
        _message(f"REGISTER sip:{HOST} SIP/2.0", "2 REGISTER", contact, digest),
        _message(subscribe, "1 SUBSCRIBE", contact, event, "Expires: 3600"),
        _message(subscribe, "2 SUBSCRIBE", contact, event, digest),
        _message(
            subscribe, "3 SUBSCRIBE", contact, event, digest, xml, body=set_dnd(True)
        ),
        _message(subscribe, "4 SUBSCRIBE", contact, event, xml, body=forwarding),
        _message(f"OPTIONS {aor} SIP/2.0", "1 OPTIONS", "Accept: */*"),
        _message(
            f"NOTIFY {aor} SIP/2.0", "1 NOTIFY", event, "Subscription-State: active"
        ),
        _message(f"INVITE {aor} SIP/2.0", "1 INVITE", contact, body=b"v=0\r\n"),
        _message(f"ACK {aor} SIP/2.0", "1 ACK"),
        _message(f"CANCEL {aor} SIP/2.0", "1 CANCEL"),
        _message("SIP/2.0 200 OK", "1 NOTIFY"),
        _message("SIP/2.0 503 Busy", "1 NOTIFY", "Retry-After: 5"),
        *(case.octets.replace(b"Event: echo", event.encode()) for case in torture.ALL),
    ]


class Mutator:
    """Makes datagrams out of messages by chance."""

    def __init__(self, seed: int, port: int) -> None:
        """Write `port` where a seed has the sender's."""
        self._dice = random.Random(seed)
        self._seeds = [seed.replace(b"PORT", str(port).encode()) for seed in seeds()]
        self._mutations: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._drop,
            self._repeat,
            self._spice,
            self._spice,
            self._cut,
            self._move,
            self._splice,
            self._double_line,
            self._drop_line,
            self._swell,
        )

    def next(self) -> bytes:
        """Return a mutated message."""
        return self.mutate(self._dice.choice(self._seeds))

    def mutate(self, message: bytes, most: int = 6) -> bytes:
        """Return a message with one to `most` things wrong."""
        data = bytearray(message)
        for _ in range(self._dice.randint(1, most)):
            if data:
                self._dice.choice(self._mutations)(data)
        return bytes(data[:MAX_SIZE])

    def noise(self) -> bytes:
        """Return a datagram that is no SIP at all."""
        dice = self._dice
        octets = dice.randbytes(dice.choice((0, 1, 4, 20, 100, 1_400, 9_000)))
        stun = struct.pack(">HHI", 1, len(octets), 0x2112A442) + dice.randbytes(12)
        return dice.choice(
            (
                octets,
                stun + octets,
                b"\x80\x00" + dice.randbytes(10) + octets,
                b"\x16\x03\x01\x02\x00\x01" + octets,
                b"\x00" * len(octets),
                b"\r\n" * dice.randint(1, 400),
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nVia: 1.1 a\r\n\r\n" + octets,
                b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n",
                b"SSH-2.0-OpenSSH_9.9\r\n",
                dice.randbytes(2)
                + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                + octets,
            )
        )

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut octets at up to five places."""
        cuts = sorted(self._dice.randint(0, len(data)) for _ in range(5))
        return [
            data[start:end]
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
        ]

    def _place(self, data: bytearray) -> int:
        return self._dice.randrange(len(data))

    def _flip(self, data: bytearray) -> None:
        data[self._place(data)] ^= 1 << self._dice.randrange(8)

    def _drop(self, data: bytearray) -> None:
        place = self._place(data)
        del data[place : place + self._dice.randint(1, 8)]

    def _repeat(self, data: bytearray) -> None:
        place = self._place(data)
        piece = data[place : place + self._dice.randint(1, 40)]
        data[place:place] = piece * self._dice.randint(1, 20)

    def _spice(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._dice.choice(SPICES) * self._dice.choice(
            (1, 1, 1, 2, 50)
        )

    def _cut(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _move(self, data: bytearray) -> None:
        one, other = self._place(data), self._place(data)
        data[one], data[other] = data[other], data[one]

    def _splice(self, data: bytearray) -> None:
        other = self._dice.choice(self._seeds)
        data[self._place(data) :] = other[self._dice.randrange(len(other)) :]

    def _line(self, data: bytearray) -> tuple[int, int]:
        start = data.rfind(b"\n", 0, self._place(data)) + 1
        end = data.find(b"\n", start)
        return start, end + 1 if end >= 0 else len(data)

    def _double_line(self, data: bytearray) -> None:
        start, end = self._line(data)
        data[start:start] = data[start:end] * self._dice.choice((1, 1, 3, 40, 200))

    def _drop_line(self, data: bytearray) -> None:
        start, end = self._line(data)
        del data[start:end]

    def _swell(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = data[place : place + 1] * self._dice.choice(
            (100, 3_000, 18_000)
        )


# The senders


class Sender:
    """A UDP socket whose answers are counted and looked at."""

    def __init__(self, server: Address) -> None:
        """Send to `server`."""
        self.sent = 0
        self.answers: Counter[int] = Counter()
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self._server = server
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.setblocking(False)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        self.sent += 1
        self._socket.sendto(data, self._server)

    def read(self) -> list[bytes]:
        """Take what has come."""
        came = []
        with contextlib.suppress(BlockingIOError):
            while True:
                came.append(self._socket.recv(MAX_DATAGRAM))
        for data in came:
            self._judge(data)
        return came

    def _judge(self, data: bytes) -> None:
        try:
            message = parse(data)
        except WireError as err:
            self.faults.append(f"no SIP: {err}")
            return
        if isinstance(message, Response):
            self.answers[message.status] += 1
        else:
            self.requests.append(message)


@contextlib.asynccontextmanager
async def senders(server: Address, count: int) -> AsyncIterator[list[Sender]]:
    """Open some senders."""
    opened = [Sender(server) for _ in range(count)]
    try:
        yield opened
    finally:
        for sender in opened:
            sender.close()


async def until_read(asking: RawPeer) -> None:
    """Return when the server has read all that was sent so far."""
    question = asking.request("OPTIONS")
    for _ in range(5):
        with contextlib.suppress(PhoneTimeout):
            answer = await asking.ask(question)
            require(answer.status == 200, f"OPTIONS got {answer.title}")
            return
    raise CheckFailed("the server does not answer any more")


async def send_all(
    sender: Sender, asking: RawPeer, count: int, make: Callable[[], bytes]
) -> None:
    """Send many datagrams, no faster than they are read."""
    for number in range(1, count + 1):
        sender.send(make())
        if not number % BATCH:
            await until_read(asking)
            sender.read()
    await until_read(asking)
    sender.read()


class Insider:
    """A phone that knows its password and sends mutated requests with it."""

    def __init__(self, sender: Sender, mutator: Mutator) -> None:
        """Send with `sender`."""
        self._sender = sender
        self._mutator = mutator
        self._digest = Digest(username=USER, password=PASSWORD)
        self._cseq = 0
        self._to_tag = ""
        self._dice = random.Random(SEED)
        self._bodies = (b"", set_dnd(True), set_forwarding("no-answer", True, "7", 3))

    async def sign_on(self, asking: RawPeer) -> None:
        """Get a challenge and open a dialog."""
        for _ in range(2):
            self._sender.send(self._build(b""))
            await until_read(asking)
            for data in self._sender.read():
                message = parse(data)
                if isinstance(message, Request):
                    self._sender.send(message.response(200).encode())
                elif message.status == 401:
                    self._digest.take(message)
                elif message.ok:
                    self._to_tag = message.to_tag
        require(self._to_tag, "the phone could not subscribe")

    def next(self) -> bytes:
        """Return a signed request: in the dialog with a mutated body, or a mutated fetch.

        A fetch leaves no subscription. Where a mutation makes it one all the same, its
        Contact keeps it from being taken for the phone of the dialog.
        """
        if self._dice.random() < 0.5:
            return self._build(
                self._mutator.mutate(self._dice.choice(self._bodies[1:]))
            )
        message = self._build(self._dice.choice(self._bodies), fetch=True)
        head, credentials, rest = message.partition(b"Authorization: ")
        value, _, tail = rest.partition(b"\r\n")
        return self._mutator.mutate(head, 1) + credentials + value + b"\r\n" + tail

    def answer_notifies(self) -> None:
        """Answer what has come, so that the subscription stays."""
        for request in self._sender.requests:
            self._sender.send(request.response(200).encode())
        self._sender.requests.clear()

    def _build(self, body: bytes, *, fetch: bool = False) -> bytes:
        self._cseq += 1
        aor = f"sip:{USER}@{HOST}"
        tag = f";tag={self._to_tag}" if self._to_tag and not fetch else ""
        port = self._sender.port
        lines = [
            f"SUBSCRIBE {aor} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bKin{self._cseq};rport",
            f"From: <{aor}>;tag=insider",
            f"To: <{aor}>{tag}",
            f"Call-ID: {f'fetch-{self._cseq}' if fetch else 'insider'}",
            f"CSeq: {self._cseq} SUBSCRIBE",
            f"Contact: <sip:{USER}@{HOST}:{9 if fetch else port}>",
            "Event: as-feature-event",
            f"Expires: {0 if fetch else 3600}",
        ]
        if self._digest.challenge is not None:
            value = self._digest.authorization("SUBSCRIBE", aor)
            lines.append(f"Authorization: {value}")
        lines += ["Content-Type: application/x-as-feature-event+xml"] if body else []
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def send_streams(server: Address, mutator: Mutator) -> int:
    """Write mutated messages to connections; returns how many the server closed."""
    closed = 0

    async def one(pieces: Sequence[bytes]) -> None:
        nonlocal closed
        reader, writer = await asyncio.open_connection(*server)
        with contextlib.suppress(OSError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                while await asyncio.wait_for(reader.read(MAX_DATAGRAM), 0.05):
                    pass
                closed += 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    for _ in range(STREAMS // 20):
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                octets = b"".join(mutator.next() for _ in range(3))
                group.create_task(one(mutator.pieces(octets)))
    return closed


# The check


async def mutated() -> str:
    """Send all of it, then use a phone as if nothing had been."""
    async with (
        served(PASSWORD) as server,
        await RawPeer.open(server.address) as asking,
        senders(server.address, 3) as (noisy, stranger, inside),
    ):
        insider = Insider(inside, Mutator(SEED, inside.port))
        await insider.sign_on(asking)
        for _ in range(SIGNED // BATCH + 1):
            await send_all(inside, asking, BATCH, insider.next)
            insider.answer_notifies()
        closed = await send_streams(server.address, Mutator(SEED + 1, stranger.port))
        mutator = Mutator(SEED + 2, stranger.port)
        await send_all(stranger, asking, MUTATED // 5, mutator.next)
        await send_all(noisy, asking, NOISE // 5, mutator.noise)
        before = server.megabytes
        await send_all(stranger, asking, MUTATED - stranger.sent, mutator.next)
        await send_all(noisy, asking, NOISE - noisy.sent, mutator.noise)
        growth = server.megabytes - before
        require(growth < GROWTH, f"the server holds {growth:.1f} MB more than before")
        _judge(noisy, stranger, inside)
        await _phone_works(server)
        answered = sum(stranger.answers.values())
        total = noisy.sent + stranger.sent + inside.sent
        return (
            f"{total} datagrams and {STREAMS} streams ({closed} closed); {noisy.sent} of "
            f"noise, 0 answers; {stranger.sent} of strangers, {answered} answered; "
            f"{inside.sent} signed, {inside.answers[200]} taken; {growth:+.1f} MB"
        )


def _judge(noisy: Sender, stranger: Sender, inside: Sender) -> None:
    """Raise CheckFailed where a sender got what it should not."""
    require(not noisy.answers and not noisy.requests, f"noise got {noisy.answers}")
    require(not stranger.requests, "a stranger was sent a request")
    strange = set(stranger.answers) - STRANGERS
    require(not strange, f"a stranger got {strange}")
    answers = sum(stranger.answers.values())
    require(answers <= stranger.sent, "more answers than datagrams")
    require(
        inside.answers[200] > inside.sent // 20, f"few were taken: {inside.answers}"
    )
    faults = [fault for sender in (stranger, inside) for fault in sender.faults]
    require(not faults, "\n".join(faults[:10]))


async def _phone_works(server: Served) -> None:
    """See that another line is as it was, and does what it should."""
    async with Phone("202", PASSWORD, server.address) as phone:
        await sign_on(phone)
        require(not any(lamp.on for lamp in phone.features.values()), "a lamp is lit")
        require((await phone.set_dnd(True)).ok, "the key was refused")
        await phone.until(lambda lamps: lamps[DND].on)
        require(not phone.violations, "\n".join(phone.violations))


async def hostile() -> str:
    """Time the worst inputs, as benchmarks/hostile.py does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HOSTILE)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode(errors="replace").strip()
    require(process.returncode == 0, text)
    return text.rpartition("\n")[2]


CHECKS = (
    Check(subject="fuzz", title="hostile inputs of 64 KiB, timed", run=hostile),
    Check(
        subject="fuzz",
        title="mutated datagrams and streams to a live listener",
        run=mutated,
        limit=150.0,
    ),
)
