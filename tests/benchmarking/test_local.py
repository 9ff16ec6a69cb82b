"""Whole runs with the golden model, whose answers are noise but always the same."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.benchmarking.items import BenchmarkError, PictureWork
from pipeline.benchmarking.local import LocalAnswerer, load_local
from pipeline.benchmarking.runner import BenchmarkRun, run_benchmark
from pipeline.benchmarking.suite import BENCHMARKS, benchmark_named
from pipeline.core.errors import ConfigError
from pipeline.moondream import DetectRequest, QueryRequest
from pipeline.testing import patience, wait_until
from tests.architecture.source_tree import ROOT
from tests.benchmarking import made_up

GOLDEN = ROOT / "tests" / "golden"

Summary = dict[str, Any]


@pytest.fixture(scope="module")
def answerer() -> LocalAnswerer:
    """The golden model, looking at whole pictures only."""
    return load_local(
        str(GOLDEN), None, device="cpu", dtype="auto", resizer="auto", max_crops=1, batch=4
    )


def run_of(name: str, data: Path, **how: Any) -> BenchmarkRun:
    """A run with short answers."""
    short = 4 if benchmark_named(name).is_text else None
    return BenchmarkRun(benchmark_named(name), data, max_tokens=short, **how)


def without_times(summary: Summary) -> Summary:
    """What must not depend on how often a run was stopped."""
    return {key: value for key, value in summary.items() if key != "speed"}


@pytest.mark.parametrize("name", list(made_up.PUBLISHED))
def test_every_benchmark_runs_from_its_files_to_its_summary(
    answerer: LocalAnswerer, tmp_path: Path, name: str
) -> None:
    """Each metric has a value, an interval and a definition; the published one is named."""
    data = made_up.folder(tmp_path / "data", name)
    summary = run_benchmark(run_of(name, data), answerer)
    benchmark = benchmark_named(name)
    assert set(summary["metrics"]) == {metric.name for metric in benchmark.metrics}
    for told in summary["metrics"].values():
        assert 0.0 <= told["interval_95"][0] <= told["value"] <= told["interval_95"][1] <= 100.0
        assert told["definition"] in ("official", "literature", "lmms-eval", "moonwatch")
    assert summary["published"]["metric"] in summary["metrics"]
    assert summary["answers"]["failed"] == 0
    assert summary["speed"]["pictures_per_s"] > 0
    settings = summary["settings"]
    assert settings["release"] == "2025-06-21"
    assert settings["weights"].startswith("sha256:")
    assert (settings["dtype"], settings["resizer"], settings["device"]) == (
        "float32", "pillow", "cpu",
    )  # fmt: skip
    assert settings["prompts"] == "official v1"
    json.dumps(summary)


def test_the_metrics_of_the_first_name_are_the_published_ones() -> None:
    """As the table of benchmarks promises."""
    assert [b.metrics[0].name for b in BENCHMARKS] == [b.published.metric for b in BENCHMARKS]


def test_answers_are_those_of_the_model_asked_alone(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """The batch, the record and the prompt change nothing about them."""
    out = tmp_path / "run.jsonl"
    data = made_up.folder(tmp_path / "data", "countbenchqa")
    run_benchmark(run_of("countbenchqa", data, out=out), answerer)
    model = answerer._model
    for line in out.read_text().splitlines()[1:]:
        record = json.loads(line)
        picture = made_up.decoded(int(record["id"].partition(".")[0]))
        [[alone]] = model.answer([(picture, [QueryRequest(record["prompt"], max_tokens=4)])], 1)
        assert record["answer"]["text"] == alone.text  # type: ignore[union-attr]


def test_boxes_are_given_as_the_model_gave_them_and_as_users_get_them(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """Both are scored, and equal what `detect` gives with and without `raw`."""
    out = tmp_path / "run.jsonl"
    data = made_up.folder(tmp_path / "data", "coco", made_up.coco(1))
    summary = run_benchmark(run_of("coco", data, out=out), answerer)
    assert {"ap11_50_raw", "ap11_50", "f1_50_raw", "f1_50"} <= set(summary["metrics"])
    record = json.loads(out.read_text().splitlines()[1])
    asked = [DetectRequest(record["prompt"], raw=raw) for raw in (True, False)]
    [[raw, usual]] = answerer._model.answer([(made_up.decoded(0), asked)], 1)
    for kind, boxes in (("raw", raw), ("boxes", usual)):
        assert [box[:4] for box in record["answer"][kind]] == pytest.approx(
            boxes.boxes_xyxy.round(6)  # type: ignore[union-attr]
        )
    assert len(record["answer"]["raw"]) > 0


def test_coco_is_told_by_its_own_metric_too(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """With only the classes that are there, which is said, or with all eighty."""
    data = made_up.folder(tmp_path / "data", "coco", made_up.coco(1))
    few = run_benchmark(run_of("coco", data), answerer)
    assert few["coco"]["classes"].startswith("oracle classes")
    assert {"ap", "ap50", "ar100"} <= set(few["coco"])
    all_ = run_benchmark(run_of("coco", data, all_classes=True), answerer)
    assert all_["coco"]["classes"].startswith("all 80 classes")
    assert all_["answers"]["questions"] == 80
    # The official metric asks for what is there, whatever else is asked.
    assert all_["metrics"] == few["metrics"]


def test_sampled_rounds_have_seeds_and_a_spread(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """Three rounds of a question draw differently, and the same command draws the same again."""
    out, again = tmp_path / "run.jsonl", tmp_path / "again.jsonl"
    data = made_up.folder(tmp_path / "data", "ocrbench")
    run = run_of("ocrbench", data, temperature=2.0, seeds=3)
    first = run_benchmark(replace(run, out=out), answerer)
    second = run_benchmark(replace(run, out=again), answerer)
    assert len(first["metrics"]["contains_gold"]["by_seed"]) == 3
    assert first["answers"]["answers"] == 9
    assert first["answers"]["questions"] == 3
    texts = {(r["seed"], r["id"]): r["answer"]["text"] for r in records(out)}
    assert texts == {(r["seed"], r["id"]): r["answer"]["text"] for r in records(again)}
    assert len({texts[seed, "0.0"] for seed in range(3)}) > 1
    assert without_times(first) == without_times(second)


def records(path: Path) -> list[Summary]:
    """The answers of a record."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


class _Killed(BaseException):
    """What a test raises in the middle of a run."""


class _StoppedAfter(LocalAnswerer):
    """Answers so many items and is then killed."""

    def __init__(self, answerer: LocalAnswerer, after: int) -> None:
        super().__init__(answerer._model, answerer.facts, 4, 1)
        self._after = after

    def answer(self, works: Any) -> Iterator[Any]:
        """Give some answers and raise."""
        for number, given in enumerate(super().answer(works)):
            if number == self._after:
                raise _Killed
            yield given


@pytest.mark.parametrize("name", ["chartqa", "screenspot"])
@pytest.mark.parametrize("after", [0, 1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_and_has_the_same_summary(
    answerer: LocalAnswerer, tmp_path: Path, name: str, after: int
) -> None:
    """Nothing is asked twice, and a line that was cut short is asked again."""
    data = made_up.folder(tmp_path / "data", name)
    whole = run_benchmark(run_of(name, data), answerer)
    out = tmp_path / "run.jsonl"
    with pytest.raises(_Killed):
        run_benchmark(run_of(name, data, out=out), _StoppedAfter(answerer, after))
    assert len(records(out)) == after
    if after:
        out.write_bytes(out.read_bytes()[:-7])
    summary = run_benchmark(run_of(name, data, out=out), answerer)
    assert without_times(summary) == without_times(whole)
    keys = [(record["seed"], record["id"]) for record in records(out)]
    assert len(keys) == len(set(keys)) == whole["answers"]["answers"]
    assert {record["session"] for record in records(out)} == ({1, 2} if after > 1 else {1})


def test_a_finished_run_is_summed_up_again_without_asking(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """The record alone is enough."""
    data, out = made_up.folder(tmp_path / "data", "docvqa"), tmp_path / "run.jsonl"
    first = run_benchmark(run_of("docvqa", data, out=out), answerer)
    again = run_benchmark(run_of("docvqa", data, out=out), _StoppedAfter(answerer, 0))
    assert again == first


def test_a_higher_limit_goes_on_and_a_lower_one_sums_up_less(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """The limit is not one of the settings that decide an answer."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "run.jsonl"
    for limit in (1, 5, 3):
        summary = run_benchmark(run_of("chartqa", data, out=out, limit=limit), answerer)
        assert summary["answers"]["questions"] == limit
    assert len(records(out)) == 5
    assert "3 of the 2500 questions of the whole data set" in summary["notes"]


def test_a_record_of_other_settings_is_refused(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """What differs is named, with both values; so is other data."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "run.jsonl"
    run_benchmark(run_of("chartqa", data, out=out, limit=1), answerer)
    with pytest.raises(BenchmarkError, match=r'prompts "official v1", now "plain v1"') as caught:
        run_benchmark(run_of("chartqa", data, out=out, prompts="plain"), answerer)
    assert "give the same ones to go on with it, or another --out" in str(caught.value)
    other = made_up.folder(tmp_path / "other", "chartqa", made_up.chartqa(5))
    with pytest.raises(BenchmarkError, match="was begun with other settings"):
        run_benchmark(run_of("chartqa", other, out=out), answerer)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('{"a": 1}\n', "is not the record of a benchmark of this version"),
        ("no JSON\n", "line 1 is not JSON"),
        ("[]\n", "line 1 is not an object"),
    ],
)
def test_a_file_that_is_no_record_is_left_alone(
    answerer: LocalAnswerer, tmp_path: Path, lines: str, why: str
) -> None:
    """It is refused with a sentence, and not written to."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "notes.txt"
    out.write_text(lines)
    with pytest.raises(BenchmarkError, match=why):
        run_benchmark(run_of("chartqa", data, out=out), answerer)
    assert out.read_text() == lines


def test_a_damaged_line_of_a_record_is_named(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """With its number; the last one alone may be incomplete."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "run.jsonl"
    run_benchmark(run_of("chartqa", data, out=out), answerer)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join([lines[0], "{}\n", *lines[2:]]))
    with pytest.raises(BenchmarkError, match=r"run\.jsonl, line 2 is not an answer"):
        run_benchmark(run_of("chartqa", data, out=out), answerer)


def test_two_runs_do_not_write_one_record(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """The second one is told so."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "run.jsonl"

    class _Second(LocalAnswerer):
        def answer(self, works: Any) -> Iterator[Any]:
            """Begin another run in the middle of this one."""
            run_benchmark(run_of("chartqa", data, out=out), answerer)
            yield from super().answer(works)

    second = _Second(answerer._model, answerer.facts, 4, 1)
    with pytest.raises(BenchmarkError, match="is being written by another run"):
        run_benchmark(run_of("chartqa", data, out=out), second)


def test_a_picture_that_cannot_be_decoded_counts_as_wrong_and_is_said(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """Its questions fail, those of other pictures do not."""
    for name, metric in (("countbenchqa", "exact_match"), ("coco", "ap11_50_raw")):
        rows = made_up.PUBLISHED[name]()
        rows[0]["image"] = {"bytes": b"no picture", "path": "a.png"}
        data = made_up.folder(tmp_path / name, name, rows)
        summary = run_benchmark(run_of(name, data), answerer)
        assert summary["answers"]["failed"] == (1 if name == "countbenchqa" else 2)
        assert "questions without an answer count as wrong" in summary["notes"]
        [(reason, _)] = summary["answers"]["reasons"].items()
        assert reason.startswith("the picture cannot be decoded")
        assert metric in summary["metrics"]


def test_a_question_that_the_model_refuses_fails_alone(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """One that is longer than the model's context."""
    rows = made_up.countbenchqa()
    rows[1]["question"] = "How many? " * 3000
    data = made_up.folder(tmp_path, "countbenchqa", rows)
    summary = run_benchmark(run_of("countbenchqa", data), answerer)
    assert summary["answers"]["failed"] == 1
    assert summary["answers"]["cut_short"] + summary["answers"]["failed"] <= 3


@pytest.mark.parametrize(
    ("name", "how", "why"),
    [
        ("coco", {"temperature": 0.5}, "coco: reads boxes and points, which are always greedy"),
        ("screenspot", {"reasoning": True}, "leave out --temperature, --seeds and --reasoning"),
        ("chartqa", {"seeds": 3}, "--seeds: 3 rounds of greedy answers are all the same"),
        ("docvqa", {"all_classes": True}, "--all-classes: is for coco; docvqa has no classes"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    answerer: LocalAnswerer, tmp_path: Path, name: str, how: dict[str, Any], why: str
) -> None:
    """Before anything is read or asked."""
    with pytest.raises(ConfigError, match=why):
        run_benchmark(run_of(name, tmp_path, **how), answerer)


def test_reasoning_is_kept_beside_the_answer(answerer: LocalAnswerer, tmp_path: Path) -> None:
    """So that one can see what the model thought."""
    data, out = made_up.folder(tmp_path / "data", "ocrbench"), tmp_path / "run.jsonl"
    run_benchmark(run_of("ocrbench", data, out=out, reasoning=True, limit=1), answerer)
    [record] = records(out)
    assert isinstance(record["answer"]["reasoning"], str)


def test_a_picture_is_encoded_once_for_all_its_questions(
    answerer: LocalAnswerer, tmp_path: Path
) -> None:
    """Two questions of a chart, one picture."""
    before = answerer._model.picture_counts()
    rows = [{**row, "image": made_up.image(900 + n)} for n, row in enumerate(made_up.chartqa())]
    run_benchmark(run_of("chartqa", made_up.folder(tmp_path, "chartqa", rows)), answerer)
    assert answerer._model.picture_counts().encoded - before.encoded == 3


def test_work_is_not_taken_far_ahead(answerer: LocalAnswerer) -> None:
    """Pictures wait in their file and not in memory."""
    taken = 0

    def works() -> Iterator[PictureWork]:
        nonlocal taken
        items = made_up.items(40)
        for item in items:
            taken += 1
            yield PictureWork(item.encoded, (item,))

    answers = answerer.answer(works())
    next(answers)
    assert taken <= 12
    answers.close()  # type: ignore[attr-defined]


def command(*arguments: str | Path) -> list[str]:
    """The command on the golden model."""
    model = ["--model", str(GOLDEN), "--device", "cpu", "--max-crops", "1"]
    return [sys.executable, "-m", "pipeline", "benchmark", *map(str, arguments), *model]


def test_the_command_prints_a_table_and_keeps_a_summary(tmp_path: Path) -> None:
    """The published figure stands beside the measured one and is called so."""
    data, out = made_up.folder(tmp_path / "data", "chartqa"), tmp_path / "run.jsonl"
    done = subprocess.run(
        command("chartqa", "--data", data, "--out", out, "--max-tokens", "4"),
        cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "metric relaxed_accuracy_official, measured 0.00" in done.stdout
    assert "published 77.5 (2025-04-15), definition official" in done.stdout
    assert "metric relaxed_accuracy, measured 0.00" in done.stdout
    assert "parts: part human, questions 3" in done.stdout
    assert "note: 6 of the 2500 questions" in done.stdout
    kept = json.loads((tmp_path / "run.summary.json").read_text())
    assert kept["settings"]["max_crops"] == 1
    assert len(records(out)) == 6


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle, and the same command again."""
    data = made_up.folder(tmp_path / "data", "countbenchqa", made_up.countbenchqa(24))
    out = tmp_path / "run.jsonl"
    arguments = command("countbenchqa", "--data", data, "--out", out, "--max-tokens", "30")
    first = subprocess.Popen([*arguments, "--batch", "1"], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") > 3)
    first.send_signal(signal.SIGKILL)
    first.wait(patience(10))
    kept = records_so_far(out)
    assert 3 <= len(kept) < 24
    done = subprocess.run(
        [*arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["answers"]["answers"] == len(records(out)) == 24
    assert summary["speed"]["sessions"] == 2
    assert records(out)[: len(kept)] == kept


def records_so_far(path: Path) -> list[Summary]:
    """The complete lines of a record that may have been cut short."""
    lines = path.read_bytes().splitlines(keepends=True)[1:]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (
            ["chartqa", "--data", "nowhere"],
            1,
            "nowhere does not exist; the data is vikhyatk/chartqa",
        ),
        (["mmlu", "--data", "."], 2, "'mmlu' is not a benchmark; the benchmarks are chartqa,"),
        (["chartqa", "--data", ".", "--prompts", "mine"], 2, "use official or plain"),
        (
            ["chartqa", "--data", "DATA", "--url", "http://h/v1"],
            2,
            "--url: is not for --engine local",
        ),
        (["chartqa", "--data", "DATA", "--engine", "remote"], 2, "--url: is missing"),
        (
            ["chartqa", "--data", "DATA", "--model", "DATA", "--device", "cpu"],
            1,
            "cannot be loaded: ",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], code: int, why: str
) -> None:
    """In one sentence, without a traceback."""
    data = str(made_up.folder(tmp_path, "chartqa"))
    arguments = [data if argument == "DATA" else argument for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "benchmark", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=patience(60), check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert why in done.stderr
    assert "Traceback" not in done.stderr
