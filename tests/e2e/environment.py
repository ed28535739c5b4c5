"""Python as a new user's Home Assistant has it: without what the integration needs.

Home Assistant installs that itself, when the integration is first asked for.
"""

import asyncio
from importlib.metadata import distributions
import os
from pathlib import Path
import shutil
import sys
from typing import Final

from custom_components.dfks.const import DOMAIN
from dev.demo.settings import ROOT

# What the integration's manifest asks for.
NEEDED: Final = "lxml"


def packages_there() -> str:
    """Return the names of all other packages, with commas between.

    Some are newer than Home Assistant's pins, which have no wheels for this Python: it
    must not build those instead.
    """
    names = {package.name for package in distributions()}
    return ",".join(sorted(names - {NEEDED}))


async def can_install() -> bool:
    """Tell whether packages can be had: whether there is a network, that is."""
    command = ("-m", "uv", "pip", "install", "--quiet", "--dry-run", "--reinstall")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        NEEDED,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def copy_environment(folder: Path) -> Path:
    """Copy the running Python's packages without the one needed; return its Python.

    Files are linked where that is possible: an installer replaces files, it does not
    write into them.
    """
    left_out = shutil.ignore_patterns(NEEDED, f"{NEEDED}-*.dist-info")
    shutil.copytree(
        sys.prefix, folder, symlinks=True, ignore=left_out, copy_function=_link
    )
    return folder / "bin" / Path(sys.executable).name


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


def is_installed(python: Path) -> bool:
    """Tell whether the package needed is there."""
    return any(python.parent.parent.glob(f"lib/python3*/site-packages/{NEEDED}"))


def copy_integration(config: Path) -> None:
    """Put the folder of the integration where HACS puts it."""
    folder = config / "custom_components" / DOMAIN
    folder.unlink()  # the demo's link to it
    shutil.copytree(
        ROOT / "custom_components" / DOMAIN,
        folder,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
