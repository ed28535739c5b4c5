"""What a server is built with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .access.accounts import Account
from .access.digest import ALGORITHMS
from .access.guard import DEFAULT_MAX_FAILURES, DEFAULT_NETWORKS, Network
from .wire.headers import DEFAULT_PORT, DEFAULT_TLS_PORT


class Experiment(NamedTuple):
    """What benchmarks and experiments take away or add; no user can set it.

    authenticate    whether digest is asked for; without it, a request is from the
                    account that it names
    limit_messages  whether sources have an allowance of messages
    make_account    makes the account of a user or authentication name that has none;
                    None where there is to be none
    """

    authenticate: bool = True
    limit_messages: bool = True
    make_account: Callable[[str], Account | None] | None = None


NO_EXPERIMENT = Experiment()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where to listen and what to offer. Times are in seconds."""

    # One address or several, separated by commas.
    host: str = "0.0.0.0"
    port: int = DEFAULT_PORT
    # TLS is served where `start` is given a context.
    tls_port: int = DEFAULT_TLS_PORT
    realm: str = "homeassistant"
    # What stands in Contact and Via where the local address is of no use to phones.
    advertised_host: str | None = None
    advertised_port: int | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    # Sources that are answered; none is all. Proxies are not asked for a password.
    allowed_networks: tuple[Network, ...] = DEFAULT_NETWORKS
    trusted_proxies: tuple[Network, ...] = ()
    # Hosts, without port, that a request's Request-URI may name; none is any.
    domains: tuple[str, ...] = ()
    max_failures: int = DEFAULT_MAX_FAILURES
    min_expires: int = 60
    max_expires: int = 3600
    # None is no limit.
    max_subscriptions_per_line: int | None = 50
    max_transactions_per_source: int | None = 20_000
    experiment: Experiment = NO_EXPERIMENT
