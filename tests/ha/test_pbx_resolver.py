"""Names of PBXs are looked up, against a name server on this machine."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
import ipaddress
import socket
import struct
from typing import override
from unittest.mock import patch

import aiodns
import pytest

from custom_components.dfks.pbx.resolver import DnsResolver
from custom_components.dfks.sip import AddressRecord, ServiceRecord

A, AAAA, SRV = 1, 28, 33
NO_SUCH_NAME = 3

type Answers = dict[tuple[str, int], list[bytes]]


def encoded(name: str) -> bytes:
    """Return a name as it stands in a message (RFC 1035 3.1)."""
    labels = (bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"".join(labels) + b"\0"


def service(priority: int, weight: int, port: int, target: str) -> bytes:
    """Return the data of an SRV record (RFC 2782)."""
    return struct.pack("!HHH", priority, weight, port) + encoded(target)


class NameServer(asyncio.DatagramProtocol):
    """Answers what it knows, and says of all else that there is no such name."""

    def __init__(self, answers: Answers, ttl: int = 120) -> None:
        """Know the data of records by name and type."""
        self._answers = answers
        self._ttl = ttl

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        (kind,) = struct.unpack_from("!H", data, at + 1)
        question = data[12 : at + 5]
        found = self._answers.get((".".join(labels).lower(), kind), [])
        code = 0 if found else NO_SUCH_NAME
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self._ttl, len(one)) + one
            for one in found
        ]
        self._transport.sendto(head + question + b"".join(records), addr)


@pytest.fixture
async def resolver(socket_enabled: None) -> AsyncIterator[DnsResolver]:
    """Return a resolver whose name server knows pbx.example."""
    answers: Answers = {
        ("pbx.example", A): [ipaddress.ip_address("192.0.2.7").packed],
        ("pbx.example", AAAA): [ipaddress.ip_address("2001:db8::7").packed],
        ("_sip._udp.pbx.example", SRV): [
            service(10, 5, 5070, "one.pbx.example"),
            service(20, 0, 5060, "two.pbx.example"),
        ],
    }
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: NameServer(answers), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    local = partial(
        aiodns.DNSResolver,
        nameservers=["127.0.0.1"],
        udp_port=port,
        tcp_port=port,
        timeout=2,
    )
    with patch("custom_components.dfks.pbx.resolver.aiodns.DNSResolver", local):
        resolver = DnsResolver()
        yield resolver
        await resolver.async_close()
    transport.close()


@pytest.mark.requirement("P96")
async def test_services_have_their_priority_and_time_to_live(
    resolver: DnsResolver,
) -> None:
    """As the record says."""
    assert sorted(
        await resolver.services("_sip._udp.pbx.example"),
        key=lambda record: record.priority,
    ) == [
        ServiceRecord(10, 5, "one.pbx.example", 5070, 120),
        ServiceRecord(20, 0, "two.pbx.example", 5060, 120),
    ]


@pytest.mark.requirement("P96")
async def test_addresses_are_of_both_kinds(resolver: DnsResolver) -> None:
    """A before AAAA."""
    assert await resolver.addresses("pbx.example") == [
        AddressRecord("192.0.2.7", 120),
        AddressRecord("2001:db8::7", 120),
    ]


async def test_name_without_services_is_an_error(resolver: DnsResolver) -> None:
    """Which the floor below takes for none."""
    with pytest.raises(OSError, match="not found"):
        await resolver.services("_sip._tcp.pbx.example")


async def test_name_that_only_the_machine_knows_is_found(resolver: DnsResolver) -> None:
    """Such as those in its file of hosts."""
    loop = asyncio.get_running_loop()
    known = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.9", 0))]
    with patch.object(loop, "getaddrinfo", return_value=known) as asked:
        assert await resolver.addresses("pbx.local") == [
            AddressRecord("192.0.2.9", 300)
        ]
    asked.assert_awaited_once_with("pbx.local", None, type=socket.SOCK_DGRAM)


async def test_name_that_nobody_knows_is_an_error(resolver: DnsResolver) -> None:
    """It is asked for again later."""
    loop = asyncio.get_running_loop()
    with (
        patch.object(loop, "getaddrinfo", side_effect=socket.gaierror(-2, "unknown")),
        pytest.raises(OSError, match="unknown"),
    ):
        await resolver.addresses("nowhere.example")


async def test_resolver_can_be_used_again_after_it_was_closed(
    resolver: DnsResolver,
) -> None:
    """A stop and a start."""
    await resolver.async_close()
    assert await resolver.addresses("pbx.example")
    await resolver.async_close()
    await resolver.async_close()
