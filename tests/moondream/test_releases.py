"""Prompts and habits of each release."""

import pytest

from pipeline.moondream.checkpoints.releases import (
    LATEST_RELEASE,
    RELEASES,
    is_early_config,
    release_from_config,
    release_named,
)
from pipeline.moondream.errors import CheckpointError, RequestError
from pipeline.moondream.templates import SpatialRef

LATEST = RELEASES[LATEST_RELEASE]


class Letters:
    """A tokenizer of one id per character."""

    def encode(self, text: str) -> list[int]:
        """Return code points shifted away from the special ids."""
        return [1000 + ord(char) for char in text]


SPACE, A = 1000 + ord(" "), 1000 + ord("a")


def test_prompts_of_the_latest_release() -> None:
    """Objects have a leading space, questions none, and the closing id comes twice."""
    tokenizer = Letters()
    assert LATEST.detect_prompt(tokenizer, "a") == [1, 7235, 476, 2, SPACE, A, 3]
    assert LATEST.point_prompt(tokenizer, "a") == [1, 2581, 2, SPACE, A, 3]
    assert LATEST.query_prompt(tokenizer, "a") == [1, 15381, 2, A, 3, 3]
    assert LATEST.query_prompt(tokenizer, "a", reasoning=True) == [1, 15381, 2, A, 3, 4]
    assert LATEST.answer_prompt() == [3]
    assert LATEST.text_only_prompt(tokenizer, "a") == [0, 1, 15381, 2, A, 3, 3]
    assert LATEST.caption_prompt("long") == [1, 32708, 2, 4059, 3]


def test_spatial_references_come_before_the_question() -> None:
    """A point is two coordinate ids, a box two and a size id, in the order given."""
    refs: list[SpatialRef] = [(0.1, 0.2), (0.1, 0.2, 0.3, 0.4)]
    prompt = LATEST.query_prompt(Letters(), "a", refs)
    assert prompt == [1, 15381, 2, 5, 5, 5, 5, 6, A, 3, 3]


@pytest.mark.parametrize("name", ["2025-04-14", "2025-03-27"])
def test_prompts_of_the_spring_releases(name: str) -> None:
    """Words are written out in the prompt, and a question has a leading space as well."""
    release = release_named(name)
    assert release.query_prompt(Letters(), "a") == [
        *(198, 198, 24361, 25, SPACE, A),
        *(198, 198, 33706, 25),
    ]
    assert release.detect_prompt(Letters(), "a") == [198, 198, 47504, 25, SPACE, A, 628]
    assert release.caption_lengths == ("short", "normal", "long")


def test_the_january_release_has_no_spaces_no_long_caption_and_linear_sizes() -> None:
    """The earliest release differs in more than its name."""
    release = release_named("2025-01-09")
    assert release.point_prompt(Letters(), "a") == [198, 198, 12727, 25, A, 628]
    assert release.query_prompt(Letters(), "a")[:5] == [198, 198, 24361, 25, A]
    assert (release.size_decoding, release.max_tokens, release.streaming) == (
        "linear",
        512,
        "tokens",
    )
    with pytest.raises(RequestError, match="not one of short, normal"):
        release.caption_prompt("long")


def test_early_releases_refuse_what_came_later() -> None:
    """Reasoning, references and questions without a picture name the release that has them."""
    release = release_named("2025-04-14")
    with pytest.raises(RequestError, match="no reasoning; use release 2025-06-21"):
        release.query_prompt(Letters(), "a", reasoning=True)
    with pytest.raises(RequestError, match="no spatial references"):
        release.query_prompt(Letters(), "a", [(0.5, 0.5)])
    with pytest.raises(RequestError, match="without a picture"):
        release.text_only_prompt(Letters(), "a")


def test_a_reference_that_is_neither_point_nor_box_is_refused() -> None:
    """Three numbers are named as the mistake they are."""
    with pytest.raises(RequestError, match="must be a point"):
        LATEST.spatial_ids([(0.1, 0.2, 0.3)])  # type: ignore[list-item]


def test_unknown_releases_are_refused_with_the_known_ones() -> None:
    """The sentence lists what there is."""
    with pytest.raises(CheckpointError, match="known releases: 2025-06-21, 2025-04-14"):
        release_named("2025-05-20")


def test_a_config_changes_ids_and_templates_and_nothing_else() -> None:
    """What the group leaves out keeps the release's value."""
    config = {
        "tokenizer": {"answer_id": 30, "templates": {"detect": {"prefix": [8], "suffix": []}}}
    }
    release = release_from_config(LATEST, config)
    assert release.ids.answer == 30
    assert release.detect_prompt(Letters(), "a") == [8, SPACE, A]
    assert release.prompts.point == LATEST.prompts.point
    assert release_from_config(LATEST, {}) == LATEST


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"answer": 3}, "tokenizer.answer is not known"),  # a typo
        ({"answer_id": "3"}, "must be a token id, not '3'"),
        ({"templates": [1]}, "templates must be a mapping"),
        ({"templates": {"query": {"prefix": [1]}}}, "query must have a prefix and a suffix"),
        ({"templates": {"query": {"prefix": "1", "suffix": []}}}, "query.prefix must be a list"),
        ({"templates": {"caption": {"short": [-1]}}}, "caption.short must be a token id"),
    ],
)
def test_mistakes_in_a_config_are_named(group: dict[str, object], said: str) -> None:
    """Each mistake is refused with its place."""
    with pytest.raises(CheckpointError, match=said):
        release_from_config(LATEST, {"tokenizer": group})


def test_a_config_without_an_answer_token_is_an_early_one() -> None:
    """The 0.5B config of the spring names start and end tokens only."""
    assert is_early_config({"tokenizer": {"bos_id": 50256, "eos_id": 50256}})
    assert not is_early_config({"tokenizer": {"bos_id": 0, "answer_id": 3}})
    assert not is_early_config({})
