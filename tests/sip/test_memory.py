"""What outlives a restart: dialogs and bindings (row F28)."""

from collections.abc import Callable
from typing import Literal, cast

import pytest

from custom_components.dfks.sip import ServerConfig, SipServer
from custom_components.dfks.sip.snapshot import CSEQ_RESERVE, Snapshot
from tests.clock import ManualClock
from tests.phone import Request
from tests.phone.wire import address, parameter

from .caller import Caller, disconnected, reason_of, state_of
from .conftest import Connect, Restart
from .echo import LIGHT, TOPICS, Line, echoed, light
from .listening import ListeningPeer

requirement = pytest.mark.requirement

# The way back to a phone, as it is remembered.
FLOW = {
    "transport": "UDP",
    "remote": ["127.0.0.1", 5060],
    "local": ["127.0.0.1", 5060],
}


@requirement("F28")
async def test_f28_a_remembered_dialog_goes_on(
    caller: Caller, restart: Restart
) -> None:
    """The phone is told the full state, in its dialog, with a higher CSeq."""
    subscribed = await caller.subscribe({"Expires": "600"})

    echo = await restart()
    notify = await subscribed.told()
    await caller.log_in()
    refreshed = await subscribed.send(body=light(True))
    changed = await subscribed.told()

    assert list(echoed(notify)) == TOPICS
    assert notify.call_id == subscribed.response.call_id
    assert notify.from_tag == subscribed.tag
    assert state_of(notify) == "active;expires=570"
    assert notify.cseq[0] > subscribed.first.cseq[0] + CSEQ_RESERVE - 1
    assert refreshed.status == 200
    assert echoed(changed) == {LIGHT: "on"}
    assert echo.lines["line-201"].watchers == 1


@requirement("F28")
async def test_f28_cseq_rises_though_a_backup_is_restored(
    caller: Caller, restart: Restart
) -> None:
    """What was told after the backup was made is not told under the same numbers."""
    subscribed = await caller.subscribe()
    backup: list[Snapshot] = []
    await restart(change=backup.append)
    numbers = [(await subscribed.told()).cseq[0]]
    await caller.log_in()
    for on in (True, False):
        await subscribed.send(body=light(on))
        numbers.append((await subscribed.told()).cseq[0])

    await restart(change=lambda memory: memory.update(backup[0]))
    numbers.append((await subscribed.told()).cseq[0])

    assert numbers == sorted(set(numbers))


@requirement("F28", "A14")
@pytest.mark.parametrize("now", [0, 2_000_000_000, 4_102_444_800])
async def test_f28_a_wrong_clock_makes_no_cseq_that_is_too_low_or_too_high(
    caller: Caller, restart: Restart, clock: ManualClock, now: float
) -> None:
    """In 1970 what is remembered counts, and in 2100 there is room left."""
    subscribed = await caller.subscribe()

    def set_clock(_: Snapshot) -> None:
        clock.wall_offset = now - clock.monotonic()

    await restart(change=set_clock, grace=3600)
    notify = await subscribed.told()

    assert subscribed.first.cseq[0] + CSEQ_RESERVE <= notify.cseq[0] < 2**31 - 2**29


@requirement("F28")
async def test_f28_what_is_not_remembered_is_481(
    caller: Caller, restart: Restart
) -> None:
    """Phones subscribe anew then."""
    subscribed = await caller.subscribe()

    await restart(forget=True)
    await caller.log_in()
    response = await subscribed.send()

    assert response.status == 481
    assert (await caller.subscribe()).response.status == 200


@requirement("F28")
async def test_f28_what_has_ended_is_not_remembered(
    caller: Caller, server: SipServer
) -> None:
    """Even while its last NOTIFY is on its way."""
    subscribed = await caller.subscribe()
    await subscribed.send({"Expires": "0"})
    await subscribed.told(status=0)

    assert (await server.records())["dialogs"] == []


@requirement("F28", "B15")
async def test_f28_the_phones_cseq_is_remembered(
    caller: Caller, restart: Restart
) -> None:
    """A request that was seen before is none of now."""
    subscribed = await caller.subscribe({"CSeq": "7 SUBSCRIBE"})

    await restart()
    await subscribed.told()
    await caller.log_in()

    assert (await subscribed.send({"CSeq": "7 SUBSCRIBE"})).status == 500
    assert (await subscribed.send({"CSeq": "8 SUBSCRIBE"})).status == 200


@requirement("F28", "F12")
async def test_f28_what_expired_meanwhile_is_told(
    caller: Caller, restart: Restart, clock: ManualClock
) -> None:
    """Or not at all, where the phone is away."""
    subscribed = await caller.subscribe({"Expires": "60"})

    echo = await restart(away=61)
    clock.advance(1)
    came = await caller.so_far()

    assert echo.lines["line-201"].watchers == 0
    for message in came:
        assert isinstance(message, Request)
        assert reason_of(message) in ("", "timeout")
    await caller.log_in()
    assert (await subscribed.send()).status == 481


@requirement("F28")
@pytest.mark.parametrize(("expires", "left"), [("60", 270), ("600", 510)])
async def test_f28_a_last_refresh_that_was_not_written_is_allowed_for(
    caller: Caller, restart: Restart, expires: str, left: int
) -> None:
    """Expiries get some grace after a crash; a phone that needs none is told of none."""
    subscribed = await caller.subscribe({"Expires": expires})

    await restart(away=90, grace=300)

    assert state_of(await subscribed.told()) == f"active;expires={left}"


@requirement("F28")
async def test_f28_an_id_a_route_and_the_other_names_are_remembered(
    caller: Caller, restart: Restart
) -> None:
    """All that a NOTIFY is made of."""
    host, port = caller.local
    headers = {
        "Event": "Echo;id=7",
        "Record-Route": f"<sip:{host}:{port};lr>, <sip:p2.example;lr>",
        "Contact": '<sip:me@192.0.2.9>;+sip.instance="<urn:uuid:1>"',
        "From": '"Me" <sip:201@h>;tag=a%41',
    }
    subscribed = await caller.subscribe(headers)

    await restart()
    notify = await subscribed.told()

    for name in ("From", "To", "Call-ID", "Event", "Contact"):
        assert notify.get(name) == subscribed.first.get(name)
    assert notify.uri == subscribed.first.uri
    assert notify.values("Route") == subscribed.first.values("Route")


@requirement("F28", "F27")
async def test_f28_a_phone_that_rebooted_meanwhile_replaces_itself(
    caller: Caller, colleague: Caller, restart: Restart
) -> None:
    """Its instance is remembered as well."""
    instance = ';+sip.instance="<urn:uuid:1>"'
    old = await caller.subscribe({"Contact": f"{caller.contact}{instance}"})
    echo = await restart()
    await old.told()

    await colleague.subscribe({"Contact": f"{colleague.contact}{instance}"})

    assert echo.lines["line-201"].watchers == 1


@requirement("F28", "F16")
async def test_f28_a_phone_that_does_not_answer_is_suspended(
    caller: Caller, restart: Restart, clock: ManualClock
) -> None:
    """As ever; it is told everything when it is heard."""
    subscribed = await caller.subscribe()

    echo = await restart()
    await subscribed.told(status=0)
    clock.advance(32)
    await caller.so_far()
    connected = echo.lines["line-201"].connected
    await caller.call("REGISTER")
    await caller.log_in()
    await caller.call("REGISTER")
    notify = await subscribed.told()

    assert not connected
    assert list(echoed(notify)) == TOPICS


@requirement("F28", "E14", "F16")
@pytest.mark.parametrize("transport", ["tcp", "tls", "sctp"])
async def test_f28_a_phone_on_a_stream_is_told_when_it_is_back(
    connect: Connect, restart: Restart, transport: str
) -> None:
    """Its connection went with the server; a REGISTER over a new one will do.

    Nobody takes connections at its Contact, as behind NAT.
    """
    stream = await connect("tcp")
    contact = {"Contact": f"<sip:201@127.0.0.1:9;transport={transport}>"}
    subscribed = await stream.subscribe(contact)

    echo = await restart()
    again = await connect("tcp")
    await again.log_in()
    await again.call("REGISTER", contact)
    notify = await again.next_request()

    assert notify.call_id == subscribed.response.call_id
    assert list(echoed(notify)) == TOPICS
    assert echo.lines["line-201"].connected


@requirement("F28", "E14", "F16")
async def test_f28_a_phone_that_is_back_before_its_contact_is_given_up(
    connect: Connect, restart: Restart
) -> None:
    """The attempt to connect there takes ten seconds and is in vain."""
    async with await ListeningPeer.open(silent=True) as hole:
        stream = await connect("tcp")
        contact = {"Contact": f"<sip:201@127.0.0.1:{hole.port}>"}
        await stream.subscribe(contact)
        echo = await restart()
        again = await connect("tcp")
        await again.log_in()

        await again.call("REGISTER", contact)
        notify = await again.next_request()

        assert list(echoed(notify)) == TOPICS
        assert echo.lines["line-201"].connected


@requirement("F28")
async def test_f28_a_line_that_was_removed_meanwhile_is_left_out(
    caller: Caller, stranger: Caller, restart: Restart
) -> None:
    """The dialogs of the others go on."""
    await caller.call("REGISTER")
    await caller.subscribe()
    other = await stranger.subscribe()

    echo = await restart(lines=("202",))

    assert echoed(await other.told())
    assert echo.lines["line-202"].watchers == 1
    await caller.nothing()


@requirement("F28", "G13")
async def test_f28_bindings_are_remembered(caller: Caller, restart: Restart) -> None:
    """With what is left of them, order and parameters."""
    contacts = [
        '"N" <sip:a@h;x>;q=0.5;+sip.instance="<urn:uuid:1>";reg-id=1;expires=600',
        "<sip:b@h>;expires=60",
        "<sip:c@h>",
    ]
    await caller.call(
        "REGISTER", {"Contact": contacts, "Call-ID": "c", "CSeq": "5 REGISTER"}
    )

    await restart(away=100)
    await caller.log_in()
    query = await caller.call("REGISTER", {"Contact": None})
    lower = await caller.call(
        "REGISTER", {"Contact": "<sip:c@h>", "Call-ID": "c", "CSeq": "5 REGISTER"}
    )

    found = {
        address(value): parameter(value, "expires") for value in query.values("Contact")
    }
    assert found == {"sip:a@h;x": "500", "sip:c@h": "3500"}
    assert parameter(query.values("Contact")[0], "q") == "0.5"
    assert lower.status == 500


@requirement("F28", "G13")
async def test_f28_a_wall_clock_that_was_set_back_makes_nothing_immortal(
    caller: Caller, restart: Restart, clock: ManualClock
) -> None:
    """What is remembered lasts an hour at most, whatever time it is now."""

    def set_back(_: Snapshot) -> None:
        clock.wall_offset -= 30 * 86_400

    subscribed = await caller.subscribe()
    await caller.call("REGISTER")

    await restart(change=set_back)
    notify = await subscribed.told()
    await caller.log_in()
    query = await caller.call("REGISTER", {"Contact": None})

    assert state_of(notify) == "active;expires=3600"
    assert parameter(query.get("Contact"), "expires") == "3600"


def _spoil(
    kind: Literal["dialogs", "bindings"], name: str, value: object
) -> Callable[[Snapshot], None]:
    """Return what puts nonsense into the first record of a kind; None leaves out."""

    def change(memory: Snapshot) -> None:
        record = cast("dict[str, object]", memory[kind][0])
        record[name] = value
        if value is None:
            del record[name]

    return change


@requirement("F28")
@pytest.mark.parametrize(
    "change",
    [
        _spoil("dialogs", "call_id", None),
        _spoil("dialogs", "cseq", "many"),
        _spoil("dialogs", "flow", {}),
        _spoil("dialogs", "flow", {"transport": "UDP", "remote": [1], "local": [2]}),
        _spoil(
            "dialogs",
            "flow",
            {"transport": "UDP", "remote": ["::1", 5060], "local": ["::1", 5060]},
        ),
        _spoil("dialogs", "flow", {**FLOW, "remote": ["phone.example", 5060]}),
        _spoil("dialogs", "flow", {**FLOW, "remote": ["127.0.0.1", 70000]}),
        _spoil("dialogs", "target", "nowhere"),
        _spoil("dialogs", "target", "sip:a@h\r\nX: y"),
        _spoil("dialogs", "call_id", "a\r\nX: y"),
        _spoil("dialogs", "call_id", "a\rX: y"),
        _spoil("dialogs", "call_id", "a\nX: y"),
        _spoil("dialogs", "remote", "\u20ac"),
        _spoil("dialogs", "local", 7),
        _spoil("dialogs", "subscriptions", [{}]),
        _spoil("dialogs", "routes", 7),
        _spoil("dialogs", "subscriptions", []),
        _spoil("bindings", "contact", '"'),
        _spoil("bindings", "flow", None),
        _spoil("bindings", "line", "gone"),
        _spoil("bindings", "expires_at", "never"),
    ],
)
async def test_f28_a_record_that_is_no_good_is_left_out(
    caller: Caller,
    stranger: Caller,
    restart: Restart,
    change: Callable[[Snapshot], None],
) -> None:
    """That one alone: the others are taken back, and the server starts."""
    await caller.call("REGISTER")
    await stranger.call("REGISTER")
    await caller.subscribe()
    other = await stranger.subscribe()

    echo = await restart(change=change)

    spoilt, good = echo.lines["line-201"], echo.lines["line-202"]
    assert echoed(await other.told())
    assert (good.watchers, len(good.bindings)) == (1, 1)
    assert spoilt.watchers + len(spoilt.bindings) == 1


@requirement("F28", "F7")
async def test_f28_a_dialog_that_is_half_good_is_left_out_as_a_whole(
    caller: Caller, restart: Restart
) -> None:
    """What was understood of it is not told in a dialog that nobody knows."""
    subscribed = await caller.subscribe({"Event": "echo;id=1"})
    await subscribed.send({"Event": "echo;id=2"})
    await subscribed.told()

    def change(memory: Snapshot) -> None:
        memory["dialogs"][0]["subscriptions"][1]["expires_at"] = cast("float", "never")

    echo = await restart(change=change)
    await caller.log_in()

    assert (await subscribed.send()).status == 481
    assert echo.lines["line-201"].watchers == 0
    await caller.nothing()


@requirement("F28")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_f28_changes_are_announced(
    connect: Connect, server: SipServer, transport: str
) -> None:
    """What must be written at once, and what can wait."""
    said: list[bool] = []
    server.on_change = lambda *, urgent: said.append(urgent)
    caller = await connect(transport)
    await caller.call("REGISTER")
    bound = list(said)
    said.clear()
    subscribed = await caller.subscribe()
    opened = list(said)
    said.clear()
    await caller.call("REGISTER")
    await subscribed.send()
    await subscribed.told()
    refreshed = list(said)
    said.clear()
    await subscribed.send({"Expires": "0"})
    await subscribed.told()
    closed = list(said)

    assert bound == [True]
    assert True in opened
    assert refreshed and True not in refreshed
    assert True in closed


@requirement("F28", "E14")
async def test_f28_a_dialog_that_moves_is_written_at_once(
    caller: Caller, colleague: Caller, server: SipServer
) -> None:
    """After a crash the old address would be told, and nobody be there."""
    subscribed = await caller.subscribe()
    said: list[bool] = []
    server.on_change = lambda *, urgent: said.append(urgent)

    await colleague.ask(caller.sign(subscribed.request()))

    assert True in said


@requirement("F28", "E14")
async def test_f28_a_phone_that_is_back_by_another_connection_is_written_at_once(
    connect: Connect, server: SipServer, reception: Line
) -> None:
    """Its REGISTER alone, which changes no binding, could wait."""
    first, second = await connect("tcp"), await connect("tcp")
    contact = {"Contact": first.contact}
    await first.call("REGISTER", contact)
    await first.subscribe(contact)
    await first.close()
    await disconnected(reception)
    said: list[bool] = []
    server.on_change = lambda *, urgent: said.append(urgent)

    await second.call("REGISTER", contact)
    await second.next_request()

    assert True in said


@requirement("F28")
async def test_f28_a_dialog_that_uses_up_its_reserve_is_announced(
    caller: Caller, server: SipServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its count must be written before numbers could come twice."""
    monkeypatch.setattr("custom_components.dfks.sip.ua.notifier.CSEQ_RESERVE", 6)
    subscribed = await caller.subscribe()
    said: list[bool] = []
    server.on_change = lambda *, urgent: said.append(urgent)
    announced = []
    for on in (True, False, True, False):
        said.clear()
        await subscribed.send(body=light(on))
        await subscribed.told()
        announced.append(True in said)

    await server.records()
    said.clear()
    await subscribed.send(body=light(True))
    await subscribed.told()

    assert announced == [False, True, True, True]
    assert True not in said


@requirement("F28", "E16")
@pytest.mark.parametrize("config", [ServerConfig(host="0.0.0.0", port=0)], ids=["any"])
async def test_f28_the_address_that_was_written_to_is_remembered(
    connect: Connect, restart: Restart, server: SipServer
) -> None:
    """NOTIFYs come from there, as before."""
    caller = await connect(host="127.0.0.2", local=("127.0.0.1", 0))
    subscribed = await caller.subscribe()

    await restart()
    notify = await subscribed.told()

    assert caller.source == ("127.0.0.2", server.port)
    assert notify.get("Contact") == subscribed.first.get("Contact")


@requirement("F28", "E16")
@pytest.mark.parametrize("config", [ServerConfig(host="0.0.0.0", port=0)], ids=["any"])
async def test_f28_an_address_that_is_gone_is_replaced(
    connect: Connect, restart: Restart
) -> None:
    """The machine has another one now."""

    def move(memory: Snapshot) -> None:
        memory["dialogs"][0]["flow"]["local"][0] = "192.0.2.250"

    caller = await connect()
    subscribed = await caller.subscribe()

    await restart(change=move)
    notify = await subscribed.told()

    assert "@127.0.0.1:" in notify.get("Contact")


@requirement("F28")
async def test_f28_many_phones_are_told_a_few_at_a_time(
    caller: Caller,
    restart: Restart,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A restart is no reason for a flood."""
    host, port = caller.local
    for count in range(7):
        await caller.subscribe({"Contact": f"<sip:p{count}@{host}:{port}>"})
    monkeypatch.setattr("custom_components.dfks.sip.ua.restoring.SLICE", 3)

    await restart()
    counts = []
    for _ in range(4):
        counts.append(len(await caller.so_far()))
        clock.advance(0.06)

    assert counts == [3, 3, 1, 0]
