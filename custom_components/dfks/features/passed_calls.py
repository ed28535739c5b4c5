"""What passed SIP says of the calls of a line, as the line's calls take it."""

from collections.abc import Mapping
from typing import Final

from ..sip import (
    NO_ANSWER,
    UNAVAILABLE,
    UNCONDITIONAL,
    USER_BUSY,
    CallLeg,
    LineKey,
    Redirect,
    Reject,
)
from .display import decoded
from .seen import CallEventType, CallReason, Leg, Party, SeenCalls

# Why a call is over, by the status of the response that refused it. With 480 and 408 a
# phone rang, or was away, and nobody came.
_REASONS: Final = {
    403: CallReason.DECLINED,
    408: CallReason.NO_ANSWER,
    480: CallReason.NO_ANSWER,
    486: CallReason.BUSY,
    487: CallReason.CANCELLED,
    600: CallReason.BUSY,
    603: CallReason.DECLINED,
}

# Why a call goes elsewhere, by the words of RFC 5806.
_FORWARDINGS: Final = {
    UNCONDITIONAL: CallReason.ALWAYS,
    USER_BUSY: CallReason.BUSY,
    NO_ANSWER: CallReason.NO_ANSWER,
    UNAVAILABLE: CallReason.NOT_REACHABLE,
}


class PassedCalls:
    """Reports what is followed of the calls that pass (`sip.CallObserver`)."""

    def __init__(self, lines: Mapping[LineKey, SeenCalls]) -> None:
        """Report to the calls of `lines`, by PBX and user."""
        self._lines = lines

    def ringing(self, leg: CallLeg) -> None:
        """Report that a phone rings, or the one that it calls."""
        if (calls := self._lines.get(leg.line)) is not None:
            report = calls.incoming if leg.incoming else calls.outgoing
            report(_leg(leg), _party(leg))

    def answered(self, leg: CallLeg, lasts: float | None) -> None:
        """Report that a call is answered, or goes on."""
        if (calls := self._lines.get(leg.line)) is not None:
            calls.answered(_leg(leg), _party(leg), lasts=lasts)

    def held(self, leg: CallLeg, *, held: bool) -> None:
        """Report that a phone has put its call on hold, or goes on with it."""
        if (calls := self._lines.get(leg.line)) is not None:
            (calls.held if held else calls.resumed)(_leg(leg))

    def cancelled(self, leg: CallLeg, seconds: float, *, elsewhere: bool) -> None:
        """Report that a call which rings is to be over soon."""
        if (calls := self._lines.get(leg.line)) is not None:
            calls.ending(_leg(leg), _reason(487, elsewhere=elsewhere), seconds)

    def lost(self, leg: CallLeg) -> None:
        """Report that a phone is gone while a call rings."""
        if (calls := self._lines.get(leg.line)) is not None:
            calls.lost(_leg(leg))

    def ended(self, leg: CallLeg, status: int | None, *, elsewhere: bool) -> None:
        """Report that a phone has nothing of a call any more."""
        if (calls := self._lines.get(leg.line)) is None:
            return
        if leg.incoming and status is not None and 300 <= status < 400:
            calls.forwarded(_leg(leg), _party(leg), CallReason.BY_PHONE)
        else:
            calls.ended(_leg(leg), _reason(status, elsewhere=elsewhere))

    def treated(self, leg: CallLeg, treatment: Reject | Redirect) -> None:
        """Report that a call is rejected or redirected here, for all its phones."""
        if (calls := self._lines.get(leg.line)) is None:
            return
        if isinstance(treatment, Redirect):
            kind = CallEventType.FORWARDED
            reason = _FORWARDINGS.get(treatment.reason, CallReason.UNKNOWN)
        elif treatment.status == 408:
            # It has rung for longer than anybody waits.
            kind, reason = CallEventType.MISSED, CallReason.NO_ANSWER
        else:
            kind, reason = CallEventType.REJECTED, CallReason.DO_NOT_DISTURB
        calls.treated(_leg(leg), _party(leg), kind, reason)


def _leg(leg: CallLeg) -> Leg:
    return Leg(leg.phone, leg.call_id)


def _party(leg: CallLeg) -> Party:
    return Party.shown(leg.number, decoded(leg.name))


def _reason(status: int | None, *, elsewhere: bool) -> CallReason:
    if status is None:
        return CallReason.HUNG_UP
    if status == 487 and elsewhere:
        return CallReason.ANSWERED_ELSEWHERE
    return _REASONS.get(status, CallReason.FAILED)
