"""Which tasks of a camera follow the same things: kinds that a detector mistakes for each other."""

from collections.abc import Mapping

from pipeline.core.siblings import siblings
from pipeline.deployment.model import CameraConfig, DetectTask
from pipeline.tracking.config import APART


def named_together(camera: CameraConfig) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The tasks that share `track: {together: NAME}`, by engine and name."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, task in camera.tasks.items():
        together = task.track.together if isinstance(task, DetectTask) else None
        if together is not None and together != APART:
            found.setdefault((task.engine or "", together), []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def followed_together(camera: CameraConfig) -> Mapping[str, str]:
    """For each task that shares its tracks with others, the first of them.

    They are asked of one engine, and either named so or, with equal settings, known by their words
    to be different kinds of one family.
    """
    groups = [names for names in named_together(camera).values() if len(names) > 1]
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, task in camera.tasks.items():
        if isinstance(task, DetectTask) and task.track.together is None:
            key = (task.engine or "", repr(task.track))  # no serializer is built for it
            alike.setdefault(key, []).append((name, task.detect))
    for tasks in alike.values():
        groups += [
            tuple(tasks[index][0] for index in indices)
            for indices in siblings([label for _, label in tasks])
        ]
    return {name: names[0] for names in groups for name in names}
