"""The subscriptions and dialogs of a server, by what they are looked up by."""

from collections.abc import Iterable, Iterator

from ..access.accounts import Account
from ..transport.flow import Flow
from ..wire.message import Request
from .dialog import Dialog, Subscription


class Subscriptions:
    """Subscriptions by line, dialogs by our tag and by their connection."""

    def __init__(self) -> None:
        """Start with none."""
        self._dialogs: dict[str, Dialog] = {}
        self._by_account: dict[Account, tuple[Subscription, ...]] = {}
        self._by_stream: dict[Flow, set[Dialog]] = {}

    def __iter__(self) -> Iterator[Subscription]:
        """Iterate over all subscriptions."""
        for subscriptions in self._by_account.values():
            yield from subscriptions

    @property
    def dialogs(self) -> tuple[Dialog, ...]:
        """Return all dialogs."""
        return tuple(self._dialogs.values())

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

    def add_dialog(self, dialog: Dialog) -> None:
        """Let requests find a dialog."""
        self._dialogs[dialog.local_tag] = dialog

    def add(self, subscription: Subscription) -> None:
        """Add a subscription to its line and dialog."""
        dialog, account = subscription.dialog, subscription.account
        own = (subscription,)
        dialog.subscriptions += own
        self._by_account[account] = self.of(account) + own

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription, and its dialog with the last one (RFC 6665 4.4.1)."""
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

    def follow_stream(self, dialog: Dialog, before: Flow | None) -> None:
        """Remember which dialogs a connection carries."""
        if dialog.flow is before:
            return
        if before is not None:
            self._leave_stream(dialog, before)
        if dialog.flow.reliable:
            self.watch_stream(dialog, dialog.flow)

    def watch_stream(self, dialog: Dialog, flow: Flow) -> None:
        """Count a dialog among those that a connection carries."""
        self._by_stream.setdefault(flow, set()).add(dialog)

    def take_stream(self, flow: Flow) -> Iterable[Dialog]:
        """Return the dialogs that a connection carried; it carries none from now on."""
        return self._by_stream.pop(flow, ())

    def _leave_stream(self, dialog: Dialog, flow: Flow) -> None:
        dialogs = self._by_stream.get(flow)
        if dialogs is not None:
            dialogs.discard(dialog)
            if not dialogs:
                del self._by_stream[flow]


def _without(
    subscriptions: tuple[Subscription, ...], gone: Subscription
) -> tuple[Subscription, ...]:
    position = subscriptions.index(gone)
    return subscriptions[:position] + subscriptions[position + 1 :]
