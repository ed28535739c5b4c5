"""The configuration directory of the demo's Home Assistant.

Only what Home Assistant has no API for while it is down is written here: its own
start-up settings. The integration's storage is Home Assistant's to write.
"""

import asyncio
import fcntl
import json
from pathlib import Path
import shutil
import sys
from typing import Any, Final

from .processes import Program
from .settings import HOST, PASSWORD, ROOT, USERNAME, DemoError, Options, say

# Tells a directory of the demo's from somebody's real configuration.
MARKER: Final = ".dfks-demo"

# Home Assistant holds a lock on this file while it runs.
LOCK: Final = ".ha_run.lock"

# Seconds that a Home Assistant whose demo was killed may take to end.
ENDING: Final = 60.0

ONBOARDING: Final = {
    "version": 4,
    "minor_version": 1,
    "key": "onboarding",
    "data": {"done": ["user", "core_config", "analytics", "integration"]},
}

WEB_SERVER: Final[dict[str, Any]] = {
    "version": 2,
    "minor_version": 2,
    "key": "http",
    "data": {
        "stable": {
            "server_port": None,
            "server_host": [HOST],
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": True,
            "ssl_profile": "modern",
            "use_x_frame_options": True,
            "created_at": "2026-01-01T00:00:00+00:00",
            "error": None,
            "error_message": None,
        },
        "pending": None,
        "yaml_migration_done": True,
    },
}


async def prepare(options: Options) -> None:
    """Make the directory ready for Home Assistant; what is there stays.

    Raises DemoError where the directory is no demo's, or in use.
    """
    config = options.config
    _claim(config)
    await _wait_until_unused(config)
    if options.fresh:
        _empty(config)
        _claim(config)
    storage = config / ".storage"
    storage.mkdir(exist_ok=True)
    for template in sorted((Path(__file__).parent / "config").iterdir()):
        if not (config / template.name).exists():
            shutil.copyfile(template, config / template.name)
    _link(config / "custom_components" / "dfks", ROOT / "custom_components" / "dfks")
    if not (storage / "onboarding").exists():
        _write_json(storage / "onboarding", ONBOARDING)
    _set_http_port(storage / "http", options.http_port)
    if not _has_login(storage / "auth_provider.homeassistant"):
        await _add_login(config)


def _claim(config: Path) -> None:
    if config.exists() and not config.is_dir():
        raise DemoError(f"{config} is no directory")
    config.mkdir(parents=True, exist_ok=True)
    if (config / MARKER).exists():
        return
    if any(config.iterdir()):
        raise DemoError(f"{config} holds files that are not the demo's; choose another")
    (config / MARKER).write_text("scripts/develop made this directory.\n")


def _empty(config: Path) -> None:
    """Remove all that the directory holds, the marker last of all."""
    for path in sorted(config.iterdir(), key=lambda path: path.name == MARKER):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


async def _wait_until_unused(config: Path) -> None:
    """Wait for a Home Assistant that a killed demo has left behind."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ENDING
    told = False
    while _is_locked(config / LOCK):
        if not told:
            say(f"waiting for the Home Assistant that still uses {config} to end")
            told = True
        if loop.time() > deadline:
            raise DemoError(f"another Home Assistant is running on {config}")
        await asyncio.sleep(0.5)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _link(link: Path, target: Path) -> None:
    """Let a link lead to the integration of this checkout."""
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _set_http_port(path: Path, port: int) -> None:
    """Write the web server's port where Home Assistant reads it at its start."""
    settings = json.loads(path.read_text()) if path.exists() else WEB_SERVER
    settings["data"]["stable"]["server_port"] = port
    # A change tried out in the web page would come before the port asked for.
    settings["data"]["pending"] = None
    _write_json(path, settings)


def _has_login(path: Path) -> bool:
    if not path.exists():
        return False
    users = json.loads(path.read_text())["data"]["users"]
    return any(user["username"] == USERNAME for user in users)


async def _add_login(config: Path) -> None:
    say(f"adding the login {USERNAME}")
    arguments = ("--script", "auth", "-c", str(config), "add", USERNAME, PASSWORD)
    program = await Program.start("home assistant", *hass(*arguments))
    try:
        if await program.wait():
            raise DemoError("Home Assistant did not take the login; see above")
    finally:
        await program.stop(0)


def hass(*arguments: str) -> list[str]:
    """Return the command that runs Home Assistant."""
    return [sys.executable, "-m", "homeassistant", "--ignore-os-check", *arguments]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write as a whole or not at all: the demo may be killed at any time."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content, indent=2))
    fresh.replace(path)
