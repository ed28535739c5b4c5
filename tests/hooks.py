"""Hooks made of functions, in the place of Home Assistant's scripts."""

from collections.abc import Awaitable, Callable
from typing import override

from custom_components.dfks.features.hooks import HookError, Hooks, Ruling
from custom_components.dfks.features.model import ChangeRequest, Feature, Line

type Rule = Callable[[Line, ChangeRequest], Awaitable[Ruling]]
type Supply = Callable[[Line, Feature], Awaitable[Ruling]]


def says(ruling: Ruling) -> Callable[[Line, object], Awaitable[Ruling]]:
    """Return a hook that says the same of everything."""

    async def hook(_line: Line, _about: object) -> Ruling:
        return ruling

    return hook


class FunctionHooks(Hooks):
    """A set hook and a get hook, each there while it is not None."""

    def __init__(self, rule: Rule | None = None, supply: Supply | None = None) -> None:
        """Take the functions."""
        self.set_hook = rule
        self.get_hook = supply
        self.failures: list[HookError] = []
        self.asked: list[ChangeRequest | Feature] = []
        """What the hooks were asked about, a call each."""
        self.sources: list[str | None] = []
        """Who asked for the full state, a call of the get hook each."""

    @property
    @override
    def has_set_hook(self) -> bool:
        return self.set_hook is not None

    @property
    @override
    def has_get_hook(self) -> bool:
        return self.get_hook is not None

    @override
    async def rule(self, line: Line, change: ChangeRequest) -> Ruling:
        assert self.set_hook is not None
        self.asked.append(change)
        return await self.set_hook(line, change)

    @override
    async def supply(self, line: Line, feature: Feature, source: str | None) -> Ruling:
        assert self.get_hook is not None
        self.asked.append(feature)
        self.sources.append(source)
        return await self.get_hook(line, feature)

    @override
    def rule_failed(self, error: HookError) -> None:
        self.failures.append(error)

    @override
    def supply_failed(self, error: HookError) -> None:
        self.failures.append(error)
