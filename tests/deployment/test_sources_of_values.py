"""Where values come from besides the file: `${NAME}`, `--set`, `defaults:` and secret files."""

from pathlib import Path

import pytest

from pipeline.core.address import Address, Secret
from pipeline.core.config import Config
from pipeline.deployment.yaml.defaults import merge_defaults
from pipeline.deployment.yaml.overrides import apply_overrides
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.secret_files import read_secret_files
from pipeline.deployment.yaml.tree import Node, Scalar, find, line_at, plain
from pipeline.deployment.yaml.variables import interpolate

ENVIRONMENT = {"USER": "ann", "PASSWORD": "hunter2", "EMPTY": "", "DOLLAR": "${USER}"}


def tree_of(text: str) -> Node:
    """The tree of a text without mistakes."""
    tree, problems = read_yaml(text)
    assert problems == []
    assert tree is not None
    return tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${USER}", "ann"),
        ("rtsp://${USER}:${PASSWORD}@cam/1", "rtsp://ann:hunter2@cam/1"),
        ("${NOBODY:-10.0.0.7}", "10.0.0.7"),
        ("${EMPTY:-otherwise}", "otherwise"),  # empty counts as not set where there is a default
        ("${EMPTY}", ""),
        ("${NOBODY:-}", ""),
        ("${USER:-bob}", "ann"),
        ("${USER:?who?}", "ann"),
        ("$${USER}", "${USER}"),
        ("5$$ a day", "5$ a day"),
        ("pa$word", "pa$word"),  # a dollar sign alone is one
        ("$USER", "$USER"),
        ("${DOLLAR}", "${USER}"),  # a value is not read again
    ],
)
def test_references_are_replaced(text: str, value: str) -> None:
    """In quotes or not, anywhere in a value."""
    tree, problems, unresolved = interpolate(tree_of(f"a: ['{text}']"), ENVIRONMENT)
    assert plain(tree) == {"a": [value]}
    assert (problems, unresolved) == ([], frozenset())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${PASSWROD}", "PASSWROD is not set; did you mean PASSWORD?"),
        ("${QQ}", "QQ is not set; set it, or write ${QQ:-default}"),
        ("${QQ:?name the till camera}", "QQ is not set: name the till camera"),
        ("${EMPTY:?say something}", "EMPTY is not set: say something"),
        ("${9LIVES}", "not a valid reference"),
        ("${USER", "not a valid reference"),
        ("${USER-bob}", "not a valid reference"),
    ],
)
def test_references_without_a_value_are_problems(text: str, message: str) -> None:
    """Each is told with its path and line, and never with a value."""
    tree, problems, unresolved = interpolate(tree_of(f"x: 1\na: {{b: '{text}'}}"), ENVIRONMENT)
    assert [(problem.path, problem.line) for problem in problems] == [("a.b", 2)]
    assert message in problems[0].message
    assert "hunter2" not in str(problems[0])
    assert unresolved == {("a", "b")}
    assert plain(tree) == {"x": 1, "a": {"b": text}}


def test_all_missing_variables_of_a_value_are_told() -> None:
    """Not only the first one."""
    _, problems, _ = interpolate(tree_of("a: ${ONE}${TWO}"), {})
    assert len(problems) == 2


def test_values_from_outside_are_shown_masked() -> None:
    """What the file says itself, defaults too, is no secret; what comes from outside may be."""
    text = "a: http://${USER}:${NOBODY:-8080}/${PASSWORD}"
    tree, _, _ = interpolate(tree_of(text), ENVIRONMENT)
    node = find(tree, ("a",))
    assert isinstance(node, Scalar)
    assert node.shown == "http://***:8080/***"
    assert str(node.origin) == "line 1, from ${USER}, ${PASSWORD}"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a.b=2", {"a": {"b": 2, "c": [10, 20]}}),
        ("a.b=2s", {"a": {"b": "2s", "c": [10, 20]}}),
        ("a.b=", {"a": {"b": None, "c": [10, 20]}}),
        ("a.b=x=y", {"a": {"b": "x=y", "c": [10, 20]}}),
        ("a.c.1=5", {"a": {"b": 1, "c": [10, 5]}}),
        ("a.c=[1]", {"a": {"b": 1, "c": [1]}}),
        ("a={d: {e: yes}}", {"a": {"d": {"e": "yes"}}}),  # replaced as a whole
        ("f.g.h=on", {"a": {"b": 1, "c": [10, 20]}, "f": {"g": {"h": "on"}}}),
    ],
)
def test_set_replaces_any_key(override: str, value: object) -> None:
    """Values are YAML, lists go by place, what is not there is made."""
    tree, problems = apply_overrides(tree_of("a: {b: 1, c: [10, 20]}"), [override])
    assert (plain(tree), problems) == (value, [])


def test_later_sets_win_and_are_their_own_origin() -> None:
    """The line of what was replaced is not told any more."""
    tree, _ = apply_overrides(tree_of("a: {b: 1}"), ["a.b=2", "a.b=3"])
    node = find(tree, ("a", "b"))
    assert node is not None
    assert (plain(node), str(node.origin), line_at(tree, ("a", "b"))) == (3, "--set", None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a.b", "path.to.key=value"),
        ("=1", "path.to.key=value"),
        ("a..b=1", "path.to.key=value"),
        ("a.c.2=1", "a.c is a list of length 2"),
        ("a.c.first=1", "instead of 'first'"),
        ("a.b.c=1", "a.b is a single value"),
        ("a.b=[1", "is not valid YAML"),
    ],
)
def test_a_wrong_set_is_a_problem_and_changes_nothing(override: str, message: str) -> None:
    """The problem names the override."""
    tree, problems = apply_overrides(tree_of("a: {b: 1, c: [10, 20]}"), [override])
    assert plain(tree) == {"a": {"b": 1, "c": [10, 20]}}
    assert message in problems[0].message
    assert problems[0].path.startswith("--set")


def test_defaults_are_merged_under_every_camera() -> None:
    """Deeply; what a camera says itself wins, its lists replace lists, an empty camera has all."""
    text = (
        "defaults: {sample: {every: 1s, motion: {linger: 5s}, masks: [[1, 1]]}}\n"
        "cameras:\n"
        "  a: {sample: {every: 2s, motion: {heartbeat: 3s}, masks: []}}\n"
        "  b:\n"
    )
    motion = {"heartbeat": "3s", "linger": "5s"}
    assert plain(merge_defaults(tree_of(text))) == {
        "cameras": {
            "a": {"sample": {"every": "2s", "motion": motion, "masks": []}},
            "b": {"sample": {"every": "1s", "motion": {"linger": "5s"}, "masks": [[1, 1]]}},
        }
    }


def test_defaults_of_another_type_stay_away() -> None:
    """A file camera takes nothing from the RTSP source that the others share."""
    text = (
        "defaults: {source: {type: rtsp, transport: udp}}\n"
        "cameras:\n"
        "  a: {source: {type: file, path: x.mp4}}\n"
        "  b: {source: {url: 'rtsp://b'}}\n"
    )
    assert plain(merge_defaults(tree_of(text))) == {
        "cameras": {
            "a": {"source": {"type": "file", "path": "x.mp4"}},
            "b": {"source": {"url": "rtsp://b", "type": "rtsp", "transport": "udp"}},
        }
    }


def test_a_default_tells_that_it_is_one() -> None:
    """Its line is the one under `defaults:`."""
    tree = merge_defaults(tree_of("defaults:\n  every: 1s\ncameras:\n  a: {}\n"))
    node = find(tree, ("cameras", "a", "every"))
    assert node is not None
    assert str(node.origin) == "line 2 (defaults)"


class Post(Config):
    """A model with a secret, an address and a path of its own."""

    token: Secret
    url: Address = Address("")
    note: str = ""
    key_file: str = ""


class Office(Config):
    """Holds posts by name."""

    posts: dict[str, Post]


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    """White space around it is no part of it, and nothing shows it."""
    (tmp_path / "token").write_text("\n  s3cret \n")
    text = f"posts: {{a: {{token_file: {tmp_path}/token, key_file: k}}}}"
    tree, problems, _ = read_secret_files(tree_of(text), Office)
    assert problems == []
    assert plain(tree) == {"posts": {"a": {"key_file": "k", "token": "s3cret"}}}
    node = find(tree, ("posts", "a", "token"))
    assert isinstance(node, Scalar)
    assert node.shown == "***"
    assert str(node.origin) == f"line 1, from the file {tmp_path}/token"


def test_an_address_may_lie_in_a_file(tmp_path: Path) -> None:
    """Addresses carry passwords."""
    (tmp_path / "address").write_text("rtsp://u:p@host/1")
    tree, _, _ = read_secret_files(
        tree_of(f"posts: {{a: {{url_file: {tmp_path}/address}}}}"), Office
    )
    assert plain(tree) == {"posts": {"a": {"url": "rtsp://u:p@host/1"}}}


def test_other_fields_have_no_files(tmp_path: Path) -> None:
    """`note_file` is left for the reader of the model to refuse."""
    text = f"posts: {{a: {{note_file: {tmp_path}/token}}}}"
    tree, problems, _ = read_secret_files(tree_of(text), Office)
    assert (plain(tree), problems) == (plain(tree_of(text)), [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"x" * 70_000, "more than 64 KiB"),
    ],
)
def test_a_secret_file_that_holds_none_is_a_problem(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """The problem names the key and its line; the field itself is not called missing."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    text = f"posts:\n  a:\n    token_file: {tmp_path}/token"
    tree, problems, unread = read_secret_files(tree_of(text), Office)
    assert [(problem.path, problem.line) for problem in problems] == [("posts.a.token_file", 3)]
    assert message in problems[0].message
    assert unread == {("posts", "a", "token")}
    assert find(tree, ("posts", "a", "token")) is not None


def test_a_secret_cannot_be_given_twice(tmp_path: Path) -> None:
    """As itself and as a file: one of them is wrong."""
    (tmp_path / "token").write_text("s3cret")
    text = f"posts: {{a: {{token: x, token_file: {tmp_path}/token}}}}"
    _, problems, _ = read_secret_files(tree_of(text), Office)
    assert "is given together with `token`" in problems[0].message
