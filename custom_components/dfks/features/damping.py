"""Damping of changes that go back and forth (rules F30 and F31).

Some phones send back whatever a NOTIFY changes on them, as if their user had pressed the
key. Two changes in quick succession then never come to rest: the NOTIFY of the first
makes a SUBSCRIBE that undoes the second, whose NOTIFY makes one that undoes the first.
So do two lines of one phone that has one state for both.

Two rules end it. A *reversal*, a feature that goes back to a state that it had a moment
ago, is told after a quiet time without changes; each further one doubles the quiet time.
An *echo*, a phone's wish for what a NOTIFY has just told it while the line has gone on to
another state, changes nothing, and the phone is told the state after the quiet time.
Everything else is told at once.
"""

from functools import partial
from math import inf
from typing import Final

from ..sip import Clock, Notifier, Subscription, TimerHandle
from .model import ChangeRequest, Feature, FeatureState, Line

# Seconds without a change after which a reversal is told, at first and at most.
QUIET: Final = 0.3
LONGEST_QUIET: Final = 4.8

# Seconds after the first change that was held in which it is told in any case, unless the
# quiet itself is longer.
LONGEST_HOLD: Final = 1.0

# A feature that goes back to a state which it left so many seconds ago makes a reversal.
# Where the quiet time has been doubled it is twice that, and the time in which a phone
# answers: what it sends back comes so much later.
WINDOW: Final = 1.0
ANSWER_TIME: Final = 0.5

# Seconds after a reversal in which the next one doubles the quiet.
CALM: Final = 5.0

# Earlier states that are remembered of a feature: forwardings may have any target.
MAX_STATES: Final = 16

# Seconds for which what was a moment ago is remembered at least: longer than any window.
MEMORY: Final = 2 * LONGEST_QUIET + ANSWER_TIME + 1.0


class _Recent:
    """The states that one feature of a line had lately, and who waits to be told."""

    __slots__ = (
        "everybody",
        "feature",
        "held_since",
        "line",
        "quiet",
        "release",
        "reversed_at",
        "states",
        "waiting",
    )

    def __init__(self, line: Line, feature: Feature) -> None:
        self.line = line
        self.feature = feature
        # When each of the last states was left.
        self.states: dict[FeatureState, float] = {}
        self.quiet = QUIET
        self.reversed_at = -inf
        self.held_since: float | None = None
        # The call that ends it.
        self.release: TimerHandle | None = None
        # Who is told when the quiet is over: some phones, or all of the line.
        self.waiting: tuple[Subscription, ...] = ()
        self.everybody = False

    @property
    def held(self) -> bool:
        """Whether phones are not told before there was a quiet time."""
        return self.held_since is not None

    @property
    def window(self) -> float:
        """Return the seconds within which going back to a state is a reversal."""
        return WINDOW if self.quiet == QUIET else 2 * self.quiet + ANSWER_TIME


class Damping:
    """Tells phones of changes, at once or after a quiet."""

    def __init__(self, clock: Clock, notifier: Notifier) -> None:
        """Tell by `notifier`."""
        self._clock = clock
        self._notifier = notifier
        # By line and feature. The older ones are those of before `_turn_at`, which is
        # when they are forgotten: nothing has to be done about each of them.
        self._recents: dict[tuple[Line, Feature], _Recent] = {}
        self._older: dict[tuple[Line, Feature], _Recent] = {}
        self._turn_at = 0.0

    def changed(
        self, line: Line, feature: Feature, old: FeatureState, new: FeatureState
    ) -> None:
        """Note a change that phones are to be told of; hold it if it is a reversal."""
        now = self._clock.monotonic()
        recent = self._find(line, feature, now)
        if now - recent.reversed_at > max(CALM, recent.window):
            recent.quiet = QUIET
        left = recent.states.get(new, -inf)
        self._remember(recent, old, now)
        if now - left < recent.window:
            if now - recent.reversed_at > CALM:
                recent.quiet = QUIET
            elif not recent.held:
                recent.quiet = min(2 * recent.quiet, LONGEST_QUIET)
            recent.reversed_at = now
        elif not recent.held:
            return
        self._hold(recent, now)

    def echoed(self, line: Line, feature: Feature, sender: Subscription) -> None:
        """Tell a phone that has sent an echo the state, after the quiet time."""
        now = self._clock.monotonic()
        recent = self._find(line, feature, now)
        self._hold(recent, now)
        if sender not in recent.waiting:
            recent.waiting += (sender,)

    def forget(self, line: Line) -> None:
        """Hold nothing of a line that is no longer served."""
        for feature in Feature:
            for recents in (self._recents, self._older):
                recent = recents.pop((line, feature), None)
                if recent is not None and recent.release is not None:
                    recent.release.cancel()

    def stop(self) -> None:
        """Hold nothing any more: all phones are told everything after a restart."""
        for line in {line for line, _ in (*self._recents, *self._older)}:
            self.forget(line)

    def tell(self, line: Line, feature: Feature) -> None:
        """Tell all phones of a line what a feature is."""
        recent = self._held(line, feature)
        if recent is None:
            self._notifier.notify_all(line, frozenset((feature,)))
        else:
            recent.everybody = True

    def tell_one(self, line: Line, feature: Feature, phone: Subscription) -> None:
        """Tell one phone of a line what a feature is."""
        recent = self._held(line, feature)
        if recent is None:
            self._notifier.notify(phone, frozenset((feature,)))
        elif phone not in recent.waiting:
            recent.waiting += (phone,)

    def is_echo(self, line: Line, change: ChangeRequest, sender: Subscription) -> bool:
        """Whether a phone asks for what a NOTIFY has just told it and is outdated."""
        feature = change.feature
        state = line.state(feature)
        if change.applied_to(state).of(feature) == state:
            return False
        return any(
            topic == feature
            and isinstance(value, FeatureState)
            and change.applied_to(value).of(feature) == value
            for topic, value in sender.just_told(self._clock.monotonic())
        )

    def _release(self, recent: _Recent) -> None:
        """Tell who waits: there was a quiet time."""
        topics = frozenset((recent.feature,))
        everybody, waiting = recent.everybody, recent.waiting
        recent.held_since, recent.everybody, recent.waiting = None, False, ()
        recent.release = None
        if everybody:
            self._notifier.notify_all(recent.line, topics)
            return
        for phone in waiting:
            self._notifier.notify(phone, topics)

    def _hold(self, recent: _Recent, now: float) -> None:
        """Tell nobody of a feature before there was a quiet time."""
        if recent.held_since is None:
            recent.held_since = now
            # Nor those who have still to be told of the change before.
            topic = frozenset((recent.feature,))
            recent.waiting = self._notifier.withhold(recent.line, topic)
        if recent.release is not None:
            recent.release.cancel()
        deadline = min(
            now + recent.quiet, recent.held_since + max(LONGEST_HOLD, recent.quiet)
        )
        recent.release = self._clock.call_at(deadline, partial(self._release, recent))

    @staticmethod
    def _remember(recent: _Recent, old: FeatureState, now: float) -> None:
        """Note when a state was left, as the newest of those that are remembered."""
        recent.states.pop(old, None)
        recent.states[old] = now
        if len(recent.states) > MAX_STATES:
            del recent.states[next(iter(recent.states))]

    def _held(self, line: Line, feature: Feature) -> _Recent | None:
        """Return what is held of a feature, None where it may be told at once."""
        key = line, feature
        recent = self._recents.get(key) or self._older.get(key)
        return recent if recent is not None and recent.held else None

    def _find(self, line: Line, feature: Feature, now: float) -> _Recent:
        """Return what is remembered of a feature; forget what was long ago."""
        key = line, feature
        if now >= self._turn_at:
            self._older, self._recents = self._recents, {}
            self._turn_at = now + MEMORY
        recent = self._recents.get(key)
        if recent is None:
            recent = self._older.pop(key, None) or _Recent(line, feature)
            self._recents[key] = recent
        return recent
