"""Gathers what `moonwatch render` draws: a camera's clip, recorded tracks and stored crossings."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from connectors.sources.file import FileConfig
from connectors.sources.recordings.paths import find_files
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.frames import Picture
from pipeline.core.sources import Need
from pipeline.core.store import EventFilter, History, Page
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.processing.track_log import read_recording
from pipeline.render.painter import Crossing, Scene, render

_ALL = 1_000_000
# Enough pictures to estimate a clip's frame rate, few enough to hold at once.
_PEEK = 20


def render_camera(
    deployment: Deployment, name: str, tracks: Path, out: Path, *, progress: bool
) -> int:
    """Draw one camera's run onto its clip; returns how many pictures were drawn."""
    camera = deployment.cameras[name]
    if not camera.source.is_recording:
        problem = f"is of type {camera.source.type}; only recordings can be rendered"
        raise ConfigError([Problem(f"cameras.{name}.source", problem)])
    if not tracks.exists():
        raise ConfigError(
            [Problem("--tracks", f"{tracks} does not exist; `run --record` writes it")]
        )
    config: FileConfig = camera.source
    read = (tracks, *map(Path, find_files(config.path).files))
    if out.exists() and any(file.exists() and out.samefile(file) for file in read):
        raise ConfigError([Problem("--out", f"{out} is what is read; name another file")])
    store = deployment.store.build_reader(SystemClock())
    try:
        crossings = _crossings(store.history, name, camera)
    finally:
        store.close()
    scene = Scene(
        lines={line: config.shape() for line, config in camera.lines.items()},
        zones={zone: config.shape() for zone, config in camera.zones.items()},
        crossings=crossings,
        moments=tuple(read_recording(tracks, name)),
    )
    source = config.build()
    source.open(Need())
    try:
        with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bars:
            bar = bars.add_task("drawing", total=1.0)
            fps, pictures = _paced(source.pictures())
            return render(
                pictures, scene, out, fps, lambda _: bars.update(bar, completed=source.progress)
            )
    finally:
        source.close()


def _paced(pictures: Iterator[Picture]) -> tuple[Fraction, Iterator[Picture]]:
    """The usual rate of the first pictures, and all pictures."""
    first = list(islice(pictures, _PEEK))
    gaps = sorted(b.captured_at - a.captured_at for a, b in pairwise(first))
    gap = gaps[len(gaps) // 2] if gaps else 0.1
    return Fraction(1 / max(gap, 0.001)).limit_denominator(1001), chain(first, pictures)


def _crossings(history: History, name: str, camera: CameraConfig) -> list[Crossing]:
    """The crossings among the events, in order of time."""
    found = []
    for kept in history.events(EventFilter(cameras=(name,)), Page(_ALL, newest_first=False)):
        event = kept.event
        rule = camera.rules.get(event.rule)
        passage = None if rule is None else rule.passage(event)
        if passage is not None:
            track = None if event.subject is None else event.subject.track
            who = None if rule is None or track is None else (rule.of, track)
            found.append(Crossing(passage.line, event.at, passage.direction, passage.mark, who))
    return sorted(found, key=lambda crossing: crossing.at)
