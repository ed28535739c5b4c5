"""What an INVITE of a PBX says of the call that it is for."""

import re

from ..wire.headers import HeaderError, parse_address, parse_uri, split_list
from ..wire.splice import PassedMessage
from .location import ProxyBinding
from .policy import IncomingCall

# How a phone is asked to answer by itself: Call-Info and Alert-Info of several makers.
_ANSWER_AFTER = re.compile(
    r"answer-after\s*=\s*0|info\s*=\s*alert-autoanswer", re.IGNORECASE
)

# The most values of Diversion and History-Info that are read.
MAX_DIVERSIONS = 64


def read_call(message: PassedMessage, binding: ProxyBinding) -> IncomingCall:
    """Read an INVITE to a binding. Raises HeaderError where From or To is broken.

    Other fields that are broken say nothing.
    """
    info = [*message.look_for("alert-info"), *message.look_for("call-info")]
    priority = message.look_for("priority")
    return IncomingCall(
        pbx=binding.pbx,
        user=binding.user,
        domain=binding.domain,
        caller=message.uri_of("from").user,
        called=message.uri_of("to").user,
        priority=priority[0].strip().lower() if priority else "",
        intercom=any(_ANSWER_AFTER.search(value) for value in info),
        diverted=_diverted(message),
    )


def _diverted(message: PassedMessage) -> tuple[str, ...]:
    """Return who has forwarded the call so far.

    The last entry of History-Info is where it goes now, which is here (RFC 7044 9.2).
    """
    users = []
    for name in ("diversion", "history-info"):
        values = []
        for line in message.look_for(name):
            try:
                values += split_list(line)
            except HeaderError:
                continue
        if name == "history-info":
            values = values[:-1]
        users += [_user_of(value) for value in values[:MAX_DIVERSIONS]]
    return tuple(users)


def _user_of(value: str) -> str:
    try:
        return parse_uri(parse_address(value).uri).user_or_number
    except HeaderError:
        return ""
