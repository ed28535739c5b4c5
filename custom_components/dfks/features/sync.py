"""The one way through the house for a change, and for the state.

    FeatureChange -> set hook (may rewrite or refuse) -> model
                  -> store and entities (events), one NOTIFY to every watcher
    full state    -> get hook (may supply or hide) -> model -> NOTIFY

Whoever asks for a change, a phone or Home Assistant, comes through here, and entities
and phones alike are told from the model alone. Without hooks all of it happens at once,
in the call that asks for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
import contextlib
from dataclasses import replace
import logging
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
from .hooks import HOOK_TIMEOUT, GetHook, HookQueue, Ruling, SetHook, inside_hook
from .model import (
    ChangeOutcome,
    ChangeRefused,
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

_LOGGER = logging.getLogger(__name__)

# Reasons (RFC 6665 4.1.3) that come with no state: the line is no more.
_WITHOUT_STATE = frozenset({"noresource", "deactivated"})


# A set of topics that names no feature: a NOTIFY without a body.
NO_FEATURE = frozenset({"none"})


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
        # Run for each change, and for each feature of the full state.
        self.set_hook: SetHook | None = None
        self.get_hook: GetHook | None = None
        self.hook_timeout = HOOK_TIMEOUT
        self.queue = HookQueue()
        # The changes of Home Assistant that wait for a hook.
        self._outcomes: set[asyncio.Future[ChangeOutcome]] = set()
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

    async def stop(self) -> None:
        """Refuse the changes that wait for a hook."""
        await self.queue.stop()
        for outcome in self._outcomes:
            if not outcome.done():
                outcome.set_exception(ChangeRefused("Home Assistant is stopping"))

    async def change(self, line_id: str, change: FeatureChange) -> ChangeOutcome:
        """Change a feature from Home Assistant. Raises ChangeRefused."""
        line = self.lines[line_id]
        if self._is_immediate():
            return self._commit(line, change, None)
        if self.queue.full:
            raise ChangeRefused("Too many changes are waiting")
        outcome: asyncio.Future[ChangeOutcome] = (
            asyncio.get_running_loop().create_future()
        )
        self._outcomes.add(outcome)
        outcome.add_done_callback(self._outcomes.discard)

        async def run() -> None:
            if outcome.done():
                # The caller has given up.
                return
            try:
                result = await self._rule(line, change, None)
            except ChangeRefused as err:
                if not outcome.done():
                    outcome.set_exception(err)
            else:
                if not outcome.done():
                    outcome.set_result(result)

        self.queue.put(run)
        return await outcome

    def _is_immediate(self) -> bool:
        """Whether a change need not stand in the queue."""
        return inside_hook.get() or (self.set_hook is None and not self.queue.busy)

    def _change_from_phone(
        self, line: Line, change: FeatureChange, sender: Subscription
    ) -> None:
        """Make a phone's change, now or when it is its turn."""
        if self._is_immediate():
            self._commit(line, change, sender)
            return
        lamp = frozenset((change.feature,))
        if self.queue.full:
            self._notifier.notify(sender, lamp)
            return

        async def run() -> None:
            try:
                await self._rule(line, change, sender)
            except ChangeRefused:
                self._notifier.notify(sender, lamp)

        self.queue.put(run)

    async def _rule(
        self, line: Line, change: FeatureChange, sender: Subscription | None
    ) -> ChangeOutcome:
        """Ask the set hook about a change and make it. Raises ChangeRefused."""
        ruling = Ruling()
        if self.set_hook is not None:
            ruling = await self._ask(self.set_hook(line, change))
        if line.config.id not in self.lines:
            raise ChangeRefused("The line has been removed")
        change = _ruled(change, ruling)
        hidden = not ruling.assigned and sender is not None
        outcome = self._commit(line, change, sender, quiet=hidden or not ruling.notify)
        if sender is not None and hidden:
            rest = frozenset(line.assigned) - {change.feature}
            self._notifier.notify(sender, rest or NO_FEATURE)
        return outcome

    async def _ask[T](self, call: Awaitable[T]) -> T:
        """Wait for a hook; whatever goes wrong is a refusal. Raises ChangeRefused."""
        token = inside_hook.set(True)
        try:
            async with asyncio.timeout(self.hook_timeout):
                return await call
        except ChangeRefused:
            raise
        except TimeoutError as err:
            raise ChangeRefused("The script took too long") from err
        except Exception as err:
            _LOGGER.warning("A hook failed: %s", type(err).__name__)
            raise ChangeRefused("The script failed") from err
        finally:
            inside_hook.reset(token)

    def _tell_all(self, subscription: Subscription) -> None:
        """Tell a phone the full state, now or when the get hook has had its turn."""
        if self.get_hook is None and not self.queue.busy:
            self._notifier.notify(subscription, ALL)
            return

        async def run() -> None:
            await self._supply(subscription)

        self.queue.put(run)

    async def _supply(self, subscription: Subscription) -> None:
        """Ask the get hook about each feature and tell a phone what comes of it."""
        line = self._by_account.get(subscription.account)
        if line is None or self.get_hook is None:
            self._notifier.notify(subscription, ALL)
            return
        shown = set()
        changed = set()
        for feature in line.assigned:
            before = line.state(feature)
            ruling = Ruling()
            with contextlib.suppress(ChangeRefused):
                ruling = await self._ask(self.get_hook(line, feature))
                supplied = FeatureChange(feature=feature, origin=Origin.ENTITY)
                self._commit(line, _ruled(supplied, ruling), None, quiet=True)
            if line.state(feature) != before:
                changed.add(feature)
            if ruling.assigned and ruling.notify:
                shown.add(feature)
        all_shown = len(shown) == len(line.assigned)
        topics = ALL if all_shown else frozenset(shown) or NO_FEATURE
        self._notifier.notify(subscription, topics)
        for other in self._notifier.of(line.account):
            if changed and other is not subscription:
                self._notifier.notify(other, frozenset(changed))

    def _commit(
        self,
        line: Line,
        change: FeatureChange,
        sender: Subscription | None,
        *,
        quiet: bool = False,
    ) -> ChangeOutcome:
        """Store a change and tell everybody whom it concerns.

        A change that changes nothing is not passed on: a phone whose key dials a
        code that makes the server toggle would otherwise never come to rest. The
        phone itself is told, because its lamp follows the NOTIFY; an action always
        tells all, so that there is a way to set every lamp right. Quiet tells nobody.
        """
        feature = change.feature
        old = line.state(feature)
        new = change.applied_to(old)
        topics = frozenset((feature,))
        if new != old:
            line.store(feature, new)
            self._written = None
            self._publish(FeatureChanged(line, old, new, change))
        if quiet:
            return ChangeOutcome(new, 0)
        if new != old:
            return ChangeOutcome(new, self._notifier.notify_all(line.account, topics))
        if change.origin is Origin.PHONE and sender is not None:
            self._notifier.notify(sender, topics)
            return ChangeOutcome(new, 1)
        if change.origin is Origin.ENTITY:
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
            self._tell_all(subscription)
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
        line = self._by_account[subscription.account]
        self._change_from_phone(line, change, subscription)

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
        if subscription.told_as != MULTIPART:
            return False
        self._by_account[subscription.account].style = NotifyStyle.SEPARATE
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


def _ruled(change: FeatureChange, ruling: Ruling) -> FeatureChange:
    """Return a change with what a hook has put in its place. Raises ChangeRefused."""
    status = change.status if ruling.status is None else ruling.status
    forward_to = change.forward_to if ruling.forward_to is None else ruling.forward_to
    ring_count = change.ring_count if ruling.ring_count is None else ruling.ring_count
    try:
        return replace(
            change, status=status, forward_to=forward_to, ring_count=ring_count
        )
    except ValueError as err:
        raise ChangeRefused(f"The script answered nonsense: {err}") from err
