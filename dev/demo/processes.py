"""The demo's programs: each in the demo's process group, each ended by its own id."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import Final, Self

from .settings import say

# prctl(2): the signal that a program gets when the one who started it has died.
PR_SET_PDEATHSIG: Final = 1


class Program:
    """A running program whose output is shown line by line behind its name."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, ending: signal.Signals
    ) -> None:
        """Follow a process that has been started; `start` is the way to one."""
        self.name = name
        self._process = process
        self._ending = ending
        self._output = asyncio.create_task(self._show_output())

    @classmethod
    async def start(
        cls, name: str, *command: str, ending: signal.Signals = signal.SIGTERM
    ) -> Self:
        """Start a program; `ending` is the signal upon which it ends in good order."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: _end_with_parent(ending),
        )
        return cls(name, process, ending)

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for the program's own end and return its exit code."""
        code = await self._process.wait()
        await self._output
        return code

    async def stop(self, patience: float) -> None:
        """End the program; one that takes more than so many seconds is killed."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self._ending)
        try:
            async with asyncio.timeout(patience):
                await self.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.wait()

    async def _show_output(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            say(f"{self.name} | {line.decode(errors='replace').rstrip()}")


def _end_with_parent(ending: signal.Signals) -> None:
    """Let the kernel end the program should the demo be killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ending)
