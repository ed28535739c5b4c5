"""A clock that stands still until a test moves it."""

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil

# Seconds from one moment to the next. As a power of two it makes sums of moments exact:
# what starts now and takes 32 s has taken neither more nor less when it ends.
TICK = 2.0**-20


class ManualTimer:
    """A call to come; the test's end of a timer handle."""

    def __init__(self, callback: Callable[[], None]) -> None:
        """Keep what to call."""
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Keep the callback from being called."""
        self.callback = None


class ManualClock:
    """Time for the floors: `advance` moves it and runs what falls due on the way.

    It stands at whole ticks only; what lies between two is due at the later one.
    """

    def __init__(self) -> None:
        """Start at some point that is neither zero nor round."""
        self._now = 1_000.25
        self.wall_offset = 1_790_000_000.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._count = 0

    def monotonic(self) -> float:
        """Return the seconds that `advance` has counted."""
        return self._now

    def time(self) -> float:
        """Return seconds since the epoch; `wall_offset` steps the wall clock."""
        return self._now + self.wall_offset

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        """Call back when the clock has been moved to `when`."""
        timer = ManualTimer(callback)
        self._count += 1
        heappush(self._timers, (_next_tick(when), self._count, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move the time on and run, in order, what falls due."""
        end = _next_tick(self._now + seconds)
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heappop(self._timers)
            self._now = max(self._now, when)
            if timer.callback is not None:
                timer.callback()
        self._now = end


def _next_tick(moment: float) -> float:
    return ceil(moment / TICK) * TICK
