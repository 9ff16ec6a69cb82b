"""How YAML is read: words stay words, lines are known, and nothing is swallowed."""

import pytest

from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import Node, Scalar, find, line_at, plain


def tree_of(text: str) -> Node:
    """The tree of a text without mistakes."""
    tree, problems = read_yaml(text)
    assert problems == []
    assert tree is not None
    return tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),  # YAML 1.1 would say True to all of these
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("22:00", "22:00"),  # 1320 in YAML 1.1
        ("2026-11-22", "2026-11-22"),  # a date in YAML 1.1
        ("1_000", "1_000"),
        ("30", 30),
        ("-7", -7),
        ("007", 7),
        ("0x1f", 31),
        ("0o17", 15),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("30s", "30s"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'30'", "30"),
        ('"true"', "true"),
        ("9" * 5000, "9" * 5000),  # longer than Python would read
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """Plain words are words; only numbers, true, false and null are something else."""
    assert plain(tree_of(f"key: {text}")) == {"key": value}


def test_what_was_written_is_kept_beside_the_number() -> None:
    """A password of digits can still be read as it stands."""
    node = find(tree_of("password: 007"), ("password",))
    assert isinstance(node, Scalar)
    assert node.text == "007"


def test_keys_are_text() -> None:
    """A camera may be called 1, and a key `on` is not True."""
    assert plain(tree_of("1: a\non: b\n")) == {"1": "a", "on": "b"}


def test_every_value_knows_its_line() -> None:
    """Lines are those of the keys, also in the middle of flow style."""
    tree = tree_of("a:\n  b:\n    - x\n    - y\nc: {d: 1,\n  e: 2}\n")
    paths = {("a",): 1, ("a", "b"): 2, ("a", "b", 1): 4, ("c", "d"): 5, ("c", "e"): 6}
    assert {path: line_at(tree, path) for path in paths} == paths


def test_what_is_missing_has_the_line_of_its_holder() -> None:
    """There is no better place to point at."""
    assert line_at(tree_of("a: 1\nb:\n  c: 2\n"), ("b", "d")) == 2


def test_x_keys_are_left_out_at_every_level() -> None:
    """They hold anchors and notes."""
    text = "x-note: hello\na:\n  x-b: 1\n  c: [{x-d: 2, e: 3}]\n"
    assert plain(tree_of(text)) == {"a": {"c": [{"e": 3}]}}


def test_anchors_and_merge_keys() -> None:
    """What is written wins over what is merged, and the first of several over the next."""
    text = (
        "x-base: &base {every: 1s, motion: true}\n"
        "x-more: &more {every: 2s, level: 3}\n"
        "a: *base\n"
        "b: {<<: *base, every: 5s}\n"
        "c: {<<: [*base, *more]}\n"
    )
    assert plain(tree_of(text)) == {
        "a": {"every": "1s", "motion": True},
        "b": {"every": "5s", "motion": True},
        "c": {"every": "1s", "motion": True, "level": 3},
    }


def test_a_merged_value_has_the_line_of_its_anchor() -> None:
    """That is where it must be mended."""
    tree = tree_of("x-base: &base\n  every: 1s\na:\n  <<: *base\n  b: 1\n")
    assert line_at(tree, ("a", "every")) == 2


@pytest.mark.parametrize(
    ("text", "path", "line", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3, "twice, on lines 1 and 3"),
        ("a: {b: 1, b: 2}\n", "a.b", 1, "twice"),
        ("a: !secret pw\n", "a", 1, "begins with !"),
        ("? [a, b]\n: 1\n", "", 1, "a key must be text"),
        ("a:\n\tb: 1\n", "", 2, "never with tabs"),
        ("a: {url: ${HOST}}\n", "", 1, '"${NAME}" in quotes'),
        ("a: b: c\n", "", 1, "in quotes"),
        ("a: *nobody\n", "", 1, "define the anchor before"),
        ("a: 1\n---\nb: 2\n", "", 2, "more than one document"),
        ("a: [1, 2\n", "", 2, "is not valid YAML"),
        ("a: &a [*a]\n", "a.0", 1, "inside its own anchor"),
        ("<<: 5\n", "", 1, "can only merge maps"),
        ("a: \x00", "", 1, "U+0000"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(
    text: str, path: str, line: int | None, part: str
) -> None:
    """No mistake of the YAML itself is a traceback."""
    _, problems = read_yaml(text)
    assert [(problem.path, problem.line) for problem in problems] == [(path, line)]
    assert part in problems[0].message


def test_aliases_that_multiply_are_refused() -> None:
    """A few lines can stand for billions of values; reading them takes no time."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    tree, problems = read_yaml("\n".join(rows))
    assert tree is None
    assert "aliases expand to more" in problems[0].message


def test_many_values_without_aliases_are_taken() -> None:
    """A fleet with masks has more values than an alias may stand for."""
    tree, problems = read_yaml("\n".join(f"k{i}: [{'1, ' * 99}1]" for i in range(1100)))
    assert problems == []
    assert tree is not None
    assert sum(map(len, plain(tree).values())) == 110_000


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 900 + "]" * 900,
        "[" * 50_000,
        "{a: " * 50_000,
        "- " * 50_000 + "x",
        "".join(" " * i + "a:\n" for i in range(2_000)),
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2_000)),
    ],
    ids=["900 lists", "lists", "maps", "dashes", "lines", "aliases"],
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    """With a sentence, before any stack overflows."""
    tree, problems = read_yaml(text)
    assert tree is None
    (problem,) = problems
    assert "more than 64 levels deep" in problem.message


def test_an_empty_text_is_no_tree() -> None:
    """Nothing but comments is nothing."""
    assert read_yaml("# only a comment\n") == (None, [])
