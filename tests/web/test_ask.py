"""Questions about the picture that is seen, answered by the run's own engine."""

import base64
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.core.clock import SystemClock
from pipeline.core.people import Role
from pipeline.core.tasks import Detect
from pipeline.deployment.loader import load
from pipeline.testing import wait_until
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.live.asking import AskedPicture, AskKind, asked, engine_for
from pipeline.web.live.wall import way_out_of
from pipeline.web.problems import WebError
from tests.web.applications import ADMIN, Application, application
from tests.web.houses import shop_file
from tests.web.live import ASKED, camera, deployment, running, watching


@pytest.fixture(scope="module", name="running_app")
def _running_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """A run and the application in one process."""
    with camera() as url:
        file = deployment(tmp_path_factory.mktemp("ask"), url, "door", "till")
        with running(file) as run, application(file, queues=run.queues) as app:
            yield app


@pytest.fixture
def app(running_app: Application) -> Iterator[Application]:
    """The application, visited by an admin again after the test."""
    yield running_app
    running_app.doors.who = ADMIN


def ask(app: Application, **changes: Any) -> Any:
    """The answer to a question."""
    question = {"camera": "door", "kind": "detect", "words": "red  bag", **changes}
    return app.client.post("/ask", json=question)


def test_the_answer_is_about_the_very_frame_that_is_looked_at(app: Application) -> None:
    """It comes with that picture, and is noted."""
    with watching(app.url) as seen:
        seen.show("door", width=480)
        seen.until(lambda: len(seen.pictures) >= 2)
        looked_at = seen.pictures[-1]
        run, seq = looked_at.place
        said = ask(app, run=run, seq=seq).json()
        assert (said["run"], said["seq"]) == (run, seq)
        assert said["answer"]["boxes"] == [ASKED]
        assert said["engine"] == "pretend"
        assert base64.b64decode(said["jpeg"]) == looked_at.jpeg
        assert said["captured_at"] == pytest.approx(looked_at.header["captured_at"], abs=0.001)
        assert ("ada", "asked about a picture", "door") in app.journal.notes
        newest = ask(app, run="gone", seq=1).json()
        assert newest["seq"] is not None
        assert newest["run"] == run


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"words": "   "}, 422, "say in words"),
        ({"words": ""}, 422, "words"),
        ({"words": "x" * 301}, 422, "words"),
        ({"kind": "dream"}, 422, "kind"),
        ({"camera": "nowhere"}, 404, "nowhere"),
        ({"event": "nothing"}, 404, "no picture of this event"),
    ],
)
def test_what_cannot_be_asked_is_said(
    app: Application, changes: dict[str, Any], status: int, said: str
) -> None:
    """In a sentence."""
    refused = ask(app, **changes)
    assert refused.status_code == status
    assert said in refused.json()["error"]["message"]


def test_an_engine_of_eighty_names_says_the_way_out(tmp_path: Path) -> None:
    """What it cannot be asked, what is near, which engine can, and what makes that one be asked."""
    file = deployment(tmp_path, "http://127.0.0.1:9", engines={"pretend": {"type": "coco"}})
    shop = load(file, [])
    assert engine_for(shop, "plaza", "detect", "person").engine == "pretend"
    kinds: dict[AskKind, str] = {
        "detect": "engine pretend: 'red bag' is not one of the coco engine's 80 names",
        "ask": "engine pretend: the coco engine finds things and cannot answer 'ask'",
    }
    for kind, said in kinds.items():
        with pytest.raises(WebError) as refused:
            engine_for(shop, "plaza", kind, "red bag")
        message = str(refused.value)
        assert message.startswith(said)
        assert "moondream" in message
        assert message.endswith("to ask another, add it under `engines:` and a task with it")


def test_only_who_may_see_a_camera_may_ask_about_it(app: Application) -> None:
    """And he does not learn whether it exists."""
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    assert ask(app).status_code == 404
    app.doors.who = Visitor("kiosk", frozenset({Permission.MEDIA}))
    assert ask(app).status_code == 403


def test_without_a_running_engine_it_says_so(tmp_path: Path) -> None:
    """Another process has the engine, and nothing connects them; the wall says the same."""
    file = deployment(tmp_path, "http://127.0.0.1:9", "door")
    with application(file) as app:
        assert app.client.get("/live/cameras").json()["why_not"].startswith("Live pictures need")
        refused = ask(app)
        assert refused.status_code == 503
        message = refused.json()["error"]["message"]
        assert message.endswith("type: `moonwatch run FILE --set web.listen=:8090`")
        with watching(app.url) as seen:
            seen.show("door")
            seen.until(lambda: bool(seen.texts))
            assert "Redis" in seen.texts[-1]["trouble"]
        missing = app.client.get("/cameras/door/picture")
        assert missing.status_code == 404
        assert "snapshot: true" in missing.json()["error"]["message"]


def test_who_watches_is_noted_and_let_go_with_a_sentence(tmp_path: Path) -> None:
    """Once for each camera that the file has; also where a proxy lets nobody of his in any more."""
    file = deployment(tmp_path, "http://127.0.0.1:9", "door", "till")
    with application(file) as app, watching(app.url) as seen:
        seen.show("door", "nowhere")
        seen.show("door")
        seen.show("till", "door")
        noted = app.journal.notes
        seen.until(lambda: len(noted) >= 2)
        assert [note[1:] for note in noted] == [
            ("looked at live pictures", "door"),
            ("looked at live pictures", "till"),
        ]

        def refuses(_: object) -> None:
            raise WebError(403, "eve is in no group that may use the application")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app.doors, "visitor", refuses)
            seen.until(lambda: seen.closed is not None)
        assert seen.closed == 4403
        assert "in no group" in (seen.socket.close_reason or "")


def test_a_kept_picture_stands_in_where_nothing_is_live(product: Path) -> None:
    """With its own time, and with the masks of today filled."""
    with application(product) as app:
        picture = app.client.get("/cameras/plaza/picture")
        assert picture.status_code == 200
        assert float(picture.headers["X-Captured-At"]) > 1_700_000_000
        assert app.journal.notes == [("ada", "looked at a picture", "plaza")]
        shown = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        refused = ask(app, camera="plaza", words="person")
        assert refused.status_code == 503, refused.text


def test_a_question_does_not_outlive_the_application(tmp_path: Path) -> None:
    """Nobody answers it, and it would be waited for much longer."""
    clock = SystemClock()
    queues = MemoryConfig().build(clock)
    _, jpeg = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))
    file = deployment(tmp_path, "http://127.0.0.1:9", "door")
    with application(file, queues=queues) as app, ThreadPoolExecutor(1) as threads:
        wall = app.state.live
        assert wall is not None
        task = Detect("visitor", "pretend", "person")
        picture = AskedPicture(jpeg.tobytes(), clock.now())
        answer = threads.submit(asked, wall, ADMIN, clock, "door", task, picture)
        wait_until(lambda: bool(queues.jobs.backlog()))
        wall.stop()
        with pytest.raises(WebError, match="the application ends"):
            answer.result()


def test_the_way_out_is_a_command_that_works(tmp_path: Path) -> None:
    """As the file was typed; a run of recordings alone would be over before anybody can ask."""
    live = load(deployment(tmp_path, "http://127.0.0.1:9", "door"))
    assert way_out_of(live, Path("my shops/a.yaml"), ADMIN).endswith(
        "`moonwatch run 'my shops/a.yaml' --set web.listen=:8090`"
    )
    told = way_out_of(load(shop_file(tmp_path)), Path("shop.yaml"), ADMIN)
    command = shlex.split(told.split("`")[1])
    assert command[:3] == ["moonwatch", "run", "shop.yaml"]
    again = load(shop_file(tmp_path), [one for one in command[3:] if one != "--set"])
    assert again.web.listen == ":8090"
    assert not again.cameras["door"].source.is_finite
    listening = load(shop_file(tmp_path, "web: {listen: ':8091'}\n"))
    assert "web.listen" not in way_out_of(listening, None, ADMIN)
