"""A PBX that synchronizes keys itself, with Home Assistant as one more phone of a line.

It is kamailio with presence_dfks, by the configuration in docs/follow-a-pbx.md.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
import contextlib
from dataclasses import replace
from pathlib import Path
import shutil
import tempfile
import time
from typing import Self

from custom_components.dfks.features.follow import FollowedConfig, Follower, Follows
from custom_components.dfks.features.model import (
    ChangeRefused,
    ChangeRequest,
    Feature,
    FeatureState,
    Origin,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import (
    ServerConfig,
    SubscriberConfig,
    SubscriptionStatus,
)
from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import BUSY, DND, Phone
from tests.phone.link import Address
from tests.phone.wire import parse

from . import debian
from .checks import Check
from .house import FastClock, WatchedServer, no_errors, require, until
from .kamailio import KAMAILIO_6, documented
from .processes import background

DOCUMENT = Path(__file__).parents[2] / "docs" / "follow-a-pbx.md"
TITLE = "A Kamailio that synchronizes keys"

# The line that the document has a password for.
USER = "501"
PASSWORD = "secret-501"
DOMAIN = "pbx.example"

# A dialog that has not lasted 30 s is begun anew after as long.
SPEED = 5.0

# What phones log in with here.
OURS = "a-password-of-ours"

TABLES = "version presentity active_watchers watchers xcap pua"

WITHOUT_KEYS = {'loadmodule "presence_dfks.so"\n': ""}


@contextlib.asynccontextmanager
async def kamailio(
    port: int, edits: Mapping[str, str] | None = None
) -> AsyncIterator[Address]:
    """Run the document's kamailio; `edits` replace texts of its configuration."""
    address = HOST, port
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = debian.testing() / "usr/share/kamailio/dbtext/kamailio"
        for table in TABLES.split():
            shutil.copyfile(tables / table, folder / table)
        text = documented(TITLE, "kamailio", DOCUMENT)
        places = {
            "192.168.1.30": HOST,
            "KAMAILIO_IP:5060": f"KAMAILIO_IP:{port}",
            "/var/lib/kamailio/keys": name,
            **(edits or {}),
        }
        for old, new in places.items():
            require(old in text, f"{old!r} is not in the document")
            text = text.replace(old, new)
        (folder / "kamailio.cfg").write_text(text)
        async with background(
            *debian.command(KAMAILIO_6),
            *("-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-Y", name),
            *("-L", str(debian.libraries() / "kamailio" / "modules")),
            *("-n", "1", "-N", "2", "-m", "32", "-M", "8"),
            answers=address,
            folder=folder,
        ):
            yield address


class Following:
    """Home Assistant's lower floors with one followed line."""

    def __init__(
        self,
        pbx: Address,
        *,
        password: str = PASSWORD,
        transport: str = "UDP",
        speed: float = 1.0,
        port: int = 0,
        for_phones: str | None = None,
    ) -> None:
        """Follow the document's line; nothing is sent before the block is entered.

        All waits are shorter by `speed`. `for_phones` is the password of phones that
        log in here for the line.
        """
        loop = asyncio.get_running_loop()
        config = ServerConfig(host=HOST, port=port)
        self._says_goodbye = True
        self.server = WatchedServer(config, FastClock(loop, speed))
        self._sync = FeatureSync(self.server)
        self.server.add_package(self._sync)
        self._follows = Follows(self.server, self._sync)
        where = SubscriberConfig(
            id="followed",
            user=USER,
            username=USER,
            password=password,
            host=pbx[0],
            port=pbx[1],
            transport=transport,
            domain=DOMAIN,
        )
        self.follower: Follower = self._follows.add(
            FollowedConfig(
                subscriber=where, assigned=tuple(Feature), password=for_phones
            )
        )

    async def __aenter__(self) -> Self:
        """Subscribe."""
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye."""
        self._follows.stop()
        await self._sync.stop()
        if self._says_goodbye:
            await self.server.following.end()
        await self.server.stop()

    def fall_silent(self) -> None:
        """End without a word, as a machine does whose power is cut."""
        self._says_goodbye = False

    def notified(self) -> list[str]:
        """Return the Call-ID of each NOTIFY that has come."""
        requests = [
            parse(data) for data in self.server.received if data[:6] == b"NOTIFY"
        ]
        return [request.get("Call-ID") for request in requests]

    def state(self, feature: Feature) -> FeatureState | None:
        """Return what is shown of a feature, None where that is unknown."""
        line = self.follower.line
        unknown = not line.available or feature in line.unknown
        return None if unknown else line.state(feature)

    async def switch(self, feature: Feature, on: bool, target: str = "") -> None:
        """Ask for a change as an entity does. Raises ChangeRefused."""
        change = ChangeRequest(feature=feature, status=on, origin=Origin.ENTITY)
        if target:
            change = replace(change, forward_to=target)
        await self._sync.change("followed", change)

    async def until_state(self, feature: Feature, state: FeatureState) -> None:
        """Return when something is shown of a feature."""
        await until(
            lambda: self.state(feature) == state,
            lambda: f"{feature} is {self.state(feature)}, not {state}",
        )

    async def until_status(self, status: SubscriptionStatus) -> None:
        """Return when the subscription has come to something."""
        await until(
            lambda: self.follower.status is status,
            lambda: f"it is {self.follower.status}, {self.follower.code}",
            15.0,
        )


def desk_phone(pbx: Address) -> Phone:
    """Return a phone of the same line, which knows nothing of Home Assistant."""
    return Phone(USER, PASSWORD, pbx, registrar=DOMAIN)


async def sign_on(phone: Phone) -> None:
    """Subscribe, and wait for what the PBX says."""
    response = await phone.subscribe()
    require(response.ok, f"the phone's SUBSCRIBE got {response.title}")
    await phone.notification()


async def next_second() -> None:
    """Wait until the next second begins.

    Kamailio orders documents by whole seconds: where two came in one, it may go on
    telling the older one.
    """
    await asyncio.sleep(1.05 - time.time() % 1)


async def keys_both_ways(transport: str) -> str:
    """Press the phone's keys and turn switches, and look at both."""
    with no_errors():
        async with (
            kamailio(free_port()) as pbx,
            Following(pbx, transport=transport) as house,
            desk_phone(pbx) as phone,
        ):
            await house.until_status(SubscriptionStatus.ACTIVE)
            require(house.state(Feature.DO_NOT_DISTURB) is None, "it is not unknown")
            await sign_on(phone)
            await phone.set_dnd(True)
            await house.until_state(Feature.DO_NOT_DISTURB, FeatureState(True))
            await next_second()
            await house.switch(Feature.DO_NOT_DISTURB, False)
            await phone.until(lambda lamps: DND in lamps and not lamps[DND].on)
            await next_second()
            await phone.set_forward("busy", True, "2424")
            busy = FeatureState(True, "2424")
            await house.until_state(Feature.CALL_FORWARDING_BUSY, busy)
            await next_second()
            await house.switch(Feature.CALL_FORWARDING_BUSY, True, "2500")
            await phone.until(lambda lamps: lamps[BUSY].target == "2500")
            await next_second()
            await house.switch(Feature.CALL_FORWARDING_ALWAYS, True, "0049301234")
            return f"{len(phone.notifications)} NOTIFYs at the phone"


async def phone_here() -> str:
    """Have one phone of the line at kamailio and one at Home Assistant."""
    with no_errors():
        async with (
            kamailio(free_port()) as pbx,
            Following(pbx, for_phones=OURS) as house,
            desk_phone(pbx) as there,
            Phone(USER, OURS, (HOST, house.server.port)) as here,
        ):
            await house.until_status(SubscriptionStatus.ACTIVE)
            await sign_on(there)
            await here.register()
            await sign_on(here)
            await here.set_dnd(True)
            await there.until(lambda lamps: DND in lamps and lamps[DND].on)
            await here.until(lambda lamps: DND in lamps and lamps[DND].on)
            await next_second()
            await there.set_dnd(False)
            await here.until(lambda lamps: not lamps[DND].on)
            await next_second()
            await here.set_forward("busy", True, "2424")
            await there.until(
                lambda lamps: BUSY in lamps and lamps[BUSY].target == "2424"
            )
            await next_second()
            await there.set_forward("busy", True, "2500")
            await here.until(
                lambda lamps: BUSY in lamps and lamps[BUSY].target == "2500"
            )
            state = house.state(Feature.CALL_FORWARDING_BUSY)
            require(state == FeatureState(True, "2500"), f"it is shown as {state}")
            await here.quiet(0.5)
            return f"{len(here.notifications)} NOTIFYs here"


async def started_again(*, clean: bool) -> str:
    """Start Home Assistant anew, at a kamailio that goes on."""
    port = free_port()
    with no_errors():
        async with kamailio(free_port()) as pbx, desk_phone(pbx) as phone:
            await sign_on(phone)
            async with Following(pbx, port=port) as house:
                await house.until_status(SubscriptionStatus.ACTIVE)
                await house.switch(Feature.DO_NOT_DISTURB, True)
                if not clean:
                    house.fall_silent()
            await phone.until(lambda lamps: DND in lamps and lamps[DND].on)
            async with Following(pbx, port=port) as house:
                await house.until_status(SubscriptionStatus.ACTIVE)
                await house.until_state(Feature.DO_NOT_DISTURB, FeatureState(True))
                await next_second()
                for on in (False, True):
                    house.server.received.clear()
                    await phone.set_dnd(on)
                    await house.until_state(Feature.DO_NOT_DISTURB, FeatureState(on))
                    # What another subscription would be told besides.
                    await asyncio.sleep(1.0)
                dialogs = set(house.notified())
                require(len(dialogs) == 1, f"{len(dialogs)} subscriptions are notified")
                return "one subscription, and the state is right"


async def restart() -> str:
    """Start kamailio anew, which then knows nothing any more."""
    port = free_port()
    with no_errors():
        async with Following((HOST, port), transport="TCP", speed=SPEED) as house:
            async with kamailio(port) as pbx, desk_phone(pbx) as phone:
                await house.until_status(SubscriptionStatus.ACTIVE)
                await house.switch(Feature.DO_NOT_DISTURB, True)
                await sign_on(phone)
                lamps = await phone.until(lambda lamps: DND in lamps)
                require(lamps[DND].on, "the phone was not told")
            await house.until_status(SubscriptionStatus.UNREACHABLE)
            require(house.state(Feature.DO_NOT_DISTURB) is None, "it is still shown")
            async with kamailio(port):
                await until(
                    lambda: house.follower.line.available, "it does not come back", 20.0
                )
                require(
                    house.state(Feature.DO_NOT_DISTURB) is None, "what was is shown"
                )
                await house.switch(Feature.DO_NOT_DISTURB, True)
                return "subscribed anew, unknown until it is changed"


async def forgotten() -> str:
    """Start kamailio anew behind UDP, where nobody notices before something is asked."""
    port = free_port()
    with no_errors():
        async with Following((HOST, port), speed=SPEED) as house:
            async with kamailio(port):
                await house.until_status(SubscriptionStatus.ACTIVE)
            async with kamailio(port):
                try:
                    await house.switch(Feature.DO_NOT_DISTURB, True)
                except ChangeRefused as err:
                    said = str(err)
                else:
                    said = "nothing"
                require(said == "481", f"a change in the old dialog: {said}")
                await until(
                    lambda: house.follower.line.available, "it does not come back", 20.0
                )
                await house.switch(Feature.DO_NOT_DISTURB, True)
                return "481 to the old dialog, subscribed anew"


async def wrong_password() -> str:
    """Try one password, and no more than that."""
    async with (
        kamailio(free_port()) as pbx,
        Following(pbx, password="guessed") as house,
    ):
        await house.until_status(SubscriptionStatus.WRONG_PASSWORD)
        answers = len(house.server.received)
        await asyncio.sleep(2.0)
        again = len(house.server.received) - answers
        require(not again, f"{again} more answers came: it was tried again")
        return f"{answers} answers, then silence"


async def no_keys() -> str:
    """Ask a kamailio without the module."""
    async with kamailio(free_port(), WITHOUT_KEYS) as pbx, Following(pbx) as house:
        await house.until_status(SubscriptionStatus.NOT_SUPPORTED)
        return f"it answers {house.follower.code}"


def _check(
    title: str, run: Callable[[], Awaitable[str]], *, limit: float = 60.0
) -> Check:
    return Check(
        subject="presence_dfks", title=title, run=run, needs=(KAMAILIO_6,), limit=limit
    )


CHECKS = (
    _check(
        "a key moves the switch and a switch the lamp", lambda: keys_both_ways("UDP")
    ),
    _check("the same over TCP", lambda: keys_both_ways("TCP")),
    _check("a phone at either, and keys both ways", phone_here),
    _check(
        "Home Assistant is started anew", lambda: started_again(clean=True), limit=90.0
    ),
    _check(
        "Home Assistant is cut off and started anew",
        lambda: started_again(clean=False),
        limit=90.0,
    ),
    _check("it is restarted, over TCP", restart),
    _check("it is restarted, over UDP", forgotten),
    _check("a wrong password is tried once", wrong_password),
    _check("a server that does not synchronize keys", no_keys),
)
