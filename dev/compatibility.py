"""Tries the integration in several versions of Home Assistant, for scripts/compatibility.

The promise is a range: from the minimum in hacs.json to the newest release on PyPI.
Each version has a venv of its own, with the web page that belongs to it.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
from functools import cache
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import time
import tomllib
from typing import Final

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

ROOT: Final = Path(__file__).resolve().parents[1]

# What stands for versions on the command line, in the order of the default.
NAMES: Final = ("minimum", "locked", "newest", "beta")

# Home Assistant's pins of these have no wheels for this Python; see pyproject.toml.
NEWER_THAN_PINNED: Final = ("pymicro-vad", "pyspeex-noise")

FRONTEND: Final = "home-assistant-frontend"

# What mypy looks at: the integration and what runs it in a browser. What tests and lint
# need is there for the locked version only.
TYPED: Final = (
    "custom_components",
    "dev/demo",
    "dev/ports.py",
    "tests/e2e",
    "tests/phone",
)

# With it the resolver leaves no release out because this Python is too old for it: that
# is what the installation has to say.
ANY_PYTHON: Final = "3.99"

# Seconds that a step may take on a slow machine.
LIMIT: Final = 1200.0

# Home Assistant itself brings it.
UV: Final = (sys.executable, "-m", "uv")

IMPORT_ALL: Final = """
import importlib, pkgutil
import homeassistant, custom_components.dfks as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


class CompatibilityError(Exception):
    """There is nothing that could be tried; the text says why."""


class StepError(Exception):
    """A step has failed; the text says how."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where versions come from; each is asked only when it is needed."""

    minimum: Callable[[], Version]
    locked: Callable[[], Version]
    newest: Callable[[], Version]
    # May be older than the newest release, or that release itself.
    newest_prerelease: Callable[[], Version]


def choose(words: Sequence[str], sources: Sources) -> dict[Version, list[str]]:
    """Return the versions that the words stand for, with their names; by default all.

    There may be no beta. Raises CompatibilityError for a word that is no version.
    """
    chosen: dict[Version, list[str]] = {}
    for word in words or NAMES:
        if (version := _find(word, sources)) is not None:
            names = chosen.setdefault(version, [])
            if word in NAMES:
                names.append(word)
    return chosen


def _find(word: str, sources: Sources) -> Version | None:
    match word:
        case "minimum":
            return sources.minimum()
        case "locked":
            return sources.locked()
        case "newest":
            return sources.newest()
        case "beta":
            beta = sources.newest_prerelease()
            return beta if beta > sources.newest() else None
        case _:
            try:
                return Version(word)
            except InvalidVersion:
                raise CompatibilityError(
                    f"{word} is no version and none of {', '.join(NAMES)}"
                ) from None


def minimum_version() -> Version:
    """Return the oldest version that HACS installs the integration in."""
    return Version(json.loads((ROOT / "hacs.json").read_text())["homeassistant"])


def locked_version() -> Version:
    """Return the version that the tests run with."""
    for requirement in _group("test"):
        if requirement.name == "homeassistant":
            (pin,) = requirement.specifier
            return Version(pin.version)
    raise CompatibilityError("pyproject.toml does not pin homeassistant")


@cache
def newest_version(*, prereleases: bool = False) -> Version:
    """Ask PyPI for the newest version. Raises CompatibilityError."""
    command = [*UV, "pip", "compile", "--quiet", "--no-deps", "--no-annotate"]
    command += ["--no-header", "--python-version", ANY_PYTHON, "--upgrade"]
    command += ["--prerelease", "allow" if prereleases else "disallow", "-"]
    found = subprocess.run(
        command, input="homeassistant", capture_output=True, text=True, check=False
    )
    if pin := re.fullmatch(r"homeassistant==(\S+)\s*", found.stdout):
        return Version(pin[1])
    raise CompatibilityError(f"PyPI names no version: {found.stderr.strip()}")


def requirements(frontend_manifest: str) -> list[str]:
    """Return what a Home Assistant needs to show its web page and the integration.

    The page is the one that its own `frontend` integration asks for.
    """
    manifest = ROOT / "custom_components" / "dfks" / "manifest.json"
    own = json.loads(manifest.read_text())["requirements"]
    page = json.loads(frontend_manifest)["requirements"]
    beside = [str(each) for each in _of_web_page() if each.name != FRONTEND]
    return [*page, *beside, *own, "lxml-stubs"]


def constraints(package_constraints: str) -> str:
    """Return Home Assistant's constraints less those that cannot be kept here."""
    names = "|".join(map(re.escape, NEWER_THAN_PINNED))
    lines = package_constraints.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(rf"({names})==", line))


def _of_web_page() -> list[Requirement]:
    """Return what a web page of some version needs beside Home Assistant."""
    return [*_group("assist"), *_group("develop")]


def _group(name: str) -> list[Requirement]:
    """Return the requirements of a dependency group, without the groups it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [Requirement(each) for each in groups[name] if isinstance(each, str)]


class Trial:
    """Tries one version, step by step; a step that fails ends it."""

    def __init__(self, version: Version, cache: Path) -> None:
        """Keep the venv in the folder `cache`."""
        self.version = version
        self.failed: str | None = None
        # What the table shows, by step.
        self.results: dict[str, str] = {}
        self._folder = cache / str(version)
        self._python = self._folder / "bin" / "python"

    @property
    def is_bad(self) -> bool:
        """Whether a release has failed; a beta may."""
        return self.failed is not None and not self.version.is_prerelease

    def run(self) -> None:
        """Run all steps."""
        for name, step in self._steps().items():
            if self.failed is not None:
                self.results[name] = "not run"
                continue
            say(f"{self.version}: {name}")
            started = time.monotonic()
            try:
                step()
            except StepError as error:
                self.failed = name
                self.results[name] = "FAILED"
                say(f"{self.version}: {name} FAILED: {error}")
            else:
                self.results[name] = f"{time.monotonic() - started:.0f} s"

    def _steps(self) -> dict[str, Callable[[], None]]:
        return {
            "install": self._install,
            "import": self._import,
            "mypy": self._check_types,
            "e2e": self._use_browser,
        }

    def _install(self) -> None:
        """Make the venv, if it is not there as it should be."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with _taking_turns(self._folder.with_suffix(".lock")):
            stamp = self._folder / "installed-from"
            wanted = f"{sys.version}\n{_of_web_page()}\n"
            if stamp.exists() and stamp.read_text() == wanted and self._works():
                return
            uv = (*UV, "--quiet")
            _call(*uv, "venv", "--clear", "--python", sys.executable, self._folder)
            install = (*uv, "pip", "install", "--python", self._python)
            _call(*install, f"homeassistant=={self.version}")
            (package,) = self._folder.glob("lib/python3*/site-packages/homeassistant")
            limits = self._folder / "constraints.txt"
            limits.write_text(
                constraints((package / "package_constraints.txt").read_text())
            )
            frontend = package / "components" / "frontend" / "manifest.json"
            needed = requirements(frontend.read_text())
            _call(*install, "--constraints", limits, *needed)
            stamp.write_text(wanted)

    def _works(self) -> bool:
        return not subprocess.run([self._python, "-c", ""], check=False).returncode

    def _import(self) -> None:
        """Import every module of the integration."""
        _call(self._python, "-c", IMPORT_ALL)

    def _check_types(self) -> None:
        """Check the types against this version's."""
        cache = self._folder / "mypy_cache"
        look = ("--python-executable", self._python, "--cache-dir", cache)
        _call(sys.executable, "-m", "mypy", *look, *TYPED)

    def _use_browser(self) -> None:
        """Set it up and use it in a real browser; where there is none, that fails."""
        _call("scripts/e2e", "--python", self._python, CI="true")


def _call(*command: str | Path, **environment: str) -> None:
    """Run a program in the checkout. Raises StepError where it fails."""
    try:
        code = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            timeout=LIMIT,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise StepError(f"it took more than {LIMIT:.0f} seconds") from None
    if code:
        raise StepError(f"{Path(command[0]).name} ended with {code}, see above")


@contextmanager
def _taking_turns(path: Path) -> Iterator[None]:
    """Let only one at a time work in a folder."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def table(trials: Sequence[Trial], names: dict[Version, list[str]]) -> str:
    """Return how each step of each version went, a line per version."""
    rows = [["version", "", *trials[0].results]]
    rows += [
        [str(trial.version), ", ".join(names[trial.version]), *trial.results.values()]
        for trial in trials
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths, strict=True)).rstrip() for row in rows
    )


def say(text: str) -> None:
    """Tell the one who started it, at once even through a pipe."""
    print(f"compatibility: {text}", flush=True)


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/compatibility",
        description="Tries the integration in several versions of Home Assistant.",
    )
    parser.add_argument("--cache", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "versions",
        nargs="*",
        metavar="VERSION",
        help=f"such as 2026.11.0, or one of {', '.join(NAMES)} (default: all of these)",
    )
    options = parser.parse_args()
    sources = Sources(
        minimum_version,
        locked_version,
        newest_version,
        lambda: newest_version(prereleases=True),
    )
    try:
        chosen = choose(options.versions, sources)
    except CompatibilityError as error:
        print(f"scripts/compatibility: {error}", file=sys.stderr, flush=True)
        return 1
    if not chosen:
        say("there is no beta newer than the newest release")
        return 0
    trials = [Trial(version, options.cache) for version in chosen]
    for trial in trials:
        trial.run()
    print(table(trials, chosen), flush=True)
    for trial in trials:
        if trial.failed is not None and not trial.is_bad:
            # GitHub shows this above the log.
            print(f"::warning::Home Assistant {trial.version}: {trial.failed} failed")
    bad = [f"{each.version} ({each.failed})" for each in trials if each.is_bad]
    say(f"FAILED in {', '.join(bad)}" if bad else "all releases are well")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
