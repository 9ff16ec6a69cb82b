"""`moonwatch status`: status of a deployment, seen from outside."""

import json
from collections.abc import Iterator, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.tables import lost_frames, print_tables
from pipeline.core.clock import SystemClock
from pipeline.core.local_time import local_time
from pipeline.deployment.loader import read
from pipeline.insight.status import UNKNOWN, DeploymentStatus, status_of
from pipeline.runtime.reports import Report
from pipeline.telemetry.figures import CameraFigures
from pipeline.telemetry.logs import set_up


def status(file: File, overrides: Overrides = [], as_json: AsJson = False) -> None:
    """Show the status of a deployment.

    Lists its processes, cameras, engines and sinks, and changes nothing. Exits with 0 if all is
    well, and with 1 if not or if that is unknown.
    """
    loaded = read(file, overrides)
    # What is unreachable is part of the answer and need not be logged as well.
    set_up("text", "CRITICAL")
    found = status_of(loaded.deployment, SystemClock(), loaded.digest)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _show(found, loaded.deployment.site.timezone)
    if not found.ok:
        raise typer.Exit(1)


def _show(found: DeploymentStatus, timezone: str) -> None:
    print_tables(_tables(found, timezone))
    console = Console()
    if found.run is not None and found.run.state not in found.troubles:
        console.print(found.run.state, markup=False, highlight=False, soft_wrap=True)
    for trouble in found.troubles:
        console.print(f"  {trouble}", style="red", markup=False, highlight=False, soft_wrap=True)
    for note in found.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    if found.unseen:
        console.print(found.unseen, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if found.ok:
        console.print("all is well", style="green")


def _tables(found: DeploymentStatus, timezone: str) -> Iterator[Table]:
    if found.processes:
        table = _table("processes", "stage", "host", "pid", "up", "file", "state")
        for one in found.processes:
            table.add_row(
                one.stage,
                one.host,
                str(one.pid),
                f"{one.up_s:.0f} s",
                one.version or UNKNOWN,
                _work(one),
            )
        yield table
    yield _cameras(found)
    # What was spent is known also while nothing runs.
    has_budget = any(engine.budget for engine in found.engines.values())
    if found.unseen is None or has_budget:
        columns = ("engine", "waiting", "oldest", "batch", "50 % within", "99 % within")
        table = _table("engines", *columns, *["spent"] * has_budget)
        for name, engine in found.engines.items():
            spent = "; ".join(
                f"{one.used} of {one.most} {one.of} this {one.period}" for one in engine.budget
            )
            told = (
                _known(engine.waiting),
                "0 s" if engine.waiting == 0 else _known(engine.oldest_s, " s"),
                _known(engine.batch),
                _known(engine.answer_p50_s, " s"),
                _known(engine.answer_p99_s, " s"),
            )
            table.add_row(name, *told, *[spent] * has_budget)
        yield table
    if found.second_looks:
        table = _table("second looks", "camera", "rule", "waiting", "outcomes")
        for look in found.second_looks:
            table.add_row(look.camera, look.rule, str(look.waiting), look.shares)
        yield table
    if found.clips:
        headings = ("camera", "ready", "partial", "failed", "to come", "wait for the bucket")
        has_held = any("held" in clips for clips in found.clips.values())
        table = _table("clips of the last day", *headings[: 5 + has_held])
        for name, clips in found.clips.items():
            fates = ("ready", "partial", "failed", "wanted", "held")[: 4 + has_held]
            table.add_row(name, *(str(clips.get(fate, 0)) for fate in fates))
        yield table
    if found.sequences:
        yield _sequences(found, timezone)
    if found.sinks:
        states = ["state"] if found.unseen is None else []
        columns = ("sink", "behind", "lag", "last success", "95 % within", "undelivered")
        table = _table("sinks", *columns, *states)
        for name, sink in found.sinks.items():
            # As text: a reason in square brackets is not markup.
            words = Text(sink.state)
            figures = sink.figures
            cells: list[str | Text] = [
                _known(sink.behind),
                "0 s" if sink.behind == 0 else _known(sink.lag_s, " s"),
                UNKNOWN
                if figures.accepted_at is None
                else local_time(figures.accepted_at, timezone),
                _known(figures.p95_s, " s"),
                _known(sink.undelivered),
                words,
            ]
            table.add_row(name, *cells[: 5 + len(states)])
        yield table


def _sequences(found: DeploymentStatus, timezone: str) -> Table:
    table = _table("sequences", "sequence", "behind", "waiting", "reported", "last", "state")
    for name, sequence in found.sequences.items():
        table.add_row(
            name,
            _known(sequence.behind),
            _known(sequence.awaiting),
            _known(sequence.reported),
            "none yet" if sequence.last is None else local_time(sequence.last, timezone),
            Text(sequence.state),
        )
    return table


def _cameras(found: DeploymentStatus) -> Table:
    if found.unseen is not None:  # how fast they are only a process could say
        table = _table("cameras", "camera", "last state")
        for name, camera in found.cameras.items():
            table.add_row(name, camera.state or UNKNOWN)
        return table
    table = _table(
        "cameras", "camera", "state", "lag", "sampled/s", "answered/s", "judged/s", "dropped"
    )
    for name, camera in found.cameras.items():
        table.add_row(
            name,
            camera.state or UNKNOWN,
            _known(camera.lag_s, " s"),
            *(_known(camera.per_second.get(hop)) for hop in ("sampled", "answered", "judged")),
            _dropped(camera.figures),
        )
    return table


# More names than this would make the table too wide to read; `--json` has all.
_MOST_NAMES = 4


def _work(process: Report) -> str:
    """What a process is doing, in a few words; a sampler names its cameras."""
    if process.not_ready:
        return "not ready"  # why is said below
    of = [f"sampling {_few(process.samples)}"] if process.samples else []
    if process.stands_by_for:
        of.append(f"on standby for {_few(process.stands_by_for)}")
    return "; ".join(of) or ("on standby" if process.stands_by else "running")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _dropped(figures: CameraFigures | None) -> str:
    if figures is None:
        return UNKNOWN
    return lost_frames(figures.dropped)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _known(value: float | None, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:g}{unit}"
