"""How many clicks and seconds it takes until the first key is synchronized.

For each kind of line, from the link that adds the integration, right after HACS has
downloaded it and Home Assistant has restarted. What is set on the phone or the PBX is
not counted: it is done before, or by a simulated phone in no time. Address and port of
the listener are typed so that nothing is reached from outside; a user leaves them.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
import time
from typing import Final

from dev.demo import api
from dev.demo.settings import HOST
from dev.ports import free_port
from tests.pbx import KeyPbx, SimulatedPbx
from tests.phone import Phone

from .browser import Browser
from .effort import EXPECTED, Effort
from .strategy import require

USER: Final = "201"
PASSWORD: Final = "reception-201"
NAME: Final = "Reception"
QUIET: Final = "/api/states/switch.reception_do_not_disturb"
YEALINK: Final = "Yealink SIP-T54W 96.86.0.1"

# Seconds for which a key is waited for.
PATIENCE: Final = 20.0


class Ways:
    """The ways to a line, each from a Home Assistant without a listener."""

    def __init__(self, browser: Browser, url: str) -> None:
        """Use a browser that is logged in."""
        self._browser = browser
        self._url = url
        self._port = 0

    async def measure(self, way: str) -> Effort:
        """Go a way; raises AssertionError where it takes other clicks or words."""
        go = {
            "registered here": self._here,
            "registered here, by Repairs": self._by_repairs,
            "at a PBX": self._at_pbx,
            "followed": self._followed,
        }[way]
        async with AsyncExitStack() as stack, api.log_in(self._url) as client:
            await _remove_listener(client)
            effort = await self._go(go, stack, client)
            await _remove_listener(client)
        taken = (effort.clicks, effort.words)
        require(taken == EXPECTED[way], f"{way}: {effort}, not {EXPECTED[way]}")
        return effort

    async def _go(
        self,
        way: Callable[[AsyncExitStack], Awaitable[Callable[[], Awaitable[None]]]],
        stack: AsyncExitStack,
        client: api.Api,
    ) -> Effort:
        browser = self._browser
        self._port = free_port()
        await browser.open("/config/integrations/dashboard")
        clicks, words, start = browser.clicks, browser.words, time.monotonic()
        press_key = await way(stack)
        await press_key()
        while (await client.get(QUIET))["state"] != "on":
            require(time.monotonic() - start < PATIENCE * 5, "no key is synchronized")
        seconds = time.monotonic() - start
        return Effort(browser.clicks - clicks, browser.words - words, seconds)

    # Each returns what presses the key, once all is set up.

    async def _here(self, stack: AsyncExitStack) -> Callable[[], Awaitable[None]]:
        await self._add_listener()
        await self._browser.fill("Name", NAME)
        await self._browser.fill("User", USER)
        await self._browser.pick("Vendor", "Yealink")
        await self._browser.submit()
        await self._browser.shows_step("Success")
        password = await self._browser.code_after("Password")
        await self._browser.finish()
        return self._key(await self._phone(stack, password))

    async def _by_repairs(self, stack: AsyncExitStack) -> Callable[[], Awaitable[None]]:
        await self._add_listener()
        await self._browser.close()
        phone = Phone(USER, PASSWORD, (HOST, self._port), user_agent=YEALINK)
        await stack.enter_async_context(phone)
        require((await phone.register()).status == 401, "the phone is known")
        await self._browser.open_repair("Yealink SIP-T54W")
        await self._browser.submit()
        await self._browser.shows_step("Add line")
        await self._browser.fill("Name", NAME)
        await self._browser.submit()
        await self._browser.shows_step("Success")
        password = await self._browser.code_after("Password")
        await self._browser.finish()
        return self._key(await self._phone(stack, password))

    async def _at_pbx(self, stack: AsyncExitStack) -> Callable[[], Awaitable[None]]:
        pbx = await stack.enter_async_context(SimulatedPbx({USER: PASSWORD}))
        await self._add_listener()
        await self._browser.close()
        await self._browser.go_to_integration()
        await self._browser.start_adding_to_listener("Add PBX")
        words = self._browser.words
        # That its port and its domain are others is of this test alone.
        await self._browser.fill_optional("Port", str(pbx.address[1]))
        await self._browser.fill_optional("Domain", pbx.domain)
        self._browser.words = words
        await self._browser.fill("Name", "Office")
        await self._browser.fill("Address", HOST)
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.finish()
        phone = Phone(
            USER,
            PASSWORD,
            (HOST, self._port),
            registrar=pbx.domain,
            display_name=NAME,
            user_agent=YEALINK,
        )
        await stack.enter_async_context(phone)
        require((await phone.register()).ok, "the phone cannot register at the PBX")
        await self._browser.start_adding_to_listener("Add line")
        await self._browser.choose(f"{NAME}, {USER} @ Office")
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.finish()
        end = time.monotonic() + PATIENCE
        while not (await phone.subscribe()).ok:
            # Until the PBX has been asked who synchronizes the keys.
            require(time.monotonic() < end, "the phone cannot subscribe")
        await phone.notification()
        return self._key(phone)

    async def _followed(self, stack: AsyncExitStack) -> Callable[[], Awaitable[None]]:
        pbx = await stack.enter_async_context(KeyPbx({USER: PASSWORD}))
        await self._add_listener()
        await self._browser.close()
        await self._browser.go_to_integration()
        await self._browser.start_adding_to_listener(
            "Add line at a PBX that synchronizes keys"
        )
        await self._browser.choose_in_menu("One line")
        words = self._browser.words
        await self._browser.fill_optional("Port", str(pbx.address[1]))
        self._browser.words = words
        await self._browser.fill("Name", NAME)
        await self._browser.fill("Address of the PBX", HOST)
        await self._browser.fill("User", USER)
        await self._browser.fill("Password", PASSWORD)
        await self._browser.submit()
        await self._browser.shows_step("Success")
        await self._browser.finish()

        async def press() -> None:
            pbx.set(USER, "DoNotDisturb", on=True)

        return press

    async def _add_listener(self) -> None:
        await self._browser.start_adding("dfks")
        await self._browser.shows_step("Add the SIP listener", 60)
        words = self._browser.words
        await self._browser.fill("Address", HOST)
        await self._browser.fill("Port", str(self._port))
        self._browser.words = words
        await self._browser.submit()
        await self._browser.shows_step("Add line")

    async def _phone(self, stack: AsyncExitStack, password: str) -> Phone:
        """Return a phone into which what the page shows has been typed."""
        phone = Phone(USER, password, (HOST, self._port), user_agent=YEALINK)
        await stack.enter_async_context(phone)
        require((await phone.register()).ok, "the phone cannot register")
        require((await phone.subscribe()).ok, "the phone cannot subscribe")
        await phone.notification()
        return phone

    @staticmethod
    def _key(phone: Phone) -> Callable[[], Awaitable[None]]:
        async def press() -> None:
            require((await phone.set_dnd(True)).ok, "the phone's key was refused")

        return press


async def _remove_listener(client: api.Api) -> None:
    for entry in await client.get("/api/config/config_entries/entry?domain=dfks"):
        await client.delete(f"/api/config/config_entries/entry/{entry['entry_id']}")
