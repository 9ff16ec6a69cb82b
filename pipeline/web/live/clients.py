"""One who watches: what he wants to see, and the newest that he was not sent yet."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.web.access.visitor import Visitor
from pipeline.web.live.messages import LivePicture

MOST_SHOWN: Final = 64
"""Cameras that one client is shown at a time."""
FASTEST: Final = 15.0
"""Pictures a second of a camera."""
# A picture may come a little early: frames are not sampled to the millisecond.
_EARLY = 0.85
# Later boxes that wait; older ones are of frames that are not shown any more.
_MOST_TEXTS = 64


@dataclass(frozen=True, slots=True)
class ShowWish:
    """How a camera is shown: how wide in pixels, and how many pictures a second."""

    width: int
    fps: float


class LiveClient:
    """The slots of one connection. Only used by the event loop's thread.

    There is one slot for each camera, and what is newer takes the place of what is in it. So a slow
    client loses frames and needs no memory.
    """

    def __init__(self, visitor: Visitor, now: Callable[[], float]) -> None:
        self.visitor = visitor
        self._now = now
        self.show: Mapping[str, ShowWish] = {}
        self.drops = 0
        """Pictures that were replaced before they were sent."""
        self._pictures: dict[str, LivePicture] = {}
        self._texts: deque[tuple[str, str]] = deque(maxlen=_MOST_TEXTS)
        self._news: dict[str, str] = {}
        self._last_at: dict[str, float] = {}
        self._changed = asyncio.Event()

    def wants(self, show: Mapping[str, ShowWish]) -> None:
        """Show these cameras from now on, as far as he may see them."""
        self.show = {name: wish for name, wish in show.items() if self.visitor.sees(name)}
        for camera in [*self._pictures]:
            if camera not in self.show:
                del self._pictures[camera]
        self._last_at = {name: at for name, at in self._last_at.items() if name in self.show}

    def offer(self, picture: LivePicture) -> None:
        """Put a picture into its slot, if it is wanted and due."""
        wish = self.show.get(picture.camera)
        if wish is None or not self.visitor.sees(picture.camera):
            return
        last = self._last_at.get(picture.camera)
        if last is not None and 0 <= picture.captured_at - last < _EARLY / wish.fps:
            return
        if picture.camera in self._pictures:
            self.drops += 1
        self._last_at[picture.camera] = picture.captured_at
        self._pictures[picture.camera] = picture
        self._changed.set()

    def tell(self, camera: str, text: str) -> None:
        """Add a text about a camera."""
        if camera in self.show and self.visitor.sees(camera):
            self._texts.append((camera, text))
            self._changed.set()

    def news(self, kind: str, text: str) -> None:
        """Put a text into the slot of its kind."""
        self._news[kind] = text
        self._changed.set()

    async def next(self) -> bytes | str:
        """What is to be sent next; waits until there is something."""
        while True:
            if self._news:
                return self._news.pop(next(iter(self._news)))
            if self._texts:
                camera, text = self._texts.popleft()
                if self.visitor.sees(camera):
                    return text
                continue
            if self._pictures:
                # The camera that has waited longest: each goes to the end when it is put anew.
                camera = next(iter(self._pictures))
                picture = self._pictures.pop(camera)
                wish = self.show.get(camera)
                if wish is not None and self.visitor.sees(camera):
                    return picture.message(wish.width, self._now(), self.drops)
                continue
            self._changed.clear()
            await self._changed.wait()
