"""Pages of pictures: kept for equal ones, given up oldest first, never taken for another's."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.moondream import DetectRequest, FailedResult, Moondream, PictureCounts
from pipeline.moondream.batch.engine import EngineOptions
from pipeline.moondream.device.pages import Pages, PictureKey, PicturePage
from tests.moondream.mixes import (
    CASES,
    ENGINES,
    REQUESTS,
    WITHOUT_PICTURE,
    assert_clean,
    assert_same,
    build,
    expected,
    run_mix,
    submit,
)
from tests.moondream.tiny import pictures, tiny_language, tiny_network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep the tiny network off the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Memory:
    """Pages that hold a word each."""

    def __init__(self, count: int) -> None:
        self.words = [""] * count
        self.moves = 0

    def move_page(self, place: int, to: int) -> None:
        """Copy a word."""
        self.words[to], self.words[place] = self.words[place], "left behind"
        self.moves += 1

    def swap_pages(self, one: int, other: int) -> None:
        """Exchange two."""
        self.words[one], self.words[other] = self.words[other], self.words[one]
        self.moves += 1


def key(word: str) -> PictureKey:
    """Return the key of a picture that stands for a word."""
    return PictureKey(word.encode(), 1, 1, 1, 1)


def ask(pages: Pages, memory: Memory, word: str) -> PicturePage:
    """Use the page of a picture, filling it where it is new."""
    page = pages.find(key(word))
    if page is not None:
        pages.use(page)
        return page
    page = pages.take(key(word))
    memory.words[page.place] = word
    page.is_filled = True
    return page


@pytest.mark.parametrize("seed", range(10))
def test_a_page_always_holds_its_picture(seed: int) -> None:
    """Whatever is asked, given back and moved: every page in use or kept has its own word."""
    rng = random.Random(seed)
    count = rng.randint(1, 6)
    memory = Memory(count)
    pages = Pages(count, memory, keep=True)
    words = [str(number) for number in range(9)]
    users: list[tuple[str, PicturePage]] = []
    for _ in range(400):
        word = rng.choice(words)
        if pages.free or any(used == word for used, _ in users):
            users.append((word, ask(pages, memory, word)))
        while users and (rng.random() < 0.4 or (not pages.free and rng.random() < 0.7)):
            pages.give(users.pop(rng.randrange(len(users)))[1])
        readers = {page for _, page in users if rng.random() < 0.5}
        for page in readers:
            page.running = 1
        pages.move_within(len(readers))
        assert all(page.place < len(readers) for page in readers)
        for page in readers:
            page.running = 0
        assert all(memory.words[page.place] == word for word, page in users)
        for word in words:
            if found := pages.find(key(word)):
                assert memory.words[found.place] == word
        in_use = {page.place for _, page in users}
        assert pages.used == len(in_use)
        assert pages.kept + pages.used <= count
    for _, page in users:
        pages.give(page)
    assert pages.free == count


def test_the_page_used_longest_ago_is_given_up() -> None:
    """And the others stay, wherever the new one is put; what is in use lies lowest."""
    memory = Memory(3)
    pages = Pages(3, memory, keep=True)
    for word in ("a", "b", "c"):
        pages.give(ask(pages, memory, word))
    assert pages.kept == 3
    pages.give(ask(pages, memory, "a"))
    new = ask(pages, memory, "d")
    assert new.place == 0
    assert pages.find(key("b")) is None
    for word in ("a", "c"):
        found = pages.find(key(word))
        assert found is not None
        assert memory.words[found.place] == word
    assert pages.counts() == PictureCounts(encoded=4, reused=1, given_up=1)
    again = ask(pages, memory, "c")
    assert (again.place, pages.free) == (1, 1)


def test_one_move_for_a_new_picture_at_most() -> None:
    """Pictures that never come again cost a move each once all pages are kept, and no more."""
    memory = Memory(8)
    pages = Pages(8, memory, keep=True)
    for number in range(100):
        pages.give(ask(pages, memory, str(number)))
    assert memory.moves <= 100
    other = Memory(8)
    pages = Pages(8, other, keep=False)
    for number in range(100):
        pages.give(ask(pages, other, str(number)))
    assert other.moves == pages.kept == 0


def test_pages_that_may_lie_anywhere_never_move() -> None:
    """Each keeps its place from its picture to its end; the one used longest ago goes first."""
    memory = Memory(4)
    pages = Pages(4, memory, keep=True)
    pages.lie_anywhere()
    rng = random.Random(3)
    last: dict[str, int] = {}
    for at in range(200):
        word = rng.choice("abcdefg")
        was_there = pages.find(key(word)) is not None
        page = ask(pages, memory, word)
        assert memory.words[page.place] == word
        pages.give(page)
        kept = sorted(last, key=lambda one: -last[one])[:4]
        assert was_there == (word in kept)
        last[word] = at
    assert memory.moves == 0


def test_a_second_question_encodes_nothing() -> None:
    """Not even about an equal picture in another array or file, and it is answered the same."""
    model = Moondream(tiny_network(), tiny_language(), EngineOptions(12, 20_000_000))
    first = model.detect(pictures()[1], "person", max_objects=6)
    assert model.picture_counts() == PictureCounts(1, 0, 0)
    for same in (pictures()[1].copy(), Image.fromarray(pictures()[1])):
        again = model.detect(same, "person", max_objects=6)
        assert again.bins.tolist() == first.bins.tolist()
        assert model.query(same, "what is it", max_tokens=12).token_ids
    assert model.picture_counts() == PictureCounts(1, 4, 0)
    assert model.engine.in_use().kept_pages == 1


def test_equal_pictures_of_one_batch_are_encoded_once() -> None:
    """Their requests share the page, and more of them than it has lanes wait for one."""
    engine = build()
    tickets = []
    for request in REQUESTS * 2:
        tickets += engine.submit(pictures()[1].copy(), [request])
    engine.run(tickets)
    for request, ticket in zip(REQUESTS * 2, tickets, strict=True):
        assert_same(ticket.result, expected((1, request)))
    counts = engine.picture_counts()
    assert counts == PictureCounts(1, len(tickets) - 1, 0)
    assert_clean(engine)


def test_other_pictures_are_not_taken_for_it() -> None:
    """Another size of the same bytes, one other byte, other crops: each is encoded."""
    engine = build()
    one = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    other = one.copy()
    other[-1, -1, -1] ^= 1
    asked = [(one, None), (one.reshape(80, 60, 3), None), (other, None), (one, 1)]
    for picture, max_crops in asked:
        engine.run(engine.submit(picture, [REQUESTS[0]], max_crops))
    assert engine.picture_counts() == PictureCounts(4, 0, 0)
    # A limit that is above the crops there are changes nothing.
    engine.run(engine.submit(one, [REQUESTS[0]], 12))
    assert engine.picture_counts().reused == 1


def test_a_picture_that_was_changed_is_another() -> None:
    """An array that its owner fills again is not answered about as it was before."""
    engine = build()
    array = pictures()[1].copy()
    engine.run(engine.submit(array, [REQUESTS[0]]))
    array[:] = np.random.default_rng(2).integers(0, 256, array.shape, dtype=np.uint8)
    (ticket,) = engine.submit(array, [REQUESTS[0]])
    engine.run([ticket])
    fresh = build(max_batch=1)
    (alone,) = fresh.submit(array, [REQUESTS[0]])
    fresh.run([alone])
    assert alone.result is not None
    assert_same(ticket.result, alone.result)
    assert engine.picture_counts().reused == 0


@pytest.mark.parametrize("seed", range(4))
def test_random_mixes_with_kept_pages(seed: int) -> None:
    """Reuse, giving up and moving change no answer."""
    rng = random.Random(70 + seed)
    engine = build(*ENGINES[seed])
    for _ in range(8):
        run_mix(engine, rng)
    counts = engine.picture_counts()
    assert counts.reused > 0
    assert counts.encoded - counts.given_up == engine.in_use().kept_pages


def test_pages_are_given_up_when_others_need_them() -> None:
    """With memory for few pictures everything is still answered, one after the other."""
    engine = build(8, 0.2)
    for _ in range(2):
        tickets = submit(engine, CASES)
        engine.run(tickets)
        for case, ticket in zip(CASES, tickets, strict=True):
            assert_same(ticket.result, expected(case))
    assert engine.picture_counts().given_up > 0
    assert_clean(engine)


def test_a_prefill_that_raises_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its requests fail, those that still wait for the same page too; the next is well."""
    engine = build(max_batch=4)
    project = engine._runner._network.vision.__class__.project

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine._runner._network.vision.__class__, "project", no_memory)
    tickets = engine.submit(pictures()[0], [DetectRequest("person", 3)] * 6)
    with pytest.raises(torch.OutOfMemoryError):
        engine.step()
    assert all(isinstance(ticket.result, FailedResult) for ticket in tickets)
    assert "reading the prompt failed: OutOfMemoryError" in str(tickets[0].result)
    assert_clean(engine)
    assert engine.in_use().kept_pages == 0
    monkeypatch.setattr(engine._runner._network.vision.__class__, "project", project)
    (ticket,) = engine.submit(pictures()[0], [REQUESTS[0]])
    engine.run([ticket])
    assert_same(ticket.result, expected((0, REQUESTS[0])))


def test_a_page_that_cannot_be_moved_loses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is about to start keeps the place in line, and the page stays one to be taken."""
    engine = build()
    for number in (0, 1):
        engine.run(engine.submit(pictures()[number], [REQUESTS[0]]))
    pages = engine._cache.pages
    occupants = {pages._at[0], pages._at[1]}
    assert pages.kept == len(occupants) == 2

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    # The first starts beside it, the second has to move down where the other is kept.
    asked = [(None, WITHOUT_PICTURE[0]), *((number, REQUESTS[0]) for number in (0, 1))]
    tickets = [submit(engine, [case])[0] for case in asked]
    with monkeypatch.context() as patched:
        patched.setattr(engine._cache, "swap_pages", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            engine.run(tickets)
    engine.run(tickets)
    for case, ticket in zip(asked, tickets, strict=True):
        if isinstance(ticket.result, FailedResult):
            assert "starting failed: OutOfMemoryError" in ticket.result.reason
        else:
            assert_same(ticket.result, expected(case))
    assert not isinstance(tickets[-1].result, FailedResult)
    assert_clean(engine)
    assert pages.free == pages.kept + pages._at.count(None)
