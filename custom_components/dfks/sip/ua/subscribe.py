"""SUBSCRIBE, whole: opening, refreshing, changing and ending (RFC 6665 4.2.1).

A request that is refused changes nothing, with one exception: where a phone's body is
refused in a dialog, the phone shows what it asked for, so it is told the full state.
"""

from collections.abc import Callable, Mapping
import sys

from ..access.accounts import Account, Accounts
from ..checks import Domains, check_require, check_scheme
from ..transaction.server import ServerTransaction
from ..transport.flow import Flow
from ..wire.headers import HeaderError, parse_parameters
from ..wire.message import Request, SipError
from .dialog import Dialog, EventPackage, Subscription, same_ends
from .next_hop import NextHops
from .notifier import Notifier
from .registrar import DEFAULT_EXPIRES, instance_of, parse_expires

# Why a subscription ends whose phone is there: the line has too many. It may try again
# in five minutes (RFC 6665 4.1.3), not at once, or phones would push each other out in a
# circle.
CROWDED_OUT = "probation;retry-after=300"


class Subscribe:
    """Answers SUBSCRIBE."""

    def __init__(
        self,
        notifier: Notifier,
        next_hops: NextHops,
        accounts: Accounts,
        packages: Mapping[str, EventPackage],
        domains: Domains,
        contact: Callable[[str, Flow], str],
        *,
        min_expires: int,
        max_expires: int,
        max_per_account: int | None = None,
    ) -> None:
        """Grant between `min_expires` and `max_expires` seconds.

        `contact` writes our Contact for a user on a flow. `max_per_account` limits the
        subscriptions of one line.
        """
        self._notifier = notifier
        self._subscriptions = notifier.subscriptions
        self._next_hops = next_hops
        self._max_per_account = max_per_account
        self._accounts = accounts
        self._packages = packages
        self._domains = domains
        self._contact = contact
        self._min_expires = min_expires
        self._max_expires = max_expires

    def package_of(self, request: Request) -> tuple[EventPackage, str | None]:
        """Return the event package and the id of a request's Event (RFC 6665 8.2.1).

        In any case of letters, as phones have it. Raises SipError.
        """
        value = request.fields.get("event", "")
        name, _, parameters = value.partition(";")
        package = self._packages.get(name.strip(" \t").lower())
        if package is None:
            allowed = f"Allow-Events: {', '.join(self._packages)}"
            raise SipError(489, None, (allowed,))
        if not parameters:
            return package, None
        try:
            return package, parse_parameters(parameters).get("id")
        except HeaderError as err:
            raise SipError(400, f"Event: {err}") from err

    def process(
        self,
        transaction: ServerTransaction,
        account: Account,
        package: EventPackage,
        event_id: str | None,
    ) -> None:
        """Answer a SUBSCRIBE of an account. Raises SipError."""
        if account.pbx is None:
            check_scheme(transaction.request, transaction.flow)
        if transaction.request.to_tag is None:
            self._open(transaction, account, package, event_id)
        else:
            self._go_on(transaction, account, package, event_id)

    def _open(
        self,
        transaction: ServerTransaction,
        account: Account,
        package: EventPackage,
        event_id: str | None,
    ) -> None:
        """Process an initial SUBSCRIBE."""
        request, flow = transaction.request, transaction.flow
        if account.pbx is None:
            self._domains.check(request, flow)
            account.check_target(self._accounts.of_target(request))
        transaction.check_merged()
        check_require(request)
        seconds = self._expires(request)
        command = None
        if transaction.may_change:
            command = _content(request, account, package)
        subscription = self._new_subscription(
            account, package, event_id, request, flow, fetch=not seconds
        )
        request.to_text = subscription.dialog.local
        self._accept(transaction, subscription, seconds, command)

    def _go_on(
        self,
        transaction: ServerTransaction,
        account: Account,
        package: EventPackage,
        event_id: str | None,
    ) -> None:
        """Process a SUBSCRIBE in a dialog: a refresh, a change, the end."""
        request = transaction.request
        dialog = self._subscriptions.find_dialog(request)
        if dialog is None:
            raise SipError(481)
        if dialog.subscriptions[0].account is not account:
            raise SipError(403, "Not your line")
        if request.cseq <= dialog.remote_cseq:
            raise SipError(500, "CSeq is not higher than before")
        subscription = _subscription_of(dialog, event_id)
        if subscription is None:
            if not self._accounts.has(account):
                # The line has been removed; its dialogs end.
                raise SipError(481)
            self._check_room(account, dialog)
        elif subscription.ending is not None:
            raise SipError(481)
        check_require(request)
        seconds = self._expires(request)
        try:
            command = _content(request, account, package)
        except SipError as err:
            dialog.remote_cseq = request.cseq
            transaction.refuse(err)
            if subscription is not None:
                package.send_full_state(subscription)
            return
        self._refresh(dialog, request, transaction.flow)
        if subscription is None:
            subscription = self._add(account, package, dialog, event_id, request)
            self._make_room(subscription, fetch=False)
        subscription.event = sys.intern(request.get("event") or subscription.event)
        self._accept(transaction, subscription, seconds, command)

    def _accept(
        self,
        transaction: ServerTransaction,
        subscription: Subscription,
        seconds: int,
        command: object,
    ) -> None:
        """Answer a SUBSCRIBE with 200 and let the package tell the state."""
        self._notifier.extend(subscription, seconds)
        contact = self._contact(subscription.account.user, transaction.flow)
        fields = [
            f"Expires: {seconds}",
            f"Contact: {contact}",
            f"Allow-Events: {subscription.package.name}",
        ]
        routes = transaction.request.lines("record-route")
        fields += [f"Record-Route: {route}" for route in routes]
        transaction.reply(200, fields)
        if command is None:
            subscription.package.send_full_state(subscription)
        else:
            subscription.package.command(subscription, command)

    # Dialogs and subscriptions

    def _new_subscription(
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
        subscription = self._add(account, package, dialog, event_id, request)
        try:
            if dialog.routes:
                self._next_hops.check_route(dialog)
            for other in self._subscriptions.of(account):
                if not fetch and _is_same_phone(other, subscription):
                    self._notifier.remove(other)
                    self._notifier.go_on_in(other.dialog)
            self._make_room(subscription, fetch=fetch)
        except SipError:
            self._notifier.remove(subscription)
            raise
        self._subscriptions.add_dialog(dialog)
        self._subscriptions.follow_stream(dialog, None)
        return subscription

    def _refresh(self, dialog: Dialog, request: Request, flow: Flow) -> None:
        """Take an accepted request in a dialog. Raises SipError."""
        before, target = dialog.flow, dialog.target
        dialog.refresh(request, flow)
        dialog.remote_cseq = request.cseq
        self._subscriptions.follow_stream(dialog, before)
        if dialog.target != target or not same_ends(flow, before):
            self._notifier.changed(urgent=True)

    def _add(
        self,
        account: Account,
        package: EventPackage,
        dialog: Dialog,
        event_id: str | None,
        request: Request,
    ) -> Subscription:
        """Add a subscription to a dialog."""
        subscription = Subscription(
            account,
            package,
            dialog,
            request.get("event") or package.name,
            event_id,
            instance_of(request),
            request.text("user-agent"),
            self._notifier,
        )
        self._subscriptions.add(subscription)
        return subscription

    def _check_room(self, account: Account, dialog: Dialog) -> None:
        """Refuse one more subscription in a dialog where none can make room for it.

        Raises SipError.
        """
        self._surplus(account, dialog, 1)

    def _make_room(self, subscription: Subscription, *, fetch: bool) -> None:
        """End what a new subscription leaves no room for. Raises SipError.

        A fetch, which ends at once, takes nobody's place who is there.
        """
        account, dialog = subscription.account, subscription.dialog
        for other in self._surplus(account, dialog, 0):
            if _absence(other):
                self._notifier.remove(other)
                self._notifier.go_on_in(other.dialog)
            elif not fetch:
                self._notifier.end(other, CROWDED_OUT)

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
        subscriptions = self._subscriptions.of(account)
        count = len(subscriptions) + more - self._max_per_account
        if count <= 0:
            return []
        others = [item for item in subscriptions if item.dialog is not dialog]
        if len(others) < count:
            raise SipError(503, "Too many subscriptions", ("Retry-After: 300",))
        return sorted(others, key=_absence, reverse=True)[:count]

    def _expires(self, request: Request) -> int:
        """Return the seconds that a SUBSCRIBE gets (RFC 6665 4.2.1.1)."""
        seconds = parse_expires(request.fields.get("expires"), DEFAULT_EXPIRES)
        if 0 < seconds < self._min_expires:
            raise SipError(423, None, (f"Min-Expires: {self._min_expires}",))
        return min(seconds, self._max_expires)


def _content(request: Request, account: Account, package: EventPackage) -> object:
    """Understand the body, if there is one (RFC 3261 8.2.3). Raises SipError."""
    if not request.body.strip():
        return None
    disposition = (request.get("content-disposition") or "").lower()
    optional = "handling=optional" in disposition.replace(" ", "")
    encoding = (request.get("content-encoding") or "identity").lower()
    if encoding != "identity":
        if optional:
            return None
        raise SipError(415, None, ("Accept-Encoding: identity",))
    content_type = (request.get("content-type") or "").partition(";")[0]
    if not package.takes(content_type.strip(" \t").lower()):
        if optional:
            return None
        raise SipError(415, None, (f"Accept: {package.accept}",))
    return package.parse(account, request.body)


def _subscription_of(dialog: Dialog, event_id: str | None) -> Subscription | None:
    for subscription in dialog.subscriptions:
        if subscription.event_id == event_id:
            return subscription
    return None


def _absence(subscription: Subscription) -> int:
    """Return how little is lost with a subscription; 0 where its phone is there."""
    if subscription.ending is not None:
        return 4
    dialog = subscription.dialog
    gone = dialog.flow.closed and not dialog.routes and not dialog.listens
    return 2 * gone + subscription.suspended


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
