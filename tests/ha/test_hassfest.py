"""The shape of the files that Home Assistant reads, as hassfest demands it.

What must not be there is as important as what must be: a text under a key that nothing
reads is a text that nobody sees.
"""

import ast
from collections.abc import Iterator, Mapping
from copy import deepcopy
import importlib.util
from typing import Any

from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import validate_selector
from homeassistant.util.yaml import load_yaml_dict
import pytest
import voluptuous as vol

from custom_components.dfks.changes import event_types
from custom_components.dfks.const import DOMAIN
from custom_components.dfks.features.model import Feature, Refusal

from .test_files import ENGLISH, ICONS, INTEGRATION, MANIFEST, SLUG, words

TEXT = cv.string_with_no_html
KEY = vol.All(str, vol.Match(rf"^{SLUG.pattern}$"))
ICON = vol.All(str, vol.Match(r"^mdi:[a-z0-9-]+$"))

FIELDS: dict[Any, Any] = {
    vol.Optional("data"): {KEY: TEXT},
    vol.Optional("data_description"): {KEY: TEXT},
}
STEP: dict[Any, Any] = {
    vol.Required("title"): TEXT,
    vol.Optional("description"): TEXT,
    vol.Optional("submit"): TEXT,
    vol.Optional("menu_options"): {KEY: TEXT},
    **FIELDS,
    vol.Optional("sections"): {
        KEY: {vol.Required("name"): TEXT, vol.Optional("description"): TEXT, **FIELDS}
    },
}
FLOW = {
    vol.Required("step"): {KEY: STEP},
    vol.Optional("error"): {KEY: TEXT},
    vol.Optional("abort"): {KEY: TEXT},
    vol.Optional("create_entry"): {KEY: TEXT},
    vol.Optional("progress"): {KEY: TEXT},
}
ENTITY = {
    vol.Required("name"): TEXT,
    vol.Optional("state"): {KEY: TEXT},
    vol.Optional("unit_of_measurement"): TEXT,
    vol.Optional("state_attributes"): {
        KEY: {vol.Required("name"): TEXT, vol.Optional("state"): {KEY: TEXT}}
    },
}
# One of the two, and not both.
ISSUE = vol.Any(
    {vol.Required("title"): TEXT, vol.Required("description"): TEXT},
    {vol.Required("title"): TEXT, vol.Required("fix_flow"): FLOW},
)
ACTION = {
    vol.Required("name"): TEXT,
    vol.Required("description"): TEXT,
    vol.Optional("fields"): {
        KEY: {vol.Required("name"): TEXT, vol.Required("description"): TEXT}
    },
}
STRINGS = vol.Schema(
    {
        vol.Required("common"): {KEY: TEXT},
        vol.Required("config"): FLOW,
        vol.Required("options"): FLOW,
        vol.Required("config_subentries"): {
            KEY: {
                **FLOW,
                vol.Required("entry_type"): TEXT,
                vol.Required("initiate_flow"): {
                    vol.Required("user"): TEXT,
                    vol.Optional("reconfigure"): TEXT,
                },
            }
        },
        vol.Required("entity"): {KEY: {KEY: ENTITY}},
        vol.Required("exceptions"): {KEY: {vol.Required("message"): TEXT}},
        vol.Required("issues"): {KEY: ISSUE},
        vol.Required("selector"): {KEY: {vol.Required("options"): {KEY: TEXT}}},
        vol.Required("services"): {KEY: ACTION},
        vol.Required("system_health"): {vol.Required("info"): {KEY: TEXT}},
    }
)
ICON_FILE = vol.Schema(
    {
        vol.Required("entity"): {
            KEY: {
                KEY: {
                    vol.Required("default"): ICON,
                    vol.Optional("state"): {KEY: ICON},
                    vol.Optional("range"): {vol.Match(r"^-?[0-9.]+$"): ICON},
                }
            }
        },
        vol.Required("services"): {KEY: {vol.Required("service"): ICON}},
    }
)
MANIFEST_FILE = vol.Schema(
    {
        vol.Required("domain"): DOMAIN,
        vol.Required("name"): str,
        vol.Required("codeowners"): [vol.All(str, vol.Match(r"^@"))],
        vol.Required("config_flow"): bool,
        vol.Optional("dependencies"): [str],
        vol.Optional("after_dependencies"): [str],
        vol.Required("documentation"): vol.Url(),
        vol.Required("integration_type"): vol.In(["device", "hub", "service"]),
        vol.Required("iot_class"): vol.In(["local_polling", "local_push"]),
        vol.Required("issue_tracker"): vol.Url(),
        vol.Required("loggers"): [str],
        vol.Required("requirements"): [str],
        vol.Optional("single_config_entry"): bool,
        vol.Required("version"): str,
    }
)

SERVICES = load_yaml_dict(str(INTEGRATION / "services.yaml"))


@pytest.mark.parametrize(
    ("schema", "content"),
    [(STRINGS, ENGLISH), (ICON_FILE, ICONS), (MANIFEST_FILE, MANIFEST)],
    ids=["translations", "icons", "manifest"],
)
def test_shape(schema: vol.Schema, content: dict[str, Any]) -> None:
    """All that is needed, and nothing that nobody reads."""
    assert schema(content) == content


@pytest.mark.parametrize(
    ("schema", "content", "path", "value"),
    [
        (STRINGS, ENGLISH, ("title",), "DFKS"),
        (STRINGS, ENGLISH, ("config", "step", "user", "text"), "Hello"),
        (STRINGS, ENGLISH, ("entity", "switch", "do-not", "name"), "Hello"),
        (STRINGS, ENGLISH, ("issues", "blocked", "description"), "Hello"),
        (STRINGS, ENGLISH, ("exceptions", "not_loaded", "message"), "<b>No</b>"),
        (ICON_FILE, ICONS, ("entity", "text", "new", "state"), {"on": "mdi:x"}),
        (ICON_FILE, ICONS, ("services", "set_feature", "service"), "hass:x"),
        (MANIFEST_FILE, MANIFEST, ("homeassistant",), "2026.10.0"),
        (MANIFEST_FILE, MANIFEST, ("codeowners",), ["somebody"]),
    ],
)
def test_other_shapes_are_refused(
    schema: vol.Schema, content: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    """The test above can fail."""
    changed = place = deepcopy(content)
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    with pytest.raises(vol.Invalid):
        schema(changed)


def test_domain_is_nobody_elses() -> None:
    """A custom integration takes the place of a core one of its name."""
    assert importlib.util.find_spec(f"homeassistant.components.{DOMAIN}") is None


def test_yaml_configuration_is_refused() -> None:
    """With a word, not in silence."""
    source = (INTEGRATION / "__init__.py").read_text()
    assert "CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)" in source


@pytest.mark.parametrize("name", SERVICES)
def test_fields_of_actions_have_selectors(name: str) -> None:
    """Each a valid one, whose choices are named where it has any."""
    for field in SERVICES[name]["fields"].values():
        selector = validate_selector(field["selector"])
        select = selector.get("select") or {}
        if key := select.get("translation_key"):
            assert set(ENGLISH["selector"][key]["options"]) == set(select["options"])


@pytest.mark.parametrize(
    ("platform", "key"),
    [(platform, key) for platform, icons in ICONS["entity"].items() for key in icons],
)
def test_icons_of_states_are_of_states_that_there_are(platform: str, key: str) -> None:
    """And none repeats the default."""
    icons = ICONS["entity"][platform][key]
    states = set(icons.get("state", {}))
    assert icons["default"] not in {*icons.get("state", {}).values()}
    if platform == "sensor":
        assert states <= set(ENGLISH["entity"][platform][key].get("state", {}))
    else:
        assert states <= {"on", "off"}


def test_event_types_are_named() -> None:
    """Each of them, and no other."""
    texts = ENGLISH["entity"]["event"]["feature_change"]["state_attributes"]
    assert set(texts["event_type"]["state"]) == set(event_types(Feature))


def raised() -> Iterator[tuple[str, set[str]]]:
    """Yield what errors are raised in the code, with the words that they are given."""
    for path in INTEGRATION.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield from _error_of(node)


def _error_of(call: ast.Call) -> Iterator[tuple[str, set[str]]]:
    given = {item.arg: item.value for item in call.keywords if item.arg is not None}
    name = getattr(call.func, "id", "")
    key: ast.expr | None = given.get("translation_key")
    if name == "invalid":
        key, found = call.args[0], set(given)
    elif isinstance(filled := given.get("translation_placeholders"), ast.Dict):
        found = {ast.literal_eval(item) for item in filled.keys if item is not None}
    else:
        return
    if isinstance(key, ast.Constant):
        yield str(key.value), found


def test_errors_are_given_the_words_that_they_need() -> None:
    """A missing one would be shown as it stands, in braces."""
    errors = dict(raised())
    assert len(errors) > 10
    for key, given in errors.items():
        if key in ENGLISH["exceptions"]:
            assert words(ENGLISH["exceptions"][key]["message"]) == given, key
    for refusal in set(Refusal) - {Refusal.VETO, Refusal.TARGET_MISSING}:
        answer = {"reason"} if refusal is Refusal.PBX_REFUSED else set()
        assert words(ENGLISH["exceptions"][refusal]["message"]) == {"line"} | answer


def test_issues_are_given_the_words_that_they_need() -> None:
    """In title and text alike."""
    given: Mapping[str, set[str]] = {
        "password_guessed": {"line", "failures", "minutes"},
        "not_written": {"path", "reason"},
        "set_script": {"script", "error", "field"},
        "blocked": {"source", "failures", "minutes"},
        "states_damaged": {"path", "copy"},
        "too_many_lines": {"lines"},
        "tls": {"error", "date"},
        "pbx_unreachable": {"pbx"},
        "pbx_certificate_refused": {"fingerprint", "pbx", "reason"},
        "pbx_other_certificate": {"fingerprint", "pbx"},
        "pbx_synchronizes_keys": {"pbx"},
        "pbx_password_refused": {"pbx", "line", "source"},
        "pbx_calls_go_past": {"pbx", "lines"},
        "lines_without_pbx": {"lines"},
        "unknown_phone": {"phone", "source", "user"},
        "followed_password_refused": {"line"},
        "followed_certificate_refused": {"fingerprint", "pbx", "reason"},
        "followed_other_certificate": {"fingerprint", "pbx"},
    }
    for key, issue in ENGLISH["issues"].items():
        (allowed,) = (words for name, words in given.items() if key.startswith(name))
        assert words(str(issue)) <= allowed, key
    for key in ("tls_expired", "tls_not_served"):
        assert "date" not in words(str(ENGLISH["issues"][key]))
