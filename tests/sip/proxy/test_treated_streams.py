"""Calls that are treated where PBX and phones speak TCP."""

import pytest

from custom_components.dfks.sip import SipServer
from tests.clock import ManualClock
from tests.phone import settle

from .calling import DND, NO_REPLY, PbxCall, ScriptedPolicy, reply, ring, stopped
from .peers import ProxiedPhone, StreamPbx
from .test_streams import (
    OpenPhone,
    built_server,
    certificate,
    pbx_config,
    server,
    stream_pbx,
    transport,
)

__all__ = [
    "built_server",
    "certificate",
    "pbx_config",
    "server",
    "stream_pbx",
    "transport",
]


@pytest.fixture
async def tcp_phone(open_phone: OpenPhone, stream_pbx: StreamPbx) -> ProxiedPhone:
    """Return a phone on TCP; the PBX is connected."""
    await stream_pbx.connected()
    return await open_phone(transport="tcp")


@pytest.fixture
async def call(
    tcp_phone: ProxiedPhone, stream_pbx: StreamPbx, policy: ScriptedPolicy
) -> PbxCall:
    """Return a call to the phone."""
    return PbxCall(stream_pbx, await stream_pbx.register(tcp_phone))


@pytest.mark.requirement("P85")
async def test_an_answer_is_sent_once_and_forgotten_with_its_ack(
    call: PbxCall, policy: ScriptedPolicy, clock: ManualClock, server: SipServer
) -> None:
    """A stream delivers by itself: neither timer G nor timer I runs."""
    policy.decision = DND
    call.send()
    response = await call.answer()
    assert response.status == 486
    clock.advance(31)
    await call.pbx.silence()
    call.acknowledge(response)
    await settle()
    assert not server.proxy.treated.kept


@pytest.mark.requirement("P85")
async def test_an_answer_without_ack_is_forgotten_after_32_s(
    call: PbxCall, policy: ScriptedPolicy, clock: ManualClock, server: SipServer
) -> None:
    """Timer H runs all the same."""
    policy.decision = DND
    call.send()
    await call.answer()
    clock.advance(32)
    assert not server.proxy.treated.kept


@pytest.mark.requirement("P82", "P85")
async def test_a_call_that_is_not_taken_is_redirected_over_streams(
    tcp_phone: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    server: SipServer,
) -> None:
    """The INVITE is sent once, and nothing is kept of it after its 487."""
    policy.decision = NO_REPLY
    invite = await ring(tcp_phone, call)
    clock.advance(12)
    await stopped(tcp_phone, invite)
    assert (await call.refusal()).status == 302
    assert not server.proxy.treated.sent
    await tcp_phone.silence()


@pytest.mark.requirement("P85")
async def test_a_stream_carries_an_invite_once(
    tcp_phone: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """Timer A does not run; timer B does."""
    policy.decision = NO_REPLY
    call.send()
    await tcp_phone.next_request()
    clock.advance(31)
    await tcp_phone.silence()
    clock.advance(1)
    assert (await call.refusal()).status == 302


@pytest.mark.requirement("P14")
async def test_what_a_phone_on_udp_says_is_framed_for_the_pbx(
    open_phone: OpenPhone, stream_pbx: StreamPbx, policy: ScriptedPolicy
) -> None:
    """A datagram may have no Content-Length."""
    await stream_pbx.connected()
    phone = await open_phone()
    policy.decision = NO_REPLY
    call = PbxCall(stream_pbx, await stream_pbx.register(phone))
    call.send()
    invite = await phone.next_request()
    ringing = invite.response(180).encode()
    phone.send(ringing.replace(b"Content-Length: 0\r\n", b""))
    response = await stream_pbx.next_response()
    assert (response.status, response.get("Content-Length")) == (180, "0")


@pytest.mark.requirement("P84")
async def test_a_pbx_that_comes_back_on_another_connection_is_answered_there(
    tcp_phone: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    stream_pbx: StreamPbx,
    clock: ManualClock,
) -> None:
    """It gives its call up, and hears what has become of it."""
    policy.decision = NO_REPLY
    invite = await ring(tcp_phone, call)
    await stream_pbx.links[-1].close()
    await settle()
    clock.advance(1)
    await stream_pbx.connected()
    call.cancel()
    response = await call.answer()
    assert (response.status, response.cseq[1]) == (200, "CANCEL")
    reply(tcp_phone, await tcp_phone.next_request(), 200)
    reply(tcp_phone, invite, 487)
    assert (await call.refusal()).status == 487
