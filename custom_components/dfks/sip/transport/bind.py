"""Binding sockets, and finding out whether it can be done."""

import asyncio
import errno
import socket

from ..wire.headers import unbracketed
from .flow import SocketAddress


async def bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind UDP and TCP to one port of an address; port 0 finds one free for both.

    Raises OSError.
    """
    family, address = await resolve_local(host, port)
    for _ in range(8):
        udp = bind_one(family, socket.SOCK_DGRAM, address)
        bound: SocketAddress = udp.getsockname()
        try:
            return udp, bind_one(family, socket.SOCK_STREAM, bound)
        except OSError as err:
            udp.close()
            if port or err.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "No port is free for both UDP and TCP")


async def resolve_local(host: str, port: int) -> tuple[int, SocketAddress]:
    """Return family and address of a local host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(unbracketed(host), port, type=socket.SOCK_DGRAM)
    address: SocketAddress = found[0][4]  # type: ignore[assignment]
    return found[0][0], address


def bind_one(family: int, kind: int, address: SocketAddress) -> socket.socket:
    """Bind a socket of a kind to a local address. Raises OSError."""
    # With its protocol named, asyncio turns Nagle's delay off on what it accepts.
    protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else 0
    sock = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections of an earlier run that linger do not keep the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def split_hosts(text: str) -> list[str]:
    """Split a list of addresses, separated by commas."""
    return [host.strip() for host in text.split(",") if host.strip()]


async def probe(host: str, port: int) -> None:
    """Bind UDP and TCP once, to find out whether it can be done. Raises OSError."""
    for sock in await bind(host, port):
        sock.close()


async def probe_tls(host: str, port: int) -> None:
    """Bind what TLS needs once, to find out whether it can be done. Raises OSError."""
    family, address = await resolve_local(host, port)
    bind_one(family, socket.SOCK_STREAM, address).close()


def bind_beside(listener: socket.socket, host: str) -> socket.socket:
    """Bind a socket for a connection of our own to the port of a listening one.

    Both share the port for the moment of the binding alone, so that no other process
    can listen there. Raises OSError, also where the system knows no such thing.
    """
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        raise OSError(errno.EADDRINUSE, "A port cannot be shared")
    sock = socket.socket(listener.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if listener.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for either in (listener, sock):
            either.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((host, listener.getsockname()[1]))
    except OSError:
        sock.close()
        raise
    finally:
        listener.setsockopt(socket.SOL_SOCKET, option, 0)
    sock.setsockopt(socket.SOL_SOCKET, option, 0)
    return sock
