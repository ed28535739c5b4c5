"""What is known of a vendor's phones.

Names and values stand as they are found on the phone, so nothing in here is translated.
X, x, n and N stand for the number of the phone's account, HOME_ASSISTANT and PBX for
addresses, MAC for the phone's own. What no document and no template says is left out:
it is not documented.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What settings are for, where that is no list of models: it is translated."""

    ALL_ACCOUNTS = "all accounts"
    ONE_ACCOUNT = "one account"
    ONE_ACCOUNT_NEW = "one account, firmware 84 or newer"
    ONE_ACCOUNT_CUSTOM = "DND of one account, in custom mode"
    OLD_FIRMWARE = "firmware 80 or older"
    XML_FILE = "in XML"
    TEXT_FILE = "in text"


# Settings by the models that have them, or by scope; the empty name stands for all.
Settings = Mapping[str, tuple[str, ...]]

# Stands for the address that a phone reports its calls to.
WEBHOOK: Final = "WEBHOOK"


def action_urls(
    query: str, events: Mapping[str, str], between: str = "="
) -> tuple[str, ...]:
    """Return the settings of a phone that reports its calls, an event each.

    `query` has the phone's variables (`features.reported_calls` has the fields),
    `between` stands between the name of a setting and its value.
    """
    return tuple(
        f"{setting}{between}{WEBHOOK}?event={event}{query}"
        for setting, event in events.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProcessing:
    """Whether a phone that synchronizes rejects and forwards calls by itself as well.

    Attributes:
        default: whether it does as it comes; None where that is not documented.
        on: the settings that let it.
        off: the settings that leave all to the server.

    """

    default: bool | None = None
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    @property
    def keeps_ringing(self) -> bool | None:
        """Whether the phone rings in spite of its DND, as it comes, unless a server acts.

        None where that is not documented.
        """
        return None if self.default is None else not self.default


class Accounts(StrEnum):
    """What a key does on a phone that has a second account."""

    # It counts for all accounts of the phone, unless they are kept apart.
    SHARED = "shared"
    # The same, and no setting keeps them apart.
    INSEPARABLE = "inseparable"
    # Synchronization is a setting of each account.
    SEPARATE = "separate"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFile:
    """How the file with the settings gets into the phone, by one of three ways.

    Attributes:
        page: where the phone's web page takes it.
        name: what it is called on the server from which the phone fetches it.
        address: what is opened in a browser so that the phone fetches it.
        first_line: what it has to begin with, if anything.
        source: the document that says so.

    """

    page: str = ""
    name: str = ""
    address: str = ""
    first_line: str = ""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What is known of a vendor's phones.

    Attributes:
        name: what the vendor is called, with the models where it has several kinds.
        families: the models that this holds for.
        user_agents: how the phones' User-Agent starts, in small letters.
        pages: where the synchronization is turned on, on the phone's web page, with
            the value.
        parameters: the same in the phone's configuration file.
        file: how that file gets into the phone; None where it is not documented.
        local: whether the phone acts by itself.
        accounts: what a key does on a phone that has a second account.
        account_pages: what keeps two accounts apart, on the phone's web page.
        account_parameters: the same in the phone's configuration file.
        codes: the feature codes that must be empty: a phone that has them dials them.
        action_urls: what the phone can call when its state changes, where it is not
            known to synchronize it, or not for all features.
        outbound_proxy: where the address of an outbound proxy goes.
        second_way: how a phone is told to go to its PBX while the outbound proxy does
            not answer.
        proxy_notes: what else there is to mind then, in English.
        proxy_sources: the documents and templates that have these.
        calls: the settings with which a phone reports its calls, in which WEBHOOK
            stands for the address; none where its variables are not documented.
        call_notes: what else there is to mind then, in English.
        call_sources: the documents that have these.
        notes: what else there is to mind, in English.
        sources: the documents, and the public provisioning templates.

    """

    name: str
    families: tuple[str, ...] = ()
    user_agents: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    parameters: Settings = field(default_factory=dict)
    file: ConfigurationFile | None = None
    local: LocalProcessing = LocalProcessing()
    accounts: Accounts = Accounts.UNKNOWN
    account_pages: tuple[str, ...] = ()
    account_parameters: Settings = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    action_urls: tuple[str, ...] = ()
    outbound_proxy: Settings = field(default_factory=dict)
    second_way: Settings = field(default_factory=dict)
    proxy_notes: tuple[str, ...] = ()
    proxy_sources: tuple[str, ...] = ()
    calls: Settings = field(default_factory=dict)
    call_notes: tuple[str, ...] = ()
    call_sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def synchronizes(self) -> bool:
        """Whether there is a setting for it."""
        return bool(self.pages or self.parameters)
