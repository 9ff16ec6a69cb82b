"""Points and boxes that a question is about."""

from collections.abc import Sequence

from pipeline.moondream.templates import SpatialRef
from pipeline.server.errors import ApiError


def spatial_refs(
    refs: Sequence[Sequence[float]] | None, param: str
) -> tuple[SpatialRef, ...] | None:
    """Return points and boxes; raises ApiError for what is neither, or outside of the picture."""
    if not refs:
        return None
    found: list[SpatialRef] = []
    for number, ref in enumerate(refs):
        if not all(0 <= value <= 1 for value in ref):
            raise ApiError(
                400,
                f"{param}[{number}] reaches out of the picture; coordinates are fractions 0 to 1",
                param=f"{param}[{number}]",
                code="invalid_value",
            )
        match ref:
            case [x, y]:
                found.append((x, y))
            case [left, top, right, bottom] if left <= right and top <= bottom:
                found.append((left, top, right, bottom))
            case _:
                raise ApiError(
                    400,
                    f"{param}[{number}] is neither a point [x, y] nor a box "
                    "[x_min, y_min, x_max, y_max]",
                    param=f"{param}[{number}]",
                    code="invalid_value",
                )
    return tuple(found)
