"""What becomes of a call by the state of its line, as a table."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from custom_components.dfks.features.calls import (
    CallAnswer,
    CallFacts,
    CallHook,
    CallOptions,
    LineCalls,
    LineState,
    Progress,
    TakeAnswer,
    decide,
    plan_of,
    rings,
    user_of_target,
)
from custom_components.dfks.features.model import (
    Feature,
    FeatureState,
    Line,
    LineConfig,
    LineMemory,
)
from custom_components.dfks.sip import (
    PROCEED,
    CallPlan,
    IncomingCall,
    Redirect,
    Reject,
    Treatment,
)
from tests.clock import ManualClock

OFF = FeatureState()
ON = FeatureState(status=True)
ALWAYS = FeatureState(status=True, forward_to="301")
BUSY = FeatureState(status=True, forward_to="302")
NO_ANSWER = FeatureState(status=True, forward_to="303", ring_count=2)

BUSY_HERE = Reject(486)
TO_ALWAYS = Redirect("301", "unconditional")
TO_BUSY = Redirect("302", "user-busy")
TO_NO_ANSWER = Redirect("303", "no-answer")
TO_UNAVAILABLE = Redirect("303", "unavailable")

CALL = CallFacts(
    is_emergency=False, always_rings=False, may_redirect=lambda _target: True
)
EMERGENCY = CALL._replace(is_emergency=True)
FAVOURITE = CALL._replace(always_rings=True)
LOOP = CALL._replace(may_redirect=lambda _target: False)
OPTIONS = CallOptions()
REJECTS_RINGING = CallOptions(reject_ringing=True)

ALL_ON = LineState(ON, ALWAYS, BUSY, NO_ANSWER)
DND = LineState(do_not_disturb=ON)
DND_AND_BUSY = LineState(do_not_disturb=ON, busy=BUSY)


class Row(NamedTuple):
    """One row of the table."""

    state: LineState
    call: CallFacts
    progress: Progress
    expected: Treatment
    options: CallOptions = OPTIONS


TABLE = [
    # Nothing is set.
    *(Row(LineState(), CALL, progress, PROCEED) for progress in Progress),
    # The order: always, do not disturb, busy, no answer.
    Row(ALL_ON, CALL, Progress.INCOMING, TO_ALWAYS),
    Row(ALL_ON._replace(always=OFF), CALL, Progress.INCOMING, TO_BUSY),
    Row(DND, CALL, Progress.INCOMING, BUSY_HERE),
    Row(DND, CALL, Progress.INCOMING, Reject(480), CallOptions(busy_status=480)),
    Row(LineState(busy=BUSY), CALL, Progress.INCOMING, PROCEED),
    Row(LineState(no_answer=NO_ANSWER), CALL, Progress.INCOMING, PROCEED),
    Row(LineState(busy=BUSY), CALL, Progress.BUSY, TO_BUSY),
    Row(LineState(no_answer=NO_ANSWER), CALL, Progress.BUSY, PROCEED),
    Row(LineState(no_answer=NO_ANSWER), CALL, Progress.NO_ANSWER, TO_NO_ANSWER),
    Row(LineState(busy=BUSY), CALL, Progress.NO_ANSWER, PROCEED),
    Row(LineState(no_answer=NO_ANSWER), CALL, Progress.UNREACHABLE, TO_UNAVAILABLE),
    Row(LineState(busy=BUSY), CALL, Progress.UNREACHABLE, PROCEED),
    # Emergency calls pass whatever is set.
    *(Row(ALL_ON, EMERGENCY, progress, PROCEED) for progress in Progress),
    Row(DND, EMERGENCY, Progress.DISTURBING, PROCEED, REJECTS_RINGING),
    # Callers who always ring.
    Row(ALL_ON, FAVOURITE, Progress.INCOMING, PROCEED),
    Row(ALL_ON, FAVOURITE, Progress.BUSY, TO_BUSY),
    Row(ALL_ON, FAVOURITE, Progress.NO_ANSWER, TO_NO_ANSWER),
    Row(DND, FAVOURITE, Progress.DISTURBING, PROCEED, REJECTS_RINGING),
    # No call goes in a circle.
    Row(LineState(always=ALWAYS), LOOP, Progress.INCOMING, PROCEED),
    Row(LineState(busy=BUSY), LOOP, Progress.BUSY, PROCEED),
    Row(LineState(no_answer=NO_ANSWER), LOOP, Progress.NO_ANSWER, PROCEED),
    Row(LineState(no_answer=NO_ANSWER), LOOP, Progress.UNREACHABLE, PROCEED),
    Row(DND_AND_BUSY, LOOP, Progress.INCOMING, BUSY_HERE),
    Row(ALL_ON, LOOP, Progress.INCOMING, BUSY_HERE),
    # A call that rings when do not disturb is turned on.
    Row(LineState(), CALL, Progress.DISTURBING, BUSY_HERE, REJECTS_RINGING),
    Row(LineState(), CALL, Progress.DISTURBING, PROCEED),
]


@pytest.mark.requirement("P94")
@pytest.mark.parametrize("row", TABLE)
def test_what_becomes_of_a_call(row: Row) -> None:
    """Each row of the table."""
    assert decide(row.state, row.options, row.call, row.progress) == row.expected


def test_a_plan_holds_what_is_decided_when_the_call_comes() -> None:
    """For each way that it can go."""
    state = LineState(busy=BUSY, no_answer=NO_ANSWER)
    assert plan_of(state, OPTIONS, CALL) == CallPlan(
        busy=TO_BUSY,
        no_answer=TO_NO_ANSWER,
        ring_seconds=12.0,
        unreachable=TO_UNAVAILABLE,
    )


@pytest.mark.requirement("P77")
@pytest.mark.parametrize("state", [LineState(), ALL_ON])
def test_there_is_no_plan_where_nothing_can_happen(state: LineState) -> None:
    """Nothing is set, or the call is one that always passes."""
    facts = CALL if state == LineState() else EMERGENCY
    assert plan_of(state, OPTIONS, facts) is None


@pytest.mark.requirement("P81")
@pytest.mark.parametrize(
    ("ring_count", "ring_seconds", "seconds"),
    [(2, 6, 12.0), (2, 5, 10.0), (0, 6, 6.0), (100, 6, 120.0)],
)
def test_rings_take_their_seconds(
    ring_count: int, ring_seconds: int, seconds: float
) -> None:
    """From one ring to twenty."""
    state = LineState(no_answer=NO_ANSWER._replace(ring_count=ring_count))
    plan = plan_of(state, CallOptions(ring_seconds=ring_seconds), CALL)
    assert plan is not None
    assert plan.ring_seconds == seconds


def test_rings_are_from_1_to_20() -> None:
    """Whatever the ring count is."""
    assert [rings(count) for count in (0, 1, 20, 21)] == [1, 1, 20, 20]


@pytest.mark.parametrize(
    ("target", "user"),
    [
        ("201", "201"),
        ("+49 (30) 1", "+49301"),
        ("sip:201@pbx.example", "201"),
        ("sip:201@PBX.example:5060", "201"),
        ("sip:201@elsewhere.example", None),
        ("tel:+49-30-1;phone-context=x", "+49301"),
        ("what:ever", "what:ever"),
        ("sip:", "sip:"),
    ],
)
def test_whom_a_target_names(target: str, user: str | None) -> None:
    """At the line's own domain; elsewhere it is somebody else."""
    assert user_of_target(target, "pbx.example") == user


# A line and its calls


def incoming(**changes: object) -> IncomingCall:
    """Return a call to 201."""
    call = IncomingCall("pbx-1", "201", "pbx.example", caller="202", called="201")
    return call._replace(**changes)  # type: ignore[arg-type]


def line_calls(
    options: CallOptions = OPTIONS,
    clock: ManualClock | None = None,
    assigned: tuple[Feature, ...] = tuple(Feature),
    hook: CallHook | None = None,
    emergency_at: float | None = None,
    **states: FeatureState,
) -> LineCalls:
    """Return the calls of a line with some states, by the name of the feature."""
    config = LineConfig(id="line", user="201", pbx="pbx-1", assigned=assigned)
    memory = LineMemory(
        {Feature[name.upper()]: state for name, state in states.items()}, {}
    )
    line = Line(config, (), "realm", memory)
    return LineCalls(line, options, clock or ManualClock(), hook, emergency_at)


def test_a_feature_that_a_line_does_not_have_decides_nothing() -> None:
    """It was on when it was taken away."""
    calls = line_calls(assigned=(Feature.CALL_FORWARDING_BUSY,), do_not_disturb=ON)
    assert calls.plan(incoming()) is None


@pytest.mark.requirement("P93")
@pytest.mark.parametrize("priority", ["psap-callback", "emergency"])
def test_an_emergency_centre_gets_through(priority: str) -> None:
    """By the Priority of its call (RFC 7090)."""
    calls = line_calls(do_not_disturb=ON)
    assert calls.plan(incoming(priority=priority)) is None
    assert calls.plan(incoming(priority="urgent")) == CallPlan(
        at_once=BUSY_HERE, ring_seconds=18.0
    )


@pytest.mark.requirement("P93")
def test_nothing_is_treated_for_an_hour_after_an_emergency_call() -> None:
    """The emergency centre may call back by any number."""
    clock = ManualClock()
    calls = line_calls(clock=clock, do_not_disturb=ON)
    calls.dialled("112")
    clock.advance(3599)
    assert calls.plan(incoming()) is None
    clock.advance(1)
    assert calls.plan(incoming()) is not None


@pytest.mark.requirement("P93")
@pytest.mark.parametrize(
    ("since", "left"),
    [(0, 3600), (600, 3000), (3600, 0), (86_400, 0), (-86_400, 3600)],
)
def test_the_hour_goes_on_after_a_restart(since: float, left: float) -> None:
    """By the wall clock, and for an hour at most where that was set back."""
    clock = ManualClock()
    calls = line_calls(
        clock=clock, do_not_disturb=ON, emergency_at=clock.time() - since
    )
    if left:
        clock.advance(left - 1)
        assert calls.plan(incoming()) is None
        clock.advance(1)
    assert calls.plan(incoming()) is not None


@pytest.mark.requirement("P93")
def test_an_emergency_call_is_told_to_be_stored() -> None:
    """At once: a restart may come at any time."""
    clock = ManualClock()
    calls = line_calls(clock=clock)
    told: list[float | None] = []
    calls.changed = lambda: told.append(calls.emergency_at)
    calls.dialled("203")
    calls.dialled("112")
    assert told == [clock.time()]


@pytest.mark.requirement("P93")
@pytest.mark.parametrize(
    ("number", "passes"),
    [
        ("1-1-2", True),
        ("1120", False),
        ("service:sos", True),
        ("service:sos.police", True),
        ("service:sosta", False),
        ("service:counseling", False),
    ],
)
def test_an_emergency_number_is_one_of_the_list(number: str, passes: bool) -> None:
    """As a whole, without what people write between its digits."""
    calls = line_calls(do_not_disturb=ON)
    calls.dialled(number)
    assert (calls.plan(incoming()) is None) is passes


@pytest.mark.requirement("P94")
def test_a_caller_who_always_rings_is_known_by_the_number() -> None:
    """However it is written."""
    options = CallOptions(always_ring=frozenset({"+49301"}))
    calls = line_calls(options, do_not_disturb=ON)
    assert calls.plan(incoming(caller="+49 30-1")) is None
    assert calls.plan(incoming(caller="49301")) is not None


@pytest.mark.requirement("P92")
@pytest.mark.parametrize(
    ("target", "diverted", "redirects"),
    [
        ("301", (), True),
        ("201", (), False),
        ("sip:201@pbx.example", (), False),
        ("301", ("204",) * 5, True),
        ("301", ("204",) * 6, False),
        ("301", ("204", "201"), False),
    ],
)
def test_a_call_in_a_circle_rings(
    target: str, diverted: tuple[str, ...], redirects: bool
) -> None:
    """To the line itself, back to it, or on and on."""
    state = FeatureState(status=True, forward_to=target)
    calls = line_calls(call_forwarding_always=state)
    plan = calls.plan(incoming(diverted=diverted))
    assert (plan is not None) is redirects


def forwarding(clock: ManualClock | None = None) -> LineCalls:
    """Return the calls of a line that forwards all of them to 301."""
    return line_calls(clock=clock, call_forwarding_always=ALWAYS)


def forward(calls: LineCalls, *callers: str) -> None:
    """Have calls of some callers come and be forwarded."""
    for caller in callers:
        call = incoming(caller=caller)
        assert calls.plan(call) is not None
        calls.redirected(call)


@pytest.mark.requirement("P92")
def test_a_call_that_comes_back_again_and_again_rings() -> None:
    """The PBX does not say that it was forwarded."""
    calls = forwarding()
    forward(calls, *["202"] * 5)
    assert calls.plan(incoming()) is None


@pytest.mark.requirement("P92")
def test_a_call_that_goes_round_stays_busy_where_do_not_disturb_is_on() -> None:
    """It ends all the same."""
    calls = line_calls(do_not_disturb=ON, call_forwarding_busy=BUSY)
    forward(calls, *["202"] * 5)
    plan = calls.plan(incoming())
    assert plan is not None
    assert plan.at_once == BUSY_HERE


@pytest.mark.requirement("P92")
def test_calls_of_other_callers_are_no_circle() -> None:
    """Everybody may call at once."""
    calls = forwarding()
    forward(calls, *(str(number) for number in range(202, 222)))
    assert calls.plan(incoming()) is not None


@pytest.mark.requirement("P92")
def test_a_caller_is_forwarded_again_ten_seconds_later() -> None:
    """Who calls that seldom goes in no circle."""
    clock = ManualClock()
    calls = forwarding(clock)
    forward(calls, *["202"] * 5)
    clock.advance(9.9)
    assert calls.plan(incoming()) is None
    clock.advance(0.1)
    assert calls.plan(incoming()) is not None


@pytest.mark.requirement("P92")
def test_what_a_script_forwards_goes_in_no_circle() -> None:
    """Its target may forward back, too."""
    hook = Hook(CallAnswer(TO_ALWAYS))
    calls = line_calls(hook=hook)
    taken: list[CallPlan | None] = []
    for _ in range(6):
        calls.ask(incoming(), taken.append)
        calls.redirected(incoming())
    assert taken == [CallPlan(at_once=TO_ALWAYS)] * 5 + [CallPlan()]


# Somebody who is asked


class Hook:
    """Answers calls as it is told to."""

    def __init__(self, answer: CallAnswer | None, *, there: bool = True) -> None:
        """Answer the same to all."""
        self.answer = answer
        self.there = there

    def ask(self, line: Line, call: IncomingCall, take: TakeAnswer) -> bool:
        """Answer at once, if at all."""
        if self.there:
            take(self.answer)
        return self.there


def asked(hook: Hook, call: IncomingCall | None = None) -> list[CallPlan | None] | None:
    """Return what is taken of a hook's answer, None where it is not asked."""
    calls = line_calls(hook=hook, do_not_disturb=ON)
    taken: list[CallPlan | None] = []
    return taken if calls.ask(call or incoming(), taken.append) else None


@pytest.mark.parametrize(
    ("answer", "plan"),
    [
        (None, None),
        (CallAnswer(PROCEED), CallPlan()),
        (CallAnswer(BUSY_HERE), CallPlan(at_once=BUSY_HERE)),
        (CallAnswer(Reject(480)), CallPlan(at_once=BUSY_HERE)),
        (CallAnswer(TO_ALWAYS), CallPlan(at_once=TO_ALWAYS)),
        (CallAnswer(TO_ALWAYS._replace(target="201")), CallPlan()),
    ],
)
def test_an_answer_takes_the_place_of_the_state(
    answer: CallAnswer | None, plan: CallPlan | None
) -> None:
    """None leaves it to the state; a target that is the line itself rings."""
    assert asked(Hook(answer)) == [plan]


def test_an_answer_that_breaks_something_leaves_it_to_the_state() -> None:
    """A target that is no text."""
    target: Any = None
    assert asked(Hook(CallAnswer(TO_ALWAYS._replace(target=target)))) == [None]


def test_nobody_is_asked_about_an_emergency_call() -> None:
    """It just rings."""
    hook = Hook(CallAnswer(BUSY_HERE))
    assert asked(hook, incoming(priority="psap-callback")) is None


def test_a_hook_that_is_not_there_is_not_asked() -> None:
    """The state decides."""
    assert asked(Hook(None, there=False)) is None


def test_options_are_read_at_each_call() -> None:
    """They may change while the line is served."""
    calls = line_calls(do_not_disturb=ON)
    calls.options = replace(OPTIONS, busy_status=480)
    plan = calls.plan(incoming())
    assert plan is not None
    assert plan.at_once == Reject(480)
