"""The live wall over real HTTP: pictures of a running product, and what was made of them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from pipeline.core.answers import Boxes
from pipeline.core.live import Preview
from pipeline.core.observations import ObservedFrame, frames_of
from pipeline.core.people import Role
from pipeline.runtime.single_process import Run
from pipeline.testing import patience
from pipeline.web.access.visitor import Visitor
from pipeline.web.live.clients import MOST_SHOWN, LiveClient, ShowWish
from pipeline.web.live.hub import MOST_OF_ONE
from tests.web.applications import ADMIN, Application, application
from tests.web.live import (
    MASK,
    SeenPicture,
    Watching,
    camera,
    connected,
    deployment,
    running,
    watching,
)


@dataclass
class Product:
    """A run and the application in one process."""

    app: Application
    run: Run


@pytest.fixture(scope="module", name="product")
def _product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Two cameras at work."""
    with camera() as url:
        file = deployment(tmp_path_factory.mktemp("live"), url, "door", "till")
        with running(file) as run, application(file, queues=run.queues) as app:
            yield Product(app, run)


@pytest.fixture
def app(product: Product) -> Iterator[Application]:
    """The application, visited by an admin again after the test."""
    yield product.app
    product.app.doors.who = ADMIN


def answered(seen: Watching) -> list[SeenPicture]:
    """The pictures that came with an answer."""
    return [one for one in seen.pictures if one.header["answered"] is True]


def kept_frames(app: Application, camera: str) -> dict[tuple[str, int], ObservedFrame]:
    """What is stored of a camera's frames, by run and number."""
    return {
        (frame.result.run, frame.result.seq): frame
        for block in app.state.store.observations(camera)
        for frame in frames_of(block)
    }


def until(fact: Callable[[], bool], within_s: float = 15.0) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + patience(within_s)
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_boxes_belong_to_the_very_frame(app: Application) -> None:
    """What is sent with a picture is what is stored of its run and number, and of no other."""
    with watching(app.url) as seen:
        seen.show("door")
        seen.until(lambda: len(answered(seen)) >= 12)
        sent = answered(seen)[:10]
        seen.until(lambda: kept_frames(app, "door").keys() >= {one.place for one in sent})
        kept = kept_frames(app, "door")
    followed = 0
    for one in sent:
        frame = kept[one.place]
        answer = frame.result.answers["people"]
        assert isinstance(answer, Boxes)
        assert one.header["captured_at"] == pytest.approx(frame.result.captured_at, abs=0.001)
        boxes = one.header["boxes"]
        assert [box[3:7] for box in boxes] == [
            pytest.approx(box, abs=1e-4) for box in answer.boxes_xyxy
        ]
        assert [box[1] for box in boxes] == list(frame.tracks["people"])
        followed += sum(box[1] is not None for box in boxes)
        for label, _, score, *box, state, x, y in boxes:
            assert label == "person"
            assert 0 <= score <= 1
            assert state in ("idle", "counted", "alarm")
            # The feet that rules judge are on the box's lower edge, or where they were last seen.
            assert box[0] - 0.1 <= x <= box[2] + 0.1
            assert 0 <= y <= 1
    assert followed, "nothing was followed"
    assert [one.header["seq"] for one in seen.pictures] == sorted(
        one.header["seq"] for one in seen.pictures
    )


def test_what_rules_make_of_a_thing_is_its_state(app: Application) -> None:
    """Who has crossed the line is counted; who has stood in the zone for too long is an alarm."""

    def states(seen: Watching) -> set[str]:
        return {box[7] for one in seen.pictures for box in one.header["boxes"]}

    with watching(app.url) as seen:
        seen.show("door", "till")
        seen.until(lambda: states(seen) == {"idle", "counted", "alarm"}, 40)
        assert any("stay" in one.header["alarms"] for one in seen.pictures)


def test_a_mask_is_black_in_all_that_is_sent(app: Application) -> None:
    """In every width: nothing that is masked reaches a browser."""
    with watching(app.url) as wide, watching(app.url) as narrow:
        wide.show("door", width=960)
        narrow.show("door", width=160)
        wide.until(lambda: any(one.header["w"] > 320 for one in wide.pictures))
        narrow.until(lambda: any(one.header["w"] == 160 for one in narrow.pictures))
    right, bottom = MASK[2]
    for one in [*wide.pictures, *narrow.pictures]:
        pixels = one.pixels()
        height, width = pixels.shape[:2]
        assert (width, height) == (one.header["w"], one.header["h"])
        # JPEG lightens black beside an edge a little.
        masked = pixels[: int(0.93 * bottom * height), : int(0.93 * right * width)]
        assert int(np.max(masked)) < 48
        assert int(np.max(pixels)) > 100


def test_nothing_is_sent_to_who_shows_nothing(app: Application, product: Product) -> None:
    """A hidden page asks for no camera and gets no picture; a shown one gets its own alone."""
    with watching(app.url) as hidden, watching(app.url) as shown:
        hidden.show("door")
        hidden.until(lambda: bool(hidden.pictures))
        hidden.show()
        shown.show("till")
        shown.until(lambda: len(shown.pictures) >= 3)
        count = len(hidden.pictures)
        before = len(shown.pictures)
        shown.until(lambda: len(shown.pictures) >= before + 5)
        assert len(hidden.pictures) == count
        assert {one.header["camera"] for one in shown.pictures} == {"till"}


def test_nothing_is_made_without_who_watches(app: Application, product: Product) -> None:
    """Once the last has gone, samplers and processors show nothing more."""
    board = product.run.queues.live
    assert board is not None
    with watching(app.url) as seen:
        seen.show("door")
        seen.until(lambda: bool(seen.pictures))
        assert board.watched("door") == 320
    until(lambda: board.watched("door") is None, 30)
    reader = board.reader()
    until(lambda: not reader.take(["door"], 0.0))
    judged = product.run.status().figures["door"].judged
    until(lambda: product.run.status().figures["door"].judged >= judged + 5)
    assert reader.take(["door"], 0.0) == []


def test_first_pictures_are_made_for_who_is_about_to_watch(
    app: Application, product: Product
) -> None:
    """Who asks for the cameras of the wall: those that he sees are shown, and no others."""
    board = product.run.queues.live
    assert board is not None
    until(lambda: board.watched("door") is None and board.watched("till") is None, 30)
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    app.client.get("/live/cameras").raise_for_status()
    assert (board.watched("door"), board.watched("till")) == (None, 320)
    reader = board.reader()
    until(lambda: any(isinstance(one, Preview) for one in reader.take(["till"], 0.1)))
    with watching(app.url) as seen:
        seen.show("till", width=700)
        until(lambda: board.watched("till") == 700)
        app.client.get("/live/cameras").raise_for_status()
        assert board.watched("till") == 700
        app.doors.who = ADMIN
        app.client.get("/live/cameras").raise_for_status()
        assert (board.watched("door"), board.watched("till")) == (320, 700)


def test_a_visitor_sees_his_cameras_alone(app: Application) -> None:
    """Also when what he may see changes while he watches; and no longer than he is signed in."""
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    with watching(app.url) as seen:
        seen.show("door", "till")
        seen.until(lambda: len(seen.pictures) >= 3)
        assert {one.header["camera"] for one in seen.pictures} == {"till"}
        seen.until(lambda: any(text["type"] == "state" for text in seen.texts))
        for text in seen.texts:
            assert "door" not in json.dumps(text)
        app.doors.who = Visitor.of_role("eve", Role.VIEWER, [])
        seen.until(lambda: any(text.get("cameras") == {} for text in seen.texts))
        app.doors.who = None
        seen.until(lambda: seen.closed is not None)
        assert seen.closed == 4401


def test_who_may_not_is_refused_at_the_door(app: Application) -> None:
    """Strangers, those who may see no media, and pages of other sites."""
    for who in (None, Visitor("meter", frozenset())):
        app.doors.who = who
        with pytest.raises(InvalidStatus):
            connected(app.url)
    app.doors.who = ADMIN
    with pytest.raises(InvalidStatus):
        connected(app.url, "http://elsewhere.example")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "no JSON",
        '{"show": [{"camera": "door", "width": 0}]}',
        '{"show": [{"camera": "door", "width": 320, "fps": 0}]}',
        json.dumps({"show": [{"camera": "door", "width": 100}] * (MOST_SHOWN + 1)}),
        '{"show": [' + " " * 20_000 + "]}",
    ],
)
def test_what_cannot_be_understood_is_said(app: Application, text: str) -> None:
    """And the connection ends, as its other side is no page of ours."""
    with watching(app.url) as seen:
        seen.socket.send(text)
        seen.until(lambda: seen.closed is not None)
        assert seen.closed == 4400
        assert seen.socket.close_reason


def test_one_visitor_cannot_keep_the_others_out(app: Application) -> None:
    """He has so many connections and no more."""
    with ExitStack() as held:
        for _ in range(MOST_OF_ONE):
            held.enter_context(connected(app.url))
        with watching(app.url) as seen:
            seen.until(lambda: seen.closed is not None)
            assert seen.closed == 1013
        with watching(app.url, **{"X-Test-Visitor": "eve"}) as seen:
            seen.show("door")
            seen.until(lambda: bool(seen.pictures))


def test_a_slow_client_loses_frames_and_no_memory(app: Application) -> None:
    """Who takes nothing for a while has one picture waiting, the newest, and gets it first."""
    wall = app.state.live
    assert wall is not None
    slow = LiveClient(ADMIN, time.time)
    slow.wants({"door": ShowWish(320, 15.0)})
    with watching(app.url) as quick:
        quick.show("door")
        wall.hub._clients.add(slow)  # it is never asked for what comes next
        quick.until(lambda: slow.drops >= 10 and bool(slow._news))
        assert len(slow._pictures) == 1
        newest = max(one.header["seq"] for one in quick.pictures)
        wall.hub._clients.discard(slow)
        message: bytes | str = ""
        while isinstance(message, str):  # the news come first
            message = asyncio.run(slow.next())
        header = json.loads(message[4 : 4 + int.from_bytes(message[:4], "big")])
        assert header["seq"] >= newest
        assert header["drops"] >= 10


def test_the_wall_says_how_cameras_are(app: Application) -> None:
    """Frames a second, counts of the last minute, engines, new events."""
    with watching(app.url) as seen:
        seen.show("door")

        def state() -> dict[str, Any]:
            # Between two of them a late answer may come.
            return next((one for one in reversed(seen.texts) if one["type"] == "state"), {})

        def told() -> bool:
            door = state().get("cameras", {}).get("door", {})
            return (
                door.get("state") == "well"
                and door.get("fps", 0) > 0
                and "in" in door.get("counts", {})
                and door.get("events", 0) > 0
            )

        seen.until(told, 40)
        assert state()["trouble"] is None
        assert set(state()["cameras"]) == {"door"}
