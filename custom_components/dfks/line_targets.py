"""Which lines an action is about, and which of their features.

Lines are named as in Home Assistant's own actions, by a target: entities, devices, areas,
floors and labels. An entity stands for its line, and one of a feature for that feature,
too. OpenSIPS' presentity names a line by its SIP address.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_FLOOR_ID,
    ATTR_LABEL_ID,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)
from homeassistant.helpers.group import expand_entity_ids
from homeassistant.helpers.target import (
    TargetSelection,
    async_extract_referenced_entity_ids,
)
from homeassistant.util.json import JsonObjectType
import voluptuous as vol

from .const import DOMAIN, FEATURE_KEYS
from .errors import invalid
from .features.model import Feature, Line
from .listener import DfksConfigEntry, DfksListener
from .settings import line_unique_id

ATTR_PRESENTITY: Final = "presentity"

_IDS: Final = vol.All(cv.ensure_list, [cv.string])

# Each may be an empty list: a template may find no line.
TARGET_FIELDS: Final[dict[vol.Marker, object]] = {
    vol.Optional(ATTR_ENTITY_ID): _IDS,
    vol.Optional(ATTR_DEVICE_ID): _IDS,
    vol.Optional(ATTR_AREA_ID): _IDS,
    vol.Optional(ATTR_FLOOR_ID): _IDS,
    vol.Optional(ATTR_LABEL_ID): _IDS,
    vol.Optional(ATTR_PRESENTITY): _IDS,
}


@dataclass(frozen=True, slots=True)
class LineTarget:
    """A line that an action is about, and the listener that it is of."""

    entry: DfksConfigEntry
    line: Line

    @property
    def listener(self) -> DfksListener:
        """The listener of the line."""
        return self.entry.runtime_data

    @property
    def name(self) -> str:
        """The line as the user calls it."""
        return self.listener.line_name(self.line)

    def as_json(self) -> JsonObjectType:
        """Return what tells the line from others in a response."""
        return {
            "line": self.listener.device_id(self.line),
            "presentity": self.line.presentity,
        }


@dataclass(slots=True)
class Selected:
    """A line that was named, and the features whose entities were."""

    target: LineTarget
    features: list[Feature] = field(default_factory=list)
    # Whether the line was named by anything but the entity of a feature.
    is_whole: bool = False


def find_targets(hass: HomeAssistant, data: Mapping[str, Any]) -> list[Selected]:
    """Return the lines that an action names, each once, in the order of their naming.

    Raises ServiceValidationError for what is no line, and for a place without one.
    """
    entries: list[DfksConfigEntry] = hass.config_entries.async_loaded_entries(DOMAIN)
    if not entries:
        raise invalid("not_loaded")
    return _Finder(hass, entries).find(data)


class _Finder:
    """Finds the lines of the listeners that are loaded."""

    def __init__(self, hass: HomeAssistant, entries: Iterable[DfksConfigEntry]) -> None:
        self._hass = hass
        self._targets = [
            LineTarget(entry, line)
            for entry in entries
            for line in entry.runtime_data.sync.lines.values()
        ]
        self._by_identifier = {
            (DOMAIN, line_unique_id(target.entry, target.line.id)): target
            for target in self._targets
        }
        self._found: dict[Line, Selected] = {}

    def find(self, data: Mapping[str, Any]) -> list[Selected]:
        """Return the lines; see `find_targets`."""
        for entity_id in expand_entity_ids(self._hass, data.get(ATTR_ENTITY_ID, ())):
            self._add_entity(entity_id)
        for device_id in data.get(ATTR_DEVICE_ID, ()):
            if (target := self._of_device(device_id)) is None:
                raise invalid("line_not_found", line=device_id)
            self._add(target)
        for key, name_of in _PLACES.items():
            for place in data.get(key, ()):
                found = list(self._of_place(key, place))
                if not found:
                    raise invalid("no_line_there", place=name_of(self._hass, place))
                for target in found:
                    self._add(target)
        for presentity in data.get(ATTR_PRESENTITY, ()):
            self._add(self._of_presentity(presentity))
        return list(self._found.values())

    def _add(self, target: LineTarget) -> None:
        self._found.setdefault(target.line, Selected(target)).is_whole = True

    def _add_entity(self, entity_id: str) -> None:
        entity = er.async_get(self._hass).async_get(entity_id.strip())
        target = None if entity is None else self._of_device(entity.device_id)
        if entity is None or target is None:
            raise invalid("line_not_found", line=entity_id)
        prefix = f"{line_unique_id(target.entry, target.line.id)}_"
        key = entity.unique_id.removeprefix(prefix)
        feature = next((f for f, k in FEATURE_KEYS.items() if key.startswith(k)), None)
        if entity.platform != DOMAIN or feature is None:
            self._add(target)
            return
        selected = self._found.setdefault(target.line, Selected(target))
        if feature not in selected.features:
            selected.features.append(feature)

    def _of_device(self, device_id: str | None) -> LineTarget | None:
        device = device_id and dr.async_get(self._hass).async_get(device_id)
        if not device:
            return None
        for identifier in device.identifiers:
            if (target := self._by_identifier.get(identifier)) is not None:
                return target
        return None

    def _of_place(self, key: str, place: str) -> Iterator[LineTarget]:
        """Yield the lines in an area or on a floor, or with a label."""
        selected = async_extract_referenced_entity_ids(
            self._hass, TargetSelection({key: place})
        )
        registry = er.async_get(self._hass)
        entities = map(registry.async_get, sorted(selected.indirectly_referenced))
        devices = {
            *selected.referenced_devices,
            *(e.device_id for e in entities if e is not None and e.platform == DOMAIN),
        }
        found = {
            target.line
            for device_id in devices
            if (target := self._of_device(device_id)) is not None
        }
        # In the order of the lines, whatever the registries have.
        yield from (target for target in self._targets if target.line in found)

    def _of_presentity(self, presentity: str) -> LineTarget:
        """Find a line by sip:user@realm; the host in any case, as in SIP."""
        wanted = _normalized(presentity.strip())
        for target in self._targets:
            if _normalized(target.line.presentity) == wanted:
                return target
        raise invalid("line_not_found", line=presentity)


def _normalized(presentity: str) -> str:
    user, _, host = presentity.rpartition("@")
    scheme, colon, rest = user.partition(":")
    return f"{scheme.lower()}{colon}{rest}@{host.lower()}"


def _area_name(hass: HomeAssistant, area_id: str) -> str:
    area = ar.async_get(hass).async_get_area(area_id)
    return area_id if area is None else area.name


def _floor_name(hass: HomeAssistant, floor_id: str) -> str:
    floor = fr.async_get(hass).async_get_floor(floor_id)
    return floor_id if floor is None else floor.name


def _label_name(hass: HomeAssistant, label_id: str) -> str:
    label = lr.async_get(hass).async_get_label(label_id)
    return label_id if label is None else label.name


_PLACES: Final[Mapping[str, Callable[[HomeAssistant, str], str]]] = {
    ATTR_AREA_ID: _area_name,
    ATTR_FLOOR_ID: _floor_name,
    ATTR_LABEL_ID: _label_name,
}
