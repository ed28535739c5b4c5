"""What scripts and actions may write for a feature, and what it means."""

import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.scripting.variables import (
    BadValueError,
    read_feature,
    read_rings,
    read_status,
    read_target,
)

HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("DoNotDisturb", Feature.DO_NOT_DISTURB),
        ("do_not_disturb", Feature.DO_NOT_DISTURB),
        (" callforwardingbusy ", Feature.CALL_FORWARDING_BUSY),
        ("call_forwarding_no_answer", Feature.CALL_FORWARDING_NO_ANSWER),
    ],
)
def test_features_go_by_two_names(name: str, feature: Feature) -> None:
    """OpenSIPS' and ours, in any case of letters."""
    assert read_feature(name) is feature


@pytest.mark.parametrize("name", ["", "Hoteling", "do not disturb"])
def test_other_features_are_unknown(name: str) -> None:
    """And said to be so."""
    with pytest.raises(BadValueError):
        read_feature(name)


@pytest.mark.parametrize("value", [True, 1, 7, -1, 0.5, HUGE, "1", "ON", " yes ", "2"])
def test_on(value: object) -> None:
    """Any number but 0."""
    assert read_status(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "0", "off", "False", "no", "0.0"])
def test_off(value: object) -> None:
    """Zero, in whatever form."""
    assert read_status(value) is False


@pytest.mark.parametrize(
    "value", ["", "perhaps", "unknown", "nan", float("inf"), [], {}, b"1"]
)
def test_neither_on_nor_off(value: object) -> None:
    """Rather an error than a guess."""
    with pytest.raises(BadValueError):
        read_status(value)


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("2424", "2424"),
        (2424, "2424"),
        (2424.0, "2424"),
        (" +49 30 123 ", "+49 30 123"),
        ("0301", "0301"),
        ("sip:bob@10.0.0.11", "sip:bob@10.0.0.11"),
        ("", ""),
    ],
)
def test_targets(value: object, target: str) -> None:
    """As text, or as the number that a template has made of it."""
    assert read_target(value) == target


@pytest.mark.parametrize(
    "value",
    ["unknown", "unavailable", "30\n0", "30\u202c0", "9" * 5000, 24.5, True, None, [1]],
)
def test_no_targets(value: object) -> None:
    """What no phone could call."""
    with pytest.raises(BadValueError):
        read_target(value)


@pytest.mark.parametrize("value", [4, "4", " 4 ", 4.0])
def test_rings(value: object) -> None:
    """A whole number, also as text."""
    assert read_rings(value) == 4


@pytest.mark.parametrize("value", [-1, 101, 4.5, "many", "", "٤", True, None, HUGE, []])
def test_no_rings(value: object) -> None:
    """What no phone could ring."""
    with pytest.raises(BadValueError):
        read_rings(value)
