"""A scene whose detector takes some things for another kind, through a whole deployment's judge."""

import json
from collections.abc import Mapping, Sequence

from benchmarks.counting.replay import START, Outcome
from benchmarks.counting.scenes import Crossing, Direction, Scene
from pipeline.core.answers import Boxes
from pipeline.core.jobs import Result
from pipeline.core.rules import Verdict
from pipeline.deployment.loader import parse
from pipeline.processing.judge import Judge
from pipeline.runtime.assembly import plans_of

KINDS = ("car", "truck")
"""What the two tasks look for; the second is the wrong one."""
_SIZE_WH = (1280, 720)


def deployment_text(scene: Scene, fps: float) -> str:
    """A camera with a task for each kind, each counted on every line, and nothing else said."""
    file = {
        "version": 1,
        "cameras": {
            "road": {
                "source": {"type": "rtsp", "url": "rtsp://camera.example/road"},
                "sample": {"every": f"{round(1000 / fps)}ms"},
                "lines": {
                    name: {"from": list(line.start), "to": list(line.end)}
                    for name, line in scene.lines.items()
                },
                "tasks": {kind: {"detect": kind} for kind in KINDS},
                "rules": {
                    f"{kind}-{line}": {"type": "line_crossing", "of": kind, "line": line}
                    for kind in KINDS
                    for line in scene.lines
                },
            }
        },
        "engines": {"fast": {"type": "scripted", "answers": {kind: [[]] for kind in KINDS}}},
        "sinks": {"out": {"type": "stdout"}},
    }
    return json.dumps(file)


def judged(scene: Scene, fps: float, phase: int = 0) -> tuple[Outcome, Mapping[str, int]]:
    """What is counted under either kind together, and how much under each."""
    assert scene.classes is not None
    deployment = parse(deployment_text(scene, fps), environment={}).deployment
    (plan,) = plans_of(deployment)
    (lane,) = plan.lanes
    judge = Judge("road", lane)
    found: dict[str, list[Crossing]] = {line: [] for line in scene.lines}
    under = dict.fromkeys(KINDS, 0)
    ids: set[int] = set()

    def report(verdict: Verdict) -> None:
        for event in verdict.events:
            kind, line = event.rule.split("-", 1)
            under[kind] += 1
            track = (event.subject.track if event.subject else None) or 0
            ids.add(track)
            direction: Direction = "in" if event.data["direction"] == "in" else "out"
            found[line].append(Crossing(event.at - START, track, direction))

    rows = scene.detections.tolist()
    frames = scene.frames_at(fps, phase)
    by_frame: dict[int, list[tuple[list[float], int]]] = {frame: [] for frame in frames}
    for row, kind in zip(rows, scene.classes.tolist(), strict=True):
        if int(row[0]) in by_frame:
            by_frame[int(row[0])].append((row, kind))
    for ordinal, frame in enumerate(frames):
        answers = {
            name: _answer([row for row, kind in by_frame[frame] if kind == number])
            for number, name in enumerate(KINDS)
        }
        at = START + frame / scene.fps
        report(judge.judge(_result(ordinal, at, answers)))
    report(judge.judge(_result(len(frames), START + frames[-1] / scene.fps, {}, last=True)))
    return Outcome(found, {}, len(ids)), under


def _answer(rows: Sequence[Sequence[float]]) -> Boxes:
    boxes = tuple((row[2], row[3], row[4], row[5]) for row in rows)
    return Boxes("fast", boxes, tuple(row[1] for row in rows))


def _result(ordinal: int, at: float, answers: Mapping[str, Boxes], *, last: bool = False) -> Result:
    return Result(
        camera="road",
        run="run",
        engine="fast",
        ordinal=ordinal,
        seq=ordinal,
        captured_at=at,
        size_wh=_SIZE_WH,
        live=False,
        answers=answers,
        last=last,
    )
