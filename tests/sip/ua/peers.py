"""A server that notifies, and what is heard of it: every message is the test's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import override

from custom_components.dfks.sip import SubscriptionStatus
from custom_components.dfks.sip.following import RemoteLine
from tests.phone import Request
from tests.phone.raw import Override
from tests.phone.wire import address
from tests.sip.proxy.peers import Pbx, StreamPbx

TAG = "notifier-1"
BODY = b"on"


class Package:
    """A made-up event package."""

    event = "echo"
    accept = "text/echo, multipart/mixed"
    content_type = "text/echo"


@dataclass(eq=False)
class Heard:
    """What the floor above is told."""

    line: RemoteLine | None = None
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    statuses: list[SubscriptionStatus] = field(default_factory=list)

    def notified(self, content_type: str, body: bytes) -> None:
        """Keep a body."""
        self.bodies.append((content_type, body))

    def status_changed(self) -> None:
        """Keep a status."""
        assert self.line is not None
        self.statuses.append(self.line.subscriber.status)


class NotifierMixin(Pbx):
    """Answers SUBSCRIBEs and sends NOTIFYs as it is told to."""

    def answer_subscribe(
        self, request: Request, status: int = 200, *, tag: str = TAG, **headers: str
    ) -> None:
        """Answer a SUBSCRIBE; a 2xx and a NOTIFY have the same tag."""
        fields = {"contact": self.contact, **headers} if status < 300 else headers
        response = request.response(
            status,
            extra=[(k.replace("_", "-").title(), v) for k, v in fields.items() if v],
        )
        if ";tag=" not in request.get("To"):
            response.headers = [
                (name, f"{value};tag={tag}" if name.lower() == "to" else value)
                for name, value in response.headers
            ]
        self.send(response.encode())

    def notification(
        self,
        request: Request,
        state: str = "active;expires=3600",
        headers: Mapping[str, Override] | None = None,
        body: bytes = BODY,
        *,
        cseq: int = 1,
        tag: str = TAG,
    ) -> bytes:
        """Build a NOTIFY for the subscription of a SUBSCRIBE."""
        own: dict[str, Override] = {
            "From": f"{request.get('To').partition(';tag=')[0]};tag={tag}",
            "To": request.get("From"),
            "Call-ID": request.get("Call-ID"),
            "CSeq": f"{cseq} NOTIFY",
            "Event": "echo",
            "Subscription-State": state,
        }
        if body:
            own["Content-Type"] = "text/echo"
        return self.request(
            "NOTIFY", address(request.get("Contact")), own | dict(headers or {}), body
        )

    async def notify(
        self,
        request: Request,
        state: str = "active;expires=3600",
        headers: Mapping[str, Override] | None = None,
        body: bytes = BODY,
        *,
        cseq: int = 1,
        tag: str = TAG,
        status: int = 200,
    ) -> None:
        """Send a NOTIFY, and see how it is answered."""
        self.send(self.notification(request, state, headers, body, cseq=cseq, tag=tag))
        response = await self.next_response()
        assert response.status == status, response.start_line

    async def accept_subscribe(self, state: str = "active;expires=3600") -> Request:
        """Take a SUBSCRIBE and tell the state."""
        request = await self.next_request()
        assert request.method == "SUBSCRIBE"
        self.answer_subscribe(request, expires="3600")
        await self.notify(request, state)
        return request

    async def refuse_subscribe(self, status: int, **headers: str) -> None:
        """Take a SUBSCRIBE and refuse it, or challenge it."""
        request = await self.next_request()
        assert request.method == "SUBSCRIBE"
        self.answer_subscribe(request, status, **headers)


class Notifier(NotifierMixin):
    """One that speaks UDP."""


class StreamNotifier(StreamPbx, NotifierMixin):
    """One that takes connections."""

    @property
    @override
    def contact(self) -> str:
        """Where it listens."""
        return f"<sip:pbx@127.0.0.1:{self.port};transport=tcp>"
