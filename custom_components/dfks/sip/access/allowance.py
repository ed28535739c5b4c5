"""How many messages a source may send, decided before any of them is read.

A source has a burst, and then so many messages a second; what comes beyond is dropped
over UDP, where phones send again, and waits in the kernel on a stream. It is never
answered, because an answer is what costs, and a 503 would send a phone elsewhere.

Sources that nobody has logged in from get little, so that two hundred of them are no
load, and all of them together have a limit, because over UDP a source can be forged.
Where somebody has logged in there may be a whole office behind one address.
"""

# Messages a second of a source that nobody has logged in from, and its burst: a phone
# with 16 accounts asks for 16 challenges at once. When it has answered the first of them
# its source is known. Two hundred such sources stay below what all of them share.
UNAUTHENTICATED_RATE = 20.0
UNAUTHENTICATED_BURST = 20

# All of these together: a sixth of a processor. Forged sources share it; those that
# somebody has logged in from are not in it.
ALL_UNAUTHENTICATED_RATE = 5000.0
ALL_UNAUTHENTICATED_BURST = 5000

# Of a source that somebody has logged in from: 500 phones behind it that come back from
# a power cut together send three requests each, and are done before the first of them
# gives up after 32 s. As changes, a full Home Assistant is busy with the burst for a
# fifth of a second, and takes a twentieth of a processor for the rate.
AUTHENTICATED_RATE = 50.0
AUTHENTICATED_BURST = 250

# Octets that count as one message; reading takes time linear in the size.
MESSAGE_SIZE = 1024

# Sources of each kind whose allowance is kept; of more the first goes.
MAX_SOURCES = 4096


class Allowance:
    """What a source may send, as the time until which it has used its rate."""

    __slots__ = ("_interval", "_patience", "_shared", "_used_until", "known")

    def __init__(
        self, rate: float, burst: int, shared: Allowance | None = None
    ) -> None:
        """Allow `burst` messages and `rate` a second; `shared` is used up with it."""
        self._shared = shared
        self._used_until = 0.0
        self.known = False
        self._set(rate, burst)

    def _set(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._patience = (burst - 1) / rate

    def mark_authenticated(self) -> None:
        """Allow what a source may send that somebody has logged in from."""
        self.known = True
        self._shared = None
        self._used_until = 0.0
        self._set(AUTHENTICATED_RATE, AUTHENTICATED_BURST)

    def take(self, now: float, size: int) -> float:
        """Use the allowance for a message of some octets; return 0.

        Where there is none left, return the seconds until there is, and use nothing.
        """
        used_until = self._used_until
        if used_until < now:
            used_until = now
        elif (wait := used_until - now - self._patience) > 0:
            return wait
        if self._shared is not None and (wait := self._shared.take(now, size)):
            return wait
        self._used_until = used_until + self._interval * (1 + size // MESSAGE_SIZE)
        return 0.0


class Allowances:
    """The allowances of all sources."""

    def __init__(self) -> None:
        """Start with nothing used."""
        self._shared = Allowance(ALL_UNAUTHENTICATED_RATE, ALL_UNAUTHENTICATED_BURST)
        self._unknown: dict[str, Allowance] = {}
        self._known: dict[str, Allowance] = {}

    def of(self, source: str) -> Allowance:
        """Return the allowance of a source."""
        found = self._known.get(source) or self._unknown.get(source)
        if found is None:
            found = Allowance(UNAUTHENTICATED_RATE, UNAUTHENTICATED_BURST, self._shared)
            _keep(self._unknown, source, found)
        return found

    def mark_authenticated(self, source: str, allowance: Allowance) -> None:
        """Take note that somebody has logged in from a source with this allowance."""
        self._unknown.pop(source, None)
        _keep(self._known, source, allowance)
        allowance.mark_authenticated()


def _keep(allowances: dict[str, Allowance], source: str, allowance: Allowance) -> None:
    if len(allowances) >= MAX_SOURCES:
        del allowances[next(iter(allowances))]
    allowances[source] = allowance
