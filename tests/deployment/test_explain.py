"""`explain` shows what was understood: every value, where it came from, and no secret."""

from pathlib import Path

import pytest

from pipeline.deployment.explain import explain, explain_data
from pipeline.deployment.loader import Loaded, parse

TEXT = """
version: 1
site: {name: Shop 12}
defaults:
  sample: {every: 1s, motion: yes}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://${USER}:${PASSWORD}@10.0.0.7/${STREAM:-1}"}
    tasks: {people: {detect: person}}
    zones: {till: {polygon: [[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]}}
    rules: {queue: {type: occupancy, of: people, zone: till, more_than: "${LIMIT}", for: 90s}}
sinks:
  ops: {type: webhook, url_file: FOLDER/hook, headers: {Authorization: Bearer t0ken}}
"""
ENVIRONMENT = {"USER": "operator", "PASSWORD": "hunter2", "LIMIT": "5"}
SECRETS = ("operator", "hunter2", "s3cret", "t0ken")


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """A deployment with values from everywhere."""
    (tmp_path / "hook").write_text("https://hooks.example/s3cret")
    overrides = ["site.timezone=Europe/Berlin", "cameras.door.zones.till.polygon.2.1=0.7"]
    return parse(TEXT.replace("FOLDER", str(tmp_path)), overrides, ENVIRONMENT)


def test_every_value_has_its_origin(loaded: Loaded, tmp_path: Path) -> None:
    """Line, defaults, environment, secret file, --set, default, or why it was chosen."""
    origins = explain_data(loaded)["origins"]
    assert {path: origins[path] for path in origins if path in EXPECTED_ORIGINS} == EXPECTED_ORIGINS
    assert origins["sinks.ops.url"] == f"line 13, from the file {tmp_path}/hook"


EXPECTED_ORIGINS = {
    "site.name": "line 3",
    "site.timezone": "--set",
    "store.url": "default",
    "cameras.door.sample.every": "line 5 (defaults)",
    "cameras.door.sample.motion.heartbeat": "line 5 (defaults), default",
    "cameras.door.source.url": "line 8, from ${USER}, ${PASSWORD}",
    "cameras.door.tasks.people.engine": "the only engine that can answer",
    "cameras.door.tasks.people.max_objects": "default",
    "cameras.door.zones.till.polygon": "line 10; --set",
    "cameras.door.rules.queue.more_than": "line 11, from ${LIMIT}",
    "cameras.door.rules.queue.for": "line 11",
}


def test_values_are_those_that_count(loaded: Loaded) -> None:
    """Defaults merged, overrides applied, what the environment gave masked."""
    config = explain_data(loaded)["config"]
    door = config["cameras"]["door"]
    assert config["site"]["name"] == "Shop 12"
    assert config["site"]["timezone"] == "Europe/Berlin"
    assert door["sample"]["every"] == "1s"
    assert door["zones"]["till"]["polygon"] == [[0.6, 0.3], [0.9, 0.3], [0.9, 0.7]]
    assert door["rules"]["queue"]["more_than"] == "***"
    assert door["tasks"]["people"]["track"]["forget_after"] == "2s"
    assert config["store"]["keep"] == "30d"


def test_nothing_secret_is_shown(loaded: Loaded) -> None:
    """Neither from the environment nor from files nor written into the file."""
    shown = explain(loaded) + str(explain_data(loaded))
    assert not [secret for secret in SECRETS if secret in shown]


def test_an_address_still_shows_its_host(loaded: Loaded) -> None:
    """Which camera is meant is no secret."""
    assert "10.0.0.7/1" in explain_data(loaded)["config"]["cameras"]["door"]["source"]["url"]


def test_the_text_has_origins_as_comments(loaded: Loaded) -> None:
    """One value a line."""
    lines = explain(loaded).splitlines()
    (line,) = [line for line in lines if line.strip().startswith("for:")]
    assert line.split() == ["for:", "90s", "#", "line", "11"]


def test_what_is_explained_can_be_loaded_again() -> None:
    """Where nothing is masked, the text means the same deployment."""
    text = """
version: 1
site: {name: 'yes: "no" # $$5'}
cameras:
  on:
    source: {type: file, path: a b.mp4, starts_at: 2026-11-22T08:00:00+01:00}
    sample: {every: 1h30m, motion: off, black: {after: 1.5s}}
    tasks: {people: {detect: person}}
    lines: {null: {from: [0, 0.5], to: [1, 0.5]}}
    rules:
      in: {type: line_crossing, of: people, line: 'null', names: {in: "true", out: "1e3"}}
      long: {type: dwell, of: people, schedule: [{days: mon-fri, from: 22:00, to: 6:00}]}
sinks:
  log: {type: jsonl, path: out/x.jsonl, max_size: 100MB}
"""
    first = parse(text, environment={})
    again = parse(explain(first), environment={})
    assert again.deployment == first.deployment
