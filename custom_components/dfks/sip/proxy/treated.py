"""Calls that are treated: rejected, redirected, or watched while the phone rings.

Theory of operation
-------------------
Only a call to a line with a policy (`policy`) that has something to say about it is
kept; all others pass as if this file were not there. A kept call is two INVITE
transactions (`transaction.invite`) and what is to come of it: a proxy with state in the
words of RFC 3261 16. The PBX gets exactly one final answer, since the server transaction
takes only the first.

    nothing rings yet     the policy's answer is waited for, a second at most
    ringing               the INVITE has been passed; 18x starts the time to answer
    stopping              CANCEL has gone out; what was decided waits for the 487, two
                          seconds at most; a 2xx that crosses it is passed instead
    settling              the phone was busy or is not there, and another phone of the
                          line may be about to ring
    answered              of the PBX's transaction nothing is open any more

The INVITE leaves with the octets with which it would pass untreated, so a server that
is killed and starts anew passes what comes of it, CANCEL included.

A PBX calls each phone of a line by an INVITE of its own. These are the legs of one call:
one of them redirects, else the target would be called several times.
"""

from collections import deque
from functools import partial
import logging

from ..clock import Clock, Timers
from ..transaction.client import ClientTransactions
from ..transaction.invite import ServerState
from ..transaction.via import way_of_answer
from ..transport.flow import Flow, FlowError
from ..wire.headers import HeaderError, Uri, parse_address, parse_uri
from ..wire.message import SipError
from ..wire.splice import PassedMessage
from .answers import write_answer
from .calls import CallFollower
from .hop import frame
from .incoming import read_call
from .leg import LEG_SECONDS, CallKey, Legs, MakeReady, TreatedCall
from .location import LineKey, Location, ProxyBinding
from .pbx import Upstream
from .policy import CallPlan, CallPolicy, IncomingCall, Reject
from .site import Site
from .tokens import Tokens, is_unique, transaction_text

_LOGGER = logging.getLogger(__name__)

# Calls that wait for their final answer, and all that are kept: those of which messages
# may come again included. More are passed.
MAX_CALLS = 100
MAX_KEPT = 1000

# Seconds after a call of a line in which one in its own name is that call's: INVITEs
# without an answer are over by then (RFC 3261 17.1.1.2).
OWN_CALL_SECONDS = 32.0

# INVITEs of a line that passed untreated and may come again.
MAX_RECENT = 8

# Requests that a kept call takes again, or that end it.
KEPT = frozenset({"INVITE", "ACK", "CANCEL"})

# What says whom a phone calls, or has somebody else call (RFC 3515).
DIALLING = frozenset({"INVITE", "REFER"})

_OK = SipError(200)


class TreatedLine:
    """A line whose calls are treated."""

    __slots__ = ("_calls", "_key", "below", "called_at", "ended", "policy", "recent")

    def __init__(
        self,
        calls: TreatedCalls,
        key: LineKey,
        policy: CallPolicy,
        below: TreatedLine | None,
    ) -> None:
        """Treat calls by a policy, in the place of another as long as it lasts."""
        self._calls = calls
        self._key = key
        self.below = below
        self.ended = False
        self.policy = policy
        # When one of its phones called somebody last, by the monotonic clock.
        self.called_at: float | None = None
        # Branches: the state may change before an INVITE comes again, and its phone
        # rings by then.
        self.recent: deque[str] = deque(maxlen=MAX_RECENT)

    def reject_ringing(self, status: int) -> None:
        """Reject the calls that ring, as far as their plans let it."""
        for call in list(self._calls.sent.values()):
            if (call.call.pbx, call.call.user) == self._key and call.plan.kept:
                call.stop(Reject(status))

    def end(self) -> None:
        """Have the policy of before decide again; without one, calls just pass."""
        self.ended = True
        lines = self._calls.lines
        while (line := lines.get(self._key)) is not None and line.ended:
            del lines[self._key]
            if line.below is not None:
                lines[self._key] = line.below


class TreatedCalls:
    """The calls that are treated, and the lines whose calls are."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        tokens: Tokens,
        site: Site,
        location: Location,
        requests: ClientTransactions,
        follower: CallFollower,
        make_ready: MakeReady,
    ) -> None:
        """Treat no line's calls yet."""
        self.clock = clock
        self.timers = timers
        self.tokens = tokens
        self.site = site
        self.location = location
        self.requests = requests
        self.follower = follower
        self.make_ready = make_ready
        self.lines: dict[LineKey, TreatedLine] = {}
        # By what their INVITE, its CANCEL and its ACK have in common; and by our branch.
        self.kept: dict[CallKey, TreatedCall] = {}
        self.sent: dict[str, TreatedCall] = {}
        self._legs: dict[tuple[str, ...], Legs] = {}

    # Lines

    def treat(self, pbx: str, user: str, policy: CallPolicy) -> TreatedLine:
        """Treat the calls of a line by a policy, until what is returned is ended."""
        key = pbx, user
        line = TreatedLine(self, key, policy, self.lines.get(key))
        self.lines[key] = line
        return line

    def dialled(self, binding: ProxyBinding, message: PassedMessage) -> None:
        """Take an INVITE or REFER of a phone: tell its line's policy whom it calls.

        Or whom it has somebody else call, whom it transfers (RFC 3515).
        """
        line = self.lines.get(binding.line)
        if line is None:
            return
        target: Uri | None = None
        if message.method == "REFER":
            target = _referred_to(message)
        elif message.tag("to") is None:
            target = message.target
            line.called_at = self.clock.monotonic()
        if target is None:
            return
        number = target.user_or_number.partition(";")[0]
        try:
            line.policy.dialled(number)
        except Exception:
            _LOGGER.exception("Unexpected error of a policy")

    # From the PBX

    def take_again(self, message: PassedMessage, flow: Flow) -> TreatedCall | None:
        """Take what belongs to a kept call: its INVITE again, an ACK or a CANCEL.

        Return the call, None for another message. Raises HeaderError.
        """
        if message.method not in KEPT:
            return None
        call = self.kept.get(_key_of(message))
        if call is None:
            return None
        if message.method == "ACK" and call.server.state is ServerState.ACCEPTED:
            # To a 2xx: for the phone, also where the PBX gives it no new branch.
            return None
        if message.method == "INVITE":
            call.server.take_again()
        elif message.method == "ACK":
            call.server.acknowledge()
        else:
            via = message.via
            message.mark_source(*flow.remote)
            answer = write_answer(message, _OK, call.tag)
            self.send(answer, way_of_answer(via, flow))
            call.cancel(message.lines("reason"))
        return call

    def begin(
        self,
        message: PassedMessage,
        flow: Flow,
        binding: ProxyBinding,
        upstream: Upstream,
    ) -> bool:
        """Treat a call to a binding; False where it is to pass. Raises HeaderError."""
        line = self.lines.get(binding.line)
        if line is None:
            return False
        if message.via.branch in line.recent or message.look_for("replaces"):
            return False
        call = read_call(message, binding)
        if call.caller == binding.user and self._is_own(line, call):
            return False
        treated = None
        try:
            if not self._has_room():
                _LOGGER.warning("Too many calls at once; one is passed as it came")
            else:
                treated = self._treat(
                    line.policy, call, message, flow, binding, upstream
                )
        except Exception:
            _LOGGER.exception("Unexpected error of a policy; the call passes")
        if treated is None:
            line.recent.append(message.via.branch)
        return treated is not None

    def _is_own(self, line: TreatedLine, call: IncomingCall) -> bool:
        """Whether a call in the name of its own line is one that the line has made.

        Such as to a code at which the PBX calls back, or by a click on a number.
        Anybody may claim the number, so a phone of the line must have called just now,
        or be asked to answer by itself, which nobody from outside can do.
        """
        since = self.clock.monotonic() - OWN_CALL_SECONDS
        return call.intercom or (line.called_at is not None and line.called_at > since)

    def _has_room(self) -> bool:
        if len(self.kept) >= MAX_KEPT:
            return False
        if len(self.kept) < MAX_CALLS:
            return True
        return sum(call.server.is_open for call in self.kept.values()) < MAX_CALLS

    def _treat(
        self,
        policy: CallPolicy,
        call: IncomingCall,
        message: PassedMessage,
        flow: Flow,
        binding: ProxyBinding,
        upstream: Upstream,
    ) -> TreatedCall | None:
        made: list[TreatedCall] = []
        early: list[CallPlan | None] = []

        def take(plan: CallPlan | None) -> None:
            if made:
                made[0].decided(plan)
            else:
                early.append(plan)

        legs = self._known_legs(call, binding.token)
        plan = None if legs is None else legs.plan
        asks = plan is None and policy.ask(call, take)
        if plan is None and not asks:
            plan = policy.plan(call)
            if plan is None:
                return None
        key = _key_of(message)
        treated = TreatedCall(self, key, policy, call, message, flow, binding, upstream)
        made.append(treated)
        self.kept[key] = treated
        if plan is not None:
            treated.follow(plan)
        elif early:
            treated.decided(early[0])
        return treated

    def _known_legs(self, call: IncomingCall, token: str) -> Legs | None:
        """Return the legs of a call that has come to another phone of the line.

        No phone is called twice by one call.
        """
        legs = self._legs.get(_key_of_legs(call))
        return None if legs is None or token in legs.by_token else legs

    def legs_of(self, call: IncomingCall, token: str) -> Legs:
        """Return the legs of the call that one to a binding is a leg of."""
        legs = self._known_legs(call, token)
        if legs is None:
            key = _key_of_legs(call)
            legs = self._legs[key] = Legs(key, self.clock.monotonic())
            self.hold(legs)
        return legs

    def hold(self, legs: Legs) -> None:
        """Have what comes within two seconds be of the same call."""
        legs.until = self.clock.monotonic() + LEG_SECONDS
        self._legs.setdefault(legs.key, legs)
        self.timers.after(LEG_SECONDS, partial(self._forget_legs, legs))

    def _forget_legs(self, legs: Legs) -> None:
        is_due = legs.until <= self.clock.monotonic()
        if is_due and self._legs.get(legs.key) is legs:
            del self._legs[legs.key]

    def send(self, data: bytes, way: Flow, upstream: Upstream | None = None) -> None:
        """Send an answer; where its connection is gone, on the newest to the PBX."""
        try:
            self.site.send(data, way)
        except FlowError:
            if way.reliable and upstream is not None:
                try:
                    self.site.send(data, upstream.flow())
                except FlowError as again:
                    err = again
                else:
                    return
            _LOGGER.debug("A call cannot be answered: %s", err.strerror)

    # From the phone

    def respond(self, message: PassedMessage, branch: str) -> bool:
        """Take a response to the INVITE of a kept call, whose own Via is off.

        Raises HeaderError.
        """
        call = self.sent.get(branch)
        if call is None or call.client is None or message.cseq[1] != "INVITE":
            return False
        if call.server.reliable:
            frame(message)
        call.client.respond(message)
        return True

    def unreachable(self, branch: str) -> bool:
        """Take an INVITE that ICMP has sent back; whether it was of a kept call."""
        call = self.sent.get(branch)
        if call is None or call.client is None:
            return False
        call.client.fail()
        return True

    def lost(self, flow: Flow) -> None:
        """Take a connection that is gone."""
        for call in list(self.sent.values()):
            if call.client is not None and call.client.flow is flow:
                call.client.fail()


def _key_of(message: PassedMessage) -> CallKey:
    """Return what an INVITE, its CANCEL and its ACK have in common (17.2.3)."""
    via = message.via
    if is_unique(via.branch):
        return via.branch, via.host, via.port, ""
    return via.branch, via.host, via.port, transaction_text(message)


def _key_of_legs(call: IncomingCall) -> tuple[str, ...]:
    """Return what the legs of a call have in common."""
    return call.pbx, call.user, call.caller, call.called, call.priority


def _referred_to(message: PassedMessage) -> Uri | None:
    """Return whom a REFER names (RFC 3515 2.1), None where that cannot be read."""
    for text in (*message.look_for("refer-to"), *message.look_for("r")):
        try:
            return parse_uri(parse_address(text).uri)
        except HeaderError:
            break
    return None
