"""Moondream from Python.

The engine behind `type: moondream` is a class of its own. Here it loads the small model of the
tests, whose answers have the right shape and make no sense; `Moondream.load()` loads the real one.
"""

from pipeline.moondream import CaptionRequest, CountRequest, DetectRequest, Moondream, QueryRequest
from tests.guide.conftest import SMALL_MODEL, Picture


def test_things_are_found_by_any_name(picture: Picture) -> None:
    """A picture is an RGB array or a PIL image; boxes come with a score each."""
    model = Moondream.load(SMALL_MODEL, device="cpu")

    found = model.detect(picture, "red umbrella", max_objects=3)

    assert found.boxes_xyxy.shape == (len(found), 4)
    assert len(found.scores) == len(found)


def test_the_answers_can_be_given(picture: Picture) -> None:
    """With `choices`, the answer is one of them, and each has its likelihood."""
    model = Moondream.load(SMALL_MODEL, device="cpu")

    answer = model.query(picture, "Is the gate open or shut?", choices=("open", "shut"))

    assert answer.text in {"open", "shut"}
    assert set(answer.choices or {}) == {"open", "shut"}


def test_many_questions_run_together(picture: Picture) -> None:
    """One batch for all pictures and requests; each picture is encoded once."""
    model = Moondream.load(SMALL_MODEL, device="cpu")

    answers = model.answer(
        [
            (
                picture,
                [DetectRequest("person", max_objects=2), QueryRequest("Is it day?", max_tokens=4)],
            ),
            (
                picture,
                [CountRequest("person", max_objects=2), CaptionRequest("short", max_tokens=4)],
            ),
        ]
    )

    assert [[type(one).__name__ for one in each] for each in answers] == [
        ["DetectResult", "TextResult"],
        ["CountResult", "TextResult"],
    ]


def test_text_is_read_while_it_is_written(picture: Picture) -> None:
    """`stream` gives the pieces of an answer as they become certain."""
    model = Moondream.load(SMALL_MODEL, device="cpu")

    pieces = list(model.stream(picture, CaptionRequest("short", max_tokens=4)))

    assert pieces
