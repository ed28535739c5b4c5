"""Phones that knocked and are not known: when their line is added, they are let in.

Whoever can reach the listener can knock, so the list is short, holds each user once
and few of one address, and takes only what can be the user of a phone. An address that
is made up does not get in: only who has answered a challenge has knocked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..sip.transport.flow import Flow
from ..sip.wire.message import Request
from .identifiers import is_user, printable

# Phones in the list, and of one address: behind one address there may be a few.
MAX_KNOCKS: Final = 20
MAX_PER_ADDRESS: Final = 5

# Characters of a user, and of the name that a phone gives itself.
MAX_USER: Final = 32
MAX_USER_AGENT: Final = 80


@dataclass(frozen=True, slots=True)
class Knock:
    """A phone that was turned away: who it wants to be, and what it is.

    All of it comes from outside: `user` and `user_agent` are printable and of a sane
    length, and no more is known of them.
    """

    user: str
    address: str
    user_agent: str


class Knocks:
    """The phones that knocked last, by the user that they want to be."""

    def __init__(self) -> None:
        """Start with none."""
        self._knocks: dict[str, Knock] = {}

    def __len__(self) -> int:
        """Return the number of phones."""
        return len(self._knocks)

    def __iter__(self) -> Iterator[Knock]:
        """Yield the phones, those first that knocked last."""
        return reversed(self._knocks.values())

    def note(self, request: Request, flow: Flow) -> None:
        """Take note of a request that was turned away."""
        user = request.to_user
        if user is None or len(user) > MAX_USER or not is_user(user):
            return
        address = flow.remote[0]
        self._knocks.pop(user, None)
        self._make_room(address)
        self._knocks[user] = Knock(
            user, address, shown_user_agent(request.text("user-agent"))
        )

    def of(self, user: str) -> Knock | None:
        """Return the phone that wants to be this user, if there is one."""
        return self._knocks.get(user)

    def take(self, user: str) -> str | None:
        """Take a phone off the list; return its address if it was there."""
        knock = self._knocks.pop(user, None)
        return knock.address if knock is not None else None

    def _make_room(self, address: str) -> None:
        of_address = [
            knock.user for knock in self._knocks.values() if knock.address == address
        ]
        if len(of_address) >= MAX_PER_ADDRESS:
            del self._knocks[of_address[0]]
        elif len(self._knocks) >= MAX_KNOCKS:
            del self._knocks[next(iter(self._knocks))]


def shown_user_agent(text: str | None) -> str:
    """Return what can be shown of the name that a phone gives itself."""
    return printable(text or "", MAX_USER_AGENT)
