"""Tries whether a line at a PBX can be followed, before it is stored."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
import uuid

from ..features.follow import PACKAGE
from ..pbx.certificates import tls_of
from ..sip import (
    CertificateProblem,
    Contacts,
    RemoteLine,
    SipServer,
    SubscriberConfig,
    SubscriptionStatus,
)

# Seconds for the first NOTIFY, and for a goodbye.
PATIENCE: Final = 12.0
GOODBYE: Final = 3.0

# What a PBX says that will not be otherwise a moment later.
_FINAL: Final = frozenset(SubscriptionStatus) - {
    SubscriptionStatus.WAITING,
    SubscriptionStatus.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a PBX has said to a line.

    status    how far the subscription has come
    code      the answer that led to it, 0 without one
    refused   why the PBX was not connected to, where that is its certificate
    replaced  whether the registration has thrown another phone out
    """

    status: SubscriptionStatus
    code: int = 0
    refused: CertificateProblem | None = None
    replaced: bool = False


class _Events:
    """Wakes whoever waits."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def notified(self, content_type: str, body: bytes) -> None:
        """Take a NOTIFY: its status is told too."""

    def status_changed(self) -> None:
        """Wake whoever waits."""
        self.told.set()


class Trial:
    """Tries one line at the server that is to follow it."""

    def __init__(self, server: SipServer, config: SubscriberConfig) -> None:
        """Nothing is sent yet."""
        self._server = server
        # Another one of the same line may be followed already.
        self._config = replace(config, id=f"trial-{uuid.uuid4().hex}")
        self._events = _Events()

    async def async_contacts(self) -> Contacts | TrialResult:
        """Return what is registered for the line, None where the PBX does not say.

        A result is why nothing more is to be tried: the PBX does not answer, or does
        not take the login.
        """
        remote = self._add(begin=False)
        try:
            found = await _contacts(remote)
            if found is None:
                return TrialResult(SubscriptionStatus.UNREACHABLE)
            status = remote.subscriber.status
            return TrialResult(status) if status in _FINAL else found[0]
        finally:
            await self._leave()

    async def async_run(self, before: Contacts = None) -> TrialResult:
        """Register where that is asked for, subscribe, and wait for the first NOTIFY.

        `before` is what was registered before: it has to be there afterwards.
        """
        remote = self._add()
        subscriber = remote.subscriber
        try:
            try:
                async with asyncio.timeout(PATIENCE):
                    while (
                        subscriber.status not in _FINAL
                        and remote.certificate_problem is None
                    ):
                        self._events.told.clear()
                        await self._events.told.wait()
            except TimeoutError:
                return TrialResult(
                    SubscriptionStatus.UNREACHABLE, 0, remote.certificate_problem
                )
            replaced = False
            if before and subscriber.active:
                answer = await _contacts(remote)
                after = None if answer is None else answer[0]
                replaced = after is not None and not set(before) <= set(after)
            return TrialResult(
                subscriber.status,
                subscriber.code,
                remote.certificate_problem,
                replaced,
            )
        finally:
            await self._leave()

    def _add(self, *, begin: bool = True) -> RemoteLine:
        return self._server.following.add(
            self._config,
            PACKAGE,
            self._events,
            tls_of(self._config.transport),
            begin=begin,
        )

    async def _leave(self) -> None:
        """Say goodbye, and wait for it: what follows the line comes after that."""
        await _called(
            lambda done: self._server.following.remove(self._config.id, done), GOODBYE
        )


async def _contacts(remote: RemoteLine) -> list[Contacts] | None:
    """Return what the PBX says is registered, None where it does not answer."""
    found: list[Contacts] = []

    def ask(done: Callable[[], None]) -> None:
        def take(contacts: Contacts) -> None:
            found.append(contacts)
            done()

        remote.fetch_contacts(take)

    await _called(ask, PATIENCE)
    return found or None


async def _called(start: Callable[[Callable[[], None]], None], seconds: float) -> None:
    """Wait until what was started calls back, for some seconds at most."""
    event = asyncio.Event()
    start(event.set)
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
