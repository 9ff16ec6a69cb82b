"""Every deployment that the README and the guides show is a good one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.deployment.loader import parse
from tests.architecture.source_tree import ROOT

ENVIRONMENT = {
    "CAM_USER": "user",
    "CAM_PASSWORD": "word",
    "YARD_CAMERA": "rtsp://user:word@10.0.0.7/stream2",
    "GUARD_WEBHOOK": "https://guard.example/hook",
    "CAMERA_PASSWORD": "word",
    "PHONE_URL": "ntfys://ntfy.sh/topic",
    "MAIL_PASSWORD": "word",
    "MQTT_PASSWORD": "word",
    "GPU_KEY": "key",
}
PAGES = ("README.md", "docs/moondream.md")
TASKS = sorted((ROOT / "docs" / "tasks").glob("*.md"))


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


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_each_step_of_a_task_is_accepted(page: Path) -> None:
    """The file as it is written first, and with each addition of a later step."""
    text = page.read_text(encoding="utf-8")
    first, *additions = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    written = parse(first, environment=ENVIRONMENT)
    assert written.deployment.web.listen == ":8090"
    whole = yaml.safe_load(first)
    for addition in additions:
        add(whole, yaml.safe_load(addition))
        assert parse(yaml.safe_dump(whole), environment=ENVIRONMENT).deployment.cameras, addition
    assert additions


def add(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Write a step's part into the file; what has a type replaces what stood there."""
    for key, value in part.items():
        if isinstance(value, dict) and "type" not in value and key in whole:
            add(whole[key], value)
        else:
            whole[key] = value


def test_there_are_tasks() -> None:
    """The folder above is the right one."""
    assert len(TASKS) >= 3
