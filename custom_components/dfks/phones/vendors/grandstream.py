"""Grandstream."""

from typing import Final

from .model import Accounts, ConfigurationFile, Vendor, action_urls

# What a report has beside the event.
_REPORT: Final = "&call=$call-id&number=$remote"

GRANDSTREAM: Final = Vendor(
    name="Grandstream",
    families=("GXP", "GRP", "GXV", "WP810"),
    user_agents=("grandstream",),
    pages=("Feature Key Synchronization: BroadSoft",),
    parameters={
        "GXP, WP810": (
            "P2325=1",
            "P2425=1",
            "P2525=1",
            "P2625=1",
            "P2725=1",
            "P2825=1",
        ),
        "GRP": ("account.N.sip.syncFeatureKey=Yes",),
        "GXV3480": ("account.N.broadsoft.syncFeatureKey=Yes",),
    },
    file=ConfigurationFile(
        name="cfgMAC.xml", source="Grandstream, SIP Device Provisioning Guide"
    ),
    accounts=Accounts.SEPARATE,
    codes=(
        "P2344",
        "P2345",
        "account.N.featureCodes.dndOn",
        "account.N.featureCodes.dndOff",
        "account.N.featureCodes.callForwardUnconditionallyOn",
        "account.N.featureCodes.callForwardUnconditionallyOff",
        "account.N.featureCodes.callForwardBusyOn",
        "account.N.featureCodes.callForwardBusyOff",
        "account.N.featureCodes.callForwardDelayedOn",
        "account.N.featureCodes.callForwardDelayedOff",
    ),
    notes=(
        (
            "P2325 is the first account, P2425 the second, and so on to P2825, the "
            "sixth: set only the one of this line. The same goes for the codes "
            "(P2344 and P2345, P2444 and P2445, …)."
        ),
        (
            "The phone's own star codes and forwarding are `Enable Call Features` "
            "(P191, P420, P520, P620, P1720, P1820; "
            "`account.N.featureCodes.callFeatures`), on as it comes; whether they act "
            "beside the synchronization is not documented."
        ),
        "HT and DP750 have no such setting in the templates.",
        "No document was found that has the label on the web page.",
    ),
    sources=(
        (
            "FusionPBX, templates grandstream/gxp21xx, gxp16xx, grp261x, gxv3480, wp810 "
            "and ht801"
        ),
    ),
    outbound_proxy={
        "GXP, WP": ("P48=HOME_ASSISTANT",),
        "GRP, GXV": ("account.N.sip.outboundProxy.1.address=HOME_ASSISTANT",),
    },
    second_way={
        "WP": ("P2333=PBX",),
        "GRP, GXV": ("account.N.sip.outboundProxy.2.address=PBX",),
    },
    proxy_notes=(
        "`P48` and `P2333` are those of account 1; of account 2 `P403` and `P2433`.",
    ),
    proxy_sources=(
        "FusionPBX, templates grandstream/gxp21xx, grp261x, gxv3480, wp810",
    ),
    calls={
        "GXP, WP810": action_urls(
            _REPORT,
            {
                "P8310": "incoming",
                "P8311": "outgoing",
                "P8313": "answered",
                "P8314": "ended",
                "P8312": "missed",
                "P8324": "held",
                "P8325": "resumed",
                "P8304": "started",
            },
        ),
        "GRP": action_urls(
            _REPORT,
            {
                "ons.actionUrl.incomingCall": "incoming",
                "ons.actionUrl.outgoingCall": "outgoing",
                "ons.actionUrl.establishedCall": "answered",
                "ons.actionUrl.terminatedCall": "ended",
                "ons.actionUrl.missedCall": "missed",
                "ons.actionUrl.holdCall": "held",
                "ons.actionUrl.unholdCall": "resumed",
            },
        ),
    },
    call_notes=(
        "On its web page: Settings > Outbound Notification > Action URL.",
        (
            "No name is reported: the phone was seen to send it with bare blanks, and "
            "Home Assistant's web server refuses such a request."
        ),
    ),
    call_sources=(
        (
            "GRP26xx guide, table 23; Action URL guide, pp. 4-5; FusionPBX, templates "
            "grandstream/gxp21xx and grp261x (names)"
        ),
    ),
)
