"""Where responses go: back the way that their request came (RFC 3261 18.2.2)."""

from collections import OrderedDict
from collections.abc import Mapping
import secrets

from ..transaction.via import towards
from ..transport.flow import Flow, FlowError
from ..wire.headers import (
    DEFAULT_PORT,
    Via,
    number,
    parse_address,
    parse_uri,
    unbracketed,
)
from ..wire.splice import PassedMessage
from .location import Location
from .pbx import Upstream
from .tokens import TO_PBX, TO_PHONE, is_token

# Phones whose flow is remembered for the responses to them.
MAX_SOURCES = 4096


class WaysBack:
    """The ways that requests came by, as far as their Vias do not say it."""

    def __init__(self, location: Location, upstreams: Mapping[str, Upstream]) -> None:
        """Start without any; PBXs are reached by `upstreams`, phones by `location`."""
        self._location = location
        self._upstreams = upstreams
        # The flow over which a phone's last request came, by its address.
        self._sources: OrderedDict[tuple[str, int], Flow] = OrderedDict()
        # Streams by the number that a branch names them by.
        self._streams: dict[str, Flow] = {}
        self._numbers: dict[Flow, str] = {}
        # Not from the start in each run: a response may be to a request of before.
        self._count = secrets.randbits(24)

    def lost(self, flow: Flow) -> None:
        """Forget a connection that is gone."""
        name = self._numbers.pop(flow, None)
        if name is not None:
            del self._streams[name]

    def number(self, flow: Flow) -> str:
        """Return what a branch says of the connection that its request came by."""
        if not flow.reliable:
            return ""
        name = self._numbers.get(flow)
        if name is None:
            self._count += 1
            name = self._numbers[flow] = f"{self._count:x}"
            self._streams[name] = flow
        return f".{name}"

    def remember(self, flow: Flow) -> None:
        """Remember where a phone's last request came by."""
        if flow.reliable:
            return
        self._sources[flow.remote] = flow
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)

    def find(
        self, message: PassedMessage, sender: Via, stream: str, direction: str
    ) -> Flow:
        """Return the flow of a response (RFC 3261 18.2.2). Raises FlowError."""
        host = sender.parameters.get("received") or unbracketed(sender.host)
        port = number(sender.parameters.get("rport") or "", 65535)
        port = port or sender.port or DEFAULT_PORT
        way = self.known(host, port, stream, direction)
        if way is not None:
            return way
        if direction == TO_PHONE:
            raise FlowError(0, "No PBX at the address of a Via")
        if not stream:
            for (known, _), near in reversed(self._sources.items()):
                if known == host:
                    return towards(near, host, port)
        return self._way_of_binding(message)

    def known(self, host: str, port: int, stream: str, direction: str) -> Flow | None:
        """Return the flow that a request came by, if it is known. Raises FlowError.

        `stream` is the number of its connection, empty for a datagram; then it came
        from `host` and `port`.
        """
        if stream:
            flow = self._streams.get(stream)
            if flow is not None and not flow.closed:
                return flow
            if direction == TO_PBX:
                return None
        if direction == TO_PHONE:
            for upstream in self._upstreams.values():
                if any(host == known for known, _ in upstream.addresses):
                    way = upstream.flow()
                    return way if way.reliable else towards(way, host, port)
            return None
        flow = self._sources.get((host, port))
        return None if flow is None or flow.closed else flow

    def _way_of_binding(self, message: PassedMessage) -> Flow:
        """Return the newest flow of the phone whose connection is gone.

        Raises FlowError.
        """
        for text in message.values("record-route"):
            user = parse_uri(parse_address(text).uri).user
            binding = self._location.find_in_dialog(user) if is_token(user) else None
            if binding is not None:
                return binding.flow
        raise FlowError(0, "The connection of a request is gone")
