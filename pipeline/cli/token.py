"""`moonwatch token`: keys for those who ask the model."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, Overrides
from pipeline.cli.tables import print_tables
from pipeline.core.accounts import AccountStore, KeyLimits, KeyRecord, KeyScope
from pipeline.core.address import Secret
from pipeline.core.clock import SystemClock
from pipeline.core.config import format_duration, parse_duration
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue
from pipeline.core.local_time import local_time
from pipeline.server.keys import check_lasting, checked_key_name, make_key
from pipeline.server.place import accounts_store, shown_store
from pipeline.telemetry.logs import set_up

token = typer.Typer(help="Make, list and end keys for the model's callers.", no_args_is_help=True)

FileAndName = Annotated[
    list[str],
    typer.Argument(
        metavar="[FILE] NAME",
        help="The key's name, after the deployment file whose store has it, if there is one.",
    ),
]
OnlyFile = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The deployment file whose store has the keys."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The store, instead of a file's: sqlite:///FILE or postgresql://... By default the "
        "one that `moonwatch serve` uses without a file.",
    ),
]


@token.command()
def add(
    file_and_name: FileAndName,
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="What it opens: serve (the model, and its own usage), read:metrics, admin (all). "
            "May be given again; serve by default.",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="90d", help="After which time it ends; never by default.")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(help="In each server process.")
    ] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once after a pause.")] = None,
    pictures_per_day: Annotated[
        int | None, typer.Option(help="In all processes together; days are days of UTC.")
    ] = None,
    tokens_per_day: Annotated[int | None, typer.Option(help="Of prompts and answers.")] = None,
    at_once: Annotated[
        int | None, typer.Option(help="Requests at the same time, in each process.")
    ] = None,
    store: StoreUrl = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    file, name = _file_and_name(file_and_name)
    limits = KeyLimits(requests_per_second, burst, pictures_per_day, tokens_per_day, at_once)
    lasts = None if expires is None else _duration("--expires", expires)
    if lasts is not None:
        check_lasting(lasts)
    secret, record = make_key(
        name, SystemClock().now(), scopes=_scopes(scopes), limits=limits, lasts=lasts
    )
    with _accounts(file, store, overrides) as (accounts, place):
        if not accounts.add_key(record):
            raise ConfigError(
                [
                    Problem(
                        "NAME",
                        f"{place} has, or had, a key named {record.name}: its accounts stay its "
                        "own; choose another name, or make it anew with `moonwatch token rotate`",
                    )
                ]
            )
    _say_new(secret, record, place, as_json=as_json)


@token.command("list")
def listed(
    file: OnlyFile = None,
    store: StoreUrl = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """List keys: their names, limits and when they were used last."""
    with _accounts(file, store, overrides, reads=True) as (accounts, place):
        records = accounts.keys()
    now = SystemClock().now()
    if as_json:
        typer.echo(json.dumps([_as_json(record, now) for record in records], indent=2))
        return
    if not records:
        typer.echo(f"no keys in {place}; make one with `moonwatch token add NAME`")
        return
    table = Table(title=f"keys in {place}", title_justify="left", title_style="bold")
    for column in ("name", "id", "state", "opens", "limits", "made", "expires", "last used"):
        table.add_column(column, overflow="fold")
    for record in records:
        table.add_row(
            Text(record.name),
            record.id,
            _state(record, now),
            ", ".join(record.scopes),
            _limits(record.limits) or "none",
            *(_at(at) for at in (record.made_at, record.expires_at, record.last_used_at)),
        )
    print_tables([table])


@token.command()
def revoke(
    file_and_name: FileAndName,
    store: StoreUrl = None,
    overrides: Overrides = [],
) -> None:
    """End a key; running servers refuse it within two seconds."""
    file, name = _file_and_name(file_and_name)
    with _accounts(file, store, overrides) as (accounts, place):
        _known(accounts, name, place)
        ended = accounts.revoke(name, SystemClock().now())
    said = "is revoked" if ended else "was revoked before"
    typer.echo(f"the key {name} in {place} {said}")


@token.command()
def rotate(
    file_and_name: FileAndName,
    keep_old: Annotated[
        str, typer.Option(metavar="24h", help="How long the old key opens beside the new one.")
    ] = "24h",
    store: StoreUrl = None,
    overrides: Overrides = [],
    as_json: AsJson = False,
) -> None:
    """Make a new key with the name, scopes and limits of an old one, which ends later."""
    file, name = _file_and_name(file_and_name)
    now = SystemClock().now()
    kept = _duration("--keep-old", keep_old)
    with _accounts(file, store, overrides) as (accounts, place):
        valid = [record for record in _known(accounts, name, place) if record.is_valid(now)]
        if not valid:
            raise ConfigError(
                [Problem("NAME", f"no key {name} in {place} is valid; make one of another name")]
            )
        old = valid[-1]
        secret, record = make_key(name, now, scopes=old.scopes, limits=old.limits)
        if old.expires_at is not None:
            # As long as the old one was made for, from now on.
            record = replace(record, expires_at=now + (old.expires_at - old.made_at))
        if not accounts.add_key(record, replaced_expire_at=now + kept.total_seconds()):
            raise ConfigError([Problem("NAME", f"the key {name} in {place} was just revoked")])
    _say_new(secret, record, place, as_json=as_json)
    typer.echo(f"the old key ends in {format_duration(kept)}", err=True)


def _file_and_name(given: Sequence[str]) -> tuple[Path | None, str]:
    if len(given) > 2:
        raise ConfigError(
            [Problem("NAME", "is more than one word; write it in quotes: 'shop website'")]
        )
    if len(given) == 1 and (given[0].endswith((".yaml", ".yml")) or Path(given[0]).is_file()):
        raise ConfigError([Problem("NAME", f"{given[0]} is a file; write the key's name after it")])
    file = Path(given[0]) if len(given) == 2 else None
    return file, checked_key_name(given[-1])


@contextmanager
def _accounts(
    file: Path | None, url: str | None, overrides: Sequence[str], *, reads: bool = False
) -> Iterator[tuple[AccountStore, str]]:
    """The accounts, and how their place is called."""
    config = accounts_store(file, url, overrides)
    set_up("text", "ERROR")
    store = config.build_reader() if reads else config.build()
    try:
        yield store.accounts, shown_store(config)
    finally:
        store.close()


def _known(accounts: AccountStore, name: str, place: str) -> Sequence[KeyRecord]:
    records = accounts.keys()
    found = [record for record in records if record.name == name]
    if not found:
        names = sorted({record.name for record in records if record.revoked_at is None})
        said = (
            f"there are {', '.join(names)}"
            if names
            else "all of its keys are revoked"
            if records
            else "it has none"
        )
        raise ConfigError([Problem("NAME", f"{place} has no key named {name}; {said}")])
    return found


def _scopes(names: Sequence[str] | None) -> Sequence[KeyScope]:
    known = {scope.value: scope for scope in KeyScope}
    for name in names or ():
        if name not in known:
            raise ConfigError([Problem("--scope", f"{name!r} is not one of {', '.join(known)}")])
    return [known[name] for name in names or ("serve",)]


def _duration(option: str, text: str) -> timedelta:
    try:
        read: timedelta = parse_duration(text)
    except ValueError as error:
        raise ConfigError([Problem(option, str(error))]) from None
    return read


def _say_new(secret: Secret, record: KeyRecord, place: str, *, as_json: bool) -> None:
    """The key alone on the standard output, so that a script can take it."""
    if as_json:
        said = {"key": secret.reveal(), **_as_json(record, record.made_at)}
        typer.echo(json.dumps(said, indent=2))
        return
    typer.echo(secret.reveal())
    typer.echo(
        f"the key {record.name} is kept in {place}, as a hash: it is not shown again", err=True
    )


def _state(record: KeyRecord, now: float) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "valid" if record.is_valid(now) else "expired"


def _limits(limits: KeyLimits) -> str:
    given = {field.name: getattr(limits, field.name) for field in fields(KeyLimits)}
    said = (f"{name.replace('_', ' ')} {value:g}" for name, value in given.items() if value)
    return ", ".join(said)


def _at(at: float | None) -> str:
    return "never" if at is None else local_time(at, "UTC")


def _as_json(record: KeyRecord, now: float) -> dict[str, JsonValue]:
    limits: dict[str, JsonValue] = {
        field.name: getattr(record.limits, field.name) for field in fields(KeyLimits)
    }
    return {
        "name": record.name,
        "id": record.id,
        "state": _state(record, now),
        "scopes": [str(scope) for scope in record.scopes],
        "limits": limits,
        "made_at": record.made_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "last_used_at": record.last_used_at,
    }
