"""What `doctor` says of a store is what processors learned, and nothing is changed by asking."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.stores import StoreConfig
from pipeline.core.answers import Answer, Boxes
from pipeline.core.errors import StoreError
from pipeline.core.jobs import Result
from pipeline.core.store import Commit
from pipeline.deployment.model import Deployment
from pipeline.insight.doctor import NOTHING_YET, DetectorReport, Diagnosis, diagnose
from pipeline.testing import ManualClock
from tests.connectors.stores.postgres import server_url
from tests.processing.life_scene import shop
from tests.processing.test_life import CAMERA, Site
from tests.tracking.scenes import Look
from tests.tracking.street import Detector, across, crowd, seen

SECONDS, RATE = 180.0, 5.0
LOOKS = list(seen(crowd(SECONDS, across), RATE, SECONDS, Detector(misses=0.1)))
PLACES: dict[str, Any] = {
    "lines": {
        "threshold": {"from": [0.5, 0.2], "to": [0.5, 1.0]},
        "till": {"from": [0.1, 0.1], "to": [0.3, 0.1]},
    }
}
SCENE = shop(
    **{f"{CAMERA}lines": PLACES["lines"], f"{CAMERA}sample": {"every": "200ms", "motion": None}}
)


def result(number: int, look: Look) -> Result:
    """What an engine says of a look."""
    answers: dict[str, Answer] = {"people": Boxes("fast", look.boxes, look.scores)}
    return Result(
        *("door", "live-1", "fast", number, number, look.at, (1280, 720)),
        live=True,
        answers=answers,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A street that was watched for three minutes."""
    made = Site(tmp_path_factory.mktemp("street"), SCENE)
    made.feed([result(number, look) for number, look in enumerate(LOOKS)])
    yield made
    made.store.close()


def deployment(site: Site, scene: dict[str, Any] = SCENE) -> Deployment:
    """The deployment with the site's store."""
    return Deployment.model_validate({**scene, "store": {"url": site.config.url.reveal()}})


def found(site: Site, scene: dict[str, Any] = SCENE) -> tuple[Diagnosis, DetectorReport]:
    """What is known, and what is known of the people at the door."""
    diagnosis = diagnose(deployment(site, scene), ManualClock(LOOKS[-1].at))
    return diagnosis, next(one for one in diagnosis.detectors if one.task == "people")


def test_lines_are_told_apart(site: Site) -> None:
    """One across the street is good, with its crossings, and one where nobody walks is not."""
    diagnosis, people = found(site)
    assert people.scene is not None
    assert people.scene.looks == len(LOOKS)
    places = {place.name: place for place in people.places}
    good, bad = places["threshold"], places["till"]
    assert good.rules == ["entrance"]
    assert not good.placement.remarks
    assert good.crossings is not None
    assert good.crossings > 30
    assert good.per_day is None  # three minutes say nothing about a day
    assert [remark.kind for remark in bad.placement.remarks] == ["empty"]
    problem = next(p for p in diagnosis.problems() if p.path.endswith("till"))
    assert problem.path == "cameras.door.lines.till"
    assert "nobody's feet were seen within half a body of this line" in problem.message
    assert not diagnosis.ok


def test_a_moved_line_is_judged_at_once(site: Site) -> None:
    """The file need not have been applied: that is what `check` is for."""
    moved = shop(
        **{
            f"{CAMERA}lines": {**PLACES["lines"], "till": {"from": [0.7, 0.2], "to": [0.7, 1.0]}},
            f"{CAMERA}zones__shop": {"polygon": [[0.0, 0.4], [1.0, 0.4], [1.0, 1.0], [0.0, 1.0]]},
        }
    )
    diagnosis, people = found(site, moved)
    assert people.scene is not None
    assert [problem.path for problem in diagnosis.problems()] == []


def test_looks_that_are_lost_are_told(site: Site) -> None:
    """The file asks for ten a second, and five were judged."""
    faster = shop(**{f"{CAMERA}sample": {"every": "100ms", "motion": None}})
    _, people = found(site, faster)
    assert ["looked at every 0.2 s" in sentence for sentence in people.advice] == [True]


def test_another_camera_is_not_known_by_this_one(site: Site) -> None:
    """Nothing is said of lines before the new one was watched."""
    moved = shop(**{f"{CAMERA}source": {"type": "rtsp", "url": "rtsp://10.0.0.10/yard"}})
    diagnosis, people = found(site, moved)
    assert people.scene is None
    assert people.unknown is not None
    assert "of another source, engine or question" in people.unknown
    assert diagnosis.ok
    assert not diagnosis.is_learned


def test_a_camera_that_was_renamed_is_known(site: Site) -> None:
    """By the name under which it is still stored."""
    renamed = shop()
    renamed["cameras"] = {"gate": {**SCENE["cameras"]["door"], "was": "door"}}
    diagnosis = diagnose(deployment(site, renamed), ManualClock(LOOKS[-1].at))
    assert [one.camera for one in diagnosis.detectors] == ["gate"]
    assert diagnosis.is_learned


def test_a_reader_changes_nothing(site: Site, tmp_path: Path) -> None:
    """Neither the store nor its folder; and the same is said twice."""
    site.store.close()
    file = site.config.file
    assert file is not None
    before = sorted((p.name, hashlib.sha256(p.read_bytes()).digest()) for p in folder(file))
    first, again = found(site)[0], found(site)[0]
    after = sorted((p.name, hashlib.sha256(p.read_bytes()).digest()) for p in folder(file))
    assert before == after
    assert first == again
    assert json.loads(json.dumps(first.as_json())) == first.as_json()


def folder(file: Path) -> list[Path]:
    """The files beside a store."""
    return [path for path in file.parent.iterdir() if path.is_file()]


def test_before_the_first_run_nothing_is_known(tmp_path: Path) -> None:
    """No store is made for asking."""
    url = f"sqlite:///{tmp_path}/none.db"
    made = Deployment.model_validate({**SCENE, "store": {"url": url}})
    diagnosis = diagnose(made, ManualClock())
    assert [one.unknown for one in diagnosis.detectors] == [NOTHING_YET]
    assert diagnosis.ok
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """As everywhere, with a StoreError."""
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    url = f"sqlite:///{tmp_path}/torn.db"
    with pytest.raises(StoreError):
        diagnose(Deployment.model_validate({**SCENE, "store": {"url": url}}), ManualClock())


@pytest.mark.slow
def test_postgresql_says_the_same(site: Site) -> None:
    """What one database has of a scene, another gives back."""
    with server_url() as url:
        store = StoreConfig(url=url).build(ManualClock(LOOKS[-1].at))
        store.commit(Commit(checkpoints=site.store.checkpoints()))
        store.close()
        made = Deployment.model_validate({**SCENE, "store": {"url": url}})
        people = diagnose(made, ManualClock(LOOKS[-1].at)).detectors[0]
    assert people.scene == found(site)[1].scene
