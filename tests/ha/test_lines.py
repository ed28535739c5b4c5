"""Lines come, change and go while the listener runs on."""

from types import MappingProxyType

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest

from custom_components.dfks.features.model import Feature

from .common import (
    ALWAYS,
    DND,
    NO_ANSWER,
    RECEPTION,
    RECEPTION_DATA,
    RINGS,
    WORKSHOP,
    WORKSHOP_DND,
    MockConfigEntry,
    change_line,
    device_of,
    line,
    press,
    runtime,
    state_of,
    turn,
    write_text,
)

GATE = ConfigSubentry(
    subentry_id="gate",
    subentry_type="line",
    title="Gate",
    unique_id="203",
    data=MappingProxyType({**RECEPTION_DATA, "user": "203", "password": "gate-203"}),
)


# Whatever happens to the lines.
pytestmark = pytest.mark.usefixtures("listener_stays")


async def test_added_line_has_device_and_entities(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """All that is enabled, on a device of the subentry."""
    hass.config_entries.async_add_subentry(entry, GATE)
    await hass.async_block_till_done()

    assert line(entry, "gate").user == "203"
    gate_states = [s for s in hass.states.async_all() if ".gate_" in s.entity_id]
    assert len(gate_states) == 14
    device = device_of(hass, "gate")
    assert device.name == "Gate"
    assert device.config_subentry_id == "gate"


async def test_added_line_works(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Its entities move with its phone's keys and the other way round."""
    hass.config_entries.async_add_subentry(entry, GATE)
    await hass.async_block_till_done()

    await press(entry, Feature.DO_NOT_DISTURB, line_id="gate", status=True)
    assert state_of(hass, "switch.gate_do_not_disturb") == "on"
    await turn(hass, "switch.gate_do_not_disturb", "off")
    assert not line(entry, "gate").state(Feature.DO_NOT_DISTURB).status


async def test_renamed_line_keeps_everything_but_its_name(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The device follows; entity ids, state and the line itself stay."""
    running = line(entry)
    await turn(hass, DND, "on")
    await change_line(hass, entry, title="Front desk")

    assert device_of(hass).name == "Front desk"
    state = hass.states.get(DND)
    assert state is not None
    assert state.state == "on"
    assert state.name == "Front desk Do not disturb"
    assert line(entry) is running


async def test_users_own_device_name_survives_a_rename(
    hass: HomeAssistant, entry: MockConfigEntry, device_registry: dr.DeviceRegistry
) -> None:
    """What was typed on the device page counts more."""
    device_registry.async_update_device(device_of(hass).id, name_by_user="My phone")
    await change_line(hass, entry, title="Front desk")

    state = hass.states.get(DND)
    assert state is not None
    assert state.name == "My phone Do not disturb"


async def test_changed_password_keeps_the_line(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The line's object, and with it every dialog, stays."""
    running = line(entry)
    await turn(hass, DND, "on")
    await change_line(hass, entry, password="another")

    assert line(entry) is running
    assert running.hashes == runtime(entry).server.hash_password("201", "another")
    assert state_of(hass, DND) == "on"


async def test_unassigned_feature_loses_its_entities(
    hass: HomeAssistant, entry: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Gone from the states and from the registry, on this line only."""
    await change_line(
        hass, entry, features=["do_not_disturb", "call_forwarding_always"]
    )

    gone = [NO_ANSWER, RINGS, "text.reception_call_forwarding_no_answer_target"]
    for entity_id in gone:
        assert hass.states.get(entity_id) is None
        assert entity_registry.async_get(entity_id) is None
    assert state_of(hass, DND) == "off"
    assert state_of(hass, ALWAYS) == "off"
    assert state_of(hass, NO_ANSWER.replace("reception", "workshop")) == "off"
    assert line(entry).assigned == (
        Feature.DO_NOT_DISTURB,
        Feature.CALL_FORWARDING_ALWAYS,
    )


async def test_reassigned_feature_has_its_entities_and_state_back(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """As if it had never been away."""
    target = "text.reception_call_forwarding_no_answer_target"
    await write_text(hass, target, "300")
    await turn(hass, NO_ANSWER, "on")
    await change_line(hass, entry, features=["do_not_disturb"])
    await change_line(hass, entry, features=list(RECEPTION_DATA["features"]))

    assert state_of(hass, target) == "300"
    assert state_of(hass, NO_ANSWER) == "on"
    await turn(hass, NO_ANSWER, "off")
    assert not line(entry).state(Feature.CALL_FORWARDING_NO_ANSWER).status


async def test_removed_line_leaves_nothing(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """No line, no device, no entity; the other line does not notice."""
    await turn(hass, WORKSHOP_DND, "on")
    other = line(entry, WORKSHOP)

    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()

    assert runtime(entry).sync.lines == {WORKSHOP: other}
    devices = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert [device.name for device in devices] == ["Workshop"]
    entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    assert {entity.config_subentry_id for entity in entities} == {WORKSHOP}
    assert hass.states.get(DND) is None
    assert state_of(hass, WORKSHOP_DND) == "on"


async def test_removed_line_can_come_back(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """With the same user, as a new line without the old state."""
    await turn(hass, DND, "on")
    hass.config_entries.async_remove_subentry(entry, RECEPTION)
    await hass.async_block_till_done()
    again = ConfigSubentry(
        subentry_id="reception2",
        subentry_type="line",
        title="Reception",
        unique_id="201",
        data=MappingProxyType(dict(RECEPTION_DATA)),
    )
    hass.config_entries.async_add_subentry(entry, again)
    await hass.async_block_till_done()

    assert state_of(hass, DND) == "off"


async def test_subentries_of_other_kinds_are_no_lines(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Whatever a later version stores there."""
    other = ConfigSubentry(
        subentry_id="other",
        subentry_type="trunk",
        title="Trunk",
        unique_id="trunk",
        data=MappingProxyType({}),
    )
    hass.config_entries.async_add_subentry(entry, other)
    await hass.async_block_till_done()

    assert set(runtime(entry).sync.lines) == {RECEPTION, WORKSHOP}


async def test_two_lines_may_swap_their_users(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """By way of a free one, as the form demands."""
    await change_line(hass, entry, user="209")
    await change_line(hass, entry, WORKSHOP, user="201")
    await change_line(hass, entry, user="202")

    assert line(entry).user == "202"
    assert line(entry, WORKSHOP).user == "201"
