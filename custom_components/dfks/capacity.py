"""How many lines a listener can have.

Home Assistant takes a number of enabled entities of a config entry and leaves out what
comes after, in the midst of a line. So a line for whose entities there is no room is
refused as a whole, before it is stored or when it comes by itself.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from . import binary_sensor, datetime, event, number, sensor, switch, text
from .features.model import Feature
from .settings import line_config, line_subentries

# Home Assistant's own limit, in helpers/entity_platform.py.
MAX_ENTITIES: Final = 10_000

# The entities of a line that are enabled at first: the feature that each needs, if any.
_NEEDED: Final = Counter(
    description.feature
    for platform in (
        binary_sensor,
        datetime,
        event,
        number,
        sensor,
        switch,
        text,
    )
    for description in platform.DESCRIPTIONS
    if description.entity_registry_enabled_default
)


def entities_of(features: Iterable[Feature]) -> int:
    """Return how many enabled entities a new line with some features brings."""
    return sum(_NEEDED[feature] for feature in (None, *features))


@callback
def async_has_room(
    hass: HomeAssistant,
    entry: ConfigEntry,
    features: Iterable[Feature],
    replaced: Iterable[Feature] = (),
) -> bool:
    """Whether there is room for a new line, or for other features of one there is."""
    before = set(replaced)
    added = (
        sum(_NEEDED[feature] for feature in set(features) - before)
        if before
        else entities_of(features)
    )
    return added <= _survey(hass, entry)[0]


@callback
def async_lines_without_room(
    hass: HomeAssistant, entry: ConfigEntry
) -> list[ConfigSubentry]:
    """Return the lines for whose entities there is no room; they have none yet."""
    return _survey(hass, entry)[1]


def _survey(
    hass: HomeAssistant, entry: ConfigEntry
) -> tuple[int, list[ConfigSubentry]]:
    """Return for how many entities there is room, and the lines that have none.

    Lines whose entities are not there yet, because they have come just now or because
    Home Assistant starts, count with those that they will have.
    """
    room = MAX_ENTITIES
    known: set[str | None] = set()
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        known.add(entity.config_subentry_id)
        room -= entity.disabled_by is None
    left_out = []
    for line_id, subentry in line_subentries(entry).items():
        if line_id in known:
            continue
        needed = entities_of(line_config(subentry).assigned)
        if needed > room:
            left_out.append(subentry)
        else:
            room -= needed
    return room, left_out
