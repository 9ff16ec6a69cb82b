"""What no field can tell alone: names that fit together, engines that can answer, whole shapes."""

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.deployment.loader import Loaded, parse
from pipeline.deployment.samples import CAMERA_TYPES
from pipeline.processing.health import ENDED_BY

GOOD = """
version: 1
cameras:
  door:
    source: {type: file, path: configs/media/plaza.mp4}
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
DOOR = "cameras.door"
SCRIPTED = "engines.s={type: scripted, answers: {q: ['yes'], people: [[]]}}"
WORDS = "engines.s={type: scripted, answers: {q: ['yes'], n: [3]}}"


def loaded(*overrides: str) -> Loaded:
    """The good file with something set."""
    return parse(GOOD, overrides, {})


def told(*overrides: str) -> list[tuple[str, str]]:
    """Paths and messages that the file is refused for with something set."""
    with pytest.raises(ConfigError) as raised:
        loaded(*overrides)
    return [(problem.path, problem.message) for problem in raised.value.problems]


def test_a_good_file_has_no_problems_and_no_warnings() -> None:
    """The base of all the cases below."""
    assert loaded().warnings == ()


@pytest.mark.parametrize(
    ("overrides", "path", "part"),
    [
        # names that are not there
        (
            ["cameras.door.tasks.people.engine=cocco"],
            "tasks.people.engine",
            "'cocco'; did you mean 'coco'?",
        ),
        (["cameras.door.tasks.people.engine=vlm"], "tasks.people.engine", "there are: coco"),
        (["cameras.door.rules.footfall.of=peple"], "rules.footfall.of", "did you mean 'people'?"),
        (["cameras.door.rules.footfall.line=stp"], "rules.footfall.line", "did you mean 'step'?"),
        (["cameras.door.rules.queue.zone=tull"], "rules.queue.zone", "did you mean 'till'?"),
        (["cameras.door.rules.queue.zone=x"], "rules.queue.zone", "no zone 'x'; there are: till"),
        (["cameras.door.zones={}"], "rules.queue.zone", "there are none"),
        (
            ["cameras.door.rules.footfall.staff={zone: tull}"],
            "rules.footfall.staff.zone",
            "did you mean 'till'?",
        ),
        (
            ["cameras.door.rules.wait={type: queue, of: people, zone: till, served: tull}"],
            "rules.wait.served",
            "no zone 'tull'; did you mean 'till'?",
        ),
        (
            ["cameras.door.rules.up={type: wrong_way, of: people, zone: till, along: stp}"],
            "rules.up.along",
            "no line 'stp'; did you mean 'step'?",
        ),
        (
            [
                "cameras.door.rules.left={type: left_object, of: bags, people: peple,"
                " longer_than: 1m}",
                "cameras.door.tasks.bags={detect: suitcase}",
            ],
            "rules.left.people",
            "this camera has no task 'peple'; did you mean 'people'?",
        ),
        (
            [
                "cameras.door.rules.left={type: left_object, of: bags, people: n, longer_than: 1m}",
                "cameras.door.tasks.bags={detect: suitcase, engine: coco}",
                "cameras.door.tasks.people.engine=coco",
                "cameras.door.tasks.n={ask: 'How many?', answers: number, engine: s}",
                "engines={coco: {type: coco}, s: {type: scripted, answers: {n: [3]}}}",
            ],
            "rules.left.people",
            "'n' is not a detect task",
        ),
        (
            [
                "cameras.door.rules.left={type: left_object, of: bags, people: people,"
                " longer_than: 1m}",
                "cameras.door.tasks.bags={detect: suitcase, engine: s}",
                "cameras.door.tasks.people.engine=coco",
                "engines={coco: {type: coco}, s: {type: scripted, answers: {bags: [[]]}}}",
            ],
            "rules.left.people",
            "asks another engine than 'bags'",
        ),
        # what engines can answer
        (["cameras.door.tasks.people.detect=persn"], "tasks.people", "person"),
        (
            ["cameras.door.tasks.people.detect=persn", "cameras.door.tasks.people.engine=coco"],
            "tasks.people",
            "engine 'coco' cannot answer this",
        ),
        (
            ["cameras.door.tasks.q={ask: 'Is it open?'}"],
            "tasks.q",
            "no engine can answer this; coco: ",
        ),
        (
            [SCRIPTED, "engines.coco.type=coco"],
            "tasks.people",
            "several engines can answer this (s, coco)",
        ),
        # what rules can judge
        (
            [
                WORDS,
                "engines.coco.type=coco",
                "cameras.door.tasks.q={ask: 'Is it?'}",
                "cameras.door.rules.footfall.of=q",
            ],
            "rules.footfall.of",
            "needs a",
        ),
        (
            [
                WORDS,
                "engines.coco.type=coco",
                "cameras.door.tasks.q={ask: 'Is it?'}",
                "cameras.door.rules.fire={type: condition, of: q, is: open}",
            ],
            "rules.fire.of",
            "never answered 'open'",
        ),
        # questions
        (
            [WORDS, "engines.coco.type=coco", "cameras.door.tasks.n={ask: 'How many chairs?'}"],
            "tasks.n.ask",
            "`answers: number`",
        ),
        # where it looks
        (
            ["cameras.door.tasks.people.confirm_every=5s"],
            "tasks.people",
            "write `where: motion`",
        ),
        (
            ["cameras.door.tasks.people.where=motion", "engines.coco={type: coco, tiles: 2x1}"],
            "tasks.people.where",
            "`tiles: 2x1`, and looks at all parts",
        ),
        (
            [
                "cameras.door.tasks.cars={detect: car}",
                "cameras.door.tasks.trucks={detect: truck, where: motion}",
                "cameras.door.tasks.people.track.together=no",
            ],
            "tasks.trucks.where",
            "and task 'cars', with which it is followed together, is `where: picture`",
        ),
        # shapes
        (
            ["cameras.door.lines.step.to=[0.1, 0.6]"],
            "lines.step",
            "starts and ends at the same point",
        ),
        (
            ["cameras.door.zones.till.polygon=[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]"],
            "zones.till.polygon",
            "from corner 1 and from corner 3 cross",
        ),
        (
            ["cameras.door.zones.till.polygon=[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]"],
            "zones.till.polygon",
            "no area",
        ),
        (
            ["cameras.door.zones.till.polygon=[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.1]]"],
            "zones.till.polygon",
            "leave out the last corner",
        ),
    ],
)
def test_what_does_not_fit_together_in_a_camera(overrides: list[str], path: str, part: str) -> None:
    """One problem, at the place that has to change."""
    ((told_path, message),) = told(*overrides)
    assert told_path == f"{DOOR}.{path}"
    assert part in message


@pytest.mark.parametrize(
    ("override", "path", "part"),
    [
        (
            "sinks.b={type: jsonl, path: ./events.jsonl}",
            "sinks.b",
            "to the same file as sink 'log'",
        ),
        ("sinks.log.only=[footfal]", "sinks.log.only", "did you mean 'footfall'?"),
        ("sinks.log.not=[dor]", "sinks.log.not", "did you mean 'door'?"),
        ("sinks.log.only=['till-*']", "sinks.log.only", "'till-*'"),
    ],
)
def test_what_does_not_fit_together_in_the_sinks(override: str, path: str, part: str) -> None:
    """Two sinks on one file, and filters that let nothing through."""
    ((told_path, message),) = told(override)
    assert told_path == path
    assert part in message


@pytest.mark.parametrize(
    "word",
    ["footfall", "door", "occupancy", "camera", "camera_offline", "camera_*", "foot*", "'*'"],
)
def test_sinks_may_filter_by_rule_camera_and_type(word: str) -> None:
    """With wildcards; `camera` is the rule of events about a camera's health."""
    assert loaded(f"sinks.log.only=[{word}]").warnings == ()


def test_the_types_of_health_events_are_those_that_there_are() -> None:
    """A camera's troubles are named elsewhere."""
    assert set(CAMERA_TYPES) == {f"camera_{trouble}" for trouble in ENDED_BY}


def test_the_only_engine_that_can_answer_is_chosen() -> None:
    """Task by task, so that questions go to the engine that speaks."""
    deployment = loaded(
        WORDS,
        "engines.coco.type=coco",
        "cameras.door.tasks.q={ask: 'Is it open?'}",
        "cameras.door.rules.open={type: condition, of: q, is: yes}",
    ).deployment
    tasks = deployment.cameras["door"].tasks
    assert {name: task.engine for name, task in tasks.items()} == {"people": "coco", "q": "s"}
    assert [task.engine for task in deployment.cameras["door"].questions()] == ["coco", "s"]


def test_engines_may_be_left_out() -> None:
    """There is always the bundled one, called `coco`."""
    deployment = loaded().deployment
    assert [(name, engine.type) for name, engine in deployment.engines.items()] == [
        ("coco", "coco")
    ]


@pytest.mark.parametrize(
    ("override", "path", "part"),
    [
        ("cameras.door.tasks.cats={detect: cat}", f"{DOOR}.tasks.cats", "no rule uses this task"),
        (
            "cameras.yard={source: {type: rtsp, url: 'rtsp://yard/1'}}",
            "cameras.yard",
            "has no tasks",
        ),
        (
            "engines={coco: {type: coco}, s: {type: scripted, answers: {}}}",
            "engines.s",
            "no task uses",
        ),
        (
            "cameras.door.lines.b={from: [0, 0], to: [1, 1]}",
            f"{DOOR}.lines.b",
            "no rule uses this line",
        ),
        (
            "cameras.door.zones.b={polygon: [[0, 0], [1, 0], [1, 1]]}",
            f"{DOOR}.zones.b",
            "this zone",
        ),
        (
            "cameras.door.tasks.people.track.together=bodies",
            f"{DOOR}.tasks.people.track.together",
            "no other task of this camera and engine is `together: bodies`, so it has no effect: "
            "write the same name for the tasks that it shares its things with",
        ),
        ("queue={type: memory, visibility: 60s}", "engines.coco.deadline", "60 s is not shorter"),
        (
            "cameras.door.source.path=nobody.mp4",
            f"{DOOR}.source.path",
            "no file found at nobody.mp4",
        ),
        ("cameras.door.source.path='media/*.nothing'", f"{DOOR}.source.path", "matches no file"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(override: str, path: str, part: str) -> None:
    """The file is loaded all the same."""
    (warning,) = loaded(override).warnings
    assert warning.path == path
    assert part in warning.message


def test_a_queue_that_shrinks_what_is_looked_at_closely_is_a_warning() -> None:
    """Small people would be as small as in the whole picture."""
    (warning,) = loaded(
        "cameras.door.tasks.people.where=motion",
        "queue={type: redis, url: 'redis://localhost:6379/0', max_side: 1280}",
    ).warnings
    assert warning.path == f"{DOOR}.tasks.people.where"
    assert "`queue.max_side` (1280)" in warning.message


@pytest.mark.parametrize(
    ("cats", "path", "part"),
    [
        (
            "{detect: cat, track: {together: pets, speed: 2}}",
            "tasks.cats.track",
            "is `together: pets` with task 'people', but its other settings differ",
        ),
        (
            "{detect: person, track: {together: pets}}",
            "tasks.cats.detect",
            "'person' is also what task 'people' looks for",
        ),
    ],
)
def test_tasks_that_cannot_be_followed_together(cats: str, path: str, part: str) -> None:
    """They share one tracker, which has one set of settings and tells them apart by their words."""
    ((told_path, message),) = told(
        "cameras.door.tasks.people.track.together=pets",
        f"cameras.door.tasks.cats={cats}",
        "cameras.door.rules.cats={type: occupancy, of: cats, zone: till}",
    )
    assert told_path == f"{DOOR}.{path}"
    assert part in message


def test_companions_of_two_engines_do_not_share_anything() -> None:
    """Each is told so, and with a name that was mistyped the nearest one."""
    engines = "engines={coco: {type: coco}, s: {type: scripted, answers: {cats: [[]]}}}"
    warnings = loaded(
        engines,
        "cameras.door.tasks.people={detect: person, engine: coco, track: {together: pets}}",
        "cameras.door.tasks.cats={detect: cat, engine: s, track: {together: pets}}",
        "cameras.door.rules.cats={type: occupancy, of: cats, zone: till}",
    ).warnings
    assert [warning.path for warning in warnings] == [
        f"{DOOR}.tasks.people.track.together",
        f"{DOOR}.tasks.cats.track.together",
    ]
    assert all("its companions ask another engine" in warning.message for warning in warnings)
    warnings = loaded(
        "cameras.door.tasks.people.track.together=beings",
        "cameras.door.tasks.cats={detect: cat, track: {together: being}}",
        "cameras.door.rules.cats={type: occupancy, of: cats, zone: till}",
    ).warnings
    assert "did you mean 'being'?" in warnings[0].message


def test_a_warning_has_the_line_it_is_about() -> None:
    """Like a problem."""
    (warning,) = parse(
        GOOD.replace("detect: person}", "detect: person}\n      c: {detect: cat}")
    ).warnings
    assert warning.line == 8


def test_a_recording_that_may_not_be_read_is_a_warning(tmp_path: Path) -> None:
    """A file, a folder or a glob that matches is fine."""
    (tmp_path / "a.mp4").touch()
    for path in (tmp_path, tmp_path / "a.mp4", tmp_path / "*.mp4"):
        assert loaded(f"cameras.door.source.path='{path}'").warnings == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vml", "there is no engine 'vml'; did you mean 'vlm'?"),
        ("fast", "'fast' cannot answer callers; only an engine of the type moondream can"),
    ],
)
def test_callers_are_answered_by_an_engine_that_can(name: str, message: str) -> None:
    """What `serve` would refuse is refused when the file is read."""
    engines = ("engines.vlm={type: moondream}", "engines.fast={type: coco}")
    people = "cameras.door.tasks.people.engine=fast"
    assert told(*engines, people, f"server.engine={name}") == [("server.engine", message)]


def test_an_engine_for_callers_is_not_called_unused() -> None:
    """With a section `server:` an engine without a task has work all the same."""
    engines = ("engines.vlm={type: moondream}", "engines.fast={type: coco}")
    people = "cameras.door.tasks.people.engine=fast"
    unused = "engines.vlm: no task uses this engine"
    assert unused in [str(warning) for warning in loaded(*engines, people).warnings]
    served = loaded(*engines, people, "server.listen=':8080'").warnings
    assert unused not in [str(warning) for warning in served]


BROKER = "sinks.home={type: mqtt, url: 'mqtt://broker.local'}"
OCCUPANCY = "{type: occupancy, of: people, more_than: 5}"
SOURCE = "source: {type: file, path: configs/media/plaza.mp4}, tasks: {people: {detect: person}}"


@pytest.mark.parametrize(
    ("override", "part"),
    [
        (f"cameras.Door={{{SOURCE}}}", "cameras 'door' and 'Door' would both have the topics"),
        (f"cameras.door.rules.Queue={OCCUPANCY}", "rules 'queue' and 'Queue' of camera 'door'"),
        (f"cameras.door.rules.last={OCCUPANCY}", "rule 'last' of camera 'door'"),
        (f"cameras.door.rules.arming={OCCUPANCY}", "rule 'arming' of camera 'door'"),
        (
            f"cameras.door_my={{{SOURCE}, rules: {{queue: {OCCUPANCY}}}}}",
            "rule 'my_queue' of camera 'door' and rule 'queue' of camera 'door_my'",
        ),
        (
            "sequences.Theft={first: {rule: queue}, then: {rule: footfall}, within: 1m}",
            "sequences 'theft' and 'Theft' would both have the topic moonwatch/site/theft/event",
        ),
    ],
)
def test_names_that_topics_cannot_tell_apart(override: str, part: str) -> None:
    """Refused only where a sink makes topics of them."""
    others = [
        f"cameras.door.rules.my_queue={OCCUPANCY}",
        "sequences.theft={first: {rule: queue}, then: {rule: footfall}, within: 1m}",
        override,
    ]
    assert loaded(*others).deployment.cameras
    found = told(*others, BROKER)
    assert [path for path, _ in found] == ["sinks.home"]
    assert part in found[0][1]
    assert "rename" in found[0][1]


HOOK = "sinks.hook={type: webhook, url: 'https://h/x', "


@pytest.mark.parametrize(
    ("overrides", "path", "part"),
    [
        (
            [HOOK + "body: '{\"way\": {{ data.direction | json }}}'}"],
            "sinks.hook.body",
            "cannot be filled in for the 'start' event of 'queue' of camera 'door' (type "
            "occupancy): there is no `data.direction`; `data` of this event has zone, count",
        ),
        (
            [HOOK + "only: footfall, body: '{{ data.direction }}'}"],
            "sinks.hook.body",
            "does not give JSON",
        ),
        (
            [HOOK + "only: queue, body: '{\"n\": {{ data.seconds }}}'}"],
            "sinks.hook.body",
            "for the 'start' event of 'queue'",
        ),
        (
            [HOOK + "preset: slack, text: '{{ data.zone }}'}"],
            "sinks.hook.text",
            "for the 'single' event of 'footfall' of camera 'door' (type line_crossing)",
        ),
        (
            [HOOK + "only: footfall, headers: {X-Key: 's3cret {{ data.zone }}'}}"],
            "sinks.hook.headers.X-Key",
            "its template asks for what the event has not; what is to be sent as it is stands",
        ),
        ([HOOK + "media: link}"], "sinks.hook", "write `web: {public_url: https://...}`"),
        (["web.public_url=shop.example"], "web.public_url", "a public address is https://HOST"),
        (["web.public_url='https://a:b@shop.example'"], "web.public_url", "without a login"),
    ],
)
def test_what_a_webhook_words_and_links_is_tried(
    overrides: list[str], path: str, part: str
) -> None:
    """On made-up events of every rule that it gets, and with the way out."""
    ((where, said),) = told(*overrides)
    assert where == path
    assert part in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "overrides",
    [
        [HOOK + "only: footfall, body: '{\"way\": {{ data.direction | json }}}'}"],
        [HOOK + "body: '{\"way\": {{ data.direction | default(none) | json }}}'}"],
        [HOOK + "only: queue, body: '{{ data | json }}', headers: {X-Zone: '{{ data.zone }}'}}"],
        [HOOK + "media: base64, body: '{\"jpg\": {{ picture_base64 | json }}}'}"],
        [HOOK + "preset: discord, text: '{{ subject.label }} {{ at }} {{ link }}'}"],
        [HOOK + "media: link}", "web.public_url=https://shop.example/cams/"],
        [HOOK + "media: link, pictures: no}"],
        [HOOK + "only: queue, phases: end, body: '{\"n\": {{ data.seconds }}}'}"],
    ],
)
def test_what_can_be_filled_in_is_taken(overrides: list[str]) -> None:
    """With values that all events have, or with `only` or `default`."""
    assert loaded(*overrides).warnings == ()


def test_a_wrong_key_of_a_map_is_not_a_wrong_false() -> None:
    """Where `false` or a map may stand, a map with a mistake has only that one."""
    assert told(BROKER, "sinks.home.discovery={prefx: ha}") == [
        ("sinks.home.discovery.prefx", "is not a known key; did you mean 'prefix'?")
    ]
    assert [path for path, _ in told(BROKER, "sinks.home.discovery=maybe")] == [
        "sinks.home.discovery"
    ]


def test_two_brokers_are_not_one() -> None:
    """Two sinks may not have the same topics on the same broker."""
    found = told(BROKER, "sinks.other={type: mqtt, url: 'mqtt://broker.local:1883'}")
    assert found == [("sinks.other", "writes to the same place as sink 'home'; give it another")]
    loaded(BROKER, "sinks.other={type: mqtt, url: 'mqtt://broker.local', base: other}")
    loaded(BROKER, "sinks.other={type: mqtt, url: 'mqtt://other.local'}")
