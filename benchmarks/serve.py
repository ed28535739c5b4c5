#!/usr/bin/env python3
"""The lower two floors without Home Assistant: any user part is a line.

Prints `ready` on a line of its own when it listens on UDP and TCP, and runs until it is
sent SIGTERM or SIGINT. Whatever the address that it listens on, it answers this machine
alone.
"""

import argparse
import asyncio
from collections.abc import Iterable
from dataclasses import replace
import json
from pathlib import Path
import secrets
import selectors
import signal
import ssl
import sys
import time
from types import ModuleType
from typing import TypedDict, override

# The integration's own package would bring in Home Assistant; its floors do not.
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = ModuleType("custom_components.dfks")
_PACKAGE.__path__ = [str(_ROOT / "custom_components" / "dfks")]
sys.modules[_PACKAGE.__name__] = _PACKAGE
sys.path.insert(0, str(_ROOT))

from custom_components.dfks.features.model import LineConfig  # noqa: E402
from custom_components.dfks.features.sync import FeatureSync  # noqa: E402
from custom_components.dfks.sip import (  # noqa: E402
    Experiment,
    PbxConfig,
    ProxyBinding,
    ProxyBindingRecord,
    ServerConfig,
    SipServer,
)
from custom_components.dfks.sip.access.accounts import Account  # noqa: E402
from custom_components.dfks.sip.access.guard import parse_networks  # noqa: E402
from custom_components.dfks.sip.clock import LoopClock  # noqa: E402
from custom_components.dfks.sip.snapshot import Snapshot  # noqa: E402

# The one PBX that there may be.
PBX = "pbx"


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


class Kept(TypedDict):
    """What an earlier run knew: phones, what they have registered at PBXs, the secret."""

    memory: Snapshot
    passed: list[ProxyBindingRecord]
    secret: str


class PbxLines:
    """Makes a line of each phone that registers at a PBX."""

    def __init__(self, sync: FeatureSync) -> None:
        """Make lines of an event package."""
        self._sync = sync

    def add(self, pbx: str, user: str) -> None:
        """Make the line of a user at a PBX, if it is new."""
        line = f"{user}@{pbx}"
        if line not in self._sync.lines:
            self._sync.add_line(LineConfig(id=line, user=user, pbx=pbx))

    def registered(self, binding: ProxyBinding) -> None:
        """Make the line of a phone that a PBX has accepted."""
        self.add(binding.pbx, binding.user)

    def unregistered(self, binding: ProxyBinding) -> None:
        """Leave the line there."""

    def password_refused(self, pbx: str, user: str, source: str) -> None:
        """Print that REGISTERs of a phone are not passed any more."""
        print("refused", source, flush=True)

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Print whether the PBX answers."""
        print("reachable" if reachable else "unreachable", flush=True)

    def synchronizes_keys(self, pbx: str) -> None:
        """Print that the PBX synchronizes the keys itself."""
        print("keys", flush=True)

    def certificate_refused(self, pbx: str, reason: str) -> None:
        """Print what is wrong with the PBX's certificate."""
        print("certificate", reason, flush=True)

    def reached(self, binding: ProxyBinding) -> None:
        """Leave it at that: a request of the PBX has been passed to a phone."""

    def domain_seen(self, host: str) -> None:
        """Print the host of a REGISTER that is nobody's."""
        print("domain", host, flush=True)


def build(port: int, password: str | None, host: str = "127.0.0.1") -> SipServer:
    """Return a server whose lines are made when they are first asked for."""
    return build_with_lines(port, password, host)[0]


def build_with_lines(
    port: int, password: str | None, host: str = "127.0.0.1"
) -> tuple[SipServer, FeatureSync]:
    """Return a server and its event package."""

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
    server.add_package(sync)
    return server, sync


def pbx_config(text: str, domain: str | None) -> PbxConfig:
    """Read `udp:HOST:PORT`, or the same of tcp and tls. Raises ValueError."""
    transport, _, address = text.partition(":")
    host, _, port = address.rpartition(":")
    if transport not in ("udp", "tcp", "tls") or not host:
        raise ValueError("A PBX is udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT")
    return PbxConfig(
        id=PBX,
        host=host,
        port=int(port),
        transport=transport.upper(),
        domains=() if domain is None else (domain,),
    )


def add_pbx(
    server: SipServer, sync: FeatureSync, arguments: argparse.Namespace, kept: Kept
) -> None:
    """Pass messages to the PBX of the command line."""
    lines = PbxLines(sync)
    for record in kept["passed"]:
        lines.add(record["pbx"], record["user"])
    config = pbx_config(arguments.pbx, arguments.pbx_domain)
    if arguments.pbx_keys:
        config = replace(config, keys_here=False)
    tls = None
    if config.transport == "TLS":
        tls = ssl.create_default_context(cafile=arguments.pbx_ca)
    server.add_pbx(config, bytes.fromhex(kept["secret"]), tls)
    server.observe_proxy(lines)


async def keep(server: SipServer, secret: str, file: Path) -> None:
    """Write down what the next run is to know, all of it or nothing."""
    kept = Kept(
        memory=await server.records(), passed=server.proxy_records(), secret=secret
    )
    new = file.with_suffix(".new")
    new.write_text(json.dumps(kept))
    new.rename(file)


def add_lines(server: SipServer, users: Iterable[str]) -> None:
    """Make lines before they are asked for."""
    make_account = server.config.experiment.make_account
    assert make_account is not None
    for user in users:
        make_account(user)


def remembered_lines(memory: Snapshot) -> set[str]:
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
    kept: Kept,
    watched: WatchedSelector | None = None,
) -> None:
    """Serve until told to stop."""
    loop = asyncio.get_running_loop()
    server, sync = build_with_lines(
        arguments.sip_port, arguments.password, arguments.host
    )
    add_lines(server, map(str, range(arguments.lines)))
    if arguments.pbx:
        add_pbx(server, sync, arguments, kept)
    else:
        add_lines(server, remembered_lines(kept["memory"]))
    file: Path | None = arguments.memory
    writing: asyncio.Task[None] | None = None
    changes = asyncio.Event()

    async def keep_up(file: Path) -> None:
        """Write at once what is new: a phone of a PBX is to be found after a crash."""
        while True:
            await changes.wait()
            changes.clear()
            await keep(server, kept["secret"], file)

    def changed(*, urgent: bool) -> None:
        changes.set()

    if file is not None and arguments.pbx:
        writing = loop.create_task(keep_up(file))
    server.on_change = changed
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if watched is not None:
        # What came before this turn of the loop was not the server's doing.
        await asyncio.sleep(0)
        watched.take_longest()
    began = loop.time()
    await server.start(memory=kept["memory"], passed=kept["passed"])
    print("ready", flush=True)
    if watched is not None:
        loop.add_reader(sys.stdin, _report, watched, loop.time() - began)
    await stop.wait()
    if writing is not None:
        writing.cancel()
    if file is not None:
        await keep(server, kept["secret"], file)
    await server.stop()


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
        "--pbx",
        metavar="udp:HOST:PORT",
        help="pass messages between phones and this PBX (also tcp: and tls:); whoever "
        "registers there through here is a line",
    )
    parser.add_argument(
        "--pbx-domain", metavar="NAME", help="the host of the phones' accounts there"
    )
    parser.add_argument(
        "--pbx-ca", metavar="FILE", help="what the PBX's certificate is checked with"
    )
    parser.add_argument(
        "--pbx-keys",
        action="store_true",
        help="let the PBX synchronize the keys: as-feature-event passes, too",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="watch the event loop, and answer each line on standard input with the "
        "longest time that it was held since the last, and the seconds of the start",
    )
    arguments = parser.parse_args()
    kept = Kept(
        memory=Snapshot(dialogs=[], bindings=[]),
        passed=[],
        secret=secrets.token_hex(32),
    )
    file: Path | None = arguments.memory
    if file is not None and file.exists():
        kept = json.loads(file.read_text())
    watched = WatchedSelector() if arguments.report else None
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(watched)
    ) as runner:
        runner.run(serve(arguments, kept, watched))


if __name__ == "__main__":
    main()
