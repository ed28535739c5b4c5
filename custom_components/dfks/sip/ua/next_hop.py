"""The next hop of a dialog's NOTIFYs: the flow, the Request-URI and the Route lines."""

from collections.abc import Callable, Iterable
import errno
from typing import Final, Protocol

from ..access.accounts import Account
from ..transport.flow import Flow, FlowError, is_numeric
from ..wire.headers import (
    DEFAULT_PORT,
    HeaderError,
    Uri,
    default_port,
    parse_address,
    parse_uri,
    plain_host,
    unbracketed,
)
from ..wire.message import SipError
from .dialog import Dialog

# What keeps a route from being followed, whatever else happens.
_NO_SUCH_WAY: Final = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class Network(Protocol):
    """Finds the ways to next hops."""

    def flow_to(
        self,
        transport: str,
        host: str,
        port: int,
        near: Flow,
        allows: Callable[[str], bool],
    ) -> Flow:
        """Return a flow to a next hop. Raises FlowError.

        `allows` decides about each address that a name stands for.
        """

    def check_family(self, host: str) -> None:
        """Raise FlowError where nothing can be sent to an address of this kind."""


class NextHops:
    """Finds the next hops of dialogs."""

    def __init__(
        self, network: Network, may_reach: Callable[[str, Account], bool]
    ) -> None:
        """Send over flows of `network`.

        `may_reach` says whether NOTIFYs of a line may go to an address that is not the
        source of the SUBSCRIBE: nobody with a password may have them sent anywhere.
        """
        self._network = network
        self._may_reach = may_reach

    def find(self, dialog: Dialog) -> Flow:
        """Set Request-URI, Route lines and flow of a dialog's NOTIFYs; return the flow.

        RFC 3261 12.2.1.1 for the first two. The flow leads to the top Route if there
        is one; else it is the connection of the SUBSCRIBE; else UDP to the Contact if
        that is the host that wrote, and otherwise to where the SUBSCRIBE came from,
        which gets through NAT. A next hop that nobody vouches for is not taken: the
        NOTIFY goes to where the SUBSCRIBE came from then. Raises FlowError.
        """
        if dialog.routes:
            dialog.next_hop = self._find_routed(dialog)
        else:
            dialog.request_uri = dialog.target
            dialog.next_hop = self._find_direct(dialog)
        return dialog.next_hop

    def check_route(self, dialog: Dialog) -> None:
        """Refuse a route that no NOTIFY could ever follow. Raises SipError."""
        try:
            self.find(dialog)
        except FlowError as err:
            if err.errno in _NO_SUCH_WAY:
                raise SipError(400, f"Record-Route: {err.strerror}") from err

    def may_listen(self, dialog: Dialog) -> bool:
        """Whether a phone whose connection is gone may take another at its Contact."""
        if dialog.routes or dialog.listens is False or not dialog.flow.closed:
            return False
        host = unbracketed(parse_uri(dialog.target).host)
        return dialog.flow.transport == "TCP" and (
            not is_numeric(host) or self._allows(host, dialog)
        )

    def _find_direct(self, dialog: Dialog) -> Flow:
        flow = dialog.flow
        host, port = flow.remote
        # Most phones name the address that they write from.
        if not flow.reliable and dialog.target.endswith(f"@{host}:{port}"):
            return flow
        target = parse_uri(dialog.target)
        if flow.reliable:
            return self._towards(target, dialog) if flow.closed else flow
        if _is_source(target.host, flow):
            there = target.port or DEFAULT_PORT
            if there != port:
                return self._reach("UDP", target.host, there, dialog)
        return flow

    def _find_routed(self, dialog: Dialog) -> Flow:
        try:
            top = parse_uri(parse_address(dialog.routes[0]).uri)
        except HeaderError as err:
            raise FlowError(0, f"Route: {err}") from err
        flow = dialog.flow
        host, port = unbracketed(top.host), top.port or DEFAULT_PORT
        named = not is_numeric(host)
        if not named:
            self._network.check_family(host)
        # A proxy that writes its name is the one whose connection this is, too.
        is_here = named or _is_source(host, flow)
        if named or self._allows(host, dialog):
            if not (flow.reliable and is_here) or flow.closed:
                flow = self._reach(_transport_of(top), host, port, dialog)
        elif flow.closed:
            raise FlowError(errno.EACCES, "A Route that is nobody's we know")
        if "lr" in top.parameters:
            dialog.request_uri = dialog.target
            dialog.route_lines = _route_lines(dialog.routes)
        else:
            dialog.request_uri = top.text
            rest = (*dialog.routes[1:], f"<{dialog.target}>")
            dialog.route_lines = _route_lines(rest)
        return flow

    def _towards(self, target: Uri, dialog: Dialog) -> Flow:
        """Return a flow to a Contact whose connection is gone. Raises FlowError."""
        host = unbracketed(target.host)
        if is_numeric(host) and not self._allows(host, dialog):
            raise FlowError(errno.EACCES, "A Contact that is nobody's we know")
        # `Notifier.failed` knows better.
        dialog.listens = True
        transport = dialog.flow.transport
        port = target.port or default_port(transport)
        return self._reach(transport, host, port, dialog)

    def _reach(self, transport: str, host: str, port: int, dialog: Dialog) -> Flow:
        return self._network.flow_to(
            transport,
            host,
            port,
            dialog.flow,
            lambda found: self._allows(found, dialog),
        )

    def _allows(self, host: str, dialog: Dialog) -> bool:
        """Whether NOTIFYs of a dialog may go to a numeric address."""
        return _is_source(host, dialog.flow) or (
            bool(dialog.subscriptions)
            and self._may_reach(plain_host(host), dialog.subscriptions[0].account)
        )


def _is_source(host: str, flow: Flow) -> bool:
    """Whether a numeric address is where a flow leads."""
    return plain_host(host) == plain_host(flow.remote[0])


def _transport_of(uri: Uri) -> str:
    """Return the transport to reach a Route by (RFC 3263 4.1, without NAPTR)."""
    if uri.scheme == "sips":
        return "TLS"
    return (uri.transport or "UDP").upper()


def _route_lines(routes: Iterable[str]) -> str:
    return "".join(f"Route: {route}\r\n" for route in routes)
