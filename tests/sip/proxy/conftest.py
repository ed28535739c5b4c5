"""A phone, a PBX and the server between them, each with its own socket."""

from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from dataclasses import replace
import json

import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from tests.clock import ManualClock
from tests.sip.echo import Echo, Line

from .calling import ScriptedPolicy
from .peers import DOMAIN, Pbx, ProxiedPhone

# The same over restarts of a server within a test.
SECRET = bytes(range(32))


@pytest.fixture
async def pbx_peer() -> AsyncIterator[Pbx]:
    """Return a PBX that is told each answer by the test."""
    async with await Pbx.listen() as pbx:
        yield pbx


@pytest.fixture
def pbx_config(pbx_peer: Pbx) -> PbxConfig:
    """Return what is configured of the PBX; tests override it."""
    host, port = pbx_peer.local
    return PbxConfig(id="pbx-1", host=host, port=port, domains=(DOMAIN,))


def add_line_at_pbx(echo: Echo, user: str, pbx: str = "pbx-1") -> Line:
    """Serve a line at a PBX."""
    return echo.add_line(user, id_=f"{user}@{pbx}", pbx=pbx)


@pytest.fixture
def built_server(
    config: ServerConfig, clock: ManualClock, pbx_config: PbxConfig
) -> SipServer:
    """Return a server that passes to the PBX and has not been started."""
    server = SipServer(config, clock)
    server.add_pbx(pbx_config, SECRET)
    return server


@pytest.fixture
def echo(built_server: SipServer) -> Echo:
    """Return the event package with the line 201 at the PBX, and 301 here."""
    echo = Echo(built_server)
    add_line_at_pbx(echo, "201")
    echo.add_line("301", "secret")
    return echo


@pytest.fixture
async def server(
    built_server: SipServer, echo: Echo, pbx_peer: Pbx
) -> AsyncIterator[SipServer]:
    """Run the server with the lines of `echo`."""
    await built_server.start()
    pbx_peer.towards(built_server.port)
    yield built_server
    await built_server.stop()


@pytest.fixture
async def restart(
    server: SipServer, config: ServerConfig, clock: ManualClock, pbx_config: PbxConfig
) -> AsyncIterator[Callable[[], Awaitable[SipServer]]]:
    """Return what kills the server and starts another with what was stored."""
    running = [server]

    async def restart() -> SipServer:
        before = running[-1]
        stored = json.loads(json.dumps(before.proxy_records()))
        memory = json.loads(json.dumps(await before.records()))
        port = before.port
        await before.stop()
        after = SipServer(replace(config, port=port), clock)
        after.add_pbx(pbx_config, SECRET)
        add_line_at_pbx(Echo(after), "201")
        await after.start(memory=memory, passed=stored)
        running.append(after)
        return after

    yield restart
    await running[-1].stop()


@pytest.fixture
def phone_type() -> type[ProxiedPhone]:
    """Return the kind of the phones."""
    return ProxiedPhone


@pytest.fixture
async def open_phone(
    server: SipServer, phone_type: type[ProxiedPhone]
) -> AsyncIterator[Callable[..., Awaitable[ProxiedPhone]]]:
    """Return what opens phones whose outbound proxy is the server."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_phone(user: str = "201", transport: str = "udp") -> ProxiedPhone:
            phone = await phone_type.open(
                ("127.0.0.1", server.port), transport, user=user
            )
            return await stack.enter_async_context(phone)

        yield open_phone


@pytest.fixture
async def phone(open_phone: Callable[..., Awaitable[ProxiedPhone]]) -> ProxiedPhone:
    """Return a phone of line 201 that has not registered."""
    return await open_phone()


@pytest.fixture
async def registered(phone: ProxiedPhone, pbx_peer: Pbx) -> ProxiedPhone:
    """Return the phone once the PBX has accepted its REGISTER."""
    await pbx_peer.register(phone)
    return phone


@pytest.fixture
def policy(server: SipServer) -> ScriptedPolicy:
    """Return what decides about the calls of line 201: nothing, at first."""
    policy = ScriptedPolicy()
    server.proxy.treated.treat("pbx-1", "201", policy)
    return policy
