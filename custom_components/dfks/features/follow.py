"""Lines whose PBX owns the state: it is asked for changes, and only what it says counts.

    ChangeRequest -> SUBSCRIBE with a body -> 2xx -> NOTIFY -> model -> store and entities
    key at a phone, web page of the PBX    ->        NOTIFY -> model -> store and entities

A 2xx says that the PBX has read the wish, no more. What has become of it stands in the
NOTIFY; where none comes in time, the PBX is asked for the state, and what it says now is
what the caller hears. Changes of one line are asked for one after the other.

What the PBX has not said is unknown, at the start and whenever a subscription is lost:
some tell the full state, others only what changes.

Phones that cannot reach the PBX may log in here for the line, with a password of ours.
They watch the same model, and a key of theirs is asked of the PBX as a switch is. While
the PBX does not answer they keep what it has said last.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import re
import ssl
from typing import Final

from ..sip import (
    CertificateProblem,
    Clock,
    RemoteLine,
    SipServer,
    SubscriberConfig,
    SubscriptionStatus,
    TimerHandle,
)
from .checks import check_claims, removed, stopping
from .claims import ends_nothing, returned
from .documents import CONTENT_TYPE, Command, set_document
from .event_documents import Report, read_reports
from .model import (
    FORWARDINGS,
    Asker,
    AvailabilityChanged,
    ChangeOutcome,
    ChangeRefused,
    ChangeRequest,
    Claims,
    Feature,
    FeatureState,
    Line,
    LineConfig,
    LineMemory,
    Origin,
    Refusal,
    sorted_features,
)
from .publisher import Publisher
from .sync import FeatureSync

# Seconds in which a PBX tells what has become of a change, and then of a question.
PATIENCE: Final = 5.0

# What a PBX says that does not know the subscription (any more).
_FORGOTTEN: Final = frozenset({404, 481})

# What does not tell one target from another: how people write numbers, scheme and host.
_DECORATION: Final = re.compile(r"^(?:sips?|tel):|@.*$|[ ()./-]")

_UNSET: Final = FeatureState()


class AsFeatureEvent:
    """The event package, as a SUBSCRIBE asks for it."""

    event = FeatureSync.name
    accept = f"{CONTENT_TYPE}, multipart/mixed"
    content_type = CONTENT_TYPE


PACKAGE: Final = AsFeatureEvent()


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedConfig:
    """What is configured of a followed line: where it is, and what is wanted of it.

    `password` is that of the phones that log in here for it, None where none does.
    """

    subscriber: SubscriberConfig
    assigned: tuple[Feature, ...]
    password: str | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """What stays when all else changes."""
        return self.subscriber.id


class FollowedLine(Line):
    """A line at a PBX that synchronizes its keys itself."""

    __slots__ = ("asker", "available", "rings_known", "served", "unknown")

    def __init__(
        self, config: FollowedConfig, asker: Asker, memory: LineMemory
    ) -> None:
        """Make a line of which nothing is known yet; `memory` has targets and claims."""
        where = config.subscriber
        super().__init__(
            LineConfig(id=where.id, user=where.user, assigned=config.assigned),
            (),
            where.domain or where.host,
            memory,
        )
        self.asker = asker
        self.served = False
        self.available = False
        self.forget()

    def forget(self) -> None:
        """Know nothing, as another PBX or another user of it decides from now on."""
        self.rings_known = False
        self.unknown = self.hidden = frozenset(Feature)


@dataclass(slots=True, eq=False)
class _Ask:
    """A change that the PBX is asked for."""

    change: ChangeRequest
    outcome: asyncio.Future[ChangeOutcome]
    before: FeatureState = _UNSET
    # What it is to be, None where that does not count.
    status: bool = False
    forward_to: str | None = None
    ring_count: int | None = None
    # Whether a 2xx and a NOTIFY that says so have come, and the state was asked for.
    accepted: bool = False
    confirmed: bool = False
    asked_again: bool = False
    # Whether the PBX had forgotten the subscription, and another one is waited for.
    waits: bool = False
    waited: bool = False

    def is_met_by(self, report: Report) -> bool:
        """Whether a report says what was asked for; what it does not say counts as so."""
        return (
            report.feature is self.change.feature
            and report.status is self.status
            and (
                None in (report.forward_to, self.forward_to)
                or _plain(report.forward_to) == _plain(self.forward_to)
            )
            and (
                None in (report.ring_count, self.ring_count)
                or report.ring_count == self.ring_count
            )
        )


class Follower(Publisher[[]]):
    """Follows one line. Its listeners hear of each new status."""

    def __init__(
        self,
        config: FollowedConfig,
        sync: FeatureSync,
        clock: Clock,
        memory: LineMemory,
        new_context: Callable[[], object],
    ) -> None:
        """Make the line; nothing is sent before it is given a `remote`."""
        super().__init__()
        self.config = config
        self.line = FollowedLine(config, self.change, memory)
        self.remote: RemoteLine | None = None
        # What checks its certificate.
        self.tls: ssl.SSLContext | None = None
        # When the PBX said something last, in seconds since the epoch.
        self.heard_at: float | None = None
        self._sync = sync
        self._clock = clock
        self._new_context = new_context
        # The change that the PBX is asked for now.
        self._current: _Ask | None = None
        self._timer: TimerHandle | None = None

    @property
    def status(self) -> SubscriptionStatus:
        """How far the subscription has come."""
        if self.remote is None:
            return SubscriptionStatus.WAITING
        return self.remote.subscriber.status

    @property
    def certificate_problem(self) -> CertificateProblem | None:
        """Why the PBX is not connected to, where that is its certificate."""
        return None if self.remote is None else self.remote.certificate_problem

    @property
    def code(self) -> int:
        """The answer of the PBX that led to the status, 0 without one."""
        return 0 if self.remote is None else self.remote.subscriber.code

    # Told by the SIP floor

    def status_changed(self) -> None:
        """Follow the subscription."""
        available = self.status is SubscriptionStatus.ACTIVE
        line = self.line
        if available is not line.available:
            line.available = available
            if not available:
                line.unknown = frozenset(Feature)
            self._sync.tell(AvailabilityChanged(line))
        self.publish()
        ask = self._current
        if available and ask is not None and ask.waits:
            ask.waits = False
            self._cancel_timer()
            self._begin(ask)

    def notified(self, content_type: str, body: bytes) -> None:
        """Take what the PBX says."""
        self.heard_at = self._clock.time()
        for report in read_reports(content_type, body):
            self._take(report)

    def _take(self, report: Report) -> None:
        """Store what a document says, as the change of whoever has asked for it."""
        feature, ask = report.feature, self._current
        is_asked = ask is not None and ask.change.feature is feature
        if ask is not None and ask.is_met_by(report):
            change = ask.change
            ask.confirmed = True
        else:
            change = ChangeRequest(
                feature=feature, origin=Origin.PBX, context=self._new_context()
            )
        knew_rings = self.line.rings_known
        state = self._merge(report, ask if is_asked else None)
        if report.ring_count is not None:
            self.line.rings_known = True
        if report.status is not None or feature not in self.line.unknown:
            learned_rings = self.line.rings_known and not knew_rings
            if learned_rings and state == self.line.state(feature):
                # It is told for the first time, though as it stood here.
                self.line.unknown |= {feature}
            self._sync.report(self.line, change, state)
        if ask is None or not is_asked or not ask.accepted:
            return
        if ask.confirmed:
            self._finish(ask)
        elif ask.asked_again:
            self._decide(ask)
        else:
            # Another change may have come before ours, or the PBX has its own mind.
            self._ask_again(ask)

    def _merge(self, report: Report, ask: _Ask | None) -> FeatureState:
        """Return a state in which what is not said is as before, or as was asked for."""
        old = self.line.state(report.feature)
        target, rings = report.forward_to, report.ring_count
        if ask is not None and ask.is_met_by(report):
            target = target or ask.forward_to
            if rings is None:
                rings = ask.ring_count
                self.line.rings_known |= rings is not None
        return FeatureState(
            old.status if report.status is None else report.status,
            target or old.forward_to,
            old.ring_count if rings is None else rings,
        )

    # Changes

    async def change(self, change: ChangeRequest) -> ChangeOutcome:
        """Ask the PBX for a change. Raises ChangeRefused where it does not make it.

        It is called for one change at a time: the others wait for their turn (`sync`).
        """
        check_claims(self.line, change)
        ask = _Ask(change, asyncio.get_running_loop().create_future())
        self._current = ask
        self._begin(ask)
        try:
            return await ask.outcome
        finally:
            self._end(ask)

    def stop(self, error: ChangeRefused) -> None:
        """Refuse what the PBX is asked for."""
        if self._current is not None:
            self._fail(self._current, error)

    def _begin(self, ask: _Ask) -> None:
        """Ask for a change, unless there is nothing to ask for."""
        line, feature = self.line, ask.change.feature
        if not line.available or self.remote is None:
            self._refuse(ask, "The PBX does not answer", Refusal.PBX_SILENT)
            return
        change = ask.change = returned(line, ask.change)
        ask.before = known = line.state(feature)
        is_known = feature not in line.unknown
        if change.status is None and change.forward_to != "" and not is_known:
            self._refuse(ask, "The PBX has not said its state", Refusal.PBX_UNKNOWN)
            return
        wanted = change.applied_to(known)
        ask.status = wanted.status
        is_as_wanted = wanted == known and (
            line.rings_known or change.ring_count is None
        )
        if is_known and (
            ends_nothing(line, change)
            or (is_as_wanted and change.origin is not Origin.ACTION)
        ):
            self._sync.take(line, change, known)
            self._finish(ask)
            return
        if feature in FORWARDINGS:
            ask.forward_to = wanted.forward_to or None
        if feature is Feature.CALL_FORWARDING_NO_ANSWER and (
            line.rings_known or change.ring_count is not None
        ):
            ask.ring_count = wanted.ring_count
        body = set_document(
            Command(feature, ask.status, ask.forward_to, ask.ring_count), line.user
        )
        self.remote.subscriber.ask(body, lambda code: self._answered(ask, code))

    def _answered(self, ask: _Ask, code: int) -> None:
        """Take the answer to a change: it is no more than that it was read."""
        if ask is not self._current:
            return
        if not code:
            self._refuse(ask, "The PBX does not answer", Refusal.PBX_SILENT)
        elif code in _FORGOTTEN and not ask.waited:
            # It may have been restarted: the change is for the next subscription.
            ask.waits = ask.waited = True
            self._wait(lambda: self._refuse(ask, str(code), Refusal.PBX_REFUSED))
        elif code >= 300:
            self._refuse(ask, str(code), Refusal.PBX_REFUSED)
        else:
            ask.accepted = True
            if ask.confirmed:
                self._finish(ask)
            else:
                self._wait(lambda: self._ask_again(ask))

    def _ask_again(self, ask: _Ask) -> None:
        """Ask for the state: nothing was said of the change, or something else."""
        ask.asked_again = True
        if self.remote is not None:
            self.remote.subscriber.refresh()
        self._wait(lambda: self._decide(ask))

    def _decide(self, ask: _Ask) -> None:
        """Tell what the PBX has made of a change."""
        feature = ask.change.feature
        state = self.line.state(feature)
        says = Report(feature, state.status, state.forward_to or None, state.ring_count)
        if feature not in self.line.unknown and ask.is_met_by(says):
            self._finish(ask)
        else:
            self._refuse(ask, "The PBX has decided otherwise", Refusal.PBX_OTHERWISE)

    def _wait(self, do: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.call_at(self._clock.monotonic() + PATIENCE, do)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, ask: _Ask, reason: str, refusal: Refusal) -> None:
        self._fail(ask, ChangeRefused(reason, refusal))

    def _fail(self, ask: _Ask, error: ChangeRefused) -> None:
        self._end(ask)
        if not ask.outcome.done():
            ask.outcome.set_exception(error)

    def _finish(self, ask: _Ask) -> None:
        self._end(ask)
        if not ask.outcome.done():
            state = self.line.state(ask.change.feature)
            ask.outcome.set_result(ChangeOutcome(ask.before, state, self.line.watchers))

    def _end(self, ask: _Ask) -> None:
        if ask is self._current:
            self._cancel_timer()
            self._current = None


class Follows:
    """All followed lines of a server."""

    def __init__(
        self,
        server: SipServer,
        sync: FeatureSync,
        new_context: Callable[[], object] = lambda: None,
    ) -> None:
        """Follow nothing yet; the lines are kept in `sync` beside the others."""
        self.followers: dict[str, Follower] = {}
        self._server = server
        self.sync = sync
        self._new_context = new_context

    def add(
        self,
        config: FollowedConfig,
        states: Mapping[Feature, FeatureState] | None = None,
        claims: Mapping[Feature, Claims] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Follower:
        """Follow a line.

        Raises ValueError where TLS would check nothing, or where phones are to log in
        here by a user that is taken.

        Of `states` the targets are kept, to be asked for again; all else the PBX says.
        """
        follower = Follower(
            config,
            self.sync,
            self._server.clock,
            LineMemory(states or {}, claims or {}),
            self._new_context,
        )
        follower.tls = tls
        self.sync.serve(follower.line, follower.line.user, config.password)
        self._subscribe(follower)
        self.followers[config.id] = follower
        self.sync.adopt(follower.line)
        return follower

    def update(self, config: FollowedConfig, tls: ssl.SSLContext | None = None) -> bool:
        """Take other settings of a line; return whether they are.

        Raises ValueError as `add` does, and changes nothing then.
        """
        follower = self.followers[config.id]
        before, where, line = follower.config, config.subscriber, follower.line
        if before == config:
            return False
        settings = line.configuration
        self.sync.serve(line, where.user, config.password)
        follower.config = config
        line.realm = where.domain or where.host
        line.assigned = sorted_features(config.assigned)
        if before.subscriber.address != where.address:
            line.forget()
        self.sync.tell_settings(line, settings)
        if before.subscriber != where:
            follower.tls = tls
            self._move(follower, before.subscriber)
        return True

    def _move(self, follower: Follower, before: SubscriberConfig) -> None:
        """Subscribe with other settings; until then nothing is known."""
        follower.remote = None
        follower.status_changed()
        following, config = self._server.following, follower.config.subscriber
        if config.id not in following.lines:
            # The goodbye of earlier settings is not over; then the newest count.
            return

        def subscribe() -> None:
            if self.followers.get(config.id) is follower:
                self._subscribe(follower)

        if before.register and config.register and before.address == config.address:
            # Both have the same Contact: the goodbye of the old must come first.
            following.remove(config.id, subscribe)
        else:
            following.remove(config.id)
            subscribe()

    def retry(self, line_id: str) -> None:
        """Try a line again at once that is not followed at the moment."""
        follower = self.followers.get(line_id)
        if follower and follower.remote and not follower.line.available:
            follower.remote.start()

    def _subscribe(self, follower: Follower) -> None:
        follower.remote = self._server.following.add(
            follower.config.subscriber, PACKAGE, follower, follower.tls
        )

    def remove(self, line_id: str) -> None:
        """Follow a line no more; its PBX is told so."""
        follower = self.followers.pop(line_id)
        follower.stop(removed())
        if line_id in self._server.following.lines:
            self._server.following.remove(line_id)
        self.sync.release(follower.line)

    def stop(self) -> None:
        """Refuse the changes that wait."""
        for follower in self.followers.values():
            follower.stop(stopping())


def _plain(target: str | None) -> str:
    """Return a target without what says nothing about where it leads."""
    return _DECORATION.sub("", target or "")
