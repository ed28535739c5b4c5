"""The front door: what comes in is checked in one order and sent to who answers it.

The order (RFC 3261 8.2): is it SIP, is it a retransmission, method, event package,
credentials, Request-URI, merged requests, Require, content, and then the method. A
request that is refused changes nothing. What is refused before its sender is known
costs no memory: those answers are made again when the request is sent again.
"""

from collections.abc import Callable, Collection, Sequence
import logging
import ssl

from .access.accounts import Account, Accounts, Binding
from .access.admission import Admission
from .access.digest import Authenticator, Hashes
from .access.guard import Blocked, Guard
from .access.proven import ProvenFlows
from .addresses import OwnAddresses
from .checks import (
    ALLOW,
    KNOWN_METHODS,
    METHODS,
    SUPPORTED,
    Domains,
    check_require,
    check_scheme,
    method_first,
)
from .clock import Clock, Timers
from .config import ServerConfig
from .following import Following
from .inspect.observer import MessageObserver, PhoneObserver
from .inspect.source_log import SourceLog
from .passing import Passing
from .proxy.location import ProxyBindingRecord
from .proxy.pbx import PbxConfig, Upstream
from .proxy.site import ProxyObserver
from .remembering import Remembering
from .snapshot import Snapshot
from .transaction.client import ClientTransactions
from .transaction.server import ServerTransaction, ServerTransactions
from .transaction.via import mark_source
from .transport.bind import split_hosts
from .transport.flow import Flow, FlowError
from .transport.framing import FramingError
from .transport.layer import Transports
from .transport.resolver import Resolver
from .ua.dialog import EventPackage
from .ua.dialog_flows import DialogFlows
from .ua.next_hop import NextHops
from .ua.notifier import Changed, Notifier
from .ua.registrar import Registrar
from .ua.restoring import DialogMemory
from .ua.subscribe import Subscribe
from .wire.headers import plain_host
from .wire.message import NotSip, Request, Response, SipError
from .wire.parser import parse
from .wire.plain import parse_plain_ok

_LOGGER = logging.getLogger(__name__)


class SipServer:
    """A SIP server for the lines and event packages that it is given."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        """Build the server; nothing is bound before `start`."""
        self.config = config
        self.clock = clock
        self._timers = Timers(clock)
        self._registrar = Registrar(clock, config.min_expires, config.max_expires)
        self._transports = Transports(
            clock,
            self._timers,
            self.receive,
            self._receive_broken,
            self._lost,
            self._unreachable,
            self._lets_in,
        )
        self._transactions = ServerTransactions(
            clock,
            self._timers,
            self.send,
            self._transports.flow_to,
            config.max_transactions_per_source,
        )
        self._addresses = OwnAddresses(
            self._transports, config.advertised_host, config.advertised_port
        )
        self._requests = ClientTransactions(clock, self._timers)
        next_hops = NextHops(self._transports, self._may_reach)
        self.notifier = Notifier(
            clock,
            self._timers,
            self._requests,
            next_hops,
            self._addresses.contact,
            self._addresses.sent_by,
            self._changed,
        )
        self._dialog_flows = DialogFlows(self.notifier, next_hops)
        self._dialogs = DialogMemory(clock, self._timers, self.notifier)
        account_of_dialog = self.notifier.subscriptions.account_of_dialog
        self._accounts = Accounts(config.experiment.make_account)
        self._packages: dict[str, EventPackage] = {}
        self._log = SourceLog(clock)
        self._guard = Guard(
            clock,
            config.allowed_networks,
            config.trusted_proxies,
            config.max_failures,
            limit=config.experiment.limit_messages,
        )
        self._authenticator = Authenticator(config.realm, clock, config.algorithms)
        self._admission = Admission(
            self._timers,
            self._guard,
            self._authenticator,
            self._accounts,
            self._log,
            account_of_dialog,
            self._transactions.is_full,
        )
        if not config.experiment.authenticate:
            self._admission.trust_everybody()
        self._domains = Domains(config.domains, self._log)
        self._subscribing = Subscribe(
            self.notifier,
            next_hops,
            self._accounts,
            self._packages,
            self._domains,
            self._addresses.contact,
            min_expires=config.min_expires,
            max_expires=config.max_expires,
            max_per_account=config.max_subscriptions_per_line,
        )
        self._handlers: dict[str, Callable[[ServerTransaction], None]] = {
            "REGISTER": self._register,
            "SUBSCRIBE": self._subscribe,
            "OPTIONS": self._options,
            "CANCEL": self._cancel,
        }
        self._remembering = Remembering(
            self._accounts,
            self._registrar,
            self._dialogs,
            self._guard,
            self._packages,
            self._transports.remembered_flow,
        )
        self._messages: MessageObserver | None = None
        self._phones: PhoneObserver | None = None
        self._passing = Passing(
            clock,
            self._timers,
            self._transports,
            self._addresses,
            self._accounts,
            self._dialog_flows,
            self._guard,
            self._packages,
            (config.realm, *config.domains),
            self._requests,
            self.send,
            lambda: self._changed(urgent=False),
        )
        # Passes messages to PBXs, once there is one.
        self.proxy = self._passing.proxy
        self.calls = self.proxy.calls
        # Subscribes to lines at servers, as one more phone of each.
        self.following = Following(
            self._requests, self._passing, self._addresses, self._guard
        )
        self.proxy.is_own_dialog = self.following.is_dialog
        self.proxy.is_own_call = self.following.is_called
        self._handlers |= self.following.handlers
        self._proven_flows = ProvenFlows(
            self.proxy,
            self._accounts,
            account_of_dialog,
            self._guard.mark_authenticated,
        )
        # Called when there is something new to remember; see `records`.
        self.on_change: Changed | None = None

    # Life

    async def start(
        self,
        tls: ssl.SSLContext | None = None,
        memory: Snapshot | None = None,
        *,
        grace: float = 0.0,
        passed: Sequence[ProxyBindingRecord] = (),
    ) -> None:
        """Bind and listen, with `tls` on the TLS port too. Raises OSError.

        What `records` gave to an earlier run is taken back before anything is
        answered; each expiry is `grace` seconds later then. `passed` is what the
        proxy's location has given.
        """
        hosts = split_hosts(self.config.host)
        await self._transports.bind(hosts, self.config.port)
        if tls is not None:
            await self._transports.bind_tls(hosts, self.config.tls_port, tls)
        if memory is not None:
            await self._remembering.restore(memory, grace)
        self._remembering.restore_passed(passed, self._passing.restore)
        self._transports.listen()
        self._passing.start()
        self._dialogs.resume()
        self.following.start()

    async def stop(self) -> None:
        """Close all sockets and forget all dialogs, without a word to the phones."""
        self.notifier.stop()
        self.following.stop()
        self._passing.stop()
        await self._transports.stop()
        self._timers.stop()

    async def records(self) -> Snapshot:
        """Return what is to be remembered, without holding the event loop."""
        return await self._remembering.records()

    def _changed(self, *, urgent: bool) -> None:
        if self.on_change is not None:
            self.on_change(urgent=urgent)

    @property
    def port(self) -> int:
        """The port that is bound for UDP and TCP."""
        return self._transports.port

    @property
    def tls_port(self) -> int:
        """The port that is bound for TLS, 0 where there is none."""
        return self._transports.tls_port

    def counters(self) -> dict[str, int]:
        """Return how much there is of everything now, and what was counted since start."""
        return {
            "connections": self._transports.connections,
            "dialogs": len(self.notifier.subscriptions.dialogs),
            "subscriptions": sum(1 for _ in self.notifier),
            "bindings": sum(
                len(self._registrar.bindings(account)) for account in self._accounts
            ),
            "transactions_server": len(self._transactions),
            "transactions_client": len(self._requests),
            "retransmissions_received": self._transactions.repeats,
            "retransmissions_sent": self._requests.repeats,
            "challenges_delayed": self._admission.delayed,
            "sources_blocked": self._guard.blocked_sources,
            "sources_blocked_total": self._guard.blocks_total,
        }

    def trace(self, messages: MessageObserver) -> None:
        """Show each message from now on; there is one observer at a time."""
        self._messages = messages
        self._requests.on_sent = messages.sent

    def observe(self, phones: PhoneObserver) -> None:
        """Tell of phones from now on; there is one observer at a time."""
        self._phones = phones
        self._admission.observer = phones

    def observe_blocks(
        self, blocked: Callable[[Blocked], None], unblocked: Callable[[str], None]
    ) -> None:
        """Call `blocked`, and `unblocked` for a source whose block ends early."""
        self._guard.on_blocked = blocked
        self._guard.on_unblocked = unblocked

    def bindings(self, account: Account) -> Collection[Binding]:
        """Return where the phones of an account have registered."""
        return self._registrar.bindings(account)

    def claimed_account(self, username: str, user: str | None) -> Account | None:
        """Return the account of a name in credentials, else that of a user."""
        return self._accounts.claimed(username, user)

    def account_at_pbx(self, pbx: str, user: str) -> Account | None:
        """Return the account of a user at a PBX."""
        return self._accounts.at_pbx(pbx, user)

    def unblock(self, source: str) -> None:
        """Forget the wrong passwords of a source, and judge it again at once."""
        self._guard.unblock(source)

    # What is passed

    def add_pbx(
        self,
        config: PbxConfig,
        secret: bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Upstream:
        """Pass messages between phones and a PBX from now on.

        `secret` is what an earlier run had, so that calls and bindings go on. `tls`
        checks the certificate of a PBX that is reached by TLS; raises ValueError where
        it does not. A PBX of the same id is replaced, and keeps its bindings.
        """
        first = not self.proxy.upstreams
        upstream = self._passing.add(config, secret, tls)
        if first:
            self._admission.vouchers[:0] = [self._proven_flows.vouch]
        return upstream

    def use_resolver(self, resolver: Resolver) -> None:
        """Look the names of PBXs up with a resolver that knows SRV records.

        To be called before a PBX is added.
        """
        self._passing.resolver = self.following.resolver = resolver

    def remove_pbx(self, pbx: str) -> None:
        """Stop passing messages to a PBX."""
        self._passing.remove(pbx)
        if not self.proxy.upstreams:
            self._admission.vouchers.remove(self._proven_flows.vouch)

    def observe_proxy(self, observer: ProxyObserver) -> None:
        """Tell an observer what is learned from what is passed, from now on.

        It is told of the bindings that there are. There is one observer at a time.
        """
        self.proxy.observe(observer)

    def proxy_records(self) -> list[ProxyBindingRecord]:
        """Return what is to be remembered of what phones have registered at PBXs."""
        return self.proxy.location.records()

    def seen_domains(self) -> tuple[str, ...]:
        """Return hosts that phones register at and nobody has set up, the newest first."""
        return tuple(self._passing.seen_domains())

    def send(self, data: bytes, flow: Flow) -> None:
        """Send a message. Raises FlowError."""
        flow.send(data)
        if self._messages is not None:
            self._messages.sent(data, flow)

    # What is served

    def add_package(self, package: EventPackage) -> None:
        """Serve an event package."""
        self._packages[package.name] = package

    def hash_password(self, username: str, password: str) -> Hashes:
        """Return what an account keeps of its password."""
        if not self.config.experiment.authenticate:
            return ()
        return self._authenticator.hash_password(username, password)

    def add_account(self, account: Account) -> None:
        """Serve a line. Raises ValueError where user or username is taken."""
        self._accounts.add(account)
        self._guard.unblock_name(account.username)

    def change_account(
        self,
        account: Account,
        user: str,
        username: str,
        hashes: Hashes,
        pbx: str | None = None,
    ) -> None:
        """Give a line another user, username or password, or move it; dialogs stay.

        `pbx` is where it is registered from now on, None for here. Raises ValueError
        where user or username is taken, and changes nothing then.
        """
        self._accounts.change(account, user, username, hashes, pbx)
        self._guard.unblock_name(username)

    def remove_account(self, account: Account, reason: str) -> None:
        """Stop serving a line; its subscriptions end with `reason` (RFC 6665 4.1.3)."""
        self._accounts.remove(account)
        account.bindings = ()
        self.notifier.terminate(account, reason)

    # Coming in

    def receive(self, data: bytes, flow: Flow) -> float:
        """Take one message and return 0. Nothing that comes from outside raises.

        Where its source has sent more than it may, nothing is done; what is returned
        are the seconds after which a stream may offer the message again.
        """
        standing = self._guard.standing(flow.remote[0])
        if not standing.allowed:
            self._log.info(flow.remote[0], "Source not allowed")
            return 0.0
        # White space, a keepalive, NUL or STUN: not a letter of a start line.
        if data[:1] < b"!":
            data = data.lstrip(b"\r\n")
            if data[:1] < b"!":
                return 0.0
        answered = None
        if data[:4] == b"SIP/" and b" NOTIFY\r\n" in data:
            answered = parse_plain_ok(data)
        # As many answers come as we send NOTIFYs; a stray one costs next to nothing.
        if standing.allowance is not None and answered is None:
            wait = standing.allowance.take(self.clock.monotonic(), len(data))
            if wait and not self._is_pbx(flow):
                known = standing.allowance.known
                self._log.info(
                    standing.source if known else "Sources without a login",
                    "Too many messages, the last from %s",
                    flow.remote[0],
                )
                return wait
        if self._messages is not None:
            self._messages.received(data, flow)
        if answered is not None and self._requests.succeed(*answered):
            return 0.0
        if self.proxy.upstreams and self.proxy.take(data, flow):
            return 0.0
        # A plain 200 that nobody waits for is dropped unread.
        if answered is None:
            self._receive_unread(data, flow)
        return 0.0

    def _is_pbx(self, flow: Flow) -> bool:
        """Whether a message comes from a PBX that is configured: it may send all."""
        upstreams = self.proxy.upstreams.values()
        known = any(upstream.is_source(flow) for upstream in upstreams)
        return known or self.following.is_server(flow)

    def _receive_unread(self, data: bytes, flow: Flow) -> None:
        """Read a message, and answer it where it is a request."""
        try:
            message = parse(data)
        except NotSip as err:
            self._log.info(flow.remote[0], "Not SIP, dropped (%s)", err)
            return
        except SipError as err:
            if err.request is not None and err.request.method != "ACK":
                err.request.size = len(data)
                mark_source(err.request, flow)
                ServerTransaction(self._transactions, err.request, flow).refuse(
                    method_first(err)
                )
            return
        if isinstance(message, Response):
            self._requests.receive(message)
        elif message.method != "ACK":
            message.size = len(data)
            mark_source(message, flow)
            self._receive_request(message, flow)

    def _lets_in(self, source: str) -> bool:
        if self._guard.lets_in(source):
            return True
        self._log.info(source, "Source not allowed")
        return False

    def _receive_request(self, request: Request, flow: Flow) -> None:
        """Answer a request; an error of ours is a 500 and no more (21.5.1)."""
        transaction = ServerTransaction(self._transactions, request, flow)
        try:
            if self._transactions.answer_again(transaction):
                return
            handler = self._handlers.get(request.method)
            if handler is None:
                status = 405 if request.method in KNOWN_METHODS else 501
                raise SipError(status, None, (ALLOW,))
            handler(transaction)
        except SipError as err:
            transaction.refuse(err)
        except FlowError as err:
            _LOGGER.debug("No answer to %s: %s", flow.remote[0], err.strerror)
        except Exception:
            _LOGGER.exception("Unexpected error in a %s", request.method)
            transaction.refuse(SipError(500))

    def _receive_broken(self, err: FramingError, flow: Flow) -> None:
        """Answer what a stream broke off with, before it is closed (18.3)."""
        self._log.info(flow.remote[0], "Closing a connection: %s", err)
        data = err.head + b"\r\n\r\n"
        if err.too_large:
            self._refuse_too_large(data, flow)
        else:
            self.receive(data, flow)

    def _refuse_too_large(self, data: bytes, flow: Flow) -> None:
        """Answer the head of a request that is over the limit (RFC 3261 21.4.11)."""
        if not self._lets_in(flow.remote[0]):
            return
        if self._messages is not None:
            self._messages.received(data, flow)
        request: Request | Response | None = None
        try:
            request = parse(data)
        except SipError as err:
            request = err.request
        except NotSip:
            return
        if isinstance(request, Request) and request.method != "ACK":
            mark_source(request, flow)
            ServerTransaction(self._transactions, request, flow).refuse(SipError(413))

    def _lost(self, flow: Flow) -> None:
        self.proxy.lost(flow)
        self.following.lost(flow)
        self._dialog_flows.lost(flow)
        self._requests.lost(flow)

    def _unreachable(self, data: bytes) -> None:
        """Take a datagram of ours that ICMP sent back (RFC 3261 18.4)."""
        self.proxy.unreachable(data)
        self._requests.undelivered(data)

    # Methods

    def _cancel(self, transaction: ServerTransaction) -> None:
        """Answer a CANCEL, which changes nothing: answers are immediate (9.2)."""
        via = transaction.request.via
        for method in METHODS:
            key = via.branch, via.host, via.port, method
            if self._transactions.answer_to(key) is not None:
                transaction.reply(200)
                return
        raise SipError(481)

    def _options(self, transaction: ServerTransaction) -> None:
        """Tell what there is (RFC 3261 11.2); keepalives need no credentials."""
        check_scheme(transaction.request, transaction.flow)
        check_require(transaction.request)
        packages = self._packages.values()
        transaction.reply(
            200,
            (
                ALLOW,
                f"Allow-Events: {', '.join(self._packages)}",
                f"Accept: {', '.join(package.accept for package in packages)}",
                f"Supported: {', '.join(SUPPORTED)}",
                "Accept-Encoding: identity",
                "Accept-Language: en",
            ),
        )

    def _register(self, transaction: ServerTransaction) -> None:
        """Process a REGISTER (RFC 3261 10.3)."""
        self._passing.note_domain(transaction.request, transaction.flow)
        if not self._admission.admit(transaction):
            return
        request, flow = transaction.request, transaction.flow
        account = transaction.admitted
        try:
            check_scheme(request, flow)
            self._domains.check(request, flow)
            account.check_target(self._accounts.of_to(request))
            transaction.check_merged()
            check_require(request)
            before = account.bindings
            fields = self._registrar.register(account, request, flow)
            if account.bindings is not before:
                self._changed(urgent=len(account.bindings) != len(before))
            transaction.reply(200, fields)
        except SipError as err:
            transaction.refuse(err)
        self._heard(account, request, flow)

    def _subscribe(self, transaction: ServerTransaction) -> None:
        """Process a SUBSCRIBE (RFC 6665 4.2.1)."""
        package, event_id = self._subscribing.package_of(transaction.request)
        if not self._admission.admit(transaction):
            return
        request, flow = transaction.request, transaction.flow
        account = transaction.admitted
        try:
            self._subscribing.process(transaction, account, package, event_id)
        except SipError as err:
            transaction.refuse(err)
        self._heard(account, request, flow)

    def _heard(self, account: Account, request: Request, flow: Flow) -> None:
        """Tell the notifier and the observer that a phone of a line is there."""
        self._dialog_flows.heard(account, request, flow)
        if self._phones is not None:
            self._phones.heard(account, request)

    def _may_reach(self, host: str, account: Account) -> bool:
        """Whether NOTIFYs of a line may go to an address, by the Route or Contact.

        It is a trusted proxy's, or one that phones of the line write from.
        """
        if self._guard.trusts(host):
            return True
        flows = [binding.flow for binding in account.bindings]
        flows += [item.dialog.flow for item in self.notifier.of(account)]
        known = any(plain_host(flow.remote[0]) == host for flow in flows)
        return known and self._guard.lets_in(host)
