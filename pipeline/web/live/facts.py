"""How the cameras and engines behind the wall are, for its labels."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pipeline.core.frames import LEFT_OUT
from pipeline.core.measures import Bucket
from pipeline.core.queues import Backlog
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.runtime.assembly import expected_interval_s
from pipeline.runtime.reports import Report
from pipeline.telemetry.figures import Figures, added

LOST_OVER_S: Final = 60.0
"""Over how long losses are added up, in seconds."""
# A camera below this share of what its file asks for is sampled more slowly than it should be.
_SLOWER = 0.8


@dataclass(frozen=True, slots=True)
class WallCamera:
    """What a tile says beside its picture. None stands for unknown."""

    state: str
    """`well`, `unknown`, or the word for what is wrong, such as `offline`."""
    sentence: str = ""
    """What is wrong, and what helps."""
    fps: float | None = None
    """Frames sampled a second."""
    lost: float | None = None
    """The share of due frames that were lost in the last minute, 0..1."""
    reason: str = ""
    """The main one."""
    slower: float | None = None
    """The frames a second that the file asks for, where it is sampled more slowly."""
    counts: Mapping[str, Mapping[str, float | None]] | None = None
    """What each rule measured in its last minute."""


@dataclass(frozen=True, slots=True)
class WallEngine:
    """How much one engine has to do."""

    waiting: int | None = None
    oldest_s: float | None = None
    """How old the frame is that has waited longest, in seconds."""


class WallLosses:
    """Remembers a minute of figures, to tell what was lost in it."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Figures]] = deque()

    def add(self, now: float, figures: Figures) -> None:
        """Take the figures of a moment, monotonic seconds."""
        self._past.append((now, figures))
        while len(self._past) > 1 and now - self._past[1][0] >= LOST_OVER_S:
            self._past.popleft()

    def of(self, camera: str) -> tuple[float | None, str]:
        """The share of frames that were lost and the main reason."""
        if len(self._past) < 2:
            return None, ""
        before, after = self._past[0][1].get(camera), self._past[-1][1].get(camera)
        if before is None or after is None:
            return None, ""
        dropped = Counter(
            {
                reason: max(0, count - before.dropped.get(reason, 0))
                for reason, count in after.dropped.items()
                if reason not in LEFT_OUT
            }
        )
        lost, sampled = dropped.total(), max(0, after.sampled - before.sampled)
        # What a full queue drops was sampled before, so it is in both numbers.
        due = max(lost, sampled + sum(dropped[one] for one in _BEFORE if one in dropped))
        if due == 0:
            return None, ""
        main = dropped.most_common(1)
        return lost / due, main[0][0] if lost and main else ""


_BEFORE: Final = ("stale", "queue away", "decode error", "packet loss", "unusable")
"""Reasons for which a frame was never sampled."""


def configured_fps(camera: CameraConfig) -> float | None:
    """How many frames a second the file asks for; None where that depends on what is seen."""
    if camera.source.is_finite or camera.sample.motion is not None:
        return None
    waits = [expected_interval_s(camera, task) for task in camera.tasks]
    shortest = min(waits, default=0.0)
    return 1.0 / shortest if shortest > 0 else None


def wall_cameras(
    deployment: Deployment,
    reports: Sequence[Report],
    losses: WallLosses,
    buckets: Iterable[Bucket],
) -> dict[str, WallCamera]:
    """What is known of each camera."""
    figures = added([report.figures for report in reports])
    counts = _counts(buckets)
    found: dict[str, WallCamera] = {}
    for name, camera in deployment.cameras.items():
        sampler = next((one for one in reports if name in one.samples), None)
        troubles = next((one.wellness[name] for one in reports if name in one.wellness), None)
        fps = sampler.rates.get(name, {}).get("sampled") if sampler is not None else None
        asked = configured_fps(camera)
        lost, reason = losses.of(name)
        is_slower = fps is not None and asked is not None and 0 < fps < asked * _SLOWER
        state, sentence = "unknown", ""
        if troubles:
            state = str(troubles[0]["state"])
            sentence = f"{troubles[0]['sentence']}; {troubles[0]['help']}".strip("; ")
        elif sampler is not None:
            is_up = name in figures and figures[name].up
            state = "well" if is_up else "unknown"
        elif reports:
            sentence = "no process samples it"
        found[name] = WallCamera(
            state,
            sentence,
            fps,
            lost,
            reason,
            round(asked, 3) if asked is not None and is_slower else None,
            counts.get(name),
        )
    return found


def wall_engines(backlog: Mapping[str, Backlog], now: float) -> dict[str, WallEngine]:
    """What waits for each engine; `now` is UTC seconds."""
    return {
        name: WallEngine(one.length, None if one.oldest is None else max(0.0, now - one.oldest))
        for name, one in backlog.items()
    }


def as_plain(one: WallCamera | WallEngine) -> dict[str, object]:
    """The same for JSON, without what is unknown."""
    return {name: value for name, value in asdict(one).items() if value not in (None, "")}


def _counts(buckets: Iterable[Bucket]) -> dict[str, dict[str, Mapping[str, float | None]]]:
    """The newest minute of each camera and rule; `_coverage` is the share of it that is known."""
    newest: dict[tuple[str, str], Bucket] = {}
    for bucket in buckets:
        known = newest.get((bucket.camera, bucket.rule))
        if known is None or bucket.minute >= known.minute:
            newest[bucket.camera, bucket.rule] = bucket
    found: dict[str, dict[str, Mapping[str, float | None]]] = {}
    for (camera, rule), bucket in newest.items():
        values = {name: value for name, value in bucket.values.items() if len(name) < 40}
        found.setdefault(camera, {})[rule] = dict([*values.items()][:12])
    return found
