"""A second look: another model is asked about an event before the event goes out.

The event waits in the store, with the picture that is asked about, so that nothing is lost or
asked in vain whatever is killed. Counting never waits for it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, get_args

from pipeline.core.events import Event, JsonValue
from pipeline.core.tasks import Ask, question_of

Outcome = Literal["confirmed", "rejected", "unverified"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
VERIFIED: Final = "verified"
"""The key of an event's data with the outcome."""
DETAIL: Final = "verify"
"""The key of an event's data with what led to it."""
_DROPPED: Final = "dropped"


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What another engine is asked about the events of a rule, and what confirms them."""

    engine: str
    question: str
    wanted: tuple[str, ...] = ("yes",)
    """The answers that confirm."""
    choices: tuple[str, ...] = ()
    """The possible answers; yes and no where there are none."""
    at_least: float | None = None
    """How probable the wanted answer has to be, where the engine gives a probability."""
    of: Literal["subject", "frame"] = "subject"
    """The event's subject with its surroundings, or the whole frame."""
    drops: bool = False
    """Whether no sink gets what is rejected, whatever it asks for."""
    deadline_s: float = 20.0
    """How long an event of a live camera waits; one of a recording waits without limit."""

    def task(self, name: str) -> Ask:
        """The question as engines see it."""
        kind: Literal["one of", "yes/no"] = "one of" if self.choices else "yes/no"
        return Ask(name, self.engine, self.question, kind, self.choices)

    @property
    def key(self) -> str:
        """The same for all who ask the same engine the same question."""
        return f"{self.engine}/{question_of(self.task(''))}"


def question_name(rule: str) -> str:
    """The name of a rule's question, which no task can have."""
    return f"{rule}.verify"


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a second look."""

    outcome: Outcome
    engine: str = ""
    answer: str = ""
    probability: float | None = None
    """How probable the wanted answer is, 0..1."""
    reason: str = ""
    """Why nothing was verified."""
    dropped: bool = False
    """Whether no sink gets it, as it was rejected."""

    def detail(self) -> dict[str, JsonValue]:
        """What led to it, as events tell it."""
        told: dict[str, JsonValue] = {
            "engine": self.engine,
            "answer": self.answer,
            "probability": None if self.probability is None else round(self.probability, 4),
            "reason": self.reason,
            _DROPPED: self.dropped,
        }
        return {name: value for name, value in told.items() if value not in ("", None, False)}

    def marked(self, event: Event) -> Event:
        """The event with the outcome as a part of it."""
        data = {**event.data, VERIFIED: self.outcome, DETAIL: self.detail()}
        return replace(event, data=data)


def outcome_of(event: Event) -> Verification | None:
    """The outcome that is part of an event; None for one that was never looked at twice."""
    outcome, detail = event.data.get(VERIFIED), event.data.get(DETAIL)
    return _verification(outcome, detail if isinstance(detail, dict) else {})


def unmarked(event: Event) -> Event:
    """The event as it was before its second look."""
    if VERIFIED not in event.data:
        return event
    kept = {name: value for name, value in event.data.items() if name not in (VERIFIED, DETAIL)}
    return replace(event, data=kept)


def verification_of(outcome: str, detail: str) -> Verification | None:
    """What was stored as an outcome and the JSON of its detail; None if it cannot be read."""
    try:
        told = json.loads(detail)
    except (ValueError, RecursionError):
        told = None
    return _verification(outcome, told if isinstance(told, dict) else {})


def _verification(outcome: Any, detail: Mapping[str, Any]) -> Verification | None:
    if outcome not in OUTCOMES:
        return None
    probability = detail.get("probability")
    return Verification(
        outcome,
        engine=str(detail.get("engine", "")),
        answer=str(detail.get("answer", "")),
        probability=probability if isinstance(probability, float | int) else None,
        reason=str(detail.get("reason", "")),
        dropped=detail.get(_DROPPED) is True,
    )


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits for its second look, or behind another one that does."""

    event: Event
    since: float
    """UTC seconds of the moment from which it waits."""
    look: SecondLook | None = None
    """What is asked about it; None for one that only waits behind others."""
    in_order: bool = False
    """Whether all events of its camera go out in the order in which they were judged, as those of
    a recording do; otherwise only those of one happening do."""
    verification: Verification | None = None
    """The outcome, where it is known and others before it still wait."""
    picture: bytes | None = field(default=None, repr=False)
    """What is asked about, as a JPEG; only on the way into the store."""


@dataclass(frozen=True, slots=True)
class VerificationCount:
    """How many happenings of a rule had an outcome."""

    camera: str
    rule: str
    outcome: str
    happenings: int


class SecondLooks(Protocol):
    """What waits in a store for a second look, and what came of others. Raises StoreError."""

    def waiting(self) -> Sequence[WaitingEvent]:
        """All waiting events, without their pictures, in the order in which they were judged."""
        ...

    def waiting_picture(self, record_id: str) -> bytes | None:
        """The picture that is asked about; None if there is none."""
        ...

    def outcomes(self, happenings: Collection[str]) -> Mapping[str, Verification]:
        """The outcomes that are known, by the id of the happening."""
        ...


class SecondLookHistory(Protocol):
    """Figures of second looks. Raises StoreError."""

    def verification_counts(self, since: float | None = None) -> Sequence[VerificationCount]:
        """How many happenings of each rule, stored since a moment, had which outcome."""
        ...

    def waiting_counts(self) -> Mapping[tuple[str, str], int]:
        """How many events wait to be looked at, by camera and rule."""
        ...
