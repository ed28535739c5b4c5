"""The documentation says what there is: fields, entities, texts, links, examples."""

import ast
from collections.abc import Iterator, Mapping
import json
import re
from typing import Any, Final
from urllib.parse import unquote

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict, parse_yaml
import pytest

from custom_components.dfks.config_flow import _listener_schema, _options_schema
from custom_components.dfks.const import PHONES_URL, TROUBLESHOOTING_URL
from custom_components.dfks.features.reported_calls import ReportedEvent
from custom_components.dfks.features.seen import CallEventType, CallReason, CallState
from custom_components.dfks.line_flow import SECTIONS
from custom_components.dfks.listener import DfksListener
from custom_components.dfks.phones.vendors import VENDORS, Vendor
from custom_components.dfks.sip.wire.headers import DEFAULT_PORT
from tests.e2e.effort import EXPECTED

from .common import DND, state_of
from .test_files import ENGLISH, INTEGRATION, texts
from .test_strategy import TEXTS

ROOT: Final = INTEGRATION.parents[1]
PAGES: Final = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in (".", "docs", "tests/interop")
    for path in sorted((ROOT / folder).glob("*.md"))
}
CALLS: Final = PAGES["docs/calls.md"]
CONFIGURATION: Final = PAGES["docs/configuration.md"]
TROUBLESHOOTING: Final = PAGES["docs/troubleshooting.md"]
ENTITIES: Final = PAGES["docs/entities.md"]
ACTIONS: Final = PAGES["docs/actions.md"]
SERVICES: Final = load_yaml_dict(str(INTEGRATION / "services.yaml"))

# Where the files of this repository are on the net.
FILES_URL: Final = "https://github.com/ha-dfks/ha-dfks/blob/main/"

# Where the rules about documentation are met.
RULES: Final = {
    "docs-actions": "docs/actions.md#dfksset_feature",
    "docs-configuration-parameters": "docs/configuration.md#options-of-the-listener",
    "docs-data-update": "docs/entities.md#how-states-are-updated",
    "docs-examples": "README.md#a-first-automation",
    "docs-high-level-description": "README.md#dfks-for-home-assistant",
    "docs-installation-instructions": "README.md#install",
    "docs-installation-parameters": "docs/configuration.md#the-sip-listener",
    "docs-known-limitations": "docs/entities.md#known-limitations",
    "docs-removal-instructions": "README.md#to-remove-it",
    "docs-supported-devices": "README.md#supported-phones",
    "docs-supported-functions": "docs/entities.md#entities",
    "docs-troubleshooting": "docs/troubleshooting.md#troubleshooting-by-symptom",
    "docs-use-cases": "README.md#what-people-do-with-it",
}

# What Home Assistant's own pages call things, and names that are nobody's label.
NOT_OURS: Final = {
    "Activity",
    "Add dashboard",
    "Add integration",
    "Add line",
    "Areas",
    "Automations & scenes",
    "Blueprints",
    "By",
    "Community dashboards",
    "Connected",
    "Create",
    "Custom repositories",
    "Dashboards",
    "Delete",
    "Device Feature Key Synchronization",
    "DFKS Phone Keys",
    "Devices & services",
    "Disconnected",
    "Done",
    "Download diagnostics",
    "Edit in YAML",
    "Enable debug logging",
    "Failed setup, will retry",
    "Features > Forward & DND",
    "Import blueprint",
    "Integration",
    "New dashboard from scratch",
    "Overview",
    "Raw configuration editor",
    "Reconfigure",
    "Reconfigure line",
    "Repairs",
    "Run actions",
    "SIP listener",
    "Settings",
    "System",
    "System information",
    "Template",
    "Tools",
    "Via Phone Yealink SIP-T54W",
    "Via Timer",
    "Visit",
    "Voice assistants",
    "Voice over IP",
    "and",
    "feature key synchronization",
    "local processing",
    "⋮",
}

# Names in examples, and what is called so on a router or a phone.
ELSEWHERE: Final = {
    "201",
    "Keep alive interval",
    "NAT keep-alive",
    "Not run against this integration.",
    "On · 2424",
    "Reception",
    "SIP ALG",
    "SIP helper",
    "SIP inspection",
    "Sales",
    "busy",
    "do not disturb",
    "established",
    "free",
    "server only",
}


def slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    text = re.sub(r"[*`]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def prose(page: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def headings(page: str) -> set[str]:
    """Return the anchors of a page."""
    return {
        slug(found) for found in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    }


def part(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next of its level."""
    level = heading.partition(" ")[0]
    text = page.partition(f"\n{heading}\n")[2]
    assert text, f"there is no {heading}"
    return re.split(rf"^{level} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> dict[str, str]:
    """Return what the tables say of each *label*: the rest of its row."""
    return dict(re.findall(r"^\| \*([^*|]+)\* \|(.+)\|$", text, re.MULTILINE))


def links() -> Iterator[tuple[str, str]]:
    """Yield each link that leads to a place in this repository, with its page."""
    for name, page in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if not re.match(r"https?:|mailto:", target):
                yield name, target


def leads_somewhere(page: str, target: str) -> bool:
    """Whether there is the file, and in it the heading, that a link names."""
    path, _, anchor = target.partition("#")
    place = ((ROOT / page).parent / path).resolve() if path else ROOT / page
    if not place.exists():
        return False
    return not anchor or anchor in headings(place.read_text())


@pytest.mark.parametrize(("page", "target"), links())
def test_links_lead_somewhere(page: str, target: str) -> None:
    """Files and headings, pictures included."""
    assert leads_somewhere(page, target)


def test_a_link_into_nowhere_is_found() -> None:
    """The test above can fail."""
    assert not leads_somewhere("README.md", "docs/nothing.md")
    assert not leads_somewhere("README.md", "docs/entities.md#nothing")


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_page_can_be_reached(page: str) -> None:
    """By links from README."""
    reached = {"README.md"}
    while (
        more := {
            str(
                ((ROOT / name).parent / target.partition("#")[0]).resolve()
            ).removeprefix(f"{ROOT}/")
            for name, target in links()
            if name in reached and target.partition("#")[0].endswith(".md")
        }
        - reached
    ):
        reached |= more
    assert page in reached


@pytest.mark.parametrize("url", [PHONES_URL, TROUBLESHOOTING_URL])
def test_forms_lead_to_the_documentation(url: str) -> None:
    """On GitHub, where Home Assistant's pages can find it."""
    assert url.startswith(FILES_URL)
    assert leads_somewhere("README.md", url.removeprefix(FILES_URL))


@pytest.mark.parametrize("page", ["README.md", "info.md"])
def test_oldest_version_is_the_one_that_hacs_takes(page: str) -> None:
    """The other end of the range is whatever is the newest."""
    minimum = json.loads((ROOT / "hacs.json").read_text())["homeassistant"]
    assert f"from {minimum.removesuffix('.0')} to the newest" in PAGES[page]


def test_every_picture_is_shown() -> None:
    """None is kept for nothing."""
    shown = {
        ((ROOT / page).parent / target).resolve()
        for page, target in links()
        if target.endswith(".png")
    }
    assert shown == set((ROOT / "docs" / "images").iterdir())


def yaml_blocks() -> Iterator[tuple[str, str]]:
    """Yield each example in YAML, with its page."""
    for name, page in PAGES.items():
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
        ):
            yield name, block


@pytest.mark.parametrize(("page", "block"), yaml_blocks())
def test_examples_are_yaml(page: str, block: str) -> None:
    """All of them."""
    assert parse_yaml(block), page


@pytest.mark.parametrize("rule", RULES)
def test_documentation_rules_are_met(rule: str) -> None:
    """The quality scale says so, and there is a place for each."""
    rules = load_yaml_dict(str(INTEGRATION / "quality_scale.yaml"))["rules"]
    assert rules[rule] == "done"
    assert leads_somewhere("README.md", RULES[rule])


def test_no_documentation_rule_is_left_out() -> None:
    """Those that are exempt have a reason."""
    rules = load_yaml_dict(str(INTEGRATION / "quality_scale.yaml"))["rules"]
    done = {rule for rule, state in rules.items() if state == "done"}
    assert {rule for rule in done if rule.startswith("docs-")} == set(RULES)


class TestSettings:
    """docs/configuration.md."""

    @pytest.mark.parametrize(
        ("heading", "step"),
        [
            ("## The SIP listener", ENGLISH["config"]["step"]["user"]),
            ("## The SIP listener", ENGLISH["config"]["step"]["reconfigure"]),
            ("## Options of the listener", ENGLISH["options"]["step"]["init"]),
        ],
    )
    def test_has_every_field_of_the_listener(
        self, heading: str, step: dict[str, Any]
    ) -> None:
        """Under the name that it has in the form, and no other."""
        fields = [*step["data"].values()]
        for section in step["sections"].values():
            fields += section["data"].values()
            assert f"*{section['name']}*" in part(CONFIGURATION, heading)
        assert sorted(rows(part(CONFIGURATION, heading))) == sorted(fields)

    def test_has_every_field_of_a_line(self) -> None:
        """Of adding it and of changing it."""
        steps = ENGLISH["config_subentries"]["line"]["step"]
        page = part(CONFIGURATION, "## A line")
        fields: set[str] = set()
        for step in (steps["user"], steps["reconfigure"]):
            fields |= set(step["data"].values())
            for name in SECTIONS.keys() & step["sections"].keys():
                fields |= set(step["sections"][name]["data"].values())
                assert f"*{step['sections'][name]['name']}*" in page
        assert set(rows(page)) == fields

    def test_page_of_pbxs_has_every_field(self) -> None:
        """Under the name that it has in the form, and no other."""
        step = ENGLISH["config_subentries"]["pbx"]["step"]["pbx"]
        table = part(PAGES["docs/in-front-of-a-pbx.md"], "### The settings of a PBX")
        assert rows(table).keys() == set(step["data"].values())

    def test_page_of_pbxs_has_every_issue(self) -> None:
        """By its title."""
        titles = {
            issue["title"] for key, issue in ENGLISH["issues"].items() if "pbx" in key
        }
        page = PAGES["docs/in-front-of-a-pbx.md"]
        table = part(page, "## When something does not work")
        assert rows(table).keys() == titles

    def test_has_the_defaults(self) -> None:
        """Those that are a number or a name."""
        table = rows(CONFIGURATION)
        labels = dict(labelled_defaults())
        assert len(labels) == 6
        for label, default in labels.items():
            assert f"`{default}`" in table[label].rpartition("|")[2], label


def labelled_defaults() -> Iterator[tuple[str, object]]:
    """Yield the label and the default of each field that has a plain one."""
    forms = (
        (_listener_schema(DEFAULT_PORT, {}), ENGLISH["config"]["step"]["user"]),
        (_options_schema({}), ENGLISH["options"]["step"]["init"]),
    )
    for schema, words in forms:
        yield from _defaults(schema.schema, words)


def _defaults(
    fields: Mapping[Any, Any], words: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    for marker, field in fields.items():
        if (section := words.get("sections", {}).get(marker.schema)) is not None:
            yield from _defaults(field.schema.schema, section)
        elif callable(marker.default) and marker.schema != "digest":
            yield words["data"][marker.schema], marker.default()


class TestEntities:
    """docs/entities.md."""

    async def test_has_every_entity_with_its_id(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """In a table, and no other."""
        named = {
            f"`{entity.entity_id}`": entity.original_name
            for entity in er.async_get(hass).entities.values()
            if entity.entity_id.partition(".")[2].startswith("reception_")
        }
        table = {
            row.split("|")[0].strip(): label for label, row in rows(ENTITIES).items()
        }
        assert table == named

    async def test_says_which_are_turned_off_at_first(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Those, and only those."""
        off = {
            entity.original_name
            for entity in er.async_get(hass).entities.values()
            if entity.disabled
        }
        assert off == {
            label for label, row in rows(ENTITIES).items() if "off at first" in row
        }

    def test_has_the_attributes_of_the_event(self) -> None:
        """Of every change."""
        attributes = ENGLISH["entity"]["event"]["feature_change"]["state_attributes"]
        told = set(re.findall(r"`(\w+)`", part(ENTITIES, "## Who changed it")))
        assert set(attributes) - {"event_type"} <= told


class TestCalls:
    """docs/calls.md."""

    def test_has_every_state_event_and_reason(self) -> None:
        """Those of the entities, by their names in automations."""
        told = set(re.findall(r"`(\w+)`", CALLS))
        assert {*CallState, *CallEventType, *CallReason, *ReportedEvent} <= told

    @pytest.mark.parametrize("platform", ["event", "sensor"])
    def test_has_the_attributes(self, platform: str) -> None:
        """Of both entities."""
        shown = ENGLISH["entity"][platform]["call"]["state_attributes"]
        assert shown.keys() - {"event_type"} <= set(re.findall(r"`(\w+)`", CALLS))


class TestActions:
    """docs/actions.md."""

    @pytest.mark.parametrize("action", SERVICES)
    def test_has_every_action(self, action: str) -> None:
        """With a part of its own."""
        assert part(ACTIONS, f"## `dfks.{action}`")

    def test_has_every_field(self) -> None:
        """In the table of the one that has them all."""
        table = part(ACTIONS, "## `dfks.set_feature`").partition("The response")[0]
        columns = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
        named = {name for column in columns for name in re.findall(r"`(\w+)`", column)}
        assert named == set(SERVICES["set_feature"]["fields"])


class TestTroubleshooting:
    """docs/troubleshooting.md."""

    def test_says_what_to_do_at_each_sync_status(self) -> None:
        """In the words of the sensor."""
        states = ENGLISH["entity"]["sensor"]["sync_status"]["state"]
        table = part(TROUBLESHOOTING, "## What *Sync status* says")
        assert set(rows(table)) == set(states.values())

    def test_lists_all_symptoms_at_the_top(self) -> None:
        """In the order in which they come."""
        found = re.findall(r"^## (.+)$", TROUBLESHOOTING, re.MULTILINE)
        listed = re.findall(r"^- \[(.+)\]\(#.+\)$", TROUBLESHOOTING, re.MULTILINE)
        assert listed == found[3:]

    @pytest.mark.parametrize(
        "quoted", re.findall(r"^ *> (.+)$", TROUBLESHOOTING, re.MULTILINE)
    )
    def test_quotes_what_is_said(self, quoted: str) -> None:
        """Texts that are shown, or that are logged."""
        assert any(said.fullmatch(quoted) for said in all_said()), quoted

    def test_a_wrong_quote_is_found(self) -> None:
        """The test above can fail."""
        assert not any(said.fullmatch("The port is in use.") for said in all_said())


def all_said() -> Iterator[re.Pattern[str]]:
    """Yield a pattern for each text that is shown or logged."""
    for _, text in texts(ENGLISH):
        yield pattern(text, r"{\w+}")
    for path in INTEGRATION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield pattern(node.value, r"%[srd]", prefix=r"(?:\S+: )?")


def pattern(text: str, gap: str, prefix: str = "") -> re.Pattern[str]:
    """Return what matches a text with its gaps filled; nothing where it is all gap."""
    pieces = re.split(gap, text)
    if len("".join(pieces)) < 8:
        return re.compile(r"(?!)")
    return re.compile(prefix + r".+".join(re.escape(piece) for piece in pieces))


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/actions.md",
        "docs/automations.md",
        "docs/behind-a-proxy.md",
        "docs/configuration.md",
        "docs/dashboard.md",
        "docs/entities.md",
        "docs/follow-a-pbx.md",
        "docs/in-front-of-a-pbx.md",
        "docs/network.md",
        "docs/phones.md",
        "docs/scripting.md",
        "docs/troubleshooting.md",
    ],
)
def test_labels_are_those_of_the_forms(page: str) -> None:
    """What stands in italics is what can be read in Home Assistant."""
    labels = {text for _, text in texts(ENGLISH)} | set(TEXTS["en"].values())
    text = re.sub(r"`[^`\n]*`", "", prose(PAGES[page]))
    for words in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text):
        for label in words.split(" > ") if words not in NOT_OURS else ():
            assert label in labels | NOT_OURS | ELSEWHERE, f"{page}: {words}"


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))
def test_readme_has_every_vendor(vendor: Vendor) -> None:
    """By its first name."""
    phones = part(PAGES["README.md"], "## Supported phones")
    first = re.split(r"\W", vendor.name)[0]
    assert re.search(rf"\b{first}\b", phones)


def imported(page: str) -> set[str]:
    """Return the files that a page's buttons import, as paths in this repository."""
    found = re.findall(r"blueprint_import/\?blueprint_url=([^)]+)\)", PAGES[page])
    assert all(unquote(address).startswith(FILES_URL) for address in found)
    return {unquote(address).removeprefix(FILES_URL) for address in found}


@pytest.mark.parametrize("page", ["README.md", "docs/automations.md"])
def test_blueprints_can_be_imported(page: str) -> None:
    """All of them, at the address behind the button."""
    blueprints = (ROOT / "blueprints").rglob("*.yaml")
    assert imported(page) == {str(path.relative_to(ROOT)) for path in blueprints}


async def test_first_automation_works(
    hass: HomeAssistant, listener: DfksListener
) -> None:
    """The one in README."""
    (example,) = re.findall(
        r"```yaml\n(.*?)```",
        part(PAGES["README.md"], "### A first automation"),
        re.DOTALL,
    )
    assert await async_setup_component(
        hass, "automation", {"automation": parse_yaml(example)}
    )
    await hass.services.async_call(
        "automation",
        "trigger",
        {"entity_id": "automation.reception_is_quiet_after_six"},
        blocking=True,
    )
    assert state_of(hass, DND) == "on"
    # Or its clock would go on.
    await hass.services.async_call(
        "automation", "turn_off", {"entity_id": "all"}, blocking=True
    )


def test_clicks_are_those_that_a_browser_counts() -> None:
    """Each kind of line with its clicks and fields, and no other."""
    part = PAGES["docs/configuration.md"].split("## From the download")[1]
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| \d+ \|$", part, re.MULTILINE)
    documented = {way: (int(clicks), int(words)) for way, clicks, words in rows}
    assert documented == EXPECTED
