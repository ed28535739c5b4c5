"""What a proxy asks of the sockets."""

from collections.abc import Coroutine
from typing import Protocol

from ..transport.flow import Flow
from ..transport.peer_certificate import CertificateCheck
from ..transport.uplink import Uplink, UplinkEvents


class Network(Protocol):
    """Finds the ways to PBXs."""

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine in the background."""

    def is_near(self, host: str) -> bool:
        """Whether an address is in the networks of the phones."""

    def flow_from_here(self, host: str, port: int) -> Flow:
        """Return a UDP flow to an address. Raises FlowError."""

    def uplink(
        self,
        host: str,
        port: int,
        events: UplinkEvents,
        tls: CertificateCheck | None = None,
    ) -> Uplink:
        """Return a way to an address over a connection of ours. Raises FlowError."""
