"""Home Assistant's pages, as somebody in front of them uses them.

Playwright's selectors look into open shadow roots, of which the pages are made.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
import re
from typing import Any

# Not among the tests' packages: only scripts/e2e has it.
from playwright.async_api import (  # type: ignore[import-not-found]
    Error as PlaywrightError,
    Locator,
    Page,
    Request,
    Route,
    TimeoutError as PlaywrightTimeout,
    async_playwright,
    expect,
)

from dev.demo.settings import PASSWORD, USERNAME

# How often the page of a trace is opened anew, and milliseconds for what it shows.
TRACE_TRIES = 8
TRACE_PAUSE = 3000.0

# The same of the page of Repairs.
REPAIR_TRIES = 3
REPAIR_PAUSE = 5000.0

# Milliseconds that a page may take for anything.
PATIENCE = 15_000

# Milliseconds that a button may take to be there.
CLICKING = 500

# The page's size, in pixels: on a desk, and on a mobile phone.
WIDE = {"width": 1280, "height": 840}
NARROW = {"width": 390, "height": 844}

# Nothing beyond this machine is asked for anything.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# What leads on in a dialog of several steps.
LEADS_ON = re.compile(r"^\s*(?:Submit|Next|Finish|Done|Close|Skip and finish)\s*$")


class Browser:
    """A page of Home Assistant in a real browser.

    Attributes:
        clicks: how often the button of the mouse has been pressed.
        words: how many fields have been typed into.

    """

    def __init__(self, page: Page, url: str) -> None:
        """Use a page; `open_browser` is the way to one."""
        self._page = page
        self._url = url
        self.clicks = 0
        self.words = 0

    async def count_clicks(self) -> None:
        """Have each press of the mouse's button counted, on all pages from now on."""

        def count() -> None:
            self.clicks += 1

        await self._page.expose_function("countClick", count)
        await self._page.add_init_script(
            """addEventListener("pointerdown", (event) => {
              if (event.isTrusted) window.countClick();
            }, true)"""
        )

    async def log_in(self) -> None:
        """Type the name and the password."""
        page = self._page
        await page.goto(self._url)
        await page.locator("input[name=username]").fill(USERNAME)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.locator("ha-button", has_text="Log in").click()
        await page.locator("home-assistant-main").wait_for()

    async def open(self, path: str) -> None:
        """Go to a page of Home Assistant."""
        try:
            await self._page.goto(f"{self._url}{path}")
        except PlaywrightError:
            # The page was on its way elsewhere.
            await self._page.goto(f"{self._url}{path}")
        await self._page.locator("home-assistant-main").wait_for()

    async def has(self, name: str) -> bool:
        """Whether the page has something by that name in its window."""
        return bool(await self._page.evaluate("name => name in window", name))

    async def load_in_order(self, first: str, second: str) -> None:
        """Load the page again; one of its scripts waits until another is there.

        Both are named by a part of their addresses.
        """
        came = asyncio.Event()

        def note(request: Request) -> None:
            if first in request.url:
                came.set()

        async def hold(route: Route) -> None:
            await came.wait()
            await route.continue_()

        pattern = f"**{second}**"
        self._page.on("requestfinished", note)
        await self._page.route(pattern, hold)
        await self._page.reload()
        await self._page.locator("home-assistant-main").wait_for()
        await self._page.unroute(pattern)
        self._page.remove_listener("requestfinished", note)

    async def start_adding(self, domain: str) -> None:
        """Follow the link that adds an integration."""
        await self.open(f"/config/integrations/dashboard/add?domain={domain}")
        await self._page.locator("dialog-box ha-button", has_text="OK").click()

    async def fill(self, label: str, value: str) -> None:
        """Fill a required field of the dialog, by the label in front of its star."""
        form = self._page.locator("step-flow-form")
        field = form.locator("ha-input").filter(has_text=f"{label}*").first
        await field.locator("input").fill(value)
        self.words += 1

    async def fill_optional(self, label: str, value: str) -> None:
        """Fill a field of the dialog that may stay empty."""
        form = self._page.locator("step-flow-form")
        field = form.locator("ha-input").filter(has_text=re.compile(rf"^\s*{label}\b"))
        await field.first.locator("input").fill(value)
        self.words += 1

    async def pick(self, label: str, option: str) -> None:
        """Open a list of the dialog's form and pick one of its options."""
        form = self._page.locator("step-flow-form")
        await form.locator("ha-select").filter(has_text=label).first.click()
        item = form.locator("ha-dropdown-item").filter(has_text=option)
        await item.first.click()

    async def close(self) -> None:
        """Close the dialog by the cross in its corner."""
        dialog = self._page.locator("dialog-data-entry-flow ha-dialog[open]")
        await dialog.locator("[slot=headerNavigationIcon]").click()
        await expect(dialog).to_have_count(0)

    async def go_to_integration(self) -> None:
        """Go to the page of the integration, if it is not there, by its card."""
        if "/config/integrations/integration/" not in self._page.url:
            card = self._page.locator("ha-integration-card", has_text="DFKS")
            await card.first.click()
        await self._page.locator("ha-config-entry-row").first.wait_for()

    async def unfold(self, section: str) -> None:
        """Open a section of the dialog's form."""
        form = self._page.locator("step-flow-form")
        await form.locator("ha-expansion-panel").filter(has_text=section).first.click()

    async def open_repair(self, title: str) -> None:
        """Open an entry of Repairs.

        A dialog that has just closed takes the page back to where it was opened.
        """
        clicks = self.clicks
        entry = self._page.get_by_text(title).first
        for _ in range(REPAIR_TRIES):
            self.clicks = clicks
            await self.open("/config/repairs")
            with suppress(PlaywrightTimeout):
                await entry.click(timeout=REPAIR_PAUSE)
                return
        await entry.click()

    async def submit(self) -> None:
        """Send the form of the dialog."""
        await self._leads_on().click()

    async def finish(self) -> None:
        """Go through what steps the dialog still has until it closes."""
        dialog = self._page.locator("dialog-data-entry-flow ha-dialog[open]")
        async with asyncio.timeout(PATIENCE / 1000):
            while await dialog.count():
                # A button may be gone, its step being over, before it is clicked.
                with suppress(PlaywrightTimeout):
                    await self._leads_on().click(timeout=CLICKING)

    async def start_adding_to_listener(self, title: str) -> None:
        """Start to add something to the listener, by the button of its page."""
        path = "/config/integrations/integration/dfks"
        if path not in self._page.url:
            await self.open(path)
        button = self._page.locator("ha-button").filter(
            has_text=re.compile(rf"^\s*{title}\s*$")
        )
        await button.first.click()

    async def choose(self, text: str) -> None:
        """Choose one of the options of the dialog's form, by a part of its label."""
        form = self._page.locator("step-flow-form")
        option = form.locator("ha-radio-option, ha-formfield, label")
        await option.filter(has_text=text).first.click()

    async def choose_in_menu(self, text: str) -> None:
        """Choose what comes next in the dialog, by its words."""
        await self._page.locator("step-flow-menu").get_by_text(text).click()

    async def shows_step(self, title: str, patience: float = PATIENCE / 1000) -> None:
        """Wait for a step of the dialog, for so many seconds at most."""
        heading = self._page.locator("dialog-data-entry-flow [slot=headerTitle]")
        await expect(heading).to_contain_text(title, timeout=patience * 1000)

    async def open_line(self, name: str) -> None:
        """Go to the page of a line's device by the page of the integration."""
        await self.open("/config/integrations/integration/dfks")
        row = self._page.locator("ha-config-entry-device-row", has_text=name)
        await row.first.click()
        await self._page.locator("ha-config-device-page").wait_for()

    async def start_changing_line(self, name: str) -> None:
        """Open the form that changes a line, by the gear beside it."""
        await self.open("/config/integrations/integration/dfks")
        row = self._page.locator("ha-config-sub-entry-row", has_text=name)
        await row.locator("ha-icon-button").nth(1).click()

    async def flip_in_form(self, label: str) -> None:
        """Click at a switch of the dialog's form."""
        field = self._page.locator("step-flow-form ha-formfield, ha-selector-boolean")
        await field.filter(has_text=label).first.locator("ha-switch").click()

    async def code_with(self, text: str) -> str:
        """Return the code on the page of the dialog that has a text in it."""
        dialog = self._page.locator("dialog-data-entry-flow")
        found: str = await dialog.locator("code", has_text=text).first.inner_text()
        return found.strip()

    async def code_after(self, label: str) -> str:
        """Return the code beside a label on the page of the dialog."""
        dialog = self._page.locator("dialog-data-entry-flow")
        item = dialog.locator("li").filter(has_text=label)
        found: str = await item.first.locator("code").first.inner_text()
        return found.strip()

    async def shows_state(self, name: str, state: str) -> None:
        """Wait until a sensor of the device that is open shows a state."""
        title = self._page.get_by_text(name, exact=True)
        row = self._page.locator("hui-generic-entity-row").filter(has=title)
        await row.filter(has_text=state).first.wait_for()

    async def shows_switch(self, name: str, on: bool) -> None:
        """Wait until a switch is shown on, or off."""
        box = self._switch(name).locator("input")
        await expect(box).to_be_checked(checked=on)

    async def flip(self, name: str) -> None:
        """Click at a switch."""
        await self._switch(name).click()

    async def write(self, name: str, value: str) -> None:
        """Type into the text field of an entity."""
        row = self._page.locator("hui-text-entity-row").filter(has_text=name)
        await row.locator("input").fill(value)
        await row.locator("input").press("Enter")

    async def shows_field(self, name: str, value: str) -> None:
        """Wait until the text field of an entity holds a value."""
        row = self._page.locator("hui-text-entity-row").filter(has_text=name)
        await expect(row.locator("input")).to_have_value(value)

    async def pick_minutes(self, name: str, minutes: str) -> None:
        """Type the minutes of a date and time that is shown."""
        row = self._page.locator("hui-datetime-entity-row").filter(has_text=name)
        field = row.locator("input[name=minutes]")
        await expect(field).not_to_have_value("")
        await field.fill(minutes)
        await field.press("Enter")
        await field.blur()

    async def activity_says(self, *texts: str, timeout: float | None = None) -> None:
        """Wait until one entry of Activity has all of these texts.

        Raises PlaywrightTimeout after `timeout` milliseconds, None for the usual ones.
        """
        entry = self._page.locator("ha-logbook-entry")
        for text in texts:
            entry = entry.filter(has_text=text)
        await entry.first.wait_for(timeout=timeout)

    async def trace_says(self, automation: str, *texts: str) -> None:
        """Wait until an entry of what a trace led to has all of these texts.

        The page asks once, and the recorder writes every five seconds.
        """
        for _ in range(TRACE_TRIES):
            await self.open(f"/config/automation/trace/{automation}")
            await self._page.get_by_text("Related activity").first.click()
            with suppress(PlaywrightTimeout):
                await self.activity_says(*texts, timeout=TRACE_PAUSE)
                return
        await self.activity_says(*texts)

    async def render(self, template: str) -> str:
        """Let Home Assistant's tool render a template; returns the result."""
        await self.open("/config/tools/template")
        editor = self._page.locator("ha-code-editor")
        await self._paste(editor, template)
        result = self._page.locator("pre.rendered")
        # The tool renders what it opens with first.
        await expect(result).to_have_text(re.compile("^views:"))
        text: str = await result.inner_text()
        return text

    async def add_dashboard(self, title: str, configuration: str) -> None:
        """Add a dashboard of which the configuration is pasted; it is open then."""
        page = self._page
        await self.open("/config/lovelace/dashboards")
        await page.locator("ha-button", has_text="Add dashboard").click()
        await page.get_by_text("New dashboard from scratch").click()
        dialog = page.locator("dialog-lovelace-dashboard-detail ha-dialog[open]")
        await dialog.locator("input").first.fill(title)
        await dialog.locator("ha-button", has_text="Create").click()
        await expect(dialog).to_have_count(0)
        await page.locator("ha-config-lovelace-dashboards").get_by_text(title).click()
        await page.get_by_role("button", name="Edit dashboard").click()
        await page.locator("hui-root .toolbar [slot=trigger]:visible").last.click()
        await page.get_by_text("Raw configuration editor").click()
        editor = page.locator("hui-editor")
        await self._paste(editor, configuration)
        await editor.locator("ha-button", has_text="Save").click()
        await editor.get_by_text("Saved", exact=True).wait_for()
        await editor.get_by_role("button", name="Close").click()
        await page.locator("hui-root ha-button", has_text="Done").click()

    async def add_ready_dashboard(self, name: str) -> None:
        """Add a dashboard of the community with three clicks; it is open then."""
        page = self._page
        await self.open("/config/lovelace/dashboards")
        await page.locator("ha-button", has_text="Add dashboard").click()
        await page.locator("dashboard-card", has_text=name).click()
        dialog = page.locator("dialog-lovelace-dashboard-detail ha-dialog[open]")
        await dialog.locator("ha-button", has_text="Create").click()
        await expect(dialog).to_have_count(0)
        await page.locator("ha-config-lovelace-dashboards").get_by_text(name).click()

    async def count_generations(self) -> None:
        """Count from now on how often the strategies are asked for something."""
        await self._page.evaluate(
            """() => {
              window.generations = {};
              for (const kind of ["dashboard", "view"]) {
                const strategy = customElements.get(`ll-strategy-${kind}-dfks`);
                const generate = strategy.generate;
                window.generations[kind] = 0;
                strategy.generate = (...given) => {
                  window.generations[kind] += 1;
                  return generate.apply(strategy, given);
                };
              }
            }"""
        )

    async def generations(self) -> dict[str, int]:
        """Return how often the dashboard and the view have been made since then."""
        counted: dict[str, int] = await self._page.evaluate("window.generations")
        return counted

    async def dependencies(self, kind: str) -> list[str]:
        """Return the registries whose changes a strategy has asked to be told of."""
        found: list[str] = await self._page.evaluate(
            "(kind) => customElements.get(`ll-strategy-${kind}-dfks`)"
            ".registryDependencies",
            kind,
        )
        return found

    async def generate(self, config: dict[str, Any], hass: dict[str, Any]) -> Any:
        """Return the view that the strategy makes of what a page knows of the house."""
        return await self._page.evaluate(
            """([config, hass]) =>
              customElements.get("ll-strategy-view-dfks").generate(config, hass)""",
            [config, hass],
        )

    async def flip_by_icon(self, name: str) -> None:
        """Click at the icon of a tile."""
        await self._tile(name).locator("ha-tile-icon").click()

    async def write_after_click(self, name: str, value: str) -> None:
        """Click at a tile and type into the one field of the dialog that opens."""
        await self._tile(name).click()
        dialog = self._page.locator("ha-more-info-dialog")
        await dialog.locator("input").first.fill(value)
        await dialog.locator("input").first.press("Enter")
        await self._page.keyboard.press("Escape")

    async def rings_after_click(self, name: str) -> None:
        """Click at a number in the heading of a line; a dialog opens with its name."""
        heading = self._page.locator("hui-heading-card").filter(has_text=name)
        await heading.locator("hui-entity-heading-badge").first.click()
        dialog = self._page.locator("ha-more-info-dialog")
        await dialog.get_by_text("rings").first.wait_for()
        await dialog.locator("input").first.wait_for()
        await self._page.keyboard.press("Escape")

    async def shows_heading(self, name: str, shown: bool = True) -> None:
        """Wait until a line has a heading of its own, or no more."""
        heading = self._page.locator("hui-heading-card").filter(has_text=name)
        await expect(heading).to_have_count(1 if shown else 0)

    async def shows_tile(self, name: str, on: bool) -> None:
        """Wait until a tile's switch is shown on, or off."""
        await expect(self._tile(name).get_by_role("switch")).to_be_checked(checked=on)

    async def flip_tile(self, name: str) -> None:
        """Click at the switch of a tile."""
        await self._tile(name).get_by_role("switch").click()

    async def tile_says(self, name: str, text: re.Pattern[str]) -> None:
        """Wait until a text is to be read in a tile."""
        await expect(self._tile(name)).to_contain_text(text)

    async def shows_no_tile(self, name: str) -> None:
        """Wait until a tile is not to be seen."""
        await expect(self._tile(name).filter(visible=True)).to_have_count(0)

    async def shows_no_error(self) -> None:
        """Wait until no card complains of anything."""
        complaints = self._page.locator("hui-error-card, hui-warning")
        await expect(complaints).to_have_count(0)

    async def delete_line(self, name: str) -> None:
        """Delete a line by its menu on the page of the integration."""
        await self.open("/config/integrations/integration/dfks")
        row = self._page.locator("ha-config-sub-entry-row", has_text=name)
        await row.locator("ha-icon-button[slot=trigger]").first.click()
        await row.locator("ha-dropdown-item", has_text="Delete").first.click()
        await self._page.locator("dialog-box ha-button", has_text="Delete").click()
        await expect(row).to_have_count(0)

    async def wait_for_text(self, text: str) -> None:
        """Wait until a text is there to be read."""
        await self._page.get_by_text(text, exact=True).first.wait_for()

    async def wait_for_part(self, text: str) -> None:
        """Wait until there is something to be read with a text in it."""
        await self._page.get_by_text(text).first.wait_for()

    async def picture(self, path: Path) -> None:
        """Store what is to be seen, once it has come to rest."""
        await asyncio.sleep(1.5)  # what slides and fades cannot be waited for
        await self._page.screenshot(path=path)

    @asynccontextmanager
    async def narrow(self) -> AsyncIterator[None]:
        """Be a mobile phone for a while."""
        await self._page.set_viewport_size(NARROW)
        try:
            yield
        finally:
            await self._page.set_viewport_size(WIDE)

    async def _paste(self, editor: Locator, text: str) -> None:
        """Replace all that is in an editor."""
        await editor.locator(".cm-content").click()
        await self._page.keyboard.press("Control+A")
        await self._page.keyboard.insert_text(text)

    def _leads_on(self) -> Locator:
        buttons = self._page.locator("dialog-data-entry-flow ha-button")
        return buttons.filter(has_text=LEADS_ON).first

    def _tile(self, name: str) -> Locator:
        title = self._page.get_by_text(name, exact=True)
        return self._page.locator("hui-tile-card").filter(has=title)

    def _switch(self, name: str) -> Locator:
        row = self._page.locator("hui-toggle-entity-row").filter(has_text=name)
        return row.locator("ha-switch")


@asynccontextmanager
async def open_browser(executable: str, url: str) -> AsyncIterator[Browser]:
    """Start a browser with a new profile; it is closed at the end."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=list(ARGUMENTS),
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        try:
            context = await browser.new_context(
                viewport=WIDE,
                locale="en-US",
                color_scheme="light",
            )
            page = await context.new_page()
            page.set_default_timeout(PATIENCE)
            browser_page = Browser(page, url)
            await browser_page.count_clicks()
            yield browser_page
        finally:
            await browser.close()
