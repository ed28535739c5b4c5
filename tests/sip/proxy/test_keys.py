"""SUBSCRIBEs of phones that are registered at a PBX: answered here, no password."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from custom_components.dfks.sip import SubscriberConfig
from custom_components.dfks.sip.proxy.pbx import PbxConfig
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.phone import Request, Response
from tests.phone.raw import Override
from tests.sip.echo import LIGHT, TOPICS, Echo, echoed, light
from tests.sip.ua.peers import Heard, Notifier, Package

from .conftest import add_line_at_pbx
from .peers import DOMAIN, Pbx, ProxiedPhone, both_silent
from .test_learning import Learned

type OpenPhone = Callable[..., Awaitable[ProxiedPhone]]
type Restart = Callable[[], Awaitable[SipServer]]

LIGHT_ON = light(True)


def subscribe(
    phone: ProxiedPhone,
    headers: Mapping[str, Override] | None = None,
    body: bytes = b"",
    uri: str | None = None,
) -> bytes:
    """Build a SUBSCRIBE of the phone's line as it goes by an outbound proxy."""
    target = f"sip:{phone.user}@{DOMAIN}" if uri is None else uri
    return phone.request("SUBSCRIBE", target, headers, body)


async def open_subscription(phone: ProxiedPhone) -> tuple[Response, Request]:
    """Subscribe; return the 200 and the first NOTIFY, which is answered."""
    response = await phone.ask(subscribe(phone))
    assert response.status == 200
    notify = await phone.next_request()
    phone.answer(notify)
    await settle(phone)
    return response, notify


async def settle(phone: ProxiedPhone) -> None:
    """Wait until the server has read all that was sent."""
    options = phone.request("OPTIONS", "sip:{}:{}".format(*phone.link.remote))
    assert (await phone.ask(options)).status == 200


def again(
    phone: ProxiedPhone, response: Response, body: bytes = b"", cseq: int = 2
) -> bytes:
    """Build a SUBSCRIBE in the dialog of a 200."""
    return subscribe(
        phone,
        {
            "To": response.get("To"),
            "From": response.get("From"),
            "Call-ID": response.get("Call-ID"),
            "CSeq": f"{cseq} SUBSCRIBE",
        },
        body,
        uri=response.values("Contact")[0].partition("<")[2].partition(">")[0],
    )


def is_lit(echo: Echo, line: str = "201@pbx-1") -> bool:
    """Whether the light of a line is on."""
    return echo.lines[line].texts.get(LIGHT) == "on"


@pytest.mark.requirement("P58")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_proven_flow_subscribes_without_a_password(
    open_phone: OpenPhone, pbx_peer: Pbx, transport: str
) -> None:
    """The 200 and the state come from here, and nothing gets to the PBX."""
    phone = await open_phone(transport=transport)
    await pbx_peer.register(phone)
    _, notify = await open_subscription(phone)
    assert list(echoed(notify)) == TOPICS
    await both_silent(phone, pbx_peer)


@pytest.mark.requirement("P58")
@pytest.mark.parametrize(
    ("uri", "route"),
    [
        ("sip:201@{domain}", "<sip:{us};lr>"),
        ("sip:{domain}", None),
        ("sip:201@{us}", None),
        ("sip:202@elsewhere.example", "<sip:edge.example;lr>"),
        ("sips:201@{domain}", None),
    ],
)
async def test_request_uri_and_route_do_not_matter(
    registered: ProxiedPhone, pbx_peer: Pbx, uri: str, route: str | None
) -> None:
    """From and To name the line."""
    us = "{}:{}".format(*registered.link.remote)
    headers = {"Route": None if route is None else route.format(us=us)}
    target = uri.format(domain=DOMAIN, us=us)
    response = await registered.ask(subscribe(registered, headers, uri=target))
    assert response.status == 200
    await pbx_peer.silence()


@pytest.mark.requirement("P58")
@pytest.mark.parametrize("field", ["From", "To"])
async def test_from_and_to_must_be_the_line(
    registered: ProxiedPhone, pbx_peer: Pbx, echo: Echo, field: str
) -> None:
    """A phone of 201 gets nothing of 202."""
    add_line_at_pbx(echo, "202")
    value = f"<sip:202@{DOMAIN}>" + (";tag=x" if field == "From" else "")
    response = await registered.ask(subscribe(registered, {field: value}))
    assert response.status == 403
    await both_silent(registered, pbx_peer)


@pytest.mark.requirement("P58")
async def test_credentials_for_the_pbx_are_not_looked_at(
    registered: ProxiedPhone, server: SipServer
) -> None:
    """Nobody here knows the password that they are made of."""
    wrong = 'Digest username="201", realm="pbx", nonce="n", uri="sip:x", response="0"'
    response = await registered.ask(subscribe(registered, {"Authorization": wrong}))
    assert response.status == 200


@pytest.mark.requirement("P59")
async def test_a_body_in_the_dialog_changes_the_state(
    registered: ProxiedPhone, pbx_peer: Pbx, echo: Echo
) -> None:
    """In the dialog; the phone is told, the PBX hears nothing."""
    response, _ = await open_subscription(registered)
    assert (await registered.ask(again(registered, response, LIGHT_ON))).status == 200
    notify = await registered.next_request()
    assert echoed(notify)[LIGHT] == "on"
    assert is_lit(echo)
    await pbx_peer.silence()


@pytest.mark.requirement("P59")
@pytest.mark.parametrize("uri", [f"sip:201@{DOMAIN}", "sip:elsewhere.example"])
async def test_the_request_uri_in_a_dialog_does_not_matter(
    registered: ProxiedPhone, pbx_peer: Pbx, uri: str
) -> None:
    """A phone may put its own address-of-record there."""
    response, _ = await open_subscription(registered)
    data = again(registered, response)
    _, _, rest = data.partition(b"\r\n")
    changed = b"SUBSCRIBE %b SIP/2.0\r\n%b" % (uri.encode(), rest)
    assert (await registered.ask(changed)).status == 200
    await pbx_peer.silence()


@pytest.mark.requirement("P59")
@pytest.mark.parametrize(
    "event", ["dialog", "message-summary", "presence", "call-info", "x-unknown"]
)
async def test_other_event_packages_pass(
    registered: ProxiedPhone, pbx_peer: Pbx, event: str
) -> None:
    """Lamps and voice mail are the PBX's."""
    registered.send(subscribe(registered, {"Event": event}))
    request = await pbx_peer.next_request()
    assert (request.method, request.get("Event")) == ("SUBSCRIBE", event)


@pytest.mark.requirement("P60")
async def test_over_udp_an_initial_subscribe_changes_nothing(
    registered: ProxiedPhone, echo: Echo
) -> None:
    """Anybody in the network could have written it; the full state is told."""
    assert (await registered.ask(subscribe(registered, body=LIGHT_ON))).status == 200
    notify = await registered.next_request()
    assert echoed(notify)[LIGHT] == "off"
    assert not is_lit(echo)


@pytest.mark.requirement("P60")
async def test_over_udp_a_body_that_is_not_taken_is_not_read_either(
    registered: ProxiedPhone, echo: Echo
) -> None:
    """It is no reason to refuse the subscription."""
    assert (await registered.ask(subscribe(registered, body=b"<odd"))).status == 200


@pytest.mark.requirement("P60")
async def test_over_tcp_an_initial_subscribe_may_change(
    open_phone: OpenPhone, pbx_peer: Pbx, echo: Echo
) -> None:
    """Nobody can write on the connection of another."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    assert (await phone.ask(subscribe(phone, body=LIGHT_ON))).status == 200
    assert is_lit(echo)


@pytest.mark.requirement("P60")
async def test_nobody_else_can_write_in_a_dialog(
    registered: ProxiedPhone, server: SipServer, echo: Echo
) -> None:
    """Its To tag is 64 random bits that only the phone has seen."""
    response, _ = await open_subscription(registered)
    other = await ProxiedPhone.open(("127.0.0.1", server.port), local=("127.0.0.2", 0))
    async with other:
        tag = response.get("To").partition(";tag=")[2]
        assert len(tag) >= 16
        guessed = again(other, response, LIGHT_ON).replace(tag.encode(), b"0" * 16)
        assert (await other.ask(guessed)).status == 481
        assert not is_lit(echo)


@pytest.mark.requirement("P61")
async def test_a_phone_that_subscribes_before_it_registers_asks_again(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """480 with Retry-After, and then the next SUBSCRIBE is taken."""
    response = await phone.ask(subscribe(phone))
    assert (response.status, response.get("Retry-After")) == (480, "30")
    await pbx_peer.register(phone)
    assert (await phone.ask(subscribe(phone))).status == 200


@pytest.mark.requirement("P61")
async def test_a_phone_whose_line_is_not_added_yet_asks_again(
    open_phone: OpenPhone, pbx_peer: Pbx, echo: Echo
) -> None:
    """Until somebody adds the line."""
    phone = await open_phone("205")
    await pbx_peer.register(phone)
    response = await phone.ask(subscribe(phone))
    assert (response.status, response.get("Retry-After")) == (480, "30")
    add_line_at_pbx(echo, "205")
    assert (await phone.ask(subscribe(phone))).status == 200


@pytest.mark.requirement("P61", "P102")
async def test_a_line_that_is_registered_here_is_asked_for_its_password(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Also where its Request-URI names the PBX and the flow is not proven."""
    phone = await open_phone("301")
    host, port = phone.link.remote
    for uri in (f"sip:301@{host}:{port}", f"sip:301@{DOMAIN}"):
        data = subscribe(phone, uri=uri)
        assert (await phone.ask(data)).status == 401
        assert (await phone.ask_signed(data, "secret")).status == 200
        phone.answer(await phone.next_request())
    await pbx_peer.silence()


@pytest.mark.requirement("P102")
async def test_a_dialog_of_a_line_here_takes_no_proof_but_the_password(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Its To tag alone opens nothing, as without a PBX."""
    phone = await open_phone("301")
    host, port = phone.link.remote
    data = subscribe(phone, uri=f"sip:301@{host}:{port}")
    response = await phone.ask_signed(data, "secret")
    assert response.status == 200
    phone.answer(await phone.next_request())
    assert (await phone.ask(again(phone, response, cseq=9))).status == 401


@pytest.mark.requirement("P61")
async def test_a_line_that_nobody_knows_asks_again(
    open_phone: OpenPhone, pbx_peer: Pbx
) -> None:
    """Its Request-URI names the PBX, whose REGISTER may be on its way."""
    phone = await open_phone("209")
    assert (await phone.ask(subscribe(phone))).status == 480
    await pbx_peer.silence()


@pytest.mark.requirement("P61", "P56")
async def test_a_connection_with_a_dialog_of_ours_is_kept(
    open_phone: OpenPhone, pbx_peer: Pbx, clock: ManualClock
) -> None:
    """The phone has connected anew, and its REGISTER is not due yet."""
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone)
    response, _ = await open_subscription(phone)
    again_connected = await open_phone(transport="tcp")
    data = again(again_connected, response)
    assert (await again_connected.ask(data)).status == 200
    again_connected.answer(await again_connected.next_request())
    await settle(again_connected)
    clock.advance(300)
    await settle(again_connected)
    assert not again_connected.closed.is_set()


@pytest.mark.requirement("P61")
async def test_a_refresh_from_a_new_address_is_taken(
    registered: ProxiedPhone, pbx_peer: Pbx, open_phone: OpenPhone, echo: Echo
) -> None:
    """NAT has moved the phone; it knows the To tag, and is told there from now on."""
    response, _ = await open_subscription(registered)
    moved = await open_phone()
    assert (await moved.ask(again(moved, response, LIGHT_ON))).status == 200
    assert echoed(await moved.next_request())[LIGHT] == "on"
    await registered.silence()


@pytest.mark.requirement("P61")
async def test_a_dialog_that_is_not_known_gets_481(
    phone: ProxiedPhone, pbx_peer: Pbx
) -> None:
    """The phone subscribes anew then, registered or not."""
    to = {"To": f"<sip:201@{DOMAIN}>;tag=unknown"}
    assert (await phone.ask(subscribe(phone, to))).status == 481
    await pbx_peer.register(phone)
    assert (await phone.ask(subscribe(phone, to))).status == 481
    await pbx_peer.silence()


@pytest.mark.requirement("P57")
async def test_a_proof_that_has_expired_opens_no_subscription(
    registered: ProxiedPhone, clock: ManualClock
) -> None:
    """The one that is open lasts until its own end."""
    response, _ = await open_subscription(registered)
    clock.advance(3500)
    assert (await registered.ask(again(registered, response))).status == 200
    registered.answer(await registered.next_request())
    await settle(registered)
    clock.advance(200)
    assert (await registered.ask(subscribe(registered))).status == 480
    data = again(registered, response, cseq=3)
    assert (await registered.ask(data)).status == 200


@pytest.mark.requirement("P62")
async def test_a_notify_goes_by_the_newest_connection(
    open_phone: OpenPhone, pbx_peer: Pbx, echo: Echo
) -> None:
    """The phone has connected and registered anew, and has not subscribed anew."""
    instance = {"Contact": '<sip:201@127.0.0.1>;+sip.instance="<urn:uuid:1>"'}
    phone = await open_phone(transport="tcp")
    await pbx_peer.register(phone, instance)
    await open_subscription(phone)
    await phone.close()
    new = await open_phone(transport="tcp")
    await pbx_peer.register(new, instance)
    new.answer(await new.next_request())
    echo.change(echo.lines["201@pbx-1"], LIGHT, "on")
    notify = await new.next_request()
    assert echoed(notify)[LIGHT] == "on"


@pytest.mark.requirement("P62")
async def test_a_notify_after_a_restart_goes_to_the_phone(
    registered: ProxiedPhone, restart: Restart
) -> None:
    """The subscription outlives the restart, without a password."""
    response, _ = await open_subscription(registered)
    await restart()
    notify = await registered.next_request()
    assert notify.get("Call-ID") == response.get("Call-ID")


@pytest.mark.requirement("P63", "P102")
async def test_one_user_lives_here_and_at_the_pbx(
    registered: ProxiedPhone, open_phone: OpenPhone, echo: Echo
) -> None:
    """Two lines with states of their own, on one port."""
    echo.add_line("201", "here")
    host, port = registered.link.remote
    second = await open_phone()
    data = second.request(
        "SUBSCRIBE",
        f"sip:201@{host}:{port}",
        {"To": f"<sip:201@{host}>", "From": f"<sip:201@{host}>;tag=second"},
        LIGHT_ON,
    )
    assert (await second.ask(data)).status == 401
    assert (await second.ask_signed(data, "here")).status == 200
    assert is_lit(echo, "line-201")
    assert not is_lit(echo)
    await open_subscription(registered)


@pytest.mark.requirement("P63", "P102")
async def test_one_phone_has_an_account_here_and_one_at_the_pbx(
    registered: ProxiedPhone, echo: Echo
) -> None:
    """Both over one socket, as the same user: the hosts tell them apart."""
    echo.add_line("201", "here")
    host, port = registered.link.remote
    here = {"To": f"<sip:201@{host}>", "From": f"<sip:201@{host}>;tag=second"}
    data = registered.request("SUBSCRIBE", f"sip:201@{host}:{port}", here, LIGHT_ON)
    assert (await registered.ask_signed(data, "here")).status == 200
    assert is_lit(echo, "line-201")
    assert not is_lit(echo)


@pytest.mark.requirement("P63")
async def test_a_line_moves_from_here_to_the_pbx(
    registered: ProxiedPhone, echo: Echo, server: SipServer
) -> None:
    """Its state stays; its password is not asked for any more."""
    echo.remove_line("201@pbx-1")
    line = echo.add_line("201", "here")
    echo.change(line, LIGHT, "on")
    assert (await registered.ask(subscribe(registered))).status == 480
    server.change_account(line, "201", "", (), "pbx-1")
    _, notify = await open_subscription(registered)
    assert echoed(notify)[LIGHT] == "on"


@pytest.mark.requirement("P63")
async def test_two_lines_of_one_user_at_one_pbx_are_refused(echo: Echo) -> None:
    """At another PBX it is another line."""
    with pytest.raises(ValueError, match="taken"):
        echo.add_line("201", id_="another", pbx="pbx-1")
    add_line_at_pbx(echo, "201", "pbx-2")


@pytest.mark.requirement("P112")
async def test_a_pbx_that_synchronizes_the_keys_itself_is_asked(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, pbx_config: PbxConfig
) -> None:
    """The event passes like any other event, both ways."""
    server.add_pbx(replace(pbx_config, keys_here=False))
    registered.send(subscribe(registered))
    request = await pbx_peer.next_request()
    assert request.get("Event") == "echo"
    pbx_peer.send(request.response(200).encode())
    assert (await registered.next_response()).status == 200


@pytest.mark.requirement("P112")
@pytest.mark.parametrize("status", [489, 403, 404, 501])
async def test_a_pbx_that_does_not_know_the_keys_is_found_out(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer, status: int
) -> None:
    """By one SUBSCRIBE that is passed; the phone never hears of it, and is served."""
    told: list[bool] = []
    server.proxy.upstreams["pbx-1"].ask_about_keys(told.append)
    for answer in (401, status):
        registered.send(subscribe(registered))
        request = await pbx_peer.next_request()
        assert request.get("Event") == "echo"
        assert not told
        pbx_peer.send(request.response(answer).encode())
        response = await registered.next_response()
        assert response.status == (401 if answer == 401 else 480)
    assert response.get("Retry-After") == "1"
    assert told == [True]
    await open_subscription(registered)
    await pbx_peer.silence()


@pytest.mark.requirement("P112")
async def test_a_pbx_that_knows_the_keys_is_found_out(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """By its 200 to the one SUBSCRIBE that is passed."""
    told: list[bool] = []
    learned = Learned()
    server.observe_proxy(learned)
    server.proxy.upstreams["pbx-1"].ask_about_keys(told.append)
    registered.send(subscribe(registered))
    pbx_peer.send((await pbx_peer.next_request()).response(200).encode())
    assert (await registered.next_response()).status == 200
    assert told == [False]
    assert ("keys", "pbx-1") in learned.events


@pytest.mark.requirement("P112")
async def test_a_pbx_that_sends_a_notify_of_the_keys_is_told_of(
    registered: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """It is passed: somebody has subscribed there by another way."""
    learned = Learned()
    server.observe_proxy(learned)
    registration = await pbx_peer.register(registered)
    event = {"Event": "echo", "Subscription-State": "active"}
    pbx_peer.send(pbx_peer.call(registration, "NOTIFY", event))
    assert (await registered.next_request()).method == "NOTIFY"
    assert learned.events[-2:] == [("keys", "pbx-1"), ("reached", "pbx-1", "201")]


@pytest.mark.requirement("P112", "S4")
async def test_the_notify_of_a_followed_line_is_not_passed(
    registered: ProxiedPhone,
    pbx_peer: Pbx,
    server: SipServer,
    clock: ManualClock,
) -> None:
    """Though its user has a phone registered at the PBX, on the notifier's machine."""
    heard = Heard()
    async with await Notifier.listen() as notifier:
        host, port = notifier.local
        config = SubscriberConfig(
            id="followed-1",
            user=registered.user,
            username=registered.user,
            password="secret",
            host=host,
            port=port,
        )
        heard.line = server.following.add(config, Package(), heard)
        clock.advance(0.1)
        notifier.towards(server.port)
        await notifier.accept_subscribe()

    assert heard.bodies == [("text/echo", b"on")]
    await pbx_peer.silence()


@pytest.mark.requirement("P112", "P61")
async def test_only_a_phone_that_is_proven_asks_the_pbx(
    phone: ProxiedPhone, pbx_peer: Pbx, server: SipServer
) -> None:
    """Another one is told to ask again."""
    server.proxy.upstreams["pbx-1"].ask_about_keys(lambda _: None)
    assert (await phone.ask(subscribe(phone))).status == 480
    await pbx_peer.silence()
