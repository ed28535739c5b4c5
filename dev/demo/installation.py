"""Sets the integration up in Home Assistant by its own forms, as a user would.

Each step looks first whether its result is there: a demo that was killed halfway goes
on where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from .api import Api, CommandFailed
from .settings import HOST, LINES, DemoError, DemoLine, say
from .sip import answers_options

DOMAIN: Final = "dfks"
FLOWS: Final = "/api/config/config_entries/flow"
SUBENTRY_FLOWS: Final = "/api/config/config_entries/subentries/flow"
# What the demo's phones have as their SIP server.
PBX_DOMAIN: Final = "pbx.example"
DASHBOARD: Final = "phone-lines"
STRATEGY: Final = {"type": "custom:dfks"}

# Seconds that anything may take which Home Assistant does in the background.
PATIENCE: Final = 60.0

type Entities = Mapping[str, str]
"""The ids of a line's entities by their translation keys."""


async def install(api: Api, sip_port: int, pbx_port: int | None = None) -> None:
    """Set up what is missing, and return when the lines can be used.

    With a PBX there are no lines before phones have registered: they come by themselves.
    """
    await _until(api.is_running, "Home Assistant is still starting")
    entry_id = await _provide_listener(api, sip_port)
    await _wait_until_loaded(api, entry_id)
    if pbx_port is None:
        await _provide_lines(api, entry_id)
        await _wait_for_entities(api, entry_id)
        await _provide_dashboard(api)
    else:
        await provide_pbx(api, entry_id, pbx_port)
    await _until(
        lambda: answers_options(HOST, sip_port),
        f"nothing answers SIP on port {sip_port}",
    )


async def wait_for_lines(api: Api) -> None:
    """Return when the lines at the PBX have come by themselves, and can be used."""
    entry_id = (await _find_entry(api))["entry_id"]

    async def are_there() -> bool:
        return len(await _list_lines(api, entry_id)) >= len(LINES)

    await _until(are_there, "the lines at the PBX do not come")
    await _wait_for_entities(api, entry_id)
    await _provide_dashboard(api)


async def wait_for_phones(api: Api) -> None:
    """Return when each line knows a phone that listens."""
    await _wait_until_on(
        api, "phone_connected", "the simulated phones do not get through"
    )


async def wait_for_do_not_disturb(api: Api) -> None:
    """Return when Do not disturb of each line is on."""
    await _wait_until_on(api, "do_not_disturb", "the switches do not go on")


async def _wait_until_on(api: Api, key: str, problem: str) -> None:
    """Return when the entity of that translation key is on for each line."""
    entry_id = (await _find_entry(api))["entry_id"]
    lines = await _list_entities(api, entry_id)
    wanted = [entities[key] for entities in lines.values()]

    async def are_on() -> bool:
        states = [await api.get(f"/api/states/{entity}") for entity in wanted]
        return all(state["state"] == "on" for state in states)

    await _until(are_on, problem)


async def _until(condition: Callable[[], Awaitable[bool]], problem: str) -> None:
    """Return when the condition holds; raises DemoError with the problem if never."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise DemoError(problem) from None


async def _find_entry(api: Api) -> Any:
    entries = await api.get(f"/api/config/config_entries/entry?domain={DOMAIN}")
    return entries[0] if entries else None


async def _provide_listener(api: Api, port: int) -> str:
    """Add the listener, or let the one that is there listen on this port."""
    entry = await _find_entry(api)
    if entry is None:
        say(f"adding the listener on {HOST} port {port}")
        return await add_listener(api, port)
    entry_id: str = entry["entry_id"]
    form = await api.post(FLOWS, {"handler": DOMAIN, "entry_id": entry_id})
    current = suggested(form)
    if (current["host"], current["port"]) == (HOST, port):
        await api.delete(f"{FLOWS}/{form['flow_id']}")
        return entry_id
    say(f"moving the listener to {HOST} port {port}")
    await fill(api, FLOWS, form, current | {"host": HOST, "port": port})
    return entry_id


async def add_listener(api: Api, port: int) -> str:
    """Add the listener by its form and return the entry's id. Raises DemoError."""
    form = await api.post(FLOWS, {"handler": DOMAIN})
    result = await fill(api, FLOWS, form, {"host": HOST, "port": port})
    if (following := result.get("next_flow")) is not None:
        # The form of a first line; the lines come one by one.
        await api.delete(f"{SUBENTRY_FLOWS}/{following[1]}")
    entry_id: str = result["result"]["entry_id"]
    return entry_id


def suggested(form: dict[str, Any]) -> dict[str, Any]:
    """Return what a form is filled with when it opens."""
    return {
        field["name"]: field["description"]["suggested_value"]
        for field in form["data_schema"]
        if "suggested_value" in (field.get("description") or {})
    }


async def fill(
    api: Api, flows: str, form: dict[str, Any], values: dict[str, Any]
) -> Any:
    """Fill a form or a menu in; raises DemoError where it comes back with errors."""
    result = await api.post(f"{flows}/{form['flow_id']}", values)
    if errors := result.get("errors"):
        raise DemoError(f"the form was not taken: {errors}")
    return result


async def _wait_until_loaded(api: Api, entry_id: str) -> None:
    async def is_loaded() -> bool:
        entry = await _find_entry(api)
        if entry["state"] == "setup_error":
            raise DemoError(f"the integration failed to set up: {entry['reason']}")
        return bool(entry["state"] == "loaded")

    await _until(is_loaded, "the listener does not start")


async def _provide_lines(api: Api, entry_id: str) -> None:
    subentries = await _list_lines(api, entry_id)
    present = {subentry["unique_id"] for subentry in subentries}
    for line in LINES:
        if line.user not in present:
            say(f"adding the line {line.name} ({line.user}, password {line.password})")
            await add_line(api, entry_id, line)


async def _list_lines(api: Api, entry_id: str) -> list[dict[str, Any]]:
    return await _list_subentries(api, entry_id, "line")


async def _list_subentries(api: Api, entry_id: str, kind: str) -> list[dict[str, Any]]:
    subentries = await api.command("config_entries/subentries/list", entry_id=entry_id)
    return [item for item in subentries if item["subentry_type"] == kind]


async def provide_pbx(api: Api, entry_id: str, port: int) -> None:
    """Add the PBX, or let the one that is there be at this port."""
    say(f"adding the PBX at {HOST} port {port}")
    handler: dict[str, Any] = {"handler": [entry_id, "pbx"]}
    for pbx in await _list_subentries(api, entry_id, "pbx"):
        handler["subentry_id"] = pbx["subentry_id"]
    form = await api.post(SUBENTRY_FLOWS, handler)
    await fill(
        api,
        SUBENTRY_FLOWS,
        form,
        {
            "name": "Demo PBX",
            "host": HOST,
            "port": port,
            "transport": "UDP",
            "add_lines": True,
            "domain": PBX_DOMAIN,
            "keys": "home_assistant",
            "contact": "mirror",
        },
    )


async def add_line(api: Api, entry_id: str, line: DemoLine) -> None:
    """Add a line by its form. Raises DemoError."""
    form = await api.post(SUBENTRY_FLOWS, {"handler": [entry_id, "line"]})
    values = {
        "name": line.name,
        "user": line.user,
        "login": {"password": line.password},
    }
    await fill(api, SUBENTRY_FLOWS, form, values)


async def _wait_for_entities(api: Api, entry_id: str) -> None:
    """Return when all entities of the lines have a state of their own."""

    async def have_states() -> bool:
        lines = await _list_entities(api, entry_id)
        states = await api.get("/api/states")
        alive = {
            state["entity_id"]
            for state in states
            if state["state"] != "unavailable"
            and not state["attributes"].get("restored")
        }
        return all(
            entities and alive.issuperset(entities.values())
            for entities in lines.values()
        )

    await _until(have_states, "the entities of the lines do not appear")


async def _list_entities(api: Api, entry_id: str) -> dict[str, Entities]:
    """Return, by the lines' names, the ids of their entities by their keys."""
    registry = await api.command("config/entity_registry/list")
    return {
        line["title"]: {
            entity["translation_key"]: entity["entity_id"]
            for entity in registry
            if entity["config_subentry_id"] == line["subentry_id"]
            and entity["disabled_by"] is None
        }
        for line in await _list_lines(api, entry_id)
    }


async def _provide_dashboard(api: Api) -> None:
    """Add a dashboard of the lines and open Home Assistant with it."""
    dashboards = await api.command("lovelace/dashboards/list")
    if all(dashboard["url_path"] != DASHBOARD for dashboard in dashboards):
        say("adding the dashboard")
        await api.command(
            "lovelace/dashboards/create",
            url_path=DASHBOARD,
            title="Phone lines",
            icon="mdi:deskphone",
        )
        await api.command(
            "frontend/set_system_data", key="core", value={"default_panel": DASHBOARD}
        )
    try:
        await api.command("lovelace/config", url_path=DASHBOARD)
    except CommandFailed as error:
        if error.code != "config_not_found":
            raise
        await api.command(
            "lovelace/config/save", url_path=DASHBOARD, config={"strategy": STRATEGY}
        )
