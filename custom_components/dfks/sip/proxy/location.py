"""The bindings that phones have made at a PBX, learned from what was passed.

A 2xx to a REGISTER says that whoever sent it knows the password of its line. The way
the REGISTER came, its *flow*, is *proven* for that line until the binding expires. So
this is the location service of the proxy (where a request for a token goes) and the
proof of who is who at the same time.

Bindings outlive the process. A connection does not: its binding waits for the phone's
next connection.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypedDict

from ..clock import Clock
from ..snapshot import FlowRecord, flow_ends, flow_record
from ..transport.flow import Flow

# Bindings of one line, and of all.
MAX_BINDINGS_PER_LINE = 10
MAX_BINDINGS = 1024

# Seconds. No binding lasts longer, whatever the PBX grants.
MAX_EXPIRES = 24 * 3600

# Seconds that a binding which has ended is still found by its token: a call goes on
# when its phone has not registered anew.
LINGER = 3600.0

type LineKey = tuple[str, str]
type FlowKey = Flow | tuple[tuple[str, int], tuple[str, int]]


class ProxyBinding(NamedTuple):
    """What a phone has registered through here.

    token       names it in Contact, Path and Record-Route
    pbx         the id of the PBX that has accepted it
    user        the line: user part of To, decoded
    domain      host of To, which is the PBX's domain
    name        display name in From, empty without one
    contact     the URI as the phone wrote it
    instance    +sip.instance of the phone, None without one
    user_agent  what the phone says of itself
    flow        the newest way to the phone
    expires_at  in seconds of the monotonic clock
    """

    token: str
    pbx: str
    user: str
    domain: str
    name: str
    contact: str
    instance: str | None
    user_agent: str | None
    flow: Flow
    expires_at: float

    @property
    def line(self) -> LineKey:
        """PBX and user."""
        return self.pbx, self.user


class ProxyBindingRecord(TypedDict):
    """One binding in the form of JSON; the time is seconds since the epoch."""

    token: str
    pbx: str
    user: str
    domain: str
    name: str
    contact: str
    instance: str | None
    user_agent: str | None
    flow: FlowRecord
    expires_at: float


class Location:
    """All bindings, by token, by line and by flow."""

    def __init__(self, clock: Clock) -> None:
        """Start without bindings."""
        self._clock = clock
        self._by_token: dict[str, ProxyBinding] = {}
        self._by_line: dict[LineKey, tuple[str, ...]] = {}
        self._by_flow: dict[FlowKey, tuple[str, ...]] = {}

    def __len__(self) -> int:
        """Return the number of bindings, those that have just ended included."""
        return len(self._by_token)

    def __iter__(self) -> Iterator[ProxyBinding]:
        """Iterate over the live bindings."""
        return iter(self._live(tuple(self._by_token)))

    def _live(self, tokens: tuple[str, ...]) -> list[ProxyBinding]:
        if not tokens:
            return []
        now = self._clock.monotonic()
        found = [self._by_token[token] for token in tokens]
        return [binding for binding in found if binding.expires_at > now]

    def find(self, token: str) -> ProxyBinding | None:
        """Return the live binding of a token."""
        binding = self._by_token.get(token)
        if binding is None or binding.expires_at <= self._clock.monotonic():
            return None
        return binding

    def find_in_dialog(self, token: str) -> ProxyBinding | None:
        """Return the binding of a token for a request in a dialog, ended or not."""
        return self._by_token.get(token)

    def of_line(self, pbx: str, user: str) -> list[ProxyBinding]:
        """Return the live bindings of a line."""
        return self._live(self._by_line.get((pbx, user), ()))

    def proven(self, flow: Flow) -> list[ProxyBinding]:
        """Return the live bindings that a flow has proven."""
        return self._live(self._by_flow.get(flow_key(flow), ()))

    def speaker(self, flow: Flow, token: str | None, user: str) -> ProxyBinding | None:
        """Return for which binding a flow speaks that is proven, None for another.

        For the one that `token` names, where it is of one of the flow's lines; without
        a token for the line that is called `user`, or else for the first.
        """
        proven = self.proven(flow)
        if token is not None:
            named = self.find_in_dialog(token)
            for binding in proven:
                if binding is named or (named and binding.line == named.line):
                    return named
            return None
        for binding in proven:
            if binding.user == user:
                return binding
        return proven[0] if proven else None

    def has_room(self, tokens: set[str]) -> bool:
        """Whether there is room for these bindings, some of which may be known."""
        if tokens <= self._by_token.keys():
            return True
        self._drop_ended()
        new = sum(token not in self._by_token for token in tokens)
        return len(self._by_token) + new <= MAX_BINDINGS

    def update(self, binding: ProxyBinding) -> None:
        """Take a binding that the PBX has accepted; the oldest of its line goes."""
        before = self._by_token.get(binding.token)
        if before is not None and self._is_alone(before, binding):
            self._by_token[binding.token] = binding
            return
        self._forget(binding.token)
        self._by_token[binding.token] = binding
        _list(self._by_line, binding.line, binding.token)
        _list(self._by_flow, flow_key(binding.flow), binding.token)
        tokens = self._by_line[binding.line]
        if len(tokens) > MAX_BINDINGS_PER_LINE:
            self._forget(self._oldest(tokens[:-1]))

    def _is_alone(self, before: ProxyBinding, after: ProxyBinding) -> bool:
        """Whether a binding stays the only one of its line and of its flow."""
        alone = (after.token,)
        return (
            self._by_line.get(after.line) == alone
            and self._by_flow.get(flow_key(after.flow)) == alone
            and before.line == after.line
        )

    def _oldest(self, tokens: tuple[str, ...]) -> str:
        """Return what goes first: whose flow is gone, then who came first."""
        for token in tokens:
            if self._by_token[token].flow.closed:
                return token
        return tokens[0]

    def end(self, binding: ProxyBinding) -> None:
        """End a binding; requests in its dialogs still find it for a while."""
        now = self._clock.monotonic()
        self._by_token[binding.token] = binding._replace(
            expires_at=min(binding.expires_at, now)
        )

    def remove_pbx(self, pbx: str) -> None:
        """Forget the bindings at a PBX that is no longer configured."""
        for token, binding in list(self._by_token.items()):
            if binding.pbx == pbx:
                self._forget(token)

    def _drop_ended(self) -> None:
        limit = self._clock.monotonic() - LINGER
        for token, binding in list(self._by_token.items()):
            if binding.expires_at <= limit:
                self._forget(token)

    def _forget(self, token: str) -> None:
        binding = self._by_token.pop(token, None)
        if binding is None:
            return
        _unlist(self._by_line, binding.line, token)
        _unlist(self._by_flow, flow_key(binding.flow), token)

    # What outlives the process

    def records(self) -> list[ProxyBindingRecord]:
        """Return what there is to remember."""
        self._drop_ended()
        offset = self._clock.time() - self._clock.monotonic()
        return [
            ProxyBindingRecord(
                token=binding.token,
                pbx=binding.pbx,
                user=binding.user,
                domain=binding.domain,
                name=binding.name,
                contact=binding.contact,
                instance=binding.instance,
                user_agent=binding.user_agent,
                flow=flow_record(binding.flow),
                expires_at=binding.expires_at + offset,
            )
            for binding in self._by_token.values()
        ]

    def restore(
        self,
        record: ProxyBindingRecord,
        flow_of: Callable[[str, tuple[str, int], tuple[str, int]], Flow],
    ) -> ProxyBinding | None:
        """Take back a binding, and return it if it has not ended.

        Raises KeyError, TypeError, ValueError or FlowError.
        """
        left = min(record["expires_at"] - self._clock.time(), MAX_EXPIRES)
        if left <= -LINGER:
            return None
        binding = ProxyBinding(
            token=str(record["token"]),
            pbx=str(record["pbx"]),
            user=str(record["user"]),
            domain=str(record["domain"]),
            name=str(record["name"]),
            contact=_one_line(record["contact"]),
            instance=record["instance"],
            user_agent=record["user_agent"],
            flow=flow_of(*flow_ends(record["flow"])),
            expires_at=self._clock.monotonic() + left,
        )
        self.update(binding)
        return self.find(binding.token)


def flow_key(flow: Flow) -> FlowKey:
    """Return what two flows have in common that are one.

    The connection; for UDP both ends.
    """
    return flow if flow.reliable else (flow.remote, flow.local)


def _list[Key](index: dict[Key, tuple[str, ...]], key: Key, token: str) -> None:
    index[key] = (*index.get(key, ()), token)


def _unlist[Key](index: dict[Key, tuple[str, ...]], key: Key, token: str) -> None:
    rest = tuple(item for item in index[key] if item != token)
    if rest:
        index[key] = rest
    else:
        del index[key]


def _one_line(text: str) -> str:
    """Return a URI of an earlier run. Raises ValueError where it would end a line."""
    if not text.isprintable() or " " in text:
        raise ValueError("A Contact with a control character")
    return text
