"""Changes that wait for the set hook: which of them become one."""

from dataclasses import replace

import pytest

from custom_components.dfks.features.model import ChangeRequest, Feature, Hold, Origin
from custom_components.dfks.features.waiting import WaitingChange
from custom_components.dfks.sip import Subscription

BUSY = Feature.CALL_FORWARDING_BUSY
PRESSED = ChangeRequest(
    feature=BUSY, status=True, origin=Origin.PHONE, source="10.0.0.1:5060"
)
SWITCHED = ChangeRequest(feature=BUSY, status=True, origin=Origin.ENTITY)
CALLED = replace(SWITCHED, origin=Origin.ACTION)


def a_phone() -> Subscription:
    """Return the subscription of a phone of which nothing but its identity counts."""
    return Subscription.__new__(Subscription)


ONE, OTHER = a_phone(), a_phone()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (SWITCHED, replace(SWITCHED, status=False)),
        (SWITCHED, replace(SWITCHED, status=None, forward_to="2424")),
        (SWITCHED, CALLED),
        (replace(CALLED, hold=Hold("meeting", None)),) * 2,
        (
            replace(CALLED, hold=Hold("meeting", None)),
            replace(CALLED, hold=Hold("meeting", 60.0)),
        ),
        # To clear a target after it was turned on, or again, refuses nothing.
        (SWITCHED, replace(SWITCHED, status=None, forward_to="")),
        (
            replace(SWITCHED, status=None, forward_to=""),
            replace(SWITCHED, status=False),
        ),
        (
            replace(SWITCHED, status=None, forward_to=""),
            replace(SWITCHED, forward_to="2424"),
        ),
    ],
)
def test_changes_of_home_assistant_become_one(
    older: ChangeRequest, newer: ChangeRequest
) -> None:
    """Whichever part of the feature they are about."""
    assert WaitingChange(older, None).takes(newer, None)


def test_presses_of_one_phone_become_one() -> None:
    """The last press counts."""
    assert WaitingChange(PRESSED, ONE).takes(replace(PRESSED, status=False), ONE)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(
            SWITCHED,
            replace(SWITCHED, feature=Feature.CALL_FORWARDING_ALWAYS),
            id="feature",
        ),
        pytest.param(SWITCHED, replace(SWITCHED, source="10.0.0.2:5060"), id="source"),
        pytest.param(
            SWITCHED, replace(SWITCHED, origin=Origin.PHONE), id="newer by a phone"
        ),
        pytest.param(
            replace(SWITCHED, origin=Origin.PHONE), SWITCHED, id="older by a phone"
        ),
        pytest.param(CALLED, replace(CALLED, param="x"), id="newer with parameter"),
        pytest.param(replace(CALLED, param="x"), CALLED, id="older with parameter"),
        pytest.param(
            replace(CALLED, param="x"), replace(CALLED, param="x"), id="parameters"
        ),
        pytest.param(
            CALLED, replace(CALLED, hold=Hold("meeting", None)), id="newer claims"
        ),
        pytest.param(
            replace(CALLED, hold=Hold("meeting", None)), CALLED, id="older claims"
        ),
        pytest.param(
            replace(CALLED, hold=Hold("meeting", None)),
            replace(CALLED, hold=Hold("night", None)),
            id="claims",
        ),
        pytest.param(
            CALLED,
            ChangeRequest(feature=BUSY, release="meeting", origin=Origin.ACTION),
            id="newer releases",
        ),
        pytest.param(
            ChangeRequest(feature=BUSY, release="meeting", origin=Origin.ACTION),
            CALLED,
            id="older releases",
        ),
        pytest.param(
            CALLED,
            ChangeRequest(feature=BUSY, ended_at=60.0, origin=Origin.END),
            id="newer ends",
        ),
        pytest.param(
            replace(SWITCHED, status=None, forward_to=""),
            SWITCHED,
            id="on after its target is cleared",
        ),
    ],
)
def test_changes_of_home_assistant_that_stay_apart(
    older: ChangeRequest, newer: ChangeRequest
) -> None:
    """The hook has to see each of them, or the second is to be refused."""
    assert not WaitingChange(older, None).takes(newer, None)


@pytest.mark.parametrize(("first", "second"), [(ONE, OTHER), (ONE, None), (None, ONE)])
def test_presses_of_several_phones_stay_apart(
    first: Subscription | None, second: Subscription | None
) -> None:
    """Though they come from one address: one phone may have several lines' keys."""
    assert not WaitingChange(PRESSED, first).takes(PRESSED, second)
