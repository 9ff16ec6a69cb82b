"""Turns requests into skills, and what the skills found into results.

One request may need several skills: counting points and detects, choosing judges every choice.
Knows nothing of rows or devices.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.moondream.errors import RequestError
from pipeline.moondream.numbers import number_in
from pipeline.moondream.prompts import Prompt, spatial_prompt
from pipeline.moondream.skills.base import Language, Skill, need_words
from pipeline.moondream.skills.judge import JudgeSkill
from pipeline.moondream.skills.objects import DetectSkill, PointSkill
from pipeline.moondream.skills.reasoning import ReasoningSkill
from pipeline.moondream.skills.text import TextSkill
from pipeline.moondream.types import (
    CaptionRequest,
    CountRequest,
    CountResult,
    DetectRequest,
    FailedResult,
    FailureCode,
    PointRequest,
    QueryRequest,
    Request,
    Result,
    TextResult,
)

# Asked in these words when counting by asking.
COUNT_QUESTION = "How many {label} are in the image? Answer with a number."
COUNT_TOKENS = 16
YES_SPELLINGS = ("yes", "Yes", "YES", " yes", " Yes", " YES")
NO_SPELLINGS = ("no", "No", "NO", " no", " No", " NO")


@dataclass(frozen=True, slots=True)
class Plan:
    """The skills a request needs, how their findings make its result, and its text so far."""

    skills: Sequence[Skill]
    result: Callable[[], Result]
    pieces: Sequence[str] = ()

    @classmethod
    def failed(cls, reason: str, code: FailureCode = "bad_request") -> "Plan":
        """Return the plan of a request that cannot be answered."""
        return cls([], lambda: FailedResult(reason, code))


def plan(request: Request, language: Language, has_picture: bool) -> Plan:
    """Return the plan for a request; RequestError says why it cannot be answered."""
    if not has_picture and not isinstance(request, QueryRequest):
        raise RequestError(f"{type(request).__name__.lower()} needs a picture")
    if isinstance(request, DetectRequest):
        detect = DetectSkill(language, request)
        return Plan([detect], detect.result)
    if isinstance(request, PointRequest):
        point = PointSkill(language, request)
        return Plan([point], point.result)
    if isinstance(request, CountRequest):
        return _plan_count(request, language)
    if isinstance(request, CaptionRequest):
        prompt = Prompt(tuple(language.release.caption_prompt(request.length)))
        caption = TextSkill(language, prompt, request, has_picture)
        return Plan(
            [caption],
            lambda: replace(caption.result(), yes_probability=None, yes_no_mass=None),
            caption.pieces,
        )
    if isinstance(request, QueryRequest):
        return _plan_query(request, language, has_picture)
    raise RequestError(f"{request!r} is not a request; use Detect, Point, Count, Query or Caption")


def yes_no_tokens(language: Language) -> tuple[list[int], list[int]]:
    """Return the first tokens of the spellings of yes and of no, without those they share."""

    def first(spellings: Sequence[str]) -> set[int]:
        return {ids[0] for words in spellings if (ids := language.tokenizer.encode(words))}

    yes, no = first(YES_SPELLINGS), first(NO_SPELLINGS)
    return sorted(yes - no), sorted(no - yes)


def _plan_query(request: QueryRequest, language: Language, has_picture: bool) -> Plan:
    need_words("question", request.question)
    prompt = _query_prompt(request, language, has_picture)
    if request.choices is not None:
        _check_choices(request, request.choices)
        lead = " " if language.release.question_space else ""
        judges = [
            JudgeSkill(language, prompt, lead + words, has_picture)
            for words in dict.fromkeys(request.choices)
        ]
        return Plan(judges, lambda: _choice(judges, lead))
    if not request.reasoning:
        answer = TextSkill(language, prompt, request, has_picture)
        return Plan([answer], answer.result, answer.pieces)
    thinking = ReasoningSkill(language, prompt, request, has_picture)

    def result() -> TextResult:
        return replace(thinking.answer.result(), reasoning=thinking.reasoning())

    return Plan([thinking], result, thinking.pieces)


def _query_prompt(request: QueryRequest, language: Language, has_picture: bool) -> Prompt:
    release, refs = language.release, tuple(request.spatial_refs or ())
    if has_picture:
        ids = release.query_prompt(language.tokenizer, request.question, refs, request.reasoning)
        return spatial_prompt(ids, len(release.prompts.query.prefix), refs)
    if refs:
        raise RequestError("spatial references need a picture")
    if request.reasoning:
        ids = release.query_prompt(language.tokenizer, request.question, reasoning=True)
        return Prompt((release.ids.bos, *ids))
    return Prompt(tuple(release.text_only_prompt(language.tokenizer, request.question)))


def _check_choices(request: QueryRequest, choices: Sequence[str]) -> None:
    others = {
        "reasoning": request.reasoning,
        "stop": request.stop,
        "logprobs": request.logprobs is not None,
        "mask": request.mask is not None,
    }
    for other, is_given in others.items():
        if is_given:
            raise RequestError(f"choices cannot be combined with {other}; leave one of them out")
    if len(set(choices)) < 2 or isinstance(choices, str):
        raise RequestError(f"choices are {choices!r}; give a list of at least two different words")
    for words in choices:
        need_words("choice", words)


def _choice(judges: Sequence[JudgeSkill], lead: str) -> TextResult:
    """Return the most likely answer, and the probabilities of the given ones among themselves."""
    best = max(judges, key=lambda judge: judge.log_probability)
    weights = [math.exp(judge.log_probability - best.log_probability) for judge in judges]
    words = [judge.answer.removeprefix(lead) for judge in judges]
    yes, no = best.yes_and_no
    return TextResult(
        text=best.answer.removeprefix(lead),
        token_ids=best.token_ids,
        pieces=(best.answer.removeprefix(lead),),
        yes_probability=yes / (yes + no) if yes + no > 0 else None,
        yes_no_mass=yes + no,
        choices={word: weight / sum(weights) for word, weight in zip(words, weights, strict=True)},
    )


def _plan_count(request: CountRequest, language: Language) -> Plan:
    need_words("label", request.label)
    if request.by == "ask":
        question = QueryRequest(COUNT_QUESTION.format(label=request.label), max_tokens=COUNT_TOKENS)
        answer = _plan_query(question, language, has_picture=True)

        def asked() -> CountResult:
            text = answer.result()
            assert isinstance(text, TextResult)
            return CountResult(number_in(text.text), "ask", text=text.text)

        return Plan(answer.skills, asked)
    if request.by not in ("detect", "point"):
        raise RequestError(f"count by {request.by!r} is not known; use detect, point or ask")
    detect = DetectSkill(language, DetectRequest(request.label, request.max_objects))
    point = PointSkill(language, PointRequest(request.label, request.max_objects))

    def counted() -> CountResult:
        boxes, points = detect.result(), point.result()
        detected, pointed = len(boxes), len(points)
        chosen = boxes if request.by == "detect" else points
        more = max(detected, pointed)
        agreement = min(detected, pointed) / more if more else 1.0
        return CountResult(len(chosen), request.by, chosen.saturated, detected, pointed, agreement)

    return Plan([detect, point], counted)
