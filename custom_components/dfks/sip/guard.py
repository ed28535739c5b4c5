"""Who may come in: networks, proxies, and those who guess passwords.

Whoever is outside the allowed networks or shut out gets no answer at all. A source
that answers challenges wrongly gets its next challenges later and later, and after a
number of failures none for a while. Nonces are bound to the source that asked for
them, so nobody can have another source shut out by writing in its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
import ipaddress
import logging

from .clock import Clock

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

# Failures after which a source is shut out, and for how many seconds.
DEFAULT_MAX_FAILURES = 20
SHUT_OUT = 900.0

# Failures that are forgiven without delay: a password mistyped on the phone.
FREE_FAILURES = 3

# Seconds that each further failure delays the next challenge, and the most of it: a
# phone asks again after 500 ms, so a little is enough to slow a guesser down.
DELAY_STEP = 0.25
MAX_DELAY = 4.0

# Seconds after which failures are forgotten.
FORGET = 3600.0

# Sources remembered at most; the one that failed longest ago is forgotten first.
MAX_SOURCES = 4096


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse networks and addresses, separated by commas or spaces.

    Raises ValueError, whose text names the first one that is none.
    """
    return tuple(
        ipaddress.ip_network(item, strict=False)
        for item in text.replace(",", " ").split()
    )


DEFAULT_NETWORKS = parse_networks(" ".join(PRIVATE_NETWORKS))


@dataclass(slots=True)
class _Record:
    """What is known of a source that failed."""

    failures: int
    last: float
    guess: int
    until: float = 0.0


class Guard:
    """Decides by source address."""

    def __init__(
        self,
        clock: Clock,
        allowed: tuple[Network, ...] = DEFAULT_NETWORKS,
        proxies: tuple[Network, ...] = (),
        max_failures: int = DEFAULT_MAX_FAILURES,
    ) -> None:
        """Let in `allowed` (all, where it is empty), and `proxies` without digest."""
        self._clock = clock
        self._allowed = allowed
        self._proxies = proxies
        self._max_failures = max_failures
        self._records: dict[str, _Record] = {}
        self._known: dict[str, tuple[bool, bool]] = {}
        # How often a source was shut out.
        self.shut_outs = 0
        # Called with a source when it is shut out, and when it is let in again early.
        self.on_shut_out: Callable[[str], None] | None = None
        self.on_readmitted: Callable[[str], None] | None = None

    @property
    def shut_out_now(self) -> int:
        """How many sources are shut out."""
        now = self._clock.monotonic()
        return sum(record.until > now for record in self._records.values())

    def lets_in(self, source: str) -> bool:
        """Whether anything from a source is looked at."""
        allowed, proxy = self._standing(source)
        if proxy:
            return True
        if not allowed:
            return False
        record = self._records.get(source) if self._records else None
        return record is None or record.until <= self._clock.monotonic()

    def trusts(self, source: str) -> bool:
        """Whether a source is a proxy that has checked who is calling."""
        return bool(self._proxies) and self._standing(source)[1]

    def failed(self, source: str, answer: str) -> float:
        """Count a wrong answer; return the seconds until the next challenge may go.

        A retransmission repeats the answer to the letter and does not count again.
        Nothing else of a request would do: Call-ID and CSeq are the guesser's choice.
        """
        if self.trusts(source):
            return 0.0
        now = self._clock.monotonic()
        record = self._records.pop(source, None)
        if record is None or now - record.last > FORGET:
            record = _Record(0, now, 0)
        self._records[source] = record
        if len(self._records) > MAX_SOURCES:
            del self._records[next(iter(self._records))]
        record.last = now
        guess = hash(answer)
        if record.guess != guess:
            record.guess = guess
            record.failures += 1
        if record.failures >= self._max_failures:
            record.failures = 0
            record.until = now + SHUT_OUT
            self.shut_outs += 1
            _LOGGER.warning(
                "%s gave wrong passwords %s times and is shut out for %s minutes",
                source,
                self._max_failures,
                round(SHUT_OUT / 60),
            )
            if self.on_shut_out is not None:
                self.on_shut_out(source)
        excess = record.failures - FREE_FAILURES
        return min(max(0.0, excess * DELAY_STEP), MAX_DELAY)

    def succeeded(self, source: str) -> None:
        """Forget the failures of a source that has logged in."""
        if self._records:
            self._records.pop(source, None)

    def readmit(self, source: str) -> None:
        """Let a source in again before its time is over."""
        self._records.pop(source, None)
        if self.on_readmitted is not None:
            self.on_readmitted(source)

    def _standing(self, source: str) -> tuple[bool, bool]:
        """Return whether a source is in an allowed network, and is a proxy."""
        standing = self._known.get(source)
        if standing is None:
            address = ipaddress.ip_address(source.partition("%")[0])
            standing = (
                not self._allowed
                or any(address in network for network in self._allowed),
                any(address in network for network in self._proxies),
            )
            if len(self._known) >= MAX_SOURCES:
                self._known.clear()
            self._known[source] = standing
        return standing
