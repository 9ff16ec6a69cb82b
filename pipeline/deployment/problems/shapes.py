"""Lines and zones that can never count anything, because of where they lie in the picture."""

import itertools
import math
from collections.abc import Iterator, Sequence

from pipeline.core import geometry
from pipeline.core.errors import Problem
from pipeline.core.geometry import Point, Polygon
from pipeline.deployment.model import CameraConfig
from pipeline.deployment.problems.references import Checked
from pipeline.deployment.yaml.tree import dotted

# The shape of a picture is known once the camera is connected; nearly all are about this wide.
_ASPECT = 16 / 9
_SMALLEST = 0.02
"""Shares of the picture. Feet that a detector places to within a percent are rarely found inside
anything smaller."""
_CORNERS: tuple[Point, ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_STEPS = 24
_DEFAULT_MARGIN = 0.01


def uncrossable_lines(checked: Checked) -> Iterator[Problem]:
    """Lines of which one side cannot be reached, or that are too short or hidden."""
    for camera, config in checked.deployment.cameras.items():
        masks = () if checked.is_broken("cameras", camera, "sample") else _masks(config)
        for name, line in config.lines.items():
            if line.from_ != line.to and (why := _uncrossable(config, name, masks)):
                yield Problem(dotted(("cameras", camera, "lines", name)), why)


def useless_zones(checked: Checked) -> Iterator[Problem]:
    """Zones in which nobody can be found: too small, or hidden."""
    for camera, config in checked.deployment.cameras.items():
        masks = () if checked.is_broken("cameras", camera, "sample") else _masks(config)
        for name, zone in config.zones.items():
            width, height = (max(v) - min(v) for v in zip(*zone.polygon, strict=True))
            path = dotted(("cameras", camera, "zones", name))
            if min(width, height) < _SMALLEST:
                size = f"{width * 100:.3g} % of the picture wide and {height * 100:.3g} % high"
                yield Problem(path, f"is only {size}, so hardly anybody is found in it; enlarge it")
            elif masks and _all_hidden(zone.shape(), masks):
                yield Problem(path, "lies completely in a mask, so nobody is seen in it")


def hidden_pictures(checked: Checked) -> Iterator[Problem]:
    """Masks that leave nothing of the picture."""
    for camera, config in checked.deployment.cameras.items():
        masks = () if checked.is_broken("cameras", camera, "sample") else _masks(config)
        if masks and _all_hidden(Polygon(_CORNERS), masks):
            path = dotted(("cameras", camera, "sample", "masks"))
            yield Problem(path, "cover the whole picture, so nothing is seen")


def _uncrossable(config: CameraConfig, name: str, masks: Sequence[Polygon]) -> str | None:
    line = config.lines[name]
    (x1, y1), (x2, y2) = line.from_, line.to
    length = math.hypot((x2 - x1) * _ASPECT, y2 - y1)
    if length < _SMALLEST:
        return (
            f"is only {length * 100:.2g} % of the picture's height long, so hardly anybody crosses "
            "it; move its ends apart"
        )
    margins = [
        getattr(rule, "margin", _DEFAULT_MARGIN)
        for rule in config.rules.values()
        if name in rule.references().lines
    ]
    margin = min(margins, default=_DEFAULT_MARGIN)
    # How far the picture reaches on either side of the line, in picture heights.
    reach = [
        ((x2 - x1) * _ASPECT * (y - y1) - (y2 - y1) * (x - x1) * _ASPECT) / length
        for x, y in _CORNERS
    ]
    if min(max(reach), -min(reach)) <= margin:
        side = "in" if max(reach) <= margin else "out"
        return (
            f"lies at the picture's edge: its `{side}` side has no room for the {margin * 100:g} % "
            "of the picture's height that somebody must get past it; move it inwards"
        )
    shares = [n / _STEPS for n in range(_STEPS + 1)]
    points = ((x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in shares)
    if masks and all(_hidden(point, masks) for point in points):
        return "lies completely in a mask, so nobody is seen crossing it"
    return None


def _masks(config: CameraConfig) -> Sequence[Polygon]:
    return config.sample.mask_polygons


def _hidden(point: Point, masks: Sequence[Polygon]) -> bool:
    # A mask may reach the picture's edge, which belongs to no polygon on two of its sides.
    x, y = (min(max(value, 1e-6), 1 - 1e-6) for value in point)
    return any(geometry.contains(mask, (x, y)) for mask in masks)


def _all_hidden(polygon: Polygon, masks: Sequence[Polygon]) -> bool:
    """Whether a polygon lies in masks, judged by points spread over it."""
    xs, ys = zip(*polygon.corners, strict=True)
    middle = (sum(xs) / len(xs), sum(ys) / len(ys))
    # Nearly every zone shows at a corner that it is seen, which saves looking further.
    for x, y in polygon.corners:
        near = (x + 0.02 * (middle[0] - x), y + 0.02 * (middle[1] - y))
        if geometry.contains(polygon, near) and not _hidden(near, masks):
            return False
    inside = list(polygon.corners)  # of a sliver, which may lie between all points
    for n, m in itertools.product(range(_STEPS), repeat=2):
        x = min(xs) + (n + 0.5) / _STEPS * (max(xs) - min(xs))
        y = min(ys) + (m + 0.5) / _STEPS * (max(ys) - min(ys))
        if geometry.contains(polygon, (x, y)):
            inside = []
            if not _hidden((x, y), masks):
                return False
    return all(_hidden(point, masks) for point in inside)
