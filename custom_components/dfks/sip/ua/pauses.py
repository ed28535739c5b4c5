"""When requests of ours to a server are sent again, be it SUBSCRIBE or REGISTER."""

import random
from typing import Final

from ..wire.headers import number
from ..wire.message import Response

# The part of its time after which a subscription is refreshed, and the seconds before
# which it is not, however short its time: with many lines that would be a flood.
REFRESH: Final = 0.8, 0.9
MIN_REFRESH: Final = 10.0

# Seconds until something that failed is tried again, doubled each time, and what it is
# multiplied by so that many lines do not come in step.
MIN_BACK_OFF: Final = 30.0
MAX_BACK_OFF: Final = 1800.0
JITTER: Final = 0.8, 1.2

# The longest pause while nobody answers: a line is back a minute after its server.
MAX_SILENCE: Final = 50.0

# Seconds until a server is asked again that does not want the subscription.
LONG_PAUSE: Final = 3600.0
MAX_RETRY_AFTER: Final = 86_400

# The most seconds that a 423 can have us ask for.
MAX_EXPIRES: Final = 86_400

# What a server says that will not change its mind soon.
LASTING: Final = frozenset({403, 404, 410, 416, 604, 603, 606})


def refresh_after(seconds: float) -> float:
    """Return after how many of the seconds that something lasts to refresh it (S3)."""
    return max(seconds * random.uniform(*REFRESH), MIN_REFRESH)


def retry_after_of(response: Response) -> float | None:
    """Return the seconds of Retry-After (RFC 3261 20.33), None without a usable one."""
    value = (response.get("retry-after") or "").partition(";")[0].partition("(")[0]
    return read_retry_after(value)


def read_retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After without comment, None where it has none."""
    seconds = number(text.strip(), 2**31)
    return None if not seconds else float(min(seconds, MAX_RETRY_AFTER))


def min_expires_of(response: Response, asked: int) -> int | None:
    """Return the seconds that a 423 wants to be asked for at least (RFC 3261 20.23).

    None where it wants no more than was `asked` for, or too much.
    """
    wanted = number((response.get("min-expires") or "").strip(), MAX_EXPIRES)
    return None if wanted is None or wanted <= asked else wanted


class BackOff:
    """The pauses before something is tried again, doubled with each failure (S8)."""

    def __init__(self) -> None:
        """Begin with the shortest."""
        self._next = MIN_BACK_OFF

    @property
    def has_failed(self) -> bool:
        """Whether there was a failure since the last success."""
        return self._next > MIN_BACK_OFF

    def failed(self) -> None:
        """Double the next pause."""
        self._next = min(2 * self._next, MAX_BACK_OFF)

    def succeeded(self) -> None:
        """Begin with the shortest again."""
        self._next = MIN_BACK_OFF

    def pause(
        self, wanted: float | None = None, longest: float = MAX_BACK_OFF
    ) -> float:
        """Return the seconds until the next try, a bit more than are `wanted` (S12).

        Where none are, the pause after it is longer, up to `longest`.
        """
        if wanted is not None:
            return wanted * random.uniform(1.0, JITTER[1])
        pause = min(self._next, longest)
        self._next = min(2 * pause, longest)
        return pause * random.uniform(*JITTER)
