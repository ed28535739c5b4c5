"""The words that may be shown to anybody, because they belong to SIP and to nobody."""

from collections.abc import Mapping
from typing import Final

_METHODS = (
    "ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER "
    "SUBSCRIBE UPDATE"
)

_TRANSPORTS = "UDP TCP TLS SCTP TLS-SCTP WS WSS"

# https://www.iana.org/assignments/sip-events, and those of phones.
_EVENT_PACKAGES = (
    "as-feature-event call-info call-completion certificate check-sync conference "
    "consent-pending-additions credential debug dialog dialog;sla hold hoteling "
    "keep-alive kpml line-seize load-control message-summary poc-settings presence "
    "presence.winfo refer reg resync sla spirits-INDPs spirits-user-prof sync talk "
    "ua-profile vq-rtcpxr winfo x-broadworks-callcenter "
    "x-broadworks-callcenter-status x-broadworks-hoteling x-broadworks-mlpp "
    "xcap-diff"
)

# https://www.iana.org/assignments/sip-parameters, option tags.
_OPTION_TAGS = (
    "100rel 199 answermode early-session eventlist explicitsub from-change geolocation "
    "gin gruu histinfo ice join multiple-refer norefersub nosub outbound path "
    "policy precondition pref privacy recipient-list-invite recipient-list-message "
    "recipient-list-subscribe record-aware replaces resource-priority sdp-anat "
    "sec-agree siprec tdialog timer trickle-ice uui callerid"
)

_MEDIA_TYPES = (
    "*/* application/* text/* multipart/* "
    "application/sdp application/pidf+xml application/xpidf+xml application/xml "
    "application/dialog-info+xml application/cpim-pidf+xml application/reginfo+xml "
    "application/rlmi+xml application/conference-info+xml application/dtmf-relay "
    "application/dtmf application/media_control+xml application/octet-stream "
    "application/resource-lists+xml application/simple-message-summary "
    "application/url application/watcherinfo+xml application/x-as-feature-event+xml "
    "application/x-broadworks-hoteling+xml application/x-broadworks-call-center+xml "
    "application/json application/sipfrag message/sipfrag message/cpim "
    "multipart/mixed multipart/related multipart/alternative text/plain text/html "
    "text/xml"
)

_OTHERS = (
    # Subscription-State and its reasons
    "active pending terminated deactivated probation rejected timeout giveup noresource "
    "invariant "
    # Dispositions, encodings, languages, versions
    "required optional render session icon alert early-session identity gzip deflate "
    "* en en-us en-gb de fr es it nl utf-8 us-ascii iso-8859-1 1.0 "
    # Digest
    "MD5 MD5-sess SHA-256 SHA-256-sess SHA-512-256 auth auth-int true false "
    # Values of parameters and of single fields
    "phone ip sigcomp on yes no id none user header critical full emergency urgent "
    "normal non-urgent SIP"
)

WORDS: Final = frozenset(
    word.lower()
    for words in (_METHODS, _TRANSPORTS, _EVENT_PACKAGES, _OPTION_TAGS, _MEDIA_TYPES)
    for word in words.split()
) | frozenset(_OTHERS.lower().split())

_BY_KIND: Mapping[str, str] = {
    "addresses": (
        "Contact Diversion From History-Info P-Asserted-Identity "
        "P-Associated-URI P-Called-Party-ID P-Preferred-Identity Path Record-Route "
        "Refer-To Referred-By Remote-Party-ID Reply-To Route Service-Route To"
    ),
    "call": "Call-ID",
    "cseq": "CSeq",
    "date": "Date",
    "digest": (
        "Authentication-Info Authorization Proxy-Authenticate Proxy-Authorization "
        "WWW-Authenticate"
    ),
    "number": (
        "Content-Length Expires Max-Forwards Min-Expires Min-SE Retry-After RSeq"
    ),
    "product": "Server User-Agent",
    "vias": "Via",
    "warning": "Warning",
    "words": (
        "Accept Accept-Encoding Accept-Language Allow Allow-Events "
        "Content-Disposition Content-Encoding Content-Language Content-Type "
        "Event MIME-Version Priority Privacy Proxy-Require Reason Request-Disposition "
        "Require Subscription-State Supported Unsupported"
    ),
    # What is in these concerns nobody; that they are there may help.
    "hidden": (
        "Accept-Contact Alert-Info Call-Info Content-ID Error-Info Feature-Caps "
        "Geolocation Identity In-Reply-To Join Organization P-Access-Network-Info "
        "P-Charging-Vector P-Visited-Network-ID Proxy-Authentication-Info "
        "Reject-Contact Replaces Security-Client Security-Server Security-Verify "
        "Session-Expires SIP-ETag SIP-If-Match Subject Suppress-If-Match "
        "Timestamp User-to-User X-Forwarded-For X-MAC X-Serialnumber"
    ),
}

# How the value of a header field is shown, by the field's long name in lower case.
FIELDS: Final[Mapping[str, str]] = {
    name.lower(): kind for kind, names in _BY_KIND.items() for name in names.split()
}
