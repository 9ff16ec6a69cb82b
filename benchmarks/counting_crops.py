"""The bundled clip cut off at its edges, so that they run through people: what is still counted.

`python -m benchmarks.counting_crops` prints the table of counting.md's section "Cut at the edges".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import av
import numpy as np

from benchmarks.counting_scene import (
    ASPECT,
    CACHE,
    CLIP,
    CLIP_FPS,
    LOWEST_SCORE,
    Look,
    Update,
)
from benchmarks.counting_scene import detections as detections_of_whole
from pipeline.core.answers import Boxes
from pipeline.core.geometry import Box, Line, Point, Polygon
from pipeline.core.rules import Observation, Verdict
from pipeline.core.tasks import Detect
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines.coco import CocoConfig
from pipeline.rules.at_work.line_crossing import LineCrossing
from pipeline.rules.at_work.occupancy import Occupancy
from pipeline.rules.context import RuleContext
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.tracking.config import TrackerConfig

SEEN_SHARE = 1 / 3
"""Of whom less than this is in the picture, nobody can be seen."""


@dataclass(frozen=True, slots=True)
class Crop:
    """What is kept of the picture, in 0..1 of the whole one."""

    name: str
    kept: Box


CROPS = (
    Crop("lower 35 % off", (0.0, 0.0, 1.0, 0.65)),
    Crop("left 30 % off", (0.3, 0.0, 1.0, 1.0)),
    Crop("right 30 % off", (0.0, 0.0, 0.7, 1.0)),
    Crop("upper 30 % off", (0.0, 0.3, 1.0, 1.0)),
)


def detections(crop: Crop) -> list[Look]:
    """The engine's persons in every cropped frame; computed once, then read from `build/`."""
    path = CACHE / f"plaza_crop_{'_'.join(f'{edge:g}' for edge in crop.kept)}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_detect(crop)))
    return [
        Look(at, tuple(tuple(box) for box in boxes), tuple(scores))
        for at, boxes, scores in json.loads(path.read_text())
    ]


def _detect(crop: Crop) -> list[tuple[float, list[Box], list[float]]]:
    net = Coco(CocoConfig(min_score=LOWEST_SCORE))
    task = Detect("people", "fast", "person", max_objects=200)
    found = []
    with av.open(str(CLIP)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            whole = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            height, width = whole.shape[:2]
            left, upper, right, lower = crop.kept
            pixels = np.ascontiguousarray(
                whole[
                    round(upper * height) : round(lower * height),
                    round(left * width) : round(right * width),
                ]
            )
            (answer,) = net.answer([(pixels, [task])])[0]
            assert isinstance(answer, Boxes)
            found.append((index / CLIP_FPS, list(answer.boxes_xyxy), list(answer.scores)))
    return found


def of_whole(crop: Crop, place: Point, reach: bool = False) -> Point:
    """A place of the cropped picture (0..1) as one of the whole picture.

    With `reach`, what lies on the lower or upper edge of the crop is moved to where the feet of
    people are of whom a third is still to be seen.
    """
    left, upper, right, lower = crop.kept
    x, y = left + place[0] * (right - left), upper + place[1] * (lower - upper)
    if reach and lower < 1.0 and place[1] == 1.0:
        y += (1.0 - SEEN_SHARE) * height_at(y)
    if reach and upper > 0.0 and place[1] == 0.0:
        y += SEEN_SHARE * height_at(y)
    return (x, y)


def height_at(y: float) -> float:
    """The usual height of people whose feet are at that height of the whole picture."""
    return float(np.interp(y, (0.3, 0.4, 0.46, 0.55, 0.76), (0.10, 0.12, 0.14, 0.15, 0.19)))


ZONES = {
    "all": Polygon(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),
    "left half": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))),
    "lower half": Polygon(((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))),
}
LINES = {
    "down": Line((0.5, 0.0), (0.5, 1.0)),
    "over": Line((0.0, 0.6), (1.0, 0.6)),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run counted: by line (in, out), and by zone the mean."""

    counts: dict[str, tuple[int, int]]
    occupancy: dict[str, float]


def judged(
    update: Update,
    looks: Sequence[Look],
    crossing: Mapping[str, LineCrossing],
    occupancy: Mapping[str, Occupancy],
) -> Outcome:
    """Track the looks, and let the shipped rules count."""
    counts = dict.fromkeys(crossing, (0, 0))
    verdicts: dict[str, list[Verdict]] = {name: [] for name in occupancy}
    for seq, look in enumerate(looks):
        tracks = tuple(update(look.at, look.boxes, look.scores))
        seen = Observation(
            "plaza", "run", seq, look.at, Boxes("fast", look.boxes, look.scores), tracks
        )
        for name, rule in crossing.items():
            for event in rule.judge(seen).events:
                entered, left = counts[name]
                came = event.data["direction"] == "in"
                counts[name] = (entered + came, left + (not came))
        for name, level in occupancy.items():
            verdicts[name].append(level.judge(seen))
    means = {}
    for name, level in occupancy.items():
        verdicts[name].append(level.finish(looks[-1].at))
        minutes = {bucket.minute: bucket for one in verdicts[name] for bucket in one.buckets}
        samples = sum(bucket.samples for bucket in minutes.values())
        total = sum((bucket.values["mean"] or 0.0) * bucket.samples for bucket in minutes.values())
        means[name] = total / samples
    return Outcome(counts, means)


def counted(crop: Crop, looks: Sequence[Look], fps: int, cropped: bool) -> Outcome:
    """What is counted in the cropped picture, or on the same ground in the whole one."""
    left, upper, right, lower = crop.kept
    aspect = ASPECT * (right - left) / (lower - upper) if cropped else ASPECT

    def put(place: Point) -> Point:
        return place if cropped else of_whole(crop, place, reach=True)

    context = RuleContext(
        camera="plaza",
        rule="counting",
        label="person",
        every_s=1.0 / fps,
        lines={name: Line(put(line.start), put(line.end)) for name, line in LINES.items()},
        zones={name: Polygon(tuple(map(put, zone.corners))) for name, zone in ZONES.items()},
        aspect=aspect,
    )
    update = TrackerConfig().build("person", aspect).update
    return judged(
        update,
        looks,
        {name: LineCrossingConfig(of="people", line=name).build(context) for name in LINES},
        {name: OccupancyConfig(of="people", zone=name).build(context) for name in ZONES},
    )


def main() -> None:
    """Print the table."""
    print(f"| cut off | frames/s | {' | '.join([*ZONES, *LINES])} |")
    print(f"|---|---|{'---|' * (len(ZONES) + len(LINES))}")
    score = CocoConfig().min_score
    whole = [look.above(score) for look in detections_of_whole("1x1")]
    for crop in CROPS:
        cut = [look.above(score) for look in detections(crop)]
        for fps in (10, 5, 2, 1):
            every = CLIP_FPS // fps
            wanted = [counted(crop, whole[i::every], fps, cropped=False) for i in range(every)]
            found = [counted(crop, cut[i::every], fps, cropped=True) for i in range(every)]
            cells = [crop.name, str(fps)]
            for zone in ZONES:
                was, now = (fmean(run.occupancy[zone] for run in runs) for runs in (wanted, found))
                cells.append(f"{now:.2f} of {was:.2f} ({now / was - 1:+.0%})")
            for line in LINES:
                was_in, was_out, now_in, now_out = (
                    fmean(run.counts[line][side] for run in runs)
                    for runs in (wanted, found)
                    for side in (0, 1)
                )
                cells.append(f"{now_in:.1f} + {now_out:.1f} of {was_in:.1f} + {was_out:.1f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
