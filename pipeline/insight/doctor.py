"""What is known of a deployment that makes its numbers more or less trustworthy.

For now that is what the detectors of its cameras do, as processors learned it. Each check adds its
part to the `Diagnosis`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.core.clock import Clock
from pipeline.core.errors import NoTablesError, Problem
from pipeline.core.events import JsonValue
from pipeline.core.store import Checkpoint, History
from pipeline.deployment.model import CameraConfig, Deployment, DetectTask
from pipeline.insight.placement import (
    Placement,
    better_rate,
    loose_boxes,
    of_line,
    of_zone,
    usual_speed,
)
from pipeline.processing.judge import scene_of
from pipeline.processing.kept import KeptTask, read_lane
from pipeline.processing.plan import TaskPlan
from pipeline.rules.base import RuleBase
from pipeline.rules.record import RuleRecord
from pipeline.runtime.assembly import plans_of
from pipeline.tracking.kinds import usual_speed as word_speed
from pipeline.tracking.scene_figures import SceneFigures, figures_of

NOT_LEARNED = (
    "nothing is known of lines and zones yet: the store has no observations of this file's "
    "cameras; run it for a while and check again"
)
SLOWER = 1.6
"""Looks that are so many times further apart than the file says are worth a word."""
NOTHING_YET = "nothing is known yet: no frame of it was judged since moonwatch learns what it sees"


@dataclass(frozen=True, slots=True)
class PlaceReport:
    """A line or zone that rules of one task use, and what is known of it."""

    kind: str
    """`line` or `zone`."""
    name: str
    rules: Sequence[str]
    placement: Placement
    crossings: float | None = None
    """What was counted at a line, in and out, over `known_s`."""
    known_s: float = 0.0

    @property
    def per_day(self) -> float | None:
        """Crossings in 24 hours, if it was watched for long enough to tell."""
        if self.crossings is None or self.known_s < 3600:
            return None
        return self.crossings / self.known_s * 86400


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What is known of one camera and detect task."""

    camera: str
    task: str
    label: str
    engine: str
    start_score: float
    scene: SceneFigures | None = None
    unknown: str | None = None
    """Why nothing is known."""
    advice: Sequence[str] = ()
    """What would make its numbers better."""
    places: Sequence[PlaceReport] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found."""

    detectors: Sequence[DetectorReport] = ()

    def problems(self) -> Iterator[Problem]:
        """What is wrong, by the path of the value in the file that would mend it."""
        for report in self.detectors:
            for sentence in report.advice:
                yield Problem(f"cameras.{report.camera}.tasks.{report.task}", sentence)
            for place in report.places:
                for remark in place.placement.remarks:
                    path = f"cameras.{report.camera}.{place.kind}s.{place.name}"
                    yield Problem(path, remark.message)

    @property
    def is_learned(self) -> bool:
        """Whether anything is known of any camera."""
        return any(report.scene is not None for report in self.detectors)

    @property
    def ok(self) -> bool:
        """Whether nothing wrong was found."""
        return next(self.problems(), None) is None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        return {
            "ok": self.ok,
            "detectors": [_as_json(report) for report in self.detectors],
            "problems": [
                {"path": problem.path, "message": problem.message} for problem in self.problems()
            ],
        }


def diagnose(deployment: Deployment, clock: Clock, cameras: Collection[str] = ()) -> Diagnosis:
    """What is known of these cameras, or of all; raises StoreError. Changes nothing."""
    file = deployment.store.file
    if file is not None and not file.exists():
        return Diagnosis(tuple(_detectors(deployment, {}, None, cameras)))
    try:
        store = deployment.store.build_reader(clock)
    except NoTablesError:
        return Diagnosis(tuple(_detectors(deployment, {}, None, cameras)))
    try:
        kept: dict[str, dict[str, Checkpoint]] = {}
        for checkpoint in store.checkpoints():
            kept.setdefault(checkpoint.camera, {})[checkpoint.engine] = checkpoint
        return Diagnosis(tuple(_detectors(deployment, kept, store.history, cameras)))
    finally:
        store.close()


def _detectors(
    deployment: Deployment,
    kept: Mapping[str, Mapping[str, Checkpoint]],
    history: History | None,
    cameras: Collection[str],
) -> Iterator[DetectorReport]:
    for plan in plans_of(deployment):
        if cameras and plan.camera not in cameras:
            continue
        names = (plan.camera, *plan.was)
        checkpoints = next((kept[name] for name in names if name in kept), {})
        config = deployment.cameras[plan.camera]
        for lane in plan.lanes:
            for task in lane.tasks:
                asked = config.tasks[task.task]
                if not isinstance(asked, DetectTask):
                    continue
                scene = _scene(task, checkpoints.get(lane.engine))
                report = DetectorReport(
                    plan.camera, task.task, asked.detect, lane.engine, asked.track.start_score
                )
                yield _examined(report, config, scene, history)


def _scene(task: TaskPlan, checkpoint: Checkpoint | None) -> SceneFigures | str:
    """What is known of a task's scene, or why nothing is."""
    try:
        kept = read_lane(checkpoint.state, None).tasks.get(task.task) if checkpoint else None
        if kept is None or kept.scene is None:
            return NOTHING_YET
        if not _is_of(kept, task):
            return (
                "what is known is of another source, engine or question, as the file was edited; "
                "it begins anew when the file is applied"
            )
        return figures_of(kept.scene)
    except ValueError as error:
        return f"what is known cannot be read: {error}"


def _is_of(kept: KeptTask, task: TaskPlan) -> bool:
    return kept.terms == task.terms and scene_of(kept.scene) == task.scene


def _examined(
    report: DetectorReport,
    config: CameraConfig,
    scene: SceneFigures | str,
    history: History | None,
) -> DetectorReport:
    base = (report.camera, report.task, report.label, report.engine, report.start_score)
    if isinstance(scene, str):
        return DetectorReport(*base, unknown=scene)
    asked = config.tasks[report.task]
    assumed = asked.track.speed if isinstance(asked, DetectTask) else None
    speed = usual_speed(scene) or assumed or word_speed(report.label)
    rate = better_rate(scene, speed) if scene.tracks and speed else None
    loose = loose_boxes(scene, report.start_score)
    advice = [sentence for sentence in (rate, loose) if sentence]
    wanted_s = max(config.sample.interval_s, asked.every.total_seconds() if asked.every else 0.0)
    if scene.interval_s is not None and scene.interval_s > SLOWER * wanted_s:
        advice.append(
            f"is looked at every {scene.interval_s:.2g} s while somebody is there, and the file "
            f"asks for every {wanted_s:.2g} s; `moonwatch status` shows where frames are lost"
        )
    return DetectorReport(
        *base,
        scene=scene,
        advice=advice,
        places=tuple(_places(report, config, scene, history)),
    )


def _places(
    report: DetectorReport, config: CameraConfig, scene: SceneFigures, history: History | None
) -> Iterator[PlaceReport]:
    rules = {name: rule for name, rule in config.rules.items() if rule.of == report.task}
    for name, line in config.lines.items():
        users = [rule for rule, one in rules.items() if name in one.references().lines]
        if users:
            counted, known_s = _crossings(report.camera, users, rules, history)
            margin = max(float(getattr(rules[rule], "margin", 0.0)) for rule in users)
            is_door = all(getattr(rules[rule], "door", False) for rule in users)
            placement = of_line(line.shape(), scene, margin, is_door)
            yield PlaceReport("line", name, users, placement, counted, known_s)
    for name, zone in config.zones.items():
        users = [rule for rule, one in rules.items() if name in one.references().zones]
        if users:
            yield PlaceReport("zone", name, users, of_zone(zone.shape(), scene))


def _crossings(
    camera: str, users: Sequence[str], rules: Mapping[str, RuleBase], history: History | None
) -> tuple[float | None, float]:
    """What the first rule that counts at a line has counted, and over how many seconds."""
    for name in users if history is not None else ():
        rule = rules[name]
        if rule.manual is None or rule.manual.section != "lines" or history is None:
            continue
        record = RuleRecord.read(history, camera, name)
        values = rule.sum_up(record) or {}
        found = [values.get(number.column.name) for number in rule.manual.numbers]
        known = [value for value in found if value is not None]
        if known:
            return sum(known), record.known_s
    return None, 0.0


def _as_json(report: DetectorReport) -> dict[str, JsonValue]:
    said: dict[str, Any] = asdict(report)
    if report.scene is not None:
        said["scene"]["rate"] = report.scene.rate
    for place, told in zip(report.places, said["places"], strict=True):
        told["crossings_a_day"] = place.per_day
    written: dict[str, JsonValue] = _rounded(said)
    return written


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 6)
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case _:
            return value
