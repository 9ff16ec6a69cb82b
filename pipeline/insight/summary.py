"""What a run found, in figures: read from the store and the metrics, shown as tables."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.events import JsonValue
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.core.store import Cursor, EventFilter, History, Page
from pipeline.deployment.model import Deployment
from pipeline.rules.base import RuleBase
from pipeline.rules.count import CountConfig
from pipeline.rules.dwell import DwellConfig
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig
from pipeline.telemetry.figures import CameraFigures, Figures

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Footfall:
    """How often a line was crossed, each way; None where nothing at all is known of it."""

    camera: str
    rule: str
    entered: int | None
    left: int | None
    known_s: float
    """Seconds of capture time that are known; the rest was not seen or not answered."""


@dataclass(frozen=True, slots=True)
class OccupancyFigures:
    """How many were in a zone: mean over the known time, and the most at once."""

    camera: str
    rule: str
    mean: float | None
    maximum: int | None
    known_s: float


@dataclass(frozen=True, slots=True)
class Stay:
    """Visits of a zone that have ended, and how long they were, in seconds."""

    camera: str
    rule: str
    visits: int
    mean_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Flow:
    """One camera's frames: looked at, and lost by reason."""

    camera: str
    sampled: int
    dropped: dict[str, int]
    failed: int = 0
    """Tasks that no engine could answer."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a run has to say for itself."""

    footfall: Sequence[Footfall]
    presence: Sequence[OccupancyFigures]
    stays: Sequence[Stay]
    events: dict[tuple[str, str], int]
    """Happenings by camera and rule: a start and its end are one."""
    flows: Sequence[Flow]
    behind: dict[str, int]
    """Events that wait for a sink, by its name; those that have them all are left out."""
    seconds: float
    """How long the run took."""
    refused: dict[str, int] = field(default_factory=dict)
    """Events that a sink would not take, by its name; those that took all are left out."""

    @property
    def frames(self) -> int:
        """Frames sampled over all cameras."""
        return sum(flow.sampled for flow in self.flows)

    def undelivered(self) -> str | None:
        """A sentence about events that no sink has taken yet; None where all are delivered."""
        said = []
        if self.behind:
            waiting = _by_sink(self.behind)
            said.append(f"events wait in the store ({waiting}); they are sent when it is run again")
        if self.refused:
            said.append(
                f"events were refused ({_by_sink(self.refused)}); `moonwatch undelivered` shows "
                "why, and sends them again"
            )
        return "; ".join(said) or None

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        return {
            "footfall": [
                {
                    "camera": f.camera,
                    "rule": f.rule,
                    "in": f.entered,
                    "out": f.left,
                    "known_s": _rounded(f.known_s),
                }
                for f in self.footfall
            ],
            "occupancy": [
                {
                    "camera": p.camera,
                    "rule": p.rule,
                    "mean": _rounded(p.mean),
                    "max": p.maximum,
                    "known_s": _rounded(p.known_s),
                }
                for p in self.presence
            ],
            "dwell": [_stay_json(stay) for stay in self.stays],
            "events": [
                {"camera": camera, "rule": rule, "events": n}
                for (camera, rule), n in self.events.items()
            ],
            "frames": [_flow_json(flow) for flow in self.flows],
            "undelivered": dict(self.behind),
            "refused": dict(self.refused),
            "seconds": _rounded(self.seconds),
        }


def summarise(deployment: Deployment, history: History, figures: Figures, took_s: float) -> Summary:
    """The figures of everything that is in a store, with the frames of this run."""
    return Summary(
        footfall=list(_footfall(deployment, history)),
        presence=list(_presence(deployment, history)),
        stays=list(_stays(deployment, history)),
        events=_happenings(history),
        flows=[_flow(camera, figures) for camera in deployment.cameras],
        behind={c.sink: c.behind for c in history.cursors() if _lacks(deployment, c)},
        seconds=took_s,
        refused={s: n for s, n in history.refused().items() if s in deployment.sinks},
    )


def _by_sink(events: dict[str, int]) -> str:
    return ", ".join(f"{number} for {sink}" for sink, number in events.items())


def _lacks(deployment: Deployment, cursor: Cursor) -> bool:
    """Whether a sink of the deployment lacks events; one that left it lacks nothing."""
    return cursor.behind > 0 and cursor.sink in deployment.sinks


def _rules(deployment: Deployment, *kinds: type[RuleBase]) -> Iterator[tuple[str, str]]:
    for camera, config in deployment.cameras.items():
        for name, rule in config.rules.items():
            if isinstance(rule, kinds):
                yield camera, name


def _footfall(deployment: Deployment, history: History) -> Iterator[Footfall]:
    for camera, rule in _rules(deployment, LineCrossingConfig):
        minutes = history.buckets(camera, rule)
        entered = [minute.entered for minute in minutes if minute.entered is not None]
        left = [minute.left for minute in minutes if minute.left is not None]
        yield Footfall(
            camera,
            rule,
            sum(entered) if entered else None,
            sum(left) if left else None,
            _known_s(minutes),
        )


def _presence(deployment: Deployment, history: History) -> Iterator[OccupancyFigures]:
    for camera, rule in _rules(deployment, OccupancyConfig, CountConfig):
        minutes = history.buckets(camera, rule)
        known = [(minute.mean, minute.coverage) for minute in minutes if minute.mean is not None]
        weight = sum(share for _, share in known)
        mean = sum(value * share for value, share in known) / weight if weight else None
        most = max((m.maximum for m in minutes if m.maximum is not None), default=None)
        yield OccupancyFigures(camera, rule, mean, most, _known_s(minutes))


def _stays(deployment: Deployment, history: History) -> Iterator[Stay]:
    """From the ends of visits: each carries the running totals of all visits so far."""
    for camera, rule in _rules(deployment, DwellConfig):
        chosen = EventFilter(cameras=(camera,), rules=(rule,), phases=("end",))
        ends = [kept.event.data for kept in history.events(chosen, Page(limit=_ALL))]
        if ends:
            latest = max(ends, key=lambda data: _number(data, "visits"))
            yield Stay(
                camera,
                rule,
                visits=round(_number(latest, "visits")),
                mean_s=_number(latest, "mean_seconds"),
                longest_s=max(_number(data, "seconds") for data in ends),
            )


def _number(data: Mapping[str, JsonValue], key: str) -> float:
    value = data.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _known_s(minutes: Sequence[Bucket]) -> float:
    return sum(minute.coverage for minute in minutes) * BUCKET_S


def _happenings(history: History) -> dict[tuple[str, str], int]:
    events: dict[tuple[str, str], int] = defaultdict(int)
    for count in history.counts(EventFilter(phases=("start", "single"))):
        events[count.camera, count.rule] += count.events
    return dict(events)


def _flow(camera: str, figures: Figures) -> Flow:
    counted = figures.get(camera, CameraFigures())
    return Flow(camera, counted.sampled, dict(counted.dropped), counted.failed)


def _flow_json(flow: Flow) -> JsonValue:
    return {
        "camera": flow.camera,
        "sampled": flow.sampled,
        "dropped": dict(flow.dropped),
        "failed": flow.failed,
    }


def _stay_json(stay: Stay) -> JsonValue:
    return {
        "camera": stay.camera,
        "rule": stay.rule,
        "visits": stay.visits,
        "mean_s": _rounded(stay.mean_s),
        "longest_s": _rounded(stay.longest_s),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
