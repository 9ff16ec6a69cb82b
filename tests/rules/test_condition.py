"""An answer in words that holds for a while."""

import pytest
from pydantic import ValidationError

from pipeline.core.answers import Answer, Boxes, Number, Text
from pipeline.core.rules import Rule
from pipeline.core.tasks import Ask, Count, Task
from tests.rules.scene import ENGINE, FAILED, config, context, judged, phases, seen, words


def condition(**fields: object) -> Rule:
    """A condition rule asked once a second."""
    return config(type="condition", **fields).build(context(1.0, label=None))


LASTING: list[tuple[str, dict[str, object], list[str | None], list[tuple[str, float]]]] = [
    ("never", {}, ["no", "no"], []),
    ("at once", {}, ["no", "yes", "no"], [("start", 1), ("end", 2)]),
    ("not long enough", {"for_": "2s"}, ["yes", "yes", "no", "yes"], []),
    ("long enough", {"for_": "2s"}, ["yes"] * 3, [("start", 2), ("end", 3)]),
    (
        "a failure does not break it",
        {"for_": "2s"},
        ["yes", None, "yes"],
        [("start", 2), ("end", 3)],
    ),
    ("a failure is not the moment to start", {"for_": "2s"}, ["yes", "yes", None], []),
    (
        "an empty answer is a failure",
        {"for_": "2s"},
        ["yes", " ", "yes"],
        [("start", 2), ("end", 3)],
    ),
    (
        "another answer within the gap",
        {"gap": "2s"},
        ["yes", "no", "yes"],
        [("start", 0), ("end", 3)],
    ),
    (
        "failing for long ends it",
        {},
        ["yes", None, None, None, None],
        [("start", 0), ("end", 3)],
    ),
    (
        "a cooldown after the end",
        {"cooldown": "3s"},
        ["yes", "no", "yes", "yes", "yes"],
        [("start", 0), ("end", 1), ("start", 4), ("end", 5)],
    ),
]


@pytest.mark.parametrize(
    ("fields", "answers", "expected"),
    [row[1:] for row in LASTING],
    ids=[row[0] for row in LASTING],
)
def test_how_long_it_holds(
    fields: dict[str, object], answers: list[str | None], expected: list[tuple[str, float]]
) -> None:
    """It starts after `for` and ends after `gap`; failed answers do neither."""
    rule = condition(is_="yes", **fields)

    assert phases(judged(rule, words(answers), end=len(answers))) == expected


@pytest.mark.parametrize(
    ("awaited", "answer", "holds"),
    [
        ("yes", Text(ENGINE, "Yes"), True),
        ("yes", Text(ENGINE, "yes."), True),
        ("yes", Text(ENGINE, "Yes, the door is open."), True),
        ("yes", Text(ENGINE, "No, but yes, in a way"), False),
        ("yes", Text(ENGINE, "yesterday"), False),
        ("no", Text(ENGINE, "No - it is shut"), True),
        ("no", Text(ENGINE, "no one is there"), False),
        (True, Text(ENGINE, "yes"), True),  # YAML's own reading of an unquoted yes
        (False, Text(ENGINE, "no"), True),
        ("red", Text(ENGINE, " RED"), True),
        (["red", "amber"], Text(ENGINE, "amber"), True),
        (["red", "amber"], Text(ENGINE, "green"), False),
        ("fire  truck", Text(ENGINE, "Fire truck"), True),
        (3, Number(ENGINE, 3), True),
        (3, Text(ENGINE, "3"), True),
        ("yes", Boxes(ENGINE, (), ()), False),
    ],
)
def test_which_answers_are_the_awaited_one(awaited: object, answer: Answer, holds: bool) -> None:
    """Case, spaces and a full stop do not matter; a longer answer may begin with yes or no."""
    verdict = condition(is_=awaited).judge(seen(0.0, answer=answer))

    assert bool(verdict.events) is holds


@pytest.mark.parametrize(
    ("awaited", "least", "yes_probability", "holds"),
    [
        ("yes", 0.8, 0.9, True),
        ("yes", 0.8, 0.8, True),
        ("yes", 0.8, 0.6, False),  # the word is yes, but not surely
        ("no", 0.8, 0.1, True),
        ("no", 0.8, 0.4, False),
        ("yes", None, 0.51, True),
        ("yes", 0.9, None, True),  # no probability: taken at its word
    ],
)
def test_how_sure_it_must_be(
    awaited: str, least: float | None, yes_probability: float | None, holds: bool
) -> None:
    """`min_probability` asks for more than the likelier of two words."""
    word = awaited if yes_probability is None else "yes" if yes_probability > 0.5 else "no"
    verdict = condition(is_=awaited, min_probability=least).judge(
        seen(0.0, answer=Text(ENGINE, word, yes_probability))
    )

    assert bool(verdict.events) is holds


def test_what_the_events_say() -> None:
    """The awaited and the given answer, how sure, and how long."""
    rule = condition(is_="yes", for_="1s")
    start, end = judged(
        rule,
        [
            seen(0.0, answer=Text(ENGINE, "yes", 0.9)),
            seen(1.0, answer=Text(ENGINE, "yes", 0.7)),
            seen(2.0, answer=FAILED),
            seen(3.0, answer=Text(ENGINE, "no", 0.2)),
        ],
    ).events

    assert start.id == end.id
    assert start.data == {
        "is": "yes",
        "answer": "yes",
        "probability": 0.7,
        "since": "1970-01-01T00:00:00.000Z",
    }
    assert end.data == {
        "is": "yes",
        "answer": "no",
        "probability": 0.2,
        "since": "1970-01-01T00:00:00.000Z",
        "until": "1970-01-01T00:00:03.000Z",
        "seconds": 3.0,
        "reason": "over",
    }
    assert (start.type, start.subject) == ("condition", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Field required"),
        ({"is_": []}, "at least 1 item"),
        ({"is_": "red", "min_probability": 0.8}, "min_probability works with `is: yes`"),
        ({"is_": "yes", "min_probability": 0.3}, "greater than or equal to 0.5"),
    ],
)
def test_what_is_refused(fields: dict[str, object], message: str) -> None:
    """A condition that cannot be meant is refused."""
    with pytest.raises(ValidationError, match=message):
        condition(**fields)


@pytest.mark.parametrize(
    ("task", "awaited", "problem"),
    [
        (Ask("door", "vlm", "Open?", "yes/no"), "yes", None),
        (Ask("door", "vlm", "Open?", "yes/no"), "open", "never answered 'open'"),
        (Ask("light", "vlm", "Colour?", "one of", ("red", "green")), "Red", None),
        (
            Ask("light", "vlm", "Colour?", "one of", ("red", "green")),
            "blue",
            "answers are red, green",
        ),
        (Ask("sign", "vlm", "What is written?", "text"), "anything", None),
        (Count("n", "vlm", "car"), "yes", "needs a task of type ask"),
    ],
)
def test_which_tasks_it_can_judge(task: Task, awaited: str, problem: str | None) -> None:
    """An answer that a question can never have is refused."""
    found = config(type="condition", is_=awaited).problem_with(task)

    assert found is None if problem is None else problem in (found or "")
