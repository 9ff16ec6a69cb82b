"""`moonwatch user`: who may sign in, from the command line."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.people import JournalQuestion, Role
from pipeline.deployment.loader import load
from pipeline.testing import patience
from pipeline.web.access import passwords
from tests.web.houses import PASSWORD, shop_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A shop with two cameras."""
    return shop_file(tmp_path)


def user_command(*arguments: str | Path, given: str = f"{PASSWORD}\n") -> tuple[int, str]:
    """The exit code, and all that was said."""
    command = [sys.executable, "-m", "pipeline", "user", *map(str, arguments)]
    done = subprocess.run(
        command,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience(60),
        check=False,
    )
    return done.returncode, done.stdout


def test_users_are_made_changed_and_removed(file: Path) -> None:
    """All of it stands in the audit log; the password stands nowhere."""
    last = "--password-stdin"
    assert user_command("add", file, "Ada", "--role", "admin", last) == (
        0,
        "ada may sign in, as admin\n",
    )
    assert user_command("add", file, "eve", "--camera", "till", last)[0] == 0
    code, said = user_command("list", file, "--json")
    assert [(one["name"], one["role"], one["cameras"]) for one in json.loads(said)] == [
        ("ada", "admin", None),
        ("eve", "viewer", ["till"]),
    ]
    assert user_command("role", file, "eve", "operator")[0] == 0
    assert user_command("password", file, "eve", last, given="seven lamps over a bridge\n")[0] == 0
    assert user_command("disable", file, "eve")[0] == 0
    code, said = user_command("list", file)
    assert code == 0
    assert "disabled" in said
    store = load(file).store.build()
    eve = store.people.person("eve")
    assert eve is not None
    assert (eve.role, eve.cameras, eve.disabled_at is None) == (Role.OPERATOR, None, False)
    assert passwords.fits("seven lamps over a bridge", eve.password)
    assert eve.password.startswith("$argon2id$")
    code, said = user_command("remove", file, "ada")
    assert (code, "last admin" in said) == (1, True)
    assert user_command("remove", file, "eve")[0] == 0
    told = store.people.journal(JournalQuestion())
    store.close()
    assert [(entry.action, entry.subject) for entry in reversed(told)] == [
        ("made the user", "ada"),
        ("made the user", "eve"),
        ("changed the user", "eve"),
        ("changed the user", "eve"),
        ("changed the user", "eve"),
        ("removed the user", "eve"),
    ]
    assert all(entry.who.startswith("the command line of") for entry in told)
    assert PASSWORD not in str(told)


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (["add", "FILE", "a b", "--password-stdin"], PASSWORD, "a name has up to 64"),
        (["add", "FILE", "eve", "--role", "owner", "--password-stdin"], PASSWORD, "not a role"),
        (["add", "FILE", "eve", "--camera", "x", "--password-stdin"], PASSWORD, "no camera 'x'"),
        (["add", "FILE", "eve", "--password-stdin"], "short", "at least 12 characters"),
        (["add", "FILE", "eve", "--password-stdin"], "Moonwatch2026!", "first that are tried"),
        (["add", "FILE", "eve"], PASSWORD, "without a terminal"),
        (["password", "FILE", "nobody", "--password-stdin"], PASSWORD, "no user 'nobody'"),
    ],
)
def test_what_is_wrong_is_said(file: Path, arguments: list[str], given: str, sentence: str) -> None:
    """And nothing is changed."""
    code, said = user_command(
        *[str(file) if one == "FILE" else one for one in arguments], given=given
    )
    assert code in (1, 2)
    assert sentence in said
    assert given not in said or given == "short"


def test_the_password_is_asked_for_twice_and_not_shown(file: Path) -> None:
    """On a terminal."""
    command = [sys.executable, "-m", "pipeline", "user", "add", str(file), "ada"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    said = b""
    for question in (b"Password: ", b"Again: "):
        while question not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, f"{PASSWORD}\n".encode())
    try:
        while more := os.read(terminal, 1024):
            said += more
    except OSError:
        pass  # the terminal is closed with the process
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert b"ada may sign in" in said
    assert PASSWORD.encode() not in said
