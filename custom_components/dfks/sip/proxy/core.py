"""What stands between phones and their PBX: passes every message, answers few.

Theory of operation
-------------------
Phones name this server as outbound proxy and keep their account at the PBX. What they
send is passed to the PBX, and what the PBX sends to one of their bindings is passed to
the phone, by changing octets in place (`wire.splice`): Via, Max-Forwards, Route,
Record-Route, and the Contact of a REGISTER. Nothing is kept for a message that is
passed (RFC 3261 16.11): what is needed to bring a response back, or a later request of
a dialog to its phone, stands in the message itself, as tokens that nobody else can
write (`tokens`).

There is one kind of destination in each direction: the PBX that is configured, and the
flow of a binding. Whatever a Request-URI, Route or Contact says, nothing is ever sent
anywhere else.

    phone, REGISTER for a PBX      Contact mirrored, passed; a 2xx proves the flow
    phone, event packages here     not taken: the server answers it
    phone, proven flow             passed to the PBX of its binding
    phone, not proven              403; ACK and CANCEL are dropped
    PBX, Contact or Route of ours  passed to the binding's newest flow; a call to a line
                                   with a policy may be treated (`treated`)
    PBX, anything else             404, in a dialog 481; ACK is dropped
    response with a branch of ours passed by the Via below
    all else                       not taken
"""

from collections.abc import Callable, Container
import logging

from ..clock import Clock, Timers
from ..transaction.client import ClientTransactions
from ..transport.flow import Flow, FlowError
from ..wire.headers import HeaderError, Uri, Via
from ..wire.message import SipError
from ..wire.splice import PassedMessage
from .answers import Answers, TooEarly
from .back import WaysBack
from .calls import CallFollower
from .hop import check_loop, check_passed, frame
from .location import Location, ProxyBinding
from .pbx import Upstream
from .registrations import PARAMETER, Registrations
from .routes import Routes, follow_strict
from .short_way import ShortWay
from .site import ProxyObserver, Site
from .tokens import (
    TO_PBX,
    TO_PHONE,
    Tokens,
    direction_of,
    is_token,
    is_unique,
    transaction_text,
)
from .treated import DIALLING, TreatedCalls
from .upstreams import Upstreams

_LOGGER = logging.getLogger(__name__)


class Proxy:
    """Passes messages between phones and the PBXs that are configured."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        tokens: Tokens,
        site: Site,
        packages: Container[str],
        requests: ClientTransactions,
        changed: Callable[[], None],
    ) -> None:
        """Pass nothing yet.

        `packages` are the event packages that are answered here. What is to be sent
        becomes one of `requests`. `changed` is called when there is a binding to
        remember.
        """
        self._tokens = tokens
        self._site = site
        self._answers = Answers(site, tokens)
        self._packages = packages
        self.location = Location(clock)
        self.upstreams = Upstreams(self.location, site)
        self.registrations = Registrations(
            clock, timers, tokens, site, self.location, changed
        )
        self._routes = Routes(self.location, site)
        self._back = WaysBack(self.location, self.upstreams)
        self.calls = CallFollower(clock)
        # Whether a Call-ID is that of a subscription of our own: its NOTIFYs are ours.
        self.is_own_dialog: Callable[[str], bool] = lambda _: False
        # Whether a call for a user is for a registration of our own: it is answered here.
        self.is_own_call: Callable[[str, Flow], bool] = lambda _, __: False
        self.treated = TreatedCalls(
            clock,
            timers,
            tokens,
            site,
            self.location,
            requests,
            self.calls,
            self._make_ready,
        )
        self._short_way = ShortWay(
            tokens,
            site,
            packages,
            self.location,
            self.upstreams,
            self._routes,
            self._back,
            self.registrations,
            self.calls,
            self.treated,
            self._is_our_subscription,
        )

    @property
    def observer(self) -> ProxyObserver | None:
        """Who is told what is learned."""
        return self.registrations.observer

    def observe(self, observer: ProxyObserver) -> None:
        """Tell an observer from now on; there is one at a time."""
        self.registrations.observe(observer)

    def proven(self, flow: Flow) -> list[ProxyBinding]:
        """Return the live bindings that a flow has proven."""
        return self.location.proven(flow)

    def is_at_pbx(self, uri: Uri, flow: Flow) -> bool:
        """Whether a URI names a PBX, seen from a flow."""
        return self.upstreams.of_uri(uri, flow) is not None

    # PBXs

    def use_secret(self, secret: bytes) -> None:
        """Write tokens with another secret from now on: that of an earlier run."""
        self._tokens.use(secret)
        self.registrations.forget_contacts()

    def add_upstream(self, upstream: Upstream) -> None:
        """Pass to a PBX from now on."""
        self._close_upstream(upstream.config.id)
        self.upstreams[upstream.config.id] = upstream

    def _close_upstream(self, pbx: str) -> None:
        """Pass nothing to a PBX any more, as long as it is not added again."""
        upstream = self.upstreams.pop(pbx, None)
        if upstream is not None:
            upstream.stop()

    def remove_upstream(self, pbx: str) -> None:
        """Pass nothing to a PBX any more, and forget its bindings."""
        self._close_upstream(pbx)
        self.location.remove_pbx(pbx)

    def lost(self, flow: Flow) -> None:
        """Forget a connection that is gone; its bindings wait for the next one."""
        self._back.lost(flow)
        self.treated.lost(flow)
        self.calls.lost(self.location.proven(flow))

    def _is_our_subscription(self, call_id: str) -> bool:
        return self.is_own_dialog(call_id)

    # Coming in

    def take(self, data: bytes, flow: Flow, *, is_late: bool = False) -> bool:
        """Pass a message, or answer it; False where it is for the server itself.

        `is_late`: it has waited already for its phone to be known.
        """
        if not self.upstreams:
            return False
        try:
            taken = self._short_way.take(data, flow)
            if taken is not None:
                return taken
        except Exception:
            _LOGGER.exception("Unexpected error in a passed message")
        try:
            message = PassedMessage(data)
            message.trim()
        except HeaderError:
            return False
        if message.is_response:
            return self._take_response(message, flow)
        try:
            return self._take_request(message, flow)
        except HeaderError as err:
            self._answers.refuse(message, flow, SipError(400, str(err)))
        except TooEarly as err:
            if is_late or not self.registrations.hold(
                err.token, err.pbx, lambda: self.take(data, flow, is_late=True)
            ):
                self._answers.refuse(message, flow, err)
        except SipError as err:
            self._answers.refuse(message, flow, err)
        except FlowError as err:
            _LOGGER.debug("A %s cannot be passed: %s", message.method, err.strerror)
            self._answers.refuse(message, flow, SipError(503))
        except Exception:
            _LOGGER.exception("Unexpected error in a passed %s", message.method)
            self._answers.refuse(message, flow, SipError(500))
        return True

    def _take_request(self, message: PassedMessage, flow: Flow) -> bool:
        """Take a request by where it is from. Raises HeaderError, SipError, FlowError."""
        if message.method == "NOTIFY" and self.is_own_dialog(
            message.first("call-id") or ""
        ):
            # From whatever address: a phone may be on the machine of a followed server.
            return False
        upstream = self.upstreams.of_flow(flow)
        target = message.target
        if upstream is not None and not (
            flow.reliable and message.method == "REGISTER"
        ):
            return self._from_pbx(message, target, flow, upstream)
        return self._from_phone(message, target, flow)

    # From a phone

    def _from_phone(self, message: PassedMessage, target: Uri, flow: Flow) -> bool:
        if message.method == "REGISTER":
            upstream = self.upstreams.of_uri(target, flow)
            if upstream is None:
                return False
            self._routes.pop_own(message, flow)
            check_passed(message, flow, self._site)
            self._register(message, target, flow, upstream)
            return True
        in_dialog = message.tag("to") is not None
        is_own = target.is_sip and self._site.is_own(target.host, target.port, flow)
        if is_own and not in_dialog and not is_token(target.user):
            return False
        target, token = self._routes.undo_strict(message, target)
        binding = self._binding_of(message, flow, token)
        upstream, question = None, None
        if binding is not None:
            upstream = self.upstreams.get(binding.pbx)
        elif not is_own:
            upstream = self.upstreams.of_uri(target, flow)
        if message.method == "SUBSCRIBE" and message.event() in self._packages:
            if upstream is None:
                return False
            if upstream.config.keys_here:
                question = None if in_dialog else upstream.question
                if question is None or not self.location.proven(flow):
                    return False
        if upstream is None:
            return False
        check_passed(message, flow, self._site)
        if binding is None:
            if message.method in ("ACK", "CANCEL"):
                return True
            raise SipError(403, "Register first")
        self._back.remember(flow)
        self._check_scheme(target, upstream)
        if self.treated.lines and message.method in DIALLING:
            self.treated.dialled(binding, message)
        way = upstream.flow()
        branch = self._write_hop(message, flow, way, binding.token, TO_PBX)
        self._send(message, way)
        self.calls.requested(message, binding, branch, to_phone=False)
        if question is not None:
            question.passed(branch)
        return True

    def _binding_of(
        self, message: PassedMessage, flow: Flow, token: str | None
    ) -> ProxyBinding | None:
        """Return for which binding a phone speaks, None for whom is not known.

        A flow that is proven speaks for its lines. One that is not (the phone's
        connection is new, or NAT has moved it) may go on where its address is that of a
        live binding: the PBX challenges it.
        """
        token = self._routes.pop_own(message, flow) or token
        user = message.uri_of("from").user
        if token is not None:
            if speaker := self.location.speaker(flow, token, user):
                return speaker
            named = self.location.find_in_dialog(token)
            if named and self.upstreams.seen_from(flow, named.user, named.pbx):
                return named
        return self.upstreams.binding_of(flow, user)

    @staticmethod
    def _check_scheme(target: Uri, upstream: Upstream) -> None:
        """Refuse what cannot go to the PBX (RFC 3261 16.3, 2; 26.2.2)."""
        if target.scheme == "sips" and upstream.config.transport != "TLS":
            raise SipError(416)
        # The emergency services are a URN (RFC 5031), which the PBX understands or not.
        if not target.is_sip and target.scheme not in ("tel", "urn"):
            raise SipError(416)

    # From the PBX

    def _from_pbx(
        self, message: PassedMessage, target: Uri, flow: Flow, upstream: Upstream
    ) -> bool:
        if message.method == "REGISTER":
            # Of ours, where we are configured as the PBX.
            check_loop(message, flow, self._site)
            return False
        if self.treated.kept:
            call = self.treated.take_again(message, flow)
            if call is not None:
                self.calls.requested(message, call.binding, call.branch, to_phone=True)
                return True
        target, token = self._routes.undo_strict(message, target)
        token = self._routes.pop_own(message, flow) or token
        in_dialog = message.tag("to") is not None
        if token is not None:
            binding = self._find(token, in_dialog=in_dialog)
        elif target.is_sip and self._site.is_own(target.host, target.port, flow):
            token = target.parameters.get(PARAMETER)
            if token is not None:
                binding = self._find(token, in_dialog=in_dialog)
            elif not target.user:
                return False
            else:
                binding = self._only_binding(target.user, upstream)
                if binding is None and (
                    message.method in ("SUBSCRIBE", "OPTIONS")
                    or (
                        message.method == "INVITE"
                        and self.is_own_call(target.user, flow)
                    )
                ):
                    return False
            if binding is not None:
                message.set_uri(binding.contact)
        else:
            binding = None
        check_passed(message, flow, self._site)
        if message.method == "NOTIFY" and message.event() in self._packages:
            self._note_keys(upstream)
        if binding is None or binding.pbx != upstream.config.id:
            if token is not None and not in_dialog:
                raise TooEarly(token, upstream.config.id)
            raise SipError(481 if in_dialog else 404)
        follow_strict(message)
        if (
            self.treated.lines
            and message.method == "INVITE"
            and not in_dialog
            and self.treated.begin(message, flow, binding, upstream)
        ):
            self.registrations.reached(binding)
            return True
        try:
            way = binding.flow
            branch = self._write_hop(message, flow, way, binding.token, TO_PHONE)
            self._send(message, way)
            self.registrations.reached(binding)
            self.calls.requested(message, binding, branch, to_phone=True)
        except FlowError as err:
            _LOGGER.debug("A phone cannot be reached: %s", err.strerror)
            self.calls.unreached(message, binding)
            raise SipError(480) from err
        return True

    def _find(self, token: str, *, in_dialog: bool) -> ProxyBinding | None:
        if in_dialog:
            return self.location.find_in_dialog(token)
        return self.location.find(token)

    def _only_binding(self, user: str, upstream: Upstream) -> ProxyBinding | None:
        """Return the one binding of a line whose PBX has dropped our token.

        Raises SipError where there are several.
        """
        found = self.location.of_line(upstream.config.id, user)
        if len(found) > 1:
            _LOGGER.warning(
                "The PBX does not keep the parameter of a Contact, and a line has"
                " several phones"
            )
            raise SipError(480)
        return found[0] if found else None

    # Passing

    def _write_hop(
        self,
        message: PassedMessage,
        source: Flow,
        way: Flow,
        token: str,
        direction: str,
    ) -> str:
        """Write what a hop writes into a request; return its branch (16.6)."""
        routes = "\n".join(message.lines("route"))
        for line in reversed(self._routes.record(message.method, source, way, token)):
            message.put_on_top(line)
        via = message.via
        transaction = "" if is_unique(via.branch) else transaction_text(message)
        branch = self._tokens.branch(direction, via, message.uri, routes, transaction)
        value = branch + self._back.number(source)
        sent_by = self._site.sent_by(way)
        message.put_on_top(f"Via: SIP/2.0/{way.transport} {sent_by};branch={value}")
        return branch

    def _make_ready(
        self, message: PassedMessage, source: Flow, binding: ProxyBinding
    ) -> tuple[str, bytes]:
        """Return branch and octets of a request to a phone, as it would be passed."""
        way = binding.flow
        branch = self._write_hop(message, source, way, binding.token, TO_PHONE)
        self.calls.requested(message, binding, branch, to_phone=True)
        if way.reliable:
            frame(message)
        return branch + self._back.number(source), message.octets()

    def _send(self, message: PassedMessage, way: Flow) -> None:
        if way.reliable:
            frame(message)
        self._site.send(message.octets(), way)

    # Responses

    def _take_response(self, message: PassedMessage, flow: Flow) -> bool:
        """Pass a response by the Via below ours (16.7); others are not taken."""
        try:
            via = message.via
            direction = direction_of(via.branch)
            if direction is None:
                return False
            return self._pass_response(message, via, direction, flow)
        except HeaderError as err:
            _LOGGER.debug("A response is dropped: %s", err)
        except FlowError as err:
            _LOGGER.debug("A response cannot be passed: %s", err.strerror)
        return True

    def _pass_response(
        self, message: PassedMessage, via: Via, direction: str, flow: Flow
    ) -> bool:
        """Pass a response with a branch that may be ours. Raises HeaderError, FlowError.

        False where it answers a request of our own.
        """
        if not self._site.is_own(via.host, via.port, flow):
            return True
        upstream = self.upstreams.of_flow(flow)
        if (upstream is None) is (direction == TO_PBX):
            return True
        message.remove_first("via")
        if not message.has("via"):
            return False
        sender = message.via
        branch, _, number_of_stream = via.branch.partition(".")
        if not self._tokens.is_own_branch(direction, branch, sender):
            return True
        if self.treated.sent and self.treated.respond(message, branch):
            self.calls.responded(message, branch)
            return True
        way = self._back.find(message, sender, number_of_stream, direction)
        accepted = None
        if upstream is not None:
            upstream.answered()
            method = message.cseq[1]
            if method == "REGISTER":
                accepted = self.registrations.answered(message, branch)
            elif method == "SUBSCRIBE":
                self._answer_question(upstream, message, branch)
        self._send(message, way)
        self.calls.responded(message, branch)
        if accepted is not None:
            # The phone hears of its registration before it hears of anything else.
            self.registrations.learn(accepted)
        return True

    def _register(
        self, message: PassedMessage, target: Uri, flow: Flow, upstream: Upstream
    ) -> None:
        """Pass a REGISTER, with Contacts that lead here. Raises as `_take_request`."""
        self._check_scheme(target, upstream)
        way = upstream.flow()
        pending = self.registrations.prepare(message, flow, upstream, way)
        self._back.remember(flow)
        branch = self._write_hop(message, flow, way, "", TO_PBX)
        self._send(message, way)
        self.registrations.passed(branch, pending)

    def _answer_question(
        self, upstream: Upstream, message: PassedMessage, branch: str
    ) -> None:
        """Take the answer of a PBX that was asked whether it synchronizes the keys.

        Where it does not, the phone is to ask once more, and is answered here then.
        """
        question = upstream.question
        if question is None or not question.is_answer(branch, message.status):
            return
        upstream.question = None
        question.answer(message.status)
        if message.status < 300:
            self._note_keys(upstream)
        else:
            message.set_status(480, "Temporarily Unavailable")
            message.add("Retry-After: 1")

    def _note_keys(self, upstream: Upstream) -> None:
        if upstream.config.keys_here and self.observer is not None:
            self.observer.synchronizes_keys(upstream.config.id)

    # Answers of our own

    def unreachable(self, data: bytes) -> None:
        """Answer a request that was passed and came back by ICMP (16.9).

        As much of it as ICMP has kept.
        """
        head, blank, _ = data.partition(b"\r\n\r\n")
        if not blank:
            head = head.rpartition(b"\r\n")[0]
        try:
            message = PassedMessage(head + b"\r\n\r\n")
            via = message.via
            direction = direction_of(via.branch)
            message.remove_first("via")
            if direction is None or message.is_response or message.method == "ACK":
                return
            sender = message.via
            branch, _, stream = via.branch.partition(".")
            if not self._tokens.is_own_branch(direction, branch, sender):
                return
            if self.treated.unreachable(branch):
                return
            way = self._back.find(message, sender, stream, direction)
            status = 480
            if direction == TO_PBX:
                status = 503
                self.registrations.came_back(branch)
            self._answers.send(message, SipError(status), way)
        except HeaderError as err:
            _LOGGER.debug("A datagram that came back is not answered: %s", err)
        except FlowError as err:
            _LOGGER.debug("No answer to a request that came back: %s", err.strerror)
