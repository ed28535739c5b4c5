"""The last word to the phones of a listener that is removed for good.

Home Assistant unloads an entry before it removes it, and an unload keeps the dialogs.
So the server is built once more from what is remembered, only to end them: phones that
are told so look for another server at once, and do not wait an hour for a refresh.
"""

import asyncio
import logging
from typing import Final

from homeassistant.core import HomeAssistant

from .features.sync import FeatureSync
from .listener import DfksConfigEntry
from .settings import line_config, line_subentries, server_config
from .sip import LoopClock, SipServer
from .storage.dialogs import PhoneStore
from .storage.states import StateStore

_LOGGER = logging.getLogger(__name__)

# Seconds for the phones' answers.
ANSWER_TIME: Final = 2.0


async def async_say_goodbye(hass: HomeAssistant, entry: DfksConfigEntry) -> None:
    """End the remembered subscriptions of a removed entry, as far as that is possible."""
    memory, grace = await PhoneStore(hass, entry.entry_id).async_load()
    if memory is None or not memory["dialogs"]:
        return
    states = await StateStore(hass, entry.entry_id).async_load()
    server = SipServer(server_config(entry), LoopClock(hass.loop))
    sync = FeatureSync(server)
    server.add_package(sync)
    for line_id, subentry in line_subentries(entry).items():
        stored = states.get(line_id)
        sync.add_line(line_config(subentry), stored and stored.states)
    try:
        # The start tells the phones the state as well, so the states must be right.
        await server.start(memory=memory, grace=grace)
        await _async_end_all(server, sync)
    except TimeoutError:
        _LOGGER.debug("Not all phones have answered that their subscription ends")
    except OSError as err:
        _LOGGER.debug("The phones cannot be told that they are removed: %s", err)
    finally:
        await sync.stop()
        await server.stop()


async def _async_end_all(server: SipServer, sync: FeatureSync) -> None:
    """End all subscriptions and wait for the answers. Raises TimeoutError."""
    changed = asyncio.Event()

    def note(*, urgent: bool) -> None:
        changed.set()

    server.on_change = note
    for line_id in list(sync.lines):
        sync.remove_line(line_id, "deactivated")
    async with asyncio.timeout(ANSWER_TIME):
        while any(True for _ in server.notifier):
            changed.clear()
            await changed.wait()
