"""Who is told of an event, and what happens when somebody cannot take it."""

import pytest

from custom_components.dfks.features.publisher import Publisher


class Telling(Publisher[[str]]):
    """Tells texts."""


def test_a_listener_that_fails_hinders_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and whoever publishes goes on."""
    publisher = Telling()
    told: list[str] = []

    def fail(_event: str) -> None:
        raise RuntimeError

    publisher.subscribe(fail)
    publisher.subscribe(told.append)
    publisher.publish("event")
    assert told == ["event"]
    assert "Unexpected error of a listener" in caplog.text
