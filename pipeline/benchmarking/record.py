"""The record of a run: a line of JSON for the settings, and one for each answer.

A line is written as soon as its answer is there, so a run that is killed goes on from the last one.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from pipeline.benchmarking.items import BenchmarkError, Json

FORMAT = "moonwatch-benchmark/1"


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """An item that was answered. `at_s` are seconds since its session began."""

    id: str
    seed: int
    picture: str
    parts: tuple[str, ...]
    prompt: str
    answer: Mapping[str, Json]
    gold: Mapping[str, Json]
    score: Mapping[str, float]
    ms: float
    session: int
    at_s: float

    @classmethod
    def from_json(cls, line: Mapping[str, Json]) -> Self:
        """Read one back; raises TypeError or KeyError."""
        return cls(**{**line, "parts": tuple(line["parts"])})


class RunRecord:
    """The answers so far, in memory and, where it has a file, on disk."""

    def __init__(self, settings: Mapping[str, Json], file: IO[bytes] | None = None) -> None:
        self.settings = settings
        self.answers: dict[tuple[int, str], AnswerRecord] = {}
        self.taken_up = 0
        self.session = 1
        self._file = file
        self._began = time.monotonic()

    def add(self, answer: AnswerRecord) -> None:
        """Keep an answer, and write it before anything else happens."""
        self.answers[answer.seed, answer.id] = answer
        if self._file is not None:
            self._file.write(_line(asdict(answer)))
            self._file.flush()

    @property
    def at_s(self) -> float:
        """Seconds since this session began."""
        return round(time.monotonic() - self._began, 3)

    def begin(self) -> None:
        """Start the clock of this session: what is loaded by now does not count."""
        self._began = time.monotonic()

    def take_up(self, answers: Iterator[AnswerRecord]) -> None:
        """Go on after the answers of an earlier session."""
        for answer in answers:
            self.answers[answer.seed, answer.id] = answer
            self.session = max(self.session, answer.session + 1)
        self.taken_up = len(self.answers)


@contextmanager
def open_record(path: Path | None, settings: Mapping[str, Json]) -> Iterator[RunRecord]:
    """The record at a path, new or to be gone on with; without a path it is not kept.

    Raises BenchmarkError where another run has it, or where it was made with other settings.
    """
    settings = json.loads(json.dumps(settings))
    if path is None:
        yield RunRecord(settings)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchmarkError(
                f"{path} is being written by another run; wait for it or give another --out"
            ) from None
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):  # cut short when the run was killed
            lines.pop()
        file.truncate(sum(map(len, lines)))
        file.seek(0, os.SEEK_END)
        record = RunRecord(settings, file)
        if lines:
            _check_settings(path, _read(path, 1, lines[0]), settings)
            record.take_up(_answers(path, lines))
        else:
            file.write(_line({"format": FORMAT, "settings": settings}))
            file.flush()
        try:
            yield record
        except OSError as error:
            raise BenchmarkError(f"{path} cannot be written: {error}") from error


def _line(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _read(path: Path, number: int, line: bytes) -> Mapping[str, Json]:
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise BenchmarkError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise BenchmarkError(f"{path}, line {number} is not an object")
    return value


def _answers(path: Path, lines: list[bytes]) -> Iterator[AnswerRecord]:
    for number, line in enumerate(lines[1:], 2):
        value = _read(path, number, line)
        try:
            yield AnswerRecord.from_json(value)
        except (TypeError, KeyError) as error:
            raise BenchmarkError(f"{path}, line {number} is not an answer: {error}") from error


def _check_settings(path: Path, head: Mapping[str, Json], now: Mapping[str, Json]) -> None:
    then = head.get("settings")
    if head.get("format") != FORMAT or not isinstance(then, Mapping):
        raise BenchmarkError(
            f"{path} is not the record of a benchmark of this version; give another --out"
        )
    other = [
        f"{key} {_shown(then.get(key))}, now {_shown(now.get(key))}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    if other:
        raise BenchmarkError(
            f"{path} was begun with other settings ({'; '.join(other)}); give the same ones to go "
            "on with it, or another --out"
        )


def _shown(value: Json) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
