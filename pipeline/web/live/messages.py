"""What goes over the wire of a live wall: pictures with their header, and news as text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.events import JsonValue
from pipeline.core.live import Answered, JudgedView
from pipeline.web.live.joining import JoinedFrame, LateAnswer

STEPS: Final = (160, 240, 320, 480, 640, 960, 1280, 1920)
"""Widths of pictures in pixels: what is asked for is rounded up to one, so that many share one."""
_ANSWERED: Final[Mapping[Answered, JsonValue]] = {
    "true": True,
    "false": False,
    "failed": "failed",
}
_PLACES = 4


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A picture ready to be sent to many, in one or several widths."""

    camera: str
    run: str
    seq: int
    captured_at: float
    head: bytes
    """The header's JSON without its last brace: a sender adds what concerns him alone."""
    jpegs: Mapping[int, tuple[bytes, int, int]]
    """By width in pixels: the JPEG, its width and its height."""

    def message(self, width: int, sent_at: float, drops: int) -> bytes:
        """The binary message: four bytes with the header's length, the header, the JPEG."""
        jpeg, own_width, height = self.jpegs[self.nearest(width)]
        tail = f',"w":{own_width},"h":{height},"sent_at":{sent_at:.3f},"drops":{drops}}}'
        header = self.head + tail.encode()
        return len(header).to_bytes(4, "big") + header + jpeg

    def nearest(self, width: int) -> int:
        """The smallest width that is no narrower than this, or the widest that there is."""
        wide = [one for one in self.jpegs if one >= width]
        return min(wide) if wide else max(self.jpegs)


@dataclass(frozen=True, slots=True)
class LiveText:
    """A text about one camera, for those who see it."""

    camera: str
    text: str


def step_of(width: int) -> int:
    """The step that a width is rounded up to."""
    return next((step for step in STEPS if step >= width), STEPS[-1])


def head_of(joined: JoinedFrame) -> bytes:
    """The header of a picture without its last brace."""
    preview = joined.preview
    head = {
        "camera": preview.camera,
        "run": preview.run,
        "seq": preview.seq,
        "captured_at": round(preview.captured_at, 3),
        **_judged(joined.views, joined.answered),
    }
    return json.dumps(head, separators=(",", ":")).encode()[:-1]


def late_text(late: LateAnswer) -> str:
    """The text that brings what is known of a frame that was shown before."""
    camera, run, seq = late.place
    told = {
        "type": "boxes",
        "camera": camera,
        "run": run,
        "seq": seq,
        **_judged(late.views, late.answered),
    }
    return json.dumps(told, separators=(",", ":"))


def _judged(views: Iterable[JudgedView], answered: Answered) -> dict[str, Any]:
    """What is known of a frame: nothing of it where it was not looked at."""
    known: Sequence[JudgedView] = [view for view in views if view.answered != "false"]
    return {
        "answered": _ANSWERED[answered],
        "boxes": [
            [
                thing.label,
                thing.track,
                round(thing.score, 3),
                *(round(value, _PLACES) for value in thing.box),
                thing.state,
                *(round(value, _PLACES) for value in thing.feet),
            ]
            for view in known
            for thing in view.things
        ],
        "points": [[round(v, _PLACES) for v in point] for view in known for point in view.points],
        "said": {task: words for view in known for task, words in view.said.items()},
        "alarms": sorted({rule for view in known for rule in view.alarms}),
    }
