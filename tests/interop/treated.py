"""Calls by the state of a line's keys, between phones and Asterisk.

The phones are those of tests/phone; Asterisk's dialplan writes down how each call ended
and why it was redirected.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
import tempfile

from custom_components.dfks.features.calls import CallOptions, LineCalls
from custom_components.dfks.features.model import (
    ChangeRequest,
    Feature,
    LineConfig,
    Origin,
)
from custom_components.dfks.features.sync import FeatureSync
from custom_components.dfks.sip import PbxConfig, ServerConfig, SipServer
from custom_components.dfks.sip.clock import LoopClock
from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import Bell, CallState, Phone
from tests.phone.calls import Call
from tests.phone.link import Address

from . import debian
from .asterisk import PROGRAM, write_configuration
from .checks import Check
from .house import no_errors, require, until
from .outbound import ENDPOINT, MODULES, PASSWORD, TRANSPORTS
from .processes import background

PBX = "asterisk"
LINE, CALLER, TARGET = "221", "222", "223"
SECRET = bytes(range(32))

# Seconds of a ring: as short as the options have it.
RING = 5

EXTENSIONS = """\
[phones]
exten => _2XX,1,Log(NOTICE,to ${EXTEN} reason ${REDIRECTING(reason)})
 same => n,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN})},20)
 same => n,Log(NOTICE,at ${EXTEN} status ${DIALSTATUS} cause ${HANGUPCAUSE})
 same => n,ExecIf($["${DIALSTATUS}" = "BUSY"]?Busy(1))
exten => _82XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN:1})},20)
 same => n,Log(NOTICE,at ${EXTEN} greeting ${IF($["${DIALSTATUS}" = "BUSY"]?b:u)})
 same => n,VoiceMail(${EXTEN:1}@default,${IF($["${DIALSTATUS}" = "BUSY"]?b:u)}s)
"""


@dataclass
class House:
    """Asterisk, the server before it with a line whose calls are treated, and phones."""

    pbx: Address
    log: Path
    server: SipServer
    sync: FeatureSync
    calls: LineCalls
    bells: dict[str, list[Bell]] = field(default_factory=dict)

    async def turn_on(
        self, feature: Feature, line: str = LINE, target: str = TARGET
    ) -> None:
        """Turn a feature on that forwards to the target, if it forwards."""
        forward_to = None if feature is Feature.DO_NOT_DISTURB else target
        change = ChangeRequest(
            feature=feature,
            status=True,
            forward_to=forward_to,
            ring_count=1,
            origin=Origin.ENTITY,
        )
        await self.sync.change(line, change)

    async def call(self, number: str = LINE) -> Call:
        """Call the line."""
        return await self.bells[CALLER][0].dial(number)

    async def refused(self, call: Call) -> int:
        """Return what a caller in vain has heard."""
        await self.bells[CALLER][0].until_over(call, CallState.RINGING)
        require(call.state is CallState.REFUSED, f"the call is {call.state}")
        require(call.response is not None, "the caller heard nothing")
        assert call.response is not None
        return call.response.status

    async def noted(self, text: str) -> None:
        """Wait until the dialplan has written something down."""
        await until(
            lambda: text in self.log.read_text(),
            lambda: f"no {text!r} in {self.log.read_text()[-2000:]}",
        )

    def rang(self, user: str) -> int:
        """Return how often the phones of a line were called."""
        return sum(len(bell.calls) for bell in self.bells[user])


@contextlib.asynccontextmanager
async def house(
    phones: int = 1, *, tells_diversions: bool = True
) -> AsyncIterator[House]:
    """Run all of it, with several phones of the line.

    Where Asterisk does not tell of diversions, it says nothing of who has forwarded.
    """
    async with (
        asterisk(tells_diversions=tells_diversions) as (address, log),
        contextlib.AsyncExitStack() as stack,
    ):
        running = await serve(address, log, free_port())

        async def stop() -> None:
            await running.server.stop()

        stack.push_async_callback(stop)
        for user in [LINE] * phones + [CALLER, TARGET]:
            bell = await registered(stack, user, running.server.port, address)
            running.bells.setdefault(user, []).append(bell)
        yield running


async def registered(
    stack: contextlib.AsyncExitStack, user: str, port: int, pbx: Address
) -> Bell:
    """Return a phone that is registered at the PBX through the server on a port."""
    registrar = "{}:{}".format(*pbx)
    phone = Phone(user, PASSWORD, (HOST, port), registrar=registrar)
    await stack.enter_async_context(phone)
    bell = Bell(phone)
    bell.connect()
    response = await phone.register()
    require(response.ok, f"REGISTER got {response.title}")
    return bell


async def subscribe(phone: Phone) -> None:
    """Subscribe to the keys, and wait for the first NOTIFY."""
    while not (await phone.subscribe()).ok:
        # Once Asterisk is asked who synchronizes the keys.
        await asyncio.sleep(1)
    await phone.notification()


@contextlib.asynccontextmanager
async def asterisk(
    *, tells_diversions: bool = True
) -> AsyncIterator[tuple[Address, Path]]:
    """Run Asterisk; yields its address, and the file that its dialplan writes to."""
    with tempfile.TemporaryDirectory() as name, no_errors():
        folder, address = Path(name), (HOST, free_port())
        _write(folder, address, tells_diversions=tells_diversions)
        log = folder / "log" / "messages"
        async with background(
            *debian.command(PROGRAM),
            *("-f", "-C", str(folder / "asterisk.conf")),
            answers=address,
            log=log,
            folder=folder,
        ):
            yield address, log


async def serve(pbx: Address, log: Path, port: int) -> House:
    """Start a server before Asterisk."""
    clock = LoopClock(asyncio.get_running_loop())
    server = SipServer(ServerConfig(host=HOST, port=port), clock)
    sync = FeatureSync(server)
    server.add_package(sync)
    server.add_pbx(PbxConfig(id=PBX, host=pbx[0], port=pbx[1]), SECRET)
    calls = {}
    for user in (LINE, TARGET):
        line = sync.add_line(LineConfig(id=user, user=user, pbx=PBX))
        calls[user] = LineCalls(line, CallOptions(ring_seconds=RING), clock)
        server.proxy.treated.treat(PBX, user, calls[user])
    await server.start()
    return House(pbx, log, server, sync, calls[LINE])


def _write(folder: Path, address: Address, *, tells_diversions: bool) -> None:
    host, port = address
    endpoints = "".join(
        ENDPOINT.format(
            user=user, password=PASSWORD, rewrite="no", path="no", qualify=0
        )
        for user in (LINE, CALLER, TARGET)
    )
    if not tells_diversions:
        kind = "type = endpoint\n"
        endpoints = endpoints.replace(kind, f"{kind}send_diversion = no\n")
    modules = f"{MODULES} app_verbose func_callerid func_logic app_exec app_playtones"
    write_configuration(
        folder,
        f"{modules} app_playback format_wav res_pjsip_diversion",
        {
            "extensions.conf": EXTENSIONS,
            "voicemail.conf": f"[general]\nformat=wav\n[default]\n{LINE} => 1234,Someone\n",
            "pjsip.conf": TRANSPORTS.format(host=host, port=port) + endpoints,
        },
    )


def disturb(status: int, said: str, heard: int) -> Callable[[], Awaitable[str]]:
    """Return what calls a line that is not to be disturbed (P78)."""

    async def check() -> str:
        async with house() as running:
            running.calls.options = CallOptions(busy_status=status)
            await running.turn_on(Feature.DO_NOT_DISTURB)
            got = await running.refused(await running.call())
            require(got == heard, f"the caller heard {got}")
            await running.noted(f"at {LINE} status {said}")
            require(running.rang(LINE) == 0, "the phone rang")
            return f"DIALSTATUS {said}, the caller hears {got}, the phone nothing"

    return check


async def disturb_by_the_key() -> str:
    """Press the key of the phone, call it, and press it again."""
    async with house() as running:
        (bell,) = running.bells[LINE]
        await subscribe(bell.phone)
        require((await bell.phone.set_dnd(True)).ok, "the key was refused")
        got = await running.refused(await running.call())
        require(got == 486, f"the caller heard {got}")
        require(running.rang(LINE) == 0, "the phone rang")
        require((await bell.phone.set_dnd(False)).ok, "the key was refused")
        call = await running.call()
        bell.refuse(await bell.incoming_call())
        await running.refused(call)
        return "busy and silent, and it rings once the key is pressed again"


def circle(*, tells_diversions: bool) -> Callable[[], Awaitable[str]]:
    """Return what calls two lines that forward to each other (P92)."""

    async def check() -> str:
        async with house(tells_diversions=tells_diversions) as running:
            await running.turn_on(Feature.CALL_FORWARDING_ALWAYS, LINE, TARGET)
            await running.turn_on(Feature.CALL_FORWARDING_ALWAYS, TARGET, LINE)
            call = await running.call()
            bells = {user: running.bells[user][0] for user in (LINE, TARGET)}
            await until(
                lambda: running.rang(LINE) + running.rang(TARGET) > 0,
                lambda: f"nothing rings: {running.log.read_text()[-2000:]}",
            )
            await asyncio.sleep(1)
            times = running.rang(LINE) + running.rang(TARGET)
            require(times == 1, f"{times} phones ring")
            user = LINE if running.rang(LINE) else TARGET
            bells[user].pick_up(await bells[user].incoming_call())
            await running.bells[CALLER][0].until(call, CallState.ESTABLISHED)
            turns = running.log.read_text().count("reason cfu")
            return f"{turns} forwardings end in one ring"

    return check


def forward(feature: Feature, reason: str, phones: int) -> Callable[[], Awaitable[str]]:
    """Return what has a call forwarded (P79, P80, P82, P89)."""

    async def check() -> str:
        async with house(phones) as running:
            await running.turn_on(feature)
            call = await running.call()
            if feature is not Feature.CALL_FORWARDING_ALWAYS:
                rings = [await bell.incoming_call() for bell in running.bells[LINE]]
                if feature is Feature.CALL_FORWARDING_BUSY:
                    for bell, ringing in zip(running.bells[LINE], rings, strict=True):
                        bell.refuse(ringing)
            (target,) = running.bells[TARGET]
            incoming = await target.incoming_call(2 * RING)
            target.pick_up(incoming)
            await running.bells[CALLER][0].until(call, CallState.ESTABLISHED)
            await running.noted(f"to {TARGET} reason {reason}")
            await asyncio.sleep(1)
            require(running.rang(TARGET) == 1, f"it rang {running.rang(TARGET)} times")
            if feature is Feature.CALL_FORWARDING_NO_ANSWER:
                for ringing in rings:
                    require(ringing.state is CallState.CANCELLED, "a phone rings on")
            return f"reason {reason}, {phones} phones, the target rang once"

    return check


def with_a_mailbox(
    feature: Feature | None, greeting: str
) -> Callable[[], Awaitable[str]]:
    """Return what calls a line with a mailbox behind it (P78)."""

    async def check() -> str:
        async with house() as running:
            if feature is None:
                running.calls.options = CallOptions(busy_status=480)
            await running.turn_on(Feature.DO_NOT_DISTURB)
            call = await running.call(f"8{LINE}")
            await running.bells[CALLER][0].until(call, CallState.ESTABLISHED)
            await running.noted(f"greeting {greeting}")
            require(running.rang(LINE) == 0, "the phone rang")
            return f"greeting {greeting}, the phone is silent"

    return check


async def killed() -> str:
    """Kill the server while a treated call rings, and start it anew."""
    async with house() as running:
        await running.turn_on(Feature.CALL_FORWARDING_BUSY)
        (bell,) = running.bells[LINE]
        call = await running.call()
        ringing = await bell.incoming_call()
        records, port = running.server.proxy_records(), running.server.port
        await running.server.stop()
        await asyncio.sleep(1)
        clock = LoopClock(asyncio.get_running_loop())
        server = SipServer(ServerConfig(host=HOST, port=port), clock)
        server.add_pbx(
            PbxConfig(id=PBX, host=running.pbx[0], port=running.pbx[1]), SECRET
        )
        await server.start(passed=records)
        running.server = server
        # Asterisk gives up after 20 s.
        await bell.until(ringing, CallState.CANCELLED, 30)
        status = await running.refused(call)
        return f"the phone stopped when Asterisk gave up, the caller hears {status}"


NEEDS = (PROGRAM,)


def _check(title: str, run: Callable[[], Awaitable[str]], limit: float = 40) -> Check:
    return Check(subject="treated", title=title, run=run, needs=NEEDS, limit=limit)


CHECKS = (
    _check("do not disturb is busy", disturb(486, "BUSY", 486)),
    _check("do not disturb is not available", disturb(480, "NOANSWER", 480)),
    _check("do not disturb by the key of the phone", disturb_by_the_key),
    _check("a circle that Asterisk tells of", circle(tells_diversions=True)),
    _check("a circle that Asterisk does not tell of", circle(tells_diversions=False)),
    *(
        _check(f"{title}, {phones} phones", forward(feature, reason, phones))
        for title, feature, reason in (
            ("always", Feature.CALL_FORWARDING_ALWAYS, "cfu"),
            ("busy", Feature.CALL_FORWARDING_BUSY, "cfb"),
            ("no answer", Feature.CALL_FORWARDING_NO_ANSWER, "cfnr"),
        )
        for phones in (1, 2)
    ),
    _check("mailbox behind, busy", with_a_mailbox(Feature.DO_NOT_DISTURB, "b")),
    _check("mailbox behind, not available", with_a_mailbox(None, "u")),
    _check("killed while it rings", killed, 60),
)
