"""Shows the progress of a run: live tables on a terminal, one log line a minute elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.tables import live_table, status_line
from pipeline.runtime.run_handle import RunHandle

logger = logging.getLogger(__name__)

Show = Callable[[], None]
_REDRAW_S = 0.5


@contextmanager
def live(run: RunHandle) -> Iterator[Show]:
    """Shows a live table and the progress of the files while the block runs."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task("clip", total=1.0) if run.progress() is not None else None
    drawn_at = float("-inf")
    with Live(console=console, refresh_per_second=4, transient=True) as screen:

        def show() -> None:
            nonlocal drawn_at
            if time.monotonic() - drawn_at < _REDRAW_S:
                return
            drawn_at = time.monotonic()
            status = run.status()
            table = live_table(status.figures, status.sinks, status.up_s, _recordings(run))
            if task is not None:
                bar.update(task, completed=run.progress() or 0.0)
            screen.update(Group(table, bar) if task is not None else table)

        yield show


def line_every(run: RunHandle, seconds: float) -> Show:
    """Logs the status of a run, at most every `seconds`."""
    said_at = time.monotonic()

    def show() -> None:
        nonlocal said_at
        if time.monotonic() - said_at < seconds:
            return
        said_at = time.monotonic()
        status = run.status()
        line = status_line(status.figures, status.sinks, status.up_s, _recordings(run))
        logger.info("%s", line)

    return show


def _recordings(run: RunHandle) -> frozenset[str]:
    cameras = run.deployment.cameras.items()
    return frozenset(name for name, camera in cameras if camera.source.is_finite)
