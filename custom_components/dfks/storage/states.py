"""What outlives a restart: the feature states of the lines, and the claims on them.

Entities could restore their own state, but phones subscribe before the entities are
up. So the states lie in one file that is read before the listener opens its sockets.
Home Assistant may be killed at any time: the first change is written at once, and what
changes during a write is in the next one, which follows it.
"""

import asyncio
from collections.abc import Callable, Mapping
import logging
from typing import Any, Final, TypeGuard

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN, STORAGE_HELP_URL
from ..features.claims import MAX_END
from ..features.model import (
    MAX_RING_COUNT,
    Claim,
    Claims,
    Feature,
    FeatureState,
    LineMemory,
    is_target,
)
from .file import RETRY_DELAY, StoredFile

_LOGGER = logging.getLogger(__name__)

STORAGE_VERSION: Final = 1

# The issue of a file that could not be read as it was, and its text.
ISSUE_DAMAGED: Final = "states_damaged"


class StateStore:
    """The file of feature states of one listener, by line id."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Name the file; nothing is read yet."""
        self._hass = hass
        self._file = StoredFile(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")
        self._unsaved: Callable[[], Mapping[str, LineMemory]] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._cancel_retry: CALLBACK_TYPE | None = None

    async def async_load(self) -> dict[str, LineMemory]:
        """Return what is stored, by line id.

        Whatever the file holds, it does not hinder the start. What cannot be read is as
        if never set: it is told, and a copy of the file is kept.
        """
        reader = _Reader()
        try:
            data = await self._file.async_read()
        except Exception as err:
            _LOGGER.debug("The file of states cannot be read", exc_info=True)
            reader.lines_from_json(None)
            reason = f"{type(err).__name__}: {err}"
        else:
            if data is None:
                return {}
            reader.lines_from_json(data)
            reason = f"{reader.flaws} entries are not what they should be"
        copy = self._file.copy_of_newer
        if copy is not None:
            reason = "it was written by a newer version"
        elif not reader.flaws:
            return reader.lines
        else:
            copy = await self._file.async_keep_copy()
        _LOGGER.warning(
            "Not all of %s can be read, and what cannot is as if never set: %s; as it was"
            " it is kept as %s",
            self._file.path,
            reason,
            copy,
        )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            ISSUE_DAMAGED,
            is_fixable=True,
            is_persistent=True,
            learn_more_url=STORAGE_HELP_URL,
            severity=ir.IssueSeverity.ERROR,
            translation_key=ISSUE_DAMAGED,
            translation_placeholders={"path": self._file.path, "copy": copy},
        )
        # It is to be told once, and not at every start.
        self._unsaved = lambda: reader.lines
        await self._begin()
        return reader.lines

    @callback
    def async_schedule_save(
        self, states: Callable[[], Mapping[str, LineMemory]]
    ) -> None:
        """Write what `states` returns: at once, or when what is being written is."""
        self._unsaved = states
        if self._writing is None and self._cancel_retry is None:
            self._begin()

    async def async_flush(self) -> None:
        """Write now what is not written yet, and try nothing again afterwards."""
        self._cancel_due_retry()
        if self._unsaved is not None and self._writing is None:
            self._begin()
        if self._writing is not None:
            await self._writing
        self._cancel_due_retry()

    async def async_remove(self) -> None:
        """Delete the file, and what is shown about it."""
        await self._file.async_remove()
        ir.async_delete_issue(self._hass, DOMAIN, ISSUE_DAMAGED)

    @callback
    def _begin(self) -> asyncio.Task[None]:
        """Begin to write, not before this turn of the loop ends: phones do not wait."""
        self._writing = self._hass.async_create_task(
            self._async_write(), "dfks write states", eager_start=False
        )
        return self._writing

    async def _async_write(self) -> None:
        """Write the newest states until nothing has changed meanwhile."""
        try:
            while (states := self._unsaved) is not None:
                self._unsaved = None
                now = states()
                data = await self._hass.async_add_executor_job(_to_json, now)
                await self._file.async_save(data)
                if self._file.is_failing:
                    self._unsaved = self._unsaved or states
                    self._retry_later()
                    return
        finally:
            self._writing = None

    def _retry_later(self) -> None:
        self._cancel_due_retry()
        self._cancel_retry = async_call_later(
            self._hass,
            RETRY_DELAY,
            HassJob(self._retry, "dfks write states again", cancel_on_shutdown=True),
        )

    @callback
    def _retry(self, _now: object) -> None:
        self._cancel_retry = None
        self._begin()

    def _cancel_due_retry(self) -> None:
        if self._cancel_retry is not None:
            self._cancel_retry()
            self._cancel_retry = None


def _to_json(lines: Mapping[str, LineMemory]) -> dict[str, Any]:
    return {
        "lines": {
            line_id: {
                feature.value: {
                    **_state_to_json(state),
                    **_claims_to_json(memory.claims.get(feature)),
                }
                for feature, state in memory.states.items()
            }
            | _emergency_to_json(memory.emergency_at)
            for line_id, memory in lines.items()
        }
    }


def _emergency_to_json(emergency_at: float | None) -> dict[str, Any]:
    """Return when a line called an emergency number; other versions pass it over."""
    return {} if emergency_at is None else {_EMERGENCY_AT: emergency_at}


def _state_to_json(state: FeatureState) -> dict[str, Any]:
    return {
        "status": state.status,
        "forward_to": state.forward_to,
        "ring_count": state.ring_count,
    }


def _claims_to_json(claims: Claims | None) -> dict[str, Any]:
    """Return the claims on a feature; versions before claims pass the key over."""
    if claims is None:
        return {}
    held = [
        {"name": claim.name, "until": claim.until, **_state_to_json(claim.state)}
        for claim in claims.held
    ]
    return {"claims": {"before": _state_to_json(claims.before), "held": held}}


def _is_target(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and is_target(value)


def _is_end(value: object) -> TypeGuard[float | None]:
    if value is None:
        return True
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= MAX_END
    )


def _are_rings(value: object) -> TypeGuard[int]:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 0 <= value <= MAX_RING_COUNT
    )


class _Reader:
    """Reads what is good of a file and counts what is not.

    Features and fields of other versions are passed over, and what is left out is as if
    never set.
    """

    def __init__(self) -> None:
        self.lines: dict[str, LineMemory] = {}
        self.flaws = 0

    def lines_from_json(self, data: object) -> None:
        """Read the whole file."""
        lines = data.get("lines") if isinstance(data, dict) else None
        for line_id, stored in self._table(lines).items():
            self.lines[line_id] = self._line(self._table(stored))

    def _line(self, stored: Mapping[str, object]) -> LineMemory:
        states: dict[Feature, FeatureState] = {}
        claims: dict[Feature, Claims] = {}
        emergency_at = stored.get(_EMERGENCY_AT)
        if not _is_end(emergency_at):
            self.flaws += 1
            emergency_at = None
        for name, value in stored.items():
            if (feature := _FEATURES.get(name)) is None:
                continue
            of_feature = self._table(value)
            states[feature] = self._state(of_feature)
            if "claims" in of_feature:
                read = self._claims(self._table(of_feature["claims"]))
                if read is not None:
                    claims[feature] = read
        return LineMemory(states, claims, emergency_at)

    def _claims(self, stored: Mapping[str, object]) -> Claims | None:
        """Read the claims on a feature; one that cannot be read is not held."""
        before = self._state(self._table(stored.get("before")))
        held = stored.get("held")
        if not isinstance(held, list):
            self.flaws += 1
            return None
        read = [self._claim(self._table(one)) for one in held]
        claims = tuple(claim for claim in read if claim is not None)
        return Claims(before, claims) if claims else None

    def _claim(self, stored: Mapping[str, object]) -> Claim | None:
        name, until = stored.get("name"), stored.get("until")
        if isinstance(name, str) and _is_end(until):
            return Claim(name, until, self._state(stored))
        self.flaws += 1
        return None

    def _table(self, value: object) -> dict[str, object]:
        if isinstance(value, dict):
            return value
        self.flaws += 1
        return {}

    def _state(self, stored: Mapping[str, object]) -> FeatureState:
        state = FeatureState()
        status = stored.get("status", state.status)
        forward_to = stored.get("forward_to", state.forward_to)
        ring_count = stored.get("ring_count", state.ring_count)
        if isinstance(status, bool):
            state = state._replace(status=status)
        else:
            self.flaws += 1
        if _is_target(forward_to):
            state = state._replace(forward_to=forward_to)
        else:
            self.flaws += 1
        if _are_rings(ring_count):
            state = state._replace(ring_count=ring_count)
        else:
            self.flaws += 1
        return state


_EMERGENCY_AT: Final = "emergency_at"
_FEATURES: Final = {feature.value: feature for feature in Feature}
