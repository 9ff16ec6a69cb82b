"""Tables for the terminal: a run's figures, the live table, problems of a file."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.core.audits import Audit, AuditFigure
from pipeline.core.errors import Problem
from pipeline.core.frames import LEFT_OUT
from pipeline.delivery import LaneStatus
from pipeline.insight.evaluation import Comparison
from pipeline.insight.probing import ProbedCamera
from pipeline.insight.summary import Summary, SummaryRows
from pipeline.telemetry.figures import CameraFigures, Figures

_LEFT_OUT_AS = {"rate": "between samples", "motion": "without motion", "duplicate": "duplicates"}


def summary_tables(summary: Summary) -> Iterator[Table]:
    """The figures of a run, a table for each kind that has any."""
    for measured in summary.measured:
        if measured.rows:
            yield _measured_table(measured)
    if summary.events:
        apart = {"rejected": summary.rejected, "of an earlier judging": summary.superseded}
        shown = {heading: events for heading, events in apart.items() if events}
        table = _table("events", "camera", "rule", "events", *shown)
        for key, counted in summary.events.items():
            uncounted = (str(events.get(key, 0)) for events in shown.values())
            table.add_row(*key, str(counted), *uncounted)
        yield table
    if summary.audits:
        yield audits_table(summary.audits)
    yield _frames_table(summary)


def audits_table(audits: Sequence[Audit]) -> Table:
    """What persons found out about counts, with 95 % intervals."""
    table = _table("audited", "camera", "rule", "precision", "recall", "accuracy", "judged")
    for audit in audits:
        day = datetime.fromtimestamp(audit.judged_at or 0.0, UTC).date().isoformat()
        for name, found in audit.parts().items():
            cells = [_interval(one) for one in (found.precision, found.recall, found.accuracy)]
            table.add_row(audit.camera, name, *cells, day)
    return table


def _interval(figure: AuditFigure | None) -> str:
    if figure is None:
        return "unknown"
    return f"{figure.value:.1%} ({figure.low:.0%} to {figure.high:.0%})"


def _measured_table(measured: SummaryRows) -> Table:
    shown = measured.table
    headings = [column.heading or column.name for column in shown.columns]
    table = _table(shown.title, "camera", "rule", *headings, *["known"] * shown.shows_known)
    for row in measured.rows:
        cells = [column.written(row.values.get(column.name)) for column in shown.columns]
        if shown.shows_known:
            known = str(timedelta(seconds=round(row.known_s)))
            cells.append(f"{known}, last minute unfinished" if row.unfinished else known)
        table.add_row(row.camera, row.rule, *cells)
    return table


def _frames_table(summary: Summary) -> Table:
    headings = ("camera", "sampled", "left out", "dropped", "failed tasks", "per second")
    table = _table("frames", *headings)
    for flow in summary.flows:
        reasons = flow.dropped.items()
        left_out = ", ".join(f"{n} {_LEFT_OUT_AS[why]}" for why, n in reasons if why in LEFT_OUT)
        dropped = lost_frames(flow.dropped)
        rate = f"{flow.sampled / summary.seconds:.1f}" if summary.seconds else "unknown"
        failed = f"[red]{flow.failed}[/]" if flow.failed else "0"
        lost = f"[red]{dropped}[/]" if dropped != "none" else dropped
        table.add_row(flow.camera, str(flow.sampled), left_out or "none", lost, failed, rate)
    return table


def lost_frames(dropped: Mapping[str, int]) -> str:
    """Frames that were lost, by reason."""
    return ", ".join(f"{n} {why}" for why, n in dropped.items() if why not in LEFT_OUT) or "none"


def print_tables(tables: Iterable[Table]) -> None:
    """Print tables, or lines in a journal, a pipe or a file, where frames are noise.

    A line is not cut: `footfall: camera door, rule sill, in 3, out 2`.
    """
    console = Console()
    for table in tables:
        if console.is_terminal:
            console.print(table)
        else:
            for line in _plain_lines(table):
                typer.echo(line)


def _plain_lines(table: Table) -> Iterator[str]:
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    for row in zip(*columns, strict=True):
        headed = zip(table.columns, row, strict=True)
        said = (f"{column.header} {cell}".strip() for column, cell in headed if cell)
        yield f"{table.title}: {', '.join(said)}"


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain


def remarks_table(remarks: Sequence[str]) -> Table:
    """What is wrong with recordings that were played."""
    table = _table("recordings", "what is wrong with them")
    for remark in remarks:
        table.add_row(escape(remark))  # paths may contain brackets, which mean colours here
    return table


def probed_table(probed: ProbedCamera) -> Table:
    """A camera's recordings as they would be played, with the pauses between and inside them."""
    table = _table(
        f"{probed.camera}: {escape(probed.source)} (times of {probed.zone})",
        "file",
        "begins",
        "taken from",
        "ends",
        "length",
        "gap before",
        "pauses inside",
        "codec",
        "size",
        "rate",
    )
    before: float | None = None
    for file in probed.files:
        end = file.start + file.length_s
        gap_s = 0.0 if before is None else file.start - before
        pauses_s = sum(stop - begin for begin, stop in file.gaps)
        width, height = file.size_wh
        table.add_row(
            escape(file.path),
            _clock(file.start, probed.zone),
            file.basis.value,
            _clock(end, probed.zone),
            _span(file.length_s),
            _span(gap_s) if gap_s >= 0.1 else "",
            f"{len(file.gaps)} ({_span(pauses_s)})" if file.gaps else "",
            file.codec,
            f"{width}x{height}" if width else "",
            f"{file.rate:.4g}" if file.rate else "",
        )
        before = end
    return table


def _clock(at: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def comparison_table(rows: Sequence[Comparison]) -> Table:
    """Counted against true, with the error of each."""
    table = _table("evaluation", "", "name", "rule", "counted", "true", "error")
    for row in rows:
        table.add_row(
            row.kind, row.name, row.rule, row.counted, row.true, f"{row.error * 100:.1f} %"
        )
    return table


def live_table(
    figures: Figures,
    lanes: Sequence[LaneStatus],
    up_s: float,
    recordings: Collection[str] = (),
) -> Table:
    """The current status of every camera and sink; `recordings` are the cameras that will end."""
    table = Table(title=f"moonwatch, up {timedelta(seconds=round(up_s))}", title_justify="left")
    for name in ("camera", "state", "sampled", "dropped", "judged", "events"):
        table.add_column(name, justify="left" if name in ("camera", "state") else "right")
    for camera, counted in figures.items():
        table.add_row(
            camera,
            _state(counted, is_recording=camera in recordings),
            str(counted.sampled),
            str(_lost(counted)),
            str(counted.judged),
            str(counted.events),
        )
    for lane in lanes:
        # Escaped: a sink's error may contain brackets, which mean colours here.
        state = f"[red]{escape(lane.error)}[/]" if lane.error else "[green]delivering[/]"
        table.add_row(f"→ {lane.sink}", state, "", "", f"{lane.behind} behind", str(lane.delivered))
    return table


def _state(counted: CameraFigures, *, is_recording: bool) -> str:
    if not is_recording:
        return "[green]online[/]" if counted.up else "[red]offline[/]"
    if counted.up:
        return "[green]playing[/]"
    return "ended" if counted.sampled else "starting"


def _lost(counted: CameraFigures) -> int:
    return sum(n for reason, n in counted.dropped.items() if reason not in LEFT_OUT)


def status_line(
    figures: Figures,
    lanes: Sequence[LaneStatus],
    up_s: float,
    recordings: Collection[str] = (),
) -> str:
    """The same in one line, for logs."""
    all_ = list(figures.values())
    sampled = sum(counted.sampled for counted in all_)
    dropped = sum(map(_lost, all_))
    events = sum(counted.events for counted in all_)
    behind = ", ".join(f"{lane.sink} {lane.behind} behind" for lane in lanes if lane.behind)
    live = [counted for camera, counted in figures.items() if camera not in recordings]
    played = [counted for camera, counted in figures.items() if camera in recordings]
    states = []
    if live:
        states.append(f"{sum(c.up for c in live)} of {_number(len(live), 'camera')} online")
    if played:
        ended = sum(not c.up and c.sampled > 0 for c in played)
        states.append(f"{ended} of {_number(len(played), 'recording')} ended")
    return (
        f"up {timedelta(seconds=round(up_s))}: {', '.join(states)}, "
        f"{sampled} frames sampled, {dropped} dropped, {events} events"
        + (f"; {behind}" if behind else "")
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_problems(console: Console, file: str, problems: Sequence[Problem]) -> None:
    """All problems of a file, one per line, and their number."""
    for problem in problems:
        console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    console.print(f"{file}: {count}", style="bold red", markup=False, highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table
