"""The site's pages are made of the repository's documents and of the guide."""

import re

import pytest

from tests.architecture.source_tree import ROOT
from tools.site_pages import adjusted, chapter, places, tutorial

LINES = '''"""A chapter.

With a word before.
"""

FILE = """
version: 1
"""


def test_one_thing_is_shown(file: object) -> None:
    """What it is."""
    first = 1

    assert first


def helper() -> None:
    """Is not shown."""
'''


def test_every_document_has_a_place() -> None:
    """And every page that the navigation names is made of one."""
    navigation = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text())
    assert set(navigation) == {place for place in places().values() if place.endswith(".md")} | {
        "tutorial.md"
    }


@pytest.mark.parametrize(
    ("source", "text", "on_site"),
    [
        ("README.md", "[a](docs/metrics.md)", "[a](metrics.md)"),
        ("README.md", "![a](docs/images/demo.jpg)", "![a](images/demo.jpg)"),
        ("README.md", "[a](benchmarks/README.md)", "[a](benchmarks/index.md)"),
        ("benchmarks/README.md", "[a](../docs/moondream.md#x)", "[a](../moondream.md#x)"),
        ("docs/operations.md", "[a](#sizing)", "[a](#sizing)"),
        ("docs/operations.md", "[a](https://a.example)", "[a](https://a.example)"),
        ("docs/configuration.md", "[`a`](../configs)", "`a`"),  # not a page
        ("README.md", "```\n[a](docs/metrics.md)\n```", "```\n[a](docs/metrics.md)\n```"),
    ],
)
def test_links_lead_to_pages(source: str, text: str, on_site: str) -> None:
    """Wherever the document stands on the site; code is left alone."""
    assert adjusted(text, source) == on_site


def test_a_link_to_nothing_is_refused() -> None:
    """With the document and the link."""
    with pytest.raises(SystemExit, match=r"README\.md: links to docs/nowhere\.md"):
        adjusted("[a](docs/nowhere.md)", "README.md")


def test_a_chapter_shows_the_code_of_its_tests() -> None:
    """As it is, without what pytest needs around it."""
    assert list(chapter(LINES)) == [
        "## A chapter",
        "With a word before.",
        '```yaml title="FILE"\nversion: 1\n```',
        "### One thing is shown",
        "What it is.",
        "```python\nfirst = 1\n\nassert first\n```",
    ]


def test_the_tutorial_has_every_test_of_the_guide() -> None:
    """In the order of the files."""
    guide = ROOT / "tests" / "guide"
    tests = [
        name
        for path in sorted(guide.glob("test_*.py"))
        for name in re.findall(r"^def test_(\w+)", path.read_text(), re.MULTILINE)
    ]
    shown = re.findall(r"^### (.+)$", tutorial(guide), re.MULTILINE)
    assert [heading.lower().replace(" ", "_") for heading in shown] == [t.lower() for t in tests]
    assert len(shown) >= 15
