"""Every contender on a scene, at a rate, over all phases of sampling."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from statistics import fmean
from typing import Any, Literal, TypeVar

from benchmarks.counting.peers import Settings, as_it_comes, by_line_zone, scaled
from benchmarks.counting.replay import Outcome, Update, moonwatch, replay, true_ids
from benchmarks.counting.scenes import Look, Scene, Shown
from benchmarks.counting.scoring import errors, unmatched

RATES = (10, 5, 2, 1)
MIN_SCORE = 0.3
"""The engine's default: what is fainter our tracker is not shown."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A tracker and the rule that counts its tracks."""

    name: str
    kind: Literal["moonwatch", "true ids", "package"] = "moonwatch"
    settings: Settings | None = None
    line_zone: bool = False
    """Counted by supervision's LineZone instead of our rule."""

    def run(self, scene: Scene, looks: Sequence[Look], fps: float) -> Outcome:
        """Count a scene's looks."""
        update: Update
        if self.settings is not None:
            update = self.settings.tracker(scene, fps)
        elif self.kind == "true ids":
            update = true_ids(scene)
        else:
            update = moonwatch(scene)
            looks = [look.above(MIN_SCORE) if not look.ids else look for look in looks]
        if self.line_zone:
            return by_line_zone(scene, looks, update)
        return replay(scene, looks, update, 1 / fps)


OURS = Contender("moonwatch")
FLOOR = Contender("true ids, our rule", "true ids")


def peers() -> list[Contender]:
    """The package's trackers: as they come, scaled to the rate, and judged by our rule."""
    plain, told = as_it_comes(), scaled()
    return [
        contender
        for kind in plain
        for contender in (
            Contender(f"{kind} as it comes, LineZone", "package", plain[kind], line_zone=True),
            Contender(f"{kind} scaled, LineZone", "package", told[kind], line_zone=True),
            Contender(f"{kind} scaled, our rule", "package", told[kind]),
        )
    ]


@dataclass(frozen=True, slots=True)
class Figures:
    """A contender on a scene at a rate: means over the phases."""

    true: int
    errors: float
    worst: int
    """Errors of the worst phase."""
    missed: float
    invented: float
    upright_true: int
    upright_errors: float
    """Of vertical lines alone: those along nobody's walk."""
    occupancy: Mapping[str, float]
    ids: float
    delays_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    scene: Scene
    shown: Shown
    contender: Contender
    fps: int
    most_phases: int | None = None

    def measure(self) -> Figures:
        """Run every phase."""
        scene, outcomes = self.scene, list(self.outcomes())
        upright = [
            name
            for name, line in scene.lines.items()
            if line.start[0] == line.end[0] and name in scene.crossings
        ]
        wrong = [errors(scene, outcome.crossings) for outcome in outcomes]
        apart = [unmatched(scene, outcome.crossings) for outcome in outcomes]
        return Figures(
            true=scene.crossings_made,
            errors=fmean(wrong),
            worst=max(wrong),
            missed=fmean(len(one.missed) for one in apart),
            invented=fmean(len(one.invented) for one in apart),
            upright_true=sum(len(scene.crossings[line]) for line in upright),
            upright_errors=fmean(errors(scene, o.crossings, upright) for o in outcomes),
            occupancy={
                zone: fmean(outcome.occupancy[zone] for outcome in outcomes)
                for zone in scene.zones
                if all(zone in outcome.occupancy for outcome in outcomes)
            },
            ids=fmean(outcome.ids for outcome in outcomes),
            delays_s=tuple(delay for outcome in outcomes for delay in outcome.delays_s),
        )

    def outcomes(self) -> Iterable[Outcome]:
        """What is found in each phase."""
        for phase in self.scene.phases(self.fps, self.most_phases):
            looks = self.scene.looks(self.shown, self.fps, phase)
            yield self.contender.run(self.scene, looks, self.fps)


def measured(cases: Sequence[Case], jobs: int = 1) -> list[Figures]:
    """The figures of all cases, in their order, worked out in so many processes."""
    return spread_over(Case.measure, [(case,) for case in cases], jobs)


_T = TypeVar("_T")


def spread_over(work: Callable[..., _T], given: Sequence[tuple[Any, ...]], jobs: int) -> list[_T]:
    """Call a function with each of several arguments, in so many processes."""
    if jobs == 1:
        return [work(*arguments) for arguments in given]
    return list(_pool(jobs).map(work, *zip(*given, strict=True), chunksize=2))


@cache
def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def at_rates(
    scene: Scene,
    shown: Shown,
    contender: Contender,
    rates: Sequence[int] = RATES,
    most_phases: int | None = None,
) -> list[Case]:
    """A contender's cases on a scene, one for each rate."""
    return [Case(scene, shown, contender, fps, most_phases) for fps in rates]
