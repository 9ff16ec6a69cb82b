"""`moonwatch user`: who may sign in to the application."""

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import AsJson, File, Overrides
from pipeline.cli.tables import print_tables
from pipeline.core.clock import SystemClock
from pipeline.core.errors import ConfigError, MoonwatchError, Problem
from pipeline.core.local_time import local_time
from pipeline.core.people import JournalEntry, PeopleStore, Person, PersonChange, Role
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.telemetry.logs import set_up
from pipeline.web.access import passwords

user = typer.Typer(help="Say who may sign in to the application.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
RoleOption = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="viewer|operator|admin",
        help="viewer sees; operator also acknowledges, arms and edits; admin everything.",
    ),
]
Cameras = Annotated[
    list[str] | None,
    typer.Option(
        "--camera", help="A camera that he may see; may be given again. All of them by default."
    ),
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


@user.command()
def add(
    file: File,
    name: Name,
    role: RoleOption = "viewer",
    cameras: Cameras = None,
    from_stdin: FromStdin = False,
    overrides: Overrides = [],
) -> None:
    """Make a user; the password is asked for."""
    name, found = _checked("NAME", passwords.checked_name, name), _role(role)
    with _people(file, overrides) as (people, deployment):
        seen = _known(cameras, deployment, found)
        if people.person(name) is not None:
            raise _problem("NAME", f"there is a user {name!r} already")
        password = passwords.hash_of(_password(name, from_stdin=from_stdin))
        now = SystemClock().now()
        if not people.add_person(Person(name, password, found, seen, now)):
            raise _problem("NAME", f"there is a user {name!r} already")
        _note(people, "made the user", name, found)
    typer.echo(f"{name} may sign in, as {found}")


@user.command("list")
def listed(file: File, overrides: Overrides = [], as_json: AsJson = False) -> None:
    """List users: their roles, and the cameras that they may see."""
    with _people(file, overrides) as (people, deployment):
        found = people.people()
        sessions = [session.who for session in people.sessions()]
    if as_json:
        shown = [
            {
                "name": person.name,
                "role": person.role,
                "cameras": None if person.cameras is None else list(person.cameras),
                "made_at": person.made_at,
                "disabled_at": person.disabled_at,
                "sessions": sessions.count(person.name),
            }
            for person in found
        ]
        typer.echo(json.dumps(shown, indent=2))
        return
    if not found:
        typer.echo(f"no users; make one with `moonwatch user add {file} NAME --role admin`")
        return
    table = Table(title="users", title_justify="left", title_style="bold")
    for column in ("name", "role", "cameras", "made", "signed in", "state"):
        table.add_column(column, overflow="fold")
    for person in found:
        table.add_row(
            Text(person.name),
            person.role,
            Text("all" if person.cameras is None else ", ".join(person.cameras) or "none"),
            local_time(person.made_at, deployment.site.timezone),
            str(sessions.count(person.name)),
            "may sign in" if person.disabled_at is None else "disabled",
        )
    print_tables([table])


@user.command()
def password(
    file: File, name: Name, from_stdin: FromStdin = False, overrides: Overrides = []
) -> None:
    """Give a user another password; his sessions end."""
    with _people(file, overrides) as (people, _):
        person = _person(people, name)
        new = passwords.hash_of(_password(person.name, from_stdin=from_stdin))
        _must_be_done(person.name, people.change_person(replace(person, password=new), person))
        _note(people, "changed the user", person.name, "another password")
    typer.echo(f"{person.name} has another password, and is signed out everywhere")


@user.command()
def role(
    file: File,
    name: Name,
    to: Annotated[str, typer.Argument(metavar="viewer|operator|admin", help="The new role.")],
    cameras: Cameras = None,
    overrides: Overrides = [],
) -> None:
    """Give a user another role, and the cameras that he may see; his sessions end."""
    found = _role(to)
    with _people(file, overrides) as (people, deployment):
        person = _person(people, name)
        changed = replace(person, role=found, cameras=_known(cameras, deployment, found))
        _must_be_done(person.name, people.change_person(changed, person))
        _note(people, "changed the user", person.name, found)
    typer.echo(f"{person.name} is {found} now, and is signed out everywhere")


@user.command()
def disable(
    file: File,
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Let him sign in again.")] = False,
    overrides: Overrides = [],
) -> None:
    """Let a user not sign in any more, without removing him; his sessions and tokens end."""
    with _people(file, overrides) as (people, _):
        person = _person(people, name)
        since = None if undo else person.disabled_at or SystemClock().now()
        _must_be_done(person.name, people.change_person(replace(person, disabled_at=since), person))
        _note(people, "changed the user", person.name, "enabled" if undo else "disabled")
    typer.echo(f"{person.name} {'may sign in again' if undo else 'cannot sign in any more'}")


@user.command()
def remove(file: File, name: Name, overrides: Overrides = []) -> None:
    """Remove a user; his sessions and tokens end."""
    with _people(file, overrides) as (people, _):
        person = _person(people, name)
        _must_be_done(person.name, people.remove_person(person.name))
        _note(people, "removed the user", person.name)
    typer.echo(f"{person.name} is removed")


@contextmanager
def _people(file: File, overrides: list[str]) -> Iterator[tuple[PeopleStore, Deployment]]:
    set_up("text")
    deployment = load(file, overrides)
    store = deployment.store.build(SystemClock())
    try:
        yield store.people, deployment
    finally:
        store.close()


def _person(people: PeopleStore, name: str) -> Person:
    found = people.person(name.strip().lower())
    if found is None:
        known = ", ".join(person.name for person in people.people()) or "none at all"
        raise _problem("NAME", f"there is no user {name!r}; there are: {known}")
    return found


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise _problem("--role", f"{text!r} is not a role; use one of {known}") from None


def _known(cameras: list[str] | None, deployment: Deployment, role: Role) -> tuple[str, ...] | None:
    if cameras is None:
        return None
    if role is Role.ADMIN:
        raise _problem("--camera", "an admin sees all cameras: he could give them to himself")
    for camera in cameras:
        if camera not in deployment.cameras:
            raise _problem("--camera", f"the file has no camera {camera!r}")
    return tuple(sorted(set(cameras)))


def _password(name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise _problem("--password-stdin", "without a terminal the password comes from stdin")
    else:
        given = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != given:
            raise MoonwatchError("these are two different passwords; nothing was changed")
    try:
        return passwords.checked_password(given, name)
    except ValueError as error:
        raise MoonwatchError(f"{error}; nothing was changed") from None


def _checked(place: str, check: Callable[[str], str], given: str) -> str:
    try:
        return check(given)
    except ValueError as error:
        raise _problem(place, str(error)) from None


def _must_be_done(name: str, change: PersonChange) -> None:
    if change is PersonChange.LAST_ADMIN:
        raise MoonwatchError(f"{name} is the last admin; make somebody else one first")
    if change is PersonChange.CHANGED:
        raise MoonwatchError(f"somebody else has changed {name} meanwhile; try again")
    if change is PersonChange.UNKNOWN:
        raise MoonwatchError(f"there is no user {name!r} any more")


def _note(people: PeopleStore, action: str, subject: str, detail: str = "") -> None:
    who = f"the command line of {_login()}"
    people.note(JournalEntry(SystemClock().now(), who, action, subject, detail))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"user {os.getuid()}"


def _problem(place: str, message: str) -> ConfigError:
    return ConfigError([Problem(place, message)])
