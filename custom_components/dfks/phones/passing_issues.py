"""Repair issues about what comes by itself: a few at one time, each for some time only."""

from collections.abc import Iterator, Mapping
from functools import partial
from secrets import token_hex
from typing import NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN, PASSWORD_HELP_URL


class _Shown(NamedTuple):
    """An issue that is shown, and what keeps it from ending by itself."""

    issue_id: str
    cancel: CALLBACK_TYPE


class PassingIssues[KeyT]:
    """The issues that are shown, by what they are about."""

    def __init__(self, hass: HomeAssistant, most: int, lasts: float) -> None:
        """Show none yet; at one time `most`, each for `lasts` seconds."""
        self._hass = hass
        self._most = most
        self._lasts = lasts
        self._shown: dict[KeyT, _Shown] = {}

    def __iter__(self) -> Iterator[KeyT]:
        """Yield what is shown now; it may be ended meanwhile."""
        return iter(list(self._shown))

    def __contains__(self, key: KeyT) -> bool:
        """Whether an issue is shown."""
        return key in self._shown

    @callback
    def show(
        self,
        key: KeyT,
        kind: str,
        words: Mapping[str, str],
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Show an issue that is not shown, if there is room.

        `kind` is the key of its texts, `data` what its repair needs, None where the user
        cannot repair it.
        """
        if len(self._shown) >= self._most:
            return
        # Nothing of what it is about: diagnostics list the ids of issues.
        issue_id = f"{kind}_{token_hex(4)}"
        end = HassJob(
            partial(self.end, key), f"dfks end of {kind}", cancel_on_shutdown=True
        )
        self._shown[key] = _Shown(
            issue_id, async_call_later(self._hass, self._lasts, end)
        )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data=None if data is None else {**data},
            is_fixable=data is not None,
            learn_more_url=PASSWORD_HELP_URL,
            severity=ir.IssueSeverity.WARNING,
            translation_key=kind,
            translation_placeholders={**words},
        )

    @callback
    def end(self, key: KeyT, _now: object = None) -> None:
        """Show an issue no longer, if it is shown."""
        if (shown := self._shown.pop(key, None)) is not None:
            shown.cancel()
            ir.async_delete_issue(self._hass, DOMAIN, shown.issue_id)

    @callback
    def end_all(self) -> None:
        """Take everything back."""
        for key in self:
            self.end(key)
