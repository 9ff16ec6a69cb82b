"""How long a person waits who asks a picture while recordings are read as fast as they can be.

Usage: python -m benchmarks.asking [--engine coco|moondream] [--redis] [--questions 10]

Two cameras are the bundled recording, every frame of it, for one engine on a CPU: the bundled
detector, or Moondream with the small random weights of the tests. A visitor watches one of them and
asks for "person", one question after the other's answer, through the application's own interface.
With `--redis` every stage is a process of its own, and so is the application. What was refused, or
not answered within 30 s, counts with the time that it took to say so. See web.md.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pipeline.testing import wait_until
from tests.moondream.checkpoints import random_weights, write_folder
from tests.redis_server import Server
from tests.runtime.clips import CLIP, written
from tests.runtime.fleet import Member
from tests.web.applications import Application, application
from tests.web.live import running, watching

_SETTLE_S = 5.0
_BETWEEN_S = 0.3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print what each question took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("coco", "moondream"), default="coco")
    parser.add_argument("--redis", action="store_true", help="every stage is a process")
    parser.add_argument("--questions", type=int, default=10)
    asked = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asking-")))
        content = _deployment(folder, asked.engine)
        if asked.redis:
            redis = stack.enter_context(closing(Server().start()))
            file = written(folder, {**content, "queue": {"type": "redis", "url": redis.url}})
            member = Member("run", ["run", str(file)], folder / "run.log")
            member.start()
            stack.callback(_end, member)
            app = stack.enter_context(application(file))
        else:
            file = written(folder, content)
            run = stack.enter_context(running(file))
            app = stack.enter_context(application(file, queues=run.queues))
        seen = stack.enter_context(watching(app.url))
        seen.show("plaza")
        wait_until(lambda: bool(seen.pictures), 120.0)
        time.sleep(_SETTLE_S)
        _ask(app, asked.questions)


def _deployment(folder: Path, engine: str) -> dict[str, Any]:
    at_work: dict[str, Any] = {"type": "coco"}
    if engine == "moondream":
        model = write_folder(folder / "model", random_weights())
        at_work = {"type": "moondream", "model": str(model), "device": "cpu"}
    camera = {
        "source": {"type": "file", "path": str(CLIP), "starts_at": "2026-06-01T12:00:00Z"},
        "sample": {"every": "40ms"},
        "tasks": {"people": {"detect": "person", "engine": "model"}},
        "lines": {"middle": {"from": [0.5, 0.1], "to": [0.5, 1.0]}},
        "rules": {"in": {"type": "line_crossing", "of": "people", "line": "middle"}},
    }
    return {
        "version": 1,
        "site": {"name": "Plaza", "timezone": "UTC"},
        "store": {"url": f"sqlite:///{folder}/moonwatch.db"},
        "engines": {"model": at_work},
        "cameras": {"plaza": camera, "door": dict(camera)},
    }


def _ask(app: Application, questions: int) -> None:
    took_s, refused = [], 0
    for _ in range(questions):
        began = time.monotonic()
        question = {"camera": "plaza", "kind": "detect", "words": "person"}
        said = app.client.post("/ask", json=question, timeout=60)
        took_s.append(time.monotonic() - began)
        refused += said.status_code != 200 or "failed" in said.json()["answer"]
        print(f"{took_s[-1]:.2f} s, {said.status_code}", flush=True)
        time.sleep(_BETWEEN_S)
    middle, worst = statistics.median(took_s), max(took_s)
    print(f"median {middle:.2f} s, worst {worst:.2f} s, without an answer {refused}")


def _end(member: Member) -> None:
    if member.process is not None:
        member.process.terminate()
        member.process.wait(60)


if __name__ == "__main__":
    main()
