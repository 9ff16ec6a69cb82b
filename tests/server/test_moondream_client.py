"""The interface of Moondream, as its own Python client uses it, against a server that runs."""

import base64
import json
import urllib.error
from io import BytesIO
from pathlib import Path
from typing import Any

import moondream as md
import numpy as np
import pytest
from PIL import Image

from pipeline import moondream
from pipeline.core.accounts import UsageBy
from pipeline.inference.callers import Call, Callers, CallTicket
from pipeline.testing import wait_until
from tests.server.serving import LONG_ANSWER_AS_JPEG, Serving, data_uri, picture, serving
from tests.server.test_openai_client import Around

FEW: dict[str, Any] = {"max_tokens": 12}
PATHS = ("query", "caption", "detect", "point")


def client_of(served: Serving, key: str | None = None, **options: Any) -> Any:
    """The client as its users make it."""
    return md.vl(endpoint=served.url, api_key=key or served.key, **options)


def as_sent() -> Any:
    """The pixels that the client sends: it makes a JPEG of every picture."""
    sent = md.vl(endpoint="http://127.0.0.1:1/v1", api_key="none").encode_image(picture())
    data = base64.b64decode(sent.image_url.partition(",")[2])
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def direct(served: Serving, request: moondream.Request) -> Any:
    """What the model answers about that picture without a server."""
    ticket = served.callers.submit(Call(request, as_sent()))
    wait_until(lambda: ticket.is_done)
    return ticket.result


def test_a_question_is_answered(served: Serving) -> None:
    """`query` gives the model's own answer, and no reasoning where none was asked for."""
    found = client_of(served).query(picture(), "What is it?", settings=FEW)
    expected = direct(served, moondream.QueryRequest("What is it?", max_tokens=12))
    assert found == {"answer": expected.text.lstrip()}


def test_a_question_without_a_picture_is_answered(served: Serving) -> None:
    """`query` takes no picture either."""
    found = client_of(served).query(question="What is one and one?", settings=FEW)
    assert found.keys() == {"answer"}


def test_reasoning_comes_with_its_grounding(served: Serving) -> None:
    """`reasoning` has the thoughts and what they point at."""
    found = client_of(served).query(
        picture(), "What is it?", reasoning=True, settings={"max_tokens": 30}
    )
    expected = direct(served, moondream.QueryRequest("What is it?", reasoning=True, max_tokens=30))
    assert found["reasoning"]["text"] == expected.reasoning.text
    assert isinstance(found["reasoning"]["grounding"], list)


def test_a_question_about_a_place_is_about_it(served: Serving) -> None:
    """`spatial_refs` are points and boxes, and reach the model."""
    refs = [[0.5, 0.25], [0.1, 0.2, 0.3, 0.4]]
    found = client_of(served).query(picture(), "What is it?", spatial_refs=refs, settings=FEW)
    places = ((0.5, 0.25), (0.1, 0.2, 0.3, 0.4))
    asked = moondream.QueryRequest("What is it?", spatial_refs=places, max_tokens=12)
    assert found["answer"] == direct(served, asked).text.lstrip()


@pytest.mark.parametrize("length", ["short", "normal", "long"])
def test_a_picture_is_described(served: Serving, length: Any) -> None:
    """`caption` has three lengths."""
    found = client_of(served).caption(picture(), length, settings=FEW)
    expected = direct(served, moondream.CaptionRequest(length, max_tokens=12))
    assert found == {"caption": expected.text.lstrip()}


def test_streams_are_the_same_text(served: Serving) -> None:
    """`stream` gives it in pieces; together they are the answer."""
    client = client_of(served)
    whole: Any = client.query(picture(), "What is it?", settings=FEW)["answer"]
    pieces = list(client.query(picture(), "What is it?", stream=True, settings=FEW)["answer"])
    assert "".join(pieces) == whole
    assert len(pieces) > 1
    whole = client.caption(picture(), settings=FEW)["caption"]
    assert "".join(client.caption(picture(), stream=True, settings=FEW)["caption"]) == whole


def test_boxes_and_points_are_those_of_the_model(served: Serving) -> None:
    """`detect` and `point` find what the model finds, as many as `settings` allow."""
    client = client_of(served)
    boxes = client.detect(picture(), "person")["objects"]
    expected = direct(served, moondream.DetectRequest("person"))
    assert [list(box.values()) for box in boxes] == pytest.approx(expected.boxes_xyxy, abs=1e-6)
    points = client.point(picture(), "person")["points"]
    expected = direct(served, moondream.PointRequest("person"))
    assert [list(one.values()) for one in points] == pytest.approx(expected.points_xy, abs=1e-6)
    few: Any = {"max_objects": 1}
    assert len(client.detect(picture(), "person", settings=few)["objects"]) == 1
    assert len(client.point(picture(), "person", settings=few)["points"]) == 1


def test_chats_are_those_of_openai(served: Serving) -> None:
    """`chat` goes to the other interface, with reasoning and in a stream."""
    client = client_of(served, model="moondream2")
    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": data_uri()}},
                {"type": "text", "text": "What is it?"},
            ],
        }
    ]
    whole = client.chat(messages, settings=FEW)
    assert whole["finish_reason"] in ("stop", "length")
    pieces = client.chat(messages, settings=FEW, stream=True)["message"]
    assert "".join(pieces) == whole["message"]["content"]
    thought = client.chat(messages, settings={"max_tokens": 30}, reasoning=True)
    assert isinstance(thought["message"]["reasoning"], str)
    assert isinstance(thought["message"]["reasoning_details"]["grounding"], list)


def test_a_model_that_is_not_here_is_not_answered_by_another(served: Serving) -> None:
    """The model's name may be given with each skill; another one's is an error."""
    assert client_of(served, model="moondream2").caption(picture(), settings=FEW)
    for name in ("moondream3-preview", "moondream2:detect"):
        with pytest.raises(urllib.error.HTTPError):
            client_of(served, model=name).caption(picture(), settings=FEW)


def test_more_is_said_than_the_client_reads(served: Serving) -> None:
    """Scores, counts, metrics, the reason of the end and the request's id are extra fields."""
    found = served.post("/detect", {"image_url": data_uri(), "object": "person"}).json()
    assert found["count"] == len(found["objects"]) == len(found["scores"])
    assert found["saturated"] is False
    assert found["finish_reason"] == "stop"
    assert found["request_id"]
    assert found["metrics"]["input_tokens"] > 730
    body = {"image_url": data_uri(), "question": "What?", "settings": {"max_tokens": 2}}
    found = served.post("/query", body).json()
    assert found["finish_reason"] == "length"
    assert found["metrics"]["output_tokens"] == 2
    assert found["model"] == "moondream2:2025-06-21"


def test_the_end_of_a_stream_says_more(served: Serving) -> None:
    """The last event is the completed one, with what the whole answer has besides."""
    body = {"image_url": data_uri(), "question": "What?", "stream": True, "settings": FEW}
    lines = served.post("/query", body).text.split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert [event["completed"] for event in events[:-1]] == [False] * (len(events) - 1)
    assert events[-1]["completed"] is True
    assert events[-1]["chunk"] == ""
    assert events[-1]["metrics"]["output_tokens"] == 12


def test_unknown_fields_are_ignored(served: Serving) -> None:
    """That is what this interface promises, in settings too."""
    body = {"image_url": data_uri(), "object": "a", "new": [1], "settings": {"later": {}}}
    assert served.post("/detect", body).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "chat/completions", "segment"])
def test_both_headers_open_every_path(served: Serving, path: str) -> None:
    """A key in either header is as good; without one nothing opens."""
    url = f"/{path}"
    assert served.post_as(url, {}, {}).status_code == 401
    for headers in ({"authorization": f"Bearer {served.key}"}, {"x-moondream-auth": served.key}):
        assert served.post_as(url, {}, headers).status_code == 400


def test_a_wrong_key_opens_nothing(served: Serving) -> None:
    """Neither header does."""
    for headers in ({"authorization": "Bearer no"}, {"x-moondream-auth": "no"}):
        assert served.post_as("/query", {}, headers).status_code == 401


def test_there_are_no_masks(served: Serving) -> None:
    """`segment` is refused with a sentence that says what there is instead."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        client_of(served).segment(picture(), "person")
    assert caught.value.code == 400
    assert b"/v1/detect" in caught.value.read()
    caught.value.close()


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("query", {}, "question", "missing"),
    ("query", {"question": " "}, "question", "empty"),
    ("query", {"question": 5}, "question", "string"),
    ("query", {"question": "a", "settings": {"top_p": 2}}, "settings.top_p", "less"),
    ("query", {"question": "a", "settings": {"max_tokens": 0}}, "settings.max_tokens", "greater"),
    ("query", {"question": "a", "settings": {"variant": "v"}}, "settings.variant", "no variants"),
    ("query", {"question": "a", "spatial_refs": [[0.1, 0.2]]}, "spatial_refs", "need a picture"),
    ("query", {"question": "a", "spatial_refs": [[0.1]]}, "spatial_refs[0]", "nor a box"),
    ("query", {"question": "a", "image_url": "%%"}, "image_url", "base64"),
    ("caption", {}, "image_url", "missing"),
    ("caption", {"image_url": data_uri(), "length": "epic"}, "length", "'short'"),
    ("detect", {"image_url": data_uri()}, "object", "missing"),
    ("detect", {"image_url": data_uri(), "object": "\n"}, "object", "empty"),
    ("detect", {"image_url": data_uri(), "object": "a", "stream": True}, "stream", "as a whole"),
    ("detect", {"image_url": "a", "object": "a", "settings": {"max_objects": 0}},
     "settings.max_objects", "greater"),
    ("point", {"image_url": "a", "object": "a", "spatial_refs": [[0, 0]]},
     "spatial_refs", "without"),
    ("point", {"image_url": "ftp://a/b.jpg", "object": "a"}, "image_url", "ftp"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param", "said"), REFUSED)
def test_what_is_wrong_is_said(
    served: Serving, path: str, body: dict[str, Any], param: str, said: str
) -> None:
    """Each field that cannot be used is named, in a sentence."""
    answer = served.post(f"/{path}", body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert said in error["message"]


def test_a_caller_who_goes_away_frees_the_row(served: Serving) -> None:
    """The client's stream is closed in the middle: what was generated until then is accounted."""
    client = client_of(served, served.new_key("md-leaver"))
    stream = client.query(picture(LONG_ANSWER_AS_JPEG), "List everything.", stream=True)["answer"]
    assert next(stream)
    assert served.rows == 1
    stream.close()
    wait_until(lambda: served.rows == 0)

    def is_written() -> bool:
        return any(row.key == "md-leaver" and row.cancelled for row in served.usage(UsageBy.KEY))

    wait_until(is_written)


def test_a_failure_in_mid_stream_is_noticed(tmp_path: Path) -> None:
    """The client looks for no error: it raises one for an event that it cannot read."""
    tickets: list[CallTicket] = []

    def before(call: Call, callers: Callers) -> CallTicket:
        tickets.append(callers.submit(call))
        return tickets[-1]

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        client = client_of(served)
        stream = client.query(picture(LONG_ANSWER_AS_JPEG), "List everything.", stream=True)[
            "answer"
        ]
        assert next(stream)
        assert tickets[-1].fail("model", "RuntimeError")
        with pytest.raises(ValueError, match="Failed to parse"):
            list(stream)
