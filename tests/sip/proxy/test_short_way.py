"""The short way through the proxy: the same as the long one, or not taken."""

from collections.abc import Callable
import dataclasses
import random
import re
from typing import Any, Final, Literal, cast, override

import pytest

from custom_components.dfks.sip.addresses import OwnAddresses
from custom_components.dfks.sip.clock import Timers
from custom_components.dfks.sip.proxy.core import Proxy
from custom_components.dfks.sip.proxy.location import ProxyBinding
from custom_components.dfks.sip.proxy.pbx import PbxConfig, Upstream
from custom_components.dfks.sip.proxy.policy import CallPlan, IncomingCall
from custom_components.dfks.sip.proxy.tokens import Tokens
from custom_components.dfks.sip.transaction.client import ClientTransactions
from custom_components.dfks.sip.transport.flow import Flow, FlowError
from custom_components.dfks.sip.transport.udp import UdpFlow, UdpSocket
from tests.clock import ManualClock

from .mutations import mutated

PACKAGE: Final = "as-feature-event"
OUR_PORT: Final = 5060
LOCAL: Final = ("192.0.2.1", OUR_PORT)
PHONE: Final = ("192.0.2.21", 5062)
MOVED_PHONE: Final = (PHONE[0], 40_000)
OTHER_PHONE: Final = ("192.0.2.22", 5060)
PBX: Final = ("192.0.2.5", 5060)
DOMAIN: Final = "pbx.example"
SDP: Final = "v=0\r\no=- 1 1 IN IP4 192.0.2.21\r\ns=-\r\nm=audio 40000 RTP/AVP 8\r\n"

# Messages of the comparison; 100,000 have been compared, too.
MESSAGES: Final = 2000

type Side = Literal["phone", "pbx"]


class NoSocket:
    """Stands in the place of a socket."""

    closed = False

    def send(self, data: bytes, address: tuple[str, int], local: str) -> None:
        """Send nothing."""


class Stream(Flow):
    """A phone's connection."""

    transport = "TCP"
    reliable = True
    closed = False

    def __init__(self, remote: tuple[str, int]) -> None:
        """Be open."""
        self.remote = remote
        self.local = LOCAL

    @override
    def send(self, data: bytes) -> None:
        """Send nothing."""


class Ports:
    """What is bound."""

    port = OUR_PORT
    tls_port = 0


class Plan:
    """Has calls watched while they ring."""

    def plan(self, call: IncomingCall) -> CallPlan | None:
        """Keep a call."""
        return CallPlan(kept=True)

    def ask(self, call: IncomingCall, take: object) -> bool:
        """Ask nobody."""
        return False

    def dialled(self, number: str) -> None:
        """Need not know."""

    def redirected(self, call: IncomingCall) -> None:
        """Need not know."""


class World:
    """A proxy, and all that it says to the world around it."""

    def __init__(self, *, short: bool) -> None:
        """Pass between phones and one PBX, by the short way or not."""
        self.said: list[object] = []
        self.short_ways = self.stays = 0
        self.clock = ManualClock()
        timers = Timers(self.clock)
        addresses = OwnAddresses(Ports(), None, None)
        self.sent_by = addresses.sent_by
        self.is_own = addresses.is_own
        self.proxy = Proxy(
            self.clock,
            timers,
            Tokens(bytes(32)),
            self,
            (PACKAGE,),
            ClientTransactions(self.clock, timers),
            lambda: self.said.append("changed"),
        )
        # Of a connection the number is in the branch.
        self.proxy._back._count = 0
        config = PbxConfig(id="pbx", host=PBX[0], port=PBX[1], domains=(DOMAIN,))
        self.proxy.add_upstream(Upstream(config, self, timers, self, self))  # type: ignore[arg-type]
        self.proxy.observe(self)
        self.proxy.is_own_dialog = lambda call_id: call_id == "call-3"
        take = self.proxy._short_way.take

        def counted(data: bytes, flow: Flow) -> bool | None:
            taken = take(data, flow) if short else None
            self.short_ways += taken is True
            self.stays += taken is False
            return taken

        self.proxy._short_way.take = counted  # type: ignore[method-assign]

    # What the proxy asks for

    def send(self, data: bytes, flow: Flow) -> None:
        """Write down what is sent, and where to."""
        if flow.closed:
            raise FlowError(0, "closed")
        self.said.append((data, flow.transport, flow.remote))

    def accepted(self, binding: ProxyBinding, before: ProxyBinding | None) -> None:
        """Write down what a PBX has accepted."""
        self.said.append(("accepted", _told(binding), before and _told(before)))

    def flow_from_here(self, host: str, port: int) -> Flow:
        """Return the way to the PBX."""
        return udp((host, port))

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Write down whatever else is told."""

        def told(*values: object, **more: object) -> None:
            seen = [_told(it) if isinstance(it, ProxyBinding) else it for it in values]
            self.said.append((name, seen, more))

        return told

    # What the test asks for

    def watch(self) -> None:
        """Have the calls of the line followed."""
        self.proxy.calls.watch(frozenset({("pbx", "201")}), cast("Any", self))

    def leave_keys(self) -> None:
        """Have the PBX synchronize the keys."""
        upstream = self.proxy.upstreams["pbx"]
        upstream.config = dataclasses.replace(upstream.config, keys_here=False)

    def ask_about_keys(self) -> None:
        """Have the next SUBSCRIBE ask who synchronizes the keys."""
        upstream = self.proxy.upstreams["pbx"]
        upstream.ask_about_keys(self.said.append)

    def take(self, data: bytes, flow: Flow) -> tuple[bool, list[object]]:
        """Hand a message to the proxy; return whether it took it, and what it said."""
        self.said.clear()
        taken = self.proxy.take(data, flow)
        return taken, list(self.said)

    def state(self) -> object:
        """Return what the proxy knows."""
        proxy = self.proxy
        return (
            proxy.location.records(),
            list(proxy._back._sources),
            [
                (branch, dataclasses.replace(pending, upstream=None, flow=None))  # type: ignore[arg-type]
                for branch, pending in proxy.registrations._pending.items()
            ],
            {key: it.times for key, it in proxy.registrations._refusals.items()},
            list(proxy.calls._legs),
            list(proxy.calls._asked),
            list(proxy.treated.kept),
            proxy.upstreams["pbx"].reachable,
        )


def _told(binding: ProxyBinding) -> object:
    return binding._replace(flow=cast("Flow", binding.flow.remote))


def udp(remote: tuple[str, int]) -> UdpFlow:
    """Return the flow of a datagram, a new object each time."""
    return UdpFlow(cast("UdpSocket", NoSocket()), remote, LOCAL)


class Pair:
    """The same proxy twice, of which one knows the long way alone."""

    def __init__(self) -> None:
        """Start both with nothing known."""
        self.short = World(short=True)
        self.long = World(short=False)

    def both(self, do: Callable[[World], object]) -> None:
        """Do the same to both."""
        for world in (self.short, self.long):
            do(world)

    def take(self, data: bytes, flow: Flow) -> list[bytes]:
        """Hand a message to both, compare, and return what was sent."""
        taken = self.short.take(data, flow)
        assert taken == self.long.take(data, flow), data
        assert self.short.state() == self.long.state(), data
        return [
            said[0] for said in taken[1] if isinstance(said, tuple) and _is_sent(said)
        ]


def _is_sent(said: tuple[Any, ...]) -> bool:
    return isinstance(said[0], bytes)


# Messages as phones and PBXs write them, each part in one of several ways.


class Writer:
    """Writes messages; what is usual comes more often than what is not."""

    def __init__(self, chance: random.Random) -> None:
        """Choose by `chance`."""
        self._chance = chance
        self._count = 0
        # How often a part of the message is not the usual one: half are usual in all.
        self._odds = 0.0
        # Record-Route values of calls that were passed, and what a PBX was told to call.
        self.routes: dict[Side, list[str]] = {"phone": [], "pbx": []}
        self.contacts: list[str] = []

    def one_of[Part](self, usual: Part, *others: Part) -> Part:
        """Return the usual part, or now and then another."""
        chance = self._chance
        return chance.choice(others) if chance.random() < self._odds else usual

    def request(self, side: Side, method: str) -> bytes:
        """Write a request of a phone or of the PBX."""
        self._count += 1
        self._odds = self._chance.choice((0.0, 0.15))
        one_of = self.one_of
        is_ours = method == "KEYS"
        if is_ours:
            method = one_of("SUBSCRIBE", "PUBLISH")
        in_dialog = method in ("ACK", "BYE", "INFO", "UPDATE") or one_of(
            is_ours and self._chance.random() < 0.7, True, False
        )
        host, port = PHONE if side == "phone" else PBX
        branch = one_of(
            f"z9hG4bK{self._count}",
            "z9hG4bK-524287-1---a.b~",
            "z9hG4bK",
            "1",
            "z9hg4bkx",
        )
        sent_by = one_of(
            f"{host}:{port}", host, "10.0.0.1:5060", "Phone.Local", "[::1]"
        )
        via = one_of(
            f"{sent_by};branch={branch};rport",
            f"{sent_by};rport;branch={branch}",
            f"{sent_by};branch={branch}",
            f"{sent_by};branch={branch};alias",
            f"{sent_by};rport;branch={branch};rport",
            f"{sent_by};received=1.2.3.4;branch={branch};rport",
            f"{sent_by} ;branch = {branch};RPORT",
            f"{sent_by};branch={branch}, SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKx",
            f"{sent_by};branch={branch};rport\r\nVia: SIP/2.0/TCP 10.1.1.1;branch=z9hG4bKx",
        )
        name = one_of("", '"Reception" ', "Reception ", '"a\\"b" ', '"x')
        tag = ";tag=t" if in_dialog else ""
        lines = [
            f"Max-Forwards: {one_of('70', '1', '0', '255', '256', '070', 'x')}",
            f"From: {name}<sip:{one_of('201', '202', '')}@{DOMAIN}>;tag={self._count % 7}",
            f"To: {one_of('', name)}<sip:{one_of('202', '201')}@{DOMAIN}>{tag}",
            f"Call-ID: {one_of(f'call-{self._count % 5}', 'a b', '')}",
            f"CSeq: {one_of(str(self._count), '01')} {one_of(method, 'INVITE')}",
        ]
        if method == "REGISTER":
            lines[1:3] = [
                f"From: {name}<sip:201@{DOMAIN}>;tag=r",
                f"To: {name}<sip:{one_of('201', '202')}@{one_of(DOMAIN, 'PBX.example')}>",
            ]
            if one_of(True, False):
                credentials = 'Digest username="201", realm="a, b", response="x"'
                lines.append(f"Authorization: {credentials}")
        if method == "REGISTER" or one_of(True, False):
            lines.append(f"Contact: {self._contact()}")
        if one_of(method == "REGISTER", True, False):
            lines.append(f"Expires: {one_of('3600', '0', '60', 'x')}")
        if is_ours or method in ("SUBSCRIBE", "NOTIFY"):
            usual = PACKAGE if is_ours else "dialog"
            event = one_of(
                usual, "dialog", PACKAGE, "message-summary", "as-Feature-Event;id=1"
            )
            lines.append(f"Event: {event}")
        routed = in_dialog and not (is_ours and self._chance.random() < 0.5)
        if (routed and one_of(True, False)) or one_of(False, True):
            lines += self._routes(side)
        lines += one_of(
            ["User-Agent: Yealink SIP-T54W 96.86.0.100", "Allow: INVITE, ACK"],
            ["Supported: replaces", "Allow: INVITE"],
            ["Proxy-Require: x"],
            ["Record-Route: <sip:edge.example;lr>"],
            ["X-Odd: \t\xff", "P-Asserted-Identity: <sip:a@b>"],
            ["i: other", "t: <sip:9@x>;tag=9"],
            ["v: SIP/2.0/UDP 9.9.9.9"],
            ["Subject: a\r\n folded"],
        )
        if one_of(False, True):
            self._chance.shuffle(lines)
        body = SDP if method == "INVITE" else one_of("", "x")
        length = one_of(str(len(body)), "0", "1", "99999")
        lines.append(one_of(f"Content-Length: {length}", f"l: {length}", "Date: now"))
        uri = self._uri(side, method)
        if is_ours:
            # Where a phone finds us, and the Contact of our answer.
            token = "".join(re.findall(r"sip:([0-9a-z]+)@", self._routes(side)[0]))
            uri = one_of(
                f"sip:201@{LOCAL[0]}",
                f"sip:{LOCAL[0]}:{OUR_PORT}",
                f"sip:{token}@{LOCAL[0]}",
                uri,
            )
        head = "\r\n".join(
            [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {via}", *lines]
        )
        head = one_of(head, head.replace("\r\n", "\n"), head.lower())
        return f"{head}\r\n\r\n{body}".encode("latin-1")

    def _contact(self) -> str:
        uri = self.one_of(
            "sip:201@{}:{}".format(*PHONE),
            "sip:{}:{}".format(*PHONE),
            "sip:201@192.0.2.21;transport=udp;line=abc",
            "sip:%32@192.0.2.21:1;fk=0123456789ab",
        )
        return self.one_of(
            f"<{uri}>",
            f"<{uri}>;expires=60",
            f'<{uri}>;+sip.instance="<urn:uuid:1>";reg-id=1',
            f'"201" <{uri}>',
            uri,
            "*",
            f"<{uri}>, <sip:201@192.0.2.99>;expires=0",
            f"<{uri}>\r\nContact: <sip:b@192.0.2.98>",
            "<sip:201",
        )

    def _uri(self, side: Side, method: str) -> str:
        if side == "phone":
            user = "" if method == "REGISTER" else "202@"
            return self.one_of(
                f"sip:{user}{DOMAIN}",
                f"sip:{user}{PBX[0]}:{PBX[1]}",
                f"sip:{user}{LOCAL[0]}:{OUR_PORT}",
                f"sips:{user}{DOMAIN}",
                "tel:+4930123456",
                "sip:elsewhere.example",
                "sip:0123456789ab@192.0.2.1",
            )
        mirrored = self._chance.choice(self.contacts or ["sip:201@192.0.2.21:5062"])
        return self.one_of(
            mirrored,
            "sip:201@192.0.2.21:5062",
            f"sip:201@{LOCAL[0]}:{OUR_PORT}",
            f"sip:{LOCAL[0]}:{OUR_PORT}",
            f"sip:201@{LOCAL[0]}:{OUR_PORT};fk=0123456789ab",
        )

    def _routes(self, side: Side) -> list[str]:
        known = self.routes[side]
        ours = (
            self._chance.choice(known) if known else f"<sip:{LOCAL[0]}:{OUR_PORT};lr>"
        )
        return self.one_of(
            [f"Route: {ours}"],
            [f"Route: <sip:{LOCAL[0]}:{OUR_PORT};lr>"],
            [f"Route: <sip:{LOCAL[0]};transport=tcp;lr>"],
            [f"Route: {ours}", f"Route: {ours}"],
            [f"Route: {ours}, <sip:edge.example;lr>"],
            [f"Route: {ours}", "Route: <sip:edge.example;lr>"],
            [f"Route: {ours}", "Route: <sip:edge.example>"],
            ["Route: <sip:edge.example;lr>", f"Route: {ours}"],
            [f"Route:  {ours} "],
            [f"route: {ours}"],
            ["Route: <sip:ffffffffffff@192.0.2.1;lr>"],
        )

    def response(self, passed: bytes) -> bytes:
        """Write the answer of whoever got a request that was passed."""
        self._odds = self._chance.choice((0.0, 0.15))
        one_of = self.one_of
        head = passed.partition(b"\r\n\r\n")[0].decode("latin-1")
        lines = head.split("\r\n")
        method = lines[0].partition(" ")[0]
        echoed = [
            line
            for line in lines[1:]
            if re.match(r"(?i)(via|v|from|f|to|t|call-id|i|cseq|record-route):", line)
        ]
        if one_of(True, False):
            echoed.sort(key=lambda line: not line.lower().startswith("via"))
        if one_of(False, True):
            # As some stacks write them.
            echoed = [
                re.sub(
                    r"(;branch=[^;]*);rport=(\d+);received=([^;]*)",
                    r";rport=\2;received=\3\1",
                    line,
                )
                for line in echoed
            ]
        usual = "200" if method != "REGISTER" or one_of(True, False) else "401"
        if self._chance.random() < 0.1:
            # Not what we wrote.
            old, new = self._chance.choice(
                [
                    ("Via: SIP/2.0/UDP 192.0.2.1:", "Via: SIP/2.0/UDP 192.0.2.9:"),
                    ("bKu", "bKp"),
                    ("bKu", "bKu0"),
                    ("bKp", "bKp0"),
                    ("192.0.2.21;", "192.0.2.22;"),
                ]
            )
            echoed = [line.replace(old, new) for line in echoed]
        status = one_of(usual, "100", "180", "401", "403", "486", "999", "2x")
        lines = [f"SIP/2.0 {status}{one_of(' Whatever', '')}", *echoed]
        contacts = re.findall(r"(?i)\r\ncontact: ([^\r\n]*)", head)
        for contact in contacts:
            expires = one_of(";expires=3600", "", ";expires=0", ";expires=x")
            value = one_of(
                contact + expires, contact, contact.replace("192.0.2", "10.0.0")
            )
            lines.append(f"{one_of('Contact', 'm', 'contact')}: {value}")
        if method == "REGISTER":
            lines += one_of([], ["Expires: 1800"], ["Contact: <sip:other@192.0.2.77>"])
            lines += one_of([], ['WWW-Authenticate: Digest realm="a", stale=true'])
        lines += one_of(
            [], ["Server: Asterisk"], ["CSeq: 1 NOTIFY"], ["l: 5"], ["X:\t"]
        )
        body = one_of("", SDP)
        lines.append(f"Content-Length: {one_of(len(body), 0, 10_000)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")

    def remember(self, passed: bytes) -> None:
        """Use what a message says in later ones."""
        head = passed.partition(b"\r\n\r\n")[0].decode("latin-1")
        routes = re.findall(r"\r\nRecord-Route: ([^\r\n,]*)", head)
        for side in ("phone", "pbx"):
            self.routes[side] = (self.routes[side] + routes)[-6:]
        if head.startswith("REGISTER"):
            self.contacts = (
                self.contacts + re.findall(r"(sip:[^>\s]*;fk=[0-9a-f]{12})", head)
            )[-4:]


def accepted(register: bytes) -> bytes:
    """Return a plain 200 to a REGISTER that was passed."""
    answer = re.sub(rb"^.*\r\n", b"SIP/2.0 200 OK\r\n", register, count=1)
    return answer.replace(b"Max-Forwards", b"X")


METHODS: Final = ["INVITE", "ACK", "BYE", "CANCEL", "INFO", "UPDATE", "OPTIONS"]
METHODS_OF: Final[dict[Side, list[str]]] = {
    "phone": [*METHODS, *["REGISTER"] * 4, "SUBSCRIBE", "KEYS", "MESSAGE", "ODD"],
    "pbx": [*METHODS, "NOTIFY", "NOTIFY", "MESSAGE", "REGISTER"],
}


def converse(
    seed: int, count: int, *, faults: float = 0.0, keys: float = 0.0
) -> tuple[int, int, int]:
    """Have both proxies take messages.

    `faults` is the share that is mutated, `keys` the share that synchronizes keys.
    Returns how many passed, how many of those by the short way, and how many were found
    to be for the server itself.
    """
    chance = random.Random(seed)
    pair, writer = Pair(), Writer(chance)
    waiting: list[tuple[Side, bytes]] = []
    passed = 0
    if chance.random() < 0.3:
        pair.both(lambda world: world.proxy.treated.treat("pbx", "201", Plan()))
    if chance.random() < 0.3:
        pair.both(World.watch)
    if chance.random() < 0.3:
        pair.both(World.ask_about_keys)
    if chance.random() < 0.2:
        pair.both(World.leave_keys)
    for number in range(count):
        if number < 2:
            # The line is registered to begin with.
            side: Side = "phone" if number == 0 else "pbx"
            data = Writer(random.Random(3)).request("phone", "REGISTER")
            if number:
                data = accepted(waiting.pop()[1])
        elif waiting and chance.random() < 0.6:
            side, data = waiting.pop(chance.randrange(len(waiting)))
            if chance.random() < 0.95:
                data = writer.response(data)
            elif chance.random() < 0.5:
                # What comes back may have lost the Vias below ours.
                data = re.sub(rb"(?<=\r\n)Via: (?!.*z9hG4bK[up]).*\r\n", b"", data)
        else:
            side = chance.choice(("phone", "pbx"))
            method = chance.choice(METHODS_OF[side])
            if chance.random() < keys:
                side, method = "phone", "KEYS"
            data = writer.request(side, method)
        if number > 1 and chance.random() < faults:
            data = mutated(data, chance)
        remote = PBX if side == "pbx" else PHONE
        if b"event: as-feature" in data.lower() and chance.random() < 0.2:
            remote = MOVED_PHONE
        if number > 1 and chance.random() < 0.05:
            remote = chance.choice([PBX, PHONE, MOVED_PHONE, OTHER_PHONE])
        for sent in pair.take(data, udp(remote)):
            passed += 1
            writer.remember(sent)
            if not sent.startswith(b"SIP/2.0"):
                other: Side = "pbx" if side == "phone" else "phone"
                waiting = [*waiting[-20:], (other, sent)]
        if chance.random() < 0.02:
            seconds = chance.choice((1, 40, 4000))
            pair.both(lambda world, by=seconds: world.clock.advance(by))  # type: ignore[misc]
    return passed, pair.short.short_ways, pair.short.stays


@pytest.mark.requirement("P10", "P21")
@pytest.mark.parametrize("faults", [0.0, 0.3], ids=["whole", "mutated"])
def test_the_short_way_is_the_long_one_or_not_taken(faults: float) -> None:
    """Octets, destinations, what is told and what is known, message by message."""
    seeds = range(MESSAGES // 100)
    counts = [converse(seed, 100, faults=faults) for seed in seeds]
    passed, short, _ = map(sum, zip(*counts, strict=True))
    assert passed > MESSAGES / 3
    assert short > passed / 5


@pytest.mark.requirement("P10", "P21")
def test_what_the_short_way_finds_to_be_for_the_server_itself_is() -> None:
    """A phone's SUBSCRIBE for keys is not read a second time."""
    counts = [converse(seed, 100, keys=0.8) for seed in range(MESSAGES // 100)]
    assert sum(stays for _, _, stays in counts) > 0.23 * MESSAGES


@pytest.mark.requirement("P112")
def test_keys_go_to_the_pbx_of_the_binding_that_a_route_names() -> None:
    """Whoever the phone calls itself, and from whatever port, where its PBX has them."""
    pair = Pair()
    register = Writer(random.Random(3)).request("phone", "REGISTER")
    (registering,) = pair.take(register, udp(PHONE))
    pair.take(accepted(registering), udp(PBX))
    pair.both(World.leave_keys)
    (binding,) = pair.short.proxy.location
    subscribe = (
        f"SUBSCRIBE sip:{LOCAL[0]}:{OUR_PORT} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {PHONE[0]}:{PHONE[1]};branch=z9hG4bK1;rport\r\n"
        f"Max-Forwards: 70\r\nRoute: <sip:{binding.token}@{LOCAL[0]};lr>\r\n"
        f"From: <sip:reception@{DOMAIN}>;tag=f\r\nTo: <sip:201@{DOMAIN}>;tag=t\r\n"
        f"Call-ID: c\r\nCSeq: 2 SUBSCRIBE\r\nEvent: {PACKAGE}\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    (passed,) = pair.take(subscribe.encode(), udp(MOVED_PHONE))

    assert passed.startswith(b"SUBSCRIBE ")


# Via, and the lines below those that all have, of phones and PBXs as they write them.
USUAL: Final[dict[str, tuple[Side, str, list[str]]]] = {
    "Yealink": (
        "phone",
        "SIP/2.0/UDP 192.0.2.21:5062;branch=z9hG4bK1745632390;rport",
        [
            "User-Agent: Yealink SIP-T54W 96.86.0.100",
            "Allow-Events: talk,hold,conference",
        ],
    ),
    "Snom": (
        "phone",
        "SIP/2.0/UDP 192.0.2.21:5062;branch=z9hG4bK-7h3k0pz1v8qg;rport",
        [
            "User-Agent: snomD735/10.1.175.16",
            "X-Serialnumber: 000413A1B2C3",
            "Supported: path",
        ],
    ),
    "Grandstream": (
        "phone",
        "SIP/2.0/UDP 192.0.2.21:5062;branch=z9hG4bK1023404930;rport",
        [
            "Supported: replaces, path, timer, eventlist",
            "User-Agent: Grandstream GXP2170",
        ],
    ),
    "baresip": (
        "phone",
        "SIP/2.0/UDP 192.0.2.21:5062;branch=z9hG4bK8d1f0a2b3c4d5e6f;rport",
        ["User-Agent: baresip v3.16.0 (x86_64/Linux)", "Supported: gruu,replaces"],
    ),
    "pjsua": (
        "phone",
        "SIP/2.0/UDP 192.0.2.21:5062;rport;branch=z9hG4bKPjX2-aBc.dEf;alias",
        ["Session-Expires: 1800", "Min-SE: 90", 'Authorization: Digest username="201"'],
    ),
    "Asterisk": (
        "pbx",
        "SIP/2.0/UDP 192.0.2.5:5060;rport;branch=z9hG4bKPj4f7d2b1e-9c3a",
        [
            "P-Asserted-Identity: <sip:202@pbx.example>",
            "User-Agent: Asterisk PBX 22.1.0",
        ],
    ),
    "FreeSWITCH": (
        "pbx",
        "SIP/2.0/UDP 192.0.2.5;rport;branch=z9hG4bKXg7c0tQ2cU7UK",
        [
            "X-FS-Support: update_display",
            'Remote-Party-ID: "x" <sip:202@a>;party=calling',
        ],
    ),
    "FRITZ!Box": (
        "pbx",
        "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK4C4DF7F0B1",
        ["User-Agent: AVM FRITZ!Box 7590 154.08.02", "Expires: 120"],
    ),
}


@pytest.fixture
def world() -> World:
    """Return a proxy at which a phone has registered."""
    world = World(short=True)
    writer = Writer(random.Random(3))
    _, said = world.take(writer.request("phone", "REGISTER"), udp(PHONE))
    assert isinstance(said[0], tuple)
    world.take(accepted(said[0][0]), udp(PBX))
    assert len(world.proxy.location) == 1
    world.short_ways = 0
    return world


@pytest.mark.requirement("P108")
@pytest.mark.parametrize(
    "method", ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO"]
)
@pytest.mark.parametrize("name", USUAL)
def test_requests_and_answers_of_a_call_take_the_short_way(
    world: World, name: str, method: str
) -> None:
    """As phones and PBXs write them."""
    side, via, lines = USUAL[name]
    (binding,) = world.proxy.location
    uri = "sip:202@pbx.example"
    if side == "pbx":
        uri = f"sip:201@192.0.2.1:5060;fk={binding.token}"
    tag = "" if method in ("INVITE", "CANCEL", "OPTIONS") else ";tag=t"
    body = SDP if method == "INVITE" else ""
    head = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f'From: "Reception" <sip:201@{DOMAIN}>;tag=f',
        f"To: <sip:202@{DOMAIN}>{tag}",
        "Call-ID: 3848276298220188511@192.0.2.21",
        f"CSeq: 1 {method}",
        "Contact: <sip:201@192.0.2.21:5062>",
        *lines,
        f"Content-Length: {len(body)}",
    ]
    here, there = (PHONE, PBX) if side == "phone" else (PBX, PHONE)
    _, said = world.take("\r\n".join([*head, "", body]).encode(), udp(here))
    passed = next(it for it in said if isinstance(it, tuple) and _is_sent(it))
    assert passed[2] == there
    if method != "ACK":
        echoed = re.findall(rb"(?:Via|From|To|Call-ID|CSeq): .*\r\n", passed[0])
        answer = [b"SIP/2.0 180 Ringing\r\n", *echoed, b"Content-Length: 0\r\n\r\n"]
        _, said = world.take(b"".join(answer), udp(there))
        assert said[0][2] == here  # type: ignore[index]
    assert world.short_ways == (1 if method == "ACK" else 2)
