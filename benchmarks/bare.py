#!/usr/bin/env python3
"""Bare asyncio: the floors under any server on it. Listens on 127.0.0.1.

`echo` sends back what comes, and does nothing else. `skeleton` is the least that
Python makes of SIP: it answers each SUBSCRIBE with a 200 and a NOTIFY from templates,
and checks and remembers nothing. `forward` sends what comes to the port `--to`, and what
comes from there to where something came from last. Prints `ready` when it listens.
"""

import argparse
import asyncio
from collections.abc import Callable
from itertools import count
import re
from typing import cast, override

_REQUEST = re.compile(
    rb"SUBSCRIBE [^\r]*\r\n(Via: [^\r]*)\r\nMax-Forwards: 70\r\n(From: [^;]*)"
    rb"(;tag=[^\r]*)\r\n(To: [^;\r]*)[^\r]*\r\n(Call-ID: [^\r]*)\r\n(CSeq: [^\r]*)\r\n"
    rb"Contact: <([^>]*)>"
)
_VALUE = re.compile(rb"<doNotDisturbOn>([a-z]+)")
_TAG = b";tag=skeleton"


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    _transport: asyncio.DatagramTransport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


class Skeleton(Echo):
    """Answers each SUBSCRIBE, and tells the value that it asks for."""

    def __init__(self) -> None:
        """Count the NOTIFYs: a phone takes one with a lower CSeq for a repetition."""
        self._count = count(1)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = _REQUEST.match(data)
        if request is None:
            return
        via, from_, from_tag, to, call_id, cseq, contact = request.groups()
        self._transport.sendto(
            b"SIP/2.0 200 OK\r\n%b\r\n%b%b\r\n%b%b\r\n%b\r\n%b\r\nExpires: 3600\r\n"
            b"Contact: <sip:skeleton@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
            % (via, from_, from_tag, to, _TAG, call_id, cseq),
            addr,
        )
        value = _VALUE.search(data)
        body = (
            b'<?xml version="1.0" encoding="ISO-8859-1"?>\r\n<DoNotDisturbEvent xmlns='
            b'"http://www.ecma-international.org/standards/ecma-323/csta/ed3">\r\n'
            b"  <device></device>\r\n  <doNotDisturbOn>%b</doNotDisturbOn>\r\n"
            b"</DoNotDisturbEvent>\r\n" % (value[1] if value else b"false")
        )
        number = next(self._count)
        self._transport.sendto(
            b"NOTIFY %b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK%x;rport"
            b"\r\nMax-Forwards: 70\r\nFrom%b%b\r\nTo%b%b\r\n%b\r\nCSeq: %d NOTIFY\r\n"
            b"Contact: <sip:skeleton@127.0.0.1>\r\nEvent: as-feature-event\r\n"
            b"Subscription-State: active;expires=3600\r\n"
            b"Content-Type: application/x-as-feature-event+xml\r\n"
            b"Content-Length: %d\r\n\r\n%b"
            % (
                *(contact, number, to[2:], _TAG, from_[4:], from_tag, call_id),
                *(number, len(body), body),
            ),
            addr,
        )


class Forward(Echo):
    """Sends each datagram on, as it is."""

    def __init__(self, port: int) -> None:
        """Send on to a port of this machine."""
        self._there = "127.0.0.1", port
        self._here = self._there

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._there:
            self._transport.sendto(data, self._here)
        else:
            self._here = addr
            self._transport.sendto(data, self._there)


async def serve(port: int, way: str, to: int) -> None:
    """Serve until the process is ended."""
    ways: dict[str, Callable[[], Echo]] = {
        "echo": Echo,
        "skeleton": Skeleton,
        "forward": lambda: Forward(to),
    }
    await asyncio.get_running_loop().create_datagram_endpoint(
        ways[way], local_addr=("127.0.0.1", port)
    )
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--way", choices=("echo", "skeleton", "forward"), default="echo"
    )
    parser.add_argument("--to", type=int, default=0, metavar="PORT")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.way, arguments.to))


if __name__ == "__main__":
    main()
