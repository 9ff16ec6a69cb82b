"""Processor time of tracker and rules over a crowd, beside that of another commit."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Self

from benchmarks.counting.page import Goal, Section, table
from benchmarks.counting.synthetic import Crowd, Noise, make

ROOT = Path(__file__).parents[2]
PEOPLE = (10, 50, 100, 200)
FPS = 5
MOST = 1.5
"""Times the processor time of the other commit."""
PATIENCE_S = 300.0
WARM_SHARE = 0.25
"""So many of the first looks are not counted."""
PARTS = ("tracker", "a line", "a zone")

Pass = list[list[float]]
"""Seconds of each part, for each look of a pass over the crowd."""


def cost(against: str | None, people: Sequence[int] = PEOPLE, rounds: int = 9) -> Section:
    """Milliseconds a look; with another commit, both in alternating rounds.

    Every look counts with the least time that it took in any round: the work is the same each time,
    and whatever else runs on the machine can only add to it.
    """
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as folder:
        roots = [ROOT]
        if against is not None:
            _unpack(against, Path(folder))
            roots.append(Path(folder))
        for number in people:
            looks = _crowd(number)
            with ExitStack() as stack:
                watches = [stack.enter_context(Stopwatch(root, looks)) for root in roots]
                passes: list[list[Pass]] = [[] for _ in watches]
                for turn in range(rounds):
                    pairs = list(zip(watches, passes, strict=True))
                    for watch, spent in pairs if turn % 2 else reversed(pairs):
                        spent.append(watch.time())
            each = [_least(spent) for spent in passes]
            for index, part in enumerate((*PARTS, "together")):
                row = [str(number), part, *(f"{spent[index]:.2f}" for spent in each)]
                if against is not None:
                    ratios[number] = each[0][index] / each[1][index]
                    row.append(f"{ratios[number]:.2f}")
                rows.append(row)
    head = ["people", "", "ms a look"]
    if against is None:
        return Section("cost", table(head, rows))
    head += [f"at {against}", "ratio"]
    goal = Goal(
        f"processor time of tracker and rules ≤ {MOST:g} × that of {against}",
        ", ".join(f"{ratio:.2f} × at {number} people" for number, ratio in ratios.items()),
        all(ratio <= MOST for ratio in ratios.values()),
    )
    return Section("cost", table(head, rows), (goal,))


class Stopwatch:
    """Times the package in a folder, in a process of its own."""

    def __init__(self, root: Path, looks: str) -> None:
        script = Path(__file__).with_name("stopwatch.py")
        self._root = root
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        # -P: the script's folder is not on the path, so the package in `root` is the one imported.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
            cwd=root,
            text=True,
        )
        self._looks: str | None = looks

    def time(self) -> Pass:
        """Show it the looks once more."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        alarm = Timer(PATIENCE_S, self._process.kill)
        alarm.start()
        try:
            if self._looks is not None:
                stdin.write(f"{self._looks}\n")
                self._looks = None
            stdin.write("\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            alarm.cancel()
        if not answer:
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip()[-500:] or f"no answer within {PATIENCE_S:g} s"
            raise RuntimeError(f"timing the package in {self._root} failed: {said}")
        spent: Pass = json.loads(answer)
        return spent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def _least(passes: Sequence[Pass]) -> list[float]:
    """Milliseconds a look of each part and of all together."""
    looks = [[min(times) for times in zip(*same, strict=True)] for same in _by_look(passes)]
    looks = looks[int(len(looks) * WARM_SHARE) :]
    parts = [1e3 * sum(times) / len(looks) for times in zip(*looks, strict=True)]
    return [*parts, sum(parts)]


def _by_look(passes: Sequence[Pass]) -> list[tuple[list[float], ...]]:
    return list(zip(*passes, strict=True))


def _crowd(people: int) -> str:
    scene = make(Crowd(people), Noise(jitter=0.02, miss=0.05), seed=1)
    looks = [(look.at, look.boxes, look.scores) for look in scene.looks("detected", FPS)]
    return json.dumps({"aspect": scene.aspect, "every_s": 1 / FPS, "looks": looks})


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
