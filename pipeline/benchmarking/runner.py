"""A run: items that are not answered yet go to whoever answers, and each answer to the record."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from pipeline.benchmarking.items import (
    Answerer,
    BenchmarkError,
    BenchmarkItem,
    Json,
    Question,
    by_picture,
)
from pipeline.benchmarking.parquet import ParquetShards, open_shards
from pipeline.benchmarking.prompts import PromptForm, PromptStyle, prompt_form
from pipeline.benchmarking.record import AnswerRecord, open_record
from pipeline.benchmarking.suite import Asking, Benchmark, read_items
from pipeline.benchmarking.summary import metric_totals, summarise
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.machine import how_to_install


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """What is measured: a benchmark, its data, how it is asked, and how often.

    `seeds` are the rounds that are answered; greedy answers need one.
    """

    benchmark: Benchmark
    data: Path
    prompts: PromptStyle = "official"
    temperature: float = 0.0
    seeds: int = 1
    reasoning: bool = False
    max_tokens: int | None = None
    limit: int | None = None
    all_classes: bool = False
    out: Path | None = None

    @property
    def prompt(self) -> PromptForm:
        """The form in which its questions are put."""
        return prompt_form(self.benchmark.name, self.prompts)

    def open_data(self) -> ParquetShards:
        """Its files; raises BenchmarkError, and says where the data is to be had."""
        benchmark = self.benchmark
        try:
            shards = open_shards(self.data, benchmark.data.forms[0].split)
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}; {benchmark.data.where}") from error
        benchmark.data.form_of(shards, benchmark.name)
        if benchmark.name == "coco" and find_spec("pycocotools") is None:
            way_out = how_to_install("benchmark")
            raise BenchmarkError(f"coco needs pycocotools; install it with: {way_out}")
        return shards

    def check(self) -> None:
        """Raise ConfigError for settings that do not go together."""
        name, problems = self.benchmark.name, []
        if not self.benchmark.is_text and (self.temperature or self.reasoning or self.seeds > 1):
            problems.append(
                Problem(
                    name,
                    "reads boxes and points, which are always greedy: leave out --temperature, "
                    "--seeds and --reasoning",
                )
            )
        elif self.seeds > 1 and not self.temperature:
            problems.append(
                Problem(
                    "--seeds",
                    f"{self.seeds} rounds of greedy answers are all the same; give a --temperature "
                    "too, such as 0.5",
                )
            )
        if self.all_classes and name != "coco":
            problems.append(Problem("--all-classes", f"is for coco; {name} has no classes"))
        if problems:
            raise ConfigError(problems)


def run_benchmark(
    run: BenchmarkRun, answerer: Answerer, told: Callable[[int], None] | None = None
) -> dict[str, Json]:
    """Answer what is not answered yet, and return the summary. `told` hears of each answer."""
    run.check()
    shards = run.open_data()
    settings = settings_of(run, shards, answerer)
    with open_record(run.out, settings) as record:
        record.begin()
        wanted: set[tuple[int, str]] = set()
        for seed in range(run.seeds):
            left = _unanswered(run, shards, seed, record.answers, wanted)
            for given in answerer.answer(by_picture(left)):
                item = given.item
                record.add(
                    AnswerRecord(
                        item.id,
                        seed,
                        item.picture,
                        item.parts,
                        item.asked,
                        given.found,
                        item.gold,
                        _score(run.benchmark, item, given.found),
                        round(given.ms, 1),
                        record.session,
                        record.at_s,
                    )
                )
                if told is not None:
                    told(len(record.answers))
        # A record may hold more than what is wanted now, of a run with a higher limit.
        chosen = [answer for key, answer in record.answers.items() if key in wanted]
        if len(chosen) != len(wanted):
            raise BenchmarkError(f"{len(wanted) - len(chosen)} questions were not answered")
        return summarise(
            run.benchmark, record.settings, chosen, gives_raw_boxes=answerer.gives_raw_boxes
        )


def settings_of(run: BenchmarkRun, shards: ParquetShards, answerer: Answerer) -> dict[str, Json]:
    """Everything that decides the answers. Runs with other settings are not mixed."""
    return {
        "benchmark": run.benchmark.name,
        "data": shards.fingerprint,
        "dataset": run.benchmark.data.form_of(shards, run.benchmark.name).dataset,
        "prompts": run.prompt.name,
        "prompt_source": run.prompt.source,
        "temperature": run.temperature,
        "seeds": run.seeds,
        "reasoning": run.reasoning,
        "max_tokens": (run.max_tokens or run.prompt.max_tokens) if run.benchmark.is_text else None,
        "all_classes": run.all_classes,
        **answerer.facts,
    }


def _unanswered(
    run: BenchmarkRun,
    shards: ParquetShards,
    seed: int,
    done: Mapping[tuple[int, str], AnswerRecord],
    wanted: set[tuple[int, str]],
) -> Iterator[BenchmarkItem]:
    asking = Asking(run.temperature, None, run.reasoning, run.max_tokens)
    for item in read_items(
        run.benchmark, shards, run.prompt, asking, limit=run.limit, all_classes=run.all_classes
    ):
        wanted.add((seed, item.id))
        if (seed, item.id) not in done:
            yield _seeded(item, seed) if run.temperature else item


def _seeded(item: BenchmarkItem, seed: int) -> BenchmarkItem:
    """The item with a seed of its own: items that draw equal numbers would not be independent."""
    own = zlib.crc32(f"{seed} {item.id}".encode()) & 0x7FFFFFFF
    asks = tuple(replace(a, seed=own) if isinstance(a, Question) else a for a in item.asks)
    return replace(item, asks=asks)


def _score(
    benchmark: Benchmark, item: BenchmarkItem, found: Mapping[str, Json]
) -> dict[str, float]:
    """What each metric makes of this item alone, 0 to 100."""
    record = AnswerRecord(item.id, 0, item.picture, item.parts, "", found, item.gold, {}, 0, 0, 0)
    scores = {metric.name: metric_totals(metric, [record]) for metric in benchmark.metrics}
    return {name: round(one.value, 3) for name, one in scores.items() if one is not None}
