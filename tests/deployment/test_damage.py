"""Whatever happens to a file, it is loaded or refused with sentences, and keeps its secrets."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.explain import explain
from pipeline.deployment.loader import parse
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import plain

FILES = ("demo", "retail", "security", "webcam")
SECRET = "hunter2"
LETTERS = "{}[]:,&*!|>'\"%@`#-?\t\n $\x00\x85é~<"
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, float("inf"), "", "yes", "5", "5s", "coco", "rtsp", "a" * 300),
    *("${YARD_CAMERA}", "${", "${NOBODY}", [], {}, [[]], [1, 2], [[0, 0], [1, 1], [0, 1]]),
    *({"type": "rtsp"}, {"a": {"b": 1}}, {"detect": "person"}),
)


def judged(text: str, secret: Path) -> bool:
    """Whether a text is loaded; AssertionError when a secret shows or a problem says nothing."""
    environment = {
        "YARD_CAMERA": f"rtsp://guard:{SECRET}@10.0.0.7/stream2",
        "GUARD_WEBHOOK": f"https://hooks.example/{SECRET}",
        "SHOP_CAMERA_PASSWORD_FILE": str(secret),
    }
    problems: tuple[Problem, ...] = ()
    try:
        said = explain(parse(text, (), environment))
    except ConfigError as error:
        problems, said = error.problems, str(error)
        assert problems and all(problem.message for problem in problems)  # noqa: PT018
    assert SECRET not in said
    return not problems


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A secret in a file."""
    path = tmp_path / "password"
    path.write_text(SECRET)
    return path


def holders(data: Any) -> Iterator[Any]:
    """Every map and list below, with something in it."""
    if data and isinstance(data, dict | list):
        yield data
        for value in data.values() if isinstance(data, dict) else data:
            yield from holders(value)


def damage(data: Any, rng: random.Random) -> None:
    """Change, remove or rename one thing somewhere."""
    holder = rng.choice(list(holders(data)))
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    choice = rng.random()
    if choice < 0.5:
        holder[key] = rng.choice(VALUES)
    elif choice < 0.7 or isinstance(holder, list):
        del holder[key]
    else:
        names = [f"{key}s", f"{key}_file", f"x-{key}", key[1:], key.upper()]
        holder[rng.choice(names)] = holder.pop(key)


@pytest.mark.parametrize("name", FILES)
def test_damaged_values(name: str, secret: Path) -> None:
    """Wrong kinds of values at any place, missing and misspelled keys."""
    rng = random.Random(name)
    tree, _ = read_yaml(Path(f"configs/{name}.yaml").read_text())
    assert tree is not None
    loaded = 0
    for _ in range(60):
        data = plain(tree)
        for _ in range(rng.randint(1, 3)):
            damage(data, rng)
        loaded += judged(_as_yaml(data), secret)
    assert 0 < loaded < 60


@pytest.mark.parametrize("name", FILES)
def test_damaged_text(name: str, secret: Path) -> None:
    """Letters lost, changed and put in."""
    rng = random.Random(name)
    loaded = 0
    for _ in range(60):
        text = Path(f"configs/{name}.yaml").read_text()
        for _ in range(rng.randint(1, 4)):
            place, lost = rng.randrange(len(text)), rng.randint(0, 1)
            put_in = rng.choice(["", *LETTERS])
            text = text[:place] + put_in + text[place + lost :]
        loaded += judged(text, secret)
    assert 0 < loaded < 60


def _as_yaml(data: Any) -> str:
    """Flow style that reads back as the same."""
    match data:
        case dict():
            return "{" + ", ".join(f"{_quoted(k)}: {_as_yaml(v)}" for k, v in data.items()) + "}"
        case list():
            return f"[{', '.join(map(_as_yaml, data))}]"
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[data]
        case str():
            return _quoted(data)
    return ".inf" if data == float("inf") else str(data)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
