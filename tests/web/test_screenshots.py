"""The pictures of the application that the documentation has."""

import re

from tests.architecture.source_tree import ROOT
from tests.web.screenshots import VIEWS

_PICTURES = ROOT / "docs" / "images" / "web"


def test_every_picture_is_made_and_shown_and_of_twelve_views() -> None:
    """None is left over from a view that has gone, none is kept for nobody, and none is missing."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    said = {
        name
        for page in pages
        for name in re.findall(r"images/web/([\w.-]+)\)", page.read_text(encoding="utf-8"))
    }
    made = {look.file_of(view) for view in VIEWS for look in view.kept}
    kept = {file.name for file in _PICTURES.iterdir()}
    assert kept == made == said
    assert sum(bool(view.kept) for view in VIEWS) >= 12
    assert all(file.read_bytes()[8:12] == b"WEBP" for file in _PICTURES.iterdir())
    assert sum(file.stat().st_size for file in _PICTURES.iterdir()) < 1_000_000
