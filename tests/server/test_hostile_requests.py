"""Whatever is sent, the answer is a sentence and a status of the 4xx: never a 500, no internals."""

import gzip
import json
import re
from typing import Any

import httpx
import pytest

from tests.server.serving import PATIENCE_S, Serving, data_uri

MESSAGES = [{"role": "user", "content": "What?"}]
QUESTION: dict[str, Any] = {"model": "moondream2", "messages": MESSAGES, "max_tokens": 2}
PATHS = ("/chat/completions", "/responses", "/query", "/caption", "/detect", "/point")
INTERNAL = re.compile(r"Traceback|File \"|pipeline/|site-packages|pydantic|0x[0-9a-f]{6}")


def check(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """Assert that an answer is an error of the documented shape; return the error."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
    assert len(answer.text) < 2000
    assert not INTERNAL.search(answer.text), answer.text
    return error


def body_with(**fields: Any) -> bytes:
    """A question with other fields."""
    return json.dumps({**QUESTION, **fields}).encode()


def form(schema: dict[str, Any]) -> dict[str, Any]:
    """The field that asks for an answer of this schema."""
    named = {"name": "x", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


BODIES: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "empty"),
    ("no JSON", b"model=moondream2", "not valid JSON"),
    ("half of it", b'{"model": "moond', "not valid JSON"),
    ("more than it", b"{} {}", "not valid JSON"),
    ("a list", b"[]", "is a list"),
    ("a text", b'"x"', "is a text"),
    ("null", b"null", "is null"),
    ("not UTF-8", b'{"model": "\xff"}', "not UTF-8"),
    ("UTF-16", '{"model": "x"}'.encode("utf-16"), "not UTF-8"),
    ("NaN", b'{"temperature": NaN}', "NaN"),
    ("infinity", b'{"temperature": -Infinity}', "Infinity"),
    ("a huge float", b'{"temperature": 1e999}', "too large"),
    ("a huge integer", b'{"seed": ' + b"9" * 5000 + b"}", "too long"),
    ("a null byte", b'{"model": "moon\\u0000dream2"}', "U+0000"),
    ("half a pair", b'{"model": "\\ud83d"}', "surrogate"),
    ("half a pair in a name", b'{"\\udc00": 1}', "surrogate"),
    ("a name twice", b'{"model": "a", "model": "b"}', "twice"),
    ("deep lists", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "deep"),
    ("deep objects", b'{"a":' * 200 + b"1" + b"}" * 200, "deep"),
    ("many parts", b'{"a": [' + b"0," * 60_000 + b"0]}", "parts"),
]


@pytest.mark.parametrize(
    ("body", "said"), [case[1:] for case in BODIES], ids=[c[0] for c in BODIES]
)
def test_bodies_that_are_no_plain_json(served: Serving, body: bytes, said: str) -> None:
    """Every path says the same of them."""
    for path in PATHS:
        assert said in check(served.send(body, path), 400)["message"]


LONG_TEXT = "x" * 10_000
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, "", "x", [], [[]], {}, {"a": {}}, LONG_TEXT,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_every_type_in_every_field(served: Serving, path: str) -> None:
    """No value of any type in any field does more than to be refused."""
    schema = served.openapi()
    content = schema["paths"]["/v1" + path]["post"]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = schema["components"]["schemas"][name]["properties"]
    bases: dict[str, dict[str, Any]] = {
        "/chat/completions": QUESTION,
        "/responses": {"model": "moondream2", "input": "x", "max_output_tokens": 2},
        "/query": {"question": "x", "settings": {"max_tokens": 2}},
    }
    few = {"max_tokens": 2}
    base = bases.get(path, {"image_url": data_uri(), "object": "x", "settings": few})
    for field in fields:
        for value in VALUES:
            answer = served.send(json.dumps({**base, field: value}).encode(), path)
            if answer.status_code != 200:
                check(answer, 400, 404)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seed": 10**30}, "seed"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"temperature": 10**400}, "temperature"),
        ({"stop": "x" * 1000}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"model": "x" * 100_000}, "model"),
        ({"x" * 100_000: 1}, None),
        ({"messages": [MESSAGES] * 3}, "messages[0]"),
        ({"messages": MESSAGES * 500}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 10_000_000}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
        (form({"type": "colour"}), "response_format"),
        (form({"$ref": "#/a"}), "response_format"),
        (form({"$ref": "https://example.com/a.json"}), "response_format"),
        (form({"type": "string", "pattern": "(a+)+" * 500 + "("}), "response_format"),
    ],
)  # fmt: skip
def test_values_beyond_measure(served: Serving, fields: dict[str, Any], param: str | None) -> None:
    """Numbers, texts and lists that no request needs are refused, and quoted in short at most."""
    error = check(served.send(body_with(**fields)), 400)
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize(
    "picture",
    [
        "x" * 10_000_000,
        "data:image/png;base64," + "A" * 5_000_000,
        "data:text/html;base64,PGh0bWw+",
        "data:,",
        "https://",
        "https://user:pass@example.com/a.jpg",
        "javascript:alert(1)",
        "\\\\host\\share",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_pictures_that_are_none(served: Serving, picture: str) -> None:
    """Each interface says which field the picture is in."""
    content = [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    body = body_with(messages=[{"role": "user", "content": content}])
    error = check(served.send(body), 400, 502)
    assert error["param"] == "messages[0].content[1].image_url"
    error = check(served.post("/caption", {"image_url": picture}), 400, 502)
    assert error["param"] == "image_url"


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_type": ""},
        {"content_encoding": "gzip"},
    ],
)
def test_what_is_not_sent_as_json(served: Serving, headers: dict[str, str]) -> None:
    """Another type of content, or a compressed one, is not guessed at."""
    body = gzip.compress(body_with()) if "content_encoding" in headers else body_with()
    assert "send" in check(served.send(body, **headers), 415)["message"]


def test_routes_and_methods_that_there_are_not(served: Serving) -> None:
    """Unknown paths and wrong methods are answered in the same shape."""
    with httpx.Client(
        base_url=served.url,
        headers={"authorization": f"Bearer {served.key}"},
        timeout=PATIENCE_S,
        trust_env=False,
    ) as client:
        check(client.get("/nothing"), 404)
        check(client.get("/../../etc/passwd"), 404)
        check(client.get("/models/" + "x" * 2000), 404)
        check(client.get("/models/%00%ff"), 404)
        for path in PATHS:
            check(client.get(path), 405)
            check(client.delete(path), 405)
        check(client.post("/models", json={}), 405)


def test_strangers_learn_nothing(served: Serving) -> None:
    """Without a key even a body that is wrong is not looked at."""
    for path in PATHS:
        answer = served.send(b"{", path, authorization="")
        assert "key" in check(answer, 401, 429)["message"]


def test_after_all_of_it_a_question_is_answered(served: Serving) -> None:
    """No row is left behind, and the server answers as before."""
    content = [
        {"type": "image_url", "image_url": {"url": data_uri()}},
        {"type": "text", "text": "What?"},
    ]
    body = body_with(messages=[{"role": "user", "content": content}])
    assert served.send(body).status_code == 200
    assert served.rows == 0
