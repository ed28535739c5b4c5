"""A server that notifies, and ours as one of its subscribers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
import ssl

import pytest

from custom_components.dfks.sip import SipServer, SubscriberConfig
from custom_components.dfks.sip.following import RemoteLine
from tests.clock import ManualClock

from .peers import Heard, Notifier, Package

# Follows a line: other settings than those of `subscriber_config` come by name.
type Follow = Callable[..., RemoteLine]


@pytest.fixture
async def notifier() -> AsyncIterator[Notifier]:
    """Return the server that notifies."""
    async with await Notifier.listen() as notifier:
        yield notifier


@pytest.fixture
def subscriber_config(notifier: Notifier) -> SubscriberConfig:
    """Return what is configured of the line."""
    host, port = notifier.local
    return SubscriberConfig(
        id="followed-1",
        user="501",
        username="auth-501",
        password="secret-501",
        host=host,
        port=port,
    )


@pytest.fixture
def heard() -> Heard:
    """Return what the floor above is told."""
    return Heard()


@pytest.fixture
async def server(
    built_server: SipServer, notifier: Notifier
) -> AsyncIterator[SipServer]:
    """Run our server."""
    await built_server.start()
    notifier.towards(built_server.port)
    yield built_server
    await built_server.stop()


@pytest.fixture
def follow(
    server: SipServer,
    subscriber_config: SubscriberConfig,
    heard: Heard,
    clock: ManualClock,
) -> Follow:
    """Return what follows the line, and lets the first SUBSCRIBE go."""

    def follow(tls: ssl.SSLContext | None = None, **settings: object) -> RemoteLine:
        config = replace(subscriber_config, **settings)  # type: ignore[arg-type]
        line = server.following.add(config, Package(), heard, tls)
        heard.line = line
        clock.advance(0.1)
        return line

    return follow


@pytest.fixture
def follow_many(
    built_server: SipServer, subscriber_config: SubscriberConfig
) -> list[Heard]:
    """Follow 500 lines at one server, before ours is started."""
    told = []
    for number in range(500):
        heard = Heard()
        config = replace(subscriber_config, id=f"many-{number}", user=f"{number:04}")
        heard.line = built_server.following.add(config, Package(), heard)
        told.append(heard)
    return told
