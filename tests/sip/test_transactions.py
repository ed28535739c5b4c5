"""Sections C and D: transactions of both sides and their timers (RFC 3261 17)."""

import errno
from typing import Any

import pytest

from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.flow import FlowError
from custom_components.dfks.sip.transport.udp import UdpSocket
from tests.clock import ManualClock
from tests.phone import RawPeer, Request
from tests.phone.wire import has_parameter, parameter, split_host

from .caller import Caller, disconnected
from .conftest import Connect
from .echo import LIGHT, Line, echoed, light

requirement = pytest.mark.requirement

# Seconds from the first NOTIFY to each time that it comes again, until timer F.
TIMER_E = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


# Server transactions


@requirement("C1")
async def test_c1_another_sent_by_is_another_transaction(
    caller: Caller, colleague: Caller
) -> None:
    """Two phones may have thought of the same branch."""
    notifies = []
    for phone in (caller, colleague):
        host, port = phone.local
        via = f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKsame;rport"
        notifies.append((await phone.subscribe({"Via": via})).first)

    assert notifies[0].call_id != notifies[1].call_id


@requirement("C1")
async def test_c1_another_method_is_another_transaction(caller: Caller) -> None:
    """A CANCEL has the branch of what it cancels, and is not it."""
    host, port = caller.local
    via = {"Via": f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKsame;rport"}
    await caller.subscribe(via)

    response = await caller.ask(caller.request("OPTIONS", headers=via))

    assert response.cseq[1] == "OPTIONS"


@requirement("C2", "C3")
@pytest.mark.parametrize("cookie", ["", ";branch=1", ";branch=z9hG4bK"])
async def test_c2_without_a_useful_branch_the_rest_of_the_request_counts(
    caller: Caller, cookie: str
) -> None:
    """A repetition as of RFC 2543 is processed once."""
    await caller.log_in()
    host, port = caller.local
    headers = {"Via": f"SIP/2.0/UDP {host}:{port}{cookie}"}
    data = caller.signed_request("SUBSCRIBE", headers)

    first = await caller.ask(data)
    await caller.next_request()
    again = await caller.ask(data)

    assert first.status == 200
    assert again.raw == first.raw
    await caller.nothing()


@requirement("C2", "C3")
@pytest.mark.parametrize(
    ("what", "status"), [("CSeq", 200), ("Call-ID", 200), ("From", 500), ("uri", 482)]
)
async def test_c2_without_a_useful_branch_another_request_is_another(
    caller: Caller, what: str, status: int
) -> None:
    """Any difference makes a new one, even if only to be refused."""
    host, port = caller.local
    headers = {
        "Via": f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK",
        "From": "<sip:201@h>;tag=1",
        "Call-ID": "1",
        "CSeq": "1 REGISTER",
    }
    other = {
        "CSeq": "2 REGISTER",
        "Call-ID": "2",
        "From": "<sip:201@h>;tag=2",
    }
    await caller.call("REGISTER", headers)

    response = await caller.call(
        "REGISTER",
        headers | {what: other[what]} if what in other else headers,
        uri="sip:other" if what == "uri" else None,
    )

    # The registrar has seen this CSeq of this Call-ID; and what differs in the
    # Request-URI alone is a request that came by two ways.
    assert response.status == status


@requirement("C4")
async def test_c4_a_retransmission_gets_the_same_octets(caller: Caller) -> None:
    """Three times the same SUBSCRIBE: three times the same 200, one NOTIFY."""
    await caller.log_in()
    data = caller.signed_request("SUBSCRIBE", body=light(True))

    for _ in range(3):
        caller.send(data)
    came = await caller.so_far()

    responses = [message for message in came if not isinstance(message, Request)]
    notifies = [message for message in came if isinstance(message, Request)]
    assert len({response.raw for response in responses}) == 1
    assert (len(responses), len(notifies)) == (3, 1)


@requirement("C4")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_c4_an_error_to_a_known_line_is_repeated_too(
    caller: Caller, method: str
) -> None:
    """And its nonce count is not taken for a replay."""
    await caller.log_in()
    data = caller.signed_request(method, {"Require": "foo"})

    first, second = await caller.ask(data), await caller.ask(data)

    assert first.status == 420
    assert second.raw == first.raw


@requirement("C4")
async def test_c4_a_retransmission_in_a_dialog_is_no_lower_cseq(caller: Caller) -> None:
    """The 200 comes again, not a 500."""
    subscribed = await caller.subscribe()
    data = caller.sign(subscribed.request(body=light(True)))

    first = await caller.ask(data)
    await subscribed.told()
    second = await caller.ask(data)

    assert first.status == 200
    assert second.raw == first.raw
    await caller.nothing()


@requirement("C4")
async def test_c4_an_answer_that_cannot_be_sent_is_there_for_the_retransmission(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for has been done meanwhile, and told."""
    await caller.log_in()
    data = caller.signed_request("SUBSCRIBE", body=light(True))
    send = UdpSocket.send

    def fail(sock: UdpSocket, octets: bytes, *way: Any) -> None:
        if octets.startswith(b"SIP/2.0 200"):
            raise FlowError(errno.ENETUNREACH, "The network is away")
        send(sock, octets, *way)

    with monkeypatch.context() as patched:
        patched.setattr(UdpSocket, "send", fail)
        caller.send(data)
        notify = await caller.next_request()

    assert echoed(notify) == {LIGHT: "on"}
    assert (await caller.ask(data)).status == 200


@requirement("C4", "E3")
async def test_c4_the_answer_goes_to_where_the_retransmission_came_from(
    caller: Caller, colleague: Caller
) -> None:
    """NAT may have given the phone another port meanwhile."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")

    first = await caller.ask(data)
    second = await colleague.ask(data)

    assert second.raw == first.raw


@requirement("C5")
async def test_c5_answers_are_kept_for_timer_j(
    caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """At 31 s the answer comes again, at 33 s the request is new."""
    await caller.log_in()
    data = caller.signed_request("REGISTER")
    first = await caller.ask(data)

    clock.advance(31)
    cached = await caller.ask(data)
    clock.advance(2)
    anew = await caller.ask(data)

    assert cached.raw == first.raw
    assert anew.status == 401
    assert len(server._transactions) == 0


@requirement("C5")
async def test_c5_the_memory_of_many_comes_back(
    caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """Whatever was kept is forgotten, a little later or sooner."""
    await caller.log_in()
    for _ in range(20):
        await caller.ask(caller.signed_request("REGISTER", {"Contact": None}))
        clock.advance(1.7)
    kept = len(server._transactions)
    clock.advance(34)

    assert 18 <= kept <= 20
    assert len(server._transactions) == 0
    assert not server._transactions._merge_keys
    assert not server._transactions._sources


@requirement("C5")
async def test_c5_nothing_is_kept_for_a_stream(
    stream: Caller, server: SipServer
) -> None:
    """Timer J is 0: streams do not lose messages."""
    await stream.subscribe()

    assert len(server._transactions) == 0


# Client transactions


async def came_at(
    caller: Caller, clock: ManualClock, seconds: float, step: float = 0.25
) -> list[tuple[float, Request]]:
    """Return what comes within some seconds, and when."""
    found = []
    for count in range(1, round(seconds / step) + 1):
        clock.advance(step)
        for message in await caller.so_far():
            assert isinstance(message, Request)
            found.append((count * step, message))
    return found


@requirement("D1", "D2")
async def test_d1_a_notify_is_sent_eleven_times_in_32_seconds(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """By timer E, octet by octet the same; then timer F suspends the phone."""
    subscribed = await caller.subscribe()
    await subscribed.send(body=light(True))
    first = await subscribed.told(status=0)

    found = await came_at(caller, clock, 31.75)
    still_connected = reception.connected
    clock.advance(0.25)

    assert [at for at, _ in found] == TIMER_E
    assert {notify.raw for _, notify in found} == {first.raw}
    assert still_connected
    assert not reception.connected
    await caller.nothing()


@requirement("D3")
async def test_d3_after_a_provisional_answer_it_goes_on_by_t2(
    caller: Caller, clock: ManualClock
) -> None:
    """The phone is there and thinks."""
    subscribed = await caller.subscribe(status=0)

    await subscribed.answer(subscribed.first, 100)
    found = await came_at(caller, clock, 31.5, 0.5)

    assert [at for at, _ in found] == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]


@requirement("D2", "D3")
async def test_d3_a_provisional_answer_does_not_stop_timer_f(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """A final answer is due within 32 s all the same."""
    subscribed = await caller.subscribe(status=0)

    await subscribed.answer(subscribed.first, 100)
    clock.advance(32)

    assert not reception.connected


@requirement("D4")
async def test_d4_a_second_answer_means_nothing(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """Not even one that would end the subscription."""
    subscribed = await caller.subscribe()

    for status in (200, 481, 500):
        caller.answer(subscribed.first, status)
    await caller.settle()

    assert reception.connected
    clock.advance(5)
    await caller.nothing()


@requirement("D5")
async def test_d5_an_answer_may_come_from_another_address(
    caller: Caller, colleague: Caller, clock: ManualClock, reception: Line
) -> None:
    """A phone with two addresses answers from either (17.1.3)."""
    subscribed = await caller.subscribe(status=0)

    colleague.answer(subscribed.first)
    await colleague.settle()
    clock.advance(32)

    await caller.nothing()
    assert reception.connected


@requirement("D5")
@pytest.mark.parametrize("status", [200, 481])
async def test_d5_a_line_cannot_answer_for_another(
    caller: Caller, stranger: Caller, reception: Line, status: int
) -> None:
    """Even one that has seen the branch must know the Call-ID as well."""
    subscribed = await caller.subscribe(status=0)
    other = await stranger.subscribe()
    forged = subscribed.first.response(status).encode()

    stranger.send(
        forged.replace(
            subscribed.response.call_id.encode(), other.response.call_id.encode()
        )
    )
    await stranger.settle()
    await subscribed.send(body=light(True))

    assert reception.watchers == 1
    # The first NOTIFY still waits for its answer.
    await caller.nothing()


@requirement("D6")
async def test_d6_a_stream_delivers_once(
    stream: Caller, clock: ManualClock, reception: Line
) -> None:
    """No retransmission; timer F runs all the same."""
    await stream.subscribe(status=0)

    clock.advance(31.9)
    await stream.nothing()
    still_connected = reception.connected
    clock.advance(0.1)

    assert still_connected
    assert not reception.connected


@requirement("D9")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_d9_each_notify_has_a_branch_of_its_own(
    connect: Connect, server: SipServer, transport: str
) -> None:
    """With the cookie, our address and port, and rport."""
    caller = await connect(transport)
    subscribed = await caller.subscribe()
    notifies = [subscribed.first]
    for on in (True, False, True):
        await subscribed.send(body=light(on))
        notifies.append(await subscribed.told())

    branches = {notify.branch for notify in notifies}
    assert len(branches) == 4
    # 64 random bits: no two begin alike, and none is the one before plus one.
    assert len({branch[7:15] for branch in branches}) == 4
    assert all(len(branch) >= 7 + 16 for branch in branches)
    for notify in notifies:
        via = notify.get("Via")
        assert notify.branch.startswith("z9hG4bK")
        sent_by = via.partition(";")[0].split()[1]
        assert split_host(sent_by) == ("127.0.0.1", server.port)
        assert has_parameter(via, "rport") and not parameter(via, "rport")
        assert f"SIP/2.0/{transport.upper()} " in via


@requirement("D11", "F16")
async def test_d11_an_unreachable_phone_is_suspended_at_once(
    caller: Caller, reception: Line, server: SipServer, clock: ManualClock
) -> None:
    """ICMP says that nobody listens there; 32 s need not pass, nor is it tried again."""
    closed = await RawPeer.open(("127.0.0.1", 9))
    host, port = closed.local
    await closed.close()

    response = await caller.call("SUBSCRIBE", {"Contact": f"<sip:201@{host}:{port}>"})
    assert response.status == 200
    await disconnected(reception)
    clock.advance(32)

    assert reception.watchers == 0
    assert server.counters()["retransmissions_sent"] == 0
    assert (await caller.ask(caller.request("OPTIONS"))).status == 200


@requirement("D11", "F16")
async def test_d11_a_lost_connection_is_a_failure_at_once(
    stream: Caller, reception: Line
) -> None:
    """The phone is told everything when it is back."""
    await stream.subscribe(status=0)

    await stream.close()
    await disconnected(reception)

    assert reception.watchers == 0


@requirement("D11")
async def test_d11_a_refused_connection_is_a_failure(
    connect: Connect, reception: Line
) -> None:
    """A Route over TCP to where nobody listens."""
    caller = await connect()
    closed = await RawPeer.open(("127.0.0.1", 9))
    port = closed.local[1]
    await closed.close()
    route = f"<sip:127.0.0.1:{port};transport=tcp;lr>"

    response = await caller.call("SUBSCRIBE", {"Record-Route": route})
    assert response.status == 200
    await disconnected(reception)

    assert reception.watchers == 0
