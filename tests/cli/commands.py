"""Commands of moonwatch as processes that need not import everything first.

Each is a process of its own, forked from one that has loaded what most commands load and has done
nothing else: it takes hundredths of a second where a fresh interpreter takes seconds.
"""

import atexit
import importlib.util
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import TimeoutExpired

from pipeline.cli.main import COMMANDS, main
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT

# What these load reads the environment as it is imported, which a test may change.
APART = frozenset({"models", "serve", "benchmark"})
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        "tests.cli.commands",
        *(f"pipeline.cli.{name.replace('-', '_')}" for name in COMMANDS if name not in APART),
    ]
)


def moonwatch(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends; below zero is the signal it died of."""
    with tempfile.TemporaryDirectory(prefix="moonwatch-command-") as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        words = [str(word) for word in arguments]
        process: BaseProcess = _server.Process(
            target=_become, args=(words, dict(os.environ), str(out), str(errors))
        )
        process.start()
        process.join(patience(50))
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            raise TimeoutExpired(words, patience(50), out.read_bytes(), errors.read_bytes())
        return code, out.read_text("utf-8"), errors.read_text("utf-8")


def _become(words: list[str], environment: dict[str, str], out: str, errors: str) -> None:
    """Be the command, from its command line to its exit code."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(ROOT)
    for number, path in ((1, out), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    program = importlib.util.find_spec("pipeline.__main__")
    sys.argv = [str(program.origin if program else "moonwatch"), *words]
    try:
        main()
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 - as Python itself ends a program
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
    finally:
        with suppress(Exception):
            atexit._run_exitfuncs()
        logging.shutdown()
