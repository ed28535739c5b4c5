"""Measurements of the lower two floors, beside bare asyncio.

What is compared runs side by side: each server gets a slice of time in turn, so that
whatever else the machine does meets all of them. Figures are in seconds and octets.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
import socket
from statistics import fmean
import tempfile
import time
from typing import Final, NamedTuple

from .phones import Load, Phone, Phones, percentile
from .processes import HOST, Server, echo, headless, machine_cpu

type Figures = dict[str, float]

# Octets of a datagram to bare asyncio: between a SUBSCRIBE and a NOTIFY.
DATAGRAM: Final = bytes(600)
WINDOW: Final = 24

# Seconds after which one that did not come back is lost.
LOST: Final = 4.0

PASSWORD: Final = "benchmark"

# Dialogs in which changes are made.
DIALOGS: Final = 1000
RATE: Final = 100.0
# Seconds of a slice at that rate.
LATENCY_SLICE: Final = 0.5
WATCHERS: Final = 1000
MANY: Final = 10_000
# Refreshes a second where each of them refreshes once a minute.
REFRESH_RATE: Final = MANY / 60
FEW: Final = 10

# Seconds after which the last transaction has ended (timer J) and was swept.
TRANSACTIONS: Final = 34.0


class Effort(NamedTuple):
    """How long to measure: seconds of each kind of load, and how often in a turn."""

    slice: float
    slices: int
    latency: float
    refresh: float
    high_rate: float
    fans: int


SHORT: Final = Effort(0.25, 3, 2.0, 3.0, 5.0, 2)
FULL: Final = Effort(0.25, 12, 10.0, 20.0, 60.0, 5)

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
    return {name: cost.each for name, cost in costs.items()} | {
        "disturbance": fmean(cost.disturbance for cost in costs.values())
    }


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

    def closed(self, seconds: float) -> int:
        """Keep a number of datagrams under way; return how many came back."""
        send, receive = self._socket.send, self._socket.recv
        for _ in range(WINDOW):
            send(DATAGRAM)
        count = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            receive(65_535)
            send(DATAGRAM)
            count += 1
        for _ in range(WINDOW):
            receive(65_535)
        return count + WINDOW

    def open(self, rate: float, seconds: float) -> list[float]:
        """Send at a rate per second; return how long each was away."""
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
            times.append(time.monotonic() - sent_at)
        self._socket.settimeout(LOST)
        return times


# Costs of an exchange


def measure_exchanges(effort: Effort) -> Figures:
    """Measure new subscriptions and changes, digest on and off, and bare asyncio."""
    with ExitStack() as stack:
        costs = {
            "bare": _bare_cost(stack, "protocol"),
            "bare_reader": _bare_cost(stack, "reader"),
        }
        for prefix, password in (("", None), ("digest_", PASSWORD)):
            server, phones = _start(stack, password)
            costs[f"{prefix}new"] = Cost(server, subscribing(phones))
            costs[f"{prefix}change"] = _changing(stack, password, DIALOGS, WINDOW)
        return take_turns(costs, effort)


def _start(stack: ExitStack, password: str | None = None) -> tuple[Server, Phones]:
    options = () if password is None else (f"--password={password}",)
    server, port = headless(*options)
    stack.enter_context(server)
    return server, stack.enter_context(Phones(port, password=password))


def _bare_cost(stack: ExitStack, way: str) -> Cost:
    server, port = echo(way)
    stack.enter_context(server)
    echoes = Echoes(port)
    stack.callback(echoes.close)
    return Cost(server, echoes.closed)


def subscribing(phones: Phones) -> Callable[[float], int]:
    """Return the load of new phones."""
    return lambda seconds: require_all(
        phones.closed(lambda: phones.subscribe(phones.new()), seconds=seconds)
    )


def _changing(
    stack: ExitStack, password: str | None, dialogs: int, window: int
) -> Cost:
    """Return the cost of changes in some dialogs, each of its own line."""
    server, phones = _start(stack, password)
    next_phone = phones.pick(phones.fill(dialogs))
    return Cost(
        server,
        lambda seconds: require_all(
            phones.closed(
                lambda: phones.press(next_phone()), seconds=seconds, window=window
            )
        ),
    )


def require_all(load: Load) -> int:
    """Return the number of exchanges. Raises RuntimeError where some failed."""
    if load.failures:
        raise RuntimeError(
            f"{load.failures} exchanges failed beside {load.exchanges} that did not"
        )
    return load.exchanges


# Latency


def measure_latency(effort: Effort) -> Figures:
    """Measure how long a phone's lamp takes at RATE, and bare asyncio's round trip."""
    figures: Figures = {}
    with ExitStack() as stack:
        server, port = echo("protocol")
        stack.enter_context(server)
        echoes = Echoes(port)
        stack.callback(echoes.close)
        away = _in_slices(server, effort.latency / 2, partial(echoes.open, RATE))
        figures["bare_p50"] = percentile(away, 0.5)
        figures["bare_p99"] = percentile(away, 0.99)
        server, phones = _start(stack)
        next_phone = phones.pick(phones.fill(DIALOGS))

        def press(seconds: float) -> list[float]:
            load = phones.open(
                lambda: phones.press(next_phone()), rate=RATE, seconds=seconds
            )
            require_all(load)
            return load.latencies

        latencies = _in_slices(server, effort.latency, press)
        figures["p50"] = percentile(latencies, 0.5)
        figures["p99"] = percentile(latencies, 0.99)
    return figures


def _in_slices(
    server: Server, seconds: float, load: Callable[[float], list[float]]
) -> list[float]:
    """Return the times of a load, measured half a second at a time.

    Whoever else runs for a moment makes the one in a hundred that p99 is about.
    """
    times: list[float] = []
    for _ in range(round(seconds / LATENCY_SLICE)):
        times += least_disturbed(server, lambda: load(LATENCY_SLICE)).result
    return times


# Fan-out


def measure_fan_out(effort: Effort) -> Figures:
    """Measure one change to WATCHERS phones of a line."""
    with ExitStack() as stack:
        bare = _bare_cost(stack, "protocol")
        server, port = headless("--report")
        stack.enter_context(server)
        phones = stack.enter_context(Phones(port))
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
            bare.run(effort.slice)
            fan.run(effort.slice)
    return {
        "fan_bare": bare.each,
        "fan": fan.each,
        "fan_last": percentile(lasts, 0.5),
        "fan_held": percentile(held, 0.5),
    }


def fan_out(
    phones: Phones, watchers: list[Phone], trigger: Callable[[], None]
) -> float:
    """Return the seconds until the last watcher was told. Raises RuntimeError."""
    began = time.monotonic()
    trigger()
    phones.listen(5.0, lambda: min(phone.told_at for phone in watchers) > began)
    last = max(phone.told_at for phone in watchers) - began
    missing = sum(phone.told_at < began for phone in watchers)
    if missing:
        raise RuntimeError(f"{missing} watchers were not told")
    phones.listen(0.2)
    return last


# Many phones


class Crowd:
    """MANY phones whose subscriptions live on while other things are measured."""

    def __init__(self, stack: ExitStack, password: str | None) -> None:
        """Have them subscribe, with digest where there is a password."""
        self._server, self._phones = _start(stack, password)
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
        server, port = echo("protocol")
        stack.enter_context(server)
        echoes = Echoes(port)
        stack.callback(echoes.close)
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
    """Measure changes with FEW lines and with MANY."""
    with ExitStack() as stack:
        costs = {
            "flat_few": _changing(stack, None, FEW, FEW),
            "flat_many": _changing(stack, None, MANY, FEW),
        }
        return take_turns(costs, effort)
