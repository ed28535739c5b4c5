"""Requests that are passed (RFC 3261 16.3 to 16.6): what changes, and what does not."""

import pytest

from tests.clock import ManualClock
from tests.phone.raw import renewed
from tests.phone.wire import parse

from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent, head_of

# What a hop writes (RFC 3261 16.6).
CHANGED = (b"Via:", b"Max-Forwards:", b"Record-Route:", b"Route:")


def kept(data: bytes) -> list[bytes]:
    """Return the lines of a head that no hop writes."""
    return [line for line in head_of(data) if not line.startswith(CHANGED)]


@pytest.mark.requirement("P1")
async def test_an_unknown_method_and_broken_fields_pass(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """What a hop does not need is none of its business."""
    request = registered.request("FOO", None, {"X-Bad": ";;,,", "Date": "never"})
    registered.send(request)
    passed = await pbx_peer.next_raw()
    assert kept(passed) == kept(request)


@pytest.mark.requirement("P2")
@pytest.mark.parametrize(
    "headers",
    [
        {"To": '"open <sip:202@pbx.example>'},
        {"From": "<sip:201@pbx.example"},
        {"CSeq": "x INVITE"},
        {"CSeq": "1 OPTIONS"},
        {"Call-ID": ""},
        {"Max-Forwards": "many"},
        {"Route": "<sip:"},
    ],
)
async def test_a_field_that_a_hop_needs_must_be_well_formed(
    registered: ProxiedPhone, pbx_peer: Pbx, headers: dict[str, str]
) -> None:
    """Such a request is answered here and goes nowhere."""
    response = await registered.ask(registered.request("INVITE", None, headers))
    assert response.status == 400
    await pbx_peer.silence()


@pytest.mark.requirement("P2")
async def test_a_register_with_a_broken_contact_is_not_passed(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The Contact of a REGISTER is needed, too."""
    response = await phone.ask(phone.request("REGISTER", None, {"Contact": "<sip:"}))
    assert response.status == 400
    await pbx_peer.silence()


@pytest.mark.requirement("P3")
async def test_max_forwards_0_is_483(registered: ProxiedPhone, pbx_peer: Pbx) -> None:
    """The request is not passed; an ACK is dropped without a word."""
    request = registered.request("INVITE", None, {"Max-Forwards": "0"})
    assert (await registered.ask(request)).status == 483
    registered.send(registered.request("ACK", None, {"Max-Forwards": "0"}))
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P4")
@pytest.mark.parametrize(("came", "left"), [("17", "16"), (None, "70")])
async def test_max_forwards_is_lowered_or_added(
    registered: ProxiedPhone, pbx_peer: Pbx, came: str | None, left: str
) -> None:
    """By one; a request without one gets 70."""
    registered.send(registered.request("INVITE", None, {"Max-Forwards": came}))
    assert (await pbx_peer.next_request()).get_all("Max-Forwards") == [left]


@pytest.mark.requirement("P5")
async def test_proxy_require_is_answered_and_require_is_not_looked_at(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """420 names the extension that is not there."""
    required = registered.request("INVITE", None, {"Proxy-Require": "foo"})
    response = await registered.ask(required)
    assert (response.status, response.get("Unsupported")) == (420, "foo")
    registered.send(registered.request("INVITE", None, {"Require": "foo"}))
    assert (await pbx_peer.next_request()).get("Require") == "foo"


@pytest.mark.requirement("P6")
async def test_the_same_request_by_two_ways_is_passed_twice(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A proxy has no merged requests."""
    request = registered.request("INVITE")
    again = renewed(request).replace(b"CSeq: 2", b"CSeq: 1")
    branches = []
    for data in (request, again):
        registered.send(data)
        branches.append((await pbx_peer.next_request()).branch)
    assert branches[0] != branches[1]


@pytest.mark.requirement("P7")
async def test_body_and_other_fields_stay_as_they_are(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Octet by octet: NUL, blanks at line ends, names in any case, 60 fields."""
    body = b"v=0 \r\no=- \x00\xff\xfe 1\r\n\r\n"
    more = {f"X-Field-{number}": f"{number},  a ;b" for number in range(60)}
    request = registered.request("INVITE", None, {"Content-Type": "x/y", **more}, body)
    request = request.replace(b"X-Field-7:", b"x-FIELD-7 :\t")
    registered.send(request)
    passed = await pbx_peer.next_raw()
    assert kept(passed) == kept(request)
    assert passed.endswith(b"\r\n\r\n" + body)


@pytest.mark.requirement("P9", "P10")
async def test_the_own_via_is_on_top_and_the_senders_says_where_it_came_from(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """With received and rport; older ones are not touched."""
    older = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKold"
    false = f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKfalse, {older}"
    registered.send(registered.request("INVITE", None, {"Via": false}))
    vias = (await pbx_peer.next_request()).values("Via")
    port = registered.link.remote[1]
    assert vias[0].startswith(f"SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK")
    assert vias[1].startswith("SIP/2.0/UDP 192.0.2.1:5060;")
    assert f"rport={registered.local[1]}" in vias[1].split(";")
    assert "received=127.0.0.1" in vias[1].split(";")
    assert vias[2:] == [older]


@pytest.mark.requirement("P11", "P13")
async def test_a_retransmission_leaves_the_same_in_every_octet(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """So the PBX knows it; the next transaction has another branch."""
    request = registered.request("INVITE")
    passed = []
    for data in (request, request, request, renewed(request)):
        registered.send(data)
        passed.append(await pbx_peer.next_raw())
    assert passed[0] == passed[1] == passed[2]
    assert parse(passed[3]).branch != parse(passed[0]).branch


@pytest.mark.requirement("P11")
async def test_two_requests_without_the_cookie_have_two_branches(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A branch of RFC 2543 says nothing: tags, Call-ID and CSeq tell them apart."""
    host, port = registered.local
    branches = set()
    for call_id in ("one", "one", "two"):
        headers = {"Via": f"SIP/2.0/UDP {host}:{port};branch=1", "Call-ID": call_id}
        registered.send(registered.request("INVITE", None, headers))
        branches.add((await pbx_peer.next_request()).branch)
    assert len(branches) == 2


@pytest.mark.requirement("P12")
async def test_ack_and_cancel_have_the_branch_of_their_invite(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The PBX finds the transaction by it (RFC 3261 9.1, 17.1.1.3)."""
    invite = registered.request("INVITE")
    registered.send(invite)
    request = await pbx_peer.next_request()
    for method in (b"CANCEL", b"ACK"):
        same = invite.replace(b"INVITE", method)
        if method == b"ACK":
            same = same.replace(
                b"To: <sip:202@pbx.example>", b"To: <sip:202@pbx.example>;tag=x"
            )
        registered.send(same)
        passed = await pbx_peer.next_request()
        assert (passed.method, passed.branch) == (method.decode(), request.branch)


@pytest.mark.requirement("P15")
async def test_a_request_that_comes_straight_back_is_482(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """It has our own Via and nothing has changed since."""
    registered.send(registered.request("INVITE"))
    came = await pbx_peer.next_raw()
    host, port = pbx_peer.local
    own = f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKback\r\n".encode()
    pbx_peer.send(came.replace(b"Via:", own + b"Via:", 1))
    response = await pbx_peer.next_response()
    assert (response.status, response.branch) == (482, "z9hG4bKback")
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P16")
@pytest.mark.parametrize("uri", ["tel:112", "urn:service:sos"])
async def test_a_number_and_a_service_are_for_the_pbx_to_understand(
    registered: ProxiedPhone, pbx_peer: Pbx, uri: str
) -> None:
    """They pass, for an emergency call may have either (RFC 3966, RFC 5031)."""
    registered.send(registered.request("INVITE", uri))
    assert (await pbx_peer.next_request()).uri == uri


@pytest.mark.requirement("P16")
async def test_an_unknown_scheme_is_416(registered: ProxiedPhone) -> None:
    """It is not passed."""
    assert (await registered.ask(registered.request("INVITE", "foo:x"))).status == 416


@pytest.mark.requirement("P17")
async def test_a_hop_adds_at_most_150_octets(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """A FRITZ!Box's INVITE of 1310 octets still fits into one packet."""
    registration = await pbx_peer.register(registered)
    body = b"x" * 700
    request = pbx_peer.call(registration, body=body)
    request += b"x" * (1310 - len(request))
    request = request.replace(
        b"Content-Length: 700",
        b"Content-Length: %d" % len(request.partition(b"\r\n\r\n")[2]),
    )
    pbx_peer.send(request)
    assert len(await registered.next_raw()) <= len(request) + 150


@pytest.mark.requirement("P18")
async def test_a_large_datagram_stays_one_datagram(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """Nobody's transport is changed because of a size."""
    registered.send(registered.request("INVITE", None, {}, b"x" * 3000))
    assert (await pbx_peer.next_request()).body == b"x" * 3000


@pytest.mark.requirement("P19")
async def test_compact_folded_and_listed_fields_are_understood(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """What is not changed keeps its form."""
    host, port = registered.local
    request = (
        f"INVITE sip:202@{DOMAIN} SIP/2.0\r\n"
        f"v: SIP/2.0/UDP {host}:{port};rport;\r\n branch=z9hG4bKfolded,\r\n"
        "\tSIP/2.0/UDP 192.0.2.7;branch=z9hG4bKtwo\r\n"
        f"f: <sip:201@{DOMAIN}>;\r\n tag=one\r\n"
        f"t:   <sip:202@{DOMAIN}>\r\n"
        "i: folded\r\n"
        "s: a\r\n  folded\r\n\tsubject\r\n"
        "CSEQ: 1 INVITE\r\n"
        f"m: <sip:201@{host}:{port}>\r\n"
        "l: 0\r\n\r\n"
    ).encode()
    registered.send(request)
    passed = await pbx_peer.next_raw()
    for part in (b"s: a\r\n  folded\r\n\tsubject\r\n", b"\r\n tag=one\r\n", b"t:   <"):
        assert part in passed
    assert b"branch=z9hG4bKfolded" in passed
    assert b"z9hG4bKtwo" in passed


# A PBX with several threads


@pytest.mark.requirement("P35")
async def test_a_request_that_overtakes_the_answer_to_its_register_arrives(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """After that answer: Asterisk sends the lamp's NOTIFY before the 200 at times."""
    phone.send(phone.request("REGISTER"))
    register = await pbx_peer.next_request()

    pbx_peer.send(pbx_peer.call(register, "NOTIFY", {"Event": "message-summary"}))
    await both_silent(phone, pbx_peer)
    pbx_peer.accept(register)

    assert (await phone.next_response()).status == 200
    assert (await phone.next_request()).method == "NOTIFY"


@pytest.mark.requirement("P37", "P61")
@pytest.mark.parametrize("status", [403, None])
async def test_a_request_for_a_phone_that_is_not_accepted_does_not_arrive(
    phone: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock, status: int | None
) -> None:
    """Refused or not answered at all: the PBX is told so after a second."""
    phone.send(phone.request("REGISTER"))
    register = await pbx_peer.next_request()
    pbx_peer.send(pbx_peer.call(register, "NOTIFY", {"Event": "message-summary"}))
    if status is not None:
        pbx_peer.send(register.response(status).encode())
        assert (await phone.next_response()).status == status
    await both_silent(phone, pbx_peer)

    clock.advance(1)

    assert (await pbx_peer.next_response()).status == 404
    await both_silent(phone, pbx_peer)


@pytest.mark.requirement("P37", "C6")
async def test_few_requests_wait_for_the_answer_to_a_register(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The next one is answered at once."""
    phone.send(phone.request("REGISTER"))
    register = await pbx_peer.next_request()

    for _ in range(65):
        pbx_peer.send(pbx_peer.call(register, "NOTIFY"))

    assert (await pbx_peer.next_response()).status == 404
    await both_silent(phone, pbx_peer)
