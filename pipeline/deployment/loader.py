"""Loads a deployment file: every mistake in it at once, or a `Deployment`.

Relative paths in a file are relative to the directory that moonwatch is started in.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from types import MappingProxyType

from pipeline.core.address import without_secrets
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.model import PARTS, Deployment
from pipeline.deployment.problems import advice, machine, references
from pipeline.deployment.problems.repair import Draft, read_model
from pipeline.deployment.problems.suggestions import brief
from pipeline.deployment.problems.validation import Mistake, hidden_in
from pipeline.deployment.yaml.defaults import merge_defaults
from pipeline.deployment.yaml.includes import INCLUDE, merge_includes, read_text
from pipeline.deployment.yaml.overrides import apply_overrides
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.secret_files import read_secret_files
from pipeline.deployment.yaml.short_forms import write_out
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
    plain,
    problem_at,
    put,
    written_at,
)
from pipeline.deployment.yaml.variables import interpolate
from pipeline.rules.base import RuleBase

# Slow on purpose, about 30 ms: with the digest and the rest of the file, a password could otherwise
# be guessed quickly.
_DIGEST_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A deployment, the tree it was made from, and warnings about it."""

    deployment: Deployment
    tree: Node
    warnings: tuple[Problem, ...]
    files: tuple[FilePath, ...]
    """Everything it was read from, to be watched: the file, included files and secret files."""

    @property
    def digest(self) -> str:
        """Identifies this version of the file: 12 hex digits that change with any of its values.

        Values of variables, secret files and `--set` count; comments and the order of keys do not.
        """
        # ASCII, in which any text of YAML can be written.
        text = json.dumps(plain(self.tree), sort_keys=True).encode()
        return hashlib.pbkdf2_hmac("sha256", text, b"moonwatch", _DIGEST_ROUNDS, 6).hex()


def load(
    path: FilePath | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Deployment:
    """The deployment that a file describes; raises ConfigError with all of its problems.

    `overrides` are `path.to.key=value`, as for `--set`; `environment` defaults to the process's
    own.
    """
    return read(path, overrides, environment).deployment


def read(
    path: FilePath | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Like `load`, with the origin of every value, and warnings."""
    return parse(read_text(FilePath(path)), overrides, environment, FilePath(path))


def parse(
    text: str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    file: FilePath | None = None,
    instead: Mapping[FilePath, str] = MappingProxyType({}),
) -> Loaded:
    """Like `read`, from text instead of a file; includes are relative to `file`.

    Included files of which `instead` has a text are not read.
    """
    files = [] if file is None else [file]
    draft, problems, unresolved = _drafted(text, overrides, environment, files, instead)
    if problems or draft.model is None:
        raise ConfigError(_in_order(problems))
    warnings = _in_order(_checked(draft, unresolved, advice.warnings))
    tree, deployment = _with_engines(draft.root, draft.model)
    return Loaded(deployment, tree, tuple(warnings), tuple(dict.fromkeys(files)))


@dataclass(frozen=True, slots=True)
class ReadableParts:
    """What could be read of a file with mistakes, for commands that show it."""

    deployment: Deployment
    problems: tuple[Problem, ...]
    """All mistakes in it."""
    broken: frozenset[Path]
    """The parts that were left out, or replaced by something that passes."""


def read_parts(path: FilePath | str, overrides: Sequence[str] = ()) -> ReadableParts:
    """As much of a deployment as can be read; raises ConfigError if that is nothing."""
    draft, problems, _ = _drafted(read_text(FilePath(path)), overrides, None, [FilePath(path)])
    if draft.model is None:
        raise ConfigError(_in_order(problems))
    return ReadableParts(draft.model, tuple(_in_order(problems)), draft.broken)


def _drafted(
    text: str,
    overrides: Sequence[str],
    environment: Mapping[str, str] | None,
    files: list[FilePath],
    instead: Mapping[FilePath, str] = MappingProxyType({}),
) -> tuple[Draft[Deployment], list[Problem], set[Path]]:
    """What can be read, every mistake, and what is unknown because a variable has no value.

    `files` begins with the file itself, if it is one; those that it includes are added.
    """
    environment = os.environ if environment is None else environment
    root, problems, unincluded = _merged(text, overrides, environment, files, instead)
    root, found, unresolved = interpolate(root, environment)
    problems += found
    root = write_out(root)
    root, found, unread = read_secret_files(root, Deployment, files)
    problems += found
    draft = read_model(root, Deployment, PARTS)
    known_as_wrong = unresolved | unread
    if unincluded:  # what is said to be missing may be in a file that could not be read
        known_as_wrong |= {("cameras",)}
    problems += [
        _located(mistake, root) for mistake in draft.mistakes if mistake.path not in known_as_wrong
    ]
    if not any(problem.path == "" or problem.path.startswith(INCLUDE) for problem in unincluded):
        problems += _checked(draft, unresolved, references.problems)
    return draft, problems, set(unresolved)


def as_written(
    text: str,
    overrides: Sequence[str],
    file: FilePath,
    instead: Mapping[FilePath, str] = MappingProxyType({}),
) -> Node:
    """The tree of a file with what it includes, defaults and `--set`, as it is written.

    Variables, secret files and short forms stay what they are. Raises ConfigError where it is no
    tree; other mistakes are left to `parse`.
    """
    return _merged(text, overrides, os.environ, [file], instead)[0]


def _merged(
    text: str,
    overrides: Sequence[str],
    environment: Mapping[str, str],
    files: list[FilePath],
    instead: Mapping[FilePath, str],
) -> tuple[Node, list[Problem], list[Problem]]:
    """One tree of all files, all problems, and those of them with what is included."""
    root, problems = _document(text)
    # What is included must be known before the rest can be set.
    root, found = apply_overrides(root, [o for o in overrides if _sets_include(o)])
    problems += found
    file = files[0] if files else None
    root, unincluded = merge_includes(root, file, environment, files, instead)
    problems += unincluded
    root, found = apply_overrides(root, [o for o in overrides if not _sets_include(o)])
    problems += found
    return merge_defaults(root), problems, unincluded


def missing_here(loaded: Loaded, *, only_fatal: bool = False) -> list[Problem]:
    """What this machine lacks for a deployment, each at its line; all of it, or what is fatal."""
    found = machine.problems(loaded.deployment, only_fatal=only_fatal)
    return _in_order(_at_its_line(loaded.tree, problem) for problem in found)


def located(loaded: Loaded, problems: Iterable[Problem]) -> list[Problem]:
    """Problems that were found elsewhere, each at its line of the file."""
    return _in_order(_at_its_line(loaded.tree, problem) for problem in problems)


def _sets_include(override: str) -> bool:
    return override.partition("=")[0].strip().split(".")[0] == INCLUDE


def _document(text: str) -> tuple[Node, list[Problem]]:
    root, problems = read_yaml(text)
    if root is None and problems:
        raise ConfigError(_in_order(problems))
    if not isinstance(root, Map):
        message = "must be a map of keys and values, beginning with `version: 1`"
        raise ConfigError([*problems, Problem("", message)])
    return root, problems


def _located(mistake: Mistake, root: Node) -> Problem:
    """The mistake at its line; one that came from the defaults is reported there, once."""
    path = mistake.path
    if mistake.kind == "missing":
        place = (*written_at(root, path[:-1]), path[-1])
    else:
        place = written_at(root, path)
    return Problem(dotted(place), mistake.message, mistake.line, mistake.file)


def _checked(
    draft: Draft[Deployment], unresolved: Iterable[Path], check: references.Check
) -> list[Problem]:
    """The problems that a check finds, each at its line and without secrets."""
    if draft.model is None:
        return []
    checked = references.Checked(draft.model, draft.broken | set(unresolved))
    return [_at_its_line(_tree_of(draft, one.path), one) for one in check(checked)]


def _tree_of(draft: Draft[Deployment], path: str) -> Node:
    """The tree that has a path: where a key above it is misspelled, only the mended one."""
    is_renamed = (
        find(draft.root, _path(draft.root, path)) is None
        and find(draft.mended, _path(draft.mended, path)) is not None
    )
    return draft.mended if is_renamed else draft.root


def _at_its_line(root: Node, problem: Problem) -> Problem:
    """A problem with its line, and without secrets."""
    path = _path(root, problem.path)
    message = without_secrets(problem.message, hidden_in(find(root, path)))
    return problem_at(root, path, message)


def _path(root: Node, dotted_path: str) -> Path:
    """A dotted path as keys and indexes; names contain no dots."""
    path: list[Key] = []
    node: Node | None = root
    for name in dotted_path.split("."):
        key: Key = int(name) if isinstance(node, List) and name.isdecimal() else name
        path.append(key)
        node = child(node, key)
    return tuple(path)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and line; those without a line first."""
    short = (replace(p, path=brief(p.path), message=brief(p.message)) for p in problems)
    return sorted(dict.fromkeys(short), key=lambda p: (p.file or "", p.line or 0))


def _with_engines(root: Node, deployment: Deployment) -> tuple[Node, Deployment]:
    """Both with the engine of each task and each rule's question without one, as only one can."""
    origin = Origin(chosen="the only engine that can answer")
    cameras = dict(deployment.cameras)
    for camera, config in deployment.cameras.items():
        chosen = {}
        for task in config.questions():
            if not task.engine:
                (engine,) = references.able_engines(deployment, task)
                path = ("cameras", camera, "tasks", task.id, "engine")
                root = put(root, path, Scalar(engine, engine, origin))
                chosen[task.id] = config.tasks[task.id].model_copy(update={"engine": engine})
        rules: dict[str, RuleBase] = {}
        for rule, field, question in config.rule_questions():
            if not question.engine:
                (engine,) = references.able_engines(deployment, question)
                place = ("cameras", camera, "rules", rule, field, "engine")
                root = put(root, place, Scalar(engine, engine, origin))
                before = rules.get(rule, config.rules[rule])
                asking = getattr(before, field).model_copy(update={"engine": engine})
                rules[rule] = before.model_copy(update={field: asking})
        if chosen or rules:
            parts = {"tasks": {**config.tasks, **chosen}, "rules": {**config.rules, **rules}}
            cameras[camera] = config.model_copy(update=parts)
    return root, deployment.model_copy(update={"cameras": cameras})
