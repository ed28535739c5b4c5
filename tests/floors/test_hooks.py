"""Hooks, while phones subscribe, press keys and go."""

import asyncio

import pytest

from custom_components.dfks.features.hooks import Ruling
from custom_components.dfks.features.model import ChangeRequest, Line
from custom_components.dfks.features.sync import FeatureSync
from tests.hooks import FunctionHooks, says
from tests.phone import BUSY, set_dnd
from tests.sip.caller import Caller

from .caller import lamps
from .conftest import Switch
from .test_bodies import BAD_BODIES

requirement = pytest.mark.requirement


@requirement("F4", "B12")
async def test_f4_the_answer_does_not_wait_for_a_look_up(
    caller: Caller, release: asyncio.Event
) -> None:
    """A hook that supplies the state may be slow: the 200 is there before."""
    response = await caller.call("SUBSCRIBE")
    await caller.nothing()
    release.set()

    assert response.status == 200
    assert len(lamps(await caller.next_request())) == 4


@requirement("F4", "F27")
async def test_f4_a_look_up_for_a_phone_that_is_gone_tells_nobody(
    caller: Caller, release: asyncio.Event
) -> None:
    """It has rebooted while a hook was slow; only the new dialog is told."""
    await caller.call("SUBSCRIBE", {"Call-ID": "old"})
    await caller.call("SUBSCRIBE", {"Call-ID": "new"})
    release.set()
    notify = await caller.next_request()

    assert notify.call_id == "new"
    await caller.nothing()


@requirement("F15")
async def test_f15_a_phone_that_has_ended_it_is_not_told_what_it_was_owed(
    caller: Caller, sync: FeatureSync, switch: Switch
) -> None:
    """Nor what comes of its own key, which a hook still has to think about."""
    release = asyncio.Event()

    async def rule(_line: Line, _change: ChangeRequest) -> Ruling:
        await release.wait()
        return Ruling()

    subscribed = await caller.subscribe(status=0)
    await switch(BUSY, True, "1")
    sync.hooks = FunctionHooks(rule=rule)
    await subscribed.send(body=set_dnd(False))

    await subscribed.answer(subscribed.first, 481)
    release.set()

    await caller.settle()
    await caller.nothing()


@requirement("F26")
async def test_f26_a_bad_body_reaches_no_hook(
    caller: Caller, sync: FeatureSync
) -> None:
    """There is nothing to decide about."""
    hooks = FunctionHooks(rule=says(Ruling()))
    sync.hooks = hooks
    subscribed = await caller.subscribe()
    for body in BAD_BODIES.values():
        await subscribed.send(body=body)
        await subscribed.told()

    assert hooks.asked == []
