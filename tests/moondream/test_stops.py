"""Stop words: text ends before the first, whatever the tokens, and none is handed out in part."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.moondream import (
    CaptionRequest,
    FailedResult,
    QueryRequest,
    RequestError,
    TextResult,
)
from pipeline.moondream.batch.plan import plan
from pipeline.moondream.checkpoints.tokenizer import TextStream, TextTokenizer
from pipeline.moondream.skills.stops import HALF, StopStream
from tests.moondream.checkpoints import byte_tokenizer
from tests.moondream.mixes import assert_clean, assert_same, build, submit
from tests.moondream.tiny import GOLDEN, tiny_language

ALPHABET = "aab é\n人😀"
texts = st.text(alphabet=ALPHABET, max_size=30)
stop_words = st.lists(st.text(alphabet=ALPHABET, min_size=1, max_size=5), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def by_byte(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """One token per byte: every character of more bytes is split."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    byte_tokenizer().save(str(path))
    return TextTokenizer.open(path)


def before_stop(text: str, stops: list[str]) -> str | None:
    """Return what stands before the stop word that is complete first, None without one."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return None


def stream(tokenizer: TextTokenizer, text: str, stops: list[str]) -> tuple[list[str], bool, int]:
    """Return the pieces of a text, whether it was stopped, and how many tokens were taken."""
    stopped = StopStream(TextStream(tokenizer), stops)
    pieces: list[str] = []
    taken = 0
    for token in tokenizer.encode(text):
        taken += 1
        pieces.append(stopped.push(token))
        if stopped.has_stopped:
            return pieces, True, taken
    pieces.append(stopped.finish())
    return pieces, stopped.has_stopped, taken


@given(texts, stop_words)
def test_text_ends_before_the_first_stop_word(
    by_byte: TextTokenizer, text: str, stops: list[str]
) -> None:
    """Whatever the words and the text: nothing of a stop word is handed out, and nothing lost."""
    pieces, has_stopped, taken = stream(by_byte, text, stops)
    expected = before_stop(text, stops)
    assert "".join(pieces) == (text if expected is None else expected)
    assert has_stopped == (expected is not None)
    if expected is not None:
        # It ends with the token that makes the stop word whole.
        ends = [
            len(text[:end].encode())
            for end in range(len(text) + 1)
            if any(text[:end].endswith(stop) for stop in stops)
        ]
        assert taken == ends[0]


@given(texts, stop_words)
def test_pieces_are_never_taken_back(by_byte: TextTokenizer, text: str, stops: list[str]) -> None:
    """After every token, what was handed out is the beginning of what is the text in the end."""
    pieces, _, _ = stream(by_byte, text, stops)
    expected = before_stop(text, stops)
    final = text if expected is None else expected
    given_out = ""
    for piece in pieces:
        given_out += piece
        assert final.startswith(given_out)
        assert not any(stop in given_out for stop in stops)


def test_without_a_stop_word_in_sight_pieces_stay_as_they_were(by_byte: TextTokenizer) -> None:
    """Words come one by one; what may begin a stop word comes when it is known not to be one."""
    words = {1: "a ", 5: "red ", 9: "car ", 12: "is"}
    assert places(stream(by_byte, "a red car is", ["zebra"])[0]) == words
    later = {1: "a ", 8: "red ", 9: "car ", 12: "is"}
    assert places(stream(by_byte, "a red car is", ["red cat"])[0]) == later


def places(pieces: list[str]) -> dict[int, str]:
    """Return each piece by the number of the token that it came with."""
    return {number: piece for number, piece in enumerate(pieces) if piece}


def test_half_a_character_is_no_stop_word(by_byte: TextTokenizer) -> None:
    """U+FFFD stands for what is not complete yet; in the end it may be all there is."""
    assert stream(by_byte, "a é b", ["\ufffd"])[:2] == (["", "a ", "", "", "é ", "", "b"], False)
    stopped = StopStream(TextStream(by_byte), ["\ufffd"])
    half = by_byte.encode("é")[0]
    assert stopped.push(half) == ""
    assert stopped.finish() == ""
    assert stopped.has_stopped


QUESTION = QueryRequest("what is it", max_tokens=40)
THINKING = QueryRequest("why?", reasoning=True, max_tokens=12, temperature=1.0, top_p=1.0, seed=1)


def answer(request: QueryRequest | CaptionRequest) -> TextResult:
    """Return what the tiny network answers about a picture."""
    engine = build()
    (ticket,) = submit(engine, [(0, request)])
    engine.run([ticket])
    assert isinstance(ticket.result, TextResult), ticket.result
    assert "".join(ticket.pieces) == ticket.result.text
    assert ticket.facts.completion_tokens == len(ticket.result.token_ids) + (
        0 if ticket.result.reasoning is None else len(ticket.result.reasoning.token_ids)
    )
    assert_clean(engine)
    return ticket.result


@pytest.mark.parametrize("question", [QUESTION, THINKING, CaptionRequest("long", max_tokens=30)])
def test_an_answer_ends_before_every_word_it_could_be_stopped_at(
    question: QueryRequest | CaptionRequest,
) -> None:
    """The same text up to the stop word, of as many tokens as it took to write that."""
    free = answer(question)
    assert len(free.text) > 5
    tokenizer = TextTokenizer.open(GOLDEN / "tokenizer.json")
    for start in range(0, len(free.text) - 3, 3):
        stop = free.text[start : start + 3]
        if HALF in stop:
            continue  # which is only known to stay one with the token after it
        stopped = answer(replace(question, stop=("nowhere to be found", stop)))
        first = free.text.find(stop)
        assert stopped.text == free.text[:first]
        assert stopped.finish == "stop"
        assert stopped.reasoning == free.reasoning
        # No token was generated beyond the one that ends the stop word.
        assert free.token_ids[: len(stopped.token_ids)] == stopped.token_ids
        assert stop not in tokenizer.decode(stopped.token_ids[:-1])
        assert stop in tokenizer.decode(stopped.token_ids)


def test_a_stop_word_that_does_not_come_changes_nothing() -> None:
    """The answer is the same, and so is how it ended."""
    free = answer(QUESTION)
    assert_same(answer(replace(QUESTION, stop=("zebra",))), free)
    assert_same(answer(replace(QUESTION, stop=())), free)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (("a", "b", "c", "d", "e"), "at most 4"),
        (("",), "1 to 256 letters"),
        (("x" * 257,), "1 to 256 letters"),
        ("word", "give a list"),
        ((5,), "a stop word is 5"),
    ],
)
def test_stop_words_that_cannot_be(stop: tuple[str, ...], said: str) -> None:
    """Each is refused with what may be given."""
    engine = build()
    (ticket,) = submit(engine, [(None, QueryRequest("hello", stop=stop))])
    assert isinstance(ticket.result, FailedResult)
    assert said in ticket.result.reason
    assert ticket.result.code == "bad_request"


def test_stop_words_do_not_go_with_choices() -> None:
    """What would be dropped in silence is refused."""
    request = QueryRequest("which?", choices=("a", "b"), stop=("x",))
    with pytest.raises(RequestError, match="choices cannot be combined with stop"):
        plan(request, tiny_language(), has_picture=True)


def test_token_bytes_join_to_the_text(by_byte: TextTokenizer) -> None:
    """Half a character has its bytes, and a text of its own that says so."""
    ids = by_byte.encode("é人")
    assert b"".join(by_byte.token_bytes(token) for token in ids).decode() == "é人"
    assert by_byte.token_text(ids[0]) == "\ufffd"
    assert by_byte.token_bytes(0) == b""
    assert by_byte.token_text(0) == "<|endoftext|>"
    assert by_byte.token_bytes(50_000) == b""


@given(st.text(max_size=20))
def test_token_bytes_of_a_real_vocabulary(text: str) -> None:
    """Tokens of several bytes, words and spaces join to the text as well."""
    golden = TextTokenizer.open(GOLDEN / "tokenizer.json")
    ids = golden.encode(text)
    assert b"".join(map(golden.token_bytes, ids)).decode(errors="replace") == golden.decode(ids)
