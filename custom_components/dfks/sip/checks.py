"""What every request is checked for before its method (RFC 3261 8.2)."""

from .inspect.source_log import SourceLog
from .transport.flow import Flow
from .wire.headers import HeaderError, Uri, is_token, plain_host
from .wire.message import Request, SipError

METHODS = ("REGISTER", "SUBSCRIBE", "OPTIONS")
ALLOW = f"Allow: {', '.join(METHODS)}"

# Methods of SIP that this server does not have: 405, where others get 501.
KNOWN_METHODS = frozenset(
    {
        "BYE",
        "INFO",
        "INVITE",
        "MESSAGE",
        "NOTIFY",
        "PRACK",
        "PUBLISH",
        "REFER",
        "UPDATE",
    }
)

# Option tags that may stand in Require.
SUPPORTED = frozenset({"path"})


def method_first(err: SipError) -> SipError:
    """Return the error that a malformed request gets: 501 where the method is unknown.

    The method is inspected before all else (RFC 3261 8.2.1).
    """
    method = "" if err.request is None else err.request.method
    known = method in METHODS or method in KNOWN_METHODS or method == "CANCEL"
    if err.status != 400 or known or not is_token(method):
        return err
    return SipError(501, None, (ALLOW,))


def target_of(request: Request) -> Uri:
    """Return the Request-URI. Raises SipError."""
    try:
        return request.target
    except HeaderError as err:
        raise SipError(400, f"Request-URI: {err}") from err


def check_require(request: Request) -> None:
    """Refuse extensions that are required and not there (RFC 3261 8.2.2.3)."""
    if "require" not in request.fields:
        return
    unknown = [tag for tag in request.tokens("require") if tag not in SUPPORTED]
    if unknown:
        raise SipError(420, None, (f"Unsupported: {', '.join(unknown)}",))


def check_scheme(request: Request, flow: Flow) -> None:
    """Refuse a Request-URI that is not for this server (RFC 3261 8.2.2.1)."""
    if request.plain_user is not None:
        return
    uri = target_of(request)
    if not uri.is_sip or (uri.scheme == "sips" and flow.transport != "TLS"):
        raise SipError(416)


class Domains:
    """The hosts that a Request-URI may name; without any, all of them."""

    def __init__(self, domains: tuple[str, ...], log: SourceLog) -> None:
        """Accept these domains."""
        self._domains = frozenset(plain_host(domain) for domain in domains)
        self._log = log

    def check(self, request: Request, flow: Flow) -> None:
        """Refuse a Request-URI of none of the domains (RFC 3261 8.2.2.1, 10.3).

        In a dialog it is our own Contact, which need not be of any.
        """
        if not self._domains:
            return
        host = plain_host(target_of(request).host)
        if host not in self._domains:
            self._log.info(flow.remote[0], "No such domain: %s", host)
            raise SipError(404, "No such domain")
