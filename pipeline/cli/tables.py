"""What a person sees: tables of a run's figures, the live table, problems of a file."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from pipeline.core.errors import Problem
from pipeline.delivery import LaneStatus
from pipeline.insight.evaluation import Comparison
from pipeline.insight.summary import Summary
from pipeline.telemetry.figures import Figures


def summary_tables(summary: Summary) -> Iterator[RenderableType]:
    """The figures of a run, a table for each kind that has any."""
    if summary.footfall:
        table = _table("footfall", "camera", "rule", "in", "out", "known")
        for line in summary.footfall:
            entered, left = _number(line.entered), _number(line.left)
            table.add_row(line.camera, line.rule, entered, left, _span(line.known_s))
        yield table
    if summary.presence:
        table = _table("occupancy", "camera", "rule", "mean", "max", "known")
        for zone in summary.presence:
            mean = "unknown" if zone.mean is None else f"{zone.mean:.2f}"
            table.add_row(zone.camera, zone.rule, mean, _number(zone.maximum), _span(zone.known_s))
        yield table
    if summary.stays:
        table = _table("visits", "camera", "rule", "visits", "mean", "longest")
        for stay in summary.stays:
            longest = f"{stay.longest_s:.1f} s"
            table.add_row(stay.camera, stay.rule, str(stay.visits), f"{stay.mean_s:.1f} s", longest)
        yield table
    if summary.events:
        table = _table("events", "camera", "rule", "events")
        for (camera, rule), events in summary.events.items():
            table.add_row(camera, rule, str(events))
        yield table
    yield _frames_table(summary)


def _frames_table(summary: Summary) -> Table:
    table = _table("frames", "camera", "sampled", "dropped", "failed tasks", "per second")
    for flow in summary.flows:
        dropped = ", ".join(f"{n} {reason}" for reason, n in flow.dropped.items()) or "none"
        rate = f"{flow.sampled / summary.seconds:.1f}" if summary.seconds else "unknown"
        failed = f"[red]{flow.failed}[/]" if flow.failed else "0"
        table.add_row(flow.camera, str(flow.sampled), dropped, failed, rate)
    return table


def comparison_table(rows: Sequence[Comparison]) -> Table:
    """Counted against true, with the error of each."""
    table = _table("evaluation", "", "name", "rule", "counted", "true", "error")
    for row in rows:
        table.add_row(
            row.kind, row.name, row.rule, row.counted, row.true, f"{row.error * 100:.1f} %"
        )
    return table


def live_table(figures: Figures, lanes: Sequence[LaneStatus], up_s: float) -> Table:
    """How every camera and sink is doing at this moment."""
    table = Table(title=f"moonwatch, up {timedelta(seconds=round(up_s))}", title_justify="left")
    for name in ("camera", "state", "sampled", "dropped", "judged", "events"):
        table.add_column(name, justify="left" if name in ("camera", "state") else "right")
    for camera, counted in figures.items():
        table.add_row(
            camera,
            "[green]online[/]" if counted.up else "[red]offline[/]",
            str(counted.sampled),
            str(sum(counted.dropped.values())),
            str(counted.judged),
            str(counted.events),
        )
    for lane in lanes:
        # Escaped: what a sink says of its failure may hold brackets, which mean colours here.
        state = f"[red]{escape(lane.error)}[/]" if lane.error else "[green]delivering[/]"
        table.add_row(f"→ {lane.sink}", state, "", "", f"{lane.behind} behind", str(lane.delivered))
    return table


def status_line(figures: Figures, lanes: Sequence[LaneStatus], up_s: float) -> str:
    """The same in one line, for logs."""
    all_ = list(figures.values())
    up = sum(counted.up for counted in all_)
    sampled = sum(counted.sampled for counted in all_)
    dropped = sum(sum(counted.dropped.values()) for counted in all_)
    events = sum(counted.events for counted in all_)
    behind = ", ".join(f"{lane.sink} {lane.behind} behind" for lane in lanes if lane.behind)
    return (
        f"up {timedelta(seconds=round(up_s))}: {up} of {len(all_)} cameras online, "
        f"{sampled} frames sampled, {dropped} dropped, {events} events"
        + (f"; {behind}" if behind else "")
    )


def print_problems(console: Console, file: str, problems: Sequence[Problem]) -> None:
    """All problems of a file, one a line, with their number."""
    for problem in problems:
        console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    console.print(f"{file}: {count}", style="bold red", markup=False, highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _number(known: int | None) -> str:
    return "unknown" if known is None else str(known)


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
