"""Claims: what is on for a time, and what comes after."""

import asyncio
from dataclasses import replace

import pytest

from custom_components.dfks.features.claims import (
    MAX_CLAIMS,
    claims_after,
    last_end,
    names,
    next_end,
)
from custom_components.dfks.features.hooks import HookError, Ruling
from custom_components.dfks.features.model import (
    ChangeRefused,
    ChangeRequest,
    Claim,
    Claims,
    ClaimsChanged,
    Feature,
    FeatureChanged,
    FeatureState,
    Hold,
    Line,
    LineEvent,
    Origin,
    Refusal,
)
from custom_components.dfks.features.sync import FeatureSync
from tests.clock import ManualClock
from tests.hooks import FunctionHooks, says
from tests.phone import Lamp, Phone
from tests.server import line_config

from .conftest import Connect, features_told, told
from .test_hooks import Gate, fails, later, settled

DND = Feature.DO_NOT_DISTURB
ALWAYS = Feature.CALL_FORWARDING_ALWAYS
OFF, ON = FeatureState(), FeatureState(True)
NOW = 1_000_000.0


class Desk:
    """Line 201 as Home Assistant uses it."""

    def __init__(self, sync: FeatureSync, line: Line) -> None:
        """Start at `NOW`."""
        self.sync = sync
        self.line = line

    async def set(
        self,
        status: bool = True,
        to: str | None = None,
        *,
        claim: str | None = None,
        until: float | None = None,
        origin: Origin = Origin.ACTION,
    ) -> FeatureState:
        """Change Do not disturb, or call forwarding always where a target is given."""
        hold = None
        if claim is not None or until is not None:
            hold = Hold(claim or "", until)
        change = ChangeRequest(
            feature=DND if to is None else ALWAYS,
            status=status,
            forward_to=to,
            hold=hold,
            origin=origin,
        )
        return (await self.sync.change("line-201", change)).state

    async def release(self, name: str, feature: Feature = DND) -> FeatureState:
        """Release a claim."""
        change = ChangeRequest(feature=feature, release=name, origin=Origin.ACTION)
        return (await self.sync.change("line-201", change)).state

    async def pass_until(self, now: float, feature: Feature = DND) -> FeatureState:
        """End what is over by then."""
        change = ChangeRequest(feature=feature, ended_at=now, origin=Origin.END)
        return (await self.sync.change("line-201", change)).state

    @property
    def held(self) -> list[str]:
        """The names of the claims on Do not disturb."""
        claims = self.line.claims(DND)
        return [] if claims is None else [claim.name for claim in claims.held]


@pytest.fixture
def desk(sync: FeatureSync, line: Line) -> Desk:
    """Return line 201 with nothing set."""
    return Desk(sync, line)


class TestEnds:
    """How a claim ends, and what the feature goes back to."""

    async def test_released_claim_goes_back_to_off(self, desk: Desk) -> None:
        """It lasts until then."""
        assert await desk.set(claim="meeting") == ON
        assert await desk.pass_until(NOW + 1e9) == ON
        assert await desk.release("meeting") == OFF
        assert desk.held == []

    async def test_claim_ends_at_its_time(self, desk: Desk) -> None:
        """Not before."""
        await desk.set(claim="meeting", until=NOW + 60)
        assert await desk.pass_until(NOW + 59) == ON
        assert await desk.pass_until(NOW + 60) == OFF

    async def test_what_was_on_before_stays_on(self, desk: Desk) -> None:
        """A person had set it."""
        await desk.set(origin=Origin.ENTITY)
        await desk.set(claim="meeting", until=NOW + 60)
        assert await desk.pass_until(NOW + 60) == ON
        assert desk.held == []

    async def test_forwarding_goes_back_to_its_old_target(self, desk: Desk) -> None:
        """On or off, as it was."""
        await desk.set(False, "300")
        await desk.set(to="400", claim="away")
        assert await desk.release("away", ALWAYS) == FeatureState(False, "300")

        await desk.set(True, "300")
        await desk.set(to="400", claim="away")
        assert await desk.release("away", ALWAYS) == FeatureState(True, "300")

    @pytest.mark.parametrize("until", [NOW + 30, NOW + 90, None])
    async def test_a_new_call_of_a_claim_replaces_its_end(
        self, desk: Desk, until: float | None
    ) -> None:
        """A meeting that is cut short, moved, or open-ended."""
        await desk.set(claim="meeting", until=NOW + 60)
        await desk.set(claim="meeting", until=until)
        assert desk.held == ["meeting"]
        assert await desk.pass_until(NOW + 45) == (OFF if until == NOW + 30 else ON)
        assert await desk.pass_until(NOW + 75) == (OFF if until == NOW + 30 else ON)
        assert await desk.pass_until(NOW + 95) == (ON if until is None else OFF)

    async def test_a_claim_that_is_not_held_is_released_in_vain(
        self, desk: Desk, phone: Phone
    ) -> None:
        """Nothing changes, and nobody is told."""
        await desk.set(claim="meeting")
        await told(phone)
        assert await desk.release("night") == ON
        assert desk.held == ["meeting"]
        assert await told(phone) == []

    async def test_the_old_number_of_rings_comes_back(
        self, desk: Desk, sync: FeatureSync, line: Line
    ) -> None:
        """As the target does."""
        no_answer = Feature.CALL_FORWARDING_NO_ANSWER
        before = FeatureState(False, "200", 7)
        line.store(no_answer, before)
        claim = ChangeRequest(
            feature=no_answer,
            status=True,
            ring_count=2,
            hold=Hold("away", None),
            origin=Origin.ACTION,
        )
        await sync.change("line-201", claim)
        assert line.state(no_answer) == FeatureState(True, "200", 2)
        assert await desk.release("away", no_answer) == before

    async def test_features_are_claimed_one_by_one(self, desk: Desk) -> None:
        """The same name on another feature is another claim."""
        await desk.set(claim="away")
        await desk.set(to="400", claim="away")
        assert await desk.release("away") == OFF
        assert desk.line.state(ALWAYS) == FeatureState(True, "400")


class TestSeveral:
    """Claims that overlap."""

    @pytest.mark.parametrize("first", ["meeting", "night"])
    async def test_the_last_one_ends_it(
        self, desk: Desk, phone: Phone, clock: ManualClock, first: str
    ) -> None:
        """Whichever that is; the end of another one is told to nobody."""
        await desk.set(claim="meeting")
        await desk.set(claim="night")
        await told(phone)
        clock.advance(2)
        assert await desk.release(first) == ON
        assert await told(phone) == []
        assert await desk.release({"meeting": "night"}.get(first, "meeting")) == OFF
        assert await features_told(phone) == [[DND]]

    async def test_one_that_changes_nothing_is_told_to_nobody(
        self, desk: Desk, phone: Phone
    ) -> None:
        """Automations renew theirs again and again; other actions set lamps right."""
        await desk.set(claim="meeting")
        assert await features_told(phone) == [[DND]]
        await desk.set(claim="meeting", until=NOW + 60)
        await desk.set(claim="night")
        assert await told(phone) == []
        await desk.set()
        assert await features_told(phone) == [[DND]]

    async def test_the_newest_that_is_left_decides_where_calls_go(
        self, desk: Desk
    ) -> None:
        """Until the state before the first one comes back."""
        await desk.set(False, "200")
        await desk.set(to="300", claim="lunch")
        await desk.set(to="400", claim="away")
        assert await desk.release("away", ALWAYS) == FeatureState(True, "300")
        await desk.set(to="400", claim="away")
        assert await desk.release("lunch", ALWAYS) == FeatureState(True, "400")
        assert await desk.release("away", ALWAYS) == FeatureState(False, "200")

    async def test_the_newest_of_several_that_are_left(self, desk: Desk) -> None:
        """Not the oldest."""
        for to, claim in (("300", "lunch"), ("400", "away"), ("500", "night")):
            await desk.set(to=to, claim=claim)
        assert await desk.release("night", ALWAYS) == FeatureState(True, "400")

    async def test_one_too_many_is_refused(self, desk: Desk) -> None:
        """An automation that makes up names does not fill the disk."""
        for number in range(MAX_CLAIMS):
            await desk.set(claim=f"claim {number}")
        with pytest.raises(ChangeRefused) as refused:
            await desk.set(claim="one more")
        assert refused.value.refusal is Refusal.TOO_MANY_CLAIMS
        assert await desk.set(claim="claim 3", until=NOW + 60) == ON
        assert len(desk.held) == MAX_CLAIMS
        # A person's end takes their place.
        assert await desk.set(until=NOW + 60) == ON
        assert desk.held == [""]


class TestOthers:
    """Changes without a claim."""

    @pytest.mark.parametrize("origin", [Origin.PHONE, Origin.ENTITY, Origin.ACTION])
    async def test_any_change_ends_all_claims(self, desk: Desk, origin: Origin) -> None:
        """What it sets stays."""
        await desk.set(claim="meeting")
        await desk.set(claim="night", until=NOW + 60)
        await desk.set(False, origin=origin)
        assert desk.held == []
        assert await desk.release("meeting") == OFF

        await desk.set(origin=origin)
        assert await desk.pass_until(NOW + 60) == ON

    async def test_a_key_on_a_phone_ends_them(
        self, desk: Desk, phone: Phone, clock: ManualClock
    ) -> None:
        """The person there has the last word."""
        clock.advance(1)
        await desk.set(claim="meeting")
        await phone.set_dnd(False)
        assert (desk.held, desk.line.state(DND)) == ([], OFF)

    @pytest.mark.parametrize("origin", [Origin.ENTITY, Origin.ACTION])
    async def test_asking_for_what_is_there_ends_them(
        self, desk: Desk, origin: Origin
    ) -> None:
        """Home Assistant wants it on, whatever the claim wants later."""
        await desk.set(claim="meeting")
        await desk.set(origin=origin)
        assert await desk.release("meeting") == ON

    async def test_a_phone_that_repeats_what_it_was_told_ends_nothing(
        self, desk: Desk, phone: Phone
    ) -> None:
        """Some do so by themselves after a NOTIFY."""
        await desk.set(claim="meeting")
        await phone.set_dnd(True)
        assert desk.held == ["meeting"]

    async def test_a_get_hook_that_supplies_what_is_there_ends_nothing(
        self, desk: Desk, sync: FeatureSync, phone: Phone
    ) -> None:
        """It is asked whenever a phone subscribes; another state of it counts."""
        await desk.set(claim="meeting")
        sync.hooks = FunctionHooks(supply=says(Ruling(status=True)))
        await phone.refresh()
        await settled(sync)
        assert desk.held == ["meeting"]
        sync.hooks = FunctionHooks(supply=says(Ruling(status=False)))
        await phone.refresh()
        await settled(sync)
        assert desk.held == []

    async def test_after_that_a_claim_starts_anew(self, desk: Desk) -> None:
        """With the state that the person has set."""
        await desk.set(claim="meeting")
        await desk.set(False, origin=Origin.PHONE)
        await desk.set(claim="meeting")
        assert await desk.release("meeting") == OFF


class TestPersons:
    """A person who sets an end, without a name."""

    async def test_on_for_an_hour(self, desk: Desk) -> None:
        """Then off."""
        assert await desk.set(until=NOW + 3600) == ON
        assert await desk.pass_until(NOW + 3600) == OFF

    async def test_what_is_on_already_goes_off(self, desk: Desk) -> None:
        """The person wants an end to it."""
        await desk.set()
        await desk.set(until=NOW + 60)
        assert await desk.pass_until(NOW + 60) == OFF

    async def test_what_leads_elsewhere_leads_there_again(self, desk: Desk) -> None:
        """It was another state before."""
        await desk.set(to="300")
        await desk.set(to="400", until=NOW + 60)
        assert await desk.pass_until(NOW + 60, ALWAYS) == FeatureState(True, "300")

    async def test_a_new_end_replaces_the_old_one(self, desk: Desk) -> None:
        """Later or earlier, off is off."""
        await desk.set(until=NOW + 60)
        await desk.set(until=NOW + 90)
        assert await desk.pass_until(NOW + 60) == ON
        assert await desk.pass_until(NOW + 90) == OFF

    async def test_it_ends_claims_as_any_other_change(self, desk: Desk) -> None:
        """Its own end counts, though the feature was on before the claim."""
        await desk.set()
        await desk.set(claim="meeting", until=NOW + 30)
        await desk.set(until=NOW + 60)
        assert await desk.pass_until(NOW + 30) == ON
        assert await desk.pass_until(NOW + 60) == OFF

    async def test_a_claim_on_top_of_it_lasts_as_long_as_it_likes(
        self, desk: Desk
    ) -> None:
        """Then what was before both comes back."""
        await desk.set(until=NOW + 60)
        await desk.set(claim="meeting", until=NOW + 90)
        assert await desk.pass_until(NOW + 60) == ON
        assert await desk.pass_until(NOW + 90) == OFF


class TestHooks:
    """Claims and the set hook."""

    async def test_the_hook_is_asked_about_the_end(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """With the state that the feature goes back to, as for any change."""
        asked: list[ChangeRequest] = []

        async def rule(_line: Line, change: ChangeRequest) -> Ruling:
            asked.append(change)
            return Ruling()

        sync.hooks = FunctionHooks(rule)
        await desk.set(to="400", claim="away")
        await desk.release("away", ALWAYS)
        assert [(c.status, c.forward_to) for c in asked] == [(True, "400"), (False, "")]

    async def test_it_is_not_asked_about_a_claim_that_is_not_held(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """Nothing is to change."""
        sync.hooks = hooks = FunctionHooks(says(Ruling()))
        assert await desk.release("meeting") == OFF
        assert hooks.asked == []

    async def test_a_veto_ends_the_claim_and_keeps_the_state(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """A hook that works is obeyed both ways."""
        await desk.set(claim="meeting", until=NOW + 60)
        sync.hooks = FunctionHooks(fails(ChangeRefused("no")))
        with pytest.raises(ChangeRefused):
            await desk.pass_until(NOW + 60)
        assert (desk.held, desk.line.state(DND)) == ([], ON)

    async def test_a_hook_that_does_not_work_keeps_no_claim_on(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """A forwarding that cannot go back to an older one is off."""
        await desk.set(to="300")
        await desk.set(to="400", claim="away", until=NOW + 60)
        sync.hooks = FunctionHooks(fails(HookError("broken")))
        state = await desk.pass_until(NOW + 60, ALWAYS)
        assert state == FeatureState(False, "400")
        assert desk.line.claims(ALWAYS) is None

    async def test_what_the_hook_turns_off_is_not_held(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """There is nothing to end."""
        sync.hooks = FunctionHooks(says(Ruling(status=False)))
        assert await desk.set(claim="meeting") == OFF
        assert desk.held == []

    async def test_who_changes_it_meanwhile_has_the_last_word(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """The end waits behind the change, and ends nothing any more."""
        await desk.set(claim="meeting")
        gate = Gate()
        sync.hooks = FunctionHooks(gate)
        off = ChangeRequest(feature=DND, status=False, origin=Origin.ENTITY)
        on = replace(off, status=True, param="not merged")
        release = ChangeRequest(feature=DND, release="meeting", origin=Origin.ACTION)
        first, second, third = [
            await later(sync, change) for change in (off, on, release)
        ]
        for _ in range(2):
            await gate.called()
            gate.open()
        await asyncio.gather(first, second, third)
        assert desk.line.state(DND) == ON

    async def test_a_change_and_an_end_that_wait_are_not_merged(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """Somebody wants it on, and so it stays on."""
        await desk.set(claim="meeting")
        gate = Gate()
        sync.hooks = FunctionHooks(gate)
        on = ChangeRequest(feature=DND, status=True, origin=Origin.ENTITY)
        release = ChangeRequest(feature=DND, release="meeting", origin=Origin.ACTION)
        first = replace(on, hold=Hold("meeting", None), param="not merged")
        changes = [await later(sync, change) for change in (first, on, release)]
        for _ in range(2):
            await gate.called()
            gate.open()
        await asyncio.gather(*changes)
        assert (desk.held, desk.line.state(DND)) == ([], ON)

    async def test_a_claim_that_is_moved_meanwhile_does_not_end(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """Its new end counts when the old one has its turn."""
        await desk.set(claim="meeting", until=NOW + 60)
        gate = Gate()
        sync.hooks = FunctionHooks(gate)
        moved = ChangeRequest(
            feature=DND,
            status=True,
            hold=Hold("meeting", NOW + 90),
            origin=Origin.ACTION,
        )
        end = ChangeRequest(feature=DND, ended_at=NOW + 60, origin=Origin.END)
        both = [await later(sync, change) for change in (moved, end)]
        await gate.called()
        gate.open()
        await asyncio.gather(*both)
        assert (desk.held, desk.line.state(DND)) == (["meeting"], ON)

    async def test_claims_of_different_names_are_not_merged(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """Each is held, though both wait."""
        gate = Gate()
        sync.hooks = FunctionHooks(gate)
        claims = [
            await later(
                sync,
                ChangeRequest(
                    feature=DND,
                    status=True,
                    hold=Hold(name, None),
                    origin=Origin.ACTION,
                ),
            )
            for name in ("first", "meeting", "night")
        ]
        for _ in claims:
            await gate.called()
            gate.open()
        await asyncio.gather(*claims)
        await settled(sync)
        assert desk.held == ["first", "meeting", "night"]


class TestEvents:
    """What listeners are told."""

    async def test_a_change_comes_with_the_claims_that_it_leaves(
        self, desk: Desk, sync: FeatureSync
    ) -> None:
        """Listeners read them from the line."""
        seen: list[list[str]] = []
        sync.subscribe(lambda event: seen.append(desk.held))
        await desk.set(claim="meeting")
        await desk.set(False)
        assert seen == [["meeting"], []]

    async def test_claims_that_change_alone_have_an_event(
        self, desk: Desk, events: list[LineEvent]
    ) -> None:
        """A new end; and none where all is as it was."""
        await desk.set(claim="meeting", until=NOW + 60)
        events.clear()
        await desk.set(claim="meeting", until=NOW + 90)
        await desk.set(claim="meeting", until=NOW + 90)
        assert [type(event) for event in events] == [ClaimsChanged]


class TestRestart:
    """Claims that outlive a restart."""

    async def test_missed_end_is_made_before_a_phone_is_told(
        self, sync: FeatureSync, connect: Connect
    ) -> None:
        """The first thing it hears is right; listeners are told later."""
        claims = Claims(OFF, (Claim("meeting", NOW + 60, ON),))
        sync.remove_line("line-201")
        line = sync.add_line(line_config("201"), {DND: ON}, {DND: claims})
        missed = sync.end_missed(NOW + 61)
        phone = await connect(subscribe=False)
        await phone.subscribe()
        assert (await phone.notification()).features[DND] == Lamp(False)

        events: list[LineEvent] = []
        line.subscribe(events.append)
        sync.announce(missed)
        (event,) = events
        assert isinstance(event, FeatureChanged)
        assert (event.old, event.new, event.change.origin) == (ON, OFF, Origin.END)

    async def test_what_is_not_over_goes_on(self, sync: FeatureSync) -> None:
        """With its state."""
        claims = Claims(OFF, (Claim("meeting", NOW + 60, ON),))
        sync.remove_line("line-201")
        line = sync.add_line(line_config("201"), {DND: ON}, {DND: claims})
        assert sync.end_missed(NOW) == []
        assert line.memory().claims == {DND: claims}
        assert line.state(DND) == ON

    async def test_what_has_changed_since_is_not_announced(
        self, desk: Desk, sync: FeatureSync, events: list[LineEvent]
    ) -> None:
        """Listeners are told of the newer change alone."""
        await desk.set(claim="meeting", until=NOW + 60)
        missed = sync.end_missed(NOW + 61)
        await desk.set()
        events.clear()
        sync.announce(missed)
        assert events == []


def hold(name: str, until: float | None) -> ChangeRequest:
    """Return a claim on Do not disturb."""
    return ChangeRequest(
        feature=DND, status=True, hold=Hold(name, until), origin=Origin.ACTION
    )


@pytest.mark.parametrize(
    ("ends", "first", "last"),
    [
        ([], None, None),
        ([None], None, None),
        ([NOW], NOW, NOW),
        ([NOW, NOW + 60], NOW, NOW + 60),
        ([NOW, None], NOW, None),
    ],
)
def test_ends_of_several_claims(
    ends: list[float | None], first: float | None, last: float | None
) -> None:
    """The next one, and the one after which the feature goes back."""
    claims = None
    for number, end in enumerate(ends):
        claims = claims_after(claims, hold(str(number), end), OFF, ON)

    assert (claims and next_end(claims)) == first
    assert last_end(claims) == last
    assert names(claims) == [str(number) for number in range(len(ends))]


def test_a_persons_end_has_no_name() -> None:
    """It is not among the claims that are shown."""
    assert names(claims_after(None, hold("", NOW), OFF, ON)) == []
