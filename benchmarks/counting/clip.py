"""The bundled clip: the detector's boxes against a person's count, beside tuned trackers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.counting.measuring import MIN_SCORE, RATES
from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.peers import TUNED, Settings, candidates, scaled
from benchmarks.counting.plaza import OTHER_LINES, TRUE_LINES
from benchmarks.counting.replay import Outcome, moonwatch, replay
from benchmarks.counting.scenes import Look, Scene
from benchmarks.counting.scoring import counted, errors, unmatched

LIMITS = {10: 0.02, 5: 0.02, 2: 0.04, 1: 0.07}
HEAD = (
    "tracker",
    "frames/s",
    "line error, phase 0",
    "mean of phases",
    "worst phase",
    "12 other lines against its own 10/s",
    "occupancy of crossroads",
    "of lawn",
    "ids",
)


@dataclass(frozen=True, slots=True)
class Entrant:
    """One of those compared: a run of it over a phase's looks."""

    name: str
    run: Callable[[Scene, Sequence[Look], int], Outcome]


def ours(min_score: float = MIN_SCORE) -> Entrant:
    """The shipped tracker as it comes."""
    return Entrant(
        "moonwatch",
        lambda scene, looks, fps: replay(
            scene, [look.above(min_score) for look in looks], moonwatch(scene), 1 / fps
        ),
    )


def theirs(name: str, settings: Callable[[int], Settings]) -> Entrant:
    """A package tracker with its settings for each rate."""
    return Entrant(
        name,
        lambda scene, looks, fps: replay(scene, looks, settings(fps).tracker(scene, fps), 1 / fps),
    )


def entrants(min_score: float, *, with_peers: bool) -> list[Entrant]:
    """All that are compared."""
    found = [ours(min_score)]
    if with_peers:
        found += [theirs(f"{kind}, plain IoU", _always(one)) for kind, one in scaled().items()]
        found += [
            theirs(f"{kind}, best in hindsight", by_rate.__getitem__)
            for kind, by_rate in TUNED.items()
        ]
    return found


def _always(settings: Settings) -> Callable[[int], Settings]:
    return lambda _: settings


def clip(
    scene: Scene, some: Sequence[Entrant], most_phases: int | None = None, *, why: bool = False
) -> Section:
    """A row for each entrant and rate; with `why`, every wrong crossing of phase 0 is printed."""
    true = scene.crossings_made
    rows, of_ours = [], {}
    for entrant in some:
        own: Outcome | None = None
        for fps in RATES:
            found = [
                entrant.run(scene, scene.looks("detected", fps, phase), fps)
                for phase in scene.phases(fps, most_phases)
            ]
            own = own or found[0]
            wrong = [errors(scene, outcome.crossings) for outcome in found]
            apart = fmean(_apart(outcome, own) for outcome in found)
            total = sum(len(own.crossings[line]) for line in OTHER_LINES)
            zones = {zone: fmean(o.occupancy[zone] for o in found) for zone in scene.zones}
            rows.append(
                [
                    entrant.name,
                    str(fps),
                    f"{wrong[0]} ({wrong[0] / true:.1%})",
                    f"{fmean(wrong) / true:.1%}",
                    f"{max(wrong) / true:.1%}",
                    "-" if fps == RATES[0] else f"{apart / total:.1%} of {total}",
                    *(
                        f"{mean:.2f} ({mean / scene.occupancy[zone] - 1:+.0%})"
                        for zone, mean in zones.items()
                    ),
                    f"{fmean(o.ids for o in found):.0f}",
                ]
            )
            if entrant is some[0]:
                of_ours[fps] = (fmean(wrong) / true, zones)
            if why:
                print(f"\n{entrant.name}, {fps} frames/s:")
                print("\n".join(f"  {line}" for line in explained(scene, found[0])))
    return Section("clip", table(HEAD, rows), _goals(scene, of_ours))


def _apart(outcome: Outcome, own: Outcome) -> int:
    """How far the other lines' counts are from those of the same tracker at 10 a second."""
    wrong = 0
    for line in OTHER_LINES:
        seen, wanted = counted(outcome.crossings[line]), counted(own.crossings[line])
        wrong += sum(abs(seen[direction] - wanted[direction]) for direction in wanted)
    return wrong


def _goals(scene: Scene, of_ours: Mapping[int, tuple[float, Mapping[str, float]]]) -> list[Goal]:
    off = {
        (zone, fps): mean / scene.occupancy[zone] - 1
        for fps, (_, zones) in of_ours.items()
        for zone, mean in zones.items()
    }
    told = " / ".join(f"{limit * 100:g}" for limit in LIMITS.values())

    def worst(zone: str, most: float) -> Goal:
        by_rate = [off[zone, fps] for fps in RATES]
        return Goal(
            f"clip: occupancy of `{zone}` within {most:.0%} at 10, 5, 2 and 1/s",
            " / ".join(f"{value:+.1%}" for value in by_rate),
            all(abs(value) <= most for value in by_rate),
        )

    return [
        Goal(
            f"clip, its own two lines, mean over phases: ≤ {told} % at 10/5/2/1 looks a second",
            " / ".join(f"{of_ours[fps][0]:.1%}" for fps in RATES),
            all(of_ours[fps][0] <= limit + 1e-9 for fps, limit in LIMITS.items()),
        ),
        worst("crossroads", 0.05),
        worst("lawn", 0.10),
    ]


def explained(scene: Scene, outcome: Outcome) -> list[str]:
    """For each line of the truth: crossings that were missed, and those nobody made."""
    apart = unmatched(scene, outcome.crossings)
    lines = []
    for name in TRUE_LINES:
        missed = [f"{made.at:.1f} {made.direction}" for line, made in apart.missed if line == name]
        extra = [
            f"{made.at:.1f} {made.direction} (track {made.track})"
            for line, made in apart.invented
            if line == name
        ]
        told = f"missed {', '.join(missed) or 'none'}; extra {', '.join(extra) or 'none'}"
        lines.append(f"{name}: {told}")
    return lines


def tune(scene: Scene) -> None:
    """Print each package tracker's best settings at each rate, judged on phase 0 of the truth."""
    for kind in TUNED:
        for fps in RATES:
            looks = scene.looks("detected", fps)
            best = min(
                (
                    errors(scene, replay(scene, looks, one.tracker(scene, fps), 1 / fps).crossings),
                    str(one),
                )
                for one in candidates(kind)
            )
            print(f"{fps:2d} frames/s: {best[0]} errors: {best[1]}")
