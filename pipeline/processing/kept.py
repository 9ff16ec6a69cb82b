"""The stored state of one camera and engine, in this layout and the one before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.events import JsonValue
from pipeline.core.ranges import MOST_SIDE, is_finite, is_moment
from pipeline.processing.following import resolved
from pipeline.processing.plan import LanePlan

LAYOUT = 2
"""The version of what `Judge.state` writes. The first had no number: one fingerprint for the whole
lane, and the states of trackers and rules without their terms."""


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule as it was stored."""

    name: str
    terms: JsonValue
    """None if they are not known."""
    every_s: float
    state: JsonValue
    at: float
    """When it last judged something, UTC seconds."""
    aspect: float
    run: str = ""
    """The run of what it judged last, as far as that is known."""


@dataclass(frozen=True, slots=True)
class KeptTask:
    """A task's tracker and rules as they were stored."""

    terms: str | None
    tracker: JsonValue
    rules: Mapping[str, KeptRule]
    coverage: JsonValue = None
    scene: JsonValue = None
    """What is known of the scene; None in checkpoints of releases that learned nothing."""
    standing: JsonValue = None
    """What stands still, of a task that looks where it moves; None for all others."""
    answered: str | None = None
    """The digest of what its answers depended on; None if that is not known."""


@dataclass(frozen=True, slots=True)
class KeptLane:
    """A camera and engine as they were stored."""

    last_at: float | None = None
    aspect: float | None = None
    tasks: Mapping[str, KeptTask] = field(default_factory=dict)

    def rules(self) -> Mapping[str, KeptRule]:
        """All rules by name."""
        return {name: rule for task in self.tasks.values() for name, rule in task.rules.items()}

    def terms(self) -> JsonValue:
        """Comparable with the terms of a plan: what differs is judged differently."""
        return {
            name: [task.terms, {rule.name: rule.terms for rule in task.rules.values()}]
            for name, task in self.tasks.items()
        }


def read_lane(state: JsonValue, plan: LanePlan | None) -> KeptLane:
    """Read what `Judge.state` wrote; raises ValueError with the reason if it cannot be read.

    States of rules and trackers are not checked here: each is read by its owner.
    """
    if not isinstance(state, dict):
        raise ValueError("it is not a map")  # noqa: TRY004 - all invalid states raise alike
    version = state.get("version", 1)
    if version == 1:
        return _first_layout(state, plan)
    if version != LAYOUT:
        raise ValueError(f"it has version {version!r}, but this release reads version {LAYOUT}")
    last_at, aspect = _last_at(state), _aspect(state)
    tasks: dict[str, KeptTask] = {}
    stored = _map(state, "tasks")
    trackers = resolved(
        {task: kept.get("tracker") for task, kept in stored.items() if isinstance(kept, dict)}
    )
    for task, kept in stored.items():
        if not isinstance(kept, dict):
            raise ValueError(f"its task {task!r} is not a map")  # noqa: TRY004 - as above
        rules: dict[str, KeptRule] = {}
        for name, rule in _map(kept, "rules").items():
            if not isinstance(rule, dict):
                raise ValueError(f"its rule {name!r} is not a map")  # noqa: TRY004 - as above
            every_s = max(0.0, _number(rule, "every_s") or 0.0)
            rules[name] = KeptRule(
                name, rule.get("terms"), every_s, rule.get("state"), last_at or 0.0, aspect or 1.0
            )
        terms = kept.get("terms")
        known = terms if isinstance(terms, str) else None
        answered = kept.get("answered")
        tasks[task] = KeptTask(
            *(known, trackers.get(task), rules),
            coverage=kept.get("coverage"),
            scene=kept.get("scene"),
            standing=kept.get("standing"),
            answered=answered if isinstance(answered, str) and answered else None,
        )
    return KeptLane(last_at, aspect, tasks)


def _first_layout(state: Mapping[str, JsonValue], plan: LanePlan | None) -> KeptLane:
    """A lane whose fingerprint equals the plan's was judged by the plan in every part."""
    if not isinstance(state.get("fingerprint"), str):
        raise ValueError("it has no version")  # noqa: TRY004 - as above
    same = plan is not None and bool(plan.fingerprint) and state["fingerprint"] == plan.fingerprint
    planned = {task.task: task for task in plan.tasks} if plan is not None and same else {}
    last_at, aspect = _last_at(state), _aspect(state)
    tasks: dict[str, KeptTask] = {}
    for task, kept in _map(state, "tasks").items():
        if not isinstance(kept, dict):
            raise ValueError(f"its task {task!r} is not a map")  # noqa: TRY004 - as above
        terms = planned[task].rules if task in planned else {}
        rules = {
            name: KeptRule(
                name,
                terms[name].terms if name in terms else None,
                terms[name].every_s if name in terms else 0.0,
                rule,
                last_at or 0.0,
                aspect or 1.0,
            )
            for name, rule in _map(kept, "rules").items()
        }
        of_task = planned[task].terms if task in planned else None
        tasks[task] = KeptTask(of_task, kept.get("tracker"), rules)
    return KeptLane(last_at, aspect, tasks)


def _map(state: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = state.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"its `{name}` is not a map")  # noqa: TRY004 - as above
    return value


def _number(state: Mapping[str, JsonValue], name: str) -> float | None:
    value = state.get(name)
    if value is None:
        return None
    if not is_finite(value):
        raise ValueError(f"its `{name}` is not a number")
    return float(value)  # type: ignore[arg-type]


def _last_at(state: Mapping[str, JsonValue]) -> float | None:
    at = _number(state, "last_at")
    if at is not None and not is_moment(at):
        raise ValueError("its `last_at` is not a time between 1900 and 2200")
    return at


def _aspect(state: Mapping[str, JsonValue]) -> float | None:
    aspect = _number(state, "aspect")
    if aspect is not None and not 1 / MOST_SIDE <= aspect <= MOST_SIDE:
        raise ValueError("its `aspect` is not that of a picture")
    return aspect
