"""A deployment that has run: two cameras over the bundled clip, with events and pictures."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.cli.commands import moonwatch
from tests.runtime.clips import camera, cut, deployment, written

SECONDS = 32.0
"""Length of the recording of `plaza`; that of `door` has half of it. Both begin at STARTS_AT."""

_BOXES = Path(__file__).parent / "plaza_boxes.json"
"""The persons whom the bundled detector finds in the recording, every 500 ms; nobody waits."""


def content(folder: Path, **more: Any) -> dict[str, Any]:
    """What the deployment's file says; `more` are sections beside those that it has."""
    plaza = camera(folder / "plaza.mp4")
    door = camera(folder / "door.mp4", every="1s")
    boxes = json.loads(_BOXES.read_text(encoding="utf-8"))
    engines = {}
    for name, config, seen in (("plaza", plaza, boxes), ("door", door, boxes[::2])):
        engines[f"{name}-persons"] = {"type": "scripted", "answers": {"people": seen}}
        config["tasks"]["people"]["engine"] = f"{name}-persons"
    # A copy of each, or what both have in common would be written once, with an anchor.
    cameras = json.dumps(plaza), json.dumps(door)
    apart = dict(zip(("plaza", "door"), map(json.loads, cameras), strict=True))
    return deployment(folder, apart, engines=engines, **more)


def made(folder: Path, **more: Any) -> Path:
    """Run the deployment in a folder, to its end; the path of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    cut(folder / "plaza.mp4", SECONDS)
    cut(folder / "door.mp4", SECONDS / 2)
    file = written(folder, content(folder, **more))
    code, _, errors = moonwatch("run", file)
    assert code == 0, errors
    return file


def copy_of(file: Path, folder: Path) -> Path:
    """The same deployment with its store in another folder, for a test that changes something."""
    shutil.copytree(file.parent, folder, dirs_exist_ok=True)
    copy = folder / file.name
    text = file.read_text(encoding="utf-8").replace(str(file.parent), str(folder))
    copy.write_text(text, encoding="utf-8")
    return copy
