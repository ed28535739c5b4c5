"""kamailio between phones and Home Assistant, as docs/behind-a-proxy.md has it.

The configurations are taken out of the document and run as they are, but for addresses
and ports.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
import contextlib
from pathlib import Path
import re
import tempfile

from custom_components.dfks.features.model import Feature
from custom_components.dfks.sip import ServerConfig
from custom_components.dfks.sip.access.guard import parse_networks
from dev.ports import free_port
from tests.loopback import HOST, PASSWORDS
from tests.phone import BUSY, DND, Phone, Request, parse
from tests.phone.link import Address

from . import debian
from .checks import Check, CheckFailed
from .house import House, house, lamps_of, require, require_clean, until, until_equal
from .processes import background

DOCUMENT = Path(__file__).parents[2] / "docs" / "behind-a-proxy.md"

# Kamailio asks for no rport in its own Via; it need not.
NOT_OURS = "Via without rport"

# The machine's, which is Debian 12's, and a newer one.
KAMAILIO = "kamailio"
KAMAILIO_6 = f"{debian.TESTING}kamailio"

# Where the phones are: kamailio knows the PBX by its address.
PHONES = "127.0.0.4"

TRUSTING = ServerConfig(host=HOST, port=0, trusted_proxies=parse_networks(HOST))
ASKING = ServerConfig(host=HOST, port=0)


def documented(title: str, language: str, document: Path = DOCUMENT) -> str:
    """Return the first block of a language behind a heading of a document."""
    _, _, section = document.read_text().partition(f"\n## {title}\n")
    match = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    if match is None:
        raise CheckFailed(f"{document.name} has no {language} under {title!r}")
    return match[1]


REGISTRAR = "Kamailio as registrar"
EDGE = "Kamailio in front of a PBX"


@contextlib.asynccontextmanager
async def kamailio(
    title: str,
    home_assistant: Address,
    *,
    pbx: Address | None = None,
    tcp: bool = False,
    edits: Mapping[str, str] | None = None,
    program: str = KAMAILIO,
) -> AsyncIterator[Address]:
    """Run a configuration of the document; gives the address that it listens on.

    `tcp` lets it speak TCP to Home Assistant. `edits` replace texts of it. `program` is
    KAMAILIO or KAMAILIO_6.
    """
    address = HOST, free_port()
    transport = ";transport=tcp" if tcp else ""
    places = {
        "192.168.1.20:5060": f"{home_assistant[0]}:{home_assistant[1]}{transport}",
        "192.168.1.10": HOST,
        "192.168.1.30": HOST,
        "KAMAILIO_IP:5060": f"KAMAILIO_IP:{address[1]}",
        "PBX_PORT!5060": f"PBX_PORT!{pbx[1] if pbx else 0}",
        **(edits or {}),
    }
    text = documented(title, "kamailio")
    for old, new in places.items():
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kamailio.cfg"
        path.write_text(text)
        modules: tuple[str, ...] = ()
        if program == KAMAILIO_6:
            modules = ("-L", str(debian.libraries() / "kamailio" / "modules"))
        async with background(
            *debian.command(program),
            # In the foreground, with few and small children.
            *("-f", str(path), "-DD", "-E", "-Y", folder, *modules),
            *("-n", "1", "-N", "2", "-m", "32", "-M", "4"),
            answers=address,
            folder=Path(folder),
        ):
            yield address


# The phones


def desk_phone(
    proxy: Address,
    user: str = "201",
    *,
    transport: str = "udp",
    contact: str | None = None,
    aor_in_dialog: bool = False,
) -> Phone:
    """Return a phone that knows nothing but the proxy."""
    return Phone(
        user,
        PASSWORDS[user],
        proxy,
        transport=transport,
        contact=contact,
        local=(PHONES, 0),
        aor_in_dialog=aor_in_dialog,
    )


@contextlib.asynccontextmanager
async def desk_phones(proxy: Address) -> AsyncIterator[list[Phone]]:
    """Put four phones on the network: three of one line, one of another.

    One can be reached over its own TCP connection alone, one writes its own address
    into the requests of a dialog.
    """
    unreachable = f"<sip:201@{HOST}:9;transport=tcp>"
    phones = [
        desk_phone(proxy),
        desk_phone(proxy, transport="tcp", contact=unreachable),
        desk_phone(proxy, aor_in_dialog=True),
        desk_phone(proxy, "202"),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for phone in phones:
            await stack.enter_async_context(phone)
        yield phones


async def sign_on(phone: Phone) -> None:
    """Register and subscribe, and wait for the full state."""
    response = await phone.register()
    require(response.ok, f"REGISTER got {response.title}")
    response = await phone.subscribe()
    require(response.ok, f"SUBSCRIBE got {response.title}")
    notification = await phone.notification()
    require(len(notification.documents) == 4, "the first NOTIFY is no full state")


async def use_keys(running: House, phones: Sequence[Phone]) -> None:
    """Press keys on phones and switches in the house, and look at all lamps."""
    first, second, third, stranger = phones
    for phone in phones:
        await sign_on(phone)
    require((await first.set_dnd(True)).ok, "the DND key was refused")
    await until_equal(running, phones)
    require((await second.set_forward("busy", True, "2424")).ok, "refused over TCP")
    await until_equal(running, phones)
    require(first.features[BUSY].target == "2424", "the first phone was not told")
    await running.switch("201", Feature.DO_NOT_DISTURB, on=False)
    await until_equal(running, phones)
    require(not third.features[DND].on, "the third phone was not told")
    require((await third.set_dnd(True)).ok, "refused with its own address in it")
    require((await third.refresh()).ok, "the refresh was refused")
    await until_equal(running, phones)
    require(not stranger.features[DND].on, "another line's phone was told")
    require(running.line().watchers == 3, "there are not three watchers")


async def sign_off(running: House, phones: Sequence[Phone]) -> None:
    """Unsubscribe all, and see the subscriptions end."""
    for phone in phones:
        require((await phone.unsubscribe()).ok, "unsubscribing was refused")
    await until(
        lambda: not any(line.watchers for line in running.sync.lines.values()),
        "a subscription is left",
    )

    def states() -> set[str]:
        return {phone.notifications[-1].state for phone in phones}

    await until(lambda: states() == {"terminated"}, lambda: f"states: {states()}")
    require_clean(phones, NOT_OURS)


def subscribes(running: House) -> list[Request]:
    """Return what came to Home Assistant; all of it must be as-feature-event."""
    requests = [
        message
        for message in map(parse, running.server.received)
        if isinstance(message, Request)
    ]
    others = [
        request.title
        for request in requests
        if (request.method, request.get("Event")) != ("SUBSCRIBE", "as-feature-event")
    ]
    require(not others, f"Home Assistant got {others}")
    return requests


def figures(running: House, phones: Sequence[Phone]) -> str:
    """Say how much went through."""
    notifies = sum(len(phone.notifications) for phone in phones)
    return f"{len(phones)} phones, {len(subscribes(running))} SUBSCRIBEs, {notifies} NOTIFYs"


# The checks


async def passwords_at_kamailio(*, tcp: bool = False, program: str = KAMAILIO) -> str:
    """Let kamailio ask for the passwords, and Home Assistant trust it."""
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address, tcp=tcp, program=program) as proxy,
        desk_phones(proxy) as phones,
    ):
        await use_keys(running, phones)
        await sign_off(running, phones)
        return figures(running, phones)


async def strangers_at_kamailio() -> str:
    """See wrong passwords and other people's lines end at kamailio."""
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address) as proxy,
    ):
        wrong = Phone("201", "guessed", proxy)
        other = Phone("201", PASSWORDS["202"], proxy, auth_name="202")
        nobody = Phone("203", "", proxy)
        async with wrong, other, nobody:
            statuses = [
                (await phone.subscribe()).status for phone in (wrong, other, nobody)
            ]
            require(statuses == [401, 403, 401], f"they got {statuses}")
            foreign = await wrong.request(
                "SUBSCRIBE",
                headers=[("Event", "presence"), ("Contact", wrong.contact)],
                authenticate=False,
            )
            require(foreign.status == 407, f"presence got {foreign.title}")
        require(not running.server.received, "something came to Home Assistant")
        return f"answered {statuses}, none of it came here"


async def digest_passed_through() -> str:
    """Let Home Assistant ask for the passwords, behind kamailio."""
    edits = {"#!define WITH_AUTH\n": ""}
    async with (
        house(ASKING) as running,
        kamailio(REGISTRAR, running.address, edits=edits) as proxy,
        desk_phones(proxy) as phones,
    ):
        await use_keys(running, phones)
        await sign_off(running, phones)
        asked = [not request.has("Authorization") for request in subscribes(running)]
        require(not all(asked), "nobody answered a challenge")
        async with Phone("201", "guessed", proxy) as wrong:
            status = (await wrong.subscribe()).status
        require(status == 401, f"a wrong password got {status}")
        return figures(running, phones)


async def two_proxies() -> str:
    """Put one kamailio in front of another: several Vias, two Record-Routes."""
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address) as registrar,
        kamailio(EDGE, registrar, pbx=registrar) as edge,
        desk_phones(edge) as phones,
    ):
        await use_keys(running, phones)
        vias = {len(request.values("Via")) for request in subscribes(running)}
        routes = {
            len(request.values("Record-Route"))
            for request in subscribes(running)
            if not request.to_tag
        }
        require(vias == {3}, f"there were {vias} Vias")
        # A proxy between TCP and UDP writes one for each side.
        require(routes == {2, 3}, f"there were {routes} Record-Routes")
        await sign_off(running, phones)
        return f"{figures(running, phones)}, 3 Vias"


async def path() -> str:
    """Register at Home Assistant through an access proxy."""
    async with (
        house(ASKING) as running,
        kamailio(EDGE, running.address, pbx=running.address) as edge,
        desk_phone(edge) as phone,
    ):
        response = await phone.request(
            "REGISTER",
            uri=phone.server_uri,
            dialog=phone.registration,
            headers=[("Contact", phone.contact), ("Supported", "path")],
        )
        require(response.ok, f"REGISTER got {response.title}")
        paths = response.values("Path")
        require(len(paths) == 1 and f":{edge[1]};lr" in paths[0], f"Path is {paths}")
        require((await phone.subscribe()).ok, "SUBSCRIBE was refused")
        await phone.notification()
        await until_equal(running, [phone])
        require_clean([phone], NOT_OURS)
        return f"Path {paths[0]}"


async def strict_route() -> str:
    """Let kamailio write a Record-Route without lr, as routers of RFC 2543 do."""
    edits = {
        "\trecord_route();\n\t$du": (
            '\tinsert_hf("Record-Route: <sip:KAMAILIO_IP:$Rp>\\r\\n");\n\t$du'
        )
    }
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address, edits=edits) as proxy,
        desk_phone(proxy) as phone,
    ):
        await sign_on(phone)
        [route] = subscribes(running)[0].values("Record-Route")
        require(";lr" not in route, f"Record-Route is {route}")
        require((await phone.set_dnd(True)).ok, "the DND key was refused")
        await running.switch(
            "201", Feature.CALL_FORWARDING_BUSY, on=False, forward_to="7"
        )
        await until_equal(running, [phone])
        await sign_off(running, [phone])
        return f"Record-Route {route}, {len(phone.notifications)} NOTIFYs"


async def idle_connection() -> str:
    """Let kamailio close its TCP connection to Home Assistant, as it does when idle."""
    edits = {"children=4\n": "children=4\ntcp_connection_lifetime=1\n"}
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address, tcp=True, edits=edits) as proxy,
        desk_phone(proxy) as first,
        desk_phone(proxy) as second,
    ):
        await sign_on(first)
        await sign_on(second)
        require(running.server.connections == 1, "there is not one connection")
        await until(lambda: not running.server.connections, "it stays", 15.0)
        require(running.line().watchers == 2, "a watcher was given up")
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until_equal(running, [first, second])
        opened = running.server.connections
        require(opened == 1, f"{opened} connections were opened instead of one")
        await sign_off(running, [first, second])
        return "closed by kamailio, opened here for the next NOTIFYs"


async def named_route() -> str:
    """Let kamailio write a name into Record-Route, with TCP to Home Assistant."""
    edits = {
        "\trecord_route();\n\t$du": (
            '\trecord_route_preset("localhost:$Rp;transport=tcp");\n\t$du'
        ),
        "auto_aliases=no\n": "auto_aliases=no\nalias=localhost\n",
    }
    async with (
        house(TRUSTING) as running,
        kamailio(REGISTRAR, running.address, tcp=True, edits=edits) as proxy,
        desk_phone(proxy, transport="tcp") as first,
        desk_phone(proxy, transport="tcp") as second,
    ):
        await sign_on(first)
        await sign_on(second)
        [route] = subscribes(running)[0].values("Record-Route")
        await running.switch("201", Feature.DO_NOT_DISTURB, on=True)
        await until_equal(running, [first, second])
        opened = running.server.connections
        require(opened == 1, f"there are {opened} connections instead of one")
        await sign_off(running, [first, second])
        return f"Record-Route {route}, one connection"


async def restart(*, tcp: bool = False) -> str:
    """Start Home Assistant anew behind kamailio: dialogs and routes are remembered."""
    port = free_port()
    config = ServerConfig(host=HOST, port=port, trusted_proxies=parse_networks(HOST))
    async with (
        kamailio(REGISTRAR, (HOST, port), tcp=tcp) as proxy,
        desk_phones(proxy) as phones,
    ):
        async with house(config) as running:
            for phone in phones:
                await sign_on(phone)
            await phones[0].set_dnd(True)
            await until_equal(running, phones)
            memory = await running.server.records()
            lines = running.sync.lines.items()
            states = {line_id: line.states() for line_id, line in lines}
        for phone in phones:
            phone.features.clear()
        async with house(config, memory=memory, states=states) as running:
            await until_equal(running, phones)
            # The answers of the phones may still be on their way.
            received = running.server.received
            await until(lambda: bool(received), "nothing came")
            require(not received[0].startswith(b"SUBSCRIBE"), "too early")
            require((await phones[2].set_dnd(False)).ok, "the DND key was refused")
            await until_equal(running, phones)
            require(lamps_of(running.line())[DND].on is False, "the key did nothing")
            await sign_off(running, phones)
            return f"{len(phones)} phones told in their old dialogs"


def _check(
    title: str, run: Callable[[], Awaitable[str]], program: str = KAMAILIO
) -> Check:
    return Check(subject="kamailio", title=title, run=run, needs=(program,))


CHECKS = (
    _check("digest there, Home Assistant trusts it", passwords_at_kamailio),
    _check(
        "the same with TCP between the two", lambda: passwords_at_kamailio(tcp=True)
    ),
    _check(
        "the same with kamailio 6",
        lambda: passwords_at_kamailio(program=KAMAILIO_6),
        KAMAILIO_6,
    ),
    _check("wrong passwords and other lines end there", strangers_at_kamailio),
    _check("digest passed through", digest_passed_through),
    _check("two proxies in a row: three Vias, several Routes", two_proxies),
    _check("as an access proxy: Path", path),
    _check("as a strict router: Record-Route without lr", strict_route),
    _check("it closes an idle TCP connection", idle_connection),
    _check("it is known by name in Record-Route, over TCP", named_route),
    _check("a restart of Home Assistant behind it", restart),
    _check("the same with TCP between the two", lambda: restart(tcp=True)),
)
