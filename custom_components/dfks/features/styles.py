"""Which phones are told several features one by one, whatever their line's style is.

A phone may refuse multipart; or a full state, which goes out in two fragments, never
gets to it because something on its path drops fragments. Both are learned per phone, and
forgotten after a day: a path is mended, a phone gets another firmware.
"""

from dataclasses import dataclass
from typing import Final

from ..sip import Clock, Subscription, parse_uri

# Seconds for which a phone is told separately.
REMEMBERED: Final = 86_400.0

# Phones remembered at most; the one that was learned first is forgotten first.
MAX_PHONES: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Until when a phone is told separately, and whether its silence said so."""

    until: float
    silence: bool


class SeparatePhones:
    """The phones that do not get multipart."""

    def __init__(self, clock: Clock) -> None:
        """Start with none."""
        self._clock = clock
        self._lessons: dict[str, _Lesson] = {}

    def __contains__(self, subscription: Subscription) -> bool:
        """Whether the phone of a subscription is told separately."""
        if not self._lessons:
            return False
        phone = _phone(subscription)
        lesson = self._lessons.get(phone)
        if lesson is None:
            return False
        if lesson.until <= self._clock.monotonic():
            del self._lessons[phone]
            return False
        return True

    def add(self, subscription: Subscription, *, silence: bool) -> None:
        """Tell a phone separately from now on: it refused multipart, or was silent."""
        phone = _phone(subscription)
        self._lessons.pop(phone, None)
        if len(self._lessons) >= MAX_PHONES:
            del self._lessons[next(iter(self._lessons))]
        until = self._clock.monotonic() + REMEMBERED
        self._lessons[phone] = _Lesson(until, silence)

    def forget(self, subscription: Subscription) -> None:
        """Try multipart again on a phone."""
        self._lessons.pop(_phone(subscription), None)

    def forget_silence(self, subscription: Subscription) -> None:
        """Forget what the silence of a phone has taught: nothing reaches it at all."""
        phone = _phone(subscription)
        lesson = self._lessons.get(phone)
        if lesson is not None and lesson.silence:
            del self._lessons[phone]


def _phone(subscription: Subscription) -> str:
    """Return what a phone is known by: its instance, else the host of its Contact."""
    return subscription.instance or parse_uri(subscription.dialog.target).host
