"""What cannot be done to a feature, whatever a hook says."""

from .claims import MAX_CLAIMS
from .model import FORWARDINGS, ChangeRefused, ChangeRequest, Line, Origin, Refusal


def check(line: Line, change: ChangeRequest) -> None:
    """Raise ChangeRefused for what cannot be done, whatever a hook says."""
    check_claims(line, change)
    check_target(line, change)


def check_claims(line: Line, change: ChangeRequest) -> None:
    """Raise ChangeRefused for one claim too many on a feature."""
    claims = line.claims(change.feature)
    if change.hold is None or claims is None or len(claims.held) < MAX_CLAIMS:
        return
    if change.hold.name and all(c.name != change.hold.name for c in claims.held):
        raise ChangeRefused("Too many claims are held", Refusal.TOO_MANY_CLAIMS)


def check_target(line: Line, change: ChangeRequest) -> None:
    """Raise ChangeRefused where Home Assistant turns on a forwarding without target.

    A phone's is taken: the phone is told that it is off.
    """
    feature = change.feature
    if (
        not change.status
        or change.origin is Origin.PHONE
        or feature not in FORWARDINGS
        or (
            line.state(feature).forward_to
            if change.forward_to is None
            else change.forward_to
        )
    ):
        return
    raise ChangeRefused("There is no target to forward to", Refusal.TARGET_MISSING)


def removed() -> ChangeRefused:
    """Return the refusal of a change of a line that is no more."""
    return ChangeRefused("The line has been removed", Refusal.LINE_REMOVED)


def stopping() -> ChangeRefused:
    """Return the refusal of a change that comes while Home Assistant stops."""
    return ChangeRefused("Home Assistant is stopping", Refusal.STOPPING)
