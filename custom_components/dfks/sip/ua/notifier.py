"""What phones are told, and when: the notifier of RFC 6665, for any event package.

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

from collections.abc import Callable, Iterator
import logging
import math
from typing import Protocol

from ..access.accounts import Account
from ..clock import Clock, Timers
from ..snapshot import CSEQ_RESERVE
from ..transaction.client import ClientTransactions
from ..transport.flow import Flow, FlowError
from ..wire.headers import number
from ..wire.message import Response
from .dialog import ALL, NOTHING, Dialog, Notification, Subscription, Topics, join
from .next_hop import NextHops
from .subscriptions import Subscriptions

_LOGGER = logging.getLogger(__name__)

# Seconds between attempts to reach a suspended phone: one that reboots behind a switch
# must not lose its lamp until the next refresh.
PROBE = 300.0

# Retry-After is honoured from this to that, in seconds: to ask a phone that says 0 at
# once, and again at once, would never end.
MIN_HOLD = 1
MAX_HOLD = 3600

# Answers to a NOTIFY that end the subscription (RFC 6665 4.2.2, RFC 5057 5.1).
REMOVING = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})

# Answers that say that the phone does not take this kind of body.
UNREADABLE = frozenset({400, 406, 415, 488})

# NOTIFYs sent in one go before other callbacks of the loop get their turn.
SLICE = 50


class Changed(Protocol):
    """Hears that there is something new to remember."""

    def __call__(self, *, urgent: bool) -> None:
        """Take note; what is not urgent (a plain refresh) may wait for minutes."""


class Notifier:
    """Tells the subscriptions of a server."""

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        requests: ClientTransactions,
        next_hops: NextHops,
        local_contact: Callable[[str, Flow], str],
        via_host: Callable[[Flow], str],
        changed: Changed,
    ) -> None:
        """Send NOTIFYs by `requests` to `next_hops`.

        `local_contact` writes our Contact for a user on a flow, `via_host` our
        sent-by. `changed` is told that there is something new to remember.
        """
        self.subscriptions = Subscriptions()
        self.requests = requests
        self.changed = changed
        self._clock = clock
        self._timers = timers
        self._next_hops = next_hops
        self._local_contact = local_contact
        self._via_host = via_host

    def __iter__(self) -> Iterator[Subscription]:
        """Iterate over all subscriptions."""
        return iter(self.subscriptions)

    def of(self, account: Account) -> tuple[Subscription, ...]:
        """Return the subscriptions of a line, those that end included."""
        return self.subscriptions.of(account)

    # What is to be told

    def notify(self, subscription: Subscription, topics: Topics) -> None:
        """Tell a subscription about topics, now or as soon as it can take it."""
        self.owe(subscription, topics)
        self.go_on(subscription)

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
            topics = join(topics, subscription.missed)
            subscription.missed = NOTHING
        subscription.owed = join(subscription.owed, topics)

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
            self.go_on(subscription)
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

    # Going out

    def go_on(self, subscription: Subscription) -> None:
        """Send the next NOTIFY of a subscription if there is one and it may go."""
        if not subscription.owed:
            return
        if subscription.suspended:
            if self._next_hops.may_listen(subscription.dialog):
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
            self.suspend(subscription)

    def _send(self, subscription: Subscription, told: Notification) -> None:
        dialog = subscription.dialog
        dialog.cseq += 1
        if dialog.cseq - dialog.cseq_remembered >= CSEQ_RESERVE // 2:
            self.changed(urgent=True)
        flow = dialog.next_hop
        if flow is None or flow.closed:
            flow = self._next_hops.find(dialog)
        branch = self.requests.new_branch()
        if subscription.ending is not None and not told.left:
            subscription.last_sent = True
            state = f"terminated;reason={subscription.ending}"
        else:
            left = subscription.left(self._clock.monotonic())
            state = f"active;expires={round(left)}"
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
            "NOTIFY",
            branch,
            dialog.call_id,
            head.encode("latin-1") + told.body,
            flow,
            subscription,
            subscription.deadline,
        )

    def go_on_in(self, dialog: Dialog) -> None:
        """Send what has waited for an answer to another NOTIFY of the dialog."""
        for subscription in dialog.subscriptions:
            self.go_on(subscription)

    # What comes back

    def told(self, subscription: Subscription) -> None:
        """Take a 2xx to a NOTIFY."""
        subscription.answered(self._clock.monotonic())
        dialog = subscription.dialog
        if subscription.last_sent:
            _note_end(subscription)
            self.remove(subscription)
        self.go_on_in(dialog)

    def refused(self, subscription: Subscription, response: Response) -> None:
        """Take another final response to a NOTIFY."""
        subscription.answered(self._clock.monotonic())
        dialog = subscription.dialog
        if response.status in REMOVING or subscription.last_sent:
            _note_end(subscription, response.status)
            self.remove(subscription)
        else:
            self._keep_untold(subscription, response)
        self.go_on_in(dialog)

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
            subscription.missed = join(subscription.missed, subscription.told)
            return
        subscription.owed = join(subscription.owed, subscription.told)

    def _release(self, subscription: Subscription) -> None:
        subscription.hold = None
        self.go_on(subscription)

    def unanswered(self, subscription: Subscription) -> bool:
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
        self._tell_again(subscription)
        return True

    def failed(self, subscription: Subscription) -> None:
        """Take a NOTIFY that was never answered, or could not be sent."""
        sent, subscription.in_flight = subscription.in_flight, None
        dialog = subscription.dialog
        if dialog.flow.closed:
            over_own = sent is not None and sent.flow is dialog.flow
            if over_own and (dialog.routes or self._next_hops.may_listen(dialog)):
                # Its connection went with it; Route or Contact is another way.
                self._tell_again(subscription)
                return
            dialog.listens = False
        elif (
            sent is not None
            and dialog.flow.reliable
            and sent.flow is not dialog.flow
            and not dialog.routes
        ):
            # The phone has connected anew since, and is told over that connection. A
            # Route is another flow anyway: to go on over it would never end.
            self._tell_again(subscription)
            return
        subscription.package.unreachable(subscription)
        _LOGGER.debug(
            "Line %s: no answer to a NOTIFY, its phone is left alone until it is heard",
            subscription.account.user,
        )
        self.suspend(subscription)
        self.go_on_in(dialog)

    def _tell_again(self, subscription: Subscription) -> None:
        """Tell in another form or by another way what a NOTIFY was to tell."""
        subscription.last_sent = False
        subscription.owed = join(subscription.owed, subscription.told)
        self.go_on(subscription)

    # Silence

    def suspend(self, subscription: Subscription) -> None:
        """Stop talking to a phone that is not there."""
        self._drop_in_flight(subscription)
        subscription.deadline = None
        if subscription.ending is not None:
            self.remove(subscription)
            return
        subscription.missed = subscription.owed = NOTHING
        self._drop_hold(subscription)
        subscription.hold = self._timers.after(PROBE, lambda: self.resume(subscription))
        if not subscription.suspended:
            subscription.suspended = True
            subscription.package.watchers_changed(subscription.account)

    def _resume_all(self, dialog: Dialog) -> None:
        """Tell the phone of a dialog at its Contact, since its connection is gone."""
        for subscription in dialog.subscriptions:
            if subscription.suspended:
                self.resume(subscription)

    def resume(self, subscription: Subscription) -> None:
        """Have a suspended phone told the full state."""
        subscription.suspended = False
        self._drop_hold(subscription)
        subscription.package.watchers_changed(subscription.account)
        subscription.package.send_full_state(subscription)

    # Expiry and the end

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
        # A fetch may have been counted while it made room for itself.
        if subscription.live is not was_live or not seconds:
            subscription.package.watchers_changed(subscription.account)

    def watch_expiry(self, subscription: Subscription) -> None:
        """Look at the expiry when it has come, a second later at most.

        In whole seconds, because timers of one delay share a queue.
        """
        left = subscription.expires_at - self._clock.monotonic()
        self._timers.start(math.ceil(left), subscription)

    def expired(self, subscription: Subscription) -> None:
        """End a subscription that was not refreshed, or look again later."""
        if subscription.expires_at > self._clock.monotonic():
            self.watch_expiry(subscription)
            return
        if subscription.suspended:
            self.remove(subscription)
            return
        self.end(subscription, "timeout")

    def end(self, subscription: Subscription, reason: str) -> None:
        """End a subscription of a phone that is there, with a last NOTIFY."""
        subscription.ending = reason
        self._timers.cancel(subscription)
        self._drop_hold(subscription)
        subscription.package.watchers_changed(subscription.account)
        subscription.package.send_full_state(subscription)

    def remove(self, subscription: Subscription, *, tell: bool = True) -> None:
        """Forget a subscription, and its dialog with the last one (RFC 6665 4.4.1)."""
        self._timers.cancel(subscription)
        self._drop_hold(subscription)
        self._drop_in_flight(subscription)
        subscription.owed = NOTHING
        subscription.ending = subscription.ending or "gone"
        self.subscriptions.remove(subscription)
        if tell:
            self.changed(urgent=True)
            subscription.package.watchers_changed(subscription.account)

    def stop(self) -> None:
        """Forget everything without a word: a restart is no end of a subscription."""
        for subscription in list(self):
            self.remove(subscription, tell=False)

    def _drop_in_flight(self, subscription: Subscription) -> None:
        if subscription.in_flight is not None:
            self.requests.forget(subscription.in_flight)
            subscription.in_flight = None

    def _drop_hold(self, subscription: Subscription) -> None:
        if subscription.hold is not None:
            self._timers.cancel(subscription.hold)
            subscription.hold = None


def _is_busy(dialog: Dialog) -> bool:
    """Whether a NOTIFY of another subscription of the dialog is in flight."""
    return len(dialog.subscriptions) > 1 and any(
        subscription.in_flight for subscription in dialog.subscriptions
    )


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
    return None if seconds is None else min(max(seconds, MIN_HOLD), MAX_HOLD)
