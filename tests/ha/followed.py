"""A listener with a line at a PBX that synchronizes keys, and the form of such a line."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import re
from typing import Any

from homeassistant.config_entries import ConfigSubentryDataWithId
from homeassistant.core import HomeAssistant
import pytest

from custom_components.dfks.listener import DfksListener
from tests.pbx import KeyPbx
from tests.phone import PATIENCE

from .common import ALL_FEATURES, LOCALHOST, MockConfigEntry, listener_entry
from .forms import show_form, submit

OFFICE = "office"
PASSWORD = "secret-501"
USERS = {"501": PASSWORD, "502": "secret-502", "503": "secret-503"}

DND = "switch.office_do_not_disturb"
ALWAYS = "switch.office_call_forwarding_always"
ALWAYS_TARGET = "text.office_call_forwarding_always_target"
NO_ANSWER = "switch.office_call_forwarding_no_answer"
RINGS = "number.office_call_forwarding_no_answer_rings"
CHANGE = "event.office_feature_change"
STATUS = "sensor.office_sync_status"

type Submit = Callable[..., Awaitable[Any]]
"""Submits a form that is filled in but for the changes that are named."""


def names_user(found: object) -> bool:
    """Whether diagnostics have the user of the line; times and ports may look so."""
    without_times = re.sub(r"T\d\d:\d\d:[\d.]+", "", str(found))
    return re.search(r"(?<!\d)501(?!\d)", without_times) is not None


def office_data(port: int, **changes: object) -> dict[str, Any]:
    """Return the data of the line."""
    data = {
        "host": LOCALHOST,
        "port": port,
        "transport": "UDP",
        "user": "501",
        "password": PASSWORD,
        "domain": "pbx.example",
        "register": False,
        "features": ALL_FEATURES,
    }
    return {key: value for key, value in (data | changes).items() if value is not None}


def office(port: int, **changes: object) -> ConfigSubentryDataWithId:
    """Return the line as a config entry stores it."""
    data = office_data(port, **changes)
    return ConfigSubentryDataWithId(
        subentry_id=OFFICE,
        subentry_type="followed_line",
        title="Office",
        unique_id=f"501@pbx.example:{port}",
        data=data,
    )


@pytest.fixture
async def key_pbx() -> AsyncIterator[KeyPbx]:
    """Run a PBX with three lines."""
    async with KeyPbx(USERS) as pbx:
        yield pbx


@pytest.fixture
def pbx_port(key_pbx: KeyPbx) -> int:
    """Return the port of the PBX."""
    return key_pbx.address[1]


@pytest.fixture
def entry(port: int, key_pbx: KeyPbx) -> MockConfigEntry:
    """Return a listener with the line Office at the PBX."""
    return listener_entry(port, [office(key_pbx.address[1])])


async def wait_for(hass: HomeAssistant, entity_id: str, state: str) -> None:
    """Wait until an entity has a state."""
    async with asyncio.timeout(PATIENCE):
        while (found := hass.states.get(entity_id)) is None or found.state != state:
            await asyncio.sleep(0.01)


async def add_line(
    hass: HomeAssistant, entry: MockConfigEntry, form: dict[str, Any], step: str = "one"
) -> Any:
    """Add what a form says; `step` is what is chosen first."""
    shown = await show_form(hass, entry, "followed_line")
    shown = await hass.config_entries.subentries.async_configure(
        shown["flow_id"], {"next_step_id": step}
    )
    assert shown["step_id"] == step
    return await submit(hass, shown, form)


def office_form(port: int, /, **changes: object) -> dict[str, Any]:
    """Return the filled form of the line."""
    form = {"name": "Office", **office_data(port), **changes}
    return {key: value for key, value in form.items() if value is not None}


@pytest.fixture
def add_office(
    hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener, pbx_port: int
) -> Submit:
    """Return what adds the line by its form; the listener runs."""

    async def add_office(**changes: object) -> Any:
        return await add_line(hass, entry, office_form(pbx_port, **changes))

    return add_office
