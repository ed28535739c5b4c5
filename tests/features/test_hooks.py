"""Hooks, their queue, and what they make of a change or of the full state."""

import asyncio
from collections.abc import Awaitable, Callable
import contextvars
from dataclasses import replace
import math
from typing import Any

import pytest

from custom_components.dfks.features import hooks as hooks_module
from custom_components.dfks.features.hooks import (
    HookError,
    HookQueue,
    Hooks,
    Ruling,
    call_hook,
    is_hooks_own,
)
from custom_components.dfks.features.model import (
    ChangeOutcome,
    ChangeRefused,
    ChangeRequest,
    Feature,
    FeatureState,
    Line,
    Origin,
    Refusal,
)
from custom_components.dfks.features.sync import MAX_WAITING, FeatureSync
from tests.clock import ManualClock
from tests.hooks import FunctionHooks, says
from tests.phone import (
    ALWAYS,
    BUSY,
    DND,
    FEATURES,
    NO_ANSWER,
    PATIENCE,
    Lamp,
    Phone,
    set_dnd,
)
from tests.server import line_config

from .conftest import Connect, features_told, told

DND_ON = ChangeRequest(
    feature=Feature.DO_NOT_DISTURB, status=True, origin=Origin.ENTITY
)
DND_OFF = ChangeRequest(
    feature=Feature.DO_NOT_DISTURB, status=False, origin=Origin.ENTITY
)
ALWAYS_TO_300 = ChangeRequest(
    feature=Feature.CALL_FORWARDING_ALWAYS,
    status=True,
    forward_to="300",
    origin=Origin.ENTITY,
)
BY_ACTION = ChangeRequest(
    feature=Feature.DO_NOT_DISTURB, status=True, origin=Origin.ACTION
)


def fails(error: Exception) -> Callable[[Line, object], Awaitable[Ruling]]:
    """Return a hook that raises."""

    async def hook(_line: Line, _about: object) -> Ruling:
        raise error

    return hook


class Gate:
    """A hook that waits until the test lets it go, a call at a time."""

    def __init__(self) -> None:
        """Begin closed."""
        self.calls: list[tuple[Line, object]] = []
        self._go = asyncio.Semaphore(0)
        self._called = asyncio.Semaphore(0)

    async def __call__(self, line: Line, about: object) -> Ruling:
        """Wait."""
        self.calls.append((line, about))
        self._called.release()
        await self._go.acquire()
        return Ruling()

    def open(self, calls: int = 1) -> None:
        """Let some calls go."""
        for _ in range(calls):
            self._go.release()

    async def called(self) -> None:
        """Wait for the next call."""
        async with asyncio.timeout(PATIENCE):
            await self._called.acquire()


def waiting_hook(sync: FeatureSync) -> Gate:
    """Return the set hook, which waits for the test however slow the machine is."""
    gate = Gate()
    sync.hooks = FunctionHooks(rule=gate)
    sync.hook_timeout = math.inf
    return gate


async def settled(sync: FeatureSync) -> None:
    """Wait until all that stands in the queue has had its turn."""
    async with asyncio.timeout(PATIENCE):
        while not sync.queue.idle:
            await asyncio.sleep(0)


async def later(
    sync: FeatureSync, change: ChangeRequest, line_id: str = "line-201"
) -> asyncio.Task[ChangeOutcome]:
    """Ask for a change that has to wait."""
    task = asyncio.create_task(sync.change(line_id, change))
    await asyncio.sleep(0)
    return task


class TestQueue:
    """One job at a time: lines in turn, those of a line in order of arrival."""

    @pytest.fixture
    def queue(self) -> HookQueue:
        """Return an empty queue."""
        return HookQueue()

    async def test_runs_jobs_one_after_the_other(self, queue: HookQueue) -> None:
        """However long they wait."""
        happened: list[str] = []
        done = asyncio.Event()

        def job(name: str, *, last: bool = False) -> None:
            async def run() -> None:
                happened.append(f"{name} begins")
                await asyncio.sleep(0)
                happened.append(f"{name} ends")
                if last:
                    done.set()

            queue.put("201", run)

        job("first")
        job("second")
        assert not queue.idle
        job("third", last=True)
        await done.wait()

        assert happened == [
            "first begins",
            "first ends",
            "second begins",
            "second ends",
            "third begins",
            "third ends",
        ]

    async def test_lines_have_their_turns(self, queue: HookQueue) -> None:
        """However many jobs one of them has."""
        happened: list[str] = []

        def job(line_id: str) -> None:
            async def run() -> None:
                happened.append(line_id)

            queue.put(line_id, run)

        for line_id in ("201", "201", "201", "202", "203", "202"):
            job(line_id)
        while not queue.idle:
            await asyncio.sleep(0)

        assert happened == ["201", "202", "203", "201", "202", "201"]

    async def test_is_idle_for_a_line_that_has_no_job(self, queue: HookQueue) -> None:
        """It need not wait for those of others."""
        begun, end = asyncio.Event(), asyncio.Event()

        async def job() -> None:
            begun.set()
            await end.wait()

        queue.put("201", job)
        queue.put("202", job)
        assert [queue.is_idle(one) for one in ("201", "202", "203")] == [
            False,
            False,
            True,
        ]
        await begun.wait()
        assert not queue.is_idle("201")
        end.set()
        while not queue.idle:
            await asyncio.sleep(0)
        queue.hold()
        assert not queue.is_idle("203")

    async def test_is_idle_before_and_after(self, queue: HookQueue) -> None:
        """Then a job would run at once."""
        assert queue.idle
        done = asyncio.Event()

        async def job() -> None:
            assert not queue.idle
            done.set()

        queue.put("201", job)
        await done.wait()
        await asyncio.sleep(0)
        assert queue.idle

    async def test_goes_on_after_a_job_that_fails(
        self, queue: HookQueue, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is a fault of ours, and logged as such."""
        done = asyncio.Event()

        async def bad() -> None:
            raise RuntimeError("oh no")

        async def good() -> None:
            done.set()

        queue.put("201", bad)
        queue.put("201", good)
        async with asyncio.timeout(PATIENCE):
            await done.wait()

        assert "Unexpected error around a hook" in caplog.text

    async def test_held_runs_nothing_until_released(self, queue: HookQueue) -> None:
        """Not even after what runs is done."""
        ran: list[int] = []
        done = asyncio.Event()

        async def job() -> None:
            ran.append(len(ran))
            queue.hold()
            done.set()

        queue.put("201", job)
        queue.put("201", job)
        await done.wait()
        await asyncio.sleep(0)
        assert (ran, queue.idle) == ([0], False)

        done.clear()
        queue.release()
        await done.wait()
        assert ran == [0, 1]

    async def test_stopped_runs_nothing_any_more(self, queue: HookQueue) -> None:
        """What runs is cancelled, what waits is forgotten, what comes is too."""
        ran: list[str] = []
        begun = asyncio.Event()

        async def job() -> None:
            ran.append("begun")
            begun.set()
            await asyncio.Event().wait()
            ran.append("ended")

        queue.put("201", job)
        queue.put("201", job)
        await begun.wait()
        await queue.stop()
        queue.put("201", job)
        await asyncio.sleep(0)

        assert ran == ["begun"]

    async def test_jobs_share_no_context_with_who_puts_them_in(
        self, queue: HookQueue
    ) -> None:
        """It would be that of the first, for all of them."""
        variable = contextvars.ContextVar("variable", default="none")
        variable.set("somebody's")
        seen: list[str] = []
        done = asyncio.Event()

        async def job() -> None:
            seen.append(variable.get())
            done.set()

        queue.put("201", job)
        await done.wait()
        assert seen == ["none"]


class TestCall:
    """One call of a hook."""

    async def test_returns_what_the_hook_says(self) -> None:
        """And what it refuses is refused."""

        async def hook() -> str:
            return "fine"

        async def refuse() -> str:
            raise ChangeRefused("no")

        assert await call_hook(hook, 1) == "fine"
        with pytest.raises(ChangeRefused) as refused:
            await call_hook(refuse, 1)
        assert (refused.value.reason, refused.value.refusal) == ("no", Refusal.VETO)

    async def test_any_error_is_the_hooks(self) -> None:
        """In words for the log."""

        async def hook() -> None:
            raise KeyError("nothing")

        with pytest.raises(HookError) as failed:
            await call_hook(hook, 1)
        assert failed.value.reason == "KeyError: 'nothing'"
        assert failed.value.refusal is Refusal.HOOK_FAILED

    async def test_too_long_is_too_long(self) -> None:
        """The hook is stopped, and has stopped when the call ends."""
        stopped: list[bool] = []

        async def hook() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                stopped.append(True)

        with pytest.raises(HookError) as failed:
            await call_hook(hook, 0.01)
        assert failed.value.refusal is Refusal.HOOK_TOO_SLOW
        assert stopped == [True]

    async def test_one_that_does_not_stop_is_left_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has had its time twice over."""
        monkeypatch.setattr(hooks_module, "STOP_TIMEOUT", 0.01)
        end = asyncio.Event()

        async def hook() -> None:
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue

        with pytest.raises(HookError) as failed:
            await call_hook(hook, 0.01)
        assert failed.value.refusal is Refusal.HOOK_TOO_SLOW
        end.set()

    async def test_one_that_is_cancelled_is_no_end_of_the_caller(self) -> None:
        """Home Assistant cancels a script from within when it is turned off."""

        async def hook() -> None:
            raise asyncio.CancelledError

        with pytest.raises(HookError) as failed:
            await call_hook(hook, 1)
        assert failed.value.reason == "it was stopped"

    async def test_cancelled_caller_stops_the_hook(self) -> None:
        """And is cancelled."""
        begun = asyncio.Event()
        stopped: list[bool] = []

        async def hook() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)

        task = asyncio.create_task(call_hook(hook, 10))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stopped == [True]


class TestOwnChanges:
    """What a hook changes itself asks no hook."""

    async def test_all_while_it_runs(self, line: Line) -> None:
        """In all that it has started, and nowhere else."""
        seen: list[bool] = []

        def look() -> None:
            seen.append(is_hooks_own(line, Feature.CALL_FORWARDING_BUSY))

        async def child() -> None:
            look()

        async def hook() -> None:
            look()
            await asyncio.create_task(child())

        await call_hook(hook, 1)
        look()
        assert seen == [True, True, False]

    async def test_its_subject_for_a_while_after_it(
        self, line: Line, sync: FeatureSync, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a script that is started in passing would start itself for ever."""
        go_on = asyncio.Event()
        seen: list[list[bool]] = []

        async def child() -> None:
            for _ in range(2):
                await go_on.wait()
                seen.append(
                    [
                        is_hooks_own(line, Feature.DO_NOT_DISTURB),
                        is_hooks_own(line, Feature.CALL_FORWARDING_BUSY),
                        is_hooks_own(sync.lines["line-202"], Feature.DO_NOT_DISTURB),
                    ]
                )
                monkeypatch.setattr(hooks_module, "AFTERMATH", 0)

        children: list[asyncio.Task[None]] = []

        async def hook() -> None:
            children.append(asyncio.create_task(child()))

        await call_hook(hook, 1, (line, Feature.DO_NOT_DISTURB))
        go_on.set()
        await children[0]
        assert seen == [[True, False, False], [False, False, False]]

    async def test_of_a_set_hook_are_made_at_once(
        self, sync: FeatureSync, phone: Phone, clock: ManualClock
    ) -> None:
        """Before the change that it was asked about, and without another call."""

        async def hook(_line: Line, _change: ChangeRequest) -> Ruling:
            outcome = await sync.change("line-201", DND_ON)
            assert outcome.state.status
            await sync.change("line-202", DND_ON)
            return Ruling()

        hooks = FunctionHooks(rule=hook)
        sync.hooks = hooks
        outcome = await sync.change("line-201", DND_OFF)

        assert hooks.asked == [DND_OFF]
        assert not outcome.state.status
        assert sync.lines["line-202"].state(Feature.DO_NOT_DISTURB).status
        clock.advance(1)
        await phone.until(lambda lamps: not lamps[DND].on)


class TestNoHooks:
    """The hooks that are there from the beginning."""

    async def test_have_nothing_to_say(self, line: Line) -> None:
        """And are not asked."""
        hooks = Hooks()
        error = HookError("?")
        hooks.rule_failed(error)
        hooks.supply_failed(error)

        assert (hooks.has_set_hook, hooks.has_get_hook) == (False, False)
        assert await hooks.rule(line, DND_ON) == Ruling()
        assert await hooks.supply(line, Feature.DO_NOT_DISTURB, None) == Ruling()


class TestSetHook:
    """A change, and what the set hook makes of it."""

    @pytest.fixture
    def gate(self, sync: FeatureSync) -> Gate:
        """Return a set hook that is there and waits."""
        return waiting_hook(sync)

    async def test_is_asked_before_anything_is_stored_or_told(
        self, sync: FeatureSync, line: Line, phone: Phone, gate: Gate
    ) -> None:
        """And consents by saying nothing."""
        changing = await later(sync, DND_ON)
        await gate.called()
        assert gate.calls == [(line, DND_ON)]
        assert (line.states(), await told(phone)) == ({}, [])

        gate.open()
        assert await changing == ChangeOutcome(FeatureState(), FeatureState(True), 1)
        assert (await phone.notification()).features == {DND: Lamp(True)}

    async def test_phones_change_is_answered_before_it_is_ruled(
        self, line: Line, phone: Phone, colleague: Phone, gate: Gate
    ) -> None:
        """Then all hear of it."""
        assert (await phone.set_dnd(True)).status == 200
        assert line.states() == {}

        gate.open()
        for one in (phone, colleague):
            assert (await one.notification()).features == {DND: Lamp(True)}

    async def test_changes_keep_their_order(
        self, sync: FeatureSync, phone: Phone, gate: Gate, clock: ManualClock
    ) -> None:
        """Whoever asks for them."""
        await phone.set_dnd(True)
        changing = await later(sync, DND_OFF)
        await phone.set_forward("busy", True, "2424")
        gate.open(3)
        await settled(sync)

        assert (await changing).state == FeatureState(False)
        asked = [about for _, about in gate.calls]
        assert [change.status for change in asked] == [True, False, True]  # type: ignore[attr-defined]
        assert await features_told(phone) == [[DND], [BUSY]]
        clock.advance(1)
        assert await features_told(phone) == [[DND]]

    async def test_full_state_keeps_its_place_among_changes(
        self, phone: Phone, gate: Gate
    ) -> None:
        """It tells what the changes before it have made."""
        await phone.set_dnd(True)
        await phone.refresh()
        assert await told(phone) == []

        gate.open()
        assert (await phone.notification()).features == {DND: Lamp(True)}
        assert (await phone.notification()).features[DND].on

    async def test_ruling_replaces_what_was_asked_for(
        self, sync: FeatureSync, line: Line, phone: Phone
    ) -> None:
        """What it leaves open stays as asked, or as stored."""
        sync.hooks = FunctionHooks(
            rule=says(Ruling(status=False, forward_to="300", ring_count=5))
        )
        await phone.set_forward("no-answer", True, "2424", 1)
        lamp = Lamp(False, "300", 5)
        assert (await phone.notification()).features == {NO_ANSWER: lamp}

        sync.hooks = FunctionHooks(rule=says(Ruling(ring_count=7)))
        await phone.set_forward("no-answer", True)
        lamp = Lamp(True, "300", 7)
        assert (await phone.notification()).features == {NO_ANSWER: lamp}
        assert line.state(Feature.CALL_FORWARDING_NO_ANSWER).ring_count == 7

    async def test_ruling_may_supply_the_target_of_a_forwarding(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """So it is after the hook that a forwarding with nowhere to go is off."""
        sync.hooks = FunctionHooks(rule=says(Ruling(forward_to="300")))
        await phone.set_forward("busy", True)
        assert (await phone.notification()).features == {BUSY: Lamp(True, "300")}

        turn_on = replace(ALWAYS_TO_300, forward_to=None)
        assert (await sync.change("line-201", turn_on)).state.status

    async def test_ruling_may_turn_on_no_forwarding_with_nowhere_to_go(
        self, sync: FeatureSync, line: Line, phone: Phone
    ) -> None:
        """Whoever asked; nor may a get hook."""
        sync.hooks = FunctionHooks(
            rule=says(Ruling(status=True)), supply=says(Ruling(status=True))
        )
        await phone.set_forward("busy", False)
        assert (await phone.notification()).features == {BUSY: Lamp(False)}
        with pytest.raises(ChangeRefused) as refused:
            await sync.change("line-201", replace(ALWAYS_TO_300, forward_to=None))
        assert refused.value.refusal is Refusal.TARGET_MISSING

        await phone.refresh()
        lamps = (await phone.notification()).features
        assert [feature for feature in FEATURES if lamps[feature].on] == [DND]

    async def test_veto_restores_the_lamp_of_the_sender_only(
        self, sync: FeatureSync, line: Line, phone: Phone, colleague: Phone
    ) -> None:
        """Nothing is stored, and no failure is noted."""
        hooks = FunctionHooks(rule=fails(ChangeRefused("no")))
        sync.hooks = hooks
        assert (await phone.set_forward("always", True, "0900")).status == 200

        assert (await phone.notification()).features == {ALWAYS: Lamp(False)}
        assert (line.states(), await told(colleague), hooks.failures) == ({}, [], [])
        with pytest.raises(ChangeRefused, match="no"):
            await sync.change("line-201", DND_ON)

    @pytest.mark.parametrize(
        ("hook", "refusal"),
        [
            (fails(ValueError("oh no")), Refusal.HOOK_FAILED),
            (fails(HookError("?", Refusal.HOOK_BUSY)), Refusal.HOOK_BUSY),
            (says(Ruling(ring_count=101)), Refusal.HOOK_BAD_ANSWER),
            (says(Ruling(forward_to="30\n0")), Refusal.HOOK_BAD_ANSWER),
        ],
    )
    async def test_failure_refuses(
        self,
        sync: FeatureSync,
        line: Line,
        phone: Phone,
        hook: Callable[[Line, object], Awaitable[Ruling]],
        refusal: Refusal,
    ) -> None:
        """A veto does not fail open; whoever has set the hook hears of it."""
        hooks = FunctionHooks(rule=hook)
        sync.hooks = hooks
        await phone.set_dnd(True)
        assert (await phone.notification()).features == {DND: Lamp(False)}
        with pytest.raises(HookError):
            await sync.change("line-201", DND_ON)

        assert line.states() == {}
        assert [error.refusal for error in hooks.failures] == [refusal, refusal]

    @pytest.mark.parametrize(
        ("hook", "refusal"),
        [
            (fails(ValueError("oh no")), Refusal.HOOK_FAILED),
            (fails(HookError("?", Refusal.HOOK_BUSY)), Refusal.HOOK_BUSY),
            (fails(HookError("?", Refusal.HOOK_MISSING)), Refusal.HOOK_MISSING),
            (fails(HookError("?", Refusal.HOOK_TOO_SLOW)), Refusal.HOOK_TOO_SLOW),
            (says(Ruling(ring_count=101)), Refusal.HOOK_BAD_ANSWER),
        ],
    )
    async def test_failure_keeps_nothing_on(
        self,
        sync: FeatureSync,
        line: Line,
        phone: Phone,
        hook: Callable[[Line, object], Awaitable[Ruling]],
        refusal: Refusal,
    ) -> None:
        """Calls would go on to a paid target until somebody mends the hook."""
        await phone.set_forward("no-answer", True, "0900", 1)
        await phone.notification()
        hooks = FunctionHooks(rule=hook)
        sync.hooks = hooks
        await phone.set_forward("no-answer", False, "0901", 2)

        assert (await phone.notification()).features == {
            NO_ANSWER: Lamp(False, "0900", 1)
        }
        assert [error.refusal for error in hooks.failures] == [refusal]

    async def test_failure_lets_home_assistant_turn_off_and_clear(
        self, sync: FeatureSync, line: Line
    ) -> None:
        """Off is the outcome; to clear the target is another way to ask for it."""
        await sync.change("line-201", ALWAYS_TO_300)
        sync.hooks = FunctionHooks(rule=fails(ValueError("oh no")))
        off = await sync.change("line-201", replace(ALWAYS_TO_300, status=False))
        assert off.state == FeatureState(False, "300")

        clear = replace(ALWAYS_TO_300, status=None, forward_to="")
        assert (await sync.change("line-201", clear)).state == FeatureState()

    @pytest.mark.parametrize(
        "wish", [{"forward_to": "0900"}, {"status": True, "forward_to": "0900"}]
    )
    async def test_failure_redirects_nothing(
        self, sync: FeatureSync, line: Line, wish: dict[str, Any]
    ) -> None:
        """A new target for what is on is refused."""
        await sync.change("line-201", ALWAYS_TO_300)
        sync.hooks = FunctionHooks(rule=fails(ValueError("oh no")))
        with pytest.raises(HookError):
            await sync.change(
                "line-201",
                ChangeRequest(
                    feature=Feature.CALL_FORWARDING_ALWAYS, origin=Origin.ENTITY, **wish
                ),
            )
        assert line.state(Feature.CALL_FORWARDING_ALWAYS) == FeatureState(True, "300")

    async def test_veto_against_off_is_obeyed(
        self, sync: FeatureSync, line: Line, phone: Phone
    ) -> None:
        """The hook works, and may want a feature to stay on."""
        await sync.change("line-201", DND_ON)
        await phone.notification()
        sync.hooks = FunctionHooks(rule=fails(ChangeRefused("no")))
        await phone.set_dnd(False)

        assert (await phone.notification()).features == {DND: Lamp(True)}
        with pytest.raises(ChangeRefused, match="no"):
            await sync.change("line-201", DND_OFF)
        assert line.state(Feature.DO_NOT_DISTURB).status

    async def test_late_answer_is_ignored(
        self, sync: FeatureSync, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a hook that does not even stop when it is told to."""
        monkeypatch.setattr(hooks_module, "STOP_TIMEOUT", 0.01)
        await sync.change("line-201", DND_ON)
        end, ended = asyncio.Event(), asyncio.Event()

        async def hook(_line: Line, _change: ChangeRequest) -> Ruling:
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue
            ended.set()
            return Ruling(status=True)

        sync.hook_timeout = 0.02
        sync.hooks = FunctionHooks(rule=hook)
        assert not (await sync.change("line-201", DND_OFF)).state.status
        end.set()
        await ended.wait()
        await settled(sync)

        assert not line.state(Feature.DO_NOT_DISTURB).status

    async def test_slow_hook_refuses_and_the_next_change_has_its_turn(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """The limit is for one call."""
        sync.hook_timeout = 0.2
        hooks = FunctionHooks(rule=Gate())
        sync.hooks = hooks
        await phone.set_dnd(True)
        assert (await phone.notification()).features == {DND: Lamp(False)}

        hooks.set_hook = says(Ruling())
        await phone.set_dnd(True)
        assert (await phone.notification()).features == {DND: Lamp(True)}
        assert [error.refusal for error in hooks.failures] == [Refusal.HOOK_TOO_SLOW]

    async def test_notify_false_tells_nobody(
        self, sync: FeatureSync, line: Line, phone: Phone, colleague: Phone
    ) -> None:
        """The model changes all the same."""
        sync.hooks = FunctionHooks(rule=says(Ruling(notify=False)))
        await phone.set_dnd(True)
        await settled(sync)
        assert line.state(Feature.DO_NOT_DISTURB).status
        assert (await sync.change("line-201", BY_ACTION)).told == 0

        assert (await told(phone), await told(colleague)) == ([], [])

    async def test_notify_false_does_not_swallow_the_last_notify(
        self, sync: FeatureSync, line: Line, phone: Phone
    ) -> None:
        """Of a change that comes with the end of the subscription."""
        sync.hooks = FunctionHooks(rule=says(Ruling(notify=False)))
        await phone.refresh(0, set_dnd(True))

        last = await phone.notification()
        assert (last.state, last.features[DND]) == ("terminated", Lamp(True))
        await told(phone)
        assert line.watchers == 0

    async def test_assigned_false_shows_phones_all_but_the_feature(
        self, sync: FeatureSync, phone: Phone, colleague: Phone
    ) -> None:
        """All watchers when something changed, else the sender."""
        sync.hooks = FunctionHooks(rule=says(Ruling(assigned=False)))
        rest = [ALWAYS, BUSY, NO_ANSWER]
        for others in ([rest], []):
            await phone.set_dnd(True)
            await settled(sync)
            assert await features_told(phone) == [rest]
            assert await features_told(colleague) == others

    async def test_assigned_false_for_the_only_feature_is_an_empty_notify(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """The phone sees that it was heard."""
        sync.update_line(line_config("201", assigned=(Feature.DO_NOT_DISTURB,)))
        await phone.notification()
        sync.hooks = FunctionHooks(rule=says(Ruling(assigned=False)))
        await phone.set_dnd(True)

        assert (await phone.notification()).request.body == b""

    async def test_assigned_false_answers_home_assistant_with_the_document(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """As OpenSIPS answers its management call."""
        sync.hooks = FunctionHooks(rule=says(Ruling(assigned=False)))
        outcome = await sync.change("line-201", BY_ACTION)

        assert outcome.told == 1
        assert (await phone.notification()).features == {DND: Lamp(True)}

    async def test_line_removed_meanwhile(
        self, sync: FeatureSync, phone: Phone, gate: Gate
    ) -> None:
        """There is nothing left to change."""
        await phone.set_dnd(True)
        changing = await later(sync, DND_ON)
        await gate.called()
        sync.remove_line("line-201")
        gate.open(2)

        with pytest.raises(ChangeRefused) as refused:
            await changing
        assert refused.value.refusal is Refusal.LINE_REMOVED
        notifications = await told(phone)
        assert [one.reason for one in notifications] == ["noresource"]

    async def test_line_that_is_not_there(self, sync: FeatureSync) -> None:
        """An entity may be a little behind."""
        with pytest.raises(ChangeRefused) as refused:
            await sync.change("line-209", DND_ON)
        assert refused.value.refusal is Refusal.LINE_REMOVED

    async def test_stop_refuses_what_waits_and_what_comes(
        self, sync: FeatureSync, line: Line, phone: Phone, gate: Gate
    ) -> None:
        """The phone's lamp is set right."""
        changing = [await later(sync, DND_ON), await later(sync, DND_OFF)]
        await gate.called()
        await sync.stop()
        changing.append(await later(sync, DND_ON))
        for change in changing:
            with pytest.raises(ChangeRefused) as refused:
                await change
            assert refused.value.refusal is Refusal.STOPPING

        await phone.set_dnd(True)
        assert (await phone.notification()).features == {DND: Lamp(False)}
        assert line.states() == {}

    async def test_who_has_given_up_changes_nothing(
        self, sync: FeatureSync, line: Line, gate: Gate
    ) -> None:
        """Before its turn; during it the caller is not missed."""
        first, second = await later(sync, DND_ON), await later(sync, DND_OFF)
        await gate.called()
        first.cancel()
        second.cancel()
        gate.open(2)
        await settled(sync)

        assert len(gate.calls) == 1
        assert line.state(Feature.DO_NOT_DISTURB).status

    async def test_refusal_for_who_has_given_up(self, sync: FeatureSync) -> None:
        """Is told to nobody."""
        gate = Gate()

        async def refuse(line: Line, change: ChangeRequest) -> Ruling:
            await gate(line, change)
            raise ChangeRefused("no")

        sync.hooks = FunctionHooks(rule=refuse)
        changing = await later(sync, DND_ON)
        await gate.called()
        changing.cancel()
        gate.open()
        await settled(sync)

        assert changing.cancelled()


class TestWaiting:
    """What waits for the set hook."""

    @pytest.fixture
    def gate(self, sync: FeatureSync) -> Gate:
        """Return a set hook that is there and waits."""
        return waiting_hook(sync)

    async def test_one_line_does_not_keep_others_from_their_turn(
        self, sync: FeatureSync, line: Line, gate: Gate
    ) -> None:
        """However often its keys are pressed."""
        wishes = [
            await later(sync, replace(BY_ACTION, param=number))
            for number in range(MAX_WAITING)
        ]
        await gate.called()
        other = await later(sync, DND_ON, "line-202")
        gate.open(2)

        assert (await other).state.status
        assert [wish.done() for wish in wishes] == [True] + [False] * (MAX_WAITING - 1)
        gate.open(MAX_WAITING)
        await asyncio.gather(*wishes)

    async def test_presses_of_a_key_become_one(
        self, phone: Phone, sync: FeatureSync, gate: Gate, clock: ManualClock
    ) -> None:
        """The last one, asked once; each press is answered 200."""
        await phone.set_dnd(True)
        await gate.called()
        for press in range(100):
            assert (await phone.set_dnd(press % 2 == 0)).status == 200
        gate.open(2)
        await settled(sync)

        assert [change.status for _, change in gate.calls] == [True, False]  # type: ignore[attr-defined]
        clock.advance(1)
        assert await features_told(phone) == [[DND], [DND]]
        assert phone.features[DND] == Lamp(False)

    async def test_newer_wish_goes_before_field_by_field(
        self, sync: FeatureSync, gate: Gate
    ) -> None:
        """A target that was set before its switch is not lost; all get the outcome."""
        await later(sync, DND_ON)
        await gate.called()
        wish = ChangeRequest(
            feature=Feature.CALL_FORWARDING_NO_ANSWER, origin=Origin.ENTITY
        )
        wishes = [
            await later(sync, replace(wish, forward_to="300")),
            await later(sync, replace(wish, status=True, ring_count=5)),
            await later(sync, replace(wish, ring_count=7)),
        ]
        gate.open(2)

        state = FeatureState(True, "300", 7)
        assert [(await one).state for one in wishes] == [state] * 3
        assert len(gate.calls) == 2

    async def test_all_who_wait_are_refused(self, sync: FeatureSync) -> None:
        """What was merged has one outcome."""
        gate = Gate()

        async def refuse(line: Line, change: ChangeRequest) -> Ruling:
            await gate(line, change)
            raise ChangeRefused("no")

        sync.hooks = FunctionHooks(rule=refuse)
        sync.queue.hold()
        wishes = [await later(sync, DND_ON), await later(sync, DND_OFF)]
        sync.queue.release()
        gate.open()

        for wish in wishes:
            with pytest.raises(ChangeRefused, match="no"):
                await wish
        assert len(gate.calls) == 1

    @pytest.mark.parametrize(
        ("older", "newer", "after"),
        [
            ({"forward_to": ""}, {"forward_to": "300"}, FeatureState(False, "300")),
            ({"status": True}, {"forward_to": ""}, FeatureState()),
            ({"status": False}, {"forward_to": "300"}, FeatureState(False, "300")),
            (
                {"forward_to": ""},
                {"status": True, "forward_to": "300"},
                FeatureState(True, "300"),
            ),
        ],
    )
    async def test_a_cleared_target_is_a_wish_for_off(
        self,
        sync: FeatureSync,
        older: dict[str, Any],
        newer: dict[str, Any],
        after: FeatureState,
    ) -> None:
        """As it would be one after the other."""
        await sync.change("line-201", ALWAYS_TO_300)
        sync.queue.hold()
        for fields in (older, newer):
            last = await later(
                sync,
                ChangeRequest(
                    feature=Feature.CALL_FORWARDING_ALWAYS,
                    origin=Origin.ENTITY,
                    **fields,
                ),
            )
        sync.queue.release()

        assert (await last).state == after

    async def test_turning_on_after_clearing_is_refused_alone(
        self, sync: FeatureSync, line: Line
    ) -> None:
        """The one who clears the target has nothing to do with it."""
        await sync.change("line-201", ALWAYS_TO_300)
        sync.queue.hold()
        clearing = await later(sync, replace(ALWAYS_TO_300, status=None, forward_to=""))
        turning = await later(sync, replace(ALWAYS_TO_300, forward_to=None))
        sync.queue.release()

        assert (await clearing).state == FeatureState()
        with pytest.raises(ChangeRefused) as refused:
            await turning
        assert refused.value.refusal is Refusal.TARGET_MISSING

    async def test_a_wish_with_a_parameter_stays_by_itself(
        self, sync: FeatureSync, gate: Gate
    ) -> None:
        """The hook is to see each; and nothing newer goes before one."""
        await later(sync, replace(DND_ON, feature=Feature.CALL_FORWARDING_BUSY))
        await gate.called()
        wishes = [
            DND_OFF,
            replace(BY_ACTION, param="day"),
            replace(BY_ACTION, param="night"),
            DND_OFF,
        ]
        for wish in wishes:
            await later(sync, wish)
        gate.open(5)
        await settled(sync)

        assert [change for _, change in gate.calls[1:]] == wishes

    async def test_wishes_of_others_stay_apart(
        self, sync: FeatureSync, phone: Phone, colleague: Phone, gate: Gate
    ) -> None:
        """The hook may let one do what the other may not."""
        await later(sync, replace(DND_ON, feature=Feature.CALL_FORWARDING_BUSY))
        await gate.called()
        await phone.set_dnd(True)
        await later(sync, DND_OFF)
        await colleague.set_dnd(True)
        gate.open(4)
        await settled(sync)

        origins = [change.origin for _, change in gate.calls[1:]]  # type: ignore[attr-defined]
        assert origins == [Origin.PHONE, Origin.ENTITY, Origin.PHONE]

    async def test_an_action_that_is_merged_tells_all(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """Also where nothing changes: it is the way to set every lamp right."""
        sync.hooks = FunctionHooks(rule=says(Ruling(status=False)))
        sync.queue.hold()
        wishes = [await later(sync, BY_ACTION), await later(sync, DND_ON)]
        sync.queue.release()

        assert [(await wish).told for wish in wishes] == [1, 1]
        assert (await phone.notification()).features == {DND: Lamp(False)}

    async def test_only_so_many_changes_of_a_line_wait(
        self, sync: FeatureSync, phone: Phone, connect: Connect, clock: ManualClock
    ) -> None:
        """A key must not work minutes later; a phone gets no error for it."""
        sync.queue.hold()
        waiting = [
            await later(sync, replace(BY_ACTION, param=number))
            for number in range(MAX_WAITING)
        ]
        with pytest.raises(ChangeRefused) as refused:
            await sync.change("line-201", DND_ON)
        assert refused.value.refusal is Refusal.TOO_MANY_WAITING
        assert (await phone.set_dnd(True)).status == 200
        assert (await phone.notification()).features == {DND: Lamp(False)}
        elsewhere = await later(sync, DND_ON, "line-202")

        sync.queue.release()
        await asyncio.gather(*waiting, elsewhere)
        await phone.set_dnd(False)
        clock.advance(1)
        await phone.until(lambda lamps: not lamps[DND].on)


class TestGetHook:
    """The full state, and what the get hook makes of it."""

    async def test_is_asked_once_a_feature_for_a_question(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """In the order of the full state, with who asks."""
        hooks = FunctionHooks(supply=says(Ruling()))
        sync.hooks = hooks
        await phone.refresh()
        assert list((await phone.notification()).features) == list(FEATURES)

        host, port = phone.link.local
        assert hooks.asked == list(FEATURES)
        assert hooks.sources == [f"{host}:{port}"] * 4

    async def test_what_it_supplies_is_stored_and_told_to_all(
        self,
        sync: FeatureSync,
        line: Line,
        phone: Phone,
        colleague: Phone,
        events: list[object],
    ) -> None:
        """The others hear what has changed."""

        async def hook(_line: Line, feature: Feature) -> Ruling:
            return Ruling(status=feature is Feature.DO_NOT_DISTURB)

        sync.hooks = FunctionHooks(supply=hook)
        await phone.refresh()

        assert (await phone.notification()).features[DND].on
        assert (await colleague.notification()).features == {DND: Lamp(True)}
        assert line.state(Feature.DO_NOT_DISTURB).status
        assert len(events) == 1

    @pytest.mark.parametrize("ruling", [Ruling(assigned=False), Ruling(notify=False)])
    @pytest.mark.parametrize("hidden", Feature)
    async def test_hides_each_feature_for_itself(
        self, sync: FeatureSync, phone: Phone, ruling: Ruling, hidden: Feature
    ) -> None:
        """In every full state, the last one included."""

        async def hook(_line: Line, feature: Feature) -> Ruling:
            return ruling if feature is hidden else Ruling()

        sync.hooks = FunctionHooks(supply=hook)
        rest = [feature for feature in FEATURES if feature != hidden]
        await phone.refresh()
        assert list((await phone.notification()).features) == rest
        await phone.unsubscribe()
        assert list((await phone.notification()).features) == rest

    async def test_hidden_feature_is_told_when_it_changes(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """Only the full state is without it."""
        sync.hooks = FunctionHooks(supply=says(Ruling(assigned=False)))
        await phone.refresh()
        assert (await phone.notification()).request.body == b""
        await sync.change("line-201", DND_ON)
        assert (await phone.notification()).features == {DND: Lamp(True)}

        sync.hooks = Hooks()
        await phone.refresh()
        assert list((await phone.notification()).features) == list(FEATURES)

    async def test_failure_leaves_the_model_as_it_is(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """Of that feature; the others are supplied."""

        async def hook(_line: Line, feature: Feature) -> Ruling:
            if feature is Feature.DO_NOT_DISTURB:
                raise ValueError("oh no")
            return Ruling(status=True, forward_to="300")

        hooks = FunctionHooks(supply=hook)
        sync.hooks = hooks
        await phone.refresh()
        lamps = (await phone.notification()).features

        assert [lamps[feature].on for feature in FEATURES] == [False, True, True, True]
        assert [error.refusal for error in hooks.failures] == [Refusal.HOOK_FAILED]

    async def test_slow_hook_is_not_waited_for_again(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """Not in the same question."""
        sync.hook_timeout = 0.02
        gate = Gate()
        sync.hooks = FunctionHooks(supply=gate)
        await phone.refresh()

        assert len((await phone.notification()).features) == 4
        assert len(gate.calls) == 1

    async def test_questions_about_one_line_are_one(
        self, sync: FeatureSync, phone: Phone, colleague: Phone
    ) -> None:
        """While they wait for the same turn."""
        hooks = FunctionHooks(supply=says(Ruling()))
        sync.hooks = hooks
        sync.queue.hold()
        for one in (phone, colleague, phone):
            assert (await one.refresh()).status == 200
        assert await told(phone) == await told(colleague) == []

        sync.queue.release()
        await settled(sync)
        assert await features_told(phone) == await features_told(colleague)
        assert len(hooks.asked) == 4

    async def test_a_new_assignment_asks_for_every_watcher(
        self, sync: FeatureSync, phone: Phone, colleague: Phone
    ) -> None:
        """It is a full state as well."""
        sync.hooks = FunctionHooks(supply=says(Ruling(status=True)))
        sync.update_line(line_config("201", assigned=(Feature.DO_NOT_DISTURB,)))

        for one in (phone, colleague):
            assert (await one.notification()).features == {DND: Lamp(True)}

    async def test_line_removed_meanwhile(
        self, sync: FeatureSync, phone: Phone
    ) -> None:
        """It is not asked about any further."""
        gate = Gate()
        sync.hooks = FunctionHooks(supply=gate)
        await phone.refresh()
        await gate.called()
        sync.remove_line("line-201")
        gate.open()
        await settled(sync)

        assert len(gate.calls) == 1
        assert [one.reason for one in await told(phone)] == ["noresource"]


class TestHold:
    """While hooks are not there yet."""

    async def test_questions_and_changes_wait_without_any_hook(
        self, sync: FeatureSync, line: Line, connect: Connect, clock: ManualClock
    ) -> None:
        """They are answered; then all happens in order of arrival."""
        sync.queue.hold()
        phone = await connect(subscribe=False)
        assert (await phone.subscribe()).status == 200
        assert (await phone.set_dnd(True)).status == 200
        changing = await later(sync, DND_OFF)
        assert (await told(phone), line.states()) == ([], {})

        sync.queue.release()
        assert await changing == ChangeOutcome(FeatureState(True), FeatureState(), 1)
        clock.advance(1)
        first, *more = await features_told(phone)
        assert first == list(FEATURES)
        assert more == [[DND]]

    async def test_a_hook_that_has_come_meanwhile_is_asked(
        self, sync: FeatureSync, line: Line, phone: Phone
    ) -> None:
        """About everything that waited."""
        sync.queue.hold()
        await phone.set_dnd(True)
        sync.hooks = FunctionHooks(rule=fails(ChangeRefused("no")))
        sync.queue.release()

        assert (await phone.notification()).features == {DND: Lamp(False)}
        assert line.states() == {}
