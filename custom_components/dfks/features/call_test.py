"""A call that somebody makes to see which way it takes, and what the PBX makes of a 302.

While it is waited for, the test stands in the place of the line's policy. It notes the
next call, and may redirect it, whatever the features say; all else is left to the policy
of before. Whether the target is called shows where its phone is registered through here
as well.
"""

import asyncio
from enum import StrEnum
from typing import Final

from ..sip import (
    LEG_SECONDS,
    UNCONDITIONAL,
    CallPlan,
    CallPolicy,
    IncomingCall,
    LineKey,
    Redirect,
    SipServer,
    TakePlan,
)
from .calls import is_urgent, plain_number

# Seconds that a call is waited for, and that the PBX has to call the target.
CALL_SECONDS: Final = 120.0
TARGET_SECONDS: Final = 10.0


class CallTestResult(StrEnum):
    """What a call has shown."""

    # None has come.
    NO_CALL = "no_call"
    # It has come through here, and was left to the line.
    CAME = "came"
    # It was redirected, and the PBX has called the target.
    FOLLOWED = "followed"
    # It was redirected, and the PBX has not called the target.
    NOT_FOLLOWED = "not_followed"
    # It was redirected, and the target's phone is not registered through here.
    UNSEEN = "unseen"


class _Watch:
    """Stands in the place of a line's policy, and notes its first call."""

    def __init__(
        self, server: SipServer, key: LineKey, target: str | None = None
    ) -> None:
        """Redirect the call to a target, or just note it."""
        calls = server.proxy.treated
        below = calls.lines.get(key)
        self._below: CallPolicy | None = None if below is None else below.policy
        self._clock = server.clock
        self._target = target
        self._came_at: float | None = None
        self._done = asyncio.Event()
        self.end = calls.treat(*key, self).end

    async def comes(self, seconds: float) -> bool:
        """Wait for a call; return whether one has come."""
        late = self._clock.call_at(self._clock.monotonic() + seconds, self._done.set)
        try:
            await self._done.wait()
        finally:
            late.cancel()
        return self._came_at is not None

    def plan(self, call: IncomingCall) -> CallPlan | None:
        """Note a call, and redirect the first one."""
        now = self._clock.monotonic()
        first = self._came_at is None
        if self._came_at is None:
            self._came_at = now
            self._done.set()
        is_leg = first or now - self._came_at < LEG_SECONDS
        if self._target is not None and is_leg and not is_urgent(call):
            return CallPlan(at_once=Redirect(self._target, UNCONDITIONAL))
        return None if self._below is None else self._below.plan(call)

    def ask(self, call: IncomingCall, take: TakePlan) -> bool:
        """Ask nobody: it is the test that decides."""
        return False

    def dialled(self, number: str) -> None:
        """Hear of a call of the line's own phones."""
        if self._below is not None:
            self._below.dialled(number)

    def redirected(self, call: IncomingCall) -> None:
        """Hear of a call that was redirected."""
        if self._below is not None:
            self._below.redirected(call)


async def await_call(
    server: SipServer, pbx: str, user: str, target: str | None
) -> CallTestResult:
    """Wait for a call to a line, and say what has become of it."""
    watches = [_Watch(server, (pbx, user), target)]
    try:
        if not await watches[0].comes(CALL_SECONDS):
            return CallTestResult.NO_CALL
        if target is None:
            return CallTestResult.CAME
        number = plain_number(target)
        if not server.proxy.location.of_line(pbx, number):
            return CallTestResult.UNSEEN
        watches.append(_Watch(server, (pbx, number)))
        if await watches[1].comes(TARGET_SECONDS):
            return CallTestResult.FOLLOWED
        return CallTestResult.NOT_FOLLOWED
    finally:
        for watch in watches:
            watch.end()
