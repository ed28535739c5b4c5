"""Poly, once Polycom, and its OBi edition, once Obihai."""

from typing import Final

from .model import WEBHOOK, Accounts, ConfigurationFile, LocalProcessing, Scope, Vendor

POLY: Final = Vendor(
    name="Poly, Polycom UCS",
    families=("VVX", "SoundPoint IP", "Trio", "CCX", "Edge E"),
    user_agents=("poly",),
    parameters={
        Scope.ONE_ACCOUNT: (
            'reg.x.serverFeatureControl.dnd="1"',
            'reg.x.serverFeatureControl.cf="1"',
        ),
        Scope.ALL_ACCOUNTS: (
            'voIpProt.SIP.serverFeatureControl.dnd="1"',
            'voIpProt.SIP.serverFeatureControl.cf="1"',
        ),
    },
    file=ConfigurationFile(
        page="Utilities > Import & Export Configuration",
        source="Web Application for Polycom Phones, UC Software 5.0.0",
    ),
    accounts=Accounts.INSEPARABLE,
    local=LocalProcessing(
        default=True,
        on=(
            'voIpProt.SIP.serverFeatureControl.localProcessing.dnd="1"',
            'voIpProt.SIP.serverFeatureControl.localProcessing.cf="1"',
        ),
        off=(
            'voIpProt.SIP.serverFeatureControl.localProcessing.dnd="0"',
            'voIpProt.SIP.serverFeatureControl.localProcessing.cf="0"',
        ),
    ),
    notes=(
        (
            "Local processing is **on** unless it is set to 0. The document that was "
            "read says so of DND; that the one of forwarding is alike is not documented "
            "there."
        ),
        "A change of `voIpProt.SIP.serverFeatureControl.dnd` restarts the phone.",
        "`call.donotdisturb.perReg` is ignored while the server's DND is on.",
        (
            "The web page has no switch for it; it takes a file with these settings "
            "(Utilities > Import & Export Configuration)."
        ),
        (
            "If it shows only some features, set *Notifications* of the line to "
            "*A separate notification for each feature*."
        ),
    ),
    sources=(
        "Polycom Trio Administrator Guide 5.9.2, Do Not Disturb Parameters",
        "SIP 3.1 Administrator's Guide, pp. 4-8 and 4-20",
        "FusionPBX, templates polycom/6.x and poly/edge-e550 (names per registration)",
    ),
    outbound_proxy={"": ("reg.x.outboundProxy.address=HOME_ASSISTANT",)},
    second_way={
        "": ("reg.x.server.2.address=PBX", "reg.x.server.2.useOutboundProxy=0"),
    },
    proxy_notes=(
        "All requests go to the outbound proxy, SUBSCRIBE included.",
        "No parameter of a second outbound proxy was found.",
    ),
    proxy_sources=("VVX UCS 4.1.6 addendum, pp. 43-55; CX5500 1.1.0 guide, p. 76",),
    calls={
        "": (
            f'apps.telNotification.URL="{WEBHOOK}"',
            'apps.telNotification.callStateChangeEvent="1"',
        )
    },
    call_notes=("The phone posts XML, which has number and name.",),
    call_sources=("Web Application for Polycom Phones, UC Software 5.0.0, pp. 24-33",),
)

OBIHAI: Final = Vendor(
    name="Obihai, Poly OBi",
    families=("OBi1000", "Poly OBi edition", "VVX D230"),
    user_agents=("obihai", "obi"),
    pages=(
        "SPn Service - Calling Features > X_ASFeatureEventSubscribe",
        "SPn Service - Calling Features > Network Provided Services > *",
    ),
    parameters={
        "": (
            (
                "VoiceService.1.VoiceProfile.1.Line.n.CallingFeatures."
                "X_ASFeatureEventSubscribe=true"
            ),
            "VoiceService.1.VoiceProfile.1.Line.n.X_NetServices.DoNotDisturb=true",
            "VoiceService.1.VoiceProfile.1.Line.n.X_NetServices.CallFowardAlways=true",
            "VoiceService.1.VoiceProfile.1.Line.n.X_NetServices.CallFowardBusy=true",
            "VoiceService.1.VoiceProfile.1.Line.n.X_NetServices.CallFowardNoAnswer=true",
        )
    },
    local=LocalProcessing(default=False),
    accounts=Accounts.SEPARATE,
    notes=(
        "Each feature must be turned on as well as the subscription.",
        "`CallFoward…` is spelt so.",
        (
            "`X_ASFeatureEventSubscribeExpires` of the ITSP profile is only how long a "
            "subscription lasts; it turns nothing on."
        ),
    ),
    sources=(
        "OBi1000 Administration Guide, April 2015, p. 92",
        "FusionPBX, template poly/poly-vvx-d230 (names in the file)",
    ),
    outbound_proxy={
        "": ("VoiceService.1.VoiceProfile.p.SIP.OutboundProxy=HOME_ASSISTANT",)
    },
    proxy_sources=("FusionPBX, template poly/poly-vvx-d230",),
)
