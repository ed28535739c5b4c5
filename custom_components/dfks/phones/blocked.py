"""What is blocked for guessing passwords, as repair issues.

Mostly it is no guesser but a phone with an old password, whose owner wonders why it
does nothing any more. So each address is shown, and can be let in again there. A line
whose password is guessed from many addresses is shown, too.
"""

from collections.abc import Callable
from functools import partial
from secrets import token_hex
from typing import Final, NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN, PASSWORD_HELP_URL
from ..sip import BLOCK_TIME, Blocked

# Issues at one time; an attack from many addresses is for the log.
MAX_ISSUES: Final = 20

# The texts of the issues, and the key of the source in the data of the first.
ISSUE_BLOCKED: Final = "blocked"
ISSUE_GUESSED: Final = "password_guessed"
ATTR_SOURCE: Final = "source"


class _Shown(NamedTuple):
    """An issue that is shown, and what keeps it from ending by itself."""

    issue_id: str
    cancel: CALLBACK_TYPE


class BlockedSources:
    """Shows what is blocked, as long as it is."""

    def __init__(
        self, hass: HomeAssistant, line_name: Callable[[str], str | None]
    ) -> None:
        """Show nothing yet; `line_name` finds the line of a user name."""
        self._hass = hass
        self._line_name = line_name
        # By what is shown: a source, or the name of a line.
        self._shown: dict[str, _Shown] = {}

    @callback
    def async_stop(self) -> None:
        """Take everything back: a new listener starts without grudges."""
        for shown in list(self._shown):
            self._forget(shown)

    @callback
    def handle_blocked(self, blocked: Blocked) -> None:
        """Show a source, or the line whose password is guessed."""
        source, username = blocked.subject
        failures = str(blocked.failures)
        if source is not None:
            self._show(ISSUE_BLOCKED, source, {ATTR_SOURCE: source}, failures)
        elif (line := self._line_name(username or "")) is not None:
            self._show(ISSUE_GUESSED, line, {"line": line}, failures)

    @callback
    def _show(
        self, kind: str, key: str, placeholders: dict[str, str], failures: str
    ) -> None:
        self._forget(key)
        if len(self._shown) >= MAX_ISSUES:
            return
        # Not the address itself: diagnostics list the ids of issues.
        issue_id = f"{kind}_{token_hex(4)}"
        cancel = async_call_later(
            self._hass,
            BLOCK_TIME,
            HassJob(
                partial(self._forget, key),
                "dfks end of block",
                cancel_on_shutdown=True,
            ),
        )
        self._shown[key] = _Shown(issue_id, cancel)
        fixable = kind == ISSUE_BLOCKED
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data={**placeholders} if fixable else None,
            is_fixable=fixable,
            learn_more_url=PASSWORD_HELP_URL,
            severity=ir.IssueSeverity.WARNING,
            translation_key=kind,
            translation_placeholders={
                **placeholders,
                "failures": failures,
                "minutes": str(round(BLOCK_TIME / 60)),
            },
        )

    @callback
    def handle_unblocked(self, source: str) -> None:
        """Show a source no longer."""
        self._forget(source)

    @callback
    def _forget(self, key: str, _now: object = None) -> None:
        if (shown := self._shown.pop(key, None)) is not None:
            shown.cancel()
            ir.async_delete_issue(self._hass, DOMAIN, shown.issue_id)
