"""The workflows do what the project promises: pins, releases, issue forms."""

from collections.abc import Iterator, Mapping
from pathlib import Path
import re
from typing import Any, Final

from homeassistant.util.yaml import load_yaml_dict
import pytest

ROOT: Final = Path(__file__).parents[2]
GITHUB: Final = ROOT / ".github"
WORKFLOWS: Final = {path.name: path for path in (GITHUB / "workflows").iterdir()}
FORMS: Final = {
    path.name: path
    for path in (GITHUB / "ISSUE_TEMPLATE").iterdir()
    if path.name != "config.yml"
}

# A commit, and in words what it is.
PINNED: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # \S.*")


def workflow(name: str) -> dict[str, Any]:
    """Return what a workflow's file says; YAML reads its key `on` as True."""
    return load_yaml_dict(str(WORKFLOWS[name]))


def commands(job: Mapping[str, Any]) -> str:
    """Return what the steps of a job run."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def uses(name: str) -> Iterator[str]:
    """Go through the actions and workflows that a workflow uses, with the comments."""
    for line in WORKFLOWS[name].read_text().splitlines():
        if match := re.search(r"\buses: *(.+)", line):
            yield match[1]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit(name: str) -> None:
    """A tag can be moved to other code; what is in this repository needs no pin."""
    used = list(uses(name))

    assert used
    assert [
        one for one in used if not (one.startswith("./") or PINNED.match(one))
    ] == []


def test_one_action_has_one_pin() -> None:
    """All workflows use the same version of an action."""
    pins = {one.partition("@")[::2] for name in WORKFLOWS for one in uses(name)}

    assert len(pins) == len({action for action, _ in pins})


def test_dependabot_keeps_the_pins_up_to_date() -> None:
    """It reads the workflows of this repository."""
    (update,) = load_yaml_dict(str(GITHUB / "dependabot.yml"))["updates"]

    assert (update["package-ecosystem"], update["directory"]) == ("github-actions", "/")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_may_only_read_by_default(name: str) -> None:
    """A job that writes asks for what it needs by itself."""
    assert workflow(name)["permissions"] == {"contents": "read"}


def test_only_what_pushes_keeps_the_token() -> None:
    """Checkout leaves it in .git, where every later step can read it."""
    kept = {
        name
        for name in WORKFLOWS
        for job in workflow(name)["jobs"].values()
        for step in job.get("steps", ())
        if step.get("uses", "").startswith("actions/checkout@")
        and step.get("with", {}).get("persist-credentials") is not False
    }

    assert kept == {"lock.yml"}


def test_release_waits_for_all_tests() -> None:
    """They are those of every other change."""
    jobs = workflow("release.yml")["jobs"]

    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert jobs["release"]["needs"] == "test"
    assert "workflow_call" in workflow("test.yml")[True]  # type: ignore[index]


def test_release_takes_its_notes_from_the_changelog() -> None:
    """Where the script fails, nothing is released: bash stops at it."""
    steps = workflow("release.yml")["jobs"]["release"]["steps"]
    notes, release = [step for step in steps if "run" in step]

    assert notes["run"].startswith('scripts/release-notes "$GITHUB_REF_NAME" | tee')
    # GitHub's bash runs with pipefail where it is asked for, and only there.
    assert notes["shell"] == "bash"
    assert '--notes-file "$RUNNER_TEMP/notes.md"' in release["run"]


def test_locked_versions_are_moved_up_on_a_schedule() -> None:
    """As a pull request with tests."""
    moving = workflow("lock.yml")
    run = commands(moving["jobs"]["lock"])

    assert moving[True]["schedule"]  # type: ignore[index]
    for command in (
        "scripts/lock --upgrade",
        "gh pr create",
        "gh workflow run test.yml",
    ):
        assert command in run


def test_commands_of_readme_are_tried_in_a_folder_of_its_name() -> None:
    """By GitHub's runners, which name it like the repository, and by .ci/run."""
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"## For developers\n\n```bash\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    promised = [line.split()[0] for line in block[1].splitlines()]
    ci = (ROOT / ".ci" / "run").read_text()
    github = commands(workflow("test.yml")["jobs"]["test"])

    assert promised == ["scripts/develop", "scripts/test"]
    assert 'cd "$work/ha-dfks"' in ci
    assert [one for one in promised if f"run {one}" not in ci] == []
    assert [one for one in promised if one not in github] == []


@pytest.mark.parametrize("name", FORMS)
def test_form_has_what_github_demands(name: str) -> None:
    """A name, a description, and fields with ids and labels of their own."""
    form = load_yaml_dict(str(FORMS[name]))
    fields = [item for item in form["body"] if item["type"] != "markdown"]

    assert {"name", "description", "body"} <= form.keys()
    assert {item["type"] for item in fields} <= {"input", "textarea"}
    assert len({item["id"] for item in fields}) == len(fields)
    assert len({item["attributes"]["label"] for item in fields}) == len(fields)


def test_form_for_problems_asks_for_version_and_diagnostics() -> None:
    """Without them nobody can find out what is wrong."""
    body = load_yaml_dict(str(FORMS["problem.yml"]))["body"]
    required = {
        item["id"] for item in body if item.get("validations", {}).get("required")
    }

    assert {"version", "home_assistant", "diagnostics"} <= required
