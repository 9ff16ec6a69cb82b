"""Rows for spreadsheets and databases: what was counted, what happened, who stayed how long.

The columns are a promise: they are added to at the end, and keep their names and meanings.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.clips import CLIP, ClipRecords
from pipeline.core.events import Event, JsonValue, timestamp
from pipeline.core.local_time import local_time
from pipeline.core.measures import BUCKET_S
from pipeline.core.observations import ObservationHistory, ObservedFrame, frames_of
from pipeline.core.opening_hours import OpeningHours
from pipeline.core.store import CountedAs, EventFilter, History, Page, Span, StoredEvent
from pipeline.deployment.model import Deployment
from pipeline.reports.steps import TimeStep, cut_steps, measured, minutes_of, steps
from pipeline.rules.base import RuleBase

Kind = Literal["text", "number", "whole"]
Cell = str | float | int | None
Row = Sequence[Cell]
_PAGE = 1000
_LONGEST_STEP_S = 8 * 86_400


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column: its name, what its cells are, and what they mean."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True)
class Export:
    """Columns and rows; the rows are read from the store while they are taken."""

    columns: Sequence[ExportColumn]
    rows: Iterator[Row]


_CAMERA = ExportColumn("camera", "text", "Name of the camera.")
_RULE = ExportColumn("rule", "text", "Name of the rule.")
_TYPE = ExportColumn("type", "text", "Type of the rule, or of the event.")
_SITE = ExportColumn("site", "text", "Name of the camera's site.")
_COUNTED_AS = ExportColumn(
    "counted_as",
    "text",
    "counted; rejected by a second look; or superseded: of an earlier judging of a recording only.",
)

COUNTS = (
    ExportColumn("start", "text", "When the step begins, in UTC."),
    ExportColumn("end", "text", "When it ends, in UTC; not part of it."),
    ExportColumn("start_local", "text", "When it begins, in the site's time, with its offset."),
    _SITE,
    _CAMERA,
    _RULE,
    _TYPE,
    ExportColumn("measure", "text", "What is measured, such as `entered`."),
    ExportColumn("over_time", "text", "How it adds up: sum, mean, max, min or last."),
    ExportColumn("unit", "text", "What is counted, such as `people`."),
    ExportColumn("value", "number", "The number; empty where it is not known."),
    ExportColumn("coverage", "number", "Share of the step that is known, 0 to 1."),
    ExportColumn("minutes_known", "number", "Minutes of the step that are known."),
    ExportColumn("minutes", "number", "Minutes of the step."),
    ExportColumn("minutes_open", "number", "Minutes of it in which the site is open."),
)
EVENTS = (
    ExportColumn("id", "text", "Unique for each row, and the same in every export."),
    ExportColumn("happening", "text", "What its start, updates and end have in common."),
    _TYPE,
    ExportColumn("phase", "text", "start, update, end or single."),
    ExportColumn("at", "text", "When it happened, in UTC."),
    ExportColumn("at_local", "text", "The same in the site's time, with its offset."),
    _SITE,
    _CAMERA,
    _RULE,
    ExportColumn("label", "text", "What it is about, such as `person`."),
    ExportColumn("track", "whole", "Number of the track, where there is one."),
    ExportColumn("data", "text", "Everything else about it, as JSON."),
    ExportColumn("media", "text", "References of its pictures, separated by spaces."),
    _COUNTED_AS,
    ExportColumn("clip", "text", "References of its clip's files, separated by spaces."),
    ExportColumn("clip_state", "text", "What became of the clip, such as `ready`."),
    ExportColumn("clip_before_asked", "number", "Seconds before the clip's first event, as asked."),
    ExportColumn("clip_before", "number", "Seconds before it that the clip has."),
)
VISITS = (
    ExportColumn("id", "text", "Unique for each visit."),
    _SITE,
    _CAMERA,
    _RULE,
    _TYPE,
    ExportColumn("zone", "text", "Name of the zone; empty for the whole picture."),
    ExportColumn("label", "text", "Who stayed, such as `person`."),
    ExportColumn("track", "whole", "Number of the track."),
    ExportColumn("entered", "text", "When it began, in UTC."),
    ExportColumn("left", "text", "When it ended, in UTC."),
    ExportColumn("entered_local", "text", "When it began, in the site's time."),
    ExportColumn("seconds", "number", "How long it lasted."),
    ExportColumn("complete", "text", "yes, or no where its end was not seen: it lasted longer."),
    ExportColumn("reason", "text", "Why it ended, such as `over` or `stream ended`."),
    _COUNTED_AS,
)
OBSERVATIONS = (
    ExportColumn("at", "text", "When the picture was taken, in UTC."),
    ExportColumn("at_local", "text", "The same in the site's time, with its offset."),
    _SITE,
    _CAMERA,
    ExportColumn("engine", "text", "Name of the engine that was asked."),
    ExportColumn("run", "text", "The camera's run; with `seq` it identifies the picture."),
    ExportColumn("seq", "whole", "Number of the picture in its run."),
    ExportColumn("task", "text", "Name of the task."),
    ExportColumn("kind", "text", "box, point, number, text, failed, or none: nothing was found."),
    ExportColumn("track", "whole", "Number of the track, where the box belongs to one."),
    ExportColumn("score", "number", "How sure the engine was, 0 to 1."),
    ExportColumn("x_min", "number", "Left edge of a box, or x of a point, in 0 to 1."),
    ExportColumn("y_min", "number", "Top edge of a box, or y of a point, in 0 to 1."),
    ExportColumn("x_max", "number", "Right edge of a box."),
    ExportColumn("y_max", "number", "Bottom edge of a box."),
    ExportColumn("answer", "text", "A number or an answer in words, or why there is none."),
)
VISIT_UNIT = "visits"
"""Rules with a measure of this unit have events about each visit."""
_SEEN_TO_END = "over"


def visiting_rules(deployment: Deployment) -> list[tuple[str, str]]:
    """Cameras and rules whose events are visits."""
    return [
        (camera, name)
        for camera, config in deployment.cameras.items()
        for name, rule in config.rules.items()
        if any(measure.unit == VISIT_UNIT for measure in rule.measures)
    ]


def counts(
    deployment: Deployment,
    history: History,
    step: str,
    span: Span,
    cameras: Collection[str] = (),
    *,
    cut: bool = False,
) -> Export:
    """A row for each measure, rule and step, by camera, rule and time.

    Steps are whole, also beyond the period, unless they are to be `cut` at its borders.
    """
    steps_in = cut_steps if cut else steps
    return Export(COUNTS, _counts(deployment, history, step, span, cameras, steps_in))


def events(
    deployment: Deployment,
    history: History,
    span: Span,
    cameras: Collection[str] = (),
    clips: ClipRecords | None = None,
) -> Export:
    """A row for each event, in the order in which they were stored; `clips` say what became of
    theirs.
    """
    wanted = EventFilter(cameras=tuple(cameras), span=span)
    return Export(
        EVENTS,
        (
            (*_event_row(deployment, one.event, how), *_clip_cells(one.event, clips))
            for one, how in _all(history, wanted)
        ),
    )


def visits(
    deployment: Deployment, history: History, span: Span, cameras: Collection[str] = ()
) -> Export:
    """A row for each visit that ended in the period, in the order in which they were stored."""
    rules = set(visiting_rules(deployment))
    wanted = EventFilter(
        cameras=tuple(cameras),
        rules=tuple(sorted({rule for _, rule in rules})),
        phases=("end",),
        span=span,
    )
    ended = _all(history, wanted) if rules else iter(())
    return Export(
        VISITS,
        (
            _visit_row(deployment, stored.event, how)
            for stored, how in ended
            if (stored.event.camera, stored.event.rule) in rules
        ),
    )


def observations(
    deployment: Deployment,
    history: ObservationHistory,
    span: Span,
    cameras: Collection[str] = (),
) -> Export:
    """A row for everything that was seen in each judged picture, by camera and time."""
    chosen = [name for name in deployment.cameras if not cameras or name in cameras]
    return Export(
        OBSERVATIONS,
        (
            row
            for camera in chosen
            for block in history.observations(camera, None, span)
            for seen in frames_of(block)
            if _is_within(seen.result.captured_at, span)
            for row in _observed_rows(deployment, seen)
        ),
    )


def is_complete(event: Event) -> bool:
    """Whether a visit's end was seen; otherwise it lasted at least as long as is said."""
    return event.data.get("reason") == _SEEN_TO_END


def _counts(
    deployment: Deployment,
    history: History,
    step: str,
    span: Span,
    cameras: Collection[str],
    steps_in: Callable[[OpeningHours, str, float, float], Iterator[TimeStep]],
) -> Iterator[Row]:
    extents = {(one.camera, one.rule): one for one in history.extents()}
    for camera, config in deployment.cameras.items():
        if cameras and camera not in cameras:
            continue
        site = deployment.site_of(camera)
        hours, zone = site.opening_hours, site.timezone
        for name, rule in config.rules.items():
            extent = extents.get((camera, name))
            since, until = span.since, span.until
            if extent is not None:
                since = extent.first if since is None else since
                until = extent.last + BUCKET_S if until is None else until
            if since is None or until is None or not rule.measures:
                continue
            first = next(steps_in(hours, step, since, until), None)
            begins = since if first is None else first.since
            # Whole steps are counted, so the last one may end after the period.
            minutes = minutes_of(history, camera, name, begins, until + _LONGEST_STEP_S)
            for found in measured(minutes, steps_in(hours, step, since, until)):
                at = found.step
                open_s = hours.open_seconds(at.since, at.until)
                for measure in rule.recorded():
                    yield (
                        timestamp(at.since),
                        timestamp(at.until),
                        local_time(at.since, zone),
                        site.name,
                        camera,
                        name,
                        type_of(rule),
                        measure.name,
                        measure.over_time,
                        measure.unit,
                        rounded(found.value(measure)),
                        round(found.coverage, 6),
                        round(found.minutes_known, 3),
                        rounded(at.minutes),
                        rounded(open_s / BUCKET_S),
                    )


def _all(history: History, wanted: EventFilter) -> Iterator[tuple[StoredEvent, CountedAs]]:
    """Events in the order in which they were stored, a page at a time, and how they count."""
    beyond: int | None = None
    while page := history.events(wanted, Page(_PAGE, beyond, newest_first=False)):
        how = history.counted_as([stored.event.record_id for stored in page])
        yield from ((stored, how.get(stored.event.record_id, "counted")) for stored in page)
        beyond = page[-1].position


def _event_row(deployment: Deployment, event: Event, how: CountedAs) -> Row:
    site, subject = deployment.site_of(event.camera), event.subject
    return (
        event.record_id,
        event.id,
        event.type,
        event.phase,
        timestamp(event.at),
        local_time(event.at, site.timezone),
        site.name,
        event.camera,
        event.rule,
        None if subject is None else subject.label,
        None if subject is None else subject.track,
        as_json(event.data),
        " ".join(event.media) or None,
        how,
    )


def _clip_cells(event: Event, clips: ClipRecords | None) -> Row:
    told = event.data.get(CLIP)
    reference = told.get("reference") if isinstance(told, dict) else None
    if not isinstance(reference, str):
        return (None, None, None, None)
    clip = None if clips is None else clips.clip(reference)
    if clip is None:  # it was forgotten
        return (reference, None, None, None)
    files = " ".join(one for one, _ in clip.files) or reference
    return (files, clip.state, rounded(clip.asked_s), rounded(clip.preroll_s))


def _visit_row(deployment: Deployment, event: Event, how: CountedAs) -> Row:
    site, subject, data = deployment.site_of(event.camera), event.subject, event.data
    seconds, since = data.get("seconds"), data.get("since")
    zone, reason, until = data.get("zone"), data.get("reason"), data.get("until")
    return (
        event.id,
        site.name,
        event.camera,
        event.rule,
        event.type,
        None if zone is None else str(zone),
        None if subject is None else subject.label,
        None if subject is None else subject.track,
        None if since is None else str(since),
        timestamp(event.at) if until is None else str(until),
        None if since is None else local_time(_moment(str(since)), site.timezone),
        rounded(float(seconds)) if isinstance(seconds, int | float) else None,
        "yes" if is_complete(event) else "no",
        None if reason is None else str(reason),
        how,
    )


def _is_within(at: float, span: Span) -> bool:
    return (span.since is None or at >= span.since) and (span.until is None or at < span.until)


def _observed_rows(deployment: Deployment, seen: ObservedFrame) -> Iterator[Row]:
    result = seen.result
    site = deployment.site_of(result.camera)
    about = (
        timestamp(result.captured_at),
        local_time(result.captured_at, site.timezone),
        site.name,
        result.camera,
        result.engine,
        result.run,
        result.seq,
    )
    for task, answer in sorted(result.answers.items()):
        tracks = seen.tracks.get(task, ())
        for cells in _answer_cells(answer, tracks):
            yield (*about, task, *cells)


def _answer_cells(answer: Answer, tracks: Sequence[int | None]) -> Iterator[Row]:
    nowhere = (None, None, None, None)
    match answer:
        case Boxes(boxes_xyxy=boxes, scores=scores) if boxes:
            for i, (box, score) in enumerate(zip(boxes, scores, strict=True)):
                track = tracks[i] if i < len(tracks) else None
                yield ("box", track, rounded(score), *map(rounded, box), None)
        case Points(points_xy=points, scores=scores) if points:
            for (x, y), score in zip(points, scores, strict=True):
                yield ("point", None, rounded(score), rounded(x), rounded(y), None, None, None)
        case Number(value=value, score=score):
            yield ("number", None, rounded(score), *nowhere, str(value))
        case Text(text=text, yes_probability=probability):
            yield ("text", None, rounded(probability), *nowhere, text)
        case Failed(reason=reason):
            yield ("failed", None, None, *nowhere, reason)
        case _:
            yield ("none", None, None, *nowhere, None)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def type_of(rule: RuleBase) -> str:
    """What `type:` names a rule in the file."""
    return str(getattr(rule, "type", ""))


def rounded(value: float | None) -> float | int | None:
    """A number without the noise of its last bits; whole ones without a point."""
    if value is None:
        return None
    short = round(value, 6)
    return int(short) if short == int(short) else short


def as_json(data: Mapping[str, JsonValue]) -> str | None:
    """Data in one line, the keys in order."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False) if data else None
