"""What a line is doing, and what happens to its calls, by what sources report."""

import pytest

from custom_components.dfks.features.seen import (
    FORK_WINDOW,
    MAX_CALLS,
    MAX_LEGS,
    MAX_OVER,
    OVER_TIME,
    RINGING_TIME,
    TALKING_TIME,
    CallEvent,
    CallEventType,
    CallReason,
    CallState,
    Leg,
    Party,
    SeenCalls,
)
from tests.clock import ManualClock

ANNA = Party("202", "Anna")
BEN = Party("203", "Ben")

DESK = Leg("desk", "call-1")
DESK_AGAIN = Leg("desk", "call-2")
KITCHEN = Leg("kitchen", "call-3")


class Watcher:
    """Remembers what a line's calls tell."""

    def __init__(self, calls: SeenCalls) -> None:
        """Be told from now on."""
        self.told: list[CallEvent | None] = []
        calls.subscribe(self.told.append)

    @property
    def types(self) -> list[str]:
        """Each event; a change of state that is none is a dash."""
        return [event.type.value if event else "-" for event in self.told]

    @property
    def last(self) -> CallEvent:
        """The newest event."""
        event = self.told[-1]
        assert event is not None
        return event


@pytest.fixture
def clock() -> ManualClock:
    """Return the time of the calls."""
    return ManualClock()


@pytest.fixture
def calls(clock: ManualClock) -> SeenCalls:
    """Return the calls of a line; there are none."""
    return SeenCalls(clock)


@pytest.fixture
def watcher(calls: SeenCalls) -> Watcher:
    """Return who is told of them."""
    return Watcher(calls)


def state_of(calls: SeenCalls) -> CallState:
    """Return what the line is doing now."""
    return calls.state


def talk(calls: SeenCalls, leg: Leg = DESK, party: Party = ANNA) -> None:
    """Take a call."""
    calls.incoming(leg, party)
    calls.answered(leg)


class TestState:
    """One state a line, however many calls it has."""

    def test_is_idle_without_calls(self, calls: SeenCalls) -> None:
        """And there is nobody at the other side."""
        assert (calls.state, calls.party, len(calls)) == (CallState.IDLE, Party(), 0)

    def test_rings(self, calls: SeenCalls) -> None:
        """With who calls."""
        calls.incoming(DESK, ANNA)
        assert (calls.state, calls.party, len(calls)) == (CallState.RINGING, ANNA, 1)

    def test_calls(self, calls: SeenCalls) -> None:
        """With who is called."""
        calls.outgoing(DESK, ANNA)
        assert (calls.state, calls.party) == (CallState.CALLING, ANNA)

    @pytest.mark.parametrize("begin", ["incoming", "outgoing"])
    def test_is_in_call(self, calls: SeenCalls, begin: str) -> None:
        """Whoever has called."""
        getattr(calls, begin)(DESK, ANNA)
        calls.answered(DESK)
        assert (calls.state, calls.party) == (CallState.IN_CALL, ANNA)

    def test_is_on_hold(self, calls: SeenCalls, watcher: Watcher) -> None:
        """And in call again when it goes on; neither is an event, and once is enough."""
        talk(calls)
        calls.held(DESK)
        calls.held(DESK)
        held = calls.state
        calls.resumed(DESK)
        assert (held, calls.state) == (CallState.ON_HOLD, CallState.IN_CALL)
        assert watcher.types == ["incoming", "answered", "-", "-"]

    def test_a_call_that_rings_is_not_held(self, calls: SeenCalls) -> None:
        """A report that came too early says nothing."""
        calls.incoming(DESK, ANNA)
        calls.held(DESK)
        calls.answered(DESK)
        assert state_of(calls) is CallState.IN_CALL

    def test_the_most_urgent_call_counts(self, calls: SeenCalls) -> None:
        """Ringing before calling before in call before on hold."""
        talk(calls, Leg("desk", "1"), Party("1"))
        calls.held(Leg("desk", "1"))
        states = [(calls.state, calls.party.number)]
        talk(calls, Leg("desk", "2"), Party("2"))
        states.append((calls.state, calls.party.number))
        calls.outgoing(Leg("desk", "3"), Party("3"))
        states.append((calls.state, calls.party.number))
        calls.incoming(Leg("desk", "4"), Party("4"))
        states.append((calls.state, calls.party.number))
        assert states == [
            (CallState.ON_HOLD, "1"),
            (CallState.IN_CALL, "2"),
            (CallState.CALLING, "3"),
            (CallState.RINGING, "4"),
        ]
        assert len(calls) == 4

    def test_the_newest_of_two_that_ring_is_shown(self, calls: SeenCalls) -> None:
        """The one before comes back when it is over."""
        calls.incoming(DESK, ANNA)
        calls.incoming(DESK_AGAIN, BEN)
        shown = [calls.party]
        calls.ended(DESK_AGAIN, CallReason.CANCELLED)
        assert [*shown, calls.party] == [BEN, ANNA]


class TestEvents:
    """What is told of a call from its begin to its end."""

    def test_a_call_that_is_taken(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """The time counts from the answer on."""
        calls.incoming(DESK, ANNA)
        clock.advance(5)
        calls.answered(DESK)
        clock.advance(61.4)
        calls.ended(DESK, CallReason.HUNG_UP)
        assert watcher.types == ["incoming", "answered", "ended"]
        assert (watcher.last.party, watcher.last.reason, watcher.last.duration) == (
            ANNA,
            CallReason.HUNG_UP,
            61,
        )
        assert state_of(calls) is CallState.IDLE

    @pytest.mark.parametrize(
        ("reason", "event"),
        [
            (CallReason.CANCELLED, CallEventType.MISSED),
            (CallReason.NO_ANSWER, CallEventType.MISSED),
            (CallReason.FAILED, CallEventType.MISSED),
            (CallReason.HUNG_UP, CallEventType.MISSED),
            (CallReason.BUSY, CallEventType.REJECTED),
            (CallReason.DECLINED, CallEventType.REJECTED),
            (CallReason.DO_NOT_DISTURB, CallEventType.REJECTED),
            (CallReason.ANSWERED_ELSEWHERE, CallEventType.ENDED),
        ],
    )
    def test_an_incoming_call_that_is_not_taken(
        self,
        calls: SeenCalls,
        watcher: Watcher,
        reason: CallReason,
        event: CallEventType,
    ) -> None:
        """Is missed, unless it was refused or somebody else has taken it."""
        calls.incoming(DESK, ANNA)
        calls.ended(DESK, reason)
        assert watcher.last == CallEvent(type=event, party=ANNA, reason=reason)

    def test_an_outgoing_call_that_nobody_takes(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """Has ended, and says why."""
        calls.outgoing(DESK, ANNA)
        calls.ended(DESK, CallReason.BUSY)
        assert watcher.types == ["outgoing", "ended"]
        assert (watcher.last.reason, watcher.last.duration) == (CallReason.BUSY, None)

    @pytest.mark.parametrize("kind", ["rejected", "forwarded"])
    def test_a_call_that_no_phone_rang_for(
        self, calls: SeenCalls, watcher: Watcher, kind: str
    ) -> None:
        """Is one event; the line stays what it is."""
        getattr(calls, kind)(DESK, ANNA, CallReason.DO_NOT_DISTURB)
        assert watcher.types == [kind]
        assert watcher.last.party == ANNA
        assert state_of(calls) is CallState.IDLE

    @pytest.mark.parametrize("kind", ["rejected", "forwarded"])
    def test_a_call_that_rang_before(
        self, calls: SeenCalls, watcher: Watcher, kind: str
    ) -> None:
        """Is over."""
        calls.incoming(DESK, ANNA)
        getattr(calls, kind)(DESK, Party(), CallReason.NO_ANSWER)
        assert watcher.types == ["incoming", kind]
        assert (watcher.last.party, calls.state) == (ANNA, CallState.IDLE)

    def test_the_state_has_changed_when_an_event_is_told(
        self, calls: SeenCalls
    ) -> None:
        """So that whoever is told finds it."""
        seen = []
        calls.subscribe(lambda _: seen.append(calls.state))
        talk(calls)
        calls.ended(DESK, CallReason.HUNG_UP)
        assert seen == [CallState.RINGING, CallState.IN_CALL, CallState.IDLE]


class TestDisorder:
    """Reports that come late, twice, or not at all."""

    def test_twice_is_once(self, calls: SeenCalls, watcher: Watcher) -> None:
        """Each report."""
        for _ in range(2):
            calls.incoming(DESK, ANNA)
        for _ in range(2):
            calls.answered(DESK)
        for _ in range(2):
            calls.ended(DESK, CallReason.HUNG_UP)
        assert watcher.types == ["incoming", "answered", "ended"]

    def test_rings_no_more_once_it_is_answered(self, calls: SeenCalls) -> None:
        """A report was overtaken."""
        talk(calls)
        calls.incoming(DESK, ANNA)
        assert state_of(calls) is CallState.IN_CALL

    @pytest.mark.parametrize("report", ["incoming", "outgoing", "answered"])
    def test_a_call_that_is_over_stays_so(
        self, calls: SeenCalls, watcher: Watcher, report: str
    ) -> None:
        """As long as something may be sent again."""
        talk(calls)
        calls.ended(DESK, CallReason.HUNG_UP)
        getattr(calls, report)(DESK)
        assert state_of(calls) is CallState.IDLE
        assert watcher.types == ["incoming", "answered", "ended"]

    @pytest.mark.parametrize("kind", ["rejected", "forwarded"])
    def test_a_refusal_is_told_once(
        self, calls: SeenCalls, watcher: Watcher, kind: str
    ) -> None:
        """Its INVITE may come again."""
        getattr(calls, kind)(DESK, ANNA, CallReason.DO_NOT_DISTURB)
        getattr(calls, kind)(DESK, ANNA, CallReason.DO_NOT_DISTURB)
        assert watcher.types == [kind]

    def test_a_call_id_may_come_again_later(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """Some phones count their calls anew when they start."""
        talk(calls)
        calls.ended(DESK, CallReason.HUNG_UP)
        clock.advance(OVER_TIME)
        calls.incoming(DESK, ANNA)
        assert state_of(calls) is CallState.RINGING

    def test_a_phone_without_call_ids_has_one_call_after_the_other(
        self, calls: SeenCalls
    ) -> None:
        """The next one may come at once."""
        leg = Leg("desk", "")
        talk(calls, leg)
        calls.ended(leg, CallReason.HUNG_UP)
        calls.incoming(leg, BEN)
        assert (calls.state, calls.party) == (CallState.RINGING, BEN)

    def test_an_answer_without_a_call_is_a_call(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """That it rang was lost."""
        calls.answered(DESK, ANNA)
        assert (calls.state, calls.party) == (CallState.IN_CALL, ANNA)
        assert watcher.types == ["answered"]

    def test_an_answer_may_say_who_it_is(self, calls: SeenCalls) -> None:
        """Where that was not known; what is known stays."""
        calls.incoming(DESK)
        calls.answered(DESK, ANNA)
        calls.answered(DESK, BEN)
        assert calls.party == ANNA

    @pytest.mark.parametrize("report", ["held", "resumed"])
    def test_a_hold_without_a_call_is_nothing(
        self, calls: SeenCalls, watcher: Watcher, report: str
    ) -> None:
        """Neither is its end."""
        getattr(calls, report)(DESK)
        calls.ended(DESK, CallReason.HUNG_UP)
        assert watcher.told == []


class TestSeveralPhones:
    """One call to several phones of a line."""

    def test_is_one_call(self, calls: SeenCalls, watcher: Watcher) -> None:
        """Told once."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        assert (watcher.types, len(calls)) == (["incoming"], 1)

    @pytest.mark.parametrize(
        ("leg", "party", "later"),
        [
            (DESK_AGAIN, ANNA, 0.0),
            (KITCHEN, BEN, 0.0),
            (KITCHEN, ANNA, FORK_WINDOW + 0.1),
        ],
    )
    def test_is_another_call(
        self,
        calls: SeenCalls,
        clock: ManualClock,
        leg: Leg,
        party: Party,
        later: float,
    ) -> None:
        """At the same phone, of somebody else, or later."""
        calls.incoming(DESK, ANNA)
        clock.advance(later)
        calls.incoming(leg, party)
        assert len(calls) == 2

    def test_outgoing_calls_are_each_their_own(self, calls: SeenCalls) -> None:
        """Two phones may call the same number."""
        calls.outgoing(DESK, ANNA)
        calls.outgoing(KITCHEN, ANNA)
        assert len(calls) == 2

    def test_one_takes_it_and_the_others_stop(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """However their ringing ends, and whatever comes late; the talk goes on."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.answered(KITCHEN)
        calls.ended(DESK, CallReason.CANCELLED)
        calls.incoming(DESK, ANNA)
        calls.answered(DESK)
        assert (calls.state, len(calls)) == (CallState.IN_CALL, 1)
        calls.ended(KITCHEN, CallReason.HUNG_UP)
        assert watcher.types == ["incoming", "answered", "ended"]

    def test_a_phone_that_rings_late_or_never_stops(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """The call is that of the phone which has taken it."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.answered(KITCHEN)
        calls.incoming(DESK, ANNA)
        assert len(calls) == 1
        calls.ended(KITCHEN, CallReason.HUNG_UP)
        assert watcher.types == ["incoming", "answered", "ended"]
        assert state_of(calls) is CallState.IDLE

    def test_a_call_after_the_answer_is_another_one(self, calls: SeenCalls) -> None:
        """However soon it comes."""
        talk(calls)
        calls.incoming(KITCHEN, ANNA)
        assert (state_of(calls), len(calls)) == (CallState.RINGING, 2)

    def test_is_over_with_the_last_phone(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """One that is busy leaves the others ringing; that nobody came is missed."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.ended(KITCHEN, CallReason.CANCELLED)
        assert state_of(calls) is CallState.RINGING
        calls.ended(DESK, CallReason.BUSY)
        assert watcher.types == ["incoming", "missed"]
        assert watcher.last.reason is CallReason.CANCELLED

    @pytest.mark.parametrize(
        ("first", "second", "last"),
        [
            (CallReason.BUSY, CallReason.CANCELLED, ("missed", "cancelled")),
            (CallReason.CANCELLED, CallReason.NO_ANSWER, ("missed", "cancelled")),
            (
                CallReason.ANSWERED_ELSEWHERE,
                CallReason.CANCELLED,
                ("ended", "answered_elsewhere"),
            ),
        ],
    )
    def test_the_first_reason_but_for_a_refusal_counts(
        self,
        calls: SeenCalls,
        watcher: Watcher,
        first: CallReason,
        second: CallReason,
        last: tuple[str, str],
    ) -> None:
        """Who was busy has not missed it, but somebody has."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.ended(DESK, first)
        calls.ended(KITCHEN, second)
        assert (watcher.last.type, watcher.last.reason) == last

    def test_all_refuse(self, calls: SeenCalls, watcher: Watcher) -> None:
        """Then the call is rejected."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.ended(KITCHEN, CallReason.BUSY)
        calls.ended(DESK, CallReason.DECLINED)
        assert watcher.types == ["incoming", "rejected"]

    def test_one_forwards_while_another_rings(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """The call is there as long as it rings somewhere."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.forwarded(DESK, ANNA, CallReason.BY_PHONE)
        assert (calls.state, watcher.types) == (CallState.RINGING, ["incoming"])


class TestTreated:
    """A call that is rejected or forwarded for all phones of the line."""

    def treat(self, calls: SeenCalls, leg: Leg, party: Party = ANNA) -> None:
        """Forward a call."""
        kind = CallEventType.FORWARDED
        calls.treated(leg, party, kind, CallReason.ALWAYS)

    def test_is_told_once_for_several_phones(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """None of which has rung."""
        self.treat(calls, DESK)
        self.treat(calls, KITCHEN)
        assert watcher.types == ["forwarded"]
        assert (watcher.last.party, watcher.last.reason) == (ANNA, CallReason.ALWAYS)

    @pytest.mark.parametrize(
        ("leg", "party", "later"),
        [
            (DESK_AGAIN, ANNA, 0.0),
            (KITCHEN, BEN, 0.0),
            (KITCHEN, ANNA, FORK_WINDOW + 0.1),
        ],
    )
    def test_another_call_is_told_too(
        self,
        calls: SeenCalls,
        watcher: Watcher,
        clock: ManualClock,
        leg: Leg,
        party: Party,
        later: float,
    ) -> None:
        """At the same phone, of somebody else, or later."""
        self.treat(calls, DESK)
        clock.advance(later)
        self.treat(calls, leg, party)
        assert watcher.types == ["forwarded", "forwarded"]

    def test_is_over_wherever_it_rings(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """The other phones' ends, which come later, are no news."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        self.treat(calls, DESK)
        calls.incoming(KITCHEN, ANNA)
        calls.ended(KITCHEN, CallReason.CANCELLED)
        assert watcher.types == ["incoming", "forwarded"]
        assert state_of(calls) is CallState.IDLE

    def test_rings_at_another_phone(self, calls: SeenCalls, watcher: Watcher) -> None:
        """It is the same call."""
        calls.incoming(DESK, ANNA)
        self.treat(calls, KITCHEN)
        assert watcher.types == ["incoming", "forwarded"]
        assert state_of(calls) is CallState.IDLE

    def test_a_phone_that_was_busy_before(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """Has rejected it; where it went is told all the same."""
        calls.incoming(DESK, ANNA)
        calls.ended(DESK, CallReason.BUSY)
        self.treat(calls, DESK)
        assert watcher.types == ["incoming", "rejected", "forwarded"]


class TestTime:
    """Calls whose end nobody reports."""

    def test_ringing_is_forgotten(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """After a little more than Timer C."""
        calls.incoming(DESK, ANNA)
        clock.advance(RINGING_TIME - 1)
        assert state_of(calls) is CallState.RINGING
        clock.advance(1)
        assert state_of(calls) is CallState.IDLE
        assert (watcher.types[-1], watcher.last.reason) == (
            "missed",
            CallReason.UNKNOWN,
        )

    def test_ringing_goes_on_while_it_is_reported(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """A queue may ring for long."""
        for _ in range(5):
            calls.incoming(DESK, ANNA)
            clock.advance(RINGING_TIME - 1)
        assert state_of(calls) is CallState.RINGING
        assert watcher.types == ["incoming"]

    def test_a_talk_is_not_cut_short_by_what_comes_late(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """Neither by ringing nor by the end of it."""
        talk(calls)
        calls.incoming(DESK, ANNA)
        calls.ending(DESK, CallReason.CANCELLED, 32)
        clock.advance(RINGING_TIME)
        assert state_of(calls) is CallState.IN_CALL

    @pytest.mark.parametrize(
        ("lasts", "seconds"), [(1800.0, 1800.0), (None, TALKING_TIME)]
    )
    def test_a_talk_is_forgotten(
        self,
        calls: SeenCalls,
        watcher: Watcher,
        clock: ManualClock,
        lasts: float | None,
        seconds: float,
    ) -> None:
        """After its session time, else after long; how long it took nobody knows."""
        calls.incoming(DESK, ANNA)
        calls.answered(DESK, lasts=lasts)
        clock.advance(seconds - 1)
        assert state_of(calls) is CallState.IN_CALL
        clock.advance(1)
        assert state_of(calls) is CallState.IDLE
        assert watcher.last == CallEvent(
            type=CallEventType.ENDED, party=ANNA, reason=CallReason.UNKNOWN
        )

    def test_a_talk_goes_on_while_its_session_is_refreshed(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """RFC 4028: half of the time before."""
        calls.incoming(DESK, ANNA)
        for _ in range(5):
            calls.answered(DESK, lasts=1800)
            clock.advance(1000)
        assert state_of(calls) is CallState.IN_CALL

    def test_a_call_that_was_given_up_is_over_soon(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """Though its phone is gone and does not say so."""
        calls.incoming(DESK, ANNA)
        calls.ending(DESK, CallReason.CANCELLED, 32)
        clock.advance(32)
        assert (watcher.types[-1], watcher.last.reason) == (
            "missed",
            CallReason.CANCELLED,
        )

    def test_a_call_that_is_answered_in_spite_of_that_goes_on(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """The answer and the end have crossed."""
        calls.incoming(DESK, ANNA)
        calls.ending(DESK, CallReason.CANCELLED, 32)
        calls.answered(DESK)
        clock.advance(33)
        assert state_of(calls) is CallState.IN_CALL
        calls.ended(DESK, CallReason.HUNG_UP)
        assert watcher.last.reason is CallReason.HUNG_UP

    def test_a_call_that_rings_elsewhere_goes_on(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """One phone of several was given up."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.ending(DESK, CallReason.CANCELLED, 32)
        clock.advance(33)
        assert state_of(calls) is CallState.RINGING

    def test_a_call_that_all_phones_are_to_end_is_over_soon(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """None of them says so: both were unplugged."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        for leg in (DESK, KITCHEN):
            calls.ending(leg, CallReason.CANCELLED, 10)
        clock.advance(9)
        assert state_of(calls) is CallState.RINGING
        clock.advance(1)
        assert (watcher.types[-1], watcher.last.reason) == (
            "missed",
            CallReason.CANCELLED,
        )

    @pytest.mark.parametrize("refused", [False, True])
    def test_a_call_whose_last_phone_says_nothing_is_over_soon(
        self, calls: SeenCalls, clock: ManualClock, refused: bool
    ) -> None:
        """The other one has ended it, or did not want it."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.ending(KITCHEN, CallReason.CANCELLED, 10)
        if refused:
            calls.rejected(DESK, ANNA, CallReason.DECLINED)
        else:
            calls.ended(DESK, CallReason.CANCELLED)
        clock.advance(10)
        assert state_of(calls) is CallState.IDLE

    def test_a_phone_that_says_that_it_rings_is_still_to_end(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """Its word and the end have crossed."""
        calls.incoming(DESK, ANNA)
        calls.ending(DESK, CallReason.CANCELLED, 10)
        calls.incoming(DESK, ANNA)
        clock.advance(10)
        assert state_of(calls) is CallState.IDLE

    def test_a_phone_that_is_gone_leaves_the_call_to_the_other(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """And is not why that one did not take it."""
        calls.incoming(DESK, ANNA)
        calls.incoming(KITCHEN, ANNA)
        calls.lost(DESK)
        assert state_of(calls) is CallState.RINGING
        calls.ended(KITCHEN, CallReason.CANCELLED)
        assert watcher.last.reason is CallReason.CANCELLED

    def test_a_phone_that_comes_back_takes_its_call(
        self, calls: SeenCalls, watcher: Watcher
    ) -> None:
        """It was gone for a moment only."""
        calls.incoming(DESK, ANNA)
        calls.lost(DESK)
        calls.answered(DESK, ANNA)
        assert state_of(calls) is CallState.IN_CALL
        assert watcher.types == ["incoming", "missed", "answered"]

    def test_an_answered_call_is_not_lost_with_its_phone(
        self, calls: SeenCalls
    ) -> None:
        """People may still talk."""
        calls.incoming(DESK, ANNA)
        calls.answered(DESK)
        calls.lost(DESK)
        assert state_of(calls) is CallState.IN_CALL

    def test_one_is_forgotten_and_the_other_stays(
        self, calls: SeenCalls, clock: ManualClock
    ) -> None:
        """Each has its own time."""
        calls.incoming(DESK, ANNA)
        clock.advance(100)
        calls.incoming(DESK_AGAIN, BEN)
        clock.advance(RINGING_TIME - 100)
        assert (calls.party, len(calls)) == (BEN, 1)
        clock.advance(100)
        assert state_of(calls) is CallState.IDLE


class TestPhone:
    """A phone that says of itself that it has no calls."""

    def test_its_calls_are_over(self, calls: SeenCalls, watcher: Watcher) -> None:
        """Those of others are not."""
        talk(calls, DESK)
        calls.outgoing(DESK_AGAIN, ANNA)
        calls.incoming(KITCHEN, BEN)
        calls.phone_idle("desk")
        assert (calls.party, len(calls)) == (BEN, 1)
        assert [event and event.reason for event in watcher.told[-2:]] == [
            CallReason.HUNG_UP,
            CallReason.CANCELLED,
        ]


class TestBounds:
    """No source can make a line grow."""

    def test_calls(self, calls: SeenCalls, watcher: Watcher) -> None:
        """The oldest is forgotten, and told so."""
        for count in range(MAX_CALLS + 1):
            calls.incoming(Leg("desk", str(count)), Party(str(count)))
        assert len(calls) == MAX_CALLS
        assert watcher.types[-2:] == ["missed", "incoming"]

    def test_phones_of_a_call(self, calls: SeenCalls) -> None:
        """More than those are another call."""
        for count in range(MAX_LEGS + 1):
            calls.incoming(Leg(str(count), "1"), ANNA)
        assert len(calls) == 2

    def test_legs_that_are_over(self, calls: SeenCalls) -> None:
        """The one that was over first may come again."""
        for count in range(MAX_OVER + 1):
            calls.ended(Leg("desk", str(count)), CallReason.HUNG_UP)
        calls.incoming(Leg("desk", "0"), ANNA)
        assert len(calls) == 1

    def test_what_is_shown(self) -> None:
        """Nothing that is endless, invisible, or said twice."""
        assert Party.shown("2\x0002", "202") == Party("202", "")
        assert Party.shown("2" * 200, "A\u202en" * 100) == Party("2" * 128, "An" * 64)

    def test_nobody_looks_any_more(
        self, calls: SeenCalls, watcher: Watcher, clock: ManualClock
    ) -> None:
        """Then nothing is kept, and no timer runs."""
        talk(calls)
        calls.clear()
        clock.advance(TALKING_TIME)
        assert (len(calls), watcher.types) == (0, ["incoming", "answered", "-"])
        calls.clear()
        assert watcher.types[3:] == []
