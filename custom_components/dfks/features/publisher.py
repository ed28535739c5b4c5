"""Who is told when something happens."""

from collections.abc import Callable


class Publisher[**ParametersT]:
    """Tells its listeners of events."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        """Start with nobody to tell."""
        # A tuple, so that whoever comes or goes meanwhile does not disturb a telling.
        self._listeners: tuple[Callable[ParametersT, None], ...] = ()

    def subscribe(self, listener: Callable[ParametersT, None]) -> Callable[[], None]:
        """Call `listener` with each event; returns what ends that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(
                other for other in self._listeners if other is not listener
            )

        return unsubscribe

    def publish(self, *event: ParametersT.args, **details: ParametersT.kwargs) -> None:
        """Tell the listeners."""
        for listener in self._listeners:
            listener(*event, **details)
