"""Hundreds of bad inputs to one running server: each gets its clear answer.

Whatever comes, afterwards the server answers as before, nothing has changed, and nothing
went wrong inside. A phone that watches its line is there all the time; a case is sent
either by it, in its dialog, or by a stranger on a socket of his own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
import logging
import random
import re
import struct
from typing import Literal

import pytest
import pytest_asyncio
import pytest_socket

from custom_components.dfks.features.model import Feature, FeatureState, LineEvent
from custom_components.dfks.sip import Experiment
from tests.clock import ManualClock
from tests.data.bodies import (
    DND_ON,
    DOCTYPES,
    LAUGHS,
    REFUSED,
    UNKNOWN,
    dnd,
    forwarding,
)
from tests.floors.caller import FeatureCaller, lamps
from tests.loopback import HOST, LOOPBACK, PASSWORDS
from tests.phone import Digest, Lamp, Request, Response
from tests.phone.raw import Override
from tests.server import Running, line_config, running_server
from tests.sip.caller import Caller, Subscribed

# More comes here at a time than one source may send.
UNLIMITED = replace(LOOPBACK, experiment=Experiment(limit_messages=False))

ASSIGNED = tuple(Feature)[:3]

STORED = {
    Feature.DO_NOT_DISTURB: FeatureState(True),
    Feature.CALL_FORWARDING_ALWAYS: FeatureState(False, "1001"),
    Feature.CALL_FORWARDING_BUSY: FeatureState(True, "1002"),
    Feature.CALL_FORWARDING_NO_ANSWER: FeatureState(True, "1003", 5),
}

FULL_STATE = {
    "DoNotDisturb": Lamp(True),
    "CallForwardingAlways": Lamp(False, "1001"),
    "CallForwardingBusy": Lamp(True, "1002"),
}

# Would be seen if it were taken.
OFF = dnd("false")

SILENCE = None


@dataclass(kw_only=True)
class World:
    """The server, and the phone that watches line 201."""

    running: Running
    resident: Caller
    subscribed: Subscribed
    events: list[LineEvent] = field(default_factory=list)

    def state(self) -> object:
        """Return all that a bad input must leave as it is."""
        lines = self.running.sync.lines
        subscriptions = self.running.server.notifier.subscriptions
        return (
            {
                line_id: (
                    line.states(),
                    line.watchers,
                    line.connected,
                    line.style,
                    [(each.text, each.expires_at) for each in line.bindings],
                )
                for line_id, line in lines.items()
            },
            {
                (each.dialog.local_tag, each.dialog.target, each.expires_at, each.live)
                for each in subscriptions
            },
            len(subscriptions.dialogs),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    """Run the server for all cases, with a phone that is registered and subscribed."""
    pytest_socket.enable_socket()
    # Home Assistant's plugin takes a thread that begins with a case for a left-over;
    # this one begins here, with the first address that is looked up.
    one_thread = ThreadPoolExecutor(max_workers=1)
    asyncio.get_running_loop().set_default_executor(one_thread)
    lines = [line_config("201", assigned=ASSIGNED), line_config("202")]
    states = {"line-201": STORED}
    async with (
        running_server(
            ManualClock(), lines=lines, config=UNLIMITED, states=states
        ) as running,
        await FeatureCaller.open((HOST, running.port)) as resident,
    ):
        await resident.call("REGISTER", {"Expires": "3600"})
        subscribed = await resident.subscribe()
        world = World(running=running, resident=resident, subscribed=subscribed)
        running.sync.subscribe(world.events.append)
        yield world


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let the tests use sockets on loopback."""


@pytest.fixture(autouse=True)
def no_grudge(world: World) -> Iterator[None]:
    """Keep wrong passwords of one case from counting in the next."""
    yield
    world.running.server._guard.unblock(HOST)


type Write = Callable[[World, Caller], bytes]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad input and its answer."""

    name: str
    write: Write
    status: int | None
    """SILENCE: there must be no answer."""
    says: tuple[str, ...] = ()
    """What must stand in the answer."""
    by: Literal["stranger", "resident"] = "stranger"
    """Who sends it."""
    transport: Literal["udp", "tcp"] = "udp"
    then: Literal["nothing", "full state", "closed", "waits", "hung up"] = "nothing"
    """What follows: a NOTIFY that sets the lamps right, the end of the connection, a
    connection that waits for the rest, or one that the peer ends."""


# How cases are written


def octets(data: bytes | str) -> Write:
    """Send just this."""
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return lambda world, caller: raw


def plain(
    method: str,
    headers: Mapping[str, Override] | None = None,
    body: bytes = b"",
    *,
    uri: str | None = None,
    version: str = "SIP/2.0",
) -> Write:
    """Send a request without credentials."""
    return lambda world, caller: caller.request(
        method, uri, headers, body, version=version
    )


def signed(
    method: str = "SUBSCRIBE",
    headers: Mapping[str, Override] | None = None,
    body: bytes = b"",
    *,
    uri: str | None = None,
) -> Write:
    """Send a request with right credentials."""
    return lambda world, caller: caller.signed_request(method, headers, body, uri=uri)


def in_dialog(
    headers: Mapping[str, Override] | None = None, body: bytes = b""
) -> Write:
    """Send a SUBSCRIBE in the dialog, with right credentials."""
    return lambda world, caller: caller.sign(world.subscribed.request(headers, body))


def edited(write: Write, old: bytes, new: bytes) -> Write:
    """Change what another writes."""

    def edit(world: World, caller: Caller) -> bytes:
        data = write(world, caller)
        assert old in data
        return data.replace(old, new, 1)

    return edit


# Bodies


def body_cases() -> Iterator[Bad]:
    """In the dialog: 400, a Warning that says why, and the stored full state."""
    for name, (body, reason) in REFUSED.items():
        if body.strip():
            yield Bad(
                name=f"body: {name}",
                write=in_dialog(body=body),
                status=400,
                says=(
                    "SIP/2.0 400 Bad Feature Document\r\n",
                    f'\r\nWarning: 399 dfks "{reason}"\r\n',
                ),
                by="resident",
                then="full state",
            )
    for name, text in DOCTYPES.items():
        for encoding in ("utf-16-le", "utf-16-be"):
            whole = f'<?xml version="1.0" encoding="{encoding[:6]}"?>{text}{DND_ON}'
            yield Bad(
                name=f"body: DOCTYPE in {encoding}: {name}",
                write=in_dialog(body=whole.encode(encoding)),
                status=400,
                says=('\r\nWarning: 399 dfks "DOCTYPE is not allowed"\r\n',),
                by="resident",
                then="full state",
            )
    for name, use in {"text": "<a>&l9;</a>", "attribute": '<a b="&l9;"/>'}.items():
        inside = DND_ON.replace("<device/>", use)
        whole = f'<?xml version="1.0" encoding="UTF-16"?>{LAUGHS}{inside}'
        yield Bad(
            name=f"body: a hidden entity bomb in {name}",
            write=in_dialog(body=whole.encode("utf-16-le")),
            status=400,
            says=('\r\nWarning: 399 dfks "The XML is malformed"\r\n',),
            by="resident",
            then="full state",
        )


FIRST_BODIES = (
    "text",
    "NUL",
    "cut off in a tag",
    "DOCTYPE: file",
    "DOCTYPE: laughs",
    "DND 'on'",
    "DND ''",
    "forwarding 'yes'",
    "SetForwarding without elements",
    "a target that is too long",
    "nested too deeply",
)


def first_body_cases() -> Iterator[Bad]:
    """In an initial SUBSCRIBE: 400 and no dialog."""
    for transport in ("udp", "tcp"):
        for name in FIRST_BODIES:
            body, reason = REFUSED[name]
            yield Bad(
                name=f"first body over {transport}: {name}",
                write=signed(body=body),
                status=400,
                says=(f'\r\nWarning: 399 dfks "{reason}"\r\n',),
                transport="tcp" if transport == "tcp" else "udp",
            )


def unknown_cases() -> Iterator[Bad]:
    """Well-formed, but not to be had: 200, and the full state says how it is."""
    commands = UNKNOWN | {
        "a feature that is not assigned": forwarding(),
        "a feature that is not assigned, off": forwarding(status="false"),
        "a feature that is not assigned, other letters": forwarding("FORWARDNOANS"),
        "a feature that is not assigned, no rings": forwarding(rings="", target=""),
    }
    for name, text in commands.items():
        yield Bad(
            name=f"unknown: {name}",
            write=in_dialog(body=text.encode()),
            status=200,
            says=("\r\nExpires: 3600\r\n",),
            by="resident",
            then="full state",
        )


def content_cases() -> Iterator[Bad]:
    """Bodies of another kind: 415, and what would be taken."""
    accept = "\r\nAccept: application/x-as-feature-event+xml\r\n"
    for kind in (
        "text/plain",
        "application/json",
        "application/sdp",
        'multipart/mixed; boundary="b"',
        "application/xml-dtd",
        "xml",
        "/",
        "text/xmlish",
    ):
        yield Bad(
            name=f"content: {kind}",
            write=in_dialog({"Content-Type": kind}, OFF),
            status=415,
            says=(accept,),
            by="resident",
            then="full state",
        )
    for encoding in ("gzip", "x-secret", "identity, gzip"):
        yield Bad(
            name=f"content: encoded as {encoding}",
            write=in_dialog({"Content-Encoding": encoding}, OFF),
            status=415,
            says=("\r\nAccept-Encoding: identity\r\n",),
            by="resident",
            then="full state",
        )


# Methods


def method_cases() -> Iterator[Bad]:
    """Methods that are not served, and those that nobody knows."""
    allow = "\r\nAllow: REGISTER, SUBSCRIBE, OPTIONS\r\n"
    for method in (
        *("INVITE", "BYE", "INFO", "MESSAGE", "NOTIFY", "PRACK", "PUBLISH"),
        *("REFER", "UPDATE"),
    ):
        yield Bad(
            name=f"method: {method}", write=plain(method), status=405, says=(allow,)
        )
        yield Bad(
            name=f"method: {method} with a body and credentials",
            write=signed(method, body=OFF),
            status=405,
            says=(allow,),
        )
    for method in (
        *("FOO", "subscribe", "Register", "options", "SUBSCRIBES", "GET", "M-SEARCH"),
        *("X" * 1000, "!%*_+`'~", "0"),
    ):
        yield Bad(
            name=f"method: {method[:20]}",
            write=plain(method),
            status=501,
            says=(allow,),
        )
    for method in ("SUB@SCRIBE", "SUB/SCRIBE", "SUB\xc9", '"SUBSCRIBE"', "SUB:SCRIBE"):
        yield Bad(name=f"method: {method}", write=plain(method), status=400)
    yield Bad(name="method: CANCEL of nothing", write=plain("CANCEL"), status=481)
    yield Bad(name="method: ACK", write=plain("ACK"), status=SILENCE)
    yield Bad(
        name="method: ACK that is malformed",
        write=plain("ACK", {"CSeq": "x", "To": None}),
        status=SILENCE,
    )
    yield Bad(
        name="method: NOTIFY in the dialog",
        write=lambda world, caller: world.subscribed.request().replace(
            b"SUBSCRIBE", b"NOTIFY"
        ),
        status=405,
        says=(allow,),
        by="resident",
    )


# Credentials


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """How credentials differ from right ones."""

    username: str = "201"
    password: str = PASSWORDS["201"]
    algorithm: str = "MD5"
    method: str | None = None
    """What they are computed for instead of the request."""
    uri: str | None = None
    edit: tuple[str, str] | None = None
    """A regular expression, and what stands in its place."""
    header: str = "Authorization"
    whole: str | None = None
    """The whole value, whatever right ones would be."""
    stale: bool = False
    """Whether the nonce is to blame."""


FORGERIES = {
    "another password": Forgery(password="workshop-202"),
    "an empty password": Forgery(password=""),
    "the password in other letters": Forgery(password="RECEPTION-201"),
    "another line's user": Forgery(username="202"),
    "an unknown user": Forgery(username="999"),
    "no user": Forgery(username=""),
    "the user with a blank": Forgery(username="201 "),
    "the user with a quote": Forgery(username='201"'),
    "a user of 8000 letters": Forgery(username="u" * 8000),
    "a user with Latin-1 letters": Forgery(username="\udce9"),
    "another realm": Forgery(edit=(r'realm="[^"]*"', 'realm="elsewhere"')),
    "an empty realm": Forgery(edit=(r'realm="[^"]*"', 'realm=""')),
    "no realm": Forgery(edit=(r'realm="[^"]*", ', "")),
    "a made-up nonce": Forgery(
        edit=(r'nonce="[^"]*"', f'nonce="{"0123456789abcdef" * 3}"'), stale=True
    ),
    "an empty nonce": Forgery(edit=(r' nonce="[^"]*"', ' nonce=""'), stale=True),
    "no nonce": Forgery(edit=(r' nonce="[^"]*",', ""), stale=True),
    "a nonce of 9000 letters": Forgery(
        edit=(r' nonce="[^"]*"', f' nonce="{"f" * 9000}"'), stale=True
    ),
    "a nonce with one digit less": Forgery(
        edit=(r' nonce="[^"]', ' nonce="'), stale=True
    ),
    "a nonce of another time": Forgery(
        edit=(r' nonce="........', ' nonce="ffffffff'), stale=True
    ),
    "a nonce that is no number": Forgery(
        edit=(r' nonce="........', ' nonce="ghijklmn'), stale=True
    ),
    "no response": Forgery(edit=(r'response="[^"]*", ', "")),
    "an empty response": Forgery(edit=(r'response="[^"]*"', 'response=""')),
    "a response of zeros": Forgery(
        edit=(r'response="[^"]*"', f'response="{"0" * 32}"')
    ),
    "a response with Latin-1 letters": Forgery(
        edit=(r'response="[^"]*"', f'response="{"é" * 32}"')
    ),
    "a response for another method": Forgery(method="OPTIONS"),
    "a response for another uri": Forgery(
        uri="sip:elsewhere", edit=(r' uri="[^"]*"', f' uri="sip:201@{HOST}"')
    ),
    "a uri of another line": Forgery(uri=f"sip:202@{HOST}"),
    "a uri that is none": Forgery(uri="201"),
    "no uri": Forgery(edit=(r' uri="[^"]*",', "")),
    "another cnonce": Forgery(edit=(r'cnonce="[^"]*"', 'cnonce="0"')),
    "no cnonce": Forgery(edit=(r', cnonce="[^"]*"', "")),
    "another count": Forgery(edit=(r"nc=\d+", "nc=00000999")),
    "a count that is no number": Forgery(edit=(r"nc=\d+", "nc=0000000g")),
    "a short count": Forgery(edit=(r"nc=\d+", "nc=1")),
    "a negative count": Forgery(edit=(r"nc=\d+", "nc=-0000001")),
    "no count": Forgery(edit=(r", nc=\d+", "")),
    "qop=auth-int": Forgery(edit=(r"qop=auth", "qop=auth-int")),
    "an unknown qop": Forgery(edit=(r"qop=auth", "qop=trust-me")),
    "an empty qop": Forgery(edit=(r"qop=auth", 'qop=""')),
    "qop left out afterwards": Forgery(edit=(r", qop=auth", "")),
    "MD5-sess": Forgery(edit=(r"algorithm=MD5", "algorithm=MD5-sess")),
    "an unknown algorithm": Forgery(edit=(r"algorithm=MD5", "algorithm=SHA-512")),
    "an empty algorithm": Forgery(edit=(r"algorithm=MD5", 'algorithm=""')),
    "MD5 named SHA-256": Forgery(edit=(r"algorithm=MD5", "algorithm=SHA-256")),
    "SHA-256 named MD5": Forgery(
        algorithm="SHA-256", edit=(r"algorithm=SHA-256", "algorithm=MD5")
    ),
    "a quote that does not end": Forgery(edit=(r'username="201"', 'username="201')),
    "a parameter without a value": Forgery(edit=(r'username="201"', "username")),
    "a parameter without a name": Forgery(edit=(r'username="201"', '="201"')),
    "Basic": Forgery(whole="Basic MjAxOnJlY2VwdGlvbi0yMDE="),
    "Bearer": Forgery(whole="Bearer abcdef"),
    "an unknown scheme": Forgery(edit=(r"Digest", "Digestion")),
    "no scheme": Forgery(edit=(r"Digest ", "")),
    "Digest and nothing else": Forgery(whole="Digest"),
    "Digest and commas": Forgery(whole="Digest ,,, ,"),
    "an empty value": Forgery(whole=""),
    "garbage": Forgery(whole='Digest "=,="\\",\\'),
    "credentials for a proxy": Forgery(header="Proxy-Authorization"),
}


def forged(write: Write, forgery: Forgery) -> Write:
    """Add forged credentials to what another writes."""

    def add(world: World, caller: Caller) -> bytes:
        data = write(world, caller)
        method, uri = data.decode("latin-1").split(" ", 2)[:2]
        digest = Digest(
            username=forgery.username,
            password=forgery.password,
            algorithm=forgery.algorithm,
            challenge=caller.digest.challenge,
            nc=caller.digest.nc,
        )
        value = digest.authorization(forgery.method or method, forgery.uri or uri)
        if forgery.edit is not None:
            value, count = re.subn(*forgery.edit, value, count=1)
            assert count
        if forgery.whole is not None:
            value = forgery.whole
        head, _, body = data.partition(b"\r\n\r\n")
        field_line = f"\r\n{forgery.header}: {value}\r\n\r\n"
        return head + field_line.encode("utf-8", "surrogateescape") + body

    return add


def replayed(write: Write) -> Write:
    """Sign what another writes with a count that was used before."""

    def sign(world: World, caller: Caller) -> bytes:
        caller.digest.nc -= 1
        return caller.sign(write(world, caller))

    return sign


def in_dialog_off(world: World, caller: Caller) -> bytes:
    """Write a change in the dialog, without credentials."""
    return world.subscribed.request(body=OFF)


CHALLENGE = (
    '\r\nWWW-Authenticate: Digest realm="homeassistant", nonce="',
    'algorithm=MD5, qop="auth"',
    'algorithm=SHA-256, qop="auth"',
)
STALE = (*CHALLENGE, ", stale=true\r\n")

REGISTER = plain("REGISTER", {"Contact": f"<sip:201@{HOST}:9>", "Expires": "600"})


def credential_cases() -> Iterator[Bad]:
    """Wrong credentials: always a whole challenge."""
    yield Bad(
        name="credentials: none, REGISTER", write=REGISTER, status=401, says=CHALLENGE
    )
    yield Bad(
        name="credentials: none, SUBSCRIBE",
        write=plain("SUBSCRIBE", body=OFF),
        status=401,
        says=CHALLENGE,
    )
    yield Bad(
        name="credentials: none, in the dialog",
        write=in_dialog_off,
        status=401,
        says=CHALLENGE,
        by="resident",
    )
    for name, forgery in FORGERIES.items():
        says = STALE if forgery.stale else CHALLENGE
        yield Bad(
            name=f"credentials: {name}, REGISTER",
            write=forged(REGISTER, forgery),
            status=401,
            says=says,
        )
        yield Bad(
            name=f"credentials: {name}, in the dialog",
            write=forged(in_dialog_off, forgery),
            status=401,
            says=says,
            by="resident",
        )
    yield Bad(
        name="credentials: replayed in the dialog",
        write=replayed(in_dialog_off),
        status=401,
        says=STALE,
        by="resident",
    )
    other = Forgery(username="202", password=PASSWORDS["202"])
    for name, write in {
        "SUBSCRIBE": plain("SUBSCRIBE", body=OFF),
        "REGISTER": REGISTER,
        "in the dialog": in_dialog_off,
    }.items():
        yield Bad(
            name=f"credentials: right ones of another line, {name}",
            write=forged(write, other),
            status=403,
            says=("SIP/2.0 403 Not your line\r\n",),
            by="resident" if name == "in the dialog" else "stranger",
        )
    for name, write in {
        "SUBSCRIBE": signed(
            headers={"To": "<sip:999@h>"}, body=OFF, uri="sip:999@127.0.0.1"
        ),
        "REGISTER": signed("REGISTER", {"To": "<sip:999@h>"}),
        "SUBSCRIBE of nobody": signed(headers={"To": "<sip:h>"}, uri="sip:127.0.0.1"),
    }.items():
        yield Bad(
            name=f"credentials: right ones for no line, {name}",
            write=write,
            status=404,
            says=("SIP/2.0 404 No such line\r\n",),
        )


# Header fields


def subscribe_with(**fields: Override) -> Write:
    """Send an initial SUBSCRIBE with these header fields, `_` for `-`."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return signed(headers=headers, body=OFF)


def register_with(**fields: Override) -> Write:
    """Send a REGISTER with these header fields, `_` for `-`."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return signed("REGISTER", headers)


def field_cases() -> Iterator[Bad]:
    """Header fields that are missing, malformed, or ask for what is not there."""
    yield from event_cases()
    yield from address_cases()
    yield from number_cases()
    for name, write in {
        "one": subscribe_with(Require="100rel"),
        "several": subscribe_with(Require=["path, foo", "100rel"]),
        "REGISTER": register_with(Require="gruu"),
        "OPTIONS": plain("OPTIONS", {"Require": "eventlist"}),
    }.items():
        unsupported = {
            "one": "100rel",
            "several": "foo, 100rel",
            "REGISTER": "gruu",
            "OPTIONS": "eventlist",
        }
        yield Bad(
            name=f"Require: {name}",
            write=write,
            status=420,
            says=(f"\r\nUnsupported: {unsupported[name]}\r\n",),
        )
    for name, reason in {
        "From": "Missing From",
        "To": "Missing To",
        "Call-ID": "Missing Call-ID",
        "CSeq": "Missing Cseq",
    }.items():
        yield Bad(
            name=f"{name} is missing",
            write=subscribe_with(**{name: None}),
            status=400,
            says=(f"SIP/2.0 400 {reason}\r\n",),
        )
    for name, value in {
        "From": "<sip:201@elsewhere>;tag=2",
        "To": "<sip:202@elsewhere>",
        "Call-ID": "another",
        "CSeq": "7 SUBSCRIBE",
        "Event": "presence",
        "Expires": "60",
        "Content-Type": "text/plain",
        "Content-Length": "0",
        "Max-Forwards": "1",
    }.items():
        yield Bad(
            name=f"{name} stands there twice",
            write=edited(
                signed(body=OFF),
                b"\r\nVia:",
                f"\r\n{name}: {value}\r\nVia:".encode(),
            ),
            status=400,
            says=(f"SIP/2.0 400 Two different {name.title()} fields\r\n",),
        )
    for name, line in {
        "no colon": "This is no header field",
        "no name": ": value",
        "a blank in the name": "X Y: value",
        "a quote in the name": '"X": value',
        "Latin-1 in the name": "X\xe9: value",
        "no name and no value": ":",
    }.items():
        yield Bad(
            name=f"a line with {name}",
            write=edited(
                signed(body=OFF),
                b"\r\nVia:",
                f"\r\n{line}\r\nVia:".encode("latin-1"),
            ),
            status=400,
        )


def event_cases() -> Iterator[Bad]:
    """Other event packages, and none."""
    for event in (
        *("presence", "dialog", "message-summary", "as-feature-events", "as-feature"),
        *("as-feature-event.winfo", "as feature event", '"as-feature-event"', "", ";"),
        *(";id=as-feature-event", "as-feature-event, presence", "*"),
    ):
        yield Bad(
            name=f"Event: {event}",
            write=subscribe_with(Event=event),
            status=489,
            says=("\r\nAllow-Events: as-feature-event\r\n",),
        )
    yield Bad(
        name="Event is missing",
        write=subscribe_with(Event=None),
        status=489,
        says=("\r\nAllow-Events: as-feature-event\r\n",),
    )
    yield Bad(
        name="Event: a quote that does not end",
        write=subscribe_with(Event='as-feature-event;id="1'),
        status=400,
    )
    yield Bad(
        name="Event: another package in the dialog",
        write=in_dialog({"Event": "presence"}, OFF),
        status=489,
        says=("\r\nAllow-Events: as-feature-event\r\n",),
        by="resident",
    )


def address_cases() -> Iterator[Bad]:
    """Addresses: Request-URI, From, To, Contact, Record-Route."""
    for uri, status in {
        "tel:+15550100": 416,
        "sips:201@127.0.0.1": 416,
        "http://127.0.0.1/": 416,
        "urn:service:sos": 416,
        "201": 400,
        "sip:": 400,
        "sip:@": 400,
        "sip:201@": 400,
        "sip:201@@h": 400,
        "sip:201@h:0": 400,
        "sip:201@h:65536": 400,
        "sip:201@h:port": 400,
        "sip:201@[::1": 400,
        "sip:201@h\x07": 400,
        "<sip:201@h>": 400,
        '"201"<sip:201@h>': 400,
        "sip:201 @h": 400,
        ":201@h": 400,
        "*": 400,
    }.items():
        yield Bad(
            name=f"Request-URI of SUBSCRIBE: {uri}",
            write=signed(body=OFF, uri=uri),
            status=status,
        )
        yield Bad(
            name=f"Request-URI of OPTIONS: {uri}",
            write=plain("OPTIONS", uri=uri),
            status=status,
        )
    for name, value in {
        "no end": "<sip:201@h",
        "a quote that does not end": '"Re <sip:201@h>;tag=1',
        "text behind the quote": '"R" R <sip:201@h>;tag=1',
        "text behind the address": "<sip:201@h> tag=1",
        "quotes and no brackets": '"R" sip:201@h',
    }.items():
        yield Bad(name=f"From: {name}", write=subscribe_with(From=value), status=400)
        yield Bad(name=f"To: {name}", write=subscribe_with(To=value), status=400)
        yield Bad(
            name=f"Contact: {name}", write=subscribe_with(Contact=value), status=400
        )
        yield Bad(
            name=f"Contact of REGISTER: {name}",
            write=register_with(Contact=["<sip:201@good>", value]),
            status=400,
        )
    for name, contact, status in (
        ("none", None, 400),
        ("empty", "", 400),
        ("two", "<sip:201@a>, <sip:201@b>", 400),
        ("a star", "*", 400),
        ("no scheme", "<201@h>", 400),
        ("a telephone number", "<tel:+15550100>", 416),
        ("a web page", "<http://127.0.0.1/>", 416),
        ("no host", "<sip:201@>", 400),
    ):
        yield Bad(
            name=f"Contact: {name}",
            write=subscribe_with(Contact=contact),
            status=status,
        )
    for name, fields, status in (
        ("a star and time left", {"Contact": "*", "Expires": "60"}, 400),
        ("a star and no Expires", {"Contact": "*"}, 400),
        ("a star and another", {"Contact": "*, <sip:1@h>", "Expires": "0"}, 400),
        ("a q of 2", {"Contact": "<sip:201@h>;q=2"}, 400),
        ("a q of words", {"Contact": "<sip:201@h>;q=high"}, 400),
        ("far too long", {"Contact": f"<sip:201@h;x={'x' * 1100}>"}, 403),
        ("eleven", {"Contact": ", ".join(f"<sip:{n}@h>" for n in range(11))}, 403),
        ("33", {"Contact": ", ".join(f"<sip:{n}@h>" for n in range(33))}, 400),
        ("too brief", {"Contact": "<sip:201@h>", "Expires": "59"}, 423),
        ("one too brief", {"Contact": "<sip:1@h>, <sip:2@h>;expires=5"}, 423),
    ):
        yield Bad(
            name=f"Contact of REGISTER: {name}",
            write=register_with(**fields),
            status=status,
            says=("\r\nMin-Expires: 60\r\n",) if status == 423 else (),
        )
    yield Bad(
        name="Record-Route: a quote that does not end",
        write=subscribe_with(Record_Route='"a, <sip:p;lr>'),
        status=400,
    )
    yield Bad(
        name="Record-Route: 33",
        write=subscribe_with(Record_Route=", ".join(["<sip:p;lr>"] * 33)),
        status=400,
    )


def number_cases() -> Iterator[Bad]:
    """Numbers that are none, too low or too high; versions and dialogs."""
    for value in (
        *("x SUBSCRIBE", "SUBSCRIBE", "1", "-1 SUBSCRIBE", "2147483648 SUBSCRIBE"),
        *("1.5 SUBSCRIBE", "0x1 SUBSCRIBE", "1 REGISTER", "1 subscribe", "", "1 2 3"),
        *("99999999999999999999 SUBSCRIBE", "\xb2 SUBSCRIBE"),
    ):
        yield Bad(name=f"CSeq: {value}", write=subscribe_with(CSeq=value), status=400)
    for value in ("-1", "x", "1e3", "99999", "4294967296", "0x10", "", "1 1", "\xb2"):
        yield Bad(
            name=f"Content-Length: {value}",
            write=subscribe_with(Content_Length=value),
            status=400,
            says=("SIP/2.0 400 Content-Length does not fit\r\n",),
        )
    for value in ("1", "30", "59", "059"):
        yield Bad(
            name=f"Expires: {value}",
            write=subscribe_with(Expires=value),
            status=423,
            says=("\r\nMin-Expires: 60\r\n",),
        )
    yield Bad(
        name="Expires: too brief in the dialog",
        write=in_dialog({"Expires": "10"}, OFF),
        status=423,
        says=("\r\nMin-Expires: 60\r\n",),
        by="resident",
    )
    for version in ("SIP/1.0", "SIP/3.0", "SIP/2.1", "SIP/20.0", "sip/7.0"):
        yield Bad(
            name=f"version {version}",
            write=plain("OPTIONS", version=version),
            status=505,
        )
    for version in ("SIP/2", "SIP/2.0.0", "SIP2.0", "HTTP/1.1", "SIP/x.y", "2.0", ""):
        yield Bad(
            name=f"version {version}",
            write=plain("OPTIONS", version=version),
            status=SILENCE,
        )
    for name, headers, status in (
        ("an unknown To tag", {"To": "<sip:201@h>;tag=unknown"}, 481),
        ("another Call-ID", {"Call-ID": "another"}, 481),
        ("another From tag", {"From": "<sip:201@h>;tag=another"}, 481),
        ("no From tag", {"From": "<sip:201@h>"}, 481),
        ("the CSeq of the last request", {"CSeq": "1 SUBSCRIBE"}, 500),
        ("CSeq 0", {"CSeq": "0 SUBSCRIBE"}, 500),
        ("an unknown extension", {"Require": "foo"}, 420),
    ):
        yield Bad(
            name=f"in the dialog: {name}",
            write=in_dialog(headers, OFF),
            status=status,
            by="resident",
        )


# Too much


def size_cases() -> Iterator[Bad]:
    """More than there may be."""
    long = "x" * 17_000
    yield Bad(
        name="a head of 17 KiB",
        write=subscribe_with(Subject=long),
        status=413,
        says=("SIP/2.0 413 Header Too Large\r\n",),
    )
    yield Bad(
        name="a Request-URI of 17 KiB",
        write=plain("OPTIONS", uri=f"sip:{long}@h"),
        status=SILENCE,
    )
    yield Bad(
        name="a folded line of 17 KiB",
        write=subscribe_with(Subject=long.replace("xx", "\r\n ")),
        status=413,
    )
    yield Bad(
        name="129 header fields and more",
        write=subscribe_with(**{"X-Many": ["1"] * 130}),
        status=400,
        says=("SIP/2.0 400 Too many header fields\r\n",),
    )
    vias = ", ".join(f"SIP/2.0/UDP h{n};branch=z9hG4bK{n}" for n in range(70))
    yield Bad(
        name="71 Vias",
        write=edited(
            signed(body=OFF), b"\r\nMax-Forwards", f"\r\nVia: {vias}\r\nMax-F".encode()
        ),
        status=400,
        says=("SIP/2.0 400 Too many Via values\r\n",),
    )
    yield Bad(
        name="a body of 60 kB that is no XML",
        write=signed(body=b"x" * 60_000),
        status=400,
        says=('\r\nWarning: 399 dfks "The XML is malformed"\r\n',),
    )
    yield Bad(
        name="a body of 60 kB that says nothing",
        write=signed(
            body=b"<SetDoNotDisturb>" + b"<a/>" * 14_990 + b"</SetDoNotDisturb>"
        ),
        status=400,
        says=('\r\nWarning: 399 dfks "doNotDisturbOn is missing"\r\n',),
    )
    yield Bad(
        name="60 kB of white space and an angle bracket",
        write=signed(body=b" " * 60_000 + b"<"),
        status=400,
    )
    for name, data in {
        "a datagram of letters": b"A" * 65_507,
        "a datagram of line ends": b"\r\n" * 32_753,
        "a datagram of NULs": bytes(65_507),
        "a start line and 60 kB of colons": b"OPTIONS sip:h SIP/2.0\r\n"
        + b":" * 60_000,
        "60 kB of empty lines with blanks": b"OPTIONS sip:h SIP/2.0"
        + b"\r\n " * 20_000,
    }.items():
        yield Bad(name=name, write=octets(data), status=SILENCE)


# Cut off


def cut(marker: bytes, offset: int = 0) -> Write:
    """Cut a change in the dialog off at some text, or some octets behind it."""

    def write(world: World, caller: Caller) -> bytes:
        data = caller.sign(world.subscribed.request(body=OFF))
        return data[: data.index(marker) + offset]

    return write


def truncated_cases() -> Iterator[Bad]:
    """Cut a change in the dialog off, further and further behind."""
    for name, write in {
        "in the method": cut(b"SCRIBE"),
        "behind the method": cut(b" sip:"),
        "in the Request-URI": cut(b"@"),
        "before the version": cut(b"SIP/2.0"),
        "in the version": cut(b".0\r\n", 1),
        "behind the start line": cut(b"\r\n", 2),
        "in the name of Via": cut(b"Via", 2),
        "behind the name of Via": cut(b"Via:", 4),
        "in the transport of Via": cut(b"/UDP", 3),
        "behind the transport of Via": cut(b"/UDP ", 5),
    }.items():
        yield Bad(name=f"cut off {name}", write=write, status=SILENCE, by="resident")
    for name, write, status, reason in (
        ("before Max-Forwards", cut(b"Max-Forwards"), 400, "Missing From"),
        ("in the name of From", cut(b"From:", 2), 400, "A header field has no colon"),
        ("before From", cut(b"From:"), 400, "Missing From"),
        ("in From", cut(b"From: <sip:201@", 15), 400, None),
        ("before To", cut(b"To:"), 400, "Missing To"),
        ("before Call-ID", cut(b"Call-ID:"), 400, "Missing Cseq"),
        ("before CSeq", cut(b"CSeq:"), 400, "Missing Cseq"),
        ("in CSeq", cut(b" SUBSCRIBE\r\n"), 400, None),
        ("in the method of CSeq", cut(b" SUBSCRIBE\r\n", 5), 400, None),
        ("before Contact", cut(b"Contact:"), 489, "Bad Event"),
        ("before Event", cut(b"Event:"), 489, "Bad Event"),
        ("in Event", cut(b"Event: as-feature", 17), 489, "Bad Event"),
        ("before Expires", cut(b"Expires:"), 401, "Unauthorized"),
        ("before Content-Type", cut(b"Content-Type:"), 401, "Unauthorized"),
        ("before Content-Length", cut(b"Content-Length:"), 401, "Unauthorized"),
        (
            "behind Content-Length",
            cut(b"Authorization:"),
            400,
            "Content-Length does not fit",
        ),
        (
            "in Authorization",
            cut(b"Authorization: Digest user", 26),
            400,
            "Content-Length does not fit",
        ),
        ("behind the head", cut(b"<Set"), 400, "Content-Length does not fit"),
        ("in the root", cut(b"<Set", 6), 400, "Content-Length does not fit"),
        ("in the status", cut(b"false", 2), 400, "Content-Length does not fit"),
        ("at the last octet", cut(b"turb>", -1), 400, "Content-Length does not fit"),
    ):
        yield Bad(
            name=f"cut off {name}",
            write=write,
            status=status,
            says=(f"SIP/2.0 {status} {reason}\r\n",) if reason else (),
            by="resident",
        )
    for size in range(5, len(OFF), 12):
        yield Bad(
            name=f"cut off behind {size} octets of the body, and the length says so",
            write=in_dialog(body=OFF[:size]),
            status=400,
            says=('\r\nWarning: 399 dfks "The XML is malformed"\r\n',),
            by="resident",
            then="full state",
        )


# Noise


def noise_cases() -> Iterator[Bad]:
    """Say nothing that can be answered: silence."""
    generator = random.Random(2)
    stun = struct.pack(">HHI12s", 1, 0, 0x2112A442, b"transaction!")
    rtp = struct.pack(">BBHII", 0x80, 0, 1, 160, 1) + bytes(160)
    response = (
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKstray\r\n"
        "From: <sip:a@h>;tag=1\r\nTo: <sip:a@h>;tag=2\r\nCall-ID: 1\r\n"
        "CSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n"
    )
    for name, data in {
        "nothing": b"",
        "CR LF": b"\r\n",
        "two CR LF": b"\r\n\r\n",
        "blanks": b"    ",
        "NUL": b"\x00",
        "four NULs": bytes(4),
        "STUN": stun,
        "RTP": rtp,
        "DNS": b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x00\x00\x01\x00\x01",
        "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160),
        "a letter": b"x",
        "a word": b"SUBSCRIBE",
        "words": b"hello world\r\n\r\n",
        "a start line alone": b"SUBSCRIBE sip:201@127.0.0.1 SIP/2.0",
        "an empty head": b"SUBSCRIBE sip:201@127.0.0.1 SIP/2.0\r\n\r\n",
        "a blank start line": b" \r\nSUBSCRIBE sip:201@127.0.0.1 SIP/2.0\r\n\r\n",
        "HTTP": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "RTSP": b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        "SSDP": b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\n\r\n',
        "JSON": b'{"method": "SUBSCRIBE"}',
        "a document alone": DND_ON.encode(),
        "UTF-16": "OPTIONS sip:h SIP/2.0\r\n\r\n".encode("utf-16"),
        "Latin-1": b"\xe9\xe8\xea" * 50,
        "a stray answer": response.encode(),
        "a stray provisional answer": response.replace("200 OK", "100 Trying").encode(),
        "an answer with an odd status": response.replace("200 OK", "999 OK").encode(),
        "an answer without a status": response.replace("200 OK", "").encode(),
        "an answer without Via": re.sub("Via.*\r\n", "", response, count=1).encode(),
        "an answer without CSeq": re.sub("CSeq.*\r\n", "", response, count=1).encode(),
        "an answer that is cut off": response.replace("gth: 0", "gth: 9").encode(),
        "an answer of an older version": response.replace(
            "P/2.0 2", "P/1.0 2"
        ).encode(),
        **{
            f"random octets {number}": generator.randbytes(50 * number)
            for number in range(1, 9)
        },
    }.items():
        yield Bad(name=f"noise: {name}", write=octets(data), status=SILENCE)
    for name, via in {
        "no Via": None,
        "an empty Via": "",
        "a Via of words": "garbage",
        "a Via without a host": "SIP/2.0/UDP",
        "a Via with blanks for a host": "SIP/2.0/UDP ;branch=z9hG4bK1",
        "a Via with port 0": f"SIP/2.0/UDP {HOST}:0;branch=z9hG4bK1",
        "a Via with port 65536": f"SIP/2.0/UDP {HOST}:65536;branch=z9hG4bK1",
        "a Via with a port of letters": f"SIP/2.0/UDP {HOST}:sip;branch=z9hG4bK1",
        "a Via of another protocol": f"HTTP/1.1/UDP {HOST};branch=z9hG4bK1",
        "a Via without a transport": f"SIP/2.0 {HOST};branch=z9hG4bK1",
        "a Via with an odd transport": f"SIP/2.0/U(P {HOST};branch=z9hG4bK1",
        "a Via with a quote that does not end": f'SIP/2.0/UDP {HOST};branch="z',
    }.items():
        yield Bad(name=f"noise: {name}", write=subscribe_with(Via=via), status=SILENCE)
    for name, old, new in (
        ("NUL in a header field", b"Max-Forwards: 70", b"Max-Forwards: 7\x000"),
        ("CR in a header field", b"Max-Forwards: 70", b"Max-Forwards: 7\r0"),
        ("NUL in the start line", b" sip:", b" \x00sip:"),
        ("CR in Call-ID", b"Call-ID: ", b"Call-ID: a\rb"),
    ):
        yield Bad(
            name=f"noise: {name}",
            write=edited(signed(body=OFF), old, new),
            status=SILENCE,
        )


# Streams


def stream_cases() -> Iterator[Bad]:
    """Framing that is broken: an answer where there can be one, then the end."""
    for value in ("-1", "x", "1e3", "", "1 1", "0x10", "\xb2"):
        yield Bad(
            name=f"TCP: Content-Length: {value}",
            write=subscribe_with(Content_Length=value),
            status=400,
            says=("SIP/2.0 400 Content-Length does not fit\r\n",),
            transport="tcp",
            then="closed",
        )
    yield Bad(
        name="TCP: two lengths",
        write=subscribe_with(Content_Length=["5", "6"]),
        status=400,
        transport="tcp",
        then="closed",
    )
    yield Bad(
        name="TCP: Content-Length: 99999999999",
        write=subscribe_with(Content_Length="99999999999"),
        status=413,
        transport="tcp",
        then="closed",
    )
    yield Bad(
        name="TCP: a message of 70 kB",
        write=signed(body=b"x" * 70_000),
        status=413,
        transport="tcp",
        then="closed",
    )
    yield Bad(
        name="TCP: a head that does not end",
        write=lambda world, caller: (
            plain("OPTIONS")(world, caller)[:-4] + b"\r\nX: y" * 11_000
        ),
        status=413,
        transport="tcp",
        then="closed",
    )
    yield Bad(
        name="TCP: letters without end",
        write=octets(b"A" * 66_000),
        status=SILENCE,
        transport="tcp",
        then="closed",
    )
    yield Bad(
        name="TCP: a head of 17 KiB",
        write=subscribe_with(Subject="x" * 17_000),
        status=413,
        transport="tcp",
    )
    for name, data in {
        "words": b"hello world\r\n\r\n",
        "HTTP": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "an empty head": b"SUBSCRIBE sip:201@127.0.0.1 SIP/2.0\r\n\r\n",
        "line ends": b"\r\n",
        "SMTP": b"EHLO h\r\nMAIL FROM:<a@h>\r\nRCPT TO:<b@h>\r\n\r\n",
    }.items():
        yield Bad(
            name=f"TCP: {name}", write=octets(data), status=SILENCE, transport="tcp"
        )
    for name, data in {
        "a TLS handshake": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160),
        "NULs": bytes(100),
        "half a start line": b"SUBSCRIBE sip:201@",
    }.items():
        yield Bad(
            name=f"TCP: {name}",
            write=octets(data),
            status=SILENCE,
            transport="tcp",
            then="waits",
        )
    for name, size in {"a tenth": 10, "half": 2, "nearly all": 1}.items():

        def part(world: World, caller: Caller, size: int = size) -> bytes:
            data = signed(body=OFF)(world, caller)
            return data[: len(data) // size - 1]

        yield Bad(
            name=f"TCP: {name} of a request, and gone",
            write=part,
            status=SILENCE,
            transport="tcp",
            then="hung up",
        )
    for name, write, status in (
        ("INVITE", plain("INVITE"), 405),
        ("no credentials", plain("SUBSCRIBE", body=OFF), 401),
        ("no Event", subscribe_with(Event=None), 489),
        ("SIPS", signed(uri=f"sips:201@{HOST}", body=OFF), 416),
    ):
        yield Bad(name=f"TCP: {name}", write=write, status=status, transport="tcp")


ALL = [
    *body_cases(),
    *first_body_cases(),
    *unknown_cases(),
    *content_cases(),
    *method_cases(),
    *credential_cases(),
    *field_cases(),
    *size_cases(),
    *truncated_cases(),
    *noise_cases(),
    *stream_cases(),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
async def test_a_bad_input_gets_its_clear_answer(
    world: World, bad: Bad, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is the one of the table; then all is as it was."""
    before = world.state()
    world.events.clear()
    if bad.by == "resident":
        came = await send(bad, world, world.resident)
    else:
        server = (HOST, world.running.port)
        async with await FeatureCaller.open(server, bad.transport) as stranger:
            await stranger.log_in()
            came = await send(bad, world, stranger)

    responses = [each for each in came if isinstance(each, Response)]
    requests = [each for each in came if isinstance(each, Request)]
    assert [each.status for each in responses] == (
        [] if bad.status is None else [bad.status]
    )
    for response in responses:
        shown = response.raw.decode("latin-1")
        assert [text for text in bad.says if text not in shown] == []
    assert [lamps(each) for each in requests] == (
        [FULL_STATE] if bad.then == "full state" else []
    )
    await all_is_well(world, bad.transport)
    assert world.state() == before
    assert world.events == []
    assert not [
        each
        for each in caplog.records
        if each.levelno >= logging.ERROR or each.exc_info is not None
    ]


async def send(bad: Bad, world: World, caller: Caller) -> list[Request | Response]:
    """Send a bad input; return what comes of it, NOTIFYs answered."""
    caller.send(bad.write(world, caller))
    if bad.then in ("waits", "hung up"):
        # The connection ends with the case, in the midst of a message.
        return []
    if bad.then == "closed":
        await caller.wait_closed()
        return await arrived(caller)
    came = await caller.so_far()
    for each in came:
        if isinstance(each, Request):
            caller.answer(each)
    return came


async def arrived(caller: Caller) -> list[Request | Response]:
    """Return what has come to a peer whose connection is closed."""
    came: list[Request | Response] = []
    while not caller._messages.empty():
        came.append(await caller.next())
    return came


async def all_is_well(world: World, transport: str) -> None:
    """Make sure that the server answers as before, and has nothing more to say."""
    await world.resident.nothing()
    if transport == "tcp":
        async with await FeatureCaller.open(
            (HOST, world.running.port), "tcp"
        ) as caller:
            await caller.nothing()


@pytest.mark.asyncio(loop_scope="module")
async def test_after_all_of_that_a_key_works_as_before(world: World) -> None:
    """In the dialog that was there all the time."""
    response = await world.subscribed.send(body=OFF)

    assert response.status == 200
    assert lamps(await world.subscribed.told()) == {"DoNotDisturb": Lamp(False)}


def test_there_are_enough_cases() -> None:
    """At least two hundred, each with its own name."""
    assert len({bad.name for bad in ALL}) == len(ALL) >= 200
