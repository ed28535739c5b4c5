"""Forms as a user sees them, and the one of a line filled in."""

from collections.abc import Mapping
from typing import Any

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigFlowResult,
    SubentryFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, section
import voluptuous as vol

from .common import MockConfigEntry, reception_form

type ShownForm = ConfigFlowResult | SubentryFlowResult


def fields(result: ShownForm) -> list[vol.Marker]:
    """Return the fields of a shown form."""
    assert result["data_schema"] is not None
    return list(result["data_schema"].schema)


def placeholders(result: ShownForm) -> dict[str, str]:
    """Return the words for the messages of a shown form."""
    return dict(result["description_placeholders"] or {})


def sections(result: ShownForm) -> dict[str, section]:
    """Return the sections of a shown form by their keys."""
    assert result["data_schema"] is not None
    return {
        str(key): part
        for key, part in result["data_schema"].schema.items()
        if isinstance(part, section)
    }


def field(result: ShownForm, name: str) -> Any:
    """Return how a field of a shown form is filled in, wherever it stands."""
    assert result["data_schema"] is not None
    schema = dict(result["data_schema"].schema)
    for part in sections(result).values():
        schema = {**part.schema.schema, **schema}
    return schema[name]


def suggested(result: ShownForm) -> dict[str, Any]:
    """Return what a shown form has filled in, by field, those in sections too."""
    inside = [key for part in sections(result).values() for key in part.schema.schema]
    return {
        str(key): key.description["suggested_value"]
        for key in (*inside, *fields(result))
        if key.description and key not in sections(result)
    }


def as_sent(result: ShownForm, form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filled form as Home Assistant's page sends it, by its sections.

    Sections of which nothing is filled in are not sent.
    """
    sent = dict(form)
    for name, part in sections(result).items():
        inside = {str(key) for key in part.schema.schema} & sent.keys()
        inside -= {str(key) for key in fields(result)}
        if name not in sent and inside:
            sent[name] = {key: sent.pop(key) for key in inside}
    return sent


async def show_form(
    hass: HomeAssistant, entry: MockConfigEntry, kind: str
) -> SubentryFlowResult:
    """Open what adds a "line" or a "pbx"."""
    return await hass.config_entries.subentries.async_init(
        (entry.entry_id, kind), context={"source": SOURCE_USER}
    )


async def show_line_form(
    hass: HomeAssistant, entry: MockConfigEntry
) -> SubentryFlowResult:
    """Open the form that adds a line."""
    result = await show_form(hass, entry, "line")
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    return result


async def submit(
    hass: HomeAssistant, result: SubentryFlowResult, form: dict[str, Any]
) -> SubentryFlowResult:
    """Submit a form of a line or a PBX."""
    result = await hass.config_entries.subentries.async_configure(
        result["flow_id"], as_sent(result, form)
    )
    await hass.async_block_till_done()
    return result


def gate_form(**changes: object) -> dict[str, Any]:
    """Return the filled form of a third line."""
    form = {"name": "Gate", "user": "203", "password": "gate-203"}
    return {**reception_form(**form), **changes}


async def add_gate(
    hass: HomeAssistant, entry: MockConfigEntry, **changes: object
) -> SubentryFlowResult:
    """Add the third line by its form."""
    return await submit(hass, await show_line_form(hass, entry), gate_form(**changes))


async def show_settings(
    hass: HomeAssistant, entry: MockConfigEntry, line_id: str
) -> SubentryFlowResult:
    """Open the form that changes a line at a PBX."""
    shown = await choose(hass, entry, line_id, "settings")
    assert shown["step_id"] == "reconfigure"
    return shown


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, line_id: str, option: str
) -> SubentryFlowResult:
    """Choose what to do with a line at a PBX."""
    shown = await entry.start_subentry_reconfigure_flow(hass, line_id)
    assert shown["type"] is FlowResultType.MENU
    return await hass.config_entries.subentries.async_configure(
        shown["flow_id"], {"next_step_id": option}
    )
