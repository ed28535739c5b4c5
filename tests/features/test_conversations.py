"""What phones are known to send: each variant of it is taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
import tomllib
from typing import Literal, TypedDict
from urllib.parse import quote
import uuid

import pytest

from custom_components.dfks.features.model import Feature, FeatureState, Line
from tests.clock import ManualClock
from tests.floors.caller import FeatureCaller
from tests.loopback import HOST
from tests.phone import Digest, Lamp, Request, Response, branch
from tests.phone.checks import check_response, parse_documents
from tests.phone.wire import address, parse
from tests.server import line_config, running_server

PASSWORD = "secret"
FILL = "x" * 2000

type Told = Literal["all"] | list[str]


class Stored(TypedDict, total=False):
    """What is stored of a feature."""

    on: bool
    to: str
    rings: int


class Step(TypedDict, total=False):
    """One request and what it leads to, as the data file explains it."""

    where: Literal["new", "dialog", "same call", "again"]
    phone: int
    method: str
    uri: Literal["line"]
    headers: dict[str, str | list[str]]
    message: str
    line_end: Literal["LF"]
    body: str
    charset: str
    status: int
    expires: int
    told: Told
    told_too: Told
    ends: str
    stored: dict[str, Stored]


class Conversation(TypedDict):
    """A phone's conversation with the server, on a line of its own."""

    name: str
    user: str
    transport: str
    step: list[Step]


def conversations() -> list[object]:
    """Return all of the data file."""
    path = Path(__file__).parent.parent / "data" / "conversations.toml"
    read = tomllib.loads(path.read_text("utf-8"))["conversation"]
    return [
        pytest.param({"user": "201", "transport": "udp"} | each, id=each["name"])
        for each in read
    ]


@dataclass(kw_only=True)
class Talker:
    """A phone's side: what it remembers from one request to the next."""

    caller: FeatureCaller
    user: str
    port: int
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    cseq: int = 0
    sender: str = ""
    to: str = ""
    target: str = ""
    last: bytes = b""
    answered: bytes = b""

    @property
    def aor(self) -> str:
        """The line's address."""
        return f"sip:{quote(self.user, safe='+')}@{HOST}:{self.port}"

    def write(self, step: Step) -> bytes:
        """Write the request of a step."""
        where = step.get("where", "dialog" if self.target else "new")
        if where == "again":
            return self.last
        if where == "new":
            self.tag, self.call_id = uuid.uuid4().hex[:12], uuid.uuid4().hex
        if where != "dialog":
            self.sender, self.to, self.target = (
                f"<{self.aor}>;tag={self.tag}",
                f"<{self.aor}>",
                "",
            )
        self.cseq += 1
        body = step.get("body", "").replace("{fill}", FILL)
        octets = body.encode(step.get("charset", "ISO-8859-1"), "xmlcharrefreplace")
        method = step.get("method", "SUBSCRIBE")
        uri = self.aor if "uri" in step else self.target or self.aor
        known = self._known(method, uri, octets)
        if "message" in step:
            head = _filled(step["message"], known)
        else:
            head = self._head(step, known)
        line_end = "\n" if step.get("line_end") == "LF" else "\r\n"
        self.last = head.replace("\n", line_end).encode() + line_end.encode() + octets
        return self.last

    def _known(self, method: str, uri: str, body: bytes) -> dict[str, str]:
        """Return what changes from run to run, by the names of the data file."""
        host, port = self.caller.local
        return {
            "method": method,
            "uri": uri,
            "local": f"{host}:{port}",
            "branch": branch(),
            "aor": self.aor,
            "tag": self.tag,
            "from": self.sender,
            "to": self.to,
            "call_id": self.call_id,
            "cseq": str(self.cseq),
            "contact": self.caller.contact,
            "authorization": self.caller.digest.authorization(method, uri),
            "length": str(len(body)),
        }

    def _head(self, step: Step, known: Mapping[str, str]) -> str:
        """Write a head with the usual header fields and what differs from them."""
        via = f"SIP/2.0/{self.caller.link.name} {{local}};branch={{branch}};rport"
        fields: dict[str, str | list[str]] = {
            "Via": via,
            "Max-Forwards": "70",
            "From": "{from}",
            "To": "{to}",
            "Call-ID": "{call_id}",
            "CSeq": "{cseq} {method}",
            "Contact": "{contact}",
            "Expires": "600",
            "User-Agent": "Some-Phone/1.0",
            "Authorization": "{authorization}",
            "Content-Length": "{length}",
        }
        if known["method"] == "SUBSCRIBE":
            fields["Event"] = "as-feature-event"
            fields["Accept"] = "application/x-as-feature-event+xml"
        if "body" in step:
            fields["Content-Type"] = "application/x-as-feature-event+xml"
        fields |= step.get("headers", {})
        lines = [f"{name}: {text}" for name, text in fields.items() if text]
        return _filled("\n".join(["{method} {uri} SIP/2.0", *lines, ""]), known)

    def learn(self, response: Response) -> None:
        """Remember what the answer adds to the dialog."""
        self.answered = response.raw
        if self.target or not response.has("Contact"):
            return
        self.sender, self.to = response.get("From"), response.get("To")
        self.target = address(response.get("Contact"))


def _filled(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.mark.parametrize("conversation", conversations())
async def test_a_phone_may_say_this(
    clock: ManualClock, conversation: Conversation
) -> None:
    """Each step gets its answer and its NOTIFY, and leaves the state that is due."""
    user, transport = conversation["user"], conversation["transport"]
    lines = [line_config(user, PASSWORD)]
    escaped = quote(user, safe="+")
    async with (
        running_server(clock, lines=lines) as (_, sync, port),
        await FeatureCaller.open((HOST, port), transport, user=escaped) as first,
        await FeatureCaller.open((HOST, port), transport, user=escaped) as second,
    ):
        talkers = []
        for caller in (first, second):
            caller.digest = Digest(username=user, password=PASSWORD)
            await caller.log_in()
            talkers.append(Talker(caller=caller, user=user, port=port))
        line = sync.lines[f"line-{user}"]
        stored: dict[Feature, FeatureState] = {}

        for step in conversation["step"]:
            # Nobody presses keys so fast that it has to be damped.
            clock.advance(2)
            number = step.get("phone", 1) - 1
            talker, other = talkers[number], talkers[1 - number]
            for name, value in step.get("stored", {}).items():
                stored[Feature(name)] = state_of(value)

            await check_step(talker, step, line)
            await check_told(other, step.get("told_too", []), line)

            assert line.states() == stored


def state_of(value: Stored) -> FeatureState:
    """Return the state that the data file names."""
    target = value.get("to", "").replace("{fill}", FILL)
    return FeatureState(value["on"], target, value.get("rings", 3))


async def check_step(talker: Talker, step: Step, line: Line) -> None:
    """Send a step's request and look at all that comes of it."""
    octets = talker.write(step)
    request = parse(octets)
    assert isinstance(request, Request)

    response = await talker.caller.ask(octets)

    assert response.status == step.get("status", 200), response.title
    assert check_response(request, response) == []
    granted = step.get("expires", request.number("Expires"))
    if request.method == "SUBSCRIBE":
        assert response.number("Expires") == granted
    if step.get("where") == "again":
        assert response.raw == talker.answered
    talker.learn(response)
    for notify in await check_told(talker, step.get("told", []), line):
        assert notify.uri == address(request.get("Contact"))
        assert notify.get("Event") == request.get("Event")
        assert notify.get("To") == talker.sender
        assert notify.from_tag == response.to_tag
        assert notify.get_all("Route") == request.get_all("Record-Route")
        assert notify.get("Subscription-State") == (
            f"terminated;reason={step['ends']}"
            if "ends" in step
            else f"active;expires={granted}"
        )


async def check_told(talker: Talker, told: Told, line: Line) -> list[Request]:
    """Look at the NOTIFY that a phone has got, if one is due; it answers with 200."""
    came = await talker.caller.so_far()
    requests = [message for message in came if isinstance(message, Request)]
    assert len(came) == len(requests) == (1 if told else 0)
    features = list(Feature) if told == "all" else [Feature(name) for name in told]
    for request in requests:
        talker.caller.answer(request)
        documents, violations = parse_documents(request)
        assert request.violations + violations == []
        assert [(doc.feature, doc.lamp) for doc in documents] == [
            (feature, lamp_of(feature, line)) for feature in features
        ]
        devices = {doc.fields["device"] for doc in documents}
        assert devices == {line.user}
    return requests


def lamp_of(feature: Feature, line: Line) -> Lamp:
    """Return what a phone should show of a feature."""
    state = line.state(feature)
    rings = feature is Feature.CALL_FORWARDING_NO_ANSWER
    return Lamp(state.status, state.forward_to, state.ring_count if rings else None)
