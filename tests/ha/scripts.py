"""Scripts of Home Assistant, for the tests of hooks and actions."""

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component

from custom_components.dfks.listener import DfksListener
from tests.phone import PATIENCE, Notification, Phone

type Step = Mapping[str, Any]
type Script = Mapping[str, Any]

# Hands everything that a script was told to whoever listens to the event "asked".
ASK: Step = {
    "event": "asked",
    "event_data": {
        name: f"{{{{ {name} }}}}"
        for name in (
            "presentity",
            "feature",
            "status",
            "value",
            "param",
            "origin",
            "source",
            "line",
        )
    },
}


def script(*steps: Step, **more: object) -> Script:
    """Return a script of some steps."""
    return {"sequence": [*steps], **more}


def answer(**response: object) -> list[Step]:
    """Return the steps with which a script answers."""
    return [
        {"variables": {"response": response}},
        {"stop": "done", "response_variable": "response"},
    ]


async def load_scripts(hass: HomeAssistant, **scripts: Script) -> None:
    """Have these scripts and no others, as after a save in the editor."""
    config = {"script": scripts}
    if "script" not in hass.config.components:
        assert await async_setup_component(hass, "script", config)
    else:
        with patch("homeassistant.config.load_yaml_config_file", autospec=True) as load:
            load.return_value = config
            await hass.services.async_call("script", "reload", blocking=True)


async def hooks_done(listener: DfksListener) -> None:
    """Wait until all that waits for scripts has had its turn."""
    async with asyncio.timeout(PATIENCE):
        while not listener.sync.queue.idle:
            await asyncio.sleep(0)


async def nothing_told(listener: DfksListener, phone: Phone) -> None:
    """Make sure that nothing more is told to a phone.

    The server answers in order: a NOTIFY would be there before this answer.
    """
    await hooks_done(listener)
    told = len(phone.notifications)
    assert (await phone.options()).status == 200
    assert len(phone.notifications) == told == phone._taken


async def lamps_after(phone: Phone, pressed: Any) -> Notification:
    """Wait for the NOTIFY that follows a key; the key itself is answered 200."""
    assert (await pressed).status == 200
    return await phone.notification()
