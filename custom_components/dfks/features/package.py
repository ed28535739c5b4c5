"""The event package as phones see it: what they may ask for, and what they are told."""

from abc import abstractmethod
from collections.abc import Callable
import logging
from typing import override

from ..sip import (
    ALL,
    Account,
    EventPackage,
    Notification,
    SipError,
    SipServer,
    Subscription,
    Topics,
    bracketed,
)
from .documents import CONTENT_TYPE, Command, parse_command, refusal
from .model import (
    ChangeRequest,
    ConnectionChanged,
    Line,
    LineEvent,
    NotifyStyle,
    Origin,
    WatchersChanged,
)
from .notify_documents import NotifyDocuments
from .targets import dialable

_LOGGER = logging.getLogger(__name__)


class FeaturePackage(EventPackage):
    """The event package as-feature-event; what becomes of a change is `FeatureSync`'s."""

    name = "as-feature-event"
    accept = CONTENT_TYPE

    def __init__(self, server: SipServer, new_context: Callable[[], object]) -> None:
        """Tell the phones of a server."""
        self._notifier = server.notifier
        self._documents = NotifyDocuments(server.clock)
        self._new_context = new_context

    @abstractmethod
    def tell(self, event: LineEvent) -> None:
        """Publish an event of a line."""

    @abstractmethod
    def _change_from_phone(
        self, line: Line, change: ChangeRequest, sender: Subscription
    ) -> None:
        """Make a phone's change, now or when it is its turn."""

    @override
    def takes(self, content_type: str) -> bool:
        """Take XML under any name, and a body without a name for it."""
        return not content_type or content_type.endswith(("/xml", "+xml"))

    @override
    def parse(self, account: Account, body: bytes) -> Command | None:
        """Return what a phone asks for; None for what it cannot have.

        Raises SipError: 400 for what makes no sense, a target that nobody can call
        included; 503 while the PBX of a followed line cannot be asked.
        """
        command = parse_command(body)
        line = line_of(account)
        if command is None or command.feature not in line.assigned:
            _LOGGER.debug(
                "Line %s: its phone asks for what it cannot have", account.user
            )
            return None
        if command.forward_to is not None:
            command.forward_to = dialable(command.forward_to)
            if command.forward_to is None:
                raise refusal("forwardDN is neither a number nor a SIP URI")
        if not line.available:
            # Not 480, which would end the phone's subscription (RFC 6665 4.1.2.2).
            raise SipError(503, "The PBX of the line does not answer")
        return command

    @override
    def command(self, subscription: Subscription, command: object) -> None:
        """Make a phone's change."""
        assert isinstance(command, Command)
        if subscription.ending is not None:
            # The last NOTIFY of a subscription tells everything.
            self._notifier.owe(subscription, ALL)
        change = ChangeRequest(
            feature=command.feature,
            status=command.status,
            forward_to=command.forward_to,
            ring_count=command.ring_count,
            origin=Origin.PHONE,
            source=source_of(subscription),
            agent=subscription.user_agent,
            context=self._new_context(),
        )
        line = line_of(subscription.account)
        self._change_from_phone(line, change, subscription)

    @override
    def render(self, subscription: Subscription, topics: Topics) -> Notification:
        """Write the documents of some features, or of all that are assigned."""
        line = line_of(subscription.account)
        return self._documents.render(line, subscription, topics)

    def style_in_use(self, line: Line) -> NotifyStyle:
        """Return the style of a line, separate where one of its phones needs that."""
        return self._documents.style_in_use(line, self._notifier.of(line))

    @override
    def unreadable(self, subscription: Subscription, *, silence: bool) -> bool:
        """Send one NOTIFY per feature from now on to a phone that takes no multipart."""
        return self._documents.unreadable(subscription, silence=silence)

    @override
    def unreachable(self, subscription: Subscription) -> None:
        """Try multipart again on a phone that does not answer single features either."""
        self._documents.unreachable(subscription)

    @override
    def watchers_changed(self, account: Account) -> None:
        """Follow who watches a line."""
        line = line_of(account)
        live = len([item for item in self._notifier.of(account) if item.live])
        if live != line.watchers:
            connected = line.connected
            line.watchers, line.connected = live, live > 0
            self.tell(WatchersChanged(line, live))
            if line.connected is not connected:
                self.tell(ConnectionChanged(line, line.connected))


def line_of(account: Account) -> Line:
    """Return an account that watches this package: all of them are lines."""
    assert isinstance(account, Line)
    return account


def source_of(subscription: Subscription) -> str:
    """Return host:port of a phone."""
    host, port = subscription.dialog.flow.remote
    return f"{bracketed(host)}:{port}"
