"""Our own addresses, as they stand in Via, Contact and Record-Route."""

from typing import Protocol

from .transport.flow import Flow, transport_parameter
from .wire.headers import bracketed, default_port, encode_user, plain_host


class Ports(Protocol):
    """The ports that are bound."""

    port: int
    tls_port: int


class OwnAddresses:
    """Where peers reach this server, seen from a flow."""

    def __init__(
        self, ports: Ports, advertised_host: str | None, advertised_port: int | None
    ) -> None:
        """Use what is advertised in place of what is bound.

        The advertised port is one of UDP and TCP; TLS has its own where it is served.
        """
        self._ports = ports
        self._advertised_host = advertised_host
        self._advertised_port = advertised_port
        # What `sent_by` returns, by transport and local address.
        self._sent_bys: dict[tuple[str, str], str] = {}
        # The Contact written last, and for what: a NOTIFY has that of the 200 before.
        self._contact_for: tuple[str, str, str] | None = None
        self._contact_text = ""

    def sent_by(self, flow: Flow) -> str:
        """Return our host and port for Via (RFC 3261 18.1.1)."""
        key = flow.transport, flow.local[0]
        sent_by = self._sent_bys.get(key)
        if sent_by is None:
            host = self._advertised_host or flow.local[0]
            sent_by = f"{bracketed(host)}:{self._port_of(flow)}"
            self._sent_bys[key] = sent_by
        return sent_by

    def contact(self, user: str, flow: Flow) -> str:
        """Return our Contact for a line: where the phone reached us (12.1.1).

        Plain, and unique to this server (RFC 6665 4.5.1).
        """
        wanted = user, flow.transport, flow.local[0]
        if wanted != self._contact_for:
            self._contact_for = wanted
            self._contact_text = (
                f"<sip:{encode_user(user)}@{self.sent_by(flow)}"
                f"{transport_parameter(flow.transport)}>"
            )
        return self._contact_text

    def is_own(self, host: str, port: int | None, flow: Flow) -> bool:
        """Whether host and port of a URI are ours on the side of a flow."""
        if (port or default_port(flow.transport)) != self._port_of(flow):
            return False
        local = flow.local[0]
        if host == local:
            return True
        host = plain_host(host)
        return host == plain_host(local) or (
            self._advertised_host is not None
            and host == plain_host(self._advertised_host)
        )

    def _port_of(self, flow: Flow) -> int:
        if flow.transport == "TLS" and self._ports.tls_port:
            return self._ports.tls_port
        return self._advertised_port or self._ports.port
