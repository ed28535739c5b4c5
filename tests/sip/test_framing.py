"""Streams are split into messages, wherever they are cut (RFC 3261 18.3, RFC 5626)."""

import pytest

from custom_components.dfks.sip.transport.framing import Framer, FramingError

requirement = pytest.mark.requirement


def message(body: bytes = b"", length: str | None = None, name: str = "l") -> bytes:
    """Return a message of a stream."""
    size = str(len(body)) if length is None else length
    return f"OPTIONS sip:h SIP/2.0\r\n{name}: {size}\r\n\r\n".encode() + body


STREAM = (
    b"\r\n"
    + message()
    + message(b"\r\n\r\nOPTIONS x SIP/2.0\r\n\r\n")
    + b"\r\n\r\n"
    + b"OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r\n"
    + message(b"\x00\xff" * 40, name="Content-Length  ")
)
MESSAGES = [
    message(),
    message(b"\r\n\r\nOPTIONS x SIP/2.0\r\n\r\n"),
    b"OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r\n",
    message(b"\x00\xff" * 40, name="Content-Length  "),
]


def feed(*pieces: bytes) -> tuple[list[bytes], int]:
    """Feed pieces; return the messages and the number of pings."""
    framer = Framer()
    messages: list[bytes] = []
    pings = 0
    for piece in pieces:
        found, count = framer.feed(piece)
        messages += found
        pings += count
    assert not framer.inside
    return messages, pings


@requirement("E6", "E8")
@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_e6_a_stream_may_be_cut_at_any_octet(cut: int) -> None:
    """The same messages and the one ping come of it."""
    assert feed(STREAM[:cut], STREAM[cut:]) == (MESSAGES, 1)


@requirement("E6")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, len(STREAM)])
def test_e6_a_stream_may_come_in_pieces_of_any_size(size: int) -> None:
    """One octet at a time, or all at once."""
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]

    assert feed(*pieces) == (MESSAGES, 1)


@requirement("E8")
@pytest.mark.parametrize(
    ("pieces", "pings"),
    [
        ([b""], 0),
        ([b"\r\n"], 0),
        ([b"\r\n\r\n"], 1),
        ([b"\r", b"\n", b"\r", b"\n"], 1),
        ([b"\r\n", b"\r\n\r\n", b"\r\n"], 2),
        ([b"\r\n" * 5], 2),
        ([b"\n\n"], 1),
    ],
)
def test_e8_pings(pieces: list[bytes], pings: int) -> None:
    """Two line ends make one, however they come."""
    assert feed(*pieces) == ([], pings)


@requirement("E8")
def test_e8_half_a_ping_before_a_message_is_none() -> None:
    """It belonged to the message (RFC 3261 7.5)."""
    assert feed(b"\r\n", message(), b"\r\n") == ([message()], 0)


@requirement("E10")
@pytest.mark.parametrize(
    "length",
    ["-1", "x", "", "1 2", "0x1", "1.0", "9999999999", "\u00b2", "+1", "1_0", "0, 0"],
)
def test_e10_a_length_that_is_none(length: str) -> None:
    """The head comes with the error, so that it can be answered."""
    data = message(length=length) + b"trailing"

    with pytest.raises(FramingError) as error:
        Framer().feed(data)

    assert data.startswith(error.value.head)
    assert error.value.head.startswith(b"OPTIONS ")


@requirement("E10")
def test_e10_two_lengths() -> None:
    """The same twice is taken, two different ones are not."""
    twice = b"OPTIONS sip:h SIP/2.0\r\nl: 1\r\nContent-Length:  1\r\n\r\nx"
    assert feed(twice) == ([twice], 0)

    with pytest.raises(FramingError):
        feed(twice.replace(b"l: 1", b"l: 2"))


@requirement("E10", "A23")
def test_e10_a_message_has_64_kib() -> None:
    """Head and body together, or a head without end."""
    with pytest.raises(FramingError, match="Message Too Large"):
        Framer().feed(message(length="65535"))
    framer = Framer()
    framer.feed(b"OPTIONS sip:h SIP/2.0\r\n" + b"X" * 65_000)
    with pytest.raises(FramingError, match="Header Too Large"):
        framer.feed(b"X" * 600)
