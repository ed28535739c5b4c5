"""What a release says of itself: the section of its version in CHANGELOG.md.

It is what `scripts/release-notes` runs, with whatever Python 3 the machine has.
"""

import json
from pathlib import Path
import re
import sys

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "custom_components" / "dfks" / "manifest.json"
CHANGELOG = ROOT / "CHANGELOG.md"
FILES_URL = "https://github.com/ha-dfks/ha-dfks/blob"

# "## 0.2.0 - 2026-12-01", or a word in place of the date, and what follows.
SECTION = re.compile(
    r"^## (?P<version>\S+) - (?P<date>.+?)$(?P<notes>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)([^)\s]+)\)")


class NotesError(Exception):
    """The tag cannot be released; the text says what to mend."""


def release_notes(tag: str, version: str, changelog: str) -> str:
    """Return the notes of the release of a tag.

    `version` is that of the manifest. Links to files lead to them as of that tag.
    Raises NotesError where tag, manifest and changelog do not belong together.
    """
    if tag != f"v{version}":
        raise NotesError(f"The tag is {tag}, but manifest.json is of version {version}")
    sections = {found["version"]: found for found in SECTION.finditer(changelog)}
    if (section := sections.get(version)) is None:
        raise NotesError(f"CHANGELOG.md has no section for {version}")
    if not DATE.fullmatch(section["date"]):
        raise NotesError(f"CHANGELOG.md gives no date for {version}")
    notes = section["notes"].strip()
    if not notes:
        raise NotesError(f"CHANGELOG.md says nothing about {version}")
    return RELATIVE_LINK.sub(rf"]({FILES_URL}/{tag}/\1)", notes)


def main(tag: str) -> int:
    """Print the notes for a tag; returns the exit code."""
    version = json.loads(MANIFEST.read_text(encoding="utf-8"))["version"]
    try:
        notes = release_notes(tag, version, CHANGELOG.read_text(encoding="utf-8"))
    except NotesError as error:
        sys.stderr.write(f"release-notes: {error}\n")
        return 1
    sys.stdout.write(f"{notes}\n")
    return 0
