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

# Seconds until a server is asked again that does not want the subscription.
LONG_PAUSE: Final = 3600.0
MAX_RETRY_AFTER: Final = 86_400

# What a server says that will not change its mind soon.
LASTING: Final = frozenset({403, 404, 410, 416, 604, 603, 606})


def refresh_after(seconds: float) -> float:
    """Return after how many of the seconds that something lasts to refresh it (S3)."""
    return max(seconds * random.uniform(*REFRESH), MIN_REFRESH)


def retry_after_of(response: Response) -> float | None:
    """Return the seconds of Retry-After (RFC 3261 20.33), None without a usable one."""
    value = (response.get("retry-after") or "").partition(";")[0].partition("(")[0]
    seconds = number(value.strip(), 2**31)
    return None if not seconds else float(min(seconds, MAX_RETRY_AFTER))
