"""Sources: whose messages, logins and connections are counted together."""

from functools import lru_cache
import ipaddress
from typing import Final

# An IPv6 subscriber has a network of this prefix length to itself, and with it any
# number of addresses (RFC 6177).
IPV6_PREFIX: Final = 64


@lru_cache(maxsize=1024)
def source_of(host: str) -> str:
    """Return the source of a numeric address: an IPv4 address or an IPv6 network."""
    ip = ipaddress.ip_address(host)
    if ip.version == 4:
        return str(ip)
    return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False))
