"""The interface of OpenAI, as its own Python client uses it, against a server that runs."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel

from pipeline import moondream
from pipeline.core.accounts import UsageBy, UsageSum
from pipeline.inference.callers import (
    Call,
    Callers,
    CallFacts,
    CallTicket,
    ModelFacts,
    OverloadedError,
    ReservedPlace,
)
from pipeline.moondream.skills.base import Language
from pipeline.server import asking
from pipeline.testing import wait_until
from tests.server.serving import LONG_ANSWER, PATIENCE_S, Serving, data_uri, picture, serving

MODEL = "moondream2"
EXACT = "moondream2:2025-06-21"


@pytest.fixture
def client(served: Serving) -> Iterator[openai.OpenAI]:
    """The client as its users make it, without retries."""
    with client_of(served) as made:
        yield made


def client_of(served: Serving, **options: Any) -> openai.OpenAI:
    """A client of a server."""
    given = {"api_key": served.key, "max_retries": 0, "timeout": PATIENCE_S, **options}
    return openai.OpenAI(base_url=served.url, **given)


def asked(
    question: str, image: str | None = None, detail: str | None = None
) -> list[ChatCompletionMessageParam]:
    """A chat of one message, its text first."""
    parts: list[Any] = [{"type": "text", "text": question}]
    if image is not None:
        where = {"url": image} | ({"detail": detail} if detail else {})
        parts.append({"type": "image_url", "image_url": where})
    return [{"role": "user", "content": parts}]


LONG = asked("List everything.", data_uri(LONG_ANSWER))


def ask(client: openai.OpenAI, question: str = "What is it?", **fields: Any) -> ChatCompletion:
    """The answer to a question about a picture."""
    given = {"model": MODEL, "messages": asked(question, data_uri()), "max_tokens": 8, **fields}
    answer: ChatCompletion = client.chat.completions.create(**given)
    return answer


def words(answer: ChatCompletion) -> str:
    """The first answer's text."""
    content = answer.choices[0].message.content
    assert content is not None
    return content


def direct(served: Serving, request: moondream.Request, max_crops: int | None = None) -> Any:
    """What the model answers without a server."""
    pixels = np.asarray(picture())
    ticket = served.callers.submit(Call(request, pixels, max_crops))
    wait_until(lambda: ticket.is_done)
    return ticket.result


def test_a_question_is_answered_as_the_model_answers_it(
    served: Serving, client: openai.OpenAI
) -> None:
    """The text is the model's own, and what it took is counted."""
    answer = ask(client)
    expected = direct(served, moondream.QueryRequest("What is it?", max_tokens=8))
    assert words(answer) == expected.text.lstrip()
    assert answer.choices[0].finish_reason == "length"
    assert answer.model == EXACT
    assert answer.system_fingerprint is not None
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.image_tokens == 730
    assert usage.prompt_tokens == 730 + (usage.prompt_tokens_details.text_tokens or 0)
    assert usage.completion_tokens == 8
    assert usage.total_tokens == usage.prompt_tokens + 8
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 0


@pytest.mark.parametrize(
    "image",
    [
        data_uri(),
        data_uri().partition(",")[2],  # bare base64
        " " + data_uri() + "\n",
    ],
)
def test_a_picture_comes_in_each_form(client: openai.OpenAI, image: str) -> None:
    """A data URI and bare base64 are the same picture."""
    same = words(ask(client))
    assert words(ask(client, messages=asked("What is it?", image))) == same


def test_the_order_of_parts_does_not_matter(client: openai.OpenAI) -> None:
    """The picture may come before or after the text, and as an address without an object."""
    (message,) = asked("What is it?", data_uri())
    parts: Any = list(message["content"])  # type: ignore[arg-type]
    turned: Any = [{"role": "user", "content": parts[::-1]}]
    bare: Any = [
        {"role": "user", "content": [{"type": "image_url", "image_url": data_uri()}, parts[0]]}
    ]
    assert words(ask(client, messages=turned)) == words(ask(client))
    assert words(ask(client, messages=bare)) == words(ask(client))


def test_low_detail_is_one_crop(client: openai.OpenAI) -> None:
    """`detail: low` looks at the whole picture alone; the header says how many crops it took."""
    image = data_uri(3, (900, 700))
    crops = {}
    for detail in ("low", "high"):
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=asked("What is it?", image, detail), max_tokens=4
        )
        assert raw.headers["x-moonwatch-images"] == "1"
        crops[detail] = int(raw.headers["x-moonwatch-crops"])
    assert crops["low"] == 1
    assert crops["high"] > 1


def test_a_question_without_a_picture_is_answered(served: Serving, client: openai.OpenAI) -> None:
    """Text alone is a question about nothing."""
    answer = ask(client, messages=asked("What is one and one?"))
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.image_tokens == 0


def test_earlier_turns_are_part_of_the_question(served: Serving, client: openai.OpenAI) -> None:
    """System text and earlier turns reach the model in words, with the first turn's picture."""
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        *asked("What is it?", data_uri()),
        {"role": "assistant", "content": "A car."},
        {"role": "user", "content": "Whose?"},
    ]
    answer = ask(client, messages=messages)
    said = "Be brief.\n\nQuestion: What is it?\nAnswer: A car.\n\nQuestion: Whose?"
    expected = direct(served, moondream.QueryRequest(said, max_tokens=8))
    assert words(answer) == expected.text.lstrip()


def test_a_stream_has_the_same_text_and_its_usage(client: openai.OpenAI) -> None:
    """Chunks together are the answer; the last one counts."""
    whole = ask(client, max_tokens=40)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=asked("What is it?", data_uri()),
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == words(whole)
    assert chunks[0].choices[0].delta.role == "assistant"
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert finishes[-1] == whole.choices[0].finish_reason
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 4
    usage = chunks[-1].usage
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert not chunks[-1].choices


def test_the_helper_for_streams_puts_them_together(client: openai.OpenAI) -> None:
    """`client.chat.completions.stream` ends with the whole answer."""
    word = words(ask(client, max_tokens=40))[10:14]
    with client.chat.completions.stream(
        model=MODEL, messages=asked("What is it?", data_uri()), max_tokens=40, stop=word
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == words(ask(client, max_tokens=40, stop=word))


def test_a_stop_word_ends_the_answer(client: openai.OpenAI) -> None:
    """The text ends before the word, in streams too."""
    whole = words(ask(client, max_tokens=40))
    word = whole[10:14]
    before = whole[: whole.index(word)]
    for stop in (word, ["not there at all", word]):
        answer = ask(client, max_tokens=40, stop=stop)
        assert words(answer) == before
        assert answer.choices[0].finish_reason == "stop"
    chunks = ask(client, max_tokens=40, stop=word, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)  # type: ignore[attr-defined]
    assert streamed == before


def test_logprobs_are_those_of_the_text(client: openai.OpenAI) -> None:
    """Every token has its own and the likeliest; their bytes together are the text."""
    answer = ask(client, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    tokens = logprobs.content or []
    assert all(len(token.top_logprobs) == 3 for token in tokens)
    assert all(token.logprob <= 0 for token in tokens)
    # Greedy: the likeliest is the one that was taken.
    assert all(token.top_logprobs[0].token == token.token for token in tokens)
    spelt = b"".join(bytes(token.bytes or []) for token in tokens)
    assert spelt.decode("utf-8", "replace").lstrip() == words(answer)


def test_streams_have_logprobs_too(client: openai.OpenAI) -> None:
    """They come once all is known, before the end."""
    whole = ask(client, logprobs=True).choices[0].logprobs
    assert whole is not None
    chunks: Any = ask(client, logprobs=True, stream=True)
    found = [
        token
        for chunk in chunks
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert [token.token for token in found] == [token.token for token in whole.content or []]


def test_several_answers_are_sampled_and_repeatable(client: openai.OpenAI) -> None:
    """With a temperature and a seed there are different answers, and the same ones again."""
    fields: dict[str, Any] = {"n": 3, "temperature": 1.5, "seed": 7, "max_tokens": 12}
    first, again = ask(client, **fields), ask(client, **fields)
    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    assert texts == [choice.message.content for choice in again.choices]
    assert first.usage is not None
    assert first.usage.completion_tokens > 12
    streamed = ["", "", ""]
    chunks: Any = ask(client, **fields, stream=True)
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    assert first.usage.prompt_tokens < 800


def test_greedy_is_the_default(client: openai.OpenAI) -> None:
    """Without a temperature, an answer is the same each time: counts do not jitter."""
    assert len({words(ask(client, max_tokens=20)) for _ in range(3)}) == 1
    assert words(ask(client, max_tokens=20, temperature=0)) == words(ask(client, max_tokens=20))


def test_the_newer_name_of_the_limit_wins(client: openai.OpenAI) -> None:
    """`max_completion_tokens` goes before `max_tokens`."""
    answer = ask(client, max_tokens=8, max_completion_tokens=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize(
    "fields", [{"reasoning_effort": "low"}, {"extra_body": {"reasoning": True}}]
)
def test_reasoning_comes_beside_the_answer(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    """Thoughts and what they point at are extra fields of the message, and are counted."""
    answer = ask(client, max_tokens=30, **fields)
    message: Any = answer.choices[0].message
    assert isinstance(message.reasoning, str)
    assert isinstance(message.reasoning_details["grounding"], list)
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens
    stream: Any = ask(client, max_tokens=30, stream=True, **fields)
    thoughts = [getattr(chunk.choices[0].delta, "reasoning", None) for chunk in stream]
    assert message.reasoning in thoughts


def test_reasoning_goes_with_logprobs_and_forms(client: openai.OpenAI) -> None:
    """Both are about the answer alone; thoughts are free."""
    answer = ask(client, max_tokens=12, reasoning_effort="low", logprobs=True)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    spelt = b"".join(bytes(token.bytes or []) for token in logprobs.content or [])
    assert spelt.decode("utf-8", "replace").lstrip() == words(answer)
    form = {"type": "json_object"}
    answer = ask(client, max_tokens=200, reasoning_effort="low", response_format=form, stop="}")
    assert words(answer).startswith("{")
    assert "}" not in words(answer)


class Gate(BaseModel):
    """What is asked for in a form."""

    state: Literal["open", "shut"]
    is_busy: bool


def test_a_form_is_followed_and_parsed(client: openai.OpenAI) -> None:
    """`parse` with a pydantic class gives an object of it, whatever the model would rather say."""
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=asked("Is the gate open?", data_uri()),
        response_format=Gate,
        max_tokens=60,
    )
    assert isinstance(answer.choices[0].message.parsed, Gate)


def test_a_schema_of_ones_own_is_followed(client: openai.OpenAI) -> None:
    """`json_schema` makes JSON of it, in a stream too."""
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["count"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    found = json.loads(words(ask(client, response_format=form, max_tokens=40)))
    assert 0 <= found["count"] <= 9
    chunks: Any = ask(client, response_format=form, max_tokens=40, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert json.loads(text) == found


def test_boxes_come_as_json(served: Serving, client: openai.OpenAI) -> None:
    """The model `moondream2:detect` takes the name of an object and answers with boxes."""
    answer = ask(client, "person", model="moondream2:detect")
    found = json.loads(words(answer))
    expected = direct(served, moondream.DetectRequest("person"))
    assert len(found["objects"]) == len(expected) == found["count"] > 0
    assert found["objects"][0].keys() == {"x_min", "y_min", "x_max", "y_max"}
    boxes = [list(box.values()) for box in found["objects"]]
    assert boxes == pytest.approx(expected.boxes_xyxy, abs=1e-6)
    assert found["scores"] == pytest.approx(expected.scores, abs=1e-6)
    assert found["saturated"] is expected.saturated


def test_points_come_as_json_of_a_stream_too(client: openai.OpenAI) -> None:
    """The model `moondream2:point` works the same way, and can be streamed."""
    whole = json.loads(words(ask(client, "person", model="moondream2:point")))
    assert whole["points"]
    assert whole["points"][0].keys() == {"x", "y"}
    chunks: Any = ask(client, "person", model="moondream2:point", stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert json.loads(text) == whole


def test_skills_are_an_extra_field_too(client: openai.OpenAI) -> None:
    """`extra_body` says the skill, the object and how many at most."""
    image_only: Any = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": data_uri()}}]}
    ]
    skill = {"skill": "detect", "object": "person", "max_objects": 2}
    answer = ask(client, messages=image_only, extra_body={"moondream": skill})
    found = json.loads(words(answer))
    assert found["count"] == 2
    assert found["saturated"]
    caption = {"skill": "caption", "length": "short"}
    assert words(ask(client, messages=image_only, extra_body={"moondream": caption}))


def test_models_are_listed_with_their_tags(client: openai.OpenAI) -> None:
    """Every name that is listed can be asked for, alone and in a question."""
    names = [model.id for model in client.models.list()]
    assert {MODEL, EXACT, "moondream2:detect"} <= set(names)
    for name in names:
        assert client.models.retrieve(name).id == name
    assert words(ask(client, model=EXACT)) == words(ask(client))
    with pytest.raises(openai.NotFoundError, match=r"moondream2:2020-01-01.*is not served"):
        client.models.retrieve("moondream2:2020-01-01")
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="gpt-4o")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_responses_answer_a_question(served: Serving, client: openai.OpenAI) -> None:
    """`/v1/responses` gives the same text, whole and streamed, with its usage."""
    question: Any = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": data_uri(), "detail": "auto"},
            ],
        }
    ]
    answer = client.responses.create(model=MODEL, input=question, max_output_tokens=8)
    assert answer.output_text == words(ask(client))
    assert answer.status == "incomplete"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 8
    answer = client.responses.create(model=MODEL, input=question)
    assert answer.status == "completed"
    with client.responses.stream(model=MODEL, input=question) as stream:
        text = "".join(item.delta for item in stream if item.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == answer.output_text


def test_responses_think_and_follow_forms(client: openai.OpenAI) -> None:
    """Reasoning is an item of the output; a pydantic class is parsed."""
    thought = client.responses.create(
        model=MODEL, input="One and one?", max_output_tokens=20, reasoning={"effort": "low"}
    )
    assert [item.type for item in thought.output] == ["reasoning", "message"]
    parsed = client.responses.parse(
        model=MODEL, input="Is the gate open?", text_format=Gate, max_output_tokens=60
    )
    assert isinstance(parsed.output_parsed, Gate)


def test_a_wrong_key_is_the_clients_own_error(served: Serving) -> None:
    """Whoever has no key is told so, with the id of the request."""
    for key in ("nonsense", served.key[:-1] + ("a" if served.key[-1] != "a" else "b")):
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(client_of(served, api_key=key))
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client_of(served, api_key=key).models.list()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]},
     "tools", "moondream2:detect"),
    ({"logit_bias": {"1": 5}}, "logit_bias", "not supported"),
    ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
    ({"frequency_penalty": -1}, "frequency_penalty", "not supported"),
    ({"modalities": ["text", "audio"]}, "modalities", "text alone"),
    ({"audio": {"voice": "x", "format": "mp3"}}, "audio", "text alone"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction", "not supported"),
    ({"web_search_options": {}}, "web_search_options", "does not search"),
    ({"extra_body": {"top_k": 3}}, "top_k", "leave it out"),
    ({"extra_body": {"moondream": {"skil": "detect"}}}, "moondream.skil", "leave it out"),
    ({"n": 2}, "n", "set temperature"),
    ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ({"temperature": "1"}, "temperature", "valid number"),
    ({"top_p": -0.1}, "top_p", "greater than or equal to 0"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
    ({"stop": ["a"] * 5}, "stop", "at most 4"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "json_object"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "needs"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [{"role": "assistant", "content": "x"}]},
     "messages[0].role", "must be the user"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "'user'"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages", "no text"),
    ({"messages": [{"role": "user", "content": [{"type": "video"}]}]},
     "messages[0].content[0]", "type 'text'"),
    ({"messages": asked("x", "file:///etc/passwd")},
     "messages[0].content[1].image_url", "file:"),
    ({"messages": asked("x", "http://127.0.0.1/a.jpg")},
     "messages[0].content[1].image_url", "fetches no"),
    ({"messages": asked("x", data_uri()) + asked("y", data_uri(9))},
     "messages[1].content[1].image_url", "2 different"),
    ({"messages": asked("x", data_uri(), "huge")},
     "messages[0].content[1].image_url.detail", "'low'"),
    ({"model": "moondream2:detect", "temperature": 1}, "temperature", "by detect"),
    ({"model": "moondream2:detect", "stop": "x"}, "stop", "by detect"),
    ({"model": "moondream2:detect", "messages": asked("x")}, "messages", "needs a picture"),
    ({"model": "moondream2:point",
      "messages": [{"role": "system", "content": "s"}, *asked("x", data_uri())]},
     "messages", "one text"),
    ({"model": "moondream2:point", "extra_body": {"moondream": {"skill": "detect"}}},
     "moondream.skill", "differ"),
    ({"extra_body": {"moondream": {"spatial_refs": [[0.5]]}}},
     "moondream.spatial_refs[0]", "neither a point"),
    ({"extra_body": {"moondream": {"spatial_refs": [[0.5, 2.0]]}}},
     "moondream.spatial_refs[0]", "out of the picture"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param", "said"), REFUSED)
def test_what_is_not_supported_is_refused_by_name(
    client: openai.OpenAI, fields: dict[str, Any], param: str, said: str
) -> None:
    """A field that would change the answer is never dropped: the client's own error names it."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param
    assert said in str(caught.value)


def test_what_changes_nothing_is_left_alone(client: openai.OpenAI) -> None:
    """Fields about the caller, and neutral values of what is not supported, are accepted."""
    answer = ask(
        client, user="u", metadata={"a": "b"}, store=False, service_tier="auto", verbosity="low",
        safety_identifier="s", prompt_cache_key="k", presence_penalty=0, frequency_penalty=0.0,
        logit_bias={}, tools=[], n=1, parallel_tool_calls=True, modalities=["text"],
    )  # fmt: skip
    assert words(answer) == words(ask(client))


def test_a_question_that_is_too_long_is_refused(client: openai.OpenAI) -> None:
    """The error has the code that clients look for."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "word " * 3000)
    assert caught.value.code == "context_length_exceeded"


def usage_of(served: Serving, key: str) -> UsageSum:
    """What a key's requests took, once they are written down."""
    found: list[UsageSum] = []

    def is_there() -> bool:
        found[:] = [row for row in served.usage(UsageBy.KEY) if row.key == key]
        return bool(found)

    wait_until(is_there)
    return found[0]


def test_a_caller_who_goes_away_frees_the_row(served: Serving) -> None:
    """In the middle of a stream: the row is free at once, and the ledger says cancelled."""
    client = client_of(served, api_key=served.new_key("leaver"))
    stream = client.chat.completions.create(
        model=MODEL,
        messages=LONG,
        max_tokens=768,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert served.rows == 1
    stream.close()
    client.close()
    wait_until(lambda: served.rows == 0)
    used = usage_of(served, "leaver")
    assert used.cancelled == 1
    assert 0 < used.completion_tokens < 768


def test_a_caller_who_does_not_wait_frees_the_row(served: Serving) -> None:
    """A client's timeout without a stream does the same."""
    client = client_of(served, api_key=served.new_key("hasty"), timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        ask(client, messages=LONG, max_tokens=768)
    wait_until(lambda: served.rows == 0)
    assert usage_of(served, "hasty").cancelled == 1


def test_a_spent_rate_is_retried_when_it_is_time(served: Serving) -> None:
    """The client waits as long as it is told to, and then succeeds."""
    key = served.new_key("slow", requests_per_second=0.5, burst=1)
    eager = client_of(served, api_key=key)
    ask(eager, max_tokens=1)
    with pytest.raises(openai.RateLimitError) as caught:
        [ask(eager, max_tokens=1) for _ in range(3)]
    assert caught.value.code == "rate_limit_exceeded"
    assert float(caught.value.response.headers["retry-after-ms"]) <= 2000
    patient = client_of(served, api_key=key, max_retries=3)
    raw = patient.chat.completions.with_raw_response.create(
        model=MODEL, messages=asked("What?"), max_tokens=1
    )
    assert raw.retries_taken >= 1
    assert raw.headers["x-ratelimit-limit-requests"]


def test_the_highest_seed_has_others_after_it(client: openai.OpenAI) -> None:
    """Several answers have seeds of their own, also at the end of the numbers."""
    answer = ask(client, seed=2**63 - 1, n=3, temperature=1.0, max_tokens=8)
    assert len(answer.choices) == 3
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_what_is_refused_after_much_work_counts_as_a_request(served: Serving) -> None:
    """A schema that cannot be followed does not pass the limit of a key."""
    key = served.new_key("schemer", requests_per_second=0.001, burst=1)
    schema = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = {"model": MODEL, "messages": asked("What?"), "response_format": form}
    refused = served.post("/chat/completions", body, key)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format"
    assert served.post("/chat/completions", body, key).status_code == 429
    assert usage_of(served, "schemer").failed == 1


@pytest.mark.parametrize("letters", [9_000, 90_000])
def test_words_that_do_not_fit_are_named_as_they_were_sent(served: Serving, letters: int) -> None:
    """Each interface has its own name for them; very many do not get to the engine."""
    words = "why " * (letters // 4)
    for path, body, param in (
        ("/chat/completions", {"model": MODEL, "messages": asked(words)}, "messages"),
        ("/responses", {"model": MODEL, "input": words}, "input"),
        ("/query", {"question": words}, "question"),
        ("/detect", {"object": words, "image_url": data_uri()}, "object"),
    ):
        refused = served.post(path, body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["param"] == param
        assert refused.json()["error"]["code"] == "context_length_exceeded"


class Around:
    """Callers that do something on the way to the real ones."""

    def __init__(self, inner: Callers, before: Callable[[Call, Callers], CallTicket]) -> None:
        self._inner, self._before = inner, before
        self.calls = 0

    def submit(self, call: Call) -> CallTicket:
        """Count the call and pass it on."""
        self.calls += 1
        return self._before(call, self._inner)

    def reserve(self, caller: str) -> ReservedPlace:
        """A place of the real ones."""
        return self._inner.reserve(caller)

    @property
    def ready(self) -> str | None:
        """As the real ones are."""
        return self._inner.ready

    @property
    def model_facts(self) -> ModelFacts | None:
        """The real ones'."""
        return self._inner.model_facts

    @property
    def language(self) -> Language | None:
        """The real ones'."""
        return self._inner.language

    @property
    def waiting(self) -> int:
        """The real ones'."""
        return self._inner.waiting

    @property
    def running(self) -> int:
        """The real ones'."""
        return self._inner.running


def test_a_full_line_is_retried(tmp_path: Path) -> None:
    """503 with a time to come again: two refusals later the client has its answer."""
    refusals = iter([True, True, False])

    def before(call: Call, callers: Callers) -> CallTicket:
        if next(refusals, False):
            raise OverloadedError("the line is full", 0.01)
        return callers.submit(call)

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        raw = client_of(served, max_retries=2).chat.completions.with_raw_response.create(
            model=MODEL, messages=asked("What?"), max_tokens=1
        )
        assert raw.retries_taken == 2
        refusals = iter([True])
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client_of(served))
        assert caught.value.status_code == 503
        assert caught.value.code == "overloaded"


def test_a_failure_in_mid_stream_is_raised(tmp_path: Path) -> None:
    """The client raises its own error in the middle of the text, with no word of our insides."""
    tickets: list[CallTicket] = []

    def before(call: Call, callers: Callers) -> CallTicket:
        tickets.append(callers.submit(call))
        return tickets[-1]

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        client = client_of(served)
        stream = client.chat.completions.create(
            model=MODEL, messages=LONG, max_tokens=768, stream=True
        )
        next(iter(stream))
        assert tickets[-1].fail("model", "RuntimeError in /root/secret.py")
        with pytest.raises(openai.APIError, match="the model failed") as caught:
            list(stream)
        assert "secret" not in str(caught.value.body)
        assert usage_of(served, "tests").failed == 1


def test_a_stream_that_waits_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be sent, comments keep the connection open."""
    monkeypatch.setattr(asking, "KEEP_ALIVE_S", 0.02)
    tickets: list[CallTicket] = []

    def before(call: Call, callers: Callers) -> CallTicket:
        tickets.append(CallTicket(call))
        return tickets[-1]

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        body = {"model": MODEL, "messages": asked("What?"), "stream": True}
        headers = {"authorization": f"Bearer {served.key}"}
        url = served.url + "/chat/completions"
        with httpx.stream(
            "POST", url, json=body, headers=headers, timeout=PATIENCE_S, trust_env=False
        ) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line.startswith(":")) == ": still working"
            tickets[-1].settle(moondream.TextResult("So.", pieces=("So.",)))
            rest = list(lines)
        assert "data: [DONE]" in rest


def test_the_client_passes_over_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said while it waited is no part of the answer."""
    monkeypatch.setattr(asking, "KEEP_ALIVE_S", 0.02)
    tickets: list[CallTicket] = []

    def before(call: Call, callers: Callers) -> CallTicket:
        tickets.append(CallTicket(call))
        return tickets[-1]

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        stream = client_of(served).chat.completions.create(
            model=MODEL, messages=asked("What?"), stream=True
        )
        next(iter(stream))
        tickets[-1].grow(("So.",), CallFacts())
        tickets[-1].settle(moondream.TextResult("So.", pieces=("So.",)))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "So."


def test_a_caller_who_leaves_the_line_is_taken_out_of_it(tmp_path: Path) -> None:
    """Before the first word of a stream, a caller who goes away gives up the place at once."""
    tickets: list[CallTicket] = []

    def before(call: Call, callers: Callers) -> CallTicket:
        tickets.append(CallTicket(call))
        return tickets[-1]

    with serving(tmp_path, around=lambda callers: Around(callers, before)) as served:
        client = client_of(served, timeout=0.3)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=MODEL, messages=asked("What?"), stream=True)
        wait_until(lambda: tickets[-1].is_done)
        assert tickets[-1].fault == "cancelled"


def test_what_takes_too_long_ends(tmp_path: Path) -> None:
    """A request that is not answered in the server's time is, with an error."""
    with serving(tmp_path, timeout="400ms") as served:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client_of(served), messages=LONG, max_tokens=768)
        assert caught.value.status_code == 504
        wait_until(lambda: served.rows == 0)


@pytest.mark.slow
def test_many_callers_get_what_each_gets_alone(served: Serving) -> None:
    """64 at once with pictures and questions of their own: every answer is the same as alone."""
    client = client_of(served)
    cases = [(f"What is number {number % 8}?", data_uri(number % 5)) for number in range(64)]
    alone = {
        case: words(ask(client, messages=asked(*case), max_tokens=10))
        for case in dict.fromkeys(cases)
    }

    async def together() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=served.url, api_key=served.key, max_retries=5, timeout=PATIENCE_S
        ) as many:
            answers = await asyncio.gather(
                *(
                    many.chat.completions.create(model=MODEL, messages=asked(*case), max_tokens=10)
                    for case in cases
                )
            )
        return [words(answer) for answer in answers]

    assert asyncio.run(together()) == [alone[case] for case in cases]


def test_plain_clients_keep_the_connection(served: Serving) -> None:
    """Several requests over one connection, errors among them, do not disturb each other."""
    body = {"model": MODEL, "messages": asked("What is it?", data_uri()), "max_tokens": 4}
    with httpx.Client(
        base_url=served.url,
        headers={"authorization": f"Bearer {served.key}"},
        timeout=PATIENCE_S,
        trust_env=False,
    ) as client:
        for fields, status in (({}, 200), ({"n": 0}, 400), ({"stream": True}, 200), ({}, 200)):
            answer = client.post("/chat/completions", json={**body, **fields})
            assert answer.status_code == status
