"""A server without sockets, for what needs thousands of messages."""

from typing import override

from custom_components.dfks.sip import Experiment
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.transport.flow import Flow
from tests.clock import ManualClock
from tests.loopback import PASSWORDS, loopback_config

from .echo import Echo

HERE = ("10.0.0.1", 5060)


class Wire(Flow):
    """The way to a peer that keeps what it is sent."""

    def __init__(self, host: str, *, reliable: bool = False) -> None:
        """Lead to port 5060 of a host."""
        self.transport = "TCP" if reliable else "UDP"
        self.reliable = reliable
        self.remote = (host, 5060)
        self.local = HERE
        self.sent: list[bytes] = []

    @property
    @override
    def closed(self) -> bool:
        return False

    @override
    def send(self, data: bytes) -> None:
        self.sent.append(data)


def build(clock: ManualClock) -> tuple[SipServer, Echo]:
    """Return a server that is not started, with the lines 201 and 202."""
    config = loopback_config(
        experiment=Experiment(authenticate=False, limit_messages=False)
    )
    server = SipServer(config, clock)
    echo = Echo(server)
    for user in PASSWORDS:
        echo.add_line(user)
    return server, echo
