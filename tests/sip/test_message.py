"""Octets to messages and back (RFC 3261 7)."""

from typing import cast
from unittest.mock import patch

from hypothesis import example, given, strategies as st
import pytest

from custom_components.dfks.sip.wire import parser
from custom_components.dfks.sip.wire.message import NotSip, Request, Response, SipError
from custom_components.dfks.sip.wire.parser import MAX_HEAD, parse, read_tag
from custom_components.dfks.sip.wire.plain import parse_plain_ok, read_plain_request

HEAD = (
    "OPTIONS sip:201@h SIP/2.0\r\n"
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
    "From: <sip:201@h>;tag=f\r\n"
    "To: <sip:201@h>\r\n"
    "Call-ID: c\r\n"
    "CSeq: 1 OPTIONS\r\n"
)
ANSWER = (
    "SIP/2.0 200 OK\r\n"
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
    "From: <sip:201@h>;tag=f\r\n"
    "To: <sip:201@h>;tag=t\r\n"
    "Call-ID: c\r\n"
    "CSeq: 1 NOTIFY\r\n"
)


def request(more: str = "", body: bytes = b"") -> Request:
    """Return a request with further header lines."""
    found = parse(f"{HEAD}{more}\r\n".encode("latin-1") + body)
    assert isinstance(found, Request)
    return found


def test_a_request_tells_what_stands_in_it() -> None:
    """What every part of the server goes by."""
    message = request("X-Y: z\r\n", b"body")

    assert (message.method, message.uri) == ("OPTIONS", "sip:201@h")
    assert message.target.user == "201"
    assert message.via.branch == "z9hG4bKx"
    assert (message.from_tag, message.to_tag) == ("f", None)
    assert (message.call_id, message.cseq) == ("c", 1)
    assert message.get("x-y") == "z"
    assert message.body == b"body"


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_lines_may_end_in_a_bare_line_feed(ending: str) -> None:
    """Some phones send nothing else."""
    text = f"{HEAD}Z: y\r\n z\r\n\r\nbody\r\nbody".replace("\r\n", ending)

    message = parse(text.encode())

    assert isinstance(message, Request)
    assert message.get("z") == "y z"
    assert message.body == f"body{ending}body".encode()


def test_line_ends_may_be_mixed() -> None:
    """The empty line is one of CR LF then, as in the field."""
    text = HEAD.replace("\r\n", "\n", 3) + "Z: y\r\n\r\nbody"

    message = parse(text.encode())

    assert isinstance(message, Request)
    assert message.get("z") == "y"


def test_a_head_without_an_empty_line_is_all_there_is() -> None:
    """A datagram has an end of its own."""
    message = parse(HEAD.encode())

    assert isinstance(message, Request)
    assert message.body == b""


@pytest.mark.parametrize(
    "more",
    [
        "Z: a\rb\r\n",
        "Z: a\x00b\r\n",
        'Z: "a\x00b"\r\n',
        "Z: a\r\r\n",
        "Z\r: a\r\n",
    ],
)
def test_stray_control_characters_are_not_answered(more: str) -> None:
    """An answer would echo them."""
    with pytest.raises(NotSip):
        request(more)


@pytest.mark.parametrize("more", ['Z: "a\\\x00b"\r\n', "Z: a\x01\x7f\x80\r\n"])
def test_control_characters_that_do_no_harm(more: str) -> None:
    """An escaped NUL, and what ends no line."""
    assert request(more).get("z")


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ("", []),
        ("Z:\r\n", []),
        ("Z: a\r\n", ["a"]),
        ("Z: a, b\r\n", ["a", "b"]),
        ("Z: a\r\nz : b,c\r\n", ["a", "b", "c"]),
        ("Z: a,,b,\r\n", ["a", "b"]),
        ('Z: "a,b"\r\nZ:\r\nZ: <c,d>\r\n', ['"a,b"', "<c,d>"]),
    ],
)
def test_values_of_a_list(lines: str, values: list[str]) -> None:
    """By line and by comma, in order; empty ones do not count."""
    assert request(lines).values("z") == values


def test_tokens_of_a_list() -> None:
    """In lower case; none where the list is malformed."""
    assert request("Z: A, b\r\n").tokens("z") == ["a", "b"]
    assert request('Z: a, "b\r\n').tokens("z") == []


def test_lines_of_a_field() -> None:
    """As they came; `get` returns the first."""
    message = request("Z: a, b\r\nZ: c\r\n")

    assert message.lines("z") == ["a, b", "c"]
    assert message.get("z") == "a, b"
    assert message.lines("y") == []
    assert message.get("y") is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Phone/1.0", "Phone/1.0"),
        ("\u00c3\u00bc", "\u00fc"),
        ("\u00fc", "\ufffd"),
        ("a\x01b\x1b[31mc\x7f", "ab[31mc"),
        ("a\u00e2\u0080\u00aeb", "ab"),
    ],
)
def test_text_is_fit_to_be_shown(value: str, shown: str) -> None:
    """UTF-8 without control characters, whatever a phone sends."""
    assert request(f"Z: {value}\r\n").text("z") == shown
    assert request().text("z") is None


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("nonsense", "version"),
        ("OPTIONS sip:h", "version"),
        ("OPTIONS sip:h HTTP/1.1", "version"),
        ("OPTIONS sip:h SIP/2", "version"),
        ("OPTIONS sip:h SIP/2.0", "Via"),
        ("SIP/2.0 200 OK", "response"),
        ("SIP/2.0", "version"),
        ("SIP/2.0 abc OK", "response"),
        ("SIP/2.0 99 Low", "response"),
        ("", "version"),
    ],
)
def test_what_is_not_sip(head: str, text: str) -> None:
    """It must not be answered."""
    with pytest.raises(NotSip, match=f"(?i){text}"):
        parse(f"{head}\r\n\r\n".encode())


@pytest.mark.parametrize(
    "line", ["no colon", ": no name", "na(me: x", "na me: x", "\u00e9: x"]
)
def test_a_line_that_is_no_field_is_an_error(line: str) -> None:
    """Of a request; a response with one is dropped."""
    with pytest.raises(SipError) as error:
        request(f"{line}\r\n")
    with pytest.raises(NotSip):
        parse(f"{ANSWER}{line}\r\n\r\n".encode())

    assert error.value.status == 400
    assert error.value.request is not None
    assert error.value.request.call_id == "c"


@pytest.mark.parametrize(
    ("change", "branch"),
    [
        (("", ""), "z9hG4bKx"),
        (("branch=z9hG4bKx", "a=b;branch=z9hG4bKy;c"), "z9hG4bKy"),
        (("branch=z9hG4bKx", 'x="a,;branch=no";BRANCH=z9hG4bKz'), "z9hG4bKz"),
        ((";branch=z9hG4bKx", ""), ""),
        ((";branch=z9hG4bKx", ";branch=1, SIP/2.0/UDP i;branch=2"), "1"),
        (("h;branch=z9hG4bKx", "h ; branch = z9hG4bKx"), "z9hG4bKx"),
    ],
)
def test_responses(change: tuple[str, str], branch: str) -> None:
    """Found by the branch of the top Via and the method of CSeq."""
    message = parse(f"{ANSWER.replace(*change)}\r\n".encode())

    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "OK")
    assert (message.branch, message.method) == (branch, "NOTIFY")


@pytest.mark.parametrize("line", ["Via", "CSeq"])
def test_a_response_without_via_or_cseq_is_dropped(line: str) -> None:
    """It cannot be for anyone."""
    with pytest.raises(NotSip):
        parse(f"{ANSWER.replace(f'{line}: ', f'X-{line}: ')}\r\n".encode())


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("<sip:a@h>;tag=x", "x"),
        ("<sip:a@h>;tag=x;y=z", "x"),
        ("<sip:a@h>;y=z;TAG=x", "x"),
        ("sip:a@h;tag=x", "x"),
        ("<sip:a@h;tag=no>", None),
        ("<sip:a@h;tag=no>;tag=x", "x"),
        ('"a;tag=no" <sip:a@h>;tag=x', "x"),
        ("<sip:a@h>;tag=", ""),
        ("<sip:a@h> ; tag = x", "x"),
        ("<sip:a@h>", None),
    ],
)
def test_tags(value: str, tag: str | None) -> None:
    """The parameter of the field, not of the URI in it."""
    assert read_tag(value) == tag


def test_an_answer_echoes_and_adds() -> None:
    """Via, From, To, Call-ID and CSeq, then what is given."""
    message = request("Via: SIP/2.0/TCP other\r\n")

    answer = message.answer(423, ["Min-Expires: 60"], reason="Too Brief")

    assert answer == (
        b"SIP/2.0 423 Too Brief\r\n"
        b"Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
        b"Via: SIP/2.0/TCP other\r\n"
        b"From: <sip:201@h>;tag=f\r\n"
        b"To: <sip:201@h>\r\n"
        b"Call-ID: c\r\n"
        b"CSeq: 1 OPTIONS\r\n"
        b"Min-Expires: 60\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_an_error_says_what_it_is() -> None:
    """Status and reason; nothing of the request, which may hold a secret."""
    error = SipError(400, "Missing To", request=cast("Request", object()))

    assert str(error) == "400 Missing To"
    assert SipError(404).reason == "Not Found"


END = "Content-Length: 0\r\n"


@pytest.mark.parametrize(
    "text",
    [
        ANSWER + END,
        ANSWER.replace("z9hG4bKx", "z9hG4bKx;rport=5060;received=192.0.2.1") + END,
        ANSWER.replace("h;", "[2001:db8::1]:5062;") + END,
        f"{ANSWER}Contact: <sip:201@h>\r\nUser-Agent: \r\n{END}Server: x/1 (y)\r\n",
    ],
)
def test_a_plain_answer_is_known_by_branch_and_call_id(text: str) -> None:
    """Whatever else stands in it."""
    assert parse_plain_ok(f"{text}\r\n".encode()) == ("z9hG4bKx", "c")


LINES = [
    *ANSWER.split("\r\n")[:-1],
    "Via: SIP/2.0/UDP h;branch=z9hG4bKother",
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx, SIP/2.0/UDP i;branch=z9hG4bKy",
    "v: SIP/2.0/UDP h;branch=z9hG4bKx",
    "Call-ID: d",
    "call-id: d",
    "i: d",
    "CSeq: 1 SUBSCRIBE",
    "cseq: 2 SUBSCRIBE",
    "Content-Length: 0",
    "content-length: 1",
    "l: 1",
    "L: 1",
    "Lang: 1",
    "no colon",
    "X: a\x00b",
    "X: a\rb",
    "X: a\n CSeq: 1 SUBSCRIBE",
    "",
]


@given(st.lists(st.sampled_from(LINES), max_size=4), st.sampled_from(["", "x"]))
@example(["l: 1"], "x")
def test_what_is_taken_for_a_plain_answer_is_one(more: list[str], body: str) -> None:
    """Read in full it says the same."""
    data = f"{ANSWER}{END}{''.join(f'{line}\r\n' for line in more)}\r\n{body}".encode()

    found = parse_plain_ok(data)

    if found is not None:
        response = parse(data)
        assert isinstance(response, Response)
        assert (response.status, response.method) == (200, "NOTIFY")
        assert (response.branch, response.get("call-id")) == found


STARTS = [
    "SUBSCRIBE sip:201@h:5060 SIP/2.0",
    "SUBSCRIBE sip:201@h SIP/2.0 ",
    "SUBSCRIBE sips:201@h SIP/2.0",
    "SUBSCRIBE sip:201@h;user=phone SIP/2.0",
    "SUBSCRIBE sip:201@h:99999 SIP/2.0",
    "SUBSCRIBE sip:201@h SIP/3.0",
    "subscribe sip:201@h SIP/2.0",
    "SUBSCRIBE  sip:201@h SIP/2.0",
]
# What each field may say; the first is the usual one, None leaves the line out.
SAYINGS: list[list[str | None]] = [
    [
        "Via: SIP/2.0/UDP h:5062;branch=z9hG4bKx;rport",
        "Via: SIP/2.0/UDP H;rport;branch=z9hG4bKx",
        "Via: SIP/2.0/TCP h;branch=z9hG4bKx",
        "Via: SIP/2.0/UDP h;branch=z9hG4bKx;received=192.0.2.1",
        "Via: SIP/2.0/UDP h;branch=z9hG4bKx, SIP/2.0/UDP i;branch=z9hG4bKy",
        "Via: SIP/2.0/UDP h;rport;branch=z9hG4bKx;rport",
        "Via: SIP/2.0/UDP h;branch=z9hG4bKx \t",
        "Via: SIP/2.0/UDP h",
        "v: SIP/2.0/UDP h;branch=z9hG4bKx",
        None,
    ],
    [
        "From: <sip:201@h>;tag=f",
        'From: "Re, ception" <sip:201@h>;tag=f',
        'From: "a<b>;tag=x" <sip:201@h>;tag=f',
        'From: "a\\"" <sip:201@h>;tag=f',
        "From: <sip:201@h>;x=y;tag=f",
        "From: sip:201@h;tag=f",
        "From: <sip:201@h",
        'From: "a <sip:201@h>;tag=f',
        'From: "a\\" <sip:201@h>;tag=f',
        "From: a\x00<sip:201@h>;tag=f",
        "From: <sip:201@h>;tag=f\n ;x=y",
        "From:  <sip:201@h>;tag=f",
        None,
    ],
    [
        "To: <sip:201@h>",
        "To: Re ception <sip:201@h>;tag=t",
        "To:  Re ception <sip:201@h>",
        "To: <sip:201@h>;tag=",
        "To: <sip:201\r@h>",
        "To: <sip:201\n@h>",
        "To: <sip:201@h>;TAG=t",
        "To: <sip:201@h> ;tag=t",
        "t: <sip:201@h>",
        None,
    ],
    [
        "Call-ID: c@h",
        "Call-ID: ",
        "Call-ID: c\t",
        "Call-ID: c d",
        "Call-ID:c",
        "CALL-ID: c",
        None,
    ],
    [
        "CSeq: 1 SUBSCRIBE",
        "CSeq: 1 OPTIONS",
        "CSeq: 4294967296 SUBSCRIBE",
        "CSeq: 1  SUBSCRIBE",
        "cseq: 1 SUBSCRIBE",
        None,
    ],
    ["Content-Length: 4", "Content-Length: 04", "Content-Length: 3", "l: 5", None],
    ["Max-Forwards: 70", "Max-Forwards: 69", "Max-Forwards:", None],
    [
        "Contact: <sip:u@h>",
        "Contact: <sip:u@h> ",
        "Contact: <sip:u@h>\r\n ;a=b",
        "m: <sip:u@h>",
        None,
    ],
    ["Event: as-feature-event", "Event: presence", "o: dialog", None],
    ["Authorization: Digest a=b", "Authorization: Basic x", None],
    ["Accept: a/b", "Accept: a/b, c/d", "accept: x", None],
    [None, "X-Y: z", "Unknown", ": x", "Require: y", "To : <sip:201@h>"],
]


def read(data: bytes) -> object:
    """Return all that is read of a request, or what is wrong with it."""
    try:
        found = parse(data)
    except NotSip:
        return "not SIP"
    except SipError as err:
        answered = err.request and (err.request.to_tag, err.request.via_text)
        return err.status, err.reason, err.fields, answered
    assert isinstance(found, Request)
    says = {
        name: getattr(found, name) for name in Request.__slots__ if name != "_target"
    }
    # Only the hot path says so; whoever has no use of it asks for the target.
    user = says.pop("plain_user")
    # These nobody asks for, and the hot path leaves them out.
    fields = {
        name: value
        for name, value in found.fields.items()
        if name not in ("accept", "max-forwards")
    }
    return says, fields, found.body, user is None or user


@given(
    start=st.sampled_from(STARTS),
    lines=st.tuples(*map(st.sampled_from, SAYINGS)).flatmap(st.permutations),
    more=st.lists(st.sampled_from(SAYINGS).flatmap(st.sampled_from), max_size=2),
    body=st.sampled_from([b"body", b"", b"bodies"]),
)
@example(start=STARTS[0], lines=[each[0] for each in SAYINGS], more=[], body=b"body")
def test_a_plain_request_is_read_as_any_other(
    start: str, lines: list[str | None], more: list[str | None], body: bytes
) -> None:
    """Whichever way it takes, the same stands in it, and the same is wrong."""
    check_both_ways([start, *lines, *more], body)


@pytest.mark.parametrize(
    ("place", "line"),
    [(place, line) for place, each in enumerate(SAYINGS) for line in each],
)
def test_one_odd_line_is_read_as_among_others(place: int, line: str | None) -> None:
    """All other lines are as usual."""
    lines = [each[0] for each in SAYINGS]
    lines[place] = line
    check_both_ways([STARTS[0], *lines], b"body")


def check_both_ways(lines: list[str | None], body: bytes) -> None:
    """Make sure that a request is read by the short way as by the long one."""
    head = "\r\n".join(line for line in lines if line is not None)
    data = f"{head}\r\n\r\n".encode("latin-1") + body

    quick = read(data)
    with patch.object(parser, "read_plain_request", return_value=None):
        full = read(data)

    if isinstance(quick, tuple) and quick[-1] == "201":
        assert isinstance(full, tuple)
        assert full[-1] is True
        quick, full = quick[:-1], full[:-1]
    assert quick == full


@pytest.mark.parametrize(
    "lines",
    [
        [each[0] for each in SAYINGS],
        [each[0] for each in reversed(SAYINGS)],
        [*(each[1] for each in SAYINGS[:3]), *(each[0] for each in SAYINGS[3:])],
        [each[0] for each in SAYINGS[:5]],
    ],
)
def test_usual_requests_take_the_short_way(lines: list[str | None]) -> None:
    """In the order of any phone."""
    head = "\r\n".join([STARTS[0], *filter(None, lines)])

    found = parse(f"{head}\r\n\r\nbody".encode())

    assert isinstance(found, Request)
    assert found.plain_user == "201"


@pytest.mark.parametrize(
    ("port", "is_usual"),
    [
        *((port, True) for port in (1, 5060, 59_999, 60_000, 64_999, 65_499, 65_535)),
        *((port, False) for port in ("0", "05060", "65536", "66000", "100000")),
    ],
)
def test_any_port_is_usual(port: int | str, is_usual: bool) -> None:
    """TCP phones write from the highest ones too."""
    lines = [f"OPTIONS sip:201@h:{port} SIP/2.0", *(e[0] for e in SAYINGS[:5])]
    head = "\r\n".join(filter(None, lines)).replace("SUBSCRIBE", "OPTIONS")
    data = f"{head}\r\n\r\n".encode()

    assert (read_plain_request(data, len(data) - 4) is not None) is is_usual


def test_a_head_of_usual_lines_has_a_limit() -> None:
    """It is the same for all requests."""
    lines = [STARTS[0], *(each[0] for each in SAYINGS[:5])]
    head = "\r\n".join([*filter(None, lines), f"User-Agent: {'x' * MAX_HEAD}"])

    with pytest.raises(SipError) as refused:
        parse(f"{head}\r\n\r\n".encode())

    assert refused.value.status == 413
