"""Kill anything: the clip through separate processes, one of which is killed every second.

Sampler, two workers, two processors, delivery into a webhook server, and Redis with AOF between
them. Every second one of the seven, chosen at random, gets SIGKILL and is started again. In the end
events (ids and data), minutes of counts and what the webhook was sent must equal those of an
undisturbed run in one process.

With --redis-away, Redis is gone for so long as well, once, soon after the start.

    python -m benchmarks.chaos --seconds 20 --every 500ms --seed 1
    python -m benchmarks.chaos --seconds 20 --kill-every 1000 --redis-away 30

Method, hardware and figures: benchmarks/chaos.md
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.architecture.source_tree import ROOT
from tests.connectors.sinks.receiver import Receiver, receiving
from tests.redis_server import Server
from tests.runtime.clips import camera, cut, deployment, written
from tests.runtime.fleet import DURABLE, Fleet, Found, found, wait_for

CAMERAS = ("plaza", "yard")
LANES = [(name, "coco") for name in CAMERAS]


@dataclass(frozen=True)
class Setting:
    """What is played and how it is disturbed."""

    clip: Path
    every: str
    kill_every_s: float
    seed: int
    patience_s: float
    redis_away_s: float = 0.0


def content(folder: Path, setting: Setting, url: str, **more: Any) -> dict[str, Any]:
    """The deployment: two cameras on the clip, one webhook, pictures to the last bit."""
    cameras = {name: camera(setting.clip, every=setting.every) for name in CAMERAS}
    made = deployment(folder, cameras, **more)
    made["sinks"] = {"hook": {"type": "webhook", "url": url}}
    return made


def undisturbed(folder: Path, setting: Setting) -> tuple[Found, set[str], float]:
    """All stages in one process, nobody is killed."""
    began = time.monotonic()
    with receiving() as receiver:
        file = written(folder, content(folder, setting, receiver.url))
        command = [sys.executable, "-m", "pipeline", "run", str(file), "--json"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return found(folder, LANES), set(receiver.accepted), time.monotonic() - began


@contextmanager
def redis() -> Iterator[Server]:
    """A Redis that forgets nothing when it is killed."""
    server = Server(DURABLE).start()
    try:
        yield server
    finally:
        server.close()


def disturbed(folder: Path, setting: Setting) -> tuple[Found, Receiver, Counter[str], float]:
    """Separate processes, one of which is killed every `kill_every_s`."""
    began = time.monotonic()
    with redis() as server, receiving() as receiver:
        queue = {
            "type": "redis",
            "url": server.url,
            "lossless": True,  # the run in one process has pixels that never were a JPEG
            "visibility": "4s",  # a killed worker's frames come to the other one after this
            "max_attempts": 1000,  # who is killed at random is not to blame for it
            "keep_pictures": "10m",
        }
        file = written(folder, content(folder, setting, receiver.url, queue=queue))
        fleet = Fleet(file, server).start()
        try:
            _take_away(fleet, setting)
            kills = _disturb(fleet, setting, began)
            _await_hook(folder, receiver)
        finally:
            print(fleet.stop(), file=sys.stderr)
            fleet.kill_all()
        return found(folder, LANES), receiver, kills, time.monotonic() - began


def _take_away(fleet: Fleet, setting: Setting) -> None:
    """Redis is gone for a while, in the middle of the work; nobody may end of it."""
    if not setting.redis_away_s:
        return
    database = fleet.file.parent / "events.db"
    wait_for(lambda: database.exists() and bool(found(database.parent).events), 120, fleet.said)
    fleet.server.kill()
    time.sleep(setting.redis_away_s)
    fleet.server.start()
    assert not any(member.has_ended for member in fleet.members.values()), fleet.said()
    for member in fleet.members.values():
        times = member.said().count("is out of reach")
        print(f"{member.name} said {times} times that redis is away", file=sys.stderr)


def _disturb(fleet: Fleet, setting: Setting, began: float) -> Counter[str]:
    """Kill and start again until everything is judged; how often each was killed."""
    chance = random.Random(setting.seed)
    kills: Counter[str] = Counter()
    kill_at = time.monotonic() + setting.kill_every_s
    while time.monotonic() - began < setting.patience_s:
        time.sleep(min(1.0, setting.kill_every_s))
        for member in fleet.members.values():
            member.done = member.done or member.has_ended
        if _is_judged(fleet.file.parent):
            wait_for(lambda: fleet.of("sample")[0].has_ended, 120, fleet.said)
            return kills
        if time.monotonic() < kill_at:
            continue
        kill_at = time.monotonic() + setting.kill_every_s
        alive = [name for name, member in fleet.members.items() if not member.done]
        name = chance.choice([*alive, "redis"])
        kills[name.rstrip("0123456789")] += 1
        if name == "redis":
            fleet.server.kill()
            fleet.server.start()
        else:
            fleet.members[name].kill()
            fleet.members[name].start()
    raise SystemExit(f"not judged to the end within {setting.patience_s:g} s\n{fleet.said()}")


def _is_judged(folder: Path) -> bool:
    return found(folder, LANES).ended == set(LANES)


def _await_hook(folder: Path, receiver: Receiver) -> None:
    """Delivery is not killed any more: everything that is kept arrives."""
    wanted = set(found(folder).events)
    deadline = time.monotonic() + 60
    while not set(receiver.accepted) >= wanted and time.monotonic() < deadline:
        time.sleep(0.1)


def main() -> None:
    """Play, disturb, compare; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the clip")
    parser.add_argument("--every", default="500ms", help="a frame of each camera")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis-away", type=float, default=0.0, help="seconds")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds")
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="moonwatch-chaos-"))
    clip = cut(base / "clip.mp4", given.seconds)
    times = (given.kill_every, given.seed, given.patience, given.redis_away)
    setting = Setting(clip, given.every, *times)
    calm, calm_hook, calm_s = undisturbed(base / "calm", setting)
    wild, receiver, kills, wild_s = disturbed(base / "wild", setting)
    wild_hook = Counter(receiver.accepted)
    rows = {
        "undisturbed: seconds": round(calm_s, 1),
        "disturbed: seconds": round(wild_s, 1),
        "kills": sum(kills.values()),
        "kills by process": dict(kills),
        "events": len(calm.events),
        "events equal, ids and data": calm.events == wild.events,
        "minutes of counts equal": calm.buckets == wild.buckets,
        "webhook: events": len(wild_hook),
        "webhook: ids equal": set(wild_hook) == calm_hook,
        "webhook: sent more than once": sum(n > 1 for n in wild_hook.values()),
    }
    print(json.dumps(rows, indent=2))
    equal = [name for name, value in rows.items() if value is False]
    if equal:
        _say_difference(calm, wild)
        raise SystemExit(f"differs: {', '.join(equal)}; see {base}")
    shutil.rmtree(base, ignore_errors=True)


def _say_difference(calm: Found, wild: Found) -> None:
    for record in sorted(calm.events.keys() | wild.events.keys()):
        ours, theirs = calm.events.get(record), wild.events.get(record)
        if ours != theirs:
            print(f"undisturbed: {ours}\ndisturbed:   {theirs}", file=sys.stderr)


if __name__ == "__main__":
    main()
