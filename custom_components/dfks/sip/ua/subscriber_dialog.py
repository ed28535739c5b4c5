"""What is subscribed to at a server, and the dialog of it, subscriber's side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from ..transport.flow import Flow, transport_parameter
from ..wire.headers import bracketed, encode_user
from .exchange import Agent

# Seconds asked for.
EXPIRES: Final = 3600


class Way(NamedTuple):
    """What lines at one server share: the same for all that connect to it alike."""

    host: str
    port: int | None
    transport: str
    # Of the only certificate that is accepted; None: it is checked against the host.
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberConfig:
    """What is configured of a line at a server. `id` stays when all else changes.

    host, port       the server; without a port its transport's own, or by SRV
    domain           what stands behind the @ of the line, where it is not `host`
    proxy            host and port that everything is sent to in place of the server
    register         whether the line is registered as well
    fingerprint      of the server's certificate, where that is pinned
    """

    id: str
    user: str
    username: str
    password: str = field(repr=False)
    host: str
    port: int | None = None
    transport: str = "UDP"
    domain: str | None = None
    proxy: tuple[str, int | None] | None = None
    register: bool = False
    fingerprint: str | None = None

    @property
    def way(self) -> Way:
        """What is connected to, and by what its certificate is known."""
        host, port = self.proxy or (self.host, self.port)
        return Way(host, port, self.transport, self.fingerprint)

    @property
    def server_uri(self) -> str:
        """The Request-URI of a REGISTER, and the end of that of a SUBSCRIBE."""
        if self.domain:
            return bracketed(self.domain)
        host = bracketed(self.host)
        return f"{host}:{self.port}" if self.port else host

    @property
    def uri(self) -> str:
        """The line, as a request is addressed to it."""
        return f"sip:{encode_user(self.user)}@{self.server_uri}"

    @property
    def address(self) -> str:
        """The address-of-record of the line, which has no port (RFC 3261 19.1.1)."""
        host = bracketed(self.domain or self.host)
        return f"sip:{encode_user(self.user)}@{host}"

    def routes(self) -> tuple[str, ...]:
        """Return the route set of a request outside of dialogs (RFC 3261 8.1.2)."""
        if self.proxy is None:
            return ()
        host, port = self.proxy
        end = f":{port}" if port else ""
        parameter = transport_parameter(self.transport)
        return (f"<sip:{bracketed(host)}{end}{parameter};lr>",)


class Package(Protocol):
    """What is subscribed to."""

    event: str
    # The media types of NOTIFYs, for Accept, and of what is asked for.
    accept: str
    content_type: str


@dataclass(slots=True, eq=False)
class SubscriberDialog:
    """A dialog of a subscription (RFC 3261 12), and a draft of its SUBSCRIBEs."""

    config: SubscriberConfig
    package: Package
    agent: Agent
    call_id: str
    tag: str
    # Seconds that are asked for, and the body.
    expires: int = EXPIRES
    body: bytes = b""
    remote_tag: str | None = None
    target: str = ""
    routes: Sequence[str] = ()
    cseq: int = 0
    remote_cseq: int = -1
    # Whether a NOTIFY has come, and when the subscription ends.
    confirmed: bool = False
    # Whether one has come since the last SUBSCRIBE.
    notified: bool = False
    expires_at: float | None = None
    method: str = "SUBSCRIBE"

    def start(self) -> str:
        """Return the Request-URI: the target, once there is one (12.2.1.1)."""
        return self.target or self.config.uri

    def write(self, flow: Flow) -> tuple[Sequence[str], bytes]:
        """Write a SUBSCRIBE with the next CSeq."""
        self.cseq += 1
        config, package = self.config, self.package
        remote = f";tag={self.remote_tag}" if self.remote_tag is not None else ""
        lines = [
            *(f"Route: {route}" for route in self.routes),
            f"From: <{config.address}>;tag={self.tag}",
            f"To: <{config.address}>{remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.cseq} SUBSCRIBE",
            f"Contact: {self.agent.contact(config.user, flow)}",
            f"Event: {package.event}",
            f"Expires: {self.expires}",
            f"Accept: {package.accept}",
            f"Allow-Events: {package.event}",
        ]
        if self.body:
            lines.append(f"Content-Type: {package.content_type}")
        return lines, self.body
