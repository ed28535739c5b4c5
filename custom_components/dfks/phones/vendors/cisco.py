"""Cisco: two kinds of firmware that have nothing of this in common."""

from typing import Final

from .model import Accounts, ConfigurationFile, LocalProcessing, Vendor

CISCO: Final = Vendor(
    name="Cisco SPA, MPP",
    families=("SPA3xx", "SPA5xx", "MPP 78xx", "MPP 88xx", "9861"),
    # "Cisco-CP-8841-3PCC"; the enterprise firmware has no hyphen behind CP.
    user_agents=("cisco-cp-", "cisco/spa", "cisco-ata", "linksys"),
    pages=("Voice > Ext n > Call Feature Settings > Feature Key Sync: Yes",),
    parameters={"": ("<Feature_Key_Sync_n_>Yes</Feature_Key_Sync_n_>",)},
    file=ConfigurationFile(
        address="http://PHONE/admin/resync?http://SERVER/FILE",
        first_line="<flat-profile>",
        source="Webex Help, Configure profile settings for phones",
    ),
    local=LocalProcessing(default=False),
    accounts=Accounts.SEPARATE,
    notes=(
        (
            "`DND_Serv`, `Cfwd_All_Serv`, `Cfwd_Busy_Serv` and `Cfwd_No_Ans_Serv` must "
            "stay Yes: without them there are no keys."
        ),
        "XSI (`DND_Enable_n_`, `CFWD_Enable_n_`) must stay No.",
        (
            "`Feature Activation Code Sync` must stay No: with it the phone dials "
            "vertical service codes such as `*72`."
        ),
    ),
    sources=(
        (
            "IP Phone 7800 Series Multiplatform Phones Administration Guide, p. 196 and "
            "DND and Call Forwarding Status Sync"
        ),
        "FusionPBX, templates cisco/spa504g, 8841 and 9861",
    ),
    outbound_proxy={
        "": (
            '<Outbound_Proxy_n_ ua="na">HOME_ASSISTANT</Outbound_Proxy_n_>',
            '<Use_Outbound_Proxy_n_ ua="na">Yes</Use_Outbound_Proxy_n_>',
        )
    },
    second_way={
        "": (
            '<Alternate_Outbound_Proxy_n_ ua="na">PBX</Alternate_Outbound_Proxy_n_>',
            '<Dual_Registration_n_ ua="na">Yes</Dual_Registration_n_>',
        )
    },
    proxy_notes=(
        (
            "The alternate is ignored without dual registration, which needs UDP; new "
            "requests go to the best server that is up."
        ),
    ),
    proxy_sources=(
        "MPP administration guide, SIP failover; FusionPBX, templates cisco/spa504g, 8841",
    ),
)

CISCO_ENTERPRISE: Final = Vendor(
    name="Cisco enterprise firmware",
    families=("79xx", "78xx and 88xx without 3PCC"),
    user_agents=("cisco-cp7", "cisco-cp8", "cisco-cp9"),
    notes=(
        (
            "Made for Cisco's own call manager: there is no `Feature Key Sync` to turn "
            "on. `<dndControl>` in its SEP….cnf.xml decides whether it tells the server "
            "of its DND by as-feature-event or by a PUBLISH; which value does which is "
            "not documented."
        ),
        (
            "A 7975G was seen to subscribe and to set *Call forwarding always*, which "
            "works here."
        ),
    ),
    sources=(
        "res_pjsip_cisco, modules for Asterisk, README (dndControl)",
        "messages of a 7975G with firmware 9.4.2, reported by users",
    ),
)
