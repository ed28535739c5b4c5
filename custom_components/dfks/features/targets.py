"""What can be the target of a forwarding: a number to dial, or a SIP address."""

import re
from typing import Final

from .model import is_target

# How people write numbers (RFC 3966 5.1.1 visual separators, and what is common besides);
# nobody dials it.
_SEPARATORS: Final = re.compile(r"[ \u00a0()./-]")

# Digits, and what else is on a phone's keys or starts an international number.
_NUMBER: Final = re.compile(r"[0-9+*#]+")

# A URI of RFC 3261 or RFC 3966, without what would end it in a header or a document.
_URI: Final = re.compile(r"(?:sips?|tel):[!#-;=?-~]+", re.IGNORECASE)


def dialable(text: str) -> str | None:
    """Return a target as a phone dials it, None for what no phone can call.

    White space and separators of a number are left out. The empty text is no target and
    stays what it is.
    """
    text = text.strip()
    if not text or (_URI.fullmatch(text) and is_target(text)):
        return text
    number = _SEPARATORS.sub("", text)
    return number if _NUMBER.fullmatch(number) and is_target(number) else None
