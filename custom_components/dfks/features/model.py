"""Features, their states, and the phone lines that have them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
import re
from typing import NamedTuple

from ..sip import Account, Hashes, encode_user
from .publisher import Publisher

# Ring counts that phones and Home Assistant take; 3 until somebody sets another.
MAX_RING_COUNT = 100
DEFAULT_RING_COUNT = 3

# Characters of a forwarding's target, at most. Phones send digits or a SIP URI.
MAX_TARGET = 4096

# What neither XML 1.0 nor a phone's display can show.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Feature(StrEnum):
    """The features, by the names of OpenSIPS; in the order of the full state."""

    DO_NOT_DISTURB = "DoNotDisturb"
    CALL_FORWARDING_ALWAYS = "CallForwardingAlways"
    CALL_FORWARDING_BUSY = "CallForwardingBusy"
    CALL_FORWARDING_NO_ANSWER = "CallForwardingNoAnswer"

    # Equal text, equal hash; that of Enum is slow, and features are looked up often.
    __hash__ = str.__hash__


# One tuple for all lines that have all features assigned.
ALL_FEATURES = tuple(Feature)

# The features that send calls somewhere, and so have a target.
FORWARDINGS = (
    Feature.CALL_FORWARDING_ALWAYS,
    Feature.CALL_FORWARDING_BUSY,
    Feature.CALL_FORWARDING_NO_ANSWER,
)


class NotifyStyle(StrEnum):
    """How a phone is told several features at once."""

    # One NOTIFY with a part a feature.
    MULTIPART = "multipart"
    # One NOTIFY a feature, for phones that do not read multipart.
    SEPARATE = "separate"


class Origin(StrEnum):
    """Who asks for a change; it decides who is told when nothing changes."""

    PHONE = "phone"
    ENTITY = "entity"
    ACTION = "action"
    # The get hook, which supplies states from elsewhere.
    HOOK = "hook"
    # The end of a claim: its time is over.
    END = "end"
    # The PBX of a followed line, or another phone of it.
    PBX = "pbx"


def is_target(text: str) -> bool:
    """Whether a text can be the target of a forwarding; the empty one is none."""
    return len(text) <= MAX_TARGET and not _UNFIT.search(text)


class FeatureState(NamedTuple):
    """What is stored of one feature.

    `forward_to` is empty while no target is known; `ring_count` counts only for
    CallForwardingNoAnswer.
    """

    status: bool = False
    forward_to: str = ""
    ring_count: int = DEFAULT_RING_COUNT

    def of(self, feature: Feature) -> FeatureState:
        """Return this state as `feature` can have it.

        A forwarding that has no target is off: there is nowhere to go.
        """
        if self.status and not self.forward_to and feature in FORWARDINGS:
            return self._replace(status=False)
        return self


class Hold(NamedTuple):
    """How long a change is meant to last: until its end, or until it is released.

    The name tells claims apart. The empty name stands for a person who sets an end:
    there is one such claim per feature, and a change without an end replaces it.
    """

    name: str
    # Seconds since the epoch; None: until it is released.
    until: float | None


class Claim(NamedTuple):
    """A claim that is held on a feature, and the state that it has set."""

    name: str
    until: float | None
    state: FeatureState


class Claims(NamedTuple):
    """All claims on a feature, the newest last, and the state before the first one."""

    before: FeatureState
    held: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A wish to change one feature; None keeps what is stored."""

    feature: Feature
    status: bool | None = None
    # The empty text clears the target.
    forward_to: str | None = None
    ring_count: int | None = None
    origin: Origin
    # host:port of the phone, and what it calls itself (User-Agent, RFC 3261 20.41).
    source: str | None = None
    agent: str | None = None
    # What the caller of an action hands to the set hook.
    param: object = None
    # The claim that the change makes; None: it lasts until the next change.
    hold: Hold | None = None
    # The name of a claim that is to end, and the time at which claims are over. What
    # the feature goes back to is filled in when the change is made.
    release: str | None = None
    ended_at: float | None = None
    # What the floor above ties to the change; it comes back with the event. `FeatureSync`
    # supplies one where the change brings none.
    context: object = None

    def __post_init__(self) -> None:
        """Raise ValueError for what no phone could be told."""
        if self.forward_to is not None and not is_target(self.forward_to):
            raise ValueError("A target is too long or holds a control character")
        if self.ring_count is not None and not 0 <= self.ring_count <= MAX_RING_COUNT:
            raise ValueError(f"A ring count is not from 0 to {MAX_RING_COUNT}")

    def applied_to(self, state: FeatureState) -> FeatureState:
        """Return the state that this change asks for, be it possible or not.

        A forwarding whose target is cleared is off: it would lead nowhere. A phone
        never clears: there an empty target means that it says nothing about it.
        """
        status = state.status if self.status is None else self.status
        forward_to = state.forward_to if self.forward_to is None else self.forward_to
        if self.forward_to == "":
            status = False
        ring_count = state.ring_count if self.ring_count is None else self.ring_count
        return FeatureState(status, forward_to, ring_count)

    @property
    def is_end(self) -> bool:
        """Whether this change ends claims, and so goes back to an earlier state."""
        return self.release is not None or self.ended_at is not None

    @property
    def is_about_claims(self) -> bool:
        """Whether this change makes a claim, or ends some."""
        return self.hold is not None or self.is_end

    @property
    def off_part(self) -> ChangeRequest | None:
        """The part of this change that turns the feature off; None: it does not.

        Clearing the target is one way to do so. A target or a ring count that comes
        with it is left out. The end of a claim always has such a part, as no claim may
        last longer than it is meant to.
        """
        if self.status is not False and self.forward_to != "" and not self.is_end:
            return None
        cleared = "" if self.forward_to == "" else None
        return replace(self, status=False, forward_to=cleared, ring_count=None)


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """What became of a change: the states before and after, and how many are told."""

    before: FeatureState
    state: FeatureState
    told: int


class Refusal(StrEnum):
    """What kept a change from being made."""

    # A hook does not want it, and says why in its own words.
    VETO = "veto"
    # A hook did not do its work.
    HOOK_BAD_ANSWER = "hook_bad_answer"
    HOOK_BUSY = "hook_busy"
    HOOK_FAILED = "hook_failed"
    HOOK_MISSING = "hook_missing"
    HOOK_TOO_SLOW = "hook_too_slow"
    # The house itself cannot.
    LINE_REMOVED = "line_removed"
    # The PBX of a followed line does not make it so.
    PBX_OTHERWISE = "pbx_otherwise"
    PBX_REFUSED = "pbx_refused"
    PBX_SILENT = "pbx_silent"
    PBX_UNKNOWN = "pbx_unknown"
    STOPPING = "stopping"
    TARGET_MISSING = "target_missing"
    TOO_MANY_CLAIMS = "too_many_claims"
    TOO_MANY_WAITING = "too_many_waiting"


class ChangeRefused(Exception):
    """A change that is not made; `reason` says in words why."""

    def __init__(self, reason: str, refusal: Refusal = Refusal.VETO) -> None:
        """Say why."""
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class LineConfig:
    """What is configured of a line. `id` stays when all else changes.

    `pbx` is the id of the PBX at which its phones are registered, None where that is
    here. A line at a PBX has neither password nor auth name.
    """

    id: str
    user: str
    password: str = field(default="", repr=False)
    auth_name: str = ""
    assigned: tuple[Feature, ...] = ALL_FEATURES
    style: NotifyStyle = NotifyStyle.MULTIPART
    pbx: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureChanged:
    """A feature of a line has another state than before."""

    line: Line
    old: FeatureState
    new: FeatureState
    change: ChangeRequest


@dataclass(frozen=True, slots=True)
class ClaimsChanged:
    """The claims on a feature are others than before, its state is the same."""

    line: Line
    change: ChangeRequest


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The first phone of a line came, or the last one went."""

    line: Line
    connected: bool


@dataclass(frozen=True, slots=True)
class WatchersChanged:
    """A line has another number of subscriptions that are followed than before."""

    line: Line
    watchers: int


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """The PBX of a followed line tells what happens, or does so no more."""

    line: Line


type LineEvent = (
    FeatureChanged
    | ClaimsChanged
    | ConnectionChanged
    | WatchersChanged
    | AvailabilityChanged
)

# Makes a change where the state is not ours. Raises ChangeRefused.
type Asker = Callable[[ChangeRequest], Awaitable[ChangeOutcome]]


class LineMemory(NamedTuple):
    """What outlives a restart of a line.

    `emergency_at` is when it has called an emergency number last, in seconds since the
    epoch, where its calls are treated.
    """

    states: Mapping[Feature, FeatureState]
    claims: Mapping[Feature, Claims]
    emergency_at: float | None = None


_INITIAL = FeatureState()
# One for all lines: an empty frozenset is no singleton.
_NO_FEATURES: frozenset[Feature] = frozenset()
_NO_STATES: dict[Feature, FeatureState] = {}
_NO_CLAIMS: dict[Feature, Claims] = {}


class Line(Account, Publisher[[LineEvent]]):
    """A phone line: what is configured of it and the states of its features.

    Only `FeatureSync` changes it; everybody else reads, and subscribes to its events.
    """

    __slots__ = (
        "_claims",
        "_listeners",
        "_states",
        "assigned",
        "connected",
        "hidden",
        "realm",
        "style",
        "watchers",
    )

    # A line is ours unless a followed one says otherwise (`follow`): whether phones log
    # in here for it, whether its state is told at all, the features of which it is not,
    # whether that of the ring count is, and who is asked for a change.
    served: bool = True
    available: bool = True
    unknown: frozenset[Feature] = _NO_FEATURES
    rings_known: bool = True
    asker: Asker | None = None

    def __init__(
        self,
        config: LineConfig,
        hashes: Hashes,
        realm: str,
        memory: LineMemory,
    ) -> None:
        """Make a line that nobody watches; `hashes` stand for its password."""
        Account.__init__(
            self, config.id, config.user, config.auth_name, hashes, config.pbx
        )
        self._listeners = ()
        self.realm = realm
        # Shared by all lines of which nothing was ever set.
        self._states = {
            feature: state.of(feature) for feature, state in memory.states.items()
        } or _NO_STATES
        self._claims = dict(memory.claims) or _NO_CLAIMS
        self.connected = False
        # What is left out of the full state: what the get hook does not want to be seen,
        # or what the PBX of a followed line has never said.
        self.hidden = _NO_FEATURES
        self.watchers = 0
        self.assigned = sorted_features(config.assigned)
        self.style = config.style

    @property
    def configuration(self) -> tuple[object, ...]:
        """What is configured; the first two are what phones are told of it."""
        return (
            self.user,
            self.assigned,
            self.style,
            self.username,
            self.hashes,
            self.pbx,
        )

    @property
    def presentity(self) -> str:
        """The address-of-record of the line, for people and scripts."""
        return f"sip:{encode_user(self.user)}@{self.realm}"

    def state(self, feature: Feature) -> FeatureState:
        """Return what is stored of a feature."""
        return self._states.get(feature, _INITIAL)

    def states_of(
        self, features: Iterable[Feature]
    ) -> tuple[tuple[Feature, FeatureState], ...]:
        """Return what is stored of some features, with each of them."""
        find = self._states.get
        return tuple([(feature, find(feature, _INITIAL)) for feature in features])

    def states(self) -> dict[Feature, FeatureState]:
        """Return what is stored of all features that were ever set."""
        return dict(self._states)

    def store(self, feature: Feature, state: FeatureState) -> None:
        """Keep the state of a feature."""
        if self._states is _NO_STATES:
            self._states = {}
        self._states[feature] = state

    def claims(self, feature: Feature) -> Claims | None:
        """Return the claims on a feature, None where there are none."""
        return self._claims.get(feature)

    def store_claims(self, feature: Feature, claims: Claims | None) -> None:
        """Keep the claims on a feature."""
        if claims is not None:
            self._claims = {**self._claims, feature: claims}
        elif feature in self._claims:
            self._claims = {
                other: kept for other, kept in self._claims.items() if other != feature
            } or _NO_CLAIMS

    @property
    def claimed(self) -> Mapping[Feature, Claims]:
        """The features that are claimed, with their claims; it does not change later."""
        return self._claims

    def memory(self) -> LineMemory:
        """Return what is to outlive a restart."""
        return LineMemory(self.states(), self._claims)


# Most lines have their features in one of a few states.
@lru_cache(maxsize=256)
def shared_states(
    states: tuple[tuple[Feature, FeatureState], ...],
) -> tuple[tuple[Feature, FeatureState], ...]:
    """Return the one object that stands for equal states: each phone has one."""
    return states


def sorted_features(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return features in the order of the full state."""
    if features is ALL_FEATURES:
        return ALL_FEATURES
    wanted = frozenset(features)
    if len(wanted) == len(ALL_FEATURES):
        return ALL_FEATURES
    return tuple(feature for feature in ALL_FEATURES if feature in wanted)
