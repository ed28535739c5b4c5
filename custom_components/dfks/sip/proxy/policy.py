"""What decides about the calls of a line, and what it can decide.

The proxy passes calls. Where a line has a policy, that is asked about each call to the
line before the phone hears of it, and what it says is done: `treated`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

# The parameter `reason` of a Diversion (RFC 5806 4.1).
UNCONDITIONAL = "unconditional"
USER_BUSY = "user-busy"
NO_ANSWER = "no-answer"
UNAVAILABLE = "unavailable"


class IncomingCall(NamedTuple):
    """What an INVITE says of a call to a line.

    pbx, user    the line
    domain       the host of its address-of-record
    caller       user of From, decoded
    called       user of To, decoded
    priority     Priority in lower case, empty without one
    intercom     whether the phone is asked to answer by itself
    diverted     users of Diversion and History-Info but for the call itself
    """

    pbx: str
    user: str
    domain: str
    caller: str
    called: str
    priority: str = ""
    intercom: bool = False
    diverted: tuple[str, ...] = ()


class Proceed(NamedTuple):
    """Pass the call."""


class Reject(NamedTuple):
    """Answer the call with a status, 486 or 480."""

    status: int


class Redirect(NamedTuple):
    """Answer the call with 302: to a number or a URI, for a reason of RFC 5806."""

    target: str
    reason: str


type Treatment = Proceed | Reject | Redirect

PROCEED = Proceed()


class CallPlan(NamedTuple):
    """What is to become of a call, as decided when its INVITE comes.

    at_once       before the phone hears of it
    busy          where the phone answers 486 or 600
    no_answer     where it has rung for `ring_seconds`, from the first 18x on
    unreachable   where it cannot be reached; 480 where the call proceeds
    kept          whether the call can still be rejected while it rings
    """

    at_once: Treatment = PROCEED
    busy: Treatment = PROCEED
    no_answer: Treatment = PROCEED
    ring_seconds: float = 0.0
    unreachable: Treatment = PROCEED
    kept: bool = False


# Called once, with None where nothing was decided.
type TakePlan = Callable[[CallPlan | None], None]


class CallPolicy(Protocol):
    """Decides about the calls of one line. Quick; where it raises, the call passes."""

    def plan(self, call: IncomingCall) -> CallPlan | None:
        """Return what is to become of a call, None where it just passes."""

    def ask(self, call: IncomingCall, take: TakePlan) -> bool:
        """Have somebody else decide, who has a second; False where nobody is asked.

        What `take` is given late counts no more: `plan` decides then.
        """

    def dialled(self, number: str) -> None:
        """Hear of a call of the line's own phones, by the user of its Request-URI.

        For a tel URI it is the number, for a URN what follows its scheme.
        """

    def redirected(self, call: IncomingCall) -> None:
        """Hear that a call of the line was redirected, once for all its legs."""
