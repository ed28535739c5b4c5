"""What goes wrong between a phone and its PBX, on purpose or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
import gc
import logging
import random
import tracemalloc

import pytest

from custom_components.dfks.sip.config import Experiment
from custom_components.dfks.sip.inspect.redaction import Aliases, redact_message
from custom_components.dfks.sip.inspect.trace import Trace
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.loopback import loopback_config
from tests.phone import PhoneTimeout, RawPeer, Request, Response, settle

from .mutations import mutated
from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nm=audio 40000 RTP/AVP 8\r\n"

# Seconds after which a peer sends again, and how often it does.
RESEND = 0.03
RESENDS = 40


async def drained(peer: RawPeer) -> int:
    """Wait until nothing comes any more; return how many messages came."""
    count = 0
    quiet = 0
    while quiet < 3:
        await settle()
        more = peer.drain()
        count += more
        quiet = 0 if more else quiet + 1
    return count


@pytest.mark.requirement("P71", "P15")
@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
async def test_a_pbx_that_is_this_server_is_a_loop(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    server: SipServer,
    pbx_config: PbxConfig,
    method: str,
) -> None:
    """482 after one turn; nothing goes round and round."""
    server.add_pbx(replace(pbx_config, port=server.port))
    assert (await registered.ask(registered.request(method))).status == 482
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P71")
async def test_a_pbx_on_the_same_machine_is_another_one(
    registered: ProxiedPhone, server: SipServer, pbx_config: PbxConfig
) -> None:
    """Its port tells it from this server."""
    assert pbx_config.host == server.proxy.upstreams["pbx-1"].addresses[0][0]
    assert (await registered.ask(registered.request("OPTIONS", _us(registered)))).status
    assert pbx_config.port != server.port


def _us(phone: RawPeer) -> str:
    return "sip:{}:{}".format(*phone.link.remote)


@pytest.mark.requirement("P73")
async def test_what_is_said_in_a_call_is_not_logged(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    server: SipServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether it is passed, refused, malformed or cannot be delivered."""
    caplog.set_level(logging.INFO, "custom_components.dfks")
    registration = await pbx_peer.register(registered)
    secret = {
        "From": "Grandmother <sip:201@pbx.example>;tag=g",
        "Authorization": 'Digest username="201", response="5ec2e7"',
    }
    target = "sip:+4930123456@pbx.example"
    for headers in ({}, {"Max-Forwards": "0"}, {"To": "<sip:+49"}, {"CSeq": "x"}):
        registered.send(registered.request("INVITE", target, secret | headers, SDP))
    pbx_peer.send(pbx_peer.call(registration, "INVITE", {"To": "<sip:+49"}, SDP))
    stranger = await RawPeer.open(("127.0.0.1", server.port), local=("127.0.0.2", 0))
    async with stranger:
        stranger.send(stranger.request("INVITE", target, secret, SDP))
        await stranger.next()
    await pbx_peer.close()
    await registered.ask(registered.request("INVITE", target, secret, SDP))
    for word in ("4930123456", "Grandmother", "5ec2e7", "192.0.2.77", "RTP/AVP"):
        assert word not in caplog.text


@pytest.mark.requirement("P73")
async def test_the_trace_tells_nothing_of_who_calls_whom(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, clock: ManualClock
) -> None:
    """Of a call that is passed it is the method, the way and the size."""
    trace = Trace(clock)
    server.trace(trace)
    registered.send(
        registered.request(
            "INVITE",
            "sip:+4930123456@pbx.example",
            {
                "From": "Grandmother <sip:201@pbx.example>;tag=g",
                "Authorization": 'Digest username="201", response="5ec2e7"',
                "Content-Type": "application/sdp",
            },
            SDP,
        )
    )
    await pbx_peer.next_request()
    aliases = Aliases()
    lines = [
        line
        for traced in trace
        for line in redact_message(
            traced.data, aliases, lambda *_: ["(body)"], sent=traced.sent
        )
    ]
    assert sum(line.startswith("INVITE ") for line in lines) == 2
    assert trace.sent_totals == {"passed": 1}
    for word in ("4930123456", "Grandmother", "5ec2e7", "192.0.2.77", "RTP/AVP"):
        assert word not in "\n".join(lines)


@pytest.mark.requirement("P74")
@pytest.mark.parametrize(
    "headers",
    [
        {"Via": ["SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1"] * 71},
        {"Record-Route": ["<sip:edge.example;lr>"] * 33},
    ],
    ids=["vias", "record-routes"],
)
async def test_a_message_with_too_many_hops_is_not_passed(
    registered: ProxiedPhone, pbx_peer: Pbx, headers: dict[str, list[str]]
) -> None:
    """More than 70 Vias or 32 Record-Routes."""
    registered.send(registered.request("INVITE", None, headers))
    await pbx_peer.silence()


@pytest.mark.requirement("P74")
@pytest.mark.parametrize("config", [loopback_config(experiment=Experiment())])
async def test_a_phone_that_sends_too_much_is_not_passed_for_ever(
    registered: ProxiedPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """Its source has an allowance, which it gets anew with time; the PBX has none."""
    for number in range(600):
        registered.send(registered.request("INFO"))
        if number % 10 == 9:
            # The PBX's socket would not hold all of them.
            await settle(0)
    assert 100 < await drained(pbx_peer) < 400
    clock.advance(10)
    registration = await pbx_peer.register(registered)
    for _ in range(400):
        pbx_peer.send(pbx_peer.call(registration, "OPTIONS"))
        assert (await registered.next_request()).method == "OPTIONS"


@pytest.mark.requirement("P107")
async def test_passing_starts_no_task(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """A message is gone when the socket's callback returns."""
    loop = asyncio.get_running_loop()
    began: list[object] = []
    registered.send(registered.request("INVITE"))
    pbx_peer.send((await pbx_peer.next_request()).response(200).encode())
    await registered.next_response()

    def note(
        loop: asyncio.AbstractEventLoop, work: object, **more: object
    ) -> asyncio.Task[object]:
        began.append(work)
        return asyncio.Task(work, loop=loop, **more)  # type: ignore[arg-type]

    loop.set_task_factory(note)  # type: ignore[arg-type]
    try:
        for _ in range(5):
            registered.send(registered.request("INVITE"))
            while not pbx_peer.drain():
                await asyncio.sleep(0)
    finally:
        loop.set_task_factory(None)
    assert not began


@pytest.mark.requirement("P108")
async def test_bindings_are_small(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, clock: ManualClock
) -> None:
    """At most 2 KiB each."""

    async def register(count: int) -> None:
        for number in range(count):
            user = f"u{number}"
            own = {
                "To": f"<sip:{user}@{DOMAIN}>",
                "From": f"<sip:{user}@{DOMAIN}>;tag=a",
                "Contact": f'<sip:{user}@127.0.0.1>;+sip.instance="<urn:uuid:{number}>"',
                "User-Agent": "Yealink SIP-T54W 96.86.0.100",
            }
            await pbx_peer.register(registered, own)

    await register(50)
    # What waits for answers to REGISTERs has gone.
    clock.advance(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        await register(300)
        clock.advance(100)
        gc.collect()
        after = tracemalloc.take_snapshot()
        ours = [tracemalloc.Filter(inclusive=True, filename_pattern="*/sip/*")]
        ours.append(tracemalloc.Filter(inclusive=False, filename_pattern="*/tests/*"))
        grown = sum(
            statistic.size_diff
            for statistic in after.filter_traces(ours).compare_to(
                before.filter_traces(ours), "filename"
            )
        )
    finally:
        tracemalloc.stop()
    assert len(server.proxy.location) == 301
    assert grown / 250 < 2048


@pytest.fixture
async def third(server: SipServer) -> AsyncIterator[RawPeer]:
    """Return a socket where nothing may come to; messages name it."""
    async with await RawPeer.open(
        ("127.0.0.1", server.port), local=("127.0.0.2", 0)
    ) as peer:
        yield peer


@pytest.mark.requirement("P109", "P64")
async def test_mutated_messages_do_no_harm(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    server: SipServer,
    third: RawPeer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No error of ours, nothing to somebody else, and calls go on afterwards."""
    chance = random.Random(1)
    registration = await pbx_peer.register(registered)
    registered.send(registered.request("INVITE", None, None, SDP))
    invite = await pbx_peer.next_request()
    seeds = {
        registered: [
            registered.request("REGISTER"),
            registered.request("INVITE", None, None, SDP),
            registered.request("SUBSCRIBE", None, {"Event": "dialog"}),
            registered.request("SUBSCRIBE"),
            registered.request("BYE", None, {"Route": invite.values("Record-Route")}),
        ],
        pbx_peer: [
            pbx_peer.call(registration, "INVITE", None, SDP),
            pbx_peer.call(registration, "NOTIFY", {"Event": "dialog"}),
            invite.response(200).encode(),
            registration.response(200).encode(),
        ],
    }
    name = f"127.0.0.2:{third.local[1]}".encode()
    for number in range(3000):
        peer = chance.choice([registered, pbx_peer])
        peer.send(
            mutated(chance.choice(seeds[peer]), chance).replace(b"127.0.0.2:9", name)
        )
        if number % 100 == 99:
            await asyncio.sleep(0.01)
    await third.silence()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    await drained(registered)
    await drained(pbx_peer)
    await pbx_peer.register(registered)
    registered.send(registered.request("INVITE"))
    assert (await pbx_peer.next_request()).method == "INVITE"


class Lossy:
    """One end of a call over a network that loses a fifth, each way."""

    def __init__(self, peer: RawPeer, seed: int) -> None:
        """Lose what the numbers of a seed say, whatever the other end does when."""
        self.peer = peer
        self._chance = random.Random(seed)
        self.lost = 0

    def send(self, data: bytes) -> None:
        """Send, or lose."""
        if self._chance.random() < 0.2:
            self.lost += 1
        else:
            self.peer.send(data)

    async def next(self, seconds: float) -> Request | Response | None:
        """Return what has come, unless it was lost."""
        try:
            message = await self.peer.next(seconds)
        except PhoneTimeout:
            return None
        if self._chance.random() < 0.2:
            self.lost += 1
            return None
        return message


async def insist(end: Lossy, data: bytes, method: str) -> Response:
    """Send a request until its final answer comes."""
    for _ in range(RESENDS):
        end.send(data)
        message = await end.next(RESEND)
        if (
            isinstance(message, Response)
            and message.status >= 200
            and message.cseq[1] == method
        ):
            return message
    raise AssertionError(f"no answer to {method}")


async def serve(end: Lossy, methods: list[str]) -> None:
    """Answer all requests with 200 for ever, and write down what has come."""
    while True:
        message = await end.next(60)
        if isinstance(message, Request):
            methods.append(f"{message.method} {message.call_id}")
            if message.method != "ACK":
                end.send(message.response(200).encode())


@pytest.mark.requirement("P110", "P23")
@pytest.mark.parametrize("direction", ["out", "in"])
async def test_calls_come_up_and_end_where_a_fifth_is_lost(
    registered: ProxiedPhone, pbx_peer: Pbx, direction: str
) -> None:
    """What the ends send again is all that it takes."""
    registration = await pbx_peer.register(registered)
    ends = Lossy(registered, 6), Lossy(pbx_peer, 7)
    calling, called = ends if direction == "out" else reversed(ends)
    methods: list[str] = []
    serving = asyncio.create_task(serve(called, methods))
    try:
        for number in range(25):
            own = {"Call-ID": f"call-{number}"}
            if direction == "out":
                invite = registered.request("INVITE", None, own)
            else:
                invite = pbx_peer.call(registration, "INVITE", own)
            answer = await insist(calling, invite, "INVITE")
            routes = {"Route": list(reversed(answer.values("Record-Route")))}
            more = own | {"To": f"{answer.get('To')};tag=x"} | routes
            for _ in range(RESENDS):
                # Each 200 that comes again gets its ACK.
                calling.send(calling.peer.request("ACK", _target(invite), more))
                if f"ACK call-{number}" in methods:
                    break
                await asyncio.sleep(RESEND)
            bye = calling.peer.request("BYE", _target(invite), more)
            await insist(calling, bye, "BYE")
            assert f"ACK call-{number}" in methods
    finally:
        serving.cancel()
    assert min(end.lost for end in ends) > 20


def _target(invite: bytes) -> str:
    return invite.split(b" ")[1].decode()
