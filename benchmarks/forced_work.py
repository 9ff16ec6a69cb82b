"""Requests whose answers are as long as is asked, on networks that never end by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.random_model import LABELS
from benchmarks.roofline import Workload
from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    DetectResult,
    FailedResult,
    PointRequest,
    PointResult,
    QueryRequest,
    Result,
    TextResult,
)
from pipeline.moondream.batch.plan import plan
from pipeline.moondream.skills.base import Language

QUESTION = "person car dog"
PlainRequest = DetectRequest | PointRequest | CaptionRequest | QueryRequest


class WrongAnswerError(Exception):
    """The engine gave something other than what was forced, so a figure would say nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the grid: what is asked of each frame, and how long the answers are."""

    task: str
    crops: int
    batch: int
    tasks_per_frame: int = 1
    objects: int | None = None
    tokens: int | None = None
    repeated: bool = False  # the same pictures in every round

    def requests(self) -> list[PlainRequest]:
        """Return what is asked of each frame."""
        return [self._request(number) for number in range(self.tasks_per_frame)]

    def _request(self, number: int) -> PlainRequest:
        label = LABELS[number % len(LABELS)]
        if self.task == "detect":
            return DetectRequest(label, max_objects=max(1, self.objects or 0), raw=True)
        if self.task == "point":
            return PointRequest(label, max_objects=max(1, self.objects or 0))
        assert self.tokens is not None
        if self.task == "query":
            return QueryRequest(QUESTION, max_tokens=self.tokens)
        return CaptionRequest("normal", max_tokens=self.tokens)

    def check(self, found: Sequence[Sequence[Result]]) -> None:
        """Raise WrongAnswerError unless every answer is as long as was forced."""
        wanted = self.objects if self.tokens is None else self.tokens
        for results in found:
            for result in results:
                if isinstance(result, FailedResult):
                    raise WrongAnswerError(f"a {self.task} failed: {result.reason}")
                if isinstance(result, DetectResult | PointResult):
                    length = len(result)
                else:
                    assert isinstance(result, TextResult)
                    length = len(result.token_ids)
                if length != wanted:
                    raise WrongAnswerError(f"a {self.task} gave {length} instead of {wanted}")

    def load(self, language: Language) -> Workload:
        """Return how much there is to compute."""
        request = self.requests()[0]
        prompt = len(plan(request, language, has_picture=True).skills[0].prompt.ids)
        if self.tokens is not None:
            steps = heads = self.tokens - 1  # the first comes with the prompt
        else:
            heads = self.objects or 0
            steps = heads * (3 if self.task == "detect" else 2)
        return Workload(self.batch, self.crops, self.tasks_per_frame, steps, heads, prompt)
