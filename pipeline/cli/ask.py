"""`moonwatch ask`: one-off questions about a picture, a clip, what a camera sees now or saw."""

import json
from contextlib import closing
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, get_args

import typer

from pipeline.cli.moments import Since, Until
from pipeline.cli.options import AsJson, Overrides
from pipeline.cli.past_questions import PastWish, about_past
from pipeline.core.config import parse_duration
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.tasks import Ask, Caption, CaptionLength, Count, Detect, Point, Task
from pipeline.deployment.loader import load, parse
from pipeline.inference.engines.base import EngineConfigBase
from pipeline.runtime import questions as asking

Labels = Annotated[list[str], typer.Option(metavar="LABEL")]


def ask(
    place: Annotated[
        str,
        typer.Argument(
            help="A picture or a clip, - for a picture from standard input, or a camera: rtsp://, "
            "http:// or webcam:0; or a deployment file, to ask about what its cameras saw.",
            metavar="IMAGE|VIDEO|CAMERA|FILE",
        ),
    ],
    past: Annotated[
        str | None, typer.Argument(help="With a deployment file: the question.", metavar="QUESTION")
    ] = None,
    detect: Labels = [],
    point: Labels = [],
    count: Labels = [],
    question: Annotated[list[str], typer.Option("--ask", metavar="QUESTION")] = [],
    caption: Annotated[str | None, typer.Option(metavar="short|normal|long")] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Type of the engine, coco when left out; with a deployment file the name of one "
            "of its engines."
        ),
    ] = None,
    options: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="A setting of the engine.")
    ] = [],
    every: Annotated[
        str | None,
        typer.Option(help="Time between frames of a clip or recording; of a clip 1s by default."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Only the frame at this time of a clip, such as 12s.")
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="With a deployment file: ask its events' pictures.")
    ] = False,
    camera: Annotated[
        list[str], typer.Option("--camera", metavar="NAME", help="Only of this camera; repeatable.")
    ] = [],
    rule: Annotated[
        list[str], typer.Option("--rule", metavar="NAME", help="Only of this rule; repeatable.")
    ] = [],
    since: Since = None,
    until: Until = None,
    answers: Annotated[
        str | None, typer.Option(metavar="yes/no|number|text", help="Kind of answer to QUESTION.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Ask about so many pictures of events at most.")
    ] = 1000,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Ask questions about a picture, a clip, what a camera sees now, or what cameras saw.

    About a clip they are asked at intervals of `--every`, or once with `--at`. With a deployment
    file, one question is asked about the stored pictures of `--events`, or about a recording at
    intervals of `--every`; the likeliest answers come first. Ctrl-C shows what was answered so far.
    """
    if Path(place).suffix.lower() in (".yaml", ".yml"):
        about_past(
            load(place, overrides),
            PastWish(past, events, every, since, until, camera, rule, engine, answers, limit),
            wrong={
                "--detect": detect, "--point": point, "--count": count, "--ask": question,
                "--caption": caption, "--option": options, "--at": at,
            },
            as_json=as_json,
        )  # fmt: skip
        return
    for option, given in (
        ("QUESTION", past), ("--events", events), ("--camera", camera), ("--rule", rule),
        ("--since", since), ("--until", until), ("--answers", answers), ("--set", overrides),
    ):  # fmt: skip
        if given:
            way_out = "is for a deployment file (.yaml); about anything else, use --ask"
            raise ConfigError([Problem(option, way_out)])
    engine = engine or "coco"
    tasks = _tasks(engine, (("detect", detect), ("point", point), ("count", count)), question)
    tasks += _captions(engine, caption)
    if not tasks:
        way_out = "give at least one of --detect, --point, --count, --ask and --caption"
        raise ConfigError([Problem("", way_out)])
    config = _engine_config(engine, options)
    asking.check_tasks(config, tasks)
    every_s, at_s = _seconds("--every", every or "1s"), _seconds("--at", at) if at else None
    with closing(asking.shots_of(place, every_s, at_s)) as shots:
        # The first one before the engine, which may take minutes to load.
        first = next(shots)
        model = config.build()
        try:
            deadline_s = config.deadline.total_seconds()
            for reply in asking.ask(model, chain([first], shots), tasks, deadline_s):
                _say(reply, as_json=as_json)
        finally:
            model.close()


def _say(reply: asking.AnsweredShot, *, as_json: bool) -> None:
    if as_json:
        answers = {name: asking.as_json(answer) for name, answer in reply.answers.items()}
        typer.echo(json.dumps({"at_s": reply.at_s, "answers": answers}))
        return
    for name, answer in reply.answers.items():
        typer.echo(f"{reply.at_s:8.2f} s  {name}: {asking.as_text(answer)}")


def _seconds(option: str, text: str) -> float:
    try:
        duration: timedelta = parse_duration(text)
        return duration.total_seconds()
    except (ValueError, AttributeError) as error:
        raise ConfigError([Problem(option, str(error))]) from None


def _tasks(
    engine: str, wanted: tuple[tuple[str, list[str]], ...], questions: list[str]
) -> list[Task]:
    kinds: dict[str, type[Detect | Point | Count]]
    kinds = {"detect": Detect, "point": Point, "count": Count}
    tasks: list[Task] = [
        kinds[kind](f"{kind} {label}", engine, label) for kind, labels in wanted for label in labels
    ]
    tasks += [Ask(question, engine, question) for question in questions]
    return tasks


def _captions(engine: str, length: str | None) -> list[Task]:
    if length is None:
        return []
    for known in get_args(CaptionLength):
        if length == known:
            return [Caption("caption", engine, known)]
    raise ConfigError(
        [Problem("--caption", f"{length!r} is not a valid length: use short, normal or long")]
    )


def _engine_config(engine: str, options: list[str]) -> EngineConfigBase:
    """The engine's config, read like one in a deployment file, with the same error messages."""
    text = (
        "version: 1\n"
        "cameras: {asked: {source: {type: file, path: asked}}}\n"
        f"engines: {{asked: {{type: {engine}}}}}\n"
    )
    overrides = [f"engines.asked.{option}" for option in options]
    config: EngineConfigBase = parse(text, overrides).deployment.engines["asked"]
    return config
