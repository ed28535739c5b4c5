"""What a server tells an observer, and what a trace makes of it."""

import logging
import re
from typing import override

import pytest

from custom_components.dfks.sip.access.accounts import Account
from custom_components.dfks.sip.inspect.trace import KEPT, MAX_KEPT, Trace, describe
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.flow import Flow
from custom_components.dfks.sip.wire.message import Request
from tests.clock import ManualClock
from tests.phone import Digest

from .caller import Caller
from .conftest import Connect
from .echo import BELL, Echo, say

LOGGER = "custom_components.dfks.sip.inspect.trace"


class Watching(Trace):
    """A trace that also keeps whose phones it heard of."""

    def __init__(self, clock: ManualClock) -> None:
        """Start with nothing seen."""
        super().__init__(clock)
        self.lines: list[tuple[str, str]] = []
        self.turned_away_phones: list[tuple[str, str, tuple[str, int]]] = []

    def heard(self, account: Account, request: Request) -> None:
        """Note the line and the method."""
        self.lines.append((account.id, request.method))

    def turned_away(self, request: Request, username: str, flow: Flow) -> None:
        """Note who it claimed to be, and from where."""
        self.turned_away_phones.append((request.method, username, flow.remote))

    @override
    def received(self, data: bytes, flow: Flow) -> None:
        """Take note, but for the question that `Caller.settle` asks."""
        if not data.startswith(b"OPTIONS"):
            super().received(data, flow)

    @override
    def sent(self, data: bytes, flow: Flow) -> None:
        """Take note, but for the answer that `Caller.settle` gets."""
        if not re.search(rb"CSeq: \d+ OPTIONS", data):
            super().sent(data, flow)


@pytest.fixture
def watching(server: SipServer, clock: ManualClock) -> Watching:
    """Observe the server."""
    watching = Watching(clock)
    server.trace(watching)
    server.observe(watching)
    return watching


async def test_observer_hears_of_a_lines_phone(
    watching: Watching, caller: Caller
) -> None:
    """Once its credentials are right, whatever becomes of the request."""
    await caller.call("REGISTER")
    await caller.subscribe()
    await caller.call("REGISTER", {"Require": "more"})

    assert watching.lines == [
        ("line-201", "REGISTER"),
        ("line-201", "SUBSCRIBE"),
        ("line-201", "REGISTER"),
    ]
    assert watching.turned_away_phones == []


@pytest.mark.parametrize("username", ["201", "someone"])
async def test_observer_hears_of_those_turned_away(
    watching: Watching, caller: Caller, username: str
) -> None:
    """A wrong password and an unknown user alike, after they answered a challenge."""
    caller.digest = Digest(username=username, password="guessed")
    await caller.call("REGISTER")

    assert watching.turned_away_phones == [("REGISTER", username, caller.local[:2])]
    assert watching.lines == []


async def test_trace_keeps_messages_both_ways(
    watching: Watching, caller: Caller, clock: ManualClock
) -> None:
    """In order, with time, peer and direction."""
    await caller.subscribe()

    assert [
        (item.sent, item.data.split(b"\r\n")[0].split(b" sip:")[0]) for item in watching
    ] == [
        (False, b"REGISTER"),
        (True, b"SIP/2.0 401 Unauthorized"),
        (False, b"SUBSCRIBE"),
        (True, b"SIP/2.0 200 OK"),
        (True, b"NOTIFY"),
        (False, b"SIP/2.0 200 OK"),
    ]
    first = next(iter(watching))
    assert (first.at, first.transport, first.remote) == (
        clock.time(),
        "UDP",
        caller.local[:2],
    )


async def test_trace_counts_by_kind(
    watching: Watching, caller: Caller, connect: Connect
) -> None:
    """Requests by method, responses by status; repeated ones too."""
    await caller.subscribe()
    registration = caller.signed_request("REGISTER")
    await caller.ask(registration)
    await caller.ask(registration)
    stream = await connect("tcp")
    await stream.ask(stream.request("MESSAGE"))

    assert watching.received_totals == {
        "REGISTER": 3,
        "SUBSCRIBE": 1,
        "OPTIONS": 0,
        "responses": 1,
        "others": 1,
    }
    assert watching.sent_totals == {"200": 3, "401": 1, "405": 1, "NOTIFY": 1}


async def test_trace_sees_each_retransmission(
    watching: Watching, caller: Caller, clock: ManualClock
) -> None:
    """A NOTIFY that nobody answers goes out again."""
    await caller.subscribe(status=0)
    clock.advance(0.5)

    assert watching.sent_totals["NOTIFY"] == 2


async def test_trace_keeps_only_the_last_messages(
    watching: Watching, caller: Caller
) -> None:
    """And only the beginning of a large one."""
    for _ in range(KEPT):
        await caller.ask(caller.request("REGISTER", None, {"X-Long": "x" * MAX_KEPT}))

    messages = list(watching)
    assert len(messages) == KEPT
    assert max(len(item.data) for item in messages) == MAX_KEPT


async def test_log_can_be_read_by_a_technician(
    watching: Watching,
    server: SipServer,
    echo: Echo,
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line a message: which way, what, whose, in which dialog; no secrets."""
    caplog.set_level(logging.DEBUG, LOGGER)
    # Event packages are written out where they are public ones.
    echo.name = event = "call-info"
    server.add_package(echo)
    subscribed = await caller.subscribe(
        {"User-Agent": "Desk-Phone 1.0", "Event": event}
    )
    await subscribed.send({"Event": event}, say(BELL, "4930170020"))
    await subscribed.told()

    port = caller.local[1]
    came, went = f"<- UDP 127.0.0.1:{port}", f"-> UDP 127.0.0.1:{port}"
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    call_ids = [line.partition("Call-ID ")[2].partition(",")[0] for line in lines]
    assert call_ids[0] == call_ids[1] != call_ids[2]
    asked, challenged, signed = lines[:3]
    assert asked == f"{came} REGISTER, line 201, CSeq 1, Call-ID {call_ids[0]}"
    assert challenged == (
        f"{went} 401 Unauthorized to REGISTER, line 201, CSeq 1, "
        f"Call-ID {call_ids[0]}, realm homeassistant"
    )
    assert signed == (
        f"{came} SUBSCRIBE, line 201, CSeq 1, Call-ID {call_ids[2]}, "
        "event call-info, expires 3600, by Desk-Phone 1.0, credentials of 201"
    )
    key_press = next(line for line in lines if "SUBSCRIBE, line 201, CSeq 2" in line)
    assert key_press.startswith(came)
    assert key_press.endswith("octets of text/plain")
    told = lines[-1] if lines[-1].startswith(went) else lines[-2]
    assert "NOTIFY, line 201, CSeq 2" in told
    assert "state active;expires=3600" in told
    assert not any("nonce" in line or "response=" in line for line in lines)
    assert not any("4930170020" in line for line in lines)


@pytest.mark.parametrize(
    ("lines", "described"),
    [
        (
            'WWW-Authenticate: Digest realm="h", stale=TRUE, nonce="n"',
            "nonce too old",
        ),
        ('WWW-Authenticate: Digest nonce="n"', "realm ?"),
        ('WWW-Authenticate: Digest realm="n, x', "realm ?"),
        ('Warning: 399 dfks "No"', 'warning 399 dfks "No"'),
        ("Min-Expires: 60", "at least 60"),
        (f"Call-ID: {'x' * 500}", f"Call-ID {'x' * 120}"),
    ],
)
def test_refusals_say_why(lines: str, described: str) -> None:
    """As far as the phone is told."""
    data = (
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 REGISTER\r\n"
        f"To: <sip:201@h>\r\n{lines}\r\n\r\n"
    )
    assert describe(data.encode()) == (
        f"401 Unauthorized to REGISTER, line 201, CSeq 1, {described}"
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"hello\r\n\r\n", "not SIP: No SIP version in the start line"),
        (
            b"INVITE sip:201@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <tel:+49>\r\n\r\n",
            "INVITE, line ?, CSeq ?",
        ),
        (
            b"BYE sip:201@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: \x1b[31m\r\n\r\n",
            "BYE, line ?, CSeq ?",
        ),
        (
            b"SIP/2.0 200 \x1b[2J\r\nVia: SIP/2.0/UDP h\r\nCSeq: 1 NOTIFY\r\n\r\n",
            "200 ?[2J to NOTIFY, line ?, CSeq 1",
        ),
    ],
)
def test_any_octets_can_be_described(data: bytes, line: str) -> None:
    """In one line that a terminal can show."""
    assert describe(data) == line
