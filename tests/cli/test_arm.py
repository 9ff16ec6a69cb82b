"""`moonwatch arm` and `disarm`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands import moonwatch

FILE: dict[str, Any] = {
    "version": 1,
    "site": {"name": "Shop", "timezone": "Europe/Berlin"},
    "engines": {"fast": {"type": "coco"}},
    "cameras": {
        name: {
            "source": {"type": "rtsp", "url": f"rtsp://10.0.0.9/{name}"},
            "tasks": {"people": {"detect": "person"}},
            "rules": {"anyone": {"type": "occupancy", "of": "people", "more_than": 0}},
        }
        for name in ("door", "yard")
    },
    "sinks": {"out": {"type": "stdout"}},
}


def written(folder: Path, when: str) -> Path:
    """A file whose door reports as is said."""
    content = {**FILE, "store": {"url": f"sqlite:///{folder}/moonwatch.db"}}
    content["cameras"]["door"]["rules"]["anyone"]["when"] = when
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_who_disarmed_what_is_seen(tmp_path: Path) -> None:
    """By the one who did it, and by everybody who looks at the status."""
    file = written(tmp_path, "armed")
    code, said, _ = moonwatch("disarm", file, "--camera", "door", "--by", "Anna")
    assert (code, "camera door: disarmed from 20" in said, "by Anna" in said) == (0, True, True)
    code, said, _ = moonwatch("status", file, "--json")
    state = json.loads(said)
    assert state["armed"]["door"]["by"] in ("Anna", "the plan")  # it holds in two seconds
    code, said, _ = moonwatch("arm", file, "--json")
    (change,) = json.loads(said)
    assert (code, change["camera"], change["is_armed"]) == (0, None, True)
    assert "@" in change["by"]


def test_a_switch_that_changes_nothing_says_so(tmp_path: Path) -> None:
    """No rule of the camera asks whether it is armed."""
    file = written(tmp_path, "armed")
    code, said, _ = moonwatch("disarm", file, "--camera", "yard")
    assert code == 0
    assert "all report as before" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--camera", "dor"), "there is no camera 'dor'; did you mean door?"),
        (("--by", " "), "a name of 1 to 200 letters"),
        (("--by", "a\nb"), "on one line"),
    ],
)
def test_bad_input_switches_nothing(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """It is refused with a sentence that names the way out."""
    code, _, errors = moonwatch("arm", written(tmp_path, "armed"), *arguments)
    assert code == 2
    assert words in " ".join(errors.split())
