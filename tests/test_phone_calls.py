"""The simulated phone when it is called, against a caller that is a bare peer."""

from collections.abc import AsyncIterator

import pytest

from dev.ports import free_port

from .phone import Bell, Call, CallState, Phone, RawPeer, Request, Response, parse
from .phone.wire import address

pytestmark = pytest.mark.usefixtures("socket_enabled")

HOST = "127.0.0.1"


@pytest.fixture
async def bell() -> AsyncIterator[Bell]:
    """Give the bell of a phone whose server is the caller."""
    async with Phone("201", "secret", (HOST, free_port())) as phone:
        bell = Bell(phone)
        bell.connect()
        yield bell


@pytest.fixture
async def caller(bell: Bell) -> AsyncIterator[RawPeer]:
    """Give the caller."""
    phone = bell.phone
    async with await RawPeer.open(phone.link.local, local=phone.server) as peer:
        yield peer


@pytest.fixture
async def invite(bell: Bell, caller: RawPeer) -> bytes:
    """Give an INVITE that was sent to the phone."""
    data = caller.request("INVITE", address(bell.phone.contact))
    caller.send(data)
    return data


@pytest.fixture
async def call(bell: Bell, caller: RawPeer, invite: bytes) -> Call:
    """Give a call that rings."""
    call = await bell.incoming_call()
    assert (await caller.next_response()).status == 180
    return call


def later(caller: RawPeer, method: str, invite: bytes, response: Response) -> bytes:
    """Return a request of the call that an INVITE has begun."""
    asked = parse(invite)
    assert isinstance(asked, Request)
    kept = {"Call-ID": asked.call_id, "From": asked.get("From")}
    return caller.request(method, headers={**kept, "To": response.get("To")})


async def test_rings(bell: Bell, caller: RawPeer, invite: bytes) -> None:
    """Until somebody does something about it."""
    response = await caller.next_response()

    assert (response.status, response.violations) == (180, [])
    assert (await bell.incoming_call()).state is CallState.RINGING
    assert not bell.phone.violations


async def test_rings_once_for_an_invite_that_comes_again(
    bell: Bell, caller: RawPeer, invite: bytes, call: Call
) -> None:
    """And gives the same answer."""
    assert (await caller.ask(invite)).raw == call.sent
    assert bell.calls == [call]


async def test_is_picked_up_and_hung_up(
    bell: Bell, caller: RawPeer, invite: bytes, call: Call
) -> None:
    """200 with a session, ACK, BYE."""
    bell.pick_up(call)
    response = await caller.next_response()
    assert (response.status, response.body[:3]) == (200, b"v=0")

    caller.send(later(caller, "ACK", invite, response))
    await bell.until(call, CallState.ESTABLISHED)
    assert (await caller.ask(later(caller, "BYE", invite, response))).ok
    assert call.state is CallState.ENDED
    assert not bell.phone.violations


async def test_stops_when_the_caller_gives_up(
    bell: Bell, caller: RawPeer, invite: bytes, call: Call
) -> None:
    """200 for the CANCEL, which has the branch of the INVITE, and 487 for that."""
    caller.send(invite.replace(b"INVITE", b"CANCEL"))

    assert (await caller.next_response()).cseq == (1, "CANCEL")
    assert (await caller.next_response()).status == 487
    assert call.state is CallState.CANCELLED


async def test_notices_a_request_uri_that_is_not_its_contact(
    bell: Bell, caller: RawPeer
) -> None:
    """A proxy that rewrites it may ring the wrong line."""
    caller.send(caller.request("INVITE", "sip:201@192.0.2.1"))
    await bell.incoming_call()

    assert len(bell.phone.violations) == 1


async def test_a_call_that_it_does_not_know_cannot_be_ended(
    bell: Bell, caller: RawPeer
) -> None:
    """481, and a note."""
    assert (await caller.ask(caller.request("BYE"))).status == 481
    assert len(bell.phone.violations) == 1
