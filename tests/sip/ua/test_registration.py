"""A line that is registered as well as subscribed (S14)."""

import asyncio

import pytest

from custom_components.dfks.sip import (
    Contacts,
    PbxConfig,
    SipServer,
    SubscriptionStatus,
)
from custom_components.dfks.sip.following import RENEWAL
from tests.clock import ManualClock

from .challenges import challenge, is_right
from .conftest import Follow
from .peers import Heard, Notifier

requirement = pytest.mark.requirement


@requirement("S14")
async def test_s14_the_line_registers_before_it_subscribes(
    follow: Follow, notifier: Notifier
) -> None:
    """Some servers take a SUBSCRIBE only from who is registered."""
    follow(register=True)
    register = await notifier.next_request()
    host, port = notifier.local

    assert register.method == "REGISTER"
    assert register.uri == f"sip:{host}:{port}"
    assert register.get("To") == f"<sip:501@{host}>"
    assert register.get("Contact").startswith("<sip:501@")
    assert register.get("Expires") == "3600"
    await notifier.silence(0.05)
    notifier.accept(register)

    assert (await notifier.next_request()).method == "SUBSCRIBE"


@requirement("S14")
async def test_s14_it_is_not_registered_where_that_is_not_asked_for(
    follow: Follow, notifier: Notifier
) -> None:
    """Where a server keeps one Contact a line, ours would take the phone's place."""
    follow()

    assert (await notifier.next_request()).method == "SUBSCRIBE"
    await notifier.silence(0.05)


@requirement("S14", "S2")
async def test_s14_register_and_subscribe_share_the_nonce(
    follow: Follow, notifier: Notifier
) -> None:
    """One challenge for both."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.answer(register, 401, www_authenticate=challenge())
    again = await notifier.next_request()
    assert is_right(again)
    notifier.accept(again)

    assert is_right(await notifier.next_request())


@requirement("S14")
async def test_s14_it_is_refreshed_before_its_time_is_over(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """The time is that of our own Contact in the 200 (RFC 3261 10.2.4)."""
    follow(register=True)
    register = await notifier.next_request()
    own = register.get("Contact")
    notifier.accept(register, ["<sip:501@192.0.2.9>;expires=60", f"{own};expires=200"])
    await notifier.accept_subscribe()

    clock.advance(159)
    await notifier.silence(0.05)
    clock.advance(22)
    again = await notifier.next_request()

    assert again.method == "REGISTER"
    assert again.get("Call-ID") == register.get("Call-ID")
    assert again.cseq == (2, "REGISTER")


@requirement("S14")
async def test_s14_a_server_that_wants_longer_is_asked_for_longer(
    follow: Follow, notifier: Notifier
) -> None:
    """423 with Min-Expires."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.answer(register, 423, min_expires="7200")

    assert (await notifier.next_request()).get("Expires") == "7200"


@requirement("S14")
async def test_s14_a_call_for_the_line_is_480(
    follow: Follow, notifier: Notifier
) -> None:
    """Nobody is here to answer; the phones go on ringing."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.accept(register)
    contact = register.get("Contact").partition("<")[2].partition(">")[0]
    await notifier.accept_subscribe()

    response = await notifier.ask(notifier.request("INVITE", contact))

    assert response.status == 480


@requirement("S14")
async def test_s14_so_is_one_from_a_pbx_that_we_stand_in_front_of_as_well(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """Calls for users whom nobody knows are 404 there."""
    host, port = notifier.local
    server.add_pbx(PbxConfig(id="pbx-1", host=host, port=port))
    follow(register=True)
    register = await notifier.next_request()
    notifier.accept(register)
    contact = register.get("Contact").partition("<")[2].partition(">")[0]
    await notifier.accept_subscribe()

    own = await notifier.ask(notifier.request("INVITE", contact))
    other = contact.replace("501@", "502@")
    unknown = await notifier.ask(notifier.request("INVITE", other))

    assert own.status == 480
    assert unknown.status == 404


@requirement("S14")
@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("MESSAGE", 405)])
async def test_s14_other_requests_are_answered_as_ever(
    follow: Follow, notifier: Notifier, method: str, status: int
) -> None:
    """A server that asks whether we are there hears that we are."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.accept(register)
    await notifier.accept_subscribe()

    response = await notifier.ask(notifier.request(method))

    assert response.status == status


@requirement("S14")
async def test_s14_a_call_from_elsewhere_is_405(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """Whoever is not the server learns nothing of the line."""
    follow(register=True)
    notifier.accept(await notifier.next_request())
    async with await Notifier.listen(("127.0.0.2", 0)) as stranger:
        stranger.towards(server.port)
        response = await stranger.ask(stranger.request("INVITE", "sip:501@127.0.0.1"))

    assert response.status == 405


@requirement("S14", "S13")
async def test_s14_the_binding_is_taken_away_at_the_end(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """After the subscription, so that no call comes here in vain."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.accept(register)
    await notifier.accept_subscribe()

    ending = asyncio.create_task(server.following.end())
    notifier.answer_subscribe(await notifier.next_request())
    last = await notifier.next_request()
    notifier.accept(last, [])
    await ending

    assert (last.method, last.get("Expires")) == ("REGISTER", "0")
    assert last.get("Contact") == register.get("Contact")


@requirement("S14", "S8")
async def test_s14_a_server_that_has_forgotten_the_binding_is_registered_at_anew(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """It was restarted, and takes subscriptions from who is registered only."""
    line = follow(register=True)
    notifier.accept(await notifier.next_request())
    await notifier.accept_subscribe()
    clock.advance(RENEWAL)
    line.subscriber.refresh()
    await notifier.refuse_subscribe(481)
    await notifier.silence(0.05)

    clock.advance(0)
    requests = [await notifier.next_request(), await notifier.next_request()]
    register, subscribe = sorted(requests, key=lambda request: request.method)
    assert (register.method, subscribe.method) == ("REGISTER", "SUBSCRIBE")
    notifier.answer_subscribe(subscribe, 403)
    await notifier.silence(0.05)
    notifier.accept(register)
    await notifier.accept_subscribe()

    assert heard.statuses[-1] is SubscriptionStatus.ACTIVE


@requirement("S14", "S8")
async def test_s14_a_server_that_refuses_whoever_is_registered_is_left_alone(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """A registration that is new is not what it lacks."""
    follow(register=True)
    notifier.accept(await notifier.next_request())
    await notifier.refuse_subscribe(403)
    await notifier.silence(0.05)

    clock.advance(RENEWAL)

    await notifier.silence(0.05)


@requirement("S14")
async def test_s14_the_binding_of_another_line_is_left_where_it_is_the_same(
    follow: Follow, notifier: Notifier, server: SipServer, clock: ManualClock
) -> None:
    """As when a line that is followed is tried with other settings."""
    follow(register=True)
    notifier.accept(await notifier.next_request())
    await notifier.accept_subscribe()
    follow(id="trial", register=True)
    clock.advance(0.1)
    notifier.accept(await notifier.next_request())
    await notifier.accept_subscribe()

    server.following.remove("trial")
    goodbye = await notifier.next_request()
    notifier.answer_subscribe(goodbye)
    await notifier.silence(0.05)

    assert (goodbye.method, goodbye.get("Expires")) == ("SUBSCRIBE", "0")


@requirement("S14", "S8")
@pytest.mark.parametrize(
    ("status", "headers", "earliest", "latest"),
    [
        (500, {}, 23, 37),
        (503, {"retry_after": "500"}, 499, 601),
        (403, {}, 3599, 4321),
    ],
)
async def test_s14_a_register_that_is_refused_says_so(
    follow: Follow,
    notifier: Notifier,
    heard: Heard,
    clock: ManualClock,
    status: int,
    headers: dict[str, str],
    earliest: float,
    latest: float,
) -> None:
    """And is tried again after a pause; 403 may be a wrong password (S2)."""
    line = follow(register=True)
    register = await notifier.next_request()
    notifier.answer(register, status, **headers)
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.REFUSED]
    assert line.subscriber.code == status

    clock.advance(earliest)
    await notifier.silence(0.05)
    clock.advance(latest - earliest)

    assert (await notifier.next_request()).method == "REGISTER"


@requirement("S14", "S3")
async def test_s14_a_server_that_wants_ever_longer_is_not_asked_at_once_again(
    follow: Follow, notifier: Notifier
) -> None:
    """As with SUBSCRIBE."""
    follow(register=True)
    for wanted in ("7200", "7201"):
        register = await notifier.next_request()
        notifier.answer(register, 423, min_expires=wanted)

    await notifier.silence(0.05)


@requirement("S14", "S3")
async def test_s14_a_time_of_a_second_is_no_reason_for_a_flood(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """As with SUBSCRIBE."""
    follow(register=True)
    register = await notifier.next_request()
    notifier.accept(register, [f"{register.get('Contact')};expires=1"])
    await notifier.accept_subscribe()

    clock.advance(9.9)

    await notifier.silence(0.05)


@requirement("S14", "S2")
async def test_s14_a_wrong_password_is_not_tried_again(
    follow: Follow, notifier: Notifier, heard: Heard, clock: ManualClock
) -> None:
    """As with SUBSCRIBE."""
    follow(register=True)
    for nonce in ("nonce-1", "nonce-2"):
        register = await notifier.next_request()
        notifier.answer(register, 401, www_authenticate=challenge(nonce))
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.WRONG_PASSWORD]

    clock.advance(86_400)
    await notifier.silence(0.05)


@requirement("S14")
async def test_s14_bindings_can_be_asked_for_without_one_of_ours(
    follow: Follow, notifier: Notifier
) -> None:
    """A REGISTER without Contact changes nothing (RFC 3261 10.2.3)."""
    line = follow()
    await notifier.accept_subscribe()
    told: list[Contacts] = []
    line.fetch_contacts(told.append)
    register = await notifier.next_request()
    assert register.method == "REGISTER"
    assert "contact" not in {name.lower() for name, _ in register.headers}
    assert "expires" not in {name.lower() for name, _ in register.headers}

    notifier.accept(register, ["<sip:501@192.0.2.9>;expires=60"])
    await notifier.silence(0.05)

    assert told == [("sip:501@192.0.2.9",)]
