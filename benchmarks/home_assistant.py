"""Measurements in a full Home Assistant: entities, recorder, a browser that watches.

The process is set up as `scripts/develop` does it, through Home Assistant's own forms,
on a configuration directory of its own that is removed afterwards.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
import io
from pathlib import Path
import signal
import socket
import sys
import tempfile
import time
from typing import Final, NamedTuple

import aiohttp

from dev.demo import directory, installation
from dev.demo.api import Api, log_in
from dev.demo.settings import DemoLine, Options
from dev.ports import free_port

from .headless import PASSWORD, RATE, TRANSACTIONS, Echoes, Effort, Figures, require_all
from .phones import Load, Phone, Phones, percentile
from .processes import BENCHMARKS, GENERATOR_CORE, HOST, Server, headless

# Lines, each with a phone and all its entities.
LINES: Final = 250

# Changes of one turn. The server takes no more than 20,000 requests of one source in
# 32 s, and all phones here are one source.
CHANGES: Final = 2000

# Seconds of one turn with bare entities; it makes about as many changes.
BARE: Final = 0.4

HIGH_RATE: Final = 500.0
ROOM: Final = 18_000

# Seconds that Home Assistant may take to start, or to do anything it was asked for.
PATIENCE: Final = 120.0

# No more than this belongs to Home Assistant's own life, in CPU seconds a second.
QUIET: Final = 0.04

# Seconds in which the recorder gathers states before it writes them, and one more.
RECORDER: Final = 6.0

CONFIGURATION: Final = """\
# What default_config brings that needs the network is left out.
api:
config:
history:
logbook:
websocket_api:
logger:
  default: error
bare_entities:
  port: {port}
"""


class House(NamedTuple):
    """A Home Assistant with LINES lines and their phones."""

    server: Server
    url: str
    token: str
    phones: Phones
    dialogs: list[Phone]
    bare: Echoes
    bare_port: int

    def press(self, rate: float, seconds: float) -> Load:
        """Press keys, one phone after the other. Raises RuntimeError."""
        next_phone = self.phones.pick(self.dialogs)
        load = self.phones.open(
            lambda: self.phones.press(next_phone()), rate=rate, seconds=seconds
        )
        require_all(load)
        return load

    def press_many(self) -> int:
        """Press keys as fast as they are answered; return how many."""
        next_phone = self.phones.pick(self.dialogs)
        return require_all(
            self.phones.closed(lambda: self.phones.press(next_phone()), count=CHANGES)
        )

    def act(self, domain: str, action: str) -> None:
        """Have Home Assistant run an action."""

        async def run() -> None:
            async with log_in(self.url) as api:
                await api.post(f"/api/services/{domain}/{action}", {})

        asyncio.run(run())

    def longest_collection(self) -> float:
        """Return the seconds of the longest garbage collection since the last call."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(PATIENCE)
            asking.sendto(b"", (HOST, self.bare_port))
            return float(asking.recv(100))

    def cost(self, load: Callable[[], int]) -> tuple[float, float]:
        """Return the CPU seconds of each of what `load` does, and the recorder's part.

        All threads, until the recorder has written it. It must be settled before.
        """
        before = self.server.cpu_by_thread()
        count = load()
        self.settle()
        used = {
            name: (seconds - before.get(name, 0.0)) / count
            for name, seconds in self.server.cpu_by_thread().items()
        }
        return sum(used.values()), used.get("Recorder", 0.0)

    def settle(self) -> None:
        """Return when the recorder has written what there was to write."""
        self.phones.listen(RECORDER)
        deadline = time.monotonic() + PATIENCE
        busy = True
        while busy and time.monotonic() < deadline:
            before = self.server.cpu()
            self.phones.listen(1.0)
            busy = self.server.cpu() - before > QUIET


def measure(effort: Effort, turns: int) -> list[Figures]:
    """Measure `turns` times what a change costs, and once how it fares under load."""
    with _running() as house:
        rounds = [_measure_change(house) for _ in range(turns)]
        rounds[0] |= _measure_latency(house, effort)
        if 2 * turns * CHANGES + HIGH_RATE * effort.high_rate > ROOM:
            house.phones.listen(TRANSACTIONS)
        rounds[0] |= _measure_high_rate(house, effort)
    return rounds


def _measure_change(house: House) -> Figures:
    """Measure a change beside what it is made of.

    That is the lower floors alone, likewise with digest and as many lines, and what
    Home Assistant itself takes for a switch and an event entity; and one that the
    recorder does not write.
    """
    server, port = headless(f"--password={PASSWORD}")
    with server, Phones(port, password=PASSWORD) as phones:
        next_phone = phones.pick(phones.fill(LINES))
        phones.closed(lambda: phones.press(next_phone()), count=CHANGES // 4)
        before = server.cpu()
        load = phones.closed(lambda: phones.press(next_phone()), count=CHANGES)
        alone = (server.cpu() - before) / require_all(load)
    house.settle()
    change, recorder = house.cost(house.press_many)
    own, own_recorder = house.cost(lambda: house.bare.closed(BARE))
    house.act("recorder", "disable")
    unrecorded, _ = house.cost(house.press_many)
    house.act("recorder", "enable")
    return {
        "ha_alone": alone,
        "ha_change": change,
        "ha_recorder": recorder,
        "ha_own": own,
        "ha_own_recorder": own_recorder,
        "ha_unrecorded": unrecorded,
    }


def _measure_latency(house: House, effort: Effort) -> Figures:
    """Measure from a phone's key to the changed state at a WebSocket client."""
    command = [sys.executable, "-m", "benchmarks.listener", house.url, house.token]
    house.phones.patient = True
    house.longest_collection()
    with Server(command, core=GENERATOR_CORE) as listener:
        load = house.press(RATE, effort.latency)
        house.phones.listen(1.0)
        heard = defaultdict(list)
        for entity, heard_at in listener.report():
            heard[entity].append(heard_at)
    pressed = defaultdict(list)
    for user, pressed_at in load.started:
        pressed[f"switch.line_{user.decode()}_do_not_disturb"].append(pressed_at)
    times = [
        heard_at - pressed_at
        for entity, moments in pressed.items()
        for pressed_at, heard_at in zip(moments, heard[entity], strict=True)
    ]
    return {
        "ha_p50": percentile(times, 0.5),
        "ha_p99": percentile(times, 0.99),
        "ha_collection": house.longest_collection(),
    }


def _measure_high_rate(house: House, effort: Effort) -> Figures:
    """Count what was sent twice in a long load of many changes a second."""
    house.longest_collection()
    before = house.server.cpu()
    load = house.press(HIGH_RATE, effort.high_rate)
    share = (house.server.cpu() - before) / load.seconds
    return {
        "ha_repeats": float(load.repeated + load.repeats),
        "ha_high_p99": load.percentile(0.99),
        "ha_high_share": share,
        "ha_high_collection": house.longest_collection(),
    }


# Setting up


@contextmanager
def _running() -> Iterator[House]:
    """Run a Home Assistant with the lines, and a phone for each."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        options = Options(
            config=Path(name),
            http_port=free_port(),
            sip_port=free_port(),
            phones=False,
            fresh=False,
        )
        with redirect_stdout(io.StringIO()):
            asyncio.run(directory.prepare(options))
        bare_port = free_port()
        configuration = CONFIGURATION.format(port=bare_port)
        (options.config / "configuration.yaml").write_text(configuration)
        components = options.config / "custom_components"
        (components / "bare_entities").symlink_to(BENCHMARKS / "bare_entities")
        # Else the checkout's own package of that name would come before it.
        (components / "__init__.py").touch()
        command = directory.hass("-c", name, "--skip-pip")
        log = options.config / "output"
        server = stack.enter_context(
            Server(command, ready=None, log=log, ending=signal.SIGHUP)
        )
        url = f"http://{HOST}:{options.http_port}"
        token = asyncio.run(_install(server, url, options.sip_port))
        phones = Phones(options.sip_port, password=PASSWORD)
        stack.enter_context(phones)
        dialogs = phones.fill(LINES, _user)
        bare = Echoes(bare_port)
        stack.callback(bare.close)
        yield House(server, url, token, phones, dialogs, bare, bare_port)


def _user(number: int) -> bytes:
    return b"%d" % (1000 + number)


async def _install(server: Server, url: str, sip_port: int) -> str:
    """Set up listener and lines as a user does, and return an access token."""
    async with asyncio.timeout(PATIENCE):
        await _wait_until_up(server, url)
        async with log_in(url) as api:
            while (await api.get("/api/config"))["state"] != "RUNNING":
                await asyncio.sleep(0.2)
            entry_id = await installation.add_listener(api, sip_port)
            for number in range(LINES):
                user = _user(number).decode()
                line = DemoLine(name=f"Line {user}", user=user, password=PASSWORD)
                await installation.add_line(api, entry_id, line)
            await _wait_for_entities(api)
            token: str = await api.command(
                "auth/long_lived_access_token", client_name="benchmark", lifespan=1
            )
            return token


async def _wait_until_up(server: Server, url: str) -> None:
    """Return when the web server answers. Raises RuntimeError where it ends before."""
    async with aiohttp.ClientSession(url) as session:
        while server.running:
            with suppress(aiohttp.ClientError):
                async with session.get("/api/"):
                    return
            await asyncio.sleep(0.2)
    raise RuntimeError("Home Assistant did not start")


async def _wait_for_entities(api: Api) -> None:
    """Return when each line has its switches."""
    wanted = {
        f"switch.line_{_user(number).decode()}_do_not_disturb"
        for number in range(LINES)
    }
    while True:
        states = await api.get("/api/states")
        if wanted <= {state["entity_id"] for state in states}:
            return
        await asyncio.sleep(0.2)
