"""What a proxy asks of the server that it is part of, and what it tells others."""

from typing import Protocol

from ..transport.flow import Flow
from .location import ProxyBinding


class ProxyObserver(Protocol):
    """Told what is learned from passed messages. Quick, never raising."""

    def registered(self, binding: ProxyBinding) -> None:
        """Take a binding that the PBX has accepted, or accepted again.

        Its phone may be of a line that nobody has added yet.
        """

    def unregistered(self, binding: ProxyBinding) -> None:
        """Take a binding that its phone has ended, or has not refreshed in time."""

    def password_refused(self, pbx: str, user: str, source: str) -> None:
        """Hear of a phone whose REGISTERs are answered here from now on."""

    def reachable_changed(self, pbx: str, *, reachable: bool) -> None:
        """Hear of a PBX that stops answering, or answers again."""

    def synchronizes_keys(self, pbx: str) -> None:
        """Hear of a PBX that turns out to synchronize the keys itself."""

    def certificate_refused(
        self, pbx: str, reason: str | None, fingerprint: str
    ) -> None:
        """Hear of a PBX that is not connected to because of its certificate.

        `reason` is None for a certificate other than the one that is pinned.
        """

    def reached(self, binding: ProxyBinding) -> None:
        """Hear of a request of a PBX that is passed to a phone."""

    def domain_seen(self, host: str) -> None:
        """Hear of a host that a phone registers at and that nobody has configured."""


class Site(Protocol):
    """What a proxy asks of the server that it is part of."""

    def sent_by(self, flow: Flow) -> str:
        """Return our host and port on a flow, as they stand in a Via."""

    def is_own(self, host: str, port: int | None, flow: Flow) -> bool:
        """Whether host and port of a URI are ours on the side of a flow."""

    def send(self, data: bytes, flow: Flow) -> None:
        """Send a message. Raises FlowError."""

    def accepted(self, binding: ProxyBinding, before: ProxyBinding | None) -> None:
        """Take a binding that a PBX has accepted, and what it was before."""
