"""Errors are sentences with a place; one tree, so that a caller knows what to catch."""

import pytest

from pipeline.core import errors
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, SinkError


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("cameras.door", "is missing", 7), "cameras.door (line 7): is missing"),
        (Problem("cameras.door", "is missing"), "cameras.door: is missing"),
        (Problem("", "is no YAML", 3), "line 3: is no YAML"),
        (Problem("", "is empty"), "is empty"),
    ],
)
def test_a_problem_tells_its_place(problem: Problem, said: str) -> None:
    """As much of it as is known."""
    assert str(problem) == said


def test_all_problems_of_a_file_are_one_error() -> None:
    """In their order, a line each."""
    error = ConfigError([Problem("a", "is wrong"), Problem("b", "is too")])
    assert str(error) == "a: is wrong\nb: is too"
    assert [problem.path for problem in error.problems] == ["a", "b"]


def test_everything_raised_on_purpose_has_one_root() -> None:
    """The command line says these as sentences; anything else would be a traceback."""
    ours = [
        one
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, Exception)
        and one.__module__ == errors.__name__
    ]
    assert len(ours) >= 8
    assert all(issubclass(one, MoonwatchError) for one in ours)


def test_the_tree_is_drawn_as_it_is() -> None:
    """Every error stands in the drawing at the top of the module."""
    assert errors.__doc__ is not None
    for name, one in vars(errors).items():
        if isinstance(one, type) and issubclass(one, MoonwatchError):
            assert name in errors.__doc__


def test_a_sinks_error_is_worth_another_try_unless_it_says_no() -> None:
    """What is not known to be hopeless is tried again."""
    assert SinkError("away").retryable
    assert SinkError("away").retry_after_s is None
    assert not SinkError("refused", retryable=False).retryable
