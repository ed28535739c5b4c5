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
from .const import LineOption
from .features.model import Feature
from .settings import followed_parts, followed_subentries, line_parts, line_subentries

# Home Assistant's own limit, in helpers/entity_platform.py.
MAX_ENTITIES: Final = 10_000

# The entities of a line that are enabled at first: what each needs, if anything.
_NEEDED: Final = Counter(
    description.needs
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


def entities_of(parts: Iterable[Feature | LineOption]) -> int:
    """Return how many enabled entities a new line with some features brings."""
    return sum(_NEEDED[part] for part in (None, *parts))


@callback
def async_has_room(
    hass: HomeAssistant,
    entry: ConfigEntry,
    parts: Iterable[Feature | LineOption],
    replaced: Iterable[Feature | LineOption] = (),
) -> bool:
    """Whether there is room for a new line, or for other features of one there is."""
    before = set(replaced)
    added = (
        sum(_NEEDED[part] for part in set(parts) - before)
        if before
        else entities_of(parts)
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
    for line_id, subentry in followed_subentries(entry).items():
        if line_id not in known:
            room -= entities_of(followed_parts(subentry.data))
    left_out = []
    for line_id, subentry in line_subentries(entry).items():
        if line_id in known:
            continue
        needed = entities_of(line_parts(subentry.data))
        if needed > room:
            left_out.append(subentry)
        else:
            room -= needed
    return room, left_out
