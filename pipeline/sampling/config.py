"""What an operator may say about sampling a camera: how often, what is skipped, what is hidden."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.core.config import XY, Config, Duration, Fraction, PositiveDuration, all_left_out
from pipeline.core.geometry import Polygon, crosses_itself

DEFAULT_EVERY = timedelta(milliseconds=500)
_FEWEST_CORNERS = 3


class MotionConfig(Config):
    """Skip pictures in which nothing moves. A first picture is always taken."""

    sensitivity: Fraction = 0.5
    """0: only what fills 2 % of the picture; 0.5: a third of a percent; 1: a twentieth of one."""
    heartbeat: PositiveDuration = timedelta(seconds=10)
    """The longest time without a frame: a still scene is looked at this often."""
    linger: Duration = timedelta(seconds=2)
    """Frames go on for this long after the last motion, so that a short stop loses nobody."""


class FrozenConfig(Config):
    """Report a camera whose picture does not change at all, not even by noise."""

    after: PositiveDuration = timedelta(seconds=30)
    """How long the picture must stand still."""


class BlackConfig(Config):
    """Report a camera that sees nothing but black."""

    after: Duration = timedelta(seconds=5)
    """How long the picture must be black."""
    level: Fraction = 0.1
    """What counts as black, from 0 (only pure black) to 1."""


def _switch(value: Any) -> Any:
    """`true` is the settings' defaults, `false` is none of it."""
    if isinstance(value, bool):
        return {} if value else None
    return value


def _simple(corners: tuple[XY, ...]) -> tuple[XY, ...]:
    if len(corners) < _FEWEST_CORNERS:
        raise ValueError(f"a polygon has at least {_FEWEST_CORNERS} corners, not {len(corners)}")
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
    # Not `min_length`, which would report a misplaced corner a second time, as a missing one.
    Field(json_schema_extra={"minItems": _FEWEST_CORNERS}),
]


class SampleConfig(Config):
    """Which of a camera's pictures become frames, and what they look like."""

    every: PositiveDuration | None = None
    """Time between frames; 500ms when neither this nor `max_fps` is given."""
    max_fps: float | None = Field(default=None, gt=0, le=1000)
    """The same said in frames a second."""
    motion: MotionSwitch = None
    """Skip pictures in which nothing moves: true, false, or the settings of it."""
    duplicates: Literal["keep", "drop"] = "keep"
    """Whether pictures that look like the last frame are frames, too."""
    frozen: FrozenSwitch = Field(default_factory=all_left_out, validate_default=True)
    """Report a picture that stands still: true, false, or the settings of it."""
    black: BlackSwitch = Field(default_factory=all_left_out, validate_default=True)
    """Report a black picture: true, false, or the settings of it."""
    masks: tuple[Corners, ...] = ()
    """Private areas, each a polygon of [x, y] corners in 0..1; blackened in every frame."""
    max_side: int | None = Field(default=None, ge=32)
    """Longest side of a frame in pixels; by default the most that an engine can use."""
    stale_after: PositiveDuration = timedelta(seconds=5)
    """Live pictures older than this are dropped: the answer would come too late."""
    offline_after: PositiveDuration = timedelta(seconds=15)
    """A live camera that gives no picture for this long is offline."""

    @model_validator(mode="after")
    def _one_rate(self) -> "SampleConfig":
        if self.every is not None and self.max_fps is not None:
            raise ValueError("`every` and `max_fps` say the same thing; keep one of them")
        return self

    @property
    def interval_s(self) -> float:
        """Seconds between frames."""
        if self.max_fps is not None:
            return 1.0 / self.max_fps
        return (self.every or DEFAULT_EVERY).total_seconds()

    @property
    def heartbeat_s(self) -> float:
        """The longest time in seconds that motion or likeness may keep frames back."""
        return (self.motion or MotionConfig()).heartbeat.total_seconds()

    @property
    def mask_polygons(self) -> tuple[Polygon, ...]:
        """The private areas."""
        return tuple(Polygon(corners) for corners in self.masks)
