"""Phones that are told one feature after another, and which those are."""

import pytest

from custom_components.dfks.features.model import Line, NotifyStyle
from custom_components.dfks.features.sync import FeatureSync
from tests.clock import ManualClock
from tests.phone import ALWAYS, BUSY, DND, FEATURES, NO_ANSWER, Lamp
from tests.sip.caller import Caller, Subscribed, state_of

from .caller import lamps
from .conftest import Switch, configure

requirement = pytest.mark.requirement

INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-0004f2{}>"'

PIECES = [[feature] for feature in FEATURES]


async def pieces(subscribed: Subscribed) -> list[list[str]]:
    """Return what the next four NOTIFYs tell; each is answered."""
    return [list(lamps(await subscribed.told())) for _ in FEATURES]


@requirement("F15")
@pytest.mark.parametrize("status", [400, 406, 415, 488])
async def test_f15_a_phone_that_does_not_read_multipart_gets_one_each(
    caller: Caller, status: int
) -> None:
    """At once, and with the next full state as well."""
    subscribed = await caller.subscribe(status=status)

    assert await pieces(subscribed) == PIECES
    await caller.nothing()
    await subscribed.send()
    assert await pieces(subscribed) == PIECES


@requirement("F15", "D10")
async def test_f15_a_full_state_that_does_not_get_through_comes_in_pieces(
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
    await subscribed.send()
    assert await pieces(subscribed) == PIECES


@requirement("F10", "F15")
async def test_f15_a_fetch_that_does_not_get_through_ends_with_its_last_piece(
    caller: Caller, clock: ManualClock
) -> None:
    """The phone would not take what follows a terminated."""
    fetched = await caller.subscribe({"Expires": "0"}, status=0)
    clock.advance(3.5)
    repeats = [await caller.next_request() for _ in range(2)]

    states = [state_of(await fetched.told()) for _ in FEATURES]

    assert [repeat.raw for repeat in repeats] == [fetched.first.raw] * 2
    assert states == ["active;expires=0"] * 3 + ["terminated;reason=timeout"]


@requirement("F15")
async def test_f15_a_phone_that_has_got_the_multipart_is_not_told_in_pieces(
    caller: Caller, clock: ManualClock
) -> None:
    """A provisional answer says so."""
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
async def test_f15_a_phone_that_is_away_is_no_lesson(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """It gets nothing in any form for 32 s, and multipart when it is back."""
    subscribed = await caller.subscribe(status=0)
    clock.advance(31.9)
    still_connected = reception.connected
    clock.advance(0.1)
    await caller.so_far()
    connected = reception.connected

    await caller.call("REGISTER")

    assert still_connected and not connected
    assert list(lamps(await subscribed.told())) == list(FEATURES)


@requirement("F15")
@pytest.mark.parametrize("silence", [True, False])
@pytest.mark.parametrize(
    ("mine", "anothers"),
    [
        (f"<sip:201@192.0.2.1>;{INSTANCE}", f"<sip:201@192.0.2.1>;{INSTANCE}"),
        ("<sip:201@192.0.2.1>", "<sip:201@192.0.2.2>"),
    ],
    ids=["instance", "Contact"],
)
async def test_f15_what_a_phone_does_not_take_is_learned_for_that_phone(
    caller: Caller,
    colleague: Caller,
    stranger: Caller,
    clock: ManualClock,
    silence: bool,
    mine: str,
    anothers: str,
) -> None:
    """Not for others of its line, but for another line of the same phone."""
    mine, anothers = mine.format("000001"), anothers.format("000002")
    subscribed = await caller.subscribe({"Contact": mine}, status=0 if silence else 415)
    clock.advance(3.5)
    if silence:
        assert len([await caller.next_request() for _ in range(2)]) == 2
    await pieces(subscribed)

    other = await colleague.subscribe({"Contact": anothers})
    second_line = await stranger.subscribe({"Contact": mine})

    assert list(lamps(other.first)) == list(FEATURES)
    assert list(lamps(second_line.first)) == [DND]


@requirement("F15")
async def test_f15_of_too_many_phones_the_first_one_is_forgotten(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts are the phones' own words, so they could be any number."""
    monkeypatch.setattr("custom_components.dfks.features.styles.MAX_PHONES", 2)
    contacts = [{"Contact": f"<sip:201@192.0.2.{n}>"} for n in (1, 2, 3)]
    for contact in contacts:
        await caller.subscribe(contact, status=415)
        await caller.so_far()

    told = [
        len(lamps((await caller.subscribe(contact | {"Expires": "0"})).first))
        for contact in contacts
    ]

    assert told == [4, 1, 1]


@requirement("F15")
async def test_f15_what_a_phone_has_taught_is_forgotten_after_a_day(
    caller: Caller, clock: ManualClock
) -> None:
    """A path is mended, a phone gets another firmware."""
    told = []
    await pieces(await caller.subscribe(status=415))
    for seconds in (86_399, 1):
        clock.advance(seconds)
        await caller.so_far()
        await caller.log_in()
        fetched = await caller.subscribe({"Expires": "0"})
        told.append(len(lamps(fetched.first)))
        await caller.settle()

    assert told == [1, 4]


@requirement("F15")
@pytest.mark.parametrize("status", [400, 406, 415, 488])
async def test_f15_a_phone_that_does_not_read_anything_is_left_in_peace(
    caller: Caller, switch: Switch, clock: ManualClock, status: int
) -> None:
    """One document is not refused for its form, so there is no other to try."""
    subscribed = await caller.subscribe()
    await switch(DND, True)

    await subscribed.told(status)
    clock.advance(600)

    await caller.nothing()


@requirement("F15")
async def test_f15_multipart_that_is_refused_for_a_while_comes_in_another_form(
    caller: Caller, clock: ManualClock
) -> None:
    """After the pause that was asked for."""
    response = await caller.call("SUBSCRIBE")
    caller.answer(await caller.next_request(), 415, retry_after="5")
    await caller.nothing()

    clock.advance(5)
    notify = await caller.next_request()

    assert response.status == 200
    assert list(lamps(notify)) == [DND]


@requirement("F15")
async def test_f15_of_two_phones_that_refuse_multipart_both_get_one_each(
    caller: Caller, colleague: Caller
) -> None:
    """The second refusal comes when the first phone is told separately already."""
    first = await caller.subscribe(status=0)
    second = await colleague.subscribe(status=0)

    for subscribed in (first, second):
        await subscribed.answer(subscribed.first, 415)
    told = [[await s.told() for _ in range(4)] for s in (first, second)]

    for notifies in told:
        assert [list(lamps(notify)) for notify in notifies] == [[f] for f in FEATURES]


@requirement("F17")
async def test_f17_separate_notifies_carry_the_newest_values(
    caller: Caller, sync: FeatureSync, switch: Switch
) -> None:
    """A feature that changes while its turn has not come is told once."""
    configure(sync, style=NotifyStyle.SEPARATE)
    subscribed = await caller.subscribe(status=0)
    await switch(NO_ANSWER, True, "9")
    await subscribed.answer(subscribed.first)
    rest = [await subscribed.told() for _ in range(3)]

    assert [list(lamps(notify)) for notify in rest] == [[ALWAYS], [BUSY], [NO_ANSWER]]
    assert lamps(rest[-1])[NO_ANSWER] == Lamp(on=True, target="9", rings=3)
    await caller.nothing()


@requirement("F10", "F17")
async def test_f17_only_the_last_of_separate_notifies_ends_it(
    caller: Caller, sync: FeatureSync
) -> None:
    """The phone would not take what follows a terminated."""
    configure(sync, style=NotifyStyle.SEPARATE)
    fetched = await caller.subscribe({"Expires": "0"})
    notifies = [fetched.first, *[await fetched.told() for _ in range(3)]]

    states = [state_of(notify) for notify in notifies]
    assert states == ["active;expires=0"] * 3 + ["terminated;reason=timeout"]
    await caller.nothing()
