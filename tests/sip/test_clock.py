"""The timers of the floors: many of them on one of the clock."""

import gc
from typing import override
import weakref

import pytest

from custom_components.dfks.sip.clock import Timer, Timers
from tests.clock import ManualClock


class Note(Timer):
    """A timer that notes when it ran."""

    def __init__(self, clock: ManualClock) -> None:
        """Note the times of a clock."""
        super().__init__()
        self._clock = clock
        self.ran: list[float] = []

    @override
    def run(self) -> None:
        """Note the time."""
        self.ran.append(self._clock.monotonic())


def test_timers_run_in_order_and_not_when_cancelled(clock: ManualClock) -> None:
    """All of them on one timer of the clock."""
    timers = Timers(clock)
    calls: list[str] = []
    timers.after(2, lambda: calls.append("b"))
    timers.after(1, lambda: calls.append("a"))
    timers.cancel(timers.after(3, lambda: calls.append("c")))
    timers.after(2, lambda: calls.append("b2"))

    clock.advance(1)
    first = list(calls)
    clock.advance(5)

    assert first == ["a"]
    assert calls == ["a", "b", "b2"]


def test_a_timer_that_fails_does_not_stop_the_next(clock: ManualClock) -> None:
    """The error goes to the event loop, the others run."""
    timers = Timers(clock)
    calls: list[int] = []

    def fail() -> None:
        raise RuntimeError("injected")

    timers.after(1, fail)
    timers.after(1, lambda: calls.append(1))
    timers.after(2, lambda: calls.append(2))

    with pytest.raises(RuntimeError):
        clock.advance(1)
    clock.advance(2)

    assert calls == [1, 2]


def test_timers_that_are_stopped_never_run(clock: ManualClock) -> None:
    """Whatever was to come; what is started later does."""
    timers = Timers(clock)
    calls: list[int] = []
    timers.after(1, lambda: calls.append(1))

    timers.stop()
    timers.stop()
    timers.after(1, lambda: calls.append(2))
    clock.advance(5)

    assert calls == [2]


def test_timers_that_are_stopped_are_let_go_at_once(clock: ManualClock) -> None:
    """A server that is reloaded does not wait for the hour of its subscriptions."""
    timers = Timers(clock)
    timers.start(3600, Note(clock))
    gone = weakref.ref(timers)

    timers.stop()
    del timers
    gc.collect()

    assert gone() is None


def test_timers_of_many_delays_run_in_the_order_in_which_they_fall_due(
    clock: ManualClock,
) -> None:
    """Whenever each was started."""
    timers = Timers(clock)
    calls: list[int] = []
    due = {}
    for number in range(200):
        delay = (number * 37 % 11) / 4
        due[number] = clock.monotonic() + delay
        timers.after(delay, lambda number=number: calls.append(number))  # type: ignore[misc]
        clock.advance(0.125)
    clock.advance(5)

    assert calls == sorted(due, key=lambda number: due[number])


def test_a_timer_that_is_started_anew_runs_at_its_new_time_only(
    clock: ManualClock,
) -> None:
    """Be it the first of its queue, one of many, or the only one."""
    for others in ([], [3600, 3600], [60]):
        timers = Timers(clock)
        for delay in others:
            timers.start(delay, Note(clock))
        note = Note(clock)
        timers.start(3600, note)
        for delay in others:
            timers.start(delay, Note(clock))
        began = clock.monotonic()

        timers.cancel(note)
        timers.start(60, note)
        clock.advance(4000)

        assert note.ran == [began + 60]
        assert len(timers) == 0


def test_a_callback_may_start_and_cancel_timers(clock: ManualClock) -> None:
    """Of its own delay too, and such as are due at the same time."""
    timers = Timers(clock)
    calls: list[str] = []
    doomed: list[Timer] = []

    def first() -> None:
        calls.append("first")
        timers.cancel(doomed[0])
        timers.after(2, lambda: calls.append("again"))

    timers.after(2, first)
    doomed.append(timers.after(2, lambda: calls.append("doomed")))
    timers.cancel(timers.after(2, lambda: calls.append("never")))
    clock.advance(1.5)
    timers.after(2, lambda: calls.append("later"))
    clock.advance(10)

    assert calls == ["first", "later", "again"]


def test_a_callback_may_put_off_what_is_due_at_the_same_time(
    clock: ManualClock,
) -> None:
    """By its own delay, or by another one."""
    for delay in (2, 3):
        timers = Timers(clock)
        began = clock.monotonic()
        note = Note(clock)

        def put_off(
            timers: Timers = timers, note: Note = note, delay: int = delay
        ) -> None:
            timers.cancel(note)
            timers.start(delay, note)

        timers.after(2, put_off)
        timers.start(2, note)
        clock.advance(10)

        assert note.ran == [began + 2 + delay]


def test_timers_may_be_stopped_from_a_callback(clock: ManualClock) -> None:
    """Those that are due at the same time do not run any more; later ones may."""
    timers = Timers(clock)
    calls: list[str] = []
    timers.after(1, timers.stop)
    timers.after(1, lambda: calls.append("same"))
    timers.after(2, lambda: calls.append("later"))
    clock.advance(1)

    timers.after(1, lambda: calls.append("anew"))
    clock.advance(5)

    assert calls == ["anew"]


def test_a_callback_may_start_a_timer_after_it_has_stopped_all(
    clock: ManualClock,
) -> None:
    """Of its own delay too."""
    timers = Timers(clock)
    calls: list[str] = []

    def stop() -> None:
        timers.stop()
        timers.after(1, lambda: calls.append("anew"))

    timers.after(1, stop)
    timers.after(1, lambda: calls.append("same"))
    clock.advance(5)

    assert calls == ["anew"]
    assert len(timers) == 0


def test_a_timer_that_was_cancelled_is_let_go_at_once(clock: ManualClock) -> None:
    """An hour is long; the others run all the same, in their order."""
    timers = Timers(clock)
    ran: list[int] = []
    gone = []
    for number in range(100):
        timers.after(3600, lambda number=number: ran.append(number))  # type: ignore[misc]
        note = Note(clock)
        timers.start(3600, note)
        timers.cancel(note)
        timers.cancel(note)
        gone.append(weakref.ref(note))
    del note
    gc.collect()

    assert [ref() for ref in gone] == [None] * 100
    assert len(timers) == 100
    clock.advance(3600)
    assert ran == list(range(100))
    assert len(timers) == 0
