"""The vendors' settings, and that the documentation has the same."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from custom_components.dfks.phones.vendors import (
    OTHER,
    VENDORS,
    Acting,
    Vendor,
    vendor_of,
)

PHONES = Path(__file__).parents[2] / "docs" / "phones.md"

ACTING = {
    Acting.SERVER: "no, server only",
    Acting.UNKNOWN: "not documented",
}


def listed(settings: Iterable[str], models: str = "") -> str:
    """Return settings as a cell of the table holds them."""
    shown = "<br>".join(f"`{setting}`" for setting in settings) or "-"
    return f"{models}: {shown}" if models else shown


def row(vendor: Vendor) -> str:
    """Return a vendor's row of the table in docs/phones.md."""
    parameters = "<br>".join(
        listed(settings, models) for models, settings in vendor.parameters.items()
    )
    acting = ACTING.get(vendor.acting) or listed(vendor.local_processing)
    return f"| {vendor.name} | {listed(vendor.pages)} | {parameters} | {acting} |"


def source(vendor: Vendor) -> str:
    """Return the line in docs/phones.md that says where a vendor's settings are from."""
    return f"- {vendor.name}: {vendor.source}."


def test_documentation_has_the_same_settings() -> None:
    """Row by row, and no others."""
    table = PHONES.read_text().split("<!-- vendors.py -->\n")[1].strip().splitlines()

    assert table[2:] == [row(vendor) for vendor in VENDORS.values()]


def test_documentation_names_the_sources() -> None:
    """Those that there are."""
    sources = PHONES.read_text().split("<!-- sources of vendors.py -->\n")[1].strip()

    assert sources.splitlines() == [
        source(vendor) for vendor in VENDORS.values() if vendor.source
    ]


@pytest.mark.parametrize("key", VENDORS)
def test_settings_are_there(key: str) -> None:
    """A vendor without any would leave the user without advice."""
    vendor = VENDORS[key]
    assert vendor.parameters
    assert bool(vendor.local_processing) == (vendor.acting is Acting.CHOICE)


@pytest.mark.parametrize(
    ("user_agent", "vendor"),
    [
        ("Yealink SIP-T46U 108.86.0.20", "yealink"),
        ("PolycomVVX-VVX_411-UA/5.9.5.0614", "poly"),
        ("PolyEdge-Edge_E350-UA/8.1.0", "poly"),
        ("OBIHAI/OBi1062-5.1.11", "obihai"),
        ("Grandstream GXP2170 1.0.11.3", "grandstream"),
        ("Cisco/SPA504G-7.6.2", "cisco"),
        ("Cisco-CP-8841-3PCC/11.3.1", "cisco"),
        ("Panasonic-KX-HDV230/08.101", "panasonic"),
        ("Fanvil X4 2.10.1", "fanvil"),
        ("Vtech VSP736A", "vtech"),
        ("Aastra 6867i/4.2.0", "mitel"),
        ("Mitel-6867i/5.1.0", "mitel"),
        ("N670 IP PRO/83.V2.39", "gigaset"),
        ("FLYINGVOICE FIP11C V0.7", "flyingvoice"),
        ("snomD785/10.1.54", OTHER),
        ("", OTHER),
        (None, OTHER),
    ],
)
def test_phones_are_recognized(user_agent: str | None, vendor: str) -> None:
    """By what they call themselves."""
    assert vendor_of(user_agent) == vendor
