"""Contacts that lead here, and the bindings that come of them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from custom_components.dfks.sip.proxy.pbx import ContactMode, PbxConfig
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.phone import Request
from tests.phone.wire import parameter

from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]

INSTANCE = '"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'


def uri_of(contact: str) -> str:
    """Return what stands in <>."""
    return contact.partition("<")[2].partition(">")[0]


def token_of(registration: Request, index: int = 0) -> str:
    """Return our token in a Contact."""
    return parameter(uri_of(registration.values("Contact")[index]), "fk")


@pytest.mark.requirement("P28")
async def test_a_contact_becomes_our_own_with_a_token(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Parameters of the field stay, those of the URI are hidden behind the token."""
    written = f"sip:201-0x55@{phone.local[0]}:{phone.local[1]};line=abc;ob"
    field = f"<{written}>;expires=600;q=0.5;+sip.instance={INSTANCE};reg-id=1"
    passed = await pbx_peer.register(phone, {"Contact": field})
    contact = passed.values("Contact")[0]
    token, port = token_of(passed), phone.link.remote[1]
    assert contact == (
        f"<sip:201-0x55@127.0.0.1:{port};fk={token}>"
        f";expires=600;q=0.5;+sip.instance={INSTANCE};reg-id=1"
    )


@pytest.mark.requirement("P28", "P31", "P35")
async def test_the_phone_sees_its_own_contact_and_request_uri(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """To the letter, in the 200 with the PBX's expiry and in each request."""
    written = f"sip:201-0x55@{phone.local[0]}:{phone.local[1]};line=a;Transport=udp"
    phone.send(phone.request("REGISTER", None, {"Contact": f"<{written}>;q=1"}))
    request = await pbx_peer.next_request()
    foreign = "<sip:201@192.0.2.99:5060>;expires=9"
    pbx_peer.accept(request, [foreign, f"{request.get('Contact')};expires=1800"])
    contacts = (await phone.next_response()).values("Contact")
    assert contacts == [foreign, f"<{written}>;q=1;expires=1800"]
    pbx_peer.send(pbx_peer.call(request))
    assert (await phone.next_request()).uri == written


@pytest.mark.requirement("P29")
@pytest.mark.parametrize("instance", [True, False])
async def test_a_token_stays_over_refreshes_and_new_ports(
    open_phone: OpenPhone, pbx_peer: Pbx, instance: bool
) -> None:
    """A phone is one Contact, however often it connects anew."""
    contact = "<sip:201@192.0.2.40:5060>"
    if instance:
        contact += f";+sip.instance={INSTANCE};reg-id=1"
    tokens = set()
    for transport in ("udp", "udp", "tcp", "tcp"):
        phone = await open_phone(transport=transport)
        tokens.add(token_of(await pbx_peer.register(phone, {"Contact": contact})))
    assert len(tokens) == 1


@pytest.mark.requirement("P28")
async def test_two_contacts_in_one_line_both_become_our_own(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The second is none of the parameters of the first."""
    host, port = phone.local
    written = f"<sip:201@{host}:{port}>;expires=600, <sip:201@{host}:{port};line=2>"
    passed = await pbx_peer.register(phone, {"Contact": written})
    assert len({token_of(passed, 0), token_of(passed, 1)} - {""}) == 2


@pytest.mark.requirement("P30")
async def test_two_phones_of_a_line_have_two_tokens(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Short ones of lower-case letters and digits."""
    tokens = [token_of(await pbx_peer.register(await open_phone())) for _ in range(2)]
    assert tokens[0] != tokens[1]
    for token in tokens:
        assert len(token) <= 24
        assert token.isalnum()
        assert token == token.lower()


async def test_contacts_of_hostile_length_are_not_kept(
    server: SipServer, phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Nobody needs a password to write one."""
    registrations = server.proxy.registrations
    phone.send(phone.request("REGISTER", None, {"To": f"<sip:{'2' * 9000}@{DOMAIN}>"}))
    await pbx_peer.next_request()
    assert registrations._mirror_once.cache_info().currsize == 0
    phone.send(phone.request("REGISTER"))
    await pbx_peer.next_request()
    assert registrations._mirror_once.cache_info().currsize == 1


@pytest.mark.requirement("P32")
@pytest.mark.parametrize("drops_token", [True, False])
async def test_a_contact_that_the_pbx_has_rewritten_is_recognized(
    phone: ProxiedPhone, pbx_peer: Pbx, drops_token: bool
) -> None:
    """By its token, else because one was sent and one came back."""
    phone.send(phone.request("REGISTER"))
    request = await pbx_peer.next_request()
    suffix = "" if drops_token else f";x=1;fk={token_of(request)}"
    pbx_peer.accept(request, [f"<sip:201@127.0.0.1:1234{suffix}>;expires=60"])
    response = await phone.next_response()
    assert response.values("Contact") == [f"{phone.contact};expires=60"]


@pytest.mark.requirement("P33")
async def test_a_binding_lives_as_long_as_the_pbx_says(
    phone: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """3600 asked, 60 granted: 60."""
    phone.send(phone.request("REGISTER"))
    request = await pbx_peer.next_request()
    pbx_peer.accept(request, expires=60)
    await phone.next_response()
    clock.advance(59)
    pbx_peer.send(pbx_peer.call(request))
    await phone.next_request()
    clock.advance(2)
    assert (await pbx_peer.ask(pbx_peer.call(request))).status == 404
    await both_silent(phone, pbx_peer)


@pytest.mark.requirement("P33")
@pytest.mark.parametrize(
    "headers", [{"Expires": "0"}, {"Expires": "0", "Contact": "*"}]
)
async def test_a_binding_that_is_removed_has_ended(
    registered: ProxiedPhone, pbx_peer: Pbx, headers: dict[str, str]
) -> None:
    """By expires=0 or by *."""
    registration = await pbx_peer.register(registered)
    registered.send(registered.request("REGISTER", None, headers))
    pbx_peer.accept(await pbx_peer.next_request(), [])
    await registered.next_response()
    assert (await pbx_peer.ask(pbx_peer.call(registration))).status == 404


@pytest.mark.requirement("P33")
async def test_423_passes_with_its_minimum(phone: ProxiedPhone, pbx_peer: Pbx) -> None:
    """The phone asks again by itself."""
    phone.send(phone.request("REGISTER"))
    request = await pbx_peer.next_request()
    pbx_peer.send(request.response(423, extra=[("Min-Expires", "120")]).encode())
    response = await phone.next_response()
    assert (response.status, response.get("Min-Expires")) == (423, "120")


@pytest.mark.requirement("P34")
@pytest.mark.parametrize("status", [401, 403, 500, None])
async def test_a_register_that_fails_changes_nothing(
    registered: ProxiedPhone, pbx_peer: Pbx, status: int | None
) -> None:
    """The line is reachable until its expiry."""
    registration = await pbx_peer.register(registered)
    registered.send(registered.request("REGISTER"))
    request = await pbx_peer.next_request()
    if status is not None:
        pbx_peer.send(request.response(status).encode())
        await registered.next_response()
    pbx_peer.send(pbx_peer.call(registration))
    assert (await registered.next_request()).method == "INVITE"


@pytest.mark.requirement("P36")
async def test_the_line_is_the_user_of_to(
    phone: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """Never that of the Contact."""
    await pbx_peer.register(phone, {"Contact": phone.contact.replace("201", "x-0x1")})
    assert server.proxy is not None
    assert [binding.user for binding in server.proxy.location] == ["201"]


@pytest.mark.requirement("P37")
async def test_an_unknown_token_is_404_in_a_dialog_481_and_an_ack_dropped(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Nothing reaches the phone."""
    registration = await pbx_peer.register(registered)
    token = token_of(registration).encode()
    forged = bytes(reversed(token))
    call = pbx_peer.call(registration).replace(token, forged)
    assert (await pbx_peer.ask(call)).status == 404
    bye = pbx_peer.call(registration, "BYE", {"To": f"<sip:201@{DOMAIN}>;tag=x"})
    assert (await pbx_peer.ask(bye.replace(token, forged))).status == 481
    pbx_peer.send(pbx_peer.call(registration, "ACK").replace(token, forged))
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P40")
async def test_a_pbx_that_forgets_the_token_reaches_a_single_phone(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """With two phones of the line nobody knows which: 480."""
    first = await open_phone()
    registration = await pbx_peer.register(first)
    call = pbx_peer.call(registration).replace(
        f";fk={token_of(registration)}".encode(), b""
    )
    pbx_peer.send(call)
    assert (await first.next_request()).method == "INVITE"
    await pbx_peer.register(await open_phone())
    assert (await pbx_peer.ask(call)).status == 480


@pytest.mark.requirement("P42")
async def test_the_newest_binding_of_a_line_comes_in_and_the_oldest_goes(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Ten at most."""
    registrations = []
    for number in range(11):
        phone = await open_phone()
        contact = f"<sip:201@127.0.0.1:{4000 + number}>"
        registrations.append(await pbx_peer.register(phone, {"Contact": contact}))
    assert (await pbx_peer.ask(pbx_peer.call(registrations[0]))).status == 404
    pbx_peer.send(pbx_peer.call(registrations[10]))
    assert (await phone.next_request()).method == "INVITE"


class TestPath:
    """A PBX that is sent a Path instead of another Contact (RFC 3327)."""

    @pytest.fixture
    def pbx_config(self, pbx_config: PbxConfig) -> PbxConfig:
        """Return the usual one with a Path."""
        return replace(pbx_config, contact_mode=ContactMode.PATH)

    @pytest.mark.requirement("P38", "P39")
    async def test_a_path_leads_calls_here(
        self, phone: ProxiedPhone, pbx_peer: Pbx
    ) -> None:
        """The Contact stays, the PBX is told that Path is supported."""
        phone.send(phone.request("REGISTER", None, {"Path": "<sip:edge.example;lr>"}))
        request = await pbx_peer.next_request()
        assert request.get("Contact") == phone.contact
        assert "path" in request.values("Supported")
        own, older = request.values("Path")
        assert older == "<sip:edge.example;lr>"
        assert own.endswith(";lr>")
        pbx_peer.accept(request)
        await phone.next_response()
        pbx_peer.send(pbx_peer.call(request, "INVITE", {"Route": own}))
        invite = await phone.next_request()
        assert f"<{invite.uri}>" == phone.contact
        assert not invite.has("Route")
