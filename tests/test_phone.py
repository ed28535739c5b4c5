"""The simulated phone against a small server of canned answers.

The bodies have the shapes that servers in the field send, among them the flawed ones
that the phone must notice.
"""

import ast
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import datetime as dt
import hashlib
import ipaddress
from pathlib import Path
import re
import signal
import ssl
import sys
from typing import override

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest

from .phone import (
    ALWAYS,
    BUSY,
    DND,
    NO_ANSWER,
    PATIENCE,
    SILENCE,
    Answer,
    Digest,
    Lamp,
    Notification,
    Phone,
    PhoneError,
    PhoneTimeout,
    RawPeer,
    Request,
    Response,
    WireError,
    parse,
    parse_event,
    set_dnd,
    set_forwarding,
)
from .phone.cli import Key, main, words
from .phone.digest import Challenge, parse_fields
from .phone.link import Address
from .phone.wire import address, has_parameter, parameter, parse_multipart, split_list

pytestmark = pytest.mark.usefixtures("socket_enabled")

SCRIPT = Path(__file__).parent.parent / "scripts" / "phone"
PASSWORD = "secret"
NS = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"
TYPE = "application/x-as-feature-event+xml"
XML = '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'


def dnd_event(on: str = "true", declaration: str = XML, namespace: str = NS) -> str:
    """Return a DoNotDisturbEvent as a server sends it."""
    return (
        f'{declaration}<DoNotDisturbEvent xmlns="{namespace}"><device>201</device>'
        f"<doNotDisturbOn>{on}</doNotDisturbOn></DoNotDisturbEvent>"
    )


def forwarding_event(kind: str, on: str, *more: str) -> str:
    """Return a ForwardingEvent as a server sends it."""
    return (
        f'{XML}<ForwardingEvent xmlns="{NS}"><device>201</device>'
        f"<forwardingType>{kind}</forwardingType><forwardStatus>{on}</forwardStatus>"
        f"{''.join(more)}</ForwardingEvent>"
    )


def multipart(*documents: str) -> tuple[str, str]:
    """Return Content-Type and body of several documents in one NOTIFY."""
    parts = [
        f"--frontier\r\nContent-Type: {TYPE}\r\nContent-Length: {len(document)}\r\n"
        f"Content-ID: <{index}@pbx>\r\n\r\n{document}\r\n"
        for index, document in enumerate(documents)
    ]
    return 'multipart/mixed; boundary="frontier"', "".join(parts) + "--frontier--\r\n"


FULL = multipart(
    dnd_event("false"),
    forwarding_event("forwardImmediate", "false"),
    forwarding_event("forwardBusy", "true", "<forwardTo>2424</forwardTo>"),
    forwarding_event(
        "forwardNoAns", "false", "<forwardTo></forwardTo>", "<ringCount>4</ringCount>"
    ),
)
DND_ON = (TYPE, dnd_event("true"))

# Seconds that a process may take to start, or to say or do the next thing.
PROCESS_LIMIT = 60.0


class CannedServer(asyncio.DatagramProtocol):
    """A server that does what a test arranges, over UDP and TCP.

    It challenges, answers with `status` where one is set for a method and follows a
    SUBSCRIBE with the next of `contents`. `rewrite` may spoil any message on its way
    out, `drop` requests are lost on their way in.
    """

    def __init__(self) -> None:
        """Begin with a server that behaves."""
        self.address: Address = ("", 0)
        self.requests: list[Request] = []
        self.responses: asyncio.Queue[Response] = asyncio.Queue()
        self.algorithms = ["MD5", "SHA-256"]
        self.nonce = "n1"
        self.status: dict[str, int] = {}
        self.contents = [FULL]
        self.drop = 0
        self.rewrite: Callable[[bytes], bytes] = lambda data: data
        self.last_notify = b""
        self._notifies = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._phone: Address = ("", 0)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._udp = transport
        self.address = transport.get_extra_info("sockname")

    @override
    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._phone = addr
        for message in self.react(data, addr, "UDP"):
            self.send(message)

    def send(self, data: bytes) -> None:
        """Send a datagram to the phone."""
        assert self._udp is not None
        self._udp.sendto(data, self._phone)

    async def stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a connection, each answer in pieces of 100 bytes."""
        peer = writer.get_extra_info("peername")
        self.address = writer.get_extra_info("sockname")
        transport = "TLS" if writer.get_extra_info("sslcontext") else "TCP"
        while data := await reader.read(65_535):
            answer = b"\r\n".join([b"", *self.react(data, peer, transport)])
            for index in range(0, len(answer), 100):
                writer.write(answer[index : index + 100])
                await writer.drain()
        writer.close()

    def react(self, data: bytes, peer: Address, transport: str) -> list[bytes]:
        """Return what goes back for one message."""
        message = parse(data)
        assert message.violations == []
        if isinstance(message, Response):
            self.responses.put_nowait(message)
            return []
        self.requests.append(message)
        if self.drop:
            self.drop -= 1
            return []
        challenged = message.method != "OPTIONS" and not self.knows(message)
        status = 401 if challenged else self.status.get(message.method, 200)
        answers = [self.response(message, status, peer)]
        if message.method == "SUBSCRIBE" and status == 200:
            answers.append(self.notify(message, transport))
        return [self.rewrite(answer) for answer in answers]

    def knows(self, request: Request) -> bool:
        """Check the digest, by a formula of its own (RFC 7616 section 3.4.1)."""
        given = parse_fields(request.get("Authorization"))
        if given.get("nonce") != self.nonce:
            return False
        name = given["algorithm"].replace("-", "").lower()

        def hashed(*parts: str) -> str:
            return hashlib.new(name, ":".join(parts).encode()).hexdigest()

        expected = hashed(
            hashed(given["username"], given["realm"], PASSWORD),
            given["nonce"],
            given["nc"],
            given["cnonce"],
            given["qop"],
            hashed(request.method, given["uri"]),
        )
        return given["response"] == expected

    def response(self, request: Request, status: int, peer: Address) -> bytes:
        """Build a response as a server must."""
        extra = {401: [], 489: [("Allow-Events", "as-feature-event")]}.get(status, [])
        if status == 401:
            used = parse_fields(request.get("Authorization")).get("nonce", self.nonce)
            stale = ', stale="true"' if used != self.nonce else ""
            challenge = f'Digest realm="pbx", nonce="{self.nonce}", qop="auth,auth-int"'
            extra += [
                ("WWW-Authenticate", f"{challenge}, algorithm={algorithm}{stale}")
                for algorithm in self.algorithms
            ]
        if status == 200 and request.method == "SUBSCRIBE":
            extra = [("Expires", request.get("Expires")), ("Contact", "<sip:pbx>")]
        if status == 200 and request.method == "REGISTER":
            contact, expires = request.get("Contact"), request.get("Expires")
            extra = [("Contact", f"{contact};expires={expires}")]
        response = request.response(status, extra=extra)
        place = f";rport={peer[1]};received={peer[0]}"
        tag = "" if request.to_tag else ";tag=srv"
        response.headers = [
            (name, value.replace(";rport", place) + (tag if name == "To" else ""))
            for name, value in response.headers
        ]
        return response.encode()

    def notify(self, request: Request, transport: str) -> bytes:
        """Build the NOTIFY that follows a SUBSCRIBE."""
        self._notifies += 1
        more = len(self.contents) > 1
        content_type, body = self.contents.pop(0) if more else self.contents[0]
        expires = request.get("Expires")
        over = expires == "0"
        sent_by = "{}:{}".format(*self.address)
        branch = f"z9hG4bKnotify{self._notifies}"
        headers = [
            ("Via", f"SIP/2.0/{transport} {sent_by};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<{address(request.get('To'))}>;tag=srv"),
            ("To", request.get("From")),
            ("Call-ID", request.call_id),
            ("CSeq", f"{self._notifies} NOTIFY"),
            ("Contact", "<sip:pbx>"),
            ("Event", request.get("Event")),
            (
                "Subscription-State",
                "terminated;reason=timeout" if over else f"active;expires={expires}",
            ),
        ]
        if content_type:
            headers.append(("Content-Type", content_type))
        self.last_notify = Request(
            method="NOTIFY",
            uri=address(request.get("Contact")),
            headers=headers,
            body=body.encode("latin-1"),
        ).encode()
        return self.last_notify

    def spoil(self, pattern: str, replacement: str) -> None:
        """Change every message on its way out, its Content-Length kept right."""

        def rewrite(data: bytes) -> bytes:
            text = re.sub(pattern, replacement, data.decode("latin-1"))
            head, separator, body = text.partition("\r\n\r\n")
            head = re.sub(
                r"(?m)^Content-Length: \d+", f"Content-Length: {len(body)}", head
            )
            return (head + separator + body).encode("latin-1")

        self.rewrite = rewrite


@pytest.fixture
async def server() -> AsyncIterator[CannedServer]:
    """Give a server on a free UDP port of loopback."""
    loop = asyncio.get_running_loop()
    transport, canned = await loop.create_datagram_endpoint(
        CannedServer, local_addr=("127.0.0.1", 0)
    )
    yield canned
    transport.close()


@pytest.fixture
async def phone(server: CannedServer) -> AsyncIterator[Phone]:
    """Give a started phone of line 201."""
    async with Phone("201", PASSWORD, server.address) as ready:
        yield ready


@pytest.fixture
async def subscribed(phone: Phone) -> Phone:
    """Give a phone whose lamps show the full state."""
    await phone.subscribe()
    await phone.notification()
    return phone


# --- What it is made of ---


SOURCES = sorted((Path(__file__).parent / "phone").glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_needs_nothing_but_python_3_11(path: Path) -> None:
    """scripts/phone runs on a system's own Python; the phone is independent."""
    tree = ast.parse(path.read_text(), feature_version=(3, 11))

    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert imported <= sys.stdlib_module_names


# --- A phone's life ---


async def test_registers_with_digest(phone: Phone, server: CannedServer) -> None:
    """A 401 is answered; the second request carries the credentials."""
    response = await phone.register()

    assert response.status == 200
    assert [r.has("Authorization") for r in server.requests] == [False, True]
    assert phone.violations == []


async def test_reuses_the_nonce_with_a_rising_count(
    phone: Phone, server: CannedServer
) -> None:
    """Later requests carry credentials at once, nc counts on."""
    await phone.register()
    await phone.register()
    await phone.unregister()

    counts = [parse_fields(r.get("Authorization")).get("nc") for r in server.requests]
    assert counts == [None, "00000001", "00000002", "00000003"]
    assert [r.cseq[0] for r in server.requests] == [1, 2, 3, 4]


async def test_takes_a_fresh_nonce_when_the_old_one_is_stale(
    phone: Phone, server: CannedServer
) -> None:
    """An aged nonce costs one more round, no failure."""
    await phone.register()
    server.nonce = "n2"

    assert (await phone.register()).status == 200


async def test_gives_up_on_a_wrong_password(server: CannedServer) -> None:
    """The second 401 is the answer: no endless retry."""
    async with Phone("201", "wrong", server.address) as phone:
        response = await phone.register()

    assert response.status == 401
    assert len(server.requests) == 2


async def test_leaves_a_401_alone_when_told_so(phone: Phone) -> None:
    """A test may want to see the challenge."""
    response = await phone.register(authenticate=False)

    assert response.status == 401


async def test_answers_the_sha_256_challenge(server: CannedServer) -> None:
    """A modern phone looks for it behind the first one."""
    async with Phone("201", PASSWORD, server.address, algorithm="SHA-256") as phone:
        assert (await phone.register()).ok

    assert "algorithm=SHA-256" in server.requests[-1].get("Authorization")


async def test_an_old_phone_reads_the_first_challenge_only(
    phone: Phone, server: CannedServer
) -> None:
    """With SHA-256 in front it never gets in."""
    server.algorithms = ["SHA-256", "MD5"]

    assert (await phone.register()).status == 401
    assert len(server.requests) == 1


async def test_full_state_lights_the_lamps(phone: Phone) -> None:
    """The lamps show what the NOTIFY says."""
    await phone.subscribe()
    notification = await phone.notification()

    assert phone.features == {
        DND: Lamp(False),
        ALWAYS: Lamp(False),
        BUSY: Lamp(True, "2424"),
        NO_ANSWER: Lamp(False, "", 4),
    }
    assert (notification.state, notification.expires) == ("active", 3600)
    assert phone.violations == []


async def test_dnd_key_sends_a_request_in_the_dialog(
    subscribed: Phone, server: CannedServer
) -> None:
    """The lamp follows the NOTIFY."""
    server.contents = [DND_ON]

    await subscribed.set_dnd(True)
    await subscribed.until(lambda lamps: lamps[DND].on)

    request = server.requests[-1]
    assert (request.to_tag, request.uri) == ("srv", "sip:pbx")
    assert request.get("Content-Type") == TYPE
    assert request.body == set_dnd(True)
    assert subscribed.violations == []


async def test_a_panasonic_writes_its_own_address_in_a_dialog(
    server: CannedServer,
) -> None:
    """The server must know the dialog by its tags alone."""
    async with Phone("201", PASSWORD, server.address, aor_in_dialog=True) as phone:
        await phone.subscribe()
        await phone.set_dnd(True)

    host, port = server.address
    assert server.requests[-1].uri == f"sip:201@{host}:{port}"


async def test_forward_key_sends_target_and_rings(
    subscribed: Phone, server: CannedServer
) -> None:
    """All values of a SetForwarding arrive."""
    await subscribed.set_forward("no-answer", True, "2424", 4)

    assert server.requests[-1].body == set_forwarding("forwardNoAns", True, "2424", 4)


async def test_unsubscribing_ends_with_a_terminated_notify(subscribed: Phone) -> None:
    """Afterwards there is no dialog to press a key in."""
    await subscribed.unsubscribe()
    last = await subscribed.notification()

    assert (last.state, last.reason) == ("terminated", "timeout")
    assert subscribed.violations == []
    with pytest.raises(PhoneError, match="201 is not subscribed"):
        await subscribed.set_dnd(True)


async def test_fetch_leaves_the_subscription_alone(subscribed: Phone) -> None:
    """A fetch has a dialog of its own."""
    await subscribed.fetch()

    assert (await subscribed.notification()).state == "terminated"
    assert (await subscribed.refresh()).ok


async def test_forgets_the_subscription_on_481(
    subscribed: Phone, server: CannedServer
) -> None:
    """Then the phone subscribes anew."""
    server.status["SUBSCRIBE"] = 481
    await subscribed.refresh()

    assert subscribed.dialog is None


async def test_a_rebooted_phone_knows_the_old_dialog_no_more(
    subscribed: Phone, server: CannedServer
) -> None:
    """What comes for it gets a 481."""
    old = server.last_notify
    await server.responses.get()
    await subscribed.subscribe()
    await subscribed.notification()
    await server.responses.get()

    server.send(old.replace(b"CSeq: 1 ", b"CSeq: 9 ").replace(b"notify1", b"notify9"))

    assert (await server.responses.get()).status == 481
    assert len(subscribed.strays) == 1
    assert len(subscribed.notifications) == 2


async def test_works_over_tcp(server: CannedServer) -> None:
    """Messages in pieces are put together; Contact and Via name TCP."""
    listener = await asyncio.start_server(server.stream, "127.0.0.1", 0)
    place = listener.sockets[0].getsockname()
    async with listener, Phone("201", PASSWORD, place, transport="tcp") as phone:
        await phone.register()
        await phone.subscribe()
        await phone.notification()
        assert phone.features[BUSY] == Lamp(True, "2424")
        assert phone.violations == []
        assert ";transport=tcp" in phone.contact
        assert server.requests[-1].get("Via").startswith("SIP/2.0/TCP ")


async def test_works_over_tls(server: CannedServer, tmp_path: Path) -> None:
    """With a certificate that it was told to trust."""
    certificate, context = self_signed(tmp_path)
    listener = await asyncio.start_server(server.stream, "127.0.0.1", 0, ssl=context)
    place = listener.sockets[0].getsockname()
    trust = ssl.create_default_context(cafile=certificate)
    async with (
        listener,
        Phone("201", PASSWORD, place, transport="tls", tls=trust) as phone,
    ):
        await phone.subscribe()
        await phone.notification()
        assert phone.violations == []
        assert ";transport=tls" in phone.contact


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a certificate for 127.0.0.1 and a context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pbx")])
    place = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([place]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_pem)
    return pem, context


async def test_says_when_the_connection_is_gone() -> None:
    """A waiting test fails at once, with the reason."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    place = listener.sockets[0].getsockname()
    async with listener, Phone("201", PASSWORD, place, transport="tcp") as phone:
        with pytest.raises(PhoneError, match="the server closed the connection"):
            await phone.notification()


# --- Transactions ---


async def test_repeats_a_lost_request(phone: Phone, server: CannedServer) -> None:
    """The copy is the same request, byte for byte."""
    server.drop = 1

    assert (await phone.options()).ok
    first, second = server.requests
    assert first.raw == second.raw


async def test_sends_once_without_retransmission(server: CannedServer) -> None:
    """The timeout says what was waited for and what came."""
    server.drop = 9
    async with Phone(
        "201", PASSWORD, server.address, retransmit=False, timeout=0.1
    ) as phone:
        with pytest.raises(PhoneTimeout, match="no answer to OPTIONS within"):
            await phone.options()

    assert len(server.requests) == 1


async def test_a_timeout_tells_what_came_instead(phone: Phone) -> None:
    """The reader of a failed test need not guess."""
    await phone.options()

    with pytest.raises(PhoneTimeout) as caught:
        await phone.notification(0.01)

    text = str(caught.value)
    assert text.startswith("no NOTIFY within 0.01 s. Meanwhile:\n  nothing")
    assert "received SIP/2.0 200 OK (CSeq 1 OPTIONS)" in text


async def test_a_repeated_notify_is_one_notification(
    subscribed: Phone, server: CannedServer
) -> None:
    """The copy is counted and gets the same answer."""
    first = await server.responses.get()
    server.send(server.last_notify)

    assert (await server.responses.get()).raw == first.raw
    assert [n.copies for n in subscribed.notifications] == [2]
    assert subscribed.violations == []


# --- How NOTIFYs are answered ---


@pytest.mark.parametrize("status", [481, 500, 503])
async def test_answers_a_notify_with_an_error_when_told_so(
    phone: Phone, server: CannedServer, status: int
) -> None:
    """A NOTIFY that the phone did not take changes no lamp."""
    phone.answer_next(Answer(status=status, headers=(("Retry-After", "5"),)))
    await phone.subscribe()
    notification = await phone.notification()

    answer = await server.responses.get()
    assert (answer.status, answer.get("Retry-After")) == (status, "5")
    assert notification.answered == status
    assert phone.features == {}


async def test_a_held_answer_is_given_later(phone: Phone, server: CannedServer) -> None:
    """Silence until the test says so."""
    phone.answer_next(SILENCE)
    await phone.subscribe()
    notification = await phone.notification()
    assert (server.responses.qsize(), phone.features) == (0, {})

    phone.respond(notification)

    assert (await server.responses.get()).status == 200
    assert phone.features[BUSY].on


async def test_a_notify_can_get_lost(phone: Phone, server: CannedServer) -> None:
    """Only the second copy is answered."""
    phone.answer_next(Answer(lost=1))
    await phone.subscribe()
    await phone.notification()
    assert server.responses.empty()

    server.send(server.last_notify)

    assert (await server.responses.get()).status == 200


async def test_an_answer_can_be_late(phone: Phone, server: CannedServer) -> None:
    """The NOTIFY is there before it is answered."""
    phone.answer_next(Answer(delay=0.5))
    await phone.subscribe()
    assert (await phone.notification()).answered == 0

    assert (await server.responses.get()).status == 200


async def test_a_callback_decides_how_to_answer(server: CannedServer) -> None:
    """For phones that take some NOTIFYs and not others."""

    def answer(notification: Notification) -> Answer:
        return Answer(status=488 if len(notification.documents) > 1 else 200)

    async with Phone("201", PASSWORD, server.address, answer=answer) as phone:
        await phone.subscribe()
        assert (await server.responses.get()).status == 488


async def test_quiet_fails_on_a_notify(subscribed: Phone) -> None:
    """A NOTIFY that must not come is shown."""
    await subscribed.quiet(0.01)
    await subscribed.refresh()

    with pytest.raises(AssertionError, match="a NOTIFY came"):
        await subscribed.quiet(PATIENCE)


# --- What a phone would choke on ---


@pytest.mark.parametrize(
    ("pattern", "replacement", "violation"),
    [
        (r"Via: SIP/2.0/UDP 1", "Via: SIP/2.0/UDP 9", "Via came back as"),
        (r";received=127.0.0.1", "", "received is not 127.0.0.1"),
        (r"rport=\d+", "rport=9", "rport is not"),
        (r"(To: .*);tag=srv", r"\1", "To has no tag"),
        (r"(From: .*)(?=\r)", r"\1;x=y", "From came back as"),
        (r"CSeq: 1 ", "CSeq: 01 ", "CSeq came back as"),
        (r"WWW-Authenticate: .*\r\n", "", "401 without WWW-Authenticate"),
        (r"Contact: <sip:pbx>\r\n", "", "0 Contacts instead of one"),
        (r"<sip:pbx>", "<sip:0.0.0.0:5060>", "Contact is not reachable"),
        (r"Expires: 3600\r\n", "", "a 2xx to SUBSCRIBE without Expires"),
        (r"Expires: 3600", "Expires: 7200", "Expires is 7200, more than"),
        (r"active;expires", "active, expires", "malformed Subscription-State"),
        (r"active;expires=\d+", "active;expires=9999", "Subscription-State has 9999"),
        (r"active;expires=\d+", "terminated", "malformed Subscription-State"),
        (r"NOTIFY sip:201@\S+", "NOTIFY sip:201@pbx", "not the Contact"),
        (r"Event: as-feature-event", "Event: presence", "Event is 'presence'"),
        (r"(branch=z9hG4bKn\w+);rport", r"\1", "Via without rport"),
        (r"branch=z9hG4bKn", "branch=n", "branch without magic cookie"),
        (r"Max-Forwards: 70\r\n", "", "Max-Forwards is missing"),
        (r"Content-Type: multi", "Content-Type: text/plain\r\nX: ", "text/plain"),
        (r'boundary="frontier"', "boundary=frontier", "not quoted"),
        (r"--frontier--\r\n", "", "no closing boundary"),
        (r"\r\n--frontier", "\n--frontier", "not led in by CR LF"),
        (r"(?<=\n)Content-ID: <1@", "Content-ID: <0@", "used twice"),
        (r"Content-ID: <1@pbx>\r\n", "", "Content-ID is missing"),
        (r"false</doNot", "falsch</doNot", "neither true nor false"),
        (r' xmlns="[^"]*"', "", "lacks exactly the default namespace"),
        (r"ecma-int", "ecmaint", "lacks exactly the default namespace"),
        (r"<device>201</device>", "", "elements are"),
        (r"ISO-8859-1", "UTF-8", "document does not start with"),
        (r"forwardImmediate", "forwardAlways", "unknown forwardingType"),
        (r"<forwardTo>2424</forwardTo>", "<ringCount>3</ringCount>", "elements are"),
        (r"<ringCount>4", "<ringCount>many", "ringCount is 'many'"),
        (r"</ForwardingEvent>", "", "not well-formed"),
        (r"forwardImmediate", "forwardBusy", "the features come as"),
    ],
)
async def test_notices_what_is_wrong(
    phone: Phone, server: CannedServer, pattern: str, replacement: str, violation: str
) -> None:
    """Each flaw of a server is named."""
    server.spoil(pattern, replacement)
    await phone.subscribe()
    if len(server.requests) > 1:
        await phone.next_raw()
        await phone.next_raw()
        await phone.next_raw()

    assert any(violation in found for found in phone.violations), phone.violations


async def test_notices_a_sequence_number_that_does_not_rise(
    subscribed: Phone, server: CannedServer
) -> None:
    """It is refused with 500, as phones do."""
    await server.responses.get()
    server.send(server.last_notify.replace(b"notify1", b"notify2"))

    assert (await server.responses.get()).status == 500
    assert "CSeq was 1 already" in subscribed.violations[-1]
    assert len(subscribed.notifications) == 1


async def test_notices_a_retransmitted_answer_that_differs(
    phone: Phone, server: CannedServer
) -> None:
    """A retransmission is byte-identical."""
    await phone.options()
    raw = next(entry.raw for entry in phone.log if not entry.sent)
    server.send(raw)
    await phone.next_raw()
    await phone.next_raw()
    assert phone.violations == []

    server.send(raw.replace(b"tag=srv", b"tag=new"))
    await phone.next_raw()

    assert "differs from the one sent before" in phone.violations[0]


async def test_notices_a_wrong_content_length(
    phone: Phone, server: CannedServer
) -> None:
    """Too long or too short, a phone would miss the end."""
    server.rewrite = lambda data: data.replace(
        b"Content-Length: 0", b"Content-Length: 7"
    )
    await phone.options()

    assert "Content-Length is 7, the body has 0 bytes" in phone.violations[0]


async def test_notices_bytes_that_are_no_sip(
    phone: Phone, server: CannedServer
) -> None:
    """They are shown in the violation."""
    await phone.options()
    server.send(b"hello\r\n\r\n")
    await phone.next_raw()
    await phone.next_raw()

    assert phone.violations == ["no SIP start line: 'hello'"]


# --- The wire ---


def test_parses_compact_and_folded_headers() -> None:
    """Compact names are the long ones, a fold is a space."""
    message = parse(
        b"NOTIFY sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK12\r\n"
        b"f: <sip:a@b>\r\n ;tag=1\r\nt: <sip:a@b>;tag=2\r\ni: x\r\nCSEQ: 3 NOTIFY\r\n"
        b"Max-Forwards: 70\r\no: e\r\nl: 0\r\n\r\n"
    )

    assert message.violations == []
    assert (message.from_tag, message.to_tag, message.call_id) == ("1", "2", "x")
    assert message.get("Event") == "e"


def test_header_values_are_split_where_they_should() -> None:
    """Quotes and angle brackets protect their commas and semicolons."""
    value = '"a, \\"b" <sip:a,b@c;x=1>;tag=2, <sip:d>;Q="3;4"'

    first, second = split_list(value)
    assert (address(first), parameter(first, "tag")) == ("sip:a,b@c;x=1", "2")
    assert (address(second), parameter(second, "q")) == ("sip:d", "3;4")
    assert not has_parameter(first, "x")


def test_bytes_that_are_no_utf_8_survive() -> None:
    """What came is what goes out again."""
    request = parse(
        b"OPTIONS sip:a SIP/2.0\r\nX: \xff\xe4\r\nContent-Length: 0\r\n\r\n"
    )

    assert request.encode() == request.raw


def test_no_start_line_is_no_message() -> None:
    """There is nothing to go by."""
    with pytest.raises(WireError):
        parse(b"NOTIFY sip:a@b SIP/3.0\r\n\r\n")


def test_multipart_keeps_each_body_byte_by_byte() -> None:
    """Line ends inside a part are its own."""
    content_type, body = multipart("one\r\n", "two")

    parts, violations = parse_multipart(content_type, body.encode())

    assert ([part.body for part in parts], violations) == ([b"one\r\n", b"two"], [])


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)
def test_digest_of_rfc_7616(algorithm: str, response: str) -> None:
    """The examples of section 3.9.1."""
    digest = Digest(username="Mufasa", password="Circle of Life", algorithm=algorithm)
    digest.challenge = Challenge.parse(
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        f"algorithm={algorithm}"
    )

    value = digest.authorization(
        "GET",
        "/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )

    assert parse_fields(value)["response"] == response


def test_a_digest_shows_no_password() -> None:
    """Neither a log nor a failed test gives it away."""
    assert "hunter2" not in repr(Digest(username="201", password="hunter2"))


def test_request_documents_are_written_as_phones_write_them() -> None:
    """Left-out values have no element; special characters are escaped."""
    body = set_forwarding("busy", True, "2&4")

    assert body.decode() == (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        f'<SetForwarding xmlns="{NS}">\n'
        "  <device></device>\n"
        "  <forwardingType>forwardBusy</forwardingType>\n"
        "  <activateForward>true</activateForward>\n"
        "  <forwardDN>2&amp;4</forwardDN>\n"
        "</SetForwarding>\n"
    )


def test_an_event_document_gives_the_lamp() -> None:
    """Feature, target and rings are read, no violation found."""
    text = forwarding_event(
        "forwardNoAns", "true", "<forwardTo>\xe4</forwardTo><ringCount>0</ringCount>"
    )
    document, violations = parse_event(text.encode("latin-1"))

    assert (document.feature, document.lamp) == (NO_ANSWER, Lamp(True, "\xe4", 0))
    assert violations == []


# --- The bare peer ---


@pytest.fixture
async def peer(server: CannedServer) -> AsyncIterator[RawPeer]:
    """Give a bare UDP peer of the canned server."""
    async with await RawPeer.open(server.address) as bare:
        yield bare


async def test_a_bare_request_is_complete(peer: RawPeer) -> None:
    """Every mandatory header field is there, and unique."""
    first, second = (parse(peer.request("SUBSCRIBE", body=b"x")) for _ in range(2))

    assert first.violations == []
    assert first.branch != second.branch
    assert first.call_id != second.call_id


async def test_a_bare_request_is_easily_broken(peer: RawPeer) -> None:
    """Replaced, repeated, left out, compact, added."""
    data = peer.request(
        "OPTIONS",
        "sip:x",
        {"To": None, "CSeq": ["1 OPTIONS", "2 OPTIONS"], "i": "abc", "X-Foo": ";;,,"},
        version="SIP/7.0",
    )

    assert data.startswith(b"OPTIONS sip:x SIP/7.0\r\n")
    assert b"\r\nTo:" not in data
    assert b"\r\nCSeq: 1 OPTIONS\r\nCSeq: 2 OPTIONS\r\n" in data
    assert b"\r\ni: abc\r\n" in data
    assert b"\r\nX-Foo: ;;,,\r\n" in data


async def test_a_bare_peer_can_sign(peer: RawPeer) -> None:
    """The same request again, with credentials, a new branch and the next CSeq."""
    data = peer.request("REGISTER", headers={"Expires": "60"})
    challenge = await peer.ask(data)
    again = peer.signed(data, challenge, PASSWORD)
    response = await peer.ask(again)

    assert (challenge.status, response.status) == (401, 200)
    assert (parse(again).cseq, parse(again).call_id) == (
        (2, "REGISTER"),
        parse(data).call_id,
    )


async def test_a_bare_peer_answers_by_hand(peer: RawPeer, server: CannedServer) -> None:
    """A NOTIFY waits for whatever the test says."""
    await peer.ask_signed(peer.request("SUBSCRIBE"), PASSWORD)
    notify = await peer.next_request()
    await peer.silence(0.01)
    peer.answer(notify, 503, retry_after="5")

    answer = await server.responses.get()
    assert (answer.status, answer.get("Retry-After")) == (503, "5")


async def test_a_bare_peer_says_what_broke_the_silence(peer: RawPeer) -> None:
    """The message is named."""
    peer.send(peer.request("OPTIONS"))

    with pytest.raises(AssertionError, match="this came: SIP/2"):
        await peer.silence(1)


# --- The command line ---

RunPhone = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run_phone(server: CannedServer) -> RunPhone:
    """Run scripts/phone against the canned server; gives status, stdout, stderr."""

    async def run(*arguments: str, password: str = PASSWORD) -> tuple[int, str, str]:
        process = await start_phone(server, *arguments, password=password)
        out, err = await asyncio.wait_for(process.communicate(), PROCESS_LIMIT)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return run


async def start_phone(
    server: CannedServer, *arguments: str, password: str = PASSWORD
) -> asyncio.subprocess.Process:
    """Start scripts/phone against the canned server."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        "201",
        "--server={}:{}".format(*server.address),
        *arguments,
        env={"DFKS_PASSWORD": password},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_dnd_on_prints_what_the_lamp_shows(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """Subscribe, press, see, unsubscribe."""
    server.contents = [FULL, DND_ON]

    assert await run_phone("dnd", "on") == (0, "Do not disturb on\n", "")
    assert server.requests[-1].get("Expires") == "0"


async def test_forward_takes_number_and_rings(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """Options may stand anywhere."""
    values = "<forwardTo>2424</forwardTo><ringCount>4</ringCount>"
    server.contents = [FULL, (TYPE, forwarding_event("forwardNoAns", "true", values))]

    result = await run_phone("forward", "no-answer", "2424", "--rings", "4")

    assert result == (0, "Call forwarding no answer on, to 2424, after 4 rings\n", "")


async def test_a_change_that_was_not_taken_is_an_error(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """The lamp stays dark: say so."""
    status, out, err = await run_phone("dnd", "on")

    assert (status, out) == (1, "Do not disturb off\n")
    assert err == "phone: the server did not take the change\n"


async def test_a_feature_that_is_not_offered_is_an_error(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """The full state came without it."""
    server.contents = [("", "")]

    status, _, err = await run_phone("dnd", "on")

    assert (status, err) == (
        1,
        "phone: the server does not offer do not disturb here\n",
    )


async def test_a_refusal_is_told_in_one_line(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """No traceback."""
    server.status["SUBSCRIBE"] = 489

    status, out, err = await run_phone("dnd", "on")

    assert (status, out) == (1, "")
    assert err == "phone: the server refused it: 489 Bad Event\n"


async def test_a_wrong_password_is_told_in_one_line(run_phone: RunPhone) -> None:
    """It is not shown."""
    status, _, err = await run_phone("register", password="wrong")

    assert status == 1
    assert err == "phone: the server takes neither this user nor this password (401)\n"


async def test_register_says_for_how_long(
    run_phone: RunPhone, server: CannedServer
) -> None:
    """The seconds are what the server grants."""
    status, out, _ = await run_phone("register", "--expires", "600")

    host, port = server.address
    assert (status, out) == (0, f"201 is registered at {host}:{port} for 600 s\n")


@pytest.mark.parametrize(
    "arguments",
    [["dnd"], ["dnd", "maybe"], ["forward", "sometimes", "1"], ["dance"], []],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage is shown."""
    with pytest.raises(SystemExit, match="2"):
        main(["201", "--password", "x", *arguments])

    assert "usage: phone" in capsys.readouterr().err


async def test_watch_prints_presses_and_leaves_cleanly(server: CannedServer) -> None:
    """Typed keys are pressed, Ctrl-C unsubscribes and unregisters."""
    server.contents = [FULL, DND_ON]
    process = await start_phone(server, "watch", "--keys")
    assert process.stdin is not None
    assert process.stdout is not None

    async def line() -> str:
        assert process.stdout is not None
        text = await asyncio.wait_for(process.stdout.readline(), PROCESS_LIMIT)
        return text.decode().partition(" ")[2].rstrip()

    host, port = server.address
    assert [await line() for _ in range(6)] == [
        f"registered at {host}:{port}",
        "subscribed",
        "Do not disturb off",
        "Call forwarding always off",
        "Call forwarding busy on, to 2424",
        "Call forwarding no answer off, after 4 rings",
    ]
    process.stdin.write(b"dnd on\n")
    assert await line() == "Do not disturb on"
    process.stdin.write(b"dance\n")
    assert (await line()).startswith("unknown command 'dance'")
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), PROCESS_LIMIT) == 0
    last = [(r.method, r.get("Expires")) for r in server.requests[-2:]]
    assert last == [("SUBSCRIBE", "0"), ("REGISTER", "0")]


async def test_watch_subscribes_again_when_the_server_forgot(
    server: CannedServer,
) -> None:
    """After 481 there is a new dialog."""
    process = await start_phone(server, "watch", "--expires", "1")
    output = process.stdout
    assert output is not None

    async def until(text: str) -> None:
        """Read lines up to one with a text."""
        async with asyncio.timeout(PROCESS_LIMIT):
            while text not in (line := (await output.readline()).decode()):
                assert line, f"it ended before it said {text}"

    await until("Call forwarding no answer")
    server.status["SUBSCRIBE"] = 481
    await until("refused it: 481")
    server.status.clear()
    await until("subscribed")
    process.terminate()

    assert await asyncio.wait_for(process.wait(), PROCESS_LIMIT) == 0


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("dnd off", Key(DND, False)),
        ("forward busy 2424", Key(BUSY, True, "busy", "2424")),
        ("forward always off", Key(ALWAYS, False, "always")),
        ("forward no-answer 2424 4", Key(NO_ANSWER, True, "no-answer", "2424", 4)),
    ],
)
def test_keys_are_typed_in_plain_words(typed: str, key: Key) -> None:
    """The same words as on the command line."""
    assert Key.parse(typed.split()) == key


def test_lamps_are_told_in_plain_words() -> None:
    """One line a lamp."""
    assert words(BUSY, Lamp(True, "2424")) == "Call forwarding busy on, to 2424"
