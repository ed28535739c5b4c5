"""Calls to a line at a PBX by the state of its keys, from the outside."""

from dataclasses import replace

import pytest

from custom_components.dfks.features.calls import CallOptions, LineCalls
from custom_components.dfks.features.model import ChangeRequest, Feature, Origin
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.clock import ManualClock
from tests.sip.proxy.calling import PbxCall, reply, ring, stopped
from tests.sip.proxy.peers import DOMAIN, Pbx, ProxiedPhone

LINE = "201@pbx-1"


@pytest.fixture
def calls(sync: FeatureSync, server: SipServer) -> LineCalls:
    """Return what decides about the calls of the line 201."""
    calls = LineCalls(sync.lines[LINE], CallOptions(), server.clock)
    server.proxy.treated.treat("pbx-1", "201", calls)
    return calls


@pytest.fixture
async def call(registered: ProxiedPhone, pbx_peer: Pbx, calls: LineCalls) -> PbxCall:
    """Return a call to the phone."""
    return PbxCall(pbx_peer, await pbx_peer.register(registered))


async def turn_on(
    sync: FeatureSync, feature: Feature, target: str | None = None
) -> None:
    """Turn a feature of the line on from Home Assistant."""
    await sync.change(
        LINE,
        ChangeRequest(
            feature=feature,
            status=True,
            forward_to=target,
            ring_count=2,
            origin=Origin.ENTITY,
        ),
    )


@pytest.mark.requirement("P78")
async def test_a_line_that_is_not_to_be_disturbed_is_busy(
    registered: ProxiedPhone, call: PbxCall, sync: FeatureSync
) -> None:
    """The phone hears nothing of the call."""
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    call.send()
    assert (await call.refusal()).status == 486
    await registered.silence()


@pytest.mark.requirement("P78", "P94")
async def test_do_not_disturb_with_a_target_for_busy_goes_there(
    call: PbxCall, sync: FeatureSync
) -> None:
    """As with a phone that is busy."""
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    await turn_on(sync, Feature.CALL_FORWARDING_BUSY, "202")
    call.send()
    response = await call.refusal()
    assert response.status == 302
    assert response.get("Diversion").endswith(";reason=user-busy")


@pytest.mark.requirement("P79", "P91")
async def test_forwarding_always_names_the_target_at_the_domain_of_the_line(
    call: PbxCall, sync: FeatureSync
) -> None:
    """The host of To in its REGISTER."""
    await turn_on(sync, Feature.CALL_FORWARDING_ALWAYS, "*97")
    call.send()
    assert (await call.refusal()).get("Contact") == f"<sip:*97@{DOMAIN}>"


@pytest.mark.requirement("P80")
async def test_a_busy_phone_has_its_call_forwarded(
    registered: ProxiedPhone, call: PbxCall, sync: FeatureSync
) -> None:
    """Only when the phone has said so."""
    await turn_on(sync, Feature.CALL_FORWARDING_BUSY, "203")
    reply(registered, await ring(registered, call), 486)
    assert (await call.refusal()).get("Contact") == f"<sip:203@{DOMAIN}>"


@pytest.mark.requirement("P81", "P82")
async def test_a_phone_that_nobody_takes_has_its_call_forwarded(
    registered: ProxiedPhone, call: PbxCall, sync: FeatureSync, clock: ManualClock
) -> None:
    """Two rings are twelve seconds."""
    await turn_on(sync, Feature.CALL_FORWARDING_NO_ANSWER, "203")
    invite = await ring(registered, call)
    clock.advance(12)
    await stopped(registered, invite)
    assert (await call.refusal()).get("Contact") == f"<sip:203@{DOMAIN}>"


@pytest.mark.requirement("P77")
async def test_a_line_of_which_nothing_is_set_rings(
    registered: ProxiedPhone, call: PbxCall, server: SipServer
) -> None:
    """And nothing is kept of the call."""
    await ring(registered, call)
    assert not server.proxy.treated.kept


@pytest.mark.requirement("P92")
async def test_a_call_that_has_gone_in_a_circle_rings(
    registered: ProxiedPhone, pbx_peer: Pbx, calls: LineCalls, sync: FeatureSync
) -> None:
    """201 forwards to 202, which forwards to 201: it rings there once."""
    await turn_on(sync, Feature.CALL_FORWARDING_ALWAYS, "202")
    registration = await pbx_peer.register(registered)
    back = {"Diversion": f"<sip:202@{DOMAIN}>, <sip:201@{DOMAIN}>;reason=unconditional"}
    await ring(registered, PbxCall(pbx_peer, registration, back))


@pytest.mark.requirement("P92")
async def test_a_circle_that_the_pbx_does_not_tell_of_ends_in_one_ring(
    registered: ProxiedPhone, pbx_peer: Pbx, calls: LineCalls, sync: FeatureSync
) -> None:
    """It calls 201 anew for each 302, and names nobody who has forwarded the call."""
    await turn_on(sync, Feature.CALL_FORWARDING_ALWAYS, "202")
    registration = await pbx_peer.register(registered)
    for _ in range(5):
        call = PbxCall(pbx_peer, registration)
        call.send()
        assert (await call.refusal()).status == 302
    await ring(registered, PbxCall(pbx_peer, registration))


@pytest.mark.requirement("P93")
async def test_the_emergency_centre_gets_through(
    registered: ProxiedPhone, pbx_peer: Pbx, calls: LineCalls, sync: FeatureSync
) -> None:
    """RFC 7090."""
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    registration = await pbx_peer.register(registered)
    headers = {"Priority": "psap-callback"}
    await ring(registered, PbxCall(pbx_peer, registration, headers))


@pytest.mark.requirement("P93")
async def test_a_line_that_has_called_an_emergency_number_rings(
    registered: ProxiedPhone,
    call: PbxCall,
    sync: FeatureSync,
    pbx_peer: Pbx,
    clock: ManualClock,
) -> None:
    """For an hour, whoever calls."""
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    registered.send(registered.request("INVITE", f"sip:112@{DOMAIN}"))
    await pbx_peer.next_request()
    clock.advance(3500)
    await ring(registered, call)


@pytest.mark.requirement("P94")
async def test_what_is_turned_on_while_it_rings_changes_nothing(
    registered: ProxiedPhone, call: PbxCall, sync: FeatureSync, clock: ManualClock
) -> None:
    """What counts is the state when the call came."""
    await turn_on(sync, Feature.CALL_FORWARDING_BUSY, "203")
    invite = await ring(registered, call)
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    await turn_on(sync, Feature.CALL_FORWARDING_NO_ANSWER, "203")
    clock.advance(60)
    await registered.silence()
    reply(registered, invite, 200)
    assert (await call.answer()).status == 200


@pytest.mark.requirement("P94")
async def test_do_not_disturb_ends_a_call_that_rings_where_the_option_says_so(
    registered: ProxiedPhone,
    call: PbxCall,
    calls: LineCalls,
    sync: FeatureSync,
    server: SipServer,
) -> None:
    """CANCEL to the phone, 486 to the PBX."""
    calls.options = replace(calls.options, reject_ringing=True)
    line = server.proxy.treated.treat("pbx-1", "201", calls)
    invite = await ring(registered, call)
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    line.reject_ringing(calls.options.busy_status)
    await stopped(registered, invite)
    assert (await call.refusal()).status == 486


@pytest.mark.requirement("P95")
async def test_a_call_that_the_phone_holds_goes_on(
    registered: ProxiedPhone, pbx_peer: Pbx, calls: LineCalls, sync: FeatureSync
) -> None:
    """A re-INVITE passes, whatever is on."""
    await turn_on(sync, Feature.DO_NOT_DISTURB)
    registration = await pbx_peer.register(registered)
    headers = {"To": f"<sip:201@{DOMAIN}>;tag=callee"}
    await ring(registered, PbxCall(pbx_peer, registration, headers))
