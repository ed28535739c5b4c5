"""Calls of a PBX to phones, message by message, and a policy that the test decides."""

from collections.abc import Mapping

from custom_components.dfks.sip import (
    NO_ANSWER,
    UNAVAILABLE,
    UNCONDITIONAL,
    USER_BUSY,
    CallPlan,
    IncomingCall,
    Redirect,
    Reject,
    TakePlan,
)
from tests.phone import RawPeer, Request, Response, settle
from tests.phone.raw import Override

from .peers import Pbx, ProxiedPhone

TARGET = "203"
DND = CallPlan(at_once=Reject(486))
ALWAYS = CallPlan(at_once=Redirect(TARGET, UNCONDITIONAL))
BUSY = CallPlan(busy=Redirect(TARGET, USER_BUSY))
# Two rings of six seconds.
NO_REPLY = CallPlan(
    no_answer=Redirect(TARGET, NO_ANSWER),
    ring_seconds=12.0,
    unreachable=Redirect(TARGET, UNAVAILABLE),
)


class ScriptedPolicy:
    """Decides what it is told to, and keeps what it is asked."""

    def __init__(self, decision: CallPlan | None = None) -> None:
        """Decide the same of each call."""
        self.decision = decision
        self.asks = False
        self.calls: list[IncomingCall] = []
        self.takes: list[TakePlan] = []
        self.numbers: list[str] = []
        self.redirections: list[IncomingCall] = []

    def plan(self, call: IncomingCall) -> CallPlan | None:
        """Return the decision."""
        self.calls.append(call)
        return self.decision

    def ask(self, call: IncomingCall, take: TakePlan) -> bool:
        """Keep who is to be told."""
        if self.asks:
            self.takes.append(take)
        return self.asks

    def dialled(self, number: str) -> None:
        """Keep the number."""
        self.numbers.append(number)

    def redirected(self, call: IncomingCall) -> None:
        """Keep the call."""
        self.redirections.append(call)


class PbxCall:
    """A call of the PBX: its INVITE, and what the PBX sends with it."""

    def __init__(
        self,
        pbx: Pbx,
        registration: Request,
        headers: Mapping[str, Override] | None = None,
    ) -> None:
        """Build the INVITE; nothing is sent."""
        self.pbx = pbx
        self.invite = pbx.call(registration, "INVITE", headers)

    def send(self) -> None:
        """Send the INVITE, once more if need be."""
        self.pbx.send(self.invite)

    def cancel(self, reason: str = "") -> None:
        """Give the call up."""
        cancel = self.invite.replace(b"INVITE", b"CANCEL")
        if reason:
            cancel = cancel.replace(b"\r\n", f"\r\nReason: {reason}\r\n".encode(), 1)
        self.pbx.send(cancel)

    def acknowledge(self, response: Response) -> None:
        """Send the ACK to a refusal (RFC 3261 17.1.1.3)."""
        ack = self.invite.replace(b"INVITE", b"ACK")
        head, separator, body = ack.partition(b"\r\n\r\n")
        lines = [
            f"To: {response.get('To')}".encode() if line.startswith(b"To:") else line
            for line in head.split(b"\r\n")
        ]
        self.pbx.send(b"\r\n".join(lines) + separator + body)

    async def answer(self) -> Response:
        """Return the next final response, with those before it left out."""
        while (response := await self.pbx.next_response()).status < 200:
            pass
        return response

    async def refusal(self) -> Response:
        """Return the final response, which gets its ACK."""
        response = await self.answer()
        assert response.status >= 300
        self.acknowledge(response)
        await settle()
        return response


def reply(peer: RawPeer, request: Request, status: int, body: bytes = b"") -> None:
    """Have a phone answer a request in a dialog of its own."""
    response = request.response(status, extra=[("Contact", peer.contact)])
    response.headers = [
        (name, f"{value};tag=callee" if name == "To" and "tag=" not in value else value)
        for name, value in response.headers
    ]
    response.body = body
    peer.send(response.encode())


async def ring(phone: ProxiedPhone, call: PbxCall) -> Request:
    """Have a call ring a phone; return the INVITE as it came."""
    call.send()
    invite = await phone.next_request()
    assert invite.method == "INVITE"
    reply(phone, invite, 180)
    while (await call.pbx.next_response()).status != 180:
        pass
    return invite


async def stopped(
    phone: ProxiedPhone, invite: Request, *, with_487: bool = True
) -> None:
    """Have a phone take the CANCEL of its call, and refuse the call then."""
    cancel = await phone.next_request()
    assert (cancel.method, cancel.branch) == ("CANCEL", invite.branch)
    reply(phone, cancel, 200)
    if with_487:
        reply(phone, invite, 487)
        ack = await phone.next_request()
        assert (ack.method, ack.branch) == ("ACK", invite.branch)
    await settle()
