"""Sources that are shut out for guessing passwords, as repair issues.

Mostly it is no guesser but a phone with an old password, whose owner wonders why it
does nothing any more. So each shut-out is shown, and can be ended there.
"""

from functools import partial
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from .const import DOMAIN
from .sip.guard import SHUT_OUT, Guard

# Issues at one time; an attack from many addresses is for the log.
MAX_ISSUES: Final = 20

# The text of the issues, and the key of the source in their data.
ISSUE_SHUT_OUT: Final = "shut_out"
ATTR_SOURCE: Final = "source"


class ShutOuts:
    """Shows which sources are shut out, as long as they are."""

    def __init__(self, hass: HomeAssistant, guard: Guard, failures: int) -> None:
        """Follow a guard that shuts out after some failures."""
        self._hass = hass
        self._failures = failures
        self._timers: dict[str, CALLBACK_TYPE] = {}
        guard.on_shut_out = self._show
        guard.on_readmitted = self._forget

    @callback
    def async_stop(self) -> None:
        """Take everything back: a new listener starts without grudges."""
        for source in list(self._timers):
            self._forget(source)

    @callback
    def _show(self, source: str) -> None:
        self._forget(source)
        if len(self._timers) >= MAX_ISSUES:
            return
        self._timers[source] = async_call_later(
            self._hass,
            SHUT_OUT,
            HassJob(
                partial(self._forget, source),
                "dfks end of shut-out",
                cancel_on_shutdown=True,
            ),
        )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            _issue_id(source),
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
        if (cancel := self._timers.pop(source, None)) is not None:
            cancel()
            ir.async_delete_issue(self._hass, DOMAIN, _issue_id(source))


def _issue_id(source: str) -> str:
    return f"{ISSUE_SHUT_OUT}_{source}"
