"""Route and Record-Route: how dialogs stay on the way through here (RFC 3261 16.4)."""

from ..transport.flow import Flow, transport_parameter
from ..wire.headers import Uri, parse_address, parse_uri
from ..wire.splice import PassedMessage
from .location import Location
from .registrations import PARAMETER
from .site import Site
from .tokens import is_token


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
        value = message.first_value("route") or ""
        uri = parse_uri(parse_address(value).uri)
        token = uri.user if is_token(uri.user) else None
        known = token is not None and self._location.find_in_dialog(token) is not None
        if not known and not (
            uri.is_sip and self._site.is_own(uri.host, uri.port, flow)
        ):
            return None
        message.remove_first("route")
        if token is not None and message.has("route"):
            # The value of the other side, where the two differ (RFC 5658).
            other = parse_uri(parse_address(message.first_value("route") or "").uri)
            if other.user == token:
                message.remove_first("route")
        return token

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

    def record(
        self, message: PassedMessage, source: Flow, way: Flow, token: str
    ) -> None:
        """Stay in the way of the dialog: one value, or one a side (RFC 5658)."""
        sides = [
            f"Record-Route: <sip:{token}@{self._site.sent_by(flow)}"
            f"{transport_parameter(flow.transport)};lr>"
            for flow in (source, way)
        ]
        message.put_on_top(sides[0])
        if sides[1] != sides[0]:
            message.put_on_top(sides[1])


def follow_strict(message: PassedMessage) -> None:
    """Write a request for a next hop that is a strict router (16.6, 6)."""
    if not message.has("route"):
        return
    top = parse_uri(parse_address(message.first_value("route") or "").uri)
    if "lr" in top.parameters:
        return
    message.remove_first("route")
    message.add(f"Route: <{message.uri}>")
    message.set_uri(top.text)
