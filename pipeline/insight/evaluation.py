"""Checks a deployment's counts on a clip against a manual count."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.model import CameraConfig
from pipeline.insight.summary import Summary, SummaryRow
from pipeline.rules import all_rules
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import ManualCount

# A clip named by mistake should be reported, not read.
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TrueCount:
    """The manual count at one line or zone."""

    manual: ManualCount
    name: str
    values: Mapping[str, float]
    """By the column that each is compared with."""


Truth = Sequence[TrueCount]


def manual_counts(
    rules: Iterable[type[RuleBase] | RuleBase] | None = None,
) -> list[ManualCount]:
    """Everything that a truth file can contain for these rules; by default for all rules."""
    known = all_rules() if rules is None else rules
    return list(dict.fromkeys(rule.manual for rule in known if rule.manual is not None))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line or zone: counted, true, and the error relative to the truth (0.05 is 5 %)."""

    kind: str
    name: str
    rule: str
    counted: str
    true: str
    error: float


def read_truth(path: Path, known: Sequence[ManualCount] | None = None) -> Truth:
    """Read a truth file; raises ConfigError naming the entry that is wrong.

    It is JSON with a list for each kind of count, such as `lines` (name, in, out) and `zones`
    (name, mean_occupancy). The rules define the kinds, and other names for the numbers.
    """
    try:
        data = json.loads(read_text_file(path, _MAX_BYTES))
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnreadableTextError as error:
        raise ConfigError([Problem(str(path), str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "is nested too deep to be a truth file")]) from None
    except ValueError as error:
        raise ConfigError([Problem(str(path), f"is not valid JSON: {error}")]) from None
    return truth_in(data, str(path), known)


def truth_in(data: Any, place: str, known: Sequence[ManualCount] | None = None) -> Truth:
    """The manual counts in the content of a truth file, which `place` names where it is wrong."""
    known = manual_counts() if known is None else known
    sections = [f"`{manual.section}`" for manual in known]
    if not isinstance(data, dict):
        wanted = " and ".join(sections)
        raise ConfigError([Problem(place, f"must be a JSON object with {wanted}")])
    problems: list[Problem] = []
    counts = [
        _true_count(manual, entry, f"{manual.section}.{n}", problems)
        for manual in known
        for n, entry in _entries(data, manual, problems)
    ]
    if not problems and not counts:
        neither = " nor ".join(sections)
        problems.append(Problem(place, f"has neither {neither} to compare with"))
    if problems:
        raise ConfigError(problems)
    return [count for count in counts if count is not None]


def truth_schema(known: Sequence[ManualCount] | None = None) -> dict[str, JsonValue]:
    """The JSON Schema of truth files, for editors and for those who write them by program.

    Whatever else a file has, such as where it comes from, is allowed and not read.
    """
    sections: dict[str, JsonValue] = {}
    for manual in manual_counts() if known is None else known:
        properties: dict[str, JsonValue] = {
            "name": {"type": "string", "description": f"The {manual.kind}'s name in the file."}
        }
        needed: list[JsonValue] = []
        for number in manual.numbers:
            kind: JsonValue = {"type": "integer" if number.whole else "number"}
            properties |= dict.fromkeys(number.keys, kind)
            needed.append({"anyOf": [{"required": [key]} for key in number.keys]})
        sections[manual.section] = {
            "type": "array",
            "items": {
                "type": "object",
                "properties": properties,
                "required": ["name"],
                "allOf": needed,
            },
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A manual count, for `moonwatch evaluate`",
        "type": "object",
        "properties": sections,
        "anyOf": [
            {"required": [section], "properties": {section: {"minItems": 1}}}
            for section in sections
        ],
    }


def truth_template(camera: CameraConfig) -> dict[str, JsonValue]:
    """A truth file for everything that a camera's rules count, with null for what is to be counted.

    Raises ConfigError where nothing that it counts can be compared.
    """
    sections: dict[str, list[JsonValue]] = {}
    seen: set[tuple[str, str]] = set()
    for rule in camera.rules.values():
        if rule.manual is None:
            continue
        places = rule.references()
        for place in (*places.lines, *places.zones):
            if (rule.manual.section, place) not in seen:
                seen.add((rule.manual.section, place))
                numbers: dict[str, JsonValue] = {one.keys[0]: None for one in rule.manual.numbers}
                sections.setdefault(rule.manual.section, []).append({"name": place, **numbers})
    if not sections:
        said = "has no rule with a line or zone whose count can be compared, such as line_crossing"
        raise ConfigError([Problem("--camera", f"the camera {said}")])
    return {**sections}


def compare(camera: CameraConfig, truth: Truth, summary: Summary) -> list[Comparison]:
    """One row for every rule that counts at a line or zone of the truth file."""
    found = {row.rule: row for measured in summary.measured for row in measured.rows}
    return [_compared(rule, count, found.get(rule)) for rule, count in _counted(camera, truth)]


def uncounted(camera: CameraConfig, truth: Truth) -> list[str]:
    """The lines and zones of a truth file that no rule of the camera counts at."""
    counted = [count for _, count in _counted(camera, truth)]
    return [f"{one.manual.kind} {one.name!r}" for one in truth if one not in counted]


def worst_error(rows: Sequence[Comparison]) -> float:
    """The largest error of any row; what `--max-error` is compared with."""
    return max((row.error for row in rows), default=0.0)


def _compared(rule: str, count: TrueCount, row: SummaryRow | None) -> Comparison:
    """Errors of several numbers, such as the two directions of a line, do not cancel."""
    columns = [number.column for number in count.manual.numbers]
    true = "  ".join(f"{c.heading or c.name} {c.written(count.values[c.name])}" for c in columns)
    values = {} if row is None else row.values
    known = {c.name: value for c in columns if (value := values.get(c.name)) is not None}
    said, error = "unknown", 1.0
    if len(known) == len(columns):
        said = "  ".join(f"{c.heading or c.name} {c.written(known[c.name])}" for c in columns)
        wrong = sum(abs(known[c.name] - count.values[c.name]) for c in columns)
        error = _relative(wrong, sum(abs(count.values[c.name]) for c in columns))
    return Comparison(count.manual.kind, count.name, rule, said, true, error)


def _relative(wrong: float, true: float) -> float:
    if true:
        return wrong / true
    return 0.0 if not wrong else float("inf")


def _counted(camera: CameraConfig, truth: Truth) -> Iterator[tuple[str, TrueCount]]:
    """Every rule with the manual count at its line or zone, kind by kind."""
    for manual in dict.fromkeys(count.manual for count in truth):
        by_name = {count.name: count for count in truth if count.manual == manual}
        for name, rule in camera.rules.items():
            if rule.manual == manual:
                places = rule.references()
                for place in (*places.lines, *places.zones):
                    if place in by_name:
                        yield name, by_name[place]


def _entries(
    data: Mapping[str, Any], manual: ManualCount, problems: list[Problem]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = data.get(manual.section, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        numbers = "".join(f', "{number.keys[0]}": 3' for number in manual.numbers)
        example = f'[{{"name": "NAME"{numbers}}}]'
        message = f"must be a list of objects, such as {example}"
        problems.append(Problem(manual.section, message))
        return
    yield from enumerate(entries)


def _true_count(
    manual: ManualCount, entry: Mapping[str, Any], path: str, problems: list[Problem]
) -> TrueCount | None:
    name = entry.get("name")
    values: dict[str, float] = {}
    # As in a template that is not filled in.
    blank = [n.keys[0] for n in manual.numbers if any(entry.get(k, 0) is None for k in n.keys)]
    if isinstance(name, str) and blank:
        missing = " and ".join(f"`{key}`" for key in blank)
        said = f"{manual.kind} {name[:64]!r} has no {missing} yet; write what was counted"
        problems.append(Problem(path, said))
        return None
    for number in manual.numbers:
        value = next((entry[key] for key in number.keys if key in entry), None)
        # A switch is no count, though Python takes it for a number.
        is_number = type(value) is int or (
            isinstance(value, float) and math.isfinite(value) and not number.whole
        )
        if isinstance(value, int | float) and is_number:
            if value < 0:
                key = next(key for key in number.keys if key in entry)
                problems.append(Problem(f"{path}.{key}", f"{value} is less than nothing"))
                return None
            values[number.column.name] = value
    if not isinstance(name, str) or len(values) < len(manual.numbers):
        wanted = " and ".join(f"`{number.keys[0]}`" for number in manual.numbers)
        kind = "whole number" if all(number.whole for number in manual.numbers) else "number"
        kind = f"a {kind}" if len(manual.numbers) == 1 else f"{kind}s"
        problems.append(Problem(path, f"a {manual.kind} needs `name`, and {wanted} as {kind}"))
        return None
    return TrueCount(manual, name, values)
