"""Memory of `moonwatch run` over an hour's worth of frames: it must not grow.

Usage: python -m benchmarks.memory [--frames 7200] [--every 500ms]

The bundled clip is played in a loop at full speed through the whole pipeline (decoding, the coco
engine, tracking, four rules, SQLite, a JSON lines file) in a process of its own. Its resident
memory is read from /proc as frames are judged, which the store's checkpoint tells. The table shows
it at each tenth; the slope is fitted over the second half, after caches and pools have filled.
"""

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

LOOK_S = 1.0
OVERRIDES = ("cameras.plaza.source.loop=true", "store.keep=365d")


def main() -> None:
    """Run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=7200)
    parser.add_argument("--every", default="500ms")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moonwatch-memory-") as folder:
        seen = list(measured(Path(folder), arguments.every, arguments.frames))
    frames = np.array([frame for frame, _ in seen], float)
    megabytes = np.array([rss for _, rss in seen])
    print("| frames | resident MB |\n|---|---|")
    for tenth in range(1, 11):
        nearest = int(np.abs(frames - arguments.frames * tenth / 10).argmin())
        print(f"| {frames[nearest]:.0f} | {megabytes[nearest]:.1f} |")
    later = frames > arguments.frames / 2
    slope = np.polyfit(frames[later], megabytes[later], 1)[0] * 1000
    print(f"\nslope over the second half: {slope:+.3f} MB per 1000 frames")


def measured(folder: Path, every: str, frames: int) -> Iterator[tuple[int, float]]:
    """(frames judged, resident MB) once a second until enough frames are judged."""
    own = [
        *OVERRIDES,
        f"cameras.plaza.sample.every={every}",
        f"store.url=sqlite:///{folder}/events.db",
        f"sinks.events.path={folder}/events.jsonl",
    ]
    options = [part for override in own for part in ("--set", override)]
    command = [sys.executable, "-m", "pipeline", "run", "configs/demo.yaml", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        judged = 0
        while judged < frames and process.poll() is None:
            time.sleep(LOOK_S)
            judged = judged_in(folder / "events.db")
            if judged:
                yield judged, resident_mb(process.pid)
        process.send_signal(signal.SIGTERM)


def judged_in(database: Path) -> int:
    """How far the camera was judged, by its checkpoint."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            row = connection.execute("SELECT max(ordinal) FROM moonwatch_checkpoints").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(json.loads(str(row[0]))) if row and row[0] is not None else 0


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
