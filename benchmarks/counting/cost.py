"""Processor time of tracker and rules over a crowd, beside that of another commit."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.synthetic import Crowd, Noise, make

ROOT = Path(__file__).parents[2]
PEOPLE = (10, 50, 100, 200)
FPS = 5
MOST = 1.5
"""Times the processor time of the other commit."""
PATIENCE_S = 300.0

Spent = dict[str, float]


def cost(against: str | None, people: Sequence[int] = PEOPLE, rounds: int = 5) -> Section:
    """Milliseconds a look; with another commit, both in alternating rounds."""
    with tempfile.TemporaryDirectory() as folder:
        roots = [ROOT]
        if against is not None:
            _unpack(against, Path(folder))
            roots.append(Path(folder))
        rows, ratios = [], {}
        for number in people:
            looks = _crowd(number)
            spent = [[_spent(root, looks) for root in roots] for _ in range(rounds)]
            ours = [_median(spent, 0, part) for part in ("tracker", "rules")]
            row = [str(number), *(f"{value * 1e3:.2f}" for value in ours)]
            if against is not None:
                theirs = [_median(spent, 1, part) for part in ("tracker", "rules")]
                row += [f"{value * 1e3:.2f}" for value in theirs]
                ratio = median(sum(a.values()) / sum(b.values()) for a, b in spent)
                ratios[number] = ratio
                row.append(f"{ratio:.2f}")
            rows.append(row)
    head = ["people", "tracker, ms a look", "a line and a zone, ms"]
    if against is None:
        return Section("cost", table(head, rows))
    head += [f"tracker at {against}", f"rules at {against}", "together, ratio"]
    goal = Goal(
        f"processor time of tracker and rules ≤ {MOST:g} × that of {against}",
        ", ".join(f"{ratio:.2f} × at {number} people" for number, ratio in ratios.items()),
        all(ratio <= MOST for ratio in ratios.values()),
    )
    return Section("cost", table(head, rows), (goal,))


def _median(spent: Sequence[Sequence[Spent]], which: int, part: str) -> float:
    return median(one[which][part] for one in spent)


def _crowd(people: int) -> str:
    scene = make(Crowd(people), Noise(jitter=0.02, miss=0.05), seed=1)
    looks = [(look.at, look.boxes, look.scores) for look in scene.looks("detected", FPS)]
    return json.dumps({"aspect": scene.aspect, "every_s": 1 / FPS, "looks": looks})


def _spent(root: Path, looks: str) -> Spent:
    """Seconds a look that the package in a folder takes."""
    script = Path(__file__).with_name("stopwatch.py")
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    # -P: this script's folder is not on the path, so the package in `root` is the one imported.
    done = subprocess.run(
        [sys.executable, "-P", str(script)],
        input=looks,
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"timing the package in {root} failed: {done.stderr.strip()[-500:]}")
    spent: Spent = json.loads(done.stdout)
    return spent


def _unpack(commit: str, folder: Path) -> None:
    """The package as it was at a commit."""
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit, "pipeline", "connectors"],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"there is no commit {commit!r} here: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
