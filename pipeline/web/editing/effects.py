"""What an edit does to a deployment that runs: what restarts, and which counts begin anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.edits import EditKind
from pipeline.deployment.model import Deployment
from pipeline.processing.life import CameraLife
from pipeline.processing.plan import CameraPlan
from pipeline.runtime.assembly import is_sampled_alike, plans_of
from pipeline.runtime.reload import unchangeable


@dataclass(frozen=True, slots=True)
class RuleBeginning:
    """A rule that counts by other terms from the moment at which the file is applied."""

    rule: str
    kind: EditKind
    changed: str
    """What was edited, in words; empty where it is new or gone."""


@dataclass(frozen=True, slots=True)
class EditEffects:
    """What follows from an edit."""

    rules: Sequence[RuleBeginning]
    """The others go on counting as if nothing had happened."""
    restarts: Sequence[str]
    """What is opened or asked anew, in sentences."""
    needs_restart: Sequence[str] = ()
    """What no running process can apply, in sentences."""


def effects_of(old: Deployment, new: Deployment, camera: str, now: float) -> EditEffects:
    """What follows from an edit of one camera."""
    before, after = _plan(old, camera), _plan(new, camera)
    life = CameraLife(before)
    turn = life.begin_anew(after, now)
    rules = [RuleBeginning(edit.rule, edit.kind, edit.changed) for edit in turn.edits]
    if before.is_recording:
        # A recording is judged from its beginning, so all its figures come by the new terms.
        rules = _of_recording(before, after)
    return EditEffects(
        sorted(rules, key=lambda one: one.rule),
        _restarts(old, new, camera, is_recording=before.is_recording and bool(rules)),
        unchangeable(old, new, list(old.engines)),
    )


def _plan(deployment: Deployment, camera: str) -> CameraPlan:
    return next(plan for plan in plans_of(deployment) if plan.camera == camera)


def _of_recording(before: CameraPlan, after: CameraPlan) -> list[RuleBeginning]:
    live = CameraLife(_as_live(before))
    return [
        RuleBeginning(edit.rule, edit.kind, edit.changed)
        for edit in live.begin_anew(_as_live(after), 0.0).edits
    ]


def _as_live(plan: CameraPlan) -> CameraPlan:
    return CameraPlan(plan.camera, plan.lanes, was=plan.was)


def _restarts(old: Deployment, new: Deployment, camera: str, *, is_recording: bool) -> list[str]:
    told = []
    if not is_sampled_alike(camera, old, new) and not old.cameras[camera].source.is_recording:
        told.append(
            f"Camera {camera} is opened again, as other pictures or answers are asked of it: for "
            "a few seconds nothing is seen."
        )
    if is_recording:
        told.append(
            "This camera is a recording: at its next start it is judged again from its beginning."
        )
    return told
