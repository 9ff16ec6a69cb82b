"""The page with the tables: every section is kept between two marks and replaced there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[1] / "counting.md"


@dataclass(frozen=True, slots=True)
class Goal:
    """Something the counting has to reach."""

    text: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, made by a run."""

    name: str
    lines: Sequence[str]
    goals: Sequence[Goal] = field(default_factory=tuple)


def begin(name: str) -> str:
    """The mark before a section."""
    return f"<!-- {name}: begin; made by `python -m benchmarks.counting --write` -->"


def end(name: str) -> str:
    """The mark behind a section."""
    return f"<!-- {name}: end -->"


def replaced(page: str, section: Section) -> str:
    """The page with a section's new text; raises ValueError where its marks are missing."""
    before, first, rest = page.partition(begin(section.name))
    _, last, after = rest.partition(end(section.name))
    if not first or not last:
        raise ValueError(
            f"{PAGE.name} has no place for {section.name!r}: it needs the lines "
            f"{begin(section.name)} and {end(section.name)}"
        )
    text = "\n".join(section.lines)
    return f"{before}{first}\n\n{text}\n\n{last}{after}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def goals_table(goals: Mapping[str, Sequence[Goal]]) -> Section:
    """What was to be reached, by section, and whether it is."""
    rows = [
        (name, goal.text, goal.measured, "met" if goal.met else "**not met**")
        for name, some in goals.items()
        for goal in some
    ]
    return Section("goals", table(("part", "goal", "measured", ""), rows))
