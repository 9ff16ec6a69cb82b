"""Every engine keeps the promises of the port."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.answers import Answer, Boxes, Number
from pipeline.core.engines import Engine
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Count, Detect, Task
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines._moondream import MoondreamEngine
from pipeline.inference.engines._onnx.detector import OnnxDetector
from pipeline.inference.engines.batching import BatchingEngine
from pipeline.inference.engines.coco import CocoConfig
from pipeline.inference.engines.moondream import MoondreamConfig
from pipeline.inference.engines.onnx import OnnxConfig
from pipeline.inference.engines.scripted import Scripted
from pipeline.inference.engines.transformers import TransformersConfig
from pipeline.moondream import Moondream
from pipeline.testing import ManualClock
from tests.contracts.engines import EngineContract, Gate, GatedModel
from tests.inference.detectors import write_rt_detr
from tests.inference.onnx_nets import write_net

GOLDEN = Path(__file__).parents[1] / "golden"


class TestCoco(EngineContract):
    """The bundled detector, one picture at a time."""

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """As its config builds it, with a gate before the net."""
        return BatchingEngine(GatedModel(Coco(CocoConfig()), gate), 1, 0.0, clock)


class TestOnnx(EngineContract):
    """A net in an ONNX file that takes any number of pictures at a time."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def file(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Its scores and boxes depend on how bright a picture is."""
        cls.model = tmp_path_factory.mktemp("net") / "net.onnx"
        rows = np.array([[8.0, 8, 24, 24, 0.2, 0], [30, 30, 60, 60, 0.1, 0]])
        slopes = {"output0": np.array([0.0, 0, 9, 9, 1, 0])}
        write_net(cls.model, {"output0": rows}, slopes, batch="batch")

    model: Path

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """As its config builds it, with a gate before the net."""
        config = OnnxConfig(model=self.model, classes=("person",))
        return BatchingEngine(GatedModel(OnnxDetector(config), gate), 3, 0.01, clock)


class TestScripted(EngineContract):
    """A function of pixels and task, in batches."""

    UNKNOWN = Detect("unknown", "fast", "unicorn")

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """A script that sees how bright a picture is, and cannot bear a grey one."""

        def script(pixels: Pixels, task: Task) -> Answer:
            if task.id == "unknown":
                raise KeyError(task.id)
            level = float(pixels[0, 0, 0]) / 255
            if isinstance(task, Count):
                return Number(task.engine, round(level * 100))
            return Boxes(task.engine, ((0.0, 0.0, level, 1.0),), (1.0,))

        return BatchingEngine(GatedModel(Scripted(script), gate), 3, 0.01, clock)


class TestTransformers(EngineContract):
    """A tiny RT-DETR, in batches."""

    TASKS = (
        Detect("people", "fast", "person", max_objects=3),
        Count("cars", "fast", "car", max_objects=3),
    )

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The checkpoint."""
        cls.checkpoint = tmp_path_factory.mktemp("rt_detr")
        write_rt_detr(cls.checkpoint)

    checkpoint: Path

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """As its config builds it, with a gate before the net."""
        config = TransformersConfig(
            model=str(self.checkpoint), device="cpu", min_score=0.02, local_files_only=True
        )
        return BatchingEngine(GatedModel(config.load(), gate), 3, 0.01, clock)


class TestMoondream(EngineContract):
    """The golden model, fed while it runs."""

    @pytest.fixture(autouse=True)
    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What puts the gate before each step."""
        self.monkeypatch = monkeypatch

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """As its config builds it, with a gate before each of the model's steps."""
        config = MoondreamConfig(model=str(GOLDEN), device="cpu", max_crops=1, max_batch=4)
        model = Moondream.load(GOLDEN, device="cpu", max_batch=16)
        step = model.engine.step

        def gated_step() -> None:
            gate.go_through()
            step()

        self.monkeypatch.setattr(model.engine, "step", gated_step)
        return MoondreamEngine(model, config, clock)
