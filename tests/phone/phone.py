"""A simulated desk phone for as-feature-event.

    async with Phone("201", "reception-201", ("127.0.0.1", 5060)) as phone:
        await phone.register()
        await phone.subscribe()
        await phone.notification()  # the full state
        await phone.set_dnd(True)
        await phone.until(lambda lamps: lamps[DND].on)
        assert phone.violations == []

The lamps (`features`) follow accepted NOTIFYs and nothing else. Every wait has a
timeout and says what came instead. Nothing is hidden: `log` has each message that was
sent or received, `notifications` each NOTIFY, `violations` each breach of the rules.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
import ssl
from typing import Self
import uuid

from . import documents
from .checks import check_notify, check_response, parse_documents
from .digest import Digest
from .documents import CONTENT_TYPE, Document, Lamp
from .link import PATIENCE, Address, Link, open_link
from .wire import Request, Response, WireError, address, parameter, parse

# RFC 3261 section 17.1.2.2, in seconds.
T1 = 0.5
T2 = 4.0

# Seconds that a call rings before its caller gives up waiting.
RINGING = 60.0

PACKAGE = "as-feature-event"
DEFAULT_EXPIRES = 3600  # seconds
MAX_TRIES = 3  # a request, its answer to the challenge, one stale nonce


class PhoneError(Exception):
    """The phone could not do what it was asked for."""


class PhoneTimeout(PhoneError, TimeoutError):
    """What was waited for did not come in time.

    The text tells what came meanwhile, `brief` has only what did not come.
    """

    def __init__(self, brief: str, details: str = "") -> None:
        """Put both texts together."""
        self.brief = brief
        super().__init__(f"{brief}. {details}" if details else brief)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How to answer one NOTIFY.

    `status` 0 is silence until `Phone.respond` is called. `delay` is in seconds;
    `lost` copies of the NOTIFY get nothing before one is answered.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    lost: int = 0


SILENCE = Answer(status=0)

Answering = Callable[["Notification"], Answer]


@dataclass(kw_only=True)
class Notification:
    """A NOTIFY that a subscription of the phone received."""

    request: Request
    documents: list[Document]
    violations: list[str]
    copies: int = 1
    """How often it came: more than once when the server sent it again."""
    answered: int = 0
    """The status it was answered with, 0 while it is not."""

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        return self.request.raw

    @property
    def features(self) -> dict[str, Lamp]:
        """What the documents say, by feature, in their order."""
        found = ((doc.feature, doc.lamp) for doc in self.documents)
        return {feature: lamp for feature, lamp in found if feature and lamp}

    @property
    def cseq(self) -> int:
        """The sequence number."""
        return self.request.cseq[0]

    @property
    def state(self) -> str:
        """The subscription's state: active, pending or terminated."""
        return self.request.get("Subscription-State").partition(";")[0].strip()

    @property
    def reason(self) -> str:
        """Why the subscription ended, empty while it lives."""
        return parameter(self.request.get("Subscription-State"), "reason")

    @property
    def expires(self) -> int | None:
        """The seconds left."""
        text = parameter(self.request.get("Subscription-State"), "expires")
        return int(text) if text.isdigit() else None


@dataclass(kw_only=True)
class Dialog:
    """Call-ID, tags and sequence numbers of one conversation with the server."""

    call_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    local_tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    remote_tag: str = ""
    remote_target: str = ""
    contact: str = ""
    """Where the phone said last that it can be reached: a URI."""
    remote: str = ""
    """The other's address, which is not there where it is the line's own."""
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    remote_cseq: int = 0
    event: str = PACKAGE
    expires: int = DEFAULT_EXPIRES
    """The seconds granted last."""
    state: str = ""
    """Empty before the first NOTIFY, then what its Subscription-State said."""


@dataclass(frozen=True)
class Logged:
    """One message on the wire."""

    sent: bool
    raw: bytes

    @property
    def line(self) -> str:
        """The direction and the message in one line."""
        return f"{'sent' if self.sent else 'received'} {describe(self.raw)}"


def describe(data: bytes) -> str:
    """Describe a message in one line: start line, CSeq, state and documents."""
    try:
        message = parse(data)
    except WireError:
        return repr(data[:80])
    found, _ = parse_documents(message)
    details = [message.get("Subscription-State"), *(doc.root for doc in found)]
    return " ".join([message.title, *filter(None, details)])


class Phone:
    """One line of a simulated desk phone. Many live in one event loop."""

    def __init__(
        self,
        user: str,
        password: str,
        server: Address,
        *,
        transport: str = "udp",
        auth_name: str | None = None,
        algorithm: str = "MD5",
        user_agent: str = "Simulated-Phone/1.0",
        instance: str | None = None,
        contact: str | None = None,
        domain: str | None = None,
        registrar: str | None = None,
        display_name: str = "",
        expires: int = DEFAULT_EXPIRES,
        local: Address | None = None,
        tls: ssl.SSLContext | None = None,
        retransmit: bool = True,
        timeout: float = PATIENCE,
        aor_in_dialog: bool = False,
        answer: Answering | None = None,
    ) -> None:
        """Describe the phone; `start` puts it on the network.

        `transport` is udp, tcp or tls. `algorithm` is MD5 (an old phone that reads the
        first challenge only) or SHA-256. `instance` is a `urn:uuid:…`. `contact`
        replaces the whole Contact value, `domain` the host in From and To. `registrar` is
        the host, and port, that the account is at, where `server` is but the phone's
        outbound proxy. `display_name` is what the phone calls the line. `expires`
        and `timeout` (of an answer) are in seconds. With `aor_in_dialog` the phone
        writes its own address instead of the server's Contact into the Request-URI of
        a dialog, as Panasonic's do. `answer` decides how NOTIFYs
        are answered that `answer_next` says nothing about: 200 by default.
        """
        self.user = user
        self.server = server
        self.transport = transport
        self.digest = Digest(
            username=user if auth_name is None else auth_name,
            password=password,
            algorithm=algorithm,
        )
        self.user_agent = user_agent
        self.instance = instance
        self.expires = expires
        self.local = local
        self.tls = tls
        self.retransmit = retransmit
        self.timeout = timeout
        self.aor_in_dialog = aor_in_dialog
        self.answer = answer or (lambda _: Answer())

        self.features: dict[str, Lamp] = {}
        self.notifications: list[Notification] = []
        self.strays: list[Request] = []
        """Requests that fit no subscription; they were answered with 481."""
        self.servers: dict[str, Callable[[Request], None]] = {}
        """What answers requests, by method; NOTIFY and OPTIONS need none."""
        self.log: list[Logged] = []
        self.violations: list[str] = []
        self.lost = ""
        """Why the connection is gone, empty while it is there."""
        self.registration = Dialog()
        self.dialog: Dialog | None = None

        self._contact = contact
        self._registrar = registrar or f"{_bracketed(server[0])}:{server[1]}"
        self._name = f'"{display_name}" ' if display_name else ""
        self._domain = domain or registrar or _bracketed(server[0])
        self._link: Link | None = None
        self._pending: dict[str, tuple[Request, asyncio.Future[Response]]] = {}
        # The INVITEs of which the other side has said that it works on them.
        self._proceeding: set[str] = set()
        self._answers: dict[str, bytes] = {}
        self._dialogs: dict[tuple[str, str], Dialog] = {}
        self._seen: dict[str, Notification] = {}
        self._replies: dict[str, tuple[Answer, bytes]] = {}
        self._planned: deque[Answer] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._taken = 0
        self._taken_raw = 0

    # --- On and off the network ---

    async def __aenter__(self) -> Self:
        """Start the phone."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def start(self) -> None:
        """Open the socket or connection; raises OSError where that fails."""
        self.lost = ""
        self._link = await open_link(
            self.transport,
            self.server,
            local=self.local,
            tls=self.tls,
            receive=self._received,
            lost=self._connection_lost,
        )

    async def close(self) -> None:
        """Vanish without a word, as when the plug is pulled."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._connection_lost("the phone was closed")

    @property
    def link(self) -> Link:
        """The way to the server; raises PhoneError before `start`."""
        if self._link is None:
            raise PhoneError("the phone is not started")
        return self._link

    @property
    def aor(self) -> str:
        """The line's address, as the phone writes it into From and To."""
        return f"sip:{self.user}@{self._domain}"

    @property
    def contact(self) -> str:
        """The Contact that the phone sends."""
        if self._contact is not None:
            return self._contact
        host, port = self.link.local
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        instance = f';+sip.instance="<{self.instance}>"' if self.instance else ""
        return f"<sip:{self.user}@{_bracketed(host)}:{port}{suffix}>{instance}"

    @property
    def server_uri(self) -> str:
        """The registrar's address, as REGISTER and OPTIONS name it."""
        return f"sip:{self._registrar}"

    # --- What a phone does ---

    async def register(
        self, expires: int | None = None, *, authenticate: bool = True
    ) -> Response:
        """Register the Contact, or refresh it."""
        seconds = self.expires if expires is None else expires
        return await self.request(
            "REGISTER",
            uri=self.server_uri,
            dialog=self.registration,
            headers=[("Contact", self.contact), ("Expires", str(seconds))],
            authenticate=authenticate,
        )

    async def unregister(self) -> Response:
        """Remove the Contact."""
        return await self.register(0)

    async def options(self) -> Response:
        """Ask what the server can do."""
        return await self.request("OPTIONS", uri=self.server_uri, authenticate=False)

    async def subscribe(
        self,
        expires: int | None = None,
        body: bytes = b"",
        *,
        event: str = PACKAGE,
        headers: Iterable[tuple[str, str]] = (),
        authenticate: bool = True,
    ) -> Response:
        """Open a new subscription; one that was there is forgotten, as at a reboot.

        What the server still sends to a forgotten one is answered with 481.
        """
        if self.dialog is not None:
            self._forget(self.dialog)
        self.dialog = Dialog(event=event)
        seconds = self.expires if expires is None else expires
        return await self._subscribe(self.dialog, seconds, body, headers, authenticate)

    async def refresh(
        self,
        expires: int | None = None,
        body: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        authenticate: bool = True,
    ) -> Response:
        """Send a SUBSCRIBE in the subscription's dialog."""
        if self.dialog is None:
            raise PhoneError(f"{self.user} is not subscribed")
        seconds = self.expires if expires is None else expires
        return await self._subscribe(self.dialog, seconds, body, headers, authenticate)

    async def set_dnd(self, on: bool) -> Response:
        """Press the DND key. The lamp follows the NOTIFY, not this answer."""
        return await self.refresh(body=documents.set_dnd(on))

    async def set_forward(
        self,
        kind: str,
        on: bool,
        target: str | None = None,
        rings: int | str | None = None,
    ) -> Response:
        """Press a forwarding key; `kind` is always, busy or no-answer."""
        body = documents.set_forwarding(kind, on, target, rings)
        return await self.refresh(body=body)

    async def unsubscribe(self) -> Response:
        """End the subscription; the final NOTIFY is a `notification` as others are."""
        return await self.refresh(0)

    async def fetch(self) -> Response:
        """Ask for the state once, beside a subscription that may be there."""
        return await self._subscribe(Dialog(), 0, b"", (), True)

    async def request(
        self,
        method: str,
        *,
        uri: str | None = None,
        dialog: Dialog | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        authenticate: bool = True,
    ) -> Response:
        """Send any request and return its final response, challenges answered.

        Credentials of an earlier challenge go along with a rising nonce count, unless
        `authenticate` is off: then a 401 comes back as it is. Without `dialog` the
        request stands alone. Raises PhoneTimeout without an answer.
        """
        conversation = dialog or Dialog()
        extra = list(headers)
        for attempt in range(1, MAX_TRIES + 1):
            request = self._build(method, uri, conversation, extra, body)
            if authenticate and self.digest.challenge is not None:
                value = self.digest.authorization(method, request.uri)
                request.headers.append(("Authorization", value))
            response = await self._transact(request)
            if response.status != 401 or not authenticate or attempt == MAX_TRIES:
                break
            refused = request.has("Authorization")
            if not self.digest.take(response):
                break
            challenge = self.digest.challenge
            if refused and challenge is not None and not challenge.stale:
                self.digest.challenge = None
                break
        if method == "INVITE" and response.ok:
            self._set_remote(conversation, response, response.to_tag)
        return response

    # --- What a test waits for ---

    async def notification(self, timeout: float | None = PATIENCE) -> Notification:
        """Return the next NOTIFY that was not taken yet; None waits for ever."""
        await self.wait_until(
            lambda: len(self.notifications) > self._taken, timeout, "NOTIFY"
        )
        self._taken += 1
        return self.notifications[self._taken - 1]

    async def until(
        self, condition: Callable[[dict[str, Lamp]], bool], timeout: float = PATIENCE
    ) -> dict[str, Lamp]:
        """Wait until the lamps fulfil a condition; takes all NOTIFYs so far.

        It returns at once where they fulfil it already.
        """

        def fulfilled() -> bool:
            try:
                return condition(self.features)
            except KeyError:  # a lamp that the phone knows nothing of yet
                return False

        await self.wait_until(fulfilled, timeout, "NOTIFY that fulfils the condition")
        self._taken = len(self.notifications)
        return self.features

    async def quiet(self, seconds: float = 0.1) -> None:
        """Make sure that no further NOTIFY comes within a while.

        Raises AssertionError with the NOTIFY that came.
        """
        try:
            extra = await self.notification(seconds)
        except PhoneTimeout:
            return
        raise AssertionError(f"a NOTIFY came: {extra.request.title}\n{extra.raw!r}")

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; raises PhoneError when the connection is gone."""
        if self.lost:
            raise PhoneError(self.lost)
        self.log.append(Logged(True, data))
        self.link.send(data)

    async def next_raw(self, timeout: float = PATIENCE) -> bytes:
        """Return the next message of any kind that was not taken yet, as bytes."""

        def received() -> list[bytes]:
            return [entry.raw for entry in self.log if not entry.sent]

        await self.wait_until(
            lambda: len(received()) > self._taken_raw, timeout, "message"
        )
        self._taken_raw += 1
        return received()[self._taken_raw - 1]

    # --- How NOTIFYs are answered ---

    def answer_next(self, *answers: Answer | int) -> None:
        """Plan the answers to the next NOTIFYs, a bare status or an Answer each."""
        for answer in answers:
            if isinstance(answer, int):
                answer = Answer(status=answer)
            self._planned.append(answer)

    def respond(
        self,
        notification: Notification,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer a NOTIFY that got SILENCE so far."""
        answer = Answer(status=status, headers=tuple(headers))
        self._reply(notification, answer)

    # --- Requests out ---

    async def _subscribe(
        self,
        dialog: Dialog,
        expires: int,
        body: bytes,
        headers: Iterable[tuple[str, str]],
        authenticate: bool,
    ) -> Response:
        self._dialogs[dialog.call_id, dialog.local_tag] = dialog
        dialog.contact = address(self.contact)
        dialog.expires = max(dialog.expires, expires)
        response = await self.request(
            "SUBSCRIBE",
            dialog=dialog,
            headers=[
                ("Contact", self.contact),
                ("Event", dialog.event),
                ("Expires", str(expires)),
                ("Accept", CONTENT_TYPE),
                *headers,
            ],
            body=body,
            authenticate=authenticate,
        )
        if response.ok:
            dialog.expires = response.number("Expires") or 0
            self._set_remote(dialog, response, response.to_tag)
        elif response.status == 481 or not dialog.remote_tag:
            self._forget(dialog)
        return response

    def _forget(self, dialog: Dialog) -> None:
        dialog.state = "terminated"
        self._dialogs.pop((dialog.call_id, dialog.local_tag), None)
        if self.dialog is dialog:
            self.dialog = None

    def _set_remote(
        self, dialog: Dialog, message: Request | Response, tag: str
    ) -> None:
        """Take the server's side from the 2xx or the NOTIFY, whichever came first."""
        if dialog.remote_tag and dialog.remote_tag != tag:
            self.note(
                f"{message.title}: the tag was {dialog.remote_tag}, now it is {tag}"
            )
        if not dialog.remote_tag:
            routes = message.values("Record-Route")
            dialog.routes = routes if isinstance(message, Request) else routes[::-1]
        dialog.remote_tag = tag
        if message.has("Contact"):
            dialog.remote_target = address(message.get("Contact"))

    def _build(
        self,
        method: str,
        uri: str | None,
        dialog: Dialog,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> Request:
        dialog.cseq += 1
        host, port = self.link.local
        sent_by = f"{_bracketed(host)}:{port}"
        branch = f"z9hG4bK{uuid.uuid4().hex}"
        tag = f";tag={dialog.remote_tag}" if dialog.remote_tag else ""
        target = f"sip:{self.user}@{self._registrar}"
        remote = "" if self.aor_in_dialog else dialog.remote_target
        request = Request(
            method=method,
            uri=uri or remote or target,
            headers=[
                ("Via", f"SIP/2.0/{self.link.name} {sent_by};branch={branch};rport"),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in dialog.routes),
                ("From", f"{self._name}<{self.aor}>;tag={dialog.local_tag}"),
                ("To", f"<{dialog.remote or self.aor}>{tag}"),
                ("Call-ID", dialog.call_id),
                ("CSeq", f"{dialog.cseq} {method}"),
                ("User-Agent", self.user_agent),
                *headers,
            ],
            body=body,
        )
        if body and not request.has("Content-Type"):
            request.headers.append(("Content-Type", CONTENT_TYPE))
        return request

    async def _transact(self, request: Request) -> Response:
        """Send a request and wait for its final response (section 17.1.2)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        self._pending[request.branch] = (request, future)
        data = request.encode()
        deadline = loop.time() + self.timeout
        repeat = self.retransmit and self.transport == "udp"
        interval = T1 if repeat else self.timeout
        began, began_at = len(self.log), loop.time()
        try:
            self.send_raw(data)
            while loop.time() < deadline:
                left = deadline - loop.time()
                await asyncio.wait({future}, timeout=min(interval, left))
                if future.done():
                    if request.method == "INVITE":
                        self._acknowledge(request, future.result())
                    return future.result()
                if request.branch in self._proceeding:
                    # It rings for as long as it takes, and is not sent again (17.1.1.2).
                    repeat, deadline = False, began_at + RINGING
                    interval = self.timeout
                interval = min(2 * interval, T2) if repeat else interval
                if repeat and loop.time() + 0.01 < deadline:
                    self.send_raw(data)
        finally:
            del self._pending[request.branch]
        awaited = f"answer to {request.method}"
        raise self._missed(awaited, self.timeout, began)

    def _acknowledge(self, invite: Request, response: Response) -> None:
        """Send the ACK to the final response to an INVITE (17.1.1.3, 13.2.2.4)."""
        uri, routes, branch = invite.uri, invite.get_all("Route"), invite.branch
        if response.ok:
            uri = address(response.get("Contact"))
            routes = response.values("Record-Route")[::-1]
            branch = f"z9hG4bK{uuid.uuid4().hex}"
        host, port = self.link.local
        via = (
            f"SIP/2.0/{self.link.name} {_bracketed(host)}:{port};branch={branch};rport"
        )
        ack = Request(
            method="ACK",
            uri=uri,
            headers=[
                ("Via", via),
                ("Max-Forwards", "70"),
                *(("Route", route) for route in routes),
                ("From", invite.get("From")),
                ("To", response.get("To")),
                ("Call-ID", invite.call_id),
                ("CSeq", f"{invite.cseq[0]} ACK"),
            ],
        )
        self.send_raw(ack.encode())

    # --- Messages in ---

    def _received(self, data: bytes, source: Address) -> None:
        if not data.strip(b"\r\n\x00"):
            return
        self.log.append(Logged(False, data))
        try:
            message = parse(data)
        except WireError as error:
            self.note(str(error))
        else:
            if source != self.link.remote:
                self.note(
                    f"{message.title}: came from {source}, not {self.link.remote}"
                )
            if isinstance(message, Response):
                self._on_response(message)
            else:
                self._on_request(message)
        self.wake()

    def _on_response(self, response: Response) -> None:
        known = self._answers.get(response.branch)
        if known is not None:
            if known != response.raw:
                self.note(f"{response.title}: differs from the one sent before")
            return
        request, future = self._pending.get(response.branch, (None, None))
        if request is None or future is None:
            self.note(f"{response.title}: answers nothing that is under way")
            return
        for violation in check_response(request, response):
            self.note(f"{response.title}: {violation}")
        if response.status < 200:
            self._proceeding.add(response.branch)
            return
        self._answers[response.branch] = response.raw
        if not future.done():
            future.set_result(response)

    def _on_request(self, request: Request) -> None:
        if request.method == "NOTIFY":
            self._on_notify(request)
            return
        if (server := self.servers.get(request.method)) is not None:
            server(request)
            return
        status = 200 if request.method == "OPTIONS" else 405
        if status == 405:
            self.note(f"{request.title}: a phone does not serve it")
        extra = [("Allow", "NOTIFY, OPTIONS")]
        self.send_raw(request.response(status, extra=extra).encode())

    def _on_notify(self, request: Request) -> None:
        if seen := self._seen.get(request.branch):
            self._on_copy(seen, request)
            return
        dialog = self._dialogs.get((request.call_id, request.to_tag))
        if dialog is None:
            self.strays.append(request)
            self.send_raw(request.response(481).encode())
            return
        if request.cseq[0] <= dialog.remote_cseq:
            self.note(f"{request.title}: CSeq was {dialog.remote_cseq} already")
            self.send_raw(request.response(500).encode())
            return
        found, violations = check_notify(
            request,
            uri=dialog.contact,
            to=self.aor,
            event=dialog.event,
            transport=self.link.name,
            granted=dialog.expires,
        )
        for violation in violations:
            self.note(f"{request.title}: {violation}")
        notification = Notification(
            request=request, documents=found, violations=violations
        )
        dialog.remote_cseq = notification.cseq
        dialog.state = notification.state
        self._set_remote(dialog, request, request.from_tag)
        if dialog.state == "terminated":
            self._forget(dialog)
        self._seen[request.branch] = notification
        self.notifications.append(notification)
        self._decide(notification)

    def _on_copy(self, seen: Notification, request: Request) -> None:
        if seen.raw != request.raw:
            self.note(f"{request.title}: was sent again with other bytes")
        if self.transport != "udp":
            self.note(f"{request.title}: was sent again over a stream")
        seen.copies += 1
        answer, reply = self._replies.get(request.branch, (SILENCE, b""))
        if not answer.status or seen.copies <= answer.lost:
            return
        if reply:
            self.send_raw(reply)
        else:
            self._reply(seen, answer)

    def _decide(self, notification: Notification) -> None:
        planned = self._planned.popleft() if self._planned else None
        answer = planned or self.answer(notification)
        self._replies[notification.request.branch] = (answer, b"")
        if not answer.status or answer.lost:
            return
        if answer.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(answer.delay, self._reply, notification, answer)
        else:
            self._reply(notification, answer)

    def _reply(self, notification: Notification, answer: Answer) -> None:
        if self._link is None:
            return
        request = notification.request
        reply = request.response(answer.status, extra=answer.headers).encode()
        self._replies[request.branch] = (answer, reply)
        notification.answered = answer.status
        if answer.status < 300:
            self.features.update(notification.features)
        self.send_raw(reply)
        self.wake()

    def _connection_lost(self, reason: str) -> None:
        self.lost = self.lost or reason
        for _, future in self._pending.values():
            if not future.done():
                future.set_exception(PhoneError(reason))
        self.wake()

    # --- Waiting ---

    async def wait_until(
        self, condition: Callable[[], bool], timeout: float | None, awaited: str
    ) -> None:
        """Wait until messages have made a condition true; None waits for ever.

        `awaited` is what the PhoneTimeout says did not come.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        began = len(self.log)
        while not condition():
            if self.lost:
                raise PhoneError(f"{self.lost}, no {awaited} came")
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append(waiter)
            left = None if deadline is None else max(deadline - loop.time(), 0)
            done, _ = await asyncio.wait({waiter}, timeout=left)
            if timeout is not None and not done and not condition():
                raise self._missed(awaited, timeout, began)

    def wake(self) -> None:
        """Let those look who wait for something."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _missed(self, awaited: str, timeout: float, began: int) -> PhoneTimeout:
        since = [f"  {entry.line}" for entry in self.log[began:]] or ["  nothing"]
        before = [f"  {entry.line}" for entry in self.log[max(began - 4, 0) : began]]
        lines = [
            "Meanwhile:",
            *since,
            *(["Before that:", *before] if before else []),
            *([f"Lamps: {self.features}"] if self.features else []),
        ]
        return PhoneTimeout(f"no {awaited} within {timeout:g} s", "\n".join(lines))

    def note(self, violation: str) -> None:
        """Take note of a breach of the rules."""
        self.violations.append(violation)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
