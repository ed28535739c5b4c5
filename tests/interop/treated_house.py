"""Calls that follow the keys of a line in a Home Assistant, in front of Asterisk."""

import asyncio
import contextlib
import io
from pathlib import Path
import tempfile
from typing import Any, Final

from dev.demo import installation
from dev.ports import free_port
from tests.phone import CallState

from .asterisk import PROGRAM
from .checks import Check
from .crash import TELLING, HomeAssistant
from .house import require
from .treated import CALLER, LINE, asterisk, registered, subscribe

SWITCH: Final = f"switch.{LINE}_do_not_disturb"


class InFront(HomeAssistant):
    """A Home Assistant in front of Asterisk."""

    async def stand_in_front(self, pbx_port: int) -> None:
        """Add the listener and the PBX; lines come by themselves."""
        api = self._running()
        with contextlib.redirect_stdout(io.StringIO()):
            self._entry_id = await installation.add_listener(api, self.sip_port)
            await installation.provide_pbx(api, self._entry_id, pbx_port)

    async def treat(self, user: str) -> None:
        """Have the calls of a line follow its keys."""
        api, flows = self._running(), installation.SUBENTRY_FLOWS
        line = await self._line(user)
        handler = {"handler": [self._entry_id, "line"], "subentry_id": line}
        menu = await api.post(flows, handler)
        form = await installation.fill(api, flows, menu, {"next_step_id": "settings"})
        values = {**installation.suggested(form), "treatment": {"treat_calls": True}}
        result = await installation.fill(api, flows, form, values)
        require(result["type"] == "abort", f"the form says {result}")

    async def _line(self, user: str) -> str:
        """Return the id of a line that comes by itself."""
        async with asyncio.timeout(TELLING):
            while True:
                found = await self._running().command(
                    "config_entries/subentries/list", entry_id=self._entry_id
                )
                for one in found:
                    if one["title"] == user:
                        return str(one["subentry_id"])
                await asyncio.sleep(0.1)

    async def act(self, action: str, **data: Any) -> None:
        """Run an action."""
        await self._running().post(f"/api/services/{action}", data)


async def by_switch_scene_and_key() -> str:
    """Turn do not disturb on in three ways; the caller hears that the line is busy."""
    async with contextlib.AsyncExitStack() as stack:
        pbx, _ = await stack.enter_async_context(asterisk())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = InFront(folder, free_port(), free_port())
        stack.push_async_callback(running.kill)
        await running.prepare()
        with (folder / "configuration.yaml").open("a") as configuration:
            configuration.write("scene:\n")
        await running.start()
        await running.stand_in_front(pbx[1])
        desk, caller = [
            await registered(stack, user, running.sip_port, pbx)
            for user in (LINE, CALLER)
        ]
        await running.treat(LINE)

        async def rings() -> None:
            call = await caller.dial(LINE)
            desk.refuse(await desk.incoming_call())
            await caller.until_over(call, CallState.RINGING)

        async def is_busy() -> None:
            await running.shows(SWITCH, "on")
            before = len(desk.calls)
            call = await caller.dial(LINE)
            await caller.until_over(call, CallState.RINGING)
            heard = call.response and call.response.status
            require(heard == 486, f"the caller heard {heard}")
            require(len(desk.calls) == before, "the phone rang")

        await rings()
        await running.act("switch/turn_on", entity_id=SWITCH)
        await is_busy()
        await running.act("switch/turn_off", entity_id=SWITCH)
        await running.shows(SWITCH, "off")
        await rings()
        await running.act("scene/apply", entities={SWITCH: "on"})
        await is_busy()
        await running.act("scene/apply", entities={SWITCH: "off"})
        await running.shows(SWITCH, "off")
        await rings()
        await subscribe(desk.phone)
        require((await desk.phone.set_dnd(True)).ok, "the key was refused")
        await is_busy()
        return "busy and silent by switch, scene and key, and it rings otherwise"


CHECKS = (
    Check(
        subject="treated",
        title="do not disturb by switch, scene and key of a line",
        run=by_switch_scene_and_key,
        needs=(PROGRAM,),
        limit=200.0,
    ),
)
