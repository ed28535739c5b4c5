"""A phone and a PBX for tests of what is passed: every message is the test's."""

import asyncio
from collections.abc import Mapping
import ssl
from typing import Self, override

from tests.phone import PATIENCE, RawPeer, Request, Response
from tests.phone.link import StreamLink
from tests.phone.raw import Override
from tests.phone.wire import parse
from tests.sip.echo import Echo

DOMAIN = "pbx.example"


class ProxiedPhone(RawPeer):
    """A phone whose account is at the PBX and whose outbound proxy is the server."""

    package = Echo.name
    media_type = Echo.accept

    @override
    def request(
        self,
        method: str,
        uri: str | None = None,
        headers: Mapping[str, Override] | None = None,
        body: bytes = b"",
        *,
        version: str = "SIP/2.0",
    ) -> bytes:
        """Build a request to the PBX's domain; REGISTER without a user in its URI."""
        user = "" if method == "REGISTER" else "202@"
        target = f"sip:{user}{DOMAIN}" if uri is None else uri
        to = self.user if method in ("REGISTER", "SUBSCRIBE") else "202"
        own = {
            "From": f"<sip:{self.user}@{DOMAIN}>;tag=phone-{self.user}",
            "To": f"<sip:{to}@{DOMAIN}>",
        }
        if method == "REGISTER":
            own["Expires"] = "3600"
        return super().request(
            method, target, own | dict(headers or {}), body, version=version
        )


class Pbx(RawPeer):
    """A registrar and caller that answers what it is told to."""

    @classmethod
    async def listen(cls, local: tuple[str, int] = ("127.0.0.1", 0)) -> Self:
        """Bind a socket; `towards` says where the server is."""
        return await cls.open(("127.0.0.1", 9), local=local, user="pbx")

    def towards(self, port: int) -> None:
        """Send to a server on this machine from now on."""
        self.link.remote = ("127.0.0.1", port)

    async def register(
        self, phone: RawPeer, headers: Mapping[str, Override] | None = None
    ) -> Request:
        """Accept a REGISTER of a phone as it came; return what arrived here."""
        phone.send(phone.request("REGISTER", None, headers))
        request = await self.next_request()
        self.accept(request)
        response = await phone.next_response()
        assert response.status == 200
        return request

    def accept(
        self, request: Request, contacts: list[str] | None = None, expires: int = 3600
    ) -> None:
        """Answer a REGISTER with 200 and its Contacts."""
        if contacts is None:
            contacts = [
                f"{contact};expires={expires}" for contact in request.values("Contact")
            ]
        extra = [("Contact", contact) for contact in contacts]
        self.send(request.response(200, extra=extra).encode())

    def call(
        self,
        registration: Request,
        method: str = "INVITE",
        headers: Mapping[str, Override] | None = None,
        body: bytes = b"",
    ) -> bytes:
        """Build a request to the Contact that a phone has registered."""
        contact = registration.values("Contact")[0]
        uri = contact.partition("<")[2].partition(">")[0]
        own: dict[str, Override] = {
            "From": f"<sip:202@{DOMAIN}>;tag=caller",
            "To": f"<sip:201@{DOMAIN}>",
        }
        return self.request(method, uri, own | dict(headers or {}), body)


class StreamPbx(Pbx):
    """A PBX that takes connections; it speaks over the newest one."""

    def __init__(self, user: str = "pbx") -> None:
        """Use `StreamPbx.serve`."""
        super().__init__(user)
        self.links: list[StreamLink] = []
        self.port = 0
        self._accepted: asyncio.Queue[StreamLink] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    @classmethod
    async def serve(
        cls, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> Self:
        """Listen for connections, with `tls` for those of TLS."""
        peer = cls()
        peer.user = "pbx"

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            name = "TCP" if tls is None else "TLS"
            link = StreamLink(
                name, reader, writer, peer._received, lambda _: peer.closed.set()
            )
            peer._link = link
            peer.links.append(link)
            peer._accepted.put_nowait(link)

        peer._server = await asyncio.start_server(accept, host, port, ssl=tls)
        peer.port = peer._server.sockets[0].getsockname()[1]
        return peer

    async def connected(self) -> StreamLink:
        """Wait for the next connection."""
        return await asyncio.wait_for(self._accepted.get(), PATIENCE)

    def stop_listening(self) -> None:
        """Take no connections any more."""
        assert self._server is not None
        self._server.close()

    @override
    async def close(self) -> None:
        """Close everything."""
        self.stop_listening()
        for link in self.links:
            await link.close()


async def both_silent(*peers: RawPeer) -> None:
    """Make sure that nothing comes to any of them for a moment."""
    await asyncio.gather(*(peer.silence() for peer in peers))


def head_of(data: bytes) -> list[bytes]:
    """Return the lines of a message's head."""
    return data.partition(b"\r\n\r\n")[0].split(b"\r\n")


def request_of(data: bytes) -> Request:
    """Take a request apart."""
    message = parse(data)
    assert isinstance(message, Request)
    return message


__all__ = [
    "DOMAIN",
    "Pbx",
    "ProxiedPhone",
    "Response",
    "StreamPbx",
    "both_silent",
    "head_of",
    "request_of",
]
