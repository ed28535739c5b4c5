"""Ports for the programs of tests and measurements."""

import socket

LOCALHOST = "127.0.0.1"


def free_port() -> int:
    """Return a port of the loopback address that neither UDP nor TCP uses."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind((LOCALHOST, 0))
            port: int = stream.getsockname()[1]
            # The port that is free for TCP may be somebody's for UDP.
            try:
                datagram.bind((LOCALHOST, port))
            except OSError:
                continue
            return port
