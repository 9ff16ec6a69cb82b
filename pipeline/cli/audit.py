"""`moonwatch audit`: a person counts on drawn clips, and the counts get an accuracy."""

import json
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from pipeline.cli.moments import Since, Until, span_of
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.core.audits import Audit, AuditFigure, AuditVerdict
from pipeline.core.clock import SystemClock
from pipeline.core.config import parse_duration
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.local_time import local_time
from pipeline.core.private_files import create_file, let_group_read, make_folder
from pipeline.core.text_files import UnreadableTextError, read_text_file
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.suggestions import nearest
from pipeline.insight.auditing import (
    AuditPlan,
    judged,
    new_audit,
    plan_from,
)
from pipeline.insight.summary import audit_json
from pipeline.render.audit_clips import ShownClip, page
from pipeline.render.audit_drawing import (
    AuditFootage,
    AuditWish,
    EventMedia,
    planned_audit,
    question_of,
)
from pipeline.telemetry.logs import set_up

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
    wish = AuditWish(camera, rule, samples, span, clip_s, seed, video)
    reader = deployment.store.build_reader(SystemClock())
    try:
        made = planned_audit(deployment, reader, wish)
    finally:
        reader.close()
    plan, source = made.plan, made.source
    if made.note:
        typer.echo(made.note, err=True)
    first = min(one.span.since for one in plan.clips)
    last = max(one.span.until for one in plan.clips)
    opened = new_audit(camera, rule, plan, (span.since or first, span.until or last), now)
    folder = out or Path(f"audit-{opened.id}")
    written = _written(
        deployment, opened, plan, source, folder, question_of(deployment, camera, rule)
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


def _written(
    deployment: Deployment,
    audit: Audit,
    plan: AuditPlan,
    source: AuditFootage | EventMedia,
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
    return shown


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
