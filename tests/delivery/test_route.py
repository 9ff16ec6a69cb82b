"""A route lets the wanted events pass."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sinks.jsonl import JsonlConfig
from pipeline.core.events import REPORT, Phase
from pipeline.core.store import UnreadableEvent
from pipeline.core.verifying import Outcome, Verification
from pipeline.delivery import Route
from tests.contracts.event_tools import an_event

EVENT = replace(an_event(), rule="fire_door", camera="yard-2", type="condition")


@pytest.mark.parametrize(
    ("only", "without", "wanted"),
    [
        ((), (), True),
        (("fire_door",), (), True),  # by rule
        (("yard-2",), (), True),  # by camera
        (("condition",), (), True),  # by type
        (("yard-*",), (), True),
        (("yard-?", "nothing"), (), True),
        (("yard-[13]",), (), False),
        (("Fire_Door",), (), False),  # names are what they are
        (("fire",), (), False),  # a part of a name is no name
        ((), ("yard-2",), False),
        ((), ("dwell",), True),
        (("fire_door",), ("yard-*",), False),  # `not` has the last word
    ],
)
def test_events_are_wanted_or_not(
    only: tuple[str, ...], without: tuple[str, ...], wanted: bool
) -> None:
    """By the names of their rule, camera and type."""
    assert Route("log", only, without).wants(EVENT) is wanted


@pytest.mark.parametrize(
    ("phases", "phase", "wanted"),
    [
        (None, "start", True),
        (None, "update", True),
        ("start", "start", True),
        ("start", "end", False),
        (["start", "single"], "single", True),
        (["start", "single"], "update", False),
    ],
)
def test_phases_are_wanted_or_not(phases: Any, phase: Phase, wanted: bool) -> None:
    """By default all; one alone needs no list. Reports and unreadable events have none to go by."""
    fields = {"path": "x"} if phases is None else {"path": "x", "phases": phases}
    route = Route.of("log", JsonlConfig.model_validate(fields), ("weekly",))
    assert route.wants(replace(EVENT, phase=phase)) is wanted
    assert route.wants(replace(EVENT, type=REPORT, rule="weekly", phase="single"))
    assert route.wants(UnreadableEvent(1, "id", "yard-2", "fire_door", "condition", "damaged"))


@pytest.mark.parametrize("phases", [[], "begin"])
def test_no_phase_at_all_is_refused(phases: Any) -> None:
    """And one that there is not."""
    with pytest.raises(ValidationError):
        JsonlConfig.model_validate({"path": "x", "phases": phases})


def test_a_sink_s_config_describes_its_route() -> None:
    """Filters, size of a batch, and patience."""
    config = JsonlConfig.model_validate(
        {"path": "x", "only": "a", "not": "b", "give_up_after": "1h"}
    )
    assert Route.of("log", config) == Route(
        "log", ("a",), ("b",), config.at_once, timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("outcome", "dropped", "verified", "wanted"),
    [
        ("confirmed", False, {}, True),
        ("unverified", False, {}, True),  # an alarm that nobody could look at is an alarm
        ("rejected", False, {}, False),
        ("rejected", False, {"verified": "rejected"}, True),
        ("rejected", True, {"verified": "rejected"}, False),  # `rejected: drop` has the last word
        ("unverified", False, {"verified": ["confirmed"]}, False),
        (None, False, {"verified": "rejected"}, True),  # of a rule without a second look
    ],
)
def test_what_was_looked_at_twice_is_wanted_by_its_outcome(
    outcome: Outcome | None, dropped: bool, verified: dict[str, Any], wanted: bool
) -> None:
    """By default all but what was rejected."""
    event = EVENT
    if outcome is not None:
        event = Verification(outcome, "wise", dropped=dropped).marked(EVENT)
    route = Route.of("log", JsonlConfig.model_validate({"path": "x", **verified}))
    assert route.wants(event) is wanted
