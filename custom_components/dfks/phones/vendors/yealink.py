"""Yealink."""

from typing import Final

from .model import (
    Accounts,
    ConfigurationFile,
    LocalProcessing,
    Scope,
    Vendor,
    action_urls,
)

YEALINK: Final = Vendor(
    name="Yealink",
    families=("T2", "T3", "T4", "T5", "T7", "T8", "CP", "W"),
    user_agents=("yealink",),
    pages=("Features > General Information > Feature Key Synchronization",),
    parameters={
        Scope.ALL_ACCOUNTS: (
            "features.feature_key_sync.enable=1",
            "features.dnd.feature_key_sync.enable=1",
            "features.forward.feature_key_sync.enable=1",
        ),
        Scope.ONE_ACCOUNT_NEW: (
            "account.X.feature_key_sync.enable=1",
            "account.X.dnd.feature_key_sync.enable=1",
            "account.X.forward.feature_key_sync.enable=1",
        ),
        Scope.OLD_FIRMWARE: ("bw.feature_key_sync=1",),
    },
    file=ConfigurationFile(
        name="MAC.cfg",
        first_line="#!version:1.0.0.1",
        source=(
            "Administrator's Guide for SIP-T2 Series/T4 Series/T5 Series IP Phones, "
            "Central Provisioning; FusionPBX, template yealink/t5x (first line)"
        ),
    ),
    local=LocalProcessing(
        default=False,
        on=(
            "account.X.features.dnd.feature_key_sync.local_processing.enable=1",
            "account.X.features.forward.feature_key_sync.local_processing.enable=1",
        ),
        off=(
            "account.X.features.dnd.feature_key_sync.local_processing.enable=0",
            "account.X.features.forward.feature_key_sync.local_processing.enable=0",
        ),
    ),
    accounts=Accounts.SHARED,
    account_pages=("Features > Forward&DND > Mode: Custom",),
    account_parameters={"": ("features.dnd_mode=1", "features.fwd_mode=1")},
    codes=(
        "features.dnd.on_code",
        "features.dnd.off_code",
        "forward.always.on_code",
        "forward.always.off_code",
        "forward.busy.on_code",
        "forward.busy.off_code",
        "forward.no_answer.on_code",
        "forward.no_answer.off_code",
        "account.X.dnd.on_code",
        "account.X.dnd.off_code",
        "account.X.always_fwd.on_code",
        "account.X.always_fwd.off_code",
        "account.X.busy_fwd.on_code",
        "account.X.busy_fwd.off_code",
        "account.X.timeout_fwd.on_code",
        "account.X.timeout_fwd.off_code",
    ),
    notes=(
        (
            "Without an account, `features.dnd.feature_key_sync.local_processing.enable` "
            "and `features.forward.feature_key_sync.local_processing.enable` do the same "
            "for all accounts; the setting of an account wins."
        ),
        (
            "In phone mode (0, the default) a key counts for all accounts of the phone: "
            "a second account, such as the one of a PBX, then mirrors this one. Custom "
            "mode (1) keeps them apart. T19(P) E2 and CP920 have no custom mode."
        ),
        (
            "With codes and synchronization both set, a Yealink dials the code whenever "
            "its state changes, and the two chase each other."
        ),
        "The second number of its User-Agent is the release: 66.**85**.0.5 is v85.",
    ),
    sources=(
        (
            "Administrator's Guide for SIP-T2 Series/T4 Series/T5 Series IP Phones, "
            "pp. 319-323 and 344"
        ),
        (
            "Administrator's Guide for SIP-T2/T4/T5/CP920 IP Phones, pp. 296-299 "
            "and 304-305"
        ),
        "FusionPBX, templates yealink/t5x, t88w and w70b (accounts, old firmware)",
        "Tancredi, template yealink.tmpl (default of local processing)",
        "SIP-T48G user guide, DND (mode on the web page)",
    ),
    outbound_proxy={
        "": (
            "account.X.outbound_proxy_enable=1",
            "account.X.outbound_proxy.1.address=HOME_ASSISTANT",
            "account.X.outbound_proxy.1.port=5060",
        )
    },
    second_way={
        "": (
            "account.X.outbound_proxy.2.address=PBX",
            "account.X.outbound_proxy.2.port=5060",
            "account.X.outbound_proxy.1.failback_mode=3",
            "account.X.outbound_proxy.1.failback_timeout=60",
            "account.X.sip_server.1.failback_subscribe.enable=1",
        )
    },
    proxy_notes=(
        (
            "Without `failback_subscribe.enable`, off as it comes, the phone does not "
            "subscribe anew when it changes servers, and its keys stand still. It works "
            "with the failback modes 1 to 3 only, and these run while the phone is idle."
        ),
    ),
    proxy_sources=(
        (
            "Administrator's Guide for SIP-T2/T4/T5/CP920 IP Phones; Administrator's "
            "Guide for CP960; FusionPBX, template yealink/t5x"
        ),
    ),
    calls={
        "": action_urls(
            "&call=$call_id&number=$remote",
            {
                "action_url.incoming_call": "incoming",
                "action_url.outgoing_call": "outgoing",
                "action_url.call_established": "answered",
                "action_url.call_terminated": "ended",
                "action_url.missed_call": "missed",
                "action_url.reject_incoming_call": "rejected",
                "action_url.forward_incoming_call": "forwarded",
                "action_url.hold": "held",
                "action_url.unhold": "resumed",
                "action_url.busy_to_idle": "idle",
                "action_url.setup_completed": "started",
            },
        )
    },
    call_notes=("On its web page: Features > Action URL.",),
    call_sources=(
        (
            "Administrators Guide for CP860 IP conference phones, p. 216 (events and "
            "variables); Administrator's Guide for SIP-T2/T4/T5/CP920 IP Phones"
        ),
    ),
)
