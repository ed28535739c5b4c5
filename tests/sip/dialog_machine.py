"""Phones that do what they like, in any order, against one line.

Whatever they do, each has one NOTIFY to answer at a time, CSeq rises, retransmissions
are the same octets, and in the end every phone shows what is stored. What that is, and
how it is written, is the event package's: a subclass of `PhonesOfALine` knows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import override

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from custom_components.dfks.sip import Account, SipServer
from tests.clock import ManualClock
from tests.phone import Request, Response, parse
from tests.phone.raw import branch

from .caller import reason_of
from .wire import HERE, Wire

# Seconds after which an unanswered NOTIFY is given up.
TIMER_F = 32.0

PHONES = 3

# Bodies of SUBSCRIBEs that a machine chooses from.
BODIES = 6

phones = st.integers(0, PHONES - 1)

# How long each machine runs.
SETTINGS = settings(max_examples=150, stateful_step_count=40, deadline=None)


class TimedWire(Wire):
    """A wire that also tells when something was sent."""

    def __init__(self, host: str, clock: ManualClock) -> None:
        """Lead to a host."""
        super().__init__(host)
        self.clock = clock
        self.times: list[float] = []

    @override
    def send(self, data: bytes) -> None:
        super().send(data)
        self.times.append(self.clock.monotonic())

    def take(self) -> list[tuple[float, bytes]]:
        """Return what was sent since the last time, and when."""
        taken = list(zip(self.times, self.sent, strict=True))
        self.times.clear()
        self.sent.clear()
        return taken


@dataclass
class Phone:
    """One phone: its dialog, what it has not answered, and what it shows."""

    wire: TimedWire
    call_id: str = ""
    to: str = ""
    cseq: int = 0
    number: int = 0
    remote_cseq: int = 0
    watching: bool = False
    pending: Request | None = None
    since: float = 0.0
    shown: dict[str, object] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its address."""
        return self.wire.remote[0]


class PhonesOfALine(RuleBasedStateMachine):
    """A server without sockets, and three phones of line 201."""

    event: str
    bodies: Sequence[bytes]
    """`BODIES` of them: none, nonsense, and what changes something."""

    def __init__(self) -> None:
        """Start with nobody subscribed."""
        super().__init__()
        assert len(self.bodies) == BODIES
        self.clock = ManualClock()
        self.server, self.account = self.build()
        self.phones = [
            Phone(TimedWire(f"10.0.0.{2 + number}", self.clock))
            for number in range(PHONES)
        ]
        self.calls = 0

    # The event package

    def build(self) -> tuple[SipServer, Account]:
        """Return the server and line 201."""
        raise NotImplementedError

    def watchers(self) -> tuple[int, bool]:
        """Return how many watch the line as it says, and whether it is connected."""
        raise NotImplementedError

    def stored(self) -> Mapping[str, object]:
        """Return what all phones are to show."""
        raise NotImplementedError

    def shown_by(self, notify: Request) -> Mapping[str, object]:
        """Return what a phone shows of it once it has read a NOTIFY."""
        raise NotImplementedError

    def change_something(self) -> None:
        """Have all phones told of something."""
        raise NotImplementedError

    def check_given_up(self, waiting: Request, notify: Request, silence: float) -> None:
        """Make sure that a NOTIFY may follow one that was not answered for a while."""
        raise AssertionError(f"{notify.title} after {silence} s")

    # What happens

    @rule(number=phones, expires=st.sampled_from([0, 60, 600, 3600]))
    def subscribe(self, number: int, expires: int) -> None:
        """Open a new dialog; the phone may have rebooted."""
        phone = self.phones[number]
        self.calls += 1
        if expires or not phone.watching:
            phone.call_id, phone.to = f"call-{self.calls}", "<sip:201@h>"
            phone.cseq = phone.remote_cseq = 0
            phone.pending = None
            phone.watching = expires > 0
            self._send(phone, expires)

    @precondition(lambda self: any(phone.watching for phone in self.phones))
    @rule(
        number=phones,
        expires=st.sampled_from([0, 60, 3600]),
        body=st.integers(0, BODIES - 1),
    )
    def press(self, number: int, expires: int, body: int) -> None:
        """Refresh, press a key, or unsubscribe."""
        phone = self.phones[number]
        if phone.watching:
            self._send(phone, expires, self.bodies[body])

    @rule(number=phones)
    def register(self, number: int) -> None:
        """Be heard, without more."""
        phone = self.phones[number]
        self._request(phone, "REGISTER", f"reg-{self.calls}", "<sip:201@h>", 1)
        self.calls += 1

    @rule(
        number=phones,
        status=st.sampled_from([100, 200, 200, 200, 404, 481, 500, 503, 603]),
    )
    def answer(self, number: int, status: int) -> None:
        """Answer the NOTIFY that waits, if there is one."""
        phone = self.phones[number]
        if phone.pending is not None:
            self._answer(phone, status)

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 5.0, 32.0, 61.0, 301.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.read()

    # What always holds

    @invariant()
    def the_count_of_watchers_is_right(self) -> None:
        """Live subscriptions, and connected while there is one."""
        live = sum(s.live for s in self.server.notifier.of(self.account))

        assert self.watchers() == (live, live > 0)

    @override
    def teardown(self) -> None:
        """All phones answer from now on: they come to show what is stored."""
        for _ in range(20):
            self._answer_all()
            self.clock.advance(20)
            self.read()
        subscriptions = self.server.notifier.of(self.account)
        assert not [s for s in subscriptions if s.suspended]
        # What was refused goes with the next change, whatever that is about.
        self.change_something()
        self._answer_all()
        watching = {
            s.dialog.call_id for s in self.server.notifier.of(self.account) if s.live
        }
        for phone in self.phones:
            if phone.call_id in watching:
                assert phone.shown == self.stored()
        assert len(self.server._requests) == 0

    # Messages

    def _send(self, phone: Phone, expires: int, body: bytes = b"") -> None:
        phone.cseq += 1
        self._request(
            phone,
            "SUBSCRIBE",
            phone.call_id,
            phone.to,
            phone.cseq,
            f"Event: {self.event}\r\nExpires: {expires}\r\n",
            body,
        )
        if expires == 0:
            phone.watching = False

    def _request(
        self,
        phone: Phone,
        method: str,
        call_id: str,
        to: str,
        cseq: int,
        more: str = "",
        body: bytes = b"",
    ) -> None:
        head = (
            f"{method} sip:201@{HERE[0]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {phone.host}:5060;branch={branch()}\r\n"
            f"From: <sip:201@h>;tag={phone.host}-{call_id}\r\nTo: {to}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:201@{phone.host}:5060>\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.server.receive(head.encode() + body, phone.wire)
        self.read()

    def _answer(self, phone: Phone, status: int) -> None:
        request = phone.pending
        assert request is not None
        extra = [("Retry-After", "30")] if status == 503 else []
        if status >= 200:
            phone.pending = None
        if status == 200:
            phone.shown |= self.shown_by(request)
        if status == 200 and reason_of(request):
            phone.watching = False
        if status in (404, 481):
            phone.watching = False
        self.server.receive(request.response(status, extra=extra).encode(), phone.wire)
        self.read()

    def _answer_all(self) -> None:
        while any(phone.pending for phone in self.phones):
            for phone in self.phones:
                if phone.pending is not None:
                    self._answer(phone, 200)

    def read(self) -> None:
        """Take what has come to the phones."""
        for phone in self.phones:
            for now, data in phone.wire.take():
                message = parse(data)
                assert message.violations == []
                if isinstance(message, Response):
                    self._take_response(phone, message)
                else:
                    self._take_notify(phone, message, now)

    def _take_response(self, phone: Phone, response: Response) -> None:
        if response.cseq[1] == "SUBSCRIBE" and response.call_id == phone.call_id:
            assert response.status in (200, 400, 481)
            phone.to = response.get("To") if response.ok else phone.to
            phone.watching = phone.watching and response.status != 481

    def _take_notify(self, phone: Phone, notify: Request, now: float) -> None:
        if notify.call_id != phone.call_id:
            # Of a dialog from before a reboot: the phone does not know it.
            self.server.receive(notify.response(481).encode(), phone.wire)
            return
        waiting = phone.pending
        if waiting is not None and waiting.branch == notify.branch:
            assert waiting.raw == notify.raw
            assert now - phone.since < TIMER_F
            return
        assert notify.cseq[0] > phone.remote_cseq
        phone.remote_cseq = notify.cseq[0]
        phone.pending = notify
        silence = now - phone.since
        if waiting is None or silence >= TIMER_F:
            phone.since = now
        else:
            self.check_given_up(waiting, notify, silence)


def give_up_a_notify(machine: PhonesOfALine, waits: int) -> None:
    """Leave a NOTIFY without an answer until Timer F; the phone is told again then.

    It is sent after so many waits of 0.4 s.
    """
    for _ in range(waits):
        machine.wait(0.4)
    machine.subscribe(number=0, expires=3600)

    machine.wait(TIMER_F)
    machine.register(number=0)

    machine.teardown()
