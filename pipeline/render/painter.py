"""Draws the results of a run onto its clip: boxes, ids, trails, lines with counts, zones.

Works after the run, from the recorded tracks and the stored events; not part of the frame path.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import supervision as sv
from numpy.typing import NDArray

from pipeline.core.frames import Picture, Pixels
from pipeline.core.geometry import Box, Line, Point, Polygon, bottom_centre, contains
from pipeline.core.private_files import create_file, make_folder
from pipeline.processing.track_log import LoggedTrack, Moment

# Boxes are drawn between two sampled frames no further apart than this: beyond, they are gone.
LONGEST_GAP_S = 1.5
_TRAIL_S = 4.0
# A mark is read in this time.
_MARK_S = 3.0
_IN = sv.Color(0, 214, 143)
_LINE = sv.Color(255, 176, 0)
_ZONE = sv.Color(64, 156, 255)
_DARK = sv.Color(20, 22, 28)
_WHITE = sv.Color(255, 255, 255)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing of a line, for its running total, or for a mark beside who crossed."""

    line: str
    at: float
    direction: str
    mark: str | None = None
    """What is written beside who crossed; it is counted apart, as all may be counted as well."""
    who: tuple[str, int] | None = None
    """The task and the track's id."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn: geometry by name, crossings in time order, recorded moments."""

    lines: Mapping[str, Line]
    zones: Mapping[str, Polygon]
    crossings: Sequence[Crossing]
    moments: Sequence[Moment]


def render(
    pictures: Iterator[Picture],
    scene: Scene,
    out: Path,
    fps: Fraction,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write an annotated H.264 clip; returns how many pictures it has."""
    make_folder(out.parent)
    create_file(out)
    painter: _Painter | None = None
    drawn = 0
    with av.open(str(out), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23"})
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            pixels = picture.rgb()
            pixels = pixels[: pixels.shape[0] & ~1, : pixels.shape[1] & ~1]
            if painter is None:
                stream.height, stream.width = pixels.shape[:2]
                painter = _Painter(scene, (stream.width, stream.height))
            painted = painter.paint(pixels, picture.captured_at)
            frame = av.VideoFrame.from_ndarray(painted, format="bgr24")
            frame.pts = drawn
            frame.time_base = 1 / fps
            container.mux(stream.encode(frame))
            drawn += 1
            if progress is not None:
                progress(picture.captured_at)
        container.mux(stream.encode())
    return drawn


def totals(crossings: Sequence[Crossing], at: float) -> list[str]:
    """What is written at a line with these crossings: how many each way so far, and of each mark.

    Where a recording holds marks alone, nobody may have counted: no zeros are written then.
    """
    so_far = [crossing for crossing in crossings if crossing.at <= at]
    marks = dict.fromkeys(crossing.mark for crossing in crossings)
    words = []
    if not marks or None in marks:
        counted = [crossing.direction for crossing in so_far if crossing.mark is None]
        entered = counted.count("in")
        words = [f"in {entered}", f"out {len(counted) - entered}"]
    marked = [mark for mark in marks if mark is not None]
    return words + [f"{mark} {sum(one.mark == mark for one in so_far)}" for mark in marked]


class _Painter:
    """Draws one camera's scene onto its pictures, in order."""

    def __init__(self, scene: Scene, size_wh: tuple[int, int]) -> None:
        self._scene = scene
        self._size = size_wh
        tasks = dict.fromkeys(moment.task for moment in scene.moments)
        self._crossings = {
            name: [c for c in scene.crossings if c.line == name] for name in scene.lines
        }
        self._marked = [c for c in scene.crossings if c.mark is not None]
        self._timelines = {
            task: _Timeline([moment for moment in scene.moments if moment.task == task])
            for task in tasks
        }
        scale = max(0.35, size_wh[1] / 1400)
        thickness = max(1, round(size_wh[1] / 400))
        self._scale = scale
        self._thickness = thickness
        by_track = sv.ColorLookup.TRACK
        self._box = sv.RoundBoxAnnotator(thickness=thickness, color_lookup=by_track)
        self._label = sv.LabelAnnotator(
            text_scale=scale, text_padding=3, color_lookup=by_track, text_color=_DARK
        )

    def paint(self, pixels: Pixels, at: float) -> NDArray[np.uint8]:
        """The picture with everything on it, (H, W, 3) BGR."""
        canvas: NDArray[np.uint8] = np.ascontiguousarray(pixels[:, :, ::-1])
        by_task = {task: timeline.at(at) for task, timeline in self._timelines.items()}
        seen = [one for tracks in by_task.values() for one in tracks]
        for name, zone in self._scene.zones.items():
            canvas = self._draw_zone(canvas, name, zone, seen)
        for name, line in self._scene.lines.items():
            canvas = self._draw_line(canvas, name, line, at)
        for task, tracks in by_task.items():
            canvas = self._draw_trails(canvas, at, self._timelines[task], tracks)
        if seen:
            detections = self._detections(seen)
            canvas = self._box.annotate(canvas, detections)
            labels = [
                self._label_of(task, one, at) for task, tracks in by_task.items() for one in tracks
            ]
            canvas = self._label.annotate(canvas, detections, labels)
        return canvas

    def _label_of(self, task: str, one: LoggedTrack, at: float) -> str:
        """Its id, with what it is where each of several tasks has a #1, and what it has done."""
        words = [one.label] if len(self._timelines) > 1 else []
        marks = dict.fromkeys(
            c.mark for c in self._marked if c.who == (task, one.id) and 0 <= at - c.at < _MARK_S
        )
        return " ".join([*words, f"#{one.id}", *(mark for mark in marks if mark)])

    def _detections(self, seen: Sequence[LoggedTrack]) -> sv.Detections:
        width, height = self._size
        scale = np.array([width, height, width, height], np.float32)
        return sv.Detections(
            xyxy=np.array([one.box for one in seen], np.float32) * scale,
            confidence=np.array([one.score for one in seen], np.float32),
            class_id=np.zeros(len(seen), int),
            tracker_id=np.array([one.id for one in seen], int),
        )

    def _draw_zone(
        self, canvas: NDArray[np.uint8], name: str, zone: Polygon, seen: Sequence[LoggedTrack]
    ) -> NDArray[np.uint8]:
        corners = np.array([self._pixel(corner) for corner in zone.corners], np.int64)
        inside = sum(contains(zone, bottom_centre(one.box)) for one in seen)
        canvas = sv.draw_filled_polygon(canvas, corners, _ZONE, opacity=0.12)
        canvas = sv.draw_polygon(canvas, corners, _ZONE, self._thickness)
        top = min(corners.tolist(), key=lambda corner: (corner[1], corner[0]))
        return self._draw_text(canvas, f"{name}: {inside}", (top[0] + 4, top[1] + 12), _ZONE)

    def _draw_line(
        self, canvas: NDArray[np.uint8], name: str, line: Line, at: float
    ) -> NDArray[np.uint8]:
        start, end = self._pixel(line.start), self._pixel(line.end)
        canvas = sv.draw_line(canvas, sv.Point(*start), sv.Point(*end), _LINE, self._thickness)
        own = self._crossings[name]
        fresh = any(0 <= at - c.at < 1.0 for c in own)
        text = "  ".join([name, *totals(own, at)])
        place = ((start[0] + 9 * end[0]) // 10, (start[1] + 9 * end[1]) // 10)
        return self._draw_text(canvas, text, place, _IN if fresh else _LINE)

    def _draw_trails(
        self,
        canvas: NDArray[np.uint8],
        at: float,
        timeline: "_Timeline",
        seen: Sequence[LoggedTrack],
    ) -> NDArray[np.uint8]:
        palette = sv.ColorPalette.DEFAULT
        for one in seen:
            trail = [self._pixel(p) for p in timeline.trail(one.id, at - _TRAIL_S, at)]
            trail.append(self._pixel(bottom_centre(one.box)))
            for first, second in pairwise(trail):
                color = palette.by_idx(one.id)
                canvas = sv.draw_line(
                    canvas, sv.Point(*first), sv.Point(*second), color, self._thickness
                )
        return canvas

    def _draw_text(
        self, canvas: NDArray[np.uint8], text: str, at_xy: tuple[int, int], color: sv.Color
    ) -> NDArray[np.uint8]:
        width, height = self._size
        # Text is centred on its anchor: keep all of it inside the picture.
        half = int(len(text) * 9.5 * self._scale) + 8
        x = min(max(at_xy[0], half), width - half)
        y = min(max(at_xy[1], 14), height - 14)
        painted: NDArray[np.uint8] = sv.draw_text(
            canvas,
            text,
            sv.Point(x, y),
            text_color=_DARK,
            text_scale=self._scale * 1.1,
            text_padding=5,
            background_color=color,
        )
        return painted

    def _pixel(self, point: Point) -> tuple[int, int]:
        width, height = self._size
        return (
            min(width - 1, max(0, round(point[0] * width))),
            min(height - 1, max(0, round(point[1] * height))),
        )


class _Timeline:
    """One task's recorded tracks by time; each task has frames and ids of its own.

    Between two sampled frames a box is interpolated, for the eye.
    """

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._moments = sorted(moments, key=lambda moment: moment.at)
        self._times = [moment.at for moment in self._moments]

    def at(self, at: float) -> list[LoggedTrack]:
        after = bisect_right(self._times, at + 1e-6)
        if after == 0:
            return []
        before = self._moments[after - 1]
        if after == len(self._moments):
            return list(before.tracks) if at - before.at <= LONGEST_GAP_S / 2 else []
        following = self._moments[after]
        gap = following.at - before.at
        if gap > LONGEST_GAP_S or at <= before.at + 1e-6:
            return list(before.tracks)
        share = (at - before.at) / gap
        later = {seen.id: seen for seen in following.tracks}
        return [
            LoggedTrack(one.id, one.label, one.score, _between(one.box, later[one.id].box, share))
            for one in before.tracks
            if one.id in later
        ]

    def trail(self, track: int, since: float, until: float) -> list[Point]:
        first, last = bisect_right(self._times, since), bisect_right(self._times, until)
        return [
            bottom_centre(seen.box)
            for moment in self._moments[first:last]
            for seen in moment.tracks
            if seen.id == track
        ]


def _between(a: Box, b: Box, share: float) -> Box:
    x0, y0, x1, y1 = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return (x0, y0, x1, y1)
