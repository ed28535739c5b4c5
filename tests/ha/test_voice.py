"""What Assist understands of a line, with the sentences of Home Assistant's own agent."""

from homeassistant.components import conversation
from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.entity_registry import COMPUTED_NAME
from homeassistant.helpers.intent import IntentResponseType
from homeassistant.setup import async_setup_component
import pytest

from custom_components.dfks.listener import DfksListener

from .common import DND, WORKSHOP_DND, device_of, state_of

FORWARDINGS = [
    f"switch.reception_call_forwarding_{kind}"
    for kind in ("always", "busy", "no_answer")
]


@pytest.fixture
async def assist(hass: HomeAssistant, listener: DfksListener) -> None:
    """Set Assist up, with the line Reception in the office."""
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(hass, "conversation", {})
    office = ar.async_get(hass).async_create("Office")
    dr.async_get(hass).async_update_device(device_of(hass).id, area_id=office.id)
    await hass.async_block_till_done()


async def tell(hass: HomeAssistant, sentence: str) -> bool:
    """Say a sentence; returns whether it was understood and done."""
    result = await conversation.async_converse(hass, sentence, None, Context(), "en")
    await hass.async_block_till_done()
    return result.response.response_type is not IntentResponseType.ERROR


@pytest.mark.usefixtures("assist")
async def test_line_is_called_by_its_name(hass: HomeAssistant) -> None:
    """Without anything set up for it."""
    assert await tell(hass, "turn on Reception do not disturb")
    assert state_of(hass, DND) == "on"

    assert await tell(hass, "turn off Reception do not disturb")
    assert state_of(hass, DND) == "off"


@pytest.mark.usefixtures("assist")
async def test_room_is_not_understood_without_an_alias(hass: HomeAssistant) -> None:
    """The switch has the name of its line in front."""
    assert not await tell(hass, "turn on do not disturb in the office")
    assert state_of(hass, DND) == "off"


@pytest.mark.usefixtures("assist")
async def test_room_is_understood_by_an_alias(hass: HomeAssistant) -> None:
    """That of docs/entities.md; the line in the other room is left alone."""
    entities = er.async_get(hass)
    for switch in (DND, WORKSHOP_DND):
        entities.async_update_entity(switch, aliases=[COMPUTED_NAME, "do not disturb"])
    assert await tell(hass, "turn on do not disturb in the office")

    assert state_of(hass, DND) == "on"
    assert state_of(hass, WORKSHOP_DND) == "off"


@pytest.mark.usefixtures("assist")
async def test_forwardings_are_not_exposed(hass: HomeAssistant) -> None:
    """Do not disturb is, and where calls go is nothing to say by the way."""
    for switch in FORWARDINGS:
        assert not async_should_expose(hass, conversation.DOMAIN, switch)
    assert async_should_expose(hass, conversation.DOMAIN, DND)

    assert not await tell(hass, "turn on Reception call forwarding always")
