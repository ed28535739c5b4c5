#!/usr/bin/env python3
"""What the worst inputs cost: each one through the server's front door, timed.

Prints a table of milliseconds and ends with the exit status 1 where one input of 64 KiB
holds the event loop for longer than LIMIT. No socket is opened: the messages go where a
socket would have handed them.

Each message comes twice: from a stranger, and from a peer that has been let in, which
gets further into the server. A head is refused as too large above 16 KiB, so that the
shapes of header fields come in two sizes: as large as a datagram, and as large as the
server reads.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
import random
import sys
import time
from types import ModuleType
from typing import NamedTuple, override

# The integration's own package would bring in Home Assistant; its floors do not.
_PACKAGE = ModuleType("dfks")
_PACKAGE.__path__ = [str(Path(__file__).parent.parent / "custom_components" / "dfks")]
sys.modules["dfks"] = _PACKAGE

from dfks.features.documents import parse_command  # noqa: E402
from dfks.features.model import LineConfig  # noqa: E402
from dfks.features.sync import FeatureSync  # noqa: E402
from dfks.sip import Experiment, ServerConfig, SipServer  # noqa: E402
from dfks.sip.clock import TimerHandle  # noqa: E402
from dfks.sip.transport.flow import MAX_DATAGRAM, Flow  # noqa: E402
from dfks.sip.transport.framing import Framer, FramingError  # noqa: E402
from dfks.sip.wire.message import SipError  # noqa: E402
from dfks.sip.wire.parser import MAX_HEAD  # noqa: E402

# Milliseconds that one input may take.
LIMIT = 30.0

# Octets of a datagram's payload over IPv4, and of a head that is still read.
LARGE = MAX_DATAGRAM - 28
READ = MAX_HEAD - 64

# Each input is timed this often on a new server; the shortest time counts, because
# whatever makes another one longer is not the input.
TRIES = 3

USER = "201"


class Still:
    """A clock that never calls back."""

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> TimerHandle:
        """Forget the call."""
        return self

    def cancel(self) -> None:
        """Nothing is to come."""


class Sink(Flow):
    """A peer that takes whatever it is sent."""

    transport = "UDP"
    reliable = False
    closed = False
    remote = ("192.0.2.9", 5060)
    local = ("192.0.2.1", 5060)

    def __init__(self) -> None:
        """Start with nothing received."""
        self.received: list[bytes] = []

    @override
    def send(self, data: bytes) -> None:
        self.received.append(data)


class Shape(NamedTuple):
    """One hostile input. A `setting` of `tcp` or `xml` is no datagram."""

    name: str
    data: bytes
    setting: str = "udp"


# The messages


def message(*fields: str, body: str | bytes = b"", **other: str) -> bytes:
    """Return a SUBSCRIBE; `other` replaces a field (`call_id` is Call-ID)."""
    octets = body.encode("latin-1") if isinstance(body, str) else body
    values = {
        "via": "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKhostile;rport",
        "max-forwards": "70",
        "from": f"<sip:{USER}@192.0.2.1>;tag=1",
        "to": f"<sip:{USER}@192.0.2.1>",
        "call-id": "hostile",
        "cseq": "1 SUBSCRIBE",
        "contact": f"<sip:{USER}@192.0.2.9>",
        "event": "as-feature-event",
        "expires": "3600",
        "content-length": str(len(octets)),
    }
    start = other.pop("start", f"SUBSCRIBE sip:{USER}@192.0.2.1 SIP/2.0")
    values |= {name.replace("_", "-"): value for name, value in other.items()}
    lines = [start, *(f"{name}: {value}" for name, value in values.items()), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + octets


def fill(unit: str, size: int, spare: int = 600) -> str:
    """Return `unit` again and again, for a message of `size` octets."""
    return unit * ((size - spare) // len(unit))


def fields_of(size: int) -> Iterator[tuple[str, bytes]]:
    """Return messages whose header fields fill `size` octets."""

    def run(unit: str, spare: int = 600) -> str:
        return fill(unit, size, spare)

    def lines(line: str) -> list[str]:
        return [line] * ((size - 600) // (len(line) + 2))

    uri = f"sip:{USER}@192.0.2.1"
    digest = f'Digest username="{USER}", realm="homeassistant", nonce="x"'
    yield "spaces in a display name", message(**{"from": f"a{run(' ')}<{uri}>;tag=1"})
    yield "spaces before a bracket", message(**{"from": f'"a"{run(" ")}<{uri}>;tag=1'})
    yield "spaces only", message(**{"from": run(" ")})
    yield "tabs in To", message(to=f"{run(chr(9))}<{uri}>")
    yield "commas in Contact", message(contact=run(","))
    yield "commas in Via", message(via=f"SIP/2.0/UDP 192.0.2.9;branch=z9{run(',')}")
    yield "commas in Route", message(f"Route: {run(',')}")
    yield "commas in Require", message(f"Require: {run('a,')}")
    yield "quotes in From", message(**{"from": run('"') + f"<{uri}>;tag=1"})
    yield "quotes in Contact", message(contact=run('"",'))
    yield "escaped quotes", message(**{"from": '"' + run('\\"') + f'" <{uri}>;tag=1'})
    yield "backslashes", message(**{"from": '"' + run("\\") + f'" <{uri}>;tag=1'})
    yield "a quote that never ends", message(contact=run('\\"').join(('"', "")))
    yield "semicolons and one quote", message(contact=f'<{uri}>{run(";")}"')
    yield "semicolons in From", message(**{"from": f"<{uri}>{run(';')}"})
    yield "parameters of From", message(**{"from": f"<{uri}>{run(';a=b')}"})
    yield "parameters without end", message(contact=f"<{uri}>{run(';a')}")
    yield "quoted parameters", message(contact=f"<{uri}>" + run(';a="b;c"'))
    yield "different parameters", message(contact=f"<{uri}>{_numbered(';p{}=1', size)}")
    yield (
        "parameters of the URI",
        message(start=f"SUBSCRIBE {uri}{run(';a=b')} SIP/2.0"),
    )
    yield "rports in Via", message(via=f"SIP/2.0/UDP h;branch=z9{run(';rport ')}")
    yield "receiveds in Via", message(via=f"SIP/2.0/UDP h{run(';received=')};rport")
    yield "almost an rport", message(via=f"SIP/2.0/UDP h;rport{run(' ')}x;rport")
    yield "hyphens in a host", message(start=f"SUBSCRIBE sip:201@{run('-')} SIP/2.0")
    yield "dots in a host", message(via=f"SIP/2.0/UDP {run('a.')};branch=z9")
    yield "dots in the Contact", message(contact=f"<sip:201@{run('.')}!>")
    yield "colons in a host", message(contact=f"<sip:201@[{run(':')}]>")
    yield "at signs", message(contact=f"<sip:{run('a@')}192.0.2.9>")
    yield "escapes in the user", message(start=f"SUBSCRIBE sip:{run('%41')}@h SIP/2.0")
    yield "percent signs", message(start=f"SUBSCRIBE sip:{run('%')}@h SIP/2.0")
    yield "opening brackets", message(contact=run("<"))
    yield "closing brackets", message(contact=run(">"))
    yield "pairs of brackets", message(contact=run("<>,"))
    yield "many Contacts", message(contact=run(f"<{uri}>,"))
    yield "many Record-Routes", message(f"Record-Route: {run('<sip:h;lr>,')}")
    yield "a long CSeq", message(cseq=run("1") + " SUBSCRIBE")
    yield "spaces in CSeq", message(cseq="1" + run(" ") + "SUBSCRIBE")
    yield "a long Expires", message(expires=run("9"))
    yield "a long Content-Length", message(content_length=run("9"))
    yield "a long port", message(contact=f"<sip:201@h:{run('1')}>")
    yield "a long method", message(start=f"{run('A')} {uri} SIP/2.0")
    yield "spaces in the start line", message(start=f"SUBSCRIBE{run(' ')}{uri} SIP/2.0")
    yield "a long version", message(start=f"SUBSCRIBE {uri} SIP/{run('2')}.0")
    yield "a long tag", message(to=f"<{uri}>;tag={run('t')}")
    yield "a long branch", message(via=f"SIP/2.0/UDP h;branch=z9hG4bK{run('b')};rport")
    yield "a long Call-ID", message(call_id=run("c"))
    yield "a long Event", message(event=f"as-feature-event{run(';id=1')}")
    yield "a long User-Agent", message(f"User-Agent: {run(chr(0xFF))}")
    yield "letters above 0x7F", message(**{"from": f"{run(chr(0xE9))}<{uri}>;tag=1"})
    yield "commas in credentials", message(f"Authorization: Digest {run(',')}")
    yield "quotes in credentials", message(f"Authorization: Digest a={run(chr(34))}")
    yield (
        "escapes in credentials",
        message('Authorization: Digest username="' + run('\\"') + '"'),
    )
    yield "parameters of credentials", message(f"Authorization: Digest {run('a=b,')}")
    yield "spaces in credentials", message(f"Authorization: Digest a{run(' ')}=b")
    yield (
        "a long username",
        message(
            digest.replace(f'"{USER}"', f'"{run("u")}"').join(("Authorization: ", ""))
        ),
    )
    yield (
        "a long cnonce",
        message(
            f'Authorization: {digest}, uri="{uri}", qop=auth, nc=00000001, '
            f'response="0", cnonce="{run("c")}"'
        ),
    )
    yield (
        "a long digest uri",
        message(f'Authorization: {digest}, response="0", uri="sip:{run("%41")}@h"'),
    )
    yield "many credentials", message(*lines(f"Authorization: {digest}"))
    yield "header fields, all the same", message(*lines("a:b"))
    yield "header fields, all new", message(*_numbered("h{}:\n\n", size).split("\n\n"))
    yield "fields without a name", message(*lines(":"))
    yield "fields without a colon", message(*lines("a"))
    yield "spaces before colons", message(f"Subject{run(' ')}: a")
    yield "fold lines", message(f"Subject: a{run(chr(13) + chr(10) + ' ')}b")
    yield "long fold lines", message(f"Subject: a{chr(13)}{chr(10)}{run(' ')}b")
    yield "folds with bare line feeds", message(f"Subject: a{run(chr(10) + chr(9))}b")
    via = "SIP/2.0/UDP h;branch=z9hG4bK1"
    yield "a Via a line", message(*lines(f"v:{via}"))
    yield "Vias in one line", message(via=run(f"{via},"))
    yield "Tos, a hundred", message(*[f"t:<{uri}>"] * min(100, size // 40))
    yield "bare line feeds", message().replace(b"\r\n\r\n", b"\n" + run("\n").encode())
    yield "carriage returns", message(f"Subject: {run(chr(13))}")
    yield "NULs in a field", message(f"Subject: {run(chr(0))}")
    yield "escaped NULs", message(f'Subject: "{run(chr(92) + chr(0))}"')


def _numbered(unit: str, size: int) -> str:
    """Return `unit` with rising numbers, for a message of `size` octets."""
    count = (size - 600) // len(unit.format(10_000))
    return "".join(unit.format(number) for number in range(count))


def noise() -> Iterator[tuple[str, bytes]]:
    """Return datagrams that are no message at all."""
    yield "NULs", bytes(LARGE)
    yield "line ends", b"\r\n" * (LARGE // 2)
    yield "line ends and a message", b"\r\n" * 32_000 + message()
    yield "spaces", b" " * LARGE
    yield "random octets", random.Random(1).randbytes(LARGE)
    yield "letters", b"A" * LARGE
    yield "a start line and nothing", b"SUBSCRIBE sip:201@h SIP/2.0\r\n" + b"a" * 65_000
    yield "a status line", b"SIP/2.0 " + b"2" * 65_000
    yield "line feeds, single", b"SUBSCRIBE sip:201@h SIP/2.0" + b"\na: b" * 13_000


def responses() -> Iterator[tuple[str, bytes]]:
    """Return answers to nothing."""
    head = "SIP/2.0 200 OK\r\nCSeq: 1 NOTIFY\r\nVia: "
    for name, via in (
        ("answer: commas in Via", "SIP/2.0/UDP h;branch=z9" + "," * 16_000),
        ("answer: quotes in Via", "SIP/2.0/UDP h;branch=z9" + '""' * 8_000),
        ("answer: no branch", "SIP/2.0/UDP h" + ";a=b" * 4_000),
    ):
        yield name, f"{head}{via}\r\n\r\n".encode()
    long = head + "SIP/2.0/UDP h;branch=z9\r\nRetry-After: "
    yield "answer: a long Retry-After", f"{long}{'(' * 16_000}\r\n\r\n".encode()


# The documents


def _bomb(depth: int = 10) -> str:
    entities = "".join(
        f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, depth)
    )
    return f'<!DOCTYPE a [<!ENTITY e0 "ha">{entities}]>'


def documents() -> Iterator[tuple[str, bytes]]:
    """Return bodies of about 64 KiB."""
    size = LARGE - 1_000
    root = "SetDoNotDisturb"
    status = "<doNotDisturbOn>true</doNotDisturbOn>"

    def inside(text: str) -> bytes:
        return f"<{root}>{text}{status}</{root}>".encode()

    yield "nested elements", inside("<a>" * (size // 7) + "</a>" * (size // 7))
    yield "nested and never closed", b"<a>" * (size // 3)
    yield "empty elements", inside("<a/>" * (size // 4))
    yield "different elements", inside("".join(f"<a{n}/>" for n in range(8_000)))
    yield "elements without end", b"<" * size
    yield "attributes", f"<a {' '.join(f'b{n}=""' for n in range(7_000))}/>".encode()
    yield "attributes, all the same", f"<a {'b="" ' * 12_000}/>".encode()
    yield (
        "namespaces",
        f"<a {' '.join(f'xmlns:b{n}="c"' for n in range(3_900))}/>".encode(),
    )
    yield (
        "nested namespaces",
        (
            "".join(f'<a xmlns:b{n}="c">' for n in range(250)) + "<b1:c/>" * 8_000
        ).encode(),
    )
    yield "comments", inside("<!---->" * (size // 7))
    yield "a comment without end", f"<{root}><!--{'-' * size}".encode()
    yield "processing instructions", inside("<?a?>" * (size // 5))
    yield "CDATA sections", inside("<![CDATA[a]]>" * (size // 13))
    yield "character references", inside("&#65;" * (size // 5))
    yield "references to nothing", inside("&a;" * (size // 3))
    yield "ampersands", inside("&" * size)
    yield "text", inside("a" * size)
    yield (
        "a long status",
        f"<{root}><doNotDisturbOn>{'t' * size}</doNotDisturbOn></{root}>".encode(),
    )
    yield (
        "a long target",
        (
            f"<SetForwarding><forwardingType>forwardBusy</forwardingType><activateForward>1"
            f"</activateForward><forwardDN>{'2' * size}</forwardDN></SetForwarding>"
        ).encode(),
    )
    yield (
        "a long ringCount",
        (
            "<SetForwarding><forwardingType>forwardNoAns</forwardingType><activateForward>1"
            f"</activateForward><ringCount>{'9' * size}</ringCount></SetForwarding>"
        ).encode(),
    )
    yield "spaces around", b" " * 30_000 + inside("") + b"\n" * 30_000
    yield "an entity bomb", (_bomb() + "<a>&e9;</a>").encode()
    yield "an entity bomb in UTF-16", (_bomb() + "<a>&e9;</a>").encode("utf-16")
    yield "the same in an attribute", (_bomb() + '<a b="&e9;"/>').encode("utf-16")
    flat = f'<!DOCTYPE a [<!ENTITY e "{"x" * 10_000}">]>'
    yield (
        "one entity, many times",
        (flat + '<a b="' + "&e;" * 6_000 + '"/>').encode("utf-16"),
    )
    for name, text in (
        ("content", _bomb() + "<a>&e9;</a>"),
        ("an attribute", _bomb() + '<a b="&e9;"/>'),
        ("nothing", _bomb() + inside("").decode()),
    ):
        # UTF-7 hides the declaration, as far as the system's iconv knows it.
        hidden = text.encode("utf-7").replace(b"<", b"+ADw-")
        declaration = b'<?xml version="1.0" encoding="UTF-7"?>'
        yield f"a bomb in UTF-7 for {name}", declaration + hidden
    outside = '<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>'
    yield "a DTD elsewhere in UTF-16", outside.encode("utf-16")
    yield (
        "parameter entities",
        (
            "<!DOCTYPE a [<!ENTITY % p \"<!ENTITY q '%p;'>\">"
            + "%p;" * 9_000
            + "]><a/>"
        ).encode("utf-16"),
    )
    yield "UTF-32", inside("<a/>" * 3_000).decode().encode("utf-32")
    yield "octets that are no UTF-8", b"<a>" + b"\xe9" * size + b"</a>"
    yield (
        "a wrong encoding",
        b'<?xml version="1.0" encoding="UTF-8"?><a>' + b"\xff" * size,
    )
    yield (
        "an encoding of no one",
        b'<?xml version="1.0" encoding="' + b"x" * size + b'"?><a/>',
    )


def shapes() -> Iterator[Shape]:
    """Return all inputs."""
    for name, data in fields_of(LARGE):
        yield Shape(name, data)
    for name, data in fields_of(READ):
        yield Shape(f"{name}, 16 KiB", data)
    for name, data in (*noise(), *responses()):
        yield Shape(name, data)
    for name, body in documents():
        yield Shape(f"body: {name}", message(body=body[: LARGE - 600]))
        yield Shape(f"document: {name}", body, "xml")
    for name, stream in streams():
        yield Shape(f"stream: {name}", stream, "tcp")


def streams() -> Iterator[tuple[str, bytes]]:
    """Return what one connection sends at once, or octet by octet."""
    yield "line ends", b"\r\n" * 32_000
    yield "line ends, one after the other", b"\r" * 64_000
    yield "a head without end", b"A" * 65_000
    yield "a head with many breaks", b"A: b\r\n" * 10_000
    yield "Content-Length 999999999", message(content_length="999999999")
    yield "Content-Length 65000", message(content_length="65000", body=b"x" * 64_000)
    yield "many Content-Lengths", message(*["l: 0"] * 10_000)
    yield "small messages", message() * 200


# The measurements


def build(*, let_in: bool) -> SipServer:
    """Return a server with one line."""
    config = ServerConfig(
        experiment=Experiment(authenticate=not let_in), allowed_networks=()
    )
    server = SipServer(config, Still())
    line = LineConfig(id=USER, user=USER, password="password", auth_name=USER)
    sync = FeatureSync(server)
    server.add_package(sync)
    sync.add_line(line)
    return server


def time_message(data: bytes, *, let_in: bool) -> tuple[float, str]:
    """Return the milliseconds of a message, and how it was answered."""
    times = []
    for _ in range(TRIES):
        server, sink = build(let_in=let_in), Sink()
        began = time.perf_counter()
        server.receive(data, sink)
        times.append(time.perf_counter() - began)
    answers = [answer[8:11].decode("latin-1") for answer in sink.received]
    return 1_000 * min(times), " ".join(answers[:1]) or "-"


def time_document(data: bytes) -> tuple[float, str]:
    """Return the milliseconds of a document, and what came of it."""
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        try:
            outcome = "taken" if parse_command(data) else "unknown"
        except SipError as err:
            outcome = str(err.status)
        times.append(time.perf_counter() - began)
    return 1_000 * min(times), outcome


def time_stream(data: bytes, pieces: Iterable[int]) -> tuple[float, float, str]:
    """Return the longest and the total milliseconds of a stream cut at some places."""
    longest = []
    totals = []
    for _ in range(TRIES):
        framer = Framer()
        outcome, steps = "waits", []
        for start, end in pairwise(pieces):
            piece = data[start:end]
            began = time.perf_counter()
            try:
                messages, pings = framer.feed(piece)
            except FramingError:
                outcome = "closed"
            else:
                outcome = "split" if messages or pings else outcome
            steps.append(time.perf_counter() - began)
            if outcome == "closed":
                break
        longest.append(max(steps))
        totals.append(sum(steps))
    return 1_000 * min(longest), 1_000 * min(totals), outcome


def main() -> int:
    """Measure all; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=LIMIT, help="milliseconds")
    parser.add_argument(
        "--all", action="store_true", help="print every input, not the slowest 25"
    )
    arguments = parser.parse_args()
    rows = sorted(measure(), reverse=True)
    shown = rows if arguments.all else rows[:25]
    print(f"{'ms':>8}  {'octets':>6}  {'answer':8} input")
    for milliseconds, octets, answer, name in shown:
        print(f"{milliseconds:8.3f}  {octets:6}  {answer:8} {name}")
    slow = [row for row in rows if row[0] > arguments.limit]
    print(
        f"{len(rows)} measurements, the slowest {rows[0][0]:.1f} ms; "
        f"{len(slow)} above {arguments.limit:g} ms"
    )
    return 1 if slow else 0


def measure() -> Iterator[tuple[float, int, str, str]]:
    """Return milliseconds, octets, answer and name of each measurement."""
    for name, data, setting in shapes():
        if setting == "xml":
            yield time_document(data)[0], len(data), time_document(data)[1], name
            continue
        if setting == "tcp":
            once, _, outcome = time_stream(data, (0, len(data)))
            yield once, len(data), outcome, name
            step, total, outcome = time_stream(data, range(len(data) + 1))
            yield (
                step,
                len(data),
                outcome,
                f"{name}, by the octet ({total:.0f} ms in all)",
            )
            continue
        assert len(data) <= LARGE, (name, len(data))
        for let_in in (False, True):
            who = "let in" if let_in else "stranger"
            milliseconds, answer = time_message(data, let_in=let_in)
            yield milliseconds, len(data), answer, f"{name} ({who})"


if __name__ == "__main__":
    sys.exit(main())
