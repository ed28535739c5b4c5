"""The same measurements of kamailio, where it is installed with its presence modules."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
import shutil
import socket
import tempfile
import time
from typing import Final

from dev.ports import free_port

from .headless import (
    DIALOGS,
    MANY,
    RATE,
    WATCHERS,
    Cost,
    Effort,
    Figures,
    fan_out,
    require_all,
    subscribing,
)
from .phones import Phones, percentile
from .processes import BENCHMARKS, HOST, STARTING, Server

PROGRAM: Final = "/usr/sbin/kamailio"
TABLES: Final = Path("/usr/share/kamailio/dbtext/kamailio")

# MiB, of which it takes what it needs.
SHARED_MEMORY: Final = 1024

# Seconds that it keeps transactions by default, and a little more.
TRANSACTIONS: Final = 8.0

_OPTIONS: Final = (
    b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa;rport"
    b"\r\nFrom: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: a\r\n"
    b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def is_installed() -> bool:
    """Whether there is a kamailio that passes messages."""
    return Path(PROGRAM).exists()


def knows_subscriptions() -> bool:
    """Whether there is one that is a notifier, too."""
    modules = Path("/usr/lib").glob("**/kamailio/modules/presence.so")
    return is_installed() and TABLES.exists() and any(modules)


def measure(effort: Effort) -> Figures:
    """Measure new subscriptions, latency, fan-out and memory."""
    figures: Figures = {}
    with _running() as (server, phones):
        before = server.memory()
        everybody = phones.fill(MANY)
        figures["kamailio_p50"], figures["kamailio_p99"] = _latency(phones, effort)
        phones.listen(TRANSACTIONS)
        figures["kamailio_memory"] = (server.memory() - before) / len(everybody)
    with _running() as (server, phones):
        new = Cost(server, subscribing(phones))
        for _ in range(effort.slices):
            new.run(effort.slice)
        figures["kamailio_new"] = new.each
    with _running() as (server, phones):
        watchers = phones.fill(WATCHERS, lambda _: b"fan")
        phones.listen(0.5)
        lasts = []

        def tell(_: float) -> int:
            lasts.append(fan_out(phones, watchers, lambda: phones.publish(b"fan")))
            return len(watchers)

        fan = Cost(server, tell)
        for _ in range(effort.fans):
            fan.run(effort.slice)
        figures["kamailio_fan"] = fan.each
        figures["kamailio_fan_last"] = percentile(lasts, 0.5)
    return figures


def _latency(phones: Phones, effort: Effort) -> tuple[float, float]:
    """Return how long phones wait for the NOTIFY of a refresh: it has no changes."""
    next_phone = phones.pick(phones.fill(DIALOGS))
    load = phones.open(
        lambda: phones.subscribe(next_phone()), rate=RATE, seconds=effort.latency
    )
    require_all(load)
    return load.percentile(0.5), load.percentile(0.99)


@contextmanager
def _running() -> Iterator[tuple[Server, Phones]]:
    """Run a kamailio that notifies, and the phones that it has."""
    with tempfile.TemporaryDirectory() as name:
        tables = shutil.copytree(TABLES, Path(name) / "tables")
        with (
            _configured("kamailio.cfg", TABLES=str(tables)) as (server, port),
            Phones(port, event=b"message-summary") as phones,
        ):
            yield server, phones


def proxy(pbx_port: int) -> AbstractContextManager[tuple[Server, int]]:
    """Run a kamailio that passes messages to a PBX; return it and its port."""
    return _configured("kamailio_proxy.cfg", PBX=f"{HOST}:{pbx_port}")


@contextmanager
def _configured(template: str, **words: str) -> Iterator[tuple[Server, int]]:
    """Run a kamailio of its own, with its files in a directory of its own."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        text = (BENCHMARKS / template).read_text()
        for word, value in words.items():
            text = text.replace(word, value)
        configuration = directory / "kamailio.cfg"
        configuration.write_text(text)
        port = free_port()
        command = [
            PROGRAM,
            *("-f", str(configuration), "-DD", "-m", str(SHARED_MEMORY)),
            *("-l", f"udp:{HOST}:{port}"),
            *("-w", name, "-Y", name, "-P", f"{name}/pid"),
        ]
        log = directory / "log"
        server = stack.enter_context(Server(command, ready=None, log=log))
        _wait_for_answer(server, port, log)
        yield server, port


def _wait_for_answer(server: Server, port: int, log: Path) -> None:
    """Return when it answers. Raises RuntimeError where it does not."""
    deadline = time.monotonic() + STARTING
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        sock.settimeout(0.2)
        while server.running and time.monotonic() < deadline:
            with suppress(ConnectionRefusedError, TimeoutError):
                sock.send(_OPTIONS)
                sock.recv(65_535)
                return
            time.sleep(0.1)
    raise RuntimeError(f"kamailio does not answer:\n{log.read_text()[-2000:]}")
