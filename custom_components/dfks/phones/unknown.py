"""Phones that tried to register and are not known; adding their line lets them in.

Whoever can reach the listener can try, so the list is short, holds each user once
and few of one address, and takes only what can be the user of a phone. An address that
is made up does not get in: only who has answered a challenge counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ..features.display import printable
from ..sip import Flow, Request
from .identifiers import is_user

# Phones in the list, and of one address: behind one address there may be a few.
MAX_UNKNOWN_PHONES: Final = 20
MAX_PER_ADDRESS: Final = 5

# Characters of a user, and of the name that a phone gives itself.
MAX_USER: Final = 32
MAX_USER_AGENT: Final = 80


@dataclass(frozen=True, slots=True)
class UnknownPhone:
    """A phone that was turned away: who it wants to be, and what it is.

    All of it comes from outside: `user` and `user_agent` are printable and of a sane
    length, and no more is known of them.
    """

    user: str
    address: str
    user_agent: str


class UnknownPhones:
    """The phones that tried last, by the user that they want to be."""

    def __init__(
        self,
        on_noted: Callable[[UnknownPhone], None] = lambda _: None,
        on_known: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Start with none.

        `on_noted` is called for each phone that tries, `on_known` for each user who has
        a line from then on.
        """
        self._on_noted = on_noted
        self._on_known = on_known
        self._unknown_phones: dict[str, UnknownPhone] = {}

    def __len__(self) -> int:
        """Return the number of phones."""
        return len(self._unknown_phones)

    def __iter__(self) -> Iterator[UnknownPhone]:
        """Yield the phones, those first that tried last."""
        return reversed(self._unknown_phones.values())

    def note(self, request: Request, flow: Flow) -> None:
        """Take note of a request that was turned away."""
        user = request.to_user
        if user is None or len(user) > MAX_USER or not is_user(user):
            return
        address = flow.remote[0]
        self._unknown_phones.pop(user, None)
        self._make_room(address)
        phone = UnknownPhone(
            user, address, shown_user_agent(request.text("user-agent"))
        )
        self._unknown_phones[user] = phone
        self._on_noted(phone)

    def of(self, user: str) -> UnknownPhone | None:
        """Return the phone that wants to be this user, if there is one."""
        return self._unknown_phones.get(user)

    def take(self, user: str) -> str | None:
        """Take a phone off the list, for there is a line; return its address, if any."""
        self._on_known(user)
        phone = self._unknown_phones.pop(user, None)
        return phone.address if phone is not None else None

    def _make_room(self, address: str) -> None:
        of_address = [
            phone.user
            for phone in self._unknown_phones.values()
            if phone.address == address
        ]
        if len(of_address) >= MAX_PER_ADDRESS:
            del self._unknown_phones[of_address[0]]
        elif len(self._unknown_phones) >= MAX_UNKNOWN_PHONES:
            del self._unknown_phones[next(iter(self._unknown_phones))]


def shown_user_agent(text: str | None) -> str:
    """Return what can be shown of the name that a phone gives itself."""
    return printable(text or "", MAX_USER_AGENT)
