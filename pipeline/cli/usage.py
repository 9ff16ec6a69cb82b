"""`moonwatch usage`: what callers used of the model, and what it costs."""

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, Overrides
from pipeline.cli.tables import print_tables
from pipeline.cli.token import OnlyFile, StoreUrl
from pipeline.core.accounts import DAY_S, UsageBy, UsageSum
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.local_time import local_time
from pipeline.server.place import accounts_store, shown_store
from pipeline.server.prices import as_money
from pipeline.server.sums import day_name, sum_as_json, usage_question
from pipeline.telemetry.logs import set_up


def usage(
    file: OnlyFile = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="key, day, model or skill; may be given again. key by default."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="2026-11-26, 2026-11-26T08:00, yesterday or 2h; all in UTC."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="The same; that moment excluded.")] = None,
    key: Annotated[str | None, typer.Option(help="Of the key of this name alone.")] = None,
    store: StoreUrl = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Add up requests, pictures, tokens and cost by key, day, model or skill. Days are of UTC."""
    try:
        question = usage_question(by or (), since, until, key, SystemClock().now())
    except ValueError as error:
        option, _, sentence = str(error).partition(": ")
        raise ConfigError([Problem(f"--{option}", sentence)]) from None
    config = accounts_store(file, store, overrides)
    set_up("text", "ERROR")
    opened = config.build_reader()
    try:
        sums = opened.accounts.usage(question)
        records = opened.accounts.keys() if key and not sums else ()
        oldest = opened.accounts.oldest_entry()
    finally:
        opened.close()
    ends = (question.span.since, question.span.until)
    parts = [end for end in ends if end is not None and end % DAY_S]
    if oldest is not None and any(end < oldest // DAY_S * DAY_S for end in parts):
        typer.echo(
            f"requests before {local_time(oldest, 'UTC')} are kept as totals of whole days alone: "
            "a day that is asked for in part is left out",
            err=True,
        )
    names = {record.name for record in records}
    if key and not sums and key not in names:
        known = f"; there are {', '.join(sorted(names))}" if names else ""
        typer.echo(f"--key: no key is, or was, named {key}{known}", err=True)
    if as_json:
        typer.echo(json.dumps([sum_as_json(total, question.by) for total in sums], indent=2))
        return
    if not sums:
        typer.echo(f"nothing was used in this time, says {shown_store(config)}")
        return
    table = Table(title="usage (days of UTC)", title_justify="left", title_style="bold")
    for grouped in question.by:
        table.add_column(str(grouped), overflow="fold")
    for column in (
        "requests",
        "failed",
        "cancelled",
        "pictures",
        "crops",
        "tokens in",
        "tokens out",
        "seconds",
        "cost",
    ):
        table.add_column(column, justify="right")
    for total in sums:
        table.add_row(*(_named(total, grouped) for grouped in question.by), *_figures(total))
    print_tables([table])


def _named(total: UsageSum, by: UsageBy) -> Text:
    match by:
        case UsageBy.KEY:
            name = total.key
        case UsageBy.DAY:
            name = None if total.day is None else day_name(total.day)
        case UsageBy.MODEL:
            name = total.model
        case UsageBy.SKILL:
            name = total.skill
    return Text(name or "unknown")


def _figures(total: UsageSum) -> list[str]:
    counted = (
        total.requests,
        total.failed,
        total.cancelled,
        total.pictures,
        total.crops,
        total.prompt_tokens,
        total.completion_tokens,
    )
    cost = f"{as_money(total.cost)} {total.currency}".strip() if total.cost else "0"
    return [*(str(count) for count in counted), f"{total.request_ms / 1000:.1f}", cost]
