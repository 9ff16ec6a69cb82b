"""Answers every kind of task in plain words with Moondream 2, a vision-language model on torch."""

import importlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.core.config import PositiveDuration
from pipeline.core.machine import (
    Lack,
    how_to_install,
    is_folder,
    is_there,
    missing_gpu,
    missing_libraries,
    own_command,
    unreadable_file,
)
from pipeline.core.tasks import Caption, Task
from pipeline.inference.engines.base import EngineConfigBase, snapshots

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.inference.engines._moondream import MoondreamEngine
    from pipeline.moondream.checkpoints.revisions import Wanted
    from pipeline.moondream.templates import Release

LIBRARIES = ("torch", "safetensors", "tokenizers", "huggingface_hub")
# Frames are reduced to twice what the crops show of them, so that what is left is still sharp:
# four columns of local crops are 1176 pixels, the global view is 378.
SIDE_OF_CROPS, SIDE_OF_OVERVIEW = 2 * 1176, 2 * 378


def _as_text(value: Any) -> Any:
    """YAML reads an unquoted release as a date, and some commits as numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"YAML reads it as the number {value}; put it in quotes")  # noqa: TRY004
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
        None,
        description="A release such as 2025-06-21, or RELEASE@COMMIT for the files of a commit; "
        "the newest release of `vikhyatk/moondream2` when left out.",
    )
    release: Annotated[str | None, BeforeValidator(_as_text)] = Field(
        None,
        description="The release the files are of, where neither `revision` nor the files say it: "
        "a folder, a fine-tuned model. Read as another release, they answer fluently and wrongly.",
    )
    resizer: Literal["auto", "pillow", "vips"] = Field(
        "auto",
        description="What pictures are resized with; auto is what the release's own code uses: "
        "Pillow's way for 2025-06-21, libvips (the extra `vips`) for the earlier ones.",
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

    @property
    def cut_side(self) -> int:
        """The side of one crop: a part of this size takes no more than the overview."""
        return SIDE_OF_OVERVIEW // 2

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, with the way out; None when it can."""
        if not isinstance(task, Caption):
            return None
        known = importlib.import_module("pipeline.moondream.checkpoints.releases")
        release = self._release_said()
        if release and task.length not in release.caption_lengths:
            return (
                f"release {release.name} writes no {task.length} captions; "
                f"use {' or '.join(release.caption_lengths)}, or release {known.LATEST_RELEASE}"
            )
        return None

    @model_validator(mode="after")
    def _names_one_release(self) -> Self:
        """Refuse what can be told without looking at any file."""
        revisions = importlib.import_module("pipeline.moondream.checkpoints.revisions")
        errors = importlib.import_module("pipeline.moondream.errors")
        try:
            if self.model in revisions.KNOWN_REPOSITORIES:
                revisions.wanted(self.model, self.revision, self.release)
            else:
                revisions.check_names(self.revision, self.release)
        except errors.CheckpointError as error:
            raise ValueError(str(error)) from error
        return self

    def _wanted(self) -> "Wanted":
        """What is asked for, on this machine; raises CheckpointError."""
        revisions = importlib.import_module("pipeline.moondream.checkpoints.revisions")
        folder = Path(self.model).expanduser()
        understood: Wanted = (
            revisions.wanted_of_folder(folder, self.revision, self.release)
            if is_folder(folder)
            else revisions.wanted(self.model, self.revision, self.release)
        )
        return understood

    def commit(self) -> str:
        """The revision of the repository that its files are at; empty for a folder."""
        if is_folder(Path(self.model).expanduser()):
            return ""
        asked = self._wanted()
        if asked.files is not None:
            return asked.files
        models = importlib.import_module("pipeline.moondream.checkpoints.models")
        known = models.find_model(self.model, asked.release)
        return known.weights.revision if known is not None else ""

    def _release_said(self) -> "Release | None":
        releases = importlib.import_module("pipeline.moondream.checkpoints.releases")
        errors = importlib.import_module("pipeline.moondream.errors")
        try:
            found: Release | None = releases.RELEASES.get(self._wanted().release)
        except errors.CheckpointError:
            return None  # what is wrong is said where the machine is looked at
        return found

    def lacks(self) -> Iterator[Lack]:
        """Whether libraries, model and device are here."""
        missing = list(missing_libraries("the moondream engine", LIBRARIES, "moondream"))
        yield from missing
        yield from missing_gpu(self.device)
        if self.variant is not None:
            yield from unreadable_file("variant", Path(self.variant).expanduser())
        yield from self._missing_resizer()
        folder = Path(self.model).expanduser()
        if is_folder(folder):
            for name in ("model.safetensors", "tokenizer.json"):
                yield from unreadable_file("model", Path(folder, name))
            yield from self._unclear_release()
        elif is_there(folder) or self.model.startswith(("/", ".", "~")):
            yield Lack("model", f"there is no folder {self.model} on this machine")
        elif unclear := list(self._unclear_release()):
            yield from unclear
        elif not self._is_downloaded(libraries_are_here=not missing):
            asked = self._wanted()
            parts = [part for part in (asked.release, asked.files) if part]
            revision = f" --revision {'@'.join(parts)}" if self.revision or self.release else ""
            yield Lack(
                "model",
                f"{self.model} is not on this machine; download it with: "
                f"{own_command()} models pull {self.model}{revision}",
                is_fatal=False,
            )

    def _unclear_release(self) -> Iterator[Lack]:
        revisions = importlib.import_module("pipeline.moondream.checkpoints.revisions")
        errors = importlib.import_module("pipeline.moondream.errors")
        folder, said = Path(self.model).expanduser(), None
        try:
            if is_folder(folder):
                said = revisions.unclear_folder(folder, self.revision, self.release)
            else:
                self._wanted()
        except errors.CheckpointError as error:
            said = str(error)
        if said is not None:
            yield Lack("revision", said)
        elif is_folder(folder) and (
            doubt := revisions.doubt_of_folder(folder, self.revision, self.release)
        ):
            yield Lack("release" if self.release else "revision", doubt, is_fatal=False)

    def _missing_resizer(self) -> Iterator[Lack]:
        release = self._release_said()
        if self.resizer == "vips":
            yield from missing_libraries("resizer vips", ("pyvips",), "vips", "resizer")
        if release is None or release.resizer != "vips" or self.resizer != "auto":
            return
        if list(missing_libraries("", ("pyvips",), "vips")):
            yield Lack(
                "resizer",
                f"release {release.name} was published with libvips, which is not installed on "
                "this machine: pictures will be resized as Pillow does it, and answers may differ "
                f"from the published ones; install it with: {how_to_install('vips')}, or write "
                "`resizer: pillow`",
                is_fatal=False,
            )

    def _is_downloaded(self, *, libraries_are_here: bool) -> bool:
        if not snapshots(self.model):
            return False
        if not libraries_are_here:
            return True  # which files are needed cannot be told
        # Takes a while to import, so only where something is there.
        models = importlib.import_module("pipeline.moondream.checkpoints.models")
        hub = importlib.import_module("pipeline.moondream.checkpoints.hub")
        asked = self._wanted()
        if asked.files is not None:
            return hub.locate(models.weights_file(self.model, asked.files)) is not None
        known = models.find_model(self.model, asked.release)
        return known is None or all(hub.locate(file) is not None for file in known.files)

    def build(self, clock: "Clock | None" = None) -> "MoondreamEngine":
        """Load the model; raises EngineError."""
        # Imported by name, so that a check of a file need not wait for what it takes to answer.
        engine = importlib.import_module("pipeline.inference.engines._moondream")
        built: MoondreamEngine = engine.build(self, clock)
        return built
