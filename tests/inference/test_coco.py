"""The bundled detector, on real frames of the demo clip."""

import threading
from functools import cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points
from pipeline.core.frames import Pixels
from pipeline.core.geometry import centre, iou
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines._coco import NAMES, WEIGHTS
from pipeline.inference.engines._coco.detector import Coco
from pipeline.inference.engines._coco.tiles import WHOLE, Tile, kept, placed, tiles_of
from pipeline.inference.engines.coco import CocoConfig

CLIP = Path(__file__).parents[2] / "configs" / "media" / "plaza.mp4"
PEOPLE = Detect("people", "fast", "person")


@cache
def first_frame() -> Pixels:
    """The clip's first picture, which shows five walkers."""
    with av.open(str(CLIP)) as container:
        picture = next(islice(container.decode(video=0), 1))
        return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


@pytest.fixture(scope="module")
def engine() -> Coco:
    """The engine as it comes."""
    return Coco(CocoConfig())


def answer(engine: Coco, pixels: Pixels, *tasks: Task) -> list[Answer]:
    """One picture's answers."""
    return engine.answer([(pixels, tasks)])[0]


def test_finds_the_walkers_where_they_are(engine: Coco) -> None:
    """Boxes lie in 0..1 of the frame, best first, on the people a person sees in it."""
    (found,) = answer(engine, first_frame(), PEOPLE)
    assert isinstance(found, Boxes)
    assert found.engine == "fast"
    assert not found.saturated
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert all(0 <= low < high <= 1 for b in found.boxes_xyxy for low, high in (b[::2], b[1::2]))
    seen_by_eye = [(0.65, 0.27, 0.69, 0.40), (0.83, 0.41, 0.88, 0.55), (0.33, 0.39, 0.37, 0.54)]
    for walker in seen_by_eye:
        assert max(iou(walker, box) for box in found.boxes_xyxy) > 0.6


def test_count_and_point_agree_with_the_sure_boxes(engine: Coco) -> None:
    """Count and Point answer from the boxes at or above `count_score`."""
    tasks = (PEOPLE, Count("n", "fast", "Person"), Point("p", "fast", "person"))
    boxes, number, points = answer(engine, first_frame(), *tasks)
    assert isinstance(boxes, Boxes)
    assert isinstance(number, Number)
    assert isinstance(points, Points)
    sure = [b for b, s in zip(boxes.boxes_xyxy, boxes.scores, strict=True) if s >= 0.4]
    assert number.value == len(sure) == len(points.points_xy) > 2
    assert points.points_xy == tuple(centre(box) for box in sure)


def test_other_things_than_people_are_found(engine: Coco) -> None:
    """A label picks its own class: the parked car is no person."""
    (cars,) = answer(engine, first_frame(), Detect("cars", "fast", "car"))
    assert isinstance(cars, Boxes)
    assert any(iou(box, (0.95, 0.08, 1.0, 0.165)) > 0.5 for box in cars.boxes_xyxy)
    (horses,) = answer(engine, first_frame(), Count("horses", "fast", "horse"))
    assert horses == Number("fast", 0)


def test_more_than_the_limit_is_saturated(engine: Coco) -> None:
    """With `max_objects` reached the best are kept and the answer says there may be more."""
    (two,) = answer(engine, first_frame(), Detect("people", "fast", "person", max_objects=2))
    (all_of_them,) = answer(engine, first_frame(), PEOPLE)
    assert isinstance(two, Boxes)
    assert isinstance(all_of_them, Boxes)
    assert two.saturated
    assert two.boxes_xyxy == all_of_them.boxes_xyxy[:2]


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 0, 3), np.uint8),  # nothing at all
        np.zeros((48, 64), np.uint8),  # a grey picture where RGB is promised
        np.zeros((48, 64, 3), np.float32),  # the wrong kind of numbers
    ],
)
def test_one_bad_picture_fails_alone(engine: Coco, bad: Pixels) -> None:
    """A picture that cannot be looked at fails its own tasks; its neighbours are answered."""
    good = (first_frame(), [PEOPLE])
    first, broken, last = engine.answer([good, (bad, [PEOPLE, PEOPLE]), good])
    assert first == last
    assert isinstance(first[0], Boxes)
    assert [type(item) for item in broken] == [Failed, Failed]
    assert isinstance(broken[0], Failed)
    assert "expected (H, W, 3) uint8" in broken[0].reason


def test_a_task_it_cannot_answer_fails_alone(engine: Coco) -> None:
    """Questions and unknown labels come back as Failed beside good answers."""
    ask = Ask("door", "fast", "Is the door open?", "yes/no")
    failed, unknown, good = answer(
        engine, first_frame(), ask, Detect("f", "fast", "forklift"), PEOPLE
    )
    assert isinstance(failed, Failed)
    assert isinstance(unknown, Failed)
    assert isinstance(good, Boxes)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (PEOPLE, None),
        (Count("n", "fast", " Cell  Phone "), None),  # case and spaces are forgiven
        (Detect("d", "fast", "people"), "did you mean person?"),  # a word for one of the names
        (Detect("d", "fast", "cars"), "did you mean car?"),  # a plural
        (Detect("d", "fast", "bycicle"), "did you mean bicycle?"),  # a slip of the pen
        (Detect("d", "fast", "xyzzy"), "names; the nearest are "),  # three of them
        (Ask("q", "fast", "Is it open?"), "cannot answer 'ask'"),
        (Caption("c", "fast"), "cannot answer 'caption'"),
    ],
)
def test_says_which_tasks_it_cannot_answer(task: Task, says: str | None) -> None:
    """`problem_with` is None or a sentence with the way out."""
    problem = CocoConfig().problem_with(task)
    assert problem is None if says is None else says in str(problem)


@pytest.mark.parametrize("tiles", ["2", "0x1", "axb", "2x", "5x4", "-1x1"])
def test_refuses_a_tiling_it_cannot_make(tiles: str) -> None:
    """`tiles` is columns x rows, at most sixteen of them."""
    with pytest.raises(ValidationError, match="tiles"):
        CocoConfig(tiles=tiles)


def test_tiles_find_smaller_things(engine: Coco) -> None:
    """Walkers on a picture four times as wide are too small for one pass, not for 4x1 tiles."""
    wide = np.concatenate([first_frame()] * 4, axis=1)
    tiled = Coco(CocoConfig(tiles="4x1"))
    (whole,) = answer(engine, wide, PEOPLE)
    (parts,) = answer(tiled, wide, PEOPLE)
    assert isinstance(whole, Boxes)
    assert isinstance(parts, Boxes)
    assert len(parts.boxes_xyxy) > 2 * len(whole.boxes_xyxy)
    overlaps = [
        iou(a, b) for i, a in enumerate(parts.boxes_xyxy) for b in parts.boxes_xyxy[i + 1 :]
    ]
    assert max(overlaps) <= 0.6, "one thing seen by two tiles is one box"
    assert tiled.max_side == 4 * engine.max_side


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 1), (3, 2), (4, 4)])
def test_tiles_cover_the_picture_and_overlap(columns: int, rows: int) -> None:
    """Every spot is in the whole and in a part; neighbours share a fifth of a part."""
    tiles = tiles_of(columns, rows)
    assert tiles[0] == WHOLE
    assert len(tiles) == (1 if columns * rows == 1 else 1 + columns * rows)
    for x, y in np.random.default_rng(1).random((200, 2)):
        inside = [t for t in tiles if t.x_min <= x <= t.x_max and t.y_min <= y <= t.y_max]
        assert len(inside) >= min(2, len(tiles))


def test_a_box_cut_by_a_tile_gives_way_to_the_whole_one() -> None:
    """The half of a walker seen at a tile's inner edge is not counted beside the walker."""
    left = Tile(0.0, 0.0, 0.6, 1.0)
    half, cut = placed(left, np.array([[0.9, 0.2, 1.0, 0.8], [0.1, 0.2, 0.2, 0.8]]))
    assert cut.tolist() == [True, False]
    assert half[0].tolist() == pytest.approx([0.54, 0.2, 0.6, 0.8])
    boxes = np.vstack([half, [[0.54, 0.2, 0.7, 0.8]]])
    classes = np.zeros(3, np.int64)
    assert kept(boxes, classes, np.array([True, False, False])) == [1, 2]
    assert kept(boxes, np.array([1, 0, 0]), np.array([True, False, False])) == [0, 1, 2]


def test_many_threads_get_the_same_answer(engine: Coco) -> None:
    """Concurrent callers do not mix pictures."""
    pictures = [first_frame(), np.ascontiguousarray(first_frame()[:, ::-1])]
    alone = [answer(engine, picture, PEOPLE) for picture in pictures]
    together: dict[int, list[Answer]] = {}

    def ask(index: int) -> None:
        together[index] = answer(engine, pictures[index % 2], PEOPLE)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(together[index] == alone[index % 2] for index in range(6))
    assert alone[0] != alone[1]


def test_pictures_side_by_side_are_seen_as_alone() -> None:
    """However many cores there are for them, tiles included."""
    pictures = [first_frame(), np.ascontiguousarray(first_frame()[:, ::-1]), first_frame()[:300]]
    batch = [(pixels, [PEOPLE]) for pixels in pictures]
    one, three = (Coco(CocoConfig(threads=threads, tiles="2x1")) for threads in (1, 3))
    assert three.answer(batch) == [one.answer([asked])[0] for asked in batch]
    assert (one.at_once, three.at_once) == (1, 3)
    assert (one.provider, one.fell_back) == ("cpu", None)


def test_the_bundle_is_complete() -> None:
    """The weights come with their licence and facts, and the names are COCO's 80."""
    assert len(NAMES) == len(set(NAMES)) == 80
    assert NAMES[0] == "person"
    assert NAMES[79] == "toothbrush"
    assert WEIGHTS.stat().st_size > 4_000_000
    assert "MIT License" in WEIGHTS.with_name("LICENSE").read_text()
    assert WEIGHTS.name in WEIGHTS.with_name("README.md").read_text()
