"""What real networks and phones do to a server, each fault with an end that must hold.

Seeds are fixed. Where half a minute or an hour of silence is the fault, the server's
clock runs faster than time does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from functools import partial
from itertools import pairwise
import random
from typing import Final
import uuid

from custom_components.dfks.features.model import Feature, Origin
from custom_components.dfks.sip import ServerConfig
from tests.loopback import HOST, PASSWORDS
from tests.phone import SILENCE, Answer, Notification, Phone

from .checks import Check
from .house import (
    FastClock,
    House,
    house,
    require,
    require_clean,
    sign_on,
    until,
    until_equal,
)
from .relay import Weather, relay

SEED: Final = 20_261_005

# How much faster the server's clock runs where a fault lasts long: 32 s are 0.64 s.
SPEED: Final = 50.0

# Key presses of each phone, and of Home Assistant on each line, on the bad network.
PRESSES: Final = 8
SWITCHES: Final = 12

# The server writes a new nonce into a challenge every half a minute, in retransmissions
# of it too: it keeps nothing of strangers.
RENEWED: Final = "401 Unauthorized (CSeq 1"

# What a phone behind NAT sees of itself.
BEHIND_NAT: Final = (": rport is not ", ": received is not ")


@contextlib.asynccontextmanager
async def fast_house(
    config: ServerConfig | None = None,
) -> AsyncIterator[tuple[House, FastClock]]:
    """Run a house whose time runs SPEED times as fast."""
    clock = FastClock(asyncio.get_running_loop(), SPEED)
    with clock.waiting_for_the_loop():
        async with house(config, clock=clock) as running:
            yield running, clock


@contextlib.asynccontextmanager
async def phones_of(*phones: Phone) -> AsyncIterator[list[Phone]]:
    """Put phones on the network."""
    async with contextlib.AsyncExitStack() as stack:
        for phone in phones:
            await stack.enter_async_context(phone)
        yield list(phones)


def desk_phone(running: House, user: str = "201") -> Phone:
    """Return a phone with an instance of its own."""
    return Phone(
        user, PASSWORDS[user], running.address, instance=f"urn:uuid:{uuid.uuid4()}"
    )


# The network


async def bad_network() -> str:
    """Lose, double and delay datagrams while phones and Home Assistant make changes."""
    dice = random.Random(SEED)
    async with house() as running, relay(running.address, Weather(), SEED) as network:
        phones = [
            Phone(user, PASSWORDS[user], network.address, timeout=40.0)
            for user in ("201", "201", "201", "202", "202", "202")
        ]
        async with phones_of(*phones):
            await asyncio.gather(*map(sign_on, phones))
            async with asyncio.TaskGroup() as group:
                group.create_task(_turn_switches(running, random.Random(dice.random())))
                presses = [
                    group.create_task(
                        _press_keys(phone, number, random.Random(dice.random()))
                    )
                    for number, phone in enumerate(phones, 1)
                ]
            await until_equal(running, phones, 60.0)
            for line in running.sync.lines.values():
                require(line.watchers == 3, f"{line.watchers} watchers of a line")
        accepted = [target for task in presses for target in task.result()]
        applied = [
            event.new.forward_to
            for event in running.changes
            if event.change.origin is Origin.PHONE
        ]
        require(len(accepted) == PRESSES * len(phones), "a key press was not answered")
        require(sorted(applied) == sorted(accepted), f"{accepted} became {applied}")
        require_clean(phones, RENEWED, *BEHIND_NAT)
        copies = sum(note.copies for phone in phones for note in phone.notifications)
        return (
            f"{network.carried} datagrams, {network.lost} lost, {network.doubled} "
            f"doubled, {network.late} overtaken; {len(applied)} of {len(accepted)} key "
            f"presses made once; {copies} copies of NOTIFYs"
        )


async def _press_keys(phone: Phone, number: int, dice: random.Random) -> list[str]:
    """Press keys with targets that no one else uses; returns those that were taken."""
    taken = []
    for count in range(PRESSES):
        await asyncio.sleep(dice.uniform(0, 0.5))
        kind = dice.choice(("always", "busy", "no-answer"))
        target = f"{number}{count:03}"
        if (await phone.set_forward(kind, True, target)).ok:
            taken.append(target)
    return taken


async def _turn_switches(running: House, dice: random.Random) -> None:
    """Change things in Home Assistant meanwhile."""
    for count in range(SWITCHES):
        await asyncio.sleep(dice.uniform(0, 0.5))
        feature = dice.choice(tuple(Feature))
        target = None if feature is Feature.DO_NOT_DISTURB else f"9{count:03}"
        user = dice.choice(tuple(PASSWORDS))
        await running.switch(user, feature, on=dice.random() < 0.5, forward_to=target)


# How phones answer


async def late_answers() -> str:
    """Answer each NOTIFY after ten seconds: changes meanwhile go in one more."""
    async with fast_house() as (running, clock), desk_phone(running) as phone:
        await sign_on(phone)
        # The server answers in order: it has the phone's 200 by then.
        await phone.options()

        def answer_late(notification: Notification) -> Answer:
            clock.call_at(clock.monotonic() + 10, partial(phone.respond, notification))
            return SILENCE

        phone.answer = answer_late
        before = len(phone.notifications)
        # Of one feature: of several, the phone would be told one by one by then (F15).
        for count in range(20):
            await running.switch(
                "201", Feature.CALL_FORWARDING_BUSY, on=True, forward_to=f"24{count}"
            )
        await until_equal(running, [phone])
        notes = phone.notifications[before:]
        require(len(notes) == 2, f"20 changes made {len(notes)} NOTIFYs, not 2")
        require(notes[0].copies > 1, "the NOTIFY was not sent again")
        require(running.line().connected, "a phone that answers late was given up")
        require_clean([phone])
        return f"20 changes in {len(notes)} NOTIFYs, the first sent {notes[0].copies} times"


async def silence() -> str:
    """Answer nothing for 32 s, then be heard again; and once more by being asked."""
    async with fast_house() as (running, clock), desk_phone(running) as phone:
        await sign_on(phone)
        line = running.line()
        phone.answer = lambda _: SILENCE
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until(lambda: not line.connected, "the silent phone was not noticed")
        lost = phone.notifications[-1].copies
        # Eleven at the usual speed; here each of them may be a little late.
        require(lost in (10, 11), f"the NOTIFY was sent {lost} times, not 11")
        await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
        await running.switch(
            "201", Feature.CALL_FORWARDING_ALWAYS, on=True, forward_to="2424"
        )
        told = len(phone.notifications)
        phone.answer = lambda _: Answer()
        require((await phone.register()).ok, "REGISTER was refused")
        await until_equal(running, [phone])
        require(len(phone.notifications) == told + 1, "more than one NOTIFY came")
        require(len(phone.notifications[-1].documents) == 4, "it was no full state")
        require(line.connected, "the phone that was heard is not connected")

        phone.answer = lambda _: SILENCE
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until(lambda: not line.connected, "the silent phone was not noticed")
        asleep = clock.monotonic()
        phone.answer = lambda _: Answer()
        await until(lambda: line.connected, "the phone was not asked again", 15)
        await until_equal(running, [phone])
        waited = clock.monotonic() - asleep
        require_clean([phone])
        return f"sent {lost} times; told all when heard, or after {waited:.0f} s"


async def server_errors() -> str:
    """Answer NOTIFYs with 5xx: the subscription stays, Retry-After is kept to."""
    async with fast_house() as (running, clock), desk_phone(running) as phone:
        await sign_on(phone)
        line = running.line()
        refused: list[float] = []

        def refuse(notification: Notification) -> Answer:
            refused.append(clock.monotonic())
            if len(refused) <= 3:
                return Answer(status=503, headers=(("Retry-After", "20"),))
            return Answer()

        phone.answer = refuse
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until_equal(running, [phone])
        pauses = [later - sooner for sooner, later in pairwise(refused)]
        require(
            len(pauses) == 3 and all(19 < pause < 60 for pause in pauses),
            f"it was asked again after {pauses} s",
        )
        phone.answer = lambda _: Answer()
        phone.answer_next(500)
        await running.switch(
            "201", Feature.CALL_FORWARDING_BUSY, on=True, forward_to="2424"
        )
        await until(lambda: phone.notifications[-1].answered == 500, "no NOTIFY came")
        await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
        await until_equal(running, [phone])
        require(line.watchers == 1 and line.connected, "the subscription is gone")
        require_clean([phone])
        shown = "/".join(f"{pause:.0f}" for pause in pauses)
        return f"503 three times, told after {shown} s; 500, told with the next change"


async def unknown_dialog() -> str:
    """Answer a NOTIFY with 481: the subscription is gone, a new one is welcome."""
    async with house() as running, desk_phone(running) as phone:
        await sign_on(phone)
        line = running.line()
        phone.answer_next(481)
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until(lambda: not line.watchers, "the subscription stayed")
        require(not line.connected, "the line counts as connected")
        told = len(phone.notifications)
        await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
        status = (await phone.refresh()).status
        require(status == 481, f"the refresh got {status}")
        require((await phone.subscribe()).ok, "a new subscription was refused")
        await until_equal(running, [phone])
        require(len(phone.notifications) == told + 1, "the old dialog was told more")
        require_clean([phone])
        return "dropped, 481 to its refresh, subscribed anew"


# Phones that go and come back


async def another_port() -> str:
    """Vanish and come back from other ports, rebooted, moved by NAT, and over TCP."""
    async with house() as running:
        line = running.line()
        instance = f"urn:uuid:{uuid.uuid4()}"

        def start(transport: str = "udp") -> Phone:
            return Phone(
                "201",
                PASSWORDS["201"],
                running.address,
                instance=instance,
                transport=transport,
            )

        old = start()
        async with old:
            await sign_on(old)
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        async with start() as new:
            await sign_on(new)
            await until_equal(running, [new])
            require(line.watchers == 1, f"{line.watchers} watchers after the reboot")

            # NAT gives it another port; its dialog goes on.
            ports = {new.link.local[1]}
            await new.close()
            await new.start()
            ports.add(new.link.local[1])
            await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
            require((await new.refresh()).ok, "the refresh from another port failed")
            await until_equal(running, [new])
            require(len(ports) == 2, "the port is the same")
            require((await new.set_dnd(True)).ok, "the key was refused")
            await until_equal(running, [new])
            require_clean([new])
        async with start("tcp") as stream:
            await sign_on(stream)
            require(line.watchers == 1, f"{line.watchers} watchers over TCP")
            await stream.close()
            await until(lambda: not line.connected, "the lost connection was not seen")
            await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
            await stream.start()
            require((await stream.register()).ok, "REGISTER was refused")
            await until_equal(running, [stream])
            require(line.connected and line.watchers == 1, "it is not connected again")
            require_clean([stream])
        return "reboot, NAT, TCP: one watcher each time, full state at once"


# Clocks


async def clock_steps() -> str:
    """Set the wall clock an hour forth and two back: nothing that lives minds."""
    config = ServerConfig(host=HOST, port=0, max_expires=600)
    async with (
        fast_house(config) as (running, clock),
        desk_phone(running) as phone,
        desk_phone(running, "202") as other,
    ):
        await sign_on(phone)
        await sign_on(other)
        for step in (3_600, -7_200, 3_600):
            clock.wall_offset += step
            asked = _challenges(phone)
            require((await phone.refresh()).ok, "the refresh was refused")
            require((await phone.register()).ok, "REGISTER was refused")
            require((await phone.set_dnd(step > 0)).ok, "the key was refused")
            await until_equal(running, [phone, other])
            require(_challenges(phone) == asked, "the nonce was not taken any more")
            left = phone.notifications[-1].expires or 0
            require(590 <= left <= 600, f"{left} s are left of 600")
        # Expiry comes when it is due by the time that passes, steps or not.
        await phone.refresh(60)
        began = clock.monotonic()
        clock.wall_offset -= 3_600
        await until(lambda: phone.notifications[-1].state == "terminated", "no expiry")
        lasted = clock.monotonic() - began
        require(59 < lasted < 120, f"60 s lasted {lasted:.0f}")
        require(running.line("202").connected, "the other phone was dropped")
        require_clean([phone, other])
        return f"+1 h, -2 h, +1 h: nonce good, 600 s stay 600, 60 s took {lasted:.0f}"


def _challenges(phone: Phone) -> int:
    return sum(entry.raw.startswith(b"SIP/2.0 401") for entry in phone.log)


async def clock_steps_at_restart() -> str:
    """Set the wall clock back by an hour while the server is away.

    As a small computer without a clock of its own does when it starts.
    """
    loop = asyncio.get_running_loop()
    clock = FastClock(loop, 1.0)
    async with house(clock=clock) as first:
        address = first.address
        phone = desk_phone(first)
        await phone.start()
        await sign_on(phone)
        await first.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until_equal(first, [phone])
        memory = await first.server.records()
        states = {line_id: line.states() for line_id, line in first.sync.lines.items()}
    config = ServerConfig(host=HOST, port=address[1])
    told = 0
    for step in (-3_600, +1_800):
        clock.wall_offset += step
        phone.features.clear()
        async with house(config, clock=clock, memory=memory, states=states) as again:
            await until_equal(again, [phone])
            left = phone.notifications[-1].expires or 0
            require(0 < left <= 3_600, f"{left} s are left")
            require((await phone.refresh()).ok, "the refresh was refused")
            await phone.notification()
            memory = await again.server.records()
            told += 1
    require_clean([phone])
    await phone.close()
    return f"told in the old dialog after {told} restarts"


def _check(title: str, run: Callable[[], Awaitable[str]], limit: float = 30.0) -> Check:
    return Check(subject="fault", title=title, run=run, limit=limit)


CHECKS = (
    _check("20 % loss, doubling and overtaking both ways", bad_network, 150.0),
    _check("a phone that answers after 10 s", late_answers),
    _check("a phone that is silent for more than 32 s", silence, 60.0),
    _check("a phone that answers 503 and 500", server_errors),
    _check("a phone that answers 481", unknown_dialog),
    _check("phones that come back from another port", another_port),
    _check("the clock stepping an hour either way", clock_steps),
    _check("the clock stepping while the server is away", clock_steps_at_restart),
)
