"""A camera's lines, zones, masks, rules and tasks are edited in the file, and nothing else is."""

import difflib
import json
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pipeline.core.clock import SystemClock
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import plain
from pipeline.testing import patience
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.deployment_view import DeploymentView
from pipeline.web.editing.editor import camera_file, edited
from pipeline.web.editing.files import KEPT_VERSIONS, versions_of
from pipeline.web.editing.parts import EditedParts
from pipeline.web.problems import WebError
from tests.architecture.source_tree import ROOT
from tests.web.applications import Application, application

_SHOP = """\
# The shop.
version: 1
site: {name: "${SHOP:-shop}", timezone: Europe/Berlin}   # where it is
store: {url: "sqlite:///FOLDER/moonwatch.db"}

x-people: &people {detect: person}

cameras:
  door:  # above the sill
    source: {type: rtsp, url: "rtsp://admin:hunter2@10.0.0.5/stream"}
    sample:
      every: 500ms
    tasks: {people: *people}
    lines:
      # Along the sill.
      sill: {from: [0.05,  0.6], to: [0.95, 0.6]}  # as seen from inside
      'back': {from: ["${X:-0.1}", 0.1], to: [0.2, 0.2]}
    zones:
      till:
        polygon:
          - [0.6, 0.3]   # left
          - [0.95, 0.3]
          # the corner behind the shelf
          - [0.95, 0.55]
          - [0.6, 0.55]
    rules:
      footfall:
        type: line_crossing
        of: people
        line: sill
        names: {in: "entered", out: 'left'}

      crowded: {type: occupancy, of: people, more_than: 4, for: 10s}
  till:
    source: "FOLDER/till.mp4"
    tasks: {people: *people}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A deployment with comments, quotes, an anchor, a variable and a password."""
    path = tmp_path / "shop.yaml"
    path.write_text(_SHOP.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    return path


@pytest.fixture
def app(file: Path) -> Iterator[Application]:
    """The application of it."""
    with application(file) as running:
        yield running


def _edit(app: Application, camera: str = "door", **parts: Any) -> dict[str, Any]:
    now = app.client.get(f"/edit/cameras/{camera}").json()
    return {"camera": camera, "base": now["base"], **parts}


def _changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    changed = [one for one in difflib.ndiff(old, new) if one[0] in "-+"]
    return [one[2:] for one in changed if one[0] == "-"], [
        one[2:] for one in changed if one[0] == "+"
    ]


def test_a_line_is_moved_and_every_other_byte_stays(app: Application, file: Path) -> None:
    """The diff, what begins anew, the version that is kept, and the journal."""
    before = file.read_bytes()
    file.chmod(0o640)
    now = app.client.get("/edit/cameras/door").json()
    assert now["lines"]["back"] == {"from": ["${X:-0.1}", 0.1], "to": [0.2, 0.2]}
    assert (now["file"], now["read_only"]) == ("shop.yaml", None)
    lines = {**now["lines"], "sill": {"from": [0.05, 0.6], "to": [0.9, 0.65]}}
    told = app.client.post("/edit/preview", json=_edit(app, lines=lines)).json()
    assert (told["added"], told["removed"], told["problems"]) == (1, 1, [])
    assert (
        "-      sill: {from: [0.05,  0.6], to: [0.95, 0.6]}  # as seen from inside\n"
        in (told["diff"])
    )
    assert (
        "+      sill: {from: [0.05,  0.6], to: [0.9, 0.65]}  # as seen from inside\n"
        in (told["diff"])
    )
    (anew,) = told["begins_anew"]
    assert (anew["rule"], anew["kind"], anew["changed"]) == (
        "footfall",
        "edited",
        "line sill was moved",
    )
    assert file.read_bytes() == before
    saved = app.client.post("/edit/save", json=_edit(app, lines=lines))
    assert saved.status_code == 200, saved.text
    assert file.read_bytes() == before.replace(b"to: [0.95, 0.6]}", b"to: [0.9, 0.65]}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    ((_, kept),) = versions_of(file)
    assert kept.read_bytes() == before
    assert ("ada", "edited a camera", "door") in app.journal.notes
    assert app.state.deployment.cameras["door"].lines["sill"].to == (0.9, 0.65)
    assert saved.json()["reload"]["processes"] == []
    for number in range(KEPT_VERSIONS + 3):
        lines["sill"]["to"] = [0.9, number / 100]
        answer = app.client.post("/edit/save", json=_edit(app, lines=lines))
        assert answer.status_code == 200, answer.text
    assert len(versions_of(file)) == KEPT_VERSIONS


def test_all_parts_are_edited_where_they_are_written(app: Application, file: Path) -> None:
    """Added, changed and removed at once; comments stay, also inside of what is changed."""
    before = file.read_text()
    now = app.client.get("/edit/cameras/door").json()
    zones = now["zones"]
    zones["till"]["polygon"].insert(2, [0.97, 0.4])
    rules = now["rules"]
    del rules["crowded"]
    rules["footfall"]["names"]["in"] = "came in: yes"
    rules["wait"] = {"type": "dwell", "of": "people", "zone": "till", "longer_than": "30s"}
    request = _edit(
        app,
        zones=zones,
        rules=rules,
        masks=[[[0, 0], [0.1, 0], [0.1, 0.1]]],
        tasks={"people": {"detect": "person"}, "cars": {"detect": "car"}},
    )
    answer = app.client.post("/edit/save", json=request)
    assert answer.status_code == 200, answer.text
    gone, come = _changed_lines(before, file.read_text())
    assert [line.strip() for line in gone] == [
        "tasks: {people: *people}",
        "names: {in: \"entered\", out: 'left'}",
        "crowded: {type: occupancy, of: people, more_than: 4, for: 10s}",
    ]
    assert "    tasks: {people: *people, cars: {detect: car}}" in come
    assert "          - [0.97, 0.4]" in come
    assert "        names: {in: \"came in: yes\", out: 'left'}" in come
    assert "      wait: {type: dwell, of: people, zone: till, longer_than: 30s}" in come
    assert "      masks: [[[0, 0], [0.1, 0], [0.1, 0.1]]]" in come
    assert "          # the corner behind the shelf" in file.read_text().splitlines()
    again = app.client.get("/edit/cameras/door").json()
    assert again["zones"] == zones
    assert again["rules"] == rules
    assert list(again["tasks"]) == ["people", "cars"]


def test_mistakes_are_those_of_check(app: Application, file: Path) -> None:
    """Each with its path and line; such an edit is not saved."""
    crossing = {"till": {"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}}
    rules = {"footfall": {"type": "line_crossing", "of": "people", "line": "sil"}}
    request = _edit(app, zones=crossing, rules=rules)
    told = app.client.post("/edit/preview", json=request).json()
    found = {problem["path"]: problem for problem in told["problems"]}
    assert "corners in order" in found["cameras.door.zones.till.polygon"]["message"]
    assert "did you mean 'sill'" in found["cameras.door.rules.footfall.line"]["message"]
    assert all(problem["line"] for problem in told["problems"])
    before = file.read_bytes()
    refused = app.client.post("/edit/save", json=request)
    assert refused.status_code == 422
    assert refused.json()["error"]["problems"]
    assert file.read_bytes() == before


def test_what_is_not_a_part_of_the_editor_is_refused(app: Application) -> None:
    """By the model; and no new variable, whose value could be told by an event."""
    others: tuple[dict[str, Any], ...] = ({"source": {"type": "file"}}, {"sinks": {}}, {"x": 1})
    for more in others:
        assert app.client.post("/edit/preview", json=_edit(app, **more)).status_code == 422
    tasks = {"people": {"detect": "${DATABASE_PASSWORD}"}}
    refused = app.client.post("/edit/preview", json=_edit(app, tasks=tasks))
    assert refused.status_code == 422
    assert "may be a secret" in refused.json()["error"]["message"]
    swapped = {"back": {"from": [0.1, 0.1], "to": ["${X:-0.1}", 0.2]}}
    assert app.client.post("/edit/preview", json=_edit(app, lines=swapped)).status_code == 422
    deep: Any = "x"
    for _ in range(12):
        deep = [deep]
    for settings_ in ({"type": deep}, {"type": "x" * 5000}, {f"k{n}": 1 for n in range(900)}):
        request = _edit(app, rules={"footfall": settings_})
        assert app.client.post("/edit/preview", json=request).status_code == 422


def test_no_secret_is_in_any_answer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a password in the file nor the value of a variable, also where a line holds both."""
    monkeypatch.setenv("SHOP", "s3cret-shop")
    monkeypatch.setenv("X", "0.125")
    text = file.read_text()
    flow = text[: text.index("  door:")] + (
        "  door: {source: 'rtsp://admin:hunter2@10.0.0.5/s', tasks: {people: *people}, lines: "
        "{sill: {from: [0.1, 0.1], to: [0.2, 0.2]}}, clips: {before: 2s}}\n"
    )
    for content in (text, flow):
        file.write_text(content)
        with application(file) as app:
            lines = {"sill": {"from": [0.3, 0.3], "to": [0.4, 0.4]}}
            request = _edit(app, lines=lines, rules={})
            answers = [
                app.client.get("/edit/cameras/door"),
                app.client.post("/edit/preview", json=request),
                app.client.post("/edit/save", json=request),
            ]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                assert not any(
                    word in answer.text for word in ("hunter2", "s3cret", "0.125", "10.0.0.5")
                )
            assert "hunter2" in file.read_text()


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(app: Application, file: Path) -> None:
    """Neither by an edit of the version before, nor by two at once."""
    request = _edit(app, masks=[[[0, 0], [0.1, 0], [0.1, 0.1]]])
    file.write_text(file.read_text() + "# by hand\n")
    refused = app.client.post("/edit/save", json=request)
    assert refused.status_code == 409
    assert "was changed meanwhile" in refused.json()["error"]["message"]
    assert file.read_text().endswith("# by hand\n")


def test_a_mounted_config_map_is_not_written(tmp_path: Path, file: Path) -> None:
    """It is a link into a folder that is replaced as a whole; the text to copy is given."""
    version, mount = tmp_path / "mount" / "..2026_11_27", tmp_path / "mount"
    version.mkdir(parents=True)
    (version / "shop.yaml").write_text(file.read_text())
    (mount / "..data").symlink_to(version.name)
    (mount / "shop.yaml").symlink_to("..data/shop.yaml")
    with application(mount / "shop.yaml") as app:
        request = _edit(app, masks=[[[0, 0], [0.1, 0], [0.1, 0.1]]])
        told = app.client.post("/edit/preview", json=request).json()
        assert "config map" in told["read_only"]
        assert "masks: [[[0, 0], [0.1, 0], [0.1, 0.1]]]" in told["text"]
        assert "hunter2" not in told["text"]
        refused = app.client.post("/edit/save", json=request)
        assert refused.status_code == 409
        assert (version / "shop.yaml").read_text() == file.read_text()


def test_a_link_to_a_file_stays_a_link(tmp_path: Path, file: Path) -> None:
    """What it leads to is replaced."""
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc" / "shop.yaml"
    link.symlink_to(file)
    with application(link) as app:
        request = _edit(app, masks=[[[0, 0], [0.1, 0], [0.1, 0.1]]])
        assert app.client.post("/edit/save", json=request).status_code == 200
    assert link.is_symlink()
    assert "masks:" in file.read_text()


_AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from pipeline.web.editing.files import why_read_only
if os.geteuid() == 0:  # root may write everywhere
    os.setuid(65534)
print(why_read_only(Path(sys.argv[1])))
"""


def test_a_folder_that_cannot_be_written_is_said() -> None:
    """Before anything is tried, to whichever user the process belongs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shop.yaml"
        file.write_text("version: 1\n")
        Path(folder).chmod(0o555)
        try:
            command = [sys.executable, "-c", _AS_SOMEBODY_ELSE, str(file)]
            told = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=True
            )
        finally:
            Path(folder).chmod(0o700)
    assert "the folder of shop.yaml cannot be written by this process" in told.stdout


def test_an_included_file_is_edited_where_the_camera_is(tmp_path: Path) -> None:
    """The deployment file stays as it is; what its defaults say is said to be theirs."""
    main, part = tmp_path / "shop.yaml", tmp_path / "cameras" / "door.yaml"
    part.parent.mkdir()
    main.write_text(
        f'version: 1\nstore: {{url: "sqlite:///{tmp_path}/m.db"}}\ninclude: cameras/*.yaml\n'
        "defaults:\n  tasks: {people: {detect: person}}\n"
        "  zones: {all: {polygon: [[0, 0], [1, 0], [1, 1]]}}\n"
    )
    part.write_text("cameras:\n  door:\n    source: door.mp4\n")
    before = main.read_bytes()
    with application(main) as app:
        now = app.client.get("/edit/cameras/door").json()
        assert now["file"] == "cameras/door.yaml"
        assert list(now["zones"]) == ["all"]
        lines = {"sill": {"from": [0.1, 0.1], "to": [0.2, 0.2]}}
        answer = app.client.post("/edit/save", json=_edit(app, lines=lines))
        assert answer.status_code == 200, answer.text
        assert main.read_bytes() == before
        assert part.read_text() == (
            "cameras:\n  door:\n    source: door.mp4\n    lines:\n"
            "      sill: {from: [0.1, 0.1], to: [0.2, 0.2]}\n"
        )
        # One of the defaults can be replaced for this camera, and not be taken away.
        own = {"all": {"polygon": [[0, 0], [1, 0], [0.5, 1]]}}
        assert app.client.post("/edit/save", json=_edit(app, zones=own)).status_code == 200
        assert app.client.get("/edit/cameras/door").json()["zones"] == own
        refused = app.client.post("/edit/save", json=_edit(app, zones={}))
        assert refused.status_code == 409
        assert "`zones.all` comes from `defaults`" in refused.json()["error"]["message"]


def test_what_an_anchor_shares_is_not_changed_for_others(tmp_path: Path) -> None:
    """An edit that would change another camera is refused; an alias is replaced by a value."""
    file = tmp_path / "shop.yaml"
    file.write_text(
        f'version: 1\nstore: {{url: "sqlite:///{tmp_path}/m.db"}}\ncameras:\n'
        "  a:\n    source: a.mp4\n    tasks: {people: {detect: person}}\n"
        "    lines: &lines\n      sill: {from: [0.1, 0.1], to: [0.2, 0.2]}\n"
        "  b:\n    source: b.mp4\n    tasks: {people: {detect: person}}\n    lines: *lines\n"
    )
    lines = {"sill": {"from": [0.1, 0.1], "to": [0.9, 0.9]}}
    with application(file) as app:
        refused = app.client.post("/edit/save", json=_edit(app, "a", lines=lines))
        assert refused.status_code == 409
        assert "anchor" in refused.json()["error"]["message"]
        answer = app.client.post("/edit/save", json=_edit(app, "b", lines=lines))
        assert answer.status_code == 200, answer.text
        assert file.read_text().endswith("lines: {sill: {from: [0.1, 0.1], to: [0.9, 0.9]}}\n")
        assert "sill: {from: [0.1, 0.1], to: [0.2, 0.2]}" in file.read_text()


def test_what_the_command_line_sets_is_not_hidden(file: Path) -> None:
    """An edit that `--set` would win over is refused."""
    with application(file, "cameras.door.lines.sill.to=[0.5, 0.5]") as app:
        now = app.client.get("/edit/cameras/door").json()
        assert now["lines"]["sill"]["to"] == [0.5, 0.5]
        lines = {**now["lines"], "sill": {"from": [0.05, 0.6], "to": [0.1, 0.1]}}
        refused = app.client.post("/edit/preview", json=_edit(app, lines=lines))
        assert refused.status_code == 409
        assert "--set" in refused.json()["error"]["message"]


def test_bombs_are_sentences(app: Application, file: Path) -> None:
    """A file that expands without end, or is too large, is not read."""
    text = file.read_text()
    bomb = "x-0: &a0 [1, 1]\n" + "".join(
        f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    file.write_text(bomb.replace("x-11", "bomb") + text)
    refused = app.client.get("/edit/cameras/door")
    assert refused.status_code == 409
    assert "expand" in refused.json()["error"]["message"]
    file.write_text(text + "# " + "x" * 1024 * 1024)
    refused = app.client.get("/edit/cameras/door")
    assert refused.status_code == 409
    assert "1 MB" in refused.json()["error"]["message"]
    file.write_text(text)
    rules = app.client.get("/edit/cameras/door").json()["rules"]
    large = {"type": "occupancy", "of": "people", "names": ["x" * 4000] * 270}
    refused = app.client.post("/edit/preview", json=_edit(app, rules={**rules, "large": large}))
    assert refused.status_code == 422
    assert "1 MB" in refused.json()["error"]["message"]


def test_who_may_edit(app: Application) -> None:
    """Operators, of the cameras that they see; viewers do not."""
    request = _edit(app)
    app.doors.who = Visitor.of_role("eve", Role.VIEWER)
    for path in ("/edit/cameras/door", "/edit/forms", "/edit/spans?camera=door"):
        assert app.client.get(path).status_code == 403
    assert app.client.post("/edit/preview", json=request).status_code == 403
    assert app.client.post("/simulate", json={"camera": "door"}).status_code == 403
    app.doors.who = Visitor.of_role("otto", Role.OPERATOR, ["till"])
    assert app.client.get("/edit/cameras/door").status_code == 404
    assert app.client.post("/edit/save", json=request).status_code == 404
    assert app.client.get("/edit/cameras/till").status_code == 200


def test_forms_know_the_fields(app: Application) -> None:
    """Their kinds, defaults as they are written, and limits."""
    forms = app.client.get("/edit/forms").json()
    (crossing,) = [form for form in forms["rules"] if form["type"] == "line_crossing"]
    fields = {field["key"]: field for field in crossing["fields"]}
    assert fields["line"]["kind"] == "line"
    assert fields["line"]["required"]
    assert (fields["group_within"]["kind"], fields["group_within"]["default"]) == ("duration", "2s")
    assert fields["margin"]["most"] == 0.25
    assert [one["key"] for one in fields["names"]["fields"]] == ["in", "out"]
    assert all(field["description"] for form in forms["rules"] for field in form["fields"])


_COORDINATE = st.integers(0, 1000).map(lambda n: n / 1000)
_POINT = st.tuples(_COORDINATE, _COORDINATE).map(list)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12)
_NAMES = st.sampled_from(["sill", "back", "till", "new", "yes", "1", "a-b"])
_SETTINGS = st.fixed_dictionaries(
    {"type": st.just("line_crossing"), "of": st.just("people"), "line": st.just("sill")},
    optional={
        "names": st.fixed_dictionaries({}, optional={"in": _TEXT, "out": _TEXT}),
        "margin": st.floats(0.001, 0.25).map(lambda one: round(one, 4)),
        "snapshot": st.booleans(),
        "cooldown": st.integers(1, 90).map(lambda n: f"{n}s"),
    },
)
_LINE = st.fixed_dictionaries({"from": _POINT, "to": _POINT})
_EDITS = st.fixed_dictionaries(
    {},
    optional={
        "lines": st.dictionaries(_NAMES, _LINE, max_size=4),
        "zones": st.dictionaries(
            _NAMES,
            st.fixed_dictionaries({"polygon": st.lists(_POINT, min_size=3, max_size=6)}),
            max_size=3,
        ),
        "masks": st.lists(st.lists(_POINT, min_size=3, max_size=4), max_size=3),
        "rules": st.dictionaries(_NAMES, _SETTINGS, max_size=4),
        "tasks": st.dictionaries(
            _NAMES, st.fixed_dictionaries({"ask": _TEXT.map(lambda t: t.replace("$", ""))})
        ),
    },
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=st.lists(_EDITS, min_size=1, max_size=3))
def test_whatever_is_edited_the_file_says_it_and_keeps_the_rest(
    tmp_path_factory: pytest.TempPathFactory, edits: list[dict[str, Any]]
) -> None:
    """After any edits the camera has what was asked for, and all comments are there."""
    folder = tmp_path_factory.mktemp("edits")
    path = folder / "shop.yaml"
    path.write_text(_SHOP.replace("FOLDER", str(folder)), encoding="utf-8")
    view = DeploymentView(path, (), SystemClock())
    text = path.read_text()
    for parts in edits:
        if "${" in json.dumps(parts):
            continue
        now = camera_file(view, "door")
        wanted = EditedParts.model_validate(parts)
        before = _meaning(text)
        try:
            result = edited(view, now, wanted)
        except WebError as error:
            # What would stay is on no line of its own: a hand finds a place for it.
            event(error.message)
            continue
        after = _meaning(result.text)
        for part, value in parts.items():
            have = after["cameras"]["door"]
            have = have.get("sample", {}) if part == "masks" else have
            assert _floats(have.get(part) or type(value)()) == _floats(value)
        for one in (before, after):
            for part in ("lines", "zones", "rules", "tasks"):
                one["cameras"]["door"].pop(part, None)
            one["cameras"]["door"].get("sample", {}).pop("masks", None)
        assert before == after
        for comment in ("# The shop.", "# where it is", "# above the sill"):
            assert comment in result.text
        if not result.problems:
            path.write_text(result.text, encoding="utf-8")
            text = result.text


def _meaning(text: str) -> dict[str, Any]:
    tree, problems = read_yaml(text)
    assert not problems
    assert tree is not None
    found: dict[str, Any] = plain(tree)
    return found


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_floats(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
