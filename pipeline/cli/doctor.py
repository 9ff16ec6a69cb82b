"""`moonwatch doctor`: tries everything from here, and says which lines can be trusted."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem, StoreError
from pipeline.core.events import JsonValue
from pipeline.core.local_time import local_time
from pipeline.core.ranges import one_line
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.insight.doctor import DetectorReport, Diagnosis, PlaceReport, diagnose
from pipeline.insight.doctoring import try_all
from pipeline.telemetry.logs import set_up
from pipeline.tracking.scene_figures import Noise, SceneFigures

_MARKS = {"ok": "ok    ", "note": "note  ", "failed": "FAILED"}
_BARS = " ▁▂▃▄▅▆▇█"


def doctor(
    file: File,
    overrides: Overrides = [],
    camera: Annotated[
        list[str], typer.Option("--camera", metavar="NAME", help="Only this camera; repeatable.")
    ] = [],
    sends: Annotated[
        bool,
        typer.Option(
            "--send", help="Also send each sink a test, which says that nothing has happened."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Try everything from here, and show where lines and zones can be trusted.

    Cameras are opened and looked at for some seconds; queue, store, pictures' place, engines and
    sinks are asked; disks and clocks are looked at. Then, from the store, what each camera's
    detector does. It changes nothing, also beside a run that is at work. Exits with 1 if something
    fails, a line or zone is in a bad place, or a camera is looked at too rarely.
    """
    deployment = load(file, overrides)
    unknown = [name for name in camera if name not in deployment.cameras]
    if unknown:
        names = ", ".join(deployment.cameras)
        raise ConfigError(
            [
                Problem("--camera", f"there is no camera {name!r} in {file}; it has {names}")
                for name in unknown
            ]
        )
    set_up("text", "CRITICAL")
    clock, findings = SystemClock(), []
    for finding in try_all(deployment, clock, camera, sends=sends):
        findings.append(finding)
        if not as_json:
            name = f"{finding.part} {finding.name}" if finding.name else finding.part
            shown = finding.message.removeprefix(f"{finding.name} ")
            typer.echo(f"{_MARKS[finding.state]}  {name}: {one_line(shown)}")
    failed = any(finding.state == "failed" for finding in findings)
    trouble = None
    try:
        diagnosis = diagnose(deployment, clock, camera)
    except StoreError as error:
        diagnosis, trouble = Diagnosis(), str(error)
    ok = diagnosis.ok and not failed and trouble is None
    if as_json:
        tried: JsonValue = [finding.as_json() for finding in findings]
        answer = {**diagnosis.as_json(), "ok": ok, "tried": tried, "store_trouble": trouble}
        typer.echo(json.dumps(answer, indent=2))
    else:
        typer.echo("")
        if trouble is not None:
            typer.echo(
                f"nothing is known of lines and zones, as the store cannot be read: {trouble}"
            )
        else:
            for line in _told(diagnosis, deployment):
                typer.echo(line)
    if not ok:
        raise typer.Exit(1)


def _told(diagnosis: Diagnosis, deployment: Deployment) -> Iterator[str]:
    if not diagnosis.detectors:
        yield "no camera has a task that detects anything, so there is nothing to know"
    for report in diagnosis.detectors:
        yield f"camera {report.camera}, task {report.task} ({report.label}, {report.engine})"
        if report.scene is None:
            yield f"  {report.unknown}"
            continue
        zone = deployment.site_of(report.camera).timezone
        for name, said in _detector(report, report.scene, zone):
            yield f"  {name:13}{said}"
        for sentence in report.advice:
            yield f"  ! {sentence}"
        for place in report.places:
            yield from _place(place, report.scene)


def _detector(
    report: DetectorReport, scene: SceneFigures, timezone: str
) -> Iterator[tuple[str, str]]:
    since = local_time(scene.began_at, timezone) if scene.began_at is not None else "unknown"
    rate = f", {scene.rate:.1f} a second while somebody is there" if scene.rate else ""
    yield "looks", f"{scene.looks} since {since}{rate}"
    if scene.boxes is not None:
        yield "boxes", f"{scene.boxes:.1f} in a look, {scene.most_boxes} at most"
    if any(scene.scores):
        yield "scores", _scores(scene, report.start_score)
    loose = scene.unfollowed(report.start_score)
    of = f"; {_percent(loose)} of the boxes that could begin a track are of none" if loose else ""
    yield "followed", f"{scene.tracks} things{of}"
    if scene.heights is not None:
        low, middle, high = (f"{height * 100:.0f}" for height in scene.heights)
        yield (
            "body height",
            f"{middle} % of the picture; 1 in 10 below {low} %, 1 in 10 above {high} %",
        )
    for name, noise in (("feet", scene.feet), ("middle", scene.centre)):
        if noise is not None:
            yield name, _noise(noise, scene)
    if scene.still_feet is not None and scene.moving_feet is not None:
        yield (
            "",
            f"feet of who stands {_percent(scene.still_feet.sd, 1)} of a body, of who walks "
            f"{_percent(scene.moving_feet.sd, 1)}",
        )
    if scene.misses is not None:
        yield (
            "misses",
            f"in {_percent(scene.misses, 1)} of looks at a followed thing it is not detected",
        )
    if scene.seconds is not None:
        yield (
            "second boxes",
            f"in {_percent(scene.seconds, 1)} of looks another box is on the same body",
        )


def _scores(scene: SceneFigures, start_score: float) -> str:
    """A bar for every twentieth from 0 to 1, and how many are too low to begin a track."""
    most, total = max(scene.scores), sum(scene.scores)
    bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in scene.scores)
    below = sum(scene.scores[: round(start_score * len(scene.scores))]) / total
    return (
        f"0 |{bars}| 1; {_percent(below, 0)} below {start_score:g}, which can only continue a track"
    )


def _noise(noise: Noise, scene: SceneFigures) -> str:
    way = "up and down" if noise is scene.feet else "left and right"
    height = scene.heights[1] if scene.heights else None
    share = f" ({_percent(noise.sd * height, 2)} of the picture's height)" if height else ""
    often = f"1 in 20 is off by more than {_percent(noise.often, 0)}"
    return f"jitter {_percent(noise.sd, 1)} of a body {way}{share}; {often}"


def _place(place: PlaceReport, scene: SceneFigures) -> Iterator[str]:
    known = place.placement
    facts: list[str] = []
    if place.per_day is not None:
        facts.append(f"{place.per_day:.0f} crossings a day here")
    elif place.crossings is not None:
        long = place.known_s >= 120
        span = f"{place.known_s / 60:.0f} minutes" if long else f"{place.known_s:.0f} seconds"
        facts.append(f"{place.crossings:.0f} crossings in {span}")
    if known.degrees is not None:
        facts.append(f"walks meet it at {known.degrees:.0f} degrees on the mean")
    if known.sure_from is not None and known.height is not None:
        what = "past it" if place.kind == "line" else "inside or outside"
        share = _percent(known.sure_from * known.height, 1)
        facts.append(
            f"who is {known.sure_from:.2f} body heights ({share} of the picture) past "
            f"{'it' if place.kind == 'line' else 'its border'} is surely {what}"
        )
    if known.stride is not None:
        facts.append(f"things move {known.stride:.2g} body heights between two looks")
    if not facts and not known.remarks:
        facts.append(
            f"too little was seen to tell: {scene.tracks} things were followed so far"
            if not known.seen
            else f"feet were seen {known.seen} times"
        )
    if not known.remarks and (known.seen or known.degrees is not None):
        facts.append("nothing wrong")
    yield f"  {place.kind} {place.name} ({', '.join(place.rules)}): {'; '.join(facts)}"
    for remark in known.remarks:
        yield f"    ! {remark.message}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{share * 100:.{digits}f} %"
