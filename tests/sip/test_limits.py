"""Section I and what goes with it: floods, guessers, noise and other bad company."""

from collections.abc import Callable, Iterator
import logging
import random
import time

import pytest

from custom_components.dfks.sip.inspect.source_log import SourceLog
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.loopback import loopback_config
from tests.phone import Request, parse
from tests.phone.digest import parse_fields

from .caller import Caller
from .conftest import Connect
from .echo import BELL, Echo, Line, light, say

requirement = pytest.mark.requirement

LARGE = 60_000


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
    """Return how long the server computes for a message, the best of three."""
    flow = server._transports._udp[0].flow_to(*caller.local)
    times = []
    for _ in range(3):
        data = build()
        start = time.thread_time()
        server.receive(data, flow)
        times.append(time.thread_time() - start)
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
@pytest.mark.parametrize(("count", "status"), [(69, 200), (70, 400), (100, 400)])
@pytest.mark.parametrize("joint", [", ", "\r\nVia: "], ids=["commas", "lines"])
async def test_a23_at_most_70_vias(
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
async def test_a23_a_large_body_is_read(
    caller: Caller, reception: Line, size: int
) -> None:
    """To its end; the datagram may have 64 KiB."""
    response = await caller.call("SUBSCRIBE", body=say(BELL, "x" * size))

    assert response.status == 200
    assert reception.texts == {BELL: "x" * size}


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
    assert not server._guard._names_at_sources.by_subject
    assert (await caller.call("REGISTER")).status == 200


@requirement("B25")
async def test_b25_what_comes_while_starting_is_answered_when_ready(
    built_server: SipServer, echo: Echo, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setattr(built_server._remembering, "restore", slow)
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
    data = caller.signed_request(method, body=light(True))
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
    assert len(sources._logged) <= 1_000


ANY_REALM = pytest.mark.parametrize(
    "config",
    [loopback_config(), loopback_config(realm="Telephones, all: of our house")],
    ids=["usual realm", "long realm"],
)
ANY_REQUEST = pytest.mark.parametrize(
    "method",
    ["REGISTER", "SUBSCRIBE", "OPTIONS", "MESSAGE", "INVITE", "NOTIFY", "CANCEL", "X"],
)


def usual(method: str, host: str, port: int) -> bytes:
    """Return what RFC 3261 8.1.1 asks of any request, and nothing else."""
    return (
        f"{method} sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKa\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:a@{host}:{port}>\r\n"
        "Event: echo\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def compact(method: str, host: str, port: int) -> bytes:
    """Return the smallest request that is answered as one."""
    event = "o:echo\r\n" if method == "SUBSCRIBE" else ""
    return (
        f"{method} sip:h SIP/2.0\r\nv:SIP/2.0/UDP {host}:{port}\r\nf:sip:a@b\r\n"
        f"t:sip:a@b\r\ni:1\r\nCSeq:1 {method}\r\n{event}\r\n"
    ).encode()


def compact_with_rport(method: str, host: str, port: int) -> bytes:
    """Return one whose answer has to say where it came from."""
    return compact(method, host, port).replace(b"\r\nf:", b";rport\r\nf:")


def malformed(method: str, host: str, port: int) -> bytes:
    """Return one that is refused as such."""
    return compact(method, host, port).replace(b"CSeq:1", b"CSeq:-")


ANY_FORM = pytest.mark.parametrize(
    "build", [usual, compact, compact_with_rport, malformed]
)


@requirement("E18")
@ANY_REQUEST
@ANY_FORM
@ANY_REALM
async def test_e18_an_answer_to_a_stranger_is_at_most_200_octets_larger(
    caller: Caller, method: str, build: Callable[[str, str, int], bytes]
) -> None:
    """A forged source is not worth the trouble."""
    data = build(method, *caller.local)

    response = await caller.ask(data)

    assert response.status != 200 or method == "OPTIONS"
    assert len(response.raw) <= len(data) + 200


@requirement("E18", "H1")
@pytest.mark.parametrize("build", [usual, compact])
async def test_e18_both_challenges_fit_into_the_answer_to_a_small_request(
    caller: Caller, build: Callable[[str, str, int], bytes]
) -> None:
    """As short as SIP lets them be, where the request is."""
    response = await caller.ask(build("REGISTER", *caller.local))

    found = response.get_all("WWW-Authenticate")
    assert [parse_fields(value).get("algorithm", "MD5") for value in found] == [
        "MD5",
        "SHA-256",
    ]


@requirement("E18", "H1")
@pytest.mark.parametrize("build", [compact, compact_with_rport])
@ANY_REALM
async def test_e18_a_short_challenge_can_be_answered(
    caller: Caller, build: Callable[[str, str, int], bytes]
) -> None:
    """What is left out goes without saying."""
    response = await caller.ask(build("REGISTER", *caller.local))
    assert caller.digest.take(response)

    assert (await caller.call("REGISTER")).status == 200


@requirement("E18")
async def test_e18_what_a_stream_is_answered_is_never_shortened(stream: Caller) -> None:
    """Its source is not forged."""
    response = await stream.ask(
        compact("REGISTER", "127.0.0.1", 9).replace(b"\r\n\r\n", b"\r\nl:0\r\n\r\n")
    )

    assert response.reason == "Unauthorized"


@requirement("E18", "B23")
async def test_e18_the_answer_to_small_options_tells_what_counts(
    caller: Caller,
) -> None:
    """Methods and events; languages are left out first."""
    data = compact_with_rport("OPTIONS", *caller.local)

    response = await caller.ask(data)

    assert response.values("Allow") == ["REGISTER", "SUBSCRIBE", "OPTIONS"]
    assert response.get("Allow-Events") == "echo"


@requirement("E18", "F6")
async def test_e18_nothing_is_sent_twice_to_a_stranger(
    caller: Caller, clock: ManualClock
) -> None:
    """No NOTIFY, no retransmission."""
    await caller.ask(caller.request("SUBSCRIBE"))

    clock.advance(40)

    await caller.nothing()
