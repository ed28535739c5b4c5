"""The values of the event package, and a line that keeps them."""

from hypothesis import given, strategies as st
import pytest

from custom_components.dfks.features.model import (
    MAX_TARGET,
    ChangeRequest,
    ConnectionChanged,
    Feature,
    FeatureState,
    Line,
    LineEvent,
    LineMemory,
    Origin,
    is_target,
    sorted_features,
)
from tests.server import States, line_config

from .strategies import features, ring_counts, states, targets

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
BUSY = Feature.CALL_FORWARDING_BUSY
NO_ANSWER = Feature.CALL_FORWARDING_NO_ANSWER


def make_line(states: States | None = None) -> Line:
    """Return a line that no server serves."""
    return Line(line_config("201"), (), "home", LineMemory(states or {}, {}))


def test_features_have_the_names_of_opensips_in_the_order_of_the_full_state() -> None:
    """Scripts and the store know them by these names."""
    assert [str(feature) for feature in Feature] == [
        "DoNotDisturb",
        "CallForwardingAlways",
        "CallForwardingBusy",
        "CallForwardingNoAnswer",
    ]


@pytest.mark.parametrize(
    ("given_features", "expected"),
    [
        ((), ()),
        ((NO_ANSWER, DND), (DND, NO_ANSWER)),
        ((BUSY, BUSY), (BUSY,)),
        (tuple(reversed(Feature)), tuple(Feature)),
    ],
)
def test_features_are_sorted_once_each(
    given_features: tuple[Feature, ...], expected: tuple[Feature, ...]
) -> None:
    """However they were configured."""
    assert sorted_features(given_features) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2424",
        "+1 555 0100",
        "*72#",
        "sip:2424@pbx.example;x=y",
        "café €",
        "\U0001f514",
    ],
)
def test_what_can_be_a_target(text: str) -> None:
    """Digits, URIs, and any letters that a phone may show."""
    assert is_target(text)


@pytest.mark.parametrize(
    "text",
    [
        *("1\n2", "1\r2", "\t", "\x00", "\x1f", "\x7f", "\x85", "\x9f"),
        *("\ud800", "\ufffe", "\uffff", "x" * (MAX_TARGET + 1)),
    ],
    ids=ascii,
)
def test_what_cannot_be_a_target(text: str) -> None:
    """What XML cannot hold or a display cannot show, and what is far too long."""
    assert not is_target(text)

    with pytest.raises(ValueError, match="target"):
        ChangeRequest(feature=BUSY, forward_to=text, origin=Origin.ENTITY)


@pytest.mark.parametrize("rings", [-1, 101, 10**9])
def test_ring_counts_out_of_range(rings: int) -> None:
    """No phone could be told."""
    with pytest.raises(ValueError, match="ring count"):
        ChangeRequest(feature=NO_ANSWER, ring_count=rings, origin=Origin.ENTITY)


@pytest.mark.parametrize("rings", [0, 100])
def test_ring_counts_in_range(rings: int) -> None:
    """Both ends belong to it."""
    change = ChangeRequest(feature=NO_ANSWER, ring_count=rings, origin=Origin.ENTITY)

    assert change.applied_to(FeatureState()).ring_count == rings


@pytest.mark.parametrize(
    ("before", "status", "forward_to", "ring_count", "after"),
    [
        pytest.param(
            FeatureState(True, "1", 5),
            *(None, None, None),
            FeatureState(True, "1", 5),
            id="nothing said: all stays",
        ),
        pytest.param(
            FeatureState(False, "1", 5),
            *(True, None, None),
            FeatureState(True, "1", 5),
            id="on: target and rings stay",
        ),
        pytest.param(
            FeatureState(True, "1", 5),
            *(False, None, None),
            FeatureState(False, "1", 5),
            id="off: target and rings stay",
        ),
        pytest.param(
            FeatureState(False, "1", 5),
            *(None, "2", None),
            FeatureState(False, "2", 5),
            id="a target alone turns nothing on",
        ),
        pytest.param(
            FeatureState(True, "1", 5),
            *(None, "2", None),
            FeatureState(True, "2", 5),
            id="another target: still on",
        ),
        pytest.param(
            FeatureState(True, "1", 5),
            *(None, "", None),
            FeatureState(False, "", 5),
            id="no target: off",
        ),
        pytest.param(
            FeatureState(False, "1", 5),
            *(True, "", None),
            FeatureState(False, "", 5),
            id="on without a target: off",
        ),
        pytest.param(
            FeatureState(True, "1", 5),
            *(None, None, 0),
            FeatureState(True, "1", 0),
            id="rings alone",
        ),
        pytest.param(
            FeatureState(),
            *(True, None, None),
            FeatureState(True, "", 3),
            id="on before a target is known",
        ),
    ],
)
def test_what_a_change_makes_of_a_state(
    before: FeatureState,
    status: bool | None,
    forward_to: str | None,
    ring_count: int | None,
    after: FeatureState,
) -> None:
    """None keeps what is stored; a cleared target turns the forwarding off."""
    change = ChangeRequest(
        feature=NO_ANSWER,
        status=status,
        forward_to=forward_to,
        ring_count=ring_count,
        origin=Origin.ENTITY,
    )

    assert change.applied_to(before) == after


@pytest.mark.parametrize(
    ("feature", "on"),
    [(Feature.DO_NOT_DISTURB, True), (BUSY, False), (NO_ANSWER, False)],
)
def test_a_forwarding_without_a_target_is_off(feature: Feature, on: bool) -> None:
    """It has nowhere to go, unlike DoNotDisturb; rings stay."""
    assert FeatureState(True, "", 5).of(feature) == FeatureState(on, "", 5)
    assert FeatureState(True, "1", 5).of(feature) == FeatureState(True, "1", 5)


@given(
    feature=features,
    before=states,
    status=st.none() | st.booleans(),
    forward_to=st.none() | targets,
    ring_count=st.none() | ring_counts,
)
def test_a_change_made_twice_is_made_once(
    feature: Feature,
    before: FeatureState,
    status: bool | None,
    forward_to: str | None,
    ring_count: int | None,
) -> None:
    """So the second one counts as a change that changes nothing."""
    change = ChangeRequest(
        feature=feature,
        status=status,
        forward_to=forward_to,
        ring_count=ring_count,
        origin=Origin.PHONE,
    )

    once = change.applied_to(before)

    assert change.applied_to(once) == once


def test_a_feature_that_was_never_set_is_off_without_a_target() -> None:
    """And rings three times."""
    line = make_line()

    assert line.state(NO_ANSWER) == FeatureState(False, "", 3)
    assert line.states() == {}


def test_a_line_keeps_what_it_is_given() -> None:
    """What an earlier run stored, and what comes later."""
    line = make_line({BUSY: FeatureState(True, "2424")})

    line.store(DND, FeatureState(True))

    assert line.states() == {
        BUSY: FeatureState(True, "2424"),
        DND: FeatureState(True),
    }


def test_states_are_a_copy() -> None:
    """Only the way of a change leads into a line."""
    line = make_line({BUSY: FeatureState(True, "2424")})

    line.states().clear()

    assert line.state(BUSY) == FeatureState(True, "2424")


def test_events_reach_each_listener_until_it_unsubscribes() -> None:
    """One that goes while it is called does not keep others from being called."""
    line = make_line()
    event = ConnectionChanged(line, connected=True)
    heard: list[tuple[str, LineEvent]] = []

    def first(event: LineEvent) -> None:
        heard.append(("first", event))
        unsubscribe()

    unsubscribe = line.subscribe(first)
    line.subscribe(lambda event: heard.append(("second", event)))

    line.publish(event)
    line.publish(event)

    assert heard == [("first", event), ("second", event), ("second", event)]


def test_a_password_is_not_shown() -> None:
    """Neither in a log nor in an error's text."""
    config = line_config("201", "reception-201")

    assert "reception-201" not in repr(config)
    assert "reception-201" not in str(config)
