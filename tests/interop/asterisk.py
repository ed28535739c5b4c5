"""Asterisk as the PBX behind kamailio, with the endpoints of docs/behind-a-proxy.md.

It is of Debian testing: stable releases have none.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
import contextlib
from dataclasses import dataclass
from pathlib import Path
import tempfile

from custom_components.dfks.sip import ServerConfig
from dev.ports import free_port
from tests.loopback import HOST, PASSWORDS
from tests.phone import Bell, CallState, Phone
from tests.phone.link import Address

from . import debian
from .checks import Check
from .house import house, require
from .kamailio import (
    EDGE,
    KAMAILIO,
    KAMAILIO_6,
    desk_phones,
    documented,
    figures,
    kamailio,
    sign_off,
    use_keys,
)
from .processes import background

PROGRAM = f"{debian.TESTING}asterisk"

# The realm of its passwords, which Home Assistant is to have as well.
REALM = "asterisk"
ASKING = ServerConfig(host=HOST, port=0, realm=REALM)

# Seconds that a call stays up once it is picked up.
TALK = 0.3

# What it logs when a request of its own comes back to it and is challenged.
CHALLENGED = "Cannot respond to authentication challenge"

# How FreePBX sets an endpoint up.
FREEPBX = {"rewrite_contact = no": "rewrite_contact = yes", "support_path = yes": ""}

# What it takes to register phones and to call them.
MODULES = """\
pbx_config pbx_spool app_dial bridge_simple codec_alaw chan_pjsip
res_pjproject res_pjsip res_pjsip_authenticator_digest res_pjsip_caller_id
res_pjsip_endpoint_identifier_user res_pjsip_nat res_pjsip_path res_pjsip_pubsub
res_pjsip_registrar res_pjsip_sdp_rtp res_pjsip_session res_rtp_asterisk
res_sorcery_astdb res_sorcery_config res_sorcery_memory res_timing_timerfd
"""

# All phones of a line ring.
EXTENSIONS = """\
[phones]
exten => _X.,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN})},10)
"""

TRANSPORT = """\
[udp]
type = transport
protocol = udp
bind = {host}:{port}
"""

CALL = """\
Channel: Local/{user}@phones
Application: Wait
Data: {seconds}
"""


@dataclass(frozen=True)
class Pbx:
    """A running Asterisk."""

    address: Address
    folder: Path

    @property
    def log(self) -> Path:
        """What it says of warnings and errors."""
        return self.folder / "log" / "messages"

    def call(self, user: str) -> None:
        """Call all phones of a line, as a call from outside does."""
        path = self.folder / "spool" / f"{user}.call"
        path.write_text(CALL.format(user=user, seconds=TALK))
        # It takes a file that is moved there, whole, at once.
        path.rename(self.folder / "spool" / "outgoing" / path.name)


def endpoints() -> str:
    """Return the endpoint of the document, once for each line."""
    text = documented("Asterisk", "ini")
    user, password = next(iter(PASSWORDS.items()))
    require(password in text, "the document has another password for its endpoint")
    return "\n".join(
        text.replace(password, other_password).replace(user, other)
        for other, other_password in PASSWORDS.items()
    )


@contextlib.asynccontextmanager
async def asterisk(edits: Mapping[str, str] | None = None) -> AsyncIterator[Pbx]:
    """Run it with the endpoints of the document; `edits` replace texts of the first."""
    text = endpoints()
    for old, new in (edits or {}).items():
        require(old in text, f"the endpoint of the document has no {old!r}")
        text = text.replace(old, new, 1)
    with tempfile.TemporaryDirectory() as name:
        pbx = Pbx((HOST, free_port()), Path(name))
        _write(pbx, text)
        async with background(
            *debian.command(PROGRAM),
            *("-f", "-C", str(pbx.folder / "asterisk.conf")),
            answers=pbx.address,
            log=pbx.log,
            folder=pbx.folder,
        ):
            yield pbx


def _write(pbx: Pbx, text: str) -> None:
    host, port = pbx.address
    write_configuration(
        pbx.folder,
        MODULES,
        {
            "extensions.conf": EXTENSIONS,
            "pjsip.conf": f"{TRANSPORT.format(host=host, port=port)}\n{text}",
        },
    )


def write_configuration(folder: Path, modules: str, files: Mapping[str, str]) -> None:
    """Write what Asterisk is to be run with, all of it in one folder."""
    for name in ("keys", "log", "run", "spool/outgoing", "spool/tmp"):
        (folder / name).mkdir(parents=True)
    places = {
        "astetcdir": folder,
        "astmoddir": debian.libraries() / "asterisk" / "modules",
        "astvarlibdir": folder,
        "astdbdir": folder,
        "astkeydir": folder,
        "astdatadir": debian.testing() / "usr" / "share" / "asterisk",
        "astspooldir": folder / "spool",
        "astrundir": folder / "run",
        "astlogdir": folder / "log",
    }
    common = {
        "asterisk.conf": "\n".join(
            ["[directories]", *(f"{key} => {path}" for key, path in places.items())]
        ),
        "modules.conf": "\n".join(
            ["[modules]", "autoload = no"]
            + [f"load = {module}.so" for module in modules.split()]
        ),
        "logger.conf": "[logfiles]\nmessages => error,warning,notice",
    }
    for name, content in {**common, **files}.items():
        (folder / name).write_text(f"{content}\n")


async def take_call(pbx: Pbx, user: str, bells: list[Bell]) -> int:
    """Call a line, and let one phone take the call; return how many phones rang."""
    pbx.call(user)
    called = [bell for bell in bells if bell.phone.user == user]
    (bell, call), *others = [(bell, await bell.incoming_call()) for bell in called]
    bell.pick_up(call)
    await bell.until_over(call, CallState.PICKED_UP)
    for other, missed in others:
        await other.until(missed, CallState.CANCELLED)
    await bell.until(call, CallState.ENDED)
    return len(called)


def connected(phones: list[Phone]) -> list[Bell]:
    """Let phones take calls."""
    bells = [Bell(phone) for phone in phones]
    for bell in bells:
        bell.connect()
    return bells


async def behind(program: str) -> str:
    """Register phones that know nothing of Path, use their keys and call them."""
    async with (
        house(ASKING) as running,
        asterisk() as pbx,
        kamailio(EDGE, running.address, pbx=pbx.address, program=program) as edge,
        desk_phones(edge) as phones,
    ):
        await use_keys(running, phones)
        bells = connected(phones)
        rang = [await take_call(pbx, user, bells) for user in PASSWORDS]
        await sign_off(running, phones)
        return f"{figures(running, phones)}; {sum(rang)} of {len(phones)} phones rang"


async def without_path() -> str:
    """See that an endpoint as FreePBX makes it is not reached, as the document says."""
    async with (
        house(ASKING) as running,
        asterisk(FREEPBX) as pbx,
        kamailio(EDGE, running.address, pbx=pbx.address) as edge,
        desk_phones(edge) as phones,
    ):
        for phone in phones:
            response = await phone.register()
            require(response.ok, f"REGISTER got {response.title}")
        bells = connected(phones)
        pbx.call("201")
        await take_call(pbx, "202", bells)
        rang = [bell for bell in bells if bell.phone.user == "201" and bell.calls]
        require(not rang, "a phone rang: the document is wrong")
        require(CHALLENGED not in pbx.log.read_text(), "kamailio sends calls back")
        return "the other endpoint's phone rang, none of its own did"


def _check(title: str, run: Callable[[], Awaitable[str]], program: str) -> Check:
    return Check(subject="asterisk", title=title, run=run, needs=(PROGRAM, program))


CHECKS = (
    _check(
        "behind kamailio 5: keys, and calls ring", lambda: behind(KAMAILIO), KAMAILIO
    ),
    _check("behind kamailio 6: the same", lambda: behind(KAMAILIO_6), KAMAILIO_6),
    _check("behind kamailio without Path: no call arrives", without_path, KAMAILIO),
)
