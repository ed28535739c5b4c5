"""docs/sip-conformance.md and the tests say the same."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
from typing import NamedTuple

import pytest

from .torture import ALL

TESTS = Path(__file__).parent.parent
LIST = TESTS.parent / "docs" / "sip-conformance.md"

# What some rules are about shows with the floors above only, or with real phones.
ROOMS = ("sip", "floors", "interop", "ha")

ROW = re.compile(r"\| ([A-Z][0-9]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
STATE = re.compile(r"met|(?:partly|not yet): \S.*")
NAMED = re.compile(r"test_([a-z][0-9]+)_")


class Rule(NamedTuple):
    """One row of the list."""

    id: str
    source: str
    level: str
    text: str
    state: str


class Bearer(NamedTuple):
    """One test and the ids that it bears."""

    place: str
    name: str
    ids: frozenset[str]


def rules() -> list[Rule]:
    """Read the list; a line that begins like a row must be one."""
    found = []
    for line in LIST.read_text().splitlines():
        if re.match(r"\| *[A-Z][0-9]", line):
            row = ROW.fullmatch(line)
            assert row is not None, f"malformed row: {line}"
            found.append(Rule(*row.groups()))
    return found


def ids_in(decorator: ast.expr) -> Iterator[str]:
    """Return the ids of `requirement("A1", …)` anywhere in a decorator."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and _name(node.func) == "requirement":
            for argument in node.args:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def bearers() -> list[Bearer]:
    """Read the tests."""
    found = []
    paths = (path for room in ROOMS for path in (TESTS / room).rglob("test_*.py"))
    for path in sorted(paths):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_"):
                ids = frozenset(
                    id_
                    for decorator in node.decorator_list
                    for id_ in ids_in(decorator)
                )
                found.append(
                    Bearer(f"{path.relative_to(TESTS)}:{node.lineno}", node.name, ids)
                )
    return found


RULES = rules()
BEARERS = bearers()
TESTED = frozenset().union(*(bearer.ids for bearer in BEARERS)) | {
    row for case in ALL for row in case.rows
}


def test_there_are_as_many_rules_as_ever() -> None:
    """None is lost by a slip of the hand, and each stands there once."""
    ids = [rule.id for rule in RULES]

    assert len(ids) == 283
    assert len(set(ids)) == len(ids)


def test_rules_are_in_order() -> None:
    """By letter and number, as a reader looks for them."""
    places = [(rule.id[0], int(rule.id[1:])) for rule in RULES]

    assert places == sorted(places)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_has_a_level_a_state_and_its_tests(rule: Rule) -> None:
    """What is met, wholly or partly, has a test; what is not yet there has none."""
    assert rule.level in ("M", "S", "P", "y")
    assert STATE.fullmatch(rule.state)
    assert (rule.id in TESTED) is not rule.state.startswith("not yet")


def test_no_test_names_a_rule_that_is_not_there() -> None:
    """Neither a test nor a torture message."""
    assert sorted(TESTED - {rule.id for rule in RULES}) == []


def test_the_name_of_a_test_tells_one_of_its_rules() -> None:
    """`test_f17_…` bears F17."""
    wrong = [
        f"{bearer.place} {bearer.name}"
        for bearer in BEARERS
        if (named := NAMED.match(bearer.name)) and named[1].upper() not in bearer.ids
    ]

    assert wrong == []
