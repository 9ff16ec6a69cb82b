"""Three families of detectors with one interface: find labels in pictures of one size.

What is found for a label does not depend on the other labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box, clamped

# Longer labels would be cut by the text models, which take 16 tokens.
MAX_LABEL = 60
# Of the picture; a box that only touches the frame from outside has a side of nearly nothing.
_LEAST_SIDE = 1e-6


@dataclass(frozen=True, slots=True)
class DetectedBoxes:
    """Boxes of one label in one picture with their scores, best first."""

    boxes_xyxy: tuple[Box, ...]
    scores: tuple[float, ...]


class Detector(Protocol):
    """A loaded checkpoint."""

    def problem_with(self, label: str) -> str | None:
        """Why a label cannot be looked for, or None."""
        ...

    def find(
        self, pictures: Sequence[Pixels], labels: Sequence[str], min_score: float
    ) -> list[dict[str, DetectedBoxes]]:
        """Find each label in each picture; all pictures have the same size (H, W, 3)."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorParts:
    """A model and what prepares its inputs, with the place they run at."""

    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype

    def run(self, **inputs: Any) -> tuple[Any, Any]:
        """Prepare inputs and run the model; returns both."""
        prepared = self.processor(**inputs, return_tensors="pt").to(self.device)
        if "pixel_values" in prepared:
            prepared["pixel_values"] = prepared["pixel_values"].to(self.dtype)
        return prepared, self.model(**prepared)


class ClosedSet:
    """Detectors of the classes they were trained on, such as RT-DETR, D-FINE and DETR."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts
        names = parts.model.config.id2label
        self._classes: dict[str, set[int]] = {}
        for index, name in names.items():
            self._classes.setdefault(_plain(str(name)), set()).add(int(index))

    def problem_with(self, label: str) -> str | None:
        """Why a label cannot be looked for, or None."""
        if _plain(label) in self._classes:
            return None
        known = sorted(self._classes)
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        return f"{label!r} is not one of the model's {len(known)} classes: {shown}"

    def find(
        self, pictures: Sequence[Pixels], labels: Sequence[str], min_score: float
    ) -> list[dict[str, DetectedBoxes]]:
        """Run the model once, and sort what it finds by class."""
        _, outputs = self._parts.run(images=list(pictures))
        results = self._parts.processor.post_process_object_detection(
            outputs, threshold=min_score, target_sizes=_sizes(pictures)
        )
        found = []
        for picture, result in zip(pictures, results, strict=True):
            of_class = result["labels"].cpu()
            found.append({label: self._of(label, result, of_class, picture) for label in labels})
        return found

    def _of(self, label: str, result: Any, classes: torch.Tensor, picture: Pixels) -> DetectedBoxes:
        wanted = torch.tensor(sorted(self._classes[_plain(label)]))
        return _found(result, torch.isin(classes, wanted), picture)


class OpenSet:
    """Owl-ViT and OWLv2: each label is scored on its own against every place of a picture."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts

    def problem_with(self, label: str) -> str | None:
        """Why a label cannot be looked for, or None."""
        return _too_long(label)

    def find(
        self, pictures: Sequence[Pixels], labels: Sequence[str], min_score: float
    ) -> list[dict[str, DetectedBoxes]]:
        """Encode the pictures once, then read off one label after the other."""
        questions = [[f"a photo of a {label}" for label in labels]] * len(pictures)
        _, outputs = self._parts.run(text=questions, images=list(pictures), truncation=True)
        every_label = outputs.logits
        found: list[dict[str, DetectedBoxes]] = [{} for _ in pictures]
        for column, label in enumerate(labels):
            # Left together, each place would be given to its best label alone.
            outputs.logits = every_label[..., column : column + 1]
            results = self._parts.processor.post_process_grounded_object_detection(
                outputs, threshold=min_score, target_sizes=_sizes(pictures)
            )
            for row, result in enumerate(results):
                found[row][label] = _found(result, None, pictures[row])
        return found


class Grounded:
    """Grounding DINO: reads a label as a sentence together with the picture."""

    def __init__(self, parts: DetectorParts) -> None:
        self._parts = parts

    def problem_with(self, label: str) -> str | None:
        """Why a label cannot be looked for, or None."""
        return _too_long(label)

    def find(
        self, pictures: Sequence[Pixels], labels: Sequence[str], min_score: float
    ) -> list[dict[str, DetectedBoxes]]:
        """Run the model once for each label."""
        found: list[dict[str, DetectedBoxes]] = [{} for _ in pictures]
        for label in labels:
            sentence = _plain(label).rstrip(".") + "."
            prepared, outputs = self._parts.run(
                text=[sentence] * len(pictures), images=list(pictures)
            )
            results = self._parts.processor.post_process_grounded_object_detection(
                outputs,
                prepared["input_ids"],
                threshold=min_score,
                text_threshold=min_score,
                target_sizes=_sizes(pictures),
            )
            for row, result in enumerate(results):
                found[row][label] = _found(result, None, pictures[row])
        return found


def _found(result: Any, chosen: torch.Tensor | None, picture: Pixels) -> DetectedBoxes:
    """Boxes in fractions of the picture, clamped to it, best first; empty ones are left out."""
    height, width = picture.shape[:2]
    boxes, scores = result["boxes"].float().cpu(), result["scores"].float().cpu()
    if chosen is not None:
        boxes, scores = boxes[chosen], scores[chosen]
    boxes = boxes / torch.tensor([width, height, width, height])
    kept: list[tuple[Box, float]] = []
    for index in torch.argsort(scores, descending=True, stable=True).tolist():
        x_min, y_min, x_max, y_max = clamped(tuple(boxes[index].tolist()))
        if x_max - x_min > _LEAST_SIDE and y_max - y_min > _LEAST_SIDE:
            kept.append(((x_min, y_min, x_max, y_max), float(scores[index])))
    return DetectedBoxes(tuple(box for box, _ in kept), tuple(score for _, score in kept))


def _sizes(pictures: Sequence[Pixels]) -> list[tuple[int, int]]:
    return [(picture.shape[0], picture.shape[1]) for picture in pictures]


def _plain(label: str) -> str:
    return " ".join(label.lower().split())


def _too_long(label: str) -> str | None:
    if not label.strip():
        return "the label is empty; say what to look for"
    if len(label) > MAX_LABEL:
        return f"the label has {len(label)} characters; the model reads at most {MAX_LABEL}"
    return None
