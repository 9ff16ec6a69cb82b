"""What the engine keeps about pictures and requests while it works on them.

Knows nothing of tensors but a picture's crops.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.moondream.batch.plan import Plan
from pipeline.moondream.device.pages import PictureKey, PicturePage
from pipeline.moondream.device.rows import Row
from pipeline.moondream.pictures.crops import Crops, Picture
from pipeline.moondream.pictures.uploads import Mark
from pipeline.moondream.skills.base import Skill
from pipeline.moondream.types import FailedResult, FailureCode, RequestFacts, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

# Requests of one picture that run at the same time; more of them wait for one to end. A page is
# asked by as many lanes as the most crowded page has, so one crowded page costs all others.
LANES = 8


@dataclass(eq=False)
class PictureState:
    """A picture that strands still need; `waiting_for` counts them.

    `key` is set when its pixels are looked at, where pages are kept; `n_crops`, how many it is cut
    into, is set then or when it is cut. `crops` are set when it is cut
    and dropped when they are encoded; where that is done beside the main work of the device, they
    are there when it has come to `cut`. `page` is set by the scheduler.
    """

    source: Picture
    max_crops: int | None
    may_be_kept: bool = True
    waiting_for: int = 0
    key: PictureKey | None = None
    n_crops: int = 0
    crops: Crops | None = None
    cut: Mark | None = None
    page: PicturePage | None = None


class RequestTicket:
    """The handle of one request: its result once it is done, its text while it is generated.

    `facts` are what it took so far, for accounts.
    """

    def __init__(
        self,
        pieces: "Sequence[str]" = (),
        facts_now: Callable[[], RequestFacts] = RequestFacts,
    ) -> None:
        self.pieces = pieces
        self.result: Result | None = None
        self.is_cancelled = False
        self._facts_now: Callable[[], RequestFacts] | None = facts_now
        self._last_facts = RequestFacts()

    @property
    def facts(self) -> RequestFacts:
        """What the request took so far, or in all once it is done; any thread may ask."""
        now = self._facts_now
        return self._last_facts if now is None else now()

    def finish(self, result: Result) -> None:
        """Set the result; the facts change no more, and what they came from is let go."""
        self._last_facts = self.facts
        self._facts_now = None
        self.result = result

    def cancel(self) -> None:
        """Cancel the request; the engine drops it before its next step."""
        self.is_cancelled = True

    @property
    def is_done(self) -> bool:
        """Whether the result is available."""
        return self.result is not None


class StrandJob:
    """A request being answered: done when all its skills are, or when one fails.

    `image_tokens` are the positions that its picture takes, `clock` gives seconds.
    """

    def __init__(
        self,
        plan: Plan,
        picture: PictureState | None,
        image_tokens: int,
        clock: Callable[[], float],
    ) -> None:
        self._plan, self._picture, self._image_tokens = plan, picture, image_tokens
        self._clock, self._submitted_at = clock, clock()
        self._started_at: float | None = None
        self._read_at: float | None = None
        self._picture_was_kept = picture is not None
        self.ticket = RequestTicket(plan.pieces, self._facts)
        self.skills = plan.skills
        self._left = len(plan.skills)
        if not self._left:
            self.ticket.finish(plan.result())

    def start(self, *, picture_was_kept: bool) -> None:
        """Note that a prefill of one of its skills begins."""
        if self._started_at is None:
            self._started_at = self._clock()
        self._picture_was_kept &= picture_was_kept

    def note_prefilled(self) -> None:
        """Note that the first prefill is done."""
        if self._read_at is None:
            self._read_at = self._clock()

    def finish_one(self) -> None:
        """Note that one skill is done."""
        self._left -= 1
        if not self._left and not self.ticket.is_done:
            self.ticket.finish(self._plan.result())

    def fail(self, reason: str, code: FailureCode) -> None:
        """Set the reason why there is no answer."""
        if not self.ticket.is_done:
            self.ticket.finish(FailedResult(reason, code))

    def _facts(self) -> RequestFacts:
        now = self._clock()
        started = now if self._started_at is None else self._started_at
        read = max(now, started) if self._read_at is None else self._read_at
        text_tokens = sum(len(skill.prompt.ids) for skill in self.skills)
        image_tokens = self._image_tokens if self.skills else 0
        return RequestFacts(
            prompt_tokens=image_tokens + text_tokens,
            image_tokens=image_tokens,
            text_tokens=text_tokens,
            completion_tokens=sum(skill.completion_tokens for skill in self.skills),
            reasoning_tokens=sum(skill.reasoning_tokens for skill in self.skills),
            crops=0 if self._picture is None else self._picture.n_crops,
            picture_was_kept=self._started_at is not None and self._picture_was_kept,
            queued_ms=1000 * (started - self._submitted_at),
            prefill_ms=1000 * (read - started),
            decode_ms=1000 * max(now - read, 0.0),
        )


@dataclass(slots=True, eq=False)
class Strand:
    """One skill on its way: `index`, `row` and `reserved` are set by the scheduler."""

    job: StrandJob
    skill: Skill
    picture: PictureState | None
    index: int = -1
    row: Row | None = None
    reserved: int = 0
