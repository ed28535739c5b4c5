"""Measurements in a full Home Assistant: entities, recorder, a browser that watches.

The process is set up as `scripts/develop` does it, through Home Assistant's own forms,
on a configuration directory of its own that is removed afterwards.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout, suppress
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

from .headless import (
    HIGH_RATE,
    PASSWORD,
    RATE,
    TRANSACTIONS,
    Echoes,
    Effort,
    Figures,
    require_all,
)
from .listener import Note
from .passing import Ends, paced
from .phones import REST, Load, Phone, Phones, percentile
from .processes import BENCHMARKS, GENERATOR_CORE, HOST, Server, headless

# Lines, each with a phone and all its entities: so many that a line rests long enough
# between two changes at RATE, and between four at HIGH_RATE.
LINES: Final = 300

# Times that every line is changed in one turn, once a REST.
TIMES: Final = 7

# The server takes no more than 20,000 requests of one source in 32 s, and all phones
# here are one source.
ROOM: Final = 18_000

# Seconds that Home Assistant may take to start and get its lines, or to do anything
# else that it was asked for.
INSTALLING: Final = 400.0
PATIENCE: Final = 120.0

# No more than this belongs to Home Assistant's own life, in CPU seconds a second.
QUIET: Final = 0.04

# Seconds in which the recorder gathers states before it writes them, and one more.
RECORDER: Final = 6.0

# What default_config brings that needs the network is left out.
CONFIGURATION: Final = """\
api:
config:
history:
logbook:
websocket_api:
logger:
  default: error
"""

BARE_ENTITIES: Final = """\
bare_entities:
  port: {port}
  count: {count}
  limited: {limited}
"""


class Used(NamedTuple):
    """CPU seconds of all threads, of the event loop's and of the recorder's."""

    total: float
    loop: float
    recorder: float


class House(NamedTuple):
    """A Home Assistant with lines and their phones."""

    server: Server
    url: str
    token: str
    phones: Phones
    dialogs: list[Phone]
    bare: Echoes
    bare_port: int
    sip_port: int

    def press(self, seconds: float) -> Load:
        """Press keys at RATE, one phone after the other. Raises RuntimeError."""
        next_phone = self.phones.pick(self.dialogs, rest=REST)
        load = self.phones.open(
            lambda: self.phones.press(next_phone()), rate=RATE, seconds=seconds
        )
        require_all(load)
        return load

    def press_fast(self, seconds: float) -> Load:
        """Press keys at HIGH_RATE. Raises RuntimeError.

        Of each phone one key and then another, so that each rests.
        """
        next_phone = self.phones.pick(self.dialogs)
        # Since when the lamps show what they do.
        since: dict[Phone, float] = {}

        def press() -> None:
            phone = next_phone()
            rests_since = since.setdefault(phone, phone.told_at)
            if time.monotonic() - rests_since < REST:
                self.phones.forward(phone)
            else:
                del since[phone]
                self.phones.press(phone)

        load = self.phones.open(press, rate=HIGH_RATE, seconds=seconds)
        require_all(load)
        return load

    def press_all(self) -> int:
        """Press a key of every phone; return how many there are."""
        return _press_all(self.phones, self.dialogs)

    def turn_all(self) -> int:
        """Turn every bare entity; return how many there are."""
        return self.bare.closed(datagrams=LINES)

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

    def cost(self, load: Callable[[], int]) -> Used:
        """Return the CPU seconds of each of what `load` does.

        It is done TIMES times. Until the recorder has written it; it must be settled
        before.
        """
        before = self.server.cpu_by_thread()
        done = repeat(load)
        self.settle()
        used = {
            name: (seconds - before.get(name, 0.0)) / done
            for name, seconds in self.server.cpu_by_thread().items()
        }
        return Used(sum(used.values()), used["main"], used.get("Recorder", 0.0))

    def settle(self) -> None:
        """Return when the recorder has written what there was to write."""
        self.phones.listen(RECORDER)
        deadline = time.monotonic() + PATIENCE
        busy = True
        while busy and time.monotonic() < deadline:
            before = self.server.cpu()
            self.phones.listen(1.0)
            busy = self.server.cpu() - before > QUIET


def repeat(load: Callable[[], int]) -> int:
    """Put a load TIMES times on a server, once a REST; return how much was done."""
    done = 0
    for _ in range(TIMES):
        rested = time.monotonic() + REST
        done += load()
        time.sleep(max(0.0, rested - time.monotonic()))
    return done


def _press_all(phones: Phones, dialogs: list[Phone]) -> int:
    """Press a key of every phone, as fast as they are answered; return how many."""
    next_phone = phones.pick(dialogs, rest=REST)
    return require_all(
        phones.closed(lambda: phones.press(next_phone()), exchanges=len(dialogs))
    )


def measure(effort: Effort, turns: int) -> list[Figures]:
    """Measure `turns` times what a change costs, and once how it fares under load."""
    with running() as house:
        rounds = [_measure_change(house) for _ in range(turns)]
        rounds[0] |= _measure_latency(house, effort)
        rounds[0] |= _measure_passing(house, effort)
        if 2 * turns * TIMES * LINES + HIGH_RATE * effort.high_rate > ROOM:
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
        dialogs = phones.fill(LINES)
        _press_all(phones, dialogs)
        phones.listen(REST)
        before = server.cpu()
        done = repeat(lambda: _press_all(phones, dialogs))
        alone = (server.cpu() - before) / done
    house.settle()
    change = house.cost(house.press_all)
    own = house.cost(house.turn_all)
    house.act("recorder", "disable")
    unrecorded = house.cost(house.press_all)
    house.act("recorder", "enable")
    return {
        "ha_alone": alone,
        "ha_change": change.total,
        "ha_recorder": change.recorder,
        "ha_own": own.total,
        "ha_own_recorder": own.recorder,
        "ha_more": change.loop - own.loop,
        "ha_unrecorded": unrecorded.total,
    }


def _measure_latency(house: House, effort: Effort) -> Figures:
    """Measure from a phone's key to the changed state at a WebSocket client.

    Beside Home Assistant's own, from a datagram that turns a bare switch.
    """
    house.phones.patient = True
    house.longest_collection()
    with _listening(house) as listener:
        load = house.press(effort.latency)
        house.phones.listen(1.0)
        times = _delays(
            [(_switch(user), pressed_at) for user, pressed_at in load.started],
            listener.report(),
        )
        collection = house.longest_collection()
        turned = house.bare.open(RATE, effort.latency)
        house.phones.listen(1.0)
        own = _delays(
            [
                (f"switch.switch_{number % LINES}", sent_at)
                for number, (sent_at, _) in enumerate(turned)
            ],
            listener.report(),
        )
    return {
        "ha_p50": percentile(times, 0.5),
        "ha_p99": percentile(times, 0.99),
        "ha_collection": collection,
        "ha_own_p50": percentile(own, 0.5),
        "ha_own_p99": percentile(own, 0.99),
    }


def _measure_passing(house: House, effort: Effort) -> Figures:
    """Measure how long single messages take to pass to a PBX, which is added for that."""
    seconds = range(round(effort.latency))
    with closing(Ends()) as ends:
        asyncio.run(add_pbx(house.url, ends.pbx_port))
        ends.towards(house.sip_port)
        ends.register()
        times = [each for _ in seconds for each in paced(ends)]
    return {"ha_pass_p99": percentile(times, 0.99)}


def _listening(house: House) -> Server:
    command = [sys.executable, "-m", "benchmarks.listener", house.url, house.token]
    return Server(command, core=GENERATOR_CORE)


def _delays(changed: list[Note], heard: list[Note]) -> list[float]:
    """Return the seconds between changes of entities and when they were heard of."""
    moments = defaultdict(list)
    for entity, heard_at in heard:
        moments[entity].append(heard_at)
    changes = defaultdict(list)
    for entity, changed_at in changed:
        changes[entity].append(changed_at)
    return [
        heard_at - changed_at
        for entity, times in changes.items()
        for changed_at, heard_at in zip(times, moments[entity], strict=True)
    ]


def _measure_high_rate(house: House, effort: Effort) -> Figures:
    """Count what was sent twice in a long load of many changes a second."""
    house.longest_collection()
    before = house.server.cpu()
    load = house.press_fast(effort.high_rate)
    share = (house.server.cpu() - before) / load.seconds
    return {
        "ha_repeats": float(load.repeated + load.repeats),
        "ha_high_p99": load.percentile(0.99),
        "ha_high_share": share,
        "ha_high_collection": house.longest_collection(),
    }


# Setting up


def prepare(config: Path) -> Options:
    """Make a configuration directory for a Home Assistant of its own."""
    options = Options(
        config=config,
        http_port=free_port(),
        sip_port=free_port(),
        phones=False,
        fresh=False,
    )
    with redirect_stdout(io.StringIO()):
        asyncio.run(directory.prepare(options))
    (config / "configuration.yaml").write_text(CONFIGURATION)
    # Else the checkout's own package of that name would come before it.
    (config / "custom_components" / "__init__.py").touch()
    return options


def start(options: Options) -> Server:
    """Start a Home Assistant, and do not wait for it."""
    return Server(
        directory.hass("-c", str(options.config), "--skip-pip"),
        ready=None,
        log=options.config / "output",
        ending=signal.SIGHUP,
    )


@contextmanager
def running(lines: int = LINES, *, limited: bool = False) -> Iterator[House]:
    """Run a Home Assistant with some lines, and a phone for each.

    All phones are one source here, which may send what it likes unless it is `limited`.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        options = prepare(Path(name))
        bare_port = free_port()
        with (options.config / "configuration.yaml").open("a") as configuration:
            configuration.write(
                BARE_ENTITIES.format(
                    port=bare_port, count=lines, limited=str(limited).lower()
                )
            )
        components = options.config / "custom_components"
        (components / "bare_entities").symlink_to(BENCHMARKS / "bare_entities")
        server = stack.enter_context(start(options))
        url = f"http://{HOST}:{options.http_port}"
        token = asyncio.run(install(server, url, options.sip_port, lines))
        phones = Phones(options.sip_port, password=PASSWORD)
        stack.enter_context(phones)
        dialogs = phones.fill(lines, _user)
        bare = Echoes(bare_port)
        stack.callback(bare.close)
        yield House(
            server=server,
            url=url,
            token=token,
            phones=phones,
            dialogs=dialogs,
            bare=bare,
            bare_port=bare_port,
            sip_port=options.sip_port,
        )


def _user(number: int) -> bytes:
    return b"%d" % (1000 + number)


def _switch(user: bytes) -> str:
    return f"switch.line_{user.decode()}_do_not_disturb"


async def install(server: Server, url: str, sip_port: int, lines: int) -> str:
    """Set up listener and lines as a user does, and return an access token."""
    async with asyncio.timeout(INSTALLING):
        await _wait_until_up(server, url)
        async with log_in(url) as api:
            await api.until_running()
            entry_id = await installation.add_listener(api, sip_port)
            for number in range(lines):
                user = _user(number).decode()
                line = DemoLine(name=f"Line {user}", user=user, password=PASSWORD)
                await installation.add_line(api, entry_id, line)
            await _wait_for_entities(api, lines)
            token: str = await api.command(
                "auth/long_lived_access_token", client_name="benchmark", lifespan=1
            )
            return token


async def add_pbx(url: str, port: int) -> None:
    """Put the listener in front of a PBX, by its form."""
    async with log_in(url) as api:
        (entry,) = await api.get("/api/config/config_entries/entry?domain=dfks")
        with redirect_stdout(io.StringIO()):
            await installation.provide_pbx(api, entry["entry_id"], port)


async def _wait_until_up(server: Server, url: str) -> None:
    """Return when the web server answers. Raises RuntimeError where it ends before."""
    async with aiohttp.ClientSession(url) as session:
        while server.running:
            with suppress(aiohttp.ClientError):
                async with session.get("/api/"):
                    return
            await asyncio.sleep(0.2)
    raise RuntimeError("Home Assistant did not start")


async def _wait_for_entities(api: Api, lines: int) -> None:
    """Return when each line has its switches."""
    wanted = {_switch(_user(number)) for number in range(lines)}
    while True:
        states = await api.get("/api/states")
        if wanted <= {state["entity_id"] for state in states}:
            return
        await asyncio.sleep(0.2)
