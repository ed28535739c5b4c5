"""How the states of a line's features are told: in which NOTIFYs, of which size."""

import pytest

from custom_components.dfks.features.model import NotifyStyle
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.phone import (
    ALWAYS,
    BUSY,
    DND,
    FEATURES,
    NO_ANSWER,
    Lamp,
    set_dnd,
    set_forwarding,
)
from tests.server import line_config
from tests.sip.caller import Caller, state_of

from .caller import lamps
from .conftest import Switch

requirement = pytest.mark.requirement


@requirement("D10")
async def test_d10_a_full_state_goes_over_the_flow_of_the_subscribe(
    caller: Caller, server: SipServer
) -> None:
    """About 1.9 kB over UDP: IP fragments it, as with every server in the field."""
    subscribed = await caller.subscribe()

    assert 1500 < len(subscribed.first.raw) < 2200
    assert caller.source == ("127.0.0.1", server.port)


@requirement("D10")
async def test_d10_separate_notifies_are_small(
    caller: Caller, sync: FeatureSync
) -> None:
    """One feature each, one after another, each below 1300 octets."""
    sync.update_line(line_config("201", style=NotifyStyle.SEPARATE))

    subscribed = await caller.subscribe(status=0)
    await caller.nothing()
    notifies = [subscribed.first]
    for _ in range(3):
        await subscribed.answer(notifies[-1])
        notifies.append(await subscribed.told(status=0))
    await subscribed.answer(notifies[-1])

    assert [list(lamps(notify)) for notify in notifies] == [[f] for f in FEATURES]
    assert all(len(notify.raw) < 1300 for notify in notifies)
    await caller.nothing()


@requirement("F17")
async def test_f17_one_changed_feature_is_a_single_part(
    caller: Caller, switch: Switch
) -> None:
    """However often it changed."""
    subscribed = await caller.subscribe()
    await switch(DND, True)
    held = await subscribed.told(status=0)
    for target in ("1", "2", "3"):
        await switch(NO_ANSWER, True, target)

    await subscribed.answer(held)
    notify = await subscribed.told()

    assert lamps(notify) == {NO_ANSWER: Lamp(on=True, target="3", rings=3)}
    assert notify.get("Content-Type") == "application/x-as-feature-event+xml"


@requirement("F18")
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "application/x-as-feature-event+xml",
        "text/plain",
        "*/*",
        "application/pidf+xml;q=0",
    ],
)
async def test_f18_accept_does_not_matter(caller: Caller, accept: str | None) -> None:
    """Phones never list multipart/mixed, and read it."""
    subscribed = await caller.subscribe({"Accept": accept})

    assert list(lamps(subscribed.first)) == list(FEATURES)


@requirement("F25")
async def test_f25_a_key_lights_the_lamps_of_all_phones(
    caller: Caller, colleague: Caller, stranger: Caller, stream: Caller
) -> None:
    """Of the line: the sender's too, and nobody else's."""
    phones = [await phone.subscribe() for phone in (caller, colleague, stream)]
    await stranger.subscribe()

    response = await phones[0].send(body=set_forwarding("no-answer", True, "2424", 5))
    notifies = [await phone.told() for phone in phones]

    assert response.status == 200
    for notify in notifies:
        assert lamps(notify) == {NO_ANSWER: Lamp(on=True, target="2424", rings=5)}
    for phone in (caller, colleague, stream, stranger):
        await phone.nothing()


@requirement("F25")
async def test_f25_without_a_body_everything_is_told(
    caller: Caller, switch: Switch
) -> None:
    """In the order of the features, as multipart."""
    await switch(DND, True)
    await switch(BUSY, True, "2424")
    subscribed = await caller.subscribe()

    assert lamps(subscribed.first) == {
        DND: Lamp(on=True),
        ALWAYS: Lamp(on=False),
        BUSY: Lamp(on=True, target="2424"),
        NO_ANSWER: Lamp(on=False, rings=3),
    }
    assert subscribed.first.get("Content-Type").startswith("multipart/mixed; boundary=")


@requirement("F25")
async def test_f25_an_initial_subscribe_may_bring_a_change(
    caller: Caller, colleague: Caller
) -> None:
    """That feature is told, to those who watch already as well."""
    watching = await colleague.subscribe()

    subscribed = await caller.subscribe(body=set_dnd(True))

    assert lamps(subscribed.first) == {DND: Lamp(on=True)}
    assert lamps(await watching.told()) == {DND: Lamp(on=True)}


@requirement("F25")
async def test_f25_a_key_that_changes_nothing_is_told_to_its_phone_only(
    caller: Caller, colleague: Caller
) -> None:
    """Two phones that answer each other's NOTIFYs come to rest."""
    sender, other = await caller.subscribe(), await colleague.subscribe()

    await sender.send(body=set_dnd(False))

    assert lamps(await sender.told()) == {DND: Lamp(on=False)}
    await colleague.nothing()
    assert other.response.status == 200


@requirement("F10", "F25")
async def test_f10_an_unsubscribe_may_bring_a_change(caller: Caller) -> None:
    """The last NOTIFY tells everything, the change included."""
    subscribed = await caller.subscribe()

    await subscribed.send({"Expires": "0"}, set_dnd(True))
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=timeout"
    assert lamps(last)[DND] == Lamp(on=True)
    assert len(lamps(last)) == 4
    await caller.nothing()
