"""Who may be passed, and where to: proven flows, and no open relay."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.phone import Digest

from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]


@pytest.mark.requirement("P8")
async def test_credentials_and_the_request_uri_reach_the_pbx_untouched(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A digest that is made for the PBX is right there."""
    register = phone.request("REGISTER")
    phone.send(register)
    request = await pbx_peer.next_request()
    challenge = 'Digest realm="pbx", nonce="n", qop="auth", algorithm=MD5'
    pbx_peer.send(
        request.response(401, extra=[("WWW-Authenticate", challenge)]).encode()
    )
    response = await phone.next_response()
    assert response.get("WWW-Authenticate") == challenge
    digest = Digest(username="201", password="secret")
    signed = phone.signed(register, response, "secret", digest=digest)
    phone.send(signed)
    passed = await pbx_peer.next_raw()
    line = next(line for line in signed.split(b"\r\n") if line.startswith(b"Authoriz"))
    assert line in passed.split(b"\r\n")
    assert passed.startswith(f"REGISTER sip:{DOMAIN} SIP/2.0\r\n".encode())


@pytest.mark.requirement("P55", "P67")
@pytest.mark.parametrize("proof", ["challenge", "refusal", "query", "stranger"])
async def test_nothing_but_a_2xx_with_our_contact_proves_a_flow(
    open_phone: OpenPhone, pbx_peer: Pbx, proof: str
) -> None:
    """Not a 401 or 403, no query, and no 200 of somebody else."""
    phone = await open_phone()
    contact = {"Contact": None} if proof == "query" else {}
    phone.send(phone.request("REGISTER", None, contact))
    request = await pbx_peer.next_request()
    if proof == "stranger":
        stranger = await open_phone("203")
        stranger.send(
            request.response(200, extra=[("Contact", request.get("Contact"))]).encode()
        )
    else:
        status = {"challenge": 401, "refusal": 403, "query": 200}[proof]
        pbx_peer.send(request.response(status).encode())
        await phone.next_response()
    assert (await phone.ask(phone.request("INVITE"))).status == 403
    await pbx_peer.silence()


@pytest.mark.requirement("P56", "P67")
async def test_another_address_of_the_same_line_is_not_proven(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """What another host sends in the line's name is refused and never passed."""
    other = await ProxiedPhone.open(("127.0.0.1", server.port), local=("127.0.0.2", 0))
    async with other:
        assert (await other.ask(other.request("INVITE"))).status == 403
        other.send(other.request("ACK"))
        other.send(other.request("CANCEL"))
        await both_silent(other, pbx_peer)


@pytest.mark.requirement("P57")
async def test_a_proof_ends_with_its_binding(
    registered: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """The PBX's expiry is the end."""
    clock.advance(3601)
    assert (await registered.ask(registered.request("INVITE"))).status == 403


@pytest.mark.requirement("P67")
async def test_a_phone_that_reconnects_may_go_on_from_its_address(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Before it has registered anew; the PBX challenges it."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    await phone.close()
    again = await open_phone(transport="tcp")
    again.send(again.request("INVITE"))
    assert (await pbx_peer.next_request()).method == "INVITE"
    other = await open_phone("203", transport="tcp")
    assert (await other.ask(other.request("INVITE"))).status == 403


@pytest.mark.requirement("P67")
@pytest.mark.parametrize("in_dialog", [False, True])
async def test_a_pbx_that_trusts_addresses_is_told_nothing_unproven(
    registered: ProxiedPhone,
    open_phone: OpenPhone,
    pbx_peer: Pbx,
    server: SipServer,
    pbx_config: PbxConfig,
    in_dialog: bool,
) -> None:
    """It would ask for no password: by option only a proven flow is passed."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    headers = {}
    if in_dialog:
        headers = {
            "To": f"<sip:202@{DOMAIN}>;tag=x",
            "Route": invite.values("Record-Route"),
        }
    moved = await open_phone()
    moved.send(moved.request("BYE" if in_dialog else "INVITE", None, headers))
    assert (await pbx_peer.next_request()).method in ("BYE", "INVITE")
    server.add_pbx(replace(pbx_config, challenges=False))
    # Another PBX, which does challenge, knows the user from there.
    other = replace(pbx_config, id="pbx-2", domains=("other.example",), port=9)
    server.add_pbx(other)
    (binding,) = server.proxy.location.of_line("pbx-1", "201")
    server.proxy.location.update(binding._replace(token="f" * 12, pbx="pbx-2"))
    if in_dialog:
        answer = await moved.ask(moved.request("BYE", None, headers))
        assert answer.status in (403, 503)
    await pbx_peer.silence()
    server.remove_pbx("pbx-2")
    assert (await moved.ask(moved.request("INVITE"))).status == 403
    registered.send(registered.request("INVITE"))
    await pbx_peer.next_request()


@pytest.mark.requirement("P64")
@pytest.mark.parametrize(
    "uri",
    ["sip:202@{other}", "sip:202@pbx.example;maddr=127.0.0.1", "sip:x@{other};lr"],
)
async def test_a_phone_can_name_no_other_destination(
    registered: ProxiedPhone, pbx_peer: Pbx, uri: str
) -> None:
    """Whatever the Request-URI says, it goes to the PBX."""
    async with await Pbx.listen() as other:
        target = uri.format(other=f"127.0.0.1:{other.local[1]}")
        registered.send(registered.request("INVITE", target))
        assert (await pbx_peer.next_request()).uri == target
        await other.silence()


@pytest.mark.requirement("P64")
async def test_the_pbx_can_name_no_other_destination(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Only bindings, and Routes that we have written."""
    async with await Pbx.listen() as other:
        host = f"127.0.0.1:{other.local[1]}"
        call = pbx_peer.request(
            "INVITE", f"sip:201@{host}", {"Route": f"<sip:{host};lr>"}
        )
        assert (await pbx_peer.ask(call)).status == 404
        await other.silence()


@pytest.mark.requirement("P66")
async def test_the_pbxs_host_at_another_port_is_a_phone(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A call from there is not the PBX's."""
    registration = await pbx_peer.register(registered)
    async with await Pbx.listen() as other:
        other.towards(registered.link.remote[1])
        assert (await other.ask(other.call(registration))).status in (403, 405)
        await registered.silence()


@pytest.mark.requirement("P68")
async def test_a_refusal_is_hardly_longer_than_its_request(
    phone: ProxiedPhone,
) -> None:
    """Nobody can make this server send much to somebody else."""
    request = phone.request("INVITE")
    phone.send(request)
    assert len(await phone.next_raw()) <= len(request) + 200


@pytest.mark.requirement("P69")
async def test_a_wrong_password_is_not_passed_for_ever(
    phone: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """A PBX that bans an address would ban all phones."""
    credentials = {"Authorization": 'Digest username="201"'}
    for _ in range(5):
        phone.send(phone.request("REGISTER", None, credentials))
        request = await pbx_peer.next_request()
        pbx_peer.send(request.response(401).encode())
        assert (await phone.next_response()).status == 401
    response = await phone.ask(phone.request("REGISTER", None, credentials))
    assert (response.status, response.has("Retry-After")) == (403, True)
    await pbx_peer.silence()
    clock.advance(301)
    phone.send(phone.request("REGISTER", None, credentials))
    await pbx_peer.next_request()


@pytest.mark.requirement("P69")
async def test_a_stale_nonce_is_no_wrong_password(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Phones try the nonce that they have first."""
    credentials = {"Authorization": 'Digest username="201"'}
    stale = [("WWW-Authenticate", 'Digest realm="a", stale=TRUE, nonce="x"')]
    for _ in range(7):
        phone.send(phone.request("REGISTER", None, credentials))
        request = await pbx_peer.next_request()
        pbx_peer.send(request.response(401, extra=stale).encode())
        assert (await phone.next_response()).status == 401


@pytest.mark.requirement("P70")
async def test_a_redirection_is_passed_and_not_followed(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """It is for who has called."""
    registered.send(registered.request("INVITE"))
    request = await pbx_peer.next_request()
    contact = ("Contact", "<sip:203@pbx.example>")
    pbx_peer.send(request.response(302, extra=[contact]).encode())
    assert (await registered.next_response()).get("Contact") == contact[1]
    await pbx_peer.silence()


@pytest.mark.requirement("P76")
async def test_sips_never_leaves_in_the_clear(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The PBX is reached over UDP: 416."""
    request = registered.request("INVITE", f"sips:202@{DOMAIN}")
    assert (await registered.ask(request)).status == 416
    await pbx_peer.silence()


@pytest.mark.requirement("P113")
async def test_a_register_for_another_host_is_for_this_server(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Our own address, and names that are no PBX's, are answered here."""
    host, port = phone.link.remote
    for uri in (f"sip:{host}:{port}", "sip:elsewhere.example"):
        response = await phone.ask(phone.request("REGISTER", uri))
        assert response.status == 401
    await pbx_peer.silence()
    pbx_host, pbx_port = pbx_peer.local
    for uri in (f"sip:{pbx_host}:{pbx_port}", f"sip:{DOMAIN}", f"sip:{DOMAIN}:5060"):
        phone.send(phone.request("REGISTER", uri))
        assert (await pbx_peer.next_request()).uri == uri


@pytest.mark.requirement("P56")
async def test_a_connection_that_has_proven_its_line_may_be_silent(
    open_phone: OpenPhone, pbx_peer: Pbx, server: SipServer, clock: ManualClock
) -> None:
    """It counts as logged in; one that has proven nothing is closed after a minute."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    stranger = await open_phone("203", transport="tcp")
    assert (await stranger.ask(stranger.request("INVITE"))).status == 403
    for _ in range(10):
        clock.advance(30)
    await stranger.wait_closed()
    pbx_peer.send(pbx_peer.request("OPTIONS", f"sip:127.0.0.1:{server.port}"))
    await pbx_peer.next_response()
    assert not phone.closed.is_set()
