"""Phones that tried to register and are not known, as repair issues.

There is no discovery for what comes to a listener by itself, and a phone that is turned
away says nothing that its owner would see. So each is shown with what it says of itself;
to repair it is to add its line.
"""

from collections.abc import Callable
from functools import partial
from secrets import token_hex
from typing import Final, NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import CONF_USER, DOMAIN, PASSWORD_HELP_URL
from .description import describe
from .unknown import UnknownPhone

# Issues at one time: whoever can reach the listener can make some.
MAX_ISSUES: Final = 5

# Seconds for which one is shown; a phone that still tries then is shown anew.
SHOWN: Final = 3600.0

ISSUE_UNKNOWN: Final = "unknown_phone"


class _Shown(NamedTuple):
    """An issue that is shown, and what keeps it from ending by itself."""

    issue_id: str
    cancel: CALLBACK_TYPE


class UnknownPhoneIssues:
    """Shows unknown phones, each user and address once."""

    def __init__(self, hass: HomeAssistant, unnamed: Callable[[], str]) -> None:
        """Show nothing yet; `unnamed` returns what a phone is called that does not say."""
        self._hass = hass
        self._unnamed = unnamed
        self._shown: dict[tuple[str, str], _Shown] = {}

    @callback
    def async_stop(self) -> None:
        """Take everything back."""
        for key in list(self._shown):
            self._end(key)

    @callback
    def handle_noted(self, phone: UnknownPhone) -> None:
        """Show a phone that has tried, if it is not shown and there is room."""
        key = (phone.user, phone.address)
        if key in self._shown or len(self._shown) >= MAX_ISSUES:
            return
        # Not user and address themselves: diagnostics list the ids of issues.
        issue_id = f"{ISSUE_UNKNOWN}_{token_hex(4)}"
        end = HassJob(
            partial(self._end, key), "dfks unknown phone", cancel_on_shutdown=True
        )
        self._shown[key] = _Shown(issue_id, async_call_later(self._hass, SHOWN, end))
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data={CONF_USER: phone.user},
            is_fixable=True,
            learn_more_url=PASSWORD_HELP_URL,
            severity=ir.IssueSeverity.WARNING,
            translation_key=ISSUE_UNKNOWN,
            translation_placeholders={
                "phone": self._name(phone),
                "source": phone.address,
                "user": phone.user,
            },
        )

    @callback
    def handle_known(self, user: str) -> None:
        """Show the phones of a user no longer: there is a line for them."""
        for key in [key for key in self._shown if key[0] == user]:
            self._end(key)

    def _name(self, phone: UnknownPhone) -> str:
        description = describe(phone.user_agent)
        if description is None:
            return self._unnamed()
        return " ".join(filter(None, description[:2]))

    @callback
    def _end(self, key: tuple[str, str], _now: object = None) -> None:
        shown = self._shown.pop(key)
        shown.cancel()
        ir.async_delete_issue(self._hass, DOMAIN, shown.issue_id)
