"""A PBX that messages are passed to: what is configured of it, and the way there."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
import errno
import logging
import ssl
from typing import Protocol

from ..clock import Timers
from ..transport.flow import Flow, FlowError, is_numeric
from ..transport.peer_certificate import CertificateCheck
from ..transport.resolver import Address, Finder, Resolver
from ..transport.uplink import KEEP_ALIVE, PING, Uplink
from ..wire.headers import default_port, plain_host
from .keys import KeysQuestion, Told
from .network import Network

_LOGGER = logging.getLogger(__name__)

# REGISTERs in a row without an answer, and connections in a row that failed, after
# which a PBX counts as out of reach.
MAX_FAILURES = 3


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
    fingerprint  of its certificate, where that is pinned; see `CertificateCheck`
    challenges   whether it asks for a password in every request that is not in a
                 dialog; one that trusts addresses would trust ours with anything
    """

    id: str
    host: str
    port: int | None = None
    transport: str = "UDP"
    domains: tuple[str, ...] = ()
    contact_mode: ContactMode = ContactMode.MIRROR
    keys_here: bool = True
    fingerprint: str | None = None
    challenges: bool = True


class UpstreamEvents(Protocol):
    """Who is told what becomes of a PBX."""

    def moved(self) -> None:
        """Take note that it has other addresses than before."""

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Take note of a PBX that stops answering, or answers again."""

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Take note of a certificate that is not good, or not the pinned one."""

    def undelivered(self, data: bytes) -> None:
        """Take a message that could not be sent to it."""


class Upstream:
    """The way to one PBX. Nothing is looked up or connected before `start`."""

    def __init__(
        self,
        config: PbxConfig,
        network: Network,
        timers: Timers,
        resolver: Resolver,
        events: UpstreamEvents,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Reach it over flows of `network`; `tls` is for its certificate.

        Raises ValueError where it is to be reached by TLS and nothing would be checked.
        """
        if config.transport == "TLS" and (
            tls is None or tls.verify_mode is not ssl.CERT_REQUIRED
        ):
            raise ValueError("TLS takes a context that checks certificates")
        self.config = config
        self._network = network
        self._timers = timers
        self._resolver = resolver
        self._events = events
        self._tls = tls
        self._flow: Flow | None = None
        self._finder: Finder | None = None
        self._running = False
        self._failures = 0
        # What is asked about the keys, as long as it is not answered.
        self.question: KeysQuestion | None = None
        self._names = frozenset(map(plain_host, (config.host, *config.domains)))
        # The one that is used is the first.
        self.addresses: tuple[Address, ...] = ()
        if is_numeric(config.host):
            port = config.port or default_port(config.transport)
            self.addresses = ((plain_host(config.host), port),)

    @property
    def reachable(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._failures < MAX_FAILURES

    def ask_about_keys(self, told: Told) -> None:
        """Find out who synchronizes the keys, from the next phone that subscribes.

        Its SUBSCRIBE is passed once. `told` is called with True where the PBX does not
        know `as-feature-event`, with False where it has answered 2xx.
        """
        self.question = KeysQuestion(told)

    # Life

    def start(self) -> None:
        """Look its name up and connect, now and whenever that is due."""
        self._running = True
        if self.addresses:
            self._open()
        else:
            config = self.config
            self._finder = Finder(
                config.host,
                config.port,
                config.transport,
                self._resolver,
                self._timers,
                self._network.run,
                self.resolved,
            )
            self._finder.start()
        if self.config.transport == "UDP":
            self._timers.after(KEEP_ALIVE, self._ping)

    def stop(self) -> None:
        """Give the way up."""
        self._running = False
        if self._finder is not None:
            self._finder.stop()
        self._close()

    def resolved(self, addresses: Iterable[Address]) -> None:
        """Take what the host's name stands for now.

        The address that is used goes on being used as long as it is among them.
        """
        found = tuple((plain_host(host), port) for host, port in addresses)
        used = self.addresses[:1]
        if used and used[0] in found and self.reachable:
            found = (*used, *(address for address in found if address != used[0]))
        if found == self.addresses:
            return
        moved = found[:1] != used
        self.addresses = found
        self._events.moved()
        if moved:
            self._close()
            self._open()

    def _open(self) -> None:
        """Open the way where it takes a connection."""
        if self._running and self.config.transport != "UDP" and self.addresses:
            host, port = self.addresses[0]
            tls = None
            if self._tls is not None and self.config.transport == "TLS":
                tls = CertificateCheck(
                    self._tls, self.config.host, self.config.fingerprint
                )
            try:
                uplink = self._network.uplink(host, port, self, tls)
            except FlowError as err:
                _LOGGER.warning("The PBX cannot be reached: %s", err.strerror)
                return
            self._flow = uplink
            uplink.start()

    def _close(self) -> None:
        flow, self._flow = self._flow, None
        if isinstance(flow, Uplink):
            flow.stop()

    def flow(self) -> Flow:
        """Return the way to the PBX. Raises FlowError where there is none."""
        if self._flow is None or self._flow.closed:
            if not self.addresses:
                raise FlowError(errno.EHOSTUNREACH, "The PBX has no address yet")
            if self.config.transport != "UDP":
                raise FlowError(errno.ENOTCONN, "There is no way to the PBX")
            self._flow = self._network.flow_from_here(*self.addresses[0])
        return self._flow

    def _ping(self) -> None:
        """Keep the way through NAT open to a PBX outside (RFC 5626 3.5)."""
        if not self._running:
            return
        self._timers.after(KEEP_ALIVE, self._ping)
        if self.addresses and not self._network.is_near(self.addresses[0][0]):
            try:
                self.flow().send(PING)
            except FlowError:
                # The next message finds out.
                return

    # Who it is

    def is_link(self, flow: Flow) -> bool:
        """Whether a flow is our own way to it."""
        own = self._flow
        return flow is own or (isinstance(own, Uplink) and flow is own.stream)

    def is_source(self, flow: Flow) -> bool:
        """Whether a flow is the PBX's: by address and port, or from its address on TCP.

        Everybody else is a phone.
        """
        host, port = flow.remote
        if not flow.reliable:
            return flow is self._flow or (plain_host(host), port) in self.addresses
        if self.is_link(flow):
            return True
        host = plain_host(host)
        return self.config.transport != "UDP" and any(
            host == known for known, _ in self.addresses
        )

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

    # Whether it answers

    def connected(self) -> None:
        """Take a connection that is open."""
        self.answered()

    def answered(self) -> None:
        """Count it as reachable: it has answered."""
        was, self._failures = self.reachable, 0
        if not was:
            self._events.reachable_changed(self.config.id, reachable=True)

    def failed(self) -> None:
        """Count a REGISTER without an answer, or a connection that failed."""
        self._failures += 1
        if self._failures == MAX_FAILURES:
            self._events.reachable_changed(self.config.id, reachable=False)
        if self._failures % MAX_FAILURES == 0 and len(self.addresses) > 1:
            self._close()
            self.addresses = (*self.addresses[1:], self.addresses[0])
            self._open()

    def certificate_refused(self, reason: str | None, fingerprint: str) -> None:
        """Take a connection that was not opened because of the certificate."""
        self._events.certificate_refused(self.config.id, reason, fingerprint)

    def undelivered(self, data: bytes) -> None:
        """Take a message that has waited for a connection in vain."""
        self._events.undelivered(data)
