"""How well things are counted, as the tables of benchmarks/counting.md.

    python -m benchmarks.counting                   # everything: about half an hour
    python -m benchmarks.counting --quick           # about a minute: fewer phases, seeds, noises
    python -m benchmarks.counting --only clip --why # one part, with each wrong crossing of the clip
    python -m benchmarks.counting --against COMMIT  # cost beside that of another commit

Recorded scenes are read from a folder that is not part of the project; without one only synthetic
scenes and the bundled clip are run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.counting.clip import clip, entrants, tune
from benchmarks.counting.cost import cost
from benchmarks.counting.crops import crops
from benchmarks.counting.curves import curves, flips, standing, synthetic
from benchmarks.counting.measuring import MIN_SCORE, peers
from benchmarks.counting.page import PAGE, Goal, Section, goals_table, replaced
from benchmarks.counting.peers import MISSING, are_here
from benchmarks.counting.place_tables import places
from benchmarks.counting.plaza import scene as plaza_scene
from benchmarks.counting.scene_tables import (
    Delays,
    Extent,
    Results,
    cars,
    delays,
    delays_of,
    detected,
    perfect,
)
from benchmarks.counting.scenes import Scene, recorded
from pipeline.core.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
KEPT = CHECKOUT / "build" / "counting" / "goals.json"
"""What each part of the page reached, for runs of the other parts alone."""
PARTS = (
    "perfect",
    "detected",
    "cars",
    "synthetic",
    "places",
    "delay",
    "curves",
    "standing",
    "flips",
    "clip",
    "crops",
    "cost",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.counting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a run of about a minute")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of the parts")
    parser.add_argument("--scenes", type=Path, help="the folder of the recorded scenes")
    parser.add_argument("--seeds", type=int, default=3, help="of each synthetic scene")
    parser.add_argument("--jobs", type=int, default=1, help="processes that count at a time")
    parser.add_argument("--against", metavar="COMMIT", help="compare the cost with that commit's")
    parser.add_argument("--tiles", default="1x1", help="the clip's engine's tiling, such as 2x1")
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, help="of the clip's boxes")
    parser.add_argument("--ours", action="store_true", help="leave the other trackers out")
    parser.add_argument("--why", action="store_true", help="name the clip's wrong crossings")
    parser.add_argument("--tune", action="store_true", help="search the others' settings (an hour)")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.write and options.quick:
        parser.error("--write needs a whole run: the page's tables are not made with --quick")
    with_peers = not options.ours and not options.quick and are_here()
    if not options.ours and not are_here():
        print(f"{MISSING}.\n")
    if options.tune:
        if are_here():
            tune(plaza_scene(options.tiles))
        return 0
    scenes = _recorded(options.scenes)
    extent = Extent(
        jobs=options.jobs,
        most_phases=2 if options.quick else None,
        peers=peers() if with_peers else (),
        seeds=1 if options.quick else options.seeds,
        quick=options.quick,
    )
    found = []
    for part, make in _parts(options, extent, scenes, with_peers=with_peers).items():
        if part not in options.only:
            continue
        begin = time.monotonic()
        section = make()
        if section is None:
            continue
        found.append(section)
        print(f"## {part} ({time.monotonic() - begin:.0f} s)\n")
        print("\n".join(section.lines), flush=True)
        print("".join(f"\n{goal.text}: {goal.measured}" for goal in section.goals), flush=True)
        print()
    print("## goals\n")
    print("\n".join(goals_table({section.name: section.goals for section in found}).lines))
    if options.write:
        write(found)
    return 0


def write(found: Sequence[Section], path: Path = PAGE, kept: Path = KEPT) -> None:
    """Put sections into the page; what the others reached is known from the runs that made them."""
    goals: dict[str, Sequence[Goal]] = {}
    if kept.is_file():
        written = json.loads(kept.read_text(encoding="utf-8"))
        goals = {part: [Goal(**goal) for goal in some] for part, some in written.items()}
    goals |= {section.name: section.goals for section in found}
    kept.parent.mkdir(parents=True, exist_ok=True)
    text = {part: [asdict(goal) for goal in some] for part, some in goals.items()}
    kept.write_text(json.dumps(text, indent=1), encoding="utf-8")
    page = path.read_text(encoding="utf-8")
    in_order = {part: goals[part] for part in PARTS if part in goals}
    for section in [*found, goals_table(in_order)]:
        page = replaced(page, section)
    path.write_text(page, encoding="utf-8")


def _recorded(folder: Path | None) -> list[Scene]:
    """The recorded scenes, or none, with a sentence."""
    usual = CHECKOUT.parent / "shared" / "scenes"
    if folder is None and not usual.is_dir():
        print(
            "Only synthetic scenes and the bundled clip are run: there is no folder of recorded "
            f"scenes at {usual}; name one with --scenes.\n"
        )
        return []
    return recorded(folder or usual)


def _parts(
    options: argparse.Namespace, extent: Extent, scenes: list[Scene], *, with_peers: bool
) -> Mapping[str, Callable[[], Section | None]]:
    """Every part of the benchmark; those of recorded scenes make nothing where there are none."""
    people = [scene for scene in scenes if scene.label == "person"]
    vehicles = [scene for scene in scenes if scene.label != "person"]
    waits: list[Delays] = []

    def with_scenes(
        make: Callable[[list[Scene], Extent], tuple[Section, Results]], some: list[Scene]
    ) -> Section | None:
        if not some:
            return None
        section, results = make(some, extent)
        waits.append(delays_of(results))
        return section

    def on_synthetic_ones() -> Section:
        section, late = synthetic(extent)
        waits.append(late)
        return section

    return {
        "perfect": lambda: with_scenes(perfect, people),
        "detected": lambda: with_scenes(detected, people),
        "cars": lambda: with_scenes(cars, vehicles),
        "synthetic": on_synthetic_ones,
        "places": lambda: places(extent),
        "delay": lambda: delays(waits) if waits else None,
        "curves": lambda: curves(extent),
        "standing": lambda: standing(extent),
        "flips": lambda: flips(extent),
        "clip": lambda: clip(
            plaza_scene(options.tiles),
            entrants(options.min_score, with_peers=with_peers),
            extent.most_phases,
            why=options.why,
        ),
        "crops": lambda: crops(options.min_score, only_cached=options.quick),
        "cost": lambda: cost(
            options.against,
            people=(10, 50) if options.quick else (10, 50, 100, 200),
            rounds=1 if options.quick else 5,
        ),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigError as error:
        sys.exit(str(error))
