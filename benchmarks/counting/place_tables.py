"""Tables of places seen by a pinhole camera: ours, the floor and ByteTrack through our rule."""

from benchmarks.counting.measuring import FLOOR, OURS, RATES, Case, Figures, measured
from benchmarks.counting.page import Section, table
from benchmarks.counting.places import PLACES, place
from benchmarks.counting.scene_tables import Extent, share
from benchmarks.counting.scenes import Scene, Shown
from benchmarks.counting.synthetic import Noise, make

NOISE = Noise(
    jitter=0.03, miss=0.08, spell_s=0.4, second=0.06, upper=0.4, score=0.75, score_sd=0.12
)
"""Of a usual detector."""
FIRST_SEED = 11
PHASES = 2
HEAD = (
    "place (true crossings)",
    "boxes",
    "counted by",
    *(f"{fps}/s" for fps in RATES),
    "missed + invented",
    "occupancy",
)


def places(extent: Extent) -> Section:
    """A few rows for each place, all seeds together."""
    byte = [peer for peer in extent.peers if peer.name == "ByteTrack scaled, our rule"]
    rows = []
    for name in PLACES:
        seeds = range(FIRST_SEED, FIRST_SEED + extent.seeds)
        scenes = [make(place(name, seed), NOISE, seed) for seed in seeds]
        true = sum(scene.crossings_made for scene in scenes)
        for told in ("true", "detector's"):
            usual: Shown = "perfect" if told == "true" else "detected"
            for contender in (OURS, *((FLOOR,) if told == "true" else ()), *byte):
                shown: Shown = "identified" if contender == FLOOR else usual
                cases = [
                    Case(scene, shown, contender, fps, PHASES) for fps in RATES for scene in scenes
                ]
                figures = measured(cases, extent.jobs)
                step = len(scenes)
                by_rate = [figures[i * step : (i + 1) * step] for i in range(len(RATES))]
                wrong = [sum(of.errors for of in some) for some in by_rate]
                rows.append(
                    (
                        f"{name} ({true})",
                        told,
                        contender.name,
                        *(f"{share(of, true):.1%}" for of in wrong),
                        " ".join(
                            f"{sum(of.missed for of in some):.0f}"
                            f"+{sum(of.invented for of in some):.0f}"
                            for some in by_rate
                        ),
                        ", ".join(
                            f"{zone} {_off(zone, scenes, by_rate)}" for zone in scenes[0].zones
                        ),
                    )
                )
    return Section("places", table(HEAD, rows))


def _off(zone: str, scenes: list[Scene], by_rate: list[list[Figures]]) -> str:
    """How far the mean of a zone is from the truth, at each rate."""
    true = sum(scene.occupancy[zone] for scene in scenes) or 1.0
    read = (sum(of.occupancy[zone] for of in some) for some in by_rate)
    return "/".join(f"{(value / true - 1) * 100:+.0f}" for value in read) + " %"
