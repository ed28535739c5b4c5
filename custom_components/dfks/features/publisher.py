"""Who is told when something happens."""

from collections.abc import Callable
import logging
from typing import TYPE_CHECKING

_LOGGER = logging.getLogger(__name__)


class Publisher[**ParametersT]:
    """Tells its listeners of events."""

    if not TYPE_CHECKING:
        # A class with slots brings the one for `_listeners`, so that it may have
        # another base that has some.
        __slots__ = ()

    # A tuple, so that whoever comes or goes meanwhile does not disturb a telling.
    _listeners: tuple[Callable[ParametersT, None], ...]

    def __init__(self) -> None:
        """Start with nobody to tell."""
        self._listeners = ()

    def subscribe(self, listener: Callable[ParametersT, None]) -> Callable[[], None]:
        """Call `listener` with each event; returns what ends that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(
                other for other in self._listeners if other is not listener
            )

        return unsubscribe

    def publish(self, *event: ParametersT.args, **details: ParametersT.kwargs) -> None:
        """Tell the listeners; what one of them raises is logged, and hinders nobody."""
        for listener in self._listeners:
            try:
                listener(*event, **details)
            except Exception:
                _LOGGER.exception("Unexpected error of a listener")
