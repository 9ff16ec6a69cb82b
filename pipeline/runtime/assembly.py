"""Builds what runs from a deployment: judging plans, engine lanes, routes to sinks."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

from pipeline.core.address import Address, masked
from pipeline.core.arming import ArmedTimes
from pipeline.core.clips import ClipMake, ClipNeed, ClipSource
from pipeline.core.clock import Clock
from pipeline.core.config import as_written
from pipeline.core.engines import AsksElsewhere, Engine
from pipeline.core.errors import EngineError
from pipeline.core.events import JsonValue
from pipeline.core.marked_pictures import drawn
from pipeline.core.sinks import Sink, SinkContext
from pipeline.core.sources import Source
from pipeline.core.spending import Spending
from pipeline.core.store import Store
from pipeline.core.switching import ByHand, SwitchTimes
from pipeline.core.tasks import Task, question_of
from pipeline.delivery import Route
from pipeline.deployment.model import CameraConfig, Deployment, DetectTask, TaskConfig
from pipeline.deployment.together import followed_together
from pipeline.inference.engines.base import EngineConfigBase
from pipeline.inference.worker import EngineLane
from pipeline.processing.clips import ClipPlan
from pipeline.processing.health import ENDED_BY
from pipeline.processing.plan import CameraPlan, LanePlan, RulePlan, TaskPlan
from pipeline.rules.base import RuleBase
from pipeline.rules.context import RuleContext
from pipeline.rules.terms import terms_of
from pipeline.runtime.media_links import link_maker
from pipeline.sampling.camera import Camera, Looking
from pipeline.sampling.masks import Masks

NONE_RUNNING: Mapping[str, Engine] = MappingProxyType({})


def plans_of(deployment: Deployment, by_hand: ByHand | None = None) -> list[CameraPlan]:
    """The judging plan of each camera; `by_hand` knows what was armed and switched."""
    books = by_hand or ByHand()
    return [_plan(deployment, name, camera, books) for name, camera in deployment.cameras.items()]


def engines_of(camera: CameraConfig) -> list[str]:
    """Names of the engines that a camera's tasks use, in task order."""
    return list(dict.fromkeys(task.engine or "" for task in camera.tasks.values()))


def verifying_engines_of(camera: CameraConfig) -> list[str]:
    """Names of the engines that a camera's rules ask about events and tracks."""
    return list(dict.fromkeys(question.engine for _, _, question in camera.rule_questions()))


def used_engines(deployment: Deployment, only: Collection[str] = ()) -> dict[str, EngineConfigBase]:
    """The engines that cameras and their rules use, and those that stand in for them.

    With `only`, some of these. Other engines are not started.
    """
    used: set[str] = set()
    for camera in deployment.cameras.values():
        for engine in (*engines_of(camera), *verifying_engines_of(camera)):
            used |= {engine, *deployment.fallbacks_of(engine)}
    wanted = used & set(only) if only else used
    return {name: config for name, config in deployment.engines.items() if name in wanted}


def lanes_of(
    deployment: Deployment,
    clock: Clock,
    only: Collection[str] = (),
    running: Mapping[str, Engine] = NONE_RUNNING,
    spending: Spending | None = None,
) -> list[EngineLane]:
    """Start the engines, except those that are `running`.

    If one cannot be started, stops the others and raises EngineError with its name and the reason.
    `spending` is where workers count together what engines elsewhere cost.
    """
    cameras = snapshot_cameras(deployment)
    started: dict[str, Engine] = {}

    def start(name: str) -> Engine:
        try:
            engine = deployment.engines[name].build(clock)
        except EngineError as error:
            raise EngineError(f"engine {name!r} could not be started: {error}") from error
        if isinstance(engine, AsksElsewhere):
            engine.name_as(name, deployment.site.timezone, spending)
        return engine

    def give_fallback(name: str, engine: Engine) -> None:
        other = deployment.engines[name].falls_back_to
        if other is None or not isinstance(engine, AsksElsewhere):
            return
        shared = started.get(other) or running.get(other)
        if shared is not None:
            engine.fall_back_to(other, shared, owned=False)
            return
        own = start(other)  # jobs of its own are answered elsewhere
        engine.fall_back_to(other, own, owned=True)
        give_fallback(other, own)

    wanted = used_engines(deployment, only)
    try:
        for name in [name for name in wanted if name not in running]:
            started[name] = start(name)
        for name, engine in started.items():
            give_fallback(name, engine)
    except EngineError:
        for engine in started.values():
            engine.close()
        raise
    return [
        EngineLane(
            name,
            started[name],
            config.max_batch,
            config.deadline.total_seconds(),
            cameras,
            config.cut_side,
        )
        for name, config in wanted.items()
        if name in started
    ]


def snapshot_cameras(deployment: Deployment) -> frozenset[str]:
    """Cameras with a rule that has `snapshot: true` or asks: their frames are kept a while."""
    return frozenset(
        name
        for name, camera in deployment.cameras.items()
        if camera.rule_questions() or any(rule.snapshot for rule in camera.rules.values())
    )


# How long after its capture an event is decided, before anything is known of that.
_CLIP_LAG_S = 10.0


def clip_need(camera: CameraConfig) -> ClipNeed | None:
    """What a camera's source keeps for clips; None where no rule asks for one."""
    if _clip_plan(camera) is None or _clip_refusal(camera) is not None:
        return None
    clips = camera.clips
    # Events may have to wait until it is known whether they are about staff.
    waits_s = max((rule.waits_s() for rule in camera.rules.values() if rule.clip), default=0.0)
    return ClipNeed(clips.before.total_seconds(), _CLIP_LAG_S + waits_s, clips.memory)


def clip_make(camera: CameraConfig) -> ClipMake:
    """How a camera's clips are made."""
    polygons = camera.sample.mask_polygons
    hide = Masks(polygons).fill if polygons else None
    return ClipMake(hide, camera.clips.max_fps)


def _clip_plan(camera: CameraConfig) -> ClipPlan | None:
    rules = frozenset(name for name, rule in camera.rules.items() if rule.clip)
    if not rules:
        return None
    clips = camera.clips
    return ClipPlan(
        rules,
        clips.before.total_seconds(),
        clips.after.total_seconds(),
        clips.longest.total_seconds(),
        _clip_refusal(camera),
    )


def _clip_refusal(camera: CameraConfig) -> str | None:
    if camera.sample.masks and camera.clips.masked == "refuse":
        return "the camera has privacy masks, and its `clips.masked` is `refuse`"
    return None


def expected_interval_s(camera: CameraConfig, task: str) -> float:
    """The longest normal time between two answers to a task, in seconds."""
    sample = camera.sample
    gated = sample.motion is not None or sample.duplicates == "drop"
    asked = camera.tasks[task].every
    every_s = asked.total_seconds() if asked else 0.0
    return max(every_s, sample.interval_s, sample.heartbeat_s if gated else 0.0)


def _plan(deployment: Deployment, name: str, camera: CameraConfig, by_hand: ByHand) -> CameraPlan:
    looked_for = {"frozen": camera.sample.frozen, "black": camera.sample.black}
    unwatched = {trouble for trouble, watch in looked_for.items() if watch is None}
    source = camera.source
    if source.is_finite:
        unwatched.add("clock")
    return CameraPlan(
        camera=name,
        lanes=tuple(
            _lane_plan(deployment, name, camera, engine, by_hand) for engine in engines_of(camera)
        ),
        snapshots=frozenset(rule for rule, config in camera.rules.items() if config.snapshot),
        clips=_clip_plan(camera),
        is_recording=source.is_finite,
        watched=frozenset(ENDED_BY) - unwatched,
        was=camera.was,
        remembers=bool(deployment.store.observations.keep),
        verify={
            rule: config.verify.look()
            for rule, config in camera.rules.items()
            if config.verify is not None
        },
        engines=frozenset(used_engines(deployment)),
    )


def _lane_plan(
    deployment: Deployment, name: str, camera: CameraConfig, engine: str, by_hand: ByHand
) -> LanePlan:
    tasks = [task for task, config in camera.tasks.items() if config.engine == engine]
    return LanePlan(
        engine=engine,
        tasks=tuple(_task_plan(deployment, name, camera, task, by_hand) for task in tasks),
        fingerprint=_first_fingerprint(deployment, camera, engine),
    )


def _task_plan(
    deployment: Deployment, name: str, camera: CameraConfig, task: str, by_hand: ByHand
) -> TaskPlan:
    rules = {
        rule: _rule_plan(deployment, name, rule, by_hand)
        for rule, config in camera.rules.items()
        if config.of == task
    }
    config = camera.tasks[task]
    together = followed_together(camera).get(task, "")
    tracker, followed, label, stands = None, "", "", False
    if isinstance(config, DetectTask):
        tracker, label = partial(config.track.build, config.detect), config.detect
        followed = config.track.model_dump_json()
        stands = config.where == "motion"
    # An engine's name and how often it is asked do not change its answers; what it is shown does.
    answered_by: dict[str, JsonValue] = {
        "task": _asked(config),
        "kind": type(config).__name__,
        "engine": _identity(deployment, config.engine or ""),
        "masks": [[list(corner) for corner in mask] for mask in camera.sample.masks],
        "max_side": camera.sample.max_side,
    }
    text = json.dumps(answered_by, sort_keys=True)
    asked: dict[str, JsonValue] = {
        **answered_by,
        "task": question_of(config.task(task)),
        "where": "motion" if stands else "picture",
    }
    return TaskPlan(
        task,
        rules,
        tracker,
        label,
        together,
        terms=hashlib.blake2b(text.encode(), digest_size=12).hexdigest(),
        answered=hashlib.blake2b(
            json.dumps(asked, sort_keys=True).encode(), digest_size=12
        ).hexdigest(),
        question=question_of(config.task(task)),
        scene=_scene(camera),
        stands=stands,
        followed=followed,
    )


def _identity(deployment: Deployment, engine: str) -> JsonValue:
    """What an engine's answers depend on: itself, and those that stand in for it."""
    own = deployment.engines[engine].identity()
    others = [deployment.engines[name].identity() for name in deployment.fallbacks_of(engine)]
    return {"engine": own, "fallbacks": others} if others else own


def _asked(config: TaskConfig) -> dict[str, JsonValue]:
    """What a task asks, as earlier releases wrote it, too.

    They left out a stated speed that was their default. Whether a file states it or not, the
    tracker resumes, as it takes a stated speed for what it is, whatever was learned.
    """
    asked = as_written(config, {"engine", "every", "confirm_every"})
    track = asked.get("track")
    if isinstance(track, dict) and track.get("speed") == _SPEED_THEN:
        rest = {name: value for name, value in track.items() if name != "speed"}
        asked = {name: value for name, value in asked.items() if name != "track"}
        asked |= {"track": rest} if rest else {}
    return asked


def _scene(camera: CameraConfig) -> str:
    """A digest of where a camera's pictures come from; another login is not another scene."""
    places = [getattr(camera.source, key, None) for key in ("type", "url", "path", "device")]
    places = [masked(place.bare()) if isinstance(place, Address) else place for place in places]
    return hashlib.blake2b(str(places).encode(), digest_size=6).hexdigest()


def _rule_plan(
    deployment: Deployment, camera_name: str, rule_name: str, by_hand: ByHand
) -> RulePlan:
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
        hours=deployment.site_of(camera_name).opening_hours,
        armed=ArmedTimes(deployment.site_of(camera_name).arming_plan, by_hand.arming, camera_name),
        switches=SwitchTimes(by_hand.switches, camera_name, rule_name, camera.was),
    )
    return RulePlan(
        make=lambda aspect: config.build(replace(context, aspect=aspect)),
        terms=terms_of(config, context),
        every_s=context.every_s,
    )


def _first_fingerprint(deployment: Deployment, camera: CameraConfig, engine: str) -> str:
    """The fingerprint by which the first checkpoint layout compared a whole lane.

    Fields that were added later are left out, as they were not part of it.
    """
    judged_by = {"tasks", "lines", "zones", "rules", "sample"}
    parts = camera.model_dump(mode="json", by_alias=True, include=judged_by)
    for section in ("tasks", "lines", "zones", "rules"):
        parts[section] = {name: _as_of_then(part) for name, part in parts[section].items()}
    parts["sample"] = _as_of_then(parts["sample"])
    for task in parts["tasks"].values():
        if "track" in task and task["track"]["speed"] is None:
            task["track"]["speed"] = _SPEED_THEN
    parts["engine"] = _as_of_then(deployment.engines[engine].model_dump(mode="json"))
    site = deployment.sites[camera.site] if camera.site is not None else deployment.site
    parts["timezone"] = site.timezone
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


_FIELDS_THEN = """
after answers ask black caption choices confirm_after cooldown count count_score days
detect device dtype duplicates engine every fail fewer_than for forget_after from frozen
gap heartbeat in is level line linger local_files_only longer_than margin masks max_batch
max_crops max_fps max_objects max_side max_tokens max_wait min_probability min_score model
more_than motion names of offline_after out point polygon revision schedule sensitivity
snapshot speed stale_after start_score tiles to track type update_every variant zone
"""
"""Every field of a camera and an engine in the release that wrote the first layout."""

_SPEED_THEN = 0.7
"""What `track.speed` was in that release where the file did not say; today it is learned."""


def _as_of_then(part: Any) -> Any:
    if isinstance(part, list):
        return [_as_of_then(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        # A scripted engine's answers are keyed by task name.
        name: value if name == "answers" else _as_of_then(value)
        for name, value in part.items()
        if name in _FIELDS_THEN.split()
    }


def routes_of(deployment: Deployment, store: Store, clock: Clock) -> list[tuple[Route, Sink]]:
    """The sinks, each with the route that selects its events."""
    build_media = lru_cache(maxsize=1)(deployment.store.build_media)

    link = link_maker(deployment, store, clock)

    def read(reference: str) -> bytes | None:
        # Built when it is needed first: a bucket may be out of reach just now.
        content = build_media().read(reference)
        return None if content is None else drawn(content)

    return [
        (
            Route.of(name, config, deployment.reports_to(name)),
            config.build(
                SinkContext(
                    deployment.site.name,
                    deployment.site_names(),
                    name,
                    deployment.site.timezone,
                    clock,
                    read,
                    link,
                    store.notes_of(name),
                    timezones=deployment.site_timezones(),
                    arm=store.arm,
                    switch=store.switch,
                )
            ),
        )
        for name, config in deployment.sinks.items()
    ]


def camera_of(
    deployment: Deployment, name: str, clock: Clock, judged: Mapping[str, tuple[str, int]]
) -> Camera:
    """A camera, not yet opened; jobs that are already judged are not sent again.

    `judged` has the run and its last judged job, by engine.
    """
    camera = deployment.cameras[name]
    source, need = _source(deployment, name, clock), clip_need(camera)
    if need is not None and isinstance(source, ClipSource):
        source.keep_for_clips(need)
    return Camera(
        name=name,
        source=source,
        sample=camera.sample,
        tasks=tuple(_tasks(camera)),
        max_side=_max_side(deployment, camera),
        judged=judged,
        looking=_looking(deployment, camera),
    )


def _source(deployment: Deployment, name: str, clock: Clock) -> Source:
    config = deployment.cameras[name].source
    if config.is_recording:
        return config.build(clock, deployment.site_of(name).timezone)
    return config.build(clock)


def is_sampled_alike(name: str, before: Deployment, after: Deployment) -> bool:
    """Whether a camera produces the same jobs in both deployments, so that it can keep running."""
    return _sampling(before, name) == _sampling(after, name)


def _sampling(deployment: Deployment, name: str) -> tuple[object, ...]:
    camera = deployment.cameras[name]
    # Names of recordings hold local times.
    zone = deployment.site_of(name).timezone if camera.source.is_recording else None
    tasks, looking = tuple(_tasks(camera)), _looking(deployment, camera)
    kept = clip_need(camera)
    return camera.source, zone, camera.sample, tasks, looking, _max_side(deployment, camera), kept


def _looking(deployment: Deployment, camera: CameraConfig) -> dict[str, Looking]:
    """How each of the tasks looks that look where something moves."""
    return {
        name: Looking(task.confirm_s, deployment.engines[task.engine or ""].cut_side)
        for name, task in camera.tasks.items()
        if isinstance(task, DetectTask) and task.confirm_s is not None
    }


def _tasks(camera: CameraConfig) -> Iterator[tuple[Task, float | None]]:
    for task in camera.questions():
        every = camera.tasks[task.id].every
        yield task, every.total_seconds() if every else None


def _max_side(deployment: Deployment, camera: CameraConfig) -> int | None:
    """The largest side that any of the camera's engines can use; None if one has no limit."""
    engines = (*engines_of(camera), *verifying_engines_of(camera))
    sides = [deployment.engines[engine].max_side for engine in engines]
    known = [side for side in sides if side is not None]
    return max(known) if known and len(known) == len(sides) else None
