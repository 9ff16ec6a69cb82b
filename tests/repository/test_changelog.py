"""CHANGELOG.md keeps its shape, so that a release can be made of it."""

import re

from tests.architecture.source_tree import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def headings() -> list[str]:
    """The releases, newest first."""
    return re.findall(r"^## (.+)$", TEXT, re.MULTILINE)


def test_what_is_not_released_comes_first() -> None:
    """Changes have a place to go to, also after a release."""
    assert headings()[0] == "Unreleased"


def test_releases_have_a_version_and_a_day_and_go_back_in_time() -> None:
    """`## 1.2.3 - 2026-12-31`, each version once."""
    released = headings()[1:]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", one) for one in released)
    versions = [tuple(map(int, one.split(" ")[0].split("."))) for one in released]
    assert versions == sorted(set(versions), reverse=True)
    days = [one.split(" - ")[1] for one in released]
    assert days == sorted(days, reverse=True)


def test_changes_are_sorted_by_kind() -> None:
    """The six kinds of Keep a Changelog, and no entry outside of them."""
    assert set(re.findall(r"^### (.+)$", TEXT, re.MULTILINE)) <= KINDS
    for section in re.split(r"^## .+$", TEXT, flags=re.MULTILINE)[1:]:
        before_kinds = section.split("\n### ", 1)[0]
        assert not re.search(r"^- ", before_kinds, re.MULTILINE)
