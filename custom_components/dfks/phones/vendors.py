"""How phones of each vendor are told to synchronize their feature keys.

The one place for these settings: the forms show them, and docs/phones.md has them as a
table, which a test compares. Names and values stand as they are found on the phone, so
nothing in here is translated. X, x, n and N stand for the number of the phone's account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

# The vendor of a phone that is none of those below.
OTHER: Final = "other"


class Acting(StrEnum):
    """Whether a phone that synchronizes still rejects and forwards calls by itself."""

    # `Vendor.local_processing` decides.
    CHOICE = "choice"
    SERVER = "server"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What is known of a vendor's phones.

    Attributes:
        name: what the vendor is called.
        pages: where the setting is on the phone's web page, with its value.
        parameters: the settings in the phone's configuration file, by the models or
            firmware that have them; the empty name stands for all.
        local_processing: what lets the phone act by itself as well.
        acting: whether the phone acts by itself.
        user_agents: how its User-Agent starts, in small letters.
        source: the vendor's document; empty where the settings are as users report.

    """

    name: str
    pages: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    local_processing: tuple[str, ...] = ()
    acting: Acting = Acting.UNKNOWN
    user_agents: tuple[str, ...]
    source: str = ""


VENDORS: Final[dict[str, Vendor]] = {
    "cisco": Vendor(
        name="Cisco SPA, MPP 78xx and 88xx",
        pages=("Voice > Ext N > Call Feature Settings > Feature Key Sync: Yes",),
        parameters={"": ("<Feature_Key_Sync_N_>Yes</Feature_Key_Sync_N_>",)},
        acting=Acting.SERVER,
        user_agents=("cisco", "linksys"),
        source=(
            "IP Phone 7800 Series Multiplatform Phones Administration Guide, "
            "DND and Call Forwarding Status Sync"
        ),
    ),
    "fanvil": Vendor(
        name="Fanvil",
        pages=("Line > SIP > Advanced > Feature Sync",),
        parameters={"": ("<FeatureSync>1</FeatureSync>",)},
        acting=Acting.SERVER,
        user_agents=("fanvil",),
    ),
    "flyingvoice": Vendor(
        name="Flyingvoice",
        parameters={"": ("features.feature_key_sync.enable=1",)},
        user_agents=("flyingvoice",),
    ),
    "gigaset": Vendor(
        name="Gigaset N610, N670, N870",
        parameters={"": ("SipAccount.<IPUI>.FeatureKeySyncActive=1",)},
        user_agents=("gigaset", "n610 ip", "n670 ip", "n870 ip"),
        source="Gigaset wiki, page 826889227",
    ),
    "grandstream": Vendor(
        name="Grandstream",
        pages=("Feature Key Synchronization: BroadSoft",),
        parameters={
            "GXP": ("P2325=1", "P2425=1", "P2525=1", "P2625=1"),
            "GRP26xx": ("account.N.sip.syncFeatureKey=Yes",),
        },
        user_agents=("grandstream",),
    ),
    "mitel": Vendor(
        name="Mitel, Aastra",
        pages=(
            (
                "Advanced Settings > Line N > Advanced SIP Settings > "
                "As-Feature-Event Subscription"
            ),
        ),
        parameters={"": ("sip as-feature-event subscription period",)},
        acting=Acting.SERVER,
        user_agents=("mitel", "aastra"),
    ),
    "obihai": Vendor(
        name="Obihai, Poly OBi",
        pages=(
            "SPn Service - Calling Features > X_ASFeatureEventSubscribe",
            "SPn Service - Calling Features > Network Provided Services > *",
        ),
        parameters={"": ("X_ASFeatureEventSubscribeExpires",)},
        acting=Acting.SERVER,
        user_agents=("obihai", "obi"),
    ),
    "panasonic": Vendor(
        name="Panasonic KX-HDV, KX-UT, KX-TGP5xx",
        pages=("Call Control > Synchronize Do Not Disturb and Call Forward: Yes",),
        parameters={
            "KX-HDV, KX-UT": ('FWD_DND_SYNCHRO_ENABLE_n="Y"',),
            "KX-TGP5xx": ('SYNCHRONIZATION_ENABLE_n="Y"',),
        },
        acting=Acting.SERVER,
        user_agents=("panasonic",),
        source="KX-TGP500B04 Administrator Guide, Call Control Settings",
    ),
    "poly": Vendor(
        name="Poly, Polycom UCS",
        parameters={
            "": (
                'reg.x.serverFeatureControl.dnd="1"',
                'reg.x.serverFeatureControl.cf="1"',
            )
        },
        local_processing=(
            'voIpProt.SIP.serverFeatureControl.localProcessing.dnd="1"',
            'voIpProt.SIP.serverFeatureControl.localProcessing.cf="1"',
        ),
        acting=Acting.CHOICE,
        user_agents=("poly",),
        source="UC Software Administrator Guide, Do Not Disturb Parameters",
    ),
    "vtech": Vendor(
        name="VTech, Snom M series made by VTech",
        parameters={"": ("sip_account.n.feature_sync_enable=1",)},
        user_agents=("vtech",),
    ),
    "yealink": Vendor(
        name="Yealink",
        pages=("Features > General Information > Feature Key Synchronization",),
        parameters={
            "": (
                "features.feature_key_sync.enable=1",
                "features.dnd.feature_key_sync.enable=1",
                "features.forward.feature_key_sync.enable=1",
            ),
            "≤ v80": ("bw.feature_key_sync=1",),
        },
        local_processing=(
            "features.dnd.feature_key_sync.local_processing.enable=1",
            "features.forward.feature_key_sync.local_processing.enable=1",
        ),
        acting=Acting.CHOICE,
        user_agents=("yealink",),
        source=(
            "Administrator's Guide for SIP-T2 Series/T4 Series/T5 Series IP Phones, "
            "Call Features"
        ),
    ),
}


# What other phones may call it.
_UNKNOWN: Final = Vendor(
    name="",
    pages=(
        "Feature Key Synchronization",
        "Feature Sync",
        "As-Feature-Event Subscription",
    ),
    user_agents=(),
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
