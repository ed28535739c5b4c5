"""Server transactions other than INVITE (RFC 3261 17.2.2).

A request that was let in is answered at once, so a transaction here is its final
answer, kept for timer J and sent again, octet by octet, for each retransmission.
Answers to requests that were not let in are not kept: they are made again from the
request.
"""

from collections import deque

from ..clock import Clock, Timers
from ..transport import Flow
from ..wire.headers import MAGIC_COOKIE
from ..wire.message import Request
from .timing import TIMEOUT

# Server transactions are dropped in sweeps, so that 10,000 of them need no timer each.
SWEEP = 1.0

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
