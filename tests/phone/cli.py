"""`scripts/phone`: press a simulated phone's keys, watch its lamps, or call."""

import argparse
import asyncio
from collections.abc import Coroutine, Iterator, Sequence
import contextlib
from dataclasses import dataclass
import json
import os
import signal
import ssl
import sys
import time
from typing import Self, TextIO

from .calls import Bell, Call, CallState
from .documents import ALWAYS, BUSY, DND, KINDS, NO_ANSWER, Lamp
from .phone import Phone, PhoneError, PhoneTimeout
from .wire import Response, address, parameter, split_host

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
PASSWORD_VARIABLE = "DFKS_PASSWORD"
TITLES = {
    DND: "Do not disturb",
    ALWAYS: "Call forwarding always",
    BUSY: "Call forwarding busy",
    NO_ANSWER: "Call forwarding no answer",
}
# Seconds between attempts while the server is away.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# What the server says to a phone that is set up wrongly; trying again does not help.
_MISCONFIGURED = (401, 403, 404)

_COMMANDS = """commands:
  register                        register once
  dnd on|off                      press the do-not-disturb key
  forward KIND NUMBER [--rings N] forward calls; KIND is always, busy or no-answer
  forward KIND on|off             the same with the number that the server knows
  call NUMBER [--seconds N]       call another phone; hang up N seconds after it has
                                  picked up
  watch                           stay registered and print what the lamps show;
                                  keys can be typed meanwhile: dnd on, forward busy
                                  2424; calls ring, with --pick-up they are picked up
"""


class Refused(PhoneError):
    """The server answered a request with an error."""

    def __init__(self, response: Response) -> None:
        """Say in plain words what the server said."""
        self.status = response.status
        warning = response.get("Warning").partition('"')[2].rstrip('"')
        text = f"the server refused it: {response.status} {response.reason}"
        if response.status == 401:
            text = "the server takes neither this user nor this password (401)"
        super().__init__(f"{text} ({warning})" if warning else text)


@dataclass(frozen=True)
class Key:
    """A key press, as typed: `dnd on`, `forward busy 2424 4`."""

    feature: str
    on: bool
    kind: str = ""
    target: str | None = None
    rings: int | None = None

    @classmethod
    def parse(cls, words: Sequence[str], rings: int | None = None) -> Self:
        """Read the words; raises ValueError with what is wrong with them."""
        match list(words):
            case ["dnd", ("on" | "off") as state]:
                return cls(DND, state == "on")
            case ["forward", kind, _, *_] if kind not in KINDS:
                raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
            case ["forward", kind, ("on" | "off") as state]:
                return cls(KINDS[kind], state == "on", kind, rings=rings)
            case ["forward", kind, target]:
                return cls(KINDS[kind], True, kind, target, rings)
            case ["forward", kind, target, count] if count.isdecimal():
                return cls(KINDS[kind], True, kind, target, int(count))
            case unknown:
                raise ValueError(
                    f"unknown command {' '.join(unknown)!r}; use dnd on|off, "
                    "forward always|busy|no-answer NUMBER|on|off [RINGS]"
                )

    async def press(self, phone: Phone) -> None:
        """Send it; raises Refused when the server says no."""
        if self.feature == DND:
            _accepted(await phone.set_dnd(self.on))
            return
        _accepted(await phone.set_forward(self.kind, self.on, self.target, self.rings))


def words(feature: str, lamp: Lamp) -> str:
    """Say in plain words what a lamp shows."""
    text = f"{TITLES[feature]} {'on' if lamp.on else 'off'}"
    if lamp.target:
        text += f", to {lamp.target}"
    if lamp.rings is not None:
        text += f", after {lamp.rings} rings"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    host, port = options.server
    options.server = host, port or DEFAULT_PORTS[options.transport]
    if not options.password:
        parser.error(f"give --password, or set {PASSWORD_VARIABLE}")
    try:
        return asyncio.run(_work(options))
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130


async def _work(options: argparse.Namespace) -> int:
    """Do what the words say; raises ValueError where they say nothing known."""
    if options.command == ["watch"]:
        return await Watch(options).run()
    if options.command == ["register"]:
        return await _register(options)
    if options.command[0] == "call":
        if len(options.command) != 2:
            raise ValueError("use call NUMBER")
        return await _call(options, options.command[1])
    return await _press(options, Key.parse(options.command, options.rings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phone",
        description="A simulated desk phone: press its keys, watch its lamps.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("user", help="the line's user part, 201 for example")
    add("command", nargs="+", help="what to do, see below")
    add(
        "--password",
        default=os.environ.get(PASSWORD_VARIABLE),
        help=f"the line's password (default: the variable {PASSWORD_VARIABLE})",
    )
    add(
        "--server",
        type=_server,
        default=("127.0.0.1", None),
        metavar="HOST[:PORT]",
        help="default: 127.0.0.1:5060, with TLS port 5061",
    )
    add("--transport", choices=("udp", "tcp", "tls"), default="udp")
    add(
        "--ca",
        type=_trusting,
        metavar="FILE",
        help="TLS: trust the certificates in FILE, not the system's",
    )
    add(
        "--registrar",
        metavar="HOST[:PORT]",
        help="where the account is, if --server is but the phone's outbound proxy",
    )
    add("--name", default="", help="what the phone calls its line")
    add("--auth-name", metavar="NAME", help="default: the user part")
    add("--expires", type=int, default=3600, metavar="SECONDS", help="default: 3600")
    add("--sha256", action="store_true", help="answer the SHA-256 challenge, not MD5")
    add("--rings", type=int, metavar="N", help="rings before no-answer forwarding")
    add(
        "--seconds",
        type=float,
        default=3.0,
        metavar="N",
        help="call: how long it lasts (default: 3)",
    )
    add(
        "--pick-up",
        type=float,
        metavar="N",
        help="watch: pick calls up after N seconds (default: let them ring)",
    )
    add("--keys", action="store_true", help="watch: read keys from a pipe, too")
    add("--json", action="store_true", help="watch: print a JSON object a line")
    return parser


def _server(text: str) -> tuple[str, int | None]:
    host, port = split_host(text)
    if not host:
        raise argparse.ArgumentTypeError(f"{text} is not HOST or HOST:PORT")
    return host, port


def _trusting(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"no certificates in {path}") from error


def _phone(options: argparse.Namespace) -> Phone:
    return Phone(
        options.user,
        options.password,
        options.server,
        transport=options.transport,
        tls=options.ca,
        auth_name=options.auth_name,
        registrar=options.registrar,
        display_name=options.name,
        algorithm="SHA-256" if options.sha256 else "MD5",
        expires=options.expires,
    )


def _accepted(response: Response) -> Response:
    if not response.ok:
        raise Refused(response)
    return response


def _reason(error: Exception, options: argparse.Namespace) -> str:
    """Say in one line why something did not work."""
    host, port = options.server
    if isinstance(error, PhoneTimeout):
        return f"{host}:{port}: {error.brief}"
    if isinstance(error, PhoneError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {host}:{port}: {error.reason or error}"
    number = error.errno if isinstance(error, OSError) else None
    return f"cannot reach {host}:{port}: {os.strerror(number) if number else error}"


def _write(text: str, file: TextIO | None = None) -> None:
    file = file or sys.stdout
    file.write(f"{text}\n")
    file.flush()


def _complain(text: str) -> None:
    _write(f"phone: {text}", sys.stderr)


# --- One call ---


async def _call(options: argparse.Namespace, number: str) -> int:
    """Call a number, wait until it is picked up, and hang up after a while."""
    try:
        async with _phone(options) as phone:
            bell = Bell(phone)
            bell.connect()
            # It has a Contact of its own, beside a phone that is there already.
            _accepted(await phone.register())
            try:
                return await _talk(options, bell, await bell.dial(number))
            finally:
                await phone.unregister()
    except (PhoneError, OSError) as error:
        _complain(_reason(error, options))
        return 1


async def _talk(options: argparse.Namespace, bell: Bell, call: Call) -> int:
    number = address(call.invite.uri).partition(":")[2].partition("@")[0]
    _write(f"calling {number}")
    await bell.until_over(call, CallState.RINGING)
    if call.state is not CallState.ESTABLISHED:
        refusal = call.response.title if call.response else "no answer"
        _complain(f"{number} does not take the call: {refusal}")
        return 1
    _write(f"{number} has picked up")
    try:
        await bell.until_over(call, CallState.ESTABLISHED, options.seconds)
    except PhoneTimeout:
        _accepted(await bell.hang_up(call))
        _write("hung up")
    else:
        _write(f"{number} has hung up")
    return 0


# --- One key ---


async def _register(options: argparse.Namespace) -> int:
    try:
        async with _phone(options) as phone:
            response = _accepted(await phone.register())
            seconds = _granted(phone, response)
    except (PhoneError, OSError) as error:
        _complain(_reason(error, options))
        return 1
    host, port = options.server
    _write(f"{options.user} is registered at {host}:{port} for {seconds} s")
    return 0


async def _press(options: argparse.Namespace, key: Key) -> int:
    try:
        async with _phone(options) as phone:
            if options.registrar:
                # By which the outbound proxy knows who it is.
                _accepted(await phone.register())
            _accepted(await phone.subscribe())
            await phone.notification(phone.timeout)
            await key.press(phone)
            lamp = await _told(phone, key)
            await phone.unsubscribe()
            with contextlib.suppress(PhoneTimeout):
                await phone.notification()
            if options.registrar:
                await phone.unregister()
    except (PhoneError, OSError) as error:
        _complain(_reason(error, options))
        return 1
    if lamp is None:
        _complain(f"the server does not offer {TITLES[key.feature].lower()} here")
        return 1
    _write(words(key.feature, lamp))
    if lamp.on != key.on:
        _complain("the server did not take the change")
        return 1
    return 0


async def _told(phone: Phone, key: Key) -> Lamp | None:
    """Return what the lamp shows after a key press, None where there is no lamp.

    The confirmation, or several features at once, settles it. A NOTIFY of one feature
    may still tell the state from before the press.
    """
    told = False
    try:
        while True:
            notification = await phone.notification()
            told = True
            lamp = notification.features.get(key.feature)
            confirmed = lamp is not None and lamp.on == key.on
            if confirmed or len(notification.documents) != 1:
                return lamp
    except PhoneTimeout:
        if not told:
            raise
    return phone.features.get(key.feature)


def _granted(phone: Phone, response: Response) -> int:
    """Return for how many seconds the phone's Contact is registered."""
    for binding in response.values("Contact"):
        seconds = parameter(binding, "expires")
        if address(binding) == address(phone.contact) and seconds.isdecimal():
            return int(seconds)
    return response.number("Expires") or phone.expires


# --- Watching ---


class Watch:
    """Keeps a phone registered and subscribed until Ctrl-C, whatever happens."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Prepare; `run` does the work."""
        self._options = options
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._was_subscribed = False

    async def run(self) -> int:
        """Watch until stopped; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        pause = FIRST_PAUSE
        with self._reading_keys():
            while True:
                began = loop.time()
                try:
                    await self._session()
                except Refused as error:
                    if error.status in _MISCONFIGURED and not self._was_subscribed:
                        _complain(str(error))
                        return 1
                    self._say(str(error))
                except (PhoneError, OSError) as error:
                    self._say(_reason(error, self._options))
                if loop.time() - began > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                if await self._stopped_within(pause):
                    return 0
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _session(self) -> None:
        """Register, subscribe and follow the lamps; returns when told to stop."""
        host, port = self._options.server
        async with _phone(self._options) as phone:
            bell = Bell(phone)
            bell.connect()
            registered = _granted(phone, _accepted(await phone.register()))
            self._say(f"registered at {host}:{port}")
            subscribed = _accepted(await phone.subscribe()).number("Expires") or 0
            self._was_subscribed = True
            self._say("subscribed")
            await _first_of(
                self._stop.wait(),
                self._print_lamps(phone),
                self._press_keys(phone),
                self._ring(bell),
                _refresh(phone, min(registered, subscribed) / 2),
            )
            with contextlib.suppress(PhoneError):
                await phone.unsubscribe()
                await phone.unregister()

    async def _print_lamps(self, phone: Phone) -> None:
        while True:
            notification = await phone.notification(None)
            for feature, lamp in notification.features.items():
                self._show(feature, lamp)
            if notification.state == "terminated":
                raise PhoneError(
                    f"the server ended the subscription ({notification.reason})"
                )

    async def _ring(self, bell: Bell) -> None:
        while True:
            call = await bell.incoming_call(None)
            caller = address(call.invite.get("From")).partition(":")[2]
            self._say(f"rings: {caller.partition('@')[0]} calls")
            if self._options.pick_up is not None:
                await asyncio.sleep(self._options.pick_up)
            if self._options.pick_up is not None and call.state is CallState.RINGING:
                bell.pick_up(call)
                self._say("picked up")
            while call.state in (
                CallState.RINGING,
                CallState.PICKED_UP,
                CallState.ESTABLISHED,
            ):
                await bell.until_over(call, call.state, None)
            self._say(f"call {call.state}")

    async def _press_keys(self, phone: Phone) -> None:
        while True:
            typed = await self._keys.get()
            try:
                await Key.parse(typed.split()).press(phone)
            except (ValueError, Refused) as error:
                self._say(str(error))

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    def _show(self, feature: str, lamp: Lamp) -> None:
        if not self._options.json:
            self._say(words(feature, lamp))
            return
        shown = {"on": lamp.on, "target": lamp.target, "rings": lamp.rings}
        _write(json.dumps({"time": time.time(), "feature": feature, **shown}))

    def _say(self, text: str) -> None:
        """Print a line with the time; beside JSON it goes to stderr."""
        file = sys.stderr if self._options.json else sys.stdout
        _write(f"{time.strftime('%H:%M:%S')} {text}", file)

    @contextlib.contextmanager
    def _reading_keys(self) -> Iterator[None]:
        """Take lines typed at the terminal, or piped in with --keys."""
        loop = asyncio.get_running_loop()
        stdin = sys.stdin.fileno()
        pending = b""

        def readable() -> None:
            nonlocal pending
            try:
                data = os.read(stdin, 4096)
            except OSError:  # the terminal is gone
                data = b""
            if not data:
                loop.remove_reader(stdin)
            *lines, pending = (pending + data).split(b"\n")
            for line in filter(bytes.strip, lines):
                self._keys.put_nowait(line.decode(errors="replace"))

        if not self._options.keys and not os.isatty(stdin):
            yield
            return
        loop.add_reader(stdin, readable)
        try:
            yield
        finally:
            loop.remove_reader(stdin)


async def _refresh(phone: Phone, seconds: float) -> None:
    """Refresh registration and subscription again and again."""
    while True:
        await asyncio.sleep(seconds)
        _accepted(await phone.register())
        _accepted(await phone.refresh())


async def _first_of(*work: Coroutine[None, None, object]) -> None:
    """Run all until one ends, and raise what it raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
