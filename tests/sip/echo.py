"""An event package for tests of the SIP floor: what one phone says, all are told.

A line has a text for each topic. A body `light=on` in a SUBSCRIBE changes one, and every
watcher of the line is told that topic; without a body a phone is told all of them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
import contextlib
from typing import override

from custom_components.dfks.sip import (
    ALL,
    FULL,
    Account,
    Clock,
    EventPackage,
    Notification,
    ServerConfig,
    SipError,
    SipServer,
    Subscription,
    Topics,
)
from tests.loopback import PASSWORDS
from tests.phone import Request

LIGHT, DOOR, BELL = TOPICS = ["light", "door", "bell"]

# The text of a topic that nobody has said anything about.
UNSAID = "off"


def say(topic: str, text: str) -> bytes:
    """Return a body that changes a topic."""
    return f"{topic}={text}".encode()


def light(on: bool) -> bytes:
    """Return a body that turns the light on or off."""
    return say(LIGHT, "on" if on else "off")


def echoed(notify: Request) -> dict[str, str]:
    """Return what a NOTIFY says, by topic; it must be without a flaw."""
    assert not notify.violations
    assert notify.get("Content-Type") == Echo.accept
    return dict(text.split("=") for text in notify.body.decode().splitlines())


class Line(Account):
    """An account and what it shows; `texts` has what somebody has said."""

    def __init__(self, id_: str, user: str, username: str, pbx: str | None) -> None:
        """Make a line that nobody watches."""
        super().__init__(id_, user, username, (), pbx)
        self.texts: dict[str, str] = {}
        self.watchers = 0
        self.changed = asyncio.Event()
        """Set whenever a watcher comes or goes, falls silent or is heard."""

    @property
    def connected(self) -> bool:
        """Whether a phone watches."""
        return self.watchers > 0


class Echo(EventPackage):
    """The event package `echo` for the lines of a server."""

    name = "echo"
    accept = "text/plain"

    def __init__(self, server: SipServer) -> None:
        """Become an event package of a server, without lines."""
        self.lines: dict[str, Line] = {}
        self._server = server
        server.add_package(self)

    def add_line(
        self,
        user: str,
        password: str | None = None,
        *,
        id_: str | None = None,
        username: str | None = None,
        pbx: str | None = None,
    ) -> Line:
        """Serve a line, of id `line-USER` if not told otherwise.

        Raises ValueError where user or username is taken.
        """
        line = Line(id_ or f"line-{user}", user, username or user, pbx)
        if pbx is None:
            password = PASSWORDS.get(user, "") if password is None else password
            line.hashes = self._server.hash_password(line.username, password)
        self._server.add_account(line)
        self.lines[line.id] = line
        return line

    def remove_line(self, line_id: str, reason: str = "noresource") -> None:
        """Stop serving a line; its phones are told `reason`."""
        self._server.remove_account(self.lines.pop(line_id), reason)

    def change(self, line: Line, topic: str, text: str) -> None:
        """Change a topic and tell all phones of the line."""
        line.texts[topic] = text
        self._server.notifier.notify_all(line, frozenset((topic,)))

    @override
    def takes(self, content_type: str) -> bool:
        return content_type in ("", self.accept)

    @override
    def parse(self, account: Account, body: bytes) -> tuple[str, str]:
        topic, equals, text = body.decode(errors="replace").partition("=")
        if not equals or topic not in TOPICS:
            raise SipError(400, "Not a topic and a text")
        return topic, text

    @override
    def send_full_state(self, subscription: Subscription) -> None:
        self._server.notifier.notify(subscription, ALL)

    @override
    def command(self, subscription: Subscription, command: object) -> None:
        assert isinstance(command, tuple)
        if subscription.ending is not None:
            self._server.notifier.owe(subscription, ALL)
        self.change(_line(subscription.account), *command)

    @override
    def render(self, subscription: Subscription, topics: Topics) -> Notification:
        texts = _line(subscription.account).texts
        told = [topic for topic in TOPICS if topic in topics or FULL in topics]
        lines = [f"{topic}={texts.get(topic, UNSAID)}" for topic in told]
        return Notification(self.accept, "\n".join(lines).encode())

    @override
    def unreadable(self, subscription: Subscription, *, silence: bool) -> bool:
        return False

    @override
    def unreachable(self, subscription: Subscription) -> None:
        pass

    @override
    def watchers_changed(self, account: Account) -> None:
        line = _line(account)
        line.watchers = sum(s.live for s in self._server.notifier.of(account))
        line.changed.set()


@contextlib.asynccontextmanager
async def running_server(
    clock: Clock, config: ServerConfig, passwords: Mapping[str, str] = PASSWORDS
) -> AsyncIterator[SipServer]:
    """Run a server with a line for each password, by user, for a while."""
    server = SipServer(config, clock)
    echo = Echo(server)
    for user, password in passwords.items():
        echo.add_line(user, password)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _line(account: Account) -> Line:
    assert isinstance(account, Line)
    return account
