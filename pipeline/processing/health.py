"""Turns what is said of a camera's state into events: what stops, freezes or goes black, and when.

Samplers say what they see when they start, and repeat themselves. Only what differs from what is
known is a change.
"""

from collections.abc import Collection

from pipeline.core.events import Event, JsonValue, event_id
from pipeline.core.measures import Health

# Every trouble with the state that ends it. Other states are kept as health only.
ENDED_BY = {"offline": "online", "frozen": "moving", "black": "visible"}
RULE = "camera"
HEALTH_ENGINE = ""
"""A camera's troubles are kept under this engine's name, which no engine has."""


class HealthEvents:
    """One camera's troubles, each a happening with a start and an end."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def judge(self, health: Health) -> tuple[Event, ...]:
        """The events that a change of state means; a repeated state means none."""
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
        """Whether a state is worth keeping: that nothing is wrong with the picture is not, where
        nothing was. Ask before it is judged.
        """
        trouble = next((state for state, end in ENDED_BY.items() if end == health.state), None)
        return health.state == "online" or trouble is None or trouble in self._since

    def give_up(self, camera: str, watched: Collection[str], at: float) -> tuple[Event, ...]:
        """End the troubles whose end nobody would notice any more."""
        unwatched = [trouble for trouble in self._since if trouble not in watched]
        told = {trouble: Health(camera, at, trouble, "no longer watched") for trouble in unwatched}
        events = tuple(self._event(told[trouble], trouble, "end") for trouble in unwatched)
        for trouble in unwatched:
            del self._since[trouble]
        return events

    def state(self) -> JsonValue:
        """Since when each trouble lasts: everything needed to go on after a restart."""
        return dict(self._since)

    def restore(self, state: JsonValue) -> None:
        """Go on from a `state()`; what is not one of these is not known to last."""
        known = state if isinstance(state, dict) else {}
        self._since = {
            trouble: float(since)
            for trouble, since in known.items()
            if trouble in ENDED_BY and isinstance(since, int | float)
        }

    def _event(self, health: Health, trouble: str, phase: str) -> Event:
        since = self._since[trouble]
        data: dict[str, JsonValue] = {"state": trouble}
        if health.detail:
            data["reason"] = health.detail
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
