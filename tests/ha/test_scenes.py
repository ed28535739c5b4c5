"""The scenes of docs/automations.md, as they stand there, and what a phone sees of one."""

import asyncio
from itertools import count, pairwise, permutations
import sys
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dfks import switch
from custom_components.dfks.listener import DfksListener
from tests import phone as desk
from tests.clock import ManualClock
from tests.phone import PATIENCE, Lamp, Phone

from .common import (
    A_WHILE,
    DND,
    NO_ANSWER,
    NO_ANSWER_TARGET,
    RINGS,
    WORKSHOP,
    WORKSHOP_DND,
    MockConfigEntry,
    runtime,
    set_up,
    state_of,
    turn,
    write_number,
    write_text,
)
from .conftest import OpenPhone
from .scripts import answer, load_scripts, nothing_told, script
from .test_docs_scripting import blocks

EXAMPLES = blocks("automations.md")
SCENES = EXAMPLES.pop("A quiet evening")
SCRIPTS = EXAMPLES.pop("Undo it in the morning")


async def run(hass: HomeAssistant, clock: ManualClock, name: str) -> None:
    """Run a script of the documentation, a while after what was before."""
    clock.advance(A_WHILE)
    await hass.services.async_call("script", name, blocking=True)
    await hass.async_block_till_done()


async def load_scenes(hass: HomeAssistant, *scenes: dict[str, Any]) -> None:
    """Have these scenes, as `scenes.yaml` holds them."""
    assert await async_setup_component(hass, "scene", {"scene": [*scenes]})
    await hass.async_block_till_done()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the target that a scene sets beside a switch, however long it takes."""
    monkeypatch.setattr(switch, "TARGET_WAIT", PATIENCE)


async def lamps(
    listener: DfksListener, phone: Phone, feature: str = desk.NO_ANSWER
) -> list[Lamp]:
    """Return all that a phone was told of a feature and has not taken yet."""
    # A NOTIFY that had to wait for the answer to another one comes before the second.
    assert (await phone.options()).status == (await phone.options()).status == 200
    told = phone.notifications[phone._taken :]
    phone._taken = len(phone.notifications)
    await nothing_told(listener, phone)
    return [each.features[feature] for each in told if feature in each.features]


class TestEvening:
    """The scene for the evening, and what undoes it."""

    async def test_sets_dnd_and_forwarding_and_is_undone(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        listener: DfksListener,
        open_phone: OpenPhone,
    ) -> None:
        """Nobody was forwarded before."""
        await load_scenes(hass, *SCENES)
        await load_scripts(hass, **SCRIPTS)
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        await run(hass, clock, "evening")
        assert (await lamps(listener, phone))[-1] == Lamp(True, "+4915112345", 2)
        assert await lamps(listener, workshop, desk.DND) == [Lamp(True)]
        assert state_of(hass, DND) == "off"

        await run(hass, clock, "morning")
        assert (await lamps(listener, phone))[-1] == Lamp(False, "", 3)
        assert await lamps(listener, workshop, desk.DND) == [Lamp(False)]

    async def test_brings_back_what_was_on(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        listener: DfksListener,
        open_phone: OpenPhone,
    ) -> None:
        """A forwarding to another target, and a line that was quiet anyway."""
        await load_scenes(hass, *SCENES)
        await load_scripts(hass, **SCRIPTS)
        await write_text(hass, NO_ANSWER_TARGET, "2424")
        await write_number(hass, RINGS, 7)
        await turn(hass, NO_ANSWER, "on")
        await turn(hass, WORKSHOP_DND, "on")
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        await run(hass, clock, "evening")
        assert (await lamps(listener, phone))[-1] == Lamp(True, "+4915112345", 2)
        await run(hass, clock, "morning")
        assert (await lamps(listener, phone))[-1] == Lamp(True, "2424", 7)
        await nothing_told(listener, workshop)
        assert state_of(hass, WORKSHOP_DND) == "on"

    def test_snapshot_is_of_all_that_the_scene_sets(self) -> None:
        """And the morning applies the snapshot that the evening takes."""
        (scene,) = SCENES
        create, apply = SCRIPTS["evening"]["sequence"]
        assert create["data"]["snapshot_entities"] == list(scene["entities"])
        assert apply["target"] == {"entity_id": f"scene.{scene['id']}"}
        (undo,) = SCRIPTS["morning"]["sequence"]
        assert undo["target"] == {"entity_id": f"scene.{create['data']['scene_id']}"}


def test_every_example_is_run() -> None:
    """The page has no other one."""
    assert not EXAMPLES


# The switch, the target and the rings, as a scene has them.
STATES = {
    "nowhere": ("off", "", "3"),
    "off": ("off", "2424", "3"),
    "on": ("on", "300", "7"),
    "on elsewhere": ("on", "301", "2"),
}


@pytest.mark.parametrize("order", permutations((0, 1, 2)))
@pytest.mark.parametrize("way", [list(STATES), list(reversed(STATES))])
async def test_phone_is_never_shown_a_forwarding_that_nobody_wants(
    hass: HomeAssistant,
    clock: ManualClock,
    listener: DfksListener,
    open_phone: OpenPhone,
    order: tuple[int, ...],
    way: list[str],
) -> None:
    """To the old target, or to one that is only to be kept; in whatever order."""
    entities = (NO_ANSWER, NO_ANSWER_TARGET, RINGS)
    await load_scenes(hass)
    phone = await open_phone()

    async def apply(states: tuple[str, ...]) -> None:
        clock.advance(A_WHILE)
        scene = {entities[place]: states[place] for place in order}
        await hass.services.async_call(
            "scene", "apply", {"entities": scene}, blocking=True
        )

    await apply(STATES[way[0]])
    await lamps(listener, phone)
    for before, after in pairwise(STATES[name] for name in way):
        await apply(after)

        told = await lamps(listener, phone)
        assert told[-1] == Lamp(after[0] == "on", after[1], int(after[2]))
        forwarded = {lamp.target for lamp in told if lamp.on}
        wanted = {after[1]} if after[0] == "on" else set()
        # While it stays on, the rings may be told before the target.
        was = {before[1]} if before[0] == after[0] == "on" else set()
        assert forwarded <= wanted | was


def forget_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what applies scenes be not loaded yet, as after a start."""
    for domain in ("number", "switch", "text"):
        module = f"homeassistant.components.{domain}.reproduce_state"
        monkeypatch.delitem(sys.modules, module, raising=False)


def import_slowly(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Event:
    """Let what applies scenes be imported one after the other, from an event on."""
    load = hass.async_add_import_executor_job
    asked = count()
    go = asyncio.Event()

    async def load_late(job: Any, *arguments: Any) -> Any:
        if ("reproduce_state",) not in arguments:
            return await load(job, *arguments)
        turns = 10 * next(asked)
        await go.wait()
        module = await load(job, *arguments)
        for _ in range(turns):
            await asyncio.sleep(0)
        return module

    monkeypatch.setattr(hass, "async_add_import_executor_job", load_late)
    return go


async def test_scene_while_scenes_are_being_prepared(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    entry: MockConfigEntry,
    open_phone: OpenPhone,
) -> None:
    """An automation may apply one as soon as Home Assistant has started."""
    await load_scenes(hass)
    forget_scenes(monkeypatch)
    imports = import_slowly(hass, monkeypatch)
    await set_up(hass, entry)
    await write_text(hass, NO_ANSWER_TARGET, "0900123456")
    phone = await open_phone()
    scene = {NO_ANSWER: "on", NO_ANSWER_TARGET: "300"}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            hass.services.async_call(
                "scene", "apply", {"entities": scene}, blocking=True
            )
        )
        imports.set()

    told = await lamps(runtime(entry), phone)
    assert told[-1] == Lamp(True, "300", 3)
    assert [lamp.target for lamp in told if lamp.on] == ["300"]


@pytest.mark.parametrize("to", ["on", "off"])
async def test_first_scene_after_a_start(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    entry: MockConfigEntry,
    open_phone: OpenPhone,
    to: str,
) -> None:
    """What applies scenes has been loaded by then."""
    forget_scenes(monkeypatch)
    await set_up(hass, entry)
    await hass.async_block_till_done(wait_background_tasks=True)
    await load_scenes(hass)
    await write_text(hass, NO_ANSWER_TARGET, "0900123456")
    if to == "off":
        await turn(hass, NO_ANSWER, "on")
        clock.advance(A_WHILE)
    phone = await open_phone()
    import_slowly(hass, monkeypatch).set()
    # That comes first which must not.
    order = (NO_ANSWER, NO_ANSWER_TARGET)
    states = {NO_ANSWER: to, NO_ANSWER_TARGET: "300"}
    scene = {entity: states[entity] for entity in order[:: 1 if to == "on" else -1]}
    await hass.services.async_call("scene", "apply", {"entities": scene}, blocking=True)

    told = await lamps(runtime(entry), phone)
    assert told[-1] == Lamp(to == "on", "300", 3)
    assert [lamp.target for lamp in told if lamp.on] == ["300"] * (to == "on")


async def test_script_judges_the_new_target(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """A scene that names the switch first is not refused because of the old one."""
    await load_scenes(hass)
    await write_text(hass, NO_ANSWER_TARGET, "0900123456")
    why = "{{ 'no' if status and value.forwardTo != '300' else '' }}"
    await load_scripts(hass, dfks_set=script(*answer(refuse=why)))
    scene = {NO_ANSWER: "on", NO_ANSWER_TARGET: "300"}
    await hass.services.async_call("scene", "apply", {"entities": scene}, blocking=True)

    assert state_of(hass, NO_ANSWER) == "on"
    assert state_of(hass, NO_ANSWER_TARGET) == "300"
