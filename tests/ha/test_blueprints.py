"""The blueprints, run by Home Assistant, with a phone whose lamp tells what they did."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
import json
from pathlib import Path
import shutil
from typing import Any
from urllib.parse import quote

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint import importer, models
from homeassistant.core import CoreState, HomeAssistant, State
from homeassistant.helpers import restore_state
from homeassistant.helpers.json import json_bytes
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import extract_inputs, parse_yaml
import pytest
from pytest_homeassistant_custom_component.test_util.aiohttp import AiohttpClientMocker  # type: ignore[import-untyped]

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature
from tests import phone as desk
from tests.clock import ManualClock
from tests.phone import Lamp, Phone

from .common import (
    A_WHILE,
    ALWAYS,
    ALWAYS_TARGET,
    BOTH_LINES,
    DND,
    RECEPTION,
    WORKSHOP,
    WORKSHOP_DND,
    MockConfigEntry,
    async_fire_time_changed,
    async_fire_time_changed_exact,
    async_test_home_assistant,
    find_device,
    listener_entry,
    press,
    set_up,
    state_of,
    stop,
    turn,
    write_text,
)
from .conftest import OpenPhone
from .scripts import answer, load_scripts, script

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "blueprints" / "automation" / DOMAIN
FILES = sorted(FOLDER.glob("*.yaml"))
ON, OFF = Lamp(True), Lamp(False)
MEETING = "binary_sensor.meeting"
CALENDAR = "calendar.work"

# A Wednesday, far from midnight and from a change of the clocks; Home Assistant's
# tests live in California.
NOON = "2026-11-25 12:00:00-08:00"
EVENING = "2026-11-25 22:00:00-08:00"
MORNING = "2026-11-26 07:00:00-08:00"


@dataclass
class House:
    """A Home Assistant with an automation of a blueprint; it can be restarted.

    Between any two things that happen in it there is a while.
    """

    hass: HomeAssistant
    entry: MockConfigEntry
    freezer: FrozenDateTimeFactory
    clock: ManualClock
    port: int
    config: Path
    storage: dict[str, Any]
    stack: AsyncExitStack
    uses: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def automate(self, blueprint: str, **inputs: object) -> None:
        """Make an automation of a blueprint; `lines` and `allowed` by their ids."""
        await self.automate_all((blueprint, inputs))

    async def automate_all(self, *uses: tuple[str, dict[str, Any]]) -> None:
        """Make several automations of blueprints."""
        self.uses = list(uses)
        configs = [
            {
                "id": str(number),
                "alias": f"Blueprint {number}",
                "use_blueprint": {
                    "path": f"{DOMAIN}/{blueprint}.yaml",
                    "input": self._with_devices(inputs),
                },
            }
            for number, (blueprint, inputs) in enumerate(uses, 1)
        ]
        assert await async_setup_component(
            self.hass, "automation", {"automation": configs}
        )
        await self.hass.async_block_till_done()
        for number in range(1, len(uses) + 1):
            assert state_of(self.hass, f"automation.blueprint_{number}") == "on"

    def _with_devices(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return inputs that name lines as a user's do."""
        lines = {
            name: self._devices(inputs[name])
            for name in ("lines", "allowed")
            if name in inputs
        }
        return inputs | lines

    def _devices(self, lines: Any) -> list[str]:
        """Return device ids; what is no line of this house stays as it is."""
        found = ((line, find_device(self.hass, line)) for line in lines)
        return [device.id if device else line for line, device in found]

    async def set(self, entity_id: str, state: str, **attributes: object) -> None:
        """Give an entity of another integration a state."""
        self.clock.advance(A_WHILE)
        self.hass.states.async_set(entity_id, state, attributes)
        await self.hass.async_block_till_done()

    async def dnd(self, to: str, entity_id: str = DND) -> None:
        """Turn Do not disturb on or off as a user does in Home Assistant."""
        self.clock.advance(A_WHILE)
        await turn(self.hass, entity_id, to)

    async def press(self, feature: Feature, **change: Any) -> None:
        """Press a key of Reception's phone."""
        self.clock.advance(A_WHILE)
        await press(self.entry, feature, **change)
        await self.hass.async_block_till_done()

    async def run_actions(self) -> None:
        """Run the automation's actions as its page does."""
        self.clock.advance(A_WHILE)
        automation = {"entity_id": "automation.blueprint_1"}
        await self.hass.services.async_call(
            "automation", "trigger", automation, blocking=True
        )
        await self.hass.async_block_till_done()

    async def wait(self, **time: float) -> None:
        """Let time pass."""
        self.clock.advance(A_WHILE)
        self.freezer.tick(timedelta(**time))
        async_fire_time_changed_exact(self.hass, dt_util.utcnow())
        await self.hass.async_block_till_done()

    async def wait_until(self, moment: str) -> None:
        """Let time pass until a moment of the house's clock."""
        self.clock.advance(A_WHILE)
        self.freezer.move_to(moment)
        # A time trigger fires within half a second of its time.
        async_fire_time_changed(self.hass, dt_util.utcnow())
        await self.hass.async_block_till_done()

    async def stop(self) -> None:
        """Stop Home Assistant, as far as entries and entities notice."""
        await stop(self.hass)
        left = [
            json.loads(json_bytes(stored.as_dict()))
            for stored in restore_state.async_get(self.hass).async_get_stored_states()
        ]
        self.storage[restore_state.STORAGE_KEY] = {
            "version": restore_state.STORAGE_VERSION,
            "minor_version": 1,
            "key": restore_state.STORAGE_KEY,
            # The next run registers its entities anew, so that they have other ids.
            "data": [{**stored, "entity_registry_id": None} for stored in left],
        }
        # Else its timers would go on.
        automation = {"entity_id": "all"}
        await self.hass.services.async_call(
            "automation", "turn_off", automation, blocking=True
        )

    async def start(self, states: Mapping[str, str | State]) -> None:
        """Start Home Assistant again with what the one before has left.

        `states` are those of entities of other integrations, as they come up.
        """
        hass = await self.stack.enter_async_context(
            async_test_home_assistant(
                config_dir=str(self.config), initial_state=CoreState.not_running
            )
        )
        self.stack.push_async_callback(hass.async_stop, force=True)
        hass.data.pop(DATA_CUSTOM_COMPONENTS)
        await restore_state.async_get(hass).async_load()
        for entity_id, state in states.items():
            if isinstance(state, State):
                hass.states.async_set(entity_id, state.state, state.attributes)
            else:
                hass.states.async_set(entity_id, state)
        self.hass, self.entry = hass, listener_entry(self.port, BOTH_LINES)
        await set_up(hass, self.entry)
        await self.automate_all(*self.uses)
        await hass.async_start()
        await hass.async_block_till_done()

    async def restart(
        self,
        states: Mapping[str, str | State],
        *,
        power_cut: bool = False,
        **down: float,
    ) -> None:
        """Stop, be away for a while, and start.

        After a power cut Home Assistant does not know when its automations ran.
        """
        await self.stop()
        if power_cut:
            del self.storage[restore_state.STORAGE_KEY]
        self.freezer.tick(timedelta(**down or {"minutes": 5}))
        await self.start(states)


@pytest.fixture
async def house(
    hass: HomeAssistant,
    port: int,
    tmp_path: Path,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
    clock: ManualClock,
) -> AsyncIterator[House]:
    """Return a house with two lines whose configuration folder has the blueprints.

    The listener's clock passes only a while at a time: no subscription expires.
    """
    freezer.move_to(NOON)
    shutil.copytree(FOLDER, tmp_path / "blueprints" / "automation" / DOMAIN)
    hass.config.config_dir = str(tmp_path)
    entry = listener_entry(port, BOTH_LINES)
    await set_up(hass, entry)
    async with AsyncExitStack() as stack:
        house = House(hass, entry, freezer, clock, port, tmp_path, hass_storage, stack)
        yield house
        await house.stop()


def text_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text()


def load(path: Path) -> dict[str, Any]:
    """Return what stands in the file of a blueprint."""
    content = parse_yaml(text_of(path))
    assert isinstance(content, dict)
    return content


def lamp(phone: Phone, feature: str = desk.DND) -> Lamp:
    """Return what a phone shows of a feature."""
    return phone.features[feature]


async def news(phone: Phone) -> list[dict[str, Lamp]]:
    """Return what a phone was told and has not taken yet.

    The server answers in order: a NOTIFY would be there before the first answer, and
    one that had to wait for that before the second. Nothing waits for a clock, which
    stands still here.
    """
    for _ in range(2):
        assert (await phone.options()).status == 200
    untaken = phone.notifications[phone._taken :]
    phone._taken = len(phone.notifications)
    return [notification.features for notification in untaken]


def until(house: House, entity_id: str = DND) -> object:
    """Return until when a feature is on."""
    state = house.hass.states.get(entity_id)
    assert state is not None
    return state.attributes["until"]


async def shows(phone: Phone, wanted: Lamp, feature: str = desk.DND) -> None:
    """Make sure that a phone has been told, and shows, something of a feature."""
    told = await news(phone)
    assert any(feature in features for features in told)
    assert lamp(phone, feature) == wanted


async def told_nothing(phone: Phone) -> None:
    """Make sure that a phone was told nothing that it has not taken yet."""
    assert await news(phone) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestFiles:
    """Each file, before it is run."""

    def test_is_a_blueprint(self, path: Path) -> None:
        """As Home Assistant reads it."""
        blueprint = models.Blueprint(
            load(path),
            expected_domain="automation",
            schema=AUTOMATION_BLUEPRINT_SCHEMA,
        )
        assert blueprint.validate() is None

    def test_every_input_is_used(self, path: Path) -> None:
        """And none is used that is not there."""
        blueprint = load(path)
        inputs: set[str] = set()
        for name, value in blueprint["blueprint"].pop("input").items():
            inputs |= set(value["input"]) if "input" in value else {name}
        assert extract_inputs(blueprint) == inputs

    def test_every_input_has_a_name_and_a_selector(self, path: Path) -> None:
        """Lines are chosen among those of this integration."""
        given = load(path)["blueprint"]["input"]
        for name, value in given.items():
            for key, one in value.get("input", {name: value}).items():
                assert one["name"]
                (selector,) = one["selector"].items()
                if key in ("lines", "allowed"):
                    filters = [{"integration": DOMAIN}]
                    assert selector == ("device", {"multiple": True, "filter": filters})

    def test_wants_the_version_that_the_integration_wants(self, path: Path) -> None:
        """hacs.json has it."""
        hacs = json.loads((ROOT / "hacs.json").read_text())
        wanted = load(path)["blueprint"]["homeassistant"]
        assert wanted == {"min_version": hacs["homeassistant"]}

    def test_can_be_imported_from_the_documentation(self, path: Path) -> None:
        """Its source is the file itself; the badge leads there."""
        source = load(path)["blueprint"]["source_url"]
        assert source == (
            "https://github.com/ha-dfks/ha-dfks/blob/main/"
            f"{path.relative_to(ROOT).as_posix()}"
        )
        badge = (
            "https://my.home-assistant.io/redirect/blueprint_import/"
            f"?blueprint_url={quote(source, safe='')}"
        )
        assert f"({badge})" in (ROOT / "docs" / "automations.md").read_text()

    async def test_is_the_same_after_an_import(
        self, hass: HomeAssistant, aioclient_mock: AiohttpClientMocker, path: Path
    ) -> None:
        """Home Assistant finds the raw file by its source, and writes it anew."""
        source = load(path)["blueprint"]["source_url"]
        raw = "https://raw.githubusercontent.com/ha-dfks/ha-dfks/main/"
        name = path.relative_to(ROOT).as_posix()
        aioclient_mock.get(f"{raw}{name}", text=text_of(path))
        imported = await importer.fetch_blueprint_from_url(hass, source)
        assert parse_yaml(imported.blueprint.yaml()) == imported.blueprint.data


def event(
    title: str = "Planning",
    *,
    all_day: bool = False,
    start: str = "12:00",
    end: str = "18:00",
) -> dict[str, Any]:
    """Return the attributes of a calendar during an event of the day."""
    return {
        "message": title,
        "all_day": all_day,
        "start_time": f"2026-11-25 {start}:00",
        "end_time": f"2026-11-25 {end}:00",
        "location": "",
        "description": "",
    }


class TestMeetings:
    """Do not disturb while a calendar has an event or a sensor says so."""

    @staticmethod
    async def prepare(house: House, **inputs: object) -> None:
        """Make the automation; nobody is in a meeting."""
        await house.set(MEETING, "off")
        await house.set(CALENDAR, "off")
        meetings = [MEETING, CALENDAR]
        given = {"meetings": meetings, "lines": [RECEPTION]} | inputs
        await house.automate("dnd_in_meetings", **given)

    async def test_calendar(self, house: House, open_phone: OpenPhone) -> None:
        """One event, and another one right after it."""
        await self.prepare(house, lines=[RECEPTION, WORKSHOP])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        await house.set(CALENDAR, "on", **event())
        await shows(phone, ON)
        await shows(workshop, ON)
        await house.wait(hours=1)
        await house.set(CALENDAR, "on", **event("Review", start="13:00"))
        await told_nothing(phone)
        await house.set(CALENDAR, "off")
        await shows(phone, OFF)
        await shows(workshop, OFF)

    async def test_calendar_tells_until_when(self, house: House) -> None:
        """A meeting is moved; half a minute is for the event that follows."""
        await self.prepare(house)
        await house.set(CALENDAR, "on", **event(end="13:00"))
        assert until(house) == "2026-11-25T13:00:30-08:00"
        await house.set(CALENDAR, "on", **event(end="14:00"))
        assert until(house) == "2026-11-25T14:00:30-08:00"
        await house.wait(hours=1, minutes=30)
        assert state_of(house.hass, DND) == "on"
        await house.set(CALENDAR, "on", **event(end="13:45"))
        await house.wait(minutes=16)
        assert state_of(house.hass, DND) == "off"

    async def test_meeting_that_is_cut_short(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """It is over with its event, though it was to last longer."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(CALENDAR, "on", **event(end="14:00"))
        await shows(phone, ON)
        await house.wait(minutes=20)
        await house.set(CALENDAR, "off")
        await shows(phone, OFF)

    async def test_sensor_does_not_tell_until_when(self, house: House) -> None:
        """Nor does a calendar as long as one is on as well."""
        await self.prepare(house)
        await house.set(CALENDAR, "on", **event(end="13:00"))
        await house.set(MEETING, "on")
        assert until(house) is None
        await house.wait(hours=2)
        await house.set(CALENDAR, "off")
        assert state_of(house.hass, DND) == "on"
        await house.set(MEETING, "off")
        assert state_of(house.hass, DND) == "off"

    async def test_two_automations_on_one_line(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Each has meetings of its own: the line is quiet until both are over."""
        await house.set(MEETING, "off")
        await house.set(CALENDAR, "off")
        await house.automate_all(
            ("dnd_in_meetings", {"meetings": [MEETING], "lines": [RECEPTION]}),
            ("dnd_in_meetings", {"meetings": [CALENDAR], "lines": [RECEPTION]}),
        )
        phone = await open_phone()
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.set(CALENDAR, "on", **event())
        await house.set(MEETING, "off")
        await told_nothing(phone)
        await house.set(CALENDAR, "off")
        await shows(phone, OFF)

    async def test_meeting_that_goes_on_into_the_night(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Its end is not the end of the night."""
        await house.set(MEETING, "off")
        await house.automate_all(
            ("dnd_in_meetings", {"meetings": [MEETING], "lines": [RECEPTION]}),
            ("dnd_at_night", {}),
        )
        phone = await open_phone()
        await house.wait_until("2026-11-25 21:30:00-08:00")
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.wait_until(EVENING)
        await house.set(MEETING, "off")
        await told_nothing(phone)
        await house.wait_until(MORNING)
        await shows(phone, OFF)

    async def test_ends_with_the_last_of_several(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The second to begin changes nothing, nor does the first to end."""
        await self.prepare(house)
        phone = await open_phone()

        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.wait(minutes=10)
        await house.set(CALENDAR, "on", **event())
        await house.wait(minutes=10)
        await house.set(MEETING, "off")
        await told_nothing(phone)
        await house.set(CALENDAR, "off")
        await shows(phone, OFF)

    async def test_line_that_was_quiet_before_stays_quiet(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The other one comes back."""
        await self.prepare(house, lines=[RECEPTION, WORKSHOP])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        await house.dnd("on")
        await shows(phone, ON)

        await house.wait(minutes=10)
        await house.set(MEETING, "on")
        await shows(workshop, ON)
        await house.set(MEETING, "off")
        await shows(workshop, OFF)
        await told_nothing(phone)
        assert state_of(house.hass, DND) == "on"

    async def test_who_turns_it_off_has_the_last_word(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """A second sensor that begins does not turn it on again."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.press(Feature.DO_NOT_DISTURB, status=False)
        await shows(phone, OFF)

        await house.set(CALENDAR, "on", **event())
        await house.set(CALENDAR, "on", **event("Review"))
        await house.set(MEETING, "off")
        await house.set(CALENDAR, "off")
        await told_nothing(phone)

    @pytest.mark.parametrize("states", ["off", "off on", "off on off"])
    async def test_sensor_that_changes_while_a_script_is_asked(
        self, house: House, states: str
    ) -> None:
        """The last state counts, and what is on then is turned off in the end."""
        await self.prepare(house)
        await load_scripts(house.hass, dfks_set=script({"event": "asked"}))
        house.hass.states.async_set(MEETING, "on")
        for state in states.split():
            house.hass.states.async_set(MEETING, state)
        await house.hass.async_block_till_done()
        assert state_of(house.hass, DND) == states.rsplit(maxsplit=1)[-1]

        await house.wait(minutes=10)
        await house.set(MEETING, "off")
        assert state_of(house.hass, DND) == "off"

    async def test_run_actions(self, house: House, open_phone: OpenPhone) -> None:
        """By hand, in mid-meeting, for somebody who has turned it off."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(MEETING, "on")
        await house.wait(minutes=10)
        await house.dnd("off")
        await shows(phone, OFF)
        await house.run_actions()
        await shows(phone, ON)

    @pytest.mark.parametrize(
        ("inputs", "shown", "quiet"),
        [
            ({}, event(all_day=True), False),
            ({"all_day": True}, event(all_day=True), True),
            ({"only_titles": ["PLAN", "review"]}, event(), True),
            ({"only_titles": ["review"]}, event(), False),
            ({"only_titles": [" "]}, event(), True),
            ({"except_titles": ["free", "Plan"]}, event(), False),
            ({"except_titles": ["free", ""]}, event(), True),
            ({"only_titles": ["plan"], "except_titles": ["plan b"]}, event(), True),
        ],
    )
    async def test_which_events_count(
        self,
        house: House,
        open_phone: OpenPhone,
        inputs: dict[str, object],
        shown: dict[str, object],
        quiet: bool,
    ) -> None:
        """By title and length."""
        await self.prepare(house, **inputs)
        phone = await open_phone()
        await house.set(CALENDAR, "on", **shown)

        assert state_of(house.hass, DND) == ("on" if quiet else "off")
        await (shows(phone, ON) if quiet else told_nothing(phone))

    async def test_event_that_counts_after_one_that_does_not(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The calendar stays on in between; sensors always count."""
        await self.prepare(house, except_titles=["lunch"])
        phone = await open_phone()
        await house.set(CALENDAR, "on", **event("Lunch"))
        await told_nothing(phone)
        await house.set(CALENDAR, "on", **event("Planning"))
        await shows(phone, ON)
        await house.set(CALENDAR, "on", **event("Late lunch"))
        await shows(phone, OFF)
        await house.set(MEETING, "on")
        await shows(phone, ON)

    @pytest.mark.parametrize("absent", ["unavailable", "unknown"])
    async def test_sensor_that_is_away_for_a_while(
        self, house: House, open_phone: OpenPhone, absent: str
    ) -> None:
        """Neither ends the meeting nor begins it again."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.wait(minutes=5)
        await house.set(MEETING, absent)
        await house.wait(minutes=5)
        await told_nothing(phone)
        await house.set(MEETING, "on")
        await told_nothing(phone)
        await house.set(MEETING, absent)
        await house.set(MEETING, "off")
        await shows(phone, OFF)

        await house.set(MEETING, absent)
        await house.set(MEETING, "on")
        await told_nothing(phone)

    async def test_restart_in_mid_meeting(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """What was quiet before stays so, what was not comes back."""
        await self.prepare(house, lines=[RECEPTION, WORKSHOP])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        await house.dnd("on", WORKSHOP_DND)
        await house.wait(minutes=10)
        await house.set(MEETING, "on")
        await shows(phone, ON)

        await house.wait(minutes=10)
        await house.restart({MEETING: "unavailable", CALENDAR: "off"})
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.wait(minutes=10)
        await house.set(MEETING, "off")
        await shows(phone, OFF)
        assert state_of(house.hass, WORKSHOP_DND) == "on"
        assert lamp(workshop).on

    @pytest.mark.parametrize("power_cut", [False, True])
    @pytest.mark.parametrize("up", ["off", "unavailable"])
    async def test_meeting_that_ends_while_home_assistant_is_down(
        self, house: House, open_phone: OpenPhone, up: str, power_cut: bool
    ) -> None:
        """Even where the calendar cannot tell so at the start."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(CALENDAR, "on", **event(end="12:30"))
        await shows(phone, ON)

        states = {MEETING: "off", CALENDAR: up}
        await house.restart(states, hours=1, power_cut=power_cut)
        await shows(phone, OFF)

    async def test_sensor_that_goes_off_while_home_assistant_is_down(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """It is made up for at the start."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(MEETING, "on")
        await shows(phone, ON)
        await house.restart({MEETING: "off", CALENDAR: "off"})
        await shows(phone, OFF)

    async def test_meeting_that_is_moved_while_home_assistant_is_down(
        self, house: House
    ) -> None:
        """Its new end counts."""
        await self.prepare(house)
        await house.set(CALENDAR, "on", **event(end="13:00"))
        moved = State(CALENDAR, "on", event(end="14:00"))
        await house.restart({MEETING: "off", CALENDAR: moved}, minutes=30)
        assert until(house) == "2026-11-25T14:00:30-08:00"

    async def test_nobody_knows_yet_at_the_start(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The meeting is not over before somebody says so."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(CALENDAR, "on", **event())
        await shows(phone, ON)

        await house.restart({MEETING: "off", CALENDAR: "unavailable"})
        assert state_of(house.hass, DND) == "on"
        await house.set(CALENDAR, "off")
        await shows(phone, OFF)

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize(("start", "quiet"), [("12:00", False), ("12:13", True)])
    async def test_only_what_has_begun_meanwhile_is_a_new_meeting_after_a_restart(
        self, house: House, open_phone: OpenPhone, start: str, quiet: bool, late: bool
    ) -> None:
        """Else who has turned it off in mid-meeting would be overruled."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(CALENDAR, "on", **event(start="12:00"))
        await shows(phone, ON)
        await house.wait(minutes=10)
        await house.dnd("off")
        await shows(phone, OFF)

        up = State(CALENDAR, "on", event(start=start))
        await house.restart({MEETING: "off", CALENDAR: "unavailable" if late else up})
        if late:
            await house.set(CALENDAR, "on", **event(start=start))
        assert state_of(house.hass, DND) == ("on" if quiet else "off")
        await shows(phone, Lamp(quiet))

    async def test_sensor_that_is_on_after_a_restart_begins_nothing(
        self, house: House
    ) -> None:
        """It does not tell since when."""
        await self.prepare(house)
        await house.restart({MEETING: "on", CALENDAR: "off"})
        assert state_of(house.hass, DND) == "off"


class TestNight:
    """Do not disturb at night, but for some lines."""

    @staticmethod
    async def prepare(house: House, **inputs: object) -> None:
        """Make the automation; it is a Wednesday noon."""
        given = {"evening": "22:00:00", "morning": "07:00:00"} | inputs
        await house.automate("dnd_at_night", **given)

    async def test_all_lines_but_those_on_the_list(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """From the evening until the morning, across midnight, night after night."""
        await self.prepare(house, allowed=[WORKSHOP])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        for day in ("26", "27"):
            await house.wait_until(f"2026-11-{int(day) - 1} 21:59:59-08:00")
            await told_nothing(phone)
            await house.wait_until(f"2026-11-{int(day) - 1} 22:00:00-08:00")
            await shows(phone, ON)
            await house.wait_until(f"2026-11-{day} 00:00:00-08:00")
            await house.wait_until(f"2026-11-{day} 06:59:59-08:00")
            await told_nothing(phone)
            await house.wait_until(f"2026-11-{day} 07:00:00-08:00")
            await shows(phone, OFF)
        await told_nothing(workshop)

    async def test_within_one_day(self, house: House, open_phone: OpenPhone) -> None:
        """A nap, with nobody on the list."""
        await self.prepare(house, evening="13:00:00", morning="14:30:00")
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        await house.wait_until("2026-11-25 13:00:00-08:00")
        await shows(phone, ON)
        await shows(workshop, ON)
        await house.wait_until("2026-11-25 14:30:00-08:00")
        await shows(phone, OFF)
        await shows(workshop, OFF)

    async def test_whole_days(self, house: House) -> None:
        """One after the other, until the last of them is over."""
        days = {
            "evening": "22:00:00",
            "morning": "22:00:00",
            "weekdays": ["wed", "thu"],
        }
        await self.prepare(house, **days)
        for day, state in (("25", "on"), ("26", "on"), ("27", "off"), ("28", "off")):
            await house.wait_until(f"2026-11-{day} 22:00:00-08:00")
            assert state_of(house.hass, DND) == state

    async def test_weekdays_are_those_on_which_a_night_begins(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Thursday is chosen: its night ends on Friday, when none begins."""
        await self.prepare(house, weekdays=["thu"])
        phone = await open_phone()

        await house.wait_until(EVENING)
        await house.wait_until(MORNING)
        await told_nothing(phone)
        await house.wait_until("2026-11-26 22:00:00-08:00")
        await shows(phone, ON)
        await house.wait_until("2026-11-27 07:00:00-08:00")
        await shows(phone, OFF)
        await house.wait_until("2026-11-27 22:00:00-08:00")
        await told_nothing(phone)

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_who_turns_it_off_or_on_again_has_the_last_word(
        self, house: House, open_phone: OpenPhone, restarted: bool
    ) -> None:
        """Workshop is reached that night; Reception stays quiet in the morning."""
        await self.prepare(house)
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        await house.wait_until(EVENING)
        await shows(phone, ON)
        await shows(workshop, ON)
        await house.wait(seconds=10)
        await house.dnd("off", WORKSHOP_DND)
        await shows(workshop, OFF)
        await house.press(Feature.DO_NOT_DISTURB, status=False)
        await house.press(Feature.DO_NOT_DISTURB, status=True)
        await shows(phone, ON)

        if restarted:
            await house.restart({}, minutes=5)
            assert state_of(house.hass, WORKSHOP_DND) == "off"
        await house.wait_until(MORNING)
        assert state_of(house.hass, WORKSHOP_DND) == "off"
        assert state_of(house.hass, DND) == "on"

    @pytest.mark.parametrize("power_cut", [False, True])
    async def test_restart_at_night(
        self, house: House, open_phone: OpenPhone, power_cut: bool
    ) -> None:
        """What was quiet before stays so, what was not comes back."""
        await self.prepare(house)
        phone = await open_phone()
        await house.dnd("on", WORKSHOP_DND)
        await house.wait_until(EVENING)
        await shows(phone, ON)

        await house.wait_until("2026-11-26 02:00:00-08:00")
        await house.restart({}, power_cut=power_cut)
        assert state_of(house.hass, DND) == "on"
        await house.wait_until(MORNING)
        await shows(phone, OFF)
        assert state_of(house.hass, WORKSHOP_DND) == "on"

    async def test_evening_and_morning_are_made_up_for(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Home Assistant was down at the time."""
        await self.prepare(house)
        phone = await open_phone()
        await house.wait_until("2026-11-25 21:59:00-08:00")
        await house.restart({}, hours=4)
        await shows(phone, ON)
        await house.wait_until("2026-11-26 06:59:00-08:00")
        await house.restart({}, hours=4)
        await shows(phone, OFF)

    async def test_start_in_the_daytime(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Changes nothing."""
        await self.prepare(house)
        phone = await open_phone()
        await house.dnd("on")
        await shows(phone, ON)
        await house.restart({})
        assert state_of(house.hass, DND) == "on"
        assert state_of(house.hass, WORKSHOP_DND) == "off"


MOBILE = "+4915112345"
ANNA, BEN = "person.anna", "person.ben"
FORWARDED = Lamp(True, MOBILE)


class TestAway:
    """Calls go to the mobile when everybody has left."""

    @staticmethod
    async def prepare(house: House, **inputs: object) -> None:
        """Make the automation; Anna and Ben are at home."""
        await house.set(ANNA, "home")
        await house.set(BEN, "home")
        given = {"people": [ANNA, BEN], "lines": [RECEPTION], "mobile": MOBILE}
        await house.automate("forward_when_away", **given | inputs)

    @staticmethod
    async def leave(house: House) -> None:
        """Have everybody leave, and the delay pass."""
        await house.set(ANNA, "not_home")
        await house.set(BEN, "Office")
        await house.wait(minutes=5)

    async def test_when_the_last_one_leaves_until_the_first_is_back(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """One NOTIFY each; other lines are left alone."""
        await self.prepare(house)
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)

        await house.set(ANNA, "not_home")
        await house.wait(minutes=30)
        await told_nothing(phone)
        await house.set(BEN, "Office")
        await house.wait(minutes=4, seconds=59)
        await told_nothing(phone)
        await house.wait(seconds=1)
        assert await news(phone) == [{desk.ALWAYS: FORWARDED}]

        await house.wait(hours=3)
        await house.set(ANNA, "home")
        assert await news(phone) == [{desk.ALWAYS: Lamp(False)}]
        await house.set(BEN, "home")
        await told_nothing(phone)
        await told_nothing(workshop)
        assert state_of(house.hass, ALWAYS_TARGET) == ""

    async def test_walk_around_the_house(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """Is no leaving; the time counts anew after it."""
        await self.prepare(house, delay={"minutes": 10})
        phone = await open_phone()
        await self.leave(house)
        await house.set(ANNA, "home")
        await house.set(ANNA, "not_home")
        await house.wait(minutes=9)
        await told_nothing(phone)
        await house.wait(minutes=1)
        await shows(phone, FORWARDED, desk.ALWAYS)

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_old_target_comes_back(
        self, house: House, open_phone: OpenPhone, restarted: bool
    ) -> None:
        """It is never shown as on in between; another feature does not matter."""
        await self.prepare(house)
        await write_text(house.hass, ALWAYS_TARGET, "2424")
        phone = await open_phone()
        await self.leave(house)
        assert await news(phone) == [{desk.ALWAYS: FORWARDED}]
        await house.press(Feature.DO_NOT_DISTURB, status=True)
        if restarted:
            await house.restart({ANNA: "unknown", BEN: "Office"}, power_cut=True)
            await house.set(ANNA, "not_home")
        await news(phone)
        await house.set(BEN, "home")
        assert await news(phone) == [{desk.ALWAYS: Lamp(False, "2424")}]

    async def test_line_that_another_automation_forwards(self, house: House) -> None:
        """Its calls go to the mobile meanwhile, and there again afterwards."""
        await self.prepare(house)
        lunch = {"status": True, "forward_to": "300", "claim": "Lunch"}
        await house.hass.services.async_call(
            DOMAIN, "set_feature", {"entity_id": ALWAYS, **lunch}, blocking=True
        )
        await self.leave(house)
        assert state_of(house.hass, ALWAYS_TARGET) == MOBILE
        await house.set(BEN, "home")
        assert state_of(house.hass, ALWAYS_TARGET) == "300"
        assert state_of(house.hass, ALWAYS) == "on"

    async def test_line_that_was_turned_off_meanwhile_is_left_alone(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The target stays as it is."""
        await self.prepare(house)
        phone = await open_phone()
        await self.leave(house)
        await shows(phone, FORWARDED, desk.ALWAYS)
        await turn(house.hass, ALWAYS, "off")
        await shows(phone, Lamp(False, MOBILE), desk.ALWAYS)
        await house.set(BEN, "home")
        await told_nothing(phone)

    @pytest.mark.parametrize("target", ["2424", MOBILE])
    async def test_line_that_is_forwarded_already_is_left_alone(
        self, house: House, open_phone: OpenPhone, target: str
    ) -> None:
        """At the phone, before everybody left; the other line is not."""
        await self.prepare(house, lines=[RECEPTION, WORKSHOP])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        change = {"status": True, "forward_to": target}
        await house.press(Feature.CALL_FORWARDING_ALWAYS, **change)
        await shows(phone, Lamp(True, target), desk.ALWAYS)

        await self.leave(house)
        await shows(workshop, FORWARDED, desk.ALWAYS)
        await house.set(BEN, "home")
        await shows(workshop, Lamp(False), desk.ALWAYS)
        await told_nothing(phone)
        assert lamp(phone, desk.ALWAYS) == Lamp(True, target)

    @pytest.mark.parametrize(
        ("person", "home", "away"),
        [
            ("zone.home", "2", "0"),
            ("zone.home", "10", "0"),
            ("group.family", "home", "not_home"),
            ("binary_sensor.presence", "on", "off"),
            ("person.anna", "home", "Homework club"),
        ],
    )
    async def test_who_counts_as_at_home(
        self,
        house: House,
        open_phone: OpenPhone,
        person: str,
        home: str,
        away: str,
    ) -> None:
        """Each kind of entity in its own words."""
        await self.prepare(house, people=[person])
        await house.set(person, home)
        phone = await open_phone()
        await house.wait(minutes=5)
        await told_nothing(phone)
        await house.set(person, away)
        await house.wait(minutes=5)
        await shows(phone, FORWARDED, desk.ALWAYS)
        await house.set(person, home)
        await shows(phone, Lamp(False), desk.ALWAYS)

    @pytest.mark.parametrize("absent", ["unknown", "unavailable"])
    async def test_somebody_who_is_nowhere_has_not_left(
        self, house: House, open_phone: OpenPhone, absent: str
    ) -> None:
        """Nothing is forwarded on a guess; nor is it ended on one."""
        await self.prepare(house)
        phone = await open_phone()
        await house.set(ANNA, absent)
        await house.set(BEN, "not_home")
        await house.wait(minutes=30)
        await told_nothing(phone)
        await self.leave(house)
        await shows(phone, FORWARDED, desk.ALWAYS)
        await house.set(ANNA, absent)
        await told_nothing(phone)

    @pytest.mark.parametrize(
        "mobile", ["15112345", "015112345", "sip:anna@pbx.example"]
    )
    async def test_target_as_it_is_typed(
        self, house: House, open_phone: OpenPhone, mobile: str
    ) -> None:
        """A number stays the text that it is."""
        await self.prepare(house, mobile=f" {mobile} ")
        phone = await open_phone()
        await self.leave(house)
        await shows(phone, Lamp(True, mobile), desk.ALWAYS)
        await house.set(BEN, "home")
        await shows(phone, Lamp(False), desk.ALWAYS)

    async def test_set_script_that_refuses_one_line(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """The other one is forwarded, and comes back."""
        await self.prepare(house, lines=[RECEPTION, WORKSHOP, "removed"])
        phone, workshop = await open_phone(), await open_phone(WORKSHOP)
        refuse = answer(refuse="{{ 'no' if '201' in presentity else '' }}")
        await load_scripts(house.hass, dfks_set=script(*refuse))
        await self.leave(house)
        await shows(workshop, FORWARDED, desk.ALWAYS)
        await told_nothing(phone)

        await house.set(BEN, "home")
        await shows(workshop, OFF, desk.ALWAYS)
        await told_nothing(phone)

    async def test_back_while_home_assistant_is_down(
        self, house: House, open_phone: OpenPhone
    ) -> None:
        """It is ended at the start."""
        await self.prepare(house)
        phone = await open_phone()
        await self.leave(house)
        await shows(phone, FORWARDED, desk.ALWAYS)
        await house.restart({ANNA: "home", BEN: "not_home"})
        await shows(phone, Lamp(False), desk.ALWAYS)

    async def test_gone_while_home_assistant_is_down(self, house: House) -> None:
        """Nothing is forwarded, until they leave the next time."""
        await self.prepare(house)
        await house.restart({ANNA: "not_home", BEN: "not_home"})
        await house.wait(minutes=10)
        assert state_of(house.hass, ALWAYS) == "off"
        await house.set(ANNA, "home")
        await self.leave(house)
        assert state_of(house.hass, ALWAYS) == "on"
