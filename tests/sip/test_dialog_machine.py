"""Phones of a line, in any order: the machine with the echo event package."""

from typing import override

from hypothesis import strategies as st
from hypothesis.stateful import rule
import pytest

from custom_components.dfks.sip import SipServer
from tests.phone import Request

from .dialog_machine import SETTINGS, PhonesOfALine, give_up_a_notify
from .echo import BELL, DOOR, LIGHT, TOPICS, UNSAID, Echo, Line, echoed, light, say
from .wire import build


class EchoingPhones(PhonesOfALine):
    """Phones that are told what is said, and somebody else who says something."""

    event = Echo.name
    bodies = (
        b"",
        b"nonsense",
        light(True),
        light(False),
        say(DOOR, "2424"),
        say(BELL, "99"),
    )

    @override
    def build(self) -> tuple[SipServer, Line]:
        server, self.echo = build(self.clock)
        self.line = self.echo.lines["line-201"]
        return server, self.line

    @override
    def watchers(self) -> tuple[int, bool]:
        return self.line.watchers, self.line.connected

    @override
    def stored(self) -> dict[str, str]:
        return dict.fromkeys(TOPICS, UNSAID) | self.line.texts

    @override
    def shown_by(self, notify: Request) -> dict[str, str]:
        return echoed(notify)

    @override
    def change_something(self) -> None:
        self.say(LIGHT, "at last")

    @rule(topic=st.sampled_from(TOPICS), text=st.sampled_from(["", "1", "22"]))
    def say(self, topic: str, text: str) -> None:
        """Change a topic from elsewhere."""
        self.echo.change(self.line, topic, text)
        self.read()


@pytest.mark.parametrize("waits", range(9))
def test_a_notify_that_is_given_up_leaves_room_for_the_next(waits: int) -> None:
    """After 32 s to the tick, whenever it was sent."""
    give_up_a_notify(EchoingPhones(), waits)


EchoingPhones.TestCase.settings = SETTINGS
TestEchoingPhones = EchoingPhones.TestCase
