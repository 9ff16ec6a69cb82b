"""Numbers in words."""

import pytest

from pipeline.moondream.numbers import number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("There are 12 people.", 12),  # digits in a sentence
        ("Three dogs and two cats", 3),  # the first one counts
        ("twenty", 20),
        ("None.", 0),
        ("No people", 0),
        ("a crowd", None),  # unknown is not zero
        ("no one", 0),  # the first word that is a number decides
        ("nobody", None),  # not the word no
        ("", None),
    ],
)
def test_the_first_number_is_read(text: str, number: int | None) -> None:
    """Digits, words up to twenty and words for none."""
    assert number_in(text) == number
