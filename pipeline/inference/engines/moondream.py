"""Answers every kind of task in plain words with Moondream 2, a vision-language model on torch."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

import pipeline.moondream as moondream
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.errors import EngineError
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines.base import EngineConfigBase
from pipeline.moondream.numbers import number_in
from pipeline.moondream.releases import LATEST_RELEASE, RELEASES

if TYPE_CHECKING:
    from pipeline.moondream import Moondream

# A number in words is at most a few tokens, an introduction in front of it a few more.
NUMBER_TOKENS = 16
# Rows of the model's running batch for each frame of a batch: so many of its tasks are answered at
# the same time, and more of them wait for a row.
TASKS_SIDE_BY_SIDE = 4
# Frames are reduced to twice what the crops show of them, so that what is left is still sharp:
# four columns of local crops are 1176 pixels, the global view is 378.
SIDE_OF_CROPS, SIDE_OF_OVERVIEW = 2 * 1176, 2 * 378


def _as_text(value: Any) -> Any:
    """YAML reads a release without quotes as a date."""
    return value.isoformat() if isinstance(value, date) else value


class MoondreamConfig(EngineConfigBase):
    """Moondream 2: detects, points, counts, answers and describes, for any words."""

    type: Literal["moondream"] = "moondream"
    model: str = Field(
        "vikhyatk/moondream2",
        description="A Hugging Face repository, or a folder with model.safetensors, "
        "tokenizer.json and config.json.",
    )
    revision: Annotated[str | None, BeforeValidator(_as_text)] = Field(
        None, description="A release such as 2025-06-21, or a commit; nothing means the newest."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 or mps; auto takes a GPU where there is one.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision; auto is the file's own on a GPU and float32 on a CPU."
    )
    max_crops: int | None = Field(
        None,
        ge=1,
        le=12,
        description="Local crops of a frame at most; 1 looks at the whole frame only, which is "
        "fastest and misses small things.",
    )
    variant: str | None = Field(None, description="A LoRA file to apply, .safetensors or .pt.")

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the model can make use of."""
        return SIDE_OF_OVERVIEW if self.max_crops == 1 else SIDE_OF_CROPS

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can."""
        name = (self.revision or LATEST_RELEASE).partition("@")[0]
        release = RELEASES.get(name)
        if release and isinstance(task, Caption) and task.length not in release.caption_lengths:
            return (
                f"release {release.name} writes no {task.length} captions; "
                f"use {' or '.join(release.caption_lengths)}, or release {LATEST_RELEASE}"
            )
        return None

    def build(self) -> "MoondreamEngine":
        """Load the model; raises EngineError."""
        try:
            model = moondream.Moondream.load(
                self.model,
                self.revision,
                self.device,
                self.dtype,
                self.variant,
                max_batch=self.max_batch * TASKS_SIDE_BY_SIDE,
            )
        except ImportError as error:
            raise EngineError(
                f"the moondream engine needs {error.name or 'torch'}; "
                "install it with: pip install 'moonwatch[moondream]'"
            ) from error
        # torch says RuntimeError or AssertionError for a device it does not have.
        except (moondream.MoondreamError, RuntimeError, AssertionError) as error:
            raise EngineError(f"the model {self.model} cannot be loaded: {error}") from error
        return MoondreamEngine(model, self)


class MoondreamEngine:
    """Puts the tasks of a batch to the model; each frame is encoded once for all its tasks."""

    def __init__(self, model: "Moondream", config: MoondreamConfig) -> None:
        self._model: Moondream | None = model
        self._config = config

    @property
    def max_side(self) -> int:
        """Longest picture side in pixels that the model can make use of."""
        return self._config.max_side

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; `pixels` are (H, W, 3) RGB."""
        if self._model is None:
            raise EngineError("the engine is closed; build it again")
        work = [(pixels, [_request(task) for task in tasks]) for pixels, tasks in batch]
        found = self._model.answer(work, self._config.max_crops)
        return [
            [_answer(task, result) for task, result in zip(tasks, results, strict=True)]
            for (_, tasks), results in zip(batch, found, strict=True)
        ]

    def close(self) -> None:
        """Let go of the model and its memory."""
        self._model = None


def _request(task: Task) -> "moondream.Request":
    match task:
        case Detect(label=label, max_objects=limit):
            return moondream.DetectRequest(label, limit)
        case Point(label=label, max_objects=limit):
            return moondream.PointRequest(label, limit)
        case Count(label=label, max_objects=limit):
            return moondream.CountRequest(label, max_objects=limit)
        case Caption(length=length, max_tokens=limit):
            return moondream.CaptionRequest(length, max_tokens=limit)
        case Ask(answers="yes/no", question=question):
            # The first token decides; what follows is not needed.
            return moondream.QueryRequest(question, max_tokens=1)
        case Ask(answers="number", question=question, max_tokens=limit):
            return moondream.QueryRequest(question, max_tokens=min(limit, NUMBER_TOKENS))
        case Ask(answers="one of", question=question, choices=choices):
            return moondream.QueryRequest(question, choices=choices)
        case Ask(question=question, max_tokens=limit):
            return moondream.QueryRequest(question, max_tokens=limit)


def _answer(task: Task, result: "moondream.Result") -> Answer:
    match result:
        case moondream.DetectResult():
            boxes = tuple((b[0], b[1], b[2], b[3]) for b in result.boxes_xyxy.tolist())
            scores = tuple(result.scores.tolist())
            return Boxes(task.engine, boxes, scores, result.saturated)
        case moondream.PointResult():
            points = tuple((p[0], p[1]) for p in result.points_xy.tolist())
            return Points(task.engine, points, tuple(result.scores.tolist()), result.saturated)
        case moondream.CountResult():
            if result.count is None:
                return Failed(task.engine, f"the answer {result.text!r} holds no number")
            return Number(task.engine, result.count, result.agreement, result.saturated)
        case moondream.TextResult():
            return _text(task, result)
        case moondream.FailedResult():
            return Failed(task.engine, result.reason)


def _text(task: Task, result: "moondream.TextResult") -> Answer:
    words = result.text.strip()
    match task:
        case Ask(answers="yes/no"):
            if result.yes_probability is None:
                return Failed(task.engine, f"the answer {words!r} is neither yes nor no")
            said = "yes" if result.yes_probability >= 0.5 else "no"
            return Text(task.engine, said, result.yes_probability)
        case Ask(answers="number"):
            value = number_in(words)
            if value is None:
                return Failed(task.engine, f"the answer {words!r} holds no number")
            return Number(task.engine, value)
        case _:
            return Text(task.engine, words)
