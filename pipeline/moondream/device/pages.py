"""Pages: where each picture's keys and values lie, who reads them, and which are kept for later.

A page that nobody reads any more is kept under its picture's key, so that the next question about
the same picture encodes nothing; the one used longest ago is given up when its memory is wanted.
Pages in use lie at the low end, so that a step which reads the lowest few reads no others.
"""

import hashlib
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Bytes of a picture that one thread hashes, about a fifth of a millisecond, and how many of them.
HASHED_AT_ONCE = 1 << 18
HASHERS = 8


class PictureKey(NamedTuple):
    """What a picture's prefix depends on, within one engine: its weights and variant are fixed."""

    digest: bytes
    height: int
    width: int
    rows: int
    cols: int

    @classmethod
    def of(
        cls, rgb: NDArray[np.uint8], rows: int, cols: int, threads: ThreadPoolExecutor
    ) -> "PictureKey":
        """Return the key of contiguous pixels (H, W, 3) that are cut into `rows` x `cols` crops.

        Pixels of a large picture are hashed in parts, several at a time, by `threads`: hashing one
        after the other takes milliseconds, in which a GPU has nothing to do.
        """
        pixels = rgb.reshape(-1)
        parts = [
            pixels[start : start + HASHED_AT_ONCE]
            for start in range(0, len(pixels), HASHED_AT_ONCE)
        ]
        digests = threads.map(_digest, parts) if len(parts) > 1 else map(_digest, parts)
        digest = hashlib.sha256(b"".join(digests)).digest()
        return cls(digest, rgb.shape[0], rgb.shape[1], rows, cols)


def _digest(part: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(part.data).digest()


def hashing_threads() -> ThreadPoolExecutor:
    """Return threads that hash, which start with the first large picture: Python lets others run
    meanwhile.
    """
    return ThreadPoolExecutor(min(HASHERS, os.cpu_count() or 1), "picture-hash")


@dataclass(slots=True, eq=False)
class PicturePage:
    """A picture's page. `users` are pictures in line or in work, `running` the rows that read it.

    Several pictures use one page where they are equal; it is theirs together, and so are its lanes.
    """

    place: int
    key: PictureKey | None
    is_filled: bool = False
    users: int = 0
    running: int = 0


class PageMemory(Protocol):
    """Moves what pages hold."""

    def move_page(self, place: int, to: int) -> None:
        """Copy a page to a place whose content is not wanted any more."""
        ...

    def swap_pages(self, one: int, other: int) -> None:
        """Exchange two pages."""
        ...


class PictureCounts(NamedTuple):
    """How many pictures were encoded, found encoded, and given up for others since loading."""

    encoded: int
    reused: int
    given_up: int


class Pages:
    """All pages there are. Moves are few: one for each new picture at most, once all are kept."""

    def __init__(self, count: int, memory: PageMemory, *, keep: bool) -> None:
        self._memory, self._keep = memory, keep
        self._lie_low = True
        self._at: list[PicturePage | None] = [None] * count
        self._by_key: dict[PictureKey, PicturePage] = {}
        self._kept: OrderedDict[PictureKey, PicturePage] = OrderedDict()
        self._encoded = self._reused = self._given_up = 0

    def lie_anywhere(self) -> None:
        """Let pages stay where they are: whoever reads them reads no others, wherever they lie."""
        self._lie_low = False

    def counts(self) -> PictureCounts:
        """Return how often pages were reused."""
        return PictureCounts(self._encoded, self._reused, self._given_up)

    @property
    def used(self) -> int:
        """How many pages have users."""
        return sum(page is not None and page.users > 0 for page in self._at)

    @property
    def kept(self) -> int:
        """How many pages are kept without users."""
        return len(self._kept)

    @property
    def free(self) -> int:
        """How many pages could be taken, those that are only kept among them."""
        return len(self._at) - self.used

    def find(self, key: PictureKey | None) -> PicturePage | None:
        """Return the page of a picture, if it has one."""
        return None if key is None else self._by_key.get(key)

    def take(self, key: PictureKey | None) -> PicturePage:
        """Give a picture that has none an empty page; one must be free."""
        place = self._lowest() if self._lie_low else self._to_fill()
        occupant = self._at[place]
        if occupant is not None:
            if None in self._at:
                self._move(occupant, self._at.index(None))
            else:
                oldest = next(iter(self._kept.values()))
                self._forget(oldest)
                self._given_up += 1
                if oldest is not occupant:
                    self._move(occupant, oldest.place)
        page = PicturePage(place, key, users=1)
        self._at[place] = page
        if key is not None:
            self._by_key[key] = page
        self._encoded += 1
        return page

    def use(self, page: PicturePage) -> None:
        """Let one more picture use a page."""
        if page.key is not None and page.key in self._kept:
            lowest = self._lowest(below=page.place) if self._lie_low else page.place
            if lowest < page.place:
                self._move(page, lowest)
            del self._kept[page.key]
        self._reused += 1
        page.users += 1

    def give(self, page: PicturePage) -> None:
        """Note that a picture does not use its page any more."""
        page.users -= 1
        if page.users:
            return
        if self._keep and page.key is not None and page.is_filled:
            self._kept[page.key] = page
        else:
            self._forget(page)

    def disown(self, page: PicturePage) -> None:
        """Let nobody find a page again: what it holds is not its picture's prefix."""
        if page.key is not None:
            self._by_key.pop(page.key, None)
            page.key = None

    def move_within(self, limit: int) -> None:
        """Move all pages that rows read to places below a limit; there must be as many."""
        places = (place for place, page in enumerate(self._at) if page is None or not page.running)
        for page in [one for one in self._at[limit:] if one is not None and one.running]:
            self._move(page, next(places))

    def _lowest(self, below: int | None = None) -> int:
        """Return the lowest place without users, `below` itself where none is lower."""
        places = range(len(self._at) if below is None else below)
        for place in places:
            page = self._at[place]
            if page is None or not page.users:
                return place
        assert below is not None
        return below

    def _to_fill(self) -> int:
        """Return an empty place, else that of the page used longest ago."""
        if None in self._at:
            return self._at.index(None)
        return next(iter(self._kept.values())).place

    def _move(self, page: PicturePage, to: int) -> None:
        place, other = page.place, self._at[to]
        if other is None:
            self._memory.move_page(place, to)
        else:
            self._memory.swap_pages(place, to)
            other.place = place
        self._at[place], self._at[to] = other, page
        page.place = to

    def _forget(self, page: PicturePage) -> None:
        if page.key is not None:
            self._kept.pop(page.key, None)
        self.disown(page)
        self._at[page.place] = None
