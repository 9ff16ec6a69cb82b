"""What a run found, from a real store: sums, means by time, and what is not known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.cli.tables import comparison_table, live_table, status_line, summary_tables
from pipeline.core.events import Event, JsonValue, Phase
from pipeline.core.measures import Bucket
from pipeline.core.store import Commit, JudgedAnew
from pipeline.delivery import LaneStatus
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.evaluation import Comparison
from pipeline.insight.summary import Summary, summarise
from pipeline.rules import all_rules
from pipeline.telemetry.figures import CameraFigures
from pipeline.testing import ManualClock
from tests.runtime.clips import CLIP, camera, deployment, written

NOON = 1_780_315_200
FIGURES = {"plaza": CameraFigures(up=True, sampled=30, dropped={"rate": 5, "motion": 2}, events=4)}


@pytest.fixture(scope="module")
def plaza(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Rules on two lines, occupancy and visits of a zone."""
    folder = tmp_path_factory.mktemp("summary")
    return load(written(folder, deployment(folder, {"plaza": camera(CLIP)})), [])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """An empty store."""
    made = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(ManualClock())
    yield made
    made.close()


def minute(rule: str, nth: int, coverage: float, **values: float | None) -> Bucket:
    """The nth minute after noon."""
    return Bucket("plaza", rule, NOON + 60 * nth, round(60 * coverage), coverage, values)


def rows(summary: Summary, table: str) -> list[tuple[str, Mapping[str, float | None], float]]:
    """One table of the summary: rules, their numbers, and how much time is known."""
    (found,) = (one for one in summary.measured if one.table.name == table)
    assert {row.camera for row in found.rows} <= {"plaza"}
    return [(row.rule, row.values, row.known_s) for row in found.rows]


def event(rule: str, phase: Phase, nth: int, **data: JsonValue) -> Event:
    """The nth happening of a rule."""
    return Event(f"{rule}-{nth}", "some", phase, "plaza", rule, NOON + nth, data=data)


def found(plaza: Deployment, store: SqlStore, *commits: Commit) -> Summary:
    """The summary of a store that holds these."""
    for commit in commits:
        store.commit(commit)
    return summarise(plaza, store.history, FIGURES, 10.0)


def text(*tables: RenderableType) -> str:
    """As a person sees it."""
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def test_crossings_are_added_up_over_minutes(plaza: Deployment, store: SqlStore) -> None:
    """A minute of which nothing is known adds nothing, and no known time."""
    minutes = [
        minute("middle", 0, 1.0, entered=3, left=1),
        minute("middle", 1, 0.0),
        minute("middle", 2, 0.5, entered=2, left=0),
    ]
    summary = found(plaza, store, Commit(buckets=minutes))
    assert rows(summary, "footfall")[0] == ("middle", {"in": 5, "out": 1}, 90.0)


def test_what_was_never_seen_is_unknown_and_not_zero(plaza: Deployment, store: SqlStore) -> None:
    """For counts as for means; a line nobody crossed is another thing."""
    minutes = [minute("middle", 0, 0.0), minute("across", 0, 1.0, entered=0, left=0)]
    summary = found(plaza, store, Commit(buckets=minutes))
    assert rows(summary, "footfall") == [
        ("middle", {"in": None, "out": None}, 0.0),
        ("across", {"in": 0, "out": 0}, 60.0),
    ]
    assert rows(summary, "occupancy") == [("crowd", {"mean": None, "max": None}, 0.0)]
    told = text(*summary_tables(summary))
    assert told.count("unknown") == 4
    lines = summary.as_json()["footfall"]
    assert isinstance(lines, list)
    assert lines[0] == {
        "camera": "plaza",
        "rule": "middle",
        "in": None,
        "out": None,
        "known_s": 0.0,
    }


def test_a_mean_is_weighted_by_what_is_known(plaza: Deployment, store: SqlStore) -> None:
    """A minute that was seen for a quarter of its time counts a quarter."""
    minutes = [
        minute("crowd", 0, 1.0, mean=2.0, maximum=5),
        minute("crowd", 1, 0.25, mean=7.0, maximum=9),
        minute("crowd", 2, 0.0),
    ]
    summary = found(plaza, store, Commit(buckets=minutes))
    assert rows(summary, "occupancy") == [("crowd", {"mean": 3.0, "max": 9}, 75.0)]


def test_visits_are_those_that_ended(plaza: Deployment, store: SqlStore) -> None:
    """The last end carries the totals; the longest is the longest of all."""
    visits = [
        event("stay", "start", 1),
        event("stay", "end", 1, seconds=40.0, visits=1, mean_seconds=40.0),
        event("stay", "end", 2, seconds=20.0, visits=2, mean_seconds=30.0),
        event("stay", "start", 3),
    ]
    summary = found(plaza, store, Commit(events=visits))
    assert rows(summary, "dwell") == [
        ("stay", {"visits": 2, "mean_s": 30.0, "longest_s": 40.0}, 0.0)
    ]
    assert summary.as_json()["dwell"] == [
        {"camera": "plaza", "rule": "stay", "visits": 2, "mean_s": 30.0, "longest_s": 40.0}
    ]


def test_a_running_minute_is_counted_and_marked(plaza: Deployment, store: SqlStore) -> None:
    """A run that was stopped within its first minute has counts; the next minute ends the mark."""
    running = replace(minute("middle", 0, 22 / 60, entered=3, left=0), unfinished=True)
    summary = found(plaza, store, Commit(buckets=[running]))
    assert rows(summary, "footfall")[0] == ("middle", {"in": 3, "out": 0}, 22.0)
    told = text(*summary_tables(summary))
    assert "0:00:22, last minute unfinished" in told
    whole = [minute("middle", 0, 1.0, entered=4, left=0), minute("middle", 1, 0.5, entered=1)]
    summary = found(plaza, store, Commit(buckets=whole))
    assert rows(summary, "footfall")[0] == ("middle", {"in": 5, "out": 0}, 90.0)
    assert "unfinished" not in text(*summary_tables(summary))


def test_tables_that_no_rule_fills_are_empty_lists_for_machines(tmp_path: Path) -> None:
    """A reader of the JSON finds the same keys whatever the deployment counts."""
    content = deployment(tmp_path, {"plaza": {**camera(CLIP), "rules": {}}})
    store = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(ManualClock())
    summary = summarise(load(written(tmp_path, content), []), store.history, FIGURES, 10.0)
    store.close()
    keys = list(dict.fromkeys(rule.table.name for rule in all_rules() if rule.table))
    assert list(summary.as_json())[: len(keys) + 1] == [*keys, "events"]
    assert [summary.as_json()[key] for key in keys] == [[]] * len(keys)


def test_a_happening_is_one_however_many_events_it_has(plaza: Deployment, store: SqlStore) -> None:
    """Starts and single events count; updates and ends belong to a start."""
    events = [
        event("crowd", "start", 1),
        event("crowd", "end", 1),
        event("middle", "single", 1),
        event("middle", "single", 2),
    ]
    summary = found(plaza, store, Commit(events=events))
    assert summary.events == {("plaza", "crowd"): 1, ("plaza", "middle"): 2}


def test_what_does_not_count_is_apart(plaza: Deployment, store: SqlStore) -> None:
    """What a second look rejected, and what only an earlier judging of a recording reported."""
    earlier = [replace(event("crowd", "start", n), run="clip.mp4") for n in (1, 2, 3)]
    wrong = event("stay", "end", 9, verified="rejected", seconds=900.0, visits=4, mean_seconds=9)
    right = event("stay", "end", 8, seconds=30.0, visits=3, mean_seconds=8)
    events = [event("middle", "single", 1, verified="rejected"), *earlier, right, wrong]
    anew = JudgedAnew("plaza", "clip.mp4", frozenset({"crowd"}))
    summary = found(
        plaza, store, Commit(events=events), Commit(judged_anew=[anew], events=earlier[:1])
    )
    assert summary.events == {("plaza", "crowd"): 1, ("plaza", "middle"): 0}
    assert summary.as_json()["events"] == [
        {"camera": "plaza", "rule": "crowd", "events": 1, "superseded": 2},
        {"camera": "plaza", "rule": "middle", "events": 0, "rejected": 1},
    ]
    told = text(*summary_tables(summary))
    assert "of an earlier judging" in told
    # All visits are counted, as by the minute; the longest is one that counts.
    ((_, values, _),) = rows(summary, "dwell")
    assert (values["visits"], values["longest_s"]) == (4, 30.0)


def test_frames_are_told_by_camera_and_reason(plaza: Deployment, store: SqlStore) -> None:
    """Also how many a second were looked at."""
    summary = found(plaza, store)
    assert summary.frames == 30
    told = text(*summary_tables(summary)).splitlines()
    row = next(line for line in told if "5 between samples, 2 without motion" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "plaza",
        "30",
        "5 between samples, 2 without motion",
        "none",
        "0",
        "3.0",
    ]


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ([], ""),
        ([LaneStatus("ops", behind=3), LaneStatus("log")], "; ops 3 behind"),
        ([LaneStatus("ops")], ""),
    ],
)
def test_one_line_for_logs(lanes: Sequence[LaneStatus], words: str) -> None:
    """Sinks are named when they are behind."""
    cameras = "1 of 1 camera online, 30 frames sampled, 0 dropped, 4 events"
    assert status_line(FIGURES, lanes, 61.2) == f"up 0:01:01: {cameras}{words}"


def test_the_live_table_shows_cameras_and_sinks() -> None:
    """A sink's own words are shown as they are, brackets and all."""
    lanes = [
        LaneStatus("log", delivered=4),
        LaneStatus("ops", behind=3, error="[/red] of /x[0] cannot be written"),
    ]
    figures = {**FIGURES, "yard": CameraFigures()}
    told = text(live_table(figures, lanes, 61.2))
    assert "up 0:01:01" in told
    assert "online" in told
    assert "offline" in told
    assert "delivering" in told
    assert "[/red] of /x[0] cannot be written" in told
    assert "3 behind" in told


def test_a_comparison_is_shown_in_percent() -> None:
    """Counted beside true."""
    row = Comparison("line", "middle", "footfall", "in 7  out 3", "in 8  out 2", 0.2)
    told = text(comparison_table([row]))
    for words in ("middle", "footfall", "in 7  out 3", "in 8  out 2", "20.0 %"):
        assert words in told
