"""The PBX itself: who is registered, who calls whom."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
import hashlib
import re
from typing import Self, override
import uuid

from tests.phone.digest import parse_fields
from tests.phone.wire import (
    Message,
    Request,
    Response,
    WireError,
    address,
    canonical,
    host_port,
    parameter,
    parse,
)

Address = tuple[str, int]

DOMAIN = "pbx.example"


@dataclass(kw_only=True)
class Contact:
    """Where a phone has registered: its Contact, as it came."""

    uri: str
    expires: int
    source: Address


@dataclass(kw_only=True, eq=False)
class Leg:
    """One dialog of a call, with the phone at its other end."""

    call_id: str
    local: str
    """Our address with its tag, as From or To says it."""
    remote: str
    target: str
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    invite: Request | None = None
    """What was received for it, or sent."""
    source: Address | None = None
    """Where the caller's INVITE came from."""
    established: bool = False


@dataclass(kw_only=True, eq=False)
class PbxCall:
    """A call: the caller's leg, and one for each Contact that is called."""

    caller: Leg
    called: list[Leg]
    answered: Leg | None = None

    def other(self, leg: Leg) -> Leg | None:
        """Return the leg at the other side."""
        return self.answered if leg is self.caller else self.caller


class SimulatedPbx(asyncio.DatagramProtocol):
    """A registrar with passwords that connects calls between its users."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        domain: str = DOMAIN,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Know users and their passwords; port 0 is any that is free.

        `report` is told in words what happens.
        """
        self._report = report
        self.users = dict(users)
        self.domain = domain
        self.address: Address = (host, port)
        self.max_expires = 3600
        """Seconds that it grants."""
        self.knows_keys = False
        """Whether it takes subscriptions to feature keys."""
        self.follows = True
        """Whether it calls the target of a 302."""
        self.priority = ""
        """The Priority of its calls, if they have one."""
        self.keeps_one = False
        """Whether a line has one Contact, that of the newest REGISTER."""
        self.silent = False
        """Whether it answers nothing, as one that is switched off."""
        self.contacts: dict[str, list[Contact]] = {}
        self.calls: list[PbxCall] = []
        self.requests: list[Request] = []
        """Everything that has come in, repetitions aside."""
        self._nonces: set[str] = set()
        # What has come in, and the final answers to it, by branch and method.
        self._heard: dict[tuple[str, str], bytes] = {}
        self._answers: dict[tuple[str, str], bytes] = {}
        self._transport: asyncio.DatagramTransport | None = None
        # The legs whose INVITE or BYE waits for an answer, by branch.
        self._pending: dict[str, tuple[PbxCall, Leg]] = {}

    async def __aenter__(self) -> Self:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=self.address
        )
        self.address = self._transport.get_extra_info("sockname")[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    # --- Messages in and out ---

    @override
    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a message."""
        if self.silent or not data.strip():
            return
        try:
            message = parse(data)
        except WireError:
            return
        if isinstance(message, Response):
            self._on_response(message)
            return
        _mark_source(message, addr)
        key = message.branch, message.method
        if self._heard.get(key) == data:
            # A repetition: the same again, and no other request.
            if answer := self._answers.get(key):
                self._send(answer, addr)
            return
        self._heard[key] = data
        self.requests.append(message)
        handlers: dict[str, Callable[[Request, Address], None]] = {
            "REGISTER": self._register,
            "INVITE": self._invite,
            "ACK": self._ack,
            "BYE": self._bye,
            "CANCEL": self._cancel,
            "OPTIONS": partial(self._answer, status=200),
            "SUBSCRIBE": self._subscribe,
        }
        source = addr[:2]
        if (handler := handlers.get(message.method)) is not None:
            handler(message, source)
        else:
            self._answer(message, source, 501)

    def _send(self, data: bytes, destination: Address) -> None:
        assert self._transport is not None
        self._transport.sendto(data, destination)

    def _answer(
        self,
        request: Request,
        source: Address,
        status: int,
        *extra: tuple[str, str],
        tag: str = "",
        body: bytes = b"",
    ) -> None:
        response = request.response(status, extra=extra)
        if status > 100 and not request.to_tag:
            tag = tag or uuid.uuid4().hex[:12]
            response.headers = [
                (name, f"{value};tag={tag}" if canonical(name) == "to" else value)
                for name, value in response.headers
            ]
        response.body = body
        data = response.encode()
        if status >= 200:
            self._answers[request.branch, request.method] = data
        self._send(data, source)

    def _subscribe(self, request: Request, source: Address) -> None:
        """Take a subscription to feature keys, or none; nothing is ever told."""
        self._answer(request, source, 200 if self.knows_keys else 489)

    # --- Passwords ---

    def _has_password(self, request: Request, source: Address) -> bool:
        """Tell whether a request is a user's; else ask for the password."""
        fields = parse_fields(request.get("Authorization"))
        user = fields.get("username", "")
        password = self.users.get(user)
        named = _user(address(request.get("From")))
        if fields.get("nonce") in self._nonces and password and user == named:
            middle = fields["nonce"]
            if "qop" in fields:
                middle += f":{fields['nc']}:{fields['cnonce']}:auth"
            ha1 = _md5(f"{user}:{self.domain}:{password}")
            ha2 = _md5(f"{request.method}:{fields['uri']}")
            if fields.get("response") == _md5(f"{ha1}:{middle}:{ha2}"):
                return True
        nonce = uuid.uuid4().hex
        self._nonces.add(nonce)
        challenge = f'Digest realm="{self.domain}", nonce="{nonce}", qop="auth"'
        self._answer(request, source, 401, ("WWW-Authenticate", challenge))
        return False

    # --- Registrations ---

    def _register(self, request: Request, source: Address) -> None:
        if not self._has_password(request, source):
            return
        user = _user(address(request.get("To")))
        contacts = self.contacts.setdefault(user, [])
        for value in request.values("Contact"):
            uri = address(value)
            if self.keeps_one:
                contacts.clear()
            contacts[:] = [known for known in contacts if known.uri != uri]
            asked = parameter(value, "expires") or request.get("Expires", "3600")
            expires = min(int(asked), self.max_expires)
            if expires:
                contacts.append(Contact(uri=uri, expires=expires, source=source))
        state = "is registered" if contacts else "is not registered any more"
        self._report(f"{user} {state}")
        shown = [("Contact", f"<{c.uri}>;expires={c.expires}") for c in contacts]
        self._answer(request, source, 200, *shown)

    # --- Calls ---

    def _invite(self, request: Request, source: Address) -> None:
        if request.to_tag:
            self._answer(request, source, 488)
            return
        if not self._has_password(request, source):
            return
        number = _user(request.uri)
        contacts = self.contacts.get(number, [])
        if number not in self.users:
            self._answer(request, source, 404)
            return
        if not contacts:
            self._answer(request, source, 480)
            return
        self._report(f"{_user(address(request.get('From')))} calls {number}")
        self._answer(request, source, 100)
        tag = uuid.uuid4().hex[:12]
        caller = Leg(
            call_id=request.call_id,
            local=f"{request.get('To')};tag={tag}",
            remote=request.get("From"),
            target=address(request.get("Contact")),
            routes=request.values("Record-Route"),
            invite=request,
            source=source,
        )
        call = PbxCall(caller=caller, called=[])
        self.calls.append(call)
        self._call(call, number, contacts)

    def _call(
        self,
        call: PbxCall,
        number: str,
        contacts: list[Contact],
        *extra: tuple[str, str],
    ) -> None:
        """Call all phones of a user."""
        request = call.caller.invite
        assert request is not None
        name = request.get("From").partition(";")[0]
        content = ("Content-Type", request.get("Content-Type"))
        if self.priority:
            extra = (*extra, ("Priority", self.priority))
        for contact in contacts:
            leg = Leg(
                call_id=uuid.uuid4().hex,
                local=f"{name};tag={uuid.uuid4().hex[:12]}",
                remote=f"<sip:{number}@{self.domain}>",
                target=contact.uri,
            )
            call.called.append(leg)
            leg.invite = self._request(
                call, leg, "INVITE", content, *extra, body=request.body
            )

    def _request(
        self,
        call: PbxCall,
        leg: Leg,
        method: str,
        *extra: tuple[str, str],
        body: bytes = b"",
        branch: str = "",
    ) -> Request:
        """Send a request in a leg."""
        if method not in ("ACK", "CANCEL"):
            leg.cseq += 1
        branch = branch or f"z9hG4bK{uuid.uuid4().hex}"
        host, port = self.address
        request = Request(
            method=method,
            uri=leg.target,
            headers=[
                ("Via", f"SIP/2.0/UDP {host}:{port};branch={branch};rport"),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in leg.routes),
                ("From", leg.local),
                ("To", leg.remote),
                ("Call-ID", leg.call_id),
                ("CSeq", f"{leg.cseq} {method}"),
                ("Contact", f"<sip:pbx@{host}:{port}>"),
                ("User-Agent", "Simulated-PBX/1.0"),
                *extra,
            ],
            body=body,
        )
        if method in ("INVITE", "BYE"):
            self._pending[branch] = call, leg
        first = address(leg.routes[0]) if leg.routes else leg.target
        hop_host, hop_port = host_port(first)
        self._send(request.encode(), (hop_host, hop_port or 5060))
        return request

    def _on_response(self, response: Response) -> None:
        call, leg = self._pending.get(response.branch, (None, None))
        if call is None or leg is None or response.cseq[1] != "INVITE":
            return
        if response.status < 200:
            if response.status > 100 and call.answered is None:
                self._tell_caller(call, response.status)
            return
        leg.remote = response.get("To")
        if not response.ok:
            self._request(call, leg, "ACK", branch=response.branch)
            call.called.remove(leg)
            if response.status == 302 and self.follows:
                self._forward(call, response)
            if not call.called and call.answered is None:
                self._tell_caller(call, response.status)
            return
        leg.routes = response.values("Record-Route")[::-1]
        leg.target = address(response.get("Contact"))
        self._request(call, leg, "ACK")
        if call.answered is not None:
            return
        call.answered, leg.established = leg, True
        for other in call.called:
            if other is not leg:
                self._cancel_leg(call, other)
        self._tell_caller(call, 200, response)

    def _forward(self, call: PbxCall, response: Response) -> None:
        """Call the target of a 302, if it is a user who is there."""
        number = _user(address(response.get("Contact")))
        self._report(f"the call is forwarded to {number}")
        if contacts := self.contacts.get(number):
            self._tell_caller(call, 181)
            diversions = [
                ("Diversion", value) for value in response.values("Diversion")
            ]
            self._call(call, number, contacts, *diversions)

    def _tell_caller(
        self, call: PbxCall, status: int, response: Message | None = None
    ) -> None:
        caller = call.caller
        assert caller.invite is not None and caller.source is not None
        host, port = self.address
        extra = [("Contact", f"<sip:pbx@{host}:{port}>")]
        body = b""
        if response is not None:
            extra.append(("Content-Type", response.get("Content-Type")))
            body = response.body
        tag = parameter(caller.local, "tag")
        self._answer(caller.invite, caller.source, status, *extra, tag=tag, body=body)

    def _ack(self, request: Request, source: Address) -> None:
        for call in self.calls:
            if call.caller.call_id == request.call_id and call.answered is not None:
                call.caller.established = True

    def _bye(self, request: Request, source: Address) -> None:
        for call in self.calls:
            for leg in (call.caller, call.answered):
                if leg is not None and leg.call_id == request.call_id:
                    self._answer(request, source, 200)
                    self._report("the call has ended")
                    other = call.other(leg)
                    self.calls.remove(call)
                    if other is not None:
                        self._request(call, other, "BYE")
                    return
        self._answer(request, source, 481)

    def _cancel(self, request: Request, source: Address) -> None:
        for call in self.calls:
            invite = call.caller.invite
            if invite is not None and invite.branch == request.branch:
                self._answer(request, source, 200)
                self._tell_caller(call, 487)
                for leg in call.called:
                    self._cancel_leg(call, leg)
                self.calls.remove(call)
                return
        self._answer(request, source, 481)

    def _cancel_leg(self, call: PbxCall, leg: Leg) -> None:
        assert leg.invite is not None
        self._request(call, leg, "CANCEL", branch=leg.invite.branch)


def _mark_source(request: Request, source: Address) -> None:
    """Write into the top Via where a request came from (RFC 3581 section 4)."""
    for index, (name, value) in enumerate(request.headers):
        if canonical(name) == "via":
            first, comma, rest = value.partition(",")
            marked = f";received={source[0]};rport={source[1]}"
            first = re.sub(r";rport(?=;|$)", marked, first)
            request.headers[index] = name, f"{first}{comma}{rest}"
            return


def _user(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
