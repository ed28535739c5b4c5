"""What was set survives a restart, however Home Assistant ended."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from custom_components.dfks.features.model import Feature
from custom_components.dfks.listener import DfksListener

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    DND,
    NO_ANSWER_TARGET,
    RECEPTION,
    RINGS,
    WORKSHOP_DND,
    MockConfigEntry,
    async_fire_time_changed_exact,
    press,
    set_up,
    state_of,
    stop,
    turn,
    write_number,
    write_text,
)

FILE = "dfks.dfks_entry"


def stored(hass_storage: dict[str, Any]) -> dict[str, dict[str, object]]:
    """Return the states of the line Reception in the file."""
    states: dict[str, dict[str, object]] = hass_storage[FILE]["data"]["lines"][
        RECEPTION
    ]
    return states


def store(hass_storage: dict[str, Any], lines: object) -> None:
    """Write a file as an earlier run has left it."""
    hass_storage[FILE] = {"version": 1, "key": FILE, "data": {"lines": lines}}


async def pass_time(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float
) -> None:
    """Let time go by."""
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed_exact(hass)
    await hass.async_block_till_done()


async def test_change_is_written_within_a_second(
    hass: HomeAssistant,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """With all that belongs to the feature."""
    await write_text(hass, NO_ANSWER_TARGET, "2424")
    await write_number(hass, RINGS, 5)
    await turn(hass, "switch.reception_call_forwarding_no_answer", "on")
    await pass_time(hass, freezer, 1)

    assert stored(hass_storage)["CallForwardingNoAnswer"] == {
        "status": True,
        "forward_to": "2424",
        "ring_count": 5,
    }


async def test_stream_of_changes_does_not_postpone_the_write(
    hass: HomeAssistant,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Each change is in the file a second later, though ten a second follow."""
    for step in range(20):
        await write_text(hass, ALWAYS_TARGET, str(step))
        await pass_time(hass, freezer, 0.1)
        if step >= 10:
            written = stored(hass_storage)["CallForwardingAlways"]["forward_to"]
            assert step - int(str(written)) <= 10


async def test_nothing_is_written_where_nothing_changed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A phone that repeats itself does not wear the disk out."""
    await press(entry, Feature.DO_NOT_DISTURB, status=False)
    await pass_time(hass, freezer, 1)

    assert FILE not in hass_storage


async def test_unload_writes_at_once(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
) -> None:
    """A reload must find the newest state."""
    await turn(hass, DND, "on")
    await hass.config_entries.async_unload(entry.entry_id)

    assert stored(hass_storage)["DoNotDisturb"]["status"] is True


async def test_stop_writes_at_once(
    hass: HomeAssistant, listener: DfksListener, hass_storage: dict[str, Any]
) -> None:
    """Home Assistant may stop within the second."""
    await turn(hass, DND, "on")
    await stop(hass)

    assert stored(hass_storage)["DoNotDisturb"]["status"] is True


async def test_restart_brings_the_state_back(
    hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Switches, targets and rings."""
    store(
        hass_storage,
        {
            RECEPTION: {
                "DoNotDisturb": {"status": True},
                "CallForwardingAlways": {"status": True, "forward_to": "300"},
                "CallForwardingNoAnswer": {"forward_to": "2424", "ring_count": 9},
            }
        },
    )
    await set_up(hass, entry)

    assert state_of(hass, DND) == "on"
    assert state_of(hass, ALWAYS) == "on"
    assert state_of(hass, ALWAYS_TARGET) == "300"
    assert state_of(hass, NO_ANSWER_TARGET) == "2424"
    assert state_of(hass, RINGS) == "9"
    assert state_of(hass, WORKSHOP_DND) == "off"


@pytest.mark.parametrize(
    "lines",
    [
        None,
        [],
        {RECEPTION: None},
        {RECEPTION: {"DoNotDisturb": None, "Hoteling": {"status": True}}},
        {RECEPTION: {"DoNotDisturb": {"status": "yes", "since": 5}}},
        {RECEPTION: {"CallForwardingAlways": {"forward_to": 5}}},
        {RECEPTION: {"CallForwardingAlways": {"forward_to": "30\x000"}}},
        {RECEPTION: {"CallForwardingNoAnswer": {"ring_count": "9"}}},
        {RECEPTION: {"CallForwardingNoAnswer": {"ring_count": 101}}},
    ],
)
async def test_what_cannot_be_read_is_as_if_never_set(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    lines: object,
) -> None:
    """Unknown features and fields of other versions are passed over."""
    store(hass_storage, lines)
    await set_up(hass, entry)

    assert state_of(hass, DND) == "off"
    assert state_of(hass, ALWAYS_TARGET) == ""
    assert state_of(hass, RINGS) == "3"


async def test_states_of_removed_lines_are_dropped(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    listener: DfksListener,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A line that is removed is forgotten."""
    await turn(hass, DND, "on")
    await pass_time(hass, freezer, 1)
    assert RECEPTION in hass_storage[FILE]["data"]["lines"]

    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()
    await pass_time(hass, freezer, 1)

    assert RECEPTION not in hass_storage[FILE]["data"]["lines"]


async def test_states_of_lines_removed_while_away_are_dropped(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """They do not stay in the file for ever."""
    store(hass_storage, {"gone": {}, RECEPTION: {"DoNotDisturb": {"status": True}}})
    await set_up(hass, entry)
    await pass_time(hass, freezer, 1)

    assert set(hass_storage[FILE]["data"]["lines"]) == {"reception", "workshop"}
    assert stored(hass_storage)["DoNotDisturb"]["status"] is True
