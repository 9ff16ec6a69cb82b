"""Made-up events are as rules report them."""

import re
from typing import Any

import pytest

from pipeline.core.events import Event, event_from_json, event_to_json
from pipeline.core.tasks import Ask, Detect
from pipeline.rules import all_rules
from pipeline.rules.base import RuleBase
from pipeline.rules.samples import rule_samples, sampled_types
from tests.architecture.source_tree import ROOT

PEOPLE, QUESTION = Detect("people", "coco", "person"), Ask("people", "moon", "How many?")
FIELDS: dict[str, list[dict[str, Any]]] = {
    "line_crossing": [{"line": "step"}],
    "occupancy": [
        {"zone": "till", "more_than": 3},
        {"fewer_than": 2, "update_every": "10s"},
        {"zone": "till"},
    ],
    "count": [{"more_than": 3}],
    "crowding": [{"more_than": 3}],
    "dwell": [{"zone": "till", "longer_than": "1m"}],
    "absence": [{"zone": "till", "for": "1m"}],
    "queue": [{"zone": "till", "served": "desk", "more_than": 3, "longer_than": "3m"}],
    "tailgating": [{"line": "step", "within": "3s"}],
    "wrong_way": [{"line": "step", "wrong": "in"}, {"zone": "till", "along": "right"}],
    "speed": [{"zone": "till", "over": 30, "rectangle": [3.5, 12]}],
    "left_object": [{"longer_than": "1m"}],
    "removed_object": [{}],
    "parking": [{"zone": "till", "longer_than": "5m"}],
    "condition": [{"is": "yes"}, {"is": ["yes", "maybe"]}],
}
WITHOUT_EVENTS = {"heat_map"}


def documented(type_: str) -> set[str]:
    """The keys that the page about events has for a type, and for all."""
    page = (ROOT / "docs" / "events.md").read_text()
    keys = set()
    for row in page.splitlines():
        cells = row.split("|")
        if len(cells) > 3 and (f"`{type_}`" in cells[1] or "`coverage`" in cells[1]):
            keys |= set(re.findall(r"`(\w+)`", "|".join(cells[1:])))
    return keys


def rule_of(type_: str, fields: dict[str, Any]) -> RuleBase:
    """A rule's config."""
    (kind,) = (one for one in all_rules() if one.model_fields["type"].default == type_)
    return kind.model_validate({"of": "people", **fields})


def samples(type_: str) -> list[Event]:
    """Those of a type, in all its ways."""
    return [
        event
        for fields in FIELDS[type_]
        for task in (PEOPLE, QUESTION)
        for event in rule_samples("door", "rule", rule_of(type_, fields), task, 1_780_000_000.0)
    ]


def test_there_are_samples_of_every_rule() -> None:
    """Of all that report events."""
    types = {one.model_fields["type"].default for one in all_rules()}
    assert sampled_types() == types - WITHOUT_EVENTS == set(FIELDS)


@pytest.mark.parametrize("type_", FIELDS)
def test_samples_are_events_as_they_are_documented(type_: str) -> None:
    """They can be stored, and have no key that the page about events does not know."""
    found = samples(type_)
    assert found
    for event in found:
        assert event_from_json(event_to_json(event)) == event
        assert event.type == type_
        assert set(event.data) <= documented(type_) | {"zone"}
        assert ("coverage" in event.data) == (event.phase != "end")


def test_a_rule_without_a_limit_has_no_events() -> None:
    """It only counts."""
    assert list(rule_samples("door", "r", rule_of("occupancy", {"zone": "a"}), PEOPLE, 0.0)) == []


def test_a_second_look_is_a_part_of_it() -> None:
    """For rules with `verify`."""
    config = rule_of("line_crossing", {"line": "step", "verify": {"ask": "Is it one?"}})
    (event,) = rule_samples("door", "r", config, PEOPLE, 1_780_000_000.0)
    assert event.data["verified"] == "confirmed"
