"""What of dialogs and bindings outlives the process, in the form of JSON.

Times are seconds since the epoch. A line is named by its id, which stays when its user
part changes. The count of a dialog goes on from what is written here plus a reserve, or
from the clock where that says more, so that no NOTIFY ever has a lower CSeq than one
before it, neither after a crash nor after a backup is restored: phones answer such a one
with an error and some of them go wild.
"""

import ipaddress
from typing import TypedDict

from .transport.flow import Flow

# NOTIFYs that may go out in a dialog before its count must be written once more. Asked
# for at half of it, so that the write has time.
CSEQ_RESERVE = 10_000

# The CSeq that the clock gives rises by so many a second from 2025 on, faster than NOTIFYs
# go out in a dialog for long. It stops half way to the limit of a CSeq, 2**31 (RFC 3261
# 8.1.1.5): in 2042, or where the clock is wrong.
CSEQS_PER_SECOND = 2
CSEQ_EPOCH = 1_735_689_600
MAX_CSEQ_OF_CLOCK = 2**30

MAX_PORT = 65_535


class FlowRecord(TypedDict):
    """The way back to a peer; addresses as [host, port]."""

    transport: str
    remote: list[str | int]
    local: list[str | int]


class SubscriptionRecord(TypedDict):
    """One subscription of a dialog."""

    line: str
    package: str
    event: str
    event_id: str | None
    instance: str | None
    user_agent: str | None
    expires_at: float


class DialogRecord(TypedDict):
    """One dialog with its subscriptions."""

    call_id: str
    local: str
    local_tag: str
    remote: str
    remote_tag: str | None
    cseq: int
    remote_cseq: int
    routes: list[str]
    target: str
    flow: FlowRecord
    subscriptions: list[SubscriptionRecord]


class BindingRecord(TypedDict):
    """One binding of a line."""

    line: str
    contact: str
    expires_at: float
    call_id: str
    cseq: int
    path: list[str]
    user_agent: str | None
    flow: FlowRecord


class Snapshot(TypedDict):
    """Everything that a server remembers."""

    dialogs: list[DialogRecord]
    bindings: list[BindingRecord]


def flow_record(flow: Flow) -> FlowRecord:
    """Return what there is to remember of a flow."""
    return FlowRecord(
        transport=flow.transport, remote=[*flow.remote], local=[*flow.local]
    )


def flow_ends(record: FlowRecord) -> tuple[str, tuple[str, int], tuple[str, int]]:
    """Return transport, remote and local address of a remembered flow.

    Raises KeyError, TypeError or ValueError.
    """
    return str(record["transport"]), _end(record["remote"]), _end(record["local"])


def resumed_cseq(stored: int, now: float) -> int:
    """Return the CSeq to go on from in a remembered dialog, at `now` since the epoch."""
    by_clock = int((now - CSEQ_EPOCH) * CSEQS_PER_SECOND)
    return max(stored + CSEQ_RESERVE, min(by_clock, MAX_CSEQ_OF_CLOCK))


def _end(address: list[str | int]) -> tuple[str, int]:
    """Return host and port of one end. Raises ValueError where it is no address."""
    host, port = address
    end = str(ipaddress.ip_address(host)), int(port)
    if not 0 <= end[1] <= MAX_PORT:
        raise ValueError(f"{port} is no port")
    return end
