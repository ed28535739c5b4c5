"""What a phone would choke on: the rules that a server's messages are held against."""

import re

from .documents import CONTENT_TYPE, FEATURES, Document, parse_event
from .wire import (
    Message,
    Request,
    Response,
    address,
    has_parameter,
    host_port,
    parameter,
    parse_multipart,
    split_host,
)

_STATE = re.compile(
    r"(?:active|pending);expires=([0-9]+)|terminated(?:;[a-z-]+=[^;]+)+"
)
_REASONS = "deactivated|probation|rejected|timeout|giveup|noresource|invariant"

# Header fields that a status asks for (RFC 3261 section 21, RFC 6665 section 4.2.1.1).
_COMPANIONS = {
    401: "WWW-Authenticate",
    405: "Allow",
    415: "Accept",
    420: "Unsupported",
    423: "Min-Expires",
    489: "Allow-Events",
}


def check_response(request: Request, response: Response) -> list[str]:
    """Hold an answer against its request; returns the violations."""
    notes = list(response.violations)
    notes += [
        f"{name} came back as {response.get(name)!r}"
        for name in ("From", "Call-ID", "CSeq")
        if response.get(name) != request.get(name)
    ]
    notes += _check_to(request, response) + _check_via(request, response)
    companion = _COMPANIONS.get(response.status)
    if companion and not response.has(companion):
        notes.append(f"{response.status} without {companion}")
    if request.method != "INVITE" and (
        response.status == 408 or 100 < response.status < 200
    ):
        notes.append(f"{response.status} to a non-INVITE request (RFC 4320)")
    if response.ok and request.method == "SUBSCRIBE":
        notes += _check_expires(request, response) + _check_contact(response)
    if response.ok and request.method == "REGISTER":
        notes += _check_bindings(request, response)
    return notes


def check_notify(
    request: Request, *, uri: str, to: str, event: str, transport: str, granted: int
) -> tuple[list[Document], list[str]]:
    """Hold a NOTIFY against its dialog; returns its documents and the violations.

    `uri` is the phone's Contact, `to` what stood in From of the SUBSCRIBE without its
    tag, `granted` the seconds of the last 2xx.
    """
    notes = list(request.violations)
    if request.uri != uri:
        notes.append(f"the Request-URI is {request.uri}, not the Contact {uri}")
    notes += [
        f"{name} is {request.get(name)!r}, not of {to}"
        for name in ("From", "To")
        if address(request.get(name)) != to
    ]
    if request.get("Event") != event:
        notes.append(f"Event is {request.get('Event')!r}, not {event!r}")
    notes += _check_state(request.get("Subscription-State"), granted)
    notes += _check_contact(request)
    top = next(iter(request.values("Via")), "")
    if f"/{transport} " not in top or _unreachable(split_host(_sent_by(top))[0]):
        notes.append(f"Via is not ours to answer: {top!r}")
    if transport == "UDP" and not has_parameter(top, "rport"):
        notes.append(f"Via without rport: {top!r}")
    documents, found = parse_documents(request)
    return documents, notes + found


def parse_documents(message: Message) -> tuple[list[Document], list[str]]:
    """Read the documents of a NOTIFY; returns them and the violations."""
    content_type = message.get("Content-Type")
    kind = content_type.partition(";")[0].strip().lower()
    if not message.body:
        return [], []
    if kind == CONTENT_TYPE:
        document, notes = parse_event(message.body)
        return [document], notes
    if kind != "multipart/mixed":
        return [], [f"Content-Type is {content_type!r}"]
    parts, notes = parse_multipart(content_type, message.body)
    documents = []
    for part in parts:
        if part.get("Content-Type") != CONTENT_TYPE:
            notes.append(f"a part's Content-Type is {part.get('Content-Type')!r}")
        document, found = parse_event(part.body)
        documents.append(document)
        notes += found
    if len(documents) < 2:
        notes.append("a multipart body with fewer than two documents")
    return documents, notes + _check_feature_order(documents)


def _check_feature_order(documents: list[Document]) -> list[str]:
    features = [doc.feature for doc in documents if doc.feature is not None]
    if features != [feature for feature in FEATURES if feature in features]:
        return [f"the features come as {features}"]
    return []


def _check_to(request: Request, response: Response) -> list[str]:
    sent, got = request.get("To"), response.get("To")
    if request.to_tag and got != sent:
        return [f"To came back as {got!r}"]
    if not got.startswith(sent):
        return [f"To came back as {got!r}, sent was {sent!r}"]
    return []


def _check_via(request: Request, response: Response) -> list[str]:
    sent, got = request.values("Via"), response.values("Via")
    if len(sent) != len(got):
        return [f"{len(sent)} Via sent, {len(got)} came back"]
    notes = []
    if _sent_by(sent[0]) != _sent_by(got[0]) or request.branch != response.branch:
        notes.append(f"Via came back as {got[0]!r}")
    if has_parameter(sent[0], "rport"):
        host, port = split_host(_sent_by(sent[0]))
        if parameter(got[0], "rport") != str(port):
            notes.append(f"rport is not {port}: {got[0]!r}")
        if parameter(got[0], "received").strip("[]") != host:
            notes.append(f"received is not {host}: {got[0]!r}")
    return notes


def _check_expires(request: Request, response: Response) -> list[str]:
    granted = response.number("Expires")
    asked = request.number("Expires")
    if granted is None:
        return ["a 2xx to SUBSCRIBE without Expires"]
    if asked is not None and granted > asked:
        return [f"Expires is {granted}, more than the {asked} asked for"]
    return []


def _check_contact(message: Message) -> list[str]:
    contacts = message.values("Contact")
    if len(contacts) != 1:
        return [f"{len(contacts)} Contacts instead of one"]
    uri = address(contacts[0])
    if not uri.startswith(("sip:", "sips:")) or _unreachable(host_port(uri)[0]):
        return [f"Contact is not reachable: {uri}"]
    return []


def _check_bindings(request: Request, response: Response) -> list[str]:
    bindings = response.values("Contact")
    notes = [
        f"a binding without expires: {binding!r}"
        for binding in bindings
        if not parameter(binding, "expires").isdigit()
    ]
    if not request.number("Expires"):
        return notes
    listed = [address(binding) for binding in bindings]
    missing = [c for c in map(address, request.values("Contact")) if c not in listed]
    return [*notes, *(f"{c} is not among the bindings {listed}" for c in missing)]


def _check_state(state: str, granted: int) -> list[str]:
    match = _STATE.fullmatch(state)
    if match is None:
        return [f"malformed Subscription-State: {state!r}"]
    if match[1] and int(match[1]) > granted:
        return [f"Subscription-State has {match[1]} s, granted were {granted}"]
    if not match[1] and not re.search(rf";reason=(?:{_REASONS})(?:;|$)", state):
        return [f"no known reason in Subscription-State: {state!r}"]
    return []


def _sent_by(via: str) -> str:
    words = via.partition(";")[0].split()
    return words[-1] if words else ""


def _unreachable(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")
