"""Runs the steps, one after the other; each builds on those before it."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
import re
import shutil
import signal
import sys
import tempfile
from typing import Any

from dev.demo import api, installation
from dev.demo.dashboard import read_templates
from dev.demo.settings import HOST, LINES, ROOT, DemoError, say
from dev.ports import free_port
from tests.pbx import SimulatedPbx
from tests.phone import ALWAYS, DND, Bell, CallState, Phone
from tests.phone.action_urls import MAKES, ReportingPhone

from .browser import Browser, open_browser
from .effort import EXPECTED
from .environment import is_installed
from .house import HomeAssistant, empty_house
from .strategy import check_strategy, require
from .ways import Ways

# Seconds for all steps together, and for a phone to be told.
LIMIT = 700.0
TELLING = 10.0
INSTALLING = 60.0

# Seconds for which do not disturb is on, and longer than anybody looks.
A_WHILE = 3
AN_HOUR = "01:00:00"

# Scripts of the page, by a part of their addresses.
MODULE = "/dfks/dfks.js"
PAGE = "/frontend_latest/app."

RECEPTION = LINES[0]
CALLER, CALLER_PASSWORD = "202", "secret-202"
QUIET = "switch.reception_do_not_disturb"
QUIET_UNTIL = "datetime.reception_do_not_disturb_until"
QUIET_AT_PBX = "switch.front_desk_do_not_disturb"
AWAY = "switch.reception_call_forwarding_always"
USER_AGENTS = ("Yealink SIP-T54W 96.86.0.70", "Grandstream GRP2615 1.0.11.84")
IMAGES = ROOT / "docs" / "images"

AUTOMATION = {
    "alias": "Lunch",
    "triggers": [{"trigger": "state", "entity_id": QUIET, "to": "on"}],
    "conditions": [],
    "actions": [
        {
            "action": "dfks.set_feature",
            "target": {"entity_id": AWAY},
            "data": {"status": True, "forward_to": "300", "claim": "Lunch"},
        }
    ],
    "mode": "single",
}


class Visit:
    """Somebody who sets the integration up, beside a phone."""

    def __init__(
        self, house: HomeAssistant, browser: Browser, url: str, stack: AsyncExitStack
    ) -> None:
        """Use a browser; the phones are closed with the stack."""
        self._house = house
        self._browser = browser
        self._url = url
        self._stack = stack
        self.port = free_port()

    def steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """Return what is done after the login; each builds on those before it."""
        return (
            self.start_adding,
            self.add_listener,
            self.add_line,
            self.connect_phone,
            self.press_key,
            self.click_switch,
            self.forward,
            self.unforward,
            self.refuse_target,
            self.be_quiet_for_a_while,
            self.hold_a_place,
            self.automate,
            self.see_who_it_was,
            self.make_dashboard,
            self.use_dashboard,
            self.pick_end,
            self.add_ready_dashboard,
            self.use_ready_dashboard,
            self.follow_lines,
            self.follow_registries,
            self.arrange_lines,
            self.see_a_call,
            self.delete_line,
            self.add_unknown_phone,
            self.add_pbx,
            self.add_offered_line,
            self.test_with_a_call,
            self.treat_calls,
            self.see_a_passed_call,
        )

    async def log_in(self) -> None:
        """Log in to a Home Assistant that has nothing."""
        await self._browser.log_in()

    async def start_adding(self) -> None:
        """Start to add the integration; Home Assistant installs what that needs."""
        python = self._house.python
        if python is None:
            say("no packages within reach: what is needed is there already")
        else:
            require(not is_installed(python), "it was there already")
        await self._browser.start_adding("dfks")
        await self._browser.shows_step("Add the SIP listener", INSTALLING)
        require(python is None or is_installed(python), "nothing was installed")

    async def add_listener(self) -> None:
        """Add the listener; the dialog goes on with a first line."""
        await self._browser.fill("Address", HOST)
        await self._browser.fill("Port", str(self.port))
        await self._browser.submit()
        await self._browser.shows_step("Add line")

    async def add_line(self) -> None:
        """Add the line; the page after it says what to type into the phone."""
        await self._browser.fill("Name", RECEPTION.name)
        await self._browser.fill("User", RECEPTION.user)
        await self._browser.unfold("Login")
        await self._browser.fill_optional("Password", RECEPTION.password)
        await self._browser.submit()
        await self._browser.shows_step("Success")
        for typed in (HOST, str(self.port), RECEPTION.user, RECEPTION.password):
            await self._browser.wait_for_text(typed)
        await self._browser.finish()

    async def connect_phone(self) -> None:
        """Let the phone subscribe; the page shows that it has."""
        await self._browser.open_line(RECEPTION.name)
        self._phone = await self.phone(RECEPTION.user, RECEPTION.password)
        await self._browser.wait_for_text("Connected")

    async def press_key(self) -> None:
        """Press do not disturb at the phone; the switch goes on."""
        await self._browser.shows_switch("Do not disturb", False)
        await self._press(True)
        await self._browser.shows_switch("Do not disturb", True)

    async def click_switch(self) -> None:
        """Turn the switch off; the phone's lamp goes out."""
        await self._browser.flip("Do not disturb")
        await self._phone.until(lambda lamps: not lamps[DND].on, TELLING)
        await self._browser.shows_switch("Do not disturb", False)

    async def forward(self) -> None:
        """Type a target and turn the forwarding on; the phone shows both."""
        await self._browser.write("Call forwarding always target", "2424")
        await self._phone.until(lambda lamps: lamps[ALWAYS].target == "2424", TELLING)
        await self._browser.flip("Call forwarding always")
        await self._phone.until(lambda lamps: lamps[ALWAYS].on, TELLING)
        lamp = self._phone.features[ALWAYS]
        require(lamp.target == "2424", f"the phone shows the target {lamp.target}")

    async def unforward(self) -> None:
        """Turn the forwarding off at the phone; the switch goes off."""
        await self._browser.shows_switch("Call forwarding always", True)
        response = await self._phone.set_forward("always", False)
        require(response.ok, "the phone's key was refused")
        await self._browser.shows_switch("Call forwarding always", False)

    async def refuse_target(self) -> None:
        """Type what is no number; the field shows the old target again."""
        await self._browser.write("Call forwarding always target", "hello world")
        await self._browser.wait_for_part('"hello world" is not a target')
        await self._browser.shows_field("Call forwarding always target", "2424")

    async def be_quiet_for_a_while(self) -> None:
        """Turn do not disturb on for a while by an action; the lamp goes out again."""
        async with api.log_in(self._url) as client:
            await self._set_feature(client, entity_id=QUIET, duration=A_WHILE)
            await self._phone.until(lambda lamps: lamps[DND].on, TELLING)
        await self._phone.until(lambda lamps: not lamps[DND].on, TELLING + A_WHILE)

    async def hold_a_place(self) -> None:
        """Hold the lines of an area, a floor, a label; a place without any is refused."""
        async with api.log_in(self._url) as client:
            places = await self._make_places(client)
            for place in places[:-1]:
                answer = await self._set_feature(client, **place, claim="Meeting")
                (line,) = answer["lines"]
                require(line["claims"] == ["Meeting"], f"{place}: {line}")
            try:
                await self._set_feature(client, **places[-1])
            except DemoError as error:
                require("no phone line in Garden" in str(error), str(error))
            else:
                require(False, "a place without a line was taken")
        await self._press(False)
        await self._browser.shows_switch("Do not disturb", False)

    async def automate(self) -> None:
        """Press the key; an automation holds the forwarding, and its trace says so."""
        async with api.log_in(self._url) as client:
            await client.post("/api/config/automation/config/lunch", AUTOMATION)
            await self._until_known(client, "automation.lunch")
        await self._press(True)
        await self._phone.until(lambda lamps: lamps[ALWAYS].target == "300", TELLING)
        await self._press(False)
        await self._browser.trace_says(
            "lunch", "Call forwarding always turned on", "Lunch"
        )

    async def see_a_call(self) -> None:
        """Turn on that calls are seen; phones of three makes report one each."""
        await self._browser.start_changing_line(RECEPTION.name)
        await self._browser.shows_step("Reconfigure line")
        await self._browser.unfold("Calls")
        await self._browser.flip_in_form("See calls")
        await self._browser.submit()
        address = await self._browser.code_with("/api/webhook/")
        await self._browser.finish()
        await self._browser.open_line(RECEPTION.name)
        for make in MAKES.values():
            settings = "\n".join(
                f"{make.settings[event]}={address}?event={report}"
                f"&call={make.call_id}&number=$remote"
                for event, report in (
                    ("incoming", "incoming"),
                    ("established", "answered"),
                    ("terminated", "ended"),
                )
            )
            phone = ReportingPhone(make, settings)
            await phone.rings("202")
            await self._browser.shows_state("Call", "Ringing")
            await phone.picks_up()
            await self._browser.shows_state("Call", "In call")
            await phone.hangs_up()
            await self._browser.shows_state("Call", "Idle")

    async def see_who_it_was(self) -> None:
        """Activity names who it was: a key, a click, an action, an automation, an end."""
        phone = self._phone.user_agent.partition("/")[0]
        await self._browser.open("/logbook")
        for texts in (
            ("Do not disturb", "On", f"Via Phone {phone}"),
            ("Do not disturb", "Off", "By demo"),
            ("Do not disturb", "On", "By demo"),
            ("Do not disturb", "Off", "Via Timer"),
            ("Feature change", "Do not disturb turned off", "Via Timer"),
            ("Call forwarding always", "By automation: Lunch"),
            ("Lunch", f"Via Phone {phone}"),
        ):
            await self._browser.activity_says(*texts)

    async def _press(self, on: bool) -> None:
        """Press do not disturb at the phone as somebody does who looks at its lamp.

        While a change that went back is held, the lamp shows what was before; a second
        press within that time counts as an echo (rules F30 and F31).
        """
        await self._phone.until(lambda lamps: lamps[DND].on is not on, TELLING)
        require((await self._phone.set_dnd(on)).ok, "the phone's key was refused")
        await self._phone.until(lambda lamps: lamps[DND].on is on, TELLING)

    async def be_quiet(self, client: api.Api, duration: str) -> None:
        """Turn do not disturb on for a while by the action."""
        await self._set_feature(client, entity_id=QUIET, duration=duration)

    async def _set_feature(self, client: api.Api, **data: Any) -> Any:
        """Turn do not disturb on by the action; returns its response."""
        answer = await client.post(
            "/api/services/dfks/set_feature?return_response",
            {"feature": "do_not_disturb", "status": True, **data},
        )
        return answer["service_response"]

    async def _make_places(self, client: api.Api) -> list[dict[str, str]]:
        """Put the line into an area, a floor and a label; the last place is empty."""

        async def create(kind: str, name: str) -> str:
            made = await client.command(f"config/{kind}_registry/create", name=name)
            return str(made[f"{kind}_id"])

        area, empty = await create("area", "Office"), await create("area", "Garden")
        floor, label = await create("floor", "Ground"), await create("label", "Quiet")
        await client.command(
            "config/area_registry/update", area_id=area, floor_id=floor
        )
        devices = await client.command("config/device_registry/list")
        (line,) = (d["id"] for d in devices if d["name"] == RECEPTION.name)
        await client.command(
            "config/device_registry/update",
            device_id=line,
            area_id=area,
            labels=[label],
        )
        return [
            {"area_id": area},
            {"floor_id": floor},
            {"label_id": label},
            {"area_id": empty},
        ]

    async def _until_known(self, client: api.Api, entity_id: str) -> None:
        """Return when an entity has a state."""
        async with asyncio.timeout(TELLING):
            while entity_id not in {
                state["entity_id"] for state in await client.get("/api/states")
            }:
                await asyncio.sleep(0.1)

    async def make_dashboard(self) -> None:
        """Make a dashboard as docs/dashboard.md says; no card complains."""
        configuration = await self._browser.render(read_templates()[0])
        await self._browser.add_dashboard("Phones", configuration)
        await self._browser.wait_for_text(RECEPTION.name)
        await self._browser.shows_tile("Do not disturb", False)
        await self._browser.shows_no_tile("Sync status")
        await self._browser.shows_no_error()

    async def use_dashboard(self) -> None:
        """Press the key and click at its tile; phone and dashboard agree."""
        await self._press(True)
        await self._browser.shows_tile("Do not disturb", True)
        await self._browser.tile_says(
            "Feature change", re.compile("Do not disturb turned on.*Phone")
        )
        await self._browser.flip_tile("Do not disturb")
        await self._phone.until(lambda lamps: not lamps[DND].on, TELLING)
        await self._browser.shows_tile("Do not disturb", False)

    async def pick_end(self) -> None:
        """Pick another end at the dashboard; the key takes it away."""
        async with api.log_in(self._url) as client:
            await self._set_feature(client, entity_id=QUIET, duration=AN_HOUR)
            await self._browser.pick_minutes("Do not disturb until", "59")
            async with asyncio.timeout(TELLING):
                while (
                    "T" not in (end := await self._state(client, QUIET_UNTIL))
                    or end[14:16] != "59"
                ):
                    await asyncio.sleep(0.1)
            await self._press(False)
            end = await self._state(client, QUIET_UNTIL)
            require(end == "unknown", "there is still an end")

    async def _state(self, client: api.Api, entity_id: str) -> str:
        """Return the state of an entity."""
        return str((await client.get(f"/api/states/{entity_id}"))["state"])

    async def add_ready_dashboard(self) -> None:
        """Add the ready dashboard with three clicks; no card complains."""
        await self._browser.add_ready_dashboard("Phone lines")
        async with api.log_in(self._url) as client:
            dashboards = await client.command("lovelace/dashboards/list")
        (added,) = (one for one in dashboards if one["title"] == "Phone lines")
        require(added["icon"] == "mdi:deskphone", f"the icon is {added['icon']}")
        await self._browser.shows_heading(RECEPTION.name)
        await self._browser.tile_says("Do not disturb", re.compile("Off"))
        await self._browser.shows_no_tile("Sync status")
        await self._browser.shows_no_error()
        # Whichever comes first, the strategy's module or the page that looks for it.
        # From 2026.11 on the page itself loads modules, and always comes first.
        orders = [(PAGE, MODULE)]
        if not await self._browser.has("__haLoadExtraModules"):
            orders.append((MODULE, PAGE))
        for scripts in orders:
            await self._browser.load_in_order(*scripts)
            await self._browser.shows_heading(RECEPTION.name)

    async def use_ready_dashboard(self) -> None:
        """Press a key, type a target, open the rings, a click each; the phone follows."""
        response = await self._phone.set_forward("always", False)
        require(response.ok, "the phone's key was refused")
        await self._browser.tile_says("Forward all", re.compile("Off"))
        await self._browser.write_after_click("Forward all", "2425")
        await self._phone.until(lambda lamps: lamps[ALWAYS].target == "2425", TELLING)
        await self._browser.flip_by_icon("Forward all")
        await self._phone.until(lambda lamps: lamps[ALWAYS].on, TELLING)
        await self._browser.tile_says("Forward all", re.compile("On.*2425"))
        await self._browser.tile_says(
            "Last change", re.compile("Call forwarding always turned on")
        )
        await self._browser.rings_after_click(RECEPTION.name)
        await self._press(True)
        await self._browser.tile_says("Do not disturb", re.compile("On"))
        await self._browser.flip_by_icon("Do not disturb")
        await self._phone.until(lambda lamps: not lamps[DND].on, TELLING)
        await self._browser.flip_by_icon("Forward all")
        await self._phone.until(lambda lamps: not lamps[ALWAYS].on, TELLING)

    async def follow_lines(self) -> None:
        """Add a line and remove it; it comes and goes on the dashboard by itself."""
        async with api.log_in(self._url) as client:
            entry = (await client.get("/api/config/config_entries/entry?domain=dfks"))[
                0
            ]
            await installation.add_line(client, entry["entry_id"], LINES[1])
            await self._browser.shows_heading(LINES[1].name)
            lines = await client.command(
                "config_entries/subentries/list", entry_id=entry["entry_id"]
            )
            (added,) = (line for line in lines if line["title"] == LINES[1].name)
            await client.command(
                "config_entries/subentries/delete",
                entry_id=entry["entry_id"],
                subentry_id=added["subentry_id"],
            )
            await self._browser.shows_heading(LINES[1].name, shown=False)

    async def follow_registries(self) -> None:
        """Rename an area; the view follows, and is all that is made anew."""
        for kind, registries in (
            ("view", ["entities", "devices", "areas", "floors"]),
            ("dashboard", []),
        ):
            found = await self._browser.dependencies(kind)
            require(found == registries, f"the {kind} depends on {found}")
        await self._browser.count_generations()
        async with api.log_in(self._url) as client:
            (area,) = [
                area["area_id"]
                for area in await client.command("config/area_registry/list")
                if area["name"] == "Office"
            ]
            await client.command(
                "config/area_registry/update", area_id=area, name="Lobby"
            )
            await self._browser.shows_heading(f"Lobby · {RECEPTION.name}")
            await client.command(
                "config/area_registry/update", area_id=area, name="Office"
            )
            await self._browser.shows_heading(f"Office · {RECEPTION.name}")
        made = await self._browser.generations()
        require(made["view"] >= 2, f"the view was made {made['view']} times")
        require(made["dashboard"] == 0, "the dashboard does not depend on registries")

    async def arrange_lines(self) -> None:
        """Arrange made-up lines by floor and area, in six languages."""
        await check_strategy(self._browser.generate)

    async def delete_line(self) -> None:
        """Delete the line; the phone's subscription ends."""
        await self._browser.delete_line(RECEPTION.name)
        async with asyncio.timeout(TELLING):
            while True:
                told = await self._phone.notification(None)
                if told.state == "terminated":
                    break
        require(told.reason == "noresource", f"the reason is {told.reason}")
        require(not self._phone.violations, "\n".join(self._phone.violations))

    async def add_unknown_phone(self) -> None:
        """Add a phone by the entry in Repairs that it makes; the phone gets in."""
        phone = Phone(
            "205",
            "unknown-205",
            (HOST, self.port),
            user_agent="Yealink SIP-T46U 108.86.0.20",
        )
        await self._stack.enter_async_context(phone)
        require((await phone.register()).status == 401, "the phone is known")
        await self._browser.open_repair("Yealink SIP-T46U at 127.0.0.1")
        await self._browser.shows_step("Add the phone 205")
        await self._browser.submit()
        await self._browser.shows_step("Add line")
        await self._browser.fill("Name", "Attic")
        await self._browser.unfold("Login")
        await self._browser.fill_optional("Password", "unknown-205")
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.wait_for_text("205")
        await self._browser.wait_for_part("features.feature_key_sync.enable=1")
        await self._browser.wait_for_part("The phone keeps ringing")
        await self._browser.finish()
        require((await phone.register()).ok, "the phone cannot register")
        await self._browser.open_line("Attic")
        await self._browser.wait_for_part("SIP-T46U")
        await self._browser.wait_for_text("Firmware: 108.86.0.20")
        await self._browser.delete_line("Attic")

    async def add_pbx(self) -> None:
        """Add a PBX by its form, which says what is at risk."""
        users = {RECEPTION.user: RECEPTION.password, CALLER: CALLER_PASSWORD}
        self._pbx = await self._stack.enter_async_context(SimulatedPbx(users))
        await self._browser.start_adding_to_listener("Add PBX")
        await self._browser.wait_for_part("emergency calls too, stop while")
        await self._browser.fill("Name", "Office PBX")
        await self._browser.fill("Address", HOST)
        await self._browser.fill_optional("Port", str(self._pbx.address[1]))
        await self._browser.fill_optional("Domain", self._pbx.domain)
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.finish()

    async def add_offered_line(self) -> None:
        """Choose a phone that the PBX has accepted; its line is added, and follows."""
        phone = Phone(
            RECEPTION.user,
            RECEPTION.password,
            (HOST, self.port),
            registrar=self._pbx.domain,
            display_name="Front desk",
            user_agent="Yealink SIP-T54W 96.86.0.1",
        )
        await self._stack.enter_async_context(phone)
        require((await phone.register()).ok, "the phone cannot register at the PBX")
        await self._browser.start_adding_to_listener("Add line")
        await self._browser.choose("Front desk, 201 @ Office PBX, Yealink")
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.wait_for_part("Outbound proxy")
        await self._browser.wait_for_part("account.X.outbound_proxy.2.address=PBX")
        await self._browser.finish()
        while not (await phone.subscribe()).ok:
            # Once the PBX is asked who synchronizes the keys.
            await asyncio.sleep(1)
        await phone.notification()
        await self._browser.open_line("Front desk")
        await self._browser.wait_for_text("Connected")
        require((await phone.set_dnd(True)).ok, "the phone's key was refused")
        await self._browser.shows_switch("Do not disturb", True)
        require(not phone.violations, "\n".join(phone.violations))
        self._desk = Bell(phone)
        self._desk.connect()
        caller = Phone(
            CALLER,
            CALLER_PASSWORD,
            self._pbx.address,
            registrar=self._pbx.domain,
        )
        await self._stack.enter_async_context(caller)
        require((await caller.register()).ok, "the caller cannot register")
        self._caller = Bell(caller)
        self._caller.connect()

    async def test_with_a_call(self) -> None:
        """Test the line with a call: a menu, a page that waits, and what has come."""
        await self._browser.start_changing_line("Front desk")
        await self._browser.shows_step("Line at a PBX")
        await self._browser.choose_in_menu("Test with a call")
        await self._browser.shows_step("Test with a call")
        await self._browser.wait_for_part("Forward the call to")
        await self._browser.submit()
        await self._browser.wait_for_part("Call 201 now from another phone")
        await self._browser.shows_step("Test with a call")
        await self._rings()
        await self._browser.wait_for_part("came through Home Assistant")
        await self._browser.finish()

    async def treat_calls(self) -> None:
        """Have calls follow the keys: busy by the key, the switch and a scene."""
        await self._browser.start_changing_line("Front desk")
        await self._browser.choose_in_menu("Change settings")
        await self._browser.shows_step("Reconfigure line")
        await self._browser.unfold("Calls follow the keys")
        await self._browser.flip_in_form("Treat calls")
        await self._browser.submit()
        await self._browser.wait_for_part("The line has been changed")
        await self._browser.finish()
        await self._browser.open_line("Front desk")
        # By the key of the phone, which was pressed before.
        await self._browser.shows_switch("Do not disturb", True)
        await self._is_busy()
        await self._flip_at_pbx(False)
        await self._rings()
        await self._flip_at_pbx(True)
        await self._is_busy()
        await self._flip_at_pbx(False)
        async with api.log_in(self._url) as client:
            scene = {"entities": {QUIET_AT_PBX: "on"}}
            await client.post("/api/services/scene/apply", scene)
        await self._browser.shows_switch("Do not disturb", True)
        await self._is_busy()
        await self._flip_at_pbx(False)

    async def _flip_at_pbx(self, on: bool) -> None:
        """Click at do not disturb of the line at the PBX; return when it is so.

        The page shows it before Home Assistant has heard of the click.
        """
        await self._browser.flip("Do not disturb")
        await self._browser.shows_switch("Do not disturb", on)
        async with api.log_in(self._url) as client, asyncio.timeout(TELLING):
            wanted = "on" if on else "off"
            while await self._state(client, QUIET_AT_PBX) != wanted:
                await asyncio.sleep(0.1)

    async def _is_busy(self) -> None:
        """Call the line, whose phone is silent while the caller hears that it is busy."""
        before = len(self._desk.calls)
        call = await self._caller.dial(RECEPTION.user)
        await self._caller.until(call, CallState.REFUSED)
        require(call.response is not None, "the caller hears nothing")
        assert call.response is not None
        require(call.response.status == 486, f"the caller hears {call.response.status}")
        require(len(self._desk.calls) == before, "the phone has rung")

    async def _rings(self) -> None:
        """Call the line, whose phone rings until somebody rejects the call there."""
        call = await self._caller.dial(RECEPTION.user)
        self._desk.refuse(await self._desk.incoming_call())
        await self._caller.until(call, CallState.REFUSED)

    async def see_a_passed_call(self) -> None:
        """Turn on that calls are seen; one that passes rings, is taken, and ends."""
        await self._browser.start_changing_line("Front desk")
        await self._browser.choose_in_menu("Change settings")
        await self._browser.shows_step("Reconfigure line")
        await self._browser.unfold("Calls What Home Assistant knows")
        await self._browser.flip_in_form("See calls")
        await self._browser.submit()
        await self._browser.wait_for_part("The line has been changed")
        await self._browser.finish()
        await self._browser.open_line("Front desk")
        call = await self._caller.dial(RECEPTION.user)
        incoming = await self._desk.incoming_call()
        await self._browser.shows_state("Call", "Ringing")
        self._desk.pick_up(incoming)
        await self._browser.shows_state("Call", "In call")
        await self._caller.hang_up(call)
        await self._browser.shows_state("Call", "Idle")

    async def phone(
        self, user: str, password: str, user_agent: str = "Simulated-Phone/1.0"
    ) -> Phone:
        """Return a phone that has registered and knows the state of its line."""
        phone = Phone(user, password, (HOST, self.port), user_agent=user_agent)
        await self._stack.enter_async_context(phone)
        require((await phone.register()).ok, f"{user} cannot register")
        require((await phone.subscribe()).ok, f"{user} cannot subscribe")
        await phone.notification()
        return phone


async def take_images(visit: Visit, browser: Browser, url: str) -> None:
    """Set the demo's lines up and take the pictures of the documentation."""
    async with api.log_in(url) as client:
        for dashboard in await client.command("lovelace/dashboards/list"):
            await client.command(
                "lovelace/dashboards/delete", dashboard_id=dashboard["id"]
            )
        entry = (await client.get("/api/config/config_entries/entry?domain=dfks"))[0]
        there = {"entry_id": entry["entry_id"]}
        for one in await client.command("config_entries/subentries/list", **there):
            await client.command(
                "config_entries/subentries/delete",
                subentry_id=one["subentry_id"],
                **there,
            )
        await installation.install(client, visit.port)
    reception, workshop = [
        await visit.phone(line.user, line.password, user_agent)
        for line, user_agent in zip(LINES, USER_AGENTS, strict=True)
    ]
    await workshop.set_forward("no-answer", True, "+12025550142", 4)
    await reception.set_forward("busy", True, "2424")
    async with api.log_in(url) as client:
        await visit.be_quiet(client, AN_HOUR)
    await reception.until(lambda lamps: lamps[DND].on, TELLING)
    IMAGES.mkdir(exist_ok=True)
    await browser.open(f"/{installation.DASHBOARD}")
    await browser.wait_for_text(LINES[1].name)
    await browser.shows_no_error()
    await browser.picture(IMAGES / "dashboard.png")
    async with browser.narrow():
        await browser.picture(IMAGES / "dashboard-narrow.png")
    await browser.open_line(RECEPTION.name)
    await browser.shows_switch("Do not disturb", True)
    await browser.picture(IMAGES / "line.png")


class Steps:
    """Runs steps and counts them; after one that fails the rest is not run."""

    def __init__(self, browser: Browser, house: HomeAssistant, shots: Path) -> None:
        """Store a picture of a failure in `shots`."""
        self._browser = browser
        self._house = house
        self._shots = shots
        self.passed = 0
        self.failed = 0

    async def run(self, title: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step and say how it went."""
        if self.failed:
            say(f"not run  {title}")
            return
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.failed += 1
            say(f"FAILED   {title}: {type(error).__name__}: {error}")
            await self._explain()
        else:
            self.passed += 1
            say(f"passed   {title}")

    async def _explain(self) -> None:
        """Show what Home Assistant said last, and store what is to be seen."""
        for line in self._house.output[-20:]:
            say(f"  home assistant | {line}")
        picture = self._shots / "failure.png"
        await self._browser.picture(picture)
        say(f"  what was to be seen: {picture}")


async def count_ways(steps: Steps, ways: Ways) -> None:
    """Go each way to a first line, and say what it takes."""
    for way in EXPECTED:

        async def go(way: str = way) -> None:
            say(f"         {way}: {await ways.measure(way)}")

        await steps.run(f"Count clicks and seconds of a line {way}", go)


async def _run(executable: str, images: bool, ways: bool, work: Path) -> bool:
    """Run all steps, or count the ways alone; returns whether all went well."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    passed, failed = 0, 1
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(LIMIT):
            house = await stack.enter_async_context(empty_house(work / "config", port))
            browser = await stack.enter_async_context(open_browser(executable, url))
            visit = Visit(house, browser, url, stack)
            steps = Steps(browser, house, work)
            for step in (visit.log_in, *(() if ways else visit.steps())):
                await steps.run((step.__doc__ or "").rstrip("."), step)
                passed, failed = steps.passed, steps.failed
            if images:
                await steps.run(
                    "Take the pictures of the documentation",
                    lambda: take_images(visit, browser, url),
                )
                passed, failed = steps.passed, steps.failed
            await count_ways(steps, Ways(browser, url))
            passed, failed = steps.passed, steps.failed
    except TimeoutError:
        failed = 1
        say(f"FAILED   it took more than {LIMIT:.0f} seconds")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        failed = 1
        say(f"FAILED   {type(error).__name__}: {error}")
    say(f"{passed} passed, {failed} failed")
    return not failed


async def _run_until_stopped(
    executable: str, images: bool, ways: bool, work: Path
) -> bool:
    """Run, and end in good order upon a signal."""
    steps = asyncio.create_task(_run(executable, images, ways, work))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, steps.cancel)
    return await steps


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/e2e")
    parser.add_argument("--browser", required=True, help="the browser's executable")
    parser.add_argument(
        "--images", action="store_true", help="take the pictures in docs/images anew"
    )
    parser.add_argument(
        "--ways", action="store_true", help="count clicks and seconds, and nothing else"
    )
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="dfks-e2e-"))
    try:
        good = asyncio.run(
            _run_until_stopped(options.browser, options.images, options.ways, work)
        )
    except asyncio.CancelledError:
        say("stopped")
        good = False
    for folder in ("config", "python"):
        shutil.rmtree(work / folder, ignore_errors=True)
    if not any(work.iterdir()):
        work.rmdir()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
