"""Nobody where somebody should be."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.stores.sql import SqlStore
from pipeline.core.measures import Bucket
from pipeline.core.rules import Rule
from pipeline.core.tasks import Ask, Count, Detect, Task
from pipeline.rules.absence import AbsenceConfig
from pipeline.rules.record import RuleRecord
from pipeline.testing import ManualClock
from tests.rules.scene import (
    FAILED,
    Place,
    config,
    context,
    judged,
    late,
    numbers,
    people,
    phases,
    seen,
    through_json,
    track,
)

HERE: Place = (0.3, 0.5)
AWAY: Place = (0.8, 0.5)
NONE = None


def absence(every_s: float = 1.0, /, **fields: Any) -> Rule:
    """A rule for the left half of the picture."""
    return config(type="absence", zone="left", **{"for_": "3s", **fields}).build(context(every_s))


CASES: list[tuple[str, dict[str, object], list[Place | None], list[tuple[str, float]]]] = [
    ("somebody all the time", {}, [HERE] * 9, []),
    ("missed in two looks", {}, [HERE, NONE, NONE, HERE, HERE, HERE, HERE], []),
    ("away for less than that", {}, [HERE, AWAY, AWAY, AWAY, HERE, HERE], []),
    ("away for long", {}, [HERE, *[AWAY] * 6, HERE, HERE], [("start", 4.0), ("end", 7.0)]),
    ("never there", {}, [AWAY] * 5, [("start", 3.0)]),
    (
        "somebody passes",
        {"gap": "3s"},
        [*[AWAY] * 5, HERE, *[AWAY] * 4],
        [("start", 3.0)],
    ),
    (
        "somebody comes and goes",
        {"cooldown": "6s"},
        [*[AWAY] * 5, HERE, HERE, *[AWAY] * 9],
        [("start", 3.0), ("end", 5.0), ("start", 11.0)],
    ),
]


@pytest.mark.parametrize(
    ("fields", "path", "told"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_absences(
    fields: dict[str, object], path: list[Place | None], told: list[tuple[str, float]]
) -> None:
    """It starts when nobody was there for that long, and ends when somebody is."""
    assert phases(judged(absence(**fields), people({1: path}, 1.0))) == told


def test_the_events_and_minutes() -> None:
    """They say since when it was empty, how often and for what share of the time."""
    verdict = judged(absence(), people({1: [HERE, *[AWAY] * 6, HERE, HERE]}, 1.0), end=9.0)
    start, end = verdict.events

    assert start.data == {"zone": "left", "since": "1970-01-01T00:00:01.000Z", "seconds": 3.0}
    assert end.data == {
        "zone": "left",
        "since": "1970-01-01T00:00:01.000Z",
        "until": "1970-01-01T00:00:07.000Z",
        "seconds": 6.0,
        "reason": "over",
    }
    assert start.id == end.id
    (bucket,) = verdict.buckets
    assert bucket.values == {"absences": 1, "empty": pytest.approx(6 / 9, abs=1e-5)}


def test_unknown_time_is_not_absence() -> None:
    """Failed answers start nothing, however long they last; what is known after them counts."""
    blind = [seen(float(t), answer=FAILED) for t in range(1, 60)]
    frames = [seen(0.0, track(1, 0.0, *HERE)), *blind, *(seen(60.0 + t) for t in range(5))]
    verdict = judged(absence(), frames, end=65.0)

    assert phases(verdict) == [("start", 63.0), ("end", 65.0)]
    assert verdict.events[0].data["since"] == "1970-01-01T00:01:00.000Z"
    assert [b.values["empty"] for b in verdict.buckets] == [0.0, 1.0]


@pytest.mark.parametrize("failing", [False, True])
def test_a_gap_ends_it(failing: bool) -> None:
    """Frames that are missing, or fail, for longer than a few looks end it with that reason."""
    before = [seen(float(t)) for t in range(6)]
    gap = [seen(6.0 + t, answer=FAILED) for t in range(30)] if failing else []
    after = [seen(36.0 + t) for t in range(6)]
    verdict = judged(absence(), [*before, *gap, *after])

    assert [(e.phase, e.data.get("reason")) for e in verdict.events] == [
        ("start", None),
        ("end", "unknown"),
        ("start", None),
    ]
    assert verdict.events[1].data["until"] == "1970-01-01T00:00:05.000Z"
    assert verdict.events[2].data["since"] == "1970-01-01T00:00:36.000Z"


def test_one_failed_answer_is_tolerated() -> None:
    """As by every rule: it neither ends the absence nor begins it anew."""
    frames = [seen(float(t), answer=FAILED if t == 2 else None) for t in range(5)]

    assert phases(judged(absence(), frames)) == [("start", 3.0)]


def test_it_counts_from_the_beginning_of_the_schedule() -> None:
    """A shop that was closed all night is not unattended in the first moment of its day."""
    rule = absence(10.0, for_="30s", schedule=[{"from": "00:01", "to": "00:03"}])
    verdict = judged(rule, (seen(10.0 * n) for n in range(24)))

    assert [(e.phase, e.at, e.data.get("reason")) for e in verdict.events] == [
        ("start", 90.0, None),
        ("end", 180.0, "schedule"),
    ]
    assert verdict.events[0].data["since"] == "1970-01-01T00:01:00.000Z"


def test_who_is_shown_late_was_there() -> None:
    """A tracker confirms after a few looks; the time before that was not empty."""
    rule = absence(0.5, for_="10s")
    steps = [(2.0, *HERE), (2.5, *HERE), (3.0, *HERE)]
    frames = [seen(t / 2, track(9, t / 2, *AWAY)) for t in range(6)]
    frames += [seen(3.0, late(1, steps)), seen(3.5)]
    (bucket,) = judged(rule, frames, end=4.0).buckets

    assert bucket.values["empty"] == pytest.approx(2.0 / 4.0)


def test_another_id_is_the_same_person() -> None:
    """A tracker that loses somebody and finds him again does not make him absent."""
    ids: dict[int, list[Place | None]] = {
        n + 1: [NONE] * (4 * n) + [HERE, HERE] + [NONE] * 2 for n in range(6)
    }
    assert judged(absence(), people(ids, 1.0)).events == ()


def test_a_number_is_enough_for_the_whole_picture() -> None:
    """A model that only counts says when nobody is there."""
    rule = config(type="absence", for_="2s").build(context(1.0))

    assert phases(judged(rule, numbers([1, 0, 0, None, 0, 2]))) == [("start", 4.0), ("end", 5.0)]


def test_a_restart_at_any_frame_changes_nothing() -> None:
    """The second half goes on where the first one was, in each of its moments."""
    frames = list(people({1: [HERE, *[AWAY] * 6, HERE, HERE, *[AWAY] * 5]}, 1.0))
    whole = judged(absence(), frames, end=14.0)
    for cut in range(len(frames)):
        first = absence()
        one = judged(first, frames[:cut])
        two = judged(through_json(first, absence()), frames[cut:], end=14.0)
        assert (*one.events, *two.events) == whole.events


def test_an_edit_keeps_the_minute_and_the_cooldown() -> None:
    """The happening has ended with the old terms; the new ones begin their own."""
    old = absence(cooldown="1m")
    judged(old, [seen(float(t)) for t in range(5)])
    (end,) = old.finish(5.0, "edited").events
    new = absence(cooldown="1m", for_="2s")
    new.inherit(old.state(), 5.0)
    verdict = judged(new, [seen(5.0 + t) for t in range(4)], end=9.0)

    assert end.data["reason"] == "edited"
    assert verdict.events == ()
    assert [b.values["absences"] for b in verdict.buckets] == [1]


def test_it_must_last() -> None:
    """Without a duration every missed detection would be an absence."""
    with pytest.raises(ValidationError, match="an absence must last"):
        config(type="absence", for_="0s")


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (Detect("n", "coco", "person"), None),
        (Count("n", "vlm", "person"), "counts without positions"),
        (Ask("n", "vlm", "Anybody?", "yes/no"), "'n' is of type ask"),
    ],
)
def test_which_tasks_it_can_judge(task: Task, problem: str | None) -> None:
    """In a zone it takes positions."""
    found = config(type="absence", zone="left", for_="1m").problem_with(task)

    assert found is None if problem is None else problem in (found or "")


def test_without_an_absence_the_longest_is_none_and_not_unknown(tmp_path: Path) -> None:
    """A post that was never left has 0 s; one whose minutes are missing is not known."""
    post = AbsenceConfig.model_validate({"of": "people", "for": "2m"})
    with closing(SqlStore(f"sqlite:///{tmp_path / 'posts.db'}", ManualClock(60.0))) as store:
        manned = Bucket("door", "post", 0, 60, 1.0, {"absences": 0, "empty": 0.0})
        record = RuleRecord(store.history, "door", "post", [manned])
        summed = post.sum_up(record)
        assert summed == {"absences": 0, "empty_share": 0.0, "longest_s": 0.0}
        nothing = RuleRecord(store.history, "door", "post", [])
        assert post.sum_up(nothing) == {"absences": None, "empty_share": None, "longest_s": None}
