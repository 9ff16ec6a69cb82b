"""`moonwatch report`: a day, week or month of a site, for people to read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.export import refuse_terminal, written_to
from pipeline.cli.options import File, Overrides
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.opening_hours import OpeningHours
from pipeline.deployment.loader import load
from pipeline.deployment.problems.suggestions import hint
from pipeline.reports.making import REPORT_FORMATS, made
from pipeline.reports.periods import Period, PeriodKind, period
from pipeline.telemetry.logs import set_up


class ReportAs(StrEnum):
    """Formats."""

    HTML = "html"
    PDF = "pdf"
    CSV = "csv"
    PARQUET = "parquet"


def report(
    file: File,
    day: Annotated[
        str | None, typer.Option(metavar="DAY", help="2026-11-26, today or yesterday.")
    ] = None,
    week: Annotated[
        str | None, typer.Option(metavar="WEEK", help="2026-W47, this or last.")
    ] = None,
    month: Annotated[
        str | None, typer.Option(metavar="MONTH", help="2026-11, this or last.")
    ] = None,
    form: Annotated[ReportAs, typer.Option("--format", help="Format.")] = ReportAs.HTML,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File to write; standard output otherwise.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(metavar="SITE", help="One of the file's `sites`; its `site` else.")
    ] = None,
    sales: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="What the till sold: columns time, count and amount."),
    ] = None,
    overrides: Overrides = [],
) -> None:
    """Report on a day, a week or a month: HTML, a PDF, figures as CSV, or counts as Parquet."""
    deployment = load(file, overrides)
    set_up("text", "ERROR")
    if site is not None and site not in deployment.sites:
        said = f"there is no site {site!r}{hint(site, deployment.sites)}"
        if not deployment.sites:
            said = f"the file has no `sites`, so there is no {site!r}; leave --site out"
        raise ConfigError([Problem("--site", said)])
    if form is ReportAs.PDF:
        refuse_terminal(out, "a PDF")
    if form is ReportAs.PARQUET:
        refuse_terminal(out, "Parquet")
    clock = SystemClock()
    now = clock.now()
    place = deployment.site if site is None else deployment.sites[site]
    chosen = _period({"day": day, "week": week, "month": month}, now, place.opening_hours)
    if chosen.span(place.opening_hours)[0] > now:
        said = f"{chosen.title} has not begun yet; name one that has"
        raise ConfigError([Problem(f"--{chosen.kind}", said)])
    store = deployment.store.build_reader(clock)
    try:
        content = made(
            deployment, store.history, chosen, now, form.value, site, store.audits, sales
        )
    finally:
        store.close()
    with written_to(out) as target:
        target.write(content)
    if out is not None:
        typer.echo(f"{out}: {chosen.title}, as {REPORT_FORMATS[form.value]}")


def _period(given: dict[PeriodKind, str | None], now: float, hours: OpeningHours) -> Period:
    named = [(kind, text) for kind, text in given.items() if text is not None]
    if len(named) != 1:
        how = "write one of --day 2026-11-26, --week 2026-W47 and --month 2026-11"
        raise ConfigError([Problem("", how)])
    kind, text = named[0]
    try:
        return period(kind, text, now, hours)
    except ValueError as error:
        raise ConfigError([Problem(f"--{kind}", str(error))]) from None
