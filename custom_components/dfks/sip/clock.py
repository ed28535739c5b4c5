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
    """One call to come; `Timers.cancel` forgets it.

    A thing of which there are thousands is its own timer: a closure that says what to
    do takes several times the memory.
    """

    __slots__ = ("due", "queue")

    # In seconds of the monotonic clock.
    due: float

    def __init__(self) -> None:
        """Make a timer that does not wait yet."""
        # Where it waits.
        self.queue: Queue | None = None

    @abstractmethod
    def run(self) -> None:
        """Do what is due."""


# Timers of one delay. A dict keeps the order in which they were started, and loses one
# from its middle at no cost.
type Queue = dict[Timer, None]


class _Call(Timer):
    """A timer that calls something."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        super().__init__()
        self._callback = callback

    @override
    def run(self) -> None:
        self._callback()


class Timers:
    """Any number of timers on one timer of the clock.

    A SIP server starts a timer with every NOTIFY and almost never needs it. Timers of
    one delay fall due in the order in which they were started, so each delay has a
    queue, and only the queues stand in a heap: to start or to cancel a timer is one
    step, however many there are.
    """

    def __init__(self, clock: Clock) -> None:
        """Use `clock`."""
        self._clock = clock
        self._queues: dict[float, Queue] = {}
        # When to look at a queue, a count, and its delay; one for each queue.
        self._looks: list[tuple[float, int, float]] = []
        self._count = 0
        self._armed_at: float | None = None
        self._handle: TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of timers that wait."""
        return sum(map(len, self._queues.values()))

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back in `delay` seconds."""
        timer = _Call(callback)
        self.start(delay, timer)
        return timer

    def start(self, delay: float, timer: Timer) -> None:
        """Run a timer in `delay` seconds; it must not be waiting."""
        timer.due = self._clock.monotonic() + delay
        queue = self._queues.get(delay)
        if queue is None:
            queue = self._queues[delay] = {}
            self._look_at(timer.due, delay)
            if self._armed_at is None or timer.due < self._armed_at:
                self._arm(timer.due)
        queue[timer] = None
        timer.queue = queue

    @staticmethod
    def cancel(timer: Timer) -> None:
        """Keep a timer from running, if it waits; it may be started again."""
        if timer.queue is not None:
            del timer.queue[timer]
            timer.queue = None

    def stop(self) -> None:
        """Forget all timers."""
        self._disarm()
        for queue in self._queues.values():
            for timer in queue:
                timer.queue = None
            queue.clear()
        self._queues.clear()
        self._looks.clear()

    def _look_at(self, when: float, delay: float) -> None:
        self._count += 1
        heappush(self._looks, (when, self._count, delay))

    def _arm(self, when: float) -> None:
        self._disarm()
        self._armed_at = when
        self._handle = self._clock.call_at(when, self._run)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._armed_at = None

    def _run(self) -> None:
        self._handle = self._armed_at = None
        now = self._clock.monotonic()
        try:
            while self._looks and self._looks[0][0] <= now:
                self._run_queue(heappop(self._looks)[2], now)
        finally:
            # The next timer must run even after a callback that raised.
            if self._looks:
                self._arm(self._looks[0][0])

    def _run_queue(self, delay: float, now: float) -> None:
        """Run what is due of a queue; see when to look at it again."""
        queue = self._queues[delay]
        due = []
        for timer in queue:
            if timer.due > now:
                break
            due.append(timer)
        try:
            for timer in due:
                # Those before it may have cancelled it, or started it again.
                if timer.queue is queue and timer.due <= now:
                    self.cancel(timer)
                    timer.run()
        finally:
            first = next(iter(queue), None)
            if first is not None:
                self._look_at(first.due, delay)
            elif self._queues.get(delay) is queue:
                # Else all were stopped meanwhile.
                del self._queues[delay]
