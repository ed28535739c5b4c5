"""Ten thousand phones that live on one server and refresh, from one small program.

The phones of `tests.phone` each look at every octet; ten thousand of them would be the
load themselves. Here a phone is a few numbers, and all of them share a socket.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
import contextlib
from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import re
import socket
import sys
from typing import Final

from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import set_dnd
from tests.phone.link import MAX_DATAGRAM, Address

from .checks import Check, CheckFailed
from .house import require

SERVE: Final = Path(__file__).parents[2] / "benchmarks" / "serve.py"

PHONES: Final = 10_000
PASSWORD: Final = "one-for-all"
REALM: Final = "homeassistant"

# Seconds in which all phones refresh once, and how often they do so in truth.
ROUND: Final = 20.0
EXPIRES: Final = 3_600

# Phones that wait for an answer at one time while all subscribe.
AT_ONCE: Final = 100

# Every tenth phone presses its DND key in the round.
PRESSING: Final = 10

# Seconds for what is under way to arrive.
PATIENCE: Final = 10.0

_NONCE = re.compile(rb'nonce="([^"]+)"')
_TO_TAG = re.compile(rb"\r\nTo: [^\r]*;tag=([^\r;]+)")
_CSEQ = re.compile(rb"\r\nCSeq: (\d+) ")
_NUMBER = re.compile(rb"\r\nCall-ID: crowd-(\d+)\r\n")
_ECHOED = re.compile(rb"(?:Via|From|To|Call-ID|CSeq): [^\r]*\r\n")


@dataclass(slots=True)
class Member:
    """One phone: what it must remember, and what came for it."""

    number: int
    cseq: int = 0
    nonce: str = ""
    count: int = 0
    to_tag: str = ""
    body: bytes = b""
    accepted: int = 0
    notified: int = 0
    highest: int = 0
    dnd: bool = False
    on_ok: asyncio.Future[None] | None = None


class Crowd:
    """All phones, on one socket."""

    def __init__(self, server: Address) -> None:
        """Talk to `server`."""
        self.members = [Member(number) for number in range(PHONES)]
        self.faults: list[str] = []
        self._server = server
        self._ha1 = [
            _md5(f"{_user(number)}:{REALM}:{PASSWORD}") for number in range(PHONES)
        ]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self._socket.setblocking(False)
        self._socket.bind((HOST, 0))
        self._local = f"{HOST}:{self._socket.getsockname()[1]}"
        self._uri_end = f"@{server[0]}:{server[1]}"
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        """Leave."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def subscribe(self, member: Member, body: bytes = b"") -> None:
        """Subscribe or refresh; a challenge is answered by itself."""
        member.body = body
        member.cseq += 1
        uri = f"sip:{_user(member.number)}{self._uri_end}"
        tag = f";tag={member.to_tag}" if member.to_tag else ""
        kind = "Content-Type: application/x-as-feature-event+xml\r\n" if body else ""
        head = (
            f"SUBSCRIBE {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._local};branch=z9hG4bKc{member.number}-"
            f"{member.cseq};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <{uri}>;tag=f{member.number}\r\n"
            f"To: <{uri}>{tag}\r\n"
            f"Call-ID: crowd-{member.number}\r\n"
            f"CSeq: {member.cseq} SUBSCRIBE\r\n"
            f"Contact: <sip:{_user(member.number)}@{self._local}>\r\n"
            "Event: as-feature-event\r\n"
            f"Expires: {EXPIRES}\r\n"
            f"{self._authorization(member, uri)}{kind}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendto(head.encode() + body, self._server)

    def _authorization(self, member: Member, uri: str) -> str:
        if not member.nonce:
            return ""
        member.count += 1
        count = f"{member.count:08x}"
        response = _md5(
            f"{self._ha1[member.number]}:{member.nonce}:{count}:c:auth:"
            f"{_md5(f'SUBSCRIBE:{uri}')}"
        )
        return (
            f'Authorization: Digest username="{_user(member.number)}", '
            f'realm="{REALM}", nonce="{member.nonce}", uri="{uri}", qop=auth, '
            f'nc={count}, cnonce="c", response="{response}"\r\n'
        )

    def _read(self) -> None:
        for _ in range(200):
            try:
                data = self._socket.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            match = _NUMBER.search(data)
            if match is None:
                self.faults.append(f"no Call-ID of ours: {data[:80]!r}")
                continue
            member = self.members[int(match[1])]
            if data.startswith(b"NOTIFY "):
                self._notified(member, data)
            else:
                self._answered(member, data)

    def _answered(self, member: Member, data: bytes) -> None:
        status = data[8:11]
        if status == b"401" and (match := _NONCE.search(data)):
            member.nonce, member.count = match[1].decode(), 0
            self.subscribe(member, member.body)
            return
        if status != b"200":
            self.faults.append(f"{member.number} got {data[:40]!r}")
        elif match := _TO_TAG.search(data):
            member.to_tag = match[1].decode()
            member.accepted += 1
        if member.on_ok is not None and not member.on_ok.done():
            member.on_ok.set_result(None)

    def _notified(self, member: Member, data: bytes) -> None:
        head, _, body = data.partition(b"\r\n\r\n")
        self._socket.sendto(
            b"SIP/2.0 200 OK\r\n"
            + b"".join(_ECHOED.findall(head + b"\r\n"))
            + b"Content-Length: 0\r\n\r\n",
            self._server,
        )
        cseq = int(_CSEQ.search(head + b"\r\n")[1])  # type: ignore[index]
        if cseq == member.highest:
            return  # sent again
        if cseq < member.highest:
            self.faults.append(f"{member.number}: CSeq {cseq} after {member.highest}")
        member.highest = cseq
        member.notified += 1
        if b"DoNotDisturbEvent" in body:
            member.dnd = b"<doNotDisturbOn>true<" in body

    async def subscribe_all(self) -> None:
        """Subscribe all, some at a time."""
        loop = asyncio.get_running_loop()
        waiting = iter(self.members)

        async def work(members: Iterable[Member]) -> None:
            for member in members:
                member.on_ok = loop.create_future()
                self.subscribe(member)
                async with asyncio.timeout(PATIENCE):
                    await member.on_ok

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work(waiting))

    async def refresh_all(self) -> None:
        """Refresh all once, evenly within ROUND seconds; some press a key with it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for member in self.members:
            due = began + ROUND * member.number / PHONES
            if (pause := due - loop.time()) > 0:
                await asyncio.sleep(pause)
            pressing = not member.number % PRESSING
            self.subscribe(member, set_dnd(True) if pressing else b"")

    async def settle(self, times: int) -> None:
        """Wait until each phone has been answered and told so many times."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while loop.time() < deadline:
            if all(
                member.accepted == times and member.notified == times
                for member in self.members
            ):
                return
            await asyncio.sleep(0.1)
        short = [
            member
            for member in self.members
            if (member.accepted, member.notified) != (times, times)
        ]
        raise CheckFailed(f"{len(short)} phones are short, such as {short[:2]}")


def _user(number: int) -> str:
    return f"1{number:05}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Served:
    """A server in a process of its own."""

    address: Address
    pid: int
    errors: Path | None = None

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that it has used (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """The memory that it holds (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


@contextlib.asynccontextmanager
async def served(password: str) -> AsyncIterator[Served]:
    """Run the lower floors in a process of their own; any user part is a line.

    Raises CheckFailed where it writes anything to stderr: errors are logged there.
    """
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVE), "--sip-port", str(port), "--password", password),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(PATIENCE):
            require(await process.stdout.readline() == b"ready\n", "it does not start")
        yield Served((HOST, port), process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        said = (await errors).decode(errors="replace")
    require(not said, said)


async def ten_thousand() -> str:
    """Subscribe ten thousand phones and let all of them refresh."""
    async with served(PASSWORD) as server:
        crowd = Crowd(server.address)
        try:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await crowd.subscribe_all()
            await crowd.settle(1)
            subscribed = loop.time() - began
            before, began = server.cpu_seconds, loop.time()
            await crowd.refresh_all()
            await crowd.settle(2)
            used = server.cpu_seconds - before
        finally:
            crowd.close()
        require(not crowd.faults, "\n".join(crowd.faults[:20]))
        wrong = [
            member.number
            for member in crowd.members
            if member.dnd is bool(member.number % PRESSING)
        ]
        require(not wrong, f"{len(wrong)} lamps are wrong")
        each = 1_000_000 * used / PHONES
        share = 100 * used / EXPIRES
        return (
            f"all subscribed in {subscribed:.1f} s; {PHONES / ROUND:.0f} refreshes a "
            f"second took {100 * used / ROUND:.0f} % of a core ({each:.0f} µs each, "
            f"{share:.2f} % at {EXPIRES} s); none lost; {server.megabytes:.0f} MB"
        )


CHECKS = (
    Check(
        subject="load",
        title="10,000 live subscriptions refreshing",
        run=ten_thousand,
        limit=90.0,
    ),
)
