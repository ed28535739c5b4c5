"""Section E: UDP, TCP, and where messages go (RFC 3261 18, RFC 3581, RFC 5626)."""

import asyncio
from dataclasses import replace
import logging
import os
import socket

import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.access.guard import parse_networks
from custom_components.dfks.sip.transaction.via import way_of_answer
from custom_components.dfks.sip.transport import layer as sockets, udp
from custom_components.dfks.sip.transport.bind import probe, probe_tls
from custom_components.dfks.sip.transport.flow import FlowError, GoneFlow
from custom_components.dfks.sip.wire.headers import default_port
from custom_components.dfks.sip.wire.message import Request as OurRequest
from custom_components.dfks.sip.wire.parser import parse as parse_ours
from dev.ports import free_port
from tests.clock import ManualClock
from tests.phone import PhoneError, parse, settle
from tests.phone.raw import branch
from tests.phone.wire import has_parameter, parameter

from .caller import Caller, disconnected, reason_of, watched_by
from .conftest import Connect
from .echo import LIGHT, TOPICS, Line, echoed, light
from .listening import ListeningPeer

requirement = pytest.mark.requirement

IPV6 = pytest.mark.skipif(
    not socket.has_ipv6 or not socket.getaddrinfo("::1", 0), reason="no IPv6 here"
)


def via_of(caller: Caller, sent_by: str, parameters: str = "") -> dict[str, str]:
    """Return a Via with another sent-by than the caller's own."""
    return {
        "Via": f"SIP/2.0/{caller.link.name} {sent_by};branch={branch()}{parameters}"
    }


# Sockets


@requirement("E1")
async def test_e1_udp_and_tcp_listen_on_one_port(connect: Connect) -> None:
    """A request is answered over both."""
    for transport in ("udp", "tcp"):
        caller = await connect(transport)
        response = await caller.ask(caller.request("OPTIONS"))
        assert response.status == 200


@requirement("E1")
def test_e1_ports_are_the_standard_ones() -> None:
    """5060, and 5061 for TLS."""
    config = ServerConfig()

    assert (config.port, config.tls_port) == (5060, 5061)


@requirement("E1")
async def test_e1_a_taken_port_is_an_error_and_leaves_nothing_bound(
    clock: ManualClock,
) -> None:
    """By whichever of the two it is taken."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        other = SipServer(ServerConfig(host="127.0.0.1", port=port), clock)

        with pytest.raises(OSError, match="in use"):
            await other.start()
        with pytest.raises(OSError, match="in use"):
            await probe("127.0.0.1", port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))


@requirement("E1")
async def test_e1_probing_a_free_port_leaves_it_free() -> None:
    """Whatever it is probed for."""
    port = free_port()

    await probe("127.0.0.1", port)
    await probe_tls("127.0.0.1", port)
    await probe("127.0.0.1", port)


@requirement("E1", "E13")
async def test_e1_probing_for_tls_needs_no_udp() -> None:
    """TLS goes over TCP alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        port = free_port()
        udp.bind(("127.0.0.1", port))
        await probe_tls("127.0.0.1", port)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        await probe_tls("127.0.0.1", taken.getsockname()[1])


# Where answers go


@requirement("E2")
@pytest.mark.parametrize(
    ("sent_by", "received"),
    [
        ("phone.example", True),
        ("192.0.2.1", True),
        ("127.0.0.1", False),
        ("127.0.0.2", True),
    ],
)
async def test_e2_received_where_the_via_names_another_host(
    caller: Caller, sent_by: str, received: bool
) -> None:
    """Names count as another host."""
    sent_by = f"{sent_by}:{caller.local[1]}"
    data = caller.request("OPTIONS", headers=via_of(caller, sent_by))

    via = (await caller.ask(data)).get("Via")

    assert parameter(via, "received") == ("127.0.0.1" if received else "")
    assert via.startswith(f"SIP/2.0/UDP {sent_by};branch=")


@requirement("E2")
async def test_e2_always_received_with_rport(caller: Caller) -> None:
    """Even where the Via is right (RFC 3581 4)."""
    via = (await caller.ask(caller.request("OPTIONS"))).get("Via")

    assert parameter(via, "received") == "127.0.0.1"
    assert parameter(via, "rport") == str(caller.local[1])


@requirement("E2")
@pytest.mark.parametrize("rport", [";rport", ";rport=1", "; rport = 1 ", ";RPort"])
async def test_e2_a_forged_received_is_replaced(caller: Caller, rport: str) -> None:
    """What the sender writes there does not count."""
    headers = via_of(caller, "h:9", f";received=192.0.2.66{rport};x=y")

    via = (await caller.ask(caller.request("OPTIONS", headers=headers))).get("Via")

    assert via.lower().count("received") == via.lower().count("rport") == 1
    assert parameter(via, "received") == "127.0.0.1"
    assert parameter(via, "rport") == str(caller.local[1])
    assert has_parameter(via, "x")


@requirement("E3")
async def test_e3_with_rport_the_answer_goes_to_the_source(
    caller: Caller, server: SipServer
) -> None:
    """From the address and port that were written to."""
    data = caller.request("OPTIONS", headers=via_of(caller, "127.0.0.1:9", ";rport"))

    response = await caller.ask(data)

    assert response.status == 200
    assert caller.source == ("127.0.0.1", server.port)


@requirement("E4")
@pytest.mark.parametrize("maddr", ["", ";maddr=127.0.0.3", ";maddr=192.0.2.1"])
async def test_e4_without_rport_the_answer_goes_to_the_port_of_the_via(
    caller: Caller, colleague: Caller, maddr: str
) -> None:
    """At the source's address, whatever maddr says."""
    sent_by = f"192.0.2.1:{colleague.local[1]}"
    data = caller.request("OPTIONS", headers=via_of(caller, sent_by, maddr))

    caller.send(data)
    response = await colleague.next_response()

    assert response.status == 200
    await caller.nothing()


@requirement("E4")
async def test_e4_without_a_port_it_is_5060(caller: Caller, server: SipServer) -> None:
    """The default of SIP."""
    data = caller.request("OPTIONS", headers=via_of(caller, "phone.example"))
    request = parse_ours(data)
    assert isinstance(request, OurRequest)
    flow = server._transports._udp[0].flow_to("127.0.0.1", caller.local[1])

    assert way_of_answer(request.via, flow).remote == ("127.0.0.1", 5060)


@requirement("E5")
@pytest.mark.parametrize("sent_by", ["127.0.0.1:9", "phone.example", "192.0.2.1"])
async def test_e5_on_a_stream_the_answer_takes_the_same_connection(
    stream: Caller, sent_by: str
) -> None:
    """Whatever the Via says."""
    data = stream.request("OPTIONS", headers=via_of(stream, sent_by))

    assert (await stream.ask(data)).status == 200


@requirement("E5")
async def test_e5_a_connection_that_is_closed_does_no_harm(
    stream: Caller, caller: Caller
) -> None:
    """What was still to be read is processed, and its answers are lost."""
    await stream.log_in()
    stream.send(stream.signed_request("REGISTER") + stream.request("OPTIONS") * 3)
    await stream.close()

    assert (await caller.ask(caller.request("OPTIONS"))).status == 200


def lost_request(
    stream: Caller, method: str, port: int, body: bytes = b""
) -> tuple[bytes, str]:
    """Return a signed request that wants its answer at a port, and its branch."""
    headers = via_of(stream, f"phone.example:{port}")
    headers["Contact"] = f"<sip:201@127.0.0.1:{port};transport=tcp>"
    data = stream.signed_request(method, headers, body)
    return data, parse(data).branch


@requirement("E5")
async def test_e5_an_answer_whose_connection_is_gone_opens_one(
    stream: Caller, caller: Caller
) -> None:
    """To where the request came from, at the port of its Via; one for all answers."""
    await stream.log_in()
    async with await ListeningPeer.open() as phone:
        requests = [lost_request(stream, "REGISTER", phone.port) for _ in range(3)]
        stream.send(b"".join(data for data, _ in requests))
        stream.reset()

        answers = [await phone.next_response() for _ in requests]
        await caller.settle()

        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.branch for answer in answers] == [name for _, name in requests]
        assert len(phone.links) == 1


@requirement("E5")
async def test_e5_an_answer_whose_connection_is_gone_takes_one_that_is_there(
    stream: Caller, connect: Connect
) -> None:
    """The phone has opened it, from the port that its Via names."""
    other = await connect("tcp")
    await stream.log_in()
    data, name = lost_request(stream, "REGISTER", other.local[1])
    stream.send(data)
    stream.reset()

    answer = await other.next_response()

    assert (answer.status, answer.branch) == (200, name)


@requirement("E5")
async def test_e5_a_phone_that_connects_from_the_port_it_listens_on(
    connect: Connect,
) -> None:
    """The connection that is gone is not taken for the one to that port."""
    # A port that the kernel chooses may be shared with connections of other programs,
    # and then nobody can listen there.
    stream = await connect("tcp", local=("127.0.0.1", free_port()))
    await stream.log_in()
    stream.share_port()
    async with await ListeningPeer.open(port=stream.local[1]) as phone:
        data, name = lost_request(stream, "REGISTER", phone.port)
        stream.send(data)
        stream.reset()

        answer = await phone.next_response()

        assert (answer.status, answer.branch) == (200, name)


@requirement("E5")
async def test_e5_what_is_asked_for_is_done_and_told(
    stream: Caller, reception: Line
) -> None:
    """The answer comes by the new connection, and the NOTIFY after it."""
    await stream.log_in()
    async with await ListeningPeer.open() as phone:
        data, _ = lost_request(stream, "SUBSCRIBE", phone.port, light(True))
        stream.send(data)
        stream.reset()

        answer = await phone.next_response()
        notify = await phone.next_request()

        assert answer.status == 200
        assert echoed(notify) == {LIGHT: "on"}
        assert reception.watchers == 1
        assert len(phone.links) == 1


@requirement("E5")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"])
async def test_e5_no_connection_is_opened_to_who_was_not_let_in(
    stream: Caller, caller: Caller, method: str
) -> None:
    """Answers to strangers are lost with their connection."""
    async with await ListeningPeer.open() as phone:
        headers = via_of(stream, f"127.0.0.1:{phone.port}")
        stream.send(stream.request(method, headers=headers))
        stream.reset()
        await caller.settle()
        await settle()

        assert not phone.links


@requirement("E5")
async def test_e5_nobody_at_the_port_of_the_via_does_no_harm(
    stream: Caller, server: SipServer, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is dropped; what it is about has happened."""
    await stream.log_in()
    data, _ = lost_request(stream, "REGISTER", free_port())
    stream.send(data)
    stream.reset()
    await caller.settle()
    await settle()

    query = await caller.call("REGISTER", {"Contact": None})
    assert query.has("Contact")
    assert not server._transports._outgoing
    # asyncio tells how slow the machine is.
    assert not [
        record
        for record in caplog.records
        if record.levelno > logging.INFO and record.name != "asyncio"
    ]


@requirement("E5", "C7")
async def test_e5_connections_that_are_being_opened_are_limited(
    server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those are that are open: by host, and in all."""
    transports = server._transports
    near = GoneFlow("TCP", ("127.0.0.1", 9), ("127.0.0.1", 5060))
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS_PER_SOURCE", 2)
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 3)

    def opens(host: str, port: int) -> bool:
        try:
            return not transports.flow_to("TCP", host, port, near).closed
        except FlowError:
            return False

    async with await ListeningPeer.open() as phone:
        ports = [phone.port, 9, 10, phone.port]
        assert [opens("127.0.0.1", port) for port in ports] == [True, True, False, True]
        assert [opens("127.0.0.2", port) for port in (9, 10)] == [True, False]


@requirement("E5")
@pytest.mark.parametrize(
    ("transport", "port"), [("UDP", 5060), ("TCP", 5060), ("TLS", 5061)]
)
def test_e5_the_port_where_the_via_names_none(transport: str, port: int) -> None:
    """The one of the transport."""
    assert default_port(transport) == port


# Streams


@requirement("E6")
async def test_e6_a_message_may_come_octet_by_octet(stream: Caller) -> None:
    """With its body."""
    await stream.log_in()
    data = stream.signed_request("SUBSCRIBE", body=light(True))

    for index in range(len(data)):
        stream.send(data[index : index + 1])
        if not index % 16:
            await asyncio.sleep(0)
    response = await stream.next_response()

    assert response.status == 200
    assert echoed(await stream.next_request()) == {LIGHT: "on"}


@requirement("E6")
async def test_e6_several_messages_may_come_in_one_segment(stream: Caller) -> None:
    """Each is answered, in order."""
    requests = [stream.request("OPTIONS") for _ in range(3)]

    stream.send(b"".join(requests))
    answers = [await stream.next_response() for _ in requests]

    asked = [parse(data).call_id for data in requests]
    assert [answer.call_id for answer in answers] == asked


@requirement("E6")
async def test_e6_no_content_length_on_a_stream_is_none(stream: Caller) -> None:
    """The next message begins behind the empty line."""
    data = stream.request("OPTIONS", headers={"Content-Length": None})

    stream.send(data * 2)
    answers = [await stream.next_response() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]


@requirement("E7")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("lead", [b"\r\n", b"\r\n" * 2, b"\n", b"\r\n" * 7])
async def test_e7_empty_lines_before_a_start_line_are_ignored(
    connect: Connect, transport: str, lead: bytes
) -> None:
    """The request behind them is answered."""
    caller = await connect(transport)

    response = await caller.ask(lead + caller.request("OPTIONS"))

    assert response.status == 200


@requirement("E8")
@pytest.mark.parametrize(
    ("pieces", "pongs"),
    [
        ([b"\r\n\r\n"], 1),
        ([b"\r\n", b"\r\n"], 1),
        ([b"\r", b"\n\r", b"\n"], 1),
        ([b"\r\n\r\n\r\n\r\n"], 2),
        ([b"\r\n"], 0),
    ],
)
async def test_e8_a_ping_gets_a_pong(
    stream: Caller, pieces: list[bytes], pongs: int
) -> None:
    """A double CRLF gets a single one; a single CRLF gets nothing."""
    for piece in pieces:
        stream.send(piece)
        await asyncio.sleep(0.005)
    await stream.nothing()

    assert stream.pongs == pongs


@requirement("E8", "E9")
@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\x00",
        b"\x00" * 4,
        b" ",
        bytes.fromhex("000100002112a442") + b"0123456789ab",
        bytes.fromhex("0101000c2112a442") + b"0123456789abcdef01234567",
    ],
    ids=["empty", "crlf", "ping", "nul", "nuls", "space", "stun", "stun answer"],
)
async def test_e8_keepalives_over_udp_are_ignored(
    caller: Caller, caplog: pytest.LogCaptureFixture, datagram: bytes
) -> None:
    """Nothing comes back, and nothing is logged."""
    caplog.set_level(logging.INFO, "custom_components.dfks")

    for _ in range(3):
        caller.send(datagram)

    await caller.nothing()
    assert not [r for r in caplog.records if r.name.startswith("custom_components")]


@requirement("E10")
@pytest.mark.parametrize("length", ["-1", "x", "", "1 2"])
async def test_e10_a_stream_that_cannot_be_framed_is_told_and_closed(
    stream: Caller, length: str
) -> None:
    """400, and the end of the connection."""
    stream.send(stream.request("OPTIONS", headers={"Content-Length": length}))
    response = await stream.next_response()

    assert response.status == 400
    await stream.wait_closed()


@requirement("E10", "A23")
@pytest.mark.parametrize("length", ["65535", "99999999999", "9" * 5_000])
@pytest.mark.parametrize("method", ["OPTIONS", "SUBSCRIBE", "MESSAGE"])
async def test_e10_a_message_over_the_limit_is_413_and_closed(
    stream: Caller, method: str, length: str
) -> None:
    """Its body is not waited for."""
    stream.send(stream.request(method, headers={"Content-Length": length}))
    response = await stream.next_response()

    assert response.status == 413
    await stream.wait_closed()


@requirement("E10", "A23")
async def test_e10_a_head_over_the_limit_is_413_and_closed(stream: Caller) -> None:
    """Also where it does not end."""
    stream.send(stream.request("OPTIONS", headers={"X-Large": "x" * 70_000})[:-2])
    response = await stream.next_response()

    assert response.status == 413
    await stream.wait_closed()


@requirement("E10", "B21")
@pytest.mark.parametrize("start", ["ACK sip:h SIP/2.0", "SIP/2.0 200 OK", "x"])
async def test_e10_what_must_not_be_answered_is_closed_only(
    stream: Caller, start: str
) -> None:
    """However large it is."""
    data = stream.request("ACK", headers={"Content-Length": "99999"})
    stream.send(start.encode() + data[data.index(b"\r\n") :])

    await stream.wait_closed()
    with pytest.raises(PhoneError):
        await stream.next(0.01)


@requirement("E10")
async def test_e10_two_lengths_on_a_stream_are_told_and_closed(stream: Caller) -> None:
    """Nobody knows where the next message begins."""
    stream.send(stream.request("OPTIONS", headers={"Content-Length": ["0", "5"]}))

    assert (await stream.next_response()).status == 400
    await stream.wait_closed()


@requirement("E10", "A23")
async def test_e10_a_head_without_end_is_cut_off(stream: Caller) -> None:
    """More than 64 KiB and still no empty line."""
    stream.send(b"OPTIONS sip:h SIP/2.0\r\n" + b"X: y\r\n" * 12_000)

    await stream.wait_closed()


@requirement("E10")
async def test_e10_half_a_message_has_30_seconds(
    stream: Caller, clock: ManualClock
) -> None:
    """Further octets do not put that off."""
    await stream.settle()
    half = stream.request("OPTIONS")[:-10]
    for index in range(6):
        stream.send(half[index * 10 : index * 10 + 10])
        await asyncio.sleep(0.01)
        clock.advance(4.9)
    assert not stream.closed.is_set()

    clock.advance(6)

    await stream.wait_closed()


@requirement("E10")
async def test_e10_a_stranger_has_a_minute_and_a_phone_two_hours(
    connect: Connect, clock: ManualClock
) -> None:
    """Connections that say nothing are closed."""
    stranger, phone = await connect("tcp"), await connect("tcp")
    await phone.call("REGISTER")
    await stranger.settle()

    clock.advance(66)
    await stranger.wait_closed()
    await phone.settle()
    clock.advance(7_000)
    await phone.settle()
    clock.advance(7_300)

    await phone.wait_closed()


@requirement("C7")
async def test_c7_connections_of_one_source_are_limited(
    connect: Connect, server: SipServer
) -> None:
    """The next one is closed; those that are there stay."""
    callers = [await connect("tcp") for _ in range(64)]
    for caller in callers:
        await caller.settle()

    extra = await connect("tcp")

    await extra.wait_closed()
    assert len(server._transports._streams) == 64
    await callers[0].settle()


@requirement("E11", "E14", "G22")
async def test_e11_a_notify_takes_the_phones_own_connection(stream: Caller) -> None:
    """Its Contact leads nowhere: it is behind NAT."""
    subscribed = await stream.subscribe(
        {"Contact": "<sip:201@192.0.2.77:5060;transport=tcp>"}
    )

    assert subscribed.first.uri == "sip:201@192.0.2.77:5060;transport=tcp"


@requirement("E11")
async def test_e11_alias_is_not_honoured(connect: Connect, caller: Caller) -> None:
    """Nobody may divert another's NOTIFYs by claiming his port (RFC 5923 4)."""
    intruder = await connect("tcp")
    claimed = f"127.0.0.1:{caller.local[1]}"
    headers = via_of(intruder, claimed, ";alias")
    await intruder.ask(intruder.request("OPTIONS", headers=headers))

    await caller.subscribe()

    await intruder.nothing()


# Where NOTIFYs go


def stand_for(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Have the resolver know a name; other names are numeric."""
    known = socket.getaddrinfo

    def look_up(
        host: str, port: int, family: int = 0, type: int = 0, *_: int, **__: int
    ) -> list[tuple[object, ...]]:
        hosts = addresses if host == name else (host,)
        return [
            entry
            for address in hosts
            for entry in known(address, port, socket.AF_INET, type)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@requirement("E14")
async def test_e14_udp_to_the_contact_of_the_host_that_wrote(
    caller: Caller, colleague: Caller
) -> None:
    """The port of the Contact counts, not that of the SUBSCRIBE."""
    response = await caller.call("SUBSCRIBE", {"Contact": colleague.contact})

    notify = await colleague.next_request()

    assert response.status == 200
    assert f"<{notify.uri}>" == colleague.contact
    await caller.nothing()


@requirement("E14")
@pytest.mark.parametrize("host", ["192.0.2.9", "phone.local", "127.0.0.2", "[::1]"])
async def test_e14_udp_to_the_source_where_the_contact_is_another_host(
    caller: Caller, host: str
) -> None:
    """That gets through NAT; the Request-URI is the Contact all the same."""
    subscribed = await caller.subscribe({"Contact": f"<sip:201@{host}:5070>"})

    assert subscribed.first.uri == f"sip:201@{host}:5070"


@requirement("E14")
async def test_e14_a_contact_without_a_port_means_5060(connect: Connect) -> None:
    """As every SIP URI does."""
    # An address of its own: another suite may have the port as well.
    host = f"127.1.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
    try:
        listening = await connect(local=(host, 5060))
    except OSError:
        pytest.skip(f"Port 5060 of {host} cannot be bound here")
    caller = await connect(local=(host, 0))

    await caller.call("SUBSCRIBE", {"Contact": f"<sip:201@{host}>"})

    assert (await listening.next_request()).uri == f"sip:201@{host}"


@requirement("E14")
async def test_e14_the_top_route_comes_first(caller: Caller, colleague: Caller) -> None:
    """Also before the phone's own connection."""
    host, port = colleague.local
    await caller.call("SUBSCRIBE", {"Record-Route": f"<sip:{host}:{port};lr>"})

    notify = await colleague.next_request()

    assert f"<{notify.uri}>" == caller.contact
    await caller.nothing()


TRUSTED = ServerConfig(
    host="127.0.0.1", port=0, trusted_proxies=parse_networks("127.0.0.2")
)


@requirement("E14")
@pytest.mark.parametrize("way", [";lr", "", ";transport=tcp;lr"])
async def test_e14_a_route_to_a_host_that_nobody_knows_is_not_followed(
    caller: Caller, connect: Connect, way: str
) -> None:
    """Nobody with a password may have messages sent to others."""
    victim = await connect(local=("127.0.0.2", 0))
    uri = f"sip:127.0.0.2:{victim.local[1]}{way}"

    await caller.call("SUBSCRIBE", {"Record-Route": f"<{uri}>"})
    notify = await caller.next_request()

    # The first is how a strict router is asked to pass it on.
    assert uri == notify.uri or notify.values("Route") == [f"<{uri}>"]
    await victim.nothing()


@requirement("E14", "E15")
async def test_e14_a_name_leads_to_no_other_host_either(
    caller: Caller, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it stands for no address that is known, the way back has to do."""
    victim = await connect(local=("127.0.0.2", 0))
    await caller.log_in()
    stand_for(monkeypatch, "proxy.example", "127.0.0.2")
    route = f"<sip:proxy.example:{victim.local[1]};lr>"

    await caller.call("SUBSCRIBE", {"Record-Route": route})

    assert (await caller.next_request()).values("Route") == [route]
    await victim.nothing()


@requirement("E14", "E15")
async def test_e14_no_connection_is_opened_to_a_name_of_another_host(
    caller: Caller, reception: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent in its place: the Route is over TCP."""
    async with await ListeningPeer.open(host="127.0.0.2") as victim:
        await caller.log_in()
        stand_for(monkeypatch, "proxy.example", "127.0.0.2")
        route = f"<sip:proxy.example:{victim.port};transport=tcp;lr>"

        await caller.call("SUBSCRIBE", {"Record-Route": route})
        await disconnected(reception)

        assert not victim.links


@requirement("E14", "E15")
async def test_e14_of_the_addresses_of_a_name_the_known_one_is_taken(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may have several."""
    await caller.log_in()
    stand_for(monkeypatch, "proxy.example", "192.0.2.1", "127.0.0.1")
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:proxy.example:{proxy.port};transport=tcp;lr>"

        await caller.call("SUBSCRIBE", {"Record-Route": route})

        assert (await proxy.next_request()).values("Route") == [route]


@requirement("E14")
@pytest.mark.parametrize("config", [TRUSTED], ids=["trusted"])
async def test_e14_a_route_to_a_trusted_proxy_is_followed(
    caller: Caller, connect: Connect
) -> None:
    """Wherever the SUBSCRIBE came from."""
    proxy = await connect(local=("127.0.0.2", 0))
    route = f"<sip:127.0.0.2:{proxy.local[1]};lr>"

    await caller.call("SUBSCRIBE", {"Record-Route": route})

    assert (await proxy.next_request()).values("Route") == [route]
    await caller.nothing()


@requirement("E14")
@pytest.mark.parametrize("user", ["201", "202"])
async def test_e14_a_route_to_where_phones_of_the_line_write_from_is_followed(
    caller: Caller, connect: Connect, user: str
) -> None:
    """Not to where those of another line are."""
    other = await connect(user=user, local=("127.0.0.2", 0))
    await other.call("REGISTER")
    route = f"<sip:127.0.0.2:{other.local[1]};lr>"

    await caller.call("SUBSCRIBE", {"Record-Route": route})

    there, nowhere = (other, caller) if user == "201" else (caller, other)
    assert (await there.next_request()).values("Route") == [route]
    await nowhere.nothing()


@requirement("E14")
@pytest.mark.parametrize("host", ["127.0.0.2", "phone.example"])
async def test_e14_a_lost_phone_is_not_called_at_another_host(
    stream: Caller,
    clock: ManualClock,
    reception: Line,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    """Its Contact is its own word; what it connected from is not."""
    async with await ListeningPeer.open(host="127.0.0.2") as victim:
        contact = f"<sip:201@{host}:{victim.port};transport=tcp>"
        await stream.subscribe({"Contact": contact})
        stand_for(monkeypatch, "phone.example", "127.0.0.2")
        await stream.close()
        await disconnected(reception)

        clock.advance(300)
        await asyncio.sleep(0)
        clock.advance(32)
        await settle()

        assert not victim.links
        assert not reception.connected


@requirement("E14")
@pytest.mark.parametrize(
    ("scheme", "transport"),
    [("sip", "sctp"), ("sip", "ws"), ("sip", "tls"), ("sips", "tcp")],
)
async def test_e14_no_way_by_a_transport_that_is_not_there(
    caller: Caller, reception: Line, scheme: str, transport: str
) -> None:
    """Nothing is sent in the clear in its place."""
    async with await ListeningPeer.open() as proxy:
        route = f"<{scheme}:127.0.0.1:{proxy.port};transport={transport};lr>"

        response = await caller.call("SUBSCRIBE", {"Record-Route": route})
        await settle()

        assert response.status == 400
        assert not reception.connected
        assert not proxy.links


@requirement("E14")
async def test_e14_a_route_over_tcp_opens_a_connection(caller: Caller) -> None:
    """And the next NOTIFY takes the same."""
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"

        response = await caller.call("SUBSCRIBE", {"Record-Route": route})
        first = await proxy.next_request()
        await caller.settle()
        changed = await caller.subscribe_again(response, light(True))
        second = await proxy.next_request()

        assert changed.status == 200
        assert first.values("Route") == [route]
        assert echoed(second) == {LIGHT: "on"}
        assert len(proxy.links) == 1


@requirement("E14")
async def test_e14_a_stream_through_a_proxy_is_used_again(stream: Caller) -> None:
    """A Route that leads to the host of the connection takes the connection."""
    await stream.subscribe({"Record-Route": "<sip:127.0.0.1:9;transport=tcp;lr>"})


@requirement("E14")
async def test_e14_a_phone_whose_nat_gave_it_another_port_is_found(
    caller: Caller, colleague: Caller
) -> None:
    """NOTIFYs follow the source of the last request."""
    contact = {"Contact": "<sip:201@192.0.2.9>"}
    subscribed = await caller.subscribe(contact)
    data = caller.sign(subscribed.request(contact, light(True)))

    response = await colleague.ask(data)

    assert response.status == 200
    assert echoed(await colleague.next_request()) == {LIGHT: "on"}
    await caller.nothing()


CONTACT = "<sip:201@192.0.2.7:5060;transport=tcp>"
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-0004f2{}>"'
MINE, ANOTHERS = INSTANCE.format("000001"), INSTANCE.format("000002")


@requirement("E14", "F16")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CONTACT, CONTACT),
        (CONTACT, f"{CONTACT};{MINE}"),
        (f"{CONTACT};{MINE}", f"<sip:201@192.0.2.8;transport=tcp>;{MINE}"),
    ],
    ids=["Contact", "Contact of a REGISTER with instance", "instance"],
)
async def test_e14_a_phone_that_comes_back_over_a_new_connection(
    connect: Connect, reception: Line, before: str, after: str
) -> None:
    """It is told everything there, as soon as it is heard."""
    first = await connect("tcp")
    subscribed = await first.subscribe({"Contact": before})
    await first.close()
    await disconnected(reception)

    second = await connect("tcp")
    await second.call("REGISTER", {"Contact": after})
    notify = await second.next_request()

    assert list(echoed(notify)) == TOPICS
    assert notify.cseq[0] > subscribed.first.cseq[0]
    assert reception.connected


@requirement("E14", "F16")
@pytest.mark.parametrize(
    ("mine", "anothers"),
    [
        (CONTACT, "<sip:201@192.0.2.8:5060;transport=tcp>"),
        (CONTACT, None),
        (f"{CONTACT};{MINE}", f"{CONTACT};{ANOTHERS}"),
    ],
    ids=["Contact", "no Contact", "instance"],
)
async def test_e14_a_phone_beside_a_lost_one_does_not_get_its_notifies(
    connect: Connect, reception: Line, mine: str, anothers: str | None
) -> None:
    """Two behind one NAT have one address; the lost one is told when it is back."""
    first = await connect("tcp")
    subscribed = await first.subscribe({"Contact": mine})
    await first.close()
    await disconnected(reception)
    second = await connect("tcp")

    await second.call("REGISTER", {"Contact": anothers})
    await second.nothing()
    back = await connect("tcp")
    await back.call("REGISTER", {"Contact": mine})

    assert (await back.next_request()).call_id == subscribed.response.call_id


@requirement("E14", "F16")
async def test_e14_a_connection_with_another_phones_dialog_is_that_phones(
    connect: Connect, reception: Line
) -> None:
    """A Contact alone does not make it the lost phone's as well."""
    first = await connect("tcp")
    await first.subscribe({"Contact": CONTACT})
    second = await connect("tcp")
    await second.subscribe({"Contact": "<sip:201@192.0.2.8:5060;transport=tcp>"})
    await first.close()
    await watched_by(reception, 1)

    await second.call("REGISTER", {"Contact": CONTACT})

    await second.nothing()


@requirement("E14", "E13")
@pytest.mark.parametrize("contact", [CONTACT, f"{CONTACT};{MINE}"])
async def test_e14_what_was_told_over_a_stream_is_not_told_over_udp(
    connect: Connect, caller: Caller, reception: Line, contact: str
) -> None:
    """A REGISTER does not move a dialog to another transport."""
    first = await connect("tcp")
    await first.subscribe({"Contact": contact})
    await first.close()
    await disconnected(reception)

    await caller.call("REGISTER", {"Contact": contact})

    await caller.nothing()


@requirement("E14", "F16")
async def test_e14_a_contact_behind_another_nat_is_another_phone(
    connect: Connect, reception: Line
) -> None:
    """Private addresses are the same everywhere."""
    first = await connect("tcp")
    await first.subscribe({"Contact": CONTACT})
    await first.close()
    await disconnected(reception)
    second = await connect("tcp", local=("127.0.0.2", 0))

    await second.call("REGISTER", {"Contact": CONTACT})

    await second.nothing()


@requirement("E14", "F16")
async def test_e14_a_lost_phone_is_called_at_its_contact(
    stream: Caller, clock: ManualClock, reception: Line
) -> None:
    """Five minutes after it took no connection there, over one of the server's own."""
    port = free_port()
    contact = f"<sip:201@127.0.0.1:{port};transport=tcp>"
    await stream.subscribe({"Contact": contact})
    await stream.close()
    await disconnected(reception)
    async with await ListeningPeer.open(port=port) as phone:
        clock.advance(300)
        notify = await phone.next_request()

        assert f"<{notify.uri}>" == contact
        assert list(echoed(notify)) == TOPICS
        assert reception.connected


@requirement("E14", "F16", "F21")
@pytest.mark.parametrize("more", [0, 1])
async def test_e14_a_phone_that_comes_back_too_late_leaves_nothing_behind(
    connect: Connect, server: SipServer, clock: ManualClock, reception: Line, more: int
) -> None:
    """Its subscription ends with what is tried at its Contact; another is told so."""
    port = free_port()
    first = await connect("tcp")
    contact = f"<sip:201@127.0.0.1:{port};transport=tcp>"
    headers = {"Contact": contact, "Expires": "320"}
    subscribed = await first.subscribe(headers)
    for number in range(more):
        await subscribed.send({**headers, "Event": f"echo;id={number}"})
        await subscribed.told()
    await first.close()
    await disconnected(reception)
    async with await ListeningPeer.open(port=port) as phone:
        clock.advance(300)
        await phone.next_request()
        clock.advance(20)

        second = await connect("tcp")
        await second.call("REGISTER", {"Contact": contact})
        ends = [await second.next_request() for _ in range(more)]
        for end in ends:
            second.answer(end)
        await second.settle()

    assert [reason_of(end) for end in ends] == ["timeout"] * more
    assert server.counters()["subscriptions"] == 0
    assert not server.notifier.subscriptions._by_stream


@requirement("E14")
async def test_e14_a_dialog_may_move_from_tcp_to_udp(
    stream: Caller, caller: Caller, reception: Line
) -> None:
    """What becomes of the connection is of no concern then."""
    subscribed = await stream.subscribe()
    data = stream.sign(subscribed.request({"Contact": caller.contact}))

    response = await caller.ask(data)
    notify = await caller.next_request()
    caller.answer(notify)
    await stream.close()
    await caller.settle()

    assert response.status == 200
    assert reception.connected


@requirement("E14", "F16")
async def test_e14_a_route_outlives_the_connection_of_the_subscribe(
    stream: Caller, caller: Caller, reception: Line
) -> None:
    """A proxy closes what is idle; it is connected to when there is something to tell."""
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"
        await stream.subscribe({"Record-Route": route})
        await stream.close()
        await caller.settle()
        connected = reception.connected

        await caller.subscribe(body=light(True))
        notify = await proxy.next_request()

        assert connected
        assert notify.values("Route") == [route]
        assert echoed(notify)[LIGHT] == "on"


@requirement("E14")
async def test_e14_a_dialog_with_a_route_does_not_move_to_a_new_connection(
    stream: Caller, connect: Connect, caller: Caller
) -> None:
    """The next connection from the proxy's address may be another phone's."""
    async with await ListeningPeer.open() as proxy:
        route = f"<sip:127.0.0.1:{proxy.port};transport=tcp;lr>"
        await stream.subscribe({"Record-Route": route})
        await stream.close()
        other = await connect("tcp")
        await other.call("REGISTER")

        await caller.subscribe(body=light(True))
        notify = await proxy.next_request()

        assert notify.values("Route") == [route]
        await other.nothing()


@requirement("E14", "E15")
async def test_e14_a_proxy_named_by_host_is_reached_by_its_connection(
    stream: Caller,
) -> None:
    """Its name need not be known here."""
    route = "<sip:proxy.invalid;transport=tcp;lr>"

    subscribed = await stream.subscribe({"Record-Route": route})

    assert subscribed.first.values("Route") == [route]


@requirement("B16", "B19")
async def test_b16_the_contact_names_the_transport_of_each_phone(
    stream: Caller, caller: Caller, server: SipServer
) -> None:
    """A line's phones on TCP and UDP are told by turns."""
    over_tcp = await stream.subscribe()
    over_udp = await caller.subscribe()

    told = []
    for subscribed in (over_tcp, over_udp):
        response = await subscribed.send(body=light(True))
        told += [response.get("Contact"), (await subscribed.told()).get("Contact")]

    contact = f"sip:201@127.0.0.1:{server.port}"
    assert told == [f"<{contact};transport=tcp>"] * 2 + [f"<{contact}>"] * 2


# Names


@requirement("E15")
async def test_e15_a_name_is_looked_up_beside_the_event_loop(caller: Caller) -> None:
    """A Route by name gets its NOTIFY, and the next one without a look-up."""
    route = f"<sip:localhost:{caller.local[1]};lr>"

    subscribed = await caller.subscribe({"Record-Route": route})
    await subscribed.send(body=light(True))
    second = await subscribed.told()

    assert subscribed.first.values("Route") == second.values("Route") == [route]


@requirement("E15", "D11")
async def test_e15_an_unknown_name_is_a_failure(
    caller: Caller, reception: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone is suspended; nothing else is held up."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    await caller.log_in()
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await caller.call("SUBSCRIBE", {"Record-Route": "<sip:nowhere.example;lr>"})
    await disconnected(reception)

    assert (await caller.ask(caller.request("OPTIONS"))).status == 200


# Several addresses


@requirement("E16")
@IPV6
@pytest.mark.parametrize(
    "config", [ServerConfig(host="127.0.0.1, ::1", port=0)], ids=["both"]
)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_e16_ipv4_and_ipv6(
    connect: Connect, server: SipServer, transport: str, host: str
) -> None:
    """A phone's whole life on either, in the addresses of its kind."""
    caller = await connect(transport, host=host)
    shown = "[::1]" if host == "::1" else host
    suffix = ";transport=tcp" if transport == "tcp" else ""

    registered = await caller.call("REGISTER")
    subscribed = await caller.subscribe()
    await subscribed.send(body=light(True))
    notify = await subscribed.told()

    contact = f"<sip:201@{shown}:{server.port}{suffix}>"
    assert registered.status == 200
    assert subscribed.response.get("Contact") == notify.get("Contact") == contact
    assert f" {shown}:{server.port};" in notify.get("Via")
    assert parameter(subscribed.response.get("Via"), "received") == host
    assert echoed(notify) == {LIGHT: "on"}


@requirement("E16")
@pytest.mark.parametrize("config", [ServerConfig(host="0.0.0.0", port=0)], ids=["any"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
async def test_e16_on_a_wildcard_answers_come_from_the_address_written_to(
    connect: Connect, server: SipServer, transport: str, host: str
) -> None:
    """And it is the one in Contact and Via: 0.0.0.0 is of no use to anyone."""
    caller = await connect(transport, host=host)

    subscribed = await caller.subscribe()

    assert caller.source == (host, server.port)
    for message in (subscribed.response, subscribed.first):
        assert f"@{host}:{server.port}" in message.get("Contact")
    assert f" {host}:{server.port};" in subscribed.first.get("Via")


@requirement("E16")
@IPV6
@pytest.mark.parametrize("config", [ServerConfig(host="::", port=0)], ids=["any6"])
async def test_e16_on_an_ipv6_wildcard_too(connect: Connect, server: SipServer) -> None:
    """The local address of an IPv6 datagram is known as well."""
    caller = await connect(host="::1")

    subscribed = await caller.subscribe()

    assert caller.source == ("::1", server.port)
    assert f"@[::1]:{server.port}" in subscribed.first.get("Contact")


@requirement("E16")
@pytest.mark.parametrize("config", [replace(TRUSTED, host="0.0.0.0")], ids=["any"])
async def test_e16_a_notify_to_a_new_peer_has_a_real_address(
    stream: Caller, connect: Connect
) -> None:
    """Also where the SUBSCRIBE came over TCP and the Route leads over UDP."""
    proxy = await connect(local=("127.0.0.2", 0))
    await stream.call(
        "SUBSCRIBE", {"Record-Route": f"<sip:127.0.0.2:{proxy.local[1]};lr>"}
    )

    notify = await proxy.next_request()

    assert " 127.0.0.1:" in notify.get("Via")


async def test_flows_of_peers_are_kept_up_to_a_limit(
    connect: Connect, server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datagrams from ever new ports take no memory."""
    monkeypatch.setattr(udp, "MAX_FLOWS", 2)

    for _ in range(5):
        await (await connect()).settle()

    assert len(server._transports._udp[0]._flows) <= 2


async def test_more_peers_than_flows_are_kept_for_get_their_own(
    caller: Caller, stranger: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote in between, a NOTIFY goes where its SUBSCRIBE came from."""
    monkeypatch.setattr(udp, "MAX_FLOWS", 1)
    subscribed = await caller.subscribe()
    other = await stranger.subscribe()

    for peer in (subscribed, other, subscribed):
        await peer.send(body=light(True))

        assert echoed(await peer.told())[LIGHT] == "on"
    await caller.nothing()
    await stranger.nothing()
