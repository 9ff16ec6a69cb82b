"""The seven benchmarks: their data, what is asked, how it is scored, and what was published."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.benchmarking import published_files as files
from pipeline.benchmarking import scoring
from pipeline.benchmarking.items import (
    Ask,
    BenchmarkItem,
    FindBoxes,
    FindPoints,
    Question,
)
from pipeline.benchmarking.parquet import ParquetShards
from pipeline.benchmarking.prompts import PromptForm
from pipeline.benchmarking.scoring import BenchmarkMetric
from pipeline.core.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A figure of the model card: of which metric, and the release that brought it."""

    value: float
    metric: str
    since: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the seven. The first of `metrics` is the one that was published."""

    name: str
    title: str
    data: files.DataSet
    metrics: tuple[BenchmarkMetric, ...]
    published: PublishedFigure
    finds: tuple[type[FindBoxes] | type[FindPoints], ...] = ()
    """What is looked for; empty where questions are asked in words."""

    @property
    def is_text(self) -> bool:
        """Whether it is answered in words, which can be sampled."""
        return not self.finds

    def asks(self, prompt: PromptForm, draft: files.ItemDraft, how: "Asking") -> tuple[Ask, ...]:
        """What is asked for a draft."""
        text = prompt.put(draft.fields)
        if self.finds:
            return tuple(find(text) for find in self.finds)
        most = how.max_tokens or prompt.max_tokens
        return (Question(text, most, how.temperature, how.seed, how.reasoning),)


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions in words are answered; a `seed` of None is greedy."""

    temperature: float = 0.0
    seed: int | None = None
    reasoning: bool = False
    max_tokens: int | None = None


_SAMPLED = "published with upstream's sampling, temperature 0.5 and top-p 0.3"

BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        "chartqa", "ChartQA, test", files.CHARTQA, scoring.CHARTQA_METRICS,
        PublishedFigure(
            77.5, "relaxed_accuracy_official", "2025-04-15", f"{_SAMPLED}; 82.2 with programs"
        ),
    ),
    Benchmark(
        "docvqa", "DocVQA, validation", files.DOCVQA, scoring.DOCVQA_METRICS,
        PublishedFigure(79.3, "anls_official", "2025-04-15", _SAMPLED),
    ),
    Benchmark(
        "textvqa", "TextVQA, validation", files.TEXTVQA, scoring.TEXTVQA_METRICS,
        PublishedFigure(76.3, "vqa_official", "2025-04-15", _SAMPLED),
    ),
    Benchmark(
        "countbenchqa", "CountBenchQA", files.COUNTBENCHQA, scoring.COUNTBENCHQA_METRICS,
        PublishedFigure(86.4, "exact_match", "2025-03-27", _SAMPLED),
    ),
    Benchmark(
        "ocrbench", "OCRBench (version 1)", files.OCRBENCH, scoring.OCRBENCH_METRICS,
        PublishedFigure(61.2, "contains_gold", "2025-03-27", "no script is published"),
    ),
    Benchmark(
        "coco", "COCO 2017 validation, cleaned", files.COCO, scoring.COCO_METRICS,
        PublishedFigure(51.2, "ap11_50_raw", "2025-03-27", "not comparable to COCO's AP"),
        (FindBoxes,),
    ),
    Benchmark(
        "screenspot", "ScreenSpot (version 1)", files.SCREENSPOT, scoring.SCREENSPOT_METRICS,
        PublishedFigure(
            80.4, "f1_50_raw", "2025-06-21",
            "the card says F1@0.5; that it is computed like this is our reading",
        ),
        (FindPoints, FindBoxes),
    ),
)  # fmt: skip


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of a name; raises ConfigError with all names."""
    for benchmark in BENCHMARKS:
        if benchmark.name == name:
            return benchmark
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    raise ConfigError([Problem("", f"{name!r} is not a benchmark; the benchmarks are {names}")])


def read_items(
    benchmark: Benchmark,
    shards: ParquetShards,
    prompt: PromptForm,
    how: Asking,
    *,
    limit: int | None = None,
    all_classes: bool = False,
) -> Iterator[BenchmarkItem]:
    """The first `limit` items of the data. `all_classes` asks for COCO's 80 in every picture."""
    form = benchmark.data.form_of(shards, benchmark.name)
    left = limit
    for row in files.read_rows(shards, form):
        drafts = with_absent_classes(row.drafts) if all_classes else row.drafts
        for number, draft in enumerate(drafts):
            if left is not None:
                if not left:
                    return
                left -= 1
            # A class keeps its number whether all are asked or only those that are there.
            number = draft.gold.get("label", number)
            yield BenchmarkItem(
                f"{row.number}.{number}",
                row.picture,
                row.encoded,
                benchmark.asks(prompt, draft, how),
                draft.gold,
                draft.parts,
            )


def with_absent_classes(drafts: tuple[files.ItemDraft, ...]) -> tuple[files.ItemDraft, ...]:
    """A picture's drafts with one for each of COCO's classes that is not in it."""
    if not drafts:
        return ()
    present = {draft.gold["label"] for draft in drafts}
    absent = (
        files.ItemDraft({"question": name}, {**drafts[0].gold, "boxes": [], "label": label})
        for label, name in enumerate(files.COCO_LABELS)
        if label not in present and label not in files.COCO_UNUSED
    )
    return (*drafts, *absent)
