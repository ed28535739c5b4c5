"""The phones that PBXs have accepted, with Home Assistant in between."""

from collections.abc import Iterator, Mapping

from ..sip import Clock, ProxyBinding


class PassedPhones:
    """What phones have registered at PBXs through here, by the tokens that name it."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._bindings: dict[str, ProxyBinding] = {}
        # The same by PBX and user: each REGISTER asks for those of its line.
        self._lines: dict[tuple[str, str], dict[str, ProxyBinding]] = {}

    def __iter__(self) -> Iterator[ProxyBinding]:
        """Yield what is registered, the newest first."""
        return self._live(self._bindings)

    def _live(self, bindings: Mapping[str, ProxyBinding]) -> Iterator[ProxyBinding]:
        now = self._clock.monotonic()
        for binding in reversed(list(bindings.values())):
            if binding.expires_at > now:
                yield binding

    def add(self, binding: ProxyBinding) -> ProxyBinding | None:
        """Take what a PBX has accepted, and return what it was before."""
        before = self._forget(binding.token)
        self._bindings[binding.token] = binding
        line = binding.pbx, binding.user
        self._lines.setdefault(line, {})[binding.token] = binding
        return before

    def remove(self, binding: ProxyBinding) -> bool:
        """Forget what has ended; whether it was known."""
        return self._forget(binding.token) is not None

    def _forget(self, token: str) -> ProxyBinding | None:
        binding = self._bindings.pop(token, None)
        if binding is not None:
            line = binding.pbx, binding.user
            del self._lines[line][token]
            if not self._lines[line]:
                del self._lines[line]
        return binding

    def of_line(self, pbx: str, user: str) -> list[ProxyBinding]:
        """Return what is registered of a line at a PBX."""
        return list(self._live(self._lines.get((pbx, user), {})))

    def at(self, pbx: str) -> list[ProxyBinding]:
        """Return what is registered at a PBX."""
        return [binding for binding in self if binding.pbx == pbx]
