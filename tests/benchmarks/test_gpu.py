"""The one command for all GPU figures, run on a CPU: what it needs, writes, skips and says."""

import ast
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.forced_work import Work, WrongAnswerError
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import correctness as right
from benchmarks.gpu import throughput
from benchmarks.gpu.against import ReportError, against, check_same_card
from benchmarks.gpu.bench import NO_TIME, ON_A_CPU, Bench
from benchmarks.gpu.correctness import ON_CUDA_ALONE, gave_wrong_answers, is_right
from benchmarks.gpu.goals import goals
from benchmarks.gpu.running import Allowance, GpuSection, run_sections
from benchmarks.gpu.table import MOST_LINES, page, summary
from benchmarks.gpu.throughput import measured, warm_up
from benchmarks.random_model import DIMS, SIZE_BY_CROPS, frames, make_fresh, size_for
from pipeline.moondream import DetectRequest
from pipeline.moondream.device.graphs import GraphCounts
from pipeline.moondream.pictures.crops import make_crops
from tests.golden import golden_set

ROOT = Path(__file__).parents[2]
KEYS = [section.key for section in command.SECTIONS]
# What the machine with a GPU lacks, and what only other parts of the project need.
LACKING = (
    "pydantic", "pydantic_core", "av", "sqlalchemy", "redis", "hiredis", "msgpack", "msgspec",
    "prometheus_client", "supervision", "transformers", "typer", "rich", "yaml", "scipy",
    "onnxruntime", "pyvips", "pytest", "hypothesis",
)  # fmt: skip
ALLOWED = {
    "torch", "numpy", "cv2", "PIL", "safetensors", "tokenizers", "huggingface_hub", "httpx",
    "benchmarks", "pipeline", "tests",
    "triton", "pyvips",  # where they are there
}  # fmt: skip
# Runs the command with everything lacking that only this project's own files could ask for: what
# libraries need for themselves is their business. Then writes down which of our files it loaded.
SHORN = """
import builtins, pathlib, runpy, sys
root, out, lacking = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
whole = builtins.__import__
def shorn(name, globals=None, locals=None, fromlist=(), level=0):
    asking = str((globals or {}).get("__file__") or "")
    ours = asking.startswith(root) and "site-packages" not in asking
    if level == 0 and ours and name.split(".")[0] in lacking:
        raise ModuleNotFoundError(f"No module named {name!r} (it is left out here)")
    return whole(name, globals, locals, fromlist, level)
builtins.__import__ = shorn
sys.argv = ["benchmarks.gpu", *sys.argv[4:]]
try:
    runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
finally:
    files = [str(getattr(m, "__file__", None) or "") for m in list(sys.modules.values())]
    ours = [f for f in files if f.startswith(root) and "site-packages" not in f]
    pathlib.Path(out).write_text("\\n".join(ours))
"""


def shorn(tmp_path: Path, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command where nothing is installed that it may not need."""
    return subprocess.run(
        [sys.executable, "-c", SHORN, str(ROOT), str(tmp_path / "files"), ",".join(LACKING),
         "--device", "cpu", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def imported_by(file: Path) -> set[str]:
    """The packages that a file imports anywhere in it, but for type checkers alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def read(path: Path) -> dict[str, Any]:
    """A report."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_it_needs_nothing_that_a_bare_gpu_machine_lacks(tmp_path: Path) -> None:
    """All sections are imported without what is missing there, and no file asks for more."""
    done = shorn(tmp_path, "--dims", "tiny", "--sections", "1", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "gpu.json")["machine"]["device"] == "cpu"
    files = [Path(line) for line in (tmp_path / "files").read_text().splitlines()]
    loaded = {file.relative_to(ROOT).parts[0] for file in files}
    assert {"benchmarks", "pipeline", "tests"} <= loaded
    assert (ROOT / "benchmarks" / "gpu" / "options_tried.py") in files
    for file in files:
        others = imported_by(file) - ALLOWED - sys.stdlib_module_names
        assert not others, f"{file} imports {others}"


def quick(batches: tuple[int, ...] = (2,)) -> Bench:
    """The tiny network on a CPU with next to no work."""
    scale = replace(
        ON_A_CPU, batches=batches, max_batch=4, matrix_side=32, copy_bytes=2**16, mixes=2
    )
    return Bench(torch.device("cpu"), "tiny", scale)


class HandClock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def section(number: int, key: str, run: Callable[..., None], **how: Any) -> GpuSection:
    """A section of ten seconds."""
    return GpuSection(number, key, 10, run, **how)


def test_a_section_that_raises_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """The file has what it found before, the reason as a sentence, and the sections after it."""

    def breaks(bench: Bench, allowance: Allowance, found: Any) -> None:
        found.append({"task": "detect"})
        raise RuntimeError("CUDA error: an illegal\nmemory access")

    def works(bench: Bench, allowance: Allowance, found: Any) -> None:
        found["figure"] = torch.tensor(2.5)

    def breaks_too(bench: Bench, allowance: Allowance, found: Any) -> None:
        found["before"] = 1
        raise ValueError

    report: dict[str, Any] = {"section_seconds": {}}
    path = tmp_path / "gpu.json"
    run_sections(
        [
            section(1, "throughput", breaks, is_list=True),
            section(2, "live", works),
            section(3, "profile", breaks_too),
        ],
        quick(), report, path, seconds=30, clock=HandClock(),
    )  # fmt: skip
    found = read(path)
    assert found["throughput"] == [
        {"task": "detect"},
        {"error": "RuntimeError: CUDA error: an illegal memory access"},
    ]
    assert found["live"] == {"figure": 2.5}
    assert found["profile"] == {"before": 1, "error": "ValueError: no more is known"}
    assert "running" not in found
    assert "illegal memory access" in summary(found)


def test_sections_that_time_is_short_for_are_left_out() -> None:
    """Each has its share; one that finds less than half of it does not start."""
    clock = HandClock()
    given: list[float] = []

    def takes(seconds: float) -> Callable[..., None]:
        def run(bench: Bench, allowance: Allowance, found: Any) -> None:
            given.append(allowance.left())
            clock.now += seconds
            assert allowance.left() == pytest.approx(given[-1] - seconds)

        return run

    report: dict[str, Any] = {"section_seconds": {}}
    run_sections(
        [
            section(1, "machine", takes(5)),
            section(2, "ceilings", takes(28)),  # far more than its share
            section(3, "live", takes(0)),
            section(4, "profile", takes(6)),
            GpuSection(5, "loading", 2, takes(1)),
        ],
        quick(), report, None, seconds=42, clock=clock,
    )  # fmt: skip
    assert given == [10, 10, 9, pytest.approx(9), 2]
    assert NO_TIME not in report.values()
    given.clear()
    clock.now = 0
    run_sections(
        [
            section(1, "machine", takes(26)),
            section(2, "profile", takes(1)),
            GpuSection(3, "loading", 2, takes(1)),
        ],
        quick(), report, None, seconds=30, clock=clock,
    )  # fmt: skip
    assert report["profile"] == NO_TIME
    assert report["loading"] == {}
    assert "left out: time" in summary({**report, "latency": NO_TIME})


def test_the_file_is_true_after_every_section(tmp_path: Path) -> None:
    """While one runs, the file has those before it and says which one is running."""
    path = tmp_path / "deep" / "gpu.json"
    seen: list[dict[str, Any]] = []

    def looks(bench: Bench, allowance: Allowance, found: Any) -> None:
        seen.append(read(path))
        found["half"] = True
        allowance.save()
        seen.append(read(path))

    report: dict[str, Any] = {"section_seconds": {}}
    both = [section(1, "machine", looks), section(2, "live", looks)]
    run_sections(both, quick(), report, path, seconds=30, clock=HandClock())
    assert [one.get("running") for one in seen] == ["machine", "machine", "live", "live"]
    assert seen[2]["machine"] == {"half": True}
    assert seen[2]["live"] == {}
    assert seen[3]["live"] == {"half": True}
    assert [file.name for file in path.parent.iterdir()] == ["gpu.json"]


def damaged(folder: Path, *, harm: bool) -> Path:
    """A golden set of three results, one of them with another bin than the network gives."""
    whole = golden_set.GOLDEN
    folder.mkdir()
    for name in ("config.json", "images", "model.safetensors", "tokenizer.json", "images.json",
                 "lora.safetensors"):  # fmt: skip
        (folder / name).symlink_to(whole / name)
    results = json.loads((whole / "results.json").read_text())
    chosen = [next(one for one in results if one["kind"] == kind and one.get("steps"))
              for kind in ("detect", "point")]  # fmt: skip
    chosen.append(next(one for one in results if one["kind"] == "caption"))
    if harm:
        chosen[1]["steps"][0]["y_bin"] += 1
    (folder / "results.json").write_text(json.dumps(chosen))
    adapted = json.loads((whole / "results_lora.json").read_text())
    (folder / "results_lora.json").write_text(json.dumps(adapted[:1]))
    return folder


@pytest.mark.parametrize(
    ("harm", "code"), [(True, 1), pytest.param(False, 0, marks=pytest.mark.slow)]
)
def test_a_wrong_answer_is_exit_code_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: bool,
    code: int,
) -> None:
    """The recorded results decide; the file and the table say which one was not met."""
    monkeypatch.setattr(golden_set, "GOLDEN", damaged(tmp_path / "golden", harm=harm))
    monkeypatch.setattr(command, "ON_A_CPU", quick().scale)
    monkeypatch.setattr(right, "SIZES", right.SIZES[-3:])
    monkeypatch.setattr(right, "GOLDEN_ROWS", 8)
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(
        sys, "argv",
        ["gpu", "--device", "cpu", "--dims", "tiny", "--sections", "3", "--seconds", "60",
         "--out", str(path)],
    )  # fmt: skip
    assert command.main() == code
    checks = read(path)["correctness"]
    eager = checks["golden_float32_eager"]
    assert (eager["equal"], eager["of"], eager["ok"]) == (4 - harm, 4, not harm)
    assert checks["resize_bytes"] == {"equal": 3, "of": 3, "ok": True}
    assert checks["golden_float32_mixes"]["of"] == quick().scale.mixes
    assert checks["golden_float32_mixes"]["ok"] is not harm
    # A CPU has no graphs; what would be replayed is run, and refused captures are counted.
    graphs, refused = checks["golden_float32_graphs"], checks["golden_after_failed_captures"]
    assert (graphs["ok"], graphs["stand_in"], graphs["failures"]) == (not harm, True, 0)
    assert graphs["replays"] > 0
    assert (refused["ok"], refused["captures"]) == (not harm, 0)
    assert refused["failures"] > 0
    assert checks["graphs_against_eager_mixes"]["ok"]
    for name in ON_CUDA_ALONE:
        assert checks[name] == {"skipped": "needs CUDA"}
    said = capsys.readouterr().out
    assert ("WRONG: 3 of 4; AssertionError: " in said) == harm
    assert set(read(path)) & set(KEYS) == {"machine", "correctness"}


def test_a_check_that_cannot_run_is_a_wrong_one() -> None:
    """An error anywhere in correctness is no proof of being right."""
    assert is_right({})  # not asked for
    assert is_right({"one": {"ok": True}, "two": {"skipped": "needs CUDA"}})
    assert not is_right({"one": {"ok": True}, "two": {"ok": False, "error": "OSError: no"}})
    assert not is_right({"one": {"ok": True}, "error": "RuntimeError: no"})


def test_command_lines_that_cannot_be_followed_are_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with a sentence, before anything is measured."""
    (tmp_path / "other.json").write_text('{"schema": 7}')
    cases = [
        (["--against", str(tmp_path / "none.json")], "none.json cannot be read"),
        (["--table", str(tmp_path / "other.json")], "other.json is no report"),
        (["--device", "tpu"], "device 'tpu' is not valid; write cuda, cuda:1 or cpu"),
        (["--device", "mps"], "device 'mps' is not valid"),
    ]
    if not torch.cuda.is_available():
        cases.append(([], "there is no CUDA here"))
    for words, wanted in cases:
        monkeypatch.setattr(sys, "argv", ["gpu", *words])
        assert command.main() == 2
        assert wanted in capsys.readouterr().err
    for numbers in ("11", "3,x", ""):
        monkeypatch.setattr(sys, "argv", ["gpu", "--sections", numbers])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == 2
        assert "from 1 to 10" in capsys.readouterr().err


def test_two_files_are_compared_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of two cards only with --anyway."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(report_of("NVIDIA H100", 100.0, 30.0)))
    new.write_text(json.dumps(report_of("NVIDIA H200", 150.0, 15.0)))
    words = ["gpu", "--table", str(new), "--against", str(old)]
    monkeypatch.setattr(sys, "argv", words)
    assert command.main() == 2
    assert "add --anyway" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--anyway"])
    assert command.main() == 0
    assert "| 1.500 |" in capsys.readouterr().out


def test_a_row_has_its_rate_stages_and_share_of_the_roofline() -> None:
    """One row of each kind of work, with the answers as long as they are forced to be."""
    bench = quick()
    pictures = frames(1, 2, bench.dims.vision)
    allowance = Allowance(60, time.perf_counter, lambda: None)
    for work in (
        Work("detect", 1, 2, objects=2),
        Work("detect", 1, 2, 2, objects=0),
        Work("point", 1, 2, objects=1),
        Work("query", 1, 2, tokens=3),
        Work("caption", 1, 2, tokens=4),
    ):
        row = measured(bench, work, pictures, allowance)
        rate = row["frames_per_second"]
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert {"resize", "vision", "prefill", "decode", "host"} <= set(row["stages_ms"])
        assert 0 < row["roofline"]["vision"] < 1
        assert (row["steps_per_second"] is None) == (work.objects == 0)
        assert row["graphs"]["replays"] == 0
        assert row["pictures_reused"] == 0
    again = measured(bench, replace(work, repeated=True), pictures, allowance)
    assert again["pictures_reused"] == 2 * again["rounds"]
    assert work.load(bench.engine().language).steps == 3  # the first token comes with the prompt


def test_answers_of_another_length_are_no_figure() -> None:
    """Where the network ends a list by itself, nothing was measured."""
    bench = quick()
    model = bench.model(max_batch=2)
    bench.made().end_at_once(True)
    found = model.answer([(frames(1, 1, bench.dims.vision)[0], [DetectRequest("dog", 3)])])
    Work("detect", 1, 1, objects=0).check(found)
    with pytest.raises(WrongAnswerError, match="a detect gave 0 instead of 3"):
        Work("detect", 1, 1, objects=3).check(found)


def test_a_row_that_fails_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large a batch, or a wrong answer, is told in its row; only the latter is exit code 1."""
    bench = quick()
    one, other = Work("detect", 1, 2, objects=1), Work("point", 1, 2, objects=1)
    monkeypatch.setattr(throughput, "grid", lambda bench: [replace(one, objects=-1), other])
    found: list[dict[str, Any]] = []
    allowance = Allowance(60, time.perf_counter, lambda: None)
    throughput.throughput(bench, allowance, found)
    assert found[0]["error"] == "WrongAnswerError: a detect gave 1 instead of -1"
    assert found[1]["frames_per_second"]["median"] > 0
    assert gave_wrong_answers({"throughput": found})
    assert not gave_wrong_answers({"throughput": found[1:], "live": {"error": "OSError: no"}})
    said = summary({"throughput": found})
    assert "-1 objects: WrongAnswerError: a detect gave 1 instead of -1" in said


def test_pictures_are_cut_as_asked_and_never_come_twice() -> None:
    """For all sizes of networks; a fresh picture differs from every earlier one."""
    for dims in (DIMS["tiny"], DIMS["2b"]):
        for crops in (1, 9, 13):
            width, height = size_for(crops, dims.vision)
            if dims is DIMS["2b"]:
                assert (width, height) == SIZE_BY_CROPS[crops]
            else:
                (picture,) = frames(crops, 1, dims.vision)
                assert len(make_crops(picture, dims.vision).pixels) == crops
    pictures = frames(1, 2, DIMS["tiny"].vision)
    seen = {picture.tobytes() for picture in pictures}
    for _ in range(3):
        make_fresh(pictures)
        seen |= {picture.tobytes() for picture in pictures}
    assert len(seen) == 8


class CountedModel:
    """Stands in for an engine on a GPU: what it has captured, replayed and run, by round."""

    def __init__(self, rounds: list[GraphCounts]) -> None:
        self._rounds, self._at = [GraphCounts(), *rounds], 0

    def graph_counts(self) -> GraphCounts:
        """The counts after the rounds so far."""
        return self._rounds[min(self._at, len(self._rounds) - 1)]

    def one_round(self) -> None:
        """Go on."""
        self._at += 1


def test_warming_up_ends_with_the_round_that_captured_nothing() -> None:
    """Two rounds of captures, and one of replays; a graph that was refused does not delay it."""
    counts = [
        GraphCounts(eager=5, captures=5),
        GraphCounts(eager=6, captures=6, replays=4),
        GraphCounts(eager=7, captures=6, replays=8, failures=1),
        GraphCounts(eager=8, captures=6, replays=12, failures=1),
    ]
    graphs: Any = CountedModel(counts)
    assert warm_up(graphs, graphs.one_round) == 3
    without: Any = CountedModel([GraphCounts(eager=5), GraphCounts(eager=10)])
    assert warm_up(without, without.one_round) == 1


def report_of(device: str, rate: float, p50: float, dims: str = "2b") -> dict[str, Any]:
    """A report with two figures of which goals are made."""
    row = {"task": "detect", "crops": 1, "batch": 32, "tasks_per_frame": 1, "objects": 5,
           "repeated_pictures": False}  # fmt: skip
    return {
        "schema": 1,
        "commit": "abc",
        "machine": {"device": device, "dims": dims},
        "throughput": [
            {**row, "repeated_pictures": True, "frames_per_second": {"median": 999.0}},
            {**row, "frames_per_second": {"median": rate}, "rounds": 3},
            {**row, "crops": 9, "skipped": "time"},
        ],
        "latency": [
            {"task": "question of 3 tokens", "crops": 1, "other_rows": 31, "p50_ms": 90.0},
            {"task": "question of 3 tokens", "crops": 1, "other_rows": 0, "p50_ms": p50},
        ],
    }


def test_goals_are_met_missed_or_open() -> None:
    """Rates are at least, latencies at most; what was not measured, or not on a GPU, is open."""
    named = [(goal["got"], goal["met"]) for goal in goals(report_of("H200", 171.0, 26.0))]
    assert named == [(171.0, True), (None, None), (26.0, False), (None, None)]
    for other in (report_of("cpu", 171.0, 9.0), report_of("H200", 171.0, 9.0, dims="small")):
        assert {goal["met"] for goal in goals(other)} == {None}
    assert [goal["met"] for goal in goals({"throughput": {"skipped": "time"}})] == [None] * 4


def test_reports_of_two_cards_are_compared_only_if_that_is_wanted() -> None:
    """The ratio of every figure both have, and the names of the cards."""
    old, new = report_of("NVIDIA H100", 100.0, 30.0), report_of("NVIDIA H200", 150.0, 15.0)
    with pytest.raises(ReportError, match=r"NVIDIA H200 but old\.json is of NVIDIA H100"):
        check_same_card("NVIDIA H200", old, Path("old.json"), anyway=False)
    check_same_card("NVIDIA H200", old, Path("old.json"), anyway=True)
    check_same_card("NVIDIA H100", old, Path("old.json"), anyway=False)
    said = against(new, old)
    assert "New: NVIDIA H200" in said
    assert "Old: NVIDIA H100" in said
    ratios = [line.split("|")[-2].strip() for line in said.splitlines() if line.endswith(" |")]
    assert sorted(ratios[1:]) == ["0.500", "1.000", "1.000", "1.500"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_minute_on_a_cpu(tmp_path: Path) -> None:
    """What the page promises, with nothing installed that is not needed: right, in time, whole."""
    path = tmp_path / "gpu.json"
    done = shorn(tmp_path, "--dims", "small", "--seconds", "60", "--out", str(path))
    assert done.returncode == 0, done.stderr
    report = read(path)
    assert set(KEYS) < set(report)
    assert report["correctness"]["golden_float32_eager"]["equal"] == 111
    assert report["throughput"][0]["frames_per_second"]["median"] > 0
    assert '"error"' not in path.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_section_has_its_figures(tmp_path: Path) -> None:
    """With time enough nothing is left out but what needs CUDA; then the tables and ratios."""
    path = tmp_path / "gpu.json"
    done = shorn(tmp_path, "--dims", "tiny", "--seconds", "900", "--out", str(path), timeout=550)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert len(text) < 2**20
    assert '"error"' not in text
    assert '"time"' not in text
    report = read(path)
    checks = report["correctness"]
    for name in ON_CUDA_ALONE:
        assert checks.pop(name) == {"skipped": "needs CUDA"}
    assert all(check["ok"] for check in checks.values())
    for name in ("golden_float32_eager", "golden_float32_graphs"):
        assert (checks[name]["equal"], checks[name]["of"]) == (111, 111)
        assert checks[name]["alone"] > 0
    assert all(row["frames_per_second"]["median"] > 0 for row in report["throughput"])
    assert len(report["latency"]) == 8
    assert all(row["p50_ms"] <= row["p99_ms"] for row in report["latency"])
    assert report["live"]["answers"] > 0
    assert report["side_by_side"][1]["encode_once"] == {"equal": 32, "of": 32}
    assert report["side_by_side"][0]["engine_eager_over_encode_once"]["median"] > 0
    assert report["profile"]["cycle_eager"]["operations"] > 100
    assert report["profile"]["cycle_eager"]["top"]
    assert report["loading"]["file_in_cache"]["read weights, s"] > 0
    assert report["options"] == {"skipped": "needs CUDA"}
    assert [goal["met"] for goal in report["goals"]] == [None] * 4
    table = done.stdout[done.stdout.index("| figure | value |") :]
    assert len(table.splitlines()) <= MOST_LINES
    tables = shorn(tmp_path, "--table", str(path))
    assert tables.stdout == page(read(path))
    assert tables.stdout.count("\n|---") == 11
    ratios = shorn(tmp_path, "--table", str(path), "--against", str(path)).stdout
    assert {line.split("|")[-2] for line in ratios.splitlines()[4:]} == {" 1.000 "}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_that_is_killed_keeps_what_it_had(tmp_path: Path) -> None:
    """The file is whole, has the sections before, and says in which one the run ended."""
    path = tmp_path / "gpu.json"
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--dims", "tiny",
         "--seconds", "200", "--sections", "2,4", "--out", str(path)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        rows: list[dict[str, Any]] = []
        while len([row for row in rows if "rounds" in row]) < 2:
            assert time.monotonic() < deadline
            assert running.poll() is None
            rows = read(path).get("throughput", []) if path.exists() else []
        running.send_signal(signal.SIGKILL)
    finally:
        running.kill()
        running.wait()
    report = read(path)
    assert report["running"] == "throughput"
    assert report["ceilings"]["copy_gb_per_s"] > 0
    assert "the run did not come to its end" in summary(report)
