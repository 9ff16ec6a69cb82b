"""Loads a deployment file: every mistake in it at once, or a `Deployment`.

Relative paths in a file are relative to the directory that moonwatch is started in.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.model import PARTS, Deployment
from pipeline.deployment.problems import advice, references
from pipeline.deployment.problems.repair import Draft, read_model
from pipeline.deployment.problems.validation import Mistake, without_secrets
from pipeline.deployment.yaml.defaults import merge_defaults
from pipeline.deployment.yaml.overrides import apply_overrides
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.secret_files import read_secret_files
from pipeline.deployment.yaml.tree import (
    Key,
    List,
    Map,
    Node,
    Origin,
    Path,
    Scalar,
    child,
    dotted,
    find,
    line_at,
    plain,
    put,
    written_at,
)
from pipeline.deployment.yaml.variables import interpolate

# Whoever names a video instead of a YAML file should be told so at once.
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """A deployment, the tree it was made of, and what works in it but is hardly meant."""

    deployment: Deployment
    tree: Node
    warnings: tuple[Problem, ...]


def load(
    path: FilePath | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Deployment:
    """The deployment that a file describes; raises ConfigError with all of its problems.

    `overrides` are `path.to.key=value`, as after `--set`; `environment` is the process's own
    unless given.
    """
    return read(path, overrides, environment).deployment


def read(
    path: FilePath | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Like `load`, with the origin of every value, and warnings."""
    return parse(_text(FilePath(path)), overrides, environment)


def parse(
    text: str, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Loaded:
    """Like `read`, of a text instead of a file."""
    root, problems = _document(text)
    root, found = apply_overrides(root, overrides)
    problems += found
    root = merge_defaults(root)
    root, found, unresolved = interpolate(root, os.environ if environment is None else environment)
    problems += found
    root, found, unread = read_secret_files(root, Deployment)
    problems += found
    draft = read_model(root, Deployment, PARTS)
    known_as_wrong = unresolved | unread
    problems += [
        _located(mistake, root) for mistake in draft.mistakes if mistake.path not in known_as_wrong
    ]
    problems += _checked(draft, unresolved, references.problems)
    if problems or draft.model is None:
        raise ConfigError(_in_order(problems))
    warnings = _in_order(_checked(draft, unresolved, advice.warnings))
    tree = _with_engines(draft.root, draft.model)
    return Loaded(Deployment.model_validate(plain(tree)), tree, tuple(warnings))


def _text(path: FilePath) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError([Problem("", f"cannot read {path}: {why}")]) from error
    if len(content) > _MAX_BYTES:
        raise ConfigError([Problem("", f"{path} is too large to be a deployment file")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("", f"{path} is no UTF-8 text")]) from error


def _document(text: str) -> tuple[Node, list[Problem]]:
    root, problems = read_yaml(text)
    if root is None and problems:
        raise ConfigError(problems)
    if not isinstance(root, Map):
        message = "must be a map of keys and values, beginning with `version: 1`"
        raise ConfigError([*problems, Problem("", message)])
    return root, problems


def _located(mistake: Mistake, root: Node) -> Problem:
    """The mistake at its line; one that came from the defaults is told there, once."""
    path = mistake.path
    if mistake.kind == "missing":
        place = (*written_at(root, path[:-1]), path[-1])
    else:
        place = written_at(root, path)
    return Problem(dotted(place), mistake.message, mistake.line)


def _checked(
    draft: Draft[Deployment], unresolved: Iterable[Path], check: references.Check
) -> list[Problem]:
    """What the references find, each at its line and without secrets."""
    if draft.model is None:
        return []
    checked = references.Checked(draft.model, draft.broken | set(unresolved))
    found = []
    for problem in check(checked):
        path = _path(draft.root, problem.path)
        message = without_secrets(problem.message, find(draft.root, path))
        found.append(Problem(problem.path, message, line_at(draft.root, path)))
    return found


def _path(root: Node, dotted_path: str) -> Path:
    """A dotted path as keys and places; names hold no dots."""
    path: list[Key] = []
    node: Node | None = root
    for name in dotted_path.split("."):
        key: Key = int(name) if isinstance(node, List) and name.isdecimal() else name
        path.append(key)
        node = child(node, key)
    return tuple(path)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by line; what is in no line first."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def _with_engines(root: Node, deployment: Deployment) -> Node:
    """The tree with the engine of every task that left it out, because only one can answer."""
    for camera, config in deployment.cameras.items():
        for task in config.questions():
            if not task.engine:
                (engine,) = references.able_engines(deployment, task)
                origin = Origin(chosen="the only engine that can answer")
                path = ("cameras", camera, "tasks", task.id, "engine")
                root = put(root, path, Scalar(engine, engine, origin))
    return root
