"""Advice on a valid deployment file: parts that nothing uses, files missing on this machine.

These are warnings: the cameras may be connected to another machine than the one that reads the
file.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from connectors.sources.recordings.paths import find_files
from pipeline.core.errors import Problem, SourceError
from pipeline.deployment.model import CameraConfig, DetectTask
from pipeline.deployment.problems.references import (
    Check,
    Checked,
    able_engines,
    serving_engines,
)
from pipeline.deployment.problems.shapes import (
    hidden_pictures,
    uncrossable_lines,
    useless_zones,
)
from pipeline.deployment.problems.suggestions import hint
from pipeline.deployment.together import named_together
from pipeline.deployment.yaml.tree import dotted


def warnings(checked: Checked) -> Iterator[Problem]:
    """Everything worth a second look."""
    for check in _CHECKS:
        yield from check(checked)


def idle_tasks(checked: Checked) -> Iterator[Problem]:
    """Tasks that cost time but that no rule uses."""
    for camera, config in checked.deployment.cameras.items():
        rules = config.rules.values()
        used = {task for rule in rules for task in (rule.of, *rule.references().tasks)}
        broken = checked.names((), "cameras", camera, "rules")
        for name in config.tasks:
            if name not in used and not broken:
                path = dotted(("cameras", camera, "tasks", name))
                yield Problem(path, "no rule uses this task, so its answers have no effect")


def lone_companions(checked: Checked) -> Iterator[Problem]:
    """Tasks that want to follow the same things as others, of which there are none."""
    for camera, config in checked.deployment.cameras.items():
        if checked.names((), "cameras", camera, "tasks"):
            continue
        named = named_together(config)
        for (engine, together), names in named.items():
            if len(names) > 1:
                continue
            known = sorted({name for _, name in named if name != together})
            elsewhere = any(name == together for other, name in named if other != engine)
            why = (
                "its companions ask another engine; name the same `engine:`"
                if elsewhere
                else "write the same name for the tasks that it shares its things with"
                + (hint(together, known) if known else "")
            )
            yield Problem(
                dotted(("cameras", camera, "tasks", names[0], "track", "together")),
                f"no other task of this camera and engine is `together: {together}`, so it has no "
                f"effect: {why}",
            )


def idle_cameras(checked: Checked) -> Iterator[Problem]:
    """Cameras without a task."""
    for camera, config in checked.deployment.cameras.items():
        if not checked.names(config.tasks, "cameras", camera, "tasks"):
            yield Problem(
                dotted(("cameras", camera)), "has no tasks, so only its health is watched"
            )


def idle_engines(checked: Checked) -> Iterator[Problem]:
    """Engines that would be loaded but never used, neither by tasks nor by callers."""
    deployment = checked.deployment
    used = {task.engine for _, task in checked.tasks() if task.engine}
    for _, task in checked.tasks():
        used.update(() if task.engine else able_engines(deployment, task))
    used.update(e.falls_back_to for e in deployment.engines.values() if e.falls_back_to)
    if "server" in deployment.model_fields_set:
        chosen = deployment.server.engine
        used.update(serving_engines(deployment) if chosen is None else (chosen,))
    if checked.broken or "engines" not in deployment.model_fields_set:
        return
    for name in deployment.engines:
        if name not in used:
            yield Problem(dotted(("engines", name)), "no task uses this engine")


def idle_sites(checked: Checked) -> Iterator[Problem]:
    """Sites without a camera."""
    used = {config.site for config in checked.deployment.cameras.values()}
    for name in checked.deployment.sites:
        if name not in used and not checked.names((), "cameras"):
            yield Problem(dotted(("sites", name)), "no camera is at this site")


def long_deadlines(checked: Checked) -> Iterator[Problem]:
    """Engines that may still be working on a frame when another worker gets it."""
    visibility = checked.deployment.queue.visibility
    if checked.is_broken("queue"):
        return
    for name, engine in checked.deployment.engines.items():
        if engine.deadline >= visibility and not checked.is_broken("engines", name):
            path = dotted(("engines", name, "deadline"))
            message = (
                f"{engine.deadline.total_seconds():g} s is not shorter than queue.visibility "
                f"({visibility.total_seconds():g} s), after which another worker gets the frame"
            )
            yield Problem(path, message)


def idle_shapes(checked: Checked) -> Iterator[Problem]:
    """Lines and zones that no rule uses."""
    for camera, config in checked.deployment.cameras.items():
        if checked.names((), "cameras", camera, "rules"):
            continue
        for kind, names, used in _shapes(config):
            for name in names:
                if name not in used:
                    path = dotted(("cameras", camera, f"{kind}s", name))
                    yield Problem(path, f"no rule uses this {kind}")


def _shapes(config: CameraConfig) -> Iterator[tuple[str, Iterable[str], set[str]]]:
    named = [rule.references() for rule in config.rules.values()]
    yield "line", config.lines, {name for references in named for name in references.lines}
    yield "zone", config.zones, {name for references in named for name in references.zones}


def shrunk_parts(checked: Checked) -> Iterator[Problem]:
    """A queue that shrinks the frames of which parts are to be looked at closely."""
    most = getattr(checked.deployment.queue, "max_side", None)
    if most is None or checked.is_broken("queue"):
        return
    for camera, config in checked.deployment.cameras.items():
        for name, task in config.tasks.items():
            if isinstance(task, DetectTask) and task.where == "motion":
                yield Problem(
                    dotted(("cameras", camera, "tasks", name, "where")),
                    f"the parts that move are cut from frames that `queue.max_side` ({most}) has "
                    "shrunk; without it they are seen as the camera sends them",
                )


def absent_recordings(checked: Checked) -> Iterator[Problem]:
    """File sources without a file."""
    for camera, config in checked.deployment.cameras.items():
        source = config.source
        if not source.is_recording or checked.is_broken("cameras", camera, "source"):
            continue
        path = dotted(("cameras", camera, "source", "path"))
        try:
            found = find_files(source.path).files
        except SourceError as error:
            yield Problem(path, f"{error} (relative to {Path.cwd()})")
            continue
        if not any(os.path.lexists(name) for name in found):
            yield Problem(path, f"no file found at {source.path} (relative to {Path.cwd()})")
        elif not any(os.access(name, os.R_OK) for name in found):
            yield Problem(path, f"{source.path} cannot be read by this user (permission denied)")


_CHECKS: tuple[Check, ...] = (
    idle_tasks,
    lone_companions,
    idle_cameras,
    idle_engines,
    idle_sites,
    long_deadlines,
    idle_shapes,
    shrunk_parts,
    uncrossable_lines,
    useless_zones,
    hidden_pictures,
    absent_recordings,
)
