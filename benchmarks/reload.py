"""Edit anything: a scaled-out run whose file changes again and again, while processes are killed.

Six recordings at the pace of their time, each stage a process of its own over Redis. Every few
seconds the file gets a random edit and `moonwatch reload`: a camera is added, removed or renamed, a
line moves, a limit changes, a sink comes or goes, or the file is broken. Every 20 s one process,
chosen at random, gets SIGKILL. Three of the cameras are never touched: in the end their events (ids
and data) and minutes must equal those of an undisturbed run in one process, each event must be in
the sink's file once, and every edit must have been acknowledged by all, or refused with a sentence.

    python -m benchmarks.reload --seconds 600 --seed 1

Method, hardware and figures: benchmarks/reload.md
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import yaml

from connectors.stores import StoreConfig
from pipeline.core.events import event_to_json
from tests.architecture.source_tree import ROOT
from tests.redis_server import Server
from tests.runtime.clips import CLIP, LINES, STARTS_AT, ZONES, deployment, written
from tests.runtime.fleet import DURABLE

UNTOUCHED = ("north", "east", "south")
EDITED = ("west", "yard", "hall")


def long_clip(path: Path, seconds: float) -> Path:
    """The bundled clip over and over, packet by packet, for so many seconds."""
    with av.open(str(path), "w") as target:
        shift_s = 0.0
        copy = None
        while shift_s < seconds:
            with av.open(str(CLIP)) as source:
                video = source.streams.video[0]
                if copy is None:
                    copy = target.add_stream_from_template(video)
                length_s = float((video.duration or 0) * (video.time_base or 0))
                for packet in source.demux(video):
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    if shift_s + packet.pts * packet.time_base >= seconds:
                        continue
                    ticks = round(shift_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    packet.stream = copy
                    target.mux(packet)
                shift_s += length_s
    return path


def camera(clip: Path, every: str, *, speed: str) -> dict[str, Any]:
    """What is asked and concluded can be told of each frame alone, whoever answers it and when."""
    source = {"type": "file", "path": str(clip), "starts_at": STARTS_AT, "speed": speed}
    return {
        "source": source,
        "sample": {"every": every},
        "tasks": {"people": {"detect": "person"}, "number": {"count": "person"}},
        "lines": dict(LINES),
        "zones": ZONES,
        "rules": {
            "middle": {"type": "line_crossing", "of": "people", "line": "middle"},
            "crowd": {"type": "occupancy", "of": "people", "more_than": 2},
            "stay": {"type": "dwell", "of": "people", "zone": "crossroads", "longer_than": "5s"},
            "many": {"type": "count", "of": "number", "more_than": 5},
        },
    }


@dataclass
class Editor:
    """Changes the file at random, and knows what must come of it."""

    folder: Path
    content: dict[str, Any]
    every: str
    clip: Path
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    names: int = 0

    def fresh_name(self) -> str:
        """A name that no camera has had."""
        self.names += 1
        return f"camera-{self.names}"

    def edit(self) -> tuple[str, int]:
        """Change the file; what was done, and the exit code that `reload` must end with."""
        cameras: dict[str, Any] = self.content["cameras"]
        edited = [name for name in cameras if name not in UNTOUCHED]
        kinds = ["add", "line", "limit", "sink", "break", "nothing"]
        kinds += ["remove", "rename"] if len(edited) > 1 else []
        kind = self.chance.choice(kinds)
        if kind == "add" and len(edited) >= 4:
            kind = "line"
        match kind:
            case "add":
                cameras[self.fresh_name()] = camera(self.clip, self.every, speed="realtime")
            case "remove":
                del cameras[self.chance.choice(edited)]
            case "rename":
                cameras[self.fresh_name()] = cameras.pop(self.chance.choice(edited))
            case "line":
                x = round(self.chance.uniform(0.3, 0.7), 3)
                of = cameras[self.chance.choice(edited)]
                of["lines"] = {**of["lines"], "middle": {"from": [x, 0.2], "to": [x, 1.0]}}
            case "limit":
                of = cameras[self.chance.choice(edited)]
                limit = self.chance.randint(0, 6)
                of["rules"] = {**of["rules"], "crowd": {**of["rules"]["crowd"], "more_than": limit}}
            case "sink":
                if "second" in self.content["sinks"]:
                    del self.content["sinks"]["second"]
                else:
                    path = str(self.folder / "second.jsonl")
                    self.content["sinks"]["second"] = {"type": "jsonl", "path": path}
            case "break":
                text = yaml.safe_dump(self.content, sort_keys=False)
                broken = self.chance.choice(
                    (
                        text.replace("more_than", "more_then"),
                        text + "\n  : [",
                        text.replace("line_crossing", "line_crosing"),
                        text.replace("line: middle", "line: muddle"),
                        "",
                    )
                )
                (self.folder / "deployment.yaml").write_text(broken, encoding="utf-8")
                self.done[kind] += 1
                return kind, 2
        written(self.folder, self.content)
        self.done[kind] += 1
        return kind, 0


@dataclass(frozen=True)
class Found:
    """What is known of the cameras that nobody touches."""

    events: dict[str, str]
    minutes: dict[tuple[str, str, int], Any]


def found(folder: Path) -> Found:
    """What the store of a folder holds of them."""
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build_reader()
    try:
        events = {
            stored.event.record_id: event_to_json(stored.event)
            for stored in store.events_after(0, 10_000_000)
            if stored.event.camera in UNTOUCHED and stored.event.rule != "camera"
        }
        minutes = {
            (bucket.camera, bucket.rule, bucket.minute): bucket
            for bucket in store.history.buckets()
            if bucket.camera in UNTOUCHED
        }
        return Found(events, minutes)
    finally:
        store.close()


def ended(folder: Path) -> bool:
    """Whether the untouched cameras are judged to their end."""
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build_reader()
    try:
        points = [store.checkpoint(name, "coco") for name in UNTOUCHED]
        return all(point is not None and point.ended for point in points)
    finally:
        store.close()


def moonwatch(*words: str) -> "subprocess.CompletedProcess[str]":
    """One command, to its end."""
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def undisturbed(folder: Path, clip: Path, every: str) -> Found:
    """The untouched cameras alone, as fast as it goes, in one process."""
    cameras = {name: camera(clip, every, speed="max") for name in UNTOUCHED}
    file = written(folder, deployment(folder, cameras))
    done = moonwatch("run", str(file), "--json")
    if done.returncode:
        raise SystemExit(f"the undisturbed run failed: {done.stderr}")
    return found(folder)


def kill_one(file: Path, run: int, chance: random.Random) -> str | None:
    """Kill one of the processes at work but the run itself; which stage it was."""
    status = json.loads(moonwatch("status", str(file), "--json").stdout)
    victims = [one for one in status["processes"] if one["pid"] != run]
    if not victims:
        return None
    victim = chance.choice(victims)
    os.kill(victim["pid"], signal.SIGKILL)
    return str(victim["stage"])


def edit_once(editor: Editor, file: Path, answers: Counter[str]) -> str | None:
    """One edit, and what went wrong with it."""
    kind, wanted = editor.edit()
    done = moonwatch("reload", str(file), "--json")
    answers[f"{kind}: {done.returncode}"] += 1
    if kind == "break":
        written(editor.folder, editor.content)
    if done.returncode != wanted:
        said = (done.stdout + done.stderr)[-2000:]
        return f"{kind}: reload ended with {done.returncode}: {said}"
    if wanted == 2 and not done.stderr.strip():
        return f"{kind}: refused without a sentence"
    return None


def disturbed(folder: Path, clip: Path, options: argparse.Namespace) -> tuple[Found, list[str]]:
    """All cameras, at their pace, edited and killed; what was found, and what went wrong."""
    chance = random.Random(options.seed)
    wrong: list[str] = []
    server = Server(DURABLE).start()
    queue = {
        "type": "redis",
        "url": server.url,
        "lossless": True,
        "visibility": "10s",
        "max_attempts": 1000,
        "keep_pictures": "10m",
    }
    names = (*UNTOUCHED, *EDITED)
    cameras = {name: camera(clip, options.every, speed="realtime") for name in names}
    content = deployment(folder, cameras, queue=queue)
    file = written(folder, content)
    editor = Editor(folder, content, options.every, clip, chance)
    log = (folder / "run.log").open("w", encoding="utf-8")
    kills: Counter[str] = Counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(file)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    began = time.monotonic()
    next_kill = began + options.kill_every
    answers: Counter[str] = Counter()
    try:
        while (
            not (folder / "events.db").exists()
            or json.loads(moonwatch("status", str(file), "--json").stdout or '{"processes": []}')[
                "processes"
            ]
            == []
        ):
            time.sleep(1.0)
        while time.monotonic() - began < options.seconds + 600:
            if time.monotonic() - began > options.seconds and ended(folder):
                break
            if process.poll() is not None:
                wrong.append(f"run ended with {process.returncode}")
                break
            turn = time.monotonic()
            if time.monotonic() - began < options.seconds:
                trouble = edit_once(editor, file, answers)
                wrong += [trouble] if trouble else []
            if time.monotonic() >= next_kill and time.monotonic() - began < options.seconds:
                next_kill = time.monotonic() + options.kill_every
                killed = kill_one(file, process.pid, chance)
                kills.update([killed] if killed else [])
            time.sleep(max(0.0, options.edit_every - (time.monotonic() - turn)))
        process.terminate()
        code = process.wait(120)
        if code:
            wrong.append(f"run ended with {code}")
    finally:
        process.kill()
        server.close()
        log.close()
    said = (folder / "run.log").read_text(encoding="utf-8")
    restarts = said.count("starting it again")
    print(f"edits: {dict(editor.done)}; answers: {dict(answers)}", file=sys.stderr)
    print(f"kills: {dict(kills)}; restarts: {restarts}", file=sys.stderr)
    if restarts > sum(kills.values()):
        wrong.append(
            f"{restarts} restarts for {sum(kills.values())} kills: a process ended by itself"
        )
    if "Traceback" in said:
        wrong.append("a traceback is in the log")
    return found(folder), wrong


def doubled(folder: Path) -> int:
    """How many lines of the sink's file are there again."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    ids = Counter(json.loads(line)["id"] for line in lines)
    return sum(count - 1 for count in ids.values())


def lacking(folder: Path, events: dict[str, str]) -> int:
    """How many events of the untouched cameras the sink's file lacks."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return len(events.keys() - {json.loads(line)["id"] for line in lines})


def main() -> None:
    """Print what equals and what does not; exit with 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", default="5s")
    parser.add_argument("--edit-every", type=float, default=5.0)
    parser.add_argument("--kill-every", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moonwatch-reload-") as name:
        folder = Path(name)
        clip = long_clip(folder / "clip.mp4", options.seconds)
        calm = undisturbed(folder / "calm", clip, options.every)
        print(f"undisturbed: {len(calm.events)} events, {len(calm.minutes)} minutes")
        rough, wrong = disturbed(folder / "rough", clip, options)
        rows: tuple[tuple[str, dict[Any, Any], dict[Any, Any]], ...] = (
            ("events of untouched cameras", calm.events, rough.events),
            ("minutes of untouched cameras", calm.minutes, rough.minutes),
        )
        failed = bool(wrong)
        for what, expected, got in rows:
            lost = expected.keys() - got.keys()
            more = got.keys() - expected.keys()
            other = {key for key in expected.keys() & got.keys() if expected[key] != got[key]}
            failed = failed or bool(lost or more or other)
            print(f"{what}: {len(got)} of {len(expected)}", end="")
            print(f", lost {len(lost)}, extra {len(more)}, other {len(other)}")
            for key in sorted([*lost, *more, *other], key=str)[:5]:
                print(f"  {key}: {dict(expected).get(key)} | {dict(got).get(key)}")
        twice, missing = doubled(folder / "rough"), lacking(folder / "rough", rough.events)
        print(f"sink: {twice} sent twice, {missing} not sent")
        failed = failed or missing > 0
        for sentence in wrong:
            print(f"  {sentence}")
        print("all equal" if not failed else "NOT EQUAL")
        if failed:
            (ROOT / "out").mkdir(exist_ok=True)
            log = folder / "rough" / "run.log"
            (ROOT / "out" / "reload.log").write_text(log.read_text(encoding="utf-8"))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
