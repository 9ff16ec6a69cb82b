"""How well people are counted at 10, 5, 2 and 1 frames a second: our tracker and two others.

`python -m benchmarks.counting [--tiles 1x1] [--min-score 0.3] [--why] [--tune]` prints the tables
of counting.md. `--why` names every missed and every invented crossing; `--tune` searches the other
trackers' settings for the ones that do best on the two lines of the truth.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.counting_peers import TUNED, Settings, as_it_comes, candidates
from benchmarks.counting_scene import (
    ASPECT,
    CLIP_FPS,
    OTHER_LINES,
    TRUE_CROSSINGS,
    TRUE_OCCUPANCY,
    Look,
    Outcome,
    Update,
    count,
    detections,
    difference,
    explained,
)
from pipeline.inference.engines.coco import CocoConfig
from pipeline.tracking.config import TrackerConfig

RATES = (10, 5, 2, 1)


Make = Callable[[int], tuple[Update, float]]
"""For a frame rate: a fresh tracker, and the lowest score of the boxes it is given."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those compared."""

    name: str
    make: Make


def ours(min_score: float) -> Contender:
    """The shipped tracker as it comes."""
    return Contender(
        "moonwatch", lambda _: (TrackerConfig().build("person", ASPECT).update, min_score)
    )


def theirs(name: str, settings: Callable[[int], Settings]) -> Contender:
    """A package tracker with its settings for each rate."""
    return Contender(name, lambda fps: (settings(fps).tracker(fps), settings(fps).min_score))


def contenders(min_score: float) -> list[Contender]:
    """All that are compared."""
    usual = as_it_comes()
    return [
        ours(min_score),
        *(theirs(f"{kind}, plain IoU", _always(one)) for kind, one in usual.items()),
        *(
            theirs(f"{kind}, best in hindsight", by_rate.__getitem__)
            for kind, by_rate in TUNED.items()
        ),
    ]


def _always(settings: Settings) -> Callable[[int], Settings]:
    return lambda _: settings


def runs(contender: Contender, looks: Sequence[Look], fps: int) -> list[Outcome]:
    """One run for each way of taking `fps` of the clip's frames: phase 0 first."""
    every = CLIP_FPS // fps
    found = []
    for phase in range(every):
        update, min_score = contender.make(fps)
        found.append(count(update, [look.above(min_score) for look in looks[phase::every]], fps))
    return found


def table(some: Sequence[Contender], looks: Sequence[Look]) -> list[tuple[str, int, Outcome]]:
    """Print a row for each contender and rate; returns the runs of phase 0."""
    print(
        "| tracker | frames/s | line error, phase 0 | mean of phases | worst phase "
        "| 12 other lines against its own 10/s | occupancy | ids |"
    )
    print("|---|---|---|---|---|---|---|---|")
    first = []
    for contender in some:
        own: Outcome | None = None
        for fps in RATES:
            found = runs(contender, looks, fps)
            own = own or found[0]
            print(_row(contender.name, fps, found, own))
            first.append((contender.name, fps, found[0]))
    return first


def _row(name: str, fps: int, found: Sequence[Outcome], own: Outcome) -> str:
    errors = [outcome.errors for outcome in found]
    wanted = {line: own.counts[line] for line in OTHER_LINES}
    total = sum(sum(pair) for pair in wanted.values())
    apart = sum(difference(outcome.counts, wanted) for outcome in found) / len(found)
    occupancy = sum(outcome.occupancy for outcome in found) / len(found)
    ids = sum(outcome.ids for outcome in found) / len(found)
    cells = [
        name,
        str(fps),
        f"{errors[0]} ({errors[0] / TRUE_CROSSINGS:.1%})",
        f"{sum(errors) / len(errors) / TRUE_CROSSINGS:.1%}",
        f"{max(errors) / TRUE_CROSSINGS:.1%}",
        "-" if fps == CLIP_FPS else f"{apart / total:.1%} of {total}",
        f"{occupancy:.2f} ({occupancy / TRUE_OCCUPANCY - 1:+.0%})",
        f"{ids:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def tune(looks: Sequence[Look]) -> None:
    """Print each package tracker's best settings at each rate, judged on phase 0 of the truth."""
    for kind in TUNED:
        for fps in RATES:
            best = min(
                (count(one.tracker(fps), _taken(looks, one.min_score, fps), fps).errors, str(one))
                for one in candidates(kind)
            )
            print(f"{fps:2d} frames/s: {best[0]} errors: {best[1]}")


def _taken(looks: Sequence[Look], min_score: float, fps: int) -> list[Look]:
    return [look.above(min_score) for look in looks[:: CLIP_FPS // fps]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", default="1x1", help="the engine's tiling, such as 2x1")
    parser.add_argument("--min-score", type=float, default=CocoConfig().min_score)
    parser.add_argument("--ours", action="store_true", help="leave the other trackers out")
    parser.add_argument("--why", action="store_true", help="name every wrong crossing")
    parser.add_argument("--tune", action="store_true", help="search the others' settings")
    options = parser.parse_args()
    looks = detections(options.tiles)
    if options.tune:
        tune(looks)
        return
    some = contenders(options.min_score)[: 1 if options.ours else None]
    for name, fps, outcome in table(some, looks):
        if options.why:
            print(f"\n{name}, {fps} frames/s:")
            print("\n".join(f"  {line}" for line in explained(outcome)))


if __name__ == "__main__":
    main()
