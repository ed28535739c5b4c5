"""Changes that wait for the set hook, and how they become one.

A key that is pressed again and again, or an automation that runs wild, must not make
the hook decide about each press: what waits is only the newest wish.
"""

import asyncio
from dataclasses import replace

from ..sip import Subscription
from .model import ChangeOutcome, ChangeRefused, ChangeRequest, Origin


class WaitingChange:
    """A change that waits for its turn, with all who want to know what comes of it."""

    __slots__ = ("_outcomes", "change", "sender")

    def __init__(self, change: ChangeRequest, sender: Subscription | None) -> None:
        """Take the first wish; `sender` is the phone's, None for Home Assistant's."""
        self.change = change
        self.sender = sender
        self._outcomes: list[asyncio.Future[ChangeOutcome]] = []

    def takes(self, change: ChangeRequest, sender: Subscription | None) -> bool:
        """Whether a newer wish can be merged into this one.

        The hook has to see who wishes what. So wishes of different phones, of a phone
        and Home Assistant, and those with a parameter for the hook stay apart.
        """
        older = self.change
        if older.forward_to == "" and change.status and change.forward_to is None:
            # To clear a target is fine, to turn on without one is to be refused.
            return False
        return (
            older.feature is change.feature
            and self.sender is sender
            and older.source == change.source
            and (older.origin is Origin.PHONE) == (change.origin is Origin.PHONE)
            and older.param is None
            and change.param is None
            and _claim(older) == _claim(change)
            and not (older.is_end or change.is_end)
        )

    def merge(self, change: ChangeRequest) -> None:
        """Let a newer wish go before this one, field by field."""
        older = self.change
        status = _status(change)
        self.change = replace(
            change,
            status=_status(older) if status is None else status,
            forward_to=(
                older.forward_to if change.forward_to is None else change.forward_to
            ),
            ring_count=(
                older.ring_count if change.ring_count is None else change.ring_count
            ),
            # An action tells all phones in any case.
            origin=older.origin if older.origin is Origin.ACTION else change.origin,
        )

    def outcome(self) -> asyncio.Future[ChangeOutcome]:
        """Return a future of what comes of it, for one more who waits."""
        outcome: asyncio.Future[ChangeOutcome] = (
            asyncio.get_running_loop().create_future()
        )
        self._outcomes.append(outcome)
        return outcome

    @property
    def is_wanted(self) -> bool:
        """Whether not all who asked for it have given up."""
        return self.sender is not None or any(
            not outcome.done() for outcome in self._outcomes
        )

    def made(self, result: ChangeOutcome) -> None:
        """Tell all who wait what has come of it."""
        for outcome in self._outcomes:
            if not outcome.done():
                outcome.set_result(result)

    def refused(self, error: ChangeRefused) -> None:
        """Tell all who wait that it is not made."""
        for outcome in self._outcomes:
            if not outcome.done():
                outcome.set_exception(error)


def _claim(change: ChangeRequest) -> str | None:
    """Return the name of the claim that a change makes, None where it makes none."""
    return None if change.hold is None else change.hold.name


def _status(change: ChangeRequest) -> bool | None:
    """Return the status that a change asks for; to clear a target asks for off."""
    return False if change.forward_to == "" else change.status
