"""Dialogs and subscriptions, the notifier's side (RFC 6665), for any event package.

Theory of operation
-------------------
An accepted SUBSCRIBE makes a *dialog* with one *subscription* (a phone may add more to
the dialog, by other Event ids). What a subscription still has to be told is a set of
*topics*, which only the event package understands; `ALL` stands for the full state.

A subscription is in one of these states:

    idle        told everything
    in flight   one NOTIFY of the dialog waits for its answer; topics gather meanwhile
    held        the phone asked for a pause (Retry-After); topics gather
    suspended   the phone was silent for timer F, or its connection is gone; it is told
                the full state when it is next heard, or every PROBE seconds
    ending      one last NOTIFY with Subscription-State terminated, then it is gone

    owe(topics) ---> idle? ---> render ---> in flight ---> 2xx: idle, or the next NOTIFY
                                                |-> 481 and the like: gone
                                                |-> other errors: topics are owed again
                                                `-> timeout, transport error: suspended

There is one way out of each: NOTIFYs are rendered when they are sent, so each carries
the newest state, and the CSeq of a dialog only ever rises.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
import errno
import logging
import math
import secrets
import sys
from typing import Protocol, override

from ..access.accounts import Account
from ..clock import Clock, Timer, Timers
from ..snapshot import (
    CSEQ_RESERVE,
    DialogRecord,
    SubscriptionRecord,
    flow_record,
    resumed_cseq,
)
from ..transaction.client import ClientTransaction, ClientTransactions
from ..transport.flow import Flow, FlowError, is_numeric
from ..wire.headers import (
    DEFAULT_PORT,
    HeaderError,
    Uri,
    default_port,
    encode_user,
    number,
    parse_address,
    parse_uri,
    plain_host,
    same_uri,
    unbracketed,
    uri_of_plain_contact,
)
from ..wire.message import MAX_VALUES, Request, Response, SipError
from .registrar import instance_of

_LOGGER = logging.getLogger(__name__)

# Seconds between attempts to reach a suspended phone: one that reboots behind a switch
# must not lose its lamp until the next refresh.
PROBE = 300.0

# Retry-After is honoured up to this, in seconds.
MAX_HOLD = 3600

# Answers to a NOTIFY that end the subscription (RFC 6665 4.2.2, RFC 5057 5.1).
REMOVING = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})

# Answers that say that the phone does not take this kind of body.
UNREADABLE = frozenset({400, 406, 415, 488})

# Seconds after its answer to a NOTIFY in which a phone counts as just told.
JUST_TOLD = 0.25

# Why a subscription ends whose phone is there: the line has too many. It may try again
# in five minutes (RFC 6665 4.1.3), not at once, or phones would push each other out in a
# circle.
CROWDED_OUT = "probation;retry-after=300"

# NOTIFYs sent in one go before other callbacks of the loop get their turn.
SLICE = 50

# Seconds between slices of the NOTIFYs that follow a start, so that the phones' answers
# do not overflow anything.
RESUME_PAUSE = 0.05

# No remembered subscription lasts longer, in seconds, whatever the wall clock says.
MAX_REMEMBERED = 3600.0

# The topic that stands for the full state, and the set of it.
FULL = "*"
ALL = frozenset({FULL})
NOTHING: frozenset[str] = frozenset()

type Topics = frozenset[str]
# What a NOTIFY says of each topic; only the event package understands the values.
type Values = tuple[tuple[str, object], ...]

# What keeps a route from being followed, whatever else happens.
_NO_SUCH_WAY = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


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

    def subscribed(self, subscription: Subscription, command: object) -> None:
        """Take a SUBSCRIBE that was answered 200; `command` is from `parse` or None.

        The package must see to it that `Notifier.notify` is called for it. Without a
        command the phone is to be told the full state; so it is when it was away for a
        while, and when the subscription ends.
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


class Changed(Protocol):
    """Hears that there is something new to remember."""

    def __call__(self, *, urgent: bool) -> None:
        """Take note; what is not urgent (a plain refresh) may wait for minutes."""


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
        "remote",
        "remote_cseq",
        "remote_tag",
        "request_uri",
        "route_lines",
        "routes",
        "subscriptions",
        "target",
        "way",
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
        self.way: Flow | None = None
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
            self.way = None
        if flow is self.flow:
            return
        same = _same_ends(flow, self.flow) and flow.local == self.flow.local
        if not same:
            self.way = None
        if not same or flow.reliable:
            self._take(flow)

    def move_to(self, flow: Flow) -> None:
        """Go on over another flow."""
        self._take(flow)
        self.way = None

    def _take(self, flow: Flow) -> None:
        self.flow = flow
        # Whoever was away may listen again.
        self.listens = self.listens or None

    def is_of(self, request: Request) -> bool:
        """Whether a request is in this dialog; its To tag is known to match."""
        return request.call_id == self.call_id and request.from_tag == self.remote_tag


class Subscription(Timer):
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
        notifier: Notifier,
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
        self.in_flight: ClientTransaction[Subscription] | None = None
        # When the phone is given up, where it has been silent to another form already.
        self.deadline: float | None = None
        self.owed: Topics = NOTHING
        # What the NOTIFY in flight tells, and what one that was refused has not told.
        self.told: Topics = NOTHING
        # What it says; what those have said that were answered, each within `JUST_TOLD`
        # seconds of the one before; and when the last of them was answered.
        self.telling: Values = ()
        self.taken: Values = ()
        self.taken_at = 0.0
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
        return telling + self.taken if now - self.taken_at < JUST_TOLD else telling

    def answered(self, now: float) -> None:
        """Note the final response to the NOTIFY in flight."""
        self.in_flight = self.deadline = None
        taken = self.telling
        if now - self.taken_at < JUST_TOLD:
            topics = {topic for topic, _ in taken}
            taken += tuple(item for item in self.taken if item[0] not in topics)
        self.taken, self.taken_at = taken, now

    @property
    def live(self) -> bool:
        """Whether the phone is there and follows."""
        return not self.suspended and self.ending is None

    @override
    def run(self) -> None:
        """End, or look again later where the phone has refreshed it."""
        self._notifier.expired(self)


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


class Network(Protocol):
    """Finds the ways to next hops."""

    def flow_to(
        self,
        transport: str,
        host: str,
        port: int,
        near: Flow,
        allows: Callable[[str], bool],
    ) -> Flow:
        """Return a flow to a next hop. Raises FlowError.

        `allows` decides about each address that a name stands for.
        """

    def check_family(self, host: str) -> None:
        """Raise FlowError where nothing can be sent to an address of this kind."""


class Notifier:
    """The subscriptions of a server."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        network: Network,
        may_reach: Callable[[str, Account], bool],
        local_contact: Callable[[str, Flow], str],
        via_host: Callable[[Flow], str],
        changed: Changed,
        *,
        max_per_account: int | None = None,
    ) -> None:
        """Send over flows of `network`.

        `may_reach` says whether NOTIFYs of a line may go to an address that is not the
        source of the SUBSCRIBE: nobody with a password may have them sent anywhere.
        `local_contact` writes our Contact for a user on a flow, `via_host` our
        sent-by. `changed` is told that there is something new to remember.
        `max_per_account` limits the subscriptions of one line.
        """
        self.changed = changed
        self._clock = clock
        self._timers = timers
        self.requests = ClientTransactions(
            clock, timers, self._told, self._refused, self._failed, self._unanswered
        )
        self._network = network
        self._may_reach = may_reach
        self._local_contact = local_contact
        self._via_host = via_host
        self._max_per_account = max_per_account
        self._dialogs: dict[str, Dialog] = {}
        self._by_account: dict[Account, tuple[Subscription, ...]] = {}
        self._by_stream: dict[Flow, set[Dialog]] = {}

    def __iter__(self) -> Iterator[Subscription]:
        """Iterate over all subscriptions."""
        for subscriptions in self._by_account.values():
            yield from subscriptions

    @property
    def dialogs(self) -> int:
        """How many dialogs there are."""
        return len(self._dialogs)

    def of(self, account: Account) -> tuple[Subscription, ...]:
        """Return the subscriptions of a line, those that end included."""
        return self._by_account.get(account, ())

    def find_dialog(self, request: Request) -> Dialog | None:
        """Return the dialog of a request (RFC 3261 12.2.2)."""
        dialog = self._dialogs.get(request.to_tag or "")
        return dialog if dialog is not None and dialog.is_of(request) else None

    def account_of_dialog(self, request: Request) -> Account | None:
        """Return the account whose dialog a request is in."""
        dialog = self.find_dialog(request)
        return None if dialog is None else dialog.subscriptions[0].account

    # Coming in

    def open(
        self,
        account: Account,
        package: EventPackage,
        event_id: str | None,
        request: Request,
        flow: Flow,
        *,
        fetch: bool,
    ) -> Subscription:
        """Make dialog and subscription of an initial SUBSCRIBE. Raises SipError.

        An older subscription of the same phone goes in silence: it rebooted, and a
        last NOTIFY would only make it subscribe once more. A fetch leaves it alone.
        """
        dialog = Dialog.from_request(request, flow)
        subscription = self.add(account, package, dialog, event_id, request)
        try:
            if dialog.routes:
                self._check_route(dialog)
            for other in self.of(account):
                if not fetch and _is_same_phone(other, subscription):
                    self._remove(other)
                    self._go_on_in(other.dialog)
            self._make_room(subscription)
        except SipError:
            self._remove(subscription)
            raise
        self._dialogs[dialog.local_tag] = dialog
        self._follow_stream(dialog, None)
        return subscription

    def _check_route(self, dialog: Dialog) -> None:
        """Refuse a route that no NOTIFY could ever follow. Raises SipError."""
        try:
            self._find_way(dialog)
        except FlowError as err:
            if err.errno in _NO_SUCH_WAY:
                raise SipError(400, f"Record-Route: {err.strerror}") from err

    def check_room(self, account: Account, dialog: Dialog) -> None:
        """Refuse one more subscription in a dialog where none can make room for it.

        Raises SipError.
        """
        self._surplus(account, dialog, 1)

    def _make_room(self, subscription: Subscription) -> None:
        """End what a new subscription leaves no room for. Raises SipError."""
        account, dialog = subscription.account, subscription.dialog
        for other in self._surplus(account, dialog, 0):
            if _absence(other):
                self._remove(other)
                self._go_on_in(other.dialog)
            else:
                self._end(other, CROWDED_OUT)

    def _surplus(
        self, account: Account, dialog: Dialog, more: int
    ) -> list[Subscription]:
        """Return what a line has to lose for `more` subscriptions in a dialog.

        The oldest, those that end first and then those of phones that are not there: a
        phone that connects anew each time from another port leaves them behind. Raises
        SipError where too few are in other dialogs.
        """
        if self._max_per_account is None:
            return []
        subscriptions = self.of(account)
        count = len(subscriptions) + more - self._max_per_account
        if count <= 0:
            return []
        others = [item for item in subscriptions if item.dialog is not dialog]
        if len(others) < count:
            raise SipError(503, "Too many subscriptions", ("Retry-After: 300",))
        return sorted(others, key=_absence, reverse=True)[:count]

    def add(
        self,
        account: Account,
        package: EventPackage,
        dialog: Dialog,
        event_id: str | None,
        request: Request,
    ) -> Subscription:
        """Add a subscription to a dialog; `check_room` has found room for it."""
        subscription = Subscription(
            account,
            package,
            dialog,
            request.get("event") or package.name,
            event_id,
            instance_of(request),
            request.text("user-agent"),
            self,
        )
        self._attach(subscription)
        if dialog.local_tag in self._dialogs:
            self._make_room(subscription)
        return subscription

    def _attach(self, subscription: Subscription) -> None:
        dialog, account = subscription.dialog, subscription.account
        own = (subscription,)
        dialog.subscriptions += own
        self._by_account[account] = self.of(account) + own

    def refresh(self, dialog: Dialog, request: Request, flow: Flow) -> None:
        """Take an accepted request in a dialog. Raises SipError."""
        before, target = dialog.flow, dialog.target
        dialog.refresh(request, flow)
        dialog.remote_cseq = request.cseq
        self._follow_stream(dialog, before)
        if dialog.target != target or not _same_ends(flow, before):
            self.changed(urgent=True)

    def extend(self, subscription: Subscription, seconds: int) -> None:
        """Let a subscription run for some seconds from now; 0 ends it."""
        was_live = subscription.live and subscription.expires_at > 0
        if seconds:
            self.changed(urgent=not subscription.expires_at)
        if subscription.suspended:
            subscription.suspended = False
            self.owe(subscription, ALL)
        self._drop_hold(subscription)
        subscription.expires_at = self._clock.monotonic() + seconds
        subscription.grace = 0.0
        if not seconds:
            subscription.ending = "timeout"
            self._timers.cancel(subscription)
        elif subscription.queue is None or subscription.expires_at < subscription.due:
            # A later expiry is looked at again when the timer is due.
            self._timers.cancel(subscription)
            self._timers.start(seconds, subscription)
        if subscription.live is not was_live:
            subscription.package.watchers_changed(subscription.account)

    def heard(self, account: Account, request: Request, flow: Flow) -> None:
        """Take note that a phone of a line is alive: tell it what it has missed."""
        for subscription in self.of(account):
            dialog = subscription.dialog
            before = dialog.flow
            if not (subscription.suspended or before.closed) or not _is_from(
                subscription, request, flow
            ):
                continue
            if self._has_moved(subscription, request, flow):
                if subscription.in_flight is not None:
                    # Whatever is tried at its Contact is in vain: it is over here.
                    self._suspend(subscription)
                if not dialog.subscriptions:
                    # It had ended, and goes with the NOTIFY that was in vain.
                    continue
                dialog.move_to(flow)
                self._follow_stream(dialog, before)
                self.changed(urgent=True)
                self._go_on_in(dialog)
            if subscription.suspended:
                self._resume(subscription)

    def follow(self, account: Account, before: Flow, flow: Flow) -> None:
        """Go on over another flow with what a phone of a line had over one before."""
        for subscription in self.of(account):
            dialog = subscription.dialog
            if dialog.routes or not _same_ends(dialog.flow, before):
                continue
            old = dialog.flow
            dialog.move_to(flow)
            self._follow_stream(dialog, old)
            self.changed(urgent=True)
            if subscription.suspended:
                self._resume(subscription)
            else:
                self._go_on(subscription)

    def _has_moved(
        self, subscription: Subscription, request: Request, flow: Flow
    ) -> bool:
        """Whether the phone of a silent subscription, and no other, is elsewhere now.

        A NAT that has forgotten it lets it through at another port (RFC 5626 4.1), and
        it may have connected anew. Behind a proxy the way is the Route, whatever became
        of a connection.
        """
        dialog = subscription.dialog
        before = dialog.flow
        if (
            dialog.routes
            or (before.reliable and flow.transport != before.transport)
            or (_same_ends(flow, before) and not before.closed)
        ):
            return False
        instance = instance_of(request)
        if instance and subscription.instance:
            return instance == subscription.instance
        # Without an instance only the Contact tells phones at one address apart.
        return _names_contact(request, dialog.target) and not any(
            _same_ends(other.dialog.flow, flow) and other.dialog.target != dialog.target
            for other in self.of(subscription.account)
        )

    def lost(self, flow: Flow) -> None:
        """Suspend what went over a connection that is gone.

        A proxy closes connections that are idle; its Route leads to it all the same. So
        does the Contact where the end was seen before and another one is in use, where
        the phone has taken a connection before, and where a NOTIFY was on its way.
        """
        for dialog in self._by_stream.pop(flow, ()):
            way = dialog.way
            if dialog.routes or (way is not None and not way.closed):
                continue
            if self._may_listen(dialog) and (dialog.listens or _is_told(dialog)):
                continue
            for subscription in dialog.subscriptions:
                self._suspend(subscription)

    # Going out

    def notify(self, subscription: Subscription, topics: Topics) -> None:
        """Tell a subscription about topics, now or as soon as it can take it."""
        self.owe(subscription, topics)
        self._go_on(subscription)

    def notify_all(self, account: Account, topics: Topics) -> None:
        """Tell all subscriptions of a line.

        In slices, so that a thousand watchers do not hold the event loop.
        """
        subscriptions = self.of(account)
        for subscription in subscriptions:
            self.owe(subscription, topics)
        self._go_on_with(subscriptions)

    def owe(self, subscription: Subscription, topics: Topics) -> None:
        """Take note of what a subscription is to be told with the next NOTIFY."""
        if subscription not in subscription.dialog.subscriptions:
            return
        if subscription.missed:
            topics = _join(topics, subscription.missed)
            subscription.missed = NOTHING
        subscription.owed = _join(subscription.owed, topics)

    def withhold(self, account: Account, topics: Topics) -> tuple[Subscription, ...]:
        """Take back what subscriptions of a line are to be told about some topics.

        Returns those which it concerns. The full state is told all the same, and so is
        all that a subscription which ends has still to be told.
        """
        concerned = tuple(
            subscription
            for subscription in self.of(account)
            if subscription.ending is None and not topics.isdisjoint(subscription.owed)
        )
        for subscription in concerned:
            subscription.owed -= topics
        return concerned

    def _go_on_with(self, subscriptions: tuple[Subscription, ...]) -> None:
        for subscription in subscriptions[:SLICE]:
            self._go_on(subscription)
        if rest := subscriptions[SLICE:]:
            self._timers.after(0, lambda: self._go_on_with(rest))

    def terminate(self, account: Account, reason: str) -> None:
        """End all subscriptions of a line with a last NOTIFY (RFC 6665 4.1.3)."""
        for subscription in self.of(account):
            subscription.ending = reason
            self._timers.cancel(subscription)
            subscription.suspended = False
            self._drop_hold(subscription)
            self.notify(subscription, ALL)

    def stop(self) -> None:
        """Forget everything without a word: a restart is no end of a subscription."""
        for subscription in list(self):
            self._remove(subscription, tell=False)

    def _go_on(self, subscription: Subscription) -> None:
        """Send the next NOTIFY of a subscription if there is one and it may go."""
        if not subscription.owed:
            return
        if subscription.suspended:
            if self._may_listen(subscription.dialog):
                self._resume_all(subscription.dialog)
            return
        if (
            subscription.hold is not None
            or subscription.in_flight is not None
            or _is_busy(subscription.dialog)
        ):
            return
        topics, subscription.owed = subscription.owed, NOTHING
        told = subscription.package.render(subscription, topics)
        subscription.owed = told.left
        subscription.told = topics - told.left if told.left else topics
        subscription.told_as = told.content_type
        subscription.telling = told.values
        try:
            self._send(subscription, told)
        except FlowError as err:
            _LOGGER.debug(
                "Line %s: a NOTIFY cannot be sent: %s",
                subscription.account.user,
                err.strerror,
            )
            self._suspend(subscription)

    def _send(self, subscription: Subscription, told: Notification) -> None:
        dialog = subscription.dialog
        dialog.cseq += 1
        if dialog.cseq - dialog.cseq_remembered >= CSEQ_RESERVE // 2:
            self.changed(urgent=True)
        flow = dialog.way
        if flow is None or flow.closed:
            flow = self._find_way(dialog)
        branch = self.requests.new_branch()
        if subscription.ending is not None and not told.left:
            subscription.last_sent = True
            state = f"terminated;reason={subscription.ending}"
        else:
            state = f"active;expires={round(self._left(subscription))}"
        content = f"Content-Type: {told.content_type}\r\n" if told.body else ""
        head = (
            f"NOTIFY {dialog.request_uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{flow.transport} {self._via_host(flow)};branch={branch};rport"
            f"\r\n{dialog.route_lines}"
            "Max-Forwards: 70\r\n"
            f"From: {dialog.local}\r\n"
            f"To: {dialog.remote}\r\n"
            f"Call-ID: {dialog.call_id}\r\n"
            f"CSeq: {dialog.cseq} NOTIFY\r\n"
            f"Contact: {self._local_contact(subscription.account.user, flow)}\r\n"
            f"Event: {subscription.event}\r\n"
            f"Subscription-State: {state}\r\n"
            f"Allow-Events: {subscription.package.name}\r\n"
            f"{content}Content-Length: {len(told.body)}\r\n\r\n"
        )
        subscription.in_flight = self.requests.send(
            branch,
            dialog.call_id,
            head.encode("latin-1") + told.body,
            flow,
            subscription,
            subscription.deadline,
        )

    def _find_way(self, dialog: Dialog) -> Flow:
        """Set Request-URI, Route lines and flow of a dialog's NOTIFYs; return the flow.

        RFC 3261 12.2.1.1 for the first two. The flow leads to the top Route if there
        is one; else it is the connection of the SUBSCRIBE; else UDP to the Contact if
        that is the host that wrote, and otherwise to where the SUBSCRIBE came from,
        which gets through NAT. A next hop that nobody vouches for is not taken: the
        NOTIFY goes to where the SUBSCRIBE came from then. Raises FlowError.
        """
        if dialog.routes:
            dialog.way = self._find_routed_way(dialog)
        else:
            dialog.request_uri = dialog.target
            dialog.way = self._find_direct_flow(dialog)
        return dialog.way

    def _find_direct_flow(self, dialog: Dialog) -> Flow:
        flow = dialog.flow
        host, port = flow.remote
        # Most phones name the address that they write from.
        if not flow.reliable and dialog.target.endswith(f"@{host}:{port}"):
            return flow
        target = parse_uri(dialog.target)
        if flow.reliable:
            return self._towards(target, dialog) if flow.closed else flow
        if plain_host(target.host) == plain_host(host):
            there = target.port or DEFAULT_PORT
            if there != port:
                return self._reach("UDP", target.host, there, dialog)
        return flow

    def _find_routed_way(self, dialog: Dialog) -> Flow:
        try:
            top = parse_uri(parse_address(dialog.routes[0]).uri)
        except HeaderError as err:
            raise FlowError(0, f"Route: {err}") from err
        flow = dialog.flow
        host, port = unbracketed(top.host), top.port or DEFAULT_PORT
        named = not is_numeric(host)
        if not named:
            self._network.check_family(host)
        # A proxy that writes its name is the one whose connection this is, too.
        is_here = named or _is_source(host, flow)
        if named or self._allows(host, dialog):
            if not (flow.reliable and is_here) or flow.closed:
                flow = self._reach(_transport_of(top), host, port, dialog)
        elif flow.closed:
            raise FlowError(errno.EACCES, "A Route that is nobody's we know")
        if "lr" in top.parameters:
            dialog.request_uri = dialog.target
            dialog.route_lines = _route_lines(dialog.routes)
        else:
            dialog.request_uri = top.text
            rest = (*dialog.routes[1:], f"<{dialog.target}>")
            dialog.route_lines = _route_lines(rest)
        return flow

    def _towards(self, target: Uri, dialog: Dialog) -> Flow:
        """Return a flow to a Contact whose connection is gone. Raises FlowError."""
        host = unbracketed(target.host)
        if is_numeric(host) and not self._allows(host, dialog):
            raise FlowError(errno.EACCES, "A Contact that is nobody's we know")
        # `_failed` knows better.
        dialog.listens = True
        transport = dialog.flow.transport
        port = target.port or default_port(transport)
        return self._reach(transport, host, port, dialog)

    def _may_listen(self, dialog: Dialog) -> bool:
        """Whether a phone whose connection is gone may take another at its Contact."""
        if dialog.routes or dialog.listens is False or not dialog.flow.closed:
            return False
        host = unbracketed(parse_uri(dialog.target).host)
        return dialog.flow.transport == "TCP" and (
            not is_numeric(host) or self._allows(host, dialog)
        )

    def _reach(self, transport: str, host: str, port: int, dialog: Dialog) -> Flow:
        return self._network.flow_to(
            transport,
            host,
            port,
            dialog.flow,
            lambda found: self._allows(found, dialog),
        )

    def _allows(self, host: str, dialog: Dialog) -> bool:
        """Whether NOTIFYs of a dialog may go to a numeric address."""
        return _is_source(host, dialog.flow) or (
            bool(dialog.subscriptions)
            and self._may_reach(plain_host(host), dialog.subscriptions[0].account)
        )

    def _told(self, subscription: Subscription) -> None:
        """Take a 2xx to a NOTIFY."""
        subscription.answered(self._clock.monotonic())
        dialog = subscription.dialog
        if subscription.last_sent:
            _note_end(subscription)
            self._remove(subscription)
        self._go_on_in(dialog)

    def _refused(self, subscription: Subscription, response: Response) -> None:
        """Take another final response to a NOTIFY."""
        subscription.answered(self._clock.monotonic())
        dialog = subscription.dialog
        if response.status in REMOVING or subscription.last_sent:
            _note_end(subscription, response.status)
            self._remove(subscription)
        else:
            self._keep_untold(subscription, response)
        self._go_on_in(dialog)

    def _go_on_in(self, dialog: Dialog) -> None:
        """Send what has waited for an answer to another NOTIFY of the dialog."""
        if len(dialog.subscriptions) == 1:
            self._go_on(dialog.subscriptions[0])
            return
        for subscription in dialog.subscriptions:
            self._go_on(subscription)

    def _keep_untold(self, subscription: Subscription, response: Response) -> None:
        """Keep what could not be told: it is owed again, in another form or later."""
        pause = _retry_after(response)
        other_form = response.status in UNREADABLE and subscription.package.unreadable(
            subscription, silence=False
        )
        if pause is not None:
            subscription.hold = self._timers.after(
                pause, lambda: self._release(subscription)
            )
        elif not other_form:
            # It goes with the next change: to ask again at once would be a loop.
            subscription.missed = _join(subscription.missed, subscription.told)
            return
        subscription.owed = _join(subscription.owed, subscription.told)

    def _unanswered(self, subscription: Subscription) -> bool:
        """Send what three times was not answered in another form, if there is one.

        Large datagrams are sent in fragments, which not every network lets through. All
        forms together have the time of timer F.
        """
        transaction = subscription.in_flight
        if transaction is None or not subscription.package.unreadable(
            subscription, silence=True
        ):
            return False
        self.requests.forget(transaction)
        subscription.deadline = transaction.deadline
        subscription.in_flight = None
        subscription.last_sent = False
        subscription.owed = _join(subscription.owed, subscription.told)
        self._go_on(subscription)
        return True

    def _failed(self, subscription: Subscription) -> None:
        """Take a NOTIFY that was never answered, or could not be sent."""
        sent, subscription.in_flight = subscription.in_flight, None
        dialog = subscription.dialog
        if dialog.flow.closed:
            over_own = sent is not None and sent.flow is dialog.flow
            if over_own and (dialog.routes or self._may_listen(dialog)):
                # Its connection went with it; Route or Contact is another way.
                subscription.last_sent = False
                subscription.owed = _join(subscription.owed, subscription.told)
                self._go_on(subscription)
                return
            dialog.listens = False
        elif sent is not None and dialog.flow.reliable and sent.flow is not dialog.flow:
            # The phone has connected anew since, and is told over that connection.
            subscription.last_sent = False
            subscription.owed = _join(subscription.owed, subscription.told)
            self._go_on(subscription)
            return
        subscription.package.unreachable(subscription)
        _LOGGER.debug(
            "Line %s: no answer to a NOTIFY, its phone is left alone until it is heard",
            subscription.account.user,
        )
        self._suspend(subscription)
        self._go_on_in(dialog)

    def _release(self, subscription: Subscription) -> None:
        subscription.hold = None
        self._go_on(subscription)

    def _suspend(self, subscription: Subscription) -> None:
        """Stop talking to a phone that is not there."""
        if subscription.in_flight is not None:
            self.requests.forget(subscription.in_flight)
            subscription.in_flight = None
        subscription.deadline = None
        if subscription.ending is not None:
            self._remove(subscription)
            return
        subscription.missed = subscription.owed = NOTHING
        self._drop_hold(subscription)
        subscription.hold = self._timers.after(
            PROBE, lambda: self._resume(subscription)
        )
        if not subscription.suspended:
            subscription.suspended = True
            subscription.package.watchers_changed(subscription.account)

    def _resume_all(self, dialog: Dialog) -> None:
        """Tell the phone of a dialog at its Contact, since its connection is gone."""
        for subscription in dialog.subscriptions:
            if subscription.suspended:
                self._resume(subscription)

    def _resume(self, subscription: Subscription) -> None:
        """Have a suspended phone told the full state."""
        subscription.suspended = False
        self._drop_hold(subscription)
        subscription.package.watchers_changed(subscription.account)
        subscription.package.subscribed(subscription, None)

    # Memory

    def records(self) -> Iterator[DialogRecord]:
        """Return what there is to remember, a record a dialog.

        Dialogs may come and go between two records; each is whole in itself.
        """
        for dialog in list(self._dialogs.values()):
            subscriptions = [
                self._subscription_record(subscription)
                for subscription in dialog.subscriptions
                if subscription.ending is None
            ]
            if not subscriptions:
                continue
            dialog.cseq_remembered = dialog.cseq
            yield DialogRecord(
                call_id=dialog.call_id,
                local=dialog.local,
                local_tag=dialog.local_tag,
                remote=dialog.remote,
                remote_tag=dialog.remote_tag,
                cseq=dialog.cseq,
                remote_cseq=dialog.remote_cseq,
                routes=[*dialog.routes],
                target=dialog.target,
                flow=flow_record(dialog.flow),
                subscriptions=subscriptions,
            )

    def _subscription_record(self, subscription: Subscription) -> SubscriptionRecord:
        left = subscription.expires_at - subscription.grace - self._clock.monotonic()
        return SubscriptionRecord(
            line=subscription.account.id,
            package=subscription.package.name,
            event=subscription.event,
            event_id=subscription.event_id,
            instance=subscription.instance,
            user_agent=subscription.user_agent,
            expires_at=self._clock.time() + left,
        )

    def restore(
        self,
        record: DialogRecord,
        flow: Flow,
        accounts: Mapping[str, Account],
        packages: Mapping[str, EventPackage],
        grace: float,
    ) -> None:
        """Take back a dialog; `resume_remembered` goes on with it.

        `accounts` are by id. A subscription gets `grace` more seconds, because its
        last refreshes may not have been written. Raises KeyError, TypeError or
        ValueError for a record that is no good.
        """
        dialog = Dialog(
            call_id=record["call_id"],
            local=record["local"],
            local_tag=record["local_tag"],
            remote=record["remote"],
            remote_tag=record["remote_tag"],
            remote_cseq=record["remote_cseq"],
            routes=tuple(record["routes"]),
            flow=flow,
            cseq=resumed_cseq(record["cseq"], self._clock.time()),
            target=record["target"],
        )
        _check_dialog(dialog)
        now = self._clock.monotonic()
        remembered = []
        for item in record["subscriptions"]:
            account = accounts.get(item["line"])
            package = packages.get(item["package"])
            if account is None or package is None:
                continue
            subscription = Subscription(
                account,
                package,
                dialog,
                item["event"],
                item["event_id"],
                item["instance"],
                item["user_agent"],
                self,
            )
            left = item["expires_at"] - self._clock.time()
            subscription.expires_at = now + min(left, MAX_REMEMBERED) + grace
            subscription.grace = grace
            subscription.suspended = True
            remembered.append(subscription)
        # All of them or none: a dialog that is not known cannot be refreshed.
        for subscription in remembered:
            self._attach(subscription)
            self._watch_expiry(subscription)
        if dialog.subscriptions:
            self._dialogs[dialog.local_tag] = dialog

    def resume_remembered(self) -> None:
        """Tell every phone of an earlier run the full state, a few at a time."""
        self._resume_some(tuple(self))

    def _resume_some(self, subscriptions: tuple[Subscription, ...]) -> None:
        for subscription in subscriptions[:SLICE]:
            if subscription.suspended and subscription.hold is None:
                self._resume(subscription)
        if rest := subscriptions[SLICE:]:
            self._timers.after(RESUME_PAUSE, lambda: self._resume_some(rest))

    # Expiry and the end

    def _left(self, subscription: Subscription) -> float:
        """Return the seconds to tell a phone.

        Never more than the phone has been told before (RFC 6665 4.2.2), except in the
        grace itself, when only a phone that has refreshed since still listens.
        """
        left = max(0.0, subscription.expires_at - self._clock.monotonic())
        return left - subscription.grace if left > subscription.grace else left

    def _watch_expiry(self, subscription: Subscription) -> None:
        """Look at the expiry when it has come, a second later at most.

        In whole seconds, because timers of one delay share a queue.
        """
        left = subscription.expires_at - self._clock.monotonic()
        self._timers.start(math.ceil(left), subscription)

    def expired(self, subscription: Subscription) -> None:
        """End a subscription that was not refreshed, or look again later."""
        if subscription.expires_at > self._clock.monotonic():
            self._watch_expiry(subscription)
            return
        if subscription.suspended:
            self._remove(subscription)
            return
        self._end(subscription, "timeout")

    def _end(self, subscription: Subscription, reason: str) -> None:
        """End a subscription of a phone that is there, with a last NOTIFY."""
        subscription.ending = reason
        self._timers.cancel(subscription)
        self._drop_hold(subscription)
        subscription.package.watchers_changed(subscription.account)
        subscription.package.subscribed(subscription, None)

    def _remove(self, subscription: Subscription, *, tell: bool = True) -> None:
        """Forget a subscription, and its dialog with the last one (RFC 6665 4.4.1)."""
        self._timers.cancel(subscription)
        self._drop_hold(subscription)
        if subscription.in_flight is not None:
            self.requests.forget(subscription.in_flight)
            subscription.in_flight = None
        subscription.owed = NOTHING
        subscription.ending = subscription.ending or "gone"
        account, dialog = subscription.account, subscription.dialog
        of_account = _without(self.of(account), subscription)
        if of_account:
            self._by_account[account] = of_account
        else:
            del self._by_account[account]
        dialog.subscriptions = _without(dialog.subscriptions, subscription)
        if not dialog.subscriptions:
            self._dialogs.pop(dialog.local_tag, None)
            self._leave_stream(dialog, dialog.flow)
        if tell:
            self.changed(urgent=True)
            subscription.package.watchers_changed(subscription.account)

    def _drop_hold(self, subscription: Subscription) -> None:
        if subscription.hold is not None:
            self._timers.cancel(subscription.hold)
            subscription.hold = None

    def _follow_stream(self, dialog: Dialog, before: Flow | None) -> None:
        """Remember which dialogs a connection carries."""
        if dialog.flow is before:
            return
        if before is not None:
            self._leave_stream(dialog, before)
        if dialog.flow.reliable:
            self._by_stream.setdefault(dialog.flow, set()).add(dialog)

    def _leave_stream(self, dialog: Dialog, flow: Flow) -> None:
        dialogs = self._by_stream.get(flow)
        if dialogs is not None:
            dialogs.discard(dialog)
            if not dialogs:
                del self._by_stream[flow]


def _check_dialog(dialog: Dialog) -> None:
    """Look at what an earlier run has written before it goes into requests.

    Raises TypeError or ValueError.
    """
    parse_uri(dialog.target)
    fields = "".join(
        (dialog.call_id, dialog.local, dialog.remote, dialog.target, *dialog.routes)
    ).encode("latin-1")
    if b"\r" in fields or b"\n" in fields:
        raise ValueError("A header field with a line end")


def _is_busy(dialog: Dialog) -> bool:
    """Whether a NOTIFY of another subscription of the dialog is in flight."""
    return len(dialog.subscriptions) > 1 and any(
        subscription.in_flight for subscription in dialog.subscriptions
    )


def _is_told(dialog: Dialog) -> bool:
    """Whether a NOTIFY of a dialog waits for its answer."""
    return any(subscription.in_flight for subscription in dialog.subscriptions)


def _absence(subscription: Subscription) -> int:
    """Return how little is lost with a subscription; 0 where its phone is there."""
    if subscription.ending is not None:
        return 4
    dialog = subscription.dialog
    gone = dialog.flow.closed and not dialog.routes
    return 2 * gone + subscription.suspended


def _without(
    subscriptions: tuple[Subscription, ...], gone: Subscription
) -> tuple[Subscription, ...]:
    position = subscriptions.index(gone)
    return subscriptions[:position] + subscriptions[position + 1 :]


def _same_ends(one: Flow, other: Flow) -> bool:
    """Whether two flows lead to one address by one transport."""
    return one is other or (
        one.remote == other.remote and one.transport == other.transport
    )


def _is_source(host: str, flow: Flow) -> bool:
    """Whether a numeric address is where a flow leads."""
    return plain_host(host) == plain_host(flow.remote[0])


def _join(topics: Topics, more: Topics) -> Topics:
    """Join what is owed; the full state includes everything."""
    if FULL in topics or FULL in more:
        return ALL
    return topics | more if topics else more


def _note_end(subscription: Subscription, status: int = 200) -> None:
    _LOGGER.debug(
        "Line %s: a subscription has ended (%s)",
        subscription.account.user,
        subscription.ending or f"{status} to a NOTIFY",
    )


def _retry_after(response: Response) -> int | None:
    """Return the seconds of Retry-After (RFC 3261 20.33), None without a usable one."""
    value = response.get("retry-after")
    if value is None:
        return None
    digits = value.partition(";")[0].partition("(")[0].strip()
    seconds = number(digits, 2**32 - 1)
    return None if seconds is None else min(seconds, MAX_HOLD)


def _transport_of(uri: Uri) -> str:
    """Return the transport to reach a Route by (RFC 3263 4.1, without NAPTR)."""
    if uri.scheme == "sips":
        return "TLS"
    return (uri.transport or "UDP").upper()


def _route_lines(routes: Iterable[str]) -> str:
    return "".join(f"Route: {route}\r\n" for route in routes)


def _is_same_phone(old: Subscription, new: Subscription) -> bool:
    """Whether a new subscription replaces an old one: the phone has rebooted."""
    if old.event_id != new.event_id or old is new:
        return False
    if old.instance or new.instance:
        return old.instance == new.instance
    return (
        old.dialog.target == new.dialog.target
        and old.dialog.flow.remote[0] == new.dialog.flow.remote[0]
    )


def _is_from(subscription: Subscription, request: Request, flow: Flow) -> bool:
    """Whether a request comes from the phone of a subscription."""
    instance = instance_of(request)
    if subscription.instance and instance:
        return subscription.instance == instance
    return subscription.dialog.flow.remote[0] == flow.remote[0]


def _names_contact(request: Request, target: str) -> bool:
    """Whether a request has a Contact that is the target of a dialog."""
    try:
        known = parse_uri(target)
        return any(
            same_uri(parse_uri(parse_address(contact).uri), known)
            for contact in request.values("contact")
        )
    except HeaderError:
        return False


def contact_uri(user: str, sent_by: str, transport: str) -> str:
    """Write a Contact of ours: plain, unique to this server (RFC 6665 4.5.1)."""
    suffix = "" if transport == "UDP" else f";transport={transport.lower()}"
    return f"<sip:{encode_user(user)}@{sent_by}{suffix}>"
