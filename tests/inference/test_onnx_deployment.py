"""A detector in an ONNX file in a deployment: checked, run, and said where it runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.errors import ConfigError
from pipeline.core.machine import usable_cores
from pipeline.deployment.loader import load, missing_here, read
from pipeline.runtime.reports import Report
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.inference.onnx_nets import ultralytics, write_net
from tests.runtime.clips import camera, cut, deployment, written
from tests.wild.test_first_hour import moonwatch

NAMES = ("person", "car")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A YOLO that sees one person in every picture, in the middle."""
    table = np.zeros((6, 84))
    table[:4], table[4, 0] = [[32.0], [32.0], [16.0], [24.0]], 0.9
    return write_net(tmp_path / "yolo.onnx", {"output0": table}, metadata=ultralytics(NAMES))


def deployed(folder: Path, engine: dict[str, Any], label: str = "person") -> Path:
    """A camera that plays a piece of the clip, and the engine."""
    shown = camera(cut(folder / "clip.mp4", 2.0))
    shown["tasks"] = {"people": {"detect": label, "engine": "net"}}
    return written(folder, deployment(folder, {"door": shown}, engines={"net": engine}))


def test_a_file_is_judged_from_end_to_end(tmp_path: Path, net: Path) -> None:
    """`run` plays it with the net's boxes; what it records says where the person is."""
    file = deployed(tmp_path, {"type": "onnx", "model": str(net)})
    record = tmp_path / "tracks.jsonl"
    done = moonwatch("run", str(file), "--record", str(record))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    boxes = [track["box"] for line in lines for track in line["tracks"]]
    assert boxes
    # 768 x 576 lies in the 64 x 64 of the net with 8 pixels of grey above and below.
    wanted = (24 / 64, (20 - 8) / 48, 40 / 64, (44 - 8) / 48)
    np.testing.assert_allclose(boxes, [wanted] * len(boxes), atol=0.02)


@pytest.mark.parametrize(
    ("engine", "label", "place", "said"),
    [
        ({"model": "nowhere.onnx"}, "person", "engines.net.model", "there is no file nowhere.onnx"),
        ({"format": "detr"}, "person", "engines.net.format", "yolo.onnx is not detr"),
        ({"classes": ["a"]}, "a", "engines.net.classes", "has 2 classes, but `classes` names 1"),
        ({"size": 640}, "person", "engines.net.size", "takes pictures of 64x64 only"),
        ({}, "persn", "cameras.door.tasks.people.detect", "did you mean person?"),
    ],
)
def test_a_check_says_what_the_file_is_not(
    tmp_path: Path, net: Path, engine: dict[str, Any], label: str, place: str, said: str
) -> None:
    """At the line it is about, without loading anything."""
    file = deployed(tmp_path, {"type": "onnx", "model": str(net), **engine}, label)
    (problem,) = missing_here(read(file), only_fatal=True)
    assert problem.path == place
    assert said in problem.message


def test_classes_by_number_are_read_from_a_file(tmp_path: Path, net: Path) -> None:
    """Keys of YAML are text; another label is refused before the net is looked at."""
    engine = {"type": "onnx", "model": str(net), "labels": {1: "van"}, "provider": "cpu"}
    file = deployed(tmp_path, engine, "van")
    assert missing_here(read(file)) == []
    with pytest.raises(ConfigError, match="'car' is not the only class of `classes`, which is van"):
        read(deployed(tmp_path, engine, "car"))


def test_a_check_of_it_loads_no_library_of_the_work(tmp_path: Path, net: Path) -> None:
    """The file's own words are enough; and all of it is well."""
    file = deployed(tmp_path, {"type": "onnx", "model": str(net)})
    done = moonwatch("check", str(file), without=("onnxruntime", "numpy", "cv2", "onnx"))
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout


def test_what_it_runs_on_is_in_metrics_health_and_reports(tmp_path: Path, net: Path) -> None:
    """A provider that is not here is passed over; the next one is named with the reason."""
    engine = {"type": "onnx", "model": str(net), "providers": ["openvino", "cpu"]}
    file = deployed(tmp_path, engine)
    metrics, clock = Metrics(), ManualClock()
    queues = MemoryConfig().build(clock)
    stage = InferenceStage(StageContext(load(file), queues, metrics, clock))
    try:
        assert metrics.value("moonwatch_engine_provider", engine="net", provider="cpu") == 1
        (note,) = stage.notes
        assert note.startswith("engine net: yolo.onnx runs on cpu: openvino is not in this build")
        assert stage.remark() == note
    finally:
        stage.stop(1.0)
    said = Report.of_bytes(Report("inference", "here", 1, 1.0, notes=[note]).to_bytes())
    assert said is not None
    assert said.notes == (note,)


def test_cores_are_those_that_a_container_gives(tmp_path: Path) -> None:
    """By its quota, at least one and no more than there are."""
    every = usable_cores(tmp_path)
    assert every >= 1
    for limit, cores in (("max 100000", every), ("100000 100000", 1), ("20000 100000", 1)):
        (tmp_path / "cpu.max").write_text(limit)
        assert usable_cores(tmp_path) == cores
    (tmp_path / "cpu.max").write_text("9900000 100000")
    assert usable_cores(tmp_path) == every
