"""Names become parts of topics: always possible, readable, and never two alike unnoticed."""

import pytest

from pipeline.core.slugs import alike, alike_rules, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("door", "door"),
        ("Shop 12", "shop_12"),
        ("Grüner Markt", "gruner_markt"),
        ("Straße-7_b", "strasse-7_b"),
        ("Łódź/Ærø #1+", "lodz_aero_1"),
        ("$SYS", "sys"),
        ("店", "u5e97"),
        ("駅前 2", "u99c5u524d_2"),
        ("!?", "_"),
    ],
)
def test_a_slug_is_plain_and_readable(name: str, expected: str) -> None:
    """Small letters, digits, `_` and `-`; letters of other scripts by their numbers."""
    assert slug(name) == expected


def test_names_that_would_be_alike_are_found() -> None:
    """Each with the earlier one."""
    assert list(alike(["Door", "till", "door", "dóor"])) == [("Door", "door"), ("Door", "dóor")]


def test_rules_that_would_have_the_same_id_are_found() -> None:
    """As a camera's and a rule's name are joined."""
    rules = {"door": ["left_queue", "queue"], "door_left": ["queue"]}
    assert list(alike_rules(rules)) == [("door", "left_queue", "door_left", "queue")]
