"""What is to be reached, and the table that says whether it is."""

from collections.abc import Callable
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


def number(value: float) -> str:
    """Write a count."""
    return f"{value:.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a figure, what it is beside, and its limit."""

    what: str
    # Keys of the figures: ours, bare asyncio's, kamailio's.
    key: str
    bare: str | None = None
    kamailio: str | None = None
    # How many of the bare figure are beside one of ours.
    each: int = 1
    # What the limit applies to: the ratio to this figure, less `offset`; else ours.
    per: str | None = None
    offset: float = 0.0
    most: float | None = None
    show: Show = micro
    show_ratio: Show = times


# An exchange is two datagrams in and two out, a NOTIFY of a fan-out one of each.
ROWS: Final = (
    Row(
        what="new subscription",
        key="new",
        bare="bare",
        each=2,
        kamailio="kamailio_new",
        per="bare",
        most=4.0,
    ),
    Row(
        what="change in a dialog",
        key="change",
        bare="bare",
        each=2,
        per="bare",
        most=5.0,
    ),
    Row(
        what="the same with digest: subscription",
        key="digest_new",
        per="new",
        offset=1.0,
        most=0.1,
        show_ratio=percent,
    ),
    Row(
        what="the same with digest: change",
        key="digest_change",
        per="change",
        offset=1.0,
        most=0.1,
        show_ratio=percent,
    ),
    Row(
        what="what other programs took meanwhile, of a core",
        key="disturbance",
        show=percent,
    ),
    Row(
        what="NOTIFY at 100/s, p50",
        key="p50",
        bare="bare_p50",
        kamailio="kamailio_p50",
        show=milli,
    ),
    Row(
        what="NOTIFY at 100/s, p99",
        key="p99",
        bare="bare_p99",
        kamailio="kamailio_p99",
        most=1e-3,
        show=milli,
    ),
    Row(
        what="fan-out to 1,000, each NOTIFY",
        key="fan",
        bare="fan_bare",
        kamailio="kamailio_fan",
        per="fan_bare",
        most=3.0,
    ),
    Row(
        what="fan-out to 1,000, the last",
        key="fan_last",
        kamailio="kamailio_fan_last",
        most=50e-3,
        show=milli,
    ),
    Row(
        what="fan-out to 1,000, event loop held",
        key="fan_held",
        most=10e-3,
        show=milli,
    ),
    Row(
        what="memory of a live subscription",
        key="memory",
        kamailio="kamailio_memory",
        most=4096,
        show=kibi,
    ),
    Row(
        what="10,000 refreshing each minute, of a core",
        key="refresh",
        bare="refresh_bare",
        most=0.05,
        show=percent,
    ),
    Row(what="the same with digest", key="digest_refresh", show=percent),
    Row(
        what="start with 10,000 remembered, until it answers",
        key="start",
        most=5.0,
        show=whole,
    ),
    Row(
        what="start with 10,000 remembered, until all are told",
        key="start_told",
        show=whole,
    ),
    Row(
        what="start with 10,000 remembered, event loop held",
        key="start_held",
        most=50e-3,
        show=milli,
    ),
    Row(
        what="change with 10,000 lines, beside 10",
        key="flat_many",
        per="flat_few",
        most=1.15,
    ),
    Row(
        what="Home Assistant: change, beside headless",
        key="ha_change",
        per="ha_alone",
        most=2.5,
    ),
    Row(what="Home Assistant: of it the recorder", key="ha_recorder"),
    Row(what="Home Assistant's own: a switch and an event, bare asyncio", key="ha_own"),
    Row(what="Home Assistant's own: of it the recorder", key="ha_own_recorder"),
    Row(
        what="Home Assistant: change that is not recorded, beside headless",
        key="ha_unrecorded",
        per="ha_alone",
    ),
    Row(
        what="Home Assistant: key to state_changed at 100/s, p50",
        key="ha_p50",
        show=milli,
    ),
    Row(
        what="Home Assistant: key to state_changed at 100/s, p99",
        key="ha_p99",
        most=10e-3,
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
        most=0.0,
        show=number,
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
    ),
    Row(
        what="Home Assistant: 500 changes/s, of a core",
        key="ha_high_share",
        show=percent,
    ),
)

_HEADINGS: Final = ("", "dfks", "bare asyncio", "ratio", "limit", "", "kamailio")


class Result:
    """What the rounds of a run say about a row."""

    def __init__(self, row: Row, rounds: list[Figures]) -> None:
        """Look through all rounds that have measured it."""
        measured = [figures for figures in rounds if row.key in figures]
        self.row = row
        self.figure = median(figures[row.key] for figures in measured)
        self.bare = _middle(row.bare, rounds, row.each)
        self.kamailio = _middle(row.kamailio, rounds)
        # Each round's own: what else the machine did met both.
        self.ratios = sorted(
            figures[row.key] / figures[row.per] / row.each - row.offset
            for figures in measured
            if row.per is not None
        )
        self.measure = median(self.ratios) if self.ratios else self.figure

    @property
    def met(self) -> bool:
        """Whether the limit is kept."""
        return self.row.most is None or self.measure <= self.row.most

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        row = self.row
        show = row.show_ratio if row.per else row.show
        ratio = ""
        if self.ratios:
            ratio = show(self.ratios[len(self.ratios) // 2])
            if len(self.ratios) > 1:
                ratio += f" ({show(self.ratios[0])} to {show(self.ratios[-1])})"
        limit = verdict = ""
        if row.most is not None:
            limit, verdict = show(row.most), "ok" if self.met else "NOT MET"
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
    """Write the table; it is Markdown, too."""
    lines = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in lines
    )
