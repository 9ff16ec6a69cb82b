"""What the application says of a deployment, to whom."""

from pathlib import Path

import pytest

from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import application

_FILE = """
version: 1
site: {name: Shop, timezone: Europe/Berlin}
store: {url: "sqlite:///FOLDER/moonwatch.db"}
cameras:
  door:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
    lines: {sill: {from: [0.5, 0.1], to: [0.5, 0.9]}}
    rules: {in: {type: line_crossing, of: people, line: sill}}
  till:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A deployment with two cameras."""
    path = tmp_path / "shop.yaml"
    path.write_text(_FILE.replace("FOLDER", str(tmp_path)))
    return path


def test_the_site_is_what_the_visitor_may_see_of_it(file: Path) -> None:
    """A viewer of one camera sees that one alone; whoever is unknown sees nothing."""
    with application(file) as app:
        told = app.client.get("/site").json()
        assert (told["name"], told["timezone"]) == ("Shop", "Europe/Berlin")
        assert [camera["name"] for camera in told["cameras"]] == ["door", "till"]
        # Nothing was seen of these recordings yet.
        assert told["recorded_until"] is None
        assert told["cameras"][0]["rules"] == {"in": "line_crossing"}
        app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
        told = app.client.get("/site").json()
        assert [camera["name"] for camera in told["cameras"]] == ["till"]
        assert "edit" not in told["permissions"]
        app.doors.who = None
        refused = app.client.get("/site")
        assert refused.status_code == 401
        assert refused.json()["error"]["message"] == "sign in first"


def test_a_changed_file_is_seen(file: Path) -> None:
    """A version with mistakes is told and not used."""
    with application(file) as app:
        text = file.read_text()
        file.write_text(text.replace("till:", "counter:"))
        app.state.file.look_now()
        told = app.client.get("/site").json()
        assert [camera["name"] for camera in told["cameras"]] == ["door", "counter"]
        file.write_text(text.replace("detect: person", "detekt: person"))
        app.state.file.look_now()
        assert app.state.file.problems
        told = app.client.get("/site").json()
        assert [camera["name"] for camera in told["cameras"]] == ["door", "counter"]


def test_what_is_not_there_is_said(file: Path) -> None:
    """In the shape of all refusals."""
    with application(file) as app:
        answer = app.client.get("/nothing")
        assert answer.status_code == 404
        assert "nothing" in answer.json()["error"]["message"]
