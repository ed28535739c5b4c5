"""What the forms of the listener and of its lines share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from homeassistant.data_entry_flow import FlowHandler, section
import voluptuous as vol

if TYPE_CHECKING:
    from probatio import Schema

# What is wrong, by field, and the words that the messages leave open.
type Errors = dict[str, str]
type Words = dict[str, str]


def form_section(schema: dict[vol.Marker, Any], *, collapsed: bool = True) -> section:
    """Return a part of a form that is folded up, unless something in it is wrong.

    Home Assistant's page shows what is wrong in it under the section's own name. Its key
    must have no default, or the page fills in that and not what is stored.
    """
    # A type checker sees another schema here than Home Assistant does.
    return section(cast("Schema", vol.Schema(schema)), {"collapsed": collapsed})


def filled(
    flow: FlowHandler[Any, Any, Any], schema: vol.Schema, values: Mapping[str, Any]
) -> Schema:
    """Return the schema of a form that opens with these values."""
    # Home Assistant puts probatio in the place of voluptuous: only a type checker
    # sees two.
    return flow.add_suggested_values_to_schema(cast("Schema", schema), values)
