"""Answers every kind of task in plain words with Moondream 2, a vision-language model on torch."""

import importlib
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pipeline.core.config import PositiveDuration
from pipeline.core.tasks import Caption, Task
from pipeline.inference.engines.base import EngineConfigBase

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.inference.engines._moondream import MoondreamEngine
    from pipeline.moondream.templates import Release

# Frames are reduced to twice what the crops show of them, so that what is left is still sharp:
# four columns of local crops are 1176 pixels, the global view is 378.
SIDE_OF_CROPS, SIDE_OF_OVERVIEW = 2 * 1176, 2 * 378


def _as_text(value: Any) -> Any:
    """YAML reads an unquoted release as a date."""
    return value.isoformat() if isinstance(value, date) else value


class MoondreamConfig(EngineConfigBase):
    """Moondream 2: detects, points, counts, answers and describes, for any words."""

    type: Literal["moondream"] = "moondream"
    deadline: PositiveDuration = Field(
        timedelta(minutes=4),
        description="How long the engine may take for a frame, including waiting; then its tasks "
        "fail. Keep it below the queue's `visibility`. A CPU may take minutes for a frame.",
    )
    model: str = Field(
        "vikhyatk/moondream2",
        description="A Hugging Face repository, or a folder with model.safetensors, "
        "tokenizer.json and config.json.",
    )
    revision: Annotated[str | None, BeforeValidator(_as_text)] = Field(
        None, description="A release such as 2025-06-21, or a commit; the newest when left out."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 or mps; auto uses a GPU where there is one.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision; auto keeps the file's on a GPU and uses float32 on a CPU."
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
        if not isinstance(task, Caption):
            return None
        known = importlib.import_module("pipeline.moondream.releases")
        name = (self.revision or known.LATEST_RELEASE).partition("@")[0]
        release: Release | None = known.RELEASES.get(name)
        if release and task.length not in release.caption_lengths:
            return (
                f"release {release.name} writes no {task.length} captions; "
                f"use {' or '.join(release.caption_lengths)}, or release {known.LATEST_RELEASE}"
            )
        return None

    def build(self, clock: "Clock | None" = None) -> "MoondreamEngine":
        """Load the model; raises EngineError."""
        # Imported by name, so that a check of a file need not wait for what it takes to answer.
        engine = importlib.import_module("pipeline.inference.engines._moondream")
        built: MoondreamEngine = engine.build(self, clock)
        return built
