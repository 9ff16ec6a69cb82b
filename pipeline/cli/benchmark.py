"""`moonwatch benchmark`: published benchmarks, measured with the model here or with a server."""

import importlib
import json
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.table import Table

from pipeline.benchmarking.items import Answerer, BenchmarkError
from pipeline.benchmarking.prompts import PromptStyle
from pipeline.benchmarking.remote import Interface, open_remote
from pipeline.benchmarking.runner import BenchmarkRun, run_benchmark
from pipeline.benchmarking.suite import BENCHMARKS, benchmark_named
from pipeline.cli.options import AsJson
from pipeline.cli.tables import print_tables
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.machine import how_to_install
from pipeline.moondream.checkpoints.revisions import OFFICIAL

_NAMES = ", ".join(benchmark.name for benchmark in BENCHMARKS)


def benchmark(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {_NAMES}.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Its Parquet file, or the folder of them. Nothing is downloaded: without the "
            "files, the command that fetches them and their licence are shown."
        ),
    ],
    engine: Annotated[
        str, typer.Option(metavar="local|remote", help="The model here, or a server.")
    ] = "local",
    model: Annotated[
        str | None,
        typer.Option(help="Hub repository or folder of the model; the name a server knows it by."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Release, or RELEASE@COMMIT.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    resizer: Annotated[str, typer.Option(metavar="auto|pillow|vips")] = "auto",
    max_crops: Annotated[
        int | None, typer.Option(min=1, help="Most crops of a picture; by default the model's.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Of the server, such as http://127.0.0.1:8000/v1.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="A file with the server's API key.")] = None,
    interface: Annotated[
        str,
        typer.Option(
            "--api",
            metavar="openai|moondream",
            help="How a server is asked questions. Boxes and points always go to Moondream's "
            "/detect and /point.",
        ),
    ] = "openai",
    prompts: Annotated[
        str,
        typer.Option(
            metavar="official|plain", help="As Moondream's own scripts ask, or as lmms-eval does."
        ),
    ] = "official",
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many rounds of sampled answers, each with its seeds.")
    ] = 1,
    reasoning: Annotated[bool, typer.Option("--reasoning", help="Think first.")] = False,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of an answer; by default the prompt's.")
    ] = None,
    all_classes: Annotated[
        bool,
        typer.Option("--all-classes", help="coco: ask for all 80 classes in every picture."),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests at the same time.")] = 32,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep every answer here, as JSON lines, and the summary beside it. A run that "
            "was stopped goes on where it was."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure ChartQA, DocVQA, TextVQA, CountBenchQA, OCRBench, COCO or ScreenSpot.

    Answers are greedy unless a temperature is given. The summary names each metric's definition
    and has the model card's figure beside it.
    """
    run = BenchmarkRun(
        benchmark_named(name),
        data,
        _one_of("--prompts", prompts, get_args(PromptStyle)),
        temperature,
        seeds,
        reasoning,
        max_tokens,
        limit,
        all_classes,
        out,
    )
    run.check()
    run.open_data()  # before the model, which takes its time to load
    answerer: Answerer
    if _one_of("--engine", engine, ("local", "remote")) == "local":
        _not_for("local", {"--url": url, "--key-file": key_file})
        answerer = _local().load_local(
            model or OFFICIAL,
            revision,
            device=device,
            dtype=dtype,
            resizer=_one_of("--resizer", resizer, ("auto", "pillow", "vips")),
            max_crops=max_crops,
            batch=batch,
        )
    else:
        _not_for("remote", {"--revision": revision, "--max-crops": max_crops})
        if url is None:
            raise ConfigError([Problem("--url", "is missing; --engine remote measures a server")])
        answerer = open_remote(
            url, model, key_file, batch, _one_of("--api", interface, get_args(Interface))
        )
    with closing(answerer):
        summary = run_benchmark(run, answerer, _AnswerProgress(quiet=as_json))
    if out is not None:
        _keep(out.with_name(f"{out.stem}.summary.json"), summary)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    print_tables(summary_tables(summary))
    for note in summary["notes"]:
        typer.echo(f"note: {note}")


class _AnswerProgress:
    """A line on standard error for every hundred answers; a log keeps them all."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, answered: int) -> None:
        if not self._quiet and answered % 100 == 0:
            typer.echo(f"{answered} answers", err=True)


def _keep(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary whole or not at all."""
    beside = path.with_name(f"{path.name}.part")
    try:
        beside.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(beside, path)  # noqa: PTH105
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be written: {error.strerror}") from error


def summary_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The figures of a run, the published one marked as such, and what it was made with."""
    return [
        table
        for table in (
            _figures(summary),
            _coco(summary),
            _parts(summary),
            _answers(summary),
            _made_with(summary),
        )
        if table is not None
    ]


def _figures(summary: Mapping[str, Any]) -> Table:
    table = Table(title=summary["title"], title_justify="left", title_style="bold")
    for column in ("metric", "measured", "95 % interval", "seeds", "published", "definition", ""):
        table.add_column(column)
    published = summary["published"]
    for name, told in summary["metrics"].items():
        interval = told["interval_95"]
        seeds = f"±{told['deviation_of_seeds']:.2f}" if "by_seed" in told else ""
        is_published = name == published["metric"]
        table.add_row(
            name,
            f"{told['value']:.2f}",
            f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "unknown",
            seeds,
            f"{published['value']} ({published['since']})" if is_published else "",
            told["definition"],
            told["says"],
        )
    return table


def _coco(summary: Mapping[str, Any]) -> Table | None:
    values = summary.get("coco")
    if values is None or "ap" not in values:
        return None
    table = Table(title="COCO's own metric", title_justify="left", title_style="bold")
    for column in ("AP", "AP50", "AR100", ""):
        table.add_column(column)
    figures = (f"{values[name]:.2f}" for name in ("ap", "ap50", "ar100"))
    table.add_row(*figures, values["classes"])
    return table


def _parts(summary: Mapping[str, Any]) -> Table | None:
    if not summary["parts"]:
        return None
    table = Table(title="parts", title_justify="left", title_style="bold")
    names = list(summary["metrics"])
    for column in ("part", "questions", *names):
        table.add_column(column)
    for part, values in summary["parts"].items():
        cells = (f"{values[name]:.2f}" if name in values else "" for name in names)
        table.add_row(part, str(values["questions"]), *cells)
    return table


def _answers(summary: Mapping[str, Any]) -> Table:
    table = Table(title="answers", title_justify="left", title_style="bold")
    counts = {key: value for key, value in summary["answers"].items() if key != "reasons"}
    speed = summary["speed"]
    for column in (*counts, "pictures per second", "median ms"):
        table.add_column(column.replace("_", " "))
    cells = (f"[red]{n}[/]" if key == "failed" and n else str(n) for key, n in counts.items())
    table.add_row(*cells, str(speed["pictures_per_s"]), str(speed["median_ms"]))
    return table


def _made_with(summary: Mapping[str, Any]) -> Table:
    table = Table(title="made with", title_justify="left", title_style="bold")
    shown = {
        key: value
        for key, value in summary["settings"].items()
        if key not in ("benchmark", "data") and value not in (None, False)
    }
    for key in shown:
        table.add_column(key.replace("_", " "))
    table.add_row(*map(str, shown.values()))
    return table


def _local() -> Any:
    """The module of the model in this process, which needs torch."""
    try:
        return importlib.import_module("pipeline.benchmarking.local")
    except ImportError as error:
        raise BenchmarkError(
            f"the local engine needs {error.name or 'torch'}; install it with: "
            f"{how_to_install('moondream')}, or measure a server with --engine remote"
        ) from error


def _one_of(option: str, value: str, known: tuple[Any, ...]) -> Any:
    if value not in known:
        raise ConfigError(
            [Problem(option, f"{value!r} is not known; use {' or '.join(map(str, known))}")]
        )
    return value


def _not_for(engine: str, given: Mapping[str, object]) -> None:
    problems = [
        Problem(option, f"is not for --engine {engine}")
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise ConfigError(problems)
