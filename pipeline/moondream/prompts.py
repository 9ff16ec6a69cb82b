"""A prompt as the prefill takes it: ids, numbers that replace some embeddings, tokens to judge.

Knows nothing of templates. A reference's numbers stand at the coordinate and size ids it put
into the prompt, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.moondream.errors import RequestError
from pipeline.moondream.templates import SpatialRef


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, and where `coords` (index, value) and `sizes` (index, (w, h)) replace them.

    `targets` are what should follow each of the prompt's last ids, when their likelihood is
    asked for instead of a continuation: each is judged after its id, the last after the last.
    """

    ids: tuple[int, ...]
    coords: tuple[tuple[int, float], ...] = ()
    sizes: tuple[tuple[int, tuple[float, float]], ...] = ()
    targets: tuple[int, ...] = ()

    def judging(self, answer: Sequence[int], end: int) -> "Prompt":
        """Return the prompt that judges how likely `answer`, then `end`, follows this one."""
        return Prompt((*self.ids, *answer), self.coords, self.sizes, (*answer, end))


def spatial_prompt(ids: Sequence[int], first: int, refs: Sequence[SpatialRef]) -> Prompt:
    """Return a prompt whose references' ids start at index `first`.

    A point gives its x and y; a box gives its centre's x and y, then its width and height.
    """
    coords: list[tuple[int, float]] = []
    sizes: list[tuple[int, tuple[float, float]]] = []
    at = first
    for ref in refs:
        if not all(0.0 <= value <= 1.0 for value in ref):
            raise RequestError(
                f"spatial reference {ref!r} must be given in fractions of the picture, 0 to 1"
            )
        if len(ref) == 2:
            coords += [(at, ref[0]), (at + 1, ref[1])]
            at += 2
            continue
        x_min, y_min, x_max, y_max = ref
        coords += [(at, (x_min + x_max) / 2), (at + 1, (y_min + y_max) / 2)]
        sizes.append((at + 2, (x_max - x_min, y_max - y_min)))
        at += 3
    return Prompt(tuple(ids), tuple(coords), tuple(sizes))
