"""Answers Detect, Count and Point with any detection checkpoint of the transformers library:
RT-DETR, D-FINE, DETR and others by their classes, OWLv2 and Grounding DINO by any words.
"""

import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.clock import Clock
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.geometry import centre
from pipeline.core.machine import Lack, how_to_install, is_folder, missing_gpu, missing_libraries
from pipeline.core.tasks import Count, Detect, Point, Task, subject_label
from pipeline.inference.engines.base import EngineConfigBase, snapshots
from pipeline.inference.engines.batching import BatchingEngine

if TYPE_CHECKING:
    from pipeline.inference.engines._transformers.detectors import DetectedBoxes, Detector

LIBRARIES = ("torch", "transformers", "PIL", "safetensors", "huggingface_hub")
# Imported by name when a model is loaded: it brings torch and transformers with it.
_LOADER = "pipeline.inference.engines._transformers.load"


class TransformersConfig(EngineConfigBase):
    """A detector of the transformers library; it finds things but does not answer questions."""

    type: Literal["transformers"] = "transformers"
    model: str = Field(
        description="A Hugging Face repository such as PekingU/rtdetr_v2_r18vd, or a local folder."
    )
    revision: str | None = Field(
        None, description="A commit, tag or branch of the repository; give a commit to pin it."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 or mps; auto uses a GPU where there is one.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision; auto keeps the file's on a GPU and uses float32 on a CPU."
    )
    min_score: float = Field(
        0.3, gt=0.0, lt=1.0, description="Boxes below this score are not reported."
    )
    local_files_only: bool = Field(
        False, description="Load the model from the cache or a folder, never from the network."
    )

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can.

        Which classes a checkpoint knows is only known once it is loaded.
        """
        if subject_label(task) is not None:
            return None
        kind = type(task).__name__.lower()
        return (
            f"the transformers engine finds things and cannot answer {kind!r}; "
            "use an engine that answers in words, such as moondream"
        )

    def lacks(self) -> Iterator[Lack]:
        """Whether libraries, model and device are here."""
        yield from missing_libraries("the transformers engine", LIBRARIES, "moondream")
        yield from missing_gpu(self.device)
        is_path = self.model.startswith(("/", ".", "~"))
        if is_path and not is_folder(Path(self.model).expanduser()):
            yield Lack("model", f"there is no folder {self.model} on this machine")
        elif not is_path and not is_folder(self.model) and not snapshots(self.model):
            message = f"{self.model} is not in the cache of this machine"
            if self.local_files_only:
                yield Lack("model", f"{message}, and `local_files_only` forbids to download it")
            else:
                yield Lack("model", f"{message}; it is downloaded at the first start", False)

    def build(self, clock: Clock | None = None) -> BatchingEngine:
        """Load the checkpoint; raises EngineError."""
        max_wait_s = self.max_wait.total_seconds()
        return BatchingEngine(self.load(), self.max_batch, max_wait_s, clock)

    def load(self) -> "Transformers":
        """The model alone; raises EngineError."""
        try:
            loader: Any = import_module(_LOADER)
        except ImportError as error:
            way_out = how_to_install("moondream")
            raise EngineError(
                f"the transformers engine needs {error.name}; install it with: {way_out}"
            ) from error
        wanted = loader.DetectorToLoad(
            self.model, self.revision, self.device, self.dtype, self.local_files_only
        )
        return Transformers(loader.load(wanted), self)


class Transformers:
    """Runs frames of the same size in a batch together."""

    max_side: int | None = None

    def __init__(self, detector: "Detector", config: TransformersConfig) -> None:
        self._detector: Detector | None = detector
        self._config = config
        self._lock = threading.Lock()

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; `pixels` are (H, W, 3) RGB."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        answers: list[list[Answer]] = []
        for index, (pixels, tasks) in enumerate(batch):
            problem = _problem_with(pixels)
            answers.append([Failed(task.engine, problem or "not looked at") for task in tasks])
            if problem is None:
                by_size.setdefault(pixels.shape, []).append(index)
        for indices in by_size.values():
            found = self._look([batch[index] for index in indices])
            for index, of_labels in zip(indices, found, strict=True):
                answers[index] = [self._answer(of_labels, task) for task in batch[index][1]]
        return answers

    def close(self) -> None:
        """Free the model and its memory."""
        self._detector = None

    def _look(
        self, batch: Sequence[tuple[Pixels, Sequence[Task]]]
    ) -> "list[dict[str, DetectedBoxes]]":
        import torch

        labels = {subject_label(task): None for _, tasks in batch for task in tasks}
        wanted = [label for label in labels if label and self._loaded().problem_with(label) is None]
        if not wanted:
            return [{} for _ in batch]
        with self._lock, torch.inference_mode():
            pictures = [pixels for pixels, _ in batch]
            return self._loaded().find(pictures, wanted, self._config.min_score)

    def _answer(self, found: "dict[str, DetectedBoxes]", task: Task) -> Answer:
        problem = self._config.problem_with(task)
        label = subject_label(task)
        if problem is None and label is not None:
            problem = self._loaded().problem_with(label)
        if problem is not None or label is None:
            return Failed(task.engine, problem or "the task has no label")
        of_label = found[label]
        match task:
            case Detect(engine=engine, max_objects=limit):
                boxes, scores = of_label.boxes_xyxy[:limit], of_label.scores[:limit]
                return Boxes(engine, boxes, scores, len(of_label.boxes_xyxy) > limit)
            case Point(engine=engine, max_objects=limit):
                points = tuple(centre(box) for box in of_label.boxes_xyxy[:limit])
                full = len(of_label.boxes_xyxy) > limit
                return Points(engine, points, of_label.scores[:limit], full)
            case Count(engine=engine, max_objects=limit):
                number = len(of_label.boxes_xyxy)
                return Number(engine, min(number, limit), saturated=number > limit)
            case _:
                return Failed(task.engine, "the transformers engine only finds things")

    def _loaded(self) -> "Detector":
        if self._detector is None:
            raise EngineError("the engine is closed; build it again")
        return self._detector


def _problem_with(pixels: Pixels) -> str | None:
    import numpy as np

    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return None
    return (
        f"the picture cannot be used: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}"
    )
