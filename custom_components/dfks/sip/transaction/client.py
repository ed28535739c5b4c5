"""Client transactions other than INVITE (RFC 3261 17.1.2).

A request is sent again by timer E until a final response, timer F or a
transport error ends it. Late responses find no transaction and are dropped, which is
all that timer K is for.
"""

from collections.abc import Callable
import os
from typing import Protocol, override

from ..clock import Clock, Timer, Timers
from ..transport.flow import Flow, FlowError
from ..wire.headers import MAGIC_COOKIE
from ..wire.message import Response
from .timing import T1, T2, TIMEOUT

# Sendings of a large request after which it is asked whether another form may get
# through: 3.5 s of silence.
LARGE_SENDINGS = 3

# Random octets in a branch.
BRANCH_OCTETS = 8


class ClientUser(Protocol):
    """Who has a request sent (RFC 3261 5, TU): it hears once what became of it.

    None is where the request is forgotten, or never went out.
    """

    # Of some there are thousands: without this each would have a `__dict__`.
    __slots__ = ()

    def succeeded(self) -> None:
        """Take a 2xx."""

    def accepted(self, response: Response) -> None:
        """Take a 2xx that was read; most need no more than that there is one."""
        self.succeeded()

    def refused(self, response: Response) -> None:
        """Take another final response."""

    def failed(self) -> None:
        """Take the end of a request that got no final response, or could not be sent."""

    def unanswered(self) -> bool:
        """Return whether another request takes the place of this one.

        Asked after the third sending that nothing answered; the request is forgotten
        by then where it is so.
        """


class ClientTransaction(Timer):
    """One request of ours that waits for its final response; its own timer E and F."""

    __slots__ = (
        "_data",
        "_deadline",
        "_interval",
        "_owner",
        "_provisional",
        "_sendings",
        "branch",
        "call_id",
        "flow",
        "method",
        "user",
    )

    def __init__(
        self,
        owner: ClientTransactions,
        method: str,
        branch: str,
        call_id: str,
        data: bytes,
        flow: Flow,
        user: ClientUser,
        deadline: float | None,
    ) -> None:
        """Send the request; the user hears once what became of it."""
        # Set here instead of by a call: one of these is made with every NOTIFY.
        self.queue = None
        self._owner = owner
        self.method = method
        self.branch = branch
        self.call_id = call_id
        self._data = data
        self.flow = flow
        self.user = user
        self._interval = T1
        self._sendings = 1
        self._provisional = False
        self._send()
        # A stream delivers by itself; timer F alone runs (17.1.2.2).
        first = TIMEOUT if flow.reliable else T1
        owner.timers.start(first, self)
        self._deadline = deadline or self.due - first + TIMEOUT

    def proceed(self) -> None:
        """Take note of a provisional response: from now on repeat by T2."""
        self._interval = T2
        self._provisional = True

    @property
    def deadline(self) -> float:
        """When timer F gives up, in seconds of the clock."""
        return self._deadline

    def _send(self) -> None:
        """Send the request. Raises FlowError."""
        self.flow.send(self._data)
        if self._owner.on_sent is not None:
            self._owner.on_sent(self._data, self.flow)

    @override
    def run(self) -> None:
        """Send the request again, or give up."""
        now = self._owner.clock.monotonic()
        if now >= self._deadline:
            self._owner.fail(self)
            return
        if (
            self._sendings == LARGE_SENDINGS
            and not self._provisional
            and self.user.unanswered()
        ):
            return
        try:
            self._send()
        except FlowError:
            self._owner.fail(self)
            return
        self._owner.repeats += 1
        self._sendings += 1
        self._interval = min(2 * self._interval, T2)
        self._owner.timers.start(min(self._interval, self._deadline - now), self)


class ClientTransactions:
    """The requests of ours that wait for their final responses."""

    def __init__(self, clock: Clock, timers: Timers) -> None:
        """Start with none."""
        self.clock = clock
        self.timers = timers
        self._waiting: dict[str, ClientTransaction] = {}
        # How often a request was sent again.
        self.repeats = 0
        # Called with each request that has gone out, and its flow.
        self.on_sent: Callable[[bytes, Flow], None] | None = None

    def __len__(self) -> int:
        """Return the number of live transactions."""
        return len(self._waiting)

    @staticmethod
    def new_branch() -> str:
        """Return a branch parameter that no other request has (RFC 3261 8.1.1.7).

        Nobody can guess it, not even a phone that knows those of its own NOTIFYs: an
        answer under a guessed branch could end the subscription of another phone.
        """
        return MAGIC_COOKIE + os.urandom(BRANCH_OCTETS).hex()

    def send(
        self,
        method: str,
        branch: str,
        call_id: str,
        data: bytes,
        flow: Flow,
        user: ClientUser,
        deadline: float | None = None,
    ) -> ClientTransaction:
        """Send a request; raises FlowError where it cannot even be tried.

        It fails at `deadline`, in seconds of the clock; by timer F without one.
        """
        transaction = ClientTransaction(
            self, method, branch, call_id, data, flow, user, deadline
        )
        self._waiting[branch] = transaction
        return transaction

    def receive(self, response: Response) -> None:
        """Hand a response to its transaction; a stray one is dropped.

        Its source does not count: a phone may have two addresses.
        """
        transaction = self._answered(
            response.branch, response.method, response.get("call-id")
        )
        if transaction is None:
            return
        if response.status < 200:
            transaction.proceed()
            return
        self.forget(transaction)
        if response.status < 300:
            transaction.user.accepted(response)
        else:
            transaction.user.refused(response)

    def succeed(self, branch: str, call_id: str) -> bool:
        """Take a 2xx for the NOTIFY of this branch; False where there is none."""
        transaction = self._answered(branch, "NOTIFY", call_id)
        if transaction is None:
            return False
        self.forget(transaction)
        transaction.user.succeeded()
        return True

    def _answered(
        self, branch: str, method: str, call_id: str | None
    ) -> ClientTransaction | None:
        """Return the transaction that a response with all of these is for (17.1.3)."""
        transaction = self._waiting.get(branch)
        if (
            transaction is None
            or transaction.method != method
            or transaction.call_id != call_id
        ):
            return None
        return transaction

    def undelivered(self, data: bytes) -> None:
        """Take an error of the transport for a request that has come back (18.4)."""
        start = data.find(b";branch=") + 8
        branch = data[start : data.find(b";", start)]
        transaction = self._waiting.get(branch.decode("latin-1"))
        if transaction is not None:
            self.fail(transaction)

    def lost(self, flow: Flow) -> None:
        """Fail the requests that wait for a flow that is gone (18.4)."""
        for transaction in [
            transaction
            for transaction in self._waiting.values()
            if transaction.flow is flow
        ]:
            self.fail(transaction)

    def fail(self, transaction: ClientTransaction) -> None:
        """End a transaction as failed."""
        self._waiting.pop(transaction.branch, None)
        self.timers.cancel(transaction)
        transaction.user.failed()

    def forget(self, transaction: ClientTransaction) -> None:
        """End a transaction whose outcome nobody needs any more."""
        self._waiting.pop(transaction.branch, None)
        self.timers.cancel(transaction)
