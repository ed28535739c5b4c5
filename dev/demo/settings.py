"""What the demo consists of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

# Nothing of the demo can be reached from another machine.
HOST: Final = "127.0.0.1"

USERNAME: Final = "demo"
PASSWORD: Final = "demo"


class DemoError(Exception):
    """The demo cannot go on; the text says why to the one who started it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLine:
    """A phone line that the demo sets up."""

    name: str
    user: str
    password: str


LINES: Final = (
    DemoLine(name="Reception", user="201", password="reception-201"),
    DemoLine(name="Workshop", user="202", password="workshop-202"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    config: Path
    http_port: int
    sip_port: int
    phones: bool
    fresh: bool
    check: bool = False
    # Where a simulated PBX listens, None where the lines are registered here.
    pbx_port: int | None = None


def say(text: str) -> None:
    """Tell the one who started the demo, at once even through a pipe."""
    print(text, flush=True)
