"""What Home Assistant itself takes for a change: a switch and an event on bare asyncio.

An integration of the benchmark's own. Each datagram turns the next of its switches,
triggers the event entity beside it, with as many attributes as ours, and is sent back.
"""

import asyncio
from itertools import cycle
from typing import override

from homeassistant.core import HomeAssistant
from homeassistant.helpers.discovery import async_load_platform
from homeassistant.helpers.typing import ConfigType

DOMAIN = "bare_entities"

# Switches, and as many event entities.
COUNT = 250


class Bare(asyncio.DatagramProtocol):
    """Lets each datagram change something."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Take the entities as their platforms have made them."""
        entities = hass.data[DOMAIN]
        self._pairs = cycle(zip(entities["switch"], entities["event"], strict=True))

    @override
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        switch, event = next(self._pairs)
        switch.turn()
        event.trigger(on=switch.is_on)
        self._transport.sendto(data, address)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Make the entities, then listen."""
    hass.data[DOMAIN] = {}
    waiting = {platform: asyncio.Event() for platform in ("switch", "event")}

    async def listen() -> None:
        for event in waiting.values():
            await event.wait()
        await hass.loop.create_datagram_endpoint(
            lambda: Bare(hass), local_addr=("127.0.0.1", config[DOMAIN]["port"])
        )

    for platform, ready in waiting.items():
        hass.async_create_task(
            async_load_platform(hass, platform, DOMAIN, {"ready": ready}, config)
        )
    hass.async_create_background_task(listen(), "listen")
    return True
