"""What goes on over a restart, of which the phones and the PBX know nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from custom_components.dfks.sip.config import ServerConfig
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.snapshot import DialogRecord, Snapshot
from tests.clock import ManualClock

from .conftest import SECRET
from .peers import DOMAIN, Pbx, ProxiedPhone
from .test_routes import in_dialog

type Restart = Callable[[], Awaitable[SipServer]]
type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]


@pytest.mark.requirement("P41")
async def test_a_call_after_a_restart_rings_with_the_contact_of_the_phone(
    phone: ProxiedPhone, pbx_peer: Pbx, restart: Restart
) -> None:
    """Before the phone has registered anew."""
    written = f"<sip:201-0x1@{phone.local[0]}:{phone.local[1]};line=x>"
    registration = await pbx_peer.register(phone, {"Contact": written})
    await restart()
    pbx_peer.send(pbx_peer.call(registration))
    assert f"<{(await phone.next_request()).uri}>" == written


@pytest.mark.requirement("P41", "P29")
async def test_the_expiry_and_the_token_outlive_a_restart(
    registered: ProxiedPhone, pbx_peer: Pbx, restart: Restart, clock: ManualClock
) -> None:
    """The binding ends when the PBX has said."""
    registration = await pbx_peer.register(registered)
    clock.advance(3000)
    await restart()
    clock.advance(601)
    assert (await pbx_peer.ask(pbx_peer.call(registration))).status == 404
    again = await pbx_peer.register(registered)
    assert again.get("Contact") == registration.get("Contact")


@pytest.mark.requirement("P13")
async def test_a_retransmission_after_a_restart_leaves_the_same(
    registered: ProxiedPhone, pbx_peer: Pbx, restart: Restart
) -> None:
    """In every octet."""
    request = registered.request("INVITE")
    registered.send(request)
    before = await pbx_peer.next_raw()
    await restart()
    registered.send(request)
    assert await pbx_peer.next_raw() == before


@pytest.mark.requirement("P41")
async def test_the_first_request_after_a_restart_has_its_answer(
    registered: ProxiedPhone, pbx_peer: Pbx, restart: Restart
) -> None:
    """Before the phone has registered anew, and without a Record-Route to find it by."""
    await restart()
    registered.send(registered.request("MESSAGE"))
    pbx_peer.send((await pbx_peer.next_request()).response(200).encode())
    assert (await registered.next_response()).status == 200


@pytest.mark.requirement("P50")
async def test_a_call_goes_on_over_a_restart(
    registered: ProxiedPhone, pbx_peer: Pbx, restart: Restart
) -> None:
    """Re-INVITE, its answer and ACK, and BYE, from both sides."""
    registered.send(registered.request("INVITE"))
    invite = await pbx_peer.next_request()
    route = invite.values("Record-Route")
    to = f"<sip:202@{DOMAIN}>;tag=callee"
    await restart()
    pbx_peer.send(invite.response(200).encode())
    assert (await registered.next_response()).status == 200
    for method in ("ACK", "INVITE", "BYE"):
        headers = {"To": to, "Route": route}
        registered.send(registered.request(method, f"sip:202@{DOMAIN}", headers))
        assert (await pbx_peer.next_request()).method == method
        pbx_peer.send(in_dialog(pbx_peer, invite, method, route))
        assert (await registered.next_request()).method == method


@pytest.mark.requirement("P67")
async def test_a_tcp_phone_may_call_before_it_has_registered_anew(
    open_phone: OpenPhone, pbx_peer: Pbx, restart: Restart
) -> None:
    """Its connection is gone with the restart, its address is known."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    await restart()
    again = await open_phone(transport="tcp")
    again.send(again.request("INVITE"))
    assert (await pbx_peer.next_request()).method == "INVITE"


@pytest.mark.requirement("P106")
async def test_a_call_that_comes_during_the_start_waits_for_the_bindings(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    server: SipServer,
    config: ServerConfig,
    clock: ManualClock,
    pbx_config: PbxConfig,
) -> None:
    """The sockets are open before anything is taken back, and read after all of it."""
    registration = await pbx_peer.register(registered)
    stored = server.proxy_records()
    port = server.port
    await server.stop()
    after = SipServer(replace(config, port=port), clock)
    after.add_pbx(pbx_config, SECRET)
    # So many that the start lets others have their turn in between.
    dialogs: list[DialogRecord] = [{} for _ in range(500)]  # type: ignore[typeddict-item]
    memory = Snapshot(dialogs=dialogs, bindings=[])
    starting = asyncio.create_task(after.start(memory=memory, passed=stored))
    while not after.port:
        await asyncio.sleep(0)
    assert not starting.done()
    pbx_peer.send(pbx_peer.call(registration))
    await starting
    assert (await registered.next_request()).method == "INVITE"
    await after.stop()
