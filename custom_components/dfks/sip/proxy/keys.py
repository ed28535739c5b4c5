"""Whether a PBX synchronizes the feature keys itself.

Nobody here has a password for the PBX, so it is a phone's own SUBSCRIBE that is passed
once, with its credentials. A PBX that does not know the event package says so: 489.
"""

from collections.abc import Callable

# Called with whether the keys are for this server to synchronize.
type Told = Callable[[bool], None]

# Answers after which a phone asks again with credentials.
_CHALLENGES = (401, 407)


class KeysQuestion:
    """A question to a PBX that a phone's SUBSCRIBE asks."""

    def __init__(self, told: Told) -> None:
        """Tell the answer once."""
        self._told = told
        # Of the SUBSCRIBE that was passed last.
        self._branch: str | None = None

    def passed(self, branch: str) -> None:
        """Wait for the answer to a SUBSCRIBE."""
        self._branch = branch

    def is_answer(self, branch: str, status: int) -> bool:
        """Whether a response answers the question."""
        return status >= 200 and status not in _CHALLENGES and branch == self._branch

    def answer(self, status: int) -> None:
        """Tell what a response says."""
        self._told(status >= 300)
