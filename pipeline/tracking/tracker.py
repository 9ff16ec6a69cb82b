"""A tracker for 1 to 10 frames a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box, iou
from pipeline.core.tracks import Track
from pipeline.tracking.association import Gate, assigned, costs
from pipeline.tracking.memory import Memory, begun, from_json
from pipeline.tracking.motion import Manner


@dataclass(frozen=True, slots=True)
class Habits:
    """The tracker's settings as numbers; see TrackerConfig for the ones operators set."""

    start_score: float = 0.4
    confirm_after_s: float = 0.4
    forget_after_s: float = 2.0
    speed: float = 0.7
    steadiness_s: float = 4.0
    blur: float = 0.1
    surprise: float = 7.0
    top_speed: float = 3.0
    height_spread: float = 0.25
    duplicate_iou: float = 0.5
    new_penalty: float = 1.0
    faint_penalty: float = 1.0
    new_forget_s: float = 1.0


class BoxTracker:
    def __init__(self, label: str, habits: Habits) -> None:
        self._label = label
        self._h = habits
        self._manner = Manner(habits.speed, habits.steadiness_s, habits.blur)
        self._gate = Gate(habits.surprise, habits.top_speed, habits.height_spread)
        self._things: list[Memory] = []
        self._next_id = 1

    def update(self, at: float, boxes: Sequence[Box], scores: Sequence[float]) -> tuple[Track, ...]:
        h = self._h
        table = costs(self._things, boxes, at, self._manner, self._gate)
        for r, t in enumerate(self._things):
            if not t.confirmed:
                table[r] += h.new_penalty
        for c, s in enumerate(scores):
            if s < h.start_score:
                table[:, c] += h.faint_penalty
        pairs = assigned(table)
        rows = {r for r, _ in pairs}
        cols = {c for _, c in pairs}
        for r, c in pairs:
            self._things[r].see(at, boxes[c], scores[c], self._manner)
        for r, t in enumerate(self._things):
            if r not in rows:
                t.missed += 1
        self._things = [t for t in self._things if not self._over(t, at)]
        taken = [boxes[c] for c in cols]
        for c, (box, s) in enumerate(zip(boxes, scores, strict=True)):
            if c in cols or s < h.start_score:
                continue
            if any(iou(box, o) > h.duplicate_iou for o in taken):
                continue
            taken.append(box)
            self._things.append(begun(at, box, s, self._manner))
        return self._shown(at)

    def _over(self, t: Memory, at: float) -> bool:
        gone = at - t.last_at
        limit = self._h.forget_after_s if t.confirmed else self._h.new_forget_s
        return t.missed >= 2 and gone > limit

    def _shown(self, at: float) -> tuple[Track, ...]:
        out = []
        for t in self._things:
            if t.last_at != at:
                continue
            if t.id is None:
                if t.seen < 2 or at - t.first_at < self._h.confirm_after_s - 1e-6:
                    continue
                t.id = self._next_id
                self._next_id += 1
            out.append(Track(t.id, self._label, t.last_score, t.first_at, tuple(t.unshown)))
            t.unshown = []
        return tuple(sorted(out, key=lambda tr: tr.id))

    def state(self) -> JsonValue:
        things = cast(list[JsonValue], [t.to_json() for t in self._things])
        return {"next_id": self._next_id, "things": things}

    def restore(self, state: JsonValue) -> None:
        kept = cast(dict[str, Any], state)
        self._next_id = kept["next_id"]
        self._things = [from_json(t) for t in kept["things"]]
