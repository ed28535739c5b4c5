"""Request documents: how to write one, and those that are refused or unknown."""

CSTA = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"
LATIN_1 = '<?xml version="1.0" encoding="ISO-8859-1"?>'
UTF_8 = '<?xml version="1.0" encoding="UTF-8"?>'

DND_ON = (
    "<SetDoNotDisturb><device/><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>"
)


def with_namespace(text: str, namespace: str = CSTA) -> str:
    """Give a document without a namespace one as its default."""
    root = text.index(">")
    return f'{text[:root]} xmlns="{namespace}"{text[root:]}'


def dnd(value: str) -> bytes:
    """Return a SetDoNotDisturb with this between the tags of doNotDisturbOn."""
    return DND_ON.replace("true", value).encode()


def forwarding(
    kind: str = "forwardNoAns",
    status: str = "true",
    target: str = "<forwardDN>2424</forwardDN>",
    rings: str = "<ringCount>4</ringCount>",
) -> str:
    """Return a SetForwarding document without a namespace."""
    return (
        f"<SetForwarding><device>201</device><forwardingType>{kind}</forwardingType>"
        f"<activateForward>{status}</activateForward>{target}{rings}</SetForwarding>"
    )


# Well-formed, but nothing that a phone can ask for.
UNKNOWN = {
    "agent state": "<SetAgentState><requestedAgentState>ready</requestedAgentState>"
    "</SetAgentState>",
    "agent state with a namespace": with_namespace("<SetAgentState></SetAgentState>"),
    "an event document": "<DoNotDisturbEvent><doNotDisturbOn>true</doNotDisturbOn>"
    "</DoNotDisturbEvent>",
    "an event without elements": "<ForwardingEvent/>",
    "a question": "<GetDoNotDisturb/>",
    "other letters": "<setdonotdisturb><doNotDisturbOn>true</doNotDisturbOn>"
    "</setdonotdisturb>",
    "any root": "<x/>",
    "SOAP": '<soap:Envelope xmlns:soap="urn:s"><soap:Body/></soap:Envelope>',
    "a command inside another root": f"<batch>{DND_ON}</batch>",
    "selective forwarding": forwarding("forwardSelective"),
    "a forwarding of no kind": forwarding("forwardNotReachable", status="nonsense"),
    "a kind cut short": forwarding("forward"),
    "a kind by another name": forwarding("all"),
}

# No XML, or XML that breaks its rules.
MALFORMED = {
    "text": b"true",
    "JSON": b'{"doNotDisturbOn": true}',
    "NUL": b"\x00",
    "a declaration alone": LATIN_1.encode(),
    "a comment alone": b"<!-- c -->",
    "cut off in a tag": dnd("true")[:-3],
    "cut off behind the value": dnd("true")[:-18],
    "a tag that is not closed": dnd("true").replace(b"</doNotDisturbOn>", b""),
    "tags that cross": b"<SetDoNotDisturb><a></SetDoNotDisturb></a>",
    "end tag in other letters": dnd("true").replace(b"</Set", b"</set"),
    "two roots": dnd("true") * 2,
    "text behind": dnd("true") + b"x",
    "text before": b"x" + dnd("true"),
    "NUL behind": dnd("true") + b"\x00",
    "NUL in the value": dnd("tr\x00ue"),
    "control character": dnd("true\x07"),
    "reference to a control character": dnd("true&#7;"),
    "reference to nothing": dnd("true&#x110000;"),
    "bare ampersand": dnd("true&"),
    "undefined entity": dnd("&on;"),
    "bare less-than": dnd("<"),
    "attribute twice": b'<SetDoNotDisturb a="1" a="2"/>',
    "attribute without quotes": b"<SetDoNotDisturb a=1/>",
    "prefix that is not declared": b"<c:SetDoNotDisturb/>",
    "declaration twice": (LATIN_1 * 2).encode() + dnd("true"),
    "declaration behind a comment": b"<!-- c -->" + LATIN_1.encode() + dnd("true"),
    "unknown encoding": b'<?xml version="1.0" encoding="none-such"?>' + dnd("true"),
    "declared UTF-8 that is none": UTF_8.encode()
    + dnd("true").replace(b"/>", b"/>\xe9"),
    "declared US-ASCII that is none": (
        b'<?xml version="1.0" encoding="US-ASCII"?>' + dnd("true\xe9")
    ),
    "XML 2.0": b'<?xml version="2.0"?>' + dnd("true"),
    "nested too deeply": b"<a>" * 5000 + b"</a>" * 5000,
    "binary": bytes(range(256)),
}

_LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
)  # ten to the ninth times "ha"
LAUGHS = f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>'

DOCTYPES = {
    "empty": "<!DOCTYPE SetDoNotDisturb>",
    "internal": '<!DOCTYPE x [<!ENTITY on "true">]>',
    "external": '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">',
    "file": '<!DOCTYPE x [<!ENTITY on SYSTEM "file:///etc/passwd">]>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>',
    "laughs": LAUGHS,
}

# What no xs:boolean is, in no case of letters.
STATUS_WORDS = (
    *("", " ", "on", "off", "yes", "no", "2", "-1", "00", "01", "1.0", "true!"),
    *("t r u e", "truefalse", "ｔｒｕｅ", "<x>true</x>", "<x/>true", "null"),
    *("enabled", "&amp;"),
)

_MISSING = {
    "SetDoNotDisturb without elements": ("<SetDoNotDisturb/>", "doNotDisturbOn"),
    "SetDoNotDisturb with a device alone": (
        "<SetDoNotDisturb><device/></SetDoNotDisturb>",
        "doNotDisturbOn",
    ),
    "SetDoNotDisturb with another's status": (
        "<SetDoNotDisturb><activateForward>true</activateForward></SetDoNotDisturb>",
        "doNotDisturbOn",
    ),
    "SetDoNotDisturb with a nested status": (
        "<SetDoNotDisturb><x><doNotDisturbOn>1</doNotDisturbOn></x></SetDoNotDisturb>",
        "doNotDisturbOn",
    ),
    "SetForwarding without elements": ("<SetForwarding/>", "forwardingType"),
    "SetForwarding with an empty kind": (forwarding(""), "forwardingType"),
    "SetForwarding with a blank kind": (forwarding(" "), "forwardingType"),
    "SetForwarding with a kind alone": (
        "<SetForwarding><forwardingType>forwardBusy</forwardingType></SetForwarding>",
        "activateForward",
    ),
}

# The longest target that is taken has 4096 characters.
_TARGETS = {
    "a target that is too long": "x" * 4097,
    "a target with a line break": "1\n2",
    "a target with a referenced CR": "1&#13;2",
    "a target with a control character": "1&#x85;2",
}

# What is refused, with the reason in the Warning.
REFUSED: dict[str, tuple[bytes, str]] = {
    **{name: (body, "The XML is malformed") for name, body in MALFORMED.items()},
    **{
        f"DOCTYPE: {name}": (
            f'<?xml version="1.0"?>{text}{DND_ON}'.encode(),
            "DOCTYPE is not allowed",
        )
        for name, text in DOCTYPES.items()
    },
    **{
        f"DND {word!r}": (dnd(word), "doNotDisturbOn is neither true nor false")
        for word in STATUS_WORDS
    },
    **{
        f"forwarding {word!r}": (
            forwarding("forwardBusy", word).encode(),
            "activateForward is neither true nor false",
        )
        for word in STATUS_WORDS
    },
    **{
        name: (text.encode(), f"{missed} is missing")
        for name, (text, missed) in _MISSING.items()
    },
    **{
        name: (
            forwarding(target=f"<forwardDN>{target}</forwardDN>").encode(),
            "forwardDN is too long or holds a line break",
        )
        for name, target in _TARGETS.items()
    },
}
