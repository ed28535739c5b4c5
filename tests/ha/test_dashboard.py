"""docs/dashboard.md: what the template makes of the lines that there are."""

from collections.abc import Iterator
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.template import Template
from homeassistant.util.yaml import parse_yaml
import pytest

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from dev.demo.dashboard import read_templates

from .common import (
    ALL_FEATURES,
    RECEPTION,
    RECEPTION_DATA,
    WORKSHOP,
    WORKSHOP_DATA,
    WORKSHOP_DND,
    MockConfigEntry,
    device_of,
    line_data,
    listener_entry,
    set_up,
    turn,
)

# What a section shows of a line with all features, in this order.
EVERYTHING = [
    "badge phone_connected",
    "tile sync_status",
    "tile do_not_disturb [toggle]",
    "tile call_forwarding_always [toggle]",
    "tile call_forwarding_busy [toggle]",
    "tile call_forwarding_no_answer [toggle]",
    "row do_not_disturb_until",
    "row call_forwarding_always_target",
    "row call_forwarding_busy_target",
    "row call_forwarding_no_answer_target",
    "tile call_forwarding_no_answer_rings [numeric-input]",
    "tile feature_change",
]

# What Home Assistant's page knows of a tile, an entities card and a heading; anything
# else is shown as an error, or not at all.
KEYS = {
    "heading": {"heading", "icon", "badges"},
    "entities": {"entities", "grid_options"},
    "tile": {
        "entity",
        "name",
        "color",
        "features",
        "features_position",
        "hide_state",
        "state_content",
        "visibility",
        "grid_options",
    },
}


def view(hass: HomeAssistant) -> dict[str, Any]:
    """Return the only view of the dashboard that the template makes now."""
    text = Template(read_templates()[0], hass).async_render(parse_result=False)
    dashboard: Any = parse_yaml(text)
    (only,) = dashboard["views"]
    assert only["type"] == "sections"
    return dict(only)


def sections(hass: HomeAssistant) -> list[tuple[str, list[str]]]:
    """Return each section's heading and, in words, what it shows."""
    return [
        (section["cards"][0]["heading"], list(describe(hass, section["cards"])))
        for section in view(hass)["sections"]
    ]


def describe(hass: HomeAssistant, cards: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is shown by what it is, whatever its entity is called."""
    for card in cards:
        match card["type"]:
            case "heading":
                for badge in card.get("badges", []):
                    yield f"badge {key(hass, badge['entity'])}"
            case "entities":
                for row in card["entities"]:
                    yield f"row {key(hass, row['entity'])}"
            case "tile":
                features = [feature["type"] for feature in card.get("features", [])]
                yield " ".join(
                    ["tile", key(hass, card["entity"]), *(f"[{f}]" for f in features)]
                )
            case other:
                pytest.fail(f"{other} is no card that the dashboard has")


def key(hass: HomeAssistant, entity_id: str) -> str:
    """Return what an entity is of its line; it has to be there."""
    assert hass.states.get(entity_id) is not None, f"there is no {entity_id}"
    entity = er.async_get(hass).async_get(entity_id)
    assert entity is not None
    assert entity.config_subentry_id is not None
    return entity.unique_id.removeprefix(f"dfks_entry_{entity.config_subentry_id}_")


def lines_shown(hass: HomeAssistant) -> list[set[str | None]]:
    """Return of which lines the entities of each section are."""
    registry = er.async_get(hass)
    return [
        {
            entity.config_subentry_id
            for card in section["cards"]
            if card["type"] == "tile" and (entity := registry.async_get(card["entity"]))
        }
        for section in view(hass)["sections"]
    ]


def entity(hass: HomeAssistant, unique_key: str) -> str:
    """Return the id of an entity of the line Reception by what it is."""
    registry = er.async_get(hass)
    (found,) = (
        entry.entity_id
        for entry in registry.entities.values()
        if entry.unique_id == f"dfks_entry_{RECEPTION}_{unique_key}"
    )
    return found


def one_line(port: int, name: str = "Reception", **changes: object) -> MockConfigEntry:
    """Return a listener with one line."""
    return listener_entry(
        port, [line_data(RECEPTION, name, {**RECEPTION_DATA, **changes})]
    )


async def test_every_line_has_a_section(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """By name, with all that a line has, and nothing of another line."""
    assert sections(hass) == [("Reception", EVERYTHING), ("Workshop", EVERYTHING)]
    assert lines_shown(hass) == [{RECEPTION}, {WORKSHOP}]


async def test_in_german(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Names and ids are German, the dashboard is the same."""
    hass.config.language = "de"
    await set_up(hass, entry)

    assert entity(hass, "do_not_disturb") == "switch.reception_nicht_storen"
    assert sections(hass) == [("Reception", EVERYTHING), ("Workshop", EVERYTHING)]


async def test_in_an_area(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The area is part of the ids of what is added to a device that is in it."""
    entry.add_to_hass(hass)
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        config_subentry_id=RECEPTION,
        identifiers={(DOMAIN, f"dfks_entry_{RECEPTION}")},
    )
    hall = ar.async_get(hass).async_create("Hall")
    dr.async_get(hass).async_update_device(device.id, area_id=hall.id)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert entity(hass, "do_not_disturb") == "switch.hall_reception_do_not_disturb"
    assert sections(hass) == [("Reception", EVERYTHING), ("Workshop", EVERYTHING)]


async def test_all_is_renamed(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
) -> None:
    """Entities by the user in such a way that their names mislead, and the line."""
    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    for number, renamed in enumerate(reversed(entities)):
        registry.async_update_entity(
            renamed.entity_id,
            name="Do not disturb",
            new_entity_id=f"{renamed.domain}.phone_{number}",
        )
    dr.async_get(hass).async_update_device(
        device_of(hass).id, name_by_user="Welcome desk"
    )
    await hass.async_block_till_done()

    assert entity(hass, "do_not_disturb").startswith("switch.phone_")
    assert sections(hass) == [("Welcome desk", EVERYTHING), ("Workshop", EVERYTHING)]


@pytest.mark.parametrize("feature", ALL_FEATURES)
async def test_features_that_a_line_lacks_are_left_out(
    hass: HomeAssistant, port: int, feature: str
) -> None:
    """With what belongs to them; no empty card is left."""
    await set_up(hass, one_line(port, features=[feature]))

    always = {"badge phone_connected", "tile sync_status", "tile feature_change"}
    (section,) = sections(hass)
    assert section[1] == [
        what for what in EVERYTHING if what in always or f" {feature}" in what
    ]
    fields = [c for c in view(hass)["sections"][0]["cards"] if c["type"] == "entities"]
    assert len(fields) == 1


@pytest.mark.parametrize(
    ("unique_key", "shown"),
    [
        ("phone_connected", "badge phone_connected"),
        ("sync_status", "tile sync_status"),
        ("call_forwarding_busy", "tile call_forwarding_busy [toggle]"),
        ("call_forwarding_busy_target", "row call_forwarding_busy_target"),
        ("do_not_disturb_until", "row do_not_disturb_until"),
        (
            "call_forwarding_no_answer_rings",
            "tile call_forwarding_no_answer_rings [numeric-input]",
        ),
        ("feature_change", "tile feature_change"),
    ],
)
@pytest.mark.parametrize("how", ["disabled", "hidden"])
async def test_what_the_user_does_not_want_is_left_out(
    hass: HomeAssistant, port: int, unique_key: str, shown: str, how: str
) -> None:
    """All else stays."""
    entry = one_line(port)
    await set_up(hass, entry)
    registry = er.async_get(hass)
    unwanted = entity(hass, unique_key)
    if how == "disabled":
        registry.async_update_entity(
            unwanted, disabled_by=er.RegistryEntryDisabler.USER
        )
    else:
        registry.async_update_entity(unwanted, hidden_by=er.RegistryEntryHider.USER)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    assert sections(hass) == [
        ("Reception", [what for what in EVERYTHING if what != shown])
    ]


async def test_lines_of_one_name_are_kept_apart(hass: HomeAssistant, port: int) -> None:
    """A section each."""
    lines = [
        line_data(RECEPTION, "Desk", RECEPTION_DATA),
        line_data(WORKSHOP, "Desk", WORKSHOP_DATA),
    ]
    await set_up(hass, listener_entry(port, lines))

    assert sections(hass) == [("Desk", EVERYTHING), ("Desk", EVERYTHING)]
    assert {RECEPTION} in lines_shown(hass)
    assert {WORKSHOP} in lines_shown(hass)


@pytest.mark.parametrize(
    "name", ["A \"b\": 'c' # d", "- 1", "no", "Büro – 1", "{{ 1 }}"]
)
async def test_any_name_will_do(hass: HomeAssistant, port: int, name: str) -> None:
    """Whatever it would mean in YAML."""
    await set_up(hass, one_line(port, name))

    assert sections(hass) == [(name, EVERYTHING)]


async def test_an_entry_of_the_name_of_the_integration(
    hass: HomeAssistant, port: int
) -> None:
    """Home Assistant then counts what is disabled, too."""
    entry = one_line(port)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, title=DOMAIN)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert sections(hass) == [("Reception", EVERYTHING)]


async def test_no_lines_yet(hass: HomeAssistant, port: int) -> None:
    """An empty dashboard, not a broken one."""
    await set_up(hass, listener_entry(port, []))

    assert view(hass)["sections"] == []


async def test_the_page_knows_all_that_is_written(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """Cards and their keys; names come from the entities, in the user's language."""
    for section in view(hass)["sections"]:
        assert section.keys() == {"type", "cards"}
        assert section["type"] == "grid"
        for card in section["cards"]:
            assert card.keys() - {"type"} <= KEYS[card["type"]]
            if card["type"] == "tile":
                assert card["name"] == {"type": "entity"}
            for row in card.get("entities", []):
                assert row["name"] == {"type": "entity"}


async def test_the_sync_status_is_shown_while_something_is_wrong(
    hass: HomeAssistant, port: int
) -> None:
    """Its tile has a condition that is about itself."""
    await set_up(hass, one_line(port))

    (tile,) = (
        card
        for card in view(hass)["sections"][0]["cards"]
        if card.get("entity") == "sensor.reception_sync_status"
    )
    assert tile["visibility"] == [
        {
            "condition": "state",
            "entity": "sensor.reception_sync_status",
            "state_not": "synchronized",
        }
    ]


@pytest.mark.parametrize("position", ["inline", "bottom"])
async def test_the_settings_at_the_top(
    hass: HomeAssistant, listener: DfksListener, position: str
) -> None:
    """The title, and where the switches are."""
    template = (
        read_templates()[0]
        .replace("set title = 'Phone lines'", "set title = 'Telefone'")
        .replace("set switches = 'inline'", f"set switches = '{position}'")
    )
    text = Template(template, hass).async_render(parse_result=False)
    dashboard: Any = parse_yaml(text)

    (only,) = dashboard["views"]
    assert only["title"] == "Telefone"
    switches = [
        card["features_position"]
        for section in only["sections"]
        for card in section["cards"]
        if card.get("entity", "").startswith("switch.")
    ]
    assert switches == [position] * 8


async def test_who_is_quiet(hass: HomeAssistant, listener: DfksListener) -> None:
    """The example for templates of one's own."""
    _, example = (Template(text, hass) for text in read_templates())
    assert example.async_render() == ""

    await turn(hass, WORKSHOP_DND, "on")
    assert example.async_render() == "Workshop"
