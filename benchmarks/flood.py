#!/usr/bin/env python3
"""What a flood does to Home Assistant and to others, with the limit and without.

Runs a full Home Assistant, sends each load for some seconds from a process of its own,
and meanwhile asks for a page and has some others ask for OPTIONS: prints how long the
page took, and how many of the others were answered within two seconds, in which they
repeat as phones do. Everything stays on loopback.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator
import contextlib
from itertools import count, cycle
import multiprocessing
import os
from pathlib import Path
import socket
from statistics import median
import sys
import time
from typing import Final, NamedTuple, override

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.headless import PASSWORD
from benchmarks.home_assistant import House, running
from benchmarks.messages import (
    CONTENT_TYPE,
    answer,
    authorization,
    challenge_of,
    dialog_of,
    do_not_disturb,
    subscribe,
)
from benchmarks.processes import GENERATOR_CORE, HOST

LINES: Final = 10

# Others that ask, and seconds between two questions of each.
OTHERS: Final = 12
PAUSE: Final = 0.5

# Seconds after which a question is repeated, and those for an answer.
REPEATS: Final = (0.5, 1.0)
PATIENCE: Final = 2.0

# Seconds between two requests for the page.
PAGE_PAUSE: Final = 0.02

# Seconds between two looks at what a load has to send by now.
TICK: Final = 0.002

type Send = Callable[[bytes], object]


class Load(NamedTuple):
    """Messages a second from some sources; with a password they change a feature."""

    name: str
    rate: int
    sources: int = 1
    octets: int = 300
    password: bool = False


LOADS: Final = (
    Load("nothing", 0),
    Load("10,000 REGISTERs a second of 300 octets", 10_000),
    Load("2,000 REGISTERs a second of 15 kB", 2_000, octets=15_000),
    Load("15,700 REGISTERs a second from 200 sources", 15_700, sources=200),
    Load("8,400 changes a second of a phone", 8_400, password=True),
)


# The load, in a process of its own


def send_load(load: Load, port: int, user: bytes, seconds: float) -> None:
    """Send a load at its rate, as far as this process can."""
    os.sched_setaffinity(0, {GENERATOR_CORE})
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(_socket(f"127.0.2.{number + 1}", port))
            for number in range(load.sources)
        ]
        messages = (
            _changes(sockets[0], user, port) if load.password else _registers(load)
        )
        began, sent = time.monotonic(), 0
        ways = cycle(sockets)
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(int(passed * load.rate) - sent):
                with contextlib.suppress(BlockingIOError):
                    next(ways).send(next(messages))
                sent += 1
            for way in sockets if load.password else ():
                _answer_notifies(way)
            time.sleep(TICK)
        print(f"  {sent / seconds:,.0f} a second were sent", flush=True)


def _socket(host: str, port: int) -> socket.socket:
    sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sending.bind((host, 0))
    sending.connect((HOST, port))
    sending.setblocking(False)
    return sending


def _registers(load: Load) -> Iterator[bytes]:
    for number in count():
        head = (
            f"REGISTER sip:{HOST} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:1@h>;tag={number}\r\nTo: <sip:1@h>\r\n"
            f"Call-ID: {number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:1@192.0.2.1>\r\n"
            "X-Padding: "
        )
        yield f"{head.ljust(load.octets - 4, 'x')}\r\n\r\n".encode()


def _changes(way: socket.socket, user: bytes, port: int) -> Iterator[bytes]:
    """Return changes in a dialog, each with its digest."""
    way.settimeout(PATIENCE)
    here = b"%b:%d" % (way.getsockname()[0].encode(), way.getsockname()[1])
    server = f"{HOST}:{port}".encode()
    to_tag: bytes | None = None
    uri: bytes | None = b"sip:%b@h" % user

    def write(cseq: int, more: bytes, body: bytes = b"") -> bytes:
        return subscribe(
            uri=uri or b"",
            here=here,
            server=server,
            user=user,
            call_id=b"flood",
            from_tag=b"flood",
            to_tag=to_tag,
            cseq=cseq,
            event=b"as-feature-event",
            expires=3600,
            more=more,
            body=body,
        )

    way.send(write(1, b""))
    challenge = challenge_of(way.recv(65_535))
    assert challenge is not None
    sign = authorization(challenge, user, PASSWORD.encode(), uri, 1)
    way.send(write(2, sign))
    to_tag, uri = dialog_of(way.recv(65_535))
    assert uri is not None
    way.setblocking(False)
    content_type = b"Content-Type: " + CONTENT_TYPE + b"\r\n"
    for number in count(3):
        sign = authorization(challenge, user, PASSWORD.encode(), uri, number)
        body = do_not_disturb(b"true" if number % 2 else b"false")
        yield write(number, content_type + sign, body)


def _answer_notifies(way: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            data = way.recv(65_535)
            if data.startswith(b"NOTIFY "):
                way.send(answer(data)[0])


# What others see


class Onlooker(asyncio.DatagramProtocol):
    """One who asks for OPTIONS, and repeats the question until it is answered."""

    def __init__(self, number: int) -> None:
        """Ask from an address of its own."""
        self.host = f"127.0.3.{number + 1}"
        self.asked = 0
        self.times: list[float] = []
        self._answered = asyncio.Event()
        self._branch = b""

    @override
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self._branch in data:
            self._answered.set()

    async def ask(self) -> None:
        """Ask one question and wait for its answer, as long as a phone's user would."""
        self.asked += 1
        self._answered.clear()
        self._branch = b"z9hG4bK%s.%d;" % (self.host.encode(), self.asked)
        question = (
            b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=%brport\r\n"
            b"Max-Forwards: 70\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n"
            b"Call-ID: %b\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ) % (self._branch, self._branch[:-1])
        began = time.monotonic()
        for wait in (*REPEATS, PATIENCE - sum(REPEATS)):
            self._transport.sendto(question)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), wait)
                self.times.append(time.monotonic() - began)
                return


class Seen(NamedTuple):
    """Seconds of each page, questions of the others, and seconds of each answer."""

    pages: list[float]
    asked: int
    answers: list[float]


async def look(house: House, port: int, seconds: float) -> Seen:
    """Ask for pages and OPTIONS for some seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    onlookers = []
    for number in range(OTHERS):
        onlooker = Onlooker(number)
        onlookers.append(onlooker)
        await loop.create_datagram_endpoint(
            lambda onlooker=onlooker: onlooker,
            local_addr=(onlooker.host, 0),
            remote_addr=(HOST, port),
        )
    pages: list[float] = []

    async def turn_pages() -> None:
        headers = {"Authorization": f"Bearer {house.token}"}
        async with aiohttp.ClientSession(house.url, headers=headers) as session:
            while loop.time() < end:
                began = loop.time()
                async with session.get("/api/config") as response:
                    await response.read()
                pages.append(loop.time() - began)
                await asyncio.sleep(PAGE_PAUSE)

    async def ask(onlooker: Onlooker) -> None:
        while loop.time() < end:
            await onlooker.ask()
            await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        group.create_task(turn_pages())
        for onlooker in onlookers:
            group.create_task(ask(onlooker))
    return Seen(
        pages,
        sum(onlooker.asked for onlooker in onlookers),
        [seconds for onlooker in onlookers for seconds in onlooker.times],
    )


def measure(house: House, load: Load, seconds: float) -> None:
    """Send a load, and print what others see of it."""
    port = house.sip_port
    before = house.server.cpu()
    user = house.dialogs[0].user
    sender = multiprocessing.get_context("fork").Process(
        target=send_load, args=(load, port, user, seconds + 1), daemon=True
    )
    print(load.name, flush=True)
    sender.start()
    time.sleep(0.5)
    seen = asyncio.run(look(house, port, seconds))
    share = (house.server.cpu() - before) / (seconds + 0.5)
    sender.join()
    print(
        f"  page: median {median(seen.pages) * 1e3:.1f} ms, "
        f"longest {max(seen.pages) * 1e3:.0f} ms, {len(seen.pages)} times\n"
        f"  others: {len(seen.answers)} of {seen.asked} answered, "
        f"median {median(seen.answers or [0]) * 1e3:.1f} ms, "
        f"longest {max(seen.answers, default=0) * 1e3:.0f} ms\n"
        f"  Home Assistant: {share:.0%} of a processor",
        flush=True,
    )


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument(
        "--unlimited",
        action="store_true",
        help="without the limit, for before and after",
    )
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {GENERATOR_CORE})
    with running(LINES, limited=not arguments.unlimited) as house:
        for load in LOADS:
            measure(house, load, arguments.seconds)
            # Let the allowance come back, and the recorder write.
            time.sleep(arguments.seconds + 6)


if __name__ == "__main__":
    main()
