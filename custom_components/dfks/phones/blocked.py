"""Sources that are shut out for guessing passwords, as repair issues.

Mostly it is no guesser but a phone with an old password, whose owner wonders why it
does nothing any more. So each shut-out is shown, and can be ended there.
"""

from functools import partial
from secrets import token_hex
from typing import Final, NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN
from ..sip.guard import SHUT_OUT, Guard

# Issues at one time; an attack from many addresses is for the log.
MAX_ISSUES: Final = 20

# The text of the issues, and the key of the source in their data.
ISSUE_SHUT_OUT: Final = "shut_out"
ATTR_SOURCE: Final = "source"


class _Shown(NamedTuple):
    """An issue that is shown, and what keeps it from ending by itself."""

    issue_id: str
    cancel: CALLBACK_TYPE


class ShutOuts:
    """Shows which sources are shut out, as long as they are."""

    def __init__(self, hass: HomeAssistant, guard: Guard, failures: int) -> None:
        """Follow a guard that shuts out after some failures."""
        self._hass = hass
        self._failures = failures
        self._shown: dict[str, _Shown] = {}
        guard.on_shut_out = self._show
        guard.on_readmitted = self._forget

    @callback
    def async_stop(self) -> None:
        """Take everything back: a new listener starts without grudges."""
        for source in list(self._shown):
            self._forget(source)

    @callback
    def _show(self, source: str) -> None:
        self._forget(source)
        if len(self._shown) >= MAX_ISSUES:
            return
        # Not the address itself: diagnostics list the ids of issues.
        issue_id = f"{ISSUE_SHUT_OUT}_{token_hex(4)}"
        cancel = async_call_later(
            self._hass,
            SHUT_OUT,
            HassJob(
                partial(self._forget, source),
                "dfks end of shut-out",
                cancel_on_shutdown=True,
            ),
        )
        self._shown[source] = _Shown(issue_id, cancel)
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data={ATTR_SOURCE: source},
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=ISSUE_SHUT_OUT,
            translation_placeholders={
                "source": source,
                "failures": str(self._failures),
                "minutes": str(round(SHUT_OUT / 60)),
            },
        )

    @callback
    def _forget(self, source: str, _now: object = None) -> None:
        if (shown := self._shown.pop(source, None)) is not None:
            shown.cancel()
            ir.async_delete_issue(self._hass, DOMAIN, shown.issue_id)
