"""The figures of what a `SceneMemory` kept: for people, and for advice about lines and zones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Point
from pipeline.tracking import scene
from pipeline.tracking.scene import COLUMNS, ROWS, Scale

NORMAL_MEDIAN = 0.6745
"""The median of the size of a normally distributed number, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How far a position is off, in body heights."""

    samples: int
    sd: float
    """Standard deviation of what is usual: that of the better half, so that a few leaps, such as to
    a second box, do not count."""
    often: float
    """19 of 20 positions are off by less."""


@dataclass(frozen=True, slots=True)
class SceneCell:
    """What is known of a part of the picture. Directions are in picture heights, y down."""

    centre: Point
    """In 0..1 of the picture."""
    seen: int
    """Positions of feet."""
    visits: int
    """Things that came to it or began in it."""
    begins: int
    ends: int
    cut_low: int
    """Positions of feet whose box the lower edge of the picture cuts."""
    cut_side: int
    """The same for the other edges."""
    height: float
    """Sum of the boxes' heights, in picture heights."""
    speed: float
    """Sum of the speeds of what moves, in body heights a second."""
    velocity: tuple[float, float]
    """Sum of the velocities: short where as many go one way as the other."""
    ways: Sequence[int]
    """Moves by their angle, whichever way they go: about 0 degrees, 22.5 and so on up to 180."""

    @property
    def moves(self) -> int:
        """How often something moved through it."""
        return sum(self.ways)


@dataclass(frozen=True, slots=True)
class SceneFigures:
    """What is known of one camera's detector and picture. None stands for unknown."""

    aspect: float
    began_at: float | None
    at: float | None
    """The last look."""
    looks: int
    interval_s: float | None
    """The usual time between two looks."""
    boxes: float | None
    """Mean number of boxes in a look."""
    most_boxes: int
    scores: Sequence[int]
    """Boxes by score: how many from 0 to .05, from there to .1, and so on."""
    tracks: int
    followed: int
    """Boxes, of those in `scores`, that belong to something that is followed."""
    sightings: int
    misses: float | None
    """The share of looks in which a followed thing was not detected, between two sightings."""
    seconds: float | None
    """The share of looks in which a followed thing had another box on it."""
    heights: tuple[float, float, float] | None
    """The heights below which 10, 50 and 90 % of the boxes are, in picture heights."""
    feet: Noise | None
    """Of the lower edge, up and down: from its own moves, or from those of the height where these
    are smaller, as a walk adds to the one, and what hides somebody to the other."""
    centre: Noise | None
    """Of the middle between left and right edge, left and right."""
    doubt: float | None
    """Mean noise of the feet as the tracker shows them to rules, in body heights: smoothed."""
    still_feet: Noise | None
    moving_feet: Noise | None
    cells: Sequence[SceneCell]

    @property
    def rate(self) -> float | None:
        """Looks per second."""
        return 1.0 / self.interval_s if self.interval_s else None

    def unfollowed(self, start_score: float) -> float | None:
        """The share of the boxes that could begin a track, but belong to nothing that is followed.

        Where many boxes with lower scores continue tracks, it is less than that.
        """
        sure = sum(self.scores[round(start_score * len(self.scores)) :])
        return max(1.0 - self.followed / sure, 0.0) if sure else None


def figures_of(state: JsonValue) -> SceneFigures:
    """The figures of a `SceneMemory.state()`; raises ValueError for anything else."""
    kept = scene.checked(state)
    try:
        counts = scene.decoded(kept["counts"])
        for place, count in scene.pairs(kept["recent"]).items():
            counts[place] += count
        return _figures(kept, counts)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not what is known of a scene: {error!r}") from error


def _figures(kept: Any, counts: Sequence[int]) -> SceneFigures:
    measured = counts[scene.MEASURED]
    numbers = counts[scene.NUMBERS : scene.NUMBERS + scene.NUMBER_BINS]
    boxes = sum(number * looks for number, looks in enumerate(numbers))
    sightings, followed = counts[scene.SIGHTINGS], counts[scene.FOLLOWED]
    low, middle, high = (_quantile(counts, (scene.HEIGHTS,), part) for part in (0.1, 0.5, 0.9))
    return SceneFigures(
        aspect=float(kept["aspect"]),
        began_at=kept["began_at"],
        at=kept["at"],
        looks=counts[scene.LOOKS],
        interval_s=_interval_s(counts),
        boxes=boxes / measured if measured else None,
        most_boxes=max((number for number, looks in enumerate(numbers) if looks), default=0),
        scores=tuple(counts[scene.SCORES : scene.SCORES + scene.SCORE_BINS]),
        tracks=counts[scene.BEGUN],
        followed=followed,
        sightings=sightings,
        misses=counts[scene.MISSES] / sightings if sightings else None,
        seconds=counts[scene.SECONDS] / followed if followed else None,
        heights=None if low is None or middle is None or high is None else (low, middle, high),
        feet=_least(_noise(counts, "still feet", "moving feet"), _noise(counts, "height")),
        centre=_noise(counts, "still centre", "moving centre"),
        doubt=counts[scene.DOUBT] / counts[scene.FEET] / 1e4 if counts[scene.FEET] else None,
        still_feet=_noise(counts, "still feet"),
        moving_feet=_noise(counts, "moving feet"),
        cells=tuple(_cells(counts)),
    )


def _interval_s(counts: Sequence[int]) -> float | None:
    """The mean of the bin that holds the median."""
    scale = scene.INTERVALS
    bins = counts[scale.first : scale.first + scale.bins]
    half, passed = sum(bins) / 2, 0
    for index, count in enumerate(bins):
        passed += count
        if count and passed >= half:
            return counts[scene.INTERVAL_SUMS + index] / count / 1000
    return None


def _noise(counts: Sequence[int], *kinds: str) -> Noise | None:
    scales = [scene.NOISE[kind] for kind in kinds]
    samples = sum(sum(counts[scale.first : scale.first + scale.bins]) for scale in scales)
    median, often = (_quantile(counts, scales, part) for part in (0.5, 0.95))
    if median is None or often is None:
        return None
    return Noise(samples, median / NORMAL_MEDIAN, often)


def _least(one: Noise | None, other: Noise | None) -> Noise | None:
    if one is None or other is None:
        return one
    return min(one, other, key=lambda noise: noise.sd)


def _quantile(counts: Sequence[int], scales: Sequence[Scale], part: float) -> float | None:
    """The value below which a part of all is; the histograms have the same bins."""
    scale = scales[0]
    bins = [sum(counts[s.first + index] for s in scales) for index in range(scale.bins)]
    wanted, passed = part * sum(bins), 0
    for index, count in enumerate(bins):
        if count and passed + count >= wanted:
            return scale.value(index + (wanted - passed) / count)
        passed += count
    return None


def _cells(counts: Sequence[int]) -> Iterator[SceneCell]:
    for index in range(COLUMNS * ROWS):
        first = scene.CELLS + index * scene.CELL_FIELDS
        cell = counts[first : first + scene.CELL_FIELDS]
        yield SceneCell(
            centre=((index % COLUMNS + 0.5) / COLUMNS, (index // COLUMNS + 0.5) / ROWS),
            seen=cell[scene.SEEN],
            visits=cell[scene.VISITS],
            begins=cell[scene.BEGINS],
            ends=cell[scene.ENDS],
            cut_low=cell[scene.CUT_LOW],
            cut_side=cell[scene.CUT_SIDE],
            height=cell[scene.HEIGHT] / scene.PARTS,
            speed=cell[scene.SPEED] / scene.PARTS,
            velocity=(cell[scene.VX] / scene.PARTS, cell[scene.VY] / scene.PARTS),
            ways=cell[scene.WAYS : scene.WAYS + scene.ANGLES],
        )
