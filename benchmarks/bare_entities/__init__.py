"""What Home Assistant itself takes for a change: a switch and an event on bare asyncio.

An integration of the benchmark's own. Unless it is `limited`, it lifts the limit of what
a source may send, because all phones of a benchmark are one. Each datagram turns the next
of its switches, triggers the event entity beside it, with as many attributes as ours, and
is sent back. An empty one is answered with the longest garbage collection since the last
such.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
import gc
from itertools import cycle
import time
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.discovery import async_load_platform
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddEntitiesCallback
from homeassistant.helpers.typing import ConfigType

from custom_components.dfks import listener
from custom_components.dfks.sip import Experiment, ServerConfig

DOMAIN = "bare_entities"

type SetUp = Callable[
    [HomeAssistant, ConfigType, AddEntitiesCallback, dict[str, Any]], Awaitable[None]
]


def set_up_of(platform: str, make: Callable[[int], Entity]) -> SetUp:
    """Return what Home Assistant calls to have the entities of a platform."""

    async def async_setup_platform(
        hass: HomeAssistant,
        config: ConfigType,
        async_add_entities: AddEntitiesCallback,
        discovery_info: dict[str, Any],
    ) -> None:
        """Add as many entities as are configured, and say that they are there."""
        entities = hass.data[DOMAIN][platform] = [
            make(number) for number in range(discovery_info["count"])
        ]
        async_add_entities(entities)
        discovery_info["ready"].set()

    return async_setup_platform


class Collections:
    """Meters Python's garbage collections, in which nothing else runs."""

    def __init__(self) -> None:
        """Start to meter."""
        self._began = self._longest = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.monotonic()
        else:
            self._longest = max(self._longest, time.monotonic() - self._began)

    def take_longest(self) -> float:
        """Return the longest one in seconds, and begin anew."""
        longest, self._longest = self._longest, 0.0
        return longest


class Bare(asyncio.DatagramProtocol):
    """Lets each datagram change something."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Take the entities as their platforms have made them."""
        entities = hass.data[DOMAIN]
        self._pairs = cycle(zip(entities["switch"], entities["event"], strict=True))
        self._collections = Collections()

    @override
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    @override
    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if not data:
            longest = self._collections.take_longest()
            self._transport.sendto(b"%f" % longest, address)
            return
        switch, event = next(self._pairs)
        switch.turn()
        event.trigger(on=switch.is_on)
        self._transport.sendto(data, address)


def lift_limit() -> None:
    """Have listeners take what a source sends, however much it is."""
    configure = listener.server_config

    def configure_unlimited(entry: ConfigEntry[Any]) -> ServerConfig:
        return replace(configure(entry), experiment=Experiment(limit_messages=False))

    # Where the listener looks it up, before there is one.
    vars(listener)["server_config"] = configure_unlimited


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Make the entities, then listen."""
    if not config[DOMAIN]["limited"]:
        lift_limit()
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
            async_load_platform(
                hass,
                platform,
                DOMAIN,
                {"ready": ready, "count": config[DOMAIN]["count"]},
                config,
            )
        )
    hass.async_create_background_task(listen(), "listen")
    return True
