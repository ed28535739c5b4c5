"""Hooks: what may supply, rewrite, hide or refuse a feature, one call at a time.

A hook is somebody else's code and may be slow. So the SIP answer never waits for it:
calls stand in one queue, lines in turn, and whatever depends on a call happens when its
turn comes.

What a hook changes itself must not ask the hook again: that would never end, and the
hook would wait for its own turn. So each call leaves a mark in the context in which it
runs, and everything that the hook starts inherits the mark.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass, replace
import logging
from time import monotonic
from typing import Final

from .model import ChangeRefused, ChangeRequest, Feature, Line, Refusal

_LOGGER = logging.getLogger(__name__)

# Seconds for one call of a hook.
HOOK_TIMEOUT: Final = 2.0

# Seconds that a call which took too long has to come to its end. Until then the next
# one waits, so that two never run at the same time by our doing.
STOP_TIMEOUT: Final = 1.0

# Seconds after a call in which what it started may still change the feature that the
# call was about without asking the hook, which would start it anew.
AFTERMATH: Final = 60.0


# What a call of the set hook is about.
type Subject = tuple[Line, Feature]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a hook says about a feature; None leaves it as it is.

    `assigned` and `notify` hide the feature in the NOTIFY that follows, and change
    nothing else.
    """

    status: bool | None = None
    forward_to: str | None = None
    ring_count: int | None = None
    assigned: bool = True
    notify: bool = True


class HookError(ChangeRefused):
    """A hook did not do its work.

    That refuses what turns a feature on or redirects it: a veto must not fail open,
    because a forwarding can cost money. For the same reason it never keeps one on.
    """

    def __init__(
        self,
        reason: str,
        refusal: Refusal = Refusal.HOOK_FAILED,
        *,
        field: str = "",
        error: str = "",
    ) -> None:
        """Say what went wrong.

        `field` names what makes no sense in its answer, `error` is what it said itself
        as it failed.
        """
        super().__init__(reason, refusal)
        self.field = field
        self.error = error


class Hooks:
    """The two hooks. This one has none; the floor above puts its own in its place."""

    @property
    def has_set_hook(self) -> bool:
        """Whether there is a set hook now."""
        return False

    @property
    def has_get_hook(self) -> bool:
        """Whether there is a get hook now."""
        return False

    async def rule(self, line: Line, change: ChangeRequest) -> Ruling:
        """Decide on a change before it is stored.

        Raises ChangeRefused to refuse it, HookError where the hook does not work.
        """
        return Ruling()

    async def supply(self, line: Line, feature: Feature, source: str | None) -> Ruling:
        """Say how a feature is, for a full state that a phone asked for.

        `source` is its host:port. Raises HookError: then the model's state is told.
        """
        return Ruling()

    def rule_failed(self, error: HookError) -> None:
        """Take note that the set hook did not work."""

    def supply_failed(self, error: HookError) -> None:
        """Take note that the get hook did not work."""


class _Call:
    """One call of a hook, as the context of what it does remembers it."""

    __slots__ = ("ended", "subject")

    def __init__(self, subject: Subject | None) -> None:
        self.subject = subject
        self.ended: float | None = None

    def covers(self, subject: Subject) -> bool:
        """Whether a change made in this context asks no hook."""
        if self.ended is None:
            return True
        return subject == self.subject and monotonic() - self.ended < AFTERMATH


_call: ContextVar[_Call | None] = ContextVar("dfks_hook_call", default=None)


def is_hooks_own(line: Line, feature: Feature) -> bool:
    """Whether the code that runs now is a hook's, and may change the feature at once.

    So is everything while a hook runs, and for a while after it the feature that the
    set hook was asked about.
    """
    call = _call.get()
    return call is not None and call.covers((line, feature))


async def call_hook[T](
    hook: Callable[[], Coroutine[object, None, T]],
    timeout: float,
    subject: Subject | None = None,
) -> T:
    """Call a hook and return what it says.

    `subject` is what it starts may go on to change after the call. Raises ChangeRefused
    where it refuses, and HookError where it does not end within `timeout` seconds or
    goes wrong in any other way.
    """
    call = _Call(subject)
    context = Context()
    context.run(_call.set, call)
    task = asyncio.get_running_loop().create_task(hook(), context=context)
    try:
        await asyncio.wait((task,), timeout=timeout)
        if not task.done():
            raise HookError("it took too long", Refusal.HOOK_TOO_SLOW)
        if task.cancelled():
            raise HookError("it was stopped")
        return task.result()
    except ChangeRefused:
        raise
    except Exception as err:
        _LOGGER.debug("A hook failed", exc_info=True)
        error = f"{type(err).__name__}: {err}"
        raise HookError(error, error=error) from err
    finally:
        call.ended = monotonic()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=STOP_TIMEOUT)


async def ask_set_hook(
    hooks: Hooks, timeout: float, line: Line, change: ChangeRequest
) -> tuple[Ruling, ChangeRequest]:
    """Return what the set hook says, and the change that comes of it.

    A hook that does not work keeps no feature on. Raises ChangeRefused.
    """
    try:
        ruling = await call_hook(
            lambda: hooks.rule(line, change), timeout, (line, change.feature)
        )
        return ruling, _ruled(change, ruling)
    except HookError as err:
        hooks.rule_failed(err)
        if (off := change.off_part) is None:
            raise
        return Ruling(), off


async def ask_get_hook(
    hooks: Hooks, timeout: float, line: Line, source: str | None, wanted: ChangeRequest
) -> tuple[Ruling, ChangeRequest]:
    """Return what the get hook says of a feature, and the change that comes of it.

    `wanted` changes nothing yet. Raises ChangeRefused.
    """
    try:
        ruling = await call_hook(
            lambda: hooks.supply(line, wanted.feature, source), timeout
        )
        return ruling, _ruled(wanted, ruling)
    except HookError as err:
        hooks.supply_failed(err)
        raise


def _ruled(change: ChangeRequest, ruling: Ruling) -> ChangeRequest:
    """Return a change with what a hook has put in its place. Raises HookError."""
    status = change.status if ruling.status is None else ruling.status
    forward_to = change.forward_to if ruling.forward_to is None else ruling.forward_to
    ring_count = change.ring_count if ruling.ring_count is None else ruling.ring_count
    try:
        return replace(
            change, status=status, forward_to=forward_to, ring_count=ring_count
        )
    except ValueError as err:
        raise HookError(str(err), Refusal.HOOK_BAD_ANSWER, field="value") from err


type Job = Callable[[], Awaitable[None]]


class HookQueue:
    """Runs jobs one at a time: lines in turn, those of one line in order of arrival.

    So whoever has many jobs waits for them, and no other line does.
    """

    def __init__(self) -> None:
        """Start empty."""
        # By line: the first is the one whose turn it is, also while its job runs.
        self._jobs: dict[str, deque[Job]] = {}
        self._task: asyncio.Task[None] | None = None
        self._held = False
        self.stopped = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self._jobs or self._task is not None or self._held)

    def is_idle(self, line_id: str) -> bool:
        """Whether nothing of a line waits or runs, so that it need not wait either."""
        return not (self._held or line_id in self._jobs)

    def put(self, line_id: str, job: Job) -> None:
        """Run a job when all of its line are done; after `stop`, never."""
        if self.stopped:
            return
        self._jobs.setdefault(line_id, deque()).append(job)
        self._go_on()

    def hold(self) -> None:
        """Run nothing more until `release`."""
        self._held = True

    def release(self) -> None:
        """Run what has gathered."""
        self._held = False
        self._go_on()

    async def stop(self) -> None:
        """Forget what waits, and stop what runs, for good."""
        self.stopped = True
        self._jobs.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _go_on(self) -> None:
        if self._task is None and self._jobs and not self._held:
            # In a context of its own: whoever happened to put the first job in has
            # nothing to do with those that follow.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), context=Context()
            )

    async def _run(self) -> None:
        try:
            while self._jobs and not self._held:
                line_id, jobs = next(iter(self._jobs.items()))
                try:
                    await jobs.popleft()()
                except Exception:
                    _LOGGER.exception("Unexpected error around a hook")
                # It has had its turn and comes last, with what has come meanwhile.
                if self._jobs.pop(line_id, None):
                    self._jobs[line_id] = jobs
        finally:
            self._task = None
