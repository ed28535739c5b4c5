"""Route and Record-Route: how dialogs stay on the way through here (RFC 3261 16.4)."""

from functools import lru_cache

from ..transport.flow import Flow, transport_parameter
from ..wire.headers import MAX_KNOWN, Uri, parse_address, parse_uri
from ..wire.splice import PassedMessage
from .location import Location
from .registrations import PARAMETER
from .site import Site
from .tokens import is_token

# Requests that never open a dialog get no Record-Route (RFC 3261 16.6, 4; 10.3).
_NO_RECORD_ROUTE = frozenset(
    {"ACK", "BYE", "CANCEL", "INFO", "MESSAGE", "OPTIONS", "PRACK", "PUBLISH"}
    | {"REGISTER", "UPDATE"}
)


class Routes:
    """Writes and takes away our own Route values."""

    def __init__(self, location: Location, site: Site) -> None:
        """Know our values by the bindings of `location`."""
        self._location = location
        self._site = site

    def pop_own(self, message: PassedMessage, flow: Flow) -> str | None:
        """Take our own Route values off the top (16.4); return the token in them.

        A phone that has us as outbound proxy writes one without a token.
        """
        if not message.has("route"):
            return None
        is_own, token = self.read_own(message.first_value("route") or "", flow)
        if not is_own:
            return None
        message.remove_first("route")
        if token is not None and message.has("route"):
            # The value of the other side, where the two differ (RFC 5658).
            other = route_uri(message.first_value("route") or "")
            if other.user == token:
                message.remove_first("route")
        return token

    def read_own(self, value: str, flow: Flow) -> tuple[bool, str | None]:
        """Return whether a Route value is ours, and the token in it.

        Raises HeaderError.
        """
        uri = route_uri(value)
        if self._location.find_in_dialog(uri.user) is not None:
            return True, uri.user
        is_own = uri.is_sip and self._site.is_own(uri.host, uri.port, flow)
        return is_own, uri.user if is_own and is_token(uri.user) else None

    def undo_strict(
        self, message: PassedMessage, target: Uri
    ) -> tuple[Uri, str | None]:
        """Give a request that a strict router has sent its own target back (16.4).

        Return it, and our token that stood in its place.
        """
        if not (
            is_token(target.user)
            and message.has("route")
            and PARAMETER not in target.parameters
            and self._location.find_in_dialog(target.user) is not None
        ):
            return target, None
        last = parse_address(message.remove_last("route")).uri
        message.set_uri(last)
        return parse_uri(last), target.user

    def record(self, method: str, source: Flow, way: Flow, token: str) -> list[str]:
        """Return the lines that keep us in the way of a dialog, the top one first.

        One value, or one a side (RFC 5658); none for a method that opens no dialog.
        """
        if method in _NO_RECORD_ROUTE:
            return []
        near, far = [
            f"Record-Route: <sip:{token}@{self._site.sent_by(flow)}"
            f"{transport_parameter(flow.transport)};lr>"
            for flow in (source, way)
        ]
        return [near] if near == far else [far, near]


def route_uri(value: str) -> Uri:
    """Return the URI of a Route value; those of a dialog come again and again.

    Raises HeaderError.
    """
    return _read_once(value) if len(value) <= MAX_KNOWN else _read(value)


@lru_cache(maxsize=1024)
def _read_once(value: str) -> Uri:
    return _read(value)


def _read(value: str) -> Uri:
    return parse_uri(parse_address(value).uri)


def follow_strict(message: PassedMessage) -> None:
    """Write a request for a next hop that is a strict router (16.6, 6)."""
    if not message.has("route"):
        return
    top = route_uri(message.first_value("route") or "")
    if "lr" in top.parameters:
        return
    message.remove_first("route")
    message.add(f"Route: <{message.uri}>")
    message.set_uri(top.text)
