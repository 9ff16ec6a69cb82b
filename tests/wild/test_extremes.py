"""Well-formed but extreme values from outside: one message less, said, and the next one goes on."""

import copy
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
import typer

from connectors.queues.memory import MemoryConfig
from connectors.queues.redis import RedisConfig
from connectors.queues.redis.pictures import Codec, announced_size
from connectors.queues.redis.queue import RedisQueues
from connectors.sinks.jsonl import JsonlConfig
from connectors.sinks.stdout import StdoutConfig
from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.cli.status import status
from pipeline.core.address import Address
from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text, checked
from pipeline.core.clock import SystemClock
from pipeline.core.errors import QueueError, UnreadablePictureError
from pipeline.core.events import Event, event_to_json, timestamp, to_cloudevent
from pipeline.core.jobs import Job, Result
from pipeline.core.local_time import local_time
from pipeline.core.rules import Observation, Verdict
from pipeline.core.sinks import Sink, SinkContext
from pipeline.core.store import Checkpoint, Commit
from pipeline.core.tasks import Detect
from pipeline.core.wire import VERSION, encode_job, encode_result
from pipeline.delivery.lane import SinkLane
from pipeline.delivery.route import Route
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan, TaskPlan
from pipeline.processing.processor import Processor, ProcessorContext
from pipeline.processing.snapshots import Snapshots
from pipeline.runtime.assembly import plans_of
from pipeline.runtime.reports import Report, member_in_words
from pipeline.telemetry.logs import set_up
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock, frame, grey_pixels
from tests.connectors.stores.postgres import server_url
from tests.contracts.event_tools import an_event
from tests.processing.life_scene import SHOP
from tests.processing.test_processor import EveryOther
from tests.redis_server import Redis, shared
from tests.sampling.fakes import Bench, PaintedPicture, ScriptedSource, camera, offered

START = 1_700_000_000.0
RUN = "live-1"
HUGE = 10**400
HALF = "\ud83d"
LONG = "x" * 3_000_000


def deep(levels: int = 2000) -> Any:
    """A list in a list in a list."""
    nested: Any = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    """A real Redis for these tests."""
    yield from shared()


@pytest.fixture
def queues(server: Redis, request: pytest.FixtureRequest) -> Iterator[RedisQueues]:
    """A queue of its own for each test."""
    prefix = f"extremes-{abs(hash(request.node.nodeid))}"
    config = RedisConfig(url=Address(server.url), prefix=prefix, live_age="1h", dead_letters=1000)
    built = config.build(SystemClock())
    yield built
    built.close()
    for key in server.client.keys(f"{{{prefix}}}:*"):
        server.client.delete(key)


def deployment(*, is_file: bool = False) -> Deployment:
    """A shop door with every kind of rule."""
    shop = copy.deepcopy(SHOP)
    shop["cameras"]["door"]["tasks"]["carts"]["count"] = "suitcase"
    if is_file:
        shop["cameras"]["door"]["source"] = {"type": "file", "path": "clip.mp4"}
    return parse(json.dumps(shop)).deployment


def desk(
    queues: Any, store: SqlStore, clock: ManualClock, metrics: Metrics, **how: Any
) -> Processor:
    """A real processor between a queue and a store."""
    media = StoreConfig(url="sqlite:///unused.db").build_media()
    context = ProcessorContext(
        results=queues.results,
        store=store,
        snapshots=Snapshots(queues.shelf, media),
        metrics=metrics,
        clock=clock,
    )
    return Processor(plans_of(deployment(**how)), context)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A real store in one file."""
    built = SqlStore(f"sqlite:///{tmp_path}/events.db")
    yield built
    built.close()


def seen(ordinal: int, y: float = 0.4, **more: Any) -> Result:
    """A person in the picture, with the head at `y`."""
    known: dict[str, Any] = {
        "camera": "door",
        "run": RUN,
        "engine": "fast",
        "ordinal": ordinal,
        "seq": ordinal,
        "captured_at": START + ordinal / 2,
        "size_wh": (640, 480),
        "live": True,
        "answers": {
            "people": Boxes("fast", ((0.4, y, 0.5, y + 0.2),), (0.9,)),
            "carts": Number("fast", 2),
        },
    }
    return Result(**{**known, **more})


_FIELDS = (
    *("tag", "camera", "run", "engine", "ordinal", "seq", "captured_at", "size_wh"),
    *("live", "answers", "last", "health", "asked"),
)


def packed(result: Result, **changed: Any) -> bytes:
    """A result's message with fields replaced by whatever msgpack can hold."""
    message = msgpack.unpackb(encode_result(result)[1:], strict_map_key=False)
    for name, value in changed.items():
        message[_FIELDS.index(name)] = value
    body = msgpack.packb(message, unicode_errors="surrogatepass")
    return bytes([VERSION]) + bytes(body)


def boxes(places: list[Any], scores: list[Any]) -> dict[str, Any]:
    """An answer with boxes."""
    return {"people": ["boxes", "fast", places, scores, False]}


EXTREMES: Mapping[str, Mapping[str, Any]] = {
    "an ordinal of 64 bits": {"ordinal": 2**64 - 1},
    "a negative ordinal": {"ordinal": -7},
    "an ordinal with a fraction": {"ordinal": 0.5},
    "a sequence of 63 bits": {"seq": 2**63 - 1},
    "a time beyond any calendar": {"captured_at": 1e300},
    "a time long before any calendar": {"captured_at": -1e18},
    "a time in milliseconds": {"captured_at": 1e12},
    "a time in nanoseconds": {"captured_at": START * 1e9},
    "a time that is not finite": {"captured_at": math.inf},
    "a time that is not a number": {"captured_at": math.nan},
    "a time as a timestamp of msgpack": {"captured_at": msgpack.Timestamp(1, 2)},
    "a picture without height": {"size_wh": [640, 0]},
    "a picture of 63 bits": {"size_wh": [2**63 - 1, 1]},
    "a picture of negative width": {"size_wh": [-640, 480]},
    "a run with a null character": {"run": "a\0b"},
    "a run of half a character": {"run": HALF},
    "a run of megabytes": {"run": LONG},
    "a box at infinity": {"answers": boxes([math.inf] * 4, [0.9])},
    "a box far outside": {"answers": boxes([1e300] * 4, [0.9])},
    "a box that is not a number": {"answers": boxes([math.nan] * 4, [0.9])},
    "a score above one": {"answers": boxes([0.1, 0.1, 0.2, 0.2], [7.0])},
    "a million boxes": {"answers": boxes([0.1] * 400_000, [0.5] * 100_000)},
    "a count of 390 digits": {"answers": {"carts": ["number", "fast", "9" * 390]}},
    "a count of 5000 digits": {"answers": {"carts": ["number", "fast", "9" * 5000]}},
    "a count in words": {"answers": {"carts": ["number", "fast", "many"]}},
    "a text of megabytes": {"answers": {"people": ["text", "fast", LONG]}},
    "a text of half a character": {"answers": {"people": ["text", "fast", HALF]}},
    "thousands of answers": {"answers": {f"t{n}": ["number", "fast", 1] for n in range(5000)}},
    "an answer of an unknown kind": {"answers": {"people": ["polygon", "fast"]}},
    "answers nested deeply": {"answers": deep(400)},
    "an extension type": {"answers": msgpack.ExtType(5, b"x")},
    "a state with a null character": {"health": ["door", START, "off\0line", ""]},
    "a state long before any calendar": {"health": ["door", -1e300, "offline", ""]},
}


@pytest.mark.parametrize("poison", EXTREMES.values(), ids=list(EXTREMES))
@pytest.mark.parametrize("is_file", [False, True], ids=["live", "file"])
def test_a_result_that_cannot_be_judged_is_one_dead_letter(
    queues: RedisQueues,
    server: Redis,
    store: SqlStore,
    poison: Mapping[str, Any],
    is_file: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One extreme value among good results: it is put aside and said, those after it are judged."""
    clock, metrics = ManualClock(START), Metrics()
    processor = desk(queues, store, clock, metrics, is_file=is_file)
    results = [seen(n, 0.1 + 0.1 * n, live=not is_file) for n in range(6)]
    partition = _partition(queues)
    for n, result in enumerate(results):
        data = packed(result, **poison) if n == 3 else encode_result(result)
        _publish(server, queues, partition, data)
    _judge(processor, clock)

    letters = queues.jobs.dead_letters()
    assert len(letters) == 1
    assert letters[0].reason
    assert "cannot be judged" in caplog.text
    run, ordinal, _ = processor.judged["door", "fast"] or ("", -1, False)
    keeps_its_place = not {"run", "ordinal", "health"} & poison.keys()
    # Without its place in the order a recording waits for it, as for any result.
    assert (run, ordinal) == (RUN, 5 if keeps_its_place or not is_file else 2)
    assert not _left(server, queues, partition) or (is_file and not keeps_its_place)


EXTREME_JOBS: Mapping[str, Mapping[str, Any]] = {
    "a time beyond any calendar": {"captured_at": 1e300},
    "a picture of 63 bits": {"size": [2**63 - 1, 1]},
    "an ordinal of 64 bits": {"ordinal": 2**64 - 1},
    "a run with a null character": {"run": "a\0b"},
    "tasks that are none": {"tasks": b"\xc1"},
    "ten thousand tasks": {
        "tasks": msgpack.packb([["detect", f"t{n}", "fast", "x", 1] for n in range(10_000)])
    },
    "a label of megabytes": {"tasks": msgpack.packb([["detect", "people", "fast", LONG, 1]])},
}
_JOB = ("tag", "camera", "run", "seq", "captured_at", "size", "engine", "ordinal", "live", "tasks")


@pytest.mark.parametrize("poison", EXTREME_JOBS.values(), ids=list(EXTREME_JOBS))
def test_a_job_that_cannot_be_answered_is_put_aside(
    queues: RedisQueues, server: Redis, store: SqlStore, poison: Mapping[str, Any]
) -> None:
    """An extreme job between good ones: the worker and the processor both get to the last one."""
    lane = "fast:file:door"
    for n in range(3):
        job = Job(frame("door", n, START + n), "fast", n, (Detect("people", "fast", "p"),), False)
        assert queues.jobs.put(job, 0).accepted
        if n == 1:
            message = msgpack.unpackb(encode_job(job)[1:])
            for name, value in poison.items():
                message[_JOB.index(name)] = value
            _change_last(server, queues, f"lane:{lane}", bytes([1]) + msgpack.packb(message))
    answered = _work(queues)
    assert [claim.ordinal for claim in answered] == [0, 2]
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics(), is_file=True)
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 2
    assert len(queues.jobs.dead_letters()) == 1


BESIDE: Mapping[str, Mapping[str, str]] = {
    "an ordinal of 70 bits": {"m": f"fast:door:live-1|{2**70}|0|{START}|640x480"},
    "a time beyond any calendar": {"m": "fast:door:live-1|0|0|1e300|640x480"},
    "a size of hundreds of digits": {"m": f"fast:door:live-1|0|0|{START}|{10**380}x480"},
    "a size without a height": {"m": f"fast:door:live-1|0|0|{START}|640"},
    "no names": {},
    "a picture with a number of hundreds of digits": {"x": f"door:live-1:{10**380}"},
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=list(BESIDE))
def test_the_names_beside_a_job_may_be_extreme(
    queues: RedisQueues, server: Redis, store: SqlStore, beside: Mapping[str, str]
) -> None:
    """A failed job that nobody can read, with extreme names beside it, holds nothing up."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    partition = _partition(queues)
    fields = {"j": b"\x07junk", "w": "no worker", "l": "fast:live:door", "x": "door:live-1:0"}
    named = {**fields, **beside} if beside else {"j": b"", "w": "?"}
    _add(server, queues, f"results:{partition}", named)
    for n in range(1, 4):
        _publish(server, queues, partition, encode_result(seen(n)))
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 3
    assert not _left(server, queues, partition)
    assert queues.jobs.dead_letters()


def test_a_number_far_ahead_does_not_silence_a_camera(queues: RedisQueues, store: SqlStore) -> None:
    """A live result numbered in the billions is passed over, and the next frames are judged."""
    clock, metrics = ManualClock(START), Metrics()
    processor = desk(queues, store, clock, metrics)
    for n in (0, 1, 2**52, 2, 3):
        assert queues.results.publish([seen(n, captured_at=START + n % 1000)], 0)
    _judge(processor, clock)
    assert queues.results.publish([seen(4)], 0)
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 4
    passed = metrics.value("moonwatch_results_passed_over_total", camera="door", reason="astray")
    assert passed == 1


def test_a_message_of_another_run_does_not_silence_a_camera(
    queues: RedisQueues, store: SqlStore
) -> None:
    """One result of a run that nobody samples: the camera's own run goes on after a while."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    for n in range(80):
        results = [seen(n)] if n != 5 else [seen(n), seen(0, run="", captured_at=START + 2)]
        assert queues.results.publish(results, 0)
        processor.step(0.0)
        clock.advance(0.5)
        processor.step(0.0)
    assert processor.judged["door", "fast"] == (RUN, 79, False)


@pytest.mark.parametrize("dated", [-2e9, 0.0, 7.2e9], ids=["1906", "1970", "2198"])
def test_a_date_far_away_but_possible_is_judged(
    queues: RedisQueues, store: SqlStore, dated: float
) -> None:
    """A camera whose clock jumps by a century and back: counts go on, and are all stored."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    for n in range(12):
        at = dated if n == 5 else START + n / 2
        assert queues.results.publish([seen(n, 0.1 + 0.06 * n, captured_at=at)], 0)
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 11
    assert store.history.buckets("door", "entrance")


@pytest.mark.parametrize(
    "size", [(1, 1), (65_535, 1), (1, 65_535), (65_535, 65_535)], ids=lambda wh: f"{wh[0]}x{wh[1]}"
)
def test_a_picture_of_any_shape_is_judged(
    queues: RedisQueues, store: SqlStore, size: tuple[int, int]
) -> None:
    """The thinnest and largest pictures between usual ones."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    for n in range(9):
        shape = size if n in (3, 4, 5) else (640, 480)
        assert queues.results.publish([seen(n, 0.1 + 0.09 * n, size_wh=shape)], 0)
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 8


class Stumbling(EveryOther):
    """A rule that cannot bear the third frame."""

    def judge(self, seen: Observation) -> Verdict:
        """Divide by zero once."""
        return super().judge(seen) if seen.seq != 3 else Verdict(withheld=1 // (seen.seq - 3))


def test_a_rule_that_fails_on_one_frame_costs_that_frame(
    store: SqlStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in a rule, perhaps somebody's own: its lane begins anew, and the process goes on."""
    clock, metrics = ManualClock(START), Metrics()
    queues = MemoryConfig().build(clock)
    task = TaskPlan("people", {"even": RulePlan(lambda _aspect: Stumbling())})
    media = StoreConfig(url="sqlite:///unused.db").build_media()
    snapshots = Snapshots(queues.shelf, media)
    context = ProcessorContext(queues.results, store, snapshots, metrics, clock)
    processor = Processor([CameraPlan("door", (LanePlan("fast", (task,)),))], context)
    assert queues.results.publish([seen(n) for n in range(9)], 0)
    _judge(processor, clock)
    assert processor.judged["door", "fast"] == (RUN, 8, False)
    passed = metrics.value(
        "moonwatch_results_passed_over_total", camera="door", reason="unjudgeable"
    )
    assert passed == 1
    assert "camera door: frame 3 of engine fast cannot be judged" in caplog.text


def test_names_from_outside_cannot_flood_or_forge_a_log(
    queues: RedisQueues, store: SqlStore
) -> None:
    """Results of many cameras with control characters in their names: bounded, one line each."""
    stream = io.StringIO()
    clock, metrics = ManualClock(START), Metrics()
    processor = desk(queues, store, clock, metrics)
    set_up("text", stream=stream)
    names = [f"yard {n}\x1b[2J\n2026-01-01 error forged" for n in range(1200)]
    for start in range(0, len(names), 60):
        results = [seen(0, camera=name) for name in names[start : start + 60]]
        assert queues.results.publish(results, 0)
        while processor.step(0.0):
            pass
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "yard" in line]) == 1000
    assert not any(line.startswith("2026-01-01 error forged") for line in lines)
    assert "\x1b" not in stream.getvalue()
    assert len(processor.unknown_cameras) == 1000


ODD_STATES: tuple[Any, ...] = (
    *(None, [], "", 7, math.inf, HUGE, {"version": 99}, {"version": 2}),
    {"version": 2, "last_at": 1e300, "aspect": 1.5, "tasks": {}},
    {"version": 2, "last_at": START, "aspect": 1e300, "tasks": {}},
    {"version": 2, "last_at": START, "aspect": -1.0, "tasks": {}},
    {"version": 2, "last_at": math.nan, "aspect": 1.5, "tasks": {}},
    {"version": 2, "last_at": START, "aspect": 1.5, "tasks": deep(400)},
)


@pytest.mark.parametrize("state", ODD_STATES, ids=range(len(ODD_STATES)))
def test_a_checkpoint_of_extremes_begins_anew(
    queues: RedisQueues, store: SqlStore, state: Any
) -> None:
    """A stored state that no release wrote: the camera begins anew and goes on."""
    store.commit(Commit(checkpoints=[Checkpoint("door", "fast", RUN, 2, state, False)]))
    _goes_on_from_its_checkpoint(queues, store)


# Every number in a real checkpoint, replaced one kind at a time.
ODD_NUMBERS = (1e300, -1e300, math.inf, math.nan, HUGE, 2**70, -(2**70), -1, 0, 10**15, "", None)


@pytest.mark.parametrize("odd", ODD_NUMBERS, ids=str)
def test_every_number_of_a_checkpoint_may_be_extreme(
    queues: RedisQueues, store: SqlStore, odd: Any
) -> None:
    """A real checkpoint whose numbers were replaced: it is read or begun anew, and goes on."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    for n in range(3):
        assert queues.results.publish([seen(n, 0.1 + 0.1 * n)], 0)
    _judge(processor, clock)
    checkpoint = store.checkpoint("door", "fast")
    assert checkpoint is not None
    changed = replace(checkpoint, state=_with_numbers(checkpoint.state, odd, top=True))
    store.commit(Commit(checkpoints=[changed]))
    _goes_on_from_its_checkpoint(queues, store)


def _with_numbers(state: Any, odd: Any, *, top: bool = False) -> Any:
    match state:
        case dict():
            kept = {"version", "last_at", "aspect", "every_s"} if top else {"version"}
            return {
                name: value if name in kept else _with_numbers(value, odd)
                for name, value in state.items()
            }
        case list():
            return [_with_numbers(value, odd) for value in state]
        case bool() | str() | None:
            return state
        case _:
            return odd


def _goes_on_from_its_checkpoint(queues: RedisQueues, store: SqlStore) -> None:
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics())
    processor.resume()
    for n in range(3, 9):
        assert queues.results.publish([seen(n, 0.1 + 0.08 * n)], 0)
    _judge(processor, clock)
    assert (processor.judged["door", "fast"] or ("", -1, False))[1] == 8
    assert store.history.buckets("door", "entrance")


def test_a_database_without_null_characters_keeps_everything(queues: RedisQueues) -> None:
    """PostgreSQL, and words with null characters and halves of characters from model and camera."""
    clock = ManualClock(START)
    said = "yes\0 or \udfff no"
    with server_url() as url:
        store = SqlStore(url)
        processor = desk(queues, store, clock, Metrics())
        for n in range(4):
            words = {"shut": Text("words", f"yes, {said}")}
            assert queues.results.publish([seen(n, engine="words", answers=words)], 0)
        _judge(processor, clock)
        point = Checkpoint("door", "fast", f"run\0{HALF}", 1, {"said": said}, False)
        store.commit(
            Commit(events=[replace(an_event(0), data={"said": said})], checkpoints=[point])
        )
        (kept,) = [one.event for one in store.events_after(0, 10) if "said" in one.event.data]
        assert kept.data["said"] == said
        assert (processor.judged["door", "words"] or ("", -1, False))[1] == 3
        store.close()


RECORD = json.loads(event_to_json(an_event(3)))
ODD_EVENTS: Mapping[str, str] = {
    "a time beyond any calendar": json.dumps({**RECORD, "at": 1e300}),
    "a time that overflows": json.dumps({**RECORD, "at": 0}).replace('"at": 0', '"at": 1e400'),
    "a time in words": json.dumps({**RECORD, "at": "noon"}),
    "a time that is true": json.dumps({**RECORD, "at": True}),
    "no camera": json.dumps({k: v for k, v in RECORD.items() if k != "camera"}),
    "a camera that is a number": json.dumps({**RECORD, "camera": 7}),
    "a camera of half a character": json.dumps({**RECORD, "camera": HALF}),
    "a rule of megabytes": json.dumps({**RECORD, "rule": LONG}),
    "data that are a list": json.dumps({**RECORD, "data": [1]}),
    "data nested deeply": json.dumps({**RECORD, "data": {"a": deep(300)}}),
    "data nested without end": '{"data":' + "[" * 200_000,
    "data that overflow": json.dumps({**RECORD, "data": {"a": 0}}).replace('"a": 0', '"a": -1e400'),
    "a subject in words": json.dumps({**RECORD, "subject": "person"}),
    "a box of three": json.dumps(
        {**RECORD, "subject": {"label": "p", "track": 1, "box": [1, 2, 3]}}
    ),
    "a box of words": json.dumps(
        {**RECORD, "subject": {"label": "p", "track": 1, "box": ["a", "b", "c", "d"]}}
    ),
    "a picture that is a number": json.dumps({**RECORD, "media": [7]}),
    "an update of 400 digits": json.dumps({**RECORD, "update": HUGE}),
    "an unknown phase": json.dumps({**RECORD, "phase": "later"}),
    "a list": "[]",
    "nothing": "",
}


@pytest.mark.parametrize("body", ODD_EVENTS.values(), ids=list(ODD_EVENTS))
@pytest.mark.parametrize("sink", ["jsonl", "stdout", "json"])
def test_an_event_that_cannot_be_sent_is_one_dead_letter(
    store: SqlStore, tmp_path: Path, body: str, sink: str
) -> None:
    """A stored record of extremes between good events: it is put aside, the others arrive."""
    built: Sink
    if sink == "jsonl":
        built = JsonlConfig(type="jsonl", path=tmp_path / "out.jsonl").build(SinkContext("Shop"))
    else:
        built = StdoutConfig(format="json" if sink == "json" else "text").build(SinkContext("Shop"))
    lane = SinkLane(Route("out", from_beginning=True), built, store, ManualClock(START), Metrics())
    store.register_sinks(["out"], ["out"])
    store.commit(Commit(events=[an_event(n) for n in range(3)]))
    _rewrite(store, 2, body)
    while lane.step() == 0.0:
        pass
    assert lane.status().error is None
    assert lane.status().delivered == 2
    assert [letter.position for letter in store.undelivered("out")] == [2]


def test_an_event_that_a_sink_cannot_write_is_put_aside(store: SqlStore) -> None:
    """A sink that stumbles over the values of one event: the others reach it."""

    class Narrow:
        """Writes latin-1 only."""

        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def send(self, events: Any) -> None:
            """Encode them all."""
            self.sent += [str(event.data).encode("latin-1") for event in events]

        def close(self) -> None:
            """Nothing to close."""

    sink = Narrow()
    lane = SinkLane(Route("out", from_beginning=True), sink, store, ManualClock(START), Metrics())
    store.register_sinks(["out"], ["out"])
    events = [replace(an_event(n), data={"said": "日本" if n == 1 else "yes"}) for n in range(3)]
    store.commit(Commit(events=events))
    while lane.step() == 0.0:
        pass
    assert len(sink.sent) == 2
    (letter,) = store.undelivered("out")
    assert "UnicodeEncodeError" in letter.reason


@pytest.mark.parametrize("at", [1e300, -1e300, math.inf, -math.inf, math.nan, 1e12, -1e12, 2.5e11])
def test_a_time_beyond_the_calendar_is_shown_as_its_edge(at: float) -> None:
    """Whatever time is in a record, a line of text and an event have a date."""
    assert timestamp(at)[:4] in ("1900", "2200")
    assert local_time(at, "Pacific/Auckland")[:4] in ("1900", "2200")
    event = Event("a" * 26, "count", "single", "door", "r", at)
    assert to_cloudevent(event, "Shop")["time"]


WHOLE_REPORT = json.loads(
    Report(
        *("sampling", "host", 7, 1.5),
        rates={"door": {"sampled": 2.0}},
        judged={"door": {"fast": ("r", 3, False)}},
        progress=0.5,
        troubles=("a",),
    ).to_bytes()
)
EXTREME_VALUES: tuple[Any, ...] = (
    *(HUGE, -HUGE, 2**70, -1, 1.5, True, None, "", "\x1b[2J\0", HALF, LONG, [], {}),
    *([HUGE], {"door": HUGE}, {"door": {"fast": [HUGE, HUGE, HUGE]}}, {"door": {"up": HUGE}}),
)


@pytest.mark.parametrize("name", sorted(WHOLE_REPORT))
def test_every_field_of_a_report_may_be_extreme(name: str) -> None:
    """What another process says of itself: read with its range, or left out, and never raised."""
    texts = [json.dumps({**WHOLE_REPORT, name: value}) for value in EXTREME_VALUES]
    texts += [
        json.dumps({**WHOLE_REPORT, name: 0}).replace(f'"{name}": 0', f'"{name}": {literal}')
        for literal in ("1e400", "-1e400", "NaN", "Infinity")
    ]
    for text in texts:
        report = Report.of_bytes(text.encode())
        if report is None:
            assert name in ("stage", "host", "pid", "up_s")
            continue
        shown = report.to_bytes().decode()
        assert len(shown) < 100_000
        assert "Infinity" not in shown
        assert "NaN" not in shown
        for sentence in (*report.troubles, *report.said, report.place, report.version):
            assert "\x1b" not in sentence


_INNER = (1e308, -1e308, {"sampled": 1e308}, {"fast": -1e308}, {"people": [10**15, -1, "\x1b[2J"]})


def test_status_is_shown_whatever_processes_say(
    queues: RedisQueues, server: Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hundreds of processes, each with one extreme value in its report: all of them are shown."""
    file = tmp_path / "shop.yaml"
    shop = copy.deepcopy(SHOP)
    shop["cameras"]["door"]["tasks"]["carts"]["count"] = "suitcase"
    prefix = _base(queues).strip("{}")
    shop["queue"] = {"type": "redis", "url": server.url, "prefix": prefix}
    shop["store"] = {"url": f"sqlite:///{tmp_path}/events.db"}
    file.write_text(json.dumps(shop))
    for name in WHOLE_REPORT:
        values = [value for value in EXTREME_VALUES if value is not LONG]
        values += [{"door": value} for value in _INNER]
        texts = [json.dumps({**WHOLE_REPORT, name: value}) for value in values]
        zero = json.dumps({**WHOLE_REPORT, name: 0})
        texts.append(zero.replace(f'"{name}": 0', f'"{name}": 1e400'))
        for n, text in enumerate(texts):
            member = f"sampling:{name}:{n}:x"
            queues.presence.say(member, text.encode(), timedelta(minutes=9))
    for as_json in (False, True):
        with pytest.raises(typer.Exit):
            status(file, [], as_json=as_json)
        shown = capsys.readouterr().out
        assert "door" in shown
        assert "\x1b[2J" not in shown
        assert not re.search(r"\b(NaN|Infinity)\b", shown)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[]", b"7", b"[" * 100_000, b'{"stage":1e400}']
)
def test_what_is_not_a_report_is_left_out(data: bytes) -> None:
    """Bytes under a process's name that no moonwatch wrote."""
    assert Report.of_bytes(data) is None


@pytest.mark.parametrize("member", ["", ":", "a:b", "a:b:c:d:e", "\x1b:\0"])
def test_a_member_of_any_name_has_words(member: str) -> None:
    """A process whose name has other parts."""
    assert "\x1b" not in member_in_words(member)


def test_what_lies_under_the_names_of_processes_may_be_anything(
    queues: RedisQueues, server: Redis
) -> None:
    """Members, leases, lengths and letters that no moonwatch wrote: all can be asked for."""
    client, base = server.client, _base(queues)
    client.zadd(f"{base}:present", {b"\xff\xfe": 9e15})
    client.hset(f"{base}:reports", b"\xff\xfe", b"\xff")
    client.hset(f"{base}:dropped", b"\xff:one", b"many")
    client.hset(f"{base}:dropped", "fast:live:door:stale", "3")
    client.sadd(f"{base}:engines", "fast")
    client.zadd(f"{base}:ring:fast", {"fast:live:door": 1})
    _add(server, queues, "lane:fast:live:door", {"j": b"x", "m": "a|b|0|soon|x"}, group="workers")
    _add(server, queues, "dead", {"l": b"\xff", "n": "x" * 50, "x": f"a:b:{HUGE}"})
    assert list(queues.presence.members())
    assert queues.jobs.drops() == {("door", "fast", "stale"): 3}
    assert queues.jobs.backlog()["fast"].oldest is None
    assert [letter.seq for letter in queues.jobs.dead_letters()] == [-1]
    # The job without a picture's name goes to the letters as well.
    assert queues.jobs.claim("fast", 5, 0) == []
    assert len(queues.jobs.dead_letters()) == 2


@pytest.mark.parametrize("count", ["", "many", "-1", "0.5", "nan", "9" * 400])
def test_a_count_of_any_value_stops_no_camera(
    queues: RedisQueues, server: Redis, count: str
) -> None:
    """Numbers beside pictures, and of dropped frames, that no moonwatch wrote: all goes on."""
    base = _base(queues)
    jobs = [
        Job(frame("door", n, START + n), "fast", n, (Detect("people", "fast", "p"),), False)
        for n in range(4)
    ]
    assert queues.jobs.put(jobs[0], 0).accepted
    refs = f"{base}:refs:door:{jobs[0].frame.run}"
    numbers = {f"{sign}{n}": count for n in range(4) for sign in ("", "k")}
    server.client.hset(refs, mapping=numbers)
    for job in jobs[1:]:
        assert queues.jobs.put(job, 0).accepted
    server.client.hset(refs, mapping=numbers)
    server.client.hset(f"{base}:dropped", "fast:live:door:queue full", count)
    assert [job.ordinal for job in _work(queues)] == [0, 1, 2, 3]
    for n in range(40):
        live = Job(frame("door", 100 + n, START + n), "fast", n, jobs[0].tasks, True)
        assert queues.jobs.put(live, 0).accepted
    assert _work(queues)[-1].ordinal == 39


def test_redis_clock_was_set_back(queues: RedisQueues, server: Redis) -> None:
    """Turns and ends of leases lie in the future: no camera waits until then behind a busy one."""
    base, tasks = _base(queues), (Detect("people", "fast", "p"),)
    for camera_name in ("door", "yard"):
        for n in range(3):
            job = Job(frame(camera_name, n, START + n), "fast", n, tasks, False)
            assert queues.jobs.put(job, 0).accepted
    server.client.zadd(f"{base}:ring:fast", {"fast:file:door": math.inf})
    server.client.zadd(f"{base}:due:fast", {"fast:file:door": 9e15})
    cameras = [queues.jobs.claim("fast", 1, 0)[0].job.frame.camera for _ in range(6)]
    assert cameras == ["yard", "door"] * 3
    now_s, _ = server.client.time()
    assert server.client.zscore(f"{base}:due:fast", "fast:file:door") < (now_s + 3600) * 1000


@pytest.mark.parametrize("token", ["", "soon", "-1", "1e300", "nan", "9" * 400])
def test_a_token_of_any_value_does_not_lock_a_camera(
    queues: RedisQueues, server: Redis, token: str
) -> None:
    """Tokens and owners that no moonwatch wrote: a camera can still be leased, and is told."""
    base = _base(queues)
    server.client.hset(f"{base}:tokens", "camera:door", token)
    server.client.hset(f"{base}:lease:camera:yard", mapping={"owner": b"\xff\x1b", "token": token})
    taken = queues.leases.acquire("camera:door", "me", timedelta(seconds=9))
    assert taken is not None
    assert 0 < taken < 2**53
    owners = queues.leases.owners_of(["camera:door", "camera:yard"])
    assert owners["camera:door"] == ("me", taken)
    assert "\x1b" not in owners["camera:yard"][0]
    job = Job(frame("door", 0, START), "fast", 0, (Detect("people", "fast", "p"),), True)
    assert queues.of_camera("door", taken).jobs.put(job, 0).accepted


def test_a_setting_that_is_no_number_is_said(queues: RedisQueues, server: Redis) -> None:
    """What processes agreed on was overwritten: a sentence with the value."""
    for value in ("many", "-8", "9" * 30):
        server.client.set(f"{_base(queues)}:agreed:partitions", value)
        words = f"Redis holds '{value}' as partitions, which is not a number"
        with pytest.raises(QueueError, match=words):
            queues.agreement.agree("partitions", 8, timedelta(seconds=9))


def test_the_end_of_a_recording_that_cannot_be_read_still_ends_it(
    queues: RedisQueues, server: Redis, store: SqlStore
) -> None:
    """The last message of a file is dated beyond any calendar: it ends all the same."""
    clock = ManualClock(START)
    processor = desk(queues, store, clock, Metrics(), is_file=True)
    partition = _partition(queues)
    for n in range(5):
        _publish(server, queues, partition, encode_result(seen(n, live=False)))
    end = seen(5, live=False, last=True, answers={})
    _publish(server, queues, partition, packed(end, captured_at=1e300))
    _judge(processor, clock)
    assert ("door", "fast") in processor.ended
    assert processor.judged["door", "fast"] == (RUN, 5, True)
    (letter,) = queues.jobs.dead_letters()
    assert (letter.camera, letter.engine) == ("door", "fast")


def test_a_letter_is_written_once_when_its_result_comes_again(
    queues: RedisQueues, server: Redis
) -> None:
    """The processor ends between the letter and the acknowledgement: one letter, not two."""
    _publish(server, queues, _partition(queues), packed(seen(0), captured_at=1e300))
    for _ in range(2):
        owned = queues.results.partition({_partition(queues): _token(queues)})
        (delivered,) = owned.take(10, 0)
        assert delivered.result.unjudgeable
    owned.acknowledge([delivered])
    assert len(queues.jobs.dead_letters()) == 1
    assert not _left(server, queues, _partition(queues))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_that_announces_gigabytes_is_not_unpacked(kind: str) -> None:
    """Thirty thousand pixels a side in a file of a few bytes: it takes no memory."""
    side = (30_000).to_bytes(2, "big")
    jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 10 + b"\xff\xc0\x00\x11\x08" + side * 2
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30_000).to_bytes(4, "big") * 2
    data = {"jpeg": jpeg, "png": png}[kind] + b"\0" * 64
    with pytest.raises(UnreadablePictureError, match="announces 30000×30000"):
        Codec(90, None, lossless=False).decode(data)


@pytest.mark.parametrize("lossless", [False, True])
def test_the_announced_size_is_that_of_the_picture(lossless: bool) -> None:
    """Read from the head of what the codec itself writes."""
    data = Codec(90, None, lossless=lossless).encode(grey_pixels((640, 48)))
    assert announced_size(data) == (640, 48)


ODD_ANSWERS: tuple[Any, ...] = (
    Boxes("e", ((math.nan,) * 4,), (0.5,)),
    Boxes("e", ((1e300,) * 4,), (0.5,)),
    Boxes("e", ((0.1, 0.1, 0.2, 0.2),), (math.inf,)),
    Boxes("e", ((0.1, 0.1, 0.2, 0.2),), ()),
    Boxes("e", ((0.1, 0.1),), (0.5,)),  # type: ignore[arg-type]
    Boxes("e", (("a", "b", "c", "d"),), (0.5,)),  # type: ignore[arg-type]
    Boxes("e", ((0.1, 0.1, 0.2, 0.2),) * 20_000, (0.5,) * 20_000),
    Points("e", ((math.inf, 0.5),), (0.5,)),
    *(Number("e", HUGE), Number("e", 1, math.nan), Number("e", 1.5), Number("e", None)),  # type: ignore[arg-type]
    *(Text("e", LONG), Text("e", "yes", 5.0), Text("e", None), Text("e", "yes", "sure")),  # type: ignore[arg-type]
    *(Failed("e", None), None, "yes", 7, object(), [1]),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=range(len(ODD_ANSWERS)))
def test_an_answer_that_cannot_be_judged_is_a_failed_one(odd: Any) -> None:
    """What an engine may return: the task has failed for that frame, with the reason."""
    answer = checked(odd, "e")
    assert isinstance(answer, Failed)
    assert len(answer.reason) < 300


@pytest.mark.parametrize(
    "answer",
    [
        Text("e", f"a{HALF}b"),
        Boxes("e", ((-0.2, 0.0, 1.1, 1.0),), (1.0000001,)),
        Number("e", 10**30),
    ],
    ids=["half a character", "over the edge", "a long number"],
)
def test_an_answer_at_the_edge_is_kept(answer: Answer) -> None:
    """What can be meant is judged, with halves of characters replaced."""
    kept = checked(answer, "e")
    assert type(kept) is type(answer)
    if isinstance(kept, Text):
        assert kept.text == "a\ufffdb"


@pytest.mark.parametrize("at", [1e12, 1e300, -1e18, math.inf, math.nan])
def test_a_camera_whose_clock_is_far_away_is_not_online(
    at: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Pictures dated beyond any calendar are counted and said, and the next usable one is taken."""
    bench = Bench()
    pixels = grey_pixels()
    sampler = offered(bench, camera(ScriptedSource([], live=True)), [])
    for _ in range(12):
        sampler.offer(PaintedPicture(pixels, at))
    assert bench.dropped("unusable") == 12
    assert bench.states() == []
    assert "not between 1900 and 2200; set the camera's clock" in sampler.why_unused()
    assert caplog.text.count("a picture cannot be used") == 1
    sampler.offer(PaintedPicture(pixels, bench.clock.now()))
    assert bench.states() == ["online"]
    assert len(bench.jobs()) == 1


def _token(queues: RedisQueues) -> int:
    token = queues.leases.acquire(_partition(queues), "me", timedelta(seconds=60))
    assert token is not None
    return token


def _partition(queues: RedisQueues) -> int:
    from pipeline.core.membership import partition_of

    return partition_of("door", queues.results.partitions)


def _base(queues: RedisQueues) -> str:
    return queues.link._target.base


def _add(
    server: Redis,
    queues: RedisQueues,
    name: str,
    fields: Mapping[str, Any],
    group: str = "processors",
) -> None:
    key = f"{_base(queues)}:{name}"
    if name != "dead" and not server.client.exists(key):
        server.client.xgroup_create(key, group, "0", mkstream=True)
    server.client.xadd(key, dict(fields))


def _publish(server: Redis, queues: RedisQueues, partition: int, data: bytes) -> None:
    _add(server, queues, f"results:{partition}", {"r": data})


def _left(server: Redis, queues: RedisQueues, partition: int) -> int:
    return int(server.client.xlen(f"{_base(queues)}:results:{partition}"))


def _change_last(server: Redis, queues: RedisQueues, name: str, data: bytes) -> None:
    """Replace the newest job of a lane by one with other bytes."""
    key = f"{_base(queues)}:{name}"
    ((entry, fields),) = server.client.xrevrange(key, count=1)
    server.client.xdel(key, entry)
    server.client.xadd(key, {**fields, b"j": data})


def _judge(processor: Processor, clock: ManualClock) -> None:
    """Judge all there is, also what is only given up on after a while."""
    for _ in range(3):
        while processor.step(0.0):
            pass
        clock.advance(70.0)
        processor.step(0.0)


def _work(queues: RedisQueues) -> list[Job]:
    """Claim and answer until nothing is left."""
    from pipeline.core.jobs import result_of

    answered: list[Job] = []
    while True:
        claims = queues.jobs.claim("fast", 4, 0)
        if not claims:
            return answered
        results = [result_of(c.job, {"people": Boxes("fast", (), ())}) for c in claims]
        assert queues.jobs.answer(claims, results, 0)
        answered += [claim.job for claim in claims]


def _rewrite(store: SqlStore, position: int, body: str) -> None:
    with store._database.write("damage an event") as connection:
        connection.exec_driver_sql(
            "UPDATE moonwatch_events SET body = ? WHERE position = ?", (body, position)
        )
