"""Results of the model as JSON, as both interfaces give them."""

from typing import Any

from pipeline.moondream import DetectResult, PointResult, Reasoning, Result, TextResult

# Six decimals are a hundredth of a pixel of the largest picture.
DECIMALS = 6


def found_objects(result: DetectResult | PointResult) -> dict[str, Any]:
    """Boxes or points in fractions of the picture, with the scores in their order."""
    if isinstance(result, DetectResult):
        sides = ("x_min", "y_min", "x_max", "y_max")
        places = {
            "objects": [
                dict(zip(sides, _rounded(box), strict=True)) for box in result.boxes_xyxy.tolist()
            ]
        }
    else:
        places = {
            "points": [
                dict(zip(("x", "y"), _rounded(point), strict=True))
                for point in result.points_xy.tolist()
            ]
        }
    return {
        **places,
        "count": len(result),
        "scores": _rounded(result.scores.tolist()),
        "saturated": result.saturated,
    }


def grounding_of(reasoning: Reasoning) -> list[dict[str, Any]]:
    """What parts of the thoughts point at."""
    return [
        {
            "start_idx": part.start,
            "end_idx": part.end,
            "points": [_rounded(point) for point in part.points_xy],
        }
        for part in reasoning.grounding
    ]


def text_of(result: Result) -> str:
    """The words of a result; early releases begin them with a blank."""
    assert isinstance(result, TextResult)
    return result.text.lstrip()


def _rounded(values: "list[float] | tuple[float, ...]") -> list[float]:
    return [round(value, DECIMALS) for value in values]
