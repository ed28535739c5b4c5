"""What outlives a restart: the feature states of the lines.

Entities could restore their own state, but phones subscribe before the entities are
up. So the states lie in one file that is read before the listener opens its sockets
and written within a second of a change: Home Assistant may be killed at any time.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store

from ..const import DOMAIN
from ..features.model import MAX_RING_COUNT, Feature, FeatureState, is_target

STORAGE_VERSION: Final = 1

# Seconds from the first unsaved change to the write. Store.async_delay_save starts
# anew with every change and would never write under a steady stream of them.
WRITE_DELAY: Final = 0.5

type LineStates = Mapping[Feature, FeatureState]


class StateStore:
    """The file of feature states of one listener, by line id."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; nothing is read yet."""
        self._hass = hass
        self._store = Store[dict[str, Any]](
            hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}", atomic_writes=True
        )
        self._unsaved: Callable[[], Mapping[str, LineStates]] | None = None
        self._cancel_write: CALLBACK_TYPE | None = None

    async def async_load(self) -> dict[str, dict[Feature, FeatureState]]:
        """Return the stored states by line id; what cannot be read is left out."""
        data = await self._store.async_load()
        lines = data.get("lines") if isinstance(data, dict) else None
        if not isinstance(lines, dict):
            return {}
        return {line_id: _states_from_json(stored) for line_id, stored in lines.items()}

    @callback
    def async_schedule_save(
        self, states: Callable[[], Mapping[str, LineStates]]
    ) -> None:
        """Write what `states` returns in half a second, however many changes follow."""
        self._unsaved = states
        if self._cancel_write is None:
            self._cancel_write = async_call_later(
                self._hass,
                WRITE_DELAY,
                HassJob(self._async_write_due, "dfks write states"),
            )

    async def async_flush(self) -> None:
        """Write now what is not written yet."""
        if self._cancel_write is not None:
            self._cancel_write()
            self._cancel_write = None
        if (states := self._unsaved) is None:
            return
        self._unsaved = None
        await self._store.async_save(
            {"lines": {line_id: _to_json(line) for line_id, line in states().items()}}
        )

    async def async_remove(self) -> None:
        """Delete the file."""
        await self._store.async_remove()

    async def _async_write_due(self, _now: object) -> None:
        self._cancel_write = None
        await self.async_flush()


def _to_json(states: LineStates) -> dict[str, dict[str, Any]]:
    return {
        feature.value: {
            "status": state.status,
            "forward_to": state.forward_to,
            "ring_count": state.ring_count,
        }
        for feature, state in states.items()
    }


def _states_from_json(stored: object) -> dict[Feature, FeatureState]:
    """Read one line; features and fields of other versions are passed over."""
    if not isinstance(stored, dict):
        return {}
    return {
        feature: _state_from_json(stored[feature.value])
        for feature in Feature
        if isinstance(stored.get(feature.value), dict)
    }


def _is_target(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_target(value)


def _are_rings(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value <= MAX_RING_COUNT


def _state_from_json(stored: dict[str, Any]) -> FeatureState:
    default = FeatureState()
    status = stored.get("status")
    forward_to = stored.get("forward_to")
    ring_count = stored.get("ring_count")
    return FeatureState(
        status=status if isinstance(status, bool) else default.status,
        forward_to=forward_to if _is_target(forward_to) else default.forward_to,
        ring_count=ring_count if _are_rings(ring_count) else default.ring_count,
    )
