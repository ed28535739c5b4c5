"""The proxy of a server, and what the two ask of each other.

Lines at a PBX are accounts like those that are registered here. What the PBX has
accepted takes the place of the password (`access.proven`), and the flow of the newest
REGISTER is the way of their NOTIFYs.
"""

from collections.abc import Callable, Iterator, Mapping
import secrets
import ssl

from .access.accounts import Accounts
from .access.guard import Guard
from .addresses import OwnAddresses
from .clock import Clock, Timers
from .proxy.core import Proxy
from .proxy.location import ProxyBinding, ProxyBindingRecord
from .proxy.pbx import PbxConfig, Upstream
from .proxy.tokens import SECRET_SIZE, Tokens
from .transaction.client import ClientTransactions
from .transport.flow import Flow
from .transport.layer import Transports
from .transport.resolver import Resolver, SystemResolver
from .ua.dialog import EventPackage
from .ua.dialog_flows import DialogFlows
from .wire.headers import HeaderError, plain_host
from .wire.message import Request

# Hosts of REGISTERs that are remembered as those of a PBX that could be configured.
MAX_DOMAINS = 32


class Passing:
    """Has messages passed between phones and PBXs, once there is a PBX."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        transports: Transports,
        addresses: OwnAddresses,
        accounts: Accounts,
        dialog_flows: DialogFlows,
        guard: Guard,
        packages: Mapping[str, EventPackage],
        own_domains: tuple[str, ...],
        requests: ClientTransactions,
        send: Callable[[bytes, Flow], None],
        changed: Callable[[], None],
    ) -> None:
        """Pass nothing yet.

        `packages` are answered here, and so are REGISTERs for `own_domains`. What the
        proxy asks of phones becomes one of `requests`. `changed` is called when there
        is a binding to remember.
        """
        self._timers = timers
        self._transports = transports
        self.run = transports.run
        self.is_near = guard.is_near
        self.flow_from_here = transports.flow_from_here
        self.uplink = transports.uplink
        self._accounts = accounts
        self._dialog_flows = dialog_flows
        self._guard = guard
        self._own_domains = frozenset(map(plain_host, own_domains))
        tokens = Tokens(secrets.token_bytes(SECRET_SIZE))
        self.sent_by = addresses.sent_by
        self.is_own = addresses.is_own
        self.send = send
        self.proxy = Proxy(clock, timers, tokens, self, packages, requests, changed)
        # Newest last; and the Request-URIs that have been looked at.
        self._domains: dict[str, None] = {}
        self._judged: set[str] = set()
        self._running = False
        self.resolver: Resolver = SystemResolver()

    # PBXs

    def start(self) -> None:
        """Reach for the PBXs; the sockets listen by now."""
        self._running = True
        for upstream in self.proxy.upstreams.values():
            upstream.start()

    def stop(self) -> None:
        """Give the ways to the PBXs up."""
        self._running = False
        for upstream in self.proxy.upstreams.values():
            upstream.stop()

    def add(
        self,
        config: PbxConfig,
        secret: bytes | None,
        tls: ssl.SSLContext | None,
    ) -> Upstream:
        """Pass messages between phones and a PBX from now on. Raises ValueError."""
        upstream = Upstream(config, self, self._timers, self.resolver, self, tls)
        if secret is not None:
            self.proxy.use_secret(secret)
        self.proxy.add_upstream(upstream)
        if self._running:
            upstream.start()
        self._domains = {
            host: None for host in self._domains if not upstream.serves(host, None)
        }
        self._judged.clear()
        self.moved()
        return upstream

    def remove(self, pbx: str) -> None:
        """Stop passing messages to a PBX."""
        self.proxy.remove_upstream(pbx)
        self._judged.clear()
        self.moved()

    # What becomes of a PBX

    def moved(self) -> None:
        """Let in the addresses of the PBXs that are configured."""
        self._guard.allow_pbxs(
            frozenset(
                host
                for upstream in self.proxy.upstreams.values()
                for host, _ in upstream.addresses
            )
        )

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Tell of a PBX that stops answering, or answers again."""
        if self.proxy.observer is not None:
            self.proxy.observer.reachable_changed(pbx, reachable=reachable)

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Tell of a PBX whose certificate is not good, or not the pinned one."""
        if self.proxy.observer is not None:
            self.proxy.observer.certificate_refused(pbx, reason, fingerprint)

    def undelivered(self, data: bytes) -> None:
        """Answer a request that could not be sent to a PBX."""
        self.proxy.unreachable(data)

    # Bindings

    def accepted(self, binding: ProxyBinding, before: ProxyBinding | None) -> None:
        """Take a binding that a PBX has accepted, and what it was before.

        Its phone has shown that it knows the password.
        """
        flow = binding.flow
        flow.mark_authenticated()
        self._guard.mark_authenticated(flow.remote[0])
        account = self._accounts.at_pbx(binding.pbx, binding.user)
        if account is not None and before is not None and before.flow is not flow:
            self._dialog_flows.follow(account, before.flow, flow)

    def restore(self, record: ProxyBindingRecord) -> None:
        """Take back a binding of an earlier run.

        Raises KeyError, TypeError, ValueError or FlowError.
        """
        location = self.proxy.location
        binding = location.restore(record, self._transports.remembered_flow)
        if binding is not None:
            self._guard.mark_authenticated(binding.flow.remote[0])

    # Domains

    def note_domain(self, request: Request, flow: Flow) -> None:
        """Remember the host of a REGISTER that is neither ours nor a PBX's.

        It is what the user may want to configure: the phone has named its PBX.
        """
        if request.uri in self._judged:
            return
        if len(self._judged) >= MAX_DOMAINS:
            self._judged.clear()
        self._judged.add(request.uri)
        try:
            uri = request.target
        except HeaderError:
            return
        host = plain_host(uri.host)
        if (
            not uri.is_sip
            or host in self._own_domains
            or self.is_own(host, uri.port, flow)
            or self.proxy.is_at_pbx(uri, flow)
        ):
            return
        self._domains.pop(host, None)
        self._domains[host] = None
        if len(self._domains) > MAX_DOMAINS:
            del self._domains[next(iter(self._domains))]
        if self.proxy.observer is not None:
            self.proxy.observer.domain_seen(host)

    def seen_domains(self) -> Iterator[str]:
        """Return the hosts that phones have named as their PBX, the newest first."""
        return iter(reversed(self._domains))
