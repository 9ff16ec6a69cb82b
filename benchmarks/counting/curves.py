"""How errors grow with a detector's noise, and what synthetic scenes of every kind give."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev

from benchmarks.counting.measuring import (
    FLOOR,
    OURS,
    RATES,
    Case,
    Contender,
    Figures,
    measured,
    spread_over,
)
from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.replay import happenings, moonwatch, replay
from benchmarks.counting.scene_tables import MORE_LOOKS, Delays, Extent, share
from benchmarks.counting.scenes import Scene, Shown
from benchmarks.counting.scoring import unmatched
from benchmarks.counting.synthetic import (
    Boulder,
    Cars,
    Counter,
    Edges,
    Flips,
    Kind,
    Noise,
    Pairs,
    Standing,
    Towards,
    Walkers,
    make,
)
from benchmarks.counting.two_kinds import KINDS, judged

CALM, LIVELY = Noise(jitter=0.01), Noise(jitter=0.02)
SCENES: Mapping[str, tuple[Kind, Noise]] = {
    "across": (Walkers(), Noise(jitter=0.02, miss=0.2, second=0.2)),
    "across, missed in spells": (Walkers(), Noise(miss=0.3, spell_s=0.5)),
    "across, second boxes are halves": (Walkers(), Noise(second=0.2, upper=0.5)),
    "across, near": (Walkers(height=0.5), Noise(jitter=0.03, miss=0.1)),
    "along": (Walkers(heading="along", height=0.45), LIVELY),
    "towards": (Towards(), LIVELY),
    "behind a counter": (Counter(), LIVELY),
    "pairs, overlap .5": (Pairs(overlap=0.5), CALM),
    "pairs, overlap .6": (Pairs(overlap=0.6), CALM),
    "pairs, overlap .7": (Pairs(overlap=0.7), CALM),
    "edges": (Edges(), CALM),
    "boulder": (Boulder(), CALM),
    "cars, 2 heights a second": (Cars(speed=2.0), CALM),
    "cars, 4 heights a second": (Cars(speed=4.0), CALM),
    "cars, 6 heights a second": (Cars(speed=6.0), CALM),
    "cars, 8 heights a second": (Cars(speed=8.0, gap_s=3.0), CALM),
}
MOST_PHASES = 2
JITTERS = (0.01, 0.02, 0.04)
CALMS = {0.25: "wandering", 0.0: "white"}
NOISES: Mapping[str, tuple[tuple[float, ...], Callable[[float], Noise]]] = {
    "jitter, wandering": (
        (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06),
        lambda value: Noise(jitter=value),
    ),
    "jitter, white": (
        (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06),
        lambda value: Noise(jitter=value, calm_s=0.0),
    ),
    "misses": ((0.0, 0.1, 0.2, 0.3, 0.4), lambda value: Noise(miss=value)),
    "misses in spells of .5 s": (
        (0.0, 0.1, 0.2, 0.3, 0.4),
        lambda value: Noise(miss=value, spell_s=0.5),
    ),
    "second boxes": ((0.0, 0.1, 0.2, 0.3, 0.4), lambda value: Noise(second=value)),
    "second boxes, upper halves": (
        (0.0, 0.1, 0.2, 0.3, 0.4),
        lambda value: Noise(second=value, upper=1.0),
    ),
    "score": ((0.8, 0.7, 0.6, 0.5, 0.4), lambda value: Noise(score=value)),
}
QUICK = (0.0, 0.05, 0.2, 0.5)
"""The strengths that the goals are about."""
COURSES: Mapping[str, Kind] = {
    "across": Walkers(),
    "along": Walkers(heading="along", height=0.45),
    "towards": Towards(),
}


def synthetic(extent: Extent) -> tuple[Section, Delays]:
    """One row a kind of scene: means over the seeds, with the spread; and how late ours counts."""
    contenders: list[Contender] = [
        OURS,
        FLOOR,
        *(peer for peer in extent.peers if peer.name == "ByteTrack scaled, our rule"),
    ]
    rows, of_pairs, worse = [], [], []
    late: dict[int, list[float]] = {fps: [] for fps in RATES}
    for name, (kind, noise) in SCENES.items():
        scenes = [make(kind, noise, seed) for seed in _seeds(extent)]
        for contender in contenders:
            shown: Shown = "identified" if contender == FLOOR else "detected"
            by_rate = _by_rate(
                [
                    Case(scene, shown, contender, fps, MOST_PHASES)
                    for fps in RATES
                    for scene in scenes
                ],
                len(scenes),
                extent,
            )
            occupancy = [
                f"{zone} {fmean(of.occupancy[zone] for of in by_rate[1]):.2f} "
                f"of {fmean(scene.occupancy[zone] for scene in scenes):.2f}"
                for zone in scenes[0].zones
            ]
            rows.append(
                [
                    f"{name} ({fmean(scene.crossings_made for scene in scenes):.0f})",
                    contender.name,
                    *(
                        _spread([share(of.errors, of.true) for of in figures])
                        for figures in by_rate
                    ),
                    " ".join(
                        f"{fmean(of.missed for of in figures):.1f}"
                        f"+{fmean(of.invented for of in figures):.1f}"
                        for figures in by_rate
                    ),
                    ", ".join(occupancy),
                ]
            )
            if contender == OURS:
                for fps, figures in zip(RATES, by_rate, strict=True):
                    late[fps] += [delay for of in figures for delay in of.delays_s]
                more, fewer = (
                    fmean(share(of.errors, of.true) for of in by_rate[i]) for i in (0, 2)
                )
                worse += [name] if more > fewer + MORE_LOOKS else []
            if contender == OURS and isinstance(kind, Pairs):
                of_pairs += [
                    share(sum(of.errors for of in figures), sum(of.true for of in figures))
                    for figures in by_rate[:3]
                ]
    goals = (
        Goal(
            "pairs at overlap .5 to .7: ≤ 5 % at 10, 5 and 2/s",
            f"at most {max(of_pairs):.1%}",
            max(of_pairs) <= 0.05,
        ),
        Goal(
            "synthetic: error at 10/s at most 3 points above that at 2/s, every scene",
            f"above it: {'; '.join(worse) or 'none'}",
            not worse,
        ),
    )
    head = (
        "scene (true crossings)",
        "counted by",
        *(f"{fps}/s" for fps in RATES),
        "missed + invented",
        "occupancy at 5/s",
    )
    return Section("synthetic", table(head, rows), goals), late


def _by_rate(cases: Sequence[Case], seeds: int, extent: Extent) -> list[list[Figures]]:
    figures = measured(cases, extent.jobs)
    return [figures[i : i + seeds] for i in range(0, len(figures), seeds)]


def _spread(shares: Sequence[float]) -> str:
    if len(shares) < 2:
        return f"{fmean(shares):.1%}"
    return f"{fmean(shares):.1%} ± {stdev(shares) * 100:.1f}"


def curves(extent: Extent) -> Section:
    """Errors over each kind of noise, on all courses together; phase 0 alone."""
    rows, errors_at = [], {}
    for name, (values, noise_of) in NOISES.items():
        for value in values if not extent.quick else [v for v in values if v in QUICK]:
            noise = noise_of(value)
            by_rate = _by_rate(
                [
                    Case(make(kind, noise, seed), "detected", OURS, fps, 1)
                    for fps in RATES
                    for kind in COURSES.values()
                    for seed in _seeds(extent)
                ],
                len(COURSES) * extent.seeds,
                extent,
            )
            cells = []
            for fps, figures in zip(RATES, by_rate, strict=True):
                seeds = [figures[seed :: extent.seeds] for seed in range(extent.seeds)]
                shares = [
                    share(sum(of.errors for of in one), sum(of.true for of in one)) for one in seeds
                ]
                errors_at[name, value, fps] = fmean(shares)
                cells.append(_spread(shares))
            rows.append([name, f"{value:g}", *cells])
    head = ("noise", "at", *(f"{fps}/s" for fps in RATES))
    return Section("curves", table(head, rows), _curve_goals(errors_at))


def _curve_goals(errors_at: Mapping[tuple[str, float, int], float]) -> list[Goal]:
    jitters = [name for name in NOISES if name.startswith("jitter")]
    doubled = {
        (name, fps): (errors_at[name, 0.05, fps], errors_at[name, 0.0, fps])
        for name in jitters
        for fps in RATES
    }
    seconds = {
        (name, fps): errors_at[name, 0.2, fps] - errors_at[name, 0.0, fps]
        for name in NOISES
        if name.startswith("second")
        for fps in RATES
    }
    (noise, fps), (noisy, still) = max(doubled.items(), key=lambda p: p[1][0] - 2 * p[1][1])
    (other, rate), added = max(seconds.items(), key=lambda pair: pair[1])
    return [
        Goal(
            "jitter .05 at most doubles an error (of less than 1 %, to 2 %)",
            f"at the worst {still:.1%} to {noisy:.1%} ({noise}, {fps}/s)",
            all(noisy <= 2 * max(still, 0.01) for noisy, still in doubled.values()),
        ),
        Goal(
            "second boxes on 20 % of looks add ≤ 5 points",
            f"at most {added * 100:+.1f} points ({other}, {rate}/s)",
            added <= 0.05,
        ),
    ]


def standing(extent: Extent) -> Section:
    """Somebody who stands on a line, or on the border of a zone, for ten minutes."""
    jitters = JITTERS[1:3] if extent.quick else (*JITTERS, 0.06)
    noises = [Noise(jitter=jitter, calm_s=calm_s) for jitter in jitters for calm_s in CALMS]
    given = [
        (make(kind, noise, seed), fps)
        for noise in noises
        for kinds in PLACES.values()
        for fps in RATES
        for kind in kinds
        for seed in _seeds(extent)[:2]
    ]
    found = iter(spread_over(_standing, given, extent.jobs))
    rows = []
    most = {"line": 0, "border": 0}
    for noise in noises:
        cells = []
        for where, kinds in PLACES.items():
            for _ in RATES:
                counts = [next(found) for _ in kinds for _ in _seeds(extent)[:2]]
                cells.append(f"{fmean(counts):.1f} (≤ {max(counts)})")
                if noise.jitter <= max(JITTERS):
                    most[where] = max(most[where], *counts)
        rows.append([f"{noise.jitter:g}", CALMS[noise.calm_s], *cells])
    head = ("jitter", "", *(f"{where}, {fps}/s" for where in PLACES for fps in RATES))
    return Section(
        "standing",
        table(head, rows),
        (
            Goal(
                "standing on a line for 10 minutes: ≤ 1 crossing up to 4 % jitter",
                f"at most {most['line']}",
                most["line"] <= 1,
            ),
            Goal(
                "standing on a zone's border for 10 minutes: ≤ 2 happenings up to 4 % jitter",
                f"at most {most['border']}",
                most["border"] <= 2,
            ),
        ),
    )


PLACES: Mapping[str, Sequence[Kind]] = {
    "line": (Standing(),),
    "border": (Standing(where="border", within=0.0), Standing(where="border")),
}


def _standing(scene: Scene, fps: int) -> int:
    """The most crossings of one line, or the happenings in the zone."""
    looks = scene.looks("detected", fps)
    if not scene.lines:
        return happenings(scene, looks, moonwatch(scene), 1 / fps)
    outcome = replay(scene, looks, moonwatch(scene), 1 / fps)
    return max(len(made) for made in outcome.crossings.values())


def flips(extent: Extent) -> Section:
    """Two tasks, `car` and `truck`, and a detector that takes one for the other."""
    rows, twice = [], 0
    for flip in (0.0, 0.05, 0.1, 0.2, 0.3):
        scenes = [make(Flips(), Noise(flip=flip), seed) for seed in _seeds(extent)]
        cells, number = [], fmean(scene.crossings_made for scene in scenes)
        for fps in RATES:
            found = spread_over(_flipped, [(scene, fps) for scene in scenes], extent.jobs)
            missed, invented, wrong = (fmean(column) for column in zip(*found, strict=True))
            if flip <= MOST_FLIPS:
                twice = max(twice, *(one[1] for one in found))
            cells.append(f"{missed:.1f}+{invented:.1f}, {wrong:.1f}")
        rows.append([f"{flip:.0%}", f"{number:.1f}", *cells])
    goal = Goal(
        "class flips in up to 20 % of looks: nobody is counted twice",
        f"at most {twice} invented in a scene",
        twice == 0,
    )
    head = ("flips", "true crossings", *(f"{fps}/s" for fps in RATES))
    return Section("flips", table(head, rows), (goal,))


MOST_FLIPS = 0.2


def _flipped(scene: Scene, fps: int) -> tuple[int, int, int]:
    """Missed and invented crossings of both kinds together, and those under the wrong kind."""
    outcome, under = judged(scene, fps)
    apart = unmatched(scene, outcome.crossings)
    return len(apart.missed), len(apart.invented), under[KINDS[1]]


def _seeds(extent: Extent) -> range:
    return range(1, extent.seeds + 1)
