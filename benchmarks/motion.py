"""`where: motion` against the whole picture and against tiles: small people in large pictures.

Usage: python -m benchmarks.motion [--seconds N] [--scene NAME]; prints a table. See motion.md.

The bundled clip is set, small, into a large picture that is made up: a textured ground, sensor
noise, light that changes slowly. Everything between the camera and the rules is real: conversion
by FFmpeg, sampler, worker, the bundled net, tracker, rules. What is asked for is what the same net
finds in the clip by itself, at its own size in 2x2 tiles, with a score of .5 or more. Processor
time is that of the process, without making the pictures up.
"""

import argparse
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from connectors.queues.memory import MemoryConfig
from connectors.sources.ffmpeg.pictures import PixelConverter, VideoPicture
from pipeline.core.answers import Boxes
from pipeline.core.engines import EngineRequest
from pipeline.core.frames import Picture, Pixels
from pipeline.core.geometry import Box, iou
from pipeline.core.rules import Observation
from pipeline.core.sources import Need
from pipeline.core.tasks import Detect
from pipeline.deployment.loader import parse
from pipeline.inference.engines.coco import CocoConfig
from pipeline.inference.worker import Worker
from pipeline.processing.judge import Judge
from pipeline.runtime.assembly import camera_of, lanes_of, plans_of
from pipeline.sampling.camera import SamplerContext
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.sampler import Sampler
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock

ROOT = Path(__file__).parent.parent
CLIP = ROOT / "configs" / "media" / "plaza.mp4"
TRUTH = ROOT / "tests" / "data" / "plaza.truth.json"
CACHE = ROOT / "build" / "motion"
START = 1_700_000_000.0
CLIP_FPS = 10
SURE, FOUND, HIT_IOU = 0.5, 0.3, 0.5
NOISE_LEVELS, LIGHT, LIGHT_S = 3.0, 0.15, 60.0


@dataclass(frozen=True)
class MadeScene:
    """A large picture with the clip in it."""

    name: str
    size_wh: tuple[int, int]
    clip_wh: tuple[int, int]
    at_xy: tuple[int, int]
    tiles: str
    fps: int = 2
    plays: tuple[float, float] = (0.0, 79.0)
    """Seconds of the clip in which people move; before and after they stand still."""

    def placed(self, box: Box) -> Box:
        """A box of the clip in the whole picture."""
        (x, y), (w, h), (width, height) = self.at_xy, self.clip_wh, self.size_wh
        return (
            (x + box[0] * w) / width,
            (y + box[1] * h) / height,
            (x + box[2] * w) / width,
            (y + box[3] * h) / height,
        )

    def clip_frame(self, seconds: float) -> int:
        """Which of the clip's frames is shown."""
        return round((min(max(seconds, self.plays[0]), self.plays[1]) - self.plays[0]) * CLIP_FPS)


SCENES = (
    MadeScene("1080p, people of 5 %", (1920, 1080), (512, 384), (900, 500), "3x2"),
    MadeScene("4K, people of 3 %", (3840, 2160), (640, 480), (2100, 1100), "4x3"),
    MadeScene("1080p, 10 s of it", (1920, 1080), (512, 384), (900, 500), "3x2", plays=(20.0, 30.0)),
    MadeScene("1080p, all stand", (1920, 1080), (512, 384), (900, 500), "3x2", plays=(20.0, 20.0)),
    MadeScene("the clip alone, 768×576", (768, 576), (768, 576), (0, 0), "2x2"),
)


@dataclass
class Tally:
    """What one way of looking found, and what it took."""

    wanted: int = 0
    hit: int = 0
    false: int = 0
    frames: int = 0
    cpu_s: float = 0.0
    share: float = 1.0
    crossings: dict[str, int] = field(default_factory=dict)


def clip_frames() -> Sequence[Pixels]:
    """The clip, decoded."""
    with av.open(str(CLIP)) as clip:
        frames = clip.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


def ground(size_wh: tuple[int, int]) -> Pixels:
    """A textured ground with edges, the same each time."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(60, 170, (size_wh[1] // 60, size_wh[0] // 60, 3)).astype(np.uint8)
    fine = rng.integers(0, 40, (size_wh[1] // 6, size_wh[0] // 6, 3)).astype(np.uint8)
    large = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.add(large, cv2.resize(fine, size_wh)), np.uint8)


def pictures(scene: MadeScene, clip: Sequence[Pixels], seconds: float) -> Iterator[Picture]:
    """The scene's pictures, each as FFmpeg hands it over."""
    converter = PixelConverter()
    below = ground(scene.size_wh)
    rng = np.random.default_rng(3)
    shape = (scene.size_wh[1], scene.size_wh[0], 3)
    noise = rng.normal(0.0, NOISE_LEVELS, shape).astype(np.int8)
    (x, y), (w, h) = scene.at_xy, scene.clip_wh
    for n in range(int(seconds * scene.fps)):
        at = n / scene.fps
        frame = below.copy()
        shown = clip[min(scene.clip_frame(at), len(clip) - 1)]
        how = cv2.INTER_AREA if w < shown.shape[1] else cv2.INTER_LINEAR
        frame[y : y + h, x : x + w] = cv2.resize(shown, (w, h), interpolation=how)
        gain = 1.0 + LIGHT * np.sin(2 * np.pi * at / LIGHT_S)
        frame = np.asarray(cv2.convertScaleAbs(frame, alpha=float(gain)), np.uint8)
        shifted = np.roll(noise, (37 * n, 91 * n), axis=(0, 1))
        frame = np.asarray(cv2.add(frame, shifted, dtype=cv2.CV_8U), np.uint8)
        video = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
        yield VideoPicture(video, START + at, converter)


def reference(clip: Sequence[Pixels], numbers: Sequence[int]) -> dict[int, list[tuple[Box, float]]]:
    """What the net finds in the clip at its own size, in tiles; kept between runs."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "reference.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    missing = [number for number in numbers if str(number) not in kept]
    if missing:
        engine = CocoConfig(tiles="2x2").build()
        task = Detect("people", "coco", "person", 200)
        for number in missing:
            (answer,) = engine.submit(EngineRequest(clip[number], (task,))).result(600)
            assert isinstance(answer, Boxes)
            kept[str(number)] = [[*answer.boxes_xyxy], [*answer.scores]]
        engine.close()
        path.write_text(json.dumps(kept))
    return {
        number: [
            ((box[0], box[1], box[2], box[3]), score)
            for box, score in zip(*kept[str(number)], strict=True)
        ]
        for number in numbers
    }


class NoSource:
    """Stands for a recording: the pictures are offered one by one."""

    live = False
    run = "made"

    def open(self, need: Need) -> None:
        """Nothing to open."""

    def pictures(self) -> Iterator[Picture]:
        """None: they are offered."""
        return iter(())

    def counters(self) -> Mapping[str, int]:
        """Nothing is lost."""
        return {}

    def close(self) -> None:
        """Nothing to close."""


def deployment_text(scene: MadeScene, where: str, tiles: str) -> str:
    """The deployment that looks at the scene in one way, with the clip's two lines."""
    lines, rules = [], []
    for line in json.loads(TRUTH.read_text())["lines"]:
        ends = [*line["from"], *line["to"]]
        x0, y0, x1, y1 = scene.placed((ends[0], ends[1], ends[2], ends[3]))
        lines.append(f"      {line['name']}: {{from: [{x0}, {y0}], to: [{x1}, {y1}]}}")
        rules.append(
            f"      {line['name']}: {{type: line_crossing, of: people, line: {line['name']}}}"
        )
    return "\n".join(
        [
            "version: 1",
            f"engines: {{coco: {{type: coco, tiles: {tiles}}}}}",
            "cameras:",
            "  made:",
            "    source: {type: file, path: made.mp4}",
            f"    sample: {{every: {1000 // scene.fps}ms}}",
            f"    tasks: {{people: {{detect: person, where: {where}, max_objects: 200}}}}",
            "    lines:",
            *lines,
            "    rules:",
            *rules,
        ]
    )


def measured(
    scene: MadeScene,
    clip: Sequence[Pixels],
    known: Mapping[int, list[tuple[Box, float]]],
    where: str,
    tiles: str,
    seconds: float,
) -> Tally:
    """Look at the scene in one way."""
    deployment = parse(deployment_text(scene, where, tiles)).deployment
    clock, metrics = ManualClock(START), Metrics()
    queues = MemoryConfig().build(clock)
    camera = replace(camera_of(deployment, "made", clock, {}), source=NoSource())
    health = CameraHealth("made", lambda _: None, metrics)
    context = SamplerContext(queues, lambda _: None, metrics, clock)
    sampler = Sampler(camera, context, health, threading.Event())
    sampler.begin("made")
    (lane,) = lanes_of(deployment, clock)
    worker = Worker(lane, queues.jobs, metrics, clock)
    seen: list[Observation] = []
    (plan,) = plans_of(deployment)
    judge = Judge("made", plan.lanes[0], lambda observed, _task, _size: seen.append(observed))
    tally = Tally()
    for n, picture in enumerate(pictures(scene, clip, seconds)):
        began = time.process_time()
        sampler.offer(picture)
        given = worker.feed(0.0)
        while given:
            given -= worker.hand_on(60.0)
        for delivered in queues.results.take(10, 0.0):
            for event in judge.judge(delivered.result).events:
                name = f"{event.rule} {event.data.get('direction', event.type)}"
                tally.crossings[name] = tally.crossings.get(name, 0) + 1
        tally.cpu_s += time.process_time() - began
        tally.frames += 1
        answer = seen[-1].answer
        assert isinstance(answer, Boxes)
        wanted = known[min(scene.clip_frame(n / scene.fps), len(clip) - 1)]
        score(tally, scene, wanted, answer)
    lane.engine.close()
    jobs = metrics.value("moonwatch_focused_jobs_total", camera="made", engine="coco")
    looked = metrics.value("moonwatch_pictures_looked_at_total", camera="made", engine="coco")
    tally.share = looked / jobs if jobs else 1.0
    return tally


def score(
    tally: Tally, scene: MadeScene, wanted: Sequence[tuple[Box, float]], answer: Boxes
) -> None:
    """Add one picture: what was wanted and hit, and what is nothing that the net finds there."""
    known = [(scene.placed(box), score) for box, score in wanted]
    found = list(zip(answer.boxes_xyxy, answer.scores, strict=True))
    pairs = sorted(
        (
            (iou(box, other), i, j)
            for i, (box, _) in enumerate(known)
            for j, (other, _) in enumerate(found)
        ),
        reverse=True,
    )
    hit: set[int] = set()
    used: set[int] = set()
    for overlap, i, j in pairs:
        if overlap >= HIT_IOU and i not in hit and j not in used:
            hit.add(i)
            used.add(j)
    sure = {i for i, (_, s) in enumerate(known) if s >= SURE}
    tally.wanted += len(sure)
    tally.hit += len(sure & hit)
    tally.false += sum(j not in used and s >= 0.4 for j, (_, s) in enumerate(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description="The bundled clip set into larger scenes, looked at as a whole, by tiles and "
        "`where: motion`: who is found, and the processor time for it. Some ten minutes."
    )
    parser.add_argument("--seconds", type=float, default=79.0, help="of each scene; default 79")
    parser.add_argument("--scene", help="only scenes whose name holds this")
    asked = parser.parse_args()
    scenes = [scene for scene in SCENES if (asked.scene or "") in scene.name]
    if not scenes:
        names = ", ".join(repr(scene.name) for scene in SCENES)
        parser.error(f"--scene {asked.scene}: no scene has that in its name; there are {names}")
    clip = clip_frames()
    print(
        "| scene | looks at | recall | false a frame | CPU ms a frame | of the picture "
        "| crossings |"
    )
    print("|---|---|---|---|---|---|---|")
    for scene in scenes:
        times = [n / scene.fps for n in range(int(asked.seconds * scene.fps))]
        numbers = sorted({min(scene.clip_frame(at), len(clip) - 1) for at in times})
        known = reference(clip, numbers)
        for name, where, tiles in (
            ("the whole picture", "picture", "1x1"),
            (f"tiles {scene.tiles}", "picture", scene.tiles),
            ("where it moves", "motion", "1x1"),
        ):
            tally = measured(scene, clip, known, where, tiles, asked.seconds)
            crossings = ", ".join(f"{k} {v}" for k, v in sorted(tally.crossings.items()))
            print(
                f"| {scene.name} | {name} | {tally.hit / max(1, tally.wanted):.3f} "
                f"| {tally.false / tally.frames:.2f} | {tally.cpu_s / tally.frames * 1000:.0f} "
                f"| {tally.share:.2f} | {crossings} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
