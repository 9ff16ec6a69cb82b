"""An engine that answers from lists, for trying rules without a model and for tests.

engines:
pretend:
type: scripted
answers:
people: [[], [[0.4, 0.2, 0.5, 0.9]]]     # detect: boxes of the 1st frame, the 2nd, ...
door: ["yes", "no", {fail: "too dark"}]  # ask: words, or a failure
crowd: [3, 4, 12]                        # count: numbers
"""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.clock import Clock
from pipeline.core.config import XY, Config, Fraction
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Ask, Caption, Count, Point, Task
from pipeline.inference.engines.base import EngineConfigBase
from pipeline.inference.engines.batching import BatchingEngine


class Failure(Config):
    """A scripted failure."""

    fail: str = Field(description="The reason given.")


ScriptedBoxes = list[tuple[Fraction, Fraction, Fraction, Fraction]]
ScriptedPoints = list[XY]
Line = ScriptedBoxes | ScriptedPoints | int | str | Failure


class ScriptedConfig(EngineConfigBase):
    """Answers each task from its own list, in order, starting over at its end."""

    type: Literal["scripted"] = "scripted"
    answers: dict[str, list[Line]] = Field(
        description="The answers for each task by its name, frame after frame."
    )

    def problem_with(self, task: Task) -> str | None:
        """Why this engine cannot answer a task, or None when it can."""
        if not self.answers.get(task.id):
            known = ", ".join(sorted(self.answers)) or "none"
            return f"has no scripted answers for the task {task.id!r}; it has: {known}"
        return None

    def build(self, clock: Clock | None = None) -> BatchingEngine:
        """The engine, at the start of its lists."""
        asked: dict[str, int] = {}

        def next_line(pixels: Pixels, task: Task) -> Answer:
            lines = self.answers.get(task.id)
            if not lines:
                return Failed(task.engine, f"no scripted answer for {task.id!r}")
            turn = asked.get(task.id, 0)
            asked[task.id] = turn + 1
            return _answer_of(lines[turn % len(lines)], task)

        max_wait_s = self.max_wait.total_seconds()
        return BatchingEngine(Scripted(next_line), self.max_batch, max_wait_s, clock)


class Scripted:
    """Answers by calling `script(pixels, task)`; what the script raises fails that task alone."""

    max_side: int | None = None

    def __init__(self, script: Callable[[Pixels, Task], Answer]) -> None:
        self._script = script

    def answer(self, batch: Sequence[tuple[Pixels, Sequence[Task]]]) -> list[list[Answer]]:
        """Answers in the order asked; `pixels` are (H, W, 3) RGB."""
        return [[self._one(pixels, task) for task in tasks] for pixels, tasks in batch]

    def close(self) -> None:
        """Do nothing: it holds no resources."""

    def _one(self, pixels: Pixels, task: Task) -> Answer:
        try:
            return self._script(pixels, task)
        except Exception as error:  # noqa: BLE001 - a user's script may raise anything
            return Failed(task.engine, f"the script raised {type(error).__name__}: {error}")


def _answer_of(line: Line, task: Task) -> Answer:
    if isinstance(line, Failure):
        return Failed(task.engine, line.fail)
    if isinstance(task, Ask | Caption):
        text = str(line)
        return Text(task.engine, text, yes_probability={"yes": 1.0, "no": 0.0}.get(text.lower()))
    if isinstance(task, Count):
        if isinstance(line, list):
            return Number(task.engine, len(line))
        if isinstance(line, int):
            return Number(task.engine, line)
        return Failed(task.engine, f"{line!r} is not a number for {task.id!r}")
    if not isinstance(line, list):
        return Failed(task.engine, f"{line!r} is not a list of boxes or points for {task.id!r}")
    if isinstance(task, Point):
        points = tuple((item[0], item[1]) for item in line if len(item) == 2)
        return Points(task.engine, points, (1.0,) * len(points))
    boxes = tuple(item for item in line if len(item) == 4)
    return Boxes(task.engine, boxes, (1.0,) * len(boxes))
