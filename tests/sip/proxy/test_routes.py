"""Record-Route, Route, and what goes on in a dialog (RFC 3261 16.4, 16.6, 16.12)."""

from collections.abc import Awaitable, Callable

import pytest

from custom_components.dfks.sip.proxy.tokens import Tokens, is_token
from tests.phone import Request

from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]


@pytest.fixture
async def registration(registered: ProxiedPhone, pbx_peer: Pbx) -> Request:
    """Return the REGISTER of the phone as the PBX got it."""
    return await pbx_peer.register(registered)


def in_dialog(
    peer: ProxiedPhone | Pbx, invite: Request, method: str, route: list[str]
) -> bytes:
    """Build a request of the callee's side in the dialog of an INVITE."""
    return peer.request(
        method,
        invite.get("Contact").strip("<>"),
        {
            "From": f"{invite.get('To')};tag=callee",
            "To": invite.get("From"),
            "Call-ID": invite.call_id,
            "Route": route,
        },
    )


@pytest.mark.requirement("P43")
@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER", "FOO"])
async def test_what_may_open_a_dialog_is_record_routed(
    registered: ProxiedPhone, pbx_peer: Pbx, method: str
) -> None:
    """Before what is there, with lr, leading here; in both directions."""
    older = "<sip:edge.example;lr>"
    headers = {"Event": "presence", "Record-Route": older}
    registered.send(registered.request(method, None, headers))
    own, other = (await pbx_peer.next_request()).values("Record-Route")
    port = registered.link.remote[1]
    assert own.endswith(f"@127.0.0.1:{port};lr>")
    assert other == older
    registration = await pbx_peer.register(registered)
    pbx_peer.send(pbx_peer.call(registration, method, headers))
    own, other = (await registered.next_request()).values("Record-Route")
    assert own.endswith(f"@127.0.0.1:{port};lr>")
    assert other == older


@pytest.mark.requirement("P44")
async def test_a_register_is_not_record_routed(registration: Request) -> None:
    """It opens no dialog."""
    assert not registration.has("Record-Route")


@pytest.mark.requirement("P45", "P14", "P100")
async def test_two_transports_have_two_values(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """One a side, the sending side's on top."""
    phone = await open_phone(transport="tcp")
    registration = await pbx_peer.register(phone)
    phone.send(phone.request("INVITE"))
    values = (await pbx_peer.next_request()).values("Record-Route")
    assert [";transport=tcp" in value for value in values] == [False, True]
    call = pbx_peer.call(registration).replace(b"Content-Length: 0\r\n", b"")
    pbx_peer.send(call)
    invite = await phone.next_request()
    assert invite.get("Content-Length") == "0"
    values = invite.values("Record-Route")
    assert [";transport=tcp" in value for value in values] == [True, False]


@pytest.mark.requirement("P46")
async def test_own_routes_are_taken_off_and_others_stay(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Both values of a phone on TCP; the rest in its order."""
    phone = await open_phone(transport="tcp")
    registration = await pbx_peer.register(phone)
    pbx_peer.send(pbx_peer.call(registration))
    invite = await phone.next_request()
    others = ["<sip:a.example;lr>", "<sip:b.example;lr>"]
    phone.send(
        in_dialog(phone, invite, "BYE", [*invite.values("Record-Route"), *others])
    )
    assert (await pbx_peer.next_request()).values("Route") == others


@pytest.mark.requirement("P46")
async def test_a_preloaded_route_to_the_outbound_proxy_is_taken_off(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Phones write one for the proxy that is typed in."""
    route = f"<sip:127.0.0.1:{registered.link.remote[1]};lr>"
    registered.send(registered.request("INVITE", None, {"Route": route}))
    assert not (await pbx_peer.next_request()).has("Route")


@pytest.mark.requirement("P47")
async def test_a_strict_router_is_undone(
    registered: ProxiedPhone, pbx_peer: Pbx, registration: Request
) -> None:
    """Our Record-Route as Request-URI: the last Route is the target."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    own = invite.values("Record-Route")[0].strip("<>")
    phone_uri = invite.get("Contact").strip("<>")
    bye = in_dialog(pbx_peer, invite, "BYE", [f"<{phone_uri}>"])
    pbx_peer.send(bye.replace(f"BYE {phone_uri} ".encode(), f"BYE {own} ".encode()))
    passed = await registered.next_request()
    assert (passed.uri, passed.has("Route")) == (phone_uri, False)


@pytest.mark.requirement("P48")
async def test_a_next_hop_that_is_a_strict_router_gets_what_it_expects(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Its URI as Request-URI, the target as last Route; sent to the phone all the same."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    phone_uri = invite.get("Contact").strip("<>")
    routes = [*invite.values("Record-Route"), "<sip:strict.example>"]
    pbx_peer.send(in_dialog(pbx_peer, invite, "BYE", routes))
    passed = await registered.next_request()
    assert passed.uri == "sip:strict.example"
    assert passed.values("Route") == [f"<{phone_uri}>"]


@pytest.mark.requirement("P49")
async def test_a_route_leads_to_the_newest_connection(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """A phone that reconnects in a call gets the PBX's BYE."""
    contact = "<sip:201@192.0.2.40;transport=tcp>"
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone, {"Contact": contact})
    phone.send(phone.request("INVITE"))
    invite = await pbx_peer.next_request()
    await phone.close()
    again = await open_phone(transport="tcp")
    await pbx_peer.register(again, {"Contact": contact})
    pbx_peer.send(in_dialog(pbx_peer, invite, "BYE", invite.values("Record-Route")))
    assert (await again.next_request()).method == "BYE"


@pytest.mark.requirement("P51")
async def test_contacts_of_a_dialog_are_not_touched(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Of INVITE, its 200, and UPDATE."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    assert invite.get("Contact") == registered.contact
    contact = "<sip:202@192.0.2.77:5062;x=y>"
    pbx_peer.send(invite.response(200, extra=[("Contact", contact)]).encode())
    assert (await registered.next_response()).get("Contact") == contact
    route = invite.values("Record-Route")
    registered.send(registered.request("UPDATE", contact.strip("<>"), {"Route": route}))
    assert (await pbx_peer.next_request()).get("Contact") == registered.contact


@pytest.mark.requirement("P52")
@pytest.mark.parametrize(
    "method", ["ACK", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"]
)
async def test_a_request_in_a_dialog_passes_both_ways(
    registered: ProxiedPhone, pbx_peer: Pbx, registration: Request, method: str
) -> None:
    """By the Route that was recorded."""
    pbx_peer.send(pbx_peer.call(registration))
    invite = await registered.next_request()
    route = invite.values("Record-Route")
    headers = {"Event": "refer"} if method == "NOTIFY" else {}
    data = in_dialog(registered, invite, method, route)
    registered.send(
        data.replace(
            b"\r\n\r\n",
            b"".join(f"\r\n{name}: {value}".encode() for name, value in headers.items())
            + b"\r\n\r\n",
        )
    )
    assert (await pbx_peer.next_request()).method == method
    uri = registered.contact.strip("<>")
    other = {"To": f"{invite.get('To')};tag=callee", "Route": route, **headers}
    pbx_peer.send(pbx_peer.request(method, uri, other))
    assert (await registered.next_request()).uri == uri


@pytest.mark.requirement("P53")
async def test_a_phone_that_names_us_in_a_dialog_reaches_the_pbx(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Panasonic writes its own address-of-record or our address as Request-URI."""
    port = registered.link.remote[1]
    for uri in (f"sip:201@127.0.0.1:{port}", f"sip:201@{DOMAIN}"):
        to = f"<sip:202@{DOMAIN}>;tag=callee"
        registered.send(registered.request("BYE", uri, {"To": to}))
        assert (await pbx_peer.next_request()).uri == uri


@pytest.mark.requirement("P54", "P64")
async def test_a_route_of_others_is_kept_and_not_followed(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A provider's Service-Route goes along to the PBX."""
    other = await Pbx.listen()
    route = f"<sip:127.0.0.1:{other.local[1]};lr>"
    registered.send(registered.request("INVITE", None, {"Route": route}))
    assert (await pbx_peer.next_request()).values("Route") == [route]
    await both_silent(other, registered)
    await other.close()


def test_every_token_is_known_as_one() -> None:
    """Also one of decimal digits alone: its phone's calls would get no ACK."""
    tokens = Tokens(bytes(32))
    made = [tokens.binding("pbx-1", "201", str(number)) for number in range(2000)]
    assert any(token.isdecimal() for token in made)
    assert all(is_token(token) for token in made)
