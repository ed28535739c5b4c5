"""A PBX that synchronizes feature keys itself, as FreeSWITCH or OpenSIPS do.

It owns the state of each line, tells it to every subscription, and does with what phones
ask for what `decide` says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import override
import uuid
import xml.etree.ElementTree as ET

from tests.phone.documents import CONTENT_TYPE, NAMESPACE
from tests.phone.wire import Request, address, parse

from .pbx import Address, SimulatedPbx, _user

DND = "DoNotDisturb"
TYPES = {
    "CallForwardingAlways": "forwardImmediate",
    "CallForwardingBusy": "forwardBusy",
    "CallForwardingNoAnswer": "forwardNoAns",
}


@dataclass(frozen=True, kw_only=True)
class KeyState:
    """What the PBX has stored of one feature."""

    on: bool = False
    target: str = ""
    rings: int | None = None


type States = dict[str, KeyState]

# What a PBX makes of a wish: the state to store, None where it refuses with 500.
type Decide = Callable[[str, str, KeyState], KeyState | None]


@dataclass(eq=False, kw_only=True)
class Watcher:
    """One subscription."""

    user: str
    request: Request
    source: Address
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    cseq: int = 0


class KeyPbx(SimulatedPbx):
    """A PBX that takes subscriptions to `as-feature-event`."""

    def __init__(self, users: Mapping[str, str], **settings: object) -> None:
        """Know users and their passwords; all features are off."""
        super().__init__(users, **settings)  # type: ignore[arg-type]
        self.knows_keys = True
        self.full_state = True
        """Whether the first NOTIFY tells everything; else it has no body."""
        self.refuses: int | None = None
        """What it answers to all subscriptions, where that is no 2xx."""
        self.ignores: set[str] = set()
        """Users whose subscriptions it does not answer at all."""
        self.decide: Decide = lambda user, feature, wish: wish
        self.states: dict[str, States] = {
            user: {DND: KeyState(), **{name: KeyState() for name in TYPES}}
            for user in users
        }
        self.watchers: list[Watcher] = []
        self.asked: list[bytes] = []
        """The bodies that phones have sent."""

    def set(self, user: str, feature: str, **values: object) -> None:
        """Change a feature from the PBX's side, and tell all phones."""
        states = self.states[user]
        states[feature] = replace(states[feature], **values)  # type: ignore[arg-type]
        self._tell_all(user, feature)

    def forget(self) -> None:
        """Lose all subscriptions, as in a restart."""
        self.watchers.clear()

    @override
    def _subscribe(self, request: Request, source: Address) -> None:
        if _user(address(request.get("To"))) in self.ignores:
            return
        if self.refuses is not None or not self.knows_keys:
            self._answer(request, source, self.refuses or 489)
            return
        if not self._has_password(request, source):
            return
        watcher = self._watcher(request, source)
        if watcher is None:
            self._answer(request, source, 481)
            return
        expires = int(request.get("Expires", "3600"))
        wish = self._wish(request)
        if request.body and wish is None:
            self._answer(request, source, 500)
            return
        self._answer(
            request,
            source,
            200,
            ("Expires", str(min(expires, self.max_expires))),
            ("Contact", "<sip:{}:{}>".format(*self.address)),
            tag=watcher.tag,
        )
        if not expires:
            self.watchers.remove(watcher)
        elif wish is not None:
            feature, state = wish
            self.states[watcher.user][feature] = state
            self._tell_all(watcher.user, feature)
        else:
            self._tell(watcher, [*self.states[watcher.user]] if self.full_state else [])

    def _watcher(self, request: Request, source: Address) -> Watcher | None:
        """Return the subscription that a request is of; a new one without a To tag."""
        if request.to_tag:
            for watcher in self.watchers:
                if watcher.tag == request.to_tag:
                    return watcher
            return None
        watcher = Watcher(
            user=_user(address(request.get("To"))), request=request, source=source
        )
        self.watchers.append(watcher)
        return watcher

    def _wish(self, request: Request) -> tuple[str, KeyState] | None:
        """Return what a body asks for, as it is to be stored."""
        if not request.body:
            return None
        self.asked.append(request.body)
        root = ET.fromstring(request.body)
        fields = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
        user = _user(address(request.get("To")))
        names = {kind: name for name, kind in TYPES.items()}
        feature = names.get(fields.get("forwardingType", ""), DND)
        before = self.states[user][feature]
        on = fields.get("doNotDisturbOn", fields.get("activateForward")) == "true"
        rings = fields.get("ringCount")
        wish = KeyState(
            on=on,
            target=fields.get("forwardDN") or before.target,
            rings=int(rings) if rings else before.rings,
        )
        decided = self.decide(user, feature, wish)
        return None if decided is None else (feature, decided)

    def _tell_all(self, user: str, feature: str) -> None:
        for watcher in self.watchers:
            if watcher.user == user:
                self._tell(watcher, [feature])

    def _tell(self, watcher: Watcher, features: list[str]) -> None:
        """Send a NOTIFY with some features."""
        documents = [
            _document(name, self.states[watcher.user][name], watcher.user)
            for name in features
        ]
        content_type, body = CONTENT_TYPE, b"".join(documents)
        if len(documents) > 1:
            content_type = "multipart/mixed;boundary=keys"
            body = b"".join(
                b"--keys\r\nContent-Type: %b\r\n\r\n%b\r\n"
                % (CONTENT_TYPE.encode(), one)
                for one in documents
            )
            body += b"--keys--\r\n"
        watcher.cseq += 1
        first = watcher.request
        host, port = self.address
        lines = [
            f"NOTIFY {address(first.get('Contact'))} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{uuid.uuid4().hex}",
            "Max-Forwards: 70",
            f"From: {first.get('To').partition(';tag=')[0]};tag={watcher.tag}",
            f"To: {first.get('From')}",
            f"Call-ID: {first.get('Call-ID')}",
            f"CSeq: {watcher.cseq} NOTIFY",
            f"Contact: <sip:{host}:{port}>",
            "Event: as-feature-event",
            "Subscription-State: active;expires=3600",
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
        assert parse(data).violations == []
        self._send(data, watcher.source)


def _document(feature: str, state: KeyState, device: str) -> bytes:
    on = "true" if state.on else "false"
    if feature == DND:
        name, values = "DoNotDisturbEvent", f"<doNotDisturbOn>{on}</doNotDisturbOn>"
    else:
        name = "ForwardingEvent"
        values = (
            f"<forwardingType>{TYPES[feature]}</forwardingType>"
            f"<forwardStatus>{on}</forwardStatus><forwardTo>{state.target}</forwardTo>"
        )
        if state.rings is not None:
            values += f"<ringCount>{state.rings}</ringCount>"
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n'
        f'<{name} xmlns="{NAMESPACE}"><device>{device}</device>{values}</{name}>'
    ).encode("latin-1")
