"""The way to a server over TCP and TLS, which its lines share (S16)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
import hashlib
from pathlib import Path
import ssl
from typing import override

import pytest

from custom_components.dfks.sip import (
    AddressRecord,
    SipServer,
    SubscriberConfig,
    SubscriptionStatus,
)
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import settle
from tests.sip.certificates import client_context, server_context, write_certificate
from tests.sip.zone import Zone

from .conftest import Follow
from .peers import Heard, Notifier, Package, StreamNotifier

requirement = pytest.mark.requirement

ACTIVE = SubscriptionStatus.ACTIVE
UNREACHABLE = SubscriptionStatus.UNREACHABLE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for 127.0.0.1."""
    return write_certificate(tmp_path_factory.mktemp("certificates"), "notifier")


@pytest.fixture
def transport() -> str:
    """Return how the server is reached; tests parametrise it."""
    return "TCP"


@pytest.fixture
async def notifier(transport: str, certificate: Path) -> AsyncIterator[StreamNotifier]:
    """Return a server that takes connections."""
    tls = server_context(certificate) if transport == "TLS" else None
    async with await StreamNotifier.serve(port=free_port(), tls=tls) as notifier:
        yield notifier


@pytest.fixture
def subscriber_config(transport: str, notifier: StreamNotifier) -> SubscriberConfig:
    """Return what is configured of the line."""
    return SubscriberConfig(
        id="followed-1",
        user="501",
        username="auth-501",
        password="secret-501",
        host="127.0.0.1",
        port=notifier.port,
        transport=transport,
    )


@pytest.fixture
async def server(built_server: SipServer) -> AsyncIterator[SipServer]:
    """Run our server."""
    await built_server.start()
    yield built_server
    await built_server.stop()


def zone(*addresses: str) -> Zone:
    """Return what has these addresses for the name of the server."""
    records = [AddressRecord(address, 300) for address in addresses]
    return Zone(addresses_of={"pbx.example": records})


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate, as people see it."""
    text = certificate.read_text().partition("-----BEGIN CERTIFICATE")[2]
    der = ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE{text}")
    return hashlib.sha256(der).digest().hex(":").upper()


async def passed(condition: Callable[[], object]) -> None:
    """Wait until something that is sure to come has come."""
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


@requirement("S16")
async def test_s16_tcp_is_one_connection_for_all_lines(
    server: SipServer,
    notifier: StreamNotifier,
    subscriber_config: SubscriberConfig,
    clock: ManualClock,
) -> None:
    """NOTIFYs come over it."""
    told = []
    for user in ("501", "502", "503"):
        heard = Heard()
        config = replace(subscriber_config, id=user, user=user)
        heard.line = server.following.add(config, Package(), heard)
        told.append(heard)
    clock.advance(0.3)
    for request in [await notifier.next_request() for _ in told]:
        notifier.answer_subscribe(request, expires="3600")
        await notifier.notify(request)

    assert [heard.statuses for heard in told] == [[ACTIVE]] * 3
    assert len(notifier.links) == 1


@requirement("S16")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_tls_checks_the_certificate(
    follow: Follow, notifier: StreamNotifier, heard: Heard, certificate: Path
) -> None:
    """One that is good for the address is taken."""
    follow(tls=client_context(certificate))

    await notifier.accept_subscribe()

    assert heard.statuses == [ACTIVE]


@requirement("S16", "S15")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_a_certificate_for_another_name_is_refused(
    server: SipServer,
    notifier: StreamNotifier,
    subscriber_config: SubscriberConfig,
    heard: Heard,
    certificate: Path,
    clock: ManualClock,
) -> None:
    """Nothing is sent then, and it is said why."""
    server.use_resolver(zone("127.0.0.1"))
    config = replace(subscriber_config, host="pbx.example")
    line = server.following.add(config, Package(), heard, client_context(certificate))
    heard.line = line
    clock.advance(0.1)

    await passed(lambda: heard.statuses)

    assert notifier.drain() == 0
    problem = line.certificate_problem
    assert problem is not None
    assert "pbx.example" in (problem.reason or "")
    assert problem.fingerprint == fingerprint(certificate)


@requirement("S16", "P75")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_a_pinned_certificate_is_taken(
    follow: Follow,
    notifier: StreamNotifier,
    heard: Heard,
    certificate: Path,
    tmp_path: Path,
) -> None:
    """Whoever has signed it."""
    nobody = client_context(write_certificate(tmp_path, "nobody"))
    follow(tls=nobody, fingerprint=fingerprint(certificate))

    await notifier.accept_subscribe()

    assert heard.statuses == [ACTIVE]


@requirement("S16", "P75")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_another_certificate_than_the_pinned_one_is_refused(
    follow: Follow, notifier: StreamNotifier, certificate: Path, tmp_path: Path
) -> None:
    """Be it good for the address: nothing is sent."""
    other = write_certificate(tmp_path, "other")
    line = follow(tls=client_context(certificate), fingerprint=fingerprint(other))

    await passed(lambda: line.certificate_problem is not None)

    assert notifier.drain() == 0
    assert line.certificate_problem == (None, fingerprint(certificate))


@requirement("S16", "P75")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_lines_share_a_connection_only_where_they_trust_the_same(
    follow: Follow,
    server: SipServer,
    notifier: StreamNotifier,
    subscriber_config: SubscriberConfig,
    certificate: Path,
    tmp_path: Path,
) -> None:
    """A line that pins another certificate does not go over that of its neighbour."""
    trusts = follow(tls=client_context(certificate))
    await notifier.accept_subscribe()
    other = fingerprint(write_certificate(tmp_path, "other"))
    pins = server.following.add(
        replace(subscriber_config, id="followed-2", user="502", fingerprint=other),
        Package(),
        Heard(),
        client_context(certificate),
    )

    await passed(lambda: pins.certificate_problem is not None)

    assert trusts.certificate_problem is None
    assert notifier.drain() == 0


@requirement("S16")
@pytest.mark.parametrize("transport", ["TLS"])
async def test_s16_tls_without_a_check_is_refused(
    server: SipServer, subscriber_config: SubscriberConfig, heard: Heard
) -> None:
    """There is no way to leave it out."""
    with pytest.raises(ValueError, match="checks certificates"):
        server.following.add(subscriber_config, Package(), heard)


@requirement("S16", "S11")
async def test_s16_a_connection_that_is_lost_is_opened_again(
    follow: Follow, notifier: StreamNotifier, heard: Heard, clock: ManualClock
) -> None:
    """The subscription goes on in its dialog, without a word about it."""
    follow()
    first = await notifier.accept_subscribe()
    await notifier.connected()
    notifier.links[0].reset()
    await settle()
    clock.advance(1)
    await notifier.connected()
    await settle()
    clock.advance(0.1)

    refresh = await notifier.next_request()

    assert refresh.get("Call-ID") == first.get("Call-ID")
    assert heard.statuses == [ACTIVE]


@requirement("S16", "S11")
async def test_s16_a_connection_that_does_not_come_back_is_said(
    follow: Follow, notifier: StreamNotifier, heard: Heard, clock: ManualClock
) -> None:
    """And once it does, the line goes on."""
    follow()
    await notifier.accept_subscribe()
    notifier.stop_listening()
    notifier.links[0].reset()
    await settle()
    for _ in range(8):
        clock.advance(1)
        await settle()

    assert heard.statuses == [ACTIVE, UNREACHABLE]

    async with await StreamNotifier.serve(port=notifier.port) as again:
        for _ in range(40):
            clock.advance(1)
            await settle()
            if again.links:
                break
        await settle()
        clock.advance(0.1)
        refresh = await again.next_request()
        again.answer_subscribe(refresh, expires="3600")
        await again.notify(refresh, cseq=2)

    assert heard.statuses == [ACTIVE, UNREACHABLE, ACTIVE]


@requirement("S16")
async def test_s16_a_request_under_way_fails_with_its_connection(
    follow: Follow, notifier: StreamNotifier, clock: ManualClock
) -> None:
    """It is not waited for half a minute."""
    line = follow()
    await notifier.accept_subscribe()
    answers: list[int] = []
    line.subscriber.ask(b"please", answers.append)
    await notifier.next_request()

    notifier.links[0].reset()
    await passed(lambda: answers)

    assert answers == [0]


@requirement("S16")
async def test_s16_a_server_that_is_not_there_at_first_is_found(
    server: SipServer,
    subscriber_config: SubscriberConfig,
    heard: Heard,
    clock: ManualClock,
) -> None:
    """Its name is looked up before anything can be sent."""
    found = asyncio.Event()

    class SlowZone(Zone):
        @override
        async def addresses(self, name: str) -> Sequence[AddressRecord]:
            await found.wait()
            return [AddressRecord("127.0.0.1", 300)]

    server.use_resolver(SlowZone())
    async with await Notifier.listen() as udp:
        udp.towards(server.port)
        config = replace(
            subscriber_config, host="pbx.example", port=udp.local[1], transport="UDP"
        )
        heard.line = server.following.add(config, Package(), heard)
        clock.advance(0.1)
        assert heard.statuses == []
        found.set()
        await settle()
        clock.advance(0.1)
        request = await udp.next_request()
        udp.answer_subscribe(request)
        await udp.notify(request)

    assert heard.statuses == [ACTIVE]


@requirement("S16", "S11")
async def test_s16_a_name_that_is_not_found_is_said(
    server: SipServer,
    subscriber_config: SubscriberConfig,
    heard: Heard,
    clock: ManualClock,
) -> None:
    """After some seconds, in which most are."""
    server.use_resolver(Zone())
    config = replace(subscriber_config, host="pbx.example", transport="UDP")
    heard.line = server.following.add(config, Package(), heard)
    clock.advance(0.1)
    assert heard.statuses == []

    clock.advance(5)

    assert heard.statuses == [UNREACHABLE]


@requirement("S16")
async def test_s16_many_lines_try_the_next_address_of_a_server_together(
    server: SipServer,
    subscriber_config: SubscriberConfig,
    heard: Heard,
    clock: ManualClock,
) -> None:
    """Six failures at once lead on once, not back to where nobody answers."""
    server.use_resolver(zone("127.0.0.1", "127.0.0.2"))
    port = free_port()
    async with (
        await Notifier.listen(("127.0.0.1", port)) as one,
        await Notifier.listen(("127.0.0.2", port)) as two,
    ):
        for number in range(6):
            config = replace(
                subscriber_config,
                id=f"many-{number}",
                host="pbx.example",
                port=port,
                transport="UDP",
            )
            heard.line = server.following.add(config, Package(), heard)
        await settle()
        clock.advance(1)
        sent = {peer: await peer.drained() for peer in (one, two)}
        (first,) = (peer for peer, count in sent.items() if count)
        clock.advance(32)
        await first.drained()
        clock.advance(40)

        assert not await first.drained()
        assert await (two if first is one else one).drained()
