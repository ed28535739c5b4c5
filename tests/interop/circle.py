"""Two Home Assistants: one is the PBX of the other, as a user would set them up.

A phone has its account at the first, another one logs in at the second for the line that
it follows. Each key, each switch and each number of rings goes all the way round, and
either Home Assistant may be started anew meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
import contextlib
from pathlib import Path
import tempfile
from typing import Final

from dev.demo import installation
from dev.demo.settings import LINES
from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import DND, NO_ANSWER, Lamp, Phone

from .checks import Check, CheckFailed
from .crash import TELLING, HomeAssistant
from .house import require, sign_on

# The line at the first, what the second calls it, and the password of its phones there.
LINE: Final = LINES[0]
NAME: Final = "Office"
OURS: Final = "a-password-of-ours"

# Seconds within which the phones' subscriptions are on the disk.
STORING: Final = 3.0


class Follower(HomeAssistant):
    """The second one."""

    async def follow(self, port: int) -> None:
        """Follow the line at the server on a port, and let phones log in for it."""
        api = self._running()
        entry_id = await installation.add_listener(api, self.sip_port)
        flows = installation.SUBENTRY_FLOWS
        menu = await api.post(flows, {"handler": [entry_id, "followed_line"]})
        form = await installation.fill(api, flows, menu, {"next_step_id": "one"})
        result = await installation.fill(
            api,
            flows,
            form,
            {
                "name": NAME,
                "host": HOST,
                "port": port,
                "transport": "UDP",
                "user": LINE.user,
                "password": LINE.password,
                "phones": {"serve": True, "phone_password": OURS},
            },
        )
        require(result["type"] == "create_entry", f"the form says {result}")


async def lights(phone: Phone, condition: Callable[[dict[str, Lamp]], bool]) -> None:
    """Return when the lamps of a phone fulfil a condition."""
    await phone.until(condition, TELLING)


@contextlib.asynccontextmanager
async def two_houses() -> AsyncIterator[tuple[HomeAssistant, Follower]]:
    """Run both, each in a directory of its own."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first = HomeAssistant(Path(one), free_port(), free_port())
        second = Follower(Path(two), free_port(), free_port())
        try:
            for running in (first, second):
                await running.prepare()
            await asyncio.gather(first.start(), second.start())
            await first.install()
            await second.follow(first.sip_port)
            yield first, second
        except Exception as err:
            said = "\n".join(
                running.log.read_text(errors="replace")[-1_000:]
                for running in (first, second)
                if running.log.exists()
            )
            raise CheckFailed(f"{err!r}\nThey said:\n{said}") from err
        finally:
            await first.kill()
            await second.kill()


async def full_circle() -> str:
    """Press keys and turn switches at either end, and start either of them anew."""
    async with contextlib.AsyncExitStack() as stack:
        first, second = await stack.enter_async_context(two_houses())
        desk = await stack.enter_async_context(
            Phone(LINE.user, LINE.password, (HOST, first.sip_port))
        )
        remote = await stack.enter_async_context(
            Phone(LINE.user, OURS, (HOST, second.sip_port))
        )
        for phone in (desk, remote):
            await sign_on(phone)
        reception = f"switch.{LINE.name.lower()}_do_not_disturb"
        office = f"switch.{NAME.lower()}_do_not_disturb"

        async def press(phone: Phone, on: bool) -> None:
            """Press a key, and look at both ends."""
            require((await phone.set_dnd(on)).ok, "a key was refused")
            for other in (desk, remote):
                await lights(other, lambda lamps: lamps[DND].on is on)
            await first.shows(reception, "on" if on else "off")
            await second.shows(office, "on" if on else "off")

        await press(desk, True)
        await press(remote, False)
        response = await second.call(
            "set_feature",
            {
                "entity_id": office,
                "feature": "CallForwardingNoAnswer",
                "status": True,
                "forward_to": "24",
                "ring_count": 7,
            },
        )
        require(response["lines"][0]["status"] is True, f"the action says {response}")
        for phone in (desk, remote):
            await lights(
                phone, lambda lamps: lamps[NO_ANSWER] == Lamp(True, "24", rings=7)
            )
        rings = "call_forwarding_no_answer_rings"
        await first.shows(f"number.{LINE.name.lower()}_{rings}", "7")
        await second.shows(f"number.{NAME.lower()}_{rings}", "7")

        # What was subscribed just before may not be on the disk yet.
        await asyncio.sleep(STORING)
        await second.kill()
        require((await desk.set_dnd(True)).ok, "a key was refused")
        await second.start()
        await lights(remote, lambda lamps: lamps[DND].on)
        await second.shows(office, "on")
        await press(remote, False)

        await first.stop()
        await first.start()
        await second.shows(office, "off")
        await press(remote, True)
        await press(desk, False)
        await second.stop()
        await first.stop()
        return (
            f"{len(desk.notifications)} NOTIFYs here, {len(remote.notifications)} there"
        )


CHECKS = (
    Check(
        subject="circle",
        title="one Home Assistant is the PBX of another",
        run=full_circle,
        limit=400.0,
    ),
)
