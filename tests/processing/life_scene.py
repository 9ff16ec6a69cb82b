"""A shop door for the tests of a camera's life: a file one edits, and what its camera sees."""

import copy
from collections.abc import Iterator
from typing import Any

from pipeline.core.answers import Answer, Boxes, Number, Text
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result

START = 1_700_000_000.0
"""20 s into a minute."""
EVERY_S = 0.5
RUN = "live-1"
SHOP: dict[str, Any] = {
    "version": 1,
    "site": {"name": "Shop", "timezone": "Europe/Berlin"},
    "engines": {
        "fast": {"type": "coco"},
        "words": {"type": "moondream"},
    },
    "cameras": {
        "door": {
            "source": {"type": "rtsp", "url": "rtsp://10.0.0.9/door"},
            "tasks": {
                "people": {"engine": "fast", "detect": "person"},
                "carts": {"engine": "fast", "count": "cart"},
                "shut": {"engine": "words", "ask": "Is the door shut?", "every": "1s"},
            },
            "lines": {
                "threshold": {"from": [0.1, 0.5], "to": [0.9, 0.5]},
                "till": {"from": [0.1, 0.8], "to": [0.9, 0.8]},
            },
            "zones": {
                "mat": {"polygon": [[0.0, 0.4], [1.0, 0.4], [1.0, 0.7], [0.0, 0.7]]},
                "shop": {"polygon": [[0.0, 0.55], [1.0, 0.55], [1.0, 1.0], [0.0, 1.0]]},
            },
            "rules": {
                "entrance": {"type": "line_crossing", "of": "people", "line": "threshold"},
                "paid": {"type": "line_crossing", "of": "people", "line": "till"},
                "crowd": {"type": "occupancy", "of": "people", "zone": "mat", "more_than": 0},
                "stay": {"type": "dwell", "of": "people", "zone": "shop", "longer_than": "1s"},
                "carts": {"type": "count", "of": "carts", "more_than": 1},
                "closed": {"type": "condition", "of": "shut", "is": "yes"},
            },
        }
    },
}


def shop(**edits: Any) -> dict[str, Any]:
    """The deployment with values of the camera replaced by their dotted path, as `a__b=value`."""
    edited = copy.deepcopy(SHOP)
    for path, value in edits.items():
        place = edited
        *parents, last = path.split("__")
        for name in parents:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return edited


def _walkers(at_s: float) -> Iterator[Box]:
    """Every 8 s somebody comes in, every 12 s somebody else goes out, each on his own side."""
    down = at_s % 8.0 / 6.0
    if down <= 1.0:
        yield _body(0.35, 0.3 + 0.65 * down)
    up = at_s % 12.0 / 7.0
    if up <= 1.0:
        yield _body(0.7, 0.95 - 0.65 * up)


def _body(x: float, feet: float) -> Box:
    return (x - 0.05, feet - 0.25, x + 0.05, feet)


def results(first: int, until: int, *, live: bool = True, run: str = RUN) -> list[Result]:
    """The results of both engines, of looks `first` ≤ n < `until`."""
    found: list[Result] = []
    for n in range(first, until):
        at_s = n * EVERY_S
        boxes = tuple(_walkers(at_s))
        scores = tuple(0.9 for _ in boxes)
        carts = Number("fast", 2 if at_s % 20.0 < 7.0 else 1)
        seen: dict[str, Answer] = {"people": Boxes("fast", boxes, scores), "carts": carts}
        found.append(_result("fast", n, n, seen, live=live, run=run))
        if n % 2 == 0:
            said = "yes" if at_s % 30.0 < 17.0 else "no"
            shut: dict[str, Answer] = {"shut": Text("words", said)}
            found.append(_result("words", n // 2, n, shut, live=live, run=run))
    return found


def _result(
    engine: str, ordinal: int, n: int, answers: dict[str, Answer], *, live: bool, run: str
) -> Result:
    return Result(
        camera="door",
        run=run,
        engine=engine,
        ordinal=ordinal,
        seq=n,
        captured_at=START + n * EVERY_S,
        size_wh=(640, 360),
        live=live,
        answers=answers,
    )
