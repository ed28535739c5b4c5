"""sipp plays a phone's life; sipsak and baresip register."""

import asyncio
from collections.abc import Awaitable, Callable
import contextlib
from pathlib import Path
import tempfile

from custom_components.dfks.sip import ServerConfig
from dev.ports import free_port
from tests.loopback import HOST, PASSWORDS

from .checks import Check, CheckFailed
from .house import house

USER = "201"
PASSWORD = PASSWORDS[USER]
SCENARIO = Path(__file__).parent / "sipp" / "feature_sync.xml"

# Seconds that a program may take.
LIMIT = 20

BARESIP_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:0
module_path {modules}
module account.so
module g711.so
"""
# Where Debian has its modules.
BARESIP_MODULES = Path("/usr/lib/baresip/modules")

type Run = Callable[[int, Path], Awaitable[None]]


async def run_program(*command: str, shows: str = "", folder: Path) -> None:
    """Run a program to its end, or until it shows a text.

    Raises CheckFailed with its output where it does not end with 0, or does not show
    the text where one is given.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    assert process.stdout is not None
    output = ""
    try:
        async with asyncio.timeout(LIMIT):
            while chunk := await process.stdout.read(4096):
                output += chunk.decode(errors="replace")
                if shows and shows in output:
                    return
            if shows or await process.wait():
                raise CheckFailed(output)
    except TimeoutError:
        raise CheckFailed(f"{output}\nno end within {LIMIT} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def sipp(transport: str) -> Run:
    """Play the scenario over `u1` (UDP) or `t1` (TCP)."""

    async def run(port: int, folder: Path) -> None:
        errors = folder / "errors.log"
        try:
            await run_program(
                *("sipp", "-sf", str(SCENARIO), "-m", "1", "-nostdin"),
                *("-s", USER, "-au", USER, "-ap", PASSWORD),
                *("-i", HOST, "-p", str(free_port()), "-t", transport),
                *("-timeout", "10", "-timeout_error"),
                *("-trace_err", "-error_file", str(errors)),
                f"{HOST}:{port}",
                folder=folder,
            )
        except CheckFailed as err:
            if not errors.exists():
                raise
            raise CheckFailed(errors.read_text(errors="replace")) from err

    return run


def sipsak(*options: str) -> Run:
    """Run sipsak with options before the address."""

    async def run(port: int, folder: Path) -> None:
        target = f"sip:{USER}@{HOST}:{port}"
        await run_program("sipsak", *options, "-s", target, folder=folder)

    return run


def baresip(transport: str) -> Run:
    """Let baresip register over `udp` or `tcp`."""

    async def run(port: int, folder: Path) -> None:
        account = f"<sip:{USER}@{HOST}:{port};transport={transport}>"
        config = BARESIP_CONFIG.format(modules=BARESIP_MODULES)
        (folder / "accounts").write_text(f"{account};auth_pass={PASSWORD};regint=600\n")
        (folder / "config").write_text(config)
        (folder / "contacts").touch()
        await run_program(
            "baresip", "-f", str(folder), shows="200 OK () [1 binding]", folder=folder
        )

    return run


def against_server(
    run: Run, algorithms: tuple[str, ...] = ("MD5", "SHA-256")
) -> Callable[[], Awaitable[str]]:
    """Return what runs a program against a server of its own."""

    async def check() -> str:
        config = ServerConfig(host=HOST, port=0, algorithms=algorithms)
        async with house(config) as running:
            with tempfile.TemporaryDirectory() as folder:
                await run(running.server.port, Path(folder))
            return f"{len(running.server.received)} messages from it"

    return check


def _check(program: str, title: str, run: Callable[[], Awaitable[str]]) -> Check:
    return Check(subject=program, title=title, run=run, needs=(program,))


CHECKS = (
    _check("sipp", "a phone's life over UDP", against_server(sipp("u1"))),
    _check("sipp", "a phone's life over TCP", against_server(sipp("t1"))),
    _check("sipsak", "OPTIONS", against_server(sipsak())),
    _check(
        "sipsak",
        "REGISTER with digest",
        against_server(
            sipsak(
                *("-U", "-i", "-C", f"sip:{USER}@{HOST}:9", "-x", "600"),
                *("-u", USER, "-a", PASSWORD),
            )
        ),
    ),
    # baresip 1.0 gives up at a challenge that it does not know, though the one before
    # it would do: it needs the option that offers MD5 alone.
    _check(
        "baresip",
        "REGISTER over UDP, MD5 alone",
        against_server(baresip("udp"), ("MD5",)),
    ),
    _check(
        "baresip",
        "REGISTER over TCP, MD5 alone",
        against_server(baresip("tcp"), ("MD5",)),
    ),
)
