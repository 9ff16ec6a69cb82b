"""What an operator sees of each disturbance: real runs, disturbed one after the other.

`moonwatch run` with the queue in memory, or one process for each stage with a real Redis between
them; a small HTTP camera, an RTSP camera with a wrong clock, a webhook. Each deployment is started,
waited for until `moonwatch status` says that all is well, disturbed, and asked what it says: log
(warnings and errors), events in the store, `/readyz`, metrics, `status` and its exit code. Where it
can be undone, it is, and it is noted whether `status` says that all is well again.

    python -m benchmarks.disturbances                   # all of them, a quarter of an hour
    python -m benchmarks.disturbances --only black      # those whose name has this word
    python -m benchmarks.disturbances --write           # and put the table into docs/operations.md

`offline_after` is 3 s here. As root, a disk is filled for real; elsewhere that row is left out.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.stores import StoreConfig
from pipeline.core.clock import SystemClock
from pipeline.core.errors import StoreError
from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.receiver import Receiver, receiving
from tests.connectors.sources.servers import free_port
from tests.redis_server import Server
from tests.runtime.clips import cut, written
from tests.wild.mjpeg_camera import MjpegCamera
from tests.wild.rtsp_camera import RtspCamera, encoded

PAGE = ROOT / "docs" / "operations.md"
BEGIN = "<!-- disturbances: begin; made by `python -m benchmarks.disturbances --write` -->"
END = "<!-- disturbances: end -->"
COLUMNS = ("log", "event", "`/readyz`", "metric", "`status`", "when it is over")
STAGES = ("deliver", "process", "infer", "sample")
WELL_S, SAID_S, OVER_S = 60.0, 30.0, 45.0
_WIDEST = 150


class Scene:
    """One deployment at work, in a folder of its own."""

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self.folder = folder
        self.shared = shared
        self.stack = ExitStack()
        self.camera = MjpegCamera()
        self.receiver: Receiver = self.stack.enter_context(receiving())
        self.redis: Server | None = None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.content: dict[str, Any] = {}
        self.file = folder / "deployment.yaml"

    def deployment(self, **more: Any) -> dict[str, Any]:
        """A door that opens and closes, asked about twice a second."""
        return {
            "version": 1,
            "site": {"name": "shop", "timezone": "UTC"},
            "store": {"url": f"sqlite:///{self.folder}/events.db"},
            "engines": {
                "fast": {"type": "scripted", "answers": {"door": ["no"] * 4 + ["yes"] * 4}}
            },
            "cameras": {
                "door": {
                    "source": {
                        "type": "http",
                        "url": self.camera.url,
                        "reconnect": {"first": "500ms", "most": "1s"},
                    },
                    "sample": {
                        "every": "500ms",
                        "offline_after": "3s",
                        "frozen": {"after": "4s"},
                        "black": {"after": "2s"},
                    },
                    "tasks": {"door": {"ask": "Is the door open?", "engine": "fast"}},
                    "rules": {"open": {"type": "condition", "of": "door", "is": "yes"}},
                }
            },
            "sinks": {"hook": {"type": "webhook", "url": self.receiver.url}},
            **more,
        }

    def start(self) -> None:
        """Start everything."""
        if self.shared:
            self.redis = self.redis or Server(("--save", "", "--appendonly", "no")).start()
            self.content["queue"] = {"type": "redis", "url": self.redis.url, "timeout": "1s"}
        written(self.folder, self.content)
        for stage in STAGES if self.shared else ("run",):
            self.begin(stage)

    def begin(self, stage: str, file: Path | None = None, name: str | None = None) -> None:
        """Start one process."""
        name = name or stage
        self.ports[name] = free_port()
        command = [sys.executable, "-m", "pipeline", stage, str(file or self.file)]
        command += ["--http", f":{self.ports[name]}", "--log-format", "json"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log
            )

    def kill(self, name: str) -> None:
        """End one as the kernel would."""
        self.processes[name].kill()
        self.processes[name].wait(10)

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        if self.redis is not None:
            self.redis.close()
        self.camera.stop()
        self.stack.close()

    def warned(self) -> list[str]:
        """Every warning and error in the logs, in order of time."""
        lines = []
        for path in sorted(self.folder.glob("*.log")):
            for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    line = json.loads(text)
                except ValueError:
                    lines.append(("~", text))
                    continue
                if line.get("level") in ("WARNING", "ERROR", "warning", "error"):
                    lines.append((str(line.get("at", line.get("time", ""))), line["message"]))
        return [message for _, message in sorted(lines)]

    def events(self) -> list[str]:
        """Every event about a camera, and how many of the rule."""
        try:
            store = StoreConfig(url=f"sqlite:///{self.folder}/events.db").build_reader(
                SystemClock()
            )
        except StoreError:
            return []
        try:
            kept = [one.event for one in store.events_after(0, 10_000)]
        except StoreError:
            return []
        finally:
            store.close()
        return [f"{one.type} ({one.phase})" for one in kept if one.rule == "camera"]

    def ready(self) -> dict[str, tuple[int, str]]:
        """What each process answers on `/readyz`; 0 where none does."""
        return {
            name: fetched(f"http://127.0.0.1:{port}/readyz") for name, port in self.ports.items()
        }

    def metrics(self) -> dict[str, float]:
        """What all processes measure, added up, and which of them answer."""
        found: dict[str, float] = {}
        for name, port in self.ports.items():
            code, text = fetched(f"http://127.0.0.1:{port}/metrics")
            found[f"up{{process={name}}}"] = float(code == 200)
            for line in text.splitlines():
                sample, _, value = line.rpartition(" ")
                if sample.startswith("moonwatch_") and "_bucket" not in sample:
                    found[sample] = found.get(sample, 0.0) + float(value)
        return found

    def status(self) -> tuple[int, dict[str, Any]]:
        """What `moonwatch status` says, and its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "status", str(self.file), "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout or "{}")


def fetched(url: str) -> tuple[int, str]:
    """Status and text of a page; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@dataclass(frozen=True)
class Disturbance:
    """One thing that goes wrong, how to make it, and how to undo it."""

    name: str
    make: Callable[[Scene], None]
    undo: Callable[[Scene], None] | None = None
    shared: bool = False
    """Whether each stage is a process of its own, with Redis between them."""
    prepare: Callable[[Scene], None] = lambda scene: None
    """Changes the deployment before it is started."""
    begins_well: bool = True
    metric: str = "moonwatch_camera_"
    """Which metrics to look at, as a pattern."""
    about: str = ""
    """Which log lines are meant, as a pattern."""
    empty: Mapping[str, str] = field(default_factory=dict)
    """Why a column does not apply."""


def _mood(mood: Any) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.camera.mood = mood

    return change


def _killed(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(name)


def _begun(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.begin(name)


def _refusing(scene: Scene) -> None:
    scene.receiver.always = 400


def _unavailable(scene: Scene) -> None:
    scene.receiver.always = 503


def _accepting(scene: Scene) -> None:
    scene.receiver.always = 200


def _sent_again(scene: Scene) -> None:
    scene.receiver.always = 200
    time.sleep(3.0)  # what is on its way is still refused
    _command("undelivered", "retry", str(scene.file), "--all")


def _command(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pipeline", *words], cwd=ROOT, capture_output=True, check=False
    )


def _stop_redis(scene: Scene) -> None:
    assert scene.redis is not None
    scene.redis.kill()


def _start_redis(scene: Scene) -> None:
    assert scene.redis is not None
    scene.redis.start()


def _full_redis(scene: Scene) -> None:
    assert scene.redis is not None
    client = scene.redis.client()
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] - 50_000))


def _evicting_redis(scene: Scene) -> None:
    assert scene.redis is not None
    client = scene.redis.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 50_000))


def _keeping_redis(scene: Scene) -> None:
    assert scene.redis is not None
    scene.redis.client().config_set("maxmemory-policy", "noeviction")
    scene.redis.client().config_set("maxmemory", "0")


def _wrong_clock(scene: Scene) -> None:
    camera = scene.stack.enter_context(RtspCamera(encoded("h264", 3000, 10, crf="40"), rate=10.0))
    scene.content["cameras"]["door"]["source"] = {"type": "rtsp", "url": camera.url()}


def _never_fresh(scene: Scene) -> None:
    scene.content["cameras"]["door"]["sample"]["stale_after"] = "0.1ms"


def _masked(scene: Scene) -> None:
    everything = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    scene.content["cameras"]["door"]["sample"]["masks"] = [everything]


def _soon_failing(scene: Scene) -> None:
    answers: list[Any] = ["no"] * 40
    scene.content["engines"]["fast"]["answers"]["door"] = [
        *answers,
        *[{"fail": "out of memory"}] * 2000,
    ]


def _too_fast(scene: Scene) -> None:
    scene.camera.rate = 40.0
    camera = scene.content["cameras"]["door"]
    camera["sample"]["every"] = "20ms"
    camera["tasks"] = {"people": {"detect": "person", "engine": "fast"}}
    camera["rules"] = {}
    scene.content["engines"]["fast"] = {"type": "coco"}


def _locked_store(scene: Scene) -> None:
    connection = sqlite3.connect(scene.folder / "events.db", timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    scene.stack.callback(connection.close)
    scene.unlock = connection.rollback  # type: ignore[attr-defined]


def _unlocked_store(scene: Scene) -> None:
    scene.unlock()  # type: ignore[attr-defined]


def _small_disk(scene: Scene) -> None:
    disk = scene.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    scene.stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
    scene.content["store"] = {"url": f"sqlite:///{disk}/events.db"}


def _full_disk(scene: Scene) -> None:
    with (scene.folder / "disk" / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass


def _free_disk(scene: Scene) -> None:
    (scene.folder / "disk" / "filler").unlink()


def _another_camera(scene: Scene) -> None:
    cameras = scene.content["cameras"]
    cameras["yard"] = json.loads(json.dumps(cameras["door"]))
    written(scene.folder, scene.content)
    scene.begin("sample", name="second sampler")


def _reload(scene: Scene) -> None:
    _command("reload", str(scene.file))


def _second_run(scene: Scene) -> None:
    scene.begin("run", name="second run")


def _second_run_gone(scene: Scene) -> None:
    scene.ports.pop("second run", None)


def _cut_recording(scene: Scene) -> None:
    whole = cut(scene.folder / "whole.mp4", 20.0)
    broken = scene.folder / "cut.mp4"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    scene.content["cameras"]["door"]["source"] = {"type": "file", "path": str(broken)}


def _pictures_wanted(scene: Scene) -> None:
    scene.content["cameras"]["door"]["rules"]["open"]["snapshot"] = True
    scene.content["store"]["media"] = str(scene.folder / "pictures")


def _no_folder(scene: Scene) -> None:
    shutil.rmtree(scene.folder / "pictures", ignore_errors=True)
    (scene.folder / "pictures").write_text("in the way")


def _folder_again(scene: Scene) -> None:
    (scene.folder / "pictures").unlink()


def _nothing(scene: Scene) -> None:
    del scene


_GONE = "whoever started the process logs its end: `moonwatch run`, systemd, a container engine"
_SECOND = "the second run ends at once with exit code 2; the first one is not affected and well"
_ENDED = "the run has ended with exit code 1, so nothing is measured any more"
_NO_EVENT = "no camera is concerned, so no event is raised"
_NO_STORE = "an event cannot be stored meanwhile; it is raised once the store responds"
_NO_JUDGE = "raised by the next processor, once there is one"
_NOT_UNDONE = "needs another file or engine, so there is nothing to undo at work"

DISTURBANCES = (
    Disturbance("camera unplugged", _mood("silent"), _mood("lively")),
    Disturbance(
        "camera refuses connections", lambda s: s.camera.stop(), lambda s: s.camera.start()
    ),
    Disturbance("camera wants another password", _mood("locked"), _mood("lively")),
    Disturbance("picture black", _mood("black"), _mood("lively")),
    Disturbance("picture frozen", _mood("frozen"), _mood("lively")),
    Disturbance(
        "camera's clock runs at 0.4 of its speed",
        _nothing,
        prepare=_wrong_clock,
        begins_well=False,
        empty={"when it is over": _NOT_UNDONE},
    ),
    Disturbance(
        "pictures too old when they arrive",
        _nothing,
        prepare=_never_fresh,
        begins_well=False,
        empty={"when it is over": _NOT_UNDONE},
    ),
    Disturbance(
        "masks cover the whole picture",
        _nothing,
        prepare=_masked,
        begins_well=False,
        empty={"when it is over": _NOT_UNDONE},
    ),
    Disturbance(
        "more frames than the engine can answer",
        _nothing,
        prepare=_too_fast,
        begins_well=False,
        empty={"when it is over": _NOT_UNDONE},
    ),
    Disturbance(
        "engine fails at every frame",
        _nothing,
        prepare=_soon_failing,
        begins_well=False,
        about="fail",
        empty={"when it is over": _NOT_UNDONE},
    ),
    Disturbance("worker killed", _killed("infer"), _begun("infer"), shared=True),
    Disturbance(
        "processor killed",
        _killed("process"),
        _begun("process"),
        shared=True,
        empty={"event": _NO_JUDGE},
    ),
    Disturbance(
        "sampler killed",
        _killed("sample"),
        _begun("sample"),
        shared=True,
        metric="up",
    ),
    Disturbance(
        "delivery killed",
        _killed("deliver"),
        _begun("deliver"),
        shared=True,
        metric="up|moonwatch_delivering",
        empty={"event": _NO_EVENT, "log": _GONE},
    ),
    Disturbance(
        "sink refuses events",
        _refusing,
        _sent_again,
        metric="undelivered",
        about="sink",
        empty={"event": _NO_EVENT},
    ),
    Disturbance(
        "sink answers 503",
        _unavailable,
        _accepting,
        metric="delivery_failures|sink_behind",
        about="sink",
        empty={"event": _NO_EVENT},
    ),
    Disturbance(
        "Redis stopped",
        _stop_redis,
        _start_redis,
        shared=True,
        metric="camera_well|queue away",
        empty={"event": "raised once Redis is back"},
    ),
    Disturbance(
        "Redis full",
        _full_redis,
        _keeping_redis,
        shared=True,
        metric="camera_well|queue away",
    ),
    Disturbance(
        "Redis evicts keys",
        _evicting_redis,
        _keeping_redis,
        shared=True,
        metric="camera_well|missing",
        about="maxmemory-policy",
        empty={
            "event": "raised if frames or results are lost long enough",
            "metric": "changes once frames or results are lost; Redis counts `evicted_keys` itself",
        },
    ),
    Disturbance(
        "store locked by another program",
        _locked_store,
        _unlocked_store,
        about="store",
        empty={"event": _NO_STORE},
    ),
    Disturbance(
        "store's disk full",
        _full_disk,
        _free_disk,
        prepare=_small_disk,
        about="store",
        empty={"event": _NO_STORE},
    ),
    Disturbance(
        "camera added without reload",
        _another_camera,
        _reload,
        shared=True,
        metric="unknown camera|camera_well",
        empty={"event": "the processor does not know the camera yet"},
    ),
    Disturbance(
        "second run on the same store",
        _second_run,
        _second_run_gone,
        metric="up",
        empty={"event": _NO_EVENT, "metric": _SECOND, "`status`": _SECOND},
    ),
    Disturbance(
        "recording cut off",
        _nothing,
        prepare=_cut_recording,
        begins_well=False,
        empty={"when it is over": "the run ends with the recording", "metric": _ENDED},
    ),
    Disturbance(
        "folder of pictures not writable",
        _no_folder,
        _folder_again,
        prepare=_pictures_wanted,
        metric="events_total",
        about="picture",
        empty={"event": _NO_EVENT},
    ),
)


@dataclass
class Row:
    """What was seen of one disturbance."""

    name: str
    cells: dict[str, str]


@contextmanager
def started(folder: Path, disturbance: Disturbance) -> Iterator[Scene]:
    """The deployment at work."""
    scene = Scene(folder, shared=disturbance.shared)
    try:
        scene.camera.start()
        scene.content = scene.deployment()
        disturbance.prepare(scene)
        scene.start()
        yield scene
    finally:
        scene.close()


def until(fact: Callable[[], bool], within_s: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def seen(disturbance: Disturbance) -> Row:
    """Start, disturb, look, undo."""
    folder = Path(tempfile.mkdtemp(prefix="moonwatch-disturbed-"))
    try:
        with started(folder, disturbance) as scene:
            if disturbance.begins_well and not until(lambda: scene.status()[0] == 0, WELL_S):
                raise SystemExit(f"{disturbance.name}: was never well: {scene.status()[1]}")
            before = set(scene.warned()), list(scene.events()), scene.metrics()
            disturbance.make(scene)
            row = Row(disturbance.name, {})
            until(lambda: _complete(scene, disturbance, before, row), SAID_S)
            _fill(scene, disturbance, before, row)
            row.cells["when it is over"] = _over(scene, disturbance)
            return row
    finally:
        shutil.rmtree(folder, ignore_errors=True)


Before = tuple[set[str], list[str], dict[str, float]]


def _complete(scene: Scene, disturbance: Disturbance, before: Before, row: Row) -> bool:
    _fill(scene, disturbance, before, row)
    return all(row.cells.get(c) or c in disturbance.empty for c in COLUMNS[:-1])


def _fill(scene: Scene, disturbance: Disturbance, before: Before, row: Row) -> None:
    """What is to be seen now; what was seen before stays where nothing has come since."""
    warnings, events, metrics = before
    new = [line for line in scene.warned() if line not in warnings]
    about = [line for line in new if re.search(disturbance.about, line)] or new
    camera = [line for line in about if line.startswith("camera door ")]
    code, status = scene.status()
    troubles = [one for one in status.get("troubles", ()) if "is not ready" not in one]
    troubles = troubles or list(status.get("troubles", ()))
    run = status.get("run") or {}
    words = troubles[0] if troubles else (run.get("state") or "")
    ready = []
    for name, (number, text) in scene.ready().items():
        if number != 200 or text.strip() != "ready":
            of = f" of `{name}`" if scene.shared else ""
            ready.append(f"{number or 'no answer'}{of}{': ' if text else ''}{text}")
    found = {
        "log": (camera or about or [""])[0],
        "event": ", ".join(dict.fromkeys(scene.events()[len(events) :])),
        "`/readyz`": (sorted(ready, key=_by_weight) or [""])[0],
        "metric": _changed(disturbance.metric, metrics, scene.metrics()),
        "`status`": f"{code}: {words}" if code else "",
    }
    for column, text in found.items():
        if text:
            row.cells[column] = _plain(text, scene)


def _by_weight(answer: str) -> tuple[bool, bool]:
    return not answer.startswith("503"), "camera door" not in answer


def _changed(pattern: str, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    names = [
        name
        for name in {**before, **after}
        if re.search(pattern, name)
        and "_created" not in name
        and after.get(name, 0.0) != before.get(name, 0.0)
    ]
    names += [
        name
        for name, value in after.items()
        if name not in names and name.startswith("moonwatch_camera_trouble") and value
    ]
    names += [n for n in after if n not in names and "camera_well" in n and not after[n]]
    wanted = sorted(dict.fromkeys(names), key=lambda n: ("well" not in n, "trouble" not in n, n))
    return ", ".join(f"{name} {after.get(name, 0.0):g}" for name in wanted[:2])


def _over(scene: Scene, disturbance: Disturbance) -> str:
    if disturbance.undo is None:
        return ""
    disturbance.undo(scene)
    if until(lambda: scene.status()[0] == 0, OVER_S):
        ends = [e for e in dict.fromkeys(scene.events()) if "(end)" in e]
        return ", ".join(["`status` 0", *ends])
    return _plain(f"still {scene.status()[1].get('troubles')}", scene)


def _plain(text: str, scene: Scene) -> str:
    """Without this machine's folders, ports and numbers; short enough for a table."""
    text = " ".join(text.split()).replace(str(scene.folder), "").replace("|", "/")
    text = text.replace(socket.gethostname(), "HOST")
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    text = re.sub(r"\((\d{2,})\)", "(PID)", text)
    text = re.sub(r"process \d+", "process PID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", "TIME", text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1].rsplit(" ", 1)[0] + " …"


def table(rows: Sequence[Row]) -> str:
    """As markdown, with a footnote for each reason why a cell does not apply."""
    notes: list[str] = []
    lines = [
        f"| disturbance | {' | '.join(COLUMNS)} |",
        f"|{'---|' * (len(COLUMNS) + 1)}",
    ]
    by_name = {disturbance.name: disturbance for disturbance in DISTURBANCES}
    for row in rows:
        cells = []
        for column in COLUMNS:
            text, reason = row.cells.get(column, ""), by_name[row.name].empty.get(column)
            if not text and reason is not None:
                if reason not in notes:
                    notes.append(reason)
                text = f"— ({notes.index(reason) + 1})"
            cells.append(text)
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"({n}) {note}.  " for n, note in enumerate(notes, 1))])


def _known(path: Path | None) -> dict[str, Row]:
    if path is None or not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {cells["disturbance"]: Row(cells.pop("disturbance"), cells) for cells in found}


def main() -> int:
    """Print the table, or put it into the manual."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those whose name has this")
    parser.add_argument("--rows", type=Path, help="keep what was seen here; do not make it again")
    parser.add_argument("--write", action="store_true", help="put the table into the manual")
    asked = parser.parse_args()
    rows = []
    known = _known(asked.rows)
    for disturbance in DISTURBANCES:
        if asked.only not in disturbance.name:
            continue
        if disturbance.prepare is _small_disk and os.geteuid() != 0:
            continue
        row = known.get(disturbance.name)
        if row is None:
            row = seen(disturbance)
            line = json.dumps({"disturbance": row.name, **row.cells}, ensure_ascii=False)
            print(line, flush=True)
            if asked.rows is not None:
                with asked.rows.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
        rows.append(row)
    made = table(rows)
    print(made)
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
