"""An installation of 0.1.0 is updated without a loss.

The data are what Home Assistant had stored after 0.1.0 had run with two lines, after
keys were pressed on simulated phones whose power then failed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
import json
from pathlib import Path
import re
import socket
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest

from custom_components.dfks.const import DOMAIN

from .common import LOCALHOST, MockConfigEntry, set_up, state_of, stop, turn

STORED = Path(__file__).parent.parent / "data" / "version_0_1_0"

# A minute after Home Assistant had ended.
LATER = "2026-11-27 23:40:00+00:00"

# Where the phones were, and what the dialog of Reception's was called.
PORTS = ("40632", "43198")
CALL_ID = "74c30c34a4f841cf9a39e59d687aab44"
TAGS = {b"deed5237b28cd6ae", b"52862ac4ba7d"}

# Seconds in which a NOTIFY has to come.
PATIENCE = 10


def stored(name: str) -> Any:
    """Return one of the stored files."""
    return json.loads((STORED / f"{name}.json").read_text())


def ok_to(headers: bytes) -> bytes:
    """Return a 200 to a request."""
    copied = re.findall(rb"^(?:Via|From|To|Call-ID|CSeq): .*$", headers, re.MULTILINE)
    lines = [line.strip() for line in copied]
    return b"\r\n".join((b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""))


@pytest.fixture
def phones() -> Iterator[list[socket.socket]]:
    """Return the sockets of the two phones, which have their power back."""
    with ExitStack() as stack:
        phones = []
        for _ in PORTS:
            phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stack.enter_context(phone)
            phone.bind((LOCALHOST, 0))
            phone.setblocking(False)
            phones.append(phone)
        yield phones


@pytest.fixture
def old_entities(hass: HomeAssistant) -> list[dict[str, Any]]:
    """Return the entities that 0.1.0 had; the user has renamed one of them."""
    entities = stored("entity_registry")
    for entity in entities:
        if entity["entity_id"] == "switch.workshop_do_not_disturb":
            entity["entity_id"] = "switch.quiet_in_the_workshop"
    return entities  # type: ignore[no-any-return]


@pytest.fixture
async def entry(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    port: int,
    phones: list[socket.socket],
    old_entities: list[dict[str, Any]],
) -> MockConfigEntry:
    """Return the entry as 0.1.0 left it, updated and set up."""
    freezer.move_to(LATER)
    old = stored("config_entry")
    entry = MockConfigEntry(
        domain=DOMAIN,
        entry_id=old["entry_id"],
        title=old["title"],
        data=old["data"] | {"port": port},
        options=old["options"],
        unique_id=old["unique_id"],
        version=old["version"],
        minor_version=old["minor_version"],
        subentries_data=old["subentries"],
    )
    entry.add_to_hass(hass)
    devices = {}
    for device in stored("device_registry"):
        line = device["config_subentry_id"]
        devices[line] = dr.async_get(hass).async_get_or_create(
            config_entry_id=entry.entry_id,
            config_subentry_id=line,
            identifiers={(domain, unique) for domain, unique in device["identifiers"]},
            name=device["name"],
        )
    for entity in old_entities:
        platform, _, object_id = entity["entity_id"].partition(".")
        line = entity["config_subentry_id"]
        er.async_get(hass).async_get_or_create(
            platform,
            DOMAIN,
            entity["unique_id"],
            suggested_object_id=object_id,
            config_entry=entry,
            config_subentry_id=line,
            device_id=devices[line].id,
            disabled_by=entity["disabled_by"]
            and er.RegistryEntryDisabler(entity["disabled_by"]),
        )
    ports = {
        before: str(phone.getsockname()[1])
        for before, phone in zip(PORTS, phones, strict=True)
    }
    # All at once: one of the new ports may be one of the old ones.
    remembered = re.sub(
        "|".join(PORTS), lambda found: ports[found[0]], json.dumps(stored("phones"))
    )
    hass_storage[f"{DOMAIN}.{entry.entry_id}"] = stored("states")
    hass_storage[f"{DOMAIN}.{entry.entry_id}.phones"] = json.loads(remembered)
    await set_up(hass, entry)
    return entry


async def test_entities_keep_their_ids(
    hass: HomeAssistant, entry: MockConfigEntry, old_entities: list[dict[str, Any]]
) -> None:
    """Those that a user has renamed too; none is there twice."""
    registry = er.async_get(hass)
    now = {
        entity.unique_id: entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
    }

    assert len(old_entities) == 28
    for old in old_entities:
        assert now[old["unique_id"]] == old["entity_id"]
    assert len(set(now.values())) == len(now)
    assert len(dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id))


async def test_states_are_what_they_were(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Features, targets and rings, and whose phones are there."""
    assert {
        name: state_of(hass, name)
        for name in (
            "switch.reception_do_not_disturb",
            "switch.reception_call_forwarding_busy",
            "switch.quiet_in_the_workshop",
            "switch.workshop_call_forwarding_busy",
            "text.workshop_call_forwarding_busy_target",
            "switch.workshop_call_forwarding_no_answer",
            "text.workshop_call_forwarding_no_answer_target",
            "number.workshop_call_forwarding_no_answer_rings",
            "binary_sensor.reception_phone_connected",
            "binary_sensor.workshop_phone_connected",
        )
    } == {
        "switch.reception_do_not_disturb": "on",
        "switch.reception_call_forwarding_busy": "off",
        "switch.quiet_in_the_workshop": "off",
        "switch.workshop_call_forwarding_busy": "on",
        "text.workshop_call_forwarding_busy_target": "2424",
        "switch.workshop_call_forwarding_no_answer": "on",
        "text.workshop_call_forwarding_no_answer_target": "2425",
        "number.workshop_call_forwarding_no_answer_rings": "4",
        "binary_sensor.reception_phone_connected": "on",
        "binary_sensor.workshop_phone_connected": "on",
    }


async def test_phones_are_told_in_the_dialogs_that_they_had(
    hass: HomeAssistant, entry: MockConfigEntry, phones: list[socket.socket]
) -> None:
    """They need not subscribe anew."""
    phone = phones[0]
    notify = b""
    await turn(hass, "switch.reception_do_not_disturb", "off")
    async with asyncio.timeout(PATIENCE):
        while b"<doNotDisturbOn>false</doNotDisturbOn>" not in notify:
            notify = await hass.loop.sock_recv(phone, 65_535)
            headers = notify.partition(b"\r\n\r\n")[0]
            phone.sendto(ok_to(headers), (LOCALHOST, entry.data["port"]))

    assert notify.startswith(b"NOTIFY sip:201@127.0.0.1:%d " % phone.getsockname()[1])
    assert CALL_ID.encode() in headers
    assert all(tag in headers for tag in TAGS)


async def test_what_is_stored_from_now_on_has_all_of_it(
    hass: HomeAssistant, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """A change of one line leaves the other's states in the file."""
    await turn(hass, "switch.reception_do_not_disturb", "off")
    await stop(hass)

    lines = hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["lines"]
    reception, workshop = stored("states")["data"]["lines"]
    assert lines[reception]["DoNotDisturb"]["status"] is False
    assert (
        lines[workshop].items() >= stored("states")["data"]["lines"][workshop].items()
    )
