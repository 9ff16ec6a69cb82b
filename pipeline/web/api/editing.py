"""Edits of a camera's lines, zones, masks, rules and tasks: looked at, checked and saved."""

import threading
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.errors import MoonwatchError, Problem
from pipeline.runtime.asked_reload import ReloadAnswers, answers_to, ask_to_reload
from pipeline.web.access.guard import must_see, needs
from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.editing.editor import (
    CameraFile,
    EditResult,
    camera_file,
    edited,
    save,
    snippet,
    with_effects,
)
from pipeline.web.editing.forms import SettingsForms, forms
from pipeline.web.editing.parts import EditedParts
from pipeline.web.problems import WebError
from pipeline.web.state import State, WebState

router = APIRouter(tags=["editing"])

_WITHIN_S = 6.0
_MOST_PROBLEMS = 50
_saving = threading.Lock()


class EditableCamera(BaseModel):
    """What can be edited of a camera, as it is written in the file."""

    camera: str
    base: str
    """Identifies the file's bytes: an edit is made to this version."""
    file: str
    """The file that it is written in."""
    read_only: str | None
    """Why it cannot be saved, as a sentence; null where it can."""
    lines: dict[str, Any]
    zones: dict[str, Any]
    masks: list[Any]
    rules: dict[str, Any]
    tasks: dict[str, Any]
    engines: list[str]
    is_recording: bool


class EditRequest(EditedParts):
    """An edit of one camera."""

    camera: Annotated[str, Field(min_length=1, max_length=64)]
    base: Annotated[str, Field(min_length=1, max_length=64)]


class EditProblem(BaseModel):
    """A mistake or a warning, with its place."""

    path: str
    message: str
    line: int | None
    file: str | None


class BeginsAnew(BaseModel):
    """A rule that counts by other terms from the moment at which the file is applied."""

    rule: str
    kind: str
    """`edited`, `added` or `removed`."""
    changed: str


class EditPreview(BaseModel):
    """What an edit comes to."""

    base: str
    diff: str
    """As `diff -u` shows it; what cannot be edited here is left out or a dot."""
    added: int
    removed: int
    hides: bool
    """Whether the diff leaves something out on the changed lines, so that it cannot be applied."""
    problems: list[EditProblem]
    """It can be saved if there are none."""
    warnings: list[EditProblem]
    begins_anew: list[BeginsAnew]
    restarts: list[str]
    needs_restart: list[str]
    read_only: str | None
    text: str
    """The camera's parts after the edit, to be copied into the file by hand."""


class ProcessReply(BaseModel):
    """What one process answered about the saved file."""

    model_config = ConfigDict(from_attributes=True)

    stage: str
    host: str
    pid: int
    outcome: str
    said: list[str]
    good: bool


class ReloadReply(BaseModel):
    """What the processes answered."""

    request: str
    processes: list[ProcessReply]
    complete: bool
    """Whether all have answered; ask again where they have not."""
    trouble: str | None = None
    """Why they could not be asked; the file is saved all the same."""


class SavedEdit(BaseModel):
    """An edit that was saved."""

    base: str
    at: float
    """UTC seconds."""
    diff: str
    begins_anew: list[BeginsAnew]
    restarts: list[str]
    warnings: list[EditProblem]
    reload: ReloadReply


Editor = Annotated[Visitor, needs(Permission.EDIT)]


@router.get("/edit/cameras/{camera}")
def editable_camera(camera: str, visitor: Editor, state: State) -> EditableCamera:
    """A camera's lines, zones, masks, rules and tasks as they are written, `${NAME}` unresolved."""
    now = _now(visitor, state, camera)
    parts: dict[str, Any] = dict(now.parts)
    return EditableCamera(
        camera=camera,
        base=now.base,
        file=now.name,
        read_only=now.read_only,
        engines=list(now.deployment.engines),
        is_recording=now.deployment.cameras[camera].source.is_recording,
        **parts,
    )


@router.get("/edit/forms")
def edit_forms(visitor: Editor) -> SettingsForms:
    """What rules and tasks can be set to."""
    return forms()


@router.post("/edit/preview")
def preview(request: EditRequest, visitor: Editor, state: State) -> EditPreview:
    """What an edit would change in the file, its mistakes, and what would begin anew."""
    now = _now(visitor, state, request.camera)
    _same_base(now, request.base)
    result = with_effects(edited(state.file, now, request), now, state.clock.now())
    return _preview(now, result)


@router.post("/edit/save")
def save_edit(request: EditRequest, visitor: Editor, state: State) -> SavedEdit:
    """Save an edit, and have the processes apply it; the version before it is kept."""
    with _saving:
        now = _now(visitor, state, request.camera)
        _same_base(now, request.base)
        result = with_effects(edited(state.file, now, request), now, state.clock.now())
        base = save(now, result, request.base)
    told = result.difference
    size = f"{told.added} lines added, {told.removed} removed in {now.name}"
    state.journal.note(visitor, "edited a camera", request.camera, size)
    state.file.look_now()
    seen = _preview(now, result)
    return SavedEdit(
        base=base,
        at=state.clock.now(),
        diff=seen.diff,
        begins_anew=seen.begins_anew,
        restarts=seen.restarts,
        warnings=seen.warnings,
        reload=_reloaded(state),
    )


@router.get("/edit/answers")
def edit_answers(
    visitor: Editor,
    state: State,
    request: Annotated[str, Query(min_length=1, max_length=64)],
) -> ReloadReply:
    """What the processes have answered until now to the request of a saved edit."""
    loaded = state.file.loaded
    return _reply(answers_to(loaded.deployment, request, loaded.digest, state.clock))


def _now(visitor: Visitor, state: WebState, camera: str) -> CameraFile:
    must_see(visitor, camera)
    return camera_file(state.file, camera)


def _same_base(now: CameraFile, base: str) -> None:
    if now.base != base:
        raise WebError(
            409,
            f"{now.name} was changed meanwhile, by somebody else or by hand; load it again, and "
            "make your change to what it says now",
        )


def _preview(now: CameraFile, result: EditResult) -> EditPreview:
    effects, told = result.effects, result.difference
    return EditPreview(
        base=now.base,
        diff=told.text,
        added=told.added,
        removed=told.removed,
        hides=told.hides,
        problems=_problems(result.problems),
        warnings=_problems(result.warnings),
        begins_anew=[]
        if effects is None
        else [BeginsAnew(rule=o.rule, kind=o.kind, changed=o.changed) for o in effects.rules],
        restarts=[] if effects is None else list(effects.restarts),
        needs_restart=[] if effects is None else list(effects.needs_restart),
        read_only=now.read_only,
        text=snippet(result, now.camera),
    )


def _problems(found: Sequence[Problem]) -> list[EditProblem]:
    return [
        EditProblem(path=one.path, message=one.message, line=one.line, file=one.file)
        for one in found[:_MOST_PROBLEMS]
    ]


def _reloaded(state: WebState) -> ReloadReply:
    try:
        loaded = state.file.loaded
        found = ask_to_reload(loaded.deployment, loaded.digest, state.clock, _WITHIN_S)
    except MoonwatchError as error:
        return ReloadReply(request="", processes=[], complete=False, trouble=str(error))
    return _reply(found)


def _reply(found: ReloadAnswers) -> ReloadReply:
    return ReloadReply(
        request=found.request,
        processes=[ProcessReply.model_validate(one) for one in found.answers],
        complete=found.complete,
    )
