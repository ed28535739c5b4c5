"""The servers under test: each a process of its own on a core of its own."""

from collections.abc import Sequence
import ctypes
from functools import partial
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
from typing import Any, Final, Self

from dev.ports import free_port

# All that is started and all that is sent stays here.
HOST: Final = "127.0.0.1"

# Where the server listens unless something else is measured: that is the default of
# users. It answers this machine alone.
EVERYWHERE: Final = "0.0.0.0"

BENCHMARKS: Final = Path(__file__).resolve().parent

# The servers get one core, the generator another, where there are two.
_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = _CORES[0]
GENERATOR_CORE: Final = _CORES[-1]

# Seconds that a server may take to start, and to end before it is killed.
STARTING: Final = 30.0
ENDING: Final = 10.0

# prctl(2): the signal that a process gets when the one who started it has died.
PR_SET_PDEATHSIG: Final = 1


class Server:
    """A running server, metered through /proc."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str | None = "ready",
        environment: dict[str, str] | None = None,
        log: Path | None = None,
        core: int = SERVER_CORE,
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it; `ready` is the line on which to wait. Raises RuntimeError.

        `ending` is the signal upon which it ends in good order.
        """
        self._ending = ending
        self._name = Path(command[1]).name
        self._log = (log or Path(os.devnull)).open("wb")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log if ready is None else subprocess.PIPE,
            stderr=self._log if ready is None else None,
            env=os.environ | (environment or {}),
            preexec_fn=partial(_prepare, core),  # noqa: PLW1509 - there are no threads
        )
        self.pid = self._process.pid
        try:
            while ready is not None and self._read_line(STARTING) != ready:
                pass
        except RuntimeError:
            self.stop()
            raise

    def __enter__(self) -> Self:
        """Leave the server running while in the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def report(self) -> Any:
        """Have the server report about itself. Raises RuntimeError."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return json.loads(self._read_line(STARTING))

    def _read_line(self, patience: float) -> str:
        """Read one line; the servers here never write more than they are asked for."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience)[0]:
            raise RuntimeError(f"{self._name} says nothing")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended")
        return line.decode().rstrip()

    def cpu(self) -> float:
        """Return the CPU seconds of all threads and children so far."""
        return sum(
            _thread_cpu(thread) for pid in _family(self.pid) for thread in _threads(pid)
        )

    def cpu_by_thread(self) -> dict[str, float]:
        """Return the CPU seconds of the threads so far, by their names.

        The first of them is `main`.
        """
        seconds: dict[str, float] = {}
        for thread in _threads(self.pid):
            name = (thread / "comm").read_text().strip()
            if thread.name == str(self.pid):
                name = "main"
            seconds[name] = seconds.get(name, 0.0) + _thread_cpu(thread)
        return seconds

    def memory(self) -> int:
        """Return the resident memory in octets; what is shared counts once."""
        total = 0
        for pid in _family(self.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += 1024 * int(line.split()[1])
        return total

    def stop(self) -> None:
        """End the server, and wait until it has ended."""
        if self.running:
            self._process.send_signal(self._ending)
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()


def _prepare(core: int) -> None:
    """Take a core, and end should the generator be killed (Linux only)."""
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        for thread in _threads(parent):
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _thread_cpu(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:
        # It has just ended.
        return 0.0


def machine_cpu() -> float:
    """Return the CPU seconds of all that runs on the machine so far."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, irq, soft_irq, stolen = map(int, fields)
    ticks = user + nice + system + irq + soft_irq + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def bare(way: str, *options: str) -> tuple[Server, int]:
    """Start bare asyncio, `echo`, `skeleton` or `forward`; return it with its port.

    Its transport asks for 256 KiB a datagram. With the defaults of glibc each of them is
    mapped and unmapped again, which costs more than all else; told to keep its memory,
    the C library shows what asyncio costs.
    """
    port = free_port()
    keep = {
        "MALLOC_MMAP_THRESHOLD_": "100000000",
        "MALLOC_TRIM_THRESHOLD_": "100000000",
    }
    command = [
        sys.executable,
        f"{BENCHMARKS}/bare.py",
        f"--port={port}",
        f"--way={way}",
        *options,
    ]
    return Server(command, environment=keep), port


def headless(
    *options: str, host: str = EVERYWHERE, port: int | None = None
) -> tuple[Server, int]:
    """Start the lower two floors; return the server with its port."""
    port = port or free_port()
    command = [sys.executable, f"{BENCHMARKS}/serve.py", f"--host={host}"]
    return Server([*command, f"--sip-port={port}", *options]), port
