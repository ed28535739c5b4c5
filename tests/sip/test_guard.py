"""Who may try a password, and how often: guessers, and phones beside them."""

import ipaddress

import pytest

from custom_components.dfks.sip.access import guard as guard_module
from custom_components.dfks.sip.access.guard import (
    Blocked,
    Guard,
    Subject,
    parse_networks,
)
from custom_components.dfks.sip.server import SipServer
from custom_components.dfks.sip.snapshot import Snapshot
from tests.clock import ManualClock
from tests.loopback import PASSWORDS, loopback_config
from tests.phone import Digest

from .caller import Caller, Subscribed, reason_of
from .conftest import Connect
from .echo import Echo, Line, light

requirement = pytest.mark.requirement

SOURCE = "127.0.0.1"


async def logs_in(caller: Caller) -> bool:
    """Whether a phone with the right password is answered, and let in."""
    await caller.so_far()
    if caller.digest.challenge is None:
        await caller.log_in()
    caller.send(caller.signed_request("REGISTER"))
    answers = await caller.so_far()
    assert {getattr(answer, "status", 0) for answer in answers} <= {200}
    return bool(answers)


class Guesser:
    """Tries passwords; a neighbour tells when the server has seen each of them."""

    def __init__(self, caller: Caller, neighbour: Caller) -> None:
        """Take two peers with different addresses."""
        self.caller = caller
        self.neighbour = neighbour

    async def send(self, data: bytes) -> None:
        """Send a request and wait until the server has taken it."""
        self.caller.send(data)
        await self.neighbour.settle()

    def attempt(self, headers: dict[str, str] | None = None) -> bytes:
        """Build a REGISTER with a wrong password."""
        self.caller.digest.password = "wrong"
        data = self.caller.signed_request("REGISTER", headers)
        self.caller.digest.password = PASSWORDS["201"]
        return data

    async def guess(self, count: int, headers: dict[str, str] | None = None) -> None:
        """Send some REGISTERs with a wrong password."""
        for _ in range(count):
            await self.send(self.attempt(headers))


@pytest.fixture
async def guesser(caller: Caller, connect: Connect) -> Guesser:
    """Return a guesser at 127.0.0.1 that has been challenged once."""
    await caller.log_in()
    return Guesser(caller, await connect(local=("127.0.0.2", 0)))


# A user name at a source


@requirement("H12")
async def test_h12_twenty_wrong_passwords_shut_a_name_out(
    guesser: Guesser, clock: ManualClock, server: SipServer
) -> None:
    """For a quarter of an hour it gets no answer from there; from elsewhere it does."""
    blocked: list[Blocked] = []
    server._guard.on_blocked = blocked.append
    await guesser.guess(19)
    clock.advance(10)
    before = list(blocked)
    challenged = len(await guesser.caller.so_far())

    await guesser.guess(1)
    clock.advance(10)
    await guesser.caller.nothing()
    other = await guesser.neighbour.call("REGISTER")

    assert before == []
    assert challenged == 19
    assert blocked == [Blocked(Subject(SOURCE, "201"), 20)]
    assert other.status == 200


@requirement("H15")
async def test_h15_while_a_name_is_blocked_the_right_password_is_not_taken_either(
    guesser: Guesser, clock: ManualClock
) -> None:
    """Else the one guess that is right would show."""
    await guesser.guess(20)
    await guesser.caller.so_far()

    during = await logs_in(guesser.caller)
    clock.advance(899)
    still = await logs_in(guesser.caller)
    clock.advance(1)
    await guesser.caller.log_in()
    after = await logs_in(guesser.caller)

    assert (during, still, after) == (False, False, True)


@requirement("H15")
async def test_h15_other_names_at_that_source_go_on(
    guesser: Guesser, stranger: Caller
) -> None:
    """An account with a typing error does not block the good one beside it."""
    await guesser.guess(20)

    assert (await stranger.call("REGISTER")).status == 200


@requirement("H15")
async def test_h15_answers_to_notifies_are_read_where_a_name_is_blocked(
    guesser: Guesser, stranger: Caller, echo: Echo, clock: ManualClock
) -> None:
    """No NOTIFY is sent again to a phone that has answered it."""
    subscribed = await stranger.subscribe()
    await guesser.guess(20)

    await subscribed.send(body=light(True))
    await subscribed.told()
    clock.advance(10)

    await stranger.nothing()
    assert echo.lines["line-202"].watchers == 1


@requirement("H15")
async def test_h15_a_dialog_of_the_name_goes_on_with_a_right_answer(
    guesser: Guesser, colleague: Caller
) -> None:
    """Its phone has the password; what is blocked is the guessing."""
    subscribed = await colleague.subscribe()
    await guesser.guess(20)

    assert (await subscribed.send(body=light(True))).status == 200
    assert not await logs_in(guesser.caller)


@requirement("H15")
async def test_h15_a_dialog_is_no_place_to_guess(
    guesser: Guesser, colleague: Caller
) -> None:
    """Wrong answers in it get none, and after three it is blocked with the name."""
    subscribed = await colleague.subscribe()
    await guesser.guess(20)
    right, wrong = colleague.digest, Digest(username="201", password="wrong")
    wrong.challenge, wrong.nc = right.challenge, right.nc + 1

    for _ in range(3):
        colleague.send(colleague.sign(subscribed.request(), digest=wrong))
        await colleague.nothing()
    right.nc = wrong.nc
    colleague.send(colleague.sign(subscribed.request()))

    await colleague.nothing()


@requirement("H15")
async def test_h15_a_dialog_of_another_line_is_no_way_around(
    guesser: Guesser, stranger: Caller
) -> None:
    """One who may subscribe to the one cannot go on guessing the other there."""
    subscribed = await stranger.subscribe()
    await guesser.guess(20)

    data = guesser.caller.sign(subscribed.request(), digest=guesser.caller.digest)
    stranger.send(data)

    await stranger.nothing()


@requirement("H15")
async def test_h15_a_guessers_connection_is_kept_for_other_names(
    guesser: Guesser, connect: Connect
) -> None:
    """A proxy has one for all its phones."""
    stream = await connect("tcp")
    other = await connect("tcp", user="202")
    await guesser.guess(20)

    stream.digest.challenge = guesser.caller.digest.challenge
    stream.digest.nc = 100
    assert not await logs_in(stream)
    assert (await other.call("REGISTER")).status == 200


@requirement("H12")
async def test_h12_challenges_come_later_and_later(
    guesser: Guesser, clock: ManualClock
) -> None:
    """After three that are forgiven, each a quarter of a second more."""
    at_once = []
    for _ in range(5):
        await guesser.guess(1)
        at_once.append(len(await guesser.caller.so_far()))
    clock.advance(0.25)
    fourth = len(await guesser.caller.so_far())
    clock.advance(0.25)
    fifth = len(await guesser.caller.so_far())

    assert at_once == [1, 1, 1, 0, 0]
    assert (fourth, fifth) == (1, 1)


@requirement("H12", "C4")
async def test_h12_repeats_during_a_delay_get_one_challenge(
    guesser: Guesser, clock: ManualClock
) -> None:
    """A phone that sends again while its challenge waits is told once."""
    await guesser.guess(3)
    await guesser.caller.so_far()

    data = guesser.attempt()
    for _ in range(5):
        await guesser.send(data)
    clock.advance(10)

    assert len(await guesser.caller.so_far()) == 1


@requirement("H16")
async def test_h16_the_right_password_makes_up_for_wrong_ones(
    guesser: Guesser,
) -> None:
    """Mistyped often, but then right: everything is forgotten."""
    await guesser.guess(19)
    await guesser.caller.so_far()
    assert await logs_in(guesser.caller)

    await guesser.guess(3)
    await guesser.caller.so_far()

    assert await logs_in(guesser.caller)


@requirement("H16")
async def test_h16_a_login_does_not_clear_the_guesses_at_another_name(
    guesser: Guesser, stranger: Caller
) -> None:
    """One with a password of his own tries another's, logging in in between."""
    for _ in range(7):
        await guesser.guess(3)
        assert (await stranger.call("REGISTER")).status == 200
    await guesser.caller.so_far()

    assert not await logs_in(guesser.caller)


@requirement("H16")
async def test_h16_a_login_elsewhere_does_not_clear_the_guesses(
    guesser: Guesser,
) -> None:
    """The phone whose password is guessed logs in all the time."""
    for _ in range(7):
        await guesser.guess(3)
        assert (await guesser.neighbour.call("REGISTER")).status == 200
    await guesser.caller.so_far()

    assert not await logs_in(guesser.caller)


@requirement("H12")
@pytest.mark.parametrize(("pause", "judged"), [(3_599, False), (3_601, True)])
async def test_h12_failures_are_forgotten_after_an_hour(
    guesser: Guesser, clock: ManualClock, pause: float, judged: bool
) -> None:
    """A phone with an old password that asks once in a while is no guesser."""
    await guesser.guess(19)

    clock.advance(pause)
    await guesser.caller.so_far()
    await guesser.caller.log_in()
    await guesser.guess(1)
    await guesser.caller.so_far()

    assert await logs_in(guesser.caller) is judged


@requirement("H12")
async def test_h12_failures_are_forgotten_after_a_block(
    guesser: Guesser, clock: ManualClock
) -> None:
    """Who comes back has as many tries as anybody."""
    await guesser.guess(20)
    clock.advance(900)
    await guesser.caller.so_far()
    await guesser.caller.log_in()

    await guesser.guess(19)
    clock.advance(10)
    challenged = len(await guesser.caller.so_far())
    await guesser.guess(1)
    await guesser.caller.so_far()

    assert challenged == 19
    assert not await logs_in(guesser.caller)


@requirement("H12", "C4")
async def test_h12_a_retransmission_is_no_further_failure(guesser: Guesser) -> None:
    """The same guess sent thirty times is one."""
    data = guesser.attempt()
    for _ in range(30):
        await guesser.send(data)

    assert len(await guesser.caller.so_far()) == 30
    assert await logs_in(guesser.caller)


@requirement("H12")
async def test_h12_other_guesses_in_the_same_call_count(guesser: Guesser) -> None:
    """Call-ID and CSeq are the guesser's own choice."""
    headers = {
        "Call-ID": "same",
        "CSeq": "1 REGISTER",
        "From": "<sip:201@h>;tag=same",
    }

    await guesser.guess(20, headers)
    await guesser.caller.so_far()

    assert not await logs_in(guesser.caller)


@requirement("H12")
async def test_h12_a_wrong_nonce_is_no_failure(guesser: Guesser) -> None:
    """Nobody can have another blocked by writing in its name."""
    challenge = guesser.caller.digest.challenge
    assert challenge is not None
    challenge.nonce = "0" * 48

    await guesser.guess(30)
    await guesser.caller.so_far()
    await guesser.caller.log_in()

    assert await logs_in(guesser.caller)


@requirement("H12")
async def test_h12_a_source_may_be_let_in_again_before_its_time(
    guesser: Guesser, server: SipServer
) -> None:
    """By the user, who knows better."""
    unblocked: list[str] = []
    server._guard.on_unblocked = unblocked.append
    await guesser.guess(20)
    server._guard.unblock(SOURCE)
    await guesser.caller.so_far()

    assert await logs_in(guesser.caller)
    assert unblocked == [SOURCE]


@requirement("H12", "C6")
@pytest.mark.parametrize("config", [loopback_config(max_failures=1_000)])
async def test_h12_a_hundred_challenges_wait_at_most(
    guesser: Guesser, server: SipServer, clock: ManualClock
) -> None:
    """More stay silent: slowing down must not cost memory."""
    await guesser.guess(150)
    await guesser.caller.so_far()

    clock.advance(10)
    late = await guesser.caller.so_far()

    assert len(late) == 100
    assert not server.counters()["challenges_delayed"]


# All sources of a user name, and all user names of a source


def guess(guard: Guard, source: str, username: str, count: int) -> int:
    """Try passwords as far as they are looked at; return how many were."""
    judged = 0
    for number in range(count):
        if not guard.judges(source, username, known=False):
            break
        guard.failed(source, username, f"{source} {username} {number}")
        judged += 1
    return judged


def address(number: int) -> str:
    """Return one of many addresses."""
    return str(ipaddress.IPv4Address(0x0A000000 + number))


@requirement("H17")
def test_h17_a_name_that_is_guessed_from_many_sources_is_noticed(
    clock: ManualClock,
) -> None:
    """Fifty sources have sixty tries together, not a thousand."""
    guard = Guard(clock)
    blocked: list[Blocked] = []
    guard.on_blocked = blocked.append

    judged = sum(guess(guard, address(number), "201", 19) for number in range(50))

    assert judged == 60
    assert blocked == [Blocked(Subject(None, "201"), 60)]


@requirement("H17")
@pytest.mark.parametrize("config", [loopback_config(max_failures=3)])
async def test_h17_a_guessed_name_goes_on_where_it_has_logged_in(
    guesser: Guesser, connect: Connect, clock: ManualClock
) -> None:
    """Nine wrong ones from elsewhere do not lock its own phone out."""
    phone = guesser.neighbour
    assert (await phone.call("REGISTER")).status == 200
    for host in (1, 3, 4):
        other = await connect(local=(f"127.0.0.{host}", 0))
        await other.log_in()
        await Guesser(other, phone).guess(3)
    stranger = await connect(local=("127.0.0.5", 0))

    assert (await phone.call("REGISTER")).status == 200
    assert not await logs_in(stranger)
    clock.advance(900)
    await stranger.log_in()
    assert await logs_in(stranger)


@requirement("H17")
@pytest.mark.parametrize("config", [loopback_config(max_failures=3)])
async def test_h17_a_source_that_guesses_many_names_tries_no_new_ones(
    guesser: Guesser, connect: Connect, clock: ManualClock
) -> None:
    """Whoever has logged in from there goes on."""
    phone = await connect()
    assert (await phone.call("REGISTER")).status == 200
    for number in range(15):
        guesser.caller.digest.username = f"name-{number}"
        await guesser.guess(1)
    newcomer = await connect(user="202")

    assert (await phone.call("REGISTER")).status == 200
    assert not await logs_in(newcomer)
    clock.advance(900)
    await newcomer.log_in()
    assert await logs_in(newcomer)


@requirement("H16", "H17")
def test_h16_a_login_does_not_clear_the_guesses_from_all_sources(
    clock: ManualClock,
) -> None:
    """57 of 60 tries stay counted where the phone that is guessed logs in."""
    guard = Guard(clock)
    for number in range(3):
        guess(guard, address(number), "201", 19)

    guard.succeeded(address(0), "201")

    assert sum(guess(guard, address(number), "201", 19) for number in range(3, 9)) == 3


@requirement("H16", "H17")
def test_h16_a_login_does_not_clear_the_guesses_at_all_names(
    clock: ManualClock,
) -> None:
    """95 of 100 tries stay counted where somebody logs in at their source."""
    guard = Guard(clock)
    for number in range(5):
        guess(guard, SOURCE, f"name-{number}", 19)

    guard.succeeded(SOURCE, "202")

    assert sum(guess(guard, SOURCE, f"new-{number}", 19) for number in range(9)) == 5


@requirement("H12", "H17")
def test_h12_a_source_that_is_let_in_again_starts_anew(clock: ManualClock) -> None:
    """Its guesses at all names are forgotten, too."""
    guard = Guard(clock)
    for number in range(5):
        guess(guard, SOURCE, f"name-{number}", 19)

    guard.unblock(SOURCE)

    assert sum(guess(guard, SOURCE, f"new-{number}", 19) for number in range(9)) == 100


@requirement("H12")
def test_h12_a_challenge_comes_four_seconds_later_at_most(clock: ManualClock) -> None:
    """However many failures the user allows."""
    guard = Guard(clock, max_failures=100)

    delays = [guard.failed(SOURCE, "201", str(number)) for number in range(99)]

    assert max(delay or 0.0 for delay in delays) == 4.0


@requirement("H12")
def test_h12_a_pbx_is_answered_as_long_as_it_is_configured(clock: ManualClock) -> None:
    """Also where its address was seen before."""
    guard = Guard(clock, parse_networks("10.0.0.0/8"))
    before = guard.lets_in("192.0.2.1")

    guard.allow_pbxs(frozenset({"192.0.2.1"}))
    configured = guard.lets_in("192.0.2.1")
    guard.allow_pbxs(frozenset())

    assert (before, configured, guard.lets_in("192.0.2.1")) == (False, True, False)


@requirement("H17")
@pytest.mark.parametrize("pause", [0, 901])
def test_h17_one_phone_with_an_old_password_is_no_attack(
    clock: ManualClock, pause: float
) -> None:
    """It blocks its own name where it is, again and again, and nothing else."""
    guard = Guard(clock)
    blocked: list[Blocked] = []
    guard.on_blocked = blocked.append

    for block in range(8):
        for number in range(25):
            guard.failed(SOURCE, "201", f"{block} {number}")
            clock.advance(1)
        clock.advance(pause)

    assert {item.subject for item in blocked} == {Subject(SOURCE, "201")}


@requirement("H17", "F28")
async def test_h17_after_a_restart_it_is_known_who_has_logged_in_where(
    caller: Caller, server: SipServer, clock: ManualClock
) -> None:
    """From what is remembered of registrations and subscriptions."""
    await caller.call("REGISTER")
    await caller.subscribe()
    memory = await server.records()
    sources = []
    for part in (
        Snapshot(bindings=memory["bindings"], dialogs=[]),
        Snapshot(bindings=[], dialogs=memory["dialogs"]),
    ):
        later = SipServer(loopback_config(), clock)
        line = Echo(later).add_line("201")
        await later.start(memory=part)
        sources.append(line.sources)
        await later.stop()

    assert sources == [(SOURCE,)] * 2


@requirement("H17", "C6")
async def test_h17_a_line_knows_eight_sources(reception: Line) -> None:
    """The one that came first is forgotten first."""
    for number in (*range(10), 9):
        reception.add_source(address(number))

    assert reception.sources == tuple(address(number) for number in range(2, 10))


@requirement("H17")
def test_h17_new_credentials_of_a_line_have_not_been_guessed(
    server: SipServer, reception: Line
) -> None:
    """It is looked at from everywhere again."""
    guard = server._guard
    for number in range(60):
        guard.failed(address(number), "201", "guess")
    before = guard.judges(SOURCE, "201", known=False)

    hashes = server.hash_password("201", "other")
    server.change_account(reception, "201", "201", hashes)

    assert not before
    assert guard.judges(SOURCE, "201", known=False)


@requirement("H17")
def test_h17_failures_with_the_old_credentials_of_a_line_do_not_count(
    server: SipServer, reception: Line
) -> None:
    """The first phone with a mistyped new password blocks nobody."""
    guard = server._guard
    for number in range(59):
        guard.failed(address(number), "201", "guess")

    hashes = server.hash_password("201", "other")
    server.change_account(reception, "201", "201", hashes)
    guard.failed(address(59), "201", "guess")

    assert guard.judges(SOURCE, "201", known=False)


# Memory


@requirement("H18")
def test_h18_what_is_blocked_stays_so_whatever_else_fails(clock: ManualClock) -> None:
    """Thousands of addresses that fail once do not free one that was blocked."""
    guard = Guard(clock)
    guess(guard, SOURCE, "201", 20)

    for number in range(4_250):
        guard.failed(address(number), f"name-{number}", "guess")

    assert not guard.judges(SOURCE, "201", known=False)
    assert guard.blocked_sources == 1


@requirement("H18", "C6")
def test_h18_memory_is_bounded(clock: ManualClock) -> None:
    """Of what failed a little, the one that began first is forgotten first."""
    guard = Guard(clock, allowed=())
    for number in range(5_000):
        guard.failed(address(number), f"name-{number}", "guess")

    for counts in (guard._names_at_sources, guard._names, guard._sources):
        assert len(counts.by_subject) == 4_096
    assert Subject(address(4_999), None) in guard._sources.by_subject
    assert Subject(address(0), None) not in guard._sources.by_subject
    assert len(guard._standings) <= 4_096


@requirement("H18", "C6")
def test_h18_where_no_more_can_be_blocked_only_known_ones_are_looked_at(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting a block would set a guesser free."""
    monkeypatch.setattr(guard_module, "MAX_BLOCKS", 8)
    guard = Guard(clock)
    judged = [guess(guard, address(n), f"name-{n}", 20) for n in range(10)]

    assert judged == [20] * 8 + [0] * 2
    assert guard.judges(SOURCE, "201", known=True)
    clock.advance(900)
    assert guard.judges(SOURCE, "201", known=False)


@requirement("H12")
def test_h12_addresses_of_an_ipv6_64_are_one_source(clock: ManualClock) -> None:
    """One subscriber has all of them."""
    guard = Guard(clock, allowed=())
    for number in range(20):
        guard.failed(f"2001:db8::{number:x}:1", "201", f"guess {number}")

    assert not guard.judges("2001:db8::ffff:ffff:ffff:ffff", "201", known=False)
    assert guard.judges("2001:db8:0:1::1", "201", known=False)
    guard.unblock("2001:db8::2")
    assert guard.judges("2001:db8::1", "201", known=False)


# Networks and proxies


@requirement("H12")
@pytest.mark.parametrize(
    "config", [loopback_config(allowed_networks=parse_networks("127.0.0.2 10.0.0.0/8"))]
)
async def test_h12_only_allowed_networks_are_answered(connect: Connect) -> None:
    """The others get nothing over UDP, and are disconnected over TCP."""
    outside = await connect(local=("127.0.0.1", 0))
    inside = await connect(local=("127.0.0.2", 0))

    outside.send(outside.request("OPTIONS"))
    answered = await inside.ask(inside.request("OPTIONS"))
    await outside.silence(0.02)
    stream = await connect("tcp", local=("127.0.0.1", 0))
    await stream.wait_closed()

    assert answered.status == 200


@requirement("H12")
@pytest.mark.parametrize("config", [loopback_config(allowed_networks=())])
async def test_h12_no_networks_named_are_all(caller: Caller) -> None:
    """The user wants the whole world."""
    assert (await caller.call("REGISTER")).status == 200


@requirement("H12", "F6")
@pytest.mark.parametrize(
    "config", [loopback_config(trusted_proxies=parse_networks("127.0.0.2"))]
)
async def test_h12_a_trusted_proxy_is_not_asked_for_a_password(
    connect: Connect, reception: Line
) -> None:
    """It has asked itself; everybody else still is."""
    proxy = await connect(local=("127.0.0.2", 0))
    phone = await connect(local=("127.0.0.1", 0))

    registered = await proxy.ask(proxy.request("REGISTER"))
    subscribed = await proxy.ask(proxy.request("SUBSCRIBE"))
    notify = await proxy.next_request()
    proxy.answer(notify)
    changed = await proxy.ask(
        proxy.request(
            "SUBSCRIBE",
            "sip:anyone@h",
            {
                "From": subscribed.get("From"),
                "To": subscribed.get("To"),
                "Call-ID": subscribed.call_id,
                "CSeq": "2 SUBSCRIBE",
            },
            light(True),
        )
    )
    unknown = await proxy.ask(
        proxy.request("SUBSCRIBE", "sip:nobody@h", {"To": "<sip:nobody@h>"})
    )
    stranger = await phone.ask(phone.request("REGISTER"))

    assert [r.status for r in (registered, subscribed, changed)] == [200] * 3
    assert reception.watchers == 1
    assert (unknown.status, stranger.status) == (404, 401)


@requirement("H12", "F13")
@pytest.mark.parametrize(
    "config", [loopback_config(trusted_proxies=parse_networks("127.0.0.2"))]
)
async def test_h12_a_dialog_of_a_removed_line_takes_nothing_new(
    connect: Connect, echo: Echo, server: SipServer
) -> None:
    """Neither a refresh nor another subscription, until its last NOTIFY is answered."""
    proxy = await connect(local=("127.0.0.2", 0))
    subscribed = Subscribed(
        caller=proxy, response=await proxy.ask(proxy.request("SUBSCRIBE"))
    )
    await subscribed.told()

    echo.remove_line("line-201")
    refresh = await proxy.ask(subscribed.request())
    more = await proxy.ask(subscribed.request({"Event": "echo;id=2"}))
    last = await subscribed.told()

    assert (refresh.status, more.status) == (481, 481)
    assert reason_of(last) == "noresource"
    assert not list(server.notifier)


@requirement("H12")
async def test_h12_a_trusted_proxy_is_never_blocked(clock: ManualClock) -> None:
    """Whatever its phones do."""
    guard = Guard(clock, proxies=parse_networks("192.0.2.0/24"))
    for number in range(200):
        assert guard.failed("192.0.2.7", "201", str(number)) == 0

    assert guard.judges("192.0.2.7", "201", known=False)
    assert guard.trusts("192.0.2.7")
    assert not guard.trusts("192.0.3.7")


@pytest.mark.parametrize(
    ("text", "source", "inside"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.1/8, ::1", "::1", True),
        ("fe80::/10 10.0.0.1", "fe80::1%eth0", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_networks_are_addresses_or_ranges(
    clock: ManualClock, text: str, source: str, inside: bool
) -> None:
    """Separated by commas or spaces."""
    assert Guard(clock, allowed=parse_networks(text)).lets_in(source) is inside


def test_a_network_that_is_none_is_named() -> None:
    """So that a form can show it."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        parse_networks("192.0.2.1, 10.0.0.0/33")
