"""Files that are not a deployment, by accident or on purpose: sentences with a place, no crash.

Every file that a person can name goes through the same door: the deployment, what it includes, its
secrets, and the truth of an evaluation.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.loader import parse, read
from pipeline.insight.evaluation import read_truth
from pipeline.processing.track_log import read_recording
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

GOOD = "version: 1\ncameras: {door: {source: rtsp://10.0.0.7/1}}\n"
DEEP = 50_000


def problems_of(content: str | bytes, folder: Path, *overrides: str) -> tuple[Problem, ...]:
    """What is said about a file of this content, each sentence short enough to be read."""
    file = folder / "deployment.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as refused:
        read(file, overrides)
    assert all(len(str(problem)) < 2000 for problem in refused.value.problems)
    return refused.value.problems


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP,
        "[" * DEEP + "]" * DEEP,
        "{a: " * DEEP,
        "- " * DEEP + "a",
        "? " * DEEP + "a",
        "[{a: " * DEEP,
        "\n".join(" " * n + "a:" for n in range(1000)),
        json.dumps({"a": 1}).replace("1", '{"a":' * DEEP + "1" + "}" * DEEP),
    ],
    ids=["lists", "closed", "maps", "dashes", "keys", "mixed", "indented", "json"],
)
def test_a_file_nested_fifty_thousand_levels_deep(text: str, tmp_path: Path) -> None:
    """It is refused with the line of the level that is too deep."""
    (problem,) = problems_of(text, tmp_path)
    assert "nested more than 64 levels deep" in problem.message
    assert problem.line is not None


def test_the_process_that_reads_it_ends_with_two(tmp_path: Path) -> None:
    """The C parser would have overflowed its stack: not in the command, nor for `--set`."""
    deep = tmp_path / "deep.yaml"
    deep.write_text("[" * DEEP)
    good = tmp_path / "good.yaml"
    good.write_text(GOOD)
    for arguments in ([str(deep)], [str(good), "--set", "site=" + "[" * DEEP]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "check", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(50),
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "nested more than 64 levels deep" in done.stderr


def test_aliases_that_stand_for_billions_of_values(tmp_path: Path) -> None:
    """In lists, in maps and in merge keys: one sentence, before the memory is full."""
    numbers = range(1, 40)
    lists = "a0: &m0 [1, 1]\n" + "".join(f"a{n}: &m{n} [*m{n - 1}, *m{n - 1}]\n" for n in numbers)
    maps = "a0: &m0 {k: 1}\n" + "".join(
        f"a{n}: &m{n} {{l: *m{n - 1}, r: *m{n - 1}}}\n" for n in numbers
    )
    merged = "m0: &m0 {k: 1}\n" + "".join(
        f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: 1}}\n" for n in numbers
    )
    for text in (lists, maps, merged):
        (problem,) = problems_of(text, tmp_path)
        assert "aliases expand to more than 100000 values" in problem.message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: &a [*a]\n", "a.0"),
        ("version: 1\ncameras: &c\n  <<: *c\n", "cameras"),
        ("a: &a {b: {c: *a}}\n", "a.b.c"),
    ],
)
def test_an_anchor_that_contains_itself(text: str, path: str, tmp_path: Path) -> None:
    """Named at its place."""
    said = [p for p in problems_of(text, tmp_path) if "inside its own anchor" in p.message]
    assert [problem.path for problem in said] == [path]


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        (GOOD.encode("utf-16"), None, "looks like UTF-16; save it as UTF-8"),
        (GOOD.encode("utf-16-le"), None, "looks like UTF-16"),
        (GOOD.encode("utf-16-be"), None, "looks like UTF-16"),
        (b"version: 1\nsite: K\xe4se\n", None, "is not UTF-8 text (line 2)"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None, "is not UTF-8 text (line 1)"),
        (random.Random(7).randbytes(50_000), None, "is not UTF-8 text"),
        (b"version: 1\nsite: a\x00b\n", 2, "U+0000; delete it"),
        (b"version: 1\n\nsite: \x1b[31mred\n", 3, "U+001B; delete it"),
        (GOOD.encode() + b'site: "a\\0b"\n', 3, "U+0000, which no setting can hold"),
        (GOOD.encode() + b'sinks: {l: {type: jsonl, path: "a\\0b"}}\n', 3, "U+0000"),
        (b"version: 1\ncameras:\n\tdoor: {}\n", 3, "never with tabs"),
        (b"%YAML 3.0\n---\nversion: 1\n", 1, "begins with %"),
        (b"version: 1\nsite: @shop\n", 2, "in quotes"),
        (b"version: 1\nversion: 1\n", 2, "is defined twice"),
        (b"version: !!int abc\n", 1, "has the tag !!int"),
        (b"version: !!bool abc\n", 1, "has the tag !!bool"),
        (b"version: !!null abc\n", 1, "has the tag !!null"),
        (b"version: !!float {a: 1}\n", 1, "has a tag"),
        (b"version: !!binary aGk=\n", 1, "has a tag"),
        (b"version: !!python/object/apply:os.system [ls]\n", 1, "has a tag"),
        (b"<<: 5\n", 1, "can only merge maps"),
        (b"", None, "beginning with `version: 1`"),
        (b"- version\n", None, "beginning with `version: 1`"),
        (GOOD.encode() * 2, 3, "is defined twice"),
        (GOOD.encode() + b"---\n" + GOOD.encode(), 3, "more than one document"),
        (b"version: 1\n" + b"x" * 5_000_000, None, "is too large to be a deployment file"),
        (b"version: " + b"9" * 100_000, 1, "9 ... 9"),
        (b"version: 1\nsite: {name: " + b"word " * 100_000 + b", zone: 1}\n", 2, "zone"),
        (b"version: 1\n? " + b"k" * 2000 + b"\n: 1\n", 2, "is not a known key"),
    ],
)
def test_text_that_is_something_else(
    content: bytes, line: int | None, part: str, tmp_path: Path
) -> None:
    """A picture, another encoding, terminal colours, tags of other programs, endless digits."""
    found = problems_of(content, tmp_path)
    assert [problem.line for problem in found if part in str(problem)][:1] == [line], found


@pytest.mark.parametrize("made", ["\r\n", "\r", "\ufeff"])
def test_what_editors_on_other_systems_write_is_taken(made: str, tmp_path: Path) -> None:
    """Line ends of other systems, and a byte order mark."""
    text = made + GOOD if made == "\ufeff" else GOOD.replace("\n", made)
    file = tmp_path / "deployment.yaml"
    file.write_bytes(text.encode())
    assert list(read(file).deployment.cameras) == ["door"]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999"])
def test_numbers_that_are_none(value: str, tmp_path: Path) -> None:
    """As a rate and as a coordinate."""
    camera = f"sample: {{max_fps: {value}}}, lines: {{sill: {{from: [0, {value}], to: [1, 1]}}}}"
    found = problems_of(f"{GOOD[:-3]}, {camera}}}}}\n", tmp_path)
    assert [problem.path for problem in found] == [
        "cameras.door.sample.max_fps",
        "cameras.door.lines.sill.from.1",
    ]
    assert all("must be a number" in problem.message for problem in found)


def test_a_hundred_thousand_mistakes(tmp_path: Path) -> None:
    """The first five hundred are told, and how many more there are."""
    text = GOOD + "".join(f"k{number}: 1\n" for number in range(50_000))
    found = problems_of(text, tmp_path)
    assert len(found) == 501
    assert "about 49500 more problems are not shown" in found[0].message


def test_half_a_megabyte_of_unfinished_references(tmp_path: Path) -> None:
    """They are read once, not once for each of them."""
    text = f"{GOOD}site: {{name: '{'${A:-' * 100_000}'}}\n"
    (problem,) = problems_of(text, tmp_path)
    assert "is not a valid reference" in problem.message


def test_a_variable_that_is_not_text() -> None:
    """Bytes of another encoding in the environment."""
    environment = {"SHOP": os.fsdecode(b"K\xe4se")}
    with pytest.raises(ConfigError, match="SHOP is not UTF-8 text"):
        parse(GOOD + "site: {name: '${SHOP}'}\n", environment=environment)


def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    """Reading it ends after a deadline, whether nobody has opened it or somebody keeps it open."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UnreadableTextError, match=r"did not end within 0\.05 s"):
        read_text_file(pipe, 100, patience_s=0.05)
    writer = os.open(pipe, os.O_RDWR)
    try:
        os.write(writer, b"version: 1")
        with pytest.raises(UnreadableTextError, match=r"did not end within 0\.05 s"):
            read_text_file(pipe, 100, patience_s=0.05)
    finally:
        os.close(writer)


def test_a_pipe_that_delivers() -> None:
    """`check <(make-config)` is an honest use."""
    reader, writer = os.pipe()
    os.write(writer, GOOD.encode())
    os.close(writer)
    try:
        assert read_text_file(Path(f"/dev/fd/{reader}"), 1000) == GOOD
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("path", "part"),
    [("/dev/zero", "is a device"), ("/", "is a folder"), ("/proc/self/mem", "cannot read")],
)
def test_a_path_that_is_no_file(path: str, part: str, tmp_path: Path) -> None:
    """As the deployment, included, as a secret and as a truth file."""
    with pytest.raises(ConfigError, match=part):
        read(path)
    included = f"{GOOD}include: {path}\n"
    where = "no file matches" if path == "/" else part
    assert any(where in p.message for p in problems_of(included, tmp_path))
    secret = f"{GOOD}sinks: {{hook: {{type: webhook, url_file: {path}}}}}\n"
    assert any(part in p.message for p in problems_of(secret, tmp_path))
    with pytest.raises(ConfigError, match=r"cannot be read|is a "):
        read_truth(Path(path))


def test_files_that_include_themselves(tmp_path: Path) -> None:
    """By name, by a link to itself, by a link that leads in a circle, and by an included file."""
    (tmp_path / "link.yaml").symlink_to("deployment.yaml")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "other.yaml").write_text("include: deployment.yaml\ncameras: {}\n")
    for name, part in {
        "deployment.yaml": "matches this file itself",
        "link.yaml": "matches this file itself",
        "circle.yaml": "symbolic links",
        "other.yaml": "belongs in the deployment file",
    }.items():
        (problem,) = problems_of(f"{GOOD}include: {name}\n", tmp_path)
        assert part in problem.message.lower(), name


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[" * DEEP, "nested too deep"),
        ('{"lines":' * DEEP, "nested too deep"),
        ("9" * 5000, "is not valid JSON"),
        ("\x00\x00", "UTF-16"),
        ("", "is not valid JSON"),
        ('{"lines": [{"name": "a", "in": NaN, "out": 1}]}', "in"),
        ('{"lines": [{"name": "a", "in": 1e999, "out": 1}]}', "in"),
        ('{"lines": 5}', "lines"),
        ('{"lines": [5]}', "lines"),
        ('{"lines": [{"name": {"a": 1}, "in": 1, "out": 1}]}', "name"),
    ],
)
def test_a_truth_file_that_is_none(content: str, part: str, tmp_path: Path) -> None:
    """The manual counts of an evaluation come through the same door."""
    truth = tmp_path / "truth.json"
    truth.write_text(content)
    with pytest.raises(ConfigError, match=part):
        read_truth(truth)


def test_recorded_tracks_nested_too_deep(tmp_path: Path) -> None:
    """What `render` is given may be any file."""
    tracks = tmp_path / "tracks.jsonl"
    tracks.write_text("[" * DEEP + "\n")
    with pytest.raises(ConfigError, match="line 1"):
        list(read_recording(tracks, "door"))


@pytest.mark.parametrize(
    ("answers", "part"),
    [
        ("[" * 100, "levels deep"),
        ("{people: 5}", "must be a list"),
        ("{people: [[[0.1, 0.2, 7, 0.4]]]}", "0..1"),
        ("{people: [[[.nan, 0.2, 0.3, 0.4]]]}", "number"),
        ("[people]", "must be a map"),
    ],
)
def test_scripted_answers_that_are_none(answers: str, part: str, tmp_path: Path) -> None:
    """An engine's lists are checked like everything else."""
    text = f"{GOOD}engines: {{pretend: {{type: scripted, answers: {answers}}}}}\n"
    assert any(part in problem.message for problem in problems_of(text, tmp_path))
