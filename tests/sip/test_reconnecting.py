"""Phones on TCP whose connection is gone: where they are told, and what they leave."""

import asyncio
from collections.abc import AsyncIterator
import contextlib
from dataclasses import dataclass, field
from typing import Self

import pytest

from custom_components.dfks.sip import SipServer
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import Response, settle
from tests.phone.wire import address

from .caller import Caller, Subscribed, disconnected
from .conftest import ROOM_FOR_TWO, Connect, Restart
from .echo import DOOR, LIGHT, Echo, Line, echoed, light, say
from .listening import ListeningPeer

requirement = pytest.mark.requirement


@dataclass
class RefusingPeer:
    """A phone's end that resets whatever connects to it."""

    port: int = 0
    attempts: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, host: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Listen on an address for a while."""
        peer = cls()

        def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer.attempts.append(writer)
            writer.transport.abort()

        async with await asyncio.start_server(refuse, host) as server:
            peer.port = server.sockets[0].getsockname()[1]
            yield peer


def contact(host: str, port: int) -> dict[str, str]:
    """Return the Contact of a phone that listens for TCP connections."""
    return {"Contact": f"<sip:201@{host}:{port};transport=tcp>"}


async def move(
    subscribed: Subscribed, connect: Connect, headers: dict[str, str]
) -> Caller:
    """Refresh a subscription over a new connection, which is returned."""
    subscribed.caller = await connect("tcp")
    await subscribed.caller.log_in()
    await subscribed.send(headers)
    return subscribed.caller


def bound(response: Response) -> list[str]:
    """Return the Contacts in a 200 to a REGISTER."""
    assert response.status == 200, response.title
    return [address(value) for value in response.values("Contact")]


@pytest.fixture
async def elsewhere(connect: Connect) -> Caller:
    """Return another phone of line 201, which nobody takes for the one that is lost."""
    return await connect(local=("127.0.0.2", 0))


# Told at the Contact


@requirement("E14", "F16")
async def test_e14_a_phone_that_closed_its_connection_is_told_at_its_contact(
    stream: Caller, elsewhere: Caller, reception: Line
) -> None:
    """As soon as there is something to tell (RFC 3261 12.2.1.1)."""
    async with await ListeningPeer.open() as phone:
        there = contact("127.0.0.1", phone.port)
        await stream.subscribe(there)
        await stream.close()
        await phone.connected()

        await elsewhere.subscribe(body=light(True))
        notify = await phone.next_request()

        assert f"<{notify.uri}>" == there["Contact"]
        assert echoed(notify) == {LIGHT: "on"}


@requirement("E14", "F16", "F21")
async def test_e14_all_subscriptions_of_the_dialog_are_told_there(
    stream: Caller, elsewhere: Caller, reception: Line
) -> None:
    """They have lost the same connection."""
    async with await ListeningPeer.open() as phone:
        there = contact("127.0.0.1", phone.port)
        subscribed = await stream.subscribe({**there, "Event": "echo;id=1"})
        await subscribed.send({**there, "Event": "echo;id=2"})
        await subscribed.told()
        await stream.close()
        await phone.connected()

        await elsewhere.subscribe(body=light(True))
        events = {(await phone.next_request()).get("Event") for _ in range(2)}

        assert events == {f"echo;id={number}" for number in (1, 2)}


@requirement("E14", "D11")
async def test_e14_a_notify_that_went_with_its_connection_is_told_at_the_contact(
    stream: Caller, reception: Line
) -> None:
    """The phone may have closed it before it had read."""
    async with await ListeningPeer.open() as phone:
        subscribed = await stream.subscribe(contact("127.0.0.1", phone.port))
        await subscribed.send(contact("127.0.0.1", phone.port), light(True))
        first = await subscribed.told(status=0)
        await stream.close()

        again = await phone.next_request()

        assert echoed(again) == echoed(first) == {LIGHT: "on"}
        assert again.cseq[0] == first.cseq[0] + 1
        assert reception.connected


@requirement("E14", "D11")
async def test_e14_a_notify_that_fails_there_is_told_over_a_new_connection(
    stream: Caller, connect: Connect, elsewhere: Caller, reception: Line
) -> None:
    """The phone is back while the NOTIFY at its Contact still waits for its answer."""
    async with await ListeningPeer.open(silent=True) as phone:
        there = contact("127.0.0.1", phone.port)
        subscribed = await stream.subscribe(there)
        await stream.close()
        await phone.connected()
        await elsewhere.subscribe(body=light(True))
        first = await phone.next_request()
        await move(subscribed, connect, there)

        await phone.links[0].close()
        again = await subscribed.told()

        assert echoed(again)[LIGHT] == echoed(first)[LIGHT] == "on"
        assert reception.connected


@requirement("E14", "F16")
async def test_e14_a_phone_that_takes_connections_at_its_contact_is_there(
    stream: Caller, clock: ManualClock, reception: Line
) -> None:
    """Though it closes what is idle, that connection too; it is asked nothing."""
    async with await ListeningPeer.open() as phone:
        await stream.subscribe(contact("127.0.0.1", phone.port))
        await stream.close()
        await phone.connected()
        clock.advance(60)
        await phone.links[0].close()
        await settle()

        assert reception.connected
        assert len(phone.links) == 1
        assert phone.is_silent


@requirement("E14", "F16")
async def test_e14_a_phone_that_is_away_from_its_contact_is_not(
    stream: Caller, reception: Line
) -> None:
    """It was switched off."""
    await stream.subscribe(contact("127.0.0.1", free_port()))

    await stream.close()

    await disconnected(reception)


@requirement("E14", "F16")
async def test_e14_a_connection_that_replaces_the_lost_one_is_what_counts(
    stream: Caller, connect: Connect, clock: ManualClock, reception: Line
) -> None:
    """Whatever becomes of the one to the Contact."""
    async with await ListeningPeer.open() as phone:
        there = contact("127.0.0.1", phone.port)
        subscribed = await stream.subscribe(there)
        await stream.close()
        await phone.connected()
        second = await move(subscribed, connect, there)
        await subscribed.told()

        await phone.links[0].close()
        await second.settle()
        await settle()

        assert reception.connected


@requirement("E14", "F16")
async def test_e14_a_phone_that_listens_is_there_without_a_connection(
    stream: Caller, connect: Connect, elsewhere: Caller, reception: Line
) -> None:
    """It closes what is idle and refreshes over new connections."""
    async with await ListeningPeer.open() as phone:
        there = contact("127.0.0.1", phone.port)
        subscribed = await stream.subscribe(there)
        await stream.close()
        await phone.connected()
        other = await elsewhere.subscribe(body=light(True))
        await phone.next_request()
        await elsewhere.settle()
        await phone.links[0].close()

        second = await move(subscribed, connect, there)
        await subscribed.told()
        await second.close()
        await elsewhere.settle()
        connected = reception.connected
        await other.send(body=say(DOOR, "1"))
        notify = await phone.next_request()

        assert connected
        assert echoed(notify) == {DOOR: "1"}


@requirement("E14", "F16")
async def test_e14_a_contact_that_takes_no_connection_is_left_alone(
    stream: Caller, elsewhere: Caller, clock: ManualClock, reception: Line
) -> None:
    """Until five minutes have passed, whatever changes."""
    async with RefusingPeer.open() as phone:
        await stream.subscribe(contact("127.0.0.1", phone.port))
        await stream.close()
        await disconnected(reception)
        other = await elsewhere.subscribe(body=light(True))
        for target in "123":
            await other.send(body=say(DOOR, target))
            await other.told()
            await settle()
        attempts = len(phone.attempts)
        clock.advance(300)
        await settle()

        assert (attempts, len(phone.attempts)) == (1, 2)


@requirement("E14", "F16")
async def test_e14_a_phone_that_is_heard_again_may_listen_again(
    stream: Caller, connect: Connect, elsewhere: Caller, reception: Line
) -> None:
    """It had been rebooting when it was tried last."""
    async with RefusingPeer.open() as phone:
        there = contact("127.0.0.1", phone.port)
        subscribed = await stream.subscribe(there)
        await stream.close()
        await disconnected(reception)
        other = await elsewhere.subscribe(body=light(True))
        await settle()
        second = await move(subscribed, connect, there)
        await subscribed.told()
        await second.close()
        await elsewhere.settle()

        await other.send(body=say(DOOR, "1"))
        await other.told()
        await settle()

        assert len(phone.attempts) == 2


@requirement("E14", "F16")
async def test_e14_a_contact_behind_nat_is_not_tried(
    stream: Caller, reception: Line, echo: Echo
) -> None:
    """Its private address is not where the phone wrote from; it stays disconnected."""
    await stream.subscribe(contact("192.0.2.77", 5060))
    await stream.close()
    await disconnected(reception)
    reception.changed.clear()

    echo.change(reception, LIGHT, "on")

    assert not reception.changed.is_set()


@requirement("E11", "F16")
async def test_e11_a_silent_phone_on_its_connection_is_left_alone(
    stream: Caller, clock: ManualClock, reception: Line, echo: Echo
) -> None:
    """A change is no reason to ask it again: its connection stands."""
    await stream.subscribe(status=0)
    clock.advance(32)
    await disconnected(reception)

    echo.change(reception, LIGHT, "on")

    await stream.nothing()


@requirement("E14", "F16")
async def test_e14_a_silent_phone_behind_a_proxy_is_left_alone(
    stream: Caller,
    server: SipServer,
    clock: ManualClock,
    reception: Line,
    echo: Echo,
) -> None:
    """Also where the proxy has closed its connection, which says nothing about it."""
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"
        await stream.subscribe({"Record-Route": route}, status=0)
        clock.advance(32)
        await disconnected(reception)
        await stream.close()
        while server.counters()["connections"]:
            await asyncio.sleep(0)

        echo.change(reception, LIGHT, "on")
        await settle()

        assert not proxy.links


@requirement("E14", "D11", "F16")
async def test_e14_a_route_that_takes_no_connection_is_tried_once(
    stream: Caller, elsewhere: Caller, reception: Line
) -> None:
    """Though the connection of the SUBSCRIBE stands: the Route is the way."""
    await elsewhere.call("REGISTER", {"Contact": "<sip:201@127.0.0.2:5060>"})
    async with RefusingPeer.open("127.0.0.2") as proxy:
        route = f"<sip:127.0.0.2:{proxy.port};transport=tcp;lr>"

        await stream.call("SUBSCRIBE", {"Record-Route": route})
        await disconnected(reception)

        assert len(proxy.attempts) == 1


@requirement("E14", "F16")
async def test_e14_a_silent_route_is_given_up(
    stream: Caller, elsewhere: Caller, clock: ManualClock, reception: Line
) -> None:
    """It is not asked anew every 32 s."""
    await elsewhere.call("REGISTER", {"Contact": "<sip:201@127.0.0.2:5060>"})
    route = f"<sip:127.0.0.2:{elsewhere.local[1]};lr>"
    await stream.call("SUBSCRIBE", {"Record-Route": route})
    await elsewhere.next_request()

    clock.advance(32)

    assert not reception.connected


@requirement("E14", "D11")
async def test_e14_a_notify_that_went_with_its_connection_is_told_at_the_route(
    stream: Caller, reception: Line
) -> None:
    """A proxy may close a connection just then, too."""
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"
        await stream.call("SUBSCRIBE", {"Record-Route": route})
        first = await stream.next_request()
        await stream.close()

        again = await proxy.next_request()

        assert first.values("Route") == again.values("Route") == [route]
        assert echoed(again) == echoed(first)
        assert reception.connected


# Left behind


@requirement("F27", "C7")
@ROOM_FOR_TWO
async def test_f27_a_phone_that_connects_anew_each_time_gets_in_each_time(
    connect: Connect, server: SipServer, reception: Line
) -> None:
    """From another port, without an instance: what it left makes room."""
    for _ in range(4):
        phone = await connect("tcp")
        await phone.subscribe()
        await phone.close()
        await disconnected(reception)

    await (await connect("tcp")).subscribe(body=light(True))

    assert reception.connected
    assert server.counters()["subscriptions"] == 2


@requirement("F27", "C7", "E14")
@ROOM_FOR_TWO
async def test_f27_a_phone_that_listens_at_its_contact_is_told_of_its_end(
    stream: Caller, elsewhere: Caller
) -> None:
    """It is there, though its connection is gone."""
    async with await ListeningPeer.open() as phone:
        await stream.subscribe(contact("127.0.0.1", phone.port))
        await stream.close()
        await phone.connected()

        for name in "ab":
            await elsewhere.subscribe({"Contact": f"<sip:{name}@h>"})
        last = await phone.next_request()

        assert last.get("Subscription-State") == (
            "terminated;reason=probation;retry-after=300"
        )


@requirement("F27", "C7")
@ROOM_FOR_TWO
async def test_f27_a_lost_connection_makes_room_before_a_silent_phone(
    connect: Connect, caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """The silent one may still be heard."""
    silent = await caller.subscribe(status=0)
    clock.advance(33)
    await caller.so_far()
    phone = await connect("tcp", local=("127.0.0.2", 0))
    lost = await phone.subscribe()
    await phone.close()
    await disconnected(reception)

    newest = await connect("tcp", local=("127.0.0.2", 0))
    await newest.subscribe()
    lost.caller = silent.caller = newest

    assert (await lost.send()).status == 481
    assert (await silent.send()).status == 200


@requirement("F27", "C7", "F16")
@ROOM_FOR_TWO
async def test_f27_a_silent_phone_makes_room(
    caller: Caller, colleague: Caller, clock: ManualClock, reception: Line
) -> None:
    """The oldest of them."""
    for number in range(2):
        await caller.subscribe({"Contact": f"<sip:{number}@h>"}, status=0)
    clock.advance(33)
    await caller.so_far()

    await colleague.subscribe()

    assert reception.watchers == 2
    assert reception.connected


@requirement("F27", "C7", "F28")
@ROOM_FOR_TWO
async def test_f27_what_was_left_before_a_restart_makes_room(
    connect: Connect, restart: Restart, reception: Line
) -> None:
    """Its connections went with the server."""
    for _ in range(2):
        phone = await connect("tcp")
        await phone.subscribe()
        await phone.close()
        await disconnected(reception)
    echo = await restart()

    for _ in range(2):
        phone = await connect("tcp")
        subscribed = await phone.subscribe()

    await subscribed.send(body=light(True))
    assert echoed(await subscribed.told()) == {LIGHT: "on"}
    assert echo.lines["line-201"].watchers == 2


@requirement("F27", "C7", "F21")
@ROOM_FOR_TWO
async def test_f27_nothing_makes_room_in_its_own_dialog(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """The phone is there, though it had been silent."""
    first, second, third = ({"Event": f"echo;id={number}"} for number in range(3))
    subscribed = await caller.subscribe(first)
    await subscribed.send(second)
    await subscribed.told(status=0)
    clock.advance(33)
    await caller.so_far()

    refused = await subscribed.send(third)

    assert refused.status == 503
    assert server.counters()["subscriptions"] == 2


@requirement("F27", "C7", "B1")
@ROOM_FOR_TWO
async def test_f27_nothing_makes_room_for_what_is_refused(
    connect: Connect, caller: Caller, reception: Line
) -> None:
    """A subscription that cannot be makes no other one go."""
    phone = await connect("tcp")
    await phone.subscribe()
    await phone.close()
    await disconnected(reception)
    subscribed = await caller.subscribe()
    more = {"Event": "echo;id=2"}

    refused = await subscribed.send({**more, "Require": "x"})
    before = reception.watchers
    taken = await subscribed.send(more)

    assert (refused.status, taken.status) == (420, 200)
    assert before == reception.watchers == 2


@requirement("G21")
async def test_g21_the_newest_binding_replaces_the_oldest(caller: Caller) -> None:
    """Ten a line; a refresh makes one the newest."""
    for count in range(10):
        await caller.call("REGISTER", {"Contact": f"<sip:a{count}@h>"})
    await caller.call("REGISTER", {"Contact": "<sip:a0@h>"})

    contacts = bound(await caller.call("REGISTER", {"Contact": "<sip:a10@h>"}))

    assert contacts == [f"sip:a{count}@h" for count in (*range(2, 10), 0, 10)]


@requirement("G21", "G22")
async def test_g21_bindings_whose_connection_is_gone_go_first(
    connect: Connect, caller: Caller
) -> None:
    """A phone that connects anew each time does not push another one out."""
    await caller.call("REGISTER")
    left = []
    for _ in range(12):
        phone = await connect("tcp")
        left.append(address(phone.contact))
        contacts = bound(await phone.call("REGISTER"))
        await phone.close()
        await caller.settle()

    assert contacts == [address(caller.contact), *left[-9:]]


@requirement("G21", "F28")
async def test_g21_bindings_of_connections_before_a_restart_go_first(
    connect: Connect, caller: Caller, restart: Restart
) -> None:
    """The server has closed them all."""
    stays = [f"<sip:a{count}@h>" for count in range(8)]
    await caller.call("REGISTER", {"Contact": stays})
    for host in ("lost", "left"):
        await (await connect("tcp")).call("REGISTER", {"Contact": f"<sip:a@{host}>"})
    await restart()
    await caller.log_in()

    contacts = bound(await caller.call("REGISTER", {"Contact": "<sip:new@h>"}))

    assert contacts == [*map(address, stays), "sip:a@left", "sip:new@h"]


@requirement("G21")
async def test_g21_one_register_has_ten_contacts_at_most(caller: Caller) -> None:
    """They cannot make room for each other; nothing is bound then."""
    contacts = [f"<sip:a{count}@h>" for count in range(11)]

    refused = await caller.call("REGISTER", {"Contact": contacts})
    query = await caller.call("REGISTER", {"Contact": None})

    assert refused.status == 403
    assert bound(query) == []
