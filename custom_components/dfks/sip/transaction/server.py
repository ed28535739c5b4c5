"""Server transactions other than INVITE (RFC 3261 17.2.2).

A request that was let in is answered at once, so a transaction here is its final
answer, kept for timer J and sent again, octet by octet, for each retransmission.
Answers to requests that were not let in are not kept: they are made again from the
request.
"""

from collections import deque
from collections.abc import Callable, Iterable
import hashlib
import logging
import secrets

from ..access.accounts import Account
from ..clock import Clock, Timers
from ..transport.flow import Flow, FlowError
from ..wire.headers import MAGIC_COOKIE, default_port
from ..wire.message import Request, SipError
from .timing import TIMEOUT
from .via import way_of_answer

_LOGGER = logging.getLogger(__name__)

# Server transactions are dropped in sweeps, so that 10,000 of them need no timer each.
SWEEP = 1.0

# Octets by which an answer over UDP to somebody unknown may be larger than the request.
MAX_AMPLIFICATION = 200

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


class ServerTransaction:
    """One request and the way back to who sent it.

    request  the request
    flow     the way it came
    key      what its retransmissions have in common (17.2.3)
    account  whose request it is, None as long as that is not known
    is_known  whether it is from a server that we have subscribed to, who has no account
    may_change  whether what its body asks for may be done; who sent it may be forged
    """

    __slots__ = (
        "_transactions",
        "account",
        "flow",
        "is_known",
        "key",
        "may_change",
        "request",
    )

    def __init__(
        self, transactions: ServerTransactions, request: Request, flow: Flow
    ) -> None:
        """Begin a transaction; nothing is kept before it is answered."""
        self._transactions = transactions
        self.request = request
        self.flow = flow
        self.key = transaction_key(request)
        self.account: Account | None = None
        self.is_known = False
        self.may_change = True

    @property
    def admitted(self) -> Account:
        """The line of a request that was admitted."""
        assert self.account is not None
        return self.account

    def reply(
        self, status: int, fields: Iterable[str] = (), reason: str | None = None
    ) -> None:
        """Send a final answer.

        Where it is known whose request it is, the answer is kept for retransmissions,
        and finds another way where a connection is gone. Else it raises FlowError.
        """
        self._transactions.reply(self, status, fields, reason)

    def refuse(self, err: SipError) -> None:
        """Send the answer that an error stands for."""
        try:
            self._transactions.reply(self, err.status, err.fields, err.reason)
        except FlowError as error:
            _LOGGER.debug("No answer to %s: %s", self.flow.remote[0], error.strerror)

    def check_merged(self) -> None:
        """Refuse a request that came before by another way (8.2.2.2)."""
        if self._transactions.is_merged(self.request, self.key):
            raise SipError(482, "Merged Request")


class ServerTransactions:
    """The final answers that retransmissions get again."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        send: Callable[[bytes, Flow], None],
        reach: Callable[[str, str, int, Flow], Flow],
        per_source: int | None = None,
    ) -> None:
        """Keep at most `per_source` answers for one source address.

        `send` sends an answer on a flow, `reach` finds a flow to a transport, host
        and port from the side of another flow. Both raise FlowError.
        """
        self._send = send
        self._reach = reach
        self._tag_key = secrets.token_bytes(16)
        # How often a request came again.
        self.repeats = 0
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

    def answer_again(self, transaction: ServerTransaction) -> bool:
        """Send the answer that a request got before; False where there is none.

        Raises FlowError.
        """
        answer = self._answers.get(transaction.key)
        if answer is None:
            return False
        self.repeats += 1
        self._send(answer, way_of_answer(transaction.request.via, transaction.flow))
        return True

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        fields: Iterable[str],
        reason: str | None,
    ) -> None:
        """Send a final answer; see `ServerTransaction.reply`."""
        request, flow = transaction.request, transaction.flow
        if request.to_tag is None and request.to_text == request.fields.get("to"):
            request.to_text += f";tag={self._stateless_tag(request)}"
        answer = request.answer(status, fields, reason=reason)
        known = transaction.account is not None or transaction.is_known
        if known:
            self._keep(request, transaction.key, answer, flow)
        elif len(answer) > request.size + MAX_AMPLIFICATION and not flow.reliable:
            answer = _shortened(request, status, fields)
        try:
            self._send(answer, way_of_answer(request.via, flow))
        except FlowError as err:
            if not known:
                raise
            self._send_anew(request, answer, flow, err)

    def _send_anew(
        self, request: Request, answer: bytes, flow: Flow, err: FlowError
    ) -> None:
        """Send an answer whose connection is gone to the port of the Via (18.2.2).

        Only where the account is known: nobody else has connections opened. What the
        answer is about has happened, so where there is no way only the answer is lost.
        """
        host = flow.remote[0]
        if flow.reliable:
            port = request.via.port or default_port(flow.transport)
            try:
                self._send(answer, self._reach(flow.transport, host, port, flow))
            except FlowError as again:
                err = again
            else:
                return
        _LOGGER.debug("No answer to %s: %s", host, err.strerror)

    def _stateless_tag(self, request: Request) -> str:
        """Return a To tag that a retransmission gets again (RFC 3261 8.2.7)."""
        text = f"{request.via.branch}\n{request.call_id}\n{request.from_tag}"
        octets = text.encode("latin-1")
        return hashlib.blake2s(octets, key=self._tag_key, digest_size=8).hexdigest()

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

    def _keep(
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


def _shortened(request: Request, status: int, fields: Iterable[str]) -> bytes:
    """Return an answer that is not much larger than its request.

    Of the fields those go that come last. No phone's request is so small: this is for
    who writes in the name of another, to have something large sent there.
    """
    left = list(fields)
    while True:
        answer = request.short_answer(status, left)
        if not left or len(answer) <= request.size + MAX_AMPLIFICATION:
            return answer
        left.pop()
