"""What audits found: how far a rule's counts are right, as far as a person looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.core.events import JsonValue


@dataclass(frozen=True, slots=True)
class AuditFigure:
    """A figure of an audit with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """What an audit found. A figure is None where too little was looked at to know it."""

    precision: AuditFigure | None = None
    """The share of what was counted that was there."""
    recall: AuditFigure | None = None
    """The share of what was there that was counted."""
    accuracy: AuditFigure | None = None
    """What was counted divided by what was there; 1 is right, 1.1 is a tenth too many."""
    counted: int = 0
    """What was counted in the audited time."""
    true: AuditFigure | None = None
    """What there was in the audited time, as estimated."""
    judged: int = 0
    """How many clips were judged."""
    directions: Mapping[str, "AuditFigures"] = field(default_factory=dict)
    """The same of each direction of a line, in and out, where the person told them apart."""


AuditVerdict = int | None | Mapping[str, int]
"""What a person counted in a clip, of a line also by direction; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit of one rule: what was drawn, and once a person has judged it, what was found."""

    id: str
    camera: str
    rule: str
    since: float
    until: float
    """The audited time, since ≤ t < until in UTC seconds; what is unknown in it is left out."""
    drawn_at: float
    plan: JsonValue = None
    """What was drawn, with what the rule counted there; None once retention has forgotten it."""
    verdicts: Mapping[str, AuditVerdict] = field(default_factory=dict)
    """What the person counted in each clip, by its name; None where it could not be told."""
    judged_at: float | None = None
    """When the verdicts came; None while it is open."""
    by: str = ""
    """Who judged, where that was said; of an open one in the application, who is counting."""
    figures: AuditFigures = AuditFigures()

    def parts(self) -> Mapping[str, AuditFigures]:
        """What was found of the rule, and of each of its directions, by what that is called."""
        apart = self.figures.directions.items()
        return {self.rule: self.figures, **{f"{self.rule} ({name})": one for name, one in apart}}


class Audits(Protocol):
    """Keeps audits. All methods raise StoreError when the store is out of reach.

    `prune` of the store forgets open audits, and the plans and verdicts of others, as it forgets
    events; the figures of those that were judged stay.
    """

    def keep_audit(self, audit: Audit) -> None:
        """Keep an audit, or replace the one with the same id."""
        ...

    def say_verdict(self, audit_id: str, clip: str, verdict: AuditVerdict) -> bool:
        """Keep what was counted in one clip of an open audit, in place of what was said of it.

        False where there is no such audit, or it was judged.
        """
        ...

    def drop_open_audit(self, audit_id: str) -> bool:
        """Forget an audit that was never judged; False where there is none."""
        ...

    def audit(self, audit_id: str) -> Audit | None:
        """One audit, open or judged."""
        ...

    def audits(self, camera: str | None = None, rule: str | None = None) -> Sequence[Audit]:
        """All audits, of one camera or one of its rules; the one that was drawn last first."""
        ...

    def last_judged(self, camera: str, rule: str) -> Audit | None:
        """The audit of a rule that was judged last: what reports quote."""
        ...
