"""Compares what a deployment counts on a clip with what a person counted."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.model import CameraConfig
from pipeline.insight.summary import Footfall, OccupancyFigures, Summary
from pipeline.rules.line_crossing import LineCrossingConfig
from pipeline.rules.occupancy import OccupancyConfig


@dataclass(frozen=True, slots=True)
class TruthLine:
    """What a person counted on a line."""

    name: str
    entered: int
    left: int


@dataclass(frozen=True, slots=True)
class TruthZone:
    """How many a person saw in a zone, on average."""

    name: str
    mean: float


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth file: JSON with `lines` (name, in, out) and `zones` (name, mean_occupancy)."""

    lines: tuple[TruthLine, ...]
    zones: tuple[TruthZone, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line or zone: counted, true, and the error relative to the truth (0.05 is 5 %)."""

    kind: str
    name: str
    rule: str
    counted: str
    true: str
    error: float


def read_truth(path: Path) -> Truth:
    """Read a truth file; raises ConfigError naming the entry that is wrong.

    A line's counts may also be called `left_to_right` (in) and `right_to_left` (out).
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except ValueError as error:
        raise ConfigError([Problem(str(path), f"is no JSON: {error}")]) from None
    if not isinstance(data, dict):
        raise ConfigError([Problem(str(path), "must be a JSON object with `lines` and `zones`")])
    problems: list[Problem] = []
    lines = [_line(entry, f"lines.{n}", problems) for n, entry in _entries(data, "lines", problems)]
    zones = [_zone(entry, f"zones.{n}", problems) for n, entry in _entries(data, "zones", problems)]
    if not problems and not lines and not zones:
        problems.append(Problem(str(path), "has neither `lines` nor `zones` to compare with"))
    if problems:
        raise ConfigError(problems)
    return Truth(
        lines=tuple(line for line in lines if line), zones=tuple(zone for zone in zones if zone)
    )


def compare(camera: CameraConfig, truth: Truth, summary: Summary) -> list[Comparison]:
    """One row for every rule that judges a line or zone of the truth file."""
    footfall = {one.rule: one for one in summary.footfall}
    presence = {one.rule: one for one in summary.presence}
    rows = []
    for rule, line in _rules_of_lines(camera, truth):
        rows.append(_compare_line(rule, line, footfall.get(rule)))
    for rule, zone in _rules_of_zones(camera, truth):
        rows.append(_compare_zone(rule, zone, presence.get(rule)))
    return rows


def uncounted(camera: CameraConfig, truth: Truth) -> list[str]:
    """The lines and zones of a truth file that no rule of the camera counts at."""
    lines = {line.name for _, line in _rules_of_lines(camera, truth)}
    zones = {zone.name for _, zone in _rules_of_zones(camera, truth)}
    return [
        *(f"line {line.name!r}" for line in truth.lines if line.name not in lines),
        *(f"zone {zone.name!r}" for zone in truth.zones if zone.name not in zones),
    ]


def worst_error(rows: Sequence[Comparison]) -> float:
    """The largest error of any row; what `--max-error` is held against."""
    return max((row.error for row in rows), default=0.0)


def _compare_line(rule: str, line: TruthLine, counted: Footfall | None) -> Comparison:
    true = f"in {line.entered}  out {line.left}"
    if counted is None or counted.entered is None or counted.left is None:
        return Comparison("line", line.name, rule, "unknown", true, 1.0)
    wrong = abs(counted.entered - line.entered) + abs(counted.left - line.left)
    said = f"in {counted.entered}  out {counted.left}"
    return Comparison(
        "line", line.name, rule, said, true, _relative(wrong, line.entered + line.left)
    )


def _compare_zone(rule: str, zone: TruthZone, counted: OccupancyFigures | None) -> Comparison:
    mean = counted.mean if counted else None
    error = 1.0 if mean is None else _relative(abs(mean - zone.mean), zone.mean)
    said = "unknown" if mean is None else f"mean {mean:.2f}"
    return Comparison("zone", zone.name, rule, said, f"mean {zone.mean:.2f}", error)


def _relative(wrong: float, true: float) -> float:
    if true:
        return wrong / true
    return 0.0 if not wrong else float("inf")


def _rules_of_lines(camera: CameraConfig, truth: Truth) -> Iterator[tuple[str, TruthLine]]:
    by_name = {line.name: line for line in truth.lines}
    for name, rule in camera.rules.items():
        if isinstance(rule, LineCrossingConfig):
            for line in rule.references().lines:
                if line in by_name:
                    yield name, by_name[line]


def _rules_of_zones(camera: CameraConfig, truth: Truth) -> Iterator[tuple[str, TruthZone]]:
    by_name = {zone.name: zone for zone in truth.zones}
    for name, rule in camera.rules.items():
        if isinstance(rule, OccupancyConfig):
            for zone in rule.references().zones:
                if zone in by_name:
                    yield name, by_name[zone]


def _entries(
    data: Mapping[str, Any], key: str, problems: list[Problem]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = data.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.append(Problem(key, "must be a list of objects"))
        return
    yield from enumerate(entries)


def _line(entry: Mapping[str, Any], path: str, problems: list[Problem]) -> TruthLine | None:
    name = entry.get("name")
    entered = entry.get("in", entry.get("left_to_right"))
    left = entry.get("out", entry.get("right_to_left"))
    if not isinstance(name, str) or not isinstance(entered, int) or not isinstance(left, int):
        problems.append(Problem(path, "a line needs `name`, and `in` and `out` as whole numbers"))
        return None
    return TruthLine(name, entered, left)


def _zone(entry: Mapping[str, Any], path: str, problems: list[Problem]) -> TruthZone | None:
    name, mean = entry.get("name"), entry.get("mean_occupancy")
    if not isinstance(name, str) or not isinstance(mean, int | float) or not math.isfinite(mean):
        problems.append(Problem(path, "a zone needs `name` and `mean_occupancy`, a number"))
        return None
    return TruthZone(name, float(mean))
