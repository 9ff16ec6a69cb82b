"""One-off questions about a picture or a clip: `moonwatch ask`."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.sources.file import FileConfig
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue
from pipeline.core.sources import Need
from pipeline.core.tasks import Task
from pipeline.inference.engines.base import EngineConfigBase

# Frames of a clip that are decoded while an earlier one is being answered.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers about one picture; `at_s` is its position in the clip, in seconds."""

    at_s: float
    answers: dict[str, Answer]


def check_tasks(config: EngineConfigBase, tasks: Sequence[Task]) -> None:
    """Raise ConfigError with every task that the engine cannot answer."""
    problems = []
    for task in tasks:
        reason = config.problem_with(task)
        if reason:
            problems.append(Problem(f"--{type(task).__name__.lower()}", reason))
    if problems:
        raise ConfigError(problems)


def ask(
    engine: Engine, path: Path, tasks: Sequence[Task], every_s: float, deadline_s: float
) -> Iterator[Reply]:
    """Answers about a picture, or about a clip's frames `every_s` apart; raises SourceError."""
    source = FileConfig(path=str(path)).build()
    source.open(Need(every_s=every_s))
    try:
        first_at: float | None = None
        due_at = float("-inf")
        asked: deque[tuple[float, Ticket]] = deque()
        for picture in source.pictures():
            if picture.captured_at < due_at - 1e-6:
                continue
            due_at = picture.captured_at + every_s
            first_at = picture.captured_at if first_at is None else first_at
            ticket = engine.submit(EngineRequest(picture.rgb(), tasks, deadline_s))
            asked.append((round(picture.captured_at - first_at, 3), ticket))
            if len(asked) == _AHEAD:
                yield _reply(*asked.popleft())
        while asked:
            yield _reply(*asked.popleft())
    finally:
        source.close()


def _reply(at_s: float, ticket: Ticket) -> Reply:
    tasks = ticket.request.tasks
    return Reply(at_s, dict(zip((task.id for task in tasks), ticket.result(), strict=True)))


def as_json(answer: Answer) -> JsonValue:
    """An answer as JSON; boxes and points are fractions (0..1) of the picture."""
    match answer:
        case Boxes():
            return {
                "boxes": [[round(v, 5) for v in box] for box in answer.boxes_xyxy],
                "scores": [round(score, 4) for score in answer.scores],
                "saturated": answer.saturated,
            }
        case Points():
            return {
                "points": [[round(v, 5) for v in point] for point in answer.points_xy],
                "scores": [round(score, 4) for score in answer.scores],
                "saturated": answer.saturated,
            }
        case Number():
            return {"number": answer.value, "saturated": answer.saturated}
        case Text():
            return {"text": answer.text, "yes_probability": answer.yes_probability}
        case Failed():
            return {"failed": answer.reason}


def as_text(answer: Answer) -> str:
    """An answer as text to read."""
    match answer:
        case Boxes():
            more = " or more" if answer.saturated else ""
            lines = [f"{len(answer.boxes_xyxy)}{more} found"]
            lines += [
                f"  {' '.join(f'{v:.3f}' for v in box)}  score {score:.2f}"
                for box, score in zip(answer.boxes_xyxy, answer.scores, strict=True)
            ]
            return "\n".join(lines)
        case Points():
            lines = [f"{len(answer.points_xy)} found"]
            lines += [
                f"  {x:.3f} {y:.3f}  score {score:.2f}"
                for (x, y), score in zip(answer.points_xy, answer.scores, strict=True)
            ]
            return "\n".join(lines)
        case Number():
            return str(answer.value) + (" or more" if answer.saturated else "")
        case Text() if answer.yes_probability is not None:
            return f"{answer.text} (yes: {answer.yes_probability * 100:.0f} %)"
        case Text():
            return answer.text
        case Failed():
            return f"failed: {answer.reason}"
