"""What the floors above learn from what is passed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.access.guard import parse_networks
from custom_components.dfks.sip.proxy.location import ProxyBinding
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from tests.clock import ManualClock
from tests.loopback import loopback_config

from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]
type Restart = Callable[[], Awaitable[SipServer]]


@dataclass
class Learned:
    """An observer that writes everything down."""

    events: list[tuple[str | None, ...]] = field(default_factory=list)
    bindings: list[ProxyBinding] = field(default_factory=list)

    def registered(self, binding: ProxyBinding) -> None:
        """Take a binding."""
        self.bindings.append(binding)
        self.events.append(("registered", binding.pbx, binding.user))

    def unregistered(self, binding: ProxyBinding) -> None:
        """Take the end of a binding."""
        self.events.append(("unregistered", binding.pbx, binding.user))

    def password_refused(self, pbx: str, user: str, source: str) -> None:
        """Take a phone with a wrong password."""
        self.events.append(("refused", pbx, user, source))

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Take whether a PBX answers."""
        self.events.append(("reachable" if reachable else "unreachable", pbx))

    def synchronizes_keys(self, pbx: str) -> None:
        """Take a PBX that synchronizes the keys."""
        self.events.append(("keys", pbx))

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Take a certificate that is not good."""
        self.events.append(("certificate", pbx, reason, fingerprint))

    def reached(self, binding: ProxyBinding) -> None:
        """Take a phone that its PBX has sent something."""
        self.events.append(("reached", binding.pbx, binding.user))

    def domain_seen(self, host: str) -> None:
        """Take the host of a REGISTER."""
        self.events.append(("domain", host))


@pytest.fixture
def learned(server: SipServer) -> Learned:
    """Return what the server tells of what is passed."""
    learned = Learned()
    server.observe_proxy(learned)
    return learned


@pytest.mark.requirement("P63")
async def test_a_phone_that_the_pbx_accepts_is_told_of(
    learned: Learned, open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """With its user, its address, its domain and what it is."""
    phone = await open_phone("205")
    await pbx_peer.register(phone, {"User-Agent": "Yealink SIP-T54W 96.86"})
    assert learned.events == [("registered", "pbx-1", "205")]
    (binding,) = learned.bindings
    assert binding.flow.remote == phone.local
    assert (binding.domain, binding.user_agent) == (DOMAIN, "Yealink SIP-T54W 96.86")


@pytest.mark.requirement("P63")
async def test_a_phone_that_unregisters_is_told_of(
    learned: Learned, registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Once."""
    for _ in range(2):
        registered.send(registered.request("REGISTER", None, {"Expires": "0"}))
        pbx_peer.accept(await pbx_peer.next_request(), contacts=[])
        await registered.next_response()
    assert learned.events[1:] == [("unregistered", "pbx-1", "201")]


@pytest.mark.requirement("P63", "P104")
async def test_a_phone_that_does_not_register_again_is_told_of(
    learned: Learned, registered: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """Within a minute of its expiry; a refresh puts that off."""
    clock.advance(3000)
    await pbx_peer.register(registered)
    clock.advance(3599)
    assert ("unregistered", "pbx-1", "201") not in learned.events
    clock.advance(61)
    assert learned.events[-1] == ("unregistered", "pbx-1", "201")
    await pbx_peer.register(registered)
    assert learned.events[-1] == ("registered", "pbx-1", "201")
    clock.advance(3700)
    assert learned.events[-1] == ("unregistered", "pbx-1", "201")


@pytest.mark.requirement("P41", "P63")
async def test_an_observer_is_told_of_what_there_is(
    registered: ProxiedPhone, restart: Restart
) -> None:
    """Also of what comes from an earlier run."""
    after = await restart()
    learned = Learned()
    after.observe_proxy(learned)
    assert learned.events == [("registered", "pbx-1", "201")]


@pytest.mark.requirement("P105")
async def test_a_pbx_that_does_not_answer_is_told_of(
    learned: Learned, phone: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """After three REGISTERs; its next answer takes that back."""
    for _ in range(3):
        phone.send(phone.request("REGISTER"))
        await pbx_peer.next_request()
    assert not learned.events
    clock.advance(63)
    assert ("unreachable", "pbx-1") in learned.events
    await pbx_peer.register(phone)
    assert ("reachable", "pbx-1") in learned.events


@pytest.mark.requirement("P105")
async def test_a_pbx_whose_port_is_closed_is_told_of(
    learned: Learned, phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """At once: ICMP says so of each REGISTER."""
    await pbx_peer.close()
    for _ in range(3):
        assert not learned.events
        assert (await phone.ask(phone.request("REGISTER"))).status == 503
    assert learned.events == [("unreachable", "pbx-1")]


@pytest.mark.requirement("P69")
async def test_a_phone_with_a_wrong_password_is_told_of(
    learned: Learned, phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """When its REGISTERs are no longer passed."""
    for _ in range(5):
        assert not learned.events
        credentials = {"Authorization": 'Digest username="201"'}
        phone.send(phone.request("REGISTER", None, credentials))
        pbx_peer.send((await pbx_peer.next_request()).response(403).encode())
        await phone.next_response()
    assert learned.events == [("refused", "pbx-1", "201", "127.0.0.1")]


@pytest.mark.requirement("P113")
async def test_a_domain_that_nobody_has_configured_is_told_of(
    learned: Learned, phone: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """Ours and the PBX's are none; the REGISTER is answered as ever."""
    host, port = phone.link.remote
    for uri in (f"sip:{host}:{port}", "sip:homeassistant"):
        assert (await phone.ask(phone.request("REGISTER", uri))).status == 401
    await pbx_peer.register(phone)
    learned.events.clear()
    for _ in range(2):
        for uri in ("sip:FRITZ.box", "sip:other.example;transport=tcp"):
            assert (await phone.ask(phone.request("REGISTER", uri))).status == 401
    assert learned.events == [("domain", "fritz.box"), ("domain", "other.example")]
    assert server.seen_domains() == ("other.example", "fritz.box")


@pytest.mark.requirement("P113")
async def test_a_domain_is_seen_before_there_is_a_pbx(
    config: ServerConfig, clock: ManualClock, pbx_config: PbxConfig
) -> None:
    """It is what the form of the first PBX offers, until it is configured."""
    server = SipServer(config, clock)
    await server.start()
    try:
        async with await ProxiedPhone.open(("127.0.0.1", server.port)) as phone:
            assert (await phone.ask(phone.request("REGISTER"))).status == 401
        assert server.seen_domains() == (DOMAIN,)
        server.add_pbx(pbx_config)
        assert not server.seen_domains()
    finally:
        await server.stop()


@pytest.mark.requirement("P65")
@pytest.mark.parametrize(
    "config",
    [loopback_config(allowed_networks=parse_networks("127.0.0.1"))],
)
@pytest.mark.parametrize("pbx_host", ["127.0.0.3"])
async def test_a_pbx_outside_the_allowed_networks_is_let_in(
    server: SipServer, pbx_host: str, pbx_config: PbxConfig, open_phone: OpenPhone
) -> None:
    """Because it is configured; others get no answer, nor does it afterwards."""
    async with await Pbx.listen((pbx_host, 0)) as pbx:
        pbx.towards(server.port)
        options = pbx.request("OPTIONS", f"sip:127.0.0.1:{server.port}")
        pbx.send(options)
        await pbx.silence()
        server.add_pbx(replace(pbx_config, host=pbx_host, port=pbx.local[1]))
        phone = await open_phone()
        await pbx.register(phone)
        assert (await pbx.ask(options)).status == 200
        stranger = await ProxiedPhone.open(
            ("127.0.0.1", server.port), local=("127.0.0.2", 0)
        )
        async with stranger:
            stranger.send(stranger.request("REGISTER"))
            await both_silent(stranger, pbx)
        server.remove_pbx(pbx_config.id)
        pbx.send(options)
        await pbx.silence()


@pytest.mark.requirement("P72")
async def test_another_secret_ends_all_tokens(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, pbx_config: PbxConfig
) -> None:
    """Nobody can go on with a Record-Route or branch of before."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    before = await pbx_peer.register(registered)
    server.add_pbx(pbx_config, bytes(32))
    pbx_peer.send(invite.response(200).encode())
    await registered.silence()
    after = await pbx_peer.register(registered)
    assert after.get("Contact") != before.get("Contact")


async def test_request_that_reaches_a_phone_is_told_of(
    pbx_peer: Pbx, registered: ProxiedPhone, phone: ProxiedPhone, learned: Learned
) -> None:
    """Calls do come through here, then (P27)."""
    registration = await pbx_peer.register(phone)
    pbx_peer.send(pbx_peer.call(registration, "OPTIONS"))
    await registered.next_request()

    assert learned.events[-1] == ("reached", "pbx-1", "201")
