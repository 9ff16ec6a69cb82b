"""What a run amounts to: every metric with its interval, by parts and by seeds, and what failed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.benchmarking.items import Json
from pipeline.benchmarking.metrics.coco import FoundBox, coco_average_precision
from pipeline.benchmarking.record import AnswerRecord
from pipeline.benchmarking.scoring import BenchmarkMetric, Totals, found_boxes
from pipeline.benchmarking.suite import Benchmark

RESAMPLES = 2000
RESAMPLING_SEED = 20250621
# So many resamples are computed at once: their weights are a table of this many rows.
_AT_ONCE = 100
_CONFIDENCE = 95
_WHOLE_NUMBER = re.compile(r"\s*\d+\s*")


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """One metric's sums: the whole, by seed, and by picture, which is what is resampled."""

    metric: BenchmarkMetric
    by_seed: Mapping[int, Totals]
    by_picture: Totals

    @property
    def value(self) -> float:
        """The figure over all items and seeds."""
        return float(self.metric.value(self.by_picture.sum(axis=0)))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval, by pictures; None of a single picture."""
        return bootstrap_interval(self)


def bootstrap_interval(totals: MetricTotals) -> tuple[float, float] | None:
    """The percentile interval over resampled pictures, each with all its questions and seeds.

    Questions about one picture are not independent, so pictures are drawn and not questions.
    """
    count = len(totals.by_picture)
    if count < 2:
        return None
    chance = np.random.default_rng(RESAMPLING_SEED)
    values = []
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = chance.multinomial(count, np.full(count, 1 / count), size=_AT_ONCE)
        values.append(totals.metric.value(drawn @ totals.by_picture))
    edge = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(np.concatenate(values), [edge, 100 - edge])
    return float(low), float(high)


def metric_totals(metric: BenchmarkMetric, records: Sequence[AnswerRecord]) -> MetricTotals | None:
    """A metric's sums over answers; None where none of them is asked for it."""
    by_seed: dict[int, list[tuple[float, ...]]] = {}
    by_picture: dict[str, list[tuple[float, ...]]] = {}
    for record in records:
        sums = metric.sums(record.answer, record.gold, record.parts)
        if sums is not None:
            by_seed.setdefault(record.seed, []).append(sums)
            by_picture.setdefault(record.picture, []).append(sums)
    if not by_picture:
        return None
    return MetricTotals(
        metric,
        {seed: np.array(sums).sum(axis=0) for seed, sums in by_seed.items()},
        np.array([np.array(sums).sum(axis=0) for sums in by_picture.values()]),
    )


def summarise(
    benchmark: Benchmark,
    settings: Mapping[str, Json],
    records: Sequence[AnswerRecord],
    *,
    gives_raw_boxes: bool,
) -> dict[str, Json]:
    """The summary as JSON. It depends on the answers alone, not on their order or on sessions."""
    # Sums of floats depend on their order, and answers come in any.
    records = sorted(records, key=lambda record: (record.seed, _natural(record.id)))
    metrics = [m for m in benchmark.metrics if gives_raw_boxes or not m.needs_raw]
    published = benchmark.published
    summary: dict[str, Json] = {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "settings": dict(settings),
        "metrics": {m.name: told for m in metrics if (told := _told(m, records)) is not None},
        "published": {
            "value": published.value,
            "metric": published.metric,
            "since": published.since,
            "note": published.note,
        },
        "parts": _parts(metrics, records),
        "answers": _counts(benchmark, records),
        "speed": _speed(records),
        "notes": _notes(benchmark, records, gives_raw_boxes=gives_raw_boxes),
    }
    if benchmark.name == "coco":
        summary["coco"] = _coco(records, all_classes=bool(settings.get("all_classes")))
    return summary


def _told(metric: BenchmarkMetric, records: Sequence[AnswerRecord]) -> dict[str, Json] | None:
    totals = metric_totals(metric, records)
    if totals is None:
        return None
    told: dict[str, Json] = {
        "value": round(totals.value, 3),
        "interval_95": totals.interval and [round(edge, 3) for edge in totals.interval],
        "definition": metric.definition,
        "says": metric.says,
    }
    if len(totals.by_seed) > 1:
        values = [float(metric.value(sums)) for sums in totals.by_seed.values()]
        told["by_seed"] = [round(value, 3) for value in values]
        told["deviation_of_seeds"] = round(float(np.std(values, ddof=1)), 3)
    return told


def _parts(
    metrics: Sequence[BenchmarkMetric], records: Sequence[AnswerRecord]
) -> dict[str, dict[str, Json]]:
    parts: dict[str, dict[str, Json]] = {}
    for name in sorted({part for record in records for part in record.parts}):
        chosen = [record for record in records if name in record.parts]
        parts[name] = {"questions": len({record.id for record in chosen})}
        for metric in metrics:
            totals = metric_totals(metric, chosen)
            if totals is not None:
                parts[name][metric.name] = round(totals.value, 3)
    return parts


def _counts(benchmark: Benchmark, records: Sequence[AnswerRecord]) -> dict[str, Json]:
    """How many there are, and how many could not be scored as they should; those count as wrong."""
    counts: dict[str, Json] = {
        "answers": len(records),
        "questions": len({record.id for record in records}),
        "pictures": len({record.picture for record in records}),
        "failed": sum("failed" in record.answer for record in records),
    }
    if benchmark.is_text:
        texts = [record.answer for record in records if "text" in record.answer]
        counts["cut_short"] = sum(one.get("finish") not in (None, "end") for one in texts)
        counts["empty"] = sum(not one["text"].strip() for one in texts)
    if benchmark.name == "countbenchqa":
        counts["not_a_number"] = sum(not _WHOLE_NUMBER.fullmatch(one["text"]) for one in texts)
    reasons: dict[str, int] = {}
    for record in records:
        if "failed" in record.answer:
            reason = str(record.answer["failed"])
            reasons[reason] = reasons.get(reason, 0) + 1
    counts["reasons"] = dict(sorted(reasons.items(), key=lambda one: -one[1])[:10])
    return counts


def _speed(records: Sequence[AnswerRecord]) -> dict[str, Json]:
    """By the clock of the sessions, from the first question of each to its last answer."""
    ends: dict[int, float] = {}
    for record in records:
        ends[record.session] = max(ends.get(record.session, 0.0), record.at_s)
    seconds = math.fsum(ends.values())
    pictures = len({(record.seed, record.picture) for record in records})
    waits = [record.ms for record in records if "failed" not in record.answer]
    return {
        "seconds": round(seconds, 3),
        "sessions": len(ends),
        "pictures_per_s": round(pictures / seconds, 3) if seconds else None,
        "answers_per_s": round(len(records) / seconds, 3) if seconds else None,
        "median_ms": round(float(np.median(waits)), 1) if waits else None,
    }


def _notes(
    benchmark: Benchmark, records: Sequence[AnswerRecord], *, gives_raw_boxes: bool
) -> list[str]:
    notes = [
        f"intervals are 95 % bootstrap intervals over pictures ({RESAMPLES} resamples, seed "
        f"{RESAMPLING_SEED}); a picture is drawn with all its questions"
    ]
    questions = len({record.id for record in records})
    if benchmark.data.expected not in (None, questions):
        notes.append(
            f"{questions} of the {benchmark.data.expected} questions of the whole data set"
        )
    if any("failed" in record.answer for record in records):
        notes.append("questions without an answer count as wrong")
    if not gives_raw_boxes and any(metric.needs_raw for metric in benchmark.metrics):
        notes.append(
            "a server gives no boxes as the model gave them, so the metrics ending in _raw, which "
            "the published figure is of, are left out"
        )
    return notes


def _coco(records: Sequence[AnswerRecord], *, all_classes: bool) -> dict[str, Json]:
    """COCO's own AP of each seed, with the scores of the boxes."""
    gold: dict[str, list[tuple[int, Sequence[float]]]] = {}
    found: list[FoundBox] = []
    first = min((record.seed for record in records), default=0)
    for record in records:
        if record.seed != first:
            continue
        # Two rows may show the same picture; COCO's are apart by row.
        row, label = record.id.partition(".")[0], int(record.gold["label"])
        gold.setdefault(row, []).extend((label, box) for box in record.gold["boxes"])
        boxes = found_boxes(record.answer, record.gold, "boxes")
        scores = [box[4] for box in record.answer.get("boxes", ())]
        found += [FoundBox(row, label, b, s) for b, s in zip(boxes, scores, strict=True)]
    values = coco_average_precision(gold, found) if gold else {}
    classes = (
        "all 80 classes were asked for in every picture"
        if all_classes
        else "oracle classes: only those that are in a picture were asked for, so no box is of a "
        "class that is not there, and AP is higher than detectors' published ones"
    )
    return {
        **{name: round(100 * value, 3) for name, value in values.items()},
        "says": "COCO's AP over IoU 0.5 to 0.95, AP50 and AR100 by pycocotools, boxes ranked by "
        "their scores",
        "classes": classes,
    }


def _natural(id_: str) -> tuple[Any, ...]:
    return tuple(int(part) for part in id_.split("."))
