"""Which versions of Home Assistant are tried, and what is said of them."""

from pathlib import Path
import sys

from packaging.version import Version
import pytest

from dev import compatibility
from dev.compatibility import (
    CompatibilityError,
    Sources,
    StepError,
    Trial,
    choose,
    constraints,
    locked_version,
    main,
    minimum_version,
    requirements,
    table,
)


def sources(beta: str) -> Sources:
    """Return a range from 2026.10.0 to 2026.11.0 with this newest pre-release."""
    return Sources(
        minimum=lambda: Version("2026.10.0"),
        locked=lambda: Version("2026.10.4"),
        newest=lambda: Version("2026.11.0"),
        newest_prerelease=lambda: Version(beta),
    )


def chosen(*words: str, beta: str = "2026.12.0b1") -> list[str]:
    """Return the versions that are chosen by these words."""
    return [str(version) for version in choose(words, sources(beta))]


def never() -> Version:
    """Be asked for a version that nobody needs."""
    raise AssertionError


class TestChoice:
    """The versions of a run."""

    def test_default_is_the_whole_range_and_the_beta(self) -> None:
        """The oldest first."""
        assert chosen() == ["2026.10.0", "2026.10.4", "2026.11.0", "2026.12.0b1"]

    @pytest.mark.parametrize("beta", ["2026.11.0", "2026.11.0b3", "2026.10.5b0"])
    def test_beta_of_a_release_that_is_out_is_none(self, beta: str) -> None:
        """There is nothing to learn from it."""
        assert chosen(beta=beta) == ["2026.10.0", "2026.10.4", "2026.11.0"]
        assert chosen("beta", beta=beta) == []

    def test_later_patch_release_counts_as_newer_than_an_earlier_beta(self) -> None:
        """Versions are compared by their numbers, not as text."""
        assert chosen("newest", "beta", beta="2026.9.0b9") == ["2026.11.0"]

    def test_names_and_versions_may_be_mixed(self) -> None:
        """In the order given."""
        assert chosen("2026.11.0b2", "minimum") == ["2026.11.0b2", "2026.10.0"]

    def test_version_that_is_named_twice_is_tried_once(self) -> None:
        """The table has its name."""
        assert choose(("2026.11.0", "newest", "2026.10.1"), sources("2026.11.0")) == {
            Version("2026.11.0"): ["newest"],
            Version("2026.10.1"): [],
        }

    def test_pypi_is_not_asked_in_vain(self) -> None:
        """Versions that are given need no network."""
        here = Sources(minimum_version, locked_version, never, never)
        assert len(choose(("2026.11.0", "minimum", "locked"), here)) == 3

    def test_word_that_is_no_version_is_refused(self) -> None:
        """The message names what there is."""
        with pytest.raises(CompatibilityError, match="oldest is no version and none"):
            chosen("oldest")

    def test_minimum_is_not_newer_than_the_locked_version(self) -> None:
        """Both are read from the files of this checkout."""
        assert Version("2026.10.0") <= minimum_version() <= locked_version()


class TestPackages:
    """What is installed beside Home Assistant."""

    def test_web_page_is_the_one_that_home_assistant_asks_for(self) -> None:
        """Not the locked one, which is another version's."""
        found = requirements(
            '{"requirements": ["home-assistant-frontend==20261028.4"]}'
        )
        pages = [each for each in found if each.startswith("home-assistant-frontend")]
        assert pages == ["home-assistant-frontend==20261028.4"]

    def test_integration_gets_what_its_manifest_asks_for(self) -> None:
        """And what the web page needs."""
        found = requirements('{"requirements": []}')
        assert any(each.startswith("lxml>=") for each in found)
        assert {"hassil", "mutagen"} <= set(found)

    def test_pins_without_wheels_are_left_out(self) -> None:
        """All other constraints stay."""
        text = "aiohttp==3.14.0\npymicro-vad==1.0.1\npyspeex-noise==1.0.2\nlxml==6.1\n"
        assert constraints(text) == "aiohttp==3.14.0\nlxml==6.1\n"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the steps that fail: all is simulated that takes time."""
    broken: set[str] = set()

    def fail(step: str) -> None:
        if step in broken:
            raise StepError("it ended with 1, see above")

    monkeypatch.setattr(
        Trial,
        "_steps",
        lambda self: {
            "install": lambda: fail("install"),
            "mypy": lambda: fail(f"mypy of {self.version}"),
            "e2e": lambda: fail("e2e"),
        },
    )
    return broken


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the command line one that tries a release and a beta."""
    words = ["--cache", str(tmp_path), "2026.11.0", "2026.12.0b1"]
    monkeypatch.setattr(sys, "argv", ["scripts/compatibility", *words])


class TestRun:
    """A run of several versions."""

    def test_steps_after_a_failed_one_are_not_run(
        self,
        broken: set[str],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Version and step are said at once, and again in the table."""
        broken.add("mypy of 2026.11.0")
        trial = Trial(Version("2026.11.0"), tmp_path)
        trial.run()

        said = capsys.readouterr().out
        assert "2026.11.0: mypy FAILED: it ended with 1, see above" in said
        assert table([trial], {trial.version: ["newest"]}) == (
            "version            install  mypy    e2e\n"
            "2026.11.0  newest  0 s      FAILED  not run"
        )

    def test_all_well(
        self, broken: set[str], run: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The exit code says so."""
        assert main() == 0
        assert "all releases are well" in capsys.readouterr().out

    def test_release_that_fails_is_named_at_the_end(
        self, broken: set[str], run: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The other versions are tried all the same."""
        broken.add("mypy of 2026.11.0")

        assert main() == 1
        *_, beta, last = capsys.readouterr().out.splitlines()
        assert beta.split()[-2:] == ["0", "s"]
        assert last == "compatibility: FAILED in 2026.11.0 (mypy)"

    def test_beta_that_fails_is_a_warning(
        self, broken: set[str], run: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is not out yet."""
        broken.add("mypy of 2026.12.0b1")

        assert main() == 0
        said = capsys.readouterr().out
        assert "::warning::Home Assistant 2026.12.0b1: mypy failed" in said

    def test_without_a_beta_there_is_nothing_to_try(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """That is no failure."""
        words = ["scripts/compatibility", "--cache", "unused", "beta"]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(
            compatibility, "newest_version", lambda **_: Version("2026.11.0")
        )

        assert main() == 0
        assert "there is no beta" in capsys.readouterr().out

    def test_unknown_word_is_told_and_nothing_is_tried(
        self,
        broken: set[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The exit code is that of a failure."""
        words = ["scripts/compatibility", "--cache", "unused", "latest"]
        monkeypatch.setattr(sys, "argv", words)

        assert main() == 1
        assert "latest is no version" in capsys.readouterr().err
