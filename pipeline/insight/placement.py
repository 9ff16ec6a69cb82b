"""Whether a line or zone lies where it can be trusted, from what is known of its camera's scene."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.core.geometry import Line, Point, Polygon, contains
from pipeline.tracking.scene import ANGLES, COLUMNS, ROWS
from pipeline.tracking.scene_figures import SceneCell, SceneFigures

ENOUGH_TRACKS = 20
"""Fewer things than this say nothing about where things go."""
ENOUGH_SEEN = 20
"""The same of positions near a line or in a zone."""
NEAR = 0.5
"""How near a line feet are at it, in body heights."""
ALONG_DEGREES = 20.0
"""Walks at a smaller angle to a line go along it: whoever does is near it for three times as long
as who crosses it straight."""
ALONG_SHARE = 0.5
"""More of the walks along a line than this, and it is in the wrong place."""
CUT_SHARE = 0.25
"""A larger share of boxes that an edge of the picture cuts makes a place unfit."""
DOOR_SHARE, DOOR_TIMES = 0.2, 2.0
"""Tracks begin or end at a line in more than this share of visits, and so many times as often as
elsewhere: there is a door, or something people come out from behind."""
NOISY = 0.15
"""Jitter in body heights: beyond this boxes are not where somebody is, and no tracker helps."""
SURE_SDS = 3.0
"""So many standard deviations beyond a line a side is sure: rules ask for 2.3 of somebody who goes
straight through, and for 3 and more of somebody who stays near the line."""
LOOSE_SHARE, ENOUGH_BOXES = 0.4, 100
"""More of at least so many boxes should not be without a track; where all is well it is a tenth,
and a quarter where a detector often sees a body twice."""
LONGEST_STRIDE = 1.0
"""Body heights between two looks: whoever moves further can be taken for somebody else."""
EASY_STRIDE = 0.75
"""What a better rate would give."""


@dataclass(frozen=True, slots=True)
class PlaceRemark:
    """Something that makes a line or zone less than trustworthy there: a word, and a sentence."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Placement:
    """What is known of a line or zone. None stands for unknown."""

    seen: int
    """Positions of feet near it, or in it."""
    height: float | None = None
    """Mean height of the bodies there, in picture heights."""
    sure_from: float | None = None
    """So far beyond a line, or its border, a side is sure; in body heights."""
    degrees: float | None = None
    """Mean angle between a line and the walks near it: 90 straight across, 0 along."""
    along: float | None = None
    """The share of the walks near a line that run along it."""
    stride: float | None = None
    """Body heights that who moves there moves between two looks."""
    remarks: Sequence[PlaceRemark] = ()


def of_line(
    line: Line, scene: SceneFigures, margin: float = 0.0, is_door: bool = False
) -> Placement:
    """What is known of a line, whose rules want a margin in picture heights.

    `is_door`: they know that people appear and vanish there.
    """
    if scene.tracks < ENOUGH_TRACKS:
        return Placement(0)
    start, end = (_in_heights(point, scene.aspect) for point in (line.start, line.end))
    usual = scene.heights[1] if scene.heights else 0.2
    near = _near(start, end, scene, NEAR * usual)
    seen = sum(cell.seen for cell in near)
    height = sum(cell.height for cell in near) / seen if seen else None
    if height:
        near = _near(start, end, scene, NEAR * height)
        seen = sum(cell.seen for cell in near)
    length = math.dist(start, end)
    normal = ((start[1] - end[1]) / length, (end[0] - start[0]) / length) if length else (1.0, 0.0)
    degrees, along = _angles(near, math.atan2(end[1] - start[1], end[0] - start[0]))
    placement = Placement(
        seen=seen,
        height=height,
        sure_from=_sure_from(scene, normal, margin / height if height else 0.0),
        degrees=degrees,
        along=along,
        stride=_stride(scene, near),
    )
    remarks = (
        *_of_emptiness("line", placement, scene),
        *_of_angle(placement),
        *_of_edges("line", near),
        *(() if is_door else _of_doors(near, scene)),
        *_of_noise("line", placement, scene),
        *_of_stride("line", placement, scene),
    )
    return replace(placement, remarks=tuple(remarks))


def of_zone(zone: Polygon, scene: SceneFigures) -> Placement:
    """What is known of a zone."""
    if scene.tracks < ENOUGH_TRACKS:
        return Placement(0)
    cells = [cell for cell in scene.cells if _share_inside(cell, zone) >= 0.5]
    if not cells:  # it is smaller than a cell
        cells = [cell for cell in scene.cells if _share_inside(cell, zone) > 0]
    seen = sum(cell.seen for cell in cells)
    height = sum(cell.height for cell in cells) / seen if seen else None
    sure = [_sure_from(scene, normal) for normal in ((1.0, 0.0), (0.0, 1.0))]
    known = [one for one in sure if one is not None]
    placement = Placement(
        seen=seen,
        height=height,
        sure_from=max(known, default=None),
        stride=_stride(scene, cells),
    )
    remarks = (
        *_of_emptiness("zone", placement, scene),
        *_of_edges("zone", cells),
        *_of_noise("zone", placement, scene),
        *_of_size(zone, placement, scene),
    )
    return replace(placement, remarks=tuple(remarks))


def better_rate(scene: SceneFigures, speed: float) -> str | None:
    """A sentence on looks too far apart for what moves at `speed` body heights a second."""
    if scene.interval_s is None or speed * scene.interval_s <= LONGEST_STRIDE:
        return None
    return (
        f"things move {speed * scene.interval_s:.1f} body heights between two looks, so one may be "
        f"taken for another; look every {_neat(EASY_STRIDE / speed)} or more often"
    )


def loose_boxes(scene: SceneFigures, start_score: float) -> str | None:
    """A sentence on boxes that nothing follows, as where things are too fast for the tracker."""
    loose = scene.unfollowed(start_score)
    if loose is None or loose < LOOSE_SHARE or sum(scene.scores) < ENOUGH_BOXES:
        return None
    return (
        f"{loose * 100:.0f} % of the boxes with a score of {start_score:g} and more belong to "
        "nothing that is followed: things may move too far between two looks; look more often, or "
        "write `track: {speed: 5}` for what is as fast as cars"
    )


def usual_speed(scene: SceneFigures) -> float | None:
    """The mean speed of what moves, in body heights a second."""
    moves = sum(cell.moves for cell in scene.cells)
    return sum(cell.speed for cell in scene.cells) / moves if moves >= ENOUGH_SEEN else None


def _angles(cells: Sequence[SceneCell], line: float) -> tuple[float | None, float | None]:
    """The mean angle of the walks to a line at an angle, and the share that runs along it."""
    moves = sum(cell.moves for cell in cells)
    if moves < ENOUGH_SEEN:
        return None, None
    width = 180.0 / ANGLES
    total = along = 0.0
    for index in range(ANGLES):
        walks = sum(cell.ways[index] for cell in cells)
        off = (index * width - math.degrees(line)) % 180.0
        angle = min(off, 180.0 - off)
        total += walks * angle
        # The part of the bin that lies within the limit, on either side of the line.
        reach = min(angle + width / 2, ALONG_DEGREES) - max(angle - width / 2, -ALONG_DEGREES)
        along += walks * min(max(reach / width, 0.0), 1.0)
    return total / moves, along / moves


def _of_emptiness(kind: str, place: Placement, scene: SceneFigures) -> Iterator[PlaceRemark]:
    if place.seen == 0:
        where = "within half a body of this line" if kind == "line" else "in this zone"
        yield PlaceRemark(
            "empty",
            f"nobody's feet were seen {where}, of {scene.tracks} who were followed; move it to "
            "where people walk, or point the camera there",
        )


def _of_angle(place: Placement) -> Iterator[PlaceRemark]:
    if place.along is not None and place.along > ALONG_SHARE:
        yield PlaceRemark(
            "along",
            f"{place.along * 100:.0f} % of the walks near this line run along it (within "
            f"{ALONG_DEGREES:.0f} degrees), so whoever walks along it may be counted; turn it "
            "across the walk, or move it",
        )


def _of_edges(kind: str, cells: Sequence[SceneCell]) -> Iterator[PlaceRemark]:
    seen = sum(cell.seen for cell in cells)
    if seen < ENOUGH_SEEN:
        return
    where = "near this line" if kind == "line" else "in this zone"
    low = sum(cell.cut_low for cell in cells) / seen
    side = sum(cell.cut_side for cell in cells) / seen
    if low > CUT_SHARE:
        yield PlaceRemark(
            "cut",
            f"the lower edge of the picture cuts {low * 100:.0f} % of the bodies {where}, so "
            "their feet are not seen; move it up, or tilt the camera down",
        )
    if side > CUT_SHARE and kind == "line":
        yield PlaceRemark(
            "edge",
            f"an edge of the picture cuts {side * 100:.0f} % of the bodies {where}: they "
            "come and go before they have crossed it; move it further into the picture",
        )


def _of_doors(near: Sequence[SceneCell], scene: SceneFigures) -> Iterator[PlaceRemark]:
    ends, visits = _turnover(near)
    inside = [cell for cell in scene.cells if cell not in near and not _is_at_edge(cell)]
    elsewhere, visited = _turnover(inside)
    usual = elsewhere / visited if visited else 0.0
    if ends >= ENOUGH_SEEN / 2 and visits and ends / visits > max(DOOR_SHARE, DOOR_TIMES * usual):
        yield PlaceRemark(
            "door",
            f"people appear or vanish near this line ({ends} of {visits} times), as at a door, and "
            "who is not seen on both sides has not crossed it; give its line_crossing rule "
            "`door: true` if they go through a door there, or move it half a body away from where "
            "they appear",
        )


def _of_noise(kind: str, place: Placement, scene: SceneFigures) -> Iterator[PlaceRemark]:
    noise = max((n.sd for n in (scene.feet, scene.centre) if n is not None), default=0.0)
    if noise > NOISY and place.seen:
        yield PlaceRemark(
            "noisy",
            f"boxes jitter by {noise * 100:.0f} % of a body, so a side of this {kind} is seldom "
            "sure; a sharper picture, a nearer camera or another engine helps",
        )


def _of_stride(kind: str, place: Placement, scene: SceneFigures) -> Iterator[PlaceRemark]:
    if place.stride is None or scene.interval_s is None or place.stride <= LONGEST_STRIDE:
        return
    speed = place.stride / scene.interval_s
    yield PlaceRemark(
        "fast",
        f"things move {place.stride:.1f} body heights between two looks near this {kind}; look "
        f"every {_neat(EASY_STRIDE / speed)} or more often",
    )


def _of_size(zone: Polygon, place: Placement, scene: SceneFigures) -> Iterator[PlaceRemark]:
    if place.sure_from is None or not place.height:
        return
    corners = [_in_heights(corner, scene.aspect) for corner in zone.corners]
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    area = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)) / 2
    # Of a strip this is its width, of a square half of it.
    width = 2.0 * area / max(sum(math.dist(a, b) for a, b in edges), 1e-9)
    sure = place.sure_from * place.height
    if width < 2.0 * sure:
        yield PlaceRemark(
            "small",
            f"this zone is about {width / place.height:.1f} body heights wide, and boxes jitter "
            f"over {2.0 * place.sure_from:.1f}; make it larger",
        )


def _near(start: Point, end: Point, scene: SceneFigures, reach: float) -> list[SceneCell]:
    """The cells at a line: its own, and those within `reach` of it."""
    half = math.hypot(scene.aspect / COLUMNS, 1.0 / ROWS) / 2
    return [
        cell
        for cell in scene.cells
        if _distance(_in_heights(cell.centre, scene.aspect), start, end) <= max(reach, half)
    ]


def _in_heights(point: Point, aspect: float) -> Point:
    return (point[0] * aspect, point[1])


def _distance(point: Point, start: Point, end: Point) -> float:
    """How far a point is from a segment."""
    along = (end[0] - start[0], end[1] - start[1])
    square = along[0] ** 2 + along[1] ** 2
    part = (point[0] - start[0]) * along[0] + (point[1] - start[1]) * along[1]
    part = min(max(part / square, 0.0), 1.0) if square else 0.0
    return math.dist(point, (start[0] + part * along[0], start[1] + part * along[1]))


def _sure_from(scene: SceneFigures, normal: Point, least: float = 0.0) -> float | None:
    """How far beyond a line a rule takes a side for sure, in body heights."""
    if scene.doubt is not None:
        return max(SURE_SDS * scene.doubt, least)
    if scene.feet is None or scene.centre is None:
        return None
    noise = math.hypot(normal[0] * scene.centre.sd, normal[1] * scene.feet.sd)
    return max(SURE_SDS * noise, least)


def _stride(scene: SceneFigures, cells: Sequence[SceneCell]) -> float | None:
    moves = sum(cell.moves for cell in cells)
    if moves < ENOUGH_SEEN or scene.interval_s is None:
        return None
    return sum(cell.speed for cell in cells) / moves * scene.interval_s


def _turnover(cells: Sequence[SceneCell]) -> tuple[int, int]:
    """How many tracks began or ended in some cells, and how many things came to them."""
    return (
        sum(cell.begins + cell.ends for cell in cells),
        sum(cell.visits for cell in cells),
    )


def _is_at_edge(cell: SceneCell) -> bool:
    x, y = cell.centre
    return min(x, 1.0 - x) < 1.0 / COLUMNS or min(y, 1.0 - y) < 1.0 / ROWS


def _share_inside(cell: SceneCell, zone: Polygon) -> float:
    x, y = cell.centre
    points = [
        (x + (column - 1) / 3 / COLUMNS, y + (row - 1) / 3 / ROWS)
        for column in range(3)
        for row in range(3)
    ]
    return sum(contains(zone, point) for point in points) / len(points)


def _neat(seconds: float) -> str:
    """A duration as one writes it in a file: the largest round one that is not longer."""
    steps = (5.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05)
    chosen = next((step for step in steps if step <= seconds), 0.04)
    return f"{chosen:g}s" if chosen >= 1 else f"{chosen * 1000:.0f}ms"
