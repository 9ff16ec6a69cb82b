"""Turns a camera's reported states into events, such as offline, black or not judged.

Samplers report the state when they start, and repeat it. Only a difference from the known state is
a change.
"""

from collections.abc import Collection

from pipeline.core.events import Event, JsonValue, event_id
from pipeline.core.measures import Health
from pipeline.core.ranges import is_moment

# Every trouble with the state that ends it. Other states are stored as health only.
ENDED_BY = {
    "offline": "online",
    "frozen": "moving",
    "black": "visible",
    "clock": "clock_right",
    # Its pictures arrive, but nothing comes of them; see `pipeline.runtime.wellness`.
    "masked": "unmasked",
    "unqueued": "queued",
    "overloaded": "keeping_up",
    "unanswered": "answered",
    "failing": "answering",
    "unjudged": "judged",
    "late": "in_time",
}
RULE = "camera"
HEALTH_ENGINE = ""
"""A camera's troubles are stored under this engine name, which no engine has."""


class HealthEvents:
    """One camera's troubles, each with a start and an end."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def judge(self, health: Health) -> tuple[Event, ...]:
        """The events that follow from a state; none if it is repeated."""
        if health.state in ENDED_BY:
            if health.state in self._since:
                return ()
            self._since[health.state] = health.at
            return (self._event(health, health.state, "start"),)
        over = [state for state, end in ENDED_BY.items() if end == health.state]
        events = tuple(self._event(health, s, "end") for s in over if s in self._since)
        for state in over:
            self._since.pop(state, None)
        return events

    def is_news(self, health: Health) -> bool:
        """Whether a state is worth storing: a good picture is not, if it was good before.

        Ask before it is judged.
        """
        trouble = next((state for state, end in ENDED_BY.items() if end == health.state), None)
        return health.state == "online" or trouble is None or trouble in self._since

    def give_up(self, camera: str, watched: Collection[str], at: float) -> tuple[Event, ...]:
        """End the troubles that are no longer watched."""
        unwatched = [trouble for trouble in self._since if trouble not in watched]
        told = {trouble: Health(camera, at, trouble, "no longer watched") for trouble in unwatched}
        events = tuple(self._event(told[trouble], trouble, "end") for trouble in unwatched)
        for trouble in unwatched:
            del self._since[trouble]
        return events

    def state(self) -> JsonValue:
        """The start of each ongoing trouble: everything needed to resume after a restart."""
        return dict(self._since)

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; entries that cannot be read are left out."""
        known = state if isinstance(state, dict) else {}
        self._since = {
            trouble: float(since)
            for trouble, since in known.items()
            if trouble in ENDED_BY and isinstance(since, int | float) and is_moment(since)
        }

    def _event(self, health: Health, trouble: str, phase: str) -> Event:
        since = self._since[trouble]
        data: dict[str, JsonValue] = {"state": trouble}
        if health.detail:
            data["reason"] = health.reason
        if health.message:
            data["message"] = health.message
        if health.rate is not None:
            data["rate"] = health.rate
        if phase == "end":
            data["seconds"] = round(health.at - since, 3)
        return Event(
            id=event_id(health.camera, RULE, trouble, since),
            type=f"camera_{trouble}",
            phase="start" if phase == "start" else "end",
            camera=health.camera,
            rule=RULE,
            at=health.at,
            data=data,
        )
