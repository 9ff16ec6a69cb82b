"""Home Assistant is told of entities that it accepts, for every type of rule."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from connectors.sinks._mqtt.entities import ENTITIES, table
from connectors.sinks._mqtt.home_assistant import HomeDevice, devices
from connectors.sinks._mqtt.topics import Topics, event_payload, kind_of, states
from pipeline.core.events import Event, JsonValue
from pipeline.core.site_state import (
    CameraLayout,
    CameraState,
    MeasureLayout,
    RuleLayout,
    RuleState,
    SiteLayout,
    SiteState,
)
from pipeline.core.switching import MORE_THAN, SwitchRange
from pipeline.rules import all_rules
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.home_assistant_rules import faults

TYPES = [rule.model_fields["type"].default for rule in all_rules()]
SITE = "Grüner Markt 12"
NOON = 1_700_000_000.0


def layout() -> SiteLayout:
    """A site with a camera that has a rule of every type, and one without rules."""
    rules = {
        f"my_{rule.model_fields['type'].default}": RuleLayout(
            rule.model_fields["type"].default,
            tuple(MeasureLayout(one.name, one.over_time, one.unit) for one in rule.measures),
            limits=SwitchRange(0, 50) if MORE_THAN in rule.model_fields else None,
        )
        for rule in all_rules()
    }
    cameras = {
        "Eingang-1": CameraLayout(rules, "Filiale 7", can_be_armed=True),
        "yard": CameraLayout(),
    }
    return SiteLayout(SITE, cameras, ("robbery",), "1.2.3", "https://eye.example.org")


def announced(**options: Any) -> list[HomeDevice]:
    """Its devices."""
    topics = Topics("moonwatch/gruner_markt_12")
    return list(devices(topics, layout(), "homeassistant", **{"pictures": True, **options}))


def state(rule: RuleState, *, works: bool = True) -> SiteState:
    """Everything stands the same."""
    cameras = {
        name: CameraState(
            works=works,
            state="online" if works else None,
            since=NOON if works else None,
            rules=dict.fromkeys(camera.rules, rule),
        )
        for name, camera in layout().cameras.items()
    }
    return SiteState(layout(), cameras)


@pytest.mark.parametrize("commands", [False, True])
def test_announcements_keep_the_rules(commands: bool) -> None:
    """Of all devices with all their components, those that are removed included."""
    for device in announced(commands=commands):
        assert faults(device.topic, device.payload()) == []
        assert faults(device.topic, device.payload({"old_now": "sensor"})) == []


def test_the_rules_find_faults() -> None:
    """Ours would be worth nothing if they accepted everything."""
    device = announced()[1]
    for spoiled, why in (
        ({"device_class": "queue"}, "device_class"),
        ({"state_topic": "moonwatch/#"}, "not a topic"),
        ({"unique_id": device.components["health"]["unique_id"]}, "id of two"),
        ({"object_id": "door"}, "not known"),
        ({"platform": "camera"}, "not known"),
    ):
        changed = {**device.components, "online": {**device.components["online"], **spoiled}}
        payload = HomeDevice(device.id, device.topic, device.head, changed).payload()
        assert any(why in fault for fault in faults(device.topic, payload))
    assert faults("homeassistant/device/shop 12/config", device.payload())


def test_every_type_of_rule_has_entities() -> None:
    """A new one has to be given some; what they show is what the rule measures."""
    assert sorted(ENTITIES) == sorted(TYPES)
    for rule in all_rules():
        known = ENTITIES[rule.model_fields["type"].default]
        measured = {one.name for one in rule.measures}
        assert known.level is None or known.level in measured
        derived = {"net"} if {"entered", "left"} <= measured else set()
        assert set(known.today) <= measured | derived


def test_what_a_rule_reports_is_among_its_kinds() -> None:
    """Home Assistant refuses an event of another kind; found in the rules' own code."""
    for rule in all_rules():
        name = rule.model_fields["type"].default
        code = (
            ROOT / f"pipeline/rules/at_work/{rule.__module__.rpartition('.')[2]}.py"
        ).read_text()
        lasts = ENTITIES[name].alarm is not None
        reports_moments = 'phase="single"' in code
        assert reports_moments == (not lasts and bool(ENTITIES[name].events)), name


def test_the_docs_have_the_table() -> None:
    """Of what each type of rule gets."""
    page = (ROOT / "docs/home-assistant.md").read_text()
    assert "\n".join(table()) in page


def test_ids_follow_from_names_in_the_file() -> None:
    """And entities are called what a person would call them."""
    device = announced()[1]
    assert device.topic == "homeassistant/device/moonwatch_gruner_markt_12_eingang-1/config"
    component = device.components["my_queue_now"]
    assert component["unique_id"] == "moonwatch_gruner_markt_12_eingang-1_my_queue_now"
    assert component["default_entity_id"] == "sensor.gruner_markt_12_eingang_1_my_queue_now"
    told = device.head["device"]
    assert isinstance(told, dict)
    assert told["name"] == "Grüner Markt 12 Eingang-1"
    assert told["via_device"] == announced()[0].id
    assert told["suggested_area"] == "Filiale 7"
    assert told["configuration_url"] == "https://eye.example.org/cameras/Eingang-1"


def shown(rule: RuleState, *, works: bool = True) -> Iterator[tuple[str, dict[str, Any], str]]:
    """What Home Assistant reads of each component that has a state, by its id."""
    templates = ImmutableSandboxedEnvironment()
    topics = Topics("moonwatch/gruner_markt_12")
    said = dict(states(topics, state(rule, works=works)))
    for device in announced():
        for name, component in device.components.items():
            payload = said.get(str(component.get("state_topic")))
            template = component.get("value_template")
            if payload is None or template is None:
                continue
            values: dict[str, Any] = {"value": payload.decode()}
            if payload.startswith(b"{"):
                values["value_json"] = json.loads(payload)
            yield name, component, templates.from_string(str(template)).render(values)


def test_templates_read_what_is_known() -> None:
    """Numbers are numbers, and what is on or off is one of the two."""
    measures = {
        one.name: 2.0
        for rule in layout().cameras["Eingang-1"].rules.values()
        for one in rule.measures
    }
    found = list(shown(RuleState(True, 2.5, 1.0, NOON, measures, 0.5, NOON - 3600, NOON)))
    assert len(found) > 40
    for name, component, read in found:
        if component["platform"] == "binary_sensor":
            assert read == "ON", name
        elif name != "health":
            assert re.fullmatch(r"-?\d+(\.\d+)?", read), name
    assert {read for name, _, read in found if name.endswith("_coverage")} == {"50.0"}


def test_templates_read_unknown_as_unknown() -> None:
    """`None` is what Home Assistant takes for it, of sensors of both kinds; nothing reads as 0."""
    found = list(shown(RuleState(today_since=NOON), works=False))
    assert {
        (component["platform"], read) for name, component, read in found if "coverage" not in name
    } == {("binary_sensor", "None"), ("sensor", "None")}


def test_sums_begin_anew_at_midnight() -> None:
    """Said, not guessed from a number that went down."""
    device = announced()[1]
    component = device.components["my_line_crossing_in"]
    assert component["state_class"] == "total"
    assert component["last_reset_value_template"] == "{{ value_json.since }}"
    assert "last_reset_value_template" not in device.components["my_queue_maximum"]


def test_kinds_of_events() -> None:
    """The phase of what lasts; the direction, by its name in the file; or just that it was."""
    lasting = Event("a", "queue", "update", "door", "queue", NOON, update=1)
    moment = Event("a", "line_crossing", "single", "door", "footfall", NOON)
    crossed = {"direction": "in", "name": "coming"}
    named = Event("a", "line_crossing", "single", "door", "footfall", NOON, data=crossed)
    assert [kind_of(one) for one in (lasting, moment, named)] == ["update", "single", "coming"]
    rules = {"footfall": RuleLayout("line_crossing", (), ("coming", "going"))}
    door = SiteLayout(SITE, {"door": CameraLayout(rules)})
    camera = list(devices(Topics("moonwatch/shop"), door, "homeassistant", pictures=False))[1]
    assert camera.components["footfall_event"]["event_types"] == ["coming", "going"]
    assert "footfall_in" not in camera.components  # as it measures nothing here
    assert "last_event" not in camera.components


def test_an_event_cannot_hide_its_kind() -> None:
    """Whatever a rule puts beside it."""
    data: dict[str, JsonValue] = {"event_type": "other", "id": "other", "count": 3}
    told = json.loads(event_payload(Event("a", "queue", "start", "door", "queue", NOON, data=data)))
    assert (told["event_type"], told["id"], told["count"]) == ("start", "a.start", 3)


def test_only_what_tells_events_is_switched() -> None:
    """And only with commands; a limit is a number, where the rule has one."""
    kinds = {str(one["platform"]) for device in announced() for one in device.components.values()}
    assert kinds & {"switch", "number"} == set()
    made = announced(commands=True)[1].components
    limits = sorted(name for name in made if name.endswith("_more_than"))
    with_limits = ("count", "crowding", "occupancy", "queue")
    assert limits == [f"my_{name}_more_than" for name in with_limits]
    assert made["my_count_more_than"]["mode"] == "box"
    switched = {name for name in made if name.endswith("_enabled")}
    assert switched == {f"my_{name}_enabled" for name in TYPES if ENTITIES[name].events}


def test_a_sequence_is_an_event_of_the_site() -> None:
    """As its cameras are those of its parts."""
    topics = Topics("moonwatch/shop")
    assert topics.of_event(Event("a", "sequence", "single", "door", "robbery", NOON)) == (
        "moonwatch/shop/robbery/event"
    )
    assert topics.of_event(Event("a", "report", "single", "", "weekly", NOON)) is None
    assert announced()[0].components["robbery_event"]["state_topic"] == (
        "moonwatch/gruner_markt_12/robbery/event"
    )


HOME = "MOONWATCH_TEST_HOME_ASSISTANT"


@pytest.mark.slow
def test_announcements_keep_the_rules_of_home_assistant_itself(tmp_path: Path) -> None:
    """With its own schemas, where there is a Python that has it; and they do find faults."""
    python = os.environ.get(HOME)
    if python is None:
        pytest.skip(f"Home Assistant was not asked: set {HOME} to a Python that has it")
    told = [
        [device.topic, payload.decode()]
        for commands in (False, True)
        for device in announced(commands=commands)
        for payload in (device.payload(), device.payload({"old_now": "sensor"}))
    ]
    file = tmp_path / "announcements.json"

    def answer(announcements: list[list[str]]) -> tuple[list[str], int]:
        file.write_text(json.dumps(announcements))
        script = Path(__file__).with_name("home_assistant_schema.py")
        done = subprocess.run(
            [python, "-W", "ignore", str(script), str(file)],
            capture_output=True,
            text=True,
            timeout=patience(20),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        faults, number = json.loads(done.stdout.splitlines()[-1])
        return faults, number

    faults, number = answer(told)
    assert faults == []
    assert number > 300
    spoiled = [[topic, payload.replace('"problem"', '"queue"')] for topic, payload in told]
    assert answer(spoiled)[0]


def test_directions_are_shown_by_their_names_and_keep_their_ids() -> None:
    """Whatever the file calls them."""
    measures = (MeasureLayout("entered", "sum", "crossings"), MeasureLayout("left", "sum", "x"))
    for words, names in ((("coming", "going"), ("coming", "going")), ((), ("in", "out"))):
        rules = {"footfall": RuleLayout("line_crossing", measures, words)}
        door = SiteLayout(SITE, {"door": CameraLayout(rules)})
        camera = list(devices(Topics("moonwatch/shop"), door, "homeassistant", pictures=False))[1]
        for what, name in zip(("in", "out"), names, strict=True):
            component = camera.components[f"footfall_{what}"]
            assert component["name"] == f"Footfall {name}"
            assert component["unique_id"] == f"moonwatch_shop_door_footfall_{what}"
