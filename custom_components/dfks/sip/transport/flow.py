"""The way back to a peer.

For UDP it is the socket, the peer's address and the local address that the peer wrote
to; for a stream its connection. Whoever answers, or notifies later, sends on the flow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
import errno
import ipaddress
from typing import override

# The largest datagram there is, in octets.
MAX_DATAGRAM = 65_535

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]

# Takes a message; where it does not, the seconds after which it may be offered again.
type Receiver = Callable[[bytes, Flow], float]


class FlowError(OSError):
    """Nothing can be sent on this flow (any more)."""


class Flow(ABC):
    """A way back to a peer.

    `remote` and `local` are (host, port), hosts without brackets.
    """

    __slots__ = ()

    transport: str
    reliable: bool
    remote: tuple[str, int]
    local: tuple[str, int]

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the flow is gone for good."""

    @property
    def lasted(self) -> bool:
        """Whether the peer has taken the connection, and has not closed it at once."""
        return True

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send one message. Raises FlowError."""

    def mark_authenticated(self) -> None:  # noqa: B027
        """Take note that the peer has authenticated."""


class GoneFlow(Flow):
    """A connection of an earlier run: it tells whose it was, and carries nothing."""

    __slots__ = ("local", "remote", "transport")

    reliable = True
    closed = True

    def __init__(
        self, transport: str, remote: tuple[str, int], local: tuple[str, int]
    ) -> None:
        """Remember the two ends."""
        self.transport = transport
        self.remote = remote
        self.local = local

    @override
    def send(self, data: bytes) -> None:
        raise FlowError(errno.ENOTCONN, "The connection is gone")


def transport_parameter(transport: str) -> str:
    """Return what a URI says of a transport; UDP needs no word."""
    return "" if transport == "UDP" else f";transport={transport.lower()}"


def is_numeric(host: str) -> bool:
    """Whether a host is an address, and no name that must be looked up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
