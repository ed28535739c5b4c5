"""The grammar inside header fields (RFC 3261 19.1, 20, 25.1)."""

import pytest

from custom_components.dfks.sip.wire.headers import (
    Address,
    HeaderError,
    Uri,
    Via,
    bracketed,
    decode_user,
    encode_user,
    is_token,
    number,
    parse_address,
    parse_cseq,
    parse_parameters,
    parse_uri,
    parse_via,
    same_uri,
    skip_quoted,
    split_list,
    unbracketed,
    unquote,
)


def uri(
    user: str,
    host: str,
    port: int | None = None,
    parameters: dict[str, str | None] | None = None,
    headers: str = "",
    scheme: str = "sip",
    password: str | None = None,
) -> Uri:
    """Return a URI whose text does not matter."""
    return Uri(scheme, user, host, port, parameters or {}, headers, "", password)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:h", uri("", "h")),
        ("SIP:h", uri("", "h")),
        ("sips:h", uri("", "h", scheme="sips")),
        ("sip:201@h", uri("201", "h")),
        ("sip:201@PBX.Example", uri("201", "pbx.example")),
        ("sip:201@h:5070", uri("201", "h", 5070)),
        ("sip:201:secret@h", uri("201", "h", password="secret")),
        ("sip:a;b=c?d@h", uri("a;b=c?d", "h")),
        ("sip:%61%40b@h", uri("a@b", "h")),
        ("sip:%C3%BC@h", uri("\u00fc", "h")),
        ("sip:\u00c3\u00bc@h", uri("\u00fc", "h")),
        ("sip:%FF@h", uri("\udcff", "h")),
        ("sip:%zz@h", uri("%zz", "h")),
        ("sip:%@h", uri("%", "h")),
        ("sip:+1-2.3!~*'()&=+$,;?/@h", uri("+1-2.3!~*'()&=+$,;?/", "h")),
        ("sip:h;lr", uri("", "h", None, {"lr": None})),
        ("sip:h;a=b;C=D", uri("", "h", None, {"a": "b", "c": "D"})),
        ("sip:h:1;a?x=y&z=", uri("", "h", 1, {"a": None}, "x=y&z=")),
        ("sip:h?x", uri("", "h", None, None, "x")),
        ("sip:[::1]", uri("", "[::1]")),
        ("sip:a@[2001:DB8::1]:5060", uri("a", "[2001:db8::1]", 5060)),
        ("sip:[::ffff:192.0.2.1]", uri("", "[::ffff:192.0.2.1]")),
        ("sip:my_host", uri("", "my_host")),
        ("tel:+441", Uri("tel", "", "", None, {}, "", "")),
        ("urn:service:sos", Uri("urn", "", "", None, {}, "", "")),
        ("x+y.z-1:anything@all:?;", Uri("x+y.z-1", "", "", None, {}, "", "")),
    ],
)
def test_uris(text: str, expected: Uri) -> None:
    """What stands in a URI; its text is kept."""
    assert parse_uri(text) == expected._replace(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        ":h",
        "sip:@h",
        "sip:a@",
        "sip:a@b@h",
        "sip:h:",
        "sip:h:0",
        "sip:h:65536",
        "sip:h:5060x",
        "sip:h:-1",
        "sip:h x",
        "sip:h\tx",
        "sip:h\x00",
        "sip:<h>",
        'sip:"h"',
        "sip:[::1",
        "sip:::1",
        "sip:[]",
        "sip:[g]",
        "sip:h/x",
        'sip:h;x="',
        "s p:h",
        "sip:h\x7f",
        "sip:h\u00a0",
    ],
)
def test_what_is_no_uri(text: str) -> None:
    """The error is a HeaderError, and nothing else."""
    with pytest.raises(HeaderError):
        parse_uri(text)


# The pairs of RFC 3261 19.1.4, and those that the registrar's tests need.
EQUAL = [
    (
        "sip:%61lice@atlanta.example;transport=TCP",
        "sip:alice@AtLanTa.Example;Transport=tcp",
    ),
    ("sip:carol@chicago.example", "sip:carol@chicago.example;newparam=5"),
    ("sip:carol@chicago.example", "sip:carol@chicago.example;security=on"),
    (
        "sip:biloxi.example;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.example",
        "sip:biloxi.example;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.example",
    ),
    ("sip:a@h;x=1", "sip:a@h;y=2"),
    ("sip:a@h?Subject=x&to=b", "sip:a@h?to=b&Subject=x"),
    ("sip:a@h?subject=a%20b", "sip:a@h?SUBJECT=%61%20b"),
    ("sip:a:pass%77ord@h", "sip:a:password@h"),
]
DIFFERENT = [
    ("sip:a:pw@h", "sip:a@h"),
    ("sip:a:pw@h", "sip:a:PW@h"),
    ("sip:a:@h", "sip:a@h"),
    ("sip:a@h?x=1&y=2", "sip:a@h?x=2&y=1"),
    ("sip:a@h?x=1&x=1", "sip:a@h?x=1"),
    ("sip:ALICE@atlanta.example", "sip:alice@atlanta.example"),
    ("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060"),
    ("sip:bob@biloxi.example", "sip:bob@biloxi.example;transport=udp"),
    ("sip:bob@biloxi.example", "sip:bob@biloxi.example:6000;transport=tcp"),
    ("sip:carol@chicago.example", "sip:carol@chicago.example?Subject=next%20meeting"),
    ("sip:bob@phone21.example", "sip:bob@192.0.2.4"),
    ("sip:a@h;security=on", "sip:a@h;security=off"),
    ("sip:a@h", "sips:a@h"),
    ("sip:a@h;ttl=1", "sip:a@h"),
    ("sip:a@h;user=phone", "sip:a@h"),
    ("sip:a@h", "tel:a"),
]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(*pair, True) for pair in EQUAL] + [(*pair, False) for pair in DIFFERENT],
)
def test_uris_are_compared_by_the_rules(one: str, other: str, same: bool) -> None:
    """Either way round."""
    first, second = parse_uri(one), parse_uri(other)

    assert same_uri(first, second) is same
    assert same_uri(second, first) is same
    assert same_uri(first, first)


@pytest.mark.parametrize(
    ("text", "transport"),
    [("sip:h", None), ("sip:h;transport=TCP", "tcp"), ("sip:h;transport", None)],
)
def test_the_transport_of_a_uri(text: str, transport: str | None) -> None:
    """In lower case."""
    assert parse_uri(text).transport == transport


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<sip:a@h>", Address("", "sip:a@h", {})),
        ("sip:a@h", Address("", "sip:a@h", {})),
        ("sip:a@h;tag=1", Address("", "sip:a@h", {"tag": "1"})),
        ("<sip:a@h;lr>;tag=1", Address("", "sip:a@h;lr", {"tag": "1"})),
        ("<sip:a@h> ; TAG = x", Address("", "sip:a@h", {"tag": "x"})),
        ("Alice <sip:a@h>", Address("Alice", "sip:a@h", {})),
        ("Alice B<sip:a@h>", Address("Alice B", "sip:a@h", {})),
        ('"A, \\"B\\"" <sip:a@h>', Address('A, "B"', "sip:a@h", {})),
        ('"<x>"<sip:a@h>;q=1', Address("<x>", "sip:a@h", {"q": "1"})),
        ("< sip:a@h >", Address("", "sip:a@h", {})),
        ("<>", Address("", "", {})),
        ("*", Address("", "*", {})),
        ('<sip:a@h>;x="a;b=c\\""', Address("", "sip:a@h", {"x": 'a;b=c"'})),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    """Name, URI and parameters; those inside the brackets are the URI's."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<sip:a@h",
        '"A <sip:a@h>',
        '"A"',
        '"A" B <sip:a@h>',
        'A" <sip:a@h>',
        "<sip:a@h> tag=1",
        "<sip:a@h>,x",
        '<sip:a@h>;x="',
        "sip:a@h?b=c",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Brackets and quotes end, and nothing stands between what belongs together."""
    with pytest.raises(HeaderError):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIP/2.0/UDP h", Via("UDP", "h", None, {})),
        ("SIP/2.0/udp H:5060", Via("UDP", "h", 5060, {})),
        ("SIP/2.0/TCP h;branch=x", Via("TCP", "h", None, {"branch": "x"})),
        ("sip/2.0/UDP h ;rport", Via("UDP", "h", None, {"rport": None})),
        ("SIP / 2.0 / UDP   h : 5 ; a", Via("UDP", "h", 5, {"a": None})),
        ("SIP/\t2.0/\tTLS\th", Via("TLS", "h", None, {})),
        ("SIP/7.0/UDP h", Via("UDP", "h", None, {})),
        ("SIP/2.0/UDP [::1]:9;a=b", Via("UDP", "[::1]", 9, {"a": "b"})),
        ("SIP/2.0/X-Y h", Via("X-Y", "h", None, {})),
    ],
)
def test_vias(text: str, expected: Via) -> None:
    """With white space wherever the grammar has it."""
    assert parse_via(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "SIP/2.0/ h",
        "HTTP/1.1/TCP h",
        "SIP//UDP h",
        "SIP/2.0/U(P h",
        "SIP/2.0/UDP ;x",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h x",
        'SIP/2.0/UDP h;x="',
        "SIP/2.0/UDP ::1",
    ],
)
def test_what_is_no_via(text: str) -> None:
    """Protocol, transport and a host are all there."""
    with pytest.raises(HeaderError):
        parse_via(text)


def test_a_via_has_a_branch_or_none() -> None:
    """An empty one counts as none."""
    vias = ["SIP/2.0/UDP h;branch=a", "SIP/2.0/UDP h;branch", "SIP/2.0/UDP h"]

    assert [parse_via(text).branch for text in vias] == ["a", "", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 OPTIONS", (1, "OPTIONS")),
        ("0001   X", (1, "X")),
        ("2147483647 X", (2147483647, "X")),
        ("2147483648 X", None),
        ("1", None),
        ("X 1", None),
        ("1 ", None),
        ("1 A B", None),
        ("-1 X", None),
        ("+1 X", None),
        ("1_0 X", None),
        ("\u0663 X", None),
        ("", None),
    ],
)
def test_cseqs(text: str, expected: tuple[int, str] | None) -> None:
    """A number below 2**31 and a method."""
    if expected is None:
        with pytest.raises(HeaderError):
            parse_cseq(text)
    else:
        assert parse_cseq(text) == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("0", 0, 0),
        ("1", 0, None),
        ("007", 7, 7),
        ("", 9, None),
        (" 1", 9, None),
        ("1e3", 9999, None),
        ("999999999999", 10**12, 999999999999),
        ("0000000000001", 9, None),
        ("\u00b2", 9, None),
    ],
)
def test_numbers(text: str, limit: int, expected: int | None) -> None:
    """Decimal digits, twelve at most, up to a limit."""
    assert number(text, limit) == expected


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ("", [""]),
        (",", ["", ""]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("<a,b>,c", ["<a,b>", "c"]),
        ('"a\\",b",c', ['"a\\",b"', "c"]),
        ('"<" <a>,">" <b>', ['"<" <a>', '">" <b>']),
        ("<a, b", ["<a, b"]),
    ],
)
def test_lists(text: str, items: list[str]) -> None:
    """Commas in quotes and brackets do not split."""
    assert split_list(text) == items


def test_a_list_whose_quotes_do_not_end() -> None:
    """Nobody knows where an item begins."""
    with pytest.raises(HeaderError):
        split_list('a,"b,c')


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        (";", {}),
        (";a", {"a": None}),
        ("a", {"a": None}),
        (";a=b;c", {"a": "b", "c": None}),
        (" ; A = b ; c = ", {"a": "b", "c": ""}),
        (";a=1;A=2", {"a": "1"}),
        (';a="x;y";b', {"a": "x;y", "b": None}),
        (';a="x\\\\";b="\\""', {"a": "x\\", "b": '"'}),
        (";a=b=c", {"a": "b=c"}),
        (";=b", {}),
    ],
)
def test_parameters(text: str, parameters: dict[str, str | None]) -> None:
    """Names in lower case, the first of two counts."""
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize(
    ("text", "end"),
    [('""', 2), ('"a"b', 3), ('"\\""', 4), ('"\\\\"x', 4), ('"\\\\\\""', 6)],
)
def test_quoted_strings_end(text: str, end: int) -> None:
    """An escaped quotation mark is not their end."""
    assert skip_quoted(text, 0) == end


@pytest.mark.parametrize("text", ['"', '"a', '"\\"', '"\\\\\\"'])
def test_quoted_strings_that_do_not_end(text: str) -> None:
    """Are an error."""
    with pytest.raises(HeaderError):
        skip_quoted(text, 0)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a", "a"),
        ('"a"', "a"),
        ('""', ""),
        ('"a\\"b\\\\"', 'a"b\\'),
        ('"', '"'),
        ("", ""),
    ],
)
def test_unquote(text: str, content: str) -> None:
    """Tokens are what they are."""
    assert unquote(text) == content


@pytest.mark.parametrize("user", ["201", "a b", "\u00fc@x", "%41", "a:b", "\udcff", ""])
def test_users_survive_a_uri(user: str) -> None:
    """What is encoded is decoded to what it was."""
    assert decode_user(encode_user(user).encode().decode("latin-1")) == user


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("abc", True),
        ("a-.!%*_+`'~", True),
        ("", False),
        ("a b", False),
        ("\u00e4", False),
    ],
)
def test_tokens(text: str, token: bool) -> None:
    """RFC 3261 25.1, and ASCII only."""
    assert is_token(text) is token


def test_brackets_of_hosts() -> None:
    """IPv6 in URIs has them, sockets do not."""
    assert [bracketed(host) for host in ("h", "1.2.3.4", "::1", "[::1]")] == [
        "h",
        "1.2.3.4",
        "[::1]",
        "[::1]",
    ]
    assert [unbracketed(host) for host in ("h", "[::1]")] == ["h", "::1"]
