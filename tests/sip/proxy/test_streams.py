"""A PBX that is reached over TCP or TLS, whatever the phones speak."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from dataclasses import replace
from pathlib import Path
import ssl

import pytest

from custom_components.dfks.sip.config import ServerConfig
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.peer_certificate import read_fingerprint
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import RawPeer, settle
from tests.sip.certificates import (
    client_context,
    openssl_fingerprint,
    server_context,
    write_certificate,
)
from tests.sip.echo import Echo

from .conftest import SECRET, add_line_at_pbx
from .peers import DOMAIN, Pbx, ProxiedPhone, StreamPbx
from .test_learning import Learned
from .test_routes import in_dialog

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for 127.0.0.1."""
    return write_certificate(tmp_path_factory.mktemp("certificates"), "pbx")


@pytest.fixture
def transport() -> str:
    """Return how the PBX is reached; tests parametrise it."""
    return "TCP"


@pytest.fixture
async def stream_pbx(transport: str, certificate: Path) -> AsyncIterator[StreamPbx]:
    """Return a PBX that takes connections."""
    tls = server_context(certificate) if transport == "TLS" else None
    async with await StreamPbx.serve(port=free_port(), tls=tls) as pbx:
        yield pbx


@pytest.fixture
def pbx_config(transport: str, stream_pbx: StreamPbx) -> PbxConfig:
    """Return what is configured of the PBX."""
    return PbxConfig(
        id="pbx-1",
        host="127.0.0.1",
        port=stream_pbx.port,
        transport=transport,
        domains=(DOMAIN,),
    )


@pytest.fixture
def built_server(
    config: ServerConfig, clock: ManualClock, pbx_config: PbxConfig, certificate: Path
) -> SipServer:
    """Return a server that passes to the PBX and has not been started."""
    server = SipServer(config, clock)
    server.add_pbx(pbx_config, SECRET, client_context(certificate))
    return server


@pytest.fixture
async def server(built_server: SipServer, echo: Echo) -> AsyncIterator[SipServer]:
    """Run the server."""
    await built_server.start()
    yield built_server
    await built_server.stop()


async def until_told(peer: RawPeer) -> None:
    """Wait until the server has seen what its sockets have."""
    await peer.ask(peer.request("OPTIONS", "sip:{}:{}".format(*peer.link.remote)))


both = pytest.mark.parametrize("transport", ["TCP", "TLS"])


@both
@pytest.mark.requirement("P99")
async def test_there_is_one_connection_whatever_the_phones_do(
    server: SipServer, stream_pbx: StreamPbx, open_phone: OpenPhone
) -> None:
    """Made at the start; REGISTERs of all phones go over it."""
    await stream_pbx.connected()
    for user, transport in (("201", "udp"), ("202", "udp"), ("203", "tcp")):
        await stream_pbx.register(await open_phone(user, transport))
    assert len(stream_pbx.links) == 1


@pytest.mark.requirement("P99")
async def test_the_connection_comes_from_the_listening_port(
    server: SipServer, stream_pbx: StreamPbx
) -> None:
    """A PBX that remembers where it came from may call there."""
    link = await stream_pbx.connected()
    assert link.remote == ("127.0.0.1", server.port)
    other = await RawPeer.open(("127.0.0.1", server.port), "tcp")
    async with other:
        await until_told(other)


@pytest.mark.requirement("P99")
async def test_a_port_that_cannot_be_shared_is_no_obstacle(
    built_server: SipServer,
    echo: Echo,
    stream_pbx: StreamPbx,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another one does, with a warning."""
    monkeypatch.delattr("socket.SO_REUSEPORT")
    await built_server.start()
    try:
        link = await stream_pbx.connected()
        assert link.remote[1] != built_server.port
        assert "does not come from the listening port" in caplog.text
    finally:
        await built_server.stop()


@both
@pytest.mark.requirement("P99")
async def test_the_connection_is_kept_open(
    server: SipServer,
    stream_pbx: StreamPbx,
    open_phone: OpenPhone,
    clock: ManualClock,
) -> None:
    """By CRLF every 25 s."""
    link = await stream_pbx.connected()
    phone = await open_phone()
    await stream_pbx.register(phone)
    for _ in range(3):
        clock.advance(25)
    await stream_pbx.register(phone)
    # A ping is two line ends.
    assert link.pongs == 2 * 3


@pytest.mark.requirement("P99")
async def test_a_connection_that_is_lost_is_opened_anew(
    server: SipServer,
    stream_pbx: StreamPbx,
    open_phone: OpenPhone,
    clock: ManualClock,
) -> None:
    """After a second, from the same port; each time that it has been of use."""
    phone = await open_phone()
    for _ in range(3):
        link = await stream_pbx.connected()
        assert link.remote == ("127.0.0.1", server.port)
        await stream_pbx.register(phone)
        await link.close()
        assert (await phone.ask(phone.request("REGISTER"))).status == 503
        clock.advance(1)


@pytest.mark.requirement("P99")
async def test_a_pbx_that_hangs_up_is_tried_less_and_less_often(
    server: SipServer, stream_pbx: StreamPbx, phone: ProxiedPhone, clock: ManualClock
) -> None:
    """After 1, 2, 4 and so on seconds, every 30 s at most."""
    for wait in (1, 2, 4, 8, 16, 30, 30):
        await (await stream_pbx.connected()).close()
        await until_told(phone)
        count = len(stream_pbx.links)
        clock.advance(wait - 0.5)
        # Long enough for a connection, if one were made.
        for _ in range(10):
            await until_told(phone)
        assert len(stream_pbx.links) == count
        clock.advance(0.5)


@pytest.mark.requirement("P97", "P105")
async def test_a_pbx_that_is_down_gets_503_at_once(
    built_server: SipServer,
    echo: Echo,
    stream_pbx: StreamPbx,
    clock: ManualClock,
) -> None:
    """And is told of after three connections that failed; it comes back by itself."""
    stream_pbx.stop_listening()
    learned = Learned()
    built_server.observe_proxy(learned)
    await built_server.start()
    try:
        async with await ProxiedPhone.open(("127.0.0.1", built_server.port)) as phone:
            for wait in (1, 2, 4):
                assert (await phone.ask(phone.request("REGISTER"))).status == 503
                clock.advance(wait)
                await settle()
            assert ("unreachable", "pbx-1") in learned.events
            async with await StreamPbx.serve(port=stream_pbx.port) as pbx:
                clock.advance(8)
                await pbx.connected()
                await pbx.register(phone)
            assert ("reachable", "pbx-1") in learned.events
    finally:
        await built_server.stop()


@pytest.fixture
async def shy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """Return the address of a peer that takes connections and shakes no hands."""
    taken: list[asyncio.StreamWriter] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()
    listening.close()
    for writer in taken:
        writer.transport.abort()


@pytest.mark.requirement("P97")
async def test_what_waits_for_a_connection_is_answered_after_4_seconds(
    server: SipServer,
    shy: tuple[str, int],
    pbx_config: PbxConfig,
    certificate: Path,
    phone: ProxiedPhone,
    clock: ManualClock,
) -> None:
    """Nothing before, then 503 to each; of more than 64 to the last at once."""
    config = replace(pbx_config, transport="TLS", port=shy[1])
    server.add_pbx(config, None, client_context(certificate))
    for _ in range(64):
        phone.send(phone.request("REGISTER"))
    assert (await phone.ask(phone.request("REGISTER"))).status == 503
    clock.advance(3.9)
    await phone.silence()
    clock.advance(0.1)
    for _ in range(64):
        assert (await phone.next_response()).status == 503


@both
@pytest.mark.requirement("P97")
async def test_what_is_sent_before_there_is_a_connection_waits_for_it(
    built_server: SipServer, echo: Echo, stream_pbx: StreamPbx
) -> None:
    """The phone's first REGISTER is not lost."""
    await built_server.start()
    try:
        async with await ProxiedPhone.open(("127.0.0.1", built_server.port)) as phone:
            await stream_pbx.register(phone)
    finally:
        await built_server.stop()


@both
@pytest.mark.parametrize("phone_transport", ["udp", "tcp"])
@pytest.mark.requirement("P100", "P45")
async def test_calls_go_both_ways(
    server: SipServer,
    stream_pbx: StreamPbx,
    open_phone: OpenPhone,
    transport: str,
    phone_transport: str,
) -> None:
    """INVITE, 200, ACK, re-INVITE and BYE from both sides, over the one connection."""
    phone = await open_phone(transport=phone_transport)
    registration = await stream_pbx.register(phone)
    assert f";transport={transport.lower()}" in registration.get("Contact")
    stream_pbx.send(stream_pbx.call(registration))
    invite = await phone.next_request()
    assert invite.uri == phone.contact.strip("<>")
    route = invite.values("Record-Route")
    assert len(route) == (1 if phone_transport.upper() == transport else 2)
    phone.send(invite.response(200).encode())
    assert (await stream_pbx.next_response()).status == 200
    ours = list(reversed(route))
    for method in ("INVITE", "BYE"):
        headers = {
            "To": f"<sip:201@{DOMAIN}>;tag=callee",
            "From": invite.get("From"),
            "Route": ours,
        }
        stream_pbx.send(stream_pbx.request(method, phone.contact.strip("<>"), headers))
        assert (await phone.next_request()).method == method
        phone.send(in_dialog(phone, invite, method, route))
        request = await stream_pbx.next_request()
        assert request.method == method
        assert not request.has("Route")
    assert len(stream_pbx.links) == 1


@pytest.mark.requirement("P100", "P21")
async def test_an_answer_whose_connection_is_gone_goes_by_the_next(
    server: SipServer,
    stream_pbx: StreamPbx,
    open_phone: OpenPhone,
    clock: ManualClock,
) -> None:
    """The PBX has closed it while the phone rang."""
    phone = await open_phone()
    registration = await stream_pbx.register(phone)
    link = await stream_pbx.connected()
    stream_pbx.send(stream_pbx.call(registration))
    invite = await phone.next_request()
    await link.close()
    await until_told(phone)
    clock.advance(1)
    await stream_pbx.connected()
    phone.send(invite.response(200).encode())
    assert (await stream_pbx.next_response()).status == 200


@pytest.mark.requirement("P66")
async def test_a_connection_from_the_pbxs_address_is_the_pbxs(
    server: SipServer, stream_pbx: StreamPbx, open_phone: OpenPhone
) -> None:
    """Whatever its port: it calls at the Contact when ours is gone."""
    phone = await open_phone()
    registration = await stream_pbx.register(phone)
    async with await Pbx.open(("127.0.0.1", server.port), "tcp", user="pbx") as other:
        other.send(other.call(registration))
        assert (await phone.next_request()).method == "INVITE"


@pytest.mark.requirement("P14", "P100")
async def test_a_datagram_without_content_length_is_framed(
    server: SipServer, stream_pbx: StreamPbx, open_phone: OpenPhone
) -> None:
    """With the length of its body."""
    phone = await open_phone()
    await stream_pbx.register(phone)
    phone.send(phone.request("INVITE", None, {"Content-Length": None}, b"v=0\r\n"))
    request = await stream_pbx.next_request()
    assert (request.get("Content-Length"), request.body) == ("5", b"v=0\r\n")


@pytest.mark.parametrize("transport", ["TLS"])
@pytest.mark.requirement("P76", "P100")
async def test_sips_passes_over_tls(
    server: SipServer, stream_pbx: StreamPbx, open_phone: OpenPhone
) -> None:
    """To the PBX; the phone's side is its own business."""
    phone = await open_phone()
    await stream_pbx.register(phone)
    phone.send(phone.request("INVITE", f"sips:202@{DOMAIN}"))
    assert (await stream_pbx.next_request()).uri == f"sips:202@{DOMAIN}"


@pytest.mark.parametrize("transport", ["TLS"])
@pytest.mark.parametrize("fault", ["name", "authority"])
@pytest.mark.requirement("P75")
async def test_a_certificate_that_is_not_good_is_told_of(
    server: SipServer,
    pbx_config: PbxConfig,
    certificate: Path,
    phone: ProxiedPhone,
    tmp_path: Path,
    fault: str,
) -> None:
    """Nothing is sent; phones get 503."""
    learned = Learned()
    server.observe_proxy(learned)
    host = "127.0.0.3" if fault == "name" else "127.0.0.1"
    trusted = certificate
    if fault == "authority":
        trusted = write_certificate(tmp_path, "other")
    pbx = await StreamPbx.serve(host, tls=server_context(certificate))
    async with pbx:
        config = replace(pbx_config, host=host, port=pbx.port)
        server.add_pbx(config, None, client_context(trusted))
        assert (await phone.ask(phone.request("REGISTER"))).status == 503
        await pbx.silence()
    (event,) = learned.events
    assert event[:2] == ("certificate", "pbx-1")
    assert ("mismatch" if fault == "name" else "self-signed") in str(event[2])
    assert event[3] == openssl_fingerprint(certificate)


@pytest.mark.parametrize("transport", ["TLS"])
@pytest.mark.parametrize("typed", [str, str.lower, lambda text: text.replace(":", "")])
@pytest.mark.requirement("P75")
async def test_a_certificate_that_is_pinned_is_taken_whoever_signed_it(
    server: SipServer,
    pbx_config: PbxConfig,
    certificate: Path,
    phone: ProxiedPhone,
    tmp_path: Path,
    typed: Callable[[str], str],
) -> None:
    """And whatever it is for: 127.0.0.3 is not in it."""
    fingerprint = read_fingerprint(typed(openssl_fingerprint(certificate)))
    other = client_context(write_certificate(tmp_path, "other"))
    pbx = await StreamPbx.serve("127.0.0.3", tls=server_context(certificate))
    async with pbx:
        server.add_pbx(
            replace(
                pbx_config, host="127.0.0.3", port=pbx.port, fingerprint=fingerprint
            ),
            None,
            other,
        )
        phone.send(phone.request("REGISTER"))
        assert (await pbx.next_request()).method == "REGISTER"


@pytest.mark.parametrize("transport", ["TLS"])
@pytest.mark.requirement("P75")
async def test_a_pinned_certificate_is_the_only_one_that_is_taken(
    server: SipServer,
    pbx_config: PbxConfig,
    certificate: Path,
    phone: ProxiedPhone,
    tmp_path: Path,
) -> None:
    """Also where the authorities would take the other one; it is told without reason."""
    learned = Learned()
    server.observe_proxy(learned)
    pinned = openssl_fingerprint(write_certificate(tmp_path, "other"))
    pbx = await StreamPbx.serve(tls=server_context(certificate))
    async with pbx:
        server.add_pbx(
            replace(pbx_config, port=pbx.port, fingerprint=pinned),
            None,
            client_context(certificate),
        )
        assert (await phone.ask(phone.request("REGISTER"))).status == 503
        await pbx.silence()
    assert learned.events == [
        ("certificate", "pbx-1", None, openssl_fingerprint(certificate))
    ]


@pytest.mark.requirement("P75")
def test_a_context_that_checks_nothing_is_refused(
    built_server: SipServer, pbx_config: PbxConfig
) -> None:
    """Nothing is sent to a PBX that could be anybody."""
    config = replace(pbx_config, id="pbx-2", transport="TLS")
    with pytest.raises(ValueError, match="checks certificates"):
        built_server.add_pbx(config)
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="checks certificates"):
        built_server.add_pbx(config, None, unchecked)
    assert list(built_server.proxy.upstreams) == ["pbx-1"]


@pytest.mark.requirement("P99", "P50")
async def test_a_call_over_tcp_goes_on_after_a_restart(
    built_server: SipServer,
    echo: Echo,
    stream_pbx: StreamPbx,
    config: ServerConfig,
    clock: ManualClock,
    pbx_config: PbxConfig,
) -> None:
    """The connection comes from the same port, the Route names the binding."""
    await built_server.start()
    port = built_server.port
    async with contextlib.AsyncExitStack() as stack:
        phone = await ProxiedPhone.open(("127.0.0.1", port))
        await stack.enter_async_context(phone)
        registration = await stream_pbx.register(phone)
        await stream_pbx.connected()
        stored = built_server.proxy_records()
        await built_server.stop()
        after = SipServer(replace(config, port=port), clock)
        after.add_pbx(pbx_config, SECRET)
        add_line_at_pbx(Echo(after), "201")
        await after.start(passed=stored)
        stack.push_async_callback(after.stop)
        link = await stream_pbx.connected()
        assert link.remote == ("127.0.0.1", port)
        stream_pbx.send(stream_pbx.call(registration))
        assert (await phone.next_request()).method == "INVITE"
