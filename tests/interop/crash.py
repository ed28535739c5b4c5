"""kill -9 of a whole Home Assistant while phones and people make changes.

What was answered 200 more than a second before is still there after the next start,
and every phone is told so in the dialog that it had.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from dataclasses import dataclass, field
import io
import json
import os
from pathlib import Path
import random
import signal
import tempfile
from typing import Any, Final

import aiohttp

from dev.demo import api as demo, directory, installation
from dev.demo.settings import LINES, DemoError, Options
from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import ALWAYS, BUSY, DND, NO_ANSWER, Lamp, Phone, PhoneError
from tests.phone.documents import KINDS

from .checks import Check, CheckFailed
from .house import require, require_clean, sign_on

SEED: Final = 20_261_007

# How often it is killed, and after how many seconds of changes.
KILLS: Final = 2
BURST: Final = (1.5, 3.0)

# A folder that is in memory, None where there is no such.
SHARED: Final = Path("/", "dev", "shm")
MEMORY: Final = SHARED if os.access(SHARED, os.W_OK) else None

# Seconds within which a change is in the store.
WINDOW: Final = 1.0

# Seconds that Home Assistant may take to start, and its phones to be told.
STARTING: Final = 120.0
TELLING: Final = 15.0

# A NOTIFY that was sent before the SUBSCRIBE with the new Contact came.
MOVED: Final = ", not the Contact "

# Only what the listener and its entities need; the web page is not installed for tests.
CONFIGURATION: Final = """\
homeassistant:
  name: To be killed
api:
config:
websocket_api:
logger:
  default: critical
  logs:
    custom_components.dfks: warning
"""

KEYS: Final = {
    DND: "do_not_disturb",
    ALWAYS: "call_forwarding_always",
    BUSY: "call_forwarding_busy",
    NO_ANSWER: "call_forwarding_no_answer",
}


@dataclass
class HomeAssistant:
    """A Home Assistant that can be killed and started again."""

    folder: Path
    http_port: int
    sip_port: int
    process: asyncio.subprocess.Process | None = None
    api: demo.Api | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def url(self) -> str:
        """Where its web server answers."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "output.log"

    async def prepare(self) -> None:
        """Write what it needs before its first start."""
        options = Options(
            config=self.folder,
            http_port=self.http_port,
            sip_port=self.sip_port,
            phones=False,
            fresh=False,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            await directory.prepare(options)
        (self.folder / "configuration.yaml").write_text(CONFIGURATION)

    async def start(self) -> None:
        """Start it, and return when it is running."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *directory.hass("-c", str(self.folder), "--skip-pip"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(STARTING):
            while not await self._answers():
                if self.process.returncode is not None:
                    raise CheckFailed("Home Assistant did not start")
                await asyncio.sleep(0.1)
            self.api = await self._stack.enter_async_context(demo.log_in(self.url))
            await self.api.until_running()

    async def _answers(self) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.url}/api/") as response:
                return response.status == 401
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        """End it with SIGKILL, as a power cut does."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        await self._leave()

    async def stop(self) -> None:
        """End it in good order."""
        await self._leave()
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await self.process.wait()

    async def _leave(self) -> None:
        self.api = None
        with contextlib.suppress(aiohttp.ClientError):
            await self._stack.aclose()

    def _running(self) -> demo.Api:
        if self.api is None:
            raise CheckFailed("Home Assistant is not running")
        return self.api

    async def install(self) -> None:
        """Add the listener and its lines with the integration's own forms."""
        api = self._running()
        entry_id = await installation.add_listener(api, self.sip_port)
        for line in LINES:
            await installation.add_line(api, entry_id, line)

    async def set_target(self, name: str, feature: str, target: str) -> None:
        """Change a forwarding target as a person at the dashboard does."""
        await self._running().post(
            "/api/services/text/set_value",
            {
                "entity_id": f"text.{name.lower()}_{KEYS[feature]}_target",
                "value": target,
            },
        )

    async def call(self, action: str, data: dict[str, Any]) -> Any:
        """Call an action of the integration and return its response."""
        path = f"/api/services/dfks/{action}?return_response"
        return (await self._running().post(path, data))["service_response"]

    async def state(self, entity_id: str) -> Any:
        """Return the state of an entity, with its attributes."""
        return await self._running().get(f"/api/states/{entity_id}")

    async def shows(self, entity_id: str, wanted: str) -> None:
        """Return when an entity has a state."""
        found: str | None = None
        deadline = asyncio.get_running_loop().time() + TELLING
        while asyncio.get_running_loop().time() < deadline:
            # What is not there yet has no state either.
            with contextlib.suppress(DemoError):
                found = (await self.state(entity_id))["state"]
                if found == wanted:
                    return
            await asyncio.sleep(0.1)
        raise CheckFailed(f"{entity_id} is {found} and not {wanted}")

    async def entities(self) -> dict[str, dict[str, Lamp]]:
        """Return what the entities show, by line and feature."""
        states = {
            state["entity_id"]: state["state"]
            for state in await self._running().get("/api/states")
        }
        return {
            line.user: {
                feature: _lamp(states, f"{line.name.lower()}_{key}", feature)
                for feature, key in KEYS.items()
            }
            for line in LINES
        }

    def stored(self) -> dict[str, dict[str, Lamp]]:
        """Return what the store holds, by line and feature."""
        entries = _read_json(self.folder / ".storage" / "core.config_entries")
        [entry] = [entry for entry in entries["entries"] if entry["domain"] == "dfks"]
        users = {
            subentry["subentry_id"]: subentry["data"]["user"]
            for subentry in entry["subentries"]
            if subentry["subentry_type"] == "line"
        }
        path = self.folder / ".storage" / f"dfks.{entry['entry_id']}"
        lines = _read_json(path)["lines"] if path.exists() else {}
        return {
            user: {
                feature: _stored_lamp(lines.get(line_id, {}).get(feature), feature)
                for feature in KEYS
            }
            for line_id, user in users.items()
        }


def _read_json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())["data"]
    return data


def _lamp(states: dict[str, str], name: str, feature: str) -> Lamp:
    on = states.get(f"switch.{name}") == "on"
    if feature == DND:
        return Lamp(on)
    rings = None
    if feature == NO_ANSWER:
        rings = round(float(states.get(f"number.{name}_rings", "-1")))
    return Lamp(on, states.get(f"text.{name}_target", "?"), rings)


def _stored_lamp(state: dict[str, Any] | None, feature: str) -> Lamp:
    if state is None:
        # What was never changed is not written.
        state = {"status": False, "forward_to": "", "ring_count": 3}
    if feature == DND:
        return Lamp(state["status"])
    rings = state["ring_count"] if feature == NO_ANSWER else None
    return Lamp(state["status"], state["forward_to"], rings)


@dataclass
class Wish:
    """A change that somebody asked for, and when it was confirmed."""

    user: str
    feature: str
    target: str
    asked: float
    confirmed: float | None = None


class Burst:
    """Everybody changes everything, until it is over."""

    def __init__(self, running: HomeAssistant, phones: list[Phone], seed: int) -> None:
        """Let `phones` and the entities of `running` make changes."""
        self.wishes: list[Wish] = []
        self._running = running
        self._phones = phones
        self._dice = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._count = 0

    async def until_killed(self, seconds: float) -> float:
        """Make changes and kill Home Assistant in their midst; returns when."""
        tasks = [asyncio.create_task(self._press(phone)) for phone in self._phones] + [
            asyncio.create_task(self._type(line.name, line.user)) for line in LINES
        ]
        await asyncio.sleep(seconds)
        killed = self._loop.time()
        await self._running.kill()
        # Those whose connection has died with it are to notice by themselves.
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return killed

    def _wish(self, user: str, feature: str) -> Wish:
        self._count += 1
        wish = Wish(user, feature, f"8{self._count:05}", self._loop.time())
        self.wishes.append(wish)
        return wish

    async def _press(self, phone: Phone) -> None:
        while True:
            kind = self._dice.choice(tuple(KINDS))
            wish = self._wish(phone.user, KINDS[kind])
            with contextlib.suppress(PhoneError):
                if (await phone.set_forward(kind, True, wish.target)).ok:
                    wish.confirmed = self._loop.time()
            await asyncio.sleep(self._dice.uniform(0, 0.05))

    async def _type(self, name: str, user: str) -> None:
        while True:
            wish = self._wish(user, self._dice.choice((ALWAYS, BUSY, NO_ANSWER)))
            with contextlib.suppress(aiohttp.ClientError, DemoError, CheckFailed):
                await self._running.set_target(name, wish.feature, wish.target)
                wish.confirmed = self._loop.time()
            await asyncio.sleep(self._dice.uniform(0, 0.1))

    def lost(self, entities: dict[str, dict[str, Lamp]], killed: float) -> float:
        """Return how many seconds before the kill the oldest lost change was confirmed.

        Lost is what was asked for and confirmed after what its feature shows.
        """
        oldest = 0.0
        for user, lamps in entities.items():
            for feature, lamp in lamps.items():
                of_feature = [
                    wish
                    for wish in self.wishes
                    if (wish.user, wish.feature) == (user, feature)
                ]
                shown = max(
                    (wish.asked for wish in of_feature if wish.target == lamp.target),
                    default=0.0,
                )
                ages = [
                    killed - wish.confirmed
                    for wish in of_feature
                    if wish.confirmed is not None and wish.asked > shown
                ]
                oldest = max([oldest, *ages])
        return oldest

    def require_kept(self, entities: dict[str, dict[str, Lamp]], killed: float) -> int:
        """Raise CheckFailed where a change is lost that was confirmed in time.

        A feature shows the last such change, or one that was asked for later. Returns
        how many were confirmed.
        """
        for user, lamps in entities.items():
            for feature, lamp in lamps.items():
                of_feature = [
                    wish
                    for wish in self.wishes
                    if (wish.user, wish.feature) == (user, feature)
                ]
                safe = [
                    wish.confirmed
                    for wish in of_feature
                    if wish.confirmed is not None and wish.confirmed < killed - WINDOW
                ]
                if not safe:
                    continue
                possible = {
                    wish.target
                    for wish in of_feature
                    if wish.confirmed is None or wish.confirmed >= max(safe)
                }
                require(
                    lamp.target in possible,
                    f"{user} {feature} is {lamp.target}, and should be of {possible}",
                )
        return sum(wish.confirmed is not None for wish in self.wishes)


# The check


@contextlib.asynccontextmanager
async def home_assistant() -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant with two lines in a directory of its own.

    In memory where that can be: whoever is killed loses what is not yet written, and a
    disk that other programs keep busy may take a second for that alone.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        running = HomeAssistant(Path(folder), free_port(), free_port())
        await running.prepare()
        try:
            await running.start()
            await running.install()
            yield running
        except Exception as err:
            said = (
                running.log.read_text(errors="replace") if running.log.exists() else ""
            )
            raise CheckFailed(
                f"{err!r}\nHome Assistant said:\n{said[-2_000:]}"
            ) from err
        finally:
            await running.kill()


async def _until_all_equal(running: HomeAssistant, phones: list[Phone]) -> None:
    """Return when store, entities and lamps show the same."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TELLING
    while True:
        entities = await running.entities()
        differing = [
            f"{phone.user} over {phone.transport}: lamps {phone.features}, "
            f"entities {entities[phone.user]}"
            for phone in phones
            if phone.features != entities[phone.user]
        ]
        if (stored := running.stored()) != entities:
            differing.append(f"stored {stored}, entities {entities}")
        if not differing:
            return
        if loop.time() > deadline:
            raise CheckFailed("\n".join(differing))
        await asyncio.sleep(0.1)


async def killed() -> str:
    """Kill Home Assistant in mid-burst, twice, and look at what is left."""
    dice = random.Random(SEED)
    figures = []
    async with home_assistant() as running, contextlib.AsyncExitStack() as stack:
        server = HOST, running.sip_port
        passwords = {line.user: line.password for line in LINES}
        phones = [
            await stack.enter_async_context(
                Phone(user, passwords[user], server, transport=transport)
            )
            for user, transport in (
                ("201", "udp"),
                ("201", "udp"),
                ("202", "udp"),
                ("202", "tcp"),
            )
        ]
        for phone in phones:
            await sign_on(phone)
        for _ in range(KILLS):
            burst = Burst(running, phones, dice.randrange(2**32))
            when = await burst.until_killed(dice.uniform(*BURST))
            for phone in phones:
                phone.features.clear()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await running.start()
            started = loop.time() - began
            for phone in phones:
                if phone.transport == "tcp":
                    # Its connection has died; a phone opens another and registers.
                    await phone.close()
                    await phone.start()
                    require((await phone.register()).ok, "REGISTER was refused")
                    require((await phone.refresh()).ok, "a refresh was refused")
            await _until_all_equal(running, phones)
            entities = await running.entities()
            kept = burst.require_kept(entities, when)
            lost = burst.lost(entities, when)
            strays = [phone.user for phone in phones if phone.strays]
            require(not strays, f"{strays} were told in dialogs that they do not know")
            for phone in phones:
                require((await phone.set_dnd(True)).ok, "a key was refused afterwards")
            await _until_all_equal(running, phones)
            figures.append(
                f"{kept} changes confirmed, the last {lost * 1000:.0f} ms of them lost, "
                f"up again in {started:.1f} s"
            )
        require_clean(phones, MOVED)
        await running.stop()
    return f"{'; '.join(figures)}; {len(phones)} phones told"


def _check(title: str, run: Callable[[], Awaitable[str]]) -> Check:
    limit = (KILLS + 1) * STARTING + 120.0
    return Check(subject="fault", title=title, run=run, limit=limit)


CHECKS = (_check("kill -9 of Home Assistant in mid-burst", killed),)
