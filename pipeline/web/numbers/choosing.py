"""Which rules and which time somebody wants numbers of, within what can be read at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from pipeline.core.opening_hours import OpeningHours
from pipeline.core.store import History
from pipeline.deployment.model import Deployment, SiteConfig
from pipeline.web.access.visitor import Visitor
from pipeline.web.problems import WebError

StepName = Literal["1m", "15m", "1h", "1d", "1w"]
STEP_NAMES: tuple[StepName, ...] = ("1m", "15m", "1h", "1d", "1w")
DAY_S = 86_400.0
MOST_RULES = 24
MOST_DAYS = 400
MOST_RULE_DAYS = 800
"""How many days of all rules together are read for one answer."""
MOST_STEPS = 3000
_STEP_S = {"1m": 60.0, "15m": 900.0, "1h": 3600.0, "1d": DAY_S, "1w": 7 * DAY_S}
_USUAL_DAYS = 7
# Up to so many days, and then the next one.
_STEP_OF_DAYS: tuple[tuple[float, StepName], ...] = ((2, "15m"), (14, "1h"), (120, "1d"))


@dataclass(frozen=True, slots=True)
class RuleName:
    """A rule of a camera."""

    camera: str
    rule: str


@dataclass(frozen=True, slots=True)
class ChosenTime:
    """A period, in UTC seconds; where it consists of business days, the first and the last."""

    since: float
    until: float
    first: date | None = None
    last: date | None = None

    @property
    def days(self) -> float:
        """How long it is."""
        return (self.until - self.since) / DAY_S


def counting(deployment: Deployment, visitor: Visitor) -> list[RuleName]:
    """The rules with numbers that somebody may see, in the order of the file."""
    return [
        RuleName(camera, name)
        for camera in visitor.seen_of(deployment.cameras)
        for name, rule in deployment.cameras[camera].rules.items()
        if rule.measures
    ]


def chosen_rules(
    deployment: Deployment, visitor: Visitor, cameras: Sequence[str], rules: Sequence[str]
) -> list[RuleName]:
    """The rules of these cameras, or these ones, written CAMERA/RULE; without any, the first ones.

    Raises WebError for what is not there, as for what the visitor may not see.
    """
    there = counting(deployment, visitor)
    for camera in cameras:
        if camera not in deployment.cameras or not visitor.sees(camera):
            raise WebError(404, f"there is no camera {camera!r}", place="camera")
    found = [one for one in there if one.camera in cameras]
    for text in rules:
        camera, _, name = text.partition("/")
        one = RuleName(camera, name)
        if one not in there:
            raise WebError(
                404, f"there is no rule {text!r} that counts; write CAMERA/RULE", place="rule"
            )
        if one not in found:
            found.append(one)
    if not cameras and not rules:
        return there[:MOST_RULES]
    if len(found) > MOST_RULES:
        raise WebError(422, f"these are {len(found)} rules; choose {MOST_RULES} or fewer")
    return found


def narrowed(deployment: Deployment, rules: Collection[RuleName]) -> Deployment:
    """The deployment with these rules alone, and with their cameras."""
    cameras = {}
    for name, camera in deployment.cameras.items():
        own = {rule: c for rule, c in camera.rules.items() if RuleName(name, rule) in rules}
        if own:
            cameras[name] = camera.model_copy(update={"rules": own})
    return deployment.model_copy(update={"cameras": cameras})


def chosen_time(
    site: SiteConfig,
    first: date | None,
    last: date | None,
    since: float | None,
    until: float | None,
    newest: float,
) -> ChosenTime:
    """Business days of a site, or moments; without any, the last week that has numbers.

    `newest` is when the last numbers are of. Raises WebError.
    """
    if since is not None or until is not None:
        if since is None or until is None or not 0 <= since < until <= 1e11:
            raise WebError(
                422, "`since` and `until` are UTC seconds, the first one earlier", place="since"
            )
        found = ChosenTime(since, until)
    else:
        hours = site.opening_hours
        last = last or (hours.day_of(newest) if first is None else first)
        first = first or last - timedelta(days=_USUAL_DAYS - 1)
        if not date(1971, 1, 1) <= first <= last <= date(2400, 1, 1):
            raise WebError(
                422, f"{first} to {last} is no period: it ends before it begins", place="first"
            )
        found = days_of(hours, first, last)
    if found.days > MOST_DAYS:
        raise WebError(422, f"this is {found.days:.0f} days; choose {MOST_DAYS} or fewer")
    return found


def days_of(hours: OpeningHours, first: date, last: date) -> ChosenTime:
    """Business days, whole."""
    ends = hours.begins(last + timedelta(days=1))
    return ChosenTime(hours.begins(first), ends, first, last)


def usual_step(days: float) -> StepName:
    """The step in which so many days are read best."""
    return next((step for most, step in _STEP_OF_DAYS if days <= most + 0.1), "1w")


def check_size(time: ChosenTime, step: StepName, rules: int, *, with_before: bool = False) -> None:
    """Raise WebError for more than can be read for one answer."""
    read = rules * (2 if with_before else 1)
    if time.days * read > MOST_RULE_DAYS:
        most = max(1, MOST_RULE_DAYS // max(1, read))
        beside = " with the time before" if with_before else ""
        raise WebError(
            422,
            f"{rules} rules over {time.days:.0f} days{beside} are more than can be read at once; "
            f"choose {most} days or fewer, or fewer rules",
        )
    number = (time.until - time.since) / _STEP_S[step]
    if number > MOST_STEPS:
        raise WebError(
            422,
            f"this is {number:.0f} steps of {step}; choose longer steps or a shorter time",
            place="step",
        )


def newest_number(history: History, rules: Collection[RuleName]) -> float | None:
    """When the last minute of these rules began; None without any. Raises StoreError."""
    ends = [one.last for one in history.extents() if RuleName(one.camera, one.rule) in rules]
    return max(ends, default=None)
