"""What a server tells about its work to whoever wants to show it."""

from typing import Protocol

from ..access.accounts import Account
from ..transport.flow import Flow
from ..wire.message import Request


class MessageObserver(Protocol):
    """Sees every message. It stands in the receive path: quick, never raising."""

    def received(self, data: bytes, flow: Flow) -> None:
        """Take note of a message as it came in, whatever is in it."""

    def sent(self, data: bytes, flow: Flow) -> None:
        """Take note of a message that went out."""


class PhoneObserver(Protocol):
    """Hears of phones. It stands in the receive path: quick, never raising."""

    def heard(self, account: Account, request: Request) -> None:
        """Take note of a request of a line's phone, after it was answered."""

    def turned_away(self, request: Request, username: str, flow: Flow) -> None:
        """Take note of a request with wrong credentials, or those of nobody.

        The sender has answered a challenge, so its address is its own.
        """
