"""Servers of others, run in the background and ended by their own id."""

import asyncio
from collections.abc import AsyncIterator
import contextlib
import os
from pathlib import Path
import signal

from tests.phone import PhoneTimeout, RawPeer
from tests.phone.link import Address

from .checks import CheckFailed

# Seconds that a server may take to answer, and to end.
STARTING = 10.0
ENDING = 10.0

# Characters shown of what it said.
SHOWN = 3_000


@contextlib.asynccontextmanager
async def background(
    *command: str, answers: Address, log: Path | None = None, folder: Path
) -> AsyncIterator[None]:
    """Run a server from when it answers OPTIONS at an address until it has ended.

    What goes wrong meanwhile is raised as CheckFailed with what the server said; `log`
    is the file that it writes itself, if it does.
    """
    output = folder / "output"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            start_new_session=True,
        )
    try:
        await _until_it_answers(answers)
        yield
    except Exception as err:
        logs = [path for path in (output, log) if path is not None and path.exists()]
        said = "\n".join(path.read_text(errors="replace")[-SHOWN:] for path in logs)
        raise CheckFailed(f"{err}\nit said:\n{said}") from err
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(ENDING):
                await process.wait()
        except TimeoutError:
            # With its children, which have no other group.
            os.killpg(process.pid, signal.SIGKILL)
            raise


async def _until_it_answers(address: Address) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARTING
    async with await RawPeer.open(address) as peer:
        while True:
            with contextlib.suppress(PhoneTimeout):
                await peer.ask(peer.request("OPTIONS"), timeout=0.2)
                return
            if loop.time() > deadline:
                raise CheckFailed("it does not answer")
