"""What rules say of their numbers: sums over minutes, and words that fit each other."""

import pytest

from pipeline.core.measures import Bucket
from pipeline.rules import all_rules
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import Column, Measure, OverTime

MINUTES = [
    Bucket("door", "rule", 60, 60, 1.0, {"level": 2.0, "count": 3}),
    Bucket("door", "rule", 120, 15, 0.25, {"level": 7.0, "count": 0}),
    Bucket("door", "rule", 180, 0, 0.0, {"level": None, "count": None}),
    Bucket("door", "rule", 240, 0, 0.0),
]


@pytest.mark.parametrize(
    ("over_time", "name", "minutes", "expected"),
    [
        ("sum", "count", MINUTES, 3),
        ("mean", "level", MINUTES, 3.0),  # a quarter of a minute weighs a quarter
        ("max", "level", MINUTES, 7.0),
        ("min", "level", MINUTES, 2.0),
        ("last", "level", MINUTES, 7.0),  # of those that are known
        ("sum", "count", MINUTES[1:2], 0),  # nothing was counted
        ("sum", "count", MINUTES[2:], None),  # nothing is known
        ("mean", "level", MINUTES[2:], None),
        ("mean", "level", [Bucket("door", "rule", 60, 1, 0.0, {"level": 4.0})], None),
        ("max", "elsewhere", MINUTES, None),
        ("last", "level", [], None),
    ],
)
def test_minutes_make_a_number(
    over_time: OverTime, name: str, minutes: list[Bucket], expected: float | None
) -> None:
    """As the measure says; unknown minutes add nothing, and are not zero."""
    assert Measure(name, over_time, "people").of(minutes) == expected


@pytest.mark.parametrize(
    ("column", "value", "written"),
    [
        (Column("in"), 3, "3"),
        (Column("in"), 0, "0"),
        (Column("in"), None, "unknown"),
        (Column("mean", decimals=2), 2.345678, "2.35"),
        (Column("longest_s", "longest", decimals=1, suffix=" s"), 40.0, "40.0 s"),
    ],
)
def test_numbers_are_written_as_their_column_says(
    column: Column, value: float | None, written: str
) -> None:
    """An unknown one in a word."""
    assert column.written(value) == written


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.__name__)
def test_a_rule_says_what_fits_together(rule: type[RuleBase]) -> None:
    """Its measures have one name each, and what is shown or compared is a column of its table."""
    names = [measure.name for measure in rule.measures]
    assert len(set(names)) == len(names)
    tables = (*([] if rule.table is None else [rule.table]), *rule.further)
    columns = [column for table in tables for column in table.columns]
    shown = [measure.column for measure in rule.measures if measure.column is not None]
    compared = [number.column for number in rule.manual.numbers] if rule.manual else []
    assert set(shown) | set(compared) <= set(columns)


def test_tables_of_the_same_name_are_the_same() -> None:
    """Else one would hide the other in the JSON."""
    tables = {rule.table for rule in all_rules() if rule.table is not None}
    tables |= {table for rule in all_rules() for table in rule.further}
    assert len({table.name for table in tables}) == len(tables)
    sections = {rule.manual for rule in all_rules() if rule.manual is not None}
    assert len({manual.section for manual in sections}) == len(sections)
