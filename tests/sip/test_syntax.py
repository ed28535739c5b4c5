"""Section A: how messages are written and read (RFC 3261 7, 18.3, 19.1, 20, 25)."""

import pytest

from tests.phone import Response, parse
from tests.phone.wire import address

from .caller import Caller
from .echo import LIGHT, echoed, light

requirement = pytest.mark.requirement

COMPACT = {
    "Via": "v",
    "From": "f",
    "To": "t",
    "Call-ID": "i",
    "Contact": "m",
    "Content-Length": "l",
    "Content-Type": "c",
    "Content-Encoding": "e",
    "Subject": "s",
    "Supported": "k",
    "Event": "o",
    "Allow-Events": "u",
    "Refer-To": "r",
    "Session-Expires": "x",
    "Referred-By": "b",
}


def listed_contacts(response: Response) -> list[str]:
    """Return the URIs of the bindings in a 200 to REGISTER."""
    return [address(value) for value in response.values("Contact")]


@requirement("A1")
async def test_a1_names_in_any_case_and_white_space_around_the_colon(
    caller: Caller,
) -> None:
    """`tO :` and `cSeQ:1` are To and CSeq."""
    data = caller.request(
        "OPTIONS", headers={"tO ": "<sip:201@h>", "cSeQ": "1 OPTIONS"}
    ).replace(b"cSeQ: ", b"cSeQ:")

    response = await caller.ask(data)

    assert response.status == 200
    assert address(response.get("To")) == "sip:201@h"
    assert response.cseq == (1, "OPTIONS")


@requirement("A2")
async def test_a2_folded_lines_are_one_line(caller: Caller) -> None:
    """Via, To, Contact and Authorization may go on in the next line."""
    await caller.log_in()
    data = caller.signed_request("SUBSCRIBE", {"To": "<sip:201@h>"})
    for plain, folded in (
        (b";branch=", b"\r\n ;branch="),
        (b"To: ", b"To:\r\n\t"),
        (b"Contact: ", b"Contact:\r\n  \t "),
        (b', response="', b',\r\n response="'),
    ):
        assert plain in data
        data = data.replace(plain, folded, 1)

    response = await caller.ask(data)
    notify = await caller.next_request()

    assert response.status == 200
    assert response.branch == parse(data).branch
    assert f"<{notify.uri}>" == caller.contact


@requirement("A3")
async def test_a3_compact_names(caller: Caller) -> None:
    """A whole SUBSCRIBE in compact form changes a feature."""
    await caller.log_in()
    more = {
        "Supported": "path",
        "Subject": "lunch",
        "Content-Encoding": "identity",
        "Allow-Events": "echo",
        "Refer-To": "<sip:1@h>",
        "Session-Expires": "1800",
        "Referred-By": "<sip:2@h>",
    }
    data = caller.signed_request("SUBSCRIBE", more, light(True))
    for name, compact in COMPACT.items():
        assert f"\r\n{name}: ".encode() in data
        data = data.replace(f"\r\n{name}: ".encode(), f"\r\n{compact}: ".encode())

    response = await caller.ask(data)
    notify = await caller.next_request()

    assert response.status == 200
    assert echoed(notify) == {LIGHT: "on"}


@requirement("A4")
@pytest.mark.parametrize("joint", [", ", ",", "\r\nVia: ", ",\r\n\t"])
async def test_a4_vias_in_one_line_or_several_come_back_in_order(
    caller: Caller, joint: str
) -> None:
    """A list by commas is the same as lines of one name."""
    host, port = caller.local
    top = f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKtop;rport"
    second = 'SIP/2.0/TCP proxy.example;branch=z9hG4bK2;comment="a, b"'
    third = "SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK3"
    data = caller.request("OPTIONS", headers={"Via": joint.join((top, second, third))})

    response = await caller.ask(data)

    assert response.values("Via")[1:] == [second, third]
    assert response.values("Via")[0].startswith(
        f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKtop;"
    )


@requirement("A4")
@pytest.mark.parametrize("separate", [False, True], ids=["one line", "two lines"])
async def test_a4_commas_in_quotes_and_brackets_do_not_split(
    caller: Caller, separate: bool
) -> None:
    """Two Contacts, each with commas inside."""
    contacts = ['"Doe, John" <sip:201@a.example>', "<sip:201,x@b.example;p=1,2>"]

    response = await caller.call(
        "REGISTER", {"Contact": contacts if separate else ", ".join(contacts)}
    )

    assert listed_contacts(response) == [
        "sip:201@a.example",
        "sip:201,x@b.example;p=1,2",
    ]


@requirement("A4")
@pytest.mark.parametrize(
    "supported", ["path", "timer, path", "timer,path,gruu", ["timer", "Path"]]
)
async def test_a4_option_tags_by_comma_or_line(
    caller: Caller, supported: str | list[str]
) -> None:
    """Supported names path in each of the forms, so Path comes back."""
    response = await caller.call(
        "REGISTER", {"Supported": supported, "Path": "<sip:edge.example;lr>"}
    )

    assert response.get_all("Path") == ["<sip:edge.example;lr>"]


@requirement("A5")
async def test_a5_two_authorization_lines_are_two_credentials(caller: Caller) -> None:
    """The second of two is ours."""
    await caller.log_in()
    foreign = (
        'Digest username="201", realm="elsewhere", nonce="n", uri="sip:h", '
        f'response="{"0" * 32}"'
    )
    data = caller.sign(caller.request("REGISTER", headers={"Authorization": foreign}))

    response = await caller.ask(data)

    assert response.status == 200


@requirement("A6")
async def test_a6_parameter_names_in_any_case(caller: Caller) -> None:
    """TAG, RPORT and BRANCH are tag, rport and branch; order is free."""
    host, port = caller.local
    headers = {
        "Via": f"SIP/2.0/udp {host}:{port};RPORT;BRANCH=z9hG4bKupper",
        "From": "<sip:201@h>;x=1;TAG=Upper",
    }
    subscribed = await caller.subscribe(headers)

    assert f"rport={port}" in subscribed.response.get("Via")
    assert "RPORT" not in subscribed.response.get("Via")
    to = subscribed.response.get("To").replace(";tag=", ";TAG=")
    again = await subscribed.send({"From": "<sip:201@h>;TAG=Upper;x=1", "To": to})
    assert again.status == 200


@requirement("A6", "F7")
async def test_a6_the_package_in_any_case(caller: Caller) -> None:
    """`eCHo` is echo, and NOTIFYs repeat it as it was."""
    subscribed = await caller.subscribe({"Event": "eCHo"})

    assert subscribed.first.get("Event") == "eCHo"


@requirement("A7")
@pytest.mark.parametrize("tag", ["a+b*c'!%41", "A%2b", "~`_.-", "0"])
async def test_a7_tag_and_call_id_come_back_octet_by_octet(
    caller: Caller, tag: str
) -> None:
    """Nothing is decoded, encoded or put in another case."""
    call_id = f"%41b!'({tag})@H"
    headers = {"From": f"<sip:201@h>;tag={tag}", "Call-ID": call_id}

    subscribed = await caller.subscribe(headers)

    assert subscribed.response.get("From") == f"<sip:201@h>;tag={tag}"
    assert subscribed.first.get("To") == f"<sip:201@h>;tag={tag}"
    assert subscribed.response.call_id == subscribed.first.call_id == call_id


@requirement("A7")
@pytest.mark.parametrize("what", ["From", "Call-ID"])
async def test_a7_another_case_is_another_dialog(caller: Caller, what: str) -> None:
    """Tags and Call-IDs are compared octet by octet."""
    subscribed = await caller.subscribe(
        {"From": "<sip:201@h>;tag=aBc", "Call-ID": "xYz@h"}
    )

    other = {"From": "<sip:201@h>;tag=abc", "Call-ID": "xyz@h"}
    response = await subscribed.send({what: other[what]})

    assert response.status == 481


@requirement("A8")
@pytest.mark.parametrize(
    ("user", "status"), [("%3201", 200), ("%32%30%31", 200), ("%253201", 404)]
)
async def test_a8_escapes_of_a_user_are_decoded_once(
    caller: Caller, user: str, status: int
) -> None:
    """`%3201` is 201; what `%253201` decodes to is another user."""
    response = await caller.call(
        "SUBSCRIBE", {"To": f"<sip:{user}@h>"}, uri=f"sip:{user}@h"
    )

    assert response.status == status


@requirement("A9")
@pytest.mark.parametrize(
    ("first", "second", "bindings"),
    [
        ("sip:201@PHONE.example", "sip:201@phone.EXAMPLE", 1),
        ("sip:201@phone.example", "SIP:201@phone.example", 1),
        ("sip:201@phone.example", "sip:%3201@phone.example", 1),
        ("sip:201@phone.example;x=1", "sip:201@phone.example", 1),
        ("sip:201@phone.example;X=a", "sip:201@phone.example;x=A", 1),
        ("sip:201@h;transport=TCP", "sip:201@h;Transport=tcp", 1),
        ("sip:201@phone.example;x=1", "sip:201@phone.example;x=2", 2),
        ("sip:201@phone.example", "sip:201@phone.example:5060", 2),
        ("sip:201@phone.example", "sip:201@phone.example;transport=udp", 2),
        ("sip:201@phone.example", "sip:201@phone.example;user=phone", 2),
        ("sip:201@phone.example", "sip:201@phone.example;maddr=192.0.2.1", 2),
        ("sip:a@phone.example", "sip:A@phone.example", 2),
        ("sip:201@phone.example", "sips:201@phone.example", 2),
        ("sip:201@phone.example", "sip:201@phone.example?subject=x", 2),
        ("sip:[2001:DB8::1]", "sip:[2001:db8::1]", 1),
        ("tel:+441", "tel:+441", 1),
        ("tel:+441", "tel:+442", 2),
    ],
)
async def test_a9_equal_uris_are_one_binding(
    caller: Caller, first: str, second: str, bindings: int
) -> None:
    """What RFC 3261 19.1.4 calls equal refreshes the binding."""
    await caller.call("REGISTER", {"Contact": f"<{first}>"})

    response = await caller.call("REGISTER", {"Contact": f"<{second}>"})

    assert response.status == 200
    assert len(listed_contacts(response)) == bindings
    assert listed_contacts(response)[-1] == second


@requirement("A10")
async def test_a10_what_is_not_needed_may_be_malformed(caller: Caller) -> None:
    """Unknown fields and a bad Date change nothing."""
    response = await caller.call(
        "SUBSCRIBE",
        {
            "X-Foo": ";;,,",
            "Date": "the day before yesterday",
            "Accept": '"',
            "Supported": '"',
            "Allow": ",,",
            "Route": "<<<",
            "User-Agent": "\u200b(",
        },
    )

    assert response.status == 200


@requirement("A11")
@pytest.mark.parametrize(
    ("version", "status"),
    [("SIP/2.0", 200), ("sip/2.0", 200), ("SIP/2.1", 505), ("SIP/10.0", 505)],
)
async def test_a11_another_version_is_505(
    caller: Caller, version: str, status: int
) -> None:
    """The version is compared in any case."""
    response = await caller.ask(caller.request("OPTIONS", version=version))

    assert response.status == status


@requirement("A12")
@pytest.mark.parametrize("missing", ["To", "From", "CSeq", "Call-ID"])
async def test_a12_a_missing_field_is_400(caller: Caller, missing: str) -> None:
    """As long as Via says where the answer goes."""
    response = await caller.ask(caller.request("OPTIONS", headers={missing: None}))

    assert response.status == 400
    assert missing.lower() in response.reason.lower()


@requirement("A12")
@pytest.mark.parametrize(
    "via",
    [
        None,
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ;branch=z9hG4bKx",
        "HTTP/1.1 h;branch=z9hG4bKx",
        "SIP/2.0/UDP h:99999;rport",
        'SIP/2.0/UDP h;x="',
    ],
)
async def test_a12_without_a_usable_via_there_is_no_answer(
    caller: Caller, via: str | None
) -> None:
    """Nobody knows where it would go; the next request is answered."""
    caller.send(caller.request("OPTIONS", headers={"Via": via}))

    await caller.nothing()


@requirement("A12")
async def test_a12_max_forwards_may_be_missing(caller: Caller) -> None:
    """RFC 2543 did not have it."""
    response = await caller.ask(
        caller.request("OPTIONS", headers={"Max-Forwards": None})
    )

    assert response.status == 200


@requirement("A13")
async def test_a13_another_method_in_cseq_is_400(caller: Caller) -> None:
    """The two must agree."""
    data = caller.request("OPTIONS", headers={"CSeq": "1 REGISTER"})

    assert (await caller.ask(data)).status == 400


@requirement("A14")
@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("0", 200),
        ("2147483647", 200),
        ("0000000001", 200),
        ("2147483648", 400),
        ("4294967296", 400),
        ("-1", 400),
        ("one", 400),
        ("1.5", 400),
        ("", 400),
        ("\u0661", 400),
    ],
)
async def test_a14_cseq_is_a_number_below_2_to_the_31(
    caller: Caller, number: str, status: int
) -> None:
    """Everything else is 400."""
    data = caller.request("OPTIONS", headers={"CSeq": f"{number} OPTIONS"})

    assert (await caller.ask(data)).status == status


@requirement("A14", "F2")
@pytest.mark.parametrize(
    "expires", ["4294967296", "99999999999999999999", "soon", "-1", "3600.5", ""]
)
async def test_a14_expires_that_is_no_number_is_the_default(
    caller: Caller, expires: str
) -> None:
    """A malformed Expires counts as none."""
    subscribed = await caller.subscribe({"Expires": expires})

    assert subscribed.response.get("Expires") == "3600"


@requirement("A15")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("From", ["<sip:201@a>;tag=1", "<sip:201@b>;tag=1"]),
        ("To", ["<sip:201@a>", "<sip:201@b>"]),
        ("Call-ID", ["one", "two"]),
        ("CSeq", ["1 OPTIONS", "2 OPTIONS"]),
        ("Max-Forwards", ["70", "5"]),
        ("Content-Length", ["0", "1"]),
        ("Event", ["echo", "presence"]),
        ("Expires", ["60", "3600"]),
        ("Content-Type", ["text/plain", "text/html"]),
    ],
)
async def test_a15_single_fields_with_two_values_are_400(
    caller: Caller, name: str, values: list[str]
) -> None:
    """Nobody can tell which one counts."""
    response = await caller.ask(caller.request("OPTIONS", headers={name: values}))

    assert response.status == 400


@requirement("A15")
async def test_a15_a_field_that_is_merely_said_twice_is_taken(caller: Caller) -> None:
    """The same value twice is no contradiction."""
    response = await caller.ask(
        caller.request("OPTIONS", headers={"Call-ID": ["one", "one"]})
    )

    assert response.status == 200
    assert response.get_all("Call-ID") == ["one"]


@requirement("A16")
@pytest.mark.parametrize(
    "uri",
    [
        "<sip:201@h>",
        "sip:201@h ;lr",
        "sip:20 1@h",
        "sip:",
        "201",
        "sip:201@",
        "sip:@h",
        "sip:201@h:0",
        "sip:201@h:70000",
        "sip:201@h:x",
        "sip:201@[::1",
        'sip:201@h;x="',
        "sip:a@b@h",
    ],
)
async def test_a16_a_malformed_request_uri_is_400(caller: Caller, uri: str) -> None:
    """The 400 carries Via, From, To, Call-ID and CSeq as they came."""
    headers = {"From": '"a  b"   <sip:201@h>;tag=1', "To": "sip:201@h;tag=~x;y=1"}
    data = caller.request("OPTIONS", uri, headers)

    response = await caller.ask(data)

    assert response.status == 400
    assert response.get("From") == headers["From"]
    assert response.get("To") == headers["To"]
    assert response.call_id in data.decode()
    assert response.get("CSeq") == "1 OPTIONS"
    assert response.branch in data.decode()


@requirement("A16")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", '"unended <sip:201@h>;tag=1'),
        ("From", "<sip:201@h;tag=1"),
        ("From", '"a" b <sip:201@h>;tag=1'),
        ("From", "<sip:201@h> tag=1"),
        ("From", '"a"'),
        ("From", 'x"a" <sip:201@h>'),
        ("To", '"unended <sip:201@h>'),
        ("To", "<sip:201@h"),
        ("To", '<sip:201@h>;x="'),
    ],
)
async def test_a16_malformed_addresses_are_400(
    caller: Caller, name: str, value: str
) -> None:
    """Quotes and brackets must end."""
    response = await caller.ask(caller.request("OPTIONS", headers={name: value}))

    assert response.status == 400
    assert response.get(name).partition(";tag=")[0].startswith(value.partition(";")[0])


@requirement("A17")
async def test_a17_octets_behind_the_body_are_dropped(caller: Caller) -> None:
    """The body is as long as Content-Length says, whatever follows."""
    await caller.log_in()
    body = light(True)
    data = caller.signed_request(
        "SUBSCRIBE",
        {"Content-Length": str(len(body))},
        body + b"<trailing>\x00" + caller.request("OPTIONS"),
    )

    response = await caller.ask(data)
    notify = await caller.next_request()

    assert response.status == 200
    assert echoed(notify) == {LIGHT: "on"}
    await caller.nothing()


@requirement("A18")
@pytest.mark.parametrize("length", ["1", "-1", "x", "0x0", "1e1", "", "99999999999999"])
async def test_a18_a_content_length_that_does_not_fit_is_400(
    caller: Caller, length: str
) -> None:
    """Over UDP a request that was cut off, or whose length is no number."""
    response = await caller.ask(
        caller.request("OPTIONS", headers={"Content-Length": length})
    )

    assert response.status == 400


@requirement("A18")
async def test_a18_a_response_that_was_cut_off_is_dropped(caller: Caller) -> None:
    """The NOTIFY stays unanswered, until a whole response comes."""
    subscribed = await caller.subscribe(status=0)
    whole = subscribed.first.response(200).encode()

    caller.send(whole.replace(b"Content-Length: 0", b"Content-Length: 9"))
    again = await subscribed.send(body=light(True))

    assert again.status == 200
    await caller.nothing()
    caller.send(whole)
    assert echoed(await subscribed.told()) == {LIGHT: "on"}


@requirement("A19")
async def test_a19_without_content_length_the_body_is_the_rest(caller: Caller) -> None:
    """Over UDP the datagram has an end of its own."""
    await caller.log_in()
    data = caller.signed_request("SUBSCRIBE", {"Content-Length": None}, light(True))

    response = await caller.ask(data)

    assert response.status == 200
    assert echoed(await caller.next_request()) == {LIGHT: "on"}


@requirement("A20")
@pytest.mark.parametrize("body", [b"\x00", b"\xff\xfe\x00\x01", bytes(range(256))])
async def test_a20_a_body_may_hold_any_octet(stream: Caller, body: bytes) -> None:
    """It is refused, and the next message on the stream is found."""
    await stream.log_in()
    data = stream.signed_request("SUBSCRIBE", {"Content-Type": "image/png"}, body)

    stream.send(data + stream.request("OPTIONS"))
    statuses = [(await stream.next_response()).status for _ in range(2)]

    assert statuses == [415, 200]


@requirement("A21")
@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("NEWMETHOD", 501),
        ("options", 501),
        ("Register", 501),
        ("RE%47ISTER", 501),
        ("INVITE", 405),
        ("BYE", 405),
        ("MESSAGE", 405),
        ("NOTIFY", 405),
        ("PUBLISH", 405),
    ],
)
async def test_a21_unknown_methods_are_501_and_unserved_ones_405(
    caller: Caller, method: str, status: int
) -> None:
    """A method is a token with its case, and nothing in it is decoded."""
    response = await caller.ask(caller.request(method))

    assert response.status == status
    assert response.get("Allow") == "REGISTER, SUBSCRIBE, OPTIONS"


@requirement("A21")
@pytest.mark.parametrize("method", ["OPT(IONS", "OPTIÖNS", "<OPTIONS>"])
async def test_a21_a_method_that_is_no_token_is_400(
    caller: Caller, method: str
) -> None:
    """Such a start line is malformed."""
    response = await caller.ask(caller.request(method))

    assert response.status == 400


@requirement("A22")
async def test_a22_ipv6_everywhere(caller: Caller) -> None:
    """Request-URI, Via and Contact may hold IPv6 references."""
    host, port = caller.local
    contact = "<sip:201@[2001:db8::1]:5070;transport=udp>"

    subscribed = await caller.subscribe(
        {
            "Via": f"SIP/2.0/UDP [2001:db8::9]:{port};rport;branch=z9hG4bKsix",
            "Contact": contact,
        },
        uri="sip:201@[2001:db8::10]:5060",
    )

    assert subscribed.response.get("Via") == (
        f"SIP/2.0/UDP [2001:db8::9]:{port};branch=z9hG4bKsix;rport={port}"
        f";received={host}"
    )
    assert f"<{subscribed.first.uri}>" == contact
