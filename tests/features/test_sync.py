"""The way of a change, and of the state, over real sockets."""

from dataclasses import replace
import gc
import weakref

import pytest

from custom_components.dfks.features.model import (
    ChangeOutcome,
    ChangeRefused,
    ChangeRequest,
    ConnectionChanged,
    Feature,
    FeatureChanged,
    FeatureState,
    Line,
    LineConfig,
    LineEvent,
    NotifyStyle,
    Origin,
    Refusal,
    WatchersChanged,
)
from custom_components.dfks.features.sync import FeatureSync
from tests.clock import ManualClock
from tests.loopback import HOST, PASSWORDS
from tests.phone import SILENCE, Lamp, Notification, Phone, set_dnd, set_forwarding
from tests.server import Running, States, line_config, running_server

from .conftest import Connect, features_told, told

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
BUSY = Feature.CALL_FORWARDING_BUSY
NO_ANSWER = Feature.CALL_FORWARDING_NO_ANSWER

ALL_FOUR = [str(feature) for feature in Feature]

DARK = {
    DND: Lamp(False),
    ALWAYS: Lamp(False),
    BUSY: Lamp(False),
    NO_ANSWER: Lamp(False, rings=3),
}


def change(
    feature: Feature = DND,
    status: bool | None = None,
    forward_to: str | None = None,
    ring_count: int | None = None,
    *,
    origin: Origin = Origin.ENTITY,
) -> ChangeRequest:
    """Return a wish of Home Assistant."""
    return ChangeRequest(
        feature=feature,
        status=status,
        forward_to=forward_to,
        ring_count=ring_count,
        origin=origin,
    )


def changes(events: list[LineEvent]) -> list[FeatureChanged]:
    """Return the changes among events."""
    return [event for event in events if isinstance(event, FeatureChanged)]


def connections(events: list[LineEvent]) -> list[bool]:
    """Return what events say of the line's phones."""
    return [event.connected for event in events if isinstance(event, ConnectionChanged)]


# The full state


async def test_a_subscription_begins_with_the_full_state(connect: Connect) -> None:
    """All four features in their order, in one NOTIFY."""
    phone = await connect(subscribe=False)

    await phone.subscribe()

    notification = await phone.notification()
    assert [document.feature for document in notification.documents] == ALL_FOUR
    assert notification.features == DARK
    assert notification.request.get("Content-Type").startswith("multipart/mixed")
    assert phone.violations == []


async def test_stored_states_are_there_before_the_first_subscribe(
    clock: ManualClock,
) -> None:
    """A restart does not put out a lamp."""
    stored: States = {
        DND: FeatureState(True),
        ALWAYS: FeatureState(False, "1001"),
        BUSY: FeatureState(True, "sip:1002@pbx.example"),
        NO_ANSWER: FeatureState(True, "1003", 7),
    }

    async with (
        running_server(clock, states={"line-201": stored}) as (_, _, port),
        Phone("201", PASSWORDS["201"], (HOST, port)) as phone,
    ):
        await phone.subscribe()
        await phone.notification()

        assert phone.features == {
            DND: Lamp(True),
            ALWAYS: Lamp(False, "1001"),
            BUSY: Lamp(True, "sip:1002@pbx.example"),
            NO_ANSWER: Lamp(True, "1003", 7),
        }
        assert phone.violations == []


@pytest.mark.parametrize(
    "assigned", [(DND,), (BUSY,), (NO_ANSWER, DND), (ALWAYS, BUSY, NO_ANSWER)]
)
async def test_unassigned_features_are_left_out(
    clock: ManualClock, assigned: tuple[Feature, ...]
) -> None:
    """One feature comes as a plain document, several as multipart, in their order."""
    lines = [line_config("201", assigned=assigned)]

    async with (
        running_server(clock, lines=lines) as (_, _, port),
        Phone("201", PASSWORDS["201"], (HOST, port)) as phone,
    ):
        await phone.subscribe()
        notification = await phone.notification()

        assert list(notification.features) == sorted(assigned, key=list(Feature).index)
        kind = notification.request.get("Content-Type").partition(";")[0]
        assert kind == (
            "multipart/mixed"
            if len(assigned) > 1
            else "application/x-as-feature-event+xml"
        )
        assert phone.violations == []


async def test_without_features_the_notify_has_no_body(clock: ManualClock) -> None:
    """And no Content-Type either."""
    lines = [line_config("201", assigned=())]

    async with (
        running_server(clock, lines=lines) as (_, _, port),
        Phone("201", PASSWORDS["201"], (HOST, port)) as phone,
    ):
        await phone.subscribe()
        notification = await phone.notification()

        assert notification.request.body == b""
        assert not notification.request.has("Content-Type")
        assert notification.request.get("Content-Length") == "0"
        assert notification.state == "active"
        assert phone.violations == []


async def test_a_refresh_gets_the_full_state(phone: Phone) -> None:
    """A SUBSCRIBE without a body asks for it."""
    response = await phone.refresh()

    assert response.status == 200
    assert await features_told(phone) == [ALL_FOUR]


async def test_a_fetch_gets_the_full_state_and_stays_nowhere(
    connect: Connect, line: Line, events: list[LineEvent]
) -> None:
    """One NOTIFY ends what it begins, and nobody counts as connected."""
    phone = await connect(subscribe=False)

    response = await phone.fetch()

    notification = await phone.notification()
    assert response.number("Expires") == 0
    assert (notification.state, notification.reason) == ("terminated", "timeout")
    assert notification.features == DARK
    assert (line.connected, line.watchers, events) == (False, 0, [])


@pytest.mark.usefixtures("separate")
async def test_separate_notifies_tell_one_feature_each(connect: Connect) -> None:
    """In their order, one after the other was answered, each a plain document."""
    phone = await connect(subscribe=False)
    phone.answer_next(SILENCE)

    await phone.subscribe()
    (first,) = await told(phone)
    phone.respond(first)
    others = await told(phone)

    assert [list(each.features) for each in (first, *others)] == [
        [feature] for feature in ALL_FOUR
    ]
    assert [each.cseq for each in (first, *others)] == [1, 2, 3, 4]
    assert {each.request.get("Content-Type") for each in (first, *others)} == {
        "application/x-as-feature-event+xml"
    }
    assert phone.violations == []


@pytest.mark.usefixtures("separate")
async def test_only_the_last_of_separate_notifies_ends_the_subscription(
    phone: Phone,
) -> None:
    """What came before it could not be told otherwise."""
    await told(phone)

    await phone.unsubscribe()

    ends = await told(phone)
    assert [list(each.features) for each in ends] == [[name] for name in ALL_FOUR]
    assert [each.state for each in ends] == ["active"] * 3 + ["terminated"]
    assert ends[-1].reason == "timeout"


@pytest.mark.parametrize("status", [400, 406, 415, 488])
async def test_a_phone_that_refuses_multipart_is_told_one_by_one(
    connect: Connect, status: int
) -> None:
    """At once, and the line's other phones from then on too."""
    phone = await connect(subscribe=False)
    phone.answer_next(status)

    await phone.subscribe()
    first, *others = await told(phone)

    assert list(first.features) == ALL_FOUR
    assert [list(each.features) for each in others] == [[name] for name in ALL_FOUR]
    colleague = await connect(subscribe=False)
    await colleague.subscribe()
    assert await features_told(colleague) == [[name] for name in ALL_FOUR]


async def test_a_phone_that_refuses_a_single_document_is_not_asked_again(
    phone: Phone, sync: FeatureSync
) -> None:
    """There is no other form; it is told with the next change."""
    phone.answer_next(415)

    await sync.change("line-201", change(DND, True))
    assert await features_told(phone) == [["DoNotDisturb"]]

    await sync.change("line-201", change(BUSY, forward_to="1"))
    assert await features_told(phone) == [["DoNotDisturb", "CallForwardingBusy"]]


# A phone's key


@pytest.mark.parametrize(
    ("body", "feature", "state", "lamp"),
    [
        (set_dnd(True), DND, FeatureState(True), Lamp(True)),
        (
            set_forwarding("always", True, "1001"),
            ALWAYS,
            FeatureState(True, "1001"),
            Lamp(True, "1001"),
        ),
        (
            set_forwarding("busy", True, "sip:1002@h"),
            BUSY,
            FeatureState(True, "sip:1002@h"),
            Lamp(True, "sip:1002@h"),
        ),
        (
            set_forwarding("no-answer", True, "1003", 9),
            NO_ANSWER,
            FeatureState(True, "1003", 9),
            Lamp(True, "1003", 9),
        ),
        (
            set_forwarding("no-answer", False, "1003"),
            NO_ANSWER,
            FeatureState(False, "1003", 3),
            Lamp(False, "1003", 3),
        ),
    ],
)
async def test_a_key_changes_the_state_and_every_lamp(
    phone: Phone,
    colleague: Phone,
    line: Line,
    body: bytes,
    feature: Feature,
    state: FeatureState,
    lamp: Lamp,
) -> None:
    """200, then one NOTIFY of that feature alone, the sender's included."""
    response = await phone.refresh(body=body)

    assert response.status == 200
    assert line.state(feature) == state
    for each in (phone, colleague):
        (notification,) = await told(each)
        assert notification.features == {feature: lamp}
        assert notification.state == "active"
        assert each.features == DARK | {feature: lamp}
        assert each.violations == []


@pytest.mark.parametrize("kind", ["always", "busy", "no-answer"])
async def test_a_forwarding_with_nowhere_to_go_is_off(
    phone: Phone, colleague: Phone, events: list[LineEvent], kind: str
) -> None:
    """200, and the phone is told so: its lamp must not promise what nobody does."""
    response = await phone.set_forward(kind, True)

    assert response.status == 200
    (notification,) = await told(phone)
    assert [lamp.on for lamp in notification.features.values()] == [False]
    assert await told(colleague) == []
    assert changes(events) == []


async def test_a_forwarding_with_nowhere_to_go_keeps_its_rings(
    phone: Phone, line: Line
) -> None:
    """What can be stored of a key is."""
    await phone.set_forward("no-answer", True, rings=7)

    assert line.state(NO_ANSWER) == FeatureState(False, "", 7)


async def test_home_assistant_is_refused_a_forwarding_with_nowhere_to_go(
    phone: Phone, sync: FeatureSync, line: Line
) -> None:
    """And nothing of the change is made."""
    with pytest.raises(ChangeRefused) as refused:
        await sync.change("line-201", change(NO_ANSWER, True, ring_count=7))

    assert refused.value.refusal is Refusal.TARGET_MISSING
    assert line.states() == {}
    assert await told(phone) == []


async def test_a_key_is_known_by_its_phone(
    phone: Phone, events: list[LineEvent]
) -> None:
    """Listeners learn what was asked and from where."""
    await phone.set_forward("no-answer", True, "2424", "many")

    host, port = phone.link.local
    (event,) = changes(events)
    assert event.line.user == "201"
    assert (event.old, event.new) == (FeatureState(), FeatureState(True, "2424", 3))
    assert event.change == ChangeRequest(
        feature=NO_ANSWER,
        status=True,
        forward_to="2424",
        ring_count=None,
        origin=Origin.PHONE,
        source=f"{host}:{port}",
        agent="Simulated-Phone/1.0",
    )


@pytest.mark.parametrize("kind", ["always", "busy", "no-answer"])
async def test_a_phone_that_names_no_target_keeps_the_stored_one(
    phone: Phone, line: Line, kind: str, clock: ManualClock
) -> None:
    """Absent and empty mean the same; target and rings come back with the next on."""
    feature = {"always": ALWAYS, "busy": BUSY, "no-answer": NO_ANSWER}[kind]
    rings = 5 if kind == "no-answer" else None
    await phone.set_forward(kind, True, "2424", rings)

    clock.advance(2)
    await phone.set_forward(kind, False)
    assert line.state(feature) == FeatureState(False, "2424", rings or 3)

    clock.advance(2)
    await phone.set_forward(kind, True, "", "")
    assert line.state(feature) == FeatureState(True, "2424", rings or 3)
    assert phone.features[feature] == Lamp(True, "2424", rings)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("*21*300#", "*21*300#"),
        ("+49 (30) 12-34", "+49301234"),
        ("sip:a&b@pbx;c='d'", "sip:a&b@pbx;c='d'"),
    ],
)
async def test_a_phones_target_is_what_can_be_dialled(
    phone: Phone, sent: str, stored: str
) -> None:
    """A number without its separators, and a SIP address as it is."""
    await phone.set_forward("busy", True, sent)

    await phone.until(lambda lamps: lamps[BUSY] == Lamp(True, stored))
    assert phone.violations == []


@pytest.mark.parametrize("sent", ["hello world", "bob", '"A" <sip:x@y>', "café"])
async def test_a_phones_target_that_nobody_can_call_is_refused(
    phone: Phone, line: Line, sent: str
) -> None:
    """With the reason; nothing is stored."""
    response = await phone.set_forward("busy", True, sent)

    assert (response.status, response.reason) == (400, "Bad Feature Document")
    assert response.get("Warning") == (
        '399 dfks "forwardDN is neither a number nor a SIP URI"'
    )
    assert line.states() == {}


async def test_a_target_that_is_stored_is_told_whatever_letters_it_has(
    phone: Phone, sync: FeatureSync
) -> None:
    """One of a version before, or one that the set hook has put in its place."""
    target = '"A & B" <sip:x@y> café € \U0001f514'

    await sync.change("line-201", change(BUSY, True, target))

    await phone.until(lambda lamps: lamps[BUSY] == Lamp(True, target))
    assert phone.violations == []


async def test_an_initial_subscribe_may_press_a_key(
    connect: Connect, line: Line
) -> None:
    """It gets that feature; the rest comes with the next refresh."""
    phone = await connect(subscribe=False)

    response = await phone.subscribe(body=set_dnd(True))

    assert response.status == 200
    assert line.state(DND) == FeatureState(True)
    assert await features_told(phone) == [["DoNotDisturb"]]


async def test_an_unsubscribe_may_press_a_key(
    phone: Phone, colleague: Phone, line: Line
) -> None:
    """The last NOTIFY tells everything, the change included."""
    response = await phone.refresh(0, body=set_dnd(True))

    assert response.status == 200
    assert line.state(DND) == FeatureState(True)
    (last,) = await told(phone)
    assert (last.state, last.reason) == ("terminated", "timeout")
    assert last.features == DARK | {DND: Lamp(True)}
    assert await features_told(colleague) == [["DoNotDisturb"]]


async def test_three_phones_see_each_others_keys(
    connect: Connect, clock: ManualClock
) -> None:
    """Over UDP and TCP alike, each change once."""
    phones = [
        await connect(),
        await connect(transport="tcp"),
        await connect(transport="tcp"),
    ]

    await phones[0].set_dnd(True)
    await phones[1].set_forward("busy", True, "1")
    clock.advance(2)
    await phones[2].set_dnd(False)

    for phone in phones:
        assert [each.features for each in await told(phone)] == [
            {DND: Lamp(True)},
            {BUSY: Lamp(True, "1")},
            {DND: Lamp(False)},
        ]
        assert phone.violations == []


async def test_another_line_hears_nothing(connect: Connect, sync: FeatureSync) -> None:
    """A line's features are its own."""
    phone, stranger = await connect(), await connect("202")

    await phone.set_dnd(True)

    assert await told(stranger) == []
    assert sync.lines["line-202"].state(DND) == FeatureState(False)


# What cannot be


async def full_state_alone(phone: Phone) -> Notification:
    """Return the one NOTIFY that has come; it must tell everything."""
    (notification,) = await told(phone)
    assert notification.state == "active"
    return notification


@pytest.mark.parametrize(
    "body",
    [
        b"<SetAgentState><requestedAgentState>ready</requestedAgentState></SetAgentState>",
        b"<DoNotDisturbEvent><doNotDisturbOn>true</doNotDisturbOn></DoNotDisturbEvent>",
        set_forwarding("forwardSelective", True, "1"),
    ],
)
async def test_an_unknown_command_gets_the_full_state(
    phone: Phone, colleague: Phone, line: Line, events: list[LineEvent], body: bytes
) -> None:
    """200, and nothing else happens."""
    response = await phone.refresh(body=body)

    assert response.status == 200
    assert (await full_state_alone(phone)).features == DARK
    assert await told(colleague) == []
    assert changes(events) == []
    assert line.states() == {}


@pytest.mark.parametrize(
    "body",
    [set_forwarding("busy", True, "1"), set_forwarding("no-answer", True, "1", 4)],
)
async def test_an_unassigned_feature_gets_the_full_state(
    phone: Phone, sync: FeatureSync, line: Line, events: list[LineEvent], body: bytes
) -> None:
    """Which is without that feature, so that the phone puts its lamp out."""
    sync.update_line(line_config("201", assigned=(DND, ALWAYS)))
    await told(phone)

    response = await phone.refresh(body=body)

    assert response.status == 200
    assert list((await full_state_alone(phone)).features) == [DND, ALWAYS]
    assert changes(events) == []
    assert line.states() == {}


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (b"<SetDoNotDisturb>", "The XML is malformed"),
        (b"<!DOCTYPE x><SetDoNotDisturb/>", "DOCTYPE is not allowed"),
        (b"<SetDoNotDisturb/>", "doNotDisturbOn is missing"),
        (
            set_dnd(True).replace(b"true", b"on"),
            "doNotDisturbOn is neither true nor false",
        ),
        (
            set_forwarding("busy", True).replace(b"true", b"maybe"),
            "activateForward is neither true nor false",
        ),
        (set_forwarding("", True), "forwardingType is missing"),
        (
            set_forwarding("busy", True, "1\n2"),
            "forwardDN is too long or holds a line break",
        ),
    ],
)
async def test_a_bad_body_is_refused_and_the_lamp_set_right(
    phone: Phone,
    colleague: Phone,
    line: Line,
    events: list[LineEvent],
    body: bytes,
    warning: str,
    clock: ManualClock,
) -> None:
    """400 with a reason, the stored full state, nothing changed; the dialog lives on."""
    await phone.set_dnd(True)
    await told(phone)
    await told(colleague)
    events.clear()

    response = await phone.refresh(body=body)

    assert (response.status, response.reason) == (400, "Bad Feature Document")
    assert response.get("Warning") == f'399 dfks "{warning}"'
    assert (await full_state_alone(phone)).features == DARK | {DND: Lamp(True)}
    assert await told(colleague) == []
    assert events == []
    assert line.states() == {DND: FeatureState(True)}
    clock.advance(2)
    assert (await phone.set_dnd(False)).status == 200
    assert await features_told(phone) == [["DoNotDisturb"]]
    assert phone.violations == []


async def test_a_bad_body_uses_up_its_cseq(phone: Phone) -> None:
    """The request was in order all but its body (RFC 3261 12.2.2)."""
    await phone.refresh(body=b"<SetDoNotDisturb/>")
    assert phone.dialog is not None
    phone.dialog.cseq -= 1

    response = await phone.refresh()

    assert response.status == 500


async def test_a_bad_body_in_an_initial_subscribe_leaves_no_dialog(
    connect: Connect, line: Line, events: list[LineEvent]
) -> None:
    """There is no lamp yet to be set right."""
    phone = await connect(subscribe=False)

    response = await phone.subscribe(body=b"<SetDoNotDisturb/>")

    assert response.status == 400
    assert response.get("Warning") == '399 dfks "doNotDisturbOn is missing"'
    assert await told(phone) == []
    assert phone.strays == []
    assert (line.watchers, events) == (0, [])


async def test_a_bad_body_in_an_unsubscribe_ends_nothing(
    phone: Phone, line: Line
) -> None:
    """A refused request changes nothing at all."""
    response = await phone.refresh(0, body=b"<SetDoNotDisturb/>")

    assert response.status == 400
    assert (await full_state_alone(phone)).state == "active"
    assert line.watchers == 1


# Changes from Home Assistant


@pytest.mark.parametrize("origin", [Origin.ENTITY, Origin.ACTION])
@pytest.mark.parametrize(
    ("wish", "state", "lamp"),
    [
        (change(DND, True), FeatureState(True), Lamp(True)),
        (change(BUSY, forward_to="1"), FeatureState(False, "1"), Lamp(False, "1")),
        (change(BUSY, True, "1"), FeatureState(True, "1"), Lamp(True, "1")),
        (
            change(NO_ANSWER, ring_count=0),
            FeatureState(False, "", 0),
            Lamp(False, "", 0),
        ),
        (
            change(NO_ANSWER, True, "1", 100),
            FeatureState(True, "1", 100),
            Lamp(True, "1", 100),
        ),
    ],
)
async def test_a_change_of_home_assistant_reaches_every_phone(
    phone: Phone,
    colleague: Phone,
    sync: FeatureSync,
    line: Line,
    wish: ChangeRequest,
    state: FeatureState,
    lamp: Lamp,
    origin: Origin,
) -> None:
    """One NOTIFY of that feature alone; the caller learns the state and how many."""
    before = line.state(wish.feature)
    outcome = await sync.change("line-201", replace(wish, origin=origin))

    assert outcome == ChangeOutcome(before, state, told=2)
    assert line.state(wish.feature) == state
    for each in (phone, colleague):
        (notification,) = await told(each)
        assert notification.features == {wish.feature: lamp}
        assert each.violations == []


async def test_a_change_needs_no_phone(sync: FeatureSync, line: Line) -> None:
    """The first one that comes is told."""
    outcome = await sync.change("line-201", change(DND, True))

    assert outcome == ChangeOutcome(FeatureState(), FeatureState(True), told=0)
    assert line.state(DND) == FeatureState(True)


async def test_a_change_of_an_unassigned_feature_is_told_to_nobody(
    phone: Phone, sync: FeatureSync, line: Line
) -> None:
    """It is stored for the day that the feature is assigned."""
    sync.update_line(line_config("201", assigned=(DND,)))
    await told(phone)

    outcome = await sync.change(
        "line-201", change(BUSY, True, "1", origin=Origin.ACTION)
    )

    assert outcome == ChangeOutcome(FeatureState(), FeatureState(True, "1"), told=0)
    assert line.state(BUSY) == FeatureState(True, "1")
    assert await told(phone) == []


async def test_a_change_of_an_unknown_line(sync: FeatureSync) -> None:
    """There is none to change."""
    with pytest.raises(ChangeRefused, match="removed"):
        await sync.change("line-999", change(DND, True))


@pytest.mark.parametrize("origin", [Origin.ENTITY, Origin.ACTION])
async def test_clearing_a_target_turns_the_forwarding_off(
    phone: Phone, sync: FeatureSync, origin: Origin
) -> None:
    """It would lead nowhere; rings stay."""
    await sync.change("line-201", change(NO_ANSWER, True, "2424", 8))
    await told(phone)

    outcome = await sync.change(
        "line-201", change(NO_ANSWER, forward_to="", origin=origin)
    )

    assert outcome.state == FeatureState(False, "", 8)
    await phone.until(lambda lamps: lamps[NO_ANSWER] == Lamp(False, "", 8))
    assert await told(phone) == []


# Damping


@pytest.fixture
async def still(phone: Phone, colleague: Phone, sync: FeatureSync) -> None:
    """Let line 201 have DND and two forwardings on, and both phones know it."""
    await sync.change("line-201", change(DND, True))
    await sync.change("line-201", change(BUSY, True, "2424"))
    await sync.change("line-201", change(NO_ANSWER, True, "2424", 6))
    for each in (phone, colleague):
        await told(each)


SAME_FROM_PHONE = {
    "DND": set_dnd(True),
    "target": set_forwarding("busy", True, "2424"),
    "no target": set_forwarding("busy", True),
    "rings that do not count": set_forwarding("busy", True, "2424", 9),
    "target and rings": set_forwarding("no-answer", True, "2424", 6),
    "garbled rings": set_forwarding("no-answer", True, "", "many"),
}

SAME_FROM_HOME_ASSISTANT = [
    change(DND, True),
    change(DND),
    change(BUSY, True),
    change(BUSY, forward_to="2424"),
    change(NO_ANSWER, True, "2424", 6),
    change(ALWAYS, False),
    change(ALWAYS, forward_to=""),
]


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("body", SAME_FROM_PHONE.values(), ids=SAME_FROM_PHONE.keys())
async def test_a_phones_change_that_changes_nothing_is_told_to_it_alone(
    phone: Phone, colleague: Phone, events: list[LineEvent], body: bytes
) -> None:
    """Its lamp follows the NOTIFY; a loop of two phones comes to rest."""
    events.clear()

    response = await phone.refresh(body=body)

    assert response.status == 200
    assert len(await features_told(phone)) == 1
    assert await told(colleague) == []
    assert events == []


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("wish", SAME_FROM_HOME_ASSISTANT)
async def test_an_entitys_change_that_changes_nothing_is_told_to_nobody(
    phone: Phone,
    colleague: Phone,
    sync: FeatureSync,
    line: Line,
    events: list[LineEvent],
    wish: ChangeRequest,
) -> None:
    """Turning on what is on costs nothing."""
    events.clear()
    state = line.state(wish.feature)

    outcome = await sync.change("line-201", wish)

    assert outcome == ChangeOutcome(state, state, told=0)
    assert await told(phone) == await told(colleague) == []
    assert events == []


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("wish", SAME_FROM_HOME_ASSISTANT)
async def test_an_actions_change_that_changes_nothing_is_told_to_all(
    phone: Phone,
    colleague: Phone,
    sync: FeatureSync,
    line: Line,
    events: list[LineEvent],
    wish: ChangeRequest,
) -> None:
    """So that there is a way to set every lamp right."""
    events.clear()
    state = line.state(wish.feature)

    outcome = await sync.change("line-201", replace(wish, origin=Origin.ACTION))

    assert outcome == ChangeOutcome(state, state, told=2)
    for each in (phone, colleague):
        assert await features_told(each) == [[wish.feature]]
    assert events == []


# One NOTIFY at a time


async def test_what_changes_meanwhile_is_told_in_one_notify(
    phone: Phone, sync: FeatureSync
) -> None:
    """Each changed feature once, with its newest state, in their order."""
    phone.answer_next(SILENCE)
    await sync.change("line-201", change(DND, True))
    (first,) = await told(phone)
    await sync.change("line-201", change(NO_ANSWER, ring_count=5))
    await sync.change("line-201", change(BUSY, True, "1"))
    await sync.change("line-201", change(BUSY, forward_to="2"))
    await sync.change("line-201", change(NO_ANSWER, ring_count=6))
    assert await told(phone) == []

    phone.respond(first)

    (second,) = await told(phone)
    assert list(second.features.items()) == [
        (BUSY, Lamp(True, "2")),
        (NO_ANSWER, Lamp(False, "", 6)),
    ]
    assert second.cseq == first.cseq + 1
    assert phone.violations == []


async def test_what_went_back_meanwhile_is_told_once(
    phone: Phone, sync: FeatureSync, clock: ManualClock
) -> None:
    """The newest state of one feature is a plain document."""
    phone.answer_next(SILENCE)
    await sync.change("line-201", change(DND, True))
    (first,) = await told(phone)
    await sync.change("line-201", change(DND, False))
    await sync.change("line-201", change(DND, True))
    await sync.change("line-201", change(DND, False))

    phone.respond(first)
    assert await told(phone) == []
    clock.advance(1)

    assert [each.features for each in await told(phone)] == [{DND: Lamp(False)}]


async def test_a_slow_phone_does_not_hold_up_another(
    phone: Phone, colleague: Phone, sync: FeatureSync
) -> None:
    """Each dialog has its own pace."""
    phone.answer_next(SILENCE)

    await sync.change("line-201", change(DND, True))
    await sync.change("line-201", change(BUSY, True, "1"))

    assert len(await told(phone)) == 1
    assert len(await told(colleague)) == 2


# Who watches


async def test_phones_that_come_and_go_are_counted(
    connect: Connect, line: Line, events: list[LineEvent]
) -> None:
    """The first connects the line, the last disconnects it; each is told once."""
    first = await connect()
    assert (line.connected, line.watchers) == (True, 1)
    second = await connect()
    assert (line.connected, line.watchers) == (True, 2)
    await first.refresh()
    assert line.watchers == 2
    await first.unsubscribe()
    assert (line.connected, line.watchers) == (True, 1)
    assert connections(events) == [True]

    await second.unsubscribe()

    assert (line.connected, line.watchers) == (False, 0)
    assert connections(events) == [True, False]


async def test_each_phone_that_comes_and_goes_is_an_event(
    connect: Connect, line: Line, events: list[LineEvent]
) -> None:
    """With how many there are now; the line itself knows by then."""
    first = await connect()
    second = await connect()
    await first.unsubscribe()
    await second.unsubscribe()

    assert events == [
        WatchersChanged(line, 1),
        ConnectionChanged(line, connected=True),
        WatchersChanged(line, 2),
        WatchersChanged(line, 1),
        WatchersChanged(line, 0),
        ConnectionChanged(line, connected=False),
    ]


async def test_a_fetch_beside_a_subscription_changes_nothing(
    phone: Phone, line: Line, events: list[LineEvent]
) -> None:
    """Neither the count nor the connection."""
    await phone.fetch()
    await told(phone)

    assert (line.connected, line.watchers) == (True, 1)
    assert connections(events) == []


async def test_events_of_a_line_come_to_its_own_listeners_too(
    connect: Connect, line: Line, sync: FeatureSync
) -> None:
    """Each once, and none of another line."""
    heard: list[LineEvent] = []
    unsubscribe = line.subscribe(heard.append)
    await connect("202")
    await connect()

    await sync.change("line-201", change(DND, True))
    await sync.change("line-202", change(DND, True))
    unsubscribe()
    await sync.change("line-201", change(DND, False))

    assert heard == [
        WatchersChanged(line, 1),
        ConnectionChanged(line, connected=True),
        FeatureChanged(
            line, FeatureState(False), FeatureState(True), change(DND, True)
        ),
    ]


async def test_a_listener_of_all_lines_can_unsubscribe(sync: FeatureSync) -> None:
    """Others stay."""
    first: list[LineEvent] = []
    second: list[LineEvent] = []
    unsubscribe = sync.subscribe(first.append)
    sync.subscribe(second.append)
    await sync.change("line-201", change(DND, True))

    unsubscribe()
    await sync.change("line-202", change(DND, True))

    assert (len(first), len(second)) == (1, 2)


async def test_a_listener_sees_the_new_state(sync: FeatureSync, line: Line) -> None:
    """The model changes before anybody is told."""
    seen: list[FeatureState] = []
    sync.subscribe(lambda _: seen.append(line.state(DND)))

    await sync.change("line-201", change(DND, True))

    assert seen == [FeatureState(True)]


async def test_an_expired_subscription_disconnects(
    phone: Phone, line: Line, clock: ManualClock, events: list[LineEvent]
) -> None:
    """The phone is told the full state for the last time."""
    clock.advance(3601)

    (last,) = await told(phone)
    assert (last.state, last.reason) == ("terminated", "timeout")
    assert last.features == DARK
    assert (line.connected, line.watchers) == (False, 0)
    assert connections(events) == [False]


async def test_a_silent_phone_disconnects_until_it_is_heard(
    phone: Phone,
    line: Line,
    sync: FeatureSync,
    clock: ManualClock,
    events: list[LineEvent],
) -> None:
    """It gets the full state then, with all it has missed."""
    phone.answer_next(SILENCE)
    await sync.change("line-201", change(DND, True))
    clock.advance(33)
    assert (line.connected, line.watchers) == (False, 0)
    await sync.change("line-201", change(BUSY, True, "1"))
    await told(phone)

    await phone.register()

    (notification,) = await told(phone)
    assert notification.features == DARK | {DND: Lamp(True), BUSY: Lamp(True, "1")}
    assert (line.connected, line.watchers) == (True, 1)
    assert connections(events) == [False, True]


@pytest.mark.parametrize("status", [404, 481, 489])
async def test_a_phone_that_knows_nothing_is_dropped(
    phone: Phone, line: Line, sync: FeatureSync, events: list[LineEvent], status: int
) -> None:
    """And the next change is not told to it."""
    phone.answer_next(status)
    await sync.change("line-201", change(DND, True))
    await told(phone)

    outcome = await sync.change("line-201", change(DND, False))

    assert outcome.told == 0
    assert await told(phone) == []
    assert connections(events) == [False]
    assert line.watchers == 0


# Lines


async def test_a_line_says_how_it_is_addressed(running: Running) -> None:
    """By the realm, with what a URI cannot hold escaped."""
    line = running.sync.add_line(line_config("a b@c", "secret"))

    assert line.presentity == "sip:a%20b%40c@homeassistant"
    assert running.sync.lines["line-201"].presentity == "sip:201@homeassistant"


@pytest.mark.parametrize(
    "config",
    [
        line_config("201", line_id="line-new", auth_name="other"),
        line_config("203", auth_name="202"),
    ],
)
async def test_a_second_line_of_the_same_name_is_refused(
    sync: FeatureSync, config: object
) -> None:
    """Neither user nor authentication name may be taken; nothing changes then."""
    with pytest.raises(ValueError, match="is taken"):
        sync.add_line(config)  # type: ignore[arg-type]

    assert list(sync.lines) == ["line-201", "line-202"]


async def test_an_authentication_name_of_its_own(running: Running) -> None:
    """It is what the phone answers the challenge with."""
    running.sync.add_line(line_config("203", "secret", auth_name="hall"))

    async with Phone("203", "secret", (HOST, running.port), auth_name="hall") as phone:
        assert (await phone.subscribe()).status == 200
        assert (await phone.notification()).features == DARK
        assert phone.violations == []


@pytest.mark.parametrize(
    ("config", "is_another"),
    [
        (line_config("201"), False),
        (line_config("201", assigned=reversed(Feature)), False),
        (line_config("201", "new"), True),
        (line_config("201", auth_name="reception"), True),
        (line_config("201", assigned=(DND,)), True),
        (line_config("201", style=NotifyStyle.SEPARATE), True),
        (replace(line_config("201"), user="203"), True),
    ],
)
async def test_an_update_says_whether_anything_is_different(
    sync: FeatureSync, config: LineConfig, is_another: bool
) -> None:
    """Whoever has changed a line gets another chance only then."""
    assert sync.update_line(config) is is_another


async def test_a_new_password_keeps_the_dialog(
    phone: Phone, sync: FeatureSync, line: Line, clock: ManualClock
) -> None:
    """The old one is refused from then on; the phone is still told."""
    await phone.set_dnd(True)
    await told(phone)

    sync.update_line(line_config("201", "new"))

    assert await told(phone) == []
    assert (await phone.refresh()).status == 401
    clock.advance(2)
    await sync.change("line-201", change(DND, False))
    assert await features_told(phone) == [["DoNotDisturb"]]
    phone.digest.password = "new"
    assert (await phone.refresh()).status == 200
    assert sync.lines["line-201"] is line
    assert phone.violations == []


async def test_a_new_user_part_is_told_as_the_new_device(
    phone: Phone, sync: FeatureSync, line: Line
) -> None:
    """The phone is told at once, in the dialog that it has."""
    sync.update_line(line_config("209", line_id="line-201", auth_name="201"))

    (notification,) = await told(phone)
    assert {doc.fields["device"] for doc in notification.documents} == {"209"}
    assert line.presentity == "sip:209@homeassistant"
    assert (line.connected, line.watchers) == (True, 1)


async def test_newly_assigned_features_are_told_at_once(
    phone: Phone, sync: FeatureSync, line: Line, events: list[LineEvent]
) -> None:
    """With their stored states; what is no longer assigned is left out."""
    await sync.change("line-201", change(BUSY, True, "1"))
    await told(phone)
    events.clear()

    sync.update_line(line_config("201", assigned=(DND,)))
    assert await features_told(phone) == [["DoNotDisturb"]]

    sync.update_line(line_config("201", assigned=(BUSY, DND)))
    (notification,) = await told(phone)
    assert notification.features == {DND: Lamp(False), BUSY: Lamp(True, "1")}
    assert line.assigned == (DND, BUSY)
    assert events == []


async def test_another_style_is_used_from_the_next_notify(
    phone: Phone, sync: FeatureSync
) -> None:
    """It changes nothing that a phone would have to be told."""
    sync.update_line(line_config("201", style=NotifyStyle.SEPARATE))
    assert await told(phone) == []

    await phone.refresh()

    assert await features_told(phone) == [[name] for name in ALL_FOUR]


@pytest.mark.parametrize(
    "config",
    [
        line_config("202", "new", line_id="line-201", auth_name="201"),
        line_config("201", "new", auth_name="202"),
    ],
)
async def test_an_update_to_a_taken_name_changes_nothing(
    phone: Phone, sync: FeatureSync, line: Line, config: object
) -> None:
    """Not even the password."""
    before = line.configuration
    with pytest.raises(ValueError, match="is taken"):
        sync.update_line(config)  # type: ignore[arg-type]

    assert line.configuration == before
    assert (await phone.refresh()).status == 200
    assert await features_told(phone) == [ALL_FOUR]


async def test_an_update_that_changes_nothing_keeps_what_a_phone_has_taught(
    phone: Phone, sync: FeatureSync
) -> None:
    """A phone that refused multipart is not asked again."""
    phone.answer_next(415)
    await phone.refresh()
    await told(phone)

    changed = sync.update_line(line_config("201"))
    await phone.refresh()

    assert not changed
    assert await features_told(phone) == [[name] for name in ALL_FOUR]


async def test_a_style_that_is_chosen_anew_forgets_what_a_phone_has_taught(
    phone: Phone, sync: FeatureSync
) -> None:
    """Somebody has changed the setting there and back: multipart is tried again."""
    phone.answer_next(415)
    await phone.refresh()
    await told(phone)

    sync.update_line(line_config("201", style=NotifyStyle.SEPARATE))
    assert sync.update_line(line_config("201"))
    await phone.refresh()

    assert await features_told(phone) == [ALL_FOUR]


async def test_a_line_keeps_its_listeners_over_an_update(
    sync: FeatureSync, line: Line
) -> None:
    """Entities stay where they are."""
    heard: list[LineEvent] = []
    line.subscribe(heard.append)

    sync.update_line(line_config("201", "new", assigned=(DND,)))
    await sync.change("line-201", change(DND, True))

    assert len(heard) == 1


async def test_phones_of_a_removed_line_are_told_the_end(
    phone: Phone,
    colleague: Phone,
    sync: FeatureSync,
    line: Line,
    events: list[LineEvent],
) -> None:
    """Without a body: there is no state any more."""
    sync.remove_line("line-201")

    for each in (phone, colleague):
        (last,) = await told(each)
        assert (last.state, last.reason) == ("terminated", "noresource")
        assert last.request.body == b""
        assert not last.request.has("Content-Type")
        assert each.violations == []
    assert "line-201" not in sync.lines
    assert (line.connected, line.watchers) == (False, 0)
    assert connections(events) == [False]
    assert changes(events) == []


async def test_a_removed_line_is_let_go(
    connect: Connect, phone: Phone, sync: FeatureSync
) -> None:
    """Once its phone has been told, and with it those who listen to it."""

    def listen(event: LineEvent) -> None:
        """Hear of the line."""

    sync.lines["line-201"].subscribe(listen)
    gone = weakref.ref(listen)
    del listen

    sync.remove_line("line-201")
    await told(phone)
    await connect("202")
    gc.collect()

    assert gone() is None


async def test_a_removed_line_is_unknown(phone: Phone, sync: FeatureSync) -> None:
    """Its password opens nothing, and its name is free."""
    sync.remove_line("line-201")
    await told(phone)

    assert (await phone.subscribe()).status == 401
    with pytest.raises(ChangeRefused, match="removed"):
        await sync.change("line-201", change(DND, True))
    line = sync.add_line(line_config("201", "new"))
    assert line.states() == {}


async def test_a_line_may_be_removed_while_its_phone_is_silent(
    phone: Phone, sync: FeatureSync, events: list[LineEvent]
) -> None:
    """The end is told when the NOTIFY before it is out of the way."""
    phone.answer_next(SILENCE)
    await sync.change("line-201", change(DND, True))
    (first,) = await told(phone)

    sync.remove_line("line-201")
    assert await told(phone) == []
    phone.respond(first)

    (last,) = await told(phone)
    assert (last.reason, last.request.body) == ("noresource", b"")
    assert connections(events) == [False]


async def test_other_lines_keep_their_dialogs(
    connect: Connect, sync: FeatureSync
) -> None:
    """Adding, changing and removing a line is nothing to them."""
    stranger = await connect("202")

    sync.add_line(line_config("203", "secret"))
    sync.update_line(line_config("201", "new", assigned=()))
    sync.remove_line("line-201")
    sync.remove_line("line-203")

    assert await told(stranger) == []
    assert (await stranger.set_dnd(True)).status == 200
    assert await features_told(stranger) == [["DoNotDisturb"]]
    assert stranger.violations == []


async def test_a_line_can_be_added_while_the_server_runs(running: Running) -> None:
    """It is served from the next request on."""
    states: States = {DND: FeatureState(True)}
    running.sync.add_line(line_config("203", "secret"), states)

    async with Phone("203", "secret", (HOST, running.port)) as phone:
        await phone.subscribe()
        assert (await phone.notification()).features == DARK | {DND: Lamp(True)}
