"""Two reports beside each other: the ratio of every figure that both have."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.bench import Json
from benchmarks.gpu.table import shown

SCHEMA = 1
# What names a row of a list, so that rows of two reports find each other.
NAMES = (
    "task", "crops", "batch", "frames", "tasks_per_frame", "objects", "tokens", "other_rows",
    "repeated_pictures",
)  # fmt: skip
COMPARED = ("ceilings", "throughput", "latency", "live", "side_by_side", "profile", "loading")
# Parts of these that are no speeds: how often, how many, what for.
LEFT_OUT = (
    "graphs",
    "top",
    "launches",
    "rounds",
    "warm_rounds",
    "runs",
    "answered",
    "roofline",
    "pictures_reused",
)


class ReportError(Exception):
    """A file that is no report, or two that cannot be compared: one sentence."""


def read_report(path: Path) -> Json:
    """Return a report; ReportError where the file is none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise ReportError(
            f"{path} is no report of benchmarks.gpu with schema {SCHEMA}; give the file that "
            "--out has written"
        )
    return report


def check_same_card(new: str, old: Json, old_path: Path, *, anyway: bool) -> None:
    """Raise ReportError where the cards differ and that is not what was asked for."""
    other = str(old.get("machine", {}).get("device"))
    if new != other and not anyway:
        raise ReportError(
            f"this is {new} but {old_path} is of {other}: ratios of two cards say nothing about "
            "the code; add --anyway if the cards are what you compare"
        )


def against(new: Json, old: Json) -> str:
    """Return a table of the ratios new over old, with the names of both cards."""
    before = dict(_figures(old))
    made = [
        (name, before[name], value, value / before[name])
        for name, value in _figures(new)
        if before.get(name)
    ]
    cards = [str(report.get("machine", {}).get("device")) for report in (new, old)]
    commits = [str(report.get("commit"))[:12] for report in (new, old)]
    lines = [
        f"New: {cards[0]}, commit {commits[0]}. Old: {cards[1]}, commit {commits[1]}.",
        "",
        "| figure | old | new | new / old |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {shown(was)} | {shown(now)} | {ratio:.3f} |" for name, was, now, ratio in made
    ]
    if not made:
        lines.append("| no figure is in both | – | – | – |")
    return "\n".join(lines)


def _figures(report: Json) -> Iterator[tuple[str, float]]:
    for key in COMPARED:
        yield from _walk(key, report.get(key))


def _walk(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in (*LEFT_OUT, *NAMES):
                yield from _walk(f"{name} {key}", inner)
    elif isinstance(value, list):
        for row in value:
            if isinstance(row, dict):
                said = [f"{key} {row[key]}" for key in NAMES if row.get(key) not in (None, False)]
                yield from _walk(f"{name} {' '.join(said)}", row)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, float(value)
