"""Names and defaults shared by the Home Assistant floor."""

from enum import StrEnum
from typing import Final

from .features.model import Feature, NotifyStyle
from .sip import PRIVATE_NETWORKS

DOMAIN: Final = "dfks"

SUBENTRY_TYPE_LINE: Final = "line"
SUBENTRY_TYPE_PBX: Final = "pbx"
SUBENTRY_TYPE_FOLLOWED: Final = "followed_line"

# The documentation that forms and repairs point at.
_DOCS_URL: Final = "https://github.com/ha-dfks/ha-dfks/blob/main/docs"
PHONES_URL: Final = f"{_DOCS_URL}/phones.md"
CALLS_URL: Final = f"{_DOCS_URL}/calls.md#action-urls"
TROUBLESHOOTING_URL: Final = f"{_DOCS_URL}/troubleshooting.md"
PASSWORD_HELP_URL: Final = f"{TROUBLESHOOTING_URL}#401-for-ever"
PBX_URL: Final = f"{_DOCS_URL}/in-front-of-a-pbx.md"
FOLLOW_URL: Final = f"{_DOCS_URL}/follow-a-pbx.md"
FOLLOW_HELP_URL: Final = f"{FOLLOW_URL}#when-something-does-not-work"
PBX_HELP_URL: Final = f"{PBX_URL}#when-something-does-not-work"
SCRIPT_HELP_URL: Final = f"{_DOCS_URL}/scripting.md#when-a-script-does-not-work"
STORAGE_HELP_URL: Final = f"{_DOCS_URL}/entities.md#how-states-are-updated"
LIMITS_HELP_URL: Final = f"{_DOCS_URL}/entities.md#known-limitations"
TLS_HELP_URL: Final = f"{TROUBLESHOOTING_URL}#tls-does-not-work"

# The listener: entry data, and a section of its form (host and port are Home Assistant's own keys)
CONF_REALM: Final = "realm"
CONF_ADVERTISED_HOST: Final = "advertised_host"
CONF_ADVERTISED_PORT: Final = "advertised_port"
CONF_ADVANCED: Final = "advanced"
CONF_TLS: Final = "tls"
CONF_CERTIFICATE: Final = "certificate"
CONF_PRIVATE_KEY: Final = "private_key"
CONF_CLIENT_AUTHORITY: Final = "client_authority"

# The listener: entry options
CONF_MAX_EXPIRES: Final = "max_expires"
CONF_DIGEST: Final = "digest"
CONF_SCRIPTS: Final = "scripts"
CONF_GET_SCRIPT: Final = "get_script"
CONF_SET_SCRIPT: Final = "set_script"
CONF_CALL_SCRIPT: Final = "call_script"
CONF_ACCESS: Final = "access"
CONF_ALLOWED_NETWORKS: Final = "allowed_networks"
CONF_TRUSTED_PROXIES: Final = "trusted_proxies"
CONF_MAX_FAILURES: Final = "max_failures"
CONF_DOMAINS: Final = "domains"

# A line: sections of its form
CONF_LOGIN: Final = "login"
CONF_SYNCHRONIZATION: Final = "synchronization"
CONF_CALLS: Final = "calls"
CONF_TREATMENT: Final = "treatment"

# A line: subentry data (name is the title, password Home Assistant's own key)
CONF_USER: Final = "user"
CONF_AUTH_NAME: Final = "auth_name"
CONF_FEATURES: Final = "features"
CONF_STYLE: Final = "notify_style"
CONF_VENDOR: Final = "vendor"
# Whether Home Assistant sees the line's calls. Not there: it does not.
CONF_SEE_CALLS: Final = "see_calls"
# Whether the calls of a line at a PBX follow its features. Not there: they do not. What
# goes with it is stored where it is not what it is at first.
CONF_TREAT_CALLS: Final = "treat_calls"
CONF_BUSY_STATUS: Final = "do_not_disturb_answer"
CONF_RING_SECONDS: Final = "ring_seconds"
CONF_REJECT_RINGING: Final = "reject_ringing"
CONF_ALWAYS_RING: Final = "always_ring"
CONF_EMERGENCY: Final = "emergency_numbers"
# The area that the device of the line is put into when it is made, and never again.
CONF_AREA: Final = "area"
# The PBX that the line is registered at: the id of a subentry. Not there: here.
CONF_PBX: Final = "pbx"

# A PBX: subentry data (name is the title; host, port and domain Home Assistant's keys)
CONF_TRANSPORT: Final = "transport"
CONF_CONTACT: Final = "contact"
CONF_KEYS: Final = "keys"
CONF_ADD_LINES: Final = "add_lines"
CONF_FINGERPRINT: Final = "fingerprint"

# A line at a PBX that synchronizes keys: subentry data (beside keys of lines and PBXs)
CONF_OUTBOUND_PROXY: Final = "outbound_proxy"
CONF_REGISTER: Final = "register"
# The section of the phones that log in here for it, and whether any do. What is stored
# is their password; not there: none does.
CONF_PHONES: Final = "phones"
CONF_SERVE: Final = "serve"
CONF_PHONE_PASSWORD: Final = "phone_password"

DEFAULT_HOST: Final = "0.0.0.0"
DEFAULT_DIGEST: Final = "both"
DEFAULT_STYLE: Final = NotifyStyle.MULTIPART

# Who synchronizes the feature keys of phones at a PBX.
KEYS_HERE: Final = "home_assistant"
KEYS_AT_PBX: Final = "pbx"

# The scripts that are asked where none is chosen, by the names of OpenSIPS' routes.
SCRIPT_DOMAIN: Final = "script"
DEFAULT_GET_SCRIPT: Final = "script.dfks_get"
DEFAULT_SET_SCRIPT: Final = "script.dfks_set"
DEFAULT_CALL_SCRIPT: Final = "script.dfks_call"

# Seconds that a phone's subscription may last before the phone has to refresh it.
MIN_MAX_EXPIRES: Final = 300
MAX_MAX_EXPIRES: Final = 3600
DEFAULT_MAX_EXPIRES: Final = 3600

# Wrong passwords after which a source is blocked. Below three, one that is mistyped on
# the phone would do.
MIN_MAX_FAILURES: Final = 3
MAX_MAX_FAILURES: Final = 1000

DEFAULT_ALLOWED_NETWORKS: Final = ", ".join(PRIVATE_NETWORKS)

# MD5 stands first: many older phones read only the first challenge.
DIGEST_ALGORITHMS: Final[dict[str, tuple[str, ...]]] = {
    "both": ("MD5", "SHA-256"),
    "md5": ("MD5",),
    "sha256": ("SHA-256",),
}

# How a feature is called in configuration, unique ids and translations, in the
# order in which documents list the features.
FEATURE_KEYS: Final[dict[Feature, str]] = {
    Feature.DO_NOT_DISTURB: "do_not_disturb",
    Feature.CALL_FORWARDING_ALWAYS: "call_forwarding_always",
    Feature.CALL_FORWARDING_BUSY: "call_forwarding_busy",
    Feature.CALL_FORWARDING_NO_ANSWER: "call_forwarding_no_answer",
}


class LineOption(StrEnum):
    """What a line may have beside its features, with entities of its own."""

    # Its calls are to be seen.
    CALLS = "calls"
    # Phones log in here for it; it is not one that only a PBX knows.
    PHONES = "phones"


# What the entities are called that a line has for its phones.
PHONE_KEYS: Final = ("phone_connected", "user_agent", "watchers")


# What an action and an event say about a feature, and an entity about itself.
ATTR_FEATURE: Final = "feature"
ATTR_FORWARD_TO: Final = "forward_to"
ATTR_TARGET: Final = "target"
ATTR_UNTIL: Final = "until"
ATTR_CLAIMS: Final = "claims"

# How the entities of a line's calls are called in unique ids and translations.
CALL_KEY: Final = "call"

# What entities say about calls.
ATTR_CALLS: Final = "calls"
ATTR_DURATION: Final = "duration"
ATTR_NAME: Final = "name"
ATTR_NUMBER: Final = "number"
ATTR_REASON: Final = "reason"
