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
from .notifier import Dialog, EventPackage, Notifier, Subscription
from .registrar import DEFAULT_EXPIRES, parse_expires


class Subscribe:
    """Answers SUBSCRIBE."""

    def __init__(
        self,
        notifier: Notifier,
        accounts: Accounts,
        packages: Mapping[str, EventPackage],
        domains: Domains,
        contact: Callable[[str, Flow], str],
        *,
        min_expires: int,
        max_expires: int,
    ) -> None:
        """Grant between `min_expires` and `max_expires` seconds.

        `contact` writes our Contact for a user on a flow.
        """
        self._notifier = notifier
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
        subscription = self._notifier.open(
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
        notifier = self._notifier
        dialog = notifier.find_dialog(request)
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
            notifier.check_room(account, dialog)
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
                package.subscribed(subscription, None)
            return
        notifier.refresh(dialog, request, transaction.flow)
        if subscription is None:
            subscription = notifier.add(account, package, dialog, event_id, request)
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
        subscription.package.subscribed(subscription, command)

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
