"""What every engine's config has in common."""

import os
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pipeline.core.config import Config, Duration, PositiveDuration, as_written
from pipeline.core.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.clock import Clock
    from pipeline.core.engines import Engine
    from pipeline.core.events import JsonValue
    from pipeline.core.machine import Lack
    from pipeline.core.spending import Allowance


def snapshots(model: str) -> list[Path]:
    """The folders in which the Hugging Face cache of this machine holds a repository, if any."""
    home = os.environ.get("HF_HOME")
    if not home:
        home = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    folder = Path(cache or f"{home}/hub").expanduser() / f"models--{model.replace('/', '--')}"
    try:
        return list((folder / "snapshots").iterdir())
    except OSError:
        return []


class EngineConfigBase(Config):
    """How frames are gathered for an engine."""

    max_batch: int = Field(8, ge=1, le=256, description="The most frames processed at a time.")
    max_wait: Duration = Field(
        timedelta(milliseconds=20),
        description="How long a batch that is not full waits for more frames.",
    )
    deadline: PositiveDuration = Field(
        timedelta(seconds=60),
        description="How long the engine may take for a frame, including waiting; then its tasks "
        "fail. Keep it below the queue's `visibility`.",
    )

    operating: ClassVar[frozenset[str]] = frozenset(
        {"max_batch", "max_wait", "deadline", "device", "dtype", "local_files_only"}
    )
    """Fields that affect how the engine runs, not what it answers. A subclass adds its own."""

    def identity(self) -> "JsonValue":
        """What its answers depend on: two engines with the same identity give the same answers."""
        return {**as_written(self, self.operating), "type": getattr(self, "type", "")}

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the engine can make use of; None for no limit."""
        return None

    @property
    def cut_side(self) -> int:
        """The side in pixels of the smallest part that is worth a look by itself: the net's."""
        return 640

    @property
    def falls_back_to(self) -> str | None:
        """The engine that answers what this one cannot, by its name; None without one."""
        return None

    def allowances(self, now: float, timezone: str) -> "list[Allowance]":
        """What it may cost in this hour and day of the site; nothing where there is no limit."""
        return []

    @property
    def looks_at_parts(self) -> str | None:
        """The setting by which it already looks at parts of each picture; None without one."""
        return None

    @abstractmethod
    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task and what to do about it; None when it can."""

    def lacks_for(self, task: Task) -> "Iterable[Lack]":
        """What this machine lacks for a task, where only files that are here can say."""
        return ()

    def probe(self) -> "Iterable[str] | None":
        """Try what it needs from elsewhere: what is wrong, as sentences; None if there is nothing
        to try.
        """
        return None

    @abstractmethod
    def build(self, clock: "Clock | None" = None) -> "Engine":
        """Load the model; raises EngineError. Deadlines are measured on `clock`."""
