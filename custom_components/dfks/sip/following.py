"""Lines at servers that notify: this server as one more phone of each.

Lines at one server share the way to it. What comes from there counts only in a dialog of
ours, and from the server's address or over its connection.
"""

import asyncio
from collections.abc import Callable, Iterable
import random
import ssl
from typing import Final, NamedTuple, override

from .access.guard import Guard
from .addresses import OwnAddresses
from .checks import ALLOW
from .proxy.network import Network
from .proxy.pbx import PbxConfig, Upstream
from .transaction.client import ClientTransactions
from .transaction.server import ServerTransaction
from .transaction.timing import TIMEOUT
from .transport.flow import Flow
from .transport.resolver import Resolver, SystemResolver
from .transport.uplink import Uplink
from .ua.exchange import Failure, Outcome
from .ua.registration import Contacts, Registration, fetch_contacts
from .ua.subscriber import Subscriber, SubscriberEvents, SubscriptionStatus
from .ua.subscriber_dialog import Package, SubscriberConfig, Way
from .wire.headers import HeaderError, plain_host
from .wire.message import SipError

# Seconds over which the first subscriptions of many lines at one server are spread, and
# the time of each: 500 take all of it.
SPREAD: Final = 30.0
SPREAD_OF_ONE: Final = 0.06

# Seconds after which a registration may be among what a server has forgotten that
# refuses a subscription.
RENEWAL: Final = 60.0

# Seconds that ending all subscriptions may take, when the server stops.
GOODBYE: Final = 2.0

# Seconds that a server has to answer the goodbye of one line: what follows it may wait.
PATIENCE: Final = 3.0

_FAILURES: Final = {
    Failure.NO_ANSWER: SubscriptionStatus.UNREACHABLE,
    Failure.NO_WAY: SubscriptionStatus.UNREACHABLE,
    Failure.WRONG_PASSWORD: SubscriptionStatus.WRONG_PASSWORD,
    Failure.CANNOT_LOG_IN: SubscriptionStatus.CANNOT_LOG_IN,
}


def _config_of(way: Way, id: str) -> PbxConfig:
    """Return what is configured of a server, as the way to a PBX takes it."""
    return PbxConfig(
        id=id,
        host=way.host,
        port=way.port,
        transport=way.transport,
        fingerprint=way.fingerprint,
    )


class CertificateProblem(NamedTuple):
    """Why a server is not connected to: the certificate that it shows.

    reason       what is wrong with it, None where it is not the one that is pinned
    fingerprint  what it is known by
    """

    reason: str | None
    fingerprint: str


class _Server(Upstream):
    """The way to one server, with the lines that share it."""

    def __init__(
        self,
        config: PbxConfig,
        following: Following,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(
            config,
            following.network,
            following.timers,
            following.resolver,
            following,
            tls,
        )
        self.lines: dict[str, RemoteLine] = {}
        self._clock = following.clock
        # Until when failures do not count, because another address is tried.
        self._moved_until = 0.0
        # Why it is not connected to, where that is its certificate.
        self.certificate_problem: CertificateProblem | None = None

    @property
    def way(self) -> Flow | None:
        """The flow that is used, where there is one."""
        return self._flow

    @override
    def connected(self) -> None:
        super().connected()
        self.certificate_problem = None
        self.found()

    @override
    def resolved(self, addresses: Iterable[tuple[str, int]]) -> None:
        had_none = not self.addresses
        super().resolved(addresses)
        if had_none and self.addresses and self.config.transport == "UDP":
            self.found()

    @override
    def failed(self) -> None:
        """Count a failure; those that many lines meet at once lead one address on."""
        now, used = self._clock.monotonic(), self.addresses[:1]
        if now < self._moved_until:
            return
        super().failed()
        if self.addresses[:1] != used:
            # Requests to the address before may fail until then.
            self._moved_until = now + TIMEOUT

    @override
    def certificate_refused(self, reason: str | None, fingerprint: str) -> None:
        self.certificate_problem = CertificateProblem(reason, fingerprint)
        for line in [*self.lines.values()]:
            line.certificate_refused()

    def found(self) -> None:
        """Have the lines use a way that is there (again), not all at once."""
        for line in self.lines.values():
            line.found(self.delay())

    def delay(self) -> float:
        """Return after how many seconds a line may speak, so that not all do at once."""
        return random.uniform(0.0, min(SPREAD, SPREAD_OF_ONE * len(self.lines)))

    def speaks(self, flow: Flow) -> bool:
        """Whether a request comes from the server: its address, or our connection.

        From any port: servers notify from others than they listen on. A NOTIFY has to
        be in our dialog as well, which only the server knows.
        """
        host = plain_host(flow.remote[0])
        return self.is_link(flow) or any(host == known for known, _ in self.addresses)


class RemoteLine:
    """One line at a server: its subscription, and its registration where it has one."""

    def __init__(
        self,
        config: SubscriberConfig,
        package: Package,
        events: SubscriberEvents,
        following: Following,
        server: _Server,
    ) -> None:
        """Use `Following.add`."""
        self.config = config
        self.server = server
        self._following = following
        self._events = events
        # When it was registered last, and whether it subscribes after the next time.
        self._registered_at = 0.0
        self._renews = False
        self.subscriber = Subscriber(
            config,
            package,
            following,
            server,
            following.clock,
            self,
            following.dialogs,
        )
        # Whether nothing has been tried yet: the name of the server is looked up.
        self._is_new = True
        self._registration: Registration | None = None
        if config.register:
            self._registration = Registration(
                config,
                following,
                server,
                self.subscriber.login,
                self._registered,
                self._not_registered,
            )

    @property
    def certificate_problem(self) -> CertificateProblem | None:
        """Why the server is not connected to, where that is its certificate."""
        return self.server.certificate_problem

    @property
    def is_registered(self) -> bool:
        """Whether calls may come for it."""
        return self._registration is not None and self._registration.is_there

    def start(self) -> None:
        """Begin, in a while where there are many."""
        delay = self.server.delay()
        self.subscriber.release()
        if self._registration is not None:
            # Whatever the subscriber waits for: it begins anew after the REGISTER.
            self._renews = True
            self._registration.start(delay)
        else:
            self.subscriber.start(delay)

    def stop(self) -> None:
        """Stop without a word."""
        self.subscriber.stop()
        if self._registration is not None:
            self._registration.stop()

    def end(self, done: Callable[[], None], *, keep_binding: bool = False) -> None:
        """End subscription and registration; `done` is called when that is over.

        `keep_binding` leaves the registration to another line that has the same.
        """
        registration = self._registration
        if registration is not None and keep_binding:
            registration.stop()
            registration = None
        self.subscriber.end(
            done if registration is None else lambda: registration.end(done)
        )

    def has_binding_of(self, other: RemoteLine) -> bool:
        """Whether it is registered with the Contact that another line has, too."""
        return (
            self.is_registered
            and self.server is other.server
            and self.config.address == other.config.address
        )

    def found(self, delay: float) -> None:
        """Use a way that is there again."""
        if self._registration is None or self._registration.is_there:
            self.subscriber.link_found(delay)
        elif self.subscriber.may_try:
            self._registration.start(delay)

    def fetch_contacts(self, done: Callable[[Contacts], None]) -> None:
        """Ask the server what is registered for the line.

        It is parked where the server does not take its login.
        """

        def take(contacts: Contacts, outcome: Outcome) -> None:
            if outcome in (Failure.WRONG_PASSWORD, Failure.CANNOT_LOG_IN):
                self.subscriber.park(_FAILURES[outcome])
            done(contacts)

        fetch_contacts(
            self.config, self._following, self.server, self.subscriber.login, take
        )

    # Told by the subscriber

    def notified(self, content_type: str, body: bytes) -> None:
        """Hand on the body of a NOTIFY."""
        self._events.notified(content_type, body)

    def status_changed(self) -> None:
        """Hand on that the status is another; register anew where that may help."""
        if (
            self._registration is not None
            and self.is_registered
            and not self._renews
            and self.subscriber.status is SubscriptionStatus.REFUSED
            and self.subscriber.code
            and self._following.clock.monotonic() - self._registered_at >= RENEWAL
        ):
            # The server may have been restarted, and have forgotten the binding too.
            self._renews = True
            self._registration.start()
        self._events.status_changed()

    # Told by the server

    def certificate_refused(self) -> None:
        """Hand on why the status stays what it is."""
        self._events.status_changed()

    # Told by the registration

    def _registered(self) -> None:
        self._registered_at = self._following.clock.monotonic()
        if self._renews or not self.subscriber.is_begun:
            self._renews = False
            self.subscriber.start()

    def _not_registered(self, why: Failure | int) -> None:
        if isinstance(why, int):
            if not self.subscriber.active:
                self.subscriber.hold(SubscriptionStatus.REFUSED, why)
            return
        status = _FAILURES[why]
        if status is SubscriptionStatus.UNREACHABLE:
            is_new, self._is_new = self._is_new, False
            if not self.subscriber.active and not (is_new and why is Failure.NO_WAY):
                self.subscriber.hold(status)
        else:
            self.subscriber.park(status)


class Following:
    """All lines that are followed, and the ways to their servers."""

    def __init__(
        self,
        requests: ClientTransactions,
        network: Network,
        addresses: OwnAddresses,
        guard: Guard,
    ) -> None:
        """Follow nothing yet."""
        self.clock = requests.clock
        self.timers = requests.timers
        self.requests = requests
        self.network = network
        self.sent_by = addresses.sent_by
        self.contact = addresses.contact
        self.resolver: Resolver = SystemResolver()
        self._guard = guard
        self._servers: dict[Way, _Server] = {}
        self.lines: dict[str, RemoteLine] = {}
        # The subscribers that have a dialog, by its Call-ID.
        self.dialogs: dict[str, Subscriber] = {}
        # Those that are ending, and say goodbye.
        self._leaving: set[RemoteLine] = set()
        self._running = False
        self.handlers = {"NOTIFY": self._notify, "INVITE": self._invite}

    # Life

    def start(self) -> None:
        """Subscribe to everything; the sockets listen by now."""
        self._running = True
        for server in self._servers.values():
            server.start()
        for line in self.lines.values():
            line.start()

    async def end(self) -> None:
        """End all subscriptions, and wait for the servers' answers for a moment (S13)."""
        loop = asyncio.get_running_loop()
        ended: list[asyncio.Future[None]] = []
        for line in [*self.lines.values()]:
            future: asyncio.Future[None] = loop.create_future()
            ended.append(future)
            line.end(lambda future=future: future.done() or future.set_result(None))  # type: ignore[misc]
        if ended:
            await asyncio.wait(ended, timeout=GOODBYE)

    def stop(self) -> None:
        """Stop without a word."""
        self._running = False
        for line in (*self.lines.values(), *self._leaving):
            line.stop()
        for server in self._servers.values():
            server.stop()

    # Lines

    def add(
        self,
        config: SubscriberConfig,
        package: Package,
        events: SubscriberEvents,
        tls: ssl.SSLContext | None = None,
        *,
        begin: bool = True,
    ) -> RemoteLine:
        """Follow a line from now on; one of the same id has to be removed before.

        Without `begin`, nothing is sent before the line is started.
        `tls` checks the certificate of a server that is reached by TLS; raises
        ValueError where it does not.
        """
        server = self._servers.get(config.way)
        if server is None:
            server = _Server(
                _config_of(config.way, config.id),
                self,
                tls,
            )
            self._servers[config.way] = server
            if self._running:
                server.start()
        line = RemoteLine(config, package, events, self, server)
        server.lines[config.id] = self.lines[config.id] = line
        self.moved()
        if self._running and begin:
            line.start()
        return line

    def remove(self, line_id: str, done: Callable[[], None] = lambda: None) -> None:
        """Follow a line no more; its server is told so, and `done` called after that.

        It is called after some seconds where the server does not answer.
        """
        line = self.lines.pop(line_id)
        self._leaving.add(line)
        self.timers.after(PATIENCE, lambda: self._left(line, done))
        line.end(
            lambda: self._left(line, done),
            # Where a line is tried that is followed already, the latter goes on.
            keep_binding=any(item.has_binding_of(line) for item in self.lines.values()),
        )

    def _left(self, line: RemoteLine, done: Callable[[], None]) -> None:
        if line not in self._leaving:
            return
        self._leaving.discard(line)
        line.stop()
        server = line.server
        if server.lines.get(line.config.id) is line:
            del server.lines[line.config.id]
        users = (*self.lines.values(), *self._leaving)
        if all(other.server is not server for other in users):
            server.stop()
            del self._servers[line.config.way]
            self.moved()
        done()

    # What becomes of a server (`UpstreamEvents`)

    def moved(self) -> None:
        """Let in the addresses of the servers."""
        self._guard.allow_servers(
            frozenset(
                host
                for server in self._servers.values()
                for host, _ in server.addresses
            )
        )

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Take note of nothing: each line finds out by itself."""

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Take note of nothing: the server itself keeps the reason."""

    def undelivered(self, data: bytes) -> None:
        """Fail a request that has waited for a connection in vain."""
        self.requests.undelivered(data)

    def lost(self, flow: Flow) -> None:
        """Take note of a connection that is gone."""
        for server in self._servers.values():
            if isinstance(server.way, Uplink) and server.is_link(flow):
                self.requests.lost(server.way)
                for line in server.lines.values():
                    line.subscriber.link_lost()

    # What comes in

    def is_server(self, flow: Flow) -> bool:
        """Whether a message comes from a server that is followed, and so may send all.

        Not from any port of its address, which others may share.
        """
        return any(server.is_source(flow) for server in self._servers.values())

    def is_called(self, user: str, flow: Flow) -> bool:
        """Whether a call for a user from a server is for a line that is registered."""
        return any(
            line.config.register
            and line.config.user == user
            and line.server.speaks(flow)
            for line in self.lines.values()
        )

    def is_dialog(self, call_id: str) -> bool:
        """Whether a Call-ID is that of a subscription of ours."""
        return call_id in self.dialogs

    def _notify(self, transaction: ServerTransaction) -> None:
        """Take a NOTIFY: in a dialog of ours and from its server, else 481 (S4)."""
        request = transaction.request
        if not self._servers:
            raise SipError(405, None, (ALLOW,))
        subscriber = self.dialogs.get(request.call_id)
        if subscriber is None or not subscriber.is_of(request, transaction.flow):
            raise SipError(481)
        transaction.is_known = True
        self._guard.mark_authenticated(transaction.flow.remote[0])
        subscriber.notify(transaction)

    def _invite(self, transaction: ServerTransaction) -> None:
        """Refuse a call for a line that is registered: nobody is here to answer (S14)."""
        try:
            user = transaction.request.target.user
        except HeaderError as err:
            raise SipError(400, f"Request-URI: {err}") from err
        for line in self.lines.values():
            if line.config.user == user and line.server.speaks(transaction.flow):
                raise SipError(480)
        raise SipError(405, None, (ALLOW,))
