"""Messages between a phone and its PBX, and what becomes of them on a bad day."""

from collections.abc import Callable
import random

# What is put into a message: marks of the grammar, and what ends a line for some.
MARKS = [b";", b",", b"<", b">", b'"', b":", b"@", b"=", b"\\", b" ", b"\t", b"\r\n"]
MARKS += [
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"%00",
    b"[",
    b"]",
    b"sip:",
    b"\r\n ",
    b"4294967296",
]


def swap_octet(data: bytes, chance: random.Random) -> bytes:
    """Replace one octet."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    """Drop the end."""
    return data[: chance.randrange(len(data))]


def insert(data: bytes, chance: random.Random) -> bytes:
    """Put a mark somewhere."""
    at = chance.randrange(len(data))
    return data[:at] + chance.choice(MARKS) + data[at:]


def leave_out(data: bytes, chance: random.Random) -> bytes:
    """Drop a line."""
    lines = data.split(b"\r\n")
    del lines[chance.randrange(len(lines))]
    return b"\r\n".join(lines)


def repeat(data: bytes, chance: random.Random) -> bytes:
    """Say a line many times."""
    lines = data.split(b"\r\n")
    at = chance.randrange(len(lines))
    return b"\r\n".join(
        [*lines[:at], *[lines[at]] * chance.choice([2, 40, 300]), *lines[at:]]
    )


def shuffle(data: bytes, chance: random.Random) -> bytes:
    """Bring the lines into disorder."""
    lines = data.split(b"\r\n")
    chance.shuffle(lines)
    return b"\r\n".join(lines)


def redirect(data: bytes, chance: random.Random) -> bytes:
    """Name somebody else as where to go."""
    lines = data.split(b"\r\n")
    field = chance.choice([b"Route", b"Record-Route", b"Contact", b"Via"])
    value = b"<sip:127.0.0.2:9;lr;maddr=127.0.0.2>"
    if field == b"Via":
        value = b"SIP/2.0/UDP 127.0.0.2:9;branch=z9hG4bKx;received=127.0.0.2;rport=9"
    lines.insert(1, b"%b: %b" % (field, value))
    return b"\r\n".join(lines)


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    swap_octet,
    cut,
    insert,
    leave_out,
    repeat,
    shuffle,
    redirect,
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a message with one to four faults."""
    for _ in range(chance.randint(1, 4)):
        if data:
            data = chance.choice(MUTATIONS)(data, chance)
    return data
