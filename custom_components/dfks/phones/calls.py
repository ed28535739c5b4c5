"""The calls of the lines that are to be seen, and where each line's are reported from.

A line has one source: where its SIP passes through here, that; else what its phones
report by calling a URL (`action_urls`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import CONF_WEBHOOK_ID
from homeassistant.core import Context, HomeAssistant, callback

from ..changes import ATTR_LINE
from ..const import ATTR_DURATION, ATTR_NAME, ATTR_REASON, CONF_PBX, CONF_USER, DOMAIN
from ..features.model import Line
from ..features.passed_calls import PassedCalls
from ..features.publisher import Publisher
from ..features.seen import CallEvent, SeenCalls
from ..settings import is_reported, sees_calls
from ..sip import Clock, LineKey, Network, ProxyBinding, SipServer
from .action_urls import ActionUrls, Hook

# Fired for each event of a call, so that automations and Activity know what an entity
# has changed for. Without numbers and names: what is on the bus is recorded.
EVENT_CALL: Final = f"{DOMAIN}_call"

ATTR_TYPE: Final = "type"


class LineCalls(Publisher[[CallEvent | None, Context]]):
    """The calls of one line.

    Its listeners are told each event, and None where only the state has changed, with
    the context that what they write is to have.
    """

    def __init__(
        self, clock: Clock, fire: Callable[[CallEvent, Context], None]
    ) -> None:
        """Start without calls; `fire` is called with an event before the listeners."""
        super().__init__()
        self.seen = SeenCalls(clock)
        self._fire = fire
        self.seen.subscribe(self._handle)

    @callback
    def _handle(self, event: CallEvent | None) -> None:
        context = Context()
        if event is not None:
            # Activity takes the first event of a context for the cause of the others.
            self._fire(event, context)
        self.publish(event, context)


class CallMonitor:
    """The calls of all lines of a listener that are to be seen."""

    def __init__(
        self,
        hass: HomeAssistant,
        server: SipServer,
        lines: Mapping[str, Line],
        clock: Clock,
        allowed: tuple[Network, ...],
        device_id: Callable[[Line], str | None],
        line_name: Callable[[Line], str],
    ) -> None:
        """See no calls yet.

        Phones may report from the networks `allowed`. Events name a line by its device,
        as the user does.
        """
        self._hass = hass
        self._server = server
        self._lines = lines
        self._clock = clock
        self._device_id = device_id
        self._line_name = line_name
        self._calls: dict[str, LineCalls] = {}
        # Those whose SIP passes, by PBX and user.
        self._passed: dict[LineKey, SeenCalls] = {}
        self._observer = PassedCalls(self._passed)
        self._action_urls = ActionUrls(hass, allowed, clock)

    @property
    def line_ids(self) -> frozenset[str]:
        """The lines whose calls are seen."""
        return frozenset(self._calls)

    def of(self, line_id: str) -> LineCalls:
        """Return the calls of a line. Raises KeyError where they are not seen."""
        return self._calls[line_id]

    @callback
    def async_update(self, subentries: Mapping[str, ConfigSubentry]) -> None:
        """See the calls of the lines that want it, and forget those of all others."""
        wanted = {
            line_id: subentry.data
            for line_id, subentry in subentries.items()
            if sees_calls(subentry.data)
        }
        for line_id in self._calls.keys() - wanted.keys():
            self._calls.pop(line_id).seen.clear()
        for line_id in wanted.keys() - self._calls.keys():
            self._calls[line_id] = LineCalls(self._clock, partial(self._fire, line_id))
        self._watch(wanted)
        self._action_urls.async_update(
            {
                subentries[line_id].data[CONF_WEBHOOK_ID]: Hook(
                    self._calls[line_id].seen, subentries[line_id].title
                )
                for line_id in wanted
                if is_reported(subentries[line_id].data)
            }
        )

    def _fire(self, line_id: str, event: CallEvent, context: Context) -> None:
        line = self._lines[line_id]
        self._hass.bus.async_fire(
            EVENT_CALL,
            {
                ATTR_LINE: self._device_id(line),
                ATTR_NAME: self._line_name(line),
                ATTR_TYPE: event.type.value,
                ATTR_REASON: event.reason and event.reason.value,
                ATTR_DURATION: event.duration,
            },
            context=context,
        )

    def _watch(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Have the calls followed whose SIP passes."""
        passed = {
            (data[CONF_PBX], data[CONF_USER]): self._calls[line_id].seen
            for line_id, data in wanted.items()
            if CONF_PBX in data
        }
        for key in self._passed.keys() - passed.keys():
            # The line has moved: what is known of its calls is of before.
            self._passed[key].clear()
        self._passed.clear()
        self._passed.update(passed)
        self._server.calls.watch(frozenset(passed), self._observer)

    @callback
    def async_stop(self) -> None:
        """See nothing any more."""
        self._server.calls.watch(frozenset(), self._observer)
        self._action_urls.async_update({})
        for calls in self._calls.values():
            calls.seen.clear()

    def unregistered(self, binding: ProxyBinding) -> None:
        """Take a phone that has no registration any more: it was switched off."""
        calls = self._passed.get((binding.pbx, binding.user))
        if calls is not None:
            calls.phone_idle(binding.token)
