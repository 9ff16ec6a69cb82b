"""Tokenizers that fit or do not fit a release, and text in pieces that are never taken back."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from pipeline.moondream.checkpoints.releases import RELEASES, release_from_config
from pipeline.moondream.checkpoints.tokenizer import TextStream, TextTokenizer
from pipeline.moondream.errors import CheckpointError
from tests.moondream.checkpoints import TINY, byte_tokenizer

JUNE = release_from_config(RELEASES["2025-06-21"], TINY)
APRIL = RELEASES["2025-04-14"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """One token per byte, 21 special ids before them."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    byte_tokenizer().save(str(path))
    return TextTokenizer.open(path)


def pieces(tokenizer: TextTokenizer, text: str) -> list[str]:
    """Stream a text byte by byte; the last piece is what finish gives."""
    stream = TextStream(tokenizer)
    given_out = [stream.push(token) for token in tokenizer.encode(text)]
    return [piece for piece in [*given_out, stream.finish()] if piece]


def test_words_are_encoded_and_decoded(tokenizer: TextTokenizer) -> None:
    """Nothing is added in front, and special tokens vanish from text."""
    ids = tokenizer.encode("a dog")
    assert len(ids) == 5
    assert tokenizer.decode([1, *ids, 0, 3]) == "a dog"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red car", ["a ", "red ", "car"]),  # a word goes out with its space
        ("car", ["car"]),  # the last word at the end
        ("one\ntwo", ["one\n", "two"]),  # a line ends a segment
        ("one\n\ntwo ", ["one\n", "\n", "two "]),
        ("人が two", ["人", "が ", "two"]),  # an ideograph at once, other letters with a space
        ("x人y", ["x人", "y"]),
        ("a😀 b", ["a😀 ", "b"]),  # four bytes held back until they are whole
        ("", []),
    ],
)
def test_pieces_of_text(tokenizer: TextTokenizer, text: str, expected: list[str]) -> None:
    """Pieces are whole words, lines or ideographs."""
    assert pieces(tokenizer, text) == expected


def test_an_incomplete_character_is_shown_only_at_the_end(tokenizer: TextTokenizer) -> None:
    """Half a character is held back, and given as U+FFFD when nothing follows."""
    stream = TextStream(tokenizer)
    half = tokenizer.encode("é")[0]
    assert stream.push(half) == ""
    assert stream.finish() == "\ufffd"


def test_a_stream_can_be_used_again(tokenizer: TextTokenizer) -> None:
    """After finish nothing of the first text is left."""
    stream = TextStream(tokenizer)
    stream.push(tokenizer.encode("x")[0])
    assert stream.finish() == "x"
    assert stream.finish() == ""


def test_early_releases_stream_token_by_token(tokenizer: TextTokenizer) -> None:
    """The release of January gives every token on its own."""
    stream = TextStream(tokenizer, "tokens")
    assert [stream.push(token) for token in tokenizer.encode("hi\n")] == ["h", "i", "\n"]
    assert stream.finish() == ""


@given(st.text(max_size=40))
def test_pieces_make_up_the_whole_text(tokenizer: TextTokenizer, text: str) -> None:
    """Nothing is lost or said twice, whatever the text."""
    assert "".join(pieces(tokenizer, text)) == text


def test_the_right_tokenizer_passes(tokenizer: TextTokenizer) -> None:
    """All special ids of the release are special tokens."""
    tokenizer.check(JUNE, vocab_size=512)


def test_an_older_tokenizer_is_noticed(tmp_path: Path) -> None:
    """Id 0 is an ordinary character in the tokenizer that lies beside the published weights."""
    byte_tokenizer(special=0).save(str(tmp_path / "tokenizer.json"))
    older = TextTokenizer.open(tmp_path / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"id 0 is '!' there.*moondream/starmie-v1"):
        older.check(JUNE, vocab_size=51200)


def test_a_newer_tokenizer_is_noticed_by_an_early_release(tokenizer: TextTokenizer) -> None:
    """The end token of the early releases is an ordinary or no token there."""
    with pytest.raises(CheckpointError, match=r"id 50256 is None.*at 2025-01-09"):
        tokenizer.check(APRIL, vocab_size=51200)


def test_a_tokenizer_larger_than_the_table_is_refused(tokenizer: TextTokenizer) -> None:
    """Ids beyond the table would be index errors later."""
    with pytest.raises(CheckpointError, match="has 300 tokens but the model's table has 299"):
        tokenizer.check(JUNE, vocab_size=299)


def test_prompts_beyond_the_table_are_refused(tokenizer: TextTokenizer) -> None:
    """The published prompts do not fit a small model without templates of its own."""
    with pytest.raises(CheckpointError, match="use id 32708"):
        tokenizer.check(RELEASES["2025-06-21"], vocab_size=512)


@pytest.mark.parametrize("content", [None, "", "{}", '{"version": "1.0"}'])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: str | None) -> None:
    """A missing and a broken file are sentences."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=r"does not exist|is not a tokenizer file"):
        TextTokenizer.open(path)


CONTROL = ["<|endoftext|>", *(f"<|md_reserved_{index}|>" for index in range(20))]


@pytest.mark.parametrize("token", CONTROL)
@pytest.mark.parametrize("words", ["{}", "hi {} there", "{}{}", " {}\n", "x{}y"])
def test_a_control_token_in_somebodys_words_is_text(
    tokenizer: TextTokenizer, token: str, words: str
) -> None:
    """It is spelt out with ordinary tokens, each of them counted, and read back as it was."""
    text = words.replace("{}", token)
    ids = tokenizer.encode(text)
    assert min(ids) >= 21  # the first 21 are the control tokens
    assert len(ids) == len(text.encode())  # one token for each byte here
    assert tokenizer.decode(ids) == text


@given(st.lists(st.sampled_from([*CONTROL, "<|", "|>", "<", "a", " ", "\0", "é"]), max_size=8))
def test_no_words_make_a_control_token(tokenizer: TextTokenizer, parts: list[str]) -> None:
    """Whole, cut and nested spellings among other words."""
    text = "".join(parts)
    ids = tokenizer.encode(text)
    assert not {*range(21)} & set(ids)
    assert tokenizer.decode(ids) == text


def test_prompts_keep_their_own_control_tokens(tokenizer: TextTokenizer) -> None:
    """What a template puts around the words is not touched."""
    asked = JUNE.query_prompt(tokenizer, "<|md_reserved_2|>No.")
    assert asked[:3] == [1, 22, 2]
    assert asked[-2:] == [3, 3]
    assert asked.count(3) == 2


def unmarked_control_tokens(folder: Path) -> TextTokenizer:
    """A tokenizer whose control tokens are added, but not marked as special."""
    path = folder / "tokenizer.json"
    byte_tokenizer().save(str(path))
    content = json.loads(path.read_text())
    for added in content["added_tokens"]:
        added["special"] = False
    path.write_text(json.dumps(content))
    return TextTokenizer.open(path)


def test_control_tokens_that_are_not_marked_as_special_are_still_control_tokens(
    tmp_path: Path,
) -> None:
    """They pass as the release's own, never come from words, and are never written out."""
    tokenizer = unmarked_control_tokens(tmp_path)
    tokenizer.check(JUNE, vocab_size=512)
    text = "a<|endoftext|><|md_reserved_2|>b"
    ids = tokenizer.encode(text)
    assert min(ids) >= 21
    assert tokenizer.decode([1, *ids, 3]) == text


def test_runs_of_spaces_that_are_added_tokens_stay_what_they_are(tmp_path: Path) -> None:
    """The older tokenizer has them; they are words like others, and no control tokens."""
    plain = byte_tokenizer()
    plain.add_tokens([AddedToken("    ", special=False)])
    plain.save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer.open(tmp_path / "tokenizer.json")
    assert tokenizer.encode("a    b")[1] == plain.token_to_id("    ")
    assert tokenizer.decode(tokenizer.encode("a    b")) == "a    b"
