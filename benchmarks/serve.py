#!/usr/bin/env python3
"""The lower two floors without Home Assistant: any user part is a line.

Prints `ready` on a line of its own when it listens on UDP and TCP, and runs until it is
sent SIGTERM or SIGINT. Whatever the address that it listens on, it answers this machine
alone.
"""

import argparse
import asyncio
from collections.abc import Iterable
import json
from pathlib import Path
import selectors
import signal
import sys
import time
from types import ModuleType
from typing import override

# The integration's own package would bring in Home Assistant; its floors do not.
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = ModuleType("custom_components.dfks")
_PACKAGE.__path__ = [str(_ROOT / "custom_components" / "dfks")]
sys.modules[_PACKAGE.__name__] = _PACKAGE
sys.path.insert(0, str(_ROOT))

from custom_components.dfks.features.model import LineConfig  # noqa: E402
from custom_components.dfks.features.sync import FeatureSync  # noqa: E402
from custom_components.dfks.sip import Experiment, ServerConfig, SipServer  # noqa: E402
from custom_components.dfks.sip.access.accounts import Account  # noqa: E402
from custom_components.dfks.sip.access.guard import parse_networks  # noqa: E402
from custom_components.dfks.sip.clock import LoopClock  # noqa: E402
from custom_components.dfks.sip.snapshot import Memory  # noqa: E402


class WatchedSelector(selectors.DefaultSelector):
    """Notes the longest time that the event loop did not come back to it."""

    def __init__(self) -> None:
        """Start to watch."""
        super().__init__()
        self._left = time.monotonic()
        self._longest = 0.0

    @override
    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        self._longest = max(self._longest, time.monotonic() - self._left)
        try:
            return super().select(timeout)
        finally:
            self._left = time.monotonic()

    def take_longest(self) -> float:
        """Return the longest time in seconds, and begin anew."""
        longest, self._longest = self._longest, 0.0
        return longest


def build(port: int, password: str | None, host: str = "127.0.0.1") -> SipServer:
    """Return a server whose lines are made when they are first asked for."""

    def add_line(user: str) -> Account | None:
        if not user:
            return None
        line = LineConfig(id=user, user=user, password=password or "", auth_name=user)
        return sync.add_line(line)

    config = ServerConfig(
        host=host,
        port=port,
        allowed_networks=parse_networks("127.0.0.0/8 ::1"),
        max_subscriptions_per_line=None,
        max_transactions_per_source=None,
        experiment=Experiment(
            authenticate=password is not None,
            limit_messages=False,
            make_account=add_line,
        ),
    )
    server = SipServer(config, LoopClock(asyncio.get_running_loop()))
    sync = FeatureSync(server)
    return server


def add_lines(server: SipServer, users: Iterable[str]) -> None:
    """Make lines before they are asked for."""
    make_account = server.config.experiment.make_account
    assert make_account is not None
    for user in users:
        make_account(user)


def remembered_lines(memory: Memory) -> set[str]:
    """Return the lines of the phones of an earlier run."""
    return {
        subscription["line"]
        for dialog in memory["dialogs"]
        for subscription in dialog["subscriptions"]
    }


def _report(watched: WatchedSelector, started: float) -> None:
    """Answer a line on standard input with the figures of this process."""
    if sys.stdin.readline():
        figures = {"held": watched.take_longest(), "started": started}
        print(json.dumps(figures), flush=True)


async def serve(
    arguments: argparse.Namespace,
    memory: Memory | None = None,
    watched: WatchedSelector | None = None,
) -> Memory:
    """Serve until told to stop; return what is to be remembered."""
    loop = asyncio.get_running_loop()
    server = build(arguments.sip_port, arguments.password, arguments.host)
    add_lines(server, map(str, range(arguments.lines)))
    if memory is not None:
        add_lines(server, remembered_lines(memory))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if watched is not None:
        # What came before this turn of the loop was not the server's doing.
        await asyncio.sleep(0)
        watched.take_longest()
    began = loop.time()
    await server.start(memory=memory)
    print("ready", flush=True)
    if watched is not None:
        loop.add_reader(sys.stdin, _report, watched, loop.time() - began)
    await stop.wait()
    memory = await server.records()
    await server.stop()
    return memory


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sip-port", type=int, required=True)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen on this address; 0.0.0.0 is all of them (default: %(default)s)",
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=0,
        metavar="NUMBER",
        help="make the lines 0, 1 and so on at the start, not when they are asked for",
    )
    parser.add_argument("--password", help="the same for all lines; none: no digest")
    parser.add_argument(
        "--memory",
        type=Path,
        metavar="FILE",
        help="phones of an earlier run; those of this one are written there at the end",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="watch the event loop, and answer each line on standard input with the "
        "longest time that it was held since the last, and the seconds of the start",
    )
    arguments = parser.parse_args()
    memory: Memory | None = None
    file: Path | None = arguments.memory
    if file is not None and file.exists():
        memory = json.loads(file.read_text())
    watched = WatchedSelector() if arguments.report else None
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(watched)
    ) as runner:
        memory = runner.run(serve(arguments, memory, watched))
    if file is not None:
        file.write_text(json.dumps(memory))


if __name__ == "__main__":
    main()
