"""System text and earlier turns of a chat as one question in words.

The model was trained on one question about one picture and has no roles, so what was said before
goes into the question:

    Be brief.

    Question: What is this?
    Answer: A red car.

    Question: Who drives it?

A single question without anything before it stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.moondream.errors import RequestError, TooLongError
from pipeline.moondream.skills.base import Language, need_words

ChatRole = Literal["system", "user", "assistant"]
# Fewer positions than these are no answer.
LEAST_ANSWER = 16


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What somebody said: a `system` says what holds for all answers."""

    role: ChatRole
    text: str


def question_of(
    turns: Sequence[ChatTurn],
    language: Language,
    *,
    has_picture: bool,
    answer_tokens: int = LEAST_ANSWER,
) -> str:
    """Return the question that ends with the last turn, which must be the user's.

    Raises TooLongError, with the numbers, where it leaves no room for an answer of `answer_tokens`:
    nothing is left out in silence.
    """
    if not turns or turns[-1].role != "user":
        raise RequestError("the last turn of a chat must be the user's: it is the question")
    need_words("the last turn", turns[-1].text)
    question = chat_words(turns)
    release, dims = language.release, language.dims
    if has_picture:
        ids = release.query_prompt(language.tokenizer, question)
    else:
        ids = release.text_only_prompt(language.tokenizer, question)
    before, answer = dims.prefix_len if has_picture else 0, max(answer_tokens, 1)
    room, tokens = dims.text.max_context - before - answer, len(ids)
    if tokens > room:
        raise TooLongError(
            f"the conversation has {tokens} tokens, {tokens - room} too many: of the model's "
            f"{dims.text.max_context} positions {before} are for the picture and {answer} for the "
            "answer; leave out earlier turns or use fewer words",
            tokens,
            room,
        )
    return question


def chat_words(turns: Sequence[ChatTurn]) -> str:
    """Return the turns as one text; the last one is the question, and empty ones are left out."""
    *earlier, last = turns
    said = [turn for turn in earlier if turn.text.strip()]
    if not said:
        return last.text
    is_chat = any(turn.role != "system" for turn in said)
    words = ""
    for turn in (*said, last):
        lead = _LEADS[turn.role] if is_chat else ""
        # An answer stands right below its question, and everything else apart.
        gap = "\n" if turn.role == "assistant" else "\n\n"
        words += (gap if words else "") + lead + turn.text.strip()
    return words


_LEADS: Mapping[ChatRole, str] = {"system": "", "user": "Question: ", "assistant": "Answer: "}
