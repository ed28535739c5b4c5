"""Ports for the programs of tests and measurements.

The kernel gives a socket that names no port one of its ephemeral range, and tests that
run at the same time open such sockets all the time: what was free there a moment ago
may be taken. The ports of `free_port` lie below that range, and each process takes them
from a block of its own.
"""

from functools import cache
from itertools import cycle, islice
import os
import socket

LOCALHOST = "127.0.0.1"

# Below the ephemeral ranges of Linux (from 32768) and of macOS (from 49152).
BLOCK = 250
BLOCKS = range(10_000, 32_000, BLOCK)


def free_port() -> int:
    """Return a port of the loopback address that neither UDP nor TCP uses.

    No other process gets it from here while this one runs. Raises RuntimeError where
    there is none.
    """
    _, ports = _own_block()
    for port in islice(ports, BLOCK):
        # The port that is free for TCP may be somebody's for UDP.
        kinds = socket.SOCK_STREAM, socket.SOCK_DGRAM
        sockets = [_bind(kind, port) for kind in kinds]
        for bound in sockets:
            if bound is not None:
                bound.close()
        if None not in sockets:
            return port
    raise RuntimeError("All ports of this process are in use")


@cache
def _own_block() -> tuple[socket.socket, cycle[int]]:
    """Return the ports of this process, and what keeps other processes from them."""
    # Where processes begin to look is spread, or all would try the same blocks.
    start = os.getpid() % len(BLOCKS)
    for first in (*BLOCKS[start:], *BLOCKS[:start]):
        if (claim := _bind(socket.SOCK_STREAM, first)) is not None:
            return claim, cycle(range(first + 1, first + BLOCK))
    raise RuntimeError("All ports for tests are taken by other processes")


def _bind(kind: socket.SocketKind, port: int) -> socket.socket | None:
    """Return a socket that has the port, or None where another one has it."""
    bound = socket.socket(socket.AF_INET, kind)
    try:
        bound.bind((LOCALHOST, port))
    except OSError:
        bound.close()
        return None
    return bound
