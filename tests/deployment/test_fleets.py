"""A deployment in several files, and cameras at several sites."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from pipeline.cli.main import app_for
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.explain import explain_data
from pipeline.deployment.json_schema import json_schema
from pipeline.deployment.loader import Loaded, read

MAIN = """\
version: 1
site: {name: Head office, timezone: Europe/Berlin}
include: cameras/*.yaml
defaults: {sample: {every: 1s, max_side: 640}}
sites:
  north: {name: North, timezone: Europe/Oslo}
"""
NORTH = """\
x-line: &line {from: [0, 0.5], to: [1, 0.5]}
defaults:
  site: north
  sample: {every: 2s}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://${CAMERA}/1", username: u, password_file: PASSWORD}
    tasks: {people: {detect: person}}
    lines: {step: *line}
    rules: {in: {type: line_crossing, of: people, line: step}}
"""
SOUTH = """\
cameras:
  yard:
    source: {type: rtsp, url: rtsp://yard/1}
    tasks: {people: {detect: person}}
    rules: {busy: {type: occupancy, of: people}}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""
ENVIRONMENT = {"CAMERA": "door.local"}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a deployment of three files, with some of them changed; returns the first."""
    (tmp_path / "cameras").mkdir()
    (tmp_path / "password").write_text("hunter2")

    def write(main: str = MAIN, **changed: str | bytes | None) -> Path:
        files: dict[str, str | bytes | None] = {"north": NORTH, "south": SOUTH, **changed}
        for name, content in files.items():
            path = tmp_path / "cameras" / f"{name}.yaml"
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif content is not None:
                path.write_text(content.replace("PASSWORD", str(tmp_path / "password")))
        (tmp_path / "shop.yaml").write_text(main)
        return tmp_path / "shop.yaml"

    return write


def loaded(file: Path, *overrides: str) -> Loaded:
    """The deployment that the files describe."""
    return read(file, overrides, ENVIRONMENT)


def refused(file: Path, *overrides: str) -> list[Problem]:
    """The problems that the files are refused for."""
    with pytest.raises(ConfigError) as raised:
        loaded(file, *overrides)
    return list(raised.value.problems)


def test_files_are_read_as_one_deployment(write: Write) -> None:
    """Cameras and sinks of all files; defaults of a file before those of the deployment file."""
    deployment = loaded(write()).deployment
    assert list(deployment.cameras) == ["door", "yard"]
    assert list(deployment.sinks) == ["log"]
    every = {name: c.sample.interval_s for name, c in deployment.cameras.items()}
    assert every == {"door": 2.0, "yard": 1.0}
    assert {c.sample.max_side for c in deployment.cameras.values()} == {640}


def test_the_included_files_may_hold_all_cameras_or_some(write: Write) -> None:
    """What the deployment file holds itself comes first."""
    own = MAIN + "cameras:\n  lab: {source: {type: file, path: lab.mp4}}\n"
    assert list(loaded(write(own)).deployment.cameras) == ["lab", "door", "yard"]


def test_globs_are_relative_to_the_file_that_says_them(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever moonwatch is started; a variable may be part of one."""
    file = write(MAIN.replace("cameras/*.yaml", '["${FLEET}/north.yaml", cameras/south.yaml]'))
    monkeypatch.chdir("/")
    fleet = read(file, (), {**ENVIRONMENT, "FLEET": str(tmp_path / "cameras")}).deployment
    assert list(fleet.cameras) == ["door", "yard"]


def test_values_are_set_after_the_files_are_read(write: Write) -> None:
    """Also those of an included file; and which files there are."""
    file = write()
    assert loaded(file, "cameras.yard.sample.every=9s").deployment.cameras["yard"].sample.every
    (name,) = loaded(file, "include=cameras/s*.yaml", "sites={}").deployment.cameras
    assert name == "yard"


def test_an_origin_names_its_file(write: Write) -> None:
    """`explain` shows where to look."""
    origins = explain_data(loaded(write()))["origins"]
    expected = {
        "site.name": "line 2",
        "cameras.door.source.url": "cameras/north.yaml line 7, from ${CAMERA}",
        "cameras.door.sample.every": "cameras/north.yaml line 4 (defaults)",
        "cameras.door.lines.step.from": "cameras/north.yaml line 1",
        "cameras.yard.sample.every": "line 4 (defaults)",
        "cameras.yard.rules.busy.of": "cameras/south.yaml line 5",
    }
    assert {path: origins[path] for path in expected} == expected


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("south", "person", "persn", "cameras.yard.tasks.people (cameras/south.yaml line 4)"),
        ("south", "of: people", "of: p", "cameras.yard.rules.busy.of (cameras/south.yaml line 5)"),
        ("south", "busy", "b/y", "cameras.yard.rules.b/y (cameras/south.yaml line 5)"),
        ("south", "path", "pth", "sinks.log.pth (cameras/south.yaml line 7)"),
        ("north", "CAMERA", "CAM", "cameras.door.source.url (cameras/north.yaml line 7)"),
        ("north", "every: 2s", "every: 2", "defaults.sample.every (cameras/north.yaml line 4)"),
        ("north", "PASSWORD", "/no", "cameras.door.source.password_file (cameras/north.yaml line"),
        ("north", "site: north", "site: nrth", "cameras.door.site (cameras/north.yaml line 3)"),
        ("north", "cameras:", "cameras:\n\t", "cameras/north.yaml line 6: is not valid YAML"),
        ("north", "cameras:", "camera:", "camera (cameras/north.yaml line 5): is not a known key"),
        ("south", "sinks:", "queue:", "queue (cameras/south.yaml line 6): belongs in the deploy"),
        ("south", "cameras:", "version: 1\ncameras:", "version (cameras/south.yaml line 1): belo"),
        ("south", "cameras:", "site: {}\ncameras:", "site (cameras/south.yaml line 1): belongs"),
        ("south", "cameras:", "include: x\ncameras:", "include (cameras/south.yaml line 1): be"),
    ],
)
def test_a_mistake_names_its_file_and_line(
    write: Write, name: str, old: str, new: str, told: str
) -> None:
    """Whatever kind of mistake it is; one problem for one mistake."""
    content = {"north": NORTH, "south": SOUTH}[name].replace(old, new, 1)
    found = [str(problem) for problem in refused(write(**{name: content}))]
    assert [told in text for text in found] == [True], found


def test_a_name_given_twice_names_both_places(write: Write) -> None:
    """Whichever two files they are."""
    own = MAIN + "cameras:\n  yard: {source: {type: file, path: x.mp4}}\n"
    again = SOUTH.replace("log:", "door:").replace("yard:", "door:")
    first, second = refused(write(own)), refused(write(south=again))
    assert [str(problem) for problem in first] == [
        "cameras.yard (cameras/south.yaml line 2): is defined twice, in the deployment file, line "
        "8 and in cameras/south.yaml line 2; rename one"
    ]
    assert ["cameras/north.yaml line 6 and in cameras/south.yaml" in str(p) for p in second] == [
        True
    ]


@pytest.mark.parametrize(
    ("include", "part"),
    [
        ("nothing/*.yaml", "no file matches nothing/*.yaml (relative to"),
        ("'*.yaml'", "matches this file itself"),
        ("[]", "is missing: the cameras"),
        ("{a: b}", "must be a file or a glob such as cameras/*.yaml"),
        ("'${NOBODY}'", "NOBODY is not set"),
    ],
)
def test_a_glob_that_finds_nothing_is_a_problem(write: Write, include: str, part: str) -> None:
    """So that a fleet that was moved is not taken for a small one."""
    problems = refused(write(MAIN.replace("cameras/*.yaml", include)))
    assert [part in problem.message for problem in problems] == [True], problems


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"\xff\xfe\x00", "is not UTF-8"), (b"- a", "must be a map with the keys")],
)
def test_a_file_that_holds_no_cameras_is_a_problem(write: Write, content: bytes, part: str) -> None:
    """Of which nothing else follows: the sites and names in it are not called missing."""
    (problem,) = refused(write(south=content))
    assert (problem.file, part in problem.message) == ("cameras/south.yaml", True)


def test_an_empty_file_includes_nothing(write: Write) -> None:
    """It may be about to be written."""
    assert list(loaded(write(south="# soon\n")).deployment.cameras) == ["door"]


def test_machines_are_told_the_file_too(write: Write) -> None:
    """`check --json`."""
    file = write(south=SOUTH.replace("rtsp://yard/1", "http://yard/1"))
    done = CliRunner().invoke(app_for(["check"]), ["check", str(file), "--json"], env=ENVIRONMENT)
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["file"], problem["line"]) == ("cameras/south.yaml", 3)


def test_a_camera_is_at_its_site(write: Write) -> None:
    """One that names none is at the deployment's own, as is one that is not there any more."""
    deployment = loaded(write()).deployment
    sites = {name: deployment.site_of(name).timezone for name in ("door", "yard", "gone")}
    assert sites == {"door": "Europe/Oslo", "yard": "Europe/Berlin", "gone": "Europe/Berlin"}
    assert deployment.site_names() == {"door": "North"}


def test_a_site_without_cameras_is_a_warning(write: Write) -> None:
    """It may be a name that was changed in one place only."""
    more = MAIN + "  west: {name: West}\n"
    (warning,) = loaded(write(more)).warnings
    assert str(warning) == "sites.west (line 7): no camera is at this site"


def test_everything_that_was_read_is_named(write: Write, tmp_path: Path) -> None:
    """The file, what it includes, and secret files: so that all of them can be watched."""
    assert loaded(write()).files == (
        tmp_path / "shop.yaml",
        tmp_path / "cameras" / "north.yaml",
        tmp_path / "cameras" / "south.yaml",
        tmp_path / "password",
    )


def test_the_digest_names_a_version_of_the_file(write: Write, tmp_path: Path) -> None:
    """Any value changes it, also that of a variable, a secret file or `--set`; comments do not."""
    file = write()
    first = loaded(file).digest
    assert len(bytes.fromhex(first)) == 6
    assert loaded(write(south="# a comment\n" + SOUTH)).digest == first
    others = {
        loaded(file, "cameras.yard.sample.every=3s").digest,
        read(file, (), {"CAMERA": "other.local"}).digest,
        loaded(write(south=SOUTH.replace("busy", "crowded"))).digest,
    }
    write()
    (tmp_path / "password").write_text("hunter3")
    others.add(loaded(file).digest)
    assert len({first, *others}) == 5


def test_the_schema_takes_a_file_that_includes_others() -> None:
    """With its cameras elsewhere; but not one with neither."""
    validator = Draft202012Validator(json_schema())
    whole = {"version": 1, "include": ["cameras/*.yaml"], "sites": {"north": {"name": "North"}}}
    assert [error.message for error in validator.iter_errors(whole)] == []
    assert list(validator.iter_errors({"version": 1}))
    assert list(validator.iter_errors({"version": 1, "include": {"a": "b"}}))
