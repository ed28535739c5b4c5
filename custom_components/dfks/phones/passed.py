"""The phones that PBXs have accepted, with Home Assistant in between."""

from collections.abc import Iterator

from ..sip import Clock, ProxyBinding


class PassedPhones:
    """What phones have registered at PBXs through here, by the tokens that name it."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._bindings: dict[str, ProxyBinding] = {}

    def __iter__(self) -> Iterator[ProxyBinding]:
        """Yield what is registered, the newest first."""
        now = self._clock.monotonic()
        for binding in reversed(list(self._bindings.values())):
            if binding.expires_at > now:
                yield binding

    def add(self, binding: ProxyBinding) -> ProxyBinding | None:
        """Take what a PBX has accepted, and return what it was before."""
        before = self._bindings.pop(binding.token, None)
        self._bindings[binding.token] = binding
        return before

    def remove(self, binding: ProxyBinding) -> bool:
        """Forget what has ended; whether it was known."""
        return self._bindings.pop(binding.token, None) is not None

    def of_line(self, pbx: str, user: str) -> list[ProxyBinding]:
        """Return what is registered of a line at a PBX."""
        return [
            binding for binding in self if (binding.pbx, binding.user) == (pbx, user)
        ]

    def at(self, pbx: str) -> list[ProxyBinding]:
        """Return what is registered at a PBX."""
        return [binding for binding in self if binding.pbx == pbx]
