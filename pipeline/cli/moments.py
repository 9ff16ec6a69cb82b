"""`--since` and `--until`: the one way in which commands are told a period of the past."""

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pipeline.core import moments
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.store import Span

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From this moment on: 2026-11-26, 2026-11-26T08:00, today, yesterday, or 2h for two "
        "hours ago; in the site's time zone.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="Up to this moment, itself excluded; the same."),
]


def moment(text: str, now: float, timezone: str) -> float:
    """UTC seconds of what a person wrote, on the site's clock; raises ValueError."""
    return moments.moment(text, now, ZoneInfo(timezone))


def span_of(since: str | None, until: str | None, now: float, timezone: str) -> Span:
    """The period of `--since` and `--until`; raises ConfigError that names the option."""
    ends: list[float | None] = []
    problems = []
    for option, text in (("--since", since), ("--until", until)):
        try:
            ends.append(None if text is None else moment(text, now, timezone))
        except ValueError as error:
            problems.append(Problem(option, str(error)))
    if problems:
        raise ConfigError(problems)
    first, last = ends
    if first is not None and last is not None and first >= last:
        said = f"{until!r} is not after --since {since!r}; the end of a period comes last"
        raise ConfigError([Problem("--until", said)])
    return Span(first, last)
