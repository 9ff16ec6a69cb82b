"""A count task's number against a limit."""

import pytest

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.tasks import Ask, Caption, Count, Task
from tests.rules.scene import ENGINE, box, config, context, judged, numbers, phases, seen


def test_over_the_limit_for_long_enough() -> None:
    """`for`, `gap` and updates are those of occupancy."""
    rule = config(type="count", more_than=10, for_="2s", gap="2s").build(context(1.0))
    verdict = judged(rule, numbers([11, None, 12, 9, 12, 9, 9, 9]))

    assert phases(verdict) == [("start", 2.0), ("end", 7.0)]
    assert verdict.events[0].type == "count"
    assert verdict.events[0].data == {
        "count": 12,
        "extreme": 12,
        "more_than": 10,
        "since": "1970-01-01T00:00:00.000Z",
    }
    assert verdict.events[1].data["seconds"] == 5.0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Number(ENGINE, 3), 3),
        (Boxes(ENGINE, (box(0.1, 0.5), box(0.2, 0.5)), (0.5, 0.5)), 2),
        (Points(ENGINE, ((0.1, 0.5),), (0.5,)), 1),
        (Text(ENGINE, " 12. "), 12),
        (Text(ENGINE, "several"), None),
        (Text(ENGINE, "between 3 and 5"), None),
        (Failed(ENGINE, "out of memory"), None),
    ],
)
def test_what_is_a_number(answer: Answer, expected: int | None) -> None:
    """Whatever holds a number counts; all else is unknown, never zero."""
    rule = config(type="count").build(context(1.0))
    (bucket,) = judged(rule, [seen(0.0, answer=answer)], end=1.0).buckets

    assert bucket.values["maximum"] == expected
    assert bucket.samples == (expected is not None)


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (Count("n", "vlm", "car"), None),
        (Ask("n", "vlm", "How many cars?", "number"), None),
        (Ask("n", "vlm", "Cars?", "yes/no"), "'n' is answered with yes/no, not with a number"),
        (Caption("n", "vlm"), "'n' is of type caption"),
    ],
)
def test_which_tasks_it_can_judge(task: Task, problem: str | None) -> None:
    """Tasks without a number are refused with the way out."""
    found = config(type="count", more_than=1).problem_with(task)

    assert found is None if problem is None else problem in (found or "")
