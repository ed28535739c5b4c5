"""What passed SIP says, as the calls of a line."""

import pytest

from custom_components.dfks.features.passed_calls import PassedCalls
from custom_components.dfks.features.seen import CallEvent, CallState, Party, SeenCalls
from custom_components.dfks.sip import (
    NO_ANSWER,
    UNAVAILABLE,
    UNCONDITIONAL,
    USER_BUSY,
    CallLeg,
    Redirect,
    Reject,
)
from tests.clock import ManualClock

LINE = ("pbx", "201")


class House:
    """A line and what is told of its calls."""

    def __init__(self) -> None:
        """Start without calls."""
        self.clock = ManualClock()
        self.calls = SeenCalls(self.clock)
        self.told: list[CallEvent | None] = []
        self.calls.subscribe(self.told.append)
        self.passed = PassedCalls({LINE: self.calls})

    @property
    def last(self) -> tuple[str, str | None]:
        """The newest event, and its reason."""
        event = self.told[-1]
        assert event is not None
        return event.type.value, event.reason and event.reason.value


@pytest.fixture
def house() -> House:
    """Return a line without calls."""
    return House()


def leg(
    *, incoming: bool = True, name: str = "Anna", line: tuple[str, str] = LINE
) -> CallLeg:
    """Return what one phone has of a call."""
    return CallLeg(
        line=line,
        phone="token",
        call_id="1",
        incoming=incoming,
        number="202",
        name=name,
    )


@pytest.mark.parametrize(
    ("incoming", "state"), [(True, CallState.RINGING), (False, CallState.CALLING)]
)
def test_begin(house: House, incoming: bool, state: CallState) -> None:
    """The direction is the phone's."""
    house.passed.ringing(leg(incoming=incoming))
    assert (house.calls.state, house.calls.party) == (state, Party("202", "Anna"))


def test_talk(house: House) -> None:
    """On hold and back, until it ends."""
    house.passed.ringing(leg())
    house.passed.answered(leg(), None)
    house.passed.held(leg(), held=True)
    held = house.calls.state
    house.passed.held(leg(), held=False)
    assert (held, house.calls.state) == (CallState.ON_HOLD, CallState.IN_CALL)
    house.passed.ended(leg(), None, elsewhere=False)
    assert house.last == ("ended", "hung_up")


def test_session_time(house: House) -> None:
    """A call lasts as long as it says."""
    house.passed.answered(leg(), 90)
    house.clock.advance(90)
    assert house.calls.state is CallState.IDLE


def test_a_name_is_utf_8(house: House) -> None:
    """As it passes it is octets."""
    house.passed.ringing(leg(name="Zo\u00c3\u00ab"))
    assert house.calls.party.name == "Zo\u00eb"


@pytest.mark.parametrize(
    ("status", "elsewhere", "last"),
    [
        (486, False, ("rejected", "busy")),
        (600, False, ("rejected", "busy")),
        (603, False, ("rejected", "declined")),
        (403, False, ("rejected", "declined")),
        (480, False, ("missed", "no_answer")),
        (408, False, ("missed", "no_answer")),
        (487, False, ("missed", "cancelled")),
        (487, True, ("ended", "answered_elsewhere")),
        (486, True, ("rejected", "busy")),
        (302, False, ("forwarded", "by_phone")),
        (500, False, ("missed", "failed")),
    ],
)
def test_a_phone_does_not_take_it(
    house: House, status: int, elsewhere: bool, last: tuple[str, str]
) -> None:
    """By what it answers."""
    house.passed.ringing(leg())
    house.passed.ended(leg(), status, elsewhere=elsewhere)
    assert house.last == last


@pytest.mark.parametrize(
    ("status", "reason"), [(486, "busy"), (302, "failed"), (404, "failed")]
)
def test_the_other_side_does_not_take_it(
    house: House, status: int, reason: str
) -> None:
    """A call that went out has ended."""
    house.passed.ringing(leg(incoming=False))
    house.passed.ended(leg(incoming=False), status, elsewhere=False)
    assert house.last == ("ended", reason)


@pytest.mark.parametrize(
    ("elsewhere", "last"),
    [(False, ("missed", "cancelled")), (True, ("ended", "answered_elsewhere"))],
)
def test_a_call_is_given_up_and_the_phone_says_nothing(
    house: House, elsewhere: bool, last: tuple[str, str]
) -> None:
    """The call is over all the same."""
    house.passed.ringing(leg())
    house.passed.cancelled(leg(), 32, elsewhere=elsewhere)
    house.clock.advance(32)
    assert house.last == last


@pytest.mark.parametrize(
    ("incoming", "kind"), [(True, "missed"), (False, "ended")], ids=["to it", "of it"]
)
def test_a_phone_is_gone_while_it_rings(
    house: House, incoming: bool, kind: str
) -> None:
    """The call is over here."""
    house.passed.ringing(leg(incoming=incoming))
    house.passed.lost(leg(incoming=incoming))
    assert house.last == (kind, "not_reachable")


@pytest.mark.parametrize(
    ("treatment", "last"),
    [
        (Redirect("203", UNCONDITIONAL), ("forwarded", "always")),
        (Redirect("203", USER_BUSY), ("forwarded", "busy")),
        (Redirect("203", NO_ANSWER), ("forwarded", "no_answer")),
        (Redirect("203", UNAVAILABLE), ("forwarded", "not_reachable")),
        (Redirect("203", "time-of-day"), ("forwarded", "unknown")),
        (Reject(486), ("rejected", "do_not_disturb")),
        (Reject(480), ("rejected", "do_not_disturb")),
        (Reject(408), ("missed", "no_answer")),
    ],
)
def test_a_call_that_is_treated(
    house: House, treatment: Reject | Redirect, last: tuple[str, str]
) -> None:
    """By what is done."""
    house.passed.treated(leg(), treatment)
    assert house.last == last


def test_a_line_that_is_not_watched_any_more(house: House) -> None:
    """Is told nothing."""
    other = leg(line=("pbx", "202"))
    house.passed.ringing(other)
    house.passed.answered(other, None)
    house.passed.held(other, held=True)
    house.passed.cancelled(other, 32, elsewhere=False)
    house.passed.lost(other)
    house.passed.ended(other, None, elsewhere=False)
    house.passed.treated(other, Reject(486))
    assert house.told == []
