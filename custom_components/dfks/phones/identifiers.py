"""What can be the user and the credentials of a phone line, and what can be shown."""

from typing import Final

# Characters; longer than any name that a person gives.
MAX_LENGTH: Final = 128

# What ends the user part of a SIP URI or starts an escape in it (RFC 3261 section
# 25.1), beside white space and control characters.
_NOT_IN_USER: Final = frozenset('@:%<>"\\')

# What ends the user name of digest credentials or quotes in them (RFC 7616).
_NOT_IN_AUTH_NAME: Final = frozenset(':"\\')


def is_plain(text: str) -> bool:
    """Whether the text is there, of a sane length, and all of it can be seen."""
    return 0 < len(text) <= MAX_LENGTH and text.isprintable()


def is_user(text: str) -> bool:
    """Whether the text can be the user part of a line's address."""
    return is_plain(text) and " " not in text and _NOT_IN_USER.isdisjoint(text)


def is_auth_name(text: str) -> bool:
    """Whether the text can be the user name of a line's credentials."""
    return is_plain(text) and _NOT_IN_AUTH_NAME.isdisjoint(text)
