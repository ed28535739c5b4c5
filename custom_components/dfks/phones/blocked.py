"""What is blocked for guessing passwords, as repair issues.

Mostly it is no guesser but a phone with an old password, whose owner wonders why it
does nothing any more. So each address is shown, and can be let in again there. A line
whose password is guessed from many addresses is shown, too.
"""

from collections.abc import Callable
from typing import Final

from homeassistant.core import HomeAssistant, callback

from ..sip import BLOCK_TIME, Blocked
from .passing_issues import PassingIssues

# Issues at one time; an attack from many addresses is for the log.
MAX_ISSUES: Final = 20

# The texts of the issues, and the key of the source in the data of the first.
ISSUE_BLOCKED: Final = "blocked"
ISSUE_GUESSED: Final = "password_guessed"
ATTR_SOURCE: Final = "source"


class BlockedSources:
    """Shows what is blocked, as long as it is."""

    def __init__(
        self, hass: HomeAssistant, line_name: Callable[[str], str | None]
    ) -> None:
        """Show nothing yet; `line_name` finds the line of a user name."""
        self._line_name = line_name
        # By what is shown: a source, or the name of a line.
        self._issues = PassingIssues[str](hass, MAX_ISSUES, BLOCK_TIME)

    @callback
    def async_stop(self) -> None:
        """Take everything back: a new listener starts without grudges."""
        self._issues.end_all()

    @callback
    def handle_blocked(self, blocked: Blocked) -> None:
        """Show a source, or the line whose password is guessed."""
        source, username = blocked.subject
        words = {
            "failures": str(blocked.failures),
            "minutes": str(round(BLOCK_TIME / 60)),
        }
        if source is not None:
            data = {ATTR_SOURCE: source}
            self._issues.end(source)
            self._issues.show(source, ISSUE_BLOCKED, words | data, data)
        elif (line := self._line_name(username or "")) is not None:
            self._issues.end(line)
            self._issues.show(line, ISSUE_GUESSED, words | {"line": line})

    @callback
    def handle_unblocked(self, source: str) -> None:
        """Show a source no longer."""
        self._issues.end(source)
