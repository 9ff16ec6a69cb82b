"""Opening hours are among the terms of a rule that keeps to them, and of no other."""

from pipeline.core.geometry import Line
from pipeline.core.opening_hours import opening_hours
from pipeline.rules.context import RuleContext
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.terms import rule_of, terms_of

SHOP = opening_hours({"mon-sat": "9:00-20:00"}, "Europe/Berlin", "DE")
CONTEXT = RuleContext(
    "door",
    "footfall",
    lines={"doorway": Line((0.1, 0.6), (0.9, 0.6))},
    timezone="Europe/Berlin",
    hours=SHOP,
)


def test_other_hours_are_other_terms() -> None:
    """A rule with `schedule: open` is another one once the site opens at other times."""
    rule = LineCrossingConfig.model_validate(
        {"of": "people", "line": "doorway", "schedule": "open"}
    )
    terms = terms_of(rule, CONTEXT)
    assert terms["hours"] == SHOP.as_json()
    assert rule_of(terms, RuleContext("door", "footfall")) is not None


def test_a_rule_without_a_schedule_does_not_know_them() -> None:
    """A shop that opens at other times does not make its counting rules begin anew."""
    rule = LineCrossingConfig.model_validate({"of": "people", "line": "doorway"})
    assert "hours" not in terms_of(rule, CONTEXT)
