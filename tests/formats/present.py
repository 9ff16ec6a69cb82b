"""The present tree judging the made-up hall, from the beginning or from where a store was left."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.answers import Answer, Boxes, Number, Text
from pipeline.core.jobs import Result, health_result
from pipeline.core.measures import Health
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.formats import scene

FOLDER = Path(__file__).parent


def deployment(folder: Path) -> Deployment:
    """The deployment of the golden stores, with its store in `folder`."""
    return load(FOLDER / "deployment.yaml", [f"store.url=sqlite:///{folder}/store.db"])


def result(frame: int) -> Result:
    """What an engine says of a frame."""
    boxes = scene.people(frame)
    is_open = scene.door_is_open(frame)
    answers: dict[str, Answer] = {
        "people": Boxes("fake", tuple(boxes), (0.9,) * len(boxes)),
        "door": Text("fake", "yes" if is_open else "no", 0.9 if is_open else 0.1),
        "boxes": Number("fake", scene.stack(frame)),
    }
    at = scene.captured_at(frame)
    return Result(
        "hall", scene.RUN, "fake", frame, frame, at, (1280, 720), live=True, answers=answers
    )


def judge(made: Deployment, first: int, end: int) -> None:
    """Judge frames `first` up to `end` on the deployment's store, resuming what it holds."""
    clock = ManualClock(scene.captured_at(first))
    queues = made.queue.build(clock)
    store = made.store.build(clock)
    try:
        snapshots = Snapshots(queues.shelf, made.store.build_media())
        context = ProcessorContext(queues.results, store, snapshots, Metrics(), clock)
        processor = Processor(plans_of(made), context)
        processor.resume()
        store.register_sinks(list(made.sinks))
        if first == 0:
            said = Health("hall", scene.START, "online")
            queues.results.publish([health_result(said, run=scene.RUN)], 1)
        for frame in range(first, end):
            if frame == 100:
                dark = Health("hall", scene.captured_at(frame), "black", "the picture is black")
                queues.results.publish([health_result(dark, run=scene.RUN)], 1)
            queues.results.publish([result(frame)], 1)
            clock.advance(scene.EVERY_S)
            processor.step(0.0)
    finally:
        store.close()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, where relative paths of a deployment lead."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
