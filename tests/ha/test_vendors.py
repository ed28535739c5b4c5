"""The vendors' settings, and that the documentation has the same."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from custom_components.dfks.features.reported_calls import read_query
from custom_components.dfks.phones.vendors import (
    OTHER,
    VENDORS,
    WEBHOOK,
    Accounts,
    ConfigurationFile,
    Scope,
    Settings,
    Vendor,
    vendor_of,
)

DOCS = Path(__file__).parents[2] / "docs"
PHONES = DOCS / "phones.md"
IN_FRONT = DOCS / "in-front-of-a-pbx.md"
MARK = "<!-- vendors -->"

LOCAL = {
    True: "on, unless it is turned off",
    False: "off, unless it is turned on",
    None: "not documented",
}

ACCOUNTS = {
    Accounts.SHARED: (
        "Two accounts: a key counts for all accounts, unless they are kept apart."
    ),
    Accounts.INSEPARABLE: (
        "Two accounts: a key counts for all accounts; no setting keeps them apart."
    ),
    Accounts.SEPARATE: "Two accounts: the synchronization is a setting of each.",
    Accounts.UNKNOWN: "Two accounts: whether a key counts for both is not documented.",
}


def block(settings: Iterable[str]) -> str:
    """Return settings as they are copied into a file."""
    return "\n".join(["```", *settings, "```"])


def by_models(title: str, settings: Settings) -> Iterator[str]:
    """Yield the settings of each kind of model under a title."""
    for models, lines in settings.items():
        yield f"{title}, {models}:" if models else f"{title}:"
        yield block(lines)


def codes(settings: Iterable[str]) -> str:
    """Return settings in a line."""
    return ", ".join(f"`{setting}`" for setting in settings)


def how_to_load(file: ConfigurationFile | None) -> str:
    """Return how the configuration file of a vendor gets into the phone."""
    if file is None:
        return "How the file gets into the phone is not documented."
    if file.page:
        text = f"The phone's web page takes it: `{file.page}`."
    elif file.address:
        text = f"With it on a web server, `{file.address}` has the phone fetch it."
    else:
        text = f"The phone fetches it from its provisioning server as `{file.name}`."
    if file.first_line:
        text += f" Its first line: `{file.first_line}`."
    return f"{text} ({file.source})"


def section(vendor: Vendor) -> str:
    """Return a vendor's part of docs/phones.md."""
    local = vendor.local
    default = LOCAL[local.default]
    if local.default is False and not local.on:
        default = "none, the server alone rejects and forwards calls"
    parts = [f"### {vendor.name}", f"Models: {', '.join(vendor.families)}."]
    if vendor.pages:
        parts.append(f"On its web page: {codes(vendor.pages)}")
    parts += by_models("In its configuration file", vendor.parameters)
    if vendor.parameters:
        parts.append(how_to_load(vendor.file))
    if not vendor.synchronizes:
        parts.append("How it is told to synchronize is not documented.")
    parts.append(f"Local processing: {default}.")
    if local.on:
        parts += ["On:", block(local.on)]
    if local.off:
        parts += ["Off:", block(local.off)]
    parts.append(ACCOUNTS[vendor.accounts])
    if vendor.account_pages:
        parts.append(f"Kept apart on its web page: {codes(vendor.account_pages)}")
    parts += by_models(
        "Kept apart in its configuration file", vendor.account_parameters
    )
    if vendor.codes:
        parts.append(f"Leave empty: {codes(vendor.codes)}")
    if vendor.action_urls:
        parts.append(f"Action URLs: {codes(vendor.action_urls)}")
    if vendor.notes:
        parts.append("\n".join(f"- {note}" for note in vendor.notes))
    parts.append(f"Sources: {'; '.join(vendor.sources)}.")
    parts += by_models("To report its calls", vendor.calls)
    if vendor.call_notes:
        parts.append("\n".join(f"- {note}" for note in vendor.call_notes))
    if vendor.call_sources:
        parts.append(f"Sources of that: {'; '.join(vendor.call_sources)}.")
    return "\n\n".join(parts)


def proxy_section(vendor: Vendor) -> str:
    """Return a vendor's part of docs/in-front-of-a-pbx.md."""
    if not vendor.outbound_proxy:
        return f"### {vendor.name}\n\nOutbound proxy and second way: not documented."
    parts = [f"### {vendor.name}"]
    parts += by_models("Outbound proxy", vendor.outbound_proxy)
    parts += by_models("Second way", vendor.second_way)
    if not vendor.second_way:
        parts.append("Second way: not documented.")
    if vendor.proxy_notes:
        parts.append("\n".join(f"- {note}" for note in vendor.proxy_notes))
    parts.append(f"Sources: {'; '.join(vendor.proxy_sources)}.")
    return "\n\n".join(parts)


def test_documentation_of_outbound_proxies_has_the_same() -> None:
    """Vendor by vendor, and no others."""
    documented = IN_FRONT.read_text().split(MARK)[1].strip()

    expected = "\n\n".join(proxy_section(vendor) for vendor in VENDORS.values())
    assert documented.splitlines() == expected.splitlines()


@pytest.mark.parametrize("key", VENDORS)
def test_every_source_of_an_outbound_proxy_is_named(key: str) -> None:
    """A setting that comes from nowhere is a guess."""
    vendor = VENDORS[key]
    assert bool(vendor.outbound_proxy) == bool(vendor.proxy_sources)
    assert vendor.outbound_proxy or not vendor.second_way


def test_documentation_has_the_same() -> None:
    """Vendor by vendor, and no others."""
    documented = PHONES.read_text().split(MARK)[1].strip()

    expected = "\n\n".join(section(vendor) for vendor in VENDORS.values())
    assert documented.splitlines() == expected.splitlines()


@pytest.mark.parametrize("key", VENDORS)
def test_every_source_is_named(key: str) -> None:
    """A setting that comes from nowhere is a guess."""
    assert VENDORS[key].sources


@pytest.mark.parametrize("key", VENDORS)
def test_every_source_of_how_calls_are_reported_is_named(key: str) -> None:
    """A variable that no document has is not put into an address."""
    vendor = VENDORS[key]
    assert bool(vendor.calls) == bool(vendor.call_sources)
    assert vendor.calls or not vendor.call_notes


@pytest.mark.parametrize("key", [key for key in VENDORS if VENDORS[key].calls])
def test_what_a_phone_is_told_to_report_is_understood(key: str) -> None:
    """Each of its events, and its variables are in fields that are read."""
    for lines in VENDORS[key].calls.values():
        urls = [line for line in lines if f"{WEBHOOK}?" in line]
        assert urls or "telNotification" in lines[0]
        for url in urls:
            query = url.partition("?")[2]
            assert read_query(query) is not None, url
            fields = {item.partition("=")[0] for item in query.split("&")}
            assert fields <= {"event", "call", "number", "name"}


@pytest.mark.parametrize("key", VENDORS)
def test_a_phone_without_a_setting_has_something_else(key: str) -> None:
    """A vendor without any advice would leave the user alone."""
    vendor = VENDORS[key]
    assert vendor.synchronizes or vendor.notes


@pytest.mark.parametrize("key", VENDORS)
def test_whether_a_phone_keeps_ringing_follows_from_local_processing(key: str) -> None:
    """And is not known where that is not."""
    local = VENDORS[key].local
    known = {True: False, False: True, None: None}
    assert local.keeps_ringing is known[local.default]


@pytest.mark.parametrize("key", VENDORS)
def test_accounts_that_can_be_kept_apart_have_a_setting_for_it(key: str) -> None:
    """And no others have one."""
    vendor = VENDORS[key]
    settings = (*vendor.account_pages, *vendor.account_parameters)
    assert bool(settings) is (vendor.accounts is Accounts.SHARED)


@pytest.mark.parametrize("key", VENDORS)
def test_what_settings_are_for_can_be_translated(key: str) -> None:
    """It is a list of models, or one of the scopes."""
    vendor = VENDORS[key]
    for settings in (
        *(vendor.parameters, vendor.account_parameters, vendor.calls),
        *(vendor.outbound_proxy, vendor.second_way),
    ):
        for models in settings:
            words = models.replace(",", " ").split()
            assert isinstance(models, Scope) or not any(map(str.islower, words))


def test_keys_of_lines_that_are_stored_stay() -> None:
    """Those of the versions before."""
    assert {
        "cisco",
        "fanvil",
        "flyingvoice",
        "gigaset",
        "grandstream",
        "mitel",
        "obihai",
        "panasonic",
        "poly",
        "vtech",
        "yealink",
    } <= set(VENDORS)


@pytest.mark.parametrize(
    ("user_agent", "vendor"),
    [
        ("Yealink SIP-T46U 108.86.0.20", "yealink"),
        ("PolycomVVX-VVX_411-UA/5.9.5.0614", "poly"),
        ("PolyEdge-Edge_E350-UA/8.1.0", "poly"),
        ("OBIHAI/OBi1062-5.1.11", "obihai"),
        ("Grandstream GXP2170 1.0.11.3", "grandstream"),
        ("Cisco/SPA504G-7.6.2", "cisco"),
        ("Linksys/SPA942-6.1.5(a)", "cisco"),
        ("Cisco-CP-8841-3PCC/11.3.1", "cisco"),
        ("Cisco-ATA191-MPP/11.2.3", "cisco"),
        ("Cisco-CP7975G/9.4.2", "cisco_enterprise"),
        ("Cisco-CP8841/12.5.1", "cisco_enterprise"),
        ("Panasonic-KX-HDV230/08.101", "panasonic"),
        ("Fanvil X4 2.10.1", "fanvil"),
        ("Vtech VSP736A", "vtech"),
        ("Vtech Vesa VSP735 36.185", "vtech"),
        ("Aastra 6867i/4.2.0", "mitel"),
        ("Mitel-6867i/5.1.0", "mitel"),
        ("Mitel 6930/6.4.0.132", "mitel"),
        ("N670 IP PRO/83.V2.39", "gigaset"),
        ("Gigaset N870 IP PRO/83.V2.11.0", "gigaset"),
        ("FLYINGVOICE FIP11C V0.7", "flyingvoice"),
        ("snomD785/10.1.54", "snom"),
        ("Htek UC926 2.0.4.2", "htek"),
        ("Akuvox R20B 220.30.2.28", "akuvox"),
        ("Zoiper rv2.10", OTHER),
        ("", OTHER),
        (None, OTHER),
    ],
)
def test_phones_are_recognized(user_agent: str | None, vendor: str) -> None:
    """By what they call themselves."""
    assert vendor_of(user_agent) == vendor
