"""What a PBX may say on a bad day, and what a network may lose of it.

`DFKS_MUTATED_NOTIFIES=100000` sends as many damaged NOTIFYs as that, for a long look.
"""

import asyncio
from collections.abc import Callable
import logging
import os
import random

import pytest

from custom_components.dfks.features.follow import Follower, Follows
from custom_components.dfks.features.model import ChangeRefused, Feature
from custom_components.dfks.sip import SipServer
from tests.clock import ManualClock
from tests.phone import Request, Response, settle
from tests.phone.wire import parse
from tests.sip.proxy.mutations import mutated

from .follow import (
    ALL_OFF,
    ALWAYS,
    BUSY,
    DND,
    NO_ANSWER,
    FeaturePbx,
    change,
    full_state,
    says,
    wish,
)
from .test_follow import Follow, config_of_line, follow, follower, follows, pbx

__all__ = ["config_of_line", "follow", "follower", "follows", "pbx"]

NOTIFIES = int(os.environ.get("DFKS_MUTATED_NOTIFIES", "2000"))

SEEDS = [
    ("application/x-as-feature-event+xml", says(DND, True)),
    ("application/x-as-feature-event+xml", says(ALWAYS, True, "24")),
    ("application/x-as-feature-event+xml", says(NO_ANSWER, False, "0", 4)),
    full_state(says(DND, False), says(ALWAYS, True, "24"), says(BUSY, False, "")),
    ("", b""),
]


async def test_damaged_notifies_raise_nothing_unforeseen(
    follower: Follower,
    pbx: FeaturePbx,
    server: SipServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is answered or dropped, and the line goes on afterwards."""
    chance = random.Random(16)
    remote = follower.remote
    assert remote is not None
    flow = remote.server.flow()

    async def begun_anew() -> None:
        await settle()
        while pbx.drain():
            await settle()
        remote.subscriber.start()
        await pbx.take_subscribe(*ALL_OFF)

    for number in range(NOTIFIES):
        if number % 200 == 0:
            # Some of them end the subscription, or raise its count.
            await begun_anew()
        assert pbx.subscribed is not None
        content_type, body = chance.choice(SEEDS)
        headers = {"Event": "as-feature-event"}
        if body:
            headers["Content-Type"] = content_type
        data = pbx.notification(
            pbx.subscribed, "active;expires=3600", headers, body, cseq=number + 10
        )
        server.receive(mutated(data, chance), flow)
        if number % 100 == 99:
            await asyncio.sleep(0)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    await begun_anew()
    assert follower.line.available
    assert follower.line.unknown == frozenset()


class LossyPbx:
    """A PBX behind a network that loses a fifth, each way; it sends again as one does."""

    def __init__(self, pbx: FeaturePbx, chance: random.Random) -> None:
        """Answer from now on."""
        self.pbx = pbx
        self.chance = chance
        self.dnd = False
        self.changes = 0
        self._cseq = 0
        self._seen: dict[str, bytes] = {}
        self._open: dict[str, tuple[bytes, float, float]] = {}

    def _send(self, data: bytes) -> None:
        if self.chance.random() >= 0.2:
            self.pbx.send(data)

    def work(self, now: float) -> None:
        """Take what has come, and send again what was not answered."""
        while self.pbx._messages.qsize():
            message = parse(self.pbx._messages.get_nowait())
            if self.chance.random() < 0.2:
                continue
            if isinstance(message, Response):
                self._open.pop(message.branch, None)
            else:
                self._take(message, now)
        for branch, (data, due, pause) in list(self._open.items()):
            if now >= due:
                self._send(data)
                self._open[branch] = data, now + pause, min(2 * pause, 4.0)

    def _take(self, request: Request, now: float) -> None:
        if request.branch in self._seen:
            self._send(self._seen[request.branch])
            return
        response = request.response(
            200, extra=[("Contact", self.pbx.contact), ("Expires", "3600")]
        )
        if ";tag=" not in request.get("To"):
            response.headers = [
                (name, f"{value};tag=notifier-1" if name.lower() == "to" else value)
                for name, value in response.headers
            ]
        self._seen[request.branch] = response.encode()
        self._send(response.encode())
        if request.body:
            self.dnd = b"<doNotDisturbOn>true" in request.body
            self.changes += 1
        self._cseq += 1
        content_type, body = full_state(
            says(DND, self.dnd),
            says(ALWAYS, False),
            says(BUSY, False),
            says(NO_ANSWER, False),
        )
        data = self.pbx.notification(
            request,
            "active;expires=3600",
            {"Event": "as-feature-event", "Content-Type": content_type},
            body,
            cseq=self._cseq,
        )
        self._open[parse(data).branch] = data, now + 0.5, 1.0
        self._send(data)


@pytest.mark.requirement("S9", "S16")
async def test_s16_a_fifth_of_all_datagrams_may_be_lost(
    follows: Follows,
    follow: Follow,
    pbx: FeaturePbx,
    clock: ManualClock,
) -> None:
    """Whatever is lost, each change comes to an end, and in the end both agree."""
    follower = follow()
    lossy = LossyPbx(pbx, random.Random(20))

    async def run(done: Callable[[], bool], seconds: float) -> None:
        end = clock.monotonic() + seconds
        while not done() and clock.monotonic() < end:
            await asyncio.sleep(0.001)
            lossy.work(clock.monotonic())
            await asyncio.sleep(0.001)
            clock.advance(0.25)

    await run(lambda: follower.line.available, 200)
    assert follower.line.available
    made = 0
    for number in range(12):
        asked = change(follows, wish(DND, number % 2 == 0))
        await run(asked.done, 120)
        assert asked.done()
        try:
            made += (await asked).state.status is (number % 2 == 0)
        except ChangeRefused:
            await run(lambda: follower.line.available, 120)
    await run(lambda: False, 20)

    assert made >= 10
    assert follower.line.state(DND).status is lossy.dnd
    assert follower.line.unknown <= set(Feature)


@pytest.mark.requirement("S8", "S9")
@pytest.mark.parametrize("status", [500, 503, 408])
async def test_s8_a_pbx_in_trouble_is_asked_again(
    follows: Follows,
    follow: Follow,
    pbx: FeaturePbx,
    clock: ManualClock,
    status: int,
) -> None:
    """The line is unavailable meanwhile, and comes back by itself."""
    follower = follow()
    pbx.answer_subscribe(await pbx.next_request(), status)
    await settle()
    assert not follower.line.available

    clock.advance(36)
    await settle()
    while True:
        pbx.subscribed = await pbx.next_request()
        if not pbx._messages.qsize():
            break
    pbx.answer_subscribe(pbx.subscribed, expires="3600")
    await pbx.tell_body(*ALL_OFF)

    assert follower.line.available
