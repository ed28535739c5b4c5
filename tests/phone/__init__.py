"""An independent simulated desk phone: the tests' phone, and `scripts/phone`.

It has SIP code of its own (standard library only, Python 3.11 and later), imports
nothing of the integration, and is strict: what a phone would choke on is collected in
`violations`.
"""

from .calls import Bell, Call, CallState
from .digest import Challenge, Digest
from .documents import (
    ALWAYS,
    BUSY,
    CONTENT_TYPE,
    DND,
    FEATURES,
    NO_ANSWER,
    Document,
    Lamp,
    parse_event,
    set_dnd,
    set_forwarding,
)
from .link import PATIENCE, settle
from .phone import (
    SILENCE,
    Answer,
    Dialog,
    Notification,
    Phone,
    PhoneError,
    PhoneTimeout,
)
from .raw import RawPeer, branch, renewed
from .wire import Message, Request, Response, WireError, parse

__all__ = [
    "ALWAYS",
    "BUSY",
    "CONTENT_TYPE",
    "DND",
    "FEATURES",
    "NO_ANSWER",
    "PATIENCE",
    "SILENCE",
    "Answer",
    "Bell",
    "Call",
    "CallState",
    "Challenge",
    "Dialog",
    "Digest",
    "Document",
    "Lamp",
    "Message",
    "Notification",
    "Phone",
    "PhoneError",
    "PhoneTimeout",
    "RawPeer",
    "Request",
    "Response",
    "WireError",
    "branch",
    "parse",
    "parse_event",
    "renewed",
    "set_dnd",
    "set_forwarding",
    "settle",
]
