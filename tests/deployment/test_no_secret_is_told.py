"""Whatever a password looks like and wherever it stands: no text of a process holds it."""

import copy
import io
import itertools
import json
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.cli.main import app_for
from pipeline.core import address
from pipeline.core.address import Address, HookAddress, Secret, without_secrets
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError
from pipeline.core.sinks import SinkContext
from pipeline.core.sources import Need
from pipeline.deployment.loader import parse
from pipeline.insight.status import status_of
from pipeline.runtime.reports import Report
from pipeline.telemetry.logs import JsonFormatter, TextFormatter
from tests.contracts.event_tools import an_event

EXAMPLES = 60
_numbers = itertools.count(1)


class Password(NamedTuple):
    """A password, and the piece of it that stands nowhere else."""

    text: str
    mark: str


@st.composite
def passwords(draw: st.DrawFn) -> Password:
    """What operators choose, and what they had better not; each unlike all before it."""
    odd = st.text(":/@#?%&;,=+ '\"\\$!*{}<>[]|`~^ab1éß漢🙂\t", max_size=6)
    mark = f"mK{next(_numbers)}z"
    long = "x1" * draw(st.sampled_from([0, 0, 0, 100]))
    text = f"{draw(odd)}{mark}{draw(odd)}{long}".strip()
    return Password(text, mark)


Document = dict[str, Any]
Place = Callable[[Document, str], None]


def put(*path: str, form: str = "{raw}") -> Place:
    """Writes the password at a path, in a form: `{raw}`, or `{encoded}` as in a URL."""

    def write(document: Document, password: str) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = form.format(raw=password, encoded=quote(password, safe=""))

    return write


DOOR = ("cameras", "door", "source")
YARD = ("cameras", "yard", "source")


def put_key(document: Document, password: str) -> None:
    """Writes the password as the key of a preset, which is sent in the body."""
    document["sinks"]["hook"] |= {"preset": "pagerduty", "key": password}


HOOK = ("sinks", "hook")
PHONE = ("sinks", "phone", "url")
PLACES: dict[str, Place] = {
    "camera login": put(*DOOR, "url", form="rtsp://admin:{encoded}@127.0.0.1:1/live"),
    "camera user": put(*DOOR, "url", form="rtsp://{encoded}@127.0.0.1:1/live"),
    "camera path": put(*DOOR, "url", form="rtsp://127.0.0.1:1/user=a_password={encoded}_c=1"),
    "camera query": put(*YARD, "url", form="http://127.0.0.1:1/v?user=a&password={encoded}&c=1"),
    "camera token": put(*YARD, "url", form="http://127.0.0.1:1/v?access_token={encoded}"),
    "camera password": put(*DOOR, "password"),
    "redis login": put("queue", "url", form="redis+sentinel://u:{encoded}@127.0.0.1:1/shop"),
    "redis password": put("queue", "password"),
    "sentinel password": put("queue", "sentinel_password"),
    "store login": put("store", "url", form="postgresql://moon:{encoded}@127.0.0.1:1/x"),
    "store query": put("store", "url", form="postgresql://127.0.0.1:1/x?password={encoded}"),
    "hook path": put(*HOOK, "url", form="http://127.0.0.1:1/hooks/{encoded}"),
    "hook query": put(*HOOK, "url", form="http://127.0.0.1:1/hook?k={encoded}"),
    "hook login": put(*HOOK, "url", form="http://me:{encoded}@127.0.0.1:1/hook"),
    "hook secret": put(*HOOK, "secret"),
    "hook key": put(*HOOK, "secret", form="whsec_{raw}"),
    "hook header": put(*HOOK, "headers", "Authorization", form="Bearer {raw}"),
    "hook template": put(*HOOK, "headers", "X-Key", form="{{{{ camera }}}} {raw}"),
    "hook preset": put_key,
    "hook bot": put(*HOOK, "url", form="http://127.0.0.1:1/bot1:{encoded}"),
    "hook proxy": put(*HOOK, "proxy", form="http://p:{encoded}@127.0.0.1:1"),
    "phone path": put(*PHONE, form="json://127.0.0.1:1/{encoded}/x"),
    "phone topic": put(*PHONE, form="ntfy://127.0.0.1:1/{encoded}"),
    "phone login": put(*PHONE, form="json://me:{encoded}@127.0.0.1:1"),
    "phone query": put(*PHONE, form="json://127.0.0.1:1/?+X-Key={encoded}"),
    "phone mail": put(*PHONE, form="mailto://me:{encoded}@127.0.0.1:1?from=a@b.example"),
}
# As operators write them who never heard of percent-encoding. Refused or not: never shown.
CARELESS: dict[str, Place] = {
    "camera login": put(*DOOR, "url", form="rtsp://admin:{raw}@127.0.0.1:1/live"),
    "camera query": put(*YARD, "url", form="http://127.0.0.1:1/v?password={raw}"),
    "redis login": put("queue", "url", form="redis://:{raw}@127.0.0.1:1/0"),
    "store login": put("store", "url", form="postgresql://moon:{raw}@127.0.0.1:1/x"),
    "hook login": put(*HOOK, "url", form="http://me:{raw}@127.0.0.1:1/hook"),
    "hook path": put(*HOOK, "url", form="http://127.0.0.1:1/{raw}"),
    "hook proxy": put(*HOOK, "proxy", form="http://p:{raw}@127.0.0.1:1"),
    "phone login": put(*PHONE, form="mailto://me:{raw}@mail.example"),
    "phone path": put(*PHONE, form="json://127.0.0.1:1/{raw}"),
    "phone token": put(*PHONE, form="tgram://{raw}/12315544"),
    "phone without a scheme": put(*PHONE, form="{raw}/12315544"),
    "no scheme": put(*DOOR, "url", form="admin:{raw}@127.0.0.1/live"),
    "wrong scheme": put("store", "url", form="mysql://moon:{raw}@127.0.0.1:1/x"),
    "address for a source": put("cameras", "door", "source", form="rtsp://admin:{raw}@10.0.0.7"),
    "address for a store": put("store", form="postgresql://moon:{raw}@db/x"),
    "address for a queue": put("queue", form="redis://:{raw}@redis:6379"),
    "address for a sink": put("sinks", "hook", form="https://hooks.example/{raw}"),
    "text for headers": put(*HOOK, "headers", form="Authorization: Bearer {raw}"),
    "a number's place": put(*HOOK, "timeout", form="https://a:{raw}@b"),
}


def nothing(document: Document) -> None:
    """No mistake."""


def _headers_in_a_list(document: Document) -> None:
    hook = document["sinks"]["hook"]
    if isinstance(hook, dict) and isinstance(hook["headers"], dict):
        hook["headers"] = [f"{name}: {value}" for name, value in hook["headers"].items()]


def _secrets_in_lists(document: Document) -> None:
    for holder in (document["queue"], document["sinks"]["hook"]):
        for key in ("url", "password", "secret"):
            if isinstance(holder, dict) and key in holder:
                holder[key] = [holder[key]]


def _slips(document: Document) -> None:
    for holder in (document["queue"], document["store"], document["sinks"]["hook"]):
        for key in ("url", "password", "secret", "headers"):
            if isinstance(holder, dict) and key in holder:
                holder[f"{key}s"] = holder.pop(key)


def _elsewhere(document: Document) -> None:
    document["cameras"]["yard"]["rules"] = {"r": {"type": "line_crossing", "of": "no", "line": "x"}}
    document["cameras"]["door"]["tasks"] = {"people": {"detect": "unicorn"}}
    document["shop"] = 1


def _port(document: Document) -> None:
    text = json.dumps(document).replace("127.0.0.1:1", "127.0.0.1:port")
    document.update(json.loads(text))


MISTAKES = [nothing, _headers_in_a_list, _secrets_in_lists, _slips, _elsewhere, _port]
WAYS = ["written", "variable", "piece", "file", "--set"]


def document() -> Document:
    """A deployment in which nothing answers."""
    tasks = {"people": {"detect": "person"}}
    login = {"username": "admin"}
    return {
        "version": 1,
        "cameras": {
            "door": {"source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/a", **login}},
            "yard": {"source": {"type": "http", "url": "http://127.0.0.1:1/v"}, "tasks": tasks},
        },
        "queue": {"type": "redis", "url": "redis+sentinel://127.0.0.1:1/shop"},
        "store": {"url": "postgresql://127.0.0.1:1/x"},
        "sinks": {
            "hook": {"type": "webhook", "url": "http://127.0.0.1:1/h", "headers": {"a": "b"}},
            "phone": {"type": "notify", "url": "json://127.0.0.1:1/h"},
        },
    }


class Written(NamedTuple):
    """A deployment file with what is outside it."""

    text: str
    overrides: list[str]
    environment: dict[str, str]


def given_in(way: str, place: Place, password: Password, wrong: Any, folder: Path) -> Written:
    """The deployment with the password at a place, that got there one way or another."""
    made, bare = document(), document()
    place(made, password.text)
    wrong(made), wrong(bare)
    path, value = _difference(made, bare)
    if way == "written" or not path or not isinstance(value, str):
        return Written(_yaml(made), [], {})
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if way == "variable":
        holder[path[-1]] = "${GIVEN}"
        text = _yaml(made, keep=("${GIVEN}",))
        return Written(text, [], {"GIVEN": value})
    if way == "piece" and password.text in value:
        start, end = value.split(password.text, 1)
        written = f"{start.replace('$', '$$')}${{GIVEN}}{end.replace('$', '$$')}"
        holder[path[-1]] = written
        return Written(_yaml(made, keep=(written,)), [], {"GIVEN": password.text})
    if way == "file":
        del holder[path[-1]]
        holder[f"{path[-1]}_file"] = str(folder / "secret")
        (folder / "secret").write_bytes(value.encode(errors="surrogatepass"))
        return Written(_yaml(made), [], {})
    if way == "--set":
        del holder[path[-1]]
        spelled = json.dumps(value.replace("$", "$$"))
        return Written(_yaml(made), [f"{'.'.join(map(str, path))}={spelled}"], {})
    return Written(_yaml(made), [], {})


def _difference(one: Any, other: Any, path: tuple[Any, ...] = ()) -> tuple[tuple[Any, ...], Any]:
    """Where two documents differ, and what is there in the first."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key, value in one.items():
            if value != other.get(key):
                return _difference(value, other.get(key), (*path, key))
    return path, one


def _yaml(made: Document, keep: tuple[str, ...] = ()) -> str:
    def dollars(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: dollars(below) for key, below in value.items()}
        if isinstance(value, list):
            return [dollars(below) for below in value]
        return value.replace("$", "$$") if isinstance(value, str) and value not in keep else value

    return json.dumps(dollars(made), indent=1)


@contextmanager
def process() -> Iterator[io.StringIO]:
    """What a fresh process would log, down to the last word of every library."""
    address._known = frozenset()
    log = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().level
    handlers = [logging.StreamHandler(log), logging.StreamHandler(log)]
    handlers[0].setFormatter(TextFormatter())
    handlers[1].setFormatter(JsonFormatter())
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        root.setLevel(before)


def commands(written: Written, file: Path) -> Iterator[str]:
    """What `check` and `explain` say, to people and to machines."""
    file.write_text(written.text, encoding="utf-8", errors="surrogatepass")
    options = [part for override in written.overrides for part in ("--set", override)]
    for command in ("check", "explain"):
        for form in ([], ["--json"]):
            arguments = [command, str(file), *options, *form]
            done = CliRunner().invoke(app_for([command]), arguments, env=written.environment)
            yield from (done.output, f"{done.exception!r} {done.exception}")


def texts_of(config: Any) -> Iterator[str]:
    """Every way to turn a config into text."""
    yield from (repr(config), str(config), str(config.model_dump()), config.model_dump_json())
    copied = pickle.loads(pickle.dumps(copy.deepcopy(config)))
    assert copied == config
    yield repr(copied)


def check_nothing_told(password: Password, texts: Iterator[str]) -> None:
    """Fails with the text that tells it."""
    for text in texts:
        assert password.mark.lower() not in text.lower(), text


@pytest.mark.timeout(120)
@settings(max_examples=3 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    passwords(),
    st.sampled_from([*PLACES.values(), *CARELESS.values()]),
    st.sampled_from(MISTAKES),
    st.sampled_from(WAYS),
)
def test_no_command_tells_it(
    tmp_path: Path, password: Password, place: Place, wrong: Any, way: str
) -> None:
    """`check` and `explain` of good and bad files, and every text of the configs."""
    written = given_in(way, place, password, wrong, tmp_path)
    with process() as log:
        check_nothing_told(password, commands(written, tmp_path / "shop.yaml"))
        try:
            loaded = parse(written.text, written.overrides, written.environment)
        except ConfigError as error:
            said = [str(error), repr(error), *map(repr, error.problems)]
        else:
            said = [*texts_of(loaded.deployment), loaded.digest, *map(str, loaded.warnings)]
        check_nothing_told(password, iter([*said, log.getvalue()]))


@pytest.mark.timeout(120)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(passwords(), st.sampled_from(list(PLACES)))
def test_no_error_tells_it(tmp_path: Path, password: Password, place: str) -> None:
    """Nothing answers: every connector fails, `status` says so, and the process reports it."""
    written = given_in("written", PLACES[place], password, nothing, tmp_path)
    with process() as log:
        try:
            deployment = parse(written.text, [], {}).deployment
        except ConfigError as error:
            check_nothing_told(password, iter([str(error)]))
            return
        clock, part = SystemClock(), place.split()[0]
        said = []
        if part == "camera":
            for camera in deployment.cameras.values():
                source = camera.source.build(clock)
                said += [failure(lambda s=source: s.open(Need())), repr(vars(source))]  # type: ignore[misc]
                source.close()
        elif part == "hook":
            sink = deployment.sinks["hook"].build(SinkContext("shop"))
            said += [failure(lambda: sink.send([an_event(1)])), repr(vars(sink))]
            sink.close()
        elif part == "phone":
            config = deployment.sinks["phone"]
            said += [failure(lambda: config.build(SinkContext("shop")).send([an_event(1)]))]
        elif part == "store":
            said += [failure(deployment.store.build), failure(deployment.store.build_reader)]
        else:
            queues = deployment.queue.build(clock)
            said += [failure(lambda: queues.jobs.claim("coco", 1, 0)), repr(queues)]
        if part in ("store", "redis", "sentinel"):
            said += [json.dumps(status_of(deployment, clock).as_json())]
        report = Report("sample", "host", 1, 1.0, not_ready=said[0])
        said += [report.to_bytes().decode(), log.getvalue()]
        check_nothing_told(password, iter(said))


def failure(doing: Callable[[], object]) -> str:
    """What goes wrong, with all that the error holds for a traceback of ours."""
    try:
        doing()
    except MoonwatchError as error:
        return f"{error} {error!r} {vars(error)}"
    return ""


URLS = [
    # how it is written, the errors of libraries that quote it
    "postgresql://moon:hun/hunter2@db/x",
    "postgresql://moon:hun@hunter2@db/x",
    "postgresql://moon:hun%2Fhunter2@db/x",
    "rtsp://us@er:hun/hunter2@cam/a@b",
    "rtsp://user:hun?key=hunter2@cam/1",
    "http://cam/?password=hun@hunter2",
    "http://cam/?password=hun#hunter2",
    "http://cam/v?a=b&Access_Token=hunter2&c=d",
    "redis+sentinel://u:hunter2@a:1,b:2/shop",
    "smtps://shop:hunter2@mail:465",
    "mqtt://shop:hunter2@broker:1883",
]


@pytest.mark.parametrize("url", URLS)
def test_what_a_library_quotes_is_taken_out(url: str) -> None:
    """The address as a whole, without knowing it; and its parts, once it is known."""
    with process():
        assert "hunter2" not in without_secrets(f"cannot open {url!r}: no route to host")
        assert "hunter2" not in str(Address(url))
        for quoted in ("hunter2", "hun/hunter2", "hun%2Fhunter2", repr("hun/hunter2"), "x@hunter2"):
            assert "hunter2" not in without_secrets(f"invalid literal for int(): {quoted}")


def test_what_is_no_secret_is_told() -> None:
    """A sentence keeps its words, also where somebody chose one of them as the password."""
    with process():
        Secret("camera"), Secret("password"), Secret("no"), Address("rtsp://admin:test@cam")
        sentence = "camera admin: check user and password, see http://10.0.0.7:80/live?size=2."
        assert without_secrets(sentence) == sentence
        assert without_secrets("at (rtsp://a:b@cam/1).") == "at (rtsp://***@cam/1)."
        assert HookAddress("https://me:pw@hooks.example:8443/T0/B0").shown() == (
            "https://hooks.example:8443"
        )


def test_a_file_that_is_no_yaml_tells_no_piece_of_it() -> None:
    """A password without quotes can be an alias, a tag or the end of the file."""
    for value in (
        "*hunter2",
        "!hunter2",
        "!hunt!hunter2",
        "&hunter2",
        '"hunter2',
        "'hunter2",
        "{hunter2",
        "[hunter2",
        "@hunter2",
        "`hunter2",
        "%hunter2",
        "|hunter2",
        "a: hunter2",
    ):
        with pytest.raises(ConfigError) as caught:
            parse(f"version: 1\nqueue: {{type: redis}}\nstore:\n  url: {value}\n", (), {})
        assert "hunter2" not in str(caught.value), value


@pytest.mark.parametrize("override", ["queue.password hunter2", "queue.password:hunter2"])
def test_an_override_that_is_none_tells_no_value(override: str) -> None:
    """What follows the path is a value, whatever stands between."""
    with pytest.raises(ConfigError, match=r"--set queue\.password: write it as") as caught:
        parse("version: 1\n", [override], {})
    assert "hunter2" not in str(caught.value)


def test_an_error_that_nobody_expects_tells_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Python would print what a library says as it is."""
    Secret("hunt/hunter2")
    error = ValueError("no such host: 'hunter2@db'")
    main._say_bug(ValueError, error, None)
    assert capsys.readouterr().err == "ValueError: no such host: '***@db'\n"
