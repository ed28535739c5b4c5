"""The lower two floors on a loopback port, watched: what the checks talk to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
import contextlib
from dataclasses import dataclass, field
import logging
import math
import time
from typing import override

from custom_components.dfks.features.model import (
    ChangeRequest,
    Feature,
    FeatureChanged,
    Line,
    LineEvent,
    Origin,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.clock import Clock, LoopClock, TimerHandle
from custom_components.dfks.sip.snapshot import Snapshot
from custom_components.dfks.sip.transport.flow import Flow
from tests.loopback import HOST, LOOPBACK, PASSWORDS
from tests.phone import Lamp, Phone
from tests.phone.link import Address
from tests.server import States, line_config

from .checks import CheckFailed

# Seconds between two looks at whether the loop runs, and after which it does not.
BEAT = 0.005
STALL = 0.02

# Seconds between looks at something that is expected to come true.
LOOK = 0.02


class FastClock:
    """A clock that runs faster than time does, whose wall clock can be set.

    An hour of silence takes a minute and more to show otherwise.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float) -> None:
        """Run `speed` times as fast as `loop`."""
        self._loop = loop
        self.speed = speed
        # When the loop was known to run, and the seconds for which it did not.
        self._ran_at = math.inf
        self._lost = 0.0
        self.wall_offset = time.time() - self.monotonic()

    @contextlib.contextmanager
    def waiting_for_the_loop(self) -> Iterator[None]:
        """Stand still while the loop does not run, as on a machine that is busy.

        Half a second of that is half a minute at fifty times the speed: what is due in
        it would come before what has arrived meanwhile.
        """
        self._ran_at = self._loop.time()
        heart = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            heart.cancel()
            self._ran_at = math.inf

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            now = self._loop.time()
            self._lost += max(0.0, now - self._ran_at - STALL)
            self._ran_at = now

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ran = min(self._loop.time(), self._ran_at + STALL)
        return (ran - self._lost) * self.speed

    def time(self) -> float:
        """Return seconds since the epoch, as far as the wall clock is right."""
        return self.monotonic() + self.wall_offset

    def call_at(self, when: float, callback: Callable[[], None]) -> TimerHandle:
        """Call back at `when`, in seconds of `monotonic`."""
        return _Due(self, self._loop, when, callback)


class _Due:
    """What a clock calls back when it is time, however late the loop is."""

    def __init__(
        self,
        clock: FastClock,
        loop: asyncio.AbstractEventLoop,
        when: float,
        callback: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._when = when
        self._callback = callback
        self._wait()

    def _wait(self) -> None:
        left = (self._when - self._clock.monotonic()) / self._clock.speed
        self._handle = self._loop.call_later(left, self._look)

    def _look(self) -> None:
        if self._clock.monotonic() < self._when:
            self._wait()
        else:
            self._callback()

    def cancel(self) -> None:
        """Keep the callback from being called."""
        self._handle.cancel()


class WatchedServer(SipServer):
    """A server that remembers what it was sent."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        """Build it; nothing has come yet."""
        self.received: list[bytes] = []
        super().__init__(config, clock)

    @override
    def receive(self, data: bytes, flow: Flow) -> float:
        self.received.append(data)
        return super().receive(data, flow)

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._transports._streams)


@dataclass
class House:
    """A running server, its lines and what happened to them."""

    server: WatchedServer
    sync: FeatureSync
    changes: list[FeatureChanged] = field(default_factory=list)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return HOST, self.server.port

    def line(self, user: str = "201") -> Line:
        """Return a line."""
        return self.sync.lines[f"line-{user}"]

    async def switch(
        self, user: str, feature: Feature, *, on: bool, forward_to: str | None = None
    ) -> None:
        """Change a feature as an entity of Home Assistant does."""
        change = ChangeRequest(
            feature=feature, status=on, forward_to=forward_to, origin=Origin.ENTITY
        )
        await self.sync.change(self.line(user).id, change)

    def note(self, event: LineEvent) -> None:
        """Take note of a change."""
        if isinstance(event, FeatureChanged):
            self.changes.append(event)


@contextlib.asynccontextmanager
async def house(
    config: ServerConfig | None = None,
    *,
    clock: Clock | None = None,
    memory: Snapshot | None = None,
    states: Mapping[str, States] | None = None,
) -> AsyncIterator[House]:
    """Run the lower floors with two lines; raises CheckFailed for what they log."""
    server = WatchedServer(
        config or LOOPBACK,
        clock or LoopClock(asyncio.get_running_loop()),
    )
    sync = FeatureSync(server)
    server.add_package(sync)
    for line in map(line_config, PASSWORDS):
        sync.add_line(line, (states or {}).get(line.id))
    running = House(server, sync)
    sync.subscribe(running.note)
    with no_errors():
        await server.start(memory=memory)
        try:
            yield running
        finally:
            await sync.stop()
            await server.stop()


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


@contextlib.contextmanager
def no_errors() -> Iterator[None]:
    """Raise CheckFailed where the integration or the event loop logs an error."""
    handler = _Errors()
    loggers = [logging.getLogger(name) for name in ("custom_components", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    if handler.texts:
        raise CheckFailed("\n".join(handler.texts))


async def until(
    condition: Callable[[], bool], what: Callable[[], str] | str, seconds: float = 10.0
) -> None:
    """Return when something has come true. Raises CheckFailed where it does not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise CheckFailed(what if isinstance(what, str) else what())
        await asyncio.sleep(LOOK)


def require(truth: object, what: str) -> None:
    """Raise CheckFailed where something is not so."""
    if not truth:
        raise CheckFailed(what)


async def sign_on(phone: Phone) -> None:
    """Register and subscribe, and wait for the first NOTIFY."""
    require((await phone.register()).ok, "REGISTER was refused")
    require((await phone.subscribe()).ok, "SUBSCRIBE was refused")
    await phone.notification(phone.timeout)


def lamps_of(line: Line) -> dict[str, Lamp]:
    """Return what the lamps of a line's phones are to show."""
    lamps = {}
    for feature in line.assigned:
        state = line.state(feature)
        lamps[feature.value] = Lamp(
            state.status,
            "" if feature is Feature.DO_NOT_DISTURB else state.forward_to,
            state.ring_count if feature is Feature.CALL_FORWARDING_NO_ANSWER else None,
        )
    return lamps


async def until_equal(
    house: House, phones: Sequence[Phone], seconds: float = 10.0
) -> None:
    """Return when all lamps show what the model has."""

    def differences() -> list[str]:
        return [
            f"{phone.user}: the lamps are {phone.features}, "
            f"the line is {lamps_of(house.line(phone.user))}"
            for phone in phones
            if phone.features != lamps_of(house.line(phone.user))
        ]

    await until(lambda: not differences(), lambda: "\n".join(differences()), seconds)


def require_clean(phones: Sequence[Phone], *but: str) -> None:
    """Raise CheckFailed where a phone saw a breach of the rules.

    What holds one of the texts of `but` is let pass.
    """
    notes = [
        f"{phone.user}: {violation}"
        for phone in phones
        for violation in phone.violations
        if not any(text in violation for text in but)
    ]
    require(not notes, "\n".join(notes))
