"""What is to become of a call to a line, by the state of its features.

`decide` is all there is to it: a function of what is set, of what is known of the call
and of how far it has come. In this order, the first that fits:

    emergency calls, and those for an hour after one    proceed
    CallForwardingAlways                                redirect, at once
    DoNotDisturb                                        redirect as busy, else reject
    CallForwardingBusy                                  redirect, when the phone is busy
    CallForwardingNoAnswer                              redirect, after the rings

What would lead back to the line, or on and on, is not redirected. Callers who always
ring are not stopped by the second and third: their call comes to the phone, and goes on
as any other where nobody takes it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
import logging
import re
from typing import Final, NamedTuple, Protocol

from ..sip import (
    NO_ANSWER,
    PROCEED,
    UNAVAILABLE,
    UNCONDITIONAL,
    USER_BUSY,
    CallPlan,
    Clock,
    IncomingCall,
    Redirect,
    Reject,
    TakePlan,
    Treatment,
    parse_uri,
    plain_host,
)
from .model import Feature, FeatureState, Line
from .targets import dialable

_LOGGER = logging.getLogger(__name__)

# Seconds after a call to an emergency number in which a line's calls are not treated
# (RFC 7090 2: the emergency centre may call back by any number).
EMERGENCY_SECONDS: Final = 3600.0

# Priority of calls from emergency centres (RFC 7090 3) and of urgent ones (RFC 3261
# 20.26).
_EMERGENCY_PRIORITIES: Final = ("psap-callback", "emergency")

# Forwardings of one call after which it is not forwarded once more.
MAX_DIVERSIONS: Final = 5

# Seconds in which a line forwards so many calls of one caller and no more. A PBX that
# names no forwarding lines brings a call that goes in a circle back at once.
LOOP_SECONDS: Final = 10.0

# Forwardings of a line that are remembered for that.
MAX_FORWARDED: Final = 64

# What a phone that is not disturbed answers: busy, or not there.
BUSY: Final = 486
NOT_THERE: Final = 480

# Seconds that a ring takes in most countries; 5 in some.
RING_SECONDS: Final = 6

# Rings of a forwarding without an answer, whatever its ring count says.
MIN_RINGS: Final = 1
MAX_RINGS: Final = 20

# How a phone calls the emergency services without a number (RFC 5031).
_EMERGENCY_SERVICE: Final = re.compile(r"service:sos(?:\.|$)", re.IGNORECASE)

# The numbers of emergency services in most countries.
EMERGENCY_NUMBERS: Final = ("112", "911", "999", "000", "110", "118", "119")


class Progress(StrEnum):
    """How far a call has come."""

    # Its phone has not heard of it.
    INCOMING = "incoming"
    # Its phone has answered that it is busy.
    BUSY = "busy"
    # It has rung as often as it may.
    NO_ANSWER = "no_answer"
    # Its phone is not there.
    UNREACHABLE = "unreachable"
    # It rings, and do not disturb has just been turned on.
    DISTURBING = "disturbing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How the calls of a line are treated.

    busy_status     what do not disturb answers: 486 or 480
    ring_seconds    how long one ring takes
    always_ring     callers whom do not disturb and forwarding always do not stop
    emergency       numbers after whose call nothing is treated for an hour
    reject_ringing  whether do not disturb ends a call that rings
    """

    busy_status: int = BUSY
    ring_seconds: int = RING_SECONDS
    always_ring: frozenset[str] = frozenset()
    emergency: frozenset[str] = frozenset(EMERGENCY_NUMBERS)
    reject_ringing: bool = False


class LineState(NamedTuple):
    """What is set of a line when a call comes."""

    do_not_disturb: FeatureState = FeatureState()
    always: FeatureState = FeatureState()
    busy: FeatureState = FeatureState()
    no_answer: FeatureState = FeatureState()

    @property
    def is_set(self) -> bool:
        """Whether anything is on."""
        return any(state.status for state in self)


class CallFacts(NamedTuple):
    """What is known of a call.

    is_emergency  an emergency centre calls, or the line has called one not long ago
    always_rings  the caller is one of those whom nothing stops
    may_redirect  whether a target may be called: not the line itself, no loop
    """

    is_emergency: bool
    always_rings: bool
    may_redirect: Callable[[str], bool]


def decide(
    state: LineState, options: CallOptions, call: CallFacts, progress: Progress
) -> Treatment:
    """Return what becomes of a call that has come as far as this."""

    def redirect(feature: FeatureState, reason: str) -> Treatment:
        if feature.status and call.may_redirect(feature.forward_to):
            return Redirect(feature.forward_to, reason)
        return PROCEED

    if call.is_emergency:
        return PROCEED
    if progress is Progress.BUSY:
        return redirect(state.busy, USER_BUSY)
    if progress is Progress.NO_ANSWER:
        return redirect(state.no_answer, NO_ANSWER)
    if progress is Progress.UNREACHABLE:
        return redirect(state.no_answer, UNAVAILABLE)
    if call.always_rings:
        return PROCEED
    if progress is Progress.DISTURBING:
        return Reject(options.busy_status) if options.reject_ringing else PROCEED
    treatment = redirect(state.always, UNCONDITIONAL)
    if treatment is PROCEED and state.do_not_disturb.status:
        treatment = redirect(state.busy, USER_BUSY)
        if treatment is PROCEED:
            return Reject(options.busy_status)
    return treatment


def plan_of(state: LineState, options: CallOptions, call: CallFacts) -> CallPlan | None:
    """Return what is decided about a call when it comes; None: it just passes."""
    plan = CallPlan(
        at_once=decide(state, options, call, Progress.INCOMING),
        busy=decide(state, options, call, Progress.BUSY),
        no_answer=decide(state, options, call, Progress.NO_ANSWER),
        ring_seconds=float(options.ring_seconds * rings(state.no_answer.ring_count)),
        unreachable=decide(state, options, call, Progress.UNREACHABLE),
        kept=decide(state, options, call, Progress.DISTURBING) is not PROCEED,
    )
    treatments = plan.at_once, plan.busy, plan.no_answer, plan.unreachable
    if not plan.kept and all(item is PROCEED for item in treatments):
        return None
    return plan


def rings(ring_count: int) -> int:
    """Return how often a phone rings before its call is forwarded."""
    return min(max(ring_count, MIN_RINGS), MAX_RINGS)


class CallAnswer(NamedTuple):
    """What somebody who was asked says about a call, whatever is set."""

    treatment: Treatment


# Called once, with None where the line's state is to decide.
type TakeAnswer = Callable[[CallAnswer | None], None]


class CallHook(Protocol):
    """Somebody who may decide about calls."""

    def ask(self, line: Line, call: IncomingCall, take: TakeAnswer) -> bool:
        """Ask about a call; False where nobody is there to be asked."""


class LineCalls:
    """Decides about the calls of one line; the policy of `TreatedCalls.treat`."""

    def __init__(
        self,
        line: Line,
        options: CallOptions,
        clock: Clock,
        hook: CallHook | None = None,
        emergency_at: float | None = None,
    ) -> None:
        """Decide by the state of `line`, or as `hook` says.

        `emergency_at` is when the line has called an emergency number, in seconds since
        the epoch; the wall clock may have been set since then.
        """
        self._line = line
        self.options = options
        self._clock = clock
        self._hook = hook
        self.emergency_at = emergency_at
        # Called when that has changed.
        self.changed: Callable[[], None] | None = None
        # Until when no call is treated, by the monotonic clock.
        self._emergency_until: float | None = None
        if emergency_at is not None:
            left = EMERGENCY_SECONDS - (clock.time() - emergency_at)
            self._emergency_until = clock.monotonic() + min(left, EMERGENCY_SECONDS)
        # When calls were forwarded, and whose.
        self._forwarded: deque[tuple[float, str]] = deque(maxlen=MAX_FORWARDED)

    @property
    def after_emergency(self) -> bool:
        """Whether the line has called an emergency number within the hour."""
        until = self._emergency_until
        return until is not None and self._clock.monotonic() < until

    def plan(self, call: IncomingCall) -> CallPlan | None:
        """Return what is to become of a call, None where it just passes."""
        state = self._state()
        if not state.is_set and not self.options.reject_ringing:
            return None
        return plan_of(state, self.options, self._facts(call))

    def ask(self, call: IncomingCall, take: TakePlan) -> bool:
        """Ask the hook about a call, but never about an emergency call."""
        if self._hook is None or self._is_emergency(call):
            return False

        def take_answer(answer: CallAnswer | None) -> None:
            plan = None
            try:
                if answer is not None:
                    plan = self._plan_of(answer, call)
            except Exception:
                _LOGGER.exception("Unexpected error about an answer; the state decides")
            take(plan)

        return self._hook.ask(self._line, call, take_answer)

    def dialled(self, number: str) -> None:
        """Hear of a call of the line's own phones."""
        if plain_number(number) in self.options.emergency or (
            _EMERGENCY_SERVICE.match(number)
        ):
            self.emergency_at = self._clock.time()
            self._emergency_until = self._clock.monotonic() + EMERGENCY_SECONDS
            if self.changed is not None:
                self.changed()

    def redirected(self, call: IncomingCall) -> None:
        """Hear that a call was forwarded."""
        now = self._clock.monotonic()
        self._forwarded.append((now, plain_number(call.caller)))

    def _plan_of(self, answer: CallAnswer, call: IncomingCall) -> CallPlan | None:
        treatment = answer.treatment
        if isinstance(treatment, Redirect) and not self._may_redirect(
            call, treatment.target
        ):
            return CallPlan()
        if isinstance(treatment, Reject):
            treatment = Reject(self.options.busy_status)
        return CallPlan(at_once=treatment)

    def _state(self) -> LineState:
        return LineState(
            *(
                self._line.state(feature)
                if feature in self._line.assigned
                else FeatureState()
                for feature in Feature
            )
        )

    def _is_emergency(self, call: IncomingCall) -> bool:
        return is_urgent(call) or self.after_emergency

    def _facts(self, call: IncomingCall) -> CallFacts:
        return CallFacts(
            is_emergency=self._is_emergency(call),
            always_rings=plain_number(call.caller) in self.options.always_ring,
            may_redirect=lambda target: self._may_redirect(call, target),
        )

    def _may_redirect(self, call: IncomingCall, target: str) -> bool:
        """Whether a call may go to a target: not back to the line, and to an end."""
        diverted = [plain_number(user) for user in call.diverted]
        line = plain_number(call.user)
        return (
            len(diverted) <= MAX_DIVERSIONS
            and line not in diverted
            and user_of_target(target, call.domain) != line
            and not self._goes_round(plain_number(call.caller))
        )

    def _goes_round(self, caller: str) -> bool:
        """Whether a caller's call was forwarded again and again just now."""
        since = self._clock.monotonic() - LOOP_SECONDS
        times = sum(
            moment > since and other == caller for moment, other in self._forwarded
        )
        return times >= MAX_DIVERSIONS


def is_urgent(call: IncomingCall) -> bool:
    """Whether a call says that it is one that must come through."""
    return call.priority in _EMERGENCY_PRIORITIES


def user_of_target(target: str, domain: str) -> str | None:
    """Return the user at a domain that a target names, None for one elsewhere."""
    try:
        uri = parse_uri(target)
    except ValueError:
        return plain_number(target)
    if uri.is_sip:
        return plain_number(uri.user) if plain_host(uri.host) == domain else None
    if uri.scheme == "tel":
        return plain_number(uri.user_or_number.partition(";")[0])
    return plain_number(target)


def plain_number(text: str) -> str:
    """Return a number without what people write between its digits."""
    return dialable(text) or text
