"""Figures of every camera: read from one process's metrics, or added up over several."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.ranges import counted_number, is_moment, readable
from pipeline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """One camera, since its processes were started."""

    up: bool = False
    sampled: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Frames lost, by reason."""
    sent: Mapping[str, int] = field(default_factory=dict)
    """Jobs put on the queue, by engine."""
    answered: int = 0
    answered_by: Mapping[str, int] = field(default_factory=dict)
    """The same by engine."""
    failed: int = 0
    """Tasks an engine could not answer."""
    judged: int = 0
    passed_over: int = 0
    events: int = 0
    judged_until: float = 0.0
    """Capture time of the newest live frame evaluated, in UTC seconds; 0 if there is none."""

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "CameraFigures":
        """The figures of an `as_json()` of any release; raises TypeError or ValueError."""
        said = dict(data)
        known: dict[str, Any] = {
            name: {
                readable(label): counted_number(n) for label, n in dict(said.get(name, {})).items()
            }
            for name in _SPLIT
        }
        known |= {name: counted_number(said.get(name, 0)) for name in _COUNTED}
        until = said.get("judged_until", 0.0)
        if not is_moment(until):
            raise ValueError(f"{until!r} is not a time")
        return cls(up=bool(said.get("up")), judged_until=float(until), **known)


_UP = "moonwatch_camera_up"
_UNTIL = "moonwatch_judged_until_seconds"
_SPLIT = {
    "dropped": "moonwatch_frames_dropped_total",
    "sent": "moonwatch_jobs_sent_total",
    "answered_by": "moonwatch_jobs_answered_total",
}
"""Counted by a label beside the camera."""
_COUNTED = {
    "sampled": "moonwatch_frames_sampled_total",
    "answered": "moonwatch_jobs_answered_total",
    "failed": "moonwatch_tasks_failed_total",
    "judged": "moonwatch_results_judged_total",
    "passed_over": "moonwatch_results_passed_over_total",
    "events": "moonwatch_events_total",
}
Figures = Mapping[str, CameraFigures]
"""By camera."""


def figures_of(metrics: Metrics, cameras: Iterable[str]) -> Figures:
    """Each camera's figures from this process's metrics."""
    tables = metrics.tables(_UP, _UNTIL, *_SPLIT.values(), *_COUNTED.values())
    split = {name: _by_label(tables[sample]) for name, sample in _SPLIT.items()}
    counted = {name: _by_camera(tables[sample]) for name, sample in _COUNTED.items()}

    def of(camera: str) -> CameraFigures:
        known: dict[str, Any] = {name: values.get(camera, 0) for name, values in counted.items()}
        known |= {name: values.get(camera, {}) for name, values in split.items()}
        until = tables[_UNTIL].get((camera,), 0.0)
        return CameraFigures(tables[_UP].get((camera,), 0.0) > 0, judged_until=until, **known)

    return {camera: of(camera) for camera in cameras}


def added(figures: Sequence[Figures]) -> Figures:
    """The figures of several processes as one."""
    cameras = dict.fromkeys(camera for one in figures for camera in one)
    return {camera: _sum([one[camera] for one in figures if camera in one]) for camera in cameras}


def _by_camera(table: Mapping[tuple[str, ...], float]) -> dict[str, int]:
    """The sum over all labels but the first, which is the camera."""
    totals: dict[str, int] = {}
    for (camera, *_), value in table.items():
        totals[camera] = totals.get(camera, 0) + int(value)
    return totals


def _by_label(table: Mapping[tuple[str, ...], float]) -> dict[str, dict[str, int]]:
    """By camera and the label after it, without zeros."""
    found: dict[str, dict[str, int]] = {}
    for (camera, label, *_), value in table.items():
        if value:
            found.setdefault(camera, {})[label] = int(value)
    return found


def _sum(parts: Sequence[CameraFigures]) -> CameraFigures:
    known: dict[str, Any] = {name: sum(getattr(p, name) for p in parts) for name in _COUNTED}
    for name in _SPLIT:
        total: Counter[str] = Counter()
        for part in parts:
            total.update(getattr(part, name))
        known[name] = dict(total)
    return CameraFigures(
        up=any(part.up for part in parts),
        judged_until=max(part.judged_until for part in parts),
        **known,
    )
