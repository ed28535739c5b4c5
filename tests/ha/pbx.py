"""A listener with a PBX, and phones that are registered there through it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any

from homeassistant.config_entries import ConfigSubentry, ConfigSubentryDataWithId
from homeassistant.core import HomeAssistant
import pytest

from tests.pbx import SimulatedPbx
from tests.phone import Phone
from tests.phone.calls import Bell, Call, CallState

from .common import LOCALHOST, RECEPTION, RECEPTION_DATA, MockConfigEntry, set_up
from .forms import show_form, submit

PBX = "pbx1"
REACHABLE = "binary_sensor.office_pbx_reachable"
USERS = {"201": "secret-one", "202": "secret-two", "203": "secret-three"}

type OpenPhone = Callable[..., Awaitable[Phone]]

AT_PBX_DATA: Mapping[str, Any] = {
    key: value for key, value in RECEPTION_DATA.items() if key != "password"
} | {"pbx": PBX}


def pbx_data(
    port: int, pbx_id: str = PBX, title: str = "Office", **changes: object
) -> ConfigSubentryDataWithId:
    """Return a PBX as a config entry stores it."""
    data = {
        "host": LOCALHOST,
        "port": port,
        "transport": "UDP",
        "contact": "mirror",
        "keys": "home_assistant",
        "add_lines": False,
        "domain": "pbx.example",
    }
    return ConfigSubentryDataWithId(
        subentry_id=pbx_id,
        subentry_type="pbx",
        title=title,
        unique_id=f"{LOCALHOST}:{port}",
        data={key: value for key, value in (data | changes).items() if value != ""},
    )


def store_pbx(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Add the PBX to an entry, without a form and the phones that it knows."""
    subentry = ConfigSubentry(
        subentry_id=PBX,
        subentry_type="pbx",
        title="Office",
        unique_id=f"{LOCALHOST}:5070",
        data=MappingProxyType(dict(pbx_data(5070)["data"])),
    )
    hass.config_entries.async_add_subentry(entry, subentry)


def line_at_pbx(
    line_id: str = RECEPTION, title: str = "Reception", **changes: object
) -> ConfigSubentryDataWithId:
    """Return a line at the PBX as a config entry stores it."""
    data = {**AT_PBX_DATA, **changes}
    return ConfigSubentryDataWithId(
        subentry_id=line_id,
        subentry_type="line",
        title=title,
        unique_id=f"{data['user']}@{data['pbx']}",
        data=data,
    )


def pbx_form(port: int, **changes: object) -> dict[str, Any]:
    """Return the filled form of the PBX."""
    form = {
        "name": "Office",
        "host": LOCALHOST,
        "port": port,
        "transport": "UDP",
        "add_lines": False,
        "domain": "pbx.example",
        "keys": "home_assistant",
        "contact": "mirror",
        **changes,
    }
    return {key: value for key, value in form.items() if value != ""}


@pytest.fixture
async def pbx() -> AsyncIterator[SimulatedPbx]:
    """Run a PBX with three users."""
    async with SimulatedPbx(USERS) as pbx:
        yield pbx


@pytest.fixture
async def at_pbx(port: int, pbx: SimulatedPbx) -> AsyncIterator[OpenPhone]:
    """Return what opens phones whose account is at the PBX."""
    async with AsyncExitStack() as stack:

        async def open_phone(
            user: str = "201",
            *,
            password: str | None = None,
            registered: bool = True,
            transport: str = "udp",
            user_agent: str = "Yealink SIP-T54W 96.86.0.1",
            registrar: str | None = None,
        ) -> Phone:
            phone = Phone(
                user,
                password or USERS[user],
                (LOCALHOST, port),
                registrar=registrar or pbx.domain,
                transport=transport,
                user_agent=user_agent,
            )
            await stack.enter_async_context(phone)
            if registered:
                assert (await phone.register()).status == 200
            return phone

        yield open_phone


async def add_pbx(
    hass: HomeAssistant, entry: MockConfigEntry, form: dict[str, Any]
) -> Any:
    """Add a PBX by its form."""
    shown = await show_form(hass, entry, "pbx")
    assert shown["step_id"] == "pbx"
    return await submit(hass, shown, form)


async def change_pbx(
    hass: HomeAssistant, entry: MockConfigEntry, *, title: str = "Office", **data: Any
) -> None:
    """Store other data of the PBX, or another name."""
    subentry = entry.subentries[PBX]
    hass.config_entries.async_update_subentry(
        entry, subentry, title=title, data={**subentry.data, **data}
    )
    await hass.async_block_till_done()


async def bell_at(at_pbx: OpenPhone, user: str = "201", transport: str = "udp") -> Bell:
    """Open a phone that is registered at the PBX and takes calls."""
    bell = Bell(await at_pbx(user, transport=transport))
    bell.connect()
    return bell


class House:
    """The phones of reception, of a caller and of who is forwarded to."""

    def __init__(self, reception: Bell, caller: Bell, target: Bell) -> None:
        """Use `house`."""
        self.reception = reception
        self.caller = caller
        self.target = target

    async def call(self) -> Call:
        """Call the reception."""
        return await self.caller.dial("201")

    async def status(self) -> int:
        """Call the reception in vain; return what the caller is told."""
        call = await self.call()
        await self.caller.until(call, CallState.REFUSED)
        assert call.response is not None
        return call.response.status

    async def rings(self) -> bool:
        """Call the reception; return whether its phone rings."""
        before = len(self.reception.calls)
        await self.call()
        await self.reception.incoming_call()
        return len(self.reception.calls) == before + 1


@pytest.fixture
async def house(
    hass: HomeAssistant, entry: MockConfigEntry, at_pbx: OpenPhone
) -> House:
    """Return three phones at the PBX that are registered."""
    await set_up(hass, entry)
    return House(*[await bell_at(at_pbx, user) for user in ("201", "202", "203")])
