"""Section G: REGISTER and the bindings of a line (RFC 3261 10.3)."""

from email.utils import parsedate_to_datetime

import pytest

from custom_components.dfks.sip import ServerConfig
from tests.clock import ManualClock
from tests.phone import Response
from tests.phone.wire import address, has_parameter, parameter

from .caller import Caller
from .echo import Echo, Line

requirement = pytest.mark.requirement

QUERY = {"Contact": None}


def bindings(response: Response) -> dict[str, int]:
    """Return the bindings in a 200: the seconds left by URI."""
    assert response.status == 200, response.title
    return {
        address(value): int(parameter(value, "expires"))
        for value in response.values("Contact")
    }


@requirement("G1")
@pytest.mark.parametrize(
    "uri", ["sip:127.0.0.1", "sip:pbx.example:5070", "sip:[::1]", "sip:201@other"]
)
async def test_g1_any_domain_is_ours_where_none_is_configured(
    caller: Caller, uri: str
) -> None:
    """Phones write whatever their user typed in as the server."""
    response = await caller.call("REGISTER", {"To": "<sip:201@elsewhere>"}, uri=uri)

    assert bindings(response)


@requirement("G1")
@pytest.mark.parametrize(
    "config",
    [ServerConfig(host="127.0.0.1", port=0, domains=("pbx.example", "::1"))],
    ids=["domains"],
)
async def test_g1_a_domain_that_is_none_of_the_configured_ones_is_404(
    caller: Caller,
) -> None:
    """Nothing is bound; To may name any domain, as long as the Request-URI is right."""
    ours, others = {"To": "<sip:201@pbx.example>"}, {"To": "<sip:201@elsewhere>"}

    refused = await caller.call("REGISTER", ours, uri="sip:elsewhere")
    query = await caller.call("REGISTER", QUERY, uri="sip:[::1]:5060")
    accepted = await caller.call("REGISTER", others, uri="sip:PBX.example")

    assert (refused.status, refused.reason) == (404, "No such domain")
    assert (query.status, bindings(query)) == (200, {})
    assert bindings(accepted)


@requirement("G2")
async def test_g2_unknown_extensions_are_420(caller: Caller) -> None:
    """And nothing is bound."""
    response = await caller.call("REGISTER", {"Require": "foo"})

    assert response.status == 420
    assert response.get("Unsupported") == "foo"
    assert not bindings(await caller.call("REGISTER", QUERY))


@requirement("G3")
@pytest.mark.parametrize("contact", ["<sip:201@h>", "*", None, '"'])
async def test_g3_without_credentials_it_is_401(
    caller: Caller, contact: str | None
) -> None:
    """Whatever is asked for."""
    response = await caller.ask(
        caller.request("REGISTER", headers={"Contact": contact})
    )

    assert response.status == 401
    assert response.has("WWW-Authenticate")


@requirement("G4")
@pytest.mark.parametrize("contact", ["<sip:202@evil.example>", "*", None])
async def test_g4_nobody_changes_or_sees_the_bindings_of_another(
    caller: Caller, stranger: Caller, contact: str | None
) -> None:
    """Credentials of 201 and To of 202: 403."""
    await stranger.call("REGISTER")

    response = await caller.call(
        "REGISTER", {"To": "<sip:202@h>", "Contact": contact, "Expires": "0"}
    )

    assert response.status == 403
    assert not response.has("Contact")
    assert bindings(await stranger.call("REGISTER", QUERY))


@requirement("G5")
@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("<sip:201@h>", 200),
        ("sip:201@h;x=y", 200),
        ("<sip:%3201@h;x=y>", 200),
        ('"Reception" <sip:201:secret@h?a=b>;p', 200),
        ("<sips:201@h>", 200),
        ("<sip:nobody@h>", 404),
        ("<sip:h>", 404),
        ("<tel:201>", 404),
        ("<sip:@h>", 400),
    ],
)
async def test_g5_the_line_is_the_user_of_to(
    caller: Caller, to: str, status: int
) -> None:
    """Without parameters, escapes decoded."""
    assert (await caller.call("REGISTER", {"To": to})).status == status


@requirement("G6", "G13")
async def test_g6_without_contact_it_is_a_query(
    caller: Caller, clock: ManualClock
) -> None:
    """All bindings and what is left of each; nothing changes."""
    await caller.call("REGISTER", {"Contact": "<sip:a@h>;expires=600"})
    clock.advance(100)
    await caller.call("REGISTER", {"Contact": "<sip:b@h>;expires=900"})

    first = bindings(await caller.call("REGISTER", QUERY))
    second = bindings(await caller.call("REGISTER", QUERY | {"Expires": "0"}))

    assert first == second == {"sip:a@h": 500, "sip:b@h": 900}


@requirement("G7")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Contact": "*", "Expires": "0"}, 200),
        ({"Contact": " * ", "Expires": " 0 "}, 200),
        ({"Contact": "*"}, 400),
        ({"Contact": "*", "Expires": "3600"}, 400),
        ({"Contact": "*", "Expires": "00x"}, 400),
        ({"Contact": "*, <sip:b@h>", "Expires": "0"}, 400),
        ({"Contact": ["<sip:b@h>", "*"], "Expires": "0"}, 400),
        ({"Contact": "*;expires=0", "Expires": "0"}, 400),
    ],
)
async def test_g7_a_star_removes_everything(
    caller: Caller, headers: dict[str, str | list[str]], status: int
) -> None:
    """Alone, and with Expires 0; otherwise nothing changes."""
    await caller.call("REGISTER", {"Contact": ["<sip:a@h>", "<sip:b@h>"]})

    response = await caller.call("REGISTER", headers)
    after = bindings(await caller.call("REGISTER", QUERY))

    assert response.status == status
    assert len(after) == (0 if status == 200 else 2)


@requirement("G8")
@pytest.mark.parametrize(
    "second",
    [{"Contact": "<sip:a@h>;expires=60"}, {"Contact": "*", "Expires": "0"}],
    ids=["update", "star"],
)
@pytest.mark.parametrize("cseq", [4, 5])
async def test_g8_a_lower_cseq_of_the_same_call_fails(
    caller: Caller, second: dict[str, str], cseq: int
) -> None:
    """It was overtaken on its way; nothing changes."""
    await caller.call(
        "REGISTER", {"Contact": "<sip:a@h>", "Call-ID": "c", "CSeq": "5 REGISTER"}
    )

    response = await caller.call(
        "REGISTER", second | {"Call-ID": "c", "CSeq": f"{cseq} REGISTER"}
    )

    assert response.status == 500
    assert bindings(await caller.call("REGISTER", QUERY)) == {"sip:a@h": 3600}


@requirement("G8")
@pytest.mark.parametrize(
    ("call_id", "cseq"), [("c", 6), ("c", 2_000_000_000), ("other", 1), ("C", 5)]
)
async def test_g8_a_higher_cseq_or_another_call_updates(
    caller: Caller, call_id: str, cseq: int
) -> None:
    """A phone that rebooted begins with another Call-ID."""
    await caller.call(
        "REGISTER", {"Contact": "<sip:a@h>", "Call-ID": "c", "CSeq": "5 REGISTER"}
    )

    response = await caller.call(
        "REGISTER",
        {
            "Contact": "<sip:a@h>;expires=60",
            "Call-ID": call_id,
            "CSeq": f"{cseq} REGISTER",
        },
    )

    assert bindings(response) == {"sip:a@h": 60}


@requirement("G8", "G20")
@pytest.mark.parametrize(
    ("first", "second", "listed"),
    [
        ("<sip:a@h>", "<sip:a@H>;q=0.5", "sip:a@H"),
        (
            '<sip:a@h>;+sip.instance="<urn:uuid:1>";reg-id=1',
            '<sip:b@h>;+sip.instance="<urn:uuid:1>";reg-id=1',
            "sip:b@h",
        ),
    ],
    ids=["Contact", "instance"],
)
async def test_g8_the_same_contact_twice_in_one_register_is_one_binding(
    caller: Caller, first: str, second: str, listed: str
) -> None:
    """The last one counts; a request does not overtake itself."""
    both = {"Contact": [first, second]}

    answers = [await caller.call("REGISTER", both) for _ in range(2)]

    assert [bindings(answer) for answer in answers] == [{listed: 3600}] * 2


@requirement("G9")
@pytest.mark.parametrize(
    ("parameter_", "header", "granted"),
    [
        ("", None, 3600),
        ("", "1800", 1800),
        (";expires=900", "1800", 900),
        (";EXPIRES=900", None, 900),
        (';expires="900"', None, 900),
        (";expires=7200", "60", 3600),
        ("", "999999", 3600),
        (";expires=soon", "1800", 3600),
        ("", "soon", 3600),
        (";expires=4294967296", None, 3600),
        ("", '"1800"', 3600),
        ("", "Thu, 01 Jan 1998 00:00:00 GMT", 3600),
    ],
)
async def test_g9_how_long_a_binding_lives(
    caller: Caller, parameter_: str, header: str | None, granted: int
) -> None:
    """The Contact's own expires, else Expires, else an hour; at most an hour."""
    response = await caller.call(
        "REGISTER", {"Contact": f"<sip:a@h>{parameter_}", "Expires": header}
    )

    assert bindings(response) == {"sip:a@h": granted}


@requirement("G9", "G13")
async def test_g9_a_binding_expires(caller: Caller, clock: ManualClock) -> None:
    """After that it is not listed any more."""
    await caller.call("REGISTER", {"Contact": "<sip:a@h>;expires=100"})
    await caller.call("REGISTER", {"Contact": "<sip:b@h>;expires=200"})

    clock.advance(99)
    before = bindings(await caller.call("REGISTER", QUERY))
    clock.advance(1)
    after = bindings(await caller.call("REGISTER", QUERY))

    assert before == {"sip:a@h": 1, "sip:b@h": 101}
    assert after == {"sip:b@h": 100}


@requirement("G13")
async def test_g13_a_binding_that_is_listed_is_never_listed_with_expires_0(
    caller: Caller, clock: ManualClock
) -> None:
    """Not even in its last half second: 0 would say that it is gone."""
    await caller.call("REGISTER", {"Contact": "<sip:a@h>;expires=100"})

    clock.advance(99.75)
    last = bindings(await caller.call("REGISTER", QUERY))

    assert last == {"sip:a@h": 1}


@requirement("G10")
@pytest.mark.parametrize(
    ("expires", "status"),
    [("1", 423), ("10", 423), ("59", 423), ("60", 200), ("0", 200)],
)
async def test_g10_too_short_is_423(caller: Caller, expires: str, status: int) -> None:
    """Min-Expires says how long it must be."""
    response = await caller.call("REGISTER", {"Expires": expires})

    assert response.status == status
    assert response.get("Min-Expires") == ("60" if status == 423 else "")


@requirement("G11")
async def test_g11_expires_0_removes_that_binding(caller: Caller) -> None:
    """The other one stays."""
    await caller.call("REGISTER", {"Contact": ["<sip:a@h>", "<sip:b@h>"]})

    response = await caller.call("REGISTER", {"Contact": "<sip:a@h>;expires=0"})

    assert list(bindings(response)) == ["sip:b@h"]


@requirement("G11")
async def test_g11_removing_what_is_not_there_does_no_harm(caller: Caller) -> None:
    """A phone says so when it starts."""
    response = await caller.call("REGISTER", {"Expires": "0"})

    assert bindings(response) == {}


@requirement("G12")
@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ('"unended', 400),
        ('<sip:b@h>, "unended', 400),
        ("<sip:b@>", 400),
        ("<sip:b@h>;q=2", 400),
        ("<sip:b@h>;expires=5", 423),
        (f"<sip:{'b' * 1100}@h>", 403),
        ("<sip:a@h>;expires=0", 500),
    ],
)
async def test_g12_all_or_nothing(caller: Caller, bad: str, status: int) -> None:
    """One bad Contact, and the good one is not bound either."""
    order = {"Call-ID": "c", "CSeq": "5 REGISTER"}
    await caller.call("REGISTER", {"Contact": "<sip:a@h>"} | order)

    response = await caller.call(
        "REGISTER",
        {"Contact": ["<sip:good@h>", bad], "Call-ID": "c", "CSeq": "4 REGISTER"},
    )

    assert response.status == status
    assert list(bindings(await caller.call("REGISTER", QUERY))) == ["sip:a@h"]


@requirement("G13", "G17")
async def test_g13_parameters_come_back(caller: Caller) -> None:
    """With the name; expires is what is left."""
    contact = (
        '"Doe; John" <sip:a@h;transport=tcp;x>;q=0.7;+sip.instance="<urn:uuid:1>"'
        ';flag;text="a;b"'
    )
    response = await caller.call("REGISTER", {"Contact": f"{contact};expires=60"})

    listed = response.get("Contact")
    assert address(listed) == "sip:a@h;transport=tcp;x"
    assert parameter(listed, "expires") == "60"
    assert parameter(listed, "q") == "0.7"
    assert parameter(listed, "+sip.instance") == "<urn:uuid:1>"
    assert parameter(listed, "text") == "a;b"
    assert has_parameter(listed, "flag")


@requirement("G13")
async def test_g13_a_contact_without_expires_comes_back_as_it_was(
    caller: Caller,
) -> None:
    """Octet by octet."""
    contact = '"N" <sip:a@h;X=y>;P=Q;r="s \\" t"'

    response = await caller.call("REGISTER", {"Contact": contact})

    assert response.get("Contact") == f"{contact};expires=3600"


@requirement("G14")
async def test_g14_the_date(caller: Caller, clock: ManualClock) -> None:
    """In GMT, so that a phone can set its clock."""
    response = await caller.call("REGISTER")

    date = response.get("Date")
    assert date.endswith(" GMT")
    assert abs(parsedate_to_datetime(date).timestamp() - clock.time()) <= 1


@requirement("G15")
async def test_g15_record_route_is_ignored(caller: Caller) -> None:
    """It is not returned and not kept."""
    response = await caller.call("REGISTER", {"Record-Route": "<sip:p.example;lr>"})

    assert response.status == 200
    assert not response.has("Record-Route")


@requirement("G15")
@pytest.mark.parametrize(
    "headers",
    [
        {"Require": "x"},
        {"Contact": "*"},
        {"To": "<sip:202@h>"},
        {"To": "<sip:x@h>"},
        {"Expires": "1"},
    ],
    ids=str,
)
async def test_g15_no_6xx(caller: Caller, headers: dict[str, str]) -> None:
    """A refusal of ours is never one for the whole world."""
    response = await caller.call("REGISTER", headers)

    assert 400 <= response.status < 500


@requirement("G16")
async def test_g16_in_order_of_arrival(stream: Caller) -> None:
    """Pipelined over TCP: each sees what the one before has done."""
    await stream.log_in()
    order = [f"<sip:{name}@h>" for name in "abc"]
    stream.send(
        b"".join(
            stream.signed_request("REGISTER", {"Contact": contact, "Expires": expires})
            for contact in order
            for expires in ("3600", "0", "3600")
        )
    )

    counts = [len(bindings(await stream.next_response())) for _ in range(9)]

    assert counts == [1, 0, 1, 2, 1, 2, 3, 2, 3]


@requirement("G17")
@pytest.mark.parametrize(
    ("q", "status"),
    [
        ("0", 200),
        ("1", 200),
        ("0.", 200),
        ("0.5", 200),
        ("0.123", 200),
        ("1.000", 200),
        ("1.001", 400),
        ("0.1234", 400),
        ("2", 400),
        ("-1", 400),
        ("high", 400),
        (".5", 400),
    ],
)
async def test_g17_q_is_from_0_to_1(caller: Caller, q: str, status: int) -> None:
    """With three decimals at most; it is kept."""
    response = await caller.call("REGISTER", {"Contact": f"<sip:a@h>;q={q}"})

    assert response.status == status
    if status == 200:
        assert parameter(response.get("Contact"), "q") == q


@requirement("G18")
async def test_g18_path_is_kept_and_comes_back(caller: Caller, reception: Line) -> None:
    """In order, for a phone that supports it."""
    path = ["<sip:p1.example;lr>, <sip:p2.example;lr>", "<sip:p3.example;lr>"]

    response = await caller.call("REGISTER", {"Path": path, "Supported": "path"})

    assert response.get_all("Path") == path
    assert reception.bindings[0].path == tuple(path)


@requirement("G18")
async def test_g18_path_is_ignored_where_the_phone_does_not_support_it(
    caller: Caller, reception: Line
) -> None:
    """It could not use the answer."""
    response = await caller.call("REGISTER", {"Path": "<sip:p.example;lr>"})

    assert response.status == 200
    assert not response.has("Path")
    assert reception.bindings[0].path == ()


@requirement("G20")
async def test_g20_an_instance_has_one_binding(caller: Caller) -> None:
    """A phone that got another address does not leave the old one behind."""
    instance = ';+sip.instance="<urn:uuid:1>";reg-id=1'
    supported = {"Supported": "outbound, path"}
    await caller.call("REGISTER", {"Contact": f"<sip:a@h1>{instance}"} | supported)

    response = await caller.call(
        "REGISTER", {"Contact": f"<sip:a@h2>{instance}"} | supported
    )

    assert list(bindings(response)) == ["sip:a@h2"]
    for name in ("Require", "Flow-Timer"):
        assert not response.has(name)


@requirement("G20")
@pytest.mark.parametrize(
    "other",
    ['+sip.instance="<urn:uuid:2>";reg-id=1', '+sip.instance="<urn:uuid:1>";reg-id=2'],
)
async def test_g20_another_instance_or_reg_id_is_another_binding(
    caller: Caller, other: str
) -> None:
    """Even at the same address."""
    first = '<sip:a@h>;+sip.instance="<urn:uuid:1>";reg-id=1'
    await caller.call("REGISTER", {"Contact": first})

    response = await caller.call("REGISTER", {"Contact": f"<sip:a@h>;{other}"})

    assert len(response.values("Contact")) == 2


@requirement("G21", "A23")
async def test_g21_contacts_are_limited_in_length_and_number(caller: Caller) -> None:
    """1024 octets, 32 of them."""
    long = await caller.call("REGISTER", {"Contact": f"<sip:{'a' * 1100}@h>"})
    many = await caller.call("REGISTER", {"Contact": ["<sip:a@h>"] * 33})

    assert (long.status, many.status) == (403, 400)


@requirement("G22")
async def test_g22_a_binding_knows_the_connection_it_came_by(
    stream: Caller, reception: Line
) -> None:
    """A Contact with transport=tcp behind NAT leads nowhere else."""
    await stream.call("REGISTER")

    flow = reception.bindings[0].flow
    assert (flow.transport, flow.remote) == ("TCP", stream.local)


@pytest.mark.parametrize(
    "config", [ServerConfig(host="127.0.0.1", port=0, max_expires=300)], ids=["300"]
)
@requirement("G9", "G10")
async def test_g9_the_maximum_is_an_option(caller: Caller) -> None:
    """It shortens, and is no reason to refuse."""
    assert bindings(await caller.call("REGISTER")) == {
        address(caller.contact): 300,
    }


@requirement("G13")
async def test_g13_a_removed_line_has_no_bindings(caller: Caller, echo: Echo) -> None:
    """And its password is wrong from then on."""
    await caller.call("REGISTER")

    echo.remove_line("line-201")
    response = await caller.call("REGISTER", QUERY)

    assert response.status == 401
