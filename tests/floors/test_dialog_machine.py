"""Phones of a line and a user at Home Assistant, in any order."""

from typing import override

from hypothesis import strategies as st
from hypothesis.stateful import rule
import pytest

from custom_components.dfks.features.model import (
    ChangeRefused,
    ChangeRequest,
    Feature,
    FeatureState,
    Line,
    Origin,
)
from custom_components.dfks.sip import SipServer
from tests.phone import Lamp, Request, set_dnd, set_forwarding
from tests.sip.dialog_machine import SETTINGS, PhonesOfALine, give_up_a_notify

from .caller import FeatureCaller, lamps
from .wire import build

# Seconds after which a multipart NOTIFY is told in pieces, within the same 32 s.
SILENCE = 3.5

features = st.sampled_from(list(Feature))


class Line201(PhonesOfALine):
    """A line whose features are also changed from Home Assistant."""

    event = FeatureCaller.package
    bodies = (
        b"",
        b"nonsense",
        set_dnd(True),
        set_dnd(False),
        set_forwarding("busy", True, "2424"),
        set_forwarding("no-answer", True, "99", 7),
    )

    @override
    def build(self) -> tuple[SipServer, Line]:
        server, self.sync = build(self.clock)
        self.line = self.sync.lines["line-201"]
        return server, self.line

    @override
    def watchers(self) -> tuple[int, bool]:
        return self.line.watchers, self.line.connected

    @override
    def stored(self) -> dict[str, Lamp]:
        return {
            str(feature): _lamp(feature, self.line.state(feature))
            for feature in Feature
        }

    @override
    def shown_by(self, notify: Request) -> dict[str, Lamp]:
        return lamps(notify)

    @override
    def change_something(self) -> None:
        dnd = Feature.DO_NOT_DISTURB
        self._change(dnd, not self.line.state(dnd).status, None, Origin.ACTION)

    @override
    def check_given_up(self, waiting: Request, notify: Request, silence: float) -> None:
        assert waiting.get("Content-Type").startswith("multipart/")
        assert silence == pytest.approx(SILENCE)
        assert len(lamps(notify)) == 1

    @rule(feature=features, status=st.booleans(), goal=st.sampled_from(["", "1", "22"]))
    def switch(self, feature: Feature, status: bool, goal: str) -> None:
        """Change a feature from Home Assistant."""
        self._change(feature, status, goal or None, Origin.ENTITY)

    def _change(
        self, feature: Feature, status: bool, target: str | None, origin: Origin
    ) -> None:
        change = ChangeRequest(
            feature=feature, status=status, forward_to=target, origin=origin
        )
        # Without hooks it happens in one go.
        coroutine = self.sync.change("line-201", change)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        except ChangeRefused:
            # A forwarding that has nowhere to go.
            assert status and not (target or self.line.state(feature).forward_to)
        else:
            raise AssertionError("A change without hooks has waited for something")
        self.read()


def _lamp(feature: Feature, state: FeatureState) -> Lamp:
    """Return what a phone shows of a state."""
    if feature is Feature.DO_NOT_DISTURB:
        return Lamp(state.status)
    rings = state.ring_count if feature is Feature.CALL_FORWARDING_NO_ANSWER else None
    return Lamp(state.status, state.forward_to, rings)


@pytest.mark.parametrize("waits", range(9))
def test_a_notify_that_is_given_up_leaves_room_for_the_next(waits: int) -> None:
    """After 32 s to the tick, whenever it was sent."""
    give_up_a_notify(Line201(), waits)


Line201.TestCase.settings = SETTINGS
TestLine201 = Line201.TestCase
