"""Section F: subscriptions and their NOTIFYs (RFC 6665), and what goes wrong there."""

from collections.abc import Callable
from functools import partial

import pytest

from custom_components.dfks.sip import ALL, ServerConfig, SipServer, Subscription
from tests.clock import ManualClock
from tests.phone.wire import address

from .caller import Caller, Subscribed, reason_of, state_of
from .conftest import ROOM_FOR_TWO, Connect
from .echo import BELL, DOOR, LIGHT, TOPICS, Echo, Line, echoed, light, say

requirement = pytest.mark.requirement

type Switch = Callable[[str, str], None]

REMOVING = [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]
KEEPING = [
    300,
    302,
    400,
    401,
    403,
    407,
    408,
    413,
    415,
    486,
    488,
    500,
    502,
    503,
    600,
    603,
]
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-0004f2{}>"'


@pytest.fixture
def switch(echo: Echo, reception: Line) -> Switch:
    """Return what changes a topic of line 201."""
    return partial(echo.change, reception)


# SUBSCRIBE and its answer


@requirement("F1", "F22")
@pytest.mark.parametrize("event", [None, "", "presence", "echo.winfo", "x", ";id=1"])
async def test_f1_no_or_another_event_is_489(caller: Caller, event: str | None) -> None:
    """Allow-Events says which would do."""
    response = await caller.call("SUBSCRIBE", {"Event": event})

    assert response.status == 489
    assert response.get("Allow-Events") == "echo"


@requirement("F1")
async def test_f1_a_malformed_event_is_400(caller: Caller) -> None:
    """The name is right, what follows is not."""
    response = await caller.call("SUBSCRIBE", {"Event": 'echo;id="'})

    assert response.status == 400


@requirement("F2", "F3")
@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (None, "3600"),
        ("3600", "3600"),
        ("60", "60"),
        ("1800", "1800"),
        ("3601", "3600"),
        ("2147483647", "3600"),
        ("4294967295", "3600"),
        ("0", "0"),
    ],
)
async def test_f2_expires_is_never_more_than_was_asked_for(
    caller: Caller, asked: str | None, granted: str
) -> None:
    """Nor more than an hour; without a wish it is an hour."""
    subscribed = await caller.subscribe({"Expires": asked})

    assert subscribed.response.get("Expires") == granted


@requirement("F2", "F3")
@pytest.mark.parametrize(
    "config", [ServerConfig(host="127.0.0.1", port=0, max_expires=300)], ids=["max 300"]
)
async def test_f2_the_maximum_is_an_option(caller: Caller) -> None:
    """Shorter than the phone wants, so that a dead one is noticed sooner."""
    subscribed = await caller.subscribe()

    assert subscribed.response.get("Expires") == "300"
    assert state_of(subscribed.first) == "active;expires=300"


@requirement("F3")
@pytest.mark.parametrize("expires", ["1", "5", "59"])
async def test_f3_too_short_is_423(
    caller: Caller, reception: Line, expires: str
) -> None:
    """Min-Expires says how long it must be."""
    response = await caller.call("SUBSCRIBE", {"Expires": expires})

    assert response.status == 423
    assert response.get("Min-Expires") == "60"
    assert reception.watchers == 0


@requirement("F3")
async def test_f3_a_refresh_that_is_too_short_keeps_the_subscription(
    caller: Caller, reception: Line
) -> None:
    """It goes on as it was."""
    subscribed = await caller.subscribe()

    response = await subscribed.send({"Expires": "5"})

    assert response.status == 423
    assert reception.watchers == 1
    await caller.nothing()


@requirement("F4", "B12")
async def test_f4_the_answer_does_not_wait_for_the_state(
    caller: Caller, echo: Echo, server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event package may have to look it up: the 200 is there before."""
    asking: list[Subscription] = []
    monkeypatch.setattr(echo, "send_full_state", asking.append)
    response = await caller.call("SUBSCRIBE")
    await caller.nothing()
    server.notifier.notify(asking[0], ALL)

    assert response.status == 200
    assert list(echoed(await caller.next_request())) == TOPICS


@requirement("F4", "F27")
async def test_f4_a_state_for_a_phone_that_is_gone_is_told_nobody(
    caller: Caller, echo: Echo, server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has rebooted while its state was looked up; only the new dialog is told."""
    asking: list[Subscription] = []
    monkeypatch.setattr(echo, "send_full_state", asking.append)
    await caller.call("SUBSCRIBE", {"Call-ID": "old"})
    await caller.call("SUBSCRIBE", {"Call-ID": "new"})
    for subscription in asking:
        server.notifier.notify(subscription, ALL)
    notify = await caller.next_request()

    assert len(asking) == 2
    assert notify.call_id == "new"
    await caller.nothing()


@requirement("F5")
async def test_f5_every_accepted_subscribe_is_followed_by_a_notify(
    caller: Caller,
) -> None:
    """Initial, refresh, unsubscribe and fetch, also when nothing has changed."""
    subscribed = await caller.subscribe()
    notifies = [subscribed.first]
    for expires in ("3600", "600", "0"):
        await subscribed.send({"Expires": expires})
        notifies.append(await subscribed.told())
    fetched = await caller.subscribe({"Expires": "0"})

    assert {notify.call_id for notify in notifies} == {subscribed.response.call_id}
    assert {notify.from_tag for notify in notifies} == {subscribed.tag}
    for notify in (*notifies, fetched.first):
        assert echoed(notify) == echoed(subscribed.first)
    await caller.nothing()


@requirement("F6")
@pytest.mark.parametrize("body", [b"", light(True), b"nonsense"])
async def test_f6_without_credentials_nothing_is_told(
    caller: Caller, reception: Line, body: bytes
) -> None:
    """401 comes first, whatever is asked for."""
    response = await caller.ask(caller.request("SUBSCRIBE", body=body))

    assert response.status == 401
    assert reception.texts == {}
    await caller.nothing()


@requirement("F6")
@pytest.mark.parametrize("body", [b"", say(BELL, "0900")])
async def test_f6_the_line_of_another_is_403(
    stranger: Caller, reception: Line, body: bytes
) -> None:
    """Nobody sees or changes what is another's."""
    response = await stranger.call(
        "SUBSCRIBE", {"To": "<sip:201@h>"}, body, uri="sip:201@h"
    )

    assert response.status == 403
    assert reception.texts == {}
    await stranger.nothing()


@requirement("F7", "F21")
async def test_f7_another_id_is_another_subscription(
    caller: Caller, reception: Line, switch: Switch
) -> None:
    """Both live in the one dialog and are told of each change."""
    subscribed = await caller.subscribe({"Event": "echo;id=7"})

    response = await subscribed.send({"Event": "Echo ; ID=8"})
    second = await subscribed.told()
    switch(LIGHT, "on")
    events = {(await subscribed.told()).get("Event") for _ in range(2)}

    assert response.status == 200
    assert reception.watchers == 2
    assert subscribed.first.get("Event") == "echo;id=7"
    assert second.get("Event") == "Echo ; ID=8"
    assert events == {"echo;id=7", "Echo ; ID=8"}


@requirement("F7", "F21")
async def test_f7_one_of_two_subscriptions_ends(
    caller: Caller, reception: Line, switch: Switch
) -> None:
    """The other one stays, and with it the dialog."""
    subscribed = await caller.subscribe({"Event": "echo;id=7"})
    await subscribed.send({"Event": "echo;id=8"})
    await subscribed.told()

    await subscribed.send({"Event": "echo;id=7", "Expires": "0"})
    last = await subscribed.told()
    switch(LIGHT, "on")
    other = await subscribed.told()

    assert reason_of(last) == "timeout"
    assert last.get("Event") == "echo;id=7"
    assert other.get("Event") == "echo;id=8"
    assert reception.watchers == 1
    await caller.nothing()


@requirement("F17", "F21")
async def test_f21_one_notify_at_a_time_in_a_shared_dialog(caller: Caller) -> None:
    """The second subscription waits for the answer to the first."""
    subscribed = await caller.subscribe({"Event": "echo;id=7"}, status=0)

    await subscribed.send({"Event": "echo;id=8"})
    await caller.nothing()
    await subscribed.answer(subscribed.first)
    second = await subscribed.told()

    assert second.get("Event") == "echo;id=8"
    assert second.cseq == (2, "NOTIFY")


@requirement("F12", "F21")
async def test_f21_a_phone_that_goes_silent_leaves_nothing_of_a_shared_dialog(
    caller: Caller, server: SipServer, echo: Echo, clock: ManualClock
) -> None:
    """The end of the second is told, and tried in vain, after that of the first."""
    subscribed = await caller.subscribe({"Event": "echo;id=7"})
    await subscribed.send({"Event": "echo;id=8"})
    await subscribed.told()

    echo.remove_line("line-201")
    first = await subscribed.told(0)
    clock.advance(32)
    told = {message.get("Event") for message in await caller.so_far()}
    clock.advance(32)

    assert first.get("Event") == "echo;id=7"
    assert told == {"echo;id=7", "echo;id=8"}
    assert server.counters()["subscriptions"] == 0
    assert server.counters()["dialogs"] == 0


@requirement("F8")
async def test_f8_the_seconds_left_stand_in_each_notify(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """They count down from what was granted."""
    subscribed = await caller.subscribe({"Expires": "600"})

    clock.advance(100)
    switch(LIGHT, "on")
    later = await subscribed.told()

    assert state_of(subscribed.first) == "active;expires=600"
    assert state_of(later) == "active;expires=500"


@requirement("F9")
async def test_f9_a_refresh_sets_a_new_expiry(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """Later or sooner than the one before."""
    subscribed = await caller.subscribe({"Expires": "600"})
    clock.advance(500)
    await caller.log_in()
    await subscribed.send({"Expires": "3600"})
    await subscribed.told()
    clock.advance(3000)
    still_there = reception.watchers
    await caller.log_in()
    await subscribed.send({"Expires": "60"})
    await subscribed.told()
    clock.advance(61)
    last = await subscribed.told()

    assert still_there == 1
    assert reason_of(last) == "timeout"


@requirement("F9", "F12")
async def test_f9_a_refreshed_subscription_ends_within_a_second_of_its_expiry(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """Not before it, whatever the fraction of a second of the refresh."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(0.375)
    await subscribed.send({"Expires": "60"})
    await subscribed.told()

    clock.advance(59.875)
    still_there = reception.watchers
    clock.advance(1.125)
    last = await subscribed.told()

    assert still_there == 1
    assert reason_of(last) == "timeout"


@requirement("F9", "F12", "F19")
@pytest.mark.parametrize("body", [b"", light(True)], ids=["refresh", "change"])
async def test_f9_after_expiry_it_is_481(
    caller: Caller, clock: ManualClock, reception: Line, body: bytes
) -> None:
    """The dialog is gone with its subscription."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(60)
    await subscribed.told()

    # Nonces live 300 s, so this one is still good.
    response = await subscribed.send(body=body)

    assert response.status == 481
    assert reception.texts == {}


@requirement("F9")
async def test_f9_a_refresh_while_the_last_notify_is_on_its_way_is_481(
    caller: Caller, clock: ManualClock
) -> None:
    """It has ended, even if the phone does not know yet."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(60)
    await subscribed.told(status=0)

    assert (await subscribed.send()).status == 481


@requirement("F10", "F19")
async def test_f10_expires_0_ends_it(caller: Caller, reception: Line) -> None:
    """200 with Expires 0, a last NOTIFY with the full state, then 481."""
    subscribed = await caller.subscribe()

    response = await subscribed.send({"Expires": "0"})
    last = await subscribed.told()
    after = await subscribed.send()

    assert (response.status, response.get("Expires")) == (200, "0")
    assert state_of(last) == "terminated;reason=timeout"
    assert list(echoed(last)) == TOPICS
    assert reception.watchers == 0
    assert after.status == 481


@requirement("F10", "F25")
async def test_f10_an_unsubscribe_may_bring_a_change(caller: Caller) -> None:
    """The last NOTIFY tells everything, the change included."""
    subscribed = await caller.subscribe()

    await subscribed.send({"Expires": "0"}, light(True))
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=timeout"
    assert echoed(last)[LIGHT] == "on"
    assert list(echoed(last)) == TOPICS
    await caller.nothing()


@requirement("F11")
async def test_f11_a_fetch_is_one_notify(caller: Caller, reception: Line) -> None:
    """With the full state, and nothing is left of it."""
    fetched = await caller.subscribe({"Expires": "0"})

    assert fetched.response.get("Expires") == "0"
    assert state_of(fetched.first) == "terminated;reason=timeout"
    assert list(echoed(fetched.first)) == TOPICS
    assert reception.watchers == 0
    assert (await fetched.send()).status == 481


@requirement("F11")
async def test_f11_a_fetch_leaves_the_subscription_alone(
    caller: Caller, reception: Line, switch: Switch
) -> None:
    """It comes from the same phone, and is no reboot."""
    subscribed = await caller.subscribe()

    await caller.subscribe({"Expires": "0"})
    switch(LIGHT, "on")
    notify = await subscribed.told()

    assert notify.call_id == subscribed.response.call_id
    assert reception.watchers == 1


@requirement("F12")
async def test_f12_expiry_is_told(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """To the second, with the full state."""
    subscribed = await caller.subscribe({"Expires": "60"})

    clock.advance(59.9)
    await caller.nothing()
    clock.advance(0.1)
    last = await subscribed.told()

    assert state_of(last) == "terminated;reason=timeout"
    assert list(echoed(last)) == TOPICS
    assert (reception.watchers, reception.connected) == (0, False)


@requirement("F12", "F17")
async def test_f12_expiry_while_a_notify_is_in_flight(
    caller: Caller, clock: ManualClock, reception: Line, switch: Switch
) -> None:
    """The last NOTIFY waits its turn."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(59)
    switch(LIGHT, "on")
    change = await subscribed.told(status=0)

    clock.advance(1)
    await caller.so_far()
    connected = reception.connected
    await subscribed.answer(change)
    last = await subscribed.told()

    assert not connected
    assert reason_of(last) == "timeout"
    assert echoed(last)[LIGHT] == "on"


@requirement("F12")
@pytest.mark.parametrize("status", [200, 481, 500, 0])
async def test_f12_whatever_the_answer_to_the_last_notify_it_is_over(
    caller: Caller, clock: ManualClock, server: SipServer, status: int
) -> None:
    """Even without one."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(60)
    await subscribed.told(status)
    clock.advance(32 if not status else 0)
    await caller.so_far()
    clock.advance(4000)

    assert not list(server.notifier)
    await caller.nothing()


@requirement("F13")
@pytest.mark.parametrize("reason", ["noresource", "deactivated"])
async def test_f13_the_phones_of_a_removed_line_are_told_the_reason(
    caller: Caller, stranger: Caller, echo: Echo, server: SipServer, reason: str
) -> None:
    """Other lines are not touched."""
    subscribed = await caller.subscribe()
    await stranger.subscribe()

    echo.remove_line("line-201", reason)
    last = await subscribed.told()

    assert state_of(last) == f"terminated;reason={reason}"
    assert [s.account.user for s in server.notifier] == ["202"]
    await stranger.nothing()


@requirement("F13")
async def test_f13_a_line_that_goes_while_a_notify_is_in_flight(
    caller: Caller, echo: Echo
) -> None:
    """The end is told when the phone has answered."""
    subscribed = await caller.subscribe(status=0)

    echo.remove_line("line-201")
    await caller.nothing()
    await subscribed.answer(subscribed.first)

    assert reason_of(await subscribed.told()) == "noresource"


@requirement("F13", "F12")
async def test_f13_a_line_that_goes_just_before_its_phone_would_expire(
    caller: Caller, echo: Echo, clock: ManualClock, switch: Switch
) -> None:
    """That the line is no more counts, when the phone can be told at last."""
    subscribed = await caller.subscribe({"Expires": "60"})
    clock.advance(50)
    switch(LIGHT, "on")
    notify = await subscribed.told(0)

    echo.remove_line("line-201")
    clock.advance(15)
    await caller.so_far()
    await subscribed.answer(notify)

    assert reason_of(await subscribed.told()) == "noresource"
    await caller.nothing()


@requirement("F13")
async def test_f13_a_line_that_goes_while_its_phone_asked_for_a_pause(
    caller: Caller, echo: Echo, switch: Switch
) -> None:
    """The end does not wait."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(503, retry_after="600")

    echo.remove_line("line-201")

    assert reason_of(await subscribed.told()) == "noresource"


@requirement("F13", "F28")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_f13_a_stop_is_silent(
    connect: Connect, server: SipServer, transport: str
) -> None:
    """It is no end of a subscription."""
    caller = await connect(transport)
    await caller.subscribe()

    await server.stop()

    await caller.silence(0.05)
    assert not list(server.notifier)


# Answers to a NOTIFY


@requirement("F14", "F15", "F19")
@pytest.mark.parametrize("status", REMOVING)
async def test_f15_answers_that_end_the_subscription(
    caller: Caller, reception: Line, switch: Switch, status: int
) -> None:
    """At once and in silence; the dialog goes with it."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")

    await subscribed.told(status)

    assert (reception.watchers, reception.connected) == (0, False)
    switch(LIGHT, "off")
    await caller.nothing()
    assert (await subscribed.send()).status == 481


@requirement("F15")
@pytest.mark.parametrize("status", REMOVING)
async def test_f15_not_even_retry_after_keeps_it(
    caller: Caller, reception: Line, status: int
) -> None:
    """The phone has said that it is over."""
    response = await caller.call("SUBSCRIBE")
    caller.answer(await caller.next_request(), status, retry_after="5")
    await caller.settle()

    assert response.status == 200
    assert reception.watchers == 0


@requirement("F15")
@pytest.mark.parametrize("status", KEEPING)
async def test_f15_answers_that_keep_the_subscription(
    caller: Caller, reception: Line, switch: Switch, status: int
) -> None:
    """What was not taken is told with the next change, and not before."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(status)
    await caller.nothing()

    switch(DOOR, "2424")
    notify = await subscribed.told()

    assert echoed(notify) == {LIGHT: "on", DOOR: "2424"}
    assert reception.watchers == 1


@requirement("F15")
async def test_f15_a_full_state_that_was_not_taken_is_owed(
    caller: Caller, switch: Switch
) -> None:
    """The next change brings all of it."""
    subscribed = await caller.subscribe(status=500)
    await caller.nothing()

    switch(LIGHT, "on")
    notify = await subscribed.told()

    assert list(echoed(notify)) == TOPICS


@requirement("F15")
async def test_f15_what_was_refused_before_is_owed_along_with_what_is_refused_next(
    caller: Caller, switch: Switch
) -> None:
    """A change before the full state was refused does not displace it."""
    subscribed = await caller.subscribe(status=0)
    switch(LIGHT, "on")
    await subscribed.answer(subscribed.first, 500)
    await subscribed.told(500)

    switch(DOOR, "2424")
    notify = await subscribed.told()

    assert list(echoed(notify)) == TOPICS


@requirement("F15")
async def test_f15_what_was_taken_later_is_not_told_again(
    caller: Caller, switch: Switch
) -> None:
    """A debt is paid once."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(500)
    switch(DOOR, "1")
    await subscribed.told(200)

    switch(BELL, "2")
    notify = await subscribed.told()

    assert list(echoed(notify)) == [BELL]


@requirement("F15")
@pytest.mark.parametrize(
    "retry_after", ["5", "5 (in a meeting)", "5;duration=60", "5 (x);duration=1"]
)
async def test_f15_retry_after_is_honoured(
    caller: Caller, clock: ManualClock, switch: Switch, retry_after: str
) -> None:
    """What was refused comes again after the pause, with what changed meanwhile."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(500, retry_after=retry_after)
    switch(DOOR, "2424")
    switch(LIGHT, "off")

    clock.advance(4.9)
    await caller.nothing()
    clock.advance(0.1)
    notify = await subscribed.told()

    assert echoed(notify) == {LIGHT: "off", DOOR: "2424"}
    await caller.nothing()


@requirement("F15")
async def test_f15_a_phone_that_asks_for_no_pause_gets_a_second(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """One that never takes it would otherwise be asked as fast as it answers."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(503, retry_after="0")

    clock.advance(0.9)
    await caller.nothing()
    clock.advance(0.1)

    assert echoed(await subscribed.told()) == {LIGHT: "on"}


@requirement("F15")
@pytest.mark.parametrize("retry_after", ["soon", "-1", "", "99999999999999"])
async def test_f15_a_malformed_retry_after_counts_as_none(
    caller: Caller, switch: Switch, retry_after: str
) -> None:
    """The debt waits for the next change."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(500, retry_after=retry_after)

    switch(DOOR, "1")

    assert list(echoed(await subscribed.told())) == [LIGHT, DOOR]


@requirement("F15")
@pytest.mark.parametrize(
    "config", [ServerConfig(host="127.0.0.1", port=0, max_expires=7200)], ids=["2 h"]
)
async def test_f15_retry_after_is_honoured_up_to_an_hour(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """A phone that asks for a day is asked again after an hour."""
    subscribed = await caller.subscribe({"Expires": "7200"})
    switch(LIGHT, "on")
    await subscribed.told(503, retry_after="86400")
    clock.advance(3599)
    await caller.nothing()

    clock.advance(1)

    assert echoed(await subscribed.told()) == {LIGHT: "on"}


@requirement("F12", "F15")
async def test_f15_the_end_does_not_wait_for_the_pause(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """The subscription expires when it should."""
    subscribed = await caller.subscribe({"Expires": "60"})
    switch(LIGHT, "on")
    await subscribed.told(503, retry_after="600")

    clock.advance(60)

    assert reason_of(await subscribed.told()) == "timeout"


@requirement("F15")
async def test_f15_a_refresh_ends_the_pause(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """The phone wants to know again."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await subscribed.told(503, retry_after="600")

    await subscribed.send()
    notify = await subscribed.told()

    assert echoed(notify)[LIGHT] == "on"
    clock.advance(600)
    await caller.nothing()


@requirement("F15")
@pytest.mark.parametrize("status", [400, 406, 415, 488])
async def test_f15_a_phone_that_does_not_read_anything_is_left_in_peace(
    caller: Caller, switch: Switch, clock: ManualClock, status: int
) -> None:
    """The package has no other form to try."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")

    await subscribed.told(status)
    clock.advance(600)

    await caller.nothing()


# Silence


async def silent(subscribed: Subscribed, clock: ManualClock) -> None:
    """Let 32 s pass in which the phone does not answer; take what comes meanwhile."""
    clock.advance(32)
    await subscribed.caller.so_far()


@requirement("F16", "D2")
async def test_f16_a_silent_phone_is_suspended(
    caller: Caller, clock: ManualClock, reception: Line, switch: Switch
) -> None:
    """It is not connected any more and not told of changes."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await silent(subscribed, clock)

    switch(DOOR, "1")

    assert (reception.watchers, reception.connected) == (0, False)
    await caller.nothing()


@requirement("F16")
@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE"])
async def test_f16_a_phone_that_is_heard_is_told_everything(
    caller: Caller, clock: ManualClock, reception: Line, switch: Switch, method: str
) -> None:
    """By REGISTER, or by a SUBSCRIBE that is refused."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await silent(subscribed, clock)
    switch(DOOR, "1")

    await caller.call(method, {"Require": "foo"})
    notify = await subscribed.told()

    assert echoed(notify)[LIGHT] == "on"
    assert echoed(notify)[DOOR] == "1"
    assert list(echoed(notify)) == TOPICS
    assert reception.connected
    await caller.nothing()


@requirement("F16")
async def test_f16_a_phone_that_was_heard_is_not_asked_again(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """It is told of changes only, as before it fell silent."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await silent(subscribed, clock)
    await caller.call("REGISTER")
    await subscribed.told()

    clock.advance(600)

    await caller.nothing()


@requirement("F16")
async def test_f16_a_refresh_of_a_suspended_phone_tells_everything(
    caller: Caller, clock: ManualClock, reception: Line, switch: Switch
) -> None:
    """Even where it brings a change, which alone would be told otherwise."""
    subscribed = await caller.subscribe()
    switch(DOOR, "1")
    await silent(subscribed, clock)

    await subscribed.send(body=light(True))
    notify = await subscribed.told()

    assert list(echoed(notify)) == TOPICS
    assert echoed(notify)[LIGHT] == "on"
    assert reception.connected


@requirement("F16")
async def test_f16_a_silent_phone_is_asked_every_five_minutes(
    caller: Caller, clock: ManualClock, reception: Line, switch: Switch
) -> None:
    """Until it answers; each time with the state of the moment."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    await silent(subscribed, clock)
    clock.advance(299)
    await caller.nothing()
    clock.advance(1)
    first = await subscribed.told(status=0)
    await silent(subscribed, clock)
    switch(DOOR, "1")
    clock.advance(300)
    second = await subscribed.told()

    assert echoed(first)[DOOR] == "off"
    assert echoed(second)[DOOR] == "1"
    assert second.cseq[0] > first.cseq[0] > subscribed.first.cseq[0]
    assert reception.connected


@requirement("F16", "F12")
async def test_f16_a_silent_phone_expires_in_silence(
    caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """There is nobody to tell."""
    subscribed = await caller.subscribe({"Expires": "120"}, status=0)
    await silent(subscribed, clock)

    clock.advance(88)

    await caller.nothing()
    assert not list(server.notifier)
    assert (await subscribed.send()).status == 481


@requirement("F16", "F14")
async def test_f16_a_removing_answer_ends_it_at_last(
    caller: Caller, clock: ManualClock, server: SipServer
) -> None:
    """The phone has rebooted and knows nothing of the dialog."""
    subscribed = await caller.subscribe(status=0)
    await silent(subscribed, clock)
    clock.advance(300)

    await subscribed.told(481)

    assert not list(server.notifier)


@requirement("F16")
async def test_f16_another_phone_of_the_line_is_not_the_one_that_was_silent(
    caller: Caller, colleague: Caller, clock: ManualClock, reception: Line
) -> None:
    """Two behind one address are told apart by their instances."""
    mine = f"{caller.contact};{INSTANCE.format('000001')}"
    theirs = f"{colleague.contact};{INSTANCE.format('000002')}"
    subscribed = await caller.subscribe({"Contact": mine}, status=0)
    await silent(subscribed, clock)

    await colleague.call("REGISTER", {"Contact": theirs})
    await caller.nothing()
    await colleague.call("REGISTER", {"Contact": mine})
    notify = await subscribed.told()

    assert list(echoed(notify)) == TOPICS
    assert reception.connected


@requirement("F16")
@pytest.mark.parametrize("moved", [True, False], ids=["the same phone", "another"])
async def test_f16_a_silent_phone_behind_nat_is_told_where_it_is_heard(
    caller: Caller, colleague: Caller, clock: ManualClock, moved: bool
) -> None:
    """The NAT has given it another port; only its instance says that it is the same."""
    behind_nat = "<sip:201@192.0.2.7:5060>;" + INSTANCE
    mine = behind_nat.format("000001")
    subscribed = await caller.subscribe({"Contact": mine}, status=0)
    await silent(subscribed, clock)

    await colleague.call(
        "REGISTER", {"Contact": mine if moved else behind_nat.format("000002")}
    )

    if moved:
        notify = await colleague.next_request()
        assert notify.call_id == subscribed.first.call_id
        assert list(echoed(notify)) == TOPICS
    else:
        await colleague.nothing()
    await caller.nothing()


@requirement("F16", "E14")
async def test_f16_a_silent_phone_without_instance_is_told_where_it_was(
    caller: Caller, colleague: Caller, clock: ManualClock
) -> None:
    """Another port of its address may be another phone behind the same NAT."""
    behind_nat = {"Contact": "<sip:201@192.0.2.7:5060>"}
    subscribed = await caller.subscribe(behind_nat, status=0)
    await silent(subscribed, clock)

    await colleague.call("REGISTER", behind_nat | {"Contact": "<sip:201@192.0.2.8>"})

    await colleague.nothing()
    assert list(echoed(await subscribed.told())) == TOPICS


@requirement("F16", "F13")
async def test_f16_a_suspended_phone_of_a_removed_line_is_told_the_end(
    caller: Caller, clock: ManualClock, echo: Echo
) -> None:
    """It may be back by now."""
    subscribed = await caller.subscribe(status=0)
    await silent(subscribed, clock)

    echo.remove_line("line-201")

    assert reason_of(await subscribed.told()) == "noresource"


@requirement("F16")
async def test_f16_a_malformed_contact_tells_nobody_apart(
    caller: Caller, clock: ManualClock
) -> None:
    """The address must do then."""
    subscribed = await caller.subscribe(status=0)
    await silent(subscribed, clock)

    response = await caller.call("REGISTER", {"Contact": '"+sip.instance, <sip:a@h>'})

    assert response.status == 400
    assert list(echoed(await subscribed.told())) == TOPICS


# One at a time


@requirement("F17")
async def test_f17_ten_changes_make_one_notify(caller: Caller, switch: Switch) -> None:
    """While one is in flight; then one more with the newest values."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    held = await subscribed.told(status=0)
    for count in range(9):
        switch(BELL, str(count))
    switch(DOOR, "2424")
    await caller.nothing()

    await subscribed.answer(held)
    notify = await subscribed.told()

    assert echoed(notify) == {
        BELL: "8",
        DOOR: "2424",
    }
    await caller.nothing()


@requirement("F17")
async def test_f17_a_full_state_includes_what_changed(
    caller: Caller, switch: Switch
) -> None:
    """A refresh while a NOTIFY is in flight: one full state follows."""
    subscribed = await caller.subscribe()
    switch(LIGHT, "on")
    held = await subscribed.told(status=0)
    await subscribed.send()
    switch(DOOR, "1")
    await caller.nothing()

    await subscribed.answer(held)
    notify = await subscribed.told()

    assert list(echoed(notify)) == TOPICS
    assert echoed(notify)[DOOR] == "1"
    await caller.nothing()


@requirement("F17")
@pytest.mark.parametrize(
    "config",
    [ServerConfig(host="127.0.0.1", port=0, max_subscriptions_per_line=None)],
    ids=["no limit"],
)
async def test_f17_many_watchers_are_told_in_slices(
    caller: Caller, clock: ManualClock, switch: Switch, reception: Line
) -> None:
    """Fifty at a time, so that the event loop gets its turn."""
    host, port = caller.local
    for count in range(60):
        await caller.subscribe({"Contact": f"<sip:p{count}@{host}:{port}>"})
    switch(LIGHT, "on")
    at_once = await caller.so_far()

    clock.advance(0)
    rest = await caller.so_far()

    assert reception.watchers == 60
    assert (len(at_once), len(rest)) == (50, 10)
    assert len({message.call_id for message in at_once + rest}) == 60


# What stands in messages


@requirement("F18")
@pytest.mark.parametrize("accept", [None, "", "text/plain", "*/*", "text/plain;q=0"])
async def test_f18_accept_does_not_matter(caller: Caller, accept: str | None) -> None:
    """What phones list there is not what they read."""
    subscribed = await caller.subscribe({"Accept": accept})

    assert list(echoed(subscribed.first)) == TOPICS


@requirement("F20")
@pytest.mark.parametrize("supported", ["timer", "gruu", "path, gruu, outbound", None])
async def test_f20_our_contact_is_plain(caller: Caller, supported: str | None) -> None:
    """No gr parameter, and nothing is required."""
    subscribed = await caller.subscribe({"Supported": supported})

    for message in (subscribed.response, subscribed.first):
        assert address(message.get("Contact")).startswith("sip:201@127.0.0.1:")
        assert ";" not in message.get("Contact")
        assert not message.has("Require")


@requirement("F22")
async def test_f22_allow_events_everywhere(caller: Caller) -> None:
    """In 2xx, NOTIFY, 489 and the answer to OPTIONS."""
    subscribed = await caller.subscribe()
    refused = await caller.call("SUBSCRIBE", {"Event": "presence"})
    options = await caller.ask(caller.request("OPTIONS"))

    for message in (subscribed.response, subscribed.first, refused, options):
        assert message.get("Allow-Events") == "echo"


@requirement("F24")
@pytest.mark.parametrize("event", ["echo", "presence", None])
async def test_f24_a_notify_to_us_is_405(caller: Caller, event: str | None) -> None:
    """We do not offer it."""
    data = caller.request(
        "NOTIFY", headers={"Event": event, "Subscription-State": "active"}
    )
    response = await caller.ask(data)

    assert response.status == 405
    assert "NOTIFY" not in response.get("Allow")


# The package


@requirement("F25")
async def test_f25_a_change_is_told_to_all_phones_of_the_line(
    caller: Caller, colleague: Caller, stranger: Caller, stream: Caller
) -> None:
    """The sender's too, and nobody else's."""
    phones = [await phone.subscribe() for phone in (caller, colleague, stream)]
    await stranger.subscribe()

    response = await phones[0].send(body=say(BELL, "2424"))
    notifies = [await phone.told() for phone in phones]

    assert response.status == 200
    for notify in notifies:
        assert echoed(notify) == {BELL: "2424"}
    for phone in (caller, colleague, stream, stranger):
        await phone.nothing()


@requirement("F25")
async def test_f25_an_initial_subscribe_may_bring_a_change(
    caller: Caller, colleague: Caller
) -> None:
    """It is told to those who watch already as well."""
    watching = await colleague.subscribe()

    subscribed = await caller.subscribe(body=light(True))

    assert echoed(subscribed.first) == {LIGHT: "on"}
    assert echoed(await watching.told()) == {LIGHT: "on"}


@requirement("F26")
async def test_f26_a_bad_body_in_a_dialog(caller: Caller) -> None:
    """400, nothing changes, the phone is set right, the dialog goes on."""
    subscribed = await caller.subscribe()

    response = await subscribed.send(body=b"nonsense")
    notify = await subscribed.told()
    after = await subscribed.send(body=light(True))
    changed = await subscribed.told()

    assert response.status == 400
    assert list(echoed(notify)) == TOPICS
    assert state_of(notify) == "active;expires=3600"
    assert after.status == 200
    assert echoed(changed) == {LIGHT: "on"}


@requirement("F26")
async def test_f26_a_bad_body_in_an_initial_subscribe(
    caller: Caller, reception: Line
) -> None:
    """400, and no subscription."""
    response = await caller.call("SUBSCRIBE", body=b"nonsense")

    assert response.status == 400
    assert (reception.watchers, reception.texts) == (0, {})
    await caller.nothing()


# Phones that come anew


@requirement("F27")
async def test_f27_a_rebooted_phone_replaces_itself_by_its_instance(
    caller: Caller, colleague: Caller, reception: Line, switch: Switch
) -> None:
    """It has another port now; the old dialog goes in silence."""
    instance = INSTANCE.format("000001")
    old = await caller.subscribe({"Contact": f"{caller.contact};{instance}"})

    new = await colleague.subscribe({"Contact": f"{colleague.contact};{instance}"})
    switch(LIGHT, "on")
    await new.told()

    assert reception.watchers == 1
    await caller.nothing()
    assert (await old.send()).status == 481


@requirement("F27")
async def test_f27_a_rebooted_phone_without_instance_by_contact_and_address(
    caller: Caller, reception: Line
) -> None:
    """Its Contact is what it was before."""
    await caller.subscribe()
    await caller.subscribe()

    assert reception.watchers == 1
    await caller.nothing()


@requirement("F27")
async def test_f27_a_reboot_while_a_notify_is_in_flight(
    caller: Caller, clock: ManualClock, reception: Line
) -> None:
    """The NOTIFY of the old dialog does not come again."""
    await caller.subscribe(status=0)
    new = await caller.subscribe()

    clock.advance(32)

    await caller.nothing()
    assert reception.watchers == 1
    assert new.first.cseq == (1, "NOTIFY")


@requirement("F27", "F21")
async def test_f27_a_reboot_does_not_hold_up_what_waits_in_the_old_dialog(
    caller: Caller, switch: Switch
) -> None:
    """A subscription with another id stays, and is told what it is owed."""
    old = await caller.subscribe({"Event": "echo;id=7"})
    await old.send({"Event": "echo;id=8"})
    await old.told()
    switch(LIGHT, "on")
    waits = await old.told(0)

    await caller.call("SUBSCRIBE", {"Event": "echo;id=7"})
    notifies = [await old.told(), await old.told()]

    assert waits.get("Event") == "echo;id=7"
    told = {notify.get("Event"): echoed(notify)[LIGHT] for notify in notifies}
    assert told == dict.fromkeys(("echo;id=7", "echo;id=8"), "on")


@requirement("F27")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"Contact": "<sip:a@h>"}, {"Contact": "<sip:b@h>"}),
        (
            {"Contact": f"<sip:a@h>;{INSTANCE.format('000001')}"},
            {"Contact": f"<sip:a@h>;{INSTANCE.format('000002')}"},
        ),
        (
            {"Contact": "<sip:a@h>"},
            {"Contact": f"<sip:a@h>;{INSTANCE.format('000002')}"},
        ),
        (
            {"Contact": "<sip:a@h>", "Event": "echo;id=1"},
            {"Contact": "<sip:a@h>", "Event": "echo;id=2"},
        ),
    ],
    ids=["contact", "instance", "one instance", "event id"],
)
async def test_f27_other_phones_are_not_replaced(
    caller: Caller, reception: Line, first: dict[str, str], second: dict[str, str]
) -> None:
    """Whatever tells them apart."""
    await caller.subscribe(first)
    await caller.subscribe(second)

    assert reception.watchers == 2


@requirement("F27")
async def test_f27_another_address_is_another_phone(
    connect: Connect, caller: Caller, reception: Line
) -> None:
    """Two phones may have the same private Contact behind two routers."""
    contact = {"Contact": "<sip:201@192.168.1.10>"}
    neighbour = await connect(local=("127.0.0.2", 0))

    await caller.subscribe(contact)
    await neighbour.subscribe(contact)

    assert reception.watchers == 2


@requirement("F27", "C7")
@ROOM_FOR_TWO
async def test_f27_the_oldest_subscription_makes_room_for_the_newest(
    caller: Caller, stranger: Caller, reception: Line
) -> None:
    """It ends, and may come again later; a reboot and other lines are not concerned."""
    oldest = await caller.subscribe({"Contact": "<sip:a@h>"})
    await caller.subscribe({"Contact": "<sip:b@h>"})

    answer = await caller.call("SUBSCRIBE", {"Contact": "<sip:c@h>"})
    last = await oldest.told()
    await oldest.told()
    await caller.subscribe({"Contact": "<sip:b@h>"})
    await stranger.subscribe()

    assert answer.status == 200
    assert last.call_id == oldest.first.call_id
    assert last.get("Subscription-State") == (
        "terminated;reason=probation;retry-after=300"
    )
    assert reception.watchers == 2
    await caller.nothing()


@requirement("F27", "C7")
@ROOM_FOR_TWO
async def test_f27_a_fetch_takes_nobodys_place(
    caller: Caller, server: SipServer, reception: Line
) -> None:
    """It is answered and ends; fetches that do not answer make room for each other."""
    await caller.subscribe({"Contact": "<sip:a@h>"})
    await caller.subscribe({"Contact": "<sip:b@h>"})

    statuses = [
        (
            await caller.call(
                "SUBSCRIBE", {"Contact": f"<sip:{contact}@h>", "Expires": "0"}
            )
        ).status
        for contact in "cdef"
    ]

    assert statuses == [200] * 4
    assert reception.watchers == 2
    assert server.counters()["subscriptions"] == 3


@requirement("F27", "C7")
@ROOM_FOR_TWO
async def test_f27_subscriptions_that_end_go_before_those_of_phones_that_are_there(
    caller: Caller, server: SipServer, reception: Line
) -> None:
    """Whoever does not answer the last NOTIFY does not keep the line full."""
    for contact in "abcdef":
        await caller.call("SUBSCRIBE", {"Contact": f"<sip:{contact}@h>"})

    assert reception.watchers == 2
    assert server.counters()["subscriptions"] == 3


@requirement("F27", "F7", "C7")
@ROOM_FOR_TWO
async def test_f27_subscriptions_of_one_dialog_are_limited_too(
    caller: Caller, reception: Line
) -> None:
    """503 with Retry-After; those that are there go on."""
    subscribed = await caller.subscribe({"Event": "echo;id=1"})
    await subscribed.send({"Event": "echo;id=2"})
    await subscribed.told()

    refused = await subscribed.send({"Event": "echo;id=3"})
    refreshed = await subscribed.send({"Event": "echo;id=2"})
    await subscribed.told()

    assert refused.status == 503
    assert refused.has("Retry-After")
    assert refreshed.status == 200
    assert reception.watchers == 2
    await caller.nothing()


@requirement("B19", "F16")
async def test_b19_cseq_rises_over_silence_and_refusal(
    caller: Caller, clock: ManualClock, switch: Switch
) -> None:
    """No number is used twice and none goes back, whatever happens to a NOTIFY."""
    subscribed = await caller.subscribe()
    numbers = [subscribed.first.cseq[0]]

    async def next_number(status: int, **headers: str) -> None:
        numbers.append((await subscribed.told(status, **headers)).cseq[0])

    switch(LIGHT, "on")
    await next_number(500)
    switch(DOOR, "1")
    await next_number(503, retry_after="1")
    clock.advance(1)
    await next_number(0)
    await silent(subscribed, clock)
    await caller.call("REGISTER")
    await next_number(200)

    assert numbers == sorted(set(numbers))
