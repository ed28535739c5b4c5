"""Section B: what a server does with a request, in dialogs and outside of them."""

import pytest

from custom_components.dfks.sip import (
    Experiment,
    ServerConfig,
    SipServer,
    server as sip_server,
)
from custom_components.dfks.sip.ua import subscribe
from tests.clock import ManualClock
from tests.loopback import PASSWORDS
from tests.phone.raw import branch
from tests.phone.wire import address

from .caller import Caller
from .conftest import Connect
from .echo import LIGHT, TOPICS, Echo, Line, echoed, light

requirement = pytest.mark.requirement

METHODS = "REGISTER, SUBSCRIBE, OPTIONS"
TYPE = Echo.accept


# Requests outside of a dialog


@requirement("B1")
async def test_b1_a_refused_register_changes_nothing(caller: Caller) -> None:
    """A bad Require with a new Contact leaves no binding behind."""
    refused = await caller.call("REGISTER", {"Require": "foo"})
    query = await caller.call("REGISTER", {"Contact": None})

    assert refused.status == 420
    assert not query.has("Contact")


@requirement("B1")
async def test_b1_a_refused_subscribe_changes_nothing(
    caller: Caller, reception: Line
) -> None:
    """A bad Require with a command leaves neither subscription nor state."""
    refused = await caller.call("SUBSCRIBE", {"Require": "foo"}, light(True))

    assert refused.status == 420
    assert (reception.watchers, reception.texts) == (0, {})
    await caller.nothing()


@requirement("B1")
async def test_b1_checks_come_in_their_order(caller: Caller) -> None:
    """Method, event, credentials, target, merged, Require, content: one by one."""
    await caller.log_in()
    wrong = {"Event": "presence", "To": "<sip:202@h>", "Require": "foo"}
    content = {"Content-Type": "image/png"}
    steps = [
        ("MESSAGE", wrong, False, 405),
        ("SUBSCRIBE", wrong, False, 489),
        ("SUBSCRIBE", wrong | {"Event": "echo"}, False, 401),
        ("SUBSCRIBE", wrong | {"Event": "echo"}, True, 403),
        ("SUBSCRIBE", {"Require": "foo"} | content, True, 420),
        ("SUBSCRIBE", content, True, 415),
    ]

    statuses = []
    for method, headers, signed, _ in steps:
        uri = "sip:202@h" if "To" in headers else None
        data = caller.request(method, uri, headers, b"hello")
        statuses.append(
            (await caller.ask(caller.sign(data) if signed else data)).status
        )

    assert statuses == [status for _, _, _, status in steps]


@requirement("B2")
async def test_b2_405_lists_what_is_served(caller: Caller) -> None:
    """MESSAGE is known, and not here."""
    response = await caller.ask(caller.request("MESSAGE", body=b"hello"))

    assert response.status == 405
    assert response.get("Allow") == METHODS


@requirement("B3")
@pytest.mark.parametrize("uri", ["tel:201", "mailto:a@b", "sips:201@h", "x:y"])
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_b3_other_schemes_are_416(caller: Caller, method: str, uri: str) -> None:
    """And sips is only for TLS."""
    response = await caller.call(method, uri=uri)

    assert response.status == 416


@requirement("B4")
@pytest.mark.parametrize("domain", ["127.0.0.1", "pbx.example", "[::1]:5070", "x_y"])
async def test_b4_a_line_is_found_whatever_the_domain(
    caller: Caller, domain: str
) -> None:
    """Where no domains are configured, any is right."""
    response = await caller.call(
        "SUBSCRIBE", {"To": f"<sip:201@{domain}>"}, uri=f"sip:201@{domain}"
    )

    assert response.status == 200


DOMAINS = pytest.mark.parametrize(
    "config",
    [
        ServerConfig(
            host="127.0.0.1",
            port=0,
            domains=("PBX.example", "192.0.2.7", "2001:DB8::7"),
        )
    ],
    ids=["domains"],
)


@DOMAINS
@requirement("B4")
@pytest.mark.parametrize(
    "domain", ["pbx.example", "PBX.EXAMPLE:5070", "192.0.2.7", "[2001:db8:0::7]:5060"]
)
async def test_b4_a_domain_that_is_configured(caller: Caller, domain: str) -> None:
    """Names in any case, addresses in any spelling, whatever the port; To is free."""
    headers = {"To": "<sip:201@elsewhere>"}

    response = await caller.call("SUBSCRIBE", headers, uri=f"sip:201@{domain}")

    assert response.status == 200


@DOMAINS
@requirement("B4")
@pytest.mark.parametrize(
    "uri",
    [
        "sip:201@127.0.0.1",
        "sip:201@example",
        "sip:201@a.pbx.example",
        "sip:elsewhere",
        "sip:201@[2001:db8::8]",
        "sip:201@[:::]",
        "sip:201@elsewhere;maddr=pbx.example",
    ],
)
async def test_b4_another_domain_is_404(
    caller: Caller, reception: Line, uri: str
) -> None:
    """Where To names a right one, too; and nothing is changed."""
    headers = {"To": "<sip:201@pbx.example>"}

    response = await caller.call("SUBSCRIBE", headers, light(True), uri=uri)

    assert (response.status, response.reason) == (404, "No such domain")
    assert (reception.watchers, reception.texts) == (0, {})
    await caller.nothing()


@DOMAINS
@requirement("B4", "G1")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_b4_nobody_learns_which_domains_there_are(
    caller: Caller, method: str
) -> None:
    """A stranger is challenged for one like for the other."""
    answers = [
        await caller.ask(caller.request(method, f"sip:201@{domain}"))
        for domain in ("pbx.example", "elsewhere")
    ]

    assert [answer.status for answer in answers] == [401, 401]
    assert [name for name, _ in answers[0].headers] == [
        name for name, _ in answers[1].headers
    ]


@DOMAINS
@requirement("B4")
async def test_b4_in_a_dialog_the_domain_is_not_looked_at(caller: Caller) -> None:
    """The Request-URI is our Contact there, or our address."""
    opened = await caller.call("SUBSCRIBE", uri="sip:201@pbx.example")
    caller.answer(await caller.next_request())

    refreshed = await caller.subscribe_again(opened, light(True))

    assert (opened.status, refreshed.status) == (200, 200)


@DOMAINS
@requirement("B4")
async def test_b4_options_are_answered_for_any_domain(caller: Caller) -> None:
    """Phones ask by address whether the way is open."""
    assert (await caller.ask(caller.request("OPTIONS", "sip:127.0.0.1"))).status == 200


@requirement("B4")
async def test_b4_nobody_learns_which_lines_there_are(caller: Caller) -> None:
    """An unknown line gets the 401 that a known one gets, and 404 after that."""
    nobody = {"To": "<sip:nobody@h>", "From": "<sip:nobody@h>;tag=1"}
    somebody = {"To": "<sip:202@h>", "From": "<sip:202@h>;tag=1"}

    unknown = await caller.ask(caller.request("SUBSCRIBE", "sip:nobody@h", nobody))
    known = await caller.ask(caller.request("SUBSCRIBE", "sip:202@h", somebody))
    after = await caller.call("SUBSCRIBE", nobody, uri="sip:nobody@h")

    assert (unknown.status, known.status) == (401, 401)
    assert [name for name, _ in unknown.headers] == [name for name, _ in known.headers]
    assert after.status == 404


@requirement("B4")
async def test_b4_the_request_uri_counts_before_to(caller: Caller) -> None:
    """To may say anything where the Request-URI names the line."""
    response = await caller.call("SUBSCRIBE", {"To": "<sip:you@h>"}, uri="sip:201@h")

    assert response.status == 200


@requirement("B4")
async def test_b4_to_counts_where_the_request_uri_names_nobody(caller: Caller) -> None:
    """Some phones send a SUBSCRIBE to the server as such."""
    response = await caller.call("SUBSCRIBE", {"To": "<sip:201@h>"}, uri="sip:h")

    assert response.status == 200


@requirement("B4")
@pytest.mark.parametrize("to", ["<sip:201@>", "<sip:@h>", "<:>"])
async def test_b4_a_malformed_to_is_400(caller: Caller, to: str) -> None:
    """Where it is needed to find the line."""
    response = await caller.call("SUBSCRIBE", {"To": to}, uri="sip:h")

    assert response.status == 400


@requirement("B5")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_b5_a_request_that_came_by_two_ways_is_482(
    caller: Caller, method: str
) -> None:
    """Same From tag, Call-ID and CSeq, no To tag, another branch."""
    await caller.log_in()
    fixed = {"From": "<sip:201@h>;tag=fork", "Call-ID": "fork@h", "CSeq": f"7 {method}"}
    host, port = caller.local

    statuses = []
    for _ in range(2):
        via = f"SIP/2.0/UDP {host}:{port};rport;branch={branch()}"
        request = caller.signed_request(method, fixed | {"Via": via})
        statuses.append((await caller.ask(request)).status)

    assert statuses == [200, 482]


@requirement("B6")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_b6_unknown_extensions_are_420(caller: Caller, method: str) -> None:
    """Unsupported lists only the unknown ones, in one or several lines of Require."""
    response = await caller.call(method, {"Require": ["path, foo", "bar"]})

    assert response.status == 420
    assert response.values("Unsupported") == ["foo", "bar"]


@requirement("B6")
@pytest.mark.parametrize("require", ["path", "", "PATH"])
async def test_b6_known_extensions_may_be_required(
    caller: Caller, require: str
) -> None:
    """What is there is no reason to refuse."""
    response = await caller.call("REGISTER", {"Require": require})

    assert response.status == 200


@requirement("B6", "B20", "B21")
async def test_b6_require_is_ignored_in_ack_and_cancel(caller: Caller) -> None:
    """They are never answered 420."""
    cancel = await caller.ask(caller.request("CANCEL", headers={"Require": "foo"}))
    caller.send(caller.request("ACK", headers={"Require": "foo"}))

    assert cancel.status == 481
    await caller.nothing()


@requirement("B7")
@pytest.mark.parametrize(
    "content_type",
    [TYPE, f"{TYPE};charset=utf-8", "TEXT/PLAIN", "text/plain ; x=y", None, ""],
)
async def test_b7_the_package_says_which_bodies_it_takes(
    caller: Caller, content_type: str | None
) -> None:
    """By the media type in small letters, without parameters; it may be missing."""
    headers = {"Content-Type": content_type}

    response = await caller.call("SUBSCRIBE", headers, light(True))

    assert response.status == 200
    assert echoed(await caller.next_request()) == {LIGHT: "on"}


@requirement("B7")
@pytest.mark.parametrize("content_type", ["image/png", "text", "text/plain+zip", "*/*"])
async def test_b7_other_bodies_are_415(caller: Caller, content_type: str) -> None:
    """Accept says what would be taken."""
    response = await caller.call("SUBSCRIBE", {"Content-Type": content_type}, b"hello")

    assert response.status == 415
    assert response.get("Accept") == TYPE


@requirement("B7")
async def test_b7_encoded_bodies_are_415(caller: Caller) -> None:
    """Accept-Encoding says what would be taken."""
    response = await caller.call("SUBSCRIBE", {"Content-Encoding": "gzip"}, b"\x1f\x8b")

    assert response.status == 415
    assert response.get("Accept-Encoding") == "identity"


@requirement("B7")
@pytest.mark.parametrize(
    "headers", [{"Content-Type": "image/png"}, {"Content-Encoding": "gzip"}]
)
@pytest.mark.parametrize(
    "disposition", ["render;handling=optional", "x; Handling = OPTIONAL"]
)
async def test_b7_an_optional_body_is_ignored(
    caller: Caller, headers: dict[str, str], disposition: str
) -> None:
    """The SUBSCRIBE counts as one without a body: it gets the full state."""
    response = await caller.call(
        "SUBSCRIBE", headers | {"Content-Disposition": disposition}, b"hello"
    )

    assert response.status == 200
    assert list(echoed(await caller.next_request())) == TOPICS


@requirement("B7")
async def test_b7_a_content_type_without_a_body_is_ignored(caller: Caller) -> None:
    """The length decides whether there is a body."""
    response = await caller.call("SUBSCRIBE", {"Content-Type": "image/png"})

    assert response.status == 200


@requirement("B8")
async def test_b8_no_extension_that_the_phone_does_not_name(caller: Caller) -> None:
    """Path only comes back to who supports it; nothing else is ever used."""
    path = {"Path": "<sip:edge.example;lr>"}
    plain = await caller.call("REGISTER", path | {"Supported": "timer, 100rel"})
    named = await caller.call("REGISTER", path | {"Supported": "path"})

    assert not plain.has("Path")
    assert named.get("Path") == path["Path"]
    for response in (plain, named):
        for name in ("Require", "Service-Route", "Flow-Timer", "P-Associated-URI"):
            assert not response.has(name)


# Responses


@requirement("B9")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "X"])
async def test_b9_via_from_call_id_and_cseq_come_back_as_they_were(
    caller: Caller, method: str
) -> None:
    """Octet by octet, odd spelling included."""
    host, port = caller.local
    vias = [
        f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK1;x=Y",
        "SIP / 2.0 / TCP  proxy.example ; branch = z9hG4bK2;received=192.0.2.1;rport=7",
        "sip/2.0/UDP other.example;hidden",
    ]
    headers = {
        "Via": vias,
        "From": '"A, B\\"" <sip:Someone@h;x>;p="q;r" ; tag=a1',
        "Call-ID": "call()<>@ID",
        "CSeq": f"0007   {method}",
    }

    response = await caller.ask(caller.request(method, headers=headers))

    assert response.get_all("Via") == vias
    for name in ("From", "Call-ID", "CSeq"):
        assert response.get(name) == headers[name]


@requirement("B10")
@pytest.mark.parametrize("to", ["<sip:201@h>", "sip:201@h", '"N" <sip:201@h;x>;p=1'])
async def test_b10_to_gets_a_tag(caller: Caller, to: str) -> None:
    """What stood there comes back with the tag behind it."""
    response = await caller.ask(caller.request("OPTIONS", headers={"To": to}))

    assert response.get("To").startswith(f"{to};tag=")


@requirement("B10")
async def test_b10_a_to_tag_that_is_there_stays(caller: Caller) -> None:
    """It is not ours to change."""
    to = "<sip:201@h>;tag=theirs"
    response = await caller.ask(caller.request("OPTIONS", headers={"To": to}))

    assert response.get("To") == to


@requirement("B10")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE"])
async def test_b10_a_retransmission_gets_the_same_tag(
    caller: Caller, method: str
) -> None:
    """Also where the answer is made anew each time."""
    data = caller.request(method)

    first, second = await caller.ask(data), await caller.ask(data)

    assert first.raw == second.raw


@requirement("B11")
async def test_b11_tags_are_long_and_never_the_same(caller: Caller) -> None:
    """At least 32 bits of randomness: a thousand have nothing in common."""
    tags = set()
    for _ in range(10):
        requests = [caller.request("OPTIONS") for _ in range(100)]
        for data in requests:
            caller.send(data)
        tags |= {(await caller.next_response()).to_tag for _ in requests}

    assert len(tags) == 1000
    assert min(map(len, tags)) >= 16
    assert all(int(tag, 16) for tag in tags)
    columns = [{tag[index] for tag in tags} for index in range(16)]
    assert all(len(column) == 16 for column in columns)


@requirement("B12")
async def test_b12_answers_are_final_and_come_at_once(
    caller: Caller, clock: ManualClock
) -> None:
    """No 1xx, no 408, and no time passes."""
    subscribed = await caller.subscribe()
    responses = [
        subscribed.response,
        await subscribed.send(body=light(True)),
        await caller.call("REGISTER"),
        await caller.ask(caller.request("OPTIONS")),
    ]
    await subscribed.told()
    clock.advance(40)

    assert [response.status for response in responses] == [200] * 4
    await caller.nothing()


# Dialogs


@requirement("B14")
@pytest.mark.parametrize("body", [b"", light(True)], ids=["refresh", "change"])
async def test_b14_an_unknown_to_tag_is_481(
    caller: Caller, reception: Line, body: bytes
) -> None:
    """And changes nothing."""
    response = await caller.call("SUBSCRIBE", {"To": "<sip:201@h>;tag=stale"}, body)

    assert response.status == 481
    assert reception.texts == {}
    await caller.nothing()


@requirement("B14")
@pytest.mark.parametrize(
    "other",
    [{"Call-ID": "other"}, {"From": "<sip:201@h>;tag=x"}, {"From": "<sip:201@h>"}],
)
async def test_b14_call_id_and_both_tags_make_a_dialog(
    caller: Caller, other: dict[str, str]
) -> None:
    """One of them wrong is 481."""
    subscribed = await caller.subscribe()

    assert (await subscribed.send(other)).status == 481


@requirement("B15")
@pytest.mark.parametrize(
    ("numbers", "statuses"),
    [
        ((5, 4), (200, 500)),
        ((5, 5), (200, 500)),
        ((5, 9), (200, 200)),
        ((5, 2147483647), (200, 200)),
        ((5, 4, 6), (200, 500, 200)),
    ],
)
async def test_b15_cseq_of_a_dialog_must_rise(
    caller: Caller, numbers: tuple[int, ...], statuses: tuple[int, ...]
) -> None:
    """Gaps do no harm; equal with a new branch is a duplicate."""
    subscribed = await caller.subscribe({"CSeq": "2 SUBSCRIBE"})

    found = [
        (await subscribed.send({"CSeq": f"{number} SUBSCRIBE"})).status
        for number in numbers
    ]

    assert found == list(statuses)


@requirement("B15")
async def test_b15_a_cseq_counts_only_with_credentials(caller: Caller) -> None:
    """Nobody can lock a phone out with a high number."""
    subscribed = await caller.subscribe()
    data = subscribed.request({"CSeq": "2147483647 SUBSCRIBE"})

    unsigned = await caller.ask(data)
    after = await subscribed.send()

    assert (unsigned.status, after.status) == (401, 200)


@requirement("B15")
async def test_b15_a_dialog_of_one_line_is_not_for_another(
    caller: Caller, stranger: Caller
) -> None:
    """Credentials of 202 do not reach into a dialog of 201."""
    subscribed = await caller.subscribe()
    await stranger.log_in()
    data = stranger.sign(subscribed.request(body=light(True)))

    response = await stranger.ask(data)

    assert response.status == 403


@requirement("B16", "B17")
async def test_b16_record_route_comes_back_in_order(caller: Caller) -> None:
    """With all parameters, in the lines in which it came."""
    host, port = caller.local
    routes = [
        f"<sip:{host}:{port};lr;a=b>;c=d, <sip:p2.example;lr>",
        '"P, 3" <sip:p3.example;lr>',
    ]
    response = await caller.call("SUBSCRIBE", {"Record-Route": routes})

    assert response.get_all("Record-Route") == routes
    assert address(response.get("Contact")).startswith("sip:201@127.0.0.1:")


@requirement("B16")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_b16_our_contact_is_reachable(
    connect: Connect, server: SipServer, transport: str
) -> None:
    """It names the address and the transport that the phone used."""
    caller = await connect(transport)
    subscribed = await caller.subscribe()
    suffix = ";transport=tcp" if transport == "tcp" else ""
    expected = f"<sip:201@127.0.0.1:{server.port}{suffix}>"

    assert subscribed.response.get("Contact") == expected
    assert subscribed.first.get("Contact") == expected


@requirement("B17", "B19")
async def test_b17_the_route_set_is_followed(caller: Caller) -> None:
    """A NOTIFY goes to the top Route, with all Routes, to the Contact."""
    host, port = caller.local
    routes = [f"<sip:{host}:{port};lr>", "<sip:p2.example;lr;x=y>"]
    contact = "<sip:201@192.0.2.9:5070>"

    subscribed = await caller.subscribe(
        {"Record-Route": ", ".join(routes), "Contact": contact}
    )

    assert subscribed.first.values("Route") == routes
    assert f"<{subscribed.first.uri}>" == contact


@requirement("B17")
async def test_b17_a_missing_from_tag_is_tolerated(caller: Caller) -> None:
    """It is null, in the dialog too (RFC 2543)."""
    subscribed = await caller.subscribe({"From": "<sip:201@h>"})

    again = await subscribed.send(body=light(True))
    notify = await subscribed.told()

    assert again.status == 200
    assert notify.get("To") == "<sip:201@h>"


@requirement("B17")
@pytest.mark.parametrize(
    ("contact", "status"),
    [
        (None, 400),
        ("", 400),
        ("*", 400),
        ("<sip:a@h>, <sip:b@h>", 400),
        ("<sip:a@>", 400),
        ('"a', 400),
        ("<tel:201>", 416),
        ("<mailto:a@b>", 416),
    ],
)
async def test_b17_a_subscribe_needs_one_sip_contact(
    caller: Caller, reception: Line, contact: str | None, status: int
) -> None:
    """Otherwise nobody knows where NOTIFYs go."""
    response = await caller.call("SUBSCRIBE", {"Contact": contact})

    assert response.status == status
    assert reception.watchers == 0


@requirement("B18")
async def test_b18_a_refresh_moves_the_target(caller: Caller) -> None:
    """The next NOTIFY names the new Contact."""
    host, port = caller.local
    subscribed = await caller.subscribe()

    await subscribed.send({"Contact": f"<sip:moved@{host}:{port}>"})
    notify = await subscribed.told()

    assert notify.uri == f"sip:moved@{host}:{port}"


@requirement("B18")
async def test_b18_a_refresh_without_contact_keeps_the_target(caller: Caller) -> None:
    """It need not be said twice."""
    subscribed = await caller.subscribe()

    response = await subscribed.send({"Contact": None})
    notify = await subscribed.told()

    assert response.status == 200
    assert f"<{notify.uri}>" == caller.contact


@requirement("B18")
async def test_b18_a_refresh_does_not_change_the_routes(caller: Caller) -> None:
    """The route set is made once (RFC 3261 12.2.1.2)."""
    host, port = caller.local
    route = f"<sip:{host}:{port};lr>"
    subscribed = await caller.subscribe({"Record-Route": route})

    await subscribed.send({"Record-Route": "<sip:elsewhere.example;lr>"})
    notify = await subscribed.told()

    assert notify.values("Route") == [route]


@requirement("B19")
async def test_b19_strict_routes(caller: Caller) -> None:
    """The top Route becomes the Request-URI, the Contact the last Route."""
    host, port = caller.local
    routes = [f"<sip:{host}:{port};strict>", "<sip:p2.example;lr>"]
    contact = "<sip:201@192.0.2.9>"

    subscribed = await caller.subscribe({"Record-Route": routes, "Contact": contact})

    assert subscribed.first.uri == f"sip:{host}:{port};strict"
    assert subscribed.first.values("Route") == [routes[1], contact]


@requirement("B19")
async def test_b19_numbers_and_tags_of_our_requests(caller: Caller) -> None:
    """CSeq rises by one; From and To are those of the dialog, turned round."""
    subscribed = await caller.subscribe({"From": '"Me" <sip:201@h;x>;tag=f;y=z'})
    notifies = [subscribed.first]
    for on in (True, False, True):
        await subscribed.send(body=light(on))
        notifies.append(await subscribed.told())

    assert [notify.cseq for notify in notifies] == [(n, "NOTIFY") for n in (1, 2, 3, 4)]
    for notify in notifies:
        assert notify.get("From") == subscribed.response.get("To")
        assert notify.get("To") == '"Me" <sip:201@h;x>;tag=f;y=z'
        assert notify.call_id == subscribed.response.call_id
        assert notify.violations == []


@requirement("B16", "A16")
@pytest.mark.parametrize(
    "routes",
    [
        '<sip:h;lr>, "',
        '"',
        '<sip:h>;x="',
        "<<<<",
        "<sip:127.0.0.1:99999;lr>",
        "<sip:127.0.0.1;lr>, <sip:h:0;lr>",
        "<sip:@;lr>",
        "<tel:+49301>",
        "<sip:[::1]:5060;lr>",
        "<sip:[::1];transport=tcp;lr>",
    ],
)
async def test_b16_a_record_route_that_cannot_be_followed_is_400(
    caller: Caller, reception: Line, routes: str
) -> None:
    """The phone learns it at once, instead of never getting a NOTIFY."""
    old = await caller.subscribe()

    response = await caller.call("SUBSCRIBE", {"Record-Route": routes})

    assert response.status == 400
    assert response.reason.startswith("Record-Route: ")
    # What there was goes on.
    assert reception.watchers == 1
    assert (await old.send()).status == 200


# CANCEL, ACK, stray responses


def cancel_of(caller: Caller, request: bytes) -> bytes:
    """Return a CANCEL for a request (RFC 3261 9.1)."""
    lines = request.decode().partition("\r\n\r\n")[0].split("\r\n")
    method = lines[0].partition(" ")[0]
    kept = [
        line
        for line in lines[1:]
        if line.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
    ]
    text = "\r\n".join([lines[0], *kept]).replace(method, "CANCEL")
    return f"{text}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode()


@requirement("B20", "H13")
async def test_b20_cancel_of_a_request_that_was_answered_has_no_effect(
    caller: Caller, reception: Line
) -> None:
    """200, no challenge, and the subscription lives on."""
    await caller.log_in()
    data = caller.signed_request("SUBSCRIBE")
    await caller.ask(data)
    await caller.next_request()

    response = await caller.ask(cancel_of(caller, data))

    assert response.status == 200
    assert reception.watchers == 1


@requirement("B20", "H13")
async def test_b20_cancel_of_nothing_is_481(caller: Caller) -> None:
    """Without a challenge."""
    response = await caller.ask(caller.request("CANCEL"))

    assert response.status == 481
    assert not response.has("WWW-Authenticate")


@requirement("B21", "H13")
@pytest.mark.parametrize(
    "headers", [{}, {"CSeq": "1 INVITE"}, {"From": '"'}, {"Content-Length": "9"}]
)
async def test_b21_ack_is_never_answered(
    caller: Caller, headers: dict[str, str]
) -> None:
    """Not even a malformed one."""
    caller.send(caller.request("ACK", headers=headers))

    await caller.nothing()


@requirement("B22", "D5")
@pytest.mark.parametrize(
    "changes",
    [
        {"branch=z9hG4bK": "branch=z9hG4bKx"},
        {"NOTIFY\r\n": "SUBSCRIBE\r\n"},
        {"SIP/2.0 200": "SIP/2.0 099"},
        {"SIP/2.0 200": "SIP/2.0 700"},
        {"SIP/2.0 200": "SIP/2.0 20x"},
        {"CSeq: ": "CSeqq: "},
        {"Via: ": "Viaa: "},
        {"Call-ID: ": "Call-ID "},
        {"Call-ID: ": "Call-ID: x"},
        {"SIP/2.0 200": "SIP/2.0 481", "Call-ID: ": "Call-ID: x"},
        {"Call-ID: ": "X: ", "Content-Length: ": "Content-Length:"},
        {"SIP/2.0 200": "SIP/2.0 481", "Call-ID: ": "X: "},
    ],
    ids=str,
)
async def test_b22_a_response_that_fits_nothing_is_dropped(
    caller: Caller, clock: ManualClock, changes: dict[str, str]
) -> None:
    """The NOTIFY stays unanswered, so it comes again."""
    subscribed = await caller.subscribe(status=0)
    text = subscribed.first.response(200).encode().decode()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)

    caller.send(text.encode())
    await caller.settle()
    clock.advance(0.5)

    again = await caller.next_request()
    assert again.raw == subscribed.first.raw


# OPTIONS


@requirement("B23", "F22")
@pytest.mark.parametrize("uri", ["sip:h", "sip:201@h", "sip:nobody@h", "sip:h:5070"])
async def test_b23_options_tell_what_there_is(caller: Caller, uri: str) -> None:
    """Without a password: phones use OPTIONS to keep NAT open."""
    response = await caller.ask(caller.request("OPTIONS", uri))

    assert response.status == 200
    assert response.get("Allow") == METHODS
    assert response.get("Accept") == TYPE
    assert response.get("Accept-Encoding") == "identity"
    assert response.get("Accept-Language") == "en"
    assert response.get("Allow-Events") == "echo"
    assert response.get("Supported") == "path"


# Lines


@requirement("B4")
@pytest.mark.parametrize(("user", "auth_name"), [("201", "x"), ("x", "201")])
async def test_b4_user_and_authentication_name_are_one_lines_alone(
    caller: Caller, server: SipServer, echo: Echo, user: str, auth_name: str
) -> None:
    """A second line with one of them is refused; a changed one stays as it was."""
    other = echo.lines["line-202"]
    with pytest.raises(ValueError, match="taken"):
        echo.add_line(user, id_="line-new", username=auth_name)
    with pytest.raises(ValueError, match="taken"):
        server.change_account(other, user, auth_name, other.hashes)

    assert (await caller.call("REGISTER")).status == 200
    assert other.user == "202"


@requirement("B4", "H14")
async def test_b4_a_line_may_get_another_name_and_password(
    caller: Caller, server: SipServer, echo: Echo, reception: Line
) -> None:
    """Its dialogs go on with the new credentials only."""
    subscribed = await caller.subscribe()

    hashes = server.hash_password("phone-210", PASSWORDS["201"])
    server.change_account(reception, "210", "phone-210", hashes)
    echo.change(reception, LIGHT, "on")
    notify = await subscribed.told()
    old = await subscribed.send()
    caller.digest.username = "phone-210"
    new = await subscribed.send()

    assert notify.get("Contact").startswith("<sip:210@")
    assert (old.status, new.status) == (401, 200)


@requirement("B4")
@pytest.mark.parametrize(
    "config",
    [ServerConfig(host="127.0.0.1", port=0, experiment=Experiment(authenticate=False))],
    ids=["open"],
)
async def test_b4_without_authentication_the_target_decides(
    caller: Caller, server: SipServer, echo: Echo
) -> None:
    """For measurements: no challenge, and lines may be made when they are asked for."""
    known = await caller.ask(caller.request("REGISTER"))
    unknown = await caller.ask(
        caller.request("SUBSCRIBE", "sip:300@h", {"To": "<sip:300@h>"})
    )
    server._accounts._make_account = echo.add_line
    made = await caller.ask(
        caller.request("SUBSCRIBE", "sip:300@h", {"To": "<sip:300@h>"})
    )

    assert [r.status for r in (known, unknown, made)] == [200, 404, 200]
    assert echo.lines["line-300"].watchers == 1


@requirement("B4")
async def test_b4_lines_may_be_made_when_their_users_log_in(
    connect: Connect, server: SipServer, echo: Echo
) -> None:
    """For servers without a list of lines."""
    server._accounts._make_account = lambda user: echo.add_line(user, "made")
    caller = await connect(user="300")
    caller.digest.password = "made"

    assert (await caller.call("REGISTER")).status == 200


# Addresses that we tell


@pytest.mark.parametrize(
    "config",
    [
        ServerConfig(
            host="127.0.0.1",
            port=0,
            advertised_host="pbx.example",
            advertised_port=15060,
        )
    ],
)
@requirement("B16", "D9")
async def test_b16_the_advertised_address_stands_in_contact_and_via(
    caller: Caller,
) -> None:
    """Behind NAT or in a container the local one is of no use."""
    subscribed = await caller.subscribe()

    for message in (subscribed.response, subscribed.first):
        assert message.get("Contact") == "<sip:201@pbx.example:15060>"
    assert subscribed.first.get("Via").startswith("SIP/2.0/UDP pbx.example:15060;")


@requirement("B26")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "SUBSCRIBE"])
async def test_b26_a_fault_of_ours_is_500(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    """The socket stays alive, and the log says what happened."""

    def fail(*_: object) -> None:
        raise RuntimeError("injected")

    with monkeypatch.context() as patched:
        patched.setattr(sip_server, "check_scheme", fail)
        patched.setattr(subscribe, "check_scheme", fail)
        response = await caller.call(method)

    assert response.status == 500
    assert "injected" in caplog.text
    assert (await caller.ask(caller.request("OPTIONS"))).status == 200
