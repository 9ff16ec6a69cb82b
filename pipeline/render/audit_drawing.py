"""Draws an audit of a deployment's rule, and cuts its clips from what was recorded.

Of a camera that is a recording, or of which another device has recordings, everything can be
judged; of a live one only what its events have kept.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from connectors.sources.file import FileConfig
from connectors.stores.sql import SqlStore
from pipeline.core.arming import ArmingBook
from pipeline.core.audits import Audit
from pipeline.core.clock import SystemClock
from pipeline.core.config import format_duration
from pipeline.core.errors import ConfigError, Problem, SourceError
from pipeline.core.measures import BUCKET_S
from pipeline.core.private_files import create_file
from pipeline.core.sources import Need
from pipeline.core.store import EventFilter, Span
from pipeline.core.switching import ByHand, SwitchBook
from pipeline.deployment.model import Deployment
from pipeline.insight.auditing import (
    GUARD_S,
    AuditedSpans,
    AuditPlan,
    AuditSpan,
    Interval,
    directed,
    drawn,
    kept_media,
    known_time,
    moments_of,
    open_time,
    spans_of,
)
from pipeline.render.audit_clips import write_clip, write_masked

_BESIDE_THE_QUESTION = frozenset(
    {"type", "of", "schedule", "min_coverage", "snapshot", "clip", "verify"}
)


@dataclass(frozen=True, slots=True)
class AuditWish:
    """Which rule is to be audited, when, and by how much."""

    camera: str
    rule: str
    samples: int
    """How many clips with, and how many without, events; at most."""
    span: Span
    clip_s: float
    seed: int | None = None
    """The same draws the same clips; None for a new one."""
    video: str | None = None
    """Recordings of a live camera by another device: a file or a folder."""


@dataclass(frozen=True, slots=True)
class PlannedAudit:
    """What was drawn, and where its clips come from."""

    plan: AuditPlan
    source: "AuditFootage | EventMedia"
    note: str = ""
    """What cannot be known of it; empty where everything can."""


def planned_audit(deployment: Deployment, store: SqlStore, wish: AuditWish) -> PlannedAudit:
    """Draw what a person is to judge; raises ConfigError, SourceError, StoreError."""
    seed = random.randrange(2**31) if wish.seed is None else wish.seed
    camera, rule, span = wish.camera, wish.rule, wish.span
    if wish.video is None and not deployment.cameras[camera].source.is_recording:
        return _planned_of_events(deployment, store, wish, seed)
    source = AuditFootage(deployment, camera, wish.video)
    moments = moments_of(deployment, store.history, camera, rule, span)
    # A minute that has begun before counts for what of it is inside.
    first = None if span.since is None else span.since - BUCKET_S
    minutes = store.history.buckets(camera, rule, Span(first, span.until))
    by_hand = ByHand(ArmingBook(store.armings), SwitchBook(store.switches))
    by_hand.arming.refresh()
    by_hand.switches.refresh()
    known, unknown_s = known_time(minutes, span, source.there)
    known = open_time(deployment, camera, rule, known, by_hand)
    if not known:
        said = "nothing is known of this rule then; run the file first, or choose another time"
        raise ConfigError([Problem("--since", said)])
    plan = drawn(spans_of(moments, known, unknown_s, wish.clip_s, seed), wish.samples, seed)
    plan = directed(plan, deployment, store.history, camera, rule, span, known)
    if not plan.clips:
        said = f"less than a clip of {wish.clip_s:g} s is known of this rule then"
        raise ConfigError([Problem("--since", said)])
    return PlannedAudit(plan, source)


def footage_of(
    deployment: Deployment, store: SqlStore, audit: Audit
) -> "AuditFootage | EventMedia":
    """Where the clips of an audit are that was drawn without recordings of another device.

    Raises ConfigError, SourceError, StoreError.
    """
    if deployment.cameras[audit.camera].source.is_recording:
        return AuditFootage(deployment, audit.camera, None)
    # Without an end said, it is that of the last clip.
    span = Span(audit.since - GUARD_S, audit.until + GUARD_S)
    chosen = EventFilter((audit.camera,), (audit.rule,), span=span)
    return EventMedia(kept_media(deployment, store.history, chosen))


def _planned_of_events(
    deployment: Deployment, store: SqlStore, wish: AuditWish, seed: int
) -> PlannedAudit:
    """Of a live camera there is only what its events kept: nothing is known of what was missed."""
    camera, rule, span = wish.camera, wish.rule, wish.span
    moments = moments_of(deployment, store.history, camera, rule, span)
    found = kept_media(deployment, store.history, EventFilter((camera,), (rule,), span=span))
    if not found:
        said = (
            f"camera {camera!r} is live, and no event of {rule!r} has kept a picture or clip; name "
            "recordings of another device with --video, or add `snapshot: true` to the rule"
        )
        raise ConfigError([Problem("--video", said)])
    note = (
        f"{len(found)} of {len(moments)} events have a picture or clip; without --video nothing "
        "is shown of the time without events, so recall stays unknown"
    )
    busy = [AuditSpan(at - GUARD_S, at + GUARD_S, 1) for at in found]
    spans = AuditedSpans(busy, [], unknown_s=0.0, unseen_s=1.0)
    return PlannedAudit(drawn(spans, wish.samples, seed), EventMedia(found), note)


class EventMedia:
    """The pictures and clips of events, by when the events were."""

    there: Sequence[Interval] | None = None
    """Of what lies between events nothing is there."""

    def __init__(self, found: Mapping[float, Path]) -> None:
        self._found = {at - GUARD_S: path for at, path in found.items()}

    def is_picture(self, span: AuditSpan) -> bool:
        """Whether a clip is one picture."""
        kept = self._found.get(span.since)
        return kept is not None and kept.suffix != ".mp4"

    def write(
        self, deployment: Deployment, audit: Audit, span: AuditSpan, out: Path
    ) -> Path | None:
        """Copy what an event kept, with the masks of today: those of then are in it already.

        None where it is no longer there.
        """
        kept = self._found.get(span.since)
        if kept is None:
            return None
        out = out.with_suffix(kept.suffix)
        camera = deployment.cameras[audit.camera]
        if kept.suffix == ".mp4" and camera.sample.masks:
            source = FileConfig(path=str(kept)).build(SystemClock(), "UTC")
            source.open(Need())
            try:
                return out if write_clip(source.pictures(), camera, audit.rule, out) else None
            finally:
                source.close()
        if camera.sample.masks:
            return out if write_masked(kept, camera, out) else None
        create_file(out)
        out.write_bytes(kept.read_bytes())
        return out


class AuditFootage:
    """Where the pictures of the audited time are."""

    def __init__(self, deployment: Deployment, camera: str, video: str | None) -> None:
        config = deployment.cameras[camera].source
        if isinstance(config, FileConfig):
            if video is not None:
                said = f"is for a live camera; {camera!r} is a recording itself"
                raise ConfigError([Problem("--video", said)])
        else:
            if video is None or not Path(video).exists():
                raise ConfigError([Problem("--video", f"{video} does not exist")])
            config = FileConfig(path=video)
        self._source = config.build(SystemClock(), deployment.site_of(camera).timezone)
        self._files = list(self._source.probe())
        self.there: Sequence[Interval] | None = [
            (one.start, one.start + one.length_s) for one in self._files
        ]
        """When there are pictures, in UTC seconds."""

    def is_picture(self, span: AuditSpan) -> bool:
        """Whether a clip is one picture."""
        return False

    def write(
        self, deployment: Deployment, audit: Audit, span: AuditSpan, out: Path
    ) -> Path | None:
        """Write a clip; None where there are no pictures."""
        pictures = self._source.excerpt(self._files, span.since, span.until)
        out = out.with_suffix(".mp4")
        with _of_camera(audit.camera):
            written = write_clip(pictures, deployment.cameras[audit.camera], audit.rule, out)
        return out if written else None


@contextmanager
def _of_camera(camera: str) -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise SourceError(error.reason, f"camera {camera!r}: {error}") from None


def terms_of(deployment: Deployment, camera: str, rule: str) -> tuple[str, list[str]]:
    """What a rule counts, and by which terms: ("person", ["longer than 10s"])."""
    config = deployment.cameras[camera].rules[rule]
    what = getattr(deployment.cameras[camera].tasks[config.of], "detect", "something")
    terms = []
    for field in sorted(config.model_fields_set - _BESIDE_THE_QUESTION):
        value = getattr(config, field)
        if isinstance(value, timedelta):
            value = format_duration(value)
        if isinstance(value, str | int | float):
            terms.append(f"{(type(config).model_fields[field].alias or field)} {value}")
    return what, terms


def question_of(deployment: Deployment, camera: str, rule: str) -> str:
    """What a person is asked of each clip."""
    config = deployment.cameras[camera].rules[rule]
    what, terms = terms_of(deployment, camera, rule)
    if config.called_in() is not None:
        return (
            f"How many times does a {what} cross the line in each direction? `in` is the "
            "arrow's, `out` the other one."
        )
    which = ", ".join([f"{config.type} of {what}", *terms]).replace("_", " ")
    return f"How many times does this begin: {rule} ({which})?"
