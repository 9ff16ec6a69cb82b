"""Pictures and clips by the id of what happened."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.core.errors import StoreError
from pipeline.core.store import Commit
from pipeline.web.access.permissions import Permission, Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.happened import BEGAN_AT, clip_is_ready, crossing, keep, shop, store_of, with_clip

_CLIP = bytes(range(256)) * 40


@dataclass
class _Shown:
    app: Application
    id: str
    waiting: str
    bare: str
    picture: bytes


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[_Shown]:
    """A crossing with a picture and a clip, one whose clip is not ready, and one with neither."""
    path = shop(tmp_path)
    store = store_of(path)
    event, wish = with_clip(crossing(1, BEGAN_AT, picture=True))
    later, second = with_clip(crossing(2, BEGAN_AT + 9))
    bare = crossing(3, BEGAN_AT + 20)
    pixels = np.random.default_rng(3).integers(0, 255, (180, 320, 3), np.uint8)
    picture = cv2.imencode(".jpg", pixels)[1].tobytes()
    store.commit(Commit(events=[event, later], clips=[wish, second]))
    keep(store, [bare])
    clip_is_ready(store, wish, len(_CLIP))
    store.close()
    with application(path) as app:
        app.state.media.put(event.media[0], picture)
        file = app.state.media.path(wish.reference)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_CLIP)
        yield _Shown(app, event.id, later.id, bare.id, picture)


def test_a_picture_is_shown_and_noted(shown: _Shown) -> None:
    """Whole, smaller for lists, and not again where the browser has it."""
    client = shown.app.client
    answer = client.get(f"/events/{shown.id}/picture")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.content == shown.picture
    assert "no-cache" in answer.headers["Cache-Control"]
    same = client.get(
        f"/events/{shown.id}/picture", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (same.status_code, same.content) == (304, b"")
    small = client.get(f"/events/{shown.id}/picture", params={"width": 160})
    pixels = cv2.imdecode(np.frombuffer(small.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (90, 160, 3)
    kept = client.get(f"/events/{shown.id}/picture", params={"download": True})
    assert kept.headers["Content-Disposition"].startswith("attachment;")
    actions = [note[1] for note in shown.app.journal.notes]
    assert actions == ["looked at a picture", "downloaded a picture"]
    card = client.get(f"/events/{shown.id}").json()
    assert (card["event"]["pictures"], card["event"]["has_clip"]) == (1, True)
    assert card["event"]["box"] == [0.4, 0.3, 0.5, 0.8]
    assert (card["clip"]["state"], card["clip"]["parts"]) == ("ready", 1)
    assert card["clip"]["since"] == BEGAN_AT - 3


def test_a_player_seeks_in_a_clip(shown: _Shown) -> None:
    """It asks for parts, and is noted once."""
    client, path = shown.app.client, f"/events/{shown.id}/clip"
    whole = client.get(path)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "video/mp4")
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.content == _CLIP
    part = client.get(path, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(_CLIP)}"
    assert part.content == _CLIP[100:200]
    last = client.get(path, headers={"Range": "bytes=-10"})
    assert last.content == _CLIP[-10:]
    beyond = client.get(path, headers={"Range": f"bytes={len(_CLIP)}-"})
    assert beyond.status_code == 416
    tag = whole.headers["ETag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    other = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert client.get(path, headers=other).status_code == 200
    assert [note[1] for note in shown.app.journal.notes] == ["looked at a clip"]


def test_what_cannot_be_shown_is_said(shown: _Shown) -> None:
    """Why there is none; no path of any file is ever taken."""
    client = shown.app.client
    for asked, words in (
        (f"{shown.waiting}/clip", "some seconds after"),
        (f"{shown.bare}/clip", "keeps none"),
        (f"{shown.bare}/picture", "no such picture"),
        (f"{shown.id}/picture?nth=2", "no such picture"),
        (f"{shown.id}/clip?part=2", "no such clip"),
        ("..%2f..%2fmoonwatch.db/picture", "nothing at"),
        ("door%2f2026-05-28%2fx.jpg/picture", "nothing at"),
        ("x" * 300 + "/clip", "no event"),
    ):
        answer = client.get(f"/events/{asked}")
        assert answer.status_code == 404
        assert words in answer.json()["error"]["message"]
    shown.app.state.media.path(f"door/2026-05-28/{shown.id}.jpg").unlink()
    answer = client.get(f"/events/{shown.id}/picture")
    assert "no longer there" in answer.json()["error"]["message"]


def test_media_are_for_those_who_may_see_them(shown: _Shown) -> None:
    """Of this camera, with the right to media; nobody else learns that there are any."""
    app, paths = shown.app, ("picture", "clip")
    for who, status in (
        (None, 401),
        (Visitor("a token", frozenset({Permission.LOOK})), 403),
        (Visitor.of_role("eve", Role.VIEWER, ["till"]), 404),
        (Visitor.of_role("eve", Role.VIEWER, ["door"]), 200),
    ):
        app.doors.who = who
        for path in paths:
            assert app.client.get(f"/events/{shown.id}/{path}").status_code == status


def test_nothing_is_shown_that_cannot_be_noted(
    shown: _Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not when it is asked for again."""

    def fails(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(shown.app.journal, "note", fails)
    shown.app.doors.who = Visitor.of_role("nora", Role.VIEWER)
    path = f"/events/{shown.id}/picture"
    assert [shown.app.client.get(path).status_code for _ in range(2)] == [503, 503]
    monkeypatch.undo()
    assert shown.app.client.get(path).status_code == 200
    assert shown.app.journal.notes[-1] == ("nora", "looked at a picture", f"door {shown.id}")
