"""Dialogs that outlive a restart: what is written of them, and how they go on.

RFC 6665 4.1 has no end of a subscription for a notifier that restarts: its phones are
told the full state in their old dialogs.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from ..access.accounts import Account
from ..clock import Clock, Timers
from ..snapshot import DialogRecord, SubscriptionRecord, flow_record, resumed_cseq
from ..transport.flow import Flow
from ..wire.headers import parse_uri
from .dialog import Dialog, EventPackage, Subscription
from .notifier import SLICE, Notifier

# Seconds between slices of the NOTIFYs that follow a start, so that the phones' answers
# do not overflow anything.
RESUME_PAUSE: Final = 0.05

# No remembered subscription lasts longer, in seconds, whatever the wall clock says.
MAX_REMEMBERED: Final = 3600.0


class DialogMemory:
    """Writes dialogs down, and takes them back."""

    def __init__(self, clock: Clock, timers: Timers, notifier: Notifier) -> None:
        """Look after the dialogs of `notifier`."""
        self._clock = clock
        self._timers = timers
        self._notifier = notifier
        self._subscriptions = notifier.subscriptions

    def records(self) -> Iterator[DialogRecord]:
        """Return what there is to remember, a record a dialog.

        Dialogs may come and go between two records; each is whole in itself.
        """
        for dialog in self._subscriptions.dialogs:
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
        """Take back a dialog; `resume` goes on with it.

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
                self._notifier,
            )
            left = item["expires_at"] - self._clock.time()
            subscription.expires_at = now + min(left, MAX_REMEMBERED) + grace
            subscription.grace = grace
            subscription.suspended = True
            remembered.append(subscription)
        # All of them or none: a dialog that is not known cannot be refreshed.
        for subscription in remembered:
            self._subscriptions.add(subscription)
            self._notifier.watch_expiry(subscription)
        if dialog.subscriptions:
            self._subscriptions.add_dialog(dialog)

    def resume(self) -> None:
        """Tell every phone of an earlier run the full state, a few at a time."""
        self._resume_some(tuple(self._subscriptions))

    def _resume_some(self, subscriptions: tuple[Subscription, ...]) -> None:
        for subscription in subscriptions[:SLICE]:
            if subscription.suspended and subscription.hold is None:
                self._notifier.resume(subscription)
        if rest := subscriptions[SLICE:]:
            self._timers.after(RESUME_PAUSE, lambda: self._resume_some(rest))


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
