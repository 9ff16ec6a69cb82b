"""The deployment files that come with moonwatch are right, and do what their comments say."""

import json
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.tasks import Ask, Detect
from pipeline.deployment.explain import explain
from pipeline.deployment.loader import Loaded, parse, read

FILES = sorted(Path("configs").glob("*.yaml"))
SECRET = "hunter2-of-the-shop"


def loaded(name: str, secret: Path) -> Loaded:
    """A shipped file, read with the variables that it asks for."""
    environment = {
        "SHOP_CAMERA_PASSWORD_FILE": str(secret),
        "SHOP_CAMERA_URL": "rtsp://10.0.0.7/stream2",
        "SHOP_CAMERA": f"rtsp://shop:{SECRET}@10.0.0.7/stream2",
        "MQTT_PASSWORD": SECRET,
        "MAIL_PASSWORD": SECRET,
        "MAIL_TO": "boss@example.org",
        "YARD_CAMERA": f"rtsp://guard:{SECRET}@10.0.0.7/stream2",
        "GUARD_WEBHOOK": f"https://hooks.example/{SECRET}",
    }
    return read(Path("configs") / name, (), environment)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A secret in a file."""
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    return path


def test_the_files_are_there() -> None:
    """The tests below look at all of them."""
    names = {path.name for path in FILES}
    assert {"demo.yaml", "retail.yaml", "security.yaml", "webcam.yaml"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_shipped_file_loads_without_warnings(path: Path, secret: Path) -> None:
    """Nothing in it is wrong, unused or missing."""
    assert loaded(path.name, secret).warnings == ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_shipped_file_is_explained_without_its_secrets(path: Path, secret: Path) -> None:
    """Whatever way they came in."""
    assert SECRET not in explain(loaded(path.name, secret))


def test_the_demo_measures_the_lines_and_the_zone_of_its_truth(secret: Path) -> None:
    """So that what it counts can be compared."""
    truth = json.loads(Path("tests/data/plaza.truth.json").read_text())
    plaza = loaded("demo.yaml", secret).deployment.cameras["plaza"]
    lines = {name: (list(line.from_), list(line.to)) for name, line in plaza.lines.items()}
    assert lines == {line["name"]: (line["from"], line["to"]) for line in truth["lines"]}
    zones = {name: [list(xy) for xy in zone.polygon] for name, zone in plaza.zones.items()}
    assert zones == {zone["name"]: zone["polygon"] for zone in truth["zones"]}


def test_the_shop_takes_its_source_from_the_defaults(secret: Path) -> None:
    """The password lies in a file, and each camera only names its address."""
    deployment = loaded("retail.yaml", secret).deployment
    (*_, till) = deployment.cameras.values()
    assert till.source.type == "rtsp"
    assert till.source.password is not None
    assert till.source.password.reveal() == SECRET


def test_the_yard_asks_for_what_it_needs() -> None:
    """What is not set is told with the words of the file, all at once."""
    with pytest.raises(ConfigError) as raised:
        read("configs/security.yaml", (), {})
    told = [(problem.path, problem.message) for problem in raised.value.problems]
    assert [path for path, _ in told] == ["cameras.yard.source.url", "sinks.guard.url"]
    assert "write it like rtsp://user:password@10.0.0.7/stream2" in told[0][1]


WHOLE = """
version: 1
site: {name: "Shop 12", timezone: Europe/Berlin}
engines:
  fast: {type: coco}                                   # 80 classes, CPU, bundled
  vlm:  {type: moondream, model: vikhyatk/moondream2, revision: "2025-06-21", device: auto}
queue: {type: memory}
store: {url: "sqlite:///moonwatch.db", keep: 30d}
cameras:
  entrance:
    source: {type: rtsp, url: "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.7/stream2"}
    sample: {every: 500ms, motion: true}
    tasks:
      people: {detect: person, engine: fast}
      door:   {ask: "Is the fire door open?", engine: vlm, every: 30s}
    lines: {doorway: {from: [0.10, 0.60], to: [0.90, 0.60]}}
    zones: {till: {polygon: [[0.6, 0.3], [0.9, 0.3], [0.9, 0.8], [0.6, 0.8]]}}
    rules:
      footfall: {type: line_crossing, of: people, line: doorway}
      queue:    {type: occupancy, of: people, zone: till, more_than: 5, for: 30s, cooldown: 10m}
      fire_door: {type: condition, of: door, is: yes, for: 1m}
sinks:
  log: {type: jsonl, path: events.jsonl}
  ops: {type: webhook, url: "${OPS_WEBHOOK}", only: [fire_door]}
"""


def test_a_deployment_with_a_bit_of_everything() -> None:
    """As one would write it down: two engines, a question, lines, zones, filters."""
    environment = {"CAM_USER": "u", "CAM_PASSWORD": "p", "OPS_WEBHOOK": "https://ops.example/1"}
    whole = parse(WHOLE, environment=environment)
    assert whole.warnings == ()
    assert whole.deployment.cameras["entrance"].questions() == (
        Detect("people", "fast", "person"),
        Ask("door", "vlm", "Is the fire door open?", "yes/no"),
    )
