"""What helps to set a phone up: proposals, unknown phones, and what to type into it."""

import logging
from typing import Any

from homeassistant.components.frontend.storage import async_user_store
from homeassistant.config_entries import SubentryFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
from homeassistant.helpers.selector import SelectSelector, TextSelector
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockUser  # type: ignore[import-untyped]
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator  # type: ignore[import-untyped]

from custom_components.dfks.const import PBX_URL
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.monitor import SyncStatus
from custom_components.dfks.phones.provisioning import async_phone_settings
from custom_components.dfks.phones.vendors import VENDORS
from tests.clock import ManualClock

from .common import (
    LOCALHOST,
    RECEPTION,
    RECEPTION_DATA,
    SYNC_STATUS,
    YEALINK,
    MockConfigEntry,
    listener_entry,
    reception_form,
    runtime,
    set_up,
    state_of,
)
from .conftest import Plug, try_to_register
from .forms import (
    add_gate,
    field,
    fields,
    gate_form,
    placeholders,
    show_line_form,
    submit,
    suggested,
)
from .pbx import PBX, store_pbx
from .test_files import ENGLISH

COMMON: dict[str, str] = ENGLISH["common"]
GO_TO_PBX = COMMON["page_go_to_pbx"].format(pbx_url=PBX_URL)

# What can be said of whether a phone keeps ringing.
RINGING = (
    "page_acts",
    "page_choice",
    "page_server_only",
    "page_not_documented",
    "page_treated",
)


def offered(result: SubentryFlowResult) -> list[Any]:
    """Return the phones that the field of the user offers."""
    user = field(result, "user")
    assert isinstance(user, SelectSelector)
    return list(user.config["options"])


def said(advice: str) -> list[str]:
    """Return which of the texts of whether the phone keeps ringing are there."""
    return [key for key in RINGING if COMMON[key].split("{")[0] in advice]


class TestPassword:
    """The password that Add line proposes."""

    async def test_is_seen_and_typed_without_doubt(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Sixteen characters that look like no other."""
        shown = await show_line_form(hass, entry)

        password = suggested(shown)["password"]
        assert len(password) == 16
        assert not set(password) - set("acdefhkmnprtuwxy347")
        assert field(shown, "password").config.get("type") != "password"

    async def test_is_another_each_time(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Nobody knows it from elsewhere."""
        shown = [await show_line_form(hass, entry) for _ in range(5)]

        assert len({suggested(form)["password"] for form in shown}) == 5

    async def test_stays_when_something_else_is_wrong(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """It may have been typed into the phone already."""
        shown = await show_line_form(hass, entry)
        password = suggested(shown)["password"]
        form = gate_form(user="2 03", password=password)
        shown = await submit(hass, shown, form)

        assert shown["errors"] == {"user": "invalid_user"}
        assert suggested(shown)["password"] == password
        assert field(shown, "password").config.get("type") != "password"


class TestLastPage:
    """What is shown when the line is stored."""

    async def test_says_what_to_type_into_the_phone(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        port: int,
    ) -> None:
        """All of it, and what the synchronization may be called."""
        result = await add_gate(hass, entry, auth_name="gate")

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert placeholders(result) == {
            "server": "`127.0.0.1`",
            "port": f"`{port}` (UDP, TCP)",
            "user": "`203`",
            "auth_name": "`gate`",
            "password": "`gate-203`",
            "settings": (
                "- `Feature Key Synchronization`\n"
                "- `Feature Sync`\n"
                "- `As-Feature-Event Subscription`"
            ),
            "advice": "\n\n".join(
                [
                    f"{COMMON['page_not_documented']} {GO_TO_PBX}",
                    COMMON["page_accounts_unknown"],
                ]
            ),
            "phones_url": (
                "https://github.com/ha-dfks/ha-dfks/blob/main/docs/phones.md"
            ),
        }

    async def test_has_the_settings_of_the_vendor(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Page, and parameters by model."""
        result = await add_gate(hass, entry, vendor="yealink")

        assert result["data"]["vendor"] == "yealink"
        assert placeholders(result)["settings"] == (
            "- `Features > General Information > Feature Key Synchronization`\n\n"
            "All accounts:\n"
            "```\n"
            "features.feature_key_sync.enable=1\n"
            "features.dnd.feature_key_sync.enable=1\n"
            "features.forward.feature_key_sync.enable=1\n"
            "```\n\n"
            "One account, firmware 84 or newer:\n"
            "```\n"
            "account.X.feature_key_sync.enable=1\n"
            "account.X.dnd.feature_key_sync.enable=1\n"
            "account.X.forward.feature_key_sync.enable=1\n"
            "```\n\n"
            "Firmware 80 or older:\n"
            "```\n"
            "bw.feature_key_sync=1\n"
            "```"
        )

    @pytest.mark.parametrize(
        ("vendor", "text", "words"),
        [
            ("poly", "page_acts", "rejects and forwards calls by itself"),
            ("yealink", "page_choice", "local_processing.enable=1"),
            ("cisco", "page_server_only", "in-front-of-a-pbx.md"),
            ("fanvil", "page_not_documented", "Try it"),
            ("other", "page_not_documented", "Try it"),
        ],
    )
    async def test_says_whether_the_phone_keeps_ringing_and_what_to_do(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
        text: str,
        words: str,
    ) -> None:
        """In one of four ways, by what is documented of its vendor."""
        result = await add_gate(hass, entry, vendor=vendor)

        advice = placeholders(result)["advice"]
        assert words in advice
        assert said(advice) == [text]

    @pytest.mark.parametrize(
        ("profile", "browser", "words"),
        [
            (None, "de", "Das Telefon weist Anrufe selbst ab"),
            (None, "de-CH,de;q=0.9,en;q=0.8", "Das Telefon weist Anrufe selbst ab"),
            (None, "it;q=0.5, fr-CA", "Le téléphone rejette et renvoie"),
            (None, "tlh, fr", "Le téléphone rejette et renvoie"),
            (None, "sv, de", "rejects and forwards calls by itself"),
            (None, "fr;q=x, nl", "De telefoon weigert gesprekken zelf"),
            (None, "", "El teléfono rechaza y desvía"),
            ("nl", "de", "De telefoon weigert gesprekken zelf"),
        ],
    )
    async def test_speaks_the_language_of_who_looks_at_it(
        self,
        hass: HomeAssistant,
        hass_client: ClientSessionGenerator,
        hass_admin_user: MockUser,
        entry: MockConfigEntry,
        listener: DfksListener,
        profile: str | None,
        browser: str,
        words: str,
    ) -> None:
        """As the page does: that of the profile, else the browser's, but not its own."""
        hass.config.language = "es"
        assert await async_setup_component(hass, "config", {})
        if profile is not None:
            store = await async_user_store(hass, hass_admin_user.id)
            await store.async_set_item("language", {"language": profile})
        client = await hass_client()
        flows = "/api/config/config_entries/subentries/flow"
        headers = {"Accept-Language": browser}

        async def send(path: str, content: dict[str, Any]) -> Any:
            response = await client.post(path, json=content, headers=headers)
            assert response.status == 200, await response.text()
            return await response.json()

        form = await send(flows, {"handler": [entry.entry_id, "line"]})
        gate = {"name": "Gate", "user": "203", "vendor": "poly"}
        result = await send(f"{flows}/{form['flow_id']}", gate)

        assert words in result["description_placeholders"]["advice"]

    async def test_speaks_home_assistants_language_where_nobody_has_asked(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """A flow can be started without a page."""
        hass.config.language = "de"
        await set_up(hass, entry)
        result = await add_gate(hass, entry, vendor="poly")

        assert "Das Telefon weist Anrufe selbst ab" in placeholders(result)["advice"]

    async def test_says_that_home_assistant_treats_the_calls(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Where it does, the phone need not."""
        line = {**RECEPTION_DATA, "vendor": "yealink", "treat_calls": True}
        settings = await async_phone_settings(hass, entry, line)

        assert said(settings["advice"]) == ["page_treated"]

    @pytest.mark.parametrize("vendor", ["cisco", "fanvil", "other"])
    async def test_says_what_to_do_where_the_phone_rings(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
    ) -> None:
        """An account at a PBX, or for one that has it, the treatment of calls."""
        line = {**RECEPTION_DATA, "vendor": vendor}
        here = await async_phone_settings(hass, entry, line)
        store_pbx(hass, entry)
        at_pbx = await async_phone_settings(hass, entry, {**line, "pbx": PBX})

        assert GO_TO_PBX in here["advice"]
        assert COMMON["page_treat_calls"] not in here["advice"]
        assert GO_TO_PBX not in at_pbx["advice"]
        assert COMMON["page_treat_calls"] in at_pbx["advice"]

    @pytest.mark.parametrize(
        ("vendor", "words"),
        [
            ("poly", "Utilities > Import & Export Configuration"),
            ("yealink", "`MAC.cfg`, from the server"),
            ("yealink", "Its first line has to be `#!version:1.0.0.1`."),
            ("cisco", "open `http://PHONE/admin/resync"),
            ("vtech", COMMON["page_file"]),
        ],
    )
    async def test_says_how_to_load_a_configuration_file(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
        words: str,
    ) -> None:
        """As the vendor does."""
        line = {**RECEPTION_DATA, "vendor": vendor}
        settings = await async_phone_settings(hass, entry, line)

        assert words in settings["advice"]

    async def test_says_nothing_of_files_where_nothing_goes_into_one(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """The web page has it all."""
        line = {**RECEPTION_DATA, "vendor": "mitel"}
        settings = await async_phone_settings(hass, entry, line)

        assert "grey box" not in settings["advice"]

    @pytest.mark.parametrize(
        ("vendor", "setting"),
        [
            ("yealink", "features.dnd_mode=1\nfeatures.fwd_mode=1"),
            ("yealink", "- `Features > Forward&DND > Mode: Custom`"),
            ("ale", "Halo:\n```\nDNDModeAccount=1"),
            ("fanvil", "DND type: Line"),
            ("mitel", "DND Key Mode: Account"),
        ],
    )
    async def test_says_what_keeps_two_accounts_of_a_phone_apart(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
        setting: str,
    ) -> None:
        """Or a PBX's account shows the state of this one."""
        line = {**RECEPTION_DATA, "vendor": vendor}
        settings = await async_phone_settings(hass, entry, line)

        assert "each account follows the other. These settings" in settings["advice"]
        assert setting in settings["advice"]

    @pytest.mark.parametrize(
        ("vendor", "text"),
        [
            ("poly", "page_accounts_inseparable"),
            ("grandstream", "page_accounts_separate"),
            ("htek", "page_accounts_unknown"),
        ],
    )
    async def test_says_what_two_accounts_do_that_nothing_keeps_apart(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
        text: str,
    ) -> None:
        """They follow each other, or are apart anyway, or nobody knows."""
        line = {**RECEPTION_DATA, "vendor": vendor}
        settings = await async_phone_settings(hass, entry, line)

        assert COMMON[text] in settings["advice"]

    async def test_says_nothing_of_two_accounts_where_there_is_one(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A phone at a PBX keeps its account there."""
        store_pbx(hass, entry)
        line = {**RECEPTION_DATA, "vendor": "yealink", "pbx": PBX}
        settings = await async_phone_settings(hass, entry, line)

        assert "a second account" not in settings["advice"]

    async def test_says_which_codes_must_be_empty(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """A phone that has them dials them."""
        result = await add_gate(hass, entry, vendor="vtech")

        assert placeholders(result)["advice"].endswith(
            "`access_code_dnd_on`, `access_code_dnd_off`"
        )

    async def test_guesses_nothing_that_is_not_documented(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """It says so."""
        result = await add_gate(hass, entry, vendor="snom")

        assert placeholders(result)["settings"] == COMMON["page_no_setting"]

    @pytest.mark.parametrize("vendor", VENDORS)
    async def test_has_something_for_every_vendor(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        vendor: str,
    ) -> None:
        """No empty place in the text."""
        result = await add_gate(hass, entry, vendor=vendor)

        words = placeholders(result).values()
        assert all(text.strip() for text in words)
        assert not any(sign in text for sign in "–≤≥" for text in words)

    @pytest.mark.parametrize(
        ("password", "shown"),
        [
            ("a*b_c<i>d|e", "`a*b_c<i>d|e`"),
            ("a`b", "``a`b``"),
            ("`a``b", "``` `a``b ```"),
            (" a ", "`  a  `"),
        ],
    )
    async def test_shows_what_was_typed_and_no_markup(
        self, hass: HomeAssistant, entry: MockConfigEntry, password: str, shown: str
    ) -> None:
        """A password may hold what has a meaning in Markdown."""
        line = {**RECEPTION_DATA, "password": password}
        settings = await async_phone_settings(hass, entry, line)

        assert settings["password"] == shown

    async def test_phone_is_let_in_while_it_is_shown(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Nobody has closed it."""
        shown = await show_line_form(hass, entry)
        form = gate_form(password=suggested(shown)["password"])
        await submit(hass, shown, form)

        phone = await plug(user="203", password=form["password"])
        assert (await phone.register()).status == 200
        assert (await phone.subscribe()).status == 200

    async def test_closing_it_keeps_the_line(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """Whether by its button or not, and once."""
        shown = await show_line_form(hass, entry)
        await submit(hass, shown, gate_form())
        with pytest.raises(UnknownFlow):
            hass.config_entries.subentries.async_abort(shown["flow_id"])
        with pytest.raises(UnknownFlow):
            await submit(hass, shown, gate_form())

        users = [line.data["user"] for line in entry.subentries.values()]
        assert users == ["201", "202", "203"]
        assert len(listener.sync.lines) == 3

    async def test_comes_again_when_the_line_is_changed(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """With the password that is stored, if it was left as it is."""
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        form = reception_form(vendor="poly")
        del form["password"]
        result = await submit(hass, shown, form)

        assert result["reason"] == "reconfigure_successful"
        assert placeholders(result)["password"] == "`reception-201`"
        assert "reg.x.serverFeatureControl.dnd" in placeholders(result)["settings"]

    async def test_password_reaches_no_log(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        plug: Plug,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Although it is shown."""
        caplog.set_level(logging.DEBUG)
        await set_up(hass, entry)
        shown = await show_line_form(hass, entry)
        password = suggested(shown)["password"]
        await submit(hass, shown, gate_form(password=password))
        phone = await plug(user="203", password=password)
        assert (await phone.register()).status == 200

        assert " REGISTER, line 203, " in caplog.text
        assert password not in caplog.text


class TestServer:
    """The address and the ports that the last page names."""

    @pytest.mark.parametrize(
        ("settings", "server", "port"),
        [
            # All addresses: those of the network that there is.
            ({"host": "0.0.0.0"}, "`10.10.10.10`", "`5070` (UDP, TCP)"),
            ({"host": "0.0.0.0, ::"}, "`10.10.10.10`", "`5070` (UDP, TCP)"),
            ({"host": "::"}, "`::`", "`5070` (UDP, TCP)"),
            # Phones do not reach the loopback of another machine.
            (
                {"host": "127.0.0.1, 192.0.2.1, 2001:db8::1"},
                "`192.0.2.1`, `2001:db8::1`",
                "`5070` (UDP, TCP)",
            ),
            ({"host": "127.0.0.1"}, "`127.0.0.1`", "`5070` (UDP, TCP)"),
            (
                {
                    "host": "0.0.0.0",
                    "advertised_host": "sip.example.com",
                    "advertised_port": 5080,
                },
                "`sip.example.com`",
                "`5080` (UDP, TCP)",
            ),
            (
                {"host": "192.0.2.1", "tls": {"port": 5061}},
                "`192.0.2.1`",
                "`5070` (UDP, TCP), `5061` (TLS)",
            ),
        ],
    )
    async def test_is_where_phones_reach_the_listener(
        self, hass: HomeAssistant, settings: dict[str, Any], server: str, port: str
    ) -> None:
        """What it advertises, else its own addresses, else those of the machine."""
        entry = listener_entry(5070, (), settings=settings)
        words = await async_phone_settings(hass, entry, RECEPTION_DATA)

        assert (words["server"], words["port"]) == (server, port)


class TestUnknownPhones:
    """Phones that tried to register, and are not known."""

    async def test_none_leave_a_plain_field(
        self, hass: HomeAssistant, entry: MockConfigEntry, listener: DfksListener
    ) -> None:
        """There is nothing to choose from."""
        shown = await show_line_form(hass, entry)

        assert isinstance(field(shown, "user"), TextSelector)

    async def test_are_offered(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """The last first, and none of them is chosen already."""
        await try_to_register(plug, "300", YEALINK)
        await try_to_register(plug, "301", "")
        shown = await show_line_form(hass, entry)

        assert offered(shown) == [
            {"value": "301", "label": "301 (127.0.0.1)"},
            {"value": "300", "label": f"300 (127.0.0.1, {YEALINK})"},
        ]
        assert suggested(shown)["user"] == ""

    async def test_choosing_one_fills_in_user_and_vendor(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """And it is offered no more."""
        await try_to_register(plug, "300", YEALINK)
        result = await add_gate(hass, entry, user="300")

        assert result["data"]["user"] == "300"
        assert result["data"]["vendor"] == "yealink"
        assert "features.dnd_mode" in placeholders(result)["advice"]
        shown = await show_line_form(hass, entry)
        assert isinstance(field(shown, "user"), TextSelector)

    async def test_the_vendor_that_is_chosen_counts(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """More than what the phone says."""
        await try_to_register(plug, "300", YEALINK)
        result = await add_gate(hass, entry, user="300", vendor="poly")

        assert result["data"]["vendor"] == "poly"

    async def test_another_user_can_be_typed(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """The phone of the line need not be there yet."""
        await try_to_register(plug, "300")
        result = await add_gate(hass, entry, user="203")

        assert result["data"]["user"] == "203"
        assert "vendor" not in result["data"]
        assert len(offered(await show_line_form(hass, entry))) == 1

    async def test_known_users_are_left_out(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Their password is wrong, which their line's sync status says."""
        await try_to_register(plug, "201")
        shown = await show_line_form(hass, entry)

        assert isinstance(field(shown, "user"), TextSelector)

    async def test_have_no_say_in_how_they_are_shown(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Control characters and those that turn the writing are gone."""
        await try_to_register(plug, "300", f"Desk\u202e\x07{'x' * 200}")
        (label,) = [
            option["label"] for option in offered(await show_line_form(hass, entry))
        ]

        assert label == f"300 (127.0.0.1, Desk{'x' * 76})"

    async def test_many_do_not_fill_the_form(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """One address may be five phones."""
        for number in range(300, 310):
            await try_to_register(plug, str(number))

        users = [
            option["value"] for option in offered(await show_line_form(hass, entry))
        ]
        assert users == ["309", "308", "307", "306", "305"]

    async def test_without_an_answer_to_the_challenge_is_none(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """The address of such a request may be made up."""
        phone = await plug(user="300")
        assert (await phone.register(authenticate=False)).status == 401

        shown = await show_line_form(hass, entry)
        assert isinstance(field(shown, "user"), TextSelector)

    async def test_of_an_unknown_vendor_leave_it_open(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """The page says what the synchronization may be called."""
        await try_to_register(plug, "300", "Desk/1.0")
        result = await add_gate(hass, entry, user="300")

        assert "vendor" not in result["data"]
        assert "`Feature Sync`" in placeholders(result)["settings"]

    async def test_are_not_known_while_the_listener_does_not_run(
        self, hass: HomeAssistant, entry: MockConfigEntry
    ) -> None:
        """A line can be added all the same."""
        entry.add_to_hass(hass)
        result = await add_gate(hass, entry)

        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert placeholders(result)["server"] == f"`{LOCALHOST}`"


class TestReconfigure:
    """What Reconfigure says of the line's phone."""

    async def test_vendor_is_what_the_phone_says(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """Unless another was chosen, which is shown again."""
        phone = await plug(user_agent=YEALINK)
        await phone.register()
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        assert suggested(shown)["vendor"] == "yealink"

        await submit(hass, shown, reception_form(vendor="poly"))
        assert entry.subentries[RECEPTION].data["vendor"] == "poly"
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        assert suggested(shown)["vendor"] == "poly"

        await submit(hass, shown, reception_form(vendor="other"))
        assert entry.subentries[RECEPTION].data == RECEPTION_DATA

    async def test_another_vendor_changes_nothing_for_the_phone(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        listener: DfksListener,
        plug: Plug,
    ) -> None:
        """It stays subscribed."""
        phone = await plug()
        await phone.subscribe()
        await phone.notification()
        line = listener.sync.lines[RECEPTION]
        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        await submit(hass, shown, reception_form(vendor="poly"))

        assert runtime(entry).sync.lines[RECEPTION] is line
        assert line.connected

    @pytest.mark.parametrize(
        "status",
        # That of a line at a PBX is told in test_pbx_flow.py, and a followed one has
        # a form of its own.
        [
            *(SyncStatus.WAITING, SyncStatus.WRONG_PASSWORD),
            *(SyncStatus.KEY_SYNC_OFF, SyncStatus.SYNCHRONIZED),
        ],
    )
    async def test_advises_by_the_sync_status(
        self,
        hass: HomeAssistant,
        clock: ManualClock,
        entry: MockConfigEntry,
        plug: Plug,
        status: SyncStatus,
    ) -> None:
        """In a part of the form that is open and asks for nothing."""
        await set_up(hass, entry)
        if status is SyncStatus.WRONG_PASSWORD:
            await (await plug(password="wrong")).register()
        elif status is not SyncStatus.WAITING:
            phone = await plug()
            await phone.register()
            if status is SyncStatus.SYNCHRONIZED:
                await phone.subscribe()
                await phone.notification()
            clock.advance(30)
        await hass.async_block_till_done()
        assert state_of(hass, SYNC_STATUS) == status

        shown = await entry.start_subentry_reconfigure_flow(hass, RECEPTION)
        assert set(SyncStatus) & set(map(str, fields(shown))) == {status}
        assert field(shown, status).options == {"collapsed": False}
        result = await submit(hass, shown, reception_form(**{status: {}}))
        assert result["reason"] == "reconfigure_successful"
        assert entry.subentries[RECEPTION].data == RECEPTION_DATA
