"""What is learned of a scene is kept with the checkpoint, for as long as it is the same scene."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.events import JsonValue
from pipeline.core.store import Commit
from pipeline.tracking.scene_figures import SceneFigures, figures_of
from tests.processing.life_scene import SHOP, results, shop
from tests.processing.test_life import CAMERA, Site

LOOKS = 120
ELSEWHERE = shop(**{f"{CAMERA}source": {"type": "rtsp", "url": "rtsp://10.0.0.10/yard"}})
OTHER_LOGIN = shop(**{f"{CAMERA}source": {"type": "rtsp", "url": "rtsp://me:pw@10.0.0.9/door"}})
OTHER_LINE = shop(**{f"{CAMERA}lines__till": {"from": [0.1, 0.7], "to": [0.9, 0.7]}})
OTHER_ENGINE = shop(engines__fast={"type": "coco", "min_score": 0.5})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A shop that was watched for a minute."""
    made = Site(tmp_path)
    made.feed(results(0, LOOKS))
    yield made
    made.store.close()


def state(site: Site) -> dict[str, Any]:
    """The lane's state in the store."""
    kept = site.store.checkpoint("door", "fast")
    assert kept is not None
    assert isinstance(kept.state, dict)
    return kept.state


def kept(site: Site) -> JsonValue:
    """What the store has of the people's scene."""
    scene: JsonValue = state(site)["tasks"]["people"]["scene"]
    return scene


def known(site: Site) -> SceneFigures:
    """Its figures."""
    return figures_of(kept(site))


def test_it_is_learned_and_kept(site: Site) -> None:
    """Every look, for tasks that are tracked; a count has no scene."""
    assert known(site).looks == LOOKS
    assert known(site).tracks > 5
    assert known(site).rate == pytest.approx(2.0)
    assert state(site)["tasks"]["carts"]["scene"] is None


def test_a_restart_in_the_middle_of_anything_changes_nothing(site: Site, tmp_path: Path) -> None:
    """The same bytes as without a break."""
    folder = tmp_path / "broken"
    folder.mkdir()
    broken = Site(folder)
    try:
        for first in range(0, LOOKS, 17):
            broken.feed(results(first, min(first + 17, LOOKS)))
            broken.restart(SHOP)
        assert json.dumps(kept(broken)) == json.dumps(kept(site))
    finally:
        broken.store.close()


@pytest.mark.parametrize("scene", [OTHER_LOGIN, OTHER_LINE], ids=["login", "line"])
@pytest.mark.parametrize("is_restart", [True, False])
def test_it_outlives_edits_of_other_things(
    site: Site, scene: dict[str, Any], is_restart: bool
) -> None:
    """A moved line, for which it was learned, and another password."""
    (site.restart if is_restart else site.reload)(scene)
    site.feed(results(LOOKS, LOOKS + 10))
    assert known(site).looks == LOOKS + 10


@pytest.mark.parametrize("scene", [ELSEWHERE, OTHER_ENGINE], ids=["source", "engine"])
def test_another_scene_begins_anew(site: Site, scene: dict[str, Any]) -> None:
    """What another camera or detector did says nothing about this one."""
    site.restart(scene)
    site.feed(results(LOOKS, LOOKS + 10))
    assert known(site).looks == 10


def test_another_shape_of_the_picture_begins_anew(site: Site) -> None:
    """The places of the grid are others."""
    site.feed([replace(one, size_wh=(640, 480)) for one in results(LOOKS, LOOKS + 10)])
    assert known(site).looks == 10
    assert known(site).aspect == pytest.approx(4 / 3)


def test_it_outlives_a_clock_that_is_set_back(site: Site) -> None:
    """Tracks do not go on across that, but the scene is the same."""
    before = known(site)
    back = [
        replace(one, captured_at=one.captured_at - 3600.0) for one in results(LOOKS, LOOKS + 20)
    ]
    site.feed(back)
    assert known(site).looks == before.looks + 20


@pytest.mark.parametrize("damage", ["none", "missing", "version", "counts"])
def test_a_checkpoint_without_it_is_resumed(site: Site, damage: str) -> None:
    """Of an earlier release, or damaged: rules go on as if nothing was, and it is learned anew."""
    checkpoint = site.store.checkpoint("door", "fast")
    assert checkpoint is not None
    changed: Any = copy.deepcopy(checkpoint.state)
    task = changed["tasks"]["people"]
    match damage:
        case "none":
            task["scene"] = None
        case "missing":
            del task["scene"]
        case "version":
            task["scene"]["version"] = 99
        case _:
            task["scene"]["counts"] = "1,x"
    site.store.commit(Commit(checkpoints=[replace(checkpoint, state=changed)]))
    site.restart(SHOP)
    site.feed(results(LOOKS, LOOKS + 10))
    assert known(site).looks == 10
    assert state(site)["tasks"]["people"]["tracker"]["next_id"] > 5
