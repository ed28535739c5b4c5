"""Calls to and from a desk phone (RFC 3261 sections 12, 13 and 15).

    bell = Bell(phone)
    bell.connect()
    await phone.register()
    call = await bell.incoming_call()
    bell.pick_up(call)
    await bell.until(call, CallState.ESTABLISHED)

    call = await bell.dial("202")
    await bell.until(call, CallState.ESTABLISHED)
    await bell.hang_up(call)

There is no sound, and the 200 is not sent again: it is made for loopback.
"""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
import uuid

from .link import PATIENCE
from .phone import Dialog, Phone, PhoneError
from .wire import Request, Response, address, canonical

# RFC 4566: one that offers a codec which every PBX has, at the discard port.
_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


class CallState(StrEnum):
    """How far a call is."""

    RINGING = "ringing"
    PICKED_UP = "picked up"
    """The 200 is sent, the ACK has not come."""
    ESTABLISHED = "established"
    CANCELLED = "cancelled"
    """The caller gave up, or another phone was quicker."""
    REFUSED = "refused"
    """The one that was called does not take it; `response` says why."""
    ENDED = "ended"


@dataclass(kw_only=True, eq=False)
class Call:
    """A call that came in, or went out."""

    invite: Request
    state: CallState = CallState.RINGING
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    sent: bytes = b""
    """The response that was sent last, for an INVITE that comes again."""
    dialog: Dialog | None = None
    """Of a call that went out: what tells it apart."""
    response: Response | None = None
    """The final response to it."""
    placing: asyncio.Task[None] | None = None
    """What waits for that."""


class Bell:
    """Rings when its phone is called, until it is picked up or the caller gives up."""

    def __init__(self, phone: Phone) -> None:
        """`phone` need not be started yet."""
        self.phone = phone
        self.calls: list[Call] = []
        self.placed: list[Call] = []
        self._taken = 0

    def connect(self) -> None:
        """Take the phone's calls from now on."""
        self.phone.servers["INVITE"] = self._on_invite
        for method in ("ACK", "BYE", "CANCEL"):
            self.phone.servers[method] = self._on_call

    async def incoming_call(self, timeout: float | None = PATIENCE) -> Call:
        """Return the next call that was not returned yet; it may be over by then."""
        await self.phone.wait_until(
            lambda: len(self.calls) > self._taken, timeout, "INVITE"
        )
        self._taken += 1
        return self.calls[self._taken - 1]

    async def until(
        self, call: Call, state: CallState, timeout: float = PATIENCE
    ) -> None:
        """Wait until a call is in a state."""
        await self.phone.wait_until(
            lambda: call.state is state, timeout, f"end of {call.state}: {state}"
        )

    async def until_over(
        self, call: Call, state: CallState, timeout: float | None = 60.0
    ) -> None:
        """Wait until a call is no longer in a state."""
        await self.phone.wait_until(
            lambda: call.state is not state, timeout, f"end of {state}"
        )

    def pick_up(self, call: Call) -> None:
        """Answer a call that rings."""
        call.state = CallState.PICKED_UP
        contact = ("Contact", self.phone.contact)
        self._answer(call, 200, contact, ("Content-Type", "application/sdp"), body=_SDP)

    def refuse(self, call: Call, status: int = 486, **headers: str) -> None:
        """Reject a call that rings, or redirect it with `contact=` and 302."""
        call.state = CallState.ENDED
        extra = [(name.title(), value) for name, value in headers.items()]
        self._answer(call, status, *extra)

    async def dial(self, number: str) -> Call:
        """Call a number at the phone's registrar; the call rings from here on."""
        phone = self.phone
        dialog = Dialog(remote=f"sip:{number}@{phone.aor.partition('@')[2]}")
        call = Call(
            invite=Request(
                method="INVITE",
                uri=dialog.remote,
                headers=[("Call-ID", dialog.call_id)],
            ),
            tag=dialog.local_tag,
            dialog=dialog,
        )
        self.placed.append(call)
        call.placing = asyncio.create_task(self._place(call, dialog))
        return call

    async def _place(self, call: Call, dialog: Dialog) -> None:
        content = ("Content-Type", "application/sdp")
        try:
            call.response = await self.phone.request(
                "INVITE",
                uri=dialog.remote,
                dialog=dialog,
                headers=[("Contact", self.phone.contact), content],
                body=_SDP,
            )
        except PhoneError:
            call.state = CallState.REFUSED
            return
        if call.state is CallState.RINGING:
            ok = call.response.ok
            call.state = CallState.ESTABLISHED if ok else CallState.REFUSED
        self.phone.wake()

    async def hang_up(self, call: Call) -> Response:
        """End a call that went out and was picked up."""
        assert call.dialog is not None
        call.state = CallState.ENDED
        return await self.phone.request("BYE", dialog=call.dialog)

    def _on_invite(self, request: Request) -> None:
        for call in self.calls:
            if call.invite.branch == request.branch:
                self.phone.send_raw(call.sent)
                return
        if request.uri != address(self.phone.contact):
            self.phone.note(f"{request.title}: the Contact is {self.phone.contact}")
        call = Call(invite=request)
        self.calls.append(call)
        self._answer(call, 180, ("Contact", self.phone.contact))

    def _on_call(self, request: Request) -> None:
        call = self._call_of(request)
        if call is None:
            self.phone.note(f"{request.title}: belongs to no call")
            if request.method != "ACK":
                self.phone.send_raw(request.response(481).encode())
        elif request.method == "ACK":
            if call.state is CallState.PICKED_UP:
                call.state = CallState.ESTABLISHED
        else:
            self.phone.send_raw(request.response(200).encode())
            if request.method == "BYE":
                call.state = CallState.ENDED
            elif call.state is CallState.RINGING:
                call.state = CallState.CANCELLED
                self._answer(call, 487)

    def _call_of(self, request: Request) -> Call | None:
        """Return the call of a CANCEL, an ACK or a BYE (sections 9.2 and 12.2.2)."""
        for call in (*self.calls, *self.placed):
            if request.call_id == call.invite.call_id and (
                request.to_tag == call.tag or request.branch == call.invite.branch
            ):
                return call
        return None

    def _answer(
        self, call: Call, status: int, *extra: tuple[str, str], body: bytes = b""
    ) -> None:
        response = call.invite.response(status, extra=extra)
        response.headers = [
            (name, f"{value};tag={call.tag}" if canonical(name) == "to" else value)
            for name, value in response.headers
        ]
        response.body = body
        call.sent = response.encode()
        self.phone.send_raw(call.sent)
