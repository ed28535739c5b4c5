"""Who may come in: networks, proxies, and those who guess passwords.

Whoever is outside the allowed networks gets no answer at all. What is blocked for wrong
passwords is the guessing, by three counts:

- of a user name at a source: that name is not looked at from there, right or wrong;
- of a user name from all sources, and of a source with all user names: only a name that
  has logged in from a source before is still looked at there.

A login takes back the failures of its own name at its own source and nothing else, so
nobody clears the guesses of another. Nonces are bound to the address that asked for
them, so nobody can have another one blocked by writing in its name.

A source is an IPv4 address or an IPv6 /64, which is what one subscriber gets.
"""

from collections.abc import Callable
from dataclasses import dataclass
import ipaddress
import logging
from typing import NamedTuple

from ..clock import Clock
from ..sources import source_of
from .allowance import Allowance, Allowances

_LOGGER = logging.getLogger(__name__)

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 1918, RFC 6598 (VPNs use it), RFC 3927, RFC 4193, loopback and link-local.
PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)

# Failures after which a user name is blocked at a source, and for how many seconds.
DEFAULT_MAX_FAILURES = 20
BLOCK_TIME = 900.0

# How many times as many failures block a user name from several sources, and a source
# with several user names. One phone with an old password must do neither: in the seconds
# of a block it fails often enough for one name at one source twice at most.
NAME_FACTOR = 3
SOURCE_FACTOR = 5

# Failures that are forgiven without delay: a password mistyped on the phone.
FREE_FAILURES = 3

# Seconds that each further failure delays the next challenge, and the most of it: a
# phone asks again after 500 ms, so a little is enough to slow a guesser down.
DELAY_STEP = 0.25
MAX_DELAY = 4.0

# Seconds from the first of some failures until they are forgotten: of a name at a source,
# and of those counts that many phones share.
FORGET = 3600.0
FORGET_SHARED = BLOCK_TIME

# Counts of each kind that are kept; of more the one that began first is forgotten.
MAX_COUNTS = 4096

# What is blocked is never forgotten for want of room. Where there is this much, nothing
# is looked at that has not logged in before.
MAX_BLOCKS = 4096

# Addresses whose standing is kept.
MAX_ADDRESSES = 4096


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse networks and addresses, separated by commas or spaces.

    Raises ValueError, whose text names the first one that is none.
    """
    return tuple(
        ipaddress.ip_network(item, strict=False)
        for item in text.replace(",", " ").split()
    )


DEFAULT_NETWORKS = parse_networks(" ".join(PRIVATE_NETWORKS))


class Subject(NamedTuple):
    """What failures are counted of; None is any source, or any user name."""

    source: str | None
    username: str | None


class Blocked(NamedTuple):
    """A subject that is blocked from now on, after so many failures."""

    subject: Subject
    failures: int


@dataclass(slots=True)
class _Block:
    """Until when a subject is blocked, in seconds of the clock.

    `spent` counts the wrong answers that came in dialogs meanwhile.
    """

    until: float
    spent: int = 0


@dataclass(slots=True)
class _Count:
    """Failures since the first of them, and the hash of the last answer."""

    since: float
    failures: int = 0
    guess: int = 0


class _Counts:
    """Failures by subject."""

    def __init__(self, limit: int, forget: float) -> None:
        """Count up to `limit` failures within `forget` seconds."""
        self.limit = limit
        self._forget = forget
        self.by_subject: dict[Subject, _Count] = {}

    def of(self, subject: Subject, now: float) -> _Count:
        """Return the count of a subject, a new one where there is none that counts."""
        count = self.by_subject.get(subject)
        if count is not None and now - count.since <= self._forget:
            return count
        self.by_subject.pop(subject, None)
        if len(self.by_subject) >= MAX_COUNTS:
            del self.by_subject[next(iter(self.by_subject))]
        count = self.by_subject[subject] = _Count(now)
        return count

    def clear(self, subject: Subject) -> None:
        """Forget the failures of a subject."""
        self.by_subject.pop(subject, None)

    def clear_source(self, source: str) -> None:
        """Forget the failures of a source with any user name."""
        for subject in [item for item in self.by_subject if item.source == source]:
            del self.by_subject[subject]


class Standing(NamedTuple):
    """What an address is.

    allowed     in an allowed network, a proxy, or a PBX that is configured
    proxy       a proxy that has checked who is calling
    source      what the address is counted as
    allowance   what its source may send; None is everything
    """

    allowed: bool
    proxy: bool
    source: str
    allowance: Allowance | None


class Guard:
    """Decides by source address and user name."""

    def __init__(
        self,
        clock: Clock,
        allowed: tuple[Network, ...] = DEFAULT_NETWORKS,
        proxies: tuple[Network, ...] = (),
        max_failures: int = DEFAULT_MAX_FAILURES,
        *,
        limit: bool = True,
    ) -> None:
        """Let in `allowed` (all, where it is empty), and `proxies` without digest.

        `limit` is whether sources have an allowance.
        """
        self._clock = clock
        self._allowed = allowed
        self._proxies = proxies
        self._limit = limit
        self._pbxs: frozenset[str] = frozenset()
        self._servers: frozenset[str] = frozenset()
        self._allowances = Allowances()
        self._names_at_sources = _Counts(max_failures, FORGET)
        self._names = _Counts(NAME_FACTOR * max_failures, FORGET_SHARED)
        self._sources = _Counts(SOURCE_FACTOR * max_failures, FORGET_SHARED)
        # In the order of their ends, because all last equally long.
        self._blocks: dict[Subject, _Block] = {}
        self._standings: dict[str, Standing] = {}
        # How often something was blocked at a source.
        self.blocks_total = 0
        # Called with what is blocked, and with a source that is unblocked early.
        self.on_blocked: Callable[[Blocked], None] | None = None
        self.on_unblocked: Callable[[str], None] | None = None

    @property
    def blocked_sources(self) -> int:
        """How many sources are blocked, with one user name or more."""
        self._drop_ended()
        return len({subject.source for subject in self._blocks} - {None})

    @property
    def watchful(self) -> bool:
        """Whether anything is blocked, so that `judges` has to be asked."""
        return bool(self._blocks)

    def lets_in(self, address: str) -> bool:
        """Whether anything from an address is looked at."""
        return self.standing(address).allowed

    def trusts(self, address: str) -> bool:
        """Whether an address is of a proxy that has checked who is calling."""
        return bool(self._proxies) and self.standing(address).proxy

    def judges(self, address: str, username: str, *, known: bool) -> bool:
        """Whether credentials are looked at; `known` ones have been right there before."""
        self._drop_ended()
        source = self.standing(address).source
        blocks = self._blocks
        if Subject(source, username) in blocks:
            return False
        return known or not (
            len(blocks) >= MAX_BLOCKS
            or Subject(source, None) in blocks
            or Subject(None, username) in blocks
        )

    def spares_dialog(self, address: str, username: str) -> bool:
        """Whether credentials that are blocked are looked at in a dialog of theirs.

        Whoever knows the tags of a dialog is its phone, or reads along: a few wrong
        answers are enough.
        """
        block = self._blocks.get(Subject(self.standing(address).source, username))
        return block is None or block.spent < FREE_FAILURES

    def failed(self, address: str, username: str, answer: str) -> float | None:
        """Count a wrong answer; return the seconds until the next challenge may go.

        None where there is none, because the guessing is blocked. A retransmission
        repeats the answer to the letter and does not count again. Nothing else of a
        request would do: Call-ID and CSeq are the guesser's choice.
        """
        if self.trusts(address):
            return 0.0
        now = self._clock.monotonic()
        source = self.standing(address).source
        subject = Subject(source, username)
        block = self._blocks.get(subject)
        if block is not None and block.until > now:
            block.spent += 1
            return None
        count = self._names_at_sources.of(subject, now)
        guess = hash(answer)
        if count.guess != guess:
            count.guess = guess
            self._count(self._names, Subject(None, username), now)
            self._count(self._sources, Subject(source, None), now)
            if self._count(self._names_at_sources, subject, now):
                return None
        excess = count.failures - FREE_FAILURES
        return min(max(0.0, excess * DELAY_STEP), MAX_DELAY)

    def succeeded(self, address: str, username: str) -> str:
        """Forget the failures of a user name where it has logged in.

        Returns the source of the address.
        """
        self.mark_authenticated(address)
        source = self.standing(address).source
        if self._names_at_sources.by_subject:
            self._names_at_sources.clear(Subject(source, username))
        return source

    def mark_authenticated(self, address: str) -> None:
        """Give the source of an address the allowance of one that is known."""
        standing = self.standing(address)
        if standing.allowance is not None and not standing.allowance.known:
            self._allowances.mark_authenticated(standing.source, standing.allowance)

    def is_near(self, address: str) -> bool:
        """Whether an address is in the networks of the phones."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        return any(ip in network for network in self._allowed or DEFAULT_NETWORKS)

    def allow_pbxs(self, addresses: frozenset[str]) -> None:
        """Answer the PBXs that are configured, wherever they are."""
        if addresses != self._pbxs:
            self._pbxs = addresses
            self._standings.clear()

    def allow_servers(self, addresses: frozenset[str]) -> None:
        """Answer the servers whose lines are followed, wherever they are."""
        if addresses != self._servers:
            self._servers = addresses
            self._standings.clear()

    def unblock(self, address: str) -> None:
        """Let a source in again before its time is over, with any user name."""
        source = self.standing(address).source
        for subject in [item for item in self._blocks if item.source == source]:
            del self._blocks[subject]
        self._names_at_sources.clear_source(source)
        self._sources.clear_source(source)
        if self.on_unblocked is not None:
            self.on_unblocked(source)

    def unblock_name(self, username: str) -> None:
        """Look at a user name from all sources again: it has new credentials."""
        subject = Subject(None, username)
        self._blocks.pop(subject, None)
        self._names.clear(subject)

    def _count(self, counts: _Counts, subject: Subject, now: float) -> bool:
        """Count a failure; return whether its subject is blocked for it."""
        if subject in self._blocks:
            return False
        count = counts.of(subject, now)
        count.failures += 1
        if count.failures < counts.limit:
            return False
        counts.clear(subject)
        self._blocks[subject] = _Block(now + BLOCK_TIME)
        self.blocks_total += subject.source is not None
        _LOGGER.warning(_said_of(subject), counts.limit, round(BLOCK_TIME / 60))
        if self.on_blocked is not None:
            self.on_blocked(Blocked(subject, counts.limit))
        return True

    def _drop_ended(self) -> None:
        """Drop what is blocked no longer."""
        now = self._clock.monotonic()
        blocks = self._blocks
        while blocks:
            subject = next(iter(blocks))
            if blocks[subject].until > now:
                return
            del blocks[subject]

    def standing(self, address: str) -> Standing:
        """Return what an address is."""
        standing = self._standings.get(address)
        if standing is None:
            ip = ipaddress.ip_address(address.partition("%")[0])
            source = source_of(address)
            proxy = any(ip in network for network in self._proxies)
            standing = Standing(
                proxy
                or not self._allowed
                or address in self._pbxs
                or address in self._servers
                or any(ip in network for network in self._allowed),
                proxy,
                source,
                None if proxy or not self._limit else self._allowances.of(source),
            )
            if len(self._standings) >= MAX_ADDRESSES:
                del self._standings[next(iter(self._standings))]
            self._standings[address] = standing
        return standing


def _said_of(subject: Subject) -> str:
    """Return what the log says of a subject; user names do not get there."""
    if subject.source is None:
        return (
            "%s wrong passwords for one user name from several addresses; for %s "
            "minutes it is looked at only where it has logged in before"
        )
    if subject.username is None:
        return (
            f"{subject.source}: %s wrong passwords for several user names; for %s "
            "minutes only those are looked at that have logged in from there before"
        )
    return (
        f"{subject.source}: %s wrong passwords for one user name, which is not looked "
        "at from there for %s minutes"
    )
