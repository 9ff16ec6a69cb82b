"""The terms of a rule, as JSON: two rules with the same terms report the same events.

A checkpoint holds the terms next to the rule's state, so that a rule that is no longer in the file
can still be built, to finish what it had begun.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from pipeline.core.config import as_written
from pipeline.core.events import JsonValue
from pipeline.core.geometry import Line, Polygon
from pipeline.core.opening_hours import ALWAYS, OpeningHours
from pipeline.core.rules import Rule
from pipeline.rules import RuleConfig
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext

# These do not matter: the rule's verdict is the same, whether a picture is saved or a model asked.
_BESIDE_THE_POINT = frozenset({"snapshot", "clip", "verify"})


def terms_of(config: RuleBase, context: RuleContext) -> dict[str, JsonValue]:
    """The rule's own fields, the shapes it names and what it looks for.

    How often the camera is sampled is not one of them: a state stays valid at another pace.
    """
    used = config.references()
    lines = {name: context.line(name) for name in used.lines}
    zones = {name: context.zones[name] for name in used.zones}
    terms: dict[str, JsonValue] = {
        "rule": {**as_written(config, _BESIDE_THE_POINT), "type": getattr(config, "type", "")},
        "label": context.label,
        "lines": {name: [list(line.start), list(line.end)] for name, line in lines.items()},
        "zones": {name: [list(xy) for xy in zone.corners] for name, zone in zones.items()},
    }
    if config.schedule:
        terms["timezone"] = context.timezone
    if config.schedule == "open":
        terms["hours"] = context.hours.as_json()
    if config.when != "always":
        terms["armed"] = context.armed.plan.as_json()
    return terms


def type_in(terms: JsonValue) -> str:
    """The type of the rule that has these terms; empty where they have none."""
    rule = terms.get("rule") if isinstance(terms, dict) else None
    return str(rule.get("type", "")) if isinstance(rule, dict) else ""


def rule_of(terms: JsonValue, context: RuleContext) -> Rule:
    """The rule that had these terms; `context` gives its camera, name, pace and aspect.

    Raises ValueError or ConfigError where no rule of this release can have them.
    """
    kept: Any = terms
    try:
        config: RuleBase = _rules().validate_python(kept["rule"])
        told = replace(
            context,
            label=kept["label"],
            lines={name: Line(_xy(a), _xy(b)) for name, (a, b) in kept["lines"].items()},
            zones={name: Polygon(tuple(map(_xy, c))) for name, c in kept["zones"].items()},
            timezone=kept.get("timezone", "UTC"),
            hours=OpeningHours.from_json(kept["hours"]) if "hours" in kept else ALWAYS,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the terms of a rule: {error!r}") from None
    return config.build(told)


@cache
def _rules() -> TypeAdapter[Any]:
    return TypeAdapter(RuleConfig)


def _xy(value: Any) -> tuple[float, float]:
    x, y = value
    return (float(x), float(y))
