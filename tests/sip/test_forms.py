"""Event packages that have another form for phones that do not take the first one."""

from typing import override

import pytest

from custom_components.dfks.sip import (
    FULL,
    Notification,
    SipServer,
    Subscription,
    Topics,
)
from tests.clock import ManualClock
from tests.loopback import PASSWORDS

from .caller import Caller, Subscribed, state_of
from .echo import TOPICS, Echo, Line, echoed

requirement = pytest.mark.requirement


class PiecewiseEcho(Echo):
    """Tells topics one by one where a phone does not take several."""

    def __init__(self, server: SipServer) -> None:
        """Begin with phones that take several."""
        super().__init__(server)
        self.piecewise: set[Subscription] = set()

    @override
    def render(self, subscription: Subscription, topics: Topics) -> Notification:
        if subscription not in self.piecewise:
            return super().render(subscription, topics)
        first, *rest = [topic for topic in TOPICS if topic in topics or FULL in topics]
        notification = super().render(subscription, frozenset((first,)))
        notification.left = frozenset(rest)
        return notification

    @override
    def unreadable(self, subscription: Subscription, *, silence: bool) -> bool:
        if subscription in self.piecewise:
            return False
        self.piecewise.add(subscription)
        return True

    @override
    def unreachable(self, subscription: Subscription) -> None:
        self.piecewise.discard(subscription)


@pytest.fixture
def echo(built_server: SipServer) -> Echo:
    """Return the event package with the lines 201 and 202."""
    echo = PiecewiseEcho(built_server)
    for user in PASSWORDS:
        echo.add_line(user)
    return echo


PIECES = [[topic] for topic in TOPICS]


async def pieces(subscribed: Subscribed) -> list[list[str]]:
    """Return what the next NOTIFYs tell, as many as there are topics."""
    return [list(echoed(await subscribed.told())) for _ in TOPICS]


@requirement("F15")
@pytest.mark.parametrize("status", [400, 406, 415, 488])
async def test_f15_what_a_phone_cannot_read_comes_in_another_form(
    caller: Caller, status: int
) -> None:
    """At once, and nothing of it twice."""
    subscribed = await caller.subscribe(status=status)

    assert await pieces(subscribed) == PIECES
    await caller.nothing()


@requirement("F15")
async def test_f15_where_the_other_form_is_refused_too_there_is_no_further_one(
    caller: Caller, clock: ManualClock
) -> None:
    """The phone is left in peace."""
    subscribed = await caller.subscribe(status=415)

    await subscribed.told(415)
    await subscribed.told()
    await subscribed.told()
    clock.advance(600)

    await caller.nothing()


@requirement("F15")
async def test_f15_what_is_refused_for_a_while_comes_in_another_form(
    caller: Caller, clock: ManualClock
) -> None:
    """After the pause that was asked for."""
    subscribed = await caller.subscribe(status=0)
    await subscribed.answer(subscribed.first, 415, retry_after="5")
    await caller.nothing()

    clock.advance(5)

    assert await pieces(subscribed) == PIECES


@requirement("F15")
async def test_f15_what_does_not_get_through_comes_in_another_form(
    caller: Caller, clock: ManualClock
) -> None:
    """After the third sending, 3.5 s; somewhere on the way fragments are dropped."""
    subscribed = await caller.subscribe(status=0)
    clock.advance(3.25)
    repeats = await caller.so_far()
    clock.advance(0.25)

    told = await pieces(subscribed)

    assert [repeat.raw for repeat in repeats] == [subscribed.first.raw] * 2
    assert told == PIECES
    clock.advance(32)
    await caller.nothing()


@requirement("F10", "F15")
async def test_f15_only_the_last_piece_ends_a_subscription(
    caller: Caller, clock: ManualClock
) -> None:
    """The phone would not take what follows a terminated."""
    fetched = await caller.subscribe({"Expires": "0"}, status=0)
    clock.advance(3.5)
    repeats = [await caller.next_request() for _ in range(2)]

    states = [state_of(await fetched.told()) for _ in TOPICS]

    assert [repeat.raw for repeat in repeats] == [fetched.first.raw] * 2
    assert states == ["active;expires=0"] * 2 + ["terminated;reason=timeout"]


@requirement("F15")
async def test_f15_a_provisional_answer_says_that_it_got_through(
    caller: Caller, clock: ManualClock
) -> None:
    """The phone thinks about it."""
    subscribed = await caller.subscribe(status=0)
    await subscribed.answer(subscribed.first, 100)

    clock.advance(20)

    for message in await caller.so_far():
        assert message.raw == subscribed.first.raw


@requirement("F15")
async def test_f15_on_a_stream_nothing_is_dropped(
    stream: Caller, clock: ManualClock
) -> None:
    """It is slow, at most."""
    await stream.subscribe(status=0)

    clock.advance(10)

    await stream.nothing()


@requirement("F15", "F16", "D2")
async def test_f15_all_forms_together_have_32_seconds(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """Then the phone is away, and told in the first form when it is heard again."""
    subscribed = await caller.subscribe(status=0)
    clock.advance(31.9)
    still_connected = reception.connected
    clock.advance(0.1)
    await caller.so_far()
    connected = reception.connected

    await caller.call("REGISTER")

    assert still_connected and not connected
    assert list(echoed(await subscribed.told())) == TOPICS


@requirement("F17")
async def test_f17_pieces_carry_the_newest_values(
    caller: Caller, echo: Echo, reception: Line
) -> None:
    """A topic that changes while its turn has not come is told once."""
    subscribed = await caller.subscribe(status=0)
    await subscribed.answer(subscribed.first, 415)
    first = await subscribed.told(status=0)
    echo.change(reception, TOPICS[-1], "9")

    await subscribed.answer(first)
    rest = [await subscribed.told() for _ in TOPICS[1:]]

    assert [list(echoed(notify)) for notify in [first, *rest]] == PIECES
    assert echoed(rest[-1]) == {TOPICS[-1]: "9"}
    await caller.nothing()
