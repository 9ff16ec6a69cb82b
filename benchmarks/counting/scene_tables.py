"""Tables of scenes: every contender, beside the floor that sampling and the rule leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.counting.measuring import (
    FLOOR,
    OURS,
    RATES,
    Contender,
    Figures,
    at_rates,
    measured,
)
from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.scenes import Scene, Shown

HEAD = (
    "scene (true crossings)",
    "counted by",
    *(f"{fps}/s" for fps in RATES),
    "missed + invented",
    "vertical lines alone",
    "occupancy",
)
MORE_LOOKS = 0.03
"""By how much of the true crossings the error at 10 a second may be above that at 2."""

PEERS_PHASES = 5
"""Of the other trackers not all phases are run, where there are 15 or 30."""

ByRate = Sequence[Figures]
Delays = Mapping[int, Sequence[float]]
"""Seconds, by looks a second."""
Results = Mapping[str, Mapping[str, ByRate]]
"""By contender and scene."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run."""

    jobs: int = 1
    most_phases: int | None = None
    peers: Sequence[Contender] = ()
    seeds: int = 5
    quick: bool = False
    """Only a few strengths of each noise."""


def run(
    scenes: Sequence[Scene], shown: Shown, contenders: Sequence[Contender], extent: Extent
) -> Results:
    """All contenders on all scenes at all rates."""
    pairs = [(contender, scene) for contender in contenders for scene in scenes]
    cases = [
        case
        for contender, scene in pairs
        for case in at_rates(
            scene,
            "identified" if contender == FLOOR else shown,
            contender,
            most_phases=extent.most_phases or (PEERS_PHASES if contender.settings else None),
        )
    ]
    figures = measured(cases, extent.jobs)
    results: dict[str, dict[str, ByRate]] = {contender.name: {} for contender in contenders}
    for number, (contender, scene) in enumerate(pairs):
        found = figures[number * len(RATES) : (number + 1) * len(RATES)]
        results[contender.name][scene.name] = found
    return results


def share(errors: float, true: float) -> float:
    """Errors as a share of true crossings; of none, an error is one whole."""
    return errors / true if true else errors


def rows(scenes: Sequence[Scene], results: Results) -> list[Sequence[str]]:
    """A row for each scene and contender, and the sums over all scenes."""
    made: list[Sequence[str]] = []
    for scene in scenes:
        made += [
            (f"{scene.name} ({scene.crossings_made})", name, *cells(scene, by_scene[scene.name]))
            for name, by_scene in results.items()
        ]
    if len(scenes) > 1:
        true = sum(scene.crossings_made for scene in scenes)
        for name, by_scene in results.items():
            sums = [sum(of[i].errors for of in by_scene.values()) for i in range(len(RATES))]
            made.append(
                (
                    f"**together ({true})**",
                    name,
                    *(f"{wrong:.1f} ({share(wrong, true):.1%})" for wrong in sums),
                    " ".join(
                        f"{sum(of[i].missed for of in by_scene.values()):.0f}"
                        f"+{sum(of[i].invented for of in by_scene.values()):.0f}"
                        for i in range(len(RATES))
                    ),
                    _upright([[of[i] for of in by_scene.values()] for i in range(len(RATES))]),
                    "",
                )
            )
    return made


def cells(scene: Scene, by_rate: ByRate) -> list[str]:
    """The figures of a contender on a scene."""
    return [
        *(f"{of.errors:.1f} ({share(of.errors, of.true):.1%})" for of in by_rate),
        " ".join(f"{of.missed:.0f}+{of.invented:.0f}" for of in by_rate),
        _upright([[of] for of in by_rate]),
        _occupancy(scene, by_rate),
    ]


def _upright(by_rate: Sequence[Sequence[Figures]]) -> str:
    true = sum(of.upright_true for of in by_rate[0])
    if not true:
        return ""
    shares = (share(sum(of.upright_errors for of in figures), true) for figures in by_rate)
    return "/".join(f"{value * 100:.0f}" for value in shares) + " %"


def _occupancy(scene: Scene, by_rate: ByRate) -> str:
    """How far the mean is from the truth at each rate; where nobody ever is, the mean itself."""
    parts = []
    for zone, true in scene.occupancy.items():
        read = [of.occupancy.get(zone) for of in by_rate]
        if all(value is None for value in read):
            continue
        values = [value for value in read if value is not None]
        if true > 0.05:
            text = "/".join(f"{(value / true - 1) * 100:+.0f}" for value in values) + " %"
        else:
            text = "/".join(f"{value:.2f}" for value in values)
        parts.append(f"{zone} {text}")
    return ", ".join(parts)


def more_looks(scenes: Sequence[Scene], results: Results, what: str) -> Goal:
    """Whether more looks never make it worse: 10 a second against 2."""
    worse, measures = [], []
    for scene in scenes:
        ours = results[OURS.name][scene.name]
        more, fewer = (share(ours[i].errors, ours[i].true) for i in (0, 2))
        measures.append(f"{scene.name} {'yes' if more <= fewer + MORE_LOOKS else 'no'}")
        if more > fewer + MORE_LOOKS:
            worse.append(scene.name)
    text = f"{what}: error at 10/s at most 3 points above that at 2/s, every scene"
    return Goal(text, ", ".join(measures), not worse)


def total_goal(
    what: str, scenes: Sequence[Scene], results: Results, limits: Mapping[int, float]
) -> Goal:
    """Errors of all scenes together, at most so many at each rate."""
    true = sum(scene.crossings_made for scene in scenes)
    got = {
        fps: share(
            sum(results[OURS.name][scene.name][RATES.index(fps)].errors for scene in scenes), true
        )
        for fps in limits
    }
    told = " / ".join(f"{limit * 100:g}" for limit in limits.values())
    return Goal(
        f"{what}: ≤ {told} % at {'/'.join(map(str, limits))} looks a second",
        " / ".join(f"{value:.1%}" for value in got.values()),
        all(got[fps] <= limit + 1e-9 for fps, limit in limits.items()),
    )


def perfect(scenes: Sequence[Scene], extent: Extent) -> tuple[Section, Results]:
    """True boxes without ids: what tracking and the rule lose."""
    results = run(scenes, "perfect", (OURS, FLOOR, *extent.peers), extent)
    goals = [
        total_goal(
            "perfect boxes, people", scenes, results, {10: 0.035, 5: 0.035, 2: 0.05, 1: 0.08}
        ),
        _near_floor(scenes, results),
        more_looks(scenes, results, "perfect boxes"),
    ]
    byte = "ByteTrack scaled, our rule"
    if byte in results:
        goals.append(_not_worse(scenes, results, byte))
    return Section("perfect", table(HEAD, rows(scenes, results)), goals), results


def _near_floor(scenes: Sequence[Scene], results: Results) -> Goal:
    """The floor is the lower one of today's rule and of the rule that was first measured."""
    above = {}
    for scene in scenes:
        for i, fps in enumerate(RATES):
            ours, floor = (results[name][scene.name][i] for name in (OURS.name, FLOOR.name))
            least = min(floor.errors, scene.floor.get(fps, floor.errors))
            above[scene.name, fps] = share(ours.errors - least, ours.true)
    (name, fps), most = max(above.items(), key=lambda pair: pair[1])
    return Goal(
        "perfect boxes: no scene more than 5 points above its floor",
        f"at most {most * 100:+.1f} points ({name}, {fps}/s)",
        most <= 0.05,
    )


def _not_worse(scenes: Sequence[Scene], results: Results, than: str) -> Goal:
    """At 10 and 5 looks a second, on every scene."""
    behind = {
        (scene.name, RATES[i]): results[OURS.name][scene.name][i].errors
        - results[than][scene.name][i].errors
        for scene in scenes
        for i in (0, 1)
    }
    (name, fps), most = max(behind.items(), key=lambda pair: pair[1])
    return Goal(
        "perfect boxes, 10 and 5/s: never worse than ByteTrack's tracks through the same rule",
        f"{most:+.1f} errors at the worst ({name}, {fps}/s)",
        most <= 1e-9,
    )


def detected(scenes: Sequence[Scene], extent: Extent) -> tuple[Section, Results]:
    """A detector's boxes."""
    results = run(scenes, "detected", (OURS, *extent.peers), extent)
    goals = [
        total_goal("detector boxes, people", scenes, results, {10: 0.25, 5: 0.25, 2: 0.20}),
        more_looks(scenes, results, "detector boxes"),
    ]
    return Section("detected", table(HEAD, rows(scenes, results)), goals), results


def cars(scenes: Sequence[Scene], extent: Extent) -> tuple[Section, Results]:
    """`detect: car` and nothing else."""
    results = run(scenes, "perfect", (OURS, FLOOR, *extent.peers), extent)
    seen = run(scenes, "detected", (OURS,), extent)
    both = {**results, f"{OURS.name}, detector boxes": seen[OURS.name]}
    goals = [
        total_goal(
            "perfect boxes, `detect: car` and nothing else",
            scenes,
            results,
            {10: 0.05, 5: 0.05, 2: 0.15, 1: 0.30},
        ),
        more_looks(scenes, results, "cars, perfect boxes"),
    ]
    return Section("cars", table(HEAD, rows(scenes, both)), goals), both


def delays_of(results: Results) -> Delays:
    """How late ours counted on all scenes."""
    return {
        fps: [delay for of in results[OURS.name].values() for delay in of[i].delays_s]
        for i, fps in enumerate(RATES)
    }


def delays(found: Sequence[Delays]) -> Section:
    """From the moment a crossing is dated at to the look that reports it."""
    made, late = [], []
    for fps in RATES:
        waits = sorted(delay for one in found for delay in one[fps])
        most, usual = waits[-1], waits[int(0.99 * (len(waits) - 1))]
        bound = max(1.0, 2 / fps)
        late += [] if most <= bound + 1e-3 else [f"{most:.1f} s at {fps}/s"]
        made.append(
            (f"{fps}/s", str(len(waits)), f"{usual:.2f} s", f"{most:.2f} s", f"{bound:g} s")
        )
    goal = Goal(
        "a crossing is reported at most 1 s or 2 looks after the moment it is dated at",
        ", ".join(late) or "never later",
        not late,
    )
    head = ("looks", "crossings", "99 % within", "longest", "bound")
    return Section("delay", table(head, made), (goal,))
