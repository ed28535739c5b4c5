"""The lines at PBXs whose calls follow their features."""

from collections.abc import Callable, Mapping
from functools import partial

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import callback

from ..features.calls import EMERGENCY_SECONDS, CallHook, LineCalls
from ..features.model import Feature, FeatureChanged, Line, LineEvent, LineMemory
from ..settings import call_options
from ..sip import LineKey, SipServer, TreatedLine


class TreatedLines:
    """Has the calls of lines treated, as their options say."""

    def __init__(
        self,
        server: SipServer,
        lines: Mapping[str, Line],
        hook: CallHook,
        changed: Callable[[], None],
    ) -> None:
        """Treat no calls yet; `hook` may decide in the place of the features.

        `changed` is called when there is something to be stored of a line.
        """
        self._server = server
        self._lines = lines
        self._hook = hook
        self._changed = changed
        # When lines have called an emergency number, in seconds since the epoch.
        self._emergencies: dict[str, float] = {}
        self._treated: dict[str, tuple[LineKey, LineCalls, TreatedLine]] = {}

    @callback
    def async_restore(self, stored: Mapping[str, LineMemory]) -> None:
        """Take what is known of the lines from before a restart."""
        for line_id, memory in stored.items():
            if memory.emergency_at is not None:
                self._emergencies[line_id] = memory.emergency_at

    def emergency_at(self, line_id: str) -> float | None:
        """Return when a line called an emergency number, None where that is long ago."""
        called_at = self._emergencies.get(line_id)
        if called_at is None:
            return None
        age = self._server.clock.time() - called_at
        return called_at if age < EMERGENCY_SECONDS else None

    def _note_emergency(self, line_id: str, calls: LineCalls) -> None:
        assert calls.emergency_at is not None
        self._emergencies[line_id] = calls.emergency_at
        self._changed()

    @callback
    def async_update(self, subentries: Mapping[str, ConfigSubentry]) -> None:
        """Treat the calls of the lines that are set to that, and of no others."""
        for line_id in self._treated.keys() - self._lines.keys():
            self._end(line_id)
        for line_id in self._emergencies.keys() - self._lines.keys():
            del self._emergencies[line_id]
        for line_id, line in self._lines.items():
            if line_id not in subentries:
                # A PBX that synchronizes keys treats the calls of such a line itself.
                continue
            options = call_options(subentries[line_id].data)
            if options is None or line.pbx is None:
                self._end(line_id)
                continue
            key = line.pbx, line.user
            known = self._treated.get(line_id)
            if known is not None and known[0] == key:
                known[1].options = options
                continue
            self._end(line_id)
            calls = LineCalls(
                line,
                options,
                self._server.clock,
                self._hook,
                self._emergencies.get(line_id),
            )
            calls.changed = partial(self._note_emergency, line_id, calls)
            treated = self._server.proxy.treated.treat(*key, calls)
            self._treated[line_id] = key, calls, treated

    def _end(self, line_id: str) -> None:
        if (known := self._treated.pop(line_id, None)) is not None:
            known[2].end()

    @callback
    def async_stop(self) -> None:
        """Treat no calls any more: they pass."""
        for line_id in list(self._treated):
            self._end(line_id)

    @callback
    def handle_line_event(self, event: LineEvent) -> None:
        """End the calls that ring where do not disturb is turned on, by option."""
        if (
            isinstance(event, FeatureChanged)
            and event.change.feature is Feature.DO_NOT_DISTURB
            and event.new.status
            and not event.old.status
            and (known := self._treated.get(event.line.id)) is not None
        ):
            _, calls, treated = known
            treated.reject_ringing(calls.options.busy_status)
