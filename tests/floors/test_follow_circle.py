"""Our own server as the PBX of another one: keys and switches, all the way round."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from custom_components.dfks.features.follow import FollowedConfig, Follower, Follows
from custom_components.dfks.features.model import (
    Feature,
    FeatureState,
    Line,
    NotifyStyle,
    Origin,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import LoopClock, SipServer, SubscriberConfig
from tests.loopback import HOST, LOOPBACK, PASSWORDS
from tests.phone import PATIENCE, Phone, settle
from tests.server import line_config, running_server

from .follow import ALWAYS, DND, NO_ANSWER, wish

TRANSPORTS = ["UDP", "TCP"]


class Circle(NamedTuple):
    """A line at one server, and the same line as another server follows it."""

    pbx: FeatureSync
    port: int
    sync: FeatureSync
    follower: Follower

    @property
    def own(self) -> Line:
        """The line where its state is."""
        return self.pbx.lines["line-201"]


@pytest.fixture
def style() -> NotifyStyle:
    """Return how the first server tells several features; tests parametrise it."""
    return NotifyStyle.MULTIPART


@pytest.fixture(params=TRANSPORTS)
async def circle(
    request: pytest.FixtureRequest, style: NotifyStyle
) -> AsyncIterator[Circle]:
    """Run two servers, one of which follows a line of the other."""
    clock = LoopClock(asyncio.get_running_loop())
    async with running_server(clock, lines=[line_config("201", style=style)]) as (
        _,
        pbx,
        port,
    ):
        second = SipServer(LOOPBACK, clock)
        sync = FeatureSync(second)
        follows = Follows(second, sync)
        where = SubscriberConfig(
            id="followed-1",
            user="201",
            username="201",
            password=PASSWORDS["201"],
            host=HOST,
            port=port,
            transport=request.param,
        )
        follower = follows.add(
            FollowedConfig(subscriber=where, assigned=tuple(Feature))
        )
        await second.start()
        try:
            await until(lambda: follower.line.available and not follower.line.unknown)
            yield Circle(pbx, port, sync, follower)
        finally:
            follows.stop()
            await second.following.end()
            await second.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that is sure to come has come."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_key_goes_all_the_way(circle: Circle) -> None:
    """From the phone to the first server to the second."""
    async with Phone("201", PASSWORDS["201"], (HOST, circle.port)) as phone:
        assert (await phone.subscribe()).status == 200
        await phone.notification()
        await phone.set_dnd(True)
        await until(lambda: circle.follower.line.state(DND).status)


async def test_a_switch_lights_the_lamp(circle: Circle) -> None:
    """From the second server to the first to the phone, rings included."""
    async with Phone("201", PASSWORDS["201"], (HOST, circle.port)) as phone:
        assert (await phone.subscribe()).status == 200
        await phone.notification()
        wished = wish(NO_ANSWER, forward_to="24", ring_count=7)
        outcome = await circle.sync.change("followed-1", wished)
        lamps = await phone.until(lambda lamps: lamps[NO_ANSWER.value].on)

    assert outcome.state == FeatureState(True, "24", 7)
    assert circle.own.state(NO_ANSWER) == FeatureState(True, "24", 7)
    assert lamps[NO_ANSWER.value].target == "24"
    assert lamps[NO_ANSWER.value].rings == 7


async def test_the_first_servers_own_change_arrives(circle: Circle) -> None:
    """And comes to rest: nothing is asked for because of it."""
    await circle.pbx.change(
        "line-201", wish(ALWAYS, forward_to="24", origin=Origin.ACTION)
    )
    await until(lambda: circle.follower.line.state(ALWAYS).status)
    heard_at = circle.follower.heard_at
    await settle()

    assert circle.follower.line.state(ALWAYS) == FeatureState(True, "24")
    assert circle.follower.heard_at == heard_at


@pytest.mark.parametrize("style", [NotifyStyle.SEPARATE])
async def test_one_notify_a_feature_is_understood_as_well(circle: Circle) -> None:
    """As Asterisk's patch does it."""
    assert circle.follower.line.unknown == frozenset()
    assert circle.follower.line.rings_known
