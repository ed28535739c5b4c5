"""What outlives the process: written and taken back in slices.

A record that is no good is left out; nothing of an earlier run keeps the server from
starting.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
import contextlib
import logging

from .access.accounts import Account, Accounts
from .access.guard import Guard
from .proxy.location import ProxyBindingRecord
from .snapshot import Snapshot, flow_ends
from .transport.flow import Flow, FlowError
from .ua.dialog import EventPackage
from .ua.registrar import Registrar
from .ua.restoring import DialogMemory

_LOGGER = logging.getLogger(__name__)

# Records written or taken back before other callbacks of the loop get their turn.
MEMORY_SLICE = 100

type FlowOf = Callable[[str, tuple[str, int], tuple[str, int]], Flow]


class Remembering:
    """Writes down dialogs and bindings, and takes them back."""

    def __init__(
        self,
        accounts: Accounts,
        registrar: Registrar,
        dialogs: DialogMemory,
        guard: Guard,
        packages: Mapping[str, EventPackage],
        flow_of: FlowOf,
    ) -> None:
        """Find flows of an earlier run with `flow_of`, which raises FlowError."""
        self._accounts = accounts
        self._registrar = registrar
        self._dialogs = dialogs
        self._guard = guard
        self._packages = packages
        self._flow_of = flow_of

    async def records(self) -> Snapshot:
        """Return what is to be remembered, without holding the event loop."""
        memory = Snapshot(dialogs=[], bindings=[])
        async for dialog in _in_slices(self._dialogs.records()):
            memory["dialogs"].append(dialog)
        async for account in _in_slices(self._accounts):
            memory["bindings"].extend(self._registrar.records(account))
        return memory

    async def restore(self, memory: Snapshot, grace: float) -> None:
        """Take back dialogs and bindings; a record that is no good is left out."""
        accounts = {account.id: account for account in self._accounts}
        flow_of = self._flow_of
        async for dialog in _in_slices(memory["dialogs"]):
            with _skipping():
                flow = flow_of(*flow_ends(dialog["flow"]))
                self._dialogs.restore(dialog, flow, accounts, self._packages, grace)
                for subscription in dialog["subscriptions"]:
                    self._remember_source(accounts.get(subscription["line"]), flow)
        async for binding in _in_slices(memory["bindings"]):
            account = accounts.get(binding["line"])
            if account is None:
                continue
            with _skipping():
                flow = flow_of(*flow_ends(binding["flow"]))
                self._registrar.restore(account, binding, flow, grace)
                self._remember_source(account, flow)

    def _remember_source(self, account: Account | None, flow: Flow) -> None:
        """Know where a phone of an earlier run has logged in."""
        if account is not None and account.pbx is not None:
            self._guard.mark_authenticated(flow.remote[0])
        elif account is not None:
            source = self._guard.succeeded(flow.remote[0], account.username)
            account.add_source(source)

    @staticmethod
    def restore_passed(
        records: Sequence[ProxyBindingRecord],
        restore: Callable[[ProxyBindingRecord], None],
    ) -> None:
        """Take back what phones have registered at PBXs."""
        for record in records:
            with _skipping():
                restore(record)


async def _in_slices[T](items: Iterable[T]) -> AsyncIterator[T]:
    """Iterate over items, and give the event loop its turn after each slice of them."""
    for count, item in enumerate(items):
        yield item
        if not count % MEMORY_SLICE:
            await asyncio.sleep(0)


@contextlib.contextmanager
def _skipping() -> Iterator[None]:
    """Leave out a record of an earlier run that cannot be understood."""
    try:
        yield
    except (FlowError, KeyError, TypeError, ValueError) as err:
        _LOGGER.warning("A remembered phone is left out: %s", err)
