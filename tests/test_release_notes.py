"""What a release says of itself, and when there is none."""

import json

import pytest

from dev.release_notes import CHANGELOG, MANIFEST, NotesError, release_notes

CHANGES = """# Changelog

## 0.3.0 - unreleased

### Added

- Bells.

## 0.2.0 - 2026-12-01

### Fixed

- Whistles ([how](docs/network.md#tls), [why](https://example.org/why)).

## 0.1.0 - 2026-11-24

- Everything.

## 0.0.1 - 2026-11-01
"""


def test_notes_are_the_section_of_the_version() -> None:
    """Without its heading, and nothing of the versions around it."""
    notes = release_notes("v0.2.0", "0.2.0", CHANGES)

    assert notes.startswith("### Fixed\n\n- Whistles")
    assert "Bells" not in notes
    assert "Everything" not in notes


def test_links_lead_to_the_files_of_the_release() -> None:
    """A page of a release is in no folder, so that a relative link leads nowhere."""
    notes = release_notes("v0.2.0", "0.2.0", CHANGES)

    files = "https://github.com/ha-dfks/ha-dfks/blob/v0.2.0"
    assert f"[how]({files}/docs/network.md#tls)" in notes
    assert "[why](https://example.org/why)" in notes


@pytest.mark.parametrize(
    ("tag", "version", "problem"),
    [
        ("v0.2.0", "0.1.0", "The tag is v0.2.0, but manifest.json is of version 0.1.0"),
        ("0.2.0", "0.2.0", "The tag is 0.2.0, but"),
        ("v0.2", "0.2", "no section for 0.2"),
        ("v0.3.0", "0.3.0", "no date for 0.3.0"),
        ("v0.0.1", "0.0.1", "says nothing about 0.0.1"),
    ],
)
def test_what_does_not_belong_together_is_not_released(
    tag: str, version: str, problem: str
) -> None:
    """The error names what to mend."""
    with pytest.raises(NotesError, match=problem):
        release_notes(tag, version, CHANGES)


def test_manifest_is_of_the_version_that_the_changelog_begins_with() -> None:
    """What is on the main branch is what the next release will be."""
    version = json.loads(MANIFEST.read_text())["version"]
    first = next(
        line for line in CHANGELOG.read_text().splitlines() if line.startswith("## ")
    )

    assert first.startswith(f"## {version} - ")
