"""A line at a server that notifies: the subscriber of RFC 6665."""

import asyncio
import errno
from itertools import pairwise

import pytest

from custom_components.dfks.sip import (
    Flow,
    SipServer,
    SubscriberConfig,
    SubscriptionStatus,
)
from custom_components.dfks.sip.following import SPREAD
from custom_components.dfks.sip.transport.flow import FlowError
from custom_components.dfks.sip.ua.pauses import (
    LONG_PAUSE,
    MAX_BACK_OFF,
    MIN_REFRESH,
    BackOff,
)
from custom_components.dfks.sip.ua.subscriber import Subscriber
from tests.clock import ManualClock
from tests.phone import Request, settle
from tests.phone.wire import parameter

from .conftest import Follow
from .peers import TAG, Heard, Notifier, Package

requirement = pytest.mark.requirement

ACTIVE = SubscriptionStatus.ACTIVE
REFUSED = SubscriptionStatus.REFUSED
UNREACHABLE = SubscriptionStatus.UNREACHABLE

# Seconds after which a subscription of an hour is refreshed where chance is left out.
REFRESH = 3060.5


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave chance out: what is drawn is in the middle."""
    monkeypatch.setattr("random.uniform", lambda one, other: (one + other) / 2)


async def again_at(
    notifier: Notifier, clock: ManualClock, earliest: float, latest: float
) -> Request:
    """Return the SUBSCRIBE that comes between two times from now, and none before."""
    clock.advance(earliest)
    await notifier.silence(0.05)
    clock.advance(latest - earliest)
    request = await notifier.next_request()
    assert request.method == "SUBSCRIBE"
    return request


# What is sent


@requirement("S1")
async def test_s1_a_subscribe_says_what_is_wanted(
    follow: Follow, notifier: Notifier
) -> None:
    """With Event, Expires, Contact, Accept and Allow-Events, for the line's address."""
    follow()

    request = await notifier.next_request()

    host, port = notifier.local
    assert request.uri == f"sip:501@{host}:{port}"
    assert request.violations == []
    assert request.get("From").startswith(f"<sip:501@{host}>;tag=")
    assert request.get("To") == f"<sip:501@{host}>"
    assert request.get("Event") == "echo"
    assert request.get("Expires") == "3600"
    assert request.get("Accept") == "text/echo, multipart/mixed"
    assert request.get("Allow-Events") == "echo"
    assert request.get("Contact").startswith("<sip:501@127.0.0.1:")
    assert "Authorization" not in dict(request.headers)


@requirement("S1")
async def test_s1_a_domain_and_an_outbound_proxy_are_used(
    follow: Follow, notifier: Notifier
) -> None:
    """The request is for the domain, and goes to the proxy, which it names."""
    host, port = notifier.local
    follow(host="sip.example", port=None, domain="example.com", proxy=(host, port))

    request = await notifier.next_request()

    assert request.uri == "sip:501@example.com"
    assert request.get("To") == "<sip:501@example.com>"
    assert request.get("Route") == f"<sip:{host}:{port};lr>"


@requirement("S1")
async def test_s1_a_new_subscription_is_a_new_dialog(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Call-ID and From tag are others after the end of the one before."""
    follow()
    first = await notifier.accept_subscribe()
    clock.advance(60)
    await notifier.notify(first, "terminated;reason=deactivated", cseq=2)
    clock.advance(0)

    second = await notifier.next_request()

    assert second.get("Call-ID") != first.get("Call-ID")
    assert second.get("From") != first.get("From")
    assert ";tag=" not in second.get("To")
    assert second.cseq == (1, "SUBSCRIBE")


@pytest.mark.usefixtures("steady")
@requirement("S1")
async def test_s1_a_refresh_is_sent_in_the_dialog(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """To the Contact of the server, by the route that it has recorded."""
    follow()
    first = await notifier.next_request()
    notifier.answer_subscribe(
        first,
        expires="3600",
        record_route="<sip:127.0.0.1:1;lr>, <sip:127.0.0.1:2;lr>",
    )
    await notifier.notify(first)
    clock.advance(REFRESH)

    refresh = await notifier.next_request()

    assert refresh.get("Call-ID") == first.get("Call-ID")
    assert refresh.get("From") == first.get("From")
    assert parameter(refresh.get("To"), "tag") == TAG
    assert refresh.cseq == (2, "SUBSCRIBE")
    assert f"<{refresh.uri}>" == notifier.contact
    assert refresh.values("Route") == ["<sip:127.0.0.1:2;lr>", "<sip:127.0.0.1:1;lr>"]


# Time


@requirement("S3")
async def test_s3_a_shorter_time_is_taken_and_refreshed_before_its_end(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """At 80 to 90 % of what the server has granted."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="600")
    await notifier.notify(request, "active")

    await again_at(notifier, clock, 0.79 * 600, 0.91 * 600)


@requirement("S3")
async def test_s3_a_notify_may_shorten_the_time(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """RFC 6665 4.1.3: what a NOTIFY says of the time counts."""
    follow()
    await notifier.accept_subscribe("active;expires=100")

    await again_at(notifier, clock, 79, 91)


@requirement("S3")
async def test_s3_without_expires_it_is_what_was_asked_for(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Some servers leave Expires out of the 2xx."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request)
    await notifier.notify(request, "active")

    await again_at(notifier, clock, 0.79 * 3600, 0.91 * 3600)


@requirement("S3")
async def test_s3_a_server_that_wants_longer_is_asked_for_longer(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """423 with Min-Expires."""
    follow()
    await notifier.refuse_subscribe(423, min_expires="7200")
    await notifier.silence(0.05)
    clock.advance(0)

    assert (await notifier.next_request()).get("Expires") == "7200"


@requirement("S3")
async def test_s3_a_server_that_wants_ever_longer_is_not_asked_at_once_again(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """From an hour to a day it could go on for 82,800 requests."""
    follow()
    await notifier.refuse_subscribe(423, min_expires="7200")
    await notifier.silence(0.05)
    clock.advance(0)
    await notifier.refuse_subscribe(423, min_expires="7201")
    await notifier.silence(0.05)

    await again_at(notifier, clock, 23, 37)


@requirement("S3")
@pytest.mark.parametrize("way", ["2xx", "NOTIFY"])
async def test_s3_a_time_of_a_second_is_no_reason_for_a_flood(
    follow: Follow, notifier: Notifier, clock: ManualClock, way: str
) -> None:
    """Nor is it where a 2xx and a NOTIFY contradict each other."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="1" if way == "2xx" else "3600")
    await notifier.notify(request, "active;expires=1" if way == "NOTIFY" else "active")

    await again_at(notifier, clock, MIN_REFRESH - 0.1, MIN_REFRESH + 0.1)


# NOTIFYs


@requirement("S4")
async def test_s4_a_notify_makes_the_dialog_before_the_2xx(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """Whichever comes first (RFC 6665 4.4.1)."""
    follow()
    request = await notifier.next_request()
    await notifier.notify(request)

    assert heard.statuses == [ACTIVE]
    assert heard.bodies == [("text/echo", b"on")]


@requirement("S4")
async def test_s4_a_2xx_alone_is_no_subscription(
    follow: Follow, notifier: Notifier, heard: Heard, server: SipServer
) -> None:
    """Nothing is known before the NOTIFY."""
    follow()
    notifier.answer_subscribe(await notifier.next_request())
    await notifier.silence(0.05)

    assert heard.statuses == []


@requirement("S4")
async def test_s4_what_claims_to_answer_a_notify_answers_no_subscribe(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """The method has to be the same (RFC 3261 17.1.3): the right answer still counts."""
    follow()
    request = await notifier.next_request()
    answer = request.response(200)
    answer.headers = [
        (name, "1 NOTIFY" if name == "CSeq" else value)
        for name, value in answer.headers
    ]
    notifier.send(answer.encode())
    notifier.answer_subscribe(request, 489)
    await settle()

    assert heard.statuses == [SubscriptionStatus.NOT_SUPPORTED]


@requirement("S4")
@pytest.mark.parametrize(
    "headers",
    [
        {"Call-ID": "another"},
        {"To": "<sip:501@127.0.0.1>;tag=another"},
        {"To": "<sip:501@127.0.0.1>"},
        {"From": "<sip:501@127.0.0.1>;tag=another"},
        {"From": "<sip:501@127.0.0.1>"},
    ],
    ids=["Call-ID", "To tag", "no To tag", "From tag", "no From tag"],
)
async def test_s4_a_notify_of_another_dialog_is_481(
    follow: Follow, notifier: Notifier, heard: Heard, headers: dict[str, str]
) -> None:
    """Call-ID and both tags have to be right."""
    follow()
    request = await notifier.accept_subscribe()

    await notifier.notify(request, headers=headers, cseq=2, status=481)

    assert len(heard.bodies) == 1


@requirement("S4")
async def test_s4_a_notify_from_elsewhere_is_481(
    follow: Follow, notifier: Notifier, server: SipServer, heard: Heard
) -> None:
    """Whoever has seen the tags is not the server by that."""
    follow()
    request = await notifier.accept_subscribe()

    async with await Notifier.listen(("127.0.0.2", 0)) as stranger:
        stranger.towards(server.port)
        await stranger.notify(request, cseq=2, status=481)

    assert len(heard.bodies) == 1


@requirement("S4")
async def test_s4_the_server_may_notify_from_another_port(
    follow: Follow, notifier: Notifier, server: SipServer, heard: Heard
) -> None:
    """The address is what counts: some servers have several sockets."""
    follow()
    request = await notifier.accept_subscribe()

    async with await Notifier.listen() as other:
        other.towards(server.port)
        await other.notify(request, cseq=2)

    assert len(heard.bodies) == 2


@requirement("S4")
async def test_s4_a_fork_is_481(follow: Follow, notifier: Notifier) -> None:
    """The second server that a proxy has asked as well."""
    follow()
    request = await notifier.next_request()
    await notifier.notify(request)

    await notifier.notify(request, tag="fork", status=481)


@requirement("S5")
async def test_s5_an_unreadable_body_is_taken(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """200 at once: it is the floor above that reads it."""
    follow()
    request = await notifier.accept_subscribe()

    await notifier.notify(request, body=b"\xff\x00<", cseq=2)

    assert heard.bodies[-1] == ("text/echo", b"\xff\x00<")


@requirement("S5")
async def test_s5_another_event_is_489(follow: Follow, notifier: Notifier) -> None:
    """Even in our dialog."""
    follow()
    request = await notifier.accept_subscribe()

    await notifier.notify(request, headers={"Event": "dialog"}, cseq=2, status=489)


@requirement("S5")
async def test_s5_a_repeated_notify_is_answered_as_before(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """A retransmission is 200 again, and is not told twice."""
    follow()
    request = await notifier.accept_subscribe()
    data = notifier.notification(request, body=b"off", cseq=2)

    for _ in range(2):
        assert (await notifier.ask(data)).status == 200

    assert [body for _, body in heard.bodies] == [b"on", b"off"]


@requirement("S5")
async def test_s5_a_count_that_does_not_rise_is_500_and_the_state_asked_for(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """One that was overtaken says something that is not known: a refresh tells it."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="3600")
    await notifier.notify(request, cseq=5)

    notifier.send(notifier.notification(request, body=b"late", cseq=4))
    messages = [await notifier.next(), await notifier.next()]

    assert {getattr(message, "status", message.cseq[1]) for message in messages} == {
        500,
        "SUBSCRIBE",
    }
    assert len(heard.bodies) == 1


@requirement("S5")
async def test_s5_a_server_that_has_lost_count_is_subscribed_to_anew(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Else it would not be understood until its count is as high again."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="3600")
    await notifier.notify(request, cseq=500)
    clock.advance(60)
    notifier.send(notifier.notification(request, cseq=1))
    for _ in range(2):
        message = await notifier.next()
        if isinstance(message, Request):
            notifier.answer_subscribe(message, expires="3600")
    await notifier.notify(request, cseq=2, status=500)
    clock.advance(0)

    again = await notifier.next_request()

    assert again.get("Call-ID") != request.get("Call-ID")


@requirement("S5")
async def test_s5_a_line_that_is_removed_meanwhile_stays_so(
    follow: Follow,
    notifier: Notifier,
    clock: ManualClock,
    heard: Heard,
    server: SipServer,
) -> None:
    """No other subscription is begun, and no other status told."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="3600")
    await notifier.notify(request, cseq=5)
    for cseq in (4, 3):
        notifier.send(notifier.notification(request, cseq=cseq))
    await notifier.drained()
    server.following.remove("followed-1")
    clock.advance(0)

    assert heard.statuses == [ACTIVE]


@requirement("S6")
async def test_s6_without_a_notify_another_dialog_is_tried(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Timer N: 64*T1 after the 2xx."""
    follow()
    first = await notifier.next_request()
    notifier.answer_subscribe(first)
    await notifier.silence(0.05)

    second = await again_at(notifier, clock, 31.9, 32.1)

    assert second.get("Call-ID") != first.get("Call-ID")


@requirement("S6", "S12")
async def test_s6_a_server_that_never_notifies_is_asked_less_and_less(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """The second time after the first pause."""
    follow()
    for _ in range(2):
        notifier.answer_subscribe(await notifier.next_request())
        await notifier.silence(0.05)
        clock.advance(32.1)

    await again_at(notifier, clock, 20, 80)


# The end


@requirement("S7")
@pytest.mark.parametrize("reason", ["deactivated", "timeout"])
async def test_s7_what_ends_without_blame_is_begun_again_at_once(
    follow: Follow, notifier: Notifier, clock: ManualClock, reason: str
) -> None:
    """RFC 6665 4.1.3."""
    follow()
    request = await notifier.accept_subscribe()
    clock.advance(60)
    await notifier.notify(request, f"terminated;reason={reason}", cseq=2)

    clock.advance(0)

    assert (await notifier.next_request()).method == "SUBSCRIBE"


@requirement("S7")
async def test_s7_what_ends_at_once_again_is_not_begun_at_once_again(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Two programs that are polite to each other would never come to rest."""
    follow()
    request = await notifier.accept_subscribe()
    await notifier.notify(request, "terminated;reason=deactivated", cseq=2)

    await again_at(notifier, clock, 23, 37)


@requirement("S7")
@pytest.mark.parametrize("reason", ["probation", "giveup"])
async def test_s7_retry_after_is_waited_for(
    follow: Follow, notifier: Notifier, clock: ManualClock, reason: str
) -> None:
    """Where the server says so."""
    follow()
    request = await notifier.accept_subscribe()
    await notifier.notify(
        request, f"terminated;reason={reason};retry-after=500", cseq=2
    )

    await again_at(notifier, clock, 499, 601)


@requirement("S7")
@pytest.mark.parametrize(
    "end",
    [
        ";reason=probation",
        ";reason=giveup",
        "",
        ";reason=probation;retry-after=0",
        ";retry-after=soon",
    ],
)
async def test_s7_without_retry_after_it_is_a_short_pause(
    follow: Follow, notifier: Notifier, clock: ManualClock, end: str
) -> None:
    """The first of those that double."""
    follow()
    request = await notifier.accept_subscribe()
    await notifier.notify(request, f"terminated{end}", cseq=2)

    await again_at(notifier, clock, 23, 37)


@requirement("S7")
@pytest.mark.parametrize("reason", ["rejected", "noresource", "invariant"])
async def test_s7_what_is_not_wanted_is_asked_for_in_an_hour(
    follow: Follow,
    notifier: Notifier,
    clock: ManualClock,
    heard: Heard,
    reason: str,
) -> None:
    """Not before, whatever it is."""
    follow()
    request = await notifier.accept_subscribe()
    await notifier.notify(request, f"terminated;reason={reason}", cseq=2)
    assert heard.statuses == [ACTIVE, REFUSED]

    await again_at(notifier, clock, LONG_PAUSE - 1, 1.21 * LONG_PAUSE)


@requirement("S7")
async def test_s7_the_last_notify_is_told_too(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """Servers put the state into it."""
    follow()
    request = await notifier.accept_subscribe()
    await notifier.notify(request, "terminated;reason=probation", body=b"off", cseq=2)

    assert heard.bodies[-1] == ("text/echo", b"off")


@requirement("S7")
async def test_s7_freeswitchs_malformed_state_is_understood(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """`active, N` is active."""
    follow()
    request = await notifier.next_request()
    notifier.answer_subscribe(request, 202, expires="3600")
    await notifier.notify(request, "active, 3600")

    assert heard.statuses == [ACTIVE]


@requirement("S7")
async def test_s7_a_state_that_cannot_be_read_to_its_end_is_taken_as_far_as_it_goes(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """Nothing that a server writes is an error of ours."""
    follow()
    request = await notifier.next_request()
    await notifier.notify(request, 'active;expires="60')

    assert heard.statuses == [ACTIVE]


# Errors


@pytest.mark.usefixtures("steady")
@requirement("S8")
@pytest.mark.parametrize("status", [481, 404])
async def test_s8_a_dialog_that_the_server_has_forgotten_is_begun_anew(
    follow: Follow, notifier: Notifier, clock: ManualClock, status: int
) -> None:
    """It may have been restarted."""
    follow()
    first = await notifier.accept_subscribe()
    clock.advance(REFRESH)
    await notifier.refuse_subscribe(status)
    await notifier.silence(0.05)
    clock.advance(0)

    second = await notifier.next_request()

    assert second.get("Call-ID") != first.get("Call-ID")


@requirement("S8")
@pytest.mark.parametrize("status", [489, 405, 501])
async def test_s8_a_server_that_does_not_know_the_package_is_asked_in_an_hour(
    follow: Follow,
    notifier: Notifier,
    clock: ManualClock,
    heard: Heard,
    status: int,
) -> None:
    """It is said why."""
    line = follow()
    await notifier.refuse_subscribe(status)
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.NOT_SUPPORTED]
    assert line.subscriber.code == status

    await again_at(notifier, clock, LONG_PAUSE - 1, 1.21 * LONG_PAUSE)


@requirement("S8")
@pytest.mark.parametrize("status", [403, 404])
async def test_s8_a_line_that_is_not_there_is_asked_for_in_an_hour(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard, status: int
) -> None:
    """A server blocks who asks too often."""
    follow()
    await notifier.refuse_subscribe(status)
    await notifier.silence(0.05)
    assert heard.statuses == [REFUSED]

    await again_at(notifier, clock, LONG_PAUSE - 1, 1.21 * LONG_PAUSE)


@requirement("S8")
async def test_s8_a_refusal_does_not_put_off_what_was_begun_anew_meanwhile(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Somebody tries again by hand while the answer to the last try is under way."""
    line = follow()
    first = await notifier.next_request()
    line.subscriber.start(1.0)
    notifier.answer_subscribe(first, 503)
    await settle()
    clock.advance(1.0)

    second = await notifier.next_request()
    assert second.method == "SUBSCRIBE"
    assert second.get("Call-ID") != first.get("Call-ID")


@requirement("S8", "S14")
@pytest.mark.parametrize("refusal", [403, 489, 503])
@pytest.mark.parametrize("is_late", [False, True])
async def test_s8_a_registered_line_that_is_begun_anew_subscribes_at_once(
    follow: Follow, notifier: Notifier, clock: ManualClock, refusal: int, is_late: bool
) -> None:
    """Whatever pause its last refusal asks for, or the one that is under way."""
    line = follow(register=True)
    notifier.accept(await notifier.next_request())
    first = await notifier.next_request()
    if not is_late:
        notifier.answer_subscribe(first, refusal)
        await settle()
    line.start()
    clock.advance(0.1)
    register = await notifier.next_request()
    assert register.method == "REGISTER"
    if is_late:
        notifier.answer_subscribe(first, refusal)
        await settle()
    notifier.accept(register)

    second = await notifier.next_request()
    assert second.method == "SUBSCRIBE"
    assert second.get("Call-ID") != first.get("Call-ID")


@requirement("S8")
async def test_s8_a_timeout_at_a_proxy_is_one_of_the_server(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """408 says that nobody answered the one who sent it (RFC 3261 21.4.9)."""
    follow()
    await notifier.refuse_subscribe(408)
    await notifier.silence(0.05)
    assert heard.statuses == [SubscriptionStatus.UNREACHABLE]

    await again_at(notifier, clock, 23, 37)


@pytest.mark.usefixtures("steady")
@requirement("S8")
async def test_s8_pauses_double_up_to_half_an_hour(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """30 s, 60 s, … 30 min, each with jitter."""
    follow()
    request = await notifier.next_request()
    for pause in (30, 60, 120, 240, 480, 960, 1800, 1800):
        notifier.answer_subscribe(request, 500)
        await notifier.silence(0.05)
        request = await again_at(notifier, clock, pause - 0.5, pause + 0.4)

    assert MAX_BACK_OFF == 1800


async def unanswered(notifier: Notifier, clock: ManualClock, times: int) -> Request:
    """Leave so many SUBSCRIBEs without an answer; return the one that comes next."""
    for _ in range(times):
        clock.advance(32)
        await notifier.drained()
        clock.advance(50.4)
        request = await notifier.next_request()
        assert request.method == "SUBSCRIBE"
    return request


@pytest.mark.usefixtures("steady")
@requirement("S8")
async def test_s8_a_line_is_back_a_minute_after_a_long_outage(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """However long nobody has answered."""
    follow()
    await unanswered(notifier, clock, 40)


@pytest.mark.usefixtures("steady")
@requirement("S8")
async def test_s8_a_server_that_answers_again_is_not_left_for_long(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """One that is just starting may say 500 before it takes the line."""
    follow()
    request = await unanswered(notifier, clock, 20)
    notifier.answer_subscribe(request, 500)
    await notifier.drained()

    await again_at(notifier, clock, 49, 51)


@requirement("S8", "S12")
async def test_s12_many_lines_do_not_come_in_step_after_an_outage(
    built_server: SipServer, subscriber_config: SubscriberConfig, clock: ManualClock
) -> None:
    """500 lines that have lost their server at once, for two hours, are spread by then."""
    tries: list[float] = []

    class NoWay:
        def flow(self) -> Flow:
            tries.append(clock.monotonic())
            raise FlowError(errno.ENOTCONN, "There is no way")

        def speaks(self, flow: Flow) -> bool:
            return False

        def answered(self) -> None: ...

        def failed(self) -> None: ...

    class Nobody:
        def notified(self, content_type: str, body: bytes) -> None: ...

        def status_changed(self) -> None: ...

    lines = [
        Subscriber(
            subscriber_config,
            Package(),
            built_server.following,
            NoWay(),
            clock,
            Nobody(),
            {},
        )
        for _ in range(500)
    ]
    for line in lines:
        line.start()
    clock.advance(7200)
    tries.clear()
    counts = []
    for _ in range(6):
        before = len(tries)
        clock.advance(10)
        counts.append(len(tries) - before)
    for line in lines:
        line.stop()

    assert sum(counts) >= 500
    assert max(counts) < 200


@requirement("S12")
@pytest.mark.parametrize("wanted", [None, 60.0])
def test_s12_pauses_of_many_lines_differ(wanted: float | None) -> None:
    """Those that a server asks for too, which are never shorter than that."""
    pauses = [BackOff().pause(wanted) for _ in range(500)]

    assert max(pauses) - min(pauses) > 10
    assert min(pauses) >= (wanted or 24.0)


@requirement("S8")
async def test_s8_retry_after_is_honoured(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """RFC 3261 20.33."""
    follow()
    await notifier.refuse_subscribe(503, retry_after="100 (busy);duration=5")
    await notifier.silence(0.05)

    await again_at(notifier, clock, 99, 121)


@requirement("S8")
async def test_s8_a_redirection_is_not_followed(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """The password is for the server that is configured."""
    async with await Notifier.listen(("127.0.0.2", 0)) as other:
        follow()
        await notifier.refuse_subscribe(302, contact=other.contact)
        await other.silence()

    assert heard.statuses == [REFUSED]
    await again_at(notifier, clock, 20, 40)


@requirement("S8", "S16")
async def test_s8_no_answer_is_asked_again_after_a_pause(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """By timer F, and then less and less often."""
    follow()
    clock.advance(33)
    await notifier.drained()

    assert heard.statuses == [UNREACHABLE]
    await again_at(notifier, clock, 22, 38)


@pytest.mark.usefixtures("steady")
@requirement("S8")
async def test_s8_a_refresh_that_fails_for_now_leaves_the_subscription(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """RFC 6665 4.1.2.2: it is valid until its time is over."""
    follow()
    first = await notifier.accept_subscribe()
    clock.advance(REFRESH)
    await notifier.refuse_subscribe(500)
    await notifier.silence(0.05)
    assert heard.statuses == [ACTIVE]

    again = await again_at(notifier, clock, 29, 30.4)

    assert again.get("Call-ID") == first.get("Call-ID")


@pytest.mark.usefixtures("steady")
@requirement("S8", "S11")
async def test_s8_a_server_that_does_not_answer_a_refresh_is_unreachable(
    follow: Follow, notifier: Notifier, clock: ManualClock, heard: Heard
) -> None:
    """Until it answers again."""
    follow()
    await notifier.accept_subscribe()
    clock.advance(REFRESH)
    clock.advance(32)
    await notifier.drained()
    assert heard.statuses == [ACTIVE, UNREACHABLE]

    clock.advance(29.7)
    notifier.answer_subscribe(await notifier.next_request(), expires="3600")
    await notifier.silence(0.05)

    assert heard.statuses == [ACTIVE, UNREACHABLE, ACTIVE]


# What is asked for


@requirement("S9")
async def test_s9_a_change_is_a_subscribe_in_the_dialog_with_what_is_left(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """It is no refresh: Expires is what is left of the time."""
    line = follow()
    first = await notifier.accept_subscribe()
    clock.advance(1000)
    answers: list[int] = []

    line.subscriber.ask(b"please", answers.append)
    request = await notifier.next_request()
    notifier.answer_subscribe(request, 200, expires="2600")
    await notifier.silence(0.05)

    assert request.get("Call-ID") == first.get("Call-ID")
    assert request.body == b"please"
    assert request.get("Content-Type") == "text/echo"
    assert request.get("Expires") == "2600"
    assert answers == [200]


@requirement("S9", "S3")
async def test_s9_a_change_is_asked_for_as_long_as_the_server_wants(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """What is left of the time may be less than the least that it takes."""
    line = follow()
    await notifier.accept_subscribe()
    clock.advance(2800)
    answers: list[int] = []
    line.subscriber.ask(b"change", answers.append)
    refused = await notifier.next_request()
    assert refused.get("Expires") == "800"
    notifier.answer_subscribe(refused, 423, min_expires="1800")

    again = await notifier.next_request()
    notifier.answer_subscribe(again, expires="1800")
    await notifier.silence(0.05)

    assert (again.get("Expires"), again.body) == ("1800", b"change")
    assert answers == [200]


@requirement("S9")
async def test_s9_changes_go_one_after_the_other(
    follow: Follow, notifier: Notifier
) -> None:
    """The second waits for the answer to the first."""
    line = follow()
    await notifier.accept_subscribe()
    line.subscriber.ask(b"one", lambda _: None)
    line.subscriber.ask(b"two", lambda _: None)

    first = await notifier.next_request()
    await notifier.silence(0.05)
    notifier.answer_subscribe(first)
    second = await notifier.next_request()

    assert (first.body, second.body) == (b"one", b"two")


@requirement("S9")
async def test_s9_a_change_that_is_refused_leaves_the_subscription(
    follow: Follow, notifier: Notifier, heard: Heard
) -> None:
    """A server that does not take the body has not ended anything."""
    line = follow()
    await notifier.accept_subscribe()
    answers: list[int] = []
    line.subscriber.ask(b"nonsense", answers.append)
    await notifier.refuse_subscribe(415)
    await notifier.silence(0.05)

    assert answers == [415]
    assert heard.statuses == [ACTIVE]


@requirement("S9")
async def test_s9_without_a_subscription_a_change_fails_at_once(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """Nothing is kept for later."""
    line = follow()
    answers: list[int] = []
    line.subscriber.ask(b"please", answers.append)
    clock.advance(0)

    assert answers == [0]


# Many


@requirement("S12")
async def test_s12_first_subscriptions_of_many_lines_are_spread(
    built_server: SipServer,
    notifier: Notifier,
    follow_many: list[Heard],
    clock: ManualClock,
) -> None:
    """500 lines at one server begin over half a minute, not at once."""
    await built_server.start()
    try:
        counts = []
        for _ in range(6):
            clock.advance(SPREAD / 6)
            await asyncio.sleep(0)
            counts.append(len(built_server.following.requests))
    finally:
        await built_server.stop()

    begun = [now - before for before, now in zip([0, *counts], counts, strict=False)]
    assert sum(begun) == 500
    assert max(begun) < 150
    assert min(begun) > 40


@requirement("S12")
async def test_s12_refreshes_of_many_lines_are_spread(
    built_server: SipServer,
    notifier: Notifier,
    follow_many: list[Heard],
    clock: ManualClock,
) -> None:
    """500 subscriptions that began together are refreshed over a tenth of their time."""
    await built_server.start()
    try:
        notifier.towards(built_server.port)
        for heard in follow_many:
            assert heard.line is not None
            heard.line.subscriber.start()
            request = await notifier.next_request()
            notifier.answer_subscribe(request, expires="3600")
            await notifier.notify(request)
        clock.advance(0.79 * 3600)
        waiting = len(built_server.following.requests)
        # Nobody answers: each tells so 32 s after its refresh.
        counts = [0]
        for _ in range(14):
            clock.advance(32)
            counts.append(sum(UNREACHABLE in heard.statuses for heard in follow_many))
            await asyncio.sleep(0)
    finally:
        await built_server.stop()

    assert waiting == 0
    assert counts[-1] == 500
    assert max(now - before for before, now in pairwise(counts)) < 100


# Stop


@requirement("S13")
async def test_s13_a_stop_ends_the_subscriptions(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """With Expires 0, in the dialog."""
    follow()
    first = await notifier.accept_subscribe()

    ending = asyncio.create_task(server.following.end())
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="0")
    await ending

    assert request.get("Call-ID") == first.get("Call-ID")
    assert request.get("Expires") == "0"


@requirement("S13")
async def test_s13_a_line_that_is_removed_is_unsubscribed(
    follow: Follow, notifier: Notifier, server: SipServer
) -> None:
    """And what its server still tells is 481."""
    follow()
    first = await notifier.accept_subscribe()

    server.following.remove("followed-1")
    request = await notifier.next_request()
    notifier.answer_subscribe(request, expires="0")
    await notifier.silence(0.05)

    assert request.get("Expires") == "0"
    assert server.following.lines == {}
    response = await notifier.ask(notifier.notification(first, cseq=2))
    assert response.status in (405, 481)


@requirement("S16")
async def test_s16_requests_are_repeated_over_udp(
    follow: Follow, notifier: Notifier, clock: ManualClock
) -> None:
    """By timer E: after 0.5, 1, 2 and 4 s."""
    follow()
    first = await notifier.next_raw()
    for pause in (0.5, 1, 2, 4):
        clock.advance(pause)
        assert await notifier.next_raw() == first
