"""Every deployment that the README and the guides show is a good one."""

import re

import pytest

from pipeline.deployment.loader import parse
from tests.architecture.source_tree import ROOT

ENVIRONMENT = {
    "CAM_USER": "user",
    "CAM_PASSWORD": "word",
    "YARD_CAMERA": "rtsp://user:word@10.0.0.7/stream2",
    "GUARD_WEBHOOK": "https://guard.example/hook",
}
PAGES = ("README.md", "docs/moondream.md")


def examples() -> list[tuple[str, str]]:
    """Each YAML block that describes cameras, with the page it stands on."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        found += [(page, block) for block in blocks if "cameras:" in block]
    return found


@pytest.mark.parametrize(("page", "block"), examples())
def test_an_example_is_accepted(page: str, block: str) -> None:
    """As it stands, with the version line that excerpts leave out."""
    text = block if block.startswith("version:") else f"version: 1\n{block}"
    loaded = parse(text, environment=ENVIRONMENT)
    assert loaded.deployment.cameras, page


def test_there_are_examples() -> None:
    """The pattern above still finds them."""
    assert len(examples()) >= 3
