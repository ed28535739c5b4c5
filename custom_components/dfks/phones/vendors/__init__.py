"""How phones of each vendor are told to synchronize their feature keys.

The one place for these settings: the forms show them, and docs/phones.md has a section
for each vendor, which a test compares.
"""

from typing import Final

from .cisco import CISCO, CISCO_ENTERPRISE
from .fanvil import BEKER, FANVIL, SWISSVOICE, TELEKONNECTORS
from .grandstream import GRANDSTREAM
from .model import (
    WEBHOOK,
    Accounts,
    ConfigurationFile,
    LocalProcessing,
    Scope,
    Settings,
    Vendor,
)
from .others import AKUVOX, ALE, FLYINGVOICE, GIGASET, HTEK, MITEL, PANASONIC
from .poly import OBIHAI, POLY
from .snom import SNOM, VTECH
from .yealink import YEALINK

__all__ = [
    "OTHER",
    "VENDORS",
    "WEBHOOK",
    "Accounts",
    "ConfigurationFile",
    "LocalProcessing",
    "Scope",
    "Settings",
    "Vendor",
    "vendor",
    "vendor_of",
]

# The vendor of a phone that is none of those below.
OTHER: Final = "other"

# The keys are stored with the lines.
VENDORS: Final[dict[str, Vendor]] = {
    "akuvox": AKUVOX,
    "ale": ALE,
    "beker": BEKER,
    "cisco_enterprise": CISCO_ENTERPRISE,
    "cisco": CISCO,
    "fanvil": FANVIL,
    "flyingvoice": FLYINGVOICE,
    "gigaset": GIGASET,
    "grandstream": GRANDSTREAM,
    "htek": HTEK,
    "mitel": MITEL,
    "obihai": OBIHAI,
    "panasonic": PANASONIC,
    "poly": POLY,
    "snom": SNOM,
    "swissvoice": SWISSVOICE,
    "telekonnectors": TELEKONNECTORS,
    "vtech": VTECH,
    "yealink": YEALINK,
}

# What other phones may call it.
_UNKNOWN: Final = Vendor(
    name="",
    pages=(
        "Feature Key Synchronization",
        "Feature Sync",
        "As-Feature-Event Subscription",
    ),
)


def vendor(key: str) -> Vendor:
    """Return what is known of a vendor, or what may hold for any."""
    return VENDORS.get(key, _UNKNOWN)


def vendor_of(user_agent: str | None) -> str:
    """Return the vendor of a phone that calls itself so; OTHER if it is not known."""
    name = (user_agent or "").lower()
    for key, known in VENDORS.items():
        if name.startswith(known.user_agents):
            return key
    return OTHER
