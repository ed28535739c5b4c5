"""Fanvil, and vendors whose phones have the same names in their files."""

from typing import Final

from .model import Accounts, ConfigurationFile, Scope, Vendor

_CODES: Final = (
    "SIPn DNDOn SvcCode",
    "SIPn DNDOff SvcCode",
    "SIPn CFUOn SvcCode",
    "SIPn CFUOff SvcCode",
    "SIPn CFBOn SvcCode",
    "SIPn CFBOff SvcCode",
    "SIPn CFNOn SvcCode",
    "SIPn CFNOff SvcCode",
)

FANVIL: Final = Vendor(
    name="Fanvil",
    families=("X", "V", "H", "i", "W"),
    user_agents=("fanvil",),
    pages=("Line > SIP > Advanced > Feature Sync",),
    parameters={
        Scope.XML_FILE: ("<FeatureSync>1</FeatureSync>",),
        Scope.TEXT_FILE: ("SIPn Feature Sync :1",),
    },
    file=ConfigurationFile(
        page="System > Configurations",
        source="X3 user manual, 8.1 (web pages)",
    ),
    accounts=Accounts.SHARED,
    account_pages=("Phone settings > Features > DND settings > DND type: Line",),
    codes=(
        "DNDOnSvcCode",
        "DNDOffSvcCode",
        "CFUOnSvcCode",
        "CFUOffSvcCode",
        "CFBOnSvcCode",
        "CFBOffSvcCode",
        "CFNOnSvcCode",
        "CFNOffSvcCode",
    ),
    notes=(
        (
            "Off, the default, the phone rejects and forwards calls itself; whether it "
            "still does so when it synchronizes is not documented."
        ),
        (
            "DND counts for the phone or for a line, by its type; forwarding is set for "
            "each line."
        ),
        "Provisioned phones often have codes (`*78`, `*72`, …).",
        "No document was found that has the path on the web page.",
        "Other brands sell phones with this firmware; their User-Agent may differ.",
    ),
    sources=(
        "FusionPBX, template fanvil/x7a",
        "Tancredi, templates fanvil-V67.tmpl and nethesis.tmpl",
        "V62 user manual, 8.10 and 8.11 (type of DND, forwarding)",
    ),
    outbound_proxy={"": ("<ProxyAddr>HOME_ASSISTANT</ProxyAddr>",)},
    second_way={
        "": (
            "<BakProxyAddr>PBX</BakProxyAddr>",
            "<EnableFailback>1</EnableFailback>",
        )
    },
    proxy_sources=("FusionPBX, template fanvil/x7a",),
)

BEKER: Final = Vendor(
    name="Beker",
    families=("all",),
    parameters={"": ("SIPn Feature Sync :1",)},
    notes=(
        (
            "Off, the default, features are executed on the phone; whether they still "
            "are when it synchronizes is not documented."
        ),
    ),
    sources=("Bekiot, Feature Sync Function Guide",),
)

SWISSVOICE: Final = Vendor(
    name="Swissvoice",
    families=("CP2505G",),
    parameters={"": ("SIPn Feature Sync :1",)},
    codes=_CODES,
    notes=(
        "No manual that says what the setting does was found; its name is Fanvil's.",
    ),
    sources=("FusionPBX, template swissvoice/cp2505g",),
)

TELEKONNECTORS: Final = Vendor(
    name="Telekonnectors",
    families=("Galaxy 1000",),
    parameters={"": ("<Feature_Sync>1</Feature_Sync>",)},
    codes=(
        "<DNDOn_SvcCode>",
        "<DNDOff_SvcCode>",
        "<CFUOn_SvcCode>",
        "<CFUOff_SvcCode>",
        "<CFBOn_SvcCode>",
        "<CFBOff_SvcCode>",
        "<CFNOn_SvcCode>",
        "<CFNOff_SvcCode>",
    ),
    notes=(
        "No manual that says what the setting does was found; its name is Fanvil's.",
    ),
    sources=("FusionPBX, template telekonnectors/galaxy1000-plus",),
)
