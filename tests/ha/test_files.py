"""The files that Home Assistant reads: what hassfest would find wrong with them.

hassfest itself runs on GitHub; these are its rules that matter here, so that a mistake
is seen before that.
"""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.util.yaml import load_yaml_dict
import pytest

from custom_components.dfks.const import (
    DIGEST_ALGORITHMS,
    DOMAIN,
    FEATURE_KEYS,
    KEYS_AT_PBX,
    KEYS_HERE,
)
from custom_components.dfks.features.model import NotifyStyle, Refusal
from custom_components.dfks.followed import manager as followed
from custom_components.dfks.line_flow import ANOTHER, HERE, SECTIONS
from custom_components.dfks.listener import ISSUE_TOO_MANY_LINES
from custom_components.dfks.pbx.issues import (
    ISSUE_CERTIFICATE,
    ISSUE_KEYS,
    ISSUE_NO_PBX,
    ISSUE_OTHER_CERTIFICATE,
    ISSUE_PASSWORD,
    ISSUE_PAST,
    ISSUE_UNREACHABLE,
)
from custom_components.dfks.phones.blocked import ISSUE_BLOCKED, ISSUE_GUESSED
from custom_components.dfks.phones.monitor import SyncStatus
from custom_components.dfks.phones.unknown_issues import ISSUE_UNKNOWN
from custom_components.dfks.phones.vendors import OTHER
from custom_components.dfks.scripting.script_hooks import ISSUE_STOPPED, ISSUE_TEXTS
from custom_components.dfks.sip import ContactMode
from custom_components.dfks.storage.file import ISSUE_NOT_WRITTEN
from custom_components.dfks.storage.states import ISSUE_DAMAGED
from custom_components.dfks.tls import (
    ISSUE_EXPIRED,
    ISSUE_NOT_RENEWED,
    ISSUE_NOT_SERVED,
    TlsProblem,
)

INTEGRATION = Path(__file__).parents[2] / "custom_components" / DOMAIN
MANIFEST: dict[str, Any] = json.loads((INTEGRATION / "manifest.json").read_text())
ENGLISH: dict[str, Any] = json.loads(
    (INTEGRATION / "translations" / "en.json").read_text()
)
ICONS: dict[str, Any] = json.loads((INTEGRATION / "icons.json").read_text())
SOURCES = {path.name: path.read_text() for path in INTEGRATION.glob("*.py")}

# What keeps a followed line from being told by its PBX.
OF_PBX = {*followed._STATUSES.values()} - {SyncStatus.SYNCHRONIZED}

# What a translation key may look like.
SLUG = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")

# The words that a message may leave open, by the code that fills them in.
LISTENER_WORDS = {"host", "port", "reason", "path", "date", "certificate", "key"}
ACCESS_WORDS = {"item"}
LINE_WORDS = {"line"}
STEP_WORDS = {
    "line.reconfigure": {"troubleshooting_url"},
    "line.test": {"pbx", "user"},
    "pbx.pbx": {"pbx_url"},
}
PAIRING_WORDS = {
    "server",
    "port",
    "user",
    "auth_name",
    "password",
    "settings",
    "advice",
    "phones_url",
}
# A line at a PBX has no password, and the phone's user stays as it is.
PBX_PAIRING_WORDS = PAIRING_WORDS - {"user", "auth_name", "password"} | {
    "pbx",
    "outbound_proxy",
    "second_way",
    "pbx_url",
}


def texts(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with the path of its keys."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from texts(value, here)
        else:
            yield here, value


def words(text: str) -> set[str]:
    """Return the placeholders of a text."""
    return set(re.findall(r"{(\w+)}", text))


def errors_in_code(name: str) -> set[str]:
    """Return the keys that a module uses as messages."""
    return set(
        re.findall(
            r'"((?:invalid|port|address|cannot|no|user|auth|too_many|pbx)_\w+)"', name
        )
    )


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every step of every form, and every section of a step."""
    for section in ("config", "options"):
        for name, step in ENGLISH[section]["step"].items():
            yield f"{section}.{name}", step
            for part, texts in step.get("sections", {}).items():
                yield f"{section}.{name}.{part}", {"title": texts["name"], **texts}
    yield "pbx.pbx", ENGLISH["config_subentries"]["pbx"]["step"]["pbx"]
    for name, step in ENGLISH["config_subentries"]["line"]["step"].items():
        yield f"line.{name}", step
        for part, texts in step.get("sections", {}).items():
            # How far the phone has come is told, and nothing asked.
            told = {"title": texts["name"], "data": {}, "data_description": {}}
            yield f"line.{name}.{part}", told | texts


class TestManifest:
    """manifest.json."""

    def test_keys_are_in_order(self) -> None:
        """Domain, name, then by the alphabet."""
        keys = list(MANIFEST)
        assert keys == ["domain", "name", *sorted(keys[2:])]

    def test_says_what_the_integration_is(self) -> None:
        """What HACS and Home Assistant go by."""
        assert MANIFEST["domain"] == INTEGRATION.name
        assert MANIFEST["config_flow"] is True
        assert MANIFEST["single_config_entry"] is True
        assert MANIFEST["integration_type"] == "hub"
        assert MANIFEST["iot_class"] == "local_push"
        assert MANIFEST["codeowners"] == ["@ha-dfks"]

    def test_links_lead_to_the_repository(self) -> None:
        """Not to Home Assistant's own documentation."""
        assert MANIFEST["documentation"] == "https://github.com/ha-dfks/ha-dfks"
        assert MANIFEST["issue_tracker"].startswith(MANIFEST["documentation"])

    def test_requirements_are_ranges(self) -> None:
        """A pinned lxml would fight with that of other integrations."""
        assert MANIFEST["requirements"]
        for requirement in MANIFEST["requirements"]:
            assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement)

    def test_version_is_one(self) -> None:
        """Three numbers."""
        assert re.fullmatch(r"\d+\.\d+\.\d+", MANIFEST["version"])


def test_brand_images_are_there() -> None:
    """Home Assistant shows them."""
    for name in ("icon.png", "icon@2x.png", "logo.png"):
        assert (INTEGRATION / "brand" / name).read_bytes().startswith(b"\x89PNG")


def test_there_is_no_strings_json() -> None:
    """It is not read for custom integrations."""
    assert not (INTEGRATION / "strings.json").exists()


class TestTranslations:
    """translations/en.json."""

    @pytest.mark.parametrize(("path", "text"), texts(ENGLISH))
    def test_texts_are_finished(self, path: str, text: str) -> None:
        """No references, which are not resolved here, and no markup."""
        assert text == text.strip() != ""
        assert "[%key" not in text
        assert not re.search(r"</?\w+>", text)
        assert all(SLUG.fullmatch(key) for key in path.split("."))

    @pytest.mark.parametrize(
        ("name", "step"), steps(), ids=[name for name, _ in steps()]
    )
    def test_every_field_is_explained(self, name: str, step: dict[str, Any]) -> None:
        """Each with a sentence, and each step with title and description.

        A step that waits says so in the words of its progress.
        """
        assert step["title"]
        if name == "line.test_call":
            assert ENGLISH["config_subentries"]["line"]["progress"]
            return
        assert step["description"]
        assert set(step.get("data_description", ())) == set(step.get("data", ()))

    def test_errors_are_those_that_the_code_uses(self) -> None:
        """None missing, none left over."""
        messages = {
            *ENGLISH["config"]["error"],
            *ENGLISH["options"]["error"],
            *ENGLISH["config_subentries"]["line"]["error"],
            *ENGLISH["config_subentries"]["pbx"]["error"],
        }
        used = errors_in_code(SOURCES["config_flow.py"])
        used |= errors_in_code(SOURCES["line_flow.py"])
        used |= errors_in_code(SOURCES["pbx_flow.py"]) - {"pbx_url"}
        used |= errors_in_code(SOURCES["line_test_flow.py"])
        used |= errors_in_code(SOURCES["forms.py"])
        used |= errors_in_code(SOURCES["settings.py"])
        used |= errors_in_code((INTEGRATION / "pbx/treatment_form.py").read_text())
        used |= {problem.value for problem in TlsProblem}
        assert messages == used

    def test_exceptions_are_those_that_the_code_uses(self) -> None:
        """None missing, none left over."""
        sources = "".join(SOURCES.values())
        used = set(re.findall(r'\binvalid\(\s*"(\w+)"', sources))
        used |= set(re.findall(r'errno\.\w+: "(\w+)"', sources)) | {"cannot_bind"}
        used |= {refusal.value for refusal in Refusal} - {Refusal.VETO.value}
        used |= {problem.value for problem in TlsProblem}
        assert set(ENGLISH["exceptions"]) == used
        assert all(set(text) == {"message"} for text in ENGLISH["exceptions"].values())

    def test_issues_are_those_that_the_code_uses(self) -> None:
        """None missing, none left over."""
        used = {*ISSUE_TEXTS.values(), ISSUE_GUESSED, ISSUE_BLOCKED}
        used |= {ISSUE_STOPPED, ISSUE_EXPIRED, ISSUE_NOT_RENEWED, ISSUE_NOT_SERVED}
        used |= {ISSUE_DAMAGED, ISSUE_NOT_WRITTEN, ISSUE_TOO_MANY_LINES}
        used |= {ISSUE_UNREACHABLE, ISSUE_KEYS, ISSUE_PASSWORD, ISSUE_PAST}
        used |= {
            ISSUE_UNKNOWN,
            ISSUE_NO_PBX,
            ISSUE_CERTIFICATE,
            ISSUE_OTHER_CERTIFICATE,
            followed.ISSUE_PASSWORD,
            followed.ISSUE_CERTIFICATE,
            followed.ISSUE_OTHER_CERTIFICATE,
        }
        assert set(ENGLISH["issues"]) == used

    def test_placeholders_are_those_that_the_code_fills_in(self) -> None:
        """An unknown one would be shown as it stands."""
        for message in ENGLISH["config"]["error"].values():
            assert words(message) <= LISTENER_WORDS
        for message in ENGLISH["options"]["error"].values():
            assert words(message) <= ACCESS_WORDS
        for message in ENGLISH["config_subentries"]["line"]["error"].values():
            assert words(message) <= LINE_WORDS
        for name, step in steps():
            found = {word for _, text in texts(step) for word in words(text)}
            assert found <= STEP_WORDS.get(name, set()), name
        line = ENGLISH["config_subentries"]["line"]
        assert words(line["create_entry"]["default"]) == PAIRING_WORDS
        assert words(line["abort"]["reconfigure_successful"]) == PAIRING_WORDS
        for page in ("calls", "calls_https"):
            reporting = PAIRING_WORDS | {"webhook", "action_urls", "calls_url"}
            assert words(line["create_entry"][page]) == reporting
            assert words(line["abort"][f"reconfigured_{page}"]) == reporting
        assert words(line["create_entry"]["at_pbx"]) == PBX_PAIRING_WORDS
        assert words(line["abort"]["reconfigured_at_pbx"]) == PBX_PAIRING_WORDS
        tested = {"user", "target", "pbx", "help_url"}
        for name, message in (*line["abort"].items(), *line["progress"].items()):
            if name.startswith(("test_", "waiting_")):
                assert words(message) <= tested
        for message in ENGLISH["config_subentries"]["pbx"]["error"].values():
            assert words(message) <= {"pbx"}

    def test_choices_are_named(self) -> None:
        """Every option of every selector."""
        assert {
            key: set(sel["options"]) for key, sel in ENGLISH["selector"].items()
        } == {
            "digest": set(DIGEST_ALGORITHMS),
            "do_not_disturb_answer": {"486", "480"},
            "features": set(FEATURE_KEYS.values()),
            "ring_seconds": {"5", "6"},
            "notify_style": {style.value for style in NotifyStyle},
            # The others have names, which are the same in every language.
            "vendor": {OTHER},
            "phone": {ANOTHER},
            "pbx": {HERE},
            "keys": {KEYS_HERE, KEYS_AT_PBX},
            "contact": {mode.value for mode in ContactMode},
        }

    def test_every_sync_status_has_its_advice(self) -> None:
        """In the form that changes a line; what a PBX says is in the docs."""
        step = ENGLISH["config_subentries"]["line"]["step"]["reconfigure"]
        advice = {status.value for status in SyncStatus if status not in OF_PBX}
        assert set(step["sections"]) == advice | SECTIONS.keys()

    def test_actions_are_explained(self) -> None:
        """Each with its fields, as services.yaml has them, and with an icon."""
        services = load_yaml_dict(str(INTEGRATION / "services.yaml"))
        explained = ENGLISH["services"]
        assert {name: set(spec["fields"]) for name, spec in services.items()} == {
            name: set(text["fields"]) for name, text in explained.items()
        }
        assert set(ICONS["services"]) == set(services)

    def test_every_entity_has_an_icon(self) -> None:
        """And none is left over."""
        named = {k: set(entities) for k, entities in ENGLISH["entity"].items()}
        drawn = {k: set(entities) for k, entities in ICONS["entity"].items()}
        assert named == drawn


class TestIcons:
    """icons.json."""

    def test_are_material_design_icons(self) -> None:
        """Others are not allowed."""
        assert all(re.fullmatch(r"mdi:[a-z0-9-]+", icon) for _, icon in texts(ICONS))

    def test_change_with_the_state(self) -> None:
        """Of everything that can be on."""
        for platform in ("switch", "binary_sensor"):
            for entity in ICONS["entity"][platform].values():
                assert entity["state"]["on"] != entity["default"]

    def test_tell_what_keeps_a_phone_away(self) -> None:
        """Each status has its own, and whether anybody watches."""
        sensors = ICONS["entity"]["sensor"]
        statuses = sensors["sync_status"]["state"]
        assert statuses.keys() == {status.value for status in SyncStatus}
        assert len(set(statuses.values())) == len(statuses)
        assert sensors["watchers"]["range"].keys() == {"1"}
        assert sensors["watchers"]["range"]["1"] != sensors["watchers"]["default"]


def test_quality_scale_names_every_rule() -> None:
    """Each is done, or exempt with a reason."""
    rules = load_yaml_dict(str(INTEGRATION / "quality_scale.yaml"))["rules"]
    assert len(rules) == 54
    for name, rule in rules.items():
        if isinstance(rule, dict):
            assert rule["status"] == "exempt", name
            assert rule["comment"], name
        else:
            assert rule == "done", name
