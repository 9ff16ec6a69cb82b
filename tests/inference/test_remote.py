"""An engine elsewhere: what is sent, what is understood of the answer, and what it costs."""

import base64
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.engines import Engine, EngineRequest
from pipeline.core.frames import Pixels
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines._remote.engine import RemoteEngine
from pipeline.inference.engines.remote import RemoteConfig
from pipeline.inference.engines.scripted import ScriptedConfig
from pipeline.testing import ManualClock
from tests.contracts.engines import EngineContract, Gate
from tests.inference.elsewhere import Elsewhere, Reply, Seen, elsewhere, refused, said

SOON_S = 30.0
GREY: Pixels = np.full((60, 90, 3), 128, np.uint8)
DOOR = Ask("door", "vlm", "Is the door open?", "yes/no")
COLOUR = Ask("colour", "vlm", "Which colour is it?", "one of", ("dark red", "blue"))
HOW_MANY = Ask("beds", "vlm", "How many beds are there?", "number")
PEOPLE = Detect("people", "vlm", "person", max_objects=3)
HEADS = Point("heads", "vlm", "head", max_objects=3)
CROWD = Count("crowd", "vlm", "person", max_objects=3)
SIGN = Ask("sign", "vlm", "What does the sign say?")
SCENE = Caption("scene", "vlm", "short")


def config(server: Elsewhere, api: str = "openai", **more: Any) -> RemoteConfig:
    """An engine at a server."""
    if api == "openai":
        more = {"model": "qwen", **more}
    return RemoteConfig.model_validate(
        {"type": "remote", "api": api, "url": server.url, "retries": 0, **more}
    )


@contextmanager
def engine_at(
    server: Elsewhere, api: str = "openai", clock: ManualClock | None = None, **more: Any
) -> Iterator[RemoteEngine]:
    """The engine, closed at the end."""
    engine = config(server, api, **more).build(clock)
    try:
        yield engine
    finally:
        engine.close()


def ask(engine: Engine, *tasks: Task, pixels: Pixels = GREY) -> Sequence[Answer]:
    """The answers about a picture."""
    return engine.submit(EngineRequest(pixels, tasks, SOON_S)).result(SOON_S)


def one(
    reply: Callable[[Seen], Reply], task: Task, api: str = "openai", **more: Any
) -> tuple[Answer, list[Seen]]:
    """The answer of a server to one task, and what it was asked."""
    with elsewhere(reply) as server, engine_at(server, api, **more) as engine:
        (answer,) = ask(engine, task)
        return answer, server.seen


def picture_in(uri: str) -> Pixels:
    """The pixels of a data URI."""
    data = np.frombuffer(base64.b64decode(uri.partition("base64,")[2]), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def uri_in(seen: Seen) -> str:
    """The picture that was sent."""
    if "image_url" in seen.body:
        return str(seen.body["image_url"])
    return str(seen.body["messages"][0]["content"][0]["image_url"]["url"])


class TestRemote(EngineContract):
    """Boxes from a Moondream-compatible server that goes through the gate."""

    @pytest.fixture(autouse=True)
    def server(self, gate: Gate) -> Iterator[None]:
        """Its boxes depend on how bright a picture is."""

        def reply(seen: Seen) -> Reply:
            gate.go_through()
            level = float(picture_in(uri_in(seen))[0, 0, 0]) / 255
            box = {"x_min": 0.0, "y_min": 0.0, "x_max": level + 0.01, "y_max": 1.0}
            return Reply({"objects": [box], "scores": [level]})

        with elsewhere(reply) as self.elsewhere:
            yield
            gate.open()

    def build(self, clock: ManualClock, gate: Gate) -> Engine:
        """As its config builds it."""
        return config(self.elsewhere, "moondream", encoding="png").build(clock)


def test_a_question_is_sent_with_its_picture_and_nothing_else() -> None:
    """No camera, no file, no time: pixels, words, and how they are to be answered."""
    answer, (seen,) = one(lambda _: said(" An exit. "), SIGN, key="sk-secret-key-1234")
    assert answer == Text("vlm", "An exit.")
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-secret-key-1234"
    uri = uri_in(seen)
    content = [
        {"type": "image_url", "image_url": {"url": uri}},
        {"type": "text", "text": "What does the sign say?"},
    ]
    assert seen.body == {
        "model": "qwen",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 64,
        "temperature": 0,
    }
    assert uri.startswith("data:image/jpeg;base64,")
    assert b"Exif" not in base64.b64decode(uri.partition(",")[2])


@pytest.mark.parametrize(
    ("more", "shape", "kind"),
    [
        ({}, (60, 90, 3), "jpeg"),
        ({"max_side": 45}, (30, 45, 3), "jpeg"),
        ({"encoding": "png"}, (60, 90, 3), "png"),
    ],
)
def test_pictures_are_encoded_as_the_file_says(
    more: dict[str, Any], shape: tuple[int, ...], kind: str
) -> None:
    """Reduced to `max_side`, as JPEG or without any loss."""
    noise = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    with elsewhere(lambda _: said("x")) as server, engine_at(server, **more) as engine:
        ask(engine, SIGN, pixels=noise)
        uri = uri_in(server.seen[0])
    assert uri.startswith(f"data:image/{kind};")
    assert picture_in(uri).shape == shape
    if kind == "png":
        assert (picture_in(uri) == noise).all()


def test_a_lower_quality_is_smaller() -> None:
    """`quality` is that of JPEG."""
    noise = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    sizes = []
    for quality in (95, 40):
        with (
            elsewhere(lambda _: said("x")) as server,
            engine_at(server, quality=quality) as engine,
        ):
            ask(engine, SIGN, pixels=noise)
            sizes.append(len(uri_in(server.seen[0])))
    assert sizes[1] < sizes[0] / 2


def alternatives(**logprobs: float) -> dict[str, Any]:
    """The first token of an answer, with what it could have been."""
    rows = [{"token": token, "logprob": value} for token, value in logprobs.items()]
    return {"logprobs": {"content": [{**rows[0], "top_logprobs": rows}]}}


@pytest.mark.parametrize(
    ("tokens", "words", "expected"),
    [
        # ln 0.6, 0.2, 0.1, 0.05: spellings are added up.
        (
            {" Yes": -0.510826, "yes": -1.609438, "No": -2.302585, "The": -2.99573},
            "Yes",
            ("yes", 8 / 9),
        ),
        ({"No": -0.01}, "No.", ("no", 0.0)),
        # It begins to say something else: what it says counts.
        ({"The": -0.1, "No": -3.0}, "The door is open, yes.", ("yes", None)),
        ({"Yes": float("nan")}, "Yes", ("yes", None)),
        ({"Yes": 2.0}, "Yes", ("yes", None)),
        ({"Yes": "high"}, "Yes", ("yes", None)),
    ],
)
def test_yes_or_no_comes_with_its_probability(
    tokens: dict[str, Any], words: str, expected: tuple[str, float | None]
) -> None:
    """From the likelihood of the first word where there is one, and else from the words."""
    answer, (seen,) = one(lambda _: said(words, **alternatives(**tokens)), DOOR)
    assert isinstance(answer, Text)
    assert answer.text == expected[0]
    assert answer.yes_probability == pytest.approx(expected[1], abs=1e-4)
    assert seen.body["logprobs"] is True
    assert seen.body["messages"][0]["content"][1]["text"] == "Is the door open? Answer yes or no."


def test_a_server_without_probabilities_is_asked_for_json_from_then_on() -> None:
    """It ignored the wish; the words that came are the answer, and the next one is in a schema."""

    def reply(seen: Seen) -> Reply:
        return said('{"answer": "no"}' if "response_format" in seen.body else "Yes, it is.")

    with elsewhere(reply) as server, engine_at(server) as engine:
        assert ask(engine, DOOR) == (Text("vlm", "yes"),)
        assert ask(engine, DOOR) == (Text("vlm", "no"),)
        first, second = (seen.body for seen in server.seen)
    assert "logprobs" in first
    assert "response_format" not in first
    assert "logprobs" not in second
    schema = second["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"answer": {"type": "string", "enum": ["yes", "no"]}}


def test_what_a_server_refuses_by_name_is_not_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each refusal leads to the next way at once; it is said once."""
    refusals = {
        "logprobs": "logprobs are not supported",
        "response_format": "This response_format type is unavailable",
        "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0",
    }

    def reply(seen: Seen) -> Reply:
        for name, message in refusals.items():
            if name in seen.body:
                return refused(400, message, param=name)
        return said("No.")

    caplog.set_level("INFO")
    with elsewhere(reply) as server, engine_at(server) as engine:
        assert ask(engine, DOOR) == (Text("vlm", "no"),)
        assert len(server.seen) == 5
        assert ask(engine, DOOR) == (Text("vlm", "no"),)
        assert len(server.seen) == 6
        assert server.seen[-1].body["max_completion_tokens"] > 1000
    told = [record.message for record in caplog.records if "is asked without" in record.message]
    assert len(told) == 4


@pytest.mark.parametrize("structured", ["json_schema", "none"])
def test_the_form_of_answers_can_be_chosen(structured: str) -> None:
    """`json_schema` asks for no probabilities; `none` for nothing at all."""
    _, (seen,) = one(lambda _: said("yes"), DOOR, structured=structured)
    assert "logprobs" not in seen.body
    assert ("response_format" in seen.body) == (structured == "json_schema")


@pytest.mark.parametrize(
    ("task", "words", "expected"),
    [
        (HOW_MANY, '{"answer": 12}', Number("vlm", 12)),
        (HOW_MANY, '```json\n{"answer": 3.0}\n```', Number("vlm", 3)),
        (HOW_MANY, "There are seven beds.", Number("vlm", 7)),
        (HOW_MANY, "<think>maybe 5, or 6</think>4", Number("vlm", 4)),
        (CROWD, '{"answer": 2}', Number("vlm", 2)),
        (COLOUR, '{"answer": "blue"}', Text("vlm", "blue")),
        (COLOUR, "It is Dark-Red.", Text("vlm", "dark red")),
        (DOOR, '{"answer": true}', Text("vlm", "yes")),
        (DOOR, "I think no", Text("vlm", "no")),
        (SIGN, '{"answer": "x"}', Text("vlm", '{"answer": "x"}')),
        (SCENE, "A yard.", Text("vlm", "A yard.")),
        (HOW_MANY, "many", Failed("vlm", "{place} answered 'many', which holds no number")),
        (COLOUR, "?", Failed("vlm", "{place} answered '?', which is not one of dark red, blue")),
        (DOOR, "yes and no and maybe", Text("vlm", "yes")),
        (DOOR, "open", Failed("vlm", "{place} answered 'open', which is neither yes nor no")),
        (SIGN, "  ", Failed("vlm", "{place} answered no words")),
    ],
)  # fmt: skip
def test_answers_in_words_are_understood(task: Task, words: str, expected: Answer) -> None:
    """As JSON, in a sentence, behind thoughts; what cannot be understood is unknown."""
    with elsewhere(lambda _: said(words)) as server, engine_at(server, structured="none") as engine:
        (answer,) = ask(engine, task)
        if isinstance(expected, Failed):
            expected = Failed("vlm", expected.reason.format(place=server.place))
    assert answer == expected


BOX = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 0.75}


def test_moondream_finds_and_points() -> None:
    """Boxes and points with the scores that moonwatch's own server gives."""

    def reply(seen: Seen) -> Reply:
        assert seen.headers["x-moondream-auth"] == "md-secret-key"
        assert seen.body["settings"] == {"temperature": 0, "max_objects": 3}
        if seen.path == "/v1/point":
            assert seen.body["object"] == "head"
            return Reply({"points": [{"x": 0.5, "y": 0.25}], "scores": [0.75], "saturated": False})
        assert seen.path == "/v1/detect"
        assert seen.body["object"] == "person"
        return Reply({"objects": [BOX], "scores": [0.5], "saturated": True})

    with (
        elsewhere(reply) as server,
        engine_at(server, "moondream", key="md-secret-key") as engine,
    ):
        assert ask(engine, PEOPLE, HEADS, CROWD) == (
            Boxes("vlm", ((0.1, 0.2, 0.5, 0.75),), (0.5,), saturated=True),
            Points("vlm", ((0.5, 0.25),), (0.75,)),
            Number("vlm", 1, saturated=True),
        )


def test_what_has_no_scores_has_the_highest() -> None:
    """Moondream's own servers give none; as many as were asked for may not be all."""
    answer, (seen,) = one(lambda _: Reply({"objects": [BOX] * 3}), PEOPLE, "moondream", model="m2")
    assert answer == Boxes("vlm", ((0.1, 0.2, 0.5, 0.75),) * 3, (1.0,) * 3, saturated=True)
    assert seen.body["model"] == "m2"
    assert "authorization" not in seen.headers
    # A server that does not know `max_objects` gives more; they are cut.
    answer, _ = one(lambda _: Reply({"objects": [BOX] * 9}), PEOPLE, "moondream")
    assert isinstance(answer, Boxes)
    assert (len(answer.boxes_xyxy), answer.saturated) == (3, True)


def test_boxes_reach_to_the_edge_of_the_picture() -> None:
    """What reaches out is cut; what lies outside altogether is not in the picture."""
    over = {"x_min": -0.1, "y_min": 0.5, "x_max": 0.5, "y_max": 1.2}
    out = {"x_min": 1.1, "y_min": 0.5, "x_max": 1.2, "y_max": 0.6}
    answer, _ = one(lambda _: Reply({"objects": [over, out]}), PEOPLE, "moondream")
    assert answer == Boxes("vlm", ((0.0, 0.5, 0.5, 1.0),), (1.0,))


def test_moondream_answers_and_describes() -> None:
    """Questions go as they are, except that choices must be named."""

    def reply(seen: Seen) -> Reply:
        if seen.path == "/v1/caption":
            assert seen.body["length"] == "short"
            return Reply({"caption": " A yard. "})
        assert seen.path == "/v1/query"
        assert seen.body["stream"] is False
        answers = {
            "Is the door open?": {"answer": "Yes", "yes_probability": 0.9},
            "How many beds are there?": {"answer": "four"},
            "Which colour is it? Answer with one of: dark red, blue.": {"answer": "Blue."},
            "What does the sign say?": {"answer": "Exit"},
        }
        return Reply(answers[seen.body["question"]])

    with elsewhere(reply) as server, engine_at(server, "moondream") as engine:
        assert ask(engine, DOOR, HOW_MANY, COLOUR, SIGN, SCENE) == (
            Text("vlm", "yes", 0.9),
            Number("vlm", 4),
            Text("vlm", "blue"),
            Text("vlm", "Exit"),
            Text("vlm", "A yard."),
        )


def test_no_more_requests_than_allowed_are_at_the_server() -> None:
    """`concurrency` holds over all frames."""
    together = threading.Barrier(2)

    def reply(_: Seen) -> Reply:
        together.wait(SOON_S)  # two are there together, again and again
        return said("x")

    with elsewhere(reply) as server, engine_at(server, concurrency=2) as engine:
        tickets = [engine.submit(EngineRequest(GREY, (SIGN, SCENE), SOON_S)) for _ in range(4)]
        for ticket in tickets:
            assert all(isinstance(answer, Text) for answer in ticket.result(SOON_S))
        assert server.most_at_once == 2


def test_what_passes_is_tried_again() -> None:
    """With the server's own wish for how long to wait."""
    replies = [refused(503, "busy"), refused(429, "slowly"), said("x")]
    queue = iter(replies)
    with elsewhere(lambda _: next(queue)) as server, engine_at(server, retries=2) as engine:
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        assert len(server.seen) == 3
        assert engine.requests["repeated"] == 2


@pytest.mark.parametrize(
    "headers", [{"retry-after": "3600"}, {"retry-after-ms": "3600000"}, {"x-should-retry": "false"}]
)
def test_no_wait_is_longer_than_the_deadline(headers: dict[str, str]) -> None:
    """A server that wants an hour gets no second request; its reason is the answer, at once."""
    busy = Reply({"error": {"message": "come back later"}}, 503, headers)
    with elsewhere(lambda _: busy) as server, engine_at(server, retries=5) as engine:
        (answer,) = ask(engine, SIGN)
        assert answer == Failed("vlm", f"{server.place} cannot answer now (503: come back later)")
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "refuses the request (400: no)"),
        (401, "refuses the key; see `key` or `key_file` (401: no)"),
        (402, "wants to be paid (402: no)"),
        (403, "does not allow it; see what its key may do (403: no)"),
        (404, "has no such model or address; see `url` and `model`, or `check --probe` (404: no)"),
        (413, "refuses the request (413: no)"),
    ],
)
def test_what_stays_is_not_tried_again(status: int, words: str) -> None:
    """What nobody has mended meanwhile."""
    with elsewhere(lambda _: refused(status, "no")) as server, engine_at(server, retries=5) as one:
        assert ask(one, SIGN) == (Failed("vlm", f"{server.place} {words}"),)
        assert len(server.seen) == 1


def test_a_server_that_is_shut_is_left_alone_and_tried_again() -> None:
    """No frame waits for it meanwhile; one request alone finds out whether it was mended."""
    clock = ManualClock()
    answers = {"now": refused(401, "unknown key")}
    with (
        elsewhere(lambda _: answers["now"]) as server,
        engine_at(server, clock=clock) as engine,
    ):
        ask(engine, SIGN)
        assert "refuses the key" in str(engine.trouble)
        (spared,) = ask(engine, SIGN)
        assert isinstance(spared, Failed)
        assert spared.reason.endswith("; it is asked again in 60 s")
        assert len(server.seen) == 1
        clock.advance(61.0)
        ask(engine, SIGN)
        assert len(server.seen) == 2
        ask(engine, SIGN)
        assert len(server.seen) == 2
        clock.advance(61.0)
        answers["now"] = said("x")
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        assert engine.trouble is None


def test_a_server_that_fails_three_times_is_left_alone() -> None:
    """One failure may be a bad moment; what it refuses says that it is there."""
    clock = ManualClock()
    answers = {"now": refused(500, "oops")}
    with (
        elsewhere(lambda _: answers["now"]) as server,
        engine_at(server, clock=clock) as engine,
    ):
        for _ in range(2):
            ask(engine, SIGN)
        answers["now"] = refused(400, "too many words")
        ask(engine, SIGN)
        answers["now"] = refused(500, "oops")
        for _ in range(3):
            assert engine.trouble is None
            ask(engine, SIGN)
        assert engine.trouble is not None
        assert len(server.seen) == 6
        ask(engine, SIGN)
        assert len(server.seen) == 6


def test_a_budget_ends_with_a_sentence_and_begins_anew() -> None:
    """By the hour and the day of the site; a picture counts once, whatever is asked about it."""
    clock = ManualClock(1_700_000_000.0)  # 2023-11-14T22:13:20 UTC
    with (
        elsewhere(lambda _: said("x")) as server,
        engine_at(server, clock=clock, budget={"per_hour": 2, "per_day": 3}) as engine,
    ):
        engine.name_as("vlm", "Europe/Berlin", None)
        for _ in range(2):
            assert ask(engine, SIGN, SCENE) == (Text("vlm", "x"), Text("vlm", "x"))
        hour = "the budget of 2 pictures an hour is spent until 2023-11-15T00:00:00+01:00"
        assert ask(engine, SIGN) == (Failed("vlm", hour),)
        assert str(engine.trouble) == hour
        assert [spent.used for spent in engine.spent()] == [2, 2]
        clock.advance(3600.0)  # past midnight in Berlin
        assert [spent.used for spent in engine.spent()] == [0, 0]
        assert engine.trouble is None
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        clock.advance(3600.0)
        assert ask(engine, SIGN, SCENE) == (Text("vlm", "x"), Text("vlm", "x"))
        clock.advance(3600.0)
        ask(engine, SIGN)
        day = "the budget of 3 pictures a day is spent until 2023-11-16T00:00:00+01:00"
        assert ask(engine, SIGN) == (Failed("vlm", day),)
        assert len(server.seen) == 8


def test_a_budget_of_requests_counts_each() -> None:
    """Also those that are repeated."""
    replies = iter([refused(503, "busy"), said("x")])
    with (
        elsewhere(lambda _: next(replies)) as server,
        engine_at(server, retries=1, budget={"per_day": 2, "of": "requests"}) as engine,
    ):
        assert ask(engine, SIGN) == (Text("vlm", "x"),)
        (answer,) = ask(engine, SIGN)
        assert isinstance(answer, Failed)
        assert answer.reason.startswith("the budget of 2 requests a day is spent until ")
        assert len(server.seen) == 2


def test_another_engine_answers_what_this_one_cannot() -> None:
    """Its answers bear its own name; what this one has answered is not asked again."""
    other = ScriptedConfig.model_validate({"answers": {"sign": ["other"]}}).build()

    def reply(seen: Seen) -> Reply:
        words = seen.body["messages"][0]["content"][1]["text"]
        return refused(400, "no") if "sign" in words else said("a yard")

    with elsewhere(reply) as server, engine_at(server) as engine:
        engine.fall_back_to("local", other, owned=True)
        assert ask(engine, SIGN, SCENE) == (Text("local", "other"), Text("vlm", "a yard"))
        assert engine.stood_in == 1
        both = Ask("else", "vlm", "What does the other sign say?")
        (answer,) = ask(engine, both)
        assert answer == Failed(
            "vlm",
            f"{server.place} refuses the request (400: no); and local, in its place: "
            "no scripted answer for 'else'",
        )
    assert other.submit(EngineRequest(GREY, (SIGN,))).done  # closed with the first


def test_a_server_that_hangs_leaves_time_for_the_other_engine() -> None:
    """It has half of the frame's time."""
    other = ScriptedConfig.model_validate({"answers": {"sign": ["other"]}}).build()
    hanging = threading.Event()

    def reply(_: Seen) -> Reply:
        hanging.wait(SOON_S)
        return said("late")

    with elsewhere(reply) as server, engine_at(server) as engine:
        engine.fall_back_to("local", other, owned=True)
        ticket = engine.submit(EngineRequest(GREY, (SIGN,), 2.0))
        assert ticket.result(SOON_S) == (Text("local", "other"),)
        hanging.set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api": "openai", "url": "http://gpu"}, "needs the name of the `model`"),
        ({"url": "gpu:8000"}, "does not begin with http:// or https://"),
        ({"url": "http://u:secretword@gpu"}, "has a user in it"),
        ({"url": "http://gpu/v1?a=b"}, "has a ? or #"),
        ({"url": "http://api.example.com", "key": "abcdefgh"}, "would send the key to api.example"),
        ({"url": "https://api.example.com", "key": "abc defgh"}, "has a key with a space"),
        ({"url": "https://api.example.com", "key": ""}, "has an empty `key`"),
        ({"budget": {}}, "limits nothing"),
        ({"budget": {"per_day": 0}}, "greater than or equal to 1"),
        ({"api": "grpc"}, "'openai' or 'moondream'"),
        ({"quality": 0}, "greater than or equal to 1"),
    ],
)
def test_a_file_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    """With the way out."""
    whole = {"api": "moondream", "url": "http://gpu/v1", **settings}
    with pytest.raises(ValidationError) as error:
        RemoteConfig.model_validate(whole)
    assert message in str(error.value)
    assert "secretword" not in str(error.value)
    assert "abc defgh" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://gpu:8080", "http://gpu:8080/v1"),
        ("http://gpu:8080/", "http://gpu:8080/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://h/openai/v1/chat/completions", "https://h/openai/v1"),
    ],
)
def test_an_address_may_be_written_in_several_ways(url: str, base: str) -> None:
    """As it is found in the documents of servers."""
    assert RemoteConfig.model_validate({"api": "moondream", "url": url}).base == base


@pytest.mark.parametrize(
    ("url", "key", "said_of"),
    [
        ("http://127.0.0.1:8080", "abcdefgh", None),
        ("http://localhost:8080", None, None),
        ("https://api.example.com", "abcdefgh", None),
        ("http://10.0.0.5:8080", "abcdefgh", "the key and pictures are sent to 10.0.0.5:8080"),
        ("http://gpu.lan", None, "pictures are sent to gpu.lan unencrypted"),
    ],
)
def test_what_others_could_read_is_said(url: str, key: str | None, said_of: str | None) -> None:
    """Within the house it is allowed; on one machine nobody is on the way."""
    settings = {"api": "moondream", "url": url, "key": key}
    lacks = list(RemoteConfig.model_validate(settings).lacks())
    assert [lack.is_fatal for lack in lacks] == [False] * (said_of is not None)
    if said_of is not None:
        assert said_of in lacks[0].message


def test_another_place_or_model_is_another_engine() -> None:
    """What costs or speeds it does not change its answers."""
    base = {"api": "moondream", "url": "http://gpu:8080"}

    def identity(**more: Any) -> Any:
        return RemoteConfig.model_validate({**base, **more}).identity()

    same = {"key": "abcdefgh", "timeout": "5s", "concurrency": 9, "budget": {"per_day": 5}}
    assert identity(**same) == identity() == identity(url="http://gpu:8080/v1/")
    for other in ({"url": "http://gpu:8081"}, {"model": "x"}, {"quality": 50}, {"max_side": 700}):
        assert identity(**other) != identity()
    assert "abcdefgh" not in str(identity(**same))


def test_a_bad_moment_is_ridden_out() -> None:
    """Attempts that are repeated do not count against a server that is there again."""
    fails = iter([refused(503, "starting")] * 4)
    with (
        elsewhere(lambda _: next(fails, said("x"))) as server,
        engine_at(server, retries=4, concurrency=4) as engine,
    ):
        tickets = [engine.submit(EngineRequest(GREY, (SIGN,), SOON_S)) for _ in range(4)]
        assert [ticket.result(SOON_S) for ticket in tickets] == [(Text("vlm", "x"),)] * 4
        assert engine.trouble is None


def test_a_server_that_is_asked_too_often_is_not_taken_for_dead() -> None:
    """It says so, and its answer is the failure's reason."""
    with elsewhere(lambda _: refused(429, "two a second")) as server, engine_at(server) as engine:
        for _ in range(5):
            (answer,) = ask(engine, SIGN)
            assert answer == Failed("vlm", f"{server.place} is asked too often (429: two a second)")
        assert engine.trouble is None
