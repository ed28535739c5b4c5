"""The short way through the proxy: what most messages of a call need, and no more.

Nearly all that passes is of one form: one Via, no field twice, a flow that is proven, a
call that nobody follows or treats. For that, `core` reads a message into lines, looks
values up by name and puts lines in and takes some out, which is more work than the rest
of passing. Here a message is matched as a whole by one expression (`wire.plain_passed`),
and written anew from its pieces.

The rules are those of `core`, where they are explained. Whatever is not of that form,
or is refused, or is to be noticed by anybody, is not taken here and nothing is changed:
`core` takes it. A SUBSCRIBE for an event package of the server is only recognized. So a
message leaves with the same octets on the same flow whichever way it goes; a property
test holds the two to that.
"""

from collections.abc import Callable, Container

from ..transport.flow import Flow, FlowError
from ..wire.headers import DEFAULT_PORT, HeaderError, known_uri
from ..wire.message import SipError
from ..wire.plain_passed import (
    PlainRequest,
    PlainResponse,
    read_plain_request,
    read_plain_response,
)
from .back import WaysBack
from .calls import FOLLOWED, CallFollower
from .location import Location
from .pbx import ContactMode, Upstream
from .registrations import PARAMETER, Accepted, Registrations
from .routes import Routes, route_uri
from .site import Site
from .tokens import TO_PBX, TO_PHONE, Tokens, is_token, loop_part, sender_text
from .treated import DIALLING, KEPT, TreatedCalls
from .upstreams import Upstreams

# Octets of a head at most, and the largest Max-Forwards (RFC 3261 20.22).
MAX_HEAD = 4096
MAX_FORWARDS = 255


class ShortWay:
    """Passes messages of the usual form."""

    def __init__(
        self,
        tokens: Tokens,
        site: Site,
        packages: Container[str],
        location: Location,
        upstreams: Upstreams,
        routes: Routes,
        back: WaysBack,
        registrations: Registrations,
        calls: CallFollower,
        treated: TreatedCalls,
        is_own_dialog: Callable[[str], bool],
    ) -> None:
        """Share what `core` goes by."""
        self._tokens = tokens
        self._site = site
        self._packages = packages
        self._location = location
        self._upstreams = upstreams
        self._routes = routes
        self._back = back
        self._registrations = registrations
        self._calls = calls
        self._treated = treated
        self._is_own_dialog = is_own_dialog

    def take(self, data: bytes, flow: Flow) -> bool | None:
        """Pass a message.

        False where it is for the server itself, None where `core` decides.
        """
        end = data.find(b"\r\n\r\n")
        if not 0 < end <= MAX_HEAD:
            return None
        head = data[:end].decode("latin-1")
        body = data[end + 4 :]
        try:
            if data[:4] == b"SIP/":
                response = read_plain_response(head)
                if response is None:
                    return None
                return self._pass_response(response, body, flow) or None
            # A request that has passed here may be in a loop.
            if TO_PBX in head or TO_PHONE in head:
                return None
            request = read_plain_request(head)
            if request is None:
                return None
            if (request.event or "").lower() in self._packages:
                return False if self._stays_here(request, flow) else None
            return self._pass_request(request, body, flow) or None
        except HeaderError, SipError, FlowError:
            return None

    # Responses

    def _pass_response(self, response: PlainResponse, body: bytes, flow: Flow) -> bool:
        """Pass a response by the Via below ours. Raises FlowError."""
        if response.length != str(len(body)) or response.method is None:
            return False
        branch = response.branch
        direction = branch[: len(TO_PBX)]
        upstream = self._upstreams.of_flow(flow)
        if (upstream is None) is (direction == TO_PBX) or not self._site.is_own(
            response.host, _number(response.port), flow
        ):
            return False
        host, port = response.sender_host.lower(), response.sender_port
        received, rport = response.sender_received, response.sender_rport
        sender = sender_text(host, port or "", received or "", rport or "")
        if (
            not self._tokens.is_own_transaction(
                direction, branch, response.sender_branch, sender
            )
            or branch in self._treated.sent
            or self._calls.waits_for(branch)
        ):
            return False
        way = self._back.known(
            received or host,
            int(rport or port or DEFAULT_PORT),
            response.stream or "",
            direction,
        )
        if way is None:
            return False
        if upstream is None:
            self._send_response(response.start, response.below, body, way)
        elif response.method == "REGISTER":
            return self._pass_registered(response, body, way, upstream)
        elif response.method == "SUBSCRIBE" and upstream.question is not None:
            return False
        else:
            upstream.answered()
            self._send_response(response.start, response.below, body, way)
        return True

    def _pass_registered(
        self, response: PlainResponse, body: bytes, way: Flow, upstream: Upstream
    ) -> bool:
        """Pass the answer to a REGISTER. Raises HeaderError and FlowError."""
        pending = self._registrations.waiting(response.branch)
        status, below = int(response.status), response.below
        accepted: Accepted | None = None
        if pending is not None and status >= 200:
            if status >= 300 and pending.with_credentials and not pending.answered:
                # The password may be wrong.
                return False
            if status < 300 and (response.contact is None or "," in response.contact):
                return False
            pending.answered = True
        if pending is not None and 200 <= status < 300:

            def show(old: str, new: str) -> None:
                nonlocal below
                below = _replace_line(below, "Contact", old, new)

            accepted = self._registrations.accept(
                pending, [response.contact or ""], _number(response.expires), show
            )
        upstream.answered()
        self._send_response(response.start, below, body, way)
        if accepted is not None:
            self._registrations.learn(accepted)
        return True

    def _send_response(self, start: str, below: str, body: bytes, way: Flow) -> None:
        self._site.send(f"{start}{below}\r\n\r\n".encode("latin-1") + body, way)

    # Requests

    def _stays_here(self, request: PlainRequest, flow: Flow) -> bool:
        """Whether a request for an event package here is not for a PBX.

        False leaves it open. Raises HeaderError.
        """
        if (
            request.method != "SUBSCRIBE"
            or request.routes is not None
            or self._upstreams.of_flow(flow) is not None
        ):
            return False
        target = known_uri(request.uri)
        if (
            not target.is_sip
            or is_token(target.user)
            or not self._site.is_own(target.host, target.port, flow)
        ):
            return False
        if request.to_tag is None:
            return True
        binding = self._upstreams.binding_of(
            flow, known_uri(request.from_uri or "").user
        )
        upstream = None if binding is None else self._upstreams.get(binding.pbx)
        return upstream is None or upstream.config.keys_here

    def _pass_request(self, request: PlainRequest, body: bytes, flow: Flow) -> bool:
        """Pass a request by where it is from. Raises HeaderError and FlowError."""
        if (
            request.cseq_method != request.method
            or request.length != str(len(body))
            or request.forwards is None
            or int(request.forwards) > MAX_FORWARDS
            or request.from_uri is None
            or request.to_uri is None
            or request.call_id is None
            or (request.method == "NOTIFY" and self._is_own_dialog(request.call_id))
        ):
            return False
        upstream = self._upstreams.of_flow(flow)
        if request.method == "REGISTER":
            return upstream is None and self._pass_register(request, body, flow)
        if upstream is None:
            return self._pass_to_pbx(request, body, flow)
        return self._pass_to_phone(request, body, flow, upstream)

    def _pass_register(self, request: PlainRequest, body: bytes, flow: Flow) -> bool:
        contact = request.contact
        target = known_uri(request.uri)
        upstream = self._upstreams.of_uri(target, flow)
        if (
            upstream is None
            or target.scheme != "sip"
            or upstream.config.contact_mode is not ContactMode.MIRROR
            or contact is None
            or contact == "*"
            or "," in contact
        ):
            return False
        _, routes = self._pop_own(request, flow)
        way = upstream.flow()
        pending = self._registrations.begin(
            known_uri(request.to_uri or ""),
            request.from_ or "",
            flow,
            upstream,
            user_agent=request.user_agent,
            with_credentials=request.authorization is not None,
        )
        own = self._registrations.add_contact(
            pending, contact, _number(request.expires), way
        )
        self._registrations.check_room(pending)
        self._back.remember(flow)
        below = _replace_line(request.below, "Contact", contact, own)
        branch, head = self._write(
            request, request.uri, below, routes, flow, way, "", TO_PBX
        )
        self._site.send(head + body, way)
        self._registrations.passed(branch, pending)
        return True

    def _pass_to_pbx(self, request: PlainRequest, body: bytes, flow: Flow) -> bool:
        target = known_uri(request.uri)
        if (
            target.scheme != "sip"
            or self._site.is_own(target.host, target.port, flow)
            or self._location.find_in_dialog(target.user) is not None
        ):
            return False
        token, routes = self._pop_own(request, flow)
        user = known_uri(request.from_uri or "").user
        binding = self._location.speaker(flow, token, user)
        if binding is None:
            return False
        line = binding.line
        upstream = self._upstreams.get(binding.pbx)
        if (
            upstream is None
            or (request.method in DIALLING and line in self._treated.lines)
            or (request.method in FOLLOWED and self._calls.watches(line))
        ):
            return False
        self._back.remember(flow)
        way = upstream.flow()
        _, head = self._write(
            request,
            request.uri,
            request.below,
            routes,
            flow,
            way,
            binding.token,
            TO_PBX,
        )
        self._site.send(head + body, way)
        return True

    def _pass_to_phone(
        self, request: PlainRequest, body: bytes, flow: Flow, upstream: Upstream
    ) -> bool:
        method, uri = request.method, request.uri
        if self._treated.kept and method in KEPT:
            return False
        target = known_uri(uri)
        if self._location.find_in_dialog(target.user) is not None:
            return False
        token, routes = self._pop_own(request, flow)
        if routes:
            return False
        mirrored = token is None
        if mirrored:
            if not self._site.is_own(target.host, target.port, flow):
                return False
            token = target.parameters.get(PARAMETER)
        find = (
            self._location.find
            if request.to_tag is None
            else self._location.find_in_dialog
        )
        binding = find(token or "")
        if binding is None or binding.pbx != upstream.config.id:
            return False
        line = binding.line
        if (method == "INVITE" and line in self._treated.lines) or (
            method in FOLLOWED and self._calls.watches(line)
        ):
            return False
        if mirrored:
            uri = binding.contact
        way = binding.flow
        _, head = self._write(
            request, uri, request.below, routes, flow, way, binding.token, TO_PHONE
        )
        self._site.send(head + body, way)
        self._registrations.reached(binding)
        return True

    def _pop_own(
        self, request: PlainRequest, flow: Flow
    ) -> tuple[str | None, list[str]]:
        """Return the token in our own Route values on top, and the other values.

        Raises HeaderError.
        """
        if request.routes is None:
            return None, []
        routes = request.routes.split("\r\nRoute: ")
        is_own, token = self._routes.read_own(routes[0], flow)
        if is_own:
            del routes[0]
            if token is not None and routes and route_uri(routes[0]).user == token:
                del routes[0]
        return token, routes

    def _write(
        self,
        request: PlainRequest,
        uri: str,
        below: str,
        routes: list[str],
        source: Flow,
        way: Flow,
        token: str,
        direction: str,
    ) -> tuple[str, bytes]:
        """Return branch and head of a request as it leaves (16.6).

        `below` are the lines below its Via.
        """
        host, port = source.remote
        received = rport = ""
        via = f"{request.sent_by};branch={request.branch}{request.alias or ''}"
        if request.before or request.behind:
            received, rport = host, str(port)
            via += f";rport={rport};received={received}"
        elif request.host.lower() != host:
            received = host
            via += f";received={received}"
        sender = sender_text(request.host.lower(), request.port or "", received, rport)
        branch = (
            direction
            + self._tokens.transaction(direction, request.branch, sender)
            + loop_part(uri, "\n".join(routes))
        )
        value = branch + self._back.number(source)
        forwards = request.forwards or ""
        below = _replace_line(below, "Max-Forwards", forwards, str(int(forwards) - 1))
        if request.routes is not None:
            left = "".join([f"\r\nRoute: {value}" for value in routes])
            below = below.replace(f"\r\nRoute: {request.routes}", left, 1)
        lines = [
            f"{request.method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{way.transport} {self._site.sent_by(way)};branch={value}",
            *self._routes.record(request.method, source, way, token),
            f"Via: {via}{below}\r\n\r\n",
        ]
        return branch, "\r\n".join(lines).encode("latin-1")


def _replace_line(lines: str, name: str, old: str, new: str) -> str:
    """Replace the value of the first line of a name; each has its line end in front."""
    return lines.replace(f"\r\n{name}: {old}", f"\r\n{name}: {new}", 1)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
