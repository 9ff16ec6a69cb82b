"""Runs sections one after the other within a budget, and keeps the file true after each.

Knows nothing of what a section measures.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.gpu.bench import NO_TIME, Bench, Json

# A section starts only if this share of its time is left, and ends with what it had so far.
LEAST_SHARE = 0.5

Clock = Callable[[], float]


class Allowance:
    """The time a section may take, and how it has what it found so far written down."""

    def __init__(self, seconds: float, clock: Clock, save: Callable[[], None]) -> None:
        self._clock, self._end = clock, clock() + seconds
        self.seconds = seconds
        self.save = save

    def left(self) -> float:
        """Return the seconds left, negative where the section has taken too long."""
        return self._end - self._clock()


@dataclass(frozen=True, slots=True)
class GpuSection:
    """One section: its number, its key in the file, its share of the time, and its work.

    The work fills `found`, a mapping or a list by `is_list`, and may raise: what it has filled
    until then is kept.
    """

    number: int
    key: str
    weight: float
    run: Callable[[Bench, Allowance, Any], None]
    is_list: bool = False


def run_sections(
    sections: Sequence[GpuSection],
    bench: Bench,
    report: Json,
    path: Path | None,
    *,
    seconds: float,
    clock: Clock = perf_counter,
) -> None:
    """Run the sections into `report`, and write it to `path` after each of them.

    The seconds are shared out by weight. Where less than half of a section's share is left, the
    section is left out, and so are those after it unless they are short enough.
    """
    started = clock()
    whole = sum(section.weight for section in sections)

    def save() -> None:
        report["seconds"] = round(clock() - started, 1)
        report["engine"] = bench.engine_facts
        if path is not None:
            write_json(path, report)

    for section in sections:
        share = seconds * section.weight / whole
        left = seconds - (clock() - started)
        if left < share * LEAST_SHARE:
            report[section.key] = dict(NO_TIME)
            print(f"{section.number:2} {section.key}: left out, {left:.0f} s are left")
            save()
            continue
        report["running"] = section.key
        found: Any = [] if section.is_list else {}
        report[section.key] = found
        save()
        began = clock()
        allowance = Allowance(min(share, left), clock, save)
        try:
            section.run(bench, allowance, found)
        # Whatever goes wrong in one section, the others go on and the file says it.
        except Exception as error:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            said = {"error": sentence(error)}
            if isinstance(found, list):
                found.append(said)
            else:
                found.update(said)
        bench.tidy()
        report["section_seconds"][section.key] = round(clock() - began, 2)
        print(f"{section.number:2} {section.key}: {clock() - began:.1f} s of {share:.0f} s")
        del report["running"]
        save()


def sentence(error: BaseException) -> str:
    """Return what went wrong as one line of bounded length."""
    words = " ".join(str(error).split()) or "no more is known"
    return f"{type(error).__name__}: {words}"[:500]


def write_json(path: Path, report: Json) -> None:
    """Write a file in one step: whoever reads it finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(report, indent=1, allow_nan=False, default=_number)
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def _number(value: Any) -> Any:
    """Return what JSON can hold of a number of NumPy's or torch's."""
    return value.item()
