"""The calls of a line as others report them: who rings, who talks, and how it ended.

Theory of operation
-------------------
A source (SIP that is passed, or a phone that calls a URL) reports what happens to a
*leg*: what one phone has of a call, named by the phone and the call's id. Reports may
come late, twice, out of order or never.

- A leg that comes within `FORK_WINDOW` of another phone's, from the same caller, is of
  the same call: the line has several phones. The call is over when its last leg is, or
  the one that has answered.
- A report about a leg that is over changes nothing for `OVER_TIME`. One about a leg that
  is not known and that does not begin one changes nothing, except that a call which is
  answered is there.
- A call that is treated (`sip.proxy.treated`) is over for all its phones at once.
- The line is what its most urgent call is: ringing before calling before in call before
  on hold; without calls it is idle.
- A call that nobody reports the end of is forgotten: after `RINGING_TIME` while it
  rings, after its session time or `TALKING_TIME` once it is answered.

Nothing here outlives a restart: a call of before is not seen.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self

from ..sip import Clock, TimerHandle
from .display import printable
from .publisher import Publisher

# Seconds after which a call that rings is forgotten, from the last sign that it does: a
# little more than Timer C of a proxy (RFC 3261 16.6, 11).
RINGING_TIME: Final = 190.0

# Seconds after which an answered call is forgotten whose end nobody reports.
TALKING_TIME: Final = 12 * 3600.0

# Seconds between the legs of one call to several phones.
FORK_WINDOW: Final = 2.0

# Seconds for which a leg that is over stays so: INVITEs and their answers are sent
# again for 64*T1 (RFC 3261 17.1.1.2).
OVER_TIME: Final = 32.0

# Calls of a line, phones that ring for one, and legs that are remembered as over.
MAX_CALLS: Final = 16
MAX_LEGS: Final = 16
MAX_OVER: Final = 64

# Characters of a number or a name.
MAX_PARTY: Final = 128


class CallState(StrEnum):
    """What a line is doing; the most urgent first."""

    RINGING = "ringing"
    CALLING = "calling"
    IN_CALL = "in_call"
    ON_HOLD = "on_hold"
    IDLE = "idle"


class CallEventType(StrEnum):
    """What happens to a call."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"
    ANSWERED = "answered"
    MISSED = "missed"
    REJECTED = "rejected"
    FORWARDED = "forwarded"
    ENDED = "ended"


class CallReason(StrEnum):
    """Why a call is over, or went elsewhere."""

    HUNG_UP = "hung_up"
    CANCELLED = "cancelled"
    NO_ANSWER = "no_answer"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    BUSY = "busy"
    DECLINED = "declined"
    DO_NOT_DISTURB = "do_not_disturb"
    ALWAYS = "always"
    NOT_REACHABLE = "not_reachable"
    BY_PHONE = "by_phone"
    FAILED = "failed"
    UNKNOWN = "unknown"


# What a phone says that does not want a call that it was offered.
_REJECTIONS: Final = frozenset(
    {CallReason.BUSY, CallReason.DECLINED, CallReason.DO_NOT_DISTURB}
)


class Leg(NamedTuple):
    """What one phone has of a call; an empty call id stands for its only one."""

    phone: str
    call: str


class Party(NamedTuple):
    """The other side of a call; empty is what is not known."""

    number: str = ""
    name: str = ""

    @classmethod
    def shown(cls, number: str, name: str) -> Self:
        """Return what can be shown of a number and a name from outside."""
        number = printable(number, MAX_PARTY)
        name = printable(name, MAX_PARTY)
        return cls(number, "" if name == number else name)


NOBODY: Final = Party()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """Something has happened to a call of a line.

    `reason` is there once the call is over, `duration` (seconds) once it was answered
    and its end was reported.
    """

    type: CallEventType
    party: Party
    reason: CallReason | None = None
    duration: int | None = None


class _Call:
    """A call that is not over."""

    __slots__ = (
        "answered_at",
        "began_at",
        "ending",
        "ends_at",
        "held",
        "incoming",
        "legs",
        "party",
        "reason",
        "until",
    )

    def __init__(self, leg: Leg, party: Party, *, incoming: bool, now: float) -> None:
        self.incoming = incoming
        self.party = party
        self.legs = {leg}
        # Legs that are to end soon, and when the last of them is over in any case.
        self.ending: set[Leg] = set()
        self.ends_at = now
        self.began_at = now
        self.answered_at: float | None = None
        self.held = False
        self.until = now + RINGING_TIME
        # Of the first leg that ended without a refusal: somebody did miss the call.
        self.reason: CallReason | None = None

    @property
    def state(self) -> CallState:
        if self.answered_at is not None:
            return CallState.ON_HOLD if self.held else CallState.IN_CALL
        return CallState.RINGING if self.incoming else CallState.CALLING


class SeenCalls(Publisher[[CallEvent | None]]):
    """The calls of one line.

    Its listeners are told each event, and None where only the state has changed.
    """

    def __init__(self, clock: Clock) -> None:
        """Start without calls."""
        super().__init__()
        self._clock = clock
        # The newest last.
        self._calls: list[_Call] = []
        # Until when the reports about a leg are ignored.
        self._over: dict[Leg, float] = {}
        # Who called when it was treated last, and at which phones: it is told once.
        self._treated: tuple[str, float, set[str]] = "", -FORK_WINDOW, set()
        self._timer: TimerHandle | None = None

    # What is to be seen

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    @property
    def state(self) -> CallState:
        """What the line is doing."""
        shown = self._shown
        return CallState.IDLE if shown is None else shown.state

    @property
    def party(self) -> Party:
        """The other side of the call that the state is of, the newest of these."""
        shown = self._shown
        return NOBODY if shown is None else shown.party

    @property
    def _shown(self) -> _Call | None:
        for state in CallState:
            for call in reversed(self._calls):
                if call.state is state:
                    return call
        return None

    # What a source reports

    def incoming(self, leg: Leg, party: Party = NOBODY) -> None:
        """Note that a phone rings, or still does."""
        self._begin(leg, party, incoming=True)

    def outgoing(self, leg: Leg, party: Party = NOBODY) -> None:
        """Note that a phone calls somebody, or still does."""
        self._begin(leg, party, incoming=False)

    def answered(
        self, leg: Leg, party: Party = NOBODY, *, lasts: float | None = None
    ) -> None:
        """Note that a call is answered or goes on, at most `lasts` seconds unrefreshed."""
        if self._is_over(leg):
            return
        now = self._clock.monotonic()
        call = self._find(leg)
        if call is None:
            # That it began was not reported.
            call = self._add(leg, party, incoming=True)
        is_new = call.answered_at is None
        if is_new:
            call.answered_at = now
            for other in call.legs - {leg}:
                self._note_over(other)
            call.legs = {leg}
            call.reason = None
        if party.number and not call.party.number:
            call.party = party
        call.until = now + (lasts or TALKING_TIME)
        self._arm()
        if is_new:
            self.publish(CallEvent(type=CallEventType.ANSWERED, party=call.party))

    def held(self, leg: Leg) -> None:
        """Note that a phone puts its call on hold."""
        self._hold(leg, held=True)

    def resumed(self, leg: Leg) -> None:
        """Note that a phone goes on with its call."""
        self._hold(leg, held=False)

    def ended(self, leg: Leg, reason: CallReason) -> None:
        """Note that a phone has nothing of a call any more."""
        call = self._find(leg)
        self._note_over(leg)
        if call is None:
            return
        if reason not in _REJECTIONS:
            call.reason = call.reason or reason
        self._leave(call, leg, call.reason or reason)

    def lost(self, leg: Leg) -> None:
        """Note that a phone is gone while it rings; it may come back and take its call."""
        call = self._find(leg)
        if call is not None and call.answered_at is None:
            self._leave(call, leg, call.reason or CallReason.NOT_REACHABLE)

    def missed(self, leg: Leg, party: Party) -> None:
        """Note a call that nobody has answered, also where its ringing was not told."""
        if leg.call or self._find(leg) is not None:
            self._refuse(leg, party, CallEventType.MISSED, CallReason.NO_ANSWER)

    def rejected(self, leg: Leg, party: Party, reason: CallReason) -> None:
        """Note a call that is rejected, also one that no phone ever rang for."""
        self._refuse(leg, party, CallEventType.REJECTED, reason)

    def forwarded(self, leg: Leg, party: Party, reason: CallReason) -> None:
        """Note a call that goes elsewhere, also one that no phone ever rang for."""
        self._refuse(leg, party, CallEventType.FORWARDED, reason)

    def treated(
        self, leg: Leg, party: Party, kind: CallEventType, reason: CallReason
    ) -> None:
        """Note a call that is rejected or forwarded for all phones of the line.

        Each of them may be reported, and may have rung before.
        """
        self._note_over(leg)
        call = self._find(leg) or self._fork_of(leg, party)
        now, (number, before, phones) = self._clock.monotonic(), self._treated
        is_told = (
            number == party.number
            and now - before <= FORK_WINDOW
            and leg.phone not in phones
        )
        phones = {*phones, leg.phone} if is_told else {leg.phone}
        self._treated = party.number, now, phones
        if call is not None:
            self._end(call, reason, kind)
        elif not is_told:
            self.publish(CallEvent(type=kind, party=party, reason=reason))

    def ending(self, leg: Leg, reason: CallReason, seconds: float) -> None:
        """Expect the end of a leg that rings, whether it is reported or not."""
        call = self._find(leg)
        if call is not None and call.answered_at is None:
            call.reason = call.reason or reason
            call.ending.add(leg)
            call.ends_at = self._clock.monotonic() + seconds
            self._expect_end(call)

    def phone_idle(self, phone: str) -> None:
        """Note that a phone has no calls: it says so, starts anew, or is gone."""
        for call in list(self._calls):
            is_answered = call.answered_at is not None
            reason = CallReason.HUNG_UP if is_answered else CallReason.CANCELLED
            for leg in [leg for leg in call.legs if leg.phone == phone]:
                self.ended(leg, reason)

    def clear(self) -> None:
        """Forget all calls, without an event: nobody reports them any more."""
        had_calls = bool(self._calls)
        self._calls.clear()
        self._over.clear()
        self._arm()
        if had_calls:
            self.publish(None)

    # How it is kept

    def _find(self, leg: Leg) -> _Call | None:
        for call in self._calls:
            if leg in call.legs:
                return call
        return None

    def _begin(self, leg: Leg, party: Party, *, incoming: bool) -> None:
        if self._is_over(leg):
            return
        call = self._find(leg)
        if call is not None:
            if call.answered_at is None:
                call.until = self._clock.monotonic() + RINGING_TIME
                self._expect_end(call)
                self._arm()
            return
        if incoming and (call := self._fork_of(leg, party)) is not None:
            call.legs.add(leg)
            return
        self._add(leg, party, incoming=incoming)
        kind = CallEventType.INCOMING if incoming else CallEventType.OUTGOING
        self.publish(CallEvent(type=kind, party=party))

    def _fork_of(self, leg: Leg, party: Party) -> _Call | None:
        """Return the call that another phone rings for already."""
        since = self._clock.monotonic() - FORK_WINDOW
        for call in self._calls:
            if (
                call.state is CallState.RINGING
                and call.party.number == party.number
                and call.began_at >= since
                and len(call.legs) < MAX_LEGS
                and all(other.phone != leg.phone for other in call.legs)
            ):
                return call
        return None

    def _add(self, leg: Leg, party: Party, *, incoming: bool) -> _Call:
        if len(self._calls) >= MAX_CALLS:
            self._end(self._calls[0], CallReason.UNKNOWN)
        call = _Call(leg, party, incoming=incoming, now=self._clock.monotonic())
        self._calls.append(call)
        self._arm()
        return call

    def _leave(
        self,
        call: _Call,
        leg: Leg,
        reason: CallReason,
        kind: CallEventType | None = None,
    ) -> None:
        """Take a leg from a call, which is over with its last one."""
        call.legs.discard(leg)
        if not call.legs:
            self._end(call, reason, kind)
        else:
            self._expect_end(call)

    def _expect_end(self, call: _Call) -> None:
        """Forget a call soon where all of its legs are to end."""
        if call.legs <= call.ending:
            call.until = call.ends_at
            self._arm()

    def _hold(self, leg: Leg, *, held: bool) -> None:
        call = self._find(leg)
        if call is None or call.answered_at is None or call.held is held:
            return
        call.held = held
        self.publish(None)

    def _refuse(
        self, leg: Leg, party: Party, kind: CallEventType, reason: CallReason
    ) -> None:
        if self._is_over(leg):
            return
        call = self._find(leg)
        self._note_over(leg)
        if call is None:
            self.publish(CallEvent(type=kind, party=party, reason=reason))
            return
        self._leave(call, leg, reason, kind)

    def _end(
        self, call: _Call, reason: CallReason, kind: CallEventType | None = None
    ) -> None:
        self._calls.remove(call)
        for leg in call.legs:
            self._note_over(leg)
        self._arm()
        duration = None
        if call.answered_at is not None and reason is not CallReason.UNKNOWN:
            duration = round(self._clock.monotonic() - call.answered_at)
        self.publish(
            CallEvent(
                type=kind or _event_at_end(call, reason),
                party=call.party,
                reason=reason,
                duration=duration,
            )
        )

    # Legs that are over

    def _note_over(self, leg: Leg) -> None:
        if not leg.call:
            # The phone's next call is called the same.
            return
        self._over.pop(leg, None)
        if len(self._over) >= MAX_OVER:
            del self._over[next(iter(self._over))]
        self._over[leg] = self._clock.monotonic() + OVER_TIME

    def _is_over(self, leg: Leg) -> bool:
        until = self._over.get(leg)
        return until is not None and until > self._clock.monotonic()

    # Calls that nobody reports the end of

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._calls:
            due = min(call.until for call in self._calls)
            self._timer = self._clock.call_at(due, self._forget)

    def _forget(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        for call in [call for call in self._calls if call.until <= now]:
            self._end(call, call.reason or CallReason.UNKNOWN)


def _event_at_end(call: _Call, reason: CallReason) -> CallEventType:
    if (
        call.answered_at is not None
        or not call.incoming
        or reason is CallReason.ANSWERED_ELSEWHERE
    ):
        return CallEventType.ENDED
    if reason in _REJECTIONS:
        return CallEventType.REJECTED
    return CallEventType.MISSED
