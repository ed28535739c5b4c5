"""A server with the lines of the feature floor for tests, without Home Assistant.

`async with running_server(clock) as (server, sync, port)` has the lines 201 and 202,
and takes packets at 127.0.0.1:`port` over UDP and TCP.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
import contextlib
from typing import NamedTuple

from custom_components.dfks.features.model import (
    Feature,
    FeatureState,
    LineConfig,
    NotifyStyle,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import Clock, ServerConfig, SipServer
from tests.loopback import LOOPBACK, PASSWORDS

type States = Mapping[Feature, FeatureState]


class Running(NamedTuple):
    """A server that listens, its lines, and the port for UDP and TCP."""

    server: SipServer
    sync: FeatureSync
    port: int


def line_config(
    user: str,
    password: str | None = None,
    *,
    line_id: str | None = None,
    auth_name: str | None = None,
    assigned: Iterable[Feature] = tuple(Feature),
    style: NotifyStyle = NotifyStyle.MULTIPART,
) -> LineConfig:
    """Return the configuration of a line, of id `line-USER` if not told otherwise."""
    return LineConfig(
        id=f"line-{user}" if line_id is None else line_id,
        user=user,
        password=PASSWORDS.get(user, "") if password is None else password,
        auth_name=user if auth_name is None else auth_name,
        assigned=tuple(assigned),
        style=style,
    )


@contextlib.asynccontextmanager
async def running_server(
    clock: Clock,
    *,
    lines: Iterable[LineConfig] | None = None,
    config: ServerConfig = LOOPBACK,
    states: Mapping[str, States] | None = None,
) -> AsyncIterator[Running]:
    """Run a server with some lines (201 and 202 by default) for a while.

    `states` are what is stored of the lines at the start, by line id.
    """
    server = SipServer(config, clock)
    sync = FeatureSync(server)
    server.add_package(sync)
    for line in map(line_config, PASSWORDS) if lines is None else lines:
        sync.add_line(line, (states or {}).get(line.id))
    await server.start()
    try:
        yield Running(server, sync, server.port)
    finally:
        await sync.stop()
        await server.stop()
