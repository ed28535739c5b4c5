"""Measurements of the lower two floors, beside bare asyncio.

What is compared runs side by side: each server gets a slice of time in turn, so that
whatever else the machine does meets all of them. Figures are in seconds and octets.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
import socket
from statistics import fmean
import tempfile
import time
from typing import Final, NamedTuple

from .phones import REST, Load, Phone, Phones, percentile
from .processes import EVERYWHERE, HOST, Server, bare, headless, machine_cpu

type Figures = dict[str, float]

# Octets of a datagram to bare asyncio: between a SUBSCRIBE and a NOTIFY.
DATAGRAM: Final = bytes(600)
WINDOW: Final = 24

# Seconds after which one that did not come back is lost.
LOST: Final = 4.0

PASSWORD: Final = "benchmark"

# Lines that phones subscribe to or change: so many that none of them changes twice
# within a second, however fast the server is.
LINES: Final = 40_000
# Dialogs in which changes are made at a rate.
DIALOGS: Final = 1000
RATE: Final = 100.0
HIGH_RATE: Final = 500.0
# Seconds of a slice at that rate.
LATENCY_SLICE: Final = 0.5
WATCHERS: Final = 1000
MANY: Final = 10_000
# Refreshes a second where each of them refreshes once a minute.
REFRESH_RATE: Final = MANY / 60
# Lines of a small house, and of the largest.
FEW: Final = 10
FULL_HOUSE: Final = 50_000
# Watchers of a line beside whom one of them refreshes.
NEIGHBOURS: Final = 50

# Seconds after which the last transaction has ended (timer J) and was swept.
TRANSACTIONS: Final = 34.0


class Effort(NamedTuple):
    """How long to measure: seconds of each kind of load, and how often in a turn.

    `high_rate` is of Home Assistant, `busy` of the lower floors at the same rate.
    """

    slice: float
    slices: int
    latency: float
    refresh: float
    busy: float
    high_rate: float
    fans: int


SHORT: Final = Effort(0.25, 3, 2.0, 3.0, 3.0, 5.0, 2)
FULL: Final = Effort(0.25, 12, 10.0, 20.0, 12.0, 60.0, 5)

# The share of a core that other programs may take, and how often a slice is tried.
QUIET: Final = 0.1
TRIES: Final = 4


class Slice[ResultT](NamedTuple):
    """A slice of a measurement."""

    result: ResultT
    # CPU seconds of the server.
    used: float
    # The share of a core that others took.
    disturbance: float


def least_disturbed[ResultT](
    server: Server, load: Callable[[], ResultT]
) -> Slice[ResultT]:
    """Put a load on a server, again where other programs took the machine's time.

    Up to TRIES times; the slice that was disturbed least counts.
    """
    tries: list[Slice[ResultT]] = []
    while len(tries) < TRIES:
        busy, own = machine_cpu(), time.process_time()
        before, began = server.cpu(), time.monotonic()
        result = load()
        used = server.cpu() - before
        own = time.process_time() - own
        others = machine_cpu() - busy - own - used
        tries.append(Slice(result, used, others / (time.monotonic() - began)))
        if tries[-1].disturbance < QUIET:
            break
    return min(tries, key=lambda slice_: slice_.disturbance)


class Cost:
    """What something costs a server, over all slices."""

    def __init__(self, server: Server, load: Callable[[float], int]) -> None:
        """Meter `server` while `load`, of some seconds, returns how often it was done."""
        self._server = server
        self._load = load
        self._slices: list[Slice[int]] = []
        load(0.2)

    def run(self, seconds: float) -> None:
        """Go on for some seconds."""
        self._slices.append(least_disturbed(self._server, lambda: self._load(seconds)))

    @property
    def each(self) -> float:
        """The CPU seconds of one."""
        return sum(slice_.used for slice_ in self._slices) / sum(
            slice_.result for slice_ in self._slices
        )

    @property
    def disturbance(self) -> float:
        """How much of a core other programs took meanwhile."""
        return fmean(slice_.disturbance for slice_ in self._slices)


def take_turns(costs: dict[str, Cost], effort: Effort) -> Figures:
    """Return the costs by their names, each measured a slice at a time."""
    for _ in range(effort.slices):
        for cost in costs.values():
            cost.run(effort.slice)
    return {name: cost.each for name, cost in costs.items()}


# Bare asyncio


class Echoes:
    """A peer of bare asyncio."""

    def __init__(self, port: int) -> None:
        """Talk to an echo on this machine."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOST, port))
        self._socket.settimeout(LOST)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def closed(self, seconds: float = 3600.0, datagrams: int = 1 << 60) -> int:
        """Keep a number of datagrams under way, for some seconds or some of them.

        Returns how many came back.
        """
        send, receive = self._socket.send, self._socket.recv
        for _ in range(WINDOW):
            send(DATAGRAM)
        sent = WINDOW
        end = time.monotonic() + seconds
        while sent < datagrams and time.monotonic() < end:
            receive(65_535)
            send(DATAGRAM)
            sent += 1
        for _ in range(WINDOW):
            receive(65_535)
        return sent

    def open(self, rate: float, seconds: float) -> list[tuple[float, float]]:
        """Send at a rate per second; return when each was sent, and when it was back."""
        self._socket.setblocking(False)
        times = []
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            while time.monotonic() < began + number / rate:
                pass
            sent_at = time.monotonic()
            self._socket.send(DATAGRAM)
            while time.monotonic() < sent_at + 1.0:
                with suppress(BlockingIOError):
                    self._socket.recv(65_535)
                    break
            times.append((sent_at, time.monotonic()))
        self._socket.settimeout(LOST)
        return times


# Costs of an exchange


def measure_exchanges(effort: Effort) -> Figures:
    """Measure new subscriptions and changes beside bare asyncio.

    With the server at one address, and at all of them without digest and with it.
    """
    with ExitStack() as stack:
        costs = {"bare": _bare_cost(stack)}
        for prefix, host, password in (
            ("one_", HOST, None),
            ("", EVERYWHERE, None),
            ("digest_", EVERYWHERE, PASSWORD),
        ):
            costs[f"{prefix}new"] = _subscribing(stack, host, password)
            costs[f"{prefix}change"] = _changing(stack, host, password)
        figures = take_turns(costs, effort)
        figures["disturbance"] = fmean(cost.disturbance for cost in costs.values())
        return figures


def _start(
    stack: ExitStack,
    *options: str,
    host: str = EVERYWHERE,
    password: str | None = None,
) -> tuple[Server, Phones]:
    if password is not None:
        options = (*options, f"--password={password}")
    server, port = headless(*options, host=host)
    stack.enter_context(server)
    return server, stack.enter_context(Phones(port, password=password))


def _start_bare(stack: ExitStack) -> tuple[Server, Echoes]:
    server, port = bare("echo")
    stack.enter_context(server)
    echoes = Echoes(port)
    stack.callback(echoes.close)
    return server, echoes


def _bare_cost(stack: ExitStack) -> Cost:
    server, echoes = _start_bare(stack)
    return Cost(server, echoes.closed)


def _subscribing(stack: ExitStack, host: str, password: str | None) -> Cost:
    """Return the cost of new phones at lines that are there."""
    server, phones = _start(stack, f"--lines={LINES}", host=host, password=password)
    numbers = count()
    return Cost(server, subscribing(phones, lambda: b"%d" % (next(numbers) % LINES)))


def subscribing(
    phones: Phones, user: Callable[[], bytes | None] = lambda: None
) -> Callable[[float], int]:
    """Return the load of new phones, by their user parts."""
    return lambda seconds: require_all(
        phones.closed(lambda: phones.subscribe(phones.new(user())), seconds=seconds)
    )


def _changing(stack: ExitStack, host: str, password: str | None) -> Cost:
    """Return the cost of changes, each of another line."""
    server, phones = _start(stack, host=host, password=password)
    next_phone = phones.pick(phones.fill(LINES), rest=REST)
    return _cost(server, phones, _calling(phones.press, next_phone))


def _cost(
    server: Server, phones: Phones, start: Callable[[], None], window: int = WINDOW
) -> Cost:
    """Return the cost of the exchanges that `start` starts."""
    return Cost(
        server,
        lambda seconds: require_all(
            phones.closed(start, seconds=seconds, window=window)
        ),
    )


def _calling(
    act: Callable[[Phone], None], next_phone: Callable[[], Phone]
) -> Callable[[], None]:
    """Return what has one phone after the other do something."""
    return lambda: act(next_phone())


def require_all(load: Load) -> int:
    """Return the number of exchanges. Raises RuntimeError where some failed."""
    if load.failures:
        raise RuntimeError(
            f"{load.failures} exchanges failed beside {load.exchanges} that did not"
        )
    return load.exchanges


# Latency


def measure_latency(effort: Effort) -> Figures:
    """Measure how long a phone's lamp takes at RATE, and what HIGH_RATE repeats.

    Beside the skeleton, and the round trip of bare asyncio.
    """
    with ExitStack() as stack:
        server, echoes = _start_bare(stack)

        def echo(rate: float, seconds: float) -> list[float]:
            return [back - sent for sent, back in echoes.open(rate, seconds)]

        figures = _percentiles("bare_", _in_slices(server, effort.latency / 2, echo))
        server, port = bare("skeleton")
        stack.enter_context(server)
        phones = stack.enter_context(Phones(port))
        figures |= _pressing("skeleton_", server, phones, effort)
        server, phones = _start(stack)
        figures |= _pressing("", server, phones, effort)
        next_phone = phones.pick(phones.fill(DIALOGS), rest=REST)
        load = phones.open(
            lambda: phones.press(next_phone()), rate=HIGH_RATE, seconds=effort.busy
        )
        require_all(load)
        return figures | {"repeats": float(load.repeated + load.repeats)}


def _pressing(prefix: str, server: Server, phones: Phones, effort: Effort) -> Figures:
    """Return how long the lamps of a server's phones take."""
    next_phone = phones.pick(phones.fill(DIALOGS), rest=REST)

    def press(rate: float, seconds: float) -> list[float]:
        load = phones.open(
            lambda: phones.press(next_phone()), rate=rate, seconds=seconds
        )
        require_all(load)
        return load.latencies

    return _percentiles(prefix, _in_slices(server, effort.latency, press))


def _percentiles(prefix: str, times: list[float]) -> Figures:
    return {
        f"{prefix}p50": percentile(times, 0.5),
        f"{prefix}p99": percentile(times, 0.99),
    }


def _in_slices(
    server: Server, seconds: float, load: Callable[[float, float], list[float]]
) -> list[float]:
    """Return the times of a load at RATE, measured half a second at a time.

    Whoever else runs for a moment makes the one in a hundred that p99 is about.
    """
    times: list[float] = []
    for _ in range(round(seconds / LATENCY_SLICE)):
        times += least_disturbed(server, lambda: load(RATE, LATENCY_SLICE)).result
    return times


# Fan-out


def measure_fan_out(effort: Effort) -> Figures:
    """Measure one change to WATCHERS phones of a line."""
    with ExitStack() as stack:
        echo = _bare_cost(stack)
        server, phones = _start(stack, "--report")
        watchers = phones.fill(WATCHERS, lambda _: b"fan")
        phones.listen(0.5)
        held, lasts = [], []

        def press(_: float) -> int:
            server.report()
            lasts.append(fan_out(phones, watchers, lambda: phones.press(watchers[0])))
            held.append(server.report()["held"])
            return len(watchers)

        fan = Cost(server, press)
        lasts.clear()
        held.clear()
        for _ in range(effort.fans):
            echo.run(effort.slice)
            fan.run(effort.slice)
    return {
        "fan_bare": echo.each,
        "fan": fan.each,
        "fan_last": percentile(lasts, 0.5),
        "fan_held": percentile(held, 0.5),
    }


def fan_out(
    phones: Phones, watchers: list[Phone], trigger: Callable[[], None]
) -> float:
    """Return the seconds until the last watcher was told. Raises RuntimeError.

    The line has its rest then.
    """
    began = time.monotonic()
    trigger()
    phones.listen(5.0, lambda: min(phone.told_at for phone in watchers) > began)
    last = max(phone.told_at for phone in watchers) - began
    missing = sum(phone.told_at < began for phone in watchers)
    if missing:
        raise RuntimeError(f"{missing} watchers were not told")
    phones.listen(REST)
    return last


# Many phones


class Crowd:
    """MANY phones whose subscriptions live on while other things are measured."""

    def __init__(self, stack: ExitStack, password: str | None) -> None:
        """Have them subscribe, with digest where there is a password."""
        self._server, self._phones = _start(stack, password=password)
        self._phones.fill(200)
        time.sleep(0.2)
        before = self._server.memory()
        self._all = self._phones.fill(MANY)
        self._before = before
        self._quiet_at = time.monotonic() + TRANSACTIONS

    def memory(self) -> float:
        """Return the octets that each takes, once the transactions have ended."""
        time.sleep(max(0.0, self._quiet_at - time.monotonic()))
        return (self._server.memory() - self._before) / MANY

    def refresh(self, effort: Effort) -> float:
        """Return the share of a core that they take to refresh once a minute."""
        next_phone = self._phones.pick(self._all)
        before, began = self._server.cpu(), time.monotonic()
        require_all(
            self._phones.open(
                lambda: self._phones.subscribe(next_phone()),
                rate=REFRESH_RATE,
                seconds=effort.refresh,
            )
        )
        return (self._server.cpu() - before) / (time.monotonic() - began)


class Crowds:
    """A crowd without digest, and one with it."""

    def __init__(self, stack: ExitStack) -> None:
        """Have them subscribe."""
        self._plain = Crowd(stack, None)
        self._digest = Crowd(stack, PASSWORD)

    def measure(self, effort: Effort) -> Figures:
        """Measure memory and refreshes, beside bare asyncio."""
        return {
            # With digest, because a line keeps the hashes of its password.
            "memory": self._digest.memory(),
            "refresh": self._plain.refresh(effort),
            "digest_refresh": self._digest.refresh(effort),
        } | _bare_share(effort)


def _bare_share(effort: Effort) -> Figures:
    """Measure bare asyncio with as many datagrams as refreshes have."""
    with ExitStack() as stack:
        server, echoes = _start_bare(stack)
        before, began = server.cpu(), time.monotonic()
        echoes.open(2 * REFRESH_RATE, effort.refresh / 2)
        return {"refresh_bare": (server.cpu() - before) / (time.monotonic() - began)}


def measure_start() -> Figures:
    """Measure a start with MANY remembered phones, each of them there."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        memory = f"--memory={Path(directory) / 'memory.json'}"
        server, port = headless(memory)
        phones = stack.enter_context(Phones(port))
        with server:
            everybody = phones.fill(MANY)
            phones.listen(0.3)
        restarted, _ = headless(memory, "--report", port=port)
        with restarted:
            began = time.monotonic()
            phones.listen(60.0, lambda: _all_told(everybody, began))
            told = max(phone.told_at for phone in everybody) - began
            if not _all_told(everybody, began):
                raise RuntimeError("Not all remembered phones were told")
            report = restarted.report()
    return {
        "start": report["started"],
        "start_told": told,
        "start_held": report["held"],
    }


def _all_told(phones: list[Phone], since: float) -> bool:
    return all(phone.told_at >= since for phone in phones)


def measure_flatness(effort: Effort) -> Figures:
    """Measure changes by the lines that there are, refreshes by those who watch a line.

    A change is to another number each time, because few lines have no rest.
    """
    with ExitStack() as stack:
        costs = {}
        for name, lines in (("few", FEW), ("many", FULL_HOUSE)):
            server, phones = _start(stack)
            next_phone = phones.pick(phones.fill(lines))
            costs[f"flat_{name}"] = _cost(
                server, phones, _calling(phones.forward, next_phone), FEW
            )
        for name, watchers in (("alone", 1), ("watched", NEIGHBOURS)):
            server, phones = _start(stack)
            users = [b"%d" % (index // watchers) for index in range(DIALOGS)]
            next_phone = phones.pick(phones.fill(DIALOGS, users.__getitem__))
            costs[f"flat_{name}"] = _cost(
                server, phones, _calling(phones.subscribe, next_phone)
            )
        return take_turns(costs, effort)
