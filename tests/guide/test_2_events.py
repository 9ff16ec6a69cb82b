"""Running it.

The same file serves a camera and a recording: a camera is watched until moonwatch is stopped, a
recording is played as fast as the machine can, and its own clock is the time of the events.
"""

import json

from pipeline.testing import wait_until
from tests.guide.conftest import Command, WriteFile, events_in, started
from tests.guide.test_1_deployment import SHOP

ZONE = """
version: 1
cameras:
  plaza:
    source: {type: file, path: plaza.mp4, starts_at: "2026-06-01T12:00:00Z"}
    sample: {every: 800ms}
    tasks:
      people: {detect: person}
    zones:
      crossroads: {polygon: [[0.3, 0.35], [0.73, 0.35], [0.73, 0.73], [0.3, 0.73]]}
    rules:
      crowd: {type: occupancy, of: people, zone: crossroads, more_than: 1, snapshot: yes}
      stays: {type: dwell, of: people, zone: crossroads, longer_than: 2s}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""


def test_a_run_counts_who_crosses_a_line(file: WriteFile, moonwatch: Command) -> None:
    """Looking from the line's `from` to its `to`, who ends up on the right went in."""
    file("shop.yaml", SHOP)

    report = json.loads(moonwatch("run shop.yaml --json"))

    (footfall,) = report["footfall"]
    assert footfall["rule"] == "visitors"
    assert footfall["in"] + footfall["out"] > 0


def test_an_event_says_what_happened_where_and_when(file: WriteFile, moonwatch: Command) -> None:
    """Events are CloudEvents, one a line here; their time is the camera's."""
    file("shop.yaml", SHOP)

    moonwatch("run shop.yaml")
    first = events_in("events.jsonl")[0]

    assert first["type"] == "io.moonwatch.line_crossing.v1"
    assert first["time"].startswith("2026-06-01T10:00:")  # UTC; noon in Berlin
    assert first["data"]["camera"] == "door"
    assert first["data"]["rule"] == "visitors"
    assert first["data"]["direction"] in {"in", "out"}


def test_rules_of_a_zone(file: WriteFile, moonwatch: Command) -> None:
    """`occupancy` is about how many there are, `dwell` about how long each of them stays."""
    file("plaza.yaml", ZONE)

    moonwatch("run plaza.yaml")
    events = events_in("events.jsonl")

    crowd = next(event["data"] for event in events if event["data"]["rule"] == "crowd")
    assert crowd["phase"] == "start"
    stay = next(event["data"] for event in events if event["data"]["rule"] == "stays")
    assert stay["subject"]["label"] == "person"


def test_running_again_repeats_nothing(file: WriteFile, moonwatch: Command) -> None:
    """The store knows how far a recording was judged and which events every sink has."""
    file("shop.yaml", SHOP)
    moonwatch("run shop.yaml")
    before = events_in("events.jsonl")

    moonwatch("run shop.yaml")

    assert events_in("events.jsonl") == before


def test_a_run_that_was_stopped_goes_on(file: WriteFile, moonwatch: Command) -> None:
    """It resumes where it was stopped; the events are those of a run that nobody stopped."""
    file("shop.yaml", SHOP)
    file("undisturbed.yaml", SHOP.replace("events.jsonl", "undisturbed.jsonl"))

    with started("moonwatch run shop.yaml") as running:
        wait_until(lambda: events_in("events.jsonl") != [])
        running.terminate()
    moonwatch("run shop.yaml")
    moonwatch("run undisturbed.yaml --set store.url=sqlite:///undisturbed.db")

    resumed = [event["id"] for event in events_in("events.jsonl")]
    assert resumed == [event["id"] for event in events_in("undisturbed.jsonl")]
