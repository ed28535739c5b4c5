"""What a phone is, by its User-Agent: manufacturer, model and firmware."""

import re
from typing import Final, NamedTuple

from .unknown import shown_user_agent
from .vendors import vendor_of

# A MAC address at the end, which some phones add.
_MAC: Final = re.compile(r"[ ;_]+(?:[0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}$")

# Where the firmware begins: "Yealink SIP-T54W 96.86.0.70", "snom320/8.7.5.35",
# "Cisco/SPA504G-7.6.2c", "Htek UC924E V3.0.4.5", "snom821/873_19_20130321".
_FIRMWARE: Final = re.compile(r"(?P<name>.+?)[ /-]+[Vv]?(?P<firmware>\d+[._]\S+)")

# What stands in front of the model, and behind it.
_MAKER: Final = re.compile(r"^(?:snom|[A-Za-z]+[ /_-]+)(?=.)", re.IGNORECASE)
_KIND: Final = re.compile(r"-(?:UA|SIP)$")

# The names of manufacturers by the keys of vendors, whose names list families too.
_MANUFACTURERS: Final = {
    "akuvox": "Akuvox",
    "cisco": "Cisco",
    "cisco_enterprise": "Cisco",
    "fanvil": "Fanvil",
    "flyingvoice": "Flyingvoice",
    "gigaset": "Gigaset",
    "grandstream": "Grandstream",
    "htek": "Htek",
    "mitel": "Mitel",
    "obihai": "Obihai",
    "panasonic": "Panasonic",
    "poly": "Poly",
    "snom": "Snom",
    "vtech": "VTech",
    "yealink": "Yealink",
}


class PhoneDescription(NamedTuple):
    """What a phone says of itself."""

    manufacturer: str | None
    model: str | None
    firmware: str | None


def describe(user_agent: str | None) -> PhoneDescription | None:
    """Return what a User-Agent says, None where it says nothing.

    One that is not known of any vendor is the model as it stands.
    """
    name = _MAC.sub("", shown_user_agent(user_agent))
    if not name:
        return None
    firmware = None
    if (found := _FIRMWARE.fullmatch(name)) is not None:
        name, firmware = found["name"], found["firmware"]
    manufacturer = _MANUFACTURERS.get(vendor_of(user_agent))
    if manufacturer is not None:
        name = _KIND.sub("", _MAKER.sub("", name)).replace("_", " ")
    return PhoneDescription(manufacturer, name or None, firmware)
