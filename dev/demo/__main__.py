"""Runs the demo until it is told to stop."""

import argparse
import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
import signal
import socket
import sys
from typing import Final

from dev.ports import free_port

from . import api, directory, installation
from .processes import Program
from .settings import (
    HOST,
    LINES,
    PASSWORD,
    ROOT,
    USERNAME,
    DemoError,
    DemoLine,
    Options,
    say,
)

PHONE: Final = ROOT / "scripts" / "phone"
PBX: Final = ROOT / "scripts" / "pbx"

# The exit code by which Home Assistant asks to be started again.
RESTART: Final = 100

# Seconds that the programs may take to end. Home Assistant has things to write; a phone
# only says goodbye, and to nobody where Ctrl-C has ended Home Assistant before it.
HOME_ASSISTANT_ENDS: Final = 40.0
PHONE_ENDS: Final = 2.0

# Seconds until Home Assistant's web server answers, at the most.
STARTING: Final = 180.0


def main() -> int:
    """Run the demo and return its exit code."""
    options = _parse_arguments()
    return asyncio.run(_run_until_stopped(options))


def _parse_arguments() -> Options:
    parser = argparse.ArgumentParser(
        prog="scripts/develop",
        description="Runs a Home Assistant with the integration and two phone lines, "
        "on this machine only, until Ctrl-C.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="DIR",
        help="where Home Assistant keeps its things (default: config in the checkout; "
        "with --pbx: config/pbx)",
    )
    for kind, port in (("http", 8123), ("sip", 5060), ("pbx", 5070)):
        parser.add_argument(
            f"--{kind}-port",
            type=int,
            default=port,
            metavar="PORT",
            help=f"default: {port}; 0: any that is free",
        )
    parser.add_argument(
        "--pbx",
        action="store_true",
        help="with a simulated PBX, at which the phones are registered through Home "
        "Assistant",
    )
    phones = parser.add_mutually_exclusive_group()
    phones.add_argument(
        "--no-phones", action="store_true", help="do without the simulated phones"
    )
    phones.add_argument(
        "--check",
        action="store_true",
        help="press a key of each line's phone, see the switch go on, and stop",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget all that is in DIR first"
    )
    arguments = parser.parse_args()
    return Options(
        config=(arguments.config or _directory(arguments.pbx)).resolve(),
        http_port=arguments.http_port or free_port(),
        sip_port=arguments.sip_port or free_port(),
        phones=not arguments.no_phones,
        fresh=arguments.fresh,
        check=arguments.check,
        pbx_port=(arguments.pbx_port or free_port()) if arguments.pbx else None,
    )


def _directory(with_pbx: bool) -> Path:
    return ROOT / "config" / "pbx" if with_pbx else ROOT / "config"


async def _run_until_stopped(options: Options) -> int:
    demo = asyncio.create_task(_run(options))
    stopping = False

    def stop() -> None:
        # Whoever is impatient and presses Ctrl-C again must not cut the ending short.
        nonlocal stopping
        if not stopping:
            stopping = True
            say("stopping")
            demo.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await demo
    except asyncio.CancelledError:
        say("stopped")
    except DemoError as error:
        print(f"scripts/develop: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


async def _run(options: Options) -> None:
    """Run Home Assistant, again and again where its user restarts it.

    Returns only where it is but checked. Raises DemoError where something is wrong.
    """
    await directory.prepare(options)
    while True:
        _require_free_ports(options)
        async with AsyncExitStack() as stack:
            home_assistant = await _start_home_assistant(options, stack)
            async with api.log_in(_url(options)) as client:
                if options.pbx_port is not None:
                    await _start_pbx(options.pbx_port, stack)
                await installation.install(client, options.sip_port, options.pbx_port)
                if options.phones:
                    await _start_phones(options, stack)
                    if options.pbx_port is not None:
                        await installation.wait_for_lines(client)
                    await installation.wait_for_phones(client)
                _introduce(options)
                if options.check:
                    await _press_keys(options, client)
                    if options.pbx_port is not None:
                        await _call(options)
                    return
            code = await home_assistant.wait()
        if code != RESTART:
            raise DemoError(f"Home Assistant ended with the exit code {code}")
        say("Home Assistant restarts")


def _url(options: Options) -> str:
    return f"http://{HOST}:{options.http_port}"


def _require_free_ports(options: Options) -> None:
    """Raise DemoError where another program holds a port; it would come up later."""
    for kind, port, option in (
        (socket.SOCK_STREAM, options.http_port, "--http-port"),
        (socket.SOCK_STREAM, options.sip_port, "--sip-port"),
        (socket.SOCK_DGRAM, options.sip_port, "--sip-port"),
    ):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise DemoError(
                    f"port {port} cannot be used ({error.strerror}); "
                    f"choose another with {option}"
                ) from None


async def _start_home_assistant(options: Options, stack: AsyncExitStack) -> Program:
    """Start Home Assistant and return when its web server answers."""
    say("starting Home Assistant")
    # Upon SIGHUP it ends in good order, and unlike SIGTERM a second one does no harm:
    # Ctrl-C in a terminal reaches it, too.
    program = await Program.start(
        "home assistant",
        *directory.hass("-c", str(options.config), "--skip-pip"),
        ending=signal.SIGHUP,
    )
    stack.push_async_callback(program.stop, HOME_ASSISTANT_ENDS)
    try:
        async with asyncio.timeout(STARTING):
            while not await api.is_up(_url(options)):
                if not program.running:
                    raise DemoError("Home Assistant did not start; see above")
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise DemoError("Home Assistant does not come up") from None
    return program


async def _start_pbx(port: int, stack: AsyncExitStack) -> None:
    """Start the simulated PBX that has the lines' accounts."""
    users = [f"{line.user}:{line.password}" for line in LINES]
    program = await Program.start(
        "pbx", sys.executable, str(PBX), "--port", str(port), *users
    )
    stack.push_async_callback(program.stop, PHONE_ENDS)


async def _call(options: Options) -> None:
    """Let one phone call the other; raises DemoError if in vain."""
    caller, called = LINES
    call = await Program.start("call", *_phone(options, caller), "call", called.user)
    if await call.wait() != 0:
        raise DemoError(f"{caller.user} cannot call {called.user}")
    say("checked: a call went through Home Assistant and the PBX")


async def _start_phones(options: Options, stack: AsyncExitStack) -> None:
    """Start a simulated phone a line."""
    phones = [
        await Program.start(
            f"phone {line.user}", *_phone(options, line), "--pick-up=2", "watch"
        )
        for line in LINES
    ]

    async def stop() -> None:
        await asyncio.gather(*(phone.stop(PHONE_ENDS) for phone in phones))

    stack.push_async_callback(stop)


async def _press_keys(options: Options, client: api.Api) -> None:
    """Turn Do not disturb on at a phone of each line; raises DemoError if in vain."""
    for line in LINES:
        key = await Program.start("key", *_phone(options, line), "dnd", "on")
        if await key.wait() != 0:
            raise DemoError(f"the key of line {line.user} was not taken")
    await installation.wait_for_do_not_disturb(client)
    say("checked: Do not disturb went on at each phone and in Home Assistant")


def _phone(options: Options, line: DemoLine) -> list[str]:
    """Return the command that is a simulated phone of a line."""
    server = f"{HOST}:{options.sip_port}"
    secrets = [f"--password={line.password}", f"--server={server}"]
    if options.pbx_port is not None:
        secrets += [f"--registrar={installation.PBX_DOMAIN}", f"--name={line.name}"]
    return [sys.executable, str(PHONE), line.user, *secrets]


def _introduce(options: Options) -> None:
    """Say how to use what is running."""
    phone = PHONE.relative_to(Path.cwd(), walk_up=True)
    keys = ["dnd on", "forward busy 2424"]
    at_pbx = ""
    if options.pbx_port is not None:
        keys[1] = f"call {LINES[0].user}"
        at_pbx = f"--registrar {installation.PBX_DOMAIN} "
    presses = "\n".join(
        f"  {phone} {line.user} --password {line.password} "
        f"--server {HOST}:{options.sip_port} {at_pbx}{words}"
        for line, words in zip(LINES, keys, strict=True)
    )
    say(
        f"\nHome Assistant: {_url(options)}\n"
        f"Login: {USERNAME}, password {PASSWORD}\n"
        f"Phones: SIP server {HOST}:{options.sip_port}; lines "
        + ", ".join(f"{line.name} {line.user}/{line.password}" for line in LINES)
        + f"\nPress a phone's keys in another terminal:\n{presses}\n"
        "Ctrl-C stops all of it.\n"
    )
    say("ready")


if __name__ == "__main__":
    sys.exit(main())
