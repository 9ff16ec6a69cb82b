"""Turns a deployment's cameras into what the sampler works with."""

from collections.abc import Iterator, Mapping

from pipeline.app.build import engines_of
from pipeline.app.deployment import CameraConfig, Deployment
from pipeline.core.clock import Clock
from pipeline.core.tasks import Task
from pipeline.sampling.camera import Camera


def cameras_of(
    deployment: Deployment, clock: Clock, judged: Mapping[tuple[str, str], tuple[str, int]]
) -> list[Camera]:
    """The cameras, not yet opened; what `judged` says is done with will not be sent again.

    It has the run and the last job judged, by camera and engine.
    """
    return [
        Camera(
            name=name,
            source=camera.source.build(clock),
            sample=camera.sample,
            tasks=tuple(_tasks(camera)),
            max_side=_max_side(deployment, camera),
            judged={
                engine: (run, ordinal)
                for (of, engine), (run, ordinal) in judged.items()
                if of == name
            },
        )
        for name, camera in deployment.cameras.items()
    ]


def _tasks(camera: CameraConfig) -> Iterator[tuple[Task, float | None]]:
    for task in camera.questions():
        every = camera.tasks[task.id].every
        yield task, every.total_seconds() if every else None


def _max_side(deployment: Deployment, camera: CameraConfig) -> int | None:
    """The most any of the camera's engines can use; None when one of them has no limit."""
    sides = [deployment.engines[engine].max_side for engine in engines_of(camera)]
    known = [side for side in sides if side is not None]
    return max(known) if known and len(known) == len(sides) else None
