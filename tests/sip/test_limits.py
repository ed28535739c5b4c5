"""Section I and what goes with it: floods, guessers, noise and other bad company."""

from collections.abc import Callable, Iterator
import ipaddress
import logging
import random
import time

import pytest

from custom_components.dfks.features.model import Line
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip.guard import Guard, parse_networks
from custom_components.dfks.sip.server import ServerConfig, SipServer, SourceLog
from tests.clock import ManualClock
from tests.phone import Request, parse, set_dnd
from tests.server import PASSWORDS

from .caller import Caller, Subscribed, reason_of
from .conftest import Connect

requirement = pytest.mark.requirement

LARGE = 60_000


def loopback_config(**settings: object) -> ServerConfig:
    """Return a configuration of a server on 127.0.0.1 with other settings."""
    return ServerConfig(host="127.0.0.1", port=0, **settings)  # type: ignore[arg-type]


# Sizes and times


def hostile() -> Iterator[tuple[str, str, str]]:
    """Return messages of 60 kB as name, header field and value."""
    yield "quotes", "From", '"' * LARGE
    yield "escapes", "From", '"' + "\\" * LARGE
    yield "escaped quotes", "From", '"' + '\\"' * (LARGE // 2)
    yield "open brackets", "From", "<" * LARGE
    yield "semicolons", "From", "<sip:a@h>" + ";" * LARGE
    yield "parameters", "To", "<sip:a@h>" + ";a=b" * (LARGE // 4)
    yield "quoted parameters", "To", "<sip:a@h>" + ';a="b' * (LARGE // 5)
    yield "commas", "Via", "SIP/2.0/UDP h;branch=z9hG4bKx" + "," * LARGE
    yield "spaces", "Via", "SIP/2.0/UDP" + " " * LARGE + "h"
    yield "folds", "Via", "SIP/2.0/UDP h;branch=z9hG4bKx" + "\r\n ;a" * (LARGE // 5)
    yield "digits", "CSeq", "1" * LARGE + " OPTIONS"
    yield "escapes of a user", "To", f"<sip:{'%41' * (LARGE // 3)}@h>"
    yield "at signs", "To", f"<sip:{'@' * LARGE}>"
    yield "colons", "To", f"<sip:a@[{':' * LARGE}]>"
    yield "credentials", "Authorization", "Digest " + 'a="b' * (LARGE // 4)
    yield "list of quotes", "Contact", '"a", ' * (LARGE // 5)
    yield "a long token", "Call-ID", "a" * LARGE
    yield "fields", "X-A", "\r\nX-A: ".join("b" for _ in range(LARGE // 8))


def seconds_to_read(
    server: SipServer, caller: Caller, build: Callable[[], bytes]
) -> float:
    """Return how long the server takes for a message, the best of three."""
    flow = server._transports._udp[0].flow_to(*caller.local)
    times = []
    for _ in range(3):
        data = build()
        start = time.perf_counter()
        server.receive(data, flow)
        times.append(time.perf_counter() - start)
    return min(times)


@requirement("A23")
@pytest.mark.parametrize(
    ("name", "value"), [case[1:] for case in hostile()], ids=[c[0] for c in hostile()]
)
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_a23_hostile_messages_of_60_kb_are_read_in_linear_time(
    caller: Caller, server: SipServer, method: str, name: str, value: str
) -> None:
    """Below 30 ms each, and the next request is answered."""
    seconds = seconds_to_read(
        server, caller, lambda: caller.request(method, headers={name: value})
    )

    assert seconds < 0.030
    await caller.settle()


@requirement("A23")
@pytest.mark.parametrize(
    ("name", "value"), [case[1:] for case in hostile()], ids=[c[0] for c in hostile()]
)
async def test_a23_hostile_heads_that_are_small_enough_to_be_read(
    caller: Caller, server: SipServer, name: str, value: str
) -> None:
    """The same within 16 KiB, from a phone that knows the password."""
    await caller.log_in()
    value = value[:15_000].rpartition("\r\n")[0] or value[:15_000]

    seconds = seconds_to_read(
        server, caller, lambda: caller.signed_request("SUBSCRIBE", {name: value})
    )

    assert seconds < 0.030
    await caller.settle()


@requirement("A23")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Large": "x" * 16_384}, 413),
        ({"X-Large": "x" * 15_000}, 200),
        ({"X-Many": ["x"] * 129}, 400),
        ({"X-Many": ["x"] * 110}, 200),
    ],
    ids=["large", "below large", "many", "below many"],
)
async def test_a23_a_head_has_16_kib_and_128_fields(
    caller: Caller, headers: dict[str, str | list[str]], status: int
) -> None:
    """More is refused."""
    response = await caller.ask(caller.request("OPTIONS", headers=headers))

    assert response.status == status


@requirement("A23")
@pytest.mark.parametrize(("count", "status"), [(31, 200), (32, 400), (100, 400)])
@pytest.mark.parametrize("joint", [", ", "\r\nVia: "], ids=["commas", "lines"])
async def test_a23_at_most_32_vias(
    caller: Caller, count: int, status: int, joint: str
) -> None:
    """One in front of them included."""
    host, port = caller.local
    vias = [
        f"SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bKx",
        *["SIP/2.0/UDP h"] * count,
    ]

    response = await caller.ask(
        caller.request("OPTIONS", headers={"Via": joint.join(vias)})
    )

    assert response.status == status


@requirement("A23")
async def test_a23_at_most_32_record_routes(caller: Caller) -> None:
    """Each NOTIFY would carry them."""
    routes = {"Record-Route": ", ".join(["<sip:h;lr>"] * 33)}

    assert (await caller.call("SUBSCRIBE", routes)).status == 400


@requirement("A23")
@pytest.mark.parametrize("size", [8_000, 60_000])
async def test_a23_a_large_body_is_read(caller: Caller, size: int) -> None:
    """What is wrong with it is said; the datagram may have 64 KiB."""
    body = b"<SetDoNotDisturb>" + b" " * size + b"</SetDoNotDisturb>"

    response = await caller.call("SUBSCRIBE", body=body)

    assert response.status == 400
    assert "doNotDisturbOn" in response.get("Warning")


# Floods


@requirement("B25", "C7")
@pytest.mark.parametrize("config", [loopback_config(max_transactions_per_source=5)])
async def test_c7_a_source_has_a_limited_number_of_transactions(
    caller: Caller, clock: ManualClock, connect: Connect
) -> None:
    """The next one is 503 with Retry-After, until the first ones are forgotten."""
    statuses = [(await caller.call("REGISTER")).status for _ in range(5)]
    refused = await caller.call("REGISTER")
    neighbour = await connect(local=("127.0.0.2", 0))
    other = await neighbour.call("REGISTER")
    clock.advance(33)
    later = await caller.call("REGISTER")

    assert statuses == [200] * 5
    assert refused.status == 503
    assert refused.get("Retry-After") == "32"
    assert (other.status, later.status) == (200, 200)


@requirement("C6", "C7")
@pytest.mark.parametrize("config", [loopback_config(max_transactions_per_source=5)])
async def test_c6_a_flood_without_credentials_leaves_nothing_behind(
    caller: Caller, server: SipServer
) -> None:
    """Ten thousand are challenged; none of them counts, none is remembered."""
    await caller.settle()
    data = caller.request("REGISTER")
    branch = parse(data).branch.encode()
    for start in range(0, 10_000, 100):
        for number in range(start, start + 100):
            caller.send(data.replace(branch, b"z9hG4bK%d" % number))
        answers = [await caller.next_raw() for _ in range(100)]
        assert all(answer.startswith(b"SIP/2.0 401 ") for answer in answers)

    assert len(server._transactions) == 0
    assert not server._authenticator._uses
    assert not server.guard._records
    assert (await caller.call("REGISTER")).status == 200


@requirement("B25")
async def test_b25_what_comes_while_starting_is_answered_when_ready(
    built_server: SipServer, sync: FeatureSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before the lines' states are there; streams are not even taken."""
    callers: list[Caller] = []

    async def slow(*_: object) -> None:
        caller = await Caller.open(("127.0.0.1", built_server.port))
        caller.send(caller.request("OPTIONS"))
        await caller.silence(0.02)
        callers.append(caller)
        with pytest.raises(ConnectionRefusedError):
            await Caller.open(("127.0.0.1", built_server.port), "tcp")

    monkeypatch.setattr(built_server, "_restore", slow)
    await built_server.start(memory={"dialogs": [], "bindings": []})
    (caller,) = callers

    assert (await caller.next_response()).status == 200
    await caller.close()
    await built_server.stop()


# Noise


def noise(seed: int, count: int) -> Iterator[bytes]:
    """Return random datagrams, none of which could be a message."""
    source = random.Random(seed)
    letters = b"SIP/2.0 OPTIONS\r\n: ;@<>\x00\xff\xc3"
    for _ in range(count):
        size = source.choice((0, 1, 4, 20, 100, 1400))
        if source.random() < 0.5:
            yield source.randbytes(size)
        else:
            yield bytes(source.choices(letters, k=size))


def garbled(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Return a request with random damage."""
    source = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(source.choice((1, 2, 8))):
            start = source.randrange(len(damaged))
            match source.randrange(3):
                case 0:
                    damaged[start] = source.randrange(256)
                case 1:
                    del damaged[start : start + source.randrange(40)]
                case _:
                    damaged[start:start] = source.randbytes(source.randrange(8))
        yield bytes(damaged)


@requirement("E17")
async def test_e17_noise_is_never_answered(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """And it fills no log: one line a minute for each source."""
    caplog.set_level(logging.INFO, "custom_components.dfks")
    await caller.settle()

    for number, datagram in enumerate(noise(17, 4_000)):
        caller.send(datagram)
        if not number % 100:
            await caller.nothing()

    await caller.nothing()
    assert len([r for r in caplog.records if r.name.startswith("custom_comp")]) <= 1


@requirement("E17", "B26")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_e17_garbled_requests_do_no_harm(
    caller: Caller, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Whatever is answered is no 5xx but 501 and 505, and nothing changes."""
    await caller.log_in()
    data = caller.signed_request(method, body=set_dnd(True))
    answers = []
    for number, datagram in enumerate(garbled(data, 18, 1_000)):
        caller.send(datagram)
        if number % 50 == 49:
            answers += [
                message
                for message in await caller.so_far()
                if not isinstance(message, Request)
            ]

    statuses = {message.status for message in answers}
    assert statuses <= {200, 400, 401, 403, 404, 405, 413, 415, 416, 420, 481, 489} | {
        423,
        501,
        505,
    }
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert (await caller.ask(caller.request("OPTIONS"))).status == 200


@requirement("E17")
def test_e17_the_log_says_one_thing_a_minute_about_each_source(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And remembers a thousand sources."""
    caplog.set_level(logging.INFO, "custom_components.dfks")
    sources = SourceLog(clock)
    for _ in range(3):
        sources.info("a", "first")
        sources.info("b", "second")
    clock.advance(60)
    sources.info("a", "third %s", 3)
    said = [record.getMessage() for record in caplog.records]
    for number in range(2_000):
        sources.info(str(number), "flood")

    assert said == ["a: first", "b: second", "a: third 3"]
    assert len(sources._said) <= 1_000


@requirement("E18")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "OPTIONS", "MESSAGE", "X"])
async def test_e18_answers_to_strangers_are_not_much_larger_than_requests(
    caller: Caller, method: str
) -> None:
    """A forged source is not worth the trouble."""
    data = caller.request(method)

    response = await caller.ask(data)

    assert len(response.raw) < 2 * len(data)


@requirement("E18")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_e18_the_smallest_request_there_is(caller: Caller, method: str) -> None:
    """Two challenges are the most that a few octets can bring about."""
    host, port = caller.local
    event = "o:as-feature-event\r\n" if method == "SUBSCRIBE" else ""
    data = (
        f"{method} sip:h SIP/2.0\r\nv:SIP/2.0/UDP {host}:{port}\r\nf:sip:a@b\r\n"
        f"t:sip:a@b\r\ni:1\r\nCSeq:1 {method}\r\n{event}\r\n"
    ).encode()

    response = await caller.ask(data)

    assert response.status == 401
    assert len(response.raw) < 550


@requirement("E18", "F6")
async def test_e18_nothing_is_sent_twice_to_a_stranger(
    caller: Caller, clock: ManualClock
) -> None:
    """No NOTIFY, no retransmission."""
    await caller.ask(caller.request("SUBSCRIBE"))

    clock.advance(40)

    await caller.nothing()


# Guessers


class Guesser:
    """Tries passwords; a neighbour tells when the server has seen each of them."""

    def __init__(self, caller: Caller, neighbour: Caller) -> None:
        """Take two peers with different addresses."""
        self.caller = caller
        self.neighbour = neighbour

    async def send(self, data: bytes) -> None:
        """Send a request and wait until the server has taken it."""
        self.caller.send(data)
        await self.neighbour.settle()

    def attempt(self, headers: dict[str, str] | None = None) -> bytes:
        """Build a REGISTER with a wrong password."""
        self.caller.digest.password = "wrong"
        data = self.caller.signed_request("REGISTER", headers)
        self.caller.digest.password = PASSWORDS["201"]
        return data

    async def guess(self, count: int, headers: dict[str, str] | None = None) -> None:
        """Send some REGISTERs with a wrong password."""
        for _ in range(count):
            await self.send(self.attempt(headers))


@pytest.fixture
async def guesser(caller: Caller, connect: Connect) -> Guesser:
    """Return a guesser at 127.0.0.1 that has been challenged once."""
    await caller.log_in()
    return Guesser(caller, await connect(local=("127.0.0.2", 0)))


@requirement("H12")
async def test_h12_twenty_wrong_passwords_shut_a_source_out(
    guesser: Guesser, clock: ManualClock, server: SipServer
) -> None:
    """For a quarter of an hour it gets no answer at all; others do."""
    shut_out: list[str] = []
    server.guard.on_shut_out = shut_out.append
    await guesser.guess(19)
    clock.advance(10)
    before = list(shut_out)
    challenged = len(await guesser.caller.so_far())

    await guesser.guess(1)
    await guesser.send(guesser.caller.request("OPTIONS"))
    clock.advance(10)
    await guesser.caller.silence(0.02)
    other = await guesser.neighbour.call("REGISTER")
    clock.advance(890)
    await guesser.caller.log_in()
    again = await guesser.caller.call("REGISTER")

    assert before == []
    assert challenged == 19
    assert shut_out == ["127.0.0.1"]
    assert (other.status, again.status) == (200, 200)


@requirement("H12")
async def test_h12_challenges_come_later_and_later(
    guesser: Guesser, clock: ManualClock
) -> None:
    """After three that are forgiven, each a quarter of a second more."""
    at_once = []
    for _ in range(5):
        await guesser.guess(1)
        at_once.append(len(await guesser.caller.so_far()))
    clock.advance(0.25)
    fourth = len(await guesser.caller.so_far())
    clock.advance(0.25)
    fifth = len(await guesser.caller.so_far())

    assert at_once == [1, 1, 1, 0, 0]
    assert (fourth, fifth) == (1, 1)


@requirement("H12", "C4")
async def test_h12_repeats_during_a_delay_get_one_challenge(
    guesser: Guesser, clock: ManualClock
) -> None:
    """A phone that sends again while its challenge waits is told once."""
    await guesser.guess(3)
    await guesser.caller.so_far()

    data = guesser.attempt()
    for _ in range(5):
        await guesser.send(data)
    clock.advance(10)

    assert len(await guesser.caller.so_far()) == 1


@requirement("H12")
async def test_h12_the_right_password_makes_up_for_it(
    guesser: Guesser, server: SipServer
) -> None:
    """Mistyped often, but then right: everything is forgotten."""
    await guesser.guess(19)
    await guesser.caller.so_far()
    assert (await guesser.caller.call("REGISTER")).status == 200

    await guesser.guess(3)
    await guesser.caller.so_far()

    assert server.guard.lets_in("127.0.0.1")
    assert (await guesser.caller.call("REGISTER")).status == 200


@requirement("H12")
@pytest.mark.parametrize(("pause", "let_in"), [(3_599, False), (3_601, True)])
async def test_h12_failures_are_forgotten_after_an_hour(
    guesser: Guesser, clock: ManualClock, server: SipServer, pause: float, let_in: bool
) -> None:
    """A phone with an old password that asks once an hour is no guesser."""
    await guesser.guess(19)

    clock.advance(pause)
    await guesser.caller.so_far()
    await guesser.caller.log_in()
    await guesser.guess(1)

    assert server.guard.lets_in("127.0.0.1") is let_in


@requirement("H12")
async def test_h12_failures_are_forgotten_after_a_block(
    guesser: Guesser, clock: ManualClock, server: SipServer
) -> None:
    """Who comes back has as many tries as anybody."""
    await guesser.guess(20)
    clock.advance(900)
    await guesser.caller.so_far()
    await guesser.caller.log_in()

    await guesser.guess(19)
    before = server.guard.lets_in("127.0.0.1")
    await guesser.guess(1)

    assert before
    assert not server.guard.lets_in("127.0.0.1")


@requirement("H12", "C4")
async def test_h12_a_retransmission_is_no_further_failure(
    guesser: Guesser, server: SipServer
) -> None:
    """The same guess sent thirty times is one."""
    data = guesser.attempt()
    for _ in range(30):
        await guesser.send(data)

    assert server.guard.lets_in("127.0.0.1")
    assert len(await guesser.caller.so_far()) == 30


@requirement("H12")
async def test_h12_other_guesses_in_the_same_call_count(
    guesser: Guesser, server: SipServer
) -> None:
    """Call-ID and CSeq are the guesser's own choice."""
    headers = {
        "Call-ID": "same",
        "CSeq": "1 REGISTER",
        "From": "<sip:201@h>;tag=same",
    }

    await guesser.guess(20, headers)

    assert not server.guard.lets_in("127.0.0.1")


@requirement("H12")
async def test_h12_a_wrong_nonce_is_no_failure(
    guesser: Guesser, server: SipServer
) -> None:
    """Nobody can have another shut out by writing in its name."""
    challenge = guesser.caller.digest.challenge
    assert challenge is not None
    challenge.nonce = "0" * 48

    await guesser.guess(30)

    assert server.guard.lets_in("127.0.0.1")


@requirement("H12")
async def test_h12_a_source_may_be_let_in_again_before_its_time(
    guesser: Guesser, server: SipServer
) -> None:
    """By the user, who knows better."""
    readmitted: list[str] = []
    server.guard.on_readmitted = readmitted.append
    await guesser.guess(20)
    server.guard.readmit("127.0.0.1")
    await guesser.caller.so_far()

    assert (await guesser.caller.call("REGISTER")).status == 200
    assert readmitted == ["127.0.0.1"]


@requirement("H12", "C6")
@pytest.mark.parametrize("config", [loopback_config(max_failures=1_000)])
async def test_h12_a_hundred_challenges_wait_at_most(
    guesser: Guesser, server: SipServer, clock: ManualClock
) -> None:
    """More stay silent: slowing down must not cost memory."""
    await guesser.guess(150)
    await guesser.caller.so_far()

    clock.advance(10)
    late = await guesser.caller.so_far()

    assert len(late) == 100
    assert not server._delayed


@requirement("H12")
async def test_h12_a_connection_of_a_guesser_ends(
    guesser: Guesser, connect: Connect
) -> None:
    """Nothing that it says is looked at, and no new one is taken."""
    stream = await connect("tcp")
    await stream.settle()
    await guesser.guess(20)

    stream.send(stream.request("OPTIONS"))
    await stream.silence(0.02)
    other = await connect("tcp")
    await other.wait_closed()


@requirement("H12")
@pytest.mark.parametrize(
    "config", [loopback_config(allowed_networks=parse_networks("127.0.0.2 10.0.0.0/8"))]
)
async def test_h12_only_allowed_networks_are_answered(connect: Connect) -> None:
    """The others get nothing over UDP, and are disconnected over TCP."""
    outside = await connect(local=("127.0.0.1", 0))
    inside = await connect(local=("127.0.0.2", 0))

    outside.send(outside.request("OPTIONS"))
    answered = await inside.ask(inside.request("OPTIONS"))
    await outside.silence(0.02)
    stream = await connect("tcp", local=("127.0.0.1", 0))
    await stream.wait_closed()

    assert answered.status == 200


@requirement("H12")
@pytest.mark.parametrize("config", [loopback_config(allowed_networks=())])
async def test_h12_no_networks_named_are_all(caller: Caller) -> None:
    """The user wants the whole world."""
    assert (await caller.call("REGISTER")).status == 200


@requirement("H12", "F6")
@pytest.mark.parametrize(
    "config", [loopback_config(trusted_proxies=parse_networks("127.0.0.2"))]
)
async def test_h12_a_trusted_proxy_is_not_asked_for_a_password(
    connect: Connect, reception: Line
) -> None:
    """It has asked itself; everybody else still is."""
    proxy = await connect(local=("127.0.0.2", 0))
    phone = await connect(local=("127.0.0.1", 0))

    registered = await proxy.ask(proxy.request("REGISTER"))
    subscribed = await proxy.ask(proxy.request("SUBSCRIBE"))
    notify = await proxy.next_request()
    proxy.answer(notify)
    changed = await proxy.ask(
        proxy.request(
            "SUBSCRIBE",
            "sip:anyone@h",
            {
                "From": subscribed.get("From"),
                "To": subscribed.get("To"),
                "Call-ID": subscribed.call_id,
                "CSeq": "2 SUBSCRIBE",
            },
            set_dnd(True),
        )
    )
    unknown = await proxy.ask(
        proxy.request("SUBSCRIBE", "sip:nobody@h", {"To": "<sip:nobody@h>"})
    )
    stranger = await phone.ask(phone.request("REGISTER"))

    assert [r.status for r in (registered, subscribed, changed)] == [200] * 3
    assert reception.watchers == 1
    assert (unknown.status, stranger.status) == (404, 401)


@requirement("H12", "F13")
@pytest.mark.parametrize(
    "config", [loopback_config(trusted_proxies=parse_networks("127.0.0.2"))]
)
async def test_h12_a_dialog_of_a_removed_line_takes_nothing_new(
    connect: Connect, sync: FeatureSync, server: SipServer
) -> None:
    """Neither a refresh nor another subscription, until its last NOTIFY is answered."""
    proxy = await connect(local=("127.0.0.2", 0))
    subscribed = Subscribed(
        caller=proxy, response=await proxy.ask(proxy.request("SUBSCRIBE"))
    )
    await subscribed.told()

    sync.remove_line("line-201")
    refresh = await proxy.ask(subscribed.request())
    more = await proxy.ask(subscribed.request({"Event": "as-feature-event;id=2"}))
    last = await subscribed.told()

    assert (refresh.status, more.status) == (481, 481)
    assert reason_of(last) == "noresource"
    assert not list(server.notifier)


@requirement("H12")
async def test_h12_a_trusted_proxy_is_never_shut_out(clock: ManualClock) -> None:
    """Whatever its phones do."""
    guard = Guard(clock, proxies=parse_networks("192.0.2.0/24"))
    for number in range(30):
        guard.failed("192.0.2.7", str(number))

    assert guard.lets_in("192.0.2.7")
    assert guard.trusts("192.0.2.7")
    assert not guard.trusts("192.0.3.7")


@requirement("H12", "C6")
def test_h12_sources_are_remembered_up_to_a_limit(clock: ManualClock) -> None:
    """The one that failed longest ago is forgotten first."""
    guard = Guard(clock, allowed=())
    sources = [str(ipaddress.IPv4Address(number)) for number in range(5_000)]
    for source in sources:
        guard.failed(source, "guess")
        guard.lets_in(source)

    assert list(guard._records) == sources[-4096:]
    assert len(guard._known) <= 4096


@pytest.mark.parametrize(
    ("text", "source", "inside"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.1/8, ::1", "::1", True),
        ("fe80::/10 10.0.0.1", "fe80::1%eth0", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_networks_are_addresses_or_ranges(
    clock: ManualClock, text: str, source: str, inside: bool
) -> None:
    """Separated by commas or spaces."""
    assert Guard(clock, allowed=parse_networks(text)).lets_in(source) is inside


def test_a_network_that_is_none_is_named() -> None:
    """So that a form can show it."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        parse_networks("192.0.2.1, 10.0.0.0/33")
