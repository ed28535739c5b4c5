"""What a check is, and the table of how all of them ended."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
import os
import sys
import time
import traceback

from .debian import is_there

# Seconds for all checks together; what comes later than that has failed.
TOTAL = 1800.0

# Characters shown of what went wrong.
SHOWN = 4_000


class CheckFailed(Exception):
    """A check did not find what it looked for; the text says what it found."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that is shown with one program, or under one fault.

    `run` returns the figures for the table and raises whatever it likes when it fails.
    `limit` is in seconds.
    """

    subject: str
    title: str
    run: Callable[[], Awaitable[str]]
    needs: tuple[str, ...] = ()
    limit: float = 30.0

    @property
    def missing(self) -> list[str]:
        """The programs that are needed and not there."""
        return [name for name in self.needs if not is_there(name)]


async def perform(checks: Iterable[Check]) -> int:
    """Run checks one after the other, print the table; return the exit status.

    What failed is printed again at the end: a long log is often kept by its end alone.
    """
    passed = absent = 0
    failures: list[str] = []
    began = time.monotonic()
    for check in checks:
        if check.missing:
            absent += 1
            _print_row(check, "NOT RUN", 0.0, f"{', '.join(check.missing)} is missing")
            continue
        left = TOTAL - (time.monotonic() - began)
        figures, problem, seconds = await _run(check, min(check.limit, left))
        _print_row(check, "FAILED" if problem else "ok", seconds, figures)
        if problem:
            failures.append(f"{check.subject} {check.title}: {problem[:SHOWN]}")
            _say(problem[:SHOWN])
        else:
            passed += 1
    for failure in failures:
        _say(f"FAILED {failure}")
    failed = len(failures)
    if absent:
        _say(f"{absent} could not run here: their programs could not be installed")
        if os.environ.get("CI") == "true":
            failed += absent
    _say(f"all of it took {time.monotonic() - began:.0f} s")
    _say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


async def _run(check: Check, limit: float) -> tuple[str, str, float]:
    """Return figures, what went wrong (empty where nothing did) and seconds."""
    began = time.monotonic()
    figures = problem = ""
    try:
        async with asyncio.timeout(limit):
            figures = await check.run()
    except CheckFailed as err:
        problem = str(err) or "failed"
    except TimeoutError as err:
        problem = f"no end within {limit:.0f} s: {err}"
    except Exception as err:  # noqa: BLE001  # whatever it is belongs into the table
        problem = "".join(traceback.format_exception(err))
    return figures, problem, time.monotonic() - began


def _print_row(check: Check, word: str, seconds: float, figures: str) -> None:
    _say(f"{check.subject:9} {check.title:58} {word:7} {seconds:5.1f} s  {figures}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()
