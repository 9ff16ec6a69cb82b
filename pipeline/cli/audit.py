"""`moonwatch audit`: a person counts on drawn clips, and the counts get an accuracy."""

import json
import random
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from connectors.sources.file import FileConfig
from pipeline.cli.moments import Since, Until, span_of
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.arming import ArmingBook
from pipeline.core.audits import Audit, AuditFigure, AuditVerdict
from pipeline.core.clock import SystemClock
from pipeline.core.config import format_duration, parse_duration
from pipeline.core.errors import ConfigError, MoonwatchError, Problem, SourceError
from pipeline.core.local_time import local_time
from pipeline.core.private_files import create_file, let_group_read, make_folder
from pipeline.core.sources import Need
from pipeline.core.store import EventFilter, Span
from pipeline.core.switching import ByHand, SwitchBook
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.suggestions import nearest
from pipeline.insight.auditing import (
    GUARD_S,
    AuditedSpans,
    AuditPlan,
    AuditSpan,
    directed,
    drawn,
    judged,
    kept_media,
    known_time,
    moments_of,
    new_audit,
    open_time,
    plan_from,
    spans_of,
)
from pipeline.insight.summary import audit_json
from pipeline.render.audit_clips import ShownClip, page, write_clip, write_masked
from pipeline.telemetry.logs import set_up

_BESIDE_THE_QUESTION = frozenset(
    {"type", "of", "schedule", "min_coverage", "snapshot", "clip", "verify"}
)
_MOST_BYTES = 4 * 1024 * 1024
_MOST_COUNTED = 999


def audit(
    file: File,
    camera: Annotated[str, typer.Argument(metavar="CAMERA", help="The camera.")],
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule whose counts are judged.")],
    samples: Annotated[
        int, typer.Option(min=1, max=1000, help="How many clips with, and without, events.")
    ] = 40,
    since: Since = None,
    until: Until = None,
    clip: Annotated[str, typer.Option(metavar="DURATION", help="How long a clip is.")] = "20s",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draw the same clips as with this seed before.")
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="For a live camera: its recordings by another device, a file or a folder, with "
            "the times in the files' names.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; by default audit-ID, here.")
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the page has saved: closes the audit with it."),
    ] = None,
    answer: Annotated[
        bool, typer.Option("--answer", help="Ask for the verdicts here, clip by clip.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who judges.")] = "",
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Find out how far a rule's counts are right: draw clips, let a person count, say it.

    Writes clips from a recording and a page that shows them in random order, without what the rule
    has counted. `--verdicts` reads what the page saves, prints precision, recall and accuracy with
    95 % intervals, and keeps them in the store.
    """
    deployment = load(file, overrides)
    _check_names(deployment, file, camera, rule)
    set_up("text", "ERROR")
    let_group_read(deployment.files.group)
    zone = deployment.site_of(camera).timezone
    if verdicts is not None:
        found = _closed(deployment, camera, rule, *_read_verdicts(verdicts, by))
        _say(found, zone, as_json=as_json)
        return
    now = SystemClock().now()
    span = span_of(since, until, now, zone)
    clip_s = _clip_s(clip)
    plan, source = _planned(deployment, camera, rule, samples, span, clip_s, seed, video)
    first = min(one.span.since for one in plan.clips)
    last = max(one.span.until for one in plan.clips)
    opened = new_audit(camera, rule, plan, (span.since or first, span.until or last), now)
    folder = out or Path(f"audit-{opened.id}")
    written = _written(
        deployment, opened, plan, source, folder, _question(deployment, camera, rule)
    )
    store = deployment.store.build(SystemClock())
    try:
        store.audits.keep_audit(opened)
    finally:
        store.close()
    if answer:
        said = _typed(written, plan.directions)
        _say(_closed(deployment, camera, rule, opened.id, said, by), zone, as_json=as_json)
        return
    if as_json:
        told = {"audit": opened.id, "page": str(folder / "audit.html"), "clips": len(written)}
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"{len(written)} clips: open {folder / 'audit.html'} in a browser, judge them, save")
    typer.echo(f"then: moonwatch audit {file} {camera} {rule} --verdicts verdicts-{opened.id}.json")


def _planned(
    deployment: Deployment,
    camera: str,
    rule: str,
    samples: int,
    span: Span,
    clip_s: float,
    seed: int | None,
    video: str | None,
) -> tuple[AuditPlan, "_Footage | _EventMedia"]:
    seed = random.randrange(2**31) if seed is None else seed
    if video is None and not deployment.cameras[camera].source.is_recording:
        return _planned_of_events(deployment, camera, rule, samples, span, seed)
    source = _Footage(deployment, camera, video)
    store = deployment.store.build_reader(SystemClock())
    try:
        moments = moments_of(deployment, store.history, camera, rule, span)
        minutes = store.history.buckets(camera, rule, Span(None, span.until))
        by_hand = ByHand(ArmingBook(store.armings), SwitchBook(store.switches))
        by_hand.arming.refresh()
        by_hand.switches.refresh()
        known, unknown_s = known_time(minutes, span, source.there)
        known = open_time(deployment, camera, rule, known, by_hand)
        if not known:
            said = "nothing is known of this rule then; run the file first, or choose another time"
            raise ConfigError([Problem("--since", said)])
        plan = drawn(spans_of(moments, known, unknown_s, clip_s, seed), samples, seed)
        plan = directed(plan, deployment, store.history, camera, rule, span, known)
    finally:
        store.close()
    if not plan.clips:
        said = f"less than a clip of {clip_s:g} s is known of this rule then"
        raise ConfigError([Problem("--since", said)])
    return plan, source


def _planned_of_events(
    deployment: Deployment, camera: str, rule: str, samples: int, span: Span, seed: int
) -> tuple[AuditPlan, "_EventMedia"]:
    """Of a live camera there is only what its events kept: nothing is known of what was missed."""
    store = deployment.store.build_reader(SystemClock())
    try:
        moments = moments_of(deployment, store.history, camera, rule, span)
        found = kept_media(deployment, store.history, EventFilter((camera,), (rule,), span=span))
    finally:
        store.close()
    if not found:
        said = (
            f"camera {camera!r} is live, and no event of {rule!r} has kept a picture or clip; name "
            "recordings of another device with --video, or add `snapshot: true` to the rule"
        )
        raise ConfigError([Problem("--video", said)])
    typer.echo(
        f"{len(found)} of {len(moments)} events have a picture or clip; without --video nothing "
        "is shown of the time without events, so recall stays unknown",
        err=True,
    )
    busy = [AuditSpan(at - GUARD_S, at + GUARD_S, 1) for at in found]
    spans = AuditedSpans(busy, [], unknown_s=0.0, unseen_s=1.0)
    return drawn(spans, samples, seed), _EventMedia(found)


class _EventMedia:
    """The pictures and clips of events, by when the events were."""

    def __init__(self, found: Mapping[float, Path]) -> None:
        self._found = {at - GUARD_S: path for at, path in found.items()}

    def write(
        self, deployment: Deployment, audit: Audit, span: AuditSpan, out: Path
    ) -> Path | None:
        """Copy what an event kept, with the masks of today: those of then are in it already."""
        kept = self._found[span.since]
        out = out.with_suffix(kept.suffix)
        camera = deployment.cameras[audit.camera]
        if kept.suffix == ".mp4" and camera.sample.masks:
            source = FileConfig(path=str(kept)).build(SystemClock(), "UTC")
            source.open(Need())
            try:
                return out if write_clip(source.pictures(), camera, audit.rule, out) else None
            finally:
                source.close()
        if camera.sample.masks:
            return out if write_masked(kept, camera, out) else None
        create_file(out)
        out.write_bytes(kept.read_bytes())
        return out


class _Footage:
    """Where the pictures of the audited time are."""

    def __init__(self, deployment: Deployment, camera: str, video: str | None) -> None:
        config = deployment.cameras[camera].source
        if isinstance(config, FileConfig):
            if video is not None:
                said = f"is for a live camera; {camera!r} is a recording itself"
                raise ConfigError([Problem("--video", said)])
        else:
            if video is None or not Path(video).exists():
                raise ConfigError([Problem("--video", f"{video} does not exist")])
            config = FileConfig(path=video)
        self._source = config.build(SystemClock(), deployment.site_of(camera).timezone)
        self._files = list(self._source.probe())
        self.there = [(one.start, one.start + one.length_s) for one in self._files]

    def write(
        self, deployment: Deployment, audit: Audit, span: AuditSpan, out: Path
    ) -> Path | None:
        """Write a clip; None where there are no pictures."""
        pictures = self._source.excerpt(self._files, span.since, span.until)
        out = out.with_suffix(".mp4")
        written = write_clip(pictures, deployment.cameras[audit.camera], audit.rule, out)
        return out if written else None


def _written(
    deployment: Deployment,
    audit: Audit,
    plan: AuditPlan,
    source: _Footage | _EventMedia,
    folder: Path,
    question: str,
) -> list[ShownClip]:
    shown: list[ShownClip] = []
    try:
        make_folder(folder / "clips")
        console = Console(stderr=True, quiet=not sys.stderr.isatty())
        for clip in track(plan.clips, "writing clips", console=console, transient=True):
            path = source.write(deployment, audit, clip.span, folder / "clips" / clip.name)
            if path is not None:
                shown.append(ShownClip(clip.name, path))
            else:
                typer.echo(f"{clip.name} has no pictures; it is left out", err=True)
        if not shown:
            raise MoonwatchError("none of the drawn clips has pictures, so there is no audit")
        title = f"{audit.camera}: {audit.rule}"
        document = folder / "audit.html"
        create_file(document)
        told_apart = list(plan.directions)
        document.write_text(page(audit.id, title, question, shown, told_apart), encoding="utf-8")
    except OSError as error:
        said = f"{folder} cannot be written: {error.strerror}; name another folder"
        raise ConfigError([Problem("--out", said)]) from None
    except SourceError as error:
        raise SourceError(error.reason, f"camera {audit.camera!r}: {error}") from None
    return shown


def _question(deployment: Deployment, camera: str, rule: str) -> str:
    config = deployment.cameras[camera].rules[rule]
    task = deployment.cameras[camera].tasks[config.of]
    what = getattr(task, "detect", "something")
    places = config.references()
    if config.type == "line_crossing" and places.lines:
        return (
            f"How many times does a {what} cross the line in each direction? `in` is the "
            "arrow's, `out` the other one."
        )
    terms = []
    for field in sorted(config.model_fields_set - _BESIDE_THE_QUESTION):
        value = getattr(config, field)
        if isinstance(value, timedelta):
            value = format_duration(value)
        if isinstance(value, str | int | float):
            terms.append(f"{(type(config).model_fields[field].alias or field)} {value}")
    which = ", ".join([f"{config.type} of {what}", *terms]).replace("_", " ")
    return f"How many times does this begin: {rule} ({which})?"


def _typed(clips: list[ShownClip], directions: Collection[str]) -> dict[str, AuditVerdict]:
    """Verdicts from the terminal; an empty line, or the end of the input, ends them."""
    said: dict[str, AuditVerdict] = {}
    keys = "y once, n not at all, a number, u cannot be told"
    if directions:
        keys = "i for each in and o for each out, as in iio, n not at all, u cannot be told"
    typer.echo(f"{keys}; an empty line ends", err=True)
    for clip in clips:
        while True:
            typer.echo(f"{clip.path}: ", nl=False, err=True)
            line = sys.stdin.readline()
            word = line.strip().lower()
            if not word:
                return said
            verdict: AuditVerdict = {"y": 1, "n": 0, "u": None}.get(word, -1)
            if directions and not word.strip("io"):
                verdict = {"in": word.count("i"), "out": word.count("o")}
            elif word.isdecimal() and int(word) <= _MOST_COUNTED:
                verdict = int(word)
            if verdict != -1:
                said[clip.name] = verdict
                break
            typer.echo(f"  {word[:20]!r} is no verdict: {keys}", err=True)
    return said


def _read_verdicts(path: Path, by: str) -> tuple[str, Mapping[str, AuditVerdict], str]:
    """The audit's id, the verdicts and who gave them; raises ConfigError."""
    try:
        data: Any = json.loads(read_text_file(path, _MOST_BYTES))
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnreadableTextError as error:
        raise ConfigError([Problem(str(path), str(error))]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(str(path), f"is not valid JSON: {error}")]) from None
    if not isinstance(data, dict) or not isinstance(data.get("audit"), str):
        said = 'is not what the page saves: {"audit": ..., "verdicts": {"clip-01": 1, ...}}'
        raise ConfigError([Problem(str(path), said)])
    verdicts = data.get("verdicts")
    if not isinstance(verdicts, dict):
        raise ConfigError([Problem(f"{path}: verdicts", "must be a map of clips to numbers")])
    problems = [
        Problem(
            f"{path}: verdicts.{str(name)[:40]}",
            f"{str(value)[:40]!r} is no verdict: a whole number, of a line "
            '{"in": 1, "out": 0}, or null if it cannot be told',
        )
        for name, value in verdicts.items()
        if not _is_verdict(value)
    ]
    if problems:
        raise ConfigError(problems)
    said_by = data.get("by")
    return data["audit"], verdicts, by or (said_by[:64] if isinstance(said_by, str) else "")


def _is_verdict(value: Any) -> bool:
    if isinstance(value, dict):
        return {*value} <= {"in", "out"} and all(
            type(number) is int and 0 <= number <= _MOST_COUNTED for number in value.values()
        )
    return value is None or (type(value) is int and 0 <= value <= _MOST_COUNTED)


def _closed(
    deployment: Deployment,
    camera: str,
    rule: str,
    audit_id: str,
    verdicts: Mapping[str, AuditVerdict],
    by: str,
) -> Audit:
    store = deployment.store.build(SystemClock())
    try:
        opened = store.audits.audit(audit_id)
        if opened is None:
            known = ", ".join(one.id for one in store.audits.audits(camera, rule)) or "none"
            said = f"the store has no audit {audit_id[:40]!r} of this rule; it has {known}"
            raise ConfigError([Problem("--verdicts", said)])
        if (opened.camera, opened.rule) != (camera, rule):
            said = f"are for {opened.camera} {opened.rule}, not for {camera} {rule}"
            raise ConfigError([Problem("--verdicts", said)])
        names = {clip.name for clip in plan_from(opened).clips}
        strangers = [name for name in verdicts if name not in names]
        if strangers:
            said = f"name clips that were not drawn: {', '.join(strangers)[:80]}"
            raise ConfigError([Problem("--verdicts", said)])
        if all(value is None for value in verdicts.values()):
            raise ConfigError([Problem("--verdicts", "judge no clip, so nothing can be said")])
        found = judged(opened, verdicts, SystemClock().now(), by)
        store.audits.keep_audit(found)
    finally:
        store.close()
    return found


def _say(audit: Audit, zone: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(audit_json(audit), indent=2))
        return
    figures = audit.figures
    began, ended = local_time(audit.since, zone), local_time(audit.until, zone)
    typer.echo(f"{audit.camera}/{audit.rule}, {began} to {ended}, {figures.judged} clips judged")
    typer.echo(f"  precision  {_percent(figures.precision)}  of what was counted was there")
    typer.echo(f"  recall     {_percent(figures.recall)}  of what was there was counted")
    typer.echo(f"  accuracy   {_percent(figures.accuracy)}  counted, of what was there")
    for name, part in figures.directions.items():
        typer.echo(
            f"  {name}: precision {_percent(part.precision).strip()}, "
            f"recall {_percent(part.recall).strip()}, accuracy {_percent(part.accuracy).strip()}"
        )
    if figures.true is not None:
        true = figures.true
        typer.echo(
            f"  counted {figures.counted}; there were {true.value:.0f} "
            f"({true.low:.0f} to {true.high:.0f})"
        )
    if figures.recall is None:
        typer.echo("  no clip without events was judged, so nothing is known of what was missed")
    elif figures.recall.high - figures.recall.low > 0.2:
        typer.echo("  the interval of recall is wide: judge more clips (--samples)")


def _percent(figure: AuditFigure | None) -> str:
    if figure is None:
        return f"{'unknown':>24}"
    low, high = figure.low * 100, figure.high * 100
    return f"{figure.value * 100:5.1f} %  ({low:5.1f} to {high:5.1f})"


def _clip_s(text: str) -> float:
    try:
        length: timedelta = parse_duration(text)
    except ValueError as error:
        raise ConfigError([Problem("--clip", str(error))]) from None
    if not 8 <= length.total_seconds() <= 300:
        raise ConfigError([Problem("--clip", f"{text} is not from 8s to 5m")])
    return length.total_seconds()


def _check_names(deployment: Deployment, file: Path, camera: str, rule: str) -> None:
    mine = deployment.cameras.get(camera)
    for word, name, known in (
        ("CAMERA", camera, list(deployment.cameras)),
        ("RULE", rule, list(mine.rules) if mine is not None else []),
    ):
        if name not in known:
            guess = nearest(name, known)
            has = f"it has {', '.join(known)}" if known else "it has none"
            advice = f"did you mean {guess!r}?" if guess else has
            said = f"{file} has no {word.lower()} {name!r}; {advice}"
            raise ConfigError([Problem(word, said)])
