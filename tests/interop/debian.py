"""Where programs are: on the machine, or of a newer Debian and unpacked beside it.

Those of scripts/lib/debian-testing are called `testing/NAME`. They run from where they
are, with the C library that came with them.
"""

import os
from pathlib import Path
import shutil

TESTING = "testing/"

# Set by scripts/interop where there is such a directory.
DIRECTORY = "DEBIAN_TESTING"


def testing() -> Path:
    """Return the directory; raises FileNotFoundError where there is none."""
    directory = os.environ.get(DIRECTORY, "")
    if not directory:
        raise FileNotFoundError("scripts/lib/debian-testing has unpacked nothing")
    return Path(directory)


def libraries() -> Path:
    """Return the folder of its libraries, with Asterisk's and Kamailio's modules."""
    return _loader().parent


def command(name: str) -> list[str]:
    """Return how a program is called; raises FileNotFoundError where it is missing."""
    if name.startswith(TESTING):
        program = testing() / "usr" / "sbin" / name.removeprefix(TESTING)
        if not program.exists():
            raise FileNotFoundError(f"{program} is missing")
        return [str(_loader()), "--library-path", str(libraries()), str(program)]
    if (found := shutil.which(name)) is None:
        raise FileNotFoundError(f"{name} is missing")
    return [found]


def is_there(name: str) -> bool:
    """Whether a program can be called."""
    try:
        command(name)
    except FileNotFoundError:
        return False
    return True


def _loader() -> Path:
    found = sorted(testing().glob("usr/lib/*-linux-gnu/ld-linux-*.so.*"))
    if not found:
        raise FileNotFoundError("there is no loader of programs in it")
    return found[0]
