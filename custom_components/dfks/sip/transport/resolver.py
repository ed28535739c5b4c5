"""What a configured name stands for: SRV, then A and AAAA (RFC 3263 4.2).

Names are looked up in the background and again when their records are old. What was
found last stays as long as nothing else is found: a name server that is down stops no
calls.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
import logging
import random
import socket
from typing import Protocol, override

from ..clock import Timer, Timers
from ..wire.headers import default_port
from .flow import is_numeric

_LOGGER = logging.getLogger(__name__)

# Seconds that an answer is used, whatever its records say, and until a look-up that
# failed is made again.
MIN_TTL = 30.0
MAX_TTL = 3600.0
RETRY = 30.0

# Seconds that records without a time to live are used.
DEFAULT_TTL = 300.0

# Seconds for one look-up.
TIMEOUT = 20.0

# Names of an SRV record that are looked up, and addresses that are used.
MAX_TARGETS = 8
MAX_ADDRESSES = 16

type Address = tuple[str, int]

_SERVICES = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One SRV record (RFC 2782); `ttl` in seconds."""

    priority: int
    weight: int
    target: str
    port: int
    ttl: float


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """One A or AAAA record; `ttl` in seconds."""

    host: str
    ttl: float


class Resolver(Protocol):
    """Looks names up."""

    async def services(self, name: str) -> Sequence[ServiceRecord]:
        """Return the SRV records of a name, none where it has none. Raises OSError."""

    async def addresses(self, name: str) -> Sequence[AddressRecord]:
        """Return the A and AAAA records of a name. Raises OSError."""


class SystemResolver(Resolver):
    """The system's resolver, which knows neither SRV nor times to live."""

    @override
    async def services(self, name: str) -> Sequence[ServiceRecord]:
        return ()

    @override
    async def addresses(self, name: str) -> Sequence[AddressRecord]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        return [AddressRecord(str(item[4][0]), DEFAULT_TTL) for item in found]


class Finder:
    """Keeps the addresses of one name up to date."""

    def __init__(
        self,
        host: str,
        port: int | None,
        transport: str,
        resolver: Resolver,
        timers: Timers,
        run: Callable[[Coroutine[None, None, None]], None],
        found: Callable[[Sequence[Address]], None],
    ) -> None:
        """Hand what a name stands for to `found`; `run` runs a coroutine.

        With a port only addresses are looked up, without one SRV records first.
        """
        self._host = host
        self._port = port
        self._transport = transport
        self._resolver = resolver
        self._timers = timers
        self._run = run
        self._found = found
        self._timer: Timer | None = None
        self._stopped = False

    def start(self) -> None:
        """Look the name up, and again when that is old."""
        self._timer = None
        self._run(self._refresh())

    def stop(self) -> None:
        """Look nothing up any more."""
        self._stopped = True
        if self._timer is not None:
            self._timers.cancel(self._timer)

    async def _refresh(self) -> None:
        wait = RETRY
        try:
            async with asyncio.timeout(TIMEOUT):
                addresses, ttl = await self._look_up()
        except OSError as err:
            _LOGGER.debug("%s is not found: %s", self._host, err)
        else:
            if addresses and not self._stopped:
                wait = min(max(ttl, MIN_TTL), MAX_TTL)
                self._found(addresses)
        if not self._stopped:
            self._timer = self._timers.after(wait, self.start)

    async def _look_up(self) -> tuple[list[Address], float]:
        """Return the addresses, the best one first, and how long they are good for."""
        services: Sequence[ServiceRecord] = ()
        if self._port is None:
            name = f"{_SERVICES[self._transport]}.{self._host}"
            try:
                services = await self._resolver.services(name)
            except OSError as err:
                # Many names have none; an address is still something.
                _LOGGER.debug("%s is not found: %s", name, err)
        if not services:
            port = self._port or default_port(self._transport)
            return await self._addresses_of(self._host, port)
        addresses: list[Address] = []
        ttl = min(service.ttl for service in services)
        for service in in_order(services)[:MAX_TARGETS]:
            try:
                more, left = await self._addresses_of(service.target, service.port)
            except OSError as err:
                _LOGGER.debug("%s is not found: %s", service.target, err)
                continue
            addresses += more
            ttl = min(ttl, left)
        return addresses[:MAX_ADDRESSES], ttl

    async def _addresses_of(self, name: str, port: int) -> tuple[list[Address], float]:
        if is_numeric(name):
            return [(name, port)], MAX_TTL
        records = await self._resolver.addresses(name)
        hosts = dict.fromkeys(record.host for record in records)
        ttl = min((record.ttl for record in records), default=RETRY)
        return [(host, port) for host in hosts], ttl


def in_order(services: Iterable[ServiceRecord]) -> list[ServiceRecord]:
    """Return SRV records in the order to try them: by priority, then by weight.

    Of equal priority the first is drawn in proportion to the weights, then the next of
    those that are left (RFC 2782). A target of "." says that there is no service.
    """
    left = [service for service in services if service.target.rstrip(".")]
    ordered: list[ServiceRecord] = []
    while left:
        best = min(service.priority for service in left)
        candidates = [service for service in left if service.priority == best]
        weights = [service.weight or 0.01 for service in candidates]
        (drawn,) = random.choices(candidates, weights)
        left.remove(drawn)
        ordered.append(drawn)
    return ordered
