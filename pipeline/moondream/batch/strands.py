"""What the engine keeps about pictures and requests while it works on them.

Knows nothing of tensors but a picture's crops.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.moondream.batch.plan import Plan
from pipeline.moondream.device.pages import PictureKey, PicturePage
from pipeline.moondream.device.rows import Row
from pipeline.moondream.pictures.crops import Crops, Picture
from pipeline.moondream.pictures.uploads import Mark
from pipeline.moondream.skills.base import Skill
from pipeline.moondream.types import FailedResult, RequestFacts, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

# Requests of one picture that run at the same time; more of them wait for one to end. A page is
# asked by as many lanes as the most crowded page has, so one crowded page costs all others.
LANES = 8


@dataclass(eq=False)
class PictureState:
    """A picture that strands still need; `waiting_for` counts them.

    `key` is set when its pixels are looked at, where pages are kept. `crops` are set when it is cut
    and dropped when they are encoded; where that is done beside the main work of the device, they
    are there when it has come to `cut`. `page` is set by the scheduler.
    """

    source: Picture
    max_crops: int | None
    waiting_for: int = 0
    key: PictureKey | None = None
    crops: Crops | None = None
    cut: Mark | None = None
    page: PicturePage | None = None


class RequestTicket:
    """The handle of one request: its result once it is done, its text while it is generated.

    `facts` are what it took so far, for accounts.
    """

    def __init__(self, pieces: "Sequence[str]" = ()) -> None:
        self.pieces = pieces
        self.result: Result | None = None
        self.facts = RequestFacts()
        self.is_cancelled = False

    def cancel(self) -> None:
        """Cancel the request; the engine drops it before its next step."""
        self.is_cancelled = True

    @property
    def is_done(self) -> bool:
        """Whether the result is available."""
        return self.result is not None


class StrandJob:
    """A request being answered: done when all its skills are, or when one fails."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.ticket = RequestTicket(plan.pieces)
        self.skills = plan.skills
        self._left = len(plan.skills)
        if not self._left:
            self.ticket.result = plan.result()

    def finish_one(self) -> None:
        """Note that one skill is done."""
        self._left -= 1
        if not self._left and not self.ticket.is_done:
            self.ticket.result = self._plan.result()

    def fail(self, reason: str) -> None:
        """Set the reason why there is no answer."""
        if not self.ticket.is_done:
            self.ticket.result = FailedResult(reason)


@dataclass(slots=True, eq=False)
class Strand:
    """One skill on its way: `index`, `row` and `reserved` are set by the scheduler."""

    job: StrandJob
    skill: Skill
    picture: PictureState | None
    index: int = -1
    row: Row | None = None
    reserved: int = 0
