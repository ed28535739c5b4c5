"""*Test with a call*: whether the calls of a line come through here, and what a 302 does.

The user calls the line while the form waits. What came of it is said in the words with
which Home Assistant ends the flow.
"""

import asyncio
from typing import Any, Final, override

from homeassistant.config_entries import ConfigSubentryFlow, SubentryFlowResult
from homeassistant.core import callback
from homeassistant.helpers.selector import (
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
import voluptuous as vol

from .const import CONF_PBX, CONF_USER, PBX_HELP_URL
from .features.call_test import CallTestResult, await_call
from .features.calls import plain_number, user_of_target
from .features.targets import dialable
from .forms import Errors, filled
from .listener import DfksListener, running_listener
from .settings import pbx_subentries

CONF_TARGET: Final = "target"


class LineTestSteps(ConfigSubentryFlow):
    """The steps of the test in the flow that changes a line at a PBX."""

    _target = ""
    _test: asyncio.Task[CallTestResult] | None = None

    async def async_step_test(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the number that the call is to be forwarded to, if for any."""
        errors: Errors = {}
        listener = running_listener(self._get_entry())
        if listener is None:
            return self.async_abort(reason="not_running")
        if user_input is not None:
            target = dialable(user_input.get(CONF_TARGET, ""))
            if target is None:
                errors = {CONF_TARGET: "invalid_target"}
            elif self._is_own(target, listener):
                errors = {CONF_TARGET: "cannot_forward_to_line"}
            else:
                self._target = target
                return await self.async_step_test_call()
        data = self._get_reconfigure_subentry().data
        users = {
            binding.user
            for binding in listener.passed_phones.at(data[CONF_PBX])
            if binding.user != data[CONF_USER]
        }
        selector = SelectSelector(
            SelectSelectorConfig(
                options=sorted(users),
                custom_value=True,
                mode=SelectSelectorMode.DROPDOWN,
            )
        )
        schema = vol.Schema({vol.Optional(CONF_TARGET): selector})
        return self.async_show_form(
            step_id="test",
            data_schema=filled(self, schema, user_input or {}),
            errors=errors,
            description_placeholders=self._words(),
        )

    async def async_step_test_call(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Wait for the call."""
        if self._test is None:
            listener = running_listener(self._get_entry())
            if listener is None:
                return self.async_abort(reason="not_running")
            data = self._get_reconfigure_subentry().data
            self._test = self.hass.async_create_task(
                await_call(
                    listener.server,
                    data[CONF_PBX],
                    data[CONF_USER],
                    self._target or None,
                ),
                "dfks test call",
                eager_start=True,
            )
        if not self._test.done():
            return self.async_show_progress(
                step_id="test_call",
                progress_action="waiting_for_call",
                progress_task=self._test,
                description_placeholders=self._words(),
            )
        return self.async_show_progress_done(next_step_id="test_result")

    async def async_step_test_result(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Say what the call has shown."""
        assert self._test is not None
        return self.async_abort(
            reason=f"test_{self._test.result().value}",
            description_placeholders=self._words(),
        )

    def _is_own(self, target: str, listener: DfksListener) -> bool:
        """Whether a call would come back to the line, and be forwarded again."""
        data = self._get_reconfigure_subentry().data
        pbx, user = data[CONF_PBX], data[CONF_USER]
        domains = {phone.domain for phone in listener.passed_phones.of_line(pbx, user)}
        return plain_number(user) in {
            user_of_target(target, domain) for domain in domains or {""}
        }

    def _words(self) -> dict[str, str]:
        entry, data = self._get_entry(), self._get_reconfigure_subentry().data
        pbx = pbx_subentries(entry).get(data[CONF_PBX])
        return {
            "user": data[CONF_USER],
            "target": self._target or "–",
            "pbx": pbx.title if pbx is not None else "–",
            "help_url": PBX_HELP_URL,
        }

    @override
    @callback
    def async_remove(self) -> None:
        """Wait for no call any more."""
        if self._test is not None:
            self._test.cancel()
