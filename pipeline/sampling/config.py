"""The settings for sampling a camera: how often, what is skipped, what is hidden."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.core.config import (
    XY,
    ByteSize,
    Config,
    Duration,
    Fraction,
    PositiveDuration,
    all_left_out,
    parse_size,
)
from pipeline.core.geometry import Polygon, crosses_itself

DEFAULT_EVERY = timedelta(milliseconds=500)
_FEWEST_CORNERS = 3


class MotionConfig(Config):
    """Skip pictures in which nothing moves. The first picture is always used."""

    sensitivity: Fraction = 0.5
    """At 0, only motion in 2 % of the picture counts; at 0.5, a third of 1 %; at 1, a twentieth."""
    heartbeat: PositiveDuration = timedelta(seconds=10)
    """The longest time without a frame: a still scene is sampled this often."""
    linger: Duration = timedelta(seconds=2)
    """Sampling continues for this long after the last motion, so that a short stop loses no one."""


class FrozenConfig(Config):
    """Report a camera whose picture does not change at all, not even through noise."""

    after: PositiveDuration = timedelta(seconds=30)
    """How long the picture must stay unchanged."""


class BlackConfig(Config):
    """Report a camera that sees nothing but black."""

    after: Duration = timedelta(seconds=5)
    """How long the picture must be black."""
    level: Fraction = 0.1
    """What counts as black, from 0 (only pure black) to 1."""


def _switch(value: Any) -> Any:
    """`true` means the default settings, `false` turns it off."""
    if isinstance(value, bool):
        return {} if value else None
    return value


def _simple(corners: tuple[XY, ...]) -> tuple[XY, ...]:
    if len(corners) < _FEWEST_CORNERS:
        raise ValueError(f"a polygon needs at least {_FEWEST_CORNERS} corners, not {len(corners)}")
    if crosses_itself(corners):
        raise ValueError("the polygon crosses itself or has no area; list its corners in order")
    return corners


MotionSwitch = Annotated[
    MotionConfig | None, BeforeValidator(_switch, json_schema_input_type=bool | MotionConfig)
]
FrozenSwitch = Annotated[
    FrozenConfig | None, BeforeValidator(_switch, json_schema_input_type=bool | FrozenConfig)
]
BlackSwitch = Annotated[
    BlackConfig | None, BeforeValidator(_switch, json_schema_input_type=bool | BlackConfig)
]
Corners = Annotated[
    tuple[XY, ...],
    AfterValidator(_simple),
    # Not `min_length`, which would report an invalid corner again as a missing one.
    Field(json_schema_extra={"minItems": _FEWEST_CORNERS}),
]


class ClipsConfig(Config):
    """The clips of a camera's events: its video around them, for rules with `clip: true`."""

    before: Duration = timedelta(seconds=5)
    """How much of the time before an event is in its clip, at least: it begins with a key frame."""
    after: PositiveDuration = timedelta(seconds=10)
    """How much of the time after an event is in its clip."""
    longest: PositiveDuration = timedelta(minutes=2)
    """Events that follow each other share a clip, up to this length."""
    masked: Literal["encode", "refuse"] = "encode"
    """Of a camera with `masks`: `encode` clips anew with everything masked black, or `refuse` to
    have any. What is masked is in no clip either way."""
    max_fps: float = Field(default=10.0, ge=0.5, le=60)
    """Pictures a second of clips that are encoded anew; all others are as the camera sent them."""
    memory: ByteSize = Field(default_factory=lambda: parse_size("64MB"))
    """How much of the camera's stream may be held in memory, at most."""

    @model_validator(mode="after")
    def _fits(self) -> "ClipsConfig":
        if self.before + self.after > self.longest:
            raise ValueError(
                "`longest` is shorter than `before` and `after` together; make it longer, or them "
                "shorter"
            )
        return self


class SampleConfig(Config):
    """Which of a camera's pictures become frames, and what they look like."""

    every: PositiveDuration | None = None
    """Time between frames; 500ms when neither this nor `max_fps` is given."""
    max_fps: float | None = Field(default=None, gt=0, le=1000)
    """The same as frames per second."""
    motion: MotionSwitch = None
    """Skip pictures in which nothing moves: true, false, or settings."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Whether pictures that look like the last frame are kept as frames."""
    frozen: FrozenSwitch = Field(default_factory=all_left_out, validate_default=True)
    """Report a picture that does not change: true, false, or settings."""
    black: BlackSwitch = Field(default_factory=all_left_out, validate_default=True)
    """Report a black picture: true, false, or settings."""
    masks: tuple[Corners, ...] = ()
    """Private areas, each a polygon of [x, y] corners in 0..1; blacked out in every frame."""
    max_side: int | None = Field(default=None, ge=32)
    """The longest side of a frame in pixels; by default the most that an engine can use."""
    stale_after: PositiveDuration = timedelta(seconds=5)
    """Live pictures older than this are dropped, as their answers would come too late."""
    offline_after: PositiveDuration = timedelta(seconds=15)
    """A live camera that sends no picture that can be used for this long is reported as offline;
    one whose frames are not answered or not judged for this long is reported as well."""

    @model_validator(mode="after")
    def _one_rate(self) -> "SampleConfig":
        if self.every is not None and self.max_fps is not None:
            raise ValueError("`every` and `max_fps` set the same thing; keep one of them")
        return self

    @property
    def interval_s(self) -> float:
        """Seconds between frames."""
        if self.max_fps is not None:
            return 1.0 / self.max_fps
        return (self.every or DEFAULT_EVERY).total_seconds()

    @property
    def heartbeat_s(self) -> float:
        """The longest time in seconds for which motion or likeness may hold frames back."""
        return (self.motion or MotionConfig()).heartbeat.total_seconds()

    @property
    def mask_polygons(self) -> tuple[Polygon, ...]:
        """The private areas."""
        return tuple(Polygon(corners) for corners in self.masks)
