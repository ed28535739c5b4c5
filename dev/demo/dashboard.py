"""The demo's dashboard: a section a line. It can be edited in Home Assistant."""

from collections.abc import Mapping
from typing import Any

type Entities = Mapping[str, str]
"""The ids of a line's entities by their translation keys."""


def phone_lines(lines: Mapping[str, Entities]) -> dict[str, Any]:
    """Return the configuration of a dashboard that shows these lines."""
    return {
        "views": [
            {
                "title": "Phone lines",
                "path": "lines",
                "type": "sections",
                "max_columns": len(lines),
                "sections": [
                    {"type": "grid", "cards": _cards(name, entities)}
                    for name, entities in lines.items()
                ],
            }
        ]
    }


def _cards(name: str, entities: Entities) -> list[dict[str, Any]]:
    """Return a line's cards: its do-not-disturb key, then its forwardings."""
    cards: list[dict[str, Any]] = [
        {
            "type": "heading",
            "heading": name,
            "icon": "mdi:deskphone",
            "badges": [{"type": "entity", "entity": entities["phone_connected"]}],
        }
    ]
    if "do_not_disturb" in entities:
        cards.append(
            {
                "type": "tile",
                "entity": entities["do_not_disturb"],
                "name": "Do not disturb",
                "color": "red",
                "grid_options": {"columns": "full"},
                "features": [{"type": "toggle"}],
            }
        )
    for kind, title in (
        ("always", "Forward always"),
        ("busy", "Forward when busy"),
        ("no_answer", "Forward on no answer"),
    ):
        forwarding = f"call_forwarding_{kind}"
        rows = [
            {"entity": entities[key], "name": label}
            for key, label in (
                (forwarding, title),
                (f"{forwarding}_target", "To"),
                (f"{forwarding}_rings", "Rings"),
            )
            if key in entities
        ]
        if rows:
            cards.append(
                {
                    "type": "entities",
                    "entities": rows,
                    "show_header_toggle": False,
                    "grid_options": {"columns": "full"},
                }
            )
    return cards
