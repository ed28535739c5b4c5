"""A line whose PBX owns the state, from what the PBX says to what entities read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from custom_components.dfks.features.follow import (
    PATIENCE,
    FollowedConfig,
    Follower,
    Follows,
)
from custom_components.dfks.features.model import (
    AvailabilityChanged,
    ChangeOutcome,
    ChangeRefused,
    Feature,
    FeatureChanged,
    FeatureState,
    Hold,
    Origin,
    Refusal,
)
from custom_components.dfks.features.sync import MAX_WAITING, FeatureSync
from custom_components.dfks.sip import SipServer, SubscriberConfig
from tests.clock import ManualClock
from tests.phone import settle

from .follow import (
    ALL_OFF,
    ALWAYS,
    DND,
    NO_ANSWER,
    FeaturePbx,
    Watching,
    change,
    full_state,
    is_there,
    says,
    wish,
)

requirement = pytest.mark.requirement

type Follow = Callable[..., Follower]


@pytest.fixture
async def pbx() -> AsyncIterator[FeaturePbx]:
    """Return the PBX."""
    async with await FeaturePbx.listen() as pbx:
        yield pbx


@pytest.fixture
def config_of_line(pbx: FeaturePbx) -> FollowedConfig:
    """Return what is configured of the line."""
    host, port = pbx.local
    return FollowedConfig(
        subscriber=SubscriberConfig(
            id="followed-1",
            user="501",
            username="501",
            password="secret-501",
            host=host,
            port=port,
        ),
        assigned=tuple(Feature),
    )


@pytest.fixture
def follows(server: SipServer, sync: FeatureSync, pbx: FeaturePbx) -> Follows:
    """Return what follows lines."""
    pbx.towards(server.port)
    return Follows(server, sync)


@pytest.fixture
def follow(
    follows: Follows, config_of_line: FollowedConfig, clock: ManualClock
) -> Follow:
    """Return what follows the line."""

    def follow(**more: object) -> Follower:
        follower = follows.add(config_of_line, **more)  # type: ignore[arg-type]
        clock.advance(0.1)
        return follower

    return follow


@pytest.fixture
async def follower(follow: Follow, pbx: FeaturePbx) -> Follower:
    """Return the line, all of whose features are off."""
    follower = follow()
    await pbx.take_subscribe(*ALL_OFF)
    return follower


# What the PBX says


async def test_a_line_takes_what_its_pbx_says(follow: Follow, pbx: FeaturePbx) -> None:
    """The full state, as multipart."""
    line = follow().line
    await pbx.take_subscribe(
        *full_state(
            says(DND, True), says(ALWAYS, False, ""), says(NO_ANSWER, True, "24", 7)
        )
    )

    assert line.available
    assert line.state(DND) == FeatureState(True)
    assert line.state(NO_ANSWER) == FeatureState(True, "24", 7)
    assert line.unknown == {Feature.CALL_FORWARDING_BUSY}
    assert line.rings_known


async def test_nothing_is_known_before_the_pbx_has_said_it(
    follow: Follow, pbx: FeaturePbx
) -> None:
    """Not even what was stored: it is kept to be asked for again."""
    line = follow(states={ALWAYS: FeatureState(True, "24")}).line

    assert not line.available
    assert line.unknown == set(Feature)
    assert line.state(ALWAYS).forward_to == "24"


async def test_a_notify_without_a_body_tells_nothing(
    follow: Follow, pbx: FeaturePbx
) -> None:
    """Kamailio sends one where nothing was ever set."""
    line = follow().line
    await pbx.take_subscribe("", b"")

    assert line.available
    assert line.unknown == set(Feature)


async def test_a_missing_feature_is_not_off(
    follower: Follower, pbx: FeaturePbx
) -> None:
    """A document is about one feature."""
    await pbx.tell(says(DND, True))
    await pbx.tell(says(ALWAYS, True, "24"))

    assert follower.line.state(DND).status
    assert follower.line.state(ALWAYS) == FeatureState(True, "24")


async def test_a_forwarding_that_is_on_without_a_target_is_on(
    follower: Follower, pbx: FeaturePbx
) -> None:
    """The PBX knows where to, and need not say it."""
    await pbx.tell(says(ALWAYS, True))

    assert follower.line.state(ALWAYS) == FeatureState(True)


async def test_a_target_stays_where_the_pbx_leaves_it_out(
    follower: Follower, pbx: FeaturePbx
) -> None:
    """When it is off, it is kept for the next time."""
    await pbx.tell(says(ALWAYS, True, "24"))
    await pbx.tell(says(ALWAYS, False, "0"))

    assert follower.line.state(ALWAYS) == FeatureState(False, "24")


@requirement("S10")
async def test_s10_what_nobody_here_has_asked_for_is_the_pbxs(
    follower: Follower, pbx: FeaturePbx
) -> None:
    """Be it the PBX's own or another phone's."""
    watching = Watching(follower)
    await pbx.tell(says(DND, True))

    (event,) = watching.events
    assert isinstance(event, FeatureChanged)
    assert event.change.origin is Origin.PBX
    assert (event.old.status, event.new.status) == (False, True)


@requirement("S10")
async def test_s10_the_same_document_twice_is_one_change(
    follower: Follower, pbx: FeaturePbx
) -> None:
    """Kamailio sends each twice."""
    watching = Watching(follower)
    await pbx.tell(says(DND, True))
    await pbx.tell(says(DND, True))

    assert len(watching.events) == 1


@requirement("S10")
async def test_s10_what_is_told_first_is_no_change(
    follow: Follow, pbx: FeaturePbx
) -> None:
    """Entities hear of it, and nobody is named as its author."""
    follower = follow()
    watching = Watching(follower)
    await pbx.take_subscribe(*full_state(says(DND, True), says(ALWAYS, False)))

    changes = [event for event in watching.events if isinstance(event, FeatureChanged)]
    assert [event.change.feature for event in changes] == [DND, ALWAYS]
    assert all(event.old == event.new for event in changes)


@requirement("S11")
async def test_s11_without_a_subscription_nothing_is_known(
    follower: Follower,
    pbx: FeaturePbx,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told once that it ends, and once that it is there again."""
    monkeypatch.setattr("random.uniform", lambda one, _: one)
    watching = Watching(follower)
    await pbx.tell(says(DND, True), state="terminated;reason=noresource")

    assert not is_there(follower)
    assert follower.line.unknown == set(Feature)

    clock.advance(3600.2)
    await pbx.take_subscribe(*ALL_OFF)

    assert is_there(follower)
    told = [item for item in watching.events if isinstance(item, AvailabilityChanged)]
    assert len(told) == 2


# What is asked of it


@requirement("S9")
async def test_s9_a_change_is_made_by_the_notify(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Not by the 2xx; and it is the change of whoever has asked."""
    watching = Watching(follower)
    asked = change(follows, wish(DND, context="mine"))
    body = await pbx.asked()
    await settle()
    assert not asked.done()
    assert not follower.line.state(DND).status

    await pbx.tell(says(DND, True))
    outcome = await asked

    assert "<SetDoNotDisturb" in body
    assert "<device>501</device><doNotDisturbOn>true</doNotDisturbOn>" in body
    assert (outcome.before.status, outcome.state.status) == (False, True)
    (event,) = watching.events
    assert isinstance(event, FeatureChanged)
    assert event.change.origin is Origin.ENTITY
    assert event.change.context == "mine"


@requirement("S9")
async def test_s9_a_notify_may_come_before_the_2xx(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Then the 2xx is what is waited for."""
    asked = change(follows, wish(DND))
    request = await pbx.next_request()
    await pbx.tell(says(DND, True))
    await settle()
    assert not asked.done()
    pbx.answer_subscribe(request, expires="3600")

    assert (await asked).state.status


@requirement("S9")
async def test_s9_a_forwarding_is_asked_for_with_all_that_is_known_of_it(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Some servers forget what is left out, others refuse it."""
    await pbx.tell(says(NO_ANSWER, False, "24", 7))
    asked = change(follows, wish(NO_ANSWER))
    body = await pbx.asked()
    await pbx.tell(says(NO_ANSWER, True, "24", 7))
    await asked

    assert (
        "<forwardingType>forwardNoAns</forwardingType>"
        "<activateForward>true</activateForward>"
        "<forwardDN>24</forwardDN><ringCount>7</ringCount>"
    ) in body


@requirement("S9")
async def test_s9_rings_that_nobody_has_named_are_not_asked_for(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """A number that was made up here would take the place of the PBX's own."""
    asked = change(follows, wish(NO_ANSWER, forward_to="24"))
    body = await pbx.asked()
    await pbx.tell(says(NO_ANSWER, True, "24"))
    await asked

    assert "<forwardDN>24</forwardDN>" in body
    assert "ringCount" not in body


@requirement("S9")
async def test_s9_what_the_pbx_does_not_say_of_a_change_is_as_it_was_asked_for(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Kamailio drops rings."""
    asked = change(
        follows, wish(NO_ANSWER, forward_to="24", ring_count=9, origin=Origin.ACTION)
    )
    await pbx.asked()
    await pbx.tell(says(NO_ANSWER, True, "24"))

    assert (await asked).state == FeatureState(True, "24", 9)
    assert follower.line.rings_known


@requirement("S9")
async def test_s9_a_target_that_the_pbx_does_not_repeat_is_the_one_asked_for(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Not the one before."""
    await pbx.tell(says(ALWAYS, False, "22"))
    asked = change(follows, wish(ALWAYS, forward_to="24"))
    await pbx.asked()
    await pbx.tell(says(ALWAYS, True))

    assert (await asked).state == FeatureState(True, "24")


@requirement("S9")
async def test_s9_without_a_notify_the_state_is_asked_for(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """After five seconds, by a refresh; what it tells counts."""
    asked = change(follows, wish(DND))
    await pbx.asked()
    await settle()
    clock.advance(PATIENCE)
    assert await pbx.asked() == ""
    await pbx.tell(says(DND, True))

    assert (await asked).state.status


@requirement("S9")
async def test_s9_a_pbx_that_never_tells_has_not_made_it(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """The caller is told, and nothing is shown."""
    asked = change(follows, wish(DND))
    await pbx.asked()
    await settle()
    clock.advance(PATIENCE)
    await pbx.asked()
    await settle()
    clock.advance(PATIENCE)

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.PBX_OTHERWISE
    assert not follower.line.state(DND).status


@requirement("S9")
async def test_s9_a_pbx_that_decides_otherwise_is_asked_once_more(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """What it tells first may be older than the wish; what it tells then counts."""
    asked = change(follows, wish(DND))
    await pbx.asked()
    await pbx.tell(says(DND, False))
    assert await pbx.asked() == ""
    await pbx.tell(says(DND, False))

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.PBX_OTHERWISE


@requirement("S9")
async def test_s9_another_target_than_asked_for_is_otherwise(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Calls would go elsewhere than the user has said."""
    asked = change(follows, wish(ALWAYS, forward_to="24"))
    await pbx.asked()
    await pbx.tell(says(ALWAYS, True, "25"))
    await pbx.asked()
    await pbx.tell(says(ALWAYS, True, "25"))

    with pytest.raises(ChangeRefused):
        await asked
    assert follower.line.state(ALWAYS) == FeatureState(True, "25")


@requirement("S9")
async def test_s9_other_rings_than_asked_for_are_otherwise(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Calls would go on too early or too late; what the PBX says is shown."""
    asked = change(follows, wish(NO_ANSWER, forward_to="24", ring_count=9))
    await pbx.asked()
    await pbx.tell(says(NO_ANSWER, True, "24", 4))
    assert await pbx.asked() == ""
    await pbx.tell(says(NO_ANSWER, True, "24", 4))

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.PBX_OTHERWISE
    assert follower.line.state(NO_ANSWER) == FeatureState(True, "24", 4)


@requirement("S9")
@pytest.mark.parametrize("target", ["sip:24@pbx.example", "tel:24", "2-4"])
async def test_s9_a_target_in_another_form_is_the_same(
    follower: Follower, follows: Follows, pbx: FeaturePbx, target: str
) -> None:
    """A number may come back as an address."""
    asked = change(follows, wish(ALWAYS, forward_to="24"))
    await pbx.asked()
    await pbx.tell(says(ALWAYS, True, target))

    assert (await asked).state.forward_to == target


@requirement("S9")
@pytest.mark.parametrize("status", [403, 415, 500])
async def test_s9_a_change_that_is_refused_says_so(
    follower: Follower, follows: Follows, pbx: FeaturePbx, status: int
) -> None:
    """With the answer, for the user to see."""
    asked = change(follows, wish(DND))
    await pbx.asked(status)

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.PBX_REFUSED
    assert refused.value.reason == str(status)
    assert is_there(follower)


async def change_and_renew(
    follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> asyncio.Task[ChangeOutcome]:
    """Turn do not disturb on; the PBX has forgotten the subscription, and takes another."""
    clock.advance(60)
    asked = change(follows, wish(DND))
    await pbx.asked(481)
    await settle()
    clock.advance(0)
    await pbx.take_subscribe(*ALL_OFF)
    return asked


@requirement("S8", "S9")
async def test_s9_a_change_outlives_a_subscription_that_the_pbx_has_forgotten(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """After a restart of the PBX, the first switch finds out."""
    asked = await change_and_renew(follows, pbx, clock)
    assert "<SetDoNotDisturb" in await pbx.asked()
    await pbx.tell(says(DND, True))

    assert (await asked).state.status


@requirement("S8", "S9")
async def test_s9_a_change_waits_for_another_subscription_once(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """A PBX that forgets each of them does not keep the caller waiting."""
    asked = await change_and_renew(follows, pbx, clock)
    await pbx.asked(481)

    with pytest.raises(ChangeRefused) as refused:
        await asyncio.wait_for(asked, 5)
    assert refused.value.reason == "481"


@requirement("S8", "S9")
async def test_s9_a_change_does_not_wait_long_for_another_subscription(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """Whoever has asked hears that the PBX did not take it."""
    asked = change(follows, wish(DND))
    await pbx.asked(481)
    await settle()
    clock.advance(PATIENCE)

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.reason == "481"


@requirement("S9")
async def test_s9_a_change_without_a_subscription_fails_at_once(
    follow: Follow, follows: Follows
) -> None:
    """Nobody waits for minutes."""
    follow()

    with pytest.raises(ChangeRefused) as refused:
        await change(follows, wish(DND))
    assert refused.value.refusal is Refusal.PBX_SILENT


@requirement("S9")
async def test_s9_a_change_without_an_answer_fails(
    follower: Follower, follows: Follows, pbx: FeaturePbx, clock: ManualClock
) -> None:
    """By timer F, and the line is unavailable then."""
    asked = change(follows, wish(DND))
    await pbx.next_request()
    clock.advance(32.1)

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.PBX_SILENT
    assert not is_there(follower)


@requirement("S9")
async def test_s9_changes_go_one_after_the_other(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """The second waits for the NOTIFY of the first, not only for its 2xx."""
    first = change(follows, wish(DND))
    second = change(follows, wish(ALWAYS, forward_to="24"))
    assert "SetDoNotDisturb" in await pbx.asked()
    await pbx.silence(0.05)
    await pbx.tell(says(DND, True))
    assert "SetForwarding" in await pbx.asked()
    await pbx.tell(says(ALWAYS, True, "24"))

    assert (await first).state.status
    assert (await second).state == FeatureState(True, "24")


@requirement("S9")
async def test_s9_too_many_changes_are_refused(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """They would be made minutes after they were wanted."""
    change(follows, wish(DND))
    await pbx.next_request()
    asked = [
        change(follows, wish(DND, param=number)) for number in range(MAX_WAITING + 1)
    ]
    await settle()

    refused = [task for task in asked if task.done()]
    assert len(refused) == 1
    error = refused[0].exception()
    assert isinstance(error, ChangeRefused)
    assert error.refusal is Refusal.TOO_MANY_WAITING
    for task in asked:
        task.cancel()


@requirement("S9")
async def test_s9_changes_of_one_feature_that_wait_become_one(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """A switch that is moved again and again asks for where it is in the end."""
    first = change(follows, wish(DND))
    await pbx.asked()
    others = [change(follows, wish(DND, on)) for on in (False, True, False)]
    await settle()
    await pbx.tell(says(DND, True))
    assert "<doNotDisturbOn>false</doNotDisturbOn>" in await pbx.asked()
    await pbx.tell(says(DND, False))

    assert (await first).state.status
    assert [(await other).state.status for other in others] == [False] * 3
    await pbx.silence(0.05)


@requirement("S9")
async def test_s9_what_is_so_already_is_not_asked_for(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """An action asks all the same: it is how to set things right."""
    outcome = await change(follows, wish(DND, False))
    assert outcome.state == outcome.before

    asked = change(follows, wish(DND, False, origin=Origin.ACTION))
    await pbx.asked()
    await pbx.tell(says(DND, False))
    await asked


@requirement("S9")
async def test_s9_an_unknown_feature_can_be_asked_for(
    follow: Follow, follows: Follows, pbx: FeaturePbx
) -> None:
    """The PBX may tell it only once it changes."""
    line = follow().line
    await pbx.take_subscribe("", b"")
    asked = change(follows, wish(DND, False))
    assert "<doNotDisturbOn>false</doNotDisturbOn>" in await pbx.asked()
    await pbx.tell(says(DND, False))

    assert not (await asked).state.status
    assert DND not in line.unknown


@requirement("S9")
async def test_s9_a_target_alone_needs_a_known_state(
    follow: Follow, follows: Follows, pbx: FeaturePbx
) -> None:
    """There is no asking for a target without on or off, and either may be wrong."""
    follow()
    await pbx.take_subscribe("", b"")

    with pytest.raises(ChangeRefused) as refused:
        await change(follows, wish(ALWAYS, None, forward_to="24"))
    assert refused.value.refusal is Refusal.PBX_UNKNOWN


async def test_a_cleared_target_turns_the_forwarding_off(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """A PBX keeps the target that it has: nothing can take it away."""
    await pbx.tell(says(ALWAYS, True, "24"))
    asked = change(follows, wish(ALWAYS, None, forward_to=""))
    body = await pbx.asked()
    await pbx.tell(says(ALWAYS, False))

    assert not (await asked).state.status
    assert "<activateForward>false</activateForward>" in body
    assert "forwardDN" not in body


async def test_a_claim_ends_by_asking_the_pbx(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Do not disturb until a time, and back."""
    asked = change(follows, wish(DND, hold=Hold("", 2_000_000_000.0)))
    await pbx.asked()
    await pbx.tell(says(DND, True))
    await asked
    assert follower.line.claims(DND) is not None

    ended = change(
        follows, wish(DND, None, origin=Origin.END, ended_at=2_000_000_001.0)
    )
    assert "<doNotDisturbOn>false</doNotDisturbOn>" in await pbx.asked()
    await pbx.tell(says(DND, False))
    await ended

    assert follower.line.claims(DND) is None
    assert not follower.line.state(DND).status


async def test_a_claim_ends_when_the_pbx_changes_the_feature(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Somebody has pressed a key; the same said again is no press."""
    asked = change(follows, wish(DND, hold=Hold("meeting", None)))
    await pbx.asked()
    await pbx.tell(says(DND, True))
    await asked
    await pbx.tell(says(DND, True))
    assert follower.line.claims(DND) is not None

    await pbx.tell(says(DND, False))

    assert follower.line.claims(DND) is None


# Settings


async def test_other_settings_are_taken_without_a_new_line(
    follower: Follower,
    follows: Follows,
    pbx: FeaturePbx,
    config_of_line: FollowedConfig,
    clock: ManualClock,
) -> None:
    """A new password begins a new subscription; entities keep their line."""
    line = follower.line
    subscriber = replace(config_of_line.subscriber, password="other")
    assert follows.update(replace(config_of_line, subscriber=subscriber))
    assert not is_there(follower)
    goodbye = await pbx.next_request()
    assert goodbye.get("Expires") == "0"
    pbx.answer_subscribe(goodbye, expires="0")
    await settle()
    clock.advance(0.2)
    await pbx.take_subscribe(*ALL_OFF)

    assert follower.line is line
    assert is_there(follower)
    assert not follows.update(replace(config_of_line, subscriber=subscriber))


async def test_settings_may_change_again_while_the_goodbye_is_not_over(
    follows: Follows,
    pbx: FeaturePbx,
    config_of_line: FollowedConfig,
    clock: ManualClock,
) -> None:
    """A PBX may take a minute to say nothing; then the newest settings count."""
    registered, second, third = (
        replace(
            config_of_line,
            subscriber=replace(
                config_of_line.subscriber, register=True, password=password
            ),
        )
        for password in ("first", "second", "third")
    )
    follower = follows.add(registered)
    clock.advance(0.1)
    pbx.accept(await pbx.next_request())
    await pbx.take_subscribe(*ALL_OFF)
    follows.update(second)
    goodbye = await pbx.next_request()
    follows.update(third)
    pbx.answer_subscribe(goodbye)
    pbx.accept(await pbx.next_request(), [])
    await settle()
    clock.advance(0.2)

    assert (await pbx.next_request()).get("Expires") == "3600"
    assert follower.remote is not None
    assert follower.remote.config.password == "third"


async def test_other_settings_do_not_wait_for_a_pbx_that_is_silent(
    follows: Follows,
    pbx: FeaturePbx,
    config_of_line: FollowedConfig,
    clock: ManualClock,
) -> None:
    """Three seconds, and then the old binding is not taken away any more."""
    first, second = (
        replace(
            config_of_line,
            subscriber=replace(
                config_of_line.subscriber, register=True, password=password
            ),
        )
        for password in ("first", "second")
    )
    follower = follows.add(first)
    clock.advance(0.1)
    pbx.accept(await pbx.next_request())
    await pbx.take_subscribe(*ALL_OFF)
    follows.update(second)
    clock.advance(2.9)
    await settle()
    assert pbx.drain() > 1
    clock.advance(0.3)

    register = await pbx.next_request()
    assert (register.method, register.get("Expires")) == ("REGISTER", "3600")
    pbx.accept(register)
    await pbx.take_subscribe(*ALL_OFF)
    clock.advance(40)
    await pbx.silence(0.1)
    assert follower.line.available


async def test_fewer_features_need_no_new_subscription(
    follower: Follower,
    follows: Follows,
    pbx: FeaturePbx,
    config_of_line: FollowedConfig,
) -> None:
    """The PBX tells what it has."""
    assert follows.update(replace(config_of_line, assigned=(DND,)))
    await pbx.silence(0.05)

    assert follower.line.assigned == (DND,)
    assert is_there(follower)


async def test_a_line_that_is_removed_refuses_what_waits(
    follower: Follower, follows: Follows, sync: FeatureSync, pbx: FeaturePbx
) -> None:
    """And is no line any more."""
    asked = change(follows, wish(DND))
    await pbx.next_request()
    follows.remove("followed-1")

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.LINE_REMOVED
    assert "followed-1" not in sync.lines


async def test_a_stop_refuses_what_waits(
    follower: Follower, follows: Follows, pbx: FeaturePbx
) -> None:
    """Nobody is left without an answer."""
    asked = change(follows, wish(DND))
    await pbx.next_request()
    follows.stop()

    with pytest.raises(ChangeRefused) as refused:
        await asked
    assert refused.value.refusal is Refusal.STOPPING
