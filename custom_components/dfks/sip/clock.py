"""Time as the floors see it: given from outside, so that tests own it.

Timers run on the monotonic clock, which nobody sets; the wall clock is for what
outlives the process.
"""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
import time
from typing import Protocol, override


class TimerHandle(Protocol):
    """What `Clock.call_at` returns."""

    def cancel(self) -> None:
        """Keep the callback from being called."""


class Clock(Protocol):
    """The time, and a way to be called later."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def call_at(self, when: float, callback: Callable[[], None]) -> TimerHandle:
        """Call back at `when`, in seconds of `monotonic`."""


class LoopClock:
    """The clock of an asyncio event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the loop's time as monotonic time."""
        self.monotonic = loop.time
        self.time = time.time
        self.call_at = loop.call_at


class Timer(ABC):
    """One call to come; `cancel` forgets it.

    A thing of which there are thousands has a timer class of its own, or is a timer:
    a closure that says what to do takes several times the memory.
    """

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        """Make a timer that waits."""
        self.cancelled = False

    def cancel(self) -> None:
        """Keep the timer from running, and let go of what it is about."""
        self.cancelled = True

    @abstractmethod
    def run(self) -> None:
        """Do what is due."""


class _Call(Timer):
    """A timer that calls something."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        super().__init__()
        self._callback: Callable[[], None] | None = callback

    @override
    def cancel(self) -> None:
        self.cancelled = True
        self._callback = None

    @override
    def run(self) -> None:
        if self._callback is not None:
            self._callback()


class Timers:
    """Any number of timers on one timer of the clock.

    A SIP server starts a timer with every NOTIFY and almost never needs it: here a
    start is one push onto a heap and a cancellation one assignment.
    """

    def __init__(self, clock: Clock) -> None:
        """Use `clock`."""
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._armed_at: float | None = None
        self._handle: TimerHandle | None = None

    def at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at `when`, in seconds of the monotonic clock."""
        timer = _Call(callback)
        self.add(when, timer)
        return timer

    def add(self, when: float, timer: Timer) -> None:
        """Run a timer at `when`; it must not be waiting already."""
        self._count += 1
        heappush(self._heap, (when, self._count, timer))
        if self._armed_at is None or when < self._armed_at:
            self._arm(when)

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back in `delay` seconds."""
        return self.at(self._clock.monotonic() + delay, callback)

    def stop(self) -> None:
        """Forget all timers."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._armed_at = None
        self._heap.clear()

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_at = when
        self._handle = self._clock.call_at(when, self._run)

    def _run(self) -> None:
        self._handle = self._armed_at = None
        heap = self._heap
        now = self._clock.monotonic()
        try:
            while heap and heap[0][0] <= now:
                timer = heappop(heap)[2]
                if not timer.cancelled:
                    timer.run()
        finally:
            # The next timer must run even after a callback that raised.
            while heap and heap[0][2].cancelled:
                heappop(heap)
            if heap:
                self._arm(heap[0][0])
