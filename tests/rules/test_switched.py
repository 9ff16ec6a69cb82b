"""Which limits a rule can be given at run time, and how it goes by them."""

from typing import Any

import pytest

from pipeline.core.switching import (
    ENABLED,
    MORE_THAN,
    FileLimit,
    RuleSwitch,
    SwitchBook,
    SwitchKey,
    SwitchRange,
    SwitchTimes,
    SwitchValue,
)
from pipeline.rules import all_rules
from pipeline.rules.switched import file_limit, instead_of, limit_range, why_not
from pipeline.rules.terms import rule_of, terms_of
from tests.rules.scene import config, context, judged, people, through_json

COUNT = config(type="count", of="carts", more_than=3)
CROWDING = config(type="crowding", more_than=2)
FEW = config(type="occupancy", fewer_than=2)
QUEUE = config(type="queue", zone="left", served="till")
DWELL = config(type="dwell", zone="left", longer_than="1s")


def times(*changes: tuple[float, SwitchKey, SwitchValue, FileLimit | None]) -> SwitchTimes:
    """What was switched of the rule, and from when on."""
    book = SwitchBook()
    for n, (at, key, value, file) in enumerate(changes, 1):
        book.add(RuleSwitch(at, "door", "rule", key, value, "anna", n, file))
    return SwitchTimes(book, "door", "rule")


def test_every_rule_with_the_field_can_be_given_a_limit() -> None:
    """So a rule that is new is found here."""
    with_limit = {
        one.model_fields["type"].default for one in all_rules() if MORE_THAN in one.model_fields
    }
    assert with_limit == {"occupancy", "count", "crowding", "queue"}


@pytest.mark.parametrize(
    ("rule", "key", "value", "words"),
    [
        (COUNT, MORE_THAN, 0, None),
        (COUNT, MORE_THAN, 1_000_000, None),
        (COUNT, MORE_THAN, None, None),
        (COUNT, MORE_THAN, -1, "a whole number from 0 to 1000000, not -1"),
        (COUNT, MORE_THAN, True, "a whole number"),
        (CROWDING, MORE_THAN, 0, "a whole number from 1 to 1000000, not 0"),
        (QUEUE, MORE_THAN, 4, None),
        (FEW, MORE_THAN, 4, "the rule has fewer_than"),
        (DWELL, MORE_THAN, 4, "a rule of type dwell has no more_than"),
        (DWELL, ENABLED, False, None),
        (DWELL, ENABLED, 1, "on or off"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    rule: Any, key: SwitchKey, value: SwitchValue, words: str | None
) -> None:
    """The field's own range counts."""
    said = why_not(rule, key, value)
    assert said is None if words is None else said is not None and words in said


def test_what_the_file_says() -> None:
    """It is what a limit by hand stands in for."""
    assert (file_limit(COUNT), file_limit(QUEUE), file_limit(DWELL)) == (3, None, None)
    assert instead_of(COUNT, MORE_THAN) == FileLimit(3)
    assert instead_of(COUNT, ENABLED) is None
    assert limit_range(CROWDING) == SwitchRange(1, 1_000_000)


def test_the_last_word_before_a_moment_counts() -> None:
    """A limit only instead of that for which it was given."""
    known = times(
        (10.0, MORE_THAN, 7, FileLimit(3)),
        (20.0, ENABLED, False, None),
        (30.0, MORE_THAN, 8, None),
        (40.0, ENABLED, True, None),
        (50.0, MORE_THAN, None, None),
    )
    for _ in range(2):  # also when time goes back, as in another waypoint
        assert [known.more_than(at, 3) for at in (9.9, 10.0, 30.0, 60.0)] == [3, 7, 8, 3]
        assert [known.more_than(at, 4) for at in (9.9, 10.0, 30.0, 60.0)] == [4, 4, 8, 4]
        assert [known.is_on(at) for at in (19.9, 20.0, 39.9, 40.0)] == [True, False, False, True]
    known.book.add(RuleSwitch(5.0, "door", "rule", ENABLED, False, "late", 9))
    assert not known.is_on(9.9)


def people_in(rule: Any, given: SwitchTimes, looks: int = 30) -> Any:
    """Three in the left half all the time."""
    places: dict[int, list[tuple[float, float] | None]] = {
        n: [(0.2 + n / 20, 0.5)] * looks for n in (1, 2, 3)
    }
    return judged(rule.build(context(1.0, switches=given)), list(people(places, 1.0)))


@pytest.mark.parametrize("rule", [QUEUE, config(type="occupancy", zone="left")])
def test_a_limit_where_the_file_has_none(rule: Any) -> None:
    """It tells from then on; when the limit is taken away, what is open ends, and says by what."""
    none = FileLimit(None)
    told = people_in(rule, times((10.0, MORE_THAN, 2, none), (20.0, MORE_THAN, None, None)))
    found = [(event.phase, event.at, event.data["more_than"]) for event in told.events]
    assert found[0] == ("start", 10.0, 2)
    phase, at, limit = found[-1]
    assert (phase, limit) == ("end", 2)
    assert 20.0 <= at <= 26.0  # a queue waits for its gap


@pytest.mark.parametrize(
    "rule",
    [
        config(type="queue", zone="left", served="till", more_than=9),
        config(type="occupancy", zone="left", more_than=9),
        config(type="crowding", more_than=9, within=2.0),
    ],
)
def test_a_rule_that_is_finished_by_its_old_terms_says_its_limit(rule: Any) -> None:
    """Also where it is built again by a process that knows no switches, as for an edited rule."""
    given = context(1.0, switches=times((0.0, MORE_THAN, 1, FileLimit(9))))
    running = rule.build(given)
    places: dict[int, list[tuple[float, float] | None]] = {
        n: [(0.2 + n / 20, 0.5)] * 10 for n in (1, 2, 3)
    }
    for seen in people(places, 1.0):
        running.judge(seen)
    again = rule_of(terms_of(rule, given), context(1.0))
    through_json(running, again)
    (event,) = [one for one in again.finish(9.0, "edited").events if "more_than" in one.data]
    assert (event.phase, event.data["more_than"]) == ("end", 1)
