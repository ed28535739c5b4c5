"""Responses that are passed (RFC 3261 16.7, 16.11)."""

import pytest

from tests.phone import Request

from .peers import Pbx, ProxiedPhone, both_silent, head_of


@pytest.fixture
async def invite(registered: ProxiedPhone, pbx_peer: Pbx) -> Request:
    """Return an INVITE of the phone as the PBX got it."""
    registered.send(registered.request("INVITE"))
    return await pbx_peer.next_request()


@pytest.mark.requirement("P20")
@pytest.mark.parametrize("change", ["branch", "sent-by"])
async def test_a_forged_response_is_dropped(
    registered: ProxiedPhone, pbx_peer: Pbx, invite: Request, change: str
) -> None:
    """The top Via must be ours: our address, and a branch that nobody else can write."""
    data = invite.response(200).encode()
    if change == "branch":
        own = invite.branch.encode()
        flipped = own[:-6] + (b"a" if own[-6:-5] != b"a" else b"b") + own[-5:]
        data = data.replace(own, flipped, 1)
    else:
        data = data.replace(b"UDP 127.0.0.1:", b"UDP 192.0.2.1:", 1)
    pbx_peer.send(data)
    await registered.silence()


@pytest.mark.requirement("P20")
async def test_a_response_of_another_than_the_pbx_is_dropped(
    registered: ProxiedPhone, open_phone: object, invite: Request
) -> None:
    """Who has seen the branch cannot answer for the PBX all the same."""
    stranger = await open_phone("202")  # type: ignore[operator]
    stranger.send(invite.response(200).encode())
    await registered.silence()


@pytest.mark.requirement("P21", "P24")
async def test_a_response_passes_but_for_our_via(
    registered: ProxiedPhone, pbx_peer: Pbx, invite: Request
) -> None:
    """Body, fields, their order, and To without a tag of ours."""
    extra = [("WWW-Authenticate", 'Digest realm="a"'), ("WWW-Authenticate", "Other x")]
    sent = invite.response(180, extra=[*extra, ("X-Odd", "a,  b")]).encode()
    sent = sent.replace(
        b"Content-Length: 0\r\n\r\n", b"Content-Length: 5\r\n\r\nv=0\r\n"
    )
    pbx_peer.send(sent)
    passed = await registered.next_raw()
    expected = head_of(sent)
    vias = [line for line in expected if line.startswith(b"Via:")]
    expected.remove(vias[0])
    assert head_of(passed) == expected
    assert passed.endswith(b"\r\n\r\nv=0\r\n")


@pytest.mark.requirement("P22")
async def test_a_response_without_another_via_goes_nowhere(
    registered: ProxiedPhone, pbx_peer: Pbx, invite: Request
) -> None:
    """It would be for this server itself, which has asked nothing."""
    lines = invite.response(200).encode().split(b"\r\n")
    vias = [line for line in lines if line.startswith(b"Via:")]
    pbx_peer.send(b"\r\n".join(line for line in lines if line not in vias[1:]))
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P23", "P25")
async def test_every_response_passes_as_often_as_it_comes(
    registered: ProxiedPhone, pbx_peer: Pbx, invite: Request
) -> None:
    """100, 180 and each 200; nothing is made up here."""
    statuses = [100, 180, 200, 200, 200, 200]
    for status in statuses:
        pbx_peer.send(invite.response(status).encode())
    got = [(await registered.next_response()).status for _ in statuses]
    assert got == statuses
    await registered.silence()


@pytest.mark.requirement("P26")
async def test_a_pbx_that_refuses_datagrams_is_503(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """At once, where ICMP says so; a silent PBX gets silence."""
    registered.send(registered.request("INVITE"))
    await pbx_peer.next_request()
    await registered.silence()
    await pbx_peer.close()
    response = await registered.ask(registered.request("INVITE"))
    assert response.status == 503


@pytest.mark.requirement("P21")
async def test_a_response_of_the_phone_reaches_the_pbx(
    registered: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """By the PBX's own Via."""
    registration = await pbx_peer.register(registered)
    pbx_peer.send(pbx_peer.call(registration))
    request = await registered.next_request()
    registered.answer(request, 180)
    response = await pbx_peer.next_response()
    assert (response.status, len(response.values("Via"))) == (180, 1)
