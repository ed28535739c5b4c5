"""Looks the names of PBXs up with aiodns, which Home Assistant itself has."""

import asyncio
from collections.abc import Sequence
import logging
import socket
from typing import Final, override

import aiodns
from aiodns.error import DNSError
import pycares

from ..sip import AddressRecord, Resolver, ServiceRecord

_LOGGER = logging.getLogger(__name__)

# Seconds that an address is used which comes from elsewhere than the DNS.
TTL_OF_SYSTEM: Final = 300.0


class DnsResolver(Resolver):
    """Knows SRV records and how long an answer is good for.

    Names that the DNS does not know may be known to the machine, from its file of hosts
    or by multicast DNS.
    """

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._resolver: aiodns.DNSResolver | None = None

    @override
    async def services(self, name: str) -> Sequence[ServiceRecord]:
        """Return the SRV records of a name. Raises OSError."""
        return [
            ServiceRecord(
                record.data.priority,
                record.data.weight,
                record.data.target,
                record.data.port,
                record.ttl,
            )
            for record in await self._query(name, "SRV")
            if isinstance(record.data, pycares.SRVRecordData)
        ]

    @override
    async def addresses(self, name: str) -> Sequence[AddressRecord]:
        """Return the A and AAAA records of a name. Raises OSError."""
        found = [
            AddressRecord(record.data.addr, record.ttl)
            for kind in ("A", "AAAA")
            for record in await self._answer(name, kind)
            if isinstance(record.data, pycares.ARecordData | pycares.AAAARecordData)
        ]
        return found or await _ask_system(name)

    async def _answer(self, name: str, kind: str) -> Sequence[pycares.DNSRecord]:
        """Return the records of a name, none where the DNS gives no answer."""
        try:
            return await self._query(name, kind)
        except OSError as err:
            _LOGGER.debug("No %s record of %s: %s", kind, name, err)
            return ()

    async def _query(self, name: str, kind: str) -> Sequence[pycares.DNSRecord]:
        """Return the records of a name. Raises OSError."""
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver()
        try:
            return (await self._resolver.query_dns(name, kind)).answer
        except DNSError as err:
            raise OSError(*err.args) from err

    async def async_close(self) -> None:
        """Ask nothing any more."""
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None


async def _ask_system(name: str) -> list[AddressRecord]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    return [AddressRecord(str(item[4][0]), TTL_OF_SYSTEM) for item in found]
