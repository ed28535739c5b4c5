"""What the dashboard strategy makes of houses that are made up."""

from collections.abc import Awaitable, Callable
from typing import Any

from custom_components.dfks.const import FEATURE_KEYS

type Generate = Callable[[dict[str, Any], dict[str, Any]], Awaitable[Any]]


def require(condition: bool, problem: str) -> None:
    """Raise AssertionError with the problem where the condition does not hold."""
    if not condition:
        raise AssertionError(problem)


class House:
    """A house as Home Assistant's page knows it."""

    def __init__(self, language: str = "en") -> None:
        """Start with nothing in it, for somebody who may change nothing."""
        self.hass: dict[str, Any] = {
            "locale": {"language": language},
            "user": {"is_admin": False},
            "entities": {},
            "devices": {},
            "areas": {},
            "floors": {},
        }

    def floor(self, name: str, level: int) -> str:
        """Add a floor; returns its id."""
        self.hass["floors"][name] = {"floor_id": name, "name": name, "level": level}
        return name

    def area(self, name: str, floor: str | None = None) -> str:
        """Add an area; returns its id."""
        self.hass["areas"][name] = {"area_id": name, "name": name, "floor_id": floor}
        return name

    def line(self, name: str, area: str | None = None) -> None:
        """Add a line with all that it may have."""
        self.device(name, area)
        for key in FEATURE_KEYS.values():
            self.entity(name, f"switch.{name}_{key}", key)
            self.entity(name, f"datetime.{name}_{key}", f"{key}_until")
            self.entity(name, f"text.{name}_{key}", f"{key}_target")
        for key in ("phone_connected", "sync_status", "feature_change"):
            self.entity(name, f"sensor.{name}_{key}", key)
        rings = "call_forwarding_no_answer_rings"
        self.entity(name, f"number.{name}_{rings}", rings)

    def device(self, name: str, area: str | None = None) -> None:
        """Add a device."""
        device = {"id": f"id of {name}", "name": name, "area_id": area}
        self.hass["devices"][device["id"]] = device

    def entity(self, device: str, entity_id: str, key: str, **more: Any) -> None:
        """Add an entity of a device."""
        self.hass["entities"][entity_id] = {
            "entity_id": entity_id,
            "device_id": f"id of {device}",
            "platform": "dfks",
            "translation_key": key,
            **more,
        }


def headings(view: dict[str, Any]) -> list[str]:
    """Return the headings of a view; in capitals those that are wider than a line."""
    return [
        section["cards"][0]["heading"].upper()
        if "column_span" in section
        else section["cards"][0]["heading"]
        for section in view["sections"]
    ]


def shown(section: dict[str, Any]) -> list[str]:
    """Return the entities of a section's tiles."""
    return [card["entity"] for card in section["cards"] if card["type"] == "tile"]


async def check_strategy(generate: Generate) -> None:
    """Raise AssertionError where a view is not what it should be."""
    for check in (
        _lines_without_area,
        _floors_and_areas,
        _area_of_its_own,
        _one_floor,
        _keys_for_all,
        _options,
        _tiles,
        _not_shown,
        _languages,
        _many,
    ):
        await check(generate)


async def _lines_without_area(generate: Generate) -> None:
    house = House()
    house.line("Line 10")
    house.line("Line 9")
    view = await generate({}, house.hass)
    require(headings(view) == ["Line 9", "Line 10"], str(headings(view)))
    require(view["title"] == "Phone lines", view["title"])


async def _floors_and_areas(generate: Generate) -> None:
    house = House()
    up, down = house.floor("Above", 1), house.floor("Below", 0)
    for name, floor in (("Sales", up), ("Bar", down), ("Desk", down), ("Yard", None)):
        house.area(name, floor)
    for name, area in (
        ("Ann", "Sales"),
        ("Bob", "Sales"),
        ("Cleo", "Bar"),
        ("Dan", "Bar"),
        ("Eve", "Desk"),
        ("Fay", "Yard"),
        ("Gil", None),
    ):
        house.line(name, area)
    view = await generate({}, house.hass)
    expected = [
        "BELOW",
        "Desk · Eve",
        "BAR",
        "Cleo",
        "Dan",
        "ABOVE · SALES",
        "Ann",
        "Bob",
    ]
    expected += ["OTHER LINES", "Yard · Fay", "Gil"]
    require(headings(view) == expected, str(headings(view)))
    group, line = (view["sections"][number]["cards"][0] for number in (2, 3))
    require("heading_style" not in group, str(group))
    require(line["heading_style"] == "subtitle", str(line))


async def _area_of_its_own(generate: Generate) -> None:
    house = House()
    house.line("Bar", house.area("bar"))
    house.line("Eve", house.area("Desk"))
    view = await generate({}, house.hass)
    require(headings(view) == ["Bar", "Desk · Eve"], str(headings(view)))


async def _one_floor(generate: Generate) -> None:
    house = House()
    house.line("Eve", house.area("Desk", house.floor("Down", 0)))
    house.line("Gil")
    view = await generate({}, house.hass)
    expected = ["Desk · Eve", "OTHER LINES", "Gil"]
    require(headings(view) == expected, str(headings(view)))


async def _keys_for_all(generate: Generate) -> None:
    house = House()
    area = house.area("Sales")
    house.line("Ann", area)
    house.line("Bob", area)
    view = await generate({}, house.hass)
    on, off = view["sections"][0]["cards"][0]["badges"]
    require(on["tap_action"]["data"]["status"] is True, str(on))
    require(off["tap_action"]["data"]["status"] is False, str(off))
    targets = {"device_id": ["id of Ann", "id of Bob"]}
    require(on["tap_action"]["target"] == targets, str(on))
    del house.hass["entities"]["switch.Bob_do_not_disturb"]
    view = await generate({}, house.hass)
    require(view["sections"][0]["cards"][0]["badges"] == [], "one line is not all")


async def _options(generate: Generate) -> None:
    house = House()
    for name in ("Ann", "Bob", "Cleo"):
        house.line(name)
    view = await generate({"lines": ["ann", "id of Cleo"], "title": "Two"}, house.hass)
    require(headings(view) == ["Ann", "Cleo"], str(headings(view)))
    require(view["title"] == "Two", view["title"])
    whole = (await generate({"lines": "Bob"}, house.hass))["sections"][0]
    compact = {"lines": "Bob", "compact": True}
    section = (await generate(compact, house.hass))["sections"][0]
    require(len(shown(section)) == 5, str(shown(section)))
    require(set(shown(whole)) > set(shown(section)), str(shown(whole)))


async def _tiles(generate: Generate) -> None:
    house = House()
    house.line("Ann")
    view = await generate({}, house.hass)
    cards = view["sections"][0]["cards"]
    heading, status, quiet, always, *_, last = cards
    until = next(card for card in cards if "until" in str(card.get("name")))
    require(until["visibility"][0]["state"] == "on", str(until))
    require(last["visibility"][0]["state_not"] == "unknown", str(last))
    shows = {badge["entity"]: badge["show_state"] for badge in heading["badges"]}
    require(list(shows.values()) == [True, False], str(shows))
    badges = list(shows)
    rings, connected = "number.Ann_call_forwarding_no_answer_rings", "sensor.Ann_phone"
    require(badges == [rings, f"{connected}_connected"], str(badges))
    require("tap_action" not in heading, "only for those who may change it")
    require(status["visibility"][0]["state_not"] == "synchronized", str(status))
    require(quiet["tap_action"] == {"action": "toggle"}, str(quiet))
    require(always["state_content"] == ["state", "forward_to"], str(always))
    target = {"action": "more-info", "entity": "text.Ann_call_forwarding_always"}
    require(always["tap_action"] == target, str(always))
    require(always["icon_tap_action"] == {"action": "toggle"}, str(always))
    house.hass["user"]["is_admin"] = True
    view = await generate({}, house.hass)
    path = view["sections"][0]["cards"][0]["tap_action"]["navigation_path"]
    require(path == "/config/devices/device/id of Ann", path)


async def _not_shown(generate: Generate) -> None:
    house = House()
    view = await generate({}, house.hass)
    require(view["sections"][0]["cards"][0]["type"] == "markdown", str(view))
    house.line("Ann")
    house.hass["entities"]["switch.Ann_call_forwarding_busy"]["hidden"] = True
    house.device("PBX")
    house.entity("PBX", "binary_sensor.pbx", "pbx_reachable")
    house.entity("Gone", "switch.gone", "do_not_disturb")
    house.device("Lamp")
    house.entity("Lamp", "switch.lamp", "do_not_disturb", platform="other")
    view = await generate({}, house.hass)
    require(headings(view) == ["Ann"], str(headings(view)))
    tiles = shown(view["sections"][0])
    require("switch.Ann_call_forwarding_busy" not in tiles, str(tiles))


async def _languages(generate: Generate) -> None:
    titles = set()
    for language in ("en", "de", "fr", "es", "it", "nl"):
        titles.add((await generate({}, House(language).hass))["title"])
    require(len(titles) == 6, str(titles))
    swiss = (await generate({}, House("de-CH").hass))["title"]
    require(swiss == "Telefonleitungen", swiss)
    other = (await generate({}, House("sv").hass))["title"]
    require(other == "Phone lines", other)


async def _many(generate: Generate) -> None:
    house = House()
    for number in range(40):
        house.line(f"Line {number}")
    view = await generate({"compact": True}, house.hass)
    require(len(view["sections"]) == 40, str(len(view["sections"])))
