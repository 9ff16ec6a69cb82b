"""The `moonwatch` command. Exit codes: 0 success, 1 failure while running, 2 invalid input.

Only the module of the given command is imported, so that `check` starts at once. Where no command
is given, for `--help` and `--version`, none is: what the help says of each is read from its source.
"""

import ast
import gc
import importlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from pipeline.core.address import without_secrets
from pipeline.core.errors import ConfigError, MoonwatchError
from pipeline.core.machine import how_to_install, installed_version

logger = logging.getLogger(__name__)

COMMANDS = (
    "check",
    "explain",
    "schema",
    "run",
    "sample",
    "infer",
    "process",
    "deliver",
    "reload",
    "arm",
    "disarm",
    "switch",
    "status",
    "doctor",
    "discover",
    "snapshot",
    "clips",
    "dead-letters",
    "undelivered",
    "notify",
    "evaluate",
    "audit",
    "simulate",
    "benchmark",
    "export",
    "report",
    "render",
    "ask",
    "models",
    "serve",
    "token",
    "usage",
    "web",
    "user",
)
"""Each command; the module of `pipeline.cli` that holds it has its name."""
EXTRAS = {"render": "render", "models": "moondream", "serve": "moondream,server", "web": "web"}
EXTRAS["user"] = "web"
"""Commands that need more than the core install, and the extras that install it."""
LIBRARIES = {
    "render": ("supervision",),
    "models": ("huggingface_hub",),
    "serve": ("torch", "fastapi"),
    "web": ("fastapi", "pwdlib"),
    "user": ("fastapi", "pwdlib"),
}
"""Of each of these commands, libraries whose absence is told in the help."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the command that the arguments name, or for help with all names."""
    app = typer.Typer(
        name="moonwatch",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    app.callback()(moonwatch)
    if arguments and arguments[0] in COMMANDS:
        _add(app, arguments[0])
        return app
    for name in COMMANDS:
        lacking = [one for one in LIBRARIES.get(name, ()) if importlib.util.find_spec(one) is None]
        if lacking:
            app.command(name)(_missing(name, lacking[0]))
        else:
            app.command(name, help=_summary(name))(_only_named)
    return app


def _only_named() -> None:
    """Stands in for a command in the help; a command line that names one gets the command."""


def _summary(name: str) -> str:
    """What a command says of itself, read without running its module and all that it imports."""
    word = name.replace("-", "_")
    file = importlib.util.find_spec(f"pipeline.cli.{word}")
    source = Path(file.origin).read_text("utf-8") if file and file.origin else ""
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=found) if found == word:
                return ast.get_docstring(node) or ""
            case ast.Assign(targets=[ast.Name(id=found)], value=ast.Call(keywords=options)):
                if found == word:
                    said = {option.arg: ast.literal_eval(option.value) for option in options}
                    return str(said.get("help", ""))
    return ""


def _add(app: typer.Typer, name: str) -> None:
    """Add one command; if a library is missing, it names the extra to install."""
    try:
        module = importlib.import_module(f"pipeline.cli.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if name not in EXTRAS:
            raise
        takes_anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(name, context_settings=takes_anything)(_missing(name, error.name))
        return
    command = getattr(module, name.replace("-", "_"))
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


def _missing(name: str, library: str | None) -> Callable[[], None]:
    def command() -> None:
        way_out = how_to_install(EXTRAS[name])
        raise MoonwatchError(f"`{name}` needs {library}; install it with: {way_out}")

    command.__doc__ = f"(needs {library}; install the {_extras(name)})"
    return command


def _extras(name: str) -> str:
    extras = EXTRAS[name].split(",")
    return f"extra{'s' if len(extras) > 1 else ''} {' and '.join(f'`{extra}`' for extra in extras)}"


def _say_version(asked: bool) -> None:
    if not asked:
        return
    typer.echo(f"moonwatch {installed_version()}")
    raise typer.Exit


def moonwatch(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Ask your cameras questions in plain words, and act on the answers."""


def main() -> None:
    """Run the command line; our own errors are shown as sentences, never as tracebacks."""
    # What imports create is kept, and a check ends before there is anything to collect: garbage
    # collection would take a tenth of its time.
    gc.disable()
    # Pydantic would look for plugins in every distribution that is installed next to ours.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.excepthook = _say_bug
    threading.excepthook = lambda seen: _say_bug(seen.exc_type, seen.exc_value, seen.exc_traceback)
    try:
        _run()
    except SystemExit as end:
        late = [thread.name for thread in threading.enumerate() if _is_late(thread)]
        if not late:
            raise
        # They are inside native code, a model or a decoder. Python before 3.14 ends such a thread
        # when it returns to a finished interpreter by unwinding its stack, and C++ responds with
        # abort(). So the process ends without shutting down the interpreter.
        logger.warning("exiting while threads are still running: %s", ", ".join(sorted(late)))
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def _say_bug(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """The traceback that Python would print, without what libraries quote in their errors."""
    import traceback

    if kind is not SystemExit:
        said = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(without_secrets(said))


def _is_late(thread: threading.Thread) -> bool:
    """Whether a thread should have ended by now.

    One only waits for the end of our parent; those that hash pictures wait for more of them, and
    are joined by Python itself.
    """
    waits = thread.name.startswith(("parent", "picture-hash"))
    return thread is not threading.current_thread() and not waits


def _run() -> None:
    try:
        app = app_for(sys.argv[1:])
        if sys.argv[1:2] != ["check"]:
            gc.enable()
        app()
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        sys.exit(2)
    except MoonwatchError as error:
        typer.echo(f"moonwatch: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
