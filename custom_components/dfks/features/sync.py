"""The one way through the house for a change, and for the state.

    FeatureChange -> model -> store and entities (events), one NOTIFY to every watcher

Whoever asks for a change, a phone or Home Assistant, comes through here, and entities
and phones alike are told from the model alone.
"""

from collections.abc import Callable, Mapping
from typing import override

from ..sip.headers import bracketed, encode_user
from ..sip.notifier import (
    ALL,
    FULL,
    NOTHING,
    EventPackage,
    Notification,
    Subscription,
    Topics,
)
from ..sip.registrar import Account
from ..sip.server import SipServer
from .documents import (
    CONTENT_TYPE,
    MULTIPART,
    Command,
    event_document,
    multipart,
    parse_command,
)
from .model import (
    ChangeOutcome,
    ConnectionChanged,
    Feature,
    FeatureChange,
    FeatureChanged,
    FeatureState,
    Line,
    LineConfig,
    LineEvent,
    Listener,
    NotifyStyle,
    Origin,
)

# Reasons (RFC 6665 4.1.3) that come with no state: the line is no more.
_WITHOUT_STATE = frozenset({"noresource", "deactivated"})


class FeatureSync(EventPackage):
    """The event package as-feature-event for the lines of a server."""

    name = "as-feature-event"
    accept = CONTENT_TYPE

    def __init__(self, server: SipServer) -> None:
        """Become an event package of `server`."""
        self.lines: dict[str, Line] = {}
        self._server = server
        self._notifier = server.notifier
        self._by_account: dict[Account, Line] = {}
        self._listeners: tuple[Listener, ...] = ()
        # The body written last, and for what: a fan-out needs it many times over.
        self._written: tuple[Line, Topics, Notification] | None = None
        server.add_package(self)

    # Lines

    def add_line(
        self,
        config: LineConfig,
        states: Mapping[Feature, FeatureState] | None = None,
    ) -> Line:
        """Serve a line. Raises ValueError where user or auth name is taken."""
        credentials = self._server.make_credentials(config.auth_name, config.password)
        account = Account(config.id, config.user, credentials)
        self._server.add_account(account)
        line = Line(config, account, self._presentity(config), states or {})
        self.lines[config.id] = line
        self._by_account[account] = line
        return line

    def update_line(self, config: LineConfig) -> None:
        """Take a line's new configuration; states, dialogs and listeners stay.

        Raises ValueError where user or auth name is taken, and changes nothing then.
        """
        line = self.lines[config.id]
        credentials = self._server.make_credentials(config.auth_name, config.password)
        self._server.change_account(line.account, config.user, credentials)
        before = line.config
        line.configure(config, self._presentity(config))
        self._written = None
        if (before.assigned, before.user) != (config.assigned, config.user):
            self._notifier.notify_all(line.account, ALL)

    def remove_line(self, line_id: str) -> None:
        """Stop serving a line; its phones are told that it is no more."""
        line = self.lines.pop(line_id)
        self._server.remove_account(line.account, "noresource")
        self._forget_removed(line)

    def _forget_removed(self, line: Line) -> None:
        """Let go of a removed line once the last of its phones has been told."""
        if line.config.id not in self.lines and not self._notifier.of(line.account):
            self._by_account.pop(line.account, None)

    def _presentity(self, config: LineConfig) -> str:
        return f"sip:{encode_user(config.user)}@{self._server.config.realm}"

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with the events of all lines; returns what ends that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(
                other for other in self._listeners if other is not listener
            )

        return unsubscribe

    def _publish(self, event: LineEvent) -> None:
        for listener in self._listeners:
            listener(event)
        event.line.publish(event)

    # Changes

    async def change(self, line_id: str, change: FeatureChange) -> ChangeOutcome:
        """Change a feature from Home Assistant. Raises ChangeRefused."""
        return self._commit(self.lines[line_id], change, None)

    def _commit(
        self, line: Line, change: FeatureChange, sender: Subscription | None
    ) -> ChangeOutcome:
        """Store a change and tell everybody whom it concerns.

        A change that changes nothing is not passed on: a phone whose key dials a
        code that makes the server toggle would otherwise never come to rest. The
        phone itself is told, because its lamp follows the NOTIFY; an action always
        tells all, so that there is a way to set every lamp right.
        """
        feature = change.feature
        old = line.state(feature)
        new = change.applied_to(old)
        topics = frozenset((feature,))
        if new != old:
            line.store(feature, new)
            self._written = None
            self._publish(FeatureChanged(line, old, new, change))
        elif change.origin is Origin.PHONE and sender is not None:
            self._notifier.notify(sender, topics)
            return ChangeOutcome(new, 1)
        elif change.origin is Origin.ENTITY:
            return ChangeOutcome(new, 0)
        return ChangeOutcome(new, self._notifier.notify_all(line.account, topics))

    # The event package

    @override
    def takes(self, content_type: str) -> bool:
        """Take XML under any name, and a body without a name for it."""
        return not content_type or content_type.endswith(("/xml", "+xml"))

    @override
    def parse(self, account: Account, body: bytes) -> Command | None:
        """Return what a phone asks for; None for what it cannot have."""
        command = parse_command(body)
        if command is None or command.feature not in self._by_account[account].assigned:
            return None
        return command

    @override
    def subscribed(self, subscription: Subscription, command: object) -> None:
        """Make a phone's change, or tell it everything."""
        if not isinstance(command, Command):
            self._notifier.notify(subscription, ALL)
            return
        if subscription.ending is not None:
            # The last NOTIFY of a subscription tells everything.
            self._notifier.owe(subscription, ALL)
        host, port = subscription.dialog.flow.remote
        change = FeatureChange(
            feature=command.feature,
            status=command.status,
            forward_to=command.forward_to,
            ring_count=command.ring_count,
            origin=Origin.PHONE,
            source=f"{bracketed(host)}:{port}",
        )
        self._commit(self._by_account[subscription.account], change, subscription)

    @override
    def render(self, subscription: Subscription, topics: Topics) -> Notification:
        """Write the documents of some features, or of all that are assigned."""
        if subscription.ending in _WITHOUT_STATE:
            return Notification("", b"")
        line = self._by_account[subscription.account]
        if self._written is not None:
            written_line, written_topics, notification = self._written
            if written_line is line and written_topics == topics:
                return notification
        notification = self._write(line, topics)
        self._written = (line, topics, notification)
        return notification

    @staticmethod
    def _write(line: Line, topics: Topics) -> Notification:
        features = line.assigned
        if FULL not in topics:
            features = tuple(feature for feature in features if feature in topics)
        left = NOTHING
        if line.style is NotifyStyle.SEPARATE and len(features) > 1:
            left = frozenset(features[1:])
            features = features[:1]
        documents = [
            (feature, event_document(feature, line.state(feature), line.config.user))
            for feature in features
        ]
        if not documents:
            return Notification("", b"")
        if len(documents) == 1:
            return Notification(CONTENT_TYPE, documents[0][1], left)
        return Notification(MULTIPART, multipart(documents))

    @override
    def unreadable(self, subscription: Subscription) -> bool:
        """Send one NOTIFY a feature from now on to a line that refused multipart."""
        line = self._by_account[subscription.account]
        told = subscription.told
        parts = len(line.assigned) if FULL in told else len(told)
        if line.style is NotifyStyle.SEPARATE or parts < 2:
            return False
        line.style = NotifyStyle.SEPARATE
        self._written = None
        return True

    @override
    def watchers_changed(self, account: Account) -> None:
        """Follow who watches a line."""
        line = self._by_account[account]
        live = sum(subscription.live for subscription in self._notifier.of(account))
        line.watchers = live
        if line.connected != (live > 0):
            line.connected = live > 0
            self._publish(ConnectionChanged(line, line.connected))
        self._forget_removed(line)
