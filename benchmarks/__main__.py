"""Measures what this checkout costs, beside bare asyncio and kamailio."""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import platform
import signal
import sys
from typing import Any, Final

from . import headless, inside, kamailio, passing, table
from .headless import FULL, SHORT, Crowds, Effort, Figures
from .processes import BENCHMARKS, GENERATOR_CORE, SERVER_CORE

# Rounds whose median counts.
ROUNDS: Final = 5

GROUPS: Final = (
    "exchanges",
    "latency",
    "fan-out",
    "crowd",
    "start",
    "flatness",
    "passing",
    "kamailio",
    "home-assistant",
    "instructions",
)

# What a change is judged by that makes things slower or larger.
BASELINE: Final = BENCHMARKS / "baseline.json"

# Where the figures are told.
DOCUMENT: Final = BENCHMARKS.parent / "docs" / "benchmarks.md"


def main() -> int:
    """Run the measurements; returns the exit status."""
    arguments = _parse_arguments()
    load = os.getloadavg()[0]
    # The generator's end is the servers' end, also when it is told to go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, {GENERATOR_CORE})
    rounds = _merged(arguments.earlier or _measure_all(arguments))
    if arguments.keep:
        _keep(rounds[0])
    kept = json.loads(BASELINE.read_text())
    rounds = [figures | _of_baseline(figures, kept) for figures in rounds]
    rows = table.results(rounds)
    headline = _headline(len(rounds), load)
    print(headline, table.render(rows), sep="\n\n")
    if arguments.document:
        told = [row for row in rows if row.row.in_document]
        _put_into_document(f"{headline}.\n\n{table.render(told)}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_record(rows, rounds), indent=2) + "\n")
    missed = [row for row in rows if not row.met]
    return 1 if arguments.check and missed else 0


def _measure_all(arguments: argparse.Namespace) -> list[Figures]:
    """Measure round by round what the command line asks for."""
    effort = SHORT if arguments.short else FULL
    turns = 1 if arguments.short else ROUNDS
    rounds = [
        _measure(arguments.only, effort, f"{turn + 1}/{turns}") for turn in range(turns)
    ]
    if "home-assistant" in arguments.only:
        _say("Home Assistant")
        for figures, more in zip(rounds, _home_assistant(effort, turns), strict=True):
            figures |= more
    if "instructions" in arguments.only and inside.can_count():
        rounds[0] |= _count_instructions()
    return rounds


def _read_rounds(file: str) -> list[Figures]:
    """Return the rounds that an earlier run has written."""
    rounds: list[Figures] = json.loads(Path(file).read_text())["rounds"]
    return rounds


def _merged(rounds: list[Figures]) -> list[Figures]:
    """Put rounds of different groups together."""
    merged: list[Figures] = []
    for figures in rounds:
        for other in merged:
            if not other.keys() & figures.keys():
                other |= figures
                break
        else:
            merged.append(dict(figures))
    return merged


def _put_into_document(text: str) -> None:
    """Replace what stands between the marks of docs/benchmarks.md."""
    document = DOCUMENT.read_text()
    before, begin, rest = document.partition("<!-- figures -->\n")
    _, end, after = rest.partition("<!-- end of figures -->\n")
    if not end:
        raise RuntimeError(f"{DOCUMENT} has no marks")
    DOCUMENT.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="one round of little time: about three minutes, and rough",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument(
        "--from",
        dest="earlier",
        action="extend",
        type=_read_rounds,
        metavar="FILE",
        help="measure nothing: the rounds are those of a file that --json has written",
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="put the rows that are to be reached into docs/benchmarks.md",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="make what is measured of memory and instructions the baseline",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with the status 1 where a limit is not met",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"measure only some of {', '.join(GROUPS)}",
    )
    return parser.parse_args()


def _say(text: str) -> None:
    """Tell how far it is, out of the way of the table."""
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


def _measure(groups: list[str], effort: Effort, turn: str) -> Figures:
    """Measure one round of all but Home Assistant."""
    steps: dict[str, Callable[[], Figures]] = {
        "exchanges": lambda: headless.measure_exchanges(effort),
        "latency": lambda: headless.measure_latency(effort),
        "fan-out": lambda: headless.measure_fan_out(effort),
        "start": headless.measure_start,
        "flatness": lambda: headless.measure_flatness(effort),
        "passing": lambda: passing.measure(effort),
    }
    if kamailio.knows_subscriptions():
        steps["kamailio"] = lambda: kamailio.measure(effort)
    figures: Figures = {}
    with ExitStack() as stack:
        # What it is measured for comes half a minute later: the rest goes on meanwhile.
        crowd = Crowds(stack) if "crowd" in groups else None
        for name, step in steps.items():
            if name in groups:
                _say(f"{turn} {name}")
                figures |= step()
        if crowd is not None:
            _say(f"{turn} crowd")
            figures |= crowd.measure(effort)
    return figures


def _home_assistant(effort: Effort, turns: int) -> list[Figures]:
    """Measure Home Assistant, which is not there where only the floors are."""
    from . import home_assistant

    return home_assistant.measure(effort, turns)


def _count_instructions() -> Figures:
    """Count what no other program disturbs; once, for it is the same each time."""
    figures: Figures = {}
    for kind in table.INSTRUCTIONS:
        _say(f"instructions of {kind}")
        figures[f"instructions_{kind}"] = inside.count_instructions(kind)
    return figures


def _of_baseline(figures: Figures, kept: Figures) -> Figures:
    """Return the figures of the baseline that stand beside measured ones."""
    return {f"{key}_kept": value for key, value in kept.items() if key in figures}


def _keep(figures: Figures) -> None:
    """Make figures the baseline, where it is about them."""
    kept: Figures = json.loads(BASELINE.read_text())
    kept |= {
        key: round(value)
        for key, value in figures.items()
        if key == "memory" or key.startswith("instructions_")
    }
    BASELINE.write_text(json.dumps(kept, indent=2) + "\n")


def _headline(turns: int, load: float) -> str:
    """Say when, where and how it was measured."""
    how = "one round" if turns == 1 else f"median of {turns} rounds (lowest to highest)"
    cores = "one core for both"
    if SERVER_CORE != GENERATOR_CORE:
        cores = "the server on one core, the generator on another"
    return (
        f"{_today()}, {_machine()}, Python {platform.python_version()}; {how}; {cores}; "
        f"load of the machine at the start {load:.1f}"
    )


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _machine() -> str:
    """Return the processor's name and the number of its cores."""
    name = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} cores, Linux {platform.release()}"


def _record(rows: list[table.Result], rounds: list[Figures]) -> dict[str, Any]:
    """Return what goes into a file."""
    return {
        "date": _today(),
        "machine": _machine(),
        "python": platform.python_version(),
        "rows": [row.record() for row in rows],
        "rounds": rounds,
    }


if __name__ == "__main__":
    sys.exit(main())
