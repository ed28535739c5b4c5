"""Phones that log in here for a line whose PBX owns the state, beside that PBX."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from custom_components.dfks.features.follow import (
    PATIENCE,
    FollowedConfig,
    Follower,
    Follows,
)
from custom_components.dfks.features.hooks import Ruling
from custom_components.dfks.features.model import FeatureChanged, FeatureState, Origin
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import SipServer
from tests.clock import ManualClock
from tests.hooks import FunctionHooks, says as says_nothing
from tests.loopback import HOST
from tests.phone import ALWAYS as CFA, DND as KEY, NO_ANSWER as CFNA, Phone, settle
from tests.phone.documents import set_dnd

from .follow import (
    ALL_OFF,
    ALWAYS,
    BUSY,
    DND,
    NO_ANSWER,
    FeaturePbx,
    Watching,
    change,
    full_state,
    says,
    wish,
)
from .test_follow import (
    Follow,
    config_of_line as plain_config,
    follow,
    follower,
    follows,
    pbx,
)

__all__ = ["follow", "follower", "follows", "pbx", "plain_config"]

requirement = pytest.mark.requirement

OURS = "a password of ours"


@pytest.fixture
def config_of_line(plain_config: FollowedConfig) -> FollowedConfig:
    """Return a line that phones log in here for."""
    return replace(plain_config, password=OURS)


@pytest.fixture
async def phone(follower: Follower, server: SipServer) -> AsyncIterator[Phone]:
    """Return a phone of the line that knows what the PBX has said: all is off."""
    async with Phone("501", OURS, (HOST, server.port)) as phone:
        await watch(phone)
        assert not any(lamp.on for lamp in phone.features.values())
        yield phone


async def watch(phone: Phone) -> None:
    """Register and subscribe, as a phone does when it starts."""
    assert (await phone.register()).status == 200
    assert (await phone.subscribe()).status == 200
    await phone.notification()


class TestLamps:
    """Phones are told what the PBX says, and nothing else."""

    @requirement("S17")
    async def test_s17_a_phone_is_told_what_the_pbx_has_said(
        self, follow: Follow, pbx: FeaturePbx, server: SipServer
    ) -> None:
        """The full state, once it subscribes."""
        follow()
        await pbx.take_subscribe(
            *full_state(says(DND, True), says(NO_ANSWER, True, "24", 7))
        )
        async with Phone("501", OURS, (HOST, server.port)) as phone:
            await watch(phone)

            assert phone.features[KEY].on
            assert (phone.features[CFNA].target, phone.features[CFNA].rings) == (
                "24",
                7,
            )

    @requirement("S17")
    async def test_s17_a_feature_that_the_pbx_has_not_said_is_left_out(
        self, follow: Follow, pbx: FeaturePbx, server: SipServer
    ) -> None:
        """It is told when the PBX says it, be it off."""
        follow()
        await pbx.take_subscribe("", b"")
        async with Phone("501", OURS, (HOST, server.port)) as phone:
            await watch(phone)
            assert phone.features == {}

            await pbx.tell(says(DND, False))
            await phone.until(lambda lamps: KEY in lamps)

            assert not phone.features[KEY].on
            assert CFA not in phone.features

    @requirement("S17")
    async def test_s17_every_phone_is_told_what_the_pbx_changes(
        self, phone: Phone, pbx: FeaturePbx, server: SipServer
    ) -> None:
        """What it says again is told once."""
        async with Phone("501", OURS, (HOST, server.port)) as other:
            await watch(other)
            await pbx.tell(says(DND, True))
            await phone.until(lambda lamps: lamps[KEY].on)
            await other.until(lambda lamps: lamps[KEY].on)

            await pbx.tell(says(DND, True))
            await phone.quiet()

    @requirement("S17")
    async def test_s17_no_hook_is_asked(
        self,
        phone: Phone,
        pbx: FeaturePbx,
        sync: FeatureSync,
    ) -> None:
        """The PBX decides; a hook that knew otherwise would be a second state."""
        hooks = FunctionHooks(says_nothing(Ruling()), says_nothing(Ruling()))
        sync.hooks = hooks
        assert (await phone.refresh()).status == 200
        await phone.notification()
        assert (await phone.set_dnd(True)).status == 200
        await pbx.asked()

        assert hooks.asked == []


class TestKeys:
    """A key is asked of the PBX, and only what that says moves a lamp."""

    @requirement("S17")
    async def test_s17_a_key_waits_for_the_pbx(
        self, phone: Phone, pbx: FeaturePbx, follower: Follower
    ) -> None:
        """It is asked of the PBX with our device, and the lamp follows its NOTIFY."""
        assert (await phone.set_dnd(True)).status == 200
        body = await pbx.asked()
        await phone.quiet()
        assert not follower.line.state(DND).status

        await pbx.tell(says(DND, True))

        await phone.until(lambda lamps: lamps[KEY].on)
        assert "<device>501</device><doNotDisturbOn>true</doNotDisturbOn>" in body

    @requirement("S17")
    async def test_s17_a_forwarding_goes_with_target_and_rings(
        self, phone: Phone, pbx: FeaturePbx
    ) -> None:
        """And comes back to every phone."""
        assert (await phone.set_forward("no-answer", True, "24", 6)).status == 200
        body = await pbx.asked()
        await pbx.tell(says(NO_ANSWER, True, "24", 6))
        await phone.until(lambda lamps: lamps[CFNA].on)

        assert "<forwardDN>24</forwardDN><ringCount>6</ringCount>" in body
        assert phone.features[CFNA].rings == 6

    @requirement("S10", "S17")
    async def test_s17_the_author_is_the_phone_once(
        self, phone: Phone, pbx: FeaturePbx, follower: Follower
    ) -> None:
        """Although it is the PBX that says it, and Kamailio says it twice."""
        watching = Watching(follower)
        await phone.set_dnd(True)
        await pbx.asked()
        await pbx.tell(says(DND, True))
        await pbx.tell(says(DND, True))
        await settle()

        changes = [item for item in watching.events if isinstance(item, FeatureChanged)]
        (event,) = changes
        assert event.change.origin is Origin.PHONE
        assert event.change.source == "{}:{}".format(*phone.link.local)

    @requirement("S17")
    @pytest.mark.parametrize("status", [403, 500])
    async def test_s17_a_key_that_the_pbx_refuses_is_set_back(
        self, phone: Phone, pbx: FeaturePbx, status: int
    ) -> None:
        """The phone has shown what was pressed: it is told what is."""
        await phone.set_dnd(True)
        await pbx.asked(status)
        told = await phone.notification()

        assert not told.features[KEY].on

    @requirement("S17")
    async def test_s17_a_key_is_set_back_where_the_pbx_decides_otherwise(
        self, phone: Phone, pbx: FeaturePbx
    ) -> None:
        """It is asked for the state first."""
        await phone.set_dnd(True)
        await pbx.asked()
        await pbx.tell(says(DND, False))
        await pbx.asked()
        await pbx.tell(says(DND, False))
        told = await phone.notification()

        assert not told.features[KEY].on

    @requirement("S17")
    async def test_s17_a_key_is_set_back_where_the_pbx_says_nothing(
        self, phone: Phone, pbx: FeaturePbx, clock: ManualClock
    ) -> None:
        """Ten seconds later at the latest."""
        await phone.set_dnd(True)
        for _ in range(2):
            await pbx.asked()
            await settle()
            clock.advance(PATIENCE)
        told = await phone.notification()

        assert not told.features[KEY].on

    @requirement("S17")
    async def test_s17_a_key_that_changes_nothing_is_not_asked_for(
        self, phone: Phone, pbx: FeaturePbx
    ) -> None:
        """Phones repeat their state by themselves; the lamp is confirmed."""
        await phone.set_dnd(False)
        told = await phone.notification()
        await pbx.silence(0.05)

        assert not told.features[KEY].on

    @requirement("S17")
    async def test_s17_keys_that_wait_become_one(
        self, phone: Phone, pbx: FeaturePbx
    ) -> None:
        """What waits is only the newest wish of a phone."""
        await phone.set_dnd(True)
        await pbx.asked()
        for target in ("24", "25", "26"):
            await phone.set_forward("always", True, target)
        await pbx.tell(says(DND, True))
        assert "<forwardDN>26</forwardDN>" in await pbx.asked()
        await pbx.tell(says(ALWAYS, True, "26"))

        await phone.until(lambda lamps: lamps[CFA].target == "26")
        await pbx.silence(0.05)

    @requirement("S17")
    async def test_s17_a_key_and_a_switch_go_one_after_the_other(
        self, phone: Phone, pbx: FeaturePbx, follows: Follows
    ) -> None:
        """In the order in which they came."""
        await phone.set_dnd(True)
        await settle()
        switched = change(follows, wish(ALWAYS, forward_to="24"))
        assert "SetDoNotDisturb" in await pbx.asked()
        await pbx.silence(0.05)
        await pbx.tell(says(DND, True))
        assert "SetForwarding" in await pbx.asked()
        await pbx.tell(says(ALWAYS, True, "24"))

        assert (await switched).state == FeatureState(True, "24")
        await phone.until(lambda lamps: lamps[CFA].target == "24")

    @requirement("S17")
    async def test_s17_a_slow_pbx_keeps_no_other_line_waiting(
        self, phone: Phone, pbx: FeaturePbx, sync: FeatureSync
    ) -> None:
        """Each line that is followed has a queue of its own."""
        sync.hooks = FunctionHooks(rule=says_nothing(Ruling()))
        await phone.set_dnd(True)
        await pbx.next_request()

        async with asyncio.timeout(5):
            outcome = await sync.change("line-201", wish(DND))

        assert outcome.state.status

    @requirement("S17")
    async def test_s17_the_last_wish_of_a_phone_that_leaves_is_asked_for(
        self, phone: Phone, pbx: FeaturePbx
    ) -> None:
        """Its last NOTIFY comes when the PBX has decided."""
        assert (await phone.refresh(0, set_dnd(True))).status == 200
        await pbx.asked()
        await phone.quiet()
        await pbx.tell(says(DND, True))
        told = await phone.notification()

        assert told.state == "terminated"
        assert told.features[KEY].on


class TestAway:
    """While the PBX does not answer."""

    @pytest.fixture
    async def away(
        self, phone: Phone, pbx: FeaturePbx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Have the PBX end the subscription, after it has said that a feature is on."""
        monkeypatch.setattr("random.uniform", lambda one, _: one)
        await pbx.tell(says(DND, True), state="terminated;reason=giveup;retry-after=60")
        await phone.until(lambda lamps: lamps[KEY].on)

    @requirement("S11", "S17")
    async def test_s17_phones_see_the_last_known_state(
        self, phone: Phone, away: None, follower: Follower, server: SipServer
    ) -> None:
        """Those that are there and those that come, while entities are unavailable."""
        assert not follower.line.available
        await phone.quiet()
        async with Phone("501", OURS, (HOST, server.port)) as other:
            await watch(other)

            assert other.features[KEY].on

    @requirement("S17")
    async def test_s17_a_key_is_refused_with_a_reason_and_set_back(
        self, phone: Phone, away: None
    ) -> None:
        """By 503: 480 would end the phone's subscription (RFC 6665 4.1.2.2)."""
        response = await phone.set_dnd(False)
        told = await phone.notification()

        assert response.status == 503
        assert response.reason == "The PBX of the line does not answer"
        assert response.get("Retry-After", "") == ""
        assert told.features[KEY].on
        assert (await phone.refresh()).status == 200

    @requirement("S17")
    async def test_s17_a_phone_is_told_what_is_new_when_the_pbx_is_back(
        self, phone: Phone, away: None, pbx: FeaturePbx, clock: ManualClock
    ) -> None:
        """And nothing where the PBX says the same as before."""
        clock.advance(60.2)
        await pbx.take_subscribe(*full_state(says(DND, False), says(BUSY, False)))

        await phone.until(lambda lamps: not lamps[KEY].on)

    @requirement("S17")
    async def test_s17_a_pbx_that_has_not_changed_is_no_news(
        self, phone: Phone, away: None, pbx: FeaturePbx, clock: ManualClock
    ) -> None:
        """Lamps are right already."""
        clock.advance(60.2)
        await pbx.take_subscribe(*full_state(says(DND, True), says(BUSY, False)))

        await phone.quiet()

    @requirement("S17")
    async def test_s17_a_key_that_waits_is_set_back_when_the_pbx_goes(
        self, phone: Phone, pbx: FeaturePbx, clock: ManualClock
    ) -> None:
        """Nobody has said that it is so."""
        await phone.set_dnd(True)
        await pbx.next_request()
        clock.advance(32.1)
        told = await phone.notification()

        assert not told.features[KEY].on


class TestSettings:
    """Who may log in."""

    @requirement("S17")
    async def test_s17_nobody_logs_in_where_there_is_no_password_of_ours(
        self,
        follows: Follows,
        plain_config: FollowedConfig,
        server: SipServer,
        pbx: FeaturePbx,
        clock: ManualClock,
    ) -> None:
        """Not with the password of the PBX either."""
        follows.add(plain_config)
        clock.advance(0.1)
        await pbx.take_subscribe(*ALL_OFF)
        async with Phone("501", "secret-501", (HOST, server.port)) as phone:
            assert (await phone.register()).status in (401, 403)

    @requirement("S17")
    async def test_s17_the_password_of_the_pbx_lets_nobody_in(
        self, follower: Follower, server: SipServer
    ) -> None:
        """It is for the PBX alone."""
        async with Phone("501", "secret-501", (HOST, server.port)) as phone:
            assert (await phone.register()).status in (401, 403)

    @requirement("S17")
    async def test_s17_phones_may_log_in_from_now_on_or_no_more(
        self,
        phone: Phone,
        follows: Follows,
        config_of_line: FollowedConfig,
        plain_config: FollowedConfig,
        pbx: FeaturePbx,
        server: SipServer,
    ) -> None:
        """Without another subscription at the PBX; phones are told."""
        assert follows.update(plain_config)
        told = await phone.notification()
        assert told.state == "terminated"
        assert server.claimed_account("501", "501") is None

        assert follows.update(config_of_line)
        await watch(phone)
        await pbx.silence(0.05)
        assert phone.features[KEY].on is False

    async def test_another_password_is_asked_for_at_once(
        self,
        phone: Phone,
        follows: Follows,
        config_of_line: FollowedConfig,
        server: SipServer,
    ) -> None:
        """The subscription of a phone that has not got it stays, until it is renewed."""
        follows.update(replace(config_of_line, password="another"))
        async with Phone("501", "another", (HOST, server.port)) as other:
            await watch(other)

        assert (await phone.refresh()).status in (401, 403)

    async def test_fewer_features_are_told_to_phones(
        self, phone: Phone, follows: Follows, config_of_line: FollowedConfig
    ) -> None:
        """They show what the line has."""
        follows.update(replace(config_of_line, assigned=(DND,)))
        told = await phone.notification()

        assert [*told.features] == [KEY]

    async def test_another_line_of_the_pbx_says_itself_what_it_is(
        self,
        phone: Phone,
        follows: Follows,
        config_of_line: FollowedConfig,
        server: SipServer,
    ) -> None:
        """What was known was said of another one."""
        where = replace(config_of_line.subscriber, user="502", username="502")
        follows.update(replace(config_of_line, subscriber=where))
        told = await phone.notification()
        assert not told.features

        async with Phone("502", OURS, (HOST, server.port)) as other:
            await watch(other)
            assert other.features == {}

    @requirement("S17")
    async def test_s17_a_user_that_is_taken_is_refused(
        self,
        follower: Follower,
        follows: Follows,
        config_of_line: FollowedConfig,
        server: SipServer,
    ) -> None:
        """The line stays as it was."""
        where = replace(config_of_line.subscriber, user="201")
        with pytest.raises(ValueError, match="taken"):
            follows.update(replace(config_of_line, subscriber=where))

        assert follower.line.user == "501"
        async with Phone("501", OURS, (HOST, server.port)) as phone:
            assert (await phone.register()).status == 200

    @requirement("S17")
    async def test_s17_so_is_one_for_a_line_that_nobody_logged_in_for(
        self, follows: Follows, plain_config: FollowedConfig
    ) -> None:
        """It is the user of the PBX as before."""
        follower = follows.add(plain_config)
        where = replace(plain_config.subscriber, user="201")
        with pytest.raises(ValueError, match="taken"):
            follows.update(replace(plain_config, subscriber=where, password=OURS))

        assert follower.line.user == "501"
        assert not follower.line.served

    async def test_a_line_that_is_removed_ends_the_phones_subscriptions(
        self, phone: Phone, follows: Follows, server: SipServer
    ) -> None:
        """As that of any line does."""
        follows.remove("followed-1")
        told = await phone.notification()

        assert (told.state, told.reason) == ("terminated", "noresource")
        assert server.claimed_account("501", "501") is None
