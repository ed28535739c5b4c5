"""Claims: features that are on for a time or for a purpose, and what comes after.

An automation claims a feature under a name of its own: quiet during a meeting, forwarded
while nobody is at home. The rules, for each feature of a line by itself:

- The first claim keeps the state before it. When the last one ends, the feature goes
  back to that state.
- Several claims may be held at a time. While one is left, the state is that of the
  newest of them.
- A claim ends at its time, or when it is released. A new change under the same name takes
  its place, with a new end or none.
- A change without a name (a key, a switch, another action) ends all claims, and the
  state that it sets stays. What changes nothing counts only where Home Assistant asks
  for it: phones repeat their state by themselves.
- A change without a name may have an end too: a person who does not want to be disturbed
  for an hour. At the end the feature goes back to the state before, and goes off where
  that was the same.

Everything here only computes: states, claims and times in, claims out. Times are in seconds
since the epoch.
"""

from dataclasses import replace
from typing import Final

from .model import FORWARDINGS, ChangeRequest, Claim, Claims, FeatureState, Line, Origin

# Claims on one feature at a time; more are refused. Enough for any household, and an
# automation that makes up a new name each time does not fill the disk.
MAX_CLAIMS: Final = 20

# The latest end that is taken, the year 3000: calendars end in 9999, in some time zones a
# day earlier.
MAX_END: Final = 32_503_680_000.0


def claims_after(
    claims: Claims | None, change: ChangeRequest, old: FeatureState, new: FeatureState
) -> Claims | None:
    """Return the claims that are held after a change from one state to another."""
    if change.is_end:
        return claims and _without(claims, ending(claims, change))
    hold = change.hold
    if hold is None:
        is_repetition = new == old and change.origin in (
            Origin.PHONE,
            Origin.HOOK,
            Origin.PBX,
        )
        return claims if is_repetition else None
    if not new.status:
        # A hook has turned it off: there is nothing to hold.
        return None
    before = old if claims is None else claims.before
    claim = Claim(hold.name, hold.until, new)
    if not hold.name:
        return Claims(
            before._replace(status=False) if before == new else before, (claim,)
        )
    others = () if claims is None else claims.held
    return Claims(before, (*(c for c in others if c.name != hold.name), claim))


def ending(claims: Claims | None, change: ChangeRequest) -> frozenset[str]:
    """Return the names of the claims that a change ends, of those that are held."""
    if claims is None:
        return frozenset()
    if change.ended_at is not None:
        return due(claims, change.ended_at)
    return frozenset(c.name for c in claims.held if c.name == change.release)


def returned(line: Line, change: ChangeRequest) -> ChangeRequest:
    """Return a change with the state that it goes back to, if it ends claims."""
    claims = line.claims(change.feature)
    ended = ending(claims, change)
    if claims is None or not ended:
        return change
    left = _without(claims, ended)
    state = claims.before if left is None else left.held[-1].state
    return replace(
        change,
        status=state.status,
        # An empty target would turn off a feature that has none.
        forward_to=state.forward_to if change.feature in FORWARDINGS else None,
        ring_count=state.ring_count,
    )


def due(claims: Claims, now: float) -> frozenset[str]:
    """Return the names of the claims whose time is over."""
    return frozenset(
        c.name for c in claims.held if c.until is not None and c.until <= now
    )


def next_end(claims: Claims) -> float | None:
    """Return when the next claim ends, None where none has an end."""
    return min((c.until for c in claims.held if c.until is not None), default=None)


def last_end(claims: Claims | None) -> float | None:
    """Return when the last claim ends, None where that is not known."""
    if claims is None:
        return None
    ends = [c.until for c in claims.held]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def names(claims: Claims | None) -> list[str]:
    """Return the names of the claims that are held; a person's end has none."""
    return [] if claims is None else [c.name for c in claims.held if c.name]


def ends_nothing(line: Line, change: ChangeRequest) -> bool:
    """Whether a change is to end claims that are not held any more."""
    return change.is_end and not ending(line.claims(change.feature), change)


def _without(claims: Claims, names: frozenset[str]) -> Claims | None:
    """Return the claims without some, None where none is left."""
    left = tuple(c for c in claims.held if c.name not in names)
    return Claims(claims.before, left) if left else None
