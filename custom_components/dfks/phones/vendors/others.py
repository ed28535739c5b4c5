"""The vendors that need few lines."""

from typing import Final

from .model import (
    Accounts,
    ConfigurationFile,
    LocalProcessing,
    Scope,
    Vendor,
    action_urls,
)

AKUVOX: Final = Vendor(
    name="Akuvox",
    families=("R", "door phones"),
    user_agents=("akuvox",),
    parameters={"": ("Config.Forward.FORWARDMODE.FeatureSync = 1",)},
    codes=(
        "Config.Features.DND.OnCode",
        "Config.Features.DND.OffCode",
        "Config.AccountN.FEATURE_DND.*",
        "Config.AccountN.FEATURE_FORWARD_ALWAYS.*",
        "Config.AccountN.FEATURE_FORWARD_BUSY.*",
        "Config.AccountN.FEATURE_FORWARD_TIMEOUT.*",
    ),
    action_urls=(
        "Config.Features.ACTIONURL.OpenDND",
        "Config.Features.ACTIONURL.CloseDND",
        "Config.Features.ACTIONURL.OpenAlwaysForward",
        "Config.Features.ACTIONURL.CloseAlwaysForward",
    ),
    notes=(
        (
            "No manual that says what the setting does was found. The manuals describe "
            "codes only."
        ),
    ),
    sources=(
        "Tancredi, Akuvox templates",
        "Akuvox R27A manual, p. 34 (codes)",
    ),
    outbound_proxy={
        "": (
            "Config.AccountN.OUTPROXY.Enable = 1",
            "Config.AccountN.OUTPROXY.Server = HOME_ASSISTANT",
        )
    },
    second_way={"": ("Config.AccountN.OUTPROXY.BakServer = PBX",)},
    proxy_sources=("Tancredi, templates for Akuvox",),
)

ALE: Final = Vendor(
    name="Alcatel-Lucent Enterprise",
    families=("Halo H3P", "H3G", "H6", "M3", "M5", "M7", "M8"),
    pages=(
        "Features > DND > DND method: Subscribe",
        "Features > Forward > Forward method: Subscribe",
    ),
    parameters={Scope.ONE_ACCOUNT_CUSTOM: ("TelephonyDndMethodX=1",)},
    file=ConfigurationFile(
        name="config.MAC.xml", source="Halo H3P/H3G/H6 guide (2020), p. 26"
    ),
    accounts=Accounts.SHARED,
    account_parameters={
        "Halo": ("DNDModeAccount=1", "ForwardModeAccount=1"),
        "M3, M5, M7, M8": ("FeatureDndMode=1",),
    },
    notes=(
        (
            "The other method, Prefix, dials codes; it is the default of the M series. "
            "With Subscribe the codes have no meaning."
        ),
        (
            "In phone mode (0) a key counts for the default accounts of the phone, in "
            "custom mode (1) for its account."
        ),
    ),
    sources=(
        "Halo H3P/H3G/H6 guide (2020), pp. 77 and 85",
        "ALE M3-M5-M7-M8 DeskPhones Administrator Guide, p. 107",
    ),
)

FLYINGVOICE: Final = Vendor(
    name="Flyingvoice",
    families=("FIP", "P"),
    user_agents=("flyingvoice",),
    parameters={
        Scope.ALL_ACCOUNTS: ("features.feature_key_sync.enable=1",),
        Scope.ONE_ACCOUNT: ("account.X.feature_key_sync.enable=1",),
    },
    codes=("account.X.dnd.on_code", "account.X.dnd.off_code"),
    sources=("FusionPBX, template flyingvoice/p24gw",),
    outbound_proxy={
        "": (
            "account.X.outbound_proxy_enable=1",
            "account.X.outbound_proxy.1.address=HOME_ASSISTANT",
        )
    },
    second_way={
        "": (
            "account.X.outbound_proxy.2.address=PBX",
            "account.X.outbound_proxy.1.failback_subscribe.enable=1",
        )
    },
    proxy_sources=("FusionPBX, template flyingvoice/p24gw",),
)

GIGASET: Final = Vendor(
    name="Gigaset N610, N670, N870",
    families=("N610", "N670", "N870", "N870E", "Integrators"),
    user_agents=("gigaset", "n610 ip", "n670 ip", "n870 ip"),
    parameters={"": ("SipAccount.<IPUI>.FeatureKeySyncActive=1",)},
    file=ConfigurationFile(
        page=(
            "Settings > System > Provisioning and configuration > Browse, Upload, "
            "Start auto configuration"
        ),
        source="Gigaset wiki, page 1004471596",
    ),
    accounts=Accounts.SEPARATE,
    notes=(
        "Only by provisioning, per handset. Off as it comes.",
        (
            "**Not while internal telephony is on** (N610, N670): turn it off, or the "
            "setting does nothing."
        ),
        (
            "Desktop IP PRO phones have it too, by a page of the wiki that names no "
            "setting; another page has Identity Features > Server Managed > DND "
            "(`using_server_managed_dnd`). N510 and N720: none is documented."
        ),
    ),
    sources=(
        "Gigaset wiki, page 826889227",
        "Gigaset wiki, Broadsoft Feature Key (FSK) synchronization",
        "Gigaset wiki, FAQ Desktop - using_server_managed_dnd",
    ),
)

HTEK: Final = Vendor(
    name="Htek",
    families=("UC9xx",),
    user_agents=("htek",),
    codes=(
        "P53200",
        "P53201",
        "P53102",
        "P53103",
        "P53112",
        "P53113",
        "P53122",
        "P53123",
    ),
    action_urls=(
        "P3711",
        "P3712",
        "P3713",
        "P3714",
        "P3715",
        "P3716",
        "P3717",
        "P3718",
    ),
    notes=(
        (
            "Setting > Features > Do Not Disturb has a `DND Sync Mode`, one value of "
            "which is FAC (codes); that another is as-feature-event is not documented, "
            "nor is one for forwarding."
        ),
        "`DND Work Type` there: Local is the phone alone, Server the server, Mixed both.",
        (
            "Its action URLs (P3711 DND on, P3712 DND off, P3713 to P3718 forwarding) "
            "can tell Home Assistant of a key, one way."
        ),
        "Sangoma S phones have the same numbers; no such setting is in their templates.",
    ),
    sources=("Htek help desk, Do Not Disturb", "FusionPBX, template htek/uc926"),
    outbound_proxy={"": ("P48=HOME_ASSISTANT",)},
    second_way={"": ("P20047=PBX",)},
    proxy_notes=("Those of account 1; the outbound proxy of account 2 is `P748`.",),
    proxy_sources=("FusionPBX, template htek/uc926",),
    calls={
        "": action_urls(
            "&call=$call_id&number=$remote",
            {
                "P3707": "incoming",
                "P3708": "outgoing",
                "P3709": "answered",
                "P3710": "ended",
                "P3726": "missed",
                "P3722": "held",
                "P3723": "resumed",
            },
        )
    },
    call_notes=("On its web page: Setting > Action URL.",),
    call_sources=(
        (
            "Htek help desk, Action URL (variables); FusionPBX, template htek/uc926 "
            "(names)"
        ),
    ),
)

MITEL: Final = Vendor(
    name="Mitel, Aastra",
    families=("67xx", "68xx", "69xx"),
    user_agents=("mitel", "aastra"),
    pages=(
        (
            "Advanced Settings > Line N > Advanced SIP Settings > "
            "As-Feature-Event Subscription"
        ),
    ),
    local=LocalProcessing(default=False),
    accounts=Accounts.SHARED,
    account_pages=("Basic Settings > Preferences > General > DND Key Mode: Account",),
    notes=(
        "It needs keys for DND and for call forwarding.",
        (
            "`sip as-feature-event subscription period` is only how long a subscription "
            "lasts; the name of the switch in the file is not documented in what was "
            "read."
        ),
        (
            "Key modes (`dnd key mode`, `call forward key mode`): account, phone and "
            "custom. Phone is the default and counts for all accounts."
        ),
        "One attempt for each press: it shows `Failed` if there is no answer in 4 s.",
        "6751i: no call distribution (ACD). CT handsets: nothing of it.",
    ),
    sources=(
        "6700i Administrator Guide 41-001343-01 Rev 03, pp. 3-53 and 6-17",
        "Release 2.4 Administrator Guide 41-001160-03, p. 6-17",
        "6800i Installation Guide 41-001561-00, pp. 3-23 and 5-141",
        "6869i User Guide 4.0.0 SP1, p. 172 (default of the key mode)",
    ),
    outbound_proxy={"": ("sip outbound proxy: HOME_ASSISTANT",)},
    second_way={
        "": ("sip lineN backup proxy ip: PBX", "sip lineN backup registrar ip: PBX"),
    },
    proxy_notes=("An outbound proxy that is silent is given up after 4 seconds.",),
    proxy_sources=("6800 guide 4.2.0, p. 4-81; wazo, provisioning plugin for Aastra",),
    calls={
        "": action_urls(
            "&number=$$REMOTENUMBER$$",
            {
                "action uri incoming": "incoming",
                "action uri outgoing": "outgoing",
                "action uri connected": "answered",
                "action uri disconnected": "ended",
                "action uri startup": "started",
            },
            between=": ",
        )
    },
    call_notes=(
        (
            "It knows no ids of calls, so a second call at the same time is not told "
            "from the first; nor does it report a hold."
        ),
        "An address may have 128 characters.",
    ),
    call_sources=("6730i guide, p. A-117; 6737i guide, p. 5-254",),
)

PANASONIC: Final = Vendor(
    name="Panasonic",
    families=("KX-TGP5xx", "KX-UT1xx", "KX-UTG200B", "KX-UTG300B", "KX-HDV"),
    user_agents=("panasonic",),
    pages=("Call Control > Synchronize Do Not Disturb and Call Forward: Yes",),
    parameters={
        "KX-TGP5xx": ('SYNCHRONIZATION_ENABLE_n="Y"',),
        "KX-UT1xx": ('FWD_DND_SYNCHRO_ENABLE_n="Y"',),
        "KX-UTG": ('FEATURE_KEY_SYNCHRO_ENABLE="Y"',),
    },
    file=ConfigurationFile(
        name="ConfigMAC.cfg",
        first_line="# Panasonic SIP Phone Standard Format File # DO NOT CHANGE THIS LINE!",
        source=(
            "KX-HDV230 Administrator Guide, 2.4; KX-UT123 Administrator Guide, p. 46; "
            "KX-UTG200 Administrator Guide, p. 54"
        ),
    ),
    accounts=Accounts.SEPARATE,
    notes=(
        (
            "KX-TGP5xx: the server's DND rejects calls whatever the phone's is, and its "
            "target counts. Whether the phone acts by itself as well is not documented."
        ),
        (
            "A change on the web page is shown only after a reload, since the server "
            "answers first. A target must not be empty while its forwarding is on."
        ),
        "KX-HDV synchronize too; the name of their setting is not documented.",
    ),
    sources=(
        "KX-TGP500B04 Administrator Guide, 2010-08, pp. 112-113",
        "FusionPBX, templates panasonic/tgp550, ut136 and utg300b",
    ),
    outbound_proxy={"": ('SIP_OUTPROXY_ADDR_n="HOME_ASSISTANT"',)},
    second_way={
        "": (
            'SIP_2NDPROXY_ADDR_n="PBX"',
            'SIP_2NDRGSTR_ADDR_n="PBX"',
            'SIP_2NDPRSNC_ADDR_n="PBX"',
            'SIP_FOVR_NORSP_n="Y"',
        )
    },
    proxy_notes=("A phone that is refused subscribes again after 10 seconds.",),
    proxy_sources=(
        "FusionPBX, templates panasonic/tgp550, ut136 and utg300b; KX-HDV130 guide",
    ),
)
