"""Claims of automations over the end of a whole Home Assistant, and after it.

One of them ends while Home Assistant is down: the first thing that the phone hears
afterwards is what the feature has gone back to. The others go on, and a person ends them.
"""

import asyncio
import contextlib
import time
from typing import Any, Final

from tests.loopback import HOST
from tests.phone import ALWAYS, DND, Lamp, Phone

from .checks import Check
from .crash import STARTING, TELLING, HomeAssistant, home_assistant
from .house import require, require_clean, sign_on

# Seconds that a meeting lasts, and Home Assistant is down at least.
MEETING: Final = 3.0

# Seconds in which a change is written, and a phone would have been told.
WRITING: Final = 1.0

QUIET: Final = "switch.reception_do_not_disturb"
AWAY: Final = "switch.reception_call_forwarding_always"


async def _claim(running: HomeAssistant, entity_id: str, **data: Any) -> None:
    call = {"entity_id": entity_id, "status": True, **data}
    await running.call("set_feature", call)


async def _release(running: HomeAssistant, claim: str) -> list[Any]:
    answer = await running.call("release", {"entity_id": AWAY, "claim": claim})
    lines: list[Any] = answer["lines"]
    return lines


async def _shows(phone: Phone, feature: str, lamp: Lamp) -> None:
    await phone.until(lambda lamps: lamps[feature] == lamp, TELLING)


async def _outlive(running: HomeAssistant, phone: Phone, *, killed: bool) -> None:
    """Let a claim end while Home Assistant is down, and two of a forwarding go on."""
    await _claim(running, QUIET, claim="Meeting", until=time.time() + MEETING)
    await _claim(running, AWAY, claim="Lunch", forward_to="300")
    await _claim(running, AWAY, claim="Away", forward_to="400")
    await _shows(phone, DND, Lamp(True))
    await _shows(phone, ALWAYS, Lamp(True, "400"))
    await asyncio.sleep(WRITING)
    if killed:
        await running.kill()
    else:
        await running.stop()
    heard = len(phone.notifications)
    await asyncio.sleep(MEETING)
    await running.start()
    await _shows(phone, DND, Lamp(False))
    for told in phone.notifications[heard:]:
        lamp = told.features.get(DND, Lamp(False))
        require(lamp == Lamp(False), "the phone was told what was over")
    attributes = (await running.state(QUIET))["attributes"]
    require(attributes["claims"] == [], f"claims that are over: {attributes}")


async def outlived() -> str:
    """Stop and kill Home Assistant with claims held; people and releases end them."""
    async with home_assistant() as running, contextlib.AsyncExitStack() as stack:
        phone = Phone("201", "reception-201", (HOST, running.sip_port))
        await stack.enter_async_context(phone)
        await sign_on(phone)
        for killed in (False, True):
            await _outlive(running, phone, killed=killed)
            require(len(await _release(running, "Away")) == 1, "it is not held")
            await _shows(phone, ALWAYS, Lamp(True, "300"))
            if killed:
                # A person ends what is left; the automation releases in vain.
                require((await phone.set_forward("always", False)).ok, "refused")
                await _shows(phone, ALWAYS, Lamp(False, "300"))
                require(await _release(running, "Lunch") == [], "it is still held")
            else:
                await _release(running, "Lunch")
                await _shows(phone, ALWAYS, Lamp(False, ""))
        require_clean([phone])
    return "a claim over while Home Assistant was down, two that overlap, a person"


CHECKS = (
    Check(
        subject="fault",
        title="claims over a restart and a kill -9",
        run=outlived,
        limit=3 * STARTING + 120.0,
    ),
)
