"""Fixtures of a server whose lines have feature keys, and callers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import ssl

import pytest

from custom_components.dfks.features.hooks import Ruling
from custom_components.dfks.features.model import (
    ChangeRequest,
    Feature,
    Line,
    NotifyStyle,
    Origin,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.hooks import FunctionHooks
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

type Switch = Callable[..., Awaitable[None]]


@pytest.fixture
def sync(built_server: SipServer) -> FeatureSync:
    """Return the event package with the lines 201 and 202."""
    sync = FeatureSync(built_server)
    built_server.add_package(sync)
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


@pytest.fixture
def switch(sync: FeatureSync) -> Switch:
    """Return what changes a feature of line 201 as an entity does."""

    async def switch(feature: str, status: bool, forward_to: str | None = None) -> None:
        change = ChangeRequest(
            feature=Feature(feature),
            status=status,
            forward_to=forward_to,
            origin=Origin.ENTITY,
        )
        await sync.change("line-201", change)

    return switch


@pytest.fixture
def release(sync: FeatureSync) -> asyncio.Event:
    """Have a get hook that waits until this is set."""
    release = asyncio.Event()

    async def slow(_: Line, __: Feature) -> Ruling:
        await release.wait()
        return Ruling()

    sync.hooks = FunctionHooks(supply=slow)
    return release


def configure(
    sync: FeatureSync,
    *,
    style: NotifyStyle = NotifyStyle.MULTIPART,
    assigned: tuple[Feature, ...] = tuple(Feature),
) -> None:
    """Give line 201 another style or other features."""
    sync.update_line(line_config("201", style=style, assigned=assigned))
