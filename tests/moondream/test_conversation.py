"""Chats as one question in words, within the model's positions."""

import pytest

from pipeline.moondream import QueryRequest, RequestError, TextResult, TooLongError
from pipeline.moondream.conversation import ChatTurn, chat_words, question_of
from tests.moondream.mixes import build
from tests.moondream.tiny import TINY, pictures, tiny_language

SYSTEM = ChatTurn("system", "Be brief.\n")
FIRST = ChatTurn("user", "What is this?")
ANSWER = ChatTurn("assistant", " A red car.")
LAST = ChatTurn("user", "Who drives it?")


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([LAST], "Who drives it?"),
        ([ChatTurn("user", " as it is ")], " as it is "),
        ([ChatTurn("system", "  "), LAST], "Who drives it?"),
        ([SYSTEM, LAST], "Be brief.\n\nWho drives it?"),
        (
            [FIRST, ANSWER, LAST],
            "Question: What is this?\nAnswer: A red car.\n\nQuestion: Who drives it?",
        ),
        (
            [SYSTEM, FIRST, ANSWER, LAST],
            "Be brief.\n\nQuestion: What is this?\nAnswer: A red car.\n\nQuestion: Who drives it?",
        ),
        ([FIRST, LAST], "Question: What is this?\n\nQuestion: Who drives it?"),
        (
            [FIRST, ChatTurn("assistant", ""), SYSTEM, LAST],
            "Question: What is this?\n\nBe brief.\n\nQuestion: Who drives it?",
        ),
    ],
)
def test_turns_as_words(turns: list[ChatTurn], words: str) -> None:
    """A lone question stays as it is; roles are named once there was an earlier one."""
    assert chat_words(turns) == words
    language = tiny_language()
    assert question_of(turns, language, has_picture=True, answer_tokens=1) == words


@pytest.mark.parametrize("has_picture", [True, False])
def test_what_fits_is_answered_and_what_does_not_says_by_how_much(has_picture: bool) -> None:
    """At the limit the answer has as many tokens as were asked for; one word more is told."""
    language, engine = tiny_language(), build()
    unit = "z"  # a token each
    fits = 0
    for count in range(1, 200):
        turns = [SYSTEM, ChatTurn("user", unit * count)]
        try:
            question = question_of(turns, language, has_picture=has_picture, answer_tokens=5)
        except TooLongError as error:
            said, over = str(error), error.tokens - error.room
            break
        fits = count
    assert fits > 20
    assert over == 1
    assert "1 too many" in said
    assert f"{TINY.text.max_context} positions {TINY.prefix_len if has_picture else 0} are" in said
    picture = pictures()[0] if has_picture else None
    request = QueryRequest(question, max_tokens=5, temperature=50.0, top_p=1.0, seed=1)
    (ticket,) = engine.submit(picture, [request])
    engine.run([ticket])
    assert isinstance(ticket.result, TextResult), ticket.result
    assert ticket.facts.prompt_tokens == TINY.text.max_context - 5
    assert len(ticket.result.token_ids) == 5


@pytest.mark.parametrize("turns", [[], [FIRST, ANSWER], [SYSTEM], [SYSTEM, ChatTurn("user", "  ")]])
def test_a_chat_ends_with_a_question(turns: list[ChatTurn]) -> None:
    """Without one there is nothing to answer."""
    with pytest.raises(RequestError, match="the last turn"):
        question_of(turns, tiny_language(), has_picture=True)
