"""Fixtures of a server whose lines have feature keys, and callers."""

from collections.abc import AsyncIterator
import ssl

import pytest

from custom_components.dfks.features.model import Line
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.loopback import PASSWORDS
from tests.server import line_config
from tests.sip.conftest import (
    built_server,
    caller,
    clock,
    colleague,
    config,
    connect,
    loopback,
    server_tls,
    stranger,
    stream,
)

from .caller import FeatureCaller

__all__ = [
    "built_server",
    "caller",
    "clock",
    "colleague",
    "config",
    "connect",
    "loopback",
    "server_tls",
    "stranger",
    "stream",
]


@pytest.fixture
def sync(built_server: SipServer) -> FeatureSync:
    """Return the event package with the lines 201 and 202."""
    sync = FeatureSync(built_server)
    for user in PASSWORDS:
        sync.add_line(line_config(user))
    return sync


@pytest.fixture
async def server(
    built_server: SipServer, sync: FeatureSync, server_tls: ssl.SSLContext | None
) -> AsyncIterator[SipServer]:
    """Run the server with the lines of `sync`."""
    await built_server.start(server_tls)
    yield built_server
    await sync.stop()
    await built_server.stop()


@pytest.fixture
def reception(sync: FeatureSync) -> Line:
    """Return the line 201."""
    return sync.lines["line-201"]


@pytest.fixture
def caller_type() -> type[FeatureCaller]:
    """Return the kind of the callers."""
    return FeatureCaller
