"""Who is who: couples, second boxes, people who cross, cars by word and by what was learned."""

import json
from random import Random

import pytest

from pipeline.core.geometry import Box
from pipeline.core.tracks import Track
from pipeline.tracking.config import TrackerConfig
from pipeline.tracking.doubles import is_part
from pipeline.tracking.kinds import usual_speed
from pipeline.tracking.learning import speed_in_line
from tests.tracking.scenes import START, Look, ids, person_tracker, run

ASPECT = 16 / 9


def _box(x: float, bottom: float, height: float, ratio: float = 0.4) -> Box:
    """A box whose lower edge has its middle there; x and sizes in picture heights."""
    half = height * ratio / 2
    return ((x - half) / ASPECT, bottom - height, (x + half) / ASPECT, bottom)


def _cut(box: Box) -> Box:
    """What the picture shows of it."""
    return (max(box[0], 0.0), max(box[1], 0.0), min(box[2], 1.0), min(box[3], 1.0))


def _jittered(box: Box, random: Random, share: float) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    off = [random.gauss(0.0, share) for _ in range(4)]
    return (
        box[0] + off[0] * width,
        box[1] + off[1] * height,
        box[2] + off[2] * width,
        box[3] + off[3] * height,
    )


@pytest.mark.parametrize("fps", [10, 5, 2, 1])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
@pytest.mark.parametrize("apart", [(0.1, 0.02), (0.05, 0.06), (0.13, 0.0)])
def test_two_abreast_are_two(apart: tuple[float, float], jitter: float, fps: int) -> None:
    """A couple whose boxes overlap by .5 to .7 keeps its two ids all the way."""
    random = Random(3)
    seen = []
    for look in range(8 * fps):
        x = 0.2 + 0.17 * look / fps
        boxes = [
            _jittered(
                _box(x + 0.25 * m * apart[0], 0.7 + 0.25 * m * apart[1], 0.25), random, jitter
            )
            for m in range(2)
        ]
        seen.append(Look(START + look / fps, tuple(boxes), (0.8, 0.8)))
    shown = run(person_tracker(), seen)
    assert ids(shown) == {1, 2}
    steps = {id_: sum(len(t.steps) for ts in shown for t in ts if t.id == id_) for id_ in (1, 2)}
    assert min(steps.values()) >= 0.9 * len(seen)


@pytest.mark.parametrize("fps", [10, 5, 2])
@pytest.mark.parametrize("seed", range(3))
def test_second_boxes_begin_nothing(seed: int, fps: int) -> None:
    """Boxes off by a tenth of the body, in a fifth of the looks, are nobody."""
    random = Random(seed)
    seen = []
    for look in range(10 * fps):
        box = _jittered(_box(0.1 + 0.17 * look / fps, 0.7, 0.25), random, 0.01)
        boxes = [box]
        if random.random() < 0.2:
            boxes.append(_jittered(box, random, 0.1))
        seen.append(Look(START + look / fps, tuple(boxes), (0.8, 0.6)[: len(boxes)]))
    assert ids(run(person_tracker(), seen)) == {1}


def test_the_upper_half_of_a_body_is_no_second_one() -> None:
    """A box of head and shoulders inside that of the whole body begins nothing, however long."""
    seen = []
    for look in range(50):
        whole = _box(0.3 + 0.017 * look, 0.8, 0.4)
        half = (whole[0] + 0.005, whole[1] + 0.002, whole[2] - 0.005, whole[1] + 0.2)
        assert is_part(half, whole)
        seen.append(Look(START + look / 10, (whole, half), (0.8, 0.7)))
    assert ids(run(person_tracker(), seen)) == {1}


def test_who_comes_out_from_behind_is_shown_from_the_first_look() -> None:
    """Two who begin as one overlap and part are two, with all steps since the first box."""
    seen = []
    for look in range(40):
        boxes = (_box(0.8 + 0.01 * look, 0.7, 0.25), _box(0.82 - 0.01 * look, 0.72, 0.25))
        seen.append(Look(START + look / 10, boxes, (0.8, 0.8)))
    shown = run(person_tracker(), seen)
    assert ids(shown) == {1, 2}
    assert sum(len(track.steps) for tracks in shown for track in tracks) >= 78


@pytest.mark.parametrize("fps", [10, 5])
def test_tall_and_small_keep_their_ids_when_they_cross(fps: int) -> None:
    """At one place for a moment, a near and a far body are told apart by their shapes."""
    seen = []
    for look in range(6 * fps):
        way = 0.25 * look / fps
        boxes = (_box(0.3 + way, 0.9, 0.6), _box(1.5 - way, 0.75, 0.3))
        seen.append(Look(START + look / fps, boxes, (0.8, 0.8)))
    shown = run(person_tracker(), seen)
    assert ids(shown) == {1, 2}
    for id_ in (1, 2):
        heights = {round(t.box[3] - t.box[1], 3) for ts in shown for t in ts if t.id == id_}
        assert len(heights) == 1


def test_another_who_enters_is_not_the_one_who_left() -> None:
    """Somebody tall leaves at the edge; a small one who comes in there at once is somebody else."""
    seen = [
        Look(START + look / 5, (_cut(_box(0.7 - 0.08 * look, 0.95, 0.6)),), (0.8,))
        for look in range(9)
    ]
    seen += [
        Look(START + 2.0 + look / 5, (_box(0.05 + 0.03 * look, 0.7, 0.2),), (0.8,))
        for look in range(10)
    ]
    assert len(ids(run(person_tracker(), seen))) == 2


def _traffic(speed: float, fps: float, seconds: float, seed: int = 1) -> tuple[list[Look], int]:
    """Cars .12 high in two lanes, and how many of them were seen twice."""
    random, cars = Random(seed), []
    for lane, direction in ((0.5, 1), (0.7, -1)):
        at = 0.0
        while at < seconds:
            at += 2.0 * random.uniform(0.8, 1.5)
            cars.append((lane, direction, at))
    seen, boxes_of = [], dict.fromkeys(cars, 0)
    for look in range(int(seconds * fps)):
        boxes = []
        for lane, direction, begin in cars:
            x = (look / fps - begin) * speed * 0.12
            x = x if direction > 0 else ASPECT - x
            if look / fps >= begin and 0.0 < x < ASPECT:
                boxes.append(_cut(_box(x, lane, 0.12, 2.0)))
                boxes_of[lane, direction, begin] += 1
        seen.append(Look(START + look / fps, tuple(boxes), (0.8,) * len(boxes)))
    return seen, sum(count > 1 for count in boxes_of.values())


def _jumps(shown: list[tuple[Track, ...]]) -> int:
    """Steps of a track from one lane to the other."""
    last: dict[int, float] = {}
    jumps = 0
    for tracks in shown:
        for track in tracks:
            for step in track.steps:
                lane = round(step.box[3], 2)
                jumps += last.get(track.id, lane) != lane
                last[track.id] = lane
    return jumps


@pytest.mark.parametrize("label", ["car", "red delivery van", "Lieferwagen"])
@pytest.mark.parametrize(("speed", "fps"), [(4.0, 10), (4.0, 5), (4.0, 2), (8.0, 5), (8.0, 2)])
def test_cars_are_followed_by_their_word(speed: float, fps: int, label: str) -> None:
    """Cars in two directions have an id each, and nothing but the label says what they are."""
    seen, cars = _traffic(speed, fps, 30)
    shown = run(TrackerConfig().build(label), seen)
    assert cars - 1 <= len(ids(shown)) <= cars
    assert _jumps(shown) <= 1


@pytest.mark.parametrize("fps", [10, 5, 2])
def test_an_unknown_word_that_moves_fast_is_followed_after_a_while(fps: int) -> None:
    """Of forklifts at five heights a second those after half a minute are followed."""
    seen, _ = _traffic(5.0, fps, 60)
    tracker = TrackerConfig().build("forklift")
    run(tracker, seen[: 30 * fps])
    later = run(tracker, seen[30 * fps :])
    assert len(ids(later)) >= 18
    assert _jumps(later) <= 3


def test_what_was_learned_survives_a_restart() -> None:
    """The speed of forklifts is in the state, which stays small however long it learns."""
    seen, _ = _traffic(5.0, 2, 120)
    first, second = (TrackerConfig().build("forklift") for _ in range(2))
    run(first, seen[:200])
    state = json.dumps(first.state())
    assert len(state) < 20_000
    second.restore(json.loads(state))
    assert run(second, seen[200:]) == run(first, seen[200:])


def test_a_state_of_before_it_learned_is_read() -> None:
    """Without shapes, speeds and noise in it, a state goes on with the first guesses."""
    seen = [Look(START + n / 5, (_box(0.3 + 0.03 * n, 0.7, 0.25),), (0.8,)) for n in range(20)]
    tracker = person_tracker()
    run(tracker, seen[:10])
    state = json.loads(json.dumps(tracker.state()))
    for name in ("learned", "last_at"):
        del state[name]
    for thing in state["things"]:
        for name in ("shape", "beside"):
            del thing[name]
    later = person_tracker()
    later.restore(state)
    assert ids(run(later, seen[10:])) == {1}


@pytest.mark.parametrize(
    ("label", "speed"),
    [
        ("person", 0.7),
        ("people", 0.7),
        ("Personen", 0.7),
        ("Kinder", 0.7),
        ("car", 5.0),
        ("red car", 5.0),
        ("Autos", 5.0),
        ("LKW", 5.0),
        ("lorries", 5.0),
        ("M\u00fcllwagen", 5.0),
        ("buses", 5.0),
        ("firetruck", 5.0),
        ("Kinderwagen", 0.7),
        ("bicycles", 2.5),
        ("Fahrr\u00e4der", 2.5),
        ("person on a bicycle", 2.5),
        ("man riding a horse", 1.5),
        ("driver beside a truck", 0.7),
        ("dogs", 1.5),
        ("forklift", None),
        ("ladder", None),
    ],
)
def test_words_have_speeds(label: str, speed: float | None) -> None:
    """What a task asks for says how fast it usually goes."""
    assert usual_speed(label) == speed


def test_three_boxes_in_line_tell_a_speed() -> None:
    """Alike and in line: the speed in heights a second; otherwise none."""
    boxes = [_box(0.2 + 0.3 * n, 0.5, 0.1, 2.0) for n in range(3)]
    times = [START + n * 0.5 for n in range(3)]
    assert speed_in_line(list(zip(times, boxes, strict=True)), ASPECT) == pytest.approx(6.0)
    aside = [boxes[0], _box(0.5, 0.8, 0.1, 2.0), boxes[2]]
    assert speed_in_line(list(zip(times, aside, strict=True)), ASPECT) == 0.0
    grown = [boxes[0], boxes[1], _box(0.8, 0.5, 0.2, 2.0)]
    assert speed_in_line(list(zip(times, grown, strict=True)), ASPECT) == 0.0
