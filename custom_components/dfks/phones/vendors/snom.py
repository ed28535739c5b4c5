"""Snom, and VTech, who makes some of Snom's phones."""

from typing import Final

from .model import Accounts, Vendor, action_urls

SNOM: Final = Vendor(
    name="Snom D",
    families=("D3", "D7", "D8"),
    user_agents=("snom",),
    codes=(
        "dnd_on_code",
        "dnd_off_code",
        "fwd_all_on_code",
        "fwd_all_off_code",
        "fwd_busy_on_code",
        "fwd_busy_off_code",
        "fwd_time_on_code",
        "fwd_time_off_code",
    ),
    action_urls=(
        "action_dnd_on_url",
        "action_dnd_off_url",
        "action_redirection_on_url",
        "action_redirection_off_url",
    ),
    notes=(
        "No setting for feature key synchronization is documented.",
        (
            "With the codes empty the phone rejects and forwards calls itself; with "
            "them it dials them and leaves that to the server."
        ),
        (
            "Its action URLs can tell Home Assistant of a key, one way: use a webhook as "
            "the trigger of an automation that turns the line's switch on or off."
        ),
    ),
    sources=(
        "Snom service wiki, fwd_all_enabled and fwd_time_enabled",
        "Snom user wiki, Features/Action URL",
        "Tancredi, template snom.tmpl; FusionPBX, template snom/D785",
    ),
    outbound_proxy={"": ('<user_outbound idx="n">HOME_ASSISTANT</user_outbound>',)},
    proxy_sources=("Tancredi, template snom.tmpl; FusionPBX, template snom/D785",),
    calls={
        "": action_urls(
            "&call=$call-id&number=$remote",
            {
                "action_incoming_url": "incoming",
                "action_outgoing_url": "outgoing",
                "action_connected_url": "answered",
                "action_disconnected_url": "ended",
                "action_missed_url": "missed",
                "action_hold": "held",
                "action_unhold": "resumed",
                "action_setup_url": "started",
            },
        )
    },
    call_notes=("In an XML file, each `&` of an address is written `&amp;`.",),
    call_sources=(
        (
            "Snom service wiki, Can the phone send internal variables within an Action "
            "URL; Snom user wiki, Action URLs/Runtime Variables; Tancredi, template "
            "snom.tmpl (names)"
        ),
    ),
)

VTECH: Final = Vendor(
    name="VTech, Snom M KLE and C",
    families=(
        "VCS754",
        "Vesa",
        "Snom M100 KLE",
        "Snom M500 KLE",
        "Snom C520",
        "Snom C620",
    ),
    user_agents=("vtech",),
    parameters={"": ("sip_account.n.feature_sync_enable=1",)},
    accounts=Accounts.SEPARATE,
    codes=("access_code_dnd_on", "access_code_dnd_off"),
    notes=("VTech's template has `*78` and `*79` as codes.",),
    sources=(
        "FusionPBX, templates vtech/vcs754 and snom/M500KLE, M100KLE, C520 and C620",
    ),
    outbound_proxy={"": ("primary_outbound_proxy_server_address = HOME_ASSISTANT",)},
    second_way={"": ("backup_outbound_proxy_server_address = PBX",)},
    proxy_sources=("FusionPBX, templates snom/M500KLE and vtech/vcs754",),
)
