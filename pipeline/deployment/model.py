"""The deployment file as values: site, engines, queue, store, cameras with their tasks, sinks.

Relative paths in it, of media, outputs and secrets alike, are relative to the directory that
moonwatch is started in, not to the file.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import TZPATH, ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from connectors.queues import QueueConfig
from connectors.sinks import SinkConfig
from connectors.sources import SourceConfig
from connectors.stores import StoreConfig
from pipeline.core import geometry
from pipeline.core import tasks as core
from pipeline.core.arming import ArmingPlan
from pipeline.core.config import XY, Config, PositiveDuration, all_left_out
from pipeline.core.machine import Lack, missing_libraries
from pipeline.core.opening_hours import CLOSED, OpeningHours, known_country, opening_hours
from pipeline.core.recurring import Recurrence, recurrence
from pipeline.deployment.problems.repair import RemovableParts
from pipeline.deployment.problems.suggestions import nearest
from pipeline.inference.engines import EngineConfig
from pipeline.rules import RuleConfig
from pipeline.rules.armed_plan import ArmedWhen, arming_plan
from pipeline.rules.sequence import SequenceConfig
from pipeline.sampling.config import ClipsConfig, SampleConfig
from pipeline.server.config import ServeConfig
from pipeline.tracking.config import TrackerConfig
from pipeline.web.config import WebConfig


def _name(value: str) -> str:
    if not value.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{value!r} is not a valid name; use letters, digits, `_` and `-`")
    return value


def _timezones() -> set[str]:
    """The zones that people live in, from the system's table; all names where there is none."""
    for folder in TZPATH:
        with suppress(OSError):
            rows = Path(folder, "zone.tab").read_text(encoding="utf-8").splitlines()
            return {"UTC", *(row.split("\t")[2] for row in rows if not row.startswith("#"))}
    return available_timezones()


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        guess = nearest(value, _timezones())
        advice = f"did you mean {guess!r}?" if guess else "write it like Europe/Berlin or UTC"
        raise ValueError(f"{value!r} is not a known time zone; {advice}") from None
    return value


def _hours(value: Any) -> Any:
    if isinstance(value, dict):
        opening_hours({str(day): hours for day, hours in value.items()})
        return {str(day): _clock_hours(hours) for day, hours in value.items()}
    return value


def _clock_hours(hours: Any) -> str:
    return CLOSED if hours is False else str(hours)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_name), Field(max_length=64)]
"""What an operator calls a camera, task, line, zone, rule, engine or sink."""
Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Names of the same kind; one alone needs no list."""
Words = Annotated[str, Field(min_length=1, max_length=2000)]


def _rule_place(value: str) -> str:
    camera, _, rule = value.partition("/")
    if not camera or not rule or "/" in rule:
        raise ValueError(
            f"{value[:140]!r} does not name a rule; write CAMERA/RULE, such as street/passing"
        )
    return value


RulePlaces = Annotated[
    tuple[Annotated[str, AfterValidator(_rule_place), Field(max_length=129)], ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    Field(max_length=64),
]
"""Rules as CAMERA/RULE; one alone needs no list."""


class CaptureRateConfig(Config):
    """Who passes by outside and who of them comes in."""

    passed: RulePlaces = Field(
        min_length=1,
        description=(
            "The rules that count who passes by, as `CAMERA/RULE`: of a `line_crossing` both "
            "directions, of a `dwell` the visits. They are no doors of the site."
        ),
    )
    entered: RulePlaces = Field(
        (),
        description=(
            "The `line_crossing` rules that count who comes in, as `CAMERA/RULE`; every other one "
            "of the site when left out."
        ),
    )


class SiteConfig(Config):
    """Where the cameras are."""

    name: str = Field(
        "site",
        min_length=1,
        description="Name of the site, included in every event from its cameras.",
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "UTC", description="IANA time zone for schedules, such as `Europe/Berlin`."
    )
    hours: Annotated[dict[str, str], BeforeValidator(_hours)] = Field(
        {},
        description=(
            'When it is open: `{mon-sat: "9:00-20:00", sun: closed, "2026-12-24": "9:00-14:00"}`, '
            "for reports and for rules with `schedule: open`; always when left out. `12-24` is a "
            "day of every year, `holidays` are those of the `country`."
        ),
    )
    country: Annotated[str, AfterValidator(known_country)] | None = Field(
        None,
        description=(
            "ISO code of the country, or of a part of it, whose public holidays count, such as "
            "`DE` or `DE-BY`: closed then, unless `hours` has the date or `holidays`."
        ),
    )
    sales: Path | None = Field(
        None,
        description=(
            "CSV file of what the till sold, with the columns time, count and amount: reports "
            "then say which share of those who came in bought something."
        ),
    )
    capture: CaptureRateConfig | None = Field(
        None,
        description=(
            "Which rules count who passes by outside, such as `{passed: street/passing}`: the "
            "capture rate is the share of them who come in."
        ),
    )

    armed: ArmedWhen = Field(
        True,
        description=(
            "When it is armed, for rules with `when: armed`: `yes`, `no`, `closed` for the time "
            "outside its opening hours, or windows as a rule's `schedule` has them. `moonwatch "
            "arm` and `disarm` change it until the plan changes next."
        ),
    )

    @property
    def opening_hours(self) -> OpeningHours:
        """When it is open; always where no hours are given."""
        return opening_hours(self.hours, self.timezone, self.country or "")

    @property
    def arming_plan(self) -> ArmingPlan:
        """When it is armed, unless somebody says otherwise."""
        return arming_plan(self.armed, self.opening_hours)

    def lacks(self) -> Iterator[Lack]:
        """The file of sales; without it everything but reports works."""
        if self.sales is not None and not self.sales.is_file():
            said = f"{self.sales} is not a file, so reports cannot be made; see docs/reports.md"
            yield Lack("sales", said, is_fatal=False)


class LineConfig(Config):
    """A directed line across the picture. Looking along it, its right-hand side is `in`."""

    from_: XY = Field(alias="from", description="Start point, [x, y] in 0..1 of the picture.")
    to: XY = Field(description="End point, [x, y] in 0..1 of the picture.")

    def shape(self) -> geometry.Line:
        """The line as rules use it."""
        return geometry.Line(self.from_, self.to)


class ZoneConfig(Config):
    """A part of the picture."""

    polygon: tuple[XY, ...] = Field(
        min_length=3, description="Its corners in order, each [x, y] in 0..1 of the picture."
    )

    def shape(self) -> geometry.Polygon:
        """The zone as rules use it."""
        return geometry.Polygon(self.polygon)


CONFIRM_EVERY = timedelta(seconds=5)
"""How often a task with `where: motion` looks at the whole picture, unless it says otherwise."""


class TaskBase(Config):
    """Settings that every task has."""

    engine: str | None = Field(
        None,
        description=("Name of the engine that answers; optional where only one engine can."),
    )
    every: PositiveDuration | None = Field(
        None, description="Ask at most this often; by default about every sampled frame."
    )


class DetectTask(TaskBase):
    """Find boxes of something, and track them."""

    detect: Words = Field(description="What to find, such as `person`.")
    where: Literal["picture", "motion"] = Field(
        "picture",
        description=(
            "Where to look in each frame: at the whole `picture`, or only where there is `motion`, "
            "at full resolution; what stands still is remembered in between."
        ),
    )
    confirm_every: PositiveDuration | None = Field(
        None,
        description=(
            "With `where: motion`, how often the whole picture is looked at all the same; 5s when "
            "absent. What was missed twice in a row where it stood is forgotten."
        ),
    )
    max_objects: int = Field(
        50, ge=1, le=1000, description="Maximum number of boxes in one answer."
    )
    track: TrackerConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="How boxes become tracks over time.",
    )

    @model_validator(mode="after")
    def _confirms_motion(self) -> Self:
        if self.confirm_every is not None and self.where != "motion":
            raise ValueError(
                "`confirm_every` is for `where: motion`; without it every frame is looked at as a "
                "whole, so remove `confirm_every` or write `where: motion`"
            )
        return self

    @property
    def confirm_s(self) -> float | None:
        """How often the whole picture is looked at, in seconds; None if in every frame."""
        if self.where != "motion":
            return None
        return (self.confirm_every or CONFIRM_EVERY).total_seconds()

    def task(self, name: str) -> core.Task:
        """The task as engines see it."""
        return core.Detect(name, self.engine or "", self.detect, self.max_objects)


class PointTask(TaskBase):
    """Find a point on each of something."""

    point: Words = Field(description="What to point at, such as `license plate`.")
    max_objects: int = Field(
        50, ge=1, le=1000, description="Maximum number of points in one answer."
    )

    def task(self, name: str) -> core.Task:
        """The task as engines see it."""
        return core.Point(name, self.engine or "", self.point, self.max_objects)


class CountTask(TaskBase):
    """Count something."""

    count: Words = Field(description="What to count, such as `empty shelf`.")
    max_objects: int = Field(50, ge=1, le=1000, description="Count at most this many.")

    def task(self, name: str) -> core.Task:
        """The task as engines see it."""
        return core.Count(name, self.engine or "", self.count, self.max_objects)


class AskTask(TaskBase):
    """Ask a question in plain words."""

    ask: Words = Field(description="The question, such as `Is the fire door open?`.")
    answers: core.AnswerKind = Field(
        "yes/no",
        description="Kind of answer: `yes/no`, `number`, `text` or `one of` (the `choices`).",
    )
    choices: tuple[Words, ...] = Field(
        (), description="The possible answers; implies `answers: one of`."
    )
    max_tokens: int = Field(
        64, ge=1, le=2048, description="Maximum length of an answer, in tokens."
    )

    @model_validator(mode="before")
    @classmethod
    def _choices_say_the_kind(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("choices") and "answers" not in data:
            return {**data, "answers": "one of"}
        return data

    @model_validator(mode="after")
    def _choices_belong_to_one_of(self) -> Self:
        if self.answers == "one of" and len(set(self.choices)) < 2:
            raise ValueError("`answers: one of` needs at least two `choices`, such as [open, shut]")
        if self.answers != "one of" and self.choices:
            raise ValueError(f"`choices` are for `answers: one of`, not for {self.answers!r}")
        return self

    def task(self, name: str) -> core.Task:
        """The task as engines see it."""
        return core.Ask(
            name, self.engine or "", self.ask, self.answers, self.choices, self.max_tokens
        )


class CaptionTask(TaskBase):
    """Describe the picture."""

    caption: core.CaptionLength = Field(description="How long: `short`, `normal` or `long`.")
    max_tokens: int = Field(
        256, ge=1, le=2048, description="Maximum length of a description, in tokens."
    )

    def task(self, name: str) -> core.Task:
        """The task as engines see it."""
        return core.Caption(name, self.engine or "", self.caption, self.max_tokens)


TASK_KINDS = ("detect", "point", "count", "ask", "caption")


def _tag(kind: str) -> str:
    return f"{'an' if kind == 'ask' else 'a'} {kind} task"


def _task_kind(value: Any) -> str | None:
    """The tag of a task: the one kind it names or most likely means; None for none or two."""
    if not isinstance(value, dict):
        return next((_tag(kind) for kind in TASK_KINDS if hasattr(value, kind)), None)
    named = [kind for kind in TASK_KINDS if kind in value]
    if not named:
        named = [kind for kind in TASK_KINDS if nearest(kind, map(str, value)) is not None]
    return _tag(named[0]) if len(named) == 1 else None


TaskConfig = Annotated[
    Annotated[DetectTask, Tag("a detect task")]
    | Annotated[PointTask, Tag("a point task")]
    | Annotated[CountTask, Tag("a count task")]
    | Annotated[AskTask, Tag("an ask task")]
    | Annotated[CaptionTask, Tag("a caption task")],
    Discriminator(
        _task_kind,
        custom_error_type="task_kind",
        custom_error_message=(
            "a task has exactly one of the keys detect, point, count, ask and caption"
        ),
    ),
]
"""One question for an engine, with a key that names its kind."""


class CameraConfig(Config):
    """One camera: its pictures, the questions about them, and the rules for the answers."""

    source: SourceConfig = Field(description="Where its pictures come from.")
    sample: SampleConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Which of its frames are sampled, and which part of them.",
    )
    tasks: dict[Name, TaskConfig] = Field(
        {}, description="What is asked about each frame, by name."
    )
    lines: dict[Name, LineConfig] = Field({}, description="Lines that can be crossed, by name.")
    zones: dict[Name, ZoneConfig] = Field({}, description="Parts of the picture, by name.")
    rules: dict[Name, RuleConfig] = Field(
        {}, description="What is concluded from the answers, by name."
    )
    clips: ClipsConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="The clips of events of rules with `clip: true`.",
    )
    group: Name | None = Field(
        None,
        description=(
            "Only samplers started with `--group` and this name take the camera; "
            "without a group, only those started without `--group` do."
        ),
    )
    was: Names = Field(
        (),
        description=(
            "Earlier names of this camera: what is stored under them counts as this camera's."
        ),
    )
    site: Name | None = Field(
        None, description="Name of one of the `sites`; by default the file's `site`."
    )

    def questions(self) -> tuple[core.Task, ...]:
        """The tasks as engines see them, in the file's order."""
        return tuple(task.task(name) for name, task in self.tasks.items())

    def rule_questions(self) -> tuple[tuple[str, str, core.Ask], ...]:
        """What rules ask about events and tracks: the rule's name, its field, and the question."""
        return tuple(
            (name, field, question)
            for name, rule in self.rules.items()
            for field, question in rule.questions(name).items()
        )


def _bundled_engine() -> Any:
    return {"coco": {"type": "coco"}}


def _queue_in_memory() -> Any:
    return {"type": "memory"}


def _when(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic takes only this one
            f"{str(value)[:40]!r} does not say when; write `mon 7:00`, `day 7:00` or `month 7:00`"
        )
    recurrence(value)
    return " ".join(value.split())


class ReportConfig(Config):
    """A report that is made and sent by itself."""

    every: Annotated[str, BeforeValidator(_when)] = Field(
        description=(
            "When, in the site's time: `day 7:00` for the day before, `mon 7:00` (or another "
            "day) for the last whole week, `month 7:00` on the first for the month before."
        )
    )
    to: Names = Field(min_length=1, description="Names of the sinks that it is sent to.")
    format: Literal["html", "pdf", "csv", "parquet"] = Field(
        "html",
        description=(
            "`html`, `pdf` (extra `report`), `csv`, or `parquet` (extra `parquet`): the counts of "
            "each hour, for other programs."
        ),
    )
    site: Name | None = Field(
        None, description="Name of one of the `sites`; by default the file's `site`."
    )

    @property
    def recurrence(self) -> Recurrence:
        """When it is made."""
        return recurrence(self.every)

    def lacks(self) -> Iterator[Lack]:
        """What sets PDFs or writes Parquet; without it everything but the report works."""
        lacks: Iterator[Lack] = iter(())
        if self.format == "pdf":
            lacks = missing_libraries("a report as PDF", ["typst"], "report", "format")
        elif self.format == "parquet":
            lacks = missing_libraries("a report as Parquet", ["pyarrow"], "parquet", "format")
        for lack in lacks:
            yield replace(lack, is_fatal=False)


class FilesConfig(Config):
    """The files that are created: database, pictures, events, recordings of tracks."""

    group: bool = Field(
        False,
        description=(
            "Whether the group of the user that moonwatch runs as can read new files and folders "
            "(0640 and 0750); by default only that user can (0600 and 0700)."
        ),
    )


class Deployment(Config):
    """A whole deployment, as one file describes it."""

    version: Literal[1] = Field(description="Version of the file format: `version: 1`.")
    site: SiteConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Site of the cameras that name no other.",
    )
    sites: dict[Name, SiteConfig] = Field({}, description="More sites, by name.")
    engines: dict[Name, EngineConfig] = Field(
        default_factory=_bundled_engine,
        validate_default=True,
        min_length=1,
        description="What answers tasks, by name; by default one `coco` engine.",
    )
    queue: QueueConfig = Field(
        default_factory=_queue_in_memory,
        validate_default=True,
        description="How frames reach the engines, and results come back.",
    )
    store: StoreConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Where events, counts and pictures are kept.",
    )
    files: FilesConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Who can read what is written.",
    )
    server: ServeConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="How `moonwatch serve` and `infer --serve` answer callers over HTTP.",
    )
    web: WebConfig = Field(
        default_factory=all_left_out,
        validate_default=True,
        description="Where pictures and clips can be seen from elsewhere.",
    )
    cameras: dict[Name, CameraConfig] = Field(min_length=1, description="The cameras, by name.")
    sequences: dict[Name, SequenceConfig] = Field(
        {}, description="What is reported when one event follows another, by name."
    )
    reports: dict[Name, ReportConfig] = Field(
        {}, description="Reports that are made and sent by themselves, by name."
    )
    sinks: dict[Name, SinkConfig] = Field({}, description="Where events are sent, by name.")

    def reports_to(self, sink: str) -> tuple[str, ...]:
        """The names of the reports that are sent to a sink."""
        return tuple(name for name, report in self.reports.items() if sink in report.to)

    def site_of(self, camera: str) -> SiteConfig:
        """Where a camera is; the deployment's own site for one that it does not have."""
        config = self.cameras.get(camera)
        return self.sites[config.site] if config and config.site is not None else self.site

    def fallbacks_of(self, engine: str) -> list[str]:
        """The engine that stands in for another one, the one that stands in for that, and so on.

        Each once, and none that does not exist; what leads back to itself is among its own.
        """
        found: list[str] = []
        config = self.engines.get(engine)
        while config is not None and (name := config.falls_back_to) and name not in found:
            config = self.engines.get(name)
            found += [name] if config is not None else []
        return found

    def site_names(self) -> dict[str, str]:
        """The name of each camera's site, for those that are not at the deployment's own."""
        return {
            name: self.sites[camera.site].name
            for name, camera in self.cameras.items()
            if camera.site is not None
        }

    def site_timezones(self) -> dict[str, str]:
        """The zone of each camera's site, for those that are not at the deployment's own."""
        return {
            name: self.sites[camera.site].timezone
            for name, camera in self.cameras.items()
            if camera.site is not None
        }


PARTS = RemovableParts(
    removable=(
        ("site",),
        ("sites",),
        ("sites", "*"),
        ("queue",),
        ("store",),
        ("files",),
        ("server",),
        ("web",),
        ("engines",),
        ("engines", "*"),
        ("sinks",),
        ("reports",),
        ("reports", "*"),
        ("cameras", "*"),
        ("cameras", "*", "*"),
        *(("cameras", "*", part, "*") for part in ("tasks", "lines", "zones", "rules")),
    ),
    stand_ins={
        ("version",): 1,
        ("cameras", "*", "source"): {"type": "file", "path": "unknown.mp4"},
        ("sinks", "*"): {"type": "stdout"},
    },
    keeping={("sinks", "*"): ("only", "not")},
    types_by_reference={"line": "line_crossing", "zone": "occupancy", "of": "occupancy"},
    references=frozenset(("cameras", "*", "rules", "*", key) for key in ("of", "line", "zone")),
)
