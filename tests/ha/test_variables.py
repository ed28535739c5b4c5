"""What scripts and actions may write for a feature, and what it means."""

from datetime import UTC, datetime, timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.scripting.variables import (
    BadValueError,
    read_claim,
    read_duration,
    read_feature,
    read_rings,
    read_status,
    read_target,
    read_time,
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
        (" +49 (30) 12-3 ", "+4930123"),
        ("*21*300#", "*21*300#"),
        ("SIPS:bob@10.0.0.11;x=a/b", "SIPS:bob@10.0.0.11;x=a/b"),
        ("tel:+4930123", "tel:+4930123"),
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
    [
        "unknown",
        "hello world",
        "bob",
        "sip:",
        "sip:a b",
        "Bob <sip:b@x>",
        "30\n0",
        "30\u202c0",
        "9" * 5000,
        24.5,
        True,
        None,
        [1],
    ],
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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("01:30:00", 5400),
        ("00:00:01", 1),
        ({"hours": 1, "minutes": "30"}, 5400),
        ({"days": 1}, 86400),
        (90, 90),
        ("90", 90),
        (timedelta(minutes=1), 60),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    """As Home Assistant's own actions take them."""
    assert read_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [0, -1, True, "-01:00:00", "a while", {}, {"weeks": "x"}, [], HUGE, "9e99", None],
)
def test_no_durations(value: object) -> None:
    """None, endless, or no length of time at all."""
    with pytest.raises(BadValueError):
        read_duration(value)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-25 18:00:00", "2026-11-26T02:00:00+00:00"),
        ("2026-11-25T18:00:00+00:00", "2026-11-25T18:00:00+00:00"),
        ("18:00", "2026-11-26T02:00:00+00:00"),
        ("12:00:00", "2026-11-26T20:00:00+00:00"),
        ("07:00", "2026-11-26T15:00:00+00:00"),
        (datetime.fromisoformat("2026-11-25 18:00"), "2026-11-26T02:00:00+00:00"),
        (datetime(2026, 11, 25, 18, tzinfo=UTC), "2026-11-25T18:00:00+00:00"),
        (1795629600, "2026-11-25T18:00:00+00:00"),
        ("1795629600.0", "2026-11-25T18:00:00+00:00"),
    ],
)
def test_times(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, value: object, moment: str
) -> None:
    """In Home Assistant's time zone; a time of day is the next one to come."""
    freezer.move_to("2026-11-25 12:00:00-08:00")
    assert datetime.fromtimestamp(read_time(value), UTC).isoformat() == moment


@pytest.mark.parametrize(
    ("now", "of_day", "moment"),
    [
        # Clocks go back from 02:00 to 01:00: 01:30 comes twice.
        ("2026-11-01 00:00:00-07:00", "01:30", "2026-11-01T01:30:00-07:00"),
        ("2026-11-01 01:45:00-07:00", "01:30", "2026-11-01T01:30:00-08:00"),
        ("2026-11-01 01:15:00-08:00", "01:30", "2026-11-01T01:30:00-08:00"),
        ("2026-11-01 01:45:00-08:00", "01:30", "2026-11-02T01:30:00-08:00"),
        # They go from 02:00 to 03:00: there is no 02:30.
        ("2026-03-08 01:00:00-08:00", "02:30", "2026-03-08T03:30:00-07:00"),
        ("2026-03-08 04:00:00-07:00", "02:30", "2026-03-09T02:30:00-07:00"),
    ],
)
def test_times_of_day_where_clocks_are_changed(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    now: str,
    of_day: str,
    moment: str,
) -> None:
    """The next one is never one that is over."""
    freezer.move_to(now)
    assert read_time(of_day) == datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "teatime",
        "25:00",
        "2026-13-01 10:00:00",
        "9999-12-31 23:59:59",
        "0001-01-01T00:00:00+14:00",
        [],
        None,
        HUGE,
        1e300,
        -1e300,
        -1,
    ],
)
def test_no_times(value: object) -> None:
    """Rather an error than a guess."""
    with pytest.raises(BadValueError):
        read_time(value)


@pytest.mark.parametrize(
    ("value", "name"), [("Meeting", "Meeting"), (" a  b\n", "a b"), (7, "7")]
)
def test_names_of_claims(value: object, name: str) -> None:
    """Without white space around."""
    assert read_claim(value) == name


@pytest.mark.parametrize("value", ["", " ", "x" * 65, "a\x07", "\u202eb"])
def test_no_names_of_claims(value: object) -> None:
    """They are shown."""
    with pytest.raises(BadValueError):
        read_claim(value)
