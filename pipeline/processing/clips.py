"""Which clips events ask for: one for each happening, shared by those that follow each other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.core.clips import CLIP, ClipWish
from pipeline.core.events import Event, timestamp
from pipeline.core.ranges import nearest_moment

CLIP_MISSING = "clip_missing"
"""The key that says why none does although its rule asks for one."""


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """The clips of one camera."""

    rules: frozenset[str]
    """Rules whose events get a clip."""
    before_s: float
    after_s: float
    longest_s: float
    refused: str | None = None
    """Why there are none, as a sentence, where the file refuses them."""


class ClipBook:
    """The last clip of each camera, which further events may belong to."""

    def __init__(self, around: Callable[[Event], ClipWish | None]) -> None:
        """`around` reads the clip that an event lies in from the store; raises StoreError."""
        self._around = around
        self._open: dict[str, ClipWish | None] = {}

    def attach(self, event: Event, plan: ClipPlan) -> tuple[Event, ClipWish | None]:
        """The event with its clip, and the wish for it; raises StoreError.

        An event within a camera's last clip extends that one, unless it became too long; any other
        begins one. That follows from capture times alone, so that it is the same in every replay.
        """
        if plan.refused is not None:
            return replace(event, data={**event.data, CLIP_MISSING: plan.refused}), None
        camera = event.camera
        if camera not in self._open:
            self._open[camera] = self._around(event)
        last, until = self._open[camera], event.at + plan.after_s
        if (
            last is not None
            and last.run == (event.run or "")
            and last.since <= event.at <= last.until
            and until - last.since <= plan.longest_s
        ):
            wish = replace(last, until=max(last.until, until))
        else:
            wish = ClipWish(
                reference=_reference(event),
                camera=camera,
                run=event.run or "",
                since=event.at - plan.before_s,
                until=min(until, event.at - plan.before_s + plan.longest_s),
                event_at=event.at,
            )
        self._open[camera] = wish
        clip = {
            "reference": wish.reference,
            "from": timestamp(wish.since),
            "to": timestamp(wish.until),
        }
        return replace(event, data={**event.data, CLIP: {**clip}}), wish


def _reference(event: Event) -> str:
    day = datetime.fromtimestamp(nearest_moment(event.at), UTC).strftime("%Y-%m-%d")
    return f"{event.camera}/{day}/{event.record_id}.mp4"
