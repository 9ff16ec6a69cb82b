"""A job goes to a worker, and its result goes from there to the processor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.answers import Answer, Failed
from pipeline.core.frames import Frame
from pipeline.core.geometry import Box
from pipeline.core.measures import Health
from pipeline.core.tasks import Task, question_of

QUESTION_RUN: Final = "question/"
"""What the run of a job begins with that is a question about a kept picture, and no frame of
a camera. No run of a camera is named so: live ones have a time, files a digest."""
VISITOR: Final = "visitor/"
"""What the keys of questions begin with that a visitor of the application has asked."""
_OF_VISITORS: Final = QUESTION_RUN + VISITOR
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
"""The region that is the whole picture."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Where some of a job's tasks look: at these parts of the picture, and nowhere else."""

    regions: tuple[Box, ...]
    """What moves, or WHOLE, or both; nothing where nothing moves."""
    tasks: tuple[str, ...]
    """The ids of those tasks; all others look at the whole picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A frame with the tasks that one engine has to answer.

    A camera whose tasks use two engines turns a frame into two jobs; each engine then has its own
    gapless `ordinal`, so that a slow question never holds up a fast one.
    """

    frame: Frame
    engine: str
    ordinal: int
    """Numbers the jobs of one camera run and engine without gaps, from 0."""
    tasks: tuple[Task, ...]
    live: bool
    """Live jobs may be dropped in favour of newer ones; a file's jobs are all answered."""
    focus: Focus | None = None
    """Where those of its tasks look that do not look at the whole picture."""

    @property
    def goes_ahead(self) -> bool:
        """Whether a person waits for its answer: it is served before the frames of cameras."""
        return self.frame.run.startswith(_OF_VISITORS)


@dataclass(slots=True, unsafe_hash=True)
class Result:
    """A job's answers, by task id, without pixels.

    Never changed, but not frozen: a day that is judged again has a hundred thousand of them, and
    one is then made three times as fast.

    `last` marks the end of a camera run: it has no answers and the ordinal after the last job's.
    A result with `health` carries a change of the camera's state instead of answers; it is not part
    of the order of jobs.
    """

    camera: str
    run: str
    engine: str
    ordinal: int
    seq: int
    captured_at: float
    size_wh: tuple[int, int]
    live: bool
    answers: Mapping[str, Answer] = field(default_factory=dict)
    last: bool = False
    health: Health | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    """The question behind each answer, by task id, as `question_of` gives it, to recognise answers
    to a task that was edited meanwhile. Empty where a worker does not send it."""
    looked: tuple[Box, ...] | None = None
    """Where a job's `focus` led to; None where all of its tasks saw the whole picture."""
    looking: tuple[str, ...] = ()
    """The tasks that saw only what was `looked` at; all others saw the whole picture."""
    unjudgeable: bool = False
    """The rest of it could not be read: only its place in the order is known."""


def result_of(job: Job, answers: Mapping[str, Answer]) -> Result:
    """The result that belongs to a job."""
    frame = job.frame
    return Result(
        camera=frame.camera,
        run=frame.run,
        engine=job.engine,
        ordinal=job.ordinal,
        seq=frame.seq,
        captured_at=frame.captured_at,
        size_wh=frame.size_wh,
        live=job.live,
        answers=answers,
        asked={task.id: question_of(task) for task in job.tasks},
    )


def failed_result(job: Job, reason: str) -> Result:
    """The result of a job that will not be answered: every task failed, for the same reason."""
    return result_of(job, {task.id: Failed(job.engine, reason) for task in job.tasks})


def health_result(health: Health, run: str = "") -> Result:
    """The result that carries a camera's state to the processor, outside the order of jobs."""
    return Result(
        camera=health.camera,
        run=run,
        engine="",
        ordinal=-1,
        seq=-1,
        captured_at=health.at,
        size_wh=(0, 0),
        live=True,
        health=health,
    )


def unjudgeable_result(
    camera: str, run: str, engine: str, ordinal: int, *, live: bool, last: bool = False
) -> Result:
    """What stands in the order for a result that cannot be read, so that those after it go on."""
    return Result(
        camera=camera,
        run=run,
        engine=engine,
        ordinal=ordinal,
        seq=-1,
        captured_at=0.0,
        size_wh=(0, 0),
        live=live,
        last=last,
        unjudgeable=True,
    )
