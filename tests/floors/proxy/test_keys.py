"""Feature keys of phones that are registered at a PBX: answered here, no password."""

from dataclasses import replace

import pytest

from custom_components.dfks.features.model import ChangeRequest, Feature, Origin
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from tests.server import line_config
from tests.sip.proxy.peers import Pbx, ProxiedPhone, both_silent
from tests.sip.proxy.test_keys import OpenPhone, again, open_subscription, subscribe

TURNED_ON = ChangeRequest(
    feature=Feature.DO_NOT_DISTURB, status=True, origin=Origin.ENTITY
)

DND_ON = (
    b"<SetDoNotDisturb><device>201</device>"
    b"<doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>"
)


def is_dnd_on(sync: FeatureSync, line: str = "201@pbx-1") -> bool:
    """Whether do not disturb is on for a line."""
    return sync.lines[line].state(Feature.DO_NOT_DISTURB).status


@pytest.mark.requirement("P58")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_proven_flow_subscribes_without_a_password(
    open_phone: OpenPhone, pbx_peer: Pbx, transport: str
) -> None:
    """The 200 and the state come from here, and nothing gets to the PBX."""
    phone = await open_phone(transport=transport)
    await pbx_peer.register(phone)
    _, notify = await open_subscription(phone)
    assert b"DoNotDisturbEvent" in notify.body
    await both_silent(phone, pbx_peer)


@pytest.mark.requirement("P59")
async def test_a_key_that_is_pressed_changes_the_state(
    registered: ProxiedPhone, pbx_peer: Pbx, sync: FeatureSync
) -> None:
    """In the dialog; the phone is told, the PBX hears nothing."""
    response, _ = await open_subscription(registered)
    assert (await registered.ask(again(registered, response, DND_ON))).status == 200
    notify = await registered.next_request()
    assert b"<doNotDisturbOn>true<" in notify.body
    assert is_dnd_on(sync)
    await pbx_peer.silence()


@pytest.mark.requirement("P60")
async def test_over_udp_an_initial_subscribe_changes_nothing(
    registered: ProxiedPhone, sync: FeatureSync
) -> None:
    """Anybody in the network could have written it; the full state is told."""
    assert (await registered.ask(subscribe(registered, body=DND_ON))).status == 200
    notify = await registered.next_request()
    assert b"<doNotDisturbOn>false<" in notify.body
    assert not is_dnd_on(sync)


@pytest.mark.requirement("P60")
async def test_over_tcp_an_initial_subscribe_may_change(
    open_phone: OpenPhone, pbx_peer: Pbx, sync: FeatureSync
) -> None:
    """Nobody can write on the connection of another."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    assert (await phone.ask(subscribe(phone, body=DND_ON))).status == 200
    assert is_dnd_on(sync)


@pytest.mark.requirement("P63")
async def test_a_line_moves_from_here_to_the_pbx(
    registered: ProxiedPhone, sync: FeatureSync, server: SipServer
) -> None:
    """Its state stays; its password is not asked for any more."""
    sync.remove_line("201@pbx-1")
    config = line_config("201", "here")
    sync.add_line(config)
    await sync.change("line-201", TURNED_ON)
    assert (await registered.ask(subscribe(registered))).status == 480
    sync.update_line(replace(config, password="", auth_name="", pbx="pbx-1"))
    _, notify = await open_subscription(registered)
    assert b"<doNotDisturbOn>true<" in notify.body


@pytest.mark.requirement("P112")
async def test_a_pbx_that_synchronizes_the_keys_itself_is_asked(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, pbx_config: PbxConfig
) -> None:
    """As-feature-event passes like any other event, both ways."""
    server.add_pbx(replace(pbx_config, keys_here=False))
    registered.send(subscribe(registered))
    request = await pbx_peer.next_request()
    assert request.get("Event") == "as-feature-event"
    pbx_peer.send(request.response(200).encode())
    assert (await registered.next_response()).status == 200
