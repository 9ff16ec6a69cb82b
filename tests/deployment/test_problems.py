"""Every mistake in a deployment file, all at once, each at its place and with the way out."""

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import Loaded, load, parse, read

GOOD = """
version: 1
cameras:
  door:
    source: {type: file, path: door.mp4}
    tasks:
      people: {detect: person}
    lines: {step: {from: [0.1, 0.6], to: [0.9, 0.6]}}
    zones: {till: {polygon: [[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]}}
    rules:
      footfall: {type: line_crossing, of: people, line: step}
      queue: {type: occupancy, of: people, zone: till, more_than: 5, for: 30s}
sinks:
  log: {type: jsonl, path: events.jsonl}
"""
ENVIRONMENT = {"USER": "operator", "PASSWORD": "hunter2", "COUNT": "hunter3"}


def refused(text: str, *overrides: str) -> list[Problem]:
    """The problems that a text is refused for."""
    with pytest.raises(ConfigError) as raised:
        parse(text, overrides, ENVIRONMENT)
    return list(raised.value.problems)


def loaded(*overrides: str) -> Loaded:
    """The good file with something set."""
    return parse(GOOD, overrides, ENVIRONMENT)


@pytest.mark.parametrize(
    ("within", "part"), [("0s", "must be above 0 seconds"), ("2d", "must be at most 1 day")]
)
def test_a_duration_beyond_its_limit_is_told(within: str, part: str) -> None:
    """The limit in words."""
    parts = "first: {rule: footfall}, then: {rule: footfall}"
    problems = refused(GOOD, f"sequences.twice={{{parts}, within: {within}}}")
    assert [(one.path, one.message) for one in problems] == [("sequences.twice.within", part)]


@pytest.mark.parametrize(
    ("override", "path", "part"),
    [
        # unknown keys and types
        ("camera.x=1", "camera", "not a known key; did you mean 'cameras'?"),
        ("cameras.door.task=1", "cameras.door.task", "did you mean 'tasks'?"),
        ("cameras.door.tasks.people.evry=1s", "cameras.door.tasks.people.evry", "'every'"),
        ("cameras.door.colour=red", "cameras.door.colour", "the keys here are: source, sample"),
        ("cameras.door.source.type=fil", "cameras.door.source", "did you mean 'file'?"),
        ("cameras.door.source.type=tape", "cameras.door.source", "there are: file,"),
        ("cameras.door.source={path: x}", "cameras.door.source", "has no `type` (only path)"),
        ("engines.a.type=coko", "engines.a", "'coko' is not a known type; did you mean 'coco'?"),
        ("queue.type=kafka", "queue", "there are: memory, redis"),
        ("sinks.log.type=json", "sinks.log", "did you mean 'jsonl'?"),
        ("cameras.door.rules.footfall.type=line", "cameras.door.rules.footfall", "line_crossing"),
        ("sinks.log.sync=alway", "sinks.log.sync", "did you mean 'always'?"),
        (
            "sinks.log={type: csv, folder: x, separator: '|'}",
            "sinks.log.separator",
            "',', ';', tab",
        ),
        # what must be there
        ("version=2", "version", "'2' is not valid here; choose from: 1"),
        ("cameras={}", "cameras", "at least 1"),
        ("cameras.door.source={type: rtsp}", "cameras.door.source.url", "is missing"),
        ("cameras.door.tasks.people={}", "cameras.door.tasks.people", "exactly one of the keys"),
        (
            "cameras.door.tasks.people={detect: cat, ask: 'Is it?'}",
            "cameras.door.tasks.people",
            "exactly one of the keys detect, point, count, ask and caption",
        ),
        (
            "cameras.door.rules.footfall={type: line_crossing, line: step}",
            "cameras.door.rules.footfall.of",
            "is missing: the name of the camera's task",
        ),
        # kinds of values
        ("cameras.door=5", "cameras.door", "must be a map of keys and values, not '5'"),
        ("cameras=[]", "cameras", "must be a map of keys and values, not a list"),
        (
            "cameras.door.tasks.people.detect=",
            "cameras.door.tasks.people.detect",
            "but it is empty",
        ),
        (
            "cameras.door.tasks.people.detect=[cat]",
            "cameras.door.tasks.people.detect",
            "must be text, not a list",
        ),
        (
            "cameras.door.tasks.people.detect=''",
            "cameras.door.tasks.people.detect",
            "must not be empty",
        ),
        (
            "cameras.door.tasks.people.max_objects=many",
            "cameras.door.tasks.people.max_objects",
            "must be a whole number, not 'many'",
        ),
        (
            "cameras.door.tasks.people.max_objects=1.5",
            "cameras.door.tasks.people.max_objects",
            "must be a whole number",
        ),
        (
            "cameras.door.tasks.people.max_objects=0",
            "cameras.door.tasks.people.max_objects",
            "must be at least 1",
        ),
        (
            "cameras.door.rules.footfall.snapshot=maybe",
            "cameras.door.rules.footfall.snapshot",
            "must be yes or no, not 'maybe'",
        ),
        # durations
        ("cameras.door.sample.every=5", "cameras.door.sample.every", "needs a unit: write 5s"),
        ("cameras.door.sample.every=0s", "cameras.door.sample.every", "longer than 0s"),
        ("cameras.door.sample.every=5 parsecs", "cameras.door.sample.every", "a valid duration"),
        ("cameras.door.sample.every=[5s]", "cameras.door.sample.every", "such as 500ms, 10s or 5m"),
        # names and places
        ("cameras.front door.source=1", "--set cameras.front", "path.to.key=value"),
        (
            "cameras={'front door': {source: {type: file, path: x}}}",
            "cameras.front door",
            "is not a valid name",
        ),
        ("site.timezone=Europe/Berln", "site.timezone", "did you mean 'Europe/Berlin'?"),
        ("site.timezone=../../etc/passwd", "site.timezone", "is not a known time zone"),
        # shapes
        (
            "cameras.door.lines.step.from=[0.1, 1.6]",
            "cameras.door.lines.step.from.1",
            "1.6 is outside 0..1",
        ),
        ("cameras.door.lines.step.from=[0.1]", "cameras.door.lines.step.from", "a point is [x, y]"),
        (
            "cameras.door.lines.step.from=[0.1, 0.2, 0.3]",
            "cameras.door.lines.step.from",
            "can have at most 2 entries but has 3",
        ),
        ("cameras.door.lines.step.from=5", "cameras.door.lines.step.from", "must be a list"),
        (
            "cameras.door.zones.till.polygon=[[0, 0], [1, 1]]",
            "cameras.door.zones.till.polygon",
            "at least 3 entries but has 2",
        ),
        # texts of a certain shape, and the server
        (
            "engines.vlm={type: moondream, device: gpu}",
            "engines.vlm.device",
            "'gpu' is not valid here; it is: auto, cpu, cuda, cuda:1 or mps",
        ),
        (
            "server.prices.currency=dollars",
            "server.prices.currency",
            "'dollars' is not valid here; it is: Three capital letters",
        ),
        (
            "server.trusted_proxies=[proxy]",
            "server.trusted_proxies.0",
            "'proxy' is neither an address nor a network; write it like 10.0.0.5",
        ),
        ("server.cors=[shop]", "server.cors.0", "write it like https://shop.example.com"),
        # questions
        (
            "cameras.door.tasks.q={ask: 'Is it?', choices: [a]}",
            "cameras.door.tasks.q",
            "at least two `choices`",
        ),
        (
            "cameras.door.tasks.q={ask: 'Is it?', choices: [a, b], answers: text}",
            "cameras.door.tasks.q",
            "`choices` are for",
        ),
        (
            "cameras.door.tasks.q={caption: tiny}",
            "cameras.door.tasks.q.caption",
            "short, normal, long",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(override: str, path: str, part: str) -> None:
    """One mistake in a good file makes one problem."""
    problems = refused(GOOD, override)
    assert [problem.path for problem in problems] == [path]
    assert part in problems[0].message


@pytest.mark.parametrize(
    ("override", "path", "part"),
    [
        ("cameras.door.source=somewhere", "source", "not 'somewhere'; write it like rtsp://"),
        ("cameras.door.source=5", "source", "write it like rtsp://10.0.0.7/1, or {type: rtsp"),
        ("cameras.door.tasks=person", "tasks", "write it like {people: {detect: person}}"),
    ],
)
def test_a_wrong_shape_is_told_with_a_right_one(override: str, path: str, part: str) -> None:
    """So that nobody has to look it up."""
    first, *_ = refused(GOOD, override)
    assert first.path == f"cameras.door.{path}"
    assert part in first.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("rtsp://u:p@10.0.0.7/1", {"type": "rtsp", "url": "rtsp://u:p@10.0.0.7/1"}),
        ("https://camera/stream", {"type": "http", "url": "https://camera/stream"}),
        ("/dev/video2", {"type": "webcam", "device": "/dev/video2"}),
        ("door.MP4", {"type": "file", "path": "door.MP4"}),
        ("recordings/", {"type": "file", "path": "recordings/"}),
        ("cam-*.mkv", {"type": "file", "path": "cam-*.mkv"}),
    ],
)
def test_a_source_may_be_an_address(written: str, meant: dict[str, str]) -> None:
    """Its type is told by its beginning or its end."""
    source = loaded(f"cameras.door.source='{written}'").deployment.cameras["door"].source
    assert source == type(source).model_validate(meant)


def test_a_site_may_be_a_name_and_a_schedule_one_window() -> None:
    """Where there is no more to say."""
    schedule = "cameras.door.rules.queue.schedule={days: mon-fri, from: 8:00}"
    deployment = loaded("site=Shop 12", "sites={north: North}", schedule).deployment
    assert (deployment.site.name, deployment.sites["north"].name) == ("Shop 12", "North")
    windows = deployment.cameras["door"].rules["queue"].schedule
    assert windows != "open"
    (window,) = windows
    assert window.from_ == "08:00"


@pytest.mark.parametrize("text", ["", "# nothing", "- a\n- b", "just words", "null"])
def test_what_is_no_map_is_refused(text: str) -> None:
    """With a word about how to begin."""
    assert "version: 1" in refused(text)[0].message


def test_the_version_must_be_written() -> None:
    """So that files can be read when the format changes."""
    (problem,) = refused(GOOD.replace("version: 1", ""))
    assert (problem.path, problem.message[:10]) == ("version", "is missing")


def test_all_mistakes_are_told_in_one_run_in_the_order_of_the_file() -> None:
    """Those of single fields, those of names that do not fit, and what lies behind a slip."""
    text = """version: 1
site: {timezone: Europe/Berln}
engines:
  fast: {type: coco, min_scor: 0.2}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://${USR}@10.0.0.7/1"}
    sample: {every: 5}
    tasks:
      people: {detct: persn, engine: fast}
      cats: {detect: cat, engine: fats}
    lines:
      step: {from: [0.1, 1.6], to: [0.9, 0.6]}
      stub: {from: [0.1, 0.1], to: [0.1, 0.1]}
    rules:
      footfall: {type: line_crossing, of: people, line: step}
      inflow: {type: line_crossing, of: peple, line: stp, cooldown: 10}
      queue: {type: occupancy, of: cats, zone: till}
  door: {}
sinks:
  log: {type: jsonl, path: a.jsonl}
  again: {type: jsonl, path: ./a.jsonl}
"""
    assert [(problem.line, problem.path) for problem in refused(text)] == [
        (2, "site.timezone"),
        (4, "engines.fast.min_scor"),
        (7, "cameras.door.source.url"),
        (8, "cameras.door.sample.every"),
        (10, "cameras.door.tasks.people.detct"),
        (10, "cameras.door.tasks.people"),  # the label, read where the slip was mended
        (11, "cameras.door.tasks.cats.engine"),
        (13, "cameras.door.lines.step.from.1"),
        (14, "cameras.door.lines.stub"),
        (17, "cameras.door.rules.inflow.cooldown"),
        (17, "cameras.door.rules.inflow.of"),
        (17, "cameras.door.rules.inflow.line"),
        (18, "cameras.door.rules.queue.zone"),
        (19, "cameras.door"),
        (22, "sinks.again"),
    ]


def test_a_wrong_key_does_not_hide_what_else_is_wrong_there() -> None:
    """The rest of a task with an impossible kind of answer is still checked."""
    problems = refused(GOOD, "cameras.door.tasks.q={ask: 'Is it?', answers: maybe}")
    assert [problem.path for problem in problems] == [
        "cameras.door.tasks.q.answers",
        "cameras.door.tasks.q",  # the deployment's engine does not speak
    ]
    assert "choose from: yes/no, number, text, one of" in problems[0].message


def test_what_names_a_broken_part_is_not_wrong_too() -> None:
    """One mistake is one problem: the line is there, it only cannot be read."""
    problems = refused(GOOD, "cameras.door.lines.step.from=here", "engines.a.type=b")
    assert [problem.path for problem in problems] == ["engines.a", "cameras.door.lines.step.from"]


def test_a_mistake_in_the_defaults_is_told_once_and_there() -> None:
    """However many cameras take it over."""
    text = GOOD.replace("cameras:", "defaults:\n  sample:\n    every: 5\ncameras:")
    text = text.replace("sinks:", "  yard:\n    source: {type: file, path: x}\nsinks:")
    assert [(problem.path, problem.line) for problem in refused(text)] == [
        ("defaults.sample.every", 5)
    ]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("sample: {evry: 1s}", "defaults.sample.evry"),
        ("sample: {every: '${NOBODY}'}", "defaults.sample.every"),
        ("rules: {r: {type: occupancy}}", "defaults.rules.r.of"),
        ("source: {password_file: /nowhere}", "defaults.source.password_file"),
    ],
)
def test_every_kind_of_mistake_in_the_defaults_is_told_once(line: str, path: str) -> None:
    """Slips, variables that are not set, what is missing, secret files."""
    text = f"version: 1\ndefaults:\n  {line}\ncameras:\n"
    for name in ("a", "b"):
        text += f"  {name}: {{source: {{type: rtsp, username: u, url: 'rtsp://{name}'}}}}\n"
    assert [(problem.path, problem.line) for problem in refused(text)] == [(path, 3)]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("site.name=12", "12"),  # a number where words are wanted
        ("site.name=007", "007"),
        ("site.name=true", "true"),
        ("site.name=1.50", "1.50"),
        ("site.name=yes", "yes"),
    ],
)
def test_words_are_taken_as_they_were_written(override: str, value: str) -> None:
    """Nobody has to know what YAML makes of them."""
    assert loaded(override).deployment.site.name == value


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("off", False), ("no", False)]
)
def test_switches_take_words(word: str, value: bool) -> None:
    """Also where settings can stand in their place."""
    overrides = [f"cameras.door.sample.motion={word}", f"cameras.door.rules.queue.snapshot={word}"]
    camera = loaded(*overrides).deployment.cameras["door"]
    assert (camera.sample.motion is not None, camera.rules["queue"].snapshot) == (value, value)


def test_a_switch_may_be_a_variable() -> None:
    """Whose value is a word, also where it is `true`."""
    environment = {"ON": "true", "OFF": "false"}
    motion = "cameras.door.sample.motion='${ON}'"
    black = "cameras.door.sample.black='${OFF}'"
    sample = parse(GOOD, [motion, black], environment).deployment.cameras["door"].sample
    assert sample.motion is not None
    assert sample.black is None


def test_a_part_that_is_broken_still_has_its_name() -> None:
    """So that a task's slip is told with the engine's, and one that is right is not."""
    text = GOOD.replace("{detect: person}", "{detect: person, engine: fats}").replace(
        "cameras:", "engines: {fast: {type: cocoo}}\ncameras:"
    )
    assert [(p.path, p.message) for p in refused(text)] == [
        ("engines.fast", "'cocoo' is not a known type; did you mean 'coco'?"),
        ("cameras.door.tasks.people.engine", "there is no engine 'fats'; did you mean 'fast'?"),
    ]
    assert [p.path for p in refused(text.replace("fats", "fast"))] == ["engines.fast"]


def test_hours_need_no_quotes() -> None:
    """22:00 is a time of day."""
    schedule = "cameras.door.rules.queue.schedule=[{days: mon-fri, from: 22:00, to: 6:30}]"
    windows = loaded(schedule).deployment.cameras["door"].rules["queue"].schedule
    assert windows != "open"
    (window,) = windows
    assert (window.from_, window.to) == ("22:00", "06:30")


@pytest.mark.parametrize(
    "override",
    [
        "cameras.door.sample.every='${PASSWORD}'",
        "cameras.door.tasks.people.max_objects='${PASSWORD}'",
        "cameras.door.tasks.people.detect='${PASSWORD}'",
        "cameras.door.tasks.people.engine='${PASSWORD}'",
        "cameras.door.rules.footfall.line='${PASSWORD}'",
        "cameras.door.rules.footfall.of='${PASSWORD}'",
        "cameras.door.rules.footfall.type='${PASSWORD}'",
        "cameras.door.source.type='${PASSWORD}'",
        "cameras.door.source='${PASSWORD}'",
        "cameras.door.source={type: rtsp, url: '${PASSWORD}'}",
        "cameras.door.source={type: rtsp, url: 'http://u:${PASSWORD}@cam/1'}",
        "cameras.door.source={type: rtsp, url: 'http://u:hunter2@cam/1'}",
        "cameras.door.source={type: rtsp, url: 'rtsp://cam/1', transport: 'x${PASSWORD}x'}",
        "cameras.door.source={type: rtsp, url: 'rtsp://cam/1', password: hunter2}",
        "cameras.door.lines.step.to=['${PASSWORD}', 1]",
        "sinks.ops={type: webhook, url: 'ftp://u:hunter2@x'}",
        "sinks.ops={type: webhook, url: '${PASSWORD}'}",
        "sinks.log.only='${PASSWORD}'",
        "store.url='mysql://u:hunter2@db/x'",
        "store.url='mysql://u:${PASSWORD}@db/x'",
        "site.timezone='${PASSWORD}'",
        "version='${PASSWORD}'",
        "queue.type='${PASSWORD}'",
    ],
)
def test_no_problem_shows_a_secret(override: str) -> None:
    """Whatever is wrong with a value from outside, or with an address that holds a password."""
    assert not [problem for problem in refused(GOOD, override) if "hunter" in str(problem)]


def test_an_unset_variable_is_the_only_problem_of_its_value() -> None:
    """That `${EVERY}` is not a valid duration goes without saying."""
    problems = refused(GOOD, "cameras.door.sample.every='${EVERY}'")
    assert ["EVERY is not set" in problem.message for problem in problems] == [True]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot read"),
        (b"\xff\xfe\x00\x01", "not UTF-8"),
        (b"x" * (4 * 1024 * 1024 + 1), "too large"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, part: str) -> None:
    """It is a ConfigError like any other."""
    if content is not None:
        (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=part):
        load(tmp_path / "x.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The error names it."""
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As some editors write."""
    (tmp_path / "x.yaml").write_text(GOOD, "utf-8-sig")
    assert read(tmp_path / "x.yaml").deployment == loaded().deployment
