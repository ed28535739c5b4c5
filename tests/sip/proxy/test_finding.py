"""What the name of a PBX stands for, and the way there over UDP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from custom_components.dfks.sip.access.guard import parse_networks
from custom_components.dfks.sip.config import ServerConfig
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.resolver import (
    AddressRecord,
    ServiceRecord,
    SystemResolver,
    in_order,
)
from tests.clock import ManualClock
from tests.loopback import loopback_config
from tests.sip.echo import Echo
from tests.sip.zone import Zone

from .peers import DOMAIN, Pbx, ProxiedPhone

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]


@pytest.fixture
def zone() -> Zone:
    """Return what the resolver of the server knows; tests fill it."""
    return Zone()


@pytest.fixture
async def bare_server(
    config: ServerConfig, clock: ManualClock, zone: Zone
) -> AsyncIterator[SipServer]:
    """Run a server without a PBX, which asks `zone`."""
    server = SipServer(config, clock)
    server.use_resolver(zone)
    Echo(server)
    await server.start()
    yield server
    await server.stop()


async def found(zone: Zone, count: int) -> None:
    """Wait until so many names have been asked for, and what came of it is taken."""
    async with asyncio.timeout(5):
        while len(zone.asked) < count:
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)


async def phone_of(server: SipServer) -> ProxiedPhone:
    """Open a phone whose outbound proxy is the server."""
    return await ProxiedPhone.open(("127.0.0.1", server.port))


@pytest.mark.requirement("P96")
async def test_a_numeric_host_is_not_looked_up(
    bare_server: SipServer, zone: Zone, pbx_config: PbxConfig, pbx_peer: Pbx
) -> None:
    """It is what it is."""
    pbx_peer.towards(bare_server.port)
    bare_server.add_pbx(pbx_config)
    async with await phone_of(bare_server) as phone:
        await pbx_peer.register(phone)
    assert not zone.asked


@pytest.mark.requirement("P96")
async def test_a_host_with_a_port_has_addresses_only(
    bare_server: SipServer, zone: Zone, pbx_peer: Pbx
) -> None:
    """No SRV records."""
    pbx_peer.towards(bare_server.port)
    host, port = pbx_peer.local
    zone.addresses_of["pbx.lan"] = [AddressRecord(host, 300)]
    bare_server.add_pbx(
        PbxConfig(id="pbx-1", host="pbx.lan", port=port, domains=(DOMAIN,))
    )
    await found(zone, 1)
    async with await phone_of(bare_server) as phone:
        await pbx_peer.register(phone)
        response = phone.request("REGISTER", f"sip:{host}:{port}")
        phone.send(response)
        assert (await pbx_peer.next_request()).method == "REGISTER"
    assert zone.asked == ["pbx.lan"]


@pytest.mark.requirement("P96")
@pytest.mark.parametrize(
    ("transport", "service"), [("UDP", "_sip._udp"), ("TCP", "_sip._tcp")]
)
async def test_a_name_alone_is_that_of_a_service(
    bare_server: SipServer, zone: Zone, pbx_peer: Pbx, transport: str, service: str
) -> None:
    """The best of its SRV records says which host and which port."""
    host, port = pbx_peer.local
    zone.services_of[f"{service}.{DOMAIN}"] = [
        ServiceRecord(20, 0, "spare.example", 9, 300),
        ServiceRecord(10, 0, "main.example", port, 300),
    ]
    zone.addresses_of["main.example"] = [AddressRecord(host, 300)]
    zone.addresses_of["spare.example"] = [AddressRecord("127.0.0.9", 300)]
    config = PbxConfig(id="pbx-1", host=DOMAIN, transport=transport)
    upstream = bare_server.add_pbx(config)
    await found(zone, 3)
    assert upstream.addresses == ((host, port), ("127.0.0.9", 9))
    if transport == "UDP":
        pbx_peer.towards(bare_server.port)
        async with await phone_of(bare_server) as phone:
            await pbx_peer.register(phone)


@pytest.mark.requirement("P96")
async def test_a_name_without_a_service_has_the_usual_port(
    bare_server: SipServer, zone: Zone
) -> None:
    """Of its transport; an address of IPv6 is as good."""
    zone.addresses_of[DOMAIN] = [AddressRecord("::1", 60), AddressRecord("::1", 60)]
    config = PbxConfig(id="pbx-1", host=DOMAIN)
    assert not bare_server.add_pbx(config).addresses
    await found(zone, 2)
    assert bare_server.proxy.upstreams["pbx-1"].addresses == (("::1", 5060),)
    assert zone.asked == [f"_sip._udp.{DOMAIN}", DOMAIN]


@pytest.mark.requirement("P97")
async def test_nothing_waits_for_a_name(
    bare_server: SipServer, zone: Zone, clock: ManualClock
) -> None:
    """As long as it is not found, phones get 503; it is looked for every 30 s."""
    bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=5060))
    await found(zone, 1)
    async with await phone_of(bare_server) as phone:
        assert (await phone.ask(phone.request("REGISTER"))).status == 503
    clock.advance(29)
    await found(zone, 1)
    assert len(zone.asked) == 1
    clock.advance(1)
    await found(zone, 2)


@pytest.mark.requirement("P96")
@pytest.mark.parametrize(
    ("ttl", "wait"), [(0, 30), (120, 120), (86400, 3600)], ids=["floor", "ttl", "roof"]
)
async def test_a_name_is_looked_up_again(
    bare_server: SipServer, zone: Zone, clock: ManualClock, ttl: float, wait: float
) -> None:
    """When its records are old, at most every 30 s, at least every hour."""
    zone.addresses_of[DOMAIN] = [AddressRecord("127.0.0.8", ttl)]
    upstream = bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=7))
    await found(zone, 1)
    zone.addresses_of[DOMAIN] = [AddressRecord("127.0.0.9", ttl)]
    clock.advance(wait - 1)
    await found(zone, 1)
    assert upstream.addresses == (("127.0.0.8", 7),)
    clock.advance(1)
    await found(zone, 2)
    assert upstream.addresses == (("127.0.0.9", 7),)


@pytest.mark.requirement("P96")
async def test_the_last_good_answer_is_kept(
    bare_server: SipServer, zone: Zone, clock: ManualClock, pbx_peer: Pbx
) -> None:
    """A name server that is down stops no calls."""
    pbx_peer.towards(bare_server.port)
    host, port = pbx_peer.local
    zone.addresses_of[DOMAIN] = [AddressRecord(host, 60)]
    bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=port))
    await found(zone, 1)
    zone.addresses_of.clear()
    clock.advance(60)
    await found(zone, 2)
    clock.advance(30)
    await found(zone, 3)
    async with await phone_of(bare_server) as phone:
        await pbx_peer.register(phone)


@pytest.mark.requirement("P96")
async def test_the_address_in_use_is_kept_while_it_is_one(
    bare_server: SipServer, zone: Zone, clock: ManualClock
) -> None:
    """Records come in another order each time."""
    zone.addresses_of[DOMAIN] = [
        AddressRecord("127.0.0.7", 60),
        AddressRecord("127.0.0.8", 60),
    ]
    upstream = bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=7))
    await found(zone, 1)
    zone.addresses_of[DOMAIN].reverse()
    clock.advance(60)
    await found(zone, 2)
    assert upstream.addresses[0] == ("127.0.0.7", 7)


@pytest.mark.requirement("P96", "P105")
async def test_an_address_that_does_not_answer_is_left_for_the_next(
    bare_server: SipServer, zone: Zone, pbx_peer: Pbx
) -> None:
    """After three REGISTERs."""
    host, port = pbx_peer.local
    pbx_peer.towards(bare_server.port)
    zone.addresses_of[DOMAIN] = [
        AddressRecord("127.0.0.9", 60),
        AddressRecord(host, 60),
    ]
    bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=port))
    await found(zone, 1)
    async with await phone_of(bare_server) as phone:
        for _ in range(3):
            assert (await phone.ask(phone.request("REGISTER"))).status == 503
        await pbx_peer.register(phone)


@pytest.mark.requirement("P66")
async def test_a_pbx_calls_from_any_of_its_addresses(
    bare_server: SipServer, zone: Zone, pbx_peer: Pbx
) -> None:
    """Not only from the one that the REGISTER went to."""
    host, port = pbx_peer.local
    pbx_peer.towards(bare_server.port)
    zone.addresses_of[DOMAIN] = [
        AddressRecord(host, 60),
        AddressRecord("127.0.0.3", 60),
    ]
    bare_server.add_pbx(PbxConfig(id="pbx-1", host=DOMAIN, port=port))
    await found(zone, 1)
    other = await Pbx.listen(("127.0.0.3", port))
    async with await phone_of(bare_server) as phone, other:
        registration = await pbx_peer.register(phone)
        other.towards(bare_server.port)
        other.send(other.call(registration))
        invite = await phone.next_request()
        phone.send(invite.response(200).encode())
        assert (await other.next_response()).status == 200


@pytest.mark.requirement("P96")
def test_services_of_one_priority_are_drawn_by_weight() -> None:
    """RFC 2782; a weight of 0 comes up, too, and "." is no service."""
    heavy = ServiceRecord(1, 90, "heavy", 5060, 60)
    light = ServiceRecord(1, 10, "light", 5060, 60)
    never = ServiceRecord(0, 0, ".", 5060, 60)
    last = ServiceRecord(2, 0, "last", 5060, 60)
    orders = [in_order([last, light, heavy, never]) for _ in range(2000)]
    assert all(order[-1] is last and len(order) == 3 for order in orders)
    first = Counter(order[0].target for order in orders)
    assert 1600 < first["heavy"] < 1960


@pytest.mark.requirement("P96")
async def test_the_system_resolver_knows_addresses(loopback: None) -> None:
    """Where nothing better is there; it has no SRV records."""
    resolver = SystemResolver()
    assert not await resolver.services("_sip._udp.localhost")
    hosts = {record.host for record in await resolver.addresses("localhost")}
    assert hosts & {"127.0.0.1", "::1"}


@pytest.mark.requirement("P98")
async def test_over_udp_messages_come_from_the_listening_port(
    server: SipServer, phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A PBX answers and calls there."""
    await pbx_peer.register(phone)
    assert pbx_peer.source == ("127.0.0.1", server.port)


@pytest.mark.requirement("P101")
@pytest.mark.parametrize(
    "config", [loopback_config(allowed_networks=parse_networks("127.0.0.1"))]
)
async def test_the_way_to_a_pbx_outside_is_kept_open(
    server: SipServer, pbx_config: PbxConfig, clock: ManualClock, open_phone: OpenPhone
) -> None:
    """By CRLF every 25 s."""
    async with await Pbx.listen(("127.0.0.3", 0)) as outside:
        host, port = outside.local
        server.add_pbx(replace(pbx_config, host=host, port=port))
        for _ in range(3):
            clock.advance(25)
            assert await outside.next_raw() == b"\r\n\r\n"
        server.remove_pbx("pbx-1")
        clock.advance(60)
        await outside.silence()


@pytest.mark.requirement("P101")
async def test_a_pbx_in_the_house_needs_no_keepalive(
    server: SipServer, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """There is no NAT on the way."""
    clock.advance(100)
    await pbx_peer.silence()
