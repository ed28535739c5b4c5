"""What it takes to set a first line up, as docs/configuration.md says and a browser finds."""

from dataclasses import dataclass
from typing import Final, override

# Clicks, and fields that are typed into, by the kind of line.
EXPECTED: Final = {
    "registered here": (6, 2),
    "registered here, by Repairs": (7, 1),
    "at a PBX": (11, 2),
    "followed": (8, 4),
}


@dataclass(frozen=True, slots=True)
class Effort:
    """What a way has taken: clicks, fields that are typed into, seconds."""

    clicks: int
    words: int
    seconds: float

    @override
    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.clicks} clicks, {self.words} words, {self.seconds:.1f} seconds"
