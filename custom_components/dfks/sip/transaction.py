"""Non-INVITE transactions, both ways (RFC 3261 17.1.2 and 17.2.2).

Server side: a request that was let in is answered at once, so a transaction here is
its final answer, kept for timer J and sent again, octet by octet, for each
retransmission. Answers to requests that were not let in are not kept: they are made
again from the request.

Client side: a request is sent again by timer E until a final response, timer F or a
transport error ends it. Late responses find no transaction and are dropped, which is
all that timer K is for.
"""

from collections import deque
from collections.abc import Callable
import os
from typing import override

from .clock import Clock, Timer, Timers
from .transport import Flow, FlowError
from .wire.message import Request, Response

# Seconds (RFC 3261 table 4).
T1 = 0.5
T2 = 4.0
# Timers F and J.
TIMEOUT = 64 * T1

# Server transactions are dropped in sweeps, so that 10,000 of them need no timer each.
SWEEP = 1.0

MAGIC_COOKIE = "z9hG4bK"

# Random octets in a branch.
BRANCH_OCTETS = 8

type TransactionKey = tuple[str | int | None, ...]
type MergeKey = tuple[str | int | None, ...]


def transaction_key(request: Request) -> TransactionKey:
    """Return what retransmissions of a request have in common (17.2.3)."""
    via = request.via
    branch = via.branch
    if len(branch) > len(MAGIC_COOKIE) and branch.startswith(MAGIC_COOKIE):
        return (branch, via.host, via.port, request.method)
    # A peer of RFC 2543, or one whose branch says nothing.
    return (
        request.uri,
        request.to_tag,
        request.from_tag,
        request.call_id,
        request.cseq,
        request.method,
        request.get("via"),
    )


# A final answer's end, what it is found by, and its source; a plain tuple, because
# there are as many as there were requests in timer J.
type _Kept = tuple[float, TransactionKey, MergeKey | None, str]


class ServerTransactions:
    """The final answers that retransmissions get again."""

    def __init__(
        self, clock: Clock, timers: Timers, per_source: int | None = None
    ) -> None:
        """Keep at most `per_source` answers for one source address."""
        self._clock = clock
        self._timers = timers
        self._per_source = per_source
        self._answers: dict[TransactionKey, bytes] = {}
        self._merge_keys: dict[MergeKey, TransactionKey] = {}
        self._sources: dict[str, int] = {}
        self._queue: deque[_Kept] = deque()
        self._sweeping = False

    def __len__(self) -> int:
        """Return the number of live transactions."""
        return len(self._answers)

    def answer_to(self, key: TransactionKey) -> bytes | None:
        """Return the answer that the request of this key got."""
        return self._answers.get(key)

    def is_full(self, source: str) -> bool:
        """Whether a source has as many live transactions as it may have."""
        return (
            self._per_source is not None
            and self._sources.get(source, 0) >= self._per_source
        )

    def is_merged(self, request: Request, key: TransactionKey) -> bool:
        """Whether the same request came before by another way (8.2.2.2)."""
        other = self._merge_keys.get(
            (request.from_tag, request.call_id, request.cseq, request.method)
        )
        return other is not None and other != key

    def keep(
        self, request: Request, key: TransactionKey, answer: bytes, flow: Flow
    ) -> None:
        """Keep an answer for timer J; over a reliable transport it needs none."""
        if flow.reliable:
            return
        merge_key = None
        if request.to_tag is None:
            merge_key = (
                request.from_tag,
                request.call_id,
                request.cseq,
                request.method,
            )
            self._merge_keys[merge_key] = key
        self._answers[key] = answer
        source = flow.remote[0]
        if self._per_source is not None:
            self._sources[source] = self._sources.get(source, 0) + 1
        until = self._clock.monotonic() + TIMEOUT
        self._queue.append((until, key, merge_key, source))
        if not self._sweeping:
            self._sweeping = True
            self._timers.after(TIMEOUT, self._sweep)

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        queue = self._queue
        while queue and queue[0][0] <= now:
            _, key, merge_key, source = queue.popleft()
            self._answers.pop(key, None)
            if merge_key is not None:
                self._merge_keys.pop(merge_key, None)
            if self._per_source is not None:
                self._release(source)
        self._sweeping = bool(queue)
        if queue:
            self._timers.after(max(queue[0][0] - now, SWEEP), self._sweep)

    def _release(self, source: str) -> None:
        left = self._sources[source] - 1
        if left:
            self._sources[source] = left
        else:
            del self._sources[source]


class ClientTransaction[SubjectT](Timer):
    """One request of ours that waits for its final response; its own timer E and F.

    `subject` is what the request is about.
    """

    __slots__ = (
        "_data",
        "_deadline",
        "_interval",
        "_owner",
        "branch",
        "call_id",
        "flow",
        "subject",
    )

    def __init__(
        self,
        owner: ClientTransactions[SubjectT],
        branch: str,
        call_id: str,
        data: bytes,
        flow: Flow,
        subject: SubjectT,
    ) -> None:
        """Send the request; the owner hears once what became of it."""
        # Set here instead of by a call: one of these is made with every NOTIFY.
        self.queue = None
        self._owner = owner
        self.branch = branch
        self.call_id = call_id
        self._data = data
        self.flow = flow
        self.subject = subject
        self._interval = T1
        self._send()
        # A stream delivers by itself; timer F alone runs (17.1.2.2).
        first = TIMEOUT if flow.reliable else T1
        owner.timers.start(first, self)
        self._deadline = self.due - first + TIMEOUT

    def proceed(self) -> None:
        """Take note of a provisional response: from now on repeat by T2."""
        self._interval = T2

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
        try:
            self._send()
        except FlowError:
            self._owner.fail(self)
            return
        self._owner.repeats += 1
        self._interval = min(2 * self._interval, T2)
        self._owner.timers.start(min(self._interval, self._deadline - now), self)


class ClientTransactions[SubjectT]:
    """The requests of ours that wait for their final responses."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        on_success: Callable[[SubjectT], None],
        on_error: Callable[[SubjectT, Response], None],
        on_failure: Callable[[SubjectT], None],
    ) -> None:
        """Call one of the callables once for each request that is not forgotten.

        On 2xx, on another final response, or where none came.
        """
        self.clock = clock
        self.timers = timers
        self._on_success = on_success
        self._on_error = on_error
        self._on_failure = on_failure
        self._waiting: dict[str, ClientTransaction[SubjectT]] = {}
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
        branch: str,
        call_id: str,
        data: bytes,
        flow: Flow,
        subject: SubjectT,
    ) -> ClientTransaction[SubjectT]:
        """Send a request; raises FlowError where it cannot even be tried."""
        transaction = ClientTransaction(self, branch, call_id, data, flow, subject)
        self._waiting[branch] = transaction
        return transaction

    def receive(self, response: Response) -> None:
        """Hand a response to its transaction; a stray one is dropped (17.1.3).

        Its source does not count: a phone may have two addresses.
        """
        transaction = self._waiting.get(response.branch)
        if (
            transaction is None
            or response.method != "NOTIFY"
            or response.get("call-id") != transaction.call_id
        ):
            return
        if response.status < 200:
            transaction.proceed()
        elif response.status < 300:
            self.succeed(response.branch, transaction.call_id)
        else:
            self.forget(transaction)
            self._on_error(transaction.subject, response)

    def succeed(self, branch: str, call_id: str) -> None:
        """Take a 2xx for the request of this branch; a stray one is dropped."""
        transaction = self._waiting.get(branch)
        if transaction is not None and transaction.call_id == call_id:
            del self._waiting[branch]
            self.timers.cancel(transaction)
            self._on_success(transaction.subject)

    def unreachable(self, branch: str) -> None:
        """Take an error of the transport for the request of this branch (18.4)."""
        transaction = self._waiting.get(branch)
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

    def fail(self, transaction: ClientTransaction[SubjectT]) -> None:
        """End a transaction as failed."""
        self._waiting.pop(transaction.branch, None)
        self.timers.cancel(transaction)
        self._on_failure(transaction.subject)

    def forget(self, transaction: ClientTransaction[SubjectT]) -> None:
        """End a transaction whose outcome nobody needs any more."""
        self._waiting.pop(transaction.branch, None)
        self.timers.cancel(transaction)
