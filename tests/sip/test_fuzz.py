"""Whatever comes in: what is built is read again, and nothing unforeseen is raised."""

from collections.abc import Callable, Coroutine, Iterable
import contextlib
from itertools import pairwise
import logging
from typing import override
from unittest import mock

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.dfks.sip import SipServer, server as server_module
from custom_components.dfks.sip.access.digest import parse_digest
from custom_components.dfks.sip.transport.framing import Framer, FramingError
from custom_components.dfks.sip.transport.layer import Transports
from custom_components.dfks.sip.wire.headers import (
    HeaderError,
    decode_user,
    encode_user,
    parse_address,
    parse_cseq,
    parse_parameters,
    parse_uri,
    parse_via,
    same_uri,
    split_list,
    unquote,
)
from custom_components.dfks.sip.wire.message import NotSip, Request, Response, SipError
from custom_components.dfks.sip.wire.parser import parse, read_tag
from tests.clock import ManualClock

from .echo import DOOR, Echo, light, say
from .torture import ALL
from .wire import Wire, build

_LOGGER = logging.getLogger(__name__)

TOKEN = "abcXYZ019-.!%*_+`'~"

tokens = st.text(TOKEN, min_size=1, max_size=12)
# Field values: any octet but line ends and NUL, no white space at the ends.
values = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=30
).map(lambda text: text.strip(" \t"))
octets = st.binary(max_size=200)
# What is close enough to SIP to get further than the start line.
pieces = st.lists(
    st.sampled_from(
        [
            *'\r\n \t:;,<>"\\@=[]?%\x00\u00ff',
            "\r\n",
            "\r\n ",
            "\r\n\r\n",
            "SIP/2.0",
            "SIP/2.0/UDP h",
            "OPTIONS sip:201@h SIP/2.0\r\n",
            "SUBSCRIBE sip:201@h SIP/2.0\r\n",
            "REGISTER sip:h SIP/2.0\r\n",
            "SIP/2.0 200 OK\r\n",
            "Via: SIP/2.0/UDP h;branch=z9hG4bKx;rport\r\n",
            "From: <sip:201@h>;tag=1\r\n",
            "To: <sip:201@h>\r\n",
            "Call-ID: c\r\n",
            "CSeq: 1 SUBSCRIBE\r\n",
            "CSeq: 1 REGISTER\r\n",
            "Contact: <sip:201@10.0.0.2>\r\n",
            "Event: echo\r\n",
            "Expires: 60\r\n",
            "Content-Length: 0\r\n",
            "l: 5\r\n",
            "branch=z9hG4bKx",
            "sip:201@[::1]:5060;transport=tcp?a=b",
            "4294967296",
            "-1",
            "\u00fc",
        ]
    ),
    max_size=30,
).map("".join)
texts = st.text(st.characters(max_codepoint=255), max_size=60) | pieces

TORTURE = [case.octets.replace(b"PORT", b"5060") for case in ALL]


def requests(event: str, bodies: Iterable[bytes]) -> list[bytes]:
    """Return requests that get far, for hypothesis to break."""
    return [
        b"\r\n".join(
            (
                f"{method} sip:201@10.0.0.1 SIP/2.0".encode(),
                b"Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKx;rport",
                b"From: <sip:201@h>;tag=1",
                b"To: <sip:201@h>",
                b"Call-ID: c",
                f"CSeq: 1 {method}".encode(),
                b"Contact: <sip:201@10.0.0.2>;expires=60",
                b"Record-Route: <sip:10.0.0.3;lr>, <sip:p.example;lr>",
                f"Event: {event};id=1".encode(),
                b"Expires: 600",
                b'Authorization: Digest username="201", realm="homeassistant", nonce="n"',
                b"Supported: path, outbound",
                b"",
                body,
            )
        )
        for method in ("SUBSCRIBE", "REGISTER", "OPTIONS")
        for body in bodies
    ]


WHOLE = TORTURE + requests(Echo.name, (b"", light(True), say(DOOR, "24")))


@settings(deadline=None)
@given(
    method=tokens,
    uri=st.text("sip:201@h.;=", min_size=1, max_size=20),
    fields=st.lists(st.tuples(tokens, values), max_size=6),
    body=octets,
)
def test_a_request_that_is_built_is_read_again(
    method: str, uri: str, fields: list[tuple[str, str]], body: bytes
) -> None:
    """Method, URI, fields in their order, and the body, octet by octet."""
    fields = [(f"z-{name}", value) for name, value in fields]
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP h",
        "From: <sip:a@h>;tag=1",
        "To: <sip:a@h>",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        *(f"{name}: {value}" for name, value in fields),
        f"Content-Length: {len(body)}",
    ]
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    message = parse(data)

    assert isinstance(message, Request)
    assert (message.method, message.uri, message.body) == (method, uri, body)
    for name in {name.lower() for name, _ in fields}:
        assert message.lines(name) == [v for n, v in fields if n.lower() == name]
    answer = parse(message.answer(200, ["X-Y: z"]))
    assert isinstance(answer, Response)
    assert answer.get("cseq") == f"1 {method}"


@settings(deadline=None, max_examples=300)
@given(octets | texts.map(lambda text: text.encode("latin-1")))
def test_any_octets_are_a_message_or_a_declared_error(data: bytes) -> None:
    """Nothing else is raised."""
    found: Request | Response | None = None
    error: SipError | None = None
    try:
        found = parse(data)
    except NotSip:
        pass
    except SipError as raised:
        error = raised

    if error is not None:
        assert 400 <= error.status < 600
        assert error.request is not None
        assert error.request.answer(error.status, reason=error.reason)
    assert found is None or isinstance(found, Request | Response)


READERS: list[Callable[[str], object]] = [
    parse_uri,
    parse_address,
    parse_via,
    parse_cseq,
    parse_parameters,
    split_list,
    read_tag,
]


@settings(deadline=None, max_examples=150)
@pytest.mark.parametrize("read", READERS)
@given(text=texts)
def test_any_text_is_read_or_a_header_error(
    read: Callable[[str], object], text: str
) -> None:
    """By every function that reads what is inside a header field."""
    with contextlib.suppress(HeaderError):
        read(text)


@settings(deadline=None)
@given(text=texts)
def test_any_text_is_unquoted_and_any_credentials_read(text: str) -> None:
    """These two raise nothing at all."""
    unquote(text)
    parse_digest(f"Digest {text}")
    parse_digest(text)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_user_survives_a_uri(user: str) -> None:
    """What is written into a Contact of ours is read from it again."""
    user = "".join(char for char in user if not 0xD800 <= ord(char) <= 0xDFFF)
    written = encode_user(user)

    assert decode_user(written) == user
    if user and ":" not in user:
        assert parse_uri(f"sip:{written}@h").user == user


@settings(deadline=None)
@given(one=texts, other=texts)
def test_equality_of_uris_goes_both_ways(one: str, other: str) -> None:
    """And every URI equals itself."""
    try:
        first, second = parse_uri(f"sip:{one}"), parse_uri(f"sip:{other}")
    except HeaderError:
        return

    assert same_uri(first, first)
    assert same_uri(first, second) is same_uri(second, first)


@settings(deadline=None)
@given(
    bodies=st.lists(octets, min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_a_stream_may_be_cut_anywhere(bodies: list[bytes], cuts: list[int]) -> None:
    """The same messages come of it."""
    messages = [
        f"X sip:h SIP/2.0\r\nl:{len(body)}\r\n\r\n".encode() + body for body in bodies
    ]
    stream = b"".join(messages)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    framer = Framer()

    found = [
        message
        for start, end in pairwise(ends)
        for message in framer.feed(stream[start:end])[0]
    ]

    assert found == messages
    assert not framer.inside


@settings(deadline=None)
@given(st.lists(octets | texts.map(lambda text: text.encode("latin-1")), max_size=5))
def test_any_stream_is_framed_or_a_framing_error(stream: list[bytes]) -> None:
    """And no message is lost: what comes out is what went in."""
    framer = Framer()
    found: list[bytes] = []
    with contextlib.suppress(FramingError):
        for data in stream:
            found += framer.feed(data)[0]

    left = b"".join(stream)
    for message in found:
        before, message_itself, left = left.partition(message)
        assert not before.strip(b"\r\n")
        assert message_itself


def errors_after_damage(
    server: SipServer, whole: list[bytes], data: st.DataObject
) -> list[str]:
    """Send whole requests with damage here and there; return the errors logged.

    Nothing is looked up and nothing connected: there is no event loop.
    """
    wire = Wire("10.0.0.2")
    errors: list[str] = []
    handler = _Collect(errors)
    server_module._LOGGER.addHandler(handler)
    try:
        with mock.patch.object(Transports, "run", _leave):
            for _ in range(data.draw(st.integers(1, 4))):
                server.receive(_damaged(whole, data), wire)
    finally:
        server_module._LOGGER.removeHandler(handler)
    return errors


def _damaged(whole: list[bytes], data: st.DataObject) -> bytes:
    message = bytearray(data.draw(st.sampled_from(whole)))
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(message)))
        end = start + data.draw(st.integers(0, 12))
        message[start:end] = data.draw(
            st.binary(max_size=4) | pieces.map(lambda text: text.encode("latin-1"))
        )
    return bytes(message)


def _leave(_: Transports, work: Coroutine[None, None, None]) -> None:
    work.close()


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_datagram_is_an_unexpected_error(data: st.DataObject) -> None:
    """Whole requests with damage here and there, one after another at one server."""
    server, echo = build(ManualClock())

    assert errors_after_damage(server, WHOLE, data) == []
    assert set(echo.lines) == {"line-201", "line-202"}


class _Collect(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._errors.append(record.getMessage())
