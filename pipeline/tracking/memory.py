"""What a tracker remembers of one thing."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from pipeline.core.geometry import Box
from pipeline.core.tracks import Feet, Step
from pipeline.tracking.classes import Votes, kind_of, voted
from pipeline.tracking.evidence import Evidence, evidence_from_json
from pipeline.tracking.feet import USUAL_NOISE, FeetMemory, feet_from_json, first_feet
from pipeline.tracking.motion import (
    SHAPES,
    Motion,
    MotionModel,
    centre_of,
    first_seen,
    first_shape,
    height_of,
    shape_of,
)

HEIGHT_MEMORY_S = 1.0
"""How fast the remembered height follows the boxes: slower than a stride, faster than people
approach the camera."""

MOST_UNSHOWN = 64
"""Steps that are kept of a thing that is not shown: a mover is shown within seconds, and what has
stood still for hours had no other place."""


@dataclass(slots=True)
class TrackMemory:
    """One thing: where it is, how it moves, and which of its steps were not shown yet."""

    motion: Motion
    shape: Motion
    """Logarithms of its box's width and height, and how they change."""
    height: float
    """Smoothed box height in picture heights."""
    first_at: float
    last_at: float
    last_box: Box
    """As it was detected."""
    last_score: float
    feet: FeetMemory
    evidence: Evidence
    id: int | None = None
    """Assigned at confirmation, so that the ids that rules see have no gaps."""
    seen: int = 1
    """Boxes so far."""
    missed: int = 0
    """Updates without a box since the last one."""
    unshown: list[Step] = field(default_factory=list)
    beside: float | None = None
    """While its boxes overlap those of another: the evidence (log-likelihood ratio) that it is a
    second thing, and not a second box of the first. None for things that stand alone."""
    _ahead: tuple[float, MotionModel, Motion, Motion] | None = None
    """The last prediction: it is needed several times in a look."""

    label: str = ""
    """Its kind; empty in a tracker of one kind."""
    votes: Votes = field(default_factory=dict)
    """What speaks for it, by kind."""

    def vote(self, now: Votes) -> None:
        """Add what it was taken for in one more look."""
        self.votes = voted(self.votes, now)
        self.label = kind_of(self.votes, self.label)

    def ahead(self, at: float, model: MotionModel) -> tuple[Motion, Motion]:
        """Its motion and its shape at a later time."""
        kept = self._ahead
        if kept is None or kept[0] != at or kept[1] is not model:
            elapsed_s = max(at - self.last_at, 0.0)
            self._ahead = kept = (
                at,
                model,
                self.motion.predicted(elapsed_s, self.height, model),
                self.shape.predicted(elapsed_s, 1.0, SHAPES),
            )
        return kept[2], kept[3]

    def see(self, at: float, box: Box, score: float, model: MotionModel) -> None:
        """Update it with the box it was seen in."""
        self.motion, self.shape = motion, shape = self.ahead(at, model)
        self._ahead = None
        aspect, height = model.aspect, self.height
        motion.correct(centre_of(box, aspect), model.blur * height)
        elapsed_s = max(at - self.last_at, 0.0)
        new_shape = shape_of(box, aspect)
        shape.correct(new_shape, model.shape_blur)
        self.seen += 1
        # The first few boxes are averaged.
        share = max(1.0 - math.exp(-elapsed_s / HEIGHT_MEMORY_S), 1.0 / self.seen)
        self.height = height * (height_of(box) / height) ** share
        self.last_at, self.last_box, self.last_score = at, box, score
        self.missed = 0
        unshown = self.unshown
        unshown.append(Step(at, box, self.feet.see(at, box, new_shape, model)))
        if len(unshown) > MOST_UNSHOWN:
            del unshown[:-MOST_UNSHOWN]

    def stay(self, at: float, box: Box, model: MotionModel) -> None:
        """It stands in this box, in which it was seen before: nothing moves there."""
        self.motion, self.shape = motion, shape = self.ahead(at, model)
        motion.correct(centre_of(box, model.aspect), model.blur * self.height)
        shape.correct(shape_of(box, model.aspect), model.shape_blur)
        self.last_at, self.last_box = at, box
        self._ahead = None
        self.missed = 0
        self.unshown.append(Step(at, box, self.feet.feet(model)))
        if len(self.unshown) > MOST_UNSHOWN:
            del self.unshown[:-MOST_UNSHOWN]

    def copied(self) -> "TrackMemory":
        """The same memory, to go on with independently."""
        # Each field by itself: `copy` takes five times as long, for everyone who may be another.
        return TrackMemory(
            motion=self.motion,
            shape=self.shape,
            height=self.height,
            first_at=self.first_at,
            last_at=self.last_at,
            last_box=self.last_box,
            last_score=self.last_score,
            feet=self.feet.copied(),
            evidence=self.evidence.copied(),
            id=self.id,
            seen=self.seen,
            missed=self.missed,
            unshown=list(self.unshown),
            beside=self.beside,
            label=self.label,
            votes=dict(self.votes),
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly: floats survive JSON bit for bit."""
        return {
            "motion": list(astuple(self.motion)),
            "shape": list(astuple(self.shape)),
            "height": self.height,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "last_box": list(self.last_box),
            "last_score": self.last_score,
            "id": self.id,
            "seen": self.seen,
            "missed": self.missed,
            "beside": self.beside,
            "feet": self.feet.to_json(),
            "unshown": [
                [step.at, *step.box, *(() if step.feet is None else _flat(step.feet))]
                for step in self.unshown
            ],
            "evidence": self.evidence.to_json(),
            **({"label": self.label, "votes": dict(self.votes)} if self.votes else {}),
        }


def begun(
    at: float,
    box: Box,
    score: float,
    model: MotionModel,
    evidence: Evidence,
    noise: float = USUAL_NOISE,
) -> TrackMemory:
    """The memory of a thing that was just seen for the first time.

    `noise` is that of the lower edge in body heights, as far as the camera is known.
    """
    feet = first_feet(at, box, model, noise)
    return TrackMemory(
        motion=first_seen(box, model),
        shape=first_shape(box, model),
        height=height_of(box),
        first_at=at,
        last_at=at,
        last_box=box,
        last_score=score,
        feet=feet,
        evidence=evidence,
        unshown=[Step(at, box, feet.feet(model))],
    )


def from_json(kept: Mapping[str, Any], model: MotionModel) -> TrackMemory:
    """The memory that `to_json` wrote; raises TypeError, KeyError or ValueError for others.

    Those of earlier releases know boxes alone: the estimate of the feet begins with the last one.
    """
    last_at, last_box = _number(kept["last_at"]), _box(kept["last_box"])
    feet = kept.get("feet")
    shape = kept.get("shape")  # not written by the first release
    height = _number(kept["height"])
    if height <= 0:
        raise ValueError(f"a height of {height:g} is not above 0")
    return TrackMemory(
        motion=Motion(*map(_number, kept["motion"])),
        shape=first_shape(last_box, model) if shape is None else Motion(*map(_number, shape)),
        height=height,
        first_at=_number(kept["first_at"]),
        last_at=last_at,
        last_box=last_box,
        last_score=_number(kept["last_score"]),
        feet=first_feet(last_at, last_box, model) if feet is None else feet_from_json(feet),
        id=None if kept["id"] is None else int(kept["id"]),
        seen=int(kept["seen"]),
        missed=int(kept["missed"]),
        beside=None if kept.get("beside") is None else _number(kept["beside"]),
        unshown=[_step(step) for step in kept["unshown"]],
        evidence=_evidence(kept),
        label=str(kept.get("label", "")),
        votes={str(label): _number(sum_) for label, sum_ in kept.get("votes", {}).items()},
    )


def _flat(feet: Feet) -> tuple[float, ...]:
    return (*feet.place, feet.noise, *feet.seen, feet.seen_noise, feet.height)


def _step(values: list[Any]) -> Step:
    at, *numbers = map(_number, values)
    feet = None
    if len(numbers) > 4:
        x, y, noise, seen_x, seen_y, seen_noise, height = numbers[4:]
        feet = Feet((x, y), noise, (seen_x, seen_y), seen_noise, height)
    return Step(at, _box(numbers[:4]), feet)


def _evidence(kept: Mapping[str, Any]) -> Evidence:
    """What speaks for it; what an earlier release has shown goes on being shown."""
    if "evidence" in kept:
        return evidence_from_json(kept["evidence"])
    box, at, score = _box(kept["last_box"]), _number(kept["first_at"]), _number(kept["last_score"])
    shown = kept["id"] is not None
    return Evidence(box, at, score, score, int(kept["seen"]), moved=shown, counts=shown)


def _box(values: list[Any]) -> Box:
    x_min, y_min, x_max, y_max = map(_number, values)
    return (x_min, y_min, x_max, y_max)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a place, time or size")
    return number
