"""What is to be reached, and the table that says whether it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from .headless import Figures

type Show = Callable[[float], str]


def micro(seconds: float) -> str:
    """Write seconds in microseconds."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-4 else f"{seconds * 1e6:.0f} µs"


def milli(seconds: float) -> str:
    """Write seconds in milliseconds."""
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"


def whole(seconds: float) -> str:
    """Write seconds."""
    return f"{seconds:.2f} s"


def kibi(octets: float) -> str:
    """Write octets in KiB."""
    return f"{octets / 1024:.2f} KiB"


def percent(share: float) -> str:
    """Write a share."""
    return f"{share * 100:.1f} %"


def times(ratio: float) -> str:
    """Write a ratio."""
    return f"{ratio:.2f} x"


def thousands(count: float) -> str:
    """Write a count of instructions."""
    return f"{count / 1e3:.0f} thousand"


def number(value: float) -> str:
    """Write a count."""
    return f"{value:.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a figure, what it is beside, and its limits."""

    what: str
    # Keys of the figures: ours, bare asyncio's, kamailio's.
    key: str
    bare: str | None = None
    kamailio: str | None = None
    # How many of the bare figure are beside one of ours.
    each: int = 1
    # What the ratio is to, where that is not bare asyncio.
    per: str | None = None
    # The highest figure and the highest ratio.
    most: float | None = None
    most_ratio: float | None = None
    show: Show = micro
    # What the rounds come to.
    of_rounds: Callable[[Iterable[float]], float] = median
    # Whether it stands in docs/benchmarks.md without a limit of its own.
    is_told: bool = False

    @property
    def in_document(self) -> bool:
        """Whether it stands there: what is to be reached, but not what is only kept."""
        has_limit = self.most is not None or self.most_ratio is not None
        return self.is_told or (has_limit and not (self.per or "").endswith("_kept"))


# Datagrams of bare asyncio that stand beside an exchange (two in, two out; it has one of
# each for a datagram), a fan-out, a slice of either kind of work, and a start.
EXCHANGE: Final = 2
FAN: Final = 1000
NOTIFY_SLICE: Final = 50
MEMORY_SLICE: Final = 100
START: Final = 10_000

# How much more than what is kept in `baseline.json` something may take.
MOST_GROWTH: Final = 1.1

INSTRUCTIONS: Final = {
    "new": "new subscription",
    "change": "change",
    "refresh": "refresh",
    "digest-change": "change with digest",
    "pass-register": "passing a REGISTER with a challenge",
    "pass-call": "passing a call",
    "pass-ring": "passing a call to a phone",
    "treat-ring": "treating a call",
}

ROWS: Final = (
    Row(
        what="new subscription",
        key="new",
        bare="bare",
        each=EXCHANGE,
        most_ratio=4.0,
        kamailio="kamailio_new",
    ),
    Row(
        what="change in a dialog",
        key="change",
        bare="bare",
        each=EXCHANGE,
        most_ratio=3.5,
    ),
    Row(
        what="listening at one address: new subscription",
        key="one_new",
        bare="bare",
        each=EXCHANGE,
    ),
    Row(
        what="listening at one address: change",
        key="one_change",
        bare="bare",
        each=EXCHANGE,
    ),
    Row(
        what="with digest, beside without: new subscription",
        key="digest_new",
        per="new",
        most_ratio=1.2,
    ),
    Row(
        what="with digest, beside without: change",
        key="digest_change",
        per="change",
        most_ratio=1.2,
    ),
    Row(
        what="what other programs took meanwhile, of a core",
        key="disturbance",
        show=percent,
    ),
    Row(
        what="NOTIFY at 100/s, p50, beside a skeleton in Python",
        key="p50",
        bare="bare_p50",
        per="skeleton_p50",
        most_ratio=1.5,
        kamailio="kamailio_p50",
        show=milli,
    ),
    Row(
        what="NOTIFY at 100/s, p99, beside a skeleton in Python",
        key="p99",
        bare="bare_p99",
        per="skeleton_p99",
        most_ratio=1.5,
        kamailio="kamailio_p99",
        show=milli,
    ),
    Row(
        what="the skeleton's NOTIFY at 100/s, p50",
        key="skeleton_p50",
        bare="bare_p50",
        show=milli,
    ),
    Row(
        what="the skeleton's NOTIFY at 100/s, p99",
        key="skeleton_p99",
        bare="bare_p99",
        show=milli,
    ),
    Row(
        what="sent twice at 500 changes/s",
        key="repeats",
        most=0.0,
        show=number,
        of_rounds=max,
    ),
    Row(
        what="fan-out to 1,000, each NOTIFY",
        key="fan",
        bare="fan_bare",
        most_ratio=1.8,
        kamailio="kamailio_fan",
    ),
    Row(
        what="fan-out to 1,000, the last",
        key="fan_last",
        bare="fan_bare",
        each=FAN,
        most=50e-3,
        kamailio="kamailio_fan_last",
        show=milli,
    ),
    Row(
        what="fan-out to 1,000, event loop held",
        key="fan_held",
        bare="fan_bare",
        each=NOTIFY_SLICE,
        most=10e-3,
        show=milli,
    ),
    Row(
        what="memory of a live subscription",
        key="memory",
        per="memory_kept",
        most_ratio=MOST_GROWTH,
        kamailio="kamailio_memory",
        show=kibi,
        is_told=True,
    ),
    Row(
        what="10,000 refreshing each minute, of a core",
        key="refresh",
        bare="refresh_bare",
        most_ratio=2.0,
        show=percent,
    ),
    Row(
        what="the same with digest",
        key="digest_refresh",
        bare="refresh_bare",
        show=percent,
    ),
    Row(
        what="start with 10,000 remembered, until it answers",
        key="start",
        bare="bare",
        each=START,
        most=5.0,
        show=whole,
    ),
    Row(
        what="start with 10,000 remembered, until all are told",
        key="start_told",
        bare="bare",
        each=START,
        show=whole,
    ),
    Row(
        what="start with 10,000 remembered, event loop held",
        key="start_held",
        bare="bare",
        each=MEMORY_SLICE,
        most=50e-3,
        show=milli,
    ),
    Row(
        what="change with 50,000 lines, beside 10",
        key="flat_many",
        per="flat_few",
        most_ratio=1.1,
    ),
    Row(
        what="refresh with 50 watchers of the line, beside 1",
        key="flat_watched",
        per="flat_alone",
        most_ratio=1.1,
    ),
    Row(
        what="passing REGISTER with a challenge, 4 messages",
        key="pass_register",
        bare="pass_register_bare",
        kamailio="kamailio_pass_register",
        most_ratio=2.0,
    ),
    Row(
        what="passing a call, 7 messages",
        key="pass_call",
        bare="pass_call_bare",
        kamailio="kamailio_pass_call",
        most_ratio=2.0,
    ),
    Row(
        what="passing at 100 messages/s, p50",
        key="pass_p50",
        bare="pass_p50_bare",
        kamailio="kamailio_pass_p50",
        is_told=True,
    ),
    Row(
        what="passing at 100 messages/s, p99",
        key="pass_p99",
        bare="pass_p99_bare",
        kamailio="kamailio_pass_p99",
        most_ratio=2.0,
    ),
    Row(
        what="Home Assistant: passing at 100 messages/s, p99",
        key="ha_pass_p99",
        bare="pass_p99_bare",
        show=milli,
    ),
    Row(
        what="Home Assistant: change, beside headless",
        key="ha_change",
        per="ha_alone",
        is_told=True,
    ),
    Row(what="Home Assistant: of it the recorder", key="ha_recorder"),
    Row(
        what="Home Assistant's own: a switch and an event, bare asyncio",
        key="ha_own",
        is_told=True,
    ),
    Row(what="Home Assistant's own: of it the recorder", key="ha_own_recorder"),
    Row(
        what="Home Assistant: change, more than its own in the event loop",
        key="ha_more",
        bare="bare",
        each=EXCHANGE,
        most=100e-6,
    ),
    Row(
        what="Home Assistant: change that is not recorded, beside headless",
        key="ha_unrecorded",
        per="ha_alone",
    ),
    Row(
        what="Home Assistant: key to state_changed at 100/s, p50",
        key="ha_p50",
        bare="ha_own_p50",
        show=milli,
    ),
    Row(
        what="Home Assistant: key to state_changed at 100/s, p99",
        key="ha_p99",
        bare="ha_own_p99",
        most=6e-3,
        show=milli,
    ),
    Row(
        what="Home Assistant: longest garbage collection at 100/s",
        key="ha_collection",
        show=milli,
    ),
    Row(
        what="Home Assistant: sent twice at 500 changes/s",
        key="ha_repeats",
        show=number,
        is_told=True,
    ),
    Row(
        what="Home Assistant: NOTIFY at 500 changes/s, p99",
        key="ha_high_p99",
        show=milli,
    ),
    Row(
        what="Home Assistant: longest garbage collection at 500 changes/s",
        key="ha_high_collection",
        show=milli,
        is_told=True,
    ),
    Row(
        what="Home Assistant: 500 changes/s, of a core",
        key="ha_high_share",
        show=percent,
    ),
    *(
        Row(
            what=f"instructions, beside those of the baseline: {what}",
            key=f"instructions_{kind}",
            per=f"instructions_{kind}_kept",
            most_ratio=MOST_GROWTH,
            show=thousands,
        )
        for kind, what in INSTRUCTIONS.items()
    ),
    Row(
        what="instructions: a treated call, beside one that is passed",
        key="instructions_treat-ring",
        per="instructions_pass-ring",
        show=thousands,
        is_told=True,
    ),
)

_HEADINGS: Final = ("", "here", "bare asyncio", "ratio", "limit", "", "kamailio")


class Result:
    """What the rounds of a run say about a row."""

    def __init__(self, row: Row, rounds: list[Figures]) -> None:
        """Look through all rounds that have measured it."""
        measured = [figures for figures in rounds if row.key in figures]
        self.row = row
        self.figure = row.of_rounds(figures[row.key] for figures in measured)
        self.bare = _middle(row.bare, rounds, row.each)
        self.kamailio = _middle(row.kamailio, rounds)
        other, each = (row.per, 1) if row.per else (row.bare, row.each)
        # Each round's own: what else the machine did met both.
        self.ratios = sorted(
            figures[row.key] / figures[other] / each
            for figures in measured
            if other in figures
        )

    @property
    def met(self) -> bool:
        """Whether the limit is kept."""
        row = self.row
        if row.most_ratio is not None:
            # Without the other figure nothing can be said against it.
            return not self.ratios or median(self.ratios) <= row.most_ratio
        return row.most is None or self.figure <= row.most

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        row = self.row
        ratio = ""
        if self.ratios:
            ratio = times(median(self.ratios))
            if len(self.ratios) > 1:
                ratio += f" ({times(self.ratios[0])} to {times(self.ratios[-1])})"
        limit = verdict = ""
        if row.most_ratio is not None:
            limit = times(row.most_ratio)
        elif row.most is not None:
            limit = row.show(row.most)
        if limit:
            verdict = "ok" if self.met else "NOT MET"
        return (
            row.what,
            row.show(self.figure),
            "" if self.bare is None else row.show(self.bare),
            ratio,
            limit,
            verdict,
            "" if self.kamailio is None else row.show(self.kamailio),
        )

    def record(self) -> dict[str, Any]:
        """Return the figures in seconds, octets and ratios, for a file."""
        return {
            "what": self.row.what,
            "figure": self.figure,
            "bare_asyncio": self.bare,
            "kamailio": self.kamailio,
            "ratios": self.ratios,
            "limit": self.row.most,
            "limit_of_ratio": self.row.most_ratio,
            "met": self.met,
        }


def _middle(key: str | None, rounds: list[Figures], each: int = 1) -> float | None:
    values = [each * figures[key] for figures in rounds if key and key in figures]
    return median(values) if values else None


def results(rounds: list[Figures]) -> list[Result]:
    """Return what was measured, row by row."""
    return [
        Result(row, rounds)
        for row in ROWS
        if any(row.key in figures for figures in rounds)
    ]


def render(rows: list[Result]) -> str:
    """Write the table, without columns that are empty; it is Markdown, too."""
    columns = [
        column
        for column in zip(_HEADINGS, *(row.cells() for row in rows), strict=True)
        if any(column[1:])
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = list(zip(*columns, strict=True))
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in lines
    )
