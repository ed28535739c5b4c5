"""Which flow a dialog goes over when its phone moves or its connection is lost.

What a phone's requests in a dialog say about it is in dialog.py.
"""

from ..access.accounts import Account
from ..transport.flow import Flow, FlowError
from ..wire.headers import HeaderError, parse_address, parse_uri, same_uri
from ..wire.message import Request
from .dialog import Dialog, Subscription, same_ends
from .next_hop import NextHops
from .notifier import Notifier
from .registrar import instance_of


class DialogFlows:
    """Moves dialogs to other flows."""

    def __init__(self, notifier: Notifier, next_hops: NextHops) -> None:
        """Look after the dialogs of `notifier`."""
        self._notifier = notifier
        self._subscriptions = notifier.subscriptions
        self._next_hops = next_hops

    def heard(self, account: Account, request: Request, flow: Flow) -> None:
        """Take note that a phone of a line is alive: tell it what it has missed."""
        for subscription in self._subscriptions.of(account):
            dialog = subscription.dialog
            before = dialog.flow
            if not (subscription.suspended or before.closed) or not _is_from(
                subscription, request, flow
            ):
                continue
            if self._has_moved(subscription, request, flow):
                if subscription.in_flight is not None:
                    # Whatever is tried at its Contact is in vain: it is over here.
                    self._notifier.suspend(subscription)
                if not dialog.subscriptions:
                    # It had ended, and goes with the NOTIFY that was in vain.
                    continue
                self._move(dialog, flow)
                self._notifier.go_on_in(dialog)
            if subscription.suspended:
                self._notifier.resume(subscription)

    def follow(self, account: Account, before: Flow, flow: Flow) -> None:
        """Go on over another flow with what a phone of a line had over one before."""
        for subscription in self._subscriptions.of(account):
            dialog = subscription.dialog
            if dialog.routes or not same_ends(dialog.flow, before):
                continue
            self._move(dialog, flow)
            if subscription.suspended:
                self._notifier.resume(subscription)
            else:
                self._notifier.go_on(subscription)

    def _move(self, dialog: Dialog, flow: Flow) -> None:
        """Go on over another flow with a dialog."""
        before = dialog.flow
        dialog.move_to(flow)
        self._subscriptions.follow_stream(dialog, before)
        self._notifier.changed(urgent=True)

    def lost(self, flow: Flow) -> None:
        """Suspend what went over a connection that is gone.

        A proxy closes connections that are idle; its Route leads to it all the same. So
        may the Contact of a phone that closes what is idle and takes connections there,
        which is found out at once where nobody knows it yet: such a phone is there.
        """
        for dialog in self._subscriptions.take_stream(flow):
            if flow is not dialog.flow:
                self._contact_lost(dialog, flow)
                continue
            hop = dialog.next_hop
            if dialog.routes or (hop is not None and not hop.closed):
                continue
            if not (
                self._next_hops.may_listen(dialog)
                and (dialog.listens or _is_told(dialog) or self._connect(dialog))
            ):
                self._suspend(dialog)

    def _connect(self, dialog: Dialog) -> bool:
        """Open a connection to the Contact of a dialog; False where that cannot be."""
        try:
            hop = self._next_hops.find(dialog)
        except FlowError:
            return False
        self._subscriptions.watch_stream(dialog, hop)
        return True

    def _contact_lost(self, dialog: Dialog, flow: Flow) -> None:
        """Suspend a dialog whose Contact has not taken the connection to it."""
        if (
            flow.lasted
            or dialog.next_hop is not flow
            or not dialog.flow.closed
            # What becomes of a NOTIFY says more.
            or _is_told(dialog)
        ):
            return
        dialog.listens = False
        self._suspend(dialog)

    def _suspend(self, dialog: Dialog) -> None:
        for subscription in dialog.subscriptions:
            self._notifier.suspend(subscription)

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
            or (same_ends(flow, before) and not before.closed)
        ):
            return False
        instance = instance_of(request)
        if instance and subscription.instance:
            return instance == subscription.instance
        # Without an instance only the Contact tells phones at one address apart.
        return _names_contact(request, dialog.target) and not any(
            same_ends(other.dialog.flow, flow) and other.dialog.target != dialog.target
            for other in self._subscriptions.of(subscription.account)
        )


def _is_told(dialog: Dialog) -> bool:
    """Whether a NOTIFY of a dialog waits for its answer."""
    return any(subscription.in_flight for subscription in dialog.subscriptions)


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
