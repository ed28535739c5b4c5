"""What goes back and forth between phones that tell back what they are told.

Phones are simulated with the time that a message takes to them; the clock stands still
in between, so each case is over at once.
"""

from collections.abc import Callable
import itertools
from typing import override

import pytest

from custom_components.dfks.features.model import (
    ChangeRequest,
    Feature,
    Line,
    NotifyStyle,
    Origin,
)
from custom_components.dfks.sip.server import SipServer
from tests.clock import ManualClock
from tests.phone import (
    BUSY,
    DND,
    FEATURES,
    Lamp,
    Request,
    Response,
    parse,
    set_dnd,
    set_forwarding,
)
from tests.phone.raw import branch
from tests.sip.wire import HERE, Wire

from .caller import lamps
from .wire import build

requirement = pytest.mark.requirement

# Seconds one way.
LATENCIES = [0.0, 0.005, 0.05, 0.2]

# SUBSCRIBEs with which all is over; without damping there are some hundred in 10 s.
FEW = 12

# Seconds in which all is over.
LONG = 20.0


class World:
    """A server without sockets, and the messages on their way."""

    def __init__(self) -> None:
        """Start with the lines 201 and 202."""
        self.clock = ManualClock()
        self.start = self.clock.monotonic()
        self.server: SipServer
        self.server, self.sync = build(self.clock)
        self.phones: list[SimulatedPhone] = []
        self.subscribes = 0
        # When each NOTIFY was sent for the first time, and what it told of DND.
        self.notifies: list[tuple[float, bool]] = []

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.start

    def after(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call back later."""

        def call() -> None:
            callback()

        self.clock.call_at(self.clock.monotonic() + seconds, call)

    def switch_after(self, seconds: float, status: bool) -> None:
        """Change do not disturb of line 201 later."""
        self.after(seconds, lambda: self.switch(status))

    def line(self, user: str = "201") -> Line:
        """Return a line."""
        return self.sync.lines[f"line-{user}"]

    def switch(self, status: bool, origin: Origin = Origin.ENTITY) -> None:
        """Change do not disturb of line 201 from Home Assistant."""
        self.change(Feature.DO_NOT_DISTURB, status, origin=origin)

    def change(
        self,
        feature: Feature,
        status: bool,
        forward_to: str | None = None,
        origin: Origin = Origin.ENTITY,
        user: str = "201",
    ) -> None:
        """Change a feature of a line from Home Assistant."""
        change = ChangeRequest(
            feature=feature, status=status, forward_to=forward_to, origin=origin
        )
        with pytest.raises(StopIteration):
            self.sync.change(f"line-{user}", change).send(None)

    def settle(self) -> None:
        """Let time pass until everything must be over; make sure that it is."""
        self.clock.advance(LONG)
        subscribes, notifies = self.subscribes, len(self.notifies)
        self.clock.advance(LONG)
        assert (self.subscribes, len(self.notifies)) == (subscribes, notifies)

    def assert_over(self, status: bool | None, *users: str) -> None:
        """Make sure that all have come to rest on one state, and which."""
        self.settle()
        shown = {phone.local for phone in self.phones}
        stored = {
            self.line(user).state(Feature.DO_NOT_DISTURB).status
            for user in users or ("201",)
        }
        assert len(shown | stored) == 1
        assert status is None or shown == {status}
        assert self.subscribes <= FEW


class PhoneWire(Wire):
    """The way to a phone, which takes its time."""

    def __init__(self, world: World, phone: SimulatedPhone, host: str) -> None:
        """Lead to a host."""
        super().__init__(host)
        self._world = world
        self._phone = phone

    @override
    def send(self, data: bytes) -> None:
        self._world.after(self._phone.latency, lambda: self._phone.take(data))


class SimulatedPhone:
    """A phone that tells back whatever a NOTIFY changes on it.

    `echo` off: it tells it back on its other lines only. All its lines have one DND.
    """

    numbers = itertools.count(1)

    def __init__(
        self, world: World, latency: float, *users: str, echo: bool = True
    ) -> None:
        """Subscribe for some lines."""
        self.world = world
        self.latency = latency
        self.echo = echo
        self.local = False
        self.answers = True
        self.number = next(self.numbers)
        self.wire = PhoneWire(world, self, f"10.0.1.{self.number % 250}")
        self.cseq = 0
        self.told: list[dict[str, Lamp]] = []
        self.to = {user: f"<sip:{user}@h>" for user in users}
        self._seen: set[str] = set()
        world.phones.append(self)
        for user in users:
            self.subscribe(user)
            world.clock.advance(1)
        world.subscribes = 0
        world.notifies.clear()

    def press(self) -> None:
        """Press the key: the phone changes its state and tells all its lines."""
        self.local = not self.local
        for user in self.to:
            self.subscribe(user, set_dnd(self.local))

    def unsubscribe(self, user: str, body: bytes) -> None:
        """Send a SUBSCRIBE that ends the subscription and brings a change."""
        self.subscribe(user, body, expires=0)

    def subscribe(
        self, user: str, body: bytes = b"", late: float = 0.0, *, expires: int = 3600
    ) -> None:
        """Send a SUBSCRIBE."""
        self.cseq += 1
        host = self.wire.remote[0]
        head = (
            f"SUBSCRIBE sip:{user}@{HERE[0]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:5060;branch={branch()}\r\n"
            f"From: <sip:{user}@h>;tag=t{self.number}\r\nTo: {self.to[user]}\r\n"
            f"Call-ID: c{self.number}-{user}\r\nCSeq: {self.cseq} SUBSCRIBE\r\n"
            f"Contact: <sip:{user}@{host}:5060>\r\nEvent: as-feature-event\r\n"
            f"Expires: {expires}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._deliver(head.encode() + body, late)
        self.world.subscribes += 1

    def _deliver(self, data: bytes, late: float = 0.0) -> None:
        server = self.world.server
        self.world.after(self.latency + late, lambda: server.receive(data, self.wire))

    def take(self, data: bytes) -> None:
        """Take what the server has sent."""
        message = parse(data)
        user = message.call_id.partition("-")[2]
        if isinstance(message, Response):
            assert message.status == 200
            self.to[user] = message.get("To")
            return
        if self.answers:
            self._deliver(message.response(200).encode())
        if message.branch not in self._seen:
            self._seen.add(message.branch)
            self._follow(user, message)

    def _follow(self, user: str, notify: Request) -> None:
        shown = lamps(notify)
        self.told.append(shown)
        if DND not in shown:
            return
        self.world.notifies.append((self.world.now - self.latency, shown[DND].on))
        if shown[DND].on is self.local:
            return
        self.local = shown[DND].on
        for other in self.to:
            if self.echo or other != user:
                self.subscribe(other, set_dnd(self.local), 0.001)


@pytest.fixture
def world() -> World:
    """Return a server."""
    return World()


latencies = pytest.mark.parametrize("latency", LATENCIES)


# It ends


@requirement("F30", "F31")
@latencies
@pytest.mark.parametrize(
    ("phones", "presses", "status"),
    [
        (1, (0.0, 0.02), False),
        (1, (0.0, 0.02, 0.04), None),
        (1, (0.0, 0.3), False),
        (1, (0.0, 0.5), False),
        (1, (0.0, 0.3, 0.6), None),
        (2, (0.0, 0.02), False),
        (3, (0.0, 0.02), False),
    ],
)
def test_f30_a_key_that_is_pressed_again_and_again_comes_to_rest(
    world: World,
    latency: float,
    phones: int,
    presses: tuple[float, ...],
    status: bool | None,
) -> None:
    """On what the last press asked for, on all phones."""
    pressed, *_ = [SimulatedPhone(world, latency, "201") for _ in range(phones)]

    for seconds in presses:
        world.after(seconds, pressed.press)

    world.assert_over(status)


@requirement("F30", "F31")
@latencies
@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("phones", [1, 2, 3])
def test_f30_a_switch_that_is_turned_on_and_off_comes_to_rest(
    world: World, latency: float, phones: int, echo: bool
) -> None:
    """On off, on all phones, whether they tell it back or not."""
    for _ in range(phones):
        SimulatedPhone(world, latency, "201", echo=echo)

    world.switch(True)
    world.switch_after(0.02, False)

    world.assert_over(False)


@requirement("F30", "F31")
@latencies
@pytest.mark.parametrize("echo", [True, False])
def test_f30_two_lines_of_one_phone_that_has_one_state_come_to_rest(
    world: World, latency: float, echo: bool
) -> None:
    """A NOTIFY for one line makes a SUBSCRIBE of the other."""
    SimulatedPhone(world, latency, "201", "202", echo=echo)

    world.switch(True)
    world.switch_after(0.02, False)
    world.switch_after(2.0, True)

    world.assert_over(True, "201", "202")


@requirement("F30", "F31")
@latencies
def test_f30_an_automation_that_never_rests_is_still_told(
    world: World, latency: float
) -> None:
    """At least every five seconds, and at last on what it ends on."""
    SimulatedPhone(world, latency, "201", echo=False)
    for count in range(100):
        world.switch_after(0.2 * count, count % 2 == 0)

    world.clock.advance(19.9)
    times = [0.0, *(at for at, _ in world.notifies), 19.9]
    world.switch(True)

    assert max(b - a for a, b in itertools.pairwise(times)) < 5.1
    assert len(times) > 5
    world.assert_over(True)


# When phones are told


def told_at(world: World) -> list[tuple[float, bool]]:
    """Return when DND was told, rounded, and what."""
    return [(round(at, 3), on) for at, on in world.notifies]


def restart_time(world: World) -> None:
    """Count from now on."""
    world.start = world.clock.monotonic()
    world.notifies.clear()


@pytest.fixture
def phone(world: World) -> SimulatedPhone:
    """Return a phone of line 201 that is next door and tells nothing back."""
    phone = SimulatedPhone(world, 0.0, "201", echo=False)
    restart_time(world)
    return phone


@requirement("F30")
def test_f30_a_reversal_is_told_after_a_quiet_of_300_ms(
    world: World, phone: SimulatedPhone
) -> None:
    """The first change is told at once."""
    world.switch(True)
    world.clock.advance(0.02)
    world.switch(False)
    world.clock.advance(10)

    assert told_at(world) == [(0.0, True), (0.32, False)]


@requirement("F30")
def test_f30_a_change_that_goes_back_after_a_second_is_told_at_once(
    world: World, phone: SimulatedPhone
) -> None:
    """It is a person who has thought about it."""
    world.switch(True)
    world.clock.advance(1.01)
    world.switch(False)
    world.clock.advance(10)

    assert told_at(world) == [(0.0, True), (1.01, False)]


@requirement("F30")
def test_f30_what_is_held_is_told_a_second_after_the_first_at_most(
    world: World, phone: SimulatedPhone
) -> None:
    """Though it never rests for as long as the quiet."""
    for count in range(20):
        world.switch(count % 2 == 0)
        world.clock.advance(0.25)

    assert [at for at, _ in told_at(world)][:2] == [0.0, 1.25]


@requirement("F30")
def test_f30_any_change_that_follows_a_held_one_begins_the_quiet_anew(
    world: World, phone: SimulatedPhone
) -> None:
    """Though it does not go back itself."""

    def forward(target: str) -> None:
        world.change(Feature.CALL_FORWARDING_BUSY, True, target)
        world.clock.advance(0.2)

    for target in ("1", "2", "1", "3"):
        forward(target)
    count = len(phone.told)
    world.clock.advance(0.09)
    before = len(phone.told)
    world.clock.advance(0.02)

    assert before == count
    assert phone.told[count:] == [{BUSY: Lamp(on=True, target="3")}]


@requirement("F30")
@pytest.mark.parametrize(("later", "held"), [(1.69, True), (1.71, False)])
def test_f30_after_a_longer_quiet_a_reversal_may_come_later(
    world: World, phone: SimulatedPhone, later: float, held: bool
) -> None:
    """Twice the quiet and half a second: a phone has to be told before it reacts."""
    for count in range(3):
        world.switch(count % 2 == 0)
        world.clock.advance(0.31)
    world.clock.advance(later - 0.31)
    restart_time(world)

    world.switch(False)
    world.clock.advance(0)

    assert told_at(world) == ([] if held else [(0.0, False)])


@requirement("F30")
def test_f30_each_further_reversal_doubles_the_quiet(
    world: World, phone: SimulatedPhone
) -> None:
    """Up to 4.8 s; after five calm seconds it is 300 ms again."""
    quiets = []
    on = False
    for calm in (0, *[0.01] * 6, 11):
        world.clock.advance(calm)
        restart_time(world)
        if not calm or calm > 1:
            on = not on
            world.switch(on)
        on = not on
        world.switch(on)
        while (world.now, on) and (not world.notifies or world.notifies[-1][1] != on):
            world.clock.advance(0.05)
        quiets.append(round(world.notifies[-1][0], 3))

    assert quiets == [0.3, 0.6, 1.2, 2.4, 4.8, 4.8, 4.8, 0.3]


@requirement("F30")
@pytest.mark.parametrize("later", [11, 60])
def test_f30_a_window_that_grew_with_the_quiet_shrinks_again(
    world: World, phone: SimulatedPhone, later: float
) -> None:
    """A person who goes back after three seconds is not held for what was long ago."""
    for count in range(24):
        world.switch(count % 2 == 0)
        world.clock.advance(0.5)
    world.clock.advance(later)
    restart_time(world)

    world.switch(not stored(world))
    world.clock.advance(3)
    world.switch(not stored(world))
    world.clock.advance(0)

    assert [at for at, _ in told_at(world)] == [0.0, 3.0]


@requirement("F30")
def test_f30_a_line_that_is_removed_while_a_change_is_held_ends_at_once(
    world: World, phone: SimulatedPhone
) -> None:
    """Its last NOTIFY says that there is no such line; nothing comes after it."""
    world.switch(True)
    world.switch(False)
    world.clock.advance(0)
    count = len(phone.told)

    world.sync.remove_line("line-201")
    world.clock.advance(30)

    assert len(phone.told) == count + 1
    assert phone.told[-1] == {}


@requirement("F30")
def test_f30_the_last_of_several_last_notifies_waits_for_nothing(
    world: World,
) -> None:
    """A phone that gets one feature at a time is told all of them as it leaves."""
    phone = SimulatedPhone(world, 0.05, "201", echo=False)
    world.line().style = NotifyStyle.SEPARATE
    phone.subscribe("201", expires=0)
    world.clock.advance(0.06)

    for status in (True, False, True):
        world.change(Feature.CALL_FORWARDING_NO_ANSWER, status, "1")
    world.clock.advance(30)

    assert [*itertools.chain(*phone.told[1:])] == [*FEATURES]
    assert world.line().watchers == 0


@requirement("F30")
def test_f30_other_states_are_told_at_once(world: World, phone: SimulatedPhone) -> None:
    """A forwarding that gets another target goes on, it does not go back."""
    for target in ("1", "2", "3"):
        world.change(Feature.CALL_FORWARDING_BUSY, True, target)
        world.clock.advance(0)
        assert phone.told[-1] == {BUSY: Lamp(on=True, target=target)}


@requirement("F30")
def test_f30_other_features_of_the_line_are_told_at_once(
    world: World, phone: SimulatedPhone
) -> None:
    """And what is held is not told with them."""
    world.switch(True)
    world.switch(False)

    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.clock.advance(0)
    at_once = list(phone.told[-2:])
    world.clock.advance(0.3)

    assert at_once == [{DND: Lamp(on=True)}, {BUSY: Lamp(on=True, target="1")}]
    assert phone.told[-1] == {DND: Lamp(on=False)}


@requirement("F30")
def test_f30_what_waits_behind_a_notify_is_held_as_well(world: World) -> None:
    """It would tell the newest state, which is the reversal."""
    phone = SimulatedPhone(world, 0.05, "201", echo=False)
    restart_time(world)
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.switch(True)
    world.clock.advance(0.01)

    world.switch(False)
    world.clock.advance(0.25)
    before = list(phone.told[1:])
    world.clock.advance(0.2)

    assert before == [{BUSY: Lamp(on=True, target="1")}]
    assert phone.told[-1] == {DND: Lamp(on=False)}


@requirement("F30", "F5")
def test_f30_a_full_state_waits_for_nothing(
    world: World, phone: SimulatedPhone
) -> None:
    """A phone that asks for it, or that is new, gets the newest."""
    world.switch(True)
    world.clock.advance(0.01)
    world.switch(False)

    phone.subscribe("201")
    world.clock.advance(0)

    assert len(phone.told[-1]) == 4
    assert phone.told[-1][DND] == Lamp(on=False)


@requirement("F30", "F10")
def test_f30_an_unsubscribe_that_brings_a_reversal_ends_at_once(
    world: World, phone: SimulatedPhone
) -> None:
    """Its last NOTIFY tells the newest state, and no other one follows."""
    other = SimulatedPhone(world, 0.0, "201", echo=False)
    for on in (True, False, True):
        world.switch(on)
        world.clock.advance(0.4)

    phone.unsubscribe("201", set_dnd(False))
    world.clock.advance(0)
    last = phone.told[-1]
    count = len(phone.told)
    world.clock.advance(30)

    assert last[DND] == Lamp(on=False)
    assert len(phone.told) == count
    assert other.told[-1][DND] == Lamp(on=False)
    assert world.line().watchers == 1


@requirement("F30", "F10")
def test_f30_an_unsubscribe_that_asks_for_what_is_held_ends_at_once(
    world: World, phone: SimulatedPhone
) -> None:
    """It changes nothing, and waits for nothing."""
    world.switch(True)
    world.switch(False)
    world.clock.advance(0)

    phone.unsubscribe("201", set_dnd(False))
    world.clock.advance(0)
    last = phone.told[-1]
    world.clock.advance(10)

    assert last[DND] == Lamp(on=False)
    assert phone.told[-1] is last


@requirement("F30")
def test_f30_a_key_that_changes_nothing_waits_with_the_others(
    world: World, phone: SimulatedPhone
) -> None:
    """Its phone is told once, after the quiet."""
    world.switch(True)
    world.clock.advance(0.01)
    world.switch(False)

    phone.subscribe("201", set_dnd(False))
    phone.subscribe("201", set_dnd(False))
    world.clock.advance(10)

    assert told_at(world) == [(0.0, True), (0.31, False)]


@requirement("F30", "F25")
def test_f30_an_action_that_changes_nothing_tells_all_after_the_quiet(
    world: World, phone: SimulatedPhone
) -> None:
    """Where nothing is held it tells them at once."""
    world.switch(False, Origin.ACTION)
    world.clock.advance(0)
    at_once = told_at(world)
    world.switch(True)
    world.switch(False)
    world.switch(False, Origin.ACTION)
    world.clock.advance(10)

    assert at_once == [(0.0, False)]
    assert told_at(world)[-1] == (0.3, False)


# Echoes


@pytest.fixture
def distant(world: World) -> SimulatedPhone:
    """Return a phone that answers after 100 ms, and presses no key by itself."""
    phone = SimulatedPhone(world, 0.05, "201", echo=False)
    restart_time(world)
    return phone


def wish(phone: SimulatedPhone, body: bytes) -> None:
    """Send a change that reaches the server at once."""
    latency, phone.latency = phone.latency, 0.0
    phone.subscribe("201", body)
    phone.world.clock.advance(0)
    phone.latency = latency


def stored(world: World) -> bool:
    """Return whether DND is on."""
    return world.line().state(Feature.DO_NOT_DISTURB).status


@requirement("F31")
def test_f31_a_wish_for_what_is_in_flight_changes_nothing(
    world: World, distant: SimulatedPhone
) -> None:
    """The phone is told the state after the quiet."""
    world.switch(True)
    world.switch(False)

    wish(distant, set_dnd(True))
    state = stored(world)
    world.clock.advance(10)

    assert not state
    assert told_at(world) == [(0.0, True), (0.3, False)]


@requirement("F31")
@pytest.mark.parametrize(("later", "echo"), [(0.24, True), (0.26, False)])
def test_f31_a_wish_for_what_was_answered_within_250_ms_changes_nothing(
    world: World, distant: SimulatedPhone, later: float, echo: bool
) -> None:
    """Later it is somebody at the key."""
    world.switch(True)
    world.clock.advance(0.1)
    world.switch(False)
    world.clock.advance(later)

    wish(distant, set_dnd(True))

    assert stored(world) is not echo


@requirement("F31")
def test_f31_a_wish_for_another_state_is_none(
    world: World, distant: SimulatedPhone
) -> None:
    """Somebody has pressed the key while the NOTIFY was on its way."""
    world.switch(True)

    wish(distant, set_dnd(False))

    assert not stored(world)


@requirement("F31")
def test_f31_another_phone_may_want_what_is_in_flight_to_one(
    world: World, distant: SimulatedPhone
) -> None:
    """It was told the newest state already."""
    near = SimulatedPhone(world, 0.0, "201", echo=False)
    world.switch(True)
    world.clock.advance(0.02)
    world.switch(False)
    world.clock.advance(0.5)

    near.subscribe("201", set_dnd(True))
    world.clock.advance(0)

    assert stored(world)


@requirement("F31")
@pytest.mark.parametrize("target", ["1", None])
def test_f31_a_target_is_told_back_as_well(
    world: World, distant: SimulatedPhone, target: str | None
) -> None:
    """A phone may leave it out: that keeps what it was told."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.change(Feature.CALL_FORWARDING_BUSY, False)

    wish(distant, set_forwarding("busy", True, target))

    assert not world.line().state(Feature.CALL_FORWARDING_BUSY).status


@requirement("F31")
def test_f31_a_wish_for_a_new_target_is_none(
    world: World, distant: SimulatedPhone
) -> None:
    """Nobody has told the phone."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.change(Feature.CALL_FORWARDING_BUSY, False)

    wish(distant, set_forwarding("busy", True, "2"))

    assert world.line().state(Feature.CALL_FORWARDING_BUSY).forward_to == "2"


@requirement("F31")
def test_f31_a_wish_for_what_was_answered_just_before_another_is_an_echo(
    world: World, distant: SimulatedPhone
) -> None:
    """A scene changes several features, and a phone tells them back one by one."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.switch(True)
    world.clock.advance(0.22)
    world.change(Feature.CALL_FORWARDING_BUSY, False)

    wish(distant, set_forwarding("busy", True, "1"))

    assert not world.line().state(Feature.CALL_FORWARDING_BUSY).status


@requirement("F31")
@pytest.mark.parametrize(("later", "echo"), [(0.1, True), (0.18, False)])
def test_f31_what_was_answered_since_makes_no_wish_an_echo_for_longer(
    world: World, distant: SimulatedPhone, later: float, echo: bool
) -> None:
    """Each state counts from its own answer, however many follow it."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.clock.advance(0.1)
    world.switch(True)
    world.clock.advance(0.1)
    world.change(Feature.CALL_FORWARDING_ALWAYS, True, "3")
    world.clock.advance(later)
    world.change(Feature.CALL_FORWARDING_BUSY, False)

    wish(distant, set_forwarding("busy", True, "1"))

    assert world.line().state(Feature.CALL_FORWARDING_BUSY).status is not echo


@requirement("F31")
def test_f31_a_wish_after_the_newest_state_was_answered_is_none(
    world: World, distant: SimulatedPhone
) -> None:
    """Though the phone has answered the state before only a moment ago as well."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.change(Feature.CALL_FORWARDING_BUSY, True, "2")
    world.clock.advance(0.25)

    wish(distant, set_forwarding("busy", True, "1"))

    assert world.line().state(Feature.CALL_FORWARDING_BUSY).forward_to == "1"


@requirement("F31")
def test_f31_several_echoes_of_a_phone_are_answered_once(
    world: World, distant: SimulatedPhone
) -> None:
    """After the quiet, which the last of them begins; so is what changes nothing."""
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.change(Feature.CALL_FORWARDING_BUSY, True, "2")
    world.clock.advance(0.06)
    told = len(distant.told)

    for target in ("1", "1", "2", "2"):
        wish(distant, set_forwarding("busy", True, target))
        world.clock.advance(0.01)
    world.clock.advance(0.29)
    before = len(distant.told)
    world.clock.advance(10)

    assert before == told
    assert len(distant.told) == told + 1


@requirement("F31")
def test_f31_an_echo_is_answered_with_the_state_though_nothing_else_is_held(
    world: World, distant: SimulatedPhone
) -> None:
    """Its sender alone is told, once more."""
    near = SimulatedPhone(world, 0.0, "201", echo=False)
    world.change(Feature.CALL_FORWARDING_BUSY, True, "1")
    world.change(Feature.CALL_FORWARDING_BUSY, True, "2")
    world.clock.advance(0)
    told = len(near.told)

    wish(distant, set_forwarding("busy", True, "1"))
    world.clock.advance(10)

    assert world.line().state(Feature.CALL_FORWARDING_BUSY).forward_to == "2"
    assert distant.told[-1] == {BUSY: Lamp(on=True, target="2")}
    assert len(near.told) == told


@requirement("F30", "F31")
def test_f30_a_reversal_after_calm_is_not_held_for_the_quiet_of_an_echo(
    world: World, distant: SimulatedPhone
) -> None:
    """Though the quiet was long when the echo came."""

    def forward(target: str) -> None:
        world.change(Feature.CALL_FORWARDING_BUSY, True, target)

    for count in range(24):
        forward(str(count % 2))
        world.clock.advance(0.5)
    world.clock.advance(4.7)
    forward("9")
    world.clock.advance(0.01)
    forward("8")
    wish(distant, set_forwarding("busy", True, "9"))
    world.clock.advance(0.2)
    count = len(distant.told)

    forward("9")
    world.clock.advance(0.3 + distant.latency)

    assert len(distant.told) == count + 1
    assert distant.told[-1] == {BUSY: Lamp(on=True, target="9")}


@requirement("F31", "F10")
@pytest.mark.parametrize("later", [0.0, 0.15])
def test_f31_an_unsubscribe_that_brings_an_echo_ends_all_the_same(
    world: World, distant: SimulatedPhone, later: float
) -> None:
    """With the state as it is, as soon as no NOTIFY is in flight."""
    world.switch(True)
    world.clock.advance(later)
    world.switch(False)

    distant.unsubscribe("201", set_dnd(True))
    world.clock.advance(0.16)
    last = distant.told[-1]
    world.clock.advance(10)

    assert not stored(world)
    assert last[DND] == Lamp(on=False)
    assert distant.told[-1] is last
    assert world.line().watchers == 0


# What is remembered


@requirement("F30")
def test_f30_the_last_states_are_remembered_by_when_they_were_left(
    world: World, phone: SimulatedPhone
) -> None:
    """Sixteen of a feature; not by when it had them for the first time."""
    for target in ("a", "b", "a", *map(str, range(16))):
        world.change(Feature.CALL_FORWARDING_BUSY, True, target)
    world.clock.advance(0.35)
    count = len(phone.told)

    world.change(Feature.CALL_FORWARDING_BUSY, True, "a")
    world.clock.advance(0)

    assert len(phone.told) == count


@requirement("F30")
def test_f30_what_is_held_stays_so_while_other_lines_change(
    world: World, phone: SimulatedPhone
) -> None:
    """Though what was long ago is forgotten just then."""
    world.switch(True)
    world.clock.advance(11)
    world.switch(False)
    world.switch(True)
    world.clock.advance(0.15)
    world.change(Feature.DO_NOT_DISTURB, True, user="202")
    count = len(phone.told)

    world.switch(True, Origin.ACTION)
    world.clock.advance(0)

    assert len(phone.told) == count


@requirement("F30")
def test_f30_nothing_is_remembered_of_what_was_long_ago(
    world: World, phone: SimulatedPhone
) -> None:
    """Any number of lines may change once."""
    damping = world.sync._damping
    for target in range(1000):
        world.change(Feature.CALL_FORWARDING_BUSY, True, str(target))
    for recent in damping._recents.values():
        assert len(recent.states) <= 16
    for _ in range(2):
        world.clock.advance(60)
        world.switch(not stored(world))

    assert len(damping._recents) + len(damping._older) == 1
