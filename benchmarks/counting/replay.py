"""Boxes of a scene through a tracker and the shipped rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.counting.scenes import Crossing, Direction, Look, Scene
from pipeline.core.answers import Boxes
from pipeline.core.rules import Observation, Verdict
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.dwell import DwellConfig
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.tracking.config import TrackerConfig

START = 1_700_000_000.0
"""When every scene begins: at a time of day, as on a camera."""

Update = Callable[[Look], Sequence[Track]]
"""A tracker: the next look's boxes in, its confirmed tracks out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run found."""

    crossings: dict[str, list[Crossing]]
    """By line; a crossing's track is the tracker's."""
    occupancy: dict[str, float]
    ids: int
    delays_s: tuple[float, ...] = ()
    """For each crossing, from the moment it is dated at to the frame that reported it."""


def moonwatch(scene: Scene, config: TrackerConfig | None = None) -> Update:
    """The shipped tracker as it comes."""
    tracker = (config or TrackerConfig()).build(scene.label, scene.aspect)
    return lambda look: tracker.update(START + look.at, look.boxes, look.scores)


def true_ids(scene: Scene) -> Update:
    """No tracker: boxes come with their true ids. What is then wrong the rule alone loses."""
    first: dict[int, float] = {}

    def update(look: Look) -> Sequence[Track]:
        at = START + look.at
        return sorted(
            (
                Track(id_, scene.label, 0.9, first.setdefault(id_, at), (Step(at, box),))
                for id_, box in zip(look.ids, look.boxes, strict=True)
            ),
            key=lambda track: track.id,
        )

    return update


def replay(scene: Scene, looks: Sequence[Look], update: Update, every_s: float) -> Outcome:
    """Count on all lines and in all zones of a scene with the shipped rules as they come."""
    context = RuleContext(
        camera=scene.name,
        rule="counting",
        label=scene.label,
        every_s=every_s,
        lines=scene.lines,
        zones=scene.zones,
        aspect=scene.aspect,
    )
    crossing = {line: LineCrossingConfig(of="t", line=line).build(context) for line in scene.lines}
    occupancy = {zone: OccupancyConfig(of="t", zone=zone).build(context) for zone in scene.zones}
    found: dict[str, list[Crossing]] = {line: [] for line in scene.lines}
    minutes: dict[str, dict[int, tuple[float, int]]] = {zone: {} for zone in scene.zones}
    delays: list[float] = []
    ids: set[int] = set()

    def report(line: str, verdict: Verdict, at: float) -> None:
        for event in verdict.events:
            track = event.subject.track if event.subject else None
            direction: Direction = "in" if event.data["direction"] == "in" else "out"
            found[line].append(Crossing(event.at - START, track or 0, direction))
            delays.append(at - event.at)

    def note(zone: str, verdict: Verdict) -> None:
        for bucket in verdict.buckets:
            minutes[zone][bucket.minute] = (bucket.values["mean"] or 0.0, bucket.samples)

    for seq, look in enumerate(looks):
        at, tracks = START + look.at, tuple(update(look))
        ids |= {track.id for track in tracks}
        seen = Observation(
            scene.name, "run", seq, at, Boxes("scripted", look.boxes, look.scores), tracks
        )
        for line, rule in crossing.items():
            report(line, rule.judge(seen), at)
        for zone, counter in occupancy.items():
            note(zone, counter.judge(seen))
    end = START + looks[-1].at
    for line, rule in crossing.items():
        report(line, rule.finish(end), end)
    for zone, counter in occupancy.items():
        note(zone, counter.finish(end))
    return Outcome(
        crossings=found,
        occupancy={
            zone: sum(mean * samples for mean, samples in of.values())
            / max(1, sum(samples for _, samples in of.values()))
            for zone, of in minutes.items()
        },
        ids=len(ids),
        delays_s=tuple(delays),
    )


def happenings(scene: Scene, looks: Sequence[Look], update: Update, every_s: float) -> int:
    """How often something begins in a scene's zones: an occupancy of one and more, or a visit.

    The larger of the two numbers.
    """
    context = RuleContext(
        camera=scene.name,
        rule="alarm",
        label=scene.label,
        every_s=every_s,
        zones=scene.zones,
        aspect=scene.aspect,
    )
    alarms = [OccupancyConfig(of="t", zone=z, more_than=0).build(context) for z in scene.zones]
    visits = [DwellConfig(of="t", zone=zone).build(context) for zone in scene.zones]
    begun = {"alarm": 0, "visit": 0}
    for seq, look in enumerate(looks):
        seen = Observation(
            scene.name,
            "run",
            seq,
            START + look.at,
            Boxes("scripted", look.boxes, look.scores),
            tuple(update(look)),
        )
        for alarm in alarms:
            begun["alarm"] += sum(event.phase == "start" for event in alarm.judge(seen).events)
        for visit in visits:
            begun["visit"] += sum(event.phase == "start" for event in visit.judge(seen).events)
    return max(begun.values())
