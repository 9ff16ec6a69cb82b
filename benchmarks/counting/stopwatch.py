"""Processor time of tracker and rules, for whichever version of the package is imported.

A script of its own, which knows nothing of this benchmark: it is run with the package of another
commit, too. The first line on the standard input holds the looks as JSON; for every further line
all of them are shown once to a new tracker and new rules, and a line with the seconds that the
tracker, the line rule and the zone rule took for each look leaves on the output.
"""

import gc
import json
import sys
import time
from typing import Any

from pipeline.core.answers import Boxes
from pipeline.core.geometry import Line, Polygon
from pipeline.core.rules import Observation
from pipeline.rules.context import RuleContext
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.tracking.config import TrackerConfig

START = 1_700_000_000.0


def main() -> None:
    """Time the looks as often as is asked."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    looks = [
        (START + at, tuple((row[0], row[1], row[2], row[3]) for row in rows), tuple(scores))
        for at, rows, scores in given["looks"]
    ]
    context = RuleContext(
        camera="cam",
        rule="r",
        label="person",
        every_s=given["every_s"],
        lines={"mid": Line((0.5, 0.0), (0.5, 1.0))},
        zones={"left": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))},
        aspect=given["aspect"],
    )
    for _ in sys.stdin:
        spent: list[tuple[float, float, float]] = []
        tracker = TrackerConfig().build("person", given["aspect"])
        crossing = LineCrossingConfig(of="t", line="mid").build(context)
        occupancy = OccupancyConfig(of="t", zone="left").build(context)
        gc.collect()
        for seq, (at, boxes, scores) in enumerate(looks):
            begin = time.process_time()
            tracks = tracker.update(at, boxes, scores)
            tracked = time.process_time()
            seen = Observation("cam", "run", seq, at, Boxes("e", boxes, scores), tracks)
            crossing.judge(seen)
            crossed = time.process_time()
            occupancy.judge(seen)
            done = time.process_time()
            spent.append((tracked - begin, crossed - tracked, done - crossed))
        print(json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
