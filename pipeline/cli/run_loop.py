"""What `run` and `evaluate` share: start a deployment, show its status, stop it."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli import progress
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.summary import Summary, summarise
from pipeline.runtime.run_handle import RunHandle

# How often a run is polled, and sinks learn of new events.
_LOOK_S = 0.1
_LINE_EVERY_S = 60.0


def work(
    run: RunHandle,
    stop: threading.Event,
    hang_up: threading.Event | None = None,
    *,
    quiet: bool,
    look: Callable[[], None] | None = None,
) -> Summary:
    """Start a run, poll it until it is over, stop it, and return its summary.

    Whenever `hang_up` is set, the run reads its file again. `look` is called at every poll.
    """
    began = time.monotonic()
    try:
        run.start()
        with _display(run, quiet=quiet) as show:
            while not stop.is_set() and run.failure is None:
                if run.finished and not run.is_delivering:
                    break
                if hang_up is not None and hang_up.is_set():
                    hang_up.clear()
                    run.hang_up()
                run.poll()
                if look is not None:
                    look()
                show()
                stop.wait(_LOOK_S)
    finally:
        run.stop()
    try:
        took_s = time.monotonic() - began
        figures, store = run.status().figures, run.store
        return summarise(run.deployment, store.history, figures, took_s, store.audits)
    finally:
        run.close()


def one_camera(file: Path, overrides: list[str], camera: str | None) -> tuple[Deployment, str]:
    """The deployment reduced to one camera, and that camera's name."""
    deployment = load(file, overrides)
    name = camera or next(iter(deployment.cameras))
    if name not in deployment.cameras:
        raise ConfigError([Problem("--camera", f"{file} has no camera {name!r}")])
    return deployment.model_copy(update={"cameras": {name: deployment.cameras[name]}}), name


@contextmanager
def _display(run: RunHandle, *, quiet: bool) -> Iterator[Callable[[], None]]:
    if quiet:
        yield lambda: None  # the caller reads the result
    elif sys.stderr.isatty():
        with progress.live(run) as show:
            yield show
    else:
        yield progress.line_every(run, _LINE_EVERY_S)
