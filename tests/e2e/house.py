"""A real Home Assistant with nothing set up, on ports and in a directory of its own.

The integration is there as HACS leaves it: a folder, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
import signal
from typing import override

from dev.demo import api, directory
from dev.demo.processes import Program
from dev.demo.settings import HOST, Options

from .environment import can_install, copy_environment, copy_integration, packages_there

# Seconds until it is running, and until it has ended.
STARTING = 90.0
ENDING = 20.0


class HomeAssistant(Program):
    """Home Assistant, whose output is kept and not shown."""

    output: list[str]

    # The Python of its own, None where it shares that of the tests.
    python: Path | None

    @override
    async def _show_output(self) -> None:
        assert self._process.stdout is not None
        self.output = []
        async for line in self._process.stdout:
            self.output.append(line.decode(errors="replace").rstrip())


@asynccontextmanager
async def empty_house(config: Path, port: int) -> AsyncIterator[HomeAssistant]:
    """Run Home Assistant with a login and nothing else; its end is waited for."""
    # The port of SIP is not used here: it is typed into the form later.
    await directory.prepare(
        Options(config=config, http_port=port, sip_port=0, phones=False, fresh=True)
    )
    copy_integration(config)
    python, arguments = None, ["--skip-pip"]
    if await can_install():
        python = await asyncio.to_thread(copy_environment, config.parent / "python")
        arguments = ["--skip-pip-packages", packages_there()]
    command = directory.hass("-c", str(config), *arguments)
    if python is not None:
        command[0] = str(python)
    program = await HomeAssistant.start(
        "home assistant", *command, ending=signal.SIGHUP
    )
    program.python = python
    try:
        async with asyncio.timeout(STARTING):
            while not await api.is_up(f"http://{HOST}:{port}"):
                if not program.running:
                    raise RuntimeError("Home Assistant did not start")
                await asyncio.sleep(0.2)
            async with api.log_in(f"http://{HOST}:{port}") as client:
                await client.until_running()
        yield program
    finally:
        await program.stop(ENDING)
