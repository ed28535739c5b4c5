"""Places for connections: how many there are, for whom, and which one makes room.

A source, an IPv4 address or an IPv6 /64, is known once somebody has logged in from
there, also in an earlier run. Connections of unknown sources hold a part of the places at
most, and the oldest of them makes room for the next: whoever opens many of them and says
nothing shuts nobody out who has a password.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
import resource
from typing import Protocol

from ..sources import source_of

# Connections that are open at one time, and of one source; those that we open count
# for themselves, too, while they are not open yet.
MAX_CONNECTIONS = 1024
MAX_CONNECTIONS_PER_SOURCE = 64

# Of these, those of unknown sources where nobody has logged in yet. A TLS connection
# takes a third of a MiB, a handshake that does not end included.
MAX_UNKNOWN = 256

# Known sources that are remembered; the one that logged in longest ago is forgotten
# first.
MAX_SOURCES = 4096

# File descriptors that are left to the rest of the process, which is Home Assistant:
# this many, or a quarter where the process may have fewer than four times as many.
RESERVED_DESCRIPTORS = 256


class Connection(Protocol):
    """What takes a place."""

    remote: tuple[str, int]

    def abort(self) -> None:
        """Close the connection at once."""


class Warn(Protocol):
    """Logs a warning, unless the same was logged a moment ago."""

    def __call__(self, text: str, *details: object) -> None:
        """Log `text` with its details filled in."""


class Connections[ConnectionT: Connection]:
    """The connections that are open, TLS handshakes included."""

    def __init__(self, warn: Warn) -> None:
        """Start with none."""
        self._warn = warn
        # All of them; those that have not logged in; and of these, those of sources
        # that were unknown when they came. The oldest is the first of each.
        self._all: dict[ConnectionT, None] = {}
        self._unauthenticated: dict[ConnectionT, None] = {}
        self._unknown: dict[ConnectionT, None] = {}
        self._by_source: dict[str, int] = {}
        self._known: dict[str, None] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[ConnectionT]:
        """Iterate over all, the oldest first."""
        return iter(self._all)

    def __contains__(self, connection: ConnectionT) -> bool:
        """Whether a connection has a place."""
        return connection in self._all

    def remember(self, address: str) -> None:
        """Take note that somebody has logged in from an address."""
        source = source_of(address)
        self._known.pop(source, None)
        self._known[source] = None
        if len(self._known) > MAX_SOURCES:
            del self._known[next(iter(self._known))]

    def make_room(self, address: str, *, short: bool = False) -> bool:
        """Return whether one more connection of an address may be taken.

        Where all places are taken, or descriptors are `short`, the oldest connection
        that never logged in is closed for it; one of a known source only for another
        known source.
        """
        source = source_of(address)
        known = source in self._known
        if self._by_source.get(source, 0) >= MAX_CONNECTIONS_PER_SOURCE:
            own = (item for item in self._unauthenticated if _source(item) == source)
            if known and self._close_first(own):
                return True
            self._warn("Too many connections from %s; one more is refused", source)
            return False
        if not known and len(self._unknown) >= MAX_UNKNOWN:
            return self._close_first(self._unknown)
        if not short and len(self._all) < MAX_CONNECTIONS:
            return True
        later = self._unauthenticated if known else ()
        if self._close_first(chain(self._unknown, later)):
            return True
        self._warn("Too many connections; one from %s is refused", source)
        return False

    def _close_first(self, connections: Iterable[ConnectionT]) -> bool:
        oldest = next(iter(connections), None)
        if oldest is None:
            return False
        self._warn(
            "Too many connections; the oldest without a login, from %s, is closed",
            oldest.remote[0],
        )
        self.discard(oldest)
        oldest.abort()
        return True

    def add(self, connection: ConnectionT, *, authenticated: bool = False) -> None:
        """Give a new connection its place."""
        source = _source(connection)
        self._all[connection] = None
        self._by_source[source] = self._by_source.get(source, 0) + 1
        if authenticated:
            return
        self._unauthenticated[connection] = None
        if source not in self._known:
            self._unknown[connection] = None

    def authenticate(self, connection: ConnectionT) -> None:
        """Take note that somebody has logged in by a connection."""
        self.remember(connection.remote[0])
        self._unauthenticated.pop(connection, None)
        self._unknown.pop(connection, None)

    def discard(self, connection: ConnectionT) -> None:
        """Free the place of a connection, if it has one."""
        if connection not in self._all:
            return
        del self._all[connection]
        self._unauthenticated.pop(connection, None)
        self._unknown.pop(connection, None)
        source = _source(connection)
        left = self._by_source[source] - 1
        if left:
            self._by_source[source] = left
        else:
            del self._by_source[source]


def _source(connection: Connection) -> str:
    return source_of(connection.remote[0])


def is_reserved(descriptor: int) -> bool:
    """Return whether a new descriptor is one of those that are left to others.

    The system hands out the lowest that is free, so all below it are in use.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    return descriptor >= limit - min(RESERVED_DESCRIPTORS, limit // 4)
