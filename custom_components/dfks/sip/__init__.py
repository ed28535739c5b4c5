"""A SIP server for REGISTER, SUBSCRIBE/NOTIFY and OPTIONS.

The lowest floor: the standard library only, no event package, no Home Assistant. What
this module offers is its public face: the floors above name nothing else of it.
"""

from .access.accounts import Account, Binding
from .access.allowance import Allowance
from .access.digest import Hashes
from .access.guard import (
    BLOCK_TIME,
    DEFAULT_MAX_FAILURES,
    PRIVATE_NETWORKS,
    Blocked,
    Network,
    parse_networks,
)
from .clock import Clock, LoopClock, TimerHandle
from .config import Experiment, ServerConfig
from .following import CertificateProblem, Following, RemoteLine
from .inspect.redaction import (
    DEFAULT_REALM,
    REDACTED,
    Aliases,
    like,
    redact_addresses,
    redact_field,
    redact_message,
    redact_product,
    redact_uri,
    redact_words,
)
from .inspect.trace import Trace, Traced
from .proxy.calls import CallLeg, CallObserver
from .proxy.leg import LEG_SECONDS
from .proxy.location import LineKey, ProxyBinding, ProxyBindingRecord
from .proxy.pbx import ContactMode, PbxConfig, Upstream
from .proxy.policy import (
    NO_ANSWER,
    PROCEED,
    UNAVAILABLE,
    UNCONDITIONAL,
    USER_BUSY,
    CallPlan,
    CallPolicy,
    IncomingCall,
    Proceed,
    Redirect,
    Reject,
    TakePlan,
    Treatment,
)
from .proxy.site import ProxyObserver
from .proxy.tokens import SECRET_SIZE
from .proxy.treated import TreatedLine
from .server import SipServer
from .snapshot import BindingRecord, DialogRecord, Snapshot, resumed_cseq
from .transport.bind import probe, probe_tls, split_hosts
from .transport.flow import Flow
from .transport.peer_certificate import read_fingerprint
from .transport.resolver import AddressRecord, Resolver, ServiceRecord
from .ua.dialog import (
    ALL,
    FULL,
    NOTHING,
    EventPackage,
    Notification,
    Subscription,
    Topics,
)
from .ua.notifier import Notifier
from .ua.registration import Contacts
from .ua.subscriber import SubscriberEvents, SubscriptionStatus
from .ua.subscriber_dialog import Package, SubscriberConfig, Way
from .wire.headers import (
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
    HeaderError,
    bracketed,
    default_port,
    encode_user,
    number,
    parse_parameters,
    parse_uri,
    plain_host,
    unbracketed,
)
from .wire.message import NotSip, Request, Response, SipError
from .wire.parser import parse

__all__ = [
    "ALL",
    "BLOCK_TIME",
    "DEFAULT_MAX_FAILURES",
    "DEFAULT_PORT",
    "DEFAULT_REALM",
    "DEFAULT_TLS_PORT",
    "FULL",
    "LEG_SECONDS",
    "NOTHING",
    "NO_ANSWER",
    "PRIVATE_NETWORKS",
    "PROCEED",
    "REDACTED",
    "SECRET_SIZE",
    "UNAVAILABLE",
    "UNCONDITIONAL",
    "USER_BUSY",
    "Account",
    "AddressRecord",
    "Aliases",
    "Allowance",
    "Binding",
    "BindingRecord",
    "Blocked",
    "CallLeg",
    "CallObserver",
    "CallPlan",
    "CallPolicy",
    "CertificateProblem",
    "Clock",
    "ContactMode",
    "Contacts",
    "DialogRecord",
    "EventPackage",
    "Experiment",
    "Flow",
    "Following",
    "Hashes",
    "HeaderError",
    "IncomingCall",
    "LineKey",
    "LoopClock",
    "Network",
    "NotSip",
    "Notification",
    "Notifier",
    "Package",
    "PbxConfig",
    "Proceed",
    "ProxyBinding",
    "ProxyBindingRecord",
    "ProxyObserver",
    "Redirect",
    "Reject",
    "RemoteLine",
    "Request",
    "Resolver",
    "Response",
    "ServerConfig",
    "ServiceRecord",
    "SipError",
    "SipServer",
    "Snapshot",
    "SubscriberConfig",
    "SubscriberEvents",
    "Subscription",
    "SubscriptionStatus",
    "TakePlan",
    "TimerHandle",
    "Topics",
    "Trace",
    "Traced",
    "TreatedLine",
    "Treatment",
    "Upstream",
    "Way",
    "bracketed",
    "default_port",
    "encode_user",
    "like",
    "number",
    "parse",
    "parse_networks",
    "parse_parameters",
    "parse_uri",
    "plain_host",
    "probe",
    "probe_tls",
    "read_fingerprint",
    "redact_addresses",
    "redact_field",
    "redact_message",
    "redact_product",
    "redact_uri",
    "redact_words",
    "resumed_cseq",
    "split_hosts",
    "unbracketed",
]
