"""Shows a job's picture to an engine: as a whole, or the parts of it in which something moves."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.answers import Answer, Boxes, Failed, checked
from pipeline.core.engines import Engine, EngineRequest, Ticket
from pipeline.core.frames import Pixels
from pipeline.core.geometry import Box
from pipeline.core.jobs import WHOLE, Job
from pipeline.core.tasks import Detect, Task
from pipeline.inference.cuts import as_region, cuts_of, one_answer, share_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A job as it was submitted."""

    ticket: Ticket
    """Done once every part of the picture is answered."""
    looked: tuple[Box, ...] | None = None
    """The parts that tasks with `where: motion` see; None where they see all of it."""
    share: float = 1.0
    """The share of the picture that lies in them."""
    is_shown: bool = True
    """Whether the engine was asked at all: where nothing moves there may be nothing to ask."""


def ask(engine: Engine, job: Job, within_s: float, side: int) -> Asked:
    """Submit a job; `side` is that of the smallest part that the engine is shown."""
    pixels, focus = job.frame.pixels, job.focus
    looking = [
        task
        for task in job.tasks
        if focus is not None and task.id in focus.tasks and isinstance(task, Detect)
    ]
    if focus is None or not looking or pixels.ndim != 3 or not pixels.size:
        ahead = job.goes_ahead
        return Asked(engine.submit(EngineRequest(pixels, job.tasks, within_s, ahead)))
    size_wh = (pixels.shape[1], pixels.shape[0])
    cuts = cuts_of(focus.regions, size_wh, side)
    looked = tuple(as_region(cut, size_wh) for cut in cuts)
    share = share_of(looked)
    if looked == (WHOLE,):
        shown = _fitting(pixels, engine.max_side)
        return Asked(engine.submit(EngineRequest(shown, job.tasks, within_s)))
    others = [task for task in job.tasks if task not in looking]
    together = _Together(EngineRequest(pixels, job.tasks, within_s), side)
    parts: list[tuple[Box, Pixels, Sequence[Task]]] = []
    for cut, region in zip(cuts, looked, strict=True):
        part = pixels[cut[1] : cut[3], cut[0] : cut[2]]
        parts.append((region, part, looking))
    if others:
        # What sees the whole picture is asked together with those who see it as well.
        if WHOLE in looked:
            parts[looked.index(WHOLE)] = (WHOLE, pixels, job.tasks)
        else:
            parts.append((WHOLE, pixels, others))
    together.submit(engine, parts, looked)
    return Asked(together.ticket, looked, share, bool(parts))


class _Together:
    """Waits for the answers about all parts of a picture, and settles one ticket with them."""

    def __init__(self, request: EngineRequest, side: int) -> None:
        self.ticket = Ticket(request)
        self._side = side
        self._lock = threading.Lock()
        self._outstanding = 0
        self._asked: list[tuple[Box, Sequence[Task], Ticket]] = []
        self._looked: tuple[Box, ...] = ()

    def submit(
        self,
        engine: Engine,
        parts: Sequence[tuple[Box, Pixels, Sequence[Task]]],
        looked: tuple[Box, ...],
    ) -> None:
        self._looked = looked
        within_s, limit = self.ticket.request.within_s, engine.max_side
        # One more than there are, so that it is not done before all are submitted.
        self._outstanding = len(parts) + 1
        for region, pixels, tasks in parts:
            ticket = engine.submit(EngineRequest(_fitting(pixels, limit), tasks, within_s))
            self._asked.append((region, tasks, ticket))
        for _, _, ticket in self._asked:
            ticket.add_done_callback(self._count)
        self._count(self.ticket)

    def _count(self, _ticket: Ticket) -> None:
        with self._lock:
            self._outstanding -= 1
            if self._outstanding:
                return
        self.ticket.asked_alone = any(ticket.asked_alone for _, _, ticket in self._asked)
        batch = max((ticket.batch for _, _, ticket in self._asked), default=0)
        self.ticket.settle([self._answer(task) for task in self.ticket.request.tasks], batch)

    def _answer(self, task: Task) -> Answer:
        looks: list[tuple[Box, Answer]] = []
        for region, tasks, ticket in self._asked:
            answers = ticket.result(0.0)
            if len(answers) != len(tasks):
                reason = f"the engine gave {len(answers)} answers for {len(tasks)} tasks"
                return Failed(task.engine, reason)
            # What an engine makes of it may be anything, and nothing may keep this from an end.
            looks += [
                (region, checked(answer, task.engine))
                for of, answer in zip(tasks, answers, strict=True)
                if of == task
            ]
        if not isinstance(task, Detect):
            return looks[0][1]
        if not looks:  # nothing moves
            return Boxes(task.engine, (), ())
        pixels = self.ticket.request.pixels
        size_wh = (pixels.shape[1], pixels.shape[0])
        return one_answer(looks, task.engine, task.max_objects, self._side, size_wh)


def _fitting(pixels: Pixels, max_side: int | None) -> Pixels:
    """The pixels (H, W, 3), no larger than an engine can use, and as one block."""
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return np.ascontiguousarray(pixels)
    scale = max_side / max(height, width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
