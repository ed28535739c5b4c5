"""The server as outbound proxy between phones that no one here wrote and Asterisk.

It is served by benchmarks/serve.py, so that it can be killed. Asterisk has an endpoint
of each kind that there is: whether it rewrites Contacts, and whether it knows Path.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import signal
import sys
import tempfile

from dev.ports import free_port
from tests.loopback import HOST
from tests.phone import RawPeer, Request, Response, set_dnd
from tests.phone.link import Address
from tests.sip.proxy.mutations import mutated
from tests.sip.proxy.peers import DOMAIN, Pbx, ProxiedPhone

from . import debian
from .asterisk import PROGRAM, write_configuration
from .checks import Check, CheckFailed
from .house import require
from .processes import background
from .programs import BARESIP_CONFIG, BARESIP_MODULES, run_program

SERVE = Path(__file__).parents[2] / "benchmarks" / "serve.py"
PHONE = Path(__file__).parent / "pjsua_phone.py"

# The Python that pjsua2 is installed for, set by scripts/interop where there is one.
PYTHON = os.environ.get("PJSUA_PYTHON", "pjsua2")

PASSWORD = "secret"

# Seconds for anything that is sure to come, and that a server is gone for.
PATIENCE = 8.0
AWAY = 3.0

# Seconds after which phones have said all that they say at the start of a call.
SETTLED = 0.5

# Broken messages of one check.
MUTATED = 100_000
MAX_DATAGRAM = 60_000

SIPP_CALL = Path(__file__).parent / "sipp" / "outbound_call.xml"

# By the first digits of their users.
KINDS = {
    "21": ("yes", "no"),
    "22": ("no", "no"),
    "23": ("no", "yes"),
    "24": ("yes", "yes"),
}

MODULES = """\
app_dial app_echo app_voicemail bridge_simple bridge_builtin_features bridge_native_rtp
bridge_softmix chan_pjsip codec_alaw codec_ulaw format_pcm pbx_config res_pjproject
res_pjsip res_pjsip_authenticator_digest res_pjsip_caller_id res_pjsip_dlg_options
res_pjsip_dialog_info_body_generator res_pjsip_endpoint_identifier_user
res_pjsip_outbound_publish res_pjsip_exten_state res_pjsip_mwi res_pjsip_mwi_body_generator res_pjsip_nat
res_pjsip_path res_pjsip_pidf_body_generator res_pjsip_pubsub res_pjsip_refer
res_pjsip_registrar res_pjsip_sdp_rtp res_pjsip_session res_rtp_asterisk
res_sorcery_astdb res_sorcery_config res_sorcery_memory res_timing_timerfd
"""

EXTENSIONS = """\
[phones]
exten => _2XX,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN})},20)
exten => 99,1,Answer()
 same => n,Echo()
exten => _2XX,hint,PJSIP/${EXTEN}
"""

TRANSPORTS = """\
[udp]
type = transport
protocol = udp
bind = {host}:{port}
[tcp]
type = transport
protocol = tcp
bind = {host}:{port}
"""

ENDPOINT = """\
[{user}]
type = endpoint
context = phones
disallow = all
allow = ulaw,alaw
auth = {user}
aors = {user}
direct_media = no
mailboxes = {user}@default
rewrite_contact = {rewrite}
[{user}]
type = auth
auth_type = userpass
username = {user}
password = {password}
[{user}]
type = aor
max_contacts = 4
qualify_frequency = {qualify}
support_path = {path}
"""


@dataclass
class PjsuaPhone:
    """A phone of pjsip in a process of its own, and what it has told."""

    user: str
    registrar: str
    process: asyncio.subprocess.Process
    seen: list[dict[str, object]] = field(default_factory=list)

    def order(self, what: str, **more: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        line = json.dumps({"do": what, **more})
        self.process.stdin.write(f"{line}\n".encode())

    def call(self, user: str) -> None:
        """Have it call a user."""
        self.order("call", to=f"sip:{user}@{self.registrar}")

    async def until(self, event: str, **wanted: object) -> dict[str, object]:
        """Wait until it tells something that it has not told before."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while line := await self.process.stdout.readline():
                    # pjsip says a word of its own before it is told not to.
                    if not line.startswith(b"{"):
                        continue
                    told: dict[str, object] = json.loads(line)
                    self.seen.append(told)
                    if {"event": event, **wanted}.items() <= told.items():
                        return told
        except TimeoutError:
            pass
        raise CheckFailed(f"{self.user}: no {event} {wanted} in {self.seen[-12:]}")


@contextlib.asynccontextmanager
async def pjsua(
    user: str, registrar: Address, proxy: Address, transport: str
) -> AsyncIterator[PjsuaPhone]:
    """Run a phone that has registered."""
    host, port = registrar
    process = await asyncio.create_subprocess_exec(
        *debian.command(PYTHON),
        *(str(PHONE), user, PASSWORD, f"{host}:{port}"),
        *("{}:{}".format(*proxy), transport),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    phone = PjsuaPhone(user, f"{host}:{port}", process)
    try:
        await phone.until("registered", code=200)
        yield phone
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Outbound:
    """The server in a process of its own, in front of a PBX."""

    pbx: Address
    address: Address
    folder: Path
    domain: str | None = None
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it with what an earlier run has written; wait until it serves."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SERVE), f"--sip-port={self.address[1]}"),
            "--pbx=udp:{}:{}".format(*self.pbx),
            f"--memory={self.folder / 'memory.json'}",
            *([] if self.domain is None else [f"--pbx-domain={self.domain}"]),
            stdout=asyncio.subprocess.PIPE,
            stderr=(self.folder / "errors").open("ab"),
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while await self.process.stdout.readline() != b"ready\n":
                require(self.process.returncode is None, "the server has ended")

    @property
    def said(self) -> str:
        """What it has complained of."""
        return (self.folder / "errors").read_text()

    async def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def be_away(self) -> None:
        """Kill it, and start it after a while."""
        await self.kill()
        await asyncio.sleep(AWAY)
        await self.start()


@contextlib.asynccontextmanager
async def outbound(pbx: Address, domain: str | None = None) -> AsyncIterator[Outbound]:
    """Run this server in front of a PBX on this machine (P71)."""
    with tempfile.TemporaryDirectory() as name:
        server = Outbound(pbx, (HOST, free_port()), Path(name), domain)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


@contextlib.asynccontextmanager
async def asterisk(qualify: int = 2) -> AsyncIterator[Address]:
    """Run Asterisk with endpoints of all kinds.

    It asks each phone whether it is there every `qualify` seconds, and calls none that
    has not answered; 0 is never.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, address = Path(name), (HOST, free_port())
        _write(folder, address, qualify)
        async with background(
            *debian.command(PROGRAM),
            *("-f", "-C", str(folder / "asterisk.conf")),
            answers=address,
            log=folder / "log" / "messages",
            folder=folder,
        ):
            yield address


def _write(folder: Path, address: Address, qualify: int) -> None:
    host, port = address
    users = [f"{kind}{number}" for kind in KINDS for number in (1, 2, 3)]
    text = "".join(
        ENDPOINT.format(
            user=user,
            password=PASSWORD,
            rewrite=KINDS[user[:2]][0],
            path=KINDS[user[:2]][1],
            qualify=qualify,
        )
        for user in users
    )
    boxes = "".join(f"{user} => 1234,Someone\n" for user in users)
    write_configuration(
        folder,
        MODULES,
        {
            "extensions.conf": EXTENSIONS,
            "voicemail.conf": f"[general]\n[default]\n{boxes}",
            "pjsip.conf": TRANSPORTS.format(host=host, port=port) + text,
        },
    )


async def converse(caller: PjsuaPhone, callee: PjsuaPhone) -> None:
    """Call, hold, go on, and have the callee hang up."""
    await connect(caller, callee)
    caller.order("hold")
    await caller.until("media", held=True)
    caller.order("unhold")
    await caller.until("media", held=False)
    await asyncio.sleep(SETTLED)
    callee.order("hangup")
    await gone(caller, callee)


async def connect(caller: PjsuaPhone, callee: PjsuaPhone) -> None:
    """Call, and wait until the call is up and nothing about it is under way."""
    caller.call(callee.user)
    await callee.until("incoming")
    await callee.until("call", state="CONFIRMED")
    await caller.until("call", state="CONFIRMED")
    await asyncio.sleep(SETTLED)


async def gone(*phones: PjsuaPhone) -> None:
    """Wait until a call of each has ended."""
    for phone in phones:
        await phone.until("call", state="DISCONNECTED")


def matrix(kind: str, transport: str) -> Callable[[], Awaitable[str]]:
    """Return what has two phones of a kind of endpoint live a day."""

    async def check() -> str:
        async with (
            asterisk() as pbx,
            outbound(pbx) as server,
            pjsua(f"{kind}1", pbx, server.address, transport) as one,
            pjsua(f"{kind}2", pbx, server.address, transport) as two,
            pjsua(f"{kind}3", pbx, server.address, transport) as three,
        ):
            await one.until("mwi")
            await converse(one, two)
            await converse(two, one)
            # One puts two on hold, calls three, and hands two over.
            await connect(one, two)
            one.order("hold")
            await one.until("media", held=True)
            await connect(one, three)
            one.order("transfer")
            await one.until("transfer", code=200)
            one.order("hangup")
            await gone(one)
            await asyncio.sleep(SETTLED)
            two.order("hangup")
            await gone(two, three)
            return "3 calls, hold, attended transfer, BYE from both sides, MWI"

    return check


def over_a_restart(transport: str) -> Callable[[], Awaitable[str]]:
    """Return what kills this server in a call (P49, P50) and calls anew (P67)."""

    async def check() -> str:
        async with (
            asterisk(qualify=0) as pbx,
            outbound(pbx) as server,
            pjsua("221", pbx, server.address, transport) as one,
            pjsua("222", pbx, server.address, transport) as two,
        ):
            await connect(one, two)
            await server.be_away()
            if transport == "tcp":
                # A phone finds out that its connection is gone, and registers anew.
                await one.until("registered", code=200)
                await two.until("registered", code=200)
            one.order("hold")
            await one.until("media", held=True)
            one.order("unhold")
            await one.until("media", held=False)
            await asyncio.sleep(SETTLED)
            two.order("hangup")
            await gone(one, two)
            await server.be_away()
            if transport == "tcp":
                # Nobody can be called who has no connection; calling takes none.
                await two.until("registered", code=200)
            await connect(one, two)
            one.order("hangup")
            await gone(one, two)
            return f"away for {AWAY:.0f} s twice; hold, BYE and a new call passed"

    return check


async def synchronize() -> str:
    """Press a key of a phone that is registered at Asterisk, and see a lamp pass."""
    async with (
        asterisk() as pbx,
        outbound(pbx) as server,
        await RawPeer.open(server.address, user="221") as phone,
        pjsua("222", pbx, server.address, "udp") as other,
    ):
        domain = "{}:{}".format(*pbx)
        own = {"From": f"<sip:221@{domain}>;tag=one", "To": f"<sip:221@{domain}>"}
        register = phone.request("REGISTER", f"sip:{domain}", own)
        # OPTIONS of Asterisk come in between.
        answered = await _ask(phone, register)
        require(answered.status == 401, f"REGISTER got {answered.status}")
        signed = phone.signed(register, answered, PASSWORD)
        answered = await _ask(phone, signed)
        require(answered.status == 200, f"REGISTER got {answered.status}")
        require(phone.contact.strip("<>") in answered.get("Contact"), "not its Contact")
        subscribe = phone.request("SUBSCRIBE", f"sip:221@{domain}", own)
        answered = await _ask(phone, subscribe)
        require(answered.status == 200, f"as-feature-event got {answered.status}")
        pressed = phone.request(
            "SUBSCRIBE",
            f"sip:221@{domain}",
            own
            | {
                "To": answered.get("To"),
                "CSeq": "2 SUBSCRIBE",
                "Call-ID": answered.call_id,
            },
            set_dnd(on=True),
        )
        answered = await _ask(phone, pressed)
        require(answered.status == 200, f"the key got {answered.status}")
        await _told(phone, "NOTIFY", b"<doNotDisturbOn>true<")
        lamp = phone.request(
            "SUBSCRIBE",
            f"sip:222@{domain}",
            own | {"To": f"<sip:222@{domain}>", "Event": "dialog"},
        )
        answered = await _ask(phone, lamp)
        answered = await _ask(phone, phone.signed(lamp, answered, PASSWORD))
        require(answered.status == 200, f"dialog got {answered.status}")
        other.call("99")
        await _told(phone, "NOTIFY", b"confirmed")
        await _told(phone, "OPTIONS", b"")
        return "DND answered here, lamp and OPTIONS of Asterisk passed"


async def _ask(phone: RawPeer, data: bytes) -> Response:
    """Send a request; requests that come first are answered."""
    phone.send(data)
    while isinstance(message := await phone.next(), Request):
        phone.answer(message)
    return message


async def _told(phone: RawPeer, method: str, text: bytes) -> None:
    """Wait for a request with a text in its body; all are answered."""
    async with asyncio.timeout(PATIENCE):
        while True:
            message = await phone.next()
            if isinstance(message, Request):
                phone.answer(message)
                if message.method == method and text in message.body:
                    return


async def banning() -> str:
    """Try a wrong password twenty times at a PBX that would ban this address (P69)."""
    async with (
        await RawPeer.open((HOST, 9), user="pbx") as pbx,
        outbound(pbx.local) as server,
        await RawPeer.open(server.address, user="221") as phone,
    ):
        seen = 0

        async def refuse() -> None:
            nonlocal seen
            while True:
                request = await pbx.next_request(timeout=60)
                seen += request.method == "REGISTER"
                pbx.link.remote = pbx.source
                pbx.answer(request, 403)

        task = asyncio.create_task(refuse())
        try:
            domain = "{}:{}".format(*pbx.local)
            for number in range(20):
                own = {
                    "To": f"<sip:221@{domain}>",
                    "Authorization": f'Digest username="221", nonce="{number}"',
                }
                answer = await _ask(phone, phone.request("REGISTER", None, own))
                require(answer.status in (401, 403), f"it got {answer.status}")
        finally:
            task.cancel()
        require(seen <= 6, f"the PBX has seen {seen} wrong passwords")
        return f"{seen} of 20 wrong passwords have reached the PBX"


def baresip(transport: str) -> Callable[[], Awaitable[str]]:
    """Return what registers baresip at Asterisk through this server."""

    async def check() -> str:
        async with asterisk() as pbx, outbound(pbx) as server:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                account = "<sip:221@{}:{}>".format(*pbx)
                proxy = "sip:{}:{}".format(*server.address)
                (folder / "accounts").write_text(
                    f'{account};auth_pass={PASSWORD};regint=600;outbound="{proxy};'
                    f'transport={transport}"\n'
                )
                config = BARESIP_CONFIG.format(modules=BARESIP_MODULES)
                (folder / "config").write_text(config)
                (folder / "contacts").touch()
                await run_program(
                    *("baresip", "-f", name),
                    shows="[1 binding]",
                    folder=folder,
                )
        return "registered with a digest challenge"

    return check


async def sipp_call() -> str:
    """Have sipp register and call Asterisk's echo through this server."""
    async with asterisk() as pbx, outbound(pbx) as server:
        with tempfile.TemporaryDirectory() as name:
            await run_program(
                *("sipp", "-sf", str(SIPP_CALL), "-m", "3", "-nostdin", "-r", "5"),
                *("-s", "221", "-au", "221", "-ap", PASSWORD),
                *("-key", "domain", "{}:{}".format(*pbx)),
                *("-i", HOST, "-p", str(free_port()), "-timeout", "15"),
                "-timeout_error",
                "{}:{}".format(*server.address),
                folder=Path(name),
            )
    return "3 calls with two challenges each"


async def mutated_messages() -> str:
    """Send a hundred thousand broken messages from a phone and its PBX (P109)."""
    chance = random.Random(2)
    async with (
        await Pbx.listen() as pbx,
        outbound(pbx.local, DOMAIN) as server,
        await ProxiedPhone.open(server.address) as phone,
        await RawPeer.open(server.address, local=("127.0.0.2", 0)) as third,
        await RawPeer.open(server.address) as pacer,
    ):
        us = "sip:{}:{}".format(*server.address)
        pbx.towards(server.address[1])
        registration = await pbx.register(phone)
        phone.send(phone.request("INVITE"))
        invite = await pbx.next_request()
        seeds = {
            phone: [
                phone.request("REGISTER"),
                phone.request("INVITE"),
                phone.request("SUBSCRIBE", None, {"Event": RawPeer.package}),
                phone.request("SUBSCRIBE", None, {"Event": "dialog"}),
                phone.request("BYE", None, {"Route": invite.values("Record-Route")}),
            ],
            pbx: [
                pbx.call(registration),
                pbx.call(registration, "NOTIFY", {"Event": "dialog"}),
                invite.response(200).encode(),
                registration.response(200).encode(),
            ],
        }
        name = f"127.0.0.2:{third.local[1]}".encode()
        came = 0
        for number in range(MUTATED):
            peer = chance.choice([phone, pbx])
            data = mutated(chance.choice(seeds[peer]), chance)
            peer.send(data.replace(b"127.0.0.2:9", name)[:MAX_DATAGRAM])
            if number % 50 == 49:
                # So that none is lost on the way.
                answer = await pacer.ask(pacer.request("OPTIONS", us))
                require(answer.status == 200, f"OPTIONS got {answer.status}")
                came += phone.drain() + pbx.drain()
        await third.silence()
        await asyncio.sleep(SETTLED)
        came += phone.drain() + pbx.drain()
        await pbx.register(phone)
        await server.kill()
        require(not server.said, f"it said: {server.said}")
    return f"{MUTATED} sent, {came} came through or were answered, none to others"


NEEDS = (PROGRAM, PYTHON)
NAMES = {
    "21": "rewrites Contacts",
    "22": "keeps Contacts",
    "23": "keeps Contacts, knows Path",
    "24": "rewrites Contacts, knows Path",
}

CHECKS = (
    *(
        Check(
            subject="outbound",
            title=f"Asterisk {NAMES[kind]}, pjsip over {transport.upper()}",
            run=matrix(kind, transport),
            needs=NEEDS,
        )
        for kind in KINDS
        for transport in ("udp", "tcp")
    ),
    Check(
        subject="outbound",
        title="killed in a call, phones on UDP",
        run=over_a_restart("udp"),
        needs=NEEDS,
        limit=60,
    ),
    Check(
        subject="outbound",
        title="killed in a call, phones on TCP",
        run=over_a_restart("tcp"),
        needs=NEEDS,
        limit=60,
    ),
    Check(
        subject="outbound",
        title="a key, a lamp and OPTIONS",
        run=synchronize,
        needs=NEEDS,
    ),
    Check(subject="outbound", title="a PBX that bans", run=banning),
    Check(
        subject="outbound",
        title="broken messages of phone and PBX",
        run=mutated_messages,
        limit=150,
    ),
    *(
        Check(
            subject="outbound",
            title=f"baresip over {transport.upper()}",
            run=baresip(transport),
            needs=(PROGRAM, "baresip"),
        )
        for transport in ("udp", "tcp")
    ),
    Check(
        subject="outbound",
        title="calls of sipp",
        run=sipp_call,
        needs=(PROGRAM, "sipp"),
    ),
)
