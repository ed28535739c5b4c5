"""Repair issues of an earlier run whose ids are others in each run."""

from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .followed.manager import ISSUE_CERTIFICATE
from .pbx.issues import ISSUE_PASSWORD
from .phones.blocked import ISSUE_BLOCKED, ISSUE_GUESSED
from .phones.unknown_issues import ISSUE_UNKNOWN

# What their ids begin with.
_PREFIXES: Final = tuple(
    f"{kind}_"
    for kind in (
        ISSUE_BLOCKED,
        ISSUE_CERTIFICATE,
        ISSUE_GUESSED,
        ISSUE_PASSWORD,
        ISSUE_UNKNOWN,
    )
)


@callback
def async_drop_left_issues(hass: HomeAssistant) -> None:
    """Drop what a run that was killed has left: nothing else would ever end it."""
    for (domain, issue_id), issue in list(ir.async_get(hass).issues.items()):
        if domain == DOMAIN and not issue.active and issue_id.startswith(_PREFIXES):
            ir.async_delete_issue(hass, DOMAIN, issue_id)
