"""The front door: what comes in is checked in one order and sent to who answers it.

The order (RFC 3261 8.2): is it SIP, is it a retransmission, method, event package,
credentials, Request-URI, merged requests, Require, content, and then the method. A
request that is refused changes nothing. What is refused before its sender is known
costs no memory: those answers are made again when the request is sent again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
import contextlib
from dataclasses import dataclass
from functools import partial
import hashlib
import logging
import re
import secrets
import ssl
import sys

from .access.digest import ALGORITHMS, Authenticator, Hashes, Outcome
from .access.guard import DEFAULT_MAX_FAILURES, DEFAULT_NETWORKS, Guard, Network
from .clock import Clock, Timers
from .inspect.observer import Observer
from .proxy.core import Proxy
from .proxy.location import ProxyBindingRecord
from .proxy.pbx import PbxConfig, Upstream
from .proxy.tokens import SECRET_SIZE, Tokens
from .snapshot import Memory, flow_ends
from .transaction.server import ServerTransactions, TransactionKey, transaction_key
from .transport import Flow, FlowError, FramingError, Transports, UdpFlow, split_hosts
from .ua.notifier import (
    Changed,
    Dialog,
    EventPackage,
    Notifier,
    Subscription,
    contact_uri,
)
from .ua.registrar import DEFAULT_EXPIRES, Account, Registrar, parse_expires
from .wire.headers import (
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
    HeaderError,
    Uri,
    bracketed,
    default_port,
    is_token,
    parse_address,
    parse_parameters,
    parse_uri,
    plain_host,
    split_list,
    unbracketed,
)
from .wire.message import NotSip, Request, Response, SipError
from .wire.parser import parse
from .wire.plain import parse_plain_ok

_LOGGER = logging.getLogger(__name__)

METHODS = ("REGISTER", "SUBSCRIBE", "OPTIONS")
ALLOW = f"Allow: {', '.join(METHODS)}"

# Methods of SIP that this server does not have: 405, where others get 501.
KNOWN_METHODS = frozenset(
    {
        "BYE",
        "INFO",
        "INVITE",
        "MESSAGE",
        "NOTIFY",
        "PRACK",
        "PUBLISH",
        "REFER",
        "UPDATE",
    }
)

# Option tags that may stand in Require.
SUPPORTED = frozenset({"path"})

# Parameters of a Via that are ours to write.
_RPORT = re.compile(r";[ \t]*rport[ \t]*(=[^;,]*)?(?=[;,]|\Z)", re.IGNORECASE)
_RECEIVED = re.compile(r";[ \t]*received[ \t]*=[^;,]*", re.IGNORECASE)

# Records written or taken back before other callbacks of the loop get their turn.
MEMORY_SLICE = 100

# Challenges that wait at one time because their sources failed before.
MAX_DELAYED = 100

# Seconds between two log lines about one source, and sources remembered for that.
LOG_INTERVAL = 60.0
MAX_LOG_SOURCES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where to listen and what to offer. Times are in seconds."""

    # One address or several, separated by commas.
    host: str = "0.0.0.0"
    port: int = DEFAULT_PORT
    # TLS is served where `start` is given a context.
    tls_port: int = DEFAULT_TLS_PORT
    realm: str = "homeassistant"
    # What stands in Contact and Via where the local address is of no use to phones.
    advertised_host: str | None = None
    advertised_port: int | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    # Off only to measure what the rest costs.
    authenticate: bool = True
    # Sources that are answered; none is all. Proxies are not asked for a password.
    allowed_networks: tuple[Network, ...] = DEFAULT_NETWORKS
    trusted_proxies: tuple[Network, ...] = ()
    # Hosts, without port, that a request's Request-URI may name; none is any.
    domains: tuple[str, ...] = ()
    max_failures: int = DEFAULT_MAX_FAILURES
    min_expires: int = 60
    max_expires: int = 3600
    # None is no limit.
    max_subscriptions_per_line: int | None = 50
    max_transactions_per_source: int | None = 20_000
    # Whether sources have an allowance of messages; off only to measure what more take.
    limit_messages: bool = True


class SourceLog:
    """Says at most one thing a minute about each source."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing said."""
        self._clock = clock
        self._said: dict[str, float] = {}

    def info(self, source: str, text: str, *details: object) -> None:
        """Log `text` about a source, unless something was said a moment ago."""
        now = self._clock.monotonic()
        if now - self._said.get(source, -LOG_INTERVAL) < LOG_INTERVAL:
            return
        if len(self._said) >= MAX_LOG_SOURCES:
            self._said.clear()
        self._said[source] = now
        _LOGGER.info("%s: %s", source, text % details)


class SipServer:
    """A SIP server for the lines and event packages that it is given."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        """Build the server; nothing is bound before `start`."""
        self.config = config
        self.clock = clock
        self.timers = Timers(clock)
        self.registrar = Registrar(clock, config.min_expires, config.max_expires)
        self._transports = Transports(
            clock,
            self.timers,
            self.receive,
            self._receive_broken,
            self._lost,
            self._unreachable,
            self._lets_in,
        )
        self._transactions = ServerTransactions(
            clock, self.timers, config.max_transactions_per_source
        )
        self.notifier = Notifier(
            clock,
            self.timers,
            self._transports,
            self._may_reach,
            self._contact,
            self.sent_by,
            self._changed,
            max_per_account=config.max_subscriptions_per_line,
        )
        self._requests = self.notifier.requests
        self._authenticator = Authenticator(config.realm, clock, config.algorithms)
        self._packages: dict[str, EventPackage] = {}
        self._accounts: dict[str, Account] = {}
        self._by_username: dict[str, Account] = {}
        self._log = SourceLog(clock)
        self.guard = Guard(
            clock,
            config.allowed_networks,
            config.trusted_proxies,
            config.max_failures,
            limit=config.limit_messages,
        )
        self._domains = frozenset(plain_host(domain) for domain in config.domains)
        self._delayed: set[TransactionKey] = set()
        self._tag_key = secrets.token_bytes(16)
        # What `sent_by` returns, by transport and local address.
        self._sent_bys: dict[tuple[str, str], str] = {}
        # The Contact written last, and for what: a NOTIFY has that of the 200 before.
        self._contact_for: tuple[str, str, str] | None = None
        self._contact_text = ""
        self._observer: Observer | None = None
        # Passes messages to PBXs, once there is one.
        self.proxy: Proxy | None = None
        self._repeats = 0
        # Called when there is something new to remember; see `records`.
        self.on_change: Changed | None = None
        # Finds the account of a user that has none yet; for servers without a list.
        self.account_factory: Callable[[str], Account | None] | None = None

    # Life

    async def start(
        self,
        tls: ssl.SSLContext | None = None,
        memory: Memory | None = None,
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
            await self._restore(memory, grace)
        if self.proxy is not None:
            for record in passed:
                with _skipping():
                    self.proxy.location.restore(
                        record, self._transports.remembered_flow
                    )
        self._transports.listen()
        self.notifier.resume_remembered()

    async def stop(self) -> None:
        """Close all sockets and forget all dialogs, without a word to the phones."""
        self.notifier.stop()
        await self._transports.stop()
        self.timers.stop()

    async def records(self) -> Memory:
        """Return what is to be remembered, without holding the event loop."""
        memory = Memory(dialogs=[], bindings=[])
        for count, dialog in enumerate(self.notifier.records()):
            memory["dialogs"].append(dialog)
            if not count % MEMORY_SLICE:
                await asyncio.sleep(0)
        for count, account in enumerate(list(self._accounts.values())):
            memory["bindings"].extend(self.registrar.records(account))
            if not count % MEMORY_SLICE:
                await asyncio.sleep(0)
        return memory

    async def _restore(self, memory: Memory, grace: float) -> None:
        """Take back dialogs and bindings; a record that is no good is left out."""
        accounts = {account.id: account for account in self._accounts.values()}
        flow_of = self._transports.remembered_flow
        for count, dialog in enumerate(memory["dialogs"]):
            with _skipping():
                flow = flow_of(*flow_ends(dialog["flow"]))
                self.notifier.restore(dialog, flow, accounts, self._packages, grace)
                for subscription in dialog["subscriptions"]:
                    self._remember_source(accounts.get(subscription["line"]), flow)
            if not count % MEMORY_SLICE:
                await asyncio.sleep(0)
        for count, binding in enumerate(memory["bindings"]):
            account = accounts.get(binding["line"])
            if account is None:
                continue
            with _skipping():
                flow = flow_of(*flow_ends(binding["flow"]))
                self.registrar.restore(account, binding, flow, grace)
                self._remember_source(account, flow)
            if not count % MEMORY_SLICE:
                await asyncio.sleep(0)

    def _remember_source(self, account: Account | None, flow: Flow) -> None:
        """Know where a phone of an earlier run has logged in."""
        if account is not None:
            self.guard.succeeded(flow.remote[0], account.username)
            account.add_source(self.guard.standing(flow.remote[0]).source)

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
            "dialogs": self.notifier.dialogs,
            "subscriptions": sum(1 for _ in self.notifier),
            "bindings": sum(
                len(self.registrar.bindings(account))
                for account in self._accounts.values()
            ),
            "transactions_server": len(self._transactions),
            "transactions_client": len(self._requests),
            "retransmissions_received": self._repeats,
            "retransmissions_sent": self._requests.repeats,
            "challenges_delayed": len(self._delayed),
            "sources_shut_out": self.guard.shut_out_now,
            "sources_shut_out_total": self.guard.shut_outs,
        }

    def observe(self, observer: Observer) -> None:
        """Tell an observer what the server does from now on; there is one at a time."""
        self._observer = observer
        self._requests.on_sent = observer.sent

    # What is passed

    def add_pbx(self, config: PbxConfig, secret: bytes | None = None) -> Upstream:
        """Pass messages between phones and a PBX from now on.

        `secret` is what an earlier run had, so that calls and bindings go on.
        """
        if self.proxy is None:
            tokens = Tokens(secret or secrets.token_bytes(SECRET_SIZE))
            self.proxy = Proxy(
                self.clock, tokens, self, self._packages, self._bindings_changed
            )
        upstream = Upstream(config, self._transports.flow_from_here)
        self.proxy.add_upstream(upstream)
        return upstream

    def remove_pbx(self, pbx: str) -> None:
        """Stop passing messages to a PBX."""
        if self.proxy is not None:
            self.proxy.remove_upstream(pbx)

    def _bindings_changed(self) -> None:
        self._changed(urgent=True)

    def is_own(self, host: str, port: int | None, flow: Flow) -> bool:
        """Whether host and port of a URI are ours on the side of a flow."""
        if (port or default_port(flow.transport)) != self._port_of(flow):
            return False
        host = plain_host(host)
        return host == plain_host(flow.local[0]) or (
            self.config.advertised_host is not None
            and host == plain_host(self.config.advertised_host)
        )

    def send(self, data: bytes, flow: Flow) -> None:
        """Send a message that is passed. Raises FlowError."""
        self._send(data, flow)

    # What is served

    def add_package(self, package: EventPackage) -> None:
        """Serve an event package."""
        self._packages[package.name] = package

    def hash_password(self, username: str, password: str) -> Hashes:
        """Return what an account keeps of its password."""
        if not self.config.authenticate:
            return ()
        return self._authenticator.hash_password(username, password)

    def add_account(self, account: Account) -> None:
        """Serve a line. Raises ValueError where user or username is taken."""
        username = account.username
        if account.user in self._accounts:
            raise ValueError(f"User {account.user} is taken")
        if username in self._by_username:
            raise ValueError(f"Authentication name {username} is taken")
        self._accounts[account.user] = account
        self._by_username[username] = account
        self.guard.readmit_name(username)

    def claimed_account(self, username: str, user: str | None) -> Account | None:
        """Return the line of a username of credentials, else that of a user."""
        return self._by_username.get(username) or self._accounts.get(user or "")

    def change_account(
        self, account: Account, user: str, username: str, hashes: Hashes
    ) -> None:
        """Give a line another user, username or password; its dialogs stay.

        Raises ValueError where user or username is taken, and changes nothing then.
        """
        before = account.user, account.username, account.hashes
        self._drop(account)
        account.user, account.username, account.hashes = user, username, hashes
        try:
            self.add_account(account)
        except ValueError:
            account.user, account.username, account.hashes = before
            self.add_account(account)
            raise

    def remove_account(self, account: Account, reason: str) -> None:
        """Stop serving a line; its subscriptions end with `reason` (RFC 6665 4.1.3)."""
        self._drop(account)
        account.bindings = ()
        self.notifier.terminate(account, reason)

    def _drop(self, account: Account) -> None:
        del self._accounts[account.user]
        del self._by_username[account.username]

    # Coming in

    def receive(self, data: bytes, flow: Flow) -> float:
        """Take one message and return 0. Nothing that comes from outside raises.

        Where its source has sent more than it may, nothing is done; what is returned
        are the seconds after which a stream may offer the message again.
        """
        standing = self.guard.standing(flow.remote[0])
        if not standing.let_in:
            self._log.info(flow.remote[0], "Not let in")
            return 0.0
        # White space, a keepalive, NUL or STUN: not a letter of a start line.
        if data[:1] < b"!":
            data = data.lstrip(b"\r\n")
            if data[:1] < b"!":
                return 0.0
        answered = parse_plain_ok(data) if data[:4] == b"SIP/" else None
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
        if self._observer is not None:
            self._observer.received(data, flow)
        if self.proxy is not None and self.proxy.take(data, flow):
            return 0.0
        if answered is not None:
            self._requests.succeed(*answered)
            return 0.0
        self._receive_unread(data, flow)
        return 0.0

    def _is_pbx(self, flow: Flow) -> bool:
        """Whether a message comes from a PBX that is configured: it may send all."""
        return self.proxy is not None and any(
            upstream.is_source(flow) for upstream in self.proxy.upstreams.values()
        )

    def _receive_unread(self, data: bytes, flow: Flow) -> None:
        """Read a message, and answer it where it is a request."""
        try:
            message = parse(data)
        except NotSip as err:
            self._log.info(flow.remote[0], "Not SIP, dropped (%s)", err)
            return
        except SipError as err:
            if err.request is not None and err.request.method != "ACK":
                _mark_source(err.request, flow)
                self._refuse(err.request, flow, _method_first(err))
            return
        if isinstance(message, Response):
            self._requests.receive(message)
        elif message.method != "ACK":
            _mark_source(message, flow)
            self._receive_request(message, flow)

    def _lets_in(self, source: str) -> bool:
        if self.guard.lets_in(source):
            return True
        self._log.info(source, "Not let in")
        return False

    def _receive_request(self, request: Request, flow: Flow) -> None:
        """Answer a request; an error of ours is a 500 and no more (21.5.1)."""
        try:
            self._dispatch(request, flow)
        except SipError as err:
            self._refuse(request, flow, err)
        except FlowError as err:
            _LOGGER.debug("No answer to %s: %s", flow.remote[0], err.strerror)
        except Exception:
            _LOGGER.exception("Unexpected error in a %s", request.method)
            self._refuse(request, flow, SipError(500))

    def _dispatch(self, request: Request, flow: Flow) -> None:
        key = transaction_key(request)
        answer = self._transactions.answer_to(key)
        if answer is not None:
            self._repeats += 1
            self._send(answer, _answer_flow(request, flow))
        elif request.method == "OPTIONS":
            self._options(request, flow)
        elif request.method == "SUBSCRIBE":
            self._subscribe(request, key, flow)
        elif request.method == "REGISTER":
            self._register(request, key, flow)
        elif request.method == "CANCEL":
            self._cancel(request, flow)
        else:
            status = 405 if request.method in KNOWN_METHODS else 501
            raise SipError(status, None, (ALLOW,))

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
        if self._observer is not None:
            self._observer.received(data, flow)
        request: Request | Response | None = None
        try:
            request = parse(data)
        except SipError as err:
            request = err.request
        except NotSip:
            return
        if isinstance(request, Request) and request.method != "ACK":
            _mark_source(request, flow)
            self._refuse(request, flow, SipError(413))

    def _lost(self, flow: Flow) -> None:
        if self.proxy is not None:
            self.proxy.lost(flow)
        self.notifier.lost(flow)
        self._requests.lost(flow)

    def _unreachable(self, data: bytes) -> None:
        """Take a datagram of ours that ICMP sent back (RFC 3261 18.4)."""
        if self.proxy is not None:
            self.proxy.unreachable(data)
        start = data.find(b";branch=") + 8
        branch = data[start : data.find(b";", start)]
        self._requests.unreachable(branch.decode("latin-1"))

    # Methods

    def _cancel(self, request: Request, flow: Flow) -> None:
        """Answer a CANCEL, which changes nothing: answers are immediate (9.2)."""
        branch, host, port = request.via.branch, request.via.host, request.via.port
        for method in METHODS:
            if self._transactions.answer_to((branch, host, port, method)) is not None:
                self._reply(request, flow, 200)
                return
        raise SipError(481)

    def _options(self, request: Request, flow: Flow) -> None:
        """Tell what there is (RFC 3261 11.2); keepalives need no credentials."""
        self._check_scheme(request, flow)
        _check_require(request)
        packages = self._packages.values()
        fields = (
            ALLOW,
            f"Accept: {', '.join(package.accept for package in packages)}",
            "Accept-Encoding: identity",
            "Accept-Language: en",
            f"Allow-Events: {', '.join(self._packages)}",
            f"Supported: {', '.join(SUPPORTED)}",
        )
        self._reply(request, flow, 200, fields)

    def _register(self, request: Request, key: TransactionKey, flow: Flow) -> None:
        """Process a REGISTER (RFC 3261 10.3)."""
        account = self._admit(request, flow)
        if account is None:
            return
        try:
            self._check_scheme(request, flow)
            if self._domains:
                self._check_domain(request, flow)
            self._check_target(account, self._line_of_to(request))
            self._check_merged(request, key)
            _check_require(request)
            before = account.bindings
            fields = self.registrar.register(account, request, flow)
            if account.bindings is not before:
                self._changed(urgent=len(account.bindings) != len(before))
            self._reply(request, flow, 200, fields, key=key)
        except SipError as err:
            self._refuse(request, flow, err, key)
        self._heard(account, request, flow)

    def _subscribe(self, request: Request, key: TransactionKey, flow: Flow) -> None:
        """Process a SUBSCRIBE (RFC 6665 4.2.1)."""
        package, event_id = self._package_of(request)
        account = self._admit(request, flow)
        if account is None:
            return
        try:
            self._check_scheme(request, flow)
            if request.to_tag is None:
                self._open(request, key, flow, account, package, event_id)
            else:
                self._go_on(request, key, flow, account, package, event_id)
        except SipError as err:
            self._refuse(request, flow, err, key)
        self._heard(account, request, flow)

    def _open(
        self,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        account: Account,
        package: EventPackage,
        event_id: str | None,
    ) -> None:
        """Process an initial SUBSCRIBE."""
        if self._domains:
            self._check_domain(request, flow)
        self._check_target(account, self._line_of(request))
        self._check_merged(request, key)
        _check_require(request)
        seconds = self._expires(request)
        command = self._content(request, account, package)
        subscription = self.notifier.open(
            account, package, event_id, request, flow, fetch=not seconds
        )
        request.to_text = subscription.dialog.local
        self._accept(request, key, flow, subscription, seconds, command)

    def _go_on(
        self,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        account: Account,
        package: EventPackage,
        event_id: str | None,
    ) -> None:
        """Process a SUBSCRIBE in a dialog: a refresh, a change, the end."""
        dialog = self.notifier.find_dialog(request)
        if dialog is None:
            raise SipError(481)
        if dialog.subscriptions[0].account is not account:
            raise SipError(403, "Not your line")
        if request.cseq <= dialog.remote_cseq:
            raise SipError(500, "CSeq is not higher than before")
        subscription = _subscription_of(dialog, event_id)
        if subscription is None:
            if self._accounts.get(account.user) is not account:
                # The line has been removed; its dialogs end.
                raise SipError(481)
            self.notifier.check_room(account, dialog)
        elif subscription.ending is not None:
            raise SipError(481)
        _check_require(request)
        seconds = self._expires(request)
        try:
            command = self._content(request, account, package)
        except SipError as err:
            # The phone shows what it asked for: the full state sets its lamp right.
            dialog.remote_cseq = request.cseq
            self._refuse(request, flow, err, key)
            if subscription is not None:
                package.subscribed(subscription, None)
            return
        self.notifier.refresh(dialog, request, flow)
        if subscription is None:
            subscription = self.notifier.add(
                account, package, dialog, event_id, request
            )
        subscription.event = sys.intern(request.get("event") or subscription.event)
        self._accept(request, key, flow, subscription, seconds, command)

    def _accept(
        self,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        subscription: Subscription,
        seconds: int,
        command: object,
    ) -> None:
        """Answer a SUBSCRIBE with 200 and let the package tell the state."""
        self.notifier.extend(subscription, seconds)
        fields = [
            f"Expires: {seconds}",
            f"Contact: {self._contact(subscription.account.user, flow)}",
            f"Allow-Events: {subscription.package.name}",
        ]
        fields += [f"Record-Route: {route}" for route in request.lines("record-route")]
        self._reply(request, flow, 200, fields, key=key)
        subscription.package.subscribed(subscription, command)

    def _heard(self, account: Account, request: Request, flow: Flow) -> None:
        """Take note that a phone of a line is alive."""
        self.notifier.heard(account, request, flow)
        if self._observer is not None:
            self._observer.heard(account, request)

    def _may_reach(self, host: str, account: Account) -> bool:
        """Whether NOTIFYs of a line may go to an address, by the Route or Contact.

        It is a trusted proxy's, or one that phones of the line write from.
        """
        if self.guard.trusts(host):
            return True
        flows = [binding.flow for binding in account.bindings]
        flows += [item.dialog.flow for item in self.notifier.of(account)]
        known = any(plain_host(flow.remote[0]) == host for flow in flows)
        return known and self.guard.lets_in(host)

    # Checks

    def _admit(self, request: Request, flow: Flow) -> Account | None:
        """Return whose credentials a request carries; else challenge it."""
        if not self.config.authenticate:
            return self._vouched_for(request)
        address = flow.remote[0]
        standing = self.guard.standing(address)
        if standing.proxy:
            flow.greet()
            return self._vouched_for(request)
        verdict = self._authenticator.check(
            request,
            address,
            self._hashes_of,
            partial(self._judges, request, address) if self.guard.watchful else None,
        )
        if verdict.outcome is Outcome.RIGHT:
            account = self._by_username[verdict.username]
            flow.greet()
            self.guard.succeeded(address, verdict.username)
            if standing.source not in account.sources:
                account.add_source(standing.source)
            if self._transactions.is_full(address):
                raise SipError(503, "Too many requests", ("Retry-After: 32",))
            return account
        if verdict.outcome is Outcome.SHUT_OUT:
            self._log.info(address, "A user is shut out there after wrong passwords")
            return None
        stale = verdict.outcome is Outcome.STALE
        challenge = self._authenticator.challenge(request, address, stale=stale)
        if verdict.outcome is Outcome.WRONG:
            self._log.info(
                address,
                "Wrong user or password in a %s of %r",
                request.method,
                verdict.username,
            )
            if self._observer is not None:
                self._observer.turned_away(request, verdict.username, flow)
            delay = self.guard.failed(
                address, verdict.username, request.fields["authorization"]
            )
            if delay is None:
                return None
            if delay:
                self._challenge_later(delay, request, flow, challenge)
                return None
        self._reply(request, flow, 401, challenge)
        return None

    def _judges(self, request: Request, address: str, username: str) -> bool:
        """Whether credentials are looked at although something is shut out."""
        account = self._by_username.get(username)
        known = (
            account is not None
            and self.guard.standing(address).source in account.sources
        )
        if self.guard.judges(address, username, known=known):
            return True
        if account is None or request.to_tag is None:
            return False
        dialog = self.notifier.find_dialog(request)
        return (
            dialog is not None
            and dialog.subscriptions[0].account is account
            and self.guard.spares_dialog(address, username)
        )

    def _vouched_for(self, request: Request) -> Account:
        """Return the line of a request that a trusted proxy has let through."""
        account = None
        if request.to_tag is not None:
            dialog = self.notifier.find_dialog(request)
            if dialog is not None:
                account = dialog.subscriptions[0].account
        account = account or self._line_of(request)
        if account is None:
            raise SipError(404, "No such line")
        return account

    def _challenge_later(
        self, delay: float, request: Request, flow: Flow, challenge: tuple[str, ...]
    ) -> None:
        """Slow a guesser down; where many are being slowed down, stay silent."""
        key = transaction_key(request)
        if key in self._delayed or len(self._delayed) >= MAX_DELAYED:
            return

        def send() -> None:
            self._delayed.discard(key)
            with contextlib.suppress(FlowError):
                self._reply(request, flow, 401, challenge)

        self._delayed.add(key)
        self.timers.after(delay, send)

    def _hashes_of(self, username: str) -> Hashes | None:
        account = self._by_username.get(username)
        if account is None and self.account_factory is not None:
            account = self.account_factory(username)
        return None if account is None else account.hashes

    def _line_of(self, request: Request) -> Account | None:
        """Return the line of an initial request: by Request-URI, else by To."""
        user = request.plain_user
        if user is None:
            user = _target_of(request).user
        account = self._find_account(user)
        return account or self._line_of_to(request)

    def _line_of_to(self, request: Request) -> Account | None:
        try:
            uri = parse_uri(parse_address(request.fields["to"]).uri)
        except HeaderError as err:
            raise SipError(400, f"To: {err}") from err
        return self._find_account(uri.user)

    def _find_account(self, user: str) -> Account | None:
        account = self._accounts.get(user)
        if account is None and self.account_factory is not None:
            account = self.account_factory(user)
        return account

    @staticmethod
    def _check_target(account: Account, target: Account | None) -> None:
        """Refuse whoever asks for no line, or another than his own."""
        if target is None:
            raise SipError(404, "No such line")
        if target is not account:
            raise SipError(403, "Not your line")

    @staticmethod
    def _check_scheme(request: Request, flow: Flow) -> None:
        """Refuse a Request-URI that is not for this server (RFC 3261 8.2.2.1)."""
        if request.plain_user is not None:
            return
        uri = _target_of(request)
        if not uri.is_sip or (uri.scheme == "sips" and flow.transport != "TLS"):
            raise SipError(416)

    def _check_domain(self, request: Request, flow: Flow) -> None:
        """Refuse a Request-URI of none of the domains (RFC 3261 8.2.2.1, 10.3).

        In a dialog it is our own Contact, which need not be of any.
        """
        host = plain_host(_target_of(request).host)
        if host not in self._domains:
            self._log.info(flow.remote[0], "No such domain: %s", host)
            raise SipError(404, "No such domain")

    def _check_merged(self, request: Request, key: TransactionKey) -> None:
        if self._transactions.is_merged(request, key):
            raise SipError(482, "Merged Request")

    def _package_of(self, request: Request) -> tuple[EventPackage, str | None]:
        """Return the event package and the id of a request's Event (RFC 6665 8.2.1).

        In any case of letters, as phones have it.
        """
        value = request.fields.get("event", "")
        name, _, parameters = value.partition(";")
        package = self._packages.get(name.strip(" \t").lower())
        if package is None:
            allowed = f"Allow-Events: {', '.join(self._packages)}"
            raise SipError(489, None, (allowed,))
        if not parameters:
            return package, None
        try:
            return package, parse_parameters(parameters).get("id")
        except HeaderError as err:
            raise SipError(400, f"Event: {err}") from err

    def _expires(self, request: Request) -> int:
        """Return the seconds that a SUBSCRIBE gets (RFC 6665 4.2.1.1)."""
        seconds = parse_expires(request.fields.get("expires"), DEFAULT_EXPIRES)
        if 0 < seconds < self.config.min_expires:
            minimum = f"Min-Expires: {self.config.min_expires}"
            raise SipError(423, None, (minimum,))
        return min(seconds, self.config.max_expires)

    @staticmethod
    def _content(request: Request, account: Account, package: EventPackage) -> object:
        """Understand the body, if there is one (RFC 3261 8.2.3). Raises SipError."""
        if not request.body.strip():
            return None
        disposition = (request.get("content-disposition") or "").lower()
        optional = "handling=optional" in disposition.replace(" ", "")
        encoding = (request.get("content-encoding") or "identity").lower()
        if encoding != "identity":
            if optional:
                return None
            raise SipError(415, None, ("Accept-Encoding: identity",))
        content_type = (request.get("content-type") or "").partition(";")[0]
        if not package.takes(content_type.strip(" \t").lower()):
            if optional:
                return None
            raise SipError(415, None, (f"Accept: {package.accept}",))
        return package.parse(account, request.body)

    # Going out

    def _refuse(
        self,
        request: Request,
        flow: Flow,
        err: SipError,
        key: TransactionKey | None = None,
    ) -> None:
        try:
            self._reply(request, flow, err.status, err.fields, err.reason, key)
        except FlowError as error:
            _LOGGER.debug("No answer to %s: %s", flow.remote[0], error.strerror)

    def _reply(
        self,
        request: Request,
        flow: Flow,
        status: int,
        fields: tuple[str, ...] | list[str] = (),
        reason: str | None = None,
        key: TransactionKey | None = None,
    ) -> None:
        """Send a final answer. Raises FlowError where there is no key.

        A key is that of a request that was let in: its answer is kept for
        retransmissions, and finds another way where a connection is gone.
        """
        if request.to_tag is None and request.to_text == request.fields.get("to"):
            request.to_text += f";tag={self._stateless_tag(request)}"
        answer = request.answer(status, fields, reason=reason)
        if key is not None:
            self._transactions.keep(request, key, answer, flow)
        try:
            self._send(answer, _answer_flow(request, flow))
        except FlowError as err:
            if key is None:
                raise
            self._send_anew(request, answer, flow, err)

    def _send_anew(
        self, request: Request, answer: bytes, flow: Flow, err: FlowError
    ) -> None:
        """Send an answer whose connection is gone to the port of the Via (18.2.2).

        Only to who was let in: nobody else has connections opened. What the answer is
        about has happened, so where there is no way the answer alone is dropped.
        """
        host = flow.remote[0]
        if flow.reliable:
            port = request.via.port or default_port(flow.transport)
            try:
                way = self._transports.flow_to(flow.transport, host, port, flow)
                self._send(answer, way)
            except FlowError as again:
                err = again
            else:
                return
        _LOGGER.debug("No answer to %s: %s", host, err.strerror)

    def _send(self, answer: bytes, flow: Flow) -> None:
        """Send an answer. Raises FlowError."""
        flow.send(answer)
        if self._observer is not None:
            self._observer.sent(answer, flow)

    def _stateless_tag(self, request: Request) -> str:
        """Return a To tag that a retransmission gets again (RFC 3261 8.2.7)."""
        text = f"{request.via.branch}\n{request.call_id}\n{request.from_tag}"
        octets = text.encode("latin-1")
        return hashlib.blake2s(octets, key=self._tag_key, digest_size=8).hexdigest()

    def sent_by(self, flow: Flow) -> str:
        """Return our host and port for Via (RFC 3261 18.1.1)."""
        key = flow.transport, flow.local[0]
        sent_by = self._sent_bys.get(key)
        if sent_by is None:
            host = self.config.advertised_host or flow.local[0]
            sent_by = f"{bracketed(host)}:{self._port_of(flow)}"
            self._sent_bys[key] = sent_by
        return sent_by

    def _contact(self, user: str, flow: Flow) -> str:
        """Return our Contact for a line: where the phone reached us (12.1.1)."""
        wanted = user, flow.transport, flow.local[0]
        if wanted != self._contact_for:
            self._contact_for = wanted
            self._contact_text = contact_uri(user, self.sent_by(flow), flow.transport)
        return self._contact_text

    def _port_of(self, flow: Flow) -> int:
        """Return the port where phones reach this server over a transport.

        The advertised port is one of UDP and TCP; TLS has its own.
        """
        if flow.transport == "TLS":
            return self.tls_port
        return self.config.advertised_port or self.port


@contextlib.contextmanager
def _skipping() -> Iterator[None]:
    """Leave out a record of an earlier run that cannot be understood."""
    try:
        yield
    except (FlowError, KeyError, TypeError, ValueError) as err:
        _LOGGER.warning("A remembered phone is left out: %s", err)


def _method_first(err: SipError) -> SipError:
    """Return the error that a malformed request gets: 501 where the method is unknown.

    The method is inspected before all else (RFC 3261 8.2.1).
    """
    method = "" if err.request is None else err.request.method
    known = method in METHODS or method in KNOWN_METHODS or method == "CANCEL"
    if err.status != 400 or known or not is_token(method):
        return err
    return SipError(501, None, (ALLOW,))


def _target_of(request: Request) -> Uri:
    """Return the Request-URI. Raises SipError."""
    try:
        return request.target
    except HeaderError as err:
        raise SipError(400, f"Request-URI: {err}") from err


def _check_require(request: Request) -> None:
    """Refuse extensions that are required and not there (RFC 3261 8.2.2.3)."""
    if "require" not in request.fields:
        return
    unknown = [tag for tag in request.tokens("require") if tag not in SUPPORTED]
    if unknown:
        raise SipError(420, None, (f"Unsupported: {', '.join(unknown)}",))


def _subscription_of(dialog: Dialog, event_id: str | None) -> Subscription | None:
    for subscription in dialog.subscriptions:
        if subscription.event_id == event_id:
            return subscription
    return None


def _mark_source(request: Request, flow: Flow) -> None:
    """Write into the top Via where the request came from (18.2.1, RFC 3581 4)."""
    via = request.via
    host, port = flow.remote
    wants_port = "rport" in via.parameters
    if not wants_port and unbracketed(via.host) == host:
        return
    text = request.via_text
    end = text.find("\n")
    line, others = (text, "") if end < 0 else (text[:end], text[end:])
    if "," in line:
        line, *more = split_list(line)
        others = "".join(f"\n{value}" for value in more) + others
    if "received" in via.parameters:
        line = _RECEIVED.sub("", line)
    if wants_port:
        plain = line.endswith(";rport")
        line = line.removesuffix(";rport") if plain else _RPORT.sub("", line)
        request.via_text = f"{line};rport={port};received={host}{others}"
    else:
        request.via_text = f"{line};received={host}{others}"


def _answer_flow(request: Request, flow: Flow) -> Flow:
    """Return where an answer goes (18.2.2): to rport, else to the port of the Via.

    maddr is ignored: it would let anyone point our answers at others.
    """
    if not isinstance(flow, UdpFlow) or "rport" in request.via.parameters:
        return flow
    port = request.via.port or DEFAULT_PORT
    return flow if port == flow.remote[1] else flow.towards(flow.remote[0], port)
