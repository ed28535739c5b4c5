#!/usr/bin/env python3
"""How long phones hear nothing while Home Assistant restarts.

Runs a full Home Assistant with a PBX and some lines, starts it again, and prints the
seconds from the start of the process to the first answer to a SUBSCRIBE, and those
between the last message that was passed to the PBX before and the first one after.
Everything stays on loopback.
"""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, pairwise
import os
from pathlib import Path
import socket
import sys
import tempfile
from threading import Event, Thread
import time
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.home_assistant import PATIENCE, add_pbx, install, prepare, start
from benchmarks.messages import subscribe
from benchmarks.passing import Ends
from benchmarks.processes import GENERATOR_CORE, HOST

# Seconds between two messages, and until one counts as lost.
PAUSE: Final = 0.02

# Home Assistant runs when it has started all; what is measured comes long before.
STARTED: Final = 5.0


class Asking:
    """A thread that asks again and again, and notes when that was answered."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        """Begin at once."""
        self.answered: list[float] = []
        self._ask = ask
        self._ending = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(PAUSE):
            if self._ask():
                self.answered.append(time.monotonic())

    def first_after(self, moment: float) -> float:
        """Return when it was answered first after a moment. Raises RuntimeError."""
        while time.monotonic() < moment + PATIENCE:
            if self.answered and self.answered[-1] > moment:
                return next(when for when in self.answered if when > moment)
            time.sleep(PAUSE)
        raise RuntimeError("there is no answer")

    def longest_gap(self) -> float:
        """Return the most seconds between two answers."""
        return max(after - before for before, after in pairwise(self.answered))

    def stop(self) -> None:
        """Ask no more."""
        self._ending.set()
        self._thread.join()


def subscriber(port: int) -> Callable[[], bool]:
    """Return what sends a SUBSCRIBE and says whether anything came back."""
    numbers = count(1)
    phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.bind((HOST, 0))
    phone.settimeout(PAUSE)
    phone.connect((HOST, port))
    here = b"%b:%d" % (HOST.encode(), phone.getsockname()[1])
    server = b"%b:%d" % (HOST.encode(), port)

    def ask() -> bool:
        data = subscribe(
            uri=b"sip:1000@" + server,
            here=here,
            server=server,
            user=b"1000",
            call_id=b"%d" % next(numbers),
            from_tag=b"asking",
            to_tag=None,
            cseq=1,
            event=b"as-feature-event",
            expires=600,
            more=b"",
            body=b"",
        )
        try:
            phone.send(data)
            phone.recv(65_535)
        except OSError:
            return False
        return True

    return ask


def measure(lines: int, starts: int) -> None:
    """Restart a Home Assistant with some lines, and print what phones notice."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        options = prepare(Path(name))
        ends = Ends()
        stack.callback(ends.close)
        with start(options) as server:
            url = f"http://{HOST}:{options.http_port}"
            asyncio.run(install(server, url, options.sip_port, lines))
            asyncio.run(add_pbx(url, ends.pbx_port))
            ends.towards(options.sip_port)
            ends.register()
            passing = Asking(lambda: ends.passes(PAUSE))
            stack.callback(passing.stop)
            passing.first_after(time.monotonic())
        subscribing = Asking(subscriber(options.sip_port))
        stack.callback(subscribing.stop)
        for number in range(1, starts + 1):
            began = time.monotonic()
            with start(options):
                answered = subscribing.first_after(began) - began
                passed = passing.first_after(began) - began
                time.sleep(STARTED)
            print(
                f"{lines} lines, start {number}: answers after {answered:.1f} s, passes "
                f"after {passed:.1f} s",
                flush=True,
            )
        print(f"{lines} lines: nothing passed for {passing.longest_gap():.1f} s")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", type=int, nargs="*", default=[2, 200, 600])
    parser.add_argument("--starts", type=int, default=2)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {GENERATOR_CORE})
    for lines in arguments.lines:
        measure(lines, arguments.starts)


if __name__ == "__main__":
    main()
