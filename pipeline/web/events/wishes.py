"""What somebody wants to see of what happened, and whether a happening is that."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from pipeline.core.happenings import Happening, HappeningQuery, part_of
from pipeline.core.opening_hours import DAYS
from pipeline.core.ranges import nearest_moment
from pipeline.core.reviews import Remark
from pipeline.core.store import EVER, Span
from pipeline.deployment.model import Deployment
from pipeline.web.events.sending import Sending

Verdict = Literal["confirmed", "rejected", "not_checked"]
"""What came of a second look; what was not looked at twice was not checked."""
SentState = Literal["delivered", "undelivered", "waiting", "refused"]
"""To the sinks that want it: to all of them; or not to all, as it waits or was refused."""
_VERIFIED: Final = "verified"


@dataclass(frozen=True, slots=True)
class EventWish:
    """All filters; they combine, and an empty tuple or None lets everything pass."""

    cameras: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """What it is about, such as `person`."""
    places: tuple[str, ...] = ()
    """Names of zones and lines."""
    directions: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    """It began at since ≤ t < until, in UTC seconds."""
    hours: tuple[int, int] | None = None
    """From which minute of the local day to which; past midnight where the second is smaller."""
    weekdays: tuple[str, ...] = ()
    """Days of the camera's site, such as `mon`."""
    least: float | None = None
    """How probable it is at least; what has no probability does not pass."""
    verdicts: tuple[Verdict, ...] = ()
    reviewed: bool | None = None
    """By who asks."""
    sent: SentState | None = None
    text: str = ""
    """Words that are said somewhere in it; upper and lower case are the same."""
    wrong: bool | None = None
    """Whether somebody said that it was wrong."""

    @property
    def span(self) -> Span:
        """When it began."""
        return EVER if self.since is None and self.until is None else Span(self.since, self.until)

    def query(self, visitor: str, cameras: tuple[str, ...] | None) -> HappeningQuery:
        """What of it a database can choose; `cameras` are those that may be seen, None for all."""
        wanted = cameras
        if self.cameras:
            wanted = tuple(c for c in self.cameras if cameras is None or c in cameras)
        parts = []
        if len(self.directions) == 1:
            parts.append(part_of("direction", self.directions[0]))
        if len(self.kinds) == 1:
            parts.append(part_of("label", self.kinds[0]))
        if self.verdicts and "not_checked" not in self.verdicts and len(self.verdicts) == 1:
            parts.append(part_of(_VERIFIED, self.verdicts[0]))
        if self.text.isascii() and not set(self.text) & set('"\\') and self.text.isprintable():
            parts += [self.text] if self.text else []
        return HappeningQuery(
            cameras=wanted,
            rules=self.rules,
            types=self.types,
            span=self.span,
            seen_by=visitor if self.reviewed is True else None,
            unseen_by=visitor if self.reviewed is False else None,
            parts=tuple(parts),
            refused=self.sent == "refused",
        )

    @property
    def is_plain(self) -> bool:
        """Whether a database chooses all of it by itself."""
        return not (
            self.kinds
            or self.places
            or self.directions
            or self.hours
            or self.weekdays
            or self.least is not None
            or self.verdicts
            or self.sent
            or self.text
            or self.wrong is not None
        )

    def takes(self, one: Happening, deployment: Deployment) -> bool:
        """Whether a happening is wanted, as far as its own events tell."""
        if self.cameras and one.camera not in self.cameras:
            return False
        if self.rules and one.first.rule not in self.rules:
            return False
        if self.types and one.first.type not in self.types:
            return False
        if not _is_within(one.began_at, self.span):
            return False
        if self.kinds and (one.subject is None or one.subject.label not in self.kinds):
            return False
        if self.places and not {one.word("zone"), one.word("line")} & {*self.places}:
            return False
        if self.directions and one.word("direction") not in self.directions:
            return False
        if self.least is not None and (one.probability is None or one.probability < self.least):
            return False
        if self.verdicts and verdict_of(one) not in self.verdicts:
            return False
        if self.text:
            words = self.text.casefold()
            if not any(words in text.casefold() for text in one.texts()):
                return False
        return self._is_then(one, deployment)

    def takes_sent(self, sending: Sending) -> bool:
        """Whether what became of it at the sinks is wanted."""
        match self.sent:
            case None:
                return True
            case "delivered":
                return sending.delivered > 0 and not sending.waiting and not sending.refused
            case "waiting":
                return sending.waiting > 0
            case "refused":
                return sending.refused > 0
            case "undelivered":
                return sending.waiting > 0 or sending.refused > 0

    def takes_remarks(self, remarks: list[Remark]) -> bool:
        """Whether what persons said of it is wanted."""
        return self.wrong is None or self.wrong == bool(remarks)

    def _is_then(self, one: Happening, deployment: Deployment) -> bool:
        if self.hours is None and not self.weekdays:
            return True
        zone = ZoneInfo(deployment.site_of(one.camera).timezone)
        local = datetime.fromtimestamp(nearest_moment(one.began_at), UTC).astimezone(zone)
        if self.weekdays and DAYS[local.weekday()] not in self.weekdays:
            return False
        if self.hours is None:
            return True
        minute, (first, last) = local.hour * 60 + local.minute, self.hours
        if first <= last:
            return first <= minute < last
        return minute >= first or minute < last


def verdict_of(one: Happening) -> Verdict:
    """What came of a second look at it."""
    seen = one.verification
    if seen is None or seen.outcome == "unverified":
        return "not_checked"
    return "confirmed" if seen.outcome == "confirmed" else "rejected"


def _is_within(at: float, span: Span) -> bool:
    return (span.since is None or at >= span.since) and (span.until is None or at < span.until)
