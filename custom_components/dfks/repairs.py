"""What the user can settle with a click.

A blocked source is unblocked, and damaged states are taken note of.
"""

from typing import override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.core import HomeAssistant

from .const import DOMAIN
from .listener import DfksConfigEntry
from .phones.blocked import ATTR_SOURCE
from .storage.states import ISSUE_DAMAGED


class ReadmitFlow(ConfirmRepairFlow):
    """Lets a source in again before its time is over."""

    def __init__(self, source: str) -> None:
        """Ask about one source."""
        self._source = source

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Show what it is about, or do it."""
        if user_input is not None:
            entry: DfksConfigEntry
            for entry in self.hass.config_entries.async_loaded_entries(DOMAIN):
                entry.runtime_data.server.unblock(self._source)
        return await super().async_step_confirm(user_input)


async def async_create_fix_flow(
    hass: HomeAssistant,
    issue_id: str,
    data: dict[str, str | int | float | None] | None,
) -> RepairsFlow:
    """Return the flow of an issue."""
    if issue_id == ISSUE_DAMAGED:
        return ConfirmRepairFlow()
    return ReadmitFlow(str((data or {})[ATTR_SOURCE]))
