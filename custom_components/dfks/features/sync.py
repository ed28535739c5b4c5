"""The one way through the house for a change, and for the state.

    ChangeRequest -> set hook (may rewrite or refuse) -> model
                  -> store and entities (events), one NOTIFY to every watcher
    full state    -> get hook (may supply or hide) -> model -> NOTIFY

Whoever asks for a change, a phone or Home Assistant, comes through here, and entities
and phones alike are told from the model alone. Without hooks all of it happens at once,
in the call that asks for it. With hooks it happens in their queue: lines in turn, what is
of one line in order of arrival.

The state of a followed line (`follow`) is its PBX's. A change of it waits in the same way,
in a queue of its line, for what the PBX makes of it:

    ChangeRequest -> the line's `asker` -> PBX
    what the PBX says -> model -> store and entities, one NOTIFY to every watcher
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
import logging
from typing import Final, override

from ..sip import ALL, NOTHING, Hashes, SipServer, Subscription, Topics
from .checks import check, check_claims, check_target, removed, stopping
from .claims import claims_after, due, ends_nothing, returned
from .damping import Damping
from .hooks import (
    HOOK_TIMEOUT,
    HookQueue,
    Hooks,
    Ruling,
    ask_get_hook,
    ask_set_hook,
    is_hooks_own,
)
from .model import (
    Asker,
    ChangeOutcome,
    ChangeRefused,
    ChangeRequest,
    Claims,
    ClaimsChanged,
    Feature,
    FeatureChanged,
    FeatureState,
    Line,
    LineConfig,
    LineEvent,
    LineMemory,
    Origin,
    Refusal,
    sorted_features,
)
from .package import FeaturePackage, line_of, source_of
from .publisher import Publisher
from .waiting import WaitingChange

_LOGGER = logging.getLogger(__name__)

# A set of topics that names no feature: a NOTIFY without a body.
NO_FEATURE = frozenset({"none"})

# Changes of one line that may wait for the set hook, after merging; more are refused.
# Enough for all features of some phones; a key must not work minutes after it was pressed.
MAX_WAITING: Final = 16


class FeatureSync(Publisher[[LineEvent]], FeaturePackage):
    """The event package as-feature-event for the lines of a server.

    Its listeners hear the events of all lines, those of a line the events of that one.
    """

    def __init__(
        self, server: SipServer, new_context: Callable[[], object] = lambda: None
    ) -> None:
        """Keep the lines of `server`; `server.add_package` makes it known there.

        `new_context` makes the context of a change that brings none: one for the
        whole change, whoever is told of it.
        """
        Publisher.__init__(self)
        FeaturePackage.__init__(self, server, new_context)
        self.lines: dict[str, Line] = {}
        self._server = server
        # Asked about each change, and about each feature of the full state.
        self.hooks = Hooks()
        # Seconds.
        self.hook_timeout = HOOK_TIMEOUT
        self.queue = HookQueue()
        # One a followed line: PBXs are slow, and none waits for another.
        self._pbx_queues: dict[Line, HookQueue] = {}
        # The changes that wait, by line, and the futures of Home Assistant's.
        self._waiting: dict[str, list[WaitingChange]] = {}
        self._outcomes: set[asyncio.Future[ChangeOutcome]] = set()
        # Who waits for the get hook to be asked about a line.
        self._asking: dict[Line, dict[Subscription, None]] = {}
        self._damping = Damping(server.clock, server.notifier)

    # Lines

    def add_line(
        self,
        config: LineConfig,
        states: Mapping[Feature, FeatureState] | None = None,
        claims: Mapping[Feature, Claims] | None = None,
    ) -> Line:
        """Serve a line. Raises ValueError where user or auth name is taken."""
        hashes = self._hashes_of(config)
        memory = LineMemory(states or {}, claims or {})
        line = Line(config, hashes, self._server.config.realm, memory)
        self._server.add_account(line)
        self.lines[config.id] = line
        return line

    def update_line(self, config: LineConfig) -> bool:
        """Take a line's new configuration; states, dialogs and listeners stay.

        Returns whether it is another one. Raises ValueError where user or auth name is
        taken, and changes nothing then.
        """
        line = self.lines[config.id]
        before = line.configuration
        self._server.change_account(
            line, config.user, config.auth_name, self._hashes_of(config), config.pbx
        )
        line.assigned = sorted_features(config.assigned)
        line.style = config.style
        return self.tell_settings(line, before)

    def tell_settings(self, line: Line, before: tuple[object, ...]) -> bool:
        """Tell phones what other settings mean to them; False where these are not."""
        if line.configuration == before:
            return False
        for subscription in self._notifier.of(line):
            self._documents.try_multipart(subscription)
        self._documents.forget()
        if line.configuration[:2] != before[:2]:
            for subscription in self._notifier.of(line):
                self.send_full_state(subscription)
        return True

    def _hashes_of(self, config: LineConfig) -> Hashes:
        """Return what to keep of a line's password; a line at a PBX has none."""
        if config.pbx is not None:
            return ()
        return self._server.hash_password(config.auth_name, config.password)

    def remove_line(self, line_id: str, reason: str = "noresource") -> None:
        """Stop serving a line; its phones are told so with `reason`.

        RFC 6665 4.1.3: by default that the line is no more; `deactivated` where it may
        well come back.
        """
        line = self.lines.pop(line_id)
        self._damping.forget(line)
        self._server.remove_account(line, reason)

    def adopt(self, line: Line) -> None:
        """Keep a line whose state is not ours: who is asked is its `asker`."""
        self.lines[line.id] = line
        self._pbx_queues[line] = HookQueue()

    def serve(self, line: Line, user: str, password: str | None) -> None:
        """Give an adopted line its user; with a `password` phones log in here by it.

        Raises ValueError where the user is taken, and changes nothing then.
        """
        if password is None:
            self._end_service(line, "noresource")
            line.user = line.username = user
            line.hashes = ()
        else:
            hashes = self._server.hash_password(user, password)
            if line.served:
                self._server.change_account(line, user, user, hashes)
            else:
                self._begin_service(line, user, hashes)

    def release(self, line: Line) -> None:
        """Keep an adopted line no more; its phones are told so."""
        del self.lines[line.id]
        del self._pbx_queues[line]
        self._end_service(line, "noresource")

    def _begin_service(self, line: Line, user: str, hashes: Hashes) -> None:
        """Let phones log in for an adopted line. Raises ValueError."""
        names = line.user, line.username, line.hashes
        line.user, line.username, line.hashes = user, user, hashes
        try:
            self._server.add_account(line)
        except ValueError:
            line.user, line.username, line.hashes = names
            raise
        line.served = True

    def _end_service(self, line: Line, reason: str) -> None:
        """Serve the phones of an adopted line no more."""
        if line.served:
            self._damping.forget(line)
            self._server.remove_account(line, reason)
            line.served = False

    def report(self, line: Line, change: ChangeRequest, new: FeatureState) -> None:
        """Store what the PBX of an adopted line says, and tell the line's phones.

        They are told what is new to them, be it said for the first time.
        """
        feature, old = change.feature, line.state(change.feature)
        is_first = feature in line.hidden
        self._show(line, line.hidden - {feature})
        self.take(line, change, new)
        if not self._notifier.of(line) or feature not in line.assigned:
            return
        if new != old:
            self._damping.changed(line, feature, old, new)
        if new != old or is_first:
            self._damping.tell(line, feature)

    @override
    def tell(self, event: LineEvent) -> None:
        """Publish an event of a line, also to the listeners of that one."""
        self.publish(event)
        event.line.publish(event)

    # Changes

    async def stop(self) -> None:
        """Refuse the changes that wait for a hook, and all that would have to."""
        self._damping.stop()
        for queue in (self.queue, *self._pbx_queues.values()):
            await queue.stop()
        self._waiting.clear()
        for outcome in self._outcomes:
            if not outcome.done():
                outcome.set_exception(stopping())

    async def change(self, line_id: str, change: ChangeRequest) -> ChangeOutcome:
        """Change a feature from Home Assistant. Raises ChangeRefused."""
        line = self.lines.get(line_id)
        if line is None:
            raise removed()
        if change.context is None:
            change = replace(change, context=self._new_context())
        if line.asker is None and (
            self._asks_nobody(line) or is_hooks_own(line, change.feature)
        ):
            change = returned(line, change)
            check(line, change)
            return self._commit(line, change, None)
        outcome = self._wait(line, change, None).outcome()
        self._outcomes.add(outcome)
        outcome.add_done_callback(self._outcomes.discard)
        return await outcome

    def check(self, line: Line, change: ChangeRequest) -> None:
        """Raise ChangeRefused for a change of which it is known that it will be.

        A set hook may still supply the target that a forwarding has not.
        """
        check_claims(line, change)
        if not self.hooks.has_set_hook and line.asker is None:
            check_target(line, change)

    def end_missed(self, now: float) -> list[FeatureChanged]:
        """End the claims that were over before the start, at `now` in epoch seconds.

        Called before phones can be told anything, so that the first thing they are told
        is right. No hook is asked: it may not be there yet. Nor is a PBX, which the
        timer does later. Returns what has changed, for `announce`.
        """
        missed = []
        for line in self.lines.values():
            if line.asker is not None:
                continue
            for feature, claims in line.claimed.items():
                if not due(claims, now):
                    continue
                end = ChangeRequest(
                    feature=feature,
                    origin=Origin.END,
                    ended_at=now,
                    context=self._new_context(),
                )
                change = returned(line, end)
                outcome = self._commit(line, change, None, quiet=True)
                if outcome.state != outcome.before:
                    missed.append(
                        FeatureChanged(line, outcome.before, outcome.state, change)
                    )
        return missed

    def announce(self, missed: Collection[FeatureChanged]) -> None:
        """Publish what `end_missed` has changed, once there are listeners."""
        for event in missed:
            if event.line.state(event.change.feature) == event.new:
                self.tell(event)

    def _asks_nobody(self, line: Line) -> bool:
        """Whether a change of a line need not stand in the queue."""
        return (
            line.asker is None
            and not self.hooks.has_set_hook
            and self.queue.is_idle(line.id)
        )

    def _queue_of(self, line: Line) -> HookQueue:
        """Return where what is of a line waits; a line that is gone has no queue."""
        return self._pbx_queues.get(line, self.queue)

    def _wait(
        self, line: Line, change: ChangeRequest, sender: Subscription | None
    ) -> WaitingChange:
        """Make a change when it is its turn, together with one that waits if possible.

        Raises ChangeRefused where the line's limit is reached.
        """
        queue = self._queue_of(line)
        if queue.stopped:
            raise stopping()
        waiting = self._waiting.get(line.id, [])
        for other in reversed(waiting):
            if other.change.feature is not change.feature:
                continue
            if other.takes(change, sender):
                other.merge(change)
                return other
            # Nothing goes before what came later.
            break
        if len(waiting) >= MAX_WAITING:
            raise ChangeRefused("Too many changes wait", Refusal.TOO_MANY_WAITING)
        new = WaitingChange(change, sender)
        self._waiting[line.id] = [*waiting, new]
        queue.put(line.id, partial(self._make, line, new))
        return new

    async def _make(self, line: Line, waiting: WaitingChange) -> None:
        """Make a change whose turn it is."""
        # Within a line they have their turns in order.
        _, *others = self._waiting.pop(line.id)
        if others:
            self._waiting[line.id] = others
        if not waiting.is_wanted:
            return
        try:
            outcome = await self._rule(line, waiting.change, waiting.sender)
        except ChangeRefused as err:
            if waiting.sender is not None:
                self._set_back(waiting.sender, waiting.change.feature)
            if err.refusal is Refusal.VETO and waiting.change.is_end:
                # The feature stays as the hook wants it, and the claim is over.
                self._store_claims(line, waiting.change)
            waiting.refused(err)
        else:
            waiting.made(outcome)

    @override
    def _change_from_phone(
        self, line: Line, change: ChangeRequest, sender: Subscription
    ) -> None:
        """Make a phone's change, now or when it is its turn."""
        if self._damping.is_echo(line, change, sender):
            self._damping.echoed(line, change.feature, sender)
            self._end(sender)
            return
        if self._asks_nobody(line):
            self._commit(line, change, sender)
            return
        try:
            self._wait(line, change, sender)
        except ChangeRefused:
            self._set_back(sender, change.feature)

    def _set_back(self, sender: Subscription, feature: Feature) -> None:
        """Show a phone what is stored: its change is not made."""
        self._damping.tell_one(line_of(sender.account), feature, sender)
        self._end(sender)

    def _end(self, sender: Subscription | None) -> None:
        """Send the last NOTIFY of a subscription that ends: it waits for nothing."""
        if sender is not None and sender.ending is not None:
            self._notifier.notify(sender, NOTHING)

    async def _rule(
        self, line: Line, change: ChangeRequest, sender: Subscription | None
    ) -> ChangeOutcome:
        """Ask the set hook about a change and make it. Raises ChangeRefused.

        Of a followed line it is the PBX that is asked, and makes it.
        """
        if line.id not in self.lines:
            raise removed()
        if line.asker is not None:
            return await self._ask_pbx(line.asker, change, sender)
        ruling = Ruling()
        change = returned(line, change)
        if self.hooks.has_set_hook and not ends_nothing(line, change):
            ruling, change = await ask_set_hook(
                self.hooks, self.hook_timeout, line, change
            )
        if line.id not in self.lines:
            raise removed()
        check(line, change)
        if not ruling.notify:
            outcome = self._commit(line, change, sender, quiet=True)
            self._end(sender)
            return outcome
        if not ruling.assigned and sender is not None:
            return await self._commit_hidden(line, change, sender)
        return self._commit(line, change, sender)

    async def _ask_pbx(
        self, asker: Asker, change: ChangeRequest, sender: Subscription | None
    ) -> ChangeOutcome:
        """Ask the PBX of a line for a change. Raises ChangeRefused.

        By the time that it is made, `report` has told all phones. One whose key has
        changed nothing is told alone, because its lamp follows the NOTIFY.
        """
        outcome = await asker(change)
        if sender is not None and outcome.state == outcome.before:
            self._set_back(sender, change.feature)
        else:
            self._end(sender)
        return outcome

    async def _commit_hidden(
        self, line: Line, change: ChangeRequest, sender: Subscription
    ) -> ChangeOutcome:
        """Make a change, and tell phones everything but the feature that changed."""
        old = line.state(change.feature)
        outcome = self._commit(line, change, sender, quiet=True)
        await self._ask_get_hook(line, change.source)
        shown = frozenset(line.assigned) - line.hidden - {change.feature}
        topics = shown or NO_FEATURE
        if outcome.state == old:
            self._notifier.notify(sender, topics)
            return ChangeOutcome(old, outcome.state, 1)
        self._notifier.notify_all(line, topics)
        return ChangeOutcome(old, outcome.state, line.watchers)

    # The full state

    @override
    def send_full_state(self, subscription: Subscription) -> None:
        """Tell a phone the full state, now or when the get hook has had its turn."""
        line = line_of(subscription.account)
        if line.asker is not None:
            # What is hidden of it is not known, and no hook knows it.
            self._notifier.notify(subscription, ALL)
            return
        if not self.hooks.has_get_hook and self.queue.is_idle(line.id):
            self._show(line, frozenset())
            self._notifier.notify(subscription, ALL)
            return
        if (asking := self._asking.get(line)) is not None:
            asking[subscription] = None
            return
        self._asking[line] = {subscription: None}

        async def run() -> None:
            await self._supply(line, self._asking.pop(line))

        self.queue.put(line.id, run)

    async def _supply(self, line: Line, asking: Collection[Subscription]) -> None:
        """Ask the get hook about a line and tell everybody what comes of it."""
        first = next(iter(asking))
        changed = await self._ask_get_hook(line, source_of(first))
        for subscription in self._notifier.of(line):
            if subscription in asking:
                self._notifier.notify(subscription, ALL)
            elif changed:
                self._notifier.notify(subscription, changed)

    async def _ask_get_hook(self, line: Line, source: str | None) -> Topics:
        """Take what the get hook says of each feature; return those that changed.

        Where it fails the model stands as it is. Where it is too slow it is not asked
        about the other features: changes wait meanwhile.
        """
        hidden: set[Feature] = set()
        changed: set[Feature] = set()
        too_slow = False
        for feature in line.assigned:
            if too_slow or not self.hooks.has_get_hook or line.id not in self.lines:
                break
            try:
                wanted = ChangeRequest(
                    feature=feature, origin=Origin.HOOK, context=self._new_context()
                )
                ruling, supplied = await ask_get_hook(
                    self.hooks, self.hook_timeout, line, source, wanted
                )
            except ChangeRefused as err:
                too_slow = err.refusal is Refusal.HOOK_TOO_SLOW
                continue
            old = line.state(feature)
            if self._commit(line, supplied, None, quiet=True).state != old:
                changed.add(feature)
            if not (ruling.assigned and ruling.notify):
                hidden.add(feature)
        self._show(line, frozenset(hidden))
        return frozenset(changed)

    def _show(self, line: Line, hidden: frozenset[Feature]) -> None:
        """Leave these features out of a line's full state, and only these."""
        if line.hidden != hidden:
            line.hidden = hidden
            self._documents.forget()

    def _commit(
        self,
        line: Line,
        change: ChangeRequest,
        sender: Subscription | None,
        *,
        quiet: bool = False,
    ) -> ChangeOutcome:
        """Store a change, as far as it is possible, and tell everybody whom it concerns.

        A change that changes nothing is not passed on: a phone whose key dials a
        code that makes the server toggle would otherwise never come to rest. The
        phone itself is told, because its lamp follows the NOTIFY; an action always
        tells all, so that there is a way to set every lamp right, unless it is about
        claims: an automation renews its own again and again. Quiet tells nobody, and so
        does what no phone of the line may see.
        """
        feature = change.feature
        old = line.state(feature)
        new = change.applied_to(old).of(feature)
        changed = new != old
        self.take(line, change, new)
        if quiet or (sender is None and feature not in line.assigned):
            return ChangeOutcome(old, new, 0)
        if not changed and change.origin is Origin.PHONE and sender is not None:
            self._set_back(sender, feature)
            return ChangeOutcome(old, new, 1)
        if not changed and (change.origin is Origin.ENTITY or change.is_about_claims):
            return ChangeOutcome(old, new, 0)
        if changed:
            self._damping.changed(line, feature, old, new)
        self._damping.tell(line, feature)
        self._end(sender)
        return ChangeOutcome(old, new, line.watchers)

    def take(self, line: Line, change: ChangeRequest, new: FeatureState) -> None:
        """Store the state that a change has led to, and publish what is new."""
        feature = change.feature
        old = line.state(feature)
        if new == old and feature not in line.unknown:
            self._store_claims(line, change)
            return
        _LOGGER.debug(
            "Line %s: %s is now %s, set by %s",
            line.user,
            feature.value,
            "on" if new.status else "off",
            change.source
            or ("its PBX" if change.origin is Origin.PBX else "Home Assistant"),
        )
        line.store(feature, new)
        self._documents.forget()
        line.store_claims(feature, claims_after(line.claims(feature), change, old, new))
        if feature in line.unknown:
            # It is told for the first time, which is no change.
            line.unknown -= {feature}
            old = new
        self.tell(FeatureChanged(line, old, new, change))

    def _store_claims(self, line: Line, change: ChangeRequest) -> None:
        """Keep the claims on a feature as they are after a change of nothing else."""
        state, claims = line.state(change.feature), line.claims(change.feature)
        after = claims_after(claims, change, state, state)
        if after != claims:
            line.store_claims(change.feature, after)
            self.tell(ClaimsChanged(line, change))
