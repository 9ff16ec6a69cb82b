"""Tries everything that a deployment needs, from this machine: `moonwatch doctor`.

Each part has a deadline and a thread of its own, so that one that hangs holds up nobody. Nothing
that a run at work needs is taken from it: databases are only read, and a device that it has open is
left alone.
"""

import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from connectors.places.redis_place import RedisAccess
from connectors.queues.redis.client.condition import troubles_in
from pipeline.core.clock import Clock
from pipeline.core.errors import NoTablesError, SinkError, SourceError, SourceFailure, StoreError
from pipeline.core.events import Event, JsonValue
from pipeline.core.machine import is_there
from pipeline.core.sources import Need, ObservedSource, StreamLog
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.deployment.problems.machine import lacks
from pipeline.deployment.samples import sample_context
from pipeline.insight.status import DeploymentStatus, status_of

if TYPE_CHECKING:
    from connectors.sinks import SinkConfig

_AT_ONCE = 8
_LOOK_S, _LONGEST_LOOK_S = 5.0, 12.0
# Beyond the deadlines that the parts themselves have.
_GRACE_S = 5.0
_PART_S = 30.0
_ENGINE_S = 60.0
_FILE_S = 60.0
_LONG_BETWEEN_KEYS_S = 4.0
_CLOCK_OFF_S = 2.0
_FULL_BYTES = 1_000_000_000
_OLDEST_REDIS = (6, 2)
# What a camera that serves one viewer answers to the next, in one way or another.
_TAKEN = frozenset(
    (SourceFailure.REFUSED, SourceFailure.ENDED, SourceFailure.BROKEN, SourceFailure.TIMEOUT)
)
_CODECS = {"h264": "H.264", "hevc": "H.265", "mjpeg": "MJPEG", "mpeg4": "MPEG-4", "av1": "AV1"}

FindingState = Literal["ok", "note", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of trying one part."""

    part: str
    """`camera`, `queue`, `store`, `media`, `engine`, `sink`, `disk` or `clock`."""
    name: str
    state: FindingState
    message: str
    """What was found, and what helps where something is wrong."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)

    def as_json(self) -> dict[str, JsonValue]:
        """The same for machines."""
        return {
            "part": self.part,
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "facts": dict(self.facts),
        }


Attempt = Callable[[], "Finding | Sequence[Finding]"]


@dataclass(frozen=True, slots=True)
class _Trial:
    part: str
    name: str
    within_s: float
    attempt: Attempt


def try_all(
    deployment: Deployment,
    clock: Clock,
    cameras: Collection[str] = (),
    *,
    sends: bool = False,
) -> Iterator[Finding]:
    """Try everything, or only these cameras; findings come in the order of the file."""
    yield from _tried(list(_parts(deployment, clock, cameras, sends=sends)))


def _parts(
    deployment: Deployment, clock: Clock, cameras: Collection[str], *, sends: bool
) -> Iterator[_Trial]:
    missing: dict[tuple[str, ...], list[tuple[str, bool]]] = defaultdict(list)
    for path, lack in lacks(deployment):
        owner = tuple(str(step) for step in path[:2])
        missing[owner].append((lack.message, lack.is_fatal))
    run = _RunAtWork(deployment, clock)
    for name, camera in deployment.cameras.items():
        if cameras and name not in cameras:
            continue
        source = camera.source
        within_s = _FILE_S
        if not source.is_recording:
            times = (source.open_timeout, source.read_timeout)
            within_s = sum(map(timedelta.total_seconds, times)) + _LONGEST_LOOK_S + _GRACE_S
        yield _Trial("camera", name, within_s, partial(_camera, deployment, clock, run, name))
    if cameras:
        return
    yield _Trial("queue", deployment.queue.type, _PART_S, partial(_queue, deployment, clock))
    yield _Trial("store", "", _PART_S, partial(_store, deployment, clock, missing))
    yield _Trial("media", "", _PART_S, partial(_media, deployment))
    for name in deployment.engines:
        lacking = missing[("engines", name)]
        yield _Trial("engine", name, _ENGINE_S, partial(_engine, deployment, name, lacking))
    for name, sink in deployment.sinks.items():
        lacking = missing[("sinks", name)]
        timeout = getattr(sink, "timeout", None)
        own_s = 0.0 if timeout is None else timeout.total_seconds()
        within_s = (4 if sends else 2) * own_s + _PART_S
        attempt = partial(_sink, deployment, clock, name, lacking, sends=sends)
        yield _Trial("sink", name, within_s, attempt)
    yield _Trial("disk", "", _PART_S, partial(_disks, deployment))


def _tried(parts: Sequence[_Trial]) -> Iterator[Finding]:
    """The findings of all parts in their order, tried at the same time, each within its time."""
    found: dict[int, Sequence[Finding]] = {}
    changed = threading.Condition()

    def try_one(index: int, part: _Trial) -> None:
        try:
            answer = part.attempt()
            findings = [answer] if isinstance(answer, Finding) else list(answer)
        except Exception as error:  # noqa: BLE001 - one part's fault must not end the others
            words = f"could not be tried: unexpected {type(error).__name__}; please report it"
            findings = [Finding(part.part, part.name, "failed", words)]
        with changed:
            found.setdefault(index, findings)
            changed.notify_all()

    pending = list(enumerate(parts))
    running: dict[int, float] = {}
    shown = 0
    while shown < len(parts):
        with changed:
            now = time.monotonic()
            for index in [index for index in running if index in found]:
                del running[index]
            for index in [index for index, until in running.items() if until <= now]:
                part = parts[index]
                words = f"has not answered within {part.within_s:g} s; check the way to it"
                found[index] = [Finding(part.part, part.name, "failed", words)]
                del running[index]
            while pending and len(running) < _AT_ONCE:
                index, part = pending.pop(0)
                running[index] = now + part.within_s
                threading.Thread(
                    target=try_one, args=(index, part), name=f"try {part.part}", daemon=True
                ).start()
            if shown not in found:
                changed.wait(max(0.0, min(running.values()) - now))
        while shown in found:
            yield from found[shown]
            shown += 1


class _RunAtWork:
    """What a run at work says of itself, asked once and only if somebody needs to know."""

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._ask = lru_cache(maxsize=1)(partial(status_of, deployment, clock))

    def has(self, camera: str) -> bool:
        """Whether it has a camera open and gets pictures of it."""
        with self._lock:
            status: DeploymentStatus = self._ask()
        known = status.cameras.get(camera)
        return known is not None and known.sampled_by is not None and known.state == "online"


def _camera(deployment: Deployment, clock: Clock, run: _RunAtWork, name: str) -> Finding:
    camera = deployment.cameras[name]
    if camera.source.is_recording:
        return _recording(deployment, name)
    if camera.source.type == "webcam" and run.has(name):
        return Finding(
            "camera", name, "note", "is in use by the run at work, which gets pictures from it"
        )
    try:
        return _looked_at(camera, clock, name)
    except SourceError as error:
        facts: dict[str, JsonValue] = {"reason": error.reason.value}
        if error.reason in _TAKEN and run.has(name):
            return Finding(
                "camera",
                name,
                "note",
                f"gives pictures to the run at work, and none to a second viewer: {error}",
                facts,
            )
        return Finding("camera", name, "failed", str(error), facts)


def _recording(deployment: Deployment, name: str) -> Finding:
    config = deployment.cameras[name].source
    assert config.is_recording
    source = config.build(zone=deployment.site_of(name).timezone)
    try:
        first = next(iter(source.probe()), None)
    except SourceError as error:
        return Finding("camera", name, "failed", str(error), {"reason": error.reason.value})
    if first is None:
        return Finding("camera", name, "failed", f"{config.path} holds nothing that can be played")
    codec = _CODECS.get(first.codec, first.codec)
    width, height = first.size_wh
    facts: dict[str, JsonValue] = {
        "codec": first.codec,
        "size": [width, height],
        "rate": round(first.rate, 2),
    }
    words = (
        f"a recording in {codec}, {width}x{height}, {first.rate:.3g} pictures a second; "
        "`check --probe` reads all of it"
    )
    return Finding("camera", name, "ok", words, facts)


def _looked_at(camera: CameraConfig, clock: Clock, name: str) -> Finding:
    """Open it as a run would, look at it for some seconds, and say what comes."""
    config = camera.source
    assert not config.is_recording
    source = config.build(clock)
    log = StreamLog()
    if isinstance(source, ObservedSource):
        source.observe(log)
    poll = getattr(config, "poll", None)
    began = time.monotonic()
    first_at: float | None = None
    pictures, size = 0, (0, 0)
    last = began
    try:
        source.open(Need())
        for picture in source.pictures():
            last = time.monotonic()
            pictures += 1
            if first_at is None:
                first_at, size = last, picture.size_wh
            looked_s = last - first_at
            is_enough = log.codec is None or log.keys > 1
            if poll or looked_s >= (_LOOK_S if is_enough else _LONGEST_LOOK_S):
                break
        state = source.camera_clock
        lost = dict(source.counters())
    finally:
        source.close()
    if first_at is None:
        return Finding("camera", name, "failed", "was opened, and sent no picture; restart it")
    looked_s = last - first_at
    rate = None
    if log.packets > 1 and log.ended_at > log.began_at:
        rate = (log.packets - 1) / (log.ended_at - log.began_at)
    elif pictures > 1 and looked_s > 0:
        rate = (pictures - 1) / looked_s
    between_s = log.longest_between_keys / rate if rate and log.longest_between_keys else None
    first_s = first_at - began
    offset = None if log.said_at is None else log.said_at - log.asked_at
    facts: dict[str, JsonValue] = {
        "codec": log.codec,
        "size": list(size),
        "rate": _rounded(rate),
        "key_frame_every_s": _rounded(between_s),
        "first_picture_s": _rounded(first_s),
        "backward": log.backward,
        "leaps": log.leaps,
        "lost": {name: count for name, count in lost.items() if name != "stale"},
        "clock_offset_s": _rounded(offset),
    }
    codec = _CODECS.get(log.codec or "", log.codec)
    told = [f"{codec} {size[0]}x{size[1]}" if codec else f"{size[0]}x{size[1]}"]
    if rate is not None:
        told.append(f"{rate:.3g} pictures a second")
    if between_s is not None:
        told.append(f"a key frame every {between_s:.2g} s")
    told.append(f"first picture after {first_s:.1f} s")
    remarks = list(_remarks(camera, log, rate, between_s, lost))
    if offset is not None and abs(offset) >= _CLOCK_OFF_S:
        remarks.append(f"{_off('its clock', offset)}; let it take its time by NTP")
    if state is not None and not state.is_right:
        remarks.append(state.words)
    words = "; ".join([", ".join(told), *remarks])
    return Finding("camera", name, "note" if remarks else "ok", words, facts)


def _remarks(
    camera: CameraConfig,
    log: StreamLog,
    rate: float | None,
    between_s: float | None,
    lost: Mapping[str, int],
) -> Iterator[str]:
    if between_s is not None and between_s > _LONG_BETWEEN_KEYS_S:
        yield "set its I-frame interval to 1 to 4 s: after each loss pictures are missed that long"
    elif log.codec not in (None, "mjpeg") and between_s is None:
        yield "only one key frame came meanwhile; set its I-frame interval to 1 to 4 s"
    wanted = 1 / camera.sample.interval_s if camera.sample.interval_s else None
    if rate is not None and wanted is not None and rate < 0.8 * wanted:
        yield f"the file asks for {wanted:.3g} pictures a second, which it does not send"
    if log.backward:
        yield f"{log.backward} of its timestamps went backward"
    if log.leaps:
        yield f"its timestamps leapt {log.leaps} times; restart it if that goes on"
    damaged = {name: count for name, count in lost.items() if count and name != "stale"}
    if damaged:
        yield "lost meanwhile: " + ", ".join(f"{n} by {name}" for name, n in damaged.items())


def _queue(deployment: Deployment, clock: Clock) -> Sequence[Finding]:
    config = deployment.queue
    if not isinstance(config, RedisAccess):
        return [Finding("queue", config.type, "ok", "is in the process of `run` itself")]
    import redis

    target = config.target()
    try:
        client: Any = target.connect()
        try:
            if not client.ping():
                raise redis.ConnectionError
            if target.place.form == "cluster":
                words = f"{target.name} answers, as a cluster"
                return [Finding("queue", config.type, "ok", words)]
            before = clock.now()
            seconds, micros = client.time()
            after = clock.now()
            info = {str(key): str(value) for key, value in client.info().items()}
        finally:
            client.close()
    except (redis.RedisError, OSError) as error:
        return [Finding("queue", config.type, "failed", f"{target.name} {_redis_reason(error)}")]
    version = info.get("redis_version", "?")
    server = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    shown = info.get("valkey_version", version) if server == "Valkey" else version
    most = int(info.get("maxmemory", "0"))
    room = f"at most {most / 1e6:.0f} MB" if most else "no limit of memory"
    policy = info.get("maxmemory_policy", "noeviction")
    facts: dict[str, JsonValue] = {"version": shown, "maxmemory": most, "policy": policy}
    troubles = [sentence for _, sentence in troubles_in(target.name, info)]
    try:
        number = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        number = _OLDEST_REDIS
    if number < _OLDEST_REDIS:
        troubles.append(f"{target.name} is {server} {shown}; install 6.2 or later")
    if troubles:
        queue = Finding("queue", config.type, "failed", "; ".join(troubles), facts)
    else:
        words = f"{target.name} answers: {server} {shown}, {room}, `{policy}`"
        queue = Finding("queue", config.type, "ok", words, facts)
    theirs = float(seconds) + float(micros) / 1e6
    return [queue, _clock(target.name, theirs, before, after)]


def _redis_reason(error: Exception) -> str:
    """What went wrong, without the library's words, which may quote the address."""
    import redis

    match error:
        case redis.AuthenticationError() | redis.exceptions.AuthorizationError():
            return "does not accept the login; check `username` and `password`"
        case redis.exceptions.NoPermissionError():
            return "does not allow it; check the rights of this user"
        case redis.TimeoutError() | TimeoutError():
            return "does not answer in time; check the address and the network"
        case redis.ResponseError():
            text = str(error)
            if "NOAUTH" in text or "WRONGPASS" in text:
                return "does not accept the login; check `username` and `password`"
            return f"refused it ({text.split(' ', 1)[0][:40]})"
        case _:
            return "cannot be reached; check that it runs at this address"


def _clock(of: str, theirs: float, before: float, after: float) -> Finding:
    """This machine's clock against another one that was asked between two moments of it."""
    offset = theirs - min(max(theirs, before), after)
    facts: dict[str, JsonValue] = {"offset_s": round(offset, 3)}
    if abs(offset) >= _CLOCK_OFF_S:
        words = f"{_off(f'the clock of {of}', offset)}; let both take their time by NTP"
        return Finding("clock", of, "failed", words, facts)
    return Finding("clock", of, "ok", f"this machine and {of} have the same time", facts)


def _off(what: str, offset: float) -> str:
    way = "ahead of" if offset > 0 else "behind"
    return f"{what} is {abs(offset):.3g} s {way} that of this machine"


def _store(
    deployment: Deployment,
    clock: Clock,
    missing: Mapping[tuple[str, ...], Sequence[tuple[str, bool]]],
) -> Sequence[Finding]:
    config = deployment.store
    fatal = [words for words, is_fatal in missing.get(("store",), ()) if is_fatal]
    place = str(config.file) if config.file is not None else str(config.url)
    if fatal:
        return [Finding("store", place, "failed", "; ".join(fatal))]
    if config.file is not None and not is_there(config.file):
        return [Finding("store", place, "ok", f"{place} is made with the first run")]
    try:
        store = config.build_reader(clock)
        try:
            before = clock.now()
            known = store.facts()
            after = clock.now()
        finally:
            store.close()
    except NoTablesError:
        words = f"{place} can be reached and has no tables yet; the first run makes them"
        return [Finding("store", place, "ok", words)]
    except StoreError as error:
        return [Finding("store", place, "failed", str(error))]
    facts: dict[str, JsonValue] = {"version": known.version, "bytes": known.bytes}
    if known.trouble is not None:
        found = Finding("store", place, "failed", f"{place} {known.trouble}", facts)
    else:
        words = f"{place} can be written: {known.version}, {known.bytes / 1e6:.1f} MB"
        found = Finding("store", place, "ok", words, facts)
    if known.now is None:
        return [found]
    return [found, _clock("the database", known.now, before, after)]


def _media(deployment: Deployment) -> Finding:
    place = str(deployment.store.media_folder)
    try:
        media = deployment.store.build_media()
        place = media.where
        words = media.try_out()
    except StoreError as error:
        return Finding("media", place, "failed", str(error))
    return Finding("media", place, "ok", f"{place} {words}")


def _engine(deployment: Deployment, name: str, lacking: Sequence[tuple[str, bool]]) -> Finding:
    fatal = [words for words, is_fatal in lacking if is_fatal]
    if fatal:
        return Finding("engine", name, "failed", "; ".join(fatal))
    problems = deployment.engines[name].probe()
    if problems is None:
        return Finding("engine", name, "ok", "has all it needs on this machine")
    found = list(problems)
    if found:
        return Finding("engine", name, "failed", "; ".join(found))
    return Finding("engine", name, "ok", "answers, takes the key and has the model")


def _sink(
    deployment: Deployment,
    clock: Clock,
    name: str,
    lacking: Sequence[tuple[str, bool]],
    *,
    sends: bool,
) -> Finding:
    config: SinkConfig = deployment.sinks[name]
    wrong = [words for words, is_fatal in lacking if is_fatal or config.is_file]
    if wrong:
        return Finding("sink", name, "failed", "; ".join(wrong))
    if config.is_file:
        return Finding("sink", name, "ok", "can be written; no test is added to it")
    context = sample_context(deployment, name)
    try:
        if not sends:
            words = config.probe(context)
            if words is None:
                return Finding("sink", name, "note", "is not tried; --send sends it a test")
            return Finding("sink", name, "ok", words)
        sink = config.build(context)
        try:
            sink.send([a_test(clock)])
        finally:
            sink.close()
    except SinkError as error:
        return Finding("sink", name, "failed", str(error))
    return Finding("sink", name, "ok", "has taken a test")


def a_test(clock: Clock) -> Event:
    """An event that says of itself that nothing has happened."""
    return Event(
        id=secrets.token_hex(13),
        type="test",
        phase="single",
        camera="",
        rule="test",
        at=clock.now(),
        data={"test": True, "message": "A test by `moonwatch doctor`: nothing has happened"},
    )


def _disks(deployment: Deployment) -> Sequence[Finding]:
    """The room on each disk that database and pictures are written to."""
    store = deployment.store
    found: dict[int, Finding] = {}
    for path in (store.file, store.media_folder):
        if path is None:
            continue
        there = next((p for p in (path.absolute(), *path.absolute().parents) if is_there(p)), None)
        if there is None:
            continue
        try:
            disk, device = os.statvfs(there), there.stat().st_dev
        except OSError as error:
            found[-1] = Finding(
                "disk", str(there), "note", f"{there} cannot be asked: {error.strerror}"
            )
            continue
        free, most = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        facts: dict[str, JsonValue] = {"free": free, "size": most}
        words = f"{free / 1e9:.1f} GB of {most / 1e9:.1f} GB are free where {there} is"
        state: FindingState = "ok"
        if most and free < _FULL_BYTES:
            words, state = f"{words}; free some space, or keep less with `store.keep`", "failed"
        found.setdefault(device, Finding("disk", str(there), state, words, facts))
    return list(islice(found.values(), 2))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
