"""Decides what runs: strands wait until a row, their picture's page and their blocks are free.

Knows nothing of the model; the cache keeps account of the memory it assigns.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.moondream.batch.strands import LANES, PictureState, Strand
from pipeline.moondream.device.cache import KvCache, blocks_for
from pipeline.moondream.device.pages import PicturePage
from pipeline.moondream.device.reads import RowKind
from pipeline.moondream.device.rows import Row, Shape, blocks_wanted
from pipeline.moondream.device.slots import Slots

# What a prefill costs, in crops through the encoder: the crops of its new pictures, about three for
# each one's prefix of 730 positions through the language model, and what launching it takes.
PREFIX_AS_CROPS, PREFILL_AS_CROPS = 3, 8
# Prompt tokens are laid out as a table, pages by tokens or prompts by longest; this bounds it.
MAX_PREFILL_CELLS = 8192


class InUse(NamedTuple):
    """Strands in line, and what those that run have taken."""

    waiting: int
    rows: int
    pages: int
    blocks: int
    reserved_blocks: int
    kept_pages: int


class Scheduler:
    """Lines up strands, gives them their places and takes these back."""

    def __init__(
        self, cache: KvCache, max_batch: int, pages_per_prefill: int, crops_between_cycles: int
    ) -> None:
        """Between two cycles of running rows, prefills cost at most `crops_between_cycles`."""
        self._cache = cache
        self._pages_per_prefill = pages_per_prefill
        self._crops_between_cycles = self._crops_left = crops_between_cycles
        self._rows = Slots(max_batch)
        self._waiting: deque[Strand] = deque()
        self.running: dict[int, Strand] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waiting or running."""
        return not self._waiting and not self.running

    def in_use(self) -> InUse:
        """Return how much of each resource is in use."""
        cache = self._cache
        return InUse(
            waiting=len(self._waiting),
            rows=self._rows.used,
            pages=cache.pages.used,
            blocks=cache.blocks.used,
            reserved_blocks=cache.reserved,
            kept_pages=cache.pages.kept,
        )

    def add(self, strands: Iterable[Strand]) -> None:
        """Queue strands."""
        self._waiting.extend(strands)

    def live(self) -> Iterator[Strand]:
        """Every strand that waits or runs."""
        yield from self._waiting
        yield from self.running.values()

    def next_pictures(self, count: int) -> list[PictureState]:
        """Return the pictures in line that start next, `count` at most, as `admit` would."""
        pictures: dict[PictureState, None] = {}
        for strand in self._waiting:
            if len(pictures) >= count:
                break
            picture = strand.picture
            if picture is not None and picture.page is None and self._has_lane(strand):
                pictures[picture] = None
        return list(pictures)

    def admit(self) -> list[Strand]:
        """Take the strands that can start together from the head of the line, with their places.

        The line keeps its order, but those whose picture has all its lanes taken are passed. While
        others run there are none once the crops between two cycles are used up, so that newcomers
        never keep the others waiting for long; after a cycle newcomers have their turn, so that
        the others never keep them in line while there is room. A picture with more crops than that
        goes alone.
        """
        admitted: list[Strand] = []
        passed: list[Strand] = []
        crops = self._crops_left if self.running else None
        is_fresh = self._crops_left == self._crops_between_cycles
        load = _PrefillLoad(self._pages_per_prefill, crops, is_fresh)
        try:
            while self._waiting:
                strand = self._waiting[0]
                if not self._has_lane(strand):
                    passed.append(self._waiting.popleft())
                    continue
                cost = self._cost(strand)
                if not self._can_start(strand) or not load.can_add(strand, cost):
                    break
                load.add(strand, cost)
                self._start(strand)
                self._waiting.popleft()
                admitted.append(strand)
        finally:  # moving a page may fail, and then all others keep their places in line
            self._waiting.extendleft(reversed(passed))
            self._crops_left -= load.crops
        return admitted

    def begin_cycle(self, forwards: int) -> None:
        """Give every running row the blocks its coming steps write to; newcomers may follow."""
        self._crops_left = self._crops_between_cycles
        for strand in self.running.values():
            assert strand.row is not None
            blocks = strand.row.blocks
            for _ in range(blocks_wanted(strand.row, forwards, strand.reserved) - len(blocks)):
                blocks.append(self._cache.blocks.take())

    def least_shape(self) -> Shape:
        """Return what the running rows have in use, counted as if it lay close together."""
        rows = self._running_rows()
        lanes = Counter(row.page.place for row in rows if row.page is not None)
        return Shape(
            rows=len(rows),
            pages=len(lanes),
            lanes=max(lanes.values(), default=0),
            blocks=self._cache.blocks.used + 1,  # and the spare one
            row_blocks=max(len(row.blocks) for row in rows),
        )

    def present_shape(self, least: Shape) -> Shape:
        """Return what a cycle of the running rows touches where it lies now."""
        pages = [row.page.place for row in self._running_rows() if row.page is not None]
        return least._replace(pages=max(pages, default=-1) + 1, blocks=self._cache.blocks.top)

    def move_within(self, shape: Shape) -> None:
        """Move what running rows have in use to the low places that a shape touches.

        The shape must cover the least shape. Moving a page costs about as much as reading it in
        one step of a cycle, and it then stays where it is.
        """
        for row in self._running_rows():
            for number, block in enumerate(row.blocks):
                if block >= shape.blocks:
                    row.blocks[number] = self._cache.lower_block(block)
        self._cache.pages.move_within(shape.pages)

    def _running_rows(self) -> list[Row]:
        return [strand.row for strand in self.running.values() if strand.row is not None]

    def retire(self, strand: Strand) -> None:
        """Take a strand out of the line or the batch, and its places back."""
        if strand.row is None:
            self._waiting.remove(strand)
        else:
            del self.running[strand.index]
            self._rows.give(strand.index)
            self._cache.release(strand.reserved, strand.row.blocks)
        picture = strand.picture
        if picture is None:
            return
        if strand.row is not None and picture.page is not None:
            picture.page.running -= 1
        picture.waiting_for -= 1
        if not picture.waiting_for and picture.page is not None:
            self._cache.pages.give(picture.page)
            picture.page = None

    def _can_start(self, strand: Strand) -> bool:
        picture = strand.picture
        has_page = picture is None or self._page(picture) is not None
        if not has_page and picture is not None and picture.crops is not None:
            has_page = self._cache.pages.free > 0
        return has_page and self._rows.free > 0 and self._cache.can_reserve(_most_blocks(strand))

    def _start(self, strand: Strand) -> None:
        picture, page = strand.picture, None
        if picture is not None:
            page = picture.page = self._page_to_use(picture)
            page.running += 1
        strand.reserved = _most_blocks(strand)
        self._cache.reserve(strand.reserved)
        strand.index = self._rows.take()
        prompt = strand.skill.prompt
        strand.row = Row(
            slot=strand.index,
            kind=RowKind.IDLE,
            token=0,
            start=0 if picture is None else self._cache.prefix_len,
            length=len(prompt.ids),
            page=page,
            blocks=[self._cache.blocks.take() for _ in range(blocks_for(len(prompt.ids)))],
            temperature=strand.skill.temperature,
            top_p=strand.skill.top_p,
        )
        self.running[strand.index] = strand

    def _page(self, picture: PictureState) -> PicturePage | None:
        """Return the page of a picture or of an equal one."""
        return picture.page or self._cache.pages.find(picture.key)

    def _page_to_use(self, picture: PictureState) -> PicturePage:
        if picture.page is not None:
            return picture.page
        pages = self._cache.pages
        page = pages.find(picture.key)
        if page is None:
            return pages.take(picture.key)
        pages.use(page)
        picture.crops = picture.cut = None
        return page

    def _has_lane(self, strand: Strand) -> bool:
        page = None if strand.picture is None else self._page(strand.picture)
        return page is None or page.running < LANES

    def _cost(self, strand: Strand) -> int:
        """Return what encoding a strand's picture costs, in crops; 0 where there is its page."""
        picture = strand.picture
        if picture is None or self._page(picture) is not None:
            return 0
        return picture_cost(picture)


class _PrefillLoad:
    """How large the next prefill would be, and how large it may be."""

    def __init__(self, most_new_pages: int, most_crops: int | None, may_exceed: bool) -> None:
        """`most_crops` None means any number; a first picture of more `may_exceed` them."""
        self._most_new_pages, self._most_crops = most_new_pages, most_crops
        self._may_exceed = may_exceed
        self.crops = 0
        self._new_pages = 0
        self._tokens: dict[object, int] = {}
        self._prompts = 0
        self._longest = 0

    def can_add(self, strand: Strand, cost: int) -> bool:
        """Return whether a strand fits next to the others; `cost` is its picture's, in crops."""
        if not self._has_time_for(cost):
            return False
        if not self._prompts:
            return True
        if cost and self._new_pages >= self._most_new_pages:
            return False
        tokens = len(strand.skill.prompt.ids)
        own = self._tokens.get(_page_of(strand), 0) + tokens
        pages = len(self._tokens.keys() | {_page_of(strand)})
        by_page = pages * max(own, *self._tokens.values())
        by_prompt = (self._prompts + 1) * max(self._longest, tokens)
        return max(by_page, by_prompt) <= MAX_PREFILL_CELLS

    def _has_time_for(self, cost: int) -> bool:
        if self._most_crops is None or (self._may_exceed and not self._prompts):
            return True
        launching = 0 if self._prompts else PREFILL_AS_CROPS
        return self.crops + launching + cost <= self._most_crops

    def add(self, strand: Strand, cost: int) -> None:
        """Count a strand that can be added; it has no places yet."""
        page, tokens = _page_of(strand), len(strand.skill.prompt.ids)
        if not self._prompts:
            self.crops += PREFILL_AS_CROPS
        if cost:
            self._new_pages += 1
            self.crops += cost
        self._tokens[page] = self._tokens.get(page, 0) + tokens
        self._prompts += 1
        self._longest = max(self._longest, tokens)


def picture_cost(picture: PictureState) -> int:
    """Return what encoding a picture that is cut costs, in crops."""
    return 0 if picture.crops is None else len(picture.crops.pixels) + PREFIX_AS_CROPS


def _page_of(strand: Strand) -> object:
    """Return what strands have in common that share a page; there may be none yet."""
    return strand.picture and (strand.picture.key or strand.picture)


def _most_blocks(strand: Strand) -> int:
    return blocks_for(len(strand.skill.prompt.ids) + strand.skill.positions)
