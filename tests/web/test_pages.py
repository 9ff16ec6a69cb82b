"""The pages as files: what browsers keep of them, how large they are, what they bring along."""

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.runtime.clips import CLIP, camera, deployment, written
from tests.web.applications import application
from tests.web.browser import PAGES

MOST_SCRIPT = 150_000
MOST_AT_FIRST = 300_000
built = pytest.mark.skipif(
    not (PAGES / "index.html").is_file(), reason="needs the built pages: make web"
)


def packed(file: Path) -> int:
    """Bytes as they go over the wire."""
    return len(gzip.compress(file.read_bytes()))


def test_the_description_in_the_documentation_is_that_of_the_routes() -> None:
    """`make web-types` writes it anew."""
    kept = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    code, printed, errors = moonwatch("web", "--openapi")
    assert code == 0, errors
    now = json.loads(printed)
    # It is that of the release, when it was written.
    kept["info"].pop("version")
    now["info"].pop("version")
    assert kept == now, "routes have changed: make web-types"


@built
def test_browsers_keep_what_is_named_by_its_content_and_ask_for_the_rest(tmp_path: Path) -> None:
    """A new version is seen at once, and only what has changed is fetched."""
    with application(written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}))) as app:
        page = app.client.get(f"{app.url}/events")
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["content-type"].startswith("text/html")
        script = re.findall(r'src="(/assets/[^"]+\.js)"', page.text)[0]
        found = app.client.get(app.url + script)
        assert found.status_code == 200
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        gone = app.client.get(f"{app.url}/assets/index-old.js")
        assert gone.status_code == 404
        assert "another version" in gone.json()["error"]["message"]


@built
def test_the_pages_are_small() -> None:
    """All scripts together, and what is loaded before the first view: the frame and its font."""
    scripts = sum(packed(file) for file in PAGES.glob("**/*.js"))
    assert scripts <= MOST_SCRIPT, f"{scripts} bytes of script"
    index = (PAGES / "index.html").read_text(encoding="utf-8")
    first = [PAGES / name for name in re.findall(r'(?:src|href)="/(assets/[^"]+)"', index)]
    assert len(first) >= 2
    first += PAGES.glob("assets/*.woff2")
    size = sum(map(packed, [PAGES / "index.html", *first]))
    assert size <= MOST_AT_FIRST, f"{size} bytes at first"


@built
def test_the_pages_name_the_licences_of_what_they_bring_along() -> None:
    """Beside the bundle, for whoever passes it on."""
    text = (PAGES / "LICENSES.txt").read_text(encoding="utf-8")
    for name in ("preact", "@preact/signals", "uplot", "@fontsource-variable/inter"):
        assert re.search(rf"^{re.escape(name)} \d", text, re.MULTILINE), name
    assert "Permission is hereby granted" in text
