"""A peer that can log in and keep a dialog, for tests that look at every message.

Unlike `tests.phone.Phone` it does nothing by itself: each request, each answer to a
NOTIFY and each header field is the test's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import override
import uuid

from tests.loopback import PASSWORDS
from tests.phone import PATIENCE, Digest, RawPeer, Request, Response
from tests.phone.raw import Override
from tests.phone.wire import parameter, parse

from .echo import Echo, Line

type Headers = Mapping[str, Override]


class Caller(RawPeer):
    """A UDP socket or a stream that knows the password of its line."""

    package = Echo.name
    media_type = Echo.accept

    def __init__(self, user: str = "201") -> None:
        """Use `Caller.open`."""
        super().__init__(user)
        self.digest = Digest(username=user, password=PASSWORDS.get(user, ""))
        self._aside: list[Request | Response] = []

    async def _take[Kind: (Request, Response)](
        self, kind: type[Kind], timeout: float
    ) -> Kind:
        for message in self._aside:
            if isinstance(message, kind):
                self._aside.remove(message)
                return message
        while not isinstance(message := await self.next(timeout), kind):
            self._aside.append(message)
        return message

    @override
    async def next_response(self, timeout: float = PATIENCE) -> Response:
        """Return the next response; requests are set aside."""
        return await self._take(Response, timeout)

    @override
    async def next_request(self, timeout: float = PATIENCE) -> Request:
        """Return the next request; responses are set aside."""
        return await self._take(Request, timeout)

    async def so_far(self) -> list[Request | Response]:
        """Return all that the server has sent by now and nobody has taken.

        The server answers in order, so all of it comes before the answer to a question
        asked now. By then it has also seen everything that was sent before.
        """
        question = self.request("OPTIONS")
        branch = parse(question).branch
        self.send(question)
        while (message := await self.next()).branch != branch:
            self._aside.append(message)
        came, self._aside = self._aside, []
        return came

    async def settle(self) -> None:
        """Wait until the server has taken everything that was sent."""
        self._aside = await self.so_far()

    async def nothing(self) -> None:
        """Make sure that the server has sent nothing more."""
        came = await self.so_far()
        assert not came, f"this came: {[message.title for message in came]}"

    # Requests of the line

    async def log_in(self) -> None:
        """Get a challenge, so that requests can be signed."""
        response = await self.ask(self.request("REGISTER"))
        assert response.status == 401
        assert self.digest.take(response)

    def sign(self, data: bytes, *, digest: Digest | None = None) -> bytes:
        """Return a request with credentials for the nonce known, its count raised."""
        method, uri = data.decode("latin-1").split(" ", 2)[:2]
        value = (digest or self.digest).authorization(method, uri)
        head, _, body = data.partition(b"\r\n\r\n")
        return head + f"\r\nAuthorization: {value}\r\n\r\n".encode() + body

    def signed_request(
        self,
        method: str,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        uri: str | None = None,
    ) -> bytes:
        """Build a request with credentials; needs `log_in` before."""
        return self.sign(self.request(method, uri, headers, body))

    async def call(
        self,
        method: str,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        uri: str | None = None,
    ) -> Response:
        """Send a request with credentials and return the answer."""
        if self.digest.challenge is None:
            await self.log_in()
        return await self.ask(self.signed_request(method, headers, body, uri=uri))

    async def subscribe(
        self,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        uri: str | None = None,
        status: int = 200,
    ) -> Subscribed:
        """Subscribe, and answer the first NOTIFY with `status` (0: not at all)."""
        tag, call_id = uuid.uuid4().hex[:12], uuid.uuid4().hex
        fixed = {
            "From": f"<sip:{self.user}@phone.example>;tag={tag}",
            "Call-ID": call_id,
            "CSeq": "1 SUBSCRIBE",
        }
        response = await self.call("SUBSCRIBE", fixed | dict(headers or {}), body)
        assert response.status == 200, response.title
        subscribed = Subscribed(caller=self, response=response)
        subscribed.first = await subscribed.told(status)
        return subscribed

    async def subscribe_again(self, response: Response, body: bytes) -> Response:
        """Send a SUBSCRIBE in the dialog that a 200 has opened."""
        return await Subscribed(caller=self, response=response).send(body=body)


@dataclass(kw_only=True)
class Subscribed:
    """A dialog with a subscription, from the phone's side."""

    caller: Caller
    response: Response
    """The 200 to the first SUBSCRIBE."""
    first: Request = field(init=False)
    """The first NOTIFY."""
    cseq: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count where the first SUBSCRIBE did."""
        self.cseq = self.response.cseq[0]

    @property
    def tag(self) -> str:
        """The server's tag."""
        return self.response.to_tag

    def request(
        self, headers: Headers | None = None, body: bytes = b"", *, uri: str = ""
    ) -> bytes:
        """Build a SUBSCRIBE in the dialog, without credentials."""
        self.cseq += 1
        fixed = {
            "From": self.response.get("From"),
            "To": self.response.get("To"),
            "Call-ID": self.response.call_id,
            "CSeq": f"{self.cseq} SUBSCRIBE",
        }
        return self.caller.request(
            "SUBSCRIBE", uri or None, fixed | dict(headers or {}), body
        )

    async def send(self, headers: Headers | None = None, body: bytes = b"") -> Response:
        """Send a SUBSCRIBE in the dialog and return the answer."""
        return await self.caller.ask(self.caller.sign(self.request(headers, body)))

    async def told(self, status: int = 200, **headers: str) -> Request:
        """Return the next NOTIFY, answered with `status` (0: not at all)."""
        request = await self.caller.next_request()
        assert request.method == "NOTIFY", request.title
        if status:
            await self.answer(request, status, **headers)
        return request

    async def answer(self, notify: Request, status: int = 200, **headers: str) -> None:
        """Answer a NOTIFY and wait until the server has seen that."""
        self.caller.answer(notify, status, **headers)
        await self.caller.settle()


def state_of(notify: Request) -> str:
    """Return the Subscription-State of a NOTIFY."""
    return notify.get("Subscription-State")


def reason_of(notify: Request) -> str:
    """Return why a NOTIFY ends the subscription, empty where it does not."""
    return parameter(state_of(notify), "reason")


async def disconnected(line: Line) -> None:
    """Wait until a line has no live subscription."""
    await watched_by(line, 0)


async def watched_by(line: Line, count: int) -> None:
    """Wait until a line has so many live subscriptions."""
    async with asyncio.timeout(PATIENCE):
        while line.watchers != count:
            line.changed.clear()
            await line.changed.wait()
