"""A rule nobody has thought of yet is measured, stored, shown and evaluated like the others."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from rich.console import Console

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.cli.tables import summary_tables
from pipeline.core.answers import Boxes
from pipeline.core.events import JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Rule, Verdict
from pipeline.core.store import Commit
from pipeline.core.tasks import Detect
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.evaluation import compare, manual_counts, read_truth, uncounted
from pipeline.insight.summary import summarise
from pipeline.rules.base import References, RuleBase, TaskTypes
from pipeline.rules.context import RuleContext
from pipeline.rules.measures import (
    Column,
    ManualCount,
    ManualNumber,
    Measure,
    SummaryTable,
)
from pipeline.rules.memory import dump
from pipeline.rules.memory import load as recall
from pipeline.rules.minutes import Minutes, MinutesMemory
from pipeline.rules.record import RuleRecord
from pipeline.testing import ManualClock
from tests.rules.scene import ENGINE
from tests.runtime.clips import CLIP, camera, deployment, written

PAIRS, SHARE = Column("pairs"), Column("share", "share of pairs", decimals=1, suffix=" %")
NOON = 1_780_315_200.0


class PairsConfig(RuleBase):
    """Counts looks at which exactly two are there, and how often that is."""

    type: Literal["pairs"] = "pairs"
    zone: str

    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("pairs", "sum", "looks", PAIRS),
        Measure("looks", "sum", "looks"),
        Measure("least", "min", "people"),
        Measure("now", "last", "people"),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable("pairs", "company", (PAIRS, SHARE))
    manual: ClassVar[ManualCount | None] = ManualCount(
        "benches", "bench", (ManualNumber(PAIRS, ("pairs", "couples"), whole=True),)
    )

    def references(self) -> References:
        """Its zone."""
        return References(zones=(self.zone,))

    def sum_up(self, record: RuleRecord) -> Mapping[str, float | None] | None:
        """The sum, and what no single minute knows: a share of all looks."""
        pairs, looks = (measure.of(record.minutes) for measure in self.measures[:2])
        share = 100 * pairs / looks if pairs is not None and looks else None
        return {PAIRS.name: pairs, SHARE.name: share}

    def build(self, context: RuleContext) -> Rule:
        """The rule at work."""
        return PairsRule(context)


class PairsRule:
    """Looks at boxes only."""

    def __init__(self, context: RuleContext) -> None:
        self._minutes = Minutes(context, PairsConfig.measures)

    def judge(self, seen: Observation) -> Verdict:
        """One more look."""
        number = len(seen.answer.boxes_xyxy) if isinstance(seen.answer, Boxes) else None
        self._minutes.sample(seen.at, number)
        if number is not None:
            self._minutes.count(seen.at, looks=1, pairs=int(number == 2))
        return Verdict((), self._minutes.closed(seen.at))

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """The last minute."""
        return Verdict((), self._minutes.finish(at, why))

    def unfinished(self) -> tuple[Bucket, ...]:
        """The running minute so far."""
        return self._minutes.unfinished()

    def state(self) -> JsonValue:
        """The minutes."""
        return dump(self._minutes.memory)

    def restore(self, state: JsonValue) -> None:
        """Go on from them."""
        self._minutes.memory = recall(MinutesMemory, state)

    def inherit(self, state: JsonValue, at: float) -> None:
        """Go on with the open minutes."""
        self._minutes.inherit(recall(MinutesMemory, state), at)


@pytest.fixture
def plaza(tmp_path: Path) -> Deployment:
    """A deployment whose camera has the made-up rule beside the usual ones."""
    file = written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)}))
    loaded = load(file, [])
    usual = loaded.cameras["plaza"]
    rules: dict[str, Any] = {**usual.rules, "bench": PairsConfig(of="people", zone="crossroads")}
    changed = usual.model_copy(update={"rules": rules})
    return loaded.model_copy(update={"cameras": {"plaza": changed}})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store in which the rule's minutes are: two that are over, and one that runs."""
    made = StoreConfig(url=f"sqlite:///{tmp_path}/events.db").build(ManualClock())
    config = PairsConfig(of="people", zone="crossroads")
    rule = config.build(RuleContext("plaza", "bench", every_s=1.0))
    buckets: list[Bucket] = []
    for second in range(130):
        seen = (2, 2, 1, 3)[second % 4] if second < 120 else 5
        boxes = Boxes(ENGINE, ((0.1, 0.1, 0.2, 0.2),) * seen, (0.9,) * seen)
        look = Observation("plaza", "run", second, NOON + second, boxes)
        buckets += rule.judge(look).buckets
    made.commit(Commit(buckets=[*buckets, *rule.unfinished()]))
    yield made
    made.close()


def test_its_measures_are_stored_by_name(store: SqlStore) -> None:
    """Exactly as the rule has named them."""
    first, _, running = store.history.buckets("plaza", "bench")
    assert first.values == {"pairs": 30, "looks": 60, "least": 1, "now": 3}
    assert running.values == {"pairs": 0, "looks": 10, "least": 5, "now": 5}
    assert running.unfinished


def test_it_is_in_the_summary_and_in_its_json(plaza: Deployment, store: SqlStore) -> None:
    """In a table of its own after those of the usual rules, which are what they are."""
    summary = summarise(plaza, store.history, {}, 10.0)
    written_out = summary.as_json()
    usual = ["footfall", "occupancy", "dwell", "pairs", "events"]
    assert [name for name in written_out if name in usual] == usual
    row = {"camera": "plaza", "rule": "bench", "pairs": 60, "share": 46.154, "known_s": 129.0}
    assert written_out["pairs"] == [row]
    assert json.loads(json.dumps(written_out, allow_nan=False)) == written_out


def test_it_is_in_the_tables(plaza: Deployment, store: SqlStore) -> None:
    """With the title, the headings and the units that it names."""
    console = Console(width=120)
    with console.capture() as captured:
        for table in summary_tables(summarise(plaza, store.history, {}, 10.0)):
            console.print(table)
    told = captured.get()
    for words in ("company", "share of pairs", "46.2 %", "0:02:09, last minute unfinished"):
        assert words in told


def test_it_is_evaluated(plaza: Deployment, store: SqlStore, tmp_path: Path) -> None:
    """By what a person counted, in a section of the truth file that the rule names."""
    rules = plaza.cameras["plaza"].rules.values()
    path = tmp_path / "truth.json"
    benches = [{"name": "crossroads", "couples": 50}, {"name": "nowhere", "pairs": 1}]
    path.write_text(json.dumps({"benches": benches, "lines": []}))
    truth = read_truth(path, manual_counts(rules))
    camera_config = plaza.cameras["plaza"]
    (row,) = compare(camera_config, truth, summarise(plaza, store.history, {}, 10.0))
    assert (row.kind, row.rule) == ("bench", "bench")
    assert (row.counted, row.true) == ("pairs 60", "pairs 50")
    assert row.error == pytest.approx(0.2)
    assert uncounted(camera_config, truth) == ["bench 'nowhere'"]
