"""One leg of a treated call: what the PBX and the phone say, and what is made of it.

Whatever fails here, the PBX gets a final answer: each step that somebody else begins is
`_guarded`. A call that its phone has not heard of rings then, one that rings goes on.
"""

from collections.abc import Callable, Iterable
from functools import partial, wraps
import logging
from typing import Concatenate, Final, Protocol, override

from ..clock import Clock, Timer, Timers
from ..transaction.client import ClientTransactions
from ..transaction.invite import NOBODY, InviteClient, InviteServer
from ..transaction.via import way_of_answer
from ..transport.flow import Flow, FlowError
from ..wire.headers import HeaderError, bracketed, encode_user, parse_address, parse_uri
from ..wire.splice import PassedMessage
from .answers import echoed_fields, write_status
from .calls import CallFollower
from .location import Location, ProxyBinding
from .pbx import Upstream
from .policy import (
    CallPlan,
    CallPolicy,
    IncomingCall,
    Proceed,
    Redirect,
    Reject,
    Treatment,
)
from .site import Site
from .tokens import Tokens

_LOGGER = logging.getLogger(__name__)

# Seconds that a policy has where it asks somebody else.
ASK_SECONDS = 1.0

# Seconds that a phone has to confirm a CANCEL before the PBX is answered.
STOP_SECONDS = 2.0

# Seconds after a call's first leg in which others belong to it, and in which they come
# where none of the phones is slow.
LEG_SECONDS = 2.0
SETTLE_SECONDS = 0.5

# What a phone answers that is busy.
_BUSY: Final = (486, 600)

# What a call comes to of which another leg was redirected, and one that we have ended.
_LEFT = Reject(480)
_HUNG_UP = Reject(487)

# What one comes to that nobody answers and nobody gives up.
_OVERDUE = Reject(408)

type CallKey = tuple[str, str, int | None, str]

# Makes an INVITE ready to be sent to a binding; returns its branch and its octets.
type MakeReady = Callable[[PassedMessage, Flow, ProxyBinding], tuple[str, bytes]]


class CallKeeper(Protocol):
    """What a call asks of what keeps it; `kept` and `sent` are as in `TreatedCalls`."""

    clock: Clock
    timers: Timers
    tokens: Tokens
    site: Site
    location: Location
    requests: ClientTransactions
    follower: CallFollower
    make_ready: MakeReady
    kept: dict[CallKey, TreatedCall]
    sent: dict[str, TreatedCall]

    def legs_of(self, call: IncomingCall, token: str) -> Legs:
        """Return the legs of the call that one to a binding is a leg of."""

    def hold(self, legs: Legs) -> None:
        """Have what comes within two seconds be of the same call."""

    def send(self, data: bytes, way: Flow, upstream: Upstream) -> None:
        """Send an answer; where its connection is gone, on the newest to the PBX."""


class Legs:
    """The legs of one call to a line, by the bindings that they are for.

    `plan` is what was decided about the first of them, `outcome` what the PBX was
    answered here for all. They are found by `key` until a time of the monotonic clock.
    """

    __slots__ = ("begun", "by_token", "key", "outcome", "plan", "until")

    def __init__(self, key: tuple[str, ...], begun: float) -> None:
        """Start without any."""
        self.key = key
        self.begun = self.until = begun
        self.by_token: dict[str, TreatedCall] = {}
        self.plan: CallPlan | None = None
        self.outcome: Redirect | Reject | None = None


def _guarded[**ParametersT](
    step: Callable[Concatenate[TreatedCall, ParametersT], None],
) -> Callable[Concatenate[TreatedCall, ParametersT], None]:
    """Return a step of a call after which the call has, or gets, its final answer."""

    @wraps(step)
    def guarded(
        call: TreatedCall, /, *args: ParametersT.args, **kwargs: ParametersT.kwargs
    ) -> None:
        try:
            step(call, *args, **kwargs)
        except Exception as err:
            if isinstance(err, HeaderError):
                _LOGGER.debug("What a phone says of a call is broken: %s", err)
            else:
                _LOGGER.exception("Unexpected error about a call")
            call.rescue()

    return guarded


class TreatedCall(Timer):
    """One leg of a call: an INVITE of the PBX and what is to come of it.

    Its own timer: the policy's second, the time to answer, that of the phone to stop.
    """

    __slots__ = (
        "_calls",
        "_echoed",
        "_key",
        "_legs",
        "_message",
        "_on_time",
        "_outcome",
        "_policy",
        "_seen",
        "_upstream",
        "_way",
        "binding",
        "branch",
        "call",
        "client",
        "plan",
        "server",
        "tag",
    )

    def __init__(
        self,
        calls: CallKeeper,
        key: CallKey,
        policy: CallPolicy,
        call: IncomingCall,
        message: PassedMessage,
        flow: Flow,
        binding: ProxyBinding,
        upstream: Upstream,
    ) -> None:
        """Wait for what the policy says of an INVITE that has come from a flow."""
        super().__init__()
        self._calls = calls
        self._policy = policy
        self.call = call
        self._key = key
        self.tag = calls.tokens.tag(message.uri, message.first("via") or "")
        self._echoed = echoed_fields(message, self.tag)
        # To be passed, with where it came from, as long as nothing is decided.
        self._message: tuple[PassedMessage, Flow, ProxyBinding] | None = (
            message,
            flow,
            binding,
        )
        self.binding = binding
        self._seen = calls.follower.leg_to(message, binding)
        self._way = way_of_answer(message.via, flow)
        self._upstream = upstream
        self.plan = CallPlan()
        self._legs = calls.legs_of(call, binding.token)
        self._legs.by_token[binding.token] = self
        # What the PBX is told when the phone has stopped; None: what the phone says.
        self._outcome: Treatment | None = None
        self.branch = ""
        self.client: InviteClient | None = None
        self.server = InviteServer(
            calls.timers,
            self._send,
            write_status(
                self._echoed,
                100,
                [f"Timestamp: {text}" for text in message.look_for("timestamp")],
            ),
            self._server_ended,
            reliable=flow.reliable,
        )
        self._on_time: Callable[[], None] = self._decide
        calls.timers.start(ASK_SECONDS, self)

    @override
    @_guarded
    def run(self) -> None:
        """Do what the time was for."""
        self._on_time()

    def rescue(self) -> None:
        """See to the call's final answer after something has failed."""
        if not self.server.is_open:
            return
        self.plan = CallPlan()
        message, self._message = self._message, None
        if message is not None:
            Timers.cancel(self)
            try:
                self._pass(*message)
            except Exception:
                _LOGGER.exception("A call that nothing is done about cannot be passed")
            else:
                return
        # A phone that rings gives the answer, unless it has been told to stop.
        rings = self.client is not None and self.client.is_open
        if not rings or self._outcome is not None:
            Timers.cancel(self)
            self._refuse(480)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        Timers.cancel(self)
        self._on_time = then
        self._calls.timers.start(seconds, self)

    def _send(self, data: bytes) -> None:
        self._calls.send(data, self._way, self._upstream)

    # What the policy says

    def _decide(self) -> None:
        """Have the policy itself decide."""
        plan = None
        try:
            plan = self._policy.plan(self.call)
        except Exception:
            _LOGGER.exception("Unexpected error of a policy; the call passes")
        self.follow(plan or CallPlan())

    @_guarded
    def decided(self, plan: CallPlan | None) -> None:
        """Take what somebody has decided who was asked, or has not."""
        if self._message is None or not self.server.is_open:
            return
        if plan is None:
            self._decide()
        else:
            self.follow(plan)

    @_guarded
    def follow(self, plan: CallPlan) -> None:
        """Treat the call as planned."""
        if self._message is None or not self.server.is_open:
            return
        Timers.cancel(self)
        legs = self._legs
        self.plan = plan
        legs.plan = legs.plan or plan
        if legs.outcome is not None:
            # The others have it already.
            is_redirected = isinstance(legs.outcome, Redirect)
            self.stop(_LEFT if is_redirected else legs.outcome)
        elif isinstance(plan.at_once, Proceed):
            # What is to be passed is changed by that.
            message, self._message = self._message, None
            self._pass(*message)
        else:
            self._answer(plan.at_once)
            self._message = None

    def _pass(self, message: PassedMessage, flow: Flow, binding: ProxyBinding) -> None:
        """Pass the INVITE on to the phone."""
        calls = self._calls
        branch, data = calls.make_ready(message, flow, binding)
        self.branch = branch.partition(".")[0]
        try:
            self.client = InviteClient(
                calls.timers,
                calls.requests,
                calls.site.send,
                data,
                branch,
                binding.flow,
                self,
            )
        except FlowError as err:
            _LOGGER.debug("A phone cannot be reached: %s", err.strerror)
            self._reach_nobody()
            return
        calls.sent[self.branch] = self

    # Answers to the PBX

    def _answer(self, treatment: Treatment) -> None:
        """Give the PBX the final answer that is ours."""
        Timers.cancel(self)
        if isinstance(treatment, Redirect):
            self._redirect(treatment)
        elif isinstance(treatment, Reject):
            self._refuse(treatment.status)
            self._settle(treatment)
        else:
            self._refuse(480)

    def _settle(self, treatment: Reject | Redirect) -> None:
        """Treat legs that come late the same; tell who watches the line."""
        if treatment is not _OVERDUE:
            self._legs.outcome = treatment
            self._calls.hold(self._legs)
        if self._seen is not None:
            self._calls.follower.treated(self._seen, treatment)

    def _refuse(self, status: int, *fields: str) -> None:
        self.server.refuse(write_status(self._echoed, status, fields))

    def _redirect(self, redirect: Redirect) -> None:
        """Redirect the call, once for all its legs."""
        if isinstance(self._legs.outcome, Redirect):
            self._leave()
            return
        call = self.call
        domain = bracketed(call.domain)
        line = f"sip:{encode_user(call.user)}@{domain}"
        self._refuse(
            302,
            f"Contact: <{target_uri(redirect.target, domain)}>",
            f"Diversion: <{line}>;reason={redirect.reason}",
        )
        self._settle(redirect)
        try:
            self._policy.redirected(call)
        except Exception:
            _LOGGER.exception("Unexpected error of a policy")
        for leg in list(self._legs.by_token.values()):
            if leg is not self:
                leg.stop(_LEFT)

    def _leave(self) -> None:
        """End this leg: another one has redirected the call (RFC 3326)."""
        self._refuse(480, "Reason: SIP;cause=302")

    @_guarded
    def stop(self, outcome: Treatment) -> None:
        """Have the phone stop ringing, and tell the PBX the outcome then."""
        if self._message is not None and self.server.is_open:
            # Nothing rings yet.
            self._message = None
            self._finish(outcome)
            return
        if self.client is None or not self.server.is_open or self._outcome is not None:
            return
        self._outcome = outcome
        if not self.client.is_open:
            self._finish(outcome)
            return
        self.client.cancel()
        self._wait(STOP_SECONDS, partial(self._finish, outcome))

    def _finish(self, outcome: Treatment) -> None:
        if outcome is _LEFT:
            Timers.cancel(self)
            self._leave()
        else:
            self._answer(outcome)

    @_guarded
    def cancel(self, reasons: Iterable[str]) -> None:
        """Take the CANCEL of the PBX; its 200 is on the way (16.10).

        `reasons` are its Reason fields: that another phone has the call (RFC 3326).
        """
        if not self.server.is_open:
            return
        Timers.cancel(self)
        self._outcome = None
        if self.client is not None and self.client.is_open:
            self.plan = CallPlan()
            self.client.cancel([f"Reason: {text}" for text in reasons])
        else:
            self._message = None
            self._refuse(487)

    # The phone is busy, or not there

    def _others(self) -> bool:
        """Whether another phone of the line rings with the same call."""
        return any(
            leg is not self and leg.server.is_open
            for leg in self._legs.by_token.values()
        )

    def _settling(self) -> float:
        """Return the seconds in which another phone of the line may yet be called."""
        left = self._legs.begun + SETTLE_SECONDS - self._calls.clock.monotonic()
        if left <= 0:
            return 0.0
        others = self._calls.location.of_line(self.call.pbx, self.call.user)
        if all(
            other.token in self._legs.by_token or other.flow.closed for other in others
        ):
            return 0.0
        return left

    def _fall_back(self, redirect: Redirect, otherwise: Callable[[], None]) -> None:
        """Redirect the call unless another phone of the line rings."""
        seconds = self._settling()
        if seconds:
            self._wait(seconds, partial(self._fall_back, redirect, otherwise))
        elif self._others():
            otherwise()
        else:
            self._answer(redirect)

    def _reach_nobody(self) -> None:
        """Take a phone that is not there."""
        treatment = self.plan.unreachable
        if isinstance(treatment, Redirect):
            self._fall_back(treatment, partial(self._refuse, 480))
        else:
            self._answer(treatment)

    # What the phone says

    @_guarded
    def rings(self, response: PassedMessage) -> None:
        """Pass a provisional response on; 100 ends here (16.7, 5)."""
        if response.status == 100:
            return
        self.server.provide(response.octets())
        plan = self.plan
        if (
            180 <= response.status < 190
            and not isinstance(plan.no_answer, Proceed)
            # Else its time runs already, or it is being stopped.
            and self.queue is None
            and self.server.is_open
        ):
            self._wait(plan.ring_seconds, partial(self.stop, plan.no_answer))

    @_guarded
    def accepted(self, response: PassedMessage) -> None:
        """Pass a 2xx on; end the call where the PBX has been told otherwise."""
        Timers.cancel(self)
        self.server.accept(response.octets())
        if self.server.is_refused:
            self._hang_up(response)

    @_guarded
    def refused(self, response: PassedMessage) -> None:
        """Pass a refusal on, or do what was decided."""
        if not self.server.is_open:
            return
        Timers.cancel(self)
        busy = self.plan.busy
        if self._outcome is not None:
            self._finish(self._outcome)
        elif response.status in _BUSY and isinstance(busy, Redirect):
            otherwise = partial(self.server.refuse, response.octets())
            self._fall_back(busy, otherwise)
        else:
            self.server.refuse(response.octets())

    @_guarded
    def overdue(self) -> None:
        """Stop a phone that has rung for longer than anybody waits (16.8)."""
        self.stop(_OVERDUE)

    @_guarded
    def unanswered(self) -> None:
        """Take a phone that says nothing final."""
        if not self.server.is_open:
            return
        Timers.cancel(self)
        if self._outcome is not None:
            self._finish(self._outcome)
        elif self.client is not None and self.client.cancelled:
            self._refuse(487)
        else:
            self._reach_nobody()

    def _hang_up(self, response: PassedMessage) -> None:
        """Acknowledge and end a call that was answered too late (13.2.2.4, 15)."""
        assert self.client is not None
        flow = self.client.flow
        contact = parse_address(response.first_value("contact") or "").uri
        call_id = response.first("call-id") or ""
        sent_by = self._calls.site.sent_by(flow)
        for method, number in (("ACK", 0), ("BYE", 1)):
            branch = self._calls.requests.new_branch()
            lines = [
                f"{method} {contact} SIP/2.0",
                f"Via: SIP/2.0/{flow.transport} {sent_by};branch={branch}",
                "Max-Forwards: 70",
                f"From: {response.first('from')}",
                f"To: {response.first('to')}",
                f"Call-ID: {call_id}",
                f"CSeq: {response.cseq[0] + number} {method}",
                "Content-Length: 0",
            ]
            data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
            try:
                if method == "ACK":
                    self._calls.site.send(data, flow)
                elif self._outcome is not _HUNG_UP:
                    self._outcome = _HUNG_UP
                    self._calls.requests.send(
                        method, branch, call_id, data, flow, NOBODY
                    )
            except FlowError as err:
                _LOGGER.debug("A call cannot be ended: %s", err.strerror)

    # The end

    def client_ended(self) -> None:
        """Forget the INVITE that was sent on."""
        self._calls.sent.pop(self.branch, None)

    def _server_ended(self) -> None:
        self._calls.kept.pop(self._key, None)


def target_uri(target: str, domain: str) -> str:
    """Return where a call goes: a URI as it is stored, else a number at a domain."""
    try:
        if parse_uri(target).scheme in ("sip", "sips", "tel"):
            return target
    except HeaderError:
        pass
    return f"sip:{encode_user(target)}@{domain}"
