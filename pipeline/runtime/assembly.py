"""Turns a deployment's values into what runs: judging plans, engine lanes, routes to sinks."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from pipeline.core.clock import Clock
from pipeline.core.engines import Engine
from pipeline.core.errors import EngineError
from pipeline.core.rules import Rule
from pipeline.core.sinks import Sink
from pipeline.core.tasks import Task
from pipeline.core.tracks import Tracker
from pipeline.delivery import Route
from pipeline.deployment.model import CameraConfig, Deployment, DetectTask
from pipeline.inference.engines.base import EngineConfigBase
from pipeline.inference.worker import EngineLane
from pipeline.processing.judge import CameraPlan, TaskPlan
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext
from pipeline.sampling.camera import Camera


def plans_of(deployment: Deployment) -> list[CameraPlan]:
    """What is judged: one plan for each camera and each engine that its tasks use."""
    return [
        _plan(deployment, name, camera, engine)
        for name, camera in deployment.cameras.items()
        for engine in engines_of(camera)
    ]


def engines_of(camera: CameraConfig) -> list[str]:
    """Names of the engines a camera's tasks use, in the order of its tasks."""
    return list(dict.fromkeys(task.engine or "" for task in camera.tasks.values()))


def used_engines(deployment: Deployment, only: Collection[str] = ()) -> dict[str, EngineConfigBase]:
    """The engines some camera asks, or `only` some of these; others of the file are not started."""
    used = {engine for camera in deployment.cameras.values() for engine in engines_of(camera)}
    wanted = used & set(only) if only else used
    return {name: config for name, config in deployment.engines.items() if name in wanted}


def lanes_of(deployment: Deployment, clock: Clock, only: Collection[str] = ()) -> list[EngineLane]:
    """Start the engines; raises EngineError naming the one that does not start, and why."""
    cameras = snapshot_cameras(deployment)
    lanes: list[EngineLane] = []
    for name, config in used_engines(deployment, only).items():
        deadline_s = config.deadline.total_seconds()
        try:
            engine = _started(name, config, clock)
            lanes.append(EngineLane(name, engine, config.max_batch, deadline_s, cameras))
        except EngineError:
            for lane in lanes:
                lane.engine.close()
            raise
    return lanes


def snapshot_cameras(deployment: Deployment) -> frozenset[str]:
    """Cameras that have a rule with `snapshot: true`."""
    return frozenset(
        name
        for name, camera in deployment.cameras.items()
        if any(rule.snapshot for rule in camera.rules.values())
    )


def expected_interval_s(camera: CameraConfig, task: str) -> float:
    """The longest time between two answers of a task when all goes well, in seconds."""
    sample = camera.sample
    gated = sample.motion is not None or sample.duplicates == "drop"
    asked = camera.tasks[task].every
    every_s = asked.total_seconds() if asked else 0.0
    return max(every_s, sample.interval_s, sample.heartbeat_s if gated else 0.0)


def _started(name: str, config: EngineConfigBase, clock: Clock) -> Engine:
    try:
        return config.build(clock)
    except EngineError as error:
        raise EngineError(f"engine {name!r} does not start: {error}") from error


def _plan(deployment: Deployment, name: str, camera: CameraConfig, engine: str) -> CameraPlan:
    tasks = [task for task, config in camera.tasks.items() if config.engine == engine]
    return CameraPlan(
        camera=name,
        engine=engine,
        fingerprint=_fingerprint(deployment, camera, engine),
        tasks=tuple(_task_plan(deployment, name, camera, task) for task in tasks),
        snapshots=frozenset(rule for rule, config in camera.rules.items() if config.snapshot),
    )


def _task_plan(deployment: Deployment, name: str, camera: CameraConfig, task: str) -> TaskPlan:
    rules = {
        rule: partial(_rule, deployment, name, rule)
        for rule, config in camera.rules.items()
        if config.of == task
    }
    return TaskPlan(task, rules, _tracker_of(camera, task))


def _tracker_of(camera: CameraConfig, task: str) -> Callable[[float], Tracker] | None:
    config = camera.tasks[task]
    if not isinstance(config, DetectTask):
        return None
    return partial(config.track.build, config.detect)


def _rule(deployment: Deployment, camera_name: str, rule_name: str, aspect: float) -> Rule:
    camera = deployment.cameras[camera_name]
    config: RuleBase = camera.rules[rule_name]
    task = camera.tasks[config.of]
    labels = (getattr(task, key, None) for key in ("detect", "point", "count"))
    context = RuleContext(
        camera=camera_name,
        rule=rule_name,
        label=next((label for label in labels if label), None),
        every_s=expected_interval_s(camera, config.of),
        lines={name: line.shape() for name, line in camera.lines.items()},
        zones={name: zone.shape() for name, zone in camera.zones.items()},
        timezone=deployment.site_of(camera_name).timezone,
        aspect=aspect,
    )
    return config.build(context)


def _fingerprint(deployment: Deployment, camera: CameraConfig, engine: str) -> str:
    """Changes with everything that can change what a camera's rules conclude."""
    judged_by = {"tasks", "lines", "zones", "rules", "sample"}
    parts = camera.model_dump(mode="json", by_alias=True, include=judged_by)
    parts["engine"] = deployment.engines[engine].model_dump(mode="json")
    site = deployment.sites[camera.site] if camera.site is not None else deployment.site
    parts["timezone"] = site.timezone
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def routes_of(deployment: Deployment) -> list[tuple[Route, Sink]]:
    """The sinks, each with which events go to it."""
    return [
        (Route.of(name, config), config.build(deployment.site.name, deployment.site_names()))
        for name, config in deployment.sinks.items()
    ]


def camera_of(
    deployment: Deployment, name: str, clock: Clock, judged: Mapping[str, tuple[str, int]]
) -> Camera:
    """A camera, not yet opened; what `judged` says is done with will not be sent again.

    It has the run and the last job judged, by engine.
    """
    camera = deployment.cameras[name]
    return Camera(
        name=name,
        source=camera.source.build(clock),
        sample=camera.sample,
        tasks=tuple(_tasks(camera)),
        max_side=_max_side(deployment, camera),
        judged=judged,
    )


def is_sampled_alike(name: str, before: Deployment, after: Deployment) -> bool:
    """Whether a camera of two deployments gives the same jobs, so that it may stay at work."""
    return _sampling(before, name) == _sampling(after, name)


def _sampling(deployment: Deployment, name: str) -> tuple[object, ...]:
    camera = deployment.cameras[name]
    return camera.source, camera.sample, tuple(_tasks(camera)), _max_side(deployment, camera)


def _tasks(camera: CameraConfig) -> Iterator[tuple[Task, float | None]]:
    for task in camera.questions():
        every = camera.tasks[task.id].every
        yield task, every.total_seconds() if every else None


def _max_side(deployment: Deployment, camera: CameraConfig) -> int | None:
    """The most any of the camera's engines can use; None when one of them has no limit."""
    sides = [deployment.engines[engine].max_side for engine in engines_of(camera)]
    known = [side for side in sides if side is not None]
    return max(known) if known and len(known) == len(sides) else None
