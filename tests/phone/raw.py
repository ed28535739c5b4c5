"""A bare peer for conformance tests: it sends what it is told and answers nothing.

    peer = await RawPeer.open(("127.0.0.1", 5060))
    answer = await peer.ask(peer.request("OPTIONS", "sip:127.0.0.1", {"To": None}))
    assert answer.status == 400

What `request` builds is complete; a test names only what it wants otherwise.
"""

import asyncio
from collections.abc import Mapping, Sequence
import ssl
from typing import Self
import uuid

from .digest import Digest
from .documents import CONTENT_TYPE
from .link import PATIENCE, Address, Link, StreamLink, open_link, settle
from .phone import PhoneError, PhoneTimeout, describe
from .wire import Request, Response, canonical, parse

Override = str | Sequence[str] | None


class RawPeer:
    """A UDP socket or a TCP or TLS connection, nothing more."""

    package = "as-feature-event"
    """The Event of a SUBSCRIBE that is not told otherwise."""
    media_type = CONTENT_TYPE
    """The Content-Type of its body."""

    def __init__(self, user: str = "201") -> None:
        """Use `RawPeer.open`. `user` is the user part that `request` writes."""
        self.user = user
        self.closed = asyncio.Event()
        """Set when the server has closed the connection."""
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._link: Link | None = None
        self._sources: list[Address] = []

    @classmethod
    async def open(
        cls,
        server: Address,
        transport: str = "udp",
        *,
        user: str = "201",
        local: Address | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """Open a peer; `local` None takes any free port."""
        peer = cls(user)
        peer._link = await open_link(
            transport,
            server,
            local=local,
            tls=tls,
            receive=peer._received,
            lost=lambda _: peer.closed.set(),
        )
        return peer

    async def __aenter__(self) -> Self:
        """Use the open peer for a while."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the socket or connection."""
        await self.link.close()

    def share_port(self) -> None:
        """Let another socket listen on the port that the connection comes from."""
        assert isinstance(self.link, StreamLink)
        self.link.share_port()

    def reset(self) -> None:
        """Break the connection off, without a word."""
        assert isinstance(self.link, StreamLink)
        self.link.reset()

    @property
    def link(self) -> Link:
        """The socket or connection."""
        if self._link is None:
            raise PhoneError("open the peer with RawPeer.open")
        return self._link

    @property
    def local(self) -> Address:
        """Its own address."""
        return self.link.local

    @property
    def contact(self) -> str:
        """A Contact that leads back here."""
        host, port = self.local
        name = self.link.name.lower()
        suffix = "" if name == "udp" else f";transport={name}"
        return f"<sip:{self.user}@{_bracketed(host)}:{port}{suffix}>"

    @property
    def pongs(self) -> int:
        """How many CR LF pongs came on the stream, 0 for UDP."""
        return self.link.pongs if isinstance(self.link, StreamLink) else 0

    @property
    def source(self) -> Address:
        """Where the message that came last came from."""
        return self._sources[-1]

    # --- Bytes ---

    def send(self, data: bytes) -> None:
        """Send one datagram, or bytes on the stream."""
        self.link.send(data)

    async def next_raw(self, timeout: float = PATIENCE) -> bytes:
        """Return the next message as bytes."""
        try:
            return await asyncio.wait_for(self._messages.get(), timeout)
        except TimeoutError as error:
            closed = ", the connection is closed" if self.closed.is_set() else ""
            raise PhoneTimeout(f"nothing came within {timeout:g} s{closed}") from error

    def drain(self) -> int:
        """Forget what has come so far; return how many messages that are."""
        count = self._messages.qsize()
        for _ in range(count):
            self._messages.get_nowait()
        self._sources.clear()
        return count

    async def drained(self) -> int:
        """Forget what has been sent so far, read or not; return how many messages.

        A turn of the event loop reads one datagram, if there is one.
        """
        count = 0
        while True:
            for _ in range(3):
                await asyncio.sleep(0)
            if not (more := self.drain()):
                return count
            count += more

    async def next(self, timeout: float = PATIENCE) -> Request | Response:
        """Return the next message, taken apart."""
        return parse(await self.next_raw(timeout))

    async def next_response(self, timeout: float = PATIENCE) -> Response:
        """Return the next message, which must be a response."""
        message = await self.next(timeout)
        assert isinstance(message, Response), f"a response was due, not {message.title}"
        return message

    async def next_request(self, timeout: float = PATIENCE) -> Request:
        """Return the next message, which must be a request."""
        message = await self.next(timeout)
        assert isinstance(message, Request), f"a request was due, not {message.title}"
        return message

    async def ask(self, data: bytes, timeout: float = PATIENCE) -> Response:
        """Send bytes and return the response that comes next."""
        self.send(data)
        return await self.next_response(timeout)

    async def silence(self, seconds: float = 0.1) -> None:
        """Make sure that nothing comes for a while."""
        await settle(seconds)
        if not self._messages.empty():
            came = describe(self._messages.get_nowait())
            raise AssertionError(f"silence was due, this came: {came}")

    async def wait_closed(self, timeout: float = PATIENCE) -> None:
        """Wait until the server closes the connection."""
        try:
            await asyncio.wait_for(self.closed.wait(), timeout)
        except TimeoutError as error:
            raise PhoneTimeout(f"still connected after {timeout:g} s") from error

    # --- Messages ---

    def request(
        self,
        method: str,
        uri: str | None = None,
        headers: Mapping[str, Override] | None = None,
        body: bytes = b"",
        *,
        version: str = "SIP/2.0",
    ) -> bytes:
        """Build a request with all mandatory header fields, each of them unique.

        `headers` overrides by name: a text replaces the field (a compact name stays
        compact), a list repeats it, None leaves it out; other names are appended.
        Content-Length is the body's unless it is overridden.
        """
        host, port = self.local
        target = f"sip:{self.user}@{_bracketed(host)}"
        sent_by = f"{_bracketed(host)}:{port}"
        pairs: dict[str, tuple[str, Override]] = {}
        defaults: dict[str, Override] = {
            "Via": f"SIP/2.0/{self.link.name} {sent_by};branch={branch()};rport",
            "Max-Forwards": "70",
            "From": f"<{target}>;tag={uuid.uuid4().hex[:12]}",
            "To": f"<{target}>",
            "Call-ID": uuid.uuid4().hex,
            "CSeq": f"1 {method}",
            "Contact": self.contact,
        }
        if method == "SUBSCRIBE":
            defaults |= {"Event": self.package, "Expires": "3600"}
        if body and method == "SUBSCRIBE":
            defaults["Content-Type"] = self.media_type
        defaults["Content-Length"] = str(len(body))
        for name, value in (*defaults.items(), *(headers or {}).items()):
            pairs[canonical(name)] = (name, value)
        lines = [f"{method} {target if uri is None else uri} {version}"]
        for name, value in pairs.values():
            values = [value] if isinstance(value, str) else value or []
            lines += [f"{name}: {text}" for text in values]
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + body

    def signed(
        self,
        data: bytes,
        response: Response,
        password: str,
        *,
        digest: Digest | None = None,
    ) -> bytes:
        """Return the request again, with an answer to the challenge of a 401.

        Branch and CSeq are new, all else stays. A `digest` of one's own keeps the
        nonce and its count: with a challenge in it, the 401 is not looked at.
        """
        digest = digest or Digest(username=self.user, password=password)
        if digest.challenge is None and not digest.take(response):
            raise PhoneError(
                f"{response.title} holds no challenge for {digest.algorithm}"
            )
        again = renewed(data)
        request = parse(again)
        assert isinstance(request, Request)
        value = digest.authorization(request.method, request.uri)
        head, _, body = again.partition(b"\r\n\r\n")
        return head + f"\r\nAuthorization: {value}\r\n\r\n".encode() + body

    async def ask_signed(
        self, data: bytes, password: str, *, digest: Digest | None = None
    ) -> Response:
        """Send a request, answer the challenge, return the response to that."""
        response = await self.ask(data)
        if response.status != 401:
            return response
        return await self.ask(self.signed(data, response, password, digest=digest))

    def answer(self, request: Request, status: int = 200, **headers: str) -> None:
        """Answer a request; `retry_after="5"` becomes `Retry-After: 5`."""
        extra = [(k.replace("_", "-").title(), v) for k, v in headers.items()]
        self.send(request.response(status, extra=extra).encode())

    def _received(self, data: bytes, source: Address) -> None:
        self._sources.append(source)
        self._messages.put_nowait(data)


def branch() -> str:
    """Return a fresh branch."""
    return f"z9hG4bK{uuid.uuid4().hex}"


def renewed(data: bytes) -> bytes:
    """Return a request with a fresh branch, CSeq one higher and no Authorization."""
    request = parse(data)
    number, method = request.cseq
    head, separator, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kept = [lines[0]]
    for line in lines[1:]:
        name = canonical(line.partition(b":")[0].decode("latin-1"))
        if name == "authorization":
            continue
        if name == "cseq":
            line = f"CSeq: {number + 1} {method}".encode()
        if name == "via" and request.branch:
            line = line.replace(request.branch.encode(), branch().encode())
        kept.append(line)
    return b"\r\n".join(kept) + separator + body


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
