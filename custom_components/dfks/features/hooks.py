"""Hooks: what may supply, rewrite, hide or refuse a feature, one call at a time.

A hook is somebody else's code and may be slow. So the SIP answer never waits for it:
calls stand in one queue, in order of arrival, and whatever depends on a call happens
when its turn comes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
import logging

from .model import Feature, FeatureChange, Line

_LOGGER = logging.getLogger(__name__)

# Seconds for one call of a hook.
HOOK_TIMEOUT = 2.0

# Calls that may wait; more are refused. A phone's key must not work minutes later.
MAX_WAITING = 1000


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


# Raises ChangeRefused to refuse the change. Any other error refuses it too: a veto must
# not fail open, because a forwarding can cost money.
type SetHook = Callable[[Line, FeatureChange], Awaitable[Ruling]]

# An error leaves the feature as the model has it.
type GetHook = Callable[[Line, Feature], Awaitable[Ruling]]

type Job = Callable[[], Awaitable[None]]

# Whether the code that runs now was called by a hook: what it changes itself does not
# go through the hook again, and must not wait for its own turn.
inside_hook: ContextVar[bool] = ContextVar("inside_hook", default=False)


class HookQueue:
    """Runs jobs one at a time, in order of arrival."""

    def __init__(self) -> None:
        """Start empty."""
        self._jobs: deque[Job] = deque()
        self._task: asyncio.Task[None] | None = None
        self._held = False

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._jobs) or self._task is not None

    @property
    def full(self) -> bool:
        """Whether no more jobs should be put in."""
        return len(self._jobs) >= MAX_WAITING

    def put(self, job: Job) -> None:
        """Run a job when all before it are done."""
        self._jobs.append(job)
        self._go_on()

    def hold(self) -> None:
        """Run nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """Run what has gathered."""
        self._held = False
        self._go_on()

    async def stop(self) -> None:
        """Forget what waits, and stop what runs."""
        self._jobs.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _go_on(self) -> None:
        if self._task is None and self._jobs and not self._held:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._jobs and not self._held:
                try:
                    await self._jobs.popleft()()
                except Exception:
                    _LOGGER.exception("Unexpected error around a hook")
        finally:
            self._task = None
