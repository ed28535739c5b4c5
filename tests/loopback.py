"""How servers of tests are configured: on loopback, with the lines 201 and 202."""

from custom_components.dfks.sip import Experiment, ServerConfig

HOST = "127.0.0.1"

# The lines of a server that is not told otherwise.
PASSWORDS = {"201": "reception-201", "202": "workshop-202"}


def loopback_config(**settings: object) -> ServerConfig:
    """Return a configuration of a server on loopback with other settings.

    What a source may send has no limit, because the clock of a test stands still.
    """
    defaults: dict[str, object] = {
        "host": HOST,
        "port": 0,
        "experiment": Experiment(limit_messages=False),
    }
    return ServerConfig(**defaults | settings)  # type: ignore[arg-type]


LOOPBACK = loopback_config()
