"""What `moonwatch ask FILE` does: one question about events' pictures, or about a recording."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast, get_args

import typer
from rich.console import Console
from rich.progress import Progress

from pipeline.cli.moments import span_of
from pipeline.cli.signals import stop_on_signals
from pipeline.core.answers import Failed, Text
from pipeline.core.clock import SystemClock
from pipeline.core.config import parse_duration
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.events import JsonValue, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.store import EventFilter, Span
from pipeline.core.tasks import AnswerKind, Ask
from pipeline.deployment.model import Deployment
from pipeline.deployment.problems.references import is_open_question
from pipeline.deployment.problems.suggestions import nearest
from pipeline.runtime import questions as asking
from pipeline.runtime.past_questions import (
    EventPictures,
    PastAnswer,
    PresentMasks,
    ask_events,
    ask_recording,
    event_pictures,
    start_engine,
)
from pipeline.telemetry.logs import set_up

# Batches that wait at the engine while one is answered.
_BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class PastWish:
    """The options of the command, as they were given."""

    question: str | None
    events: bool
    every: str | None
    since: str | None
    until: str | None
    cameras: Sequence[str]
    rules: Sequence[str]
    engine: str | None
    answers: str | None
    limit: int


def about_past(
    deployment: Deployment, wish: PastWish, wrong: Mapping[str, object], *, as_json: bool
) -> None:
    """Ask, and print the answers, the likeliest first; `wrong` are options of the other form."""
    problems = [
        Problem(option, "is for pictures and clips; with a deployment file, ask a QUESTION")
        for option, given in wrong.items()
        if given
    ]
    if not wish.question or not wish.question.strip():
        problems.append(Problem("QUESTION", 'is missing; write it last, as in "Is there a van?"'))
    if wish.events == (wish.every is not None):
        both = "cannot go together" if wish.events else "are both missing"
        said = f"and --every {both}: ask the pictures of events, or a recording at intervals"
        problems.append(Problem("--events", said))
    problems += _unknown("--camera", wish.cameras, list(deployment.cameras))
    rules = [rule for camera in deployment.cameras.values() for rule in camera.rules]
    problems += _unknown("--rule", wish.rules, rules)
    if problems:
        raise ConfigError(problems)
    set_up("text", "ERROR")
    zone = _zone(deployment, wish)
    span = span_of(wish.since, wish.until, SystemClock().now(), zone)
    question = _question(wish)
    if wish.events:
        _about_events(deployment, wish, question, span, as_json=as_json)
    else:
        _about_recording(deployment, wish, question, span, as_json=as_json)


def _about_events(
    deployment: Deployment, wish: PastWish, question: Ask, span: Span, *, as_json: bool
) -> None:
    store = deployment.store.build_reader(SystemClock())
    try:
        chosen = EventFilter(tuple(wish.cameras), tuple(wish.rules), span=span)
        found = event_pictures(deployment, store.history, chosen, wish.limit)
    finally:
        store.close()
    stop = stop_on_signals()
    answered: list[PastAnswer] = []
    masks = PresentMasks(deployment)
    if found.pictures:
        name, engine = start_engine(deployment, wish.engine, question)
        config = deployment.engines[name]
        try:
            replies = ask_events(
                engine,
                found.pictures,
                question,
                masks,
                deadline_s=config.deadline.total_seconds(),
                ahead=_BATCHES_AHEAD * config.max_batch,
                stopped=stop.is_set,
            )
            answered = list(_shown(replies, len(found.pictures)))
        finally:
            engine.close()
    go_on = None
    rest = len(found.pictures) - len(answered)
    if (rest or found.more) and answered:
        # The newest are asked first. The end of a period, in milliseconds, is not in it itself, so
        # where the next one was in the same millisecond, this one is asked again.
        oldest = answered[-1].picture.at
        following = found.pictures[len(answered)].at if rest else None
        tied = following is not None and timestamp(following) == timestamp(oldest)
        go_on = f"--until {timestamp(oldest + 0.001 if tied else oldest)}"
    _say(deployment, question, answered, found, go_on, as_json=as_json)
    if masks.copies:
        older = "1 picture is" if masks.copies == 1 else f"{masks.copies} pictures are"
        typer.echo(
            f"{older} older than the camera's masks; copies with these filled are in "
            f"{masks.folder}, delete them when you have seen them",
            err=True,
        )
    if stop.is_set() and rest:
        raise typer.Exit(130)


def _about_recording(
    deployment: Deployment, wish: PastWish, question: Ask, span: Span, *, as_json: bool
) -> None:
    if wish.rules:
        raise ConfigError([Problem("--rule", "is for --events; a recording has no rules yet")])
    able = [name for name, one in deployment.cameras.items() if one.source.is_recording]
    names = list(wish.cameras) or able
    if len(names) != 1 or names[0] not in able:
        said = (
            f"name one camera with a recording: {', '.join(able) or 'there is none in this file'}"
        )
        raise ConfigError([Problem("--camera", said)])
    try:
        every: timedelta = parse_duration(wish.every or "")
    except ValueError as error:
        raise ConfigError([Problem("--every", str(error))]) from None
    if every <= timedelta(0):
        raise ConfigError([Problem("--every", "must be longer than nothing, such as 10m")])
    stop = stop_on_signals()
    name, engine = start_engine(deployment, wish.engine, question)
    config = deployment.engines[name]
    try:
        replies = ask_recording(
            deployment,
            names[0],
            engine,
            question,
            every_s=every.total_seconds(),
            span=span,
            deadline_s=config.deadline.total_seconds(),
            ahead=_BATCHES_AHEAD * config.max_batch,
            stopped=stop.is_set,
        )
        answered = list(_shown(replies, None))
    finally:
        engine.close()
    go_on = None
    if stop.is_set() and answered:
        go_on = f"--since {timestamp(answered[-1].picture.at + 0.001)}"
    _say(deployment, question, answered, EventPictures((), (), more=False), go_on, as_json=as_json)
    if stop.is_set():
        raise typer.Exit(130)


def _shown(answers: Iterator[PastAnswer], total: int | None) -> Iterator[PastAnswer]:
    bars = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    with bars:
        bar = bars.add_task("asking; Ctrl-C shows what was answered", total=total)
        for number, answer in enumerate(answers):
            bars.advance(bar)
            if number == 0 and bars.disable:
                typer.echo("asking; Ctrl-C ends it and shows what was answered", err=True)
            yield answer


def _say(
    deployment: Deployment,
    question: Ask,
    answered: Sequence[PastAnswer],
    found: EventPictures,
    go_on: str | None,
    *,
    as_json: bool,
) -> None:
    answered = sorted(answered, key=_likeliest_first)
    failed = sum(isinstance(one.answer, Failed) for one in answered)
    if as_json:
        document: dict[str, JsonValue] = {
            "question": question.question,
            "answers": [_json(one) for one in answered],
            "without_picture": [
                {
                    "camera": one.camera,
                    "rule": one.rule,
                    "at": timestamp(one.at),
                    "event": one.event,
                    "reason": one.reason,
                }
                for one in found.without
            ],
            "failed": failed,
            "go_on": go_on,
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for one in answered:
            picture = one.picture
            zone = deployment.site_of(picture.camera).timezone
            of = f"{picture.camera}/{picture.rule}" if picture.rule else picture.camera
            typer.echo(
                f"{_told(one):>18}  {local_time(picture.at, zone)}  {of}  {picture.reference}"
            )
        if not answered:
            typer.echo("no picture was asked about", err=True)
    for said, number in Counter(
        f"{one.camera}/{one.rule}: {one.reason}" for one in found.without
    ).items():
        events = "1 event has" if number == 1 else f"{number} events have"
        typer.echo(f"{events} no picture: {said}", err=True)
    if go_on is not None:
        typer.echo(f"there is more to ask; go on with {go_on}", err=True)
    if failed and failed == len(answered):
        reason = next(one.answer.reason for one in answered if isinstance(one.answer, Failed))
        raise MoonwatchError(f"no picture could be answered: {reason}")


def _likeliest_first(one: PastAnswer) -> tuple[int, float, float]:
    answer = one.answer
    if isinstance(answer, Failed):
        return 2, 0.0, -one.picture.at
    likely = answer.yes_probability if isinstance(answer, Text) else None
    return (1, 0.0, -one.picture.at) if likely is None else (0, -likely, -one.picture.at)


def _told(one: PastAnswer) -> str:
    answer = one.answer
    if isinstance(answer, Text) and answer.yes_probability is not None:
        return f"{answer.text} ({answer.yes_probability * 100:.0f} %)"
    return asking.as_text(answer)


def _json(one: PastAnswer) -> JsonValue:
    picture = one.picture
    answer = cast(dict[str, JsonValue], asking.as_json(one.answer))
    return {
        "camera": picture.camera,
        "rule": picture.rule or None,
        "at": timestamp(picture.at),
        "event": picture.event or None,
        "picture": picture.reference,
        **({"masked_copy": True} if picture.masked else {}),
        **answer,
    }


def _question(wish: PastWish) -> Ask:
    text = (wish.question or "").strip()
    kind = wish.answers or ("text" if is_open_question(text) else "yes/no")
    allowed = [known for known in get_args(AnswerKind) if known != "one of"]
    if kind not in allowed:
        said = f"{kind!r} is not a kind of answer; use {', '.join(allowed)}"
        raise ConfigError([Problem("--answers", said)])
    return Ask(text, wish.engine or "", text, cast(AnswerKind, kind))


def _unknown(option: str, names: Sequence[str], known: Sequence[str]) -> list[Problem]:
    problems = []
    for name in names:
        if name not in known:
            guess = nearest(name, known)
            advice = f"did you mean {guess!r}?" if guess else f"there are {', '.join(known)}"
            problems.append(Problem(option, f"there is no {name!r} in the file; {advice}"))
    return problems


def _zone(deployment: Deployment, wish: PastWish) -> str:
    return (deployment.site_of(wish.cameras[0]) if wish.cameras else deployment.site).timezone
