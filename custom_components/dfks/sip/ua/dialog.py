"""Dialogs (RFC 3261 12) and the subscriptions in them (RFC 6665), notifier's side.

Also what the notifier asks of an event package. What a subscription has still to be told
is a set of *topics*, which only the event package understands; `ALL` stands for the full
state. The rules of what happens to a subscription are in notifier.py.
"""

from dataclasses import dataclass
import secrets
import sys
from typing import Protocol, override

from ..access.accounts import Account
from ..clock import Timer
from ..transaction.client import ClientTransaction, ClientUser
from ..transport.flow import Flow
from ..wire.headers import HeaderError, parse_address, parse_uri, uri_of_plain_contact
from ..wire.message import MAX_VALUES, Request, Response, SipError

# Seconds after its answer to a NOTIFY in which a phone counts as just told.
JUST_TOLD = 0.25

# The topic that stands for the full state, and the set of it.
FULL = "*"
ALL = frozenset({FULL})
NOTHING: frozenset[str] = frozenset()

type Topics = frozenset[str]
# What a NOTIFY says of each topic; only the event package understands the values.
type Values = tuple[tuple[str, object], ...]


@dataclass(slots=True)
class Notification:
    """A rendered NOTIFY body: what it tells, and which topics are left for later."""

    content_type: str
    body: bytes
    left: Topics = NOTHING
    values: Values = ()


class EventPackage(Protocol):
    """What the notifier asks of an event package."""

    name: str
    # Media types of bodies in a SUBSCRIBE, for Accept.
    accept: str

    def takes(self, content_type: str) -> bool:
        """Whether a SUBSCRIBE body of this media type is for the package."""

    def parse(self, account: Account, body: bytes) -> object:
        """Understand a SUBSCRIBE body. Raises SipError; changes nothing."""

    def command(self, subscription: Subscription, command: object) -> None:
        """Take the command in a SUBSCRIBE that was answered 200; it is from `parse`.

        The package must see to it that `Notifier.notify` is called for it.
        """

    def send_full_state(self, subscription: Subscription) -> None:
        """Tell a phone the full state.

        After a SUBSCRIBE without a command, where the phone was away for a while, and
        when the subscription ends. The package must see to it that `Notifier.notify` is
        called for it.
        """

    def render(self, subscription: Subscription, topics: Topics) -> Notification:
        """Write a body for some topics."""

    def unreadable(self, subscription: Subscription, *, silence: bool) -> bool:
        """Take note that a phone does not take the last body, or that it is `silence`.

        Returns whether there is another form to try.
        """

    def unreachable(self, subscription: Subscription) -> None:
        """Take note that a phone has not answered in any form."""

    def watchers_changed(self, account: Account) -> None:
        """Take note that a subscription came, went, fell silent or was heard again."""


class Dialog:
    """One dialog (RFC 3261 12): who, where, by which way, and the two counts."""

    __slots__ = (
        "call_id",
        "contact",
        "cseq",
        "cseq_remembered",
        "flow",
        "listens",
        "local",
        "local_tag",
        "next_hop",
        "remote",
        "remote_cseq",
        "remote_tag",
        "request_uri",
        "route_lines",
        "routes",
        "subscriptions",
        "target",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str | None,
        remote_cseq: int,
        routes: tuple[str, ...],
        flow: Flow,
        cseq: int = 0,
        target: str = "",
    ) -> None:
        """Make a dialog without subscriptions."""
        self.call_id = call_id
        # From and To of our requests, as they stand on the wire.
        self.local = local
        self.local_tag = local_tag
        self.remote = remote
        self.remote_tag = remote_tag
        self.remote_cseq = remote_cseq
        self.cseq = cseq
        self.cseq_remembered = cseq
        self.routes = routes
        self.flow = flow
        self.target = target
        # The Contact field that the target is from: most refreshes repeat it.
        self.contact: str | None = None
        # Of our requests, once it is known: the flow that they go over, and what they
        # say about the way.
        self.next_hop: Flow | None = None
        self.request_uri = ""
        self.route_lines = ""
        # Of a phone on a stream: whether it takes connections at its Contact, None
        # while nobody knows.
        self.listens: bool | None = None
        # A tuple: a dialog nearly always has one, and the line then has the same one.
        self.subscriptions: tuple[Subscription, ...] = ()

    @classmethod
    def from_request(cls, request: Request, flow: Flow) -> Dialog:
        """Make the dialog of an initial SUBSCRIBE. Raises SipError."""
        local_tag = secrets.token_hex(8)
        routes = _routes_of(request)
        dialog = cls(
            call_id=request.call_id,
            local=f"{request.to_text};tag={local_tag}",
            local_tag=local_tag,
            remote=request.fields["from"],
            remote_tag=request.from_tag,
            remote_cseq=request.cseq,
            routes=routes,
            flow=flow,
        )
        dialog.refresh(request, flow)
        return dialog

    def refresh(self, request: Request, flow: Flow) -> None:
        """Take target and flow of a request in the dialog (12.2.2). Raises SipError."""
        contact = request.fields.get("contact")
        if contact != self.contact or not self.target:
            self.target = contact_of(request) or self.target
            if not self.target:
                raise SipError(400, "Missing Contact")
            self.contact = contact
            self.next_hop = None
        if flow is self.flow:
            return
        same = same_ends(flow, self.flow) and flow.local == self.flow.local
        if not same:
            self.next_hop = None
        if not same or flow.reliable:
            self._take(flow)

    def move_to(self, flow: Flow) -> None:
        """Go on over another flow."""
        self._take(flow)
        self.next_hop = None

    def _take(self, flow: Flow) -> None:
        self.flow = flow
        # Whoever was away may listen again.
        self.listens = self.listens or None

    def is_of(self, request: Request) -> bool:
        """Whether a request is in this dialog; its To tag is known to match."""
        return request.call_id == self.call_id and request.from_tag == self.remote_tag


class SubscriptionNotifier(Protocol):
    """Hears what becomes of a subscription's NOTIFYs, and of its time."""

    def expired(self, subscription: Subscription) -> None:
        """End a subscription that was not refreshed, or look again later."""

    def told(self, subscription: Subscription) -> None:
        """Take a 2xx to a NOTIFY."""

    def refused(self, subscription: Subscription, response: Response) -> None:
        """Take another final response to a NOTIFY."""

    def failed(self, subscription: Subscription) -> None:
        """Take a NOTIFY that was never answered, or could not be sent."""

    def unanswered(self, subscription: Subscription) -> bool:
        """Send what three times was not answered in another form, if there is one."""


class Subscription(Timer, ClientUser):
    """One subscription of a phone to a line; its own timer for its expiry."""

    __slots__ = (
        "_notifier",
        "account",
        "deadline",
        "dialog",
        "ending",
        "event",
        "event_id",
        "expires_at",
        "grace",
        "hold",
        "in_flight",
        "instance",
        "last_sent",
        "missed",
        "owed",
        "package",
        "suspended",
        "taken",
        "taken_at",
        "taken_before",
        "telling",
        "told",
        "told_as",
        "user_agent",
    )

    def __init__(
        self,
        account: Account,
        package: EventPackage,
        dialog: Dialog,
        event: str,
        event_id: str | None,
        instance: str | None,
        user_agent: str | None,
        notifier: SubscriptionNotifier,
    ) -> None:
        """Make a subscription that has not been told anything."""
        self.queue = None
        self._notifier = notifier
        self.account = account
        self.package = package
        self.dialog = dialog
        # The Event value as the phone wrote it: NOTIFYs repeat it. Thousands of phones
        # write the same, so it is kept once.
        self.event = sys.intern(event)
        self.event_id = event_id
        self.instance = instance
        self.user_agent = user_agent and sys.intern(user_agent)
        self.expires_at = 0.0
        # Seconds of it that the phone does not know of: a refresh may have been lost.
        self.grace = 0.0
        self.hold: Timer | None = None
        self.in_flight: ClientTransaction | None = None
        # When the phone is given up, where it has been silent to another form already.
        self.deadline: float | None = None
        self.owed: Topics = NOTHING
        # What the NOTIFY in flight tells, and what one that was refused has not told.
        self.told: Topics = NOTHING
        # What it says; what the last one has said that was answered, and when that was;
        # what those before it have said, as far as it is not `JUST_TOLD` seconds old.
        self.telling: Values = ()
        self.taken: Values = ()
        self.taken_at = 0.0
        self.taken_before: tuple[tuple[float, Values], ...] = ()
        # The media type of the last body.
        self.told_as = ""
        self.missed: Topics = NOTHING
        self.suspended = False
        # The reason of the last NOTIFY, once the subscription ends.
        self.ending: str | None = None
        self.last_sent = False

    def just_told(self, now: float) -> Values:
        """Return what the NOTIFY in flight says, and those that were just answered."""
        telling = () if self.in_flight is None else self.telling
        if now - self.taken_at >= JUST_TOLD:
            return telling
        told = telling + self.taken
        for at, values in self.taken_before:
            if now - at < JUST_TOLD:
                told += values
        return told

    def answered(self, now: float) -> None:
        """Note the final response to the NOTIFY in flight."""
        self.in_flight = self.deadline = None
        before: list[tuple[float, Values]] = []
        if now - self.taken_at < JUST_TOLD:
            topics = {topic for topic, _ in self.telling}
            for at, values in ((self.taken_at, self.taken), *self.taken_before):
                left = tuple(item for item in values if item[0] not in topics)
                if left and now - at < JUST_TOLD:
                    before.append((at, left))
        self.taken, self.taken_at, self.taken_before = self.telling, now, tuple(before)

    @property
    def live(self) -> bool:
        """Whether the phone is there and follows."""
        return not self.suspended and self.ending is None

    @override
    def run(self) -> None:
        """End, or look again later where the phone has refreshed it."""
        self._notifier.expired(self)

    def left(self, now: float) -> float:
        """Return the seconds to tell a phone.

        Never more than the phone has been told before (RFC 6665 4.2.2), except in the
        grace itself, when only a phone that has refreshed since still listens.
        """
        left = max(0.0, self.expires_at - now)
        return left - self.grace if left > self.grace else left

    @override
    def succeeded(self) -> None:
        """Take a 2xx to the NOTIFY in flight."""
        self._notifier.told(self)

    @override
    def refused(self, response: Response) -> None:
        """Take another final response to the NOTIFY in flight."""
        self._notifier.refused(self, response)

    @override
    def failed(self) -> None:
        """Take a NOTIFY that was never answered, or could not be sent."""
        self._notifier.failed(self)

    @override
    def unanswered(self) -> bool:
        """Send the NOTIFY in flight in another form, if there is one."""
        return self._notifier.unanswered(self)


def contact_of(request: Request) -> str | None:
    """Return the URI of the one Contact of a SUBSCRIBE (RFC 3261 8.1.1.8).

    Raises SipError.
    """
    plain = uri_of_plain_contact(request.fields.get("contact", ""))
    if plain is not None:
        return plain
    try:
        values = request.values("contact")
        if not values:
            return None
        if len(values) > 1:
            raise HeaderError("More than one Contact")
        uri = parse_address(values[0]).uri
        if not parse_uri(uri).is_sip:
            raise SipError(416, "Contact is not a SIP URI")
    except HeaderError as err:
        raise SipError(400, f"Contact: {err}") from err
    return uri


def _routes_of(request: Request) -> tuple[str, ...]:
    """Return the route set of a SUBSCRIBE (RFC 3261 12.1.1). Raises SipError."""
    try:
        routes = tuple(request.values("record-route"))
        if len(routes) > MAX_VALUES:
            raise HeaderError("too many values")
        for route in routes:
            if not parse_uri(parse_address(route).uri).is_sip:
                raise HeaderError("not a SIP URI")
    except HeaderError as err:
        raise SipError(400, f"Record-Route: {err}") from err
    return routes


def same_ends(one: Flow, other: Flow) -> bool:
    """Whether two flows lead to one address by one transport."""
    return one is other or (
        one.remote == other.remote and one.transport == other.transport
    )


def join(topics: Topics, more: Topics) -> Topics:
    """Join what is owed; the full state includes everything."""
    if FULL in topics or FULL in more:
        return ALL
    return topics | more if topics else more
