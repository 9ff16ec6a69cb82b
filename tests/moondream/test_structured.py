"""Answers held to a form: whatever the weights say, they are JSON of the schema."""

import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.moondream import (
    CaptionRequest,
    EngineOptions,
    FailedResult,
    MaskError,
    QueryRequest,
    TextResult,
    TokenMask,
    structured,
)
from pipeline.moondream.batch.engine import MoondreamBatcher
from pipeline.moondream.batch.strands import RequestTicket
from pipeline.moondream.device.graphs import Capture
from pipeline.moondream.dims import Dims
from pipeline.moondream.network.network import Network
from pipeline.moondream.skills.base import Language
from pipeline.moondream.structured import (
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    JsonMask,
    json_mask,
)
from tests.moondream.mixes import CASES, assert_clean, assert_same, build, expected, submit
from tests.moondream.test_engine import run_it_again
from tests.moondream.tiny import (
    TINY,
    pictures,
    random_state,
    tiny_language,
    tiny_release,
)

Schema = dict[str, Any]
ROOM = 1500
LONG = Dims(replace(TINY.text, max_context=2048), TINY.vision, TINY.region)

PERSON: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "mood": {"enum": ["glad", "sad", None]},
        "likes": {"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3},
    },
    "required": ["name", "age", "mood", "likes"],
    "additionalProperties": False,
}
UNION: Schema = {
    "anyOf": [
        PERSON,
        {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4},
        {"const": "nobody"},
        {"type": "number", "minimum": -2.5, "maximum": 10},
    ]
}
TREE: Schema = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {
                "leaf": {"type": "boolean"},
                "under": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1},
            },
            "required": ["leaf", "under"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/tree",
}
TAGGED: Schema = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, field: {"type": "integer", "maximum": 9}},
            "required": ["kind", field],
            "additionalProperties": False,
        }
        for kind, field in (("car", "doors"), ("person", "age"))
    ]
}
PATTERNS: Schema = {
    "type": "array",
    "items": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{1,3}$"},
    "minItems": 2,
    "maxItems": 2,
}
OBJECT: Schema = {"type": "object", "additionalProperties": {"type": "integer", "maximum": 99}}
SCHEMAS = {
    "person": PERSON, "union": UNION, "tree": TREE, "tagged": TAGGED, "patterns": PATTERNS,
    "object": OBJECT,
}  # fmt: skip


@cache
def long_language() -> Language:
    """Return the language of a tiny network with room for long answers."""
    return Language(tiny_release(), tiny_language().tokenizer, LONG)


@cache
def long_network() -> Network:
    """Return that network, whose words come evenly."""
    release = tiny_release()
    with torch.inference_mode():
        return Network.from_state(random_state(LONG, release.ids, likely={}), LONG, release)


@cache
def engine_of(captured: bool) -> MoondreamBatcher:
    """Return an engine that all schemas share, with captured cycles or without."""
    capture: Capture | None = run_it_again if captured else None
    options = EngineOptions(24, int(6e7), 2, 3)
    return MoondreamBatcher(long_network(), long_language(), options, capture)


def asked(mask: TokenMask, seed: int, **how: Any) -> QueryRequest:
    """Return a question whose answer is drawn at random."""
    return QueryRequest(
        "what is it", max_tokens=ROOM, temperature=1.0, top_p=1.0, seed=seed, mask=mask, **how
    )


def answered(
    engine: MoondreamBatcher, requests: list[QueryRequest | CaptionRequest]
) -> list[RequestTicket]:
    """Run requests side by side, each picture's together."""
    half = len(requests) // 2
    tickets = engine.submit(pictures()[0], requests[:half])
    tickets += engine.submit(pictures()[1], requests[half:])
    engine.run(tickets)
    return tickets


def assert_json(ticket: RequestTicket, schema: Schema) -> None:
    """An answer that ended is JSON of its schema; white space is at most one between parts."""
    result = ticket.result
    assert isinstance(result, TextResult), result
    assert result.finish == "end", result.text
    value = json.loads(result.text)
    jsonschema.validate(value, schema)
    outside = re.sub(r'"(\\.|[^"\\])*"', '""', result.text)
    assert not re.search(r"\s\s|[\n\r\t]", outside)
    assert "".join(ticket.pieces) == result.text


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("name", SCHEMAS)
def test_random_weights_write_json_of_a_schema(name: str, captured: bool) -> None:
    """Eight seeds at temperature 1, side by side."""
    mask = json_mask(SCHEMAS[name], long_language())
    tickets = answered(engine_of(captured), [asked(mask, seed) for seed in range(8)])
    for ticket in tickets:
        assert_json(ticket, SCHEMAS[name])
    assert len({"".join(ticket.pieces) for ticket in tickets}) >= 2
    assert_clean(engine_of(captured))


strings = st.one_of(
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 6)),
    st.builds(
        lambda words: {"enum": words},
        st.lists(st.text(max_size=6), min_size=1, max_size=4, unique=True),
    ),
    st.sampled_from([{"type": "string", "format": name} for name in ("date", "time", "uuid")]),
    st.just({"type": "string", "pattern": "^(ab|c)+d?$", "maxLength": 9}),
)
numbers = st.one_of(
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-1000, 1000),
        st.integers(0, 10_000),
    ),
    st.builds(
        lambda low, more: {"type": "number", "minimum": low, "maximum": low + more},
        st.integers(-50, 50),
        st.integers(1, 99),
    ),
)
others: st.SearchStrategy[Schema] = st.sampled_from(
    [{"type": "boolean"}, {"type": "null"}, {"const": 3}]
)
leaves: st.SearchStrategy[Schema] = st.one_of(strings, numbers, others)


def objects(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Return objects with required and free properties."""

    @st.composite
    def draw(draw_: Callable[[st.SearchStrategy[Any]], Any]) -> Schema:
        properties = draw_(st.dictionaries(st.text(max_size=5), inner, max_size=4))
        required = [key for key in properties if draw_(st.booleans())]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    return draw()


def arrays(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Return short arrays."""
    return st.builds(
        lambda items, low, more: {
            "type": "array", "items": items, "minItems": low, "maxItems": low + more
        },
        inner, st.integers(0, 2), st.integers(0, 2),
    )  # fmt: skip


def unions(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Return choices of several schemas."""
    return st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=2, max_size=3))


def defined(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Return pairs of a definition."""
    return st.builds(
        lambda one: {
            "$defs": {"one": one},
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/one"}, "b": {"$ref": "#/$defs/one"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        inner,
    )


within: st.SearchStrategy[Schema] = st.recursive(
    leaves, lambda inner: objects(inner) | arrays(inner) | unions(inner), max_leaves=6
)
schemas = within | defined(within)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas, st.integers(0, 2**40))
@pytest.mark.slow
def test_any_schema_is_kept_to(schema: Schema, seed: int) -> None:
    """Strings, numbers, arrays, objects, unions and definitions as they come, at temperature 1."""
    mask = json_mask(schema, long_language())
    for ticket in answered(engine_of(False), [asked(mask, seed), asked(mask, seed + 1)]):
        assert_json(ticket, schema)


def test_any_object_is_asked_for_without_a_schema() -> None:
    """The greedy answer and drawn ones are objects, or were cut and say so."""
    mask = json_mask(None, long_language())
    requests: list[QueryRequest | CaptionRequest] = [asked(mask, seed) for seed in range(6)]
    requests += [CaptionRequest("long", max_tokens=60, mask=mask)]
    ended = 0
    for ticket in answered(engine_of(True), requests):
        result = ticket.result
        assert isinstance(result, TextResult)
        assert result.text.startswith("{")
        if result.finish == "end":
            assert isinstance(json.loads(result.text), dict)
            ended += 1
        else:
            assert result.finish in ("length", "context")
    assert ended


def test_an_answer_that_is_cut_says_so() -> None:
    """What max_tokens end is no JSON, and its finish is "length"."""
    mask = json_mask(PERSON, long_language())
    (ticket,) = engine_of(False).submit(None, [replace(asked(mask, 1), max_tokens=4)])
    engine_of(False).run([ticket])
    assert isinstance(ticket.result, TextResult)
    assert ticket.result.finish == "length"
    assert len(ticket.result.token_ids) == 4
    with pytest.raises(json.JSONDecodeError):
        json.loads(ticket.result.text)


@pytest.mark.slow
def test_only_the_answer_is_masked() -> None:
    """Thoughts are free, and the JSON comes after them; its probabilities are the model's."""
    mask = json_mask({"enum": ["yes", "no"]}, long_language())
    request = replace(asked(mask, 3), reasoning=True, logprobs=2)
    free = replace(request, mask=None)
    tickets = engine_of(True).submit(pictures()[0], [replace(request, max_tokens=12), free])
    engine_of(True).run(tickets)
    masked, other = (ticket.result for ticket in tickets)
    assert isinstance(masked, TextResult)
    assert isinstance(other, TextResult)
    assert masked.reasoning is not None
    assert other.reasoning is not None
    assert masked.reasoning.token_ids == other.reasoning.token_ids[:12]
    assert json.loads(masked.text) in ("yes", "no")
    assert masked.logprobs is not None
    assert min(one.logprob for one in masked.logprobs) < -3  # nothing the model would have said


@pytest.mark.parametrize("captured", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_masks_change_no_other_row(captured: bool) -> None:
    """Beside all skills in one batch, whose cycles have up to three steps; and alone they are the
    same themselves.
    """
    mask = json_mask(PERSON, tiny_language())
    short = [replace(asked(mask, seed), max_tokens=99) for seed in range(6)]
    alone = []
    for request in short:
        (ticket,) = submit(engine := build(max_batch=1), [(2, request)])
        engine.run([ticket])
        alone.append(ticket.result)
    engine = build(capture=run_it_again if captured else None)
    tickets: list[RequestTicket] = []
    others: list[RequestTicket] = []
    for number, request in enumerate(short):
        others += submit(engine, CASES[9 * number : 9 * number + 9])
        tickets += submit(engine, [(2, request)])
    engine.run([*tickets, *others])
    for case, ticket in zip(CASES, others, strict=False):
        assert_same(ticket.result, expected(case))
    for found, wanted in zip(tickets, alone, strict=True):
        assert wanted is not None
        assert_same(found.result, wanted)
    assert any(isinstance(one, TextResult) and one.finish == "end" for one in alone)
    assert_clean(engine)


@dataclass
class Stumbling:
    """A mask whose answers become too much work after some tokens."""

    vocab_size: int
    after: int

    def begin(self) -> "Stumbling":
        """Return one answer's state."""
        return Stumbling(self.vocab_size, self.after)

    is_complete = False

    def allowed(self) -> NDArray[np.int32]:
        """Let anything come."""
        return np.full(self.vocab_size // 32, -1, dtype=np.int32)

    def take(self, token: int) -> None:
        """Count."""
        self.after -= 1
        if self.after < 0:
            raise MaskError(f"too much work at {token}")


def test_a_mask_that_fails_fails_its_request_alone() -> None:
    """The library's limits are met in the midst of an answer; its neighbours go on."""
    engine = build()
    mask = Stumbling(TINY.text.vocab_size, 3)
    (bad,) = submit(engine, [(0, QueryRequest("what is it", max_tokens=50, mask=mask))])
    others = submit(engine, CASES[:8])
    engine.run([bad, *others])
    assert isinstance(bad.result, FailedResult)
    assert "too much work" in bad.result.reason
    assert bad.result.code == "mask"
    assert bad.facts.completion_tokens == 4
    for case, ticket in zip(CASES, others, strict=False):
        assert_same(ticket.result, expected(case))
    assert_clean(engine)


def test_a_mask_of_another_model_is_refused() -> None:
    """Its bits would stand for other tokens."""
    engine = build()
    (ticket,) = submit(engine, [(None, QueryRequest("hello", mask=Stumbling(51200, 3)))])
    assert isinstance(ticket.result, FailedResult)
    assert "made for a model of 51200 tokens, but this one has 512" in ticket.result.reason


def nested(depth: int) -> Schema:
    """Return arrays of arrays."""
    schema: Schema = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def patterns(*some: str) -> Schema:
    """Return a text that has several patterns at once."""
    return {"allOf": [{"type": "string", "pattern": pattern} for pattern in some]}


REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([1], "must be an object"),
    "no json": ({"const": {1, 2}}, "is not JSON"),
    "no number": ({"const": float("nan")}, "is not JSON"),
    "unknown type": ({"type": "foo"}, "Invalid type: foo"),
    "unknown keyword": ({"type": "array", "uniqueItems": True}, 'uses "uniqueItems"'),
    "unknown format": ({"type": "string", "format": "frob"}, "Unknown format: frob"),
    "not": ({"not": {"type": "string"}}, 'uses "not"'),
    "another's": ({"$ref": "http://example.org/x"}, "cannot be followed"),
    "itself": ({"$ref": "#"}, "cannot be followed"),
    "in a ring": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "cannot be followed",
    ),
    "nothing": ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum (5) is greater"),
    "one of alike": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "use anyOf"),
    "look ahead": (patterns("^(?=a)b"), "look-around"),
    "back": (patterns(r"^(a)\1"), "backreferences"),
    "options": ({"type": "object", "x-guidance": {"lenient": True}}, "x-guidance"),
    "deep": (nested(MAX_SCHEMA_DEPTH + 1), f"more than {MAX_SCHEMA_DEPTH} levels deep"),
    "very deep": (nested(100_000), f"more than {MAX_SCHEMA_DEPTH} levels deep"),
    "a megabyte": ({"enum": ["x" * 1_000_000]}, f"{MAX_SCHEMA_BYTES} at most"),
    "half a letter": ({"const": "\ud800"}, "is not JSON"),
    "many properties": (
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2000)}},
        "too much work",
    ),
    "all of any of": (
        {
            "allOf": [
                {"anyOf": [{"required": [f"p{i}{j}"], "type": "object"} for j in range(6)]}
                for i in range(9)
            ]
        },
        "too much work",
    ),
    "patterns at once": (
        patterns(*(f"(a|b)*[{'ab'[i % 2]}](a|b){{{i + 5}}}" for i in range(10))),
        "too much work",
    ),
    "multiples": (
        {"allOf": [{"type": "integer", "multipleOf": 9973}, {"multipleOf": 9967}]},
        "may be 10000 at most",
    ),
    "large multiple": ({"type": "number", "multipleOf": 1e300}, "may be 10000 at most"),
    "small multiple": ({"type": "number", "multipleOf": 1e-300}, "may be 10000 at most"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_schemas_that_are_refused(name: str) -> None:
    """Each with a short sentence, and soon."""
    schema, said = REFUSED[name]
    started = perf_counter()
    with pytest.raises(MaskError, match=re.escape(said)) as raised:
        json_mask(schema, tiny_language())
    assert perf_counter() - started < 10
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


HARD: dict[str, Schema] = {
    "many ways": patterns("^(a|aa|aaa)+b$"),
    "long memory": patterns("(a|b)*a(a|b){200}$"),
    "times": patterns("((a{1,100}){1,100}){1,100}"),
    "dots": patterns("^(.*a.*b.*c.*d){3,9}$"),
    "long": {"type": "string", "minLength": 1_000_000},
    "many": {"type": "array", "items": {"type": "integer"}, "minItems": 100_000},
    "bomb": {
        "$defs": {
            **{
                f"a{i}": {
                    "anyOf": [
                        {"$ref": f"#/$defs/a{i + 1}"},
                        {"type": "array", "items": {"$ref": f"#/$defs/a{i + 1}"}},
                    ]
                }
                for i in range(30)
            },
            "a30": {"type": "integer"},
        },
        "$ref": "#/$defs/a0",
    },
    "required": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string"} for i in range(1000)},
        "required": [f"p{i}" for i in range(1000)],
    },
    "endless": {
        "$defs": {
            "t": {"type": "object", "properties": {"c": {"$ref": "#/$defs/t"}}, "required": ["c"]}
        },
        "$ref": "#/$defs/t",
    },
}


@pytest.mark.parametrize("name", HARD)
def test_schemas_that_are_made_to_be_hard_cost_no_more_than_others(name: str) -> None:
    """A token of them takes the thread of the engine milliseconds, or the request fails."""
    mask = json_mask(HARD[name], tiny_language())
    state, rng = mask.begin(), np.random.default_rng(1)
    said = "too much work"
    started = perf_counter()
    try:
        for _ in range(200):
            bits = np.unpackbits(state.allowed().view(np.uint8), bitorder="little")
            token = int(rng.choice(np.flatnonzero(bits)))
            if token == tiny_release().ids.eos:
                break
            state.take(token)
            if state.is_complete:
                break
    except MaskError as error:
        said = str(error)
    assert "too much work" in said
    assert perf_counter() - started < 10


def test_a_schema_that_takes_too_long_is_given_up() -> None:
    """The caller has a sentence after its deadline, whatever the library still does."""
    properties = {f"p{i}": {"type": "string", "pattern": f"x{i}(a|b)*"} for i in range(300)}
    with pytest.raises(MaskError, match="takes more than 0 s to prepare"):
        json_mask({"type": "object", "properties": properties}, tiny_language(), within_s=0.0)


def test_few_schemas_are_prepared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take long hold their places until they are done, and others are told to wait."""
    going_on, begun = threading.Event(), threading.Semaphore(0)
    prepare = structured.JsonMask

    def slowly(*args: Any) -> JsonMask:
        begun.release()
        assert going_on.wait(60)
        return prepare(*args)

    monkeypatch.setattr(structured, "JsonMask", slowly)
    try:
        for _ in range(4):
            with pytest.raises(MaskError, match="takes more than"):
                json_mask(None, tiny_language(), within_s=0.01)
            assert begun.acquire(timeout=60)
        with pytest.raises(MaskError, match="other JSON schemas are still being prepared"):
            json_mask(None, tiny_language(), within_s=0.01)
    finally:
        going_on.set()
    assert json_mask(None, tiny_language(), within_s=60).vocab_size == TINY.text.vocab_size


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MaskError, match="install the extra `server`"):
        json_mask(None, tiny_language())


def test_control_tokens_are_no_text() -> None:
    """None may come in a string, and the end only where the JSON may end."""
    language = tiny_language()
    mask = json_mask({"type": "string", "maxLength": 300}, language)
    state = mask.begin()
    (quote,) = language.tokenizer.encode('"')
    for token in (quote, *language.tokenizer.encode("abc")):
        bits = np.unpackbits(state.allowed().view(np.uint8), bitorder="little")
        assert not bits[sorted(language.tokenizer.control)].any()
        state.take(token)
    state.take(quote)
    assert state.is_complete


def test_the_network_is_not_what_writes_the_json() -> None:
    """Without a mask its answers are none: or the tests above would show nothing."""
    engine = engine_of(False)
    tickets = engine.submit(
        pictures()[0],
        [QueryRequest("x", max_tokens=60, temperature=1.0, top_p=1.0, seed=i) for i in range(8)],
    )
    engine.run(tickets)
    for ticket in tickets:
        assert isinstance(ticket.result, TextResult)
        with pytest.raises(json.JSONDecodeError):
            json.loads(ticket.result.text)
