"""Calls that are treated: what the PBX is answered, and what the phone hears."""

from collections.abc import Awaitable, Callable

import pytest

from custom_components.dfks.sip import CallPlan, Redirect, Reject, SipServer
from custom_components.dfks.sip.proxy import treated
from tests.clock import ManualClock
from tests.phone import Response, settle

from .calling import (
    ALWAYS,
    BUSY,
    DND,
    NO_REPLY,
    TARGET,
    PbxCall,
    ScriptedPolicy,
    reply,
    ring,
    stopped,
)
from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent, request_of

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]

# The answer that one phone of a line gives the PBX where another has redirected the call.
LEFT = (480, "SIP;cause=302")


@pytest.fixture
async def call(
    registered: ProxiedPhone, pbx_peer: Pbx, policy: ScriptedPolicy
) -> PbxCall:
    """Return a call to the phone."""
    return PbxCall(pbx_peer, await pbx_peer.register(registered))


def kept(server: SipServer) -> int:
    """Return how many calls the server keeps anything of."""
    calls = server.proxy.treated
    return len(calls.kept) + len(calls.sent)


# Calls that pass


@pytest.mark.requirement("P77")
async def test_a_call_that_nothing_is_decided_about_passes_and_is_not_kept(
    registered: ProxiedPhone, call: PbxCall, server: SipServer, policy: ScriptedPolicy
) -> None:
    """The INVITE is the same in every octet as without the option."""
    call.send()
    treated = await registered.next_raw()
    server.proxy.treated.treat("pbx-1", "201", policy).end()
    call.send()
    assert await registered.next_raw() == treated
    assert kept(server) == 0


@pytest.mark.requirement("P77")
async def test_a_call_that_passed_is_not_treated_when_its_invite_comes_again(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """Its phone rings by then, whatever was turned on meanwhile."""
    call.send()
    await registered.next_request()
    policy.decision = DND
    call.send()
    assert (await registered.next_request()).method == "INVITE"
    await pbx_peer.silence()


@pytest.mark.requirement("P77")
async def test_a_policy_that_fails_lets_the_call_pass(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    policy: ScriptedPolicy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of ours silences no phone."""
    monkeypatch.setattr(policy, "plan", None)
    caller = {"From": "<sip:%2B4930987654@pbx.example>;tag=x"}
    PbxCall(pbx_peer, await pbx_peer.register(registered), caller).send()
    assert (await registered.next_request()).method == "INVITE"
    assert "Unexpected error of a policy" in caplog.text
    assert "4930987654" not in caplog.text


# What fails here never costs a call its answer

# A target that no SIP message can name.
UNSPEAKABLE = "sip:\u0436@b.example"


def unspeakable(reason: str) -> Redirect:
    """Return what cannot be done."""
    return Redirect(UNSPEAKABLE, reason)


@pytest.mark.parametrize("asks", [False, True], ids=["state", "script"])
async def test_a_call_that_cannot_be_answered_here_rings(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, *, asks: bool
) -> None:
    """Whoever has decided: the INVITE is passed once, as it came."""
    policy.asks = asks
    policy.decision = CallPlan(at_once=unspeakable("unconditional"))
    call.send()
    if asks:
        await settle()
        policy.takes[0](policy.decision)
    invite = await registered.next_request()
    assert len(invite.values("Via")) == 2
    reply(registered, invite, 200)
    assert (await call.answer()).status == 200


async def test_a_policy_that_fails_after_a_second_lets_the_call_pass(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has said anything, and the state cannot be read."""
    policy.asks = True
    call.send()
    await settle()
    monkeypatch.setattr(policy, "plan", None)
    clock.advance(1)
    assert (await registered.next_request()).method == "INVITE"


async def test_a_busy_phone_whose_call_cannot_be_redirected_has_refused_it(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """The PBX does not wait for an answer that never comes."""
    policy.decision = CallPlan(busy=unspeakable("user-busy"))
    call.send()
    reply(registered, await registered.next_request(), 486)
    assert (await call.refusal()).status == 480


@pytest.mark.parametrize("with_487", [True, False])
async def test_a_phone_that_was_stopped_for_nothing_has_refused_the_call(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    *,
    with_487: bool,
) -> None:
    """When its 487 has come, or when that was waited for."""
    policy.decision = CallPlan(no_answer=unspeakable("no-answer"), ring_seconds=12)
    invite = await ring(registered, call)
    clock.advance(12)
    await stopped(registered, invite, with_487=with_487)
    clock.advance(2)
    assert (await call.refusal()).status == 480


@pytest.mark.parametrize("asks", [False, True], ids=["state", "script"])
async def test_a_call_that_cannot_be_passed_is_refused(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    server: SipServer,
    *,
    asks: bool,
) -> None:
    """An error on its way to the phone leaves no PBX without an answer."""
    server.proxy.treated.make_ready = lambda *_: ("", f"{1 // 0}".encode())
    policy.asks = asks
    policy.decision = BUSY
    call.send()
    await settle()
    for take in policy.takes:
        take(BUSY)
    assert (await call.refusal()).status == 480
    await registered.silence()


async def test_a_policy_that_fails_about_a_redirection_changes_nothing_about_it(
    calls: Calls,
    pbx_peer: Pbx,
    policy: ScriptedPolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All phones of the line are left all the same."""
    monkeypatch.setattr(policy, "redirected", None)
    policy.asks = True
    for _, call in calls:
        call.send()
    await settle()
    policy.takes[0](ALWAYS)
    found = await finals(pbx_peer, calls)
    assert sorted(found.values(), key=str) == [(302, None), LEFT]


async def test_an_answer_of_a_phone_that_cannot_be_ended_costs_nothing_else(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It came too late, and with a Contact that is none."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    await stopped(registered, invite, with_487=False)
    clock.advance(2)
    assert (await call.refusal()).status == 302
    registered.send(invite.response(200, extra=[("Contact", "<")]).encode())
    await both_silent(registered, call.pbx)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# Answers before the phone hears of it


@pytest.mark.requirement("P78")
@pytest.mark.parametrize("status", [486, 480])
async def test_a_rejected_call_is_not_heard_of(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, status: int
) -> None:
    """The PBX is answered at once, and its ACK ends here."""
    policy.decision = CallPlan(at_once=Reject(status))
    call.send()
    response = await call.refusal()
    assert response.status == status
    assert "tag=" in response.get("To")
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P79")
async def test_a_redirected_call_names_target_and_line(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """One Contact, and a Diversion with the reason (RFC 5806)."""
    policy.decision = ALWAYS
    call.send()
    response = await call.refusal()
    assert response.status == 302
    assert response.get_all("Contact") == [f"<sip:{TARGET}@{DOMAIN}>"]
    diversion = f"<sip:201@{DOMAIN}>;reason=unconditional"
    assert response.get_all("Diversion") == [diversion]
    assert "tag=" in response.get("To")
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P79", "P85")
async def test_an_answer_is_sent_again_until_the_ack(
    call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """By timer G: after 0.5, 1 and 2 s and every 4 s; the same in every octet."""
    policy.decision = ALWAYS
    call.send()
    first = await call.pbx.next_raw()
    for seconds in (0.5, 1.0, 2.0, 4.0, 4.0):
        clock.advance(seconds - 0.01)
        await settle()
        assert call.pbx.drain() == 0
        clock.advance(0.01)
        assert await call.pbx.next_raw() == first


@pytest.mark.requirement("P79", "P85")
async def test_an_answer_without_ack_is_given_up_after_32_s(
    call: PbxCall, policy: ScriptedPolicy, clock: ManualClock, server: SipServer
) -> None:
    """Timer H."""
    policy.decision = DND
    call.send()
    await call.answer()
    clock.advance(31.9)
    assert kept(server) == 1
    clock.advance(0.1)
    assert kept(server) == 0


@pytest.mark.requirement("P85")
async def test_an_invite_that_comes_again_is_answered_the_same_and_not_treated_again(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """One treatment, three answers."""
    policy.decision = DND
    answers = []
    for _ in range(3):
        call.send()
        answers.append(await call.pbx.next_raw())
    assert answers[0] == answers[1] == answers[2]
    assert len(policy.calls) == 1
    await registered.silence()


@pytest.mark.requirement("P85")
async def test_nothing_is_kept_five_seconds_after_the_ack(
    call: PbxCall, policy: ScriptedPolicy, clock: ManualClock, server: SipServer
) -> None:
    """Timer I: until then an INVITE that was late is taken in silence."""
    policy.decision = DND
    call.send()
    await call.refusal()
    await settle()
    call.send()
    await call.pbx.silence()
    clock.advance(5)
    assert kept(server) == 0


# Busy


@pytest.mark.requirement("P80")
@pytest.mark.parametrize("status", [486, 600])
async def test_a_busy_phone_has_its_call_redirected(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, status: int
) -> None:
    """The phone gets its ACK here."""
    policy.decision = BUSY
    call.send()
    invite = await registered.next_request()
    reply(registered, invite, status)
    ack = await registered.next_request()
    assert (ack.method, ack.branch, ack.uri) == ("ACK", invite.branch, invite.uri)
    response = await call.refusal()
    assert response.status == 302
    assert response.get("Diversion").endswith(";reason=user-busy")
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P80")
@pytest.mark.parametrize("status", [480, 404, 603, 503])
async def test_another_refusal_of_the_phone_passes(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, status: int
) -> None:
    """As the phone wrote it."""
    policy.decision = BUSY
    call.send()
    invite = await registered.next_request()
    reply(registered, invite, status)
    response = await call.refusal()
    assert response.status == status
    assert response.get("To").endswith(";tag=callee")
    assert not response.has("Diversion")


@pytest.mark.requirement("P80", "P85")
async def test_a_refusal_that_comes_again_gets_its_ack_again(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """And the PBX hears of it once."""
    policy.decision = BUSY
    call.send()
    invite = await registered.next_request()
    for _ in range(2):
        reply(registered, invite, 486)
        assert (await registered.next_request()).method == "ACK"
    await call.refusal()
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P80")
async def test_a_busy_phone_passes_where_nothing_is_set_for_that(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """A call that is watched for another reason is refused by its phone as ever."""
    policy.decision = NO_REPLY
    call.send()
    reply(registered, await registered.next_request(), 486)
    assert (await call.refusal()).status == 486


# No answer


@pytest.mark.requirement("P81", "P82")
async def test_a_call_that_is_not_taken_is_redirected_when_the_phone_has_stopped(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """CANCEL first; the 302 when its 487 has come."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(11.9)
    await both_silent(registered, call.pbx)
    clock.advance(0.1)
    cancel = await registered.next_request()
    assert (cancel.method, cancel.branch) == ("CANCEL", invite.branch)
    reply(registered, cancel, 200)
    await call.pbx.silence()
    reply(registered, invite, 487)
    assert (await registered.next_request()).method == "ACK"
    response = await call.refusal()
    assert response.status == 302
    assert response.get("Diversion").endswith(";reason=no-answer")
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P81")
async def test_only_ringing_starts_the_time_to_answer(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """100 does not; 183 does, and a second 18x does not start it anew."""
    policy.decision = NO_REPLY
    call.send()
    invite = await registered.next_request()
    reply(registered, invite, 100)
    await settle()
    clock.advance(60)
    await settle()
    assert registered.drain() == 0
    reply(registered, invite, 183)
    await settle()
    clock.advance(8)
    reply(registered, invite, 180)
    await settle()
    clock.advance(4)
    assert (await registered.next_request()).method == "CANCEL"


@pytest.mark.requirement("P82")
async def test_a_phone_that_does_not_stop_is_waited_for_two_seconds(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """Then the call goes to its target all the same, and a late 487 gets its ACK."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    await stopped(registered, invite, with_487=False)
    clock.advance(1.9)
    await call.pbx.silence()
    clock.advance(0.1)
    assert (await call.refusal()).status == 302
    reply(registered, invite, 487)
    assert (await registered.next_request()).method == "ACK"
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P82")
async def test_a_cancel_that_is_lost_is_sent_again(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """Until the phone has taken it."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    first = await registered.next_raw()
    clock.advance(0.5)
    assert await registered.next_raw() == first
    clock.advance(1)
    await stopped(registered, invite)
    clock.advance(4)
    await registered.silence()


@pytest.mark.requirement("P83")
async def test_an_answer_that_crosses_the_cancel_is_passed(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The call is taken, and goes nowhere else."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    reply(registered, invite, 200)
    assert (await call.answer()).status == 200
    clock.advance(3)
    await call.pbx.silence()


@pytest.mark.requirement("P83")
async def test_an_answer_after_the_redirection_is_acknowledged_and_ended(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """By ACK and BYE in the dialog that the phone has opened; the PBX hears nothing."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    await stopped(registered, invite, with_487=False)
    clock.advance(2)
    assert (await call.refusal()).status == 302
    for _ in range(2):
        reply(registered, invite, 200)
    requests = [await registered.next_request() for _ in range(3)]
    assert [request.method for request in requests] == ["ACK", "BYE", "ACK"]
    bye = requests[1]
    assert bye.uri == registered.contact.strip("<>")
    assert bye.get("From") == invite.get("From")
    assert bye.get("To") == f"{invite.get('To')};tag=callee"
    assert bye.call_id == invite.call_id
    assert bye.cseq[0] == invite.cseq[0] + 1
    reply(registered, bye, 200)
    await settle()
    clock.advance(4)
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P83")
@pytest.mark.parametrize("block", range(4))
async def test_there_is_one_final_answer_whenever_the_phone_answers(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    clock: ManualClock,
    pbx_peer: Pbx,
    block: int,
) -> None:
    """Never two, never none: answers around the very moment, a thousand of them."""
    policy.decision = NO_REPLY
    registration = await pbx_peer.register(registered)
    answered = 0
    for step in range(250):
        moment = 12.2 + (step - 125) * 0.02 + block * 0.005
        call = PbxCall(pbx_peer, registration)
        answered += await is_taken(registered, call, clock, moment)
    await both_silent(registered, pbx_peer)
    assert 120 <= answered <= 150


async def is_taken(
    phone: ProxiedPhone, call: PbxCall, clock: ManualClock, moment: float
) -> bool:
    """Have a phone answer a call so long after it rings; return whether that counts.

    It is told to stop after twelve seconds, and needs 0.4 s for that.
    """
    invite = await ring(phone, call)
    clock.advance(min(moment, 12.4))
    if moment >= 12:
        reply(phone, await phone.next_request(), 200)
    in_time = moment < 12.4
    reply(phone, invite, 200 if in_time else 487)
    final = await call.answer()
    assert final.status == (200 if in_time else 302)
    assert final.call_id == invite.call_id
    if not in_time:
        call.acknowledge(final)
        assert (await phone.next_request()).method == "ACK"
    return in_time


# The caller gives up


@pytest.mark.requirement("P84")
async def test_a_caller_who_gives_up_stops_the_phone(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """200 to the CANCEL here, the phone's 487 to the INVITE, and no redirection."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    call.cancel()
    response = await call.answer()
    assert (response.status, response.cseq[1]) == (200, "CANCEL")
    await stopped(registered, invite)
    assert (await call.refusal()).status == 487
    clock.advance(60)
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P84")
async def test_a_phone_is_told_that_another_has_taken_the_call(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """Else it would show a missed call (RFC 3326)."""
    policy.decision = NO_REPLY
    await ring(registered, call)
    reason = 'SIP;cause=200;text="Call completed elsewhere"'
    call.cancel(reason)
    assert (await registered.next_request()).get("Reason") == reason


@pytest.mark.requirement("P84", "P82")
async def test_a_phone_that_has_said_nothing_is_cancelled_when_it_has(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """Never before a provisional response (RFC 3261 9.1)."""
    policy.decision = NO_REPLY
    call.send()
    invite = await registered.next_request()
    call.cancel()
    assert (await call.answer()).status == 200
    await registered.silence()
    reply(registered, invite, 180)
    await stopped(registered, invite)
    assert (await call.refusal()).status == 487


@pytest.mark.requirement("P84")
async def test_a_phone_that_is_cancelled_and_says_that_it_rings_gets_no_other_cancel(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """The two have crossed."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    call.cancel()
    reply(registered, await registered.next_request(), 200)
    reply(registered, invite, 183)
    await registered.silence()


@pytest.mark.requirement("P84")
async def test_a_caller_who_gives_up_an_untreated_call_is_passed(
    registered: ProxiedPhone, call: PbxCall, pbx_peer: Pbx
) -> None:
    """CANCEL, its 200 and the 487 are the phone's."""
    invite = await ring(registered, call)
    call.cancel()
    cancel = await registered.next_request()
    assert (cancel.method, cancel.branch) == ("CANCEL", invite.branch)
    await pbx_peer.silence()


@pytest.mark.requirement("P84")
async def test_a_caller_who_gives_up_while_the_phone_is_stopped_is_not_redirected(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """There is nobody any more to be called elsewhere."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    clock.advance(12)
    call.cancel()
    assert (await call.answer()).status == 200
    await stopped(registered, invite)
    assert (await call.refusal()).status == 487


@pytest.mark.requirement("P84")
async def test_a_phone_that_never_ends_a_cancelled_call_is_given_up(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """After 32 s (RFC 3261 9.1): the PBX gets its final answer."""
    policy.decision = NO_REPLY
    await ring(registered, call)
    call.cancel()
    assert (await call.answer()).status == 200
    clock.advance(32)
    assert (await call.refusal()).status == 487


@pytest.mark.requirement("P84")
async def test_the_cancel_of_a_call_that_was_rejected_changes_nothing(
    call: PbxCall, policy: ScriptedPolicy
) -> None:
    """It crossed the answer (RFC 3261 9.2)."""
    policy.decision = DND
    call.send()
    assert (await call.answer()).status == 486
    call.cancel()
    response = await call.answer()
    assert (response.status, response.cseq[1]) == (200, "CANCEL")
    await call.pbx.silence()


@pytest.mark.requirement("P84")
async def test_a_phone_that_is_busy_when_the_caller_gives_up_forwards_nothing(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """Its refusal crosses the CANCEL."""
    policy.decision = BUSY
    invite = await ring(registered, call)
    call.cancel()
    assert (await call.answer()).status == 200
    reply(registered, invite, 486)
    assert (await call.refusal()).status == 486


@pytest.mark.requirement("P85")
async def test_an_ack_that_is_not_due_changes_nothing(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """The call rings on, and is answered once."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    call.pbx.send(call.invite.replace(b"INVITE", b"ACK"))
    reply(registered, invite, 486)
    assert (await call.refusal()).status == 486


# Calls that are taken, and those that last


@pytest.mark.requirement("P83", "P85")
async def test_a_call_that_is_taken_passes_with_its_ack_and_all_that_comes(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The 200 as often as it comes (RFC 6026); the body as it is."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    for _ in range(2):
        reply(registered, invite, 200, b"v=0\r\n")
        response = await call.answer()
        assert (response.status, response.body) == (200, b"v=0\r\n")
    call.send()
    await both_silent(registered, call.pbx)
    routes = response.values("Record-Route")[::-1]
    ack = {"To": response.get("To"), "Call-ID": response.call_id, "Route": routes}
    uri = response.get("Contact").strip("<>")
    call.pbx.send(call.pbx.request("ACK", uri, ack))
    assert (await registered.next_request()).method == "ACK"
    clock.advance(3600)
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P85")
async def test_the_ack_to_a_200_passes_with_the_branch_of_the_invite_too(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """Without its ACK the phone would hang up after 32 s."""
    policy.decision = NO_REPLY
    reply(registered, await ring(registered, call), 200)
    call.acknowledge(await call.answer())
    assert (await registered.next_request()).method == "ACK"


@pytest.mark.requirement("P85", "P108")
async def test_nothing_is_kept_of_a_call_32_s_after_it_is_taken(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    server: SipServer,
) -> None:
    """Timers L and M (RFC 6026)."""
    policy.decision = NO_REPLY
    reply(registered, await ring(registered, call), 200)
    await call.answer()
    assert kept(server) == 2
    clock.advance(32)
    assert kept(server) == 0


@pytest.mark.requirement("P86")
async def test_a_phone_may_ring_for_long_as_long_as_it_says_so(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """Each 101 to 199 starts timer C anew."""
    policy.decision = BUSY
    invite = await ring(registered, call)
    for _ in range(4):
        clock.advance(60)
        reply(registered, invite, 180)
        assert (await call.pbx.next_response()).status == 180
    clock.advance(180)
    await registered.silence()
    clock.advance(1)
    await stopped(registered, invite)
    assert (await call.refusal()).status == 408


@pytest.mark.requirement("P87")
async def test_a_silent_phone_gives_the_pbx_one_100(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """After 200 ms; the phone's own goes no further."""
    policy.decision = BUSY
    call.send()
    invite = await registered.next_request()
    clock.advance(0.19)
    await call.pbx.silence()
    clock.advance(0.01)
    assert (await call.pbx.next_response()).status == 100
    reply(registered, invite, 100)
    clock.advance(1)
    await call.pbx.silence()


@pytest.mark.requirement("P87")
async def test_an_invite_that_comes_again_has_its_100_at_once_and_no_other(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """It need not be said again after 200 ms."""
    policy.decision = BUSY
    for _ in range(2):
        call.send()
    assert (await call.pbx.next_response()).status == 100
    clock.advance(1)
    await call.pbx.silence()


@pytest.mark.requirement("P87")
async def test_a_100_has_the_timestamp_of_the_invite(
    registered: ProxiedPhone, policy: ScriptedPolicy, clock: ManualClock, pbx_peer: Pbx
) -> None:
    """RFC 3261 8.2.6.1."""
    policy.decision = BUSY
    registration = await pbx_peer.register(registered)
    call = PbxCall(pbx_peer, registration, {"Timestamp": "54"})
    call.send()
    await registered.next_request()
    clock.advance(0.2)
    assert (await pbx_peer.next_response()).get("Timestamp") == "54"


@pytest.mark.requirement("P87")
async def test_a_phone_that_rings_at_once_gives_no_100(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The PBX knows by then; an INVITE that comes again gets what was said last."""
    policy.decision = BUSY
    await ring(registered, call)
    clock.advance(1)
    await call.pbx.silence()
    call.send()
    assert (await call.pbx.next_response()).status == 180
    await registered.silence()


@pytest.mark.requirement("P85")
async def test_an_invite_that_the_phone_does_not_get_is_sent_again(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """By timer A: after 0.5, 1, 2 and 4 s, and no more when the phone has answered."""
    policy.decision = BUSY
    call.send()
    first = await registered.next_raw()
    for seconds in (0.5, 1.0, 2.0, 4.0):
        clock.advance(seconds)
        assert await registered.next_raw() == first
    reply(registered, request_of(first), 180)
    await settle()
    clock.advance(20)
    await registered.silence()


# Phones that are not there


@pytest.mark.requirement("P88")
@pytest.mark.parametrize(
    ("plan", "expected"),
    [(BUSY, (480, None)), (NO_REPLY, (302, "unavailable"))],
    ids=["no-target", "target"],
)
async def test_a_phone_that_says_nothing_for_32_s_is_not_there(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    clock: ManualClock,
    plan: CallPlan,
    expected: tuple[int, str | None],
) -> None:
    """Timer B."""
    policy.decision = plan
    call.send()
    await registered.next_request()
    clock.advance(32)
    assert said(await call.refusal()) == expected


def said(response: Response) -> tuple[int, str | None]:
    """Return the status, and the reason of a redirection."""
    diversion = response.get("Diversion", "")
    return response.status, diversion.partition(";reason=")[2] or None


@pytest.mark.requirement("P88")
@pytest.mark.parametrize(
    ("plan", "expected"),
    [(BUSY, (480, None)), (NO_REPLY, (302, "unavailable"))],
    ids=["no-target", "target"],
)
@pytest.mark.parametrize("when", ["before", "ringing"])
async def test_a_phone_whose_connection_is_gone_is_not_there(
    open_phone: OpenPhone,
    pbx_peer: Pbx,
    policy: ScriptedPolicy,
    plan: CallPlan,
    expected: tuple[int, str | None],
    when: str,
) -> None:
    """The PBX hears of it at once, before it rings and while it does."""
    policy.decision = plan
    phone = await open_phone(transport="tcp")
    call = PbxCall(pbx_peer, await pbx_peer.register(phone))
    if when == "ringing":
        await ring(phone, call)
        await phone.close()
    else:
        await phone.close()
        await settle()
        call.send()
    assert said(await call.refusal()) == expected


@pytest.mark.requirement("P88")
async def test_a_phone_whose_port_is_closed_is_not_there(
    open_phone: OpenPhone, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """ICMP says so."""
    policy.decision = NO_REPLY
    phone = await open_phone()
    call = PbxCall(pbx_peer, await pbx_peer.register(phone))
    await phone.close()
    call.send()
    assert said(await call.refusal()) == (302, "unavailable")


# Several phones of a line


@pytest.fixture
async def calls(
    open_phone: OpenPhone, pbx_peer: Pbx, policy: ScriptedPolicy
) -> list[tuple[ProxiedPhone, PbxCall]]:
    """Return two phones of the line, and the leg of one call to each."""
    legs = []
    for _ in range(2):
        phone = await open_phone()
        legs.append((phone, PbxCall(pbx_peer, await pbx_peer.register(phone))))
    return legs


type Calls = list[tuple[ProxiedPhone, PbxCall]]


async def finals(pbx: Pbx, calls: Calls) -> dict[str, tuple[int, str | None]]:
    """Return status and Reason of the final answer to each call, by its Call-ID."""
    found: dict[str, tuple[int, str | None]] = {}
    while len(found) < len(calls):
        response = await pbx.next_response()
        if response.status >= 200:
            reason = response.get("Reason", "") or None
            found[response.call_id] = response.status, reason
            for _, call in calls:
                if response.call_id.encode() in call.invite and response.status >= 300:
                    call.acknowledge(response)
    return found


@pytest.mark.requirement("P89")
async def test_one_leg_redirects_and_the_others_are_left(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """So the target is called once."""
    policy.decision = ALWAYS
    for _, call in calls:
        call.send()
    found = await finals(pbx_peer, calls)
    assert sorted(found.values(), key=str) == [(302, None), LEFT]


@pytest.mark.requirement("P89")
async def test_all_legs_are_rejected_alike(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """Do not disturb is busy at each phone."""
    policy.decision = DND
    for _, call in calls:
        call.send()
    found = await finals(pbx_peer, calls)
    assert list(found.values()) == [(486, None), (486, None)]


@pytest.mark.requirement("P89")
async def test_phones_that_do_not_answer_stop_together_and_redirect_once(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The second phone rings later, and stops when the first one's call goes on."""
    policy.decision = NO_REPLY
    invites = []
    for phone, call in calls:
        invites.append(await ring(phone, call))
        clock.advance(1)
    clock.advance(10)
    for (phone, _), invite in zip(calls, invites, strict=True):
        await stopped(phone, invite)
    found = await finals(pbx_peer, calls)
    assert sorted(found.values(), key=str) == [(302, None), LEFT]


@pytest.mark.requirement("P89")
async def test_a_busy_phone_does_not_take_the_call_from_another(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """As long as another phone of the line rings, the call stays here."""
    policy.decision = BUSY
    (first, busy), (second, rings) = calls
    busy.send()
    invite = await first.next_request()
    await ring(second, rings)
    reply(first, invite, 486)
    assert (await busy.refusal()).status == 486
    await both_silent(second, pbx_peer)


@pytest.mark.requirement("P89")
async def test_the_last_busy_phone_redirects_the_call(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """All phones of the line are busy."""
    policy.decision = BUSY
    invites = []
    for phone, call in calls:
        call.send()
        invites.append(await phone.next_request())
    for (phone, call), invite, status in zip(calls, invites, (486, 302), strict=True):
        reply(phone, invite, 486)
        assert (await call.refusal()).status == status


@pytest.mark.requirement("P89")
async def test_a_phone_that_is_busy_at_once_waits_for_the_call_to_the_other(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """A PBX may call the second phone only when the first one has answered."""
    policy.decision = BUSY
    (first, busy), (second, rings) = calls
    busy.send()
    reply(first, await first.next_request(), 486)
    await settle()
    clock.advance(0.3)
    await ring(second, rings)
    clock.advance(0.3)
    assert (await busy.refusal()).status == 486


@pytest.mark.requirement("P89")
async def test_a_busy_phone_redirects_where_the_pbx_calls_no_other(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """After half a second."""
    policy.decision = BUSY
    (first, call), _ = calls
    call.send()
    reply(first, await first.next_request(), 486)
    await settle()
    clock.advance(0.5)
    assert (await call.refusal()).status == 302


@pytest.mark.requirement("P89")
async def test_a_busy_phone_does_not_wait_for_one_that_is_gone(
    open_phone: OpenPhone, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """A connection that is closed cannot ring."""
    policy.decision = BUSY
    gone, busy = await open_phone(transport="tcp"), await open_phone()
    await pbx_peer.register(gone)
    call = PbxCall(pbx_peer, await pbx_peer.register(busy))
    await gone.close()
    await settle()
    call.send()
    reply(busy, await busy.next_request(), 486)
    assert (await call.refusal()).status == 302


@pytest.mark.requirement("P89", "P88")
async def test_a_phone_that_is_not_there_leaves_the_call_to_the_other(
    open_phone: OpenPhone, pbx_peer: Pbx, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """A phone that was unplugged silences no other."""
    policy.decision = NO_REPLY
    gone, there = await open_phone(transport="tcp"), await open_phone()
    legs = [
        PbxCall(pbx_peer, await pbx_peer.register(phone)) for phone in (gone, there)
    ]
    await gone.close()
    await settle()
    legs[0].send()
    await ring(there, legs[1])
    clock.advance(0.5)
    assert (await legs[0].refusal()).status == 480
    await there.silence()


@pytest.mark.requirement("P89")
async def test_a_second_call_of_a_caller_is_a_call_of_its_own(
    call: PbxCall, registered: ProxiedPhone, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """No PBX calls one phone twice by one call."""
    policy.decision = ALWAYS
    again = PbxCall(pbx_peer, await pbx_peer.register(registered))
    for one in (call, again):
        one.send()
        assert (await one.refusal()).status == 302


@pytest.mark.requirement("P89")
async def test_calls_more_than_two_seconds_apart_are_two(
    calls: Calls, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The same caller, another phone."""
    policy.decision = ALWAYS
    for _, call in calls:
        call.send()
        assert (await call.refusal()).status == 302
        clock.advance(2)


async def refused(call: PbxCall, phone: ProxiedPhone) -> tuple[int, str]:
    """Return with what status and reason a leg is refused that never rings."""
    call.send()
    response = await call.refusal()
    await phone.silence()
    return response.status, response.get("Reason", "")


@pytest.mark.requirement("P89")
async def test_a_leg_that_comes_after_a_busy_phone_was_given_up_does_not_ring(
    calls: Calls, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The target is being called by then."""
    policy.decision = BUSY
    (first, busy), (second, late) = calls
    busy.send()
    reply(first, await first.next_request(), 486)
    await settle()
    clock.advance(0.5)
    assert (await busy.refusal()).status == 302
    clock.advance(1.9)
    assert await refused(late, second) == LEFT


@pytest.mark.requirement("P89")
async def test_a_leg_that_comes_after_nobody_has_answered_does_not_ring(
    calls: Calls, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """For two seconds: later, the same caller calls anew."""
    policy.decision = NO_REPLY
    (first, rings), (second, late) = calls
    invite = await ring(first, rings)
    clock.advance(12)
    await stopped(first, invite)
    assert (await rings.refusal()).status == 302
    clock.advance(1.9)
    assert await refused(late, second) == LEFT
    clock.advance(2)
    await ring(second, PbxCall(late.pbx, await late.pbx.register(second)))


@pytest.mark.requirement("P89", "P94")
@pytest.mark.parametrize(
    ("plan", "expected"), [(ALWAYS, LEFT), (DND, (486, ""))], ids=["always", "dnd"]
)
async def test_what_counts_for_a_call_counts_for_a_leg_that_comes_late(
    calls: Calls,
    policy: ScriptedPolicy,
    clock: ManualClock,
    plan: CallPlan,
    expected: tuple[int, str],
) -> None:
    """Whatever was turned off when the first leg had its answer."""
    policy.decision = plan
    (_, call), (second, late) = calls
    call.send()
    await call.refusal()
    policy.decision = None
    clock.advance(1.9)
    assert await refused(late, second) == expected


@pytest.mark.requirement("P89", "P94")
async def test_a_leg_that_comes_after_the_call_was_rejected_does_not_ring(
    calls: Calls, server: SipServer, clock: ManualClock
) -> None:
    """Do not disturb was turned on while the first one rang."""
    policy = ScriptedPolicy(CallPlan(kept=True))
    line = server.proxy.treated.treat("pbx-1", "201", policy)
    (first, rings), (second, late) = calls
    invite = await ring(first, rings)
    line.reject_ringing(486)
    await stopped(first, invite)
    assert (await rings.refusal()).status == 486
    clock.advance(1)
    assert await refused(late, second) == (486, "")


@pytest.mark.requirement("P89")
async def test_nobody_is_asked_twice_about_the_legs_of_a_call(
    calls: Calls, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The second leg comes when the answer has."""
    policy.asks = True
    (_, call), (second, late) = calls
    call.send()
    await settle()
    policy.takes[0](DND)
    assert (await call.refusal()).status == 486
    clock.advance(1)
    assert await refused(late, second) == (486, "")
    assert len(policy.takes) == 1


@pytest.mark.requirement("P86", "P89")
async def test_a_phone_that_rings_too_long_is_no_answer_for_another(
    calls: Calls, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The PBX may call the second one then."""
    policy.decision = BUSY
    (first, long), (second, late) = calls
    invite = await ring(first, long)
    clock.advance(181)
    await stopped(first, invite)
    assert (await long.refusal()).status == 408
    await ring(second, late)


@pytest.mark.requirement("P89", "P93")
async def test_a_call_of_an_emergency_centre_is_no_leg_of_another(
    calls: Calls, policy: ScriptedPolicy
) -> None:
    """Though it calls without a number right after somebody who does."""
    policy.decision = DND
    (_, call), (second, _) = calls
    call.send()
    await call.refusal()
    policy.decision = None
    registration = await call.pbx.register(second)
    headers = {"Priority": "psap-callback"}
    await ring(second, PbxCall(call.pbx, registration, headers))


# Who decides


async def test_somebody_who_is_asked_decides(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """Until then nothing rings, and the PBX has its 100."""
    policy.asks = True
    call.send()
    await settle()
    clock.advance(0.2)
    assert (await call.pbx.next_response()).status == 100
    await registered.silence()
    policy.takes[0](ALWAYS)
    assert (await call.refusal()).status == 302


async def test_somebody_who_takes_more_than_a_second_is_not_waited_for(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy, clock: ManualClock
) -> None:
    """The policy decides then, and what comes later counts no more."""
    policy.asks = True
    policy.decision = BUSY
    call.send()
    await settle()
    clock.advance(0.9)
    await registered.silence()
    clock.advance(0.1)
    invite = await registered.next_request()
    policy.takes[0](DND)
    reply(registered, invite, 180)
    await settle()
    statuses = [response.status for response in await drained(call.pbx)]
    assert statuses == [100, 180]


async def drained(pbx: Pbx) -> list[Response]:
    """Return all that has come to the PBX."""
    found = [await pbx.next_response() for _ in range(2)]
    await pbx.silence()
    return found


async def test_a_caller_who_gives_up_while_somebody_is_asked_never_rings(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """487 at once; what is decided later changes nothing."""
    policy.asks = True
    call.send()
    await settle()
    call.cancel()
    assert (await call.answer()).status == 200
    assert (await call.refusal()).status == 487
    policy.takes[0](CallPlan())
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P94")
async def test_a_call_that_rings_is_rejected_only_where_its_plan_says_so(
    registered: ProxiedPhone, call: PbxCall, server: SipServer, clock: ManualClock
) -> None:
    """CANCEL, and the status when the phone has stopped."""
    policy = ScriptedPolicy(CallPlan(kept=True))
    line = server.proxy.treated.treat("pbx-1", "201", policy)
    invite = await ring(registered, call)
    line.reject_ringing(486)
    await stopped(registered, invite)
    assert (await call.refusal()).status == 486
    policy.decision = BUSY
    again = PbxCall(call.pbx, await call.pbx.register(registered))
    await ring(registered, again)
    line.reject_ringing(486)
    await both_silent(registered, call.pbx)


@pytest.mark.requirement("P94", "P82")
async def test_a_call_that_is_being_redirected_is_not_rejected_as_well(
    registered: ProxiedPhone, call: PbxCall, server: SipServer, clock: ManualClock
) -> None:
    """What was decided first counts; its phone is stopping already."""
    policy = ScriptedPolicy(NO_REPLY._replace(kept=True))
    line = server.proxy.treated.treat("pbx-1", "201", policy)
    invite = await ring(registered, call)
    clock.advance(12)
    line.reject_ringing(486)
    await stopped(registered, invite)
    assert (await call.refusal()).status == 302


@pytest.mark.requirement("P94", "P89")
async def test_a_call_whose_phone_was_busy_is_rejected_at_once(
    calls: Calls, server: SipServer
) -> None:
    """It waits for the call to the other phone, and nothing is to be stopped."""
    policy = ScriptedPolicy(BUSY._replace(kept=True))
    line = server.proxy.treated.treat("pbx-1", "201", policy)
    (first, call), _ = calls
    call.send()
    reply(first, await first.next_request(), 486)
    await settle()
    line.reject_ringing(480)
    assert (await call.refusal()).status == 480


# Whom a policy hears of


@pytest.mark.requirement("P92", "P93")
async def test_a_policy_is_told_who_calls_and_by_what_way(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """Diversion, and History-Info without the entry that leads here."""
    headers = {
        "From": "Ann <sip:%2B49301@pbx.example>;tag=x",
        "Priority": "PSAP-Callback",
        "Diversion": "<sip:204@pbx.example>;reason=no-answer",
        "History-Info": "<sip:205@pbx.example>;index=1, <sip:201@pbx.example>;index=1.1",
        "Call-Info": "<sip:pbx.example>;answer-after=0",
    }
    registration = await pbx_peer.register(registered)
    PbxCall(pbx_peer, registration, headers).send()
    await registered.next_request()
    (call,) = policy.calls
    assert (call.pbx, call.user, call.domain) == ("pbx-1", "201", DOMAIN)
    assert (call.caller, call.called) == ("+49301", "201")
    assert call.priority == "psap-callback"
    assert call.intercom
    assert call.diverted == ("204", "205")


@pytest.mark.requirement("P92")
async def test_forwardings_that_cannot_be_read_hide_no_others(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """Nor does it cost the call anything."""
    lines = [
        '"open, <sip:203@pbx.example>',
        "<",
        f"<sip:204@{DOMAIN}>;reason=no-answer",
    ]
    registration = await pbx_peer.register(registered)
    PbxCall(pbx_peer, registration, {"Diversion": lines}).send()
    await registered.next_request()
    assert policy.calls[0].diverted == ("", "204")


@pytest.mark.requirement("P92")
async def test_a_policy_is_told_once_of_a_call_that_is_redirected(
    calls: Calls, pbx_peer: Pbx, policy: ScriptedPolicy
) -> None:
    """However many phones the line has."""
    policy.decision = ALWAYS
    for _, call in calls:
        call.send()
    await finals(pbx_peer, calls)
    assert [call.caller for call in policy.redirections] == ["202"]


@pytest.mark.requirement("P93")
@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:112@pbx.example", "112"),
        ("tel:112", "112"),
        ("sip:112;phone-context=a@pbx.example", "112"),
        ("urn:service:sos.fire", "service:sos.fire"),
    ],
)
async def test_a_policy_is_told_what_the_line_dials(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    uri: str,
    number: str,
) -> None:
    """The call passes as ever."""
    registered.send(registered.request("INVITE", uri))
    assert (await pbx_peer.next_request()).uri == uri
    assert policy.numbers == [number]


@pytest.mark.requirement("P93")
@pytest.mark.parametrize(
    ("field", "value", "numbers"),
    [
        ("Refer-To", "<sip:112@pbx.example>", ["112"]),
        ("r", "Fire <tel:112>", ["112"]),
        ("Refer-To", "<sip:203@pbx.example?Replaces=a%3Bto-tag%3Db>", ["203"]),
        ("Refer-To", "<", []),
        ("Referred-By", "<sip:112@pbx.example>", []),
    ],
)
async def test_a_policy_is_told_to_whom_the_line_transfers(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    field: str,
    value: str,
    numbers: list[str],
) -> None:
    """The REFER passes as ever, whatever it says (RFC 3515)."""
    headers = {"To": f"<sip:202@{DOMAIN}>;tag=caller", field: value}
    registered.send(registered.request("REFER", None, headers))
    assert (await pbx_peer.next_request()).get(field) == value
    assert policy.numbers == numbers


@pytest.mark.requirement("P93")
async def test_a_policy_is_not_told_of_calls_that_go_on(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """A re-INVITE, such as one that holds the call, dials nothing."""
    headers = {"To": "<sip:112@pbx.example>;tag=callee"}
    registered.send(registered.request("INVITE", "sip:112@pbx.example", headers))
    await pbx_peer.next_request()
    assert policy.numbers == []


@pytest.mark.requirement("P95")
async def test_a_call_that_somebody_transfers_to_the_line_is_treated(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """A blind transfer is a call like any other (RFC 3892)."""
    policy.decision = DND
    headers = {"Referred-By": f"<sip:204@{DOMAIN}>"}
    call = PbxCall(pbx_peer, await pbx_peer.register(registered), headers)
    call.send()
    assert (await call.refusal()).status == 486


# A caller who says to be the line itself.
OWN = {"From": f"<sip:201@{DOMAIN}>;tag=caller"}


@pytest.mark.requirement("P95")
async def test_a_call_in_the_name_of_its_own_line_is_treated(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx
) -> None:
    """Anybody may claim a number."""
    policy.decision = DND
    call = PbxCall(pbx_peer, await pbx_peer.register(registered), OWN)
    call.send()
    assert (await call.refusal()).status == 486


@pytest.mark.requirement("P95")
async def test_the_pbx_calls_back_whoever_has_called(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    clock: ManualClock,
) -> None:
    """In the name of the line, whose phone has called just now, and only in that."""
    policy.decision = DND
    registration = await pbx_peer.register(registered)
    registered.send(registered.request("INVITE", f"sip:*45@{DOMAIN}"))
    pbx_peer.answer(await pbx_peer.next_request(), 486)
    await registered.next_response()
    clock.advance(31.9)
    await ring(registered, PbxCall(pbx_peer, registration, OWN))
    other = PbxCall(pbx_peer, registration)
    other.send()
    assert (await other.refusal()).status == 486
    clock.advance(0.1)
    late = PbxCall(pbx_peer, registration, OWN)
    late.send()
    assert (await late.refusal()).status == 486


@pytest.mark.requirement("P95")
@pytest.mark.parametrize(
    "headers",
    [
        {"To": f"<sip:201@{DOMAIN}>;tag=known"},
        {"Replaces": "a@b;to-tag=1;from-tag=2"},
        {**OWN, "Call-Info": "<sip:pbx.example>;answer-after=0"},
    ],
    ids=["in dialog", "replaces", "clicked"],
)
async def test_calls_that_the_phone_has_or_makes_are_never_treated(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    headers: dict[str, str],
) -> None:
    """They pass, whatever is set."""
    policy.decision = DND
    registration = await pbx_peer.register(registered)
    PbxCall(pbx_peer, registration, headers).send()
    assert (await registered.next_request()).method == "INVITE"
    await pbx_peer.silence()


@pytest.mark.requirement("P91")
@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("*97", f"sip:*97@{DOMAIN}"),
        ("+4930123", f"sip:+4930123@{DOMAIN}"),
        ("sip:a@b.example", "sip:a@b.example"),
        ("tel:+4930123", "tel:+4930123"),
        ("a b", f"sip:a%20b@{DOMAIN}"),
        ("#21#", f"sip:%2321%23@{DOMAIN}"),
        ("x>\r\nEvil: 1", f"sip:x%3E%0D%0AEvil%3A%201@{DOMAIN}"),
    ],
)
async def test_a_target_is_written_as_a_uri(
    call: PbxCall, policy: ScriptedPolicy, target: str, uri: str
) -> None:
    """A number at the domain of the line, a URI as it is."""
    policy.decision = CallPlan(at_once=Redirect(target, "unconditional"))
    call.send()
    assert (await call.refusal()).get("Contact") == f"<{uri}>"


# Limits


@pytest.mark.requirement("P74")
async def test_a_hundred_calls_are_treated_at_once_and_more_pass(
    registered: ProxiedPhone, policy: ScriptedPolicy, pbx_peer: Pbx, server: SipServer
) -> None:
    """Nobody's call is lost for that."""
    policy.decision = BUSY
    registration = await pbx_peer.register(registered)
    for _ in range(101):
        PbxCall(pbx_peer, registration).send()
        assert (await registered.next_request()).method == "INVITE"
    assert kept(server) == 200


@pytest.mark.requirement("P74")
async def test_calls_that_have_their_answer_leave_room_for_others(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    server: SipServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are kept for a while, and do not count among those that ring."""
    monkeypatch.setattr(treated, "MAX_CALLS", 2)
    registration = await pbx_peer.register(registered)
    policy.decision = DND
    for _ in range(3):
        PbxCall(pbx_peer, registration).send()
        assert (await pbx_peer.next_response()).status == 486
    policy.decision = BUSY
    for _ in range(3):
        PbxCall(pbx_peer, registration).send()
        assert (await registered.next_request()).method == "INVITE"
    assert len(server.proxy.treated.kept) == 5


@pytest.mark.requirement("P74")
async def test_calls_pass_where_too_many_are_kept(
    registered: ProxiedPhone,
    policy: ScriptedPolicy,
    pbx_peer: Pbx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that have their answer included: a flood does not fill the memory."""
    monkeypatch.setattr(treated, "MAX_KEPT", 2)
    registration = await pbx_peer.register(registered)
    policy.decision = DND
    for _ in range(2):
        PbxCall(pbx_peer, registration).send()
        assert (await pbx_peer.next_response()).status == 486
    PbxCall(pbx_peer, registration).send()
    assert (await registered.next_request()).method == "INVITE"


@pytest.mark.requirement("P70")
async def test_a_redirection_of_the_phone_passes(
    registered: ProxiedPhone, call: PbxCall, policy: ScriptedPolicy
) -> None:
    """It is the PBX that follows it."""
    policy.decision = BUSY
    call.send()
    invite = await registered.next_request()
    reply(registered, invite, 302)
    response = await call.refusal()
    assert (response.status, response.get("Contact")) == (302, registered.contact)
    ack = await registered.next_request()
    assert ack.method == "ACK"
    await registered.silence()


async def test_a_call_goes_on_after_the_server_was_killed(
    registered: ProxiedPhone,
    call: PbxCall,
    policy: ScriptedPolicy,
    restart: Callable[[], Awaitable[SipServer]],
) -> None:
    """The caller gives up, and the phone stops: it does not ring for ever."""
    policy.decision = NO_REPLY
    invite = await ring(registered, call)
    await restart()
    call.cancel()
    cancel = await registered.next_request()
    assert (cancel.method, cancel.branch) == ("CANCEL", invite.branch)
    reply(registered, cancel, 200)
    reply(registered, invite, 487)
    assert {(await call.pbx.next_response()).status for _ in range(2)} == {200, 487}
