"""The lines at PBXs whose calls follow their features."""

from collections.abc import Mapping

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import callback

from ..features.calls import CallHook, LineCalls
from ..features.model import Feature, FeatureChanged, Line, LineEvent
from ..settings import call_options
from ..sip import LineKey, SipServer, TreatedLine


class TreatedLines:
    """Has the calls of lines treated, as their options say."""

    def __init__(
        self, server: SipServer, lines: Mapping[str, Line], hook: CallHook
    ) -> None:
        """Treat no calls yet; `hook` may decide in the place of the features."""
        self._server = server
        self._lines = lines
        self._hook = hook
        self._treated: dict[str, tuple[LineKey, LineCalls, TreatedLine]] = {}

    @callback
    def async_update(self, subentries: Mapping[str, ConfigSubentry]) -> None:
        """Treat the calls of the lines that are set to that, and of no others."""
        for line_id in self._treated.keys() - self._lines.keys():
            self._end(line_id)
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
            calls = LineCalls(line, options, self._server.clock, self._hook)
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
