"""What a run found, in figures: read from the store and the metrics, shown as tables."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.events import JsonValue
from pipeline.core.history import EventFilter, History, Page
from pipeline.core.measures import BUCKET_S, Bucket
from pipeline.telemetry.metrics import Metrics

_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Footfall:
    """How often a line was crossed, each way."""

    camera: str
    rule: str
    entered: int
    left: int
    known_s: float
    """Seconds of capture time that are known; the rest was not seen or not answered."""


@dataclass(frozen=True, slots=True)
class Presence:
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


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a run has to say for itself."""

    footfall: Sequence[Footfall]
    presence: Sequence[Presence]
    stays: Sequence[Stay]
    events: dict[tuple[str, str], int]
    """Happenings by camera and rule: a start and its end are one."""
    flows: Sequence[Flow]
    seconds: float
    """How long the run took."""

    @property
    def frames(self) -> int:
        """Frames sampled over all cameras."""
        return sum(flow.sampled for flow in self.flows)

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
            "frames": [
                {"camera": f.camera, "sampled": f.sampled, "dropped": dict(f.dropped)}
                for f in self.flows
            ],
            "seconds": _rounded(self.seconds),
        }


def summarise(history: History, metrics: Metrics, cameras: Sequence[str], took_s: float) -> Summary:
    """The figures of everything that is in a store, with the frames of this process."""
    footfall, presence = _measured(history.buckets())
    return Summary(
        footfall=footfall,
        presence=presence,
        stays=_stays(history),
        events=_happenings(history),
        flows=[_flow(metrics, camera) for camera in cameras],
        seconds=took_s,
    )


def _measured(buckets: Sequence[Bucket]) -> tuple[list[Footfall], list[Presence]]:
    by_rule: dict[tuple[str, str], list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        by_rule[bucket.camera, bucket.rule].append(bucket)
    footfall, presence = [], []
    for (camera, rule), minutes in by_rule.items():
        known_s = sum(m.coverage for m in minutes) * BUCKET_S
        if any(m.entered is not None or m.left is not None for m in minutes):
            entered = sum(m.entered or 0 for m in minutes)
            left = sum(m.left or 0 for m in minutes)
            footfall.append(Footfall(camera, rule, entered, left, known_s))
        else:
            known = [(m.mean, m.coverage) for m in minutes if m.mean is not None]
            weight = sum(share for _, share in known)
            mean = sum(value * share for value, share in known) / weight if weight else None
            peaks = [m.maximum for m in minutes if m.maximum is not None]
            presence.append(Presence(camera, rule, mean, max(peaks, default=None), known_s))
    return footfall, presence


def _stays(history: History) -> list[Stay]:
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    chosen = EventFilter(types=("dwell",), phases=("end", "single"))
    for kept in history.events(chosen, Page(limit=_ALL, newest_first=False)):
        stayed = kept.event.data.get("seconds")
        if isinstance(stayed, int | float):
            seconds[kept.event.camera, kept.event.rule].append(float(stayed))
    return [
        Stay(camera, rule, len(all_), sum(all_) / len(all_), max(all_))
        for (camera, rule), all_ in seconds.items()
    ]


def _happenings(history: History) -> dict[tuple[str, str], int]:
    events: dict[tuple[str, str], int] = defaultdict(int)
    for count in history.counts(EventFilter(phases=("start", "single"))):
        events[count.camera, count.rule] += count.events
    return dict(events)


def _flow(metrics: Metrics, camera: str) -> Flow:
    dropped = {
        reason: int(frames)
        for (of, reason), frames in metrics.by_labels("moonwatch_frames_dropped_total").items()
        if of == camera and frames
    }
    sampled = int(metrics.value("moonwatch_frames_sampled_total", camera=camera))
    return Flow(camera, sampled, dropped)


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
