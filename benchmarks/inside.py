#!/usr/bin/env python3
"""What an exchange costs inside one process, without sockets: for before and after.

Feeds the datagrams of phones straight into a server and prints the time of an exchange,
or, with --instructions, how many instructions it takes (valgrind must be installed):
those do not depend on what else the machine does. The phones' own part is in them; it
is the same before and after.
"""

import argparse
import asyncio
from collections.abc import Callable
import cProfile
import gc
import os
from pathlib import Path
import pstats
import re
import shutil
import socket
import subprocess
import sys
import time
from typing import Final, NamedTuple, cast, override

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.messages import (
    CONTENT_TYPE,
    answer,
    authorization,
    challenge_of,
    dialog_of,
    do_not_disturb,
    forwarding,
    subscribe,
)
from benchmarks.passing import DOMAIN, RECORD_ROUTE, SDP, Conversation, response
from benchmarks.processes import HOST
from benchmarks.serve import PBX, add_lines, build
from custom_components.dfks.sip import (
    USER_BUSY,
    CallPlan,
    Flow,
    IncomingCall,
    PbxConfig,
    Redirect,
    TakePlan,
)
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.flow import SocketAddress
from custom_components.dfks.sip.transport.udp import UdpFlow, UdpSocket

KINDS: Final = (
    "new",
    "change",
    "forward",
    "refresh",
    "watched-refresh",
    "digest-new",
    "digest-change",
    "pass-register",
    "pass-call",
    "pass-ring",
    "treat-ring",
)

PASSWORD: Final = b"benchmark"
PEER: Final = ("127.0.0.1", 40_000)
LOCAL: Final = ("127.0.0.1", 5060)

# Watchers of each line where a refresh is watched.
WATCHERS: Final = 50

# Exchanges whose instructions are counted: the difference between the two.
FEW: Final = 200
MANY: Final = 1000

_TYPE_LINE: Final = b"Content-Type: " + CONTENT_TYPE + b"\r\n"


class Wire:
    """Stands in a flow's place of a socket, and keeps what is sent."""

    closed = False

    def __init__(self) -> None:
        """Start with nothing sent."""
        self.sent: list[bytes] = []

    def send(self, data: bytes, address: SocketAddress, local: str) -> None:
        """Keep a datagram."""
        self.sent.append(data)


class Dialog(NamedTuple):
    """What a phone knows of its dialog."""

    user: bytes
    call_id: bytes
    to_tag: bytes | None
    uri: bytes


class Phones:
    """Phones that write their requests before the time is taken."""

    def __init__(self, server: SipServer, *, digest: bool) -> None:
        """Talk to a server, with digest or without."""
        self._server = server
        self._wire = Wire()
        self._count = 0
        self._digest = digest
        self._challenge = None
        if digest:
            self._challenge = challenge_of(self._ask(self.write_new(b"asking")))

    def _receive(self, data: bytes) -> None:
        # One flow a datagram, as the socket makes it.
        flow = UdpFlow(cast("UdpSocket", self._wire), PEER, LOCAL)
        self._server.receive(data, flow)

    def _ask(self, request: bytes) -> bytes:
        """Return the answer to a request, and answer the NOTIFY behind it."""
        sent = self._wire.sent
        sent.clear()
        self._receive(request)
        response = sent[0]
        for notify in sent[1:]:
            self._receive(answer(notify)[0])
        return response

    def exchange(self, request: bytes) -> None:
        """Have a request answered, and answer its NOTIFY. Raises RuntimeError."""
        sent = self._wire.sent
        sent.clear()
        self._receive(request)
        if len(sent) != 2 or not sent[0].startswith(b"SIP/2.0 200"):
            raise RuntimeError(f"Not as expected: {sent}")
        self._receive(answer(sent[1])[0])

    def open(self, user: bytes) -> Dialog:
        """Subscribe; return the dialog."""
        request = self.write_new(user)
        to_tag, target = dialog_of(self._ask(request))
        assert to_tag and target
        return Dialog(user, b"call-%d" % self._count, to_tag, target)

    def write_new(self, user: bytes) -> bytes:
        """Write the SUBSCRIBE of a new phone."""
        call_id = b"call-%d" % (self._count + 1)
        uri = b"sip:%b@127.0.0.1:5060" % user
        return self.write(Dialog(user, call_id, None, uri))

    def write(self, dialog: Dialog, body: bytes = b"") -> bytes:
        """Write a SUBSCRIBE."""
        self._count += 1
        more = _TYPE_LINE if body else b""
        if self._challenge is not None:
            more += authorization(
                self._challenge, dialog.user, PASSWORD, dialog.uri, self._count
            )
        return subscribe(
            uri=dialog.uri,
            here=b"127.0.0.1:40000",
            server=b"127.0.0.1:5060",
            user=dialog.user,
            call_id=dialog.call_id,
            from_tag=b"f" + dialog.call_id,
            to_tag=dialog.to_tag,
            cseq=self._count,
            event=b"as-feature-event",
            expires=3600,
            more=more,
            body=body,
        )


class Passed(Conversation):
    """A phone and a PBX at both sides of a server that passes their messages."""

    def __init__(self, server: SipServer, pbx_port: int) -> None:
        """Have the phone registered."""
        super().__init__("{}:{}".format(*PEER).encode())
        self._server = server
        self._pbx = HOST, pbx_port
        self._sent = b""
        server.trace(self)
        self.register()
        (self._binding,) = server.proxy.location

    def sent(self, data: bytes, _flow: Flow) -> None:
        """Keep what the server sends."""
        self._sent = data

    def received(self, _data: bytes, _flow: Flow) -> None:
        """Know what the server gets."""

    @override
    def _from_phone(self, data: bytes) -> bytes:
        return self._pass(data, PEER)

    @override
    def _from_pbx(self, data: bytes) -> bytes:
        return self._pass(data, self._pbx)

    def ring(self) -> None:
        """Have the PBX call the phone, which takes it, and hang up: seven messages."""
        call = self.called(next(self._numbers))
        invite = self._from_pbx(call(b"INVITE", b"", SDP))
        for status in (b"100 Trying", b"180 Ringing"):
            self._from_phone(response(invite, status))
        answer = self._from_phone(response(invite, b"200 OK", body=SDP))
        routes = b"".join(
            b"Route: %b\r\n" % route for route in RECORD_ROUTE.findall(answer)
        )
        self._from_pbx(call(b"ACK", routes, b""))
        bye = self._from_pbx(call(b"BYE", routes, b""))
        self._from_phone(response(bye, b"200 OK"))

    def called(self, number: int) -> Callable[[bytes, bytes, bytes], bytes]:
        """Return what writes the requests of a call to the phone."""
        user = b"201@%b:%d;fk=%b" % (
            *(LOCAL[0].encode(), self._server.port, self._binding.token.encode()),
        )

        def write(method: bytes, routes: bytes, body: bytes) -> bytes:
            tag = b"" if method == b"INVITE" else b";tag=p"
            return (
                b"%b sip:%b SIP/2.0\r\nVia: SIP/2.0/UDP %b:%d;branch=z9hG4bK%b%d;rport\r\n"
                b"%bMax-Forwards: 70\r\nFrom: <sip:202@%b>;tag=c%d\r\nTo: <sip:201@%b>%b\r\n"
                b"Call-ID: ring-%d\r\nCSeq: %d %b\r\nContact: <sip:pbx@%b:%d>\r\n"
                b"User-Agent: Benchmark 1.0\r\nContent-Length: %d\r\n\r\n%b"
                % (
                    *(method, user, HOST.encode(), self._pbx[1], method, number),
                    *(routes, DOMAIN.encode(), number, DOMAIN.encode(), tag, number),
                    *(1 + (method == b"BYE"), method, HOST.encode(), self._pbx[1]),
                    *(len(body), body),
                )
            )

        return write

    def _pass(self, data: bytes, source: tuple[str, int]) -> bytes:
        flow = UdpFlow(cast("UdpSocket", Wire()), source, LOCAL)
        self._server.receive(data, flow)
        return self._sent


class Forwarding:
    """Has calls watched for a phone that is busy."""

    def plan(self, call: IncomingCall) -> CallPlan:
        """Forward it then."""
        return CallPlan(busy=Redirect("203", USER_BUSY))

    def ask(self, call: IncomingCall, take: TakePlan) -> bool:
        """Ask nobody."""
        return False

    def dialled(self, number: str) -> None:
        """Need not know."""

    def redirected(self, call: IncomingCall) -> None:
        """Need not know."""


def body_of(kind: str, dialog: Dialog) -> bytes:
    """Return what a phone asks for; each forwards to another number."""
    if kind.endswith("change"):
        return do_not_disturb(b"true")
    return forwarding(b"2" + dialog.user) if kind == "forward" else b""


async def prepare(kind: str, count: int) -> Callable[[], None]:
    """Return what has `count` exchanges of a kind made, each of another phone.

    A REGISTER with its challenge and a call pass between one phone and its PBX.
    """
    if kind.startswith(("pass-", "treat-")):
        return await prepare_passing(kind, count)
    digest = kind.startswith("digest-")
    server = build(0, PASSWORD.decode() if digest else None)
    # Bound, so that its Contact is one; nothing comes over the socket.
    await server.start()
    # As many in any case, so that writing them makes no difference.
    total = max(count, MANY)
    watchers = WATCHERS if kind == "watched-refresh" else 1
    users = [b"%d" % (1000 + number // watchers) for number in range(total)]
    add_lines(server, {user.decode(): None for user in users})
    phones = Phones(server, digest=digest)
    if kind.endswith("new"):
        requests = [phones.write_new(user) for user in users]
    else:
        dialogs = [phones.open(user) for user in users]
        requests = [phones.write(dialog, body_of(kind, dialog)) for dialog in dialogs]
    del requests[count:]

    def run() -> None:
        for request in requests:
            phones.exchange(request)

    return run


async def prepare_passing(kind: str, count: int) -> Callable[[], None]:
    """Return what has `count` REGISTERs or calls passed."""
    server = build(0, None)
    await server.start()
    # What is sent to the PBX in earnest is left lying there.
    pbx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pbx.bind((HOST, 0))
    port = pbx.getsockname()[1]
    server.add_pbx(PbxConfig(id=PBX, host=HOST, port=port, domains=(DOMAIN,)))
    passed = Passed(server, port)
    do = {
        "pass-call": passed.call,
        "pass-register": passed.register,
        "pass-ring": passed.ring,
        "treat-ring": passed.ring,
    }[kind]
    treated = server.proxy.treated
    if kind == "treat-ring":
        treated.treat(PBX, "201", Forwarding())

    def run() -> None:
        for _ in range(count):
            do()
            # As if the time of its transactions were over: a second has no 1000 calls.
            treated.kept.clear()
            treated.sent.clear()
        pbx.close()

    return run


async def measure(kind: str, count: int, profile: cProfile.Profile | None) -> float:
    """Return the CPU seconds of an exchange."""
    run = await prepare(kind, count)
    gc.collect()
    began = time.process_time()
    if profile is not None:
        profile.runcall(run)
    else:
        run()
    return (time.process_time() - began) / count


def can_count() -> bool:
    """Whether the program is here that counts instructions."""
    return shutil.which("valgrind") is not None


def count_instructions(kind: str) -> float:
    """Return the instructions of an exchange, as valgrind counts them."""
    counts = []
    for count in (FEW, MANY):
        command = [
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
            sys.executable,
            __file__,
            kind,
            f"--count={count}",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
        found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        if found is None:
            raise RuntimeError(done.stderr)
        counts.append(int(found[1].replace(",", "")))
    return (counts[1] - counts[0]) / (MANY - FEW)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--count", type=int, default=20_000, help="exchanges to make")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--instructions", action="store_true", help="count them")
    how.add_argument("--profile", action="store_true", help="show where time is spent")
    arguments = parser.parse_args()
    for kind in arguments.kinds:
        if arguments.instructions:
            print(f"{kind}: {count_instructions(kind) / 1000:.1f} thousand")
            continue
        profile = cProfile.Profile() if arguments.profile else None
        seconds = asyncio.run(measure(kind, arguments.count, profile))
        print(f"{kind}: {seconds * 1e6:.1f} µs")
        if profile is not None:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
