"""Phones that tried to register and are not known, as repair issues.

There is no discovery for what comes to a listener by itself, and a phone that is turned
away says nothing that its owner would see. So each is shown with what it says of itself;
to repair it is to add its line.
"""

from collections.abc import Callable
from typing import Final

from homeassistant.core import HomeAssistant, callback

from ..const import CONF_USER
from .description import describe
from .passing_issues import PassingIssues
from .unknown import UnknownPhone

# Issues at one time: whoever can reach the listener can make some.
MAX_ISSUES: Final = 5

# Seconds for which one is shown; a phone that still tries then is shown anew.
SHOWN: Final = 3600.0

ISSUE_UNKNOWN: Final = "unknown_phone"


class UnknownPhoneIssues:
    """Shows unknown phones, each user and address once."""

    def __init__(self, hass: HomeAssistant, unnamed: Callable[[], str]) -> None:
        """Show nothing yet; `unnamed` returns what a phone is called that does not say."""
        self._unnamed = unnamed
        # By user and address.
        self._issues = PassingIssues[tuple[str, str]](hass, MAX_ISSUES, SHOWN)

    @callback
    def async_stop(self) -> None:
        """Take everything back."""
        self._issues.end_all()

    @callback
    def handle_noted(self, phone: UnknownPhone) -> None:
        """Show a phone that has tried, if it is not shown and there is room."""
        key = (phone.user, phone.address)
        if key not in self._issues:
            self._issues.show(
                key,
                ISSUE_UNKNOWN,
                {
                    "phone": self._name(phone),
                    "source": phone.address,
                    "user": phone.user,
                },
                {CONF_USER: phone.user},
            )

    @callback
    def handle_known(self, user: str) -> None:
        """Show the phones of a user no longer: there is a line for them."""
        for key in self._issues:
            if key[0] == user:
                self._issues.end(key)

    def _name(self, phone: UnknownPhone) -> str:
        description = describe(phone.user_agent)
        if description is None:
            return self._unnamed()
        return " ".join(filter(None, description[:2]))
