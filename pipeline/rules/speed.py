"""How fast things go through a zone whose lengths were measured, in km/h with its uncertainty."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, RuleBase, TaskTypes
from pipeline.rules.ground import Ground
from pipeline.rules.measures import Column, Measure, SummaryTable

if TYPE_CHECKING:
    from pipeline.rules.at_work.speed import Speed
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

CLASSES = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100, 110, 120, 130, 150)
"""Passages are counted by these km/h, so that any share of them can be told of any time."""

_PASSED = Column("passed")
_MEAN = Column("mean_kmh", "mean", decimals=1, suffix=" km/h")
_P85 = Column("p85_kmh", "p85", decimals=1, suffix=" km/h")
_FASTEST = Column("fastest_kmh", "fastest", decimals=1, suffix=" km/h")


def class_of(kmh: float) -> str:
    """The measure that counts a passage of this speed."""
    return next((f"under_{top}_kmh" for top in CLASSES if kmh < top), f"over_{CLASSES[-1]}_kmh")


class SpeedConfig(RuleBase):
    """Speeds of what passes a zone, by one of `rectangle`, `corners` and `side`."""

    type: Literal["speed"] = "speed"
    zone: str = Field(description="The name of the zone that was measured.")
    rectangle: tuple[float, float] | None = Field(
        default=None,
        description=(
            "For a zone with four corners that is a rectangle on the ground: metres of its first "
            "side (from the first corner to the second) and of its second side."
        ),
    )
    corners: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        description=(
            "For any zone with four corners: where each of them is on the ground, in metres, such "
            "as [[0, 0], [3.5, 0], [4, 12], [0, 12]]."
        ),
    )
    side: float | None = Field(
        default=None,
        gt=0,
        description=(
            "For a camera that looks straight down: metres of the zone's first side, from its "
            "first corner to the second."
        ),
    )
    over: float | None = Field(
        default=None,
        gt=0,
        le=400,
        description=(
            "An event starts when something is faster than this, in km/h, by more than the "
            "uncertainty of its speed. Without it, there are no events."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is in the zone and was seen there often enough for a speed",
        alarm="is too fast, until it leaves the zone",
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("passed", "sum", "things", _PASSED),
        Measure("kmh", "sum", "km/h"),
        Measure("fastest", "max", "km/h", _FASTEST, sampled=False),
        Measure("over", "sum", "things"),
        Measure("unmeasured", "sum", "things"),
        *(Measure(f"under_{top}_kmh", "sum", "things") for top in CLASSES),
        Measure(f"over_{CLASSES[-1]}_kmh", "sum", "things"),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "speed", "speed", (_PASSED, _MEAN, _P85, _FASTEST)
    )

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if sum(one is not None for one in (self.rectangle, self.corners, self.side)) != 1:
            raise ValueError(
                "how large the zone is comes from exactly one of rectangle, corners and side, such "
                "as `rectangle: [3.5, 12]` in metres"
            )
        if self.rectangle is not None and min(self.rectangle) <= 0:
            raise ValueError("both sides of a rectangle are longer than 0 m")
        if self.corners is not None and len(self.corners) != 4:
            raise ValueError(f"corners are four points, not {len(self.corners)}")
        if self.over is None and self.cooldown:
            raise ValueError("cooldown needs an `over`")
        return self

    def references(self) -> References:
        """The zone."""
        return References(zones=(self.zone,))

    def ground(self, context: "RuleContext") -> Ground:
        """The ground that the zone was measured on; raises ConfigError."""
        zone = context.zone(self.zone)
        seen = zone.corners if zone is not None else ()
        path = f"cameras.{context.camera}.zones.{self.zone}"
        if self.side is not None:
            return Ground.of_side(seen[0], seen[1], self.side, context.aspect)
        if len(seen) != 4:
            said = (
                f"has {len(seen)} corners; rule {context.rule!r} measures speeds by a zone with "
                "four, so draw one, or give the rule a `side` if the camera looks straight down"
            )
            raise ConfigError([Problem(path, said)])
        metres = self.corners
        if self.rectangle is not None:
            width, length = self.rectangle
            metres = ((0.0, 0.0), (width, 0.0), (width, length), (0.0, length))
        try:
            return Ground.of_corners(seen, metres or ())
        except ValueError as error:
            raise ConfigError([Problem(path, f"cannot be measured by: {error}")]) from None

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """As for every rule, with the mean and the speed that 85 % do not exceed."""
        values = {measure.name: measure.of(record.minutes) for measure in self.measures}
        passed, kmh, fastest = (values[name] for name in ("passed", "kmh", "fastest"))
        return {
            _PASSED.name: passed,
            _MEAN.name: kmh / passed if kmh is not None and passed else None,
            _P85.name: not_exceeded(values, 0.85, fastest),
            _FASTEST.name: fastest if passed else None,
        }

    def build(self, context: "RuleContext") -> "Speed":
        """A running rule; raises ConfigError where the zone is missing or cannot be measured."""
        self.ground(context)
        rule: Speed = self.at_work("Speed", context)
        return rule


def not_exceeded(
    values: Mapping[str, float | None], share: float, fastest: float | None = None
) -> float | None:
    """The speed that this share of passages does not exceed, in proportion within its class."""
    bounds = (0, *CLASSES)
    names = [*(f"under_{top}_kmh" for top in CLASSES), f"over_{CLASSES[-1]}_kmh"]
    numbers = [values.get(name) or 0.0 for name in names]
    wanted = share * sum(numbers)
    if not wanted:
        return None
    reached = 0.0
    for index, number in enumerate(numbers):
        if number and reached + number >= wanted:
            low = bounds[index]
            high = bounds[index + 1] if index + 1 < len(bounds) else fastest or low
            found = low + (high - low) * (wanted - reached) / number
            return found if fastest is None else min(found, fastest)
        reached += number
    return None
