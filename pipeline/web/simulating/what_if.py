"""What an edit would have counted, as lines of JSON: the newest hour first."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.arming import ArmingBook
from pipeline.core.errors import ConfigError, MoonwatchError
from pipeline.core.events import Event, JsonValue
from pipeline.core.store import Span
from pipeline.deployment.model import Deployment
from pipeline.insight.simulation import (
    RuleHour,
    SimulatedHour,
    Simulation,
    SimulationScope,
    hour_as_json,
    rule_as_json,
    summed,
)
from pipeline.web.problems import WebError
from pipeline.web.state import WebState

BUDGET_S = 60.0
"""How long one answer may take, whatever is asked for."""
_NO_TRUTH = (
    f"how right that is was not looked up: the figures alone took {BUDGET_S:g} s; ask for "
    "a shorter time"
)
MOST_EVENTS = 2000
"""Of one hour and rule; the figures count them all."""
AGAINST = "stored"


@dataclass
class RunningSimulations:
    """One for each visitor: whoever asks for another one ends the one before."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stops: dict[tuple[int, str], threading.Event] = field(default_factory=dict)

    def begin(self, key: tuple[int, str]) -> threading.Event:
        """End what runs for somebody; what is returned is set when the new one is to end."""
        stop = threading.Event()
        with self._lock:
            before = self._stops.get(key)
            if before is not None:
                before.set()
            self._stops[key] = stop
        return stop

    def end(self, key: tuple[int, str], stop: threading.Event) -> None:
        """It has ended."""
        stop.set()
        with self._lock:
            if self._stops.get(key) is stop:
                del self._stops[key]

    def end_all(self, store: int) -> None:
        """End all of an application: a process lasts for as long as one of them runs."""
        with self._lock:
            for (of, _), stop in self._stops.items():
                if of == store:
                    stop.set()


RUNNING: Final = RunningSimulations()


def simulation_of(
    state: WebState,
    deployment: Deployment,
    camera: str,
    rules: tuple[str, ...],
    span: Span,
    stop: threading.Event,
) -> Simulation:
    """What is to be counted; raises WebError where there is nothing that could be."""
    book = ArmingBook(state.store.armings)
    book.refresh()
    try:
        return Simulation(
            deployment,
            state.store,
            state.store.history,
            SimulationScope((camera,), rules, span),
            state.clock,
            arming=book,
            stop=stop.is_set,
            budget_s=BUDGET_S,
            followed=state.followed,
            help_of=state.judges,
        )
    except ConfigError as error:
        raise WebError(422, error.problems[0].message) from None


def lines(
    simulation: Simulation,
    begin: Mapping[str, JsonValue],
    timezone: str,
    truth: Callable[[Sequence[SimulatedHour]], Sequence[Mapping[str, JsonValue]]],
) -> Iterator[str]:
    """The stream: what it is about, every hour as soon as it is known, and the sums.

    Last comes how right they are, where `truth` knows anything of it.
    """
    yield _line({"kind": "begin", **begin})
    hours: list[SimulatedHour] = []
    try:
        for hour in simulation.hours():
            hours.append(hour)
            yield _line({"kind": "hour", **_hour(hour, timezone)})
    except MoonwatchError as error:
        yield _line({"kind": "failed", "message": str(error)})
        return
    totals: list[JsonValue] = [
        {"camera": camera, **_without_events(camera, rule)} for camera, rule in summed(hours)
    ]
    yield _line(
        {
            "kind": "end",
            "totals": totals,
            "hours": len({hour.since for hour in hours}),
            "cut_short": simulation.cut_short,
        }
    )
    if not (simulation.cut_short or simulation.has_time):
        yield _line({"kind": "failed", "message": _NO_TRUTH})
        return
    try:
        known = [] if simulation.cut_short else truth(hours)
    except MoonwatchError as error:
        yield _line({"kind": "failed", "message": str(error)})
        return
    if known:
        yield _line({"kind": "truth", "rules": [{**one} for one in known]})


def _hour(hour: SimulatedHour, timezone: str) -> dict[str, JsonValue]:
    row = hour_as_json(hour, timezone, AGAINST)
    row["at"], row["ends_at"] = hour.since, hour.until
    rules: list[JsonValue] = [_rule(hour.camera, rule) for rule in hour.rules]
    row["rules"] = rules
    return row


def _rule(camera: str, rule: RuleHour) -> dict[str, JsonValue]:
    row = _without_events(camera, rule)
    here = () if rule.here is None else rule.here.events
    gone = {event.record_id for event in rule.only_there}
    there = () if rule.there is None else rule.there.events
    new = {event.record_id for event in rule.only_here}
    shown: list[JsonValue] = [
        _event(event, "new" if event.record_id in new else "same") for event in here[:MOST_EVENTS]
    ]
    no_more: list[JsonValue] = [_event(event, "gone") for event in there if event.record_id in gone]
    row["events"], row["gone"] = shown, no_more[:MOST_EVENTS]
    return row


def _without_events(camera: str, rule: RuleHour) -> dict[str, JsonValue]:
    row = rule_as_json(camera, rule, AGAINST, with_events=False)
    for name in ("new_events", "gone_events"):
        ids = row[name]
        row[name] = len(ids) if isinstance(ids, list) else 0
    return row


def _event(event: Event, against: str) -> dict[str, JsonValue]:
    return {
        "id": event.record_id,
        "at": event.at,
        "phase": event.phase,
        "type": event.type,
        "track": event.subject.track if event.subject is not None else None,
        "box": list(event.subject.box) if event.subject and event.subject.box else None,
        "direction": event.data.get("direction"),
        "seconds": event.data.get("seconds"),
        "against": against,
    }


def _line(row: Mapping[str, JsonValue]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"
