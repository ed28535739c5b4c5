"""INVITE transactions (RFC 3261 17.1.1 and 17.2.1, RFC 6026), for a proxy that keeps them.

Theory of operation
-------------------
The server side takes an INVITE and is told each answer; the client side sends an INVITE
on and tells its user what comes of it. Both hold one timer at a time, which stands for
all those of their state:

    server      PROCEEDING  100 after 200 ms, where nothing else was said (17.2.1)
                COMPLETED   G (again, until the ACK), at most H
                CONFIRMED   I
                ACCEPTED    L (RFC 6026 8.7)
    client      CALLING     A (again), at most B
                PROCEEDING  C (16.6, 11), or the end of waiting after a CANCEL (9.1)
                COMPLETED   D
                ACCEPTED    M (RFC 6026 8.4)

A CANCEL goes out when it may: with the first provisional response (9.1). It is a
transaction of its own, of those that `client` keeps. Nothing here raises but the
constructor of the client, whose INVITE may have no way out.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
import logging
from typing import Protocol, override

from ..clock import Timer, Timers
from ..transport.flow import Flow, FlowError
from ..wire.message import Response
from ..wire.splice import PassedMessage
from .client import ClientTransactions, ClientUser
from .timing import T1, T2, T4, TIMEOUT

_LOGGER = logging.getLogger(__name__)

# Seconds after which an INVITE that nothing was said to is answered 100 (17.2.1).
TRYING = 0.2

# Timer C, in seconds: more than three minutes (16.6, 11).
TIMER_C = 181.0


class ServerState(Enum):
    """How far an INVITE that came is answered."""

    PROCEEDING = 1
    COMPLETED = 2
    CONFIRMED = 3
    ACCEPTED = 4
    TERMINATED = 5


class ClientState(Enum):
    """How far an INVITE that was sent is answered."""

    CALLING = 1
    PROCEEDING = 2
    COMPLETED = 3
    ACCEPTED = 4
    TERMINATED = 5


class InviteServer(Timer):
    """An INVITE that came, until nothing of it can come any more."""

    __slots__ = (
        "_answer",
        "_deadline",
        "_ended",
        "_interval",
        "_send",
        "_timers",
        "is_refused",
        "reliable",
        "state",
    )

    def __init__(
        self,
        timers: Timers,
        send: Callable[[bytes], None],
        trying: bytes,
        ended: Callable[[], None],
        *,
        reliable: bool,
    ) -> None:
        """Begin; `send` does not raise, `trying` is the 100, `ended` is called once."""
        super().__init__()
        self._timers = timers
        self._send = send
        self.reliable = reliable
        self._ended = ended
        self._answer = trying
        self._interval = T1
        self._deadline = 0.0
        # Whether the final answer was no 2xx.
        self.is_refused = False
        self.state = ServerState.PROCEEDING
        timers.start(TRYING, self)

    @property
    def is_open(self) -> bool:
        """Whether there has been no final answer yet."""
        return self.state is ServerState.PROCEEDING

    def take_again(self) -> None:
        """Answer an INVITE that comes again."""
        if self.state in (ServerState.PROCEEDING, ServerState.COMPLETED):
            if self.is_open:
                # The 100 has been said.
                Timers.cancel(self)
            self._send(self._answer)

    def provide(self, answer: bytes) -> None:
        """Send a provisional answer."""
        if self.is_open:
            Timers.cancel(self)
            self._answer = answer
            self._send(answer)

    def refuse(self, answer: bytes) -> None:
        """Send a final answer that is no 2xx; the first one counts."""
        if not self.is_open:
            return
        Timers.cancel(self)
        self.state = ServerState.COMPLETED
        self.is_refused = True
        self._answer = answer
        self._send(answer)
        first = TIMEOUT if self.reliable else T1
        self._timers.start(first, self)
        self._deadline = self.due - first + TIMEOUT

    def accept(self, answer: bytes) -> None:
        """Send a 2xx, again for each that comes."""
        if self.is_open:
            Timers.cancel(self)
            self.state = ServerState.ACCEPTED
            self._answer = b""
            self._timers.start(TIMEOUT, self)
        if self.state is ServerState.ACCEPTED:
            self._send(answer)

    def acknowledge(self) -> None:
        """Take the ACK to a final answer that is no 2xx."""
        if self.state is not ServerState.COMPLETED:
            return
        Timers.cancel(self)
        self.state = ServerState.CONFIRMED
        self._answer = b""
        if self.reliable:
            self._end()
        else:
            self._timers.start(T4, self)

    def _end(self) -> None:
        self.state = ServerState.TERMINATED
        self._ended()

    @override
    def run(self) -> None:
        """Do what the timer of the state stands for."""
        if self.state is ServerState.PROCEEDING:
            self._send(self._answer)
        elif self.state is ServerState.COMPLETED and self.due < self._deadline:
            self._send(self._answer)
            self._interval = min(2 * self._interval, T2)
            self._timers.start(min(self._interval, self._deadline - self.due), self)
        else:
            self._end()


class InviteUser(Protocol):
    """Who has an INVITE sent on, and hears what comes of it."""

    __slots__ = ()

    def rings(self, response: PassedMessage) -> None:
        """Take a provisional response."""

    def accepted(self, response: PassedMessage) -> None:
        """Take a 2xx; it may come again, and from several phones."""

    def refused(self, response: PassedMessage) -> None:
        """Take another final response; it has its ACK by now."""

    def overdue(self) -> None:
        """Take the end of timer C: it rings, nobody answers, and it is to be cancelled."""

    def unanswered(self) -> None:
        """Take the end of an INVITE that gets no final response, or cannot be sent."""

    def client_ended(self) -> None:
        """Hear that nothing of the INVITE can come any more."""


class InviteClient(Timer):
    """An INVITE that was sent on, until nothing of it can come any more."""

    __slots__ = (
        "_branch",
        "_data",
        "_deadline",
        "_fields",
        "_interval",
        "_requests",
        "_send",
        "_timers",
        "_user",
        "cancelled",
        "flow",
        "state",
    )

    def __init__(
        self,
        timers: Timers,
        requests: ClientTransactions,
        send: Callable[[bytes, Flow], None],
        data: bytes,
        branch: str,
        flow: Flow,
        user: InviteUser,
    ) -> None:
        """Send the INVITE `data`, whose Via has `branch`, on a flow.

        `send` raises FlowError where there is no way; so does this. A CANCEL becomes
        one of `requests`.
        """
        super().__init__()
        self._timers = timers
        self._requests = requests
        self._send = send
        self._data = data
        self._branch = branch
        self.flow = flow
        self._user = user
        self._interval = T1
        # Whether a CANCEL is wanted; it may have to wait.
        self.cancelled = False
        self._fields: Sequence[str] = ()
        self.state = ClientState.CALLING
        send(data, flow)
        first = TIMEOUT if flow.reliable else T1
        timers.start(first, self)
        self._deadline = self.due - first + TIMEOUT

    @property
    def is_open(self) -> bool:
        """Whether a final response can still come."""
        return self.state in (ClientState.CALLING, ClientState.PROCEEDING)

    def respond(self, response: PassedMessage) -> None:
        """Take a response to the INVITE."""
        if response.status < 200:
            if self.is_open:
                self._proceed(response)
        elif response.status < 300:
            if self.is_open:
                self._complete(ClientState.ACCEPTED)
                # There is nothing to be written from it any more.
                self._data = b""
            if self.state is ClientState.ACCEPTED:
                self._user.accepted(response)
        elif self.is_open or self.state is ClientState.COMPLETED:
            self._acknowledge(response)
            if self.is_open:
                self._complete(ClientState.COMPLETED)
                self._user.refused(response)
                if self.flow.reliable:
                    # Timer D is zero: it cannot come again (17.1.1.2).
                    self._end()

    def _proceed(self, response: PassedMessage) -> None:
        first = self.state is ClientState.CALLING
        self.state = ClientState.PROCEEDING
        if self.cancelled:
            if first:
                self._send_cancel()
        elif first or response.status > 100:
            Timers.cancel(self)
            self._timers.start(TIMER_C, self)
        self._user.rings(response)

    def _complete(self, state: ClientState) -> None:
        Timers.cancel(self)
        self.state = state
        self._timers.start(TIMEOUT, self)

    def cancel(self, fields: Sequence[str] = ()) -> None:
        """Cancel the INVITE as soon as that may be (9.1), with further header lines."""
        if self.cancelled or not self.is_open:
            return
        self.cancelled = True
        self._fields = fields
        if self.state is ClientState.PROCEEDING:
            self._send_cancel()

    def _send_cancel(self) -> None:
        Timers.cancel(self)
        self._timers.start(TIMEOUT, self)
        call_id, data = derived(self._data, "CANCEL", fields=self._fields)
        try:
            self._requests.send(
                "CANCEL", self._branch, call_id, data, self.flow, NOBODY
            )
        except FlowError as err:
            _LOGGER.debug("A call cannot be cancelled: %s", err.strerror)

    def _acknowledge(self, response: PassedMessage) -> None:
        """Send the ACK to a refusal (17.1.1.3)."""
        data = derived(self._data, "ACK", response.first("to"))[1]
        try:
            self._send(data, self.flow)
        except FlowError as err:
            _LOGGER.debug("A refusal gets no ACK: %s", err.strerror)

    def fail(self) -> None:
        """Take an error of the transport (17.1.4)."""
        if self.is_open:
            Timers.cancel(self)
            self.state = ClientState.TERMINATED
            self._user.unanswered()
            self._user.client_ended()

    def _end(self) -> None:
        Timers.cancel(self)
        self.state = ClientState.TERMINATED
        self._user.client_ended()

    @override
    def run(self) -> None:
        """Do what the timer of the state stands for."""
        if self.state is ClientState.CALLING and self.due < self._deadline:
            self._send_again()
        elif self.state is ClientState.PROCEEDING and not self.cancelled:
            self._user.overdue()
        elif self.is_open:
            self.fail()
        else:
            self._end()

    def _send_again(self) -> None:
        try:
            self._send(self._data, self.flow)
        except FlowError:
            self.fail()
            return
        # Timer A has no limit (17.1.1.2).
        self._interval = 2 * self._interval
        self._timers.start(min(self._interval, self._deadline - self.due), self)


class _Nobody(ClientUser):
    """Who needs not know what became of a request."""

    @override
    def succeeded(self) -> None:
        return

    @override
    def refused(self, response: Response) -> None:
        return

    @override
    def failed(self) -> None:
        return

    @override
    def unanswered(self) -> bool:
        return False


NOBODY = _Nobody()


def derived(
    invite: bytes, method: str, to: str | None = None, fields: Iterable[str] = ()
) -> tuple[str, bytes]:
    """Return Call-ID and octets of the CANCEL or ACK that goes with an INVITE.

    With its Via, Route and Request-URI (9.1, 17.1.1.3). `to` is that of the response
    which an ACK is for.
    """
    message = PassedMessage(invite)
    call_id = message.first("call-id") or ""
    lines = [
        f"{method} {message.uri} SIP/2.0",
        f"Via: {message.first_value('via')}",
        *(f"Route: {value}" for value in message.lines("route")),
        "Max-Forwards: 70",
        f"From: {message.first('from')}",
        f"To: {to or message.first('to')}",
        f"Call-ID: {call_id}",
        f"CSeq: {message.cseq[0]} {method}",
        *fields,
        "Content-Length: 0",
    ]
    return call_id, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
