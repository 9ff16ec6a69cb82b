"""Processor time of tracker and rules, for whichever version of the package is imported.

A script of its own, which knows nothing of this benchmark: it is run with the package of another
commit, too. Looks come as JSON on the standard input, seconds a look leave on the output.
"""

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
    """Time every look; the first quarter warms up."""
    given: dict[str, Any] = json.load(sys.stdin)
    context = RuleContext(
        camera="cam",
        rule="r",
        label="person",
        every_s=given["every_s"],
        lines={"mid": Line((0.5, 0.0), (0.5, 1.0))},
        zones={"left": Polygon(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))},
        aspect=given["aspect"],
    )
    tracker = TrackerConfig().build("person", given["aspect"])
    crossing = LineCrossingConfig(of="t", line="mid").build(context)
    occupancy = OccupancyConfig(of="t", zone="left").build(context)
    tracking = judging = 0.0
    timed, warm = 0, len(given["looks"]) // 4
    for seq, (at, rows, scores) in enumerate(given["looks"]):
        boxes = tuple((row[0], row[1], row[2], row[3]) for row in rows)
        begin = time.process_time()
        tracks = tracker.update(START + at, boxes, scores)
        between = time.process_time()
        answer = Boxes("e", boxes, tuple(scores))
        seen = Observation("cam", "run", seq, START + at, answer, tracks)
        crossing.judge(seen)
        occupancy.judge(seen)
        done = time.process_time()
        if seq >= warm:
            tracking, judging, timed = (
                tracking + between - begin,
                judging + done - between,
                timed + 1,
            )
    json.dump({"tracker": tracking / timed, "rules": judging / timed}, sys.stdout)


if __name__ == "__main__":
    main()
