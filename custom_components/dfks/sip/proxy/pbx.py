"""A PBX that messages are passed to: what is configured of it, and the way there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
import errno

from ..transport.flow import Flow, FlowError, is_numeric
from ..wire.headers import default_port, plain_host

type Address = tuple[str, int]
type Reach = Callable[[str, str, int], Flow]


class ContactMode(StrEnum):
    """How a PBX is made to send a phone's calls through here."""

    # The Contact of a REGISTER becomes our own address with a token.
    MIRROR = "mirror"
    # The Contact stays; a Path names us (RFC 3327).
    PATH = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxConfig:
    """What is configured of a PBX.

    id           stays when all else changes
    host, port   where it is; without a port its transport's own, or by SRV
    transport    UDP, TCP or TLS, whatever the phones speak
    domains      hosts of Request-URIs that are its, beside `host`
    keys_here    whether `as-feature-event` is answered here; else it passes, too
    """

    id: str
    host: str
    port: int | None = None
    transport: str = "UDP"
    domains: tuple[str, ...] = ()
    contact_mode: ContactMode = ContactMode.MIRROR
    keys_here: bool = True


class Upstream:
    """The way to one PBX."""

    def __init__(
        self, config: PbxConfig, reach: Reach, moved: Callable[[], None]
    ) -> None:
        """Reach it over flows of `reach` (transport, host, port).

        `moved` is called when it has other addresses than before.
        """
        self.config = config
        self._reach = reach
        self._moved = moved
        self._flow: Flow | None = None
        self._names = frozenset(map(plain_host, (config.host, *config.domains)))
        self.addresses: tuple[Address, ...] = ()
        if is_numeric(config.host):
            port = config.port or default_port(config.transport)
            self.addresses = ((plain_host(config.host), port),)

    def resolved(self, addresses: Iterable[Address]) -> None:
        """Take what the host's name stands for now; the first one is used."""
        self.addresses = tuple((plain_host(host), port) for host, port in addresses)
        self._flow = None
        self._moved()

    def flow(self) -> Flow:
        """Return the way to the PBX. Raises FlowError where there is none."""
        if self._flow is None or self._flow.closed:
            if not self.addresses:
                raise FlowError(errno.EHOSTUNREACH, "The PBX has no address yet")
            host, port = self.addresses[0]
            self._flow = self._reach(self.config.transport, host, port)
        return self._flow

    def is_source(self, flow: Flow) -> bool:
        """Whether a flow is the PBX's: by address and port, or from its address on TCP.

        Everybody else is a phone.
        """
        if flow is self._flow:
            return True
        host, port = plain_host(flow.remote[0]), flow.remote[1]
        if flow.reliable:
            return self.config.transport != "UDP" and any(
                host == known for known, _ in self.addresses
            )
        return (host, port) in self.addresses

    def serves(self, host: str, port: int | None) -> bool:
        """Whether the Request-URI of a REGISTER is this PBX's."""
        host = plain_host(host)
        if host in self._names:
            return port in (
                None,
                self.config.port or default_port(self.config.transport),
            ) or not is_numeric(host)
        return any(
            host == known and port in (None, known_port)
            for known, known_port in self.addresses
        )
