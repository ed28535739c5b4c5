"""What the user can settle with a click.

A blocked source is unblocked, an unknown phone gets a line, the form of a line whose
password is wrong is opened, and damaged states are taken note of.
"""

from typing import override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.components.repairs.const import FlowType
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    SubentryFlowContext,
)
from homeassistant.core import HomeAssistant

from .const import CONF_USER, DOMAIN, SUBENTRY_TYPE_FOLLOWED, SUBENTRY_TYPE_LINE
from .followed.manager import ATTR_ENTRY, ATTR_LINE, ISSUE_PASSWORD
from .line_flow import LineFlowContext
from .listener import DfksConfigEntry
from .phones.blocked import ATTR_SOURCE
from .storage.states import ISSUE_DAMAGED


class _LineFormFlow(ConfirmRepairFlow):
    """Goes on with the form of a line; what comes of that closes the issue."""

    async def _async_go_on(
        self, reason: str, entry_id: str, kind: str, context: SubentryFlowContext
    ) -> RepairsFlowResult:
        form = await self.hass.config_entries.subentries.async_init(
            (entry_id, kind), context=context
        )
        # No entry: that would close the issue, whatever becomes of the form.
        return self.async_abort(
            reason=reason,
            next_flow=(FlowType.CONFIG_SUBENTRIES_FLOW, form["flow_id"]),
        )


class ReconfigureLineFlow(_LineFormFlow):
    """Leads into the form of a followed line whose password is wrong."""

    def __init__(self, entry_id: str, line_id: str) -> None:
        """Ask about one line."""
        self._entry_id = entry_id
        self._line_id = line_id

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Show what it is about, or go on with the form; the PBX closes the issue."""
        if user_input is None:
            return await super().async_step_confirm(user_input)
        return await self._async_go_on(
            "reconfigure_line",
            self._entry_id,
            SUBENTRY_TYPE_FOLLOWED,
            SubentryFlowContext(source=SOURCE_RECONFIGURE, subentry_id=self._line_id),
        )


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


class AddLineFlow(_LineFormFlow):
    """Goes on with the form of a line, filled in for a phone that is not known."""

    def __init__(self, user: str) -> None:
        """Ask about the phone of one user."""
        self._user = user

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Show what it is about, or go on. The issue ends when the line is there."""
        if user_input is None:
            return await super().async_step_confirm()
        entry: DfksConfigEntry
        for entry in self.hass.config_entries.async_loaded_entries(DOMAIN):
            return await self._async_go_on(
                "add_line",
                entry.entry_id,
                SUBENTRY_TYPE_LINE,
                LineFlowContext(source=SOURCE_USER, user=self._user),
            )
        return self.async_abort(reason="not_loaded")


async def async_create_fix_flow(
    hass: HomeAssistant,
    issue_id: str,
    data: dict[str, str | int | float | None] | None,
) -> RepairsFlow:
    """Return the flow of an issue."""
    if issue_id == ISSUE_DAMAGED:
        return ConfirmRepairFlow()
    if data and CONF_USER in data:
        return AddLineFlow(str(data[CONF_USER]))
    if data and issue_id.startswith(ISSUE_PASSWORD):
        return ReconfigureLineFlow(str(data[ATTR_ENTRY]), str(data[ATTR_LINE]))
    return ReadmitFlow(str((data or {})[ATTR_SOURCE]))
