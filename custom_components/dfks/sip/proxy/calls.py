"""The calls that pass, followed for the lines that somebody watches.

Nothing is kept of a call of any other line, and a call is passed the same whether it is
followed or not: no transaction is kept, nothing is sent, nothing waits.

What is followed is a *leg*: the part of a call that one phone has, found again by its
Call-ID and the token of the phone's binding. Its responses are found by the branch that
the request was passed with (`tokens`), whichever way they come.

    INVITE                    the leg is there, and waits for an answer
    101 to 199                rings; of an outgoing call 100 too
    2xx                       answered; it ends with its session (RFC 4028) or late. It
                              rings before that, unless it replaces another call
    401, 407                  the phone asks again: the leg waits on
    other final response      over
    CANCEL                    the leg ends soon, whether its 487 passes or not
    connection of the phone   what rings there is over, unless the phone comes back for
    gone                      it; a call that is answered goes on
    BYE, from either side     over
    re-INVITE of the phone    2xx: on hold, or no longer (RFC 3264 8.4)
    481, 408 in the dialog    over (RFC 3261 12.2.1.2)

A message that comes again, or too late, changes nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
import logging
import re
from typing import Protocol

from ..clock import Clock
from ..wire.headers import HeaderError, known_uri, number, parse_address
from ..wire.splice import PassedMessage
from .location import LineKey, ProxyBinding
from .policy import Redirect, Reject

_LOGGER = logging.getLogger(__name__)

# Legs that are followed at a time.
MAX_LEGS = 256

# Requests whose answers are waited for at a time.
MAX_ASKED = 1024

# Seconds that a leg is kept: while no answer has come (64*T1), after a CANCEL (which is
# sent four times within it), while it rings (longer than Timer C, RFC 3261 16.6, 11), and
# once it is answered where no session time says so.
ASKED_TIME = 32.0
CANCELLED_TIME = 10.0
RINGING_TIME = 190.0
TALKING_TIME = 12 * 3600.0

# Seconds of a session at most that a Session-Expires is taken for.
MAX_SESSION = 24 * 3600

# A stream of an SDP, the direction of one or of all, and an address that is none.
_MEDIA = re.compile(rb"^m=", re.MULTILINE)
_DIRECTION = re.compile(rb"^a=(sendrecv|sendonly|recvonly|inactive)\b", re.MULTILINE)
_NOWHERE = re.compile(rb"^c=IN IP4 0\.0\.0\.0\b", re.MULTILINE)

# Requests that say something of a call.
FOLLOWED = frozenset({"INVITE", "UPDATE", "CANCEL", "BYE"})

# Answers after which a phone asks again with credentials.
_CHALLENGES = (401, 407)

# Answers in a dialog after which it is over (RFC 3261 12.2.1.2).
_DIALOG_IS_OVER = (408, 481)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLeg:
    """What one phone has of a call.

    line        PBX and user
    phone       the token of its binding
    call_id     Call-ID
    incoming    whether the phone is called
    number      user part of the other side, decoded; empty where there is none
    name        what it calls itself; octets as latin-1, as they passed
    """

    line: LineKey
    phone: str
    call_id: str
    incoming: bool
    number: str
    name: str


class CallObserver(Protocol):
    """Told what happens to the calls of watched lines. Quick; what it raises is logged."""

    def ringing(self, leg: CallLeg) -> None:
        """Hear that a phone rings, or that the one it calls does; it may come again."""

    def answered(self, leg: CallLeg, lasts: float | None) -> None:
        """Hear that a call is answered or goes on, for `lasts` seconds where it says."""

    def held(self, leg: CallLeg, *, held: bool) -> None:
        """Hear that a phone has put its call on hold, or goes on with it."""

    def cancelled(self, leg: CallLeg, seconds: float, *, elsewhere: bool) -> None:
        """Hear that a call which rings is to be over within some seconds.

        `elsewhere`: because another phone has answered it.
        """

    def lost(self, leg: CallLeg) -> None:
        """Hear that a phone is gone while a call rings; it may come back and take it."""

    def ended(self, leg: CallLeg, status: int | None, *, elsewhere: bool) -> None:
        """Hear that a phone has nothing of a call any more.

        `status` is that of the response which refused it, None for one that somebody
        has hung up; `elsewhere`: another phone has answered it.
        """

    def treated(self, leg: CallLeg, treatment: Reject | Redirect) -> None:
        """Hear of a call that is rejected or redirected here, for all its phones."""


class _Followed:
    """A leg, and how far it is."""

    __slots__ = ("answered", "elsewhere", "leg", "rings", "until")

    def __init__(self, leg: CallLeg, until: float) -> None:
        self.leg = leg
        self.rings = False
        self.answered = False
        self.elsewhere = False
        self.until = until

    @property
    def key(self) -> tuple[str, str]:
        return self.leg.phone, self.leg.call_id


class CallFollower:
    """Follows the calls of watched lines through what is passed."""

    def __init__(self, clock: Clock) -> None:
        """Watch no line."""
        self._clock = clock
        self._observer: CallObserver | None = None
        self._watched: frozenset[LineKey] = frozenset()
        # By the phone's token and the Call-ID, the oldest first.
        self._legs: OrderedDict[tuple[str, str], _Followed] = OrderedDict()
        # The requests whose answers count, by branch, and whether they hold the call.
        self._asked: dict[str, tuple[_Followed, bool | None]] = {}

    def __len__(self) -> int:
        """Return the number of legs that are followed."""
        return len(self._legs)

    def watch(self, lines: frozenset[LineKey], observer: CallObserver) -> None:
        """Follow the calls of these lines from now on, and no others."""
        self._observer = observer
        self._watched = lines
        for followed in list(self._legs.values()):
            if followed.leg.line not in lines:
                self._drop(followed)

    def watches(self, line: LineKey) -> bool:
        """Whether the calls of a line are followed."""
        return line in self._watched

    def waits_for(self, branch: str) -> bool:
        """Whether the answer to a request that was passed with this branch counts."""
        return branch in self._asked

    # Told by the proxy

    def requested(
        self,
        message: PassedMessage,
        binding: ProxyBinding,
        branch: str,
        *,
        to_phone: bool,
    ) -> None:
        """Take a request that was passed to or from a phone; it never raises."""
        if binding.line not in self._watched:
            return
        method = message.method
        if method not in FOLLOWED:
            return
        followed = self._legs.get((binding.token, message.first("call-id") or ""))
        try:
            if followed is None:
                if method == "INVITE" and message.tag("to") is None:
                    leg = _leg(message, binding, to_phone=to_phone)
                    # The phone goes on talking, with somebody else (RFC 3891 3).
                    replaces = to_phone and bool(message.look_for("replaces"))
                    self._begin(leg, branch, replaces=replaces)
            elif method == "BYE":
                self._end(followed, None)
            elif method == "CANCEL":
                self._cancel(followed, message)
            else:
                hold = None if to_phone else _holds(message.body)
                self._ask(branch, followed, hold)
        except HeaderError:
            # It was passed for others to judge.
            return
        except Exception:
            _LOGGER.exception("Unexpected error about a call that is followed")

    def responded(self, message: PassedMessage, branch: str) -> None:
        """Take a response that was passed; it never raises."""
        asked = self._asked.get(branch)
        if asked is None:
            return
        try:
            self._take_answer(message, branch, *asked)
        except Exception:
            _LOGGER.exception("Unexpected error about a call that is followed")

    def _take_answer(
        self,
        message: PassedMessage,
        branch: str,
        followed: _Followed,
        hold: bool | None,
    ) -> None:
        if not (message.first("cseq") or "").endswith(("INVITE", "UPDATE")):
            # The answer to a CANCEL, which has the branch of its INVITE.
            return
        status = message.status
        if status >= 200:
            del self._asked[branch]
        if followed.answered:
            self._take_answer_in_dialog(followed, message, hold)
        elif status < 200:
            if status > 100 or not followed.leg.incoming:
                self._ring(followed)
        elif status < 300:
            self._answer(followed, message)
        elif status not in _CHALLENGES:
            self._refuse(followed, status)

    def unreached(self, message: PassedMessage, binding: ProxyBinding) -> None:
        """Take a request to a phone whose connection is gone: it may end a call."""
        if message.method in ("BYE", "CANCEL"):
            self.requested(message, binding, "", to_phone=True)

    def lost(self, bindings: Iterable[ProxyBinding]) -> None:
        """Take what phones had registered over a connection that is gone."""
        phones = {binding.token for binding in bindings}
        for followed in list(self._legs.values()):
            if followed.leg.phone in phones:
                self._lose(followed)

    # Told by what treats calls

    def leg_to(self, message: PassedMessage, binding: ProxyBinding) -> CallLeg | None:
        """Return the leg that an INVITE to a phone begins, None where nobody watches."""
        if binding.line not in self._watched:
            return None
        try:
            return _leg(message, binding, to_phone=True)
        except HeaderError:
            return None

    def treated(self, leg: CallLeg, treatment: Reject | Redirect) -> None:
        """Take a call that is answered here in the place of its phone."""
        followed = self._legs.get((leg.phone, leg.call_id))
        if followed is not None:
            self._drop(followed)
        if leg.line in self._watched:
            self._tell(lambda observer: observer.treated(leg, treatment))

    def _tell(self, tell: Callable[[CallObserver], None]) -> None:
        """Tell the observer something; a call goes on whatever comes of that."""
        if self._observer is None:
            return
        try:
            tell(self._observer)
        except Exception:
            _LOGGER.exception("Unexpected error of an observer of calls")

    # Legs

    def _begin(self, leg: CallLeg, branch: str, *, replaces: bool) -> None:
        """Follow a leg from its first INVITE on."""
        self._make_room()
        followed = _Followed(leg, self._clock.monotonic() + ASKED_TIME)
        followed.rings = replaces
        self._legs[followed.key] = followed
        self._ask(branch, followed, None)

    def _ask(self, branch: str, followed: _Followed, hold: bool | None) -> None:
        """Wait for the answer to a request; the oldest that gets none is forgotten."""
        if len(self._asked) >= MAX_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[branch] = (followed, hold)

    def _make_room(self) -> None:
        """Forget the legs whose time is over, and the oldest where there are too many."""
        now = self._clock.monotonic()
        for followed in [leg for leg in self._legs.values() if leg.until <= now]:
            self._drop(followed)
        if len(self._legs) >= MAX_LEGS:
            self._drop(next(iter(self._legs.values())))

    def _drop(self, followed: _Followed) -> None:
        del self._legs[followed.key]
        for branch in [key for key, (leg, _) in self._asked.items() if leg is followed]:
            del self._asked[branch]

    def _keep(self, followed: _Followed, seconds: float) -> None:
        followed.until = self._clock.monotonic() + seconds

    def _ring(self, followed: _Followed) -> None:
        followed.rings = True
        self._keep(followed, RINGING_TIME)
        self._tell(lambda observer: observer.ringing(followed.leg))

    def _answer(self, followed: _Followed, message: PassedMessage) -> None:
        if not followed.rings:
            self._ring(followed)
        followed.answered = True
        self._go_on(followed, message)

    def _go_on(self, followed: _Followed, message: PassedMessage) -> None:
        text = (message.first("session-expires") or "").partition(";")[0].strip(" \t")
        lasts = number(text, MAX_SESSION)
        self._keep(followed, lasts or TALKING_TIME)
        self._tell(lambda observer: observer.answered(followed.leg, lasts or None))

    def _take_answer_in_dialog(
        self, followed: _Followed, message: PassedMessage, hold: bool | None
    ) -> None:
        if message.status in _DIALOG_IS_OVER:
            self._end(followed, None)
        elif 200 <= message.status < 300:
            self._go_on(followed, message)
            if hold is not None:
                self._tell(lambda observer: observer.held(followed.leg, held=hold))

    def _cancel(self, followed: _Followed, message: PassedMessage) -> None:
        if followed.answered:
            return
        followed.elsewhere = _is_answered_elsewhere(message.first("reason") or "")
        # What answers it late still passes.
        self._keep(followed, ASKED_TIME)
        elsewhere = followed.elsewhere
        self._tell(
            lambda observer: observer.cancelled(
                followed.leg, CANCELLED_TIME, elsewhere=elsewhere
            )
        )

    def _refuse(self, followed: _Followed, status: int) -> None:
        if not followed.rings:
            self._ring(followed)
        self._end(followed, status)

    def _lose(self, followed: _Followed) -> None:
        if followed.rings and not followed.answered:
            self._tell(lambda observer: observer.lost(followed.leg))

    def _end(self, followed: _Followed, status: int | None) -> None:
        self._drop(followed)
        elsewhere = followed.elsewhere
        self._tell(
            lambda observer: observer.ended(followed.leg, status, elsewhere=elsewhere)
        )


def _leg(message: PassedMessage, binding: ProxyBinding, *, to_phone: bool) -> CallLeg:
    """Return the leg that an INVITE begins. Raises HeaderError."""
    name, other = _party(message.first("from" if to_phone else "to") or "")
    return CallLeg(
        line=binding.line,
        phone=binding.token,
        call_id=message.first("call-id") or "",
        incoming=to_phone,
        number=other,
        name=name,
    )


def _party(text: str) -> tuple[str, str]:
    """Return name and number of a From or To. Raises HeaderError."""
    address = parse_address(text)
    uri = known_uri(address.uri)
    user = uri.user_or_number
    if uri.host.endswith(".invalid") or user.lower() == "anonymous":
        # Somebody who does not want to be known (RFC 3323 4.1.1.3).
        return address.display_name, ""
    # A number may bring parameters of its own (RFC 3261 19.1.6, RFC 3966 3).
    return address.display_name, user.partition(";")[0]


def _is_answered_elsewhere(reason: str) -> bool:
    """Whether a CANCEL says that another phone has the call (RFC 3326, 2)."""
    protocol, *parameters = reason.replace(" ", "").lower().split(";")
    return protocol == "sip" and "cause=200" in parameters


def _holds(body: bytes) -> bool | None:
    """Whether an offer puts the call on hold; None where a body is no offer.

    It does where every stream that is offered is sent one way or none (RFC 3264 8.4),
    or to the address 0.0.0.0, as older phones have it.
    """
    if not body.startswith(b"v="):
        return None
    session, *streams = _MEDIA.split(body)
    offered = [stream for stream in streams if stream.split(b" ", 2)[1:2] != [b"0"]]
    of_all = _is_one_way(session, default=False)
    return bool(offered) and all(_is_one_way(one, default=of_all) for one in offered)


def _is_one_way(part: bytes, *, default: bool) -> bool:
    """Whether a part of an SDP says that nothing is to be sent back."""
    if _NOWHERE.search(part):
        return True
    direction = _DIRECTION.search(part)
    if direction is None:
        return default
    return direction[1] in (b"sendonly", b"inactive")
